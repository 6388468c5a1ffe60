// Keeps something fresh: loads it when the stream says that it is stale, and every few seconds where there is none.
// The stream is read by fetch, not by EventSource, so that a bearer token can go with it.

const TIMEOUT = 10_000; // of one load
const SLOW = 700; // a load that takes longer is told
const FIRST_WAIT = 2_000; // after the first failure; doubled with each further one
const MOST_WAIT = 60_000;
const LONGEST_WAIT = 3_600_000; // that a server may ask for
const STREAMING_WAIT = 30_000; // between two loads while the stream is open: windows move on even when nothing happens
const BREATH = 900; // between two loads that the stream asks for
const STREAM_AGAIN = 30_000; // after the server had no stream to give
const SILENCE = 45_000; // the server's heart beats every 15 s: a stream that says nothing for so long is dead

/** @typedef {"live" | "loading" | "reconnecting" | "paused" | "signed-out" | "gone"} State */
/** @typedef {(url: string, init: RequestInit) => Promise<Response>} Fetch */
/** @typedef {{ event: string, data: string, id: string }} StreamEvent */
/**
 * @typedef {object} Wishes
 * @property {(signal: AbortSignal) => Promise<void>} load Fetches and shows; throws to tell a failure. An error's
 *   `status` decides: 401, 400, 403 and 404 are final, 429 and 503 wait for its `retryAfter` (seconds).
 * @property {string} [streamUrl] Where the server says what is stale; "" for none.
 * @property {boolean} [realTime] Whether to listen there. Default: true.
 * @property {number} [interval] Milliseconds between two loads without a stream. Default: 30,000.
 * @property {Fetch} [fetch] Opens the stream; for one that needs more than a cookie.
 * @property {(state: State, details: { connected: boolean, error: Error | null }) => void} [onState] Called at each
 *   change; `error` is what the last load failed with, null once one succeeds.
 */

/** An answer that is not data: `status`, `detail` in words ("" for none) and `retryAfter` in seconds (0 for none). */
export class Refused extends Error {
  /**
   * @param {Response} response
   * @param {string} [detail]
   */
  constructor(response, detail = "") {
    super(detail || `The server answered ${response.status}.`);
    this.name = "Refused";
    this.status = response.status;
    this.detail = detail;
    const after = response.headers.get("Retry-After") ?? "";
    this.retryAfter = /^\d+$/.test(after) ? Number(after) : Math.max(0, (Date.parse(after) - Date.now()) / 1000) || 0;
  }
}

/**
 * Keeps something fresh until `stop()`, or until an answer is final. A hidden page asks for nothing.
 * Nothing is loaded at once: call `refresh()` where nothing is shown yet.
 * @param {Wishes} wishes
 */
