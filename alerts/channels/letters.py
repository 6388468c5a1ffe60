"""An e-mail about a notice: its subject, and its words as plain text and as HTML that needs no images and no tables."""

from collections.abc import Sequence
from html import escape

from alerts.channels.base import Notice, shortened
from alerts.channels.wording import COLOURS, PRODUCT, happened, lines, link, one_line, origin, text, title, tone, word

LONGEST_TEXT, LONGEST_FACT, MAX_FACTS = 5000, 300, 20  # mail programs hide what is longer than 100 KB
_FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
# No colour of text and ground is set but where both are: whatever the reader's mode, one is seen on the other.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
</head>
<body style="margin:0;padding:24px 12px;font:16px/1.5 {font}">
<div style="max-width:600px;margin:0 auto;border:1px solid rgba(128,128,128,0.35);border-radius:12px;overflow:hidden">
<div style="height:6px;line-height:6px;background:{colour}">&nbsp;</div>
<div style="padding:24px">
{parts}
</div>
</div>
</body>
</html>
"""


def subject(notice: Notice) -> str:
    """One line in which nothing looks encoded: Python decodes that, and before 3.12.5 writes out line breaks in it."""
    sign = f"[{word(notice)}]" if word(notice) == notice.severity.upper() else f"{word(notice)}:"
    name = shortened(one_line(notice.organization_name), 60)
    return f"{sign} {shortened(title(notice), 150)} ({name})".replace("=?", "= ?")


def plain(notice: Notice) -> str:
    links = [f"{label}: {url}" for label, url in _links(notice)]
    facts = [f"{name}: {value}" for name, value in _facts(notice)]
    parts = [
        f"{word(notice)}: {title(notice)}",
        happened(notice),
        _text(notice),
        "\n".join(facts),
        "\n".join(links),
        f"{origin(notice)}\n{PRODUCT}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def html(notice: Notice) -> str:
    colour = COLOURS.get(tone(notice), COLOURS["info"])
    pill = f"padding:2px 10px;border-radius:99px;font-size:12px;font-weight:700;color:#ffffff;background:{colour}"
    parts = [
        f'<span style="display:inline-block;letter-spacing:0.06em;{pill}">{escape(word(notice))}</span>',
        _element("h1", title(notice), "margin:12px 0;font-size:22px;line-height:1.3"),
        _element("p", happened(notice), "margin:0 0 12px;white-space:pre-line;font-weight:600"),
        _element("p", _text(notice), "margin:0 0 16px;white-space:pre-line"),
        *(_fact(name, value) for name, value in _facts(notice)),  # side by side as far as they are short
        _buttons(_links(notice), colour),
        _element(
            "p", f"{origin(notice)}\n{PRODUCT}", "margin:20px 0 0;font-size:13px;opacity:0.7;white-space:pre-line"
        ),
    ]
    body = "\n".join(part for part in parts if part)
    return _PAGE.format(title=escape(title(notice)), font=_FONT, colour=colour, parts=body)


def _text(notice: Notice) -> str:
    return shortened(text(notice), LONGEST_TEXT)


def _facts(notice: Notice) -> list[tuple[str, str]]:
    return [
        (shortened(one_line(name), 100), shortened(lines(value), LONGEST_FACT))
        for name, value in notice.facts[:MAX_FACTS]
    ]


def _links(notice: Notice) -> list[tuple[str, str]]:
    named = (("Open alert", link(notice.url)), ("Runbook", link(notice.runbook)))
    return [(label, url) for label, url in named if url]


def _element(name: str, words: str, style: str) -> str:
    """Text from outside in its own direction, which does not turn that of what stands around it."""
    look = f"overflow-wrap:anywhere;{style}"
    return f'<{name} dir="auto" style="{look}">{escape(words)}</{name}>' if words else ""


def _fact(name: str, value: str) -> str:
    small = "display:block;font-size:13px;opacity:0.7"
    place = "display:inline-block;max-width:100%;margin:0 28px 10px 0;vertical-align:top"
    style = f"{place};overflow-wrap:anywhere;white-space:pre-line"
    return f'<p dir="auto" style="{style}"><span style="{small}">{escape(name)}</span>{escape(value)}</p>'


def _buttons(links: Sequence[tuple[str, str]], colour: str) -> str:
    look = "display:inline-block;margin:8px 8px 0 0;padding:10px 18px;border-radius:8px;text-decoration:none"
    first = f"border:1px solid {colour};font-weight:600;color:#ffffff;background:{colour}"
    styles = (first, *("border:1px solid rgba(128,128,128,0.5);color:inherit" for _ in links))
    buttons = [
        f'<a href="{escape(url)}" style="{look};{style}">{escape(label)}</a>'
        for (label, url), style in zip(links, styles)
    ]
    return f'<p style="margin:0">{"".join(buttons)}</p>' if buttons else ""
