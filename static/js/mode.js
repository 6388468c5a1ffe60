// Remembers the choice of light or dark in a cookie, so that the server draws the next page in it from the first byte.
// The choice itself needs no script: the stylesheet reads the radios.

for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll(".modes input"))) {
  radio.addEventListener("change", () => {
    const secure = location.protocol === "https:" ? "; secure" : "";
    const age = radio.value === "system" ? 0 : 31536000;
    document.cookie = `mode=${radio.value}; path=/; max-age=${age}; samesite=lax${secure}`;
    delete document.documentElement.dataset.mode;
  });
}

// A menu closes on Escape, and when something else is pressed.
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && menus()[0];
  if (!open) return;
  open.open = false;
  open.querySelector("summary")?.focus();
});
document.addEventListener("click", (event) => {
  for (const menu of menus()) {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
  }
});

/** @returns {NodeListOf<HTMLDetailsElement>} */
function menus() {
  return document.querySelectorAll("details.menu[open]");
}
