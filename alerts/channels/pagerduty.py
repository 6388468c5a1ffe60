"""PagerDuty's Events API v2: one incident an episode, opened, acknowledged and resolved by its dedup key."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from alerts.channels.answers import demanded, receipt
from alerts.channels.base import Failure, Field, Notice, Receipt, Tools, Transport, shortened
from alerts.channels.wording import PRODUCT, lines, link, technical, timestamp, title, word

LONGEST_SUMMARY, LONGEST_BODY = 1024, 512 * 1024
REGIONS: Mapping[str, str] = {
    "us": "https://events.pagerduty.com/v2/enqueue",
    "eu": "https://events.eu.pagerduty.com/v2/enqueue",
}
SEVERITIES = ("critical", "error", "warning", "info")  # PagerDuty's
# What the API never takes, however often it is sent: a malformed event.
_KINDS: Mapping[int, Failure] = {400: "refused", 413: "refused"}
# What belongs to no alert is resolved at once: it leaves its line in the history of the service, and no open incident
# that somebody has to close by hand, for nothing of ours ever would.
_ACTIONS: Mapping[str, Sequence[str]] = {
    "acknowledge": ("acknowledge",),
    "resolve": ("resolve",),
    "test": ("trigger", "resolve"),
    "summary": ("trigger", "resolve"),
}


def rendered(notice: Notice, settings: Mapping[str, str]) -> list[dict[str, Any]]:
    """The events to send, in this order."""
    return [_event(notice, settings, action) for action in _ACTIONS.get(notice.event, ("trigger",))]


def _event(notice: Notice, settings: Mapping[str, str], action: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        "routing_key": settings.get("routing_key", "").strip(),
        "event_action": action,
        "dedup_key": notice.dedup_key,
    }
    if action != "trigger":
        return event
    event |= {"payload": _payload(notice, settings), "links": _links(notice), "client": PRODUCT}
    if url := link(notice.url):
        event["client_url"] = url
    if len(msgspec.json.encode(event)) > LONGEST_BODY:
        event["payload"]["custom_details"] = {"note": "Left out: more than PagerDuty takes. It stands in the cockpit."}
    return event


def _payload(notice: Notice, settings: Mapping[str, str]) -> dict[str, Any]:
    chosen = settings.get(f"severity_{notice.severity}", "")
    optional = {
        "component": notice.model_name or notice.endpoint_id,
        "group": notice.organization,
        "class": notice.alert_type,
    }
    return {
        "summary": shortened(f"{word(notice)} {title(notice)}", LONGEST_SUMMARY),
        "source": f"ai-development-cockpit/{notice.organization}",
        "severity": chosen if chosen in SEVERITIES else notice.severity,
        "timestamp": timestamp(notice.at),
        **{name: value for name, value in optional.items() if value},
        "custom_details": _details(notice),
    }


def _details(notice: Notice) -> dict[str, Any]:
    labels, metadata = technical(notice)
    details = {
        "text": lines(notice.text),
        "facts": dict(notice.facts),
        "organization": notice.organization_name,
        "endpoint": notice.endpoint_id,
        "model": notice.model_name,
        "labels": labels,
        "metadata": metadata,
        "since": timestamp(notice.started_at),
        "episode": notice.episode,
        "count": notice.count,
    }
    return {name: value for name, value in details.items() if value}


def _links(notice: Notice) -> list[dict[str, str]]:
    named = {"Open alert": link(notice.url), "Runbook": link(notice.runbook)}
    return [{"href": url, "text": text} for text, url in named.items() if url]


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    demanded(settings, "routing_key")
    url = settings.get("events_url", "").strip() or REGIONS.get(settings.get("region", ""), REGIONS["us"])
    headers = {"content-type": "application/json"}
    taken = Receipt()
    for event in rendered(notice, settings):
        answer = tools.client.post(url, msgspec.json.encode(event), headers)
        # A key that is none is the channel's fault, not the event's: no other event will be taken either.
        wrong_key = answer.status == 400 and re.search(r"routing.?key", answer.text, re.IGNORECASE)
        taken = receipt(answer, now=tools.now, kinds={} if wrong_key else _KINDS)
    return taken


def key_problem(text: str) -> str | None:
    return None if re.fullmatch(r"[0-9A-Za-z]{32}", text) else "must be 32 letters and digits"


def _severity(ours: str) -> Field:
    theirs = (ours, *(one for one in SEVERITIES if one != ours))
    return Field(
        name=f"severity_{ours}",
        label=f"Severity of {ours} alerts",
        required=False,
        kind="choice",
        choices=tuple((one, one) for one in theirs),
    )


TRANSPORT = Transport(
    kind="pagerduty",
    title="PagerDuty",
    summary="Opens, acknowledges and resolves incidents through an Events API v2 integration of a service.",
    fields=(
        Field(name="routing_key", label="Integration key", help="Of an integration of the type Events API v2.",
              secret=True, travels=True, problem=key_problem, longest=32),
        Field(name="region", label="Service region", required=False, kind="choice",
              choices=(("us", "United States"), ("eu", "Europe"))),
        Field(name="events_url", label="Events URL", help="In place of the region's own, for a proxy or a test.",
              required=False, kind="url"),
        *map(_severity, ("critical", "warning", "info")),
        Field(name="webhook_secret", label="Secret of the webhook back", secret=True, required=False, longest=200,
              help="Of a webhook v3 subscription to the address below: what is done there is done here too."),
    ),
    send=send,
    per_minute=100,  # about 120 a minute a key are let through
)  # fmt: skip
