"""The outbox on real Postgres: claimed, sent, reported on; in order, at a pace, by any number of processes at once."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import OperationalError, connection

from alerts import deliveries as outbox
from alerts import expiry, lifecycle, roster, schedule, sending, settling, trials
from alerts.channels import TRANSPORTS
from alerts.channels.base import Failure
from alerts.claims import Claimed
from alerts.deliveries import LEASE
from alerts.dispatching import Dispatcher
from alerts.models import Attempt, Delivery
from alerts.sending import Tried
from alerts.states import Report
from organizations.scope import Scope
from tests import channels
from tests.channels import (
    EVERYONE,
    OTHER,
    OWN,
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
from tests.conftest import url_of
from tests.outbox import (
    EVER,
    URL,
    alerts_about,
    claim,
    hook,
    in_thread,
    only,
    race,
    report,
    report_all,
    told,
)
from tests.receiver import Receiver, Request, Step, answer, hang
from tests.servers import await_true

pytestmark = pytest.mark.usefixtures("local_channels")


class TestOrder:
    def test_each_notice_of_an_alert_waits_for_the_one_before(self) -> None:
        to = hook()
        alert = fire(severity="warning").state.id
        act("acknowledge", alert)
        fire(severity="critical")
        act("resolve", alert)
        seen = []
        while found := claim():
            [one] = found
            assert claim() == []
            seen.append(one.event)
            report(one)
        assert seen == ["trigger", "acknowledge", "trigger", "resolve"]
        assert {state for _, state in told(to)} == {"sent"}

    def test_it_waits_through_every_retry(self) -> None:
        hook()
        act("resolve", fire().state.id)
        for failures in range(1, 5):
            [one] = claim()
            report(one, "server")
            assert claim(3) == []
            due_now()
            channels.rest_over(one.channel)
            assert one.attempt == failures
        [one] = claim()
        assert one.event == "trigger"
        report(one)
        [last] = claim()
        assert last.event == "resolve"

    def test_other_alerts_and_other_channels_do_not_wait(self) -> None:
        first, second = hook(), hook()
        for kind in ("one", "two"):
            act("resolve", fire(kind).state.id)
        found = claim()
        assert Counter((one.channel, one.event) for one in found) == {(first, "trigger"): 2, (second, "trigger"): 2}
        for one in found:
            if one.channel == first:
                report(one)
        assert {(one.channel, one.event) for one in claim()} == {(first, "resolve")}

    def test_the_oldest_due_are_first(self) -> None:
        hook()
        alerts = [fire(f"kind {number}").state.id for number in range(10)]
        assert [one.alert and one.alert.id for one in claim(most=4)] == alerts[:4]
        assert [one.alert and one.alert.id for one in claim(most=4)] == alerts[4:8]

    def test_nobody_is_told_of_an_end_whose_beginning_was_given_up_meanwhile(self) -> None:
        """As when both are written down at the same moment, and neither sees the other."""
        to = hook()
        alert = fire().state.id
        act("resolve", alert)
        with EVERYONE.enter():
            Delivery.objects.filter(event="trigger").update(state="dead", because="refused", done_at=EVER)
        assert claim() == []
        outbox.skip_unheard(now=outbox.clock())
        assert told(to) == [("trigger", "dead"), ("resolve", "skipped")]

    def test_nobody_is_told_a_second_time_that_it_is_over(self) -> None:
        to = hook()
        alert = fire().state.id
        act("resolve", alert)
        for _ in range(2):
            report(*claim())
        act("reopen", alert)
        report(*claim(), "refused")
        act("resolve", alert)
        mine = told(to, alert=alert)
        assert mine == [("trigger", "sent"), ("resolve", "sent"), ("trigger", "dead"), ("resolve", "skipped")]

    def test_whoever_has_heard_of_it_once_hears_of_its_end(self) -> None:
        to = hook()
        alert = fire(severity="warning").state.id
        report(*claim())
        fire(severity="critical")
        report(*claim(), "refused")
        act("resolve", alert)
        assert told(to, alert=alert) == [("trigger", "sent"), ("trigger", "dead"), ("resolve", "pending")]


class TestFence:
    def test_who_was_away_for_longer_than_its_lease_is_not_heard(self) -> None:
        hook()
        fire()
        [asleep] = claim()
        [other] = claim(LEASE.total_seconds() + 1)
        assert (asleep.id, asleep.key) == (other.id, other.key)
        report(asleep, "refused")
        [delivery] = deliveries()
        assert (delivery.state, delivery.attempt) == ("sending", 2)
        report(other)
        report(asleep, "refused")
        assert [(one.number, one.outcome) for one in attempts(other.id)] == [(1, "lost"), (2, "sent")]
        assert only(delivery).state == "sent"
        assert alerts_about(other.channel) == []

    def test_who_is_late_and_was_not_replaced_is_heard(self) -> None:
        hook()
        fire()
        [one] = claim()
        report(one, seconds=60)
        assert claim(120) == []
        assert [(each.number, each.outcome) for each in attempts(one.id)] == [(1, "sent")]

    def test_a_report_is_heard_once(self) -> None:
        hook()
        fire()
        [one] = claim()
        report(one, "server")
        report(one, "refused")
        report(one)
        assert told() == [("trigger", "pending")]
        assert [each.outcome for each in attempts(one.id)] == ["server"]

    def test_what_is_being_written_down_is_claimed_by_nobody(self) -> None:
        """Its lease is over, and its report has come: either is first, and nobody waits for the other."""
        hook()
        fire()
        [one] = claim()
        found: list[Claimed] = []
        with outbox.SCOPE.enter():
            report(one, "server")
            with in_thread(lambda: found.extend(claim(LEASE.total_seconds() + 1))) as claiming:
                claiming.join(1.0)
                assert not claiming.is_alive(), "it waits for us"
        assert found == []
        [delivery] = deliveries()
        assert (delivery.state, delivery.attempt) == ("pending", 1)
        assert [each.outcome for each in attempts(one.id)] == ["server"]

    def test_claims_and_reports_never_wait_for_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A claim that comes while a report is half written: its delivery is, its channel is not."""
        hook()
        fire()
        [one] = claim()
        found: list[Claimed] = []

        def reach(name: str) -> None:
            if name == "delivery.settling":
                with in_thread(lambda: found.extend(claim(LEASE.total_seconds() + 1))) as claiming:
                    claiming.join(1.0)
                    assert not claiming.is_alive(), "it waits for us, who will wait for it"

        monkeypatch.setattr(outbox.failpoints, "reach", reach)
        report(one)
        assert found == []
        assert told() == [("trigger", "sent")]

    def test_what_is_dropped_as_old_at_that_moment_is_not_claimed(self) -> None:
        hook()
        act("resolve", fire().state.id)
        found: list[Claimed] = []
        race(lambda: expiry.expire(outbox.clock() + timedelta(hours=25)), lambda: found.extend(claim()))
        assert [one.event for one in found] in ([], ["summary"])
        assert told(event="trigger") == [("trigger", "expired")]

    def test_a_claim_that_came_first_keeps_the_report_out(self) -> None:
        hook()
        fire()
        [one] = claim()
        again: list[Claimed] = []
        race(lambda: again.extend(claim(LEASE.total_seconds() + 1)), lambda: report(one))
        assert [each.attempt for each in again] == [2]
        assert told() == [("trigger", "sending")]

    def test_whoever_stood_still_after_its_claim_sends_nothing(self) -> None:
        with Receiver() as receiver:
            route(channel(receiver.url()))
            fire()
            now, long_ago = outbox.clock(), time.monotonic() - LEASE.total_seconds()
            [one], _ = outbox.claim(now=now, most=1, asked_at=long_ago)
            report_all([sending.send(one)])
            assert receiver.connections == 0
        assert [(each.outcome, each.words) for each in attempts(one.id)] == [
            ("lost", "The process that was to send it stood still.")
        ]
        assert told() == [("trigger", "pending")]


