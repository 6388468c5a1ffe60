"""The rows of the outbox: claimed with a lease, reported on behind a fence, dropped when nobody is helped by them.

Nothing here sends; `dispatching` does. Every verb can be done by any number of processes at once.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from msgspec import Struct, structs

from alerts.claims import Claimed, read
from alerts.routing import FLAPPING, heard
from alerts.schedule import PATIENCE
from bedrock import failpoints
from organizations.scope import Scope

LEASE = timedelta(seconds=15)  # longer than anything that one notice may take
SCOPE = Scope.system("deliver")
_DUE = "done_at IS NULL AND next_at <= %(now)s"
# Channels that are on, rested, and have something due; and whether another process is just at one of them, which is not
# waited for: it may have looked before what is due now was there.
_HOLD = f"""
WITH due AS MATERIALIZED (SELECT id FROM alerts_channel AS channel
    WHERE channel.state = 'on' AND channel.paused_until <= %(now)s
    AND EXISTS (SELECT FROM alerts_delivery AS due WHERE due.channel_id = channel.id AND due.{_DUE})),
held AS MATERIALIZED (SELECT id FROM alerts_channel AS channel WHERE channel.id IN (SELECT id FROM due)
    AND channel.state = 'on' AND channel.paused_until <= %(now)s FOR NO KEY UPDATE SKIP LOCKED)
SELECT array(SELECT id FROM held), EXISTS (SELECT FROM due WHERE id NOT IN (SELECT id FROM held))
"""
# Of each the head of every alert's line, as many as it has room for and its pace allows; and of all those a fair share
# for each. A channel that fails is tried with one at a time, so that those that hang leave threads to the others. The
# pace is a time until which what was sent has used it up; a burst may run ahead of the present. What is still being
# sent when its lease is over was lost by its sender, and may have been taken all the same. Nobody is told of an end
# whose beginning was given up while it was written down. The earlier ones of a line are asked for by their states: by
# `done_at` all that is due would be read for each head, in a table that was not analyzed since it grew.
_CLAIM = f"""
WITH free AS (
    SELECT channel.id, channel.organization_id, greatest(channel.free_at, %(now)s) AS busy_until,
        60.0 / channel.per_minute AS each, least(
            CASE WHEN channel.failures < {PATIENCE} THEN channel.at_once ELSE 1 END
                - (SELECT count(*) FROM alerts_delivery AS sent WHERE sent.channel_id = channel.id
                    AND sent.state = 'sending' AND sent.next_at > %(now)s),
            floor(extract(epoch FROM %(now)s - greatest(channel.free_at, %(now)s)) * channel.per_minute / 60.0
                + channel.burst + 0.000001)) AS room
    FROM alerts_channel AS channel WHERE channel.id = ANY(%(held)s)),
heads AS (
    SELECT head.id, head.state, head.attempt, free.id AS channel_id, free.organization_id, free.room,
        row_number() OVER (PARTITION BY free.id ORDER BY head.next_at, head.id) AS turn
    FROM free CROSS JOIN LATERAL (
        SELECT one.id, one.next_at, one.state, one.attempt FROM alerts_delivery AS one
        WHERE one.channel_id = free.id AND one.{_DUE} AND NOT EXISTS (
            SELECT FROM alerts_delivery AS earlier WHERE earlier.alert_id = one.alert_id
            AND earlier.channel_id = one.channel_id AND earlier.id < one.id AND earlier.state IN ('pending', 'sending'))
        AND (one.event NOT IN ('acknowledge', 'resolve') OR {heard("one.alert_id", "one.channel_id", "one.id")})
        AND (one.because <> '{FLAPPING}' OR EXISTS (SELECT FROM alerts_alert AS alert
            WHERE alert.id = one.alert_id AND alert.suppressed_by = '[]'))
        ORDER BY one.next_at, one.id LIMIT 1 + greatest(0, least(free.room, %(most)s))) AS head),
taken AS (SELECT * FROM heads WHERE turn <= room ORDER BY turn LIMIT %(most)s),
paced AS (UPDATE alerts_channel AS channel
    SET free_at = free.busy_until + mine.number * free.each * interval '1 second'
    FROM free JOIN (SELECT channel_id, count(*) AS number FROM taken GROUP BY channel_id) AS mine
        ON mine.channel_id = free.id
    WHERE channel.id = free.id AND channel.organization_id = free.organization_id),
lost AS (INSERT INTO alerts_attempt (organization_id, delivery_id, number, at, outcome, words, answer)
    SELECT organization_id, id, attempt, %(now)s, 'lost', 'The process that sent it ended in the middle.', ''
    FROM taken WHERE state = 'sending' ON CONFLICT DO NOTHING),
