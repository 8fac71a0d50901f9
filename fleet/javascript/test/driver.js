/**
 * A TV on a line: commands come in as JSON, one a line, and so do answers go out.
 *
 * What befalls its connection is commanded too: replies that are lost after the server
 * gave them, caches that change what they keep.
 */

import { createInterface } from "node:readline";

import { Backoff } from "../src/backoff.js";
import { fromHex, hex } from "../src/bytes.js";
import { Codebook } from "../src/codebook.js";
import { alike, writeDelta } from "../src/delta.js";
import { readFloat16, readFloat32, readInt8, writeInt8 } from "../src/embeddings.js";
import { NoAnswer } from "../src/errors.js";
import { fetchHttp } from "../src/fetch_http.js";
import { Items } from "../src/items.js";
import { Knowledge } from "../src/knowledge.js";
import { MemoryCache, MemoryStorage } from "../src/memory.js";
import { GrpcDoor } from "../src/node/grpc_door.js";
import * as platform from "../src/node/platform.js";
import { Outbox } from "../src/outbox.js";
import { Publications } from "../src/publications.js";
import { Catalogue, ranked, scores } from "../src/ranking.js";
import { Received } from "../src/received.js";
import { RestDoor } from "../src/rest_door.js";
import { Television } from "../src/television.js";
import { unzstd } from "../src/zstd.js";

const ATTEMPTS = 4;

/** A busy machine takes its time; a test that hangs says so by itself. */
const PATIENCE_SECONDS = 600;

/** @type {Television} */
let tv;
let grpc;
/** Replies to syncs still to be lost, and what a cache has changed. */
const fate = { lost: 0, tampered: null };
/** What went over the wire: the last sync as it was, and how replies were encoded. */
const wire = { sent: null, heard: null, encodings: [] };
/** Pauses the TV made, none of them slept. */
const pauses = [];

const patient = fetchHttp({ fetch, unzstd, timeoutSeconds: PATIENCE_SECONDS });

async function http(request) {
  const response = await patient(request);
  wire.encodings.push(response.header("Content-Encoding"));
  if (request.url.endsWith("/sync")) {
    Object.assign(wire, { sent: hex(request.body), heard: hex(response.body) });
    lose();
  }
  if (!fate.tampered || !request.url.includes(fate.tampered)) return response;
  const body = response.body.slice();
  body[body.length - 1] ^= 1;
  return { ...response, body };
}

function lose() {
  if (!fate.lost) return;
  fate.lost -= 1;
  throw new NoAnswer("the reply was lost", "lost");
}

function overGrpc(target) {
  const door = new GrpcDoor(target, { timeoutSeconds: PATIENCE_SECONDS });
  return {
    enrol: (message) => door.enrol(message),
    async sync(message, address) {
      const answer = await door.sync(message, address);
      lose();
      return answer;
    },
    openStream: (address) => door.openStream(address),
    close: () => door.close(),
  };
}

const patternOf = (each) => ({ ...each, embedding: Float32Array.from(each.embedding) });
const floats = (rows) => rows.map((row) => Array.from(row));
const heardOf = ({ similar, trends, links }) => ({
  similar: similar.map((row) => ({ ...row, embedding: Float32Array.from(row.embedding) })),
  trends,
  links: new Map(links),
});

