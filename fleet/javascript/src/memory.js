/** Storage and cache that last until the TV is switched off. */

import { BUNDLES_KEPT } from "./publications.js";

/** @typedef {import("./types.js").Storage} Storage */
/** @typedef {import("./types.js").Cache} Cache */

/** @implements {Storage} */
export class MemoryStorage {
  /** @param {string | null} [text] */
  constructor(text = null) {
    this.text = text;
  }

  async load() {
    return this.text;
  }

  /** @param {string} text */
  async save(text) {
    this.text = text;
  }
}

/** @implements {Cache} */
export class MemoryCache {
  constructor() {
    /** @type {Map<string, Uint8Array>} */
    this.bundles = new Map();
  }

  /** @param {string} sha256 */
  async get(sha256) {
    return this.bundles.get(sha256) || null;
  }

  /** @param {string} sha256 @param {Uint8Array} bytes */
  async put(sha256, bytes) {
    this.bundles.set(sha256, bytes);
    const oldestFirst = Array.from(this.bundles.keys());
    for (const each of oldestFirst.slice(0, -BUNDLES_KEPT)) this.bundles.delete(each);
  }
}
