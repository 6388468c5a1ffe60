"""What time does to alerts: what runs out ends, what is long over is deleted, and notices that wait get older."""

from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection

from alerts import answers, deliveries, lifecycle
from bedrock import identifiers
from monitoring import pubsub
from monitoring.store import current_store
from monitoring.store.samples import Sample
from organizations.scope import Scope

log = structlog.get_logger(__name__)

SHORTEST_DAYS = 90  # that a resolved alert is kept, as the database's own policy says
BATCH = 500  # alerts in one transaction
_MOST_BATCHES = 40  # a run; the next one comes in seconds
DUE_FAMILY = "cockpit_notice_due_seconds"
_SCOPE = Scope.system("tend alerts")
# Each arm reads the head of an index that holds nothing but what will run out one day.
_DUE = """
(SELECT id FROM alerts_alert WHERE ends_at <= %(now)s AND status <> 'resolved' ORDER BY ends_at LIMIT %(batch)s)
UNION (SELECT id FROM alerts_alert WHERE acknowledged_until <= %(now)s ORDER BY acknowledged_until LIMIT %(batch)s)
UNION (SELECT id FROM alerts_alert WHERE suppressed_until <= %(now)s ORDER BY suppressed_until LIMIT %(batch)s)
LIMIT %(batch)s
"""
# An alert that was opened again meanwhile is looked at as it is now: the last two lines are asked of it once more.
_FORGET = """
DELETE FROM alerts_alert AS alert USING (
    SELECT one.slug, old.id, old.until FROM (
        SELECT slug, %(now)s - greatest(hour_days, %(shortest)s) * interval '1 day' AS until
        FROM organizations_organization) AS one
    CROSS JOIN LATERAL (SELECT id, one.until FROM alerts_alert
        WHERE organization_id = one.slug AND status = 'resolved' AND resolved_at < one.until
        ORDER BY resolved_at LIMIT %(batch)s) AS old
    LIMIT %(batch)s) AS gone
WHERE alert.id = gone.id AND alert.organization_id = gone.slug
AND alert.status = 'resolved' AND alert.resolved_at < gone.until
"""
_ERASE = """
DELETE FROM alerts_alert WHERE source = %s AND id IN (SELECT id FROM alerts_alert WHERE source = %s LIMIT %s)
RETURNING organization_id
"""


def run_out(now: datetime) -> int:
    """End what has run out by `now`; how many alerts that changed. Can be done twice, and by two at once."""
    changed = 0
    for _ in range(_MOST_BATCHES):
        due = _due(now)
        ended = sum(one.changed for one in lifecycle.tend(scope=_SCOPE, ids=due, now=now)) if due else 0
        changed += ended
        if len(due) < BATCH or not ended:
            break
    return changed


def forget(now: datetime) -> int:
    """Delete what nobody may ask for any more; how many alerts.

    These are alerts resolved for longer than their organization keeps hours (and 90 days at least), with their
    timelines, and old answers to repeated requests.
    """
    with _SCOPE.enter():
        answers.forget(now)
    forgotten = 0
    for _ in range(_MOST_BATCHES):
        with _SCOPE.enter(), connection.cursor() as cursor:
            cursor.execute(_FORGET, {"now": now, "shortest": SHORTEST_DAYS, "batch": BATCH})
            gone = int(cursor.rowcount)
        forgotten += gone
        if gone < BATCH:
            break
    if forgotten:
        log.info("old alerts deleted", alerts=forgotten)
    return forgotten


def measure(now: datetime) -> None:
    """Keep how long the oldest notice has been due, as one reading of the platform: 0 while none is."""
    due = Sample(organization="shared", family=DUE_FAMILY, labels=(), at_ms=identifiers.milliseconds(now),
                 value=max(0.0, deliveries.oldest_due() or 0.0))  # fmt: skip
    current_store().observe(_SCOPE, [due], now=now)


def erase(scope: Scope, *, source: str) -> int:
    """Delete every alert of a source with its timeline; how many. The database refuses this for live ones."""
    erased: list[str] = []
    while True:
        with scope.enter(), connection.cursor() as cursor:
            cursor.execute(_ERASE, [source, source, BATCH])
            gone = [slug for (slug,) in cursor.fetchall()]
        erased += gone
        if not gone:
            break
    pubsub.announce(set(erased))
    return len(erased)


def _due(now: datetime) -> list[UUID]:
    with _SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "batch": BATCH})
        return [identifier for (identifier,) in cursor.fetchall()]
