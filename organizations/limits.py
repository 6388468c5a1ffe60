"""Rate limits: fixed windows, counted in this process and added up in the shared cache about once a second."""

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

import structlog
from django.core.cache import cache

log = structlog.get_logger(__name__)

_SYNC = 1.0  # seconds between two looks at the shared count: what other processes count meanwhile is seen that late
_PAUSE = 5.0  # seconds without asking a cache that just failed: a frozen one costs its time-out each time


@dataclass(slots=True)
class _Tally:
    """One name's window: what all processes had counted at the last look, and what this one has since."""

    shared: int = 0
    pending: int = 0
    next_look: float = 0.0


_lock = Lock()
_tallies: dict[str, _Tally] = {}
_away_until = 0.0


def hit(name: str, *, limit: int, seconds: int = 60) -> int:
    """Count one use of `name`.

    Returns:
        0 when it is within `limit` uses in the window of `seconds`, else the seconds until the next window.
    """
    now = time.time()
    count = _count(_key(name, seconds, now), seconds)
    return 0 if count <= limit else max(1, math.ceil((now // seconds + 1) * seconds - now))


def forget(name: str, *, seconds: int = 60) -> None:
    """Take back every use of `name` in the present window."""
    key = _key(name, seconds, time.time())
    with _lock:
        _tallies.pop(key, None)
    if time.monotonic() >= _away_until:
        with suppress(Exception):  # what cannot be taken back now runs out by itself
            cache.delete(key)


def _begin() -> None:
    """Start as a new process does: what the parent counted, the parent adds up; its lock may be held for ever."""
    global _lock
    _lock = Lock()
    _tallies.clear()


os.register_at_fork(after_in_child=_begin)


def _key(name: str, seconds: int, now: float) -> str:
    return f"limit:{name}:{seconds}:{int(now // seconds)}"


def _count(key: str, seconds: int) -> int:
    now = time.monotonic()
    with _lock:
        if len(_tallies) > 10_000:
            _tallies.clear()
        tally = _tallies.setdefault(key, _Tally())
        tally.pending += 1
        if now < max(tally.next_look, _away_until):
            return tally.shared + tally.pending
        tally.next_look = now + _SYNC
        sent = tally.pending
    shared = _add_to_shared(key, sent, seconds)
    with _lock:
        if shared is not None:
            tally.shared = shared
            tally.pending -= sent
        return tally.shared + tally.pending


def _add_to_shared(key: str, sent: int, seconds: int) -> int | None:
    """The count of all processes; None while the cache is away, and then nobody asks it for a while."""
    global _away_until
    try:
        try:
            return cache.incr(key, sent)
        except ValueError:
            return sent if cache.add(key, sent, timeout=seconds * 2) else cache.incr(key, sent)
    except Exception as error:  # whatever the cache's client raises, a request must not fail by it
        _away_until = time.monotonic() + _PAUSE
        log.warning("rate limits counted in this process alone", reason=type(error).__name__)
        return None
