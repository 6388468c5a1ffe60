import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { useMonitoring, withToken } from "../../static/js/monitoring.js";
import { alert, Api, openPage, quiet, refuse, stopTheClock, until } from "./api.mjs";

const module = fileURLToPath(new URL("../../static/js/monitoring.js", import.meta.url));

/** Watches the API's organization; `seen` are the snapshots that a subscriber got. */
function watch(test, api, options = {}) {
  const monitoring = useMonitoring({ organization: "swaggystacks", baseUrl: api.url, ...options });
  const seen = [];
  monitoring.subscribe((snapshot) => seen.push(snapshot));
  test.after(monitoring.stop);
  return { monitoring, seen };
}

/** Answers only those who carry one of these tokens. */
function guard(api, ...tokens) {
  const free = { ...api.on };
  for (const name of ["dashboard", "stream", "alerts"]) {
    api.on[name] = (request, response) =>
      tokens.includes(request.headers.authorization?.slice(7)) ? free[name](request, response) : refuse(response, 401);
  }
}

test("it gives the dashboard's JSON, then tells each change", async (t) => {
  const api = await Api.start(t);
  const { monitoring, seen } = watch(t, api, { window: "1h", compare: "week", source: "live" });
  assert.deepEqual({ ...monitoring.getSnapshot() }, { data: null, alerts: null, loading: true, error: null, asOf: null, connected: false });
  await until(() => monitoring.data && monitoring.connected);
  assert.equal(monitoring.data.totals.inferences, 1);
  assert.equal(monitoring.asOf.toISOString(), "2026-11-01T10:00:00.000Z");
  assert.equal(api.asked.dashboard[0].url, "/api/monitoring/dashboard?organization=swaggystacks&window=1h&compare=week&source=live");
  assert.equal(api.asked.stream[0].url, "/api/monitoring/stream?organization=swaggystacks");
  api.inferences = 2;
  api.stale();
  await until(() => monitoring.data.totals.inferences === 2);
  assert.equal(seen.at(-1), monitoring.getSnapshot());
  assert.ok(seen.every(Object.isFrozen));
  assert.equal(new Set(seen).size, seen.length, "each snapshot is another one");
  assert.equal(seen.find(({ data }) => data).data.totals.inferences, 1, "an earlier one stays as it was");
});

test("figures that hold are the same object, with a later moment", async (t) => {
  const api = await Api.start(t);
  const { monitoring, seen } = watch(t, api, { enableRealTime: false });
  await until(() => monitoring.data);
  const { data } = monitoring;
  const told = seen.length;
  monitoring.refresh();
  await until(() => api.asked.dashboard.length === 2);
  await quiet();
  assert.equal(api.asked.dashboard[1].headers["if-none-match"], 'W/"1"');
  assert.equal(seen.length, told, "nothing changed: nobody is called");
  api.asOf = "2026-11-01T10:00:30Z";
  monitoring.refresh();
  await until(() => monitoring.asOf.toISOString() === "2026-11-01T10:00:30.000Z");
  assert.equal(monitoring.data, data);
});

test("a token goes in a header, never in a URL, and no cookie with it", async (t) => {
  const api = await Api.start(t);
  guard(api, "secret");
  const { monitoring } = watch(t, api, { token: "secret" });
  await until(() => monitoring.data && monitoring.connected);
  for (const { url } of Object.values(api.asked).flat()) assert.ok(!url.includes("secret"));
});

test("a fixed token that is refused ends it, in the server's words", async (t) => {
  const api = await Api.start(t);
  api.on.dashboard = (_, response) => refuse(response, 401, {}, "This key is revoked.");
  const { monitoring } = watch(t, api, { token: "old", enableRealTime: false });
  await until(() => monitoring.error);
  const { status, detail, message } = monitoring.error;
  assert.deepEqual([status, detail, message], [401, "This key is revoked.", "This key is revoked."]);
  assert.deepEqual([monitoring.loading, api.asked.dashboard.length], [false, 1]);
});

test("a refused token is asked for again, once for all that need it", async (t) => {
  const api = await Api.start(t);
  guard(api, "second");
  const tokens = ["first", "second", "third"];
  const { monitoring } = watch(t, api, { token: async () => tokens.shift() });
  await until(() => monitoring.data && monitoring.connected);
  assert.deepEqual(tokens, ["third"]);
  assert.equal(monitoring.error, null);
});

