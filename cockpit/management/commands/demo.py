"""`manage.py demo`: a believable month for both organizations, a live trickle after it, and all of it gone again."""

import signal
import time
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from cockpit.demo import loading, tellers
from cockpit.demo.calls import Telling
from cockpit.demo.loading import Trickle
from cockpit.demo.receivers import Receivers

log = structlog.get_logger(__name__)
_DAY = timedelta(days=1)
_EVERY = 1.0  # seconds
_PATIENCE = 30.0  # seconds between tries while the database is away
OTHERS_THERE = 3  # exit of `load --if-empty` where data of somebody's own are


class Command(BaseCommand):
    help = "Demo data, in development only: load, trickle, clear; run does what `up` wants of it."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        load = verbs.add_parser("load", help="record the past, every hour once; a repeated load adds nothing")
        span = load.add_mutually_exclusive_group()
        span.add_argument("--hours", type=int, help=f"how far back, at most {24 * loading.DAYS}")
        span.add_argument("--days", type=int, help=f"how far back, at most {loading.DAYS} (which is the default)")
        load.add_argument(
            "--if-empty", action="store_true", help=f"only then; exit {OTHERS_THERE} where other data are"
        )
        verbs.add_parser("trickle", help="record the present as it comes, until told to stop")
        verbs.add_parser("run", help="load the days that are missing, then trickle")
        verbs.add_parser("clear", help="remove exactly the demo data")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.ENV.production:
            raise CommandError("demo data are never for production")
        if options["verb"] == "load":
            self._load(options)
        elif options["verb"] == "clear":
            self._clear()
        else:
            if options["verb"] == "trickle" and not loading.is_there():
                raise CommandError("no demo data are there: load some first")
            _Present(older=options["verb"] == "run").run()

    def _load(self, options: dict[str, Any]) -> None:
        hours = options["hours"] if options["hours"] is not None else 24 * (options["days"] or loading.DAYS)
        if not 1 <= hours <= 24 * loading.DAYS:
            raise CommandError(f"--hours and --days: must lie between 1 hour and {loading.DAYS} days")
        if options["if_empty"] and not loading.is_empty():
            if not loading.is_there():
                raise SystemExit(OTHERS_THERE)
            return
        began, now = time.monotonic(), datetime.now(UTC)
        with loading.turn():
            loaded = loading.load(now - timedelta(hours=hours), now, telling=Telling(now))
        if options["verbosity"] == 0:
            return
        told = f"{loaded:,} demo inferences loaded in {time.monotonic() - began:.1f} s"
        self.stdout.write(told if loaded else "nothing to load: every hour holds demo data already")

    def _clear(self) -> None:
        erased, left = loading.clear(), loading.counts()
        others = ", ".join(f"{count:,} {source}" for source, count in sorted(left.items())) or "nothing else"
        self.stdout.write(f"{erased:,} demo inferences removed; left are {others}")


class _Present:
    """The demo's process: the days that are missing, newest first, between them and after them the trickle.

    Meanwhile it receives what the demo's channels are told.

    Where the demo was cleared (or never loaded) it adds nothing more and waits to be stopped.
    """

    def __init__(self, *, older: bool) -> None:
        self._telling = Telling(datetime.now(UTC))
        self._trickle = Trickle(self._telling)
        self._missing = list(range(loading.DAYS)) if older else []
        self._stop = Event()
        self._unserved: int | None = None  # the port that channels do not know yet

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        with Receivers() as receivers:
            self._unserved = receivers.port
            self._go_on()

    def _go_on(self) -> None:
        failures, wanted = 0, True
        while wanted and not self._stop.is_set():
            try:
                wanted = self._step()
                failures = 0
            except (DatabaseError, InterfaceError) as error:
                failures += 1
                log.warning("demo failed", reason=type(error).__name__, failures=failures)
                connection.close()
            if failures or not self._missing:
                self._stop.wait(min(_PATIENCE, _EVERY * 2**failures))
        if not wanted:
            log.info("no demo data there; waiting to be stopped")
        self._stop.wait()

    def _step(self) -> bool:
        """One day of the past if one is missing, and the present; false where the demo is gone."""
        with loading.turn():
            if not loading.is_there():
                return False
            if self._missing:
                end = self._telling.told_at - self._missing[0] * _DAY
                loading.load(end - _DAY, end, telling=self._telling)
                del self._missing[0]
                if not self._missing:
                    log.info("demo data are complete", days=loading.DAYS)
            if self._unserved is not None:
                tellers.serve(self._unserved, datetime.now(UTC))
                self._unserved = None
            self._trickle.tick(datetime.now(UTC))
        return True
