"""What the rule in a form would have said over the days that lie behind, beside the saved one: figures and charts."""

import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import DatabaseError
from msgspec import Struct

from alerts import gauging, rehearsal, rule_charts, rulebook, saying, simulation
from alerts.definitions import DAY, Definition
from alerts.lists import length
from alerts.models import Alert
from alerts.rehearsal import Episode, Minutes, Rehearsed
from alerts.rule_charts import LEVEL_TONES, Chart
from alerts.rule_words import amount_words
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Condition
from organizations.lists import Tone
from organizations.scope import Scope

log = structlog.get_logger(__name__)

DAYS = (1, 7, 14, 31)
USUAL_DAYS = 7
A_WEEK = 2.0  # notices of something that fires, which the proposed threshold keeps to
MOST_EPISODES = 50
_MOST_ALERTS = 2000
_NOBODY = UUID(int=0)
MOST_WORK = 400_000  # minutes of series: what is more takes longer than a request may
_PATIENCE = 8.0  # seconds that looking for a threshold may end after, with as many tries as it takes
_TRIES = 25
_TOO_MANY = "There are too many series in that time to judge them at once: ask for fewer days."
_AWAY = "The store did not answer in time: ask for fewer days, or for a shorter window."
_EMPTY = "Nothing of it was recorded in that time."
_FORGOTTEN = "Minutes are not kept for as long as it takes to judge even one day: ask for a shorter window."
_OF_CONDITION = frozenset({"condition", "offset", "alert_type", "labels", "developer", "executive", "runbook"})

Stretch = tuple[datetime, datetime]


class _Past(Struct, frozen=True):
    """When there was an alert: of any kind, and of this very rule."""

    every: Sequence[Stretch]
    own: Sequence[Stretch]


class Told(Struct, frozen=True):
    """An episode as the page tells it."""

    episode: Episode
    group: str
    tone: Tone
    lasted: str
    peak: str


class Side(Struct, frozen=True, kw_only=True):
    """One version: what it asks, what it would have said, and how that meets the alerts of that time."""

    title: str
    asked: str
    chart: Chart
    rehearsed: Rehearsed
    told: Sequence[Told]
    more: int  # episodes that are not told one by one
    met: int  # episodes in which there was an alert
    missed: int  # alerts that would have had no episode
    own_missed: int  # of those of the very rule

    @property
    def share(self) -> str:
        """Of the time in alarm."""
        return f"{100 * self.rehearsed.minutes / ((self.rehearsed.end - self.rehearsed.start) / MINUTE):.1f} %"


class Replay(Struct, frozen=True, kw_only=True):
    """Why there is nothing to see is told by `why`; `proposal` is as the form shows it, "" for none."""

    days: int
    source: str
    asked: int = 0  # days, where minutes are not kept for so many
    why: str = ""
    sides: Sequence[Side] = ()
    alerts: int = 0
    own: int = 0  # of these alerts those of the very rule
    proposal: str = ""
    level: str = ""  # whose threshold is proposed
    taken: bool = False  # whether it is the one in the form
    vain: bool = False  # whether silence alone is too much
    hurried: bool = False  # whether there was no time to look for one
    minutes: int = 0
    seconds: float = 0.0


class _Read(NamedTuple):
    """What was read to judge: the days that are known, and the minutes of each version that measures otherwise."""

    days: int
    minutes: Sequence[Minutes] = ()
    why: str = ""


def replay(
    organization: str, wanted: Definition, saved: Definition | None, *, days: int, source: str, now: datetime,
    rule: UUID | None = None,
) -> Replay:  # fmt: skip
    """Both are sound; `saved` is left out where it would say the same.

    Args:
        rule: the one that was saved, whose alerts are counted apart.
    """
    began = time.monotonic()
    alike = saved is not None and _measures_alike(saved, wanted)
    mine, theirs = _ruled(organization, wanted), None
    if saved is not None and not (alike and saved.condition == wanted.condition):
        theirs = _ruled(organization, saved)
    read = _read([mine] if theirs is None or alike else [mine, theirs], days, source, now)
    about: dict[str, Any] = {"days": read.days, "source": source, "asked": days if read.days < days else 0}
    if read.why:
        return Replay(**about, why=read.why)
    past = _alerts(mine, source, read.minutes[0], rule)
    judging = time.monotonic()
    sides = [_side("In the form", mine, read.minutes[0], past)]
    left = _PATIENCE - (time.monotonic() - began)
    hurried = (time.monotonic() - judging) * _TRIES > left
    if theirs is not None:
        sides.insert(0, _side("As saved", theirs, read.minutes[-1], past))
    level = "" if hurried else proposed_for(wanted.condition)
    proposed = rehearsal.proposal(mine, read.minutes[0], a_week=A_WEEK) if level else None
    return Replay(
        **about, sides=sides, alerts=len(past.every), own=len(past.own), proposal=amount_words(proposed, wanted.unit),
        level=level, taken=proposed is not None and getattr(wanted.condition, level) == proposed, hurried=hurried,
        vain=bool(level) and proposed is None and _is_measured(read.minutes[0]),
        minutes=len(read.minutes[0]), seconds=time.monotonic() - began,
    )  # fmt: skip


