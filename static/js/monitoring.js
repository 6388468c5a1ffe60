// The dashboard data and the open alerts of one organization for any page or app, kept fresh, and the verbs for alerts. It
// needs no framework; docs/how-to/react.md shows it in React. This file, live.js and tokens.js beside it are all there is.

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
/**
 * That nobody is told of an alert for now.
 * @typedef {object} Suppression
 * @property {"silenced" | "inhibited" | "maintenance" | "shelved"} kind
 * @property {string} since
 * @property {string | null} until Null until it is lifted.
 * @property {string | null} by
 * @property {string | null} note
 */
/**
 * One alert, as GET /api/monitoring/alerts has it; times are RFC 3339 in UTC.
 * @typedef {object} Alert
 * @property {string} id
 * @property {string} organization
 * @property {string} alertType
 * @property {"critical" | "warning" | "info"} severity
 * @property {"firing" | "acknowledged" | "resolved"} status
 * @property {string} message
 * @property {string | null} endpointId
 * @property {string | null} modelName
 * @property {Record<string, unknown>} metadata
 * @property {Record<string, string>} labels
 * @property {string} fingerprint Equal for alerts of the same type, endpoint, model and labels.
 * @property {number} episode Which time this is that it happens, from 1.
 * @property {number} count How often it was told of.
 * @property {string} firstSeenAt
 * @property {string} lastSeenAt
 * @property {string | null} acknowledgedAt
 * @property {string | null} acknowledgedBy
 * @property {string | null} acknowledgedUntil When it fires again by itself.
 * @property {string | null} resolvedAt
 * @property {string | null} resolvedBy
 * @property {string | null} owner The user name of whose it is.
 * @property {"live" | "demo"} source
 * @property {Suppression[]} suppressedBy
 */
/**
 * What an alert is raised with. The same type, endpoint, model and labels are the same alert, counted once more.
 * @typedef {object} NewAlert
 * @property {string} alertType
 * @property {"critical" | "warning" | "info"} severity
 * @property {string} message
 * @property {string} [organization] Default: the one that is watched.
 * @property {string} [endpointId]
 * @property {string} [modelName]
 * @property {Record<string, unknown>} [metadata]
 * @property {Record<string, string>} [labels]
 */
