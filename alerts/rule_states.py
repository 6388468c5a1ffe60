"""How rules stand, for the admin's pages: each in a word, its last values, and when it is judged next."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import connection
from msgspec import Struct

from alerts import gauging, judging, rule_charts, rulebook, standings
from alerts.definitions import Definition
from alerts.evaluation import EVERY
from alerts.gauging import Gauges
from alerts.lists import length
from alerts.measurements import Group
from alerts.models import AlertRule
from alerts.rule_charts import Spark
from alerts.rulebook import Ruled, Unsound
from alerts.rules import MINUTE, Reading
from bedrock.slots import slot_of
from organizations.lists import Tone
from organizations.scope import Scope

log = structlog.get_logger(__name__)

# From the worst to what is well; of a rule with several groups the worst one counts.
STATE_TONES: Mapping[str, Tone] = {
    "error": "bad", "critical": "bad", "warning": "warn", "no_data": "warn", "pending": "plain", "ok": "good",
    "paused": "plain", "retired": "plain",
}  # fmt: skip
GROUP_STATES = ("critical", "warning", "no_data", "pending")
FIRING = ("critical", "warning", "no_data")
_STANDINGS = """
SELECT rule_id, state, count(*) FROM alerts_standing WHERE rule_id = ANY(%s) GROUP BY rule_id, state
"""
_POINTS, _APART = 7, 10  # of a sparkline, minutes between two
_LONGEST_DRAWN = 120  # minutes: the value of a longer window hardly moves in an hour, and takes long to read
_USUAL_OFFSET = 30  # seconds
_MOST_KNOWN = 2_000  # values that are remembered until their minute is over


class Measured(NamedTuple):
    """The worst of a rule's last values, whose it is, and those of the last hour."""

    value: float | None = None
    group: Group = ()
    points: Sequence[float | None] = ()


class Next(Struct, frozen=True):
    """When a rule is judged next, in words; `late` where it should have been long ago."""

    until: str
    words: str
    late: bool = False


class Stood(Struct, frozen=True, kw_only=True):
    """All that the list tells of a rule besides its own row; `definition` is None where it cannot be read."""

    state: str
    groups: int
    firing: int
    definition: Definition | None
    measured: Measured
    next: Next | None
    spark: Spark | None


def stand(rules: Sequence[AlertRule], now: datetime) -> dict[UUID, Stood]:
    """How each of these stands, in a handful of queries for all of them."""
    counts = _counts([one.pk for one in rules])
    judged = standings.judged()
    ruled = {one.pk: read(one) for one in rules}
    live = [one for rule in rules if rule.state == "on" and (one := ruled[rule.pk]) is not None]
    untils = [judged[key] for one in live if (key := (one.organization, one.definition.offset)) in judged]
    values = measure(live, max(untils, default=gauging.minute_of(now, _USUAL_OFFSET)))
    return {
        rule.pk: _stood(rule, ruled[rule.pk], counts.get(rule.pk, {}), values.get(rule.pk, Measured()), judged, now)
        for rule in rules
    }


def _stood(
    rule: AlertRule, ruled: Ruled | None, own: Mapping[str, int], measured: Measured,
    judged: Mapping[tuple[str, int], datetime], now: datetime,
) -> Stood:  # fmt: skip
    one = ruled.definition if ruled else None
    following = None
    if one is not None and rule.state == "on":
        following = _next(judged.get((rule.organization_id, one.offset)), one.offset, now)
    return Stood(
        state=state_of(rule, own), groups=sum(own.values()), firing=sum(own.get(state, 0) for state in FIRING),
        definition=one, measured=measured, next=following,
        spark=_spark(ruled, measured) if ruled else None,
    )  # fmt: skip


def state_of(rule: AlertRule, counts: Mapping[str, int]) -> str:
    """The worst of its groups, unless it is not judged or cannot be."""
    if rule.state != "on":
        return rule.state
    return "error" if rule.error else next((state for state in GROUP_STATES if counts.get(state)), "ok")