leased AS (UPDATE alerts_delivery AS mine SET state = 'sending', attempt = mine.attempt + 1,
    next_at = %(until)s, unsure = mine.unsure OR mine.state = 'sending'
    FROM taken WHERE mine.id = taken.id AND mine.organization_id = taken.organization_id
    AND mine.attempt = taken.attempt AND mine.{_DUE} RETURNING mine.id)
SELECT array(SELECT id FROM leased), EXISTS (SELECT FROM heads WHERE turn > room)
"""
_OLDEST_DUE = """
SELECT extract(epoch FROM clock_timestamp() - min(one.next_at))::float8
FROM alerts_channel AS channel CROSS JOIN LATERAL (SELECT due.next_at FROM alerts_delivery AS due
    WHERE due.channel_id = channel.id AND due.done_at IS NULL AND due.state = 'pending'
    AND NOT EXISTS (SELECT FROM alerts_delivery AS earlier WHERE earlier.alert_id = due.alert_id
        AND earlier.channel_id = due.channel_id AND earlier.id < due.id AND earlier.state IN ('pending', 'sending'))
    ORDER BY due.next_at LIMIT 1) AS one
WHERE channel.state = 'on' AND channel.paused_until <= clock_timestamp() AND one.next_at <= clock_timestamp()
"""
# Of what was tried and did not get through since then, as nothing else did either: of how long ago the oldest is.
_IN_VAIN = """
SELECT extract(epoch FROM clock_timestamp() - min(one.queued_at))::float8 FROM alerts_delivery AS one
JOIN alerts_channel AS channel ON channel.id = one.channel_id AND channel.organization_id = one.organization_id
WHERE one.done_at IS NULL AND one.attempt > one.replayed_after AND one.event NOT IN ('pulse', 'test')
AND channel.state = 'on' AND channel.source = 'live' AND NOT EXISTS (SELECT FROM alerts_channel AS other
    WHERE other.source = 'live' AND other.last_success_at >= one.queued_at)
"""
_VERDICTS: Mapping[str, str] = {
    "id": "bigint", "organization_id": "text", "attempt": "integer", "state": "text", "because": "text",
    "next_at": "timestamptz", "done_at": "timestamptz", "unsure": "boolean", "reference": "jsonb",
    "took_ms": "integer", "outcome": "text", "status": "integer", "words": "text", "answer": "text",
}  # fmt: skip
# Only of the newest attempt: who was away for longer than a lease has nothing to say any more. Channels are held before
# deliveries, in one order, as they are where deliveries are claimed: so nobody waits for each other.
_SETTLE = f"""
SELECT id FROM alerts_channel WHERE id IN (SELECT channel_id FROM alerts_delivery WHERE id = ANY(%(ids)s))
ORDER BY id FOR NO KEY UPDATE;
WITH told AS (SELECT * FROM jsonb_to_recordset(%(verdicts)s::jsonb)
    AS row({", ".join(f"{name} {kind}" for name, kind in _VERDICTS.items())})),
settled AS (UPDATE alerts_delivery AS mine SET state = told.state, because = told.because, done_at = told.done_at,
    next_at = coalesce(told.next_at, mine.next_at), unsure = mine.unsure OR told.unsure,
    reference = CASE WHEN told.state = 'sent' OR told.reference <> '{{}}' THEN told.reference ELSE mine.reference END
    FROM told WHERE mine.id = told.id AND mine.organization_id = told.organization_id AND mine.id = ANY(%(ids)s)
    AND mine.attempt = told.attempt AND mine.state = 'sending' RETURNING mine.id),
noted AS (INSERT INTO alerts_attempt (organization_id, delivery_id, number, at, took_ms, outcome, status, words, answer)
    SELECT organization_id, id, attempt, %(now)s, took_ms, outcome, status, words, answer
    FROM told WHERE id IN (SELECT id FROM settled) ON CONFLICT DO NOTHING)
SELECT id FROM settled
"""
# Whoever never heard that it began does not hear that it is over, or that somebody looks after it.
_UNHEARD = f"""
UPDATE alerts_delivery AS mine SET state = 'skipped', because = 'unheard', done_at = %(now)s
WHERE mine.done_at IS NULL AND mine.state = 'pending' AND mine.event IN ('acknowledge', 'resolve') {{narrowed}}
AND NOT {heard("mine.alert_id", "mine.channel_id", "mine.id")}
RETURNING mine.organization_id
"""
_RELEASE = """
WITH released AS (UPDATE alerts_delivery SET state = 'pending', because = '', next_at = %(next_at)s,
        unsure = unsure OR %(unsure)s, replayed_after = CASE WHEN %(unsure)s THEN replayed_after ELSE attempt END
    WHERE id = %(id)s AND state = 'sending' AND (%(attempt)s IS NULL OR attempt = %(attempt)s)
    RETURNING id, organization_id, attempt)
