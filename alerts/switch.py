"""The dead-man's switch: once a minute a synthetic alert goes the way of all alerts, and ends at a URL outside.

Our worker asks web over HTTP to raise it, with a signature in place of a key; what it would leave behind is taken back
in the same transaction, and a delivery to each switch of the organization is left in its place.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core import signing
from django.db import connection, transaction

from alerts import lifecycle
from alerts.channels.addresses import parse_allowed
from alerts.channels.base import DeliveryError
from alerts.channels.http import HttpClient
from alerts.channels.lookups import system_addresses
from alerts.states import Report
from organizations.scope import Scope

EVERY = timedelta(seconds=60)
HEADER = "X-Cockpit-Pulse"
PATH = "/api/monitoring/pulse"
_PORTS = {"http": 80, "https": 443}
_SALT = "alerts.switch.1"
_WITH_SWITCHES = "SELECT DISTINCT organization_id FROM alerts_channel WHERE state = 'on' AND 'pulse' = ANY(events)"
# A pulse is worth nothing once there is a newer one.
_QUEUE = """
WITH older AS (UPDATE alerts_delivery SET state = 'skipped', because = 'newer', done_at = now()
    WHERE organization_id = %(organization)s AND event = 'pulse' AND state = 'pending')
INSERT INTO alerts_delivery (organization_id, channel_id, event, queued_at, next_at)
SELECT organization_id, id, 'pulse', now(), now() FROM alerts_channel
WHERE organization_id = %(organization)s AND state = 'on' AND 'pulse' = ANY(events)
"""


class _TakenBackError(Exception):
    """Ends the block in which the synthetic alert was raised."""


def organizations() -> list[str]:
    """Those that have a switch."""
    with Scope.system("press the switch").enter(), connection.cursor() as cursor:
        cursor.execute(_WITH_SWITCHES)
        return sorted(organization for (organization,) in cursor.fetchall())


def press(slugs: Sequence[str]) -> None:
    """Ask the web process to raise the synthetic alert for each, as any client would, whatever becomes of the others.

    Raises:
        RuntimeError: when one was not taken: then silence outside is the alarm.
    """
    name = _served_name()
    scheme, port, client = _web(name)
    failed: list[str] = []
    for slug in slugs:
        headers = {"Content-Type": "application/json", HEADER: sign(slug)}
        try:
            answer = client.post(f"{scheme}://{name}:{port}{PATH}", b"{}", headers)
        except DeliveryError as error:
            failed.append(f"{slug}: {error.words}")
        else:
            failed += [f"{slug}: {answer.status}"] if answer.status != 202 else []
    if failed:
        raise RuntimeError(f"not every switch was pressed: {'; '.join(failed)}")


def raise_synthetic(organization: str, now: datetime) -> int:
    """Raise the alert and take it back, and leave the deliveries of the organization's switches; how many."""
    scope = Scope.of(organization)
    report = Report(alert_type="pulse", severity="info", message="The cockpit is alive.", source="live")
    with scope.enter():
        try:
            with transaction.atomic():
                lifecycle.fire(scope=scope, organization=organization, reports=[report], now=now, via="system")
                raise _TakenBackError
        except _TakenBackError:
            pass
        with connection.cursor() as cursor:
            cursor.execute(_QUEUE, {"organization": organization})
            number = int(cursor.rowcount)
            cursor.execute("SELECT pg_notify('cockpit_outbox', '')")
    return number


def sign(organization: str) -> str:
    """Says that one of our own processes presses the switch, now."""
    return signing.TimestampSigner(salt=_SALT).sign(organization)


def signed(text: str) -> str | None:
    """The organization whose switch may be pressed with this, within a minute of its making; None for nobody's."""
    try:
        return signing.TimestampSigner(salt=_SALT).unsign(text, max_age=EVERY)
    except (signing.BadSignature, ValueError):  # the latter of one without a time
        return None


def _web(name: str) -> tuple[str, int, HttpClient]:
    """Scheme and port of our own web process, and a client that calls it, and nothing else, by a name it serves."""
    parts = urlsplit(settings.WEB_URL)
    host, port = parts.hostname or "127.0.0.1", parts.port or _PORTS[parts.scheme]
    client = HttpClient(
        allowed=(parse_allowed(f"{name}:{port}"),), resolve=lambda _, number: system_addresses(host, number)
    )
    return parts.scheme, port, client


def _served_name() -> str:
    """Production may not serve the name by which we reach it."""
    return next(iter(settings.ALLOWED_HOSTS), "localhost").lstrip(".")
