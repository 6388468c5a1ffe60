"""An organization's data looked at and drawn: what the pages and the fragments for live pages have in common."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.template.loader import render_to_string

from cockpit.dashboard import alarms, history, integration, panels, readings, ruled, telling, windows
from cockpit.dashboard.sight import Sight
from organizations.models import Organization
from organizations.scope import Scope

NEWEST_CALLS = 50


def look(
    host: str, view: windows.View, scope: Scope, organization: Organization, now: datetime, *, platform: bool
) -> Sight:
    """The organization's data of a view; `host` is the scheme and name under which this server was asked.

    `platform` adds what machines, cards and services say of themselves, which is for members and their keys.
    """
    newest = integration.newest(scope, organization, view, NEWEST_CALLS)
    return Sight(
        answer=integration.answer(scope, organization, view, now),
        calls=[call for call in newest if call.occurred_at >= view.start],
        zone=ZoneInfo(organization.timezone),
        window=view.window,
        compare=view.compare,
        source=view.source,
        host=host,
        readings=readings.read(organization, view, now, platform=platform),
        alarms=alarms.read(organization, view, now),
        telling=telling.read(organization, view, now),
        ruled=ruled.read(organization, view, platform=platform),
    )


def host_of(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")


def draw(organization: Organization, sight: Sight, only: Sequence[str] = ()) -> str:
    """The panels of the organization's audience as HTML, or those named by `only`; nothing in it is a person's own."""
    shown = panels.build(organization.audience, sight, only)
    marked = history.history(sight, organization.audience)
    context = {"shown": shown, "provenance": sight.provenance, "history": marked}
    return render_to_string("dashboard/panels.html", context)


def tag(body: str) -> str:
    """The ETag of what is shown; the moment of asking is no part of it, so that a quiet window is a 304."""
    return f'W/"{hashlib.blake2b(body.encode(), digest_size=12).hexdigest()}"'


def as_of(sight: Sight) -> dict[str, datetime | str]:
    local = sight.answer.as_of.astimezone(sight.zone)
    return {"as_of": local, "as_of_time": f"{local:%H:%M:%S}", "zone": f"{local:%Z}", "zone_name": sight.zone.key}
