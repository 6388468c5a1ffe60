"""What the heartbeat asks of the data plane; each task is one verb."""

from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone

from bedrock import slots
from bedrock.hosts import queue_of
from monitoring import gathering, heartbeats
from monitoring.store import current_store

_HOUR = timedelta(hours=1)


@shared_task
def keep_house() -> None:
    """Partitions for the days to come, and nothing kept longer than retention says; once an hour, whoever beats."""
    now = timezone.now()
    if not slots.claim("keep_house", now=now, every=_HOUR):
        return
    try:
        current_store().prepare(now=now)
        current_store().expire(now=now)
    except Exception:
        slots.release("keep_house", now=now, every=_HOUR)
        raise


@shared_task
def gather() -> None:
    """Let every host look at itself, and look at what they share; once a slot, however many beats there are."""
    try:
        for host in heartbeats.hosts():
            gather_host.apply_async(queue=queue_of(host), expires=settings.GATHER_INTERVAL)
    finally:  # a broker that went away meanwhile is what the shared probes have to tell
        now, every = _now(), timedelta(seconds=settings.GATHER_INTERVAL)
        if slots.claim("gather", now=now, every=every):
            gathering.gather(gathering.of_backends(), now=now)


@shared_task
def gather_host() -> None:
    """Look at this machine, once a slot; it comes by the host's own queue."""
    now, every = _now(), timedelta(seconds=settings.GATHER_INTERVAL)
    if slots.claim(f"gather {settings.HOST_NAME}", now=now, every=every):
        gathering.gather(gathering.of_host(), now=now, host=settings.HOST_NAME)


def _now() -> datetime:
    """The database's clock, which all hosts share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
