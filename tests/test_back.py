"""PagerDuty's webhook back, over the wire: what people do there is done here, and nothing that anybody else says is."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from alerts import serializers
from alerts.models import Alert, AlertEvent
from organizations.models import AuditEvent
from tests.channels import EVERYONE, OTHER, OWN, act, channel, deliveries, events, fire, route

SECRET, ANOTHER = "a webhook secret of the tests", "a webhook secret of others"
Change = Callable[[bytes], bytes]


@pytest.fixture(autouse=True)
def ground(database: str) -> None:
    """Every test has the database."""


def pager(organization: str = OWN, secret: str = SECRET, **columns: Any) -> UUID:
    given = {"routing_key": "R0" * 16, "webhook_secret": secret}
    return channel(kind="pagerduty", organization=organization, given=given, **columns)


def key_of(alert: UUID) -> str:
    with EVERYONE.enter():
        found = Alert.objects.get(pk=alert)
    return f"{found.organization_id}:{found.fingerprint}:{found.episode}"


def event(key: object, verb: str = "acknowledged", agent: object = None, **more: Any) -> bytes:
    agent = {"type": "user_reference", "summary": "Ada Lovelace"} if agent is None else agent
    data = {"id": "PGR0VU2", "type": "incident", "number": 2, "incident_key": key}
    return json.dumps(
        {"event": {"id": "01C", "event_type": f"incident.{verb}", "agent": agent, "data": data, **more}}
    ).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def post(to: object, body: bytes, signed: str | None = None, **headers: str) -> Any:
    given = {"x-pagerduty-signature": signature(body) if signed is None else signed, **headers}
    return Client(raise_request_exception=False).generic(
        "POST", f"/api/monitoring/channels/{to}/pagerduty", body, content_type="application/json", headers=given
    )


def done(answer: Any) -> bool:
    assert answer.status_code == 200, answer.content
    assert list(answer.json()) == ["done"]
    return bool(answer.json()["done"])


def status(alert: UUID) -> str:
    with EVERYONE.enter():
        return Alert.objects.get(pk=alert).status


def lines(alert: UUID) -> list[tuple[str, str, str]]:
    with EVERYONE.enter():
        return list(AlertEvent.objects.filter(alert=alert).order_by("id").values_list("kind", "actor", "via"))


class TestWhatPeopleDoThere:
    def test_it_is_done_here(self) -> None:
        to, alert = pager(), fire().state.id
        expected = ["acknowledged", "firing", "acknowledged", "resolved", "firing"]
        verbs = ["acknowledged", "unacknowledged", "acknowledged", "resolved", "reopened"]
        for verb, left in zip(verbs, expected, strict=True):
            assert done(post(to, event(key_of(alert), verb)))
            assert status(alert) == left
        kinds = ["fired", "acknowledged", "unacknowledged", "acknowledged", "resolved", "reopened"]
        assert [kind for kind, _, _ in lines(alert)] == kinds
        assert {(by, via) for _, by, via in lines(alert)[1:]} == {("Ada Lovelace in PagerDuty", "pagerduty")}

    def test_it_is_in_the_timeline_and_in_the_trail(self) -> None:
        to, alert = pager(), fire().state.id
        post(to, event(key_of(alert)))
        with EVERYONE.enter():
            found = Alert.objects.get(pk=alert)
            assert (found.acknowledged_by, found.acknowledge_note) == (
                "Ada Lovelace in PagerDuty", "In PagerDuty, incident 2."
            )  # fmt: skip
            [row] = AuditEvent.objects.filter(action="acknowledged", object_id=str(alert))
            assert row.actor == "Ada Lovelace in PagerDuty"

    def test_others_who_were_told_hear_of_it(self) -> None:
        to, hook = pager(), channel("http://127.0.0.1:9/hook")
        route(to, hook)
        alert = fire().state.id
        post(to, event(key_of(alert)))
        assert events(deliveries(channel=hook)) == [("trigger", "pending"), ("acknowledge", "pending")]

    def test_once_more_it_changes_nothing(self) -> None:
        to, alert = pager(), fire().state.id
        body = event(key_of(alert), "resolved")
        for _ in range(3):
            assert done(post(to, body))
        assert [kind for kind, _, _ in lines(alert)] == ["fired", "resolved"]

    def test_what_an_alert_does_not_allow_is_no_error(self) -> None:
        to, alert = pager(), fire().state.id
        act("resolve", alert)
        assert done(post(to, event(key_of(alert), "acknowledged")))
        assert status(alert) == "resolved"
        fire()
        assert done(post(to, event(key_of(alert), "reopened")))
        assert status(alert) == "resolved"

    def test_it_is_of_the_episode_that_was_told(self) -> None:
        to, first = pager(), fire().state.id
        act("resolve", first)
        second = fire().state.id
        assert done(post(to, event(key_of(second), "resolved")))
        assert (status(first), status(second)) == ("resolved", "resolved")
        third = fire().state.id
        assert done(post(to, event(key_of(second), "resolved")))
        assert status(third) == "firing"

    @pytest.mark.parametrize(
        "name", ["", "x" * 500, "<b>\u202eada</b>\n\r\x00\x1b[31m", "\u00e4\u00f6\u00fc\U0001f600"]
    )
    def test_whatever_they_are_called(self, name: str) -> None:
        to, alert = pager(), fire().state.id
        assert done(post(to, event(key_of(alert), agent={"type": "user_reference", "summary": name})))
        [_, (_, by, _)] = lines(alert)
        assert by.endswith("PagerDuty") or len(by) == 150
        assert not {"\x00", "\x1b", "\u202e", "\n"} & set(by)

    @pytest.mark.parametrize("type_", ["user_reference", "user"])
    def test_people_are_those_of_the_type_user(self, type_: str) -> None:
        to, alert = pager(), fire().state.id
        assert done(post(to, event(key_of(alert), agent={"type": type_, "summary": "Ada"})))

    @pytest.mark.parametrize(
        "agent",
        [
            {"type": "service_reference", "summary": "us"},
            {"type": "inbound_integration_reference"},
            {},
            None,
            "user",
            7,
        ],
    )
    def test_what_machines_do_there_is_no_news(self, agent: Any) -> None:
        """Our own ends come back, and an incident that times out mends nothing."""
        to, alert = pager(), fire().state.id
        raw = json.loads(event(key_of(alert), "resolved"))
        raw["event"]["agent"] = agent
        assert not done(post(to, json.dumps(raw).encode()))
        assert status(alert) == "firing"


class TestWhoIsBelieved:
    def refused(self, answer: Any) -> bytes:
        assert answer.status_code == 403, answer.content
        assert answer["Content-Type"] == "application/problem+json"
        told = answer.json()
        for name in ("requestId", "instance"):  # of the request itself
            told.pop(name, None)
        return json.dumps(told).encode()

    def test_a_wrong_signature_and_a_wrong_address_are_told_the_same(self) -> None:
        alert = fire().state.id
        body, right = event(key_of(alert)), pager()
        hook = channel("http://127.0.0.1:9/hook")
        told = {
            self.refused(one)
            for one in (
                post(right, body, signature(body, ANOTHER)),
                post(right, body, signature(body + b" ")),
                post(right, body, ""),
                post(right, body, "v1="),
                post(right, body, "v1=" + "0" * 64),
                post(right, body, signature(body).upper()),
                post(right, body, signature(body).replace("v1", "v0")),
                post(right, body, ",".join(["v1=" + "0" * 64] * 10 + [signature(body)])),
                post(right, body, "\u00e9"),
                post(uuid4(), body),
                post(str(right).upper(), body),
                post("1", body),
                post("x" * 300, body),
                post(hook, body),
                post(pager(secret=""), body),
                post(pager(secret=""), body, signature(body, "")),
                post(pager(state="off"), body),
                post(pager(state="retired"), body),
            )
        }
        assert len(told) == 1
        assert status(alert) == "firing"

    def test_a_signature_among_several_is_enough(self) -> None:
        """Two are sent while a secret is changed."""
        to, alert = pager(), fire().state.id
        body = event(key_of(alert))
        assert done(post(to, body, f"{signature(body, ANOTHER)}, {signature(body)}"))

    def test_a_channel_that_failed_is_still_heard(self) -> None:
        to, alert = pager(state="failed"), fire().state.id
        assert done(post(to, event(key_of(alert))))

    def test_keys_and_sessions_have_no_say(self, make_key: Callable[..., str]) -> None:
        alert = fire().state.id
        body, to = event(key_of(alert)), pager()
        key = make_key(OWN, "alerts:write")
        self.refused(post(to, body, "", authorization=f"Bearer {key}"))
        assert done(post(to, body, authorization="Bearer nonsense"))

    def test_only_a_post_is_taken(self) -> None:
        answer = Client().get(f"/api/monitoring/channels/{pager()}/pagerduty")
        assert answer.status_code == 405


class TestWhoseAlertsTheyAre:
    def test_another_organizations_are_not_touched(self) -> None:
        ours, theirs = fire().state.id, fire(organization=OTHER).state.id
        here, there = pager(), pager(OTHER, ANOTHER)
        assert not done(post(here, event(key_of(theirs), "resolved")))
        body = event(key_of(ours), "resolved")
        assert not done(post(there, body, signature(body, ANOTHER)))
        with EVERYONE.enter():
            fingerprint = Alert.objects.get(pk=theirs).fingerprint
        assert not done(post(here, event(f"{OWN}:{fingerprint}:1", "resolved")))
        assert (status(ours), status(theirs)) == ("firing", "firing")

    @pytest.mark.parametrize(
        "key",
        [
            "", ":", "::", OWN, f"{OWN}:", f"{OWN}::1", f"{OWN}:0:0", f"{OWN}:{'0' * 64}:1", f"{OWN}:{'0' * 64}:-1",
            f"{OWN}:{'0' * 64}:9999999999", f"{OWN}:{'0' * 64}:999999999", f"{OWN}:{'0' * 64}:\u0661", "x" * 256,
            "x" * 10_000, f"{OWN}:\x00:1", f"{OWN}:\ud800:1", f"{OWN}:'; DROP TABLE alerts_alert; --:1", 7, None,
            [], {}, "of others",
        ],
    )  # fmt: skip
    def test_keys_that_are_none_of_ours_do_nothing(self, key: Any) -> None:
        to, alert = pager(), fire().state.id
        assert not done(post(to, event(key)))
        assert len(lines(alert)) == 1


class TestWhatItIsSent:
    @pytest.mark.parametrize(
        "body",
        [
            b"", b"null", b"7", b"[]", b"{}", b'{"event": null}', b'{"event": []}', b'{"event": {"event_type": 1}}',
            b'{"event": {"event_type": "incident.acknowledged"}}', b"\xff\xfe", b"{" * 5000, b"[" * 100_000,
            b'{"event": {"event_type": "pagey.ping"}}', b'{"event": {"event_type": "incident.annotated"}}',
            b'{"event": "\\ud800"}', b"\x00",
        ],
    )  # fmt: skip
    def test_garbage_is_read_and_nothing_is_done(self, body: bytes) -> None:
        assert not done(post(pager(), body))

    def test_other_happenings_are_no_news(self) -> None:
        to, alert = pager(), fire().state.id
        for verb in ("triggered", "escalated", "reassigned", "priority_updated", "", "acknowledged.", "ACKNOWLEDGED"):
            assert not done(post(to, event(key_of(alert), verb)))
        assert len(lines(alert)) == 1

    def test_what_is_too_large_is_refused_before_it_is_read(self) -> None:
        to, alert = pager(), fire().state.id
        body = event(key_of(alert), padding="x" * serializers.MAX_BODY)
        answer = post(to, body)
        assert answer.status_code == 413
        assert answer["Content-Type"] == "application/problem+json"
        assert status(alert) == "firing"

    def test_the_largest_is_taken(self) -> None:
        to, alert = pager(), fire().state.id
        short = event(key_of(alert), padding="")
        body = event(key_of(alert), padding="x" * (serializers.MAX_BODY - len(short)))
        assert len(body) == serializers.MAX_BODY
        assert done(post(to, body))

    def test_the_moment_is_our_own(self) -> None:
        """What clocks elsewhere say is not believed."""
        to, alert = pager(), fire().state.id
        assert done(post(to, event(key_of(alert), occurred_at="1999-01-01T00:00:00Z")))
        with EVERYONE.enter():
            found = Alert.objects.get(pk=alert)
        assert found.acknowledged_at is not None
        assert abs((datetime.now(UTC) - found.acknowledged_at).total_seconds()) < 60
