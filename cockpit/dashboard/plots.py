"""What the browser's chart library draws a chart from: numbers, ticks and their words, as one JSON text.

Every word comes from here, so that an axis can say nothing that the table behind it does not.
"""

import math

import msgspec

from cockpit.dashboard.charts import Chart, Value, mark
from cockpit.dashboard.marks import Marks

_DIGITS = 6  # of a height; nobody sees a part in a million
_MOST_MARKS = 8
_encode = msgspec.json.Encoder().encode


def text(chart: Chart, marks: Marks | None = None) -> str:
    """The chart as JSON: times in seconds since 1970, places from 0 to 1, null where there is no data.

    `alerts` are lines of [kind, words]; `told` names those of each step, and is empty where there are none.
    """
    steps = chart.steps
    return _encode(
        {
            "x": [moment.timestamp() for moment in steps.t],
            "step": steps.seconds,
            "series": [
                {"key": column.key, "area": column.area, "values": [_height(value) for value in column.values]}
                for column in chart.columns
            ],
            "xTicks": [(float(tick.at.removesuffix("%")) / 100, tick.text, tick.minor) for tick in chart.x_ticks],
            "yTicks": [(value, tick.text) for value, tick in zip(chart.marks, chart.y_ticks, strict=True)],
            "logTicks": log_ticks(chart) if chart.log else None,
            "bars": chart.barred,
            "partial": [index for index in range(len(steps.t)) if steps.partial(index)] if chart.barred else [],
            "limits": limits(chart),
            "alerts": marks.lines if marks else [],
            "told": marks.told if marks else [],
        }
    ).decode()


def log_ticks(chart: Chart) -> list[tuple[float, str]]:
    """Marks at 1, 2 and 5 times powers of ten that enclose all that is above zero; none where nothing is."""
    present = [float(value) for column in chart.columns for value in column.values if value]
    if not present:
        return []
    low, high = min(present), max(*present, *limits(chart), 0.0)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 2)
    every = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(index for index, each in enumerate(every) if each <= low * (1 + 1e-9))
    last = next(index for index, each in enumerate(every) if each >= high * (1 - 1e-9) and index > first)
    kept = every[first : last + 1]
    if len(kept) > _MOST_MARKS:  # over many decades the powers of ten say enough
        kept = [
            kept[0],
            *(each for each in kept[1:-1] if math.isclose(math.log10(each), round(math.log10(each)), abs_tol=1e-9)),
            kept[-1],
        ]
    return [(value, mark(chart.form(value))) for value in kept]


def limits(chart: Chart) -> list[float]:
    """The thresholds that have a line, in the order of their lines."""
    return [one.value for rule in chart.limits for one in rule.thresholds if one.y]


def _height(value: Value | None) -> float | None:
    return None if value is None else float(f"{float(value):.{_DIGITS}g}")
