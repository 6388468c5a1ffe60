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

MISSED_SLOTS = 2  # after which a worker looks by itself
_HOUR = timedelta(hours=1)
_KEPT = timedelta(days=2)
_BACKENDS, _HOST = "gather", "gather "  # the slots of what all hosts share, and those of each, with its name


@shared_task
def keep_house() -> None:
    """Partitions for the days to come, and nothing kept longer than retention says; once an hour, whoever beats."""
    now = timezone.now()
    if not slots.claim("keep_house", now=now, every=_HOUR):
        return
    try:
        current_store().prepare(now=now)
        current_store().expire(now=now)
        slots.forget(_HOST, before=now - _KEPT)  # also of hosts that are gone
    except Exception as error:
        slots.release("keep_house", now=now, every=_HOUR)
        heartbeats.failed({"retention": type(error).__name__})  # its text may name hosts and users
        raise


@shared_task
def gather() -> None:
    """Let every host look at itself, and look at what they share; once a slot, however many beats there are."""
    try:
        for host in heartbeats.hosts():
            gather_host.apply_async(queue=queue_of(host), expires=settings.GATHER_INTERVAL)
    finally:  # a broker that went away meanwhile is what the shared probes have to tell
        _look_at_backends(_now())


@shared_task
def gather_host() -> None:
    """Look at this machine, once a slot; it comes by the host's own queue."""
    _look_at_host(_now())


def gather_unasked() -> None:
    """Look where nobody has looked lately, as while the broker is away, by which the asking comes."""
    now, every = _now(), timedelta(seconds=settings.GATHER_INTERVAL)
    for name, look in ((_BACKENDS, _look_at_backends), (_HOST + settings.HOST_NAME, _look_at_host)):
        if slots.missed(name, now=now, every=every, slots=MISSED_SLOTS):
            look(now)


def _look_at_backends(now: datetime) -> None:
    if slots.claim(_BACKENDS, now=now, every=timedelta(seconds=settings.GATHER_INTERVAL)):
        gathering.gather(gathering.of_backends(), now=now)


def _look_at_host(now: datetime) -> None:
    if slots.claim(_HOST + settings.HOST_NAME, now=now, every=timedelta(seconds=settings.GATHER_INTERVAL)):
        gathering.gather(gathering.of_host(), now=now, host=settings.HOST_NAME)


def _now() -> datetime:
    """The database's clock, which all hosts share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
