"""A scrape: the cost of a series' text against prometheus_client in the same run, and of whole answers over HTTP.

    python -m bench.scrape [--runs 15] [--series 10000] [--days 365] [--models 60]

`text`: both write the same series, from what each is given ready-made, turn by turn. Ours remembers labels from one
scrape to the next, and what is expected is held against that; `text_first` is a process's first scrape. `http`: a
running cockpit whose two organizations have that many models, each with inferences on every day; the first scrape
reads all days, the next ones those that are open.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as TheirMetric

from bench.rig import ROOT, House, get, house, keep, percentile
from monitoring import openmetrics
from monitoring.families import BY_NAME
from monitoring.openmetrics import OPENMETRICS, TEXT, Metric, Row, block
from tests.servers import clean_environment

_STATUSES = ("success", "error", "timeout", "cancelled", "rate_limited")
_EXPECTED_US = 1.0


def rows(series: int) -> dict[str, list[Row]]:
    """Half counters of inferences by organization, model, provider and status, half readings of many hosts."""
    counters: list[Row] = []
    levels: list[Row] = []
    for number in range(series // 2):
        model, status = divmod(number, len(_STATUSES))
        labels = (
            ("organization", f"organization_{model % 10}"), ("model", f"model-{model}:70b"), ("provider", "ollama"),
            ("status", _STATUSES[status]),
        )  # fmt: skip
        counters.append(("", labels, number * 7_919))
        host = (("organization", "shared"), ("host", f"host-{number // 64}"), ("core", str(number % 64)))
        levels.append(("", host, (number * 37 % 1_000) / 997))
    return {"cockpit_inferences_total": counters, "cockpit_inference_retry_ratio": levels}


class Theirs:
    """The same series as prometheus_client holds them, collected beforehand."""

    def __init__(self, found: dict[str, list[Row]]) -> None:
        self.families: list[TheirMetric] = []
        for name, series in found.items():
            names = [label for label, _ in series[0][1]]
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(name, BY_NAME[name].help, labels=names)
            for _, labels, value in series:
                family.add_metric([value for _, value in labels], float(value))
            self.families.append(family)

    def collect(self) -> list[TheirMetric]:
        return self.families


def written(found: dict[str, list[Row]], form: str) -> bytes:
    return "".join(block(Metric(BY_NAME[name], series), form) for name, series in found.items()).encode()


def first(found: dict[str, list[Row]]) -> bytes:
    """As a process does that remembers no labels yet."""
    openmetrics._pairs.clear()
    return written(found, TEXT)


def spent(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def told(runs: Sequence[float], series: int) -> dict[str, float]:
    middle = statistics.median(runs)
    return {
        "median_ms": round(middle * 1e3, 2),
        "p95_ms": round(percentile(runs, 0.95) * 1e3, 2),
        "us_a_series": round(middle * 1e6 / series, 3),
    }


def text(series: int, runs: int) -> dict[str, Any]:
    found = rows(series)
    theirs = CollectorRegistry()
    theirs.register(Theirs(found))
    works: dict[str, Callable[[], bytes]] = {
        "text_first": lambda: first(found),
        "text": lambda: written(found, TEXT),
        "openmetrics": lambda: written(found, OPENMETRICS),
        "generate_latest": lambda: generate_latest(theirs),
    }
    sizes = {name: len(work()) for name, work in works.items()}  # and warm
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            times[name].append(spent(work))
    ratio = statistics.median(a / b for a, b in zip(times["generate_latest"], times["text"], strict=True))
    return {
        "series": series,
        **{name: {**told(times[name], series), "bytes": sizes[name]} for name in works},
        "times_as_fast": round(ratio, 2),
    }


def key(running: House, *more: str) -> str:
    command = [sys.executable, "manage.py", "apikey", "create", *more]
    environment = clean_environment(COCKPIT_DATA_DIR=str(running.data_dir))
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return made.stdout.strip()


def load(running: House, organization: str, days: int, models: int) -> int:
    """An inference of every model with each of two statuses on every day; how many there are."""
    writer = key(running, "--organization", organization, "--scopes", "ingest:write,ingest:backfill")
    now = datetime.now(UTC)
    items = [
        {
            "modelName": f"model-{model}:70b", "provider": "ollama", "durationMs": 80 + model * 37, "cost": "0.001",
            "inputTokens": 100, "outputTokens": 20, "timeToFirstTokenMs": 30, "status": status, "userId": "ada",
            "occurredAt": (now - timedelta(days=day)).isoformat(),
        }
        for day in range(days) for model in range(models) for status in ("success", "error")
    ]  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", running.port)
    headers = {"Authorization": f"Bearer {writer}", "Content-Type": "application/json"}
    for start in range(0, len(items), 2_000):
        body = json.dumps(items[start : start + 2_000])
        connection.request("POST", "/api/monitoring/dashboard/inference", body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 201, answer[:300]
    connection.close()
    return len(items)


def over_http(runs: int, days: int, models: int) -> dict[str, Any]:
    with house(RATE_LIMIT_PER_MINUTE="100000000") as running:
        inferences = sum(load(running, name, days, models) for name in ("swaggystacks", "scientia_capital"))
        time.sleep(12)  # folded, and every probe asked once
        reader = key(running, "--organization", "shared", "--platform", "--scopes", "metrics:read")
        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        headers = {"Authorization": f"Bearer {reader}", "Accept-Encoding": "gzip"}
        get(connection, "/api/health", headers)
        first = spent(lambda: get(connection, "/api/metrics", headers))
        times = [spent(lambda: get(connection, "/api/metrics", headers)) for _ in range(runs)]
        without = [spent(lambda: get(connection, "/api/metrics?exclude=business", headers)) for _ in range(runs)]
        body = get(connection, "/api/metrics", {"Authorization": headers["Authorization"]})
        packed = len(get(connection, "/api/metrics", headers))
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    return {
        "inferences": inferences, "days": days, "models": models, "series": series, "bytes": len(body),
        "bytes_packed": packed, "first_ms": round(first * 1e3, 1), "next": told(times, series),
        "next_without_business": {"median_ms": round(statistics.median(without) * 1e3, 2)},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("runs", 15), ("series", 10_000), ("days", 365), ("models", 60)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    found = text(options.series, options.runs)
    expected = {"us_a_series": _EXPECTED_US, "met": found["text"]["us_a_series"] <= _EXPECTED_US}
    keep(
        "scrape",
        {
            "runs": options.runs,
            "expected": expected,
            "text": found,
            "http": over_http(options.runs, options.days, options.models),
        },
    )


if __name__ == "__main__":
    main()
