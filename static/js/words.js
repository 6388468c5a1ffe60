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

/**
 * A time of day as the organization's clock shows it.
 * @param {string} moment  RFC 3339
 * @param {string} zone
 */
export function clock(moment, zone) {
  return new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: zone }).format(new Date(moment));
}
