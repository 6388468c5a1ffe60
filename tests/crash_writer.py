"""What the crash tests kill: writers and folders, each a process of its own, forked from one that has Django loaded.

`python -m tests.crash_writer LEDGER SINCE_MS` reads lines from its input and answers each with the new process' id:
`write NAME` sends the batches NAME-0, NAME-1 ... until it is killed, `observe NAME` samples and increments; `fold` is
`manage.py fold`.
The ledger is told of a batch before it is sent (`began`) and after the store has answered (`acknowledged`).
"""

import hashlib
import itertools
import os
import random
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import django
from django.core.management import call_command

from monitoring.store import current_store
from monitoring.store.base import Inference
from monitoring.store.samples import Increment, Sample
from organizations.scope import Scope

ORGANIZATIONS = ("swaggystacks", "scientia_capital")
SPAN_MS = 3 * 86_400_000


def batch(name: str, since_ms: int) -> list[Inference]:
    """The batch of that name: the same one whenever it is asked for."""
    chance = random.Random(name)
    return [_row(chance, name, place, since_ms) for place in range(chance.randint(2, 60))]


def _row(chance: random.Random, name: str, place: int, since_ms: int) -> Inference:
    digits = tuple(chance.randrange(10) for _ in range(chance.randint(1, 38)))
    return Inference(
        organization=chance.choice(ORGANIZATIONS),
        occurred_ms=since_ms + chance.randrange(SPAN_MS),
        model=chance.choice(("llama", "qwen", "mistral")),
        provider="",
        endpoint=chance.choice(("", "a")),
        status=chance.choice(("success", "success", "error", "cancelled")),
        error_type="",
        attempt=chance.choice((1, 1, 2)),
        estimated=False,
        source="live",
        duration_us=chance.randrange(10_000_000),
        ttft_us=chance.choice((None, 1000)),
        input_tokens=chance.randrange(10_000),
        output_tokens=None,
        cache_read_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        cost=chance.choice((None, Decimal((0, digits, -30)))),
        revenue=None,
        user_hash=None,
        trace_id=name,
        span_id=None,
        tags=None,
        key=hashlib.blake2b(f"{name}:{place}".encode(), digest_size=16).digest(),
        content=hashlib.blake2b(digest_size=16).digest(),
    )


def write(name: str, ledger: str, since_ms: int) -> None:
    store, scope = current_store(), Scope.of(*ORGANIZATIONS)
    lines = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in itertools.count():
        rows = batch(f"{name}-{number}", since_ms)
        os.write(lines, f"began {name}-{number}\n".encode())
        outcomes = {stored.outcome for stored in store.append(scope, rows, now=datetime.now(UTC))}
        assert outcomes == {"stored"}, outcomes
        os.write(lines, f"acknowledged {name}-{number}\n".encode())


OBSERVED = 40  # series of each kind, all of them in every batch


def observe(name: str, ledger: str, since_ms: int) -> None:
    """Each batch makes every counter grow by 1, every running total too, and tells its number as a level."""
    store, scope = current_store(), Scope.of(*ORGANIZATIONS)
    lines = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    chance = random.Random(name)
    for number in itertools.count():
        places = chance.sample(range(OBSERVED), OBSERVED)
        at_ms = since_ms + number * 1000
        samples, increments = [], []
        for place in places:
            shared = (("place", str(place)),)
            own = (("name", name), *shared)
            told: dict[str, Any] = {"organization": ORGANIZATIONS[place % 2], "at_ms": at_ms}
            increments.append(Increment(**told, family="cockpit_crash_total", labels=shared, amount=1.0))
            samples.append(Sample(**told, family="cockpit_crash_level", labels=own, value=float(number)))
            samples.append(Sample(**told, family="cockpit_crash_seen_total", labels=own, value=float(number)))
        os.write(lines, f"began {name}-{number}\n".encode())
        store.observe(scope, samples, increments, now=datetime.now(UTC))
        os.write(lines, f"acknowledged {name}-{number}\n".encode())


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.05)
    os._exit(1)


def main() -> None:
    django.setup()
    current_store()  # everything is loaded before the first fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    ledger, since_ms = sys.argv[1], int(sys.argv[2])
    for line in sys.stdin:
        verb, *names = line.split()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
            if verb in ("write", "observe"):
                (write if verb == "write" else observe)(names[0], ledger, since_ms)
            call_command("fold")
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
