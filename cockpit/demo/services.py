"""The demo's database, cache and queues: busy with the organizations, and in trouble when they are."""

from datetime import timedelta

from cockpit.demo.calls import Telling
from cockpit.demo.moments import Moment, Readings, Zones, incidents
from cockpit.demo.profiles import MACHINES, PROFILES

_GIB, _MIB = 2**30, 2**20
_DAY = timedelta(days=1)
_SIZE_GIB, _GROWS_GIB = 298.0, 2.3  # when the story is told, and a day: most of what fills the disk under it
_BACKUP_HOUR, _BACKUP_MINUTES = 2, 14  # of the UTC day: one long transaction
_CLEANED_EVERY = 6  # hours: dead rows pile up until then
_WORKERS = 3
_TASKS = (("monitoring.tasks.gather", 0.1), ("monitoring.tasks.gather_host", 0.1 * len(MACHINES)),
          ("monitoring.tasks.keep_house", 1 / 600))  # fmt: skip


def levels(moment: Moment, telling: Telling, zones: Zones) -> Readings:
    """What the probes of the database, the cache and the broker would have read."""
    yield from _database(moment, telling)
    yield from _cache(moment, telling, zones)
    yield from _queues(moment)
    for probe in ("database", "cache", "broker"):
        yield "cockpit_probe_up", {"probe": probe}, 1.0
        yield "cockpit_probe_last_success_timestamp_seconds", {"probe": probe}, moment.at.timestamp()


def growth(moment: Moment, seconds: float, telling: Telling, zones: Zones) -> Readings:
    """By how much their running totals grew."""
    busy = 0.05 + moment.busy * (1 + 0.15 * moment.noise("services"))
    hits = 9_000 * busy * seconds
    yield "cockpit_database_block_hits_total", {}, round(hits)
    yield "cockpit_database_block_reads_total", {}, round(hits * (0.004 + 0.008 * moment.busy))
    yield "cockpit_database_commits_total", {}, round((4 + 60 * busy) * seconds)
    yield "cockpit_database_rollbacks_total", {}, moment.whole(0.05 * busy * seconds, "rollbacks")
    found = 380 * busy * seconds
    yield "cockpit_cache_hits_total", {}, round(found)
    yield "cockpit_cache_misses_total", {}, round(found * (0.06 + 0.02 * moment.chance("misses")))
    yield "cockpit_cache_expired_keys_total", {}, round(6 * busy * seconds)
    yield "cockpit_cache_evicted_keys_total", {}, round(9 * seconds) if _runaway(moment, telling, zones) else 0
    for task, often in _TASKS:
        failed = moment.whole(0.02 * moment.heat * often * seconds, task, "failed")
        yield "cockpit_task_runs_total", {"state": "success", "task": task}, moment.whole(often * seconds, task)
        if failed:
            yield "cockpit_task_runs_total", {"state": "failure", "task": task}, failed


def _database(moment: Moment, telling: Telling) -> Readings:
    busy, days = moment.busy, (moment.at - telling.told_at) / _DAY
    milliseconds = 0.45 + 0.9 * busy**2 + 0.15 * moment.chance("latency") + 2.5 * moment.heat
    yield "cockpit_database_latency_seconds", {}, round(milliseconds / 1000, 6)
    yield "cockpit_database_connections", {}, round(11 + 38 * busy + 18 * moment.heat + 2 * moment.noise("connections"))
    yield "cockpit_database_connections_limit", {}, 97
    yield "cockpit_database_locks_waiting", {}, moment.whole(1.2 * busy**3, "locks")
    yield "cockpit_database_oldest_transaction_seconds", {}, _oldest(moment)
    yield "cockpit_database_size_bytes", {}, round((_SIZE_GIB + _GROWS_GIB * days) * _GIB)
    piled = (moment.at.hour % _CLEANED_EVERY * 60 + moment.at.minute) / (_CLEANED_EVERY * 60)
    yield "cockpit_database_dead_rows", {}, round(30_000 + 260_000 * piled * (0.3 + busy))
    yield "cockpit_database_standbys", {}, 1
    yield "cockpit_database_replication_lag_seconds", {}, round(0.02 + 0.3 * busy * moment.chance("lag"), 3)


def _oldest(moment: Moment) -> float:
    if moment.at.hour == _BACKUP_HOUR and moment.at.minute < _BACKUP_MINUTES:
        return 60.0 * moment.at.minute + moment.at.second
    return round(0.04 + 2 * moment.busy * moment.chance("transaction"), 3)


def _runaway(moment: Moment, telling: Telling, zones: Zones) -> bool:
    return any("runaway" in incidents(profile, moment.at, telling, zones) for profile in PROFILES)


def _cache(moment: Moment, telling: Telling, zones: Zones) -> Readings:
    """Its memory is full while a loop runs away; its policy, unlike that of ours, throws keys out then."""
    yield "cockpit_cache_latency_seconds", {}, round((0.16 + 0.2 * moment.busy * moment.chance("cache")) / 1000, 6)
    used = (
        1.0 if _runaway(moment, telling, zones) else 0.38 + 0.3 * moment.busy + 0.01 * moment.noise("cache", "memory")
    )
    yield "cockpit_cache_memory_used_bytes", {}, round(used * 1024 * _MIB)
    yield "cockpit_cache_memory_limit_bytes", {}, 1024 * _MIB
    yield "cockpit_cache_clients", {}, round(14 + 30 * moment.busy)


def _queues(moment: Moment) -> Readings:
    """A worker is away while the hot card is at its hottest, and work waits for it."""
    away = moment.heat > 0.8
    waiting = moment.whole(2 * moment.busy**2, "queue") + (moment.whole(24 * moment.heat, "queue") if away else 0)
    yield "cockpit_queue_depth", {"queue": "celery"}, waiting
    age = (2.5 if away else 0.4) * waiting * (1 + moment.chance("age"))
    yield "cockpit_queue_oldest_seconds", {"queue": "celery"}, round(age, 2)
    for machine in MACHINES:
        yield "cockpit_queue_depth", {"queue": f"gather.{machine.host}"}, 0
        yield "cockpit_queue_oldest_seconds", {"queue": f"gather.{machine.host}"}, 0
    yield "cockpit_queue_unacknowledged", {}, moment.whole(3 * moment.busy, "unacknowledged")
    yield "cockpit_workers", {}, _WORKERS - away
    yield "cockpit_beat_last_seen_timestamp_seconds", {}, moment.at.timestamp() - 3
    for role in ("worker", "beat", "fold", "dispatch"):
        yield "cockpit_role_age_seconds", {"role": role}, round(0.5 + 4 * moment.chance("sign of life", role), 1)
    yield "cockpit_deltas_waiting", {}, round(240 * moment.busy * moment.chance("deltas"))
