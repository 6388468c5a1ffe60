"""Notices that come too late, are sent after all, or are dropped with their channel; and channels tried out by hand."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

from alerts import deliveries as outbox
from alerts import expiry, replays, roster, schedule, settling, trials
from alerts.channels import TRANSPORTS
from alerts.claims import Claimed
from alerts.deliveries import LEASE
from alerts.models import Alert, Delivery
from organizations.models import AuditEvent
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
from tests.outbox import (
    EVER,
    URL,
    audited,
    claim,
    exhausted,
    hook,
    in_thread,
    only,
    race,
    report,
    told,
)
from tests.receiver import Receiver, Request, Step, answer

pytestmark = pytest.mark.usefixtures("local_channels")


def over(*kinds: str) -> None:
    """Alerts of these kinds that began and ended."""
    for kind in kinds:
        act("resolve", fire(kind).state.id)


class TestExpiry:
    HOURS = 3600.0

    def expire(self, hours: float = 25) -> int:
        return expiry.expire(outbox.clock() + timedelta(hours=hours))

    def summaries(self, to: UUID) -> list[int]:
        return [one.about["number"] for one in deliveries(channel=to, event="summary")]

    def test_what_was_never_tried_within_a_day_is_dropped_with_one_summary_a_channel(self) -> None:
        here, there = hook(), hook()
        over(*(f"kind {number}" for number in range(5)))
        assert self.expire(23) == 0
        assert self.expire() == 10
        for to in (here, there):
            # And an alert about the other one, which goes by another road than its summary.
            assert Counter(told(to)) == {("trigger", "expired"): 5, ("resolve", "skipped"): 5,
                                         ("summary", "pending"): 1, ("trigger", "pending"): 1}  # fmt: skip
            assert self.summaries(to) == [5]
        assert self.expire(23) == 0
        assert self.summaries(here) == [5]

    def test_what_is_still_open_is_news_for_days(self) -> None:
        """Never tried, since its channel was away: what still burns is worth telling; four days later nobody waits."""
        to = hook()
        act("acknowledge", fire().state.id)
        assert self.expire(95) == 0
        assert self.expire(97) == 1
        assert told(to)[:2] == [("trigger", "expired"), ("acknowledge", "skipped")]

    def test_who_heard_of_it_hears_of_its_end_for_days(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim())
        act("resolve", alert)
        assert self.expire(95) == 0
        assert told(to) == [("trigger", "sent"), ("resolve", "pending")]

    def test_a_summary_that_still_waits_counts_on(self) -> None:
        to = hook()
        over("one")
        assert self.expire() == 1
        over("two", "three")
        assert self.expire() == 2
        assert self.summaries(to) == [3]
        [summary] = [one for one in claim(25 * self.HOURS + 60) if one.event == "summary"]
        report(summary)
        over("four")
        assert self.expire() == 1
        assert self.summaries(to) == [3, 1]

    def test_a_summary_says_how_many(self) -> None:
        with Receiver() as receiver:
            to = channel(receiver.url(), state="failed")
            route(to)
            over(*(f"kind {number}" for number in range(3)))
            self.expire()
            with EVERYONE.enter():
                roster.switch(channel=the(to), on=True, now=datetime.now(UTC))
            drain()
            [request] = receiver.requests
        body = json.loads(request.body)
        assert body["type"] == "channel.summary"
        assert body["data"]["text"].startswith("3 notices were too old")

    def test_a_summary_that_may_have_been_heard_stays_as_it_is(self) -> None:
        to = hook()
        over("one")
        assert self.expire() == 1
        [summary] = [one for one in claim(25 * self.HOURS + 60) if one.event == "summary"]
        report(summary, "timeout", unsure=True)
        over("two")
        assert self.expire() == 1
        assert self.summaries(to) == [1, 1]

    def test_a_beginning_is_worth_nothing_a_day_later_when_it_is_over(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim(), "server")
        assert self.expire() == 0, "it still fires: it is tried on"
        act("resolve", alert)
        assert self.expire() == 1
        assert told(to, alert=alert) == [("trigger", "expired"), ("resolve", "skipped")]

    def test_who_follows_is_not_heard_alone(self) -> None:
        """The beginning is a day old, the end is not."""
        to = hook()
        alert = fire().state.id
        report(*claim(), "server")
        with EVERYONE.enter():
            Delivery.objects.update(queued_at=EVER)
        act("acknowledge", alert)
        act("resolve", alert)
        assert self.expire(0) == 1
        assert told(to, alert=alert) == [("trigger", "expired"), ("acknowledge", "skipped"), ("resolve", "skipped")]
        assert self.summaries(to) == [1]

    def test_who_follows_what_may_have_been_heard_is_told(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim(), "timeout", unsure=True)
        with EVERYONE.enter():
            Delivery.objects.update(queued_at=EVER)
        act("resolve", alert)
        assert self.expire(0) == 1
        assert told(to, alert=alert) == [("trigger", "expired"), ("resolve", "pending")]
        assert [one.event for one in claim() if one.alert] == ["resolve"]

    def test_an_end_is_not_dropped_while_its_beginning_is_being_sent(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim(), "server")
        act("resolve", alert)
        due_now()
        with EVERYONE.enter():
            Delivery.objects.update(queued_at=EVER)
        [one] = claim()
        assert self.expire(0) == 0, "what is leased is nobody else's"
        report(one)
        assert told(to, alert=alert) == [("trigger", "sent"), ("resolve", "pending")]

    def test_an_end_is_not_dropped_while_its_beginning_is_being_claimed(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim(), "server")
        act("resolve", alert)
        due_now()
        with EVERYONE.enter():
            Delivery.objects.update(queued_at=EVER)
        with outbox.SCOPE.enter():
            assert len(claim()) == 1
            with in_thread(lambda: self.expire(0)) as expiring:
                expiring.join(1.0)
                assert not expiring.is_alive()
        assert told(to, alert=alert) == [("trigger", "sending"), ("resolve", "pending")]

    def test_what_a_lost_process_left_is_dropped_too(self) -> None:
        to = hook()
        alert = fire().state.id
        claim()
        with EVERYONE.enter():
            roster._rows(the(to)).update(state="failed")
        act("resolve", alert)
        assert self.expire(25) == 1
        assert told(to, alert=alert) == [("trigger", "expired"), ("resolve", "pending")]
        assert deliveries(event="trigger")[0].unsure, "it may have been heard, so that the end is told too"

    def test_what_waits_for_a_channel_that_nobody_mends_is_given_up(self) -> None:
        to = hook()
        fire()
        report(*claim(), "server")
        with EVERYONE.enter():
            roster._rows(the(to)).update(state="failed")
        assert self.expire(80) == 0
        assert self.expire(97) == 1

    def test_tests_and_pulses_are_not_told_of(self) -> None:
        to = channel(URL)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO alerts_delivery (organization_id, channel_id, event, queued_at, next_at) "
                "SELECT organization_id, id, each, now(), now() "
                "FROM alerts_channel, unnest('{test,pulse}'::text[]) AS each"
            )
        assert self.expire() == 1
        assert told(to) == [("test", "expired"), ("pulse", "pending")]

    def test_many_are_dropped_over_several_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        to = hook()
        monkeypatch.setattr(expiry, "_EXPIRE", expiry._EXPIRE.replace(f"LIMIT {expiry._BATCH}", "LIMIT 3"))
        for number in range(4):
            act("resolve", fire(f"kind {number}").state.id)
        dropped = [self.expire() for _ in range(4)]
        assert dropped[0] == 3
        assert dropped[-1] == 0
        assert self.summaries(to) == [sum(dropped)] == [len(deliveries(state="expired"))]
        assert {one.state for one in deliveries() if one.alert_id} == {"expired", "skipped"}

    def test_old_rows_of_no_alert_are_forgotten(self) -> None:
        to = hook()
        fire()
        report(*claim())
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO alerts_delivery (organization_id, channel_id, event, state, queued_at, next_at, done_at) "
                "SELECT organization_id, id, each, 'sent', now(), now(), now() - days * interval '1 day' "
                "FROM alerts_channel, unnest('{test,pulse,summary}'::text[]) AS each, unnest('{1,3,91}'::int[]) AS days"
            )
        assert expiry.forget(datetime.now(UTC)) == 4
        assert Counter(one.event for one in deliveries(channel=to)) == {
            "trigger": 1, "test": 2, "summary": 2, "pulse": 1
        }  # fmt: skip


class TestSummingUp:
    """A receiver that was away while many things began and ended is told so in one notice."""

    def sum_up(self, minutes: float = 11) -> int:
        return expiry.sum_up(outbox.clock() + timedelta(minutes=minutes))

    def over(self, number: int) -> None:
        over(*(f"kind {one}" for one in range(number)))

    def test_many_that_are_over_are_one_notice(self) -> None:
        with Receiver() as receiver:
            to = channel(receiver.url())
            route(to)
            self.over(expiry.MANY)
            fire("still open")
            assert self.sum_up(9) == 0
            assert self.sum_up() == expiry.MANY
            due_now()
            drain()
        said = {body["type"]: body["data"] for body in (json.loads(one.body) for one in receiver.requests)}
        assert len(receiver.requests) == len(said) == 2
        assert said["channel.summary"]["text"] == (
            "20 alerts were over before anybody could be told of them here. The cockpit's log has them."
        )
        assert Counter((one.event, one.state, one.because) for one in deliveries()) == {
            ("trigger", "skipped", "summed"): 20, ("resolve", "skipped", "unheard"): 20, ("trigger", "sent", ""): 1,
            ("summary", "sent", ""): 1,
        }  # fmt: skip

    def test_a_few_are_told_one_by_one(self) -> None:
        hook()
        self.over(expiry.MANY - 1)
        assert self.sum_up() == 0

    def test_what_comes_on_top_joins_the_summary_that_waits(self) -> None:
        to = hook()
        self.over(expiry.MANY)
        self.sum_up()
        over("one more")
        assert self.sum_up() == 1
        assert [one.about for one in deliveries(channel=to, event="summary")] == [{"over": expiry.MANY + 1}]

    def test_what_was_tried_or_still_burns_is_told_as_it_is(self) -> None:
        hook()
        self.over(expiry.MANY)
        report(claim(most=1)[0], "server")
        assert self.sum_up() == 0
        for number in range(expiry.MANY):
            fire(f"open {number}")
        assert self.sum_up() == 0

    def test_what_people_sent_again_is_sent(self) -> None:
        to = channel(URL, burst=100, at_once=100)
        route(to)
        self.over(expiry.MANY)
        for one in claim():
            report(one, "refused")
        assert replays.replay_since(scope=EVERYONE, since=EVER, channel=to) == 2 * expiry.MANY
        assert self.sum_up() == 0

    def test_nor_what_was_never_tried_before_people_sent_it_again(self) -> None:
        hook()
        self.over(expiry.MANY)
        assert expiry.expire(outbox.clock() + timedelta(hours=25)) == expiry.MANY
        assert replays.replay_since(scope=EVERYONE, since=EVER) == 2 * expiry.MANY
        assert self.sum_up() == 0

    def test_no_other_channel_and_no_other_organization_is_touched(self) -> None:
        away, other = hook(), channel(URL, organization=OTHER)
        route(other, organization=OTHER)
        self.over(expiry.MANY)
        theirs = fire("theirs", organization=OTHER).state.id
        act("resolve", theirs)
        assert self.sum_up() == expiry.MANY
        assert told(other) == [("trigger", "pending"), ("resolve", "pending")]
        assert told(away)[-1] == ("summary", "pending")

    def test_reopened_it_is_told_after_all(self) -> None:
        to = hook()
        self.over(expiry.MANY)
        self.sum_up()
        with EVERYONE.enter():
            [one] = Alert.objects.filter(alert_type="kind 3")
        act("reopen", one.pk)
        assert told(to, alert=one.pk) == [("trigger", "skipped"), ("resolve", "skipped"), ("trigger", "pending")]


def given_up(to: UUID, *kinds: str) -> list[int]:
    """Alerts of these kinds that no one could be told of; the ids of their notices."""
    for kind in kinds:
        fire(kind)
    mine = [one for one in claim() if one.channel == to]
    for one in mine:
        report(one, "refused")
    return [one.id for one in mine]


def replay(*ids: int) -> int:
    return replays.replay(scope=EVERYONE, ids=ids, now=datetime.now(UTC))


class TestReplay:
    def test_one_is_sent_after_all(self) -> None:
        to = hook()
        first, _ = given_up(to, "one", "two")
        assert replay(first) == 1
        [again] = claim()
        assert (again.id, again.attempt) == (first, 2)
        report(again)
        assert told(to) == [("trigger", "sent"), ("trigger", "dead")]
        assert [one.outcome for one in attempts(first)] == ["refused", "sent"]

    def test_what_was_sent_or_waits_is_left_alone(self) -> None:
        to = hook()
        [first] = given_up(to, "one")
        fire("two")
        [second] = claim()
        assert replay(second.id) == 0
        report(second)
        fire("three")
        assert replay(*[one.pk for one in deliveries() if one.pk != first]) == 0

    def test_all_since_a_time_are(self) -> None:
        here, there = hook(), hook()
        fire("one")
        fire("two")
        for one in claim():
            report(one, "refused")
        with EVERYONE.enter():
            Delivery.objects.filter(pk=deliveries(channel=here)[0].pk).update(done_at=EVER)
        since = datetime.now(UTC) - timedelta(hours=1)
        assert replays.replay_since(scope=EVERYONE, since=since, channel=here) == 1
        assert replays.replay_since(scope=EVERYONE, since=since) == 2
        assert told(here)[:2] == [("trigger", "dead"), ("trigger", "pending")]
        assert told(there)[:2] == [("trigger", "pending")] * 2

    def test_it_leaves_a_row_in_the_trail(self) -> None:
        to = hook()
        replay(*given_up(to, "one", "two"))
        with EVERYONE.enter():
            [row] = AuditEvent.objects.filter(action="replayed")
            assert (row.organization_id, row.object_text) == (OWN, "2 notices")

    def test_the_end_goes_out_behind_the_beginning(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim(), "refused")
        act("acknowledge", alert)
        act("resolve", alert)
        [trigger, *_] = deliveries(alert=alert)
        assert replay(trigger.pk) == 3
        seen = []
        while found := claim():
            report(found[0])
            seen.append(found[0].event)
        assert seen == ["trigger", "acknowledge", "resolve"]
        assert told(to, alert=alert) == [("trigger", "sent"), ("acknowledge", "sent"), ("resolve", "sent")]

    def test_a_beginning_whose_end_nobody_would_tell_is_left_alone(self) -> None:
        to = hook()
        alert = fire().state.id
        report(*claim(), "refused")
        with EVERYONE.enter():
            roster.switch(channel=the(to), on=False, now=datetime.now(UTC))
        act("resolve", alert)
        with EVERYONE.enter():
            roster.switch(channel=the(to), on=True, now=datetime.now(UTC))
        assert replay(deliveries(alert=alert)[0].pk) == 0

    def test_an_expired_line_goes_out_as_a_whole(self) -> None:
        to = hook()
        alert = fire().state.id
        act("resolve", alert)
        expiry.expire(outbox.clock() + timedelta(hours=25))
        assert replay(deliveries(alert=alert)[0].pk) == 2
        assert told(to, alert=alert) == [("trigger", "pending"), ("resolve", "pending")]

    def test_no_beginning_is_sent_after_something_newer(self) -> None:
        to = hook()
        alert = fire(severity="warning").state.id
        report(*claim(), "refused")
        fire(severity="critical")
        report(*[one for one in claim() if one.alert and one.alert.id == alert])
        [dead, _] = deliveries(alert=alert, channel=to)
        assert replay(dead.pk) == 0

    def test_none_is_while_something_newer_is_being_sent(self) -> None:
        to = hook()
        alert = fire(severity="warning").state.id
        report(*claim(), "refused")
        fire(severity="critical")
        [newer] = [one for one in claim() if one.alert and one.alert.id == alert]
        [dead, _] = deliveries(alert=alert, channel=to)
        assert replay(dead.pk) == 0
        report(newer, "server")
        assert replay(dead.pk) == 1
        due_now()
        assert [one.id for one in claim() if one.alert and one.alert.id == alert] == [dead.pk]

    def test_none_is_while_something_newer_is_being_claimed(self) -> None:
        hook()
        alert = fire().state.id
        report(*claim(), "timeout", unsure=True)
        with EVERYONE.enter():
            Delivery.objects.update(state="dead", done_at=EVER)
        act("resolve", alert)
        [dead, _] = deliveries(alert=alert)
        found: list[Claimed] = []
        number: list[int] = []
        race(lambda: found.extend(claim()), lambda: number.append(replay(dead.pk)))
        assert [one.event for one in found] == ["resolve"]
        assert number == [0]

    def test_it_has_all_its_tries_again(self) -> None:
        to = hook()
        fire()
        one = exhausted(to)
        assert replay(one.id) == 1
        again = exhausted(to)
        assert (again.id, again.attempt) == (one.id, 2 * schedule.MOST)
        assert [each.number for each in attempts(one.id)] == list(range(1, 2 * schedule.MOST + 1))

    def test_it_is_young_again(self) -> None:
        to = hook()
        alert = fire().state.id
        act("resolve", alert)
        with EVERYONE.enter():
            Delivery.objects.update(queued_at=EVER)
        assert expiry.expire(outbox.clock()) == 1
        [first, _] = deliveries(alert=alert)
        assert replay(first.pk) == 2
        assert expiry.expire(outbox.clock()) == 0
        report(*[one for one in claim() if one.alert], "server")
        assert expiry.expire(outbox.clock() + timedelta(hours=1)) == 0
        assert expiry.expire(outbox.clock() + timedelta(hours=25)) == 1
        assert told(to, alert=alert) == [("trigger", "expired"), ("resolve", "skipped")]

    def test_other_organizations_replay_nothing_of_ours(self) -> None:
        [one] = given_up(hook(), "one")
        assert replays.replay(scope=Scope.of(OTHER), ids=[one], now=datetime.now(UTC)) == 0
        assert replays.replay_since(scope=Scope.of(OTHER), since=EVER) == 0
        assert only(deliveries()[0]).state == "dead"

    @pytest.mark.parametrize("state", ["off", "retired"])
    def test_a_channel_that_is_off_is_left_off(self, state: str) -> None:
        to = hook()
        [one] = given_up(to, "one")
        with EVERYONE.enter():
            roster._rows(the(to)).update(state=state)
        assert replay(one) == 0

    def test_tests_are_not_sent_again(self) -> None:
        with Receiver([answer(410)]) as receiver:
            to = channel(receiver.url())
            trials.try_out(channel=the(to), by="ada")
        [one] = deliveries()
        assert one.state == "dead"
        assert replay(one.pk) == 0


class TestSwitching:
    def turn(self, to: UUID, *, on: bool) -> None:
        with EVERYONE.enter():
            roster.switch(channel=the(to), on=on, now=datetime.now(UTC))

    def test_off_drops_what_waits(self) -> None:
        to = hook()
        act("resolve", fire().state.id)
        self.turn(to, on=False)
        fire("another")
        assert [(one.event, one.state, one.because) for one in deliveries()] == [
            ("trigger", "skipped", "off"), ("resolve", "skipped", "off")
        ]  # fmt: skip
        self.turn(to, on=True)
        assert claim() == []
        fire("a third")
        assert len(claim()) == 1

    def test_on_again_after_a_failure_sends_what_waits_at_once(self) -> None:
        to = hook()
        fire("one")
        report(*claim(), "gone")
        fire("two")
        assert claim() == []
        self.turn(to, on=True)
        [one] = claim()
        assert (one.event, the(to).failures) == ("trigger", 0)
        assert audited("switched_on", to) == 1

    def test_on_again_ends_every_wait(self) -> None:
        to = hook()
        fire()
        report(*claim(), "limited", retry_after=3600.0)
        with EVERYONE.enter():
            roster._rows(the(to)).update(state="failed")
        self.turn(to, on=True)
        assert len(claim()) == 1

    def test_whoever_reports_on_what_was_dropped_is_not_heard(self) -> None:
        to = hook()
        fire()
        [one] = claim()
        self.turn(to, on=False)
        report(one, "gone")
        assert [(each.state, each.because) for each in deliveries()] == [("skipped", "off")]
        assert the(to).state == "off"

    def test_what_was_being_sent_may_have_been_heard(self) -> None:
        to = hook()
        alert = fire().state.id
        claim()
        self.turn(to, on=False)
        self.turn(to, on=True)
        act("resolve", alert)
        assert told(to) == [("trigger", "skipped"), ("resolve", "pending")]
        assert [one.event for one in claim()] == ["resolve"]

    def test_retired_ones_forget_their_secrets_and_are_told_nothing(self) -> None:
        to = hook()
        fire()
        with EVERYONE.enter():
            roster.retire(channel=the(to), now=datetime.now(UTC))
        fire("another")
        found = the(to)
        assert (found.state, found.sealed, found.settings) == ("retired", "", {})
        assert [(one.state, one.because) for one in deliveries()] == [("skipped", "retired")]
        assert claim() == []
        self.turn(to, on=True)
        assert the(to).state == "retired"
        assert channel(URL, name=found.name)

    def test_new_settings_mend_what_failed(self) -> None:
        with Receiver([answer(410), answer()]) as receiver:
            to = channel(receiver.url())
            route(to)
            fire("one")
            drain()
            fire("two")
            assert drain() == 0
            with EVERYONE.enter():
                given = {"url": receiver.url("/new"), "secret": ""}
                found = roster.read_settings(TRANSPORTS["webhook"], given, client=channels.LOCAL,
                                             kept=roster.secrets_of(the(to)))  # fmt: skip
                roster.change_channel(channel=the(to), name="mended", audience="developer", settings=found,
                                      now=datetime.now(UTC))  # fmt: skip
            drain()
            assert [request.path for request in receiver.requests] == ["/", "/new"]
        assert told(to) == [("trigger", "dead"), ("trigger", "sent")]
        assert the(to).state == "on"


class TestSwitchedAtThatMoment:
    def test_what_was_written_while_its_channel_was_switched_off_is_dropped_soon(self) -> None:
        to = hook()
        off = lambda: roster.switch(channel=the(to), on=False, now=datetime.now(UTC))  # noqa: E731
        race(fire, lambda: in_scope(off))
        assert told(to) == [("trigger", "pending")]
        settling.end_moot(outbox.clock())
        assert [(one.state, one.because) for one in deliveries(channel=to)] == [("skipped", "off")]

    def test_what_is_too_old_is_not_fought_over(self, database: str) -> None:
        """Who claims holds the channel first, and so does who drops: neither waits for the other."""
        to = hook()
        act("resolve", fire().state.id)
        with outbox.SCOPE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM alerts_channel WHERE id = %s FOR NO KEY UPDATE", [to])
            dropped: list[int] = []
            with in_thread(lambda: dropped.append(expiry.expire(outbox.clock() + timedelta(hours=25)))) as other:
                other.join(5)
                assert dropped == [0]
        assert expiry.expire(outbox.clock() + timedelta(hours=25)) == 1


def in_scope(work: Callable[[], None]) -> None:
    with EVERYONE.enter():
        work()


class TestTrials:
    def test_it_is_a_notice_of_the_outbox(self) -> None:
        with Receiver() as receiver:
            to = channel(receiver.url())
            tried = trials.try_out(channel=the(to), by="ada")
            [request] = receiver.requests
        assert (tried.failure, tried.status) == (None, 200)
        assert json.loads(request.body)["type"] == "channel.test"
        assert told(to) == [("test", "sent")]
        assert audited("tried", to) == 1
        assert the(to).last_success_at is not None

    def test_it_asks_neither_pace_nor_rest_nor_switch(self) -> None:
        with Receiver() as receiver:
            to = channel(receiver.url(), state="off", failures=50)
            with EVERYONE.enter(), connection.cursor() as cursor:
                cursor.execute("UPDATE alerts_channel SET paused_until = 'infinity', free_at = 'infinity'")
            assert trials.try_out(channel=the(to), by="ada").failure is None
            assert len(receiver.requests) == 1
        assert the(to).state == "off"

    def test_what_failed_is_told_at_once(self) -> None:
        with Receiver([answer(401, b"who are you?")]) as receiver:
            to = channel(receiver.url())
            tried = trials.try_out(channel=the(to), by="ada")
        assert (tried.failure, tried.status, tried.answer) == ("client", 401, "who are you?")
        assert told(to) == [("test", "dead")]  # one try: who asked knows
        assert the(to).state == "on"
        with EVERYONE.enter():
            assert not Alert.objects.exists()

    def test_another_process_does_not_send_it_meanwhile(self) -> None:
        others: list[Claimed] = []

        def look(request: Request) -> Step:
            with in_thread(lambda: others.extend(claim(LEASE.total_seconds() - 2))):
                pass
            return answer()

        with Receiver(look) as receiver:
            trials.try_out(channel=the(channel(receiver.url())), by="ada")
        assert others == []
