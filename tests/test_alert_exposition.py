"""What scrapes are told of alerts: every severity, status and reason of one's own organizations, live ones alone."""

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from msgspec import structs

from alerts import exposition, lifecycle, rulebook, standings, tallies
from alerts.definitions import Definition
from alerts.deliveries import clock
from alerts.lifecycle import Fired
from alerts.models import AlertRule
from alerts.rules import Condition
from alerts.states import RANKS, Report, Suppression
from monitoring.counting import table
from monitoring.families import BY_NAME, FAMILIES
from monitoring.openmetrics import OPENMETRICS, TEXT
from organizations.models import User
from organizations.scope import Scope
from tests.test_exposition import FORMS, Series, parsed, promtool, value

__all__ = ["promtool"]  # a fixture

OWN, OTHER = "swaggystacks", "scientia_capital"
Make = Callable[..., str]
_READ = {name for source in exposition.SOURCES for name in source.families}  # from the tables, at the scrape
COUNTED = tuple(family for family in FAMILIES if family.group == "alerts" and family.name not in _READ)


def fire(organization: str = OWN, *, now: datetime, **changed: Any) -> Fired:
    """An alert, another one for each severity where no labels say otherwise."""
    labels = {"is": changed.get("severity", "warning")}
    report = Report(alert_type="slow", severity="warning", message="It is slow.", labels=labels)
    report = structs.replace(report, **changed)
    [fired] = lifecycle.fire(
        scope=Scope.of(organization), organization=organization, reports=[report], now=now, via="api"
    )
    return fired


@pytest.fixture(autouse=True)
def _as_a_new_process() -> None:
    table.clear()


