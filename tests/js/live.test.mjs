import assert from "node:assert/strict";
import { test } from "node:test";
import { keepFresh, parser, Refused } from "../../static/js/live.js";
import { Api, openPage, quiet, refuse, stopTheClock, until } from "./api.mjs";

const bytes = new TextEncoder();

/** Starts an engine that counts its loads; `load` may be replaced by the test. */
function watch(test, wishes = {}) {
  const seen = { loads: 0, states: [], load: async () => {}, error: null };
  const live = keepFresh({
    interval: 5_000,
    ...wishes,
    load: (signal) => {
      seen.loads += 1;
      return seen.load(signal);
    },
    onState: (state, { error }) => {
      if (state !== seen.states.at(-1)) seen.states.push(state);
      seen.error = error;
    },
  });
  test.after(live.stop);
  return { live, seen };
}

const failing = (status, more = {}) => async () => {
  throw Object.assign(new Error(`no: ${status}`), { status, ...more });
};

test("a stream means the same wherever its bytes are cut", () => {
  const text =
    "\uFEFF: heartbeat\r\nretry: 1500\r\n\r\nid: 7\r\nevent: stale\r\ndata: {\"name\":\r\ndata:\"Zoë 🚀\"}\r\n\r\n" +
    "data\n\nid\u0000: 8\ndata: x\n\nevent: bye\rdata: {}\r\rid: 9\ndata: never finished\n";
  const expected = [
    1500,
    { event: "stale", data: '{"name":\n"Zoë 🚀"}', id: "7" },
    { event: "message", data: "", id: "7" },
    { event: "message", data: "x", id: "7" },
    { event: "bye", data: "{}", id: "7" },
  ];
  const all = bytes.encode(text);
  const heardOf = (...chunks) => {
    const heard = [];
    const hear = parser((event) => heard.push(event), (retry) => heard.push(retry));
    chunks.forEach(hear);
    return heard;
  };
  assert.deepEqual(heardOf(all), expected);
  assert.deepEqual(heardOf(...[...all].map((byte) => Uint8Array.of(byte))), expected);
  for (let at = 0; at <= all.length; at += 1) {
    assert.deepEqual(heardOf(all.subarray(0, at), new Uint8Array(), all.subarray(at)), expected, `cut at ${at}`);
  }
});

test("an identifier that fits no header, and a retry that is no number, are not taken", () => {
  const heard = [];
  parser((event) => heard.push(event.id), (retry) => heard.push(retry))(bytes.encode("id: ü\nretry: 1e3\ndata: x\n\n"));
  assert.deepEqual(heard, [""]);
});

test("without a stream it looks at every interval", async (t) => {
  const tick = stopTheClock(t);
  const { seen } = watch(t);
  assert.equal(seen.loads, 0);
  for (const loads of [1, 2, 3]) {
    tick(4_999);
    await quiet();
    assert.equal(seen.loads, loads - 1);
    tick(1);
    await until(() => seen.loads === loads);
    await quiet();
  }
});

test("with a stream it looks when told, at most once in 900 ms, and else every 30 s", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  await until(() => live.connected);
  tick(5_000);
  await quiet();
  assert.equal(seen.loads, 0, "the interval is for pages without a stream");
  for (let times = 0; times < 5; times += 1) api.stale(times);
  await until(() => (tick(0), seen.loads === 1));
  api.stale();
  await quiet();
  tick(899);
  await quiet();
  assert.equal(seen.loads, 1);
  tick(1);
  await until(() => seen.loads === 2);
  await quiet();
  api.say(": heartbeat\n\n");
  await quiet();
  tick(29_999);
  await quiet();
  assert.equal(seen.loads, 2);
  tick(1);
  await until(() => seen.loads === 3);
});

test("what is told while a load runs is loaded after it", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  let finish;
  seen.load = () => new Promise((resolve) => (finish = resolve));
  await until(() => live.connected);
  live.refresh();
  api.stale();
  await quiet();
  assert.equal(seen.loads, 1);
  finish();
  await quiet();
  tick(900);
  await until(() => seen.loads === 2);
});

test("who asks while a load runs gets another one after it", async (t) => {
  const tick = stopTheClock(t);
  const { live, seen } = watch(t);
  live.refresh();
  live.refresh();
  assert.equal(seen.loads, 1);
  await quiet();
  tick(900);
  assert.equal(seen.loads, 2);
});

test("no room for a stream means polling, and asking again half a minute later", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const open = api.on.stream;
  api.on.stream = (_, response) => refuse(response, 503, { "Retry-After": "10" });
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  await until(() => api.asked.stream.length === 1);
  await quiet();
  tick(5_000);
  await until(() => seen.loads === 1);
  assert.equal(live.connected, false);
  api.on.stream = open;
  await quiet();
  tick(24_999);
  await quiet();
  assert.equal(api.asked.stream.length, 1);
  tick(1);
  await until(() => live.connected);
});

