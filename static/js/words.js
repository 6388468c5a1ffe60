// What the line "as of ..." says of each state, on a page and in an embedded dashboard.

/** @type {Record<string, string>} */
export const SAID = {
  live: "Live,",
  leaving: "Loading,",
  loading: "Updating,",
  paused: "Paused,",
  reconnecting: "Reconnecting,",
  "signed-out": "Signed out,",
  gone: "Stopped,",
};

const LOUD = new Set(["reconnecting", "signed-out", "gone"]);

/**
 * Shows a state on the line, and says it aloud where it matters: losing the server, and finding it again.
 * @param {HTMLElement} frame  holds the state, the line's [data-as-of-state] and the region [data-said]
 * @param {string} state
 */
export function show(frame, state) {
  const before = frame.dataset.state ?? "";
  frame.dataset.state = state;
  const text = SAID[state] ?? "";
  const line = frame.querySelector("[data-as-of-state]");
  const region = frame.querySelector("[data-said]");
  if (line && line.textContent !== text) line.textContent = text;
  if (region && (LOUD.has(state) || LOUD.has(before)) && state !== before) region.textContent = text.replace(",", "");
}

/**
 * A time of day as the organization's clock shows it.
 * @param {string} moment  RFC 3339
 * @param {string} zone
 * @param {boolean} [named]  with the zone's name behind it
 */
export function clock(moment, zone, named = false) {
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", ...(named && { timeZoneName: "short" }) };
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({ ...clock, timeZone: zone });
  return new Intl.DateTimeFormat("en-GB", options).format(new Date(moment));
}
