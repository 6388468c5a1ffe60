"""Notices of made-up alerts: those of a past that nobody lived through are written down as told; all go together."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from monitoring import pubsub
from organizations.scope import Scope

SOURCE = "demo"
# Of each kind of channel: the status and the answer of a receiver that takes a notice, how many milliseconds that
# takes, and how often the receiver is away at first.
_RECEIVERS: Sequence[Mapping[str, Any]] = (
    {"kind": "slack", "status": 200, "answer": "ok", "usual_ms": 240, "away": 0.01},
    {"kind": "teams", "status": 202, "answer": "", "usual_ms": 480, "away": 0.02},
    {"kind": "webhook", "status": 200, "answer": '{"taken":true}', "usual_ms": 30, "away": 0.11},
    {"kind": "pagerduty", "status": 202, "answer": '{"status":"success","message":"Event processed"}', "usual_ms": 190,
     "away": 0.01},
)  # fmt: skip
# How a try may end; without a status and an answer of its own as above.
_ENDS: Sequence[Mapping[str, Any]] = (
    {"how": "taken", "outcome": "sent", "words": ""},
    {"how": "away", "outcome": "server", "words": "The receiver answered 503: it failed.", "status": 503,
     "answer": "busy"},
    {"how": "refused", "outcome": "refused", "words": "The receiver answered 400: it will never take this notice.",
     "status": 400, "answer": '{"status":"invalid event","message":"Event object is invalid"}'},
)  # fmt: skip
_DICE = (
    "(hashtextextended(concat_ws(' ', channel.name, extract(epoch FROM event.at), one.event), {}) & 65535) / 65536.0"
)
# Everything of one alert and channel in its order: each was done as long after the one before it, or after its event,
# as its tries took. What that puts into the future is left to be sent. One was refused: the newest end to PagerDuty,
# where an incident stays open until somebody sends it again.
_TELL = f"""
WITH receiver AS (SELECT * FROM jsonb_to_recordset(%(receivers)s::jsonb)
    AS row(kind text, status integer, answer text, usual_ms float8, away float8)),
ended AS (SELECT * FROM jsonb_to_recordset(%(ends)s::jsonb)
    AS row(how text, outcome text, words text, status integer, answer text)),
known AS (SELECT one.id, one.organization_id, one.alert_id, one.channel_id, one.event, event.at, receiver.*,
        {_DICE.format(1)} AS chance, {_DICE.format(2)} AS pace
    FROM alerts_delivery AS one
    JOIN alerts_channel AS channel ON channel.id = one.channel_id AND channel.organization_id = one.organization_id
    JOIN alerts_event AS event ON event.id = one.event_id AND event.organization_id = one.organization_id
    JOIN receiver ON receiver.kind = channel.kind
    WHERE channel.source = %(source)s AND one.done_at IS NULL),
lost AS (SELECT id FROM known WHERE kind = 'pagerduty' AND event = 'resolve' ORDER BY at DESC, id DESC LIMIT 1),
tried AS (SELECT known.*, lost.id IS NOT NULL AS refused,
        CASE WHEN lost.id IS NOT NULL OR chance >= away THEN 1 WHEN chance >= away / 5 THEN 2 ELSE 3 END AS tries,
        (usual_ms * (0.6 + pace) + CASE WHEN kind = 'webhook' AND pace > 0.95 THEN 2000 ELSE 0 END) / 1000 AS took
    FROM known LEFT JOIN lost USING (id)),
waited AS (SELECT *, ARRAY[0, 5 * (0.8 + 0.4 * pace), 35 * (0.8 + 0.4 * pace)] AS waits FROM tried),
spent AS (SELECT *, interval '1 second' * (0.1 + 0.3 * pace + tries * took + waits[tries]) AS length FROM waited),
summed AS (SELECT *, sum(length) OVER line AS so_far FROM spent
    WINDOW line AS (PARTITION BY alert_id, channel_id ORDER BY id)),
told AS (SELECT *, so_far + max(at - (so_far - length)) OVER (PARTITION BY alert_id, channel_id ORDER BY id) AS done_at
    FROM summed),
past AS (SELECT * FROM told WHERE done_at <= %(now)s),
noted AS (INSERT INTO alerts_attempt (organization_id, delivery_id, number, at, took_ms, outcome, status, words, answer)
    SELECT organization_id, id, number,
        done_at - interval '1 second' * ((tries - number) * took + waits[tries] - waits[number]), took * 1000,
        outcome, coalesce(ended.status, past.status), words, coalesce(ended.answer, past.answer)
    FROM past CROSS JOIN generate_series(1, tries) AS number JOIN ended
        ON how = CASE WHEN refused THEN 'refused' WHEN number < tries THEN 'away' ELSE 'taken' END
    ORDER BY done_at, id, number)
UPDATE alerts_delivery AS mine SET state = CASE WHEN refused THEN 'dead' ELSE 'sent' END,
    because = CASE WHEN refused THEN 'refused' ELSE '' END, attempt = tries, queued_at = past.at,
    next_at = past.done_at, done_at = past.done_at
FROM past WHERE mine.id = past.id AND mine.organization_id = past.organization_id
"""
_REMEMBER = """
UPDATE alerts_channel AS channel SET
    last_success_at = (SELECT max(one.done_at) FROM alerts_delivery AS one
        WHERE one.channel_id = channel.id AND one.state = 'sent'),
    last_failure_at = failed.at, last_failure = coalesce(failed.words, '')
FROM alerts_channel AS same LEFT JOIN LATERAL (SELECT tried.at, tried.words FROM alerts_delivery AS one
        JOIN alerts_attempt AS tried ON tried.delivery_id = one.id AND tried.organization_id = one.organization_id
        WHERE one.channel_id = same.id AND tried.outcome <> 'sent' ORDER BY tried.at DESC LIMIT 1) AS failed ON true
WHERE channel.id = same.id AND channel.organization_id = same.organization_id AND channel.source = %(source)s
"""


def tell_past(now: datetime) -> None:
    """Write down as told, at times that fit, what made-up events have queued and would have been told by `now`.

    In the transaction in which the events were made up: else they would be sent, late and all at once.
    """
    with connection.cursor() as cursor:
        given: dict[str, Any] = {"source": SOURCE, "now": now}
        cursor.execute(_TELL, {**given, "receivers": json.dumps(_RECEIVERS), "ends": json.dumps(_ENDS)})
        cursor.execute(_REMEMBER, {"source": SOURCE})


def erase(scope: Scope) -> int:
    """Delete every made-up channel and route, with what was told there; how many channels. Live ones stay."""
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM alerts_route WHERE source = %s", [SOURCE])
        cursor.execute("DELETE FROM alerts_channel WHERE source = %s RETURNING organization_id", [SOURCE])
        organizations = [organization for (organization,) in cursor.fetchall()]
    pubsub.announce(set(organizations))
    return len(organizations)
