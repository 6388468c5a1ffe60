"""What the heartbeat asks of alerts."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from alerts import changes, tending
from bedrock import slots

EVERY = timedelta(seconds=10)


@shared_task
def tend() -> None:
    """End what has run out, tell of changed settings, delete what is too old; once a slot, whoever beats.

    Each of them is done whether the one before it could be or not; a slot in which one failed is given back.
    """
    now = timezone.now()
    if not slots.claim("tend", now=now, every=EVERY):
        return
    failed: Exception | None = None
    for work in (tending.run_out, changes.tell_of_audited, tending.forget):
        try:
            work(now)
        except Exception as error:
            failed = failed or error
    if failed is not None:
        slots.release("tend", now=now, every=EVERY)
        raise failed
