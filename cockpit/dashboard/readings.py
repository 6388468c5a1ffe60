"""Samples as the panels read them: the platform's own, which every member may see, and an organization's counters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Steps
from cockpit.dashboard.windows import View
from monitoring.store import current_store, retention
from monitoring.store.base import Store
from monitoring.store.samples import Span, Trace
from monitoring.store.windows import floor
from organizations.models import Organization
from organizations.scope import Scope

PLATFORM = "shared"  # the organization that hosts, cards, database, cache and queues belong to
SOURCES = ("live", "demo")
_LONG = timedelta(hours=12)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# Family -> the labels that are kept apart; others are added up. None but these is ever read of `shared`.
_OF_HOSTS: Mapping[str, tuple[str, ...]] = {
    "cockpit_cpu_utilization_ratio": ("host",),
    "cockpit_load_average": ("host", "minutes"),
    "cockpit_memory_used_bytes": ("host",),
    "cockpit_memory_total_bytes": ("host",),
    "cockpit_swap_used_bytes": ("host",),
    "cockpit_swap_total_bytes": ("host",),
    "cockpit_disk_used_bytes": ("host", "mount"),
    "cockpit_disk_free_bytes": ("host", "mount"),
    "cockpit_disk_size_bytes": ("host", "mount"),
    "cockpit_disk_read_bytes_total": ("host",),
    "cockpit_disk_written_bytes_total": ("host",),
    "cockpit_network_receive_bytes_total": ("host",),
    "cockpit_network_transmit_bytes_total": ("host",),
    "cockpit_network_receive_errors_total": ("host",),
    "cockpit_network_transmit_errors_total": ("host",),
}
_OF_CARDS: Mapping[str, tuple[str, ...]] = {
    "cockpit_gpu_up": ("host", "gpu"),
    "cockpit_gpu_info": ("host", "gpu", "name", "driver"),
    "cockpit_gpu_utilization_ratio": ("host", "gpu"),
    "cockpit_gpu_memory_used_bytes": ("host", "gpu"),
    "cockpit_gpu_memory_total_bytes": ("host", "gpu"),
    "cockpit_gpu_temperature_celsius": ("host", "gpu"),
    "cockpit_gpu_slowdown_celsius": ("host", "gpu"),
    "cockpit_gpu_power_watts": ("host", "gpu"),
    "cockpit_gpu_power_limit_watts": ("host", "gpu"),
    "cockpit_gpu_throttled": ("host", "gpu", "reason"),
    "cockpit_gpu_xid_errors_total": ("host", "gpu", "xid"),
}
_OF_BACKENDS: Mapping[str, tuple[str, ...]] = {
    "cockpit_database_latency_seconds": (),
    "cockpit_database_connections": (),
    "cockpit_database_connections_limit": (),
    "cockpit_database_block_hits_total": (),
    "cockpit_database_block_reads_total": (),
    "cockpit_database_commits_total": (),
    "cockpit_database_deadlocks_total": (),
    "cockpit_database_locks_waiting": (),
    "cockpit_database_oldest_transaction_seconds": (),
    "cockpit_database_size_bytes": (),
    "cockpit_database_dead_rows": (),
    "cockpit_database_replication_lag_seconds": (),
    "cockpit_cache_latency_seconds": (),
    "cockpit_cache_memory_used_bytes": (),
    "cockpit_cache_memory_limit_bytes": (),
    "cockpit_cache_evicted_keys_total": (),
    "cockpit_cache_hits_total": (),
    "cockpit_cache_misses_total": (),
    "cockpit_queue_depth": ("queue",),
    "cockpit_queue_oldest_seconds": ("queue",),
    "cockpit_queue_unacknowledged": (),
    "cockpit_workers": (),
    "cockpit_beat_last_seen_timestamp_seconds": (),
    "cockpit_deltas_waiting": (),
    "cockpit_task_runs_total": ("task", "state"),
    "cockpit_probe_up": ("host", "probe"),
    "cockpit_probe_last_success_timestamp_seconds": ("host", "probe"),
}
SHARED: Mapping[str, tuple[str, ...]] = {**_OF_HOSTS, **_OF_CARDS, **_OF_BACKENDS}
OWN: Mapping[str, tuple[str, ...]] = {
    "cockpit_http_requests_total": ("route", "status"),
    "cockpit_http_request_duration_seconds_bucket": ("route", "le"),
    "cockpit_auth_failures_total": ("reason",),
    "cockpit_rate_limited_total": ("route",),
    "cockpit_new_networks_total": (),
}


@dataclass(frozen=True, slots=True)
class Track:
    """One series over a window: its labels, where it came from, and what each step held."""

    labels: Mapping[str, str]
    source: str
    spans: Mapping[datetime, Span]

    @property
    def newest(self) -> datetime:
        """The start of the last step that holds anything."""
        return max(self.spans)

    @property
    def last(self) -> float:
        return self.spans[self.newest].last

    @property
    def first(self) -> float:
        return self.spans[min(self.spans)].last

    @property
    def most(self) -> float:
        return max(span.most for span in self.spans.values())

    @property
    def grown(self) -> float:
        """Of a running total: by how much, in all of the window."""
        return sum(span.total for span in self.spans.values())

    def means(self, steps: Steps) -> list[float | None]:
        return [span.mean if (span := self.spans.get(moment)) else None for moment in steps.t]

    def rates(self, steps: Steps) -> list[float | None]:
        """Of a running total: its growth a second, step by step; None where nothing was read."""
        return [
            span.total / covered if (span := self.spans.get(moment)) and (covered := steps.covered(index)) else None
            for index, moment in enumerate(steps.t)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Since when something is not read any more, in its reader's own time, and how long that is."""

    since: str
    age: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All samples of one window. `steps` are its own: they are fewer than those of the inferences beside them."""

    tracks: Mapping[str, Sequence[Track]] = field(default_factory=dict)
    platform: bool = False  # whether the reader may see the platform's
    steps: Steps = field(default_factory=lambda: Steps((), 60, ZoneInfo("UTC"), _NEVER, _NEVER))

    def of(self, family: str, source: str | None = None, /, **where: str) -> list[Track]:
        """The series of a family that have these labels."""
        return [
            track
            for track in self.tracks.get(family, ())
            if (source is None or track.source == source) and where.items() <= track.labels.items()
        ]

    def one(self, family: str, source: str, /, **where: str) -> Track | None:
        """The only such series; the first, should there be more."""
        return next(iter(self.of(family, source, **where)), None)

    def last(self, family: str, source: str, /, **where: str) -> float | None:
        track = self.one(family, source, **where)
        return None if track is None else track.last

    def grown(self, family: str, source: str, /, **where: str) -> float | None:
        """By how much all such running totals grew; None where there is none."""
        tracks = self.of(family, source, **where)
        return sum(track.grown for track in tracks) if tracks else None

    def sources(self, families: Iterable[str]) -> list[str]:
        """Where the series of these families came from."""
        there = {track.source for family in families for track in self.tracks.get(family, ())}
        return [source for source in SOURCES if source in there]

    def label(self, families: Iterable[str]) -> str:
        """How figures of these families must be labelled; "" for live ones alone."""
        there = self.sources(families)
        return "" if "demo" not in there else "demo data included" if "live" in there else "demo data"

    @property
    def until(self) -> datetime:
        """The end of the window, as far as it has passed."""
        return min(self.steps.end, self.steps.as_of)

    def silence(self, probe: str, source: str, tracks: Iterable[Track | None] = (), /, **where: str) -> Silence | None:
        """Since when a probe reads nothing any more; None while it does.

        Its last success is told to the second; without any in the window, the last step of `tracks` tells.
        """
        success = self.one("cockpit_probe_last_success_timestamp_seconds", source, probe=probe, **where)
        steps = [track.newest + timedelta(seconds=self.steps.seconds) for track in tracks if track]
        if success is not None:
            last = datetime.fromtimestamp(success.last, self.steps.zone)
        elif steps:
            last = min(max(steps), self.until).astimezone(self.steps.zone)
        else:
            return None
        seconds = (self.until - last).total_seconds()
        if seconds <= max(90.0, 3.0 * settings.GATHER_INTERVAL):
            return None
        today = last.date() == self.until.astimezone(self.steps.zone).date()
        since = f"{last:%H:%M}" if today else f"{last.day} {last:%b} {last:%H:%M}"
        return Silence(since=since, age=words.duration(60_000 * round(seconds / 60)) or "")


def read(organization: Organization, view: View, now: datetime, *, platform: bool) -> Readings:
    """All samples of a view; those of the platform only where its reader may see them."""
    store, zone = current_store(), ZoneInfo(organization.timezone)
    view = replace(view, step_seconds=_step(view, organization.slug, now))
    tracks = _read(store, Scope.of(organization.slug), organization.slug, OWN, view)
    if platform:
        tracks |= _read(store, Scope.system("platform panels"), PLATFORM, SHARED, view)
    first = floor(view.start.astimezone(UTC), timedelta(seconds=view.step_seconds))
    step = timedelta(seconds=view.step_seconds)
    t = tuple(first + step * number for number in range(-((first - view.end) // step)))
    return Readings(
        tracks=tracks, platform=platform, steps=Steps(t, view.step_seconds, zone, view.start, min(view.end, now))
    )


def _step(view: View, organization: str, now: datetime) -> int:
    """The view's step or twice that: at most sixty of them, whole hours where that spares reading a day's minutes."""
    steps = (view.end - view.start).total_seconds() / view.step_seconds
    wanted = view.step_seconds * max(1, -(-int(steps) // charts.MOST_STEPS))
    minutes_since = max(retention.of(one).minutes_since(now) for one in (organization, PLATFORM))
    whole_hours = view.start < minutes_since or view.end - view.start > _LONG
    finest = 3600 if whole_hours else 60
    return finest * -(-wanted // finest)


def _read(
    store: Store, scope: Scope, organization: str, families: Mapping[str, Collection[str]], view: View
) -> dict[str, list[Track]]:
    sources = [source for source in SOURCES if view.source in (None, source)]
    asked = [(family, source) for family in families for source in sources]
    traces = [
        Trace(
            organization=organization,
            family=family,
            start=view.start,
            end=view.end,
            by=tuple(families[family]),
            sources=(source,),
        )
        for family, source in asked
    ]
    found: dict[str, list[Track]] = {}
    answers = store.history(scope, traces, step_seconds=view.step_seconds) if traces else []
    for (family, source), spans in zip(asked, answers, strict=True):
        tracks = [Track(dict(labels), source, dict(steps)) for labels, steps in spans.items() if steps]
        if tracks:
            found.setdefault(family, []).extend(tracks)
    return found
