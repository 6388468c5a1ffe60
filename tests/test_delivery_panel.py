"""The panel of notices: its figures from the database, what each audience is told, and what is nobody's business."""

import html as markup
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.http import QueryDict
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import delivery_figures
from alerts.delivery_figures import ChannelFigures, Failed
from alerts.models import Delivery
from cockpit.dashboard import panels, telling, windows, words
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.telling import Telling
from organizations.models import Organization, User
from organizations.scope import Scope
from tests.channels import EVERYONE, OTHER, OWN, channel, fire, route
from tests.test_panels import NOTHING, NOW, sight

S = words.SPACE
HOSTILE = '"><img src=x onerror="alert(1)"><script>alert("x")</script>'
PANELS = "/api/monitoring/panels?organization="
NAMES = {"developer": "notices", "executive": "notices_executive"}
MINUTE = timedelta(minutes=1)
MakePerson = Callable[..., User]


def one(name: str = "On call", **changed: Any) -> ChannelFigures:
    """A channel that is fine."""
    values: dict[str, Any] = {
        "id": uuid4(), "name": name, "kind": "pagerduty", "source": "live", "audience": "developer", "state": "on",
        "state_because": "", "tells": True, "routed": True, "waiting": 0, "retrying": 0, "next_at": None, "lost": 0,
        "lost_now": 0, "sent": 12, "median": 0.21, "p95": 1.4, "longest": 3.0, "last_success_at": NOW - 23 * MINUTE,
        "last_failure_at": None, "last_failure": "",
    }  # fmt: skip
    return ChannelFigures(**{**values, **changed})


def failed(**changed: Any) -> Failed:
    values: dict[str, Any] = {
        "id": 7, "channel": "On call", "event": "trigger", "state": "dead", "because": "refused", "tries": 1,
        "at": NOW - 5 * MINUTE, "words": "The receiver answered 400: it will never take this notice.", "status": 400,
        "next_at": NOW, "alert_type": "high_error_rate", "source": "live",
    }  # fmt: skip
    return Failed(**{**values, **changed})


def looked(*there: ChannelFigures, failures: tuple[Failed, ...] = (), totals: Any = None) -> Sight:
    found = Telling(known=True, channels=there, failures=failures)
    return replace(sight(totals) if totals else sight(), telling=found)


def html(audience: str, seen: Sight) -> str:
    shown = panels.build(audience, seen, [NAMES[audience]])
    return render_to_string("dashboard/panels.html", {"shown": shown, "provenance": ""})


def text(audience: str, seen: Sight) -> str:
    bare = markup.unescape(re.sub(r"<[^>]+>", " ", html(audience, seen))).replace(S, " ")
    return re.sub(r"\s+", " ", bare)


class TestDevelopers:
    def test_a_channel_is_told_with_its_figures(self) -> None:
        page = text("developer", looked(one(waiting=3, retrying=1, lost=2, next_at=NOW + MINUTE)))
        assert "On call PagerDuty on 3 1 2 12 210 ms 1.40 s none next try 12:01" in page

    def test_its_last_failure_stays_and_is_quiet_once_it_is_mended(self) -> None:
        words: dict[str, Any] = {
            "last_failure": "The receiver answered 503: it failed.",
            "last_failure_at": NOW - 30 * MINUTE,
        }
        page = html("developer", looked(one(**words)))
        assert "The receiver answered 503: it failed." in page
        assert 'class="channel-failure quiet"' in page
        still = html("developer", looked(one(**{**words, "last_failure_at": NOW})))
        assert 'class="channel-failure"' in still

    def test_a_state_says_why_and_a_channel_without_a_route_that_it_has_none(self) -> None:
        page = html("developer", looked(one(state="failed", state_because="It is there no more."), one(routed=False)))
        assert 'title="It is there no more.">failed<' in page
        assert page.count("no route leads here") == 1
        assert "no route leads here" not in html("developer", looked(one(tells=False, routed=False, kind="heartbeat")))

    def test_the_newest_failures_are_told_with_their_tries(self) -> None:
        again = failed(id=8, state="pending", tries=2, words="It is away.", status=503, next_at=NOW + MINUTE)
        old = failed(state="expired", words="", status=None, because="old", tries=0, at=None)
        page = text("developer", looked(one(), failures=(again, failed(), old)))
        assert (
            "tried again On call start of high_error_rate 11:55 , 2 tries, status 503, next 12:01 · It is away." in page
        )
        assert "dead On call start of high_error_rate 11:55 , 1 try, status 400 · The receiver answered 400" in page
        assert "0 tries · It was too old to be of use." in page

    def test_what_failed_without_words_is_told_in_ours(self) -> None:
        lost = failed(because="connection", words="", status=None)
        assert "1 try · no connection" in text("developer", looked(one(), failures=(lost,)))

    def test_without_a_channel_it_is_said_so(self) -> None:
        assert "Nobody is told of alerts: no channel is set up." in text("developer", looked())

    def test_what_receivers_wrote_is_text_and_never_markup(self) -> None:
        hostile = one(name=HOSTILE, last_failure=HOSTILE, last_failure_at=NOW, state_because=HOSTILE, kind=HOSTILE)
        for audience in NAMES:
            page = html(audience, looked(hostile, failures=(failed(words=HOSTILE, channel=HOSTILE, event=HOSTILE),)))
            assert "<script" not in page
            assert "<img" not in page
            assert " style=" not in page


