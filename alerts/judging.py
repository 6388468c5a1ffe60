"""One rule held against one minute: every group of it judged. Pure; live evaluation and simulation both do this."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from alerts.definitions import DAY
from alerts.measurements import MOST_GROUPS, NOTHING, Filters, Group, Totals, Wanted, Window
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Reading, Standing, decide

_ALONE: tuple[Group, ...] = ((),)


class Judged(NamedTuple):
    """A group for which something changed with a minute; `after` is None for one that is forgotten."""

    group: Group
    before: Standing | None
    after: Standing | None
    reading: Reading


class Gauges(Protocol):
    """The totals of windows that end with one minute."""

    def of(self, organization: str, window: Window, filters: Filters, by: tuple[str, ...]) -> Totals:
        """Those of one window, filtered and grouped."""


def wanted(rules: Iterable[Ruled]) -> Wanted:
    """What has to be read to judge these."""
    return together({(rule.organization, window): rule.fields for window in rule.windows} for rule in rules)


def together(many: Iterable[Wanted]) -> Wanted:
    """All that any of them wants."""
    found: dict[tuple[str, Window], frozenset[str]] = {}
    for wanted in many:
        for key, fields in wanted.items():
            found[key] = found.get(key, fields) | fields
    return found


def read(rule: Ruled, gauges: Gauges) -> dict[Group, Reading]:
    """The readings of a rule's groups, of those that have any."""
    organization, filters, by = rule.organization, rule.filters, rule.by
    return rule.read([gauges.of(organization, window, filters, by) for window in rule.windows])


def judge(
    rule: Ruled, known: Mapping[Group, Standing], found: Mapping[Group, Reading], at: datetime
) -> Iterator[Judged]:
    """What changes with the minute that ends at `at`, for the groups that are known and those that are new."""
    condition = rule.condition
    for group in _groups(rule, known, found):
        before = known.get(group)
        reading = found.get(group, NOTHING)
        after = decide(condition, before, reading, at)
        if after is before:
            if after.silent is not None and rule.by and at - after.silent >= _memory(rule):
                yield Judged(group, before, None, reading)
        else:
            yield Judged(group, before, after, reading)


def _groups(rule: Ruled, known: Mapping[Group, Standing], found: Mapping[Group, Reading]) -> tuple[Group, ...]:
    """All that are known, and of those that are new as many as there is room for, the largest first."""
    if not rule.by:
        return _ALONE
    fresh = [group for group in found if group not in known]
    room = max(0, MOST_GROUPS - len(known))
    if len(fresh) > room:
        fresh = sorted(fresh, key=lambda group: (-found[group].samples, group))[:room]
    return (*known, *fresh)


def overflow(rule: Ruled, known: Mapping[Group, Standing], found: Mapping[Group, Reading]) -> int:
    """How many groups are not judged, since a rule has too many."""
    return max(0, len(found.keys() | known.keys()) - MOST_GROUPS) if rule.by else 0


def _memory(rule: Ruled) -> timedelta:
    """How long a group that is silent is still judged: a model that nobody calls any more is no news for ever."""
    return max(rule.definition.window, DAY) * MINUTE
