// Keeps a set of drawn panels fresh: fetches them when they are stale, and swaps those that changed in place without the
// reader losing theirs. The page of an organization and <monitoring-dashboard> both stand on it.

import { Charts } from "./charts.js";
import { keepFresh, Refused } from "./live.js";

/** @import { Fetch, State } from "./live.js" */

/**
 * @typedef {object} Options
 * @property {string} url  of the panels
 * @property {string} streamUrl  of the events that say when they are stale; "" for none
 * @property {number} interval  milliseconds between two looks where there is no stream
 * @property {Fetch} [fetch]  how to ask; with the session's cookie by default
 * @property {(state: State) => void} onState
 * @property {(asOf: string, fresh: HTMLElement | null) => void} onFresh  called after each look; `fresh` is what was swapped in
 * @property {(from: Date, to: Date) => void} onZoom
 */

let groups = 0;

/**
 * @param {HTMLElement} panels  the element that holds the panels
 * @param {Options} options
 */
export function showPanels(panels, options) {
  /** @type {Map<string, string>} the last text of each panel, as the server sent it */
  const shown = new Map();
  const ask = options.fetch ?? ((url, init) => fetch(url, { ...init, credentials: "same-origin" }));
  let etag = "";
  for (const section of panels.children) shown.set(section.id, section.outerHTML);
  const charts = new Charts({ group: `panels-${(groups += 1)}`, onZoom: options.onZoom });
  charts.draw(panels);
  const live = keepFresh({
    load,
    streamUrl: options.streamUrl,
    fetch: ask,
    interval: options.interval,
    onState: options.onState,
  });
  return {
    refresh: () => live.refresh(),
    stop() {
      live.stop();
      charts.stop();
    },
  };

  /** @param {AbortSignal} signal */
  async function load(signal) {
    /** @type {Record<string, string>} */
    const headers = etag ? { "If-None-Match": etag } : {};
    const response = await ask(options.url, { headers, signal });
    if (response.status !== 200 && response.status !== 304) throw new Refused(response);
    let fresh = null;
    if (response.status === 200) {
      fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("panels");
      if (!fresh) throw new Error("The answer holds no panels.");
      swap(fresh);
      etag = response.headers.get("ETag") ?? "";
    }
    options.onFresh(response.headers.get("X-As-Of") ?? "", fresh);
  }

  /** @param {HTMLElement} fresh */
  function swap(fresh) {
    const sections = [...fresh.children];
    const wanted = new Set(sections.map((each) => each.id));
    for (const old of [...panels.children]) if (!wanted.has(old.id)) old.remove();
    for (const [at, section] of sections.entries()) {
      const old = [...panels.children].find((each) => each.id === section.id);
      if (!old) {
        const added = document.importNode(section, true);
        panels.insertBefore(added, panels.children[at] ?? null);
        charts.draw(added);
      } else if (shown.get(section.id) !== section.outerHTML) replace(old, section);
    }
    shown.clear();
    for (const section of sections) shown.set(section.id, section.outerHTML);
  }

  /**
   * Puts a panel in the place of its older self, and leaves the reader where they were: what was open stays open,
   * what was scrolled stays scrolled, a chart keeps its canvas, and the keyboard's focus stays on its element.
   * @param {Element} old
   * @param {Element} section
   */
  function replace(old, section) {
    const next = document.importNode(section, true);
    const active = focusIn(old);
    const focused = active ? pathTo(old, active) : null;
    const scrolled = [...old.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    for (const details of /** @type {NodeListOf<HTMLElement>} */ (old.querySelectorAll("details[data-keep][open]"))) {
      next.querySelector(`details[data-keep="${CSS.escape(details.dataset.keep ?? "")}"]`)?.setAttribute("open", "");
    }
    old.replaceWith(next);
    charts.draw(next);
    next.querySelectorAll(".scroll").forEach((each, at) => {
      const [left, top] = scrolled[at] ?? [];
      if (left || top) Object.assign(each, { scrollLeft: left, scrollTop: top });
    });
    if (focused) /** @type {HTMLElement | undefined} */ (at(next, focused))?.focus({ preventScroll: true });
  }
}

/** @param {Element} root */
function focusIn(root) {
  const tree = /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const active = tree.activeElement;
  return active && root.contains(active) ? active : null;
}

/**
 * @param {Element} root
 * @param {Element} element
 */
function pathTo(root, element) {
  const path = [];
  for (let each = element; each !== root && each.parentElement; each = each.parentElement) {
    path.unshift([...each.parentElement.children].indexOf(each));
  }
  return path;
}

/**
 * @param {Element} root
 * @param {number[]} path
 */
function at(root, path) {
  return path.reduce((/** @type {Element | undefined} */ element, index) => element?.children[index], root);
}
