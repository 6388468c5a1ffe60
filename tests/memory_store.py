"""The store's in-memory twin: plain lists and brute force, so that its answers can be checked by eye."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from bedrock import identifiers
from monitoring.histogram import BOUNDS_US, BUCKETS
from monitoring.store.base import Call, Groups, Inference, OutOfScope, Query, SteppedGroups, Stored, Summary
from organizations.scope import Scope
from tests.memory_samples import MemorySamples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
_KEYS_KEPT = timedelta(days=8)
_USERS_KEPT = timedelta(days=400)
_CAPPED = ("error_type", "endpoint", "model", "provider")


def inference(at: datetime, **changes: Any) -> Inference:
    """An inference of swaggystacks that gives nothing but what it must, changed as told."""
    plain: dict[str, Any] = {
        "organization": "swaggystacks",
        "occurred_ms": identifiers.milliseconds(at),
        "model": "llama",
        "provider": "",
        "endpoint": "",
        "status": "success",
        "error_type": "",
        "attempt": 1,
        "estimated": False,
        "source": "live",
        "duration_us": 120_000,
    }
    unknown = dict.fromkeys(set(Inference.__struct_fields__) - set(plain))
    return Inference(**{**unknown, **plain, **changes})


@dataclass
class Limits:
    """What an organization's row says."""

    raw_days: int = 30
    max_names: int = 500


@dataclass
class Row:
    """One stored inference: as it was sent, as the rollups name it, and whether it is kept as a single row."""

    id: str
    sent: Inference
    named: Inference
    single: bool

    @property
    def at(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self.sent.occurred_ms)


@dataclass
class Key:
    content: bytes | None
    id: str
    made: datetime


