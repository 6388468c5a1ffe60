// Acknowledge and resolve from the page: a button on an alert asks for a note, then tells the server. The buttons are in
// every panel; that they are seen, and this dialog, is up to the page, which knows who looks at it.

const TIMEOUT = 10_000;
const DONE = { acknowledge: "Acknowledged", resolve: "Resolved" };
const NO_ANSWER = "The cockpit did not answer. Try again; doing it twice does no harm.";
const SIGNED_OUT = "Your session has ended. Reload the page and sign in again.";

/** @typedef {{ id: string, act: keyof typeof DONE, name: string, opener: HTMLElement }} Wish */

/**
 * Listens for the buttons of alerts, where the page has the dialog for them.
 * @param {HTMLElement} page
 * @param {() => void} refresh  called when something was done
 */
export function offerActs(page, refresh) {
  const dialog = /** @type {HTMLDialogElement | null} */ (page.querySelector("dialog#act"));
  const form = dialog?.querySelector("form");
  if (!dialog || !form) return;
  const note = part(form, "textarea", HTMLTextAreaElement);
  const submit = part(form, "[type=submit]", HTMLButtonElement);
  const problem = part(form, "[data-problem]", HTMLElement);
  const token = part(form, "[name=csrfmiddlewaretoken]", HTMLInputElement);
  /** @type {Wish | null} */ let wish = null;

  page.querySelector("#panels")?.addEventListener("click", (event) => {
    const opener = /** @type {Element} */ (event.target).closest("button[data-act]");
    const alert = opener?.closest("[data-alert]");
    if (opener instanceof HTMLElement && alert instanceof HTMLElement) ask(opener, alert);
  });
  part(form, "[data-cancel]", HTMLElement).addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && !submit.disabled && dialog.close());
  dialog.addEventListener("close", leave);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  note.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  /**
   * @param {HTMLElement} opener
   * @param {HTMLElement} alert
   */
  function ask(opener, alert) {
    const act = /** @type {Wish["act"]} */ (opener.dataset.act);
    const name = alert.querySelector("[data-alert-name]")?.textContent ?? "";
    wish = { id: alert.dataset.alert ?? "", act, name, opener };
    for (const title of form?.querySelectorAll("[data-title]") ?? []) title.textContent = opener.textContent;
    part(/** @type {HTMLElement} */ (form), "[data-name]", HTMLElement).textContent = name;
    note.value = "";
    problem.hidden = true;
    submit.disabled = false;
    dialog?.showModal();
    note.focus();
  }

  async function send() {
    if (!wish || submit.disabled) return;
    const mine = wish;
    submit.disabled = true;
    problem.hidden = true;
    const trouble = await tell(`${dialog?.dataset.url}/${mine.id}/${mine.act}`, note.value.trim(), token.value);
    if (wish !== mine) return trouble || refresh(); // the dialog was closed, or asks something else by now
    submit.disabled = false;
    if (trouble) {
      problem.textContent = trouble;
      problem.hidden = false;
      return;
    }
    for (const row of rows(mine.id)) row.dataset.done = mine.act;
    say(`${DONE[mine.act]}: ${mine.name}`);
    wish = null;
    dialog?.close();
    heading(mine.opener)?.focus({ preventScroll: true }); // never on the button of another alert
    refresh();
  }

  // The panel may have been drawn anew meanwhile: the keyboard goes on at the same alert's button, or at its panel.
  function leave() {
    if (!wish) return;
    const { id, act, opener } = wish;
    wish = null;
    const again = opener.isConnected ? opener : rows(id)[0]?.querySelector(`[data-act="${act}"]`);
    /** @type {HTMLElement | null | undefined} */ (again ?? heading(opener))?.focus({ preventScroll: true });
  }

  /** @param {string} id */
  function rows(id) {
    return /** @type {NodeListOf<HTMLElement>} */ (page.querySelectorAll(`[data-alert="${CSS.escape(id)}"]`));
  }

  /** @param {HTMLElement} opener */
  function heading(opener) {
    const id = opener.closest(".panel")?.id ?? "";
    return /** @type {HTMLElement | null} */ (page.querySelector(`#${CSS.escape(id)} h2`));
  }

  /** @param {string} words */
  function say(words) {
    const region = page.querySelector("[data-said]");
    if (region) region.textContent = words;
  }
}

/**
 * Tells the server; what kept it from being done in words, "" when it is.
 * @param {string} url
 * @param {string} note
 * @param {string} token
 */
async function tell(url, note, token) {
  try {
    const response = await fetch(url, {
      method: "PUT",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-CSRFToken": token },
      body: JSON.stringify(note ? { note } : {}),
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (response.ok) return "";
    if (response.status === 401) return SIGNED_OUT;
    const problem = await response.json().catch(() => null);
    return String(problem?.errors?.[0]?.message ?? problem?.detail ?? `The cockpit answered ${response.status}.`);
  } catch {
    return NO_ANSWER;
  }
}

/**
 * @template {HTMLElement} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} kind
 */
function part(root, selector, kind) {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new TypeError(`The dialog has no ${selector}.`);
  return found;
}
