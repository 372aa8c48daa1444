// Follows the traces of all requests that run, while the page is visible.

import { call, follow } from "./api.js";
import { TokenTimeline } from "./token_timeline.js";

/** Ended traces that stay in the view of the batch. */
const NUM_ENDED = 6;

/** The timelines of running requests by their ids. Sends `begin`, `update` and `end` with an id. */
export class TraceFeed extends EventTarget {
  /** @type {Map<string, TokenTimeline>} */ timelines = new Map();
  /** @type {Set<string>} Those that someone waits for. */ #followed = new Set();
  /** @type {(() => void) | null} Ends the stream. */ #leave = null;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#connect());
    this.#connect();
  }

  /** The timeline of a request that is sent now. @param {string} id */
  follow(id) {
    const timeline = new TokenTimeline();
    this.timelines.set(id, timeline);
    this.#followed.add(id);
    return timeline;
  }

  /** A hidden page leaves its connection to others. */
  #connect() {
    this.#leave?.();
    this.#leave = document.hidden ? null : follow("v1/traces/live", (message) => this.#take(message));
  }

  /** @param {Record<string, any>} message */
  #take({ type, id, trace, ...lists }) {
    if (type === "watching" || type === "dropped") return this.#catchUp();
    let timeline = this.timelines.get(id);
    if (!timeline) this.timelines.set(id, timeline = new TokenTimeline());
    if (type === "begin") this.#forget();
    timeline.take({ ...trace, ...lists });
    if (type === "end") this.#followed.delete(id);
    this.dispatchEvent(new CustomEvent(type, { detail: id }));
  }

  /** Read what was missed of the traces that someone waits for. */
  async #catchUp() {
    for (const id of this.#followed) {
      const trace = await call(`v1/traces/${id}`).catch(() => null); // it may not have begun
      if (trace) this.#take({ type: trace.status === "running" ? "update" : "end", id, trace });
    }
  }

  /** Forget the oldest of those that have ended. */
  #forget() {
    const ended = [...this.timelines].filter(([, { state }]) => state === "ended" || state === "failed");
    for (const [id] of ended.slice(0, -NUM_ENDED)) this.timelines.delete(id);
  }
}
