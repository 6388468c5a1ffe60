"""Pages of rules where something is wrong: with what was typed, with one rule among many, with a name that is empty."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from alerts import evaluation, gauging, measurements, rule_charts, rule_desk, rule_states
from alerts.definitions import MEASURES, Definition
from alerts.lifecycle import resolve
from alerts.models import AlertRule
from alerts.rule_states import Measured
from alerts.rules import MINUTE
from tests import ruling
from tests.channels import EVERYONE, OWN, fire
from tests.ruling import about, at, calls, make, sample, store, the
from tests.test_admin import page_of, signed_in
from tests.test_rules_admin import ADD, HEALTH, LIST, address, faults, page, post, rows, stored, wish

Make = Callable[..., Any]
QUEUE = "team_queue_length"
RATIO = about("errors", "ratio", per="inferences", window=15, warning=0.05)


@pytest.fixture(autouse=True)
def fresh(database: str) -> None:
    ruling.forget()
    rule_states._known.clear()


@pytest.fixture
def operator(make_person: Make) -> Client:
    return signed_in(make_person("operator", **{OWN: "operator"}))


def note(text: str) -> list[tuple[str, str]]:
    """What stands at the top: each fault with what it leads to."""
    [found] = re.findall(r'<div class="errornote" role="alert">(.*?)</div>', text, re.DOTALL)
    return re.findall(r'<a href="#([^"]+)">(.*?)</a>', found)


class TestWhatWasTyped:
    @pytest.mark.parametrize("name", sorted(MEASURES))
    def test_a_family_is_not_called_like_a_measure_of_inferences(self, operator: Client, name: str) -> None:
        [said] = faults(post(operator, ADD, wish(about(QUEUE, "max"), family=name)))
        assert said == f"The family must not be {name}, a measure of inferences: it stands above, as Measure."
        assert stored() == []

    def test_without_an_aggregation_nothing_is_saved_that_nobody_can_read(self, operator: Client) -> None:
        given = wish(about(QUEUE, "max"))
        for sent in ({**given, "aggregation": ""}, {name: given[name] for name in given if name != "aggregation"}):
            [said] = faults(post(operator, ADD, sent))
            assert said == "The aggregation must be one of avg, min, max, last, count, ratio."
        assert stored() == []

    @pytest.mark.parametrize("measure", ["errors", "retries", "unpriced"])
    def test_more_than_all_of_it_is_asked_about(self, operator: Client, measure: str) -> None:
        one = about(measure, "ratio", per="inferences", warning=0.05, critical=0.2)
        assert faults(post(operator, ADD, wish(one, warning="5", critical="20"))) == [
            "The warning threshold must be at most 100 %, and 500 % is more: did you mean 5 %?",
            "The critical threshold must be at most 100 %, and 2,000 % is more: did you mean 20 %?",
        ]
        assert "The rule mine is on" in post(operator, ADD, wish(one, warning="100%", critical=""))

    @pytest.mark.parametrize(
        "one", [about("errors", "ratio", per="retries", warning=5), about("cost", "ratio", per="inferences", warning=5),
                about("errors", "ratio", per="inferences", change="week", warning=500)]
    )  # fmt: skip
    def test_of_others_it_may_be_more(self, operator: Client, one: Definition) -> None:
        assert "The rule mine is on" in post(operator, ADD, wish(one))

    def test_every_fault_is_told_at_once_and_none_that_follows_from_another(self, operator: Client) -> None:
        typed = {"window": "99d", "warning": "5", "warning_clear": "9", "least": "many", "hold": "soon", "owner": "999",
                 "renotify": "8d", "runbook": "no"}  # fmt: skip
        text = post(operator, ADD, wish(RATIO, name="", measure="nonsense", **typed))
        assert note(text) == [
            ("id_name", "The name is needed."),
            ("id_measure", "The measure must be one of those that are offered."),
            ("id_window", "The window must be 1 minute to 31 days."),
            ("id_warning_clear", "What ends a warning must be at most the warning threshold."),
            ("id_hold", "The delay must be a length of time such as 5m, 2h or 1d."),
            ("id_least", "The number of samples must be a whole number."),
            ("id_renotify", "The time between must be 0 to 10,080 minutes."),
            ("id_runbook", "The runbook must be an http(s) address of at most 500 characters."),
            ("id_owner", "The owner must be one of those that are offered."),
        ]
        assert sorted(faults(text)) == sorted(words for _, words in note(text))
        assert all(f'id="{field}"' in text for field, _ in note(text))
        assert "<b>It was not saved.</b>" in text

    def test_what_could_not_be_simulated_is_said_at_the_top(self, operator: Client) -> None:
        text = post(operator, ADD, {**wish(window="soon", name="", simulate="yes"), "save": ""})
        assert note(text) == [("id_window", "The window must be a length of time such as 5m, 2h or 1d.")]
        assert "<b>It was not simulated.</b>" in text
        assert "errornote" not in page(operator, ADD)
        assert "errornote" not in post(operator, ADD, wish(simulate="yes"))

    @pytest.mark.parametrize(
        ("field", "typed", "words"),
        [
            ("window", "1" * 501, "The window must be at most 500 characters long."),
            ("filters", f"model={'a' * 50_000}", "The filters must be at most 50000 characters long."),
            ("filters", "model=a\rb", "The filters must have a name, = and values in each line; “b” has not."),
            ("filters", f"model={'a' * 40_000}",
             "The filters must be at most 200 characters long, and a value of model is not."),
            ("warning", f"{'1' * 400} x y", "The warning threshold must be a number."),
            ("by", "a\0b", "The groups must not hold control characters."),
        ],
    )  # fmt: skip
    def test_what_is_too_long_or_strange_is_a_fault_of_its_field(
        self, operator: Client, field: str, typed: str, words: str
    ) -> None:
        assert faults(post(operator, ADD, wish(**{field: typed}))) == [words]

    @pytest.mark.parametrize("version", ["", "²", "٣", "x", "-1", None])
    def test_a_form_that_says_no_version_changes_nothing(self, operator: Client, version: str | None) -> None:
        made = make(name="mine")
        given = {**wish(about(warning=9), version=version or ""), "save": ""}
        sent = {name: value for name, value in given.items() if name != "version" or version is not None}
        answer = operator.post(address(made), sent)
        assert faults(unescape(page_of(answer))) == [
            "The name must be looked at again: of which version the form was made is not said."
        ]
        assert the(made).version == 1


def broken(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Whatever reads the hottest raises."""
    real = measurements._of_span

    def read(one: Definition, total: Any) -> Any:
        if one.aggregation == "max":
            raise error
        return real(one, total)

    monkeypatch.setattr(measurements, "_of_span", read)


