"""Rules over stored data: each minute judged once, by whoever comes; alerts, notices and standings in one step."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from alerts import enacting, evaluation, gauging, judging, memory, rehearsal, rulebook, simulation, standings
from alerts.definitions import encoded
from alerts.mishaps import RULE_FAILED
from alerts.models import Alert
from organizations.models import User
from organizations.scope import Scope
from tests.channels import EVERYONE, OTHER, OWN, act, deliveries
from tests.outbox import hook, in_thread, told
from tests.ruling import (
    about,
    alerts,
    at,
    calls,
    change,
    groups,
    grown,
    judge,
    judge_each,
    make,
    one_call,
    ruin,
    sample,
    stand,
    standing,
    store,
    switch,
    the,
    told_transitions,
    transitions,
)

ALONE = ()
FAILING = about("errors", "ratio", per="inferences", warning=0.1, critical=0.5)


pytestmark = pytest.mark.usefixtures("nothing_remembered")


def rows(table: str) -> int:
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def failing(monkeypatch: pytest.MonkeyPatch, room: Any, verb: str, when: Callable[..., bool]) -> list[int]:
    """The database has no room for that verb whenever `when` says so of what it is given; how often."""
    real, times = getattr(room, verb), [0]

    def broken(*given: Any, **named: Any) -> Any:
        if when(*given, **named):
            times[0] += 1
            with EVERYONE.enter(), connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$")
        return real(*given, **named)

    monkeypatch.setattr(room, verb, broken)
    return times


class TestAnAlert:
    def test_begins_rises_falls_and_ends_with_its_rule(self) -> None:
        to, rule = hook(), make(about(warning=5, critical=10))
        for minute, number in enumerate((3, 6, 12, 7, 4), start=1):
            calls(minute, number)
        seen = []
        for minute in range(1, 6):
            judge(minute)
            seen.append((stand(), told(to)))
        fired, resolved = ("trigger", "pending"), ("resolve", "pending")
        assert seen == [
            ([], []),
            ([("warning", "firing")], [fired]),
            ([("critical", "firing")], [fired, fired]),
            ([("warning", "firing")], [fired, fired]),
            ([("warning", "resolved")], [fired, fired, resolved]),
        ]
        assert told_transitions(rule) == [
            (2, ALONE, "ok", "warning", "breach", 6.0, 6),
            (3, ALONE, "warning", "critical", "breach", 12.0, 12),
            (4, ALONE, "critical", "warning", "breach", 7.0, 7),
            (5, ALONE, "warning", "ok", "fine", 4.0, 4),
        ]

    def test_says_what_it_is_about(self) -> None:
        definition = about(
            "duration", "p95", by=("model", "endpoint", "provider"), warning=1000, labels={"team": "ml"},
            developer="{model} took {value}, over {threshold}; {samples} in {window}", executive="{model} is slow",
            runbook="https://runbooks.example/slow", alert_type="slow",
        )  # fmt: skip
        rule = make(definition, name="Slow ones")
        store([one_call(1, model="gpt", endpoint="eu", provider="azure", duration_us=2_000_000)] * 4)
        judge(1)
        [alert] = alerts()
        assert (alert.alert_type, alert.severity) == ("slow", "warning")
        assert (alert.model_name, alert.endpoint_id) == ("gpt", "eu")
        assert alert.labels == {"team": "ml", "provider": "azure", "rule": "slow_ones"}
        assert alert.message == "gpt took 2 s, over 1 s; 4 in 1 min"
        about_it = {name: alert.metadata[name] for name in ("plain", "runbook", "ruleId", "ruleName", "samples")}
        assert about_it == {"plain": "gpt is slow", "runbook": "https://runbooks.example/slow", "ruleId": str(rule),
                            "ruleName": "Slow ones", "samples": 4}  # fmt: skip
        assert alert.metadata["since"] == at(1).isoformat().replace("+00:00", "Z")
        assert (alert.first_seen_at - at(1)).total_seconds() == 37

    def test_is_one_for_each_group_and_ends_by_itself(self) -> None:
        rule = make(about(by=("model",)))
        store([one_call(1, model="a")] * 6 + [one_call(1, model="b")] * 8 + [one_call(1, model="c")])
        judge(1)
        assert [(one.model_name, one.status) for one in alerts()] == [("a", "firing"), ("b", "firing")]
        assert groups(rule) == {("a",): "warning", ("b",): "warning", ("c",): "ok"}
        store([one_call(2, model="a")] * 6)
        judge(2)
        assert {one.model_name: one.status for one in alerts()} == {"a": "firing", "b": "resolved"}

    def test_waits_until_it_held_for_long_enough(self) -> None:
        to, rule = hook(), make(about(hold=2))
        for minute in range(1, 5):
            calls(minute, 6)
        judge_each(1, 2)
        assert (groups(rule), stand(), told(to)) == ({ALONE: "pending"}, [], [])
        judge(3)
        assert (groups(rule), stand(), len(told(to))) == ({ALONE: "warning"}, [("warning", "firing")], 1)

    def test_is_there_with_its_notices_or_not_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        to, rule = hook(), make()
        calls(1, 6)
        with monkeypatch.context() as patch:
            times = failing(patch, standings, "write", lambda *_: True)
            run = judge(1)
            assert (times, run.failed, run.minutes) == ([1], 1, 0)
        assert (stand(), told(to), transitions(rule), groups(rule)) == ([], [], [], {})
        judge(1)
        assert (stand(), told(to)) == ([("warning", "firing")], [("trigger", "pending")])
        assert transitions(rule) == [(1, ALONE, "", "warning")]

    @pytest.mark.parametrize(
        ("no_data", "minute", "after"),
        [("ok", 3, "ok"), ("keep", 3, "warning"), ("zero", 3, "ok"), ("alert", 3, "warning")],
    )
    def test_without_data_does_as_its_rule_says(self, no_data: str, minute: int, after: str) -> None:
        rule = make(about(no_data=no_data, silent=2))
        calls(1, 6)
        judge_each(1, minute)
        assert groups(rule) == {ALONE: after}

    def test_begins_when_nothing_comes_any_more(self) -> None:
        to, rule = hook(), make(about(warning=None, no_data="alert", silent=2), name="gone")
        calls(1, 1)
        judge_each(1, 3)
        assert stand() == []
        judge(4)
        [alert] = alerts()
        assert (alert.severity, alert.message) == ("warning", "No data for gone")
        assert groups(rule) == {ALONE: "no_data"}
        calls(5, 1)
        judge(5)
        assert (stand(), len(told(to))) == ([("warning", "resolved")], 2)

    def test_of_silence_that_becomes_one_of_a_value_is_told_again(self) -> None:
        to, rule = hook(), make(about(no_data="alert", silent=1))
        judge_each(1, 2)
        calls(3, 6)
        judge(3)
        assert groups(rule) == {ALONE: "warning"}
        assert (stand(), told(to)) == ([("warning", "firing")], [("trigger", "pending")] * 2)

    def test_of_a_silent_group_is_over_when_that_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "DAY", 3)
        rule = make(about(by=("model",), no_data="alert", silent=1))
        calls(1, 6)
        judge_each(1, 5)
        assert (groups(rule), stand()) == ({("llama",): "warning"}, [("warning", "firing")])
        judge(6)
        assert (groups(rule), stand()) == ({}, [("warning", "resolved")])
        assert transitions(rule)[-1] == (6, ("llama",), "warning", "forgotten")
        [alert] = alerts()
        assert alert.resolve_note == "It has been silent for long."
        calls(7, 6)
        judge(7)
        assert stand() == [("warning", "resolved"), ("warning", "firing")]

    def test_of_a_group_that_stays_as_it_was_is_over_when_people_say_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "DAY", 3)
        rule = make(about(by=("model",), no_data="keep"))
        calls(1, 6)
        judge_each(1, 9)
        assert stand() == [("warning", "firing")]
        act("resolve", alerts()[0].pk)
        judge(10)
        assert (groups(rule), stand()) == ({("llama",): "warning"}, [("warning", "resolved")])
        switch(rule, "paused", minute=10.8)
        switch(rule, "on", minute=10.9)
        judge(11)
        assert groups(rule) == {}

    def test_of_a_group_ends_with_its_value_where_a_larger_one_takes_its_place(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judging, "MOST_GROUPS", 1)
        rule = make(about(by=("model",)))
        for minute, models in enumerate(("a" * 6, "a", "a" * 3 + "b" * 9, "a" * 40 + "b" * 6), start=1):
            store([one_call(minute, model=name) for name in models])
        judge(1)
        judge(4)
        assert transitions(rule) == [(1, ("a",), "", "warning"), (2, ("a",), "warning", "ok"),
                                     (3, ("b",), "", "warning")]  # fmt: skip
        assert [(one.model_name, one.status, one.resolve_note) for one in alerts()] == [
            ("a", "resolved", "It is 3 inferences."), ("b", "firing", "")]  # fmt: skip
        [ruled] = rulebook.enabled().rules
        found = rehearsal.rehearse(ruled, simulation.minutes(ruled, at(0), at(4)))
        assert {(one.at, one.group, one.before, one.after) for one in found.changes} == {
            (at(minute), *rest) for minute, *rest in transitions(rule)}  # fmt: skip

    def test_ends_saying_what_it_is(self) -> None:
        make(about())
        make(about("errors", "ratio", per="inferences", warning=0.5), name="failing")
        store([one_call(1, status="error")] * 6 + [one_call(2), one_call(2)])
        judge_each(1, 2)
        assert {one.resolve_note for one in alerts()} == {"It is 2 inferences.", "It is 0 %."}

    def test_ends_saying_that_there_is_too_little(self) -> None:
        make(about("errors", "ratio", per="inferences", warning=0.5, least=5))
        store([one_call(1, status="error")] * 6 + [one_call(2, status="error")])
        judge_each(1, 2)
        assert [one.resolve_note for one in alerts()] == ["There are too few samples to judge."]

    def test_ends_saying_that_there_is_nothing(self) -> None:
        make(about("duration", "p95", warning=100))
        calls(1, 1)
        judge_each(1, 2)
        assert [one.resolve_note for one in alerts()] == ["There are no data."]


class TestWhatPeopleDo:
    def test_they_are_told_once_more_while_it_goes_on(self) -> None:
        to = hook()
        make(about(renotify=2))
        for minute in range(1, 7):
            calls(minute, 6)
        seen = []
        for minute in range(1, 7):
            judge(minute)
            seen.append(len(told(to)))
        assert seen == [1, 1, 2, 2, 3, 3]
        assert stand() == [("warning", "firing")]

    def test_they_are_not_while_somebody_looks_after_it(self) -> None:
        to = hook()
        make(about(renotify=1))
        calls(1, 6)
        judge(1)
        act("acknowledge", alerts()[0].pk)
        before = len(told(to, event="trigger"))
        for minute in range(2, 5):
            calls(minute, 6)
            judge(minute)
        assert (stand(), len(told(to, event="trigger"))) == ([("warning", "acknowledged")], before)

    def test_what_grew_worse_wakes_them_all_the_same(self) -> None:
        to = hook()
        make(about(critical=10))
        calls(1, 6)
        judge(1)
        act("acknowledge", alerts()[0].pk)
        calls(2, 11)
        judge(2)
        assert (stand(), len(told(to, event="trigger"))) == ([("critical", "firing")], 2)

    def test_what_they_resolved_is_silent_until_it_was_clear(self) -> None:
        make(about())
        for minute in (1, 2, 3, 5):
            calls(minute, 6)
        judge(1)
        act("resolve", alerts()[0].pk)
        judge_each(2, 4)
        assert stand() == [("warning", "resolved")]
        judge(5)
        assert stand() == [("warning", "resolved"), ("warning", "firing")]

    def test_or_until_it_grew_worse(self) -> None:
        make(about(critical=10))
        calls(1, 6)
        judge(1)
        act("resolve", alerts()[0].pk)
        calls(2, 11)
        judge(2)
        assert stand() == [("warning", "resolved"), ("critical", "firing")]

    def test_but_not_when_it_grows_better(self) -> None:
        to, rule = hook(), make(about(critical=10))
        calls(1, 11)
        judge(1)
        act("resolve", alerts()[0].pk)
        calls(2, 6)
        judge(2)
        assert (stand(), len(told(to, event="trigger"))) == ([("critical", "resolved")], 1)
        assert groups(rule) == {ALONE: "warning"}
        calls(3, 11)
        judge(3)
        assert stand() == [("critical", "resolved"), ("critical", "firing")]

    def test_or_until_they_are_to_be_told_once_more(self) -> None:
        make(about(renotify=3))
        for minute in range(1, 5):
            calls(minute, 6)
        judge(1)
        act("resolve", alerts()[0].pk)
        judge_each(2, 3)
        assert stand() == [("warning", "resolved")]
        judge(4)
        assert stand() == [("warning", "resolved"), ("warning", "firing")]

    def test_what_is_better_and_due_is_told(self) -> None:
        to = hook()
        make(about(critical=10, renotify=1))
        calls(1, 11)
        calls(2, 6)
        judge_each(1, 2)
        assert (stand(), len(told(to, event="trigger"))) == ([("warning", "firing")], 2)


class TestEachMinute:
    def test_is_judged_once_by_four_at_once(self) -> None:
        to, rule, other = hook(), make(about(by=("model",))), make(about(), organization=OTHER)
        for minute in range(1, 7):
            store([one_call(minute, model=name) for name in "abcd" for _ in range(6 if minute % 2 else 1)])
            calls(minute, 6 if minute % 3 else 1, organization=OTHER)
        barrier = threading.Barrier(4)

        def everybody() -> None:
            for minute in range(1, 7):
                barrier.wait(60)
                judge(minute)

        with ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(in_thread(everybody))
        assert transitions(rule) == [
            (minute, (name,), *(("", "warning") if minute == 1 else ("warning", "ok") if even else ("ok", "warning")))
            for minute in range(1, 7)
            for even in [minute % 2 == 0]
            for name in "abcd"
        ]
        assert transitions(other) == [
            (1, ALONE, "", "warning"), (3, ALONE, "warning", "ok"), (4, ALONE, "ok", "warning"),
            (6, ALONE, "warning", "ok"),
        ]  # fmt: skip
        assert len(alerts(organization=OWN)) == 4 * 3
        assert len(alerts(organization=OTHER)) == 2
        first = deliveries(
            channel=to, event="trigger", alert__in=[one.pk for one in alerts(organization=OWN, episode=1)]
        )
        assert len(first) == 4

    def test_waits_for_what_is_late(self) -> None:
        rule = make(about(offset=90))
        assert judge(1, late=30).minutes == 1  # the one before, of which nothing is known
        calls(1, 6)
        assert judge(1, late=80).minutes == 0
        assert groups(rule) == {ALONE: "ok"}
        judge(1, late=90)
        assert groups(rule) == {ALONE: "warning"}

    def test_is_not_judged_before_it_is_over(self) -> None:
        rule = make()
        judge(1)
        calls(2, 6)
        assert evaluation.evaluate(at(2) + timedelta(seconds=29)).minutes == 0
        assert groups(rule) == {ALONE: "ok"}

    def test_that_was_missed_is_caught_up_with(self) -> None:
        rule = make(about(critical=10, hold=1))
        numbers = (1, 6, 6, 11, 11, 11, 6, 6, 1, 1, 6, 6)
        for minute, number in enumerate(numbers, start=1):
            calls(minute, number)
        judge(1)
        run = judge(12)
        assert (run.minutes, run.rules, run.late) == (11, 1, 547.0)  # in two batches
        assert transitions(rule) == [
            (2, ALONE, "ok", "pending"), (3, ALONE, "pending", "warning"), (5, ALONE, "warning", "critical"),
            (7, ALONE, "critical", "warning"), (9, ALONE, "warning", "ok"), (11, ALONE, "ok", "pending"),
            (12, ALONE, "pending", "warning"),
        ]  # fmt: skip

    def test_that_was_missed_makes_no_alert_of_what_is_over(self) -> None:
        to, rule = hook(), make()
        judge(1)
        calls(3, 9)
        judge(5)
        assert transitions(rule) == [(3, ALONE, "ok", "warning"), (4, ALONE, "warning", "ok")]
        assert (stand(), told(to)) == ([], [])

    def test_that_was_missed_tells_of_what_began_anew(self) -> None:
        to = hook()
        make()
        calls(1, 6)
        judge(1)
        calls(5, 6)
        judge(5)
        assert (stand(), told(to)) == ([("warning", "firing")], [("trigger", "pending")] * 2)

    def test_is_left_out_when_it_was_missed_for_more_than_an_hour(self) -> None:
        rule = make(about(by=("model",)))
        judge(1)
        store([one_call(minute, model=f"{minute:02d}") for minute in (10, 11) for _ in range(6)])
        judge(70)
        assert [minute for minute, _, _, after in transitions(rule) if after == "warning"] == [11]

    def test_that_could_not_be_judged_is_judged_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where those after it could have been."""
        rule = make()
        judge(1)
        calls(3, 6)
        calls(15, 6)
        with monkeypatch.context() as patch:
            times = failing(patch, standings, "advance", lambda *_, until, **__: until < at(12))
            assert judge(20).failed == 1
            assert times == [1]
        assert transitions(rule) == []
        judge(20)
        assert [minute for minute, _, _, after in transitions(rule) if after == "warning"] == [3, 15]


