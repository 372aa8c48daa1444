// What happened to each token of a completion, step by step, made of its trace: live or stored.

/**
 * @typedef {{token_id: number, text: string, logprob?: number | null, adjusted_logprob?: number | null}} Alternative
 *
 * @typedef {object} Cell A token of the trace, whether or not it was removed later; see docs/traces.md.
 * @property {number} index In the order of time, which is also that of the text.
 * @property {number} position In the completion.
 * @property {number} token_id
 * @property {string} text
 * @property {string} [origin] `sampled` if missing, `forced` or `given`.
 * @property {string} [status] `kept` if missing, `backtracked` or `replaced`.
 * @property {string} [mod] The mod that forced it.
 * @property {number} [event] The event of the trace that forced it.
 * @property {string} [removed_by]
 * @property {number} [removed_at] The event of the trace that removed it.
 * @property {number | null} [logprob] The model's own.
 * @property {number | null} [adjusted_logprob]
 * @property {number} [entropy] In nats.
 * @property {number} [allowed] Tokens that a constraint left possible; missing if it left all.
 * @property {Alternative[]} [alternatives]
 * @property {number} [at_ms]
 * @property {number} added The step that added it.
 * @property {number | null} removed The step that removed it.
 * @property {number} version Grows with each change.
 * @property {TraceEvent[]} before Calls of mods that adjusted or logged before it was sampled.
 *
 * @typedef {object} TraceEvent
 * @property {number} index
 * @property {string} mod
 * @property {string} event
 * @property {string} action
 * @property {number} position
 * @property {Record<string, any>} [details]
 * @property {boolean} [by_hand]
 * @property {number} [microseconds]
 * @property {number} [forced_tokens]
 * @property {number} [backtracked_tokens]
 * @property {{mod: string, text: string}[]} [logs]
 * @property {string} [error]
 * @property {number} [at_ms]
 *
 * @typedef {object} TimelineEvent A step: a token was sampled, or a mod acted.
 * @property {string} kind `given`, `sampled`, `forced`, `backtracked`, `adjusted` or `control`.
 * @property {string | null} mod
 * @property {Cell[]} added
 * @property {Cell[]} removed
 * @property {TraceEvent | null} event
 *
 * @typedef {{index: number, step: number, rows: number, row: number, tokens: number, is_prefill?: boolean,
 *   saved?: number, is_wasted?: boolean, at_ms?: number}} Pass
 */

/** The name of actions by hand among the mods, and of tokens that a branch begins with. */
export const BY_HAND = "@control";
export const BRANCH = "@branch";

/** Fields that a trace leaves out of a token once it is kept. */
const KEPT = { status: undefined, removed_by: undefined, removed_at: undefined };
/** @type {TraceEvent[]} */ const NONE = [];

/** The tokens of one completion, and the steps that made it. Sends `change` when it grows. */
export class TokenTimeline extends EventTarget {
  /** @type {Record<string, any>} The fields of the trace, without its lists. */ trace = { status: "waiting" };
  /** @type {Cell[]} */ cells = [];
  /** @type {TraceEvent[]} */ calls = [];
  /** @type {Pass[]} */ passes = [];
  /** @type {string | null} Why the request could not be sent. */ failure = null;
  /** @type {TimelineEvent[]} */ #steps = [];
  /** @type {Cell[]} */ #completion = [];
  #isStale = false;

  /** The timeline of a stored trace. @param {Record<string, any>} trace */
  static of(trace) {
    const timeline = new TokenTimeline();
    timeline.take(trace);
    return timeline;
  }

  /** Take a whole trace, or what is new of one. @param {Record<string, any>} trace */
  take({ tokens = [], events = [], steps = [], ...head }) {
    Object.assign(this.trace, head);
    for (const token of tokens) {
      const cell = this.cells[token.index];
      token.text = withoutMarks(token.text ?? "");
      if (cell) Object.assign(cell, KEPT, token, { version: cell.version + 1 });
      else this.cells[token.index] = Object.assign(token, { added: 0, removed: null, before: NONE, version: 0 });
    }
    for (const event of events) this.calls[event.index] = event;
    for (const pass of steps) this.passes[pass.index] = pass;
    this.#isStale = true;
    this.dispatchEvent(new Event("change"));
  }

  /** Note that the request failed. @param {string} why */
  fail(why) {
    this.failure = why;
    this.dispatchEvent(new Event("change"));
  }

