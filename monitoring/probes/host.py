"""The machine this process runs on, by psutil: processors, memory, network and disks."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from monitoring.probes.reading import Reading, each

MOST_PROCESSORS, MOST_INTERFACES, MOST_MOUNTS, MOST_DISKS = 64, 16, 16, 16
_FIRST_WAIT = 0.1  # seconds: utilisation needs two looks, and the first reading shall have one
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# Made by container engines, hypervisors and the kernel itself: their traffic passes a real one too, or nowhere.
_VIRTUAL = ("lo", "veth", "docker", "br-", "virbr", "ifb", "cni", "cali", "flannel", "dummy", "vnet", "tap", "podman")
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md")  # on top of real ones, or in memory
_PART = re.compile(r"(.*?)(?:(?<=\d)p)?\d+")  # of a disk whose own name ends with a digit: after a p
_NETWORK = (
    ("cockpit_network_receive_bytes_total", "bytes_recv"),
    ("cockpit_network_transmit_bytes_total", "bytes_sent"),
    ("cockpit_network_receive_packets_total", "packets_recv"),
    ("cockpit_network_transmit_packets_total", "packets_sent"),
    ("cockpit_network_receive_errors_total", "errin"),
    ("cockpit_network_transmit_errors_total", "errout"),
    ("cockpit_network_receive_drops_total", "dropin"),
    ("cockpit_network_transmit_drops_total", "dropout"),
)
_DISK_IO = (
    ("cockpit_disk_read_bytes_total", "read_bytes"),
    ("cockpit_disk_written_bytes_total", "write_bytes"),
    ("cockpit_disk_reads_total", "read_count"),
    ("cockpit_disk_writes_total", "write_count"),
)


class Host:
    """Everything of the machine that the kernel tells at once.

    Traffic and operations are running totals, so that a reading that was missed, or a counter that began anew, makes
    no wrong rate. Utilisation is that since the last reading, and is left out when a counter ran backwards.
    """

    def __init__(self, ps: Any = psutil, sleep: Callable[[float], None] = time.sleep) -> None:
        self._ps = ps
        self._sleep = sleep
        self._before: tuple[Any, list[Any]] | None = None
        self._seconds: dict[str, float] = {}

    def read(self) -> list[Reading]:
        """Raises the last error when nothing at all could be read."""
        return each(
            "host",
            {
                "processors": self._processors,
                "load": self._load,
                "memory": self._memory,
                "swap": self._swap,
                "network": self._network,
                "disk operations": self._disk_operations,
                "boot time": lambda: [Reading("cockpit_boot_timestamp_seconds", self._ps.boot_time())],
                "processes": lambda: [Reading("cockpit_processes", len(self._ps.pids()))],
            },
        )

    def _times(self) -> tuple[Any, list[Any]]:
        return self._ps.cpu_times(), list(self._ps.cpu_times(percpu=True))[:MOST_PROCESSORS]

    def _processors(self) -> Iterator[Reading]:
        if self._before is None:
            self._before = self._times()
            self._sleep(_FIRST_WAIT)
        (total_before, cores_before), (total, cores) = self._before, self._times()
        self._before = total, cores
        self._seconds = held(self._seconds, total)
        for mode, seconds in self._seconds.items():
            yield Reading("cockpit_cpu_seconds_total", seconds, {"mode": mode})
        if (share := busy_share(total_before, total)) is not None:
            yield Reading("cockpit_cpu_utilization_ratio", share)
        if len(cores) == len(cores_before):  # else one was switched on or off, and numbers mean others now
            for number, (before, after) in enumerate(zip(cores_before, cores, strict=True)):
                if (share := busy_share(before, after)) is not None:
                    yield Reading("cockpit_cpu_core_utilization_ratio", share, {"cpu": str(number)})

    def _load(self) -> Iterator[Reading]:
        for minutes, load in zip(("1", "5", "15"), self._ps.getloadavg(), strict=False):
            yield Reading("cockpit_load_average", load, {"minutes": minutes})

    def _memory(self) -> list[Reading]:
        memory = self._ps.virtual_memory()
        return [
            Reading("cockpit_memory_used_bytes", memory.total - memory.available),
            Reading("cockpit_memory_available_bytes", memory.available),
            Reading("cockpit_memory_total_bytes", memory.total),
        ]

    def _swap(self) -> list[Reading]:
        swap = self._ps.swap_memory()
        return [Reading("cockpit_swap_used_bytes", swap.used), Reading("cockpit_swap_total_bytes", swap.total)]

    def _network(self) -> Iterator[Reading]:
        # nowrap would remember every fall and add it up for good; whoever reads the totals knows what a fall is.
        counters = self._ps.net_io_counters(pernic=True, nowrap=False) or {}
        for interface in sorted(name for name in counters if not name.startswith(_VIRTUAL))[:MOST_INTERFACES]:
            for family, name in _NETWORK:
                yield Reading(family, getattr(counters[interface], name), {"interface": interface})

    def _disk_operations(self) -> Iterator[Reading]:
        counters = self._ps.disk_io_counters(perdisk=True, nowrap=False) or {}  # none: a machine without its own
        for disk in whole_disks(counters)[:MOST_DISKS]:
            for family, name in _DISK_IO:
                yield Reading(family, getattr(counters[disk], name), {"disk": disk})


class Disks:
    """Space on each real file system, and on the one that holds the cockpit's own data (mount "data").

    A probe of its own: a dead network disk lets whoever asks for its space wait for ever.
    """

    def __init__(self, data_dir: Path, ps: Any = psutil) -> None:
        self._data_dir = data_dir
        self._ps = ps

    def read(self) -> list[Reading]:
        """Raises the last error when nothing at all could be read."""
        places = {"data": str(self._data_dir)} if self._data_dir.is_dir() else {}
        seen: set[str] = set()
        for partition in self._ps.disk_partitions(all=False):
            if partition.device not in seen and len(places) < MOST_MOUNTS and "squashfs" not in partition.fstype:
                seen.add(partition.device)  # mounted twice, it is still one disk
                places[partition.mountpoint] = partition.mountpoint
        return each("disks", {mount: partial(self._space, mount, path) for mount, path in places.items()})

    def _space(self, mount: str, path: str) -> list[Reading]:
        usage = self._ps.disk_usage(path)
        return [
            Reading("cockpit_disk_used_bytes", usage.used, {"mount": mount}),
            Reading("cockpit_disk_free_bytes", usage.free, {"mount": mount}),
            Reading("cockpit_disk_size_bytes", usage.total, {"mount": mount}),
        ]


def whole_disks(names: Iterable[str]) -> list[str]:
    """The disks among the names of block devices, without their parts: vda and nvme0n1, but not vda1 and nvme0n1p1."""
    real = sorted(name for name in names if not name.startswith(_VIRTUAL_DISKS))
    return [name for name in real if (part := _PART.fullmatch(name)) is None or part[1] not in real]


def held(before: Mapping[str, float], total: Any) -> dict[str, float]:
    """Seconds by mode, none less than before: a kernel takes back some of what it counted as idle or as waiting.

    Time spent for programs never falls. Where it does, the counters began anew, all of them.
    """
    counters = {mode: float(getattr(total, mode)) for mode in _MODES if hasattr(total, mode)}
    if counters["user"] < before.get("user", 0.0):
        return counters
    return {mode: max(seconds, before.get(mode, 0.0)) for mode, seconds in counters.items()}


def busy_share(before: Any, after: Any) -> float | None:
    """The share of time between two looks that a processor was busy; None when its counters do not tell.

    The kernel's count of waiting for disks may fall a little; every other fall is a new beginning.
    """
    grown: dict[str, float] = {
        name: getattr(after, name) - getattr(before, name) for name in _MODES if hasattr(after, name)
    }
    grown["iowait"] = max(0.0, grown.get("iowait", 0.0))
    passed = sum(grown.values())
    if not passed > 0 or min(grown.values()) < 0:
        return None
    return min(1.0, 1 - (grown["idle"] + grown["iowait"]) / passed)
