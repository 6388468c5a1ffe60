"""How long people took with alerts: until somebody looked after one, and until it was over. Pure, over episodes."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from alerts.states import State


class Spread(Struct, frozen=True):
    """How long so many took, in seconds: half of them at most `median`, nine in ten at most `p90`."""

    number: int
    median: float
    p90: float


class Figures(Struct, frozen=True):
    """What became of the alerts of a time; None where nobody took one up, or none ended."""

    began: int
    acknowledged: Spread | None
    resolved: Spread | None


def of(episodes: Iterable[State], start: datetime, end: datetime) -> Figures:
    """The figures of [start, end): each alert counts in the time in which it was first taken up, and ended.

    News, which end by themselves, are left out: nobody has to mend them.
    """
    states = [state for state in episodes if state.ends_at is None]
    return Figures(
        began=sum(start <= state.first_seen_at < end for state in states),
        acknowledged=_spread(
            (one.first_acknowledged_at - one.first_seen_at).total_seconds()
            for one in states
            if one.first_acknowledged_at is not None and start <= one.first_acknowledged_at < end
        ),
        resolved=_spread(
            (one.resolved_at - one.first_seen_at).total_seconds()
            for one in states
            if one.resolved_at is not None and start <= one.resolved_at < end
        ),
    )


def _spread(lengths: Iterable[float]) -> Spread | None:
    ordered = sorted(lengths)
    return Spread(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.9)) if ordered else None


def _quantile(ordered: Sequence[float], q: float) -> float:
    """Between the two that the place falls between, as far as it lies."""
    place = q * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
