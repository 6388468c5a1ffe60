"""What the panels of machines, cards and services are drawn from: rows of one unit, and several units in one chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Column
from cockpit.dashboard.limits import Limits
from cockpit.dashboard.readings import Readings, Silence, Track

Context = dict[str, object]
State = Literal["", "near", "bad"]

MOST_LINES = 4
_COLOURS = ("s1", "s2", "s3", "s4")
Lines = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of a machine, card or service: as it is now, and how it went."""

    label: str
    value: str | None
    note: str = ""
    spark: str = ""
    state: State = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One machine or card."""

    name: str
    kind: str
    source: str  # "" for live
    rows: Sequence[Row]
    remarks: Sequence[tuple[State, str]] = ()
    silence: Silence | None = None


def state_of(share: float | None, near: float, bad: float) -> State:
    return "" if share is None or share < near else "near" if share < bad else "bad"


def share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def shares(part: Track | None, whole: Track | None, readings: Readings) -> list[float | None]:
    """A part of a whole, step by step."""
    if part is None or whole is None or not whole.last:
        return []
    return [None if value is None else value / whole.last for value in part.means(readings.steps)]


def percent_form(value: charts.Value) -> str:
    return words.percent(float(value)) or charts.NO_DATA


def labelled(source: str) -> str:
    return "" if source == "live" else f"{source} data"


def compared(
    title: str,
    readings: Readings,
    lines: Lines,
    when: str,
    form: charts.Form = percent_form,
    top: float = 1.0,
    limit: tuple[str, float] | None = None,
    limits: Limits = charts.NO_LIMITS,
) -> Context | None:
    """Some machines or cards in one chart: those with the highest values, by name; `limit` is a line to keep below."""
    drawn = {name: values for name, values in lines.items() if any(value is not None for value in values)}
    highest = sorted(drawn, key=lambda name: -max(value for value in drawn[name] if value is not None))[:MOST_LINES]
    names = sorted(highest)
    if not names:
        return None
    columns = [Column(name, key, drawn[name]) for name, key in zip(names, _COLOURS, strict=False)]
    if limit:
        columns.append(Column(limit[0], "earlier", [limit[1]] * len(readings.steps.t)))
    return {
        "name": title.lower().replace(" ", "-"),
        "title": title,
        "legend": [(column.key, column.name) for column in columns],
        "most": f"the {MOST_LINES} highest of {len(drawn)}" if len(drawn) > MOST_LINES else "",
        "chart": charts.line_chart(
            title,
            readings.steps,
            columns,
            form,
            description=f"{title} of {', '.join(names)} {when}.",
            top=top,
            limits=limits,
        ),
    }
