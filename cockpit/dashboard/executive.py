"""The panels of the executive audience: money, service level and trend, in plain words."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import accumulate

from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Chart, Column, Value
from cockpit.dashboard.integration import ModelRow, Series, Totals
from cockpit.dashboard.limits import Drawing
from cockpit.dashboard.sight import Sight, cost_per_request, margin

Context = dict[str, object]

MOST_MODELS = 5
GAUGE_FROM = 0.90  # the gauge shows the last tenth: differences that matter are invisible on the whole


def headline(sight: Sight) -> Context:
    now, before = sight.totals, sight.previous
    return {
        "sentence": words.headline(
            spend=sight.money(now.cost),
            moved=words.change(now.cost, before.cost if before else None),
            period=sight.last,
            against=sight.earlier,
            service=words.service(now.error_rate),
        ),
        "requests": words.count(now.inferences),
        "more": words.more(words.change(now.inferences, before.inferences if before else None)),
        "period": sight.last,
        "against": sight.earlier,
    }


def spend(sight: Sight) -> Context:
    now, before = sight.totals.cost, sight.previous.cost if sight.previous else None
    most = max(now or Decimal(0), before or Decimal(0))
    return {
        "amount": sight.money(now),
        "change": words.change(now, before),  # more spend is no fault by itself
        "period": sight.last,
        "against": sight.earlier,
        "before": sight.money(before),
        "now_width": _width(now, most),
        "before_width": _width(before, most),
        "unpriced": _unpriced(sight),
        "chart": _spend_so_far(sight, before),
    }


def _width(part: Decimal | None, whole: Decimal) -> str:
    return f"{100 * part / whole:.1f}%" if part and whole else "0%"


def _unpriced(sight: Sight) -> str:
    number = sight.totals.unpriced
    if not number:
        return ""
    return f"{number:,} requests have no price yet and are" if number > 1 else "1 request has no price yet and is"


def _spend_so_far(sight: Sight, before: Decimal | None) -> Chart | None:
    """Spend added up over the window, beside the earlier one's as it added up."""
    series, earlier = sight.answer.series, sight.earlier_series
    if not any(cost is not None for cost in series.cost):
        return None
    columns = [Column("Spend so far", "s1", _added_up(series, sight.answer.as_of), area=True)]
    if earlier and before:
        columns.append(sight.beside("Spend", _added_up(earlier, sight.answer.as_of)))
    return charts.line_chart(
        "Spend so far",
        sight.steps,
        columns,
        _exact(sight),
        description=f"How spend added up over {sight.last}"
        + (f", against {sight.money(before)} in all of {sight.earlier}." if before else "."),
    )


def _added_up(series: Series, until: datetime) -> list[Value | None]:
    sums = accumulate(cost or Decimal(0) for cost in series.cost)
    return [total if start <= until else None for start, total in zip(series.t, sums, strict=True)]


def _exact(sight: Sight) -> charts.Form:
    """Money on an axis and in a table; only the axis' own round values were ever floats."""
    return lambda value: sight.money(value if isinstance(value, Decimal) else Decimal(f"{value:.6g}")) or charts.NO_DATA


def service(sight: Sight) -> Context:
    now, before = sight.totals, sight.previous
    level = words.service(now.error_rate)
    success = _success(now)
    return {
        "level": level,
        "failed": words.one_in(now.error_rate),
        "count": words.count(now.errors),
        "change": words.points(success, _success(before), better="up"),
        "against": sight.earlier,
        "at": _gauge(success),
        "target_at": _gauge(words.TARGET),
        "target": f"{words.TARGET:.0%}".replace("%", f"{words.SPACE}%"),
        "least": f"{GAUGE_FROM:.0%}".replace("%", f"{words.SPACE}%"),
    }


def _success(totals: Totals | None) -> float | None:
    return None if totals is None or totals.error_rate is None else 1 - totals.error_rate


def _gauge(share: float | None) -> str | None:
    return None if share is None else f"{100 * max(0.0, (share - GAUGE_FROM) / (1 - GAUGE_FROM)):.1f}%"


