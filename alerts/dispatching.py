"""Moves deliveries on: claims what is due, sends it from a few threads, and writes down together what became of it.

One thread has to do with the database, so that a hung receiver costs a thread and never a connection.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Event, Thread

import psycopg
import structlog
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection
from msgspec import structs

from alerts import deliveries, sending, settling
from alerts.claims import Claimed
from alerts.routing import NOTIFIED
from alerts.sending import Tried
from monitoring import heartbeats

log = structlog.get_logger(__name__)

THREADS = 64
POLL = 2.0  # seconds: what no notification told of, and retries, are seen that late
_PACED = 0.1  # seconds between looks while a channel's pace, or who is at it, holds something back
_PATIENCE = 30.0  # seconds between tries while the database is away, at most
_GRACE = 5.0  # seconds that the end of a process waits for what is being sent
# What the database will not have: it says nothing of the next one, and no trying again mends it.
_UNFIT = (DataError, IntegrityError, ValueError, TypeError, ArithmeticError)
_UNREADABLE = "What was answered cannot be stored."
_SIGN_EVERY = 5.0
_STUCK = 60.0  # seconds without a turn or a wait for the database, after which the process is of no use


class Dispatcher:
    """Any number of these may work, in one process or many."""

    def __init__(self, *, threads: int = THREADS, send: Callable[[Claimed], Tried] = sending.send) -> None:
        self._threads, self._send = threads, send
        self._work: SimpleQueue[Claimed | None] = SimpleQueue()
        self._inbox: SimpleQueue[Tried | None] = SimpleQueue()  # None: look again, there may be something
        self._at_it: dict[tuple[int, int], Claimed] = {}
        self._back: list[Tried] = []  # tried, and not written down yet
        self._started = 0
        self.tried = 0
        self.turned = time.monotonic()

    def wake(self) -> None:
        self._inbox.put(None)

    def run(self, stop: Event) -> None:
        """Until it is told to stop; then what is being sent has a few seconds, and the rest is given back."""
        failures, wait = 0, 0.0
        while not stop.is_set():
            try:
                wait = self.turn(wait)
                failures = 0
            except (DatabaseError, InterfaceError) as error:
                failures += 1
                log.warning("dispatch failed", reason=type(error).__name__, failures=failures)
                heartbeats.failed({"dispatch": type(error).__name__})  # its text may name hosts and users
                connection.close()
                wait = min(_PATIENCE, 0.5 * 2.0**failures)
                stop.wait(wait)
                wait, self.turned = 0.0, time.monotonic()
        self.end()

    def drain(self, seconds: float) -> int:
        """Send what is due until nothing is, or the time is over; how many were tried.

        What is being sent then is waited for: this process goes on, and so would its threads.
        """
        until, wait = time.monotonic() + seconds, 0.0
        try:
            while (left := until - time.monotonic()) > 0:
                self.turn(min(wait, left))
                if not self._at_it:
                    break
                wait = 0.5
        finally:
            self.end(deliveries.LEASE.total_seconds())
        return self.tried

    def turn(self, wait: float) -> float:
        """Write down what came back within `wait` seconds, claim what there is room for; how long to wait next."""
        self._collect(wait)
        self.turned = time.monotonic()
        self._write_down()
        room = self._threads - len(self._at_it)
        if not room:
            return POLL  # whatever comes back ends the wait
        asked_at = time.monotonic()
        claimed, paced = deliveries.claim(now=deliveries.clock(), most=room, asked_at=asked_at)
        for one in claimed:
            self._at_it[one.id, one.attempt] = one
            self._hand_over(one)
        return _PACED if paced else POLL

    def end(self, grace: float = _GRACE) -> None:
        until = time.monotonic() + grace
        while self._at_it and (left := until - time.monotonic()) > 0:
            self._collect(left)
        with suppress(DatabaseError, InterfaceError):  # else their leases end by themselves
            self._write_down()
            deliveries.release(list(self._at_it.values()), now=deliveries.clock())
        for _ in range(self._started):
            self._work.put(None)

    def _collect(self, wait: float) -> None:
        """What has come back, and what comes within `wait` seconds if nothing has."""
        try:
            arrived = self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait()
            while True:
                if arrived is not None:
                    self._at_it.pop((arrived.claimed.id, arrived.claimed.attempt), None)
                    self._back.append(arrived)
                arrived = self._inbox.get_nowait()
        except Empty:
            return

    def _write_down(self) -> None:
        if not self._back:
            return
        now = deliveries.clock()
        try:
            settling.settle(self._back, now=now)
        except _UNFIT:
            self._write_down_singly(now)
        self.tried += len(self._back)
        self._back = []

    def _write_down_singly(self, now: datetime) -> None:
        """One that the database will not have does not keep the others, and stands there without what was answered.

        Else it would be sent again and again, as often as its lease is over.
        """
        for one in self._back:
            for told in (one, structs.replace(one, answer="", reference={}, words=_UNREADABLE)):
                try:
                    settling.settle([told], now=now)
                    break
                except _UNFIT:
                    log.exception("a try could not be written down", delivery=one.claimed.id)

    def _hand_over(self, one: Claimed) -> None:
        if self._started < min(self._threads, len(self._at_it)):
            self._started += 1
            Thread(target=self._sender, name=f"sender {self._started}", daemon=True).start()
        self._work.put(one)

    def _sender(self) -> None:
        while (one := self._work.get()) is not None:
            self._inbox.put(self._send(one))


class Waker:
    """Hears Postgres say that something is to be sent, on a connection of its own."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def start(self) -> None:
        Thread(target=self._run, name="waker", daemon=True).start()

    def _run(self) -> None:
        while True:
            with suppress(psycopg.Error):
                self._listen()
            time.sleep(1.0)  # the poll goes on meanwhile

    def _listen(self) -> None:
        parts = connection.get_connection_params()
        wanted = {name: value for name, value in parts.items() if name not in ("context", "cursor_factory")}
        with psycopg.connect(**wanted, autocommit=True) as listening:
            listening.execute(f"LISTEN {NOTIFIED}")
            self._dispatcher.wake()  # what came before we listened
            for _ in listening.notifies():
                self._dispatcher.wake()


class Watch:
    """Leaves the dispatcher's sign of life while it turns, and ends a process in which it does not any more."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def start(self) -> None:
        Thread(target=self._run, name="watch", daemon=True).start()

    def _run(self) -> None:
        while True:
            still = time.monotonic() - self._dispatcher.turned
            if still > _STUCK:
                log.critical("dispatch is stuck", seconds=round(still))
                os._exit(70)
            if still < _PATIENCE + POLL:
                heartbeats.leave("dispatch")
            time.sleep(_SIGN_EVERY)
