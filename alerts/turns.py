"""Minutes that are judged in turn, of rules that stand as is remembered: what changes with them."""

from collections.abc import Iterator, Mapping, Sequence, Set
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
        try:
            if not (rule.key in resting and _stays_fine(rule, minutes, gauges, found)):
                _judge(turn, rule, known.get(rule.id, {}), minutes, gauges, gap=gap)
        except Unread as error:
            turn.without(rule.id, f"Its data cannot be read. {error}")
        except Exception as error:
            log.warning("a rule cannot be judged", rule=str(rule.id), reason=type(error).__name__, exc_info=True)
            turn.without(rule.id, f"It could not be judged: {type(error).__name__}.")
    return turn


def _judge(
    turn: Turn, rule: Ruled, before: Mapping[Group, Kept], minutes: Sequence[datetime],
    gauges: Mapping[datetime, Gauges], *, gap: bool,
) -> None:  # fmt: skip
    standing = {group: one.standing for group, one in before.items()}
    judged = list(_after_gap(before, minutes[0])) if gap else []
    for at in (None, *minutes):
        for one in judged if at is None else judging.judge(rule, standing, judging.read(rule, gauges[at]), at):
            kept = before.get(one.group)
            after = None if one.after is None else Kept(one.after, kept.alert if kept else None)
            turn.changes[rule.id, one.group] = Change(rule, one.group, kept, after, one.reading)
            if one.after is None:
                del standing[one.group]
            else:
                standing[one.group] = one.after
            turn.noted.extend(_transition(rule, one, at or minutes[0]))


def _after_gap(before: Mapping[Group, Kept], at: datetime) -> Iterator[judging.Judged]:
    for group, kept in before.items():
        after = unwatched(kept.standing, at)
        if after is not kept.standing:
            yield judging.Judged(group, kept.standing, after, NOTHING)


def _stays_fine(
    rule: Ruled, minutes: Sequence[datetime], gauges: Mapping[datetime, Gauges], found: dict[Window, Sequence[Totals]]
) -> bool:
    """As nearly all do that can be told at a glance: what is left is judged in full. `found` is of one organization."""
    glance, window = rule.glance, rule.windows[0]
    if glance is None:
        return False
    totals = found.get(window)
    if totals is None:
        totals = found[window] = [gauges[at].whole(rule.organization, window) for at in minutes]
    return all(map(glance, totals))


def _transition(rule: Ruled, one: judging.Judged, at: datetime) -> Iterator[Transition]:
    before = one.before.state if one.before else ""
    after = one.after.state if one.after else "forgotten"
    if before != after and (before or after != "ok"):
        because = one.after.because if one.after else "no_data"
        yield Transition(
            rule_id=rule.id, version=rule.version, group_values=one.group, at=at, before=before, after=after,
            because=because, value=one.reading.value, samples=one.reading.samples,
        )  # fmt: skip
