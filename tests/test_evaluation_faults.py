"""Rules when something is wrong: data that cannot be read or written, clocks, gaps, changes in the middle of a run."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from alerts import enacting, evaluation, gauging, judging, standings, tasks
from alerts.evaluations import Run
from alerts.gauging import Unread
from alerts.measurements import NOTHING
from monitoring.store import retention
from organizations.models import Organization
from tests.channels import EVERYONE, OTHER, OWN
from tests.outbox import in_thread
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
    sample,
    stand,
    store,
    switch,
    the,
    transitions,
    unsaved,
)

ALONE = ()
BALANCE = "team_balance_ratio"
WEEK = 7 * 24 * 60


@pytest.fixture(autouse=True)
def ground(nothing_remembered: None) -> Iterator[None]:
    """Nor is it remembered how long minutes are kept."""
    retention.forget()
    yield
    retention.forget()


def asked(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def keep_minutes(organization: str, days: int) -> None:
    Organization.objects.filter(slug=organization).update(minute_days=days)
    retention.forget()


class TestDataThatCannotBeRead:
    def test_put_their_rule_into_error_and_stop_no_other(self) -> None:
        broken, healthy = make(about(BALANCE, "avg"), name="broken"), make(name="healthy")
        calls(1, 6)
        store(samples=[sample(1, 1.7e308, BALANCE, seconds=second, place=str(second)) for second in (0, 1)])
        assert judge(1).failed == 1
        assert groups(healthy) == {ALONE: "warning"}
        assert the(broken).error.startswith("Its data cannot be read.")
        calls(2, 1)
        judge(2)
        assert (the(broken).error, groups(healthy)) == ("", {ALONE: "ok"})

    def test_are_the_only_ones_that_raise(self) -> None:
        rule = unsaved(about(BALANCE, "avg"))
        store([one_call(1)], [sample(1, 1.7e308, BALANCE, seconds=second, place=str(second)) for second in (0, 1)])
        wanted = judging.wanted([rule, unsaved(about())])
        gauges = gauging.read_apart(EVERYONE, wanted, [at(1)])[at(1)]
        assert judging.read(unsaved(about()), gauges)[ALONE].value == 1
        with pytest.raises(Unread, match="out of range"):
            judging.read(rule, gauges)

    def test_cost_no_other_minute(self) -> None:
        """Also not where ten minutes are caught up with at once."""
        rule = make(about(BALANCE, "avg"))
        judge(1)
        store(samples=[sample(5, 9, BALANCE), sample(7, 1, BALANCE)])
        store(samples=[sample(9, 1.7e308, BALANCE, seconds=second, place=str(second)) for second in (0, 1)])
        judge(9)
        assert transitions(rule) == [(5, ALONE, "ok", "warning"), (6, ALONE, "warning", "ok")]
        assert the(rule).error
        store(samples=[sample(10, 1, BALANCE)])
        judge(10)
        assert the(rule).error == ""

    def test_are_no_reason_to_begin(self) -> None:
        rule = make(about(BALANCE, "avg", hold=30))
        for minute in range(1, 42):
            values = [9.0] if minute in (1, 41) else [1.7e308] * 2
            store(
                samples=[
                    sample(minute, value, BALANCE, place=f"{minute} {place}") for place, value in enumerate(values)
                ]
            )
        judge_each(1, 3)
        assert transitions(rule) == [(1, ALONE, "", "pending"), (2, ALONE, "pending", "ok")]
        judge(41)
        assert groups(rule) == {ALONE: "pending"}


class TestSlowWindows:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The longest of the windows that are read at once, in minutes; those of two days do not end in time."""
        found: list[int] = []
        real = gauging._read

        def read(scope: Any, wanted: Any, *rest: Any) -> Any:
            found.append(max((window.minutes for _, window in wanted), default=0))
            if found[-1] > 1440:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = '20ms'")
                    cursor.execute("SELECT pg_sleep(2)")
            return real(scope, wanted, *rest)

        monkeypatch.setattr(gauging, "_slow", {})
        monkeypatch.setattr(gauging, "_read", read)
        return found

    def test_put_their_rule_into_error_and_are_not_asked_for_again_soon(
        self, asked: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow, quick = make(about(window=2880), name="slow"), make(name="quick")
        calls(1, 6)
        assert judge(1).failed == 1
        assert asked == [2880, 2880, 1, 2880]  # all together, those of the organization, each by itself
        assert (the(slow).error, groups(quick)) == (f"Its data cannot be read. {gauging._TOO_SLOW}", {ALONE: "warning"})
        del asked[:]
        judge_each(2, 3)
        assert asked == [1, 1]
        later = time.monotonic() + 601
        monkeypatch.setattr(gauging.time, "monotonic", lambda: later)
        judge(4)
        assert asked == [1, 1, 1, 2880]
        assert [one.alert_type for one in alerts()].count("rule_failed") == 1

    def test_that_are_quick_again_are_read_as_all_are(self, asked: list[int]) -> None:
        rule = make(about(window=1440))
        gauging._slow[OWN, unsaved(about(window=1440)).windows[0]] = 0.0
        judge(1)
        assert (the(rule).error, gauging._slow) == ("", {})
        judge(2)
        assert asked == [0, 1440, 1440]

    def test_many_that_are_known_for_it_stay_so(self, asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        """When they are tried again none of them can be read, and the database is well all the same."""
        slow = [make(about(window=2880 + number), name=f"of {number}") for number in range(3)]
        quick = make(name="quick")
        assert judge(1).failed == 3
        later = time.monotonic() + 601
        monkeypatch.setattr(gauging.time, "monotonic", lambda: later)
        calls(2, 6)
        assert judge(2).failed == 3
        assert ([bool(the(rule).error) for rule in slow], len(gauging._slow)) == ([True] * 3, 3)
        assert groups(quick) == {ALONE: "warning"}
        assert asked.count(1) == 2  # the quick one once a minute

    def test_the_only_one_is_told_of_too(self, asked: list[int]) -> None:
        slow = make(about(window=2880))
        assert (judge(1).failed, bool(the(slow).error)) == (1, True)

    def test_where_all_of_many_are_it_is_the_database(self, asked: list[int]) -> None:
        rules = [make(about(window=2880 + number), name=f"of {number}") for number in range(3)]
        assert judge(1).failed == 3
        assert ([the(rule).error for rule in rules], gauging._slow) == ([""] * 3, {})


class TestWhatCannotBeWritten:
    def test_puts_its_rule_into_error_and_stops_no_other(self) -> None:
        names = ("ward", "bed", "floor", "wing")
        broken = make(about(BALANCE, "max", by=names, warning=1), name="broken")
        healthy = make(name="healthy")
        calls(1, 6)
        chance = random.Random(7)
        labels = {name: "".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(200)) for name in names}
        store(samples=[sample(1, 9, BALANCE, **labels)])
        assert judge(1).failed == 1
        assert (groups(broken), groups(healthy)) == ({}, {ALONE: "warning"})
        assert "cannot be written" in the(broken).error
        assert sorted(one.alert_type for one in alerts()) == ["rule", "rule_failed"]
        judge(2)
        assert transitions(healthy) == [(1, ALONE, "", "warning"), (2, ALONE, "warning", "ok")]

    def test_is_not_what_a_counter_counts(self) -> None:
        rule = make(about("failed_total", "ratio", per="tried_total", warning=0.5))
        store(
            samples=[
                grown(1, 9e18, name, place=str(place)) for name in ("failed_total", "tried_total") for place in "ab"
            ]
        )
        judge(1)
        assert groups(rule) == {ALONE: "warning"}


class TestRetention:
    def compared(self, organization: str = OWN) -> Any:
        rule = unsaved(about(change="week", window=60), organization)
        wanted = judging.wanted([rule, unsaved(about(), OTHER)])
        return judging.read(rule, gauging.read(EVERYONE, wanted, [at(17)])[at(17)]).get(ALONE, NOTHING)

    def test_of_others_changes_nothing(self) -> None:
        store([one_call(minute - back) for minute in range(-60, 18) for back in (0, WEEK)])
        before = self.compared()
        assert (before.value, before.samples) == (0.0, 60)
        keep_minutes(OTHER, 3)
        assert self.compared() == before

    def test_that_is_too_short_to_compare_puts_the_rule_into_error(self) -> None:
        store([one_call(minute - back) for minute in (0, 1) for back in (0, WEEK)])
        rule, plain = make(about(change="week"), name="compared"), make(about(window=2 * 24 * 60), name="plain")
        keep_minutes(OWN, 1)
        judge(1)
        assert "minutes are not kept any more" in the(rule).error
        assert the(plain).error == ""


class TestClocks:
    def test_that_were_far_ahead_once_stop_nothing(self) -> None:
        rule = make()
        judge(1)
        asked("UPDATE alerts_judged SET until = until + interval '1 day' WHERE organization_id = %s", OWN)
        calls(2, 6)
        judge(2)
        assert transitions(rule) == [(2, ALONE, "ok", "warning")]

    def test_minutes_that_were_left_out_are_no_reason_to_begin(self) -> None:
        rule, firing = make(about(hold=60)), make(about(keep=60), name="firing")
        for minute in (2, 141, 142):
            calls(minute, 6)
        judge_each(1, 2)
        assert (groups(rule), groups(firing)) == ({ALONE: "pending"}, {ALONE: "warning"})
        judge(200)
        found = transitions(rule)
        assert found[:3] == [
            (2, ALONE, "ok", "pending"), (141, ALONE, "pending", "ok"), (141, ALONE, "ok", "pending"),
        ]  # fmt: skip
        assert "warning" not in {after for _, _, _, after in found}
        assert transitions(firing)[0] == (2, ALONE, "ok", "warning")


class TestOthers:
    def test_who_are_judging_are_not_waited_for_and_fail_nothing(self) -> None:
        rule = make()
        judge(1)
        calls(2, 6)
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with EVERYONE.enter():
                standings.hold(OWN, 30, first=at(0))
                held.set()
                done.wait(20)

        with in_thread(hold):
            assert held.wait(20)
            assert judge(2) == Run()
            done.set()
        judge(2)
        assert groups(rule) == {ALONE: "warning"}

    def test_no_minute_is_lost_to_somebody_who_gives_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = make()
        judge(1)
        calls(5, 6)
        real, held = standings.hold, [None]
        monkeypatch.setattr(standings, "hold", lambda *given, **named: held.pop() if held else real(*given, **named))
        judge(25)
        judge(25)
        assert transitions(rule) == [(5, ALONE, "ok", "warning"), (6, ALONE, "warning", "ok")]


class TestGroupsThatGiveWay:
    def test_hold_nobody_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "MOST_GROUPS", 2)
        make(about(by=("model",)), name="crowded")
        healthy = make(name="healthy")
        for minute, names in ((1, "ab"), (2, "cd"), (3, "ef")):
            store([one_call(minute, model=name) for name in names for _ in range(4 * minute)])
        assert judge(3).failed == 0
        assert groups(healthy) == {ALONE: "warning"}

    def test_take_no_turns_and_leave_no_trail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "MOST_GROUPS", 2)
        rule = make(about(by=("model",)))
        for minute, names in ((1, "aab"), (2, "cdd"), (3, "eee")):
            store([one_call(minute, model=name) for name in names])
            judge(minute)
        assert set(groups(rule)) == {("b",), ("e",)}
        assert transitions(rule) == []


