"""Alerts over HTTP: raised and resolved one by one and by the hundred, and listed when very many are open.

    python -m bench.alerts [--seconds 5] [--rounds 3] [--pages 40] [--open 10000 100000]

Each is measured turn by turn with Debian's Alertmanager (`apt-get install prometheus-alertmanager`), from the same
senders. What it holds is in memory alone and has neither pages, an audit trail nor permissions; ours is committed to
disk, fsync on, before it is answered. Everything runs as it ships and shares the machine with the senders.
"""

import argparse
import http.client
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from threading import local
from typing import Any

import psutil
import psycopg

from bench.rig import House, admin_url, get, house, keep, percentile, settle_in, together
from organizations.scope import Scope
from tests.house import PASSWORD
from tests.servers import await_true

_BATCH, _SENDERS = 100, {1: 8, 100: 4}
_LOADED = 200  # alerts a request while there is only to be many of them
_PAGE = 50
_EXPECTED = {"creates_per_second": 400, "batched_creates_per_second": 10_000, "page_of_100k_ms": 15}
_OURS, _THEIRS = "/api/monitoring/alerts", "/api/v2/alerts"
_WRITTEN, _LISTED = "swaggystacks", "scientia_capital"
_numbers = itertools.count()


@dataclass(frozen=True)
class Server:
    """Where alerts go, and what is sent with each request."""

    port: int
    headers: dict[str, str]


