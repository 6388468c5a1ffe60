"""The pickers of a page as plain links: each is the present address with one thing changed."""

from collections.abc import Mapping
from dataclasses import dataclass

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


def build(query: QueryDict, view: windows.View, sources: Mapping[str, int]) -> Pickers:
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
    )


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
