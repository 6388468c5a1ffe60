"""Exact whatever is killed: writers and folders under kill -9, folders that race; a delta table that stays small."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest
from django.db import connection, transaction

from bedrock import identifiers
from monitoring.store.base import Inference, Query, Summary
from monitoring.store.postgres import PostgresStore
from organizations.scope import Scope
from tests import crash_writer
from tests.conftest import as_url, url_of
from tests.memory_store import inference, summed
from tests.servers import await_true, clean_environment

ROOT = Path(__file__).parent.parent
SCOPE = Scope.of(*crash_writer.ORGANIZATIONS)
DAY = timedelta(days=1)
WRITERS, FOLDERS = 3, 2


def environment(database: str, data_dir: Path) -> dict[str, str]:
    return clean_environment(
        DJANGO_SETTINGS_MODULE="cockpit.settings",
        DATABASE_URL=as_url(database, "cockpit_app"),
        REDIS_URL="redis://127.0.0.1:1/0",
        SECRET_KEY="a key of the crash tests",
        KEY_PEPPER="a pepper of the crash tests",
        COCKPIT_DATA_DIR=str(data_dir),
        LOG_LEVEL="error",
    )


@dataclass
class Rig:
    """The processes, the ledger they keep, and the hand that kills them."""

    forker: subprocess.Popen[str]
    environment: dict[str, str]
    ledger: Path
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    alive: list[tuple[str, int]] = field(default_factory=list)
    started: int = 0
    kills: Counter[str] = field(default_factory=Counter)

    def start(self, kind: str) -> None:
        self.started += 1
        assert self.forker.stdin is not None
        assert self.forker.stdout is not None
        self.forker.stdin.write("fold\n" if kind == "fold" else f"write w{self.started}\n")
        self.forker.stdin.flush()
        self.alive.append((kind, int(self.forker.stdout.readline())))

    def kill(self, victim: tuple[str, int]) -> None:
        kind, pid = victim
        self.alive.remove(victim)
        # A process that had ended by itself would mean that it failed, and that this kill proves nothing.
        assert psutil.pid_exists(pid), f"{kind} ended before it was killed"
        os.kill(pid, signal.SIGKILL)
        self.kills[kind] += 1

    def kill_at_random(self, times: int) -> None:
        """Kill one after the other, each at a random moment of its life, and put another in its place."""
        for kind in ["write"] * WRITERS + ["fold"] * FOLDERS:
            self.start(kind)
        time.sleep(0.5)
        for _ in range(times):
            time.sleep(self.chance.uniform(0.02, 0.15))
            victim = self.chance.choice(self.alive)
            self.kill(victim)
            self.start(victim[0])
        for victim in self.alive[:]:
            self.kill(victim)

    def read_ledger(self) -> tuple[list[str], set[str]]:
        """The names of the batches begun, and of those acknowledged."""
        lines = [line.split() for line in self.ledger.read_text().splitlines()]
        begun = [name for word, name in lines if word == "began"]
        return begun, {name for word, name in lines if word == "acknowledged"}


@pytest.fixture
def rig(database: str, tmp_path: Path) -> Iterator[Rig]:
    ledger = tmp_path / "ledger"
    variables = environment(database, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash_writer", str(ledger), str(SINCE_MS)],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as forker:
        found = Rig(forker, variables, ledger)
        try:
            yield found
        finally:
            forker.kill()  # what it forked ends with it


SINCE_MS = identifiers.milliseconds(datetime.now(UTC)) - crash_writer.SPAN_MS
EVERYTHING = {
    "start": datetime.fromtimestamp(SINCE_MS // 1000, UTC).replace(second=0, microsecond=0) - DAY,
    "end": datetime.now(UTC).replace(second=0, microsecond=0) + DAY,
}


@cache
def batch(name: str) -> list[Inference]:
    return crash_writer.batch(name, SINCE_MS)


def await_no_backends(database: str) -> None:
    """A backend may still commit what its killed client had sent."""
    connection.close()
    with psycopg.connect(url_of("postgres"), autocommit=True) as admin:
        # Of clients alone: autovacuum looks after this database too, and takes its time on a busy machine.
        busy = "SELECT pid, state, query FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        assert await_true(lambda: not admin.execute(busy, [database]).fetchall(), 60), admin.execute(
            busy, [database]
        ).fetchall()


def counts_by_batch(query: str) -> dict[str, int]:
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(query)
        return dict(cursor.fetchall())


def identifiers_in(column: str, table: str) -> list[UUID]:
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} ORDER BY 1")
        return [identifier for (identifier,) in cursor.fetchall()]


def check_totals(names: list[str] | set[str]) -> None:
    """Totals, by organization and model, are exactly those of the batches named."""
    groups: dict[tuple[str, str], list[Inference]] = {}
    for name in names:
        for one in batch(name):
            groups.setdefault((one.organization, one.model), []).append(one)
    expected = {group: summed(rows) for group, rows in groups.items()}
    query = Query(**EVERYTHING, by=("organization_id", "model"), fields=frozenset(Summary.__struct_fields__))
    assert PostgresStore().totals(SCOPE, [query])[0] == expected


def check_rollups_equal_rows() -> None:
    """Every grain for itself adds up to the single rows, group by group, to the last decimal."""
    columns = "organization_id, model, endpoint, status"
    sums = ("inferences", "retries", "input_tokens", "cost", "unpriced", "duration_us", "ttft_us")
    rows = (
        f"SELECT {columns}, count(*), count(*) FILTER (WHERE attempt > 1), sum(input_tokens), coalesce(sum(cost), 0), "
        "count(*) FILTER (WHERE cost IS NULL), sum(duration_us), coalesce(sum(ttft_us), 0) FROM monitoring_inference"
    )
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM monitoring_rollup_delta")
        assert cursor.fetchone() == (0,)
        cursor.execute(f"{rows} GROUP BY {columns} ORDER BY {columns}")
        expected = cursor.fetchall()
        for grain in ("minute", "hour", "day"):
            added = ", ".join(f"sum({name})" for name in sums)
            cursor.execute(
                f"SELECT {columns}, {added} FROM monitoring_rollup_{grain} GROUP BY {columns} ORDER BY {columns}"
            )
            assert cursor.fetchall() == expected


def check_after_kills(rig: Rig, database: str) -> None:
    await_no_backends(database)
    begun, acknowledged = rig.read_ledger()
    assert len(acknowledged) > 50
    assert acknowledged <= set(begun)
    assert acknowledged < set(begun) or sum(rig.kills.values()) < 5  # a few kills may all fall between two batches
    rows = counts_by_batch("SELECT trace_id, count(*) FROM monitoring_inference GROUP BY trace_id")
    assert set(rows) <= set(begun)
    # Every batch is there as a whole or not at all, and every acknowledged one is there.
    assert {name: count for name, count in rows.items() if count != len(batch(name))} == {}
    assert acknowledged <= set(rows)
    # A key for each row, and none without its row.
    assert identifiers_in("id", "monitoring_inference") == identifiers_in("inference_id", "monitoring_idempotency_key")
    check_totals(set(rows))

    store = PostgresStore()
    for name in [name for name in begun if name not in acknowledged]:
        outcomes = {stored.outcome for stored in store.append(SCOPE, batch(name), now=datetime.now(UTC))}
        assert outcomes == ({"duplicate"} if name in rows else {"stored"})
    check_totals(begun)
    assert counts_by_batch("SELECT 'folded', sum(inferences) FROM monitoring_rollup_day")["folded"]
    while store.fold():
        pass
    check_totals(begun)
    check_rollups_equal_rows()


class TestKilled:
    def test_it_counts_exactly_what_was_acknowledged(self, rig: Rig, database: str) -> None:
        rig.kill_at_random(60)
        assert rig.kills["write"] >= 15
        assert rig.kills["fold"] >= 10
        check_after_kills(rig, database)

    @pytest.mark.long
    @pytest.mark.timeout(900)
    def test_it_counts_exactly_after_600_kills(self, rig: Rig, database: str) -> None:
        rig.kill_at_random(600)
        check_after_kills(rig, database)

    def test_it_folds_on_after_the_command_itself_was_killed(self, rig: Rig, database: str) -> None:
        """`manage.py fold` from its command line: killed at work, then started again."""
        rig.start("write")
        rollups = "SELECT 'folded', coalesce(sum(inferences), 0) FROM monitoring_rollup_minute"

        def folded() -> int:
            return int(counts_by_batch(rollups)["folded"])

        for _ in range(2):
            before = folded()
            with subprocess.Popen([sys.executable, "manage.py", "fold"], cwd=ROOT, env=rig.environment) as folder:
                assert await_true(lambda: folded() > before, 30)  # noqa: B023
                folder.kill()
        for victim in rig.alive[:]:
            rig.kill(victim)
        check_after_kills(rig, database)


@contextmanager
def folder_at_work() -> Iterator[None]:
    """Another process' folder, in the middle of its transaction."""
    with psycopg.connect(url_of(connection.settings_dict["NAME"], "cockpit_app")) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('monitoring.fold', 7))")
        yield


