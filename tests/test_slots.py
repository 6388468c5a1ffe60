"""Periodic work once per slot: whoever asks first has it, whatever runs beside."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from bedrock import slots
from bedrock.slots import Slot

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
THREADS = 16


def at_once(work: Callable[[int], bool]) -> list[bool]:
    """What each of the threads got, all of them let go at the same moment."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> bool:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


class TestClaim:
    def test_is_true_exactly_once_a_slot_under_sixteen_threads(self, database: str) -> None:
        for number in range(5):
            now = NOON + number * HOUR
            assert at_once(lambda _, now=now: slots.claim("house", now=now, every=HOUR)).count(True) == 1
        assert Slot.objects.count() == 5

    def test_is_true_once_for_clocks_that_differ_within_the_slot(self, database: str) -> None:
        assert at_once(lambda n: slots.claim("house", now=NOON + timedelta(minutes=n), every=HOUR)).count(True) == 1

    def test_is_true_for_every_task_and_for_every_slot(self, database: str) -> None:
        assert at_once(lambda n: slots.claim(f"task {n}", now=NOON, every=HOUR)) == [True] * THREADS
        assert at_once(lambda n: slots.claim("house", now=NOON + n * HOUR, every=HOUR)) == [True] * THREADS

    def test_is_false_when_asked_again(self, database: str) -> None:
        asked = [slots.claim("house", now=NOON + timedelta(minutes=n), every=HOUR) for n in (0, 0, 30, 59, 60, 61)]
        assert asked == [True, False, False, False, True, False]

    def test_forgets_its_own_old_slots_and_no_others(self, database: str) -> None:
        slots.claim("other", now=NOON, every=HOUR)
        for hours in (0, 1, 2, 24, 25, 26, 27):
            slots.claim("house", now=NOON + hours * HOUR, every=HOUR)
        kept = sorted(Slot.objects.filter(task="house").values_list("slot", flat=True))
        assert kept == [NOON + hours * HOUR for hours in (2, 24, 25, 26, 27)]
        assert Slot.objects.filter(task="other").count() == 1

    def test_stays_claimed_for_a_clock_that_was_set_back(self, database: str) -> None:
        slots.claim("house", now=NOON, every=HOUR)
        slots.claim("house", now=NOON + HOUR, every=HOUR)
        assert not slots.claim("house", now=NOON, every=HOUR)

    def test_is_gone_with_the_work_that_failed_in_its_transaction(self, database: str) -> None:
        def fail(claimed: bool) -> None:
            assert claimed
            raise RuntimeError

        with pytest.raises(RuntimeError), transaction.atomic():
            fail(slots.claim("house", now=NOON, every=HOUR))
        assert slots.claim("house", now=NOON, every=HOUR)


class TestMissed:
    def test_tells_whether_nobody_has_claimed_lately(self, database: str) -> None:
        assert slots.missed("house", now=NOON, every=HOUR, slots=2)
        slots.claim("house", now=NOON, every=HOUR)
        slots.claim("other", now=NOON + 2 * HOUR, every=HOUR)
        asked = [
            slots.missed("house", now=NOON + minutes * HOUR / 60, every=HOUR, slots=2) for minutes in (0, 119, 120)
        ]
        assert asked == [False, False, True]


class TestForget:
    def test_drops_what_is_old_of_the_tasks_named_so(self, database: str) -> None:
        for task in ("look one", "look two", "look", "house"):
            for hours in (0, 3):
                slots.claim(task, now=NOON + hours * HOUR, every=HOUR)
        slots.forget("look ", before=NOON + HOUR)
        left = Slot.objects.filter(slot=NOON).values_list("task", flat=True)
        assert set(left) == {"look", "house"}
        assert Slot.objects.count() == 6


class TestSlotOf:
    @pytest.mark.parametrize(
        ("now", "every", "slot"),
        [
            (NOON, HOUR, NOON),
            (NOON - timedelta(microseconds=1), HOUR, NOON - HOUR),
            (NOON + timedelta(microseconds=1), HOUR, NOON),
            (NOON + HOUR, HOUR, NOON + HOUR),
            (NOON + timedelta(seconds=59.999999), timedelta(minutes=1), NOON),
            (NOON, timedelta(days=1), NOON - timedelta(hours=12)),
            (NOON + timedelta(seconds=14), timedelta(seconds=15), NOON),
            (NOON + timedelta(seconds=15), timedelta(seconds=15), NOON + timedelta(seconds=15)),
            (datetime(2026, 3, 2, tzinfo=UTC), timedelta(weeks=1), datetime(2026, 3, 2, tzinfo=UTC)),  # a Monday
            (datetime(2026, 3, 1, 23, 59, tzinfo=UTC), timedelta(weeks=1), datetime(2026, 2, 23, tzinfo=UTC)),
        ],
    )
    def test_is_the_start_of_the_slot_that_now_lies_in(self, now: datetime, every: timedelta, slot: datetime) -> None:
        assert slots.slot_of(now, every) == slot

    @pytest.mark.parametrize("every", [timedelta(seconds=7), timedelta(minutes=5), HOUR, timedelta(days=1)])
    def test_leaves_no_gap_and_no_overlap(self, every: timedelta) -> None:
        starts = {slots.slot_of(NOON + number * every / 10, every) for number in range(100)}
        found = sorted(starts)
        assert all(later - earlier == every for earlier, later in itertools.pairwise(found))
        assert len(found) in (10, 11)

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
    def test_is_the_same_moment_for_clocks_of_every_zone(self, zone: str) -> None:
        for every in (HOUR, timedelta(days=1)):
            assert slots.slot_of(NOON.astimezone(ZoneInfo(zone)), every) == slots.slot_of(NOON, every)
