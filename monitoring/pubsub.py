"""Hints that an organization has news: Valkey pub/sub, never the only road, for who misses one reads again anyway."""

import os
import time
from collections.abc import Callable, Iterable
from functools import cache
from threading import Event, Lock, Thread
from typing import Any

import redis
import structlog
from django.conf import settings
from redis.client import PubSub

log = structlog.get_logger(__name__)

_CHANNEL = "cockpit:stale:"
_SEQUENCE = "cockpit:sequence:"
_QUIET = 30.0  # seconds without a warning about a broker that is away
_GATHERED = 0.05  # seconds in which news of an organization become one hint
_PAUSE = 1.0  # seconds between tries to listen again


@cache
def client() -> redis.Redis:
    """This process' connections to Valkey, with answers as text; one that is away is known within a second."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1, decode_responses=True, health_check_interval=15
    )


_warned = 0.0


def publish(organizations: Iterable[str]) -> None:
    """Tell all listeners that these organizations have news; a broker that is away is no error."""
    global _warned
    try:
        for organization in organizations:
            number = client().incr(f"{_SEQUENCE}{organization}")
            client().publish(f"{_CHANNEL}{organization}", str(number))
    except redis.RedisError as error:
        if time.monotonic() - _warned > _QUIET:
            _warned = time.monotonic()
            log.warning("news could not be published", reason=type(error).__name__)


def sequence(organization: str) -> int | None:
    """The number of the organization's newest hint (0 before the first); None while the broker is away."""
    try:
        found: Any = client().get(f"{_SEQUENCE}{organization}")
        return int(found or 0)
    except redis.RedisError:
        return None


class _Announcer:
    """Publishes from a thread of its own, so that no request waits for a broker; what comes meanwhile goes together."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._told: set[str] = set()
        self._working_in: int | None = None  # the process: a child has none of its parent's threads

    def announce(self, organizations: Iterable[str]) -> None:
        with self._lock:
            self._told.update(organizations)
            if self._told and self._working_in != os.getpid():
                self._working_in = os.getpid()
                Thread(target=self._work, name="announcer", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                told, self._told = self._told, set()
                if not told:
                    self._working_in = None
                    return
            publish(sorted(told))
            time.sleep(_GATHERED)


_announcer = _Announcer()
announce = _announcer.announce  # as publish, and at once: for requests, after their commit


class Listener:
    """Hears the hints of all organizations in a thread of its own, and the silence when the broker is away.

    Args:
        heard: called with (organization, sequence) for each hint.
        lost: called about once a second while the broker is away: hints may have been missed.
        back: called when the broker is heard again.
    """

    def __init__(self, heard: Callable[[str, int], None], lost: Callable[[], None], back: Callable[[], None]) -> None:
        self._heard, self._lost, self._back = heard, lost, back
        self._over = Event()

    def start(self) -> None:
        Thread(target=self._run, name="pubsub", daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with PubSub(client().connection_pool, ignore_subscribe_messages=True) as subscription:
                    subscription.psubscribe(f"{_CHANNEL}*")  # type: ignore[no-untyped-call]
                    self._back()
                    self._listen(subscription)
            except redis.RedisError:
                self._lost()
                self._over.wait(_PAUSE)

    def _listen(self, subscription: PubSub) -> None:
        while not self._over.is_set():
            message = subscription.get_message(timeout=0.5)
            if message is not None:
                self._heard(str(message["channel"]).removeprefix(_CHANNEL), int(message["data"]))
