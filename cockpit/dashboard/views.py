"""The pages: a person's organization in its theme, and its panels alone for the module that refreshes them."""

import hashlib
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

import structlog
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.http import parse_etags
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from bedrock.parameters import BadParameters
from cockpit.dashboard import integration, pickers, themes, windows
from cockpit.dashboard import panels as panel_sets
from cockpit.dashboard.sight import Sight
from organizations.access import Access
from organizations.models import KeyScope, Organization

REFRESH_SECONDS = 5
NEWEST_CALLS = 50


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """To the icon where the static files have it; looked up now, as at import none may be collected yet."""
    return redirect(static("favicon.svg"), permanent=True)


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """To the organization a person belongs to; who belongs to none is told so, and by whom it can be changed."""
    slug = _access(request).home
    if slug is None:
        return render(request, "dashboard/no_organization.html", status=403)
    return redirect("dashboard", organization=slug)


@require_safe
@gzip_page
@login_required
def dashboard(request: HttpRequest, organization: str) -> HttpResponse:
    """One organization's page, whole: everything on it can be read without JavaScript."""
    own = _access(request).organizations
    chosen = _chosen(request, organization, own)
    if chosen is None:
        return render(request, "404.html", status=404)
    try:
        view, sight = _look(request, chosen)
    except BadParameters as error:
        return render(request, "400.html", {"detail": str(error)}, status=400)
    query = request.GET.urlencode()
    context = {
        "organization": chosen,
        "organizations": own,
        "theme": themes.find(chosen.theme),
        "audience": chosen.audience,
        "period": sight.last,
        "pickers": pickers.build(request.GET, view, sight.answer.sources),
        "provenance": sight.provenance,
        "refresh_url": reverse("dashboard-panels", args=[chosen.slug]) + (f"?{query}" if query else ""),
        "refresh_seconds": REFRESH_SECONDS,
        "stream_url": f"{reverse('stream')}?organization={chosen.slug}",
        "panels": _render(request, chosen, sight, ()),
        **_as_of(sight),
    }
    return render(request, "dashboard/dashboard.html", context)


@require_safe
@gzip_page
def panels(request: HttpRequest, organization: str) -> HttpResponse:
    """The panels alone, or those named by `panel`, for the module that refreshes them; 304 when no number moved."""
    if not request.user.is_authenticated:  # a redirect to the login page would be swapped in as if it were numbers
        return HttpResponse("Your session has ended.", status=401, content_type="text/plain")
    chosen = _chosen(request, organization, _access(request).organizations)
    only = request.GET.getlist("panel")
    if chosen is None:
        return render(request, "404.html", status=404)
    if unknown := set(only) - panel_sets.names(chosen.audience):
        detail = f"panel: there is no panel {min(unknown)[:60]!r} on this page"
        return render(request, "400.html", {"detail": detail}, status=400)
    try:
        _, sight = _look(request, chosen)
    except BadParameters as error:
        return render(request, "400.html", {"detail": str(error)}, status=400)
    return _conditional(request, sight, _render(request, chosen, sight, only))


def _access(request: HttpRequest) -> Access:
    return cast(Access, request.access)  # type: ignore[attr-defined]  # set by the middleware for signed-in people


def _chosen(request: HttpRequest, slug: str, own: list[Organization]) -> Organization | None:
    """The person's own organization of that name; another's is as absent as one that does not exist."""
    if not _access(request).may(KeyScope.DASHBOARD_READ, slug):
        return None
    structlog.contextvars.bind_contextvars(organization=slug)
    return next((each for each in own if each.slug == slug), None)


def _look(request: HttpRequest, organization: Organization) -> tuple[windows.View, Sight]:
    now = timezone.now().replace(microsecond=0)
    view = windows.parse(_without_panels(request.GET), now)
    scope = _access(request).scope(KeyScope.DASHBOARD_READ)
    newest = integration.newest(scope, organization, view, NEWEST_CALLS)
    sight = Sight(
        answer=integration.answer(scope, organization, view, now),
        calls=[call for call in newest if call.occurred_at >= view.start],
        zone=ZoneInfo(organization.timezone),
        window=view.window,
        compare=view.compare,
        source=view.source,
        host=request.build_absolute_uri("/").rstrip("/"),
    )
    return view, sight


def _without_panels(query: QueryDict) -> QueryDict:
    rest = query.copy()
    rest.pop("panel", None)
    return rest


def _render(request: HttpRequest, organization: Organization, sight: Sight, only: list[str] | tuple[str, ...]) -> str:
    shown = panel_sets.build(organization.audience, sight, only)
    return render_to_string("dashboard/panels.html", {"shown": shown, "provenance": sight.provenance}, request)


def _as_of(sight: Sight) -> dict[str, datetime | str]:
    local = sight.answer.as_of.astimezone(sight.zone)
    return {"as_of": local, "as_of_time": f"{local:%H:%M:%S}", "zone": f"{local:%Z}", "zone_name": sight.zone.key}


def _conditional(request: HttpRequest, sight: Sight, body: str) -> HttpResponse:
    """The tag is of the numbers alone, so that a quiet window is a 304; its time travels beside it in a header."""
    tag = f'W/"{hashlib.blake2b(body.encode(), digest_size=12).hexdigest()}"'
    if tag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(f'<div id="panels" data-as-of="{sight.answer.as_of.isoformat()}">{body}</div>')
    response["ETag"] = tag
    response["X-As-Of"] = sight.answer.as_of.isoformat()
    response["Cache-Control"] = "private, no-cache"
    return response
