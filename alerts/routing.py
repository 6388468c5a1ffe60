"""Who is told of an alert: routes lead to channels. One condition, in SQL, for telling, for preview and for asking.

What comes and goes is told once an interval: a beginning that follows others closely is held back, and dropped with its
end when it is over before its turn.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from msgspec import Struct

from alerts.states import RANKS

NOTIFIED = "cockpit_outbox"  # what Postgres tells whoever dispatches, at the commit
DELIVERY_FAILED = "delivery_failed"  # the type of alerts about a channel
NOT_THROUGH = "notThrough"  # in the metadata of these: that channel's id
FLAPPING = "flapping"  # why a beginning is held back, or was dropped with its end
INTERVAL = timedelta(minutes=5)  # between two beginnings of what comes and goes
_FREE = 2  # beginnings within an interval that are told at once


def _leads(alert: str) -> str:
    """Whether `route` leads from the row of this name; what is no live data is told to no live channel."""
    return f"""route.enabled AND route.organization_id = {alert}.organization_id AND route.source = {alert}.source
    AND (route.severities = '{{}}' OR {alert}.severity = ANY(route.severities))
    AND alerts_fits(route.alert_types, {alert}.alert_type) AND alerts_fits(route.model_names, {alert}.model_name)
    AND alerts_labels_fit(route.labels, {alert}.labels)"""


def _about(alert: str) -> str:
    """The channel that an alert is about, as text; NULL for all others, whatever their metadata says."""
    return f"(CASE {alert}.alert_type WHEN '{DELIVERY_FAILED}' THEN {alert}.metadata ->> '{NOT_THROUGH}' END)"


def _takes(alert: str) -> str:
    """Whether `channel` may be told of it. One that failed is written to: whoever mends it is told what was missed.

    An alert about a channel is not told through that one.
    """
    return f"""channel.organization_id = {alert}.organization_id AND channel.source = {alert}.source
    AND channel.state IN ('on', 'failed') AND 'trigger' = ANY(channel.events)
    AND channel.id::text IS DISTINCT FROM {_about(alert)}"""


def heard(alert: str, channel: str, before: str) -> str:
    """Whether a channel heard, or may yet hear, that the alert fires, and not since then that it is over.

    Args:
        before: of deliveries whose id is less than this expression.
    """
    return f"""EXISTS (SELECT FROM alerts_delivery AS began WHERE began.alert_id = {alert}
    AND began.channel_id = {channel} AND began.event = 'trigger' AND began.id < {before}
    AND (began.state IN ('pending', 'sending', 'sent') OR began.unsure)
    AND NOT EXISTS (SELECT FROM alerts_delivery AS ended WHERE ended.alert_id = {alert}
        AND ended.channel_id = {channel} AND ended.event = 'resolve' AND ended.state = 'sent'
        AND ended.id > began.id AND ended.id < {before}))"""


_NEWEST = "9223372036854775807"  # no delivery has a greater id
# Of `told`, events and their alerts as they are left: the channels that hear that one fires. An alert about a channel
# goes to every other one, unless a route leads to one that works.
_REACHED = f"""
reached AS (SELECT told.event_id, channel.id AS channel_id, channel.state FROM told
    JOIN alerts_channel AS channel ON {_takes("told")}
    WHERE told.tells = 'trigger' AND EXISTS (SELECT FROM alerts_route AS route JOIN alerts_route_channel AS leg
        ON leg.route_id = route.id AND leg.organization_id = route.organization_id
        WHERE leg.channel_id = channel.id AND {_leads("told")})),
