"""GET /api/metrics: the families of the caller's organizations. GET /metrics: those of the process that answers."""

import gzip
import platform

import structlog
from django.http import HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django_prometheus.exports import ExportToDjangoView
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from alerts.exposition import SOURCES as ALERTS
from bedrock import parameters
from bedrock.parameters import BadParameters
from cockpit.schema import metrics as described
from monitoring import exposition, openmetrics
from monitoring.exposition import Scrape
from monitoring.selection import LONGEST_NAME, MOST_NAMES, Selection
from monitoring.store import current_store
from organizations import marks
from organizations.access import Access, caller
from organizations.models import KeyScope, Organization
from organizations.scope import Scope

VERSION = "0.1.0"
_BUILD = {"python": platform.python_version(), "version": VERSION}
_SOURCES = (*exposition.SOURCES, *ALERTS)
_INCLUDE = ("include", "name[]")  # the second is what Prometheus' own libraries call it


class MetricsView(APIView):
    """The live metrics of every organization that the caller may read, or of those that are named."""

    needs = KeyScope.METRICS_READ.value

    @described.metrics
    def get(self, request: Request) -> HttpResponse:
        access = caller(request)
        selection, organizations = _asked(request, access)
        form = openmetrics.negotiate(request.META.get("HTTP_ACCEPT", ""))
        scrape = Scrape(
            scope=Scope.of(*organizations),
            currencies=dict(Organization.objects.filter(slug__in=organizations).values_list("slug", "currency")),
            selection=selection,
            form=form,
            now=timezone.now(),
            build=_BUILD,
        )
        return _packed(request, exposition.expose(current_store(), scrape, _SOURCES).encode(), form)


def _asked(request: Request, access: Access) -> tuple[Selection, list[str]]:
    """What the query selects: families, and the organizations whose."""
    names = (*_INCLUDE, "exclude", "organization")
    words = parameters.read_lists(request.query_params, names, most=MOST_NAMES, longest=LONGEST_NAME)
    include = [word for name in _INCLUDE for word in words.get(name, ())]
    exclude = words.get("exclude", [])
    if len(include) + len(exclude) > MOST_NAMES:
        raise BadParameters.of("include", f"must hold at most {MOST_NAMES} names, together with exclude")
    needs = MetricsView.needs
    named = {access.choose(slug, needs) for slug in words.get("organization", ())}
    if len(named) > 1:
        structlog.contextvars.unbind_contextvars("organization")  # the log names one, or none
        marks.here().organization = ""
    return Selection(include, exclude), sorted(named or access.scope(needs).organizations or ())


def _packed(request: Request, body: bytes, form: str) -> HttpResponse:
    packed = _takes_gzip(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    # A light squeeze: the text repeats itself so much that trying harder costs five times as long for little.
    response = HttpResponse(gzip.compress(body, compresslevel=1, mtime=0) if packed else body, content_type=form)
    if packed:
        response["Content-Encoding"] = "gzip"
    patch_vary_headers(response, ("Accept", "Accept-Encoding"))
    return response


def _takes_gzip(accepted: str) -> bool:
    liked = {}
    for part in accepted.lower().split(","):
        coding, *rest = (piece.strip() for piece in part.split(";"))
        liked[coding] = openmetrics.quality(next((one[2:] for one in rest if one.startswith("q=")), "1"))
    return liked.get("gzip", liked.get("*", 0.0)) > 0


class ProcessView(APIView):
    """django-prometheus' page: memory, processor time, open files and garbage of this one web process."""

    needs = KeyScope.METRICS_READ.value
    schema = None

    def get(self, request: Request) -> HttpResponse:
        parameters.read(request.query_params, ())
        if not caller(request).may(self.needs, "shared"):
            raise PermissionDenied(f"This needs the permission {self.needs} in the organization shared.")
        page: HttpResponse = ExportToDjangoView(request._request)
        return page
