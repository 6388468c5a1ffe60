"""What a rule's value is, from what the store adds up: the windows it asks for, and its readings by group. Pure.

Live evaluation and simulation fill the same windows and read them here, so that the same data are the same values.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import inf, isfinite
from typing import Any, NamedTuple

from alerts.definitions import QUANTILES, WEEK, Definition, measure_of
from alerts.rules import BEYOND, Reading
from alerts.summed import divided, gauged
from monitoring.families import HTTP_BOUNDS, TASK_BOUNDS
from monitoring.store.base import Summary
from monitoring.store.samples import Span

Group = tuple[str, ...]  # the values of what a rule is grouped by, in its order
Filters = tuple[tuple[str, tuple[str, ...]], ...]
_MOST_SAMPLES = 2**62
MOST_GROUPS = 200  # of one rule; the others are counted and not judged
# A bucket that did not grow is not told of, and is where the next one begins all the same.
_BOUNDS = {"cockpit_http_request_duration_seconds": HTTP_BOUNDS, "cockpit_task_duration_seconds": TASK_BOUNDS}


class Window(NamedTuple):
    """A stretch of minutes that ends `back` minutes before the one that is judged.

    `subject` is a metric family, "" for inferences; `dims` are the names by which it is told apart.
    """

    subject: str
    dims: tuple[str, ...]
    minutes: int
    back: int = 0


Place = tuple[str, Window]  # a window of an organization
Wanted = Mapping[Place, frozenset[str]]  # what is to be read, and what of its summaries: to add up all of it takes long
Total = Summary | Span
Totals = Mapping[Group, Total]  # of a window, by the values of its `dims`; folded, by those of the rule's `by`
Read = Callable[[Sequence[Totals]], dict[Group, Reading]]  # given the folded totals of a rule's windows, in their order
Glance = Callable[[Totals], bool]  # whether all is well
NOTHING = Reading(None, 0)


def windows(one: Definition) -> tuple[Window, ...]:
    """Everything that has to be known to judge a minute: what is divided and by what, now and then what before."""
    dims = tuple(sorted({*one.by, *one.filters}))
    backs = {"": (0,), "previous": (0, one.window), "week": (0, WEEK)}[one.change]
    return tuple(_same(Window(subject, (*dims, *more), one.window, back))
                 for back in backs for subject, more in _subjects(one))  # fmt: skip


def fields(one: Definition) -> frozenset[str]:
    """What of the summaries of its windows its values are made of; nothing where these are spans."""
    return gauged(one).fields if one.of_inferences else frozenset()


def filters(one: Definition) -> Filters:
    return tuple(sorted((name, tuple(values)) for name, values in one.filters.items()))


def glance(one: Definition) -> Glance | None:
    """Whether a rule about one set of names is fine, straight from the totals of its only window: as `fine` says it of
    what `reader` makes of what `folded` leaves, at a fraction of the cost. None for a rule that takes more.
    """
    asked, condition = filters(one), one.condition
    thresholds = [each for each in (condition.warning, condition.critical) if each is not None]
    nearest = min if condition.operator in ("gt", "gte") else max
    if not one.of_inferences or one.change or one.by or not all(_is_exact(values) for _, values in asked):
        return None
    place, (value, samples, _) = _same(tuple(value for _, (value,) in asked)), gauged(one)
    beyond, threshold, least = BEYOND[condition.operator], nearest(thresholds, default=None), condition.least

    def look(totals: Totals) -> bool:
        total = totals.get(place)
        if not isinstance(total, Summary) or (least and samples(total) < least):
            return False
        found = value(total)
        return found is not None and (threshold is None or not beyond(found, threshold))

    return look


@lru_cache(maxsize=65_536)
def _same(value: Any) -> Any:
    """One object for all that are equal: rules are many, and what they look at should lie close together."""
    return value


def _is_exact(values: tuple[str, ...]) -> bool:
    return len(values) == 1 and "*" not in values[0]


def _subjects(one: Definition) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The families it is made of, each with what it is told apart by besides."""
    if one.of_inferences:
        return (("", ()),)
    if one.aggregation in QUANTILES:
        return ((f"{one.measure}_bucket", ("le",)),)
    if _is_mean_of_histogram(one):
        return ((f"{one.measure}_sum", ()), (f"{one.measure}_count", ()))
    if one.aggregation == "ratio":
        return ((one.measure, ()), (one.per, ()))
    return ((one.measure, ()),)


def _is_mean_of_histogram(one: Definition) -> bool:
    return one.aggregation == "avg" and "p50" in measure_of(one.measure).aggregations


def reader(one: Definition) -> Read:
    """What makes the rule's readings of the totals of its windows: one for each group that has any data now."""
    read = _reader(one)
    if not one.change:
        return read

    added = one.aggregation in ("count", "sum", "rate")

    def compared(totals: Sequence[Totals]) -> dict[Group, Reading]:
        half = len(totals) // 2
        now, before = read(totals[:half]), read(totals[half:])
        if added:  # where nothing came there is as little as can be
            now = {**dict.fromkeys(before, Reading(0.0, 0)), **now}
        return {group: _compared(one, before.get(group), added) for group, one in now.items()}

    return compared


