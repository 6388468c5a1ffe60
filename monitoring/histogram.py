"""Durations as counts in fixed log-spaced buckets: mergeable, small, quantiles within a bucket."""

from bisect import bisect_left
from collections.abc import Sequence

# Upper bounds in microseconds: 2 ms, each 1.25 times the one before, up to 27 minutes; one more bucket is above all.
BOUNDS_US: tuple[int, ...] = tuple(round(2_000 * 1.25**step) for step in range(62))
BUCKETS = len(BOUNDS_US) + 1


def bucket_of(microseconds: int) -> int:
    """The bucket of a duration: the first whose upper bound is not below it."""
    return bisect_left(BOUNDS_US, microseconds)


def quantile_ms(counts: Sequence[int], q: float) -> float | None:
    """The q-quantile (0-1) in milliseconds, interpolated inside its bucket; None where nothing was counted.

    The error is at most the width of a bucket, 25 %; below the first bound it can be all of
    2 ms, and what lies above the last one is reported as that bound (27 minutes).
    """
    total = sum(counts)
    if total == 0:
        return None
    rank = q * total
    passed = 0
    for bucket, count in enumerate(counts):
        if count and passed + count >= rank:
            if bucket >= len(BOUNDS_US):
                return BOUNDS_US[-1] / 1000
            low = BOUNDS_US[bucket - 1] if bucket else 0
            share = max(0.0, rank - passed) / count
            return (low + (BOUNDS_US[bucket] - low) * share) / 1000
        passed += count
    return BOUNDS_US[-1] / 1000
