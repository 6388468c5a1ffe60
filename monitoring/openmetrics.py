"""Metric families as text: Prometheus 0.0.4 and OpenMetrics 1.0, and which of the two a reader asks for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from monitoring.families import Family

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNITS = ("seconds", "bytes", "ratio", "celsius", "joules", "watts", "hertz")
_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
    "info": ("", "_info"),
}
_SPECIAL = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
_OPENMETRICS_VERSIONS = ("1.0.0", "0.0.1", "")
_MOST_PAIRS = 100_000

Pair = tuple[str, str]
Row = tuple[str, tuple[Pair, ...], float | Decimal]  # suffix of the family's name, labels, value


@dataclass(frozen=True, slots=True)
class Metric:
    """A family and its series."""

    family: Family
    rows: Sequence[Row]


class _Pairs(dict[Pair, str]):
    """Labels as text, each worked out once: series share most of them."""

    def __missing__(self, pair: Pair) -> str:
        name, value = pair
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of a label: {name[:60]!r}")
        value = _whole(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        if len(self) >= _MOST_PAIRS:
            self.clear()
        text = self[pair] = f'{name}="{value}"'
        return text


def _whole(text: str) -> str:
    """The text with its lone surrogates written out: they have no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_pairs = _Pairs()


def block(metric: Metric, form: str) -> str:
    """One family as it stands in the text of that form (TEXT or OPENMETRICS).

    Raises:
        ValueError: for a name that is none.
    """
    name = metric.family.name
    if not _NAME.fullmatch(name):
        raise ValueError(f"not the name of a family: {name[:60]!r}")
    pair, special = _pairs.__getitem__, _SPECIAL.get
    lines = [
        f"{name}{suffix}{{{','.join(map(pair, labels))}}} {special(text := str(value), text)}\n"
        for suffix, labels, value in metric.rows
    ]
    return _head(metric.family, form) + "".join(lines)


def names(family: Family, form: str) -> set[str]:
    """The names that a family takes up in that form; no two families of a text may share one."""
    if form == TEXT and family.kind in ("counter", "info"):
        return {family.name}
    base = _base(family) if form == OPENMETRICS else family.name
    return {base + suffix for suffix in _SUFFIXES.get(family.kind, ("",))}


def remark(words: str, form: str) -> str:
    """A line for people, of one line of words; OpenMetrics has no place for it."""
    return "" if form == OPENMETRICS else f"# {words}\n"


def end(form: str) -> str:
    """What stands after the last family."""
    return "# EOF\n" if form == OPENMETRICS else ""


def _base(family: Family) -> str:
    """What OpenMetrics calls a family, whose samples have a suffix then."""
    return family.name.removesuffix({"counter": "_total", "info": "_info"}.get(family.kind, ""))


def _head(family: Family, form: str) -> str:
    told = _whole(family.help).replace("\\", "\\\\").replace("\n", "\\n")
    name, kind, unit = family.name, str(family.kind), ""
    if form == OPENMETRICS:
        told = told.replace('"', '\\"')
        name = _base(family)
        if (last := name.rpartition("_")[2]) in _UNITS:
            unit = f"# UNIT {name} {last}\n"
    elif kind == "info":
        kind = "gauge"
    return f"# HELP {name} {told}\n# TYPE {name} {kind}\n{unit}"


def bound(seconds: float) -> str:
    """An upper bound as the label `le` tells it, the same in both forms: 1.0, 0.25, +Inf."""
    text = str(float(seconds))
    return _SPECIAL.get(text, text)


def negotiate(accept: str) -> str:
    """The form (its content type) for an Accept header: OpenMetrics where it is asked for by name and liked no less.

    Parameters that are not known, such as `escaping`, change nothing: names are plain in both forms. Who accepts
    neither gets the text, since a scrape can do nothing with a refusal.
    """
    openmetrics, text = 0.0, {"text/plain": -1.0, "text/*": -1.0, "*/*": -1.0}
    for part in accept.split(","):
        kind, *rest = (piece.strip().lower() for piece in part.split(";"))
        parameters = {name: value.strip('"') for name, _, value in (piece.partition("=") for piece in rest)}
        liked = quality(parameters.get("q", "1"))
        if kind == "application/openmetrics-text" and parameters.get("version", "") in _OPENMETRICS_VERSIONS:
            openmetrics = max(openmetrics, liked)
        elif kind in text:
            text[kind] = max(text[kind], liked)
    plain = next((liked for liked in text.values() if liked >= 0), 0.0)  # the most exact name counts
    return OPENMETRICS if openmetrics > 0 and openmetrics >= plain else TEXT


def quality(text: str) -> float:
    """A `q` of a header, 0 to 1; what is none counts as 0."""
    return float(text) if re.fullmatch(r"(0(\.\d{0,3})?|1(\.0{0,3})?)", text, re.ASCII) else 0.0
