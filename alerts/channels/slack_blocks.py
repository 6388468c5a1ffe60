"""A notice in Slack's blocks: no markup of outsiders, nothing longer than Slack takes, and always the link."""

import re
from typing import Any

import msgspec

from alerts.channels.base import Notice
from alerts.channels.wording import COLOURS, happened, lines, link, one_line, origin, text, title, tone, word

# Slack's limits; messages are refused from somewhere beyond 10,000 characters on.
LONGEST_MESSAGE, LONGEST_HEADER, LONGEST_TEXT, LONGEST_URL, MAX_FIELDS = 9000, 150, 3000, 3000, 10
_ROOMS = (LONGEST_TEXT, 1200, 400, 50)  # characters of text and of each fact, the first that fits
_HALF_ENTITY = re.compile(r"&[a-z]*\Z")


def rendered(notice: Notice) -> dict[str, Any]:
    """The message, as much of it as may be sent.

    The header stands outside the attachment: `text` is then for notifications alone, and nothing is shown twice.
    """
    message: dict[str, Any] = {}
    for room in _ROOMS:
        message = _message(notice, room)
        if len(msgspec.json.encode(message).decode()) <= LONGEST_MESSAGE:
            break
    return message


def escaped(words: str, longest: int) -> str:
    """`words` in which Slack finds no link, no mention and no channel; cut between characters, never inside one."""
    safe = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe if len(safe) <= longest else f"{_HALF_ENTITY.sub('', safe[: longest - 1]).rstrip()}…"


def _message(notice: Notice, room: int) -> dict[str, Any]:
    inside = [*_text(notice, room), *_fields(notice, room), _context(notice), *_buttons(notice)]
    return {
        "text": escaped(f"{word(notice)}: {title(notice)}", 200),
        "blocks": [{"type": "header", "text": _plain(f"{word(notice)} · {title(notice)}", LONGEST_HEADER)}],
        "attachments": [{"color": COLOURS.get(tone(notice), COLOURS["info"]), "blocks": inside}],
    }


def _text(notice: Notice, room: int) -> list[dict[str, Any]]:
    told = "\n".join(part for part in (happened(notice), text(notice)) if part)
    return [{"type": "section", "text": _plain(told, room)}] if told else []


def _fields(notice: Notice, room: int) -> list[dict[str, Any]]:
    fields = [
        _marked(f"*{escaped(one_line(name), 60) or '–'}*\n{escaped(lines(value), min(room, 500)) or '–'}")
        for name, value in notice.facts[:MAX_FIELDS]
    ]
    return [{"type": "section", "fields": fields}] if fields else []


def _context(notice: Notice) -> dict[str, Any]:
    return {"type": "context", "elements": [_plain(origin(notice), 300)]}


def _buttons(notice: Notice) -> list[dict[str, Any]]:
    links = {"open": ("Open alert", link(notice.url, LONGEST_URL)), "runbook": ("Runbook", link(notice.runbook, 1000))}
    buttons = [
        {"type": "button", "text": _plain(label, 75), "url": url, "action_id": name}
        for name, (label, url) in links.items()
        if url
    ]
    return [{"type": "actions", "elements": buttons}] if buttons else []


def _plain(words: str, longest: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": escaped(words, longest), "emoji": False}


def _marked(words: str) -> dict[str, Any]:
    """Markup of ours around words of others: verbatim, so that what looks like a link or a name is none."""
    return {"type": "mrkdwn", "text": words, "verbatim": True}