test("an answer that is no stream is not read as one", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  api.on.stream = (_, response) => {
    api.streams.add(response.on("close", () => api.streams.delete(response)));
    response.write("data: <html>\n\nevent: stale\ndata: x\n\n");
  };
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  await until(() => api.asked.stream.length === 1);
  await quiet();
  tick(900);
  await quiet();
  assert.deepEqual([live.connected, seen.loads, api.streams.size], [false, 0, 0]);
});

test("after a goodbye it comes back when it was told to, and says where it left off", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live } = watch(t, { streamUrl: api.streamUrl });
  await until(() => live.connected);
  assert.equal(api.asked.stream[0].headers["last-event-id"], undefined);
  api.stale(41);
  api.say("event: bye\nretry: 4000\ndata: {}\n\n");
  await until(() => !live.connected && api.streams.size === 0);
  await quiet();
  tick(2_999);
  await quiet();
  assert.equal(api.asked.stream.length, 1);
  tick(1); // 4 s, spread
  await until(() => live.connected);
  assert.equal(api.asked.stream[1].headers["last-event-id"], "41");
});

test("a stream cut in the middle of an event is opened again, and half an event is none", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl, interval: 60_000 });
  await until(() => live.connected);
  api.say("id: 5\nevent: stale\nda");
  await quiet();
  api.cut();
  await until(() => !live.connected);
  await quiet();
  tick(1_500);
  await until(() => live.connected);
  assert.equal(api.asked.stream[1].headers["last-event-id"], undefined);
  assert.equal(seen.loads, 1, "a stream that ends is a reason to look whether all is well, and the only one here");
});

test("streams that are cut again and again never keep it from looking", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  for (let round = 0; round < 4; round += 1) {
    await until(() => live.connected);
    api.cut();
    await until(() => !live.connected);
    await quiet();
    tick(1_500);
  }
  await until(() => seen.loads >= 1);
});

test("a server that is not there is asked less and less often", async (t) => {
  const tick = stopTheClock(t);
  let asked = 0;
  watch(t, { streamUrl: "x", fetch: async () => ((asked += 1), Promise.reject(new TypeError("no server"))), interval: 1e9 });
  const gaps = [];
  for (let waited = 0; gaps.length < 7; ) {
    await quiet();
    const before = asked;
    for (waited = 0; asked === before; waited += 250) {
      tick(250);
      await null;
    }
    gaps.push(waited);
  }
  assert.deepEqual(gaps, [2_250, 4_500, 9_000, 18_000, 36_000, 45_000, 45_000]);
});

test("a stream without a heartbeat for 45 s is dead", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live } = watch(t, { streamUrl: api.streamUrl });
  await until(() => live.connected);
  await quiet();
  tick(44_000);
  api.say(": heartbeat\n\n");
  await quiet();
  tick(44_000);
  assert.equal(live.connected, true);
  tick(1_000);
  await until(() => !live.connected && api.streams.size === 0);
});