test("two that are refused at once share the new token, and send no cookie", async (t) => {
  const sent = [];
  t.mock.method(globalThis, "fetch", async (_, { headers, credentials }) => {
    sent.push(`${headers.Authorization} ${headers.Accept} ${credentials}`);
    return new Response(null, { status: headers.Authorization === "Bearer t2" ? 200 : 401 });
  });
  let given = 0;
  const ask = withToken(async () => `t${(given += 1)}`);
  const answers = await Promise.all([ask("/", { headers: { Accept: "a" } }), ask("/", { headers: { Accept: "b" } })]);
  assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
  assert.deepEqual(sent, ["Bearer t1 a omit", "Bearer t1 b omit", "Bearer t2 a omit", "Bearer t2 b omit"]);
});

test("a token that is refused twice ends it", async (t) => {
  const api = await Api.start(t);
  guard(api, "none");
  let given = 0;
  const { monitoring } = watch(t, api, { token: () => `bad${(given += 1)}`, enableRealTime: false });
  await until(() => monitoring.error?.status === 401);
  monitoring.refresh();
  await quiet();
  assert.deepEqual([given, api.asked.dashboard.length], [2, 2]);
});

test("a token is renewed before it expires", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  let given = 0;
  const token = () => ({ token: `t${(given += 1)}`, expiresAt: new Date(Date.now() + 900_000).toISOString() });
  const { monitoring } = watch(t, api, { token, enableRealTime: false, refreshInterval: 290_000 });
  for (let looks = 1; looks <= 5; looks += 1) {
    await until(() => api.asked.dashboard.length === looks && monitoring.data);
    await quiet();
    tick(290_000);
  }
  await until(() => api.asked.dashboard.length === 6);
  const sent = api.asked.dashboard.map(({ headers }) => headers.authorization);
  assert.deepEqual(sent, ["t1", "t1", "t1", "t2", "t2", "t2"].map((text) => `Bearer ${text}`));
});

test("a token for a clock that is an hour late is used all the same, not asked for each time", async (t) => {
  const api = await Api.start(t);
  let given = 0;
  const token = () => ({ token: `t${(given += 1)}`, expiresAt: new Date(Date.now() - 3_600_000).toISOString() });
  const { monitoring } = watch(t, api, { token });
  await until(() => monitoring.data && monitoring.connected);
  assert.equal(given, 1);
});

test("where no token can be had it says so, and tries again", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const answers = [() => Promise.reject(new Error("no token today")), () => undefined, () => ({ token: 7 }), () => "good"];
  const { monitoring } = watch(t, api, { token: () => answers.shift()(), enableRealTime: false, refreshInterval: 5_000 });
  await until(() => monitoring.error?.message === "no token today");
  tick(2_000);
  await until(() => monitoring.error instanceof TypeError);
  await quiet();
  tick(4_000);
  await quiet();
  tick(8_000);
  await until(() => monitoring.data);
  assert.equal(monitoring.error, null);
});

test("a refusal keeps the figures beside its error, until the server is well again", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const well = api.on.dashboard;
  const { monitoring } = watch(t, api, { enableRealTime: false, refreshInterval: 5_000 });
  await until(() => monitoring.data);
  const { data } = monitoring;
  api.on.dashboard = (_, response) => refuse(response, 503, { "Retry-After": "8" }, "The database is away.");
  await quiet();
  tick(5_000);
  await until(() => monitoring.error?.status === 503);
  assert.deepEqual([monitoring.error.detail, monitoring.data, monitoring.loading], ["The database is away.", data, false]);
  api.on.dashboard = well;
  await quiet();
  tick(9_000);
  await until(() => monitoring.error === null);
});

test("an answer that is no JSON is an error, not an end", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const well = api.on.dashboard;
  api.on.dashboard = (_, response) => response.end("<html>a proxy's page</html>");
  const { monitoring } = watch(t, api, { enableRealTime: false });
  await until(() => monitoring.error);
  api.on.dashboard = well;
  await quiet();
  tick(2_000);
  await until(() => monitoring.data);
});

test("no interval is shorter than a second", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { monitoring } = watch(t, api, { enableRealTime: false, refreshInterval: 1 });
  await until(() => monitoring.data);
  await quiet();
  tick(999);
  await quiet();
  assert.equal(api.asked.dashboard.length, 1);
  tick(1);
  await until(() => api.asked.dashboard.length === 2);
});

