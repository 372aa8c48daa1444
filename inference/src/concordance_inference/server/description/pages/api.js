// Shows /openapi.json: each endpoint with its fields, and a form that sends a request.

import { send as sendWithKey } from "/inspector/key.js";

/** The most characters of a response that are shown. */
const MAX_SHOWN = 100_000;

/** Make an element with properties and children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The schema that a reference names; any other schema as it is. */
function resolved(schema, spec) {
  const name = schema.$ref?.split("/").at(-1);
  return name ? spec.components.schemas[name] : schema;
}

/** A short text for the type of a schema, such as `string | string[]`. */
function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].filter((t) => t !== "null").join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items ?? {})}[]`;
  return schema.type ?? "any";
}

/** The limits of a schema, such as `0 to 2`. */
function limitsOf(schema) {
  const inner = schema.anyOf?.find((option) => option.type !== "null") ?? schema;
  const [low, high] = [inner.minimum, inner.maximum];
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  if (low !== undefined) return `from ${low}`;
  return high === undefined ? "" : `to ${high}`;
}

/** The types that a schema refers to, directly. */
function referredBy(schema) {
  return [...JSON.stringify(schema).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1]);
}

/** A table of the fields of an object. */
function fieldTable(schema, spec) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const about = resolved(field, spec).description?.split("\n")[0] ?? "";
    return element(
      "tr",
      {},
      element("td", {}, element("code", { textContent: name }), required.has(name) ? " (required)" : ""),
      element("td", { className: "type", textContent: `${typeOf(field)} ${limitsOf(field)}` }),
      element("td", { textContent: field.description ?? about }),
    );
  });
  const head = ["Field", "Type", "Meaning"].map((text) => element("th", { textContent: text, scope: "col" }));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

/** The fields of a body, and of every type that it refers to. */
function bodyFields(schema, spec) {
  const shown = [];
  const names = [...referredBy(schema)];
  for (const name of names) {
    const type = spec.components.schemas[name];
    shown.push(element("h3", { textContent: name }), fieldTable(type, spec));
    names.push(...referredBy(type).filter((other) => !names.includes(other)));
  }
  return shown;
}

/** A body to begin with. */
function exampleBody(schema, spec, model) {
  const fields = resolved(schema, spec).properties ?? {};
  const example = {};
  if ("model" in fields) example.model = model;
  if ("messages" in fields) example.messages = [{ role: "user", content: "Hello" }];
  else if ("prompt" in fields) example.prompt = "Hello";
  else if ("input" in fields) example.input = "Hello";
  if ("max_tokens" in fields) example.max_tokens = 16;
  return JSON.stringify(example, null, 2);
}

/** Send a request, and show the response as it arrives. */
async function send(method, path, body, output) {
  output.textContent = "Waiting for the response.";
  const init = body === null ? { method } : { method, body, headers: { "Content-Type": "application/json" } };
  try {
    const response = await sendWithKey(path, init);
    output.textContent = `${response.status} ${response.statusText}\n\n`;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      output.textContent = (output.textContent + read.value).slice(0, MAX_SHOWN);
    }
  } catch (error) {
    output.textContent = `No response: ${error.message}`;
  }
}

/** A form that sends a request to an endpoint. */
function form(method, path, schema, spec, model) {
  const address = element("input", { value: path, ariaLabel: "Path" });
  const body = schema && element("textarea", { value: exampleBody(schema, spec, model), ariaLabel: "Body", spellcheck: false });
  const output = element("pre", { tabIndex: 0, role: "log", ariaLabel: "Response" });
  const button = element("button", { type: "button", textContent: "Send" });
  button.addEventListener("click", () => send(method, address.value, body?.value ?? null, output));
  return element("div", {}, address, ...(body ? [body] : []), button, output);
}

/** One endpoint, closed until it is selected. */
function endpoint(method, path, operation, spec, model) {
  const schema = operation.requestBody?.content["application/json"].schema;
  const content = element("div");
  const head = element(
    "summary",
    {},
    element("span", { className: "method", textContent: method }),
    element("code", { textContent: path }),
    element("span", { className: "summary", textContent: operation.summary }),
  );
  const details = element("details", { className: "endpoint" }, head, content);
  details.dataset.words = JSON.stringify([method, path, operation, ...referredBy(schema ?? {}).map((name) => Object.keys(spec.components.schemas[name].properties ?? {}))]).toLowerCase();
  details.addEventListener("toggle", () => {
    if (content.childElementCount) return;
    if (operation.description) content.append(element("p", { textContent: operation.description }));
    content.append(form(method, path, schema, spec, model), ...bodyFields(schema ?? {}, spec));
  });
  return details;
}

/** Fetch the description and the models, and show them. */
async function main() {
  const about = document.querySelector("#about");
  const list = document.querySelector("#endpoints");
  const [spec, models] = await Promise.all(["/openapi.json", "/v1/models"].map(async (path) => (await sendWithKey(path)).json()));
  about.textContent = `${spec.info.description} Version ${spec.info.version}.`;
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      list.append(endpoint(method.toUpperCase(), path, operation, spec, models.data[0]?.id ?? ""));
    }
  }
  document.querySelector("#filter").addEventListener("input", (event) => {
    const word = event.target.value.toLowerCase();
    for (const details of list.children) details.hidden = !details.dataset.words.includes(word);
  });
}

main().catch((error) => {
  document.querySelector("#about").textContent = `The description could not be loaded: ${error.message}`;
});
