"""Health of the parts that answer nobody: what they leave behind, how old it may be, and who is told what."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from bedrock import slots
from bedrock.identifiers import milliseconds
from cockpit import health, house, signs
from cockpit.management.commands import fold
from monitoring import heartbeats
from monitoring.heartbeats import Heartbeat
from monitoring.store import current_store
from monitoring.store.samples import Level, Sample
from organizations.models import User
from organizations.scope import Scope

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ALIVE = [Heartbeat("worker", "one", 1, 1.5), Heartbeat("beat", "one", 2, 4.0), Heartbeat("fold", "one", 3, 2.0)]


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
        with pytest.raises(signs.NotWell, match="within a day"):
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


def test_what_nothing_is_known_of_is_neither_well_nor_a_fault() -> None:
    parts = [house.part_of("retention", health.Part("unknown", 1.0, "not done yet"))]
    parts.append(house.part_of("cache", health.Part("ok", 1.0, None, 3.2)))
    assert [part.tone for part in parts] == ["plain", "good"]
    assert parts[1].age == "3\N{NO-BREAK SPACE}s"
    assert house._wellness(parts).note == "retention not known yet"
