"""How a rule judges one group: every way from one state to another by example, then all of them against a slow twin."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules import MINUTE, Because, Condition, Hours, Level, NoData, Operator, Reading, Standing, State, decide

Value: TypeAlias = float | tuple[float, int] | None
Word: TypeAlias = tuple[State, Because]
Values: TypeAlias = list[Value]
Words: TypeAlias = list[Word]

MIDNIGHT, NOON = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 10, 12, tzinfo=UTC)  # a Tuesday's
BERLIN, KOLKATA = "Europe/Berlin", "Asia/Kolkata"
DAY = timedelta(days=1)
# Their clocks change on the next day at 01:00 UTC, a Sunday.
SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)

FINE: Word = ("ok", "fine")
ASLEEP: Word = ("ok", "hours")
FEW: Word = ("ok", "few")
QUIET: Word = ("ok", "no_data")
SILENT: Word = ("no_data", "no_data")
WAIT: Word = ("pending", "waiting")
WARN: Word = ("warning", "breach")
WARN_CLEARS: Word = ("warning", "clearing")
WARN_KEEPS: Word = ("warning", "keeping")
WARN_QUIET: Word = ("warning", "no_data")
CRIT: Word = ("critical", "breach")
CRIT_CLEARS: Word = ("critical", "clearing")
CRIT_KEEPS: Word = ("critical", "keeping")


def warn(**more: Any) -> Condition:
    return Condition(warning=80, **more)


def both(**more: Any) -> Condition:
    return Condition(warning=80, critical=95, **more)


def clock(hours: int, minutes: int = 0) -> int:
    return hours * 60 + minutes


STEPS = both(warning_clear=75, critical_clear=85)  # as Netdata's
LOW = Condition(operator="lt", warning=20, warning_clear=25, critical=5, critical_clear=15)
ONE = Hours(start=clock(12, 1), end=clock(12, 2))  # the second minute


def stand(condition: Condition, values: Values) -> list[Standing]:
    """How it stands after each minute. A value alone is one of many samples."""
    rows: list[Standing] = []
    for number, value in enumerate(values):
        reading = Reading(*value) if isinstance(value, tuple) else Reading(value, 0 if value is None else 100)
        rows.append(decide(condition, rows[-1] if rows else None, reading, NOON + number * MINUTE))
    return rows


def run(condition: Condition, values: Values) -> Words:
    return [(row.state, row.because) for row in stand(condition, values)]


def told(rows: list[Standing], first: datetime = NOON) -> list[int]:
    """The minutes in which people were."""
    return [number for number, row in enumerate(rows) if row.told == first + number * MINUTE]


def table(names: str, rows: dict[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(names.split(), rows.values(), ids=rows)


class TestThresholds:
    @table("condition values expected", {
        "gt": (warn(operator="gt"), [79.9, 80, 80.1], [FINE, FINE, WARN]),
        "gte": (warn(operator="gte"), [79.9, 80, 80.1], [FINE, WARN, WARN]),
        "lt": (warn(operator="lt"), [79.9, 80, 80.1], [WARN, FINE, FINE]),
        "lte": (warn(operator="lte"), [79.9, 80, 80.1], [WARN, WARN, FINE]),
        "a warning": (warn(), [1, 90, 99, 90, 1], [FINE, WARN, WARN, WARN, FINE]),
        "a critical": (Condition(critical=95), [90, 99, 90], [FINE, CRIT, FINE]),
        "both": (both(), [1, 90, 99, 90, 1], [FINE, WARN, CRIT, WARN, FINE]),
        "none": (Condition(), [1, 99], [FINE, FINE]),
        "none, that clear": (Condition(warning_clear=10, critical_clear=10), [1, 99], [FINE, FINE]),
        "a critical, and a warning's clear": (Condition(critical=95, warning_clear=10), [99, 90], [CRIT, FINE]),
        "nought": (Condition(warning=0), [0, 1], [FINE, WARN]),
    })  # fmt: skip
    def test_the_worst_that_it_is_beyond_counts(self, condition: Condition, values: Values, expected: Words) -> None:
        assert run(condition, values) == expected

    @table("condition values expected", {
        "a warning": (STEPS, [78, 81, 78, 76, 75, 78], [FINE, WARN, WARN_CLEARS, WARN_CLEARS, FINE, FINE]),
        "a critical": (Condition(critical=95, critical_clear=85), [90, 96, 90, 85], [FINE, CRIT, CRIT_CLEARS, FINE]),
        "step by step": (STEPS, [99, 90, 86, 85, 81, 78, 75],
                         [CRIT, CRIT_CLEARS, CRIT_CLEARS, WARN, WARN, WARN_CLEARS, FINE]),
        "down and up": (STEPS, [99, 78, 90, 96], [CRIT, WARN_CLEARS, WARN, CRIT]),
        "at once": (STEPS, [99, 75], [CRIT, FINE]),
        "lt": (LOW, [24, 19, 24, 25, 24], [FINE, WARN, WARN_CLEARS, FINE, FINE]),
        "lt, step by step": (LOW, [4, 14, 15, 24, 25], [CRIT, CRIT_CLEARS, WARN, WARN_CLEARS, FINE]),
        "gte": (warn(operator="gte", warning_clear=75), [80, 75, 74], [WARN, WARN_CLEARS, FINE]),
        "what only waits": (warn(warning_clear=75, hold=2), [81, 78, 81], [WAIT, FINE, WAIT]),
    })  # fmt: skip
    def test_a_level_ends_where_it_clears(self, condition: Condition, values: Values, expected: Words) -> None:
        assert run(condition, values) == expected


class TestHoldAndKeep:
    @table("condition values expected", {
        "none": (warn(), [81], [WARN]),
        "one": (warn(hold=1), [81, 81], [WAIT, WARN]),
        "three": (warn(hold=3), [81] * 5, [WAIT, WAIT, WAIT, WARN, WARN]),
        "interrupted": (warn(hold=2), [81, 81, 80, 81, 81, 81], [WAIT, WAIT, FINE, WAIT, WAIT, WARN]),
        "a critical alone": (Condition(critical=95, hold=1), [90, 96, 96], [FINE, WAIT, CRIT]),
        "both at once": (both(hold=2), [96] * 3, [WAIT, WAIT, CRIT]),
        "each its own": (both(hold=2), [81, 96, 96, 96], [WAIT, WAIT, WARN, CRIT]),
        "a critical's is interrupted": (both(hold=2), [81, 81, 81, 96, 96, 90, 96, 96, 96],
                                        [WAIT, WAIT, WARN, WARN, WARN, WARN, WARN, WARN, CRIT]),
        "not for what falls": (both(hold=1), [96, 96, 90], [WAIT, CRIT, WARN]),
    })  # fmt: skip
    def test_a_level_waits_for_as_many_minutes(self, condition: Condition, values: Values, expected: Words) -> None:
        assert run(condition, values) == expected

    @table("condition values expected", {
        "none": (warn(), [81, 1], [WARN, FINE]),
        "two": (warn(keep=2), [81, 1, 1, 1], [WARN, WARN_KEEPS, WARN_KEEPS, FINE]),
        "anew after a breach": (warn(keep=1), [81, 1, 81, 1, 1], [WARN, WARN_KEEPS, WARN, WARN_KEEPS, FINE]),
        "and does not wait": (warn(keep=2, hold=1), [81, 81, 1, 81, 1, 1, 1],
                              [WAIT, WARN, WARN_KEEPS, WARN, WARN_KEEPS, WARN_KEEPS, FINE]),
        "anew after it cleared": (warn(warning_clear=75, keep=1), [81, 75, 78, 75, 75],
                                  [WARN, WARN_KEEPS, WARN_CLEARS, WARN_KEEPS, FINE]),
        "then a warning": (both(keep=2), [96, 90, 90, 90, 90], [CRIT, CRIT_KEEPS, CRIT_KEEPS, WARN, WARN]),
        "then nothing": (both(keep=2), [96, 1, 1, 1], [CRIT, CRIT_KEEPS, CRIT_KEEPS, FINE]),
        "a critical alone": (Condition(critical=95, keep=1), [96, 90, 90], [CRIT, CRIT_KEEPS, FINE]),
        "then worse": (both(keep=1), [81, 1, 96, 1, 1], [WARN, WARN_KEEPS, CRIT, CRIT_KEEPS, FINE]),
        "each its own": (both(keep=2), [96, 90, 1, 1, 1], [CRIT, CRIT_KEEPS, CRIT_KEEPS, WARN_KEEPS, FINE]),
        "then a warning that does not wait": (both(keep=2, hold=3), [96, 96, 96, 96, 1, 90, 90],
                                              [WAIT, WAIT, WAIT, CRIT, CRIT_KEEPS, CRIT_KEEPS, WARN]),
    })  # fmt: skip
    def test_a_level_goes_on_for_as_many_minutes(self, condition: Condition, values: Values, expected: Words) -> None:
        assert run(condition, values) == expected

    def test_a_critical_leaves_no_warning_of_a_threshold_that_is_gone(self) -> None:
        before = stand(both(keep=2), [96, 90, 90])[-1]
        assert (before.state, before.because) == CRIT_KEEPS
        for condition, expected in ((both(keep=2), WARN), (Condition(critical=95, keep=2), FINE)):
            after = decide(condition, before, Reading(90, 100), NOON + 3 * MINUTE)
            assert (after.state, after.because) == expected


class TestFewSamples:
    @pytest.mark.parametrize("no_data", ["ok", "zero"])
    def test_they_end_what_fires_and_what_waits(self, no_data: NoData) -> None:
        condition = warn(least=3, no_data=no_data, hold=1)
        assert run(condition, [(81, 3), (81, 2), (81, 3), (81, 3), (81, 2)]) == [WAIT, FEW, WAIT, WARN, FEW]

    @pytest.mark.parametrize("no_data", ["keep", "alert"])
    def test_they_leave_both_where_that_is_asked_for(self, no_data: NoData) -> None:
        condition = warn(least=3, no_data=no_data, hold=1)
        assert run(condition, [(81, 3), (1, 2), (81, 2), (81, 3), (1, 0), (1, 3)]) == [
            WAIT, ("pending", "few"), ("pending", "few"), WARN, ("warning", "few"), FINE]  # fmt: skip

    @pytest.mark.parametrize("no_data", ["ok", "keep", "alert", "zero"])
    def test_they_begin_nothing(self, no_data: NoData) -> None:
        condition = warn(least=3, no_data=no_data, silent=0)
        assert run(condition, [(1, 2), (1, 3), (1, 2), (99, 0), (99, 3)]) == [FEW, FINE, FEW, FEW, WARN]

    def test_a_level_goes_on_through_them(self) -> None:
        assert run(warn(least=3, keep=1), [(81, 3), (81, 2), (81, 2)]) == [WARN, WARN_KEEPS, FEW]

    def test_they_are_no_silence(self) -> None:
        condition = warn(least=3, no_data="alert", silent=1)
        assert run(condition, [None, (9, 1), None, None, (9, 1)]) == [QUIET, FEW, QUIET, SILENT, FEW]


class TestNoData:
    @table("no_data expected", {
        "ok": ("ok", [QUIET, QUIET, WAIT, QUIET, WAIT, WARN, QUIET, QUIET]),
        "keep": ("keep", [QUIET, QUIET, WAIT, ("pending", "no_data"), WARN, WARN, WARN_QUIET, WARN_QUIET]),
        "alert": ("alert", [QUIET, SILENT, WAIT, ("pending", "no_data"), WARN, WARN, WARN_QUIET, WARN_QUIET]),
        "zero": ("zero", [FINE, FINE, WAIT, FINE, WAIT, WARN, FINE, FINE]),
    })  # fmt: skip
    def test_a_silence_is_what_the_rule_says(self, no_data: NoData, expected: Words) -> None:
        assert run(warn(hold=1, no_data=no_data, silent=1), [None, None, 81, None, 81, 81, None, None]) == expected

    @pytest.mark.parametrize("silent", [0, 1, 10])
    def test_it_is_an_alert_after_exactly_so_long(self, silent: int) -> None:
        condition, quiet, nothing = warn(no_data="alert", silent=silent), [QUIET] * silent, [None] * silent
        assert run(condition, [1, *nothing, None, None]) == [FINE, *quiet, SILENT, SILENT]
        assert run(condition, [*nothing, 1, *nothing, None]) == [*quiet, FINE, *quiet, SILENT]

    @table("condition values expected", {
        "fine": (warn(no_data="alert", silent=1), [None, None, 1], [QUIET, SILENT, FINE]),
        "beyond": (warn(no_data="alert", silent=1), [None, None, 81], [QUIET, SILENT, WARN]),
        "beyond, and waits": (warn(no_data="alert", silent=0, hold=1), [None, 81, 81], [SILENT, WAIT, WARN]),
        "waited before": (warn(no_data="alert", silent=1, hold=1), [81, None, None, 81, 81],
                          [WAIT, ("pending", "no_data"), SILENT, WAIT, WARN]),
    })  # fmt: skip
    def test_data_that_return_end_it(self, condition: Condition, values: Values, expected: Words) -> None:
        assert run(condition, values) == expected

    @table("no_data expected", {"ok": ("ok", QUIET), "keep": ("keep", QUIET), "zero": ("zero", FINE)})
    def test_it_is_an_alert_no_longer_than_the_rule_says_so(self, no_data: NoData, expected: Word) -> None:
        [before] = stand(warn(no_data="alert", silent=0), [None])
        assert (before.state, before.because) == SILENT
        after = decide(warn(no_data=no_data, silent=0), before, Reading(None), NOON + MINUTE)
        assert (after.state, after.because, after.since, after.told) == (*expected, NOON + MINUTE, None)
        assert after.silent == NOON

    def test_one_that_fires_goes_on_however_long_it_is_silent(self) -> None:
        assert run(warn(no_data="alert", silent=2), [81, *[None] * 20, 1]) == [WARN, *[WARN_QUIET] * 20, FINE]

    def test_a_level_goes_on_for_a_while_where_it_is_fine(self) -> None:
        assert run(warn(keep=1), [81, None, None]) == [WARN, WARN_KEEPS, QUIET]

    def test_zero_may_be_beyond(self) -> None:
        assert run(Condition(operator="lt", warning=1, no_data="zero"), [9, None]) == [FINE, WARN]

    @pytest.mark.parametrize("no_data", ["ok", "keep", "alert", "zero"])
    def test_it_is_as_old_as_its_first_minute_and_over_with_data(self, no_data: NoData) -> None:
        rows = stand(warn(no_data=no_data), [1, None, None, 1, None])
        assert [row.silent for row in rows] == [None, NOON + MINUTE, NOON + MINUTE, None, NOON + 4 * MINUTE]

    def test_it_begins_while_the_rule_is_awake_and_goes_on(self) -> None:
        condition = warn(no_data="alert", silent=0, hours=Hours(start=clock(12, 2), end=clock(12, 3)))
        assert run(condition, [None] * 5) == [QUIET, QUIET, SILENT, SILENT, SILENT]
        assert run(condition, [None, None, 1, None, None]) == [QUIET, QUIET, FINE, QUIET, QUIET]


def awake(hours: Hours, first: datetime, days: int) -> Iterator[tuple[str, int]]:
    """When a rule wakes, and for how many minutes, of so many days."""
    begun: datetime | None = None
    for at in (first + number * MINUTE for number in range(days * 1440)):
        if hours.hold(at):
            begun = begun or at
        elif begun:
            yield begun.strftime("%a %H:%M"), (at - begun) // MINUTE
            begun = None


class TestHours:
    @table("hours first expected", {
        "a day": (Hours(start=clock(9), end=clock(17)), MIDNIGHT, ("Tue 09:00", 480)),
        "the first minute of a day": (Hours(start=0, end=1), NOON, ("Wed 00:00", 1)),
        "a night": (Hours(start=clock(22), end=clock(6)), NOON, ("Tue 22:00", 480)),
        "the night after a Sunday": (Hours(start=clock(22), end=clock(6), days=(6,)), NOON, ("Sun 22:00", 480)),
        "both the same": (Hours(start=clock(9), end=clock(9), days=(2,)), MIDNIGHT, ("Wed 00:00", 1440)),
        "Kolkata": (Hours(start=clock(9), end=clock(17), zone=KOLKATA), MIDNIGHT, ("Tue 03:30", 480)),
        "nearly a day": (Hours(start=clock(2, 30), end=clock(2), zone=KOLKATA, days=(2,)), NOON, ("Tue 21:00", 1410)),
        "a night in spring": (Hours(start=clock(22), end=clock(6), zone=BERLIN), SPRING, ("Sat 21:00", 420)),
        "a night in autumn": (Hours(start=clock(22), end=clock(6), zone=BERLIN), AUTUMN, ("Sat 20:00", 540)),
        "an hour that comes not": (Hours(start=clock(2), end=clock(3), zone=BERLIN), SPRING, ("Mon 00:00", 60)),
        "around an hour that comes not": (Hours(start=clock(1), end=clock(4), zone=BERLIN), SPRING, ("Sun 00:00", 120)),
        "an hour that comes twice": (Hours(start=clock(2), end=clock(3), zone=BERLIN), AUTUMN, ("Sun 00:00", 120)),
    })  # fmt: skip
    def test_they_are_those_of_a_zones_clocks(self, hours: Hours, first: datetime, expected: tuple[str, int]) -> None:
        assert next(awake(hours, first, 8)) == expected

    def test_no_day_is_never(self) -> None:
        assert list(awake(Hours(start=0, end=0, days=()), NOON, 8)) == []

    def test_a_night_belongs_to_the_day_on_which_it_begins(self) -> None:
        assert list(awake(Hours(start=clock(22), end=clock(6), days=(4,)), NOON, 8)) == [("Fri 22:00", 480)]

    def test_they_come_on_each_of_their_days(self) -> None:
        found = awake(Hours(start=clock(9), end=clock(17), days=(0, 1, 2, 3, 4)), MIDNIGHT, 7)
        assert [when for when, _ in found] == [f"{day} 09:00" for day in ("Tue", "Wed", "Thu", "Fri", "Mon")]

    @table("condition values expected", {
        "goes on": (warn(hours=ONE), [81] * 4, [ASLEEP, WARN, WARN, WARN]),
        "ends": (warn(hours=ONE), [1, 81, 81, 1, 81], [FINE, WARN, WARN, FINE, ASLEEP]),
        "is kept": (warn(hours=ONE, keep=1), [1, 81, 1, 81, 1, 1, 81],
                    [FINE, WARN, WARN_KEEPS, WARN, WARN_KEEPS, FINE, ASLEEP]),
        "waits no more": (warn(hours=ONE, hold=1), [81] * 3, [ASLEEP, WAIT, ASLEEP]),
        "clears": (warn(hours=ONE, warning_clear=75), [1, 81, 78, 75, 78], [FINE, WARN, WARN_CLEARS, FINE, FINE]),
        "gets worse": (both(hours=ONE), [1, 81, 81, 96, 81], [FINE, WARN, WARN, CRIT, WARN]),
    })  # fmt: skip
    def test_nothing_begins_after_them(self, condition: Condition, values: Values, expected: Words) -> None:
        assert run(condition, values) == expected


class TestWhatMoves:
    @table("condition values minutes", {
        "once": (warn(), [81] * 30, [0]),
        "every four minutes": (warn(renotify=4), [1, *[81] * 10], [1, 5, 9]),
        "not while it waits": (warn(renotify=1, hold=2), [81] * 5, [2, 3, 4]),
        "while it is kept": (warn(renotify=2, keep=3), [81, 1, 1, 1, 1], [0, 2]),
        "anew from the next time": (warn(renotify=2), [81, 81, 1, 81, 81, 81], [0, 3, 5]),
        "anew from when it is worse": (both(renotify=4), [81, 81, 96, 96, 96, 96, 96], [0, 2, 6]),
        "not when it is better": (both(), [96, 81, 81, 96, 81], [0, 3]),
        "as before when it is better": (both(renotify=3), [96, 81, 81, 81, 81], [0, 3]),
        "of a silence": (warn(no_data="alert", silent=1, renotify=3), [1, *[None] * 6], [2, 5]),
        "of a silence and what follows": (warn(no_data="alert", silent=1), [None, None, None, 81, 81], [1, 3]),
        "through a silence": (warn(no_data="alert", silent=1, renotify=3), [81, *[None] * 4], [0, 3]),
        "after its hours": (warn(renotify=2, hours=Hours(start=clock(12), end=clock(12, 1))), [81] * 4, [0, 2]),
    })  # fmt: skip
    def test_people_are_told_then_and_never_else(
        self, condition: Condition, values: Values, minutes: list[int]
    ) -> None:
        assert told(stand(condition, values)) == minutes

    def test_nobody_is_told_of_what_is_over(self) -> None:
        assert [row.told for row in stand(warn(), [81, 81, 1])] == [NOON, NOON, None]

    def test_since_moves_with_the_state_alone(self) -> None:
        rows = stand(both(warning_clear=75, hold=1, keep=1), [1, 81, 81, 78, 1, 81, 96, 96, 1, 1, None])
        assert [number for number, row in enumerate(rows) if row.since == NOON + number * MINUTE] == [0, 1, 2, 7, 9]

    @table("condition values", {
        "fine": (both(), [1, 2]),
        "a warning": (both(renotify=9), [81, 90]),
        "a critical": (both(), [96, 99]),
        "waiting": (warn(hold=9), [81, 82]),
        "a critical clears": (STEPS, [99, 90, 88]),
        "a warning clears": (STEPS, [81, 78, 76]),
        "a level is kept": (warn(keep=9), [81, 1, 2]),
        "a warning is kept after a critical": (both(keep=3), [99, 90, 90, 90, 1, 1]),
        "few": (warn(least=3), [(1, 1), (99, 2)]),
        "kept through few": (warn(least=3, no_data="keep"), [(99, 3), (1, 1), (1, 2)]),
        "no data": (both(), [None, None]),
        "kept through a silence": (warn(no_data="keep"), [81, None, None]),
        "a silence yet to be told": (warn(no_data="alert"), [1, None, None]),
        "a silence": (warn(no_data="alert", silent=0), [None, None]),
        "a silence of zero": (warn(no_data="zero"), [None, None]),
        "asleep": (warn(hours=Hours(start=0, end=1)), [81, 90]),
    })  # fmt: skip
    def test_the_very_same_comes_back_where_nothing_does(self, condition: Condition, values: Values) -> None:
        *_, before, after = stand(condition, values)
        assert after is before


class Slow:
    """A rule by the book: each level for itself, each minute by looking back at all that were."""

    def __init__(self, condition: Condition, readings: list[Reading], first: datetime) -> None:
        self.condition, self.readings, self.first = condition, readings, first
        warning, critical = (condition.warning, condition.warning_clear), (condition.critical, condition.critical_clear)
        self.thresholds = {"warning": warning, "critical": critical}
        self.justified: dict[str, list[bool]] = {"warning": [], "critical": []}
        self.on: dict[str, list[bool]] = {"warning": [], "critical": []}
        self.words: list[Word] = []
        self.tellings: list[int] = []
        for minute in range(len(readings)):
            self.live(minute)

    def live(self, minute: int) -> None:
        value, frozen, sleeps = self.value(minute), self.frozen(minute), self.sleeps(minute)
        silence = frozen and self.silence(minute)
        for level in ("critical", "warning"):
            now = self.justifies(value, level, minute)
            if frozen:
                now = not silence and minute > 0 and self.justified[level][-1]
            elif sleeps:
                now = False
            self.justified[level].append(now)
        for level in ("critical", "warning"):
            self.on[level].append(self.fires(level, minute, frozen))
        self.words.append(self.word(minute, value, frozen, silence, sleeps))
        if self.tells(minute):
            self.tellings.append(minute)

    def value(self, minute: int) -> float | None:
        """What is judged, if anything is."""
        found = self.readings[minute]
        if found.value is None:
            return 0.0 if self.condition.no_data == "zero" else None
        return found.value if found.samples >= self.condition.least else None

    def frozen(self, minute: int) -> bool:
        """Whether it is to stay as it was."""
        told = self.readings[minute].value is not None and minute > 0 and self.words[minute - 1][0] == "no_data"
        return self.value(minute) is None and self.condition.no_data in ("keep", "alert") and not told

    def sleeps(self, minute: int) -> bool:
        """Hours as spans on the wall, of this day and of the one before."""
        hours = self.condition.hours
        if hours is None or self.fired(minute):
            return False
        wall = (self.first + minute * MINUTE).astimezone(ZoneInfo(hours.zone)).replace(tzinfo=None)
        midnight = wall.replace(hour=0, minute=0)
        for day in (midnight, midnight - DAY):
            begin, end = day + hours.start * MINUTE, day + hours.end * MINUTE
            if hours.start == hours.end:
                begin, end = day, day
            if day.weekday() in hours.days and begin <= wall < (end if end > begin else end + DAY):
                return False
        return True

    def fired(self, minute: int) -> Level:
        """What did a minute ago."""
        levels: tuple[Level, ...] = ("critical", "warning")
        return next((level for level in levels if minute and self.on[level][minute - 1]), "")

    def beyond(self, value: float | None, threshold: float | None) -> bool:
        if value is None or threshold is None:
            return False
        sides = {"gt": value > threshold, "lt": value < threshold}
        return sides[self.condition.operator[:2]] or (len(self.condition.operator) == 3 and value == threshold)

    def justifies(self, value: float | None, level: str, minute: int) -> bool:
        """Beyond its threshold, or beyond where it clears if it fires; and what is critical is a warning too."""
        threshold, clear = self.thresholds[level]
        fires = self.fired(minute) in ("critical", level) and threshold is not None
        worse = level == "warning" and self.justifies(value, "critical", minute)
        return worse or self.beyond(value, threshold) or (fires and self.beyond(value, clear))

    def fires(self, level: str, minute: int, frozen: bool) -> bool:
        """It begins after `hold` minutes and one more that justify it, and ends after `keep` and one that do not."""
        before, rows = minute > 0 and self.on[level][minute - 1], self.justified[level]
        if frozen or self.thresholds[level][0] is None:
            return before
        if before:
            return any(rows[max(0, minute - self.condition.keep) :])
        return minute >= self.condition.hold and all(rows[minute - self.condition.hold :])

    def silence(self, minute: int) -> bool:
        """Whether it is an alert: it was, or it has been long enough and nothing else fires."""
        condition, length = self.condition, self.condition.silent + 1
        if condition.no_data != "alert" or self.fired(minute):
            return False
        quiet = [found.value is None for found in self.readings[: minute + 1]][-length:]
        long = len(quiet) == length and all(quiet) and not self.sleeps(minute)
        return long or (minute > 0 and self.words[minute - 1][0] == "no_data")

    def word(self, minute: int, value: float | None, frozen: bool, silence: bool, sleeps: bool) -> Word:
        nothing: Because = "few" if self.readings[minute].value is not None else "no_data"
        fires, reached = self.fired(minute + 1), any(rows[minute] for rows in self.justified.values())
        beyond = [level for level, (threshold, _) in self.thresholds.items() if self.beyond(value, threshold)]
        if silence:
            return SILENT
        if frozen:
            return fires or ("pending" if reached else "ok"), nothing
        if fires:
            lasts: Because = "clearing" if self.justified[fires][minute] else "keeping"
            return fires, "breach" if fires in beyond or "critical" in beyond else lasts
        if reached:
            return WAIT
        return ASLEEP if beyond and sleeps else ("ok", nothing if value is None else "fine")

    def tells(self, minute: int) -> bool:
        ranks: list[State] = ["no_data", "warning", "critical"]
        now, before = self.words[minute][0], self.words[minute - 1][0] if minute else "ok"
        if now not in ranks:
            return False
        if before not in ranks or ranks.index(now) > ranks.index(before):
            return True
        return 0 < self.condition.renotify <= minute - self.tellings[-1]


@st.composite
def conditions(draw: st.DrawFn, first: datetime) -> Condition:
    """Thresholds at 4 and 7, or mirrored; hours around the time from `first`, on clocks that change within it."""
    operator: Operator = draw(st.sampled_from(get_args(Operator)))
    few = st.integers(0, 5)

    def threshold(*values: int) -> float | None:
        value = draw(st.sampled_from([*values, None]))
        return value if value is None or operator.startswith("g") else 10.0 - value

    zone = draw(st.sampled_from(["UTC", BERLIN, KOLKATA]))
    wall = first.astimezone(ZoneInfo(zone))
    start, end = (clock(wall.hour, wall.minute) + draw(st.integers(low, low + 180)) for low in (-90, 0))
    days = draw(st.sets(st.sampled_from([5, 6, 0])))
    hours = Hours(start=start % 1440, end=end % 1440, zone=zone, days=tuple(days))
    return Condition(
        operator=operator, hours=draw(st.sampled_from([hours, None])),
        warning=threshold(4, 4), warning_clear=threshold(2), critical=threshold(7, 7),
        critical_clear=threshold(5, 3), hold=draw(few), keep=draw(few),
        least=draw(st.integers(0, 3)), no_data=draw(st.sampled_from(get_args(NoData))),
        silent=draw(few), renotify=draw(st.integers(0, 7)),
    )  # fmt: skip


RUNS = [
    (Reading(value, samples), length)
    for value in (None, *map(float, range(11))) for samples in (0, 1, 2, 3, 3, 3) for length in (1, 1, 2, 3, 7)
]  # fmt: skip


class TestAgainstASlowTwin:
    @settings(max_examples=500, deadline=None)
    @given(
        st.data(), st.sampled_from([SPRING, AUTUMN]), st.integers(0, 240),
        st.lists(st.sampled_from(RUNS), min_size=15, max_size=60),
    )  # fmt: skip
    def test_they_agree_on_every_minute_of_every_history(
        self, data: st.DataObject, day: datetime, late: int, runs: list[tuple[Reading, int]]
    ) -> None:
        first = day + timedelta(hours=9, minutes=late)
        condition = data.draw(conditions(first))
        readings = [found for found, length in runs for _ in range(length)][:120]
        slow, rows = Slow(condition, readings, first), list[Standing]()
        for number, found in enumerate(readings):
            rows.append(decide(condition, rows[-1] if rows else None, found, first + number * MINUTE))
        assert [(row.state, row.because) for row in rows] == slow.words
        assert told(rows, first) == slow.tellings
        assert all((row.told is not None) == row.firing for row in rows)
        assert [row.silent is None for row in rows] == [found.value is not None for found in readings]
        for number, (before, after) in enumerate(pairwise(rows), 1):
            assert after.since == (before.since if after.state == before.state else first + number * MINUTE)
            assert (after is before) == (after == before)
