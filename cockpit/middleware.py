"""What every request passes: an id and an access line, headers that keep browsers strict, and a person's scope."""

import ipaddress
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult

import structlog
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.cache import patch_vary_headers

from bedrock import identifiers
from monitoring import traffic
from organizations import access, audit, marks, networks
from organizations.models import AuditEvent, User

log = structlog.get_logger("cockpit.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LARGEST = 64 * 2**20  # bytes
_PAGE_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
# Strict everywhere: no inline script or style, nothing from other hosts, no frames.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
Next = Callable[[HttpRequest], HttpResponse]


def _client_address(request: HttpRequest) -> str | None:
    """The caller's address; forwarded headers count only from as many proxies as TRUSTED_PROXIES says."""
    address = request.META.get("REMOTE_ADDR") or None
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if settings.TRUSTED_PROXIES and len(hops) >= settings.TRUSTED_PROXIES:
        address = hops[-settings.TRUSTED_PROXIES]
    try:
        return str(ipaddress.ip_address((address or "").partition("%")[0]))
    except ValueError:
        return None


class RequestContext:
    """A request id (the caller's, when it is well formed), the audit trail's origin, and one log line an answer."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        offered = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else str(identifiers.uuid7(time.time_ns() // 1_000_000))
        origin = audit.Origin(
            actor_kind=AuditEvent.Actor.UNKNOWN,
            actor="anonymous",
            address=_client_address(request),
            user_agent=_UNPRINTABLE.sub(" ", request.META.get("HTTP_USER_AGENT", "")[:400]),
            request_id=request_id,
        )
        token = audit.origin.set(origin)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            self._tell(request, response, began)
            return response
        finally:
            audit.origin.reset(token)
            structlog.contextvars.clear_contextvars()

    @staticmethod
    def _tell(request: HttpRequest, response: HttpResponse, began: float) -> None:
        route = request.resolver_match.view_name if request.resolver_match else None
        write = log.warning if response.status_code >= 500 else log.info
        if request.path.startswith("/api/health") and response.status_code < 400:
            write = log.debug  # probes ask every few seconds
        write(
            "request",
            method=request.method,
            path=request.path[:300],
            route=route,
            status=response.status_code,
            duration_ms=round((time.monotonic() - began) * 1000, 1),
        )


class RequestMetrics:
    """Counts every request by the name of its route; a stream counts when it opens, not by how long it is."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        mark = marks.Marks()
        token = marks.current.set(mark)
        began = time.perf_counter()
        traffic.in_flight.begin()
        try:
            response = self.get_response(request)
        finally:
            traffic.in_flight.end()
            marks.current.reset(token)
        self._count(request, response, mark, time.perf_counter() - began)
        return response

    @staticmethod
    def _count(request: HttpRequest, response: HttpResponse, mark: marks.Marks, seconds: float) -> None:
        # A key or token is about its own organization, also where it was refused; a person only about what they chose.
        own = mark.home if mark.kind in ("key", "token") else ""
        organization, route = mark.organization or own or "shared", route_of(request)
        traffic.count_request(
            organization=organization,
            method=method_of(request, response.status_code),
            route=route,
            status=response.status_code,
            seconds=seconds,
            request_bytes=_size(request.META.get("CONTENT_LENGTH")),
            response_bytes=_size(response.get("Content-Length")) if response.streaming else len(response.content),
        )
        home = mark.home or "shared"
        if response.status_code >= 400:
            traffic.count_error(organization, route, response.status_code, mark.error)
        if mark.refusal:
            traffic.count_refusal(home, mark.refusal)
        if mark.limited or response.status_code == 429:
            traffic.count_limited(home, route)
        if mark.key_prefix:
            traffic.count_key_request(home, mark.key_prefix, route)
        if mark.kind in ("key", "user"):  # a token is in the hands of all who look at a page
            networks.note(mark.organization or home, audit.origin.get())


def route_of(request: HttpRequest) -> str:
    """The name of the request's route: all of the admin is one, and so are all files, and all that leads nowhere."""
    match = request.resolver_match
    if match is None:
        return "static" if request.path.startswith(f"/{settings.STATIC_URL.strip('/')}/") else "unmatched"
    return match.namespace or match.view_name or "unmatched"


def method_of(request: HttpRequest, status: int) -> str:
    """The request's method; "" where nothing answers it, for everybody could make up series of it."""
    method, match = request.method or "", request.resolver_match
    if match is None:
        return method if method in ("GET", "HEAD") else ""
    view = getattr(match.func, "view_class", None)
    answered = status != 405 if view is None else hasattr(view, "get" if method == "HEAD" else method.lower())
    return method if answered else ""


def _size(announced: str | None) -> int:
    """A body's announced length; one beyond what any route takes was never read, and is none."""
    size = int(announced) if announced and announced.isdecimal() and len(announced) < 12 else 0
    return size if size <= _LARGEST else 0


class SecurityHeaders:
    """Content security and caching: pages and API answers belong to one person and are not stored on the way."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in _PAGE_METHODS or request.path.startswith("/api/"):
            response = self.get_response(request)
        else:  # Django's own views answer TRACE like GET, and the rest with a lost CSRF token
            response = HttpResponseNotAllowed(_PAGE_METHODS)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("X-Frame-Options", settings.X_FRAME_OPTIONS)  # for browsers that know no policy
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        if not request.path.startswith(f"/{settings.STATIC_URL.strip('/')}/"):
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ("Cookie", "Authorization"))
        return response


class EmbeddingPages(CorsMiddleware):
    """CORS for the pages of EMBED_ORIGINS, on the routes that settings name; without such pages there is none."""

    def __init__(self, get_response: Next) -> None:
        if not settings.EMBED_ORIGINS:
            raise MiddlewareNotUsed
        super().__init__(get_response)

    def origin_found_in_white_lists(self, origin: str, url: SplitResult) -> bool:
        """Browsers write an origin in one way only: anything else is none of ours."""
        return origin in settings.EMBED_ORIGINS


class EnterScope:
    """Pages and admin run inside the signed-in person's scope, templates included; the API enters its own."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        if request.path.startswith("/api/") or not isinstance(request.user, User):
            return self.get_response(request)
        request.access = access.enter_person(request.user)
        with request.access.whole_scope.enter():
            response = self.get_response(request)
            if response.status_code >= 400:
                transaction.set_rollback(True)  # the error was caught inside: nothing half-written may stay
        return response
