"""Why a rule was silent, or why it fired: every reason there is, by its name, in the answer and on the page."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import evaluation, explaining, gauging, judging, lifecycle, recounting, simulation
from alerts.explaining import Explanation
from alerts.measurements import Group
from alerts.models import Alert, Delivery
from alerts.rehearsal import Minutes
from alerts.routing import FLAPPING
from alerts.rules import Hours
from alerts.states import Suppression
from alerts.why_admin import address_of
from tests.channels import EVERYONE, OTHER, OWN, channel, deliveries, fire, route
from tests.conftest import url_of
from tests.outbox import URL, claim, hook, report
from tests.ruling import (
    LATE,
    SOON,
    about,
    alerts,
    at,
    calls,
    change,
    judge,
    judge_each,
    make,
    one_call,
    ruin,
    sample,
    store,
    switch,
    the,
)
from tests.test_admin import page_of, signed_in

Make = Callable[..., Any]
Asked = tuple[UUID, float, tuple[str, ...]]
HOSTILE = "<script>window.__xss=1</script>\"><img src=x onerror='window.__xss=1'>"


pytestmark = pytest.mark.usefixtures("nothing_remembered")


def then(minute: float) -> datetime:
    """Just after that minute was judged."""
    return at(minute) + timedelta(seconds=LATE + 1) + SOON


def asked(rule: UUID, minute: float, *group: str, now: float = 120) -> Explanation:
    return explaining.explain(the(rule), group, then(minute), now=at(now))


def lines(answer: Explanation) -> dict[str, str]:
    return {one.label: one.words for one in answer.lines}


def each_minute(*numbers: int, **more: Any) -> None:
    """So many calls in the first minute, the second and so on, each judged when it is due."""
    for minute, number in enumerate(numbers, start=1):
        calls(minute, number, **more)
        judge(minute)


def do(verb: str, minute: float, **more: Any) -> None:
    """To the only alert."""
    [alert] = alerts()
    getattr(lifecycle, verb)(scope=EVERYONE, ids=[alert.pk], now=at(minute), via="admin", **more)


def spoil_versions(rule: UUID) -> None:
    """As another version of the cockpit may have left them: nobody may write over them."""
    with psycopg.connect(url_of(connection.settings_dict["NAME"]), autocommit=True) as admin:
        admin.execute("""UPDATE alerts_rule_version SET definition = '{"measure": 7}' WHERE rule_id = %s""", [rule])


def sent(to: UUID, **more: Any) -> None:
    """What waits for the channel is tried."""
    for one in claim():
        if one.channel == to:
            report(one, **more)


# How each came to be: the rule, the minute that is asked for, and the group.


def made_later() -> Asked:
    return make(minute=5.6), 2, ()


def switched(state: str) -> Asked:
    rule = make()
    judge(1)
    switch(rule, state, minute=1.8)
    return rule, 3, ()


def unreadable() -> Asked:
    rule = make()
    ruin(rule)
    spoil_versions(rule)
    judge(1)
    return rule, 2, ()


def unreadable_now() -> Asked:
    rule = make()
    judge(1)
    spoil_versions(rule)
    return rule, 1, ()


def in_error() -> Asked:
    rule = make()
    judge(1)
    ruin(rule)
    judge(2)
    return rule, 2, ()


def was_in_error() -> Asked:
    rule, _, _ = in_error()
    make(name="another", minute=2.7)  # so that minutes of its offset are judged all the time
    judge(3)
    change(rule, about(), minute=3.8)
    judge_each(4, 5)
    return rule, 3, ()


def not_yet() -> Asked:
    rule = make()
    judge(1)
    return rule, 5, ()


def missed() -> Asked:
    rule = make()
    judge_each(1, 2)
    judge(90)
    return rule, 10, ()


def late() -> Asked:
    rule = make()
    judge(1)
    calls(10, 6)
    judge(20)
    return rule, 10, ()


def evaluator_away_while_it_fires() -> Asked:
    rule = make()
    each_minute(6)
    return rule, 5, ()


def within() -> Asked:
    rule = make(about(critical=10))
    each_minute(4)
    return rule, 1, ()


def waiting() -> Asked:
    rule = make(about(hold=5))
    each_minute(1, 6, 7)
    return rule, 3, ()


def critical_waits() -> Asked:
    rule = make(about(critical=10, hold=2))
    each_minute(6, 6, 12, 12)
    return rule, 4, ()


def clearing() -> Asked:
    rule = make(about(warning_clear=3))
    each_minute(6, 4, 4)
    return rule, 3, ()


def kept() -> Asked:
    rule = make(about(keep=5))
    each_minute(6, 1, 1)
    return rule, 3, ()


def kept_at_its_worst() -> Asked:
    rule = make(about(critical=10, keep=2))
    each_minute(11, 6, 1)
    return rule, 3, ()


def few() -> Asked:
    rule = make(about(least=8))
    each_minute(6)
    return rule, 1, ()


def still_beyond() -> Asked:
    """The lesser threshold, while it is kept as critical."""
    rule = make(about(critical=10, keep=3))
    each_minute(11, 6, 6)
    return rule, 3, ()


def few_go_on(policy: str) -> Asked:
    rule = make(about("errors", "ratio", per="inferences", warning=0.5, least=4, no_data=policy))
    each_minute(6, 2, status="error")
    return rule, 2, ()


def few_at_last() -> Asked:
    """What comes after a silence that was an alert ends that."""
    rule = make(about(least=8, no_data="alert", silent=1))
    judge_each(1, 2)
    calls(3, 6)
    judge(3)
    return rule, 3, ()


def nothing_before(**more: Any) -> Asked:
    rule = make(about(change="previous", window=2, warning=50, **more))
    each_minute(0, 6)
    return rule, 2, ()


def zero_before() -> Asked:
    rule = make(about("errors", "sum", change="week", window=2, warning=50))
    week = 7 * 24 * 60
    calls(1 - week, 3)
    each_minute(6, 6, status="error")
    return rule, 2, ()


def mean_of_nothing_before() -> Asked:
    rule = make(about("duration", "avg", change="week", warning=50))
    each_minute(2)
    return rule, 1, ()


def nothing_now() -> Asked:
    rule = make(about("duration", "avg", change="previous", warning=50))
    each_minute(2, 0)
    return rule, 2, ()


def unpriced(aggregation: str, number: int = 3, **more: Any) -> Asked:
    rule = make(about("cost", aggregation, **more))
    each_minute(number)
    return rule, 1, ()


def unstreamed() -> Asked:
    rule = make(about("ttft", "p95", by=("model",), no_data="alert", silent=1))
    each_minute(2, 1)
    return rule, 2, ("llama",)


def no_divisor() -> Asked:
    used, size = "cockpit_memory_used_bytes", "cockpit_memory_total_bytes"
    rule = make(about(used, "ratio", per=size, warning=0.9))
    store(samples=[sample(1, 5, used, host="h"), sample(1, 0, size, host="h")])
    judge(1)
    return rule, 1, ()


def silent(policy: str, first: int = 1, **more: Any) -> Asked:
    rule = make(about(no_data=policy, silent=10, **more))
    each_minute(first)
    judge_each(2, 3)
    return rule, 3, ()


def gone() -> Asked:
    rule = make(about(warning=None, no_data="alert", silent=2))
    each_minute(1)
    judge_each(2, 4)
    return rule, 4, ()


def outside_hours() -> Asked:
    rule = make(about(hours=Hours(start=13 * 60, end=14 * 60, days=(0, 1, 2, 3, 4), zone="UTC")))
    each_minute(6)
    return rule, 1, ()


def never_measured() -> Asked:
    rule = make(about(by=("model",), filters={"model": ("l*",)}))
    each_minute(1)
    return rule, 1, ("gpt",)


def grouped_otherwise() -> Asked:
    rule = make(about())
    judge(1)
    change(rule, about(by=("model",)), minute=1.8)
    return rule, 1, ("llama",)


def fired() -> Asked:
    rule = make(about(critical=10))
    each_minute(6)
    return rule, 1, ()


def fired_badly() -> Asked:
    rule = make(about(critical=10))
    each_minute(11)
    return rule, 1, ()


def of_a_group() -> Asked:
    rule = make(about(by=("model", "endpoint")))
    store([one_call(1, model="a", endpoint="eu")] * 6 + [one_call(1, model="b", endpoint="eu")])
    judge(1)
    return rule, 1, ("a", "eu")


def resolved_by_somebody() -> Asked:
    rule = make()
    each_minute(6)
    do("resolve", 1.9, note="restarted")
    calls(2, 6)
    judge(2)
    return rule, 2, ()


def shelved() -> Asked:
    rule = make(about(critical=10))
    each_minute(6)
    do("shelve", 1.9, until=at(60), note="deploying")
    calls(2, 6)
    judge(2)
    return rule, 2, ()


def shelved_no_more() -> Asked:
    rule, minute, group = shelved()
    do("unshelve", 2.3)
    return rule, minute, group


def reopened_by_somebody() -> Asked:
    rule, minute, group = resolved_by_somebody()
    do("reopen", 2.3)
    return rule, minute, group


def suppressed() -> Asked:
    rule = make()
    each_minute(6)
    do("suppress", 1.9, suppression=Suppression(kind="maintenance", since=at(1.9), until=at(30), by="grace",
                                                note="new disks"))  # fmt: skip
    do("acknowledge", 1.95, note="mine")
    do("unacknowledge", 1.97)
    calls(2, 6)
    judge(2)
    return rule, 2, ()


def looked_after() -> Asked:
    hook()
    rule = make(about(renotify=1))
    each_minute(6)
    do("acknowledge", 1.9, note="it is the cache")
    calls(2, 6)
    judge(2)
    return rule, 2, ()


def told() -> Asked:
    to = channel(URL, name="operations")
    route(to)
    rule, minute, group = fired()
    sent(to)
    return rule, minute, group


def dead() -> Asked:
    to = channel(URL, name="operations")
    route(to)
    rule, minute, group = fired()
    sent(to, failure="refused", status=404, words="There is no such room.")
    return rule, minute, group


def tried_again() -> Asked:
    to = channel(URL, name="operations")
    route(to)
    rule, minute, group = fired()
    sent(to, failure="server", status=503)
    return rule, minute, group


def dropped(state: str, because: str) -> Asked:
    """What a channel refused once, and was given up before it was tried again."""
    rule, minute, group = tried_again()
    with EVERYONE.enter():
        Delivery.objects.update(state=state, because=because, done_at=timezone.now())
    return rule, minute, group


def flapping(**columns: Any) -> Asked:
    """Held back, as its third beginning within five minutes is."""
    route(channel(URL, name="operations"))
    rule, minute, group = fired()
    with EVERYONE.enter():
        Delivery.objects.update(because=FLAPPING, next_at=timezone.now() + timedelta(seconds=270), **columns)
    return rule, minute, group


class Reason(NamedTuple):
    """`verdict` is how the answer begins, `heard` the sentence of who was told, `lines` what stands at each name."""

    came: Callable[[], Asked]
    verdict: str
    lines: Mapping[str, str]
    heard: str = ""


NOBODY = "Nobody was told: no route led to a channel that takes it."
BEYOND = "the value is beyond a threshold"
REASONS: Mapping[str, Reason] = {
    "there was no such rule yet": Reason(made_later, "It was silent: there was no such rule yet.",
                                         {"Rule": "it was made later"}),
    "it was paused": Reason(lambda: switched("paused"), "It was silent: the rule was paused.",
                            {"Rule": "version 2 by tests, since {day} 12:01: paused"}),
    "it was retired": Reason(lambda: switched("retired"), "It was silent: the rule was retired.",
                             {"Rule": "version 2 by tests, since {day} 12:01: retired"}),
    "it could not be read": Reason(
        unreadable, "It was silent: the rule could not be read.",
        {"Error": "It cannot be read: Expected `str`, got `int` - at `$.measure`."}),
    "it cannot be read any more": Reason(
        unreadable_now, "It was silent: how the rule was then cannot be read any more.",
        {"Error": "Expected `str`, got `int` - at `$.measure`"}),
    "it was in error": Reason(
        in_error, "It was silent: the rule could not be judged. It cannot be read: Expected",
        {"Judged": "no: It cannot be read: Expected `str`, got `int` - at `$.measure`."}),
    "it was in error and is well": Reason(
        was_in_error, "It was silent: the rule could not be judged. The rule calls cannot be judged. It cannot be",
        {"Judged": "no: The rule calls cannot be judged. It cannot be read: Expected `str`, got `int` - at "
                   "`$.measure`."}),
    "it was not judged yet": Reason(
        not_yet, "It was silent: the minute until 12:05 is not judged yet.",
        {"Judged": "not yet: the minute until 12:05 has been due since 12:05:30"}),
    "nobody judged it within the hour": Reason(
        missed, "It was silent: nobody judged the minute until 12:10 within an hour.",
        {"Judged": "no: nobody judged the minute until 12:10, due at 12:10:30, within an hour"}),
    "it was judged too late": Reason(
        late, "It was silent: the minute until 12:10 was judged only at 12:20:37.",
        {"Judged": "late: the minute until 12:10, due at 12:10:30, at 12:20:37", "State": "warning since {day} 12:10"}),
    "its alert stood while nobody judged": Reason(
        evaluator_away_while_it_fires, "It fired, and the minute until 12:05 is not judged yet.",
        {"State": "warning since {day} 12:01", "Alert": "warning, firing; it began at {day} 12:01"}),
    "it was within its thresholds": Reason(
        within, "It was silent: the value is within the thresholds.",
        {"Judged": "the minute until 12:01, at 12:01:37", "Measured": "inferences over 1 min",
         "Value": "4 inferences, of 4 samples", "Warning": "not beyond > 5 inferences",
         "Critical": "not beyond > 10 inferences"}),
    "it was not beyond for long enough": Reason(
        waiting, f"It was silent: {BEYOND}, and has not been for long enough.",
        {"Warning": "beyond > 5 inferences", "State": "pending since {day} 12:02",
         "For": "beyond the threshold since {day} 12:02; it has to be for 5 min, until {day} 12:07"}),
    "it was not critical for long enough": Reason(
        critical_waits, f"It fired (warning): {BEYOND}.",
        {"For": "beyond the critical threshold since {day} 12:03; it has to be for 2 min, until {day} 12:05"}),
    "it had not cleared": Reason(
        clearing, "It fired (warning): the value is back behind the threshold, and not yet behind the one at which",
        {"Clears": "not yet: the value is still > 3 inferences", "Warning": "not beyond > 5 inferences"}),
    "it was kept firing": Reason(
        kept, "It fired (warning): the value is clear, and it is kept firing for a while.",
        {"Kept firing": "clear since {day} 12:02; kept for 5 min, until {day} 12:07"}),
    "it was kept as bad as it was": Reason(
        kept_at_its_worst, "It fired (critical): the value is clear, and it is kept firing for a while.",
        {"Kept firing": "no longer critical since {day} 12:02; kept so for 2 min, until {day} 12:04",
         "Warning": "not beyond > 5 inferences"}),
    "it was kept as critical and was a warning": Reason(
        still_beyond, "It fired (critical): the value is no longer critical, and it is kept so for a while.",
        {"Kept firing": "no longer critical since {day} 12:02; kept so for 3 min, until {day} 12:05",
         "Warning": "beyond > 5 inferences", "Critical": "not beyond > 10 inferences"}),
    "there were too few samples": Reason(
        few, "It was silent: there are too few samples to judge.",
        {"Samples": "6; at least 8 are asked for", "Warning": "beyond > 5 inferences"}),
    "too few samples left it as it was": Reason(
        lambda: few_go_on("keep"), "It fired (warning): there are too few samples to judge.",
        {"Samples": "2; at least 4 are asked for, and with fewer it stays as it was"}),
    "too few samples are no news": Reason(
        lambda: few_go_on("alert"), "It fired (warning): there are too few samples to judge.",
        {"Samples": "2; at least 4 are asked for, and with fewer it stays as it was"}),
    "too few samples ended a silence": Reason(
        few_at_last, "It was silent: there are too few samples to judge.",
        {"Samples": "6; at least 8 are asked for", "State": "ok since {day} 12:03"}),
    "there was nothing to compare with": Reason(
        nothing_before, "It was silent: there is nothing to compare with the time before.",
        {"Value": "none: there is nothing to compare with the time before; it is 6 inferences now, and was no data "
                  "then",
         "No data": "without data it is fine; no value since {day} 12:01"}),
    "there being nothing to compare with was an alert": Reason(
        lambda: nothing_before(no_data="alert", silent=0),
        "It fired (no data): there is nothing to compare with the time before.",
        {"No data": "without data for 0 min it is an alert of its own; no value since {day} 12:01"}),
    "it was zero a week ago": Reason(
        zero_before, "It was silent: there is nothing to compare with a week ago.",
        {"Value": "none: there is nothing to compare with a week ago; it is 12 inferences now, and was 0 inferences "
                  "then"}),
    "a mean had nothing to be compared with": Reason(
        mean_of_nothing_before, "It was silent: there is nothing to compare with a week ago.",
        {"Value": "none: there is nothing to compare with a week ago; it is 120 ms now, and was no data then"}),
    "a mean was not measured now": Reason(
        nothing_now, "It was silent: nothing was measured.",
        {"Value": "no data, of 0 samples", "No data": "without data it is fine; nothing since {day} 12:01"}),
    "what its calls cost was not known": Reason(
        lambda: unpriced("sum"), "It was silent: no value is known of 3 calls.",
        {"Value": "none: no value is known of 3 calls",
         "No data": "without data it is fine; no value since {day} 12:01"}),
    "what its calls cost in the mean was not known": Reason(
        lambda: unpriced("avg", 1), "It was silent: no value is known of 1 call.", {}),
    "what its calls cost against the time before was not known": Reason(
        lambda: unpriced("avg", change="previous"), "It was silent: no value is known of 3 calls.",
        {"Value": "none: no value is known of 3 calls; it is no data now, and was no data then"}),
    "its calls told no time to the first token": Reason(
        unstreamed, "It fired (no data): no value is known of 1 call.",
        {"Value": "none: no value is known of 1 call"}),
    "its readings could not be divided": Reason(
        no_divisor, "It was silent: no value is known of 1 reading.",
        {"Value": "none: no value is known of 1 reading"}),
    "no data are fine": Reason(
        lambda: silent("ok"), "It was silent: nothing was measured.",
        {"Value": "no data, of 0 samples", "No data": "without data it is fine; nothing since {day} 12:02"}),
    "without data it stayed as it was": Reason(
        lambda: silent("keep", 6), "It fired (warning): nothing was measured.",
        {"No data": "without data it stays as it was; nothing since {day} 12:02"}),
    "no data count as zero": Reason(
        lambda: silent("zero"), "It was silent: the value is within the thresholds.",
        {"No data": "no data count as zero; nothing since {day} 12:02", "Warning": "not beyond > 5 inferences"}),
    "no data are not an alert yet": Reason(
        lambda: silent("alert"), "It was silent: nothing was measured.",
        {"No data": "without data for 10 min it is an alert of its own; nothing since {day} 12:02"}),
    "no data were an alert": Reason(
        gone, "It fired (no data): nothing was measured.",
        {"No data": "without data for 2 min it is an alert of its own; nothing since {day} 12:02",
         "State": "no data since {day} 12:04"}),
    "it was outside its active hours": Reason(
        outside_hours, f"It was silent: {BEYOND}, and outside its active hours nothing begins.",
        {"Active hours": "outside 13:00 to 14:00 on Mon, Tue, Wed, Thu, Fri, UTC: nothing begins"}),
    "nothing was measured of the group": Reason(
        never_measured, "It was silent: nothing was measured for such a group.",
        {"Measured": "inferences where model=l* over 1 min, by model", "Value": "no data, of 0 samples"}),
    "it was grouped otherwise": Reason(
        grouped_otherwise, "It was silent: it was judged as a whole, and not for such a group.",
        {"Groups": "it was judged as a whole"}),
    "it was beyond the warning threshold": Reason(
        fired, f"It fired (warning): {BEYOND}.",
        {"Warning": "beyond > 5 inferences", "Critical": "not beyond > 10 inferences",
         "State": "warning since {day} 12:01", "Alert": "warning, firing; it began at {day} 12:01",
         "Nobody told": "at 12:01:37: no route led to a channel that takes it"}),
    "it was beyond the critical threshold": Reason(
        fired_badly, f"It fired (critical): {BEYOND}.",
        {"Critical": "beyond > 10 inferences", "Alert": "critical, firing; it began at {day} 12:01"}),
    "one group of several fired": Reason(
        of_a_group, f"It fired (warning): {BEYOND}.",
        {"Measured": "inferences over 1 min, by model, endpoint", "Value": "6 inferences, of 6 samples"}),
    "somebody resolved it": Reason(
        resolved_by_somebody, "It was silent: system resolved it at {day} 12:01: restarted.",
        {"State": "warning since {day} 12:01", "Alert": "warning, resolved; it began at {day} 12:01",
         "Ended": "system resolved it at {day} 12:01: restarted"},
        "It is told of again once it was clear, grew worse, or is due to be told once more."),
    "it was shelved": Reason(
        shelved, f"It fired (warning): {BEYOND}.",
        {"Shelved": "by system, since {day} 12:01 until {day} 13:00: deploying"},
        "Nobody was told: no route led to a channel that takes it. It was shelved by system, since {day} 12:01 until "
        "{day} 13:00: deploying."),
    "it was shelved no more": Reason(
        shelved_no_more, f"It fired (warning): {BEYOND}.", {"Alert": "warning, firing; it began at {day} 12:01"}),
    "somebody reopened it": Reason(
        reopened_by_somebody, f"It fired (warning): {BEYOND}.", {"Alert": "warning, firing; it began at {day} 12:01"}),
    "it was in maintenance": Reason(
        suppressed, f"It fired (warning): {BEYOND}.",
        {"In maintenance": "by grace, since {day} 12:01 until {day} 12:30: new disks",
         "Nobody told": "at 12:01:58: it was in maintenance"},
        "Nobody was told: it was in maintenance by grace, since {day} 12:01 until {day} 12:30: new disks."),
    "somebody looked after it": Reason(
        looked_after, f"It fired (warning): {BEYOND}.",
        {"Alert": "warning, acknowledged; it began at {day} 12:01",
         "Looked after": "system has looked after it since {day} 12:01: it is the cache; nobody is told once more "
                         "meanwhile"},
        "Not yet told to webhook 0 (due now)."),
    "a channel took it": Reason(told, f"It fired (warning): {BEYOND}.", {}, "Told to operations."),
    "a channel did not take it": Reason(dead, f"It fired (warning): {BEYOND}.", {},
                                        "Not told to operations (404 There is no such room)."),
    "a channel is tried again": Reason(tried_again, f"It fired (warning): {BEYOND}.", {},
                                       "Not yet told to operations (503 the receiver failed; next try in less than a "
                                       "minute)."),
    "it was too old": Reason(lambda: dropped("expired", "old"), f"It fired (warning): {BEYOND}.", {},
                             "Not told to operations (too old to be of use; 503 the receiver failed)."),
    "its channel was off": Reason(lambda: dropped("skipped", "off"), f"It fired (warning): {BEYOND}.", {},
                                  "Not told to operations (the channel was switched off; 503 the receiver failed)."),
    "its channel was retired": Reason(lambda: dropped("skipped", "retired"), f"It fired (warning): {BEYOND}.", {},
                                      "Not told to operations (the channel was retired; 503 the receiver failed)."),
    "it came and went": Reason(flapping, f"It fired (warning): {BEYOND}.", {},
                               "Not yet told to operations (it comes and goes, and is told once in five minutes; next "
                               "try in 4 minutes)."),
    "it came, went and was over": Reason(lambda: flapping(state="skipped", done_at=timezone.now()),
                                         f"It fired (warning): {BEYOND}.", {},
                                         "Not told to operations (it comes and goes, and is told once in five "
                                         "minutes)."),
}  # fmt: skip


def dated(text: str) -> str:
    return text.replace("{day}", f"{at(0):%d %b}")


def address(rule: UUID, **query: str) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"/admin/alerts/alertrule/{rule}/why/{f'?{urlencode(given)}' if given else ''}"


def stamp(minute: float) -> str:
    return f"{then(minute):%Y-%m-%d %H:%M:%S}"


def address_of_the(alert: UUID) -> str:
    with EVERYONE.enter():
        return address_of(Alert.objects.get(pk=alert))


def page(client: Client, rule: UUID, **query: str) -> str:
    found = client.get(address(rule, **query))
    assert found.status_code == 200
    return unescape(page_of(found))


@pytest.mark.parametrize("reason", REASONS.values(), ids=list(REASONS))
def test_each_reason_is_told_and_named_on_the_page(make_person: Make, reason: Reason) -> None:
    rule, minute, group = reason.came()
    fired, verdict = reason.verdict.startswith("It fired"), dated(reason.verdict)
    heard = dated(reason.heard or (NOBODY if fired else ""))
    wanted = {label: dated(words) for label, words in reason.lines.items()}

    answer = asked(rule, minute, *group)
    assert answer.verdict.startswith(verdict)
    assert answer.verdict.endswith(".")
    assert (answer.fired, answer.heard) == (fired, heard)
    found = lines(answer)
    assert {label: found.get(label) for label in wanted} == wanted

    client = signed_in(make_person("ada", **{OWN: "analyst"}))
    text = page(client, rule, group=", ".join(group), at=stamp(minute))
    assert f"<h1>{verdict}" in text
    assert heard in text
    assert [label for label, words in wanted.items() if f"<dt>{label}</dt><dd>{words}</dd>" not in text] == []


class TestTheMoment:
    def test_is_judged_by_the_version_of_that_time(self) -> None:
        rule = make()
        each_minute(6)
        change(rule, about(critical=20, warning=15), minute=1.8)
        calls(2, 6)
        judge(2)
        found = lines(asked(rule, 1))
        assert (found["Warning"], found["Rule"]) == ("beyond > 5 inferences",
                                                     dated("version 1 by tests, since {day} 12:01: on"))  # fmt: skip
        found = lines(asked(rule, 2))
        assert (found["Critical"][-15:], found["Rule"][:9]) == ("> 20 inferences", "version 2")

    def test_is_of_the_minute_that_was_judged_last_by_then(self) -> None:
        rule = make()
        each_minute(1, 6)
        due, seen = at(2) + timedelta(seconds=LATE), at(2) + timedelta(seconds=LATE) + SOON
        moments = (due, seen - timedelta(milliseconds=2), seen)
        answers = [explaining.explain(the(rule), (), moment, now=at(120)) for moment in moments]
        assert [(one.minute, one.fired) for one in answers] == [(at(1), False), (at(1), False), (at(2), True)]

    def test_is_not_one_before_the_rule_was_made(self) -> None:
        """Which others were judged by."""
        make(name="another")
        judge(1)
        rule = make(minute=1.7)
        answer = explaining.explain(the(rule), (), at(1.71), now=at(1.71))
        assert answer.verdict == "It was silent: the minute until 12:01 is not judged yet."
        judge(2)
        assert asked(rule, 2).verdict == "It was silent: nothing was measured."

    def test_may_be_long_ago(self) -> None:
        """When evaluations are not kept any more, a minute that was judged is known to have been."""
        rule, minute, _ = fired()
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM alerts_evaluation")
        answer = asked(rule, minute, now=30 * 24 * 60)
        assert (answer.fired, lines(answer)["Judged"]) == (True, "the minute until 12:01")

    def test_may_be_so_long_ago_that_values_are_not_known(self) -> None:
        rule, minute, _ = fired()
        answer = asked(rule, minute, now=91 * 24 * 60)
        assert answer.verdict == f"It fired (warning): {BEYOND}."
        assert lines(answer)["Value"] == "it is not known any more: minutes are not kept for so long"
        assert answer.measured == "a value that is not known; asked is > 5 inferences warning, > 10 inferences critical"

    def test_may_be_longer_ago_than_changes_are_kept(self) -> None:
        rule, _, _ = fired()
        evaluation.forget(at(1) + timedelta(days=101))
        assert asked(rule, 1, now=91 * 24 * 60).verdict == "It fired (warning): why is not known any more."
        calls(2, 6)
        judge(2)
        assert asked(rule, 2).verdict == f"It fired (warning): {BEYOND}."

    def test_has_nothing_to_do_with_alerts_that_were_over(self) -> None:
        rule = make()
        each_minute(6, 1, 1)
        answer = asked(rule, 3)
        assert (answer.verdict, answer.alert) == ("It was silent: the value is within the thresholds.", None)
        assert "Alert" not in lines(answer)

    def test_of_an_alert_is_when_it_began(self) -> None:
        rule, _, _ = fired()
        [alert] = alerts()
        answer = explaining.explain(the(rule), (), alert.first_seen_at, now=at(120))
        assert (answer.fired, answer.alert) == (True, alert)

    def test_comes_after_a_change_by_which_it_began_anew(self) -> None:
        """What stood before is not what stands."""
        rule, _, _ = fired()
        change(rule, about(window=2, warning=50), minute=1.8)
        judge(2)
        answer = asked(rule, 2)
        assert answer.verdict == "It was silent: the value is within the thresholds."
        assert lines(answer)["State"] == dated("ok since {day} 12:02")

    def test_comes_after_a_change_with_which_it_went_on(self) -> None:
        rule = make(about(hold=2))
        each_minute(6, 6, 6)
        change(rule, about(hold=9, critical=10), minute=3.8)
        calls(4, 6)
        judge(4)
        answer = asked(rule, 4)
        assert (answer.verdict, lines(answer)["State"]) == (f"It fired (warning): {BEYOND}.",
                                                            dated("warning since {day} 12:03"))  # fmt: skip


class TestWhatCameLate:
    def test_is_counted_and_said_to_be_where_it_would_have_fired(self) -> None:
        rule = make()
        each_minute(4)
        calls(1, 3)
        answer = asked(rule, 1)
        assert (
            answer.verdict == "It was silent: nothing was known to be wrong. With what came later it would be warning."
        )
        assert (answer.fired, answer.tone) == (False, "plain")
        found = lines(answer)
        assert (found["Value"], found["Warning"]) == ("7 inferences, of 7 samples", "beyond > 5 inferences")
        assert found["Counted again"] == "warning, with what came later than it was judged"

    def test_is_where_it_would_have_been_silent(self) -> None:
        rule = make(about("errors", "ratio", per="inferences", warning=0.5))
        store([one_call(1, status="error")] * 2)
        judge(1)
        calls(1, 8)
        answer = asked(rule, 1)
        assert answer.verdict == f"It fired (warning): {BEYOND}. With what came later it would be ok."
        assert lines(answer)["Value"] == (
            "20 %, of 10 samples, with what came later; it was judged by 100 %, of 2 samples"
        )

    def test_is_not_where_nothing_came(self) -> None:
        rule, minute, _ = fired()
        assert "Counted again" not in lines(asked(rule, minute))

    def test_is_told_on_the_page(self, make_person: Make) -> None:
        rule, minute, _ = fired()
        text = page(signed_in(make_person("ada", **{OWN: "analyst"})), rule, at=stamp(minute))
        assert "worked out from the data as they are now: what came late counts" in text


class TestHowItStood:
    @pytest.mark.parametrize(("name", "number"), [("_MOST", 2), ("_MOST_WORK", 3)])
    def test_is_known_however_long_ago_it_began(
        self, monkeypatch: pytest.MonkeyPatch, name: str, number: int
    ) -> None:  # fmt: skip
        monkeypatch.setattr(recounting, name, number)
        rule = make(about(warning_clear=3))
        for minute in range(1, 9):
            calls(minute, 6 if minute == 1 else 4)
        judge_each(1, 8)
        answer = asked(rule, 8)
        assert answer.verdict.startswith("It fired (warning): the value is back behind the threshold, and not yet")
        assert lines(answer)["State"] == dated("warning since {day} 12:01")

    def test_is_known_of_a_window_that_takes_long_to_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(simulation, "minutes", None)
        monkeypatch.setattr(recounting, "_MOST_WORK", 2 * 24 * 60)
        rule = make(about(window=2 * 24 * 60))
        each_minute(6)
        answer = asked(rule, 1)
        assert answer.verdict == f"It fired (warning): {BEYOND}."
        assert lines(answer)["Value"] == "6 inferences, of 6 samples"

    @pytest.mark.parametrize(
        ("room", "verb", "value"),
        [(gauging, "read", "the store did not answer in time"), (simulation, "minutes", "6 inferences, of 6 samples")],
        ids=["at all", "for long"],
    )
    def test_is_known_when_the_store_does_not_answer(
        self, monkeypatch: pytest.MonkeyPatch, room: Any, verb: str, value: str
    ) -> None:
        rule, minute, _ = fired()

        def away(*_: Any, **__: Any) -> None:
            with EVERYONE.enter(), connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")

        monkeypatch.setattr(room, verb, away)
        answer = asked(rule, minute)
        assert answer.verdict == f"It fired (warning): {BEYOND}."
        assert lines(answer)["Value"] == value

    def test_is_told_of_a_group_that_was_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "DAY", 3)
        rule = make(about(by=("model",)))
        each_minute(6)
        judge_each(2, 5)
        answer = asked(rule, 5, "llama")
        assert answer.verdict == "It was silent: nothing had been measured for so long that it was forgotten."
        assert lines(answer)["State"] == dated("forgotten since {day} 12:05")

    def test_is_not_known_of_a_group_for_which_there_was_no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "MOST_GROUPS", 1)
        rule = make(about(by=("model",)))
        store([one_call(1, model="a")] * 9 + [one_call(1, model="b")] * 8)
        judge(1)
        answer = asked(rule, 1, "b")
        assert answer.verdict.startswith("It was silent: the rule has more groups than the 200 that are judged.")
        assert lines(answer)["Groups"] == "1 more than the 200 that are judged"
        assert asked(rule, 1, "a").fired

    def test_is_not_known_of_a_group_of_which_silent_ones_hold_the_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are known, and have no reading now."""
        monkeypatch.setattr(judging, "MOST_GROUPS", 1)
        rule = make(about(by=("model",), no_data="alert", silent=9))
        store([one_call(1, model="a")])
        judge(1)
        store([one_call(2, model="b")])
        judge(2)
        answer = asked(rule, 2, "b")
        assert answer.verdict == "It was silent: the rule has more groups than the 200 that are judged."
        assert lines(answer)["Groups"] == "1 more than the 200 that are judged"

    def test_is_told_of_a_group_that_gave_way_to_a_larger_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "MOST_GROUPS", 1)
        rule = make(about(by=("model",)))
        store([one_call(1, model="a")])
        judge(1)
        store([one_call(2, model="a"), *[one_call(2, model="b")] * 4])
        judge(2)
        answer = asked(rule, 2, "a")
        assert answer.verdict == "It was silent: the rule has more groups than the 200 that are judged."

    def test_is_judged_again_of_the_asked_group_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = make(about(by=("model",), hold=2))
        for minute in (1, 2, 3):
            store([one_call(minute, model=model) for model in "ab" for _ in range(6)])
            judge(minute)
        read: list[set[Group]] = []
        minutes = simulation.minutes

        def watched(*given: Any, **more: Any) -> Minutes:
            found = minutes(*given, **more)
            read.append({group for _, one in found for group in one})
            return found

        monkeypatch.setattr(simulation, "minutes", watched)
        answer = asked(rule, 3, "b")
        assert answer.verdict == f"It fired (warning): {BEYOND}."
        assert lines(answer)["For"] == dated("beyond the threshold since {day} 12:01; it has to be for 2 min, until "
                                             "{day} 12:03")  # fmt: skip
        assert read == [{("b",)}]


