"""What follows from tries: how their deliveries stand, how their channels are, and who is told that one fails."""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction
from msgspec import Struct

from alerts import deliveries, lifecycle, lost, schedule, tallies
from alerts.claims import Claimed
from alerts.deliveries import Verdict
from alerts.sending import SENT, Tried
from alerts.states import Severity
from bedrock import failpoints
from monitoring import pubsub
from organizations import audit
from organizations.scope import Scope

LATE = timedelta(minutes=10)  # that a notice may be before its channel is an alert
MISSED = timedelta(minutes=5)  # without a pulse that was taken (each is replaced by the next): their switch is one
_HEALTH = """
WITH told AS (SELECT * FROM jsonb_to_recordset(%s::jsonb) AS row(id uuid, organization_id text, succeeded boolean,
    failures integer, failed text, rests_until timestamptz, tried_out boolean))
UPDATE alerts_channel AS channel SET
    failures = CASE WHEN told.succeeded THEN told.failures ELSE channel.failures + told.failures END,
    last_success_at = CASE WHEN told.succeeded THEN %s ELSE channel.last_success_at END,
    last_failure_at = CASE WHEN told.failed <> '' THEN %s ELSE channel.last_failure_at END,
    last_failure = CASE WHEN told.failed <> '' THEN told.failed ELSE channel.last_failure END,
    paused_until = CASE WHEN told.tried_out THEN '-infinity' ELSE greatest(channel.paused_until, told.rests_until) END
FROM told WHERE channel.id = told.id AND channel.organization_id = told.organization_id
"""
# Unless something got through since the notice was made: then it is about the notice after all.
_FAIL = """
UPDATE alerts_channel SET state = 'failed', state_because = %(words)s, changed_at = %(now)s
WHERE id = %(id)s AND organization_id = %(organization)s AND state = 'on'
AND (%(gone)s OR last_success_at IS NULL OR last_success_at < %(since)s) RETURNING id
"""
# Alerts about channels that nobody means to mend.
_MOOT = """
WITH moot AS (SELECT id, organization_id, alert_id FROM alerts_channel
    WHERE alert_id IS NOT NULL AND state IN ('off', 'retired') ORDER BY id FOR NO KEY UPDATE)
UPDATE alerts_channel AS channel SET alert_id = NULL FROM moot
WHERE channel.id = moot.id AND channel.organization_id = moot.organization_id
RETURNING moot.organization_id, moot.alert_id
"""
# What was written down at the very moment at which its channel was switched off, which dropped what it saw.
_ORPHANED = """
UPDATE alerts_delivery AS mine SET state = 'skipped', because = channel.state, done_at = %s
FROM alerts_channel AS channel WHERE channel.id = mine.channel_id AND channel.organization_id = mine.organization_id
AND channel.state IN ('off', 'retired') AND mine.done_at IS NULL AND mine.state = 'pending'
"""


class _Health(Struct, frozen=True):
    """What several tries say of one channel: whether any got through, and the failures since.

    Only a test by hand that got through ends a rest: what else did was under way when the receiver asked for it.
    """

    id: UUID
    organization_id: str
    succeeded: bool
    failures: int
    failed: str
    rests_until: datetime
    tried_out: bool


def settle(tries: Sequence[Tried], *, now: datetime, chance: Callable[[], float] = random.random) -> None:
    """Write what became of them, in one transaction with the alerts that follow; late reports are not heard."""
    tries = list({one.claimed.id: one for one in sorted(tries, key=lambda one: one.claimed.attempt)}.values())
    verdicts = {one.claimed.id: _verdict(one, now=now, chance=chance()) for one in tries}
    with deliveries.SCOPE.enter():
        ours = deliveries.settle(list(verdicts.values()), now=now)
        heard = [one for one in tries if one.claimed.id in ours]
        _note_health(heard, now)
        _tell_late([one for one in heard if verdicts[one.claimed.id].state == "pending"], now)
        for one in heard:
            if verdicts[one.claimed.id].state == "dead" and one.claimed.event != "test":
                _tell_of(one, now)
        _tell_of_mended(heard, now)
        organizations = {one.claimed.organization for one in heard}
        transaction.on_commit(lambda: pubsub.announce(organizations))
        transaction.on_commit(lambda: tallies.count_deliveries(_counted(heard, verdicts, now)))
    failpoints.reach("delivery.settled")


def end_moot(now: datetime) -> int:
    """What was said of channels that people have switched off since, or retired, is over, and what waits for them;
    of how many channels something was said.
    """
    with deliveries.SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_ORPHANED, [now])
        cursor.execute(_MOOT)
        rows = cursor.fetchall()
        for organization, alert in rows:
            _resolve(organization, alert, now, "The channel was switched off.")
    return len(rows)


def _resolve(organization: str, alert: UUID, now: datetime, note: str) -> None:
    lifecycle.resolve(scope=Scope.of(organization), ids=[alert], now=now, via="system", note=note)


def _verdict(tried: Tried, *, now: datetime, chance: float) -> Verdict:
    one = tried.claimed
    common: dict[str, Any] = {
        "id": one.id, "organization_id": one.organization, "attempt": one.attempt, "took_ms": tried.took_ms,
        "status": tried.status, "words": tried.words, "answer": tried.answer, "unsure": tried.unsure,
        "reference": tried.reference,
    }  # fmt: skip
    if tried.failure is None:
        return Verdict(**common, outcome=SENT, state=SENT, done_at=now)
    wait = schedule.next_wait(tried.failure, one.tries, chance=chance, retry_after=tried.retry_after)
    if wait is None or one.event == "test":  # of which somebody was told right away how it went
        return Verdict(**common, outcome=tried.failure, state="dead", because=tried.failure, done_at=now)
    return Verdict(**common, outcome=tried.failure, state="pending", next_at=now + wait)


