"""Metric families of one's own: registered once by name, then counted, set or observed like the cockpit's."""

import math
import os
import random
import re
from collections.abc import Callable, Sequence
from threading import Lock
from typing import ClassVar, TypeVar

from bedrock import text
from monitoring import counting
from monitoring.families import HTTP_BOUNDS, Family, Kind
from monitoring.services.recordings import (
    LONGEST_LABEL,
    BadRecording,
    dropped,
    label_of,
    number_of,
    organization_of,
    state,
)
from monitoring.store.samples import Labels

MOST_FAMILIES, MOST_LABELS, MOST_BOUNDS = 200, 8, 30
LEAST_RATE = 0.0001
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,49}")
_TAKEN = frozenset({"le", "quantile", "organization", "source", "amount", "value"})  # the last two of the verbs
_ENDINGS = ("_bucket", "_count", "_sum", "_info", "_created")  # they mean something to who reads metrics
_OWN = "cockpit_"


class BadFamily(ValueError):
    """A family that cannot be registered; the message names what is wrong and the limit."""


def _number(value: float, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadFamily(f"{name}: {str(value)[:60]!r} is not a number") from None


class Metric:
    """What every registered family has: its row of the dictionary and its labels."""

    kind: ClassVar[Kind]

    def __init__(self, name: str, help: str, labels: Sequence[str], sample_rate: float = 1.0) -> None:
        if isinstance(labels, str) or not all(isinstance(one, str) for one in (name, help, *labels)):
            raise BadFamily("name, help and each of the labels must be text, and labels a list of them")
        self.family = Family(name, self.kind, "business", help)
        self.labels = tuple(labels)
        self.sample_rate = _number(sample_rate, "sample_rate")
        self._sorted = tuple(sorted(self.labels))

    def _record(self, organization: str | None, labels: dict[str, object], keep: Callable[[str, Labels], None]) -> None:
        """Keep a recording, if it is one of the sample and can be kept at all."""
        if not state.metrics or (self.sample_rate < 1 and random.random() >= self.sample_rate):  # noqa: S311
            return
        try:
            if labels.keys() != set(self.labels):
                raise BadRecording(f"{self.family.name}: its labels are {', '.join(self._sorted) or 'none'}")
            keep(organization_of(organization), tuple((name, label_of(labels[name], name)) for name in self._sorted))
        except Exception as problem:  # whatever it is, the caller's work goes on
            dropped(self.kind, "invalid", why=str(problem))


class Counter(Metric):
    """What only grows."""

    kind = "counter"

    def add(self, /, amount: float = 1.0, *, organization: str | None = None, **labels: object) -> None:
        """Let it grow by an amount of at least 0."""

        def keep(slug: str, found: Labels) -> None:
            weighed = number_of(amount, "amount", least=0) / self.sample_rate
            counting.table.add(slug, self.family.name, found, weighed)

        self._record(organization, labels, keep)


class Gauge(Metric):
    """What goes up and down: its newest value is a sample every ten seconds, for as long as the process lives."""

    kind = "gauge"

    def set(self, /, value: float, *, organization: str | None = None, **labels: object) -> None:
        """Say what it is now. Processes that set the same series overwrite each other: give each a label."""

        def keep(slug: str, found: Labels) -> None:
            counting.table.set(slug, self.family.name, found, number_of(value, "value"))

        self._record(organization, labels, keep)


class Histogram(Metric):
    """How values spread: how many were at most each of `bounds`, how many there were, and their sum."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str],
        sample_rate: float = 1.0,
        bounds: Sequence[float] = HTTP_BOUNDS,
    ) -> None:
        super().__init__(name, help, labels, sample_rate)
        self.bounds = tuple(_number(bound, "bounds") for bound in bounds)

    def observe(self, /, value: float, *, organization: str | None = None, **labels: object) -> None:
        """Count a value, which is at least 0: its sum is a counter too."""

        def keep(slug: str, found: Labels) -> None:
            seen = number_of(value, "value", least=0)
            counting.table.observe(slug, self.family.name, found, seen, self.bounds, self._weight())

        self._record(organization, labels, keep)

    def _weight(self) -> float:
        """What a kept value counts for: whole, as counts of a histogram must be, and on average 1 / sample_rate."""
        whole, rest = divmod(1 / self.sample_rate, 1)
        return whole + 1 if rest and random.random() < rest else whole  # noqa: S311


Kept = TypeVar("Kept", bound=Metric)
_lock = Lock()
_registered: dict[str, Metric] = {}  # by what OpenMetrics calls them: there a counter's name has no _total


def _begin() -> None:
    """After a fork the parent's lock may be held for ever."""
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_begin)