class TestWhatItAsksFor:
    @pytest.fixture
    def analyst(self, make_person: Make) -> Client:
        return signed_in(make_person("ada", **{OWN: "analyst"}))

    def test_is_now_where_no_time_is_given(self, analyst: Client) -> None:
        rule, _, _ = fired()
        text = page(analyst, rule)
        assert "It fired, and the minute until" in text
        assert re.search(r"at <time datetime=[^>]+>" + f"{datetime.now(UTC):%Y-%m-%d}", text)

    @pytest.mark.parametrize(
        ("typed", "wrong"),
        [
            ("yesterday", "“yesterday” is no time; write it as 20"),
            ("12:30", "“12:30” is no time; write it as 20"),
            ("2026-02-30 12:00", "“2026-02-30 12:00” is no time; write it as 20"),
            ("2999-01-01 00:00", "“2999-01-01 00:00” lies ahead: nothing is known of it yet."),
            ("9999-12-31T23:59:59-14:00", "“9999-12-31T23:59:59-14:00” is no time"),
            ("x" * 60, f"“{'x' * 40}…” is no time"),
            ("2026\x00", "“2026” is no time"),
            (HOSTILE, f"“{HOSTILE[:40]}…” is no time"),
        ],
        ids=["words", "hour", "day", "future", "far future", "long", "nul", "hostile"],
    )  # fmt: skip
    def test_is_told_where_it_is_no_time(self, analyst: Client, typed: str, wrong: str) -> None:
        rule, _, _ = fired()
        text = page(analyst, rule, at=typed)
        assert f"At: {wrong}" in text
        assert "<h1>Why? calls</h1>" in text
        assert "What had a say" not in text

    @pytest.mark.parametrize("typed", ["0001-01-01 00:00", "1999-12-31", "2000-01-01T00:00:00+14:00"])
    def test_may_be_any_time_there_was(self, analyst: Client, typed: str) -> None:
        rule, _, _ = fired()
        assert "It was silent: there was no such rule yet." in page(analyst, rule, at=typed)

    def test_is_in_utc_unless_it_says_otherwise(self, analyst: Client) -> None:
        rule, minute, _ = fired()
        moment = then(minute)
        for typed in (f"{moment:%Y-%m-%d %H:%M:%S}", f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                      f"{moment + timedelta(hours=2):%Y-%m-%d %H:%M:%S}+02:00"):  # fmt: skip
            assert "It fired (warning)" in page(analyst, rule, at=typed)

    def test_is_the_group_that_changed_last_where_none_is_named(self, analyst: Client) -> None:
        rule = make(about(by=("model",)))
        store([one_call(1, model="a")] * 6 + [one_call(1, model="b")] + [one_call(2, model="b")] * 7)
        judge(1)
        judge(2)
        store([one_call(3, model="a")] * 6 + [one_call(3, model="b")] * 7)
        judge(3)
        text = page(analyst, rule, at=stamp(3))
        assert re.findall(r'name="group" id="why-group" value="(.*?)"', text) == ["a"]
        assert re.findall(r'<option value="(.*?)">', text) == ["a", "b"]
        assert "6 inferences, of 6 samples" in text
        text = page(analyst, rule, group="b", at=stamp(3))
        assert "7 inferences, of 7 samples" in text

    def test_may_be_a_group_that_was_never_judged(self, analyst: Client) -> None:
        rule, _, _ = of_a_group()
        judge(2)
        for group in ("c, eu", HOSTILE.replace(", ", ";") + ", eu", "–, –"):
            assert "nothing was measured for such a group" in page(analyst, rule, group=group, at=stamp(2))
        for group in ("c", "a, b, c"):
            text = page(analyst, rule, group=group, at=stamp(2))
            assert "It was silent: it was judged by model, endpoint, and not for such a group." in text

    def test_knows_a_group_whose_values_are_empty(self, analyst: Client) -> None:
        make(about(by=("endpoint", "model")))
        store([one_call(1, model="a", endpoint="")] * 6)
        judge(1)
        [alert] = alerts()
        text = unescape(page_of(analyst.get(address_of_the(alert.pk))))
        assert re.findall(r'name="group" id="why-group" value="(.*?)"', text) == ["–, a"]
        assert "It fired (warning)" in text

    def test_is_asked_by_no_group_of_a_rule_that_has_none(self, analyst: Client) -> None:
        rule, _, _ = fired()
        assert "why-group" not in page(analyst, rule)
        grouped = make(about(by=("model",)), name="grouped")
        text = page(analyst, grouped)
        assert 'for="why-group">Group <span class="quiet">model</span>' in text
        assert "It was silent: it was judged by model, and no group is named." in text