def slow(monkeypatch: pytest.MonkeyPatch, window: int) -> list[int]:
    """The store gives up on windows of so many minutes; which were asked for, each time."""
    real, asked = gauging._read, []

    def read(scope: Any, wanted: Any, *rest: Any) -> Any:
        asked.append(len(wanted))
        if any(each.minutes == window for _, each in wanted):
            raise DatabaseError
        return real(scope, wanted, *rest)

    monkeypatch.setattr(gauging, "_read", read)
    return asked


class TestOneAmongMany:
    @pytest.mark.parametrize("error", [KeyError, OverflowError, TypeError])
    def test_that_cannot_be_read_costs_its_own_value_alone(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        heat = about("cockpit_gpu_temperature_celsius", "max", warning=80)
        hot = make(heat, name="hot")
        make(name="calls")
        calls(2, 6)
        store(samples=[sample(2, 90.0, host="one", gpu="0")])
        ruling.judge(2)
        broken(monkeypatch, error)
        found = rows(page(operator, LIST))
        assert [found[name][2] for name in ("calls", "hot")] == ["6 inferences", "no data"]
        assert "no data" in page(operator, address(hot))

    def test_that_cannot_be_drawn_costs_its_own_line_alone(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = rule_charts.spark

        def spark(points: Any, threshold: float | None, unit: str) -> Any:
            if threshold == 80:
                raise OverflowError
            return real(points, threshold, unit)

        monkeypatch.setattr(rule_charts, "spark", spark)
        make(about(warning=80), name="wide")
        make(name="narrow")
        for minute in range(1, 71):
            calls(minute, 1)
        ruling.judge_each(2, 3)
        ruling.judge(70)
        text = page(operator, LIST)
        assert [row[2] for row in rows(text).values()] == ["1 inferences", "1 inferences"]
        assert text.count('<path class="line s1"') == 1

    def test_that_takes_too_long_costs_its_own_value_alone_and_once_a_minute(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(about(window=90), name="slow")
        make(name="quick")
        calls(2, 6)
        ruling.judge(2)
        asked = slow(monkeypatch, 90)
        for _ in range(2):
            found = rows(page(operator, LIST))
            assert [found[name][2] for name in ("quick", "slow")] == ["6 inferences", "no data"]
            assert asked, "the store was asked"
        before = len(asked)
        page(operator, LIST)
        assert len(asked) == before

    def test_of_a_store_that_is_away_it_is_kept_for_the_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = slow(monkeypatch, 1)
        rule = ruling.unsaved()
        assert rule_states.measure([rule], at(2)) == {rule.id: Measured()}
        before = len(asked)
        assert rule_states.measure([rule], at(2)) == {rule.id: Measured()}
        assert len(asked) == before
        rule_states.measure([rule], at(3))
        assert len(asked) > before

    def test_whose_past_takes_too_long_has_a_value_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls(2, 6)
        real = gauging._read

        def read(scope: Any, wanted: Any, minutes: Any, *rest: Any) -> Any:
            if minutes != [at(2)]:
                raise DatabaseError
            return real(scope, wanted, minutes, *rest)

        monkeypatch.setattr(gauging, "_read", read)
        rule = ruling.unsaved()
        assert rule_states.measure([rule], at(2)) == {rule.id: Measured(6.0, (), [6.0])}

    def test_over_a_long_window_says_why_it_has_no_line(self, operator: Client) -> None:
        make(about(window=121), name="long")
        calls(2, 6)
        ruling.judge(2)
        assert rows(page(operator, LIST))["long"][2] == "6 inferences no line: over 121 min it hardly moves in an hour"
        ruling.switch(stored()[0].pk, "paused", minute=3)
        assert "no line" not in page(operator, LIST)


class TestNames:
    def test_a_group_is_asked_about_by_the_name_that_it_bears(self, operator: Client) -> None:
        made = make(about(by=("model", "provider")))
        for _ in range(7):
            calls(2, 1, model="llama", provider="")
        ruling.judge(2)
        text = page(operator, address(made))
        assert "<b>llama, –</b>" in text
        [link] = re.findall(r'href="([^"]+/why/\?group=[^"]+)">Why\?', text)
        answer = page(operator, link)
        assert 'name="group" id="why-group" value="llama, –"' in answer
        assert "The value is beyond a threshold" in answer or "It fired" in answer

    def test_one_that_is_empty_altogether_has_a_name_and_a_link(self, operator: Client) -> None:
        made = make(about(by=("provider",)))
        calls(2, 7, provider="")
        ruling.judge(2)
        text = page(operator, address(made))
        assert "<b>–</b>" in text
        [link] = re.findall(r'href="([^"]+/why/\?group=[^"]+)">Why\?', text)
        assert "It fired" in page(operator, link)
        assert rows(page(operator, LIST))["calls"][2].startswith("7 inferences –")

    def test_a_rule_that_is_grouped_by_nothing_has_one_link(self, operator: Client) -> None:
        made = make()
        calls(2, 7)
        ruling.judge(2)
        assert "?group=" not in page(operator, address(made))

    def test_what_no_database_takes_is_no_fault_of_ours(self, operator: Client) -> None:
        made = make(about(by=("model",)))
        calls(2, 7, model="ab")
        ruling.judge(2)
        assert 'value="ab"' in page(operator, f"{address(made, 'why')}?group=a%00b")


def open_alerts(rule: UUID) -> int:
    with EVERYONE.enter():
        return rule_desk.open_alerts(the(rule))


class TestOpenAlerts:
    def test_those_that_are_over_are_not_counted(self) -> None:
        made = make(about(by=("model",)))
        for model in ("llama", "qwen"):
            calls(2, 7, model=model)
        ruling.judge(2)
        assert open_alerts(made) == 2
        with EVERYONE.enter():
            resolve(scope=EVERYONE, ids=[ruling.alerts()[0].pk], now=at(2.9), via="person", note="")
        assert open_alerts(made) == 1

    def test_that_it_cannot_be_judged_is_one(self) -> None:
        made = make()
        failed = fire("rule_failed", organization=OWN).state.id
        with EVERYONE.enter():
            AlertRule.objects.filter(pk=made).update(error_alert_id=failed)
        assert open_alerts(made) == 1


def test_what_scrolls_has_a_role_and_a_name(operator: Client) -> None:
    made = make(minute=(timezone.now() - ruling.NOON) / MINUTE - 1.6)
    evaluation.evaluate(timezone.now())
    other = make(name="other")
    calls(2, 7)
    ruling.judge(2)
    for text in (page(operator, HEALTH), page(operator, address(other)),
                 post(operator, ADD, wish(about(no_data="alert"), simulate="yes"))):  # fmt: skip
        found = re.findall(r'<(\w+)([^>]*tabindex="0"[^>]*)>', text)
        assert found
        for tag, attributes in found:
            assert "aria-label" in attributes
            assert tag in ("ul", "ol") or 'role="region"' in attributes
    assert the(made).state == "on"
    runs = page(operator, HEALTH).split('class="rule-runs"', 1)[1]
    assert "At, UTC</th>" in runs
    assert re.search(r'class="tag tag--\w+">\d\d:\d\d UTC<', runs)
