"""What comes too late to help anybody: old notices are dropped, and many that are over summed up, with one summary a
channel; old rows are forgotten.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from alerts import deliveries, lost
from monitoring import pubsub

OLDEST = timedelta(hours=24)  # that a notice may be while its alert is over
GIVEN_UP = timedelta(days=4)  # the long way of tries ends before that, unless the channel was off
# Of alerts that are over, beginnings that nobody was told of within a while are summed up where they are many.
SUMMED_AFTER, MANY = timedelta(minutes=10), 20
KEPT_ALONE, KEPT_PULSES = timedelta(days=90), timedelta(days=2)
_BATCH = 5000
_AGE = "coalesce(one.replayed_at, one.queued_at)"
# Of an alert that is over, or waiting for a channel that nobody mended (also when whoever sent it ended). A pulse is
# dropped by the next. Who follows a beginning waits for what becomes of that, and is dropped with it as unheard.
# Channels are held before deliveries, as they are where these are claimed; what others are at is left to the next run.
_EXPIRE = f"""
WITH held AS MATERIALIZED (SELECT id FROM alerts_channel WHERE id IN (SELECT one.channel_id FROM alerts_delivery AS one
    WHERE one.done_at IS NULL AND {_AGE} < %(old)s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
old AS (SELECT one.id, one.organization_id, one.state
    FROM held JOIN alerts_delivery AS one ON one.channel_id = held.id LEFT JOIN alerts_alert AS alert
        ON alert.id = one.alert_id AND alert.organization_id = one.organization_id
    WHERE one.done_at IS NULL AND (one.state = 'pending' OR one.next_at <= %(now)s)
    AND one.event <> 'pulse' AND {_AGE} < %(old)s
    AND ({_AGE} < %(given_up)s OR one.event = 'test' OR one.event = 'trigger' AND alert.status = 'resolved')
    AND (one.event IN ('trigger', 'test', 'summary') OR NOT EXISTS (SELECT FROM alerts_delivery AS earlier
        WHERE earlier.alert_id = one.alert_id AND earlier.channel_id = one.channel_id AND earlier.id < one.id
        AND earlier.state IN ('pending', 'sending')))
    ORDER BY one.id LIMIT {_BATCH} FOR UPDATE OF one SKIP LOCKED)
UPDATE alerts_delivery AS mine SET state = 'expired', because = 'old', done_at = %(now)s,
    unsure = mine.unsure OR old.state = 'sending'
FROM old WHERE mine.id = old.id AND mine.organization_id = old.organization_id
RETURNING mine.organization_id, mine.channel_id, mine.event IN ('test', 'summary')
"""
# Where a summary waits already, it takes up whatever comes on top. What people sent again by hand is sent.
_SUM_UP = f"""
WITH over AS (SELECT one.id, one.organization_id, one.channel_id FROM alerts_delivery AS one JOIN alerts_alert AS alert
        ON alert.id = one.alert_id AND alert.organization_id = one.organization_id AND alert.status = 'resolved'
    WHERE one.state = 'pending' AND one.event = 'trigger' AND one.attempt = 0 AND one.because = ''
    AND one.replayed_at IS NULL
    AND one.queued_at < %(before)s ORDER BY one.id LIMIT {_BATCH} FOR UPDATE OF one SKIP LOCKED),
many AS (SELECT channel_id FROM over GROUP BY channel_id HAVING count(*) >= {MANY} OR EXISTS (
    SELECT FROM alerts_delivery AS there WHERE there.channel_id = over.channel_id AND there.event = 'summary'
    AND there.state = 'pending'))
UPDATE alerts_delivery AS mine SET state = 'skipped', because = 'summed', done_at = %(now)s
FROM over JOIN many USING (channel_id) WHERE mine.id = over.id AND mine.organization_id = over.organization_id
RETURNING mine.organization_id, mine.channel_id
"""
# One summary waits for a channel at most, and counts what comes on top, unless it may have been heard as it is.
_SUMMARIZE = """
WITH there AS (UPDATE alerts_delivery SET about = jsonb_set(about, ARRAY[%(what)s],
        to_jsonb(coalesce((about ->> %(what)s)::integer, 0) + %(number)s)) WHERE id = (SELECT id FROM alerts_delivery
        WHERE channel_id = %(channel)s AND event = 'summary' AND state = 'pending' AND NOT unsure
        ORDER BY id LIMIT 1 FOR UPDATE)
    RETURNING id)
INSERT INTO alerts_delivery (organization_id, channel_id, event, about, queued_at, next_at)
SELECT %(organization)s, %(channel)s, 'summary', jsonb_build_object(%(what)s, %(number)s), %(now)s, %(now)s
WHERE NOT EXISTS (SELECT FROM there)
"""
_FORGET = f"""
DELETE FROM alerts_delivery WHERE id IN (SELECT id FROM alerts_delivery WHERE alert_id IS NULL
    AND done_at < CASE event WHEN 'pulse' THEN %s ELSE %s END ORDER BY done_at LIMIT {_BATCH})
"""


def expire(now: datetime) -> int:
    """Drop what is too old, and tell each channel how much that was; how many. Can be done by several at once."""
    with deliveries.SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_EXPIRE, {"now": now, "old": now - OLDEST, "given_up": now - GIVEN_UP})
        rows = cursor.fetchall()
        numbers = Counter((organization, channel) for organization, channel, alone in rows if not alone)
        _summarize("number", numbers, now)
        _tell_by_another_road(numbers, now)
        unheard = deliveries.skip_unheard(now=now)
    pubsub.announce(unheard | {organization for organization, _, _ in rows})
    return len(rows)


def sum_up(now: datetime) -> int:
    """Make one notice of many whose alerts are over before their receivers could be told; how many. As `expire`."""
    with deliveries.SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_SUM_UP, {"now": now, "before": now - SUMMED_AFTER})
        numbers = Counter(cursor.fetchall())
        _summarize("over", numbers, now)
        unheard = deliveries.skip_unheard(now=now) if numbers else set()
    pubsub.announce(unheard)
    return numbers.total()


def _summarize(what: str, numbers: Mapping[tuple[str, UUID], int], now: datetime) -> None:
    with connection.cursor() as cursor:
        for (organization, channel), number in sorted(numbers.items(), key=str):
            cursor.execute(_SUMMARIZE, {"what": what, "number": number, "organization": organization,
                                        "channel": channel, "now": now})  # fmt: skip


def _tell_by_another_road(numbers: Mapping[tuple[str, UUID], int], now: datetime) -> None:
    """An alert about each live channel that lost notices so: its summary waits for the very channel."""
    with connection.cursor() as cursor:
        ids = [channel for _, channel in numbers]
        cursor.execute("SELECT id, name FROM alerts_channel WHERE id = ANY(%s) AND source = 'live'", [ids])
        names: dict[UUID, str] = dict(cursor.fetchall())
    for (organization, channel), number in sorted(numbers.items(), key=str):
        if channel in names:
            words = f"was not told of {number:,} notice{'' if number == 1 else 's'}, which are too old by now."
            lost.tell(organization=organization, channel=channel, name=names[channel], severity="warning", words=words,
                      more={"failure": "old"}, now=now)  # fmt: skip


def forget(now: datetime) -> int:
    """Delete old rows that belong to no alert: the log of the others ends with their alerts. How many."""
    with deliveries.SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_FORGET, [now - KEPT_PULSES, now - KEPT_ALONE])
        return int(cursor.rowcount)