class TestMemory:
    """What is remembered between two evaluations is no more than what the database says."""

    def test_a_restart_changes_nothing(self) -> None:
        """Not even of a critical alert that is clear, kept for a while, and then a warning for another one."""
        rule = make(about(critical=10, keep=2, hold=1, by=("model",)))
        twin = make(about(critical=10, keep=2, hold=1, by=("model",)), organization=OTHER)
        for minute, number in enumerate((6, 11, 11, 6, 1, 1, 1, 1, 1, 11, 11, 6, 1), start=1):
            store([one_call(minute)] * number + [one_call(minute, organization=OTHER)] * number)
        for minute in range(1, 14):
            judge(minute)
            for cursor in [one for one in memory._remembered if one[0] == OWN]:
                del memory._remembered[cursor]
        assert transitions(rule) == transitions(twin)
        assert len(transitions(rule)) >= 6
        assert standing(rule, "llama") == standing(twin, "llama")

    def test_what_another_process_wrote_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make()
        judge(1)
        mine = deepcopy(memory._remembered)
        monkeypatch.setattr(memory, "_remembered", {})
        calls(2, 6)
        judge(2)
        monkeypatch.setattr(memory, "_remembered", mine)
        judge(3)
        assert stand() == [("warning", "resolved")]

    def test_nothing_is_read_again_while_nobody_else_wrote(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make()
        judge(1)
        monkeypatch.setattr(standings, "read", None)
        calls(2, 6)
        judge_each(2, 3)
        assert stand() == [("warning", "resolved")]

    def test_of_what_was_rolled_back_nothing_is_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = make()
        judge(1)
        calls(2, 6)
        with monkeypatch.context() as patch:
            failing(patch, standings, "advance", lambda *_, **__: True)
            judge(2)
        judge(2)
        assert transitions(rule) == [(2, ALONE, "ok", "warning")]
        assert stand() == [("warning", "firing")]


class TestARuleThatIsChanged:
    def fire(self) -> UUID:
        rule = make(about(hold=1))
        calls(1, 6)
        calls(2, 6)
        judge_each(1, 2)
        assert stand() == [("warning", "firing")]
        return rule

    @pytest.mark.parametrize(
        "part", [{"window": 2}, {"aggregation": "rate"}, {"by": ("model",)}, {"filters": {"model": ("l*",)}},
                 {"labels": {"team": "ml"}}, {"alert_type": "busy"}, {"offset": 0}, {"change": "week"}],
        ids=lambda part: next(iter(part)),
    )  # fmt: skip
    def test_ends_its_alerts_and_starts_over_where_it_is_about_something_else(self, part: dict[str, Any]) -> None:
        rule = self.fire()
        change(rule, about(hold=1, **part), minute=2.8)
        assert (stand(), groups(rule)) == ([("warning", "resolved")], {})
        assert alerts()[0].resolve_note == "The rule is about something else now."
        judge(3)
        assert [after for _, _, _, after in transitions(rule) if after == "warning"] == ["warning"]

    def test_goes_on_where_it_only_asks_for_something_else(self) -> None:
        rule = self.fire()
        change(rule, about(hold=3, critical=10, developer="Now {value}"), minute=2.8)
        calls(3, 12)
        judge(3)
        assert stand() == [("warning", "firing")]
        for minute in range(4, 7):
            calls(minute, 12)
        judge_each(4, 6)
        assert (stand(), alerts()[0].message) == ([("critical", "firing")], "Now 12 inferences")

    @pytest.mark.parametrize("state", ["paused", "retired"])
    def test_ends_its_alerts_when_it_is(self, state: str) -> None:
        rule = self.fire()
        switch(rule, state, minute=2.8)
        assert (stand(), groups(rule)) == ([("warning", "resolved")], {})
        assert alerts()[0].resolve_note == f"The rule was {state}."
        calls(3, 6)
        judge(3)
        assert (groups(rule), stand()) == ({}, [("warning", "resolved")])

    def test_is_not_judged_for_the_time_in_which_it_was_paused(self) -> None:
        rule = self.fire()
        switch(rule, "paused", minute=2.8)
        for minute in range(3, 9):
            calls(minute, 6)
        switch(rule, "on", minute=8.6)
        judge(8)
        assert transitions(rule)[2:] == [(8, ALONE, "", "pending")]

    def test_that_is_new_is_judged_from_the_newest_minute_on(self) -> None:
        first = make()
        judge(1)
        switch(first, "retired", minute=1.8)
        for minute in range(2, 9):
            calls(minute, 6)
        second = make(minute=7.6)
        judge(8)
        assert transitions(second) == [(7, ALONE, "", "warning")]

    def test_is_noticed_at_once(self) -> None:
        calls(1, 6)
        judge(1)
        assert stand() == []
        make()
        judge(1)
        assert stand() == [("warning", "firing")]


class TestARuleThatCannotBeJudged:
    @pytest.mark.parametrize("offset", [0, 30])
    @pytest.mark.parametrize("alone", [True, False])
    def test_since_nobody_can_read_it_says_so_to_its_owner(
        self, make_person: Callable[..., User], alone: bool, offset: int
    ) -> None:
        ada = make_person("ada", **{OWN: "owner"})
        broken = make(about(offset=offset), name="Broken", owner=ada.pk)
        rest = [] if alone else [make(), make(organization=OTHER)]
        ruin(broken)
        calls(1, 6)
        calls(1, 6, organization=OTHER)
        run = judge(1)
        assert run.failed == 1
        [alert] = alerts(alert_type=RULE_FAILED)
        assert (alert.severity, alert.status, alert.labels) == ("warning", "firing", {"rule": "broken"})
        assert alert.message.startswith("The rule Broken of ada cannot be judged. It cannot be read: ")
        assert (the(broken).error_alert_id, the(broken).error_at) == (alert.pk, at(1) + timedelta(seconds=37))
        assert the(broken).error.startswith("It cannot be read: ")
        assert [groups(rule) for rule in rest] == [{ALONE: "warning"}] * len(rest)

    def test_is_told_of_once_and_well_again_with_its_next_version(self) -> None:
        to, rule = hook(), make(name="Broken")
        ruin(rule)
        judge_each(1, 3)
        assert told(to) == [("trigger", "pending")]
        switch(rule, "paused", minute=3.6)
        switch(rule, "on", minute=3.7)
        change(rule, about(), minute=3.8, name="Broken")
        assert (stand(), the(rule).error, the(rule).error_alert_id) == ([("warning", "resolved")], "", None)
        calls(4, 6)
        judge(4)
        assert groups(rule) == {ALONE: "warning"}

    @pytest.mark.parametrize(
        "definition", ["{}", "[]", "null", '{"measure": "inferences", "aggregation": "count", "window": 0}']
    )
    def test_whatever_is_wrong_with_it(self, definition: str) -> None:
        rule = make()
        ruin(rule, definition)
        judge(1)
        assert the(rule).error.startswith("It cannot be read: ")
        change(rule, about(), minute=1.8)
        calls(2, 6)
        judge(2)
        assert (the(rule).error, groups(rule)) == ("", {ALONE: "warning"})

    def test_is_well_again_when_it_is_judged_with_what_was_mended(self) -> None:
        rule = make()
        ruin(rule, encoded(about(hold=10_000)))
        judge(1)
        assert the(rule).error == "It cannot be read: hold: must be 0 to 1,440 minutes."
        change(rule, about(), minute=1.8)
        assert (the(rule).error, stand(alert_type=RULE_FAILED)) == ("", [("warning", "firing")])
        judge(2)
        [alert] = alerts(alert_type=RULE_FAILED)
        assert (alert.status, alert.resolve_note) == ("resolved", "The rule is judged again.")
        assert the(rule).error_alert_id is None

    def test_since_its_data_cannot_be_read_stops_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong, right = make(name="wrong"), make(name="right")
        judge(1)
        calls(2, 6)
        real = judging.read

        def read(rule: rulebook.Ruled, gauges: judging.Gauges) -> Any:
            if rule.id == wrong:
                raise ZeroDivisionError
            return real(rule, gauges)

        with monkeypatch.context() as patch:
            patch.setattr(judging, "read", read)
            assert judge(2).failed == 1
        assert (groups(wrong), groups(right)) == ({ALONE: "ok"}, {ALONE: "warning"})
        [alert] = alerts(alert_type=RULE_FAILED)
        assert alert.message == "The rule wrong cannot be judged. It could not be judged: ZeroDivisionError."
        assert the(wrong).error == "It could not be judged: ZeroDivisionError."
        calls(3, 6)
        judge(3)
        assert (groups(wrong), the(wrong).error, the(wrong).error_alert_id) == ({ALONE: "warning"}, "", None)
        [alert] = alerts(alert_type=RULE_FAILED)
        assert (alert.status, alert.resolve_note) == ("resolved", "The rule is judged again.")


class TestOrganizations:
    def test_see_nothing_of_each_other(self) -> None:
        mine, theirs = make(about(by=("model",))), make(about(by=("model",)), organization=OTHER)
        heat, load = (
            make(about("cockpit_gpu_temperature_celsius", "max", by=("gpu",), warning=80), organization=organization,
                 name="heat")
            for organization in (OWN, OTHER)
        )  # fmt: skip
        store(
            [one_call(1, model="a")] * 6 + [one_call(1, model="b", organization=OTHER)] * 6,
            [sample(1, 90, gpu="0"), sample(1, 95, gpu="1", organization=OTHER)],
        )
        judge(1)
        assert (groups(mine), groups(theirs)) == ({("a",): "warning"}, {("b",): "warning"})
        assert (groups(heat), groups(load)) == ({("0",): "warning"}, {("1",): "warning"})
        for organization, name in ((OWN, "a"), (OTHER, "b")):
            with Scope.of(organization).enter():
                assert {one.organization_id for one in Alert.objects.all()} == {organization}
                assert Alert.objects.filter(model_name=name).count() == 1

    def test_hold_nobody_else_up_when_theirs_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mine, theirs = make(), make(organization=OTHER)
        calls(1, 6)
        calls(1, 6, organization=OTHER)
        with monkeypatch.context() as patch:
            failing(patch, standings, "write", lambda organization, *_: organization == OTHER)
            run = judge(1)
        assert (run.failed, run.rules) == (1, 1)
        assert (groups(mine), groups(theirs)) == ({ALONE: "warning"}, {})
        calls(2, 6, organization=OTHER)
        judge(2)
        assert transitions(theirs) == [(1, ALONE, "", "warning")]

    def test_hold_nobody_else_up_when_theirs_cannot_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mine, theirs = make(), make(organization=OTHER)
        judge(1)
        calls(2, 6)
        calls(2, 6, organization=OTHER)
        with monkeypatch.context() as patch:
            failing(patch, gauging, "_read", lambda _, wanted, *__: any(one[0] == OTHER for one in wanted))
            assert judge(2).failed == 1
        assert (transitions(mine), transitions(theirs)) == ([(2, ALONE, "ok", "warning")], [])
        judge(3)
        assert transitions(theirs) == [(2, ALONE, "ok", "warning"), (3, ALONE, "warning", "ok")]

    def test_hold_nobody_else_up_when_theirs_break_the_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mine, theirs = make(), make(organization=OTHER)
        calls(1, 6)
        calls(1, 6, organization=OTHER)

        def act_or_break(organization: str, *rest: Any) -> Any:
            if organization == OTHER:
                raise KeyError("gone")
            return enacting.act(organization, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(evaluation, "act", act_or_break)
            assert judge(1).failed == 1
        assert (groups(mine), groups(theirs)) == ({ALONE: "warning"}, {})
        judge(1)
        assert groups(theirs) == {ALONE: "warning"}


class TestWhatIsKeptOfIt:
    def test_each_run_that_judged_something(self) -> None:
        make(about(by=("model",)))
        make(about(), name="all")
        store([one_call(1, model=name) for name in "ab"])
        for minute in (1, 1, 2):
            judge(minute)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT minutes, rules, groups, transitions, failed, took_ms > 0 FROM alerts_evaluation ORDER BY id"
            )
            assert cursor.fetchall() == [(1, 2, 3, 0, 0, True), (1, 2, 3, 0, 0, True)]

    def test_until_it_is_old(self) -> None:
        make()
        calls(1, 6)
        judge(1)
        assert (rows("alerts_evaluation"), rows("alerts_transition")) == (1, 1)
        evaluation.forget(at(1) + timedelta(days=13))
        assert (rows("alerts_evaluation"), rows("alerts_transition")) == (1, 1)
        evaluation.forget(at(1) + timedelta(days=15))
        assert (rows("alerts_evaluation"), rows("alerts_transition")) == (0, 1)
        evaluation.forget(at(1) + timedelta(days=101))
        assert rows("alerts_transition") == 0

    def test_only_what_is_live_is_judged(self) -> None:
        rule = make(about(by=("model",)))
        heat = make(about("cockpit_gpu_temperature_celsius", "max", warning=80), name="heat")
        store([one_call(1, model=source, source=source) for source in ("live", "demo", "replay") for _ in range(6)],
              [sample(1, 95, source="demo"), sample(1, 60), grown(1, 5, source="demo")])  # fmt: skip
        judge(1)
        assert groups(rule) == {("live",): "warning"}
        assert groups(heat) == {ALONE: "ok"}
