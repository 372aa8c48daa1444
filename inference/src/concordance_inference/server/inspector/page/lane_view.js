// <lane-view>: the batch: a lane for each request, a column for each step of the engine.

import { button, element } from "./element.js";

/** @typedef {import("./token_timeline.js").TokenTimeline} TokenTimeline */
/** @typedef {import("./token_timeline.js").Pass} Pass */

/** Steps of the engine that are shown. */
const WIDTH = 120;
/** Time between two updates. */
const INTERVAL_MS = 150;
/** What a lane shows, in the order of the legend. */
const KINDS = { prefill: "prompt", decode: "one token", saved: "forced span", wasted: "discarded", rewind: "rewind", paused: "paused" };

/** Shows lanes. Sends `open` with the id of a request. */
export class LaneView extends HTMLElement {
  /** @type {import("./trace_feed.js").TraceFeed | null} */ #feed = null;
  #details = element("details", { open: true });
  #rows = element("tbody");
  /** @type {Map<string, {row: HTMLElement, cells: HTMLElement[], strip: SVGElement}>} */ #lanes = new Map();
  #isWaiting = false; // for the next update

  /** @param {import("./trace_feed.js").TraceFeed} feed */
  open(feed) {
    this.#feed = feed;
    const columns = ["request", `the last ${WIDTH} steps`, "tokens", "passes", "saved", "wasted"];
    const legend = element("ul", { className: "legend lanes" }, ...Object.entries(KINDS).map(([kind, text]) => element("li", { className: kind }, text)));
    this.#details.append(element("summary", {}, "Batch"), legend,
      element("table", { "aria-label": "Requests of the batch" }, element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))), this.#rows));
    this.#details.addEventListener("toggle", () => this.#soon());
    this.append(this.#details);
    for (const type of ["begin", "update", "end"]) feed.addEventListener(type, () => this.#soon());
    this.#update();
  }

  #soon() {
    if (this.#isWaiting || !this.#details.open) return;
    this.#isWaiting = true;
    setTimeout(() => { this.#isWaiting = false; this.#update(); }, INTERVAL_MS);
  }

  #update() {
    const timelines = this.#feed?.timelines ?? new Map();
    this.hidden = !timelines.size;
    for (const [id, { row }] of this.#lanes) if (!timelines.has(id)) { row.remove(); this.#lanes.delete(id); }
    /** @type {Record<string, number>} The last step of each model's engine. */ const last = {};
    for (const { trace, passes } of timelines.values()) last[trace.model] = Math.max(last[trace.model] ?? 0, passes.at(-1)?.step ?? 0);
    for (const [id, timeline] of timelines) this.#showLane(id, timeline, last[timeline.trace.model]);
  }

  /** @param {string} id @param {TokenTimeline} timeline @param {number} last */
  #showLane(id, timeline, last) {
    const { row, cells, strip } = this.#lanes.get(id) ?? this.#lane(id);
    row.dataset.state = timeline.state;
    const { passes, cells: tokens } = timeline;
    const saved = passes.reduce((sum, pass) => sum + (pass.saved ?? 0), 0);
    const numbers = [tokens.length, passes.length, saved, passes.filter((pass) => pass.is_wasted).length];
    numbers.forEach((number, i) => { cells[i].textContent = String(number); });
    const name = `${timeline.state}, ${tokens.slice(0, 8).map(({ text, status }) => (status ? "" : text)).join("").trim() || "no token yet"} …`;
    const [open] = row.querySelectorAll("button");
    if (open.textContent !== name) open.textContent = name;
    const marks = marksOf(timeline, last);
    for (const path of strip.children) path.setAttribute("d", marks[path.classList[0]] ?? "");
  }

  /** @param {string} id */
  #lane(id) {
    const svg = "http://www.w3.org/2000/svg";
    const strip = document.createElementNS(svg, "svg");
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${WIDTH} 4`, preserveAspectRatio: "none", "aria-hidden": "true" })) strip.setAttribute(name, value);
    for (const kind of Object.keys(KINDS)) strip.append(Object.assign(document.createElementNS(svg, "path"), {}));
    [...strip.children].forEach((path, i) => path.setAttribute("class", Object.keys(KINDS)[i]));
    const open = button("", () => this.dispatchEvent(new CustomEvent("open", { detail: id })), { className: "quiet", title: "Show its tokens" });
    const cells = [0, 1, 2, 3].map(() => element("td"));
    const row = element("tr", {}, element("th", { scope: "row" }, open), element("td", { className: "strip" }, strip), ...cells);
    this.#rows.prepend(row);
    const lane = { row, cells, strip };
    this.#lanes.set(id, lane);
    return lane;
  }
}

/** The paths of a lane: what its request did in each of the last steps. @param {TokenTimeline} timeline @param {number} last */
function marksOf({ passes, calls, state }, last) {
  /** @type {Record<string, string>} */ const marks = {};
  const put = (/** @type {string} */ kind, /** @type {number} */ step, y = 0.5, height = 3, width = 0.85) => {
    const x = step - last + WIDTH - 1;
    if (x + width > 0) marks[kind] = `${marks[kind] ?? ""}M${Math.max(0, x)} ${y}h${width}v${height}h${-width}z`;
  };
  for (let i = passes.length - 1; i >= 0 && passes[i].step > last - WIDTH; i--) put(kindOf(passes[i]), passes[i].step);
  const stepAt = (/** @type {number} */ time) => passes.findLast(({ at_ms: at }) => (at ?? 0) <= time)?.step ?? 0;
  const since = passes.at(-WIDTH)?.at_ms ?? 0;
  for (const { action, at_ms: at = 0, backtracked_tokens: count, event } of calls) {
    if (at < since) continue;
    if (count) put("rewind", stepAt(at), 0, 4, 0.4);
    if (event !== "command" || action !== "pause") continue;
    const [from, to] = [stepAt(at) + 1, passes.find((pass) => (pass.at_ms ?? 0) > at)?.step ?? (state === "paused" ? last + 1 : 0)];
    if (to > from) put("paused", from, 1.7, 0.6, Math.min(to, last + 1) - from);
  }
  return marks;
}

/** @param {Pass} pass */
function kindOf({ is_prefill: isPrefill, is_wasted: isWasted, saved }) {
  if (isWasted) return "wasted";
  if (isPrefill) return "prefill";
  return saved ? "saved" : "decode";
}

customElements.define("lane-view", LaneView);
