// Makes the mods of a running request those that are chosen.

/** @typedef {{name: string, params?: Record<string, any>, hash?: string | null}} ChosenMod */

/**
 * The actions of live control that put some mods in the place of others. Mods that do not change keep their state.
 * @param {ChosenMod[]} now
 * @param {ChosenMod[]} chosen
 */
export function changesOf(now, chosen) {
  const find = (/** @type {ChosenMod[]} */ mods, /** @type {string} */ name) => mods.find((mod) => mod.name === name);
  const removed = now.filter(({ name }) => !find(chosen, name));
  const replaced = chosen.filter((mod) => find(now, mod.name) && stateOf(find(now, mod.name)) !== stateOf(mod));
  const added = chosen.filter(({ name }) => !find(now, name));
  return [
    ...removed.map(({ name }) => ({ type: "remove_mod", name })),
    ...replaced.map(({ name, params }) => ({ type: "replace_mod", name, mod: { name, params } })),
    ...added.map(({ name, params }) => ({ type: "add_mod", mod: { name, params } })),
  ];
}

/** @param {ChosenMod | undefined} mod */
function stateOf({ params = {}, hash = null } = { name: "" }) {
  return JSON.stringify([hash, Object.entries(params).sort()]);
}
