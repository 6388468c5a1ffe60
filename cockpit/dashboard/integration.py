"""All sources of monitoring data joined into the one answer that the dashboard JSON and the pages show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from cockpit.dashboard import movers, words
from cockpit.dashboard.movers import Mover
from cockpit.dashboard.windows import View
from monitoring import measures
from monitoring.store import current_store, retention
from monitoring.store.base import Call, Dimension, Groups, Query, Summary
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
    """Equal-length columns over the steps of [start, end); t is each step's start, the first may lie before `start`."""

    start: datetime
    end: datetime
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
    movers: tuple[Mover, ...]  # what moved against the compared window, most important first
    errors_by_type: tuple[tuple[str, int], ...]  # most first
    series: Series
    earlier_series: Series | None  # of the compared window, in the same steps from its own start
    active_users: tuple[tuple[date, int], ...] = ()  # distinct people a UTC day; days without any known left out
    earlier_users: tuple[tuple[date, int], ...] = ()  # of the compared window


_FINEST: tuple[Dimension, ...] = ("model", "provider", "error_type", "status", "source")


def answer(scope: Scope, organization: Organization, view: View, now: datetime) -> Answer:
    """The dashboard data of one organization, which `scope` must hold; right to the last committed inference."""
    own = Scope.of(organization.slug)
    if organization.slug not in scope:
        raise PermissionError(organization.slug)
    view = _wide_enough(view, organization.slug, now)
    sources = None if view.source is None else (view.source,)
    window = Query(start=view.start, end=view.end, sources=sources)
    windows = [window, replace(window, start=view.earlier[0], end=view.earlier[1])] if view.earlier else [window]
    # The window's rows are read once, in their finest groups, and added up here by model, by error and by source.
    queries = [replace(window, by=_FINEST, sources=None)]
    queries += [replace(earlier, by=_FINEST[:2]) for earlier in windows[1:]]
    store = current_store()
    everything, *before = store.totals(own, queries)
    groups = {key: one for key, one in everything.items() if sources is None or key[-1] in sources}
    models = _added(groups, lambda key: key[:2])
    found = store.series(own, windows, step_seconds=view.step_seconds)
    users = [_users(own, organization.slug, one) for one in windows]
    series = [
        _series(one.start, one.end, view.step_seconds, dict(steps.get((), ())))
        for one, steps in zip(windows, found, strict=True)
    ]
    return Answer(
        organization=organization.slug,
        currency=organization.currency,
        start=view.start,
        end=view.end,
        step_seconds=view.step_seconds,
        as_of=now,
        sources=_sources(everything),
        totals=_totals(sum(models.values(), Summary())),
        previous=_totals(sum(before[0].values(), Summary())) if before else None,
        models=_model_rows(models),
        movers=_movers(view, organization.currency, models, before[0] if before else {}),
        errors_by_type=_errors(groups),
        series=series[0],
        earlier_series=series[1] if view.earlier else None,
        active_users=users[0],
        earlier_users=users[1] if view.earlier else (),
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


def _users(own: Scope, organization: str, window: Query) -> tuple[tuple[date, int], ...]:
    """Of every UTC day that the window has a part of, the whole day."""
    last = (window.end - timedelta(microseconds=1)).astimezone(UTC).date()
    found = current_store().users(
        own, window.start.astimezone(UTC).date(), last + timedelta(days=1), sources=window.sources
    )
    return tuple(found.get(organization, {}).items())


def _added(groups: Groups, key_of: Callable[[tuple[str, ...]], tuple[str, ...]]) -> dict[tuple[str, ...], Summary]:
    sums: dict[tuple[str, ...], Summary] = {}
    for key, one in groups.items():
        coarser = key_of(key)
        sums[coarser] = sums[coarser] + one if coarser in sums else one
    return sums


def _sources(groups: Groups) -> dict[str, int]:
    """Inferences by source, whichever of them is looked at."""
    counts = dict.fromkeys(measures.SOURCES, 0)
    for key, one in groups.items():
        counts[key[-1]] += one.inferences
    return counts


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


def _movers(view: View, currency: str, now: Groups, before: Groups) -> tuple[Mover, ...]:
    return movers.find(now, before, currency=currency, against=words.earlier(view.window, view.compare))


def _errors(groups: Groups) -> tuple[tuple[str, int], ...]:
    """By error type; an error that named none is told by its status."""
    counts: dict[str, int] = {}
    for (_, _, error_type, status, _), one in groups.items():
        if status in measures.FAILED:
            counts[error_type or status] = counts.get(error_type or status, 0) + one.inferences
    return tuple(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def _series(start: datetime, end: datetime, step_seconds: int, found: Mapping[datetime, Summary]) -> Series:
    step = timedelta(seconds=step_seconds)
    # Steps are counted from 1970, which for whole days and their parts is the same as from midnight UTC.
    first = floor(start.astimezone(UTC), step)
    t = tuple(first + step * number for number in range(-((first - end) // step)))
    steps = tuple(found.get(moment, Summary()) for moment in t)
    return Series(
        start=start,
        end=end,
        t=t,
        inferences=tuple(one.inferences for one in steps),
        errors=tuple(one.errors for one in steps),
        cost=tuple(one.cost for one in steps),
        tokens=tuple(one.input_tokens + one.output_tokens for one in steps),
        p50_ms=tuple(one.quantile_ms(0.50) for one in steps),
        p95_ms=tuple(one.quantile_ms(0.95) for one in steps),
        p99_ms=tuple(one.quantile_ms(0.99) for one in steps),
    )
