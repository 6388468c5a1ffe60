"""What part of time a dashboard looks at: the query's words as exact minutes, with a step that suits the width."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from bedrock import parameters
from bedrock.parameters import BadParameters
from monitoring.measures import SOURCES
from monitoring.store.windows import MINUTE, floor

_LENGTHS: Mapping[str, timedelta] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
WINDOWS: tuple[str, ...] = tuple(_LENGTHS)
COMPARISONS: tuple[str, ...] = ("previous", "week", "none")
DEFAULT, DEFAULT_COMPARISON = "24h", "previous"
_LONGEST = timedelta(days=400)
_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_POINTS = 120  # more than this no chart can show
_NAMES = ("organization", "window", "from", "to", "compare", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """[start, end) in whole minutes, drawn in steps; `window` is "" when it was given by its ends."""

    window: str
    start: datetime
    end: datetime
    step_seconds: int
    compare: str
    source: str | None

    @property
    def earlier(self) -> tuple[datetime, datetime] | None:
        """The window to compare with: as long, directly before or a week earlier."""
        if self.compare == "none":
            return None
        back = timedelta(days=7) if self.compare == "week" else self.end - self.start
        return self.start - back, self.end - back


def step_for(length: timedelta) -> int:
    """The smallest step that draws `length` in at most 120 points, in seconds; a day for anything longer.

    One that divides `length` is taken before a smaller one that does not, if it leaves half as many points: then the
    steps of a window and of the one before it lie at the same places.
    """
    seconds = length.total_seconds()
    fitting = [step for step in _STEPS if seconds / step <= _POINTS]
    even = [step for step in fitting if seconds % step == 0 and seconds / step >= _POINTS / 4]
    return (even or fitting or [_STEPS[-1]])[0]


def parse(query: QueryDict, now: datetime, zone: ZoneInfo | None = None) -> View:
    """The view that a query asks for; the running minute is part of it. Times that name no zone are of `zone`.

    Raises:
        BadParameters: naming each parameter that is unknown, repeated or malformed.
    """
    named = parameters.read(query, _NAMES)
    for name, allowed in (("window", WINDOWS), ("compare", COMPARISONS), ("source", SOURCES)):
        if name in named and named[name] not in allowed:
            raise BadParameters.of(name, f"must be one of {', '.join(allowed)}")
    ends = "from" in named or "to" in named
    if ends and "window" in named:
        raise BadParameters.of("window", "goes without from and to")
    window = "" if ends else named.get("window", DEFAULT)
    if ends:
        start, end = _ends(named, now, zone)
    else:
        end = floor(now, MINUTE) + MINUTE
        start = end - _LENGTHS[window]
    return View(
        window=window,
        start=start,
        end=end,
        step_seconds=step_for(end - start),
        compare=named.get("compare", DEFAULT_COMPARISON),
        source=named.get("source"),
    )


def _ends(named: Mapping[str, str], now: datetime, zone: ZoneInfo | None) -> tuple[datetime, datetime]:
    if "from" not in named:
        raise BadParameters.of("from", "is required beside to")
    start = floor(_moment("from", named["from"], zone), MINUTE)
    end = floor(_moment("to", named["to"], zone), MINUTE) if "to" in named else floor(now, MINUTE) + MINUTE
    if start >= end:
        raise BadParameters.of("from", "must lie at least a minute before to")
    if end - start > _LONGEST:
        raise BadParameters.of("from", f"must lie at most {_LONGEST.days} days before to")
    return start, end


def _moment(name: str, text: str, zone: ZoneInfo | None) -> datetime:
    try:
        moment = parse_datetime(text.replace(" ", "+"))  # a + in a query that was not escaped arrives as a space
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    if moment is None or moment.tzinfo is None or not 2000 <= moment.year <= 2100:
        raise BadParameters.of(name, "must be an RFC 3339 time with its zone, from 2000 to 2100: 2026-01-31T09:00:00Z")
    return moment