def _compared(now: Reading, before: Reading | None, added: bool) -> Reading:
    """Of means both have to be of enough samples, of sums one of the two."""
    samples = (now.samples, before.samples if before else 0)
    return Reading(_changed(now.value, before), max(samples) if added else min(samples))


def _changed(value: float | None, before: Reading | None) -> float | None:
    """The change in per cent; None where there was nothing to compare with."""
    if value is None or before is None or not before.value:
        return None
    return _plain((value - before.value) / abs(before.value) * 100)


def _plain(value: float | None) -> float | None:
    """To 12 digits: further ones depend on the order in which fractions were added. None for what is no number."""
    return None if value is None or not isfinite(value) else float(f"{value:.12g}")


def _reader(one: Definition) -> Read:
    if one.of_inferences:
        value, samples, _ = gauged(one)
        return lambda totals: {group: Reading(value(total), samples(total)) for group, total in totals[0].items()
                               if isinstance(total, Summary)}  # fmt: skip
    if one.aggregation in QUANTILES:
        share = QUANTILES[one.aggregation]
        bounds = _BOUNDS.get(one.measure, ())
        return lambda totals: _quantiles(share, totals[0], bounds)
    if one.aggregation == "ratio" or _is_mean_of_histogram(one):
        return lambda totals: _ratios(one, totals[0], totals[1])
    return lambda totals: {group: Reading(_of_span(one, total), total.count) for group, total in totals[0].items()
                           if isinstance(total, Span)}  # fmt: skip


def _of_span(one: Definition, total: Span) -> float | None:
    match one.aggregation:
        case "sum":
            return _plain(total.total)
        case "rate":
            return _plain(total.total / (one.window * 60))
        case "count":
            return float(total.count)
        case "min":
            return total.least
        case "max":
            return total.most
        case "last":
            return _plain(total.last)
        case _:
            return _plain(total.mean)


def _ratios(one: Definition, upper: Totals, lower: Totals) -> dict[Group, Reading]:
    """Of counters how much the one grew for each that the other did (one of which nothing is told did not), of levels
    their means.
    """
    counts = one.measure.endswith(("_total", "_sum", "_count")) or one.aggregation == "avg"
    found: dict[Group, Reading] = {}
    for group, other in lower.items():
        total = upper.get(group, _STOOD if counts else None)
        if isinstance(total, Span) and isinstance(other, Span):
            value = divided(total.total, other.total) if counts else divided(total.mean, other.mean)
            found[group] = Reading(_plain(value), _samples(other.total) if counts else total.count)
    return found


def _samples(number: float) -> int:
    """Counters may grow beyond what a column holds."""
    return round(min(number, _MOST_SAMPLES))


_STOOD = Span(0, 0.0, 0.0, 0.0, 0.0)


def _quantiles(share: float, totals: Totals, bounds: Sequence[float]) -> dict[Group, Reading]:
    """From counters of buckets, whose last name is `le`: interpolated inside the bucket, as Prometheus does it."""
    buckets: dict[Group, list[tuple[float, float]]] = {}
    for (*group, bound), total in totals.items():
        if isinstance(total, Span):
            buckets.setdefault(tuple(group), []).append((_float(bound), total.total))
    return {group: _quantile(share, sorted(found), bounds) for group, found in buckets.items()}


def _quantile(share: float, buckets: Sequence[tuple[float, float]], bounds: Sequence[float]) -> Reading:
    count = buckets[-1][1]
    if count <= 0:
        return Reading(None, 0)
    rank = share * count
    first = max((bound for bound in bounds if bound < buckets[0][0]), default=0.0)
    (low, under), (high, upto) = next(pair for pair in pairwise([(first, 0.0), *buckets]) if pair[1][1] >= rank)
    value = low if high == inf else low + (high - low) * (rank - under) / (upto - under or 1)
    return Reading(_plain(value), _samples(count))


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return inf


def folded(window: Window, filters: Filters, by: tuple[str, ...], totals: Totals) -> Totals:
    """The totals that fit the filters, added up for each set of values of `by` (and of what comes behind `dims`)."""
    kept = (*by, *(name for name in window.dims if name == "le" and name not in by))
    if not filters and window.dims == kept:
        return totals
    places = {name: place for place, name in enumerate(window.dims)}
    if not kept and all(_is_exact(values) for _, values in filters):
        wanted = {name: values[0] for name, values in filters}
        total = totals.get(tuple(wanted[name] for name in window.dims))
        return {} if total is None else {(): total}
    found: dict[Group, Total] = {}
    for values, total in totals.items():
        if all(_fits(patterns, values[places[name]]) for name, patterns in filters):
            group = tuple(values[places[name]] for name in kept)
            found[group] = joined(found[group], total) if group in found else total
    return found


def joined(one: Total, other: Total) -> Total:
    """Those of two sets of series."""
    if isinstance(one, Summary) and isinstance(other, Summary):
        return one + other
    assert isinstance(one, Span)
    assert isinstance(other, Span)
    return Span(one.count + other.count, one.total + other.total, min(one.least, other.least),
                max(one.most, other.most), one.last + other.last)  # fmt: skip


@lru_cache(maxsize=4096)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, one.split("*"))) for one in patterns), re.DOTALL)


def _fits(patterns: tuple[str, ...], value: str) -> bool:
    return value in patterns or _pattern(patterns).fullmatch(value) is not None
