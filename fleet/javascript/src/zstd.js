/** Zstandard down, within bounds. Nothing that a TV sends is worth compressing. */

import { Decompress } from "fzstd";

import { joined } from "./bytes.js";

/** More than any bundle of a fleet has; a TV has little memory. */
const LIMIT_BYTES = 64 * 1024 * 1024;

/** Fed piece by piece, so that a bomb is noticed before all of it has gone off. */
const PIECE_BYTES = 16 * 1024;

/**
 * Decompress; throws on what is no zstd, is cut off, or inflates to more than the limit.
 *
 * @param {Uint8Array} bytes
 * @param {number} [limit]
 * @returns {Uint8Array}
 */
export function unzstd(bytes, limit = LIMIT_BYTES) {
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  const stream = new Decompress((part) => {
    size += part.length;
    if (size > limit) throw new RangeError(`more than ${limit} bytes`);
    parts.push(part.slice());
  });
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    stream.push(bytes.subarray(at, at + PIECE_BYTES), at + PIECE_BYTES >= bytes.length);
  }
  return joined(parts);
}
