// Saves files of the server whose links have `download`: a link itself cannot send the key.

import { element } from "./element.js";
import { hasKey, send } from "./key.js";

document.addEventListener("click", async (event) => {
  const link = event.target instanceof Element && event.target.closest("a[download]");
  if (!(link instanceof HTMLAnchorElement) || link.protocol === "blob:" || !hasKey()) return;
  event.preventDefault();
  const response = await send(link.href);
  if (!response.ok) return;
  const href = URL.createObjectURL(await response.blob());
  element("a", { href, download: link.download }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
});
