/** What a TV's browser brings along: webOS 5, Tizen 5.5 and newer. */

import { uuidText } from "./bytes.js";
import { fetchHttp } from "./fetch_http.js";
import { BUNDLES_KEPT } from "./publications.js";
import { RestDoor } from "./rest_door.js";
import { Television } from "./television.js";
import { unzstd } from "./zstd.js";

const CACHE_NAME = "constellation-bundles";

/**
 * @param {object} facts
 * @param {string} facts.server
 * @param {string} facts.enrolmentKey
 * @param {string[]} facts.keys Public keys of bundles, in hexadecimal.
 * @param {{sign: {detached: {verify: Function}}}} facts.nacl What tweetnacl gives.
 * @param {string} [facts.region]
 */
export function openInBrowser({ nacl, ...facts }) {
  const http = fetchHttp({ fetch: (url, request) => self.fetch(url, request), unzstd });
  return Television.open({
    ...facts,
    door: new RestDoor(facts.server, http),
    http,
    outboxStorage: localStorageText("constellation.outbox"),
    trustStorage: localStorageText("constellation.trust"),
    cache: cacheStorage,
    crypto: {
      verify: (statement, signature, key) => nacl.sign.detached.verify(statement, signature, key),
      sha256: async (bytes) => new Uint8Array(await self.crypto.subtle.digest("SHA-256", bytes)),
    },
    newDeviceId,
    pause: (seconds) => new Promise((resume) => setTimeout(resume, seconds * 1000)),
  });
}

/** @param {string} key @returns {import("./types.js").Storage} */
function localStorageText(key) {
  return {
    load: async () => self.localStorage.getItem(key),
    save: async (text) => self.localStorage.setItem(key, text),
  };
}

/** @type {import("./types.js").Cache} */
const cacheStorage = {
  async get(sha256) {
    const cache = await self.caches.open(CACHE_NAME);
    const found = await cache.match(`/${sha256}`);
    return found ? new Uint8Array(await found.arrayBuffer()) : null;
  },
  async put(sha256, bytes) {
    const cache = await self.caches.open(CACHE_NAME);
    await cache.put(`/${sha256}`, new Response(bytes));
    const oldestFirst = await cache.keys();
    for (const each of oldestFirst.slice(0, -BUNDLES_KEPT)) await cache.delete(each);
  },
};

/** A random UUID, version 4. */
function newDeviceId() {
  const bytes = self.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return uuidText(bytes);
}
