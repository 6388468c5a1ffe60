"""The heartbeat on one screen: what beats, how often, and how tasks behave when something dies."""

import os
from typing import Any

from celery import Celery, signals

from cockpit.embedded.places import broker_url

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cockpit.settings")

from django.conf import settings

app = Celery("cockpit")


_TRANSPORT = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "global_keyprefix": "cockpit:",
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
    },
)
app.autodiscover_tasks(["monitoring"])


@signals.setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Settings have configured logging already; connected, Celery leaves it alone."""
