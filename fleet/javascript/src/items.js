/** Names and ordinals of contents and genres: the bundle "items". */

import { sums } from "./columns.js";
import { decode } from "./messages.js";

export const GENRE_PREFIX = "genre:";

export class Items {
  /** @param {Uint8Array} bytes The bundle. */
  static read(bytes) {
    const message = decode("ItemsBundle", bytes);
    return new Items(sums(message.ordinalDeltas), message.items);
  }

  /**
   * @param {number[]} [ordinals]
   * @param {string[]} [names] name i is that of ordinal i.
   */
  constructor(ordinals = [], names = []) {
    /** @type {Map<number, string>} */
    this.names = new Map(ordinals.map((ordinal, i) => [ordinal, names[i]]));
    /** @type {Map<string, number>} */
    this.ordinals = new Map(ordinals.map((ordinal, i) => [names[i], ordinal]));
  }

  /**
   * @param {string | number} item A name, or an ordinal.
   * @returns {string | undefined} undefined for an ordinal nobody named yet.
   */
  nameOf(item) {
    return typeof item === "string" ? item : this.names.get(item);
  }

  /** @param {string} name */
  ordinalOf(name) {
    return this.ordinals.get(name);
  }
}