def ask(key: str, form: str = TEXT, **query: Any) -> str:
    headers = {"authorization": f"Bearer {key}", "accept": form}
    answer = Client().get("/api/metrics", query, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def read(key: str, form: str = TEXT, **query: Any) -> Series:
    return parsed(ask(key, form, **query), form)


@pytest.mark.usefixtures("database")
class TestOpen:
    def test_every_severity_and_status_is_told_where_nothing_is_open(self, make_key: Make) -> None:
        found = read(make_key(OWN, "metrics:read"), include=exposition.OPEN)
        assert len(found) == 2 * len(RANKS)
        assert set(found.values()) == {0}
        for severity in RANKS:
            for status in ("firing", "acknowledged"):
                labels = {"organization": OWN, "severity": severity, "status": status}
                assert value(found, exposition.OPEN, **labels) == 0

    def test_they_are_counted_by_what_they_are(self, make_key: Make, now: datetime) -> None:
        for number, severity in enumerate(("critical", "warning", "warning", "info")):
            fire(now=now, severity=severity, labels={"n": str(number)})
        given: dict[str, Any] = {"scope": Scope.of(OWN), "now": now, "via": "api"}
        lifecycle.acknowledge(ids=[fire(now=now, labels={"n": "acknowledged"}).state.id], **given)
        lifecycle.resolve(ids=[fire(now=now, labels={"n": "resolved"}).state.id], **given)
        fire(OTHER, now=now)
        found = read(make_key(OWN, "metrics:read"), include="alerts")
        numbers = {(dict(labels)["severity"], dict(labels)["status"]): number
                   for (name, labels), number in found.items() if name == exposition.OPEN}  # fmt: skip
        assert {key: number for key, number in numbers.items() if number} == {
            ("critical", "firing"): 1, ("warning", "firing"): 2, ("info", "firing"): 1, ("warning", "acknowledged"): 1,
        }  # fmt: skip

    def test_each_reason_counts_those_that_nobody_is_told_of_for_it(self, make_key: Make, now: datetime) -> None:
        key = make_key(OWN, "metrics:read")
        found = read(key, include=exposition.SUPPRESSED)
        assert {dict(labels)["reason"] for _, labels in found} == set(exposition.REASONS)
        assert set(found.values()) == {0}
        one, two = (fire(now=now, labels={"n": n}).state.id for n in "ab")
        given: dict[str, Any] = {"scope": Scope.of(OWN), "now": now, "via": "api"}
        lifecycle.shelve(ids=[one, two], until=now + timedelta(hours=1), **given)
        lifecycle.suppress(ids=[one], suppression=Suppression(kind="silenced", since=now), **given)
        found = read(key, include=exposition.SUPPRESSED)
        told = {
            reason: value(found, exposition.SUPPRESSED, organization=OWN, reason=reason)
            for reason in exposition.REASONS
        }
        assert told == {"silenced": 1, "inhibited": 0, "maintenance": 0, "shelved": 2}

    def test_the_age_is_that_of_the_oldest_and_nothing_while_none_is_open(self, make_key: Make, now: datetime) -> None:
        key = make_key(OWN, "metrics:read")
        assert read(key, include=exposition.OLDEST) == {}
        old = fire(now=now - timedelta(hours=2), severity="info").state.id
        fire(now=now - timedelta(hours=1))
        told = read(key, include=exposition.OLDEST)
        assert value(told, exposition.OLDEST, organization=OWN) == pytest.approx(7200, abs=60)
        lifecycle.resolve(scope=Scope.of(OWN), ids=[old], now=now, via="api")
        told = read(key, include=exposition.OLDEST)
        assert value(told, exposition.OLDEST, organization=OWN) == pytest.approx(3600, abs=60)

    def test_an_age_is_never_negative(self, make_key: Make, now: datetime) -> None:
        fire(now=now + timedelta(hours=1))
        assert set(read(make_key(OWN, "metrics:read"), include=exposition.OLDEST).values()) == {0}


@pytest.mark.usefixtures("database")
class TestWhose:
    def test_another_organizations_key_sees_nothing_of_them(self, make_key: Make, now: datetime) -> None:
        fire(now=now, severity="critical")
        text = ask(make_key(OTHER, "metrics:read"))
        assert OWN not in text
        assert {number for (name, _), number in parsed(text, TEXT).items() if name.startswith("cockpit_alert")} == {0}

    def test_a_platform_key_sees_all_and_each_apart(self, make_key: Make, now: datetime) -> None:
        fire(now=now)
        fire(OTHER, now=now)
        found = read(make_key("shared", "metrics:read", platform=True), include=exposition.OPEN)
        open_ones = {dict(labels)["organization"]: number for (_, labels), number in found.items() if number}
        assert open_ones == {OWN: 1, OTHER: 1}
        assert {dict(labels)["organization"] for _, labels in found} == {OWN, OTHER, "shared"}
        narrowed = read(make_key("shared", "metrics:read", platform=True), include=exposition.OPEN, organization=OWN)
        assert {dict(labels)["organization"] for _, labels in narrowed} == {OWN}

    def test_the_demo_is_never_told(self, make_key: Make, now: datetime) -> None:
        fired = fire(now=now, source="demo", severity="critical").state.id
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [fired], "now": now, "via": "api"}
        lifecycle.shelve(until=now + timedelta(hours=1), **given)
        lifecycle.acknowledge(**given)
        table.flush(now)
        key = make_key(OWN, "metrics:read")
        found = read(key, include="alerts")
        assert set(found.values()) == {0}
        assert exposition.OLDEST not in {name for name, _ in found}
        lifecycle.resolve(**given)
        table.flush(now)
        assert read(key, include="alerts") == found

    def test_people_read_them_by_their_memberships(self, now: datetime, make_person: Callable[..., User]) -> None:
        fire(now=now)
        client = Client()
        client.force_login(make_person("ada", **{OTHER: "owner"}))
        text = client.get("/api/metrics", {"include": "alerts"}).content.decode()
        assert OWN not in text
        assert OTHER in text


