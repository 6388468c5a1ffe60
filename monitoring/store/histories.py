"""levels, counters and history: what series hold now, and what each step of a window held."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db import connection
from django.utils import timezone

from bedrock.identifiers import EPOCH
from monitoring.store import retention
from monitoring.store.samples import Labels, Level, Span, Spans, Trace
from monitoring.store.windows import segments
from organizations.scope import Scope

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_decode = msgspec.json.Decoder(dict[str, str]).decode


def levels(scope: Scope, *, since: datetime, families: Collection[str] | None) -> list[Level]:
    return _newest(scope, "NOT counted AND at >= %s", [since], families)


def counters(scope: Scope, *, families: Collection[str] | None) -> list[Level]:
    return _newest(scope, "counted", [], families)


def _newest(scope: Scope, where: str, values: list[Any], families: Collection[str] | None) -> list[Level]:
    if families is not None:
        where, values = f"{where} AND family = ANY(%s)", [*values, sorted(families)]
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT organization_id, family, labels::text, at, value FROM monitoring_series "
            f"WHERE source = 'live' AND {where}",
            values,
        )
        rows = cursor.fetchall()
    found = [Level(organization, family, _labels(text), at, value) for organization, family, text, at, value in rows]
    return sorted(found, key=lambda level: (level.organization, level.family, level.labels))


def _labels(text: str) -> Labels:
    return tuple(sorted(_decode(text).items()))


class _Series(NamedTuple):
    id: int
    source: str
    labels: Labels


# (organization, family, one of the labels or None for all) -> series: what a trace has to look through.
_Index = dict[tuple[str, str, tuple[str, str] | None], list[_Series]]


class _Part(NamedTuple):
    """A stretch of one series for one answer, to be read from one rollup."""

    answer: int
    organization: str
    series: int
    start: datetime
    end: datetime


def history(scope: Scope, traces: Sequence[Trace], *, step_seconds: int) -> list[Spans]:
    """One statement finds the series, one reads them all."""
    answers: list[dict[Labels, list[tuple[datetime, Span]]]] = [{} for _ in traces]
    places: dict[tuple[int, Labels], int] = {}  # (trace, joined labels) -> number of the answer
    parts: dict[str, list[_Part]] = {"minute": [], "hour": []}
    step, now = timedelta(seconds=step_seconds), timezone.now()
    with scope.enter(), connection.cursor() as cursor:
        index = _index(cursor, [one for one in traces if one.organization in scope])
        for number, trace in enumerate(traces):
            found = list(_matching(index, trace))
            stretches = list(_stretches(trace, step, now)) if found else []
            for series in found:
                joined = _joined(series.labels, trace.by)
                answer = places.setdefault((number, joined), len(places))
                for grain, start, end in stretches:
                    parts[grain].append(_Part(answer, trace.organization, series.id, start, end))
        steps = _read(cursor, parts, step)
    for (number, joined), answer in places.items():
        if answer in steps:
            answers[number][joined] = steps[answer]
    return list(answers)


def _index(cursor: Any, traces: Sequence[Trace]) -> _Index:
    """The series of these organizations and families by each of their labels, but those that were silent by then."""
    found: _Index = {}
    if not traces:
        return found
    wanted = {(one.organization, one.family) for one in traces}
    since = max(min(one.start for one in traces), EPOCH) - timedelta(days=1)  # more than any rollup widens an edge
    cursor.execute(
        "SELECT organization_id, family, id, source, labels::text FROM monitoring_series "
        "JOIN unnest(%s::text[], %s::text[]) AS wanted (organization_id, family) USING (organization_id, family) "
        "WHERE at >= %s",
        [*(list(column) for column in zip(*sorted(wanted), strict=True)), since],
    )
    for organization, family, identifier, source, text in cursor.fetchall():
        series = _Series(identifier, source, _labels(text))
        for label in (None, *series.labels):
            found.setdefault((organization, family, label), []).append(series)
    return found


def _matching(index: _Index, trace: Trace) -> Iterator[_Series]:
    """The series a trace is about: of its rarest label those that have the others too."""
    labels = (None, *trace.where)
    fewest = min((index.get((trace.organization, trace.family, label), []) for label in labels), key=len)
    for series in fewest:
        sourced = trace.sources is None or series.source in trace.sources
        if sourced and set(trace.where) <= set(series.labels):
            yield series


def _joined(labels: Labels, by: Collection[str] | None) -> Labels:
    return labels if by is None else tuple(pair for pair in labels if pair[0] in by)


def _stretches(trace: Trace, step: timedelta, now: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """The rollup and the window of each stretch; of samples there are no days, so hours stand for them."""
    minutes_since = retention.of(trace.organization).minutes_since(now)
    for part in segments(trace.start, trace.end, step=step, minutes_since=minutes_since, hours_since=_LONG_AGO):
        yield ("minute" if part.grain == "minute" else "hour"), part.start, part.end


def _stretch_sql(grain: str) -> str:
    # Added up inside LATERAL, which keeps the planner at one short index scan for each stretch.
    return (
        "SELECT answer, series, step, newest, held.count, held.total, held.least, held.most, held.last "
        "FROM unnest(%s::int[], %s::text[], %s::bigint[], %s::timestamptz[], %s::timestamptz[]) "
        "AS asked (answer, organization, series, since, until), LATERAL ("
        "SELECT date_bin(%s, bucket, timestamptz 'epoch') AS step, max(bucket) AS newest, sum(count) AS count, "
        "sum(total) AS total, min(least) AS least, max(most) AS most, "
        "(array_agg(last ORDER BY bucket DESC))[1] AS last "
        f"FROM monitoring_sample_{grain} WHERE organization_id = organization AND series_id = series "
        "AND bucket >= since AND bucket < until GROUP BY 1) AS held"
    )


_STRETCHES = {grain: _stretch_sql(grain) for grain in ("minute", "hour")}


def _read(cursor: Any, parts: dict[str, list[_Part]], step: timedelta) -> dict[int, list[tuple[datetime, Span]]]:
    """Answer -> its steps in order of time; a series' last is that of its newest stretch, and then they are joined."""
    asked = {grain: wanted for grain, wanted in parts.items() if wanted}
    if not asked:
        return {}
    parameters: list[Any] = []
    for wanted in asked.values():
        parameters += [*(list(column) for column in zip(*wanted, strict=True)), step]
    cursor.execute(
        "SELECT answer, extract(epoch FROM step)::bigint, sum(count)::bigint, sum(total), min(least), max(most), "
        "sum(last) FROM ("
        "SELECT answer, step, sum(count) AS count, sum(total) AS total, min(least) AS least, max(most) AS most, "
        "(array_agg(last ORDER BY newest DESC))[1] AS last "
        f"FROM ({' UNION ALL '.join(_STRETCHES[grain] for grain in asked)}) AS stretches "
        "GROUP BY answer, series, step) AS each GROUP BY answer, step ORDER BY answer, step",
        parameters,
    )
    steps: dict[int, list[tuple[datetime, Span]]] = {}
    starts: dict[int, datetime] = {}  # few of them, and each many times
    for answer, seconds, count, total, least, most, last in cursor.fetchall():
        if (start := starts.get(seconds)) is None:
            start = starts[seconds] = EPOCH + timedelta(seconds=seconds)
        steps.setdefault(answer, []).append((start, Span(count, total, least, most, last)))
    return steps
