"""`manage.py fold`: the folder's loop, once a second, until it is told to stop."""

import signal
import time
from threading import Event
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import DataError, InterfaceError, OperationalError, connection

from monitoring import heartbeats
from monitoring.store import current_store

log = structlog.get_logger(__name__)
_EVERY = 1.0  # seconds
_SIGN_EVERY = 5.0  # seconds
_PATIENCE = 30.0  # seconds between tries while the database is away


class Command(BaseCommand):
    help = "Moves deltas into the rollups every second. Any number may run; one works."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        store, failures, signed = current_store(), 0, -_SIGN_EVERY
        while not stop.is_set():
            began = time.monotonic()
            try:
                store.fold()
                failures = 0
                if began - signed >= _SIGN_EVERY:
                    signed = began
                    heartbeats.leave("fold")
            except (OperationalError, InterfaceError, DataError) as error:
                failures += 1
                log.warning("fold failed", reason=type(error).__name__, failures=failures)
                heartbeats.failed({"fold": type(error).__name__})  # its text may name hosts and users
                connection.close()
            wait = min(_PATIENCE, _EVERY * 2**failures) if failures else _EVERY - (time.monotonic() - began)
            stop.wait(max(0.0, wait))
