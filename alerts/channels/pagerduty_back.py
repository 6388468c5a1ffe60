"""PagerDuty's webhooks v3 read back: who acknowledged or resolved there what we opened."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from alerts.channels.base import shortened
from alerts.channels.wording import one_line

Verb = Literal["acknowledge", "unacknowledge", "resolve", "reopen"]
_VERBS: Mapping[str, Verb] = {
    "incident.acknowledged": "acknowledge",
    "incident.unacknowledged": "unacknowledge",
    "incident.resolved": "resolve",
    "incident.reopened": "reopen",
}
_SIGNATURE = re.compile(r"v1=([0-9a-f]{64})")
MAX_SIGNATURES = 10  # two are sent while a secret is changed


class Back(Struct, frozen=True, kw_only=True):
    """What happened there. `id` is one an event and the same when PagerDuty sends it again; `by` may be "".

    `person` is False where a machine did it, as when we resolved the incident ourselves.
    """

    verb: Verb
    dedup_key: str
    by: str = ""
    note: str = ""
    id: str = ""
    at: datetime | None = None
    person: bool = False


def verify(body: bytes, header: str, secrets: Sequence[str]) -> bool:
    """Whether one of the signatures of X-PagerDuty-Signature is that of one of the secrets; in constant time each."""
    found = [one for part in header.split(",")[:MAX_SIGNATURES] if (one := _SIGNATURE.fullmatch(part.strip()))]
    right = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets if secret]
    matches = [hmac.compare_digest(one[1], each) for one in found for each in right]
    return any(matches)


def read_back(body: bytes) -> Back | None:
    """What a body says, or None for everything that is no news of an incident with a key: tests, notes, garbage."""
    try:
        event = _part(msgspec.json.decode(body), "event")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    data, agent = _part(event, "data"), _part(event, "agent")
    verb, key = _VERBS.get(_text(event, "event_type", 100)), _text(data, "incident_key", 256)
    if verb is None or not key or len(key) > 255:
        return None
    number = data.get("number")
    return Back(
        verb=verb,
        dedup_key=key,
        by=_text(agent, "summary", 200),
        note=f"In PagerDuty, incident {number}." if isinstance(number, int) else "In PagerDuty.",
        id=_text(event, "id", 100),
        at=_moment(_text(event, "occurred_at", 50)),
        person=_text(agent, "type", 50).startswith("user"),
    )


def _part(whole: Any, name: str) -> Mapping[str, Any]:
    found = whole.get(name) if isinstance(whole, dict) else None
    return found if isinstance(found, dict) else {}


def _text(part: Mapping[str, Any], name: str, longest: int) -> str:
    found = part.get(name)
    return shortened(one_line(found), longest) if isinstance(found, str) else ""


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
