/** What a TV keeps of bundles, and whom it trusts, over years and over what breaks. */

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { NoAnswer, UnreadableReply } from "../src/errors.js";
import { MemoryCache, MemoryStorage } from "../src/memory.js";
import { StreamDoor } from "../src/node/grpc_door.js";
import { DirectoryCache, crypto } from "../src/node/platform.js";
import { BUNDLES_KEPT, Publications } from "../src/publications.js";
import { Television } from "../src/television.js";

const [OLD, NEW, NEWEST] = ["11", "22", "33"].map((pair) => pair.repeat(32));
const BUNDLE = Uint8Array.of(1, 2, 3);

async function publications(keys, { storage = new MemoryStorage(), cache = new MemoryCache(), http } = {}) {
  const result = new Publications({ server: "http://tv.example", http, storage, cache, crypto, keys });
  await result.open();
  return result;
}

test("keys that a manifest named outlive a restart", async () => {
  const storage = new MemoryStorage();
  const before = await publications([OLD], { storage });
  await before.remember({ globalVersion: 18, keys: [NEW] });

  const after = await publications([OLD], { storage });

  assert.deepEqual([after.globalVersion, after.keys], [18, [NEW]]);
});

test("keys of newer software count: it is the way back after missed rotations", async () => {
  const storage = new MemoryStorage();
  const before = await publications([OLD], { storage });
  await before.remember({ globalVersion: 18, keys: [NEW] });

  const after = await publications([NEWEST], { storage });

  assert.deepEqual([after.globalVersion, after.keys], [18, [NEWEST]]);
});

test("a manifest that names no keys leaves those that there are", async () => {
  const found = await publications([OLD]);

  await found.remember({ globalVersion: 18, keys: [] });

  assert.deepEqual(found.keys, [OLD]);
});

test("what was remembered and can't be read is as good as nothing", async () => {
  for (const text of ["", "{", "null", '{"keys": 3}', '{"globalVersion": "x", "keys": []}']) {
    const found = await publications([OLD], { storage: new MemoryStorage(text) });
    assert.deepEqual([found.globalVersion, found.keys], [0, [OLD]]);
  }
});

test("a cache that is full costs time, not the bundle", async () => {
  const full = async () => {
    throw new Error("QuotaExceededError");
  };
  const http = async () => ({ status: 200, body: BUNDLE });
  const found = await publications([OLD], { cache: { get: full, put: full }, http });
  const sha256 = Buffer.from(await crypto.sha256(BUNDLE)).toString("hex");

  const bundle = await found.bundle("http://cache.example/", { path: "items", sha256, size: 3 });

  assert.deepEqual(bundle, BUNDLE);
});

test("a bundle that can't be understood is trouble, and no more", async () => {
  const knowledge = { codebooks: new Map(), learn: () => JSON.parse("tomorrow's shape") };
  const tv = new Television({ outbox: {} }, { fetch: async () => ({ bundles: new Map() }) }, knowledge);

  await tv.refreshIfPossible(["codebook"]);

  assert.ok(tv.trouble instanceof UnreadableReply);
});

test("caches keep the latest bundles only", async () => {
  const directory = await mkdtemp(join(tmpdir(), "constellation-cache-"));
  const caches = [new MemoryCache(), new DirectoryCache(directory)];
  for (let number = 1; number <= BUNDLES_KEPT + 3; number++) {
    for (const cache of caches) await cache.put(`bundle-${number}`, BUNDLE);
    // Long apart, as publications are.
    await utimes(join(directory, `bundle-${number}`), number, number);
  }

  assert.equal((await readdir(directory)).length, BUNDLES_KEPT);
  for (const cache of caches) {
    assert.equal(await cache.get("bundle-3"), null);
    assert.deepEqual(await cache.get("bundle-4"), BUNDLE);
  }
  await rm(directory, { recursive: true });
});

function stream() {
  return Object.assign(new EventEmitter(), { write() {}, end() {} });
}

test("a stream that says nothing is no answer, in the end", async () => {
  const door = new StreamDoor(stream(), 0.01);

  await assert.rejects(door.sync({}), { name: NoAnswer.name, code: "timeout" });

  door.hear({ message: { sequence: 1n, outcome: {} }, bytesDown: 0 }); // Too late.
  assert.equal(door.waiting.size, 0);
});

test("a stream that says what can't be read ends no process", async () => {
  const door = new StreamDoor(stream(), 600);
  const answer = door.sync({});

  const facts = { known: "no JSON" };
  door.hear({ message: { sequence: 1n, outcome: { case: "problem", value: { facts } } }, bytesDown: 0 });

  await assert.rejects(answer, UnreadableReply);
});
