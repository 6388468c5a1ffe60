"""What one request adds to the counters, wherever it was answered: here, or in a process that records its own."""

import http.client
import os
from datetime import datetime
from functools import lru_cache
from threading import Lock

from django.conf import settings

from monitoring import counting
from monitoring.families import HTTP_BOUNDS
from monitoring.store.samples import Labels
from organizations import networks

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROCESSES = 100  # names of processes in labels: few, however often processes start anew


@lru_cache(maxsize=4096)
def _labels(route: str, method: str, status: int) -> tuple[Labels, Labels]:
    by_method = (("method", method), ("route", route))
    return by_method, (*by_method, ("status", str(status)))


def count_request(
    *,
    organization: str,
    method: str,
    route: str,
    status: int,
    seconds: float,
    request_bytes: int = 0,
    response_bytes: int = 0,
) -> None:
    """Count an answered request.

    Args:
        organization: whom it was about; `shared` where there is nobody.
        method: one of METHODS; everything else is `other`.
        route: a name out of a small set, never a path.
    """
    table = counting.table
    by_method, by_status = _labels(route, method if method in METHODS else "other", status)
    table.add(organization, "cockpit_http_requests_total", by_status)
    table.observe(organization, "cockpit_http_request_duration_seconds", by_method, seconds, HTTP_BOUNDS)
    if request_bytes:
        table.add(organization, "cockpit_http_request_bytes_total", by_method, float(request_bytes))
    if response_bytes:
        table.add(organization, "cockpit_http_response_bytes_total", by_method, float(response_bytes))


def count_error(organization: str, route: str, status: int, kind: str = "") -> None:
    """Count an answer of 400 and above by what it was titled, or in its status' own words."""
    kind = kind or http.client.responses.get(status, "other")
    counting.table.add(organization, "cockpit_http_errors_total", (("route", route), ("type", kind)))


def count_refusal(organization: str, reason: str) -> None:
    counting.table.add(organization, "cockpit_auth_failures_total", (("reason", reason),))


def count_limited(organization: str, route: str) -> None:
    counting.table.add(organization, "cockpit_rate_limited_total", (("route", route),))


def count_key_request(organization: str, key_prefix: str, route: str) -> None:
    counting.table.add(organization, "cockpit_key_requests_total", (("key_prefix", key_prefix), ("route", route)))


class InFlight:
    """How many requests this process is answering right now."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin as a new process does."""
        self._lock = Lock()
        self._count = 0
        self._ever = False

    def begin(self) -> None:
        with self._lock:
            self._count += 1
            self._ever = True

    def end(self) -> None:
        with self._lock:
            self._count -= 1

    def tell(self, now: datetime, last: bool) -> None:
        """Into the table, once there was a request at all; 0 when the process ends."""
        if self._ever:
            labels = (("host", settings.HOST_NAME), ("process", str(os.getpid() % _PROCESSES)))
            counting.table.set("shared", "cockpit_http_requests_in_flight", labels, 0 if last else self._count)


def _count_new_networks(now: datetime, last: bool) -> None:
    for organization in networks.record_new():
        counting.table.add(organization, "cockpit_new_networks_total")


in_flight = InFlight()
os.register_at_fork(after_in_child=in_flight.clear)  # the parent's requests are not answered here
counting.flusher.also(in_flight.tell)
counting.flusher.also(_count_new_networks)
