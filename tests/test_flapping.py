"""What comes and goes is told once an interval, with how often it did; never an end alone; what is worse at once."""

import json
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import F

from alerts import deliveries as outbox
from alerts.models import Delivery
from alerts.routing import FLAPPING, INTERVAL
from tests import channels
from tests.channels import EVERYONE, OTHER, act, channel, deliveries, drain, due_now, fire, route
from tests.outbox import URL, claim, hook, in_thread, only, report, told
from tests.receiver import Receiver

MOMENT = timedelta(seconds=5)  # that a test may take between one statement and the next


pytestmark = pytest.mark.usefixtures("local_channels")


def come_and_go(times: int, **more: str) -> None:
    for _ in range(times):
        act("resolve", fire(**more).state.id)


def held(alert: UUID) -> list[Delivery]:
    return deliveries(alert=alert, event="trigger", state="pending", because=FLAPPING)


def age(by: timedelta) -> None:
    """Everything so far happened that much earlier."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE alerts_delivery SET queued_at = queued_at - %s, next_at = next_at - %s, done_at = done_at - %s",
            [by, by, by],
        )


def about(moment: datetime, expected: datetime) -> bool:
    return abs(moment - expected) < MOMENT


def test_two_are_told_at_once_and_the_third_waits() -> None:
    hook()
    come_and_go(2)
    third = fire().state.id
    assert Counter(told()) == {("trigger", "pending"): 3, ("resolve", "pending"): 2}
    [one] = held(third)
    [_, second] = deliveries(event="trigger", because="")
    assert about(one.next_at, second.queued_at + INTERVAL)
    assert one.about == {}


def test_a_hundred_transitions_a_minute_are_one_notice_an_interval() -> None:
    """And it says how often it came and went meanwhile."""
    with Receiver() as receiver:
        to = channel(receiver.url(), burst=100)
        route(to)
        come_and_go(50, message="Too slow")
        assert drain() == 4
        assert Counter((one.event, one.state, one.because) for one in deliveries()) == {
            ("trigger", "sent", ""): 2, ("resolve", "sent", ""): 2,
            ("trigger", "skipped", FLAPPING): 48, ("resolve", "skipped", FLAPPING): 48,
        }  # fmt: skip
        stays = fire(message="Too slow").state.id
        assert drain() == 0
        [one] = held(stays)
        assert one.about == {"times": 48}
        due_now()
        assert drain() == 1
    facts = json.loads(receiver.requests[-1].body)["data"]["facts"]
    assert {"name": "Came and went", "value": "48 times more before that"} in facts


def test_after_an_interval_it_is_news_again_with_how_often_it_was_not_told() -> None:
    hook()
    come_and_go(30)
    age(INTERVAL)
    alert = fire().state.id
    assert held(alert) == []
    assert deliveries(alert=alert)[0].about == {"times": 28}


def test_long_after_it_nothing_is_said_of_the_past() -> None:
    hook()
    come_and_go(30)
    age(2 * INTERVAL)
    alert = fire().state.id
    assert held(alert) == []
    assert deliveries(alert=alert)[0].about == {}


def test_an_interval_begins_when_it_was_told() -> None:
    """Not when it was held back."""
    with Receiver() as receiver:
        route(channel(receiver.url(), burst=100))
        come_and_go(2)
        drain()
        act("resolve", first := fire().state.id)
        assert deliveries(alert=first)[0].state == "skipped"
        age(INTERVAL)
        come_and_go(1)
        drain()
        [*_, news, _] = deliveries()
        assert (news.state, news.about) == ("sent", {"times": 1})
        with EVERYONE.enter():
            Delivery.objects.filter(event="trigger", state="sent").update(
                queued_at=F("queued_at") - timedelta(minutes=4)
            )
        come_and_go(1)
        drain()
        [*_, last, _] = deliveries()
        [one] = held(fire().state.id)
    assert last.done_at
    assert about(one.next_at, last.done_at + INTERVAL)


def test_one_that_was_critical_once_is_told_when_it_is_so_again() -> None:
    """It was as bad once in the interval, not twice, however often it was less bad."""
    hook()
    alert = fire(severity="warning").state.id
    fire(severity="critical")
    act("resolve", alert)
    assert held(fire(severity="critical").state.id) == []


def test_a_severity_that_comes_and_goes_is_told_once_an_interval_too() -> None:
    to = hook()
    alert = fire(severity="warning").state.id
    for _ in range(20):
        fire(severity="critical")
        fire(severity="warning")
    assert Counter((one.state, one.because) for one in deliveries(channel=to, alert=alert)) == {
        ("pending", ""): 3, ("skipped", FLAPPING): 17, ("pending", FLAPPING): 1,
    }  # fmt: skip
    [one] = held(alert)
    assert one.about == {"times": 17}


def test_nobody_is_told_while_it_is_shelved() -> None:
    to = hook()
    come_and_go(2)
    alert = fire().state.id
    due_now(*[one.pk for one in held(alert)])
    act("shelve", alert, until=outbox.clock() + timedelta(hours=1))
    assert alert not in {one.alert.id for one in claim() if one.alert}
    act("unshelve", alert)
    assert told(to, alert=alert) == [("trigger", "skipped"), ("trigger", "pending")]


def test_one_that_its_sender_gave_back_may_have_been_heard() -> None:
    """So its end is told."""
    to = hook()
    come_and_go(2)
    for _ in range(2):
        for one in claim():
            report(one)
    alert = fire().state.id
    due_now()
    outbox.release(claim(), now=outbox.clock())
    act("resolve", alert)
    assert told(to, alert=alert) == [("trigger", "pending"), ("resolve", "pending")]


def test_a_new_name_of_the_channel_sends_nothing_before_its_turn() -> None:
    to = hook()
    come_and_go(2)
    alert = fire().state.id
    channels.rest_over(to)
    assert held(alert)[0].next_at > outbox.clock() + INTERVAL - 2 * MOMENT


def test_within_it_one_more_waits_for_the_rest_of_it() -> None:
    """The wait is from what was told last, whatever was held back since."""
    hook()
    come_and_go(10)
    [_, second] = deliveries(event="trigger", because="")
    age(timedelta(minutes=2))
    [one] = held(fire().state.id)
    assert about(one.next_at, second.queued_at - timedelta(minutes=2) + INTERVAL)


@pytest.mark.parametrize(("severity", "waits"), [("critical", False), ("warning", True), ("info", True)])
def test_what_is_worse_than_what_was_told_does_not_wait(severity: str, *, waits: bool) -> None:
    hook()
    come_and_go(3)
    assert bool(held(fire(severity=severity).state.id)) == waits


def test_one_that_grows_worse_meanwhile_is_told_at_once() -> None:
    to = hook()
    come_and_go(2)
    alert = fire().state.id
    assert held(alert)
    fire(severity="critical")
    assert held(alert) == []
    assert told(to, alert=alert) == [("trigger", "skipped"), ("trigger", "pending")]
    [_, worse] = deliveries(alert=alert)
    assert about(worse.next_at, outbox.clock())
    assert worse.about == {"times": 1}
    act("resolve", alert)
    assert told(to, alert=alert) == [("trigger", "skipped"), ("trigger", "pending"), ("resolve", "pending")]


def test_an_acknowledgement_goes_out_behind_it() -> None:
    to = hook()
    come_and_go(2)
    alert = fire().state.id
    act("acknowledge", alert)
    assert told(to, alert=alert) == [("trigger", "pending"), ("acknowledge", "pending")]
    assert alert not in {one.alert.id for one in claim() if one.alert}
    act("resolve", alert)
    outbox.skip_unheard(now=outbox.clock())
    assert [(one.event, one.state, one.because) for one in deliveries(alert=alert)] == [
        ("trigger", "skipped", FLAPPING), ("acknowledge", "skipped", "unheard"), ("resolve", "skipped", FLAPPING),
    ]  # fmt: skip


def test_who_is_just_told_hears_of_the_end_too() -> None:
    to = hook()
    come_and_go(2)
    for one in claim():
        report(one)
    for one in claim():
        report(one)
    alert = fire().state.id
    due_now()
    [one] = claim()
    act("resolve", alert)
    report(one)
    assert told(to, alert=alert) == [("trigger", "sent"), ("resolve", "pending")]


def test_who_is_being_told_while_it_ends_hears_of_the_end_too() -> None:
    """A claim that is not committed yet: it is not waited for, and the end goes out behind it."""
    to = hook()
    come_and_go(2)
    for _ in range(2):
        for one in claim():
            report(one)
    alert = fire().state.id
    due_now()
    with outbox.SCOPE.enter():
        [one] = claim()
        with in_thread(lambda: act("resolve", alert)) as ending:
            ending.join(5)
            assert not ending.is_alive()
    report(one)
    assert told(to, alert=alert) == [("trigger", "sent"), ("resolve", "pending")]


def test_one_that_failed_while_it_was_held_is_tried_on() -> None:
    """It is no longer held: its end is told, for who tried may have been heard."""
    hook()
    come_and_go(2)
    alert = fire().state.id
    due_now(*[one.pk for one in held(alert)])
    [one] = [one for one in claim() if one.alert and one.alert.id == alert]
    report(one, "timeout", unsure=True)
    [tried] = deliveries(alert=alert)
    assert (tried.state, tried.because) == ("pending", "")
    act("resolve", alert)
    assert only(tried).state == "pending"


def test_who_was_told_of_none_is_told_at_once() -> None:
    come_and_go(5)
    to = hook()
    alert = fire().state.id
    assert told(to, alert=alert) == [("trigger", "pending")]
    assert held(alert) == []


def test_what_nobody_could_be_told_of_holds_nothing_back() -> None:
    hook()
    come_and_go(2)
    for _ in range(2):
        for one in claim():
            report(one, "refused")
    assert Counter(told()) == {("trigger", "dead"): 2, ("resolve", "skipped"): 2}
    assert held(fire().state.id) == []


def test_other_alerts_and_other_organizations_are_others() -> None:
    hook()
    other = channel(URL, organization=OTHER)
    route(other, organization=OTHER)
    come_and_go(5)
    assert held(fire("another kind").state.id) == []
    assert held(fire(organization=OTHER).state.id) == []


def test_a_reopened_one_is_told_at_once() -> None:
    """People did that."""
    hook()
    come_and_go(4)
    [*_, last] = deliveries(event="trigger")
    assert last.alert_id
    act("reopen", last.alert_id)
    [*_, again] = deliveries(alert=last.alert_id)
    assert (again.event, again.state, again.because) == ("trigger", "pending", "")
