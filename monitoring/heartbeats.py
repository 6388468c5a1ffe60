"""Who is alive: every worker and beat leaves the time in Valkey, whose own clock tells how long ago that was."""

import os
from typing import Any, NamedTuple, cast

import redis
from django.conf import settings

from monitoring.pubsub import client

SENT = "sent_at"  # the header of a message that tells when it was sent, in seconds since 1970
ALIVE_SECONDS = 30.0  # a worker leaves its sign every two seconds
_KEY = "cockpit:heartbeats"
_KEPT_SECONDS = 24 * 3600.0
_MOST = 500


class Heartbeat(NamedTuple):
    """The last sign of one process: "worker" or "beat", on which host, and how many seconds ago."""

    role: str
    host: str
    pid: int
    age: float


def leave(role: str) -> None:
    """Say that this process lives; a broker that is away is no error."""
    try:
        client().hset(_KEY, f"{role} {settings.HOST_NAME} {os.getpid()}", f"{_now():.3f}")
    except redis.RedisError:
        return


def found() -> list[Heartbeat]:
    """The last sign of each process that left one within a day, newest first, 500 at most.

    Raises:
        redis.RedisError: when the broker is away.
    """
    now = _now()
    entries: Any = client().hgetall(_KEY)
    by_age = sorted((max(0.0, now - float(at)), field) for field, at in entries.items())
    kept = [(age, field) for age, field in by_age[:_MOST] if age <= _KEPT_SECONDS]
    if gone := [field for _, field in by_age[len(kept) :]]:
        client().hdel(_KEY, *gone)
    return [Heartbeat(role, host, int(pid), age) for age, (role, host, pid) in ((a, f.split(" ")) for a, f in kept)]


def hosts() -> list[str]:
    """The hosts on which a worker lives.

    Raises:
        redis.RedisError: when the broker is away.
    """
    return sorted({one.host for one in found() if one.role == "worker" and one.age < ALIVE_SECONDS})


def _now() -> float:
    seconds, microseconds = cast("tuple[int, int]", client().time())
    return seconds + microseconds / 1_000_000
