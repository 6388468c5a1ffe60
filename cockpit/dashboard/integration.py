"""All sources of monitoring data joined into the one answer that the dashboard JSON and the pages show."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from cockpit.dashboard.windows import View
from monitoring import measures
from monitoring.store import current_store, retention
from monitoring.store.base import Call, Query, Summary
from monitoring.store.windows import floor
from organizations.models import Organization
from organizations.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One window of inferences added up; None where there is no data. Rates are 0-1, latencies milliseconds."""

    inferences: int
    errors: int
    estimated: int  # inferences whose duration (and cost, where given) the sender derived
    error_rate: float | None
    cost: Decimal | None
    unpriced: int
    revenue: Decimal | None
    input_tokens: int
    output_tokens: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """The totals of one model of one provider ("" where no provider was named)."""

    model_name: str
    provider: str
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Equal-length columns over the steps of the window; t is each step's start."""

    t: tuple[datetime, ...]
    inferences: tuple[int, ...]
    errors: tuple[int, ...]
    cost: tuple[Decimal | None, ...]
    tokens: tuple[int, ...]
    p50_ms: tuple[float | None, ...]
    p95_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The dashboard data of one organization and window."""

    organization: str
    currency: str
    start: datetime
    end: datetime
    step_seconds: int
    as_of: datetime
    sources: dict[str, int]  # live, replay, demo: inferences of the window by source
    totals: Totals
    previous: Totals | None  # None when nothing is compared
    models: tuple[ModelRow, ...]  # most inferences first
    errors_by_type: tuple[tuple[str, int], ...]  # most first
    series: Series


def answer(scope: Scope, organization: Organization, view: View, now: datetime) -> Answer:
    """The dashboard data of one organization, which `scope` must hold; right to the last committed inference."""
    own = Scope.of(organization.slug)
    if organization.slug not in scope:
        raise PermissionError(organization.slug)
    view = _wide_enough(view, organization.slug, now)
    sources = None if view.source is None else (view.source,)
    window = Query(start=view.start, end=view.end, sources=sources)
    queries = [
        replace(window, by=("model", "provider")),
        replace(window, by=("error_type", "status"), statuses=measures.FAILED),
        replace(window, by=("source",), sources=None),
    ]
    if view.earlier:
        queries.append(replace(window, start=view.earlier[0], end=view.earlier[1]))
    store = current_store()
    models, failures, by_source, *earlier = store.totals(own, queries)
    steps = store.series(own, [window], step_seconds=view.step_seconds)[0].get((), ())
    return Answer(
        organization=organization.slug,
        currency=organization.currency,
        start=view.start,
        end=view.end,
        step_seconds=view.step_seconds,
        as_of=now,
        sources={source: _count(by_source.get((source,))) for source in measures.SOURCES},
        totals=_totals(sum(models.values(), Summary())),
        previous=_totals(earlier[0].get((), Summary())) if earlier else None,
        models=_model_rows(models),
        errors_by_type=_errors(failures),
        series=_series(view, dict(steps)),
    )


def newest(scope: Scope, organization: Organization, view: View, limit: int) -> list[Call]:
    """The newest stored inferences of the view's window and source, newest first."""
    sources = None if view.source is None else (view.source,)
    return current_store().latest(scope, organization.slug, limit=limit, sources=sources, before=view.end)


def _wide_enough(view: View, organization: str, now: datetime) -> View:
    """Steps no finer than what is still kept so far back."""
    kept = retention.of(organization)
    finest = 60
    if view.start < kept.hours_since(now):
        finest = 86_400
    elif view.start < kept.minutes_since(now):
        finest = 3_600
    return replace(view, step_seconds=max(finest, view.step_seconds))


def _count(summary: Summary | None) -> int:
    return summary.inferences if summary else 0


def _totals(one: Summary) -> Totals:
    return Totals(
        inferences=one.inferences,
        errors=one.errors,
        estimated=one.estimated,
        error_rate=one.errors / one.inferences if one.inferences else None,
        cost=one.cost,
        unpriced=one.unpriced,
        revenue=one.revenue,
        input_tokens=one.input_tokens,
        output_tokens=one.output_tokens,
        p50_ms=one.quantile_ms(0.50),
        p95_ms=one.quantile_ms(0.95),
        p99_ms=one.quantile_ms(0.99),
    )


def _model_rows(models: Mapping[tuple[str, ...], Summary]) -> tuple[ModelRow, ...]:
    busiest = sorted(models.items(), key=lambda entry: (-entry[1].inferences, entry[0]))
    return tuple(
        ModelRow(model_name=model, provider=provider, totals=_totals(one)) for (model, provider), one in busiest
    )


def _errors(failures: Mapping[tuple[str, ...], Summary]) -> tuple[tuple[str, int], ...]:
    """By error type; an error that named none is told by its status."""
    counts: dict[str, int] = {}
    for (error_type, status), one in failures.items():
        counts[error_type or status] = counts.get(error_type or status, 0) + one.inferences
    return tuple(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def _series(view: View, found: Mapping[datetime, Summary]) -> Series:
    step = timedelta(seconds=view.step_seconds)
    # Steps are counted from 1970, which for whole days and their parts is the same as from midnight UTC.
    first = floor(view.start.astimezone(UTC), step)
    t = tuple(first + step * number for number in range(-((first - view.end) // step)))
    steps = tuple(found.get(moment, Summary()) for moment in t)
    return Series(
        t=t,
        inferences=tuple(one.inferences for one in steps),
        errors=tuple(one.errors for one in steps),
        cost=tuple(one.cost for one in steps),
        tokens=tuple(one.input_tokens + one.output_tokens for one in steps),
        p50_ms=tuple(one.quantile_ms(0.50) for one in steps),
        p95_ms=tuple(one.quantile_ms(0.95) for one in steps),
        p99_ms=tuple(one.quantile_ms(0.99) for one in steps),
    )
