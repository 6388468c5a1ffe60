// The dashboard data of one organization for any page or app, kept fresh. It needs no framework; docs/how-to/react.md
// shows it in React. This file, live.js and tokens.js beside it are all there is.

import { keepFresh, Refused } from "./live.js";
import { withToken } from "./tokens.js";

export { withToken };

/** @import { Fetch } from "./live.js" */
/** @import { Token } from "./tokens.js" */

/**
 * The figures of one window. Money is a decimal string, so that no cent is lost; null is "no data", which is not 0.
 * @typedef {object} Figures
 * @property {number} inferences
 * @property {number} errors
 * @property {number | null} errorRate 0 to 1.
 * @property {string | null} cost In the organization's currency.
 * @property {number} unpriced Inferences without a price: `cost` is without them.
 * @property {string | null} revenue
 * @property {number} inputTokens
 * @property {number} outputTokens
 * @property {number | null} p50Ms
 * @property {number | null} p95Ms
 * @property {number | null} p99Ms
 */
/**
 * @typedef {Figures & { activeUsersPerDay: { day: string, users: number }[] }} Totals Distinct people by UTC day.
 */
/** @typedef {Figures & { modelName: string, provider: string | null }} ModelRow */
/**
 * Columns of equal length; `t` is the start of each step, in UTC.
 * @typedef {object} Series
 * @property {string[]} t
 * @property {number[]} inferences
 * @property {number[]} errors
 * @property {(string | null)[]} cost
 * @property {number[]} tokens
 * @property {(number | null)[]} p50Ms
 * @property {(number | null)[]} p95Ms
 * @property {(number | null)[]} p99Ms
 */
/**
 * What moved most against the earlier window, with its reason in words.
 * @typedef {object} Mover
 * @property {string | null} modelName Null for several models that moved as all requests did.
 * @property {string | null} provider
 * @property {"volume" | "price" | "mix" | "latency" | "errors"} measure
 * @property {string | number | null} change The difference, in `unit`; a decimal string for money.
 * @property {"currency" | "ms" | "ratio"} unit
 * @property {string | number | null} before
 * @property {string | number | null} after
 * @property {string} because
 */
/**
 * The answer of GET /api/monitoring/dashboard.
 * @typedef {object} Dashboard
 * @property {string} organization
 * @property {string} currency ISO 4217.
 * @property {{ from: string, to: string, stepSeconds: number }} window
 * @property {string} asOf The moment these figures were first seen; the snapshot's `asOf` moves on while they hold.
 * @property {{ live?: number, replay?: number, demo?: number }} sources Inferences of the window by source.
 * @property {Totals} totals
 * @property {Totals | null} previous The earlier window; null when nothing is compared.
 * @property {ModelRow[]} models Most inferences first.
 * @property {{ errorType: string, count: number }[]} errorsByType Most first.
 * @property {Mover[]} movers
 * @property {Series} series
 */
/** @typedef {Error & { status?: number, detail?: string }} MonitoringError No `status` when nobody answered. */
/**
 * One state of everything, never changed: a change makes another one. `data` is the same object while the figures are.
 * @typedef {object} Snapshot
 * @property {Dashboard | null} data
 * @property {readonly never[]} alerts Always empty until the server has alerts to give: no field of theirs can be
 *   relied on yet, so the type has none.
 * @property {boolean} loading Until the first answer or error.
 * @property {MonitoringError | null} error What the last look failed with; `data` is kept beside it.
 * @property {Date | null} asOf The moment `data` was last known to be right.
 * @property {boolean} connected Whether the stream is open, so that changes come within a second or two.
 */
/**
 * @typedef {object} Options
 * @property {string} organization Its slug.
 * @property {number} [refreshInterval] Milliseconds between looks without a stream; at least 1,000. Default: 30,000.
 * @property {boolean} [enableRealTime] Whether to listen to the stream. Default: true.
 * @property {string} [baseUrl] Where the cockpit is, without a slash at the end. Default: the page's own origin.
 * @property {string | (() => Token | Promise<Token>)} [token] A bearer token, or what gives one: asked again shortly
 *   before `expiresAt`, and once when the server refuses. Without it the session's cookie is used.
 * @property {string} [window] One of 15m, 1h, 6h, 24h, 7d, 30d, 90d. Default: 24h.
 * @property {string} [compare] With what: previous, week or none. Default: previous.
 * @property {string} [source] One of live, replay, demo. Default: all.
 */
/** @typedef {ReturnType<typeof useMonitoring>} Monitoring */

const LEAST_INTERVAL = 1_000;
const MOST_INTERVAL = 86_400_000;

/** @type {Snapshot} */
export const NOTHING_YET = Object.freeze({
  data: null, alerts: Object.freeze([]), loading: true, error: null, asOf: null, connected: false,
});

/**
 * Watches an organization until `stop()`. Read the properties, or `subscribe` to be called with each new snapshot.
 * @param {Options} options
 * @throws {TypeError} naming an option that is missing, unknown or of the wrong kind.
 */
