"""What a rule would have said: its readings, minute by minute, judged by the very code that judges live ones. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial

from msgspec import Struct, structs

from alerts import judging
from alerts.measurements import Group
from alerts.rulebook import Ruled
from alerts.rules import LEVELS, MINUTE, Level, Reading, Standing

Minutes = Sequence[tuple[datetime, Mapping[Group, Reading]]]
WEEK = timedelta(days=7)


class Change(Struct, frozen=True, kw_only=True):
    """A group changed its state with a minute; `told` when people would have heard of it."""

    group: Group
    at: datetime
    before: str
    after: str
    because: str
    value: float | None
    samples: int
    told: bool


class Episode(Struct, frozen=True, kw_only=True):
    """A group fired from one minute until another (None: it still does); `level` and `peak` are the worst of it."""

    group: Group
    began: datetime
    ended: datetime | None
    level: str
    peak: float | None


class Rehearsed(Struct, frozen=True, kw_only=True):
    """All that happened from `start` until `end`. `minutes` are those in which any group fired, `notices` how often
    people would have been told that something fires or is over.
    """

    start: datetime
    end: datetime
    changes: Sequence[Change]
    episodes: Sequence[Episode]
    minutes: int
    notices: int

    @property
    def notices_a_week(self) -> float:
        return self.notices * (WEEK / (self.end - self.start)) if self.end > self.start else 0.0

    @property
    def episodes_a_week(self) -> float:
        return len(self.episodes) * (WEEK / (self.end - self.start)) if self.end > self.start else 0.0


def rehearse(rule: Ruled, minutes: Minutes) -> Rehearsed:
    """Judge these minutes (at least one) in their order, beginning with nothing known."""
    known: dict[Group, Standing] = {}
    changes: list[Change] = []
    firing = 0
    for at, found in minutes:
        for one in judging.judge(rule, known, found, at):
            changes += _change(one, at)
            if one.after is None:
                del known[one.group]
            else:
                known[one.group] = one.after
        firing += any(standing.firing for standing in known.values())
    return Rehearsed(
        start=minutes[0][0] - MINUTE, end=minutes[-1][0], changes=changes,
        episodes=_episodes(rule, changes, minutes), minutes=firing,
        notices=sum(one.told for one in changes),
    )  # fmt: skip


def standings(rule: Ruled, minutes: Minutes, before: Mapping[Group, Standing]) -> dict[Group, Standing]:
    """How the groups stand after the last of these minutes, beginning with how they stood before the first."""
    known = dict(before)
    for at, found in minutes:
        for one in judging.judge(rule, known, found, at):
            if one.after is None:
                del known[one.group]
            else:
                known[one.group] = one.after
    return known


def _change(one: judging.Judged, at: datetime) -> Iterator[Change]:
    fired = one.before is not None and one.before.firing
    begins = one.after is not None and one.after.told == at
    over = fired and not (one.after is not None and one.after.firing)
    if begins or one.step:
        same = one.after.state if one.after else ""
        before, after, because = one.step or (same, same, one.after.because if one.after else "")
        yield Change(group=one.group, at=at, before=before, after=after, because=because, value=one.reading.value,
                     samples=one.reading.samples, told=begins or over)  # fmt: skip


_FIRING: Mapping[str, Level] = {"warning": "warning", "critical": "critical", "no_data": "warning"}


def _episodes(rule: Ruled, changes: Sequence[Change], minutes: Minutes) -> list[Episode]:
    """In the order in which they began; the peak is the worst value of all minutes in which it fired."""
    found: list[Episode] = []
    open_: dict[Group, int] = {}  # where in `found` the episode of a group is
    for one in changes:
        place = open_.get(one.group)
        if one.after in _FIRING:
            if place is None:
                open_[one.group] = len(found)
                found.append(Episode(group=one.group, began=one.at, ended=None, level=one.after, peak=one.value))
            elif LEVELS[_FIRING[one.after]] > LEVELS[_FIRING[found[place].level]]:
                found[place] = structs.replace(found[place], level=one.after)
        elif place is not None:
            found[open_.pop(one.group)] = structs.replace(found[place], ended=one.at)
    worst = max if rule.condition.operator in ("gt", "gte") else min
    return [structs.replace(one, peak=_peak(one, minutes, worst)) for one in found]


def _peak(one: Episode, minutes: Minutes, worst: Callable[..., float]) -> float | None:
    first = minutes[0][0]
    begin = int((one.began - first) / MINUTE)
    end = len(minutes) if one.ended is None else int((one.ended - first) / MINUTE)
    values = [reading.value for _, found in minutes[begin:end]
              if (reading := found.get(one.group)) is not None and reading.value is not None]  # fmt: skip
    return worst(values) if values else one.peak


def proposal(rule: Ruled, minutes: Minutes, *, a_week: float = 2.0) -> float | None:
    """The threshold, rounded to three digits, nearest to what is usual with which the worst level that the rule has
    would have begun at most so often a week. None where no data were found, and where it would have with none of them:
    a silence that is an alert of its own begins with any.
    """
    values = {reading.value for _, found in minutes for reading in found.values() if reading.value is not None}
    if not values:
        return None
    if rule.condition.no_data == "zero":
        values.add(0.0)  # which silence counts as
    up = rule.condition.operator in ("gt", "gte")
    near = partial(_rounded, up=up, beyond=rule.condition.operator in ("gte", "lte"))
    ordered = sorted(values, reverse=not up)
    low, high = 0, len(ordered) - 1
    while low < high:
        middle = (low + high) // 2
        if _is_rare(rule, near(ordered[middle]), minutes, a_week):
            high = middle
        else:
            low = middle + 1
    found = near(ordered[high])
    return found if _is_rare(rule, found, minutes, a_week) else None


def _is_rare(rule: Ruled, threshold: float, minutes: Minutes, a_week: float) -> bool:
    return rehearse(_with_threshold(rule, threshold), minutes).episodes_a_week <= a_week


def _with_threshold(rule: Ruled, threshold: float) -> Ruled:
    condition = structs.replace(rule.condition, warning=threshold, critical=None, warning_clear=None,
                                critical_clear=None)  # fmt: skip
    return rule._replace(condition=condition)


def _rounded(value: float, *, up: bool, beyond: bool) -> float:
    """To three digits, away from what is usual, so that the value itself is not beyond it.

    Args:
        beyond: whether it must be another number, since a value at the threshold would be beyond it.
    """
    exact = Decimal(str(value))
    unit = Decimal(1).scaleb((exact.adjusted() if exact else 0) - 2)
    near = exact.quantize(unit, ROUND_CEILING if up else ROUND_FLOOR)
    if beyond and near == exact:
        near += unit if up else -unit
    return float(near)
