"""What the heartbeat asks of alerts."""

import threading
from datetime import datetime, timedelta

from celery import shared_task
from django.utils import timezone

from alerts import changes, deliveries, evaluation, expiry, seeding, settling, switch, tending
from alerts.dispatching import Dispatcher
from bedrock import slots

EVERY = timedelta(seconds=10)
_judging = threading.Lock()
_MISSED_SLOTS = 4  # after which a worker judges by itself
_HELPERS, _HELP_SECONDS = 4, 8.0  # threads, seconds
# Slots of half a minute: two beats that are a minute apart never fall into one, however late a worker comes to them.
_PRESSED_AT_MOST = switch.EVERY / 2


@shared_task
def tend() -> None:
    """End what has run out, tell of changed settings, drop and delete what is too old, see how long notices wait; once
    a slot, whoever beats.

    Each of them is done whether the one before it could be or not; a slot in which one failed is given back.
    """
    now = timezone.now()
    if not slots.claim("tend", now=now, every=EVERY):
        return
    failed: Exception | None = None
    for work in (tending.run_out, changes.tell_of_audited, tending.forget, expiry.sum_up, expiry.expire,
                 expiry.forget, settling.end_moot, evaluation.forget, tending.measure):  # fmt: skip
        try:
            work(now)
        except Exception as error:
            failed = failed or error
    if failed is not None:
        slots.release("tend", now=now, every=EVERY)
        raise failed


@shared_task
def evaluate() -> None:
    """Give new organizations their rules, and judge every rule for the minutes that are over; once a slot.

    A slot in which that failed is given back. One at a time in a process: one that takes long is not to fill it.
    """
    now = timezone.now()
    if not _judging.acquire(blocking=False):
        return
    try:
        if slots.claim("evaluate", now=now, every=evaluation.EVERY):
            _evaluate(now)
    finally:
        _judging.release()


def _evaluate(now: datetime) -> None:
    try:
        seeding.seed(now)
        evaluation.evaluate(deliveries.clock())
    except Exception:
        slots.release("evaluate", now=now, every=evaluation.EVERY)
        raise


def evaluate_unasked() -> None:
    """Judge where nobody has lately, as while beat or the broker is away: that is news of its own."""
    if slots.missed("evaluate", now=timezone.now(), every=evaluation.EVERY, slots=_MISSED_SLOTS):
        evaluate()


@shared_task
def dispatch() -> None:
    """Send what is due, beside whoever else does: so that notices go out while `dispatch` is away."""
    Dispatcher(threads=_HELPERS).drain(_HELP_SECONDS)


@shared_task
def pulse() -> None:
    """Press the dead-man's switches; at every beat of one beat, which is once a minute, and of another hardly more."""
    now = timezone.now()
    if not slots.claim("pulse", now=now, every=_PRESSED_AT_MOST):
        return
    try:
        switch.press(switch.organizations())
    except Exception:
        slots.release("pulse", now=now, every=_PRESSED_AT_MOST)
        raise
