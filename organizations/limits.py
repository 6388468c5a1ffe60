"""Rate limits: fixed windows counted in the shared cache, and in this process alone while the cache is away."""

import math
import time
from contextlib import suppress
from threading import Lock

import structlog
from django.core.cache import cache

log = structlog.get_logger(__name__)

_PAUSE = 5.0  # seconds without asking a cache that just failed: a frozen one costs its time-out each time
_lock = Lock()
_local: dict[str, int] = {}
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
        _local.pop(key, None)
    if time.monotonic() >= _away_until:
        with suppress(Exception):  # what cannot be taken back now runs out by itself
            cache.delete(key)


def _key(name: str, seconds: int, now: float) -> str:
    return f"limit:{name}:{seconds}:{int(now // seconds)}"


def _count(key: str, seconds: int) -> int:
    global _away_until
    if time.monotonic() >= _away_until:
        try:
            return _shared(key, seconds)
        except Exception as error:  # whatever the cache's client raises, a request must not fail by it
            _away_until = time.monotonic() + _PAUSE
            log.warning("rate limits counted locally", reason=type(error).__name__)
    with _lock:
        if len(_local) > 10_000:
            _local.clear()
        _local[key] = _local.get(key, 0) + 1
        return _local[key]


def _shared(key: str, seconds: int) -> int:
    try:
        return cache.incr(key)
    except ValueError:
        return 1 if cache.add(key, 1, timeout=seconds * 2) else cache.incr(key)
