"""What HTTP channels make of an answer: a receipt, or the one failure that its status stands for."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from alerts.channels.base import Answer, DeliveryError, Failure, Receipt

LONGEST_WAIT = 24 * 3600.0
_STATUSES: Mapping[int, Failure] = {408: "server", 410: "gone", 425: "server", 429: "limited"}
_HUNDREDS: Mapping[int, Failure] = {3: "redirect", 4: "client", 5: "server"}
_WORDS: Mapping[Failure, str] = {
    "gone": "it is there no more",
    "limited": "it asks to wait",
    "redirect": "it points elsewhere, which is not followed",
    "refused": "it will never take this notice",
    "client": "it does not take such a request, or these credentials",
    "server": "it failed",
}
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def retry_after(answer: Answer, now: datetime) -> float | None:
    """Seconds to wait as its Retry-After asks, at most a day; None for none, for garbage and for the past."""
    header = answer.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(header):
        return min(float(header), LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(header)
        seconds = (then if then.tzinfo else then.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(seconds.total_seconds(), LONGEST_WAIT) if seconds.total_seconds() >= 0 else None


def demand_taken(answer: Answer, *, now: datetime, kinds: Mapping[int, Failure] = {}) -> None:
    """Nothing for 2xx.

    Args:
        kinds: statuses that mean something of their own to this receiver.

    Raises:
        DeliveryError: by the status; "server" for one that HTTP does not know.
    """
    if answer.status in range(200, 300):
        return
    wait = retry_after(answer, now)
    kind = kinds.get(answer.status) or _STATUSES.get(answer.status) or _HUNDREDS.get(answer.status // 100, "server")
    if answer.status == 503 and wait is not None:
        kind = "limited"
    raise DeliveryError(
        kind,
        f"The receiver answered {answer.status}: {_WORDS[kind]}.",
        status=answer.status,
        answer=answer.text,
        retry_after=wait,
    )


def receipt(
    answer: Answer, *, now: datetime, kinds: Mapping[int, Failure] = {}, reference: Mapping[str, Any] = {}
) -> Receipt:
    """The receipt of an answer that `demand_taken` lets pass.

    Raises:
        DeliveryError: as `demand_taken`.
    """
    demand_taken(answer, now=now, kinds=kinds)
    return Receipt(status=answer.status, answer=answer.text, reference=reference)


def demanded(settings: Mapping[str, str], name: str) -> str:
    """The setting of that name.

    Raises:
        DeliveryError: when the channel has none.
    """
    found = settings.get(name, "").strip()
    if not found:
        raise DeliveryError("settings", f"The setting {name} is missing.")
    return found