class TestWhileNobodyAsks:
    def test_a_worker_judges_by_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        judged: list[float] = []

        def look(seconds: int, verb: Callable[[], None]) -> None:
            moment = at(1) + timedelta(seconds=seconds)
            monkeypatch.setattr(tasks.timezone, "now", lambda: moment)
            monkeypatch.setattr(evaluation, "evaluate", lambda _: judged.append(seconds))
            verb()

        look(0, tasks.evaluate)
        for seconds in (10, 31, 59, 60, 61, 90, 119, 120):
            look(seconds, tasks.evaluate_unasked)
        assert judged == [0, 60, 120]


class TestARuleThatIsChangedMeanwhile:
    @pytest.mark.parametrize("state", ["paused", "retired"])
    def test_is_not_judged_any_more(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        rule, other = make(), make(name="other")
        judge(1)
        calls(2, 6)
        self.meanwhile(monkeypatch, lambda: switch(rule, state, minute=2.2))
        judge(2)
        assert (groups(rule), stand()) == ({}, [])
        judge(2)
        assert (groups(rule), groups(other), stand()) == ({}, {ALONE: "warning"}, [("warning", "firing")])

    def test_is_judged_as_it_is_now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = make(about(by=("model",)))
        judge(1)
        calls(2, 6)
        self.meanwhile(monkeypatch, lambda: change(rule, about(warning=50), minute=2.2))
        judge(2)
        assert (groups(rule), stand()) == ({}, [])
        judge(3)
        assert (groups(rule), stand()) == ({ALONE: "ok"}, [])

    @staticmethod
    def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
        """Once, after the book was read."""
        real, left = gauging.read, [act]

        def read(*given: Any, **named: Any) -> Any:
            while left:
                left.pop()()
            return real(*given, **named)

        monkeypatch.setattr(gauging, "read", read)


class TestWhatIsNoted:
    def test_is_of_each_organization_and_of_what_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make(), make(organization=OTHER)
        calls(1, 6, organization=OTHER)

        def act_or_break(organization: str, *rest: Any) -> Any:
            if organization == OTHER:
                raise KeyError(organization)
            return enacting.act(organization, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(evaluation, "act", act_or_break)
            judge(1)
        judge(1)
        columns = "organization_id, late, minutes, rules, failed, took_ms > 0"
        assert sorted(asked(f"SELECT {columns} FROM alerts_evaluation")) == [
            (OTHER, 30, 0, 0, 1, True), (OTHER, 30, 1, 1, 0, True), (OWN, 30, 1, 1, 0, True),
        ]  # fmt: skip

    def test_minutes_are_read_together_as_long_as_the_windows_are_few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        real = gauging.read

        def read(scope: Any, wanted: Any, minutes: Any, **more: Any) -> Any:
            sizes.append(len(minutes))
            return real(scope, wanted, minutes, **more)

        monkeypatch.setattr(gauging, "read", read)
        for window in (1, 2, 3):
            make(about(window=window), name=f"of {window}")
        judge(1)
        judge(13)
        assert sizes == [1, 10, 2]
        monkeypatch.setattr(evaluation, "_MOST_WINDOWS", 12)
        judge(21)
        assert sizes[3:] == [4, 4]
