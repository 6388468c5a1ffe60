"""Rules for tests of how they are judged: made by the verb that pages use, over inferences and samples of a noon.

Minutes are counted from that noon, and named by where they end, as rules know them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from alerts import evaluation, memory, rulebook, standings
from alerts.definitions import Definition
from alerts.evaluations import Run
from alerts.measurements import Group
from alerts.models import Alert, AlertRule
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Condition, Standing
from bedrock.identifiers import milliseconds
from monitoring.store import current_store
from monitoring.store.base import Inference
from monitoring.store.samples import Increment, Sample
from organizations.scope import Scope
from tests.channels import EVERYONE, OWN
from tests.memory_store import inference

# Single samples are kept of it, and minutes.
NOON = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=12)
LATE = 30  # seconds for which a rule waits unless it says otherwise
SOON = timedelta(seconds=7)  # after which a minute that is due is looked at
NAMELESS = UUID(int=7)


def at(minute: float) -> datetime:
    return NOON + minute * MINUTE


def within(minute: int) -> datetime:
    """A moment of the minute that ends there."""
    return at(minute) - timedelta(seconds=20)


def forget() -> None:
    """As after a restart."""
    memory._remembered.clear()
    rulebook._known.clear()


def about(measure: str = "inferences", aggregation: str = "count", **changes: Any) -> Definition:
    """Of a minute, and beyond 5 a warning, unless told otherwise; what a condition has is given by its names."""
    asked = {name: changes.pop(name) for name in Condition.__struct_fields__ if name in changes}
    condition = Condition(**{"warning": 5.0} | asked)
    plain: dict[str, Any] = {"measure": measure, "aggregation": aggregation, "window": 1, "condition": condition}
    return Definition(**plain | changes)


def unsaved(one: Definition | None = None, organization: str = OWN) -> Ruled:
    return rulebook.ruled(one or about(), id=NAMELESS, organization=organization, key="calls", name="Calls")


def make(one: Definition | None = None, *, organization: str = OWN, name: str = "calls", minute: float = 1.6,
         **more: Any) -> UUID:  # fmt: skip
    """A rule whose first minute is the first, unless it is made later."""
    with Scope.of(organization).enter():
        return rulebook.create(organization=organization, name=name, definition=one or about(), now=at(minute),
                               by="tests", **more)  # fmt: skip


def the(rule: UUID) -> AlertRule:
    with EVERYONE.enter():
        return AlertRule.objects.get(pk=rule)


def change(rule: UUID, one: Definition, *, minute: float, name: str = "calls") -> None:
    found = the(rule)
    with Scope.of(found.organization_id).enter():
        rulebook.change(rule=found, name=name, definition=one, now=at(minute), by="tests")


def switch(rule: UUID, state: str, *, minute: float) -> None:
    found = the(rule)
    with Scope.of(found.organization_id).enter():
        rulebook.switch(rule=found, state=state, now=at(minute), by="tests")


def ruin(rule: UUID, definition: str = '{"measure": 7}') -> None:
    """A definition that nobody can read, as another version may have left it."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute("UPDATE alerts_rule SET definition = %s, version = version + 1 WHERE id = %s",
                       [definition, rule])  # fmt: skip


def one_call(minute: int, **changes: Any) -> Inference:
    return inference(within(minute), **changes)


def store(calls: Sequence[Inference] = (), samples: Sequence[Sample | Increment] = ()) -> None:
    """Both as they come in; an hour after what they tell of at most."""
    if calls:
        newest = max(one.occurred_ms for one in calls) / 1000
        current_store().append(EVERYONE, calls, now=datetime.fromtimestamp(newest, UTC))
    if samples:
        given = [one for one in samples if isinstance(one, Sample)]
        grown = [one for one in samples if isinstance(one, Increment)]
        current_store().observe(EVERYONE, given, grown, now=at(0))


def calls(minute: int, number: int, **changes: Any) -> None:
    store([one_call(minute, **changes)] * number)


def labelled(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def sample(minute: int, value: float, family: str = "cockpit_gpu_temperature_celsius", *, organization: str = OWN,
           source: str = "live", seconds: float = 0, **labels: str) -> Sample:  # fmt: skip
    return Sample(organization=organization, family=family, labels=labelled(**labels), source=source,
                  at_ms=milliseconds(within(minute) + timedelta(seconds=seconds)), value=value)  # fmt: skip


def grown(minute: int, amount: float, family: str = "cockpit_http_requests_total", *, organization: str = OWN,
          source: str = "live", **labels: str) -> Increment:  # fmt: skip
    return Increment(organization=organization, family=family, labels=labelled(**labels), source=source,
                     at_ms=milliseconds(within(minute)), amount=amount)  # fmt: skip


def judge(minute: float, late: int = LATE) -> Run:
    """As soon as that minute is due."""
    return evaluation.evaluate(at(minute) + timedelta(seconds=late) + SOON)


def judge_each(first: int, last: int) -> list[Run]:
    return [judge(minute) for minute in range(first, last + 1)]


def standing(rule: UUID, *group: str) -> Standing | None:
    with EVERYONE.enter():
        found = standings.read([rule]).get(rule, {}).get(group)
    return found.standing if found else None


def groups(rule: UUID) -> dict[Group, str]:
    with EVERYONE.enter():
        return {group: one.standing.state for group, one in standings.read([rule]).get(rule, {}).items()}


def transitions(rule: UUID) -> list[tuple[int, Group, str, str]]:
    """The minute of each, its group, and from where to where."""
    return [(one[0], *one[1:4]) for one in told_transitions(rule)]


def told_transitions(rule: UUID) -> list[tuple[Any, ...]]:
    """With why, the value and the samples behind."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT at, group_values, before, after, because, value, samples FROM alerts_transition "
            "WHERE rule_id = %s ORDER BY at, group_values, id",
            [rule],
        )
        rows = cursor.fetchall()
    return [(round((moment - NOON) / MINUTE), tuple(group), *rest) for moment, group, *rest in rows]


def alerts(**wanted: Any) -> list[Alert]:
    with EVERYONE.enter():
        return list(Alert.objects.filter(**wanted).order_by("first_seen_at", "model_name", "id"))


def stand(**wanted: Any) -> list[tuple[str, str]]:
    """Severity and status of every alert, in the order in which they began."""
    return [(one.severity, one.status) for one in alerts(**wanted)]
