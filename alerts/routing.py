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
_FREE = 2  # of them within an interval are told at once


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
_WORSE_FIRST = ", ".join(repr(one) for one in sorted(RANKS, key=RANKS.__getitem__))
_ALLOWED = f"interval '{INTERVAL.total_seconds():.0f} seconds'"
_MOST_EPISODES = 1000  # that are looked back over
# What comes and goes, as episodes or by its severity, is held back until an interval after its channel was told last
# that it is as bad or worse, if it was twice within one; `times` is how often it was not told since anything was. What
# is held back is dropped when it is over, and when the same alert is to be told once more; so is what a mail server did
# not take for everybody yet, once it is over. What is just being sent, or may have been heard, is left alone.
_HELD = f"""
past AS (SELECT receiver.event_id, receiver.channel_id, began.id,
        greatest(began.queued_at, coalesce(began.done_at, least(began.next_at, now()))) AS told_at,
        began.because = '{FLAPPING}' AND began.state IN ('pending', 'skipped') AS held,
        began.because <> '{FLAPPING}' AND began.state IN ('sent', 'sending', 'pending') AS heard,
        array_position(ARRAY[{_WORSE_FIRST}], coalesce(event.after ->> 'severity', before.severity))
            <= array_position(ARRAY[{_WORSE_FIRST}], told.severity) AS as_bad
    FROM (SELECT event_id, channel_id FROM reached UNION SELECT event_id, channel_id FROM others) AS receiver
    JOIN told ON told.event_id = receiver.event_id
        AND (told.kind = 'fired' AND told.episode > 1 OR told.kind = 'severity_changed')
    CROSS JOIN LATERAL (SELECT alert.id, alert.severity, alert.changed_at FROM alerts_alert AS alert
        WHERE alert.organization_id = told.organization_id AND alert.fingerprint = told.fingerprint
        ORDER BY alert.episode DESC LIMIT {_MOST_EPISODES}) AS before
    JOIN alerts_delivery AS began ON began.alert_id = before.id AND began.channel_id = receiver.channel_id
        AND began.event = 'trigger' AND began.queued_at > now() - 2 * {_ALLOWED}
    JOIN alerts_event AS event ON event.id = began.event_id AND event.kind IN ('fired', 'severity_changed')
    WHERE before.changed_at > now() - 2 * {_ALLOWED}),
waiting AS (SELECT event_id, channel_id,
        CASE WHEN count(*) FILTER (WHERE as_bad AND told_at > now() - {_ALLOWED}) >= {_FREE}
            THEN max(told_at) FILTER (WHERE heard AND as_bad) + {_ALLOWED} END AS until,
        count(*) FILTER (WHERE held AND id > last) AS times
    FROM (SELECT *, max(id) FILTER (WHERE heard) OVER (PARTITION BY event_id, channel_id) AS last FROM past) AS one
    GROUP BY event_id, channel_id),
kept AS (SELECT one.id FROM told JOIN alerts_delivery AS one ON one.alert_id = told.id AND one.state = 'pending'
    AND (one.because = '{FLAPPING}' AND NOT one.unsure AND told.tells IN ('trigger', 'resolve')
        OR one.reference <> '{{}}' AND one.unsure AND told.tells = 'resolve')
    WHERE told.kind <> 'fired' FOR UPDATE OF one SKIP LOCKED),
dropped AS (UPDATE alerts_delivery AS mine SET state = 'skipped', done_at = now(),
        because = CASE WHEN mine.unsure THEN 'partly' ELSE '{FLAPPING}' END
    FROM kept WHERE mine.id = kept.id RETURNING mine.alert_id, mine.channel_id, mine.because)"""
# The end of a statement that holds `told`: its events become deliveries. Of an acknowledgement and an end those hear
# who heard, or may yet hear, that it fires; for others the log says that they did not, and it goes out behind what they
# missed should that be sent after all. Times are the database's own: leases and ages are measured by it.
QUEUE = f"""
{_REACHED},
{_HELD},
followed AS (SELECT told.event_id, channel.id AS channel_id, CASE
        WHEN EXISTS (SELECT FROM dropped WHERE dropped.alert_id = told.id AND dropped.channel_id = channel.id
            AND dropped.because = '{FLAPPING}') THEN '{FLAPPING}'
        WHEN {heard("told.id", "channel.id", _NEWEST)} THEN '' ELSE 'unheard' END AS because
    FROM told JOIN alerts_channel AS channel ON channel.organization_id = told.organization_id
    AND channel.state IN ('on', 'failed') AND told.tells = ANY(channel.events)
    WHERE told.tells IN ('acknowledge', 'resolve') AND EXISTS (SELECT FROM alerts_delivery AS earlier
        WHERE earlier.alert_id = told.id AND earlier.channel_id = channel.id AND earlier.event = 'trigger')),
receivers AS (SELECT event_id, channel_id, 'pending' AS state,
        CASE WHEN waiting.until > now() THEN '{FLAPPING}' ELSE '' END AS because,
        greatest(waiting.until, now()) AS next_at, coalesce(waiting.times, 0) AS times
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