def rule(now: datetime, name: str = "slow", **more: Any) -> UUID:
    """A rule that was judged until a minute ago."""
    asked = Definition(measure="duration", aggregation="p95", condition=Condition(warning=1000))
    with Scope.of(OWN).enter():
        made = rulebook.create(organization=OWN, name=name, definition=asked, now=now, by="tests", **more)
        standings.hold(OWN, 30, first=clock())
        standings.advance(OWN, 30, until=clock() - timedelta(seconds=100), changed=False)
    return made


@pytest.mark.usefixtures("database")
class TestRules:
    def test_each_is_in_the_state_of_the_worst_of_its_groups(self, make_key: Make, now: datetime) -> None:
        made = [rule(now, name, state=state) for name, state in (("a", "on"), ("b", "on"), ("c", "on"), ("d", "paused"),
                                                                ("e", "on"), ("f", "retired"))]  # fmt: skip
        with Scope.of(OWN).enter(), connection.cursor() as cursor:
            for place, group, state in ((0, "x", "ok"), (0, "y", "critical"), (0, "z", "warning"), (1, "x", "pending")):
                cursor.execute(
                    "INSERT INTO alerts_standing (organization_id, rule_id, group_values, state, because, since, level)"
                    " VALUES (%s, %s, ARRAY[%s], %s, 'fine', now(), '')",
                    [OWN, made[place], group, state],
                )
            cursor.execute("UPDATE alerts_rule SET error = 'broken' WHERE id = %s", [made[4]])
        found = read(make_key(OWN, "metrics:read"), include=exposition.RULES)
        counted = {dict(labels)["state"]: number for (_, labels), number in found.items() if number}
        assert counted == {"critical": 1, "pending": 1, "ok": 1, "paused": 1, "error": 1}
        assert len(found) == len(exposition.RULE_STATES)

    def test_how_far_behind_is_counted_from_when_they_could_have_been_judged(
        self, make_key: Make, now: datetime
    ) -> None:
        rule(now)
        key = make_key(OWN, "metrics:read")
        behind = read(key, include=exposition.BEHIND)
        assert value(behind, exposition.BEHIND, organization=OWN) == pytest.approx(10, abs=10)
        assert read(make_key(OTHER, "metrics:read"), include=exposition.BEHIND) == {}

    @pytest.mark.parametrize("off", [{"state": "paused"}, {"state": "retired"}, {"error": "It cannot be read."}])
    def test_what_is_judged_no_more_is_not_behind(self, make_key: Make, now: datetime, off: dict[str, str]) -> None:
        made = rule(now, "late")
        with Scope.of(OWN).enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_rule SET definition = jsonb_set(definition, '{offset}', '120')")
            cursor.execute("UPDATE alerts_judged SET late = 120, until = until - interval '1 day'")
        key = make_key(OWN, "metrics:read")
        behind = read(key, include=exposition.BEHIND)
        assert value(behind, exposition.BEHIND, organization=OWN) > 86_000
        with Scope.of(OWN).enter():
            AlertRule.objects.filter(pk=made).update(**off)
        assert read(key, include=exposition.BEHIND) == {}
        rule(now)
        behind = read(key, include=exposition.BEHIND)
        assert value(behind, exposition.BEHIND, organization=OWN) == pytest.approx(10, abs=10)


