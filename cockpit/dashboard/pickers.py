"""The pickers of a page as plain links: each is the present address with one thing changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import QueryDict

from cockpit.dashboard import windows, words
from monitoring.measures import SOURCES

_COMPARED = {"previous": "previous period", "week": "a week earlier", "none": "nothing"}


@dataclass(frozen=True, slots=True)
class Choice:
    label: str
    words: str
    query: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Pickers:
    window: tuple[Choice, ...]
    compare: tuple[Choice, ...]
    source: tuple[Choice, ...]  # empty where there is only one to choose
    ends: tuple[str, str]  # of the present view, as local minutes
    named: str  # the same for people, "" for one of the windows
    kept: tuple[tuple[str, str], ...]  # what goes with other ends


def build(query: QueryDict, view: windows.View, sources: Mapping[str, int], zone: ZoneInfo) -> Pickers:
    start, end = view.start.astimezone(zone), view.end.astimezone(zone)
    present = [source for source in SOURCES if sources.get(source) or view.source == source]
    filtered = len(present) > 1 or view.source is not None
    return Pickers(
        tuple(
            Choice(name, words.last(name), _with(query, window=name), name == view.window) for name in windows.WINDOWS
        ),
        tuple(
            Choice(_COMPARED[name], _COMPARED[name], _with(query, compare=name), name == view.compare)
            for name in windows.COMPARISONS
        ),
        (
            Choice("all", "all sources", _with(query, source=None), view.source is None),
            *(Choice(name, f"{name} only", _with(query, source=name), view.source == name) for name in present),
        )
        if filtered
        else (),
        (f"{start:%Y-%m-%dT%H:%M}", f"{end:%Y-%m-%dT%H:%M}"),
        "" if view.window else _between(start, end),
        tuple((name, str(query[name])) for name in ("compare", "source") if name in query),
    )


def _between(start: datetime, end: datetime) -> str:
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end.day} {end:%b} {end:%H:%M}"
    return f"{start.day} {start:%b} {start:%H:%M} to {until}"


def _with(query: QueryDict, **changed: str | None) -> str:
    """The query with these values changed; a named window takes the place of one given by its ends."""
    changed_query = query.copy()
    for name in ("panel", *(("from", "to") if "window" in changed else ())):
        changed_query.pop(name, None)
    for name, value in changed.items():
        changed_query.pop(name, None)
        if value is not None:
            changed_query[name] = value
    return changed_query.urlencode()
