"""One try of one delivery: its notice made, its channel asked to send it, and whatever comes of it in one shape."""

import re
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
from django.conf import settings
from msgspec import Struct

from alerts import notices, schedule
from alerts.channels import TRANSPORTS
from alerts.channels.base import DeliveryError, Failure, Receipt, Tools
from alerts.channels.http import HttpClient
from alerts.claims import Claimed, sealed_for
from alerts.deliveries import LEASE
from bedrock import failpoints, redaction, sealing, text

log = structlog.get_logger(__name__)

SENT = "sent"
SECONDS = 10.0  # for all that one notice takes
_LATEST = LEASE.total_seconds() - SECONDS  # after it was leased, that its sending may begin
_LONGEST_ANSWER = _LONGEST_REFERENCE = 1000
_MOST_REFERENCES = 100  # of one name
_SHORTEST_SECRET, _SHORTEST_PART = 6, 8  # letters; what is shorter is no secret and stands in many words
_ORDINARY = re.compile(r"[a-z_-]{1,19}")  # a part of a path such as "services"


class Tried(Struct, frozen=True, kw_only=True):
    """What became of a try; `failure` is None when the receiver took it. `answer` is scrubbed."""

    claimed: Claimed
    failure: Failure | None = None
    took_ms: int
    status: int | None = None
    words: str = ""
    answer: str = ""
    retry_after: float | None = None
    unsure: bool = False
    reference: Mapping[str, Any] = {}


# What is demo data never leaves this machine, whatever its channels say.
_CLIENTS: Mapping[str, HttpClient] = {
    "live": HttpClient(allowed=settings.OUTGOING_ALLOWED, total_seconds=SECONDS),
    "demo": HttpClient(loopback_only=True, total_seconds=SECONDS),
}


def tools(source: str) -> Tools:
    live = source == "live"
    return Tools(
        client=_CLIENTS[source].for_one_notice(),
        now=datetime.now(UTC),
        mail=settings.MAIL if live else None,
        bridge=live and settings.OUTGOING_BRIDGE,
        seconds=SECONDS,
    )


def send(claimed: Claimed) -> Tried:
    """Try it; never raises, and touches no database."""
    began, secrets = time.monotonic(), {}
    try:
        _demand_harmless(claimed)
        secrets = _unsealed(claimed)
        found = _found(claimed, secrets)
    except DeliveryError as error:  # before anything of the channel's own was asked
        found = {"failure": error.kind, "words": _sentence(error.words)}
    except Exception as error:
        trace = _without(traceback.format_exc(), secrets)
        log.error("a channel failed by itself", channel=str(claimed.channel), kind=claimed.kind, trace=trace)
        found = {"failure": "fault", "words": f"The channel's own code failed: {type(error).__name__}.", "unsure": True}
    return Tried(claimed=claimed, took_ms=round((time.monotonic() - began) * 1000), **found)


def _found(claimed: Claimed, secrets: Mapping[str, str]) -> dict[str, Any]:
    """What the receiver said, or the one failure that it was, as it may be stored."""
    try:
        receipt = _sent(claimed, secrets)
    except DeliveryError as error:
        return {
            "failure": error.kind, "status": error.status, "words": _sentence(scrubbed(error.words, secrets)),
            "answer": scrubbed(error.answer, secrets), "retry_after": error.retry_after, "unsure": error.unsure,
            "reference": _kept(error.reference),
        }  # fmt: skip
    answer = scrubbed(receipt.answer, secrets)
    return {"status": receipt.status, "answer": answer, "reference": _kept(receipt.reference)}


def _sentence(words: str) -> str:
    whole = words[:1].upper() + words[1:]
    return whole if not whole or whole.endswith((".", "…", "!", "?")) else f"{whole}."


def _sent(claimed: Claimed, secrets: Mapping[str, str]) -> Receipt:
    transport = TRANSPORTS.get(claimed.kind)
    if transport is None:
        raise DeliveryError("settings", "This version knows no channel of that kind.")
    audience: Any = claimed.audience
    notice = notices.notice_of(claimed, audience=audience, public_url=settings.PUBLIC_URL)
    failpoints.reach("delivery.sending")
    if time.monotonic() - claimed.leased_at > _LATEST:  # others may have sent it meanwhile, and what came after it
        raise DeliveryError("lost", "The process that was to send it stood still.")
    receipt = transport.send(notice, {**claimed.settings, **secrets}, tools(claimed.source))
    failpoints.reach("delivery.sent")
    return receipt


def _unsealed(claimed: Claimed) -> dict[str, str]:
    try:
        return sealing.unseal(claimed.sealed, row=sealed_for(claimed.organization, claimed.channel))
    except sealing.Unsealable as error:
        raise DeliveryError("settings", f"The channel's secrets cannot be read: {error}.") from None


def _demand_harmless(claimed: Claimed) -> None:
    """Nothing, unless its senders ended in the middle again and again: then it may be what ends them."""
    if claimed.tries > schedule.MOST:
        raise DeliveryError("lost", "Whoever sends it ends in the middle, again and again.")


def _kept(reference: Mapping[str, Any]) -> dict[str, Any]:
    """What a channel wants to be reminded of, as the database takes it."""
    return {name: _storable(value) for name, value in reference.items()}


def _storable(value: Any) -> Any:
    if isinstance(value, list):
        return [_storable(one) for one in value[:_MOST_REFERENCES] if isinstance(one, str)]
    return text.printable(value)[:_LONGEST_REFERENCE] if isinstance(value, str) else value


def scrubbed(words: str, secrets: Mapping[str, str]) -> str:
    """What may be stored and shown of these words: none of the channel's own secrets, none that looks like one."""
    shown = redaction.redact_text(text.printable(_without(words, secrets)[: 4 * _LONGEST_ANSWER]))
    return shown if len(shown) <= _LONGEST_ANSWER else f"{shown[: _LONGEST_ANSWER - 1]}…"


def _without(words: str, secrets: Mapping[str, str]) -> str:
    """The words without these secrets, and what is secret in a URL: receivers repeat the path that they do not know."""
    found = {secret for secret in secrets.values() if len(secret) >= _SHORTEST_SECRET}
    for piece in sorted(found.union(*map(_parts, found)), key=len, reverse=True):
        words = words.replace(piece, redaction.MASK)
    return words


def _parts(url: str) -> set[str]:
    """What stands behind the host of a URL, as a whole and in pieces, and as it is meant; of other texts nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    if parts.scheme not in ("http", "https"):
        return set()
    whole = {parts.path, f"{parts.path}?{parts.query}", parts.query}
    pieces = {*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))}
    meant = {unquote(one) for one in whole | pieces}
    secret = {one for one in pieces | meant if len(one) >= _SHORTEST_PART and not _ORDINARY.fullmatch(one)}
    return {one for one in whole if len(one) >= _SHORTEST_SECRET} | secret
