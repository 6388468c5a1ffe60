"""The words of the description: what the API as a whole has to say, its credentials, and its refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cockpit.dashboard.stream import MOST_A_CALLER, MOST_AN_ORGANIZATION
from monitoring.serializers import MAX_INFLATED, MAX_ITEMS, MAX_WIRE
from organizations.tokens import LIFETIME

TAGS: Mapping[str, str] = {
    "Monitoring": "What happened: record it, read it, follow it.",
    "Alerts": "What is wrong: raise it, look after it, end it.",
    "Health": "Whether the cockpit itself is well. Open to everybody.",
    "Description": "This description.",
}

CREDENTIALS: Mapping[str, str] = {
    "apiKey": "A key of one organization, with the permissions it was given: `Authorization: Bearer ck_...`. "
    "`manage.py apikey` and the administration make them.",
    "embedToken": f"A token for web pages, good for {LIFETIME.seconds // 60} minutes; it only reads: "
    "`Authorization: Bearer ct_...`. `POST /api/monitoring/embed-token` issues it.",
    "session": "A person signed in at `/login/`. Requests that write also carry `X-CSRFToken`.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to be refused: its words, and how the problem reads (`more`: what follows the status)."""

    status: int
    title: str
    words: str
    more: Mapping[str, Any] = field(default_factory=dict)


ILL_FORMED = Refusal(400, "Not valid", "The request is not well formed, or for a host that is not this one.")
_UNKNOWN = "is not a parameter of this address"
REFUSALS: Mapping[int, Refusal] = {
    refusal.status: refusal
    for refusal in (
        Refusal(400, "Not valid", "A parameter, a header or the body is not valid: each fault is named.", {
            "detail": f"windw {_UNKNOWN}",
            "errors": [{"pointer": "?windw", "code": "unknown-parameter", "message": _UNKNOWN}],
        }),
        Refusal(401, "Not signed in", "No credentials, or none that hold.",
                {"detail": "The API key is unknown, expired or revoked."}),
        Refusal(403, "Not allowed", "The credentials hold, but not for this.",
                {"detail": "This needs the permission dashboard:read."}),
        Refusal(404, "Not found", "You belong to no such organization, whether it exists or not.",
                {"detail": "No such organization."}),
        Refusal(405, "Method not allowed", "This address does not take that method.",
                {"detail": 'Method "PATCH" not allowed.'}),
        Refusal(413, "Too large", "The body is larger than its limits.", {}),
        Refusal(415, "Content type not supported", "The body is not JSON.",
                {"detail": "Send application/json, or no body."}),
        Refusal(429, "Too many requests", "The limit of this minute is used up.",
                {"detail": "Request was throttled. Expected available in 42 seconds."}),
        Refusal(503, "Database not available", "Busy, or the database is away for the moment. Nothing was stored.", {}),
    )
}  # fmt: skip


# The top of the description, in Markdown; its limits are those that the code holds.
API = f"""\
Monitoring for language models: record inferences, read an organization's numbers, follow them as they move; raise
alerts and look after them.

## Authentication

Send a key, `Authorization: Bearer ck_...`. It belongs to one organization and holds the permissions it was made with.
Web pages of other origins send a token (`ct_...`) that your server asks for; it lasts {LIFETIME.seconds // 60} minutes
and only reads. A person's session works as well. What an operation needs is said with it. Who lacks credentials gets
401, who lacks the permission 403; an organization that is not yours is 404, whether it exists or not.

## Errors

Every refusal is `application/problem+json` (RFC 9457): `title` and `detail` for people, `status`, a `requestId` to
quote, and in `errors` one entry for each fault, with a pointer to the field (`/cost`) or parameter (`?window`). Unknown
fields and parameters are refused, not ignored. After 429 and 503, wait as many seconds as `Retry-After` says.

## Idempotency

Sending an inference again is harmless with an `idempotencyKey` in it, or with the header `Idempotency-Key` for a whole
body: for eight days it is stored once. The same key with other content is 422, or that item of a batch rejected.
Alerts and deployments take the header too. What is done to an alert can be done again: it changes nothing then.

## Limits

At most {MAX_WIRE >> 20} MiB a request on the wire, {MAX_INFLATED >> 20} MiB unpacked and {MAX_ITEMS:,} inferences; a
number of requests a minute for each key or token (429 beyond it); {MOST_A_CALLER} open streams for each caller and
{MOST_AN_ORGANIZATION} for each organization.

## Money

Amounts are decimal strings, exact to the last digit, in the currency of the organization: `"0.0042"`. Send numbers or
strings, read strings. What is not known is null and never 0.

## Time

UTC, RFC 3339 with milliseconds: `2026-01-31T09:00:00.000Z`. Send any time zone, but send one. Durations are
milliseconds.

## Methods

Every address that takes GET takes HEAD: the same answer without its body. OPTIONS tells what an address takes, to those
who may use it. `X-Request-ID`, yours or ours, is in every answer.
"""