class TestLease:
    def test_what_its_sender_lost_is_sent_by_another_under_the_same_name(self) -> None:
        with Receiver() as receiver:
            to = channel(receiver.url())
            route(to)
            fire()
            [lost] = claim()
            assert claim(LEASE.total_seconds() - 1) == []
            [again] = claim(LEASE.total_seconds())
            report_all([sending.send(again)])
            [request] = receiver.await_requests(1)
        assert request.headers["webhook-id"] == f"msg_{lost.key.hex}"
        first, second = attempts(lost.id)
        assert (first.outcome, first.took_ms, first.status) == ("lost", None, None)
        assert (second.outcome, second.status, second.number) == ("sent", 200, 2)
        [delivery] = deliveries()
        assert (delivery.state, delivery.unsure) == ("sent", True)

    def test_what_is_being_sent_at_the_end_is_given_back(self) -> None:
        with Receiver([hang()]) as receiver:
            route(channel(receiver.url()))
            fire()
            dispatcher = Dispatcher(threads=2)
            dispatcher.turn(0)
            receiver.await_requests(1)
            dispatcher.end(0.0)
            [delivery] = deliveries()
            assert (delivery.state, delivery.attempt, delivery.unsure) == ("pending", 1, True)
            assert [one.outcome for one in attempts(delivery.pk)] == ["lost"]
            [one] = claim()
            assert one.attempt == 2

    def test_one_that_cannot_be_read_keeps_no_other(self) -> None:
        """As a newer version may have written it: it is put off, and stands in the log."""
        hook()
        odd, fine = fire("odd").state.id, fire("fine").state.id
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute('UPDATE alerts_alert SET suppressed_by = \'[{"kind": "vanished"}]\' WHERE id = %s', [odd])
        assert [one.alert.id for one in claim() if one.alert] == [fine]
        [left] = deliveries(alert=odd)
        assert (left.state, left.attempt, left.unsure) == ("pending", 1, False)
        assert left.next_at > outbox.clock() + timedelta(minutes=9)
        assert [one.outcome for one in attempts(left.pk)] == ["fault"]
        assert claim() == []
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_alert SET suppressed_by = '[]' WHERE id = %s", [odd])
        [readable] = [one for one in claim(601) if one.alert and one.alert.id == odd]
        assert (readable.attempt, readable.tries) == (2, 1), "nobody tried it before"

    def test_what_ends_every_process_that_sends_it_is_given_up(self) -> None:
        to = hook()
        fire()
        for number in range(1, schedule.MOST + 1):
            [one] = claim(number * (LEASE.total_seconds() + 1))
            assert one.attempt == number
        with Receiver() as receiver:
            self.lead(to, receiver.url())
            [one] = claim((schedule.MOST + 1) * (LEASE.total_seconds() + 1))
            report_all([sending.send(one)])
            assert receiver.connections == 0
        assert {each.outcome for each in attempts(one.id)} == {"lost"}
        assert told(to) == [("trigger", "dead")]
        assert [alert.severity for alert in alerts_about(to)] == ["warning"]
        assert the(to).state == "on"

    @staticmethod
    def lead(to: UUID, url: str) -> None:
        with EVERYONE.enter():
            found = roster.read_settings(TRANSPORTS["webhook"], {"url": url, "secret": ""}, client=channels.LOCAL,
                                         kept=roster.secrets_of(the(to)))  # fmt: skip
            roster.change_channel(channel=the(to), name="elsewhere", audience="developer", settings=found,
                                  now=datetime.now(UTC))  # fmt: skip

    def test_one_that_waits_for_the_end_is_not_sent_twice(self) -> None:
        """A helper whose time is over waits for a slow receiver, whom others would tell once more meanwhile."""
        with Receiver([answer(delay=1.0)]) as receiver:
            route(channel(receiver.url()))
            fire()
            assert drain(seconds=0.2) == 1
            assert len(receiver.requests) == 1
        assert told() == [("trigger", "sent")]


