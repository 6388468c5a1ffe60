"""The dashboard data as JSON, cached for its second, with an ETag of the figures; the stream that says when to look."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from django.core.cache import caches
from django.db import connection
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.views import APIView

from bedrock import money, parameters
from bedrock.identifiers import text_of
from cockpit.dashboard import integration, panels, stream, windows
from cockpit.dashboard.integration import Answer, ModelRow, Totals
from organizations.access import Access, caller
from organizations.models import KeyScope, Organization

_EVENTS = "text/event-stream"
_encode = msgspec.json.Encoder().encode


class DashboardView(APIView):
    """One organization's dashboard data."""

    needs = KeyScope.DASHBOARD_READ.value

    def get(self, request: Request) -> HttpResponse:
        access = caller(request)
        now = timezone.now().replace(microsecond=0)
        view = windows.parse(request.query_params, now)
        slug = access.choose(request.query_params.get("organization"), self.needs)
        # The answer depends on the organization alone, so callers of one organization may share it for its second.
        key = f"dashboard:{slug}:{view}:{now.timestamp():.0f}"
        key = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        found = caches["local"].get(key)
        if found is None:
            organization = Organization.objects.get(pk=slug)
            found = _render(integration.answer(access.scope(self.needs), organization, view, now))
            caches["local"].set(key, found, timeout=2)
        tag, body = found
        if tag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", "")):
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(body, content_type="application/json")
        response["ETag"] = tag
        response["X-As-Of"] = text_of(now)
        response["Cache-Control"] = "private, no-cache"
        return response


class StreamView(APIView):
    """Server-sent events: which panels of an organization are stale, as soon as its numbers move."""

    needs = KeyScope.DASHBOARD_READ.value

    def head(self, request: Request) -> HttpResponse:
        """What a GET would be answered with, without a stream behind it."""
        self._chosen(request)
        return HttpResponse(content_type=_EVENTS)

    def get(self, request: Request) -> HttpResponseBase:
        access, organization = self._chosen(request)
        session = request._request.session.session_key or "" if access.kind == "user" else ""
        try:
            opened = stream.hub.open(organization.slug, stream.Caller(access.kind, access.id, session))
        except stream.TooMany as full:
            body = {"title": "Too many streams", "status": full.status, "detail": str(full)}
            response = JsonResponse(body, status=full.status, content_type="application/problem+json")
            response["Retry-After"] = "10"
            return response
        last = request.META.get("HTTP_LAST_EVENT_ID", "")
        seen = int(last) if last.isdecimal() and last.isascii() and len(last) < 19 else None
        names = tuple(panel.name for panel in panels.shown_to(organization.audience))
        connection.close()  # a stream that waits must hold none
        answer = StreamingHttpResponse(stream.Events(opened, names, seen), content_type=_EVENTS)
        answer["Cache-Control"] = "no-store"
        answer["X-Accel-Buffering"] = "no"
        return answer

    def _chosen(self, request: Request) -> tuple[Access, Organization]:
        access = caller(request)
        named = parameters.read(request.query_params, {"organization"})
        return access, Organization.objects.get(pk=access.choose(named.get("organization"), self.needs))


def _render(answer: Answer) -> tuple[str, bytes]:
    """(ETag, body); the tag is of everything but the moment of asking, so that a quiet window is a 304."""
    content = _content(answer)
    tag = hashlib.blake2b(_encode({**content, "asOf": ""}), digest_size=12).hexdigest()
    return f'W/"{tag}"', _encode(content)


def _content(answer: Answer) -> dict[str, Any]:
    window = {"from": text_of(answer.start), "to": text_of(answer.end), "stepSeconds": answer.step_seconds}
    series = answer.series
    return {
        "organization": answer.organization,
        "currency": answer.currency,
        "window": window,
        "asOf": text_of(answer.as_of),
        "sources": answer.sources,
        "totals": _totals(answer.totals),
        "previous": _totals(answer.previous) if answer.previous else None,
        "models": [_model(row) for row in answer.models],
        "errorsByType": [{"errorType": name, "count": count} for name, count in answer.errors_by_type],
        "series": {
            "t": _times(series.t),
            "inferences": series.inferences,
            "errors": series.errors,
            "cost": [money.text(cost) for cost in series.cost],
            "tokens": series.tokens,
            "p50Ms": _rounded(series.p50_ms),
            "p95Ms": _rounded(series.p95_ms),
            "p99Ms": _rounded(series.p99_ms),
        },
    }


def _model(row: ModelRow) -> dict[str, Any]:
    return {"modelName": row.model_name, "provider": row.provider or None, **_totals(row.totals)}


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "inferences": totals.inferences,
        "errors": totals.errors,
        "errorRate": totals.error_rate,
        "cost": money.text(totals.cost),
        "unpriced": totals.unpriced,
        "revenue": money.text(totals.revenue),
        "inputTokens": totals.input_tokens,
        "outputTokens": totals.output_tokens,
        "p50Ms": _round(totals.p50_ms),
        "p95Ms": _round(totals.p95_ms),
        "p99Ms": _round(totals.p99_ms),
    }


def _times(moments: Iterable[datetime]) -> list[str]:
    return [text_of(moment) for moment in moments]


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [_round(value) for value in values]
