"""The table of what a process counts: bounded, exact under threads, written once, and kept while the store is away."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import signals
from django.db import OperationalError, connection, transaction

from cockpit.celery import app
from monitoring import counting, traffic
from monitoring.counting import DROPPED, OVERFLOW, Flusher, Table
from monitoring.families import BY_NAME
from monitoring.services import custom, recordings
from monitoring.store import current_store
from monitoring.store.samples import Increment, Sample
from organizations import audit, limits, networks
from organizations.scope import Scope
from tests.servers import await_true

assert app  # with what it does when a worker's process ends
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OURS = "swaggystacks"


class Notebook:
    """A store that writes down what it is given, and is away or refuses when told to."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.increments: list[Increment] = []
        self.fails: dict[str, Exception] = {}
        self.writes = 0

    def observe(self, scope: Scope, samples: Any, increments: Any = (), *, now: datetime) -> None:
        assert scope.organizations is None
        for one in (*samples, *increments):
            if one.organization in self.fails:
                raise self.fails[one.organization]
        self.samples += samples
        self.increments += increments
        self.writes += 1

    def counted(self, family: str) -> dict[tuple[str, ...], float]:
        """Organization and values of the labels -> total."""
        found: dict[tuple[str, ...], float] = {}
        for one in self.increments:
            if one.family == family:
                key = (one.organization, *(value for _, value in one.labels))
                found[key] = found.get(key, 0.0) + one.amount
        return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    notebook = Notebook()
    monkeypatch.setattr(counting, "current_store", lambda: notebook)
    monkeypatch.setattr(counting, "_there", {"shared", OURS, "scientia_capital"})
    return notebook


