"""Readings of one series added up: how a running total grew, and what each minute or hour of it held."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Adds = Literal["value", "growth", "nothing"]  # what a sample adds to the total of its minute and hour


class Newest(NamedTuple):
    """The newest reading of a series, None before the first."""

    at_ms: int | None
    value: float | None


class Point(NamedTuple):
    """A reading as the rollups take it; `read_ms` is when `value` was true, `added` what the total takes."""

    at_ms: int
    read_ms: int
    value: float
    added: float


@dataclass(slots=True)
class Bucket:
    """What a minute or an hour held."""

    count: int
    total: float
    least: float
    most: float
    last: float
    last_ms: int


def sampled(newest: Newest, readings: Sequence[tuple[int, float]], *, adds: Adds) -> tuple[Newest, list[Point]]:
    """Samples (time, value) in order of time, after what was newest; a late one leaves the newest as it is.

    Growth is counted since the newest sample: none for the first one, none for a late one (it is in that of a later
    one), and the value itself after a fall, which is a new beginning at 0.
    """
    at_ms, value = newest
    points = []
    for moment, now in readings:
        late = at_ms is not None and moment <= at_ms
        growth = 0.0 if late or value is None else now - value if now >= value else now
        points.append(Point(moment, moment, now, {"value": now, "growth": growth, "nothing": 0.0}[adds]))
        if not late:
            at_ms, value = moment, now
    return Newest(at_ms, value), points


def counted(newest: Newest, readings: Iterable[tuple[int, float]]) -> tuple[Newest, list[Point]]:
    """Increments (time, amount) in order of time. A late one grows its own step, and tells the counter as it is now."""
    at_ms, value = newest
    points = []
    for moment, amount in readings:
        value = (value or 0.0) + amount
        at_ms = moment if at_ms is None else max(at_ms, moment)
        points.append(Point(moment, at_ms, value, amount))
    return Newest(at_ms, value), points


def bucketed(points: Iterable[Point], *, width_ms: int) -> dict[int, Bucket]:
    """Start of the minute or hour -> what it held."""
    found: dict[int, Bucket] = {}
    for at_ms, read_ms, value, added in points:
        start = at_ms - at_ms % width_ms
        bucket = found.get(start)
        if bucket is None:
            found[start] = Bucket(1, added, value, value, value, read_ms)
            continue
        bucket.count += 1
        bucket.total += added
        bucket.least, bucket.most = min(bucket.least, value), max(bucket.most, value)
        if read_ms >= bucket.last_ms:
            bucket.last, bucket.last_ms = value, read_ms
    return found
