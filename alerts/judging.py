"""One rule held against one minute: every group of it judged. Pure; live evaluation and simulation both do this."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from typing import NamedTuple, Protocol

from alerts.definitions import DAY, WEEK
from alerts.measurements import MOST_GROUPS, NOTHING, Filters, Group, Place, Totals, Wanted, Window
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Because, Reading, Standing, decide

FORGOTTEN = "forgotten"  # the state of a group that is not known any more
_ALONE: tuple[Group, ...] = ((),)
_LARGER = 2  # so many times, for a group to be given the place of another: those that are about as large take no turns


class Judged(NamedTuple):
    """A group for which something changed with a minute; `after` is None for one that is forgotten, `crowded` for
    larger ones that take its place.
    """

    group: Group
    before: Standing | None
    after: Standing | None
    reading: Reading
    crowded: bool = False

    @property
    def step(self) -> tuple[str, str, Because] | None:
        """From which state to which, and why; "" before it is known. None where there is nothing to remember."""
        before = self.before.state if self.before else ""
        if self.after is None:
            because: Because = "crowded" if self.crowded else "no_data"
            return None if self.crowded and before in ("", "ok") else (before, FORGOTTEN, because)
        after = self.after.state
        return (before, after, self.after.because) if before != after and (before or after != "ok") else None


class Gauges(Protocol):
    """The totals of windows that end with one minute."""

    def of(self, organization: str, window: Window, filters: Filters, by: tuple[str, ...]) -> Totals:
        """Those of one window, filtered and grouped."""


def wanted(rules: Iterable[Ruled]) -> Wanted:
    """What has to be read to judge these."""
    return together({(rule.organization, window): rule.fields for window in rule.windows} for rule in rules)


def together(many: Iterable[Wanted]) -> Wanted:
    """All that any of them wants."""
    found: dict[Place, frozenset[str]] = {}
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
    groups, gone = _groups(rule, known, found, at) if rule.by else (_ALONE, ())
    for group in gone:
        yield Judged(group, known[group], None, found.get(group, NOTHING), crowded=True)
    for group in groups:
        before = known.get(group)
        reading = found.get(group, NOTHING)
        after = decide(condition, before, reading, at)
        if after is not before:
            yield Judged(group, before, after, reading)
        elif rule.by and _is_over(rule, after, at):
            yield Judged(group, before, None, reading)


def _groups(
    rule: Ruled, known: Mapping[Group, Standing], found: Mapping[Group, Reading], at: datetime
) -> tuple[Sequence[Group], Sequence[Group]]:
    """Those that are judged, the largest of the new ones where there is no room for all; and those that give way."""
    fresh = [group for group in found if group not in known]
    room = max(0, MOST_GROUPS - len(known))
    if len(fresh) <= room:
        return (*known, *fresh), ()
    fresh = nsmallest(MOST_GROUPS, fresh, key=lambda group: (-found[group].samples, group))
    held = [(found.get(group, NOTHING).samples, group) for group, standing in known.items()
            if _gives_way(rule, standing, found.get(group, NOTHING), at)]  # fmt: skip
    gone: dict[Group, None] = {}
    for group, (samples, holder) in zip(fresh[room:], sorted(held)):
        if found[group].samples <= _LARGER * max(1, samples):
            break
        gone[holder] = None
    return (*(group for group in known if group not in gone), *fresh[: room + len(gone)]), tuple(gone)


def _gives_way(rule: Ruled, standing: Standing, reading: Reading, at: datetime) -> bool:
    """Whether nothing is lost with a group: it is fine, also with this minute, and no silence is to be told of; or it
    fires as it did a day ago, of which nothing was measured since.
    """
    if standing.state != "ok":
        silent = standing.silent if reading.value is None else None
        return silent is not None and at - silent >= DAY * MINUTE
    after = decide(rule.condition, standing, reading, at)
    return after.state == "ok" and (after.silent is None or rule.condition.no_data != "alert")


def overflow(rule: Ruled, known: Mapping[Group, Standing], found: Mapping[Group, Reading]) -> int:
    """How many groups are not judged, since a rule has too many."""
    return max(0, len(found.keys() | known.keys()) - MOST_GROUPS) if rule.by else 0


def _is_over(rule: Ruled, standing: Standing, at: datetime) -> bool:
    """Whether a group has been silent for so long that it is forgotten: a model that nobody calls any more is no news
    for ever. What fires and is to stay does so for a week, and a silence that is to be an alert is one for a day first.
    """
    since, policy = standing.silent, rule.condition.no_data
    if since is None or (policy == "alert" and not standing.firing):
        return False
    if policy == "alert":
        since = max(since + rule.condition.silent * MINUTE, standing.since)
    long = WEEK if policy == "keep" and standing.firing else DAY
    return at - since >= max(rule.definition.window, long) * MINUTE
