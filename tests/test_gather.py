"""One look at everything: deadlines, what is kept of it, who does it, and how often."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import OperationalError
from structlog.testing import capture_logs

from bedrock.hosts import host_name, queue_of
from bedrock.slots import Slot
from cockpit import env as environment
from cockpit.celery import app
from cockpit.embedded.places import Places
from cockpit.env import EnvironmentFaults
from cockpit.roles import python_roles
from monitoring import counting, gathering, runs, tasks
from monitoring.families import BY_NAME
from monitoring.gathering import Probe, Round, gather
from monitoring.probes.gpu import Gpus
from monitoring.probes.host import Disks, Host
from monitoring.probes.reading import Reading
from monitoring.store import current_store
from monitoring.store.samples import Increment, Level, Sample
from organizations.scope import Scope
from tests.fake_nvml import Card, FakeNvml, hang
from tests.test_probes_host import FakePsutil, Net

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST = ("host", "h1")


class Kept:
    """A store that only remembers."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.increments: list[Increment] = []
        self.away = False

    def observe(self, scope: Scope, samples: Any, increments: Any = (), *, now: datetime) -> None:
        assert scope.organizations is None
        if self.away:
            raise OperationalError
        self.samples += samples
        self.increments += increments

    def levels(self, scope: Scope, *, since: datetime, families: Any) -> list[Level]:
        newest = {(one.family, one.labels): one for one in self.samples if one.family in families}
        return [
            Level(one.organization, one.family, one.labels, datetime.fromtimestamp(one.at_ms / 1000, UTC), one.value)
            for one in newest.values()
        ]

    def values(self, family: str, **labels: str) -> list[float]:
        return [
            one.value for one in self.samples if one.family == family and labels.items() <= dict(one.labels).items()
        ]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    store = Kept()
    monkeypatch.setattr(gathering, "current_store", lambda: store)
    monkeypatch.setattr(gathering.pubsub, "publish", lambda _: None)
    return store


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets go at the end whatever hangs."""
    event = threading.Event()
    yield event
    event.set()


def one(value: float = 1.0, family: str = "cockpit_processes", **labels: str) -> Probe:
    return lambda: [Reading(family, value, labels)]


def fail() -> list[Reading]:
    raise RuntimeError("password=hunter2 at db.example.org")


class TestGather:
    def test_readings_become_samples_of_the_platform_with_their_host(self, kept: Kept) -> None:
        assert gather(Round({"host": one(3, mode="user")}), now=NOW, host="h1") == 4
        (sample,) = [each for each in kept.samples if each.family == "cockpit_processes"]
        assert sample == Sample(
            organization="shared",
            family="cockpit_processes",
            labels=(HOST, ("mode", "user")),
            at_ms=int(NOW.timestamp() * 1000),
            value=3.0,
        )
        assert kept.values("cockpit_probe_up", probe="host", host="h1") == [1]
        assert kept.values("cockpit_probe_last_success_timestamp_seconds") == [NOW.timestamp()]
        assert {sample.family for sample in kept.samples} <= set(BY_NAME)

    def test_what_all_hosts_share_names_none(self, kept: Kept) -> None:
        gather(Round({"database": one()}), now=NOW)
        assert kept.values("cockpit_probe_up") == [1]
        assert all("host" not in dict(sample.labels) for sample in kept.samples)

    def test_a_probe_that_fails_is_up_0_and_nothing_else_and_stops_no_other(self, kept: Kept) -> None:
        gather(Round({"broken": fail, "host": one()}), now=NOW, host="h1")
        assert kept.values("cockpit_probe_up", probe="broken") == [0]
        assert [each.family for each in kept.samples if ("probe", "broken") in each.labels] == ["cockpit_probe_up"]
        assert kept.values("cockpit_processes") == [1]

    def test_the_time_of_the_last_success_stays(self, kept: Kept) -> None:
        answers: list[Probe] = [one(), fail, fail]
        probes = Round({"host": lambda: answers.pop(0)()})
        for number in range(3):
            gather(probes, now=NOW + timedelta(seconds=10 * number))
        assert kept.values("cockpit_probe_up") == [1, 0, 0]
        assert kept.values("cockpit_probe_last_success_timestamp_seconds") == [NOW.timestamp()] * 3
        assert len(kept.values("cockpit_probe_duration_seconds")) == 1

    def test_the_time_of_the_last_success_outlives_the_process(self, kept: Kept) -> None:
        for place in ("h1", "h2"):
            gather(Round({"host": one()}), now=NOW + timedelta(seconds=len(kept.samples)), host=place)
        gather(Round({"host": fail, "disks": fail}), now=NOW + timedelta(hours=2), host="h1")
        last = [each for each in kept.samples if each.family == gathering.LAST_SUCCESS][-1]
        assert (last.labels, last.value) == ((HOST, ("probe", "host")), NOW.timestamp())
        assert kept.values(gathering.LAST_SUCCESS, probe="disks") == []

    def test_a_machine_without_such_a_thing_tells_nothing_of_it(self, kept: Kept) -> None:
        gather(Round({"gpu": Gpus(FakeNvml).read}), now=NOW, host="h1")
        assert kept.samples == []

    def test_growth_becomes_increments_and_none_is_lost(self, kept: Kept) -> None:
        grown = Reading("cockpit_gpu_xid_errors_total", 1, {"gpu": "0", "xid": "31", "severity": "info"}, grown=True)
        gather(Round({"gpu": lambda: [grown, grown]}), now=NOW, host="h1")
        assert [increment.amount for increment in kept.increments] == [1, 1]
        assert kept.increments[0].labels == (("gpu", "0"), HOST, ("severity", "info"), ("xid", "31"))

    def test_growth_that_the_store_could_not_take_is_told_again_once(self, kept: Kept) -> None:
        grown = Reading("cockpit_gpu_xid_errors_total", 1, {"gpu": "0", "xid": "79"}, grown=True)
        answers: list[list[Reading]] = [[grown], [grown], [], []]
        probes = Round({"gpu": lambda: answers.pop(0)})
        kept.away = True
        with pytest.raises(OperationalError):
            gather(probes, now=NOW, host="h1")
        kept.away = False
        for number in range(1, 4):
            gather(probes, now=NOW + timedelta(seconds=10 * number), host="h1")
        assert [increment.amount for increment in kept.increments] == [1, 1]

    def test_lies_are_not_kept(self, kept: Kept) -> None:
        values = [float("nan"), float("inf"), -1.0, 2.0**63, None, "x", 10**400, 7.0]
        lies = [Reading("cockpit_processes", value, {"n": str(n)}) for n, value in enumerate(values)]  # type: ignore[arg-type]
        gather(Round({"host": lambda: lies}), now=NOW)
        assert kept.values("cockpit_processes") == [7.0]
        assert kept.values("cockpit_probe_up") == [1]

    def test_a_machine_that_lies_tells_less_and_nothing_false(self, kept: Kept) -> None:
        lies = FakePsutil(
            virtual_memory=SimpleNamespace(total=1000, available=2000),  # seen in containers
            swap_memory=SimpleNamespace(used=-4, total=2**64 - 1),
            getloadavg=(float("nan"), float("inf"), 0.5),
            net_io_counters={"eth0": Net(-1, 2, None, 4, 5, 6, 7, 8)},
            disk_io_counters={"vda": SimpleNamespace(read_bytes="many", write_bytes=2, read_count=3, write_count=4)},
            boot_time=-1,
        )
        assert gather(Round({"host": Host(lies, sleep=lambda _: None).read}), now=NOW, host="h1") > 0
        assert kept.values("cockpit_probe_up") == [1]
        assert kept.values("cockpit_memory_used_bytes") == kept.values("cockpit_boot_timestamp_seconds") == []
        assert [each.family for each in kept.samples if "swap" in each.family] == []
        assert kept.values("cockpit_load_average") == [0.5]
        network = {each.family: each.value for each in kept.samples if "network" in each.family}
        assert "cockpit_network_transmit_bytes_total" not in network
        assert "cockpit_network_transmit_packets_total" not in network
        assert network["cockpit_network_receive_bytes_total"] == 2
        assert kept.values("cockpit_disk_read_bytes_total") == []
        assert kept.values("cockpit_disk_written_bytes_total") == [2]

    def test_labels_are_text_that_the_store_takes(self, kept: Kept) -> None:
        gather(Round({"host": one(name="a\x00b\ud800c\n", long="x" * 500)}), now=NOW)
        (labels,) = [dict(each.labels) for each in kept.samples if each.family == "cockpit_processes"]
        assert labels == {"name": "a?b?c?", "long": "x" * 200}

    def test_readings_are_bounded(self, kept: Kept) -> None:
        flood = [Reading("cockpit_processes", 1, {"n": str(n)}) for n in range(20_000)]
        gather(Round({"host": lambda: flood}), now=NOW)
        assert len(kept.values("cockpit_processes")) == gathering.MOST_READINGS

    def test_nothing_to_tell_writes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gathering, "current_store", lambda: pytest.fail("nothing to write"))
        assert gather(Round({"gpu": lambda: None}), now=NOW) == 0

    def test_an_error_is_told_once_by_its_kind_and_so_is_its_end(self, kept: Kept) -> None:
        answers: list[Probe] = [fail, fail, one(), one()]
        probes = Round({"host": lambda: answers.pop(0)()})
        with capture_logs() as said:
            for _ in range(4):
                gather(probes, now=NOW)
        assert [(line["event"], line.get("reason")) for line in said] == [
            ("probe failed", "RuntimeError"),
            ("probe well again", None),
        ]
        assert "hunter2" not in str(said)


class TestDeadlines:
    def test_a_probe_that_hangs_holds_nobody_else_and_is_not_asked_again(
        self, kept: Kept, release: threading.Event
    ) -> None:
        asked = []

        def hanging() -> list[Reading]:
            asked.append(1)
            release.wait(30)
            return [Reading("cockpit_load_average", 1)]

        probes = Round({"hanging": hanging, "host": one()}, deadline=0.2)
        before = threading.active_count()
        for number in range(5):
            began = time.monotonic()
            gather(probes, now=NOW + timedelta(seconds=number))
            assert time.monotonic() - began < 2
        assert asked == [1]
        assert threading.active_count() == before + 1
        assert kept.values("cockpit_probe_up", probe="hanging") == [0] * 5
        assert kept.values("cockpit_processes") == [1] * 5
        assert kept.values("cockpit_load_average") == []

    def test_a_probe_that_comes_back_is_asked_again(self, kept: Kept, release: threading.Event) -> None:
        def once_hanging() -> list[Reading]:
            release.wait(30)
            return [Reading("cockpit_load_average", 1)]

        probes = Round({"host": once_hanging}, deadline=0.1)
        gather(probes, now=NOW)
        release.set()
        time.sleep(0.2)
        gather(probes, now=NOW)
        assert kept.values("cockpit_probe_up") == [0, 1]
        assert kept.values("cockpit_load_average") == [1]

    def test_growth_told_too_late_is_kept_at_the_next_look(self, kept: Kept, release: threading.Event) -> None:
        """A driver is slow just when its card fails, and tells of each error once."""
        card = Card()
        gpus = Gpus(lambda: FakeNvml(card))
        probes = Round({"gpu": gpus.read}, deadline=0.2)
        gather(probes, now=NOW, host="h1")
        card.events.append(79)
        card.changes["nvmlDeviceGetPowerUsage"] = hang(release)
        gather(probes, now=NOW + timedelta(seconds=10), host="h1")
        assert kept.increments == []
        card.changes.clear()
        release.set()
        time.sleep(0.2)
        for number in (2, 3):
            gather(probes, now=NOW + timedelta(seconds=10 * number), host="h1")
        assert [dict(each.labels)["xid"] for each in kept.increments] == ["79"]
        assert kept.values("cockpit_probe_up", probe="gpu") == [1, 0, 1, 1]

    def test_a_disk_that_hangs_keeps_the_machine_from_nothing(
        self, kept: Kept, release: threading.Event, tmp_path: Path
    ) -> None:
        ps = FakePsutil(disk_usage=hang(release))
        probes = Round({"host": Host(ps).read, "disks": Disks(tmp_path, ps).read}, deadline=0.5)
        gather(probes, now=NOW, host="h1")
        assert kept.values("cockpit_probe_up", probe="disks") == [0]
        assert kept.values("cockpit_probe_up", probe="host") == [1]
        assert kept.values("cockpit_memory_total_bytes") == [1000]
        assert kept.values("cockpit_disk_used_bytes") == []

    @pytest.mark.parametrize("call", ["virtual_memory", "cpu_times", "net_io_counters", "pids"])
    def test_a_machine_that_hangs_keeps_its_cards_from_nothing(
        self, kept: Kept, release: threading.Event, call: str
    ) -> None:
        machine = Host(FakePsutil(**{call: hang(release)})).read
        gather(Round({"host": machine, "gpu": Gpus(lambda: FakeNvml(Card())).read}, deadline=0.3), now=NOW, host="h1")
        assert kept.values("cockpit_probe_up", probe="host") == [0]
        assert kept.values("cockpit_gpu_up") == [1]
        assert not any(each.family.startswith(("cockpit_cpu", "cockpit_mem", "cockpit_net")) for each in kept.samples)

    def test_all_probes_have_the_deadline_together(self, kept: Kept, release: threading.Event) -> None:
        probes = Round({f"p{n}": lambda: release.wait(30) and None for n in range(6)}, deadline=0.3)
        began = time.monotonic()
        gather(probes, now=NOW)
        assert time.monotonic() - began < 1.5
        assert kept.values("cockpit_probe_up") == [0] * 6

    def test_a_card_whose_driver_hangs_keeps_the_machine_from_nothing(
        self, kept: Kept, release: threading.Event
    ) -> None:
        card = Card(changes={"nvmlDeviceGetPowerUsage": hang(release)})
        gpus = Gpus(lambda: FakeNvml(Card(), card))
        gather(Round({"host": Host(FakePsutil()).read, "gpu": gpus.read}, deadline=0.5), now=NOW, host="h1")
        assert kept.values("cockpit_probe_up", probe="gpu") == [0]
        assert kept.values("cockpit_memory_total_bytes") == [1000]
        assert kept.values("cockpit_gpu_up") == []

    def test_rounds_at_the_same_moment_ask_each_probe_one_after_the_other(self, kept: Kept) -> None:
        at_work, most = [0], [0]

        def counted() -> list[Reading]:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            time.sleep(0.05)
            at_work[0] -= 1
            return []

        probes = Round({"host": counted})
        threads = [threading.Thread(target=gather, args=(probes,), kwargs={"now": NOW}) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1]


class TestHosts:
    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("gpu-1.example.org", "gpu-1.example.org"),
            ("GPU 1", "gpu-1"),
            ("rack/7:gpu,celery", "rack-7-gpu-celery"),
            ("x" * 100, "x" * 63),
            ("-.a.-", "a"),
            ("名前", "localhost"),
            ("a\nb", "a-b"),
        ],
    )
    def test_a_name_is_made_plain(self, given: str, name: str) -> None:
        assert host_name(given) == name

    def test_without_one_it_is_the_machines(self) -> None:
        assert host_name() == host_name("")
        assert host_name()
        assert queue_of("h1") == "gather.h1"

    def test_worker_and_tasks_agree_on_the_queue(self) -> None:
        given = {"SECRET_KEY": "s" * 50, "KEY_PEPPER": "p" * 32, "HOST_NAME": "Rack 7"}
        env = environment.read(given)
        roles = {role.name: role for role in python_roles(env, Places.of(env.data_dir))}
        words = roles["worker"].command
        assert words[words.index("-Q") + 1] == "celery,gather.rack-7"
        assert environment.read({**given, **roles["worker"].environment}).host_name == "rack-7"

    @pytest.mark.parametrize("seconds", ["0", "4", "3601", "1.5", "often"])
    def test_an_interval_that_makes_no_sense_is_refused(self, seconds: str) -> None:
        with pytest.raises(EnvironmentFaults, match="GATHER_INTERVAL: must be a whole number from 5 to 3600"):
            environment.read({"SECRET_KEY": "s" * 50, "KEY_PEPPER": "p" * 32, "GATHER_INTERVAL": seconds})


@pytest.fixture
def at_hosts(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> Callable[..., list[str]]:
    """Beats and workers on several hosts, all at one moment; what was looked at, in order."""
    looked: list[str] = []

    def fake_gather(probes: str, *, now: datetime, host: str | None = None) -> int:
        looked.append(host or probes)
        return 0

    monkeypatch.setattr(tasks.gathering, "gather", fake_gather)
    monkeypatch.setattr(tasks.gathering, "of_host", lambda: "host")
    monkeypatch.setattr(tasks.gathering, "of_backends", lambda: "backends")

    def run(hosts: list[str], beats: int, now: datetime) -> list[str]:
        looked.clear()
        sent: list[str] = []
        monkeypatch.setattr(tasks, "_now", lambda: now)
        monkeypatch.setattr(tasks.heartbeats, "hosts", lambda: hosts)
        monkeypatch.setattr(tasks.gather_host, "apply_async", lambda queue, expires: sent.append(queue))
        for _ in range(beats):
            tasks.gather()
        for queue in sent:
            settings.HOST_NAME = queue.removeprefix("gather.")
            tasks.gather_host()
        return list(looked)

    return run


class TestSlots:
    def test_two_beats_and_two_hosts_look_once_a_slot(self, database: str, at_hosts: Callable[..., list[str]]) -> None:
        assert sorted(at_hosts(["one", "two"], 2, NOW)) == ["backends", "one", "two"]
        assert at_hosts(["one", "two"], 2, NOW + timedelta(seconds=9)) == []
        assert sorted(at_hosts(["one", "two"], 3, NOW + timedelta(seconds=10))) == ["backends", "one", "two"]
        assert set(Slot.objects.values_list("task", flat=True)) == {"gather", "gather one", "gather two"}

    def test_a_host_that_comes_later_is_looked_at_at_once(
        self, database: str, at_hosts: Callable[..., list[str]]
    ) -> None:
        assert sorted(at_hosts(["one"], 1, NOW)) == ["backends", "one"]
        assert at_hosts(["one", "two"], 1, NOW + timedelta(seconds=1)) == ["two"]

    def test_the_longest_name_fits(self, database: str, at_hosts: Callable[..., list[str]]) -> None:
        assert sorted(at_hosts(["h" * 63], 1, NOW)) == ["backends", "h" * 63]

    def test_a_broker_that_goes_away_meanwhile_is_looked_at(
        self, database: str, at_hosts: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_hosts([], 0, NOW)

        def away() -> list[str]:
            raise ConnectionError

        monkeypatch.setattr(tasks.heartbeats, "hosts", away)
        with pytest.raises(ConnectionError):
            tasks.gather()
        assert Slot.objects.get().task == "gather"

    def test_the_house_is_kept_free_of_slots_of_hosts_that_are_gone(
        self, database: str, at_hosts: Callable[..., list[str]]
    ) -> None:
        now = datetime.now(UTC)
        at_hosts(["gone"], 1, now - timedelta(days=3))
        at_hosts(["here"], 1, now)
        tasks.keep_house()
        assert set(Slot.objects.values_list("task", flat=True)) == {"gather", "gather here", "keep_house"}

    def test_where_nobody_has_looked_lately_a_worker_looks_unasked(
        self, database: str, at_hosts: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, settings: LazySettings
    ) -> None:
        looked = at_hosts(["one", "two"], 1, NOW)
        assert sorted(looked) == ["backends", "one", "two"]
        settings.HOST_NAME = "one"

        def unasked(seconds: int) -> list[str]:
            monkeypatch.setattr(tasks, "_now", lambda: NOW + timedelta(seconds=seconds))
            looks: list[str] = []
            monkeypatch.setattr(
                tasks.gathering, "gather", lambda probes, *, now, host=None: looks.append(host or probes)
            )
            tasks.gather_unasked()
            return looks

        assert [unasked(seconds) for seconds in (1, 11, 19)] == [[], [], []]
        assert [unasked(seconds) for seconds in (21, 22, 31, 41)] == [["backends", "one"], [], [], ["backends", "one"]]

    def test_time_is_the_databases(self, database: str) -> None:
        assert abs(tasks._now() - datetime.now(UTC)) < timedelta(seconds=5)


class TestStore:
    def test_this_machine_is_kept_in_the_real_store(self, database: str) -> None:
        now = datetime.now(UTC)
        probes = Round({"host": Host().read, "gpu": Gpus(lambda: FakeNvml(Card(), Card())).read})
        assert gather(probes, now=now, host="h1") > 50
        with Scope.of("shared").enter():
            levels = current_store().levels(Scope.of("shared"), since=now - timedelta(minutes=1))
        found = {(level.family, level.labels): level.value for level in levels}
        assert found["cockpit_gpu_temperature_celsius", (("gpu", "1"), HOST)] == 64
        assert found["cockpit_probe_up", (HOST, ("probe", "gpu"))] == 1
        assert {level.organization for level in levels} == {"shared"}


class TestSchedule:
    def test_every_message_of_beat_goes_bad_when_the_next_one_comes(self) -> None:
        entries = app.conf.beat_schedule
        assert entries["gather"]["schedule"] == 10.0
        for entry in entries.values():
            assert entry["options"]["expires"] <= entry["schedule"]

    def test_every_task_of_the_schedule_is_there(self) -> None:
        app.loader.import_default_modules()
        assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)

    def test_a_run_is_counted_and_timed(self) -> None:
        counting.table.clear()
        runs.record_run(task="monitoring.tasks.gather", state="SUCCESS", seconds=0.2)
        runs.record_run(task="monitoring.tasks.gather", state="FAILURE", seconds=None)
        _, increments = counting.table._take(NOW, last=True)
        grown = {(each.family, each.labels): each.amount for each in increments}
        name = ("task", "monitoring.tasks.gather")
        assert grown["cockpit_task_runs_total", (("state", "success"), name)] == 1
        assert grown["cockpit_task_runs_total", (("state", "failure"), name)] == 1
        assert grown["cockpit_task_duration_seconds_count", (name,)] == 1
        assert grown["cockpit_task_duration_seconds_bucket", (("le", "0.5"), name)] == 1
        counting.table.clear()
