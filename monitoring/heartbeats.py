"""What processes leave in Valkey for those who ask how they are: signs of life, by its own clock, and last errors."""

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import redis
from django.conf import settings

from monitoring.pubsub import client

SENT = "sent_at"  # the header of a message that tells when it was sent, in seconds since 1970
ALIVE_SECONDS = 30.0  # a worker leaves its sign every two seconds
_KEY = "cockpit:heartbeats"
_KEPT_SECONDS = 24 * 3600.0
_NEWEST_KEPT_SECONDS = 7 * 24 * 3600.0  # of each role: as long as none of its processes runs, people are to know
_MOST = 500
_ERRORS = "cockpit:errors"
_ERRORS_KEPT_SECONDS = 30 * 24 * 3600.0
_MOST_WORDS = 300


class Heartbeat(NamedTuple):
    """The last sign of one process: "worker" or "beat", on which host, and how many seconds ago."""

    role: str
    host: str
    pid: int
    age: float


class Failure(NamedTuple):
    """What was last wrong with a part, and when, in seconds since 1970."""

    at: float
    words: str


def leave(role: str) -> None:
    """Say that this process lives; a broker that is away is no error."""
    try:
        client().hset(_KEY, f"{role} {settings.HOST_NAME} {os.getpid()}", f"{_now():.3f}")
    except redis.RedisError:
        return


def found() -> list[Heartbeat]:
    """The last sign of each process that left one within a day, newest first, 500 at most; and of each role the newest
    one, within a week.

    Raises:
        redis.RedisError: when the broker is away.
    """
    now = _now()
    entries: Any = client().hgetall(_KEY)
    by_age = sorted((max(0.0, now - float(at)), field) for field, at in entries.items())
    newest = {_role(field): (age, field) for age, field in reversed(by_age)}
    kept = [one for place, one in enumerate(by_age)
            if (place < _MOST and one[0] <= _KEPT_SECONDS)
            or (one == newest[_role(one[1])] and one[0] <= _NEWEST_KEPT_SECONDS)]  # fmt: skip
    if gone := {field for _, field in by_age} - {field for _, field in kept}:
        client().hdel(_KEY, *gone)
    return [Heartbeat(role, host, int(pid), age) for age, (role, host, pid) in ((a, f.split(" ")) for a, f in kept)]


def _role(field: str) -> str:
    return field.partition(" ")[0]


def hosts() -> list[str]:
    """The hosts on which a worker lives.

    Raises:
        redis.RedisError: when the broker is away.
    """
    return sorted({one.host for one in found() if one.role == "worker" and one.age < ALIVE_SECONDS})


def probe_part(probe: str, host: str | None) -> str:
    """What a probe is called among the parts of the cockpit."""
    return f"probe {probe} on {host}" if host else f"probe {probe}"


def failure(words: str, age: float = 0.0) -> Failure:
    """One of just now, or of `age` seconds ago."""
    return Failure(round(time.time() - age, 3), words)


def failed(found: Mapping[str, str]) -> None:
    """Say what went wrong with some parts, in words that hold no secret; a broker that is away is no error."""
    try:
        _tell({part: failure(words) for part, words in found.items()})
    except redis.RedisError:
        return


def failures(own: Mapping[str, Failure]) -> dict[str, Failure]:
    """What was last wrong with each part, within thirty days: as any process saw it, and `own`, told to the others.

    Raises:
        redis.RedisError: when the broker is away.
    """
    entries: Any = client().hgetall(_ERRORS)
    kept = {part: Failure(float(at), words) for part, (at, words) in ((p, e.split(" ", 1)) for p, e in entries.items())}
    lately = time.time() - _ERRORS_KEPT_SECONDS
    newest = sorted(kept, key=lambda part: kept[part].at, reverse=True)
    if gone := [part for place, part in enumerate(newest) if place >= _MOST or kept[part].at < lately]:
        client().hdel(_ERRORS, *gone)
    newer = {part: one for part, one in own.items() if part not in kept or kept[part].at < one.at}
    _tell(newer)
    return {**kept, **newer}


def _tell(found: Mapping[str, Failure]) -> None:
    if found:
        entries = {part: f"{one.at:.3f} {one.words[:_MOST_WORDS]}" for part, one in found.items()}
        client().hset(_ERRORS, mapping=cast(Any, entries))


def _now() -> float:
    seconds, microseconds = cast("tuple[int, int]", client().time())
    return seconds + microseconds / 1_000_000