class TestWhoMay:
    def test_everybody_who_reads_the_organizations_data(self, make_person: Make) -> None:
        rule, minute, _ = fired()
        for role in ("owner", "operator", "analyst"):
            text = page(signed_in(make_person(role, **{OWN: role})), rule, at=stamp(minute))
            assert "It fired (warning)" in text

    def test_executives_have_no_admin(self, make_person: Make) -> None:
        rule, _, _ = fired()
        client = signed_in(make_person("eve", **{OWN: "executive"}))
        assert client.get(address(rule), follow=True).status_code == 403

    def test_of_another_organization_there_is_nothing(self, make_person: Make) -> None:
        rule, _, _ = of_a_group()
        client = signed_in(make_person("ada", **{OTHER: "owner"}))
        for query in ({}, {"at": stamp(1)}, {"at": "odd"}, {"group": "a, eu"}):
            answer = client.get(address(rule, **query))
            assert (answer.status_code, b"eu" in answer.content.split(b"<main")[-1]) == (404, False)
        for name in ("nonsense", str(UUID(int=7))):
            assert client.get(f"/admin/alerts/alertrule/{name}/why/").status_code == 404

    def test_nobody_sees_what_another_organization_was_told(self, make_person: Make) -> None:
        """A rule and an alert of the same names."""
        route(channel(URL, name="theirs", organization=OTHER), organization=OTHER)
        rule = make()
        make(organization=OTHER)
        calls(1, 6, organization=OTHER)
        each_minute(4)
        text = page(signed_in(make_person("ada", **{OWN: "analyst"})), rule, at=stamp(1))
        assert "the value is within the thresholds" in text
        assert "theirs" not in text


