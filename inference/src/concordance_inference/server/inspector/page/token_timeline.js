// What happened to each token of a completion, event by event. Any source may feed it.

/**
 * @typedef {{text: string, logprob: number}} Alternative
 *
 * @typedef {object} Cell A token that was added, whether or not it was removed later.
 * @property {number} index In the order of time, which is also that of the text.
 * @property {number} position In the completion.
 * @property {number} after The index of the token before it; -1 for the first.
 * @property {number} tokenId
 * @property {string} text
 * @property {string | null} mod The mod that forced it; null for a sampled token.
 * @property {number} added The event that added it.
 * @property {number | null} removed The event that removed it.
 * @property {string | null} removedBy
 * @property {number | null} logprob The model's own.
 * @property {number | null} sampledLogprob Under the distribution it was sampled from.
 * @property {Alternative[]} top The model's own most probable tokens.
 *
 * @typedef {object} TimelineEvent
 * @property {string} kind `sampled`, `forced`, `backtracked` or `control`.
 * @property {string | null} mod
 * @property {Cell[]} added
 * @property {Cell[]} removed
 * @property {string} [action] The action by hand.
 *
 * @typedef {{mod: string, calls: number, forced_tokens: number, backtracked_tokens: number,
 *   adjusted_steps: number, microseconds: number}} ModUse
 */

/** The name of actions by hand among the mods. */
export const BY_HAND = "@control";

/** The tokens of one completion, and the events that made it. Sends `change` when it grows. */
export class TokenTimeline extends EventTarget {
  constructor() {
    super();
    /** @type {Cell[]} */ this.cells = [];
    /** @type {TimelineEvent[]} */ this.events = [];
    /** @type {Cell[]} The completion as it is now. */ this.completion = [];
    /** @type {ModUse[]} */ this.mods = [];
    /** @type {Set<Cell>} Changed since the last `change` was handled. */ this.changed = new Set();
    /** @type {Record<string, any> | null} */ this.usage = null;
    this.state = "waiting";
    /** @type {string} Why it ended. */ this.end = "";
  }

  /**
   * The completion became its first `kept` tokens followed by `tokens`.
   * @param {{kept: number, num_backtracked: number, mod: string | null,
   *   tokens: {token_id: number, text: string, forced: boolean, mod: string | null}[]}} change
   */
  changeTokens({ kept, tokens, num_backtracked: count, mod }) {
    /** @type {TimelineEvent} */ const event = { kind: "sampled", mod, added: [], removed: [] };
    if (count) event.removed = this.completion.splice(this.completion.length - count);
    for (const cell of event.removed) {
      Object.assign(cell, { removed: this.events.length, removedBy: mod });
      this.changed.add(cell);
    }
    const repeated = this.completion.length - kept;
    tokens.slice(0, repeated).forEach((token, i) => this.#rewrite(this.completion[kept + i], token.text));
    event.added = tokens.slice(repeated).map((token) => this.#add(token));
    if (!event.added.length && !event.removed.length) return this.#notify();
    const forced = event.added.find((cell) => cell.mod);
    if (forced) Object.assign(event, { kind: "forced", mod: forced.mod });
    if (count) Object.assign(event, { kind: "backtracked", mod });
    this.events.push(event);
    this.state = this.state === "paused" ? "paused" : "running";
    this.#notify();
  }

  /**
   * The probabilities of tokens from index `first` on.
   * @param {number} first
   * @param {{logprob: number, sampled_logprob?: number | null,
   *   top_logprobs: {token: string, logprob: number}[]}[]} entries
   */
  addProbabilities(first, entries) {
    entries.forEach((entry, i) => {
      const cell = this.completion[first + i];
      if (!cell) return;
      cell.logprob = entry.logprob;
      cell.sampledLogprob = entry.sampled_logprob ?? null;
      cell.top = entry.top_logprobs.map(({ token, logprob }) => ({ text: token, logprob }));
      this.changed.add(cell);
      this.#share(cell);
    });
    this.#notify();
  }

  /** Tokens that were removed from the same prefix had the same probabilities. @param {Cell} cell */
  #share({ index, after, top }) {
    for (let i = index - 1; i > after; i--) {
      const other = this.cells[i];
      if (other.after !== after || other.top.length) continue;
      other.top = top;
      other.logprob = top.find(({ text }) => text === other.text)?.logprob ?? null;
      this.changed.add(other);
    }
  }

  /** An action by hand was applied. @param {{type: string, state: string}} control */
  addControl({ type, state }) {
    this.events.push({ kind: "control", mod: BY_HAND, added: [], removed: [], action: type });
    this.setState(state);
  }

  /** @param {string} state `waiting`, `running`, `paused`, `ended` or `failed` @param {string} [why] */
  setState(state, why = "") {
    this.state = state;
    this.end = why;
    this.#notify();
  }

  /** @param {Record<string, any>} usage @param {ModUse[]} mods */
  setUsage(usage, mods) {
    this.usage = usage;
    this.mods = mods;
    this.#notify();
  }

  /** @param {{token_id: number, text: string, mod: string | null}} token @returns {Cell} */
  #add({ token_id: tokenId, text, mod }) {
    const cell = {
      index: this.cells.length, position: this.completion.length, after: this.completion.at(-1)?.index ?? -1, tokenId, text, mod,
      added: this.events.length, removed: null, removedBy: null,
      logprob: null, sampledLogprob: null, top: [],
    };
    this.cells.push(cell);
    this.completion.push(cell);
    return cell;
  }

  /** @param {Cell} cell @param {string} text */
  #rewrite(cell, text) {
    if (!cell || cell.text === text) return;
    cell.text = text;
    this.changed.add(cell);
  }

  #notify() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * The entropy of the next token in bits, at least: of the known alternatives, and the rest as one.
 * @param {Alternative[]} top
 * @returns {number | null}
 */
export function entropyOf(top) {
  if (!top.length) return null;
  const known = top.map(({ logprob }) => Math.exp(logprob));
  const rest = Math.max(0, 1 - known.reduce((sum, p) => sum + p, 0));
  return [...known, rest].reduce((sum, p) => (p > 1e-9 ? sum - p * Math.log2(p) : sum), 0);
}

/**
 * The position of the first token that two completions do not share; null if none.
 * @param {TokenTimeline} one
 * @param {TokenTimeline} other
 */
export function firstDifference(one, other) {
  const length = Math.min(one.completion.length, other.completion.length);
  for (let i = 0; i < length; i++) {
    if (one.completion[i].tokenId !== other.completion[i].tokenId) return i;
  }
  const isOver = [one, other].every(({ state }) => state === "ended" || state === "failed");
  return isOver && one.completion.length !== other.completion.length ? length : null;
}
