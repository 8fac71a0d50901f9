/** A TV, put together: what it owes, what it heard, and what it makes of that. */

import { Client, openOutbox } from "./client.js";
import { FleetError } from "./errors.js";
import { Knowledge } from "./knowledge.js";
import { Publications } from "./publications.js";
import { Catalogue, ranked } from "./ranking.js";

/** What a TV with little memory needs: links and trends come with its replies. */
const BUNDLES = ["codebook", "items"];

/** Of patterns, replies in their compact form leave contents out. */
const ALL_BUNDLES = ["codebook", "items", "patterns"];

export class Television {
  /**
   * @param {object} parts All that differs from platform to platform.
   * @param {string} parts.server
   * @param {string} parts.enrolmentKey
   * @param {string[]} parts.keys Public keys of bundles, in hexadecimal.
   * @param {import("./types.js").Door} parts.door
   * @param {import("./types.js").Http} parts.http
   * @param {import("./types.js").Storage} parts.outboxStorage
   * @param {import("./types.js").Storage} parts.trustStorage
   * @param {import("./types.js").Cache} parts.cache
   * @param {import("./publications.js").Crypto} parts.crypto
   * @param {() => string} parts.newDeviceId
   * @param {(seconds: number) => Promise<void>} parts.pause
   * @param {string} [parts.region]
   * @param {import("./backoff.js").Backoff} [parts.backoff]
   * @param {"compact" | "full"} [parts.detail]
   */
  static async open(parts) {
    const knowledge = new Knowledge();
    const publications = new Publications({ ...parts, storage: parts.trustStorage });
    await publications.open();
    const outbox = await openOutbox(parts.outboxStorage, parts.newDeviceId);
    const client = new Client({ ...parts, storage: parts.outboxStorage, outbox, knowledge });
    return new Television(client, publications, knowledge);
  }

  /**
   * @param {Client} client
   * @param {Publications} publications
   * @param {Knowledge} knowledge
   */
  constructor(client, publications, knowledge) {
    this.client = client;
    this.publications = publications;
    this.knowledge = knowledge;
    /** Why the last bundles couldn't be had. @type {FleetError | null} */
    this.trouble = null;
  }

  /**
   * Sync, and fetch what it takes to read the next reply and to name what came.
   *
   * @param {import("./types.js").LearnedPattern[]} patterns All the TV knows now.
   */
  async sync(patterns) {
    const result = await this.client.sync(patterns);
    if (this.lacks(result.codebookVersion)) await this.refreshIfPossible();
    return result;
  }

  /** @param {number} codebookVersion The current one. */
  lacks(codebookVersion) {
    const { codebook } = this.knowledge;
    const isOutdated = codebookVersion > (codebook ? codebook.version : 0);
    return isOutdated || !this.knowledge.names(this.client.received);
  }

  /** No sync fails for a bundle: the TV goes on with what it has. */
  async refreshIfPossible() {
    try {
      await this.refresh();
      this.trouble = null;
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      this.trouble = error;
    }
  }

  /**
   * Fetch what is new of the current publication; nothing changes if it can't be trusted.
   *
   * @param {boolean} [isWhole] With the contents of all global patterns: 2 MB.
   */
  async refresh(isWhole = false) {
    const names = isWhole ? ALL_BUNDLES : BUNDLES;
    const publication = await this.publications.fetch(this.client.outbox, names);
    this.knowledge.learn(publication.bundles);
    return publication;
  }

  /**
   * Names of a catalogue, the best for this household first.
   *
   * @param {import("./ranking.js").Household} household
   * @param {Catalogue} catalogue
   */
  rank(household, catalogue) {
    return ranked(household, this.knowledge.named(this.client.received), catalogue);
  }
}
