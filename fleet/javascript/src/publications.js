/** Publications: asked for, fetched from any cache, and believed only if signed. */

import { ascii, fromHex, hex, joined } from "./bytes.js";
import { Refused, UnreadableReply, Untrusted } from "./errors.js";
import { decode, number } from "./messages.js";
import { authorization, problemOf, syncAddress } from "./rest_door.js";

const MANIFEST_CONTEXT = "constellation manifest v1\n";
const ROOT = "/api/v1/";
const KEY_BYTES = 32;

/** What a cache keeps; the bundles of former publications go first. */
export const BUNDLES_KEPT = 16;

/**
 * @typedef {object} Crypto
 * @property {(statement: Uint8Array, signature: Uint8Array, key: Uint8Array) => boolean} verify
 *   Ed25519 (RFC 8032).
 * @property {(bytes: Uint8Array) => Promise<Uint8Array>} sha256
 */

/**
 * @typedef {object} Manifest
 * @property {number} globalVersion
 * @property {number} codebookVersion
 * @property {Map<string, {path: string, sha256: string, size: number}>} bundles By name.
 * @property {string[]} keys Public keys to trust from now on, in hexadecimal.
 */

export class Publications {
  /**
   * @param {object} parts
   * @param {string} parts.server
   * @param {import("./types.js").Http} parts.http
   * @param {import("./types.js").Storage} parts.storage Where is kept whom to trust.
   * @param {import("./types.js").Cache} parts.cache
   * @param {Crypto} parts.crypto
   * @param {string[]} parts.keys Public keys in the software, in hexadecimal; they count
   *   until a manifest names others.
   */
  constructor({ server, http, storage, cache, crypto, keys }) {
    this.server = server;
    this.http = http;
    this.storage = storage;
    this.cache = cache;
    this.crypto = crypto;
    this.keys = keys;
    /** Those it came with. */
    this.software = keys;
    this.globalVersion = 0;
    /** How many bundles came over the wire and weren't in the cache. */
    this.fetched = 0;
  }

  /**
   * Take up whom the last run trusted. Keys that are new in the software come first: an
   * update of it is how a TV finds back that was off while its keys were replaced.
   */
  async open() {
    const { globalVersion, keys, software } = remembered(await this.storage.load());
    const isSame = String(software) === String(this.software);
    Object.assign(this, isSame ? { globalVersion, keys } : { globalVersion });
  }

  /**
   * Bring the current publication here.
   *
   * @param {import("./types.js").Address} address Of the TV's shard.
   * @param {string[]} names Bundles that are wanted; those it doesn't have are left out.
   * @returns {Promise<{globalVersion: number, codebookVersion: number,
   *   bundles: Map<string, Uint8Array>}>}
   */
  async fetch(address, names) {
    const current = await this.current(address);
    const bundles = new Map();
    if (!current.global_version) return { globalVersion: 0, codebookVersion: 0, bundles };

    const url = current.urls.manifest;
    const manifest = await this.verified((await this.get(url)).body, current.global_version);
    await this.remember(manifest);
    const root = url.slice(0, url.indexOf(ROOT) + ROOT.length);
    for (const name of names) {
      const entry = manifest.bundles.get(name);
      if (entry) bundles.set(name, await this.bundle(root, entry));
    }
    const { globalVersion, codebookVersion } = manifest;
    return { globalVersion, codebookVersion, bundles };
  }

  /** @param {import("./types.js").Address} address */
  async current({ token, syncUrl }) {
    const sync = syncAddress(this.server, syncUrl);
    const url = sync.slice(0, -"sync".length) + "publications/current";
    const { body } = await this.get(url, authorization(token));
    try {
      return JSON.parse(new TextDecoder().decode(body));
    } catch (error) {
      throw new UnreadableReply(`publications/current isn't JSON: ${error.message}`);
    }
  }

