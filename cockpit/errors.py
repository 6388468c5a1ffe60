"""Every refusal in one form: domain error to status in one table, told as problem+json (RFC 9457) or as a page."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from msgspec import UNSET
from psycopg import errors as postgres
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from alerts.moves import Refused
from bedrock.parameters import BadParameters
from bedrock.problem import Fault, Problem
from monitoring.errors import BadItems, KeyConflict, TooLarge
from monitoring.store.base import OutOfScope, PartitionMissing
from organizations import audit, marks

log = structlog.get_logger(__name__)

_TYPE = "about:blank"
# First match wins: (exception, status, title, seconds to wait before trying again).
_TABLE: tuple[tuple[type[BaseException], int, str, int | None], ...] = (
    (BadItems, 400, "Not valid", None),
    (BadParameters, 400, "Not valid", None),
    (KeyConflict, 422, "Idempotency key used for other content", None),
    (Refused, 409, "Not possible as it stands", None),
    (TooLarge, 413, "Too large", None),
    (OutOfScope, 404, "Not found", None),
    (PartitionMissing, 503, "Not ready for that day yet", 5),
    (RequestDataTooBig, 413, "Too large", None),
    (Http404, 404, "Not found", None),
    (PermissionDenied, 403, "Not allowed", None),
    (SuspiciousOperation, 400, "Not valid", None),
    (PoolTimeout, 503, "Busy", 2),
    (OperationalError, 503, "Database not available", 5),
    (InterfaceError, 503, "Database not available", 5),
    (psycopg.OperationalError, 503, "Database not available", 5),  # COPY's errors come as the driver's own
    (psycopg.InterfaceError, 503, "Database not available", 5),
    (postgres.ReadOnlySqlTransaction, 503, "Database read only", 5),  # to Django an internal error like any bug
    (DataError, 400, "Not valid", None),
    (psycopg.DataError, 400, "Not valid", None),
)
_TITLES = {400: "Not valid", 401: "Not signed in", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
           406: "Not acceptable", 413: "Too large", 415: "Content type not supported", 422: "Not processable",
           429: "Too many requests", 500: "Internal error", 503: "Not available"}  # fmt: skip


def problem(
    status: int,
    detail: str = "",
    *,
    title: str = "",
    errors: Sequence[dict[str, str]] = (),
    retry_after: int | None = None,
) -> HttpResponse:
    """A problem+json answer; `errors` holds {pointer, code, message} for each bad field."""
    title = title or _TITLES.get(status, "Error")
    marks.here().error = title
    body = Problem(
        type=_TYPE,
        title=title,
        status=status,
        detail=detail[:500] or UNSET,
        request_id=audit.origin.get().request_id or UNSET,
        errors=[Fault(**error) for error in errors] or UNSET,
    )
    response = JsonResponse(msgspec.to_builtins(body), status=status, content_type="application/problem+json")
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _from_table(error: BaseException) -> HttpResponse | None:
    if isinstance(error.__cause__, postgres.ReadOnlySqlTransaction | postgres.DiskFull):
        error = error.__cause__
    for kind, status, title, wait in _TABLE:
        if isinstance(error, kind):
            # What a database says may name tables and hosts; only our own words go out.
            own = status < 500 and not isinstance(error, DataError | psycopg.DataError | SuspiciousOperation | Http404)
            errors = error.errors if isinstance(error, BadItems | BadParameters) else ()
            if isinstance(error, postgres.DiskFull):
                title = "Storage full"
            return problem(status, str(error) if own else "", title=title, errors=errors, retry_after=wait)
    return None


def _of_api(error: exceptions.APIException) -> HttpResponse:
    wait = getattr(error, "wait", None)
    detail = error.detail
    fields = detail if isinstance(detail, dict) else {}
    errors = [
        {"pointer": f"/{name}", "code": getattr(told, "code", "invalid"), "message": str(told)}
        for name, messages in fields.items()
        for told in (messages if isinstance(messages, list) else [messages])
    ]
    text = "" if errors else str(detail[0] if isinstance(detail, list) and detail else detail)
    response = problem(error.status_code, text, errors=errors, retry_after=int(wait) if wait else None)
    if challenge := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = challenge
    return response


def handle(error: Exception, context: dict[str, Any]) -> HttpResponseBase | Response | None:
    """DRF's exception handler; None lets an unknown error become a 500 with its traceback in the log."""
    set_rollback()
    if isinstance(error, exceptions.APIException):
        return _of_api(error)
    if isinstance(error, ValidationError):
        return problem(400, "; ".join(error.messages))
    response = _from_table(error)
    if response is not None and response.status_code >= 500:
        log.warning("request refused", status=response.status_code, reason=type(error).__name__)
    return response


def _answer(request: HttpRequest, status: int, detail: str = "") -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem(status, detail)
    marks.here().error = _TITLES.get(status, "Error")
    return render(request, f"{status}.html", {"detail": detail}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(
        request, 413 if isinstance(exception, RequestDataTooBig) and request.path.startswith("/api/") else 400
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    marks.here().refusal = "csrf"
    return _answer(request, 403, "The form was too old or came from elsewhere. Please reload the page and try again.")


def server_error(request: HttpRequest) -> HttpResponse:
    """What nobody caught: a store that is away is 503, bad input to the admin's own queries 400, the rest a bug."""
    error = sys.exc_info()[1]
    if isinstance(error, ValueError | ValidationError) and request.path.startswith("/admin/"):
        return _answer(request, 400)
    response = _from_table(error) if error else None
    if response is None:
        answer = _answer(request, 500)
        marks.here().error = type(error).__name__ if error else "Error"
        return answer
    if request.path.startswith("/api/"):
        return response
    page = _answer(request, response.status_code if response.status_code in (400, 403, 404, 503) else 500)
    if wait := response.get("Retry-After"):
        page["Retry-After"] = wait
    return page
