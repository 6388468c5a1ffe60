"""What becomes of notices that nobody takes: tried on, given up, told of; and what of it is kept, and what never is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from django.db import connection

from alerts import deliveries as outbox
from alerts import roster, schedule, settling, tallies, trials
from alerts.channels.base import Failure, Notice, Receipt
from alerts.channels.webhook import new_secret
from alerts.models import Alert, Delivery
from alerts.sending import Tried
from monitoring.counting import table
from monitoring.store import current_store
from tests import channels
from tests.channels import (
    EVERYONE,
    act,
    attempts,
    channel,
    deliveries,
    drain,
    due_now,
    fire,
    route,
    the,
)
from tests.outbox import (
    URL,
    alerts_about,
    audited,
    broken,
    claim,
    exhausted,
    hook,
    in_thread,
    report,
    report_all,
    told,
)
from tests.receiver import Receiver, Step, answer, close, huge_body, raw, reset

pytestmark = pytest.mark.usefixtures("local_channels")


SAID_NO: tuple[Failure, ...] = ("client", "redirect", "tls", "address", "settings")


class TestGivenUp:
    def test_what_the_receiver_is_not_there_for_is_tried_for_days(self) -> None:
        to, other = hook(), channel(URL)
        alert = fire().state.id
        [one] = claim()
        for number in range(1, schedule.MOST):
            before = outbox.clock()
            report(one, "server", status=503)
            [delivery] = deliveries(channel=to)
            waits = (delivery.next_at - before).total_seconds()
            assert waits == pytest.approx(schedule.LONG[number - 1], abs=5)
            due_now()
            channels.rest_over(to)
            [one] = claim()
        report(one, "server", status=503)
        assert told(to) == [("trigger", "dead")]
        assert the(to).state == "on"
        [about] = alerts_about(to)
        assert (about.severity, about.metadata["tries"], about.metadata["status"]) == ("warning", schedule.MOST, 503)
        assert "still on" in about.message
        assert told(other, alert=about.pk) == [("trigger", "pending")]
        assert [each.number for each in attempts(one.id)] == list(range(1, schedule.MOST + 1))
        act("resolve", alert)
        assert told(to, alert=alert) == [("trigger", "dead"), ("resolve", "skipped")]

    @pytest.mark.parametrize("kind", SAID_NO)
    def test_what_is_refused_for_good_is_tried_a_few_times_and_ends_the_channel(self, kind: Failure) -> None:
        to, other = hook(), channel(URL)
        fire()
        one = exhausted(to, kind, words="It says no.")
        assert one.attempt == len(schedule.SLOW) + 1
        assert (the(to).state, the(to).state_because) == ("failed", "It says no.")
        assert audited("switched_off", to) == 1
        [about] = alerts_about(to)
        assert (about.severity, about.status) == ("critical", "firing")
        assert "switched off" in about.message
        assert told(other) == [("trigger", "pending")]
        fire("another")
        assert [each.channel for each in claim()] == [other]
        assert told(to) == [("trigger", "dead"), ("trigger", "pending")]

    def test_a_channel_through_which_something_got_since_is_not_ended(self) -> None:
        to = hook()
        fire("bad")
        report(*claim(), "client")
        fire("good")
        report(*claim())
        exhausted(to, "client")
        assert the(to).state == "on"
        assert audited("switched_off", to) == 0
        assert [one.severity for one in alerts_about(to)] == ["warning"]

    def test_one_that_gets_through_in_the_same_breath_counts(self) -> None:
        to = hook()
        fire("bad")
        with EVERYONE.enter():
            Delivery.objects.update(attempt=len(schedule.SLOW))
        fire("good")
        bad, good = claim()
        report_all([Tried(claimed=bad, failure="client", took_ms=1), Tried(claimed=good, took_ms=1)])
        assert the(to).state == "on"

    def test_a_receiver_that_is_there_no_more_ends_the_channel_at_once(self) -> None:
        with Receiver([answer(410, b"no more")]) as gone, Receiver() as well:
            to, other = channel(gone.url()), channel(well.url())
            route(to, alert_types=["high*"])
            fire("high")
            drain()
            due_now()
            drain()
            assert len(gone.requests) == 1
            assert the(to).state == "failed"
            assert audited("switched_off", to) == 1
            [request] = well.requests
            body = json.loads(request.body)
            assert (body["type"], body["data"]["alertType"]) == ("alert.triggered", "delivery_failed")
            assert body["data"]["metadata"] == {"failure": "gone", "notThrough": str(to), "status": 410, "tries": 1}
        assert told(to) == [("trigger", "dead")]
        assert told(other) == [("trigger", "sent")]

    def test_a_notice_that_will_never_do_is_given_up_alone(self) -> None:
        to = hook()
        fire("bad")
        fire("good")
        bad, good = claim()
        report(bad, "refused", status=400)
        report(good)
        assert told(to) == [("trigger", "dead"), ("trigger", "sent")]
        assert the(to).state == "on"
        assert attempts(bad.id)[0].status == 400

    def test_several_of_them_are_one_alert(self) -> None:
        to, other = hook(), channel(URL)
        for number in range(3):
            fire(f"kind {number}")
        report_all([Tried(claimed=one, failure="refused", took_ms=1) for one in claim() if one.channel == to])
        [about] = alerts_about(to)
        assert about.count == 3
        assert told(other) == [("trigger", "pending")]

    def test_the_alert_about_a_channel_ends_when_a_notice_gets_through(self) -> None:
        to, other = hook(), channel(URL)
        fire("bad")
        report(*claim(), "refused")
        fire("good")
        for one in claim():
            report(one)
        [about] = alerts_about(to)
        assert (about.status, about.resolve_note) == ("resolved", "A notice got through.")
        assert told(other) == [("trigger", "sent"), ("resolve", "pending")]
        fire("bad again")
        for one in claim():
            report(one, *(["refused"] if one.channel == to else []))  # type: ignore[arg-type]
        assert [(each.episode, each.status) for each in alerts_about(to)] == [(1, "resolved"), (2, "firing")]

    def test_a_test_through_a_channel_that_is_off_does_not_end_it(self) -> None:
        with Receiver([answer(410), answer()]) as receiver:
            to = channel(receiver.url())
            route(to)
            fire()
            drain()
            assert trials.try_out(channel=the(to), by="ada").failure is None
            assert [one.status for one in alerts_about(to)] == ["firing"]
            with EVERYONE.enter():
                roster.switch(channel=the(to), on=True, now=datetime.now(UTC))
            fire("another")
            drain()
            assert [one.status for one in alerts_about(to)] == ["resolved"]

    @pytest.mark.parametrize("retires", [True, False], ids=["retired", "off"])
    def test_the_alert_about_a_channel_ends_with_the_channel(self, retires: bool) -> None:
        """Else another one of that name might fail, and it would only be said once more that one does."""
        to, other = hook(), channel(URL)
        fire()
        report(*claim(), "gone")
        with EVERYONE.enter():
            if retires:
                roster.retire(channel=the(to), now=datetime.now(UTC))
            else:
                roster.switch(channel=the(to), on=False, now=datetime.now(UTC))
        assert settling.end_moot(outbox.clock()) == 1
        assert settling.end_moot(outbox.clock()) == 0
        assert [(one.status, one.resolve_note) for one in alerts_about(to)] == [
            ("resolved", "The channel was switched off.")
        ]
        assert told(other) == [("trigger", "pending"), ("resolve", "pending")]

    def test_a_channel_that_is_renamed_leaves_no_alert_behind(self) -> None:
        to = hook()
        fire("one")
        report(*claim(), "refused")
        with EVERYONE.enter():
            roster._rows(the(to)).update(name="another name")
        fire("two")
        report(*claim(), "refused")
        assert [one.status for one in alerts_about(to)] == ["resolved", "firing"]

    def test_several_that_fail_together_tell_that_it_is_off_and_nothing_milder(self) -> None:
        to = hook()
        for number in range(3):
            fire(f"kind {number}")
        report_all([Tried(claimed=one, failure="gone", took_ms=1) for one in claim()])
        [one] = alerts_about(to)
        assert (one.severity, "is switched off" in one.message, one.count) == ("critical", True, 3)

    def test_one_that_is_tried_in_vain_for_long_is_told_of_before_it_is_given_up(self) -> None:
        to = hook()
        fire()
        [one] = claim()
        report(one, "server")
        assert alerts_about(to) == []
        with EVERYONE.enter():
            Delivery.objects.filter(pk=one.id).update(queued_at=datetime(2026, 1, 1, tzinfo=UTC))
        due_now(one.id)
        report(next(each for each in claim() if each.id == one.id), "server")
        [told_of] = alerts_about(to)
        assert (told_of.severity, told_of.status) == ("warning", "firing")
        assert "has not taken a notice for a while" in told_of.message

    def test_one_that_people_resolved_is_told_of_again_while_it_lasts(self) -> None:
        to, other = hook(), channel(URL)
        fire()
        report(claim()[0], "server", seconds=700)
        [first] = alerts_about(to)
        act("resolve", first.pk)
        due_now()
        channels.rest_over(to)
        [again] = [one for one in claim() if one.channel == to and one.alert]
        report(again, "server", seconds=800)
        assert [one.status for one in alerts_about(to)] == ["resolved", "firing"]
        assert [event for event, _ in told(other)] == ["trigger", "resolve", "trigger"]

    def test_two_broken_channels_do_not_keep_telling_of_each_other(self) -> None:
        for _ in range(2):
            hook()
        fire()
        for _ in range(10):
            due_now()
            for one in claim():
                report(one, "refused")
        with EVERYONE.enter():
            assert Alert.objects.filter(alert_type="delivery_failed").count() == 2
        assert len(deliveries()) == 4
        assert deliveries(done_at=None) == []

    def test_of_what_is_made_up_no_alert_is_raised(self) -> None:
        to = channel(URL, source="demo")
        route(to, source="demo")
        fire(source="demo")
        report(*claim(), "gone")
        assert the(to).state == "failed"
        assert alerts_about(to) == []


CANARY = "canary-7Kq2xW9p"


class TestWhatIsKept:
    def test_every_try_is(self) -> None:
        script = [answer(503, b"busy"), answer(500), reset(), answer(429, b"slow down", {"Retry-After": "1"}),
                  answer(200, b"thanks")]  # fmt: skip
        with Receiver(script) as receiver:
            to = channel(receiver.url())
            route(to)
            fire()
            for _ in script:
                due_now()
                channels.rest_over(to)
                drain()
        [delivery] = deliveries()
        found = attempts(delivery.pk)
        assert [(one.number, one.outcome, one.status, one.answer) for one in found] == [
            (1, "server", 503, "busy"), (2, "server", 500, "ok"), (3, "connection", None, ""),
            (4, "limited", 429, "slow down"), (5, "sent", 200, "thanks"),
        ]  # fmt: skip
        assert all(one.took_ms is not None and 0 <= one.took_ms < 5000 for one in found)
        assert all(bool(one.words) == (one.outcome != "sent") for one in found)
        assert (delivery.state, delivery.attempt, delivery.unsure) == ("sent", 5, True)
        assert (the(to).failures, bool(the(to).last_failure), the(to).last_success_at is not None) == (0, True, True)

    @pytest.mark.parametrize(
        "said",
        [
            "Cannot POST /{canary}",
            "no hook at {url}",
            "unknown: {secret}",
            '{{"path": "\\/hooks\\/{canary}"}}',
            "token={token}",
            "<p>{canary}</p>" + "x" * 70_000,
            "x" * 3990 + "{canary} and on",
            "x" * 990 + "{url}",
        ],
    )
    @pytest.mark.parametrize("status", [200, 404, 503])
    def test_no_secret_of_the_channel_is(self, said: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
        secret, answered = new_secret(), ""
        with Receiver(lambda _: answer(status, answered.encode())) as receiver:
            url = receiver.url(f"/hooks/{CANARY}?key={CANARY}-2")
            answered = said.format(canary=CANARY, url=url, secret=secret, token=f"{CANARY}-2")
            to = channel(given={"url": url, "secret": secret})
            route(to)
            fire()
            with structlog.testing.capture_logs() as logged:
                drain()
            [request] = receiver.requests
            assert request.path.endswith(f"/hooks/{CANARY}?key={CANARY}-2")
        self.demand_hidden(to, secret, str(logged), caplog.text)
        [one] = deliveries(channel=to)
        [tried] = attempts(one.pk)
        assert len(tried.answer) <= 1000

    @pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError])
    def test_none_is_when_our_own_code_fails(
        self, error: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = new_secret()
        to = channel(given={"url": f"http://127.0.0.1:9/{CANARY}", "secret": secret})
        route(to)
        fire()

        def send(notice: Notice, settings: Any, tools: Any) -> Receipt:
            raise error(f"{settings['url']} {settings['secret']}")

        broken(monkeypatch, send)
        with structlog.testing.capture_logs() as logged:
            drain()
        assert error.__name__ in str(logged)
        self.demand_hidden(to, secret, str(logged), caplog.text)

    @staticmethod
    def demand_hidden(to: UUID, secret: str, *logs: str) -> None:
        """In no table that is shown, and in no log."""
        with EVERYONE.enter(), connection.cursor() as cursor:
            tables = ("alerts_delivery", "alerts_attempt", "alerts_channel", "alerts_alert", "alerts_event",
                      "organizations_auditevent")  # fmt: skip
            rows = []
            for table in tables:
                cursor.execute(f"SELECT to_jsonb(one) - 'sealed' FROM {table} AS one")
                rows += [str(row) for row in cursor.fetchall()]
        assert rows
        for text in [*rows, *logs, str(the(to).settings)]:
            assert CANARY not in text
            assert secret not in text
            assert secret.removeprefix("whsec_") not in text


class TestCounted:
    def test_a_test_that_fails_is_no_notice_that_was_given_up(self) -> None:
        table.clear()
        to = hook()
        assert trials.try_out(channel=the(to), by="ada").failure == "connection"
        assert self.counted() == {}
        fire()
        exhausted(to)
        assert self.counted() == {"retried": schedule.MOST - 1, "dead": 1}

    def counted(self) -> dict[str, float]:
        table.flush(datetime.now(UTC))
        found = current_store().counters(EVERYONE, families=[tallies.DELIVERIES, tallies.DELIVERED_AFTER])
        return {dict(one.labels)["outcome"]: one.value for one in found}


class TestPoison:
    @pytest.mark.parametrize(
        "body",
        [b"a\x00b", b"\xed\xa0\x80\xff", b'"\\ud800"', b"x" * 40_000, b"\x1b[31m\r\n", "‮٣".encode(),
         b'{"error": "\\u0000"}'],
    )  # fmt: skip
    @pytest.mark.parametrize("status", [200, 500])
    def test_whatever_a_receiver_writes_can_be_kept(self, body: bytes, status: int) -> None:
        with Receiver([answer(status, body)]) as receiver:
            route(channel(receiver.url()))
            fire()
            drain()
        [delivery] = deliveries()
        [tried] = attempts(delivery.pk)
        assert (delivery.state, tried.status) == ("sent" if status == 200 else "pending", status)
        assert len(tried.answer) <= 1000
        assert "\x00" not in tried.answer

    def test_a_body_without_end_is_cut(self) -> None:
        with Receiver([huge_body()]) as receiver:
            route(channel(receiver.url()))
            fire()
            drain()
        assert told() == [("trigger", "sent")]

    @pytest.mark.parametrize("step", [raw(b"\x00\xff" * 100), close(), raw(b"HTTP/1.1 999 ?\r\n\r\n")])
    def test_what_is_no_answer_is_a_failure(self, step: Step) -> None:
        with Receiver([step]) as receiver:
            route(channel(receiver.url()))
            fire()
            drain()
        assert told() == [("trigger", "pending")]

    def test_code_that_fails_is_tried_again_slowly_and_touches_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def send(notice: Notice, settings: Any, tools: Any) -> Receipt:
            raise RecursionError("too deep")

        broken(monkeypatch, send, "alertmanager")
        with Receiver() as receiver:
            sick, well = channel(receiver.url(), kind="alertmanager"), channel(receiver.url())
            route(sick, well)
            fire()
            drain()
        assert told(sick) == [("trigger", "pending")]
        assert told(well) == [("trigger", "sent")]
        [delivery] = deliveries(channel=sick)
        [tried] = attempts(delivery.pk)
        assert (tried.outcome, tried.words) == ("fault", "The channel's own code failed: RecursionError.")
        assert delivery.next_at > outbox.clock() + timedelta(seconds=30)
        assert delivery.unsure

    def test_a_channel_of_a_kind_that_is_no_more_fails_alone(self) -> None:
        to = hook()
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_channel SET kind = 'pigeon'")
        fire()
        drain()
        [delivery] = deliveries()
        assert [one.outcome for one in attempts(delivery.pk)] == ["settings"]
        assert the(to).state == "on"

    def test_secrets_that_cannot_be_read_any_more_are_said_to_be(self) -> None:
        hook()
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_channel SET sealed = 'gAAAAA'")
        fire()
        drain()
        [delivery] = deliveries()
        [tried] = attempts(delivery.pk)
        assert tried.outcome == "settings"
        assert "cannot be read" in tried.words

    @pytest.mark.parametrize(
        "reference", [{"ts": "1\x002"}, {"ts": "\ud800"}, {"\x00": "1"}, {"ts": object()}, {"ts": float("nan")}]
    )
    def test_what_the_database_refuses_is_written_down_without_it_and_keeps_nobody(
        self, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def send(notice: Notice, settings: Any, tools: Any) -> Receipt:
            return Receipt(status=200, answer="ok", reference=reference)

        broken(monkeypatch, send, "alertmanager")
        with Receiver() as receiver:
            sick, well = channel(receiver.url(), kind="alertmanager"), channel(receiver.url())
            route(sick, well)
            for number in range(3):
                fire(f"kind {number}")
            drain()
        assert told(well) == [("trigger", "sent")] * 3
        assert told(sick) == [("trigger", "sent")] * 3
        assert claim(60) == []

    def test_slack_cannot_make_us_send_for_ever(self) -> None:
        body = b'{"ok": true, "channel": "C0123456789", "ts": "1\\u0000"}'
        with Receiver([answer(200, body)]) as receiver:
            given = {"token": "xoxb-1-abcdefghij", "channel": "C0123456789", "api_url": receiver.url("/api")}
            to = channel(kind="slack", given=given)
            route(to)
            fire()
            drain()
            due_now()
            assert claim(60) == []
            assert len(receiver.requests) == 1
        assert told(to) == [("trigger", "sent")]

    def test_a_transport_that_breaks_its_word_is_a_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers: list[Any] = [None, Receipt(answer=None), Receipt(answer=b"x", status=200)]  # type: ignore[arg-type]
        broken(monkeypatch, lambda *_: answers.pop())
        hook()
        for number in range(3):
            fire(f"kind {number}")
        with in_thread(lambda: drain(seconds=5)):
            pass
        assert {one.state for one in deliveries()} == {"pending"}
        assert {one.outcome for delivery in deliveries() for one in attempts(delivery.pk)} == {"fault"}
