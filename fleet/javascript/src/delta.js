/** A delta as bytes: column by column, codes or int8, ordinals or names. */

import { joined, uuidBytes } from "./bytes.js";
import { dot, writeInt8 } from "./embeddings.js";
import { GENRE_PREFIX } from "./items.js";
import { encode, int64, words } from "./messages.js";

/** Rates are sent in ten-thousandths. */
const RATE_STEPS = 10000;

/** Bytes of a code that goes up. */
const CODE_BYTES = 40;

/** Of a delta that is then small enough. */
const SHORTER_CODE_BYTES = 32;

/** What a delta may take, so that the request around it has at most 1 KB. */
const DELTA_BYTES = 1024 - 40;

/**
 * A code that points further away than this says too little of a pattern, which then goes
 * as int8. All of a delta are written alike, so it waits for a delta of such patterns.
 */
const CODE_COSINE_MIN = 0.9;

/** What a shorter code must still say of each. */
const SHORTER_COSINE_MIN = 0.7;

/** As many as fit into 1 KB, in a delta of those that codes describe badly. */
const INT8_PER_DELTA = 2;

/** @typedef {import("./types.js").LearnedPattern} LearnedPattern */
/** @typedef {import("./items.js").Items} Items */
/** @typedef {import("./codebook.js").Codebook} Codebook */
/** @typedef {{items: Items, codebook: Codebook | null}} Words */

/**
 * @typedef {object} Changes
 * @property {LearnedPattern[]} added
 * @property {{id: string, newSuccessRate: number, additionalSamples: number}[]} updated
 * @property {string[]} removed Ids.
 */

/**
 * Choose those that go in one delta; first those that codes describe well.
 *
 * @param {LearnedPattern[]} patterns
 * @param {{codebook: Codebook | null}} words
 */
export function alike(patterns, { codebook }) {
  if (!codebook) return patterns;
  const well = patterns.filter(
    ({ embedding }) => cosine(codebook, embedding, CODE_BYTES) >= CODE_COSINE_MIN,
  );
  return well.length ? well : patterns.slice(0, INT8_PER_DELTA);
}

/**
 * @param {Changes} changes
 * @param {number} localVersion
 * @param {Words} words What it may be said in.
 * @returns {Uint8Array} A serialised Delta.
 */
export function writeDelta(changes, localVersion, { items, codebook }) {
  const isEmpty = !(changes.added.length || changes.updated.length || changes.removed.length);
  const written = (/** @type {number} */ size, /** @type {number} */ cosineMin) =>
    encode("Delta", {
      localVersion: int64(localVersion),
      packed: isEmpty ? undefined : packed(changes, items, codebook, size, cosineMin),
    });
  const delta = written(CODE_BYTES, CODE_COSINE_MIN);
  if (delta.length <= DELTA_BYTES) return delta;
  const shorter = written(SHORTER_CODE_BYTES, SHORTER_COSINE_MIN);
  return shorter.length <= DELTA_BYTES ? shorter : delta;
}

/**
 * @param {Changes} changes
 * @param {Items} items
 * @param {Codebook | null} codebook
 * @param {number} size Of codes.
 * @param {number} cosineMin What each must say of its pattern.
 */
function packed({ added, updated, removed }, items, codebook, size, cosineMin) {
  const contexts = added.map((pattern) => pattern.context || {});
  const genres = contexts.map((context) => (context.genreHints || []).map((g) => GENRE_PREFIX + g));
  const contents = added.map((pattern) => pattern.contentIds || []);
  const references = new References(items, [...genres, ...contents]);
  return {
    addedIds: ids(added),
    embeddings: embeddings(added, codebook, size, cosineMin),
    successRates: added.map((pattern) => rate(pattern.likedCount / pattern.watchedCount)),
    sampleCounts: added.map((pattern) => pattern.watchedCount),
    timesOfDay: numbers("TimeOfDay", contexts.map((context) => context.timeOfDay)),
    daysOfWeek: numbers("DayOfWeek", contexts.map((context) => context.dayOfWeek)),
    contentTypes: numbers("ContentType", contexts.map((context) => context.contentType)),
    genreHints: references.lists(genres),
    contentIds: references.lists(contents),
    updatedIds: ids(updated),
    newSuccessRates: updated.map((update) => rate(update.newSuccessRate)),
    additionalSamples: updated.map((update) => update.additionalSamples),
    removedIds: ids(removed.map((id) => ({ id }))),
    names: references.names,
  };
}

/** @param {{id: string}[]} entries */
function ids(entries) {
  return joined(entries.map((entry) => uuidBytes(entry.id)));
}

/** @param {number} fraction */
function rate(fraction) {
  return Math.round(fraction * RATE_STEPS);
}

/**
 * @param {LearnedPattern[]} added
 * @param {Codebook | null} codebook
 * @param {number} size
 * @param {number} cosineMin
 */
function embeddings(added, codebook, size, cosineMin) {
  if (!added.length) return undefined;
  const vectors = added.map((pattern) => pattern.embedding);
  if (codebook && vectors.every((vector) => cosine(codebook, vector, size) >= cosineMin)) {
    const value = joined(vectors.map((vector) => codebook.encode(vector, size)));
    return { encoding: { case: "codes", value }, codebookVersion: codebook.version };
  }
  return { encoding: { case: "int8", value: joined(vectors.map(writeInt8)) } };
}

/**
 * Between a vector and what its code says.
 *
 * @param {Codebook} codebook
 * @param {Float32Array} vector
 * @param {number} size
 */
function cosine(codebook, vector, size) {
  return dot(codebook.decode(codebook.encode(vector, size)), vector);
}

/**
 * One byte a word, or none at all if nothing is said.
 *
 * @param {string} name Of the enum.
 * @param {(string | undefined)[]} said
 */
function numbers(name, said) {
  const known = words(name);
  const result = Uint8Array.from(said, (word) => {
    const place = known.indexOf(word || "");
    if (place < 0) throw new RangeError(`${word} is no ${name}`);
    return place;
  });
  return result.some((place) => place > 0) ? result : undefined;
}

/** Names that have no ordinal get a place in the message; ordinals come after them. */
class References {
  /**
   * @param {Items} items
   * @param {string[][]} rows All that will be referred to.
   */
  constructor(items, rows) {
    this.items = items;
    /** @type {Map<string, number>} */
    this.places = new Map();
    for (const row of rows) {
      for (const name of row) {
        if (items.ordinalOf(name) === undefined && !this.places.has(name)) {
          this.places.set(name, this.places.size);
        }
      }
    }
  }

  get names() {
    return Array.from(this.places.keys());
  }

  /** @param {string[][]} rows */
  lists(rows) {
    if (!rows.some((row) => row.length)) return undefined;
    const references = [];
    for (const row of rows) for (const name of row) references.push(int64(this.to(name)));
    return { counts: Uint8Array.from(rows, (row) => row.length), references };
  }

  /** @param {string} name */
  to(name) {
    const place = this.places.get(name);
    return place === undefined ? this.places.size + this.items.ordinalOf(name) : place;
  }
}
