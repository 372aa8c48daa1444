// <mod-picker>: chooses mods, with a form for their parameters made of their types.

import { element } from "./element.js";

/** @typedef {Record<string, any>} Schema */

/** A list of mods to choose from. */
export class ModPicker extends HTMLElement {
  /** @type {Record<string, any>[]} */ #mods = [];
  /** @type {Map<string, Record<string, any>>} Parameters of the chosen mods, as typed. */ #chosen = new Map();

  /** @param {Record<string, any>[]} mods As `/v1/mods` describes them. */
  offer(mods) {
    this.#mods = mods;
    for (const name of this.#chosen.keys()) if (!mods.some((mod) => mod.id === name)) this.#chosen.delete(name);
    this.#show();
  }

  /** Choose mods. @param {{name: string, params?: Record<string, any>}[]} choices */
  choose(choices) {
    const known = choices.filter(({ name }) => this.#mods.some((mod) => mod.id === name));
    this.#chosen = new Map(known.map(({ name, params }) => [name, { ...params }]));
    this.#show();
  }

  /** The chosen mods, as a request has them. */
  get choices() {
    return [...this.#chosen].map(([name, params]) => ({ name, params }));
  }

  /** The chosen mods with the hashes of their sources. */
  get versions() {
    return this.choices.map((mod) => ({ ...mod, hash: this.#mods.find(({ id }) => id === mod.name)?.hash ?? null }));
  }

  #show() {
    const options = this.#mods.filter((mod) => !this.#chosen.has(mod.id)).map((mod) => element("option", { value: mod.id }, mod.id));
    const select = element("select", { "aria-label": "Add a mod" }, element("option", { value: "" }, "Add a mod …"), ...options);
    select.addEventListener("change", () => { this.#chosen.set(select.value, {}); this.#show(); });
    this.replaceChildren(...[...this.#chosen.keys()].map((name) => this.#form(name)), select);
  }

  /** @param {string} name */
  #form(name) {
    const mod = this.#mods.find((each) => each.id === name) ?? {};
    const remove = element("button", { type: "button", className: "quiet", "aria-label": `Remove ${name}` }, "×");
    remove.addEventListener("click", () => { this.#chosen.delete(name); this.#show(); });
    const { properties = {}, required = [] } = resolved(mod.parameters ?? {}, mod.parameters ?? {});
    const fields = Object.entries(properties).map(([key, schema]) =>
      field(key, resolved(schema, mod.parameters), required.includes(key), this.#chosen.get(name) ?? {}));
    return element("fieldset", { className: "mod" }, element("legend", {}, name, remove),
      element("p", { className: "quiet" }, mod.description ?? ""), ...fields);
  }
}

/** The schema that a reference names; any other as it is. @param {Schema} schema @param {Schema} root */
function resolved(schema, root) {
  const name = schema.$ref?.split("/").at(-1);
  return name ? root.$defs[name] : schema;
}

/**
 * A labelled control for a parameter, which keeps its value in `params`.
 * @param {string} name
 * @param {Schema} schema
 * @param {boolean} isRequired
 * @param {Record<string, any>} params
 */
function field(name, schema, isRequired, params) {
  const { control, write, read } = controlOf(schema);
  if (params[name] !== undefined) write(params[name]);
  else if (schema.default !== undefined) write(schema.default);
  control.required = isRequired;
  control.addEventListener("input", () => {
    control.setCustomValidity("");
    try {
      params[name] = read();
    } catch {
      control.setCustomValidity("This is not JSON.");
    }
    if (params[name] === undefined || params[name] === "" && !isRequired) delete params[name];
  });
  return element("label", {}, `${name}${isRequired ? " *" : ""}`, control);
}

/** @param {Schema} schema @returns {{control: any, write: (value: any) => void, read: () => any}} */
function controlOf(schema) {
  if (schema.enum) {
    const control = element("select", {}, ...schema.enum.map((/** @type {any} */ value) => element("option", { value }, String(value))));
    return { control, write: (value) => { control.value = value; }, read: () => schema.enum[control.selectedIndex] };
  }
  if (schema.type === "boolean") {
    const control = element("input", { type: "checkbox" });
    return { control, write: (value) => { control.checked = value; }, read: () => control.checked };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const control = element("input", { type: "number", min: schema.minimum ?? "", max: schema.maximum ?? "", step: schema.type === "integer" ? 1 : "any" });
    return { control, write: (value) => { control.value = value; }, read: () => (control.value ? Number(control.value) : undefined) };
  }
  if (schema.type === "string") {
    const control = element("input", { type: "text" });
    return { control, write: (value) => { control.value = value; }, read: () => control.value };
  }
  if (schema.type === "array" && schema.items?.type === "string") {
    const control = element("input", { type: "text", placeholder: "one, two, three" });
    const read = () => control.value.split(",").map((/** @type {string} */ each) => each.trim()).filter(Boolean);
    return { control, write: (value) => { control.value = value.join(", "); }, read };
  }
  const control = element("textarea", { rows: 2, placeholder: "JSON" });
  return { control, write: (value) => { control.value = JSON.stringify(value); }, read: () => (control.value ? JSON.parse(control.value) : undefined) };
}

customElements.define("mod-picker", ModPicker);
