"""Health of the parts that answer nobody: what they leave behind, how old it may be, and who is told what."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import redis
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from alerts.models import Channel
from bedrock import slots
from bedrock.identifiers import milliseconds
from cockpit import health, house, signs
from cockpit.management.commands import fold
from monitoring import gathering, heartbeats, tasks
from monitoring.heartbeats import Heartbeat
from monitoring.store import current_store
from monitoring.store.samples import Level, Sample
from organizations.models import User
from organizations.scope import Scope
from tests.channels import EVERYONE, fire
from tests.outbox import claim, hook, report
from tests.servers import throwaway_valkey

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ALIVE = [Heartbeat("worker", "one", 1, 1.5), Heartbeat("beat", "one", 2, 4.0), Heartbeat("fold", "one", 3, 2.0),
         Heartbeat("dispatch", "one", 4, 2.0)]  # fmt: skip


def level(family: str, value: float, at: datetime, organization: str = "shared", **labels: str) -> Level:
    return Level(organization, family, tuple(sorted(labels.items())), at, value)


def leave(monkeypatch: pytest.MonkeyPatch, signs_left: list[Heartbeat]) -> None:
    monkeypatch.setattr(heartbeats, "found", lambda: signs_left)


def sample(family: str, value: float, at: datetime, **labels: str) -> Sample:
    return Sample(organization="shared", family=family, labels=tuple(sorted(labels.items())),
                  at_ms=milliseconds(at), value=value)  # fmt: skip


def probe_read(name: str, host: str, at: datetime, *, up: bool = True, read: datetime | None = None) -> None:
    labels = {"probe": name, "host": host}
    found = [sample(signs.UP, float(up), at, **labels)]
    if up or read:
        found.append(sample(signs.LAST_SUCCESS, (read or at).timestamp(), at, **labels))
    current_store().observe(Scope.of("shared"), found, now=at)


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_own", {})
    monkeypatch.setattr(health, "_well", {})


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


class TestSigns:
    @pytest.mark.parametrize("role", ["worker", "beat", "fold"])
    def test_the_youngest_sign_counts_and_an_old_one_is_told_with_its_age(
        self, monkeypatch: pytest.MonkeyPatch, role: str
    ) -> None:
        check = {"worker": signs.workers, "beat": signs.beat, "fold": signs.fold}[role]
        leave(monkeypatch, [Heartbeat(role, "one", 1, 900.0), Heartbeat(role, "two", 2, 3.0)])
        assert check().age == 3.0
        leave(monkeypatch, [Heartbeat(role, "one", 1, 900.0), Heartbeat("other", "two", 2, 3.0)])
        with pytest.raises(signs.NotWell) as problem:
            check()
        assert (str(problem.value), problem.value.sign.age) == ("no sign of life", 900.0)
        leave(monkeypatch, [])
        with pytest.raises(signs.NotWell, match="within a week"):
            check()

    def test_without_the_broker_it_is_not_known_who_lives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def away() -> list[Heartbeat]:
            raise ConnectionError("127.0.0.1:6379 refused")

        monkeypatch.setattr(heartbeats, "found", away)
        with pytest.raises(signs.NotWell, match="not known while the broker does not answer"):
            signs.workers()

    def test_beat_may_be_as_slow_as_it_was_told_to_be(self, settings: Any) -> None:
        settings.GATHER_INTERVAL = 10
        assert signs.patience() == 60
        settings.GATHER_INTERVAL = 600
        assert signs.patience() == 1800

    def test_a_probe_is_judged_by_its_last_success_and_by_its_last_word(self) -> None:
        lately, before = NOW - timedelta(seconds=8), NOW - timedelta(minutes=20)
        found = signs.judged(
            [
                level(signs.UP, 1, lately, probe="host", host="one"),
                level(signs.LAST_SUCCESS, lately.timestamp(), lately, probe="host", host="one"),
                level(signs.UP, 0, lately, probe="gpu", host="one"),
                level(signs.LAST_SUCCESS, before.timestamp(), lately, probe="gpu", host="one"),
                level(signs.UP, 1, before, probe="host", host="two"),
                level(signs.UP, 0, lately, probe="database"),
                level(signs.UP, 0, lately, organization="swaggystacks", probe="theirs"),
            ],
            NOW,
        )
        assert {name: (one.age, one.error) for name, one in found.items()} == {
            "probe host on one": (8.0, None),
            "probe gpu on one": (1200.0, "failed, or gave no answer in time"),
            "probe host on two": (None, "not asked any more"),
            "probe database": (None, "failed, or gave no answer in time"),
        }

    @pytest.mark.usefixtures("database")
    def test_retention_is_known_by_its_slot(self, now: datetime) -> None:
        with pytest.raises(signs.NotKnown):
            signs.retention()
        slots.claim("keep_house", now=now, every=timedelta(hours=1))
        assert 0 <= (signs.retention().age or 0) < 60
        slots.Slot.objects.update(claimed_at=now - timedelta(hours=5))
        with pytest.raises(signs.NotWell, match="not done lately") as problem:
            signs.retention()
        assert problem.value.sign.age == pytest.approx(5 * 3600, abs=60)

    @pytest.mark.usefixtures("database")
    def test_tending_alerts_is_known_by_its_slot(self, now: datetime) -> None:
        with pytest.raises(signs.NotKnown, match="every ten seconds"):
            signs.alerts()
        slots.claim("tend", now=now, every=timedelta(seconds=10))
        assert 0 <= (signs.alerts().age or 0) < 50
        slots.Slot.objects.update(claimed_at=now - timedelta(seconds=90))
        with pytest.raises(signs.NotWell, match="not done lately"):
            signs.alerts()

    @pytest.mark.usefixtures("database")
    def test_judging_rules_is_known_by_its_slot(self, now: datetime) -> None:
        with pytest.raises(signs.NotKnown, match="every fifteen seconds"):
            signs.rules()
        slots.claim("evaluate", now=now, every=timedelta(seconds=15))
        assert 0 <= (signs.rules().age or 0) < 80
        slots.Slot.objects.update(claimed_at=now - timedelta(seconds=120))
        with pytest.raises(signs.NotWell, match="not done lately"):
            signs.rules()

    def test_the_folder_leaves_a_sign_when_it_has_folded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        left: list[str] = []

        class Folder:
            folds = 0

            def fold(self) -> int:
                self.folds += 1
                if self.folds == 3:
                    raise KeyboardInterrupt
                return 0

        monkeypatch.setattr(fold, "current_store", Folder)
        monkeypatch.setattr(fold.signal, "signal", lambda *_: None)
        monkeypatch.setattr(fold, "_EVERY", 0.01)
        monkeypatch.setattr(heartbeats, "leave", left.append)
        with pytest.raises(KeyboardInterrupt):
            call_command("fold")
        assert left == ["fold"]  # not at every fold


@pytest.mark.usefixtures("database")
class TestAnswer:
    def ask(self, key: str = "") -> dict[str, Any]:
        response = Client().get("/api/health", headers={"authorization": f"Bearer {key}"} if key else {})
        assert response.status_code == 200
        found: dict[str, Any] = response.json()
        return found

    def test_all_parts_are_well(self, monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
        leave(monkeypatch, ALIVE)
        slots.claim("keep_house", now=now, every=timedelta(hours=1))
        slots.claim("tend", now=now, every=timedelta(seconds=10))
        slots.claim("evaluate", now=now, every=timedelta(seconds=15))
        probe_read("host", "one", now)
        told = self.ask()
        assert told["status"] == "ok"
        assert set(told["parts"].values()) == {"ok"}

    def test_everything_spare_away_is_degraded_and_still_ready(
        self, monkeypatch: pytest.MonkeyPatch, make_key: Callable[..., str]
    ) -> None:
        leave(monkeypatch, [])
        told = self.ask(make_key())
        assert told["status"] == "degraded"
        states = {name: part["state"] for name, part in told["parts"].items()}
        assert states["workers"] == states["beat"] == states["fold"] == states["probes"] == "degraded"
        assert states["retention"] == "unknown"
        assert Client().get("/api/health/ready").status_code == 200

    def test_a_key_is_told_every_probe_and_the_public_no_host(
        self, monkeypatch: pytest.MonkeyPatch, now: datetime, make_key: Callable[..., str]
    ) -> None:
        leave(monkeypatch, ALIVE)
        probe_read("host", "zq-secret-host", now)
        probe_read("gpu", "zq-secret-host", now, up=False, read=now - timedelta(minutes=5))
        parts = self.ask(make_key())["parts"]
        assert parts["probe host on zq-secret-host"]["state"] == "ok"
        gpu = parts["probe gpu on zq-secret-host"]
        assert (gpu["state"], gpu["error"]) == ("degraded", "failed, or gave no answer in time")
        assert 300 <= gpu["ageSeconds"] < 330
        assert parts["probes"]["error"] == "not read: probe gpu on zq-secret-host"
        assert parts["workers"]["ageSeconds"] == 1.5
        public = self.ask()
        assert "zq-secret-host" not in str(public)
        assert public["parts"]["probes"] == "degraded"

    def test_a_broker_that_hangs_holds_nothing_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeats, "found", lambda: time.sleep(4))
        began = time.monotonic()
        told = self.ask()
        assert time.monotonic() - began < 3.5
        assert told["status"] == "degraded"
        assert told["parts"]["broker"] == told["parts"]["workers"] == "degraded"
        assert told["parts"]["database"] == "ok"
        time.sleep(2.5)  # their threads are given back before the next test asks

    def test_the_admins_home_shows_them(
        self, monkeypatch: pytest.MonkeyPatch, now: datetime, make_person: Callable[..., User]
    ) -> None:
        leave(monkeypatch, [Heartbeat("worker", "one", 1, 900.0)])
        probe_read("host", "one", now)
        client = Client()
        client.force_login(make_person("root", administrator=True))
        page = client.get("/admin/").content.decode()
        for said in ("Workers", "no sign of life", "15\N{NO-BREAK SPACE}min ago", "Probe host on one", "not done yet"):
            assert said in page, said


def failing(*_: Any, **__: Any) -> Any:
    raise OperationalError("connection to 127.0.0.1 as cockpit_app failed")


@pytest.mark.usefixtures("database")
class TestLastErrors:
    def part(self, name: str, key: str) -> dict[str, Any]:
        told: dict[str, Any] = Client().get("/api/health", headers={"authorization": f"Bearer {key}"}).json()
        found: dict[str, Any] = told["parts"][name]
        return found

    def test_it_stays_with_its_time_when_the_part_is_well_again_and_every_process_tells_it(
        self, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, make_key: Callable[..., str]
    ) -> None:
        key, began = make_key(), datetime.now(UTC) - timedelta(seconds=1)
        first = self.part("cache", key)
        assert (first["state"], first["lastError"], first["lastErrorAt"], first["ageSeconds"]) == (
            "ok", None, None, None,
        )  # fmt: skip
        with monkeypatch.context() as away:
            away.setattr(health, "cache", SimpleNamespace(get=failing))
            time.sleep(0.1)
            now = self.part("cache", key)
            assert (now["state"], now["error"], now["lastError"]) == (
                "degraded", "OperationalError", "OperationalError",
            )  # fmt: skip
            assert 0.1 <= now["ageSeconds"] < 10
        monkeypatch.setattr(health, "_own", {})
        later = self.part("cache", key)
        assert (later["state"], later["error"], later["ageSeconds"]) == ("ok", None, None)
        assert (later["lastError"], later["lastErrorAt"]) == ("OperationalError", now["lastErrorAt"])
        assert began < datetime.fromisoformat(later["lastErrorAt"]) < datetime.now(UTC)
        assert "OperationalError" not in Client().get("/api/health").content.decode()

    def test_that_of_the_broker_is_told_while_it_is_away_and_kept_when_it_is_back(
        self, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, make_key: Callable[..., str]
    ) -> None:
        key = make_key()
        with monkeypatch.context() as away:
            away.setattr(heartbeats, "client", lambda: redis.Redis.from_url("redis://127.0.0.1:1/0"))
            assert self.part("broker", key)["lastError"] == "ConnectionError"
        assert self.part("broker", key)["state"] == "ok"
        monkeypatch.setattr(health, "_own", {})
        assert self.part("broker", key)["lastError"] == "ConnectionError"

    def test_of_a_sign_that_is_missing_it_tells_when_the_last_one_was_left(
        self, broker: redis.Redis, make_key: Callable[..., str]
    ) -> None:
        seconds = int(broker.time()[0])  # type: ignore[index]
        broker.hset("cockpit:heartbeats", mapping={"fold one 1": seconds - 300})
        heartbeats.failed({"fold": "DataError"})  # its own word, which came after that sign
        assert self.part("fold", make_key())["error"] == "no sign of life"
        assert self.part("fold", make_key())["lastError"] == "DataError"
        broker.delete("cockpit:errors")
        told = self.part("fold", make_key())
        assert told["lastError"] == "no sign of life"
        assert 299 <= (datetime.now(UTC) - datetime.fromisoformat(told["lastErrorAt"])).total_seconds() < 320

    def test_a_probe_leaves_its_reason_and_its_part_tells_it(
        self, broker: redis.Redis, now: datetime, make_key: Callable[..., str]
    ) -> None:
        probes = gathering.Round({"gpu": failing, "host": list})
        gathering.gather(probes, now=now, host="h1")
        told = self.part("probe gpu on h1", make_key())
        assert (told["error"], told["lastError"]) == ("failed, or gave no answer in time", "OperationalError")
        assert self.part("probe host on h1", make_key())["lastError"] is None

    def test_a_keeping_of_the_house_that_fails_leaves_its_reason(
        self, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, make_key: Callable[..., str]
    ) -> None:
        class Broken:
            prepare = failing

        monkeypatch.setattr(tasks, "current_store", Broken)
        with pytest.raises(OperationalError):
            tasks.keep_house()
        told = self.part("retention", make_key())
        assert (told["state"], told["lastError"]) == ("unknown", "OperationalError")

    def test_the_folder_leaves_its_reason(self, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        class Folder:
            folds = 0

            def fold(self) -> int:
                self.folds += 1
                if self.folds == 2:
                    raise KeyboardInterrupt
                return int(failing())

        monkeypatch.setattr(fold, "current_store", Folder)
        monkeypatch.setattr(fold.signal, "signal", lambda *_: None)
        monkeypatch.setattr(fold, "_PATIENCE", 0.01)
        with pytest.raises(KeyboardInterrupt):
            call_command("fold")
        assert heartbeats.failures({})["fold"].words == "OperationalError"

    def test_the_admins_home_tells_what_was_last_wrong(
        self, broker: redis.Redis, make_person: Callable[..., User]
    ) -> None:
        broker.hset("cockpit:errors", "cache", f"{time.time() - 600:.3f} TimeoutError")
        broker.hset("cockpit:errors", "retention", f"{time.time() - 600:.3f} DataError")
        broker.hset("cockpit:errors", "workers", f"{time.time() - 600:.3f} no sign of life within a day")
        client = Client()
        client.force_login(make_person("root", administrator=True))
        page = client.get("/admin/").content.decode()
        assert "Last wrong: TimeoutError, 10\N{NO-BREAK SPACE}min ago" in page
        assert "Last wrong: DataError, 10\N{NO-BREAK SPACE}min ago" in page
        assert page.count("Last wrong") == 2  # nothing is told twice

    def test_a_slow_part_is_told_of_itself_alone(
        self, monkeypatch: pytest.MonkeyPatch, make_key: Callable[..., str]
    ) -> None:
        key = make_key()
        self.part("database", key)

        def slow() -> list[Heartbeat]:
            time.sleep(0.7)
            return []

        monkeypatch.setattr(heartbeats, "found", slow)
        told = Client().get("/api/health", headers={"authorization": f"Bearer {key}"}).json()["parts"]
        assert told["broker"]["latencyMs"] >= 700
        assert told["retention"]["latencyMs"] < 600


def test_what_nothing_is_known_of_is_neither_well_nor_a_fault() -> None:
    parts = [house.part_of("retention", health.Part("unknown", 1.0, "not done yet"))]
    parts.append(house.part_of("cache", health.Part("ok", 1.0, None, 3.2)))
    assert [part.tone for part in parts] == ["plain", "good"]
    assert parts[1].age == "3\N{NO-BREAK SPACE}s"
    assert house._wellness(parts).note == "retention not known yet"


class TestDispatch:
    """The dispatcher's sign of life is not all: what is due, and whether anything gets through, are asked of rows."""

    @pytest.fixture(autouse=True)
    def ground(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        leave(monkeypatch, ALIVE)

    def waits(self, to: UUID, *, minutes: float) -> None:
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE alerts_delivery SET queued_at = now() - %s, next_at = next_at - %s WHERE channel_id = %s",
                [timedelta(minutes=minutes), timedelta(minutes=minutes), to],
            )

    def test_it_is_well_while_nothing_waits_for_long(self) -> None:
        to = hook()
        fire()
        self.waits(to, minutes=1)
        assert signs.dispatch() == signs.Sign(2.0)

    def test_what_nobody_sends_is_told_of(self) -> None:
        to = hook()
        fire()
        self.waits(to, minutes=3)
        with pytest.raises(signs.NotWell, match="a notice has been due for 18"):
            signs.dispatch()

    def test_a_network_that_is_cut_is_told_of_while_every_channel_rests(self) -> None:
        """Notices are tried, no receiver can be reached, and each channel rests: nothing is due, nor is it well."""
        to, other = hook(), hook()
        fire()
        for one in claim():
            report(one, "connection")
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_channel SET paused_until = now() + interval '2 minutes', failures = 5")
        self.waits(to, minutes=4)
        assert signs.dispatch() == signs.Sign(2.0)
        self.waits(to, minutes=6)
        with pytest.raises(signs.NotWell, match="nothing has got through any channel for 36"):
            signs.dispatch()
        with EVERYONE.enter():
            Channel.objects.filter(pk=other).update(last_success_at=timezone.now())
        assert signs.dispatch() == signs.Sign(2.0), "one receiver that is away is its channel's own affair"
