"""The SQL that adds up rollups, and deltas not yet folded: fields of summaries, over windows that end alike."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from monitoring import measures
from monitoring.store.base import COUNTS, Query, Summary
from monitoring.store.windows import DAY, HOUR, ceil, segments

_FAILED = ", ".join(f"'{status}'" for status in measures.FAILED)
_AGES = timedelta(days=36_500)  # a step in which everything falls


class _Sum(NamedTuple):
    """How a field is made: of sums of columns by their names, and by which of these its value is told."""

    sums: Mapping[str, str]
    value: str
    columns: Sequence[str]
    none: str = "0::bigint"  # where it is not asked for


def _plain(name: str) -> _Sum:
    return _Sum({f"s_{name}": f"sum({name})"}, f"s_{name}::bigint", (name,))


def _filtered(name: str, condition: str, column: str) -> _Sum:
    sums = {f"s_{name}": f"coalesce(sum(inferences) FILTER (WHERE {condition}), 0)"}
    return _Sum(sums, f"s_{name}::bigint", ("inferences", column))


def _money(name: str, known: str, *of: str) -> _Sum:
    """Null where none was known, which a plain sum would call 0."""
    sums = {f"s_{column}": f"sum({column})" for column in (name, *of)}
    return _Sum(sums, f"CASE WHEN {known} THEN s_{name} END", (name, *of), "NULL::numeric")


def _buckets(columns: Sequence[str]) -> _Sum:
    sums = {f"s_{column}": f"sum({column})" for column in columns}
    return _Sum(sums, f"ARRAY[{', '.join(sums)}]::bigint[]", columns, "NULL::bigint[]")


# Sums of bigint are numeric, which takes long to read.
_SUMS: Mapping[str, _Sum] = {
    **{name: _plain(name) for name in COUNTS},
    "errors": _filtered("errors", f"status IN ({_FAILED})", "status"),
    "estimated": _filtered("estimated", "estimated", "estimated"),
    "cost": _money("cost", "s_inferences > s_unpriced", "inferences", "unpriced"),
    "revenue": _money("revenue", "s_with_revenue > 0", "with_revenue"),
    "durations": _buckets(measures.DURATION_BUCKETS),
    "ttfts": _buckets(measures.TTFT_BUCKETS),
}


class Since(NamedTuple):
    """Since when minutes, and since when hours are kept for every organization of a scope."""

    minutes: datetime
    hours: datetime


class Asked(NamedTuple):
    """Queries that one SELECT answers, by their places: windows that end alike, each within the next."""

    places: tuple[int, ...]
    queries: tuple[Query, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset().union(*(query.fields for query in self.queries))


def alone(queries: Sequence[Query]) -> list[Asked]:
    return [Asked((place,), (query,)) for place, query in enumerate(queries)]


def together(queries: Sequence[Query], since: Since) -> list[Asked]:
    """Those that differ by their start alone share what they have in common; not where an edge would be widened."""
    exact = max(ceil(since.minutes, HOUR), ceil(since.hours, DAY))
    found: dict[Any, list[tuple[datetime, int]]] = {}
    for place, query in enumerate(queries):
        alike = (query.end, query.by, query.sources, query.statuses) if exact <= query.start < query.end else place
        found.setdefault(alike, []).append((query.start, place))
    asked: list[Asked] = []
    for windows in found.values():
        chain = dict(reversed(windows))  # two of one start would be one stretch: the second is asked for by itself
        longer = tuple(chain[start] for start in sorted(chain, reverse=True))
        for places in (longer, *((place,) for _, place in windows if place not in longer)):
            asked.append(Asked(places, tuple(queries[place] for place in places)))
    return asked


def fields_of(every: Iterable[Asked]) -> list[str]:
    """What the rows of a statement tell, in this order."""
    wanted = frozenset().union(*(asked.fields for asked in every))
    return [name for name in Summary.__struct_fields__ if name in wanted]


def select(
    number: int, asked: Asked, fields: Sequence[str], step: timedelta | None, since: Since
) -> tuple[str, list[Any]] | None:  # fmt: skip
    """Each row is (number, place in `asked`, start of the step, group, fields...); None where there can be no row. A
    group of which a longer window holds nothing more than the one before has no row of it.
    """
    rows, parameters = _rows(asked, step, since)
    if not rows:
        return None
    own = [name for name in fields if name in asked.fields]
    values = ", ".join(_SUMS[name].value if name in own else _SUMS[name].none for name in fields)
    sums = {alias: sql for name in own for alias, sql in _SUMS[name].sums.items()}
    dims = ", ".join(asked.queries[0].by)
    keys = ", ".join(filter(None, ("band", "start", dims)))
    added = ", ".join(f"{sql} AS {alias}" for alias, sql in sums.items())
    sql = f"SELECT {keys}, {added} FROM ({rows}) AS rollups GROUP BY {keys}"
    if len(asked.places) > 1:
        within = f"OVER ({f'PARTITION BY {dims} ' if dims else ''}ORDER BY band)"
        sql = f"SELECT {keys}, {', '.join(f'sum({alias}) {within} AS {alias}' for alias in sums)} FROM ({sql}) AS bands"
    return f"(SELECT {number}, band, start, ARRAY[{dims}]::text[], {values} FROM ({sql}) AS sums)", parameters


def _rows(asked: Asked, step: timedelta | None, since: Since) -> tuple[str, list[Any]]:
    """Those of the rollups and deltas in each stretch: of the first window, and of what each next one has besides."""
    first = asked.queries[0]
    needed = (column for name in asked.fields for column in _SUMS[name].columns)
    columns = ", ".join(sorted({*first.by, *needed}))
    where, values = _conditions(first)
    rollup = next(name for name in ("sum", "rollup") if set(first.by) <= {"organization_id", *measures.ROLLUPS[name]})
    start = "NULL::timestamptz"
    if step is not None:
        seconds = f"{step.total_seconds():.0f}"
        start = f"to_timestamp(floor(extract(epoch FROM bucket) / {seconds}) * {seconds})"
    sources: list[str] = []
    parameters: list[Any] = []
    end = first.end
    for band, query in enumerate(asked.queries):
        parts = list(
            segments(query.start, end, step=step or _AGES, minutes_since=since.minutes, hours_since=since.hours)
        )
        read = [(f"{rollup}_{part.grain}", part.start, part.end) for part in parts]
        read += [("rollup_delta", parts[0].start, parts[-1].end)] if parts else []
        for table, lower, upper in read:
            sources.append(f"SELECT {band} AS band, {start} AS start, {columns} FROM monitoring_{table} "
                           f"WHERE bucket >= %s AND bucket < %s{where}")  # fmt: skip
            parameters += [lower, upper, *values]
        end = query.start
    return " UNION ALL ".join(sources), parameters


def _conditions(query: Query) -> tuple[str, list[Any]]:
    sql, values = "", []
    for column, allowed in (("source", query.sources), ("status", query.statuses)):
        if allowed is not None:
            sql += f" AND {column} = ANY(%s)"
            values.append(list(allowed))
    return sql, values
