/** Storage and cache that last until the TV is switched off. */

/** @implements {import("./types.js").Storage} */
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

/** @implements {import("./types.js").Cache} */
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
  }
}
