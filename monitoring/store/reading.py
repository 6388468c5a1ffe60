"""totals, series and latest: rollups and deltas not yet folded, read in one statement and so always right."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from monitoring import measures
from monitoring.store import retention
from monitoring.store.base import COUNTS, HISTOGRAMS, NO_BUCKETS, Call, Groups, Query, SteppedGroups, Summary
from monitoring.store.windows import segments
from organizations.scope import Scope

_FAILED = ", ".join(f"'{status}'" for status in measures.FAILED)


class _Sum(NamedTuple):
    """How a field of a summary is added up, and of which columns."""

    sql: str
    columns: Sequence[str]
    none: str = "0::bigint"  # where it is not asked for


def _buckets(columns: Sequence[str]) -> _Sum:
    return _Sum(f"ARRAY[{', '.join(f'sum({bucket})' for bucket in columns)}]", columns, "NULL::bigint[]")


# Money is null where none was known, which a plain sum would call 0; sums of bigint are numeric, which takes long to
# read.
_SUMS: Mapping[str, _Sum] = {
    **{name: _Sum(f"sum({name})::bigint", (name,)) for name in COUNTS},
    "errors": _Sum(f"coalesce(sum(inferences) FILTER (WHERE status IN ({_FAILED})), 0)::bigint",
                   ("inferences", "status")),
    "estimated": _Sum("coalesce(sum(inferences) FILTER (WHERE estimated), 0)::bigint", ("inferences", "estimated")),
    "cost": _Sum("CASE WHEN sum(inferences) > sum(unpriced) THEN sum(cost) END", ("inferences", "unpriced", "cost"),
                 "NULL::numeric"),
    "revenue": _Sum("CASE WHEN sum(with_revenue) > 0 THEN sum(revenue) END", ("with_revenue", "revenue"),
                    "NULL::numeric"),
    "durations": _buckets(measures.DURATION_BUCKETS),
    "ttfts": _buckets(measures.TTFT_BUCKETS),
}  # fmt: skip


def totals(scope: Scope, queries: Sequence[Query]) -> list[Groups]:
    found: list[dict[tuple[str, ...], Summary]] = [{} for _ in queries]
    for number, _, group, summary in _rows(scope, queries, step=None):
        found[number][group] = summary
    return list(found)


def series(scope: Scope, queries: Sequence[Query], *, step_seconds: int) -> list[SteppedGroups]:
    found: list[dict[tuple[str, ...], list[tuple[datetime, Summary]]]] = [{} for _ in queries]
    for number, start, group, summary in _rows(scope, queries, step=timedelta(seconds=step_seconds)):
        found[number].setdefault(group, []).append((start, summary))
    return list(found)


def _rows(
    scope: Scope, queries: Sequence[Query], *, step: timedelta | None
) -> Iterator[tuple[int, datetime, tuple[str, ...], Summary]]:  # fmt: skip
    """Every query's groups in one statement: which query, the start of the step, the group, and its sums."""
    if not queries:
        return
    minutes_since, hours_since = _shortest(scope)
    fields = [name for name in Summary.__struct_fields__ if any(name in query.fields for query in queries)]
    parts: list[str] = []
    parameters: list[Any] = []
    for number, query in enumerate(queries):
        sql, values = _select(number, query, fields, step, minutes_since, hours_since)
        parts.append(sql)
        parameters += values
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(f"{' UNION ALL '.join(parts)} ORDER BY 1, 2", parameters)
        rows = cursor.fetchall()
    for number, start, group, *sums in rows:
        yield number, start, tuple(group), _summary(fields, sums)


def _summary(fields: Sequence[str], sums: Sequence[Any]) -> Summary:
    told: dict[str, Any] = dict(zip(fields, sums, strict=True))
    for name in HISTOGRAMS:
        if name in told:
            told[name] = NO_BUCKETS if told[name] is None else tuple(told[name])
    return Summary(**told)