export function keepFresh({
  load,
  streamUrl = "",
  realTime = true,
  interval = 30_000,
  fetch: ask = (url, init) => fetch(url, init),
  onState,
}) {
  const ended = new AbortController();
  /** @type {State} */ let state = "live";
  /** @type {Error | null} */ let error = null;
  /** @type {AbortController | null} */ let running = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  let connected = false;
  let paused = false;
  let stopped = false;
  let stale = false;
  let failures = 0;
  let backOff = 0;
  let looked = Date.now(); // when the last load ended

  const stream = streamUrl && realTime ? new Stream(streamUrl, ask, {
    changed() {
      stale ||= connected && !stream?.connected; // whether all is well is known by asking, and now
      schedule();
      say(state);
    },
    stale() {
      stale = true; // also while a load is running: it may have read too early
      schedule();
    },
    refused: refresh, // a load tells whether it is over
  }) : null;

  function schedule() {
    clearTimeout(timer);
    if (ended.signal.aborted || paused || running) return;
    const usual = stream?.connected ? Math.max(interval, STREAMING_WAIT) : interval;
    const wait = failures ? backOff : stale ? BREATH : usual;
    // The clock of the machine may be set in between: never longer than the wait itself.
    timer = setTimeout(run, Math.min(wait, Math.max(0, looked + wait - Date.now())));
  }

  function refresh() {
    if (ended.signal.aborted || paused) return;
    if (running) stale = true;
    else run();
  }

  async function run() {
    clearTimeout(timer);
    const mine = new AbortController();
    running = mine;
    stale = false;
    const late = new DOMException("No answer within 10 seconds.", "TimeoutError");
    const limit = setTimeout(() => mine.abort(late), TIMEOUT);
    const slow = setTimeout(() => failures || say("loading"), SLOW);
    const problem = await unless(mine.signal, () => load(mine.signal)).then(() => null, asError);
    clearTimeout(limit);
    clearTimeout(slow);
    if (running !== mine) return; // paused or stopped meanwhile
    running = null;
    looked = Date.now();
    if (problem) return fail(problem);
    failures = 0;
    schedule();
    say("live", null);
  }

  /** @param {Error & { status?: unknown, retryAfter?: unknown }} problem */
  function fail(problem) {
    const status = Number(problem.status);
    if (status === 401) return end("signed-out", problem);
    if ([400, 403, 404].includes(status)) return end("gone", problem);
    failures += 1;
    const asked = [429, 503].includes(status) ? (Number(problem.retryAfter) || 0) * 1000 : 0;
    backOff = Math.max(growing(FIRST_WAIT, failures - 1), Math.min(LONGEST_WAIT, asked * (1 + Math.random() / 4)));
    schedule();
    // One missed load is not worth a word while the stream stands; what is shown stays, with the time it is of.
    const lost = failures > 1 || state !== "live" || (stream !== null && !stream.connected);
    say(lost ? "reconnecting" : state, problem);
  }

  /**
   * @param {State} next
   * @param {Error | null} [problem]
   */
  function say(next, problem = error) {
    const open = stream?.connected ?? false;
    if (next === state && problem === error && open === connected) return;
    [state, error, connected] = [next, problem, open];
    if (!stopped) onState?.(state, { connected, error });
  }

  function hush() {
    clearTimeout(timer);
    running?.abort();
    running = null;
    stream?.close();
  }

  function pause() {
    paused = true;
    hush();
    say("paused");
  }

  function resume() {
    if (!paused || hidden()) return;
    paused = false;
    stream?.open();
    run();
  }

  /**
   * @param {State} last
   * @param {Error} problem
   */
  function end(last, problem) {
    ended.abort();
    hush();
    say(last, problem);
  }

  function stop() {
    stopped = true;
    ended.abort();
    hush();
  }

  const until = { signal: ended.signal };
  if (typeof document !== "undefined") {
    document.addEventListener("visibilitychange", () => (document.hidden ? pause() : resume()), until);
    window.addEventListener("pagehide", pause, until);
    window.addEventListener("pageshow", resume, until);
    window.addEventListener("online", () => {
      if (paused) return;
      stream?.close(); // what was open before may never hear of its end
      stream?.open();
      refresh();
    }, until);
  }
  if (hidden()) pause();
  else {
    stream?.open();
    schedule();
  }
  return {
    refresh,
    stop,
    get state() {
      return state;
    },
    get connected() {
      return stream?.connected ?? false;
    },
  };
}

/** A stream of server-sent events that comes back by itself, and says where it left off. */
class Stream {
  connected = false;
  /** @type {AbortController | null} */ #running = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #last = "";
  #retry = 3_000;
  #drops = 0;

  /**
   * @param {string} url
   * @param {Fetch} ask
   * @param {{ changed: () => void, stale: () => void, refused: () => void }} tell
   */
  constructor(url, ask, tell) {
    this.url = url;
    this.ask = ask;
    this.tell = tell;
  }

  open() {
    if (!this.#running) this.#run();
  }

  close() {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#running = null;
    this.#say(false);
  }

  /** @param {boolean} connected */
  #say(connected) {
    if (this.connected === connected) return;
    this.connected = connected;
    this.tell.changed();
  }