class TestLinks:
    def test_lead_from_an_alert_to_why_it_fired(self, make_person: Make) -> None:
        rule = make(about(by=("endpoint", "model")))
        store([one_call(1, model=name, endpoint="eu & us") for name in "ab" for _ in range(6)])
        judge(1)
        client = signed_in(make_person("ada", **{OWN: "analyst"}))
        _, second = alerts()
        address = address_of_the(second.pk)
        assert parse_qs(urlsplit(address).query) == {"group": ["eu & us, b"], "at": [f"{at(1):%Y-%m-%d} 12:01:37.000"]}
        text = unescape(page_of(client.get(f"/admin/alerts/alert/{second.pk}/change/")))
        assert f'<a href="{address}">Why did it fire?</a>' in text
        text = unescape(page_of(client.get(address)))
        assert f"<h1>It fired (warning): {BEYOND}.</h1>" in text
        assert f'href="/admin/alerts/alert/{second.pk}/change/">Its alert: ' in text
        assert f'href="/admin/alerts/alertrule/{rule}/change/"' in text

    def test_lead_to_the_group_of_that_time(self) -> None:
        rule = make(about(by=("model",)))
        each_minute(6)
        change(rule, about(by=("endpoint",)), minute=1.8)
        [alert] = alerts()
        assert parse_qs(urlsplit(address_of_the(alert.pk)).query)["group"] == ["llama"]

    def test_lead_nowhere_from_what_no_rule_raised(self, make_person: Make) -> None:
        theirs = make(organization=OTHER)
        client = signed_in(make_person("ada", **{OWN: "analyst"}))
        for number, known in enumerate(("nonsense", HOSTILE, "", None, 7, ["x"], str(theirs), str(UUID(int=7)))):
            alert = fire(metadata={"ruleId": known}, labels={"number": str(number)}).state
            assert "Why did it fire?" not in page_of(client.get(f"/admin/alerts/alert/{alert.id}/change/"))

    def test_lead_nowhere_from_a_rule_that_failed(self) -> None:
        in_error()
        [alert] = alerts()
        assert (alert.alert_type, address_of_the(alert.pk)) == ("rule_failed", "")

    def test_cost_the_page_of_an_alert_one_query(self, make_person: Make) -> None:
        client = signed_in(make_person("ada", **{OWN: "analyst"}))

        def queries(alert: UUID) -> int:
            path = f"/admin/alerts/alert/{alert}/change/"
            client.get(path)
            with CaptureQueriesContext(connection) as found:
                client.get(path)
            return len(found)

        without = queries(fire().state.id)
        fired()
        [alert] = alerts(alert_type="rule")
        assert queries(alert.pk) == without + 1

    def test_lead_from_a_rule_to_why(self, make_person: Make) -> None:
        rule, _, _ = fired()
        client = signed_in(make_person("ada", **{OWN: "analyst"}))
        text = page_of(client.get(f"/admin/alerts/alertrule/{rule}/change/"))
        assert f'<a href="/admin/alerts/alertrule/{rule}/why/">Why?</a>' in text