class TestTable:
    def test_a_counter_is_added_up_and_written_once(self, store: Notebook) -> None:
        table = Table()
        for _ in range(3):
            table.add(OURS, "things_total", (("kind", "a"),), 2.0)
        table.flush(NOW)
        table.flush(NOW + timedelta(seconds=2))
        [one] = store.increments
        assert (one.organization, one.labels, one.amount, one.source) == (OURS, (("kind", "a"),), 6.0, "live")
        assert one.at_ms == NOW.timestamp() * 1000
        assert store.writes == 1, "nothing new is nothing to write"

    def test_threads_lose_nothing_while_it_is_flushed(self, store: Notebook) -> None:
        table = Table()
        flushed = threading.Event()

        def work() -> None:
            for number in range(5_000):
                if number == 2_500:
                    flushed.wait(30)  # so that some of it is always written before the rest is counted
                table.add(OURS, "things_total", (("kind", str(number % 7)),))
                table.observe(OURS, "sizes", (), number % 3, (0.5, 1.5))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            table.flush(NOW)
            if store.writes:
                flushed.set()
        table.flush(NOW)
        assert sum(store.counted("things_total").values()) == 20_000
        assert store.counted("sizes_count") == {(OURS,): 20_000}
        assert store.writes > 1

    def test_a_histogram_is_kept_as_counters_with_every_bucket(self, store: Notebook) -> None:
        table = Table()
        for value in (0.1, 0.5, 0.7, 9.0):
            table.observe(OURS, "sizes", (("kind", "a"),), value, (0.5, 1.0, 2.0))
        table.flush(NOW)
        assert store.counted("sizes_bucket") == {
            (OURS, "a", "0.5"): 2,  # a value at a bound is within it
            (OURS, "a", "1"): 3,
            (OURS, "a", "2"): 3,
            (OURS, "a", "+Inf"): 4,
        }
        assert store.counted("sizes_count") == {(OURS, "a"): 4}
        assert store.counted("sizes_sum")[OURS, "a"] == pytest.approx(10.3)
        assert all(one.labels == tuple(sorted(one.labels)) for one in store.increments)

    def test_empty_buckets_are_told_the_first_time_only(self, store: Notebook) -> None:
        table = Table()
        table.observe(OURS, "sizes", (), 9.0, (1.0, 2.0))
        table.flush(NOW)
        assert store.counted("sizes_bucket") == {(OURS, "1"): 0, (OURS, "2"): 0, (OURS, "+Inf"): 1}
        store.increments.clear()
        table.observe(OURS, "sizes", (), 9.0, (1.0, 2.0))
        table.flush(NOW)
        assert store.counted("sizes_bucket") == {(OURS, "+Inf"): 1}

    def test_a_level_is_a_sample_every_ten_seconds_and_at_the_end(self, store: Notebook) -> None:
        table = Table()
        table.set(OURS, "depth", (), 3)
        table.set(OURS, "depth", (), 4)
        for seconds in (0, 2, 4, 9.9, 10):
            table.flush(NOW + timedelta(seconds=seconds))
        assert [(one.value, one.at_ms / 1000 - NOW.timestamp()) for one in store.samples] == [(4, 0), (4, 10)]
        table.set(OURS, "depth", (), 5)
        table.flush(NOW + timedelta(seconds=11), last=True)
        assert store.samples[-1].value == 5

    def test_what_finds_it_full_is_counted_by_family(self, store: Notebook) -> None:
        table = Table(most=3)
        for number in range(10):
            table.add(OURS, "things_total", (("id", str(number)),))
        table.add(OURS, "things_total", (("id", "0"),))
        table.observe(OURS, "sizes", (), 1.0, (1.0,))
        table.set(OURS, "depth", (), 1)
        table.flush(NOW)
        lost = {"things_total": 7, "sizes": 1, "depth": 1}
        assert store.counted("things_total") == {(OURS, "0"): 2, (OURS, "1"): 1, (OURS, "2"): 1}
        assert store.counted(OVERFLOW) == {("shared", name): count for name, count in lost.items()}
        assert store.samples == []

    def test_a_flush_makes_room(self, store: Notebook) -> None:
        table = Table(most=2)
        for number in range(6):
            table.add(OURS, "things_total", (("id", str(number)),))
            table.flush(NOW)
        assert len(store.counted("things_total")) == 6
        assert store.counted(OVERFLOW) == {}

    def test_what_the_store_could_not_take_is_written_later_and_once(self, store: Notebook) -> None:
        table = Table()
        store.fails["shared"] = OperationalError("away")
        for _ in range(3):
            table.add("shared", "things_total")
            table.observe("shared", "sizes", (), 1.0, (1.0, 2.0))
            with pytest.raises(OperationalError):
                table.flush(NOW)
        store.fails.clear()
        table.flush(NOW)
        table.flush(NOW)
        assert store.counted("things_total") == {("shared",): 3}
        assert store.counted("sizes_bucket") == {("shared", "1"): 3, ("shared", "2"): 3, ("shared", "+Inf"): 3}
        assert store.counted("sizes_sum") == {("shared",): 3}

    def test_it_stays_bounded_while_the_store_is_away(self, store: Notebook) -> None:
        table = Table(most=50)
        store.fails[OURS] = OperationalError("away")
        for number in range(500):
            table.add(OURS, "things_total", (("id", str(number)),))
            with pytest.raises(OperationalError):
                table.flush(NOW)
        store.fails.clear()
        table.flush(NOW)
        assert len(store.increments) <= 52
        assert store.counted(OVERFLOW) == {("shared", "things_total"): 450}

    def test_an_organization_that_is_gone_keeps_nobody_from_being_written(
        self, store: Notebook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = Table()
        monkeypatch.setattr(counting, "missing", lambda slugs: slugs & {"gone"})
        table.add("gone", "things_total")
        table.add(OURS, "things_total")
        table.flush(NOW)
        table.flush(NOW)
        assert store.counted("things_total") == {(OURS,): 1}
        assert store.counted(DROPPED) == {("shared", "refused", "count"): 1}

    def test_levels_of_one_that_is_gone_are_given_up_and_told_once_a_minute(
        self, store: Notebook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[str] = []
        monkeypatch.setattr(counting.log, "warning", lambda *_, organization, **__: told.append(organization))
        monkeypatch.setattr(counting, "missing", lambda slugs: slugs & {"gone"})
        table = Table()
        table.set(OURS, "depth", (), 1)
        for seconds in (0, 10, 20):
            table.set("gone", "depth", (), seconds)
            table.flush(NOW + timedelta(seconds=seconds))
        table.flush(NOW + timedelta(seconds=30))
        assert [one.organization for one in store.samples] == [OURS] * 4
        assert store.counted(DROPPED) == {("shared", "refused", "count"): 3}
        assert told == ["gone"]
        assert table._held.levels.keys() == {(OURS, "depth", ())}

    @pytest.mark.parametrize(
        ("bound", "text"), [(0.005, "0.005"), (1, "1"), (2.5, "2.5"), (1_048_576, "1048576"), (1 / 3, repr(1 / 3))]
    )
    def test_a_bound_is_told_to_its_last_digit(self, bound: float, text: str) -> None:
        assert counting.bound_text(bound) == text

    def test_bad_values_of_one_organization_harm_no_other(self, store: Notebook) -> None:
        table = Table()
        store.fails[OURS] = ValueError("not finite")
        table.add(OURS, "things_total")
        table.add("shared", "things_total")
        table.flush(NOW)
        assert store.counted("things_total") == {("shared",): 1}

    def test_which_organizations_are_there_is_asked_of_the_database(self, database: str) -> None:
        counting._there.clear()
        assert counting.missing({"shared", "nobody_at_all"}) == {"nobody_at_all"}
        assert counting.missing({"shared"}) == set()

    def test_every_family_of_its_own_is_in_the_dictionary(self) -> None:
        assert {OVERFLOW, DROPPED} <= BY_NAME.keys()


class TestFlusher:
    def test_it_writes_by_itself_and_once_more_at_the_end(self, store: Notebook, settings: Any) -> None:
        settings.FLUSH_SECONDS = 0.02
        flusher = Flusher()
        table = Table(wake=flusher.wake)
        flusher.also(lambda now, last: table.flush(now, last=last))
        table.add(OURS, "things_total")
        assert await_true(lambda: store.counted("things_total") == {(OURS,): 1}, 5)
        settings.FLUSH_SECONDS = 60
        table.add(OURS, "things_total")
        flusher.end()
        assert store.counted("things_total")[(OURS,)] == 2
        assert flusher.ended

    def test_a_drain_that_fails_keeps_no_other_from_its_turn(self) -> None:
        flusher = Flusher()
        asked = []

        def fails(now: datetime, last: bool) -> None:
            raise OperationalError

        flusher.also(lambda now, last: asked.append(last))
        flusher.also(fails)
        flusher.flush()
        flusher.flush()
        assert asked == [False, False]
        assert flusher.failing_since is not None

    def test_it_is_well_again_after_a_write(self) -> None:
        flusher = Flusher()
        errors: list[Exception] = [OperationalError()]

        def fails_once(now: datetime, last: bool) -> None:
            if errors:
                raise errors.pop()

        flusher.also(fails_once)
        flusher.flush()
        assert flusher.failing_since is not None
        flusher.flush()
        assert flusher.failing_since is None

    def test_where_no_thread_can_be_had_nothing_fails_and_the_next_recording_tries_again(
        self, store: Notebook, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class NotNow(threading.Thread):
            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        settings.FLUSH_SECONDS = 0.02
        flusher = Flusher()
        table = Table(wake=flusher.wake)
        flusher.also(lambda now, last: table.flush(now, last=last))
        with monkeypatch.context() as patched:
            patched.setattr(counting, "Thread", NotNow)
            table.add(OURS, "things_total")
        assert flusher._thread is None
        table.add(OURS, "things_total")
        assert await_true(lambda: store.counted("things_total") == {(OURS,): 2}, 5)
        flusher.end()

    def test_the_end_waits_for_a_hanging_write_only_so_long(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.FLUSH_SECONDS = 0.01
        monkeypatch.setattr(counting, "_LAST_PATIENCE", 0.05)
        flusher = Flusher()
        hanging, over = threading.Event(), threading.Event()

        def hangs(now: datetime, last: bool) -> None:
            hanging.set()
            over.wait(30)

        flusher.also(hangs)
        flusher.wake()
        assert hanging.wait(5)
        began = time.monotonic()
        flusher.end()
        assert time.monotonic() - began < 5
        over.set()

    def test_what_a_caller_rolls_back_is_none_of_what_was_counted(self, database: str) -> None:
        """Asked for inside somebody's transaction, the write is one of its own."""
        counting.table.clear()
        counting.table.add(OURS, "cockpit_sampled_total", (), 3.0)
        with transaction.atomic():
            counting.flusher.flush()
            transaction.set_rollback(True)
        [level] = current_store().counters(Scope.of(OURS), families=["cockpit_sampled_total"])
        assert level.value == 3

    def test_the_callers_connection_stays_as_it_was(self, database: str) -> None:
        counting.table.clear()
        connection.ensure_connection()
        before = connection.connection
        counting.table.add(OURS, "cockpit_sampled_total")
        counting.flusher.flush()
        assert connection.connection is before
        connection.close()
        counting.table.add(OURS, "cockpit_new_networks_total")
        counting.flusher.flush()
        assert connection.connection is None

    def test_a_process_of_celerys_pool_writes_the_rest_when_it_ends(self, store: Notebook) -> None:
        counting.table.clear()
        counting.table.add(OURS, "things_total")
        try:
            signals.worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
            assert store.counted("things_total") == {(OURS,): 1}
        finally:
            counting.flusher._begin()

    def test_a_fork_waits_for_no_lock_that_its_parent_held(self) -> None:
        """Whoever holds one while another thread forks exists in the parent alone."""
        held = (counting.table._lock, traffic.in_flight._lock, networks._lock, limits._lock, recordings._lock,
                custom._lock)  # fmt: skip
        for lock in held:
            lock.acquire()
        try:
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(10)
                traffic.in_flight.begin()
                networks.note(OURS, audit.Origin(address="203.0.113.77"))
                limits.hit("fork", limit=1)
                recordings.dropped("fork", "invalid")
                custom.registered()
                os._exit(0 if traffic.in_flight._count == 1 else 1)
        finally:
            for lock in held:
                lock.release()
        assert os.waitpid(child, 0)[1] == 0

    def test_a_fork_writes_nothing_of_its_parent(self, store: Notebook) -> None:
        """The one table of the process: its child begins with an empty one."""
        counting.table.clear()
        counting.table.add(OURS, "things_total")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, str(len(counting.table._held)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 10) == b"0"
        os.close(reader), os.close(writer)
        counting.table.flush(NOW)
        assert store.counted("things_total") == {(OURS,): 1}

    def test_tests_themselves_start_no_thread(self) -> None:
        counting.table.add(OURS, "things_total")
        assert counting.flusher._thread is None
        counting.table.clear()