test("who no longer listens is not called, and a listener's fault is its own", async (t) => {
  const api = await Api.start(t);
  const { monitoring, seen } = watch(t, api, { enableRealTime: false });
  const faults = [];
  const queue = queueMicrotask;
  t.mock.method(globalThis, "queueMicrotask", (task) =>
    queue(() => {
      try {
        task();
      } catch (fault) {
        faults.push(fault.message);
      }
    }),
  );
  monitoring.subscribe(() => {
    throw new Error("mine");
  });
  const calls = [0, 0];
  const leave = monitoring.subscribe(() => (calls[0] += 1));
  monitoring.subscribe(() => (calls[1] += 1));
  leave();
  await until(() => monitoring.data);
  assert.deepEqual([calls[0], calls[1], seen.length, monitoring.error], [0, 1, 1, null]);
  assert.deepEqual(faults, ["mine"]);
});

test("open alerts come with the figures, and anew with each hint", async (t) => {
  const api = await Api.start(t);
  api.alerts = [alert("a1")];
  const { monitoring, seen } = watch(t, api);
  await until(() => monitoring.data && monitoring.connected);
  assert.equal(api.asked.alerts[0].url, "/api/monitoring/alerts?organization=swaggystacks&status=open&ordering=severity&limit=200");
  assert.deepEqual(monitoring.alerts, [alert("a1")]);
  assert.ok(seen.every(({ data, alerts }) => (data === null) === (alerts === null)), "both in one change");
  const before = monitoring.alerts;
  api.stale();
  await until(() => api.asked.alerts.length >= 2);
  await quiet();
  assert.equal(monitoring.alerts, before, "the same list while nothing of them changes");
  api.alerts = [];
  api.stale(2);
  await until(() => monitoring.alerts.length === 0);
});

test("who may not read alerts has none, asks once, and is told no error", async (t) => {
  const api = await Api.start(t);
  api.on.alerts = (_, response) => refuse(response, 403, {}, "This needs the permission alerts:read.");
  const { monitoring } = watch(t, api, { enableRealTime: false });
  await until(() => monitoring.data);
  monitoring.refresh();
  await until(() => api.asked.dashboard.length === 2);
  await quiet();
  assert.deepEqual([monitoring.alerts, monitoring.error, api.asked.alerts.length], [null, null, 1]);
});

test("figures are shown beside alerts that cannot be had for now", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const well = api.on.alerts;
  api.on.alerts = (_, response) => refuse(response, 503, {}, "The database is away.");
  const { monitoring } = watch(t, api, { enableRealTime: false });
  await until(() => monitoring.error?.status === 503 && monitoring.data);
  assert.deepEqual([monitoring.alerts, monitoring.loading], [null, false]);
  api.on.alerts = well;
  await quiet();
  tick(2_000);
  await until(() => monitoring.alerts && !monitoring.error);
});

test("a verb is sent as documented, gives the alert, and everything is looked at anew", async (t) => {
  const api = await Api.start(t);
  const { monitoring } = watch(t, api, { token: "key", enableRealTime: false });
  await until(() => monitoring.data);
  const read = api.on.alerts;
  api.on.alerts = (request, response, asked) => {
    if (request.method === "GET") return read(request, response);
    api.alerts = [alert("n1", { status: request.url.endsWith("acknowledge") ? "acknowledged" : "firing" })];
    if (request.url.endsWith("resolve")) api.alerts = [];
    response.writeHead(request.method === "POST" ? 201 : 200, { "Content-Type": "application/json" });
    response.end(JSON.stringify(alert("n1", { sent: JSON.parse(asked.body) })));
  };
  const body = { alertType: "high_error_rate", severity: "warning", message: "API error rate exceeded 5% threshold" };
  const made = await monitoring.createAlert(body);
  assert.deepEqual([made.id, made.sent], ["n1", { organization: "swaggystacks", ...body }]);
  await until(() => monitoring.alerts?.[0]?.id === "n1");
  const until30 = new Date("2026-11-02T10:00:00Z");
  const { sent } = await monitoring.acknowledgeAlert("n1", { note: "Looking.", until: until30 });
  assert.deepEqual(sent, { note: "Looking.", until: "2026-11-02T10:00:00.000Z" });
  await until(() => monitoring.alerts?.[0]?.status === "acknowledged");
  assert.deepEqual((await monitoring.resolveAlert("n1")).sent, {});
  await until(() => monitoring.alerts?.length === 0);
  const told = api.asked.alerts.filter(({ method }) => method !== "GET");
  assert.deepEqual(
    told.map(({ method, url }) => `${method} ${url}`),
    ["POST /api/monitoring/alerts", "PUT /api/monitoring/alerts/n1/acknowledge", "PUT /api/monitoring/alerts/n1/resolve"],
  );
  assert.ok(told.every(({ headers }) => headers.authorization === "Bearer key" && headers["content-type"] === "application/json"));
  assert.ok(told.every(({ headers }) => !headers["x-csrftoken"]), "a key needs no page's token");
});

