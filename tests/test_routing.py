"""Who is told of an alert: every condition of a route, beside a slow reading of its patterns; one answer everywhere."""

import itertools
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import ledger, lifecycle, roster, routes, routing
from alerts.models import Route
from alerts.routing import NOT_THROUGH, Wanted
from alerts.states import Report, Suppression
from organizations.scope import Scope
from tests.channels import EVERYONE, OTHER, OWN, act, channel, deliveries, events, fire, route, the

URL = "http://127.0.0.1:9/hook"  # nothing is sent here
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def ground(database: str) -> None:
    """Every test has the database."""


def told(alert: UUID) -> set[UUID]:
    return {one.channel_id for one in deliveries(alert=alert, event="trigger")}


def would_be_told(alert: UUID) -> set[UUID]:
    with EVERYONE.enter():
        return {one.id for one in routing.receivers(alert)}


def previewed(**wanted: Any) -> set[UUID]:
    more = {name: json.dumps(value) if name == "labels" else value for name, value in wanted.items()}
    with EVERYONE.enter():
        return {one.id for one in routing.preview(Wanted(organization=OWN, **more), since=PAST)}


def leads(report: dict[str, Any], **wanted: Any) -> bool:
    """Whether a route leads from such an alert: as it is queued, asked and previewed, which are the same."""
    to = channel(URL, name=f"to {uuid4()}")
    route(to, name=f"route {to}", **wanted)
    alert = fire(**{"kind": "slow", "endpoint_id": str(to), **report}).state.id
    queued = told(alert) == {to}
    assert would_be_told(alert) == told(alert)
    assert (alert in previewed(**wanted)) == queued
    with EVERYONE.enter():
        roster.retire(channel=the(to), now=datetime.now(UTC))
        Route.objects.all().delete()
    return queued


class TestConditions:
    def test_it_leads_from_everything_when_nothing_is_asked(self) -> None:
        assert leads({})

    @pytest.mark.parametrize("severity", ["critical", "warning", "info"])
    def test_it_asks_for_severities(self, severity: str) -> None:
        assert leads({"severity": severity}, severities=[severity])
        assert leads({"severity": severity}, severities=["critical", "warning", "info"])
        assert not leads({"severity": severity}, severities=sorted({"critical", "warning", "info"} - {severity}))

    @pytest.mark.parametrize(
        ("patterns", "text", "fits"),
        [
            ([], "high_error_rate", True),
            (["high_error_rate"], "high_error_rate", True),
            (["high_error_rate"], "high_error_rates", False),
            (["high*"], "high_error_rate", True),
            (["*rate"], "high_error_rate", True),
            (["*err*"], "high_error_rate", True),
            (["*"], "anything", True),
            (["h*e*r*e"], "high_error_rate", True),
            (["low*", "high*"], "high_error_rate", True),
            (["low*", "medium*"], "high_error_rate", False),
            (["High*"], "high_error_rate", False),
            (["high-error-rate"], "high_error_rate", False),
            (["high_error_rate"], "highXerrorXrate", False),  # an underscore is one
            (["50%"], "50 of them", False),  # a percent sign is one
            (["50%"], "50%", True),
            (["50%*"], "50% of them", True),
            ([r"a\b"], r"a\b", True),
            ([r"a\*"], r"a\anything", True),  # a backslash is one, and the star behind it still is a star
            ([r"a\*"], "a*", False),
            ([r"\\"], r"\\", True),
            ([r"\\"], "\\", False),
            (["\\"], "\\", True),
            (["*\\"], "ends with\\", True),
            ([""], "x", False),
            (["**"], "x", True),
            (["schön*"], "schönes Wetter", True),
        ],
    )
    def test_it_asks_for_types_and_models_by_pattern(self, patterns: list[str], text: str, fits: bool) -> None:
        assert leads({"kind": text}, alert_types=patterns) is fits
        assert leads({"model_name": text}, model_names=patterns) is fits

    def test_it_finds_no_model_in_an_alert_that_has_none(self) -> None:
        assert not leads({}, model_names=["qwen*"])
        assert leads({}, model_names=["*"])

    @pytest.mark.parametrize(
        ("wanted", "labels", "fits"),
        [
            ({}, {"team": "ml"}, True),
            ({"team": "ml"}, {"team": "ml", "region": "eu"}, True),
            ({"team": "ml"}, {"team": "web"}, False),
            ({"team": "ml"}, {}, False),
            ({"team": "ml", "region": "e*"}, {"team": "ml", "region": "eu"}, True),
            ({"team": "ml", "region": "u*"}, {"team": "ml", "region": "eu"}, False),
            ({"team": "m_"}, {"team": "ml"}, False),
            ({"team": "m%"}, {"team": "ml"}, False),
            ({"team": "m%"}, {"team": "m%"}, True),
            ({"team": "m\\*"}, {"team": "m\\l"}, True),
            ({"team": "*"}, {}, True),  # what is absent is empty
            ({"team": ""}, {}, True),
            ({"team": ""}, {"team": "ml"}, False),
            ({"a b.c": "*x*"}, {"a b.c": "axb"}, True),
            ({'"': "'"}, {'"': "'"}, True),
        ],
    )
    def test_it_asks_for_every_label_that_it_names(
        self, wanted: dict[str, str], labels: dict[str, str], fits: bool
    ) -> None:
        assert leads({"labels": labels}, labels=wanted) is fits

    def test_it_asks_for_all_of_it_together(self) -> None:
        wanted: dict[str, Any] = {"severities": ["critical"], "alert_types": ["high*"], "model_names": ["qwen*"],
                                  "labels": {"team": "ml"}}  # fmt: skip
        fitting: dict[str, Any] = {"severity": "critical", "kind": "high_error_rate", "model_name": "qwen2.5:7b",
                                   "labels": {"team": "ml"}}  # fmt: skip
        assert leads(fitting, **wanted)
        for other in ({"severity": "info"}, {"kind": "low"}, {"model_name": "llama"}, {"labels": {"team": "web"}}):
            assert not leads({**fitting, **other}, **wanted)