  /** The steps, oldest first. */
  get events() {
    if (this.#isStale) this.#build();
    return this.#steps;
  }

  /** The completion as it is now. */
  get completion() {
    if (this.#isStale) this.#build();
    return this.#completion;
  }

  /** `waiting`, `running`, `paused`, `ended` or `failed`. */
  get state() {
    const { status } = this.trace;
    if (this.failure !== null) return "failed";
    const last = status === "running" && this.calls.findLast(({ details }) => details?.state);
    return last && last.details?.state === "paused" ? "paused" : status;
  }

  /** Why it ended. */
  get end() {
    return this.failure ?? this.trace.error ?? this.trace.finish_reason ?? "";
  }

  /** The mods that forced tokens, in the order of the request, then by hand. */
  get mods() {
    return (this.trace.mods ?? []).filter((/** @type {{name: string}} */ { name }) => name !== BY_HAND).map((/** @type {{name: string}} */ { name }) => name);
  }

  /** Put tokens and calls of mods into the order in which they happened. */
  #build() {
    this.#isStale = false;
    this.#steps = [];
    this.#completion = [];
    const removed = Map.groupBy(this.cells, ({ removed_at: at }) => at ?? -1);
    let before = NONE; // calls since the last token
    let next = 0; // call
    const callUntil = (/** @type {Cell | null} */ cell) => {
      while (next < this.calls.length && (!cell || isBefore(this.calls[next], cell))) {
        const call = this.calls[next++];
        this.#step(call, removed.get(call.index) ?? []);
        if (before === NONE) before = [];
        before.push(call);
      }
    };
    for (const cell of this.cells) {
      callUntil(cell);
      this.#cut(cell.position);
      cell.before = cell.origin || !before.length ? NONE : before.filter(({ position, action }) => position === cell.position && !isEdit(action));
      before = NONE;
      this.#add(cell);
    }
    callUntil(null);
    const isPending = (/** @type {Cell} */ cell) => this.trace.status === "running" && cell === this.cells.at(-1);
    const gone = this.#completion.findIndex((cell) => cell.status && !isPending(cell));
    if (gone >= 0) this.#cut(gone);
  }

  /** A call of a mod, or a command. @param {TraceEvent} call @param {Cell[]} removed */
  #step(call, removed) {
    const kind = removed.some(({ status }) => status === "backtracked") ? "backtracked" : isEdit(call.action) ? "forced" : "adjusted";
    this.#push({ kind: call.event === "command" ? "control" : kind, mod: call.mod, added: [], removed, event: call });
    if (removed.length) this.#completion = this.#completion.filter((cell) => !removed.includes(cell));
  }

  /** @param {Cell} cell */
  #add(cell) {
    const last = this.#steps.at(-1);
    const call = cell.event === undefined ? null : this.calls[cell.event];
    const kind = cell.origin ?? "sampled";
    const isSame = call ? last?.event === call : kind !== "sampled" && last?.kind === kind && last.mod === (cell.mod ?? null) && !last.event;
    if (isSame) last?.added.push(cell);
    else this.#push({ kind, mod: cell.mod ?? null, added: [cell], removed: [], event: null });
    cell.added = this.#steps.length - 1;
    cell.removed = null;
    this.#completion.push(cell);
  }

  /** Tokens from a position on were removed by the engine, at a stop string for example. @param {number} position */
  #cut(position) {
    const removed = this.#completion.splice(position);
    if (removed.length) this.#push({ kind: "backtracked", mod: removed[0].removed_by ?? null, added: [], removed, event: null });
  }

  /** @param {TimelineEvent} step */
  #push(step) {
    for (const cell of step.removed) cell.removed = this.#steps.length;
    this.#steps.push(step);
  }
}

/** Text whose direction marks are named: they would reverse the tokens, and the words, that follow. @param {string} text */
export function withoutMarks(text) {
  return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (mark) => `[U+${mark.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** True if a call was made before a token was added. @param {TraceEvent} call @param {Cell} cell */
function isBefore(call, cell) {
  return cell.event === undefined ? (call.at_ms ?? 0) <= (cell.at_ms ?? 0) && cell.origin !== "given" : call.index <= cell.event;
}

/** True if an action changes the completion. @param {string} action */
function isEdit(action) {
  return !["", "Noop", "AdjustedLogits", "AdjustedPrefill"].includes(action);
}
