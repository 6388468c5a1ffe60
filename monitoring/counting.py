"""What this process counts: a bounded table, written to the store every two seconds and when the process ends."""

import math
import os
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from threading import Event, Lock, RLock, Thread, current_thread

import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, ProgrammingError, connection

from bedrock import identifiers
from monitoring.store import current_store
from monitoring.store.base import OutOfScope
from monitoring.store.samples import Increment, Labels, Sample
from organizations.models import Organization
from organizations.scope import Scope

log = structlog.get_logger(__name__)

MOST_SERIES = 5_000  # in one process; what finds the table full is counted by its family
LEVELS_EVERY = 10.0  # seconds between two samples of a level
OVERFLOW, DROPPED = "cockpit_counting_overflow_total", "cockpit_recordings_dropped_total"
_PATIENCE = 5.0  # seconds to wait for a write under way
_LAST_PATIENCE = 10.0  # seconds that the end of the process waits for its last write
_QUIET = 60.0  # seconds between two warnings that counts were refused
_MOST_TOLD = 20_000  # histograms whose empty buckets the store was told of
# What the store will never take, however often it is asked.
REFUSED = (DataError, IntegrityError, ProgrammingError, OutOfScope, ValueError)

Key = tuple[str, str, Labels]  # organization, family, labels


@dataclass(slots=True)
class _Distribution:
    """Observations since the last write: how many in each bucket (the last one passes every bound), and their sum."""

    bounds: tuple[float, ...]
    buckets: list[float]
    total: float = 0.0


@dataclass(slots=True)
class _Held:
    """Everything counted since the last write, and the levels, which stay."""

    counts: dict[Key, float] = field(default_factory=dict)
    distributions: dict[Key, _Distribution] = field(default_factory=dict)
    levels: dict[Key, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.counts) + len(self.distributions) + len(self.levels)


class Table:
    """Counters, histograms and levels by organization, family and labels (sorted by name); safe to use in threads.

    Nothing here waits for the store. Label values are the caller's care: text that the store takes, and few of them.
    """

    def __init__(self, most: int = MOST_SERIES, wake: Callable[[], None] = lambda: None) -> None:
        self._most, self._wake = most, wake
        self.clear()

    def clear(self) -> None:
        """Forget everything, as a new process would."""
        self._lock = Lock()
        self._held = _Held()
        self._told: set[Key] = set()
        self._levels_at: datetime | None = None
        self._warned = -math.inf

    def add(self, organization: str, family: str, labels: Labels = (), amount: float = 1.0) -> None:
        """Let a counter grow by an amount of at least 0."""
        key = (organization, family, labels)
        with self._lock:
            counts = self._held.counts
            if key in counts:
                counts[key] += amount
            elif self._has_room(family):
                counts[key] = amount
        self._wake()

    def observe(self, organization: str, family: str, labels: Labels, value: float, bounds: tuple[float, ...],
                weight: float = 1.0) -> None:  # fmt: skip
        """Count a value in its bucket, as often as `weight` says."""
        key = (organization, family, labels)
        with self._lock:
            found = self._held.distributions.get(key)
            if found is None:
                if not self._has_room(family):
                    return
                found = self._held.distributions[key] = _Distribution(bounds, [0.0] * (len(bounds) + 1))
            found.buckets[bisect_left(found.bounds, value)] += weight
            found.total += value * weight
        self._wake()

    def set(self, organization: str, family: str, labels: Labels, value: float) -> None:
        """Set a level, which becomes a sample every ten seconds from now on."""
        key = (organization, family, labels)
        with self._lock:
            if key in self._held.levels or self._has_room(family):
                self._held.levels[key] = value
        self._wake()

    def _has_room(self, family: str) -> bool:
        """Whether another series fits; if not, that is counted beside the limit (there are few families)."""
        if len(self._held) < self._most:
            return True
        key = ("shared", OVERFLOW, (("family", family),))
        self._held.counts[key] = self._held.counts.get(key, 0.0) + 1.0
        return False

    def flush(self, now: datetime, *, last: bool = False) -> None:
        """Write what was counted; what cannot be written now is kept and written with what comes after it."""
        samples, increments = self._take(now, last=last)
        if not samples and not increments:
            return
        try:
            gone = missing(_organizations(samples, increments))
            if gone:
                raise OutOfScope(", ".join(sorted(gone)))
            _write(samples, increments, now)
        except REFUSED:
            self._write_apart(samples, increments, now)
        except Exception:
            self._put_back(increments)
            raise

    def _take(self, now: datetime, *, last: bool) -> tuple[list[Sample], list[Increment]]:
        at_ms = identifiers.milliseconds(now)
        with self._lock:
            due = last or self._levels_at is None or (now - self._levels_at).total_seconds() >= LEVELS_EVERY
            levels = dict(self._held.levels) if due else {}
            self._levels_at = now if due else self._levels_at
            counts, distributions = self._held.counts, self._held.distributions
            self._held = _Held(levels=self._held.levels)
        samples = [
            Sample(organization=organization, family=family, labels=labels, at_ms=at_ms, value=value)
            for (organization, family, labels), value in levels.items()
        ]
        grown = dict(counts)
        for key, found in distributions.items():
            for counted, amount in self._counters_of(key, found):
                grown[counted] = grown.get(counted, 0.0) + amount
        increments = [
            Increment(organization=organization, family=family, labels=labels, at_ms=at_ms, amount=amount)
            for (organization, family, labels), amount in grown.items()
        ]
        return samples, increments

    def _counters_of(self, key: Key, found: _Distribution) -> list[tuple[Key, float]]:
        """A histogram as the counters it is kept as; the first time with its empty buckets, so that none is missing."""
        organization, family, labels = key
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        first = key not in self._told
        self._told.add(key)
        counters: list[tuple[Key, float]] = []
        below = 0.0
        for bound, amount in zip((*map(bound_text, found.bounds), "+Inf"), found.buckets, strict=True):
            below += amount
            if below or first:
                bucket = tuple(sorted((*labels, ("le", bound))))
                counters.append(((organization, f"{family}_bucket", bucket), below))
        counters.append(((organization, f"{family}_count", labels), below))
        counters.append(((organization, f"{family}_sum", labels), found.total))
        return counters

    def _write_apart(self, samples: list[Sample], increments: list[Increment], now: datetime) -> None:
        """Each organization for itself, so that one that is gone keeps nobody else's counts from being written."""
        for organization in sorted(_organizations(samples, increments)):
            mine = [one for one in increments if one.organization == organization]
            try:
                if missing({organization}):
                    raise OutOfScope(organization)
                _write([one for one in samples if one.organization == organization], mine, now)
            except REFUSED as error:
                self._give_up(organization, len(mine), type(error).__name__)
            except Exception as error:
                log.warning("counts not written", organization=organization, reason=type(error).__name__)
                self._put_back(mine)

    def _give_up(self, organization: str, counts: int, reason: str) -> None:
        """Forget an organization's levels too, or they would be refused every ten seconds."""
        with self._lock:
            levels = [key for key in self._held.levels if key[0] == organization]
            for key in levels:
                del self._held.levels[key]
        self.add("shared", DROPPED, (("reason", "refused"), ("verb", "count")), float(counts + len(levels)))
        if time.monotonic() - self._warned >= _QUIET:
            self._warned = time.monotonic()
            log.warning("counts refused by the store", organization=organization, reason=reason)

    def _put_back(self, increments: list[Increment]) -> None:
        with self._lock:
            counts = self._held.counts
            for one in increments:
                key = (one.organization, one.family, one.labels)
                counts[key] = counts.get(key, 0.0) + one.amount


