"""The metrics service: what application code calls. Nothing here waits for the store or raises into its caller's work.

Best effort: what was recorded less than two seconds before a kill -9 is lost. What must not be lost goes over HTTP.
"""

import platform
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from django.utils import timezone

from monitoring import exposition, openmetrics, traffic
from monitoring.counting import flusher
from monitoring.exposition import Scrape
from monitoring.families import HTTP_BOUNDS
from monitoring.ingest import Item
from monitoring.selection import Selection
from monitoring.services import custom, inferences
from monitoring.services.custom import BadFamily, Counter, Gauge, Histogram
from monitoring.services.recordings import BadRecording, dropped, label_of, number_of, organization_of, state
from monitoring.store import current_store
from organizations.models import Organization
from organizations.scope import Scope

__all__ = [
    "BadFamily",
    "Counter",
    "Gauge",
    "Histogram",
    "get_metrics",
    "is_ready",
    "record_http_request",
    "record_model_inference",
    "register_counter",
    "register_gauge",
    "register_histogram",
]

_FIELDS = {field.name: field.encode_name for field in msgspec.structs.fields(Item)}
_GIVEN = frozenset({"model_name", "duration_ms", "cost", "organization", "source"})


def record_http_request(
    method: str, route: str, status: int, duration_ms: float, organization: str | None = None
) -> None:
    """Count a request that was answered somewhere else than by the cockpit.

    Args:
        method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS; others count as `other`.
        route: the route's name or pattern, at most 200 characters; never a path with ids in it, for each route and
            method is 16 of the 2,000 series that an organization has.
        status: the HTTP status, 100 to 599.
        organization: its slug; DEFAULT_ORGANIZATION when there is none.
    """
    if not state.metrics:
        return
    try:
        seconds = number_of(duration_ms, "duration_ms", least=0) / 1000
        code = int(number_of(status, "status", least=100))
        if code > 599:
            raise BadRecording("status: must be at most 599")
        slug, name = organization_of(organization), label_of(route, "route")
        traffic.count_request(organization=slug, method=str(method).upper(), route=name, status=code, seconds=seconds)
        if code >= 400:
            traffic.count_error(slug, name, code)
    except Exception as problem:  # whatever it is, the caller's work goes on
        dropped("record_http_request", "invalid", why=str(problem))


def record_model_inference(
    model: str,
    duration_ms: float,
    cost: Decimal | float | str | None = None,
    organization: str | None = None,
    **more: Any,
) -> None:
    """Record one model call, as POST /api/monitoring/dashboard/inference does, within some two seconds.

    Args:
        model: as its provider names it.
        cost: in the organization's currency; None is unknown, which is not 0.
        organization: its slug; DEFAULT_ORGANIZATION when there is none.
        more: further fields of an inference by their names in Python, such as input_tokens, status or user_id.
    """
    if not state.inferences:
        return
    try:
        unknown = sorted(more.keys() - (_FIELDS.keys() - _GIVEN))
        if unknown:
            raise BadRecording(f"{unknown[0][:60]}: is no field of an inference that can be given here")
        fields = {_FIELDS[name]: value for name, value in more.items()}
        inferences.queue.put(organization, inferences.item_of(model, duration_ms, cost, fields))
    except Exception as problem:  # whatever it is, the caller's work goes on
        dropped(inferences.VERB, "invalid", why=str(problem))


def register_counter(name: str, help: str, labels: Sequence[str] = (), *, sample_rate: float = 1.0) -> Counter:
    """A family that only grows; its name ends with _total.

    Args:
        sample_rate: the share of recordings that is kept, each with the weight of those left out.

    Raises:
        BadFamily: naming what is wrong, and the limit.
    """
    return custom.register(Counter(name, help, labels, sample_rate))


def register_gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
    """A family that goes up and down.

    Raises:
        BadFamily: naming what is wrong, and the limit.
    """
    return custom.register(Gauge(name, help, labels))


def register_histogram(
    name: str,
    help: str,
    labels: Sequence[str] = (),
    *,
    bounds: Sequence[float] = HTTP_BOUNDS,
    sample_rate: float = 1.0,
) -> Histogram:
    """A family of how values spread.

    Raises:
        BadFamily: naming what is wrong, and the limit.
    """
    return custom.register(Histogram(name, help, labels, sample_rate, bounds))


def get_metrics(organization: str | None = None, include: Sequence[str] = ()) -> str:
    """What GET /api/metrics tells as plain text, with what this process has counted so far; this asks the store.

    Args:
        organization: its slug; None is all of them.
        include: names of families, beginnings ending in `*`, groups; nothing is everything.
    """
    flusher.flush()
    found = Organization.objects.filter(slug=organization) if organization else Organization.objects.all()
    currencies = dict(found.values_list("slug", "currency"))
    scrape = Scrape(
        scope=Scope.of(*currencies),
        currencies=currencies,
        selection=Selection(tuple(include)),
        form=openmetrics.TEXT,
        now=timezone.now(),
        build={"python": platform.python_version()},
    )
    return exposition.expose(current_store(), scrape)


def is_ready() -> bool:
    """Whether recordings are taken, and what was recorded so far could be written."""
    return state.metrics and not flusher.ended and flusher.failing_since is None
