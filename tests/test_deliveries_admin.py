"""The log of deliveries in the admin: read along its indexes, scoped, in words; what failed is sent again from it."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import journal, sending
from alerts.channels.base import Event, Failure
from alerts.models import Channel, Delivery
from alerts.schedule import POLICIES
from organizations.models import AuditEvent, User
from organizations.scope import Scope
from tests.channels import EVERYONE, LOCAL, OTHER, OWN, act, channel, deliveries, drain, fire, route
from tests.conftest import url_of
from tests.receiver import Receiver, answer
from tests.test_admin import Inline, page_of, signed_in

Make = Callable[..., Any]
LIST = "/admin/alerts/delivery/"
AGAIN = f"{LIST}again/"
HOSTILE = "<script>window.__xss=1</script>\"><img src=x onerror='window.__xss=1'>"
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent may go to this machine."""
    monkeypatch.setattr(sending, "_CLIENTS", {"live": LOCAL, "demo": LOCAL})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver([answer(200, b"taken")]) as listening:
        yield listening


def page(client: Client, path: str) -> str:
    found = client.get(path)
    assert found.status_code == 200, path
    return unescape(page_of(found))


def address(identifier: int) -> str:
    return f"{LIST}{identifier}/change/"


def number(text: str) -> int:
    found = re.search(r'paginator-count">(\d+) ', text)
    assert found
    return int(found[1])


def rows(text: str) -> list[int]:
    """The ids of the listed deliveries, in their order."""
    return [int(one) for one in re.findall(rf'class="field-queued"><a href="{LIST}(\d+)/change/', text)]


def change(*ids: int, **columns: Any) -> None:
    with EVERYONE.enter():
        assert Delivery.objects.filter(pk__in=ids).update(**columns) == len(ids)


def dead(*ids: int, at: datetime, **more: Any) -> None:
    change(*ids, state="dead", because="connection", done_at=at, **more)


def told(kind: str = "high_error_rate", **more: Any) -> int:
    """An alert, and the one notice of it."""
    fired = fire(kind, **more)
    [one] = deliveries(alert=fired.state.id)
    return one.pk


