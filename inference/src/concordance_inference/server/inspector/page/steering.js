// <steering-bar>: acts on a running request by hand.

import { messageOf } from "./api.js";
import { button, element } from "./element.js";
import { changesOf } from "./mod_changes.js";
import { BY_HAND } from "./token_timeline.js";

/** @typedef {import("./chat_source.js").RequestSource} RequestSource */
/** @typedef {import("./token_timeline.js").Cell} Cell */

/** Buttons for the actions of live control. Sends `branch` with where to, and `refused` with the error of an action. */
export class SteeringBar extends HTMLElement {
  /** @type {() => import("./mod_changes.js").ChosenMod[]} The mods that are chosen in the form. */ chosenMods = () => [];
  /** @type {import("./mod_changes.js").ChosenMod[] | null} Those that the request has, if they were changed. */ #mods = null;
  /** @type {import("./token_timeline.js").TokenTimeline | null} */ #timeline = null;
  /** @type {RequestSource | null} */ #source = null;
  /** @type {() => Cell | null} The token that actions are about. */ #selected = () => null;
  #isArmed = false; // `b` was pressed: what is chosen next is a branch
  #status = element("span", { role: "status", className: "quiet" });
  #error = element("p", { role: "alert", className: "error" });
  #text = element("input", { placeholder: "text to force, or to branch with", "aria-label": "Text to force", autocomplete: "off", spellcheck: false });
  #buttons = {
    pause: button("Pause", () => this.pause(), { title: "space", "aria-keyshortcuts": "Space" }),
    step: button("Step", () => this.#act({ type: "step" }), { title: "s: one token, then pause", "aria-keyshortcuts": "s" }),
    back: button("Backtrack", () => this.backtrack(), { title: "x: the selected token and all after it", "aria-keyshortcuts": "x" }),
    force: button("Force", () => this.force(), { title: "Force the text here" }),
    branch: button("Branch", () => this.branch(), { title: "b: continue from the selected token as a new request, with the typed text or an alternative", "aria-keyshortcuts": "b" }),
    reasoning: button("End reasoning", () => this.#act({ type: "end_reasoning" }), { title: "r", "aria-keyshortcuts": "r" }),
    mods: button("Apply mods", () => this.applyMods(), { title: "m: the mods that are chosen for the next prompt", "aria-keyshortcuts": "m" }),
    end: button("End", () => this.#act({ type: "end" }), { title: "e", "aria-keyshortcuts": "e" }),
  };

  connectedCallback() {
    const { force, branch, ...others } = this.#buttons;
    const form = element("form", { className: "force" }, this.#text, force, branch);
    form.addEventListener("submit", (/** @type {Event} */ event) => { event.preventDefault(); this.#isBranching ? this.branch() : this.force(); });
    this.#text.addEventListener("keydown", (/** @type {KeyboardEvent} */ { key }) => { if (key === "Escape") this.#arm(false); });
    this.append(element("div", { role: "toolbar", "aria-label": "Steer by hand" }, ...Object.values(others), form), this.#status, this.#error);
  }

  /**
   * @param {import("./token_timeline.js").TokenTimeline} timeline
   * @param {RequestSource | null} source Null for a stored trace.
   * @param {() => Cell | null} selected
   */
  open(timeline, source, selected) {
    this.#timeline = timeline;
    this.#source = source;
    this.#selected = selected;
    for (const [name, each] of Object.entries(this.#buttons)) each.hidden = !source && name !== "branch";
  }

  /** True if the request can be acted on. */
  get canAct() {
    return this.#source !== null && ["running", "paused"].includes(this.#timeline?.state ?? "");
  }

  /** True if the trace has tokens from which a new request can continue. */
  get canBranch() {
    return Boolean(this.#timeline?.trace.id && this.#timeline.cells.length);
  }

  /** True if a choice of a token is one of a branch, not of the running request. */
  get #isBranching() {
    return this.canBranch && (this.#isArmed || !this.canAct);
  }

  /** Show the state of the request. */
  update() {
    const timeline = this.#timeline;
    if (!timeline) return;
    for (const each of Object.values(this.#buttons)) each.disabled = !this.canAct;
    this.#buttons.branch.disabled = !this.canBranch;
    this.#buttons.branch.setAttribute("aria-pressed", String(this.#isBranching));
    this.#buttons.pause.textContent = timeline.state === "paused" ? "Resume" : "Pause";
    /** @type {Record<string, string>} */ const ends = { ended: `ended: ${timeline.end}`, failed: "failed" };
    const text = ends[timeline.state] ?? timeline.state;
    if (this.#status.textContent !== text) this.#status.textContent = text;
    this.dataset.state = timeline.state;
    if (timeline.state === "failed") this.#error.textContent = timeline.end;
  }

  /** Pause, or resume. */
  pause() {
    return this.#act({ type: this.#timeline?.state === "paused" ? "resume" : "pause" });
  }

  /** Remove the selected token and all after it; the last token if none is selected. */
  backtrack() {
    return this.#act(this.#cut());
  }

  /**
   * Continue from a token as a new request: with a token or the typed text in its place, or else as the model chooses again.
   * @param {Cell | null} cell
   * @param {number} [id]
   */
  branch(cell = this.#selected(), id) {
    if (cell?.removed !== null) return this.#error.textContent = "Select a token of the completion to branch from.";
    const text = this.#text.value;
    const put = id !== undefined ? { token_ids: [id] } : text ? { text } : {};
    const seed = id === undefined && !text ? { seed: Math.floor(Math.random() * 2 ** 31) } : {};
    const detail = { branch_from: { id: this.#timeline?.trace.id, position: cell.position, ...put }, ...seed };
    this.#text.value = "";
    this.#arm(false);
    this.dispatchEvent(new CustomEvent("branch", { detail, bubbles: true }));
  }

  /** Put a token in the place of another: in a branch, or in the running request. @param {Cell} cell @param {number} id */
  choose(cell, id) {
    if (this.#isBranching) return this.branch(cell, id);
    return this.#act({ type: "backtrack", to_token: cell.position, token_ids: [id] });
  }

  /** Force the typed text: in the place of the selected token and all after it, or next. */
  async force() {
    const text = this.#text.value;
    if (!text) return this.#text.focus();
    const cell = this.#selected();
    await this.#act(cell?.removed === null ? { ...this.#cut(), text } : { type: "force", text });
    this.#text.value = "";
  }

  /** Make the mods of the request those that are chosen. */
  async applyMods() {
    /** @type {any[]} */ const begun = this.#timeline?.trace.mods ?? [];
    const own = begun.filter(({ name }) => name !== BY_HAND).map(({ name, hash, parameters }) => ({ name, hash, params: parameters }));
    const chosen = this.chosenMods();
    const changes = changesOf(this.#mods ?? own, chosen);
    for (const action of changes) if (!(await this.#act(action))) return;
    this.#mods = chosen;
  }

  /** Handle a key of the page; return true if it is one of ours. @param {string} key */
  key(key) {
    if (key === "b" && this.canBranch) {
      this.#arm(true);
      this.#text.focus();
      return true;
    }
    /** @type {Record<string, () => void>} */ const actions = {
      " ": () => this.pause(), x: () => this.backtrack(), s: () => this.#buttons.step.click(),
      f: () => this.#text.focus(), r: () => this.#buttons.reasoning.click(), m: () => this.applyMods(), e: () => this.#buttons.end.click(),
    };
    if (!this.canAct || !actions[key]) return false;
    actions[key]();
    return true;
  }

  /** @param {boolean} isArmed */
  #arm(isArmed) {
    this.#isArmed = isArmed;
    this.update();
  }

  #cut() {
    const cell = this.#selected();
    const isThere = cell?.removed === null;
    return isThere ? { type: "backtrack", to_token: cell.position } : { type: "backtrack", num_tokens: 1 };
  }

  /** Act; return true if the action was applied. @param {object} action */
  async #act(action) {
    this.#error.textContent = "";
    try {
      await this.#source?.act(action);
      return true;
    } catch (error) {
      this.#error.textContent = messageOf(error);
      this.dispatchEvent(new CustomEvent("refused", { detail: error, bubbles: true }));
      return false;
    }
  }
}

customElements.define("steering-bar", SteeringBar);
