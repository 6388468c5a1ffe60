"""What people do in PagerDuty is done here too: its signed webhook, held against the channel that it belongs to."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts import lifecycle
from alerts.channels.pagerduty_back import Back, read_back, verify
from alerts.lifecycle import Outcome
from alerts.models import Alert, AlertEvent, Channel
from alerts.roster import secrets_of
from organizations import audit
from organizations.scope import Scope

_VERBS: Mapping[str, Callable[..., list[Outcome]]] = {
    "acknowledge": lifecycle.acknowledge,
    "unacknowledge": lifecycle.unacknowledge,
    "resolve": lifecycle.resolve,
    "reopen": lifecycle.reopen,
}


_AGAIN = ("reopened", "unacknowledged", "severity_changed")


class NotSigned(Exception):
    """No such channel, or not its signature: who asks learns no more."""


def take(*, channel: UUID, body: bytes, signature: str, now: datetime) -> bool:
    """Do what the message tells of; whether it was about an alert of ours.

    Raises:
        NotSigned: when it is not to be believed.
    """
    with Scope.system("find who is called back").enter():
        found = Channel.objects.filter(pk=channel, kind="pagerduty", state__in=("on", "failed")).first()
    secret = secrets_of(found).get("webhook_secret", "") if found else ""
    if found is None or not secret or not verify(body, signature, [secret]):
        raise NotSigned
    back = read_back(body)
    # What a machine did there is no news: our own ends come back, and an incident that times out mends nothing.
    alert = _alert_of(found.organization_id, back.dedup_key) if back and back.person else None
    if back is None or alert is None or _is_outdated(back, alert, found.organization_id):
        return False
    _do(back, alert, found.organization_id, now)
    return True


def _alert_of(organization: str, dedup_key: str) -> UUID | None:
    """The alert that notices name so; of another organization's none is found."""
    named, _, rest = dedup_key.partition(":")
    fingerprint, _, episode = rest.partition(":")
    if named != organization or not episode.isascii() or not episode.isdigit() or len(episode) > 9:
        return None
    with Scope.of(organization).enter():
        rows = Alert.objects.filter(organization=organization, fingerprint=fingerprint, episode=int(episode))
        return rows.values_list("pk", flat=True).first()


def _is_outdated(back: Back, alert: UUID, organization: str) -> bool:
    """Whether it has begun anew since that end: PagerDuty sends again what was not answered, also much later."""
    if back.verb != "resolve" or back.at is None:
        return False
    with Scope.of(organization).enter():
        again = AlertEvent.objects.filter(alert=alert, kind__in=_AGAIN, at__gt=back.at)
        return again.exists()


def _do(back: Back, alert: UUID, organization: str, now: datetime) -> None:
    who = f"{back.by} in PagerDuty" if back.by else "PagerDuty"
    token = audit.origin.set(audit.Origin(actor=who, request_id=audit.origin.get().request_id))
    given: dict[str, Any] = {"note": back.note} if back.note else {}
    try:
        _VERBS[back.verb](scope=Scope.of(organization), ids=[alert], now=now, via="pagerduty", **given)
    finally:
        audit.origin.reset(token)
