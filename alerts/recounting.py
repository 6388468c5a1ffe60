"""What a group's value was, and how it would stand, worked out again from the data as they are now."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import DatabaseError
from msgspec import Struct

from alerts import gauging, judging, rehearsal, simulation
from alerts.definitions import DAY
from alerts.measurements import NOTHING, Group
from alerts.recollection import FORGOTTEN, Changed, Version
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Level, Reading, Standing, State, decide
from monitoring.store import retention
from organizations.scope import Scope

_MOST = 2 * DAY  # minutes before the one that is asked for that are judged again
_LONGEST = DAY  # the window of a rule of which they are: a longer one takes long to read
_STATES: Mapping[str, State] = {one: one for one in ("ok", "pending", "warning", "critical", "no_data")}
_LEVELS: Mapping[str, Level] = {"warning": "warning", "critical": "critical"}


class Recount(Struct, frozen=True, kw_only=True):
    """`reading` is None where the data cannot be read, for the reason in `missing`; `standing` is None then too, and
    for a group of which nothing was measured. `crowd` is how many groups more the rule has than are judged.
    """

    reading: Reading | None = None
    standing: Standing | None = None
    crowd: int = 0
    missing: str = ""


def recount(
    rule: Ruled, group: Group, version: Version, changes: Sequence[Changed], minute: datetime, now: datetime
) -> Recount:  # fmt: skip
    """Of the minute that ends then. `changes` are those of the group until then, the newest first."""
    reach = max(window.minutes + window.back for window in rule.windows) * MINUTE
    if minute - reach < retention.of(rule.organization).minutes_since(now):
        return Recount(missing="it is not known any more: minutes are not kept for so long")
    try:
        gauges = gauging.read(Scope.of(rule.organization), judging.wanted([rule]), [minute])[minute]
        found = judging.read(rule, gauges)
    except DatabaseError:
        return Recount(missing="the store did not answer in time")
    reading = found.get(group, NOTHING)
    standing = _decided(rule, changes, reading, minute)
    if all(window.minutes <= _LONGEST for window in rule.windows):
        with suppress(DatabaseError):
            standing = _judged_again(rule, group, version, changes, minute)
    return Recount(reading=reading, standing=standing, crowd=judging.overflow(rule, {}, found))


def _decided(rule: Ruled, changes: Sequence[Changed], reading: Reading, minute: datetime) -> Standing | None:
    """By that minute alone, which is all that is known where more took too long to read."""
    before = _stood(changes[0]) if changes else None
    if before is None and rule.by and reading.value is None:
        return None
    return decide(rule.condition, before, reading, minute)


def _judged_again(
    rule: Ruled, group: Group, version: Version, changes: Sequence[Changed], minute: datetime
) -> Standing | None:
    """Each minute since it was calm, as far as this version goes back."""
    start = _start(rule, version, changes, minute)
    before = next((_stood(one) for one in changes if one.at <= start), None)
    minutes = [(at, {group: found[group]} if group in found else {})
               for at, found in simulation.minutes(rule, start, minute)]  # fmt: skip
    return rehearsal.standings(rule, minutes, {group: before} if before else {}).get(group)


def _start(rule: Ruled, version: Version, changes: Sequence[Changed], minute: datetime) -> datetime:
    """The minute after which those are that are judged again; none, where the last of them changed it."""
    condition, late = rule.condition, rule.definition.offset
    calm = ("ok", FORGOTTEN)
    trouble = bool(changes) and changes[0].state not in calm
    most = _MOST if trouble else min(_MOST, 2 * (condition.hold + condition.keep + condition.silent) + 60)
    first = gauging.minute_of(version.begun, late) - MINUTE
    own = first if version.begun == version.since else gauging.minute_of(version.since, late)
    # What was not noted as a change was judged first with that very minute.
    since = next((one.at if one.because else one.at - MINUTE for one in changes if one.state in calm), first)
    return min(minute, max(first, own, since, minute - timedelta(minutes=most)))


def _stood(one: Changed) -> Standing | None:
    """About as it must have stood when it changed to that; None for one that was forgotten then."""
    if one.state == FORGOTTEN:
        return None
    level = _LEVELS.get(one.state, "")
    beyond = one.at if level or one.state == "pending" else None
    return Standing(
        state=_STATES[one.state], because=one.because or "fine", since=one.at, level=level,
        warned=beyond, alarmed=one.at if level == "critical" else None,
        silent=one.at if one.because == "no_data" else None,
        told=one.at if level or one.state == "no_data" else None,
    )  # fmt: skip