/** @typedef {{ note?: string, until?: string | Date }} Acknowledgement After `until` it fires again by itself. */
/** @typedef {{ note?: string }} Resolution */
/** @typedef {Error & { status?: number, detail?: string }} MonitoringError No `status` when nobody answered. */
/**
 * One state of everything, never changed: a change makes another one. `data` is the same object while the figures are.
 * @typedef {object} Snapshot
 * @property {Dashboard | null} data
 * @property {readonly Alert[] | null} alerts The open ones, worst first, at most 200; the same list while nothing of
 *   them changes. Null until they are read, and for callers who may not read them.
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
const MOST_ALERTS = 200;
const PATIENCE = 5_000; // with alerts
const TIMEOUT = 10_000; // of a verb

/** @type {Snapshot} */
export const NOTHING_YET = Object.freeze({
  data: null, alerts: null, loading: true, error: null, asOf: null, connected: false,
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
  const at = (/** @type {string} */ path) => `${baseUrl}/api/monitoring/${path}`;
  const url = (/** @type {string} */ path, /** @type {Record<string, string | undefined>} */ query) =>
    `${at(path)}?${new URLSearchParams(given(query))}`;
  const dashboard = url("dashboard", { organization, window, compare, source });
  const openAlerts = url("alerts", { organization, status: "open", ordering: "severity", limit: `${MOST_ALERTS}` });
  /** @type {Set<(snapshot: Snapshot) => void>} */ const listeners = new Set();
  let snapshot = NOTHING_YET;
  let tag = "";
  let alertsText = ""; // as the server sent them last
  let mayReadAlerts = true; // until the server refuses

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
    const parts = await Promise.allSettled([loadDashboard(signal), loadAlerts(signal)]);
    if (signal.aborted) return;
    const found = parts.flatMap((part) => (part.status === "fulfilled" ? [part.value] : []));
    const [failed] = parts.flatMap((part) => (part.status === "rejected" ? [part.reason] : []));
    publish(Object.assign({}, ...found, failed ? {} : { error: null })); // one change, and what is there if one failed
    if (failed) throw failed;
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<Partial<Snapshot>>}
   */
  async function loadDashboard(signal) {
    /** @type {Record<string, string>} */ const headers = tag ? { "If-None-Match": tag } : {};
    const response = await ask(dashboard, { headers, signal });
    if (response.status !== 200 && response.status !== 304) throw new Refused(response, await detailOf(response));
    const data = response.status === 200 ? /** @type {Dashboard} */ (await response.json()) : snapshot.data;
    if (response.status === 200) tag = response.headers.get("ETag") ?? "";
    const moment = response.headers.get("X-As-Of") ?? (response.status === 200 ? data?.asOf : null);
    const asOf = moment ? new Date(moment) : snapshot.asOf;
    return { data, asOf: Number(asOf) === Number(snapshot.asOf) ? snapshot.asOf : asOf, loading: false };
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<Partial<Snapshot>>}
   */
  async function loadAlerts(signal) {
    if (!mayReadAlerts) return {};
    const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]); // the figures are not to wait for long
    const response = await ask(openAlerts, { signal: patience });
    if (response.status === 403) {
      mayReadAlerts = false; // who may only look at the dashboard is no fault, and need not ask again
      await response.body?.cancel();
      return { alerts: null };
    }
    if (!response.ok) throw new Refused(response, await detailOf(response));
    const text = await response.text();
    if (text === alertsText) return {};
    const { alerts } = /** @type {{ alerts: Alert[] }} */ (JSON.parse(text));
    alertsText = text;
    return { alerts: Object.freeze(alerts) };
  }

  /**
   * Sends one verb, then looks anew.
   * @param {"POST" | "PUT"} method
   * @param {string} path
   * @param {object} body
   * @returns {Promise<Alert>}
   */
  async function change(method, path, body) {
    const headers = { "Content-Type": "application/json", ...(token === undefined && csrf()) };
    const signal = AbortSignal.timeout(TIMEOUT);
    const response = await ask(at(path), { method, headers, body: JSON.stringify(body), signal });
    if (!response.ok) throw new Refused(response, await detailOf(response));
    const alert = /** @type {Alert} */ (await response.json());
    live.refresh();
    return alert;
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
    /**
     * Raises an alert, or counts the open one of its kind once more. Rejects with what the server says (a
     * MonitoringError), as the other verbs do: a token that is made for pages cannot write.
     * @param {NewAlert} alert
     */
    createAlert: (alert) => change("POST", "alerts", { organization, ...alert }),
    /**
     * Says that somebody looks after it.
     * @param {string} id
     * @param {Acknowledgement} [more]
     */
    acknowledgeAlert: (id, more = {}) => change("PUT", `alerts/${encodeURIComponent(id)}/acknowledge`, more),
    /**
     * Says that it is over. Once more changes nothing.
     * @param {string} id
     * @param {Resolution} [more]
     */
    resolveAlert: (id, more = {}) => change("PUT", `alerts/${encodeURIComponent(id)}/resolve`, more),
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
 * What a session needs to write: the token of a form, which every page of the cockpit has.
 * @returns {Record<string, string>}
 */
function csrf() {
  if (typeof document === "undefined") return {};
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("input[name=csrfmiddlewaretoken]"));
  return field ? { "X-CSRFToken": field.value } : {};
}

/**
 * What a problem+json says in words, with each field of the body that is at fault.
 * @param {Response} response
 */
async function detailOf(response) {
  const problem = await response.json().catch(() => null);
  const faults = (Array.isArray(problem?.errors) ? problem.errors : [])
    .filter((/** @type {any} */ { pointer }) => String(pointer).startsWith("/"))
    .map((/** @type {any} */ { pointer, message }) => `${pointer.slice(1)} ${message}`);
  return [String(problem?.detail ?? problem?.title ?? ""), faults.join("; ")].filter(Boolean).join(" ");
}
