/** What the fleet learned, as far as this TV was told in replies. */

import { fraction, item, items, mass, rows, score, sums, uint16s } from "./columns.js";
import { readRows } from "./embeddings.js";
import { number } from "./messages.js";

/** As many contents as one byte tells apart. */
const ONE_BYTE_PLACES = 256;

/**
 * An item: its name, or the ordinal that the bundle "items" has the name of.
 * @typedef {string | number} Item
 */

/**
 * @typedef {object} Similar A global pattern near the TV's tastes.
 * @property {number} id
 * @property {Float32Array} embedding Of length one.
 * @property {number} successRate
 * @property {number} mass
 * @property {Item[] | null} contents null where the reply didn't say.
 */

export class Received {
  constructor() {
    /** @type {number | null} None before the first answer. */
    this.globalVersion = null;
    /** @type {Similar[]} The best first. */
    this.similar = [];
    /** @type {{item: Item, score: number, region: string}[]} */
    this.trends = [];
    /** @type {Map<Item, [Item, number][]>} Where contents lead, and how strongly. */
    this.links = new Map();
  }

  /**
   * Take in the `global_news` of a reply; to a TV that is up to date it tells nothing.
   *
   * @param {any} news
   * @param {import("./embeddings.js").Codebooks} codebooks
   * @returns {Received}
   */
  updatedWith(news, codebooks) {
    if (!news.similar) return this;
    const received = new Received();
    received.globalVersion = number(news.globalVersion);
    received.similar = similar(news.similar, news.names, codebooks);
    received.trends = trends(news.trending, news.names);
    received.links = links(news.links, news.names);
    return received;
  }
}

/**
 * @param {any} column
 * @param {string[]} names
 * @param {import("./embeddings.js").Codebooks} codebooks
 * @returns {Similar[]}
 */
function similar(column, names, codebooks) {
  const ids = sums(column.idDeltas);
  const embeddings = readRows(column.embeddings, ids.length, codebooks);
  const lists = column.contentIds;
  const contents = lists && rows(lists.counts, items(lists.references, names), ids.length);
  return ids.map((id, row) => ({
    id,
    embedding: embeddings[row],
    successRate: fraction(column.successRates[row]),
    mass: mass(column.masses[row]),
    contents: contents ? contents[row] : null,
  }));
}

/** @param {any[]} regions @param {string[]} names */
function trends(regions, names) {
  /** @type {Received["trends"]} */
  const result = [];
  for (const { region, references, scores } of regions) {
    const steps = uint16s(scores);
    items(references, names).forEach((named, i) => {
      result.push({ item: named, score: score(steps[i]), region });
    });
  }
  return result;
}

/**
 * @param {any} message
 * @param {string[]} names
 * @returns {Map<Item, [Item, number][]>}
 */
function links(message, names) {
  if (!message) return new Map();
  const from = items(message.references, names);
  const related = sums(message.relatedDeltas).map((reference) => item(reference, names));
  const places = related.length > ONE_BYTE_PLACES ? uint16s(message.places) : message.places;
  /** @type {[Item, number][]} */
  const pairs = Array.from(places, (place, i) => [related[place], fraction(message.weights[i])]);
  return new Map(rows(message.counts, pairs, from.length).map((row, i) => [from[i], row]));
}
