"""Samples, counters and people stay exact while many write, are killed, or erase."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.db import OperationalError, connection

from bedrock.identifiers import milliseconds
from monitoring.store.postgres import PostgresStore
from monitoring.store.samples import Increment, Labels, Sample, Trace
from organizations.scope import Scope
from tests import crash_writer
from tests.conftest import url_of
from tests.memory_store import inference
from tests.servers import await_true
from tests.test_store_crash import environment

SWAGGY, SCIENTIA = "swaggystacks", "scientia_capital"
EVERYONE = Scope.system("test")
DAY = timedelta(days=1)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = MIDNIGHT - DAY + timedelta(hours=12)
CALLS, BYTES, LOAD = "cockpit_calls_total", "cockpit_bytes_total", "cockpit_load_ratio"
ROOT = Path(__file__).parent.parent


def host(number: int) -> Labels:
    return (("host", str(number)),)


def sample(family: str, labels: Labels, second: float, value: float, source: str = "live") -> Sample:
    at_ms = milliseconds(START + timedelta(seconds=second))
    return Sample(organization=SWAGGY, family=family, labels=labels, at_ms=at_ms, value=value, source=source)


def increment(labels: Labels, second: float, amount: float, source: str = "live") -> Increment:
    at_ms = milliseconds(START + timedelta(seconds=second))
    return Increment(organization=SWAGGY, family=CALLS, labels=labels, at_ms=at_ms, amount=amount, source=source)


def trace(family: str, **changes: Any) -> Trace:
    return Trace(
        **{"organization": SWAGGY, "family": family, "start": MIDNIGHT - DAY, "end": MIDNIGHT + DAY, **changes}
    )


def all_at_once(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            ready.wait(10)
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_many_writers_of_the_same_series_lose_nothing_and_never_lock_each_other_out(database: str) -> None:
    writers, batches, hosts = 5, 12, 8

    def write(number: int) -> Callable[[], None]:
        def work() -> None:
            store, chance = PostgresStore(), random.Random(number)
            for batch in range(batches):
                places = chance.sample(range(hosts), hosts)  # each in an order of its own
                second = chance.uniform(0, 600)
                samples = [sample(LOAD, host(place), number + writers * (batch + 100 * place), 1.0) for place in places]
                store.observe(EVERYONE, samples, [increment(host(place), second, 0.5) for place in places],
                              now=datetime.now(UTC))  # fmt: skip

        return work

    all_at_once(*map(write, range(writers)))
    store, times = PostgresStore(), writers * batches
    assert {level.labels: level.value for level in store.counters(EVERYONE)} == {
        host(place): times * 0.5 for place in range(hosts)
    }
    for step in (60, 3600):
        found = store.history(EVERYONE, [trace(LOAD), trace(CALLS)], step_seconds=step)
        counts = [
            {labels: sum(span.count for _, span in steps) for labels, steps in answer.items()} for answer in found
        ]
        assert counts == [{host(place): times for place in range(hosts)}] * 2
        assert sum(span.total for steps in found[1].values() for _, span in steps) == times * hosts * 0.5


def test_one_running_total_read_by_several_grows_as_much_as_it_did(database: str) -> None:
    PostgresStore().observe(EVERYONE, [sample(BYTES, host(1), 0, 1000.0)], now=datetime.now(UTC))
    seconds = list(range(1, 121))
    random.Random(5).shuffle(seconds)

    def write(mine: Sequence[int]) -> Callable[[], None]:
        def work() -> None:
            for pair in zip(mine[::2], mine[1::2], strict=True):
                samples = [sample(BYTES, host(1), second, 1000.0 + 7 * second) for second in pair]
                PostgresStore().observe(EVERYONE, samples, now=datetime.now(UTC))

        return work

    # Each moment is read by two, as when two beats gather at once.
    all_at_once(*(write(seconds[place::2]) for place in (0, 1, 0, 1)))
    (answer,) = PostgresStore().history(EVERYONE, [trace(BYTES)], step_seconds=60)
    assert sum(span.total for _, span in answer[host(1)]) == 7.0 * 120
    assert sum(span.count for _, span in answer[host(1)]) == 121


def test_the_cap_is_exact_for_newcomers_of_several_processes(database: str) -> None:
    def write(number: int) -> Callable[[], None]:
        def work() -> None:
            for part in range(4):
                samples = [sample(LOAD, host(1000 * number + 200 * part + place), 1, 1.0) for place in range(200)]
                PostgresStore().observe(EVERYONE, samples, now=datetime.now(UTC))

        return work

    all_at_once(*map(write, range(3)))
    store = PostgresStore()
    levels = store.levels(EVERYONE, since=START)
    assert len(levels) == 2_001
    assert [level.labels for level in levels].count((("host", "__other__"),)) == 1
    assert [level.value for level in store.counters(EVERYONE)] == [3 * 800 - 2_000]


def test_erasing_a_source_takes_people_calls_and_samples_together(database: str) -> None:
    """Whatever came before is gone whole and what comes after is whole: people are those of the calls that are left."""
    ended = threading.Event()

    def write(number: int) -> Callable[[], None]:
        def work() -> None:
            store, chance = PostgresStore(), random.Random(number)
            for _ in range(60):
                source = chance.choice(("demo", "demo", "live"))
                people = [
                    inference(START, user_hash=str(chance.randrange(12)), source=source, organization=organization)
                    for organization in (SWAGGY, SCIENTIA)
                ]
                counts = [increment(host(place), 1, 1.0, source) for place in range(3)]
                for attempt in range(50):
                    try:
                        store.append(EVERYONE, people, now=datetime.now(UTC))
                        store.observe(EVERYONE, [], counts, now=datetime.now(UTC))
                        break
                    except OperationalError:  # just erased, or waited too long: the next try finds it new
                        assert attempt < 49
            ended.set()

        return work

    def erase() -> None:
        store = PostgresStore()
        while not ended.is_set():
            store.erase(EVERYONE, source="demo")
            store.fold()

    all_at_once(*map(write, range(3)), erase)
    with psycopg.connect(url_of(database)) as admin:
        people, calls = (
            set(admin.execute(f"SELECT DISTINCT organization_id, user_hash, source FROM {table}").fetchall())
            for table in ("monitoring_user_day", "monitoring_inference")
        )
        assert people == calls
        orphans = admin.execute(
            "SELECT count(*) FROM monitoring_sample_hour LEFT JOIN monitoring_series ON id = series_id WHERE id IS NULL"
        ).fetchone()
        assert orphans == (0,)
        totals = admin.execute(
            "SELECT value, (SELECT sum(total) FROM monitoring_sample_minute WHERE series_id = id) "
            "FROM monitoring_series"
        ).fetchall()
    assert totals
    assert all(value == total for value, total in totals), totals
    PostgresStore().erase(EVERYONE, source="demo")
    assert PostgresStore().history(EVERYONE, [trace(CALLS, sources=("demo",))], step_seconds=60) == [{}]


def acknowledged(ledger: Path, times: int) -> bool:
    return ledger.exists() and ledger.read_text().count("acknowledged") >= times


def test_a_batch_is_kept_whole_or_not_at_all_under_kill_9(database: str, tmp_path: Path) -> None:
    ledger, chance = tmp_path / "ledger", random.Random(3)
    command = [sys.executable, "-m", "tests.crash_writer", str(ledger), str(milliseconds(START))]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(database, tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as forker:
        assert forker.stdin is not None
        assert forker.stdout is not None
        for number in range(12):
            pids = []
            for name in ("a", "b"):
                forker.stdin.write(f"observe {name}{number}\n")
                forker.stdin.flush()
                pids.append(int(forker.stdout.readline()))
            assert await_true(partial(acknowledged, ledger, 3 * number + 3), 60)
            time.sleep(chance.uniform(0, 0.1))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        forker.stdin.close()
    time.sleep(0.3)  # for the server to roll back what the last ones left open
    lines = [line.split() for line in ledger.read_text().splitlines()]
    words = Counter(word for word, _ in lines)
    assert words["acknowledged"] >= 36
    store = PostgresStore()
    counters = store.counters(EVERYONE)
    assert len(counters) == crash_writer.OBSERVED
    (kept,) = {level.value for level in counters}  # all grew in every batch
    assert words["acknowledged"] <= kept <= words["began"]
    for organization in (SWAGGY, SCIENTIA):
        asked = [
            trace(family, organization=organization, by=by)
            for family, by in (("cockpit_crash_total", None), ("cockpit_crash_level", ("name",)),
                               ("cockpit_crash_seen_total", ("name",)))
        ]  # fmt: skip
        for step in (60, 3600):
            counted, levels, seen = store.history(EVERYONE, asked, step_seconds=step)
            assert {sum(span.total for _, span in steps) for steps in counted.values()} == {kept}
            assert sum(span.count for steps in levels.values() for _, span in steps) == kept * crash_writer.OBSERVED / 2
            grown = {labels: sum(span.total for _, span in steps) for labels, steps in seen.items()}
            batches = {labels: sum(span.count for _, span in steps) for labels, steps in seen.items()}
            half = crash_writer.OBSERVED / 2
            assert grown == {labels: count - half for labels, count in batches.items()}  # the first is no growth
