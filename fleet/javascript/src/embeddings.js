/** Embeddings as bytes and back. What is read has a length of one. */

import { uint16s } from "./columns.js";

export const DIMENSIONS = 384;

/** A third of what a byte could hold: a cosine of 0.999, and zstd finds something in it. */
const INT8_LARGEST = 31;

/** @typedef {{get: (version: number) => import("./codebook.js").Codebook | undefined}} Codebooks */

/**
 * Read the rows of an `Embeddings`.
 *
 * @param {any} message
 * @param {number} rowCount
 * @param {Codebooks} codebooks
 * @returns {Float32Array[]}
 */
export function readRows(message, rowCount, codebooks) {
  if (!rowCount) return [];
  if (!message || !message.encoding.case) throw new RangeError("embeddings are missing");
  const { case: encoding, value } = message.encoding;
  const size = value.length / rowCount;
  const read = reader(encoding, size, message.codebookVersion, codebooks);
  const result = [];
  for (let at = 0; at < value.length; at += size) {
    result.push(read(value.subarray(at, at + size)));
  }
  return result;
}

/**
 * @param {string} encoding
 * @param {number} size Bytes of a row.
 * @param {number} codebookVersion
 * @param {Codebooks} codebooks
 * @returns {(row: Uint8Array) => Float32Array}
 */
function reader(encoding, size, codebookVersion, codebooks) {
  if (encoding === "codes") {
    const codebook = codebooks.get(codebookVersion);
    if (!codebook) throw new RangeError(`no codebook ${codebookVersion} here`);
    return (row) => codebook.decode(row);
  }
  const width = { float32: 4, float16: 2, int8: 1 }[encoding];
  if (size !== DIMENSIONS * width) throw new RangeError(`${size} bytes of ${encoding}`);
  return { float32: readFloat32, float16: readFloat16, int8: readInt8 }[encoding];
}

/** @param {Uint8Array} row */
export function readInt8(row) {
  return unit(new Int8Array(row.buffer, row.byteOffset, row.length));
}

/** @param {Uint8Array} row */
export function readFloat32(row) {
  const view = new DataView(row.buffer, row.byteOffset, row.length);
  const numbers = new Float64Array(DIMENSIONS);
  return unit(numbers.map((_, i) => view.getFloat32(4 * i, true)));
}

/** @param {Uint8Array} row */
export function readFloat16(row) {
  return unit(uint16s(row).map(half));
}

/** IEEE 754 binary16. @param {number} bits */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const digits = bits & 1023;
  if (exponent === 31) return digits ? NaN : sign * Infinity;
  return exponent
    ? sign * (1 + digits / 1024) * 2 ** (exponent - 15)
    : sign * digits * 2 ** -24;
}

/**
 * Write as int8: divided by the largest magnitude, times 31, rounded.
 *
 * @param {ArrayLike<number>} vector Not all zero.
 */
export function writeInt8(vector) {
  const largest = Array.from(vector, Math.abs).reduce((most, x) => Math.max(most, x), 0);
  return new Uint8Array(
    Int8Array.from(vector, (x) => Math.round((x * INT8_LARGEST) / largest)).buffer,
  );
}

/**
 * Bring to a length of one; what has no direction stays as it is.
 *
 * @param {ArrayLike<number>} vector
 */
export function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return Float32Array.from(vector, (x) => (length ? x / length : x));
}

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
