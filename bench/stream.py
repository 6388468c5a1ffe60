"""From record to pixel with 1, 50 and 200 pages open; what open streams cost everybody else; how fast they end.

    python -m bench.stream [--pages 1,50,200] [--rounds 3] [--seconds 8] [--records 8] [--stops 5]

Record to pixel: one Chromium page is open on a dashboard, all other pages are plain listeners (bench/listeners.py),
half of them of each organization. About every 1.5 s one inference with a number of its own is posted to each
organization, and the time runs from the sending of the page's own POST to the frame that shows that number.

Throughput: requests a second of 8 connections, with 200 open streams and with none, in turns; the streams hear of news
but nobody looks. Stop: SIGTERM to the web process with 200 open streams, until it has ended.

Everything runs as it ships and shares the machine with the pages and senders.
"""

import argparse
import http.client
import itertools
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
from playwright.sync_api import Page

from bench.listeners import Listeners, Seat, looks_between
from bench.rig import House, browser, get, house, keep, keys, percentile, sign_in, together

_ORGANIZATIONS = ("scientia_capital", "swaggystacks")
_WATCHED = "swaggystacks"
_A_KEY = 20  # streams: the most that one caller may have
_MOST = 200  # and one process
_WINDOW = "window=1h"
_CONNECTIONS = 8
_METHOD = (
    "MutationObserver on the panels, then the second animation frame after the change, told by Date.now(): resolution "
    "1 ms and one frame (17 ms), never early; the start is time.time() before the POST is sent"
)
_WATCH = """text => {
  window.shownAt = new Promise((resolve) => {
    const look = () => {
      if (!document.querySelector("#panels").textContent.includes(text)) return;
      observer.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(Date.now())));
    };
    const observer = new MutationObserver(look);
    observer.observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
    setTimeout(() => resolve(null), 30000);
  });
}"""


class Callers:
    """The keys of both organizations, and the session of a page's person, as seats for listeners."""

    def __init__(self, running: House, page: Page) -> None:
        own = {each: keys(running, each, _MOST // len(_ORGANIZATIONS) // _A_KEY) for each in _ORGANIZATIONS}
        places = [[(each, key) for key in own[each] for _ in range(_A_KEY)] for each in _ORGANIZATIONS]
        self._places = [place for pair in zip(*places, strict=True) for place in pair]  # both organizations in turns
        self._cookie = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies())
        self._panels = {}
        for each in _ORGANIZATIONS:
            page.goto(f"http://127.0.0.1:{running.port}/dashboards/{each}/?{_WINDOW}")
            self._panels[each] = page.get_attribute("main", "data-refresh-url") or ""

    def seats(self, count: int, look: str) -> list[Seat]:
        """`look` is "json" (the dashboard data, by key), "panels" (what a page asks for, by session) or ""."""
        if look == "panels":
            return [Seat(each, key, self._panels[each], self._cookie) for each, key in self._places[:count]]
        path = f"/api/monitoring/dashboard?{_WINDOW}" if look else ""
        return [Seat(each, key, path) for each, key in self._places[:count]]


class Poster:
    """Posts single inferences over kept connections."""

    def __init__(self, running: House) -> None:
        self._running = running
        self._local = threading.local()

    def post(self, organization: str, tokens: int) -> int:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self._running.port, timeout=30)
        headers = {"Authorization": f"Bearer {self._running.keys[organization]}", "Content-Type": "application/json"}
        body = json.dumps({"modelName": "pixel", "durationMs": 250, "inputTokens": tokens, "cost": "0.001"})
        self._local.connection.request("POST", "/api/monitoring/dashboard/inference", body, headers)
        response = self._local.connection.getresponse()
        response.read()
        assert response.status == 201, response.status
        return 1


def _wake(running: House) -> None:
    """The server notices that a listener has gone when it next writes to it: news for all give its place back."""
    poster = Poster(running)
    for _ in range(2):
        for organization in _ORGANIZATIONS:
            poster.post(organization, 1)
        time.sleep(1.5)


@contextmanager
def _listening(running: House, seats: Sequence[Seat]) -> Iterator[Listeners | None]:
    if not seats:
        yield None
        return
    try:
        with Listeners(running.port, seats) as listeners:
            time.sleep(2)  # their first looks
            yield listeners
    finally:
        _wake(running)


_numbers = itertools.count(7_000_001)


def record_to_pixel(page: Page, running: House, records: int) -> list[float]:
    """Milliseconds from POST to frame, of so many records; infinite for one not shown within 30 s."""
    poster, found = Poster(running), []
    for _ in range(records):
        began, number = time.monotonic(), next(_numbers)
        page.evaluate(_WATCH, f"{number:,}")
        sent = time.time() * 1000
        poster.post(_WATCHED, number)
        poster.post(next(each for each in _ORGANIZATIONS if each != _WATCHED), number)
        shown = page.evaluate("window.shownAt")
        found.append(shown - sent if shown else float("inf"))
        # Not in step with the folder, which works once a second.
        time.sleep(max(0.0, random.uniform(1.0, 2.0) - (time.monotonic() - began)))
    return found


