"""The pages: a person's organization in its theme."""

from typing import cast
from zoneinfo import ZoneInfo

import structlog
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from bedrock.parameters import BadParameters
from cockpit.dashboard import pickers, rendering, themes, windows
from organizations import marks
from organizations.access import Access
from organizations.models import KeyScope, Organization

REFRESH_SECONDS = 5


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
    access = _access(request)
    own = access.organizations
    chosen = _chosen(access, organization, own)
    if chosen is None:
        return render(request, "404.html", status=404)
    marks.here().organization = chosen.slug
    now = timezone.now().replace(microsecond=0)
    try:
        view = windows.parse(request.GET, now, ZoneInfo(chosen.timezone))
    except BadParameters as error:
        return render(request, "400.html", {"detail": str(error)}, status=400)
    scope = access.scope(KeyScope.DASHBOARD_READ)
    sight = rendering.look(rendering.host_of(request), view, scope, chosen, now, platform=True)
    query = request.GET.copy()
    query["organization"] = chosen.slug
    context = {
        "organization": chosen,
        "organizations": own,
        "theme": themes.find(chosen.theme),
        "audience": chosen.audience,
        "period": sight.last,
        "pickers": pickers.build(request.GET, view, sight.answer.sources, sight.zone),
        "provenance": sight.provenance,
        "refresh_url": f"{reverse('panels')}?{query.urlencode()}",
        "refresh_seconds": REFRESH_SECONDS,
        "stream_url": f"{reverse('stream')}?{urlencode({'organization': chosen.slug})}",
        "panels": rendering.draw(chosen, sight),
        "alerts": _alerts(access, chosen.slug),
        "alerts_url": reverse("alerts"),
        **rendering.as_of(sight),
    }
    return render(request, "dashboard/dashboard.html", context)


def _access(request: HttpRequest) -> Access:
    return cast(Access, request.access)  # type: ignore[attr-defined]  # set by the middleware for signed-in people


def _alerts(access: Access, slug: str) -> str:
    """What the person may do with alerts besides seeing them on the page: "write", "read" (in the admin), or ""."""
    if access.may(KeyScope.ALERTS_WRITE, slug):
        return "write"
    return "read" if access.may(KeyScope.ALERTS_READ, slug) else ""


def _chosen(access: Access, slug: str, own: list[Organization]) -> Organization | None:
    """The person's own organization of that name; another's is as absent as one that does not exist."""
    if not access.may(KeyScope.DASHBOARD_READ, slug):
        return None
    structlog.contextvars.bind_contextvars(organization=slug)
    return next((each for each in own if each.slug == slug), None)
