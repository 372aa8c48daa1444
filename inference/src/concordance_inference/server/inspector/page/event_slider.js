// <event-slider>: steps through the events of a timeline.

import { element } from "./element.js";
import { handler, named } from "./token_card.js";
import { nameOf } from "./token_list.js";

/** @typedef {import("./token_timeline.js").TokenTimeline} TokenTimeline */

/** The rows of the strip by kind of event. */
const ROWS = ["given", "sampled", "adjusted", "forced", "backtracked", "control"];

/** A slider and a strip of events. Sends `step` with the number of events to show. */
export class EventSlider extends HTMLElement {
  /** @type {TokenTimeline | null} */ #timeline = null;
  #isLive = true; // follows the newest event
  #slider = element("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Event" });
  #text = element("output", { className: "quiet" });
  #strip = document.createElementNS("http://www.w3.org/2000/svg", "svg");

  connectedCallback() {
    this.#strip.setAttribute("preserveAspectRatio", "none");
    this.#strip.setAttribute("aria-hidden", "true");
    this.#slider.addEventListener("input", () => this.step(0));
    this.append(this.#strip, this.#slider, this.#text);
  }

  /** @param {TokenTimeline} timeline */
  open(timeline) {
    this.#timeline = timeline;
  }

  /** The number of events that are shown. */
  get count() {
    return Number(this.#slider.value);
  }

  /** Take new events into account. */
  update() {
    const events = this.#timeline?.events ?? [];
    if (Number(this.#slider.max) !== events.length) this.#draw();
    this.#slider.max = String(events.length);
    if (this.#isLive) this.#slider.value = String(events.length);
    this.#describe();
  }

  /** Move by a number of events. @param {number} by */
  step(by) {
    this.#slider.value = String(this.count + by);
    this.#isLive = this.count === Number(this.#slider.max);
    this.#describe();
    this.dispatchEvent(new CustomEvent("step", { detail: this.count }));
  }

  #describe() {
    const events = this.#timeline?.events ?? [];
    const text = this.count ? `${this.count} of ${events.length}: ${describe(events[this.count - 1])}` : "the beginning";
    this.#text.textContent = text;
    this.#slider.setAttribute("aria-valuetext", text);
  }

  #draw() {
    const events = this.#timeline?.events ?? [];
    this.#strip.setAttribute("viewBox", `0 0 ${Math.max(1, events.length)} ${ROWS.length}`);
    this.#strip.replaceChildren(...ROWS.map((kind, row) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", kind);
      path.setAttribute("d", events.map((event, i) => (event.kind === kind ? `M${i} ${row}h.8v.8h-.8z` : "")).join(""));
      return path;
    }));
  }
}

/** A step in words: the mod, its handler, its action, its time and what it printed. @param {import("./token_timeline.js").TimelineEvent} step */
function describe({ kind, mod, added, removed, event }) {
  if (kind === "control") return `by hand: ${event?.action.replaceAll("_", " ")}`;
  if (kind === "sampled" || kind === "given") return `${kind} ${textOf(added)}`;
  const acts = [removed.length && `${kind === "backtracked" ? "backtracked" : "replaced"} ${textOf(removed)}`, added.length && `forced ${textOf(added)}`];
  const what = acts.filter(Boolean).join(", then ") || `${event?.action === "Noop" ? "printed" : event?.action || "failed"} ${detailsOf(event)}`;
  const said = [...(event?.logs ?? []).map(({ text }) => text), event?.error].filter(Boolean).join(" · ");
  return `${named(mod)}${handler(event ?? undefined)}: ${what}${said ? ` · ${said}` : ""}`;
}

/** What an adjustment says. @param {import("./token_timeline.js").TraceEvent | null} event */
function detailsOf(event) {
  return Object.entries(event?.details ?? {}).map(([name, value]) => (value === true ? name : `${name} ${JSON.stringify(value)}`)).join(", ");
}

/** @param {import("./token_timeline.js").Cell[]} cells */
function textOf(cells) {
  const text = cells.map((cell) => cell.text).join("");
  return text.trim() ? `“${text}”` : cells.map(nameOf).join(", ");
}

customElements.define("event-slider", EventSlider);
