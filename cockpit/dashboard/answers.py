"""The dashboard data as it is sent: the types that are encoded, and described to those who read them."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, field
from msgspec.structs import asdict, astuple

from bedrock import money
from bedrock.identifiers import text_of
from cockpit.dashboard import integration, movers

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Money = Annotated[
    str, Meta(pattern=r"^-?[0-9]+\.[0-9]{2,}$", extra_json_schema={"format": "decimal"}, examples=["1284.07"])
]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0)]
Figure = Annotated[
    Money | float | None, Meta(description="A decimal string for `currency`, a number for `ms` and `ratio`.")
]


class Window(Struct, rename="camel", frozen=True):
    """[from, to) in whole minutes, and the width of a step of `series`."""

    from_: Time = field(name="from")
    to: Time
    step_seconds: Annotated[int, Meta(ge=60)]


class Sources(Struct, rename="camel", frozen=True):
    """Inferences of the window by where they came from, whatever `source` was asked for."""

    live: Count
    replay: Count
    demo: Count


class UsersOfDay(Struct, rename="camel", frozen=True):
    """Distinct people of one UTC day; never to be added up over days."""

    day: Annotated[str, Meta(extra_json_schema={"format": "date"}, examples=["2026-11-22"])]
    users: Annotated[int, Meta(ge=1)]


class Figures(Struct, rename="camel", frozen=True):
    """Inferences added up; null where there is no data, which is never 0."""

    inferences: Count
    errors: Count
    error_rate: Share | None
    cost: Money | None
    unpriced: Annotated[Count, Meta(description="Inferences whose cost is not known and so not in `cost`.")]
    revenue: Money | None
    input_tokens: Count
    output_tokens: Count
    p50_ms: Milliseconds | None
    p95_ms: Milliseconds | None
    p99_ms: Milliseconds | None


class Totals(Figures, rename="camel", frozen=True):
    """One window added up; null where there is no data, which is never 0."""

    active_users_per_day: Annotated[
        list[UsersOfDay],
        Meta(description="Whole UTC days that the window has a part of; those without a known `userId` are left out."),
    ]


class Model(Struct, rename="camel", frozen=True):
    """The totals of one model of one provider."""

    model_name: str
    provider: str | None
    inferences: Count
    errors: Count
    error_rate: Share | None
    cost: Money | None
    unpriced: Count
    revenue: Money | None
    input_tokens: Count
    output_tokens: Count
    p50_ms: Milliseconds | None
    p95_ms: Milliseconds | None
    p99_ms: Milliseconds | None


class Mover(Struct, rename="camel", frozen=True):
    """One thing that moved against the compared window; `change` is `after` less `before`. At most eight are told."""

    model_name: Annotated[str | None, Meta(description="null: several models, which moved as all requests did.")]
    provider: str | None
    measure: movers.Measure
    unit: movers.Unit
    because: Annotated[str, Meta(description="Why, in a sentence for people.")]
    change: Figure
    before: Figure
    after: Figure


class ErrorCount(Struct, rename="camel", frozen=True):
    """How often one type of error happened; one that named no type goes by its status."""

    error_type: str
    count: Count


class Series(Struct, rename="camel", frozen=True):
    """Columns of equal length over the steps of the window; `t` is each step's start."""

    t: list[Time]
    inferences: list[Count]
    errors: list[Count]
    cost: list[Money | None]
    tokens: list[Count]
    p50_ms: list[Milliseconds | None]
    p95_ms: list[Milliseconds | None]
    p99_ms: list[Milliseconds | None]


class Dashboard(Struct, rename="camel", frozen=True):
    """One organization's window of inferences; latencies in milliseconds, rates from 0 to 1."""

    organization: str
    currency: Annotated[str, Meta(description="ISO 4217; of every amount below.", examples=["USD"])]
    window: Window
    as_of: Annotated[Time, Meta(description="The moment of the answer: every inference committed before is in it.")]
    sources: Sources
    totals: Totals
    previous: Annotated[Totals | None, Meta(description="The window compared with; null for `compare=none`.")]
    models: Annotated[list[Model], Meta(description="Most inferences first.")]
    movers: Annotated[list[Mover], Meta(description="What moved against `previous`, most important first.")]
    errors_by_type: Annotated[list[ErrorCount], Meta(description="Most first.")]
    series: Series


class EmbedToken(Struct, rename="camel", frozen=True):
    """A token that reads one organization's dashboard until it expires."""

    token: Annotated[str, Meta(pattern="^ct_", description="Sent as `Authorization: Bearer ct_...`.")]
    organization: str
    expires_at: Time


def of(answer: integration.Answer) -> Dashboard:
    return Dashboard(
        organization=answer.organization,
        currency=answer.currency,
        window=Window(text_of(answer.start), text_of(answer.end), answer.step_seconds),
        as_of=text_of(answer.as_of),
        sources=Sources(**answer.sources),
        totals=_totals(answer.totals, answer.active_users),
        previous=_totals(answer.previous, answer.earlier_users) if answer.previous else None,
        models=[_model(row) for row in answer.models],
        movers=[_mover(one) for one in answer.movers],
        errors_by_type=[ErrorCount(name, count) for name, count in answer.errors_by_type],
        series=_series(answer.series),
    )


def _totals(totals: integration.Totals, users: Iterable[tuple[date, int]]) -> Totals:
    days = [UsersOfDay(day.isoformat(), people) for day, people in users]
    return Totals(**asdict(_figures(totals)), active_users_per_day=days)


def _figures(totals: integration.Totals) -> Figures:
    return Figures(
        inferences=totals.inferences,
        errors=totals.errors,
        error_rate=totals.error_rate,
        cost=money.text(totals.cost),
        unpriced=totals.unpriced,
        revenue=money.text(totals.revenue),
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        p50_ms=_round(totals.p50_ms),
        p95_ms=_round(totals.p95_ms),
        p99_ms=_round(totals.p99_ms),
    )


def _model(row: integration.ModelRow) -> Model:
    return Model(row.model_name, row.provider or None, *astuple(_figures(row.totals)))


def _mover(one: movers.Mover) -> Mover:
    figures = (one.change, one.before, one.after)
    change, before, after = (money.text(it) if isinstance(it, Decimal) else round(it, 6) for it in figures)
    return Mover(one.model_name, one.provider or None, one.measure, one.unit, one.because, change, before, after)


def _series(series: integration.Series) -> Series:
    return Series(
        t=[text_of(moment) for moment in series.t],
        inferences=list(series.inferences),
        errors=list(series.errors),
        cost=[money.text(cost) for cost in series.cost],
        tokens=list(series.tokens),
        p50_ms=_rounded(series.p50_ms),
        p95_ms=_rounded(series.p95_ms),
        p99_ms=_rounded(series.p99_ms),
    )


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [_round(value) for value in values]
