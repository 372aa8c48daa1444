// <branch-tree>: the branches of a completion, and of its branches.

import { call } from "./api.js";
import { button, element } from "./element.js";
import { visible } from "./token_card.js";

/** @typedef {{id: string, position: number | null, text: string, state: string, completion_tokens: number, branches: Branch[]}} Branch */

/** A tree. Sends `open` with the id of a request. */
export class BranchTree extends HTMLElement {
  /** Show the tree in which a request is; nothing if it has no branches. @param {string} id */
  async show(id) {
    const tree = await call(`v1/branches/${encodeURIComponent(id)}`).catch(() => null); // it may be forgotten
    this.hidden = !tree?.root.branches.length;
    if (!this.hidden) this.replaceChildren(element("h2", {}, "Branches"), element("ul", {}, this.#node(tree.root, id)));
  }

  /** @param {Branch} node @param {string} current @returns {HTMLElement} */
  #node({ id, position, text, state, completion_tokens: count, branches }, current) {
    const own = requestOf(id);
    const name = position === null ? "the beginning" : `at ${position}: ${text ? visible(text) : "again"}`;
    const open = button(name, () => this.dispatchEvent(new CustomEvent("open", { detail: own })), { className: "quiet" });
    if (own === requestOf(current)) open.setAttribute("aria-current", "true");
    const link = element("a", { href: `v1/branches/${encodeURIComponent(own)}/conversation`, download: "conversation.json", title: "Messages, up to the end of this branch" }, "conversation");
    const facts = element("span", { className: "quiet" }, `${count} tokens, ${state} `, link);
    return element("li", {}, open, facts, ...(branches.length ? [element("ul", {}, ...branches.map((each) => this.#node(each, current)))] : []));
  }
}

/** The id of a completion's request. @param {string} id */
export function requestOf(id) {
  return id.replace(/^(chatcmpl-|cmpl-|resp_|msg_)/, "");
}

customElements.define("branch-tree", BranchTree);