class Line:
    """Connections that stay open, one a thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._local = local()

    def send(self, method: str, path: str, body: str | None = None) -> bytes:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        self._local.connection.request(method, path, body, self._server.headers)
        response = self._local.connection.getresponse()
        content: bytes = response.read()
        assert response.status in (200, 201), (response.status, content[:300])
        return content


def ours(number: int) -> str:
    severity = ("critical", "warning", "info")[number % 3]
    return (
        f'{{"alertType":"high_error_rate","severity":"{severity}","message":"API error rate exceeded 5% threshold",'
        f'"endpointId":"endpoint-{number % 7}","modelName":"llama3.1:70b","metadata":{{"errorRate":0.07,'
        f'"threshold":0.05}},"labels":{{"region":"eu","number":"{number}"}}}}'
    )


def theirs(number: int, more: str = "") -> str:
    severity = ("critical", "warning", "info")[number % 3]
    return (
        f'{{"labels":{{"alertname":"high_error_rate","severity":"{severity}","endpoint":"endpoint-{number % 7}",'
        f'"model":"llama3.1:70b","region":"eu","number":"{number}"}},'
        f'"annotations":{{"message":"API error rate exceeded 5% threshold","errorRate":"0.07"}}{more}}}'
    )


def _again(size: int) -> list[int]:
    """Of the numbers of 400 alerts that nobody resolves."""
    return [next(_numbers) % 400 - 400 for _ in range(size)]


class Ours:
    """What is measured of the cockpit."""

    def __init__(self, running: House) -> None:
        headers = {"Authorization": f"Bearer {running.keys[_WRITTEN]}", "Content-Type": "application/json"}
        self.line = Line(Server(running.port, headers))
        self.open: deque[list[str]] = deque()  # the ids of what was raised together

    def raise_some(self, size: int) -> int:
        numbers = list(itertools.islice(_numbers, size))
        if size == 1:
            told = json.loads(self.line.send("POST", _OURS, ours(numbers[0])))
            self.open.append([told["id"]])
        else:
            content = self.line.send("POST", _OURS, f"[{','.join(map(ours, numbers))}]")
            told = json.loads(content)
            assert told["created"] == size
            self.open.append([result["alert"]["id"] for result in told["results"]])
        return size

    def repeat(self, size: int) -> int:
        """Alerts that are open, told of once more."""
        numbers = _again(size)
        self.line.send("POST", _OURS, ours(numbers[0]) if size == 1 else f"[{','.join(map(ours, numbers))}]")
        return size

    def resolve_some(self, size: int) -> int:
        ids = self.open.popleft()
        if size == 1:
            self.line.send("PUT", f"{_OURS}/{ids[0]}/resolve")
        else:
            told = json.loads(self.line.send("POST", f"{_OURS}/bulk", json.dumps({"action": "resolve", "ids": ids})))
            assert told["changed"] == size
        return size


class Theirs:
    """The same of Alertmanager, whose clients resolve an alert by sending it once more with its end."""

    def __init__(self, port: int) -> None:
        self.line = Line(Server(port, {"Content-Type": "application/json"}))
        self.open: deque[list[int]] = deque()

    def raise_some(self, size: int) -> int:
        numbers = list(itertools.islice(_numbers, size))
        self.line.send("POST", _THEIRS, f"[{','.join(map(theirs, numbers))}]")
        self.open.append(numbers)
        return size

    def repeat(self, size: int) -> int:
        self.line.send("POST", _THEIRS, f"[{','.join(map(theirs, _again(size)))}]")
        return size

    def resolve_some(self, size: int) -> int:
        ended = f',"endsAt":"{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}"'
        numbers = self.open.popleft()
        self.line.send("POST", _THEIRS, f"[{','.join(theirs(number, ended) for number in numbers)}]")
        return size


@contextmanager
def alertmanager() -> Iterator[psutil.Process]:
    """Debian's Alertmanager with nobody to notify; its port is `--web.listen-address` of its command line."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        raise SystemExit("no Alertmanager is installed: run `sudo apt-get install -y prometheus-alertmanager`")
    path = Path(tempfile.mkdtemp(prefix="bench-alertmanager-"))
    (path / "config.yml").write_text(
        "global: {resolve_timeout: 24h}\nroute: {receiver: nobody, group_by: [endpoint]}\nreceivers: [{name: nobody}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, f"--config.file={path}/config.yml", f"--storage.path={path}/data", "--cluster.listen-address=",
               "--log.level=error", f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert await_true(lambda: answers(port), 20)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(path, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def port_of(process: psutil.Process) -> int:
    return int(process.cmdline()[-1].rpartition(":")[2])


def written(mine: Ours, other: Theirs, seconds: float, rounds: int) -> dict[str, Any]:
    """Alerts a second by verb and by how many a request, turn by turn."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(rounds):
        for size, senders in _SENDERS.items():
            for name in ("create", "repeat", "resolve"):
                pair = [measured(each, name, size, senders, seconds) for each in (mine, other)]
                found.setdefault((name, size), []).append(pair)
    return {
        f"{name}, {size} a request": {
            "senders": _SENDERS[size],
            "alerts_per_second": round(statistics.median(one for one, _ in rates)),
            "alertmanager_per_second": round(statistics.median(other for _, other in rates)),
            "ratio": round(statistics.median(one / other for one, other in rates), 3),
            "rounds": [[round(rate) for rate in pair] for pair in rates],
        }
        for (name, size), rates in found.items()
    }


def measured(each: Ours | Theirs, name: str, size: int, senders: int, seconds: float) -> float:
    """The rate of one verb; resolving goes on until what was raised before is over."""
    if name == "resolve":
        return emptied(each, size, senders)
    work = each.raise_some if name == "create" else each.repeat
    return together(senders, seconds, lambda: work(size))


def emptied(each: Ours | Theirs, size: int, senders: int) -> float:
    """Everything that was raised before is resolved, as it was raised."""
    count = sum(map(len, each.open))
    began = time.monotonic()
    with ThreadPoolExecutor(senders) as pool:
        assert sum(pool.map(lambda _: each.resolve_some(size), range(len(each.open)))) == count
    return count / (time.monotonic() - began)


def spent_ms(runs: int, work: Callable[[], object]) -> dict[str, float]:
    work()  # warm
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e3)
    return {"median_ms": round(statistics.median(times), 2), "p95_ms": round(percentile(times, 0.95), 2)}


def load(line: Line, path: str, item: Callable[[int], str], count: int) -> None:
    """That many more open alerts, by two senders."""
    with ThreadPoolExecutor(2) as pool:
        parts = [[next(_numbers) for _ in range(min(_LOADED, count - start))] for start in range(0, count, _LOADED)]
        for _ in pool.map(lambda part: line.send("POST", path, f"[{','.join(map(item, part))}]"), parts):
            pass


def signed_in(running: House) -> dict[str, str]:
    """The cookies of the administrator."""
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    address = f"http://127.0.0.1:{running.port}/login/"
    browser.open(address).read()
    token = next(cookie.value for cookie in jar if "csrf" in cookie.name)
    form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token or ""}
    browser.open(address, urllib.parse.urlencode(form).encode()).read()
    assert any("session" in cookie.name for cookie in jar)
    return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)}


def in_process(orderings: Sequence[Any], runs: int) -> dict[str, Any]:
    """A page of open alerts and their sums, without HTTP."""
    from alerts import reading  # noqa: PLC0415 - models load once Django knows the house

    scope = Scope.of(_LISTED)
    wanted = reading.Filter(organizations=(_LISTED,), statuses=reading.OPEN)
    pages = {
        ordering: spent_ms(runs, partial(reading.page, scope, wanted, ordering=ordering, limit=_PAGE))
        for ordering in orderings
    }
    assert len(reading.page(scope, wanted, limit=_PAGE)) == _PAGE
    return {"page": pages, "summary": spent_ms(runs, partial(reading.summary, scope, [_LISTED]))}


def analyze(running: House) -> None:
    """What autovacuum does within a minute: a table whose rows nobody has counted is read by poor plans."""
    with psycopg.connect(admin_url(running), autocommit=True) as admin:
        admin.execute("ANALYZE alerts_alert, alerts_event")


def listed(running: House, other: psutil.Process, counts: Sequence[int], runs: int) -> dict[str, Any]:
    """Pages, sums and the admin's list while that many alerts are open."""
    headers = {"Authorization": f"Bearer {running.keys[_LISTED]}", "Content-Type": "application/json"}
    mine, their = Line(Server(running.port, headers)), Theirs(port_of(other)).line
    cookies = signed_in(running)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    found: dict[str, Any] = {}
    before = 0
    for count in counts:
        load(mine, _OURS, ours, count - before)
        load(their, _THEIRS, theirs, count - before)
        before = count
        analyze(running)
        asked = f"{_OURS}?status=firing,acknowledged&limit={_PAGE}"
        summed = json.loads(get(connection, f"{_OURS}/summary", headers))
        assert summed["total"] == count
        theirs_all = spent_ms(max(runs // 10, 3), partial(their.send, "GET", _THEIRS))
        page = spent_ms(runs, partial(get, connection, asked, headers))
        found[f"{count} open"] = {
            "in_process": in_process(("-firstSeenAt", "severity"), runs),
            "http_page": page,
            "http_summary": spent_ms(runs, partial(get, connection, f"{_OURS}/summary", headers)),
            "admin_list": spent_ms(max(runs // 2, 3), partial(get, connection, "/admin/alerts/alert/", cookies)),
            "alertmanager_list_of_all": theirs_all,
            "alertmanager_list_bytes": len(their.send("GET", _THEIRS)),
            "page_times_as_fast": round(theirs_all["median_ms"] / page["median_ms"], 1),
        }
    return found


def met(found: dict[str, Any], lists: dict[str, Any]) -> dict[str, Any]:
    """The figures that are held against what was expected."""
    last = list(lists.values())[-1]
    seen = {
        "creates_per_second": found["create, 1 a request"]["alerts_per_second"],
        "batched_creates_per_second": found[f"create, {_BATCH} a request"]["alerts_per_second"],
        "page_of_100k_ms": last["in_process"]["page"]["-firstSeenAt"]["median_ms"],
    }
    fine = [seen[name] >= _EXPECTED[name] for name in list(seen)[:2]]
    return {**_EXPECTED, "found": seen, "met": all(fine) and seen["page_of_100k_ms"] <= _EXPECTED["page_of_100k_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--open", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    load_average = os.getloadavg()[0]
    with alertmanager() as other, house(RATE_LIMIT_PER_MINUTE="100000000") as running:
        settle_in(running.data_dir)
        mine, their = Ours(running), Theirs(port_of(other))
        together(4, 1.0, lambda: mine.raise_some(1))  # warm
        emptied(mine, 1, 4)
        analyze(running)
        found = written(mine, their, options.seconds, options.rounds)
        lists = listed(running, other, options.open, options.pages)
        memory = {"ours_peak_rss": running.peak_rss_mib(), "alertmanager_rss": other.memory_info().rss >> 20}
    keep(
        "alerts",
        {
            "load_average": round(load_average, 2),
            "rounds": options.rounds,
            "alertmanager": "keeps alerts in memory; ours are on disk before they are answered",
            "expected": met(found, lists),
            "written": found,
            "listed": lists,
            "memory_mib": memory,
        },
    )


if __name__ == "__main__":
    main()
