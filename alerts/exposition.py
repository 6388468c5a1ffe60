"""What a scrape is told of alerts: how many are open, kept from being told, and since when. A pure read."""

from collections.abc import Iterator, Sequence
from typing import get_args

from django.db import connection
from msgspec import Struct

from alerts.states import RANKS, Reason
from monitoring.exposition import Found, Scrape, Source
from monitoring.openmetrics import Row
from monitoring.store.base import Store

OPEN, SUPPRESSED, OLDEST = "cockpit_alerts_open", "cockpit_alerts_suppressed", "cockpit_alerts_oldest_seconds"
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


SOURCES = (Source("alerts", (OPEN, SUPPRESSED, OLDEST), _open_alerts),)
