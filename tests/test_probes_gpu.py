"""Cards read by NVML, against a fake that has the library's own constants, structures and errors."""

import inspect
import warnings
from typing import Any

import pynvml
import pytest
from structlog.testing import capture_logs

from monitoring.families import BY_NAME
from monitoring.gathering import believable
from monitoring.probes import gpu, nvml_words, xids
from monitoring.probes.gpu import Gpus
from monitoring.probes.reading import Reading
from tests.fake_nvml import BLANK, GIB, Card, FakeNvml, Instance, Process, error


def found(readings: list[Reading] | None, family: str, **labels: str) -> list[float]:
    """Values of a family's readings that have these labels."""
    assert readings is not None
    return [one.value for one in readings if one.family == family and labels.items() <= dict(one.labels).items()]


def read(*cards: Card) -> list[Reading]:
    readings = Gpus(lambda: FakeNvml(*cards)).read()
    assert readings is not None
    return readings


class TestFake:
    @pytest.mark.parametrize("name", [name for name in vars(FakeNvml) if name.startswith("nvml")])
    def test_has_each_call_under_the_librarys_name_with_its_arguments(self, name: str) -> None:
        real, fake = inspect.signature(getattr(pynvml, name)), inspect.signature(getattr(FakeNvml, name))
        given = [parameter for parameter in fake.parameters if parameter != "self"]
        if "args" not in real.parameters:  # else a decorator of the library hides them
            assert given == list(real.parameters)

    def test_lacks_what_it_does_not_fake(self) -> None:
        with pytest.raises(AssertionError):
            FakeNvml().nvmlDeviceGetFanSpeed()


