"""Channels in the admin: who may see and make them, forms of every kind, secrets that never come out, tests sent."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import channel_desk, roster, sending
from alerts.channels import TRANSPORTS
from alerts.channels.base import Mail
from alerts.channels.webhook import new_secret
from alerts.models import Channel, Delivery
from organizations.models import AuditEvent, User
from tests.channels import EVERYONE, LOCAL, OTHER, OWN, channel, deliveries, drain, fire, route, the
from tests.conftest import url_of
from tests.receiver import Receiver, answer
from tests.test_admin import Inline, page_of, signed_in

Make = Callable[..., Any]
LIST = "/admin/alerts/channel/"
ADD = f"{LIST}add/"
LOG = "/admin/alerts/delivery/"
HOSTILE = "<script>window.__xss=1</script>\"><img src=x onerror='window.__xss=1'>"
CANARY = "zqcanary7f3a9"
# What each kind is told when a person makes one: values by the names of its own settings.
FILLED: dict[str, dict[str, str]] = {
    "slack": {"url": f"https://hooks.slack.com/services/T0/B0/{CANARY}"},
    "pagerduty": {"routing_key": f"{CANARY:0<32}", "region": "eu", "severity_critical": "error",
                  "webhook_secret": f"{CANARY}-back"},
    "email": {"recipients": "ada@example.org\r\ngrace@example.org"},
    "teams": {"url": f"https://prod.example.org/workflows/{CANARY}"},
    "webhook": {"url": f"https://example.org/{CANARY}", "secret": ""},
    "alertmanager": {"url": f"https://example.org/am/{CANARY}", "token": f"{CANARY}-token", "receiver": "ops"},
    "bridge": {"url": f"pover://user@{CANARY}"},
    "heartbeat": {"url": f"https://hc-ping.com/{CANARY}"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent may go to this machine."""
    monkeypatch.setattr(sending, "_CLIENTS", {"live": LOCAL, "demo": LOCAL})


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be called is what may be called in production."""
    live = sending.HttpClient(total_seconds=2.0)
    monkeypatch.setattr(sending, "_CLIENTS", {"live": live, "demo": live})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver([answer(200, b"taken")]) as listening:
        yield listening


def address(identifier: UUID) -> str:
    return f"{LIST}{identifier}/change/"


def page(client: Client, path: str) -> str:
    found = client.get(path)
    assert found.status_code == 200, path
    return page_of(found)


def filled(kind: str, **more: str) -> dict[str, str]:
    own = {f"its_{name}": value for name, value in FILLED[kind].items()}
    return {"name": f"my {kind}", "organization": OWN, "audience": "developer", "per_minute": "", "save": "yes",
            **own, **more}  # fmt: skip


def make(client: Client, kind: str, **more: str) -> Any:
    return client.post(f"{ADD}?kind={kind}", filled(kind, **more), follow=True)


def only() -> Channel:
    with EVERYONE.enter():
        return Channel.objects.get()


def secrets(identifier: UUID) -> dict[str, str]:
    return roster.secrets_of(the(identifier))


def trail(identifier: UUID) -> list[AuditEvent]:
    with EVERYONE.enter():
        return list(AuditEvent.objects.filter(object_type="channel", object_id=str(identifier)).order_by("id"))


def names(text: str) -> list[str]:
    return re.findall(r'class="field-name"><a href="[^"]+">(.*?)</a>', text)


def do(client: Client, identifier: UUID, act: str, **more: str) -> str:
    return unescape(page_of(client.post(address(identifier), {"act": act, **more}, follow=True)))


class TestWhoMay:
    @pytest.mark.parametrize("role", ["root", "owner", "operator"])
    def test_those_who_may_write_make_and_change_them(self, people: dict[str, User], role: str) -> None:
        client = signed_in(people[role])
        assert "?kind=slack" in page(client, ADD)
        assert make(client, "webhook").status_code == 200
        made = only()
        assert (made.organization_id, made.state, made.created_by) == (OWN, "on", role)
        text = page(client, address(made.pk))
        assert re.findall(r'name="act" value="(\w+)"', text) == ["test", "off", "rotate", "retire"]
        assert "Switched off by itself" not in text
        assert "is off" in do(client, made.pk, "off")
        assert the(made.pk).state == "off"

    def test_analysts_read_and_change_nothing(self, people: dict[str, User]) -> None:
        made, client = channel("http://127.0.0.1:9/"), signed_in(people["analyst"])
        for path in (LIST, address(made), f"{LIST}{made}/history/"):
            assert "<button" not in page(client, path).split("<main", 1)[1]
        assert "Signing secret" in page(client, address(made))
        changes = ({"act": "off"}, {"act": "test"}, {"act": "retire", "confirmed": "yes"}, {"save": "yes", "name": "x"})
        for form in changes:
            assert client.post(address(made), form).status_code == 403
        for kind in ("", "?kind=webhook"):
            assert client.get(f"{ADD}{kind}").status_code == 403
        assert client.post(f"{ADD}?kind=webhook", filled("webhook")).status_code == 403
        assert client.get(f"{LIST}{made}/delete/").status_code == 403
        assert the(made).state == "on"
        assert [row.action for row in trail(made)] == ["created"]

    def test_executives_have_no_admin(self, people: dict[str, User]) -> None:
        made, client = channel("http://127.0.0.1:9/"), signed_in(people["executive"])
        for path in (LIST, ADD, address(made)):
            assert client.get(path).status_code == 302
            assert client.get(path, follow=True).status_code == 403

    def test_another_organizations_channel_is_404_by_every_address_and_verb(self, people: dict[str, User]) -> None:
        made, client = channel("http://127.0.0.1:9/", name="zqforeign"), signed_in(people["stranger"])
        for identifier in (made, uuid4(), "nonsense", "%00"):
            for view in ("change", "history"):
                assert client.get(f"{LIST}{identifier}/{view}/").status_code == 404
        for act in channel_desk.ACTS:
            assert client.post(address(made), {"act": act, "confirmed": "yes"}).status_code == 404
        assert client.post(address(made), filled("webhook")).status_code == 404
        for query in ("", "?q=zq", f"?organization={OWN}", "?state=on", "?kind=webhook"):
            assert "zqforeign" not in client.get(LIST + query).content.decode().replace('value="zq"', "")
        assert the(made).state == "on"
        assert [row.action for row in trail(made)] == ["created"]

    def test_nobody_makes_one_for_another_organization(self, people: dict[str, User], make_person: Make) -> None:
        both = make_person("both", **{OWN: "analyst", OTHER: "operator"})
        for client in (signed_in(people["stranger"]), signed_in(both)):
            text = unescape(page_of(make(client, "webhook")))
            assert "Select a valid choice." in text
            assert f'<option value="{OWN}"' not in text
        with EVERYONE.enter():
            assert not Channel.objects.exists()

    def test_who_reads_here_and_writes_there_changes_only_there(self, make_person: Make) -> None:
        client = signed_in(make_person("both", **{OWN: "analyst", OTHER: "operator"}))
        here, there = channel("http://127.0.0.1:9/"), channel("http://127.0.0.1:9/", organization=OTHER)
        assert client.post(address(here), {"act": "off"}).status_code == 403
        do(client, there, "off")
        assert (the(here).state, the(there).state) == ("on", "off")

    def test_nothing_deletes_one(self, people: dict[str, User]) -> None:
        made, client = channel("http://127.0.0.1:9/"), signed_in(people["root"])
        for method in (client.get, client.post):
            assert method(f"{LIST}{made}/delete/", {"post": "yes"}).status_code == 403
        form = {"action": "delete_selected", "_selected_action": [str(made)], "post": "yes"}
        assert client.post(LIST, form).status_code in (200, 302)
        assert the(made).state == "on"


class TestAdding:
    def test_the_kinds_are_offered_with_what_they_still_need(self, operator: Client, settings: Any) -> None:
        text = page(operator, ADD)
        for one in TRANSPORTS.values():
            assert f'href="?kind={one.kind}"' in text
            assert one.summary in unescape(text)
        for words in ("Needs EMAIL_URL", "OUTGOING_BRIDGE is not set"):
            assert words in text
        assert "Needs EMAIL_URL" in page(operator, f"{ADD}?kind=email")
        settings.MAIL, settings.OUTGOING_BRIDGE = Mail(host="h", port=25, sender="a@example.org"), True
        assert "Needs EMAIL_URL" not in page(operator, ADD)
        assert "OUTGOING_BRIDGE is not set" not in page(operator, ADD)

    @pytest.mark.parametrize("kind", ["nonsense", "\0", "x" * 5000, "slack,teams"])
    def test_a_kind_that_is_none_leads_back_to_the_kinds(self, operator: Client, kind: str) -> None:
        for method in (operator.get, operator.post):
            url = f"{ADD}?kind={kind}" if kind.isprintable() else f"{ADD}?kind=%00"
            assert "There is no such kind of channel." in page_of(method(url))

    @pytest.mark.parametrize("kind", TRANSPORTS)
    def test_each_kind_has_the_form_of_its_settings(self, operator: Client, kind: str, strict: None) -> None:
        text = page(operator, f"{ADD}?kind={kind}")
        for field in TRANSPORTS[kind].fields:
            tag = re.search(rf'<(input|select|textarea)[^>]*name="its_{field.name}"[^>]*>', text)
            if field.name.startswith("previous_"):
                assert tag is None
                continue
            assert tag, field.name
            assert ('type="password"' in tag[0]) == field.secret
            assert not field.secret or 'autocomplete="off"' in tag[0]
            assert (" required" in tag[0]) == (field.required and field.generated is None)
        said = unescape(page_of(make(operator, kind, audience="executive", per_minute="7")))
        assert f"The channel my {kind} is on." in said
        made = only()
        assert (made.kind, made.name, made.audience, made.per_minute) == (kind, f"my {kind}", "executive", 7)
        shown = {field.name for field in TRANSPORTS[kind].fields if not field.secret}
        wanted = {name: value.replace("\r\n", "\n") for name, value in FILLED[kind].items() if value}
        assert made.settings == {name: value for name, value in wanted.items() if name in shown}
        held = {name: value for name, value in wanted.items() if name not in shown}
        assert {name: value for name, value in secrets(made.pk).items() if name != "secret"} == held
        assert [(row.action, row.actor) for row in trail(made.pk)] == [("created", "operator")]

    def test_a_secret_that_is_made_is_shown_this_once(self, operator: Client) -> None:
        answered = make(operator, "webhook", its_url="http://127.0.0.1:9/x")
        made = only()
        secret = secrets(made.pk)["secret"]
        assert f"Signing secret, shown only this once: {secret}" in unescape(page_of(answered))
        assert secret not in unescape(page(operator, address(made.pk)))

    def test_one_that_was_typed_is_not_shown_at_all(self, operator: Client) -> None:
        secret = new_secret()
        answered = make(operator, "webhook", its_url="http://127.0.0.1:9/x", its_secret=secret)
        assert secrets(only().pk)["secret"] == secret
        assert secret not in unescape(page_of(answered))

    @pytest.mark.parametrize(
        ("kind", "wrong", "words"),
        [
            ("webhook", {"name": ""}, "The name is needed."),
            ("webhook", {"name": "x" * 101}, "at most 100 characters"),
            ("webhook", {"name": "x" * 10_000}, "at most 100 characters"),
            ("webhook", {"name": "a\0b"}, "Null characters are not allowed."),
            ("webhook", {"name": "a\x1bb"}, "must not hold control characters"),
            ("webhook", {"its_url": ""}, "URL is needed."),
            ("webhook", {"its_url": "https://example.org/\0"}, "Null characters are not allowed."),
            ("webhook", {"its_url": "https://example.org/" + "x" * 10_000}, "at most 1000 characters"),
            ("webhook", {"its_url": "http://169.254.169.254/latest/meta-data"}, "URL "),
            ("webhook", {"its_url": "https://10.0.0.7/"}, "URL "),
            ("webhook", {"its_url": "file:///etc/passwd"}, "URL "),
            ("webhook", {"its_secret": "short"}, "Signing secret must be whsec_"),
            ("webhook", {"per_minute": "0"}, "greater than or equal to 1"),
            ("webhook", {"per_minute": "9" * 5000}, "Enter a whole number."),
            ("webhook", {"per_minute": "1000001"}, "less than or equal to 1000000"),
            ("webhook", {"per_minute": "many"}, "Enter a whole number."),
            ("webhook", {"audience": "king"}, "Select a valid choice."),
            ("webhook", {"organization": "nowhere"}, "Select a valid choice."),
            ("pagerduty", {"its_region": "mars"}, "Select a valid choice."),
            ("pagerduty", {"its_routing_key": "short"}, "Integration key must be 32 letters"),
            ("email", {"its_recipients": "no address"}, "Recipients "),
            ("email", {"its_recipients": "ada@example.org\n" * 400}, "Recipients "),
            ("slack", {"its_channel": "#general"}, "Channel ID must be the ID of a channel"),
        ],
    )  # fmt: skip
    def test_what_will_not_do_is_told_at_its_field(
        self, people: dict[str, User], strict: None, kind: str, wrong: dict[str, str], words: str
    ) -> None:
        answered = make(signed_in(people["root"]), kind, **wrong)
        assert answered.status_code == 200
        text = unescape(page_of(answered))
        [field] = wrong
        at = re.search(rf'row--wrong">(?:(?!row).)*?class="errorlist"(?:(?!row).)*?name="{field}"', text, re.DOTALL)
        assert at, text[-3000:]
        assert words in at[0]
        assert text.count('class="errorlist"') == 1
        with EVERYONE.enter():
            assert not Channel.objects.exists()

    def test_what_will_not_do_as_a_whole_is_told_above(self, operator: Client) -> None:
        for wrong in ({}, {"its_channel": "C0123456789"}):
            text = unescape(page_of(make(operator, "slack", **{"its_url": "", **wrong})))
            assert "Either an incoming webhook is needed, or a bot token and a channel ID." in text
        with EVERYONE.enter():
            assert not Channel.objects.exists()

    def test_bytes_that_are_no_text_are_no_fault_of_ours(self, operator: Client) -> None:
        form = b"name=%ED%A0%80&its_url=http%3A%2F%2F127.0.0.1%3A9%2F%FF&audience=developer&organization=swaggystacks"
        answered = operator.post(f"{ADD}?kind=webhook", form, content_type="application/x-www-form-urlencoded")
        assert answered.status_code in (200, 302)

    def test_a_name_is_taken_once(self, operator: Client) -> None:
        channel("http://127.0.0.1:9/", name="my webhook")
        assert "Name is the name of another channel." in page_of(
            make(operator, "webhook", its_url="http://127.0.0.1:9/")
        )

    def test_a_wrong_form_keeps_what_was_written_but_no_secret(self, operator: Client) -> None:
        text = page_of(make(operator, "pagerduty", name="", its_events_url="nonsense/kept"))
        assert 'value="nonsense/kept"' in text
        assert CANARY not in text

    def test_with_one_organization_there_is_nothing_to_choose(self, operator: Client, people: dict[str, User]) -> None:
        assert f'type="hidden" name="organization" value="{OWN}"' in page(operator, f"{ADD}?kind=teams")
        assert '<select name="organization"' in page(signed_in(people["root"]), f"{ADD}?kind=teams")


class TestList:
    def test_it_says_of_each_how_it_is(self, operator: Client, receiver: Receiver, now: datetime) -> None:
        fine = channel(receiver.url("/"), name="fine")
        down = channel("http://127.0.0.1:9/", name="down")
        channel("http://127.0.0.1:9/", name="lost", state="failed", state_because="The receiver is gone.")
        channel("http://127.0.0.1:9/", name="quiet", state="off", audience="executive")
        channel("http://127.0.0.1:9/", name="over", state="retired")
        route(fine, down)
        for number in range(3):
            fire(f"kind_{number}")
        drain()
        dead = [one.pk for one in deliveries(channel=down)][:2]
        with EVERYONE.enter():
            Channel.objects.filter(pk=fine).update(last_success_at=now - timedelta(minutes=2))
            Delivery.objects.filter(pk__in=dead).update(state="dead", because="connection", done_at=now)
        text = unescape(page(operator, LIST))
        assert names(text) == ["down", "fine", "lost", "quiet"]
        for words in ("last sent 2 minutes ago", "nothing sent yet", "Switched off by itself: The receiver is gone.",
                      "3 failures: The receiver refused the connection"):  # fmt: skip
            assert words.partition(":")[0] in text, words
        assert "trying again" in text
        assert f'href="{LOG}?channel={down}&state=waiting">1</a>' in text
        dead_link = f"{LOG}?channel={down}&state=dead&event=alert&since=7d"
        assert f'href="{dead_link}">2</a>' in text
        assert 'paginator-count">2 ' in page(operator, dead_link)
        assert 'paginator-count">1 ' in page(operator, f"{LOG}?channel={down}&state=waiting")
        for word, tone in (("on", "good"), ("failed", "bad"), ("off", "plain")):
            assert f'<span class="tag tag--{tone}">{word}</span>' in text

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", {"hook", "pager", "away", "made up"}), ("state=on", {"hook", "pager", "made up"}),
            ("state=off", set()), ("state=failed", {"away"}), ("state=retired", {"gone"}), ("state=x", set()),
            ("kind=pagerduty", {"pager"}), ("kind=nonsense", set()), ("source=demo", {"made up"}),
            ("source=live", {"hook", "pager", "away"}), (f"organization={OWN}", {"hook", "pager", "away", "made up"}),
            (f"organization={OTHER}", set()), ("q=AGE", {"pager"}), ("q=foreign", set()), ("q=%00", set()),
        ],
    )  # fmt: skip
    def test_filters_and_searches_find_what_they_say(self, operator: Client, query: str, found: set[str]) -> None:
        channel("http://127.0.0.1:9/", name="hook")
        channel(kind="pagerduty", name="pager", given={"routing_key": "a" * 32})
        channel("http://127.0.0.1:9/", name="away", state="failed")
        channel("http://127.0.0.1:9/", name="gone", state="retired")
        channel("http://127.0.0.1:9/", name="made up", source="demo")
        channel("http://127.0.0.1:9/", name="foreign", organization=OTHER)
        answered = operator.get(f"{LIST}?{query}")
        if query == "q=%00":
            assert answered.status_code in (200, 302)
            return
        assert set(names(page_of(answered))) == found

    def test_it_asks_as_much_for_fifty_as_for_five(self, operator: Client) -> None:
        def asked() -> int:
            operator.get(LIST)
            with CaptureQueriesContext(connection) as found:
                page(operator, LIST)
            return len(found)

        made = [channel("http://127.0.0.1:9/", name=f"n{number:02d}") for number in range(5)]
        route(*made)
        fire("one")
        few = asked()
        made += [channel("http://127.0.0.1:9/", name=f"n{number:02d}") for number in range(5, 50)]
        route(*made, name="more")
        fire("two")
        assert asked() == few <= 12

    def test_nothing_there_is_said_as_such(self, operator: Client) -> None:
        assert "There is no channel yet" in page(operator, LIST)
        assert "No channel is like this." in page(operator, f"{LIST}?kind=slack")


class TestPage:
    def test_it_says_how_the_channel_is_and_who_leads_there(
        self, operator: Client, receiver: Receiver, now: datetime
    ) -> None:
        made = channel(receiver.url("/"), name="ops")
        route(made, name="all of it", severities=["critical", "warning"], alert_types=["high_*"], labels={"team": "ml"})
        fired = fire("high_error_rate", labels={"team": "ml"})
        drain()
        text = unescape(page(operator, address(made)))
        for words in ("Last sent just now", "all of it", "critical or warning; type high_*; label team=ml",
                      "high_error_rate is wrong", f"/admin/alerts/alert/{fired.state.id}/change/", "30,000 a minute",
                      f"{LOG}?channel={made}"):  # fmt: skip
            assert words in text, words
        assert f'href="/admin/alerts/delivery/{deliveries()[0].pk}/change/"' in text

    def test_one_that_failed_says_why_and_names_its_alert(self, operator: Client) -> None:
        with Receiver([answer(410, b"moved away")]) as gone:
            made = channel(gone.url("/"), name="ops")
            route(made)
            fire()
            drain()
        assert the(made).state == "failed"
        text = unescape(page(operator, address(made)))
        assert "Switched off by itself: The receiver" in text
        assert "a notice could not be delivered" in text
        assert re.findall(r'name="act" value="(\w+)"', text) == ["test", "on", "off", "rotate", "retire"]
        assert "It is on again then." in text
        form = {**filled("webhook"), "its_url": "http://127.0.0.1:9/mended"}
        assert "It is on again." in unescape(page_of(operator.post(address(made), form, follow=True)))
        assert the(made).state == "on"

    def test_secrets_left_empty_are_kept_and_others_replace_them(self, operator: Client) -> None:
        make(operator, "alertmanager", its_url="http://127.0.0.1:9/x")
        made = only().pk
        before = secrets(made)
        text = page(operator, address(made))
        assert text.count('placeholder="kept; write a new one to change it"') == 2
        form = filled("alertmanager", its_url="", its_token="", its_receiver="others", name="renamed")
        assert "Saved." in page_of(operator.post(address(made), form, follow=True))
        assert secrets(made) == before
        assert (the(made).name, the(made).settings) == ("renamed", {"receiver": "others"})
        operator.post(address(made), {**form, "its_token": "another"})
        assert secrets(made) == {**before, "token": "another"}
        operator.post(address(made), {**form, "its_token_forget": "on", "its_url_forget": "on"})
        assert secrets(made) == {"url": before["url"]}
        changes = [row.changes for row in trail(made)]
        assert "another" not in str(changes)
        assert [row.action for row in trail(made)] == ["created", "changed", "changed", "changed"]

    def test_what_rotation_wrote_outlives_other_changes(self, operator: Client) -> None:
        make(operator, "webhook", its_url="http://127.0.0.1:9/x")
        made, first = only().pk, secrets(only().pk)["secret"]
        said = do(operator, made, "rotate")
        fresh = secrets(made)["secret"]
        assert f"The new signing secret, shown only this once: {fresh}" in said
        assert first != fresh
        operator.post(address(made), filled("webhook", its_url="", name="renamed"))
        assert secrets(made)["previous_secret"] == first
        assert "previous_until" in the(made).settings
        text = page(operator, address(made))
        assert "Previous secret until" in text
        assert fresh not in unescape(text)

    def test_a_wrong_change_is_told_and_changes_nothing(self, operator: Client) -> None:
        made = channel("http://127.0.0.1:9/", name="ops")
        channel("http://127.0.0.1:9/", name="taken")
        for field, wrong in (("name", "taken"), ("name", ""), ("its_url", "nonsense"), ("per_minute", "-1")):
            answered = operator.post(address(made), {**filled("webhook", its_url=""), field: wrong})
            assert answered.status_code == 200
            assert 'class="errorlist"' in page_of(answered)
        assert the(made).name == "ops"

    def test_a_pace_of_its_own_is_kept_and_given_back(self, operator: Client) -> None:
        made = channel("http://127.0.0.1:9/")
        operator.post(address(made), filled("webhook", its_url="", per_minute="5"))
        assert (the(made).per_minute, the(made).burst) == (5, 5)
        assert 'name="per_minute" value="5"' in page(operator, address(made))
        operator.post(address(made), filled("webhook", its_url=""))
        assert the(made).per_minute == TRANSPORTS["webhook"].per_minute

    def test_it_is_switched_off_and_on_again(self, operator: Client) -> None:
        made = channel("http://127.0.0.1:9/")
        route(made)
        fire()
        assert "what waited was dropped" in do(operator, made, "off")
        assert [(one.state, one.because) for one in deliveries()] == [("skipped", "off")]
        assert "cannot be done" in do(operator, made, "off")
        assert "It is on" in do(operator, made, "on")
        assert the(made).state == "on"
        assert [row.action for row in trail(made)] == ["created", "switched_off", "switched_on"]
        history = page(operator, f"{LIST}{made}/history/")
        assert "switched off" in history
        assert "state: on → off" in history

    def test_it_is_retired_after_it_was_asked(self, operator: Client) -> None:
        made = channel("http://127.0.0.1:9/", name="ops")
        route(made, name="leads there")
        fire()
        asked = do(operator, made, "retire")
        for words in ("Retire ops", "leads there", "1 notice</b> that waits for it is dropped"):
            assert words in asked
        assert the(made).state == "on"
        assert "Retired: its secrets are forgotten" in do(operator, made, "retire", confirmed="yes")
        assert (the(made).state, the(made).sealed) == ("retired", "")
        text = page(operator, address(made))
        assert "<button" not in text.split("<main", 1)[1]
        assert "cannot be changed any more" in do(operator, made, "on")
        operator.post(address(made), filled("webhook"))
        assert the(made).name == "ops"
        assert [row.action for row in trail(made)] == ["created", "retired"]
        assert make(operator, "webhook", name="ops", its_url="http://127.0.0.1:9/").redirect_chain

    def test_pagerduty_is_told_where_its_webhook_leads_back(self, operator: Client, settings: Any) -> None:
        settings.PUBLIC_URL = "https://cockpit.example.org"
        make(operator, "pagerduty")
        made = only().pk
        back = f"https://cockpit.example.org/api/monitoring/channels/{made}/pagerduty"
        assert back in page(operator, address(made))

    def test_secrets_that_cannot_be_read_are_asked_for(self, operator: Client) -> None:
        made = channel("http://127.0.0.1:9/", sealed="nonsense")
        text = page(operator, address(made))
        assert "cannot be read any more" in text
        assert "kept; write" not in text

    def test_a_kind_that_is_no_more_can_still_be_switched_off(self, operator: Client) -> None:
        made = channel("http://127.0.0.1:9/", kind="webhook")
        with EVERYONE.enter():
            Channel.objects.filter(pk=made).update(kind="telex")
        text = page(operator, address(made))
        assert "telex" in text
        assert 'name="save"' not in text
        do(operator, made, "off")
        assert the(made).state == "off"
        assert "telex" in page(operator, LIST)

    @pytest.mark.parametrize("form", [{}, {"act": ""}, {"act": "nonsense"}, {"act": "on"}, {"act": "\0"}])
    def test_what_cannot_be_done_is_told(self, operator: Client, form: dict[str, str]) -> None:
        made = channel("http://127.0.0.1:9/")
        assert "cannot be done" in page_of(operator.post(address(made), form, follow=True))
        assert the(made).state == "on"

    def test_rotating_is_for_kinds_whose_secret_is_ours(self, operator: Client) -> None:
        made = channel(kind="teams", given={"url": "http://127.0.0.1:9/"})
        assert 'value="rotate"' not in page(operator, address(made))
        assert "cannot be done" in do(operator, made, "rotate")


class TestTryingOut:
    def test_the_answer_is_told_at_once(self, operator: Client, receiver: Receiver) -> None:
        made = channel(receiver.url("/hook"), name="ops")
        said = do(operator, made, "test")
        [request] = receiver.requests
        assert b'"channel.test"' in request.body
        assert "Sent “This is a test: notices get through” through ops: taken with 200 after" in said
        assert re.search(r"after [\d,]+ ms. It said: taken", said)
        assert [(one.event, one.state, one.about) for one in deliveries()] == [("test", "sent", {"by": "operator"})]
        assert [(row.action, row.actor) for row in trail(made)][-1] == ("tried", "operator")

    @pytest.mark.parametrize("state", ["off", "failed"])
    def test_it_works_for_one_that_is_off_or_failed(self, operator: Client, receiver: Receiver, state: str) -> None:
        made = channel(receiver.url("/"), state=state)
        assert "taken with 200" in do(operator, made, "test")
        assert the(made).state == state

    def test_what_went_wrong_is_told_in_words_and_without_secrets(self, operator: Client) -> None:
        with Receiver([answer(503, f"{CANARY} <b>{HOSTILE}</b>".encode())]) as receiver:
            made = channel(receiver.url(f"/{CANARY}"))
            answered = operator.post(address(made), {"act": "test"}, follow=True)
        raw = page_of(answered)
        said = unescape(raw)
        assert 'class="error"' in raw
        assert "did not get through" in said
        assert re.search(r"503: it failed, after [\d,]+ ms. It said: ", said)
        assert "<script>window" not in raw
        [one] = deliveries()
        assert one.attempt == 1

    def test_a_receiver_that_is_not_there_is_told(self, operator: Client) -> None:
        assert "did not get through" in do(operator, channel("http://127.0.0.1:9/"), "test")

    def test_nothing_is_locked_and_all_can_be_seen_while_it_is_sent(
        self, operator: Client, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[bool, int]] = []

        def send(claimed: Any) -> Any:
            with psycopg.connect(url_of(database)) as other:
                found = other.execute("SELECT count(*) FROM alerts_delivery WHERE state = 'sending'").fetchone()
            seen.append((connection.in_atomic_block, found[0] if found else 0))
            return sending.Tried(claimed=claimed, took_ms=1, status=200, answer="ok")

        monkeypatch.setattr(sending, "send", send)
        assert "taken with 200" in do(operator, channel("http://127.0.0.1:9/"), "test")
        assert seen == [(False, 1)]

    def test_one_that_is_retired_is_not_tried(self, operator: Client, receiver: Receiver) -> None:
        made = channel(receiver.url("/"), state="retired")
        do(operator, made, "test")
        assert receiver.requests == []


class TestSecrets:
    def test_none_of_them_stands_in_any_page(self, people: dict[str, User], strict: None) -> None:
        root = signed_in(people["root"])
        shown: set[str] = set()
        for kind in TRANSPORTS:
            made = make(root, kind)
            assert made.redirect_chain, kind
            with EVERYONE.enter():
                one = Channel.objects.get(kind=kind)
            root.post(address(one.pk), {"act": "rotate"}, follow=True)
            held = roster.secrets_of(the(one.pk)).values()
            shown |= {secret for secret in held if secret}
            wrong = root.post(address(one.pk), filled(kind, name=""))
            assert not any(secret in unescape(page_of(wrong)) for secret in held)
            route(one.pk, name=f"to {kind}")
        fire()
        assert len(shown) >= 8
        waiting = ["/admin/", LIST, ADD, LOG, "/admin/alerts/route/", "/admin/organizations/auditevent/"]
        seen = set[str]()
        while waiting and len(seen) < 150:
            path = waiting.pop(0)
            if path in seen:
                continue
            seen.add(path)
            text = root.get(path).content.decode()
            assert not [secret for secret in shown if secret in unescape(text)], path
            assert CANARY not in text, path
            links = (link.partition("#")[0] for link in Inline(text).links)
            waiting += [link for link in links if re.match(r"/admin/(alerts|organizations/auditevent)/", link)]
        assert len(seen) > 40

    @pytest.mark.parametrize(
        ("kind", "secret", "place"),
        [("slack", "token", "api_url"), ("pagerduty", "routing_key", "events_url"), ("alertmanager", "token", "url")],
    )
    def test_one_that_is_kept_is_never_sent_to_another_place(self, kind: str, secret: str, place: str) -> None:
        was = {"url": "http://127.0.0.1:9/a", "channel": "C0123456789", secret: "k" * 32}
        fields = {field.name for field in TRANSPORTS[kind].fields}
        kept = {name: value for name, value in was.items() if name in fields}
        for moved, refused in (("http://127.0.0.1:9/b", False), ("http://127.0.0.1:8/b", True)):
            given = {"channel": "C0123456789", place: moved}
            before = {place: "http://127.0.0.1:9/a"}
            if refused:
                with pytest.raises(roster.Unfit) as unfit:
                    roster.read_settings(TRANSPORTS[kind], given, client=LOCAL, kept=kept, before=before)
                assert unfit.value.faults == {secret: "must be typed again, since it would go to another place"}
                given[secret] = "xoxb" + "n" * 28
            found = roster.read_settings(TRANSPORTS[kind], given, client=LOCAL, kept=kept, before=before)
            assert found.secret[secret] == given.get(secret, "k" * 32)

    def test_hostile_words_are_shown_as_words(self, people: dict[str, User]) -> None:
        root = signed_in(people["root"])
        made = channel("http://127.0.0.1:9/", name=HOSTILE, last_failure=HOSTILE, failures=3, state_because=HOSTILE,
                       settings={"previous_until": HOSTILE}, created_by=HOSTILE)  # fmt: skip
        route(made, name=HOSTILE, alert_types=[HOSTILE], labels={HOSTILE: HOSTILE})
        fire(HOSTILE[:90], message=HOSTILE)
        pages = [page(root, LIST), page(root, address(made)), page_of(root.post(address(made), {"act": "retire"})),
                 page(root, f"{LIST}{made}/history/"), page(root, "/admin/")]  # fmt: skip
        for text in pages:
            assert "<script>window" not in text
            assert "<img src=x" not in text
        assert all("&lt;script&gt;window" in text for text in pages[:4])


class TestHome:
    def test_channels_and_notices_are_figures_that_turn_bad(self, operator: Client, now: datetime) -> None:
        text = page(operator, "/admin/")
        assert "nobody is told of alerts" in text
        made = channel("http://127.0.0.1:9/")
        channel("http://127.0.0.1:9/", state="off")
        channel("http://127.0.0.1:9/", organization=OTHER)
        channel("http://127.0.0.1:9/", source="demo")
        route(made)
        for number in range(3):
            fire(f"kind_{number}")
        text = page(operator, "/admin/")
        assert "1 on, 1 off" in text
        assert "waiting, none dead in 24 hours" in text
        with EVERYONE.enter():
            Channel.objects.filter(pk=made).update(state="failed")
            Delivery.objects.filter(pk=deliveries()[0].pk).update(state="dead", done_at=now)
        text = page(operator, "/admin/")
        assert "1 failed, 1 off" in text
        assert "dead in 24 hours, 2 waiting" in text
        assert text.count("house-figure--bad") == 2


def test_the_words_for_how_a_channel_is() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    usual: dict[str, Any] = {"state": "on", "failures": 0, "last_failure": "", "state_because": ""}
    for changes, waiting, words in (
        ({}, 0, "nothing sent yet"),
        ({"last_success_at": now - timedelta(minutes=2)}, 5, "last sent 2 minutes ago"),
        ({"failures": 1, "last_failure": "The receiver answered 500."}, 1,
         "1 failure: The receiver answered 500; trying again"),
        ({"failures": 3000, "last_failure": "no"}, 0, "3,000 failures: no"),
        ({"failures": 3, "last_failure": "no", "state": "off"}, 1, "3 failures: no"),
        ({"state": "failed", "state_because": "It is gone.", "failures": 3}, 0, "Switched off by itself: It is gone."),
    ):  # fmt: skip
        assert channel_desk.health(Channel(**{**usual, **changes}), waiting, now) == words