class TestSeveralDispatchers:
    def test_every_notice_is_sent_exactly_once_and_in_order(self) -> None:
        here, there = threading.Lock(), Counter[str]()

        def take(request: Request) -> Step:
            name = json.loads(request.body)["data"]["dedupKey"] + request.path
            with here:
                there[name] += 1
                assert there[name] == 1, "two of one alert at once"
            return answer(delay=0.005)

        def done(name: str) -> None:
            with here:
                there[name] -= 1

        def send(one: Claimed) -> Tried:
            tried = sending.send(one)
            assert one.alert is not None
            path = "/a" if one.channel == first else "/b"
            done(f"{one.organization}:{one.alert.fingerprint}:{one.alert.episode}{path}")
            return tried

        with Receiver(take) as receiver:
            first, second = channel(receiver.url("/a")), channel(receiver.url("/b"))
            route(first, second)
            for number in range(40):
                act("resolve", fire(f"kind {number}").state.id)
            with ended_threads(4, lambda: Dispatcher(threads=4, send=send).drain(30)):
                pass
            requests = receiver.requests
        assert len({request.headers["webhook-id"] for request in requests}) == len(requests) == 160
        assert {one.state for one in deliveries()} == {"sent"}
        assert {one.attempt for one in deliveries()} == {1}
        for path in ("/a", "/b"):
            lines: dict[str, list[str]] = {}
            for request in requests:
                if request.path == path:
                    body = json.loads(request.body)
                    lines.setdefault(body["data"]["dedupKey"], []).append(body["type"])
            assert len(lines) == 40
            assert set(map(tuple, lines.values())) == {("alert.triggered", "alert.resolved")}

    def test_they_keep_to_the_pace_and_the_number_at_once_together(self) -> None:
        at_once, most, lock = 0, 0, threading.Lock()

        def send(one: Claimed) -> Tried:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.002)
            with lock:
                at_once -= 1
            return Tried(claimed=one, took_ms=1)

        to = channel(URL, at_once=3, per_minute=60_000, burst=1000)
        route(to)
        for number in range(60):
            fire(f"kind {number}")
        with ended_threads(3, lambda: drain_all(send)):
            pass
        assert told() == [("trigger", "sent")] * 60
        assert 0 < most <= 3


