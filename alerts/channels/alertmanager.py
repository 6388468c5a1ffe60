"""The body of Alertmanager's own webhook, version 4, for everything that already understands Alertmanager."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from alerts.channels.answers import demanded, receipt
from alerts.channels.base import Field, Notice, Receipt, Tools, Transport
from alerts.channels.wording import lines, link, technical, timestamp, title

RECEIVER = "ai-development-cockpit"
_OPEN = "0001-01-01T00:00:00Z"  # the zero time of Go: it has not ended


def rendered(notice: Notice, *, status: str, receiver: str = RECEIVER) -> dict[str, Any]:
    """One group of one alert. An episode is the group: no two of them may look like one to a receiver."""
    labels = _labels(notice)
    description = [lines(notice.text), *(f"{name}: {value}" for name, value in notice.facts)]
    annotations = {"summary": title(notice), "description": "\n".join(description).strip()}
    if runbook := link(notice.runbook):
        annotations["runbook_url"] = runbook
    ended = notice.ended_at or notice.at
    url = urlsplit(notice.url)
    return {
        "version": "4",
        "groupKey": f"{{}}:{{dedup_key={json.dumps(notice.dedup_key)}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": {"alertname": labels["alertname"]},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": f"{url.scheme}://{url.netloc}" if url.netloc else "",
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": timestamp(notice.started_at),
                "endsAt": timestamp(ended) if status == "resolved" else _OPEN,
                "generatorURL": notice.url,
                "fingerprint": notice.fingerprint,
            }
        ],
    }


def _labels(notice: Notice) -> dict[str, str]:
    """Those of the alert, and over them what says what it is."""
    ours = {
        "alertname": notice.alert_type or f"channel_{notice.event}",
        "organization": notice.organization,
        "severity": notice.severity,
        "endpoint": notice.endpoint_id,
        "model": notice.model_name,
    }
    return {**technical(notice)[0], **{name: value for name, value in ours.items() if value}}


def statuses(notice: Notice) -> tuple[str, ...]:
    """What is sent, one after the other: what belongs to no alert is closed at once, for nobody else would."""
    if notice.event in ("test", "summary", "pulse"):
        return ("firing", "resolved")
    return ("resolved" if notice.status == "resolved" else "firing",)


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    url, token = demanded(settings, "url"), settings.get("token", "").strip()
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    taken = Receipt()
    for status in statuses(notice):
        body = rendered(notice, status=status, receiver=settings.get("receiver", "").strip() or RECEIVER)
        taken = receipt(tools.client.post(url, msgspec.json.encode(body), headers), now=tools.now)
    return taken


def token_problem(text: str) -> str | None:
    return None if text.isascii() and text.isprintable() and " " not in text else "must be ASCII without spaces"


TRANSPORT = Transport(
    kind="alertmanager",
    title="Alertmanager webhook",
    summary="What Alertmanager sends to a webhook (version 4), for receivers that already understand that.",
    fields=(
        Field(name="url", label="URL", help="Takes a POST and answers 2xx.", secret=True, kind="url"),
        Field(name="token", label="Bearer token", help="If the receiver asks for one.", secret=True, travels=True,
              required=False, problem=token_problem),
        Field(name="receiver", label="Receiver", help=f"What it reads as its own name; {RECEIVER} without one.",
              required=False, longest=100),
    ),
    send=send,
    per_minute=30_000,
    burst=200,
    at_once=8,
    events=("trigger", "resolve", "test", "summary"),  # nothing in it says that somebody looks after it
)  # fmt: skip
