"""erase: everything of one source gone from every table, exactly, while writers and the folder go on."""

from datetime import datetime, timedelta

from django.db import connection

from monitoring import measures
from monitoring.store import users
from organizations.scope import Scope

_DAY = timedelta(days=1)
# For the folder to let go, and for the last statement, which reads every row of the scope once.
_PATIENCE = "SET LOCAL lock_timeout = '120s'; SET LOCAL statement_timeout = '120s'"


def _delete(*, where: str) -> str:
    """One statement, and so one snapshot, over all the tables; `where` has {time} for the column of each.

    An inference is counted once among the deltas and days, which is what the sum at the end relies on.
    """
    parts = [
        f"{table} AS (DELETE FROM monitoring_{table} WHERE {where.format(time=time)})"
        for table, time in (("inference", "occurred_at"), ("user_day", "day"))
    ]
    tables = ("rollup_delta", *(f"{rollup}_{grain}" for rollup in measures.ROLLUPS for grain in measures.GRAINS))
    parts += [
        f"{table} AS (DELETE FROM monitoring_{table} WHERE {where.format(time='bucket')} RETURNING inferences)"
        for table in tables
    ]
    return (
        f"WITH {', '.join(parts)} SELECT coalesce(sum(inferences), 0) "
        "FROM (SELECT inferences FROM rollup_delta UNION ALL SELECT inferences FROM rollup_day) AS counted"
    )


_DELETE_DAY = _delete(where="source = %(source)s AND {time} >= %(start)s AND {time} < %(end)s")
_DELETE_REST = _delete(where="source = %(source)s")
_DAYS = (
    "SELECT bucket FROM monitoring_rollup_day WHERE source = %(source)s "
    "UNION SELECT date_trunc('day', bucket, 'UTC') FROM monitoring_rollup_delta WHERE source = %(source)s ORDER BY 1"
)

_OF_SERIES = {"sample": "series_id", "sample_minute": "series_id", "sample_hour": "series_id", "series": "id"}


def erase(scope: Scope, *, source: str) -> int:
    """Day by day, a transaction each, then what came meanwhile; the number of inferences that count no more.

    The days make the work small; the last statement makes it exact. It has one snapshot of all the tables: of what a
    writer committed before it nothing is left, and what is committed later stays whole, row and delta.
    """
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(_DAYS, {"source": source})
        days: list[datetime] = [day for (day,) in cursor.fetchall()]
    erased = sum(_erase(scope, _DELETE_DAY, source=source, start=day, end=day + _DAY) for day in days)
    erased += _erase(scope, _DELETE_REST, source=source)
    _erase_series(scope, source)
    return erased


def _erase(scope: Scope, statement: str, *, source: str, **values: datetime) -> int:
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(_PATIENCE)
        # The folder's own lock, in a statement before: the snapshot of the next one then holds all that was folded.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('monitoring.fold', 7))")
        cursor.execute(f"SELECT {users.LOCK.format('', '%s')}", [source])
        cursor.execute(statement, {"source": source, **values})
        return int(cursor.fetchone()[0])


def _erase_series(scope: Scope, source: str) -> None:
    """The series as they are locked, with all their rows; one that is written after that begins anew, whole."""
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(_PATIENCE)
        cursor.execute(
            "SELECT organization_id, id FROM monitoring_series WHERE source = %s ORDER BY id FOR UPDATE", [source]
        )
        if not (found := cursor.fetchall()):
            return
        columns = [list(column) for column in zip(*found, strict=True)]
        for table, series in _OF_SERIES.items():
            cursor.execute(
                f"DELETE FROM monitoring_{table} AS kept USING unnest(%s::text[], %s::bigint[]) AS gone (slug, number) "
                f"WHERE kept.organization_id = slug AND kept.{series} = number",
                columns,
            )
