// <run-comparison>: two completions beside each other, aligned by their tokens.

import { aligned } from "./alignment.js";
import { button, element } from "./element.js";
import { dress, nameOf } from "./token_list.js";

/**
 * @typedef {import("./alignment.js").Part} Part
 * @typedef {import("./token_timeline.js").Cell} Cell
 * @typedef {import("./timeline_view.js").TimelineView} TimelineView
 * @typedef {{label: string, timeline: import("./token_timeline.js").TokenTimeline, view: TimelineView}} Side
 */

/** Tokens of a row: the browser lays out only the rows in view. */
const ROW = 120;
/** Milliseconds between two alignments of completions that grow, at least; and how much longer it is than an alignment. */
const [PAUSE, REST] = [400, 10];
/** What a row is, in words. */
const KINDS = { same: "same", different: "different", backtracked: "backtracked", pending: "not compared yet" };

/** Shows where two completions differ. A token that is clicked, or at which they differ, is selected in its own view. */
export class RunComparison extends HTMLElement {
  /** @type {Side[]} */ #sides = [];
  /** @type {Part[]} The parts that are not the same. */ #differences = [];
  #current = -1; // of the differences
  #isWaiting = false;
  #pause = PAUSE;
  #body = element("div", { role: "rowgroup" });
  #export = element("a", { download: "traces.html", title: "One file that shows both, anywhere", hidden: true }, "Export");
  /** True if a server sends the traces as a file. */ canExport = false;
  #status = element("p", { role: "status", className: "quiet" });
  #buttons = [
    button("Previous", () => this.go(-1), { title: "p: the difference before", "aria-label": "Previous difference", "aria-keyshortcuts": "p" }),
    button("Next", () => this.go(1), { title: "n: the next difference", "aria-label": "Next difference", "aria-keyshortcuts": "n" }),
  ];

  /** @param {Side} left @param {Side} right */
  open(left, right) {
    this.#sides = [left, right];
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Comparison");
    const heads = [element("span", { className: "hidden" }, "Difference"), left.label, right.label].map((label) => element("div", { role: "columnheader" }, label));
    const head = element("div", { role: "rowgroup", className: "head" }, element("div", { role: "row" }, ...heads));
    this.append(element("header", {}, element("h2", {}, "Comparison"), this.#status, ...this.#buttons, this.#export),
      element("div", { className: "aligned", tabIndex: 0, role: "table", "aria-label": "Aligned tokens" }, head, this.#body));
    for (const { timeline } of this.#sides) timeline.addEventListener("change", () => this.#soon());
    this.update();
  }

  /** Align the completions as they are now. */
  update() {
    const [left, right] = this.#sides;
    const parts = aligned(left.timeline, right.timeline);
    this.#differences = parts.filter(({ kind }) => kind === "different" || kind === "backtracked");
    this.#body.replaceChildren(...parts.flatMap((part) => this.#rows(part)));
    for (const each of this.#buttons) each.disabled = !this.#differences.length;
    const first = this.#differences.find(({ kind }) => kind === "different");
    left.view.markDifference(first ? shownOf(first.left) : null);
    right.view.markDifference(first ? shownOf(first.right) : null);
    const [id, other] = [left, right].map(({ timeline }) => encodeURIComponent(timeline.trace.id ?? ""));
    this.#export.href = `v1/traces/${id}?format=html&beside=${other}`;
    this.#export.hidden = !this.canExport || ![left, right].every(({ timeline: { state } }) => state === "ended" || state === "failed");
    this.#say();
  }

  /** Go to another difference: select its tokens, so that both explain themselves. @param {number} by */
  go(by) {
    const count = this.#differences.length;
    if (!count) return;
    this.#current = this.#current < 0 ? (by > 0 ? 0 : count - 1) : (this.#current + by + count) % count;
    const { left, right } = this.#differences[this.#current];
    [left, right].forEach((cells, i) => this.#sides[i].view.select(shownOf(cells)));
    this.#say();
    this.#mark();
  }

  /** Handle a key of the page; return true if it is one of ours. @param {string} key */
  key(key) {
    const by = { n: 1, p: -1 }[key];
    if (by) this.go(by);
    return Boolean(by);
  }

  #soon() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setTimeout(() => {
      this.#isWaiting = false;
      const began = performance.now();
      this.update();
      this.#pause = Math.max(PAUSE, REST * (performance.now() - began));
    }, this.#pause);
  }

  /** @param {Part} part */
  #rows(part) {
    const count = Math.max(1, Math.ceil(Math.max(part.left.length, part.right.length) / ROW));
    return Array.from({ length: count }, (_, i) => this.#row(part, i * ROW));
  }

  /** @param {Part} part @param {number} from The first token of the row. */
  #row(part, from) {
    const number = this.#differences.indexOf(part) + 1;
    const label = !number ? KINDS[part.kind] : `${KINDS[part.kind]}, ${number} of ${this.#differences.length}`;
    const isFirst = part.kind === "different" && part === this.#differences.find(({ kind }) => kind === "different");
    const sides = [part.left, part.right].map((cells, i) =>
      element("div", { role: "cell" }, ...cells.slice(from, from + ROW).map((cell) => this.#token(cell, this.#sides[i]))));
    const name = element("div", { role: "rowheader" }, element("span", { className: "hidden" }, from ? "" : `${isFirst ? "first difference, " : ""}${label}`),
      element("span", { "aria-hidden": "true" }, number && !from ? String(number) : ""));
    return element("div", { role: "row", className: `${part.kind}${isFirst ? " first" : ""}`, "data-difference": String(number) }, name, ...sides);
  }

  /** @param {Cell} cell @param {Side} side */
  #token(cell, { view }) {
    const shown = element(cell.removed === null ? "span" : "del", { className: cell.removed === null ? "token" : "token removed" });
    dress(shown, cell, (mod) => view.colourOf(mod));
    shown.addEventListener("click", () => view.select(cell));
    return shown;
  }

  #mark() {
    for (const row of this.#body.querySelectorAll(".current")) row.classList.remove("current");
    const rows = this.#body.querySelectorAll(`[data-difference="${this.#current + 1}"]`);
    for (const row of rows) row.classList.add("current");
    rows[0]?.scrollIntoView({ block: "nearest" });
  }

  #say() {
    const [count, at] = [this.#differences.length, this.#differences[this.#current]];
    const text = at ? `${this.#current + 1} of ${count}. ${this.#sides.map(({ label }, i) => `${label}: ${inWords([at.left, at.right][i])}`).join(". ")}` : count ? `${count} difference${count > 1 ? "s" : ""}` : "no difference";
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }
}

/** The token that stands for a difference. @param {Cell[]} cells */
function shownOf(cells) {
  return cells.find((cell) => cell.removed === null) ?? cells[0] ?? null;
}

/** @param {Cell[]} cells */
function inWords(cells) {
  const [kept, removed] = [cells.filter((cell) => cell.removed === null), cells.filter((cell) => cell.removed !== null)].map(shortened);
  return [removed && `${removed} backtracked`, kept].filter(Boolean).join(", then ") || "nothing";
}

/** @param {Cell[]} cells */
function shortened(cells) {
  const text = cells.map(({ text: own }) => own).join("");
  if (!cells.length) return "";
  return text.trim() ? `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”` : cells.slice(0, 3).map(nameOf).join(", ");
}

customElements.define("run-comparison", RunComparison);
