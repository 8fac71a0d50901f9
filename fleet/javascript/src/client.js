/**
 * A TV's line to the server: enrol, sync, and survive everything in between.
 *
 * What goes over the wire is the door's business; what is owed, the outbox's.
 */

import { Backoff } from "./backoff.js";
import { uuidBytes, uuidText } from "./bytes.js";
import { alike, writeDelta } from "./delta.js";
import { FleetError, GaveUp, NoAnswer, Refused, UnreadableReply } from "./errors.js";
import { Knowledge } from "./knowledge.js";
import { decode, int64, number, words } from "./messages.js";
import { Outbox, PATTERNS_PER_SYNC } from "./outbox.js";
import { Received } from "./received.js";

/** What a TV waits when the server says nothing about the next sync. */
const DEFAULT_NEXT_SYNC_SECONDS = 600;

/** Whatever the server says, it doesn't mean for ever. */
const LONGEST_NEXT_SYNC_SECONDS = 24 * 3600;

const SUCCESS = new Set([200, 201]);

/** Answers that say "not now" and nothing about the request itself. */
const TRY_AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Enrolling again gives a fresh token (401) and the right address (421). */
const ENROL_AGAIN = new Set([401, 421]);

/** Answers that say "never like this": the delta was not applied and won't be. */
const REFUSED = new Set([400, 413, 415, 422]);

/** A second start from scratch within one sync means that something else is wrong. */
const STARTS_OVER_PER_SYNC = 2;

const ENCODINGS = words("EmbeddingEncoding");
const DETAILS = words("ReplyDetail");

/**
 * @typedef {object} SyncResult One confirmed sync.
 * @property {{stored: number, filtered: number, updated: number, removed: number}} accepted
 * @property {boolean} isNews Whether it told of a publication.
 * @property {UnreadableReply | null} trouble Why the news can't be read, if they can't.
 * @property {number} codebookVersion The current one; 0 before the first.
 * @property {number} bytesUp Bodies, every attempt counted.
 * @property {number} bytesDown
 * @property {number} attempts
 * @property {number} nextSyncSeconds
 */

/** Not for two syncs at once. */
export class Client {
  /**
   * @param {object} parts
   * @param {import("./types.js").Door} parts.door
   * @param {import("./types.js").Storage} parts.storage Where the outbox is kept.
   * @param {Outbox} parts.outbox What `openOutbox` gave.
   * @param {string} parts.enrolmentKey
   * @param {(seconds: number) => Promise<void>} parts.pause
   * @param {string} [parts.region]
   * @param {string} [parts.model]
   * @param {string} [parts.firmware]
   * @param {Backoff} [parts.backoff]
   * @param {Knowledge} [parts.knowledge]
   * @param {number} [parts.patternsPerSync]
   * @param {"compact" | "full"} [parts.detail] Compact leaves contents of patterns to
   *   the bundle "patterns".
   */
  constructor(parts) {
    this.door = parts.door;
    this.storage = parts.storage;
    this.outbox = parts.outbox;
    this.enrolmentKey = parts.enrolmentKey;
    this.pause = parts.pause;
    this.region = parts.region;
    this.model = parts.model || "javascript";
    this.firmware = parts.firmware || "1";
    this.backoff = parts.backoff || new Backoff();
    this.knowledge = parts.knowledge || new Knowledge();
    this.patternsPerSync = parts.patternsPerSync || PATTERNS_PER_SYNC;
    this.detail = parts.detail || "compact";
    this.received = new Received();
    /** After a refusal, a delta is written in the plainest form until one is taken. */
    this.isPlain = false;
    this.nextSyncSeconds = DEFAULT_NEXT_SYNC_SECONDS;
    /** What the server said last about when to come back. */
    this.paceSeconds = DEFAULT_NEXT_SYNC_SECONDS;
    /** After nobody answered: the shard may have moved, and only enrolling tells. */
    this.isLost = false;
  }