INSERT INTO alerts_attempt (organization_id, delivery_id, number, at, outcome, words, answer)
SELECT organization_id, id, attempt, %(now)s, %(outcome)s, %(words)s, ''
FROM released ON CONFLICT DO NOTHING
"""
_ENDED = "The process that sent it was told to end."
_UNREADABLE, _PUT_OFF = "This version cannot read it.", timedelta(minutes=10)


class Verdict(Struct, frozen=True, kw_only=True):
    """How a delivery stands after a try, and what the log says of the try."""

    id: int
    organization_id: str
    attempt: int
    state: str
    because: str = ""
    next_at: datetime | None = None
    done_at: datetime | None = None
    unsure: bool = False
    reference: Mapping[str, Any] = {}
    took_ms: int
    outcome: str
    status: int | None = None
    words: str = ""
    answer: str = ""


def clock() -> datetime:
    """What time it is by the database, by whose clock leases and ages are measured."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def oldest_due() -> float | None:
    """Seconds that the notice has been due that waits the longest, of channels that are on and rested; else None."""
    return _seconds(_OLDEST_DUE)


def in_vain() -> float | None:
    """Seconds since the oldest notice that was tried in vain, where nothing has got through any channel since; or None.

    So it is when the network to the outside is cut: every channel rests then, and nothing is due.
    """
    return _seconds(_IN_VAIN)


def _seconds(statement: str) -> float | None:
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(statement)
        found: float | None = cursor.fetchone()[0]
    return found


def claim(*, now: datetime, most: int, asked_at: float | None = None) -> tuple[list[Claimed], bool]:
    """At most `most` deliveries that are due, leased to the caller, and whether others will be before long.

    Those wait for their channel's pace, or for another process that is at their channel right now.

    Args:
        asked_at: what `time.monotonic()` said before anybody asked for `now`.
    """
    leased_at = time.monotonic() if asked_at is None else asked_at
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_HOLD, {"now": now})
        held, left = cursor.fetchone()
        if not held:
            return [], left
        # A statement of its own, which sees what was committed before the channels were ours.
        cursor.execute(_CLAIM, {"now": now, "until": now + LEASE, "most": most, "held": held})
        ids, paced = cursor.fetchone()
        failpoints.reach("delivery.claiming")
        claimed = [structs.replace(one, leased_at=leased_at) for one in read(ids)]
        # A newer version may have written it, and is left time to send it; others do not wait for that.
        for unreadable in set(ids) - {one.id for one in claimed}:
            _give_back(cursor, unreadable, None, now, now + _PUT_OFF, "fault", _UNREADABLE, unsure=False)
    failpoints.reach("delivery.claimed")
    return claimed, paced or left


def settle(verdicts: Sequence[Verdict], *, now: datetime) -> set[int]:
    """Write what became of these tries; the ids of those that were still ours. In the caller's transaction."""
    if not verdicts:
        return set()
    with connection.cursor() as cursor:
        told = msgspec.json.encode(verdicts).decode()
        cursor.execute(_SETTLE, {"verdicts": told, "ids": [one.id for one in verdicts], "now": now})
        cursor.nextset()
        settled = {identifier for (identifier,) in cursor.fetchall()}
        if unheard := [one.id for one in verdicts if one.id in settled and one.state == "dead"]:
            narrowed = "AND mine.alert_id IN (SELECT alert_id FROM alerts_delivery WHERE id = ANY(%(of)s))"
            cursor.execute(_UNHEARD.format(narrowed=narrowed), {"now": now, "of": unheard})
    failpoints.reach("delivery.settling")
    return settled


def skip_unheard(*, now: datetime) -> set[str]:
    """Drop what tells of something that its receiver never heard of; the organizations it was of."""
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_UNHEARD.format(narrowed=""), {"now": now})
        return {organization for (organization,) in cursor.fetchall()}


def release(claimed: Sequence[Claimed], *, now: datetime) -> None:
    """Give back what is still being sent at the end of a process, for the next one to send at once."""
    with SCOPE.enter(), connection.cursor() as cursor:
        for one in claimed:
            _give_back(cursor, one.id, one.attempt, now, now, "lost", _ENDED, unsure=True)


def _give_back(
    cursor: Any, identifier: int, attempt: int | None, now: datetime, next_at: datetime, outcome: str, words: str, *,
    unsure: bool,
) -> None:  # fmt: skip
    given = {"id": identifier, "attempt": attempt, "now": now, "next_at": next_at, "outcome": outcome, "words": words}
    cursor.execute(_RELEASE, {**given, "unsure": unsure})
