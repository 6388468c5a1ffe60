"""A rule's values as SVG geometry, with its thresholds and episodes, in a 1000 x 1000 plane that stretches. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from alerts.measurements import Group
from alerts.rehearsal import Episode, Minutes
from alerts.rules import MINUTE, Condition
from alerts.saying import limit, name_of, quantity
from organizations.lists import Tone

MOST_LINES = 4
LEVEL_TONES: Mapping[str, Tone] = {"critical": "bad", "warning": "warn", "no_data": "plain"}
_PLANE = 1000
_COLUMNS = 360  # in which the minutes are drawn: further ones could not be told apart
_HITS = 60
_LONGEST_SIGN = 5  # letters, as in GiB/s
_LEAST, _MOST = 1e-290, 1e290  # of what is drawn
_HOUR = timedelta(hours=1)
_INTERVALS = tuple(number * _HOUR for number in (1, 2, 4, 6, 12, 24, 48, 96, 168))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Points = Sequence[float | None]
Worst = Callable[[Iterable[float]], float]


class Tick(Struct, frozen=True):
    at: str  # per cent of the plane's width or height
    text: str
    minor: bool = False


class Line(Struct, frozen=True):
    key: str  # its colour in the stylesheet
    name: str
    path: str


class Level(Struct, frozen=True):
    """A threshold, as far up as it is."""

    at: str
    text: str
    tone: Tone


class Band(Struct, frozen=True):
    """An episode, from where to where."""

    x: str
    width: str
    tone: Tone


class Hit(Struct, frozen=True):
    x: str
    width: str
    title: str


class Chart(Struct, frozen=True, kw_only=True):
    description: str
    lines: Sequence[Line]
    more: int  # groups that are not drawn
    levels: Sequence[Level]
    bands: Sequence[Band]
    hits: Sequence[Hit]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


class Spark(Struct, frozen=True):
    """The last values in little: a path, and where a threshold lies among them ("" where that is far off)."""

    path: str
    threshold: str
    title: str


def worst_of(condition: Condition) -> Worst:
    return max if condition.operator in ("gt", "gte") else min


def chart(minutes: Minutes, episodes: Sequence[Episode], condition: Condition, unit: str) -> Chart:
    """The groups that fired most often, or have the worst values, over these minutes (at least one).

    Values of too few samples to be judged are left out.
    """
    worst = worst_of(condition)
    minutes = (
        [(at, {group: one for group, one in found.items() if one.samples >= condition.least}) for at, found in minutes]
        if condition.least
        else minutes
    )
    start, end = minutes[0][0] - MINUTE, minutes[-1][0]
    groups = _chosen(minutes, episodes, worst)
    drawn = {group: _columns(minutes, group, worst) for group in groups[:MOST_LINES]}
    thresholds = [(name, value) for name, value in (("warning", condition.warning), ("critical", condition.critical))
                  if value is not None]  # fmt: skip
    known = [value for points in drawn.values() for value in points if value is not None]
    scale = _Scale([*known, *(value for _, value in thresholds)])
    place = _Place(start, end)
    return Chart(
        description=f"{place.said(start)} to {place.said(end)}, {_episodes(len(episodes))}.",
        lines=[Line(f"s{number}", name_of(group), _path(points, scale))
               for number, (group, points) in enumerate(drawn.items(), 1)],
        more=max(0, len(groups) - MOST_LINES),
        levels=[Level(scale.at(value), f"{name} {limit(value, unit)}", LEVEL_TONES[name])
                for name, value in thresholds],
        bands=[Band(place.at(one.began), place.wide(one.began, one.ended or end), LEVEL_TONES[one.level])
               for one in episodes],
        hits=_hits(drawn, place, worst, unit),
        x_ticks=place.ticks(),
        y_ticks=[Tick(scale.at(value), _mark(value, unit)) for value in scale.ticks],
    )  # fmt: skip


def _mark(value: float, unit: str) -> str:
    """As it stands on the axis, where there is no room for a unit that is a long word: thresholds are told with it."""
    text = quantity(value, unit)
    number, _, sign = text.rpartition(" ")
    return number if number and len(sign) > _LONGEST_SIGN else text


def spark(points: Points, threshold: float | None, unit: str) -> Spark:
    """Of points at equal distances, the newest last."""
    known = [value for value in points if value is not None]
    near = threshold is not None and bool(known) and abs(threshold) <= 4 * max(map(abs, known))
    scale = _Scale([*known, *([threshold] if near and threshold is not None else [])])
    title = f"{quantity(min(known), unit)} to {quantity(max(known), unit)}" if known else "no data"
    return Spark(_path(points, scale), scale.at(threshold) if near and threshold is not None else "", title)


def _episodes(number: int) -> str:
    return f"{number:,} episode{'' if number == 1 else 's'}"


def _chosen(minutes: Minutes, episodes: Sequence[Episode], worst: Worst) -> list[Group]:
    """Every group there is: those that fired most often first, then those of the worst values."""
    peaks: dict[Group, float] = {}
    for _, found in minutes:
        for group, reading in found.items():
            if reading.value is not None:
                peaks[group] = worst((peaks.get(group, reading.value), reading.value))
    fired = [one.group for one in episodes]
    sign = -1 if worst is max else 1
    return sorted(peaks, key=lambda group: (-fired.count(group) if fired else 0, sign * peaks[group], group))


def _columns(minutes: Minutes, group: Group, worst: Worst) -> list[float | None]:
    """The worst value of each column."""
    number = min(_COLUMNS, len(minutes))
    columns: list[list[float]] = [[] for _ in range(number)]
    for place, (_, found) in enumerate(minutes):
        reading = found.get(group)
        if reading is not None and reading.value is not None:
            columns[place * number // len(minutes)].append(reading.value)
    return [worst(values) if values else None for values in columns]


class _Scale:
    """From values to heights: from nothing on, unless all of them lie close together far from there."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = _tame(min(values, default=0.0)), _tame(max(values, default=1.0))
        if low > 0 and low < 0.6 * high:
            low = 0.0
        elif high < 0 and high > 0.6 * low:
            high = 0.0
        if math.isclose(low, high, rel_tol=1e-12):  # nothing that could be told apart
            low, high = (0.0, high) if high > 0 else (low, 0.0) if low < 0 else (0.0, 1.0)
        step = _step((high - low) / 4)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        self.ticks = [step * number for number in range(first, last + 1)]
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def share(self, value: float) -> float:
        """From the top, 0 to 1."""
        return min(1.0, max(0.0, 1 - (value - self.low) / (self.high - self.low)))

    def at(self, value: float) -> str:
        return f"{100 * self.share(value):.2f}%"