def _shortest(scope: Scope) -> tuple[datetime, datetime]:
    """Since when minutes and hours are kept for every organization of the scope: an answer reaches equally far."""
    now = timezone.now()
    known = [kept for organization, kept in retention.every().items() if organization in scope]
    minutes = max((one.minutes_since(now) for one in known), default=now)
    hours = max((one.hours_since(now) for one in known), default=now)
    return minutes, hours


def _select(
    number: int, query: Query, fields: Sequence[str], step: timedelta | None, minutes_since: datetime,
    hours_since: datetime,
) -> tuple[str, list[Any]]:  # fmt: skip
    """`fields` are what the statement tells; this query adds up those of its own."""
    sums = ", ".join(_SUMS[name].sql if name in query.fields else _SUMS[name].none for name in fields)
    whole = step or timedelta(days=36_500)
    parts = list(segments(query.start, query.end, step=whole, minutes_since=minutes_since, hours_since=hours_since))
    if not parts:
        nothing = f"{number}, NULL::timestamptz, '{{}}'::text[], {sums}"
        return f"(SELECT {nothing} FROM monitoring_rollup_delta HAVING false)", []
    dimensions = ", ".join(query.by)
    needed = (column for name in fields if name in query.fields for column in _SUMS[name].columns)
    columns = ", ".join(dict.fromkeys(("bucket", *query.by, *needed)))
    where, values = _conditions(query)
    rollup = next(name for name in ("sum", "rollup") if set(query.by) <= {"organization_id", *measures.ROLLUPS[name]})
    read = [(f"{rollup}_{part.grain}", part.start, part.end) for part in parts]
    read.append(("rollup_delta", parts[0].start, parts[-1].end))
    sources: list[str] = []
    parameters: list[Any] = []
    for table, since, until in read:
        sources.append(f"SELECT {columns} FROM monitoring_{table} WHERE bucket >= %s AND bucket < %s{where}")
        parameters += [since, until, *values]
    start = "NULL::timestamptz"
    if step is not None:
        seconds = f"{step.total_seconds():.0f}"
        start = f"to_timestamp(floor(extract(epoch FROM bucket) / {seconds}) * {seconds})"
    grouped = ", ".join(filter(None, ("2" if step is not None else "", dimensions)))
    sql = (
        f"(SELECT {number}, {start}, ARRAY[{dimensions}]::text[], {sums} "
        f"FROM ({' UNION ALL '.join(sources)}) AS rollups "
        f"{f'GROUP BY {grouped}' if grouped else 'HAVING count(*) > 0'})"
    )
    return sql, parameters


def _conditions(query: Query) -> tuple[str, list[Any]]:
    sql, values = "", []
    for column, allowed in (("source", query.sources), ("status", query.statuses)):
        if allowed is not None:
            sql += f" AND {column} = ANY(%s)"
            values.append(list(allowed))
    return sql, values


def latest(
    scope: Scope, organization: str, *, limit: int, sources: Sequence[str] | None = None, before: datetime | None = None
) -> list[Call]:
    if organization not in scope:
        return []
    now = timezone.now()
    since = retention.of(organization).raw_since(now)
    wanted = "" if sources is None else " AND source = ANY(%s)"
    parameters: list[Any] = [organization, since, before or now + timedelta(days=1)]
    parameters += [] if sources is None else [list(sources)]
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, organization_id, occurred_at, model, provider, endpoint, status, error_type, "
            "duration_us / 1000.0::float8, ttft_us / 1000.0::float8, input_tokens, output_tokens, cost, estimated, "
            "source "
            "FROM monitoring_inference WHERE organization_id = %s AND occurred_at >= %s AND occurred_at < %s"
            f"{wanted} ORDER BY occurred_at DESC, id DESC LIMIT %s",
            [*parameters, limit],
        )
        return [_call(row) for row in cursor.fetchall()]


def _call(row: Sequence[Any]) -> Call:
    return Call(**dict(zip(Call.__slots__, row, strict=True)))
