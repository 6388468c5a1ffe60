"""What follows from judging: alerts fired, told of once more and resolved, in the transaction of how groups stand."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from alerts import lifecycle, saying
from alerts.measurements import Group
from alerts.models import Alert
from alerts.rulebook import Ruled
from alerts.rules import Reading
from alerts.standings import Kept
from alerts.states import RANKS, Report
from organizations.scope import Scope


class Change(NamedTuple):
    """A group whose rule has something to say: how it stood before all of the minutes, how it stands, its value."""

    rule: Ruled
    group: Group
    before: Kept | None
    after: Kept | None
    reading: Reading


def act(organization: str, changes: Sequence[Change], now: datetime) -> dict[tuple[UUID, Group], Kept | None]:
    """Fire, remind and resolve what the changes ask for; how the groups stand then, each with its alert."""
    scope = Scope.of(organization)
    telling = _not_put_off([one for one in changes if one.after is not None and _tells(one)])
    over = [one for one in changes if one.before and one.before.alert and not (one.after and one.after.standing.firing)]
    kept: dict[tuple[UUID, Group], Kept | None] = {(one.rule.id, one.group): one.after for one in changes}
    if telling:
        reports = [_report(one) for one in telling]
        fired = lifecycle.fire(scope=scope, organization=organization, reports=reports, now=now, via="rule")
        again = []
        for one, outcome in zip(telling, fired):
            assert one.after is not None
            kept[one.rule.id, one.group] = Kept(one.after.standing, outcome.state.id)
            if not outcome.created and _asks_again(one):
                again.append(outcome.state.id)
        if again:
            lifecycle.remind(scope=scope, ids=again, now=now, via="rule")
    if notes := _endings(over):
        lifecycle.resolve(scope=scope, ids=list(notes), now=now, via="rule", notes=notes)
    for one in over:
        if one.after is not None:
            kept[one.rule.id, one.group] = Kept(one.after.standing)
    return kept


def _tells(one: Change) -> bool:
    """Whether people are to hear of it: it fires, and began, grew worse or better, or is to be told once more."""
    assert one.after is not None
    standing = one.after.standing
    if not standing.firing:
        return False
    before = one.before.standing if one.before else None
    return before is None or not before.firing or before.level != standing.level or before.told != standing.told


def _not_put_off(telling: Sequence[Change]) -> list[Change]:
    """All but those that only grew better, and whose alert somebody resolved: that is no news."""
    better = {one.before.alert for one in telling if one.before and one.before.alert and not _told_anew(one)}
    if not better:
        return list(telling)
    over = set(Alert.objects.filter(pk__in=better, status="resolved").values_list("pk", flat=True))
    return [one for one in telling if _told_anew(one) or not (one.before and one.before.alert in over)]


def _told_anew(one: Change) -> bool:
    assert one.after is not None
    return one.before is None or one.before.standing.told != one.after.standing.told


def _asks_again(one: Change) -> bool:
    """Whether people are to be told of an alert that is open: nothing about it says so, as a worse severity does."""
    assert one.after is not None
    if one.before is None or not one.before.standing.firing or not _told_anew(one):
        return False
    return RANKS[saying.severity(one.after.standing)] >= RANKS[saying.severity(one.before.standing)]


def _report(one: Change) -> Report:
    assert one.after is not None
    return saying.report_of(one.rule, one.group, one.after.standing, one.reading)


def _endings(over: Sequence[Change]) -> dict[UUID, str]:
    """The alerts that are over, and what is noted of each."""
    return {one.before.alert: _ending(one) for one in over if one.before and one.before.alert}


def _ending(one: Change) -> str:
    if one.reading.value is None:
        return "There are no data." if one.after else "It has been silent for long."
    if one.after and one.after.standing.because == "few":
        return "There are too few samples to judge."
    return f"It is {saying.quantity(one.reading.value, one.rule.definition.unit)}."
