"""The default store: Postgres, through the application's one database connection."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from monitoring import pubsub
from monitoring.store import erasing, folding, histories, observing, partitions, reading, users
from monitoring.store.base import Call, Groups, Inference, Query, SteppedGroups, Stored
from monitoring.store.samples import Increment, Level, Sample, Spans, Trace
from monitoring.store.writing import Appender
from organizations.scope import Scope

_FOLDS_A_VACUUM = 3


class PostgresStore:
    """See `monitoring.store.base.Store` for what each verb promises."""

    def __init__(self) -> None:
        self._appender = Appender()
        self._folds = 0

    def append(self, scope: Scope, inferences: Sequence[Inference], *, now: datetime) -> list[Stored]:
        return self._appender.append(scope, inferences, now=now)

    def totals(self, scope: Scope, queries: Sequence[Query]) -> list[Groups]:
        return reading.totals(scope, queries)

    def series(self, scope: Scope, queries: Sequence[Query], *, step_seconds: int) -> list[SteppedGroups]:
        return reading.series(scope, queries, step_seconds=step_seconds)

    def latest(
        self,
        scope: Scope,
        organization: str,
        *,
        limit: int,
        sources: Sequence[str] | None = None,
        before: datetime | None = None,
    ) -> list[Call]:
        return reading.latest(scope, organization, limit=limit, sources=sources, before=before)

    def users(
        self, scope: Scope, start: date, end: date, *, sources: Sequence[str] | None = None
    ) -> Mapping[str, Mapping[date, int]]:
        return users.users(scope, start, end, sources=sources)

    def observe(
        self, scope: Scope, samples: Sequence[Sample], increments: Sequence[Increment] = (), *, now: datetime
    ) -> None:
        observing.observe(scope, samples, increments, now=now)

    def levels(self, scope: Scope, *, since: datetime, families: Collection[str] | None = None) -> list[Level]:
        return histories.levels(scope, since=since, families=families)

    def counters(self, scope: Scope, *, families: Collection[str] | None = None) -> list[Level]:
        return histories.counters(scope, families=families)

    def history(self, scope: Scope, traces: Sequence[Trace], *, step_seconds: int) -> list[Spans]:
        return histories.history(scope, traces, step_seconds=step_seconds)

    def fold(self) -> int:
        moved, organizations = folding.fold()
        if moved:
            pubsub.publish(organizations)
            self._folds += 1
            if self._folds % _FOLDS_A_VACUUM == 0:
                folding.vacuum()
        return moved

    def prepare(self, *, now: datetime) -> None:
        partitions.prepare(now=now)

    def expire(self, *, now: datetime) -> None:
        partitions.expire(now=now)

    def erase(self, scope: Scope, *, source: str) -> int:
        return erasing.erase(scope, source=source)
