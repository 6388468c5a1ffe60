// A server on 127.0.0.1 that plays the monitoring API, and what tests of the client need to wait.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises"; // taken now: never the mocked one

const TOTALS = {
  inferences: 1, errors: 0, errorRate: 0, cost: "0.5", unpriced: 0, revenue: null,
  inputTokens: 10, outputTokens: 2, p50Ms: 100, p95Ms: 100, p99Ms: 100, activeUsersPerDay: [],
};

export function dashboard(inferences = 1) {
  return {
    organization: "swaggystacks", currency: "USD", asOf: "2026-11-01T10:00:00Z", sources: { live: inferences },
    window: { from: "2026-10-31T10:00:00Z", to: "2026-11-01T10:00:00Z", stepSeconds: 900 },
    totals: { ...TOTALS, inferences }, previous: null, models: [], errorsByType: [], movers: [],
    series: { t: [], inferences: [], errors: [], cost: [], tokens: [], p50Ms: [], p95Ms: [], p99Ms: [] },
  };
}

export function alert(id = "a1", more = {}) {
  return {
    id, organization: "swaggystacks", alertType: "high_error_rate", severity: "warning", status: "firing", message: "Too many errors",
    endpointId: null, modelName: "qwen2.5:7b", metadata: { errorRate: 0.07, threshold: 0.05 }, labels: {}, fingerprint: "f", episode: 1,
    count: 1, firstSeenAt: "2026-11-01T09:00:00Z", lastSeenAt: "2026-11-01T09:00:00Z", acknowledgedAt: null, acknowledgedBy: null,
    resolvedAt: null, resolvedBy: null, suppressedBy: [], ...more,
  };
}

/** The API of one test: `on.dashboard`, `on.stream` and `on.alerts` may be replaced; what was asked and is open can be looked at. */
export class Api {
  asked = { dashboard: [], stream: [], alerts: [], other: [] };
  streams = new Set();
  inferences = 1;
  alerts = [];
  asOf = "2026-11-01T10:00:00Z";
  on = {
    dashboard: (request, response) => {
      const tag = `W/"${this.inferences}"`;
      const same = request.headers["if-none-match"] === tag;
      response.writeHead(same ? 304 : 200, { ETag: tag, "X-As-Of": this.asOf, "Content-Type": "application/json" });
      response.end(same ? undefined : JSON.stringify(dashboard(this.inferences)));
    },
    stream: (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write("retry: 2000\n\n");
      this.streams.add(response);
      response.on("close", () => this.streams.delete(response));
    },
    alerts: (_, response) => {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ alerts: this.alerts, nextCursor: null }));
    },
    other: (_, response) => refuse(response, 404),
  };

  static async start(test) {
    const api = new Api();
    api.server = createServer((request, response) => {
      const name = /^\/api\/monitoring\/(dashboard|stream|alerts)(?=[?/]|$)/.exec(request.url)?.[1] ?? "other";
      const asked = { url: request.url, method: request.method, headers: request.headers, body: "" };
      api.asked[name].push(asked);
      request.on("data", (chunk) => (asked.body += chunk));
      request.on("end", () => api.on[name](request, response, asked)); // with all of its body
    });
    await new Promise((resolve) => api.server.listen(0, "127.0.0.1", resolve));
    api.url = `http://127.0.0.1:${api.server.address().port}`;
    api.streamUrl = `${api.url}/api/monitoring/stream?organization=swaggystacks`;
    test.after(() => {
      api.server.closeAllConnections();
      api.server.close();
    });
    return api;
  }

  say(text) {
    for (const stream of this.streams) stream.write(text);
  }

  stale(id = 1) {
    this.say(`id: ${id}\nevent: stale\ndata: {"panels": ["models"]}\n\n`);
  }

  cut() {
    for (const stream of this.streams) stream.destroy();
  }
}

export function refuse(response, status, headers = {}, detail = "No.") {
  response.writeHead(status, { "Content-Type": "application/problem+json", ...headers });
  response.end(JSON.stringify({ type: "about:blank", title: "Refused", status, detail }));
}

/** Waits in real time until it holds. */
export async function until(holds, what = String(holds)) {
  for (let left = 1_000; left > 0; left -= 1) {
    if (await holds()) return;
    await sleep(5);
  }
  throw new Error(`never came true: ${what}`);
}

/** Time for whatever is under way to arrive, where a test says that nothing comes. */
export const quiet = () => sleep(60);

/**
 * The client's timers stand still until they are told, and every jitter is in the middle of its range. Timers of anybody
 * else run on: fetch has some, and they outlive a test.
 */
export function stopTheClock(test) {
  const [set, clear] = [setTimeout, clearTimeout];
  const waiting = new Map();
  let [now, made] = [Date.UTC(2026, 10, 1), 0];
  globalThis.setTimeout = (task, wait = 0, ...more) => {
    const caller = new Error().stack.split("\n")[2] ?? "";
    if (!caller.includes("/static/js/")) return set(task, wait, ...more);
    waiting.set((made += 1), { at: now + wait, task });
    return made;
  };
  globalThis.clearTimeout = (timer) => waiting.delete(timer) || clear(timer);
  test.mock.method(Date, "now", () => now);
  test.mock.method(Math, "random", () => 0.5);
  test.after(() => Object.assign(globalThis, { setTimeout: set, clearTimeout: clear }));
  return (milliseconds) => {
    const end = now + milliseconds;
    for (;;) {
      const [timer, next] = [...waiting].reduce((first, one) => (one[1].at < first[1].at ? one : first), [0, { at: Infinity }]);
      if (next.at > end) break;
      waiting.delete(timer);
      now = Math.max(now, next.at);
      next.task();
    }
    now = end;
  };
}

/** A page where there is none: something to hide, to show, and to send events to. */
export function openPage(test, { hidden = false } = {}) {
  const page = Object.assign(new EventTarget(), { hidden });
  const frame = new EventTarget();
  Object.assign(globalThis, { document: page, window: frame });
  test.after(() => {
    delete globalThis.document;
    delete globalThis.window;
  });
  return {
    hide(now = true) {
      page.hidden = now;
      page.dispatchEvent(new Event("visibilitychange"));
    },
    tell: (name) => frame.dispatchEvent(new Event(name)),
  };
}