  /**
   * Read a SignedManifest, if somebody trusted signed it and it isn't an old one.
   *
   * @param {Uint8Array} bytes
   * @param {number} expectedVersion The one in the address.
   * @returns {Promise<Manifest>}
   */
  async verified(bytes, expectedVersion) {
    const signed = parsed("SignedManifest", bytes);
    const statement = joined([ascii(MANIFEST_CONTEXT), signed.manifest]);
    if (!(await this.isSigned(statement, signed.signatures))) {
      throw new Untrusted("nobody trusted has signed the manifest");
    }
    const manifest = readManifest(signed.manifest);
    if (manifest.globalVersion !== expectedVersion) {
      throw new Untrusted(`the manifest is of version ${manifest.globalVersion}`);
    }
    if (manifest.globalVersion < this.globalVersion) {
      throw new Untrusted(`version ${manifest.globalVersion} is older than what is held`);
    }
    return manifest;
  }

  /**
   * @param {Uint8Array} statement
   * @param {{keyId: string, signature: Uint8Array}[]} signatures
   */
  async isSigned(statement, signatures) {
    for (const key of this.keys.map(fromHex)) {
      const keyId = "k" + hex(await this.crypto.sha256(key)).slice(0, 16);
      for (const { signature } of signatures.filter((each) => each.keyId === keyId)) {
        if (signature.length === 64 && this.crypto.verify(statement, signature, key)) return true;
      }
    }
    return false;
  }

  /** @param {Manifest} manifest */
  async remember({ globalVersion, keys }) {
    Object.assign(this, { globalVersion, keys: keys.length ? keys : this.keys });
    const { software } = this;
    await this.storage.save(JSON.stringify({ globalVersion, keys: this.keys, software }));
  }

  /**
   * A bundle's bytes, from the cache or the wire; what the manifest says they are.
   *
   * @param {string} root
   * @param {{path: string, sha256: string, size: number}} entry
   */
  async bundle(root, { path, sha256, size }) {
    const kept = await this.cache.get(sha256).catch(() => null);
    if (kept && (await this.is(kept, sha256, size))) return kept;

    const { body } = await this.get(root + path);
    if (!(await this.is(body, sha256, size))) {
      throw new Untrusted(`${path} isn't what the manifest says`);
    }
    this.fetched += 1;
    // A cache that is full costs time, not the bundle.
    await this.cache.put(sha256, body).catch(() => null);
    return body;
  }

  /** @param {Uint8Array} bytes @param {string} sha256 @param {number} size */
  async is(bytes, sha256, size) {
    return bytes.length === size && hex(await this.crypto.sha256(bytes)) === sha256;
  }

  /** @param {string} url @param {{[name: string]: string}} [headers] */
  async get(url, headers = {}) {
    const response = await this.http({
      method: "GET",
      url,
      headers: { ...headers, "Accept-Encoding": "zstd, gzip" },
    });
    if (response.status === 200) return response;
    const problem = problemOf(response.body);
    throw new Refused({ status: response.status, problem, bytesUp: 0, bytesDown: 0 });
  }
}

/**
 * @param {string | null} text
 * @returns {{globalVersion: number, keys?: string[], software?: string[]}} What can't be
 *   read is as good as nothing.
 */
function remembered(text) {
  try {
    const { globalVersion, keys, software } = JSON.parse(text || "{}");
    if (Number.isSafeInteger(globalVersion) && Array.isArray(keys)) {
      return { globalVersion, keys, software };
    }
  } catch (_) {
    // It was cut off.
  }
  return { globalVersion: 0 };
}

/** @param {Uint8Array} bytes @returns {Manifest} */
function readManifest(bytes) {
  const message = parsed("Manifest", bytes);
  return {
    globalVersion: number(message.globalVersion),
    codebookVersion: message.codebookVersion,
    bundles: new Map(message.bundles.map(namedEntry)),
    keys: message.keys
      .filter(({ publicKey }) => publicKey.length === KEY_BYTES)
      .map(({ publicKey }) => hex(publicKey)),
  };
}

/** @param {any} entry A ManifestEntry. */
function namedEntry({ name, path, sha256, sizeBytes }) {
  return [name, { path, sha256: hex(sha256), size: number(sizeBytes) }];
}

/** @param {string} name @param {Uint8Array} bytes */
function parsed(name, bytes) {
  try {
    return decode(name, bytes);
  } catch (error) {
    throw new Untrusted(`what came is no ${name}: ${error.message}`);
  }
}
