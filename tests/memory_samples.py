"""The twin's samples and counters: every reading in one list, and each answer worked out anew from it."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bedrock import identifiers
from monitoring.store.base import OutOfScope
from monitoring.store.samples import Increment, Labels, Level, Sample, Span, Spans, Trace
from organizations.scope import Scope

CAP, PLATFORM_CAP = 2_000, 20_000
_WEEK = timedelta(days=7)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SINGLE = timedelta(days=2)


@dataclass(frozen=True)
class Key:
    organization: str
    family: str
    labels: Labels
    source: str
    counted: bool  # a counter of our own


@dataclass(frozen=True)
class Reading:
    """One sample, or one increment with what its counter came to."""

    key: Key
    at_ms: int
    read_ms: int  # when its value was true: a late increment tells the counter as it is now
    value: float
    added: float  # to the total of its step

    @property
    def at(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.at_ms)


@dataclass
class MemorySamples:
    readings: list[Reading] = field(default_factory=list)

    def observe(
        self, scope: Scope, samples: Sequence[Sample], increments: Sequence[Increment] = (), *, now: datetime
    ) -> None:
        given: list[Sample | Increment] = [*samples, *increments]
        for one in given:
            if one.organization not in scope:
                raise OutOfScope(one.organization)
        for sample in samples:
            if not math.isfinite(sample.value):
                raise ValueError(f"{sample.family}: {sample.value}")
        for increment in increments:
            if not (math.isfinite(increment.amount) and increment.amount >= 0):
                raise ValueError(f"{increment.family}: {increment.amount}")
        admitted: list[tuple[Key, Sample | Increment]] = []
        overflow: list[Increment] = []
        let_in = {reading.key for reading in self.readings}
        heard = {one.key for one in self.readings if one.key.counted or one.at >= now - _WEEK}
        taken = Counter((key.organization, key.source) for key in heard)
        for one in given:
            key = Key(one.organization, one.family, one.labels, one.source, isinstance(one, Increment))
            cap = PLATFORM_CAP if one.organization == "shared" else CAP
            full = taken[one.organization, one.source] >= cap
            if key not in let_in and full and _other(one.labels) != one.labels:
                key = Key(one.organization, one.family, _other(one.labels), one.source, key.counted)
                overflow.append(_overflow(one))
            taken[one.organization, one.source] += key not in let_in
            let_in.add(key)
            admitted.append((key, one))
        for extra in overflow:
            admitted.append((Key(extra.organization, extra.family, extra.labels, extra.source, True), extra))
        for key, one in sorted(admitted, key=lambda entry: entry[1].at_ms):
            self._keep(key, one, identifiers.milliseconds(now - _SINGLE))

    def _keep(self, key: Key, one: Sample | Increment, single_since: int) -> None:
        before = [reading for reading in self.readings if reading.key == key]
        newest = max(before, key=lambda reading: reading.read_ms, default=None)
        if isinstance(one, Increment):
            value = one.amount + (before[-1].value if before else 0.0)
            read_ms = max(one.at_ms, newest.read_ms) if newest else one.at_ms
            self.readings.append(Reading(key, one.at_ms, read_ms, value, one.amount))
            return
        if one.at_ms >= single_since and any(reading.at_ms == one.at_ms for reading in before):
            return
        added = one.value
        if key.family.endswith("_total"):
            growth = one.value - newest.value if newest and one.value >= newest.value else one.value
            late = newest is None or one.at_ms <= newest.at_ms
            several = key.labels != () and key.labels == _other(key.labels)  # running totals that nobody can tell apart
            added = 0.0 if late or several else growth
        self.readings.append(Reading(key, one.at_ms, one.at_ms, one.value, added))

    def levels(self, scope: Scope, *, since: datetime, families: Collection[str] | None = None) -> list[Level]:
        return [level for level in self._newest(scope, families, counted=False) if level.at >= since]

    def counters(self, scope: Scope, *, families: Collection[str] | None = None) -> list[Level]:
        return self._newest(scope, families, counted=True)

    def _newest(self, scope: Scope, families: Collection[str] | None, *, counted: bool) -> list[Level]:
        newest: dict[Key, Reading] = {}
        for one in self.readings:
            key = one.key
            wanted = key.organization in scope and (families is None or key.family in families)
            wanted = wanted and key.source == "live" and key.counted == counted
            # A second sample of a moment changes no level; a counter is what its last increment made it.
            if wanted and (key not in newest or one.read_ms >= newest[key].read_ms + (not counted)):
                newest[key] = one
        found = [
            Level(key.organization, key.family, key.labels, _EPOCH + timedelta(milliseconds=one.read_ms), one.value)
            for key, one in newest.items()
        ]
        return sorted(found, key=lambda level: (level.organization, level.family, level.labels))

    def history(self, scope: Scope, traces: Sequence[Trace], *, step_seconds: int) -> list[Spans]:
        return [self._traced(scope, trace, step_seconds) for trace in traces]

    def _traced(self, scope: Scope, trace: Trace, step_seconds: int) -> Spans:
        found: dict[Labels, dict[datetime, list[Reading]]] = {}
        for one in self.readings:
            key = one.key
            if (
                key.organization in scope
                and (key.organization, key.family) == (trace.organization, trace.family)
                and set(trace.where) <= set(key.labels)
                and trace.start <= one.at < trace.end
                and (trace.sources is None or key.source in trace.sources)
            ):
                joined = key.labels if trace.by is None else tuple(pair for pair in key.labels if pair[0] in trace.by)
                start = _EPOCH + timedelta(seconds=one.at_ms // 1000 // step_seconds * step_seconds)
                found.setdefault(joined, {}).setdefault(start, []).append(one)
        return {labels: [(start, _span(steps[start])) for start in sorted(steps)] for labels, steps in found.items()}


def _span(readings: Sequence[Reading]) -> Span:
    lasts: dict[Key, Reading] = {}
    for one in readings:
        if one.key not in lasts or one.read_ms >= lasts[one.key].read_ms:
            lasts[one.key] = one
    values = [one.value for one in readings]
    return Span(
        count=len(readings),
        total=math.fsum(one.added for one in readings),
        least=min(values),
        most=max(values),
        last=math.fsum(one.value for one in lasts.values()),
    )


def _other(labels: Labels) -> Labels:
    return tuple((name, "__other__") for name, _ in labels)


def _overflow(one: Sample | Increment) -> Increment:
    return Increment(
        organization=one.organization,
        family="cockpit_series_overflow_total",
        labels=(("family", one.family),),
        at_ms=one.at_ms,
        amount=1.0,
        source=one.source,
    )
