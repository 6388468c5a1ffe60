// Keys for who works through alerts in the admin, ticks for all rows, and a list that stays true by itself.
// Everything works without it; while somebody types it does nothing.

const REFRESH = 15_000; // milliseconds between two looks at the list
const STEPS = new Map([["j", 1], ["ArrowDown", 1], ["k", -1], ["ArrowUp", -1]]);
const FIELDS = "input:not([type=checkbox]), textarea, select, [contenteditable]";

/** @type {HTMLFormElement | null} */
const list = document.querySelector("#changelist-form");
/** @type {HTMLFormElement | null} */
const noted = document.querySelector("form[data-noted]");
/** @type {HTMLTextAreaElement | null} */
const note = noted?.querySelector("textarea") ?? null;
/** @type {HTMLDetailsElement | null} */
const keys = document.querySelector("[data-keys]");
/** @type {HTMLButtonElement | null} */
let chosen = null; // the button that a note is written for

const links = () => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll("#result_list tbody th a")]);
const boxes = () => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll("#result_list .action-select")]);
const ticked = () => boxes().filter((box) => box.checked);
const here = () => links().findIndex((link) => link.closest("tr")?.contains(document.activeElement));

if (keys) keys.hidden = false;
if (note && noted?.classList.contains("desk-confirm")) note.focus();
count();

document.addEventListener("keydown", (event) => {
  const field = event.target instanceof Element && event.target.matches(FIELDS);
  if (field) {
    if (event.target === note && event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
    if (event.key === "Escape" && event.target instanceof HTMLElement) event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (press(event.key)) event.preventDefault();
});

document.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.type !== "checkbox") return;
  if (target.id === "action-toggle") for (const box of boxes()) box.checked = target.checked;
  count();
});

/**
 * Sends what was written with the button it was written for.
 * @param {Event} event
 */
function send(event) {
  event.preventDefault();
  noted?.requestSubmit(chosen ?? noted.querySelector("button[type=submit]"));
}

/**
 * Does what a key stands for.
 * @param {string} key
 * @returns {boolean} whether it stands for anything here
 */
function press(key) {
  if (key === "?") return help();
  if (list && STEPS.has(key)) return step(STEPS.get(key) ?? 0);
  if (list && key === "x") return tick();
  if (list && key === "/") return land(document.querySelector("#searchbar"));
  const wanted = [...document.querySelectorAll("[data-key]")].find((each) => each.getAttribute("data-key") === key);
  if (wanted instanceof HTMLAnchorElement) wanted.click();
  else if (!(wanted instanceof HTMLButtonElement)) return false;
  else if (noted) choose(wanted);
  else work(wanted);
  return true;
}

/** Opens or closes what tells the keys. */
function help() {
  if (!keys) return false;
  keys.open = !keys.open;
  return true;
}

/** @param {HTMLElement | null} where */
function land(where) {
  where?.focus();
  return where !== null;
}

/**
 * Goes to another row.
 * @param {number} by
 */
function step(by) {
  const rows = links();
  const at = here();
  return land(rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))] ?? null);
}

/** Ticks the row, or takes its tick away. */
function tick() {
  const box = boxes()[here()];
  if (!box) return false;
  box.checked = !box.checked;
  count();
  return true;
}

/**
 * Does it to the rows that are ticked; to the row one is at where none is.
 * @param {HTMLButtonElement} button
 */
function work(button) {
  if (ticked().length === 0) tick();
  if (ticked().length > 0) button.click();
}

/**
 * Asks for a note to send with this button.
 * @param {HTMLButtonElement} button
 */
function choose(button) {
  chosen?.classList.remove("button--chosen");
  chosen = button;
  button.classList.add("button--chosen");
  note?.focus();
}

/** Says how many are ticked. */
function count() {
  const said = document.querySelector("[data-counter]");
  const number = ticked().length;
  if (said) said.textContent = number ? `${number} of ${boxes().length} selected` : "";
  const toggle = document.querySelector("#action-toggle");
  if (toggle instanceof HTMLInputElement) toggle.checked = number > 0 && number === boxes().length;
}

/** Puts the rows and the filters' counts of a new answer in the place of the old ones, unless somebody is at work. */
async function refresh() {
  if (document.hidden || busy()) return;
  const answer = await fetch(location.href, { redirect: "error" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (busy() || !fresh.querySelector("#changelist-form")) return;
  const at = links()[here()]?.href;
  for (const part of ["#result_list tbody", "#changelist-form .paginator-count"]) swap(fresh, part);
  document.querySelectorAll("#changelist-filter ul").forEach((old, index) => {
    const next = fresh.querySelectorAll("#changelist-filter ul")[index];
    if (next && !old.contains(document.activeElement)) old.replaceWith(next);
  });
  links().find((link) => link.href === at)?.focus({ preventScroll: true });
  // From no rows to some, or back, more than rows differ.
  if (!document.querySelector("#result_list") !== !fresh.querySelector("#result_list")) location.reload();
}

/** Whether somebody has ticked something, or writes. */
function busy() {
  return ticked().length > 0 || document.activeElement?.matches(FIELDS) === true;
}

/**
 * @param {Document} fresh
 * @param {string} part
 */
function swap(fresh, part) {
  const next = fresh.querySelector(part);
  if (next) document.querySelector(part)?.replaceWith(next);
}

if (list) setInterval(() => refresh().catch(() => {}), REFRESH); // a server that is away is asked again