def _read(rules: Sequence[Ruled], days: int, source: str, now: datetime) -> _Read:
    """Of the first one above all; as many whole days as minutes are kept for."""
    end = gauging.minute_of(now, rules[0].definition.offset)
    try:
        known = (end - max(simulation.known_since(one, now) for one in rules)) // timedelta(days=1)
        if known < 1:
            return _Read(days, why=_FORGOTTEN)
        days = min(days, known)
        if any(_work(one, days, end, source) > MOST_WORK for one in rules):
            return _Read(days, why=_TOO_MANY)
        start = end - timedelta(days=days)
        read = [simulation.minutes(one, start, end, sources=(source,)) for one in rules]
    except DatabaseError as error:
        log.warning("a rule was not simulated", organization=rules[0].organization, reason=type(error).__name__)
        return _Read(days, why=_AWAY)
    if not any(found for minutes in read for _, found in minutes) and rules[0].condition.no_data in ("ok", "keep"):
        return _Read(days, why=_EMPTY)
    return _Read(days, read)


def _is_measured(minutes: Minutes) -> bool:
    return any(reading.value is not None for _, found in minutes for reading in found.values())


def _work(rule: Ruled, days: int, end: datetime, source: str) -> int:
    """How many minutes of series have to be added up."""
    long = {window: window._replace(minutes=window.minutes + days * DAY) for window in rule.windows}
    wanted = {(rule.organization, window): frozenset({"inferences"}) for window in long.values()}
    found = gauging.read(Scope.of(rule.organization), wanted, [end], sources=(source,))[end]
    return sum(len(found.whole(rule.organization, window)) * window.minutes for window in long.values())


def proposed_for(condition: Condition) -> str:
    """The level that begins first, so that with its threshold the rule fires no more often; "" where there is none."""
    levels = (("warning", condition.warning), ("critical", condition.critical))
    return next((name for name, threshold in levels if threshold is not None), "")


def _measures_alike(one: Definition, other: Definition) -> bool:
    names = [name for name in one.__struct_fields__ if name not in _OF_CONDITION]
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _ruled(organization: str, one: Definition) -> Ruled:
    return rulebook.ruled(one, id=_NOBODY, organization=organization)


def _side(title: str, rule: Ruled, minutes: Minutes, past: _Past) -> Side:
    one = rule.definition
    found, late = rehearsal.rehearse(rule, minutes), timedelta(seconds=rule.definition.offset)
    # Alerts begin when a minute is judged, which is so much later than it is over.
    spans = [(each.began + late, (each.ended or found.end) + late) for each in found.episodes]
    newest = sorted(found.episodes, key=lambda each: each.began, reverse=True)
    return Side(
        title=title, asked=saying.asked(one), rehearsed=found,
        chart=rule_charts.chart(minutes, found.episodes, rule.condition, one.unit),
        told=[_told(each, one, found.end) for each in newest[:MOST_EPISODES]],
        more=max(0, len(newest) - MOST_EPISODES), met=_meeting(spans, past.every),
        missed=len(past.every) - _meeting(past.every, spans), own_missed=len(past.own) - _meeting(past.own, spans),
    )  # fmt: skip


def _told(one: Episode, definition: Definition, end: datetime) -> Told:
    lasted, peak = length((one.ended or end) - one.began), saying.quantity(one.peak, definition.unit)
    return Told(one, saying.name_of(one.group), LEVEL_TONES[one.level], lasted, peak)


def _alerts(judged: Ruled, source: str, minutes: Minutes, rule: UUID | None) -> _Past:
    """The newest of the time in which these minutes were judged."""
    late = timedelta(seconds=judged.definition.offset)
    start, end = minutes[0][0] - MINUTE + late, minutes[-1][0] + late
    met = Alert.objects.filter(organization=judged.organization, source=source, first_seen_at__lt=end)
    met = met.exclude(resolved_at__lt=start).order_by("-first_seen_at")
    rows = met.values_list("first_seen_at", "resolved_at", f"metadata__{saying.RULE_ID}")[:_MOST_ALERTS]
    found = [((first, over or end), known) for first, over, known in rows]
    return _Past([one for one, _ in found], [one for one, known in found if rule and known == str(rule)])


def _meeting(spans: Sequence[Stretch], others: Iterable[Stretch]) -> int:
    """How many of the stretches overlap with any of the others."""
    joined: list[Stretch] = []
    for begin, end in sorted(others):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    begins = [begin for begin, _ in joined]
    number = 0
    for begin, end in spans:
        place = bisect_right(begins, end) - 1
        number += place >= 0 and joined[place][1] >= begin
    return number