def all_pixels(page: Page, running: House, callers: Callers, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of pages and kind of look, in turns."""
    cases = [(pages, look) for pages in options.pages for look in (options.looks if pages > 1 else [""])]
    times: dict[tuple[int, str], list[float]] = {case: [] for case in cases}
    looks: dict[tuple[int, str], dict[str, Any]] = {}
    for _ in range(options.rounds):
        for pages, look in cases:
            page.reload()
            with _listening(running, callers.seats(pages - 1, look)) as listeners:
                before, began = (listeners.tell() if listeners else {}), time.monotonic()
                times[pages, look] += record_to_pixel(page, running, options.records)
                if listeners:
                    looks[pages, look] = looks_between(before, listeners.tell(), time.monotonic() - began)
            print(f"  {pages} pages, looks {look or 'none'}: {[round(one) for one in times[pages, look]]}", flush=True)
    return [
        {
            "pages": pages,
            "others_look_at": look or None,
            "records": len(found),
            "p50_ms": round(statistics.median(found)),
            "p95_ms": round(percentile(found, 0.95)),
            "max_ms": round(max(found)),
            "others": looks.get((pages, look)),
        }
        for (pages, look), found in times.items()
    ]


def _gets(running: House, seconds: float) -> float:
    headers = {"Authorization": f"Bearer {running.keys[_WATCHED]}"}
    local = threading.local()

    def work() -> int:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        get(local.connection, f"/api/monitoring/dashboard?{_WINDOW}", headers)
        return 1

    return together(_CONNECTIONS, seconds, work)


def _posts(running: House, seconds: float) -> float:
    poster = Poster(running)
    return together(_CONNECTIONS, seconds, lambda: poster.post(_WATCHED, 100))


def throughput(running: House, callers: Callers, rounds: int, seconds: float) -> dict[str, Any]:
    """Requests a second with all streams open against none, in turns."""
    measured: dict[str, Callable[[House, float], float]] = {"GET dashboard": _gets, "POST inference": _posts}
    found: dict[str, list[list[float]]] = {name: [[], []] for name in measured}
    for number in range(rounds):
        for streams in (0, _MOST) if number % 2 == 0 else (_MOST, 0):
            with _listening(running, callers.seats(streams, "")):
                for name, measure in measured.items():
                    found[name][streams > 0].append(measure(running, seconds))
    return {
        name: {
            "per_second_without": round(statistics.median(without)),
            f"per_second_with_{_MOST}": round(statistics.median(beside)),
            "ratio": round(statistics.median(b / a for a, b in zip(without, beside, strict=True)), 3),
            "rounds": [[round(a), round(b)] for a, b in zip(without, beside, strict=True)],
        }
        for name, (without, beside) in found.items()
    }


def _web(running: House) -> psutil.Process:
    return next(child for child in running.process.children() if "granian" in " ".join(child.cmdline()))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ready(running: House) -> bool:
    try:
        get(http.client.HTTPConnection("127.0.0.1", running.port, timeout=5), "/api/health/ready", {})
    except (OSError, http.client.HTTPException, AssertionError):
        return False
    return True


def stops(running: House, callers: Callers, times: int) -> dict[str, Any]:
    """SIGTERM to the web process with all streams open; the supervisor starts it again."""
    seconds, last_byes, byes = [], [], []
    for _ in range(times):
        with Listeners(running.port, callers.seats(_MOST, "")) as listeners:
            time.sleep(2)
            web, began = _web(running), time.monotonic()
            web.terminate()
            while _runs(web) and time.monotonic() - began < 30:
                time.sleep(0.002)
            seconds.append(time.monotonic() - began)
            time.sleep(0.2)
            told = listeners.tell()
            byes.append(told["byes"])
            last_byes.append(told["last_bye"] - began)
        while not _ready(running):
            time.sleep(0.1)
    return {
        "streams": _MOST,
        "seconds_median": round(statistics.median(seconds), 3),
        "seconds": [round(one, 3) for one in seconds],
        "last_bye_after_seconds": [round(one, 3) for one in last_byes],
        "byes_heard": byes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=lambda text: [int(one) for one in text.split(",")], default=[1, 50, _MOST])
    parser.add_argument("--looks", type=lambda text: text.split(","), default=["json", "panels"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--records", type=int, default=8, help="a round and case")
    parser.add_argument("--stops", type=int, default=5)
    options = parser.parse_args()
    if max(options.pages) > _MOST or not set(options.looks) <= {"json", "panels"}:
        parser.error(f"at most {_MOST} pages, whose looks are json or panels")
    with house(RATE_LIMIT_PER_MINUTE="100000000") as running, browser() as chromium:
        idle = running.memory_mib()
        page = chromium.new_page()
        sign_in(page, running)
        callers = Callers(running, page)
        page.goto(f"http://127.0.0.1:{running.port}/dashboards/{_WATCHED}/?{_WINDOW}")
        record_to_pixel(page, running, 3)  # warm
        pixels = all_pixels(page, running, callers, options)
        page.goto("about:blank")  # its stream takes one of the places
        _wake(running)
        result = {
            "record_to_pixel": {"method": _METHOD, "cases": pixels},
            "throughput": throughput(running, callers, options.rounds, options.seconds),
            "stop": stops(running, callers, options.stops),
            "memory_pss_mib": {"idle": idle, "after": running.memory_mib()},
        }
    keep("stream", result)


if __name__ == "__main__":
    main()
