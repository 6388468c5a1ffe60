"""Beginning, end and health of the in-process services."""

import logging
import os
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TypedDict

import structlog
from django.db import connection

from monitoring import counting
from monitoring.services import metrics
from monitoring.services.recordings import state
from monitoring.store import current_store
from organizations.scope import Scope

log = structlog.get_logger(__name__)

_DEADLINE = 2.0  # seconds for the store's answer
_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringConfig:
    """What `initialize` may be told; without it everything is on.

    `enable_prometheus` is for requests and metrics of one's own, `enable_integration` for inferences; switched off,
    their verbs do nothing. `log_level` is one of debug, info, warning, error, critical; None leaves it as it is.
    """

    enable_prometheus: bool = True
    enable_integration: bool = True
    log_level: str | None = None


class Services(TypedDict):
    prometheus: bool
    logging: bool
    tracing: bool
    integration: bool


class MonitoringHealth(TypedDict):
    """`overall` is whether all that is switched on works."""

    overall: bool
    services: Services


def initialize(config: MonitoringConfig | None = None) -> None:
    """Begin; the first recording does it too. Called again, it takes the new configuration.

    Raises:
        ValueError: for a log level that is none.
    """
    chosen = config or MonitoringConfig()
    if chosen.log_level is not None and chosen.log_level not in _LEVELS:
        raise ValueError(f"log_level: must be one of {', '.join(_LEVELS)}")
    if chosen.log_level is not None:
        logging.getLogger().setLevel(chosen.log_level.upper())
    state.metrics, state.inferences = chosen.enable_prometheus, chosen.enable_integration
    counting.flusher.resume()


def shutdown() -> None:
    """Write everything recorded so far; what comes later is written when the process ends, which does the same."""
    counting.flusher.end()


def get_monitoring_health() -> MonitoringHealth:
    """How the services of this process are, within two seconds.

    `prometheus`: recordings are taken and written. `logging`: the log goes where it should. `integration`: the store
    answers. `tracing`: false, because no traces are sent yet; it does not count for `overall`.
    """
    services = Services(
        prometheus=metrics.is_ready(),
        logging=structlog.is_configured() and bool(logging.getLogger().handlers),
        tracing=False,
        integration=state.inferences and _store_answers(),
    )
    wanted = [services["logging"]]
    wanted += [services["prometheus"]] if state.metrics else []
    wanted += [services["integration"]] if state.inferences else []
    return MonitoringHealth(overall=all(wanted), services=services)


_asking = Lock()


def _begin() -> None:
    """A fork has none of the parent's questions under way."""
    global _asking
    _asking = Lock()


os.register_at_fork(after_in_child=_begin)


def _store_answers() -> bool:
    """Asked in a thread: a frozen database answers no time-out. While one question hangs, there is no second."""
    if not _asking.acquire(blocking=False):
        return False
    answered = Event()

    def ask() -> None:
        try:
            current_store().counters(Scope.system("monitoring health"), families=(counting.OVERFLOW,))
            answered.set()
        except Exception as error:
            log.warning("the store does not answer", reason=type(error).__name__)
        finally:
            connection.close()
            _asking.release()

    Thread(target=ask, name="monitoring-health", daemon=True).start()
    return answered.wait(_DEADLINE)
