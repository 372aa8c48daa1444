// <run-panel>: one request: its completion, and actions by hand.

import { ChatSource, RequestSource } from "./chat_source.js";
import { element } from "./element.js";
import "./steering.js";
import "./timeline_view.js";
import { TokenTimeline } from "./token_timeline.js";

/** Shows a trace: of a request that it runs, or a stored one. */
export class RunPanel extends HTMLElement {
  label = "";
  timeline = new TokenTimeline();
  /** @type {RequestSource | null} Null for a stored trace. */ source = null;
  /** @type {() => import("./mod_changes.js").ChosenMod[]} The mods that are chosen in the form. */ chosenMods = () => [];
  view = element("timeline-view");
  #export = element("a", { download: "trace.html", title: "One file that shows this trace, anywhere", hidden: true }, "Export");
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
    this.label = title;
    this.timeline = timeline;
    this.source = source;
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", title);
    this.append(element("header", {}, element("h2", {}, title), this.view.legend, this.#export), this.#steering, this.view);
    this.#steering.chosenMods = () => this.chosenMods();
    this.#steering.open(timeline, this.source, () => this.view.selected);
    this.view.canChoose = () => this.#steering.canAct || this.#steering.canBranch;
    this.view.addEventListener("choose", (/** @type {CustomEvent} */ { detail: { cell, alternative } }) => this.#steering.choose(cell, alternative.token_id));
    this.view.addEventListener("grown", () => this.#update());
    this.view.open(timeline);
  }

  #update() {
    const { trace: { id }, state } = this.timeline;
    this.#export.hidden = !id || !["ended", "failed"].includes(state);
    this.#export.href = `v1/traces/${encodeURIComponent(id)}?format=html`;
    this.#steering.update();
  }

  /** Handle a key of the page; return true if it is one of ours. @param {string} key */
  key(key) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (by) this.view.step(by);
    return Boolean(by) || this.#steering.key(key);
  }
}

customElements.define("run-panel", RunPanel);
