"""Minutes that are judged in turn, of rules that stand as is remembered: what changes with them."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog

from alerts import judging
from alerts.enacting import Change
from alerts.gauging import Gauges, Unread
from alerts.measurements import NOTHING, Group, Totals, Window
from alerts.rulebook import Ruled
from alerts.rules import unwatched
from alerts.standings import Kept, Standings, Transition

log = structlog.get_logger(__name__)


class Turn(NamedTuple):
    """What changed over all of the minutes, every transition on the way, and the rules that could not be judged."""

    changes: dict[tuple[UUID, Group], Change]
    noted: list[Transition]
    failed: dict[UUID, str]

    def without(self, rule: UUID, why: str) -> None:
        self.failed[rule] = why
        self.noted[:] = [each for each in self.noted if each.rule_id != rule]
        for key in [key for key in self.changes if key[0] == rule]:
            del self.changes[key]


def take(
    rules: Sequence[Ruled], known: Standings, resting: Set[str], minutes: Sequence[datetime],
    gauges: Mapping[datetime, Gauges], *, gap: bool,
) -> Turn:  # fmt: skip
    """
    Args:
        known: how the groups of the rules stand.
        resting: the keys of rules that can be told at a glance and were fine.
        gap: whether minutes before these were left out.
    """
    turn = Turn({}, [], {})
    found: dict[Window, Sequence[Totals]] = {}
    for rule in rules:
        stood = known.get(rule.id, {})
        try:
            if not (rule.key in resting and _stays_fine(rule, minutes, gauges, found)):
                _Rule(turn, rule, stood).judge(minutes, gauges, gap=gap)
        except Exception as error:
            log.warning("a rule cannot be judged", rule=str(rule.id), reason=type(error).__name__, exc_info=True)
            turn.without(rule.id, f"It could not be judged: {type(error).__name__}.")
            _Rule(turn, rule, stood).begin_anew(minutes[-1])
    return turn


class _Rule:
    """A rule whose minutes are judged one after the other."""

    def __init__(self, turn: Turn, rule: Ruled, stood: Mapping[Group, Kept]) -> None:
        self._turn, self._rule, self._stood = turn, rule, stood
        self._standing = {group: one.standing for group, one in stood.items()}

    def judge(self, minutes: Sequence[datetime], gauges: Mapping[datetime, Gauges], *, gap: bool) -> None:
        """What cannot be read of a minute is left out of it; the rule has failed where that is the last one."""
        if gap:
            self.begin_anew(minutes[0])
        for at in minutes:
            try:
                readings = judging.read(self._rule, gauges[at])
            except Unread as error:
                self._turn.failed[self._rule.id] = f"Its data cannot be read. {error}"
                self.begin_anew(at)
            else:
                self._turn.failed.pop(self._rule.id, None)
                for one in judging.judge(self._rule, self._standing, readings, at):
                    self._note(one, at)

    def begin_anew(self, at: datetime) -> None:
        """With what only waits, since nobody knows how it was meanwhile."""
        for group, standing in list(self._standing.items()):
            after = unwatched(standing, at)
            if after is not standing:
                self._note(judging.Judged(group, standing, after, NOTHING), at)

    def _note(self, one: judging.Judged, at: datetime) -> None:
        key, kept = (self._rule.id, one.group), self._stood.get(one.group)
        if one.after is None:
            del self._standing[one.group]
        else:
            self._standing[one.group] = one.after
        after = None if one.after is None else Kept(one.after, kept.alert if kept else None)
        self._turn.changes[key] = Change(self._rule, one.group, kept, after, one.reading)
        if kept is None and after is None:  # it came and went meanwhile
            del self._turn.changes[key]
        if one.step:
            before, state, because = one.step
            self._turn.noted.append(Transition(
                rule_id=self._rule.id, version=self._rule.version, group_values=one.group, at=at, before=before,
                after=state, because=because, value=one.reading.value, samples=one.reading.samples,
            ))  # fmt: skip


def _stays_fine(
    rule: Ruled, minutes: Sequence[datetime], gauges: Mapping[datetime, Gauges], found: dict[Window, Sequence[Totals]]
) -> bool:
    """As nearly all do that can be told at a glance: what is left is judged in full. `found` is of one organization."""
    glance, window = rule.glance, rule.windows[0]
    if glance is None:
        return False
    totals = found.get(window)
    if totals is None:
        try:
            totals = [gauges[at].whole(rule.organization, window) for at in minutes]
        except Unread:
            return False
        found[window] = totals
    return all(map(glance, totals))
