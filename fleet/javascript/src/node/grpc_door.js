/** gRPC, for boxes that have it; browsers don't. */

import grpc from "@grpc/grpc-js";

import { FleetError, NoAnswer, UnreadableReply } from "../errors.js";
import { decode, encode, int64, number } from "../messages.js";

const SERVICE = "/constellation.v1.SyncService/";

/** Statuses that say nothing about the request itself. */
const NO_ANSWER = new Set([
  grpc.status.CANCELLED,
  grpc.status.UNKNOWN,
  grpc.status.DEADLINE_EXCEEDED,
  grpc.status.UNAVAILABLE,
  grpc.status.INTERNAL,
]);

/** @typedef {import("../types.js").Door} Door */

/** @implements {Door} */
export class GrpcDoor {
  /**
   * @param {string} target As "tv.example:50051".
   * @param {object} [options]
   * @param {import("@grpc/grpc-js").ChannelCredentials} [options.credentials]
   * @param {number} [options.timeoutSeconds] For one call.
   */
  constructor(target, { credentials, timeoutSeconds = 30 } = {}) {
    this.target = target;
    this.credentials = credentials || grpc.credentials.createInsecure();
    this.timeoutSeconds = timeoutSeconds;
    /** @type {Map<string, import("@grpc/grpc-js").Client>} By target. */
    this.clients = new Map();
  }

  /** @param {object} message An EnrollRequest. */
  enrol(message) {
    return this.call("Enroll", message, this.client(null), null);
  }

  /**
   * @param {object} message A SyncRequest.
   * @param {import("../types.js").Address} address
   */
  sync(message, { token, grpcTarget }) {
    return this.call("Sync", message, this.client(grpcTarget), token);
  }

  /** @param {import("../types.js").Address} address */
  openStream({ token, grpcTarget }) {
    const stream = this.client(grpcTarget).makeBidiStreamRequest(
      `${SERVICE}StreamSync`,
      (message) => Buffer.from(encode("StreamSyncRequest", message)),
      (bytes) => ({ message: decode("StreamSyncReply", bytes), bytesDown: bytes.length }),
      metadata(token),
    );
    return new StreamDoor(stream, this.timeoutSeconds);
  }

  close() {
    this.clients.forEach((client) => client.close());
    this.clients.clear();
  }

  /** @param {string | null} grpcTarget Of the shard; empty where it has none of its own. */
  client(grpcTarget) {
    const target = grpcTarget || this.target;
    if (!this.clients.has(target)) {
      this.clients.set(target, new grpc.Client(target, this.credentials));
    }
    return this.clients.get(target);
  }

  /**
   * @param {"Enroll" | "Sync"} name
   * @param {object} message
   * @param {import("@grpc/grpc-js").Client} client
   * @param {string | null} token
   * @returns {Promise<import("../types.js").Answer>}
   */
  call(name, message, client, token) {
    const body = Buffer.from(encode(`${name}Request`, message));
    const deadline = new Date(Date.now() + this.timeoutSeconds * 1000);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        SERVICE + name,
        (bytes) => bytes,
        (bytes) => bytes,
        body,
        metadata(token),
        { deadline },
        (error, bytes) => {
          const traffic = { bytesUp: body.length, bytesDown: bytes ? bytes.length : 0 };
          const said = () =>
            error ? refusal(error) : { status: 200, reply: decode(`${name}Reply`, bytes) };
          settle(() => ({ ...said(), ...traffic }), resolve, reject);
        },
      );
    });
  }
}

/**
 * Syncs over one stream. It is a door like the others, but for enrolment.
 *
 * @implements {Door}
 */
export class StreamDoor {
  /**
   * @param {import("@grpc/grpc-js").ClientDuplexStream<any, any>} stream
   * @param {number} timeoutSeconds For one sync.
   */
  constructor(stream, timeoutSeconds) {
    this.stream = stream;
    this.timeoutSeconds = timeoutSeconds;
    this.sequence = 0;
    /** @type {Map<number, {resolve: Function, reject: Function, bytesUp: number}>} */
    this.waiting = new Map();
    /** Why nothing can be said any more. @type {any} */
    this.ended = null;
    stream.on("data", (answer) => this.hear(answer));
    stream.on("error", (error) => this.end(error));
    stream.on("end", () => this.end(new NoAnswer("the stream ended", "stream_ended")));
  }

