"""The demo data's way in and out: hours loaded once, a live trickle of the same calls, everything cleared again."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection

from cockpit.demo import alarms, samples, tellers
from cockpit.demo.calls import HOUR, Telling, between, hour_of, hour_of_calls
from cockpit.demo.profiles import PROFILES, Profile
from monitoring.ingest import BACKFILL_SINCE, NEWEST, Item, record_inferences
from monitoring.store import current_store
from monitoring.store.base import Query, Stored
from monitoring.store.samples import Increment, Sample, Trace
from organizations.models import Organization
from organizations.scope import Scope

SOURCE = "demo"
DAYS = 30
_BATCH = 2_000
_SCOPE = Scope.of(*(profile.organization for profile in PROFILES))
_PATIENCE = "180s"  # for another one's turn: thirty days take a while
_EVERYWHERE = Scope.of(samples.ORGANIZATION, *(profile.organization for profile in PROFILES))
_MOST_SAMPLES = 4_000  # in one transaction
_SIGNS_EVERY = timedelta(minutes=10)  # of machines, however rarely they are looked at closely
_READ_EVERY = timedelta(seconds=30)  # by the trickle
_LONGEST_GAP = HOUR  # of a trickle whose machine slept: what is older is not made up for


def is_empty() -> bool:
    """Whether the database holds no inference at all, of any organization, source and time."""
    return not counts()


def is_there() -> bool:
    """Whether any demo data are there."""
    return SOURCE in counts()


def counts() -> dict[str, int]:
    """Inferences by source, of all organizations and all times."""
    query = Query(start=BACKFILL_SINCE, end=hour_of(datetime.now(UTC) + NEWEST) + HOUR, by=("source",))
    [found] = current_store().totals(Scope.system("demo"), [query])
    return {source: summary.inferences for (source,), summary in found.items()}


@contextmanager
def turn() -> Iterator[None]:
    """One at a time loads, trickles or clears: nobody adds to what somebody else is just taking away.

    A lock of the session, for a turn is many transactions; Postgres takes it from whoever dies.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{_PATIENCE}'; SET statement_timeout = '{_PATIENCE}'")
        cursor.execute("SELECT pg_advisory_lock(hashtextextended('cockpit.demo', 7))")
        cursor.execute("RESET lock_timeout; RESET statement_timeout")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended('cockpit.demo', 7))")


def load(start: datetime, end: datetime, *, telling: Telling) -> int:
    """Record the calls of [the hour of `start`, end) in every hour that holds no demo data yet; how many.

    An organization's hour is stored whole or not at all, so that a load that is repeated, or broken off and taken up
    again, adds nothing twice. The caller has the `turn`.
    """
    start, loaded = hour_of(start), 0
    there = _hours_there(start, end)
    zones = _zones()
    _load_samples(start, end, telling, zones)
    tellers.make(telling.told_at)
    alarms.load(telling, zones)
    hour = start
    while hour < end:
        for profile in PROFILES:
            if (profile.organization, hour) not in there:
                calls = hour_of_calls(profile, hour, zone=zones[profile.organization], telling=telling)
                loaded += _record(profile, between(calls, hour, end), now=telling.told_at)
        hour += HOUR
    return loaded


def _hours_there(start: datetime, end: datetime) -> set[tuple[str, datetime]]:
    query = Query(start=start, end=hour_of(end) + HOUR, by=("organization_id",), sources=(SOURCE,))
    [found] = current_store().series(_SCOPE, [query], step_seconds=3600)
    return {(organization, hour) for (organization,), steps in found.items() for hour, _ in steps}


def _load_samples(start: datetime, end: datetime, telling: Telling, zones: dict[str, ZoneInfo]) -> None:
    """The samples of every hour that holds none, whole hours in one transaction."""
    trace = Trace(organization=samples.ORGANIZATION, family="cockpit_cpu_utilization_ratio", by=(), sources=(SOURCE,),
                  start=start, end=hour_of(end) + HOUR)  # fmt: skip
    [found] = current_store().history(_EVERYWHERE, [trace], step_seconds=3600)
    there = {moment for moment, _ in found.get((), ())}
    read: list[Sample] = []
    grown: list[Increment] = []
    hour = start
    while hour < end:
        if hour not in there:
            every = _reading_interval(hour, telling.told_at)
            moments = [hour + every * number for number in range(HOUR // every)]
            for moment in (moment for moment in moments if moment < end):
                read += samples.samples(moment, telling, zones)
                grown += samples.increments(moment, every.total_seconds(), telling, zones)
            between = {hour + _SIGNS_EVERY * number for number in range(HOUR // _SIGNS_EVERY)}.difference(moments)
            read += [sign for moment in between if moment < end for sign in samples.signs(moment)]
        hour += HOUR
        if read and (hour >= end or len(read) + len(grown) > _MOST_SAMPLES):
            current_store().observe(_EVERYWHERE, read, grown, now=telling.told_at)
            read, grown = [], []


def _reading_interval(hour: datetime, told_at: datetime) -> timedelta:
    """Fine where a page looks closely, coarse where it only can look from far."""
    age = told_at - hour
    return timedelta(minutes=1 if age < 3 * HOUR else 10 if age < 48 * HOUR else 60)


def _zones() -> dict[str, ZoneInfo]:
    return {slug: ZoneInfo(zone) for slug, zone in Organization.objects.values_list("slug", "timezone")}


def _record(profile: Profile, calls: list[Item], *, now: datetime) -> int:
    recorded = 0
    for first in range(0, len(calls), _BATCH):
        results = record_inferences(
            scope=Scope.of(profile.organization),
            organization=profile.organization,
            items=calls[first : first + _BATCH],
            now=now,
            backfill=True,
        )
        recorded += sum(isinstance(result, Stored) for result in results)
    return recorded


def clear() -> int:
    """Take everything of the demo away, of every organization; how many inferences there were."""
    with turn():
        alarms.clear()
        tellers.clear()
        return current_store().erase(Scope.system("demo clear"), source=SOURCE)


class Trickle:
    """The calls of the present, each recorded when its time has come: live data keep the rhythm of the past."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._until = self._read = telling.told_at
        self._blips = alarms.Blips()
        self._hour: datetime | None = None
        self._coming: dict[str, list[Item]] = {}

    def tick(self, now: datetime) -> int:
        """Record what fell due since the last tick; how many. The caller has the `turn`."""
        since, recorded = max(self._until, now - _LONGEST_GAP), 0
        self._until = now  # before the work: what fails is left out, never recorded twice
        for hour in sorted({hour_of(since), hour_of(now)}):
            self._look_at(hour)
            for profile in PROFILES:
                recorded += _record(profile, between(self._coming[profile.organization], since, now), now=now)
        if now - self._read >= _READ_EVERY:
            self._observe(now)
        self._blips.tick(now)
        return recorded

    def _observe(self, now: datetime) -> None:
        seconds, zones = min(now - self._read, _LONGEST_GAP).total_seconds(), _zones()
        self._read = now
        read, grown = samples.samples(now, self._telling, zones), samples.increments(now, seconds, self._telling, zones)
        current_store().observe(_EVERYWHERE, read, grown, now=now)

    def _look_at(self, hour: datetime) -> None:
        if hour != self._hour:
            zones = _zones()
            self._coming = {
                one.organization: hour_of_calls(one, hour, zone=zones[one.organization], telling=self._telling)
                for one in PROFILES
            }
            self._hour = hour
