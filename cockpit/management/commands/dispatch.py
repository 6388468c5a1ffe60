"""`manage.py dispatch`: sends what the outbox holds, until it is told to stop."""

import signal
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand

from alerts.dispatching import Dispatcher, Waker, Watch


class Command(BaseCommand):
    help = "Tells channels of alerts, at once and again until they took it. Any number may run; they share the work."

    def handle(self, *args: Any, **options: Any) -> None:
        stop, dispatcher = Event(), Dispatcher()

        def end(*_: Any) -> None:
            stop.set()
            dispatcher.wake()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        Waker(dispatcher).start()
        Watch(dispatcher).start()
        dispatcher.run(stop)