class TestExecutives:
    @pytest.mark.parametrize(
        ("there", "verdict", "level"),
        [
            ((), "Nobody is told of problems yet: no channel is set up", "near"),
            ((one(tells=False, kind="heartbeat"),), "Nobody is told of problems yet: no channel is set up", "near"),
            ((one(),), "Everybody who has to know was told within a minute", "good"),
            ((one(longest=130.0),), "Everybody who has to know was told within 2 minutes", "good"),
            ((one(), one("Desk", longest=7200.0)), "Everybody who has to know was told within about 2 hours", "near"),
            ((one(sent=0, longest=None),), "Nobody had to be told of anything in the last 24 hours", "good"),
            ((one(lost_now=2),), "Two messages could not be delivered to On call", "bad"),
            ((one(lost_now=1), one("Desk")), "One message could not be delivered to On call", "bad"),
            ((one(lost_now=12), one("Desk", lost_now=1)),
             "13 messages could not be delivered to On call and Desk", "bad"),
            (tuple(one(f"C{n}", lost_now=1) for n in range(5)),
             "Five messages could not be delivered to C0, C1 and three others", "bad"),
            ((one(state="failed"),), "On call cannot be told of problems any more", "bad"),
            ((one(state="off"),), "Nobody is told of problems: every channel is switched off", "near"),
            ((one(routed=False),), "Nobody is told of problems: no alert leads to anybody", "near"),
            ((one(retrying=1),), "One message to On call is late, and tried again", "near"),
            ((one(retrying=2),), "Two messages to On call are late, and tried again", "near"),
        ],
    )  # fmt: skip
    def test_the_worst_is_said_in_one_sentence(
        self, there: tuple[ChannelFigures, ...], verdict: str, level: str
    ) -> None:
        page = html("executive", looked(*there))
        assert verdict in text("executive", looked(*there))
        assert f"verdict verdict--{level}" in page

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({}, "On call By PagerDuty. Last told at 11:37."),
            ({"kind": "webhook"}, "On call Last told at 11:37."),
            ({"last_success_at": None}, "By PagerDuty. Not told of anything yet."),
            ({"state": "off"}, "Switched off. Last told at 11:37."),
            ({"state": "failed"}, "Switched off by itself, since messages do not arrive. Last told at 11:37."),
            ({"routed": False}, "By PagerDuty. No alert leads here. Last told at 11:37."),
            ({"lost_now": 1}, "Last told at 11:37. One message did not arrive."),
            ({"retrying": 3}, "Last told at 11:37. Three messages are late."),
            ({"kind": "heartbeat", "tells": False, "last_success_at": NOW - MINUTE},
             "Raises the alarm from outside when the cockpit falls silent."),
            ({"kind": "heartbeat", "tells": False}, "does not hear from the cockpit."),
        ],
    )  # fmt: skip
    def test_each_channel_has_its_sentence(self, changed: dict[str, Any], said: str) -> None:
        assert said in text("executive", looked(one(**changed)))

    def test_nothing_technical_is_said(self) -> None:
        there = one(kind="webhook", last_failure="The receiver answered 503: it failed.", last_failure_at=NOW,
                    state_because="certificate", retrying=1, lost=1)  # fmt: skip
        page = html("executive", looked(there, failures=(failed(),)))
        for word in ("503", "400", "receiver", "ebhook", "certificate", "p95", "route", "retry"):
            assert word not in page


