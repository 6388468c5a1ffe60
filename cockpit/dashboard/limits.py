"""Thresholds on charts: which rules judge just what a chart shows, where their limits lie, and how they read. Pure.

A rule of something narrower, or of sums over another length of time, is left out: its line would mislead.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from alerts import meanings, saying
from alerts.definitions import Aggregation, Definition
from alerts.rule_limits import Limited

Level = Literal["warning", "critical"]
Side = Literal["over", "under"]

LIVE_ALONE = "held against live data alone"
MOST_RULES = 2  # on a chart
FAR = 3.0  # times the most that a chart shows: a limit beyond that would flatten the data, and is told in words alone
_LABEL = 0.13  # of a chart's height
_LETTERS = 26  # of a rule's name, in the chart itself
_FIRING: Mapping[str, str] = {"critical": "critical now", "warning": "warning now", "no_data": "no data now"}
_PLAIN_FIRING: Mapping[str, str] = {"critical": "serious now", "warning": "to watch now", "no_data": "not known now"}
_PLAIN_LEVELS: Mapping[Level, str] = {"warning": "to watch", "critical": "serious"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a line of a chart is of, as rules know it; a rate stands for whatever is counted.

    `by` is what the chart tells its lines apart by; `of_whole` is said of a share where the chart shows the part.
    """

    measure: str
    aggregation: Aggregation = "rate"
    per: str = ""
    filters: Mapping[str, tuple[str, ...]]
    by: tuple[str, ...] = ()
    of_whole: bool = False
    line: str = ""  # what it is called where a chart has several


def _subject(
    measure: str, aggregation: Aggregation = "rate", per: str = "", *, line: str = "", by: tuple[str, ...] = (),
    of_whole: bool = False, **filters: str,
) -> Subject:  # fmt: skip
    kept = {name: (value,) for name, value in filters.items()}
    return Subject(measure=measure, aggregation=aggregation, per=per, line=line, by=by, of_whole=of_whole, filters=kept)


_HOST, _CARD = ("host",), ("host", "gpu")
_HEAT, _REQUESTS = "cockpit_gpu_temperature_celsius", "cockpit_http_requests_total"
OWN: Mapping[str, tuple[Subject, ...]] = {
    "request-rate": (_subject("inferences", line="requests"), _subject("errors", line="failed")),
    "latency": (
        _subject("duration", "p50", line="p50"), _subject("duration", "p95", line="p95"),
        _subject("duration", "p99", line="p99"),
    ),
    "error-rate": (_subject("errors", "ratio", "inferences"),),
    "tokens": (_subject("total_tokens"),),
    "api-requests": (_subject(_REQUESTS, line="requests"), _subject(_REQUESTS, line="failed", status="5*")),
    "refusals": (
        _subject("cockpit_auth_failures_total", line="refused"),
        _subject("cockpit_rate_limited_total", line="over a limit"),
    ),
}  # fmt: skip
EXECUTIVE: Mapping[str, tuple[Subject, ...]] = {
    "trend-requests": (_subject("inferences"),),
    "trend-spend": (_subject("cost"),),
}
PLATFORM: Mapping[str, tuple[Subject, ...]] = {
    "processors": (_subject("cockpit_cpu_utilization_ratio", "avg", by=_HOST),),
    "memory": (_subject("cockpit_memory_used_bytes", "ratio", "cockpit_memory_total_bytes", by=_HOST),),
    "gpu-utilisation": (_subject("cockpit_gpu_utilization_ratio", "avg", by=_CARD),),
    "gpu-temperature": (
        _subject(_HEAT, "avg", by=_CARD),
        _subject(_HEAT, "ratio", "cockpit_gpu_slowdown_celsius", by=_CARD, of_whole=True),
    ),
}
CHARTS: Mapping[str, tuple[Subject, ...]] = {**OWN, **EXECUTIVE, **PLATFORM}


