// <trace-page>: all of an exported file: one trace, or two beside each other.

import { element } from "./element.js";
import "./run_comparison.js";
import "./timeline_view.js";
import { TokenTimeline } from "./token_timeline.js";

/** @typedef {import("./timeline_view.js").TimelineView} TimelineView */

/** What tokens are coloured by. */
const COLOURS = ["origin", "probability", "entropy"];

/** Shows the traces that the file contains. */
export class TracePage extends HTMLElement {
  /** @type {any} */ #comparison = null;
  /** @type {TimelineView[]} */ #views = [];
  #current = 0; // the view that keys act on

  connectedCallback() {
    const traces = JSON.parse(document.querySelector("#traces")?.textContent ?? "[]");
    const sides = traces.map((/** @type {Record<string, any>} */ trace, /** @type {number} */ i) => this.#side(trace, i, traces.length));
    this.#views = sides.map((/** @type {any} */ { view }) => view);
    const runs = element("main", { id: "runs", "data-count": String(traces.length) });
    if (traces.length === 2) {
      this.#comparison = element("run-comparison");
      runs.append(this.#comparison);
    }
    runs.append(...sides.map((/** @type {any} */ { panel }) => panel));
    this.append(element("header", {}, element("h1", {}, "Concordance"), colours()), runs);
    this.#comparison?.open(...sides);
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {Record<string, any>} trace @param {number} index @param {number} count */
  #side(trace, index, count) {
    const view = element("timeline-view");
    const timeline = TokenTimeline.of(trace);
    const label = count > 1 ? `${"AB"[index]}: ${titleOf(trace)}` : titleOf(trace);
    const panel = element("section", { className: "panel", "aria-label": label },
      element("header", {}, element("h2", {}, label), view.legend), ...facts(trace), view);
    panel.addEventListener("focusin", () => { this.#current = index; });
    panel.addEventListener("pointerdown", () => { this.#current = index; });
    view.open(timeline);
    return { label, timeline, view, panel };
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.matches("input")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) this.#views[this.#current].step(by);
    if (by || this.#comparison?.key(event.key)) event.preventDefault();
  }
}

/** The choice of what tokens are coloured by. */
function colours() {
  document.body.dataset.colour = COLOURS[0];
  const choices = COLOURS.map((value, i) => element("label", {},
    element("input", { type: "radio", name: "colour", value, checked: i === 0 }), element("span", {}, value)));
  const fieldset = element("fieldset", { className: "segments" }, element("legend", { className: "hidden" }, "Colour tokens by"), ...choices);
  fieldset.addEventListener("change", (/** @type {any} */ { target }) => { document.body.dataset.colour = target.value; });
  return fieldset;
}

/** @param {Record<string, any>} trace */
function titleOf({ mods }) {
  return mods.length ? `With ${mods.map((/** @type {{name: string}} */ { name }) => name).join(", ")}` : "Without mods";
}

/** What was asked, and how it ended. @param {Record<string, any>} trace */
function facts({ id, model, created, status, finish_reason: reason, error, parameters, seed, mods, is_truncated: isTruncated }) {
  const date = new Date(created * 1000).toISOString().slice(0, 16).replace("T", " ");
  const isSet = (/** @type {any} */ value) => value !== null && JSON.stringify(value) !== "[]" && JSON.stringify(value) !== "{}";
  const given = Object.entries({ seed, ...parameters }).filter(([, value]) => isSet(value));
  const found = [
    element("p", { className: "quiet" }, `${model}, ${date} UTC, ${error ?? `${status}: ${reason ?? "no reason"}`}. Trace ${id}.`),
    details("Request", [...given, ...mods.map((/** @type {any} */ { name, hash, parameters: own }) => [`mod ${name}`, { ...own, hash: hash ?? "unknown" }])]),
  ];
  if (isTruncated) found.push(element("p", { className: "error" }, "Shortened: there was more than the trace, or this file, can hold."));
  return found;
}

/** @param {string} title @param {[string, any][]} entries */
function details(title, entries) {
  const list = entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]);
  return element("details", {}, element("summary", {}, title), element("dl", { className: "facts" }, ...list));
}

customElements.define("trace-page", TracePage);
