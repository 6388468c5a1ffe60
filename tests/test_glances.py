"""What spares evaluations most of their work: readings at a glance, durations left out, rules that nobody changed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import gauging, judging, lifecycle, measurements, memory, rulebook
from alerts.definitions import MEASURES, Definition
from alerts.measurements import Window
from alerts.rules import Condition, Reading, Standing, decide, fine
from monitoring.store import current_store
from monitoring.store.base import Inference, Query, Summary
from tests.channels import OWN
from tests.memory_store import inference, summed
from tests.ruling import about, alerts, at, calls, change, groups, judge, make, transitions, unsaved

ALONE: tuple[str, ...] = ()
COMBINATIONS = [(measure, aggregation) for measure, one in MEASURES.items() for aggregation in one.aggregations]
NAMES = st.sampled_from(["gpt", "llama", ""])
WHOLE, MONEY = st.none() | st.integers(0, 900), st.none() | st.decimals(0, 50, places=6)
CALLS = st.lists(
    st.builds(
        inference, st.just(at(0)), model=NAMES, endpoint=NAMES, status=st.sampled_from(["success", "error"]),
        attempt=st.integers(1, 2), duration_us=st.integers(0, 10**9), ttft_us=WHOLE, input_tokens=WHOLE,
        output_tokens=WHOLE, cost=MONEY, revenue=MONEY,
    ),
    max_size=12,
)  # fmt: skip
FILTERS: list[dict[str, tuple[str, ...]]] = [{}, {"model": ("gpt",)}, {"model": ("llama",), "endpoint": ("",)}]
VALUES = st.none() | st.floats(-9, 9)


def totals_of(window: Window, made: list[Inference]) -> dict[tuple[str, ...], Summary]:
    found: dict[tuple[str, ...], list[Inference]] = {}
    for one in made:
        found.setdefault(tuple(getattr(one, name) for name in window.dims), []).append(one)
    return {group: summed(rows) for group, rows in found.items()}


class TestAtAGlance:
    @settings(max_examples=200, deadline=None)
    @given(
        combination=st.sampled_from(COMBINATIONS), filters=st.sampled_from(FILTERS), made=CALLS,
        operator=st.sampled_from(["gt", "gte", "lt", "lte"]), least=st.integers(0, 2),
        thresholds=st.lists(st.sampled_from([0, 0.02, 1, 2, 60, 4000]), min_size=1, max_size=2, unique=True),
    )  # fmt: skip
    def test_it_is_fine_as_it_is_in_full(
        self, combination: tuple[str, str], filters: dict[str, tuple[str, ...]], made: list[Inference], operator: str,
        least: int, thresholds: list[float],
    ) -> None:  # fmt: skip
        measure, aggregation = combination
        per = "total_tokens" if aggregation == "ratio" else ""
        warning, critical = (*sorted(thresholds, reverse=operator.startswith("l")), None)[:2]
        rule = unsaved(about(measure, aggregation, per=per, filters=filters, operator=operator, least=least,
                             warning=warning, critical=critical))  # fmt: skip
        [window] = rule.windows
        gauges = gauging.Gauges({(OWN, window): totals_of(window, made)})
        assert rule.glance is not None
        in_full = judging.read(rule, gauges).get(ALONE, measurements.NOTHING)
        assert rule.glance(gauges.whole(OWN, window)) == fine(rule.condition, in_full)

    @pytest.mark.parametrize(
        "definition",
        [
            about(by=("model",)),
            about(filters={"model": ("gpt", "llama")}),
            about(filters={"model": ("gpt*",)}),
            about(change="previous"),
            about("cockpit_gpu_temperature_celsius", "max"),
        ],
        ids=["groups", "several names", "a pattern", "a comparison", "a family of samples"],
    )
    def test_it_is_not_for(self, definition: Definition) -> None:
        assert unsaved(definition).glance is None

    @given(
        operator=st.sampled_from(["gt", "gte", "lt", "lte"]), warning=VALUES, critical=VALUES, value=VALUES,
        least=st.integers(0, 3), samples=st.integers(0, 4), hold=st.integers(0, 2), renotify=st.integers(0, 2),
    )  # fmt: skip
    def test_what_rests_and_is_fine_stays_as_it_is(
        self, operator: Any, warning: float | None, critical: float | None, value: float | None, least: int,
        samples: int, hold: int, renotify: int,
    ) -> None:  # fmt: skip
        asked = Condition(operator=operator, warning=warning, critical=critical, least=least, hold=hold,
                          renotify=renotify)  # fmt: skip
        reading, standing = Reading(value, samples), Standing(since=at(0))
        beyond = any(_beyond(operator, value, one) for one in (warning, critical))
        assert fine(asked, reading) == (value is not None and samples >= least and not beyond)
        if fine(asked, reading):
            assert decide(asked, standing, reading, at(1)) is standing


def _beyond(operator: str, value: float | None, threshold: float | None) -> bool:
    if value is None or threshold is None:
        return False
    return {"gt": value > threshold, "gte": value >= threshold, "lt": value < threshold, "lte": value <= threshold}[
        operator
    ]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of rules that are judged in full, whenever they are."""
    found: list[str] = []
    real = judging.judge

    def spied(rule: rulebook.Ruled, *more: Any) -> Any:
        found.append(rule.name)
        return real(rule, *more)

    monkeypatch.setattr(judging, "judge", spied)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Query]:
    """What the store was asked for, in the order of windows."""
    found: list[Query] = []
    real = current_store().totals

    def totals(scope: Any, queries: Any) -> Any:
        found.extend(queries)
        return real(scope, queries)

    monkeypatch.setattr(current_store(), "totals", totals)
    return found


