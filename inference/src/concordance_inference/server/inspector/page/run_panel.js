// <run-panel>: one request: its completion, and actions by hand.

import { ChatSource, RequestSource } from "./chat_source.js";
import { element } from "./element.js";
import "./steering.js";
import "./timeline_view.js";
import { TokenTimeline } from "./token_timeline.js";

/** Shows a trace: of a request that it runs, or a stored one. Sends `grown` when there is something new. */
export class RunPanel extends HTMLElement {
  timeline = new TokenTimeline();
  /** @type {RequestSource | null} Null for a stored trace. */ source = null;
  /** @type {() => import("./mod_changes.js").ChosenMod[]} The mods that are chosen in the form. */ chosenMods = () => [];
  #view = element("timeline-view");
  #steering = element("steering-bar");

  /**
   * Start a request.
   * @param {string} title
   * @param {Record<string, any>} fields
   * @param {import("./trace_feed.js").TraceFeed} feed
   */
  start(title, fields, feed) {
    const source = new ChatSource(fields, feed);
    this.open(title, source.timeline, source);
    return source.run();
  }

  /** Show a trace. @param {string} title @param {TokenTimeline} timeline @param {RequestSource | null} [source] */
  open(title, timeline, source = null) {
    this.timeline = timeline;
    this.source = source;
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", title);
    this.append(element("header", {}, element("h2", {}, title), this.#view.legend), this.#steering, this.#view);
    this.#steering.chosenMods = () => this.chosenMods();
    this.#steering.open(timeline, this.source, () => this.#view.selected);
    this.#view.canChoose = () => this.#steering.canAct || this.#steering.canBranch;
    this.#view.addEventListener("choose", (/** @type {CustomEvent} */ { detail: { cell, alternative } }) => this.#steering.choose(cell, alternative.token_id));
    this.#view.addEventListener("grown", () => { this.#steering.update(); this.dispatchEvent(new Event("grown")); });
    this.#view.open(timeline);
  }

  /** Handle a key of the page; return true if it is one of ours. @param {string} key */
  key(key) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (by) this.#view.step(by);
    return Boolean(by) || this.#steering.key(key);
  }

  /** Mark the first token that differs from another completion. @param {number | null} position */
  markDifference(position) {
    this.#view.markDifference(position);
  }
}

customElements.define("run-panel", RunPanel);