def _note_health(tries: Iterable[Tried], now: datetime) -> None:
    """One row a channel, in the order of their ids, so that no two of us wait for each other."""
    by_channel: dict[UUID, list[Tried]] = {}
    for one in tries:
        by_channel.setdefault(one.claimed.channel, []).append(one)
    if by_channel:
        health = [_health(found, now) for _, found in sorted(by_channel.items())]
        with connection.cursor() as cursor:
            cursor.execute(_HEALTH, [msgspec.json.encode(health).decode(), now, now])


def _health(tries: Sequence[Tried], now: datetime) -> _Health:
    one, succeeded, failures, failed, rest = tries[0].claimed, False, 0, "", now
    for tried in tries:
        if tried.failure is None:
            succeeded, failures = True, 0
            continue
        failed = tried.words or tried.failure
        if tried.reference:  # it reached somebody
            continue
        failures += 1
        so_far = failures + (0 if succeeded else one.failures)
        rest = max(rest, now + schedule.pause(tried.failure, so_far, retry_after=tried.retry_after))
    tried_out = not failures and any(tried.failure is None and tried.claimed.event == "test" for tried in tries)
    return _Health(one.channel, one.organization, succeeded, failures, failed, rest, tried_out)


def _tell_of(tried: Tried, now: datetime) -> None:
    """A notice that nobody will hear: an alert, told through other channels; and the channel, if it is about that."""
    failure = tried.failure
    assert failure is not None
    fails = schedule.POLICIES[failure].about == "channel" and _fail(tried, now)
    what = "is switched off, since" if fails else "is still on, but"
    _tell(tried, "critical" if fails else "warning", f"{what} a notice could not be delivered: ", now)


def _tell_late(tries: Iterable[Tried], now: datetime) -> None:
    """A notice that is tried in vain for long: people hear of it days before it is given up."""
    late = {
        one.claimed.channel: one
        for one in tries
        if one.failure is not None and one.claimed.channel_alert is None and (
            (one.claimed.happened is not None and now - one.claimed.queued_at >= LATE)
            or (one.claimed.event == "pulse" and now - one.claimed.quiet_since >= MISSED))
    }  # fmt: skip
    for one in late.values():
        _tell(one, "warning", "has not taken a notice for a while, which is tried on: ", now)


def _tell(tried: Tried, severity: Severity, what: str, now: datetime) -> None:
    one, failure = tried.claimed, str(tried.failure)
    if one.source == "live":
        status = {"status": tried.status} if tried.status else {}
        lost.tell(
            organization=one.organization, channel=one.channel, name=one.channel_name, severity=severity,
            words=f"{what}{tried.words or failure}", more={"failure": failure, "tries": one.attempt, **status}, now=now,
        )  # fmt: skip


def _fail(tried: Tried, now: datetime) -> bool:
    """Whether the channel is off from now on, so that nothing more is sent into the void."""
    one = tried.claimed
    words = tried.words or str(tried.failure)
    with connection.cursor() as cursor:
        cursor.execute(
            _FAIL,
            {"words": words, "now": now, "id": one.channel, "organization": one.organization,
             "gone": tried.failure == "gone", "since": one.queued_at},
        )  # fmt: skip
        failed = cursor.fetchone() is not None
        state = "SELECT state = 'failed' FROM alerts_channel WHERE id = %s AND organization_id = %s"
        cursor.execute(state, [one.channel, one.organization])
        is_off: bool = cursor.fetchone()[0]  # maybe since another notice that failed with it
    if failed and one.source == "live":
        audit.record(
            organization=one.organization, action="switched_off", object_type="channel", object_id=str(one.channel),
            object_text=one.channel_name, changes={"state": ["on", "failed"], "because": ["", words]},
        )  # fmt: skip
    return is_off


def _tell_of_mended(tries: Iterable[Tried], now: datetime) -> None:
    """The alert about a channel is over once something gets through it; a test through one that is off is no proof."""
    mended = {one.claimed.channel: one.claimed for one in tries if one.failure is None and one.claimed.channel_alert}
    for one in mended.values():
        assert one.channel_alert is not None
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE alerts_channel SET alert_id = NULL WHERE id = %s AND organization_id = %s AND alert_id = %s "
                "AND state <> 'failed'",
                [one.channel, one.organization, one.channel_alert],
            )
            if not cursor.rowcount:
                continue
        _resolve(one.organization, one.channel_alert, now, "A notice got through.")


def _counted(tries: Iterable[Tried], verdicts: dict[int, Verdict], now: datetime) -> list[tuple[Claimed, str, float]]:
    """Of each live one: how it stands, and the seconds since it was due. What tries out a channel or shows that it is
    there is no notice of anything.
    """
    return [
        (one.claimed, "retried" if verdicts[one.claimed.id].state == "pending" else verdicts[one.claimed.id].state,
         (now - one.claimed.queued_at).total_seconds())
        for one in tries if one.claimed.source == "live" and one.claimed.event not in ("test", "pulse")
    ]  # fmt: skip
