/**
 * How long a TV waits before it tries again.
 *
 * Every wait is random over its whole range, so that TVs which failed together don't
 * come back together; a server that says when to come back isn't asked earlier. A TV
 * that hears nothing gives up after a few tries, and comes back at its usual pace.
 */

/** A server may ask for hours of patience; a nonsensical header must not mean for ever. */
const LONGEST_RETRY_AFTER_SECONDS = 24 * 3600;

/** How far waits that the server asked for are spread: a share of the wait, at most. */
const RETRY_AFTER_SPREAD_FRACTION = 0.25;
const LONGEST_RETRY_AFTER_SPREAD_SECONDS = 30;

export class Backoff {
  /**
   * @param {object} [options]
   * @param {number} [options.baseSeconds]
   * @param {number} [options.capSeconds]
   * @param {number} [options.attempts] In all, the first one included.
   * @param {() => number} [options.random] 0 to 1.
   */
  constructor({ baseSeconds = 1, capSeconds = 3600, attempts = 4, random = Math.random } = {}) {
    this.baseSeconds = baseSeconds;
    this.capSeconds = capSeconds;
    this.attempts = attempts;
    this.random = random;
  }

  /**
   * @param {number} failures In a row, at least one.
   * @param {string | null} retryAfter The header.
   */
  waitSeconds(failures, retryAfter) {
    const asked = retryAfterSeconds(retryAfter);
    if (asked !== null) {
      const share = asked * RETRY_AFTER_SPREAD_FRACTION;
      const spread = Math.min(share, LONGEST_RETRY_AFTER_SPREAD_SECONDS);
      return asked + this.random() * Math.max(this.baseSeconds, spread);
    }
    const longest = Math.min(this.capSeconds, this.baseSeconds * 2 ** (failures - 1));
    return this.random() * longest;
  }

  /**
   * The wait after giving up: as long as usual, and up to twice.
   *
   * @param {number} paceSeconds What the server said last.
   */
  nextSyncSeconds(paceSeconds) {
    return (1 + this.random()) * paceSeconds;
  }
}

/**
 * Read a Retry-After header, in seconds or as a date; null if it says nothing.
 *
 * @param {string | null} header
 * @param {number} [nowMs]
 */
export function retryAfterSeconds(header, nowMs = Date.now()) {
  if (header === null) return null;
  const text = header.trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - nowMs) / 1000;
  if (Number.isNaN(seconds)) return null;
  return Math.min(Math.max(seconds, 0), LONGEST_RETRY_AFTER_SECONDS);
}
