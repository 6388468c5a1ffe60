"""What runs on a card: the instances it is divided into (MIG), and the processes that hold its memory."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from monitoring.probes.nvml_words import is_blank
from monitoring.probes.reading import Reading

MOST_PROCESSES = 20  # of each card, those with the most memory
# Errors after which nothing else that the card says can be trusted.
_GONE = ("NVMLError_GpuIsLost", "NVMLError_ResetRequired", "NVMLError_Uninitialized")
_PROFILE = re.compile(r"MIG (\S+)")


def ask(question: Callable[..., Any], *about: Any) -> Any:
    """NVML's answer, or None when the card has none to this question.

    Raises:
        pynvml.NVMLError: when the card is gone, and no other question makes sense.
    """
    try:
        return question(*about)
    except Exception as error:
        if type(error).__name__ in _GONE:
            raise
        return None  # not supported, not permitted, a function that this driver does not have yet


def instances(nvml: Any, card: Any) -> Iterator[Reading]:
    """Memory of each instance of a divided card, named by its numbers and profile (such as 1g.10gb)."""
    mode = ask(nvml.nvmlDeviceGetMigMode, card)
    if not mode or mode[0] != 1:
        return
    for number in range(ask(nvml.nvmlDeviceGetMaxMigDeviceCount, card) or 0):
        instance = ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, card, number)
        if instance is not None:  # numbers have gaps
            yield from _instance(nvml, instance)


def _instance(nvml: Any, instance: Any) -> Iterator[Reading]:
    gpu_instance = ask(nvml.nvmlDeviceGetGpuInstanceId, instance)
    compute_instance = ask(nvml.nvmlDeviceGetComputeInstanceId, instance)
    profile = _PROFILE.search(str(ask(nvml.nvmlDeviceGetName, instance) or ""))
    memory = ask(nvml.nvmlDeviceGetMemoryInfo, instance)
    if gpu_instance is None or memory is None:
        return
    labels = {
        "instance": f"{gpu_instance}/{0 if compute_instance is None else compute_instance}",
        "profile": profile[1] if profile else "unknown",
    }
    for family, value in (
        ("cockpit_gpu_instance_memory_used_bytes", memory.used),
        ("cockpit_gpu_instance_memory_total_bytes", memory.total),
    ):
        if not is_blank(value):
            yield Reading(family, value, labels)


def processes(nvml: Any, card: Any) -> Iterator[Reading]:
    """Memory of the processes that hold most of it, and how many there are in all.

    A process is named by its program and its number among those of the same name, in order of process id: ids as
    labels would make a new series at every start. The id itself is a value.
    """
    compute = ask(nvml.nvmlDeviceGetComputeRunningProcesses, card)
    graphics = ask(nvml.nvmlDeviceGetGraphicsRunningProcesses, card)
    if compute is None and graphics is None:
        return
    running = [*(compute or ()), *(graphics or ())]
    yield Reading("cockpit_gpu_processes", len({process.pid for process in running}))
    held: dict[int, int] = {}
    for process in running:
        memory = process.usedGpuMemory
        if memory is not None and not is_blank(memory):
            held[process.pid] = max(memory, held.get(process.pid, 0))  # one that computes and draws is told twice
    seen: Counter[str] = Counter()
    for pid in sorted(sorted(held, key=lambda one: (-held[one], one))[:MOST_PROCESSES]):
        name = _program(ask(nvml.nvmlSystemGetProcessName, pid))
        seen[name] += 1
        labels = {"process": name, "number": str(seen[name])}
        yield Reading("cockpit_gpu_process_memory_bytes", held[pid], labels)
        yield Reading("cockpit_gpu_process_pid", pid, labels)


def _program(path: object) -> str:
    """The file's name of a command line."""
    words = str(path or "").replace("\\", "/").split()
    return words[0].rpartition("/")[2][:60] if words else "unknown"