test("a hidden page sends nothing and holds nothing; shown again it looks at once", async (t) => {
  const tick = stopTheClock(t);
  const page = openPage(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  let aborted = false;
  seen.load = (signal) => new Promise(() => signal.addEventListener("abort", () => (aborted = true)));
  await until(() => live.connected);
  live.refresh();
  page.hide();
  assert.deepEqual([aborted, live.connected, live.state], [true, false, "paused"]);
  await until(() => api.streams.size === 0);
  live.refresh();
  page.tell("online");
  tick(600_000);
  await quiet();
  assert.deepEqual([seen.loads, api.asked.stream.length, live.state, seen.error], [1, 1, "paused", null]);
  seen.load = async () => {};
  page.hide(false);
  assert.equal(seen.loads, 2);
  await until(() => live.state === "live" && live.connected);
});

test("a page that opens hidden waits until it is seen", async (t) => {
  const page = openPage(t, { hidden: true });
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  live.refresh();
  await quiet();
  assert.deepEqual([live.state, seen.loads, api.asked.stream.length], ["paused", 0, 0]);
  page.hide(false);
  await until(() => live.connected && seen.loads === 1);
});

test("a page that goes into the cache of pages lets go, and looks when it comes back", async (t) => {
  const page = openPage(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  page.tell("pageshow"); // of its first showing
  assert.equal(seen.loads, 0);
  await until(() => live.connected);
  page.tell("pagehide");
  await until(() => api.streams.size === 0);
  page.tell("pageshow");
  page.hide(false);
  assert.equal(seen.loads, 1, "once, however many events tell of it");
  await until(() => live.connected);
});

test("a network that is back is used at once, with a stream of its own", async (t) => {
  const page = openPage(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  await until(() => live.connected);
  page.tell("online");
  assert.equal(seen.loads, 1);
  await until(() => live.connected && api.asked.stream.length === 2 && api.streams.size === 1);
});

test("failures are told from the second on, come less and less often, and are forgotten", async (t) => {
  const tick = stopTheClock(t);
  const { live, seen } = watch(t);
  seen.load = failing(500);
  live.refresh();
  await quiet();
  assert.deepEqual([live.state, seen.error.message], ["live", "no: 500"]);
  for (const [loads, wait] of [[2, 1_500], [3, 3_000], [4, 6_000], [5, 12_000], [6, 24_000], [7, 45_000], [8, 45_000]]) {
    tick(wait - 1);
    await quiet();
    assert.equal(seen.loads, loads - 1);
    tick(1);
    await quiet();
    assert.equal(seen.loads, loads);
    assert.equal(live.state, "reconnecting");
  }
  seen.load = async () => {};
  tick(45_000);
  await until(() => live.state === "live");
  assert.equal(seen.error, null);
  await quiet();
  tick(5_000);
  await until(() => seen.loads === 10);
});

test("a hint during failures does not hurry a server that asked for time", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  await until(() => live.connected);
  for (const status of [503, 429]) {
    seen.load = failing(status, { retryAfter: 20 });
    const before = seen.loads;
    live.refresh();
    await quiet();
    api.stale();
    await quiet();
    tick(20_000);
    await quiet();
    assert.equal(seen.loads, before + 1);
    tick(2_500); // an eighth more, so that not all come at once
    await until(() => seen.loads === before + 2);
    await quiet();
  }
});

for (const [status, state] of [[401, "signed-out"], [400, "gone"], [403, "gone"], [404, "gone"]]) {
  test(`${status} is the end: ${state}`, async (t) => {
    const tick = stopTheClock(t);
    const api = await Api.start(t);
    const { live, seen } = watch(t, { streamUrl: api.streamUrl });
    await until(() => live.connected);
    seen.load = failing(status);
    live.refresh();
    await until(() => live.state === state && api.streams.size === 0);
    assert.equal(seen.error.status, status);
    live.refresh();
    tick(600_000);
    await quiet();
    assert.deepEqual([seen.loads, api.asked.stream.length, live.connected], [1, 1, false]);
  });
}

test("a stream that is refused to who signed out asks a load for the truth", async (t) => {
  stopTheClock(t);
  const api = await Api.start(t);
  api.on.stream = (_, response) => refuse(response, 401);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  seen.load = failing(401);
  await until(() => live.state === "signed-out");
});

test("a load has ten seconds, whether it listens to its signal or not", async (t) => {
  const tick = stopTheClock(t);
  const { live, seen } = watch(t);
  seen.load = () => new Promise(() => {});
  live.refresh();
  tick(700);
  assert.equal(live.state, "loading");
  tick(9_300);
  await until(() => seen.error?.name === "TimeoutError");
  assert.equal(live.state, "reconnecting", "nothing is loading any more");
  seen.load = async () => {};
  await quiet();
  tick(1_500);
  await until(() => live.state === "live");
});

test("without real time no stream is opened", async (t) => {
  const api = await Api.start(t);
  watch(t, { streamUrl: api.streamUrl, realTime: false });
  await quiet();
  assert.equal(api.asked.stream.length, 0);
});

test("after stop nothing is said and nothing is sent", async (t) => {
  const tick = stopTheClock(t);
  const api = await Api.start(t);
  const { live, seen } = watch(t, { streamUrl: api.streamUrl });
  await until(() => live.connected);
  const { loads } = seen;
  seen.states.length = 0;
  live.stop();
  live.stop();
  live.refresh();
  await until(() => api.streams.size === 0);
  tick(600_000);
  await quiet();
  assert.deepEqual([seen.loads, seen.states, api.asked.stream.length], [loads, [], 1]);
});

test("a refusal knows how long to wait, in seconds or until a date", () => {
  const after = (value) => new Refused(new Response(null, { status: 503, headers: value ? { "Retry-After": value } : {} })).retryAfter;
  assert.deepEqual([after("7"), after(""), after("soon"), after("-5")], [7, 0, 0, 0]);
  const date = after(new Date(Date.now() + 90_000).toUTCString());
  assert.ok(date > 85 && date <= 90);
  assert.equal(after(new Date(Date.now() - 90_000).toUTCString()), 0);
});
