"""What a measure of inferences comes to, of what the summary of a window adds up: value, samples, fields. Pure."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from alerts.definitions import QUANTILES, Aggregation, Definition
from monitoring import histogram
from monitoring.histogram import BOUNDS_US
from monitoring.store.base import Summary


class Gauged(NamedTuple):
    """How a measure is read. `samples` are what the value is made of; `fields` all of a summary that either needs."""

    value: Callable[[Summary], float | None]
    samples: Callable[[Summary], int]
    fields: frozenset[str]


class _Added(NamedTuple):
    """Something that is added up, and of which fields; means are of those inferences of which it is known."""

    read: Callable[[Summary], Any]
    fields: tuple[str, ...]
    known: Callable[[Summary], int] = attrgetter("inferences")


class _Timed(NamedTuple):
    """The fields of a measure of time: its sum in microseconds, of how many, and how many in each bucket."""

    total: str
    number: str
    buckets: str


_TIMED: Mapping[str, _Timed] = {
    "duration": _Timed("duration_us", "inferences", "durations"),
    "ttft": _Timed("ttft_us", "with_ttft", "ttfts"),
}
# Those whose money is not known do not pull a mean towards zero.
_ADDED: Mapping[str, _Added] = {
    **{name: _Added(attrgetter(name), (name,)) for name in (
        "inferences", "errors", "retries", "unpriced", "input_tokens", "output_tokens", "cache_read_tokens",
        "cache_write_tokens", "reasoning_tokens")},
    "total_tokens": _Added(lambda one: one.input_tokens + one.output_tokens, ("input_tokens", "output_tokens")),
    "cost": _Added(attrgetter("cost"), ("cost", "unpriced"), lambda one: one.inferences - one.unpriced),
    "revenue": _Added(attrgetter("revenue"), ("revenue", "with_revenue"), attrgetter("with_revenue")),
}  # fmt: skip


def gauged(one: Definition) -> Gauged:
    """Of a measure of inferences."""
    return _gauged(one.measure, one.aggregation, one.per, one.window)


@lru_cache(maxsize=4096)
def _gauged(measure: str, aggregation: Aggregation, per: str, window: int) -> Gauged:
    if measure in _TIMED:
        return _timed(_TIMED[measure], aggregation)
    added = _ADDED[measure]
    samples: Callable[[Summary], int] = added.known if aggregation == "avg" else attrgetter("inferences")
    by = _ADDED[per].fields if per else ()
    return Gauged(_value(added, aggregation, per, window), samples, frozenset({"inferences", *added.fields, *by}))


def _value(added: _Added, aggregation: Aggregation, per: str, window: int) -> Callable[[Summary], float | None]:
    read, known = added.read, added.known
    match aggregation:
        case "ratio":
            by = _ADDED[per].read
            return lambda total: divided(read(total), by(total))
        case "avg":
            return lambda total: divided(read(total), known(total))
        case "rate":
            return lambda total: divided(read(total), window * 60)
        case _:
            return lambda total: None if (found := read(total)) is None else float(found)


def divided(value: Any, by: Any) -> float | None:
    return None if value is None or not by else float(value) / float(by)


def _timed(one: _Timed, aggregation: Aggregation) -> Gauged:
    """In milliseconds."""
    total, number, buckets = map(attrgetter, one)
    value: Callable[[Summary], float | None]
    if aggregation == "avg":
        value = lambda summary: total(summary) / of / 1000 if (of := number(summary)) else None  # noqa: E731
        return Gauged(value, number, frozenset({"inferences", one.total, one.number}))  # fmt: skip
    if aggregation in QUANTILES:
        share = QUANTILES[aggregation]
        value = lambda summary: histogram.quantile_ms(buckets(summary), share)  # noqa: E731
    else:
        edge = _longest if aggregation == "max" else _shortest
        value = lambda summary: edge(buckets(summary))  # noqa: E731
    return Gauged(value, number, frozenset({"inferences", one.number, one.buckets}))


def _shortest(counts: Sequence[int]) -> float | None:
    """In milliseconds: the lower edge of the first bucket that holds any."""
    place = next((place for place, count in enumerate(counts) if count), None)
    if place is None:
        return None
    return BOUNDS_US[place - 1] / 1000 if place else 0.0


def _longest(counts: Sequence[int]) -> float | None:
    """The upper edge of the last one; the bucket above all has none, and is told as its lower one."""
    place = next((place for place in range(len(counts) - 1, -1, -1) if counts[place]), None)
    return None if place is None else BOUNDS_US[min(place, len(BOUNDS_US) - 1)] / 1000
