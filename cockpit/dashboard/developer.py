"""The panels of the developer audience: how much, how fast, what fails, what it costs, call by call."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Column, Steps, Value
from cockpit.dashboard.integration import ModelRow
from cockpit.dashboard.limits import Drawing
from cockpit.dashboard.sight import Sight
from monitoring.store.base import Call

Context = dict[str, object]
Rates = list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key number: what it is, how much, and how that stands against the compared window."""

    label: str
    value: str | None
    unit: str = ""
    title: str = ""
    change: words.Change | None = None
    spark: str = ""
    key: str = "s1"
    sourced: bool = False  # a figure of money or a percentile: labelled when anything but live is in it


def per_second(steps: Steps, counts: Sequence[int]) -> Rates:
    """Counts by step as rates; None where so little of the step counts that one call would look like a storm."""
    return [
        number / covered if (covered := steps.covered(index)) >= steps.seconds / 4 else None
        for index, number in enumerate(counts)
    ]


def key_numbers(sight: Sight) -> Context:
    tiles = (_rate_tile(sight), _errors_tile(sight), _latency_tile(sight), _tokens_tile(sight), _cost_tile(sight))
    return {
        "tiles": tiles,
        "unpriced": words.count(sight.totals.unpriced) if sight.totals.unpriced else None,
        "against": sight.earlier if sight.previous else None,
    }


def _rate_tile(sight: Sight) -> Tile:
    now, before = sight.totals.inferences, sight.previous.inferences if sight.previous else None
    pace = words.rate(now / sight.seconds)
    return Tile(
        label="Request rate",
        value=words.compact(now / sight.seconds * pace.seconds),
        unit=pace.unit,
        title=f"{now:,} requests",
        change=_paced(sight, now, before),
        spark=charts.spark(per_second(sight.steps, sight.answer.series.inferences)),
    )


def _errors_tile(sight: Sight) -> Tile:
    now, before, series = sight.totals, sight.previous, sight.answer.series
    return Tile(
        label="Error rate",
        value=words.percent(now.error_rate),
        title=f"{now.errors:,} of {now.inferences:,} requests failed",
        change=words.points(now.error_rate, before.error_rate if before else None, better="down"),
        spark=charts.spark(_shares(series.errors, series.inferences)),
        key="bad",
    )


def _latency_tile(sight: Sight) -> Tile:
    now, before = sight.totals, sight.previous
    return Tile(
        label="p95 latency",
        value=words.duration(now.p95_ms),
        title=f"p50 {words.duration(now.p50_ms) or charts.NO_DATA}, p99 {words.duration(now.p99_ms) or charts.NO_DATA}",
        change=words.change(now.p95_ms, before.p95_ms if before else None, better="down"),
        spark=charts.spark(sight.answer.series.p95_ms),
        key="s2",
        sourced=True,
    )


def _tokens_tile(sight: Sight) -> Tile:
    now, before = sight.totals, sight.previous
    used = now.input_tokens + now.output_tokens
    pace = words.rate(used / sight.seconds)
    return Tile(
        label="Tokens",
        value=words.compact(used / sight.seconds * pace.seconds),
        unit=pace.unit,
        title=f"{now.input_tokens:,} in, {now.output_tokens:,} out",
        change=_paced(sight, used, before.input_tokens + before.output_tokens if before else None),
        spark=charts.spark(per_second(sight.steps, sight.answer.series.tokens)),
        key="s3",
    )


def _cost_tile(sight: Sight) -> Tile:
    now, before = sight.totals, sight.previous
    return Tile(
        label="Cost",
        value=sight.money(now.cost),
        title=f"{now.unpriced:,} requests have no price" if now.unpriced else "every request has a price",
        change=words.change(now.cost, before.cost if before else None),
        spark=charts.spark([None if cost is None else float(cost) for cost in sight.answer.series.cost]),
        key="s4",
        sourced=True,
    )


def _paced(sight: Sight, now: int, before: int | None) -> words.Change | None:
    return words.change(now / sight.seconds, None if before is None else before / sight.earlier_seconds)


def _shares(parts: Sequence[int], wholes: Sequence[int]) -> list[float | None]:
    return [part / whole if whole else None for part, whole in zip(parts, wholes, strict=True)]


def _paced_rates(sight: Sight, now: Sequence[int], before: Sequence[int] | None) -> tuple[words.Rate, Rates, Rates]:
    """Counts as rates, the compared window's too, in the unit in which the highest of this window's reads well."""
    rates = per_second(sight.steps, now)
    unit = words.rate(max((value for value in rates if value is not None), default=0.0))
    earlier = sight.earlier_series
    compared = per_second(sight.steps_of(earlier), before) if earlier and before is not None else []
    return unit, _scaled(rates, unit), _scaled(compared, unit)


def _scaled(rates: Rates, unit: words.Rate) -> Rates:
    return [None if value is None else value * unit.seconds for value in rates]


def _number(value: Value) -> str:
    return words.compact(float(value)) or charts.NO_DATA


def request_rate(sight: Sight) -> Context:
    series, earlier = sight.answer.series, sight.earlier_series
    unit, calls, before = _paced_rates(sight, series.inferences, earlier.inferences if earlier else None)
    failed = _scaled(per_second(sight.steps, series.errors), unit)
    columns = [Column("Requests", "s1", calls, area=True), Column("Failed", "bad", failed)]
    if earlier:
        columns.append(sight.beside("Requests", before))
    return {
        "unit": unit.words,
        "total": words.count(sight.totals.inferences),
        "against": sight.earlier if earlier else None,
        "chart": charts.line_chart(
            "Request rate",
            sight.steps,
            columns,
            _number,
            description=f"Requests {unit.words} in {sight.last}, and how many of them failed.",
            limits=sight.limits_of("request-rate", Drawing(step=sight.steps.seconds, seconds=unit.seconds), unit.words),
        ),
    }


