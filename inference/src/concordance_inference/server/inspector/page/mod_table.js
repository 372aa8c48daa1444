// What each mod of a request did, its time, and that of each of its handlers.

import { element } from "./element.js";

const COLUMNS = ["mod", "calls", "forced", "backtracked", "adjusted", "time"];

/** A table of mods and their handlers. @param {Record<string, any>} trace One that has ended. */
export function modTable({ mods, handlers }) {
  const most = Math.max(1, ...[...mods, ...handlers].map((/** @type {any} */ each) => each.microseconds ?? 0));
  const rows = mods.flatMap((/** @type {any} */ each) => {
    const numbers = [each.calls, each.forced_tokens, each.backtracked_tokens, each.adjusted_steps].map((n) => n ?? 0);
    const own = handlers.filter((/** @type {any} */ { mod }) => mod === each.name);
    return [row(each.name, numbers, each.microseconds ?? 0, most, ""), ...own.map((/** @type {any} */ { event, calls, microseconds }) => row(event, [calls, "", "", ""], microseconds, most, "quiet"))];
  });
  return element("table", {}, element("caption", {}, "Mods"),
    element("thead", {}, element("tr", {}, ...COLUMNS.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows));
}

/** The lines that mods wrote outside of an event, such as in `__init__`; nothing if there are none. @param {Record<string, any>} trace */
export function otherLines({ logs = [] }) {
  const lines = logs.map((/** @type {any} */ { mod, text }) => `${mod}: ${text}`).join("\n");
  return lines ? [element("details", {}, element("summary", {}, "Lines outside of events"), element("pre", { className: "prompt" }, lines))] : [];
}

/** @param {string} name @param {(number | string)[]} numbers @param {number} microseconds @param {number} most @param {string} className */
function row(name, numbers, microseconds, most, className) {
  const bar = element("meter", { min: 0, max: most, value: microseconds, "aria-label": `Time of ${name}` });
  return element("tr", { className }, element("th", { scope: "row" }, name), ...numbers.map((n) => element("td", {}, String(n))),
    element("td", {}, bar, `${(microseconds / 1000).toFixed(1)} ms`));
}
