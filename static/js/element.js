// <monitoring-dashboard organization="..."> puts an organization's dashboard into any page: of this site with its session,
// of another one (EMBED_ORIGINS) with a read token that the page's own server fetches and `token-url` hands out.
//
// Attributes: organization, token-url, window, compare, source, mode ("light" or "dark"; the system's without), base-url
// (where the cockpit is; by default where this file came from).

import { showPanels } from "./panels.js";
import { tokenFrom, withToken } from "./tokens.js";
import { clock, show } from "./words.js";

const HERE = new URL("../..", import.meta.url); // the address that static/ stands under
const SHEETS = ["css/themes", "css/base", "css/panels", "vendor/uplot/uPlot.min", "css/charts", "css/embed"];
const INTERVAL = 30_000;
const WATCHED = ["organization", "token-url", "window", "compare", "source", "mode", "base-url"];
const TOLD = {
  "signed-out": "This dashboard's access has ended; the figures no longer move.",
  gone: "This dashboard cannot be read with the access it was given.",
};
const NOT_YET = "The dashboard does not answer yet; trying on.";

class MonitoringDashboard extends HTMLElement {
  static observedAttributes = WATCHED;

  /** @type {ReturnType<typeof showPanels> | null} */
  #live = null;
  #queued = false;
  /** @type {{from: string, to: string}[]} */
  #zooms = [];

  connectedCallback() {
    if (!this.shadowRoot) this.attachShadow({ mode: "open" });
    this.#soon();
  }

  disconnectedCallback() {
    this.#live?.stop();
    this.#live = null;
  }

  attributeChangedCallback() {
    this.#zooms = [];
    if (this.isConnected) this.#soon();
  }

  /** Looks at once. */
  refresh() {
    this.#live?.refresh();
  }

  // Attributes often change several at a time: they are one new start.
  #soon() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (this.isConnected) this.#start();
    });
  }

  // The new tree stands beside the old one, unseen, until it has something to show: nothing jumps in between.
  #start() {
    this.#live?.stop();
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    const base = new URL(this.getAttribute("base-url") || HERE, location.href);
    if (!root.querySelector("link")) root.append(...SHEETS.map((name) => sheet(name)));
    fonts();
    const frame = skeleton(this.getAttribute("mode"));
    root.querySelector(".embed[hidden]")?.remove();
    frame.hidden = root.querySelector(".embed") !== null;
    root.append(frame);
    const at = (/** @type {string} */ path) => new URL(path, base).href;
    const tokenUrl = this.getAttribute("token-url");
    this.#live = showPanels(part(frame, "#panels"), {
      url: `${at("api/monitoring/panels")}?${this.#query()}`,
      streamUrl: `${at("api/monitoring/stream")}?${new URLSearchParams({ organization: this.getAttribute("organization") ?? "" })}`,
      fetch: tokenUrl ? withToken(tokenFrom(new URL(tokenUrl, location.href).href)) : undefined,
      interval: INTERVAL,
      onState: (state) => this.#say(frame, state),
      onFresh: (asOf, fresh) => this.#fresh(frame, asOf, fresh),
      onZoom: (from, to) => {
        this.#zooms.push({ from: from.toISOString(), to: to.toISOString() });
        this.#start();
      },
    });
    const back = part(frame, ".zoomed");
    back.hidden = this.#zooms.length === 0;
    back.addEventListener("click", () => {
      this.#zooms.pop();
      this.#start();
    });
    this.#live.refresh();
  }

  /**
   * Puts a tree in the place of the one before it.
   * @param {HTMLElement} frame
   */
  #reveal(frame) {
    if (!frame.hidden) return;
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    const held = root.activeElement !== null;
    for (const old of root.querySelectorAll(".embed")) if (old !== frame) old.remove();
    frame.hidden = false;
    if (held) part(frame, "h2").focus({ preventScroll: true });
  }

  #query() {
    const query = new URLSearchParams({ organization: this.getAttribute("organization") ?? "" });
    const zoom = this.#zooms.at(-1);
    for (const name of ["window", "compare", "source"]) {
      const value = this.getAttribute(name);
      if (value && !(zoom && name === "window")) query.set(name, value);
    }
    if (zoom) for (const [name, value] of Object.entries(zoom)) query.set(name, value.replace(".000", ""));
    return query;
  }

  /**
   * @param {HTMLElement} frame
   * @param {string} state
   */
  #say(frame, state) {
    show(frame, state);
    const empty = frame.dataset.theme === undefined;
    const told = TOLD[/** @type {keyof typeof TOLD} */ (state)] ?? (empty && state === "reconnecting" ? NOT_YET : "");
    const notice = part(frame, ".notice");
    notice.hidden = !told;
    notice.textContent = told;
    if (told) this.#reveal(frame);
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  /**
   * @param {HTMLElement} frame
   * @param {string} asOf
   * @param {HTMLElement | null} fresh
   */
  #fresh(frame, asOf, fresh) {
    if (fresh) {
      const { theme = "", audience = "", name = "", period = "", source = "", zone = "UTC" } = fresh.dataset;
      Object.assign(frame.dataset, { theme, audience, zone });
      part(frame, "h2").textContent = name;
      part(frame, ".page-period").textContent = source ? `${period} · ${source}` : period;
      this.#reveal(frame);
    }
    if (!asOf) return;
    const time = /** @type {HTMLTimeElement} */ (part(frame, "time"));
    time.dateTime = asOf;
    time.textContent = clock(asOf, frame.dataset.zone ?? "UTC", true);
  }
}

/**
 * @param {ParentNode} root
 * @param {string} selector
 */
function part(root, selector) {
  return /** @type {HTMLElement} */ (root.querySelector(selector));
}

/** @param {string} name */
function sheet(name) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL(`../${name}.css`, import.meta.url).href;
  return link;
}

// A face that a shadow tree declares is not loaded: they belong to the document, once.
function fonts() {
  const href = new URL("../css/fonts.css", import.meta.url).href;
  if (document.querySelector(`link[href="${CSS.escape(href)}"]`)) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  document.head.append(link);
}

/** @param {string | null} mode */
function skeleton(mode) {
  const template = document.createElement("template");
  template.innerHTML = `
    <div class="embed page">
      <p class="unseen" role="status" data-said></p>
      <div class="page-head">
        <div class="page-title"><h2 tabindex="-1"></h2><p class="page-period"></p></div>
        <p class="as-of"><svg class="pulse" viewBox="0 0 10 10" aria-hidden="true"><circle cx="5" cy="5" r="4"/></svg><span data-as-of-state></span><span>as of <time></time></span></p>
      </div>
      <button type="button" class="button zoomed" hidden>Back from this stretch of time</button>
      <div class="notice" hidden></div>
      <div class="panels" id="panels"></div>
    </div>`;
  const frame = /** @type {HTMLElement} */ (template.content.firstElementChild);
  if (mode === "light" || mode === "dark") frame.dataset.mode = mode;
  return frame;
}

if (!customElements.get("monitoring-dashboard")) customElements.define("monitoring-dashboard", MonitoringDashboard);
