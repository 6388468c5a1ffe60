"""How the telling goes, channel by channel: what waits, what was taken how soon, what was lost. A pure read."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from msgspec import Struct

from organizations.scope import Scope

LOST_FOR = timedelta(days=7)  # that what was given up is counted
SPREAD_OF = 10_000  # notices of each channel, the newest of the window, that its spread is made of
MOST_FAILURES = 6
_TRIED = "(one.attempt > one.replayed_after + 1 OR one.attempt = one.replayed_after + 1 AND one.state = 'pending')"
# Tests are nobody's news. What waits for a channel that rests waits until then at least.
_CHANNELS = f"""
SELECT channel.id, channel.name, channel.kind, channel.source, channel.audience, channel.state, channel.state_because,
    'trigger' = ANY(channel.events), EXISTS (SELECT FROM alerts_route_channel AS leg JOIN alerts_route AS route
        ON route.id = leg.route_id AND route.organization_id = leg.organization_id AND route.enabled
        AND route.source = channel.source WHERE leg.channel_id = channel.id), waiting.fresh, waiting.retrying,
    CASE WHEN channel.state = 'on' AND waiting.next_at IS NOT NULL
        THEN greatest(waiting.next_at, channel.paused_until) END,
    coalesce(lost.number, 0), coalesce(lost.in_window, 0), sent.number, spread.median, spread.p95, spread.longest,
    channel.last_success_at, channel.last_failure_at, channel.last_failure
FROM alerts_channel AS channel
CROSS JOIN LATERAL (SELECT count(*) - count(*) FILTER (WHERE {_TRIED}) AS fresh,
        count(*) FILTER (WHERE {_TRIED}) AS retrying,
        min(one.next_at) FILTER (WHERE {_TRIED} AND one.state = 'pending') AS next_at
    FROM alerts_delivery AS one WHERE one.channel_id = channel.id AND one.done_at IS NULL AND one.event <> 'test'
    ) AS waiting
LEFT JOIN (SELECT one.channel_id, count(*) FILTER (WHERE one.done_at >= %(lost_since)s) AS number,
        count(*) FILTER (WHERE one.done_at >= %(start)s AND one.done_at < %(end)s) AS in_window
    FROM alerts_delivery AS one WHERE one.organization_id = %(organization)s AND one.state IN ('dead', 'expired')
        AND one.event <> 'test' AND one.done_at >= least(%(lost_since)s, %(start)s) GROUP BY one.channel_id
    ) AS lost ON lost.channel_id = channel.id
CROSS JOIN LATERAL (SELECT count(*) AS number FROM alerts_delivery AS one WHERE one.channel_id = channel.id
    AND one.state = 'sent' AND one.event <> 'test' AND one.done_at >= %(start)s AND one.done_at < %(end)s) AS sent
CROSS JOIN LATERAL (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95, max(seconds) AS longest
    FROM (SELECT extract(epoch FROM one.done_at - one.queued_at)::float8 AS seconds FROM alerts_delivery AS one
        WHERE one.channel_id = channel.id AND one.state = 'sent' AND one.event <> 'test'
        AND one.done_at >= %(start)s AND one.done_at < %(end)s
        ORDER BY one.done_at DESC LIMIT {SPREAD_OF}) AS newest) AS spread
WHERE channel.organization_id = %(organization)s AND channel.state <> 'retired' AND channel.source = ANY(%(sources)s)
ORDER BY channel.state <> 'failed', channel.state <> 'on', channel.name
"""
# What was given up of late, and what is tried again; with the words of its newest try.
_FAILURES = f"""
SELECT one.id, channel.name, one.event, one.state, one.because, one.attempt, coalesce(tried.at, one.done_at),
    coalesce(tried.words, ''), tried.status, one.next_at, coalesce(alert.alert_type, ''), channel.source
FROM (
    (SELECT * FROM alerts_delivery WHERE organization_id = %(organization)s AND state IN ('dead', 'expired')
        AND done_at >= %(lost_since)s AND event <> 'test' ORDER BY done_at DESC LIMIT {MOST_FAILURES})
    UNION ALL (SELECT due.* FROM alerts_channel AS own CROSS JOIN LATERAL (SELECT * FROM alerts_delivery AS waits
        WHERE waits.channel_id = own.id AND waits.done_at IS NULL AND waits.state = 'pending' AND waits.attempt > 0
        AND waits.event <> 'test' ORDER BY waits.next_at LIMIT {MOST_FAILURES}) AS due
        WHERE own.organization_id = %(organization)s AND own.state <> 'retired')) AS one
JOIN alerts_channel AS channel ON channel.id = one.channel_id AND channel.organization_id = one.organization_id
    AND channel.source = ANY(%(sources)s)
LEFT JOIN alerts_attempt AS tried ON tried.delivery_id = one.id AND tried.number = one.attempt
    AND tried.organization_id = one.organization_id
LEFT JOIN alerts_alert AS alert ON alert.id = one.alert_id AND alert.organization_id = one.organization_id
ORDER BY coalesce(tried.at, one.done_at, one.queued_at) DESC, one.id DESC LIMIT {MOST_FAILURES}
"""


class ChannelFigures(Struct, frozen=True, kw_only=True):
    """One channel and its notices; times are seconds from the event until the receiver had taken the notice.

    `waiting` were not tried yet, `retrying` were. `lost` were given up within LOST_FOR, `lost_now` in the window;
    `sent` were taken in the window, and the newest SPREAD_OF of them make the times.
    """

    id: UUID
    name: str
    kind: str
    source: str
    audience: str
    state: str
    state_because: str
    tells: bool  # of alerts; a dead-man's switch does not
    routed: bool  # some route that is on leads here
    waiting: int
    retrying: int
    next_at: datetime | None  # of the next try once more
    lost: int
    lost_now: int
    sent: int
    median: float | None
    p95: float | None
    longest: float | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str


class Failed(Struct, frozen=True, kw_only=True):
    """A notice that was given up, or is tried again at `next_at`; `words` are of its newest try."""

    id: int
    channel: str
    event: str
    state: str
    because: str
    tries: int
    at: datetime | None
    words: str
    status: int | None
    next_at: datetime
    alert_type: str
    source: str


def channels(
    scope: Scope, organization: str, start: datetime, end: datetime, *, now: datetime, sources: Collection[str]
) -> list[ChannelFigures]:
    """Every channel of the organization that is not retired, those that failed first; figures are of [start, end)."""
    given = {"organization": organization, "start": start, "end": end, "lost_since": now - LOST_FOR,
             "sources": list(sources)}  # fmt: skip
    names = ChannelFigures.__struct_fields__
    return [ChannelFigures(**dict(zip(names, row))) for row in _rows(scope, _CHANNELS, given)]


def failures(scope: Scope, organization: str, *, now: datetime, sources: Collection[str]) -> list[Failed]:
    """The newest of those that were given up within LOST_FOR, and of those that are tried again."""
    given = {"organization": organization, "lost_since": now - LOST_FOR, "sources": list(sources)}
    return [Failed(**dict(zip(Failed.__struct_fields__, row))) for row in _rows(scope, _FAILURES, given)]


def _rows(scope: Scope, statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(statement, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
