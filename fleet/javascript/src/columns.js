/** Columns of replies and bundles: differences, counts, steps. */

import { number } from "./messages.js";

/** Steps of the one byte that says a fraction, and of the two that say a score. */
const FRACTION_STEPS = 255;
const SCORE_STEPS = 65535;

/** Steps of a mass each time it doubles. */
const MASS_STEPS = 8;

/**
 * The numbers behind differences.
 *
 * @param {(bigint | string | number)[]} deltas
 * @returns {number[]}
 */
export function sums(deltas) {
  let sum = 0;
  return deltas.map((delta) => (sum += number(/** @type {bigint} */ (delta))));
}

/**
 * Cut a list into rows.
 *
 * @template T
 * @param {Uint8Array} counts One byte a row; empty if no row has any.
 * @param {T[]} all
 * @param {number} rowCount
 * @returns {T[][]}
 */
export function rows(counts, all, rowCount) {
  const result = [];
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    const count = counts.length ? counts[row] : 0;
    result.push(all.slice(at, at + count));
    at += count;
  }
  if (at !== all.length) throw new RangeError(`${all.length} entries, but counts of ${at}`);
  return result;
}

/** Little-endian uint16. @param {Uint8Array} bytes */
export function uint16s(bytes) {
  const result = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) result.push(bytes[i] | (bytes[i + 1] << 8));
  return result;
}

/** @param {number} step */
export function fraction(step) {
  return step / FRACTION_STEPS;
}

/** @param {number} step */
export function score(step) {
  return step / SCORE_STEPS;
}

/** @param {number} step */
export function mass(step) {
  return 2 ** (step / MASS_STEPS) - 1;
}

/**
 * What references stand for: a name, or the number of an ordinal.
 *
 * @param {(bigint | string)[]} references
 * @param {string[]} names
 * @returns {(string | number)[]}
 */
export function items(references, names) {
  return references.map((reference) => item(number(reference), names));
}

/**
 * @param {number} reference
 * @param {string[]} names
 * @returns {string | number}
 */
export function item(reference, names) {
  return reference < names.length ? names[reference] : reference - names.length;
}