def alone(to: UUID, event: str, now: datetime, *, organization: str = OWN, state: str = "sent") -> None:
    with Scope.of(organization).enter(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alerts_delivery (organization_id, channel_id, event, state, queued_at, next_at, done_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [organization, to, event, state, now, now, None if state == "pending" else now],
        )


def trail() -> list[AuditEvent]:
    with EVERYONE.enter():
        return list(AuditEvent.objects.filter(object_type="delivery"))


class TestWhoMay:
    def test_analysts_read_it_all_and_send_nothing_again(self, people: dict[str, User], now: datetime) -> None:
        route(channel(NOWHERE, name="ops"))
        one = told()
        dead(one, at=now)
        client = signed_in(people["analyst"])
        for path in (LIST, address(one), f"{LIST}{one}/history/", f"{LIST}?state=dead"):
            text = page(client, path)
            assert "<button" not in text.split("<main", 1)[1]
            assert "again" not in text
        assert client.post(address(one), {"act": "replay"}).status_code == 403
        assert client.get(AGAIN).status_code == client.post(AGAIN, {"since": "7d"}).status_code == 403
        form = {"action": "replay", "index": "0", "_selected_action": [str(one)]}
        assert client.post(LIST, form).status_code in (200, 302)
        assert [each.state for each in deliveries()] == ["dead"]
        assert trail() == []

    def test_executives_have_no_admin(self, people: dict[str, User]) -> None:
        route(channel(NOWHERE))
        client = signed_in(people["executive"])
        for path in (LIST, AGAIN, address(told())):
            assert client.get(path, follow=True).status_code == 403

    def test_another_organizations_delivery_is_404_and_stands_in_no_list(
        self, people: dict[str, User], now: datetime
    ) -> None:
        to = channel(NOWHERE, name="zqchannel")
        route(to)
        one = told(message="zqsecret")
        dead(one, at=now)
        client = signed_in(people["stranger"])
        for identifier in (one, one + 1000, 10**30, "nonsense", "%00", uuid4()):
            for view in ("change", "history"):
                assert client.get(f"{LIST}{identifier}/{view}/").status_code == 404
            assert client.post(f"{LIST}{identifier}/change/", {"act": "replay"}).status_code == 404
        [shown] = deliveries()
        queries = ("", "?q=zq", f"?organization={OWN}", f"?channel={to}", "?state=dead", f"?alert={shown.alert_id}",
                   f"?q=msg_{shown.key.hex}")  # fmt: skip
        for query in queries:
            text = client.get(LIST + query).content.decode()
            assert "zqsecret" not in text
            assert "zqchannel" not in text
            assert rows(text) == []
        assert client.get(f"{AGAIN}?channel={to}").status_code == 404
        assert client.post(f"{AGAIN}?channel={to}", {"since": "7d"}).status_code == 404
        assert "None failed" in page(client, AGAIN)
        client.post(AGAIN, {"since": "7d"})
        form = {"action": "replay", "index": "0", "_selected_action": [str(one)]}
        assert "is not sent again" in client.post(LIST, form, follow=True).content.decode()
        assert [each.state for each in deliveries()] == ["dead"]

    def test_who_reads_here_and_writes_there_sends_again_only_there(self, make_person: Make, now: datetime) -> None:
        route(channel(NOWHERE))
        route(channel(NOWHERE, organization=OTHER), organization=OTHER)
        here, there = told(), told(organization=OTHER)
        dead(here, there, at=now)
        client = signed_in(make_person("both", **{OWN: "analyst", OTHER: "operator"}))
        assert client.post(address(here), {"act": "replay"}).status_code == 403
        assert "1</b> notice failed" in page(client, AGAIN)
        form = {"action": "replay", "index": "0", "_selected_action": [str(here), str(there)]}
        assert "1 notice will be sent again." in client.post(LIST, form, follow=True).content.decode()
        assert {one.pk: one.state for one in deliveries()} == {here: "dead", there: "pending"}

    def test_nothing_of_it_can_be_added_changed_or_deleted(self, people: dict[str, User]) -> None:
        route(channel(NOWHERE))
        one, client = told(), signed_in(people["root"])
        assert client.get(f"{LIST}add/").status_code == 403
        assert client.post(f"{LIST}{one}/delete/", {"post": "yes"}).status_code == 403
        client.post(address(one), {"state": "sent", "event": "resolve"})
        assert [(each.state, each.event) for each in deliveries()] == [("pending", "trigger")]


class TestList:
    def test_a_row_says_all_of_it(self, operator: Client, receiver: Receiver, now: datetime) -> None:
        fine, down = channel(receiver.url("/"), name="fine"), channel(NOWHERE, name="down")
        route(fine, down)
        fired = fire("high_error_rate", message="7 % of calls fail")
        drain()
        alone(fine, "test", now)
        text = page(operator, LIST)
        for words in (
            '<span class="tag tag--good">sent</span>', '<span class="tag tag--warn">pending</span>',
            '<span class="tag tag--plain">fires</span>', '<span class="tag tag--plain">test</span>',
            f'<a href="/admin/alerts/alert/{fired.state.id}/change/"><b>high_error_rate</b> 7 % of calls fail</a>',
            f'<a href="/admin/alerts/channel/{down}/change/">down</a>', "1 try <small>200</small>", "just now",
            "next try in less than a minute", "3 deliveries",
        ):  # fmt: skip
            assert words in text, words

    @pytest.mark.parametrize("because", [*POLICIES, "old", "off", "retired", "unheard", "newer"])
    def test_every_reason_has_words(self, because: Failure) -> None:
        assert journal.BECAUSE[because] != because

    @pytest.mark.parametrize("event", ["trigger", "acknowledge", "resolve", "test", "summary", "pulse"])
    def test_every_event_has_a_word(self, event: Event) -> None:
        assert event in journal.EVENTS

    def test_filters_and_searches_find_what_they_say(
        self, people: dict[str, User], operator: Client, now: datetime
    ) -> None:
        one, other = channel(NOWHERE, name="one"), channel(NOWHERE, name="other")
        made_up = channel(NOWHERE, name="made up", source="demo")
        foreign = channel(NOWHERE, name="foreign", organization=OTHER)
        route(one, name="a")
        route(other, name="b", alert_types=["slow"])
        route(foreign, organization=OTHER)
        first = fire("fast", message="the tokenizer is away")
        act("acknowledge", first.state.id)
        fire("slow")
        fire("theirs", organization=OTHER)
        alone(one, "test", now)
        alone(one, "pulse", now)
        alone(one, "summary", now, state="pending")
        alone(made_up, "test", now - timedelta(hours=3), state="dead")
        everything = deliveries(organization=OWN)
        a_dead = next(each.pk for each in everything if each.channel_id == other)
        dead(a_dead, at=now - timedelta(days=2))
        skipped = next(each.pk for each in everything if each.event == "acknowledge")
        change(skipped, state="skipped", because="off", done_at=now)
        key = everything[0].key.hex
        wanted = {
            "": 7, "state=pending": 3, "state=waiting": 3, "state=sending": 0, "state=sent": 1, "state=dead": 2,
            "state=skipped": 1, "state=expired": 0, "state=nonsense": 0, "event=pulse": 1, "event=test": 2,
            "event=summary": 1, "event=alert": 4, "event=trigger": 3, "event=acknowledge": 1, "event=resolve": 0,
            "event=x": 0, f"channel={one}": 5, f"channel={other}": 1, f"channel={one}&event=pulse": 1,
            f"channel={foreign}": 0, "channel=nonsense": 0, f"channel={uuid4()}": 0, f"organization={OWN}": 7,
            f"organization={OTHER}": 0, "source=demo": 1, "source=live": 6, "source=x": 0, "since=1h": 5,
            "since=24h": 6, "since=7d": 7, "since=x": 0, "state=dead&since=24h": 1,
            "state=dead&event=alert&since=7d": 1,
            "q=tokenizer": 2, "q=SLO": 2, "q=nothing": 0, f"q=msg_{key}": 1, f"q={key}": 1, "q=msg_" + "0" * 32: 0,
            f"alert={first.state.id}": 2, "alert=nonsense": 0, "q=tokenizer&state=skipped": 1,
        }  # fmt: skip
        found = {query: number(page(operator, f"{LIST}?{query}")) for query in wanted}
        assert found == wanted
        for query in wanted:
            assert len(rows(page(operator, f"{LIST}?{query}"))) == wanted[query], query
        assert number(page(signed_in(people["root"]), LIST)) == 8
        assert "foreign" not in page(operator, LIST)

    @pytest.mark.parametrize("query", ["channel=%00", "alert=%00", "q=%00", "state=%00", "event=%00", "since=%00",
                                       "organization=%00", "p=x", "p=-1", "p=99999999999999999999", "all=", "o=1.2",
                                       "channel=" + "x" * 5000, "e=1", "q=" + "x" * 5000])  # fmt: skip
    def test_nonsense_is_no_fault_of_ours(self, operator: Client, query: str) -> None:
        route(channel(NOWHERE))
        told()
        assert operator.get(f"{LIST}?{query}").status_code in (200, 302, 400)

    def test_every_choice_of_every_filter_answers(self, operator: Client) -> None:
        route(channel(NOWHERE, name="ops"))
        told()
        text = page_of(operator.get(LIST))
        choices = {link for link in Inline(text).links if link.startswith("?")}
        assert len(choices) > 20
        for choice in choices:
            page(operator, LIST + choice)

    def test_pages_of_several_organizations_are_one_list_newest_first(self, people: dict[str, User]) -> None:
        route(channel(NOWHERE))
        route(channel(NOWHERE, organization=OTHER), organization=OTHER)
        for one in range(120):
            fire(f"t{one}", organization=(OWN, OTHER)[one % 2])
        client = signed_in(people["root"])
        listed = [one for turn in (1, 2, 3) for one in rows(page(client, f"{LIST}?p={turn}"))]
        assert listed == sorted((one.pk for one in deliveries()), reverse=True)
        assert len(listed) == 120
        assert len(rows(page(client, f"{LIST}?p=2&organization={OWN}"))) == 10

    def test_it_asks_as_much_for_fifty_as_for_five(self, operator: Client, receiver: Receiver) -> None:
        def asked(query: str) -> int:
            operator.get(LIST + query)
            with CaptureQueriesContext(connection) as found:
                page(operator, LIST + query)
            return len(found)

        route(channel(receiver.url("/"), name="ops"))
        for one in range(5):
            fire(f"t{one}")
        drain()
        few = asked(""), asked("?since=1h")
        for one in range(5, 60):
            fire(f"t{one}")
        drain()
        assert (asked(""), asked("?since=1h")) == few
        assert max(few) <= 15

    def test_a_long_log_is_read_along_its_indexes(
        self, people: dict[str, User], database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rows that no index leads to are looked for among the newest alone."""
        monkeypatch.setattr(journal, "LOOKED_THROUGH", 500)
        for organization in (OWN, OTHER):
            route(channel(NOWHERE, name="ops", organization=organization), organization=organization)
            fire(organization=organization)
        with psycopg.connect(url_of(database), autocommit=True) as admin:
            admin.execute(
                "INSERT INTO alerts_delivery (organization_id, channel_id, alert_id, event, state, queued_at, next_at, "
                "done_at) SELECT organization_id, channel_id, alert_id, event, 'sent', queued_at, next_at, queued_at "
                "FROM alerts_delivery CROSS JOIN generate_series(1, 6000)"
            )
            admin.execute("ANALYZE alerts_delivery")
        client = signed_in(people["root"])
        assert number(page(client, LIST)) == 10_000
        for query, found in (("?state=sent", 1000), ("?q=rate", 1000), ("?since=1h", 1000), ("?p=2", 10_000)):
            with CaptureQueriesContext(connection) as asked:
                assert number(page(client, LIST + query)) == found
            statements = [one["sql"] for one in asked if 'FROM "alerts_delivery"' in one["sql"]]
            statements = [one for one in statements if "COUNT(" not in one or found < 10_000]  # it ends at 10,000
            assert statements
            with Scope.of(OWN, OTHER).enter(), connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute("EXPLAIN " + statement.replace("%", "%%"))
                    plan = "\n".join(line for (line,) in cursor.fetchall())
                    assert "Seq Scan on alerts_delivery" not in plan, f"{query}\n{plan}"

    def test_nothing_there_is_said_as_such(self, operator: Client) -> None:
        assert "Nobody was told of anything yet." in page(operator, LIST)
        assert "No delivery is like this." in page(operator, f"{LIST}?state=dead")


class TestPage:
    def test_it_shows_every_try_with_what_the_receiver_said(self, operator: Client, now: datetime) -> None:
        with Receiver([answer(500, b"disk full"), answer(200, b"taken")]) as receiver:
            to = channel(receiver.url("/"), name="ops")
            route(to)
            one = told(message="7 % of calls fail")
            drain()
            change(one, next_at=now - timedelta(days=1))
            with EVERYONE.enter(), connection.cursor() as cursor:
                cursor.execute("UPDATE alerts_channel SET paused_until = '-infinity'")
            drain()
        [stored] = deliveries()
        text = page(operator, address(one))
        for words in (
            "7 % of calls fail", f"/channel/{to}/change/", f"/alert/{stored.alert_id}/change/",
            "disk full</pre>", "taken</pre>", "<code>500</code>", "<code>200</code>", f"msg_{stored.key.hex}",
            "<b>2.</b>", "<b>1.</b>",
        ):  # fmt: skip
            assert words in text, words
        assert text.index("<b>2.</b>") < text.index("<b>1.</b>")
        assert 'value="replay"' not in text

    def test_a_test_has_no_alert_and_says_who_tried(self, operator: Client, receiver: Receiver) -> None:
        to = channel(receiver.url("/"), name="ops")
        operator.post(f"/admin/alerts/channel/{to}/change/", {"act": "test"})
        [one] = deliveries()
        text = page(operator, address(one.pk))
        assert "<dt>By</dt><dd>operator</dd>" in text
        assert "<h1>Test</h1>" in text

    @pytest.mark.parametrize("state", ["dead", "expired"])
    def test_what_failed_is_sent_again_from_it(
        self, operator: Client, receiver: Receiver, now: datetime, state: str
    ) -> None:
        route(channel(receiver.url("/"), name="ops"))
        one = told()
        change(one, state=state, because="old", done_at=now)
        assert "too old to be of use" in page(operator, address(one))
        assert 'value="replay"' in page(operator, address(one))
        said = operator.post(address(one), {"act": "replay"}, follow=True).content.decode()
        assert "1 notice will be sent again." in said
        assert [each.state for each in deliveries()] == ["pending"]
        drain()
        assert [each.state for each in deliveries()] == ["sent"]
        assert len(receiver.requests) == 1
        assert [(row.action, row.actor) for row in trail()] == [("replayed", "operator")]
        assert "is not sent again" in operator.post(address(one), {}, follow=True).content.decode()

    def test_through_a_channel_that_is_off_nothing_can_be_sent(self, operator: Client, now: datetime) -> None:
        to = channel(NOWHERE)
        route(to)
        one = told()
        dead(one, at=now)
        with EVERYONE.enter():
            Channel.objects.filter(pk=to).update(state="off")
        text = page(operator, address(one))
        assert 'value="replay"' not in text
        assert "Its channel is off" in text

    def test_hostile_words_are_shown_as_words(self, people: dict[str, User]) -> None:
        with Receiver([answer(500, HOSTILE.encode())]) as receiver:
            to = channel(receiver.url("/"), name=HOSTILE)
            route(to)
            one = told(HOSTILE[:90], message=HOSTILE)
            drain()
        change(one, reference={HOSTILE: HOSTILE}, about={HOSTILE: HOSTILE}, because=HOSTILE)
        root = signed_in(people["root"])
        alert = f"/admin/alerts/alert/{deliveries()[0].alert_id}/change/"
        for path in (LIST, address(one), f"{LIST}?channel={to}", AGAIN, f"{AGAIN}?channel={to}", alert,
                     f"/admin/alerts/channel/{to}/change/"):  # fmt: skip
            text = page_of(root.get(path))
            assert "<script>window" not in text
            assert "<img src=x" not in text
            assert "&lt;script&gt;window" in text


class TestAgain:
    def test_chosen_ones_are_sent_again(self, operator: Client, now: datetime) -> None:
        route(channel(NOWHERE, name="ops"))
        ids = [told(f"t{one}") for one in range(4)]
        dead(*ids[:2], at=now)
        form = {
            "action": "replay",
            "index": "0",
            "_selected_action": [str(one) for one in (*ids[:3], 10**40, "x", "\0")],
        }
        answered = operator.post(f"{LIST}?state=dead", form, follow=True)
        assert answered.redirect_chain == [(f"{LIST}?state=dead", 302)]
        said = answered.content.decode()
        assert "2 notices will be sent again." in said
        assert "is not sent again" in said
        assert [one.state for one in deliveries()] == ["pending"] * 4
        wrong = {"index": "0", "action": "delete_selected", "_selected_action": [str(ids[0])]}
        assert "Choose notices" in operator.post(LIST, wrong, follow=True).content.decode()
        for nothing in ({}, {"action": "replay", "index": "0"}):
            assert operator.post(LIST, nothing, follow=True).status_code == 200

    def test_all_that_failed_since_is_counted_before_it_is_sent(
        self, people: dict[str, User], operator: Client, now: datetime
    ) -> None:
        one, other = channel(NOWHERE, name="one"), channel(NOWHERE, name="other")
        foreign = channel(NOWHERE, name="foreign", organization=OTHER)
        route(one, alert_types=["a*"], name="a")
        route(other, alert_types=["b*"], name="b")
        route(foreign, organization=OTHER)
        ids = [told(kind) for kind in ("a1", "a2", "b1", "b2")]
        theirs = told("theirs", organization=OTHER)
        for identifier, hours in zip(ids, (0.5, 5, 50, 500)):
            dead(identifier, at=now - timedelta(hours=hours))
        dead(theirs, at=now)
        text = page(operator, AGAIN)
        for words in ("<b>1</b> notice failed in the last hour", "<b>2</b> notices failed in the last 24 hours",
                      "<b>3</b> notices failed in the last 7 days"):  # fmt: skip
            assert words in text
        assert "foreign" not in text
        assert "None failed in the last hour" in page(operator, f"{AGAIN}?channel={other}")
        assert f'href="{AGAIN}?channel={other}"' in page(operator, f"{LIST}?channel={other}")
        said = operator.post(f"{AGAIN}?channel={other}", {"since": "7d"}, follow=True)
        assert said.redirect_chain == [(f"{LIST}?state=waiting&channel={other}", 302)]
        assert "1 notice will be sent again." in said.content.decode()
        assert [each.state for each in deliveries(organization=OWN)] == ["dead", "dead", "pending", "dead"]
        assert "2 notices will be sent again." in operator.post(AGAIN, {"since": "24h"}, follow=True).content.decode()
        assert [each.state for each in deliveries(organization=OWN)] == ["pending"] * 3 + ["dead"]
        assert [each.state for each in deliveries(organization=OTHER)] == ["dead"]

    def test_all_that_failed_since_any_time_are(self, operator: Client, now: datetime) -> None:
        route(channel(NOWHERE))
        for kind, days in (("new", 1), ("old", 20), ("older", 40)):
            dead(told(kind), at=now - timedelta(days=days))
        since = f"{now - timedelta(days=30):%Y-%m-%d %H:%M}"
        text = page(operator, f"{AGAIN}?since={since}")
        assert f"<b>2</b> notices failed since {since} UTC" in text
        assert f'value="{since}"' in text
        said = operator.post(AGAIN, {"since": since}, follow=True).content.decode()
        assert "2 notices will be sent again." in said
        assert [each.state for each in deliveries()] == ["pending", "pending", "dead"]

    @pytest.mark.parametrize("since", ["yesterday", "2026-02-31 10:00", "2999-01-01 00:00", "0001-01-01T00:00+14:00",
                                       "<b>", "%00"])  # fmt: skip
    def test_what_is_no_time_of_the_past_is_said_so(self, operator: Client, since: str) -> None:
        said = operator.get(f"{AGAIN}?since={since}")
        assert said.status_code == 200
        field = said.content.decode().split('for="again-since"')[1].split('id="again-help"')[0]
        assert "is no time of the past; write it as 20" in field
        assert 'aria-invalid="true"' in field

    @pytest.mark.parametrize("form", [{}, {"since": "9y"}, {"since": "\0"}, {"since": "2999-01-01 00:00"}])
    def test_a_time_that_is_none_sends_nothing(self, operator: Client, now: datetime, form: dict[str, str]) -> None:
        route(channel(NOWHERE))
        dead(told(), at=now)
        assert operator.post(AGAIN, form).status_code == 200
        assert [each.state for each in deliveries()] == ["dead"]

    @pytest.mark.parametrize("chosen", ["nonsense", "%00", "01a22393-386c-7a43-b8b4-8a3803f79e19"])
    def test_a_channel_that_is_none_is_404(self, operator: Client, chosen: str) -> None:
        assert operator.get(f"{AGAIN}?channel={chosen}").status_code == 404


class TestAlertPage:
    def shown(self, client: Client, alert: UUID) -> str:
        text = page(client, f"/admin/alerts/alert/{alert}/change/")
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.split('id="desk-told"')[1]))

    def test_it_says_who_was_told_and_who_would_be_told_now(
        self, operator: Client, receiver: Receiver, now: datetime
    ) -> None:
        fine, down = channel(receiver.url("/"), name="fine"), channel(NOWHERE, name="down")
        route(fine, name="everything")
        route(fine, down, name="errors", alert_types=["high_*"])
        fired = fire("high_error_rate")
        drain()
        act("acknowledge", fired.state.id)
        text = self.shown(operator, fired.state.id)
        for words in ("sent fine fires just now", "pending down fires", "pending fine looked after due now",
                      "fine by errors, everything", "down by errors",
                      "Told to down (pending), fine: it fires.",
                      "Told to down (pending), fine (pending): somebody looks after it."):  # fmt: skip
            assert words in text, words

    def test_without_a_route_it_says_so_and_leads_to_a_new_one(self, people: dict[str, User], operator: Client) -> None:
        fired = fire("high_error_rate")
        act("resolve", fired.state.id)
        text = self.shown(operator, fired.state.id)
        for words in ("Nobody outside these pages.", "no route leads from it to a channel that is on",
                      "Nobody is told that it fires: no route led from it.",
                      "Nobody is told that it is over: no channel that had heard of it is told this."):  # fmt: skip
            assert words in text, words
        link = f"/admin/alerts/route/add/?organization={OWN}&alert_types=high_error_rate"
        path = f"/admin/alerts/alert/{fired.state.id}/change/"
        assert link in page(operator, path)
        assert link not in page(signed_in(people["analyst"]), path)

    def test_it_asks_as_much_for_many_as_for_one(self, operator: Client) -> None:
        def asked(alert: UUID) -> int:
            path = f"/admin/alerts/alert/{alert}/change/"
            operator.get(path)
            with CaptureQueriesContext(connection) as found:
                page(operator, path)
            return len(found)

        route(channel(NOWHERE, name="one"), name="one", alert_types=["few"])
        route(*(channel(NOWHERE, name=f"c{each}") for each in range(12)), name="many", alert_types=["many"])
        few, many = fire("few").state.id, fire("many").state.id
        for _ in range(5):
            act("acknowledge", many)
            act("unacknowledge", many)
        assert asked(many) == asked(few) <= 27
