"""totals, series and latest: rollups and deltas not yet folded, read in one statement and so always right."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from monitoring.store import retention, summing
from monitoring.store.base import HISTOGRAMS, NO_BUCKETS, Call, Groups, Query, SteppedGroups, Summary
from monitoring.store.summing import Asked, Since
from organizations.scope import Scope


def totals(scope: Scope, queries: Sequence[Query]) -> list[Groups]:
    found: list[dict[tuple[str, ...], Summary]] = [{} for _ in queries]
    since = _shortest(scope)
    for asked, band, _, group, summary in _rows(scope, summing.together(queries, since), since, step=None):
        for place, query in zip(asked.places[band:], asked.queries[band:]):
            found[place][group] = _only(summary, query, asked)
    return list(found)


def series(scope: Scope, queries: Sequence[Query], *, step_seconds: int) -> list[SteppedGroups]:
    found: list[dict[tuple[str, ...], list[tuple[datetime, Summary]]]] = [{} for _ in queries]
    step = timedelta(seconds=step_seconds)
    for asked, _, start, group, summary in _rows(scope, summing.alone(queries), _shortest(scope), step=step):
        found[asked.places[0]].setdefault(group, []).append((start, summary))
    return list(found)


def _rows(
    scope: Scope, every: Sequence[Asked], since: Since, *, step: timedelta | None
) -> Iterator[tuple[Asked, int, datetime, tuple[str, ...], Summary]]:  # fmt: skip
    """The answers to all in one statement: to which, to which query of it, the start of the step, the group, its sums.

    In the order of steps and queries: what is told of one holds for the longer ones too, unless they tell more.
    """
    fields = summing.fields_of(every)
    parts: list[str] = []
    parameters: list[Any] = []
    for number, asked in enumerate(every):
        if (part := summing.select(number, asked, fields, step, since)) is not None:
            parts.append(part[0])
            parameters += part[1]
    if not parts:
        return
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(f"{' UNION ALL '.join(parts)} ORDER BY 1, 3, 2", parameters)
        rows = cursor.fetchall()
    for number, band, start, group, *sums in rows:
        yield every[number], band, start, tuple(group), _summary(fields, sums)


def _summary(fields: Sequence[str], sums: Sequence[Any]) -> Summary:
    told: dict[str, Any] = dict(zip(fields, sums, strict=True))
    for name in HISTOGRAMS:
        if name in told:
            told[name] = NO_BUCKETS if told[name] is None else tuple(told[name])
    return Summary(**told)


def _only(summary: Summary, query: Query, asked: Asked) -> Summary:
    """With what the query asks for, of what it shares with others."""
    if query.fields == asked.fields:
        return summary
    return Summary(**{name: getattr(summary, name) for name in query.fields})


def _shortest(scope: Scope) -> Since:
    """Of all organizations of the scope: an answer reaches equally far for each."""
    now = timezone.now()
    known = [kept for organization, kept in retention.every().items() if organization in scope]
    minutes = max((one.minutes_since(now) for one in known), default=now)
    hours = max((one.hours_since(now) for one in known), default=now)
    return Since(minutes, hours)


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
