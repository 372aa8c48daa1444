// <timeline-view>: the tokens of a timeline, its events, and what mods did. It only shows.

import { element } from "./element.js";
import "./event_slider.js";
import { modTable, otherLines } from "./mod_table.js";
import { named } from "./token_card.js";
import "./token_list.js";

/** @typedef {import("./token_timeline.js").TokenTimeline} TokenTimeline */

/** Shows a timeline while it grows. Sends `grown` after each update, and `choose` of an alternative. */
export class TimelineView extends HTMLElement {
  /** @type {TokenTimeline | null} */ #timeline = null;
  #list = element("token-list");
  #card = element("token-card");
  #slider = element("event-slider");
  #figures = element("p", { className: "quiet figures" });
  #mods = element("div");
  #prompt = element("details", { hidden: true }, element("summary", {}, "Prompt"), element("pre", { className: "prompt", tabIndex: 0 }));
  /** @type {import("./token_timeline.js").Cell | null} */ #pointed = null;
  #isWaiting = false; // for the next update
  #rest = 0; // ms until then
  /** @type {HTMLElement} The names of who forced tokens, in their colours. */
  legend = element("ul", { className: "legend", "aria-label": "Origins" });
  /** @type {() => boolean} True if an alternative can be chosen. */ canChoose = () => false;

  /** @param {TokenTimeline} timeline */
  open(timeline) {
    this.#timeline = timeline;
    this.append(this.#prompt, this.#list, this.#slider, this.#card, this.#figures, this.#mods);
    this.#list.open(timeline);
    this.#slider.open(timeline);
    this.#list.addEventListener("select", () => { this.#pointed = null; this.#explain(); });
    this.#list.addEventListener("point", (/** @type {CustomEvent} */ { detail }) => { this.#pointed = detail; this.#explain(); });
    this.#slider.addEventListener("step", () => this.#stepped());
    this.#card.addEventListener("choose", (/** @type {CustomEvent} */ { detail }) => this.dispatchEvent(new CustomEvent("choose", { detail })));
    timeline.addEventListener("change", () => this.#soon());
    this.update();
  }

  /** The token that was selected. */
  get selected() {
    return this.#list.selected;
  }

  /** Select a token. @param {import("./token_timeline.js").Cell | null} cell */
  select(cell) {
    this.#list.select(cell);
  }

  /** The number of a mod's colour. @param {string} mod @returns {string} */
  colourOf(mod) {
    return this.#list.colourOf(mod);
  }

  /** Move by a number of events. @param {number} by */
  step(by) {
    this.#slider.step(by);
  }

  /** Mark the first token that differs from another completion. @param {import("./token_timeline.js").Cell | null} cell */
  markDifference(cell) {
    this.#list.markDifference(cell ?? undefined);
  }

  /** Show what is new. */
  update() {
    const isAtEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    this.#slider.update();
    this.#list.show(this.#slider.count);
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
    this.#showFigures();
    this.#explain();
    this.dispatchEvent(new Event("grown"));
  }

  /** Update in a frame, however many tokens come: the longer an update takes, the later is the next one. */
  #soon() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setTimeout(() => requestAnimationFrame(() => {
      this.#isWaiting = false;
      const began = performance.now();
      this.update();
      this.#rest = 4 * (performance.now() - began);
    }), this.#rest);
  }

  #stepped() {
    this.#list.show(this.#slider.count);
    const event = this.#timeline?.events[this.#slider.count - 1];
    this.#list.select(event?.added[0] ?? event?.removed[0]);
  }

  /** Explain the token under the pointer, the selected one, or the newest. */
  #explain() {
    const newest = this.#timeline?.completion.findLast(({ text }) => text);
    this.#card.show(this.#pointed ?? this.#list.selected ?? newest ?? null, this.#timeline?.calls ?? [], this.canChoose());
  }

  #showFigures() {
    if (!this.#timeline) return;
    const { completion, cells, passes, trace } = this.#timeline;
    const forced = completion.filter(({ origin }) => origin === "forced").length;
    const prompt = trace.prompt_tokens ? `${trace.prompt_tokens} prompt tokens, ${trace.cached_tokens} of them cached; ` : "";
    const saved = passes.reduce((sum, pass) => sum + (pass.saved ?? 0), 0);
    const ran = passes.length ? `; ${passes.length} passes, ${saved} saved by forced spans, ${passes.filter((pass) => pass.is_wasted).length} wasted` : "";
    const branch = trace.branched ? `Branched at ${trace.branched.position}: ${trace.branched.read_tokens} tokens read, ${trace.branched.cached_tokens} from the KV cache. ` : "";
    const level = trace.level === "requests" ? `Recorded without tokens: ${trace.text}. ` : "";
    this.#figures.textContent = `${level}${branch}${prompt}${completion.length} tokens: ${completion.length - forced} sampled, ${forced} forced; ${cells.length - completion.length} removed${ran}`;
    const names = [...new Set(cells.flatMap(({ mod }) => (mod ? [mod] : [])))];
    if (names.length !== this.legend.childElementCount) {
      this.legend.replaceChildren(...names.map((name) => element("li", { "data-mod": this.#list.colourOf(name) }, name.startsWith("@") ? named(name) : name)));
    }
    this.#prompt.hidden = !trace.prompt;
    if (trace.prompt) this.#prompt.lastElementChild.textContent = trace.prompt;
    if (trace.handlers?.length && !this.#mods.childElementCount) this.#mods.append(modTable(trace), ...otherLines(trace));
  }
}

customElements.define("timeline-view", TimelineView);
