// Makes elements.

/**
 * Make an element with properties and children. Names with a dash, and `role`, are attributes.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function element(tag, properties = {}, ...children) {
  /** @type {any} */ const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/**
 * Make a button that runs an action.
 * @param {string} text
 * @param {() => void} action
 * @param {Record<string, any>} [properties]
 * @returns {HTMLButtonElement}
 */
export function button(text, action, properties = {}) {
  return element("button", { type: "button", onclick: action, ...properties }, text);
}
