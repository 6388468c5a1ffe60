"""How long a dashboard's data take over a month of many inferences, through HTTP and in process.

    python -m bench.dashboard [--inferences 10000000] [--runs 30] [--writer 2000] [--processes CORES]

The month: so many inferences over 30 days of one organization, made by the demo's own dice (tokens of a real trace,
durations that follow from them, failures, a day's rhythm) for 20 models of 4 providers, recorded by the one write path
from several processes and folded. A VACUUM ANALYZE stands for what autovacuum does in a month.

Every window, compared with the previous one and with none, is then asked for in turns: through HTTP, where the seconds
move on between two equal requests, so that no answer comes from the cache of that second; and `integration.answer` in
process, of which the part spent in SQL is told apart. Then all of it again beside a writer that records so many
inferences a second over HTTP, so that deltas are always there. Everything runs as it ships.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from django.db import connection
from django.http import QueryDict
from django.utils.module_loading import import_string

from bench.rig import House, admin_url, get, house, keep, percentile, settle_in
from cockpit.demo.calls import Telling, between, hour_of, hour_of_calls
from cockpit.demo.profiles import PROFILES, Model, Profile
from monitoring.ingest import record_inferences
from organizations.scope import Scope

_ORGANIZATION = "swaggystacks"
_DAYS, _HOUR = 30, timedelta(hours=1)
_BATCH = 5_000  # as many as a request may hold
_CALLS_A_SESSION, _WORKDAYS = 3.125, 25  # of the demo: on average; in thirty days, weekends as what they count
_WINDOWS = ("15m", "1h", "24h", "7d", "30d", "90d")
_COMPARISONS = ("previous", "none")
_EXPECTED_30D_MS = 50
_PROVIDERS = ("vllm", "openai", "anthropic", "mistral")
_TABLES = (
    "inference", "rollup_minute", "rollup_hour", "rollup_day", "sum_minute", "sum_hour", "sum_day", "rollup_delta",
    "seen_name", "idempotency_key",
)  # fmt: skip

View = tuple[str, str]  # window, compare


@cache
def profile(inferences: int) -> Profile:
    """The demo's first organization with 20 models, busy enough for so many inferences in thirty days."""
    models = tuple(
        Model(
            name=f"model-{number:02d}",
            provider=_PROVIDERS[number % 4],
            endpoints=tuple(f"endpoint-{number:02d}-{place}" for place in range(1 + number % 3)),
            share=1 / (number + 1),  # a few models do most of it
            input_price=Decimal("0.2") * (1 + number % 7),
            output_price=Decimal("0.8") * (1 + number % 7),
            overhead_ms=60 + 35 * (number % 9),
            write_ms=8 + number % 17,
        )
        for number in range(20)
    )
    usual = PROFILES[0]
    return Profile(
        organization=_ORGANIZATION,
        models=models,
        sessions=inferences / _CALLS_A_SESSION / _WORKDAYS,
        weekend=usual.weekend,
        hours=usual.hours,
        users=400,
        error_rate=0.02,
    )


def load_hour(inferences: int, hour: datetime, now: datetime) -> int:
    """Record one hour of the month in this process, which has settled in; how many that were."""
    calls = hour_of_calls(profile(inferences), hour, zone=ZoneInfo("UTC"), telling=Telling(now))
    calls = between(calls, hour, now)
    for call in calls:
        call.source = "live"
    for first in range(0, len(calls), _BATCH):
        record_inferences(
            scope=Scope.of(_ORGANIZATION),
            organization=_ORGANIZATION,
            items=calls[first : first + _BATCH],
            now=now,
            backfill=True,
        )
    return len(calls)


def load_month(running: House, inferences: int, processes: int) -> dict[str, Any]:
    """Record the month and wait until it is folded."""
    now = datetime.now(UTC)
    hours = [hour_of(now) - number * _HOUR for number in range(24 * _DAYS)]
    began, loaded, told = time.monotonic(), 0, 0
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=settle_in, initargs=(running.data_dir,)
    ) as pool:
        for count in pool.map(load_hour, itertools.repeat(inferences), hours, itertools.repeat(now)):
            loaded += count
            if loaded * 20 // inferences > told:
                told = loaded * 20 // inferences
                pace = loaded / (time.monotonic() - began)
                print(f"  {loaded:,} recorded, {pace:,.0f}/s, {_deltas(running):,} deltas to fold", flush=True)
    recorded = time.monotonic() - began
    while _deltas(running):
        time.sleep(0.5)
    folded = time.monotonic() - began
    with psycopg.connect(admin_url(running), autocommit=True) as admin:
        admin.execute("VACUUM (ANALYZE)")
    return {
        "inferences": loaded,
        "processes": processes,
        "per_second": round(loaded / recorded),
        "seconds": round(recorded, 1),
        "seconds_until_folded": round(folded, 1),
    }


def _deltas(running: House) -> int:
    with psycopg.connect(admin_url(running), autocommit=True) as admin:
        [count] = admin.execute("SELECT count(*) FROM monitoring_rollup_delta").fetchone() or [0]
        return int(count)


def sizes(running: House) -> dict[str, Any]:
    """MiB of the database and of its large tables (indexes included), and the rows of the rollups."""
    size = (
        "SELECT coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size(%s::regclass))::bigint "
        "FROM pg_partition_tree(%s::regclass)"
    )
    with psycopg.connect(admin_url(running), autocommit=True) as admin:
        [whole] = admin.execute("SELECT pg_database_size('cockpit')").fetchone() or [0]
        tables, rows = {}, {}
        for table in _TABLES:
            name = f"monitoring_{table}"
            [used] = admin.execute(size, [name, name]).fetchone() or [0]
            tables[table] = round(used / 2**20, 1)
        for grain in ("minute", "hour", "day"):
            [rows[grain]] = admin.execute(f"SELECT count(*) FROM monitoring_rollup_{grain}").fetchone() or [0]
    return {"database_mib": round(whole / 2**20, 1), "tables_mib": tables, "rollup_rows": rows}


