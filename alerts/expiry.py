"""What comes too late to help anybody: old notices are dropped with one summary a channel, old rows are forgotten."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from alerts import deliveries, lost
from monitoring import pubsub

OLDEST = timedelta(hours=24)  # that a notice may be before its first try, or while its alert is over
GIVEN_UP = timedelta(days=4)  # the long way of tries ends before that, unless the channel was off
KEPT_ALONE, KEPT_PULSES = timedelta(days=90), timedelta(days=2)
_BATCH = 5000
# Never tried (of many that wait for a channel that is tried now and then, most are not), of an alert that is over, or
# waiting for a channel that nobody mended (also when whoever sent it ended). A pulse is dropped by the next. That an
# alert is over is not dropped while that it began is just being sent.
_EXPIRE = f"""
WITH old AS (SELECT one.id, one.organization_id, one.alert_id, one.channel_id, one.event, one.state,
        alert.status = 'resolved' AS is_over
    FROM alerts_delivery AS one LEFT JOIN alerts_alert AS alert
        ON alert.id = one.alert_id AND alert.organization_id = one.organization_id
    WHERE one.done_at IS NULL AND (one.state = 'pending' OR one.next_at <= %(now)s)
    AND one.event IN ('trigger', 'acknowledge', 'resolve', 'test')
    AND coalesce(one.replayed_at, one.queued_at) < %(old)s
    AND (one.attempt = one.replayed_after OR coalesce(one.replayed_at, one.queued_at) < %(given_up)s
        OR one.event = 'trigger' AND alert.status = 'resolved')
    ORDER BY one.id LIMIT {_BATCH} FOR UPDATE OF one SKIP LOCKED)
UPDATE alerts_delivery AS mine SET state = 'expired', because = 'old', done_at = %(now)s,
    unsure = mine.unsure OR old.state = 'sending'
FROM old WHERE mine.id = old.id AND mine.organization_id = old.organization_id
AND NOT (old.event = 'resolve' AND old.is_over AND EXISTS (SELECT FROM alerts_delivery AS earlier
    WHERE earlier.alert_id = old.alert_id AND earlier.channel_id = old.channel_id AND earlier.id < old.id
    AND earlier.state IN ('pending', 'sending') AND earlier.id NOT IN (SELECT id FROM old)))
RETURNING mine.organization_id, mine.channel_id, mine.event = 'test'
"""
# One summary waits for a channel at most: it counts what comes on top.
_SUMMARIZE = """
WITH there AS (UPDATE alerts_delivery SET about = jsonb_set(about, '{number}',
        to_jsonb((about ->> 'number')::integer + %(number)s)) WHERE id = (SELECT id FROM alerts_delivery
        WHERE channel_id = %(channel)s AND event = 'summary' AND state = 'pending' AND attempt = 0
        ORDER BY id LIMIT 1 FOR UPDATE)
    RETURNING id)
INSERT INTO alerts_delivery (organization_id, channel_id, event, about, queued_at, next_at)
SELECT %(organization)s, %(channel)s, 'summary', %(about)s::jsonb, %(now)s, %(now)s
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
        numbers: dict[tuple[str, UUID], int] = {}
        for organization, channel, test in rows:
            if not test:
                numbers[organization, channel] = numbers.get((organization, channel), 0) + 1
        for (organization, channel), number in sorted(numbers.items(), key=str):
            about = {"number": number}
            cursor.execute(_SUMMARIZE, {"number": number, "organization": organization, "channel": channel,
                                        "about": json.dumps(about), "now": now})  # fmt: skip
        _tell_by_another_road(numbers, now)
        unheard = deliveries.skip_unheard(now=now)
    pubsub.announce(unheard | {organization for organization, _, _ in rows})
    return len(rows)


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
