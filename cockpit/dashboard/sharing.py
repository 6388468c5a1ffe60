"""Answers that callers of one organization share for a second: two hundred open pages cost hardly more than one."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar

from monitoring import pubsub

T = TypeVar("T")
_MOST = 64  # answers kept; one may be 100 kB


@dataclass(slots=True)
class _Place(Generic[T]):
    lock: Lock = field(default_factory=Lock)
    of: tuple[datetime, int] | None = None
    answer: T | None = None


_places: dict[Hashable, _Place[object]] = {}
_lock = Lock()


def shared(organization: str, what: Hashable, now: datetime, make: Callable[[], T]) -> T:
    """The answer to `what` of this second and this news: made by the first caller, waited for by the others.

    The organization's news are part of it: who was told of something new must never get what was made before it.
    """
    news = pubsub.sequence(organization)
    if news is None:  # nobody can tell whether there were any
        return make()
    moment = (now.replace(microsecond=0), news)
    with _lock:
        if len(_places) >= _MOST:
            _places.clear()  # who is waiting at a place keeps it
        place = _places.setdefault((organization, what), _Place())
    with place.lock:
        if place.of != moment:
            place.answer, place.of = make(), moment
        return place.answer  # type: ignore[return-value]  # `what` names the kind of answer too