class TestCards:
    def test_every_field_is_read_in_base_units(self) -> None:
        readings = read(Card())
        expected = {
            "cockpit_gpu_up": 1,
            "cockpit_gpu_utilization_ratio": 0.83,
            "cockpit_gpu_memory_utilization_ratio": 0.41,
            "cockpit_gpu_memory_used_bytes": 60 * GIB,
            "cockpit_gpu_memory_total_bytes": 80 * GIB,
            "cockpit_gpu_temperature_celsius": 64,
            "cockpit_gpu_slowdown_celsius": 87,
            "cockpit_gpu_power_watts": 412.5,
            "cockpit_gpu_power_limit_watts": 700,
            "cockpit_gpu_energy_joules_total": 9000.5,
            "cockpit_gpu_pcie_replays_total": 2,
            "cockpit_gpu_row_remap_pending": 0,
            "cockpit_gpu_row_remap_failed": 0,
            "cockpit_gpu_processes": 0,
        }
        for family, value in expected.items():
            assert found(readings, family, gpu="0") == [pytest.approx(value)], family
        assert found(readings, "cockpit_gpu_clock_hertz", clock="sm") == [1_980_000_000]
        assert found(readings, "cockpit_gpu_clock_hertz", clock="memory") == [2_619_000_000]
        assert found(readings, "cockpit_gpu_pcie_bytes_per_second", direction="receive") == [750_000]
        assert found(readings, "cockpit_gpu_pcie_bytes_per_second", direction="transmit") == [250_000]
        assert found(readings, "cockpit_gpu_ecc_errors_total", kind="corrected") == [5]
        assert found(readings, "cockpit_gpu_ecc_errors_total", kind="uncorrected") == [1]
        assert found(readings, "cockpit_gpu_remapped_rows", kind="corrected") == [3]
        (info,) = [one for one in readings if one.family == "cockpit_gpu_info"]
        assert info.labels["name"] == "NVIDIA H100 80GB HBM3"
        assert info.labels["driver"] == "580.95.05"
        assert info.labels["uuid"].startswith("GPU-")

    def test_every_family_is_in_the_dictionary_and_every_value_believable(self) -> None:
        card = Card(
            compute=[Process(1, GIB)], instances={0: Instance(1, 0, "x MIG 1g.10gb", 1, 2)}, events=[79],
            changes={"nvmlDeviceGetRetiredPages": [4096, 8192]},
        )  # fmt: skip
        readings = read(card)
        assert {one.family for one in readings} <= set(BY_NAME)
        assert {name for name, family in BY_NAME.items() if family.group == "gpu"} <= {r.family for r in readings}
        assert all(map(believable, readings))

    def test_two_cards_are_told_apart(self) -> None:
        readings = read(Card(), Card(changes={"nvmlDeviceGetTemperature": 90}))
        assert found(readings, "cockpit_gpu_temperature_celsius", gpu="0") == [64]
        assert found(readings, "cockpit_gpu_temperature_celsius", gpu="1") == [90]

    @pytest.mark.parametrize(
        "call", [name for name in vars(FakeNvml) if name.startswith("nvmlDeviceGet") and "ByIndex" not in name
                 and name not in ("nvmlDeviceGetCount", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetGpuInstanceId",
                                  "nvmlDeviceGetComputeInstanceId")]
    )  # fmt: skip
    @pytest.mark.parametrize("code", ["NOT_SUPPORTED", "NO_PERMISSION", "FUNCTION_NOT_FOUND", "UNKNOWN"])
    def test_a_field_that_is_not_supported_loses_no_other(self, call: str, code: str) -> None:
        whole = {(one.family, *one.labels.items()): one.value for one in read(Card())}
        rest = {(one.family, *one.labels.items()): one.value for one in read(Card(changes={call: error(code)}))}
        assert found(read(Card(changes={call: error(code)})), "cockpit_gpu_up") == [1]
        lost = {family for family, *_ in set(whole) - set(rest)}
        assert len(lost) <= 5
        assert all(whole[key] == value for key, value in rest.items() if key in whole and "throttled" not in key[0])

    @pytest.mark.parametrize("blank", [BLANK, BLANK - 2, BLANK + 5, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF, 0x7FFFFFF0, -1])
    def test_a_vendors_blank_is_no_value(self, blank: int) -> None:
        calls = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetTemperature")
        readings = read(Card(changes=dict.fromkeys((*calls, "nvmlDeviceGetCurrentClocksEventReasons"), blank)))
        for family in ("cockpit_gpu_power_watts", "cockpit_gpu_energy_joules_total", "cockpit_gpu_temperature_celsius"):
            assert found(readings, family) == []
        assert found(readings, "cockpit_gpu_throttled") == []
        assert found(readings, "cockpit_gpu_memory_used_bytes") == [60 * GIB]

    def test_a_card_that_is_lost_says_nothing_but_that(self) -> None:
        readings = read(Card(), Card(changes={"nvmlDeviceGetHandleByIndex": error("GPU_IS_LOST")}))
        assert [one.family for one in readings if one.labels["gpu"] == "1"] == ["cockpit_gpu_up"]
        assert found(readings, "cockpit_gpu_up", gpu="1") == [0]
        assert found(readings, "cockpit_gpu_power_watts", gpu="0") == [412.5]

    def test_a_card_lost_while_it_is_read_says_nothing_but_that(self) -> None:
        readings = read(Card(changes={"nvmlDeviceGetMigMode": error("GPU_IS_LOST")}))
        assert [(one.family, one.value) for one in readings] == [("cockpit_gpu_up", 0)]

    def test_a_card_that_comes_back_is_read_again_and_its_loss_was_told_once(self) -> None:
        card = Card(changes={"nvmlDeviceGetHandleByIndex": error("GPU_IS_LOST")})
        probe = Gpus(lambda: FakeNvml(card))
        with capture_logs() as said:
            for _ in range(3):
                assert found(probe.read(), "cockpit_gpu_up") == [0]
            card.changes.clear()
            assert found(probe.read(), "cockpit_gpu_up") == [1]
        assert [one["event"] for one in said] == ["a card does not answer"]

    def test_a_card_that_answers_no_question_is_not_up(self) -> None:
        calls = [name for name in vars(FakeNvml) if name.startswith("nvmlDeviceGet") and "Handle" not in name]
        readings = read(Card(), Card(changes=dict.fromkeys(calls, error("UNKNOWN"))))
        assert [(one.family, one.value) for one in readings if one.labels["gpu"] == "1"] == [("cockpit_gpu_up", 0)]
        assert found(readings, "cockpit_gpu_up", gpu="0") == [1]

    def test_cards_that_vanish_are_not_up(self) -> None:
        nvml = FakeNvml(Card(), Card())
        probe = Gpus(lambda: nvml)
        assert found(probe.read(), "cockpit_gpu_up") == [1, 1]
        nvml.cards.pop()
        assert found(probe.read(), "cockpit_gpu_up") == [1, 0]
        nvml.cards.pop()
        assert found(probe.read(), "cockpit_gpu_up") == [0, 0]

    def test_a_driver_that_vanishes_with_its_cards_is_an_error(self) -> None:
        nvml = FakeNvml(Card())
        probe = Gpus(lambda: nvml)
        probe.read()
        probe._nvml, nvml.start = None, error("DRIVER_NOT_LOADED")
        with pytest.raises(pynvml.NVMLError_DriverNotLoaded):
            probe.read()
        nvml.start = None
        assert found(probe.read(), "cockpit_gpu_up") == [1]

    def test_a_library_that_forgot_us_is_begun_anew(self) -> None:
        card = Card(changes={"nvmlDeviceGetPowerUsage": error("UNINITIALIZED")})
        nvml = FakeNvml(card)
        probe = Gpus(lambda: nvml)
        assert found(probe.read(), "cockpit_gpu_up") == [0]
        card.changes.clear()
        assert found(probe.read(), "cockpit_gpu_up") == [1]
        assert nvml.started == 2