def _faults(metric: Metric) -> str | None:
    """What is wrong with a family, or None."""
    name, labels = metric.family.name, metric.labels
    if not _NAME.fullmatch(name):
        return "name: must be at most 100 lower-case letters, digits and _, a letter first"
    if name.startswith(_OWN):
        return f"name: those that begin with {_OWN} are the cockpit's own"
    if (metric.kind == "counter") != name.endswith("_total"):
        return "name: must end with _total for a counter, and for nothing else"
    if name.endswith(_ENDINGS):
        return f"name: must not end with {', '.join(_ENDINGS)}"
    if problem := text.text_problem(metric.family.help, LONGEST_LABEL):
        return f"help: {problem}"
    if len(labels) > MOST_LABELS or len(set(labels)) != len(labels):
        return f"labels: at most {MOST_LABELS}, each once"
    for label in labels:
        if not _LABEL.fullmatch(label) or label in _TAKEN:
            return f"labels: {label[:60]!r} must be at most 50 lower-case letters, digits and _, and not a taken name"
    if not LEAST_RATE <= metric.sample_rate <= 1:
        return f"sample_rate: must be at least {LEAST_RATE} and at most 1"
    return _fault_of_bounds(metric.bounds) if isinstance(metric, Histogram) else None


def _fault_of_bounds(bounds: tuple[float, ...]) -> str | None:
    rising = all(map(math.isfinite, bounds)) and list(bounds) == sorted(set(bounds))
    if not 1 <= len(bounds) <= MOST_BOUNDS or not rising:
        return f"bounds: 1 to {MOST_BOUNDS} finite numbers, each above the one before"
    return None


def register(metric: Kept) -> Kept:
    """Take a family in; the same one again is the one that is there already.

    Raises:
        BadFamily: when it cannot be one, or another one has its name.
    """
    if fault := _faults(metric):
        raise BadFamily(fault)
    family = metric.family
    base = family.name.removesuffix("_total")
    with _lock:
        known = _registered.get(base)
        if known is not None:
            if not isinstance(known, type(metric)) or not _same(known, metric):
                raise BadFamily(f"name: {known.family.name} is registered already, as another {known.kind}")
            return known
        if len(_registered) >= MOST_FAMILIES:
            raise BadFamily(f"name: at most {MOST_FAMILIES} families of one's own a process")
        _registered[base] = metric
    # Told to the store, so that a scrape of another process knows what the family is.
    told = (("family", family.name), ("help", family.help), ("kind", family.kind))
    counting.table.add("shared", "cockpit_custom_families_total", told)
    return metric


def _same(one: Metric, other: Metric) -> bool:
    bounds = [metric.bounds if isinstance(metric, Histogram) else () for metric in (one, other)]
    alike = one.family == other.family and one.labels == other.labels and one.sample_rate == other.sample_rate
    return alike and bounds[0] == bounds[1]


def registered() -> list[Family]:
    """The families of one's own that this process has registered, by name."""
    with _lock:
        return [_registered[name].family for name in sorted(_registered)]


def forget() -> None:
    """Start as a new process would."""
    with _lock:
        _registered.clear()
