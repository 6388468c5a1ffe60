"""The values in which series cross the store: samples and increments in, levels and histories out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

Labels = tuple[tuple[str, str], ...]  # sorted by name; the organization is a field of its own


class Sample(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One reading of one series. A family ending in `_total` is somebody's running total, which may begin anew at 0."""

    organization: str
    family: str
    labels: Labels
    at_ms: int  # since 1970 UTC
    value: float
    source: str = "live"


class Increment(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How much a counter of our own grew; the store adds it up for good."""

    organization: str
    family: str
    labels: Labels
    at_ms: int
    amount: float  # at least 0
    source: str = "live"


@dataclass(frozen=True, slots=True)
class Level:
    """A series with its newest value, and when that was read or last grew."""

    organization: str
    family: str
    labels: Labels
    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A question about one family in [start, end), both on whole minutes.

    `where` keeps the series that have all of these labels; they are joined into one answer for each set of values of
    the labels `by` (() joins them all, None keeps every series apart).
    """

    organization: str
    family: str
    start: datetime
    end: datetime
    where: Labels = ()
    by: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None


class Span(msgspec.Struct, frozen=True, gc=False):
    """What a step held: how many samples, their sum, least, most and last.

    Of a running total and of a counter, `total` is how much it grew, where a fall is a new beginning.
    """

    count: int
    total: float
    least: float
    most: float
    last: float

    @property
    def mean(self) -> float:
        return self.total / self.count


Spans = Mapping[Labels, Sequence[tuple[datetime, Span]]]  # in order of time; steps without anything are left out
