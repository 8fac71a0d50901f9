/** HTTP by `fetch`, which TVs and Node have alike. */

import { NoAnswer, UnreadableReply } from "./errors.js";

/** What every zstd frame begins with. */
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/**
 * @param {object} parts
 * @param {typeof fetch} parts.fetch
 * @param {(bytes: Uint8Array) => Uint8Array} parts.unzstd
 * @param {number} [parts.timeoutSeconds] For one request, all of it.
 * @returns {import("./types.js").Http}
 */
export function fetchHttp({ fetch, unzstd, timeoutSeconds = 30 }) {
  return async ({ method, url, headers, body }) => {
    const { response, content } = await exchange(fetch, timeoutSeconds, url, {
      method,
      headers,
      body,
    });
    const header = (/** @type {string} */ name) => response.headers.get(name);
    const isZstd = header("Content-Encoding") === "zstd" && startsWith(content, ZSTD_MAGIC);
    return {
      status: response.status,
      header,
      // Where fetch knows zstd it has decoded it already, and the header is still there.
      body: isZstd ? inflated(unzstd, content) : content,
      bytesDown: Number(header("Content-Length")) || content.length,
    };
  };
}

/**
 * @param {typeof fetch} fetch
 * @param {number} timeoutSeconds
 * @param {string} url
 * @param {RequestInit} request
 */
async function exchange(fetch, timeoutSeconds, url, request) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutSeconds * 1000);
  try {
    const response = await fetch(url, { ...request, signal: abort.signal });
    return { response, content: new Uint8Array(await response.arrayBuffer()) };
  } catch (error) {
    if (abort.signal.aborted) throw new NoAnswer(`nothing in ${timeoutSeconds} s`, "timeout");
    throw new NoAnswer(String(error.message || error));
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {(bytes: Uint8Array) => Uint8Array} unzstd
 * @param {Uint8Array} content
 */
function inflated(unzstd, content) {
  try {
    return unzstd(content);
  } catch (error) {
    throw new UnreadableReply(`the reply is no zstd: ${error.message}`);
  }
}

/** @param {Uint8Array} bytes @param {number[]} beginning */
function startsWith(bytes, beginning) {
  return beginning.every((byte, i) => bytes[i] === byte);
}
