"""What every store promises of samples, counters, histories and people, held against Postgres and the twin."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedrock.identifiers import milliseconds
from monitoring.store import spans
from monitoring.store.base import OutOfScope, Store
from monitoring.store.postgres import PostgresStore
from monitoring.store.samples import Increment, Labels, Level, Sample, Span, Spans, Trace
from organizations.scope import Scope
from tests.memory_store import MemoryStore, inference

SWAGGY, SCIENTIA = "swaggystacks", "scientia_capital"
SCOPE = Scope.of(SWAGGY)
EVERYONE = Scope.system("test")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# Some hours of yesterday, which single samples are kept of.
NOON = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - DAY + timedelta(hours=12)
NOW = NOON + HOUR * 12
LOAD, BYTES = "cockpit_load_ratio", "cockpit_network_received_bytes_total"
CALLS = "cockpit_http_requests_total"
OVERFLOW = "cockpit_series_overflow_total"


def at(**after_noon: float) -> datetime:
    return NOON + timedelta(**after_noon)


def labelled(**labels: str) -> Labels:
    return tuple(sorted(labels.items()))


def sample(value: float, moment: datetime | None = None, family: str = LOAD, **changes: Any) -> Sample:
    plain: dict[str, Any] = {"organization": SWAGGY, "labels": labelled(host="a")}
    return Sample(family=family, at_ms=milliseconds(moment or NOON), value=value, **{**plain, **changes})


def increment(amount: float, moment: datetime | None = None, family: str = CALLS, **changes: Any) -> Increment:
    plain: dict[str, Any] = {"organization": SWAGGY, "labels": labelled(route="home")}
    return Increment(family=family, at_ms=milliseconds(moment or NOON), amount=amount, **{**plain, **changes})


def trace(family: str = LOAD, **changes: Any) -> Trace:
    plain: dict[str, Any] = {"organization": SWAGGY, "start": NOON - 6 * HOUR, "end": NOON + 6 * HOUR}
    return Trace(family=family, **{**plain, **changes})


@dataclass
class World:
    store: Store
    another_process: Callable[[], Store]

    def observe(self, *readings: Sample | Increment, scope: Scope = EVERYONE, now: datetime = NOW) -> None:
        samples = [one for one in readings if isinstance(one, Sample)]
        increments = [one for one in readings if isinstance(one, Increment)]
        self.store.observe(scope, samples, increments, now=now)

    def levels(self, scope: Scope = SCOPE, since: datetime = NOON - DAY, **more: Any) -> list[Level]:
        return self.store.levels(scope, since=since, **more)

    def values(self, scope: Scope = SCOPE, **more: Any) -> dict[tuple[str, Labels], float]:
        return {(level.family, level.labels): level.value for level in self.levels(scope, **more)}

    def counters(self, scope: Scope = SCOPE, **more: Any) -> dict[tuple[str, Labels], float]:
        return {(level.family, level.labels): level.value for level in self.store.counters(scope, **more)}

    def history(self, one: Trace, step_seconds: int = 60, scope: Scope = SCOPE) -> Spans:
        return self.store.history(scope, [one], step_seconds=step_seconds)[0]

    def steps(self, one: Trace, step_seconds: int = 60, scope: Scope = SCOPE) -> dict[datetime, Span]:
        """The steps of the one answer there is."""
        answers = list(self.history(one, step_seconds, scope).values())
        assert len(answers) <= 1
        return dict(answers[0]) if answers else {}

    def total(self, one: Trace, step_seconds: int = 60) -> float:
        return sum(span.total for span in self.steps(one, step_seconds).values())


@pytest.fixture(params=["postgres", "memory"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        twin = MemoryStore()
        return World(twin, lambda: twin)
    request.getfixturevalue("database")
    return World(PostgresStore(), PostgresStore)


class TestObserve:
    def test_it_keeps_the_newest_sample_of_each_series(self, world: World) -> None:
        world.observe(sample(0.5), sample(0.7, labels=labelled(host="b")), sample(3, family="cockpit_workers"))
        world.observe(sample(0.6, at(seconds=10)))
        assert world.levels() == [
            Level(SWAGGY, LOAD, labelled(host="a"), at(seconds=10), 0.6),
            Level(SWAGGY, LOAD, labelled(host="b"), NOON, 0.7),
            Level(SWAGGY, "cockpit_workers", labelled(host="a"), NOON, 3.0),
        ]

    def test_it_takes_nothing(self, world: World) -> None:
        world.observe()
        assert (world.levels(), world.counters()) == ([], {})

    def test_a_late_sample_moves_no_level_back(self, world: World) -> None:
        world.observe(sample(2, at(seconds=20)))
        world.observe(sample(1, at(seconds=10)))
        assert world.levels() == [Level(SWAGGY, LOAD, labelled(host="a"), at(seconds=20), 2.0)]
        assert world.steps(trace())[NOON] == Span(2, 3.0, 1.0, 2.0, 2.0)

    def test_a_batch_may_come_in_any_order(self, world: World) -> None:
        world.observe(*(sample(second, at(seconds=second)) for second in (30, 10, 50, 20)))
        assert world.steps(trace())[NOON] == Span(4, 110.0, 10.0, 50.0, 50.0)

    def test_a_second_sample_for_the_same_moment_changes_nothing(self, world: World) -> None:
        world.observe(sample(1), sample(5))
        world.observe(sample(9), sample(4, at(seconds=10)))
        world.another_process().observe(SCOPE, [sample(7), sample(8, at(seconds=10))], now=NOW)
        assert world.steps(trace()) == {NOON: Span(2, 5.0, 1.0, 4.0, 4.0)}
        assert world.values() == {(LOAD, labelled(host="a")): 4.0}

    def test_it_keeps_samples_older_than_single_ones_in_rollups_alone(self, world: World) -> None:
        old = NOON - 10 * DAY
        world.observe(sample(1, old), sample(3, old + 10 * MINUTE))
        world.observe(sample(5, old + 10 * MINUTE))
        one = trace(start=old, end=old + HOUR)
        assert world.steps(one) == {
            old: Span(1, 1.0, 1.0, 1.0, 1.0), old + 10 * MINUTE: Span(2, 8.0, 3.0, 5.0, 5.0)
        }  # fmt: skip
        assert world.levels() == []
        assert world.values(since=old) == {(LOAD, labelled(host="a")): 3.0}

    def test_it_tells_series_apart_by_organization_family_and_every_label(self, world: World) -> None:
        for place, labels in enumerate(((), labelled(a="1"), labelled(a="1", b=""), labelled(a="", b="1"))):
            world.observe(sample(place, labels=labels), sample(10 + place, labels=labels, organization=SCIENTIA))
        found = {(level.organization, level.labels): level.value for level in world.levels(EVERYONE)}
        assert found == {
            (SWAGGY, ()): 0.0, (SWAGGY, labelled(a="1")): 1.0, (SWAGGY, labelled(a="1", b="")): 2.0,
            (SWAGGY, labelled(a="", b="1")): 3.0,
            (SCIENTIA, ()): 10.0, (SCIENTIA, labelled(a="1")): 11.0, (SCIENTIA, labelled(a="1", b="")): 12.0,
            (SCIENTIA, labelled(a="", b="1")): 13.0,
        }  # fmt: skip

    @pytest.mark.parametrize(
        "value", ["ü 🦙", '"quoted"', "back\\slash", "{a,b}", "NULL", "%s", "'--", ",", "x" * 200, "a=b"]
    )
    def test_it_keeps_every_label_value_as_it_is(self, world: World, value: str) -> None:
        labels = tuple((f"label_{place:02d}", value) for place in range(20))
        world.observe(sample(1, labels=labels), increment(2, labels=labels))
        assert world.values() == {(LOAD, labels): 1.0}
        assert world.counters() == {(CALLS, labels): 2.0}
        assert world.history(trace(where=labels[:2])).keys() == {labels}

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_it_refuses_what_is_no_number_and_keeps_nothing_of_the_batch(self, world: World, value: float) -> None:
        for bad in (sample(value), increment(value)):
            with pytest.raises(ValueError, match=bad.family):
                world.observe(sample(1, family="cockpit_good"), increment(1, family="cockpit_good_total"), bad)
        with pytest.raises(ValueError, match=CALLS):
            world.observe(increment(-1))
        assert (world.levels(), world.counters()) == ([], {})

    @pytest.mark.parametrize("value", [0.1, -0.0, 1e308, 5e-324, 2.0**53 + 2, 1 / 3])
    def test_it_keeps_values_to_the_last_bit(self, world: World, value: float) -> None:
        world.observe(sample(value))
        assert world.values() == {(LOAD, labelled(host="a")): value}


class TestScope:
    def test_it_refuses_a_batch_with_any_row_outside_and_keeps_nothing_of_it(self, world: World) -> None:
        for stranger in (sample(1, organization=SCIENTIA), increment(1, organization=SCIENTIA)):
            with pytest.raises(OutOfScope):
                world.observe(sample(1), increment(1), stranger, scope=SCOPE)
        assert (world.levels(EVERYONE), world.counters(EVERYONE)) == ([], {})

    @pytest.mark.parametrize("scope", [Scope.of(), Scope.of(SCIENTIA), Scope.of("nobody")])
    def test_no_verb_shows_another_organization(self, world: World, scope: Scope) -> None:
        world.observe(sample(1), increment(1))
        world.store.append(EVERYONE, [inference(NOON, user_hash="u")], now=NOW)
        assert (world.levels(scope), world.counters(scope)) == ([], {})
        assert world.store.history(scope, [trace(), trace(CALLS)], step_seconds=60) == [{}, {}]
        assert world.store.users(scope, NOON.date(), NOON.date() + DAY) == {}
        assert world.store.erase(scope, source="live") == 0
        assert world.values() == {(LOAD, labelled(host="a")): 1.0}
        assert world.counters() == {(CALLS, labelled(route="home")): 1.0}
        assert world.total(trace()) == 1.0
        assert world.store.users(SCOPE, NOON.date(), NOON.date() + DAY) == {SWAGGY: {NOON.date(): 1}}

    def test_the_system_sees_all(self, world: World) -> None:
        world.observe(sample(1), sample(2, organization="shared"), increment(3, organization=SCIENTIA))
        assert [level.organization for level in world.levels(EVERYONE)] == ["shared", SWAGGY]
        assert [level.organization for level in world.store.counters(EVERYONE)] == [SCIENTIA]
        found = world.store.history(EVERYONE, [trace(organization="shared"), trace()], step_seconds=60)
        assert [dict(answer[labelled(host="a")])[NOON].last for answer in found] == [2.0, 1.0]


class TestRunningTotals:
    """Somebody's total, such as the kernel's: what counts is how much it grew."""

    def test_the_first_sample_is_no_growth(self, world: World) -> None:
        world.observe(sample(1_000_000, family=BYTES))
        assert world.steps(trace(BYTES)) == {NOON: Span(1, 0.0, 1e6, 1e6, 1e6)}

    def test_growth_is_counted_since_the_newest_sample(self, world: World) -> None:
        world.observe(sample(100, family=BYTES))
        world.observe(sample(130, at(seconds=10), BYTES), sample(150, at(minutes=2), BYTES))
        world.observe(sample(150, at(minutes=3), BYTES))
        steps = world.steps(trace(BYTES))
        assert {start: span.total for start, span in steps.items()} == {
            NOON: 30.0, at(minutes=2): 20.0, at(minutes=3): 0.0
        }  # fmt: skip
        assert steps[NOON] == Span(2, 30.0, 100.0, 130.0, 130.0)
        assert world.values() == {(BYTES, labelled(host="a")): 150.0}

    def test_a_fall_is_a_new_beginning(self, world: World) -> None:
        world.observe(sample(100, family=BYTES), sample(7, at(seconds=10), BYTES), sample(9, at(seconds=20), BYTES))
        assert world.total(trace(BYTES)) == 9.0

    def test_a_late_or_repeated_sample_counts_no_growth_again(self, world: World) -> None:
        world.observe(sample(100, family=BYTES), sample(200, at(seconds=20), BYTES))
        world.observe(sample(150, at(seconds=10), BYTES))
        world.observe(sample(200, at(seconds=20), BYTES), sample(100, family=BYTES))
        world.observe(sample(210, at(seconds=30), BYTES))
        assert world.total(trace(BYTES)) == 110.0
        assert world.steps(trace(BYTES))[NOON].count == 4

    def test_it_is_told_by_the_familys_name(self, world: World) -> None:
        for family in ("cockpit_memory_bytes", "cockpit_total_bytes"):
            world.observe(sample(5, family=family), sample(7, at(seconds=10), family))
            assert world.total(trace(family)) == 12.0


class TestCounters:
    def test_it_adds_up_for_good(self, world: World) -> None:
        world.observe(increment(2), increment(0.5, at(seconds=1)), increment(1, labels=labelled(route="other")))
        world.another_process().observe(SCOPE, [], [increment(4, at(minutes=5))], now=NOW)
        assert world.store.counters(SCOPE) == [
            Level(SWAGGY, CALLS, labelled(route="home"), at(minutes=5), 6.5),
            Level(SWAGGY, CALLS, labelled(route="other"), NOON, 1.0),
        ]
        steps = world.steps(trace(CALLS, where=labelled(route="home")))
        assert steps == {NOON: Span(2, 2.5, 2.0, 2.5, 2.5), at(minutes=5): Span(1, 4.0, 6.5, 6.5, 6.5)}

    def test_a_late_increment_counts_in_its_own_minute_and_moves_no_counter_back(self, world: World) -> None:
        world.observe(increment(3, at(minutes=2)))
        world.observe(increment(2))
        assert world.store.counters(SCOPE) == [Level(SWAGGY, CALLS, labelled(route="home"), at(minutes=2), 5.0)]
        assert {start: span.total for start, span in world.steps(trace(CALLS)).items()} == {
            NOON: 2.0, at(minutes=2): 3.0
        }  # fmt: skip

    def test_increments_of_one_moment_all_count(self, world: World) -> None:
        world.observe(increment(1), increment(1))
        world.observe(increment(1))
        assert world.counters() == {(CALLS, labelled(route="home")): 3.0}
        assert world.total(trace(CALLS)) == 3.0

    def test_a_counter_of_ours_is_no_level_and_a_level_no_counter(self, world: World) -> None:
        world.observe(increment(1), sample(7, family=CALLS, labels=labelled(route="home")))
        assert world.counters() == {(CALLS, labelled(route="home")): 1.0}
        assert world.values() == {(CALLS, labelled(route="home")): 7.0}

    def test_it_keeps_a_counter_that_did_not_grow(self, world: World) -> None:
        world.observe(increment(0))
        assert world.counters() == {(CALLS, labelled(route="home")): 0.0}


class TestLevels:
    def test_it_tells_those_read_since_then(self, world: World) -> None:
        world.observe(sample(1), sample(2, at(seconds=10), labels=labelled(host="b")))
        assert world.values(since=NOON).keys() == {(LOAD, labelled(host="a")), (LOAD, labelled(host="b"))}
        assert world.values(since=at(milliseconds=1)).keys() == {(LOAD, labelled(host="b"))}
        assert world.values(since=at(seconds=11)) == {}

    def test_it_keeps_only_the_families_asked_for(self, world: World) -> None:
        world.observe(sample(1), sample(2, family=BYTES), increment(3), increment(4, family="cockpit_errors_total"))
        assert {family for family, _ in world.values(families={LOAD})} == {LOAD}
        assert {family for family, _ in world.values(families=[LOAD, BYTES, "cockpit_none"])} == {LOAD, BYTES}
        assert world.values(families=()) == {}
        assert {family for family, _ in world.counters(families=(CALLS,))} == {CALLS}
        assert world.counters(families=()) == {}

    def test_it_never_tells_demo_or_replay(self, world: World) -> None:
        for source in ("demo", "replay"):
            world.observe(sample(9, at(minutes=1), source=source), increment(9, source=source))
        assert (world.levels(), world.counters()) == ([], {})
        world.observe(sample(1), increment(1))
        assert world.values() == {(LOAD, labelled(host="a")): 1.0}
        assert world.counters() == {(CALLS, labelled(route="home")): 1.0}


def two_hosts(world: World) -> None:
    """Hosts a and b in zone x, c in y; minutes 0 and 1, and an hour later."""
    for place, (host, zone) in enumerate((("a", "x"), ("b", "x"), ("c", "y"))):
        labels = labelled(host=host, zone=zone)
        for moment in (NOON, at(seconds=30), at(minutes=1), at(hours=1, minutes=3)):
            world.observe(sample((moment - NOON).seconds + 1000 * place, moment, labels=labels))


class TestHistory:
    def test_it_answers_every_trace_in_its_place(self, world: World) -> None:
        world.observe(sample(1), sample(2, family=BYTES), increment(3))
        strangers = [trace("cockpit_none"), trace(organization=SCIENTIA), trace(organization="nobody")]
        asked = [trace(CALLS), *strangers, trace(), trace(start=at(hours=1))]
        found = world.store.history(EVERYONE, asked, step_seconds=60)
        assert [list(answer) for answer in found] == [
            [labelled(route="home")], [], [], [], [labelled(host="a")], []
        ]  # fmt: skip
        assert world.store.history(EVERYONE, [], step_seconds=60) == []

    def test_it_takes_the_start_in_and_leaves_the_end_out(self, world: World) -> None:
        world.observe(*(sample(1, moment) for moment in (at(milliseconds=-1), NOON, at(seconds=59.999), at(minutes=1))))
        assert world.steps(trace(start=NOON, end=at(minutes=1))) == {NOON: Span(2, 2.0, 1.0, 1.0, 1.0)}
        assert world.steps(trace(start=NOON, end=NOON)) == {}
        assert world.steps(trace(start=at(hours=1), end=NOON)) == {}

    @pytest.mark.parametrize("step", [60, 300, 420, 3600, 7200, 86_400])
    def test_steps_are_counted_from_1970(self, world: World, step: int) -> None:
        moments = [NOON + number * 7 * MINUTE for number in range(-40, 40)]
        world.observe(*(sample(number, moment) for number, moment in enumerate(moments)))
        start, end = at(hours=-4, minutes=-13), at(hours=3, minutes=44)
        expected: dict[datetime, list[int]] = {}
        for number, moment in enumerate(moments):
            if start <= moment < end:
                seconds = int(moment.timestamp()) // step * step
                expected.setdefault(datetime.fromtimestamp(seconds, UTC), []).append(number)
        found = world.steps(trace(start=start, end=end), step)
        assert found == {
            moment: Span(len(held), float(sum(held)), min(held), max(held), held[-1])
            for moment, held in expected.items()
        }
        assert list(found) == sorted(found)

    def test_it_keeps_every_series_apart_without_by(self, world: World) -> None:
        two_hosts(world)
        found = world.history(trace(where=labelled(zone="x")))
        assert found.keys() == {labelled(host="a", zone="x"), labelled(host="b", zone="x")}
        assert dict(found[labelled(host="b", zone="x")])[NOON] == Span(2, 2030.0, 1000.0, 1030.0, 1030.0)

    def test_it_joins_all_for_an_empty_by(self, world: World) -> None:
        two_hosts(world)
        found = world.history(trace(by=()), 3600)
        assert found.keys() == {()}
        assert [start for start, _ in found[()]] == [NOON, at(hours=1)]
        held = [0, 30, 60, 1000, 1030, 1060, 2000, 2030, 2060]
        span = dict(found[()])[NOON]
        assert span == Span(9, float(sum(held)), 0.0, 2060.0, 60.0 + 1060 + 2060)
        assert span.mean == sum(held) / 9  # of all readings

    def test_it_joins_by_labels(self, world: World) -> None:
        two_hosts(world)
        found = world.history(trace(by=("zone",)))
        assert found.keys() == {labelled(zone="x"), labelled(zone="y")}
        assert dict(found[labelled(zone="x")])[NOON] == Span(4, 2060.0, 0.0, 1030.0, 1060.0)
        both = world.history(trace(by=("zone", "host", "none")))
        assert both == world.history(trace())

    def test_a_series_without_the_label_is_joined_with_others_without(self, world: World) -> None:
        world.observe(sample(1, labels=()), sample(2, labels=labelled(a="1")), sample(3, labels=labelled(b="1")))
        found = world.history(trace(by=("b",)))
        assert {labels: dict(steps)[NOON].total for labels, steps in found.items()} == {(): 3.0, labelled(b="1"): 3.0}

    def test_it_keeps_the_series_that_have_all_the_labels(self, world: World) -> None:
        two_hosts(world)

        def hosts(**where: str) -> set[str]:
            return {dict(labels)["host"] for labels in world.history(trace(where=labelled(**where)))}

        assert hosts() == {"a", "b", "c"}
        assert hosts(zone="x") == {"a", "b"}
        assert hosts(zone="x", host="b") == {"b"}
        assert hosts(zone="y", host="b") == hosts(zone="z") == hosts(rack="x") == hosts(zone="") == set()

    def test_the_last_of_a_step_is_the_newest_one_of_each_series(self, world: World) -> None:
        """However the readings came in, and whichever rollups the step is read from."""
        for moment in (at(hours=2, minutes=5), at(minutes=-5), at(hours=1), at(hours=2, minutes=2), at(minutes=-9)):
            world.observe(sample((moment - NOON).total_seconds(), moment))
        for step in (3600, 86_400):
            found = world.steps(trace(start=at(minutes=-8), end=at(hours=2, minutes=4)), step)
            assert list(found.values())[-1].last == 7320.0
        assert world.steps(trace(end=at(hours=2)), 86_400)[NOON - 12 * HOUR].last == 3600.0

    def test_it_keeps_only_the_sources_asked_for_and_joins_the_others(self, world: World) -> None:
        world.observe(*(sample(value, source=source) for value, source in ((1, "live"), (10, "demo"), (100, "replay"))))
        assert world.total(trace()) == 111.0
        assert world.total(trace(sources=("live",))) == 1.0
        assert world.total(trace(sources=("demo", "replay"))) == 110.0
        assert world.history(trace(sources=())) == {}

    def test_growth_of_joined_running_totals_is_added_up(self, world: World) -> None:
        for host, first, then in (("a", 100, 160), ("b", 1000, 40)):
            labels = labelled(host=host)
            world.observe(sample(first, family=BYTES, labels=labels), sample(then, at(hours=1), BYTES, labels=labels))
        steps = world.steps(trace(BYTES, by=()), 3600)
        assert {start: span.total for start, span in steps.items()} == {NOON: 0.0, at(hours=1): 100.0}


class TestCap:
    def test_it_merges_series_beyond_the_cap_and_counts_their_readings(self, world: World) -> None:
        first = [sample(1, labels=labelled(host=str(number))) for number in range(2_000)]
        world.observe(*first)
        late = labelled(host="late")
        world.observe(sample(5, labels=late), sample(2, at(seconds=9), labels=labelled(host="0")))
        world.observe(sample(6, at(seconds=9), labels=labelled(host="later")), sample(7, at(minutes=1), labels=late))
        world.observe(increment(3, labels=labelled(route="new")), increment(4, labels=labelled(route="newer")))
        values = world.values()
        assert len(values) == 2_001
        assert values[LOAD, labelled(host="__other__")] == 7.0
        assert values[LOAD, labelled(host="0")] == 2.0
        assert world.steps(trace(where=labelled(host="__other__")))[NOON] == Span(2, 11.0, 5.0, 6.0, 6.0)
        assert world.counters() == {
            (CALLS, labelled(route="__other__")): 7.0,
            (OVERFLOW, labelled(family=LOAD)): 3.0,
            (OVERFLOW, labelled(family=CALLS)): 2.0,
        }
        # Another organization has room, and so has another source; a series without labels is one and no more.
        world.observe(sample(1, labels=late, organization=SCIENTIA), sample(1, labels=late, source="demo"))
        world.observe(sample(8, family="cockpit_workers", labels=()))
        assert world.values(Scope.of(SCIENTIA)) == {(LOAD, late): 1.0}
        assert world.values()["cockpit_workers", ()] == 8.0
        assert world.counters()[OVERFLOW, labelled(family=LOAD)] == 3.0
        # Several running totals in one are nobody's growth.
        for number in range(3):
            totals = [sample(10 * number + place, at(minutes=number), BYTES, labels=labelled(disk=str(place)))
                      for place in range(2)]  # fmt: skip
            world.observe(*totals)
        assert world.total(trace(BYTES, where=labelled(disk="__other__"))) == 0.0

    def test_the_platform_has_room_for_many_machines(self, world: World) -> None:
        world.observe(*(sample(1, labels=labelled(host=str(number)), organization="shared") for number in range(2_500)))
        assert len(world.values(Scope.of("shared"))) == 2_500
        assert world.counters(Scope.of("shared")) == {}

    def test_series_silent_for_a_week_leave_their_places_to_others_and_counters_never(self, world: World) -> None:
        old = NOW - 7 * DAY
        world.observe(*(sample(1, old, labels=labelled(host=str(number))) for number in range(1_500)))
        world.observe(*(increment(1, old, labels=labelled(route=str(number))) for number in range(500)))
        late = labelled(host="late")
        world.observe(sample(5, labels=late))
        assert (LOAD, late) not in world.values()
        later = NOW + HOUR
        world.observe(sample(6, at(minutes=1), labels=late), now=later)
        assert world.values()[LOAD, late] == 6.0
        others = [sample(7, at(minutes=1), labels=labelled(host=f"new {number}")) for number in range(1_500)]
        world.observe(*others, now=later)
        # 500 counters and the one of overflow, and two series that are heard of, keep their places.
        news = {labels for _, labels in world.values() if labels != late}
        assert news == {labelled(host="__other__"), *(labelled(host=f"new {number}") for number in range(1_497))}
        # One that had a place before is known again.
        world.observe(sample(8, at(minutes=2), labels=labelled(host="0")), now=later)
        assert world.values()[LOAD, labelled(host="0")] == 8.0

    def test_it_lets_the_first_ones_of_a_batch_in(self, world: World) -> None:
        names = [str(number) for number in range(2_002, 0, -1)]
        world.observe(*(sample(1, labels=labelled(host=name)) for name in names))
        hosts = {dict(labels)["host"] for _, labels in world.values()}
        assert hosts == {*names[:2_000], "__other__"}


class TestErase:
    def test_it_removes_one_source_from_every_answer(self, world: World) -> None:
        for source in ("live", "replay", "demo"):
            world.observe(sample(1, source=source), increment(2, source=source))
            world.observe(sample(4, family=BYTES, source=source), sample(9, at(seconds=1), BYTES, source=source))
            people = [inference(NOON, source=source, user_hash=f"{source} alone"), inference(NOON, user_hash="both",
                      source=source)]  # fmt: skip
            world.store.append(EVERYONE, people, now=NOW)
        today = NOON.date()
        assert world.store.users(SCOPE, today, today + DAY) == {SWAGGY: {today: 4}}
        assert world.store.erase(EVERYONE, source="demo") == 2
        assert world.store.users(SCOPE, today, today + DAY) == {SWAGGY: {today: 3}}
        for one, total in ((trace(), 2.0), (trace(CALLS), 4.0), (trace(BYTES), 10.0)):
            assert world.total(one) == world.total(one, 3600) == total
        assert world.history(trace(sources=("demo",))) == {}
        assert world.store.erase(EVERYONE, source="live") == 2
        assert (world.levels(), world.counters()) == ([], {})
        assert world.total(trace(CALLS)) == 2.0

    def test_it_stays_inside_its_scope(self, world: World) -> None:
        for organization in (SWAGGY, SCIENTIA):
            world.observe(sample(1, organization=organization), increment(1, organization=organization))
        world.store.erase(Scope.of(SCIENTIA), source="live")
        assert {level.organization for level in world.levels(EVERYONE)} == {SWAGGY}
        assert {level.organization for level in world.store.counters(EVERYONE)} == {SWAGGY}

    def test_what_comes_after_begins_anew(self, world: World) -> None:
        world.observe(sample(100, family=BYTES, source="demo"), sample(1, source="demo"))
        world.store.erase(EVERYONE, source="demo")
        world.observe(sample(150, at(seconds=10), BYTES, source="demo"), sample(2, source="demo"))
        assert world.total(trace(BYTES)) == 0.0
        assert world.steps(trace()) == {NOON: Span(1, 2.0, 2.0, 2.0, 2.0)}


class TestUsers:
    DAY_ONE, DAY_TWO = (NOON - DAY).date(), NOON.date()

    @staticmethod
    def call(world: World, *people: str | None, moment: datetime = NOON, **changes: Any) -> list[str]:
        rows = [inference(moment, user_hash=person, **changes) for person in people]
        return [stored.outcome for stored in world.store.append(EVERYONE, rows, now=NOW)]

    def between(self, world: World, start: date, end: date, **more: Any) -> dict[date, int]:
        return dict(world.store.users(SCOPE, start, end, **more).get(SWAGGY, {}))

    def test_it_counts_each_person_once_a_day(self, world: World) -> None:
        self.call(world, "ada", "bob", "ada", None)
        self.call(world, "ada", "cyd", moment=NOON + HOUR, model="other")
        self.call(world, "ada", moment=NOON - DAY)
        assert self.between(world, self.DAY_ONE, self.DAY_TWO + DAY) == {self.DAY_ONE: 1, self.DAY_TWO: 3}

    def test_days_are_utc_days_and_the_end_is_left_out(self, world: World) -> None:
        midnight = NOON - 12 * HOUR
        self.call(world, "late", moment=midnight - timedelta(milliseconds=1))
        self.call(world, "early", "bird", moment=midnight)
        assert self.between(world, self.DAY_ONE, self.DAY_TWO) == {self.DAY_ONE: 1}
        assert self.between(world, self.DAY_TWO, self.DAY_TWO + DAY) == {self.DAY_TWO: 2}
        assert self.between(world, self.DAY_TWO, self.DAY_TWO) == {}

    def test_a_day_without_known_people_is_left_out(self, world: World) -> None:
        self.call(world, None, None)
        assert world.store.users(EVERYONE, self.DAY_ONE, self.DAY_TWO + DAY) == {}

    def test_somebody_of_two_sources_counts_once(self, world: World) -> None:
        self.call(world, "ada", "bob")
        self.call(world, "ada", "cyd", source="demo")
        assert self.between(world, self.DAY_TWO, self.DAY_TWO + DAY) == {self.DAY_TWO: 3}
        for sources, people in ((("live",), 2), (("demo",), 2), (("live", "demo"), 3)):
            found = self.between(world, self.DAY_TWO, self.DAY_TWO + DAY, sources=sources)
            assert found == {self.DAY_TWO: people}
        assert self.between(world, self.DAY_TWO, self.DAY_TWO + DAY, sources=("replay",)) == {}
        assert self.between(world, self.DAY_TWO, self.DAY_TWO + DAY, sources=()) == {}

    def test_organizations_are_apart(self, world: World) -> None:
        self.call(world, "ada", "bob")
        self.call(world, "ada", organization=SCIENTIA)
        found = world.store.users(EVERYONE, self.DAY_TWO, self.DAY_TWO + DAY)
        assert found == {SWAGGY: {self.DAY_TWO: 2}, SCIENTIA: {self.DAY_TWO: 1}}

    def test_what_is_not_stored_counts_nobody(self, world: World) -> None:
        keyed: dict[str, Any] = {"key": b"k" * 16, "content": b"c" * 16}
        assert self.call(world, "ada", **keyed) == ["stored"]
        assert self.call(world, "bob", **keyed) == ["duplicate"]
        assert self.call(world, "cyd", **{**keyed, "content": b"d" * 16}) == ["conflict"]
        assert self.between(world, self.DAY_TWO, self.DAY_TWO + DAY) == {self.DAY_TWO: 1}

    def test_it_keeps_people_of_400_days(self, world: World) -> None:
        now = datetime.now(UTC)
        edge = (now - 400 * DAY).replace(hour=12)
        for moment, person in ((edge, "kept"), (edge - DAY, "old")):
            world.store.append(EVERYONE, [inference(moment, user_hash=person)], now=now)
        found = self.between(world, (edge - 9 * DAY).date(), (edge + DAY).date())
        assert found == {edge.date(): 1}
        world.store.expire(now=now + DAY)
        assert self.between(world, (edge - 9 * DAY).date(), (edge + DAY).date()) == {}

    def test_it_works_without_the_ingest_role(self, database: str) -> None:
        store = PostgresStore()
        store._appender._has_ingest_role = False
        for _ in range(2):
            store.append(SCOPE, [inference(NOON, user_hash="ada"), inference(NOON, user_hash="bob")], now=NOW)
        assert store.users(SCOPE, self.DAY_TWO, self.DAY_TWO + DAY) == {SWAGGY: {self.DAY_TWO: 2}}


READINGS = st.lists(
    st.tuples(
        st.integers(0, 200).map(lambda step: NOON + step * timedelta(seconds=10)),
        st.integers(0, 50),
        st.sampled_from([LOAD, BYTES, CALLS]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=40,
)


def batches(draw: Sequence[Any], size: int) -> list[list[Sample | Increment]]:
    made: list[Sample | Increment] = [
        increment(value, moment, labels=labelled(host=host)) if family == CALLS
        else sample(value, moment, family, labels=labelled(host=host))
        for moment, value, family, host in draw
    ]  # fmt: skip
    return [made[place : place + size] for place in range(0, len(made), size)]


class TestAnyReadings:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(drawn=READINGS, size=st.integers(1, 15), step=st.sampled_from([60, 180, 3600]))
    def test_postgres_answers_as_the_twin_does(self, database: str, drawn: Any, size: int, step: int) -> None:
        store, twin = PostgresStore(), MemoryStore()
        store.erase(EVERYONE, source="live")
        for batch in batches(drawn, size):
            for world in (World(store, PostgresStore), World(twin, lambda: twin)):
                world.observe(*batch)
        asked = [trace(family, by=by) for family in (LOAD, BYTES, CALLS) for by in (None, ())]
        assert store.history(SCOPE, asked, step_seconds=step) == twin.history(SCOPE, asked, step_seconds=step)
        assert store.levels(SCOPE, since=NOON) == twin.levels(SCOPE, since=NOON)
        assert store.counters(SCOPE) == twin.counters(SCOPE)

    @given(
        runs=st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=8), min_size=1, max_size=5),
        cuts=st.integers(1, 9),
    )
    def test_growth_is_what_was_added_between_beginnings(self, runs: list[list[int]], cuts: int) -> None:
        """Runs of steps up from 0; a new one that begins at or above where the last ended cannot be told."""
        values: list[int] = []
        for run in runs:
            level = 0
            for number, up in enumerate(run):
                level += up
                if number or not values or level < values[-1]:
                    values.append(level)
        true = sum(now - then if now >= then else now for then, now in itertools.pairwise(values))
        newest, points = spans.Newest(None, None), []
        readings = [(second * 1000, float(value)) for second, value in enumerate(values)]
        for place in range(0, len(readings), cuts):
            newest, more = spans.sampled(newest, readings[place : place + cuts], adds="growth")
            points += more
        assert sum(point.added for point in points) == true
        assert newest == spans.Newest(*readings[-1])

    @given(values=st.lists(st.integers(0, 1000), min_size=1, max_size=12), order=st.randoms())
    def test_growth_is_never_counted_twice_whatever_the_order_of_arrival(self, values: list[int], order: Any) -> None:
        total = [sum(values[: place + 1]) for place in range(len(values))]
        readings = [(second * 1000, float(value)) for second, value in enumerate(total)]
        order.shuffle(readings)
        newest, added = spans.Newest(None, None), 0.0
        for one in readings:
            newest, points = spans.sampled(newest, [one], adds="growth")
            added += points[0].added
        assert added == total[-1] - readings[0][1]  # from the first to arrive up to the newest of all
        assert newest.value == total[-1]