  /**
   * Get a token; for a TV that was here before, a fresh one.
   *
   * @param {number} [attempts]
   */
  async enrol(attempts = this.backoff.attempts) {
    const { deviceId } = this.outbox;
    const answer = await this.answer(
      () =>
        this.door.enrol({
          enrolmentKey: this.enrolmentKey,
          deviceId: uuidBytes(deviceId),
          region: this.region,
          model: this.model,
          firmware: this.firmware,
        }),
      newTraffic(),
      attempts,
    );
    if (!SUCCESS.has(answer.status)) throw new Refused(answer);
    const { token, syncUrl, grpcTarget, deviceId: enrolled } = answer.reply;
    if (!token || uuidText(enrolled) !== deviceId) {
      throw new UnreadableReply("no token for this TV in the reply");
    }
    if (syncUrl && !/^(https?:\/\/[^/]|\/)/.test(syncUrl)) {
      throw new UnreadableReply(`${syncUrl} is no address to sync at`);
    }
    Object.assign(this.outbox, { token, syncUrl, grpcTarget });
    await this.save();
  }

  /**
   * Tell the server what changed and hear what the fleet learned.
   *
   * 1. An unconfirmed delta goes again as it was; otherwise a new one is made.
   * 2. It goes out until there is an answer.
   * 3. 401 or 421: enrol again, once, for a token and for where the shard answers.
   *    Another version: start over from the server's. A codebook that the server
   *    doesn't know: say the same with its own, or without any, once.
   * 4. Only the server's word confirms it, or gives its number free.
   *
   * @param {import("./types.js").LearnedPattern[]} patterns All the TV knows now.
   * @returns {Promise<SyncResult>}
   */
  async sync(patterns) {
    const traffic = newTraffic();
    if (!this.outbox.token) await this.enrol();
    else if (this.isLost) await this.askTheWay();
    let enrolledAgain = false;
    let writtenAnew = false;
    let startsOver = 0;

    for (;;) {
      const answer = await this.sendDelta(patterns, traffic);
      if (answer.status === 200) return this.takeIn(answer.reply, traffic);
      if (ENROL_AGAIN.has(answer.status) && !enrolledAgain) {
        await this.enrol();
        enrolledAgain = true;
        continue;
      }
      const version = this.serverVersion(answer);
      if (version !== null && startsOver < STARTS_OVER_PER_SYNC) {
        this.outbox.startOver(version);
        startsOver += 1;
        continue;
      }
      if (codeOf(answer) === "codebook_unknown" && !writtenAnew) {
        // If it was applied before, and only the reply was lost, then this number is
        // used with other content: the server says so, and all is told again above it.
        this.outbox.discard();
        this.knowledge.forgetOtherCodebooks(answer.problem.codebook_version);
        writtenAnew = true;
        continue;
      }
      if (REFUSED.has(answer.status)) {
        this.outbox.discard();
        this.isPlain = true;
        await this.save();
      }
      throw new Refused(answer);
    }
  }

  async askTheWay() {
    try {
      await this.enrol(1);
    } catch (error) {
      // Then as before.
      if (!(error instanceof FleetError)) throw error;
    }
  }

  /**
   * @param {import("./types.js").LearnedPattern[]} patterns
   * @param {Traffic} traffic
   */
  async sendDelta(patterns, traffic) {
    const used = this.isPlain ? new Knowledge() : this.knowledge;
    const pending = this.outbox.compose(
      patterns,
      (changes, localVersion) => writeDelta(changes, localVersion, used),
      (added) => alike(added, used),
      this.patternsPerSync,
    );
    // Kept before it is on the wire: a TV unplugged in between must send the very same
    // delta again, not another one under the same version.
    await this.save();
    const { codebook } = this.knowledge;
    const { globalVersion } = this.received;
    const message = {
      deviceId: uuidBytes(this.outbox.deviceId),
      delta: decode("Delta", this.outbox.pendingDelta),
      baseVersion: int64(pending.baseVersion),
      globalVersion: globalVersion === null ? undefined : int64(globalVersion),
      embeddingEncodings: (codebook ? ["codes", "int8"] : ["int8"]).map((word) =>
        ENCODINGS.indexOf(word),
      ),
      detail: DETAILS.indexOf(this.detail),
      codebookVersion: codebook ? codebook.version : 0,
    };
    return this.answer(() => this.door.sync(message, this.outbox), traffic);
  }

