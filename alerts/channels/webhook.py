"""A signed webhook after the Standard Webhooks specification; the body is our own: all that the audience may see."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from alerts.channels.answers import demanded, receipt
from alerts.channels.base import DeliveryError, Field, Notice, Receipt, Tools, Transport
from alerts.channels.wording import technical, timestamp

PREFIX = "whsec_"
_TYPES: Mapping[str, str] = {
    "trigger": "alert.triggered",
    "acknowledge": "alert.acknowledged",
    "resolve": "alert.resolved",
    "test": "channel.test",
    "summary": "channel.summary",
    "pulse": "channel.pulse",
}
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]+={0,2}")


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_problem(text: str) -> str | None:
    key = key_of(text)
    if key is None or not 24 <= len(key) <= 64:
        return f"must be {PREFIX} and 24 to 64 bytes in base64"
    return None


def key_of(secret: str) -> bytes | None:
    """The key that a secret writes out, or None when it is none."""
    if not _SECRET.fullmatch(secret):
        return None
    try:
        return base64.b64decode(secret.removeprefix(PREFIX) + "==")
    except binascii.Error:
        return None


def moment_problem(text: str) -> str | None:
    return None if _moment(text) else "must be a date and time such as 2026-03-01T12:00:00Z"


def rendered(notice: Notice) -> dict[str, Any]:
    """The body. Times are RFC 3339; an executive's has neither labels nor metadata."""
    labels, metadata = technical(notice)
    data = {
        "id": notice.id,
        "dedupKey": notice.dedup_key,
        "audience": notice.audience,
        "organization": notice.organization,
        "organizationName": notice.organization_name,
        "severity": notice.severity,
        "status": notice.status,
        "title": notice.title,
        "text": notice.text,
        "facts": [{"name": name, "value": value} for name, value in notice.facts],
        "alertType": notice.alert_type,
        "endpointId": notice.endpoint_id,
        "modelName": notice.model_name,
        "fingerprint": notice.fingerprint,
        "episode": notice.episode,
        "count": notice.count,
        "startedAt": timestamp(notice.started_at),
        "endedAt": timestamp(notice.ended_at) if notice.ended_at else None,
        "by": notice.by,
        "note": notice.note,
        "url": notice.url,
        "runbook": notice.runbook,
    }
    if notice.audience == "developer":
        data |= {"labels": labels, "metadata": metadata}
    return {"type": _TYPES[notice.event], "timestamp": timestamp(notice.at), "data": data}


def signature(key: bytes, id: str, seconds: int, body: bytes) -> str:
    signed = hmac.digest(key, f"{id}.{seconds}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    url, keys = demanded(settings, "url"), _keys(settings, tools.now)
    body, seconds = msgspec.json.encode(rendered(notice)), int(tools.now.timestamp())
    headers = {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signature(key, notice.id, seconds, body) for key in keys),
    }
    return receipt(tools.client.post(url, body, headers), now=tools.now)


def _keys(settings: Mapping[str, str], now: datetime) -> list[bytes]:
    """The key, and the one before it for as long as receivers may still know that one alone."""
    key = key_of(demanded(settings, "secret"))
    if key is None:
        raise DeliveryError("settings", f"The secret is not one: it has to begin with {PREFIX}.")
    previous, until = key_of(settings.get("previous_secret", "").strip()), _moment(settings.get("previous_until", ""))
    return [key, previous] if previous and until and now < until else [key]


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


TRANSPORT = Transport(
    kind="webhook",
    title="Webhook",
    summary="Signed JSON to a URL of yours, after the Standard Webhooks specification.",
    fields=(
        Field(name="url", label="URL", help="Takes a POST and answers 2xx.", secret=True, kind="url"),
        Field(name="secret", label="Signing secret", help="What the receiver verifies signatures with.", secret=True,
              problem=secret_problem, generated=new_secret),
        Field(name="previous_secret", label="Previous signing secret", help="Signs as well until the time below.",
              secret=True, required=False, problem=secret_problem),
        Field(name="previous_until", label="Previous secret until", required=False, problem=moment_problem),
    ),
    send=send,
    per_minute=30_000,  # a receiver of one's own, with no limit that we know of
    burst=200,
    at_once=8,
)  # fmt: skip