def _tame(value: float) -> float:
    """Within what can be added and divided: a scale of the largest or smallest numbers there are has no steps."""
    return 0.0 if abs(value) < _LEAST else min(_MOST, max(-_MOST, value))


def _step(rough: float) -> float:
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * (1 - 1e-9))


def _path(points: Points, scale: _Scale) -> str:
    """A line through the middle of each column, broken where there is no data."""
    parts: list[str] = []
    for place, value in enumerate(points):
        if value is None:
            continue
        x, y = _PLANE * (place + 0.5) / len(points), _PLANE * scale.share(value)
        begins = place == 0 or points[place - 1] is None
        parts.append(f"{'M' if begins else 'L'}{x:.1f} {y:.1f}")
        if begins and (place + 1 == len(points) or points[place + 1] is None):
            parts.append("h1")  # one alone is a dot
    return "".join(parts)


class _Place:
    """From moments to places along the time axis."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start, self.end = start, end

    def share(self, moment: datetime) -> float:
        return min(1.0, max(0.0, (moment - self.start) / (self.end - self.start)))

    def at(self, moment: datetime) -> str:
        return f"{100 * self.share(moment):.2f}%"

    def wide(self, begin: datetime, end: datetime) -> str:
        return f"{max(0.2, 100 * (self.share(end) - self.share(begin))):.2f}%"

    def ticks(self, most: int = 9) -> list[Tick]:
        """At round times."""
        length = self.end - self.start
        interval = next((one for one in _INTERVALS if length / one <= most), _INTERVALS[-1])
        moment = self.start + (_EPOCH - self.start) % interval
        found: list[Tick] = []
        while moment <= self.end:
            if 0.03 <= self.share(moment) <= 0.97:
                text = f"{moment:%H:%M}" if moment.hour or moment.minute else f"{moment.day} {moment:%b}"
                found.append(Tick(self.at(moment), text, minor=len(found) % 2 == 1))
            moment += interval
        return found

    @staticmethod
    def said(moment: datetime) -> str:
        return f"{moment:%a} {moment.day} {moment:%b} {moment:%H:%M} UTC"


def _hits(drawn: Mapping[Group, Points], place: _Place, worst: Worst, unit: str) -> list[Hit]:
    """Strips that say what lies under them."""
    columns = max(map(len, drawn.values()), default=0)
    number = min(_HITS, columns)
    found: list[Hit] = []
    for strip in range(number):
        low, high = strip * columns // number, (strip + 1) * columns // number
        lines = [place.said(place.start + (place.end - place.start) * low / columns)]
        for group, points in drawn.items():
            values = [value for value in points[low:high] if value is not None]
            words = quantity(worst(values) if values else None, unit)
            lines.append(f"{name_of(group)}: {words}" if group else words)
        found.append(Hit(f"{100 * strip / number:.2f}%", f"{100 / number:.2f}%", "\n".join(lines)))
    return found
