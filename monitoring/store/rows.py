"""Inferences as the lines COPY takes: one a row, and one a group of equal rollup key (the delta)."""

import os
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from bedrock import identifiers, money
from monitoring import measures
from monitoring.histogram import BUCKETS, bucket_of
from monitoring.store.base import Inference

INFERENCE_COLUMNS = (
    "id, occurred_at, organization_id, model, provider, endpoint, status, error_type, attempt, estimated, source, "
    "duration_us, ttft_us, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, "
    "cost, revenue, user_hash, trace_id, span_id, tags"
)
DELTA_COLUMNS = ", ".join(
    (
        "organization_id",
        "bucket",
        *measures.DIMENSIONS,
        *measures.NAMES,
        *measures.DURATION_BUCKETS,
        *measures.TTFT_BUCKETS,
    )
)
_ZERO = Decimal(0)
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_encode = msgspec.json.Encoder().encode
_add = money.EXACT.add

GroupKey = tuple[str, int, str, str, str, str, str, str, bool]  # organization, minute (ms), the seven dimensions


def new_ids(inferences: Sequence[Inference]) -> list[str]:
    """A UUIDv7 for each, carrying its time; one read of the system's randomness serves them all."""
    random = os.urandom(10 * len(inferences))
    ids = []
    for position, inference in enumerate(inferences):
        bits = int.from_bytes(random[position * 10 : position * 10 + 10], "big")
        text = f"{identifiers.uuid7_int(inference.occurred_ms, bits):032x}"
        ids.append(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
    return ids


class _Escaped(dict[str, str]):
    """Names as COPY text, each worked out once: a batch repeats few of them."""

    def __missing__(self, name: str) -> str:
        found = self[name] = name.translate(_ESCAPES)
        return found


class _Moments:
    """Times in milliseconds as timestamp text, whole seconds remembered: a batch shares few of them."""

    def __init__(self) -> None:
        self._seconds: dict[int, str] = {}

    def text(self, at_ms: int) -> str:
        second, rest = divmod(at_ms, 1000)
        found = self._seconds.get(second)
        if found is None:
            moment = identifiers.EPOCH + identifiers.MILLISECOND * (second * 1000)
            found = self._seconds[second] = moment.strftime("%Y-%m-%d %H:%M:%S")
        return f"{found}.{rest:03d}+00"


def inference_lines(ids: Iterable[str], inferences: Iterable[Inference]) -> str:
    """The COPY text of single inferences."""
    moments, escaped = _Moments(), _Escaped()
    lines = []
    for identifier, one in zip(ids, inferences, strict=True):
        tags = _NULL if not one.tags else _encode(one.tags).decode().translate(_ESCAPES)
        lines.append(
            f"{identifier}\t{moments.text(one.occurred_ms)}\t{one.organization}\t{escaped[one.model]}\t"
            f"{escaped[one.provider]}\t{escaped[one.endpoint]}\t{one.status}\t"
            f"{escaped[one.error_type]}\t{one.attempt}\t{one.estimated:d}\t{one.source}\t{one.duration_us}\t"
            f"{_text(one.ttft_us)}\t{_text(one.input_tokens)}\t{_text(one.output_tokens)}\t"
            f"{_text(one.cache_read_tokens)}\t{_text(one.cache_write_tokens)}\t{_text(one.reasoning_tokens)}\t"
            f"{_text(one.cost)}\t{_text(one.revenue)}\t{one.user_hash or _NULL}\t{one.trace_id or _NULL}\t"
            f"{one.span_id or _NULL}\t{tags}\n"
        )
    return "".join(lines)


def _text(value: int | Decimal | None) -> str:
    return _NULL if value is None else str(value)


class Group:
    """What one delta adds up."""

    __slots__ = ("cost", "counts", "durations", "revenue", "ttfts")

    def __init__(self) -> None:
        self.counts = [0] * 12  # the measures that are whole numbers, in the order of `line`
        self.cost = self.revenue = _ZERO
        self.durations = [0] * BUCKETS
        self.ttfts = [0] * BUCKETS

    def add(self, one: Inference) -> None:
        counts = self.counts
        counts[0] += 1
        counts[1] += one.attempt > 1
        counts[2] += one.input_tokens or 0
        counts[3] += one.output_tokens or 0
        counts[4] += one.cache_read_tokens or 0
        counts[5] += one.cache_write_tokens or 0
        counts[6] += one.reasoning_tokens or 0
        if one.cost is None:
            counts[7] += 1
        else:
            self.cost = _add(self.cost, one.cost)
        if one.revenue is not None:
            counts[8] += 1
            self.revenue = _add(self.revenue, one.revenue)
        counts[9] += one.duration_us
        self.durations[bucket_of(one.duration_us)] += 1
        if one.ttft_us is not None:
            counts[10] += one.ttft_us
            counts[11] += 1
            self.ttfts[bucket_of(one.ttft_us)] += 1

    def merge(self, other: "Group") -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.cost = _add(self.cost, other.cost)
        self.revenue = _add(self.revenue, other.revenue)
        self.durations = [mine + theirs for mine, theirs in zip(self.durations, other.durations, strict=True)]
        self.ttfts = [mine + theirs for mine, theirs in zip(self.ttfts, other.ttfts, strict=True)]

    def line(self, key: GroupKey, minute: str) -> str:
        counts = self.counts
        organization, _, model, provider, endpoint, status, error_type, source, estimated = key
        head = (
            f"{organization}\t{minute}\t{model.translate(_ESCAPES)}\t{provider.translate(_ESCAPES)}\t"
            f"{endpoint.translate(_ESCAPES)}\t{status}\t{error_type.translate(_ESCAPES)}\t{source}\t{estimated:d}"
        )
        added = (*counts[:7], self.cost, counts[7], self.revenue, *counts[8:])
        return f"{head}\t{chr(9).join(map(str, (*added, *self.durations, *self.ttfts)))}\n"


def group(inferences: Iterable[Inference]) -> dict[GroupKey, Group]:
    """The inferences added up by organization, minute and dimensions."""
    groups: dict[GroupKey, Group] = {}
    for one in inferences:
        key = (one.organization, one.occurred_ms - one.occurred_ms % 60_000, one.model, one.provider, one.endpoint,
               one.status, one.error_type, one.source, one.estimated)  # fmt: skip
        found = groups.get(key)
        if found is None:
            found = groups[key] = Group()
        found.add(one)
    return groups


def delta_lines(groups: dict[GroupKey, Group]) -> str:
    """The COPY text of the groups."""
    moments = _Moments()
    return "".join(group.line(key, moments.text(key[1])) for key, group in groups.items())
