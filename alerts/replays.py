"""What was given up is sent after all: one notice, or all that failed since a time. Never out of order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from organizations import audit
from organizations.scope import Scope

MOST = 10_000  # at once
# Unless something newer was told meanwhile, or nothing would tell that the alert is over: nobody may hear of a
# beginning after its end, or without it.
_WANTED = """
SELECT one.id, one.organization_id, one.channel_id, one.alert_id FROM alerts_delivery AS one
JOIN alerts_channel AS channel ON channel.id = one.channel_id AND channel.organization_id = one.organization_id
WHERE one.state IN ('dead', 'expired') AND one.event IN ('trigger', 'acknowledge', 'resolve', 'summary')
AND channel.state IN ('on', 'failed') AND {wanted}
AND NOT EXISTS (SELECT FROM alerts_delivery AS newer WHERE newer.alert_id = one.alert_id
    AND newer.channel_id = one.channel_id AND newer.id > one.id AND newer.state IN ('sent', 'sending'))
AND (one.event <> 'trigger' OR EXISTS (SELECT FROM alerts_alert AS alert WHERE alert.id = one.alert_id
        AND alert.organization_id = one.organization_id AND alert.status <> 'resolved')
    OR EXISTS (SELECT FROM alerts_delivery AS ended WHERE ended.alert_id = one.alert_id
        AND ended.channel_id = one.channel_id AND ended.id > one.id AND ended.event = 'resolve'))
ORDER BY one.id LIMIT %(most)s
"""
# With all that came after it in the alert's line and was not told either. All of it is young again, and tried as often
# as what is new. Channels are held first, so that nothing of theirs begins to be sent meanwhile.
_REPLAY = f"""
SELECT id FROM alerts_channel WHERE id IN (SELECT one.channel_id FROM alerts_delivery AS one
    WHERE one.state IN ('dead', 'expired') AND {{wanted}}) ORDER BY id FOR NO KEY UPDATE;
WITH wanted AS ({_WANTED} FOR UPDATE OF one),
line AS (SELECT id FROM wanted UNION SELECT later.id FROM wanted JOIN alerts_delivery AS later
    ON later.alert_id = wanted.alert_id AND later.channel_id = wanted.channel_id AND later.id > wanted.id
    WHERE later.state IN ('dead', 'expired', 'skipped')),
again AS (UPDATE alerts_delivery AS mine SET state = 'pending', because = '', done_at = NULL, next_at = now(),
        replayed_at = now(), replayed_after = mine.attempt
    FROM line WHERE mine.id = line.id RETURNING mine.id, mine.organization_id)
SELECT organization_id, count(*), (SELECT count(*) FROM wanted) FROM again GROUP BY organization_id
"""


def replay(*, scope: Scope, ids: Sequence[int], now: datetime) -> int:
    """Send these again, of those that were given up; how many will be."""
    return _replay(scope, "one.id = ANY(%(ids)s)", ids=list(ids))


def replay_since(*, scope: Scope, since: datetime, channel: UUID | None = None) -> int:
    """Send all again that were given up since then, through one channel or through all; how many will be."""
    return _replay(scope, _given_up(channel), since=since, channel=channel)


def replayable_since(*, scope: Scope, since: datetime, channel: UUID | None = None) -> int:
    """How many `replay_since` would take up; what was dropped with them comes on top."""
    given = {"since": since, "channel": channel, "most": MOST}
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({_WANTED.format(wanted=_given_up(channel))}) AS wanted", given)
        return int(cursor.fetchone()[0])


def _given_up(channel: UUID | None) -> str:
    return f"one.done_at >= %(since)s {'AND one.channel_id = %(channel)s' if channel else ''}"


def _replay(scope: Scope, wanted: str, **given: Any) -> int:
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(_REPLAY.format(wanted=wanted), {**given, "most": MOST})
        cursor.nextset()
        rows = cursor.fetchall()
        for organization, number, _ in rows:
            audit.record(
                organization=organization, action="replayed", object_type="delivery", object_text=f"{number} notices"
            )
        cursor.execute("SELECT pg_notify('cockpit_outbox', '')")
    return sum(number for _, number, _ in rows)
