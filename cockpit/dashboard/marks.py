"""Alerts as marks along a chart's time axis, and in words what each step met.

Alerts are bands by severity, changes such as deployments are flags. Pure. What lies over each other is drawn as one
band of the worst severity, and a chart never has more than a few marks.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Literal

from cockpit.dashboard.charts import Chart, Steps

Kind = Literal["critical", "warning", "change", "info"]
KINDS: tuple[Kind, ...] = ("critical", "warning", "change", "info")  # the worst first
_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}

MOST_BANDS, MOST_FLAGS = 24, 16
MOST_TOLD = 3  # alerts told by name at one step, or of one mark
_CELLS, _FLAG_CELLS = 240, 64  # places on an axis: two of them are still told apart
NONE = "none"

Words = tuple[Kind | Literal["more"], str]


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert from its first sight to its end, in the words of its readers; a change is told at `start` alone."""

    kind: Kind
    start: datetime
    end: datetime
    words: str


@dataclass(frozen=True, slots=True)
class History:
    """What is marked on the charts of a page; `name` is what its readers call it: Alerts."""

    name: str = ""
    episodes: Sequence[Episode] = ()


@dataclass(frozen=True, slots=True)
class Band:
    kind: Kind
    x: str  # per cent of the plane's width
    width: str
    end: str
    title: str


@dataclass(frozen=True, slots=True)
class Flag:
    x: str
    title: str


@dataclass(frozen=True, slots=True)
class Marks:
    """Of one chart: what is drawn, and `told`, which for each step names the `lines` that say what it met."""

    name: str = ""
    number: int = 0  # of alerts
    bands: tuple[Band, ...] = ()
    flags: tuple[Flag, ...] = ()
    lines: tuple[Words, ...] = ()
    told: tuple[tuple[int, ...], ...] = ()

    def __bool__(self) -> bool:
        return self.number > 0


@dataclass(frozen=True, slots=True)
class _Placed:
    """An episode as shares of the axis, from 0 to 1."""

    episode: Episode
    start: float
    end: float

    def cells(self, size: int) -> range:
        """Those of `size` equal parts of the axis that it touches: one at least."""
        first = min(size - 1, math.floor(self.start * size))
        return range(first, max(first + 1, math.ceil(self.end * size - 1e-9)))


def place(steps: Steps, history: History) -> Marks:
    """The marks of a chart over these steps; none where no episode touches them."""
    placed = _placed(steps, history.episodes)
    if not placed:
        return Marks()
    told = _told(len(steps.t), placed)
    lines = tuple(dict.fromkeys(line for step in told for line in step))
    numbers = {line: number for number, line in enumerate(lines)}
    return Marks(
        name=history.name,
        number=len(placed),
        bands=_bands(len(steps.t), [one for one in placed if one.episode.kind != "change"]),
        flags=_flags([one for one in placed if one.episode.kind == "change"]),
        lines=lines,
        told=tuple(tuple(numbers[line] for line in step) for step in told),
    )


def tabled(chart: Chart, marks: Marks) -> Chart:
    """The chart with a column of its alerts in the table behind it, and with a sentence about them."""
    if not marks:
        return chart
    name = marks.name.lower()
    many = f"{marks.number} {name if marks.number > 1 else name.removesuffix('s')}"
    cells = ("; ".join(marks.lines[number][1] for number in step) or NONE for step in marks.told)
    return replace(
        chart,
        description=f"{chart.description} Marks beneath it tell of {many}.",
        head=(*chart.head, marks.name),
        rows=tuple((*row, cell) for row, cell in zip(chart.rows, cells, strict=True)),
    )


def _placed(steps: Steps, episodes: Iterable[Episode]) -> list[_Placed]:
    """The worst first, and of each kind the newest."""
    first, length = steps.start, (steps.end - steps.start).total_seconds()
    found = []
    for one in episodes if steps.t else ():
        start = (one.start - first).total_seconds() / length
        end = start if one.kind == "change" else (min(one.end, steps.as_of) - first).total_seconds() / length
        if start < 1 and (end > 0 or start >= 0):
            found.append(_Placed(one, max(0.0, start), min(1.0, max(start, end))))
    return sorted(found, key=lambda one: (_RANKS[one.episode.kind], -one.start))


def _told(steps: int, placed: Sequence[_Placed]) -> list[list[Words]]:
    met: list[list[Episode]] = [[] for _ in range(steps)]
    for one in placed:
        for index in one.cells(steps):
            met[index].append(one.episode)
    return [_lines(episodes) for episodes in met]


def _lines(episodes: Sequence[Episode]) -> list[Words]:
    """What was met, the worst first; more than a few are counted."""
    named: list[Words] = [(one.kind, one.words) for one in episodes[:MOST_TOLD]]
    rest = len(episodes) - len(named)
    return [*named, ("more", f"and {rest} more")] if rest else named


def _title(placed: Iterable[_Placed]) -> str:
    return "\n".join(words for _, words in _lines([one.episode for one in placed]))


def _bands(steps: int, placed: Sequence[_Placed]) -> tuple[Band, ...]:
    """Stretches of one severity. Places are parts of steps, so that a band stands at no step that it does not mean."""
    size = steps * max(1, _CELLS // steps)
    while len(runs := _runs(size, placed)) > MOST_BANDS:
        size = math.ceil(size / 2)
    return tuple(
        Band(
            KINDS[rank],
            _share(run.start / size),
            _share(len(run) / size),
            _share(run.stop / size),
            _title(one for one in placed if one.cells(size).start < run.stop and one.cells(size).stop > run.start),
        )
        for rank, run in runs
    )


def _runs(size: int, placed: Sequence[_Placed]) -> list[tuple[int, range]]:
    worst: list[int | None] = [None] * size
    for one in reversed(placed):  # the worst comes last, over all others
        cells = one.cells(size)
        worst[cells.start : cells.stop] = [_RANKS[one.episode.kind]] * len(cells)
    runs, at = [], 0
    for rank, group in groupby(worst):
        length = len(list(group))
        if rank is not None:
            runs.append((rank, range(at, at + length)))
        at += length
    return runs


def _flags(placed: Sequence[_Placed]) -> tuple[Flag, ...]:
    """One for each change; those too close to tell apart share the first one's place."""
    size = _FLAG_CELLS
    while len(groups := _groups(size, placed)) > MOST_FLAGS:
        size //= 2
    return tuple(Flag(_share(min(one.start for one in group)), _title(group)) for group in groups)


def _groups(size: int, placed: Sequence[_Placed]) -> list[list[_Placed]]:
    groups: dict[int, list[_Placed]] = {}
    for one in placed:
        groups.setdefault(one.cells(size).start, []).append(one)
    return [groups[cell] for cell in sorted(groups)]


def _share(place: float) -> str:
    return f"{100 * place:.2f}%"
