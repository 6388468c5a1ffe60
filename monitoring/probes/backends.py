"""What everything stands on: the database, the cache, and the broker with its queues and workers."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection

from bedrock.hosts import queue_of
from monitoring import heartbeats
from monitoring.probes.reading import Reading, each
from monitoring.pubsub import client

MOST_QUEUES = 50

# One row each; a column that is NULL is left out. The second part names the columns' families.
_QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "connections": (
        "SELECT (SELECT sum(numbackends) FROM pg_stat_database), current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int",
        ("cockpit_database_connections", "cockpit_database_connections_limit"),
    ),
    "locks": ("SELECT count(*) FROM pg_locks WHERE NOT granted", ("cockpit_database_locks_waiting",)),
    # Times of other roles' transactions are told only to members of pg_read_all_stats.
    "transactions": (
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()",
        ("cockpit_database_oldest_transaction_seconds",),
    ),
    "database": (
        "SELECT blks_hit, blks_read, xact_commit, xact_rollback, deadlocks FROM pg_stat_database"
        " WHERE datname = current_database()",
        (
            "cockpit_database_block_hits_total",
            "cockpit_database_block_reads_total",
            "cockpit_database_commits_total",
            "cockpit_database_rollbacks_total",
            "cockpit_database_deadlocks_total",
        ),
    ),
    "size": ("SELECT pg_database_size(current_database())", ("cockpit_database_size_bytes",)),
    "rows": (
        "SELECT sum(n_dead_tup), sum(n_live_tup) FILTER (WHERE relname LIKE 'monitoring\\_%%\\_delta')"
        " FROM pg_stat_user_tables",
        ("cockpit_database_dead_rows", "cockpit_deltas_waiting"),
    ),
    "replication": (
        # The server's own lag is of the last answer: forgotten where nothing new comes, and short for a standby that
        # hangs. One that has not everything and is silent for longer than the usual ten seconds is behind by as much.
        "SELECT count(*), max(CASE WHEN replay_lsn IS NOT NULL THEN extract(epoch FROM greatest(replay_lag,"
        " interval '0', CASE WHEN replay_lsn <> sent_lsn THEN clock_timestamp() - reply_time - interval '10 s' END))"
        " END) FROM pg_stat_replication",
        ("cockpit_database_standbys", "cockpit_database_replication_lag_seconds"),
    ),
    "slots": (
        "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots"
        " WHERE NOT pg_is_in_recovery()",
        ("cockpit_database_replication_held_bytes",),
    ),
}


class Database:
    """Postgres, as its statistics views tell it to the cockpit's own role."""

    def __init__(self, cursor: Callable[[], AbstractContextManager[Any]] | None = None) -> None:
        self._cursor = cursor or (lambda: connection.cursor())  # of the thread that reads, not of this one

    def read(self) -> list[Reading]:
        """Raises the database's own error when it cannot be reached at all."""
        try:
            began = time.perf_counter()
            self._row("SELECT 1")
            connected = time.perf_counter()
            self._row("SELECT 1")
            answered = time.perf_counter()
            return [
                Reading("cockpit_database_connect_seconds", connected - began),
                Reading("cockpit_database_latency_seconds", answered - connected),
                *each("database", {name: partial(self._ask, *question) for name, question in _QUESTIONS.items()}),
            ]
        finally:
            connection.close()  # of this thread, which nobody else looks after

    def _row(self, sql: str) -> Sequence[Any]:
        with self._cursor() as cursor:
            cursor.execute(sql, [])
            row: Sequence[Any] = cursor.fetchone()
        return row

    def _ask(self, sql: str, families: tuple[str, ...]) -> Iterator[Reading]:
        for family, value in zip(families, self._row(sql), strict=True):
            if value is not None:
                yield Reading(family, float(value))


_INFO = (
    ("cockpit_cache_memory_used_bytes", "used_memory"),
    ("cockpit_cache_clients", "connected_clients"),
    ("cockpit_cache_evicted_keys_total", "evicted_keys"),
    ("cockpit_cache_expired_keys_total", "expired_keys"),
    ("cockpit_cache_hits_total", "keyspace_hits"),
    ("cockpit_cache_misses_total", "keyspace_misses"),
)


class Cache:
    """Valkey, which is cache and broker in one."""

    def __init__(self, connect: Callable[[], Any] = client) -> None:
        self._connect = connect

    def read(self) -> list[Reading]:
        """Raises redis.RedisError when it cannot be reached."""
        valkey = self._connect()
        valkey.ping()  # whatever connecting costs is no latency
        began = time.perf_counter()
        valkey.ping()
        latency = time.perf_counter() - began
        told = valkey.info()
        found = [Reading(family, float(told[name])) for family, name in _INFO if name in told]
        if told.get("maxmemory"):  # 0 is no limit
            found.append(Reading("cockpit_cache_memory_limit_bytes", float(told["maxmemory"])))
        return [Reading("cockpit_cache_latency_seconds", latency), *found]


class Broker:
    """The queues: how long, how old, and who works on them."""

    def __init__(
        self,
        connect: Callable[[], Any] = client,
        signs: Callable[[], list[heartbeats.Heartbeat]] = heartbeats.found,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connect, self._signs, self._clock = connect, signs, clock

    def read(self) -> list[Reading]:
        """Raises redis.RedisError when it cannot be reached."""
        return each("broker", {"queues": self._queues, "processes": self._processes})

    def _queues(self) -> Iterator[Reading]:
        valkey, prefix = self._connect(), settings.BROKER_PREFIX
        hosts = sorted({one.host for one in self._signs() if one.role == "worker"})
        for queue in ("celery", *map(queue_of, hosts))[:MOST_QUEUES]:
            with valkey.pipeline(transaction=False) as asked:
                depth, oldest = asked.llen(prefix + queue).lindex(prefix + queue, -1).execute()
            yield Reading("cockpit_queue_depth", depth, {"queue": queue})
            if (age := self._age(oldest) if depth else 0.0) is not None:
                yield Reading("cockpit_queue_oldest_seconds", age, {"queue": queue})
        yield Reading("cockpit_queue_unacknowledged", valkey.hlen(f"{prefix}unacked"))

    def _age(self, message: str | None) -> float | None:
        """Seconds since a message was sent; None when it does not say so."""
        try:
            sent = float(json.loads(message or "")["headers"][heartbeats.SENT])
        except (ValueError, TypeError, KeyError):
            return None
        return max(0.0, self._clock() - sent)

    def _processes(self) -> Iterator[Reading]:
        signs = self._signs()
        alive = [one for one in signs if one.role == "worker" and one.age < heartbeats.ALIVE_SECONDS]
        yield Reading("cockpit_workers", len(alive))
        youngest = {one.role: one.age for one in sorted(signs, key=lambda one: -one.age)}
        if "beat" in youngest:
            yield Reading("cockpit_beat_last_seen_timestamp_seconds", self._clock() - youngest["beat"])
        for role, age in youngest.items():
            yield Reading("cockpit_role_age_seconds", age, {"role": role})
