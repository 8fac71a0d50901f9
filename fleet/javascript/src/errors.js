/** What can go wrong with a sync, by kind. `code` is for counting. */

export class FleetError extends Error {
  /** @param {string} message @param {string} code */
  constructor(message, code) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Nobody answered, or what came was no answer: a transport throws it. */
export class NoAnswer extends FleetError {
  /** @param {string} message @param {string} [code] */
  constructor(message, code = "no_answer") {
    super(message, code);
  }
}

/** Tried as often as the back-off allows. What was owed is still owed. */
export class GaveUp extends FleetError {}

/** The server understood, and says no. */
export class Refused extends FleetError {
  /** @param {import("./types.js").Answer} answer */
  constructor(answer) {
    const problem = answer.problem || {};
    const detail = problem.detail || problem.title || "";
    super(`${answer.status} ${detail}`.trim(), problem.code || `http_${answer.status}`);
    this.status = answer.status;
    this.problem = problem;
    this.field = problem.field;
  }
}

/** An answer that isn't what the contract says. */
export class UnreadableReply extends FleetError {
  /** @param {string} message */
  constructor(message) {
    super(message, "unreadable_reply");
  }
}

/** A manifest or bundle that nobody trusted vouches for; what the TV has stays. */
export class Untrusted extends FleetError {
  /** @param {string} message */
  constructor(message) {
    super(message, "untrusted");
  }
}
