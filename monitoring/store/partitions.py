"""prepare and expire, run as the tables' owner: a partition a day ahead, and what retention no longer keeps gone."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.db import connections

from monitoring import measures
from monitoring.store import names, retention
from monitoring.store.retention import Retention
from organizations.scope import Scope

log = structlog.get_logger(__name__)

_AHEAD = timedelta(days=14)
_KEYS_KEPT = timedelta(days=8)
_BATCH = 20_000
_OWNER = "owner"


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _existing(cursor: Any, table: str) -> set[str]:
    cursor.execute(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = %s::regclass",
        [table],
    )
    return {name for (name,) in cursor.fetchall()}


def _kept(every: Mapping[str, Retention]) -> dict[str, timedelta]:
    """Each table that has a partition a day, and how long its rows are kept for anybody."""
    longest = max(one.raw_days for one in every.values())
    return {"monitoring_inference": timedelta(days=longest), "monitoring_sample": retention.SAMPLES_KEPT}


def prepare(*, now: datetime) -> None:
    """A partition for every day that a single row may fall on, and the fortnight after it."""
    for table, kept in _kept(retention.every()).items():
        first, last = (now - kept).date(), (now + _AHEAD).date()
        with connections[_OWNER].cursor() as cursor:
            there = _existing(cursor, table)
            for day in (first + timedelta(days=number) for number in range((last - first).days + 1)):
                if _name(table, day) not in there:
                    cursor.execute(
                        f"CREATE TABLE IF NOT EXISTS {_name(table, day)} PARTITION OF {table} "
                        f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{day + timedelta(days=1)} 00:00:00+00')"
                    )
                    log.info("partition made", partition=_name(table, day))


def expire(*, now: datetime) -> None:
    """Drop whole days past the longest retention; delete the rest in batches, organization by organization."""
    every = retention.every()
    for table, kept in _kept(every).items():
        oldest = _name(table, (now - kept - timedelta(days=1)).date())
        with connections[_OWNER].cursor() as cursor:
            for name in sorted(_existing(cursor, table)):
                if name < oldest:
                    cursor.execute(f"DROP TABLE {name}")
                    log.info("partition dropped", partition=name)
    for organization, one in every.items():
        _expire(organization, one, now)


def _expire(organization: str, one: Retention, now: datetime) -> None:
    minutes, hours = one.minutes_since(now), one.hours_since(now)
    _note_deleted(organization, minutes=minutes, hours=hours)
    _delete("monitoring_inference", "(id, occurred_at)", "occurred_at", organization, one.raw_since(now))
    for rollup in (*measures.ROLLUPS, "sample"):
        _delete(f"monitoring_{rollup}_minute", "ctid", "bucket", organization, minutes)
        _delete(f"monitoring_{rollup}_hour", "ctid", "bucket", organization, hours)
    # A series of samples goes with the last of its hours; a counter must never begin anew, and stays.
    _delete("monitoring_series", "ctid", "NOT counted AND at", organization, hours)
    _delete("monitoring_user_day", "ctid", "day", organization, (now - retention.USERS_KEPT).date())
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


def _delete(table: str, key: str, column: str, organization: str, before: date) -> None:
    """Delete rows before a time or a day, a batch a transaction, so that nobody waits long for a lock."""
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