def _counts(rules: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """Of each rule's groups, how many stand how."""
    found: dict[UUID, dict[str, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS, [list(rules)])
        for rule, state, number in cursor.fetchall():
            found.setdefault(rule, {})[state] = number
    return found


def read(rule: AlertRule) -> Ruled | None:
    """None for one that cannot be judged."""
    definition = rulebook.definition_of(rule)
    if definition is None:
        return None
    try:
        return rulebook.ruled(definition, id=rule.pk, organization=rule.organization_id, key=rule.key, name=rule.name,
                              version=rule.version)  # fmt: skip
    except Unsound:
        return None


_known: dict[tuple[UUID, int, datetime], Measured] = {}


def measure(rules: Sequence[Ruled], newest: datetime) -> dict[UUID, Measured]:
    """Their values at the end of that minute and over the hour before, worked out anew once a minute.

    Nothing of what cannot be read, which is asked for again a minute later.
    """
    found = {one.id: known for one in rules if (known := _known.get((one.id, one.version, newest))) is not None}
    asked = [one for one in rules if one.id not in found]
    if not asked:
        return found
    try:
        fresh = _measure(asked, newest)
    except gauging.REFUSED as error:
        log.warning("rules are listed without values", reason=type(error).__name__)
        fresh = {one.id: Measured() for one in asked}
    if len(_known) + len(fresh) > _MOST_KNOWN:
        _known.clear()
    _known.update({(one.id, one.version, newest): fresh[one.id] for one in asked})
    return {**found, **fresh}


def _measure(rules: Sequence[Ruled], newest: datetime) -> dict[UUID, Measured]:
    earlier = [newest - number * _APART * MINUTE for number in range(_POINTS - 1, 0, -1)]
    brief = [one for one in rules if is_drawn(one.definition)]
    now, before = _gauges(rules, [newest])[newest], list(_before(brief, earlier).values())
    return {one.id: _measured(one, now, before if is_drawn(one.definition) else []) for one in rules}


def _before(rules: Sequence[Ruled], minutes: Sequence[datetime]) -> dict[datetime, Gauges]:
    """Without them there are no lines, and values all the same."""
    try:
        return _gauges(rules, minutes) if rules else {}
    except gauging.REFUSED as error:
        log.warning("rules are listed without lines", reason=type(error).__name__)
        return {}


def is_drawn(one: Definition) -> bool:
    """Whether its values have a sparkline."""
    return one.window <= _LONGEST_DRAWN


def _gauges(rules: Sequence[Ruled], minutes: Sequence[datetime]) -> dict[datetime, Gauges]:
    """All at once; where that is refused window by window, so that a slow one costs its own rules alone."""
    scope, wanted = Scope.of(*{one.organization for one in rules}), judging.wanted(rules)
    try:
        return gauging.read(scope, wanted, minutes)
    except gauging.REFUSED as error:
        log.warning("the windows of rules are read one by one", reason=type(error).__name__)
        return gauging.read_apart(scope, wanted, minutes)


def _measured(rule: Ruled, now: Gauges, before: Sequence[Gauges]) -> Measured:
    group, value = _worst(rule, now)
    return Measured(value, group, [*(_worst(rule, one)[1] for one in before), value])


def _worst(rule: Ruled, gauges: Gauges) -> tuple[Group, float | None]:
    """Nothing of a rule that cannot be read: the others are listed all the same."""
    try:
        return worst(rule, judging.read(rule, gauges))
    except Exception as error:  # whatever it is made of
        log.warning("a rule is listed without values", rule=str(rule.id), reason=type(error).__name__)
        return (), None


def readings(rule: Ruled, minute: datetime) -> Mapping[Group, Reading]:
    """Of all of its groups at the end of that minute; of none where they cannot be read."""
    try:
        gauges = gauging.read(Scope.of(rule.organization), judging.wanted([rule]), [minute])
        return judging.read(rule, gauges[minute])
    except Exception as error:  # whatever it is made of
        log.warning("a rule is shown without values", rule=str(rule.id), reason=type(error).__name__)
        return {}


def worst(rule: Ruled, readings: Mapping[Group, Reading]) -> tuple[Group, float | None]:
    """The group whose value is nearest to a threshold, or furthest beyond it, and that value.

    Of those of enough samples, where there are any.
    """
    least = rule.condition.least
    enough = {group: one for group, one in readings.items() if one.samples >= least and one.value is not None}
    known = {group: one.value for group, one in (enough or readings).items() if one.value is not None}
    if not known:
        return (), None
    value = rule_charts.worst_of(rule.condition)(known.values())
    return min(group for group, each in known.items() if each == value), value


def _spark(rule: Ruled, measured: Measured) -> Spark | None:
    """None where there is no more than one value to draw, or what there is cannot be drawn."""
    if sum(point is not None for point in measured.points) < 2:
        return None
    asked = rule.condition
    threshold = asked.warning if asked.warning is not None else asked.critical
    try:
        return rule_charts.spark(measured.points, threshold, rule.definition.unit)
    except ArithmeticError as error:
        log.warning("a rule is listed without its line", rule=str(rule.id), reason=type(error).__name__)
        return None


def _next(until: datetime | None, late: int, now: datetime) -> Next:
    """The next minute is judged at the first look after it is over and late data were waited for."""
    if until is None:
        return Next("", "not judged yet")
    due = until + MINUTE + timedelta(seconds=late)
    if now - due > 2 * EVERY:
        return Next(f"{until:%H:%M}", f"{length(now - due)} late", late=True)
    look = slot_of(max(due, now), EVERY)
    look = look if look >= max(due, now) else look + EVERY
    return Next(f"{until:%H:%M}", f"in {math.ceil((look - now).total_seconds())} s")