@pytest.fixture(autouse=True)
def forgotten() -> None:
    memory._remembered.clear()
    rulebook._known.clear()


class TestCalmMinutes:
    def test_a_rule_that_was_fine_is_judged_in_full_only_when_it_no_longer_is(
        self, database: str, judged: list[str]
    ) -> None:
        rule = make(about(filters={"model": ("gpt",)}), name="one model")
        for minute, number in enumerate((2, 3, 1, 6, 9, 2, 2), 1):
            calls(minute, number, model="gpt")
            judged.clear()
            judge(minute)
            in_full = minute in (1, 4, 5, 6)  # unknown, a breach, still one, over
            assert judged == ["one model"] * in_full
        assert transitions(rule) == [(4, ALONE, "ok", "warning"), (6, ALONE, "warning", "ok")]

    def test_a_rule_without_data_is_judged_in_full(self, database: str, judged: list[str]) -> None:
        rule = make(about(no_data="alert", silent=2), name="silent")
        calls(1, 2)
        for minute in (1, 2, 3, 4):
            judge(minute)
        assert judged == ["silent"] * 4
        assert groups(rule) == {ALONE: "no_data"}

    def test_another_threshold_holds_from_the_next_minute_on(self, database: str) -> None:
        rule = make(about())
        for minute in (1, 2):
            calls(minute, 4)
            judge(minute)
        change(rule, about(warning=3), minute=2.8)
        calls(3, 4)
        judge(3)
        assert groups(rule) == {ALONE: "warning"}


class TestFields:
    @pytest.mark.parametrize(
        ("measures", "fields"),
        [
            ("duration-avg", "duration_us"),
            ("duration-p95", "durations"),
            ("duration-avg duration-max", "duration_us durations"),
            ("ttft-p50", "with_ttft ttfts"),
            ("cost-avg errors-sum", "cost unpriced errors"),
        ],
    )
    def test_only_those_are_read_that_rules_are_about(
        self, database: str, asked: list[Query], measures: str, fields: str
    ) -> None:
        calls(1, 4, duration_us=70_000)
        for name in measures.split():
            make(about(*name.split("-"), warning=60), name=name)
        judge(1)
        assert [query.fields for query in asked] == [{"inferences", *fields.split()}]

    def test_a_rule_beside_one_about_each_reads_the_same(self, database: str) -> None:
        calls(1, 4, duration_us=70_000)
        mean, most = (make(about("duration", one, warning=60), name=one) for one in ("avg", "p95"))
        judge(1)
        assert (groups(mean), groups(most)) == ({ALONE: "warning"}, {ALONE: "warning"})


class TestTheBook:
    def test_a_rule_that_nobody_changed_is_the_very_same_after_another_was(self, database: str) -> None:
        make(name="kept")
        other = make(name="other")
        before = {rule.name: rule for rule in rulebook.enabled().rules}
        assert rulebook.enabled() is rulebook.enabled()
        change(other, about(warning=9), minute=1.8, name="other")
        after = {rule.name: rule for rule in rulebook.enabled().rules}
        assert after["kept"] is before["kept"]
        assert after["other"].condition.warning == 9


class TestEndings:
    def test_what_ends_together_is_resolved_at_once_each_with_its_own_note(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(about(by=("model",)))
        for model in ("gpt", "llama"):
            calls(1, 9, model=model)
        judge(1)
        calls(2, 2, model="gpt")
        calls(2, 3, model="llama")
        verbs: list[int] = []
        real = lifecycle.resolve

        def spied(**given: Any) -> Any:
            verbs.append(len(given["ids"]))
            return real(**given)

        monkeypatch.setattr(lifecycle, "resolve", spied)
        judge(2)
        assert verbs == [2]
        assert [(one.model_name, one.resolve_note) for one in alerts()] == [
            ("gpt", "It is 2 inferences."),
            ("llama", "It is 3 inferences."),
        ]
