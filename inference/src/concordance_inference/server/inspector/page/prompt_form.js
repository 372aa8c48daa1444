// <prompt-form>: the prompt, the mods and the sampling of a request.

import { button, element } from "./element.js";
import "./mod_picker.js";

/** Where the last request is kept. */
const KEY = "concordance-request";

/** The first request of a new user: what mods can do, in a few seconds. */
const FIRST = {
  prompt: "Where is the Eiffel Tower?",
  mods: [{ name: "greeting" }, { name: "replace", params: { find: "Paris", replacement: "Lyon" } }],
  max_tokens: 40, temperature: 0,
};

/** A form. Sends `run`, and `compare` to run the request with and without its mods. */
export class PromptForm extends HTMLElement {
  #prompt = element("textarea", { rows: 4, required: true });
  #mods = element("mod-picker");
  #maxTokens = element("input", { type: "number", min: 1, required: true });
  #temperature = element("input", { type: "number", min: 0, max: 2, step: 0.1, placeholder: "the model’s" });
  #seed = element("input", { type: "number", min: 0, placeholder: "random" });
  #form = element("form");
  /** True if this browser has sent no request yet. */
  isNew = localStorage.getItem(KEY) === null;

  connectedCallback() {
    const compare = button("Compare", () => this.#send("compare"), { title: "With and without the mods, side by side" });
    this.#form.append(
      element("label", {}, "Prompt", this.#prompt),
      element("div", { role: "group", "aria-label": "Mods", className: "mods" }, element("h2", {}, "Mods"), this.#mods),
      element("div", { className: "row" }, element("label", {}, "Max tokens", this.#maxTokens),
        element("label", {}, "Temperature", this.#temperature), element("label", {}, "Seed", this.#seed)),
      element("div", { className: "row" }, element("button", { className: "primary", title: "Ctrl Enter" }, "Run"), compare));
    this.#form.addEventListener("submit", (/** @type {Event} */ event) => { event.preventDefault(); this.#send("run"); });
    this.#form.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    this.append(this.#form);
    this.#fill();
  }

  /** Offer mods, and choose those of the last request. @param {Record<string, any>[]} mods */
  offer(mods) {
    const chosen = this.#mods.isConnected && this.#mods.childElementCount ? this.#mods.choices : kept().mods;
    this.#mods.offer(mods);
    this.#mods.choose(chosen);
  }

  /** Choose one more mod. @param {string} name */
  add(name) {
    if (this.#mods.choices.every((/** @type {{name: string}} */ mod) => mod.name !== name)) this.#mods.choose([...this.#mods.choices, { name }]);
  }

  /** Run as if the button was pressed. */
  submit() {
    this.#form.requestSubmit();
  }

  /** The chosen mods with the hashes of their sources. */
  get mods() {
    return this.#mods.versions;
  }

  /** The fields of the request, without a model. */
  get fields() {
    const seed = this.#seed.value || String(Math.floor(Math.random() * 2 ** 31));
    const temperature = this.#temperature.value && { temperature: Number(this.#temperature.value) };
    const messages = [{ role: "user", content: this.#prompt.value }];
    return { messages, mods: this.#mods.choices, max_tokens: Number(this.#maxTokens.value), seed: Number(seed), ...temperature };
  }

  #fill() {
    const { prompt, max_tokens: maxTokens, temperature } = kept();
    this.#prompt.value = prompt;
    this.#maxTokens.value = maxTokens;
    this.#temperature.value = temperature;
  }

  /** @param {"run" | "compare"} name */
  #send(name) {
    if (!this.#form.reportValidity()) return;
    const last = { prompt: this.#prompt.value, mods: this.#mods.choices, max_tokens: this.#maxTokens.value, temperature: this.#temperature.value };
    localStorage.setItem(KEY, JSON.stringify(last));
    this.dispatchEvent(new CustomEvent(name, { detail: this.fields }));
  }
}

/** The last request, or the first of a new user. */
function kept() {
  try {
    return { ...FIRST, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return FIRST;
  }
}

customElements.define("prompt-form", PromptForm);
