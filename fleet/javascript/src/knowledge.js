/** What a TV keeps from bundles: codebooks, names of ordinals, contents of patterns. */

import { Codebook } from "./codebook.js";
import { items, rows, sums } from "./columns.js";
import { Items } from "./items.js";
import { decode } from "./messages.js";

/** @typedef {import("./received.js").Item} Item */

/** A reply may still be written with the last one, while the next is fetched. */
const CODEBOOKS_KEPT = 2;

export class Knowledge {
  constructor() {
    /** @type {Map<number, Codebook>} By version. */
    this.codebooks = new Map();
    this.items = new Items();
    /** @type {Map<number, Item[]>} Of global patterns, by id. */
    this.contents = new Map();
  }

  /** The newest codebook, or null. */
  get codebook() {
    const newest = Math.max(0, ...this.codebooks.keys());
    return this.codebooks.get(newest) || null;
  }

  /**
   * Take in bundles of one publication, each verified.
   *
   * @param {Map<string, Uint8Array>} bundles By name; others than those known here are
   *   passed over.
   */
  learn(bundles) {
    const codebook = bundles.get("codebook");
    const names = bundles.get("items");
    const patterns = bundles.get("patterns");
    if (codebook) this.keep(Codebook.read(codebook));
    if (names) this.items = Items.read(names);
    if (patterns) this.contents = contentsOf(patterns);
  }

  /**
   * The server knows none of the codebooks here, but perhaps its current one.
   *
   * @param {number} version
   */
  forgetOtherCodebooks(version) {
    for (const held of Array.from(this.codebooks.keys())) {
      if (held !== version) this.codebooks.delete(held);
    }
  }

  /** @param {Codebook} codebook */
  keep(codebook) {
    this.codebooks.set(codebook.version, codebook);
    const newestFirst = Array.from(this.codebooks.keys()).sort((a, b) => b - a);
    for (const version of newestFirst.slice(CODEBOOKS_KEPT)) this.codebooks.delete(version);
  }

  /**
   * Say whether everything in what was received has a name here.
   *
   * @param {import("./received.js").Received} received
   */
  names({ similar, trends, links }) {
    const isNamed = (/** @type {Item} */ item) => this.items.nameOf(item) !== undefined;
    return (
      similar.every(({ contents }) => (contents || []).every(isNamed)) &&
      trends.every(({ item }) => isNamed(item)) &&
      Array.from(links).every(([item, pairs]) => [item, ...pairs.map(([to]) => to)].every(isNamed))
    );
  }

  /**
   * Put names to what was received, and leave out what has none: for ranking.
   *
   * @param {import("./received.js").Received} received
   * @returns {import("./ranking.js").Heard}
   */
  named(received) {
    const links = Array.from(received.links);
    return {
      similar: received.similar.map(({ id, embedding, successRate, contents }) => ({
        embedding,
        successRate,
        contents: (contents || this.contents.get(id) || [])
          .map((item) => this.items.nameOf(item))
          .filter((name) => name !== undefined),
      })),
      trends: this.pairs(received.trends.map(({ item, score }) => [item, score])),
      links: new Map(this.pairs(links.map(([item, pairs]) => [item, this.pairs(pairs)]))),
    };
  }

  /**
   * @template T
   * @param {[Item, T][]} pairs
   * @returns {[string, T][]} Those that have a name.
   */
  pairs(pairs) {
    /** @type {[string, T][]} */
    const result = [];
    for (const [item, value] of pairs) {
      const name = this.items.nameOf(item);
      if (name !== undefined) result.push([name, value]);
    }
    return result;
  }
}

/** @param {Uint8Array} bundle */
function contentsOf(bundle) {
  const message = decode("PatternsBundle", bundle);
  const ids = sums(message.idDeltas);
  const contents = items(message.contents, message.names);
  const lists = rows(message.contentCounts, contents, ids.length);
  return new Map(ids.map((id, row) => [id, lists[row]]));
}
