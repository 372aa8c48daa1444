// <token-card>: who wrote a token, how probable it was, and what else could have been there.

import { button, element } from "./element.js";
import { nameOf } from "./token_list.js";
import { BY_HAND, entropyOf } from "./token_timeline.js";

/** @typedef {import("./token_timeline.js").Cell} Cell */

/** Explains a token. Sends `choose` with the text of an alternative. */
export class TokenCard extends HTMLElement {
  /** @param {Cell | null} cell @param {boolean} canChoose The request can be acted on. */
  show(cell, canChoose) {
    if (!cell) return this.replaceChildren(element("p", { className: "quiet" }, "Point at a token, or select one, and it explains itself."));
    const facts = [
      element("p", { className: "token-name" }, element("q", {}, visible(cell.text) || nameOf(cell)),
        element("span", { className: "quiet" }, ` position ${cell.position}, id ${cell.tokenId}`)),
      ...lines(cell).map((line) => element("p", {}, line)),
    ];
    const list = element("ol", { className: "alternatives", "aria-label": "The model's alternatives" },
      ...cell.top.map((each) => this.#alternative(cell, each, canChoose)));
    this.replaceChildren(element("div", {}, ...facts), list);
  }

  /**
   * @param {Cell} cell
   * @param {import("./token_timeline.js").Alternative} alternative
   * @param {boolean} canChoose
   */
  #alternative(cell, { text, logprob }, canChoose) {
    const probability = Math.exp(logprob);
    const isChosen = logprob === cell.logprob && text.trim() === cell.text.trim();
    const choose = () => this.dispatchEvent(new CustomEvent("choose", { detail: { cell, text } }));
    const name = canChoose && !isChosen && cell.removed === null
      ? button(visible(text), choose, { title: "Continue with this token instead" })
      : element("span", {}, visible(text));
    const bar = element("meter", { min: 0, max: 1, value: probability, "aria-label": `Probability of ${visible(text)}` });
    return element("li", { className: isChosen ? "chosen" : "" }, name, bar, percent(probability));
  }
}

/** Text with its white space visible. @param {string} text */
function visible(text) {
  return text.replaceAll("\n", "⏎").replaceAll(" ", "␣");
}

/** A probability for readers. @param {number} p */
function percent(p) {
  return p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`;
}

/** Sentences about a token. @param {Cell} cell */
function lines(cell) {
  const found = [cell.mod ? `Forced by ${named(cell.mod)}.` : "Sampled from the model."];
  if (cell.removed !== null) found.push(`Backtracked by ${named(cell.removedBy)}, at event ${cell.removed + 1}.`);
  if (!cell.top.length) return [...found, "Its probabilities are not known yet."];
  const given = cell.logprob === null ? "less than to the alternatives here" : percent(Math.exp(cell.logprob));
  found.push(`The model gave it ${given}.`);
  if (cell.sampledLogprob !== null) found.push(`After temperature and mods: ${percent(Math.exp(cell.sampledLogprob))}.`);
  return [...found, `Entropy here: at least ${(entropyOf(cell.top) ?? 0).toFixed(2)} bits.`];
}

/** @param {string | null} mod */
export function named(mod) {
  return mod === BY_HAND ? "hand" : `mod ${mod ?? "unknown"}`;
}

customElements.define("token-card", TokenCard);
