"""When a failed notice is tried again and how long its channel rests: the whole table, its edges, and all between."""

import math
from datetime import timedelta
from itertools import accumulate
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import deliveries, expiry, schedule
from alerts.channels.base import Failure
from alerts.schedule import LONG, LONGEST_WAIT, POLICIES, SLOW, next_wait, pause

KINDS: tuple[Failure, ...] = get_args(Failure)
TRANSIENT: tuple[Failure, ...] = ("timeout", "connection", "dns", "server", "limited", "lost")
SAID_NO: tuple[Failure, ...] = ("client", "redirect", "tls", "address", "settings")
OF_THE_NOTICE: tuple[Failure, ...] = ("refused", "fault", "lost")
DAY = 24 * 3600.0
# What a receiver may ask for, and what that comes to beside a wait of 5 s and a day at most.
ASKED: tuple[tuple[float | None, float], ...] = (
    (None, 5),
    (0.0, 5),
    (-1.0, 5),
    (-1e18, 5),
    (4.999, 5),
    (5.001, 5.001),
    (3600.0, 3600),
    (DAY - 1, DAY - 1),
    (DAY, DAY),
    (DAY + 1, DAY),
    (1e9, DAY),
    (1e300, DAY),
    (math.inf, DAY),
    (-math.inf, 5),
    (math.nan, 5),
)


def seconds(wait: timedelta | None) -> float:
    assert wait is not None
    return wait.total_seconds()


class TestTheTable:
    def test_it_has_a_policy_for_every_kind_of_failure(self) -> None:
        assert set(POLICIES) == set(KINDS)

    @pytest.mark.parametrize(
        ("kinds", "waits"),
        [(TRANSIENT, LONG), ((*SAID_NO, "fault"), SLOW), (("refused", "gone"), ())],
        ids=["the long way", "a few slow ones", "never"],
    )
    def test_it_waits_as_long_as_its_kind_of_failure_says(
        self, kinds: tuple[Failure, ...], waits: tuple[int, ...]
    ) -> None:
        for kind in kinds:
            told = [next_wait(kind, attempt, chance=0.5) for attempt in range(1, len(waits) + 2)]
            assert told == [*(timedelta(seconds=wait) for wait in waits), None], kind
            assert next_wait(kind, len(waits) + 100, chance=0.5) is None

    def test_it_speaks_of_the_channel_where_no_other_notice_would_fare_better(self) -> None:
        assert {kind for kind in KINDS if POLICIES[kind].about == "channel"} == {*SAID_NO, "gone"}

    def test_it_begins_soon_and_never_goes_faster(self) -> None:
        assert LONG[:5] == (5, 30, 120, 600, 1800)
        assert list(LONG) == sorted(LONG)
        assert list(SLOW) == sorted(SLOW)
        assert min(SLOW) >= 60

    def test_its_long_way_takes_about_three_days(self) -> None:
        assert timedelta(days=2.4) < timedelta(seconds=sum(LONG)) < timedelta(days=3.6)

    def test_its_long_way_ends_before_a_notice_is_given_up_as_old(self) -> None:
        waits = [seconds(next_wait("server", attempt, chance=1.0)) for attempt in range(1, len(LONG) + 1)]
        assert timedelta(seconds=sum(waits)) + len(LONG) * deliveries.LEASE < expiry.GIVEN_UP

    def test_its_tries_are_counted(self) -> None:
        """An alert is tried often in its first hour, when somebody may still do something about it."""
        at = [0, *accumulate(LONG)]
        assert sum(moment <= 3600 for moment in at) >= 6


class TestJitter:
    @pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
    @pytest.mark.parametrize("kind", [kind for kind in KINDS if POLICIES[kind].waits])
    def test_it_is_a_fifth_both_ways(self, kind: Failure, chance: float, share: float) -> None:
        for attempt, wait in enumerate(POLICIES[kind].waits, 1):
            assert seconds(next_wait(kind, attempt, chance=chance)) == pytest.approx(wait * share)

    @given(st.sampled_from(KINDS), st.integers(1, 30), st.floats(0, 1))
    def test_it_never_leaves_those_bounds(self, kind: Failure, attempt: int, chance: float) -> None:
        waits, wait = POLICIES[kind].waits, next_wait(kind, attempt, chance=chance)
        assert (wait is None) == (attempt > len(waits))
        if wait is not None:
            assert 0.8 * waits[attempt - 1] - 1e-6 <= wait.total_seconds() <= 1.2 * waits[attempt - 1] + 1e-6

    @given(st.integers(1, len(LONG)), st.floats(0, 1), st.floats(0, 1))
    def test_it_keeps_apart_what_failed_together(self, attempt: int, one: float, other: float) -> None:
        first, second = (next_wait("server", attempt, chance=chance) for chance in sorted((one, other)))
        assert first is not None
        assert second is not None
        assert first <= second


class TestRetryAfter:
    @pytest.mark.parametrize(("asked", "given"), ASKED)
    def test_it_is_kept_between_the_schedule_and_a_day(self, asked: float | None, given: float) -> None:
        assert seconds(next_wait("limited", 1, chance=0.5, retry_after=asked)) == pytest.approx(given)

    @pytest.mark.parametrize(("asked", "given"), ASKED)
    def test_the_whole_channel_rests_for_as_long(self, asked: float | None, given: float) -> None:
        rest = seconds(pause("limited", 1, retry_after=asked))
        usual = asked is None or math.isnan(asked) or asked <= 0
        assert rest == pytest.approx(0 if usual else min(asked or 0, DAY))

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_makes_no_way_longer(self, kind: Failure) -> None:
        """However often a receiver asks to wait, the tries are as many."""
        last = len(POLICIES[kind].waits)
        assert next_wait(kind, last + 1, chance=0.5, retry_after=60.0) is None

    @given(
        st.sampled_from(KINDS), st.integers(1, 20), st.floats(0, 1),
        st.none() | st.floats() | st.integers(-(10**30), 10**30).map(float),
    )  # fmt: skip
    def test_it_takes_whatever_number_comes(
        self, kind: Failure, attempt: int, chance: float, asked: float | None
    ) -> None:
        wait, usual = (next_wait(kind, attempt, chance=chance, retry_after=each) for each in (asked, None))
        assert (wait is None) == (usual is None)
        if wait is not None and usual is not None:
            assert usual <= wait <= LONGEST_WAIT
        assert timedelta(0) <= pause(kind, attempt, retry_after=asked) <= LONGEST_WAIT


class TestPause:
    @pytest.mark.parametrize(
        ("failures", "rest"),
        [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (9, 64), (10, 120), (13, 120), (1000, 120), (10**9, 120)],
    )
    def test_it_grows_with_the_failures_in_a_row(self, failures: int, rest: float) -> None:
        assert seconds(pause("server", failures)) == rest

    @pytest.mark.parametrize("kind", OF_THE_NOTICE)
    def test_it_keeps_no_other_notice_from_a_channel_that_is_well(self, kind: Failure) -> None:
        assert pause(kind, 1000) == timedelta(0)

    @given(st.sampled_from(KINDS), st.integers(0, 100))
    def test_it_is_never_shorter_after_one_more_failure(self, kind: Failure, failures: int) -> None:
        assert pause(kind, failures) <= pause(kind, failures + 1) <= timedelta(seconds=schedule._LONGEST_PAUSE)
