// <run-panel>: one completion: its tokens, events, mods and actions by hand.

import { ChatSource } from "./chat_source.js";
import { element } from "./element.js";
import "./event_slider.js";
import "./steering.js";
import "./token_card.js";
import "./token_list.js";
import { TokenTimeline } from "./token_timeline.js";

/** Runs a request and shows it. Sends `grown` when there is something new. */
export class RunPanel extends HTMLElement {
  timeline = new TokenTimeline();
  /** @type {ChatSource | null} */ source = null;
  #list = element("token-list");
  #card = element("token-card");
  #slider = element("event-slider");
  #steering = element("steering-bar");
  #legend = element("ul", { className: "legend", "aria-label": "Origins" });
  #figures = element("p", { className: "quiet figures" });
  #mods = element("div");
  /** @type {import("./token_timeline.js").Cell | null} */ #pointed = null;
  #isWaiting = false; // for the next frame

  /** Start a request. @param {string} title @param {Record<string, any>} fields */
  start(title, fields) {
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", title);
    this.append(element("header", {}, element("h2", {}, title), this.#legend), this.#steering, this.#list, this.#slider, this.#card, this.#figures, this.#mods);
    this.source = new ChatSource(fields, this.timeline);
    this.#list.open(this.timeline, (fields.mods ?? []).map((/** @type {{name: string}} */ mod) => mod.name));
    this.#slider.open(this.timeline);
    this.#steering.open(this.source, () => this.#list.selected);
    this.#list.addEventListener("select", () => { this.#pointed = null; this.#explain(); });
    this.#list.addEventListener("point", (/** @type {CustomEvent} */ { detail }) => { this.#pointed = detail; this.#explain(); });
    this.#slider.addEventListener("step", () => this.#stepped());
    this.#card.addEventListener("choose", (/** @type {CustomEvent} */ { detail: { cell, text } }) => this.#steering.choose(cell, text));
    this.timeline.addEventListener("change", () => this.#soon());
    this.#explain();
    this.#update();
    return this.source.run();
  }

  /** Handle a key of the page; return true if it is one of ours. @param {string} key */
  key(key) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (by) this.#slider.step(by);
    return Boolean(by) || this.#steering.key(key);
  }

  /** Mark the first token that differs from another completion. @param {number | null} position */
  markDifference(position) {
    this.#list.markDifference(position === null ? undefined : this.timeline.completion[position]);
  }

  /** Update once a frame, however many tokens come. */
  #soon() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => { this.#isWaiting = false; this.#update(); });
  }

  #update() {
    const isAtEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    this.#slider.update();
    this.#list.show(this.#slider.count);
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
    this.#steering.update();
    this.#showFigures();
    this.#explain();
    this.dispatchEvent(new Event("grown"));
  }

  #stepped() {
    this.#list.show(this.#slider.count);
    const event = this.timeline.events[this.#slider.count - 1];
    this.#list.select(event?.added[0] ?? event?.removed[0]);
  }

  /** Explain the token under the pointer, the selected one, or the newest. */
  #explain() {
    const newest = this.timeline.completion.findLast(({ text }) => text);
    this.#card.show(this.#pointed ?? this.#list.selected ?? newest ?? null, this.#steering.canAct);
  }

  #showFigures() {
    const { completion, cells, usage, mods } = this.timeline;
    const forced = completion.filter(({ mod }) => mod).length;
    const prompt = usage ? `${usage.prompt_tokens} prompt tokens, ` : "";
    this.#figures.textContent = `${prompt}${completion.length} tokens: ${completion.length - forced} sampled, ${forced} forced; ${cells.length - completion.length} backtracked`;
    const names = [...new Set(cells.flatMap(({ mod }) => (mod ? [mod] : [])))];
    if (names.length !== this.#legend.childElementCount) {
      this.#legend.replaceChildren(...names.map((name) => element("li", { "data-mod": this.#list.colourOf(name) }, name)));
    }
    if (mods.length && !this.#mods.childElementCount) this.#mods.append(table(mods));
  }
}

/** What each mod did, and its time. @param {import("./token_timeline.js").ModUse[]} mods */
function table(mods) {
  const most = Math.max(1, ...mods.map(({ microseconds }) => microseconds));
  const columns = ["mod", "calls", "forced", "backtracked", "adjusted", "time"];
  const rows = mods.map((each) => {
    const numbers = [each.calls, each.forced_tokens, each.backtracked_tokens, each.adjusted_steps];
    const time = `${(each.microseconds / 1000).toFixed(1)} ms`;
    const bar = element("meter", { min: 0, max: most, value: each.microseconds, "aria-label": `Time of ${each.mod}` });
    return element("tr", {}, element("th", { scope: "row" }, each.mod), ...numbers.map((n) => element("td", {}, String(n))), element("td", {}, bar, time));
  });
  return element("table", {}, element("caption", {}, "Mods"),
    element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows));
}

customElements.define("run-panel", RunPanel);