def test_of_many_channels_those_that_heard_are_told_apart_from_those_that_did_not() -> None:
    made = [channel(URL, name=f"channel {number}") for number in range(7)]
    route(*made)
    rule, minute, _ = fired()
    for one in claim():
        if one.channel == made[6]:
            report(one, "refused")
        elif one.channel != made[5]:
            report(one)
    assert asked(rule, minute).heard == (
        "Told to channel 0, channel 1, channel 2, channel 3 and 1 more. Not yet told to channel 5 (being sent). Not "
        "told to channel 6 (the receiver does not want this notice)."
    )


def test_what_channels_answered_is_listed_with_its_delivery(make_person: Make) -> None:
    rule, minute, _ = dead()
    [delivery] = deliveries()
    text = page(signed_in(make_person("ada", **{OWN: "analyst"})), rule, at=stamp(minute))
    listed = text.split('id="why-told"')[1]
    assert f'href="/admin/alerts/channel/{delivery.channel_id}/change/">operations</a>' in listed
    assert f'href="/admin/alerts/delivery/{delivery.pk}/change/"' in listed
    assert "404 There is no such room." in listed


@pytest.mark.parametrize("page_of_what", ["alertrule", "channel"])
def test_what_was_dropped_after_a_try_says_why_before_what_was_answered(
    make_person: Make, page_of_what: str
) -> None:  # fmt: skip
    rule, minute, _ = dropped("skipped", "off")
    [delivery] = deliveries()
    client = signed_in(make_person("ada", **{OWN: "analyst"}))
    where = address(rule, at=stamp(minute)) if page_of_what == "alertrule" else (
        f"/admin/alerts/channel/{delivery.channel_id}/change/")  # fmt: skip
    listed = unescape(page_of(client.get(where))).split('class="told-said"')[1]
    assert "the channel was switched off; 503 the receiver failed" in listed.split("</p>")[0]
