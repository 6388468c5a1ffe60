"""How long each organization's data are kept, as its row says, remembered for a moment."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from organizations.models import Organization

_MEMORY = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that single inferences, minute rollups and hour rollups are kept; day rollups stay."""

    raw_days: int
    minute_days: int
    hour_days: int

    def raw_since(self, now: datetime) -> datetime:
        return now - timedelta(days=self.raw_days)

    def minutes_since(self, now: datetime) -> datetime:
        return now - timedelta(days=self.minute_days)

    def hours_since(self, now: datetime) -> datetime:
        return now - timedelta(days=self.hour_days)


_known: tuple[float, dict[str, Retention]] = (0.0, {})


def every() -> dict[str, Retention]:
    """Organization -> retention."""
    global _known
    until, found = _known
    if time.monotonic() >= until:
        rows = Organization.objects.values_list("slug", "raw_days", "minute_days", "hour_days")
        found = {slug: Retention(raw, minute, hour) for slug, raw, minute, hour in rows}
        _known = (time.monotonic() + _MEMORY, found)
    return found


def of(organization: str) -> Retention:
    """One organization's retention; a new one is looked up at once."""
    found = every().get(organization)
    if found is None:
        forget()
        found = every()[organization]
    return found


def forget() -> None:
    global _known
    _known = (0.0, {})
