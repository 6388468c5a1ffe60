"""How a rule judges one group, minute by minute: what was measured, and how it stood, become how it stands. Pure.

No database, no clock: the moment comes with the reading, so that live evaluation, catching up and simulation agree.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import ge, gt, le, lt
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

Operator = Literal["gt", "gte", "lt", "lte"]
Level = Literal["", "warning", "critical"]
State = Literal["ok", "pending", "warning", "critical", "no_data"]
NoData = Literal["ok", "keep", "alert", "zero"]
# Why a group stands as it does, in a word.
Because = Literal[
    "fine",  # within its thresholds
    "breach",  # beyond a threshold
    "waiting",  # beyond it, and not for long enough yet
    "clearing",  # back behind the threshold and not behind that at which it clears
    "keeping",  # clear, and kept firing for a while
    "few",  # too few samples to judge
    "no_data",  # nothing was measured
    "hours",  # outside its active hours nothing begins
    "crowded",  # larger groups took its place among those that are judged
]
LEVELS: Mapping[Level, int] = {"": 0, "warning": 1, "critical": 2}
MINUTE = timedelta(minutes=1)
BEYOND: Mapping[Operator, Callable[[float, float], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_WEEK = 7


class Hours(Struct, frozen=True, kw_only=True):
    """When a rule may begin to fire: from `start` until `end` (minutes of the day; until the next day where that is
    earlier) of these weekdays (0 is Monday), on the clocks of a zone. Both the same is the whole day. One that fires
    goes on, gets worse and ends at any hour.
    """

    start: int
    end: int
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    zone: str = "UTC"

    def hold(self, at: datetime) -> bool:
        """Whether `at` lies within; a night belongs to the day on which it begins."""
        local = at.astimezone(ZoneInfo(self.zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.start == self.end:
            return day in self.days
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % _WEEK in self.days and minute < self.end)


class Condition(Struct, frozen=True, kw_only=True):
    """What is asked of a value. A threshold that is None is none; one that clears is where a level ends that began.

    `hold` is the `for` of other systems: minutes that a value has to be beyond a threshold before its level begins.
    `keep` are minutes that a level goes on once its value is clear; a worse one that ends leaves the lesser its own.
    With fewer than `least` samples nothing is judged: it stays as it was where `no_data` says so, else it is fine.
    """

    operator: Operator = "gt"
    warning: float | None = None
    critical: float | None = None
    warning_clear: float | None = None
    critical_clear: float | None = None
    hold: int = 0
    keep: int = 0
    least: int = 0
    no_data: NoData = "ok"
    silent: int = 10  # minutes without data, after which that is an alert of its own
    hours: Hours | None = None
    renotify: int = 0  # minutes after which people are told once more; 0 is never


class Reading(Struct, frozen=True, gc=False):
    """What was measured until a minute; `value` None where nothing was."""

    value: float | None
    samples: int = 0


class Standing(Struct, frozen=True, gc=False, kw_only=True):
    """How one group stands. All times are minutes of its data; nothing here changes as long as nothing happens."""

    state: State = "ok"
    because: Because = "fine"
    since: datetime
    level: Level = ""  # that fires
    warned: datetime | None = None  # since when it has been beyond the warning threshold, or a worse one
    alarmed: datetime | None = None  # since when beyond the critical one
    cleared: datetime | None = None  # since when the level that fires is no longer justified
    calm: datetime | None = None  # since when not even a lesser one is, while one fires
    silent: datetime | None = None  # since when nothing was measured
    told: datetime | None = None  # when people were last told

    @property
    def firing(self) -> bool:
        return self.state in ("warning", "critical", "no_data")

    @property
    def resting(self) -> bool:
        """Whether a reading that is fine changes nothing, at whatever time."""
        return self.because == "fine" and self.silent is None


def decide(condition: Condition, standing: Standing | None, reading: Reading, at: datetime) -> Standing:
    """How the group stands after this minute; the very same value where nothing has changed.

    Args:
        standing: how it stood a minute ago, None for a group that is new.
        at: the end of the minute.
    """
    if standing is not None and standing.resting and fine(condition, reading):
        return standing
    before = standing or Standing(since=at)
    silent = None if reading.value is not None else before.silent or at
    if reading.value is None and condition.no_data != "zero":
        if condition.no_data == "ok":
            after = _judged(condition, before, ("", False), at, otherwise="no_data")
        else:
            after = _unmeasured(condition, before, silent or at, at)
    elif reading.value is not None and reading.samples < condition.least:
        if condition.no_data in ("keep", "alert") and before.state != "no_data":
            after = structs.replace(before, because="few")
        else:
            after = _judged(condition, before, ("", False), at, otherwise="few")
    else:
        after = _judged(condition, before, _level(condition, before.level, reading.value or 0.0), at)
    return _settled(condition, before, structs.replace(after, silent=silent), at)


def unwatched(standing: Standing, at: datetime) -> Standing:
    """How it stands after minutes that nobody judged: what fires goes on, and what waits begins anew."""
    if standing.firing or (standing.warned is None and standing.silent is None):
        return standing
    since = standing.since if standing.state == "ok" else at
    return structs.replace(standing, state="ok", because="fine", since=since, warned=None, alarmed=None, silent=None)


def breaches(operator: Operator, value: float, threshold: float | None) -> bool:
    """Whether a value is beyond a threshold; never where there is none."""
    return threshold is not None and BEYOND[operator](value, threshold)


def fine(condition: Condition, reading: Reading) -> bool:
    """Whether enough was measured, and nothing of it is beyond a threshold."""
    value, operator = reading.value, condition.operator
    if value is None or reading.samples < condition.least:
        return False
    return not breaches(operator, value, condition.warning) and not breaches(operator, value, condition.critical)


def _level(condition: Condition, firing: Level, value: float) -> tuple[Level, bool]:
    """The worst level that a value justifies, and whether it does so only because that level fires already."""
    rows: tuple[tuple[Level, float | None, float | None], ...] = (
        ("critical", condition.critical, condition.critical_clear),
        ("warning", condition.warning, condition.warning_clear),
    )
    for level, threshold, clear in rows:
        if breaches(condition.operator, value, threshold):
            return level, False
        if LEVELS[firing] >= LEVELS[level] and threshold is not None and breaches(condition.operator, value, clear):
            return level, True
    return "", False


def _judged(
    condition: Condition, before: Standing, found: tuple[Level, bool], at: datetime, otherwise: Because = "fine"
) -> Standing:
    """`otherwise` is why, where nothing is beyond a threshold."""
    level, lingers = found
    asleep = bool(level) and not before.level and not _awake(condition, at)
    reached: Level = "" if asleep else level
    warned = (before.warned or at) if reached else None
    alarmed = (before.alarmed or at) if reached == "critical" else None
    fires, cleared, calm = _begun(condition, warned, alarmed, at), None, None
    if LEVELS[before.level] > LEVELS[fires]:
        fires, cleared, calm = _kept(condition, before, reached, at)
    because: Because = otherwise
    if asleep:
        because = "hours"
    elif cleared is not None:
        because = "keeping"
    elif fires:
        because = "clearing" if lingers else "breach"
    elif reached:
        because = "waiting"
    return structs.replace(before, state=fires or ("pending" if reached else "ok"), because=because, level=fires,
                           warned=warned, alarmed=alarmed, cleared=cleared, calm=calm)  # fmt: skip


def _begun(condition: Condition, warned: datetime | None, alarmed: datetime | None, at: datetime) -> Level:
    """The worst level that has been reached for long enough."""
    rows: tuple[tuple[Level, datetime | None, float | None], ...] = (
        ("critical", alarmed, condition.critical),
        ("warning", warned, condition.warning),
    )
    for level, since, threshold in rows:
        if threshold is not None and since is not None and at - since >= condition.hold * MINUTE:
            return level
    return ""


def _kept(
    condition: Condition, before: Standing, reached: Level, at: datetime
) -> tuple[Level, datetime | None, datetime | None]:
    """What goes on of the level that fires, with `cleared` and `calm`."""
    cleared = None if LEVELS[reached] >= LEVELS[before.level] else before.cleared or at
    calm = None if reached else before.calm or at
    if cleared is None or at - cleared < condition.keep * MINUTE:
        return before.level, cleared, calm
    # A critical that ends was a warning all along, which needs no new `hold` and has a `keep` of its own.
    if condition.warning is not None and (calm is None or at - calm < condition.keep * MINUTE):
        return "warning", calm, calm
    return "", None, None


def _unmeasured(condition: Condition, before: Standing, silent: datetime, at: datetime) -> Standing:
    """It stays as it was; where that is asked for, the silence becomes an alert of its own after a while."""
    if condition.no_data != "alert":  # one that was an alert is none any more
        state: State = "ok" if before.state == "no_data" else before.state
        return structs.replace(before, state=state, because="no_data")
    if at - silent >= condition.silent * MINUTE and not before.firing and _awake(condition, at):
        return structs.replace(before, state="no_data", because="no_data", warned=None, alarmed=None)
    return structs.replace(before, because="no_data")


def _awake(condition: Condition, at: datetime) -> bool:
    return condition.hours is None or condition.hours.hold(at)


def _settled(condition: Condition, before: Standing, after: Standing, at: datetime) -> Standing:
    """With the times at which it changed and people were told; `told` is this minute where they are to be told now."""
    told = before.told
    if not after.firing:
        told = None
    elif not before.firing or LEVELS[after.level] > LEVELS[before.level] or _due(condition, before.told, at):
        told = at
    since = before.since if after.state == before.state else at
    after = structs.replace(after, since=since, told=told)
    return before if after == before else after


def _due(condition: Condition, told: datetime | None, at: datetime) -> bool:
    return told is not None and condition.renotify > 0 and at - told >= condition.renotify * MINUTE
