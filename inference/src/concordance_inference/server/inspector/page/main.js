// The inspector: sends requests, shows every token of them, and acts on them.

import { call, messageOf } from "./api.js";
import "./branch_tree.js";
import { ChatSource, RequestSource } from "./chat_source.js";
import "./downloads.js";
import { element } from "./element.js";
import "./lane_view.js";
import "./mod_editor.js";
import "./prompt_form.js";
import "./run_comparison.js";
import "./run_panel.js";
import { TokenTimeline } from "./token_timeline.js";
import { TraceFeed } from "./trace_feed.js";
import "./trace_list.js";

/** @typedef {import("./run_panel.js").RunPanel} RunPanel */

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const [model, runs, form, editor, traces, lanes, tree] = ["#model", "#runs", "prompt-form", "mod-editor", "trace-list", "lane-view", "branch-tree"].map(find);

const feed = new TraceFeed();
/** @type {RunPanel[]} The completions that are shown. */
let panels = [];
/** @type {RunPanel | undefined} The one that keys act on. */
let current;
/** @type {any} What aligns the two completions that are shown. */
let comparison = null;

/** Show completions beside each other, in the place of all others but one; the others end. @param {number} count @param {RunPanel} [kept] @returns {RunPanel[]} */
function place(count, kept) {
  for (const panel of panels) if (panel !== kept) leave(panel);
  if (!kept) runs.replaceChildren();
  const made = Array.from({ length: count }, () => element("run-panel"));
  for (const panel of made) {
    for (const type of ["focusin", "pointerdown"]) panel.addEventListener(type, () => { current = panel; });
    panel.chosenMods = () => form.mods;
  }
  panels = kept ? [kept, ...made] : made;
  runs.append(...made);
  runs.dataset.count = String(panels.length);
  current = made[0];
  return made;
}

/** Align the completions, if two are shown. */
function align() {
  comparison?.remove();
  comparison = panels.length === 2 ? element("run-comparison", { canExport: true }) : null;
  if (!comparison) return;
  runs.prepend(comparison);
  comparison.open(...panels);
}

/** Remove a completion, and end it if it runs. @param {RunPanel} panel */
function leave(panel) {
  const { source, timeline: { state } } = panel;
  if (source instanceof ChatSource && ["running", "paused"].includes(state)) source.act({ type: "end" }).catch(() => {});
  panel.remove();
}

/** Start completions. @param {[string, Record<string, any>][]} requests @param {RunPanel} [kept] */
function start(requests, kept) {
  place(requests.length, kept).forEach(async (panel, i) => {
    const [title, fields] = requests[i];
    const error = await panel.start(title, { model: model.value, ...fields }, feed);
    if (error) editor.showError(error);
  });
  align();
}

/** Continue from a token beside the completion that has it. @param {CustomEvent} event */
function branch({ target, detail }) {
  /** @type {RunPanel} */ const panel = /** @type {any} */ (target).closest("run-panel");
  start([[`Branch at ${detail.branch_from.position}`, { model: panel.timeline.trace.model, ...detail }]], panel);
}

/** True if a request is a branch. @param {string} id */
function isBranch(id) {
  const { branch: origin, branched } = feed.timelines.get(id)?.trace ?? {};
  return Boolean(origin ?? branched);
}

/**
 * Show a trace: of a request that runs, which can be steered, or a stored one.
 * @param {string} id
 * @param {RunPanel} [kept] What it is compared with.
 */
async function open(id, kept) {
  const live = feed.timelines.get(id);
  try {
    const timeline = live ?? TokenTimeline.of(await call(`v1/traces/${encodeURIComponent(id)}`));
    const title = kept ? `Trace of ${new Date(timeline.trace.created * 1000).toLocaleString()}` : "Trace";
    place(1, kept)[0].open(title, timeline, live ? new RequestSource(id) : null);
    align();
    tree.show(id);
    runs.focus();
  } catch (error) {
    fail(error);
  }
}

/** @param {unknown} error */
function fail(error) {
  runs.replaceChildren(element("p", { role: "alert", className: "error" }, messageOf(error)));
}

/** @param {string} [selected] */
async function loadMods(selected) {
  const { data } = await call("v1/mods");
  form.offer(data);
  traces.offer(data);
  if (selected) form.add(selected);
}

/** The models, without their names with mods. */
async function loadModels() {
  /** @type {{data: {id: string, root?: string}[]}} */ const { data } = await call("v1/models");
  const plain = data.filter((each) => each.root === each.id || !each.root);
  model.replaceChildren(...plain.map(({ id }) => element("option", { value: id }, id)));
}

/** True if a key is for the element that has the focus. @param {EventTarget | null} target @param {string} key */
function isTyped(target, key) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.matches("textarea, select, input:not([type=range])")) return true;
  return target.matches("button, summary, a") && (key === " " || key === "Enter");
}

/** Colour tokens by what is chosen, and remember the theme. */
function listen() {
  form.addEventListener("run", (/** @type {CustomEvent} */ { detail }) => start([["Completion", detail]]));
  form.addEventListener("compare", (/** @type {CustomEvent} */ { detail }) => start([["With mods", detail], ["Without mods", { ...detail, mods: [] }]]));
  editor.addEventListener("uploaded", async (/** @type {CustomEvent} */ { detail: { name, run } }) => {
    await loadMods(name);
    if (run) form.submit();
  });
  for (const view of [traces, lanes, tree]) view.addEventListener("open", (/** @type {CustomEvent} */ { detail }) => open(detail));
  traces.addEventListener("compare", (/** @type {CustomEvent} */ { detail }) => open(detail, panels[0]));
  runs.addEventListener("refused", (/** @type {CustomEvent} */ { detail }) => editor.showError(detail));
  runs.addEventListener("branch", branch);
  feed.addEventListener("end", () => traces.refresh());
  for (const type of ["begin", "end"]) feed.addEventListener(type, (/** @type {any} */ { detail }) => { if (isBranch(detail)) tree.show(detail); });
  find("#colours").addEventListener("change", (/** @type {any} */ { target }) => { document.body.dataset.colour = target.value; });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyped(event.target, event.key)) return;
    if (comparison?.key(event.key) || current?.key(event.key)) event.preventDefault();
  });
}

/** Dark or light: as the system, until the button is pressed. */
function theme() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const show = () => { find("#theme").textContent = isDark() ? "Light" : "Dark"; };
  const kept = localStorage.getItem("concordance-theme");
  if (kept) root.dataset.theme = kept;
  find("#theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("concordance-theme", root.dataset.theme);
    show();
  });
  show();
}

document.body.dataset.colour = "origin";
theme();
listen();
lanes.open(feed);
try {
  await Promise.all([loadModels(), loadMods()]);
  if (form.isNew) form.submit(); // something to see, before anything is set
} catch (error) {
  fail(error);
}
document.body.dataset.ready = "true";