test("a verb that is refused rejects in the server's words, and ends nothing", async (t) => {
  const api = await Api.start(t);
  const { monitoring } = watch(t, api, { enableRealTime: false });
  await until(() => monitoring.data);
  api.on.alerts = (_, response) => {
    response.writeHead(400, { "Content-Type": "application/problem+json" });
    const errors = [{ pointer: "/severity", code: "invalid", message: "must be one of critical, warning, info" }];
    response.end(JSON.stringify({ title: "Bad request", status: 400, detail: "The body is not valid.", errors }));
  };
  await assert.rejects(monitoring.createAlert({ alertType: "a", severity: "bad", message: "b" }), (problem) => {
    assert.deepEqual(
      [problem.status, problem.message],
      [400, "The body is not valid. severity must be one of critical, warning, info"],
    );
    return true;
  });
  api.on.alerts = (_, response) => refuse(response, 403, {}, "A token only reads.");
  await assert.rejects(monitoring.resolveAlert("a/../b"), { status: 403, message: "A token only reads." });
  assert.equal(api.asked.alerts.at(-1).url, "/api/monitoring/alerts/a%2F..%2Fb/resolve");
  assert.equal(monitoring.error, null);
});

test("with a session the page's own token goes with a verb, and with nothing else", async (t) => {
  openPage(t);
  document.querySelector = (selector) => (selector === "input[name=csrfmiddlewaretoken]" ? { value: "of the form" } : null);
  const api = await Api.start(t);
  const { monitoring } = watch(t, api, { enableRealTime: false });
  await until(() => monitoring.data);
  await monitoring.resolveAlert("a1");
  const tokens = api.asked.alerts.map(({ method, headers }) => [method, headers["x-csrftoken"]]);
  assert.deepEqual(tokens.slice(0, 2), [["GET", undefined], ["PUT", "of the form"]]);
});

test("a hidden page asks nothing; it goes on when it is seen", async (t) => {
  const page = openPage(t, { hidden: true });
  const api = await Api.start(t);
  const { monitoring } = watch(t, api);
  await quiet();
  assert.deepEqual([api.asked.dashboard.length, api.asked.stream.length, monitoring.loading], [0, 0, true]);
  page.hide(false);
  await until(() => monitoring.data && monitoring.connected);
});

test("after stop nothing comes, also of what was under way", async (t) => {
  const api = await Api.start(t);
  let answer;
  api.on.dashboard = (request, response) => (answer = () => response.end("{}"));
  const { monitoring, seen } = watch(t, api);
  await until(() => answer && monitoring.connected);
  const told = seen.length;
  monitoring.stop();
  answer();
  await quiet();
  await until(() => api.streams.size === 0);
  assert.deepEqual([seen.length, monitoring.data, monitoring.connected], [told, null, false]);
});

for (const [options, name] of [
  [undefined, "organization"],
  [{}, "organization"],
  [{ organization: "" }, "organization"],
  [{ organization: "a", refreshInterval: "30" }, "refreshInterval"],
  [{ organization: "a", refreshInterval: NaN }, "refreshInterval"],
  [{ organization: "a", enableRealTime: "no" }, "enableRealTime"],
  [{ organization: "a", baseUrl: "http://127.0.0.1/" }, "baseUrl"],
  [{ organization: "a", token: "" }, "token"],
  [{ organization: "a", token: null }, "token"],
  [{ organization: "a", window: 24 }, "window"],
  [{ organization: "a", compare: 1 }, "compare"],
  [{ organization: "a", source: [] }, "source"],
  [{ organization: "a", refreshIntervall: 1 }, "refreshIntervall"],
  [{ organization: "a", constructor: 1 }, "constructor"],
]) {
  test(`a bad option is named: ${JSON.stringify(options)}`, () => {
    assert.throws(() => useMonitoring(options), (error) => error instanceof TypeError && error.message.includes(name));
  });
}

test("a program that stops it ends by itself, with all it had open", async (t) => {
  const api = await Api.start(t);
  const program = `
    const { useMonitoring } = await import(${JSON.stringify(module)});
    const monitoring = useMonitoring({ organization: "swaggystacks", baseUrl: ${JSON.stringify(api.url)} });
    monitoring.subscribe(({ data, connected }) => data && connected && monitoring.stop());
  `;
  await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { timeout: 10_000 });
  assert.equal(api.asked.stream.length, 1);
});
