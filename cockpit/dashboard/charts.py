"""Numbers to SVG geometry: pure, in a 1000 x 1000 plane that the browser stretches, with gaps where there is no data.

The plane has no words in it: labels stand beside it at percentages, so that text keeps its size on a phone.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from itertools import groupby
from operator import add
from typing import TypeVar
from zoneinfo import ZoneInfo

from cockpit.dashboard.limits import Limits, Told

PLANE = 1000
NO_LIMITS = Limits()
NO_DATA = "no data"
MOST_STEPS = 60  # bars in one chart: more are thinner than a finger, and than a pixel on a phone

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_INTERVALS = (_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 3 * _HOUR,
              6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY)  # fmt: skip

_WHOLE = re.compile(r"\.0+(?!\d)")  # "8.00 s" on an axis says no more than "8 s"
_IDLE = re.compile(r"^([\d,]+\.\d*[1-9])0+(?!\d)")  # nor "2.50" than "2.5", but money keeps its cents

Value = float | Decimal  # money stays exact wherever it is written; only its height is a float
Number = TypeVar("Number", Decimal, float)
Form = Callable[[Value], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One measure over the steps; `key` names its colour and dash in the stylesheet (`earlier` is dashed)."""

    name: str
    key: str
    values: Sequence[Value | None]
    area: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    at: str  # per cent of the plane's width or height
    text: str
    minor: bool = False  # left out where there is little room


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    key: str
    path: str
    area: str  # "" where only the line is drawn


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    y: str
    width: str
    height: str
    partial: bool  # holds less than a whole step


