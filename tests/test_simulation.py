"""What a rule would have said is what it says live: the same data give the same transitions, whoever was away."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from alerts import gauging, judging, rehearsal, rulebook, simulation
from alerts.definitions import Definition
from alerts.measurements import Group
from alerts.rehearsal import Episode, Minutes, Rehearsed
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Hours, NoData, Operator, Reading
from monitoring.store import current_store
from monitoring.store.base import Inference
from monitoring.store.samples import Increment, Sample
from tests.channels import EVERYONE, OWN
from tests.memory_store import inference
from tests.ruling import (
    LATE,
    about,
    alerts,
    at,
    forget,
    grown,
    judge,
    judge_each,
    make,
    one_call,
    sample,
    store,
    told_transitions,
    unsaved,
    within,
)

HEAT, USED, SIZE, SLOW = (
    "cockpit_gpu_temperature_celsius", "cockpit_memory_used_bytes", "cockpit_memory_total_bytes",
    "cockpit_http_request_duration_seconds",
)  # fmt: skip
REQUESTS, ERRORS = "cockpit_http_requests_total", "cockpit_http_errors_total"
ALONE: Group = ()
LONG = 100  # minutes
RULES: dict[str, Definition] = {
    "busy": about(by=("model",), warning=6, warning_clear=4, critical=9, hold=1, keep=2, window=2),
    "failing": about("errors", "ratio", per="inferences", warning=0.3, critical=0.5, least=4, no_data="keep"),
    "slow": about("duration", "p95", by=("endpoint", "model"), window=7, warning=2000, critical=5000, hold=2,
                  filters={"model": ("a*", "b")}),
    "dear": about("cost", "sum", window=5, warning=5, renotify=3, hours=Hours(start=12 * 60 + 10, end=13 * 60)),
    "falling": about(change="previous", window=5, operator="lte", warning=-40, critical=-70),
    "gone": about(by=("model",), warning=None, no_data="alert", silent=3, renotify=5),
    "hot": about(HEAT, "max", by=("gpu",), warning=85, critical=92, no_data="keep", window=3),
    "sum of the last": about(HEAT, "last", warning=150, critical=165, window=4, filters={"gpu": ("0", "1")}),
    "mean": about(HEAT, "avg", warning=82.5, operator="gte", window=3, hold=1),
    "full": about(USED, "ratio", per=SIZE, warning=0.7, keep=3),
    "quiet": about(REQUESTS, "rate", operator="lt", warning=0.05, no_data="zero", window=2, offset=90),
    "erring": about(ERRORS, "ratio", per=REQUESTS, by=("route",), warning=0.2, window=3),
    "waiting": about(SLOW, "p50", warning=0.8, window=2, least=8),
}  # fmt: skip

EACH = about(HEAT, "last", by=("gpu", "host"), warning=90, window=4)


@pytest.fixture(autouse=True)
def ground(request: pytest.FixtureRequest) -> Iterator[None]:
    forget()
    yield
    forget()


def some_calls(chance: random.Random, minute: int) -> Iterator[Inference]:
    """Few or many, and for some minutes none of a model."""
    for model in ("a", "ab", "b", "c"):
        if (minute // 9 + ord(model[-1])) % 4:
            for _ in range(chance.choice((0, 1, 1, 2, 6))):
                yield inference(
                    within(minute), model=model, endpoint=chance.choice(("eu", "us")),
                    status=chance.choice(("success", "success", "success", "error")),
                    duration_us=round(chance.lognormvariate(13.5, 1)),
                    cost=chance.choice((None, Decimal("0.0125"), Decimal("0.5"))),
                )  # fmt: skip


def some_samples(chance: random.Random, minute: int) -> Iterator[Sample | Increment]:
    for gpu in "012":
        if (minute // 7 + int(gpu)) % 3:
            for second in (0, 5, 10):
                yield sample(minute, 70 + chance.randrange(0, 250) / 10, HEAT, seconds=second, gpu=gpu, host="h")
    yield sample(minute, chance.uniform(1e9, 7e9), USED, host="h")
    yield sample(minute, 8e9, SIZE, host="h")
    for route in "xy":
        if (minute // 11 + ord(route)) % 3:
            yield grown(minute, chance.randrange(1, 9), route=route)
        if chance.random() < 0.2:
            yield grown(minute, 1, ERRORS, route=route)
    if minute % 5:
        fast, late = chance.randrange(5), chance.randrange(6)
        for bound, number in (("0.5", fast), ("1.0", fast + 3), ("+Inf", fast + 3 + late)):
            yield grown(minute, number, f"{SLOW}_bucket", route="x", le=bound)


def fill(seed: int) -> None:
    """From an hour before until the end, as it would have come in."""
    chance = random.Random(seed)
    minutes = range(-60, LONG + 1)
    store([one for minute in minutes for one in some_calls(chance, minute)],
          [one for minute in minutes for one in some_samples(chance, minute)])  # fmt: skip
    current_store().fold()


def make_all() -> dict[str, UUID]:
    """All of them begin with the first minute."""
    return {name: make(one, name=name, minute=1 + one.offset / 60 + 0.1) for name, one in RULES.items()}


def known(rules: dict[str, UUID]) -> dict[str, Ruled]:
    found = {rule.id: rule for rule in rulebook.enabled().rules}
    return {name: found[identifier] for name, identifier in rules.items()}


def rehearsed(rule: Ruled) -> Rehearsed:
    """Until the last minute that is due at the end."""
    last = LONG if rule.definition.offset == LATE else LONG - 1
    return rehearsal.rehearse(rule, simulation.minutes(rule, at(0), at(last)))


def transitions(found: Rehearsed) -> list[tuple[Any, ...]]:
    """Those of a simulation as they are read of live ones."""
    changed = [one for one in found.changes if one.before != one.after]
    return sorted(
        (round((one.at - at(0)) / MINUTE), one.group, one.before, one.after, one.because, one.value, one.samples)
        for one in changed
    )


def told() -> Counter[str]:
    """How often people were to be told of alerts, by the key of their rule."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT alert.labels ->> 'rule', count(*) FROM alerts_event AS event JOIN alerts_alert AS alert "
            "ON alert.id = event.alert_id WHERE event.tells <> '' GROUP BY 1"
        )
        return Counter(dict(cursor.fetchall()))


