"""NVML without a card: pynvml's own constants, structures and errors, and its calls answered from what a test says."""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml

GIB = 2**30
BLANK = 9223372036854775794


@dataclass
class Process:
    pid: int
    usedGpuMemory: int | None  # noqa: N815 - the library's own name
    path: str = "python3"


@dataclass
class Card:
    """One card. What `changes` names by its call answers so instead: a value, an error, or something to be called."""

    name: str = "NVIDIA H100 80GB HBM3"
    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    changes: dict[str, Any] = field(default_factory=dict)
    compute: list[Process] = field(default_factory=list)
    graphics: list[Process] = field(default_factory=list)
    instances: dict[int, "Instance"] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)  # XID errors not told yet
    watched: bool = False


@dataclass
class Instance:
    gpu: int
    compute: int
    name: str
    used: int
    total: int


def error(code: str) -> Exception:
    """The library's error of that name, such as NOT_SUPPORTED."""
    made: Exception = pynvml.NVMLError(getattr(pynvml, f"NVML_ERROR_{code}"))
    return made


class FakeNvml:
    """Stands in for the module: it has its constants and errors, and the calls below; any other is not there."""

    def __init__(self, *cards: Card, start: Exception | None = None) -> None:
        self.cards = list(cards)
        self.start = start
        self.started = 0

    def __getattr__(self, name: str) -> Any:
        value = getattr(pynvml, name)
        if inspect.isfunction(value):
            raise AssertionError(f"{name} is not part of the fake")
        return value

    def _answer(self, card: Any, call: str, value: Any) -> Any:
        changed = card.changes.get(call, value) if isinstance(card, Card) else value
        if isinstance(changed, Exception):
            raise changed
        return changed() if callable(changed) else changed

    def nvmlInit(self) -> None:  # noqa: N802
        if self.start:
            raise self.start
        self.started += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        self._answer(self.cards[index], "nvmlDeviceGetHandleByIndex", None)
        return self.cards[index]

    def nvmlDeviceGetUtilizationRates(self, handle: Card) -> Any:  # noqa: N802
        rates = pynvml.c_nvmlUtilization_t(gpu=83, memory=41)
        return self._answer(handle, "nvmlDeviceGetUtilizationRates", rates)

    def nvmlDeviceGetMemoryInfo(self, handle: Any, version: Any = None) -> Any:  # noqa: N802
        if isinstance(handle, Instance):
            return pynvml.c_nvmlMemory_t(total=handle.total, used=handle.used, free=handle.total - handle.used)
        memory = pynvml.c_nvmlMemory_t(total=80 * GIB, used=60 * GIB, free=20 * GIB)
        return self._answer(handle, "nvmlDeviceGetMemoryInfo", memory)

    def nvmlDeviceGetTemperature(self, handle: Card, sensor: int) -> Any:  # noqa: N802
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._answer(handle, "nvmlDeviceGetTemperature", 64)

    def nvmlDeviceGetTemperatureThreshold(self, handle: Card, threshold: int) -> Any:  # noqa: N802
        assert threshold == pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        return self._answer(handle, "nvmlDeviceGetTemperatureThreshold", 87)

    def nvmlDeviceGetPowerUsage(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetPowerUsage", 412_500)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetEnforcedPowerLimit", 700_000)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetTotalEnergyConsumption", 9_000_500)

    def nvmlDeviceGetClockInfo(self, handle: Card, type: int) -> Any:  # noqa: N802
        value = {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[type]
        return self._answer(handle, "nvmlDeviceGetClockInfo", value)

    def nvmlDeviceGetPcieThroughput(self, device: Card, counter: int) -> Any:  # noqa: N802
        value = {pynvml.NVML_PCIE_UTIL_TX_BYTES: 250, pynvml.NVML_PCIE_UTIL_RX_BYTES: 750}[counter]
        return self._answer(device, "nvmlDeviceGetPcieThroughput", value)

    def nvmlDeviceGetPcieReplayCounter(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetPcieReplayCounter", 2)

    def nvmlDeviceGetTotalEccErrors(self, handle: Card, errorType: int, counterType: int) -> Any:  # noqa: N802, N803
        assert counterType == pynvml.NVML_AGGREGATE_ECC
        value = {pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED: 5, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED: 1}[errorType]
        return self._answer(handle, "nvmlDeviceGetTotalEccErrors", value)

    def nvmlDeviceGetRemappedRows(self, device: Card) -> Any:  # noqa: N802
        return self._answer(device, "nvmlDeviceGetRemappedRows", (3, 1, 0, 0))

    def nvmlDeviceGetRetiredPages(self, device: Card, sourceFilter: int) -> Any:  # noqa: N802, N803
        assert sourceFilter in range(pynvml.NVML_PAGE_RETIREMENT_CAUSE_COUNT)
        return self._answer(device, "nvmlDeviceGetRetiredPages", error("NOT_SUPPORTED"))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: Card) -> Any:  # noqa: N802
        value = pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonHwThermalSlowdown
        return self._answer(handle, "nvmlDeviceGetCurrentClocksEventReasons", value)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetCurrentClocksThrottleReasons", 0)

    def nvmlDeviceGetMigMode(self, device: Card) -> Any:  # noqa: N802
        value = [1, 1] if device.instances else [0, 0]
        return self._answer(device, "nvmlDeviceGetMigMode", value)

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Card) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Card, index: int) -> Instance:  # noqa: N802
        if index not in device.instances:
            raise error("NOT_FOUND")
        return device.instances[index]

    def nvmlDeviceGetGpuInstanceId(self, device: Instance) -> int:  # noqa: N802
        return device.gpu

    def nvmlDeviceGetComputeInstanceId(self, device: Instance) -> int:  # noqa: N802
        return device.compute

    def nvmlDeviceGetName(self, handle: Any) -> Any:  # noqa: N802
        return handle.name if isinstance(handle, Instance) else self._answer(handle, "nvmlDeviceGetName", handle.name)

    def nvmlDeviceGetUUID(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetUUID", handle.uuid)

    def nvmlDeviceGetVbiosVersion(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetVbiosVersion", "96.00.89.00.01")

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.95.05"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetComputeRunningProcesses", handle.compute)

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: Card) -> Any:  # noqa: N802
        return self._answer(handle, "nvmlDeviceGetGraphicsRunningProcesses", handle.graphics)

    def nvmlSystemGetProcessName(self, pid: int) -> str:  # noqa: N802
        for card in self.cards:
            for process in [*card.compute, *card.graphics]:
                if process.pid == pid and process.path:
                    return process.path
        raise error("NOT_FOUND")

    def nvmlEventSetCreate(self) -> list[Card]:  # noqa: N802
        return []

    def nvmlDeviceRegisterEvents(self, handle: Card, eventTypes: int, eventSet: list[Card]) -> None:  # noqa: N802, N803
        assert eventTypes == pynvml.nvmlEventTypeXidCriticalError
        self._answer(handle, "nvmlDeviceRegisterEvents", None)
        handle.watched = True
        eventSet.append(handle)

    def nvmlEventSetWait_v2(self, eventSet: list[Card], timeoutms: int) -> Any:  # noqa: N802, N803
        assert timeoutms == 0
        for card in eventSet:
            if card.events:
                data = pynvml.c_nvmlEventData_t()
                data.eventType, data.eventData = pynvml.nvmlEventTypeXidCriticalError, card.events.pop(0)
                return data
        raise error("TIMEOUT")


def hang(release: threading.Event) -> Callable[[], None]:
    """Something to be called that does not come back before `release` is set."""

    def wait() -> None:
        release.wait(30)

    return wait
