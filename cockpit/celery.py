"""The heartbeat on one screen: what beats, how often, and how tasks behave when something dies."""

import logging
import os
import signal
import time
from threading import Thread
from typing import Any

from celery import Celery, signals

from cockpit.embedded.places import broker_url

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cockpit.settings")

from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from monitoring import heartbeats

app = Celery("cockpit")
_GATHER = "monitoring.tasks.gather"
_UNASKED = ("monitoring.tasks.gather_unasked", "alerts.tasks.evaluate_unasked")

_TRANSPORT = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "global_keyprefix": settings.BROKER_PREFIX,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,  # beyond the worker's own blocking read of 1 s
    "max_retries": 3,
}
app.conf.update(
    broker_url=broker_url(settings.REDIS_URL),
    broker_transport_options=_TRANSPORT,
    broker_connection_retry_on_startup=True,
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    task_time_limit=240,
    timezone="UTC",
    beat_schedule={
        # Asked for every ten minutes, done once an hour: a failed hour is tried again soon.
        "keep-house": {"task": "monitoring.tasks.keep_house", "schedule": 600.0, "options": {"expires": 600.0}},
        "gather": {
            "task": _GATHER,
            "schedule": float(settings.GATHER_INTERVAL),
            "options": {"expires": float(settings.GATHER_INTERVAL)},
        },
        "evaluate": {"task": "alerts.tasks.evaluate", "schedule": 15.0, "options": {"expires": 15.0}},
        "tend": {"task": "alerts.tasks.tend", "schedule": 10.0, "options": {"expires": 10.0}},
        "dispatch": {"task": "alerts.tasks.dispatch", "schedule": 10.0, "options": {"expires": 10.0}},
        "pulse": {"task": "alerts.tasks.pulse", "schedule": 60.0, "options": {"expires": 60.0}},
    },
)
app.autodiscover_tasks(["monitoring", "alerts"])


@signals.setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Settings have configured logging already; connected, Celery leaves it alone.

    That a task was sent, came and went is told by its counters; a line of each would drown what people look for.
    """
    if settings.ENV.log_level != "debug":
        for name in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)


@signals.worker_ready.connect
def _stop_well(**_: Any) -> None:
    """Ctrl-C ends the worker as SIGTERM does, with 0; by itself Celery would call that a failure."""
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))


@signals.worker_process_shutdown.connect
def _write_the_rest(**_: Any) -> None:
    """Of a worker started with a pool of processes: those end without Python's own farewell."""
    import_string("monitoring.counting.flusher").end()


@signals.worker_init.connect
def _look_unasked(**_: Any) -> None:
    Thread(target=_go_on_looking, name="look unasked", daemon=True).start()


def _go_on_looking() -> None:
    """Measuring and judging go on without broker and beat, more rarely: else a dead one would look as it last did."""
    failing: set[str] = set()
    while True:
        time.sleep(2.0 * settings.GATHER_INTERVAL)
        for name in _UNASKED:
            try:
                import_string(name)()
                failing.discard(name)
            except Exception as error:
                if name not in failing:
                    logging.getLogger(__name__).warning("%s failed: %s", name, type(error).__name__)
                failing.add(name)
            finally:
                connection.close()  # of this thread, which nobody else looks after


@signals.heartbeat_sent.connect
def _worker_lives(**_: Any) -> None:
    heartbeats.leave("worker")


@signals.after_task_publish.connect(sender=_GATHER)
def _beat_lives(**_: Any) -> None:
    """Nobody but beat sends this task."""
    heartbeats.leave("beat")


@signals.before_task_publish.connect
def _say_when(headers: dict[str, Any], **_: Any) -> None:
    headers[heartbeats.SENT] = time.time()


@signals.task_prerun.connect
def _begin(task: Any, **_: Any) -> None:
    task.request.began = time.monotonic()


@signals.task_postrun.connect
def _count(task: Any, state: str | None, **_: Any) -> None:
    began = getattr(task.request, "began", None)
    seconds = None if began is None else time.monotonic() - began
    record_run = import_string("monitoring.runs.record_run")  # needs the apps, which Celery sets up later
    record_run(task=str(task.name), state=str(state or "unknown"), seconds=seconds)