def drain_all(send: Callable[[Claimed], Tried]) -> None:
    """By one dispatcher of several, until nothing of anybody's waits."""
    dispatcher = Dispatcher(threads=8, send=send)
    assert await_true(lambda: not dispatcher.turn(0.01) or not deliveries(done_at=None), 60)
    dispatcher.end()


@contextmanager
def ended_threads(number: int, work: Callable[[], Any]) -> Iterator[None]:
    """That many at it at once; their ends are waited for."""
    if not number:
        yield
        return
    with in_thread(work), ended_threads(number - 1, work):
        yield


def fire_many(number: int) -> list[lifecycle.Fired]:
    reports = [Report(alert_type=f"kind {one}", severity="warning", message="It is wrong") for one in range(number)]
    return lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=outbox.clock(), via="api")


class TestPace:
    def claims(self, seconds: float, step: float = 0.1, most: int = 50) -> list[float]:
        """When each was claimed, over so many seconds of looking every `step`, by receivers that answer at once."""
        began, moments = outbox.clock(), []
        for tick in range(round(seconds / step)):
            at = began + timedelta(seconds=tick * step)
            found, paced = outbox.claim(now=at, most=most)
            moments += [tick * step] * len(found)
            settling.settle([Tried(claimed=one, took_ms=1) for one in found], now=at)
            assert paced or not deliveries(done_at=None), "somebody has to come back for what is left"
        return moments

    @pytest.mark.parametrize(("per_minute", "burst"), [(60, 5), (60, 1), (600, 10), (90, 3)])
    def test_it_is_never_faster_than_its_pace_and_its_burst(self, per_minute: int, burst: int) -> None:
        route(channel(URL, per_minute=per_minute, burst=burst, at_once=100))
        number = burst + per_minute // 5
        for each in range(number):
            fire(f"kind {each}")
        moments = self.claims(15.0)
        assert len(moments) == number
        assert moments[:burst] == [0.0] * burst
        for first, last in itertools.combinations(range(number), 2):
            allowed = burst + (moments[last] - moments[first]) * per_minute / 60
            assert last - first + 1 <= allowed + 1e-6
        assert moments[-1] <= (number - burst) * 60 / per_minute + 0.2  # and not slower either

    def test_what_is_not_used_is_kept_as_a_burst_and_no_more(self) -> None:
        route(channel(URL, per_minute=60, burst=5, at_once=100))
        fire("first")
        report(*claim())
        for number in range(20):
            fire(f"kind {number}")
        assert len(claim(3600)) == 5
        assert len(claim(3600)) == 0
        assert len(claim(3601.01)) == 1

    def test_no_more_are_sent_at_once_than_may_be(self) -> None:
        to = channel(URL, at_once=3, per_minute=100_000, burst=1000)
        route(to)
        for number in range(10):
            fire(f"kind {number}")
        found = claim()
        assert len(found) == 3
        assert claim(1) == []
        report(found[0])
        assert len(claim(2)) == 1
        assert len(claim(LEASE.total_seconds() + 1)) == 2  # those of the first claim were lost

    def test_a_channel_that_fails_is_tried_with_one_at_a_time(self) -> None:
        """So that many hung ones do not hold every thread there is."""
        to = channel(URL, at_once=8, failures=schedule.PATIENCE)
        route(to)
        for number in range(10):
            fire(f"kind {number}")
        [one] = claim()
        assert claim() == []
        report(one)
        assert len(claim()) == 8

    def test_each_channel_has_a_fair_share(self) -> None:
        busy, calm = channel(URL, at_once=100, burst=200), channel(URL)
        route(busy, name="busy", alert_types=["kind*"])
        route(calm, name="calm", alert_types=["calm*"])
        for number in range(30):
            fire(f"kind {number}")
        for number in range(3):
            fire(f"calm {number}")
        found = claim(most=8)
        assert Counter(one.channel for one in found) == {busy: 5, calm: 3}

    def test_a_hung_channel_holds_nobody_else(self) -> None:
        with Receiver([hang()]) as hung, Receiver() as well:
            route(channel(hung.url()), channel(well.url()))
            for number in range(60):
                fire(f"kind {number}")
            with in_thread(lambda: drain(seconds=4, threads=32)):
                began = time.monotonic()
                requests = well.await_requests(60, 20)
                assert requests[-1].at - began < 5.0
            assert hung.requests
        assert all(one.state == "sent" or one.attempt <= 2 for one in deliveries())
        assert {one.state for one in deliveries()} == {"sent", "pending"}

    def test_after_an_outage_what_waits_is_told_at_the_usual_pace(self) -> None:
        """Two hours away, five hundred alerts on: most of them over, which is one notice; no herd follows."""
        to = channel(URL, per_minute=60, burst=5, at_once=100)
        route(to)
        fired = [one.state.id for one in fire_many(500)]
        for alert in fired[50:]:
            act("resolve", alert)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_delivery SET queued_at = queued_at - interval '2 hours', next_at = now()")
        assert expiry.sum_up(outbox.clock()) == 450
        heard: list[str] = []
        for second in range(120):
            claimed = claim(second)
            heard += [one.event for one in claimed]
            report_all([Tried(claimed=one, took_ms=1) for one in claimed], second)
            assert len(heard) <= 5 + second + 1
        assert Counter(heard) == {"trigger": 50, "summary": 1}

    def test_another_process_at_a_channel_is_not_waited_for(self, database: str) -> None:
        first, second = hook(), hook()
        fire()
        with psycopg.connect(url_of(database)) as other:
            other.execute("SELECT FROM alerts_channel WHERE id = %s FOR NO KEY UPDATE", [first])
            found, soon = outbox.claim(now=outbox.clock(), most=10)
            assert [one.channel for one in found] == [second]
            assert soon, "it may have looked before our alert was there"
        assert [one.channel for one in claim()] == [first]


