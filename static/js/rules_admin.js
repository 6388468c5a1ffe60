// The page of a rule: its form shows what applies, and what stands beside it stays true by itself.
// Everything works without it; while somebody writes nothing is hidden under their hands.

const REFRESH = 15_000; // milliseconds between two looks at the page
const FIELDS = "input, textarea, select";

/** @type {HTMLFormElement | null} */
const form = document.querySelector("#rule-form");
/** @type {Record<string, string[]>} what each measure may be taken as */
const kinds = JSON.parse(form?.dataset.kinds ?? "{}");

/**
 * What a field of the form says.
 * @param {string} name
 */
function said(name) {
  const field = form?.elements.namedItem(name);
  return field instanceof HTMLInputElement || field instanceof HTMLSelectElement ? field.value.trim() : "";
}

/**
 * Shows a field's row where it applies, and wherever it has a fault.
 * @param {string} name
 * @param {boolean} applies
 */
function show(name, applies) {
  const field = form?.elements.namedItem(name);
  const row = field instanceof HTMLElement ? (field.closest(".rule-one") ?? field.closest(".row")) : null;
  if (row instanceof HTMLElement) row.hidden = !applies && !row.querySelector(".errorlist");
}

/** Shows what applies to what is chosen. */
function fit() {
  const measure = said("measure");
  const taken = form?.elements.namedItem("aggregation");
  show("family", measure === "");
  if (taken instanceof HTMLSelectElement) {
    const may = kinds[measure || said("family")] ?? [];
    for (const option of taken.options) option.hidden = may.length > 0 && !may.includes(option.value);
    if (taken.selectedOptions[0]?.hidden) taken.value = may[0] ?? "";
  }
  show("per", said("aggregation") === "ratio");
  show("silent", said("no_data") === "alert");
}

/** Puts the parts of a new answer in the place of the old ones, unless somebody is at work in them. */
async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { redirect: "error" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${old.getAttribute("data-live")}"]`);
    if (next && !old.contains(document.activeElement) && !old.matches(":hover")) old.replaceWith(next);
  }
}

if (form) {
  form.addEventListener("change", fit);
  form.addEventListener("input", ({ target }) => {
    if (target instanceof Element && target.matches(FIELDS) && target.id === "id_family") fit();
  });
  fit();
}
if (document.querySelector("[data-live]")) {
  setInterval(() => refresh().catch(() => {}), REFRESH); // a server that is away is asked again
}
export {}; // names of its own