@pytest.mark.usefixtures("database")
class TestCounted:
    def live(self, now: datetime) -> None:
        """Two alerts that began; one was looked after when a minute was over, and ended at the end of the hour."""
        one, _ = fire(now=now, severity="critical").state.id, fire(now=now)
        fire(now=now)  # once more
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [one], "via": "api"}
        lifecycle.acknowledge(now=now + timedelta(minutes=1), **given)
        lifecycle.unacknowledge(now=now + timedelta(minutes=2), **given)
        lifecycle.acknowledge(now=now + timedelta(minutes=3), **given)
        lifecycle.resolve(now=now + timedelta(hours=1), **given)
        lifecycle.resolve(now=now + timedelta(hours=2), **given)
        channel = ("channel", "On call")
        table.add(OWN, tallies.DELIVERIES, (channel, ("outcome", "sent")))
        table.observe(OWN, tallies.DELIVERED_AFTER, (channel,), 0.3, tallies.DELIVERY_BOUNDS)
        table.flush(now)

    def test_what_began_and_ended_is_counted_once(self, make_key: Make, now: datetime) -> None:
        self.live(now)
        found = read(make_key(OWN, "metrics:read"), include="alerts")
        critical = {"organization": OWN, "severity": "critical"}
        assert value(found, "cockpit_alerts_fired_total", **critical) == 1
        assert value(found, "cockpit_alerts_fired_total", organization=OWN, severity="warning") == 1
        assert value(found, "cockpit_alerts_resolved_total", **critical) == 1
        assert value(found, "cockpit_alert_acknowledge_seconds_count", **critical) == 1
        assert value(found, "cockpit_alert_acknowledge_seconds_sum", **critical) == 60
        assert value(found, "cockpit_alert_acknowledge_seconds_bucket", **critical, le="30.0") == 0
        assert value(found, "cockpit_alert_acknowledge_seconds_bucket", **critical, le="60.0") == 1
        assert value(found, "cockpit_alert_resolve_seconds_sum", **critical) == 3600

    def test_a_clock_that_is_behind_takes_nothing_off_a_sum(self, make_key: Make, now: datetime) -> None:
        identifier = fire(now=now).state.id
        lifecycle.resolve(scope=Scope.of(OWN), ids=[identifier], now=now - timedelta(seconds=5), via="api")
        table.flush(now)
        found = read(make_key(OWN, "metrics:read"), include="alerts")
        warning = {"organization": OWN, "severity": "warning"}
        assert value(found, "cockpit_alert_resolve_seconds_count", **warning) == 1
        assert value(found, "cockpit_alert_resolve_seconds_sum", **warning) == 0

    def test_both_forms_are_read_by_the_reference_parsers_and_tell_the_same(
        self, make_key: Make, now: datetime
    ) -> None:
        self.live(now)
        key = make_key(OWN, "metrics:read")
        told = [read(key, form, include="alerts", exclude=exposition.OLDEST) for form in FORMS]
        assert told[0] == told[1]
        assert {name for name, _ in told[0]} >= {family.name for family in COUNTED if family.kind == "counter"}
        assert OPENMETRICS in FORMS

    def test_the_reference_tool_finds_nothing_to_say(self, make_key: Make, now: datetime, promtool: str) -> None:
        self.live(now)
        rule(now)
        text = ask(make_key(OWN, "metrics:read"), include="alerts")
        for family in FAMILIES:
            assert (f"# TYPE {family.name} {family.kind}\n" in text) is (family.group == "alerts")
        ended = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.usefixtures("database")
def test_alerts_that_cannot_be_read_cost_their_own_families_alone(
    make_key: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "_GROUPS", "SELECT 1 / 0")
    found = read(make_key(OWN, "metrics:read"))
    assert value(found, "cockpit_exposition_errors", family="alerts") == 1
    assert "cockpit_build_info" in {name for name, _ in found}
    assert not [name for name, _ in found if name in (exposition.OPEN, exposition.SUPPRESSED, exposition.OLDEST)]


@pytest.mark.usefixtures("database")
def test_what_is_not_asked_for_is_not_read(make_key: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_GROUPS", "SELECT 1 / 0")
    key = make_key(OWN, "metrics:read")
    for query in ({"include": "business"}, {"exclude": "alerts"}):
        assert "cockpit_exposition_errors" not in {name for name, _ in read(key, **query)}


def test_every_source_names_families_that_there_are() -> None:
    for source in exposition.SOURCES:
        assert {BY_NAME[name].group for name in source.families} == {"alerts"}