class TestRest:
    def test_a_receiver_that_is_away_is_left_in_peace_for_a_while(self) -> None:
        to = channel(URL, at_once=4)
        route(to)
        for number in range(20):
            fire(f"kind {number}")
        report_all([Tried(claimed=one, failure="connection", took_ms=1) for one in claim(most=2)])
        assert len(claim(most=2)) == 2
        for one in claim(LEASE.total_seconds() + 1, most=2):
            report(one, "connection", seconds=LEASE.total_seconds() + 1)
        assert claim(LEASE.total_seconds() + 1) == []
        assert the(to).failures == 4
        assert len(claim(LEASE.total_seconds() + 5)) == 1

    @pytest.mark.parametrize("kind", ["refused", "fault"])
    def test_it_does_not_rest_for_what_says_nothing_of_its_receiver(self, kind: Failure) -> None:
        to = channel(URL)
        route(to)
        for number in range(6):
            fire(f"kind {number}")
        for _ in range(4):
            report(claim(most=1)[0], kind)
        assert len(claim(most=1)) == 1

    def test_the_whole_channel_waits_as_long_as_its_receiver_asks(self) -> None:
        to = hook()
        for number in range(3):
            fire(f"kind {number}")
        report(claim(most=1)[0], "limited", retry_after=60.0, status=429)
        assert outbox.claim(now=outbox.clock() + timedelta(seconds=59), most=10) == ([], False), (
            "nobody looks meanwhile"
        )
        assert len(claim(61)) == 3
        assert the(to).state == "on"

    def test_others_do_not_wait_with_it(self) -> None:
        asked, other = hook(), hook()
        fire()
        for one in claim():
            report(one, *(["limited"] if one.channel == asked else []), retry_after=60.0)  # type: ignore[arg-type]
        fire("another")
        assert [one.channel for one in claim(1)] == [other]

    def test_what_was_under_way_when_it_asked_does_not_end_its_rest(self) -> None:
        hook()
        for number in range(4):
            fire(f"kind {number}")
        first, second, third = claim(most=3)
        report(first, "limited", retry_after=60.0)
        report(second)
        assert claim(30) == []
        report_all([Tried(claimed=third, took_ms=1)])
        assert claim(59) == []
        assert len(claim(61)) == 2

    def test_a_success_in_the_same_breath_does_not_either(self) -> None:
        hook()
        for number in range(3):
            fire(f"kind {number}")
        first, second, _ = claim(most=3)
        report_all([Tried(claimed=first, failure="limited", retry_after=60.0, took_ms=1),
                    Tried(claimed=second, took_ms=1)])  # fmt: skip
        assert claim(30) == []

    def test_a_test_that_gets_through_ends_it(self) -> None:
        with Receiver() as receiver:
            to = channel(receiver.url(), failures=20)
            route(to)
            with EVERYONE.enter(), connection.cursor() as cursor:
                cursor.execute("UPDATE alerts_channel SET paused_until = now() + interval '1 hour'")
            fire()
            assert claim() == []
            assert trials.try_out(channel=the(to), by="ada").failure is None
            assert len(claim()) == 1

    def test_a_day_is_the_longest(self) -> None:
        hook()
        fire()
        report(*claim(), "limited", retry_after=10.0**9)
        assert claim(24 * 3600 - 60) == []
        assert len(claim(24 * 3600 + 60)) == 1


