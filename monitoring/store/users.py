"""Who called on which day: kept by append, counted by users."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection

from bedrock.identifiers import EPOCH
from monitoring import measures
from monitoring.store import retention
from monitoring.store.base import Inference
from organizations.scope import Scope

_DAY_MS = 86_400_000
# What `erase` holds alone and writers of that source share: else it could delete somebody whom a writer, not yet
# committed, has just found there.
LOCK = "pg_advisory_xact_lock{}(hashtextextended('monitoring.users.' || {}, 7))"
_INSERT = (
    f"SELECT {LOCK.format('_shared', 'source')} FROM unnest(%s::text[]) AS source; "
    "INSERT INTO monitoring_user_day (organization_id, day, user_hash, source) "
    "SELECT * FROM unnest(%s::text[], %s::date[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING"
)


def remember(cursor: Any, inferences: Iterable[Inference], *, now: datetime) -> None:
    """Keep the people of these inferences by day, once each; sorted, so that writers queue."""
    oldest = (now - retention.USERS_KEPT - EPOCH).days
    found = {
        (one.organization, one.occurred_ms // _DAY_MS, one.user_hash, one.source)
        for one in inferences
        if one.user_hash is not None and one.occurred_ms // _DAY_MS >= oldest
    }
    if not found:
        return
    organizations, days, people, sources = (list(column) for column in zip(*sorted(found), strict=True))
    dates = {day: (EPOCH + timedelta(days=day)).date() for day in set(days)}
    cursor.execute(_INSERT, [sorted(set(sources)), organizations, [dates[day] for day in days], people, sources])


def users(scope: Scope, start: date, end: date, *, sources: Sequence[str] | None) -> dict[str, dict[date, int]]:
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT organization_id, day, count(DISTINCT user_hash) FROM monitoring_user_day "
            "WHERE day >= %s AND day < %s AND source = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2",
            [start, end, list(measures.SOURCES if sources is None else sources)],
        )
        found: dict[str, dict[date, int]] = {}
        for organization, day, people in cursor.fetchall():
            found.setdefault(organization, {})[day] = people
        return found
