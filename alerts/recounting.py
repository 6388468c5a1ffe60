"""What a group's value was, and how it would stand, worked out again from the data as they are now."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import DatabaseError
from msgspec import Struct, structs

from alerts import gauging, judging, measurements, rehearsal, simulation, standings
from alerts.definitions import DAY
from alerts.gauging import Gauges, Unread
from alerts.judging import FORGOTTEN
from alerts.measurements import NOTHING, Group
from alerts.recollection import Changed, Version
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Level, Reading, Standing, State, decide
from monitoring.store.base import Summary
from organizations.scope import Scope

_MOST = 2 * DAY  # minutes before the one that is asked for that are judged again
_MOST_WORK = 60_000  # minutes of series that are read for it: what the store adds up in a few seconds
_STATES: Mapping[str, State] = {one: one for one in ("ok", "pending", "warning", "critical", "no_data")}
_LEVELS: Mapping[str, Level] = {"warning": "warning", "critical": "critical"}


class Parts(Struct, frozen=True):
    """What there was where no value could be made of it: now, of so many calls or readings, and what it is compared
    with (None where it is with nothing).
    """

    now: Reading
    counted: int
    before: Reading | None


class Recount(Struct, frozen=True, kw_only=True):
    """`reading` is None where the data cannot be read, for the reason in `missing`; `standing` is None then too, and
    for a group of which nothing was measured. `crowd` is how many groups more the rule has than are judged; `parts`
    is None where there is a value, or nothing was measured.
    """

    reading: Reading | None = None
    standing: Standing | None = None
    crowd: int = 0
    missing: str = ""
    parts: Parts | None = None


def recount(
    rule: Ruled, group: Group, version: Version, changes: Sequence[Changed], minute: datetime, now: datetime
) -> Recount:  # fmt: skip
    """Of the minute that ends then. `changes` are those of the group until then, the newest first."""
    known = simulation.known_since(rule, now)
    if minute - MINUTE < known:
        return Recount(missing="it is not known any more: minutes are not kept for so long")
    try:
        gauges = gauging.read(Scope.of(rule.organization), judging.wanted([rule]), [minute])[minute]
        found = judging.read(rule, gauges)
    except Unread as error:
        return Recount(missing=str(error))
    except DatabaseError:
        return Recount(missing="the store did not answer in time")
    reading = found.get(group, NOTHING)
    standing = _decided(rule, changes, reading, minute)
    if most := _most(rule, gauges):
        start = max(known, _start(rule, version, changes, minute), minute - most * MINUTE)
        with suppress(DatabaseError):
            standing = _judged_again(rule, group, changes, start, minute)
    stand = {group: kept.standing for group, kept in standings.read([rule.id]).get(rule.id, {}).items()}
    parts = _parts(rule, group, gauges) if group in found and reading.value is None else None
    return Recount(reading=reading, standing=standing, crowd=judging.overflow(rule, stand, found), parts=parts)


def _most(rule: Ruled, gauges: Gauges) -> int:
    """How many minutes there is time to judge again, by how many series there are now; none of what takes too long."""
    series = [len(gauges.whole(rule.organization, window)) for window in rule.windows]
    filling = sum(number * window.minutes for number, window in zip(series, rule.windows))
    return min(_MOST, max(0, _MOST_WORK - filling) // max(1, sum(series)))


def _parts(rule: Ruled, group: Group, gauges: Gauges) -> Parts | None:
    """Of a group that has a reading."""
    totals = [gauges.of(rule.organization, window, rule.filters, rule.by) for window in rule.windows]
    half = len(totals) // 2 if rule.definition.change else len(totals)
    read = measurements.reader(structs.replace(rule.definition, change=""))
    now = read(totals[:half]).get(group, Reading(0.0))  # it is added up, or there would be no reading of it
    before = read(totals[half:]).get(group, NOTHING) if rule.definition.change else None
    total = totals[0].get(group)
    counted = total.inferences if isinstance(total, Summary) else now.samples
    return Parts(now, counted, before) if counted or now.value is not None else None


def _decided(rule: Ruled, changes: Sequence[Changed], reading: Reading, minute: datetime) -> Standing | None:
    """By that minute alone, which is all that is known where more took too long to read."""
    before = _stood(changes[0]) if changes else None
    if before is None and rule.by and reading.value is None:
        return None
    return decide(rule.condition, before, reading, minute)


def _judged_again(
    rule: Ruled, group: Group, changes: Sequence[Changed], start: datetime, minute: datetime
) -> Standing | None:
    """Each minute since it was calm, as far as this version goes back."""
    before = next((_stood(one) for one in changes if one.at <= start), None)
    minutes = [(at, {group: found[group]} if group in found else {})
               for at, found in simulation.minutes(rule, start, minute, group=group)]  # fmt: skip
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
