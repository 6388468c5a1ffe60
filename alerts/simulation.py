"""A rule over the days that lie behind: its windows filled from the rollups, minute by minute, as live ones are."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alerts import gauging, judging
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
    rule: Ruled, start: datetime, end: datetime, *, sources: tuple[str, ...] | None = ("live",),
    group: Group | None = None,
) -> Minutes:  # fmt: skip
    """The readings of each minute that ends in (start, end]; both are whole minutes.

    Args:
        group: the only one that is asked for (there may be others); None for all.
    """
    rule = rule if group is None else _narrowed(rule, group)
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


def known_since(rule: Ruled, now: datetime) -> datetime:
    """The start of the first minute that can be judged: all of its windows hold minutes. Older rollups are of hours,
    and each would fall into one minute.
    """
    kept = gauging.minutes_since(rule.organization, now)
    return kept + (max(window.minutes + window.back for window in rule.windows) - 1) * MINUTE


def _narrowed(rule: Ruled, group: Group) -> Ruled:
    """To the series of one group; a value that is a pattern as well keeps some more."""
    own = tuple((name, (value,)) for name, value in zip(rule.by, group, strict=True))
    return rule._replace(filters=(*rule.filters, *own))


def _steps(
    rule: Ruled, window: Window, start: datetime, end: datetime, sources: tuple[str, ...] | None
) -> Mapping[datetime, Totals]:
    """What each minute of the window's stretch holds, filtered and grouped as the rule is; or each series of it."""
    since, until = start - (window.back + window.minutes - 1) * MINUTE, end - window.back * MINUTE
    if not window.subject:
        steps = _inferences(rule, window, since, until, sources)
    else:
        steps = _family(rule, window, since, until, sources)
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
    return _by_minute(_fitting(rule, window, groups))


def _family(
    rule: Ruled, window: Window, since: datetime, until: datetime, sources: tuple[str, ...] | None
) -> Mapping[datetime, Totals]:
    """By the window's names, and behind them all labels where series are kept apart."""
    apart = _apart(rule)
    trace = Trace(organization=rule.organization, family=window.subject, start=since, end=until, where=_exact(rule),
                  by=None if apart else window.dims, sources=sources)  # fmt: skip
    [spans] = current_store().history(Scope.of(rule.organization), [trace], step_seconds=_STEP)
    found: dict[Group, Sequence[tuple[datetime, object]]] = {}
    for labels, steps in spans.items():
        rest = tuple(part for label in labels for part in label) if apart else ()
        found[(*(dict(labels).get(name, "") for name in window.dims), *rest)] = steps
    return _by_minute(found if apart else _fitting(rule, window, found))


def _fitting(rule: Ruled, window: Window, found: Mapping[Group, Any]) -> Mapping[Group, Any]:
    """Without those that the filters leave out: they need not be gone through minute by minute."""
    return folded(window, rule.filters, window.dims, found)


def _exact(rule: Ruled) -> tuple[tuple[str, str], ...]:
    """What all series that it asks for have in common: the store need not read any others."""
    alone = {name: values[0] for name, values in rule.filters if len(values) == 1}
    return tuple(sorted((name, value) for name, value in alone.items() if value and "*" not in value))


def _by_minute(groups: Mapping[Group, Sequence[tuple[datetime, object]]]) -> Mapping[datetime, Totals]:
    found: dict[datetime, dict[Group, object]] = {}
    for group, steps in groups.items():
        for at, total in steps:
            found.setdefault(at, {})[tuple(group)] = total
    return found  # type: ignore[return-value]
