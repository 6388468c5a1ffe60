"""prepare and expire, run as the tables' owner: a partition a day ahead, and what retention no longer keeps gone."""

from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.db import connections

from monitoring import measures
from monitoring.store import names, retention
from organizations.scope import Scope

log = structlog.get_logger(__name__)

_AHEAD = timedelta(days=14)
_KEYS_KEPT = timedelta(days=8)
_BATCH = 20_000
_OWNER = "owner"


def _name(day: date) -> str:
    return f"monitoring_inference_{day:%Y%m%d}"


def _existing(cursor: Any) -> set[str]:
    cursor.execute(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = 'monitoring_inference'::regclass"
    )
    return {name for (name,) in cursor.fetchall()}


def prepare(*, now: datetime) -> None:
    """A partition for every day that a single inference may fall on, and the fortnight after it."""
    longest = max(kept.raw_days for kept in retention.every().values())
    first, last = (now - timedelta(days=longest)).date(), (now + _AHEAD).date()
    with connections[_OWNER].cursor() as cursor:
        there = _existing(cursor)
        day = first
        while day <= last:
            if _name(day) not in there:
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {_name(day)} PARTITION OF monitoring_inference "
                    f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{day + timedelta(days=1)} 00:00:00+00')"
                )
                log.info("partition made", partition=_name(day))
            day += timedelta(days=1)


def expire(*, now: datetime) -> None:
    """Drop whole days past the longest retention; delete the rest in batches, organization by organization."""
    kept = retention.every()
    oldest = (now - timedelta(days=max(one.raw_days for one in kept.values()) + 1)).date()
    with connections[_OWNER].cursor() as cursor:
        for name in sorted(_existing(cursor)):
            if name < _name(oldest):
                cursor.execute(f"DROP TABLE {name}")
                log.info("partition dropped", partition=name)
    for organization, one in kept.items():
        _note_deleted(organization, minutes=one.minutes_since(now), hours=one.hours_since(now))
        _delete("monitoring_inference", "(id, occurred_at)", "occurred_at", organization, one.raw_since(now))
        for rollup in measures.ROLLUPS:
            _delete(f"monitoring_{rollup}_minute", "ctid", "bucket", organization, one.minutes_since(now))
            _delete(f"monitoring_{rollup}_hour", "ctid", "bucket", organization, one.hours_since(now))
        _delete("monitoring_idempotency_key", "ctid", "created_at", organization, now - _KEYS_KEPT)
        with Scope.of(organization).enter():
            names.expire((now - timedelta(days=400)).date())


def _note_deleted(organization: str, *, minutes: datetime, hours: datetime) -> None:
    """These only ever move forward; one that lengthens its retention must not look for what is gone."""
    with connections[_OWNER].cursor() as cursor:
        cursor.execute(
            "UPDATE organizations_organization SET minutes_since = greatest(minutes_since, %s), "
            "hours_since = greatest(hours_since, %s) WHERE slug = %s",
            [minutes, hours, organization],
        )


def _delete(table: str, key: str, column: str, organization: str, before: datetime) -> None:
    """Delete rows before a time, a batch a transaction, so that nobody waits long for a lock."""
    columns = key.strip("()")
    deleted = _BATCH
    while deleted == _BATCH:
        with Scope.of(organization).enter(using=_OWNER), connections[_OWNER].cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} "
                f"WHERE organization_id = %s AND {column} < %s LIMIT {_BATCH})",
                [organization, before],
            )
            deleted = cursor.rowcount
        if deleted:
            log.info("expired rows deleted", table=table, organization=organization, rows=deleted)
