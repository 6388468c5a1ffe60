"""The machine read by psutil: the real one, and one that lies."""

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from monitoring.families import BY_NAME
from monitoring.gathering import believable
from monitoring.probes.host import MOST_DISKS, MOST_INTERFACES, MOST_MOUNTS, MOST_PROCESSORS, Disks, Host, busy_share
from monitoring.probes.reading import Reading

Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice")
Net = namedtuple("Net", "bytes_sent bytes_recv packets_sent packets_recv errin errout dropin dropout")


def times(busy: float, idle: float, iowait: float = 0.0) -> Times:
    return Times(busy, 0.0, 0.0, idle, iowait, 0.0, 0.0, 0.0, 0.0, 0.0)


class FakePsutil:
    """psutil at its calls: each answers with what `answers` says of it, raises it, or calls it."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "cpu_times": times(10, 90),
            "per_cpu": [times(5, 45), times(5, 45)],
            "getloadavg": (0.5, 0.25, 0.125),
            "virtual_memory": SimpleNamespace(total=1000, available=400),
            "swap_memory": SimpleNamespace(used=10, total=100),
            "net_io_counters": {"eth0": Net(1, 2, 3, 4, 5, 6, 7, 8)},
            "disk_io_counters": {"vda": SimpleNamespace(read_bytes=1, write_bytes=2, read_count=3, write_count=4)},
            "boot_time": 1_700_000_000.0,
            "pids": [1, 2, 3],
            "disk_partitions": [SimpleNamespace(device="/dev/vda", mountpoint="/", fstype="ext4")],
            "disk_usage": SimpleNamespace(used=30, free=60, total=100),
        } | answers

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any, percpu: bool = False, **__: Any) -> Any:
            answer = self.answers["per_cpu" if percpu else name]
            if isinstance(answer, Exception):
                raise answer
            return answer() if callable(answer) else answer

        return call


def host(ps: Any) -> Host:
    return Host(ps, sleep=lambda _: None)


def found(readings: list[Reading], family: str, **labels: str) -> list[float]:
    return [one.value for one in readings if one.family == family and labels.items() <= dict(one.labels).items()]


class TestThisMachine:
    def test_is_read_whole_and_believably(self) -> None:
        readings = Host().read()
        for family in ("cockpit_cpu_utilization_ratio", "cockpit_memory_used_bytes", "cockpit_boot_timestamp_seconds"):
            assert len(found(readings, family)) == 1, family
        assert len(found(readings, "cockpit_cpu_core_utilization_ratio")) in range(1, MOST_PROCESSORS + 1)
        assert all(map(believable, readings))
        assert {one.family for one in readings} <= set(BY_NAME)

    def test_shows_its_disks_and_the_data_directory(self, tmp_path: Path) -> None:
        readings = Disks(tmp_path).read()
        (free,) = found(readings, "cockpit_disk_free_bytes", mount="data")
        assert free == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.05)
        assert {one.family for one in readings} <= set(BY_NAME)

    def test_sockets_and_processes_are_not_walked_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbidden(*_: Any, **__: Any) -> None:
            raise AssertionError("too slow for a look every few seconds")

        for name in ("net_connections", "process_iter", "Process"):
            monkeypatch.setattr(psutil, name, forbidden)
        assert found(Host().read(), "cockpit_processes")


class TestHost:
    def test_everything_is_read(self) -> None:
        readings = host(FakePsutil()).read()
        assert found(readings, "cockpit_memory_used_bytes") == [600]
        assert found(readings, "cockpit_memory_available_bytes") == [400]
        assert found(readings, "cockpit_swap_used_bytes") == [10]
        assert found(readings, "cockpit_load_average", minutes="5") == [0.25]
        assert found(readings, "cockpit_cpu_seconds_total", mode="idle") == [90]
        assert found(readings, "cockpit_network_receive_bytes_total", interface="eth0") == [2]
        assert found(readings, "cockpit_network_transmit_bytes_total", interface="eth0") == [1]
        assert found(readings, "cockpit_network_transmit_drops_total", interface="eth0") == [8]
        assert found(readings, "cockpit_disk_written_bytes_total", disk="vda") == [2]
        assert found(readings, "cockpit_processes") == [3]

    @pytest.mark.parametrize(
        "call",
        ["cpu_times", "per_cpu", "getloadavg", "virtual_memory", "swap_memory", "net_io_counters", "disk_io_counters",
         "boot_time", "pids"],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "error", [PermissionError(13, "/proc"), OSError("gone"), ValueError("garbage"), KeyError()]
    )
    def test_one_that_cannot_be_read_loses_no_other(self, call: str, error: Exception) -> None:
        families = {one.family for one in host(FakePsutil()).read()}
        left = {one.family for one in host(FakePsutil(**{call: error})).read()}
        assert 1 <= len(families - left) <= 8
        assert left < families

    def test_nothing_readable_at_all_is_an_error(self) -> None:
        with pytest.raises(PermissionError):
            host(FakePsutil(**dict.fromkeys(FakePsutil().answers, PermissionError(13, "/proc")))).read()

    def test_a_machine_without_disks_is_no_fault(self) -> None:
        readings = host(FakePsutil(disk_io_counters=None)).read()
        assert found(readings, "cockpit_disk_reads_total") == []
        assert found(readings, "cockpit_processes") == [3]

    @pytest.mark.parametrize(
        ("devices", "disks"),
        [
            ("sda sda1 sda2 sdb dm-0 md0 loop0 loop17 ram0 zram0", "sda sdb"),
            ("nvme0n1 nvme0n1p1 nvme0n1p12 nvme1n1 mmcblk0 mmcblk0p1", "mmcblk0 nvme0n1 nvme1n1"),
            ("xvda1 xvdb", "xvda1 xvdb"),  # a part without a disk is all there is
            ("disk0 disk1 sr0", "disk0 disk1 sr0"),
        ],
    )
    def test_what_is_written_to_a_disk_is_counted_once(self, devices: str, disks: str) -> None:
        counters = SimpleNamespace(read_bytes=1, write_bytes=2, read_count=3, write_count=4)
        readings = host(FakePsutil(disk_io_counters=dict.fromkeys(devices.split(), counters))).read()
        shown = [one.labels["disk"] for one in readings if one.family == "cockpit_disk_writes_total"]
        assert shown == disks.split()

    def test_disks_are_bounded(self) -> None:
        counters = SimpleNamespace(read_bytes=1, write_bytes=2, read_count=3, write_count=4)
        readings = host(FakePsutil(disk_io_counters={f"nvme{n}n1": counters for n in range(99)})).read()
        assert len(found(readings, "cockpit_disk_reads_total")) == MOST_DISKS

    def test_utilisation_is_that_since_the_last_reading(self) -> None:
        ps = FakePsutil(cpu_times=times(10, 90))
        probe = host(ps)
        assert found(probe.read(), "cockpit_cpu_utilization_ratio") == []  # no time has passed
        ps.answers |= {"cpu_times": times(40, 100, 10), "per_cpu": [times(25, 45), times(15, 55)]}
        readings = probe.read()
        assert found(readings, "cockpit_cpu_utilization_ratio") == [pytest.approx(30 / 50)]
        assert found(readings, "cockpit_cpu_core_utilization_ratio", cpu="0") == [1.0]
        assert found(readings, "cockpit_cpu_core_utilization_ratio", cpu="1") == [0.5]

    def test_utilisation_is_left_out_when_counters_begin_anew(self) -> None:
        ps = FakePsutil(cpu_times=times(1000, 9000))
        probe = host(ps)
        probe.read()
        ps.answers["cpu_times"] = times(1, 2)
        assert found(probe.read(), "cockpit_cpu_utilization_ratio") == []
        ps.answers["cpu_times"] = times(2, 5)
        assert found(probe.read(), "cockpit_cpu_utilization_ratio") == [0.25]

    def test_seconds_that_a_kernel_takes_back_are_no_new_beginning(self) -> None:
        ps = FakePsutil(cpu_times=times(1000, 9000, 50))
        probe = host(ps)
        told = []
        for now in (times(1000, 9000, 50), times(1001, 8999.5, 48), times(1002, 9009, 49), times(3, 20, 1)):
            ps.answers["cpu_times"] = now
            readings = probe.read()
            told.append([found(readings, "cockpit_cpu_seconds_total", mode=mode) for mode in ("idle", "iowait")])
        assert told == [[[9000], [50]], [[9000], [50]], [[9009], [50]], [[20], [1]]]

    def test_processors_switched_off_are_left_out_once(self) -> None:
        ps = FakePsutil()
        probe = host(ps)
        probe.read()
        ps.answers |= {"per_cpu": [times(6, 46)]}
        assert found(probe.read(), "cockpit_cpu_core_utilization_ratio") == []
        ps.answers |= {"per_cpu": [times(7, 47)]}
        assert found(probe.read(), "cockpit_cpu_core_utilization_ratio") == [0.5]

    def test_virtual_interfaces_are_left_out_and_the_others_bounded(self) -> None:
        names = ["lo", "veth12ab", "docker0", "br-1", "cali9", *(f"eth{number}" for number in range(40))]
        readings = host(FakePsutil(net_io_counters={name: Net(*range(8)) for name in names})).read()
        shown = {one.labels["interface"] for one in readings if "network" in one.family}
        assert len(shown) == MOST_INTERFACES
        assert all(name.startswith("eth") for name in shown)

    def test_a_machine_of_a_thousand_processors_is_bounded(self) -> None:
        ps = FakePsutil(per_cpu=[times(0, 0)] * 1000)
        probe = host(ps)
        probe.read()
        ps.answers["per_cpu"] = [times(1, 1)] * 1000
        assert len(found(probe.read(), "cockpit_cpu_core_utilization_ratio")) == MOST_PROCESSORS


class TestBusyShare:
    @pytest.mark.parametrize(
        ("before", "after", "share"),
        [
            (times(0, 0), times(1, 1), 0.5),
            (times(0, 0), times(0, 1), 0.0),
            (times(0, 0), times(1, 0), 1.0),
            (times(0, 0, 5), times(1, 3, 4), 0.25),  # the kernel's iowait may fall
            (times(0, 0), times(0, 0), None),
            (times(5, 5), times(4, 9), None),
            (times(5, 5), times(9, 4), None),
            (times(0, 0), times(float("nan"), 1), None),
            (times(0, 0), times(1, float("nan")), None),
        ],
    )
    def test_is_between_0_and_1_or_unknown(self, before: Times, after: Times, share: float | None) -> None:
        assert busy_share(before, after) == share

    def test_works_where_the_system_knows_fewer_modes(self) -> None:
        fewer = namedtuple("fewer", "user system idle")
        assert busy_share(fewer(0, 0, 0), fewer(1, 1, 2)) == 0.5


class TestDisks:
    def test_a_disk_mounted_twice_is_one(self, tmp_path: Path) -> None:
        mounts = [SimpleNamespace(device="/dev/vda", mountpoint=where, fstype="ext4") for where in ("/", "/etc/hosts")]
        readings = Disks(tmp_path, FakePsutil(disk_partitions=mounts)).read()
        assert {one.labels["mount"] for one in readings} == {"data", "/"}

    def test_mounts_are_bounded_and_the_data_directory_is_always_there(self, tmp_path: Path) -> None:
        mounts = [SimpleNamespace(device=f"/dev/d{n}", mountpoint=f"/m{n}", fstype="xfs") for n in range(100)]
        shown = {one.labels["mount"] for one in Disks(tmp_path, FakePsutil(disk_partitions=mounts)).read()}
        assert len(shown) == MOST_MOUNTS
        assert "data" in shown

    def test_a_mount_that_cannot_be_read_loses_no_other(self, tmp_path: Path) -> None:
        class Broken(FakePsutil):
            def disk_usage(self, path: str) -> Any:
                if path == "/":
                    raise OSError("stale file handle")
                return SimpleNamespace(used=1, free=1, total=2)

        assert {one.labels["mount"] for one in Disks(tmp_path, Broken()).read()} == {"data"}

    def test_a_data_directory_that_is_not_there_is_left_out(self, tmp_path: Path) -> None:
        assert {one.labels["mount"] for one in Disks(tmp_path / "none", FakePsutil()).read()} == {"/"}


class TestBelievable:
    @pytest.mark.parametrize(
        ("family", "value", "fine"),
        [
            ("cockpit_memory_used_bytes", 0, True),
            ("cockpit_memory_used_bytes", -1, False),
            ("cockpit_memory_used_bytes", float("nan"), False),
            ("cockpit_memory_used_bytes", float("inf"), False),
            ("cockpit_memory_used_bytes", 2**40, True),
            ("cockpit_memory_used_bytes", 2**63 - 14, False),
            ("cockpit_memory_used_bytes", 10**400, False),
            ("cockpit_memory_used_bytes", None, False),
            ("cockpit_memory_used_bytes", "much", False),
            ("cockpit_cpu_utilization_ratio", 1, True),
            ("cockpit_cpu_utilization_ratio", 1.01, False),
            ("cockpit_gpu_temperature_celsius", -5, True),
        ],
    )
    def test_says_whether_a_value_can_be_one(self, family: str, value: Any, fine: bool) -> None:
        assert believable(Reading(family, value)) is fine