class TestNoCards:
    @pytest.mark.parametrize("code", ["LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED"])
    def test_without_a_driver_there_is_no_reading_and_one_line(self, code: str) -> None:
        probe = Gpus(lambda: FakeNvml(Card(), start=error(code)))
        with capture_logs() as said:
            assert [probe.read() for _ in range(3)] == [None] * 3
        assert [one["event"] for one in said] == ["no NVIDIA card is read"]

    def test_without_a_card_there_is_no_reading_and_one_line(self) -> None:
        probe = Gpus(FakeNvml)
        with capture_logs() as said:
            assert [probe.read() for _ in range(3)] == [None] * 3
        assert len(said) == 1

    def test_without_the_module_there_is_no_reading(self) -> None:
        def load() -> Any:
            raise ModuleNotFoundError("pynvml")

        assert Gpus(load).read() is None

    def test_a_driver_that_comes_later_is_found(self) -> None:
        nvml = FakeNvml(Card(), start=error("DRIVER_NOT_LOADED"))
        probe = Gpus(lambda: nvml)
        assert probe.read() is None
        nvml.start = None
        assert found(probe.read(), "cockpit_gpu_up") == [1]

    def test_a_library_that_fails_is_an_error(self) -> None:
        with pytest.raises(pynvml.NVMLError_LibRmVersionMismatch):
            Gpus(lambda: FakeNvml(Card(), start=error("LIB_RM_VERSION_MISMATCH"))).read()

    def test_the_real_library_is_loaded_without_a_warning(self) -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert gpu.load_nvml() is pynvml
        assert warned == []

    def test_the_real_library_is_asked_without_a_fault(self) -> None:
        readings = Gpus().read()  # None where there is no card, and its readings where there is one
        assert readings is None or found(readings, "cockpit_gpu_up")


class TestThrottling:
    def test_reasons_are_told_in_words(self) -> None:
        readings = read(Card())
        held = {dict(one.labels)["reason"]: one.value for one in readings if one.family == "cockpit_gpu_throttled"}
        assert {reason for reason, value in held.items() if value} == {"power cap", "thermal slowdown by hardware"}
        assert len(held) == 9

    def test_an_older_driver_is_asked_by_the_older_name(self) -> None:
        changes = {
            "nvmlDeviceGetCurrentClocksEventReasons": error("FUNCTION_NOT_FOUND"),
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x80,
        }
        readings = read(Card(changes=changes))
        assert found(readings, "cockpit_gpu_throttled", reason="power brake") == [1]

    def test_every_bit_is_the_librarys(self) -> None:
        bits = {
            value
            for name, value in vars(pynvml).items()
            if name.startswith("nvmlClocksEventReason") and isinstance(value, int) and value and "All" not in name
        }
        assert {bit for bit, _ in nvml_words.THROTTLES} == bits


class TestXids:
    def test_each_error_is_growth_of_its_counter_with_advice_in_the_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[dict[str, Any]] = []
        levels = {name: lambda _, name=name, **told: said.append({"level": name, **told}) for name in xids._LEVELS}
        monkeypatch.setattr(xids, "_LEVELS", levels)
        card = Card()
        probe = Gpus(lambda: FakeNvml(card))
        assert found(probe.read(), "cockpit_gpu_xid_errors_total") == []
        card.events += [31, 31, 48]
        readings = probe.read()
        grown = [one for one in readings or () if one.family == "cockpit_gpu_xid_errors_total"]
        assert all(one.grown and one.value == 1 for one in grown)
        assert [(one.labels["xid"], one.labels["severity"]) for one in grown] == [
            ("31", "info"), ("31", "info"), ("48", "critical"),
        ]  # fmt: skip
        assert found(readings, "cockpit_gpu_last_xid") == [48]
        assert [(one["level"], one["xid"]) for one in said] == [("info", 31), ("info", 31), ("critical", 48)]
        assert all(one["advice"] and one["meaning"] for one in said)

    def test_the_last_error_stays_and_no_growth_is_told_twice(self) -> None:
        card = Card()
        probe = Gpus(lambda: FakeNvml(card))
        probe.read()
        card.events.append(94)
        first, second = probe.read(), probe.read()
        assert found(second, "cockpit_gpu_last_xid") == [94]
        assert found(first, "cockpit_gpu_last_xid_timestamp_seconds") == found(
            second, "cockpit_gpu_last_xid_timestamp_seconds"
        )
        assert found(second, "cockpit_gpu_xid_errors_total") == []

    def test_a_card_that_fell_off_the_bus_still_tells_why(self) -> None:
        card = Card()
        probe = Gpus(lambda: FakeNvml(card))
        probe.read()
        card.events.append(79)
        card.changes["nvmlDeviceGetHandleByIndex"] = error("GPU_IS_LOST")
        readings = probe.read()
        assert found(readings, "cockpit_gpu_up") == [0]
        assert found(readings, "cockpit_gpu_xid_errors_total", xid="79", severity="critical") == [1]

    def test_a_storm_of_errors_is_taken_in_bounded_parts(self) -> None:
        card = Card()
        probe = Gpus(lambda: FakeNvml(card))
        probe.read()
        card.events += [13] * 250
        taken = [len(found(probe.read(), "cockpit_gpu_xid_errors_total")) for _ in range(4)]
        assert taken == [100, 100, 50, 0]

    def test_a_card_without_events_is_read_all_the_same(self) -> None:
        readings = read(Card(changes={"nvmlDeviceRegisterEvents": error("NOT_SUPPORTED")}))
        assert found(readings, "cockpit_gpu_up") == [1]

    @pytest.mark.parametrize("code", [48, 62, 64, 74, 79, 95, 119, 120])
    def test_what_needs_a_reset_is_critical(self, code: int) -> None:
        assert nvml_words.xid(code).severity == "critical"

    @pytest.mark.parametrize("code", [13, 31, 43, 63, 92])
    def test_what_pages_nobody_is_information(self, code: int) -> None:
        assert nvml_words.xid(code).severity == "info"

    def test_an_unknown_number_has_advice_too(self) -> None:
        assert nvml_words.xid(4711).severity == "warning"
        assert "catalogue" in nvml_words.xid(4711).advice


