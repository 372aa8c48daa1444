// The key of this page's requests. The user enters it where the server needs one; it is kept for this tab only.

import { button, element } from "./element.js";

const NAME = "concordance-key";

/** @type {Promise<boolean> | null} The question that is open. */
let asking = null;

/** True if the user has entered a key. */
export function hasKey() {
  return sessionStorage.getItem(NAME) !== null;
}

/**
 * Send a request with the key; ask for one if the server needs another.
 * @param {string} path
 * @param {RequestInit} [init]
 * @param {boolean} [asks] False for requests that the user did not start.
 * @returns {Promise<Response>}
 */
export async function send(path, init = {}, asks = true) {
  for (;;) {
    const key = sessionStorage.getItem(NAME);
    const headers = { ...init.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const response = await fetch(path, { ...init, headers });
    if (response.status !== 401) return response;
    const isEntered = sessionStorage.getItem(NAME) !== key; // meanwhile, for another request
    if (!isEntered && !(asks && (await askFor(response.clone())))) return response;
  }
}

/** Ask for a key, once for all requests that wait for one. @param {Response} response */
function askFor(response) {
  asking ??= ask(response).finally(() => { asking = null; });
  return asking;
}

/** @param {Response} response @returns {Promise<boolean>} True if one was entered. */
async function ask(response) {
  const { error } = await response.json();
  /** @type {HTMLInputElement} */ const input = element("input", { type: "password", required: true, autocomplete: "off", spellcheck: false, size: 56 });
  /** @type {HTMLDialogElement} */ const dialog = element("dialog", { className: "key", "aria-label": "Key" },
    element("form", { method: "dialog" },
      element("p", {}, `${error.message}.`),
      element("label", {}, "Key", input),
      element("div", { className: "row" }, element("button", { className: "primary", value: "enter" }, "Use the key"), button("Cancel", () => dialog.close()))));
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  dialog.remove();
  if (dialog.returnValue !== "enter") return false;
  sessionStorage.setItem(NAME, input.value.trim());
  return true;
}
