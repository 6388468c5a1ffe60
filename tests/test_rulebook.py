"""The rules of an organization: what each is called, from when on it is judged, and what its writers find by then."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from alerts import judging, measurements, rulebook
from alerts.measurements import Group
from alerts.mishaps import RULE_FAILED
from organizations.scope import Scope
from tests.channels import EVERYONE, OTHER, OWN
from tests.ruling import about, at, calls, forget, groups, judge, make, stand, switch, the

ALONE: Group = ()


@pytest.fixture(autouse=True)
def ground(database: str) -> Iterator[None]:
    forget()
    yield
    forget()


class TestAKey:
    @pytest.mark.parametrize(
        ("name", "key"),
        [("Calls fail", "calls_fail"), ("  5xx: too many!", "5xx_too_many"), ("Für alle", "f_r_alle"),
         ("模型", "rule"), ("x" * 100, "x" * 80), ("GPU heat", "gpu_heat_2"), ("queue age?", "queue_age_2")],
    )  # fmt: skip
    def test_is_a_word_of_its_name_that_is_none_of_the_pack(self, name: str, key: str) -> None:
        assert the(make(name=name)).key == key

    def test_is_never_given_twice(self) -> None:
        first = make(name="Calls fail")
        switch(first, "retired", minute=2)
        keys = [the(make(name=name)).key for name in ("Calls fail", "calls fail", "calls fail 2")]
        assert [the(first).key, *keys] == ["calls_fail", "calls_fail_2", "calls_fail_3", "calls_fail_2_2"]
        assert the(make(name="Calls fail", organization=OTHER)).key == "calls_fail"


class TestTheFirstMinute:
    @pytest.mark.parametrize("again", [False, True])
    def test_is_not_yet_to_come_where_the_clock_of_a_page_is_ahead(self, again: bool) -> None:
        ahead = (datetime.now(UTC) + timedelta(hours=1) - at(0)) / timedelta(minutes=1)
        rule = make(minute=1.6 if again else ahead)
        if again:
            switch(rule, "paused", minute=2)
            switch(rule, "on", minute=ahead)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT until < clock_timestamp() FROM alerts_judged")
            assert cursor.fetchall() == [(True,)]


class TestTheBook:
    def test_is_read_where_a_rule_breaks_the_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        broken, silent, right = make(about("cost", "sum")), make(about("revenue", "sum"), name="b"), make(name="c")
        real = measurements.reader

        def reader(one: Any) -> Any:
            if one.measure == "cost":
                raise KeyError("cost")
            if one.measure == "revenue":
                raise RecursionError
            return real(one)

        calls(1, 6)
        with monkeypatch.context() as patch:
            patch.setattr(measurements, "reader", reader)
            assert judge(1).failed == 2
        assert groups(right) == {ALONE: "warning"}
        assert [the(one).error for one in (broken, silent)] == [
            "It cannot be read: 'cost'.", "It cannot be read: RecursionError."]  # fmt: skip


class TestAnError:
    def test_that_was_told_of_meanwhile_is_over_when_its_rule_is_paused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = make()
        seen = the(rule)
        with monkeypatch.context() as patch:
            patch.setattr(judging, "read", None)
            judge(1)
        assert stand(alert_type=RULE_FAILED) == [("warning", "firing")]
        with Scope.of(OWN).enter():
            rulebook.switch(rule=seen, state="paused", now=at(1.8), by="tests")
        assert stand(alert_type=RULE_FAILED) == [("warning", "resolved")]
        assert the(rule).error_alert_id is None