def measures(charts: Mapping[str, tuple[Subject, ...]]) -> frozenset[str]:
    return frozenset(subject.measure for subjects in charts.values() for subject in subjects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a chart is drawn: the seconds of its steps, and how many seconds' worth of a rate its values are.

    `whole` is what the parts that it shows are of, where that is one number; `lone` says that it has one line for all.
    """

    step: int
    seconds: float = 1.0
    whole: float | None = None
    lone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule with what it asks, in the scale of a chart."""

    name: str
    line: str
    sign: str
    over: bool  # it asks for less than its thresholds
    grouped: bool
    thresholds: tuple[tuple[Level, float], ...]
    state: str
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rules of one chart. `unit` follows each value; `note` is what is to be known of all of them."""

    rules: tuple[Rule, ...] = ()
    unit: str = ""
    note: str = ""

    def reach(self, most: float) -> float:
        """How far an axis has to go for the limits that are not far above the most that is shown."""
        values = [value for rule in self.rules for _, value in rule.thresholds]
        near = FAR * (most or min((value for value in values if value > 0), default=0.0))
        return max((value for value in values if value <= near), default=0.0)

    def told(self, top: float, form: Callable[[float], str]) -> tuple["Told", ...]:
        """The rules in words, and their lines in a chart that reaches `top`."""
        places = {
            (at, level): max(0.0, 1 - value / top)
            for at, rule in enumerate(self.rules)
            for level, value in rule.thresholds
            if value <= top * (1 + 1e-6)
        }
        sides = _sides(places)
        return tuple(
            _told(
                rule,
                form,
                self.unit,
                {level: place for (one, level), place in places.items() if one == at},
                {level: side for (one, level), side in sides.items() if one == at},
            )
            for at, rule in enumerate(self.rules)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A limit in words; `y` is where its line stands, "" where it is beyond the scale."""

    level: Level
    value: float
    words: str
    called: str
    y: str = ""
    label: str = ""
    under: bool = False  # the label stands beneath the line
    passed: bool = False  # by what fires now


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    name: str
    thresholds: tuple[Threshold, ...]
    state: str  # "" where it does not fire
    now: str

    @property
    def said(self) -> str:
        """High error rate: > 5 % warning, > 20 % critical; warning now."""
        asked = ", ".join(f"{one.words} {one.called}" for one in self.thresholds)
        return f"{self.name}: {asked}" + (f"; {self.now}" if self.now else "")


def of(chart: str, rules: Iterable[Limited], drawing: Drawing, *, plain: bool = False) -> tuple[Rule, ...]:
    """The rules that judge what a chart shows: the strictest, and those of all of it before those of its parts.

    In plain words there is none of a rate over less than a step: what a day adds up to says nothing of its minutes.
    """
    found = []
    for name, one, state in rules:
        for subject in CHARTS[chart]:
            hasty = plain and one.aggregation == "rate" and one.window * 60 < drawing.step
            if not hasty and (scale := _scale(one, subject, drawing)) is not None:
                found.append(_rule(name, one, subject, scale, state, plain=plain))
    found = [rule for rule in found if rule.thresholds]
    over = sorted((rule for rule in found if rule.over), key=lambda rule: (rule.grouped, rule.thresholds[0][1]))
    under = sorted((rule for rule in found if not rule.over), key=lambda rule: (rule.grouped, -rule.thresholds[0][1]))
    both = [rule for rule in chain.from_iterable(zip_longest(over, under)) if rule]
    return tuple(both[:MOST_RULES])


def _scale(one: Definition, subject: Subject, drawing: Drawing) -> float | None:
    """What a rule's value is to be multiplied by to be the chart's; None where the two are not the same."""
    if one.measure != subject.measure or one.change or dict(one.filters) != dict(subject.filters):
        return None
    if subject.aggregation == "rate":
        if one.by:
            return None
        summed = one.aggregation in ("sum", "count") and one.window * 60 == drawing.step
        return drawing.seconds if one.aggregation == "rate" else drawing.seconds / drawing.step if summed else None
    if (one.aggregation, one.per) != (subject.aggregation, subject.per) or not _as_told_apart(one, subject, drawing):
        return None
    return drawing.whole if subject.of_whole else 1.0


def _as_told_apart(one: Definition, subject: Subject, drawing: Drawing) -> bool:
    """Where a chart has one line for all, a share or a mean of it that is beyond a limit means a part that is."""
    if not subject.by or set(one.by) == set(subject.by):
        return True
    return drawing.lone and set(one.by) < set(subject.by)


def _rule(name: str, one: Definition, subject: Subject, scale: float, state: str, *, plain: bool) -> Rule:
    asked = one.condition
    levels: tuple[tuple[Level, float | None], ...] = (("warning", asked.warning), ("critical", asked.critical))
    over = asked.operator in ("gt", "gte")
    worst: Level = "warning" if asked.critical is None else "critical"
    grouped = not subject.by and bool(one.by)
    parts = f" (each {' and '.join(part.replace('_', ' ') for part in one.by)})" if grouped else ""
    return Rule(
        name=meanings.meaning(one.alert_type, worst, {}) if plain else f"{name}{parts}",
        line="" if plain or not subject.line else f"{subject.line} ",
        sign=("above" if over else "below") if plain else saying.sign(asked.operator),
        over=over,
        grouped=grouped,
        thresholds=tuple((level, value * scale) for level, value in levels if value is not None and value >= 0),
        state=state,
        plain=plain,
    )


def _told(
    rule: Rule, form: Callable[[float], str], unit: str, places: Mapping[Level, float], sides: Mapping[Level, Side]
) -> Told:
    now = (_PLAIN_FIRING if rule.plain else _FIRING).get(rule.state, "")
    thresholds = tuple(
        Threshold(
            level=level,
            value=value,
            words=f"{rule.line}{rule.sign} {form(value)}{unit}",
            called=_PLAIN_LEVELS[level] if rule.plain else level,
            y=f"{100 * places[level]:.2f}%" if level in places else "",
            label=f"{_short(rule.name)}: {form(value)}" if level in sides else "",
            under=sides.get(level) == "under",
            passed=rule.state in ("critical", level),
        )
        for level, value in rule.thresholds
    )
    return Told(name=rule.name, thresholds=thresholds, state=rule.state if now else "", now=now)


def _sides(lines: Mapping[tuple[int, Level], float]) -> dict[tuple[int, Level], Side]:
    """Where lines have room for a label, from the lowest on; what is left out has none, and its words stand below."""
    found: dict[tuple[int, Level], Side] = {}
    taken: list[tuple[float, float]] = []
    for line, place in sorted(lines.items(), key=lambda one: -one[1]):
        rooms: tuple[tuple[Side, float, float], ...] = (
            ("over", place - _LABEL, place),
            ("under", place, place + _LABEL),
        )
        for side, start, end in rooms:
            crossed = any(start < other < end for other in lines.values())
            free = not crossed and not any(start < last and end > first for first, last in taken)
            if free and start >= 0 and end <= 1:
                found[line] = side
                taken.append((start, end))
                break
    return found


def _short(name: str) -> str:
    """As many whole words as there is room for."""
    return name if len(name) <= _LETTERS else f"{name[:_LETTERS].rpartition(' ')[0] or name[: _LETTERS - 1]}…"