class TestWhoSeesIt:
    def test_other_organizations_see_nothing(self) -> None:
        to = hook()
        fire()
        report(*claim(), "server")
        with Scope.of(OTHER).enter(), connection.cursor() as cursor:
            for table in (
                "alerts_channel",
                "alerts_route",
                "alerts_route_channel",
                "alerts_delivery",
                "alerts_attempt",
            ):
                cursor.execute(f"SELECT count(*) FROM {table}")
                assert cursor.fetchone() == (0,), table
            cursor.execute("UPDATE alerts_delivery SET state = 'skipped', done_at = now()")
            assert cursor.rowcount == 0
            cursor.execute("UPDATE alerts_channel SET state = 'off'")
            assert cursor.rowcount == 0
        with Scope.of(OWN).enter():
            assert Delivery.objects.count() == Attempt.objects.count() == 1
        assert the(to).state == "on"

    def test_without_a_scope_nothing_is_seen(self) -> None:
        hook()
        fire()
        assert Delivery.objects.count() == 0

    def test_what_was_told_cannot_be_deleted(self) -> None:
        hook()
        fire()
        report(*claim())
        with EVERYONE.enter(), connection.cursor() as cursor:
            for table in ("alerts_delivery", "alerts_channel"):
                cursor.execute(f"DELETE FROM {table}")
                assert cursor.rowcount == 0

    def test_dispatchers_serve_every_organization(self) -> None:
        with Receiver() as receiver:
            for organization in (OWN, OTHER):
                route(channel(receiver.url(f"/{organization}"), organization=organization), organization=organization)
                fire(organization=organization)
            drain()
            assert {one.path for one in receiver.requests} == {f"/{OWN}", f"/{OTHER}"}
            assert {json.loads(one.body)["data"]["organization"] for one in receiver.requests} == {OWN, OTHER}


class TestWhileTheDatabaseIsAway:
    def test_what_was_sent_is_written_down_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Receiver() as receiver:
            route(channel(receiver.url()))
            fire()
            dispatcher, stop = Dispatcher(threads=2), threading.Event()
            dispatcher.turn(0)
            receiver.await_requests(1)
            real, failures = settling.settle, iter([True, True])

            def settle(*args: Any, **more: Any) -> None:
                if next(failures, False):
                    connection.close()
                    fail()
                real(*args, **more)

            monkeypatch.setattr(settling, "settle", settle)
            with in_thread(lambda: dispatcher.run(stop)):
                assert await_true(lambda: told() == [("trigger", "sent")], 20)
                stop.set()
                dispatcher.wake()
            assert len(receiver.requests) == 1
        assert [one.number for one in attempts(deliveries()[0].pk)] == [1]

    def test_a_helper_that_fails_leaves_no_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Receiver([answer(delay=0.2)]) as receiver:
            route(channel(receiver.url()))
            fire()
            monkeypatch.setattr(settling, "settle", fail)
            with pytest.raises(OperationalError):
                drain(seconds=5)
        assert await_true(lambda: not [one for one in threading.enumerate() if one.name.startswith("sender")], 20)


def fail(*_: Any, **__: Any) -> None:
    raise OperationalError("the database is away")