const commands = {
  async open({ directory, grpcTarget, deviceId, ...facts }) {
    grpc = grpcTarget ? overGrpc(grpcTarget) : null;
    tv = await Television.open({
      ...facts,
      door: grpc || new RestDoor(facts.server, http),
      http,
      outboxStorage: new platform.FileStorage(`${directory}/outbox.json`),
      trustStorage: new platform.FileStorage(`${directory}/trust.json`),
      cache: new platform.DirectoryCache(`${directory}/bundles`),
      crypto: platform.crypto,
      newDeviceId: () => deviceId,
      pause: async (seconds) => pauses.push(seconds),
      backoff: new Backoff({ attempts: ATTEMPTS }),
    });
    return tv.client.outbox;
  },
  async stream() {
    tv.client.door = grpc.openStream(tv.client.outbox);
  },
  async end_stream() {
    tv.client.door.close();
  },
  async leave_stream() {
    tv.client.door = grpc;
  },
  async fate(changes) {
    Object.assign(fate, changes);
  },
  async enrol() {
    await tv.client.enrol();
    return tv.client.outbox;
  },
  async outbox_text() {
    return tv.client.outbox.toText();
  },
  async restore({ text }) {
    tv.client.outbox = Outbox.fromText(text);
  },
  async forget_news() {
    tv.client.received = new Received();
  },
  async forget_token() {
    tv.client.outbox.token = "Q29uc3RlbGxhdGlvbg";
  },
  async sync({ patterns }) {
    const result = await tv.sync(patterns.map(patternOf));
    const { codebook } = tv.knowledge;
    return {
      ...result,
      outbox: tv.client.outbox,
      held: codebook && codebook.version,
      trouble: tv.trouble && told(tv.trouble),
    };
  },
  async leave() {
    const { door, outbox } = tv.client;
    return (await door.leave(outbox.deviceId, outbox)).status;
  },
  async pauses() {
    return pauses;
  },
  async wire() {
    return wire;
  },
  async refresh({ names }) {
    const { fetched } = tv.publications;
    const { bundles, ...publication } = await tv.refresh(names);
    return {
      ...publication,
      names: Array.from(bundles.keys()),
      fetched: tv.publications.fetched - fetched,
      codebook: tv.knowledge.codebook && tv.knowledge.codebook.version,
      items: tv.knowledge.items.names.size,
    };
  },
  async received() {
    const { globalVersion } = tv.client.received;
    const { similar, trends, links } = tv.knowledge.named(tv.client.received);
    const rows = similar.map((row) => ({ ...row, embedding: Array.from(row.embedding) }));
    return { globalVersion, similar: rows, trends, links: Array.from(links) };
  },
  async rank({ likes, patterns, catalogue, heard }) {
    const household = { likes, patterns: patterns.map(patternOf) };
    const contents = new Catalogue(
      catalogue.contentIds,
      catalogue.embeddings.map((row) => Float32Array.from(row)),
    );
    if (!heard) return { order: tv.rank(household, contents) };
    const inputs = [household, heardOf(heard), contents];
    return { order: ranked(...inputs), scores: Array.from(scores(...inputs)) };
  },
  async decode_codes({ codebook, codes }) {
    const book = Codebook.read(fromHex(codebook));
    return floats(codes.map((code) => book.decode(fromHex(code))));
  },
  async encode_codes({ codebook, vectors, size }) {
    const book = Codebook.read(fromHex(codebook));
    return vectors.map((vector) => hex(book.encode(Float32Array.from(vector), size)));
  },
  async decode_rows({ encoding, rows }) {
    const read = { float32: readFloat32, float16: readFloat16, int8: readInt8 }[encoding];
    return floats(rows.map((row) => read(fromHex(row))));
  },
  async write_int8({ vector }) {
    return hex(writeInt8(Float32Array.from(vector)));
  },
  async write_delta({ changes, localVersion, codebook, items }) {
    const knowledge = new Knowledge();
    if (codebook) knowledge.keep(Codebook.read(fromHex(codebook)));
    if (items) knowledge.items = new Items(Object.values(items), Object.keys(items));
    const delta = { ...changes, added: changes.added.map(patternOf) };
    return hex(writeDelta(delta, localVersion, knowledge));
  },
  async alike({ patterns, codebook }) {
    const chosen = alike(patterns.map(patternOf), { codebook: Codebook.read(fromHex(codebook)) });
    return chosen.map((pattern) => pattern.id);
  },
  async verify({ manifest, version, keys, held }) {
    const publications = new Publications({
      keys,
      crypto: platform.crypto,
      storage: new MemoryStorage(),
      cache: new MemoryCache(),
    });
    publications.globalVersion = held || 0;
    const { bundles, ...facts } = await publications.verified(fromHex(manifest), version);
    return { ...facts, bundles: Object.fromEntries(bundles) };
  },
  async unzstd({ bytes, limit }) {
    return hex(unzstd(fromHex(bytes), limit));
  },
};

const told = ({ name, code, message, status, field }) => ({ name, code, message, status, field });

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await commands[command](options)) ?? null };
  } catch (error) {
    answer = { error: told(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
if (grpc) grpc.close();
process.exit(0);
