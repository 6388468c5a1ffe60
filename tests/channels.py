"""Channels, routes and alerts for tests of what is told: made by the verbs that people's pages use."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from alerts import lifecycle, roster, routes
from alerts.channels import TRANSPORTS
from alerts.channels.http import HttpClient
from alerts.channels.webhook import new_secret
from alerts.dispatching import Dispatcher
from alerts.lifecycle import Fired
from alerts.models import Attempt, Channel, Delivery
from alerts.states import Report
from organizations.scope import Scope

OWN, OTHER = "swaggystacks", "scientia_capital"
EVERYONE = Scope.system("test")
LOCAL = HttpClient(loopback_only=True, total_seconds=2.0, connect_seconds=1.0)


def channel(
    url: str = "", kind: str = "webhook", *, organization: str = OWN, name: str = "", audience: str = "developer",
    source: str = "live", given: dict[str, str] | None = None, **columns: Any,
) -> UUID:  # fmt: skip
    """A channel of any kind, by default a webhook to `url`; `columns` are set past every check."""
    wanted = {"url": url, "secret": new_secret()} if kind == "webhook" and given is None else (given or {"url": url})
    settings = roster.read_settings(TRANSPORTS[kind], wanted, client=LOCAL)
    with Scope.of(organization).enter():
        made = roster.create_channel(
            organization=organization, kind=kind, name=name or f"{kind} {Channel.objects.count()}", audience=audience,
            settings=settings, now=datetime.now(UTC), by="tests", source=source,
        )  # fmt: skip
        if columns:
            Channel.objects.filter(pk=made).update(**columns)
    return made


def route(*channels: UUID, organization: str = OWN, name: str = "all", **wanted: Any) -> UUID:
    with Scope.of(organization).enter():
        return routes.save_route(
            organization=organization, name=name, channels=channels, now=datetime.now(UTC), by="tests", **wanted
        )


def fire(kind: str = "high_error_rate", *, organization: str = OWN, **more: Any) -> Fired:
    fields = {"severity": "warning", "message": f"{kind} is wrong", **more}
    report = Report(alert_type=kind, **fields)
    [fired] = lifecycle.fire(
        scope=Scope.of(organization), organization=organization, reports=[report], now=datetime.now(UTC), via="api"
    )
    return fired


def act(verb: str, alert: UUID, **more: Any) -> None:
    getattr(lifecycle, verb)(scope=EVERYONE, ids=[alert], now=datetime.now(UTC), via="api", **more)


def drain(seconds: float = 20.0, threads: int = 8) -> int:
    """Send everything that is due, in this process; how many tries that took."""
    return Dispatcher(threads=threads).drain(seconds)


def deliveries(**wanted: Any) -> list[Delivery]:
    with EVERYONE.enter():
        return list(Delivery.objects.filter(**wanted).order_by("id"))


def attempts(delivery: int) -> list[Attempt]:
    with EVERYONE.enter():
        return list(Attempt.objects.filter(delivery=delivery).order_by("number"))


def the(channel: UUID) -> Channel:
    with EVERYONE.enter():
        return Channel.objects.get(pk=channel)


def due_now(*ids: int) -> None:
    """As if the wait were over, of these or of all that wait."""
    with EVERYONE.enter():
        waiting = Delivery.objects.filter(state="pending")
        (waiting.filter(pk__in=ids) if ids else waiting).update(next_at=datetime(2026, 1, 1, tzinfo=UTC))


def rest_over(channel: UUID) -> None:
    with EVERYONE.enter():
        roster._rest_is_over(the(channel))


def events(found: Sequence[Delivery]) -> list[tuple[str, str]]:
    return [(one.event, one.state) for one in found]