@pytest.mark.usefixtures("database")
class TestTheSameData:
    def test_give_the_same_transitions_and_notices_minute_by_minute(self) -> None:
        fill(7)
        rules = make_all()
        judge_each(1, LONG)
        notices = told()
        for name, rule in known(rules).items():
            simulated = rehearsed(rule)
            assert sorted(told_transitions(rule.id)) == transitions(simulated), name
            assert notices[rule.key] == simulated.notices, name
            assert simulated.notices >= 3, f"{name} proves little"

    def test_give_the_same_transitions_whoever_was_away_and_forgot(self) -> None:
        fill(11)
        rules = make_all()
        chance, minute = random.Random(3), 1
        while minute < LONG:
            judge(minute)
            if chance.random() < 0.5:
                forget()
            minute = min(LONG, minute + chance.choice((1, 1, 2, 5, 12, 25)))
        judge(LONG)
        for name, rule in known(rules).items():
            simulated = rehearsed(rule)
            assert sorted(told_transitions(rule.id)) == transitions(simulated), name
            firing = [one for one in simulated.episodes if one.ended is None]
            open_ = [one for one in alerts() if one.labels["rule"] == rule.key and one.status != "resolved"]
            assert len(open_) == len(firing), name

    def test_are_the_same_readings(self) -> None:
        fill(13)
        for name, one in RULES.items():
            rule = unsaved(one)
            minutes = simulation.minutes(rule, at(20), at(70))
            live = gauging.read(EVERYONE, judging.wanted([rule]), [moment for moment, _ in minutes])
            assert [judging.read(rule, live[moment]) for moment, _ in minutes] == [found for _, found in minutes], name

    def test_are_the_same_readings_of_a_group_that_is_read_alone(self) -> None:
        fill(19)
        for name in ("busy", "slow", "gone", "hot", "erring", "last of each"):
            rule = unsaved(EACH if name == "last of each" else RULES[name])
            every = simulation.minutes(rule, at(20), at(70))
            groups = {group for _, found in every for group in found}
            assert len(groups) > 1, f"{name} proves little"
            for group in groups:
                alone = simulation.minutes(rule, at(20), at(70), group=group)
                assert [found for _, found in alone] == [
                    {one: reading for one, reading in found.items() if one == group} for _, found in every
                ], (name, group)  # fmt: skip

    def test_of_a_group_whose_name_is_a_pattern_are_its_own(self) -> None:
        store([one_call(minute, model=model) for minute in (1, 2) for model in ("a*", "ab", "b")])
        alone = simulation.minutes(unsaved(about(by=("model",))), at(0), at(2), group=("a*",))
        assert [found[("a*",)] for _, found in alone] == [Reading(1.0, 1), Reading(1.0, 1)]

    def test_of_the_demo_are_seen_where_they_are_asked_for(self) -> None:
        store([inference(within(minute), source="demo") for minute in (3, 3, 4)])
        rule = unsaved(about(warning=1))
        assert all(not found for _, found in simulation.minutes(rule, at(0), at(6)))
        minutes = simulation.minutes(rule, at(0), at(6), sources=("demo",))
        assert [found.get(ALONE, Reading(0.0)).samples for _, found in minutes] == [0, 0, 2, 1, 0, 0]

    def test_are_those_of_the_rule_s_organization_alone(self) -> None:
        store([inference(within(1), organization=organization) for organization in (OWN, "scientia_capital", "shared")])
        [(_, found)] = simulation.minutes(unsaved(), at(0), at(1))
        assert found == {ALONE: Reading(1.0, 1)}

    def test_two_versions_see_what_each_asks_for(self) -> None:
        fill(17)
        rule = unsaved(RULES["busy"])
        milder = unsaved(structs.replace(RULES["busy"], condition=structs.replace(RULES["busy"].condition, hold=4)))
        one, other = rehearsed(rule), rehearsed(milder)
        assert 0 < len(other.episodes) < len(one.episodes)