others AS (SELECT told.event_id, channel.id AS channel_id FROM told JOIN alerts_channel AS channel ON {_takes("told")}
    WHERE told.tells = 'trigger' AND {_about("told")} IS NOT NULL
    AND NOT EXISTS (SELECT FROM reached WHERE reached.event_id = told.event_id AND reached.state = 'on'))"""
_RANK = (
    f"array_position(ARRAY[{', '.join(repr(one) for one in sorted(RANKS, key=RANKS.__getitem__))}], told.severity) - 1"
)
_WITHIN = f"now() - interval '{INTERVAL.total_seconds():.0f} seconds'"
# A new episode that follows others closely waits until an interval after the last one that its channel was told of,
# unless it is worse than that; `times` is how often it came and went since then. What is held back goes out at once if
# people are to be told of the same alert once more, and not at all if it is over; what is just being sent is let go.
_HELD = f"""
past AS (SELECT receiver.event_id, receiver.channel_id, began.queued_at, began.because = '{FLAPPING}' AS held,
        began.state IN ('sent', 'sending', 'pending') AND began.because <> '{FLAPPING}'
            AND before.rank <= {_RANK} AS heard
    FROM (SELECT * FROM reached UNION ALL SELECT *, 'on' FROM others) AS receiver
    JOIN told ON told.event_id = receiver.event_id AND told.kind = 'fired' AND told.episode > {_FREE}
    JOIN alerts_alert AS before ON before.organization_id = told.organization_id
        AND before.fingerprint = told.fingerprint AND before.first_seen_at > {_WITHIN}
    JOIN alerts_delivery AS began ON began.alert_id = before.id AND began.channel_id = receiver.channel_id
        AND began.event = 'trigger'),
last AS (SELECT event_id, channel_id, max(queued_at) FILTER (WHERE heard) AS at
    FROM past GROUP BY event_id, channel_id HAVING count(*) >= {_FREE}),
waiting AS (SELECT event_id, channel_id, last.at + interval '{INTERVAL.total_seconds():.0f} seconds' AS until,
        count(*) FILTER (WHERE past.held AND past.queued_at > last.at) AS times
    FROM last JOIN past USING (event_id, channel_id) WHERE last.at IS NOT NULL GROUP BY 1, 2, 3),
kept AS (SELECT one.id, told.tells FROM told JOIN alerts_delivery AS one ON one.alert_id = told.id
    AND one.state = 'pending' AND one.because = '{FLAPPING}'
    WHERE told.episode > {_FREE} AND told.tells IN ('trigger', 'resolve') FOR UPDATE OF one SKIP LOCKED),
freed AS (UPDATE alerts_delivery AS mine SET because = '', next_at = now()
    FROM kept WHERE mine.id = kept.id AND kept.tells = 'trigger'),
dropped AS (UPDATE alerts_delivery AS mine SET state = 'skipped', done_at = now()
    FROM kept WHERE mine.id = kept.id AND kept.tells = 'resolve' RETURNING mine.alert_id, mine.channel_id)"""
# The end of a statement that holds `told`: its events become deliveries. Of an acknowledgement and an end those hear
# who heard, or may yet hear, that it fires; for others the log says that they did not, and it goes out behind what they
# missed should that be sent after all. Times are the database's own: leases and ages are measured by it.
QUEUE = f"""
{_REACHED},
{_HELD},
followed AS (SELECT told.event_id, channel.id AS channel_id, CASE
        WHEN EXISTS (SELECT FROM dropped WHERE dropped.alert_id = told.id AND dropped.channel_id = channel.id)
            THEN '{FLAPPING}'
        WHEN {heard("told.id", "channel.id", _NEWEST)} THEN '' ELSE 'unheard' END AS because
    FROM told JOIN alerts_channel AS channel ON channel.organization_id = told.organization_id
    AND channel.state IN ('on', 'failed') AND told.tells = ANY(channel.events)
    WHERE told.tells IN ('acknowledge', 'resolve') AND EXISTS (SELECT FROM alerts_delivery AS earlier
        WHERE earlier.alert_id = told.id AND earlier.channel_id = channel.id AND earlier.event = 'trigger')),
receivers AS (SELECT event_id, channel_id, 'pending' AS state,
        CASE WHEN waiting.until IS NULL THEN '' ELSE '{FLAPPING}' END AS because,
        coalesce(waiting.until, now()) AS next_at, coalesce(waiting.times, 0) AS times
    FROM (SELECT event_id, channel_id FROM reached UNION SELECT event_id, channel_id FROM others) AS receiver
    LEFT JOIN waiting USING (event_id, channel_id)
    UNION ALL SELECT event_id, channel_id, CASE because WHEN '' THEN 'pending' ELSE 'skipped' END, because, now(), 0
    FROM followed),