@dataclass(frozen=True, slots=True)
class Hit:
    """The strip over one step that shows its values when pointed at."""

    x: str
    width: str
    title: str


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a window: their starts, their common length, and the zone in which people read them.

    The first may begin before the window does (`since`), and the last is rarely over: both hold less than a whole step.
    """

    t: tuple[datetime, ...]
    seconds: int
    zone: ZoneInfo
    since: datetime
    as_of: datetime

    @property
    def start(self) -> datetime:
        return self.t[0] if self.t else self.as_of

    @property
    def end(self) -> datetime:
        return self.t[-1] + timedelta(seconds=self.seconds) if self.t else self.as_of

    def covered(self, index: int) -> float:
        """The seconds of this step that count: inside the window, and passed."""
        over = min(self.as_of, self.t[index] + timedelta(seconds=self.seconds))
        return max(0.0, (over - max(self.since, self.t[index])).total_seconds())

    def partial(self, index: int) -> bool:
        return self.covered(index) < self.seconds

    def remark(self, index: int) -> str:
        if not self.partial(index):
            return ""
        return " in part" if self.t[index] < self.since else " so far"

    def label(self, index: int) -> str:
        """When a step was, as short as its window lets it be clear."""
        if self.seconds >= _DAY:  # whole days are UTC days, whatever the zone of their readers
            day = self.t[index].astimezone(UTC)
            return f"{day:%a} {day.day} {day:%b}"
        local = self.t[index].astimezone(self.zone)
        if self.end - self.start <= timedelta(days=1, seconds=self.seconds):
            return f"{local:%H:%M}"
        return f"{local.day} {local:%b} {local:%H:%M}"

    def coarser(self, most: int = MOST_STEPS) -> tuple["Steps", int]:
        """These steps joined by as many as it takes to be at most `most`, and how many that was."""
        size = max(1, math.ceil(len(self.t) / most))
        return Steps(self.t[::size], self.seconds * size, self.zone, self.since, self.as_of), size


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart drawn as SVG, the table behind it, and what both were made of."""

    title: str
    description: str
    steps: Steps
    columns: tuple[Column, ...]
    form: Form
    marks: tuple[float, ...]  # the values at y_ticks
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    hits: tuple[Hit, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[Line, ...]
    bars: tuple[Bar, ...]
    barred: bool  # the first column stands as bars
    log: bool  # may also be drawn on a logarithmic scale
    limits: tuple[Told, ...] = ()
    limits_note: str = ""

    @property
    def limits_said(self) -> str:
        """The thresholds of rules, in words."""
        told = ". ".join(each.said for each in self.limits)
        return f"{told}{f' ({self.limits_note})' if self.limits_note else ''}." if told else ""


def axis(top: float, steps: int = 4) -> tuple[float, ...]:
    """Round values from 0 to at least `top`, at most one more than `steps`; 0 and 1 where there is nothing."""
    if not 1e-12 < top < math.inf:
        return (0.0, 1.0)
    rough = top / steps
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next((unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * (1 - 1e-9)), unit * 10)
    return tuple(step * index for index in range(math.ceil(top / step * (1 - 1e-9)) + 1))


def time_ticks(start: datetime, end: datetime, zone: ZoneInfo, most: int = 9) -> tuple[Tick, ...]:
    """Ticks on round local times, or on local days; a clock change moves them with the clock on the wall."""
    length = (end - start).total_seconds()
    if length <= 0:
        return ()
    interval = next((each for each in _INTERVALS if length / each <= most), _INTERVALS[-1])
    moments = _days(start, end, zone, interval // _DAY) if interval >= _DAY else _clock(start, end, zone, interval)
    ticks: list[Tick] = []
    for moment in moments:
        place = (moment - start).total_seconds() / length
        if 0.03 <= place <= 0.97:  # a label at the very edge would be cut off
            local = moment.astimezone(zone)
            text = f"{local:%H:%M}" if local.time() != time() else f"{local.day} {local:%b}"
            ticks.append(Tick(_share(place), text, minor=len(ticks) % 2 == 1))
    return tuple(ticks)


def _days(start: datetime, end: datetime, zone: ZoneInfo, size: int) -> Iterable[datetime]:
    for ordinal in range(start.astimezone(zone).date().toordinal(), end.astimezone(zone).date().toordinal() + 1):
        if ordinal % size == 1 % size:  # ordinal 1 was a Monday: whole weeks begin on Mondays
            yield datetime.combine(date.fromordinal(ordinal), time(), zone).astimezone(UTC)


def _clock(start: datetime, end: datetime, zone: ZoneInfo, interval: int) -> Iterable[datetime]:
    wall = datetime.combine(start.astimezone(zone).date(), time())  # a clock on the wall has no zone
    while (moment := wall.replace(tzinfo=zone).astimezone(UTC)) <= end:
        skipped = moment.astimezone(zone).replace(tzinfo=None) != wall  # the hour that a spring night leaves out
        if moment >= start and not skipped:
            yield moment
        wall += timedelta(seconds=interval)


def line_chart(
    title: str,
    steps: Steps,
    columns: Sequence[Column],
    form: Form,
    *,
    description: str,
    log: bool = False,
    top: float = 0.0,
    limits: Limits = NO_LIMITS,
) -> Chart:
    """Lines over the middle of each step; the scale reaches `top`; `log` offers a logarithmic one beside it."""
    return _chart(title, steps, tuple(columns), form, description=description, log=log, top=top, limits=limits)


def bar_chart(
    title: str,
    steps: Steps,
    column: Column,
    form: Form,
    *,
    description: str,
    beside: Column | None = None,
    limits: Limits = NO_LIMITS,
) -> Chart:
    """One bar a step, those of less than a whole step marked; `beside` is a line to hold them against."""
    columns = (column, beside) if beside else (column,)
    return _chart(title, steps, columns, form, description=description, barred=True, limits=limits)


def _chart(
    title: str,
    steps: Steps,
    columns: tuple[Column, ...],
    form: Form,
    *,
    description: str,
    barred: bool = False,
    log: bool = False,
    top: float = 0.0,
    limits: Limits,
) -> Chart:
    most = max(top, *(float(value) for column in columns for value in column.values if value is not None), 0.0)
    marks = axis(max(most, limits.reach(most)))
    rows, hits = [], []
    for index in range(len(steps.t)):
        cells = [NO_DATA if (value := column.values[index]) is None else form(value) for column in columns]
        when = steps.label(index) + steps.remark(index)
        rows.append((when, *cells))
        said = (f"{column.name}: {cell}" for column, cell in zip(columns, cells, strict=True))
        hits.append(Hit(_share(index / len(steps.t)), _share(1 / len(steps.t)), "\n".join((when, *said))))
    return Chart(
        title=title,
        description=description,
        steps=steps,
        columns=columns,
        form=form,
        marks=marks,
        x_ticks=time_ticks(steps.start, steps.end, steps.zone),
        y_ticks=tuple(Tick(_share(1 - value / marks[-1]), mark(form(value))) for value in marks),
        hits=tuple(hits),
        head=("Time", *(column.name for column in columns)),
        rows=tuple(rows),
        lines=tuple(_line(column, marks[-1]) for column in columns[barred:]),
        bars=_bars(steps, columns[0], marks[-1]) if barred else (),
        barred=barred,
        log=log,
        limits=limits.told(marks[-1], lambda value: mark(form(value))),
        limits_note=limits.note,
    )


def _bars(steps: Steps, column: Column, top: float) -> tuple[Bar, ...]:
    width = PLANE / max(1, len(steps.t))
    bars = []
    for index, value in enumerate(column.values):
        if value:
            height = PLANE * float(value) / top
            place = (index + 0.12) * width
            bars.append(Bar(_n(place), _n(PLANE - height), _n(width * 0.76), _n(height), partial=steps.partial(index)))
    return tuple(bars)


def _line(column: Column, top: float) -> Line:
    width = PLANE / max(1, len(column.values))
    points = [
        None if value is None else ((index + 0.5) * width, PLANE - PLANE * float(value) / top)
        for index, value in enumerate(column.values)
    ]
    runs = [[point for point in run if point] for there, run in groupby(points, key=bool) if there]
    return Line(
        column.name,
        column.key,
        "".join(_path(run) for run in runs),
        "".join(f"{_path(run)}V{PLANE}H{_n(run[0][0])}Z" for run in runs) if column.area else "",
    )


def _path(run: Sequence[tuple[float, float]]) -> str:
    """A run of points; a lone one is a line of no length, which a round cap draws as a dot."""
    first, *rest = run
    return f"M{_n(first[0])} {_n(first[1])}" + ("".join(f"L{_n(x)} {_n(y)}" for x, y in rest) or "h0")


def spark(values: Sequence[float | None], *, full: float = 0.0) -> str:
    """The path of a small line without axes, from its own least to its own most, or from 0 to `full`."""
    present = [value for value in values if value is not None]
    if len(present) < 2:
        return ""
    low, high = (0.0, max(full, *present)) if full else (min(present), max(present))
    scale = 1 / (high - low) if high > low else 0.0
    # Between 8 and 92 % of the height, so that a stroke at the top or the bottom is not cut in half.
    flat = [None if value is None else 0.08 + 0.84 * ((value - low) * scale if scale else 0.5) for value in values]
    return _line(Column("", "", flat), 1.0).path


def join(values: Sequence[Number | None], size: int) -> list[Number | None]:
    """Neighbours added up, `size` at a time; None only where all of them are."""
    parts = ([value for value in values[at : at + size] if value is not None] for at in range(0, len(values), size))
    return [reduce(add, part) if part else None for part in parts]


def mark(text: str) -> str:
    """A figure as it stands on an axis: without idle zeros."""
    return _IDLE.sub(r"\1", _WHOLE.sub("", text))


def _share(place: float) -> str:
    return f"{100 * place:.2f}%"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
