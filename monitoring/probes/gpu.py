"""NVIDIA cards, by NVML: what each card says of itself, left out field by field where it has no value."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import structlog

from monitoring.probes.gpu_parts import ask, instances, processes
from monitoring.probes.nvml_words import THROTTLES, is_blank
from monitoring.probes.reading import Reading
from monitoring.probes.xids import XidWatch

log = structlog.get_logger(__name__)

MOST_CARDS = 32
_MEGAHERTZ, _KILOBYTE = 1_000_000, 1000
# Errors that mean a machine without NVIDIA cards, or without their driver.
_NONE_HERE = ("NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded", "NVMLError_NotFound", "NVMLError_GpuNotFound")


class Field(NamedTuple):
    """One number of a card: its series, how NVML is asked, and what one of NVML's units is in ours."""

    family: str
    ask: Callable[[Any, Any], float]
    unit: float = 1
    label: tuple[str, str] | None = None


FIELDS: tuple[Field, ...] = (
    Field("cockpit_gpu_utilization_ratio", lambda n, h: n.nvmlDeviceGetUtilizationRates(h).gpu, 0.01),
    Field("cockpit_gpu_memory_utilization_ratio", lambda n, h: n.nvmlDeviceGetUtilizationRates(h).memory, 0.01),
    Field("cockpit_gpu_memory_used_bytes", lambda n, h: n.nvmlDeviceGetMemoryInfo(h).used),
    Field("cockpit_gpu_memory_total_bytes", lambda n, h: n.nvmlDeviceGetMemoryInfo(h).total),
    Field("cockpit_gpu_temperature_celsius", lambda n, h: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU)),
    Field(
        "cockpit_gpu_slowdown_celsius",
        lambda n, h: n.nvmlDeviceGetTemperatureThreshold(h, n.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
    ),
    Field("cockpit_gpu_power_watts", lambda n, h: n.nvmlDeviceGetPowerUsage(h), 0.001),
    Field("cockpit_gpu_power_limit_watts", lambda n, h: n.nvmlDeviceGetEnforcedPowerLimit(h), 0.001),
    Field("cockpit_gpu_energy_joules_total", lambda n, h: n.nvmlDeviceGetTotalEnergyConsumption(h), 0.001),
    *(
        Field("cockpit_gpu_clock_hertz", ask, _MEGAHERTZ, ("clock", clock))
        for clock, ask in (
            ("sm", lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM)),
            ("memory", lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM)),
        )
    ),
    *(
        Field("cockpit_gpu_pcie_bytes_per_second", ask, _KILOBYTE, ("direction", direction))
        for direction, ask in (
            ("receive", lambda n, h: n.nvmlDeviceGetPcieThroughput(h, n.NVML_PCIE_UTIL_RX_BYTES)),
            ("transmit", lambda n, h: n.nvmlDeviceGetPcieThroughput(h, n.NVML_PCIE_UTIL_TX_BYTES)),
        )
    ),
    Field("cockpit_gpu_pcie_replays_total", lambda n, h: n.nvmlDeviceGetPcieReplayCounter(h)),
    *(
        Field("cockpit_gpu_ecc_errors_total", ask, 1, ("kind", kind))
        for kind, ask in (
            ("corrected", lambda n, h: _ecc_errors(n, h, n.NVML_MEMORY_ERROR_TYPE_CORRECTED)),
            ("uncorrected", lambda n, h: _ecc_errors(n, h, n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)),
        )
    ),
    *(
        Field("cockpit_gpu_remapped_rows", ask, 1, ("kind", kind))
        for kind, ask in (
            ("corrected", lambda n, h: n.nvmlDeviceGetRemappedRows(h)[0]),
            ("uncorrected", lambda n, h: n.nvmlDeviceGetRemappedRows(h)[1]),
        )
    ),
    Field("cockpit_gpu_row_remap_pending", lambda n, h: n.nvmlDeviceGetRemappedRows(h)[2]),
    Field("cockpit_gpu_row_remap_failed", lambda n, h: n.nvmlDeviceGetRemappedRows(h)[3]),
    *(
        Field("cockpit_gpu_retired_pages", ask, 1, ("kind", kind))
        for kind, ask in (
            ("corrected", lambda n, h: _retired_pages(n, h, "MULTIPLE_SINGLE_BIT_ECC_ERRORS")),
            ("uncorrected", lambda n, h: _retired_pages(n, h, "DOUBLE_BIT_ECC_ERROR")),
        )
    ),
)


