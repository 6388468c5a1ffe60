"""fold: deltas moved into the rollups of minutes, hours and days, exactly once by construction."""

from django.db import connection

from monitoring import measures
from organizations.scope import Scope

_BATCH = 5_000
_ROUNDS = 20  # batches of one call at most, so that a folder stays stoppable under overload
_ADDED = (*measures.NAMES, *measures.DURATION_BUCKETS, *measures.TTFT_BUCKETS)


def _upsert(rollup: str, grain: str) -> str:
    dimensions = ", ".join(("organization_id", *measures.ROLLUPS[rollup]))
    # Sorted, so that two writers could never lock the same rows in different orders.
    return (
        f"INSERT INTO monitoring_{rollup}_{grain} AS kept ({dimensions}, bucket, {', '.join(_ADDED)}) "
        f"SELECT {dimensions}, date_trunc('{grain}', bucket, 'UTC') AS start, "
        f"{', '.join(f'sum({name})' for name in _ADDED)} FROM moved "
        f"GROUP BY {dimensions}, start ORDER BY {dimensions}, start "
        f"ON CONFLICT ({dimensions}, bucket) DO UPDATE SET "
        f"{', '.join(f'{name} = kept.{name} + excluded.{name}' for name in _ADDED)}"
    )


_UPSERTS = ", ".join(
    f"{rollup}_{grain} AS ({_upsert(rollup, grain)})" for rollup in measures.ROLLUPS for grain in measures.GRAINS
)
# One statement: the deltas are gone from one table and counted in all the others, or nothing has happened. The batch
# is found by its last id and not by IN: the planner takes a table that was vacuumed while empty for one row, and looked
# the list up again for every delta (10,000 took 22 s; 0.4 s like this).
_FOLD = f"""
WITH moved AS (
    DELETE FROM monitoring_rollup_delta
    WHERE id <= (SELECT max(id) FROM (SELECT id FROM monitoring_rollup_delta ORDER BY id LIMIT {_BATCH}) AS oldest)
    RETURNING *
), {_UPSERTS}
SELECT count(*), coalesce(array_agg(DISTINCT organization_id), '{{}}') FROM moved
"""


def fold() -> tuple[int, set[str]]:
    """Move what is there: how many deltas, of which organizations; nothing when another folder is at work."""
    total = 0
    organizations: set[str] = set()
    for _ in range(_ROUNDS):
        with Scope.system("fold").enter(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('monitoring.fold', 7))")
            if not cursor.fetchone()[0]:
                return total, organizations
            cursor.execute(_FOLD)
            moved, whose = cursor.fetchone()
        total += moved
        organizations |= set(whose)
        if moved < _BATCH:
            break
    return total, organizations


def vacuum() -> None:
    """Give back what folded deltas leave behind (159 MB in two minutes of overload without it, flat with it)."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (TRUNCATE OFF) monitoring_rollup_delta")
