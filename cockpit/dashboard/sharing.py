"""Answers that callers of one organization share for a second: two hundred open pages cost hardly more than one."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar

from django.db import connection

from monitoring import pubsub

T = TypeVar("T")
_MOST = 64  # answers kept; one may be 100 kB


@dataclass(slots=True)
class _Place:
    """One question with its newest answer; times are of the monotonic clock."""

    lock: Lock = field(default_factory=Lock)
    of: tuple[datetime, int | None] | None = None
    answer: Any = None
    failure: Exception | None = None
    began: float = 0.0
    ended: float = 0.0


_places: dict[Hashable, _Place] = {}
_lock = Lock()


def shared(organization: str, what: Hashable, now: datetime, make: Callable[[], T]) -> T:
    """The answer to `what` of this second and these news: made by the first caller, waited for by the others.

    Who was told of something new never gets what was made before it. Without the broker nobody can tell, so there an
    answer is shared only by those who came before it was begun. Who waited for one that failed fails with it, rather
    than trying in vain one after the other.
    """
    arrived = time.monotonic()
    of = (now.replace(microsecond=0), pubsub.sequence(organization))
    place = _place((organization, what))
    if not place.lock.acquire(blocking=False):
        if not connection.in_atomic_block:
            connection.close()  # who waits must not keep it from those who work
        place.lock.acquire()
    try:
        if place.failure is not None and place.ended >= arrived:
            raise place.failure
        fresh = place.began >= arrived or of[1] is not None
        if place.failure is not None or place.of != of or not fresh:
            _fill(place, of, make)
        answer: T = place.answer
        return answer
    finally:
        place.lock.release()


def _place(key: Hashable) -> _Place:
    with _lock:
        if key not in _places and len(_places) >= _MOST:
            _places.pop(next(iter(_places)))  # the oldest; who waits there keeps it
        return _places.setdefault(key, _Place())


def _fill(place: _Place, of: tuple[datetime, int | None], make: Callable[[], object]) -> None:
    place.began, place.failure = time.monotonic(), None
    try:
        place.answer, place.of = make(), of
    except Exception as failure:
        place.failure = failure
        raise
    finally:
        place.ended = time.monotonic()
