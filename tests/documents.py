"""The pages that people read, README and docs/, with their code blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cockpit.env import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n)?"
    r"```(?P<language>\w+)(?: title=\"(?P<title>[\w.-]+)\")?(?: [^\n]*)?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: with a `title` it is a file of that name; `why` says why nobody runs it."""

    line: int
    language: str
    title: str
    why: str
    text: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(line, found["language"], found["title"] or "", found["why"] or "", found["text"])


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of a page in docs/, without its head."""
    text = (DOCS / page).read_text(encoding="utf-8")
    [(_, after)] = re.findall(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    rows = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert rows, f"{page}: no table under {heading}"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[0].splitlines()[2:]]


def code(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)
