/**
 * What a TV owes the server: exactly one delta at a time, kept until confirmed.
 *
 * A reply that was lost looks like a delta that was lost, and only the server knows
 * which. So a delta, once made, never changes: its bytes are kept, and sent again under
 * the same version until an answer says what became of it.
 */

import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";

/** What the server takes in one sync, unless its /api/v1/info says otherwise. */
export const PATTERNS_PER_SYNC = 64;

/** @typedef {import("./types.js").LearnedPattern} LearnedPattern */

/**
 * What the server holds of one pattern; enough to see what changed since.
 *
 * @typedef {object} Told
 * @property {string} fingerprint
 * @property {number} watched
 * @property {number} liked
 */

/**
 * A delta on its way, and what the server will hold once it is confirmed.
 *
 * @typedef {object} Pending
 * @property {string} delta Its bytes, base64.
 * @property {number} localVersion
 * @property {number} baseVersion
 * @property {string[]} removed
 * @property {{[id: string]: Told}} toldAfter
 */

/** @typedef {(added: LearnedPattern[]) => LearnedPattern[]} Alike */

/** The part of a TV that must survive pulling the plug. */
export class Outbox {
  /** @param {string} deviceId UUID. */
  constructor(deviceId) {
    this.deviceId = deviceId;
    /** @type {string | null} */
    this.token = null;
    /** @type {string | null} */
    this.syncUrl = null;
    /** @type {string | null} */
    this.grpcTarget = null;
    this.confirmedVersion = 0;
    /** @type {{[id: string]: Told}} */
    this.told = {};
    /**
     * Ids the server may hold although nobody here vouches for them, after starting
     * over; removed unless they are still known.
     * @type {string[]}
     */
    this.doubtful = [];
    /** @type {Pending | null} */
    this.pending = null;
  }

  /**
   * Read what `toText` gave; throws on anything else.
   *
   * @param {string} text
   */
  static fromText(text) {
    const outbox = Object.assign(new Outbox(""), JSON.parse(text));
    if (!outbox.deviceId) throw new SyntaxError("no outbox");
    return outbox;
  }

  toText() {
    return JSON.stringify(this);
  }

  /**
   * Make the next delta, or return the one that isn't confirmed yet.
   *
   * @param {LearnedPattern[]} patterns All the TV knows now.
   * @param {(changes: import("./delta.js").Changes, localVersion: number) => Uint8Array} write
   * @param {Alike} alike Chooses the new patterns that go in one delta, some at least.
   * @param {number} [limit] Changes in one delta; what doesn't fit waits for the next.
   * @returns {Pending}
   */
  compose(patterns, write, alike, limit = PATTERNS_PER_SYNC) {
    if (!this.pending) {
      const { toldAfter, ...changes } = this.difference(patterns, limit, alike);
      const localVersion = this.confirmedVersion + 1;
      this.pending = {
        delta: base64Encode(write(changes, localVersion)),
        localVersion,
        baseVersion: this.confirmedVersion,
        removed: changes.removed,
        toldAfter,
      };
    }
    return this.pending;
  }

  /** The bytes of the pending delta. */
  get pendingDelta() {
    return base64Decode(this.pending.delta);
  }

  /**
   * Say whether the server lacks something: pending or not even sent.
   *
   * @param {LearnedPattern[]} patterns
   */
  owes(patterns) {
    if (this.pending) return true;
    const { added, updated, removed } = this.difference(patterns, 1);
    return added.length + updated.length + removed.length > 0;
  }

  /** The server has the pending delta. */
  confirm() {
    if (!this.pending) return;
    const removed = new Set(this.pending.removed);
    this.confirmedVersion = this.pending.localVersion;
    this.told = this.pending.toldAfter;
    this.doubtful = this.doubtful.filter((id) => !removed.has(id));
    this.pending = null;
  }

  /** The server refused the pending delta: not applied, so its number is free. */
  discard() {
    this.pending = null;
  }

  /**
   * The server stands elsewhere: tell it everything again, from there on.
   *
   * @param {number} serverVersion
   */
  startOver(serverVersion) {
    const after = this.pending ? Object.keys(this.pending.toldAfter) : [];
    this.doubtful = Array.from(
      new Set([...this.doubtful, ...Object.keys(this.told), ...after]),
    );
    this.told = {};
    this.pending = null;
    this.confirmedVersion = serverVersion;
  }

  /**
   * @param {LearnedPattern[]} patterns
   * @param {number} limit
   * @param {Alike} [alike]
   */
  difference(patterns, limit, alike = (added) => added) {
    const known = new Set(patterns.map((pattern) => pattern.id));
    const toldAfter = Object.assign({}, this.told);
    const perhapsHeld = new Set([...Object.keys(this.told), ...this.doubtful]);
    // Removals first: they make room under the server's limit for one TV.
    const removed = Array.from(perhapsHeld)
      .filter((id) => !known.has(id))
      .sort()
      .slice(0, limit);
    for (const id of removed) delete toldAfter[id];

    const candidates = [];
    const updated = [];
    for (const pattern of patterns) {
      if (candidates.length + updated.length + removed.length >= limit) break;
      const told = this.told[pattern.id];
      const now = toldOf(pattern);
      if (told && isSame(told, now)) continue;
      const update = told && updateBetween(pattern.id, told, now);
      if (update) {
        updated.push(update);
        toldAfter[pattern.id] = now;
      } else {
        candidates.push(pattern);
      }
    }
    const added = alike(candidates);
    for (const pattern of added) toldAfter[pattern.id] = toldOf(pattern);
    return { added, updated, removed, toldAfter };
  }
}

/** @param {LearnedPattern} pattern @returns {Told} */
function toldOf(pattern) {
  return {
    fingerprint: fingerprint(pattern),
    watched: pattern.watchedCount,
    liked: pattern.likedCount,
  };
}

/** @param {Told} a @param {Told} b */
function isSame(a, b) {
  return a.fingerprint === b.fingerprint && a.watched === b.watched && a.liked === b.liked;
}

/**
 * The update between two states; null where it takes an addition.
 *
 * @param {string} id
 * @param {Told} told
 * @param {Told} now
 */
function updateBetween(id, told, now) {
  const watched = now.watched - told.watched;
  const liked = now.liked - told.liked;
  if (now.fingerprint !== told.fingerprint || !watched || liked < 0 || liked > watched) {
    return null;
  }
  return { id, newSuccessRate: liked / watched, additionalSamples: watched };
}

/**
 * Name everything that an update can't change, only a new addition.
 *
 * @param {LearnedPattern} pattern
 */
function fingerprint({ embedding, context = {}, contentIds = [] }) {
  const rounded = Array.from(embedding, (x) => Math.round(x * 1e4));
  const { timeOfDay, dayOfWeek, contentType, genreHints = [] } = context;
  const text = JSON.stringify([rounded, timeOfDay, dayOfWeek, contentType, genreHints, contentIds]);
  return hash(text, 0x811c9dc5) + hash(text, 0x01234567);
}

/** FNV-1a, 32 bits. @param {string} text @param {number} basis */
function hash(text, basis) {
  let value = basis;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}