class TestInstances:
    def test_each_instance_has_its_own_memory_and_the_card_no_utilisation(self) -> None:
        card = Card(
            name="NVIDIA A100-SXM4-80GB",
            instances={
                0: Instance(7, 0, "NVIDIA A100-SXM4-80GB MIG 1g.10gb", 3 * GIB, 10 * GIB),
                2: Instance(2, 0, "NVIDIA A100-SXM4-80GB MIG 3g.40gb", 0, 40 * GIB),
            },
            changes={"nvmlDeviceGetUtilizationRates": error("NOT_SUPPORTED")},
        )
        readings = read(Card(), card)
        family = "cockpit_gpu_instance_memory_used_bytes"
        assert found(readings, family, gpu="1", instance="7/0", profile="1g.10gb") == [3 * GIB]
        assert found(readings, family, gpu="1", instance="2/0", profile="3g.40gb") == [0]
        assert found(readings, family, gpu="0") == []
        assert found(readings, "cockpit_gpu_utilization_ratio", gpu="1") == []
        assert found(readings, "cockpit_gpu_memory_used_bytes", gpu="1") == [60 * GIB]


class TestProcesses:
    def test_memory_is_told_by_program_and_number(self) -> None:
        card = Card(
            compute=[
                Process(300, 2 * GIB, "/usr/bin/python3 -m vllm serve"),
                Process(100, 5 * GIB, "/opt/vllm/python3"),
                Process(200, GIB, "C:\\Program\\trainer.exe"),
            ],
            graphics=[Process(100, 4 * GIB, "/opt/vllm/python3"), Process(400, GIB // 2, "Xorg")],
        )
        readings = read(card)
        held = "cockpit_gpu_process_memory_bytes"
        assert found(readings, held, process="python3", number="1") == [5 * GIB]
        assert found(readings, "cockpit_gpu_process_pid", process="python3", number="1") == [100]
        assert found(readings, "cockpit_gpu_process_pid", process="python3", number="2") == [300]
        assert found(readings, held, process="trainer.exe") == [GIB]
        assert found(readings, "cockpit_gpu_processes") == [4]

    def test_a_process_that_starts_again_and_again_makes_no_new_series(self) -> None:
        card = Card()
        probe = Gpus(lambda: FakeNvml(card))
        series = set()
        for pid in range(1000, 1050):
            card.compute = [Process(pid, GIB)]
            series |= {(one.family, *one.labels.items()) for one in probe.read() or () if "process_" in one.family}
        assert len(series) == 2

    def test_the_twenty_largest_are_told_and_all_are_counted(self) -> None:
        readings = read(Card(compute=[Process(pid, pid * 1000, f"program {pid}") for pid in range(1, 60)]))
        assert sorted(found(readings, "cockpit_gpu_process_memory_bytes")) == [pid * 1000.0 for pid in range(40, 60)]
        assert found(readings, "cockpit_gpu_processes") == [59]

    def test_memory_that_is_not_told_and_a_name_that_is_gone_lose_nothing(self) -> None:
        readings = read(Card(compute=[Process(1, None), Process(2, GIB, path=""), Process(3, BLANK)]))
        assert found(readings, "cockpit_gpu_processes") == [3]
        assert found(readings, "cockpit_gpu_process_memory_bytes") == [GIB]
        assert found(readings, "cockpit_gpu_process_memory_bytes", process="unknown") == [GIB]