@pytest.mark.parametrize("audience", ["developer", "executive"])
class TestBoth:
    def test_it_stands_without_inferences_where_there_is_a_channel_and_else_not(self, audience: str) -> None:
        assert html(audience, looked(one(), totals=NOTHING))
        assert html(audience, looked(totals=NOTHING)).strip() == ""
        assert html(audience, sight()).strip() == ""

    def test_demo_channels_are_labelled(self, audience: str) -> None:
        assert "demo data included</span>" in html(audience, looked(one(), one("Bus", source="demo")))
        assert "demo data</span>" in html(audience, looked(one(source="demo")))
        assert "badge--source" not in html(audience, looked(one()))


def seen(organization: str = OWN, query: str = "window=24h") -> Telling:
    now = datetime.now(UTC)
    return telling.read(Organization.objects.get(slug=organization), windows.parse(QueryDict(query), now), now)


def told(number: int, **changed: Any) -> None:
    """The delivery of the alert of that number as it is to be."""
    with EVERYONE.enter():
        assert Delivery.objects.filter(alert__alert_type=f"kind {number}").update(**changed) == 1


@pytest.mark.usefixtures("database")
class TestFigures:
    NOW = datetime.now(UTC)

    def raised(self, number: int, **more: Any) -> None:
        for each in range(number):
            fire(f"kind {each}", **more)

    def was(self, number: int, state: str, *, ago: timedelta, took: float = 1.0, **more: Any) -> None:
        done = self.NOW - ago
        told(number, state=state, queued_at=done - timedelta(seconds=took), done_at=done, **more)

    def test_what_waits_was_taken_and_was_lost_is_counted(self) -> None:
        route(channel("http://127.0.0.1:9/a", name="A"))
        self.raised(9)
        for number, took in enumerate((1.0, 2.0, 4.0)):
            self.was(number, "sent", ago=MINUTE, took=took)
        self.was(3, "sent", ago=timedelta(days=2), took=99)
        self.was(4, "dead", ago=MINUTE, attempt=1)
        self.was(5, "expired", ago=timedelta(days=3))
        self.was(6, "skipped", ago=MINUTE)
        soon = self.NOW + MINUTE
        told(7, attempt=2, next_at=soon)
        [found] = seen().channels
        assert (found.sent, found.waiting, found.retrying, found.lost, found.lost_now) == (3, 1, 1, 2, 1)
        assert (found.median, found.longest, found.next_at) == (2.0, 4.0, soon)
        assert found.p95 == pytest.approx(3.8)
        [wide] = seen(query="window=90d").channels
        assert (wide.sent, wide.lost, wide.lost_now, wide.longest) == (4, 2, 2, 99.0)

    def test_the_next_try_waits_for_a_channel_that_rests_and_for_none_that_is_off(self) -> None:
        mine = channel("http://127.0.0.1:9/a", name="A")
        route(mine)
        self.raised(1)
        told(0, attempt=1, next_at=self.NOW)
        rests = self.NOW + 5 * MINUTE
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_channel SET paused_until = %s", [rests])
        assert [one.next_at for one in seen().channels] == [rests]
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_channel SET state = 'failed'")
        assert [one.next_at for one in seen().channels] == [None]

    def test_what_is_being_sent_for_the_first_time_waits_and_is_no_retry(self) -> None:
        route(channel("http://127.0.0.1:9/a", name="A"))
        self.raised(2)
        told(0, state="sending", attempt=1)
        told(1, state="sending", attempt=2)
        [found] = seen().channels
        assert (found.waiting, found.retrying) == (1, 1)

    def test_failed_ones_come_first_retired_ones_not_at_all_and_tests_are_no_news(self) -> None:
        made = {state: channel("http://127.0.0.1:9/a", name=state, state=state) for state in
                ("on", "off", "failed", "retired")}  # fmt: skip
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO alerts_delivery (organization_id, channel_id, event, state, queued_at, next_at, done_at) "
                "SELECT %s, %s, 'test', state, now(), now(), now() FROM unnest(ARRAY['sent', 'dead']) AS state",
                [OWN, made["on"]],
            )
        found = seen().channels
        assert [one.name for one in found] == ["failed", "on", "off"]
        assert {(one.sent, one.lost) for one in found} == {(0, 0)}
        assert seen().failures == []

    def test_a_route_that_is_off_leads_nowhere(self) -> None:
        route(channel("http://127.0.0.1:9/a", name="A"), enabled=False)
        route(channel("http://127.0.0.1:9/b", name="B"), name="b")
        assert {one.name: one.routed for one in seen().channels} == {"A": False, "B": True}

    def test_the_newest_failures_have_the_words_of_their_newest_try(self) -> None:
        route(channel("http://127.0.0.1:9/a", name="A"))
        self.raised(delivery_figures.MOST_FAILURES + 3)
        for number in range(1, delivery_figures.MOST_FAILURES + 3):
            self.was(number, "dead", ago=number * MINUTE, attempt=1, because="refused")
        told(0, attempt=2)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO alerts_attempt (organization_id, delivery_id, number, at, outcome, status, words, answer) "
                "SELECT organization_id, id, number, %s, 'server', 503, 'Words ' || number, 'secret' "
                "FROM alerts_delivery, generate_series(1, 2) AS number WHERE state = 'pending'",
                [self.NOW],
            )
        found = seen().failures
        assert len(found) == delivery_figures.MOST_FAILURES
        assert (found[0].state, found[0].words, found[0].status, found[0].tries) == ("pending", "Words 2", 503, 2)
        assert [one.alert_type for one in found[:3]] == ["kind 0", "kind 1", "kind 2"]

    def test_executives_pages_read_no_failures(self) -> None:
        route(channel("http://127.0.0.1:9/a", name="A", organization=OTHER), organization=OTHER)
        fire("kind 0", organization=OTHER)
        self.was(0, "dead", ago=MINUTE, attempt=1)
        found = seen(OTHER)
        assert [one.lost for one in found.channels] == [1]
        assert found.failures == []

    def test_another_organizations_channels_are_never_in_it(self) -> None:
        for organization in (OWN, OTHER):
            route(channel("http://127.0.0.1:9/a", name=organization, organization=organization),
                  organization=organization)  # fmt: skip
        fire("kind 0", organization=OTHER)
        self.was(0, "dead", ago=MINUTE, attempt=1)
        found = seen(OWN)
        assert [(one.name, one.waiting, one.lost) for one in found.channels] == [(OWN, 0, 0)]
        assert found.failures == []
        own = Scope.of(OTHER)
        assert delivery_figures.channels(own, OWN, self.NOW, self.NOW, now=self.NOW, sources=["live"]) == []
        assert delivery_figures.failures(own, OWN, now=self.NOW, sources=["live"]) == []

    def test_the_source_looked_at_picks_channels(self) -> None:
        channel("http://127.0.0.1:9/a", name="A")
        channel("http://127.0.0.1:9/", name="B", source="demo")
        for query, names in (("window=24h", ["A", "B"]), ("source=live", ["A"]), ("source=demo", ["B"])):
            assert [one.name for one in seen(query=query).channels] == names
        assert not seen(query="source=replay").known

    def test_two_statements_tell_all_of_it(self) -> None:
        for number in range(5):
            channel("http://127.0.0.1:9/a", name=f"C{number}")
        with CaptureQueriesContext(connection) as asked:
            seen()
        told = [one["sql"] for one in asked if "alerts_channel" in one["sql"]]
        assert len(told) == 1  # nothing failed, so nobody asks for failures


class TestPages:
    @pytest.mark.parametrize(("role", "offered"), [("operator", "write"), ("analyst", "read"), ("executive", "")])
    @pytest.mark.parametrize("organization", [OWN, OTHER])
    def test_the_panel_is_on_the_page_of_each(
        self, make_person: MakePerson, role: str, offered: str, organization: str
    ) -> None:
        channel("http://127.0.0.1:9/secret-part", organization=organization, name="Ops room")
        client = Client()
        client.force_login(make_person("ada", **{organization: role}))
        page = client.get(f"/dashboards/{organization}/").content.decode()
        assert "Ops room" in page
        assert "secret-part" not in page
        assert f'data-alerts="{offered}"' in page  # by which styles show the way to the log, or do not

    def test_another_organizations_page_is_none_of_ones_own(self, make_person: MakePerson) -> None:
        channel("http://127.0.0.1:9/a", organization=OWN, name="Ops room")
        client = Client()
        client.force_login(make_person("ada", **{OTHER: "owner"}))
        assert "Ops room" not in client.get(f"/dashboards/{OTHER}/").content.decode()
        assert client.get(f"{PANELS}{OWN}").status_code == 404