def _organizations(samples: list[Sample], increments: list[Increment]) -> set[str]:
    return {one.organization for one in samples} | {one.organization for one in increments}


_there: set[str] = set()  # slugs never change, and what was there once is believed to be


def missing(organizations: set[str]) -> set[str]:
    """Those of the slugs that name no organization."""
    if asked := organizations - _there:
        _there.update(Organization.objects.filter(slug__in=asked).values_list("slug", flat=True))
    return organizations - _there


def bound_text(bound: float) -> str:
    """A bucket's bound as its label `le` has it, to the last digit: 0.25, 1, 1048576."""
    return repr(float(bound)).removesuffix(".0")


def _write(samples: list[Sample], increments: list[Increment], now: datetime) -> None:
    current_store().observe(Scope.system("flush counters"), samples, increments, now=now)


class Flusher:
    """Writes what the process has gathered: every FLUSH_SECONDS in a thread of its own, and once more at its end.

    Each drain is called with (now, whether it is the last time); one that fails is asked again.
    """

    def __init__(self) -> None:
        self._drains: list[Callable[[datetime, bool], None]] = []
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A fork has neither the thread nor a use for a lock that it may hold."""
        self._lock, self._turn = RLock(), Lock()
        self._over = Event()
        self._thread: Thread | None = None
        self._at_the_end: Finalize | None = None
        self.failing_since: datetime | None = None

    def also(self, drain: Callable[[datetime, bool], None]) -> None:
        """Call this one too, before those that came earlier."""
        self._drains.insert(0, drain)

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    def resume(self) -> None:
        """Begin, also after an end."""
        if self.ended:
            self._begin()
        self.wake()

    def wake(self) -> None:
        """Start the thread, if this process has none yet; where none can be had now, the next recording tries again."""
        if self._thread is None and settings.FLUSH_SECONDS:
            with self._lock:
                self._start()

    def _start(self) -> None:
        if self._thread is not None:
            return
        if self._at_the_end is None:  # also for children of multiprocessing, where atexit is not
            self._at_the_end = Finalize(None, self.end, exitpriority=100)
        with suppress(RuntimeError):  # too many threads, or the interpreter ends: no reason to fail a request
            thread = Thread(target=self._run, name="flush", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        over = self._over
        while not over.wait(settings.FLUSH_SECONDS):
            self.flush()
        self.flush(last=True)

    def flush(self, *, last: bool = False) -> None:
        """Call every drain now; what goes wrong is told in the log."""
        if connection.in_atomic_block:  # the caller's, who may yet roll it back: written beside it
            helper = Thread(target=self.flush, kwargs={"last": last}, name="flush-beside", daemon=True)
            helper.start()
            helper.join(_PATIENCE)
            return
        if not self._turn.acquire(timeout=_PATIENCE):
            return  # a write hangs; nobody waits longer for it
        failed, borrowed = None, connection.connection is not None
        try:
            for drain in list(self._drains):
                try:
                    drain(datetime.now(UTC), last)
                except Exception as error:  # whatever it is, the others and the next turn must come
                    failed = error
        finally:
            if not borrowed:  # the caller's own stays as it was
                connection.close()
            self._turn.release()
        self._tell(failed)

    def _tell(self, failed: Exception | None) -> None:
        if failed is None:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = datetime.now(UTC)
            log.warning("counts not written; kept for the next time", reason=type(failed).__name__)

    def end(self) -> None:
        """Write the rest and stop the thread; what is recorded later is written when the process ends."""
        self._over.set()
        if self._thread is not None and self._thread.is_alive() and self._thread is not current_thread():
            self._thread.join(_LAST_PATIENCE)
        else:
            self.flush(last=True)


flusher = Flusher()
table = Table(wake=flusher.wake)
flusher.also(lambda now, last: table.flush(now, last=last))
os.register_at_fork(after_in_child=table.clear)  # what the parent counted, the parent writes
