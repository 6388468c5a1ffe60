// The page of an organization: its panels stay fresh, its line says how old they are, and dragging over a chart opens
// that stretch of time.

import { offerActs } from "./acts.js";
import { showPanels } from "./panels.js";
import { clock, show } from "./words.js";

const main = /** @type {HTMLElement | null} */ (document.querySelector("main[data-refresh-url]"));
if (main) start(main);

/** @param {HTMLElement} page */
function start(page) {
  const { refreshUrl = "", streamUrl = "", refreshSeconds = "5", zone = "UTC", loginUrl = "/" } = page.dataset;
  const panels = /** @type {HTMLElement} */ (page.querySelector("#panels"));
  const live = showPanels(panels, {
    url: refreshUrl,
    streamUrl,
    interval: Number(refreshSeconds) * 1000,
    onState: say,
    onFresh(moment, fresh) {
      if (fresh) label(fresh.dataset.source ?? "");
      age(moment);
    },
    onZoom(from, to) {
      const query = new URLSearchParams(location.search);
      query.delete("window");
      query.set("from", from.toISOString().replace(".000", ""));
      query.set("to", to.toISOString().replace(".000", ""));
      say("leaving");
      location.assign(`?${query}`);
    },
  });
  say("live");
  offerActs(page, live.refresh);
  // The next page takes a moment: until it is there, these numbers are the old window's.
  page.querySelector(".pickers")?.addEventListener("click", (event) => {
    const { ctrlKey, metaKey, shiftKey, target } = /** @type {MouseEvent} */ (event);
    if (/** @type {Element} */ (target).closest("a") && !ctrlKey && !metaKey && !shiftKey) say("leaving");
  });

  /** @param {string} state */
  function say(state) {
    show(page, state);
    if (state === "signed-out") {
      tell("Your session has ended; the figures below no longer move. ", "Sign in again", `${loginUrl}?next=${encodeURIComponent(location.pathname + location.search)}`);
    } else if (state === "gone") {
      tell("This page can no longer be read with your account. ", "Go to your dashboard", "/");
    }
  }

  /**
   * @param {string} words
   * @param {string} label
   * @param {string} href
   */
  function tell(words, label, href) {
    const notice = /** @type {HTMLElement} */ (page.querySelector("#notice"));
    const link = document.createElement("a");
    link.href = href;
    link.textContent = label;
    notice.replaceChildren(words, link);
    notice.hidden = false;
  }

  /**
   * What else than live data is in the figures, beside the page's period.
   * @param {string} source
   */
  function label(source) {
    const period = page.querySelector(".page-period");
    const badge = period?.querySelector(".badge--source") ?? document.createElement("span");
    badge.className = "badge badge--source";
    badge.textContent = source;
    if (source) period?.append(badge);
    else badge.remove();
  }

  /** @param {string} moment */
  function age(moment) {
    const time = /** @type {HTMLTimeElement | null} */ (page.querySelector("[data-as-of-time]"));
    if (!moment || !time) return;
    time.dateTime = moment;
    time.textContent = clock(moment, zone);
  }
}