queued AS (INSERT INTO alerts_delivery (organization_id, channel_id, alert_id, event_id, event, about, queued_at,
        next_at, state, because, done_at)
    SELECT told.organization_id, one.channel_id, told.id, told.event_id, told.tells,
        CASE one.times WHEN 0 THEN '{{}}' ELSE jsonb_build_object('times', one.times) END, now(), one.next_at,
        one.state, one.because, CASE one.state WHEN 'skipped' THEN now() END
    FROM receivers AS one JOIN told USING (event_id) ORDER BY told.event_id, one.channel_id RETURNING id)
SELECT pg_notify('{NOTIFIED}', '') FROM queued LIMIT 1"""
_RECEIVERS = f"""
WITH told AS (SELECT alert.*, 0 AS event_id, 'trigger' AS tells FROM alerts_alert AS alert WHERE alert.id = %s),
{_REACHED}
SELECT channel.id, channel.name, channel.kind, channel.state, array(SELECT route.name FROM told
    JOIN alerts_route AS route ON {_leads("told")} JOIN alerts_route_channel AS leg
        ON leg.route_id = route.id AND leg.organization_id = route.organization_id
    WHERE leg.channel_id = channel.id ORDER BY route.name)
FROM (SELECT channel_id FROM reached UNION SELECT channel_id FROM others) AS receiver
JOIN alerts_channel AS channel ON channel.id = receiver.channel_id ORDER BY channel.name
"""
PREVIEW_DAYS, _MOST_READ, _MOST_SHOWN = 30, 20_000, 8
# Of a route as it is written, before it is saved: what it would have led from.
_PREVIEW = f"""
WITH route AS (SELECT true AS enabled, %(organization)s::text AS organization_id, %(source)s::text AS source,
    %(severities)s::text[] AS severities, %(alert_types)s::text[] AS alert_types,
    %(model_names)s::text[] AS model_names, %(labels)s::jsonb AS labels)
SELECT alert.id, alert.severity, alert.alert_type, alert.message, alert.first_seen_at, count(*) OVER ()
FROM route JOIN (SELECT * FROM alerts_alert WHERE organization_id = %(organization)s
    AND first_seen_at >= %(since)s ORDER BY first_seen_at DESC LIMIT {_MOST_READ}) AS alert ON {_leads("alert")}
ORDER BY alert.first_seen_at DESC, alert.id DESC LIMIT {_MOST_SHOWN}
"""


class Receiver(Struct, frozen=True):
    """A channel that is told of an alert, and the names of the routes that lead there.

    There are none where it is told because the alert is about another channel, and no route leads to one that works.
    """

    id: UUID
    name: str
    kind: str
    state: str
    routes: Sequence[str]


class Led(Struct, frozen=True):
    """An alert that a route leads from; `number` is of all those, of which only the newest are shown."""

    id: UUID
    severity: str
    alert_type: str
    message: str
    first_seen_at: datetime
    number: int


class Wanted(Struct, frozen=True, kw_only=True):
    """What a route leads from; what is empty fits everything. `labels` is a JSON object of patterns."""

    organization: str
    source: str = "live"
    severities: Sequence[str] = ()
    alert_types: Sequence[str] = ()
    model_names: Sequence[str] = ()
    labels: str = "{}"


def receivers(alert: UUID) -> list[Receiver]:
    """Who would be told of this alert if it fired now; the caller has entered a scope that holds it."""
    with connection.cursor() as cursor:
        cursor.execute(_RECEIVERS, [alert])
        return [Receiver(*row) for row in cursor.fetchall()]


def preview(wanted: Wanted, *, since: datetime) -> list[Led]:
    """The newest alerts since then that such a route would have led from; in the caller's scope."""
    given: dict[str, Any] = {
             "organization": wanted.organization, "source": wanted.source, "labels": wanted.labels, "since": since,
             "severities": list(wanted.severities), "alert_types": list(wanted.alert_types),
             "model_names": list(wanted.model_names)}  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_PREVIEW, given)
        return [Led(*row) for row in cursor.fetchall()]
