// <mod-editor>: writes a mod, uploads it and shows its error at its line.

import { ApiError, call } from "./api.js";
import { button, element } from "./element.js";

const TEMPLATE = `from concordance_sdk import mod
from concordance_sdk.text import CompletionText, PhraseWatch


@mod(max_backtrack=16)
class Relocate:
    """Says "Lyon" wherever the model says "Paris"."""

    find: str = "Paris"
    instead: str = "Lyon"

    def __init__(self):
        self.text = CompletionText()
        self.watch = PhraseWatch(self.text, self.find, whole_words=True)

    def added(self, event, actions, tokenizer):
        self.text.follow(event, tokenizer)
        if match := self.watch.find():
            return self.watch.replace(match, self.instead, actions)
`;

/** An editor. Sends `uploaded` with the name of a mod, `detail.run` if it is to be run. */
export class ModEditor extends HTMLElement {
  #name = element("input", { value: "relocate", required: true, spellcheck: false });
  #source = element("textarea", { value: TEMPLATE, rows: 18, spellcheck: false, wrap: "off", "aria-label": "Source", "aria-describedby": "mod-error" });
  #lines = element("pre", { "aria-hidden": "true" });
  #message = element("p", { id: "mod-error", role: "alert" });

  connectedCallback() {
    this.#source.addEventListener("input", () => this.#mark(null));
    this.#source.addEventListener("scroll", () => { this.#lines.scrollTop = this.#source.scrollTop; });
    const row = element("div", { className: "row" }, element("label", {}, "Name", this.#name),
      button("Upload", () => this.#upload(false)), button("Upload and run", () => this.#upload(true)));
    this.append(element("details", {}, element("summary", {}, "Write a mod"), row,
      element("div", { className: "source" }, this.#lines, this.#source), this.#message));
    this.#mark(null);
  }

  /** Show an error of the mod that is being edited. @param {unknown} error */
  showError(error) {
    if (error instanceof ApiError && error.mod === this.#name.value) this.#fail(error);
  }

  /** @param {boolean} run */
  async #upload(run) {
    const [name, source] = [this.#name.value.trim(), this.#source.value];
    this.#say("");
    try {
      await call("v1/mods", { name, source, entrypoint: entrypointOf(source) });
    } catch (error) {
      return this.#fail(/** @type {import("./api.js").ApiError} */ (error));
    }
    this.#mark(null);
    this.#say(`Uploaded ${name}.`, "good");
    this.dispatchEvent(new CustomEvent("uploaded", { detail: { name, run } }));
  }

  /** @param {import("./api.js").ApiError} error */
  #fail(error) {
    const line = lineOf(error);
    this.#mark(line);
    this.#say(line ? `Line ${line}: ${error.message}` : error.message, "error");
    if (line) this.#select(line);
  }

  /** @param {string} text @param {string} className */
  #say(text, className = "") {
    Object.assign(this.#message, { textContent: text, className });
  }

  /** Number the lines, and mark one. @param {number | null} marked */
  #mark(marked) {
    const count = this.#source.value.split("\n").length;
    const numbers = Array.from({ length: count }, (_, i) => element("span", { className: i + 1 === marked ? "marked" : "" }, `${i + 1}\n`));
    this.#lines.replaceChildren(...numbers);
    this.#source.setAttribute("aria-invalid", String(marked !== null));
  }

  /** @param {number} line */
  #select(line) {
    const before = this.#source.value.split("\n").slice(0, line - 1).join("\n").length;
    const begin = line > 1 ? before + 1 : 0;
    this.#source.focus();
    this.#source.setSelectionRange(begin, begin + this.#source.value.slice(begin).split("\n")[0].length);
  }
}

/** The last function or class that is made a mod. @param {string} source */
function entrypointOf(source) {
  const found = [...source.matchAll(/^@mod\b.*\n(?:@.*\n)*(?:async )?(?:class|def)\s+(\w+)/gm)];
  return found.at(-1)?.[1] ?? source.match(/^(?:class|def)\s+(\w+)/m)?.[1] ?? "mod";
}

/** The line of an error in the uploaded module. @param {import("./api.js").ApiError} error */
function lineOf({ message, traceback }) {
  const found = [...traceback.matchAll(/client_mod\.py", line (\d+)/g), ...message.matchAll(/client_mod\.py, line (\d+)/g)];
  return found.length ? Number(found.at(-1)?.[1]) : null;
}

customElements.define("mod-editor", ModEditor);
