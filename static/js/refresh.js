// Keeps the panels fresh: fetches them when the stream says that they are stale (and every few seconds where there is no
// stream), swaps those that changed in place, and says how old they are.

const TIMEOUT = 10_000;
const MOST_WAIT = 60_000;
const STREAMING_WAIT = 30_000; // between two looks while the stream is open: windows move on even when nothing happens
const BREATH = 900; // between two refreshes that the stream asks for
const STREAM_AGAIN = 30_000; // after the server had no room for a stream
const SAID = {
  live: "Live,",
  leaving: "Loading,",
  loading: "Updating,",
  paused: "Paused,",
  reconnecting: "Reconnecting,",
  "signed-out": "Signed out,",
  gone: "Stopped,",
};

const main = document.querySelector("main[data-refresh-url]");

if (main) start(main);

function start(page) {
  const panels = page.querySelector("#panels");
  const interval = Number(page.dataset.refreshSeconds) * 1000;
  const shown = new Map(); // the last text of each panel, as the server sent it
  let etag = "";
  let failures = 0;
  let timer = 0;
  let request = null;
  let over = false;
  let stream = null;
  let streaming = false;
  let stale = false;
  let refreshed = 0;

  for (const section of panels.children) shown.set(section.id, section.outerHTML);
  schedule(interval);
  say("live");
  listen();

  document.addEventListener("visibilitychange", () => {
    if (over) return;
    clearTimeout(timer);
    if (document.hidden) {
      request?.abort("hidden");
      hangUp();
      say("paused");
    } else {
      refresh();
      listen();
    }
  });
  addEventListener("online", () => !over && refresh());
  addEventListener("pageshow", (event) => event.persisted && !over && refresh());
  // The next page takes a moment: until it is there, these numbers are the old window's.
  page.querySelector(".pickers")?.addEventListener("click", (event) => {
    if (event.target.closest("a") && !event.ctrlKey && !event.metaKey && !event.shiftKey) say("leaving");
  });

  function listen() {
    if (over || stream || document.hidden || !page.dataset.streamUrl) return;
    stream = new EventSource(page.dataset.streamUrl);
    stream.addEventListener("open", () => { streaming = true; });
    stream.addEventListener("stale", () => {
      stale = true; // also when a refresh is under way: it may have read too early
      if (!request) schedule(Math.max(0, refreshed + BREATH - Date.now()));
    });
    stream.addEventListener("error", () => {
      if (streaming && !request) schedule(interval);
      streaming = false;
      if (stream?.readyState !== EventSource.CLOSED) return; // it comes back by itself
      hangUp(); // refused: the pages poll, and ask again later
      setTimeout(listen, STREAM_AGAIN * (0.5 + Math.random()));
    });
  }

  function hangUp() {
    stream?.close();
    stream = null;
    streaming = false;
  }

  function schedule(wait) {
    clearTimeout(timer);
    if (!over) timer = setTimeout(refresh, wait);
  }

  async function refresh() {
    if (over || document.hidden || request) return;
    clearTimeout(timer);
    const mine = new AbortController();
    request = mine;
    refreshed = Date.now();
    stale = false;
    const limit = setTimeout(() => mine.abort("timeout"), TIMEOUT);
    const slow = setTimeout(() => failures || say("loading"), 700);
    try {
      await receive(await fetch(page.dataset.refreshUrl, {
        headers: etag ? { "If-None-Match": etag } : {},
        credentials: "same-origin",
        redirect: "manual",
        signal: mine.signal,
      }));
    } catch {
      if (mine.signal.reason !== "hidden") fail();
    } finally {
      clearTimeout(limit);
      clearTimeout(slow);
      request = null;
      if (!document.hidden) schedule(failures ? backOff() : stale ? BREATH : streaming ? STREAMING_WAIT : interval);
    }
  }

  async function receive(response) {
    if (response.status === 401 || response.type === "opaqueredirect") return stop("signed-out");
    if ([400, 403, 404].includes(response.status)) return stop("gone");
    if (response.status !== 200 && response.status !== 304) return fail();
    if (response.status === 200) {
      const text = await response.text();
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("panels");
      if (!fresh) return fail();
      swap(fresh);
      etag = response.headers.get("ETag") ?? "";
    }
    failures = 0;
    age(response.headers.get("X-As-Of"));
    say("live");
  }

  function fail() {
    failures += 1;
    // One missed refresh is not worth a word; the numbers stay, with the time they are of.
    if (failures > 1) say("reconnecting");
  }

  function backOff() {
    const wait = Math.min(MOST_WAIT, interval * 2 ** (failures - 1));
    return wait * (0.5 + Math.random() * 0.5);
  }

  function stop(state) {
    over = true;
    hangUp();
    say(state);
    const notice = page.querySelector("#notice");
    const link = document.createElement("a");
    const signedOut = state === "signed-out";
    link.href = signedOut ? `${page.dataset.loginUrl}?next=${encodeURIComponent(location.pathname + location.search)}` : "/";
    link.textContent = signedOut ? "Sign in again" : "Go to your dashboard";
    notice.replaceChildren(
      signedOut ? "Your session has ended; the figures below no longer move. " : "This page can no longer be read with your account. ",
      link,
    );
    notice.hidden = false;
  }

  function say(state) {
    page.dataset.state = state;
    const line = page.querySelector("[data-as-of-state]");
    const text = SAID[state] ?? "";
    if (line.textContent !== text) line.textContent = text;
  }

  function age(moment) {
    if (!moment) return;
    const time = page.querySelector("[data-as-of-time]");
    time.dateTime = moment;
    time.textContent = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: page.dataset.zone }).format(new Date(moment));
  }

  function swap(fresh) {
    const sections = [...fresh.children];
    const same = sections.length === panels.children.length && sections.every((each, at) => each.id === panels.children[at].id);
    if (!same) {
      panels.replaceChildren(...sections.map((each) => document.importNode(each, true)));
    } else {
      for (const section of sections) {
        if (shown.get(section.id) !== section.outerHTML) replace(document.getElementById(section.id), section);
      }
    }
    shown.clear();
    for (const section of sections) shown.set(section.id, section.outerHTML);
  }

  // Puts a panel in the place of its older self, and leaves the reader where they were: what was open stays open,
  // what was scrolled stays scrolled, and the keyboard's focus stays on its element.
  function replace(old, section) {
    const next = document.importNode(section, true);
    const focused = old.contains(document.activeElement) ? pathTo(old, document.activeElement) : null;
    const scrolled = [...old.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    for (const details of old.querySelectorAll("details[data-keep][open]")) {
      const twin = next.querySelector(`details[data-keep="${CSS.escape(details.dataset.keep)}"]`);
      if (twin) twin.open = true;
    }
    old.replaceWith(next);
    next.querySelectorAll(".scroll").forEach((each, at) => {
      if (scrolled[at]) [each.scrollLeft, each.scrollTop] = scrolled[at];
    });
    if (focused) at(next, focused)?.focus({ preventScroll: true });
  }

  function pathTo(root, element) {
    const path = [];
    for (let each = element; each !== root; each = each.parentElement) path.unshift([...each.parentElement.children].indexOf(each));
    return path;
  }

  function at(root, path) {
    return path.reduce((element, index) => element?.children[index], root);
  }
}
