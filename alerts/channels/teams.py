"""Microsoft Teams through a Workflows webhook: an adaptive card, in runs of plain text that know no markup."""

from collections.abc import Mapping
from typing import Any

import msgspec

from alerts.channels.answers import demanded, receipt
from alerts.channels.base import Field, Notice, Receipt, Tools, Transport, shortened
from alerts.channels.wording import happened, link, one_line, origin, text, title, tone, word

# 28 KB are let through; whether of UTF-8 or of UTF-16, which takes twice as much, Microsoft's pages do not agree.
LONGEST_BODY = 14_000
MAX_FACTS, MAX_LINES = 10, 20
_ROOMS = (3000, 1200, 400, 60)  # characters of text and of each fact, the first that fits
_STYLES: Mapping[str, str] = {
    "critical": "attention",
    "warning": "warning",
    "info": "accent",
    "acknowledged": "emphasis",
    "resolved": "good",
}


def rendered(notice: Notice) -> dict[str, Any]:
    """The message, as much of it as may be sent; the buttons stay."""
    message: dict[str, Any] = {}
    for room in _ROOMS:
        message = _message(notice, room)
        if len(msgspec.json.encode(message)) <= LONGEST_BODY:
            break
    return message


def _message(notice: Notice, room: int) -> dict[str, Any]:
    named = {"Open alert": link(notice.url), "Runbook": link(notice.runbook, 1000)}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": shortened(f"{word(notice)}: {title(notice)}", 150),
        "body": [_head(notice), *_body(notice, room)],
        "actions": [{"type": "Action.OpenUrl", "title": label, "url": url} for label, url in named.items() if url],
    }
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "contentUrl": None, "content": card}]}


def _head(notice: Notice) -> dict[str, Any]:
    """A bar in the colour of the alert, with how it stands and its title."""
    items = [
        _line(_run(word(notice), weight="Bolder", size="Small")),
        _line(_run(shortened(title(notice), 150), weight="Bolder", size="Large"), spacing="None"),
    ]
    style = _STYLES.get(tone(notice), "default")
    return {"type": "Container", "style": style, "bleed": True, "items": items}


def _body(notice: Notice, room: int) -> list[dict[str, Any]]:
    told = shortened("\n".join(part for part in (happened(notice), text(notice)) if part), room)
    # One block a line: a run does not show line breaks everywhere.
    written = [line for line in told.split("\n") if line.strip()]
    written = [*written[: MAX_LINES - 1], " ".join(written[MAX_LINES - 1 :])]
    return [
        *(_line(_run(line), spacing="Small") for line in written if line),
        *(_fact(name, value, room) for name, value in notice.facts[:MAX_FACTS]),
        _line(_run(shortened(origin(notice), 150), isSubtle=True, size="Small")),
    ]


def _fact(name: str, value: str, room: int) -> dict[str, Any]:
    bold = _run(f"{shortened(one_line(name), 40)}: ", weight="Bolder")
    return _line(bold, _run(shortened(one_line(value), min(room, 500)) or "–"), spacing="Small")


def _line(*runs: dict[str, Any], spacing: str = "Default") -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": list(runs)}


def _run(words: str, **how: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": words, **how}


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    body = msgspec.json.encode(rendered(notice))
    answer = tools.client.post(demanded(settings, "url"), body, {"content-type": "application/json"})
    return receipt(answer, now=tools.now)


TRANSPORT = Transport(
    kind="teams",
    title="Microsoft Teams",
    summary="A card in a channel or chat, posted by a workflow that starts when a webhook request is received.",
    fields=(
        Field(name="url", label="Workflow URL", help="Of the trigger “When a Teams webhook request is received”.",
              secret=True, kind="url", longest=2000),
    ),
    send=send,
    per_minute=60,
    burst=4,  # a second are let through
    at_once=1,
)  # fmt: skip
