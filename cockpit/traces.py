"""Traces of real LLM calls in a file: read line by line, set to another time, their durations made up as told here."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

_COLUMNS = ("timestamp", "contexttokens", "generatedtokens")
# The trace tells tokens, not durations; ours are an overhead, 16,700 tokens read and 45 written a second.
OVERHEAD_MS, READ_MS, WRITE_MS = 30.0, 0.06, 22.0
_TICK = 0.05  # seconds: what falls due within it is one batch, so that a busy trace is no storm of requests


class BadTrace(Exception):
    """A trace that cannot be read; the message names the line and what was expected there."""


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One line: its number (the header is line 1), its time in UTC, its tokens."""

    line: int
    at: datetime
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What one pass over a file told: its hash, how many calls, and when the first and the last one were."""

    path: Path
    sha256: str
    calls: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """When calls happen again: what the trace has at `trace` at `wall`, the rest around it, `speed` times as fast."""

    trace: datetime
    wall: datetime
    speed: float = 1.0

    def at(self, call: TracedCall) -> datetime:
        return self.wall + (call.at - self.trace) / self.speed

    def seconds_to(self, call: TracedCall) -> float:
        """From `wall` until the call is due; below 0 for one before it."""
        return (call.at - self.trace).total_seconds() / self.speed


def read(path: Path) -> Iterator[TracedCall]:
    """The calls of a file with the columns TIMESTAMP, ContextTokens, GeneratedTokens, one at a time.

    Raises:
        BadTrace: naming the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [name.strip().lower() for name in next(rows, [])]
            if tuple(header) != _COLUMNS:
                raise BadTrace(f"{path}: line 1 must be TIMESTAMP,ContextTokens,GeneratedTokens")
            for row in rows:
                if row:
                    yield _call(path, rows.line_num, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadTrace(f"{path}: cannot be read ({error})") from error


def _call(path: Path, line: int, row: list[str]) -> TracedCall:
    try:
        at, read_tokens, written = datetime.fromisoformat(row[0].strip()), int(row[1]), int(row[2])
    except (ValueError, IndexError):
        raise BadTrace(f"{path}: line {line} must hold a time and two whole numbers") from None
    if len(row) != 3 or read_tokens < 0 or written < 0:
        raise BadTrace(f"{path}: line {line} must hold a time and two whole numbers, none negative")
    return TracedCall(line, at if at.tzinfo else at.replace(tzinfo=UTC), read_tokens, written)


def survey(path: Path) -> Trace:
    """One pass over the file; memory stays flat however long it is."""
    calls, first, last = 0, None, None
    for call in read(path):
        calls += 1
        first = call.at if first is None else min(first, call.at)
        last = call.at if last is None else max(last, call.at)
    if first is None or last is None:
        raise BadTrace(f"{path}: holds no call")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return Trace(path, digest.hexdigest(), calls, first, last)


def paced(
    calls: Iterable[TracedCall],
    clock: Clock,
    *,
    most: int,
    passed: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[list[TracedCall]]:
    """Batches of at most `most` calls, each as soon as its last one is due; `passed` tells seconds since `clock.wall`.

    What fell due while a batch was being sent is in the next one; a call out of its order waits for no other.
    """
    batch: list[TracedCall] = []
    for call in calls:
        if batch and (len(batch) == most or clock.seconds_to(call) > passed()):
            yield batch
            batch = []
        if not batch and (wait := clock.seconds_to(call) - passed()) > 0:
            sleep(max(wait, _TICK))
        batch.append(call)
    if batch:
        yield batch


def item(
    call: TracedCall,
    *,
    model: str,
    at: datetime,
    run: str,
    input_price: Decimal | None = None,
    output_price: Decimal | None = None,
) -> dict[str, Any]:
    """A traced call as an inference to send: it happened `at`, durations are derived (and so flagged estimated).

    Prices are money per million tokens; without both of them the inference is sent without a cost.
    """
    first_token = OVERHEAD_MS + READ_MS * call.input_tokens
    sent: dict[str, Any] = {
        "modelName": model,
        "durationMs": round(first_token + WRITE_MS * call.output_tokens, 3),
        "timeToFirstTokenMs": round(first_token, 3),
        "inputTokens": call.input_tokens,
        "outputTokens": call.output_tokens,
        "occurredAt": at.isoformat(),
        "estimated": True,
        "source": "replay",
        "idempotencyKey": f"{run}:{call.line}",
    }
    if input_price is not None and output_price is not None:
        cost = (input_price * call.input_tokens + output_price * call.output_tokens) / 1_000_000
        sent["cost"] = f"{cost:f}"
    return sent