@dataclass
class MemoryStore(MemorySamples):
    """See `monitoring.store.base.Store`; retention of rollups is left out, because nothing here is ever too old."""

    limits: dict[str, Limits] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    keys: dict[tuple[str, bytes], Key] = field(default_factory=dict)
    names: set[tuple[str, Any, str, str]] = field(default_factory=set)
    people: set[tuple[str, str, date, str]] = field(default_factory=set)  # organization, source, day, user hash
    unfolded: int = 0

    def append(self, scope: Scope, inferences: Sequence[Inference], *, now: datetime) -> list[Stored]:
        for one in inferences:
            if one.organization not in scope:
                raise OutOfScope(one.organization)
        results, new = [], []
        for one in inferences:
            result = self._claim(one, now)
            results.append(result)
            if result.outcome == "stored":
                new.append((result.id, one))
        self._let_names_in([one for _, one in new])
        for identifier, one in new:
            oldest = now - timedelta(days=self._limits(one.organization).raw_days)
            single = EPOCH + timedelta(milliseconds=one.occurred_ms) >= _whole_ms(oldest)
            self.rows.append(Row(identifier, one, self._named(one), single))
            day = self.rows[-1].at.date()
            if one.user_hash is not None and day >= (now - _USERS_KEPT).date():
                self.people.add((one.organization, one.source, day, one.user_hash))
        self.unfolded += len(new)
        return results

    def _claim(self, one: Inference, now: datetime) -> Stored:
        new = Stored(str(identifiers.uuid7(one.occurred_ms)), "stored")
        if one.key is None:
            return new
        known = self.keys.get((one.organization, one.key))
        if known is None:
            self.keys[one.organization, one.key] = Key(one.content, new.id, now)
            return new
        return Stored(known.id, "duplicate" if known.content == one.content else "conflict")

    def _limits(self, organization: str) -> Limits:
        return self.limits.setdefault(organization, Limits())

    def _let_names_in(self, new: Sequence[Inference]) -> None:
        """In the order of the alphabet within a batch; "" is no name."""
        for name in sorted({name for one in new for name in _names(one)}):
            organization, day, kind, _ = name
            taken = [other for other in self.names if other[:3] == (organization, day, kind)]
            if name not in self.names and len(taken) < self._limits(organization).max_names:
                self.names.add(name)

    def _named(self, one: Inference) -> Inference:
        refused = {kind: "__other__" for _, _, kind, _ in set(_names(one)) - self.names}
        return msgspec.structs.replace(one, **refused)

    def totals(self, scope: Scope, queries: Sequence[Query]) -> list[Groups]:
        return [_grouped(self._found(scope, query), query) for query in queries]

    def series(self, scope: Scope, queries: Sequence[Query], *, step_seconds: int) -> list[SteppedGroups]:
        answers: list[SteppedGroups] = []
        for query in queries:
            steps: dict[datetime, list[Inference]] = {}
            for one in self._found(scope, query):
                start = EPOCH + timedelta(seconds=one.occurred_ms // 1000 // step_seconds * step_seconds)
                steps.setdefault(start, []).append(one)
            answer: dict[tuple[str, ...], list[tuple[datetime, Summary]]] = {}
            for start in sorted(steps):
                for group, summary in _grouped(steps[start], query).items():
                    answer.setdefault(group, []).append((start, summary))
            answers.append(answer)
        return answers

    def _found(self, scope: Scope, query: Query) -> list[Inference]:
        return [
            row.named
            for row in self.rows
            if row.sent.organization in scope
            and query.start <= row.at < query.end
            and (query.sources is None or row.sent.source in query.sources)
            and (query.statuses is None or row.sent.status in query.statuses)
        ]

    def latest(
        self,
        scope: Scope,
        organization: str,
        *,
        limit: int,
        sources: Sequence[str] | None = None,
        before: datetime | None = None,
    ) -> list[Call]:
        now = datetime.now(UTC)
        since = now - timedelta(days=self._limits(organization).raw_days)
        found = [
            row
            for row in self.rows
            if organization in scope
            and row.sent.organization == organization
            and row.single
            and since <= row.at < (before or now + DAY)
            and (sources is None or row.sent.source in sources)
        ]
        return [_call(row) for row in sorted(found, key=lambda row: row.at, reverse=True)[:limit]]

    def users(
        self, scope: Scope, start: date, end: date, *, sources: Sequence[str] | None = None
    ) -> dict[str, dict[date, int]]:
        found: dict[str, dict[date, set[str]]] = {}
        for organization, source, day, person in self.people:
            if organization in scope and start <= day < end and (sources is None or source in sources):
                found.setdefault(organization, {}).setdefault(day, set()).add(person)
        return {organization: {day: len(days[day]) for day in sorted(days)} for organization, days in found.items()}

    def fold(self) -> int:
        moved, self.unfolded = self.unfolded, 0
        return moved

    def prepare(self, *, now: datetime) -> None:
        """A list takes any day."""

    def expire(self, *, now: datetime) -> None:
        for place, row in enumerate(self.rows):
            if row.at < now - timedelta(days=self._limits(row.sent.organization).raw_days):
                self.rows[place] = replace(row, single=False)
        self.keys = {name: key for name, key in self.keys.items() if key.made >= now - _KEYS_KEPT}
        self.people = {one for one in self.people if one[2] >= (now - _USERS_KEPT).date()}

    def erase(self, scope: Scope, *, source: str) -> int:
        kept = [row for row in self.rows if row.sent.source != source or row.sent.organization not in scope]
        erased, self.rows = len(self.rows) - len(kept), kept
        self.people = {one for one in self.people if one[1] != source or one[0] not in scope}
        self.readings = [one for one in self.readings if one.key.source != source or one.key.organization not in scope]
        return erased


def _whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _names(one: Inference) -> list[tuple[str, Any, str, str]]:
    day = (EPOCH + timedelta(milliseconds=one.occurred_ms)).date()
    return [(one.organization, day, kind, getattr(one, kind)) for kind in _CAPPED if getattr(one, kind)]


def _grouped(found: Sequence[Inference], query: Query) -> dict[tuple[str, ...], Summary]:
    groups: dict[tuple[str, ...], list[Inference]] = {}
    for one in found:
        group = tuple(one.organization if name == "organization_id" else getattr(one, name) for name in query.by)
        groups.setdefault(group, []).append(one)
    sums = {group: summed(rows) for group, rows in groups.items()}
    left = {name: value for name, value in msgspec.structs.asdict(Summary()).items() if name not in query.fields}
    return {group: msgspec.structs.replace(one, **left) for group, one in sums.items()}


def summed(rows: Sequence[Inference]) -> Summary:
    """The summary of a list, straight from what the measures mean."""
    costs = [one.cost for one in rows if one.cost is not None]
    revenues = [one.revenue for one in rows if one.revenue is not None]
    ttfts = [one.ttft_us for one in rows if one.ttft_us is not None]
    with localcontext(prec=500):
        cost = sum(costs, Decimal(0)) if costs else None
        revenue = sum(revenues, Decimal(0)) if revenues else None
    return Summary(
        inferences=len(rows),
        errors=sum(one.status in ("error", "timeout", "rate_limited") for one in rows),
        estimated=sum(one.estimated for one in rows),
        retries=sum(one.attempt > 1 for one in rows),
        input_tokens=sum(one.input_tokens or 0 for one in rows),
        output_tokens=sum(one.output_tokens or 0 for one in rows),
        cache_read_tokens=sum(one.cache_read_tokens or 0 for one in rows),
        cache_write_tokens=sum(one.cache_write_tokens or 0 for one in rows),
        reasoning_tokens=sum(one.reasoning_tokens or 0 for one in rows),
        cost=cost,
        unpriced=len(rows) - len(costs),
        revenue=revenue,
        with_revenue=len(revenues),
        duration_us=sum(one.duration_us for one in rows),
        ttft_us=sum(ttfts),
        with_ttft=len(ttfts),
        durations=histogram([one.duration_us for one in rows]),
        ttfts=histogram(ttfts),
    )


def histogram(durations_us: Sequence[int]) -> tuple[int, ...]:
    """Each value in the first bucket whose bound it does not pass; the last one takes all that pass every bound."""
    counts = [0] * BUCKETS
    for value in durations_us:
        counts[next((place for place, bound in enumerate(BOUNDS_US) if value <= bound), BUCKETS - 1)] += 1
    return tuple(counts)


def _call(row: Row) -> Call:
    sent = row.sent
    return Call(
        id=row.id,
        organization=sent.organization,
        occurred_at=row.at,
        model_name=sent.model,
        provider=sent.provider,
        endpoint_id=sent.endpoint,
        status=sent.status,
        error_type=sent.error_type,
        duration_ms=sent.duration_us / 1000,
        ttft_ms=None if sent.ttft_us is None else sent.ttft_us / 1000,
        input_tokens=sent.input_tokens,
        output_tokens=sent.output_tokens,
        cost=sent.cost,
        estimated=sent.estimated,
        source=sent.source,
    )
