"""A rule over the days that lie behind: its windows filled from the rollups, minute by minute, as live ones are."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from alerts import judging
from alerts.measurements import Filters, Group, Total, Totals, Window, folded, joined
from alerts.rehearsal import Minutes
from alerts.rolling import Rolling
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Reading
from monitoring.store import current_store
from monitoring.store.base import Query
from monitoring.store.samples import Trace
from organizations.scope import Scope

_STEP = 60


class _Rolled:
    """The totals of a rule's windows at one minute, as `judging.read` asks for them."""

    def __init__(self, windows: Mapping[Window, Rolling], *, apart: bool) -> None:
        self._windows, self._apart = windows, apart

    def move(self, at: datetime) -> tuple[int, ...]:
        """To the next minute; the same numbers where nothing changed with it."""
        self._at = at
        for window, rolling in self._windows.items():
            rolling.until(at - window.back * MINUTE)
        return tuple(rolling.changes for rolling in self._windows.values())

    def of(self, organization: str, window: Window, filters: Filters, by: tuple[str, ...]) -> Totals:
        totals = self._windows[window].until(self._at - window.back * MINUTE)
        return folded(window, filters, by, _together(window, totals)) if self._apart else totals


def minutes(
    rule: Ruled, start: datetime, end: datetime, *, sources: tuple[str, ...] | None = ("live",)
) -> Minutes:  # fmt: skip
    """The readings of each minute that ends in (start, end]; both are whole minutes."""
    steps = {window: _steps(rule, window, start, end, sources) for window in rule.windows}
    rolled = _Rolled({window: Rolling(steps[window], window.minutes) for window in rule.windows}, apart=_apart(rule))
    found: list[tuple[datetime, Mapping[Group, Reading]]] = []
    before: tuple[int, ...] | None = None
    readings: Mapping[Group, Reading] = {}
    at = start + MINUTE
    while at <= end:
        held = rolled.move(at)
        if held != before:
            readings, before = judging.read(rule, rolled), held
        found.append((at, readings))
        at += MINUTE
    return found


def _steps(
    rule: Ruled, window: Window, start: datetime, end: datetime, sources: tuple[str, ...] | None
) -> Mapping[datetime, Totals]:
    """What each minute of the window's stretch holds, filtered and grouped as the rule is; or each series of it."""
    since, until = start - (window.back + window.minutes - 1) * MINUTE, end - window.back * MINUTE
    if not window.subject:
        steps = _inferences(rule, window, since, until, sources)
    else:
        steps = _family(rule.organization, window, since, until, sources, apart=_apart(rule))
    if _apart(rule):
        return steps
    return {at: folded(window, rule.filters, rule.by, totals) for at, totals in steps.items()}


def _apart(rule: Ruled) -> bool:
    """Whether series are joined when the window is full: the last of one that is silent by its end counts as well."""
    return rule.definition.aggregation == "last"


def _together(window: Window, totals: Totals) -> Totals:
    found: dict[Group, Total] = {}
    for values, total in totals.items():
        group = values[: len(window.dims)]
        found[group] = joined(found[group], total) if group in found else total
    return found


def _inferences(
    rule: Ruled, window: Window, since: datetime, until: datetime, sources: tuple[str, ...] | None
) -> Mapping[datetime, Totals]:
    query = Query(start=since, end=until, by=window.dims, sources=sources, fields=rule.fields)  # type: ignore[arg-type]
    [groups] = current_store().series(Scope.of(rule.organization), [query], step_seconds=_STEP)
    return _by_minute(groups)


def _family(
    organization: str, window: Window, since: datetime, until: datetime, sources: tuple[str, ...] | None, *,
    apart: bool,
) -> Mapping[datetime, Totals]:  # fmt: skip
    """By the window's names, and behind them all labels where series are kept apart."""
    trace = Trace(organization=organization, family=window.subject, start=since, end=until,
                  by=None if apart else window.dims, sources=sources)  # fmt: skip
    [spans] = current_store().history(Scope.of(organization), [trace], step_seconds=_STEP)
    found: dict[Group, Sequence[tuple[datetime, object]]] = {}
    for labels, steps in spans.items():
        rest = tuple(part for label in labels for part in label) if apart else ()
        found[(*(dict(labels).get(name, "") for name in window.dims), *rest)] = steps
    return _by_minute(found)


def _by_minute(groups: Mapping[Group, Sequence[tuple[datetime, object]]]) -> Mapping[datetime, Totals]:
    found: dict[datetime, dict[Group, object]] = {}
    for group, steps in groups.items():
        for at, total in steps:
            found.setdefault(at, {})[tuple(group)] = total
    return found  # type: ignore[return-value]
