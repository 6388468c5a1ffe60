"""What a scrape is told of alerts: how many are open, since when, and how the telling of them goes. A pure read."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import get_args

from django.db import connection
from msgspec import Struct

from alerts.states import RANKS, Reason
from monitoring.exposition import Found, Scrape, Source
from monitoring.openmetrics import Row
from monitoring.store.base import Store

OPEN, SUPPRESSED, OLDEST = "cockpit_alerts_open", "cockpit_alerts_suppressed", "cockpit_alerts_oldest_seconds"
PENDING, RETRYING = "cockpit_outbox_pending", "cockpit_outbox_retrying"
OLDEST_PENDING, DEAD, CHANNELS = "cockpit_outbox_oldest_seconds", "cockpit_outbox_dead", "cockpit_channels"
RULES, BEHIND = "cockpit_rules", "cockpit_rules_behind_seconds"
RULE_STATES = ("error", "critical", "warning", "no_data", "pending", "ok", "paused")
CHANNEL_STATES = ("on", "off", "failed")
_DEAD_FOR = timedelta(days=7)
_STATUSES = ("firing", "acknowledged")
REASONS: tuple[Reason, ...] = get_args(Reason)


def _counted(reason: Reason) -> str:
    """How many are kept from being told for a reason."""
    return f"""count(*) FILTER (WHERE suppressed_by @> '[{{"kind": "{reason}"}}]')"""


_GROUPS = (
    "SELECT organization_id, severity, status, count(*), extract(epoch FROM %s - min(first_seen_at))::float8, "
    + f"ARRAY[{', '.join(map(_counted, REASONS))}]"
    + " FROM alerts_alert WHERE organization_id = ANY(%s) AND status <> 'resolved' AND source = 'live' GROUP BY 1, 2, 3"
)


class _Group(Struct, frozen=True):
    """The open alerts of one organization, severity and status."""

    organization: str
    severity: str
    status: str
    number: int
    oldest: float  # seconds
    suppressed: Sequence[int]  # by reason, in the order of REASONS


def _open_alerts(store: Store, scrape: Scrape) -> Found:
    with scrape.scope.enter(), connection.cursor() as cursor:
        cursor.execute(_GROUPS, [scrape.now, list(scrape.currencies)])
        groups = [_Group(*row) for row in cursor.fetchall()]
    for organization in scrape.currencies:
        yield from _told(organization, [one for one in groups if one.organization == organization])


def _told(organization: str, groups: list[_Group]) -> Iterator[tuple[str, Row]]:
    """Every severity, status and reason, also those of which there is none: no series comes and goes."""
    own = ("organization", organization)
    numbers = {(one.severity, one.status): one.number for one in groups}
    for severity in RANKS:
        for status in _STATUSES:
            labels = (own, ("severity", severity), ("status", status))
            yield OPEN, ("", labels, numbers.get((severity, status), 0))
    for place, reason in enumerate(REASONS):
        yield SUPPRESSED, ("", (own, ("reason", reason)), sum(one.suppressed[place] for one in groups))
    if groups:
        yield OLDEST, ("", (own,), max(0.0, *(one.oldest for one in groups)))


_OUTBOX = """
SELECT organization.slug, count(one.id) FILTER (WHERE one.done_at IS NULL),
    count(one.id) FILTER (WHERE one.done_at IS NULL AND one.attempt > 0),
    extract(epoch FROM %s - min(coalesce(one.replayed_at, one.queued_at)) FILTER (WHERE one.done_at IS NULL))::float8,
    count(one.id) FILTER (WHERE one.done_at IS NOT NULL)
FROM organizations_organization AS organization LEFT JOIN (alerts_delivery AS one JOIN alerts_channel AS channel
    ON channel.id = one.channel_id AND channel.organization_id = one.organization_id AND channel.source = 'live')
    ON one.organization_id = organization.slug AND one.event <> 'test'
    AND (one.done_at IS NULL OR one.state IN ('dead', 'expired') AND one.done_at > %s)
WHERE organization.slug = ANY(%s) GROUP BY organization.slug
"""
_CHANNELS = """
SELECT organization_id, state, count(*) FROM alerts_channel
WHERE organization_id = ANY(%s) AND source = 'live' GROUP BY organization_id, state
"""


def _outbox(store: Store, scrape: Scrape) -> Found:
    """Of each organization, also where nothing waits: no series comes and goes."""
    with scrape.scope.enter(), connection.cursor() as cursor:
        cursor.execute(_OUTBOX, [scrape.now, scrape.now - _DEAD_FOR, list(scrape.currencies)])
        rows = cursor.fetchall()
        cursor.execute(_CHANNELS, [list(scrape.currencies)])
        channels = {(organization, state): number for organization, state, number in cursor.fetchall()}
    for organization, pending, retrying, oldest, dead in rows:
        own = ("organization", organization)
        for family, number in ((PENDING, pending), (RETRYING, retrying), (DEAD, dead)):
            yield family, ("", (own,), number)
        yield OLDEST_PENDING, ("", (own,), max(0.0, oldest or 0.0))
        for state in CHANNEL_STATES:
            yield CHANNELS, ("", (own, ("state", state)), channels.get((organization, state), 0))


# Each rule by the worst of its groups; how far judging is behind is how long ago it could have been done, of those that
# are judged: how far others once were says nothing.
_RULES = """
SELECT organization_id, state, count(*) FROM (SELECT rule.organization_id, CASE WHEN rule.state = 'paused' THEN 'paused'
    WHEN rule.error <> '' THEN 'error' ELSE coalesce((SELECT standing.state FROM alerts_standing AS standing
        WHERE standing.rule_id = rule.id AND standing.organization_id = rule.organization_id
        ORDER BY array_position(%(worst)s, standing.state) LIMIT 1), 'ok') END AS state
    FROM alerts_rule AS rule WHERE rule.organization_id = ANY(%(own)s) AND rule.state <> 'retired') AS one GROUP BY 1, 2
"""
_BEHIND = """
SELECT organization_id, extract(epoch FROM clock_timestamp() - min(until + late * interval '1 second'))::float8 - 60
FROM alerts_judged AS judged WHERE organization_id = ANY(%s) AND EXISTS (
    SELECT FROM alerts_rule AS rule WHERE rule.organization_id = judged.organization_id AND rule.state = 'on'
    AND rule.error = '' AND rule.definition ->> 'offset' = judged.late::text)
GROUP BY organization_id
"""


def _rules(store: Store, scrape: Scrape) -> Found:
    """Of each organization every state, also those of which there is none; how far behind, where anything is judged."""
    own = list(scrape.currencies)
    with scrape.scope.enter(), connection.cursor() as cursor:
        cursor.execute(_RULES, {"own": own, "worst": list(RULE_STATES[1:])})
        numbers = {(organization, state): number for organization, state, number in cursor.fetchall()}
        cursor.execute(_BEHIND, [own])
        behind: dict[str, float] = dict(cursor.fetchall())
    for organization in own:
        for state in RULE_STATES:
            labels = (("organization", organization), ("state", state))
            yield RULES, ("", labels, numbers.get((organization, state), 0))
        if organization in behind:
            yield BEHIND, ("", (("organization", organization),), max(0.0, behind[organization]))


SOURCES = (
    Source("alerts", (OPEN, SUPPRESSED, OLDEST), _open_alerts),
    Source("rules", (RULES, BEHIND), _rules),
    Source("outbox", (PENDING, RETRYING, OLDEST_PENDING, DEAD, CHANNELS), _outbox),
)
