/** A TV, put together: what it owes, what it heard, and what it makes of that. */

import { Client, openOutbox } from "./client.js";
import { FleetError, UnreadableReply } from "./errors.js";
import { Knowledge } from "./knowledge.js";
import { Publications } from "./publications.js";
import { Catalogue, ranked } from "./ranking.js";

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
   * Sync, and fetch what it takes to read the reply, and to name what came.
   *
   * @param {import("./types.js").LearnedPattern[]} patterns All the TV knows now.
   */
  async sync(patterns) {
    if (!this.client.outbox.token) await this.client.enrol();
    // Without a codebook, the first news would be ten times as long.
    if (!this.knowledge.codebook) await this.refreshIfPossible(["codebook"]);
    const result = await this.client.sync(patterns);
    if (result.trouble) this.trouble = result.trouble;
    const lacking = this.lacking(result.codebookVersion);
    if (lacking.length) await this.refreshIfPossible(lacking);
    return result;
  }

  /** @param {number} codebookVersion The current one. */
  lacking(codebookVersion) {
    const { codebook } = this.knowledge;
    const lacking = codebookVersion > (codebook ? codebook.version : 0) ? ["codebook"] : [];
    return this.knowledge.names(this.client.received) ? lacking : [...lacking, "items"];
  }

  /**
   * No sync fails for a bundle: the TV goes on with what it has.
   *
   * @param {string[]} names
   */
  async refreshIfPossible(names) {
    try {
      await this.refresh(names);
      this.trouble = null;
    } catch (error) {
      // Of whatever kind: a bundle of tomorrow's shape, a disk that is full.
      this.trouble =
        error instanceof FleetError ? error : new UnreadableReply(String(error.message || error));
    }
  }

  /**
   * Fetch bundles of the current publication; nothing changes if they can't be trusted.
   *
   * @param {string[]} names "codebook", "items"; and "patterns" for the contents of all
   *   global patterns, which replies in their compact form leave out: 2 MB.
   */
  async refresh(names) {
    const publication = await this.publications.fetch(this.client.outbox, names);
    const { bundles, codebookVersion } = publication;
    this.knowledge.learn(bundles);
    if (bundles.has("codebook") && !this.knowledge.codebooks.has(codebookVersion)) {
      throw new UnreadableReply(`the bundle isn't codebook ${codebookVersion}`);
    }
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
