"""How long each organization's data are kept, as its row says, remembered for a moment."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection

from organizations.models import Organization

SAMPLES_KEPT = timedelta(days=2)  # single ones, of every organization
USERS_KEPT = timedelta(days=400)  # who called on which day
_MEMORY = 5.0  # seconds
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that single inferences, minute and hour rollups are kept (day rollups stay), and what is deleted already."""

    raw_days: int
    minute_days: int
    hour_days: int
    minutes_deleted: datetime = _LONG_AGO
    hours_deleted: datetime = _LONG_AGO

    def raw_since(self, now: datetime) -> datetime:
        return now - timedelta(days=self.raw_days)

    def minutes_since(self, now: datetime) -> datetime:
        return max(now - timedelta(days=self.minute_days), self.minutes_deleted)

    def hours_since(self, now: datetime) -> datetime:
        return max(now - timedelta(days=self.hour_days), self.hours_deleted)


@dataclass(frozen=True, slots=True)
class _Known:
    until: float
    organizations: dict[str, Retention]
    first_inferences: datetime  # the first day that has a partition
    first_samples: datetime


_known = _Known(0.0, {}, _LONG_AGO, _LONG_AGO)


def _look() -> _Known:
    global _known
    if time.monotonic() >= _known.until:
        rows = Organization.objects.values_list(
            "slug", "raw_days", "minute_days", "hour_days", "minutes_since", "hours_since"
        )
        found = {
            slug: Retention(raw, minute, hour, minutes or _LONG_AGO, hours or _LONG_AGO)
            for slug, raw, minute, hour, minutes, hours in rows
        }
        _known = _Known(
            time.monotonic() + _MEMORY, found, *map(_first_partition, ("monitoring_inference", "monitoring_sample"))
        )
    return _known


def _first_partition(table: str) -> datetime:
    """The first day that has a partition: a retention made longer does not bring back the days before it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(right(child.relname, 8)) FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = %s::regclass",
            [table],
        )
        day = cursor.fetchone()[0]
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) if day else _LONG_AGO


def every() -> dict[str, Retention]:
    """Organization -> retention."""
    return _look().organizations


def of(organization: str) -> Retention:
    """One organization's retention; a new one is looked up at once."""
    if organization not in every():
        forget()
    return every()[organization]


def single_rows_since(organization: str, now: datetime) -> datetime:
    """From when on single inferences of an organization are stored; older ones count in rollups alone."""
    return max(of(organization).raw_since(now), _look().first_inferences)


def single_samples_since(now: datetime) -> datetime:
    """From when on single samples are stored, of any organization."""
    return max(now - SAMPLES_KEPT, _look().first_samples)


def forget() -> None:
    global _known
    _known = _Known(0.0, {}, _LONG_AGO, _LONG_AGO)