  /**
   * @param {any} reply
   * @param {Traffic} traffic
   * @returns {Promise<SyncResult>}
   */
  async takeIn(reply, traffic) {
    if (!reply.globalNews || !reply.accepted) throw new UnreadableReply("the reply lacks parts");
    const { stored, filtered, updated, removed } = reply.accepted;
    const version = readable(() => number(reply.localVersion));

    this.outbox.confirm();
    this.isPlain = false;
    this.isLost = false;
    if (reply.resync) this.outbox.startOver(version);
    await this.save();
    const wait = reply.nextSyncSeconds || DEFAULT_NEXT_SYNC_SECONDS;
    this.paceSeconds = Math.min(wait, LONGEST_NEXT_SYNC_SECONDS);
    this.nextSyncSeconds = this.paceSeconds;
    return {
      accepted: { stored, filtered, updated, removed },
      ...this.hear(reply.globalNews),
      codebookVersion: reply.globalNews.codebookVersion,
      ...traffic,
      nextSyncSeconds: this.nextSyncSeconds,
    };
  }

  /**
   * Take in the news. A TV that can't read them must still believe what the reply said of
   * its delta, or it would send that one delta for ever.
   *
   * @param {any} news
   */
  hear(news) {
    const before = this.received;
    try {
      this.received = before.updatedWith(news, this.knowledge.codebooks);
    } catch (error) {
      const trouble = new UnreadableReply(`the news garble something: ${error.message}`);
      return { isNews: false, trouble };
    }
    return { isNews: this.received !== before, trouble: null };
  }

  /**
   * Where the server stands, if that is what the answer is about.
   *
   * @param {import("./types.js").Answer} answer
   * @returns {number | null}
   */
  serverVersion(answer) {
    const version = (answer.problem || {}).local_version;
    const isVersion = Number.isSafeInteger(version) && version >= 0;
    if (answer.status === 409) return isVersion ? version : null;
    const isReused = codeOf(answer) === "version_reused" && this.outbox.pending;
    return isReused ? this.outbox.pending.localVersion : null;
  }

  /**
   * Ask until there is an answer about the request itself.
   *
   * @param {() => Promise<import("./types.js").Answer>} ask
   * @param {Traffic} traffic
   * @param {number} [attempts]
   * @returns {Promise<import("./types.js").Answer>}
   */
  async answer(ask, traffic, attempts = this.backoff.attempts) {
    for (let failures = 1; ; failures++) {
      traffic.attempts += 1;
      const { answer, why } = await attempt(ask);
      if (answer) {
        traffic.bytesUp += answer.bytesUp;
        traffic.bytesDown += answer.bytesDown;
        if (!TRY_AGAIN.has(answer.status)) return answer;
      }
      const reason = answer ? new Refused(answer) : why;
      if (failures >= attempts) {
        this.isLost = !answer;
        this.nextSyncSeconds = this.backoff.nextSyncSeconds(this.paceSeconds);
        throw new GaveUp(`after ${failures} attempts: ${reason.message}`, reason.code);
      }
      const retryAfter = answer ? answer.retryAfter || null : null;
      await this.pause(this.backoff.waitSeconds(failures, retryAfter));
    }
  }

  save() {
    return this.storage.save(this.outbox.toText());
  }
}

/**
 * Take up what an earlier run left, or begin.
 *
 * What can't be read any more is no reason never to start again: the server tells a TV
 * that it knows by its id where it stands, and takes any other for a new one.
 *
 * @param {import("./types.js").Storage} storage
 * @param {() => string} newDeviceId
 */
export async function openOutbox(storage, newDeviceId) {
  const text = await storage.load();
  try {
    if (text !== null) return Outbox.fromText(text);
  } catch (_) {
    // Begin.
  }
  return new Outbox(newDeviceId());
}

/** @typedef {{bytesUp: number, bytesDown: number, attempts: number}} Traffic */

/** @returns {Traffic} */
function newTraffic() {
  return { bytesUp: 0, bytesDown: 0, attempts: 0 };
}

/**
 * @param {() => Promise<import("./types.js").Answer>} ask
 * @returns {Promise<{answer: import("./types.js").Answer | null, why: NoAnswer | null}>}
 */
async function attempt(ask) {
  try {
    return { answer: await ask(), why: null };
  } catch (error) {
    if (error instanceof NoAnswer) return { answer: null, why: error };
    throw error;
  }
}

/** @param {import("./types.js").Answer} answer */
function codeOf(answer) {
  return (answer.problem || {}).code;
}

/**
 * @template T
 * @param {() => T} read
 * @returns {T}
 */
function readable(read) {
  try {
    return read();
  } catch (error) {
    throw new UnreadableReply(`the reply garbles something: ${error.message}`);
  }
}
