"""The Store protocol, and the frozen values that cross it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import add
from typing import Any, Literal, Protocol

import msgspec

from bedrock import money
from monitoring import histogram
from monitoring.store.samples import Increment, Level, Sample, Spans, Trace
from organizations.scope import Scope

Outcome = Literal["stored", "duplicate", "conflict"]
Dimension = Literal["organization_id", "model", "provider", "endpoint", "status", "error_type", "source"]
Buckets = tuple[int, ...]
HISTOGRAMS = ("durations", "ttfts")  # of a summary's fields: how many fell in each bucket of `histogram`
MONEY = ("cost", "revenue")  # those that are None where none was known
NO_BUCKETS = (0,) * histogram.BUCKETS  # the very one that stands where they were not asked for


class Inference(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One model call, validated. Times in milliseconds since 1970 UTC, durations in whole microseconds.

    "" stands for a name that was not given, None for a number that is not known. `key` and `content` are the 16-byte
    idempotency key and the hash of what was sent with it, or None for an inference that carries no key.
    """

    organization: str
    occurred_ms: int
    model: str
    provider: str
    endpoint: str
    status: str
    error_type: str
    attempt: int
    estimated: bool
    source: str
    duration_us: int
    ttft_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost: Decimal | None
    revenue: Decimal | None
    user_hash: str | None
    trace_id: str | None
    span_id: str | None
    tags: Mapping[str, Any] | None
    key: bytes | None = None
    content: bytes | None = None


class Stored(msgspec.Struct, frozen=True, gc=False):
    """What became of one inference: its public id (of the first one, for a duplicate), and how."""

    id: str
    outcome: Outcome


class Summary(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Inferences of one group added up; money is None when none was known, `estimated` counts derived durations."""

    inferences: int = 0
    errors: int = 0
    estimated: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    unpriced: int = 0
    revenue: Decimal | None = None
    with_revenue: int = 0
    duration_us: int = 0
    ttft_us: int = 0
    with_ttft: int = 0
    durations: Buckets = NO_BUCKETS
    ttfts: Buckets = NO_BUCKETS

    def quantile_ms(self, q: float) -> float | None:
        return histogram.quantile_ms(self.durations, q)

    def __add__(self, other: "Summary") -> "Summary":
        added: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        for name in MONEY:
            added[name] = money.add(getattr(self, name), getattr(other, name))
        for name in HISTOGRAMS:
            added[name] = with_buckets(getattr(self, name), getattr(other, name), add)
        return Summary(**added)


def with_buckets(held: Buckets, other: Buckets, change: Callable[[int, int], int]) -> Buckets:
    """Those that are held, with others added or taken away."""
    return held if other is NO_BUCKETS else tuple(map(change, held, other))


COUNTS = tuple(name for name in Summary.__struct_fields__ if name not in (*MONEY, *HISTOGRAMS))
USUAL = frozenset(Summary.__struct_fields__) - {"ttfts"}  # 63 more sums, which nearly nobody looks at


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Inferences of [start, end) grouped by dimensions; both ends fall on whole minutes.

    `sources` and `statuses` keep only those named; None keeps all. Of the summaries only `fields` are added up, and
    all others stay as they are in an empty one.
    """

    start: datetime
    end: datetime
    by: tuple[Dimension, ...] = ()
    sources: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    fields: frozenset[str] = USUAL


Groups = Mapping[tuple[str, ...], Summary]
# Group -> (start of the step, summary), in order of time; steps without inferences are left out.
SteppedGroups = Mapping[tuple[str, ...], Sequence[tuple[datetime, Summary]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One stored inference, for people to read."""

    id: str
    organization: str
    occurred_at: datetime
    model_name: str
    provider: str
    endpoint_id: str
    status: str
    error_type: str
    duration_ms: float
    ttft_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    estimated: bool
    source: str


class OutOfScope(Exception):
    """A row of an organization that the entered scope does not hold."""


class PartitionMissing(Exception):
    """No partition takes a row of that day yet; `prepare` makes it, and the sender may try again."""


class Store(Protocol):
    """Where inferences and samples are kept and added up; every verb takes batches."""

    def append(self, scope: Scope, inferences: Sequence[Inference], *, now: datetime) -> list[Stored]:
        """Store all of them durably in one transaction, or none; duplicates and conflicts by key store nothing.

        Raises:
            OutOfScope: for an organization outside `scope`.
            PartitionMissing: when a day has no partition.
        """

    def totals(self, scope: Scope, queries: Sequence[Query]) -> list[Groups]:
        """Each query's groups, never staler than the last committed append."""

    def series(self, scope: Scope, queries: Sequence[Query], *, step_seconds: int) -> list[SteppedGroups]:
        """Each query's groups by steps of `step_seconds`, counted from 1970 UTC."""

    def latest(self, scope: Scope, organization: str, *, limit: int, sources: Sequence[str] | None = None,
               before: datetime | None = None) -> list[Call]:  # fmt: skip
        """The newest stored inferences, newest first; only those before a time, if one is given."""

    def users(self, scope: Scope, start: date, end: date, *,
              sources: Sequence[str] | None = None) -> Mapping[str, Mapping[date, int]]:  # fmt: skip
        """Organization -> UTC day of [start, end) -> distinct people who called a model; days without any left out.

        People are told apart by their `user_hash`; somebody of two sources counts once, of two days on each.
        """

    def observe(self, scope: Scope, samples: Sequence[Sample], increments: Sequence[Increment] = (), *,
                now: datetime) -> None:  # fmt: skip
        """Keep all of them durably in one transaction, or none.

        A second sample of a series for the same moment changes nothing, as long as single samples are kept (2 days);
        older ones count in the rollups alone, each time they are sent. Of a running total the growth since the newest
        sample is added up: nothing for the first one and for late ones, the value itself after a fall. A new series
        beyond the 2,000 of its organization and source (20,000 of `shared`) is kept as one whose label values are all
        `__other__`, and its readings are counted in cockpit_series_overflow_total{family}; a running total kept so
        tells no growth. Series of samples that have been silent for a week do not count.

        Raises:
            OutOfScope: for an organization outside `scope`.
            ValueError: for a value that is not finite, or an amount below 0; names the family.
            PartitionMissing: when a day has no partition.
        """

    def levels(self, scope: Scope, *, since: datetime, families: Collection[str] | None = None) -> list[Level]:
        """The newest sample of each live series that was read since then, by organization, family and labels."""

    def counters(self, scope: Scope, *, families: Collection[str] | None = None) -> list[Level]:
        """The running totals of our own live counters, never less than they were; in the same order."""

    def history(self, scope: Scope, traces: Sequence[Trace], *, step_seconds: int) -> list[Spans]:
        """Each trace's answer by steps of `step_seconds` (whole minutes), counted from 1970 UTC.

        Joined series add up in count, total and last (of those that have one in the step), and have the least and the
        most of any; so `mean` is that of all readings. Before minute retention an edge is widened to its whole hour.
        Nothing for an organization outside `scope`.
        """

    def fold(self) -> int:
        """Move deltas into the rollups, exactly once; the number moved (0 when another folder is at work)."""

    def prepare(self, *, now: datetime) -> None:
        """Make what the next days need."""

    def expire(self, *, now: datetime) -> None:
        """Delete what retention no longer keeps."""

    def erase(self, scope: Scope, *, source: str) -> int:
        """Remove every inference, user, sample and counter of one source; the number of inferences that were counted.

        Exact while others write and fold: what was committed before its last look is gone whole, what comes later
        stays whole. Keys stay, so that a repetition stores nothing erased again, and so do the names that an
        organization's caps have let in.
        """
