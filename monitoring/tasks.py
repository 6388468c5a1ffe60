"""What the heartbeat asks of the data plane; each task is one verb."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from bedrock import slots
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