def _ecc_errors(nvml: Any, card: Any, kind: int) -> int:
    errors: int = nvml.nvmlDeviceGetTotalEccErrors(card, kind, nvml.NVML_AGGREGATE_ECC)
    return errors


def _retired_pages(nvml: Any, card: Any, cause: str) -> int:
    return len(nvml.nvmlDeviceGetRetiredPages(card, getattr(nvml, f"NVML_PAGE_RETIREMENT_CAUSE_{cause}")))


def load_nvml() -> Any:
    """NVIDIA's module, which looks for the driver's library on its first call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another package of the same name announces its end
        return importlib.import_module("pynvml")


class Gpus:
    """All cards of this machine. One that does not answer is `cockpit_gpu_up` 0 and says nothing else.

    So is one that was there and is gone: a machine is without cards only if it never showed one.
    """

    def __init__(self, load: Callable[[], Any] = load_nvml) -> None:
        self._load = load
        self._nvml: Any = None
        self._xids = XidWatch()
        self._said_none = False
        self._lost: set[int] = set()
        self._most = 0  # cards that were ever there at once

    def read(self) -> list[Reading] | None:
        """Every card's readings; None on a machine without cards, said once in the log.

        Raises:
            pynvml.NVMLError: when the library itself fails, or is gone with the cards that were there.
        """
        try:
            nvml = self._started()
            count = nvml.nvmlDeviceGetCount()
        except ImportError as error:
            self._say_none(type(error).__name__)
            return None
        except Exception as error:
            self._nvml = None  # the driver may have been exchanged under us: begin anew
            if self._most or type(error).__name__ not in _NONE_HERE:
                raise
            self._say_none(str(error))
            return None
        self._most = max(self._most, min(count, MOST_CARDS))
        if self._most == 0:
            self._say_none("no card found")
            return None
        return [reading for number in range(self._most) for reading in self._card(nvml, number)]

    def _started(self) -> Any:
        if self._nvml is None:
            nvml = self._load()
            nvml.nvmlInit()
            self._nvml, self._xids = nvml, XidWatch()
        return self._nvml

    def _say_none(self, reason: str) -> None:
        if not self._said_none:
            self._said_none = True
            log.info("no NVIDIA card is read", reason=reason)

    def _card(self, nvml: Any, number: int) -> list[Reading]:
        card = None
        found: list[Reading] = []
        try:
            card = nvml.nvmlDeviceGetHandleByIndex(number)
            found += _numbers(nvml, card)
            if not found:
                raise LookupError("no answer to any question")
            for part in (_throttles, _description, instances, processes):
                found += part(nvml, card)
            self._lost.discard(number)
        except Exception as error:
            found = []
            if type(error).__name__ == "NVMLError_Uninitialized":
                self._nvml = None
            if number not in self._lost:
                self._lost.add(number)
                log.error("a card does not answer", gpu=number, reason=str(error))
        # Of a card that is gone too: its last errors tell why.
        found += [Reading("cockpit_gpu_up", float(number not in self._lost)), *self._xids.read(nvml, card, number)]
        return [Reading(r.family, r.value, {"gpu": str(number), **r.labels}, r.grown) for r in found]


def _numbers(nvml: Any, card: Any) -> Iterator[Reading]:
    for field in FIELDS:
        value = ask(field.ask, nvml, card)
        if value is not None and not is_blank(value):
            yield Reading(field.family, value * field.unit, dict([field.label] if field.label else ()))


def _throttles(nvml: Any, card: Any) -> Iterator[Reading]:
    """Each reason for which clocks are held down, as 0 or 1."""
    reasons = ask(nvml.nvmlDeviceGetCurrentClocksEventReasons, card)
    if reasons is None:  # the older driver's name for it
        reasons = ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, card)
    if reasons is not None and not is_blank(reasons):
        for bit, word in THROTTLES:
            yield Reading("cockpit_gpu_throttled", float(bool(reasons & bit)), {"reason": word})


def _description(nvml: Any, card: Any) -> Iterator[Reading]:
    asked = {
        "uuid": ask(nvml.nvmlDeviceGetUUID, card),
        "name": ask(nvml.nvmlDeviceGetName, card),
        "driver": ask(nvml.nvmlSystemGetDriverVersion),
        "vbios": ask(nvml.nvmlDeviceGetVbiosVersion, card),
    }
    yield Reading("cockpit_gpu_info", 1, {name: str(value) for name, value in asked.items() if value})
