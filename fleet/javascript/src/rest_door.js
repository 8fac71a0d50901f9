/** The binary form of REST: application/protobuf up and down. */

import { UnreadableReply } from "./errors.js";
import { decode, encode } from "./messages.js";

const PROTOBUF = "application/protobuf";
const SYNC_PATH = "/api/v1/sync";

/** @typedef {import("./types.js").Door} Door */

/** @implements {Door} */
export class RestDoor {
  /**
   * @param {string} server As "https://tv.example".
   * @param {import("./types.js").Http} http
   */
  constructor(server, http) {
    this.server = server;
    this.http = http;
  }

  /** @param {object} message An EnrollRequest. */
  enrol(message) {
    return this.post(this.url("/api/v1/devices"), "Enroll", message, {});
  }

  /**
   * @param {object} message A SyncRequest.
   * @param {import("./types.js").Address} address
   */
  sync(message, { token, syncUrl }) {
    return this.post(syncAddress(this.server, syncUrl), "Sync", message, authorization(token));
  }

  /**
   * Have the server forget a TV and all it ever sent.
   *
   * @param {string} deviceId
   * @param {import("./types.js").Address} address
   */
  async leave(deviceId, { token }) {
    const response = await this.http({
      method: "DELETE",
      url: this.url(`/api/v1/devices/${deviceId}`),
      headers: authorization(token),
    });
    return answered(response, 0, null);
  }

  /**
   * @param {string} url
   * @param {string} name Of the messages, without Request and Reply.
   * @param {object} message
   * @param {{[name: string]: string}} headers
   */
  async post(url, name, message, headers) {
    const body = encode(`${name}Request`, message);
    const response = await this.http({
      method: "POST",
      url,
      headers: {
        ...headers,
        "Content-Type": PROTOBUF,
        Accept: PROTOBUF,
        // In a browser it is the browser who says this, and who decodes.
        "Accept-Encoding": "zstd, gzip",
      },
      body,
    });
    return answered(response, body.length, `${name}Reply`);
  }

  /** @param {string} path */
  url(path) {
    return this.server.replace(/\/+$/, "") + path;
  }
}

/**
 * Where a TV's shard answers; where it enrolled, unless told.
 *
 * @param {string} server
 * @param {string | null} syncUrl
 */
export function syncAddress(server, syncUrl) {
  const url = new URL(syncUrl || "", server).href;
  return url.endsWith(SYNC_PATH) ? url : url.replace(/\/+$/, "") + SYNC_PATH;
}

/** @param {string | null} token @returns {{[name: string]: string}} */
export function authorization(token) {
  return token ? { Authorization: `Device ${token}` } : {};
}

/**
 * @param {import("./types.js").HttpResponse} response
 * @param {number} bytesUp
 * @param {string | null} replyName
 * @returns {import("./types.js").Answer}
 */
function answered(response, bytesUp, replyName) {
  const { status, bytesDown } = response;
  const answer = { status, bytesUp, bytesDown, retryAfter: response.header("Retry-After") };
  if (status >= 300) return { ...answer, problem: problemOf(response.body) };
  return replyName ? { ...answer, reply: replyOf(replyName, response) } : answer;
}

/**
 * @param {string} name
 * @param {import("./types.js").HttpResponse} response
 */
function replyOf(name, response) {
  const type = response.header("Content-Type") || "";
  if (type.split(";")[0].trim() !== PROTOBUF) throw new UnreadableReply(`the reply is ${type}`);
  try {
    return decode(name, response.body);
  } catch (error) {
    throw new UnreadableReply(`the reply is no ${name}: ${error.message}`);
  }
}

/**
 * What the server says went wrong; empty if that isn't a problem+json.
 *
 * @param {Uint8Array} body
 */
export function problemOf(body) {
  try {
    const problem = JSON.parse(new TextDecoder().decode(body));
    return problem && typeof problem === "object" ? problem : {};
  } catch (_) {
    return {};
  }
}
