/** Codes of 8 to 48 bytes for embeddings, and back; the format is told in codebook.proto. */

import { DIMENSIONS, unit } from "./embeddings.js";
import { decode } from "./messages.js";

const STAGES = 6;
const GROUPS = 8;
const CENTROIDS = 256;
const GROUP_DIMENSIONS = 32;
const TURNED_DIMENSIONS = GROUPS * GROUP_DIMENSIONS;

/** Bytes a code may have. */
export const CODE_SIZES = [8, 16, 24, 32, 40, 48];

/** One version of the codebook: numbers as they came, so that it stays small in memory. */
export class Codebook {
  /** @param {Uint8Array} bytes The bundle. */
  static read(bytes) {
    const message = decode("Codebook", bytes);
    const expected = {
      mean: DIMENSIONS,
      basis: TURNED_DIMENSIONS * DIMENSIONS,
      basisScales: TURNED_DIMENSIONS,
      centroids: STAGES * GROUPS * CENTROIDS * GROUP_DIMENSIONS,
      centroidScales: STAGES * GROUPS,
    };
    for (const [name, length] of Object.entries(expected)) {
      if (message[name].length !== length) {
        throw new RangeError(`${name} has ${message[name].length} numbers, not ${length}`);
      }
    }
    return new Codebook(message);
  }

  /** @param {any} message */
  constructor(message) {
    /** @type {number} */
    this.version = message.version;
    this.mean = Float64Array.from(message.mean);
    this.basis = asInt8(message.basis);
    this.basisScales = Float64Array.from(message.basisScales);
    this.centroids = asInt8(message.centroids);
    this.centroidScales = Float64Array.from(message.centroidScales);
  }

  /**
   * Read a code of any size.
   *
   * @param {Uint8Array} code
   * @returns {Float32Array} 384 numbers, of length one.
   */
  decode(code) {
    checkSize(code.length);
    const turned = new Float64Array(TURNED_DIMENSIONS);
    for (let place = 0; place < code.length; place++) {
      const group = place % GROUPS;
      const scale = this.centroidScales[place];
      const from = this.centroidAt(place, code[place]);
      for (let d = 0; d < GROUP_DIMENSIONS; d++) {
        turned[group * GROUP_DIMENSIONS + d] += scale * this.centroids[from + d];
      }
    }
    const vector = Float64Array.from(this.mean);
    for (let row = 0; row < TURNED_DIMENSIONS; row++) {
      const weight = turned[row] * this.basisScales[row];
      const from = row * DIMENSIONS;
      for (let i = 0; i < DIMENSIONS; i++) vector[i] += weight * this.basis[from + i];
    }
    return unit(vector);
  }

  /**
   * Write a vector of length one, stage by stage the nearest centroid.
   *
   * @param {ArrayLike<number>} vector
   * @param {number} size One of CODE_SIZES.
   * @returns {Uint8Array}
   */
  encode(vector, size) {
    checkSize(size);
    const left = this.turned(vector);
    const code = new Uint8Array(size);
    for (let place = 0; place < size; place++) {
      const start = (place % GROUPS) * GROUP_DIMENSIONS;
      code[place] = this.takeNearest(left.subarray(start, start + GROUP_DIMENSIONS), place);
    }
    return code;
  }

  /** @param {ArrayLike<number>} vector */
  turned(vector) {
    const turned = new Float64Array(TURNED_DIMENSIONS);
    for (let row = 0; row < TURNED_DIMENSIONS; row++) {
      const from = row * DIMENSIONS;
      let sum = 0;
      for (let i = 0; i < DIMENSIONS; i++) sum += this.basis[from + i] * (vector[i] - this.mean[i]);
      turned[row] = sum * this.basisScales[row];
    }
    return turned;
  }

  /**
   * Find the centroid nearest to what is left, and take it away from that.
   *
   * @param {Float64Array} left
   * @param {number} place
   */
  takeNearest(left, place) {
    const scale = this.centroidScales[place];
    let nearest = 0;
    let least = Infinity;
    for (let centroid = 0; centroid < CENTROIDS; centroid++) {
      const from = this.centroidAt(place, centroid);
      let distance = 0;
      for (let d = 0; d < GROUP_DIMENSIONS; d++) {
        const off = left[d] - scale * this.centroids[from + d];
        distance += off * off;
      }
      if (distance < least) {
        least = distance;
        nearest = centroid;
      }
    }
    const from = this.centroidAt(place, nearest);
    for (let d = 0; d < GROUP_DIMENSIONS; d++) left[d] -= scale * this.centroids[from + d];
    return nearest;
  }

  /**
   * @param {number} place Of a byte in a code: stage * 8 + group.
   * @param {number} centroid
   */
  centroidAt(place, centroid) {
    return (place * CENTROIDS + centroid) * GROUP_DIMENSIONS;
  }
}

/** @param {number} size */
function checkSize(size) {
  if (!CODE_SIZES.includes(size)) throw new RangeError(`a code has no ${size} bytes`);
}

/** @param {Uint8Array} bytes */
function asInt8(bytes) {
  return new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