export function useMonitoring(options) {
  check(options);
  const { organization, refreshInterval = 30_000, enableRealTime = true, baseUrl = "", token } = options;
  const { window, compare, source } = options;
  const ask = token === undefined ? plain : withToken(token);
  const url = (/** @type {string} */ path, /** @type {Record<string, string | undefined>} */ query) =>
    `${baseUrl}/api/monitoring/${path}?${new URLSearchParams(given(query))}`;
  const dashboard = url("dashboard", { organization, window, compare, source });
  /** @type {Set<(snapshot: Snapshot) => void>} */ const listeners = new Set();
  let snapshot = NOTHING_YET;
  let tag = "";

  /** @param {Partial<Snapshot>} change */
  function publish(change) {
    const next = Object.freeze({ ...snapshot, ...change });
    const names = /** @type {(keyof Snapshot)[]} */ (Object.keys(next));
    if (names.every((name) => Object.is(next[name], snapshot[name]))) return;
    snapshot = next;
    for (const listener of [...listeners]) call(listener, snapshot);
  }

  /** @param {AbortSignal} signal */
  async function load(signal) {
    /** @type {Record<string, string>} */ const headers = tag ? { "If-None-Match": tag } : {};
    const response = await ask(dashboard, { headers, signal });
    if (response.status !== 200 && response.status !== 304) throw new Refused(response, await detailOf(response));
    const data = response.status === 200 ? /** @type {Dashboard} */ (await response.json()) : snapshot.data;
    if (response.status === 200) tag = response.headers.get("ETag") ?? "";
    const moment = response.headers.get("X-As-Of") ?? (response.status === 200 ? data?.asOf : null);
    const asOf = moment ? new Date(moment) : snapshot.asOf;
    publish({ data, asOf: Number(asOf) === Number(snapshot.asOf) ? snapshot.asOf : asOf, loading: false, error: null });
  }

  const live = keepFresh({
    load,
    fetch: ask,
    streamUrl: url("stream", { organization }),
    realTime: enableRealTime,
    interval: Math.min(MOST_INTERVAL, Math.max(LEAST_INTERVAL, refreshInterval)),
    onState: (_, { connected, error }) => publish({ connected, error, loading: snapshot.loading && !error }),
  });
  live.refresh();

  return {
    get data() { return snapshot.data; },
    get alerts() { return snapshot.alerts; },
    get loading() { return snapshot.loading; },
    get error() { return snapshot.error; },
    get asOf() { return snapshot.asOf; },
    get connected() { return snapshot.connected; },
    getSnapshot: () => snapshot,
    /** Looks now, unless the page is hidden or all is over. */
    refresh: live.refresh,
    /**
     * Calls `listener` with each new snapshot, until the function that it gives back is called.
     * @param {(snapshot: Snapshot) => void} listener
     * @returns {() => void}
     */
    subscribe(listener) {
      const own = (/** @type {Snapshot} */ now) => listener(now); // one listener may come twice
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    /** Ends everything; nobody is called any more. */
    stop() {
      live.stop();
      listeners.clear();
      snapshot = Object.freeze({ ...snapshot, connected: false });
    },
  };
}

/** @type {Record<keyof Options, [string, (value: any) => boolean]>} */
const KINDS = {
  organization: ["a slug", (value) => typeof value === "string" && value !== ""],
  refreshInterval: ["a number of milliseconds", Number.isFinite],
  enableRealTime: ["true or false", (value) => typeof value === "boolean"],
  baseUrl: ["a URL without a slash at the end", (value) => typeof value === "string" && !value.endsWith("/")],
  token: ["a string or a function", (value) => ["function", "string"].includes(typeof value) && value !== ""],
  window: ["a string", (value) => typeof value === "string"],
  compare: ["a string", (value) => typeof value === "string"],
  source: ["a string", (value) => typeof value === "string"],
};

/** @param {Options} options */
function check(options) {
  for (const name of Object.keys(options ?? {})) {
    if (!Object.hasOwn(KINDS, name)) throw new TypeError(`useMonitoring knows no option "${name}".`);
  }
  for (const [name, [kind, fits]] of Object.entries(KINDS)) {
    const value = options?.[/** @type {keyof Options} */ (name)];
    if (value === undefined && name !== "organization") continue;
    if (!fits(value)) throw new TypeError(`useMonitoring: ${name} must be ${kind}.`);
  }
}

/**
 * The entries that have a value.
 * @param {Record<string, string | undefined>} query
 * @returns {[string, string][]}
 */
function given(query) {
  return Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
}

/**
 * A listener's fault is its own: it is told as such, and neither ends the others nor counts as a failed load.
 * @param {(snapshot: Snapshot) => void} listener
 * @param {Snapshot} snapshot
 */
function call(listener, snapshot) {
  try {
    listener(snapshot);
  } catch (fault) {
    queueMicrotask(() => {
      throw fault;
    });
  }
}

/** @type {Fetch} */
function plain(url, init) {
  return fetch(url, { ...init, credentials: "same-origin" });
}

/**
 * What a problem+json says in words.
 * @param {Response} response
 */
async function detailOf(response) {
  const problem = await response.json().catch(() => null);
  return String(problem?.detail ?? problem?.title ?? "");
}
