"""What every channel says in the same way: a state in a word and a colour, who did what, when, and where to read on."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from alerts.channels.base import Notice, shortened

PRODUCT = "AI Development Cockpit"
LONGEST_TITLE, LONGEST_NOTE, LONGEST_NAME = 1000, 2000, 100
_LONGEST_HEADLINE = 100  # that no channel cuts
# Dark enough for white words on them, light enough for words of that colour on black.
COLOURS: Mapping[str, str] = {
    "critical": "#c0392b",
    "warning": "#b26a00",
    "info": "#2e75b6",
    "acknowledged": "#66717e",
    "resolved": "#27804a",
}
_WORDS: Mapping[str, str] = {"test": "TEST", "summary": "SUMMARY", "pulse": "PULSE"}
_DONE: Mapping[str, str] = {"acknowledge": "Acknowledged", "resolve": "Resolved"}
_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Control characters; and those that turn the direction of everything behind them, in our words as well.
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LINK = re.compile(r"https?://[^/?#]", re.IGNORECASE)


def lines(text: str) -> str:
    """`text` without control characters; of line breaks and tabs only plain ones are left."""
    return _UNSEEN.sub("", _BREAKS.sub("\n", text)).strip()


def one_line(text: str) -> str:
    return " ".join(lines(text).split())


def tone(notice: Notice) -> str:
    """Which colour it has: its severity's as long as nobody looks after it."""
    told_of_itself = notice.event in _WORDS or notice.status == "firing"
    return notice.severity if told_of_itself else notice.status


def word(notice: Notice) -> str:
    """How it stands, in one word in capitals."""
    return _WORDS.get(notice.event) or tone(notice).upper()


def title(notice: Notice) -> str:
    return shortened(one_line(notice.title), LONGEST_TITLE) or "Alert"


def happened(notice: Notice) -> str:
    """What somebody did, as "Resolved by ada after 12 min: it was the cache"; "" where nobody did anything."""
    done = _DONE.get(notice.event, "")
    if not done:
        return ""
    by = f" by {shortened(one_line(notice.by), LONGEST_NAME)}" if one_line(notice.by) else ""
    after = f" after {span(notice.ended_at - notice.started_at)}" if notice.ended_at else ""
    note = f": {shortened(lines(notice.note), LONGEST_NOTE)}" if lines(notice.note) else "."
    return f"{done}{by}{after}{note}"


def text(notice: Notice) -> str:
    """What it means or what was reported; "" where the title has said all of it, in a line that is cut nowhere."""
    said = title(notice)
    return "" if len(said) <= _LONGEST_HEADLINE and said.startswith(one_line(notice.text)) else lines(notice.text)


def origin(notice: Notice) -> str:
    """Whose it is and when it happened, in small print; what reaches executives tells times of its own, in theirs."""
    name = shortened(one_line(notice.organization_name), LONGEST_NAME)
    return f"{name} · {moment(notice.at)}" if notice.audience == "developer" else name or PRODUCT


def moment(at: datetime) -> str:
    """For people."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def timestamp(at: datetime) -> str:
    """RFC 3339, for machines."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    if minutes < 1:
        return "less than a minute"
    if not days:
        return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
    return f"{days} d {hours} h"


def link(url: str, longest: int = 2000) -> str:
    """`url` in ASCII if receivers can take it for a link, or "": one that is cut leads nowhere."""
    found = quote(url.strip(), safe=":/?#[]@!$&'()*+,;=%~-._")
    return found if _LINK.match(found) and len(found) <= longest else ""


def technical(notice: Notice) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Its labels and metadata, which are for developers alone."""
    return (notice.labels, notice.metadata) if notice.audience == "developer" else ({}, {})
