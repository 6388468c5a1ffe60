"""XID errors: what the driver reported of a card since the last look, counted, and told in words."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import structlog

from monitoring.probes.nvml_words import xid
from monitoring.probes.reading import Reading

log = structlog.get_logger(__name__)

_MOST_EVENTS = 100  # taken at one look
_LEVELS = {"critical": log.error, "warning": log.warning, "info": log.info}


class XidWatch:
    """One set of events for each card, so that it is known whose they are."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sets: dict[int, Any] = {}
        self._last: dict[int, tuple[int, float]] = {}

    def read(self, nvml: Any, card: Any, number: int) -> Iterator[Reading]:
        """Each error as growth of its counter; the last one's number, and when it was seen, for good.

        A number that stays says nothing about now: rules look at the counter or at the time.
        """
        for code in self._taken(nvml, card, number):
            self._last[number] = code, self._clock()
            known = xid(code)
            _LEVELS[known.severity]("XID error", gpu=number, xid=code, meaning=known.meaning, advice=known.advice)
            yield Reading("cockpit_gpu_xid_errors_total", 1, {"xid": str(code), "severity": known.severity}, grown=True)
        if number in self._last:
            code, at = self._last[number]
            yield Reading("cockpit_gpu_last_xid", code)
            yield Reading("cockpit_gpu_last_xid_timestamp_seconds", at)

    def _taken(self, nvml: Any, card: Any, number: int) -> Iterator[int]:
        if number not in self._sets and card is not None:
            self._sets[number] = _unless_it_fails(lambda: _watched(nvml, card))
        events = self._sets.get(number)
        for _ in range(_MOST_EVENTS if events is not None else 0):
            event = _unless_it_fails(lambda: nvml.nvmlEventSetWait_v2(events, 0))
            if event is None:  # nothing more to tell
                return
            if event.eventType & nvml.nvmlEventTypeXidCriticalError:
                yield int(event.eventData)


def _watched(nvml: Any, card: Any) -> Any:
    events = nvml.nvmlEventSetCreate()
    nvml.nvmlDeviceRegisterEvents(card, nvml.nvmlEventTypeXidCriticalError, events)
    return events


def _unless_it_fails(question: Callable[[], Any]) -> Any:
    """Whatever the error, no errors are known then: a card that is lost still has events that came before."""
    try:
        return question()
    except Exception:
        return None
