"""Database, cache and broker read for real, and against fakes that lie, fail and are slow."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis
from django.db import OperationalError, connection
from structlog.testing import capture_logs

from monitoring import heartbeats
from monitoring.families import BY_NAME
from monitoring.gathering import believable
from monitoring.heartbeats import Heartbeat
from monitoring.probes import backends, reading
from monitoring.probes.backends import Broker, Cache, Database
from monitoring.probes.reading import Reading
from tests.conftest import url_of
from tests.servers import await_true, throwaway_valkey


def found(readings: list[Reading], family: str, **labels: str) -> list[float]:
    return [one.value for one in readings if one.family == family and labels.items() <= dict(one.labels).items()]


def one_of(readings: list[Reading], family: str) -> float:
    (value,) = found(readings, family)
    return value


@pytest.fixture(scope="module")
def valkey() -> Iterator[redis.Redis]:
    with throwaway_valkey() as places:
        yield redis.Redis.from_url(places.redis_url, decode_responses=True)


@pytest.fixture
def broker(valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """A real, empty Valkey in place of the process' own."""
    valkey.flushall()
    monkeypatch.setattr(heartbeats, "client", lambda: valkey)
    return valkey


class TestDatabase:
    def test_everything_is_read_as_the_cockpits_own_role(self, database: str) -> None:
        readings = Database().read()
        read = {one.family for one in readings}
        listed = {name for name in BY_NAME if name.startswith("cockpit_database_")} | {"cockpit_deltas_waiting"}
        # Without standbys and replication slots there is no lag.
        assert listed - read == {
            "cockpit_database_replication_lag_seconds",
            "cockpit_database_replication_held_bytes",
        }
        assert read <= listed
        assert all(map(believable, readings))
        assert 0 < one_of(readings, "cockpit_database_latency_seconds") < 1
        assert one_of(readings, "cockpit_database_connections") >= 1
        assert one_of(readings, "cockpit_database_size_bytes") > 1_000_000
        assert one_of(readings, "cockpit_database_standbys") == 0

    def test_no_connection_is_left_open(self, database: str) -> None:
        Database().read()
        assert connection.connection is None

    def test_an_open_transaction_and_a_waiting_lock_are_seen(self, database: str) -> None:
        with (
            psycopg.connect(url_of(database, "cockpit_app")) as holder,
            psycopg.connect(url_of(database, "cockpit_app")) as waiter,
        ):
            holder.execute("SELECT pg_advisory_xact_lock(42)")
            time.sleep(0.2)
            assert one_of(Database().read(), "cockpit_database_oldest_transaction_seconds") >= 0.2
            with waiter.pipeline():
                waiter.execute("SELECT pg_advisory_xact_lock(42)")
                assert await_true(lambda: one_of(Database().read(), "cockpit_database_locks_waiting") == 1, 10)
                holder.rollback()
        assert one_of(Database().read(), "cockpit_database_locks_waiting") == 0

    def test_a_question_that_fails_loses_no_other(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        questions = {**backends._QUESTIONS, "locks": ("SELECT 1/0", ("cockpit_database_locks_waiting",))}
        monkeypatch.setattr(backends, "_QUESTIONS", questions)
        readings = Database().read()
        assert found(readings, "cockpit_database_locks_waiting") == []
        assert one_of(readings, "cockpit_database_size_bytes") > 0

    def test_what_is_null_is_left_out_and_a_row_of_another_shape_is_a_fault(self) -> None:
        widths = {sql: len(families) for sql, families in backends._QUESTIONS.values()}

        class Cursor:
            def execute(self, sql: str, _: Any) -> None:
                self.width = 0 if "replay_lag" in sql else widths.get(sql, 1)

            def fetchone(self) -> tuple[None, ...]:
                return (None,) * self.width

        @contextmanager
        def cursor() -> Iterator[Cursor]:
            yield Cursor()

        reading._told.clear()
        with capture_logs() as said:
            readings = Database(cursor).read()
        assert {one.family for one in readings} == {
            "cockpit_database_connect_seconds",
            "cockpit_database_latency_seconds",
        }
        assert [one["part"] for one in said] == ["replication"]

    def test_a_database_that_is_away_is_an_error(self) -> None:
        def cursor() -> Any:
            raise OperationalError("connection refused")

        with pytest.raises(OperationalError):
            Database(cursor).read()


class TestCache:
    def test_everything_is_read(self, broker: redis.Redis) -> None:
        broker.set("a", "b")
        broker.get("a")
        broker.get("none")
        before = Cache(lambda: broker).read()
        broker.get("a")
        broker.get("none")
        after = Cache(lambda: broker).read()
        assert {one.family for one in after} <= set(BY_NAME)
        assert all(map(believable, after))
        assert 0 < one_of(after, "cockpit_cache_latency_seconds") < 1
        assert one_of(after, "cockpit_cache_memory_used_bytes") > 100_000
        assert one_of(after, "cockpit_cache_clients") >= 1
        for family in ("cockpit_cache_hits_total", "cockpit_cache_misses_total"):
            assert one_of(after, family) == one_of(before, family) + 1

    def test_a_limit_of_none_is_no_number(self, broker: redis.Redis) -> None:
        broker.config_set("maxmemory", 0)
        assert found(Cache(lambda: broker).read(), "cockpit_cache_memory_limit_bytes") == []
        broker.config_set("maxmemory", 64 * 2**20)
        assert found(Cache(lambda: broker).read(), "cockpit_cache_memory_limit_bytes") == [64 * 2**20]

    def test_a_server_that_tells_less_is_read_as_far_as_it_goes(self) -> None:
        class Sparse:
            def ping(self) -> bool:
                return True

            def info(self) -> dict[str, Any]:
                return {"used_memory": 5}

        readings = Cache(Sparse).read()
        assert {one.family for one in readings} == {"cockpit_cache_latency_seconds", "cockpit_cache_memory_used_bytes"}

    def test_a_cache_that_is_away_is_an_error(self) -> None:
        with pytest.raises(redis.ConnectionError):
            Cache(lambda: redis.Redis.from_url("redis://127.0.0.1:1/0")).read()


def message(sent: Any) -> str:
    return json.dumps({"headers": {"task": "x", heartbeats.SENT: sent}, "body": ""})


def worker(host: str, age: float = 1.0, pid: int = 1) -> Heartbeat:
    return Heartbeat("worker", host, pid, age)


class TestBroker:
    def test_depth_and_age_of_every_queue(self, broker: redis.Redis) -> None:
        for sent in (70.0, 80.0, 90.0):
            broker.lpush("cockpit:celery", message(sent))  # as Celery does: the newest stands left
        broker.lpush("cockpit:gather.one", message(99.0))
        broker.hset("cockpit:unacked", "tag", "{}")
        readings = Broker(lambda: broker, lambda: [worker("one"), worker("two")], lambda: 100.0).read()
        depth, oldest = "cockpit_queue_depth", "cockpit_queue_oldest_seconds"
        assert (found(readings, depth, queue="celery"), found(readings, oldest, queue="celery")) == ([3], [30])
        assert (found(readings, depth, queue="gather.one"), found(readings, oldest, queue="gather.one")) == ([1], [1])
        assert (found(readings, depth, queue="gather.two"), found(readings, oldest, queue="gather.two")) == ([0], [0])
        assert one_of(readings, "cockpit_queue_unacknowledged") == 1
        assert {one.family for one in readings} <= set(BY_NAME)

    @pytest.mark.parametrize(
        "text", ["", "garbage", "[]", "{}", '{"headers": []}', '{"headers": {}}', message("soon"), message(None)]
    )
    def test_a_message_that_does_not_say_when_has_no_age(self, broker: redis.Redis, text: str) -> None:
        broker.lpush("cockpit:celery", text)
        readings = Broker(lambda: broker, list).read()
        assert found(readings, "cockpit_queue_depth") == [1]
        assert found(readings, "cockpit_queue_oldest_seconds") == []

    def test_queues_are_bounded(self, broker: redis.Redis) -> None:
        readings = Broker(lambda: broker, lambda: [worker(f"host{n}") for n in range(500)]).read()
        assert len(found(readings, "cockpit_queue_depth")) == backends.MOST_QUEUES

    def test_only_workers_that_live_are_counted(self, broker: redis.Redis) -> None:
        signs = [worker("a", 1), worker("a", 2, pid=2), worker("b", 31), Heartbeat("beat", "a", 3, 8.0)]
        readings = Broker(lambda: broker, lambda: signs, lambda: 1000.0).read()
        assert one_of(readings, "cockpit_workers") == 2
        assert one_of(readings, "cockpit_beat_last_seen_timestamp_seconds") == 992

    def test_each_role_is_as_old_as_its_newest_sign(self, broker: redis.Redis) -> None:
        signs = [worker("a", 700), Heartbeat("dispatch", "a", 2, 61.0), worker("b", 3), worker("c", 5)]
        readings = Broker(lambda: broker, lambda: signs).read()
        family = "cockpit_role_age_seconds"
        assert (found(readings, family, role="worker"), found(readings, family, role="dispatch")) == ([3], [61])
        assert len(found(readings, family)) == 2

    def test_a_beat_never_seen_is_no_number(self, broker: redis.Redis) -> None:
        readings = Broker(lambda: broker, list).read()
        assert found(readings, "cockpit_beat_last_seen_timestamp_seconds") == []
        assert found(readings, "cockpit_role_age_seconds") == []
        assert one_of(readings, "cockpit_workers") == 0

    def test_a_broker_that_is_away_is_an_error(self) -> None:
        def away() -> Any:
            raise redis.ConnectionError

        with pytest.raises(redis.ConnectionError):
            Broker(away, away).read()


class TestHeartbeats:
    def test_a_process_that_leaves_a_sign_is_found_by_the_servers_clock(
        self, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 0.0)  # a host whose clock is wrong
        heartbeats.leave("worker")
        (sign,) = heartbeats.found()
        assert (sign.role, sign.host) == ("worker", heartbeats.settings.HOST_NAME)
        assert 0 <= sign.age < 5
        assert heartbeats.hosts() == [heartbeats.settings.HOST_NAME]

    def test_a_host_without_a_sign_for_half_a_minute_is_sent_nothing(self, broker: redis.Redis) -> None:
        seconds = int(broker.time()[0])  # type: ignore[index]
        broker.hset("cockpit:heartbeats", mapping={"worker new 1": seconds - 5, "worker old 2": seconds - 31})
        assert heartbeats.hosts() == ["new"]

    def test_signs_of_long_ago_are_forgotten_and_their_number_is_bounded(self, broker: redis.Redis) -> None:
        seconds = int(broker.time()[0])  # type: ignore[index]
        signs = {f"worker host {pid}": seconds - 10 - pid for pid in range(700)}
        broker.hset("cockpit:heartbeats", mapping=signs | {"worker gone 1": seconds - 100_000})
        assert len(heartbeats.found()) == 500
        assert broker.hlen("cockpit:heartbeats") == 500

    def test_the_newest_sign_of_a_role_is_kept_for_a_week(self, broker: redis.Redis) -> None:
        seconds = int(broker.time()[0])  # type: ignore[index]
        signs = {f"worker host {pid}": seconds - 10 - pid for pid in range(600)}
        days = {"beat one 1": 6, "beat two 2": 5, "fold one 3": 8}
        signs |= {field: seconds - number * 86_400 for field, number in days.items()}
        broker.hset("cockpit:heartbeats", mapping=signs)
        found = heartbeats.found()
        assert [(one.host, round(one.age / 86_400)) for one in found if one.role != "worker"] == [("two", 5)]
        assert len(found) == broker.hlen("cockpit:heartbeats") == 501
        assert heartbeats.hosts() == ["host"]
        ages = {one.labels["role"]: one.value for one in Broker(lambda: broker).read()
                if one.family == "cockpit_role_age_seconds"}  # fmt: skip
        assert ages["beat"] == pytest.approx(5 * 86_400, abs=60)

    def test_a_broker_that_is_away_keeps_no_process_from_its_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeats, "client", lambda: redis.Redis.from_url("redis://127.0.0.1:1/0"))
        heartbeats.leave("worker")
        heartbeats.failed({"fold": "OperationalError"})
        with pytest.raises(redis.ConnectionError):
            heartbeats.hosts()
        with pytest.raises(redis.ConnectionError):
            heartbeats.failures({})

    def test_the_newest_failure_of_a_part_is_told_to_all(self, broker: redis.Redis) -> None:
        heartbeats.failed({"fold": "OperationalError", "probe gpu on h 1": "no answer within 3 s"})
        mine = {"fold": heartbeats.failure("no sign of life", 60.0), "cache": heartbeats.failure("ConnectionError")}
        assert heartbeats.failures(mine)["fold"].words == "OperationalError"
        told = heartbeats.failures({})
        assert {part: one.words for part, one in told.items()} == {
            "fold": "OperationalError", "probe gpu on h 1": "no answer within 3 s", "cache": "ConnectionError",
        }  # fmt: skip
        assert told["cache"] == mine["cache"]
        newer = heartbeats.failure("DataError", -1.0)
        assert heartbeats.failures({"fold": newer})["fold"].words == "DataError"
        assert heartbeats.failures({})["fold"].words == "DataError"

    def test_failures_of_long_ago_are_forgotten_and_bounded(self, broker: redis.Redis) -> None:
        now = time.time()
        entries = {f"probe {number}": f"{now - number:.3f} failed" for number in range(700)}
        broker.hset("cockpit:errors", mapping=entries | {"probe gone": f"{now - 31 * 86_400:.3f} failed"})
        assert len(broker.hgetall("cockpit:errors")) == 701  # type: ignore[arg-type]
        heartbeats.failures({})
        assert set(heartbeats.failures({})) == {f"probe {number}" for number in range(500)}
        heartbeats.failed({"cache": "x" * 10_000})
        assert len(heartbeats.failures({})["cache"].words) == 300