LETTERS = st.sampled_from(["a", "b", "A", "*", "%", "_", "\\", "é", "\n"])
TEXTS = st.text(LETTERS, max_size=6)
SLOWLY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fits(pattern: str, text: str) -> bool:
    """A pattern read as a child would: a star stands for nothing, or for a letter and a star."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (text != "" and fits(pattern, text[1:]))
    return text[:1] == pattern[0] and fits(pattern[1:], text[1:])


class TestPatterns:
    @SLOWLY
    @given(st.lists(TEXTS, max_size=3), TEXTS)
    def test_they_are_read_as_a_child_reads_them(self, patterns: list[str], text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT alerts_fits(%s::text[], %s)", [patterns, text])
            assert cursor.fetchone() == (not patterns or any(fits(one, text) for one in patterns),)

    def test_one_full_of_stars_is_read_at_once(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT alerts_fits(%s::text[], %s)", [["*a" * 50 + "*b"] * 50, "a" * 200])
            assert cursor.fetchone() == (False,)  # and not the timeout of a statement

    @SLOWLY
    @given(*[st.dictionaries(st.sampled_from("xyz"), TEXTS, max_size=3)] * 2)
    def test_labels_are_read_one_by_one(self, wanted: dict[str, str], labels: dict[str, str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT alerts_labels_fit(%s::jsonb, %s::jsonb)", [json.dumps(wanted), json.dumps(labels)])
            assert cursor.fetchone() == (all(fits(one, labels.get(name, "")) for name, one in wanted.items()),)


CHOICES: dict[str, Any] = {
    "severities": st.lists(st.sampled_from(["critical", "warning", "info"]), max_size=2, unique=True),
    "alert_types": st.lists(st.sampled_from(["high*", "*slow", "x"]), max_size=2, unique=True),
    "model_names": st.lists(st.sampled_from(["qwen*", "llama3"]), max_size=1),
    "labels": st.dictionaries(st.sampled_from(["team", "region"]), st.sampled_from(["ml", "*", "e*"]), max_size=1),
}
REPORTS = st.fixed_dictionaries({
    "severity": st.sampled_from(["critical", "warning", "info"]),
    "kind": st.sampled_from(["high_slow", "highest", "slow", "x"]),
    "model_name": st.sampled_from(["", "qwen2.5", "llama3"]),
    "labels": st.dictionaries(st.sampled_from(["team", "region"]), st.sampled_from(["ml", "eu"]), max_size=2),
})  # fmt: skip


@pytest.fixture
def three() -> list[UUID]:
    return [channel(URL, name=f"channel {number}") for number in range(3)]


class TestManyRoutes:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        ways=st.lists(st.tuples(st.fixed_dictionaries(CHOICES), st.sets(st.integers(0, 2)), st.booleans()), max_size=4),
        report=REPORTS,
    )
    def test_each_channel_that_one_leads_to_is_told_once(
        self, three: list[UUID], ways: list[tuple[dict[str, Any], set[int], bool]], report: dict[str, Any]
    ) -> None:
        def leads(wanted: dict[str, Any]) -> bool:
            return (
                (not wanted["severities"] or report["severity"] in wanted["severities"])
                and (not wanted["alert_types"] or any(fits(one, report["kind"]) for one in wanted["alert_types"]))
                and (not wanted["model_names"] or any(fits(one, report["model_name"]) for one in wanted["model_names"]))
                and all(fits(one, report["labels"].get(name, "")) for name, one in wanted["labels"].items())
            )

        with EVERYONE.enter():
            Route.objects.all().delete()
        expected: dict[UUID, set[str]] = {}
        for number, (wanted, to, enabled) in enumerate(ways):
            route(*(three[one] for one in to), name=f"route {number}", enabled=enabled, **wanted)
            for one in to if enabled and leads(wanted) else ():
                expected.setdefault(three[one], set()).add(f"route {number}")
        alert = fire(**{**report, "labels": {**report["labels"], "own": str(uuid4())}}).state.id
        assert sorted(one.channel_id for one in deliveries(alert=alert)) == sorted(expected)
        with EVERYONE.enter():
            found = {one.id: set(one.routes) for one in routing.receivers(alert)}
        assert found == expected
        assert all((alert in previewed(**wanted)) == leads(wanted) for wanted, _, _ in ways)


class TestWhoIsTold:
    def test_several_routes_to_one_channel_are_one_notice(self) -> None:
        to = channel(URL)
        for number in range(3):
            route(to, name=f"route {number}")
        assert events(deliveries(alert=fire().state.id)) == [("trigger", "pending")]

    def test_a_route_that_is_switched_off_leads_nowhere(self) -> None:
        assert not leads_when_off()

    def test_a_route_without_channels_leads_nowhere(self) -> None:
        route()
        assert told(fire().state.id) == set()

    def test_other_organizations_hear_nothing(self) -> None:
        ours, theirs = channel(URL), channel(URL, organization=OTHER)
        route(ours)
        route(theirs, organization=OTHER)
        here, there = fire().state.id, fire(organization=OTHER).state.id
        assert (told(here), told(there)) == ({ours}, {theirs})
        assert (would_be_told(here), would_be_told(there)) == ({ours}, {theirs})

    def test_a_route_cannot_lead_to_another_organizations_channel(self) -> None:
        theirs = channel(URL, organization=OTHER)
        with pytest.raises(Exception, match="foreign key"):
            route(theirs)

    def test_what_is_made_up_is_told_to_no_live_channel(self) -> None:
        live, demo = channel(URL), channel(URL, source="demo")
        route(live, demo, name="live")
        route(live, demo, name="demo", source="demo")
        real, made_up = fire().state.id, fire(source="demo").state.id
        assert (told(real), told(made_up)) == ({live}, {demo})
        assert (would_be_told(real), would_be_told(made_up)) == ({live}, {demo})

    @pytest.mark.parametrize(("state", "hears"), [("on", True), ("failed", True), ("off", False), ("retired", False)])
    def test_channels_that_are_off_hear_nothing_and_failed_ones_later(self, state: str, hears: bool) -> None:
        to = channel(URL, state=state)
        route(to)
        alert = fire().state.id
        assert (told(alert) == {to}) is hears
        assert (would_be_told(alert) == {to}) is hears

    def test_a_switch_is_no_channel_for_alerts(self) -> None:
        to = channel(URL, kind="heartbeat")
        route(to)
        alert = fire().state.id
        assert told(alert) == would_be_told(alert) == set()

    def test_a_repeat_tells_nobody_and_a_worse_severity_does(self) -> None:
        calm, loud = channel(URL), channel(URL)
        route(calm, name="all")
        route(loud, name="loud", severities=["critical"])
        alert = fire(severity="warning").state.id
        fire(severity="warning")
        assert told(alert) == {calm}
        fire(severity="critical")
        assert [one.channel_id for one in deliveries(alert=alert)] == [calm, *sorted([calm, loud])]
        fire(severity="info")
        assert len(deliveries(alert=alert)) == 3

    @pytest.mark.parametrize(
        "withheld", [Suppression(kind="silenced", since=PAST), Suppression(kind="maintenance", since=PAST)]
    )
    def test_nobody_is_told_that_it_fires_while_something_silences_it(self, withheld: Suppression) -> None:
        to = channel(URL)
        route(to)
        alert = fire(severity="info").state.id
        act("suppress", alert, suppression=withheld)
        fire(severity="critical")
        assert events(deliveries(alert=alert)) == [("trigger", "pending")]
        act("unsuppress", alert, kind=withheld.kind)
        assert events(deliveries(alert=alert)) == [("trigger", "pending")] * 2
        assert told(alert) == {to}


def leads_when_off() -> bool:
    to = channel(URL)
    route(to, enabled=False)
    alert = fire().state.id
    assert would_be_told(alert) == told(alert)
    return bool(told(alert))


class TestFollowers:
    def test_only_who_heard_hears_that_it_is_looked_after_and_over(self) -> None:
        heard, silent = channel(URL), channel(URL)
        route(heard, name="one", alert_types=["high*"])
        route(silent, name="two", alert_types=["low*"])
        alert = fire("high").state.id
        act("acknowledge", alert)
        act("resolve", alert)
        assert events(deliveries(alert=alert, channel=heard)) == [
            ("trigger", "pending"), ("acknowledge", "pending"), ("resolve", "pending")
        ]  # fmt: skip
        assert deliveries(channel=silent) == []

    def test_they_need_no_route_any_more(self) -> None:
        to = channel(URL)
        way = route(to)
        alert = fire().state.id
        with EVERYONE.enter():
            routes.delete_route(route=Route.objects.get(pk=way))
        act("resolve", alert)
        assert events(deliveries(alert=alert)) == [("trigger", "pending"), ("resolve", "pending")]

    def test_a_new_route_does_not_let_anybody_hear_of_an_end_alone(self) -> None:
        alert, to = fire().state.id, channel(URL)
        route(to)
        act("acknowledge", alert)
        act("resolve", alert)
        assert deliveries(alert=alert) == []

    def test_alertmanagers_receivers_hear_of_no_acknowledgement(self) -> None:
        to = channel(URL, kind="alertmanager")
        route(to)
        alert = fire().state.id
        act("acknowledge", alert)
        act("unacknowledge", alert)
        act("resolve", alert)
        assert [one.event for one in deliveries(alert=alert)] == ["trigger", "trigger", "resolve"]

    @pytest.mark.parametrize(
        ("state", "unsure", "heard"),
        [("pending", False, True), ("sending", False, True), ("sent", False, True), ("dead", False, False),
         ("expired", False, False), ("skipped", False, False), ("dead", True, True), ("expired", True, True)],
    )  # fmt: skip
    def test_they_follow_what_may_have_been_heard(self, state: str, unsure: bool, heard: bool) -> None:
        to = channel(URL)
        route(to)
        alert = fire().state.id
        done = None if state in ("pending", "sending") else PAST
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_delivery SET state = %s, unsure = %s, done_at = %s", [state, unsure, done])
        act("resolve", alert)
        waiting = [one for one in deliveries(alert=alert, event="resolve") if one.state == "pending"]
        assert bool(waiting) is heard

    def test_what_nobody_heard_of_stands_in_the_log_as_unheard(self) -> None:
        """So that whoever has the beginning sent again has its end sent behind it."""
        to = channel(URL)
        route(to)
        alert = fire().state.id
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_delivery SET state = 'dead', because = 'refused', done_at = now()")
        act("acknowledge", alert)
        act("resolve", alert)
        assert [(one.event, one.state, one.because) for one in deliveries(alert=alert)] == [
            ("trigger", "dead", "refused"), ("acknowledge", "skipped", "unheard"), ("resolve", "skipped", "unheard")
        ]  # fmt: skip


class TestAlertsAboutChannels:
    def about(self, name: UUID, **more: Any) -> UUID:
        return fire("delivery_failed", metadata={NOT_THROUGH: str(name)}, **more).state.id

    def test_they_are_never_told_through_that_one(self) -> None:
        broken, well = channel(URL), channel(URL)
        route(broken, well)
        alert = self.about(broken)
        assert told(alert) == would_be_told(alert) == {well}

    def test_they_go_to_every_other_one_where_no_route_leads(self) -> None:
        broken, *others = (channel(URL) for _ in range(3))
        theirs, demo = channel(URL, organization=OTHER), channel(URL, source="demo")
        channel(URL, kind="heartbeat")
        channel(URL, state="off")
        alert = self.about(broken)
        assert told(alert) == would_be_told(alert) == set(others)
        assert not {theirs, demo} & told(alert)

    def test_they_go_to_every_other_one_where_a_route_leads_to_that_one_alone(self) -> None:
        broken, well = channel(URL), channel(URL)
        route(broken)
        alert = self.about(broken)
        assert told(alert) == would_be_told(alert) == {well}

    def test_they_stay_on_their_route_where_there_is_one(self) -> None:
        broken, routed, other = (channel(URL) for _ in range(3))
        route(routed, alert_types=["delivery_failed"])
        alert = self.about(broken)
        assert told(alert) == would_be_told(alert) == {routed}
        assert other not in told(alert)

    def test_they_go_to_every_other_one_where_routes_lead_to_failed_ones_alone(self) -> None:
        """Else nobody heard that the last road is broken."""
        broken, also_broken, well = channel(URL), channel(URL, state="failed"), channel(URL)
        route(broken, also_broken)
        alert = self.about(broken)
        assert told(alert) == would_be_told(alert) == {also_broken, well}

    def test_they_are_told_to_nobody_where_there_is_no_other(self) -> None:
        broken = channel(URL)
        route(broken)
        alert = self.about(broken)
        assert told(alert) == would_be_told(alert) == set()

    def test_others_alerts_go_to_no_channel_without_a_route(self) -> None:
        channel(URL)
        assert told(fire(metadata={"channel": "x"}).state.id) == set()


class TestPreview:
    def test_it_counts_all_and_shows_the_newest(self) -> None:
        alerts = [fire(f"kind {number}").state.id for number in range(12)]
        with EVERYONE.enter():
            found = routing.preview(Wanted(organization=OWN), since=PAST)
        assert [one.id for one in found] == alerts[::-1][: len(found)]
        assert 0 < len(found) < 12
        assert {one.number for one in found} == {12}

    def test_it_looks_back_no_further_than_asked(self) -> None:
        fire()
        with EVERYONE.enter():
            assert routing.preview(Wanted(organization=OWN), since=datetime.now(UTC) + timedelta(minutes=1)) == []

    def test_it_shows_nothing_of_other_organizations(self) -> None:
        fire(organization=OTHER)
        with Scope.of(OWN).enter():
            assert routing.preview(Wanted(organization=OWN), since=PAST) == []
            assert routing.preview(Wanted(organization=OTHER), since=PAST) == []

    def test_it_reads_what_is_typed_literally(self) -> None:
        fire("a'b")
        assert previewed(alert_types=["a'b"])
        assert not previewed(alert_types=["'; DROP TABLE alerts_alert; --"])


class Interrupted(Exception):
    """Ends a transaction in the middle."""


class TestOneTransaction:
    def test_notices_are_gone_with_what_they_tell_of(self) -> None:
        route(channel(URL))
        with suppress(Interrupted), Scope.of(OWN).enter():
            fire()
            assert len(deliveries()) == 1
            raise Interrupted
        assert deliveries() == []
        assert ledger_is_empty()

    def test_a_verb_that_fails_after_it_was_written_leaves_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        route(channel(URL))
        alert = fire().state.id

        def fail(name: str) -> None:
            if name == "alert.audited":
                raise RuntimeError

        monkeypatch.setattr(lifecycle.failpoints, "reach", fail)
        for attempt in (lambda: fire("another"), lambda: act("resolve", alert), lambda: act("acknowledge", alert)):
            with pytest.raises(RuntimeError):
                attempt()
        assert events(deliveries()) == [("trigger", "pending")]

    def test_a_savepoint_that_is_rolled_back_takes_its_notices_with_it(self) -> None:
        route(channel(URL))
        with Scope.of(OWN).enter():
            with suppress(Interrupted), transaction.atomic():
                fire("one")
                raise Interrupted
            fire("two")
        [left] = deliveries()
        with EVERYONE.enter():
            assert left.alert is not None
            assert left.alert.alert_type == "two"

    def test_a_batch_is_told_of_in_the_order_of_its_events(self) -> None:
        route(channel(URL), channel(URL))
        reports = [Report(alert_type=f"kind {number}", severity="info", message="x") for number in range(5)]
        fired = lifecycle.fire(
            scope=Scope.of(OWN), organization=OWN, reports=reports, now=datetime.now(UTC), via="api"
        )  # fmt: skip
        rows = deliveries()
        assert len(rows) == 10
        by_channel = itertools.groupby(sorted(rows, key=lambda one: (str(one.channel_id), one.id)),
                                       key=lambda one: one.channel_id)  # fmt: skip
        for _, mine in by_channel:
            assert [one.alert_id for one in mine] == [one.state.id for one in fired]


def ledger_is_empty() -> bool:
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {ledger.COLUMNS} FROM alerts_alert")
        return not cursor.fetchall()
