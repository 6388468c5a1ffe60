// <monitoring-dashboard organization="..."> puts an organization's dashboard into any page: of this site with its session,
// of another one (EMBED_ORIGINS) with a read token that the page's own server fetches and `token-url` hands out.
//
// Attributes: organization, token-url, window, compare, source, mode ("light" or "dark"; the system's without), base-url
// (where the cockpit is; by default where this file came from).

import { showPanels } from "./panels.js";
import { tokenFrom, withToken } from "./tokens.js";
import { clock, SAID } from "./words.js";

const HERE = new URL("../..", import.meta.url); // the address that static/ stands under
const SHEETS = ["css/themes", "css/base", "css/panels", "vendor/uplot/uPlot.min", "css/charts", "css/embed"];
const INTERVAL = 30_000;
const WATCHED = ["organization", "token-url", "window", "compare", "source", "mode", "base-url"];
const TOLD = {
  "signed-out": "This dashboard's access has ended; the figures no longer move.",
  gone: "This dashboard cannot be read with the access it was given.",
};

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

  /** Looks at once; resolves when it has. */
  async refresh() {
    await this.#live?.refresh();
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

  #start() {
    this.#live?.stop();
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    const base = new URL(this.getAttribute("base-url") || HERE, location.href);
    const frame = skeleton(this.getAttribute("mode"));
    root.replaceChildren(...SHEETS.map((name) => sheet(name)), frame);
    fonts();
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
    frame.dataset.state = state;
    part(frame, "[data-as-of-state]").textContent = SAID[state] ?? "";
    const notice = part(frame, ".notice");
    const told = TOLD[/** @type {keyof typeof TOLD} */ (state)];
    notice.hidden = !told;
    notice.textContent = told ?? "";
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
      part(frame, "h1").textContent = name;
      part(frame, ".page-period").textContent = source ? `${period} · ${source}` : period;
      frame.hidden = false;
    }
    if (!asOf) return;
    const time = /** @type {HTMLTimeElement} */ (part(frame, "time"));
    time.dateTime = asOf;
    time.textContent = clock(asOf, frame.dataset.zone ?? "UTC");
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
    <div class="embed page" hidden>
      <div class="page-head">
        <div class="page-title"><h1></h1><p class="page-period"></p></div>
        <p class="as-of" aria-live="polite"><svg class="pulse" viewBox="0 0 10 10" aria-hidden="true"><circle cx="5" cy="5" r="4"/></svg><span data-as-of-state></span><span aria-live="off">as of <time></time></span></p>
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
