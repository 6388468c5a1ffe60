"""Periodic work once per slot: any number of schedulers may run, the table decides which one does the work."""

from datetime import UTC, datetime, timedelta

from django.db import models, transaction
from django.db.models.functions import Now


class Slot(models.Model):
    """One slot of one periodic task that somebody has claimed."""

    task = models.CharField(max_length=100)
    slot = models.DateTimeField()
    claimed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "slot"], name="one_claim_a_slot")]

    def __str__(self) -> str:
        return f"{self.task} {self.slot:%Y-%m-%d %H:%M:%S}"


def slot_of(now: datetime, every: timedelta) -> datetime:
    """The start of the slot that `now` lies in; slots are counted from year 1, the same everywhere."""
    moment = now.astimezone(UTC)
    return moment - (moment - datetime(1, 1, 1, tzinfo=UTC)) % every


def claim(task: str, *, now: datetime, every: timedelta) -> bool:
    """True for exactly one caller a slot; forgets this task's slots of more than a day ago."""
    with transaction.atomic():
        Slot.objects.filter(task=task, slot__lt=now - timedelta(days=1) - every).delete()
        _, created = Slot.objects.get_or_create(task=task, slot=slot_of(now, every))
    return created


def missed(task: str, *, now: datetime, every: timedelta, slots: int) -> bool:
    """Whether nobody has claimed any of the last `slots` slots, the present one among them."""
    since = slot_of(now, every) - (slots - 1) * every
    return not Slot.objects.filter(task=task, slot__gte=since).exists()


def forget(prefix: str, *, before: datetime) -> None:
    """Drop the old slots of all tasks named so: a task that nobody claims any more does not forget its own."""
    Slot.objects.filter(task__startswith=prefix, slot__lt=before).delete()


def release(task: str, *, now: datetime, every: timedelta) -> None:
    """Give the slot back, for the next one to try: its work was not done."""
    Slot.objects.filter(task=task, slot=slot_of(now, every)).delete()
