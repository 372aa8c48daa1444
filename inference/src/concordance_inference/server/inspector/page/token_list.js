// <token-list>: the tokens of a timeline as they were after an event, removed ones struck through.

import { element } from "./element.js";
import { BY_HAND } from "./token_timeline.js";

/** @typedef {import("./token_timeline.js").Cell} Cell */
/** @typedef {import("./token_timeline.js").TokenTimeline} TokenTimeline */

/** Tokens of a block, which the browser lays out only if it is in view. It ends at a line's end. */
const BLOCK = [128, 512];
/** Colours of mods. */
const NUM_COLOURS = 5;
let numLists = 0;
/** A token without its text. */
const TOKEN = element("span", { role: "option", "aria-selected": "false" });

/** Shows tokens. Sends `select` (a token was chosen) and `point` (the pointer is over one, or null). */
export class TokenList extends HTMLElement {
  /** @type {TokenTimeline | null} */ #timeline = null;
  /** @type {HTMLElement[]} The element of each cell. */ #shown = [];
  /** @type {string[]} Is each token shown: "", "kept" or "removed". */ #states = [];
  /** @type {number[]} The version of each token that is shown. */ #versions = [];
  /** @type {string[]} Mods in the order of their colours. */ #mods = [];
  #block = element("div");
  #id = `tokens-${numLists++}`;
  /** @type {Cell | null} */ selected = null;

  connectedCallback() {
    this.tabIndex = 0;
    this.setAttribute("role", "listbox");
    this.setAttribute("aria-label", "Tokens");
    this.addEventListener("pointerover", (event) => this.#point(this.#cellOf(event.target)));
    this.addEventListener("pointerleave", () => this.#point(null));
    this.addEventListener("click", (event) => this.select(this.#cellOf(event.target)));
    this.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {TokenTimeline} timeline */
  open(timeline) {
    this.#timeline = timeline;
  }

  /** Show the tokens as they were after the first `count` steps. @param {number} count */
  show(count) {
    const timeline = this.#timeline;
    if (!timeline) return;
    if (!this.#mods.length) this.#mods = timeline.mods;
    const isLive = count === timeline.events.length; // builds the steps
    for (const cell of timeline.cells) {
      const isRemoved = cell.removed !== null && cell.removed < count;
      this.#put(cell, !isLive && cell.added >= count ? "" : isRemoved ? "removed" : "kept");
    }
  }

  /** Show one token. @param {Cell} cell @param {string} state */
  #put(cell, state) {
    const { index, version } = cell;
    const shown = this.#shown[index] ?? this.#append(index);
    if (this.#versions[index] !== version) {
      dress(shown, cell, this.colourOf);
      if (!cell.text.trim()) shown.setAttribute("aria-label", nameOf(cell));
    }
    this.#versions[index] = version;
    if (this.#states[index] === state) return;
    this.#states[index] = state;
    shown.hidden = !state;
    shown.classList.toggle("removed", state === "removed");
  }

  /** Select a token. @param {Cell | null | undefined} cell */
  select(cell) {
    const before = this.selected && this.#shown[this.selected.index];
    before?.setAttribute("aria-selected", "false");
    this.selected = cell ?? null;
    const shown = cell && this.#shown[cell.index];
    if (shown) {
      shown.setAttribute("aria-selected", "true");
      this.setAttribute("aria-activedescendant", shown.id);
      shown.scrollIntoView({ block: "nearest" });
    } else {
      this.removeAttribute("aria-activedescendant");
    }
    this.dispatchEvent(new CustomEvent("select", { detail: this.selected }));
  }

  /** Mark the first token that differs from another completion. @param {Cell | undefined} cell */
  markDifference(cell) {
    const marked = this.querySelector(".differs");
    const shown = cell && this.#shown[cell.index];
    if (marked === shown) return;
    marked?.classList.remove("differs");
    shown?.classList.add("differs");
  }

  /** The number of a mod's colour. @param {string} mod */
  colourOf = (mod) => {
    if (mod === BY_HAND) return "hand";
    if (!this.#mods.includes(mod)) this.#mods.push(mod);
    return String(this.#mods.indexOf(mod) % NUM_COLOURS);
  };

  /** @param {number} index */
  #append(index) {
    const [least, most] = BLOCK;
    const length = this.#block.childElementCount;
    const isFull = length >= most || (length >= least && this.#shown.at(-1)?.textContent?.endsWith("\n"));
    if (isFull || !this.#block.parentNode) {
      this.#block = element("div", { className: "block", role: "group", "aria-label": "Tokens" });
      this.append(this.#block);
    }
    const shown = TOKEN.cloneNode();
    shown.id = `${this.#id}-${index}`;
    this.#shown[index] = shown;
    this.#block.append(shown);
    return shown;
  }

  /** @param {EventTarget | null} target @returns {Cell | undefined} */
  #cellOf(target) {
    const shown = target instanceof Element && target.closest("[role=option]");
    return shown ? this.#timeline?.cells[Number(shown.id.split("-").at(-1))] : undefined;
  }

  /** @param {Cell | null | undefined} cell */
  #point(cell) {
    this.dispatchEvent(new CustomEvent("point", { detail: cell ?? null }));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const cells = this.#timeline?.cells ?? [];
    const visible = cells.filter(({ index }) => this.#shown[index] && !this.#shown[index].hidden);
    const at = this.selected ? visible.indexOf(this.selected) : visible.length;
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: visible.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.select(visible[Math.max(0, Math.min(to, visible.length - 1))]);
  }
}

/**
 * Show a token in an element.
 * @param {HTMLElement} shown
 * @param {Cell} cell
 * @param {(mod: string) => string} colourOf
 */
export function dress(shown, cell, colourOf) {
  shown.textContent = cell.text;
  if (cell.mod) shown.dataset.mod = colourOf(cell.mod);
  if (cell.alternatives) shown.dataset.p = String(Math.min(5, Math.floor(Math.exp(cell.logprob ?? -99) * 6)));
  if (cell.entropy !== undefined) shown.dataset.e = String(Math.min(5, Math.floor(bits(cell.entropy))));
}

/** A token's text, in words if it has none that can be seen. @param {Cell} cell */
export function nameOf({ text, token_id: id }) {
  if (!text) return `token ${id}, without text`;
  return text.trim() ? text : text.replaceAll("\n", "newline ").replaceAll(" ", "space ").trim() || "white space";
}

/** An entropy in bits. @param {number} nats */
export function bits(nats) {
  return nats / Math.LN2;
}

customElements.define("token-list", TokenList);
