// <token-card>: who wrote a token and why, how probable it was, and what else could have been there.

import { button, element } from "./element.js";
import { bits, nameOf } from "./token_list.js";
import { BRANCH, BY_HAND, withoutMarks } from "./token_timeline.js";

/** @typedef {import("./token_timeline.js").Cell} Cell */
/** @typedef {import("./token_timeline.js").TraceEvent} TraceEvent */
/** @typedef {import("./token_timeline.js").Alternative} Alternative */

/** Explains a token. Sends `choose` with an alternative. */
export class TokenCard extends HTMLElement {
  #shown = ""; // what it shows: unchanged elements keep the focus

  /** @param {Cell | null} cell @param {TraceEvent[]} calls Of the trace. @param {boolean} canChoose */
  show(cell, calls, canChoose) {
    const key = `${cell?.index} ${cell?.version} ${cell?.removed} ${canChoose}`;
    if (key === this.#shown) return;
    this.#shown = key;
    if (!cell) return this.replaceChildren(element("p", { className: "quiet" }, "Point at a token, or select one, and it explains itself."));
    const facts = [
      element("p", { className: "token-name" }, element("q", {}, visible(cell.text) || nameOf(cell)),
        element("span", { className: "quiet" }, ` position ${cell.position}, id ${cell.token_id}`)),
      ...who(cell, calls), ...probabilities(cell).map((line) => element("p", {}, line)),
    ];
    const all = cell.alternatives ?? [];
    const className = `alternatives${all.some((each) => isAdjusted(cell, each)) ? " adjusted" : ""}`;
    const list = element("ol", { className, "aria-label": "Alternatives" }, ...all.map((each) => this.#alternative(cell, each, canChoose)));
    this.replaceChildren(element("div", {}, ...facts), list);
  }

  /** @param {Cell} cell @param {Alternative} alternative @param {boolean} canChoose */
  #alternative(cell, alternative, canChoose) {
    const { text, logprob, adjusted_logprob: adjusted } = alternative;
    const [before, after] = [Math.exp(logprob ?? -Infinity), Math.exp(adjusted ?? -Infinity)];
    const isChosen = alternative.token_id === cell.token_id;
    const choose = () => this.dispatchEvent(new CustomEvent("choose", { detail: { cell, alternative } }));
    const name = canChoose && !isChosen && cell.removed === null
      ? button(visible(text), choose, { title: "Continue with this token instead" })
      : element("span", {}, visible(text));
    const hasChanged = isAdjusted(cell, alternative);
    const then = adjusted == null ? "not allowed" : `→ ${percent(after)}`;
    const bar = element("meter", { min: 0, max: 1, value: hasChanged ? after : before, "aria-label": `Probability of ${visible(text)}` });
    return element("li", { className: isChosen ? "chosen" : "" }, name, bar, percent(before), element("span", {}, hasChanged ? then : ""));
  }
}

/** True if mods or constraints changed the probability of a token that could have been sampled. @param {Cell} cell @param {Alternative | Cell} token */
function isAdjusted({ origin }, { logprob, adjusted_logprob: adjusted }) {
  if (origin) return false;
  return adjusted == null || Math.abs(Math.exp(adjusted) - Math.exp(logprob ?? -Infinity)) > 0.0005;
}

/** Text with its white space visible. @param {string} text */
export function visible(text) {
  return withoutMarks(text).replaceAll("\n", "⏎").replaceAll(" ", "␣");
}

/** A probability for readers. @param {number} p */
function percent(p) {
  return p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`;
}

/** Which mod acted on a token, in which handler, and what it printed. @param {Cell} cell @param {TraceEvent[]} calls */
function who(cell, calls) {
  const { origin, status, mod, event, removed_by: by, removed_at: at } = cell;
  const lines = [];
  if (!origin) lines.push("Sampled from the model.");
  if (origin === "given") lines.push("Given with the request.");
  if (origin === "forced") lines.push(`Forced by ${named(mod)}${handler(calls[event ?? -1])}.`);
  if (status === "backtracked") lines.push(`Backtracked by ${named(by)}${handler(calls[at ?? -1])}.`);
  if (status === "replaced" && by) lines.push(`Replaced before it was added, by ${named(by)}${handler(calls[at ?? -1])}.`);
  for (const call of cell.before.filter(({ action }) => action === "AdjustedLogits")) lines.push(`Logits adjusted by ${named(call.mod)}${handler(call)}.`);
  const logs = [...cell.before, calls[event ?? -1], calls[at ?? -1]].flatMap((call) => call?.logs ?? []);
  return [...lines.map((line) => element("p", {}, line)),
    ...new Set(logs.map(({ mod: name, text }) => `${name}: ${text}`))].map((line) => typeof line === "string" ? element("p", { className: "log" }, line) : line);
}

/** The handler of a call and its time, if it is known. @param {TraceEvent | undefined} call */
export function handler(call) {
  if (!call || call.event === "command") return "";
  return ` in ${call.event}${call.microseconds ? `, ${(call.microseconds / 1000).toFixed(2)} ms` : ""}`;
}

/** Sentences about the probabilities of a token. @param {Cell} cell */
function probabilities(cell) {
  const { alternatives, logprob, adjusted_logprob: adjusted, entropy, allowed, origin } = cell;
  if (!alternatives) return origin ? ["Its probability was not computed."] : ["Its probabilities are not known yet."];
  const found = [`The model gave it ${percent(Math.exp(logprob ?? -Infinity))}.`];
  if (adjusted != null && isAdjusted(cell, cell)) found.push(`After mods and constraints: ${percent(Math.exp(adjusted))}.`);
  if (entropy !== undefined) found.push(`Entropy: ${bits(entropy).toFixed(2)} bits.`);
  if (allowed === undefined) return found;
  const legal = alternatives.filter(({ adjusted_logprob: value }) => value != null).map(({ text }) => visible(text));
  const names = legal.slice(0, allowed).join(" ");
  return [...found, `Allowed here: ${allowed.toLocaleString("en")} ${allowed === 1 ? "token" : "tokens"}: ${names}${legal.length < allowed ? " …" : ""}`];
}

/** @param {string | null | undefined} mod */
export function named(mod) {
  return mod === BY_HAND ? "hand" : mod === BRANCH ? "the branch" : mod ? `mod ${mod}` : "the engine";
}

customElements.define("token-card", TokenCard);
