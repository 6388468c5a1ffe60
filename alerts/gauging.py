"""What the store says of the windows that rules ask for: one question for all organizations and rules that share it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from alerts.measurements import Filters, Group, Totals, Wanted, Window, folded
from alerts.rules import MINUTE
from monitoring.store import current_store
from monitoring.store.base import Query
from monitoring.store.samples import Trace
from organizations.scope import Scope

_ALL = 36_500 * 86_400  # seconds: a step in which everything falls, so that a window is one total


class Gauges:
    """The totals of windows that end with one minute."""

    def __init__(self, totals: Mapping[tuple[str, Window], Totals]) -> None:
        self._totals = totals
        self._folded: dict[Any, Totals] = {}

    def whole(self, organization: str, window: Window) -> Totals:
        """By all that the window is told apart by."""
        return self._totals.get((organization, window), _NONE)

    def of(self, organization: str, window: Window, filters: Filters, by: tuple[str, ...]) -> Totals:
        """Filtered and grouped; what several rules ask alike is worked out once."""
        asked = (organization, window, filters, by)
        found = self._folded.get(asked)
        if found is None:
            found = self._folded[asked] = folded(window, filters, by, self.whole(organization, window))
        return found


_NONE: Totals = {}


def read(scope: Scope, wanted: Wanted, minutes: Iterable[datetime], *,
         sources: tuple[str, ...] | None = ("live",)) -> dict[datetime, Gauges]:  # fmt: skip
    """What these windows hold, for each minute with which they end."""
    ends = list(minutes)
    found: dict[datetime, dict[tuple[str, Window], Totals]] = {end: {} for end in ends}
    _read_inferences(scope, wanted, found, sources)
    _read_families(scope, wanted, found, sources)
    return {end: Gauges(totals) for end, totals in found.items()}


def _read_inferences(
    scope: Scope, wanted: Wanted, found: Mapping[datetime, dict[tuple[str, Window], Totals]],
    sources: tuple[str, ...] | None,
) -> None:  # fmt: skip
    fields: dict[Window, frozenset[str]] = {}
    for (_, window), own in wanted.items():
        if not window.subject:
            fields[window] = fields.get(window, own) | own
    asked = [(end, window) for end in found for window in sorted(fields)]
    queries = [
        Query(start=_start(end, window), end=_end(end, window), by=("organization_id", *window.dims), sources=sources,  # type: ignore[arg-type]
              fields=fields[window])
        for end, window in asked
    ]  # fmt: skip
    for (end, window), groups in zip(asked, current_store().totals(scope, queries) if queries else [], strict=True):
        split: dict[str, dict[Group, Any]] = defaultdict(dict)
        for (organization, *values), summary in groups.items():
            split[organization][tuple(values)] = summary
        for organization, totals in split.items():
            found[end][organization, window] = totals


def _read_families(
    scope: Scope, wanted: Wanted, found: Mapping[datetime, dict[tuple[str, Window], Totals]],
    sources: tuple[str, ...] | None,
) -> None:  # fmt: skip
    asked = [(end, *one) for end in found for one in sorted(wanted) if one[1].subject]
    traces = [
        Trace(organization=organization, family=window.subject, start=_start(end, window), end=_end(end, window),
              by=window.dims, sources=sources)
        for end, organization, window in asked
    ]  # fmt: skip
    spans = current_store().history(scope, traces, step_seconds=_ALL) if traces else []
    for (end, organization, window), answer in zip(asked, spans, strict=True):
        totals: dict[Group, Any] = {}
        for labels, steps in answer.items():
            own = dict(labels)
            totals[tuple(own.get(name, "") for name in window.dims)] = steps[0][1]
        found[end][organization, window] = totals


def _start(end: datetime, window: Window) -> datetime:
    return end - (window.back + window.minutes) * MINUTE


def _end(end: datetime, window: Window) -> datetime:
    return end - window.back * MINUTE


def minute_of(moment: datetime, late: int) -> datetime:
    """The last whole minute that is over, and for which late data were waited for."""
    seen = moment - timedelta(seconds=late)
    return seen.replace(second=0, microsecond=0)