def income(sight: Sight) -> Context:
    now, before = sight.totals, sight.previous
    left, left_before = margin(now), margin(before)
    return {
        "revenue": sight.money(now.revenue),
        "revenue_change": words.change(now.revenue, before.revenue if before else None, better="up"),
        "margin": sight.money(left),
        "margin_change": words.change(left, left_before, better="up") if left_before and left_before > 0 else None,
        "share": words.percent(float(left / now.revenue)) if left is not None and now.revenue else None,
        "loss": left is not None and left < 0,
        "period": sight.last,
        "against": sight.earlier,
        "unpriced": _unpriced(sight),
    }


def unit_cost(sight: Sight) -> Context:
    now, before = cost_per_request(sight.totals), cost_per_request(sight.previous)
    series = sight.answer.series
    by_step = [
        float(cost / number) if cost is not None and number else None
        for cost, number in zip(series.cost, series.inferences, strict=True)
    ]
    return {
        "amount": sight.unit_money(now),
        "change": words.change(now, before, better="down"),
        "against": sight.earlier,
        "thousand": sight.money(None if now is None else now * 1000),
        "before": sight.unit_money(before),
        # Which steps the unpriced requests fell in is not known here, so with any of them there is no line to draw.
        "spark": "" if sight.totals.unpriced else charts.spark(by_step),
    }


def trend(sight: Sight) -> Context:
    steps, size = sight.steps.coarser(charts.MOST_STEPS + 1)  # the first and the last are parts of one
    drawing = Drawing(step=steps.seconds, seconds=steps.seconds)
    series, earlier = sight.answer.series, sight.earlier_series
    counted = costed = None
    if earlier:
        counted = sight.beside("Requests", charts.join(_floats(earlier.inferences), size), len(steps.t))
    if earlier and any(cost is not None for cost in earlier.cost):
        costed = sight.beside("Spend", charts.join(earlier.cost, size), len(steps.t))
    return {
        "requests": charts.bar_chart(
            "Requests",
            steps,
            Column("Requests", "s2", charts.join(_floats(series.inferences), size)),
            lambda value: f"{round(value):,}" if value == round(value) else words.compact(float(value)) or "",
            description=f"How many requests there were, over {sight.last}.",
            beside=counted,
            limits=sight.limits_of("trend-requests", drawing),
        ),
        "spend": charts.bar_chart(
            "Spend",
            steps,
            Column("Spend", "s1", charts.join(series.cost, size)),
            _exact(sight),
            description=f"What the requests cost, over {sight.last}.",
            beside=costed,
            limits=sight.limits_of("trend-spend", drawing),
        )
        if any(cost is not None for cost in series.cost)
        else None,
        "every": words.every(steps.seconds),
        "against": sight.earlier if earlier else None,
    }


def _floats(counts: Sequence[int]) -> list[float | None]:
    return [float(number) for number in counts]


def models_by_cost(sight: Sight) -> Context:
    """The models that cost most, and all others as one."""
    priced = [(row, cost) for row in sight.answer.models if (cost := row.totals.cost) is not None]
    priced.sort(key=lambda pair: pair[1], reverse=True)
    total = sum((cost for _, cost in priced), Decimal(0))
    top, rest = priced[:MOST_MODELS], priced[MOST_MODELS:]
    most = max((cost for _, cost in top), default=Decimal(0))
    rows = [_destination(sight, _name(row), _priced(row), cost, total, most) for row, cost in top]
    if rest:
        name = f"{len(rest)} other models" if len(rest) > 1 else "1 other model"
        requests = sum(_priced(row) for row, _ in rest)
        others = _destination(sight, name, requests, sum((cost for _, cost in rest), Decimal(0)), total, most)
        rows.append({**others, "rest": True})
    return {"rows": rows, "unpriced": _unpriced(sight), "period": sight.last}


def _priced(row: ModelRow) -> int:
    """The requests that the cost is of: those without a price would pull the price of one towards zero."""
    return row.totals.inferences - row.totals.unpriced


def _name(row: ModelRow) -> str:
    return "Models beyond the limit of names" if row.model_name == "__other__" else row.model_name


def _destination(sight: Sight, name: str, requests: int, cost: Decimal, total: Decimal, most: Decimal) -> Context:
    return {
        "name": name,
        "requests": words.count(requests),
        "cost": sight.money(cost),
        "share": words.percent(float(cost / total)) if total else None,
        "width": f"{min(Decimal(100), 100 * cost / most):.1f}%" if most > 0 else "0%",
        "each": sight.unit_money(cost / requests) if requests else None,
    }
