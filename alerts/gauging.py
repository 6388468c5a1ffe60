"""What the store says of the windows that rules ask for: one question for all organizations and rules that share it."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from alerts.definitions import DAY
from alerts.measurements import Filters, Group, Place, Totals, Wanted, Window, folded
from alerts.rules import MINUTE
from monitoring.store import current_store, retention
from monitoring.store.base import Query
from monitoring.store.samples import Trace
from monitoring.store.windows import HOUR, ceil
from organizations.scope import Scope

REFUSED = (DatabaseError, InterfaceError)
_GONE = "It looks back to a time of which minutes are not kept any more."
_TOO_SLOW = "It takes too long, and is tried again after ten minutes."
_TIMEOUT = "SELECT set_config('statement_timeout', %s::text, true)"
_SECONDS, _AGAIN = 10, 600.0  # that a window may take by itself; after which a slow one is tried again
_MOST_LATE = 2  # windows; where more are and none can be read, it is the database that is slow
_ALL = 36_500 * 86_400  # seconds: a step in which everything falls, so that a window is one total


class Unread(Exception):
    """Why a window could not be read, in words for the owner of a rule."""


class Gauges:
    """The totals of windows that end with one minute; `unread` says why some of them could not be read."""

    def __init__(self, totals: Mapping[Place, Totals], unread: Mapping[Place, str] = MappingProxyType({})) -> None:
        self.totals, self.unread = totals, unread
        self._folded: dict[Any, Totals] = {}

    def whole(self, organization: str, window: Window) -> Totals:
        """By all that the window is told apart by.

        Raises:
            Unread: where that could not be read.
        """
        place = (organization, window)
        if (why := self.unread.get(place)) is not None:
            raise Unread(why)
        return self.totals.get(place, _NONE)

    def of(self, organization: str, window: Window, filters: Filters, by: tuple[str, ...]) -> Totals:
        """Filtered and grouped; what several rules ask alike is worked out once."""
        asked = (organization, window, filters, by)
        found = self._folded.get(asked)
        if found is None:
            found = self._folded[asked] = folded(window, filters, by, self.whole(organization, window))
        return found


_NONE: Totals = {}


def read(scope: Scope, wanted: Wanted, minutes: Iterable[datetime], *,
         sources: tuple[str, ...] | None = ("live",)) -> dict[datetime, Gauges]:  # fmt: skip
    """What these windows hold, for each minute with which they end.

    `Unread` are those that take too long, and those of less than a day from a time of which no minutes are kept.
    """
    ends = list(minutes)
    slow = {place: fields for place, fields in wanted.items() if place in _slow}
    if not slow:
        return _read(scope, wanted, ends, sources)
    found = _read(scope, {place: fields for place, fields in wanted.items() if place not in slow}, ends, sources)
    alone = read_apart(scope, slow, ends, sources=sources)
    return {end: _joined(found[end], alone[end]) for end in ends}


def read_apart(scope: Scope, wanted: Wanted, minutes: Iterable[datetime], *,
               sources: tuple[str, ...] | None = ("live",)) -> dict[datetime, Gauges]:  # fmt: skip
    """As `read`, each window and minute by itself, so that one that cannot be read keeps no other from it.

    Raises:
        DatabaseError: where none could be read, and that is not because of what was asked for.
    """
    known = set(_slow)
    found: dict[datetime, Gauges] = {}
    away: list[Exception] = []
    late: set[Place] = set()  # that are found to be slow now
    read = 0
    for end in minutes:
        found[end] = Gauges({}, {})
        for place in sorted(wanted, key=lambda place: (place[1].minutes, place)):  # the quick ones first
            try:
                one = _alone(scope, place, wanted[place], end, sources)
                read += place not in one.unread
            except REFUSED as error:
                one = Gauges({}, {place: _first_line(error)})
                if _is_timeout(error):
                    late |= {place} - known
                elif not isinstance(error, DataError):
                    away.append(error)
            found[end] = _joined(found[end], one)
    if not read and (away or len(late) > _MOST_LATE):
        for place in late:
            _slow.pop(place, None)
        raise away[0] if away else OperationalError("no window can be read in time")
    return found


# Windows that took too long, and when they are tried again, by the clock of the process.
_slow: dict[Place, float] = {}


def _alone(
    scope: Scope, place: Place, fields: frozenset[str], end: datetime, sources: tuple[str, ...] | None
) -> Gauges:
    """With less patience than is had for all."""
    if _slow.get(place, 0.0) > time.monotonic():
        return Gauges({}, {place: _TOO_SLOW})
    try:
        with _patience(_SECONDS):
            found = _read(scope, {place: fields}, [end], sources)[end]
    except REFUSED as error:
        if _is_timeout(error):
            _slow[place] = time.monotonic() + _AGAIN
        raise
    _slow.pop(place, None)
    return found


@contextmanager
def _patience(seconds: int) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT setting::integer FROM pg_settings WHERE name = 'statement_timeout'")
        [(usual,)] = cursor.fetchall()  # milliseconds, 0 for any number of them
        cursor.execute(_TIMEOUT, [min(usual or 1000 * seconds, 1000 * seconds)])
        yield
        cursor.execute(_TIMEOUT, [usual])


def _is_timeout(error: Exception) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "57014"


def _first_line(error: Exception) -> str:
    return _TOO_SLOW if _is_timeout(error) else str(error).partition("\n")[0][:200]


def _joined(one: Gauges, other: Gauges) -> Gauges:
    return Gauges({**one.totals, **other.totals}, {**one.unread, **other.unread})


def _read(
    scope: Scope, wanted: Wanted, ends: Sequence[datetime], sources: tuple[str, ...] | None
) -> dict[datetime, Gauges]:
    found: dict[datetime, dict[Place, Totals]] = {end: {} for end in ends}
    first, now = min(ends), timezone.now()
    since = {organization: minutes_since(organization, now) for organization in {place[0] for place in wanted}}
    gone = {place: _GONE for place in wanted
            if place[1].minutes < DAY and _start(first, place[1]) < since[place[0]]}  # fmt: skip
    there = {place: fields for place, fields in wanted.items() if place not in gone}
    for own in _alike(scope, there, since, first):
        _read_inferences(own, {place: fields for place, fields in there.items() if place[0] in own}, found, sources)
    _read_families(scope, there, found, sources)
    return {end: Gauges(totals, gone) for end, totals in found.items()}


def minutes_since(organization: str, now: datetime) -> datetime:
    """From when on windows are exact to the minute: rollups of before are of hours, of which each is one whole."""
    return ceil(retention.of(organization).minutes_since(now), HOUR)


def _alike(scope: Scope, wanted: Wanted, since: Mapping[str, datetime], end: datetime) -> Iterator[Scope]:
    """Organizations that are read together: an answer to several reaches only as far as the data of each of them do."""
    first: dict[str, datetime] = {}
    for organization, window in wanted:
        if not window.subject and organization in scope:
            first[organization] = min(first.get(organization, end), _start(end, window))
    earliest = min(first.values(), default=end)
    together = [organization for organization in first if since[organization] <= earliest]
    if together:
        yield Scope.of(*together)
    for organization in sorted(first.keys() - set(together)):
        yield Scope.of(organization)


def _read_inferences(
    scope: Scope, wanted: Wanted, found: Mapping[datetime, dict[Place, Totals]],
    sources: tuple[str, ...] | None,
) -> None:  # fmt: skip
    fields: dict[Window, frozenset[str]] = {}
    for (_, window), own in wanted.items():
        if not window.subject:
            fields[window] = fields.get(window, own) | own
    asked = [(end, window) for end in found for window in sorted(fields)]
    queries = [
        Query(start=_start(end, window), end=_end(end, window), by=("organization_id", *window.dims), sources=sources,  # type: ignore[arg-type]
              fields=fields[window])
        for end, window in asked
    ]  # fmt: skip
    for (end, window), groups in zip(asked, current_store().totals(scope, queries) if queries else [], strict=True):
        split: dict[str, dict[Group, Any]] = defaultdict(dict)
        for (organization, *values), summary in groups.items():
            split[organization][tuple(values)] = summary
        for organization, totals in split.items():
            found[end][organization, window] = totals


def _read_families(
    scope: Scope, wanted: Wanted, found: Mapping[datetime, dict[Place, Totals]],
    sources: tuple[str, ...] | None,
) -> None:  # fmt: skip
    asked = [(end, *one) for end in found for one in sorted(wanted) if one[1].subject]
    traces = [
        Trace(organization=organization, family=window.subject, start=_start(end, window), end=_end(end, window),
              by=window.dims, sources=sources)
        for end, organization, window in asked
    ]  # fmt: skip
    spans = current_store().history(scope, traces, step_seconds=_ALL) if traces else []
    for (end, organization, window), answer in zip(asked, spans, strict=True):
        totals: dict[Group, Any] = {}
        for labels, steps in answer.items():
            own = dict(labels)
            totals[tuple(own.get(name, "") for name in window.dims)] = steps[0][1]
        found[end][organization, window] = totals


def _start(end: datetime, window: Window) -> datetime:
    return end - (window.back + window.minutes) * MINUTE


def _end(end: datetime, window: Window) -> datetime:
    return end - window.back * MINUTE


def minute_of(moment: datetime, late: int) -> datetime:
    """The last whole minute that is over, and for which late data were waited for."""
    seen = moment - timedelta(seconds=late)
    return seen.replace(second=0, microsecond=0)