def errors(sight: Sight) -> Context:
    totals, series, earlier = sight.totals, sight.answer.series, sight.earlier_series
    columns = [Column("Error rate", "bad", _shares(series.errors, series.inferences), area=True)]
    if earlier:
        columns.append(sight.beside("Error rate", _shares(earlier.errors, earlier.inferences)))
    most = max((number for _, number in sight.answer.errors_by_type), default=0) or 1
    return {
        "rate": words.percent(totals.error_rate),
        "count": words.count(totals.errors),
        "against": sight.earlier if earlier else None,
        "chart": charts.line_chart(
            "Error rate",
            sight.steps,
            columns,
            lambda value: words.percent(float(value)) or charts.NO_DATA,
            description=f"The share of requests that failed in {sight.last}.",
            limits=sight.limits_of("error-rate", Drawing(step=sight.steps.seconds)),
        ),
        "types": [
            {
                "name": name or "unnamed",
                "count": words.count(number),
                "rate": words.percent(number / totals.inferences) if totals.inferences else None,
                "width": f"{100 * number / most:.1f}%",
            }
            for name, number in sight.answer.errors_by_type
        ],
    }


def latency(sight: Sight) -> Context:
    series, totals, earlier = sight.answer.series, sight.totals, sight.earlier_series
    columns = [
        Column("p50", "s1", series.p50_ms),
        Column("p95", "s2", series.p95_ms),
        Column("p99", "s3", series.p99_ms),
    ]
    if earlier:
        columns.append(sight.beside("p95", earlier.p95_ms))
    return {
        "p50": words.duration(totals.p50_ms),
        "p95": words.duration(totals.p95_ms),
        "p99": words.duration(totals.p99_ms),
        "estimated": sight.estimated,
        "against": sight.earlier if earlier else None,
        "chart": charts.line_chart(
            "Latency percentiles",
            sight.steps,
            columns,
            lambda value: words.duration(float(value)) or charts.NO_DATA,
            description=f"How long half, 95 % and 99 % of the requests took at most, in {sight.last}.",
            log=True,
            limits=sight.limits_of("latency", Drawing(step=sight.steps.seconds)),
        ),
    }


def tokens(sight: Sight) -> Context:
    series, earlier = sight.answer.series, sight.earlier_series
    unit, rates, before = _paced_rates(sight, series.tokens, earlier.tokens if earlier else None)
    columns = [Column(f"Tokens {unit.words}", "s4", rates, area=True)]
    if earlier:
        columns.append(sight.beside("Tokens", before))
    chart = charts.line_chart(
        "Tokens",
        sight.steps,
        columns,
        _number,
        description=f"Input and output tokens {unit.words} in {sight.last}.",
        limits=sight.limits_of("tokens", Drawing(step=sight.steps.seconds, seconds=unit.seconds), unit.words),
    )
    return {
        "unit": unit.words,
        "input": words.compact(sight.totals.input_tokens),
        "output": words.compact(sight.totals.output_tokens),
        "against": sight.earlier if earlier else None,
        "chart": chart,
    }


def models(sight: Sight) -> Context:
    most = max((row.totals.inferences for row in sight.answer.models), default=0) or 1
    return {"rows": [_model(sight, row, most) for row in sight.answer.models], "currency": sight.answer.currency}


def _model(sight: Sight, row: ModelRow, most: int) -> Context:
    totals = row.totals
    used = totals.input_tokens + totals.output_tokens
    # A price per token over requests of which some have no price would be too low, and look like a bargain.
    priced = totals.cost is not None and used and not totals.unpriced
    return {
        "name": row.model_name,
        "provider": row.provider,
        "calls": words.count(totals.inferences),
        "width": f"{100 * totals.inferences / most:.1f}%",
        "error_rate": words.percent(totals.error_rate),
        "failing": totals.error_rate is not None and 1 - totals.error_rate < words.TARGET,
        "p50": words.duration(totals.p50_ms),
        "p95": words.duration(totals.p95_ms),
        "p99": words.duration(totals.p99_ms),
        "tokens": words.compact(used),
        "tokens_title": f"{totals.input_tokens:,} in, {totals.output_tokens:,} out",
        "cost": sight.money(totals.cost),
        "unpriced": words.count(totals.unpriced) if totals.unpriced else None,
        "per_1k": sight.unit_money((totals.cost or Decimal(0)) * 1000 / used) if priced else None,
    }


def newest_calls(sight: Sight) -> Context:
    return {"rows": [_call(sight, call) for call in sight.calls], "zone": f"{_local(sight, sight.answer.as_of):%Z}"}


def _local(sight: Sight, moment: datetime) -> datetime:
    return moment.astimezone(sight.zone)


def _call(sight: Sight, call: Call) -> Context:
    local = _local(sight, call.occurred_at)
    today = local.date() == _local(sight, sight.answer.as_of).date()
    return {
        "at": call.occurred_at,
        "time": f"{local:%H:%M:%S}" if today else f"{local.day} {local:%b} {local:%H:%M:%S}",
        "model": call.model_name,
        "provider": call.provider,
        "status": call.status,
        "status_words": call.status.replace("_", " "),
        "error_type": call.error_type,
        "duration": words.duration(call.duration_ms),
        "ttft": words.duration(call.ttft_ms),
        "input": words.count(call.input_tokens),
        "output": words.count(call.output_tokens),
        "cost": sight.unit_money(call.cost),
        "estimated": call.estimated,
        "source": call.source,
    }