  /** @returns {Promise<import("../types.js").Answer>} */
  enrol() {
    return Promise.reject(new NoAnswer("nobody enrols over a stream", "stream_token"));
  }

  /**
   * @param {object} sync A SyncRequest.
   * @returns {Promise<import("../types.js").Answer>}
   */
  sync(sync) {
    this.sequence += 1;
    const { sequence } = this;
    const bytesUp = encode("SyncRequest", sync).length;
    return new Promise((resolve, reject) => {
      if (this.ended) {
        reject(new NoAnswer("the stream has ended", "stream_ended"));
        return;
      }
      const late = setTimeout(() => this.giveUp(sequence), this.timeoutSeconds * 1000);
      const inTime = (/** @type {Function} */ settled) => (/** @type {any} */ said) => {
        clearTimeout(late);
        settled(said);
      };
      this.waiting.set(sequence, { resolve: inTime(resolve), reject: inTime(reject), bytesUp });
      this.stream.write({ sequence: int64(sequence), sync });
    });
  }

  /** @param {number} sequence */
  giveUp(sequence) {
    const { reject } = this.waiting.get(sequence);
    this.waiting.delete(sequence);
    reject(new NoAnswer(`nothing in ${this.timeoutSeconds} s`, "timeout"));
  }

  close() {
    this.ended = new NoAnswer("the stream was closed", "stream_ended");
    this.stream.end();
  }

  /** @param {{message: any, bytesDown: number}} heard */
  hear({ message, bytesDown }) {
    const sequence = number(message.sequence);
    const asked = this.waiting.get(sequence);
    if (!asked) return; // Given up in the meantime.
    this.waiting.delete(sequence);
    const { case: outcome, value } = message.outcome;
    const said = () =>
      outcome === "reply" ? { status: 200, reply: value } : refusalOf(problemOf(value));
    const { resolve, reject, bytesUp } = asked;
    settle(() => ({ ...said(), bytesUp, bytesDown }), resolve, reject);
  }

  /** @param {any} error */
  end(error) {
    this.ended = error;
    for (const { resolve, reject } of this.waiting.values()) {
      settle(() => ({ ...refusal(error), bytesUp: 0, bytesDown: 0 }), resolve, reject);
    }
    this.waiting.clear();
  }
}

/**
 * Nothing may be thrown where gRPC calls back: it would end the process.
 *
 * @param {() => any} make @param {Function} resolve @param {Function} reject
 */
function settle(make, resolve, reject) {
  try {
    resolve(make());
  } catch (error) {
    reject(error instanceof FleetError ? error : new UnreadableReply(error.message));
  }
}

/** @param {string | null} token */
function metadata(token) {
  const result = new grpc.Metadata();
  if (token) result.set("authorization", `Device ${token}`);
  return result;
}

/**
 * What gRPC refused, in the words of HTTP; throws NoAnswer if nobody did.
 *
 * @param {any} error
 */
function refusal(error) {
  const [bytes] = error.metadata ? error.metadata.get("constellation-problem-bin") : [];
  if (bytes) return refusalOf(problemOf(decode("Problem", new Uint8Array(bytes))));
  if (error instanceof NoAnswer) throw error;
  const code = `grpc_${grpc.status[error.code] || error.code}`.toLowerCase();
  if (NO_ANSWER.has(error.code)) throw new NoAnswer(error.message, code);
  return { status: 400, problem: { code, detail: error.details } };
}

/** @param {any} problem */
function refusalOf(problem) {
  const wait = problem.retry_after_seconds;
  return { status: problem.status, problem, retryAfter: wait ? String(wait) : null };
}

/**
 * A Problem as the problem+json that it stands for.
 *
 * @param {any} message
 */
function problemOf(message) {
  /** @type {{[member: string]: any}} */
  const problem = { code: message.code, detail: message.detail, status: message.status };
  if (message.field) problem.field = message.field;
  if (message.accepted) problem.accepted = message.accepted;
  if (message.localVersion !== undefined) problem.local_version = number(message.localVersion);
  if (message.retryAfterSeconds) problem.retry_after_seconds = message.retryAfterSeconds;
  for (const [name, value] of Object.entries(message.facts)) problem[name] = JSON.parse(value);
  return problem;
}
