"""observe: samples and increments of a batch in one transaction, a handful of statements whatever its size."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.utils import IntegrityError, OperationalError
from psycopg import errors

from bedrock.identifiers import milliseconds
from monitoring.store import retention, spans
from monitoring.store.admitting import Admitted, Reading, admit
from monitoring.store.base import OutOfScope, PartitionMissing
from monitoring.store.samples import Increment, Sample
from monitoring.store.spans import Newest, Point
from monitoring.store.writing import says_no_partition
from organizations.scope import Scope

_MOMENT = "timestamptz 'epoch' + {} * interval '1 millisecond'"
_MS = "(extract(epoch FROM {}) * 1000)::bigint"
# Locked in one order by every writer, so that none waits for another in a circle; what follows of a series is then its
# holder's alone. A statement of its own, so that those after it see what the holder before committed.
_LOCK = (
    f"SELECT id, {_MS.format('at')}, value FROM monitoring_series "
    "JOIN unnest(%s::text[], %s::bigint[]) AS wanted (organization_id, id) USING (organization_id, id) "
    "ORDER BY id FOR NO KEY UPDATE OF monitoring_series"
)
_KEEP = (
    "INSERT INTO monitoring_sample (organization_id, series_id, at, value) "
    f"SELECT organization, series, {_MOMENT.format('ms')}, value "
    "FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::float8[]) AS new (organization, series, ms, value) "
    f"ON CONFLICT DO NOTHING RETURNING series_id, {_MS.format('at')}"
)
_MOVE_ON = (
    f"UPDATE monitoring_series SET at = {_MOMENT.format('ms')}, value = read.value "
    "FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::float8[]) AS read (organization, series, ms, value) "
    "WHERE organization_id = organization AND id = series"
)
_GRAINS = {"minute": 60_000, "hour": 3_600_000}


def _upsert(grain: str) -> str:
    return (
        f"INSERT INTO monitoring_sample_{grain} AS kept "
        "(organization_id, series_id, bucket, last_at, count, total, least, most, last) "
        f"SELECT organization, series, {_MOMENT.format('start')}, {_MOMENT.format('last_ms')}, "
        "count, total, least, most, last "
        "FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[], "
        "%s::float8[], %s::bigint[]) AS new (organization, series, start, count, total, least, most, last, last_ms) "
        "ON CONFLICT (organization_id, series_id, bucket) DO UPDATE SET "
        "count = kept.count + excluded.count, total = kept.total + excluded.total, "
        "least = least(kept.least, excluded.least), most = greatest(kept.most, excluded.most), "
        "last = CASE WHEN excluded.last_at >= kept.last_at THEN excluded.last ELSE kept.last END, "
        "last_at = greatest(kept.last_at, excluded.last_at)"
    )


_UPSERTS = {grain: _upsert(grain) for grain in _GRAINS}


def observe(scope: Scope, samples: Sequence[Sample], increments: Sequence[Increment], *, now: datetime) -> None:
    readings: list[Reading] = [*samples, *increments]
    for organization in {one.organization for one in readings}:
        if organization not in scope:
            raise OutOfScope(organization)
    _check(samples, increments)
    if not readings:
        return
    with scope.enter(), connection.cursor() as cursor:
        admitted = admit(cursor, readings, now=now)
        newest = _lock(cursor, admitted)
        since_ms = milliseconds(retention.single_samples_since(now))
        known = _repeated(cursor, admitted, since_ms)
        rows: list[tuple[str, int, list[Point]]] = []
        moved: list[tuple[str, int, int | None, float | None]] = []
        for name, (series, found) in admitted.items():
            values = _in_order(found, known.get(series, set()), since_ms)
            if name.counted:
                last, points = spans.counted(newest[series], values)
            else:
                last, points = spans.sampled(newest[series], values, adds=name.adds)
            rows.append((name.organization, series, points))
            if last != newest[series]:
                moved.append((name.organization, series, *last))
        for grain in _GRAINS:
            _roll_up(cursor, grain, rows, now)
        _execute(cursor, _MOVE_ON, moved)


def _check(samples: Sequence[Sample], increments: Sequence[Increment]) -> None:
    for sample in samples:
        if not math.isfinite(sample.value):
            raise ValueError(f"{sample.family}: {sample.value} is not a finite number")
    for increment in increments:
        if not (math.isfinite(increment.amount) and increment.amount >= 0):
            raise ValueError(f"{increment.family}: a counter cannot grow by {increment.amount}")


def _lock(cursor: Any, admitted: Admitted) -> dict[int, Newest]:
    """Each series' newest reading, which nobody else moves until the end of the transaction."""
    cursor.execute(_LOCK, [[name.organization for name in admitted], [series for series, _ in admitted.values()]])
    newest = {series: Newest(at_ms, value) for series, at_ms, value in cursor.fetchall()}
    if len(newest) < len(admitted):  # erased between the two statements: the sender's next try makes it anew
        raise OperationalError("a series was just erased")
    return newest


def _repeated(cursor: Any, admitted: Admitted, since_ms: int) -> dict[int, set[int]]:
    """Keep the single samples since then; series -> the moments of those that were there already."""
    single = {
        (name.organization, series, one.at_ms): float(one.value)
        for name, (series, found) in admitted.items()
        for one in reversed(found)  # the first given of a moment stays
        if isinstance(one, Sample) and one.at_ms >= since_ms
    }
    if not single:
        return {}
    try:
        _execute(cursor, _KEEP, [(*key, value) for key, value in sorted(single.items())])
    except (errors.CheckViolation, IntegrityError) as error:
        if says_no_partition(error):
            raise PartitionMissing("no partition for that day yet") from error
        raise
    known: dict[int, set[int]] = {}
    for series, at_ms in {key[1:] for key in single} - set(cursor.fetchall()):
        known.setdefault(series, set()).add(at_ms)
    return known


def _in_order(readings: Sequence[Reading], known: set[int], since_ms: int) -> list[tuple[int, float]]:
    """Times with values or amounts, by time; of samples since then only those of a moment that is not taken."""
    found: list[tuple[int, float]] = []
    taken = set(known)
    for one in readings:
        if isinstance(one, Increment):
            found.append((one.at_ms, float(one.amount)))
        elif one.at_ms < since_ms or one.at_ms not in taken:
            taken.add(one.at_ms)
            found.append((one.at_ms, float(one.value)))
    return sorted(found, key=lambda entry: entry[0])


def _roll_up(cursor: Any, grain: str, rows: Sequence[tuple[str, int, list[Point]]], now: datetime) -> None:
    """Add to minutes or hours, but only to those that retention still keeps."""
    columns = []
    for organization, series, points in rows:
        kept = retention.of(organization)
        since = milliseconds(kept.minutes_since(now) if grain == "minute" else kept.hours_since(now))
        for start, bucket in spans.bucketed(points, width_ms=_GRAINS[grain]).items():
            if start >= since:
                columns.append(
                    (organization, series, start, bucket.count, bucket.total, bucket.least, bucket.most, bucket.last,
                     bucket.last_ms)
                )  # fmt: skip
    _execute(cursor, _UPSERTS[grain], columns)


def _execute(cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """The statement with the rows' columns as arrays; none is run for no rows."""
    if rows:
        cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])