def _in_turns(views: Sequence[View], runs: int, ask: Callable[[View], float]) -> dict[View, list[float]]:
    """Milliseconds of `runs` questions for each view; two equal ones never fall into one second."""
    found: dict[View, list[float]] = {view: [] for view in views}
    for _ in range(runs):
        second = int(time.time())
        for view in views:
            found[view].append(ask(view))
        while int(time.time()) == second:
            time.sleep(0.01)
    return found


def over_http(running: House, views: Sequence[View], runs: int) -> dict[View, list[float]]:
    headers = {"Authorization": f"Bearer {running.keys[_ORGANIZATION]}"}
    kept = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)

    def ask(view: View) -> float:
        began = time.perf_counter()
        get(kept, f"/api/monitoring/dashboard?window={view[0]}&compare={view[1]}", headers)
        return (time.perf_counter() - began) * 1000

    _in_turns(views, 1, ask)  # warm
    return _in_turns(views, runs, ask)


class InProcess:
    """`integration.answer` in this process, with what of it is SQL (rows fetched into this process included)."""

    def __init__(self) -> None:
        self._answer = import_string("cockpit.dashboard.integration.answer")
        self._parse = import_string("cockpit.dashboard.windows.parse")
        self._organization = import_string("organizations.models.Organization").objects.get(pk=_ORGANIZATION)
        self._sql_ms, self._rows = 0.0, 0
        self.sql: dict[View, list[float]] = {}
        self.rows: dict[View, int] = {}

    def _timed(self, execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, parameters, many, context)
        finally:
            self._sql_ms += (time.perf_counter() - began) * 1000
            self._rows += max(0, context["cursor"].rowcount)

    def ask(self, view: View) -> float:
        self._sql_ms, self._rows = 0.0, 0
        now = datetime.now(UTC).replace(microsecond=0)
        parsed = self._parse(QueryDict(f"window={view[0]}&compare={view[1]}"), now)
        began = time.perf_counter()
        with connection.execute_wrapper(self._timed):
            self._answer(Scope.of(_ORGANIZATION), self._organization, parsed, now)
        took = (time.perf_counter() - began) * 1000
        self.sql.setdefault(view, []).append(self._sql_ms)
        self.rows[view] = self._rows
        return took

    def measure(self, views: Sequence[View], runs: int) -> dict[View, list[float]]:
        _in_turns(views, 1, self.ask)
        self.sql.clear()
        return _in_turns(views, runs, self.ask)


def _write(port: int, key: str, per_second: int, size: int = 200) -> None:
    """Record batches at an even pace until the process is ended."""
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    number, due = 0, time.monotonic()
    while True:
        items = [
            {
                "modelName": f"model-{(number + place) % 20:02d}",
                "provider": _PROVIDERS[(number + place) % 4],
                "endpointId": f"endpoint-{(number + place) % 20:02d}-0",
                "durationMs": 100 + (number + place) * 37 % 2_000,
                "inputTokens": 900,
                "outputTokens": 60,
                "cost": "0.0012",
            }
            for place in range(size)
        ]
        kept.request("POST", "/api/monitoring/dashboard/inference", json.dumps(items), headers)
        response = kept.getresponse()
        assert response.status == 201, response.read()
        response.read()
        number += size
        due += size / per_second
        time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def _writer(running: House, per_second: int) -> Iterator[None]:
    """A busy writer beside what is measured; it ends with it."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write, args=(running.port, running.keys[_ORGANIZATION], per_second), daemon=True)
    process.start()
    time.sleep(3)
    try:
        yield
        assert process.is_alive(), "the writer failed"
    finally:
        process.kill()
        process.join()


def measure(running: House, views: Sequence[View], runs: int) -> list[dict[str, Any]]:
    """Every view by both roads, in milliseconds."""
    inside = InProcess()
    http_ms, answer_ms = over_http(running, views, runs), inside.measure(views, runs)
    return [
        {
            "window": view[0],
            "compare": view[1],
            "http_ms": _in_words(http_ms[view]),
            "answer_ms": _in_words(answer_ms[view]),
            "of_it_sql_ms": round(statistics.median(inside.sql[view]), 1),
            "rows": inside.rows[view],
        }
        for view in views
    ]


def _in_words(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "p95": round(percentile(values, 0.95), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inferences", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--writer", type=int, default=2_000, help="inferences a second")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    views = list(itertools.product(_WINDOWS, _COMPARISONS))
    with house(RATE_LIMIT_PER_MINUTE="100000000") as running:
        loading = load_month(running, options.inferences, options.processes)
        print(f"  {json.dumps(loading)}", flush=True)
        size = sizes(running)
        settle_in(Path(running.data_dir))
        quiet = measure(running, views, options.runs)
        with _writer(running, options.writer):
            beside = measure(running, views, options.runs)
        connection.close()
    longest = max(one["http_ms"]["median"] for one in quiet if one["window"] == "30d")
    keep(
        "dashboard",
        {
            "runs": options.runs,
            "load": loading,
            "size": size,
            "expected": {"30d_http_median_ms": _EXPECTED_30D_MS, "met": longest <= _EXPECTED_30D_MS},
            "quiet": quiet,
            f"beside a writer of {options.writer} a second": beside,
        },
    )


if __name__ == "__main__":
    main()