def minutes(*values: float | None, group: Group = ALONE) -> Minutes:
    return [(at(place + 1), {} if value is None else {group: Reading(value, 9)}) for place, value in enumerate(values)]


def side_by_side(*each: Minutes) -> Minutes:
    return [(moment, {group: reading for one in each for group, reading in one[place][1].items()})
            for place, (moment, _) in enumerate(each[0])]  # fmt: skip


class TestFigures:
    def test_of_what_never_fires_are_nothing(self) -> None:
        found = rehearsal.rehearse(unsaved(), minutes(1, 2, None, 3))
        assert (found.start, found.end) == (at(0), at(4))
        assert (list(found.changes), list(found.episodes), found.minutes, found.notices) == ([], [], 0, 0)

    def test_of_an_episode(self) -> None:
        found = rehearsal.rehearse(unsaved(about(critical=9)), minutes(1, 6, 8, 11, 12, 7, 1, 1))
        assert found.episodes == [Episode(group=ALONE, began=at(2), ended=at(7), level="critical", peak=12.0)]
        assert [(one.before, one.after, one.told) for one in found.changes] == [
            ("ok", "warning", True), ("warning", "critical", True), ("critical", "warning", False),
            ("warning", "ok", True),
        ]  # fmt: skip
        assert (found.minutes, found.notices) == (5, 3)

    def test_of_one_that_goes_on(self) -> None:
        found = rehearsal.rehearse(unsaved(), minutes(1, 6, 8))
        assert found.episodes == [Episode(group=ALONE, began=at(2), ended=None, level="warning", peak=8.0)]
        assert (found.minutes, found.notices) == (2, 1)

    def test_the_peak_of_what_may_not_be_low_is_the_lowest(self) -> None:
        found = rehearsal.rehearse(unsaved(about(operator="lt", warning=5, keep=2)), minutes(9, 4, 2, 3, 9, 1, 9, 9, 9))
        assert [(one.began, one.ended, one.peak) for one in found.episodes] == [(at(2), at(9), 1.0)]

    def test_reminders_are_notices(self) -> None:
        found = rehearsal.rehearse(unsaved(about(renotify=2)), minutes(6, 6, 6, 6, 6, 1))
        assert [round((one.at - at(0)) / MINUTE) for one in found.changes if one.told] == [1, 3, 5, 6]
        assert (found.notices, len(found.episodes)) == (4, 1)

    def test_silence_is_an_episode_without_a_peak(self) -> None:
        rule = unsaved(about(no_data="alert", silent=2))
        found = rehearsal.rehearse(rule, minutes(1, None, None, None, None, 1))
        assert found.episodes == [Episode(group=ALONE, began=at(4), ended=at(6), level="no_data", peak=None)]
        turned = rehearsal.rehearse(rule, minutes(None, None, None, 7, 1))
        assert [(one.level, one.peak) for one in turned.episodes] == [("no_data", 7.0)]

    def test_minutes_are_those_in_which_any_group_fires(self) -> None:
        rule = unsaved(about(by=("model",)))
        both = side_by_side(minutes(6, 6, 1, 1, 6, group=("a",)), minutes(1, 6, 6, 1, 1, group=("b",)))
        found = rehearsal.rehearse(rule, both)
        assert (found.minutes, found.notices) == (4, 5)
        assert [(one.group, one.began, one.ended) for one in found.episodes] == [
            (("a",), at(1), at(3)), (("b",), at(2), at(4)), (("a",), at(5), None),
        ]  # fmt: skip

    def test_are_told_by_the_week(self) -> None:
        day = [0.0] * (24 * 60)
        found = rehearsal.rehearse(unsaved(), minutes(*[*day[:-2], 6.0, 1.0] * 2))
        assert (found.episodes_a_week, found.notices_a_week) == (7.0, 14.0)

    def test_a_forgotten_group_ends_its_episode(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "DAY", 2)
        rule = unsaved(about(by=("model",), no_data="alert", silent=1))
        found = rehearsal.rehearse(rule, minutes(6, None, None, None, None, None, group=("a",)))
        assert [(one.began, one.ended) for one in found.episodes] == [(at(1), at(5))]
        assert found.changes[-1].after == "forgotten"
        assert found.notices == 2


