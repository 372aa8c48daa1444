// <trace-list>: the stored traces, with search and filters.

import { call, messageOf } from "./api.js";
import { button, element } from "./element.js";

/** @typedef {Record<string, any>} Summary A trace in `/v1/traces`. */

/** Traces of a page. */
const LIMIT = 30;

/** A list of stored traces. Sends `open` with the id of one, and `compare` to see it beside what is shown. */
export class TraceList extends HTMLElement {
  #search = element("input", { type: "search", name: "search", placeholder: "in prompts and completions" });
  #mod = element("select", { name: "mod" });
  #status = element("select", { name: "status" }, ...["", "ended", "failed"].map((value) => element("option", { value }, value || "any")));
  #form = element("form", { role: "search" });
  #list = element("ol", { className: "traces", "aria-label": "Stored traces" });
  #more = button("More", () => this.#load(this.#oldest));
  #export = element("a", { download: "traces.jsonl", title: "JSON Lines of the traces that match" }, "Export");
  #message = element("p", { role: "status", className: "quiet" });
  #details = element("details");
  /** @type {number | null} When the last trace of the list began. */ #oldest = null;
  /** @type {number | undefined} */ #timer;

  connectedCallback() {
    this.#form.append(element("label", {}, "Search", this.#search),
      element("div", { className: "row" }, element("label", {}, "Mod", this.#mod), element("label", {}, "Status", this.#status)));
    this.#form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    this.#form.addEventListener("input", () => this.refresh());
    this.#details.append(element("summary", {}, "Stored traces"), this.#form, this.#list, element("div", { className: "row" }, this.#more, this.#export), this.#message);
    this.#details.addEventListener("toggle", () => this.refresh());
    this.append(this.#details);
    this.offer([]);
  }

  /** Offer mods as a filter. @param {Record<string, any>[]} mods */
  offer(mods) {
    const { value } = this.#mod;
    this.#mod.replaceChildren(element("option", { value: "" }, "any"), ...mods.map(({ id }) => element("option", {}, id)));
    this.#mod.value = value;
  }

  /** Show what matches and was stored meanwhile, if the list is open. */
  refresh() {
    clearTimeout(this.#timer);
    if (this.#details.open) this.#timer = setTimeout(() => this.#load(null), 200);
  }

  /** Load the newest, or those that began before a time. @param {number | null} before */
  async #load(before) {
    const given = /** @type {any} */ ([...new FormData(this.#form)].filter(([, value]) => value));
    const query = new URLSearchParams(given);
    this.#export.href = `v1/traces/export?${query}&limit=1000`;
    query.set("limit", String(LIMIT));
    if (before) query.set("before", String(before));
    try {
      this.#show((await call(`v1/traces?${query}`)).data, before !== null);
    } catch (error) {
      this.#message.textContent = messageOf(error);
    }
  }

  /** @param {Summary[]} found @param {boolean} isMore */
  #show(found, isMore) {
    const entries = found.map((each) => this.#entry(each));
    if (isMore) this.#list.append(...entries);
    else this.#list.replaceChildren(...entries);
    this.#oldest = found.at(-1)?.created ?? null;
    this.#more.hidden = found.length < LIMIT;
    this.#message.textContent = this.#list.childElementCount ? "" : "No trace matches.";
  }

  /** @param {Summary} trace */
  #entry(trace) {
    const { id, created, mods, completion_tokens: count, status, text_preview: text } = trace;
    const facts = [new Date(1000 * created).toLocaleString(), `${count} tokens`, ...mods, ...(status === "failed" ? ["failed"] : [])];
    const name = text.trim().slice(0, 40) || id;
    const open = button("", () => this.dispatchEvent(new CustomEvent("open", { detail: id })), { className: "entry" });
    open.append(element("span", {}, text.trim() || trace.error || "no text"), element("span", { className: "quiet" }, facts.join(" · ")));
    const compare = button("≠", () => this.dispatchEvent(new CustomEvent("compare", { detail: id })), { className: "quiet", title: "Compare with the completion that is shown", "aria-label": `Compare with the trace of ${name}` });
    const remove = button("×", () => this.#delete(id, entry), { className: "quiet", "aria-label": `Delete the trace of ${name}` });
    /** @type {HTMLElement} */ const entry = element("li", {}, open, compare, remove);
    return entry;
  }

  /** @param {string} id @param {HTMLElement} entry */
  async #delete(id, entry) {
    try {
      await call(`v1/traces/${encodeURIComponent(id)}`, undefined, "DELETE");
      (entry.nextElementSibling ?? entry.previousElementSibling)?.querySelector("button")?.focus();
      entry.remove();
    } catch (error) {
      this.#message.textContent = messageOf(error);
    }
  }
}

customElements.define("trace-list", TraceList);
