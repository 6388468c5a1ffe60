"""The routes there are: which alerts lead to which channels, made and changed by people, each with its audit row."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from alerts.models import Route
from alerts.roster import Unfit, audit_change
from bedrock import identifiers


def save_route(
    *, organization: str, name: str, channels: Sequence[UUID], now: datetime, by: str, route: Route | None = None,
    severities: Sequence[str] = (), alert_types: Sequence[str] = (), model_names: Sequence[str] = (),
    labels: Mapping[str, str] | None = None, enabled: bool = True, source: str = "live",
) -> UUID:  # fmt: skip
    """A route as it is from now on, a new one without `route`; its channels are of the same organization.

    Raises:
        Unfit: when the name is taken.
    """
    given: dict[str, Any] = {
        "name": name, "severities": list(severities), "alert_types": list(alert_types),
        "model_names": list(model_names), "labels": dict(labels or {}), "enabled": enabled, "changed_at": now,
    }  # fmt: skip
    taken = Route.objects.filter(organization=organization, name=name)
    if (taken if route is None else taken.exclude(pk=route.pk)).exists():
        raise Unfit({"name": "is the name of another route"})
    if route is None:
        identifier = identifiers.uuid7(identifiers.milliseconds(now))
        Route(id=identifier, organization_id=organization, source=source, created_at=now, created_by=by, **given).save(
            force_insert=True
        )
        changes: dict[str, Any] = {}
    else:
        identifier = route.pk
        changes = {field: [str(getattr(route, field)), str(value)] for field, value in given.items()
                   if field != "changed_at" and getattr(route, field) != value}  # fmt: skip
        Route.objects.filter(pk=identifier, organization=organization).update(**given)
    before = _lead(organization, identifier, channels)
    if before != (after := sorted(map(str, channels))):
        changes["channels"] = [", ".join(before), ", ".join(after)]
    action, source = ("changed", route.source) if route else ("created", source)
    audit_change(organization, action, "route", identifier, name, changes, source=source)
    return identifier


def _lead(organization: str, route: UUID, channels: Sequence[UUID]) -> list[str]:
    """Where a route leads from now on; where it led before."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM alerts_route_channel WHERE route_id = %s RETURNING channel_id", [route])
        before = sorted(str(one) for (one,) in cursor.fetchall())
        cursor.execute(
            "INSERT INTO alerts_route_channel (organization_id, route_id, channel_id) "
            "SELECT %s, %s, each FROM unnest(%s::uuid[]) AS each",
            [organization, route, list(channels)],
        )
    return before


def delete_route(*, route: Route) -> None:
    """Nothing is told by it any more; what it was is in the audit trail."""
    Route.objects.filter(pk=route.pk, organization=route.organization_id).delete()
    was = {"severities": [route.severities, ""], "alert_types": [route.alert_types, ""],
           "model_names": [route.model_names, ""], "labels": [route.labels, ""]}  # fmt: skip
    audit_change(route.organization_id, "deleted", "route", route.pk, route.name, was, source=route.source)


def channels_of(routes: Iterable[UUID]) -> dict[UUID, list[UUID]]:
    """The channels that each of these routes leads to."""
    found: dict[UUID, list[UUID]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT route_id, channel_id FROM alerts_route_channel WHERE route_id = ANY(%s) ORDER BY 1, 2",
            [list(routes)],
        )
        for route, channel in cursor.fetchall():
            found.setdefault(route, []).append(channel)
    return found


def leading_to(channel: UUID) -> list[UUID]:
    """The routes that lead to this channel."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT route_id FROM alerts_route_channel WHERE channel_id = %s ORDER BY 1", [channel])
        return [route for (route,) in cursor.fetchall()]