DAYS = 7
SPIKES = (50.0, 60.0, 70.0, 80.0, 90.0)
FEW = 2  # episodes that are not too many


def week(spikes: Sequence[float], usual: float, lasting: int = 1) -> Minutes:
    """A week of minutes in which each spike comes once, far from the others."""
    values = [usual] * (DAYS * 24 * 60)
    for place, spike in enumerate(spikes):
        values[500 + place * 1500 : 500 + place * 1500 + lasting] = [spike] * lasting
    return minutes(*values)


def episodes(rule: Ruled, threshold: float, found: Minutes) -> int:
    condition = structs.replace(rule.condition, warning=threshold, critical=None)
    return len(rehearsal.rehearse(rule._replace(condition=condition), found).episodes)


class TestAProposal:
    @pytest.mark.parametrize(
        ("operator", "usual", "flip", "expected", "milder"),
        [
            ("gt", 10.0, 1.0, 70.0, 69.9), ("gte", 10.0, 1.0, 70.1, 70.0),
            ("lt", -10.0, -1.0, -70.0, -69.9), ("lte", -10.0, -1.0, -70.1, -70.0),
        ],
    )  # fmt: skip
    def test_is_the_mildest_with_which_it_says_so_little(
        self, operator: Operator, usual: float, flip: float, expected: float, milder: float
    ) -> None:
        rule = unsaved(about(operator=operator, warning=usual))
        found = week([flip * one for one in SPIKES], usual)
        assert rehearsal.proposal(rule, found) == expected
        assert episodes(rule, expected, found) == 2
        assert episodes(rule, milder, found) == 3

    @pytest.mark.parametrize(("a_week", "expected"), [(0.5, 90.0), (1, 80.0), (3, 60.0), (5, 10.0)])
    def test_is_for_as_many_as_are_asked_for(self, a_week: float, expected: float) -> None:
        assert rehearsal.proposal(unsaved(), week(SPIKES, 10.0), a_week=a_week) == expected

    def test_knows_how_long_it_has_to_last(self) -> None:
        found = week(SPIKES, 10.0, lasting=2)
        assert rehearsal.proposal(unsaved(about(hold=2)), found) == 10.0
        assert rehearsal.proposal(unsaved(about(hold=1)), found) == 70.0

    @pytest.mark.parametrize("policy", ["ok", "zero", "alert"])
    def test_is_none_without_data(self, policy: NoData) -> None:
        assert rehearsal.proposal(unsaved(about(no_data=policy)), minutes(None, None)) is None

    def test_is_beyond_the_zero_that_silence_counts_as(self) -> None:
        """Which is less than all that was ever measured."""
        found = minutes(*([9.0, 9.0, None, 9.0] * 5))
        counted = unsaved(about(operator="lt", warning=7, no_data="zero"))
        assert episodes(counted, 9.0, found) == 5
        assert rehearsal.proposal(counted, found) == 0.0
        assert rehearsal.proposal(unsaved(about(operator="lt", warning=7)), found) == 9.0

    def test_is_none_where_silence_alone_says_too_much(self) -> None:
        found = minutes(*([1.0, None, None, None] * 5))
        rule = unsaved(about(no_data="alert", silent=1))
        assert episodes(rule, 1e9, found) == 5
        assert rehearsal.proposal(rule, found, a_week=FEW * rehearsal.WEEK / (len(found) * MINUTE)) is None
        assert rehearsal.proposal(rule, found, a_week=5 * rehearsal.WEEK / (len(found) * MINUTE)) == 1.0

    def test_of_what_is_always_the_same_is_that(self) -> None:
        assert rehearsal.proposal(unsaved(), week((), 0.0)) == 0.0
        assert rehearsal.proposal(unsaved(about(operator="gte")), week((), 0.0)) == 0.01
        assert rehearsal.proposal(unsaved(about(operator="lte")), week((), 0.0)) == -0.01

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.none() | st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-5, 5).map(float), min_size=1,
                 max_size=60),
        st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(0, 2), st.integers(0, 2),
        st.sampled_from(["ok", "keep", "zero", "alert"]),
    )  # fmt: skip
    def test_is_never_too_much(
        self, values: list[float | None], operator: Operator, hold: int, keep: int, policy: NoData
    ) -> None:
        rule = unsaved(about(operator=operator, hold=hold, keep=keep, no_data=policy, silent=2))
        found = minutes(*values)
        threshold = rehearsal.proposal(rule, found, a_week=FEW * (rehearsal.WEEK / (len(values) * MINUTE)))
        if threshold is not None:
            assert episodes(rule, threshold, found) <= FEW
        else:  # which is so without data, or where silence alone is too much
            beyond_all = 1e12 if operator in ("gt", "gte") else -1e12
            assert all(one is None for one in values) or episodes(rule, beyond_all, found) > FEW

    @given(st.floats(-1e12, 1e12, allow_subnormal=False), st.booleans(), st.booleans())
    def test_is_a_round_number_that_the_value_is_not_beyond(self, value: float, up: bool, beyond: bool) -> None:
        near = rehearsal._rounded(value, up=up, beyond=beyond)
        assert float(f"{near:.3g}") == near
        assert abs(near - value) <= max(abs(value) * 0.02, 0.02)
        low, high = (value, near) if up else (near, value)
        assert low < high if beyond else low <= high
