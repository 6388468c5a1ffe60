"""Alerts in the admin: who may see and do what, what is done to many at once, and what the pages say."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import acts, desk, lifecycle, lists
from alerts.models import Alert, AlertEvent
from alerts.states import Report, State, Suppression
from cockpit import around
from monitoring.store import current_store
from monitoring.store.samples import Sample
from organizations import audit
from organizations.models import AuditEvent, User
from organizations.scope import Scope
from tests.conftest import url_of
from tests.test_admin import Inline, page_of, send, signed_in

Make = Callable[..., Any]
OWN, OTHER = "swaggystacks", "scientia_capital"
LIST = "/admin/alerts/alert/"
HOSTILE = "<script>window.__xss=1</script>\"><img src=x onerror='window.__xss=1'>"


def fire(organization: str = OWN, *, now: datetime, **more: Any) -> State:
    """A new alert, raised by the system; each call without a label is the same one again."""
    report = Report(**{"alert_type": "high_error_rate", "severity": "critical", "message": "7 % of calls fail", **more})
    scope = Scope.of(organization)
    [fired] = lifecycle.fire(scope=scope, organization=organization, reports=[report], now=now, via="api")
    return fired.state


def many(number: int, *, now: datetime, organization: str = OWN, **more: Any) -> list[str]:
    reports = [
        Report(alert_type="queue_full", severity="warning", message=f"queue {n} is full", labels={"n": str(n)}, **more)
        for n in range(number)
    ]
    scope = Scope.of(organization)
    fired = lifecycle.fire(scope=scope, organization=organization, reports=reports, now=now, via="api")
    return [str(one.state.id) for one in fired]


def stored(identifier: UUID | str) -> Alert:
    with Scope.system("test").enter():
        return Alert.objects.get(pk=identifier)


def events(identifier: UUID | str) -> list[AlertEvent]:
    with Scope.system("test").enter():
        return list(AlertEvent.objects.filter(alert=identifier))


def trail(action: str) -> list[AuditEvent]:
    with Scope.system("test").enter():
        return list(AuditEvent.objects.filter(object_type="alert", action=action))


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return page_of(answer)


def shown(text: str) -> list[str]:
    """The types of the listed alerts, in their order."""
    return re.findall(r'class="field-what"><a href="[^"]+"><b>(.*?)</b>', text)


def address(state: State | str) -> str:
    return f"{LIST}{state if isinstance(state, str) else state.id}/change/"


class TestWhoMay:
    @pytest.mark.parametrize("role", ["root", "owner", "operator"])
    def test_those_who_may_write_have_buttons_in_the_list_and_on_the_page(
        self, people: dict[str, User], now: datetime, role: str
    ) -> None:
        state, client = fire(now=now), signed_in(people[role])
        for path, field in ((LIST, "action"), (address(state), "act")):
            text = page(client, path)
            for verb in ("acknowledge", "resolve", "shelve", "take"):
                assert f'name="{field}" value="{verb}"' in text
        assert client.post(address(state), {"act": "resolve", "note": "restarted"}).status_code == 302
        assert stored(state.id).resolved_by == role

    def test_analysts_read_and_change_nothing(self, people: dict[str, User], now: datetime) -> None:
        state, client = fire(now=now), signed_in(people["analyst"])
        for path in (LIST, address(state)):
            text = page(client, path)
            assert "7 % of calls fail" in text
            assert "<button" not in text.split("<main", 1)[1]
        assert client.post(address(state), {"act": "resolve"}).status_code == 403
        form = {"action": "resolve", "index": "0", "_selected_action": [str(state.id)], "confirmed": "yes"}
        assert client.post(LIST, form).status_code in (200, 302)
        assert stored(state.id).status == "firing"
        assert trail("resolved") == []

    def test_executives_have_no_admin(self, people: dict[str, User], now: datetime) -> None:
        state, client = fire(now=now), signed_in(people["executive"])
        for path in (LIST, address(state)):
            assert client.get(path).status_code == 302
            assert client.get(path, follow=True).status_code == 403

    def test_another_organizations_alert_is_404_by_every_verb_and_stands_in_no_list(
        self, people: dict[str, User], now: datetime
    ) -> None:
        state, client = fire(now=now, message="zqsecret", model_name="zqmodel"), signed_in(people["stranger"])
        assert client.get(address(state)).status_code == 404
        assert client.get(address(str(uuid4()))).status_code == 404
        assert client.get(address("nonsense")).status_code == 404
        for verb in acts.ACTS:
            assert client.post(address(state), {"act": verb, "note": "x"}).status_code == 404
        for query in ("", "?status=all", "?q=zq", f"?organization={OWN}", "?severity=critical&status=firing"):
            assert "zqsecret" not in client.get(LIST + query).content.decode()
        form = {"action": "resolve", "index": "0", "_selected_action": [str(state.id)]}
        for more in ({}, {"confirmed": "yes"}):
            answer = client.post(LIST, {**form, **more}, follow=True)
            assert "zqsecret" not in answer.content.decode()
            assert "yours to change" in answer.content.decode()
        assert stored(state.id).status == "firing"

    def test_who_reads_here_and_writes_there_changes_only_there(self, make_person: Make, now: datetime) -> None:
        client = signed_in(make_person("both", **{OWN: "analyst", OTHER: "operator"}))
        here, there = fire(now=now), fire(OTHER, now=now)
        form = {"action": "resolve", "index": "0", "_selected_action": [str(here.id), str(there.id)]}
        asked = client.post(LIST, form).content.decode()
        assert "Resolve: 1 alert<" in asked
        answer = client.post(LIST, {**form, "confirmed": "yes"}, follow=True).content.decode()
        assert "1 alert resolved." in answer
        assert "1 alert is not yours to change." in answer
        assert (stored(here.id).status, stored(there.id).status) == ("firing", "resolved")

    def test_there_is_no_form_to_add_change_or_delete_one(self, people: dict[str, User], now: datetime) -> None:
        state, client = fire(now=now), signed_in(people["root"])
        assert client.get(f"{LIST}add/").status_code == 403
        assert client.post(f"{LIST}{state.id}/delete/", {"post": "yes"}).status_code == 403
        assert client.post(address(state), {"status": "resolved", "message": "mine"}).status_code == 302
        assert (stored(state.id).status, stored(state.id).message) == ("firing", "7 % of calls fail")


class TestList:
    def test_open_ones_stand_worst_first_and_newest_first_among_equals(self, operator: Client, now: datetime) -> None:
        for number, (name, severity) in enumerate(
            (
                ("old_news", "info"),
                ("old_worst", "critical"),
                ("bad", "warning"),
                ("worst", "critical"),
                ("news", "info"),
            )
        ):
            fire(now=now + timedelta(seconds=number), alert_type=name, severity=severity)
        over = fire(now=now, alert_type="over")
        lifecycle.resolve(scope=Scope.of(OWN), ids=[over.id], now=now, via="api")
        assert shown(page(operator, LIST)) == ["worst", "old_worst", "bad", "news", "old_news"]
        assert shown(page(operator, f"{LIST}?status=all"))[0] == "news"
        assert shown(page(operator, f"{LIST}?status=resolved")) == ["over"]

    def test_pages_of_several_organizations_are_one_list_in_order(self, people: dict[str, User], now: datetime) -> None:
        for number in range(130):
            organization, severity = (OWN, OTHER)[number % 2], ("critical", "warning", "info")[number % 3]
            fire(organization, now=now + timedelta(seconds=number), alert_type=f"t{number:03d}", severity=severity)
        client = signed_in(people["root"])
        listed = [name for number in (1, 2, 3) for name in shown(page(client, f"{LIST}?p={number}"))]
        wanted = sorted(range(130), key=lambda number: (number % 3, -number))
        assert listed == [f"t{number:03d}" for number in wanted]
        assert client.get(f"{LIST}?p=4").status_code == 302
        newest = [name for number in (1, 2, 3) for name in shown(page(client, f"{LIST}?status=all&p={number}"))]
        assert newest == [f"t{number:03d}" for number in reversed(range(130))]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", {"fires", "mine", "news", "demo"}), ("status=firing", {"fires", "news", "demo"}),
            ("status=acknowledged", {"mine"}), ("status=resolved", {"over"}),
            ("status=all", {"fires", "mine", "news", "demo", "over"}), ("status=nonsense", set()),
            ("severity=info", {"news"}), ("severity=critical&status=acknowledged", {"mine"}), ("severity=x", set()),
            ("owner=me", {"mine"}), ("owner=nobody", {"fires", "news", "demo"}), ("owner=x", set()),
            ("source=demo", {"demo"}), ("source=live", {"fires", "mine", "news"}),
            ("since=1h", {"fires", "mine", "demo"}),
            (f"organization={OWN}", {"fires", "mine", "news", "demo"}), (f"organization={OTHER}", set()),
            ("q=QWEN", {"fires"}), ("q=tokenizer", {"mine"}), ("q=gpu-7", {"news"}), ("q=no_such", set()),
            ("q=over", set()), ("q=over&status=all", {"over"}),
        ],
    )  # fmt: skip
    def test_filters_and_searches_find_what_they_say(
        self, people: dict[str, User], operator: Client, now: datetime, query: str, found: set[str]
    ) -> None:
        scope = Scope.of(OWN)
        fire(now=now, alert_type="fires", model_name="qwen2.5:7b")
        mine = fire(now=now, alert_type="mine", message="the tokenizer is away")
        fire(now=now - timedelta(hours=3), alert_type="news", severity="info", endpoint_id="gpu-7")
        fire(now=now, alert_type="demo", severity="warning", source="demo")
        over = fire(now=now, alert_type="over")
        lifecycle.assign(scope=scope, ids=[mine.id], now=now, via="api", owner=people["operator"].pk, name="operator")
        lifecycle.acknowledge(scope=scope, ids=[mine.id], now=now, via="api")
        lifecycle.resolve(scope=scope, ids=[over.id], now=now, via="api")
        fire(OTHER, now=now, alert_type="foreign")
        text = page(operator, f"{LIST}?{query}")
        assert set(shown(text)) == found
        assert "foreign" not in text

    def test_filters_say_how_many_open_ones_are_behind_each_choice(self, operator: Client, now: datetime) -> None:
        many(3, now=now)
        seen = fire(now=now, alert_type="a")
        fire(now=now, alert_type="b", source="demo")
        lifecycle.acknowledge(scope=Scope.of(OWN), ids=[seen.id], now=now, via="api")
        fire(OTHER, now=now, alert_type="c")

        def counts(query: str) -> dict[str, str]:
            text = page(operator, f"{LIST}?{query}")
            return dict(re.findall(r'">([A-Z]\w+) <span class="tally">(\d+)</span>', text))

        assert counts("") == {"Critical": "2", "Warning": "3", "Open": "5", "Firing": "4", "Acknowledged": "1"}
        assert counts("severity=warning") == {"Critical": "2", "Warning": "3", "Open": "3", "Firing": "3"}
        assert counts("status=acknowledged") == {"Critical": "1", "Open": "5", "Firing": "4", "Acknowledged": "1"}
        assert counts("source=live&owner=nobody")["Open"] == "4"
        assert counts("source=x&owner=x&organization=x")["Open"] == "5"

    def test_a_row_says_all_that_it_takes_to_choose_the_next_one(
        self, people: dict[str, User], operator: Client, now: datetime
    ) -> None:
        began = now - timedelta(hours=3, minutes=12)
        state = fire(now=began, model_name="qwen")
        fire(now=now, model_name="qwen")
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [state.id], "now": now, "via": "api"}
        lifecycle.assign(**given, owner=people["owner"].pk, name="owner")
        lifecycle.shelve(**given, until=datetime(2099, 3, 1, 9, 30, tzinfo=now.tzinfo))
        text = page(operator, LIST)
        for words in ("3 h 12 min", "2 ×", ">owner<", "shelved until 2099-03-01 09:30", "SwaggyStacks", ">qwen<"):
            assert words in text
        lifecycle.resolve(**given)
        assert f"took 3 h 12 min <small>{began:%Y-%m-%d %H:%M}</small>" in page(operator, f"{LIST}?status=resolved")

    def test_it_asks_as_much_for_thirty_as_for_one(
        self, operator: Client, people: dict[str, User], now: datetime
    ) -> None:
        def asked() -> int:
            operator.get(LIST)
            with CaptureQueriesContext(connection) as found:
                page(operator, LIST)
            assert all("LIMIT 10000" in one["sql"] for one in found if "COUNT(*) FROM (" in one["sql"])
            return len(found)

        fire(now=now)
        few = asked()
        ids = [UUID(one) for one in many(70, now=now)]
        lifecycle.assign(scope=Scope.of(OWN), ids=ids, now=now, via="api", owner=people["owner"].pk, name="owner")
        assert asked() == few <= 14

    def test_a_page_of_many_is_read_along_an_index(self, people: dict[str, User], database: str, now: datetime) -> None:
        for organization in (OWN, OTHER):
            many(4000, now=now, organization=organization)
        with psycopg.connect(url_of(database), autocommit=True) as admin:
            admin.execute("ANALYZE alerts_alert")
        client = signed_in(people["root"])
        for query, index in (("", "alerts_open_worst"), ("?status=all&p=3", "alerts_newest")):
            with CaptureQueriesContext(connection) as found:
                page(client, LIST + query)
            [statement] = [one["sql"] for one in found if "UNION ALL" in one["sql"]]
            with Scope.of(OWN, OTHER).enter(), connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + statement.replace("%", "%%"))
                plan = "\n".join(line for (line,) in cursor.fetchall())
            assert len(re.findall(f"Limit.*\n(?:.*InitPlan.*\n.*Result.*\n)?.*Scan Backward using {index} ", plan)) >= 2

    def test_nothing_wrong_is_said_as_such(self, operator: Client) -> None:
        assert "Nothing is wrong: no alert is open." in page(operator, LIST)
        assert "No alert is like this." in page(operator, f"{LIST}?severity=info")


class TestManyAtOnce:
    def confirm(self, client: Client, verb: str, ids: list[str], **more: str) -> str:
        form = {"action": verb, "index": "0", "_selected_action": ids, "confirmed": "yes", **more}
        answer = client.post(f"{LIST}?severity=warning", form, follow=True)
        assert answer.redirect_chain == [(f"{LIST}?severity=warning", 302)]
        return unescape(page_of(answer))

    @pytest.mark.parametrize("verb", ["acknowledge", "resolve", "shelve", "take"])
    def test_a_hundred_cost_as_many_queries_as_one(self, operator: Client, now: datetime, verb: str) -> None:
        first, *others = many(101, now=now)

        def asked(ids: list[str]) -> int:
            with CaptureQueriesContext(connection) as found:
                form = {"action": verb, "index": "0", "_selected_action": ids, "note": "n", "confirmed": "yes"}
                assert operator.post(LIST, form).status_code == 302
            return len(found)

        operator.get(LIST)
        one = asked([first])
        assert asked(others) == one <= 30
        kinds = {"acknowledge": "acknowledged", "resolve": "resolved", "shelve": "shelved", "take": "assigned"}
        done = [event for each in (first, *others) for event in events(each) if event.kind == kinds[verb]]
        assert len(done) == 101
        assert {(event.note, event.via, event.actor) for event in done} == {("n", "admin", "operator")}

    def test_it_asks_first_and_names_how_many(self, operator: Client, now: datetime) -> None:
        ids = many(13, now=now)
        form = {"action": "acknowledge", "index": "0", "_selected_action": [*ids, ids[0]]}
        text = page_of(operator.post(LIST, form))
        assert "Acknowledge: 13 alerts" in text
        assert "and 3 more" in text
        assert text.count('name="_selected_action"') == 13
        assert 'name="note"' in text
        assert 'name="acknowledge_for"' in text
        assert {stored(one).status for one in ids} == {"firing"}
        resolving = page_of(operator.post(LIST, {**form, "action": "resolve"}))
        assert 'name="acknowledge_for"' not in resolving

    def test_a_note_ends_in_every_timeline_and_in_the_audit_trail(self, operator: Client, now: datetime) -> None:
        ids = many(3, now=now)
        said = self.confirm(operator, "resolve", ids, note="rolled back to 2.4.0\r\nand restarted")
        assert "3 alerts resolved." in said
        for one in ids:
            last = events(one)[-1]
            assert (last.kind, last.note) == ("resolved", "rolled back to 2.4.0\nand restarted")
            assert last.address == "127.0.0.1"
        [row] = trail("resolved")
        assert row.actor == "operator"
        assert row.changes["note"] == ["", "rolled back to 2.4.0\nand restarted"]
        assert {events(one)[-1].request_id for one in ids} == {row.request_id}

    @pytest.mark.parametrize(("length", "hours"), [("30m", 0.5), ("4h", 4), ("7d", 168)])
    def test_acknowledging_and_shelving_last_as_long_as_was_chosen(
        self, operator: Client, now: datetime, length: str, hours: float
    ) -> None:
        ids = many(2, now=now)
        self.confirm(operator, "acknowledge", ids, acknowledge_for=length)
        self.confirm(operator, "shelve", ids, shelve_for=length)
        for one in ids:
            alert = stored(one)
            [shelved] = alert.suppressed_by
            assert shelved["kind"] == "shelved"
            for end in (alert.acknowledged_until, datetime.fromisoformat(shelved["until"])):
                assert end is not None
                assert abs(end - now - timedelta(hours=hours)) < timedelta(minutes=1)

    def test_acknowledged_without_a_length_it_stays_so(self, operator: Client, now: datetime) -> None:
        [one] = many(1, now=now)
        self.confirm(operator, "acknowledge", [one])
        assert (stored(one).status, stored(one).acknowledged_until) == ("acknowledged", None)

    def test_what_was_left_is_told_with_its_reason(self, operator: Client, now: datetime) -> None:
        ids = many(4, now=now)
        lifecycle.resolve(scope=Scope.of(OWN), ids=[UUID(ids[0])], now=now, via="api")
        lifecycle.acknowledge(scope=Scope.of(OWN), ids=[UUID(ids[1])], now=now, via="api")
        said = self.confirm(operator, "acknowledge", [*ids, str(uuid4())])
        assert "2 alerts acknowledged." in said
        assert "1 alert left as it was: The alert is resolved; it cannot be acknowledged." in said
        assert "1 alert was so already." in said
        assert "1 alert is not yours to change." in said

    def test_two_hundred_are_the_most(self, operator: Client, now: datetime) -> None:
        ids = many(201, now=now)
        assert "At most 200 alerts at once, and these are 201" in self.confirm(operator, "resolve", ids)
        assert stored(ids[0]).status == "firing"
        assert "200 alerts resolved." in self.confirm(operator, "resolve", ids[:200])

    @pytest.mark.parametrize(
        "form",
        [
            {"action": "acknowledge"},
            {"action": "delete_selected"},
            {"action": ""},
            {},
            {"action": "acknowledge", "n": "\0"},
        ],
    )
    def test_nothing_sensible_is_told_and_changes_nothing(
        self, operator: Client, now: datetime, form: dict[str, str]
    ) -> None:
        [one] = many(1, now=now)
        for ids in ([], ["nonsense", "\0"], [str(uuid4())]):
            answer = operator.post(LIST, {"index": "0", "confirmed": "yes", "_selected_action": ids, **form})
            assert answer.status_code == 302
        assert len(events(one)) == 1

    @pytest.mark.parametrize(
        "wrong", [{"note": "x" * 2001}, {"note": "a\0b"}, {"note": "\x1b[2J"}, {"shelve_for": "9y"}]
    )
    def test_a_wrong_form_is_told_on_the_same_page(
        self, operator: Client, now: datetime, wrong: dict[str, str]
    ) -> None:
        [one] = many(1, now=now)
        form = {"action": "shelve", "index": "0", "_selected_action": [one], "confirmed": "yes", **wrong}
        answer = operator.post(LIST, form)
        assert answer.status_code == 200
        assert 'class="errorlist"' in page_of(answer)
        assert stored(one).suppressed_by == []


class TestPage:
    def do(self, client: Client, state: State, verb: str, **more: str) -> str:
        return unescape(page_of(client.post(address(state), {"act": verb, **more}, follow=True)))

    def test_each_verb_does_its_work_and_is_offered_when_it_can(
        self, operator: Client, people: dict[str, User], now: datetime
    ) -> None:
        state = fire(now=now)
        offers = lambda text: re.findall(r'name="act" value="(\w+)"', text)  # noqa: E731
        assert offers(page(operator, address(state))) == [
            "acknowledge",
            "resolve",
            "shelve",
            "take",
            "assign",
            "comment",
        ]
        said = self.do(operator, state, "acknowledge", note="on it", acknowledge_for="1h")
        assert "1 alert acknowledged." in said
        assert offers(said) == ["resolve", "unacknowledge", "shelve", "take", "assign", "comment"]
        assert stored(state.id).acknowledge_note == "on it"
        self.do(operator, state, "unacknowledge")
        assert stored(state.id).status == "firing"
        assert "unshelve" in offers(self.do(operator, state, "shelve", shelve_for="4h"))
        self.do(operator, state, "unshelve")
        assert stored(state.id).suppressed_by == []
        assert "owner: nobody → operator" in self.do(operator, state, "take")
        assert "owner: operator → analyst" in self.do(operator, state, "assign", owner=str(people["analyst"].pk))
        assert "owner: analyst → nobody" in self.do(operator, state, "assign", owner="")
        assert "the pool was empty" in self.do(operator, state, "comment", note="the pool was empty")
        assert offers(self.do(operator, state, "resolve", note="done")) == ["comment", "reopen"]
        assert stored(state.id).resolve_note == "done"
        self.do(operator, state, "reopen")
        assert stored(state.id).status == "firing"
        assert {row.action for row in trail("acknowledged")} == {"acknowledged"}

    def test_only_members_can_be_given_one(self, operator: Client, people: dict[str, User], now: datetime) -> None:
        state = fire(now=now)
        text = page(operator, address(state))
        assert f'<option value="{people["analyst"].pk}">' in text
        for name in ("stranger", "executive"):
            assert f'<option value="{people[name].pk}">' not in text
            answer = operator.post(address(state), {"act": "assign", "owner": str(people[name].pk)})
            assert answer.status_code == 200
            assert 'class="errorlist"' in page_of(answer)
        assert stored(state.id).owner_id is None

    @pytest.mark.parametrize(
        ("form", "words"),
        [({"act": "comment", "note": " "}, "A comment needs words."), ({"act": "resolve", "note": "x" * 2001}, "2000"),
         ({"act": "shelve", "shelve_for": "99y"}, "valid choice"), ({"act": "resolve", "note": "\x07"}, "control")],
    )  # fmt: skip
    def test_a_wrong_form_is_told_and_keeps_what_was_written(
        self, operator: Client, now: datetime, form: dict[str, str], words: str
    ) -> None:
        state = fire(now=now)
        answer = operator.post(address(state), form)
        assert answer.status_code == 200
        assert words in page_of(answer)
        assert len(events(state.id)) == 1

    def test_a_verb_that_came_too_late_is_told(self, operator: Client, now: datetime) -> None:
        state = fire(now=now)
        lifecycle.resolve(scope=Scope.of(OWN), ids=[state.id], now=now, via="api")
        assert "The alert is resolved; it cannot be acknowledged." in self.do(operator, state, "acknowledge")
        fire(now=now + timedelta(seconds=1))
        assert "Another episode of this alert is open" in self.do(operator, state, "reopen")

    def test_the_timeline_says_who_from_where_what_and_whether_it_was_told(
        self, operator: Client, now: datetime
    ) -> None:
        state = fire(now=now)
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [state.id], "via": "admin"}
        silence = Suppression(kind="silenced", since=now, by="rule 7")
        lifecycle.suppress(**given, now=now, suppression=silence)
        lifecycle.acknowledge(**given, now=now, until=now + timedelta(hours=1))
        token = audit.origin.set(audit.Origin(actor_kind="key", actor="ci (ck_abc_…)", address="203.0.113.7"))
        lifecycle.unacknowledge(**given, now=now, note="too early")
        audit.origin.reset(token)
        lifecycle.resolve(**given, now=now)
        text = unescape(re.sub(r"<[^>]+>", " ", page(operator, address(state)).split('id="desk-timeline"')[1]))
        text = re.sub(r"\s+", " ", text)
        for words in (
            "Fired by system", "through the API", "status: firing", "Suppressed",
            "Nobody is told that it fires: no route led from it.",
            "status: firing → acknowledged", f"acknowledged until: – → {now + timedelta(hours=1):%Y-%m-%d %H:%M}",
            "Unacknowledged by ci (ck_abc_…) in the admin from 203.0.113.7", "too early",
            "Nobody is told: silenced.",
            "Nobody is told that it is over: no channel that had heard of it is told this.",
        ):  # fmt: skip
            assert words in text, words
        assert text.index("Resolved by") < text.index("Fired by")

    def test_demo_alerts_are_labelled_and_told_to_nobody(self, operator: Client, now: datetime) -> None:
        text = page(operator, address(fire(now=now, source="demo")))
        assert '<span class="tag tag--plain">demo</span>' in text
        assert "Nobody is told that it fires" in text

    def test_labels_and_metadata_are_readable(self, operator: Client, now: datetime) -> None:
        metadata = {"errorRate": 0.07, "window": "5m", "nested": {"a": [1, None]}, "lines": "one\ntwo", "on": True}
        text = unescape(page(operator, address(fire(now=now, labels={"region": "eu"}, metadata=metadata))))
        for words in (
            "<dt>region</dt><dd>eu</dd>",
            "<dd>0.07</dd>",
            "<dd>true</dd>",
            '"a": [\n    1,\n    null',
            "one\ntwo",
        ):
            assert words in text, words

    def test_hostile_text_is_shown_as_text_everywhere(
        self, people: dict[str, User], operator: Client, now: datetime
    ) -> None:
        state = fire(
            now=now, alert_type=HOSTILE[:90], message=HOSTILE, model_name=HOSTILE, endpoint_id=HOSTILE,
            labels={"region": HOSTILE}, metadata={HOSTILE: HOSTILE, "runbook": f"javascript:{HOSTILE}"},
        )  # fmt: skip
        lifecycle.comment(scope=Scope.of(OWN), ids=[state.id], now=now, via="api", note=HOSTILE)
        lifecycle.resolve(scope=Scope.of(OWN), ids=[state.id], now=now, via="api", note=HOSTILE)
        again = fire(now=now + timedelta(minutes=1), alert_type=HOSTILE[:90], message=HOSTILE)
        form = {"action": "resolve", "index": "0", "_selected_action": [str(again.id)]}
        pages = [page(operator, LIST), page(operator, f"{LIST}?status=all"), page(operator, address(state)),
                 page(operator, address(again)), page(operator, f"{LIST}{state.id}/history/"),
                 page_of(operator.post(LIST, form)), page_of(operator.get(LIST, {"q": HOSTILE}))]  # fmt: skip
        for text in pages:
            assert "<script>window" not in text
            assert "<img src=x" not in text
        assert all("&lt;script&gt;window" in text for text in pages[:4])

    @pytest.mark.parametrize(
        ("place", "found"),
        [
            ({"runbook": "https://wiki.example/r"}, "https://wiki.example/r"),
            ({"runbook_url": "http://wiki.example/r?a=1#b"}, "http://wiki.example/r?a=1#b"),
            ({"runbookUrl": "https://wiki.example"}, "https://wiki.example"),
            ({"runbook": "javascript:alert(1)"}, ""), ({"runbook": "//wiki.example"}, ""), ({"runbook": 7}, ""),
            ({"runbook": "https://"}, ""), ({"runbook": "https://a b"}, ""), ({"runbook": "https://[::1"}, ""),
            ({"runbook": "turn it off and on"}, ""), ({}, ""),
            ({"runbook": "ftp://x", "runbookUrl": "https://wiki.example"}, "https://wiki.example"),
        ],
    )  # fmt: skip
    def test_a_runbook_is_linked_when_a_browser_may_go_there(self, place: dict[str, Any], found: str) -> None:
        assert desk.runbook(place, {}) == desk.runbook({}, place) == found

    def test_the_page_links_the_runbook_and_the_dashboard_at_that_time(self, operator: Client, now: datetime) -> None:
        state = fire(now=now - timedelta(days=2), metadata={"runbook": "https://wiki.example/r?a=1&b=2"})
        text = operator.get(address(state)).content.decode()
        assert '<a href="https://wiki.example/r?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">' in text
        [dashboard] = [unescape(link) for link in Inline(text).links if "?from=" in link]
        assert dashboard.startswith(f"/dashboards/{OWN}/?from={now - timedelta(days=2, hours=6):%Y-%m-%d}")
        assert operator.get(dashboard).status_code == 200

    def test_how_such_ones_ended_is_told_with_who_when_and_why(self, operator: Client, now: datetime) -> None:
        scope, began = Scope.of(OWN), now - timedelta(days=3)
        same = fire(now=began, message="the first time")
        token = audit.origin.set(audit.Origin(actor="grace"))
        lifecycle.resolve(
            scope=scope, ids=[same.id], now=began + timedelta(minutes=12), via="page", note="added a node"
        )
        kin = fire(now=began, model_name="other", message="of another model")
        lifecycle.resolve(scope=scope, ids=[kin.id], now=began + timedelta(hours=2), via="page")
        audit.origin.reset(token)
        fire(now=began, alert_type="unlike", message="of another type")
        foreign = fire(OTHER, now=began, message="of somebody else")
        lifecycle.resolve(scope=Scope.of(OTHER), ids=[foreign.id], now=began, via="api")
        text = page(operator, address(fire(now=now))).split('id="desk-past"')[1]
        for words in ("the first time", "The same, episode 1", "resolved by grace after 12 min", "added a node",
                      "of another model", "Of the same type", "after 2 h"):  # fmt: skip
            assert words in text, words
        assert text.index("the first time") < text.index("of another model")
        assert "of another type" not in text
        assert "of somebody else" not in text

    def test_it_asks_as_much_for_a_long_past_as_for_none(self, operator: Client, now: datetime) -> None:
        def asked(state: State) -> int:
            operator.get(address(state))
            with CaptureQueriesContext(connection) as found:
                page(operator, address(state))
            return len(found)

        none = asked(fire(now=now, alert_type="lonely"))
        for number in range(12):
            began = now - timedelta(days=12 - number)
            past = fire(now=began, labels={"n": str(number % 3)})
            for _ in range(5):
                lifecycle.comment(scope=Scope.of(OWN), ids=[past.id], now=began, via="api", note="n")
            lifecycle.resolve(scope=Scope.of(OWN), ids=[past.id], now=began, via="api")
        assert asked(fire(now=now, labels={"n": "1"})) == none <= 25

    def test_its_history_is_the_audit_trail(self, operator: Client, now: datetime) -> None:
        state = fire(now=now)
        self.do(operator, state, "acknowledge", note="on it")
        text = page(operator, f"{LIST}{state.id}/history/")
        assert "acknowledged" in text
        assert "note: – → on it" in text


class TestAround:
    def look(self, state: State, now: datetime) -> around.Around:
        with Scope.of(OWN).enter():
            return around.look(Alert.objects.select_related("organization").get(pk=state.id), now)

    def test_it_shows_the_calls_of_its_model(self, make_key: Make, client: Client, now: datetime) -> None:
        send(client, make_key(OWN), {"modelName": "zq"}, {"modelName": "zq", "status": "error", "errorType": "e"},
             {"modelName": "other"})  # fmt: skip
        found = self.look(fire(now=now, model_name="zq"), now + timedelta(minutes=1))
        assert [chart.title for chart in found.charts] == ["Requests", "Failed", "Latency, 95th percentile"]
        assert found.of == "zq"
        assert found.charts[0].description.startswith("2 in all")
        assert {row[1] for row in found.charts[1].rows} == {"no data", "50.0\N{NO-BREAK SPACE}%"}
        assert [mark.text[:5] for mark in found.marks] == ["began"]

    @pytest.mark.parametrize(
        ("kind", "title", "said"),
        [("cost_per_call", "Cost of a request", "$0.003"), ("spendSpike", "Cost of a request", "$0.003"),
         ("slow_first_token", "First token, mean", "300\N{NO-BREAK SPACE}ms")],
    )  # fmt: skip
    def test_what_its_type_names_comes_first(
        self, make_key: Make, client: Client, now: datetime, kind: str, title: str, said: str
    ) -> None:
        send(client, make_key(OWN), {"modelName": "zq", "cost": "0.004", "timeToFirstTokenMs": 200},
             {"modelName": "zq", "cost": "0.002", "timeToFirstTokenMs": 400}, {"modelName": "zq"})  # fmt: skip
        found = self.look(fire(now=now, model_name="zq", alert_type=kind), now + timedelta(minutes=1))
        assert [chart.title for chart in found.charts] == [title, "Requests", "Failed"]
        assert {row[1] for row in found.charts[0].rows} == {"no data", said}

    def test_where_that_is_not_known_the_usual_is_shown(self, make_key: Make, client: Client, now: datetime) -> None:
        send(client, make_key(OWN), {"modelName": "zq"})
        for kind in ("cost_per_call", "slow_first_token"):
            found = self.look(fire(now=now, model_name="zq", alert_type=kind), now + timedelta(minutes=1))
            assert [chart.title for chart in found.charts] == ["Requests", "Failed", "Latency, 95th percentile"]

    @pytest.mark.parametrize(
        ("hours", "words"), [(2, "2026-03-01 20:00 to 22:00 UTC"), (30, "2026-03-01 20:00 to 2026-03-03 02:00 UTC")]
    )
    def test_its_time_is_told_with_the_zone_and_with_both_days_where_they_differ(self, hours: int, words: str) -> None:
        start = datetime(2026, 3, 1, 20, tzinfo=UTC)
        assert around._span(start, start + timedelta(hours=hours)) == words

    def test_without_a_model_it_shows_the_endpoint_or_everything(
        self, make_key: Make, client: Client, now: datetime
    ) -> None:
        send(client, make_key(OWN), {"endpointId": "gpu-7"}, {"endpointId": "gpu-8"})
        later = now + timedelta(minutes=1)
        assert self.look(fire(now=now, endpoint_id="gpu-7"), later).charts[0].description.startswith("1 in all")
        whole = self.look(fire(now=now), later)
        assert (whole.of, whole.charts[0].description[:8]) == ("all calls of SwaggyStacks", "2 in all")

    def test_where_nothing_was_recorded_it_says_so(self, operator: Client, now: datetime) -> None:
        state = fire(now=now, model_name="never called")
        assert self.look(state, now).why == "Nothing of it was recorded in that time."
        assert "Nothing of it was recorded" in page(operator, address(state))

    def test_it_shows_the_family_that_the_metadata_name(self, database: str, now: datetime) -> None:
        family, labels = "cockpit_gpu_temperature_celsius", (("gpu", "0"),)
        at = int(now.timestamp() * 1000)
        samples = [
            Sample(organization=OWN, family=family, labels=(("gpu", gpu),), at_ms=at, value=value)
            for gpu, value in (("0", 91.0), ("1", 40.0))
        ]
        current_store().observe(Scope.of(OWN), samples, now=now)
        state = fire(now=now, metadata={"family": family}, labels=dict(labels))
        [chart] = self.look(state, now + timedelta(minutes=1)).charts
        assert {row[1] for row in chart.rows} == {"no data", "91"}
        forms = [around._form_of(f"cockpit_{name}")(0.25) for name in ("x_ratio", "latency_seconds", "temperature")]
        assert forms == ["25.0\N{NO-BREAK SPACE}%", "250\N{NO-BREAK SPACE}ms", "0.25"]
        assert self.look(fire(now=now, metadata={"family": "no_such_family"}), now).of == "all calls of SwaggyStacks"
        assert self.look(fire(now=now, metadata={"family": ["odd"]}, labels={"a": "b"}), now).why != ""

    @pytest.mark.parametrize("hours", [0, 0.1, 3, 30, 24 * 40])
    def test_the_time_around_it_holds_its_beginning_and_is_never_longer_than_a_day_and_a_bit(
        self, now: datetime, hours: float
    ) -> None:
        alert = Alert(first_seen_at=now - timedelta(hours=hours))
        start, end = desk.window(alert, now)
        assert start < alert.first_seen_at < end <= now + timedelta(minutes=1)
        assert timedelta(minutes=30) <= alert.first_seen_at - start <= timedelta(hours=6, minutes=1)
        assert end - start <= timedelta(hours=31)


class TestHome:
    def test_open_alerts_stand_by_severity_and_lead_to_the_list(self, operator: Client, now: datetime) -> None:
        assert "nothing is wrong" in page(operator, "/admin/")
        fire(now=now)
        many(2, now=now)
        fire(OTHER, now=now)
        text = page(operator, "/admin/")
        assert f'<a href="{LIST}" class="house-figure house-figure--bad">' in text
        assert "1 critical, 2 warning" in text
        assert 'paginator-count">3 alerts' in page(operator, LIST)


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (11_520, "3 h 12 min"),
         (86_400, "1 d"), (86_459, "1 d"), (90_000, "1 d 1 h"), (86_400 + 120, "1 d"), (9 * 86_400 + 7200, "9 d 2 h")],
    )  # fmt: skip
    def test_a_length_is_said_in_its_two_largest_units(self, seconds: int, words: str) -> None:
        assert lists.length(timedelta(seconds=seconds)) == words

    def test_every_status_offers_something_and_only_what_it_can(self) -> None:
        for status in ("firing", "acknowledged", "resolved"):
            for shelved in ([], [{"kind": "shelved"}]):
                names = {act.name for act in desk.offered(Alert(status=status, suppressed_by=shelved))}
                assert "comment" in names
                assert ("reopen" in names) == (status == "resolved")
                assert names <= set(acts.ACTS)

    @pytest.mark.parametrize("texts", [[], ["x", ""], ["{not}", "a" * 500]])
    def test_what_is_no_id_is_left_out(self, texts: list[str]) -> None:
        one = str(uuid4())
        assert acts.identifiers([*texts, one, one]) == [UUID(one)]
