"""The dashboard data as JSON, cached for its second, with an ETag of the figures; the stream that says when to look."""

import hashlib

import msgspec
from django.db import connection
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.views import APIView

from bedrock import parameters
from bedrock.identifiers import text_of
from cockpit import errors
from cockpit.dashboard import answers, described, integration, panels, stream, windows
from cockpit.dashboard.integration import Answer
from cockpit.dashboard.sharing import shared
from organizations.access import Access, caller
from organizations.models import KeyScope, Organization

_EVENTS = "text/event-stream"
_encode = msgspec.json.Encoder().encode


class DashboardView(APIView):
    """One organization's dashboard data."""

    needs = KeyScope.DASHBOARD_READ.value

    @described.dashboard
    def get(self, request: Request) -> HttpResponse:
        access = caller(request)
        now = timezone.now().replace(microsecond=0)
        view = windows.parse(request.query_params, now)
        slug = access.choose(request.query_params.get("organization"), self.needs)
        organization = Organization.objects.get(pk=slug)  # here: who makes the answer then has its connection already

        def make() -> tuple[str, bytes]:
            return _render(integration.answer(access.scope(self.needs), organization, view, now))

        tag, body = shared(slug, ("dashboard", view), now, make)
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

    @described.stream
    def get(self, request: Request) -> HttpResponseBase:
        access, organization = self._chosen(request)
        session = request._request.session.session_key or "" if access.kind == "user" else ""
        try:
            opened = stream.hub.open(organization.slug, stream.Caller.of(access, session))
        except stream.TooMany as full:
            return errors.problem(full.status, str(full), title="Too many streams", retry_after=10)
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
    content = answers.of(answer)
    tag = hashlib.blake2b(_encode(msgspec.structs.replace(content, as_of="")), digest_size=12).hexdigest()
    return f'W/"{tag}"', _encode(content)
