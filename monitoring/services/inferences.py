"""Model calls recorded in process: kept in a bounded queue and handed to the one way in, some at a time."""

import os
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from threading import Lock
from typing import Any
from uuid import uuid4

import msgspec

from monitoring import counting, ingest
from monitoring.ingest import Item
from monitoring.services.recordings import BadRecording, dropped, organization_of
from monitoring.store.base import OutOfScope
from organizations.scope import Scope

MOST_WAITING, BATCH = 10_000, 1_000
VERB = "record_model_inference"


def item_of(model: str, duration_ms: float, cost: Decimal | float | str | None, more: dict[str, Any]) -> Item:
    """An inference as the API takes it, which happened now.

    It has a key of its own, so that one whose commit was never confirmed can be sent again and is stored once.

    Raises:
        BadRecording: naming the field.
    """
    fields = {"modelName": model, "durationMs": duration_ms, "occurredAt": datetime.now(UTC), **more, "source": "live"}
    fields["idempotencyKey"] = fields.get("idempotencyKey") or str(uuid4())
    try:
        for name, amount in (("cost", cost), ("revenue", more.get("revenue"))):
            if amount is not None:
                fields[name] = Decimal(str(amount))
        item = msgspec.convert(fields, Item)
    except (msgspec.ValidationError, InvalidOperation, OverflowError) as problem:
        raise BadRecording(str(problem) or "cost: must be a number") from None
    if faults := ingest.text_faults(item):
        raise BadRecording(f"{faults[0].pointer}: {faults[0].message}")
    return item


class Queue:
    """Inferences that wait to be written; what finds it full is counted and forgotten."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        self._lock = Lock()
        self._waiting: deque[tuple[str, Item]] = deque()

    def put(self, organization: str | None, item: Item) -> None:
        slug = organization_of(organization)
        with self._lock:
            full = len(self._waiting) >= self._most
            if not full:
                self._waiting.append((slug, item))
        if full:
            dropped(VERB, "overflow")
        counting.flusher.wake()

    def flush(self, now: datetime, last: bool) -> None:
        """Write what waits, at most so much at a time; what the store cannot take now waits on, in front."""
        for _ in range(self._most // BATCH + 1):
            batch = self._take()
            if not batch:
                return
            while batch:
                organization = batch[0][0]
                items = [item for slug, item in batch if slug == organization]
                try:
                    self._write(organization, items, now)
                except counting.REFUSED as error:
                    dropped(VERB, "refused", count=len(items), why=f"{organization}: {type(error).__name__}")
                except Exception:
                    self._put_back(batch)
                    raise
                batch = [one for one in batch if one[0] != organization]

    def _take(self) -> list[tuple[str, Item]]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _put_back(self, batch: list[tuple[str, Item]]) -> None:
        with self._lock:
            room = max(0, self._most - len(self._waiting))
            self._waiting.extendleft(reversed(batch[:room]))
        if len(batch) > room:
            dropped(VERB, "overflow", count=len(batch) - room)

    @staticmethod
    def _write(organization: str, items: list[Item], now: datetime) -> None:
        if counting.missing({organization}):
            raise OutOfScope(organization)
        scope = Scope.of(organization)
        results = ingest.record_inferences(scope=scope, organization=organization, items=items, now=now)
        faults = [result for result in results if isinstance(result, list)]
        if faults:
            first = faults[0][0]
            dropped(VERB, "invalid", count=len(faults), why=f"{first.pointer}: {first.message}")
        if conflicts := sum(not isinstance(result, list) and result.outcome == "conflict" for result in results):
            dropped(VERB, "conflict", count=conflicts, why="idempotency_key: was used before for other content")


queue = Queue()
os.register_at_fork(after_in_child=queue.clear)  # what the parent took in, the parent writes
counting.flusher.also(queue.flush)
