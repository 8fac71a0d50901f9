/** What Node brings along: for tests, and for boxes that run it. */

import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import nacl from "tweetnacl";

import { fetchHttp } from "../fetch_http.js";
import { BUNDLES_KEPT } from "../publications.js";
import { unzstd } from "../zstd.js";

/** @typedef {import("../types.js").Storage} Storage */
/** @typedef {import("../types.js").Cache} Cache */

/** @type {import("../publications.js").Crypto} */
export const crypto = {
  verify: (statement, signature, key) => nacl.sign.detached.verify(statement, signature, key),
  sha256: async (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
};

export const http = fetchHttp({ fetch, unzstd });

export const newDeviceId = randomUUID;

/** @param {number} seconds @returns {Promise<void>} */
export function pause(seconds) {
  return new Promise((resume) => setTimeout(resume, seconds * 1000));
}

/** @implements {Storage} */
export class FileStorage {
  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  load() {
    return ifThere(readFile(this.path, "utf8"));
  }

  /** @param {string} text */
  async save(text) {
    const fresh = `${this.path}.new`;
    // The token in it opens this TV's door: its owner alone may read it.
    const file = await open(fresh, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, this.path);
    // Or the name could still mean the old text when the power comes back.
    const folder = await open(dirname(this.path));
    await folder.sync();
    await folder.close();
  }
}

/** @implements {Cache} */
export class DirectoryCache {
  /** @param {string} directory */
  constructor(directory) {
    this.directory = directory;
  }

  /** @param {string} sha256 */
  async get(sha256) {
    const found = await ifThere(readFile(join(this.directory, sha256)));
    return found && new Uint8Array(found);
  }

  /** @param {string} sha256 @param {Uint8Array} bytes */
  async put(sha256, bytes) {
    await mkdir(this.directory, { recursive: true });
    await writeFile(join(this.directory, sha256), bytes);
    for (const path of (await this.newestFirst()).slice(BUNDLES_KEPT)) await rm(path);
  }

  async newestFirst() {
    const paths = (await readdir(this.directory)).map((name) => join(this.directory, name));
    const times = await Promise.all(paths.map(async (path) => (await stat(path)).mtimeMs));
    return paths
      .map((path, i) => ({ path, time: times[i] }))
      .sort((a, b) => b.time - a.time)
      .map(({ path }) => path);
  }
}

/**
 * @template T
 * @param {Promise<T>} reading
 * @returns {Promise<T | null>}
 */
async function ifThere(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}
