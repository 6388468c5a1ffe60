"""Which rollup answers which part of a window: whole hours from hours, the edges from minutes, the old from days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Segment:
    """[start, end) to be read from the rollup of one grain: minute, hour or day."""

    grain: str
    start: datetime
    end: datetime


def floor(moment: datetime, grain: timedelta) -> datetime:
    return moment - (moment - _YEAR_1) % grain


def ceil(moment: datetime, grain: timedelta) -> datetime:
    return floor(moment + grain - timedelta(microseconds=1), grain)


def segments(
    start: datetime, end: datetime, *, step: timedelta, minutes_since: datetime, hours_since: datetime
) -> Iterator[Segment]:
    """The parts of [start, end), coarsest rollup that still tells the steps apart first chosen.

    Before `hours_since` only days are kept, before `minutes_since` only hours and days: there an edge is widened to
    the whole hour or day. `step` is a number of whole minutes; for a total it is any long time.
    """
    if start >= end:
        return
    hours_from, minutes_from = ceil(hours_since, DAY), ceil(minutes_since, HOUR)
    if start < hours_from:
        border = min(hours_from, ceil(end, DAY))
        yield Segment("day", floor(start, DAY), border)
        start = border
    if start < minutes_from and start < end:
        border = min(minutes_from, ceil(end, HOUR))
        yield from _coarse(floor(start, HOUR), border, step, fine="hour")
        start = border
    if start < end:
        yield from _coarse(start, end, step, fine="minute")


def _coarse(start: datetime, end: datetime, step: timedelta, fine: str) -> Iterator[Segment]:
    """`fine` at both edges and the next coarser grain that divides the step between them, grain by grain."""
    grain, coarser = (HOUR, "hour") if fine == "minute" else (DAY, "day")
    first, last = ceil(start, grain), floor(end, grain)
    if step % grain or first >= last:
        yield Segment(fine, start, end)
        return
    if start < first:
        yield Segment(fine, start, first)
    if coarser == "hour":
        yield from _coarse(first, last, step, fine="hour")
    else:
        yield Segment("day", first, last)
    if last < end:
        yield Segment(fine, last, end)