class TestTwoFolders:
    def test_it_leaves_the_work_to_the_one_that_is_at_it(self, database: str, now: datetime) -> None:
        store = PostgresStore()
        store.append(SCOPE, [inference(now)], now=now)
        with folder_at_work():
            assert store.fold() == 0
            assert counts_by_batch("SELECT 'left', count(*) FROM monitoring_rollup_delta") == {"left": 1}
        assert store.fold() == 1

    def test_it_is_exact_when_they_race(self, database: str) -> None:
        names = [f"race-{number}" for number in range(60)]
        deltas = sum(len(_groups(batch(name))) for name in names)
        written, moved, failures = threading.Event(), [0] * 3, []

        def fold(place: int) -> None:
            store = PostgresStore()
            try:
                while not written.is_set():
                    moved[place] += store.fold()
            except Exception as error:
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=fold, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        store = PostgresStore()
        for name in names:
            store.append(SCOPE, batch(name), now=datetime.now(UTC))
        written.set()
        for thread in threads:
            thread.join()
        assert not failures
        while more := store.fold():
            moved.append(more)
        assert sum(moved) == deltas
        check_totals(names)
        check_rollups_equal_rows()


def _groups(rows: list[Inference]) -> set[tuple[object, ...]]:
    return {
        (row.organization, row.occurred_ms // 60_000, row.model, row.endpoint, row.status, row.source) for row in rows
    }


class TestDeltaTable:
    def test_it_stays_small(self, database: str, now: datetime) -> None:
        """VACUUM as cockpit_app empties it, which takes the MAINTAIN that migrate grants: without it 18 MB are left."""
        with psycopg.connect(url_of(database), autocommit=True) as admin:
            admin.execute("VACUUM FULL monitoring_rollup_delta")  # what other tests left is not what this one measures
        store, sizes = PostgresStore(), []
        for number in range(60):
            rows = [inference(now - timedelta(minutes=number), model=f"m{place}") for place in range(400)]
            store.append(SCOPE, rows, now=now)
            assert store.fold() == 400
            sizes.append(self.size())
        # a snapshot that somebody else holds (autovacuum's ANALYZE) keeps what is dead for as long as it lasts
        grew = sum(after > before for before, after in pairwise(sizes))
        assert grew < 30, "space is used again; without VACUUM it grows with each fold"
        assert sizes[-1] < 9_000_000

    @staticmethod
    def size() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size('monitoring_rollup_delta')")
            return int(cursor.fetchone()[0])

    def test_it_is_read_about_once_for_a_backlog_also_when_its_statistics_say_empty(
        self, database: str, now: datetime
    ) -> None:
        """The folder vacuums an emptied table, so the planner takes a backlog for a handful of rows."""
        store = PostgresStore()
        for deltas in (300, 300, 300, 4500):
            rows = [
                inference(now - timedelta(minutes=number % 300), model=f"m{number // 300}") for number in range(deltas)
            ]
            store.append(SCOPE, rows, now=now)
            if deltas < 4500:
                store.fold()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'monitoring_rollup_delta'")
            assert cursor.fetchone() == (0,)
            assert PostgresStore().fold() == 4500
            cursor.execute(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
                "WHERE relname = 'monitoring_rollup_delta'"
            )
            assert cursor.fetchone()[0] < 10 * 4500
