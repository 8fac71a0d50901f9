/**
 * How a TV ranks a catalogue: its own past and what it received, nothing else.
 *
 * Four kinds of evidence are each brought to the same scale and added up. The figures
 * are those of fleet/ranking.py, which says where they come from.
 */

import { dot } from "./embeddings.js";

/** A like fades to 1/e of its weight after so many newer ones. */
const RECENCY_LIKES = 30;

/** What each kind of evidence counts for; its best content counts one. */
export const FEDERATED = { links: 1, similar: 0.1, trends: 0.05, own: 0.3 };

/**
 * @typedef {object} Heard What the fleet learned, with names.
 * @property {{embedding: Float32Array, successRate: number, contents: string[]}[]} similar
 * @property {[string, number][]} trends
 * @property {Map<string, [string, number][]>} links
 */

/**
 * @typedef {object} Household
 * @property {{contentId: string, enjoyment: number}[]} likes The latest last.
 * @property {import("./types.js").LearnedPattern[]} patterns
 */

/** What can be watched. */
export class Catalogue {
  /**
   * @param {string[]} contentIds
   * @param {Float32Array[]} embeddings Of length one; row i is contentIds[i].
   */
  constructor(contentIds, embeddings) {
    this.contentIds = contentIds;
    this.embeddings = embeddings;
    this.rows = new Map(contentIds.map((contentId, row) => [contentId, row]));
  }

  get size() {
    return this.contentIds.length;
  }
}

/**
 * Score every content of the catalogue; the more, the better.
 *
 * @param {Household} household
 * @param {Heard} heard
 * @param {Catalogue} catalogue
 * @param {typeof FEDERATED} [weights]
 * @returns {Float64Array}
 */
export function scores(household, heard, catalogue, weights = FEDERATED) {
  const total = new Float64Array(catalogue.size);
  const kinds = [
    { weight: weights.links, evidence: links },
    { weight: weights.similar, evidence: similar },
    { weight: weights.trends, evidence: trends },
    { weight: weights.own, evidence: own },
  ];
  for (const { weight, evidence } of kinds.filter((kind) => kind.weight)) {
    scaled(evidence(household, heard, catalogue)).forEach((value, row) => {
      total[row] += weight * value;
    });
  }
  return total;
}

/**
 * Names of the catalogue, the best first; equals stay in its order.
 *
 * @param {Parameters<typeof scores>} inputs
 */
export function ranked(...inputs) {
  const catalogue = inputs[2];
  const found = scores(...inputs);
  const order = catalogue.contentIds.map((_, row) => row);
  order.sort((a, b) => found[b] - found[a] || a - b);
  return order.map((row) => catalogue.contentIds[row]);
}

/**
 * Add up the links of the household's own likes, the latest and dearest most.
 *
 * @param {Household} household @param {Heard} heard @param {Catalogue} catalogue
 */
function links(household, heard, catalogue) {
  const evidence = new Float64Array(catalogue.size);
  const newestFirst = household.likes.slice().reverse();
  const linked = newestFirst.filter(({ contentId }) => heard.links.has(contentId));
  linked.forEach(({ contentId, enjoyment }, age) => {
    const weight = enjoyment * Math.exp(-age / RECENCY_LIKES);
    for (const [other, strength] of heard.links.get(contentId)) {
      const row = catalogue.rows.get(other);
      if (row !== undefined) evidence[row] += weight * strength;
    }
  });
  return evidence;
}

/**
 * Add up the contents of global patterns close to one of the own.
 *
 * @param {Household} household @param {Heard} heard @param {Catalogue} catalogue
 */
function similar({ patterns }, heard, catalogue) {
  const evidence = new Float64Array(catalogue.size);
  for (const { embedding, successRate, contents } of heard.similar) {
    // The nearest own pattern decides: the average of several tastes is nobody's.
    const closeness = patterns.reduce(
      (most, pattern) =>
        Math.max(most, sharpened(dot(pattern.embedding, embedding)) * pattern.likedCount),
      0,
    );
    const rows = contents.map((name) => catalogue.rows.get(name));
    const known = rows.filter((row) => row !== undefined);
    known.forEach((row, place) => {
      // The first that a pattern names stands for it best.
      evidence[row] += (closeness * successRate) / Math.sqrt(place + 1);
    });
  }
  return evidence;
}

/** @param {Household} _ @param {Heard} heard @param {Catalogue} catalogue */
function trends(_, heard, catalogue) {
  const evidence = new Float64Array(catalogue.size);
  for (const [name, score] of heard.trends) {
    const row = catalogue.rows.get(name);
    if (row !== undefined) evidence[row] = Math.max(evidence[row], score);
  }
  return evidence;
}

/**
 * Sum the similarity to the household's own patterns.
 *
 * @param {Household} household @param {Heard} _ @param {Catalogue} catalogue
 */
function own({ patterns }, _, catalogue) {
  return Float64Array.from(catalogue.embeddings, (embedding) =>
    patterns.reduce(
      (sum, pattern) => sum + pattern.likedCount * sharpened(dot(pattern.embedding, embedding)),
      0,
    ),
  );
}

/** Cosines of unrelated films are far from zero. @param {number} cosine */
function sharpened(cosine) {
  return Math.max(cosine, 0) ** 4;
}

/** @param {Float64Array} evidence */
function scaled(evidence) {
  const best = evidence.reduce((most, value) => Math.max(most, value), 0);
  return best > 0 ? evidence.map((value) => value / best) : evidence;
}