  async #run() {
    clearTimeout(this.#timer);
    const mine = new AbortController();
    this.#running = mine;
    const refused = await this.#read(mine).catch(() => false);
    mine.abort(); // also an answer that nobody reads
    if (this.#running !== mine) return; // closed
    this.#running = null;
    this.#say(false);
    const wait = refused ? STREAM_AGAIN * (0.5 + Math.random()) : growing(this.#retry, this.#drops++);
    this.#timer = setTimeout(() => this.open(), wait);
  }

  /**
   * Listens to the end; whether the server refused.
   * @param {AbortController} mine
   */
  async #read(mine) {
    let silence = setTimeout(() => mine.abort(), SILENCE);
    try {
      const headers = { Accept: "text/event-stream", ...(this.#last && { "Last-Event-ID": this.#last }) };
      const init = { headers, signal: mine.signal, cache: /** @type {const} */ ("no-store") };
      const response = await unless(mine.signal, () => this.ask(this.url, init));
      if ([401, 403, 404].includes(response.status)) this.tell.refused();
      const kind = response.headers.get("Content-Type") ?? "";
      if (!response.ok || !response.body || !kind.startsWith("text/event-stream")) return true;
      this.#say(true);
      const hear = parser((event) => mine.signal.aborted || this.#hear(event, mine), (retry) => (this.#retry = retry));
      const reader = response.body.getReader();
      for (;;) {
        clearTimeout(silence);
        silence = setTimeout(() => mine.abort(), SILENCE);
        const { done, value } = await unless(mine.signal, () => reader.read());
        if (done) return false;
        this.#drops = 0;
        hear(value);
      }
    } finally {
      clearTimeout(silence);
    }
  }

  /**
   * @param {StreamEvent} event
   * @param {AbortController} mine
   */
  #hear({ event, id }, mine) {
    this.#last = id || this.#last;
    if (event === "stale") this.tell.stale();
    if (event === "bye") mine.abort(); // the process stops: another one listens by then
  }
}

/**
 * Reads text/event-stream: gives a function that takes its bytes as they come, cut anywhere. It calls `on` at the end
 * of each event, with the last `id` said, and `onRetry` with the milliseconds to wait before coming back.
 * @param {(event: StreamEvent) => void} on
 * @param {(milliseconds: number) => void} [onRetry]
 * @returns {(chunk: Uint8Array) => void}
 */
export function parser(on, onRetry) {
  const decoder = new TextDecoder();
  let rest = "";
  let returned = false; // the last character was a CR: a LF that follows belongs to it
  let [event, id] = ["", ""];
  /** @type {string[]} */ let data = [];

  /** @param {string} line */
  function take(line) {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "event") event = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && /^[ -~]*$/.test(value)) id = value; // it goes back in a header
    else if (name === "retry" && /^\d+$/.test(value)) onRetry?.(Number(value));
    if (line) return;
    if (data.length) on({ event: event || "message", data: data.join("\n"), id });
    [event, data] = ["", []];
  }

  return (chunk) => {
    const text = decoder.decode(chunk, { stream: true });
    const lines = (rest + text.slice(returned && text.startsWith("\n") ? 1 : 0)).split(/\r\n|\n|\r/);
    if (text) returned = text.endsWith("\r");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  };
}

/**
 * The outcome of what is started, or a rejection as soon as the signal says so, whatever the other does.
 * @template T
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} start
 * @returns {Promise<T>}
 */
async function unless(signal, start) {
  signal.throwIfAborted();
  /** @type {() => void} */ let refuse = () => {};
  const aborted = new Promise((_, reject) => {
    refuse = () => reject(signal.reason);
  });
  signal.addEventListener("abort", refuse);
  try {
    return await /** @type {Promise<T>} */ (Promise.race([start(), aborted]));
  } finally {
    signal.removeEventListener("abort", refuse);
  }
}

/**
 * A wait that doubles each time, spread so that many do not come back at once.
 * @param {number} first
 * @param {number} times
 */
function growing(first, times) {
  return Math.min(MOST_WAIT, first * 2 ** times) * (0.5 + Math.random() / 2);
}

/** @param {unknown} reason */
function asError(reason) {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function hidden() {
  return typeof document !== "undefined" && document.hidden;
}
