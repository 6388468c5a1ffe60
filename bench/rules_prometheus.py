"""A real Prometheus with the rules of bench.rules: an hour of history, scraped and evaluated every 15 s as it ships."""

import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.rules_load import CALM, DEPLOYMENTS, WRONG, Asked, Minute, expression, wrong
from tests.house import _free_port
from tests.servers import await_true

STEP = 15  # seconds between scrapes, and between evaluations
_HISTORY = 65 * 60
_CONFIGURED = f"""
global: {{scrape_interval: {STEP}s, evaluation_interval: {STEP}s}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: calls, static_configs: [{{targets: ["127.0.0.1:PORT"]}}]}}]
"""
_LABELS = 'job="calls",instance="127.0.0.1:{port}",model="{one.model}",endpoint="{one.endpoint}"'
# What is shown of each deployment: its family and type, its name, more labels, and which of its counters it is.
_FAMILIES = (
    ("calls", "counter", (("calls_total", ',status="success"', 0), ("calls_total", ',status="error"', 1))),
    ("call_seconds", "summary", (("call_seconds_sum", "", 2), ("call_seconds_count", "", 3))),
    ("call_cost", "counter", (("call_cost_total", "", 4),)),
    ("call_output_tokens", "counter", (("call_output_tokens_total", "", 5),)),
)


class Counters:
    """Running totals of every deployment, from one scrape to the next."""

    def __init__(self) -> None:
        self.held = [[0.0] * 6 for _ in DEPLOYMENTS]

    def advance(self, bad: set[int]) -> None:
        """A step on: a quarter of a calm minute, or for those that go wrong all of a bad one."""
        for place, held in enumerate(self.held):
            more = _grown(WRONG, 1.0) if place in bad else _grown(CALM, STEP / 60)
            self.held[place] = [before + each for before, each in zip(held, more, strict=True)]

    def lines(self, family: Any, labels: Sequence[str], at: str = "") -> Iterator[str]:
        for held, text in zip(self.held, labels, strict=True):
            for name, more, which in family[2]:
                yield f"{name}{{{text}{more}}} {held[which]!r}{at}\n"


def _grown(each: Minute, share: float) -> tuple[float, ...]:
    calls = each.calls * share
    return (calls - each.failed * share, each.failed * share, calls * each.seconds, calls, calls * float(each.cost),
            calls * each.tokens)  # fmt: skip


def _serve(pipe: Connection) -> None:
    """The exporter: each scrape is a step further, and in each two deployments go wrong."""
    counters, steps = _calm_hour()[-1][1], itertools.count()
    labels = [f'model="{one.model}",endpoint="{one.endpoint}"' for one in DEPLOYMENTS]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            counters.advance(wrong(next(steps)))
            told = (
                f"# TYPE {family[0]} {family[1]}\n{''.join(counters.lines(family, labels))}" for family in _FAMILIES
            )
            body = "".join(told).replace("# TYPE calls ", "# TYPE calls_total ").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def _calm_hour() -> list[tuple[int, Counters]]:
    """The counters at each step before now, by how many seconds before."""
    found: list[tuple[int, Counters]] = []
    counters = Counters()
    for before in range(_HISTORY, 0, -STEP):
        counters.advance(set())
        kept = Counters()
        kept.held = list(counters.held)
        found.append((before, kept))
    return found


def _write_history(path: Path, port: int, now: float) -> None:
    labels = [_LABELS.format(port=port, one=one) for one in DEPLOYMENTS]
    steps = _calm_hour()
    with path.open("w") as out:
        for family in _FAMILIES:
            out.write(f"# TYPE {family[0]} {family[1]}\n")
            for before, counters in steps:
                out.writelines(counters.lines(family, labels, f" {now - before:.3f}"))
        out.write("# EOF\n")


@contextmanager
def exporter() -> Iterator[int]:
    """Its port; a process of its own, so that nobody waits for it."""
    mine, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield mine.recv()
    finally:
        process.kill()
        process.join()


@contextmanager
def prometheus(rules: Sequence[Asked]) -> Iterator[int]:
    """Its port, once it serves; it knows the last hour, and has a rule for each of those given, all in one group."""
    programs = {name: shutil.which(name) for name in ("prometheus", "promtool")}
    if None in programs.values():
        raise SystemExit("no Prometheus is installed: run `sudo apt-get install -y --no-install-recommends prometheus`")
    path = Path(tempfile.mkdtemp(prefix="bench-prometheus-"))
    with exporter() as source:
        (path / "prometheus.yml").write_text(_CONFIGURED.replace("PORT", str(source)))
        each = "".join(f"  - {{alert: bench_{one.number}, expr: {json.dumps(expression(one))}}}\n" for one in rules)
        (path / "rules.yml").write_text(f"groups:\n- name: bench\n  rules:\n{each}")
        _write_history(path / "history.txt", source, time.time())
        command = [
            programs["promtool"],
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            path / "history.txt",
            path / "data",
        ]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        port = _free_port()
        command = [programs["prometheus"], f"--config.file={path}/prometheus.yml", f"--storage.tsdb.path={path}/data",
                   f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
        process = subprocess.Popen([str(word) for word in command])
        try:
            assert await_true(lambda: _answers(port), 60)
            yield port
        finally:
            process.terminate()
            process.wait(30)
            shutil.rmtree(path, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        _get(port, "/-/ready")
    except OSError:
        return False
    return True


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        content: bytes = answer.read()
    return content.decode()


def measured(rules: Sequence[Asked], evaluations: int) -> dict[str, Any]:
    """How long evaluations took by its own account, the first two left out, and how many alerts fired in the end."""
    with prometheus(rules) as port:
        found: dict[float, float] = {}
        deadline = time.monotonic() + 60 + (evaluations + 3) * 4 * STEP
        while len(found) < evaluations + 2 and time.monotonic() < deadline:
            time.sleep(1)
            told = _get(port, "/metrics")
            if (at := _told(told, "last_evaluation_timestamp_seconds")) > 0:
                found[at] = _told(told, "last_duration_seconds")
        assert len(found) >= evaluations + 2, "it did not evaluate so often"
        assert _told(told, "rules") == len(rules)
        assert re.search(r"(?m)^prometheus_rule_evaluation_failures_total\{.*\} 0$", told)
        firing = _asked(port, 'count(ALERTS{alertstate="firing"})')
    times = [round(took * 1000, 2) for _, took in sorted(found.items())][2:]
    return {"evaluations_ms": times, "firing": firing}


def _told(text: str, name: str) -> float:
    found = re.search(rf"(?m)^prometheus_rule_group_{name}\{{.*\}} (\S+)$", text)
    return float(found[1]) if found else 0.0


def _asked(port: int, query: str) -> int:
    answer = json.loads(_get(port, f"/api/v1/query?{urllib.parse.urlencode({'query': query})}"))
    return int(answer["data"]["result"][0]["value"][1]) if answer["data"]["result"] else 0
