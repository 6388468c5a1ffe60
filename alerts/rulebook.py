"""The rules of an organization: the only writers of theirs, and all that are on, ready to be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection, transaction

from alerts import lifecycle, measurements, rule_names, soundness
from alerts.definitions import Definition, decoded
from alerts.measurements import Filters, Glance, Read, Window
from alerts.models import AlertRule
from alerts.rules import Condition
from bedrock import identifiers
from monitoring import pubsub
from organizations import audit
from organizations.scope import Scope

NOBODY = 0  # as an owner
_SCOPE = Scope.system("judge rules")
# What an open alert of a rule is known by, and what its value is: where that changes it begins anew.
_SUBJECT = ("measure", "aggregation", "per", "change", "window", "offset", "filters", "by", "alert_type", "labels")
_ON = "SELECT id, organization_id, key, name, version, definition::text FROM alerts_rule WHERE state = 'on' ORDER BY id"
_TOKENS = """
SELECT organization_id, count(*), sum(version), max(changed_at) FROM alerts_rule WHERE state = 'on'
GROUP BY organization_id ORDER BY organization_id
"""
_KEEP_VERSION = """
INSERT INTO alerts_rule_version (organization_id, rule_id, version, at, by, state, definition)
SELECT organization_id, id, version, changed_at, changed_by, state, definition FROM alerts_rule
WHERE id = %s AND organization_id = %s
"""
# Rules that wait equally long are judged together, so that one more goes on where the others are. Where there is none,
# the newest minute is the first, and what went by meanwhile is left out. A clock that is ahead holds nothing up.
_BEGIN = """
INSERT INTO alerts_judged AS judged (organization_id, late, until) VALUES (%(organization)s, %(late)s,
    date_trunc('minute', least(%(now)s, clock_timestamp()) - make_interval(secs => %(late)s)) - interval '1 minute')
ON CONFLICT (organization_id, late) DO UPDATE SET until = greatest(judged.until, excluded.until) WHERE NOT EXISTS (
    SELECT FROM alerts_rule WHERE organization_id = %(organization)s AND state = 'on' AND id <> %(rule)s
    AND definition ->> 'offset' = %(late)s::text)
"""


class Unsound(ValueError):
    """A rule that cannot be: what is wrong, by field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {words}" for name, words in problems.items()))
        self.problems = dict(problems)


class Ruled(NamedTuple):
    """A rule that is on, with all that judging it takes worked out once."""

    id: UUID
    organization: str
    key: str
    name: str
    version: int
    definition: Definition
    condition: Condition
    windows: tuple[Window, ...]
    fields: frozenset[str]  # of the summaries of its windows
    filters: Filters
    by: tuple[str, ...]
    read: Read
    glance: Glance | None


Tokens = tuple[tuple[Any, ...], ...]  # an organization, and what is another with each change of its rules


@dataclass(frozen=True, eq=False)  # so that what follows from one can be remembered by it
class Book:
    """All rules that are on, and what is wrong with those that cannot be judged."""

    rules: Sequence[Ruled]
    broken: Mapping[tuple[str, UUID], str]
    tokens: Tokens


_known: dict[Tokens, Book] = {}  # one of them


def enabled() -> Book:
    """Read again only when any of them was changed; those that were not are the very same."""
    with _SCOPE.enter(), connection.cursor() as cursor:
        tokens = _tokens(cursor)
        if (found := _known.get(tokens)) is not None:
            return found
        cursor.execute(_ON)
        rows = cursor.fetchall()
    same = {(rule.id, rule.version): rule for book in list(_known.values()) for rule in book.rules}
    rules: list[Ruled] = []
    broken: dict[tuple[str, UUID], str] = {}
    for row in rows:
        try:
            rules.append(same.get((row[0], row[4])) or _ruled(row))
        except Exception as error:
            broken[row[1], row[0]] = f"It cannot be read: {str(error) or type(error).__name__}."[:300]
    book = Book(rules, broken, tokens)
    _known.clear()
    _known[tokens] = book
    return book


def is_still_so(book: Book, organization: str) -> bool:
    """Whether none of the organization's rules was changed or switched since the book was read."""
    with connection.cursor() as cursor:
        return _tokens(cursor) == tuple(token for token in book.tokens if token[0] == organization)


def _tokens(cursor: Any) -> Tokens:
    """Of each organization of the scope."""
    cursor.execute(_TOKENS)
    return tuple(cursor.fetchall())


def _ruled(row: Sequence[Any]) -> Ruled:
    identifier, organization, key, name, version, text = row
    return ruled(decoded(text), id=identifier, organization=organization, key=key, name=name, version=version)


def ruled(
    one: Definition, *, id: UUID, organization: str, key: str = "", name: str = "", version: int = 1
) -> Ruled:  # fmt: skip
    """
    Raises:
        Unsound: for a definition that cannot be judged.
    """
    if wrong := soundness.problems(one):
        raise Unsound(wrong)
    return Ruled(id, organization, key, name, version, one, one.condition, measurements.windows(one),
                 measurements.fields(one), measurements.filters(one), one.by, measurements.reader(one),
                 measurements.glance(one))  # fmt: skip


def create(
    *, organization: str, name: str, definition: Definition, now: datetime, by: str, owner: int | None = None,
    key: str = "", seeded: bool = False, state: str = "on",
) -> UUID:  # fmt: skip
    """A new rule, in the caller's scope; judged at once, and then minute by minute.

    Raises:
        Unsound: for a definition that cannot be judged, or a name that is taken or too long.
    """
    _demand(organization, name, definition, None)
    identifier = identifiers.uuid7(identifiers.milliseconds(now))
    key = key or rule_names.free_key(organization, name)
    AlertRule.objects.create(
        id=identifier, organization_id=organization, key=key, name=name, state=state, seeded=seeded, version=1,
        definition=msgspec.to_builtins(definition), owner_id=owner, error="", created_at=now, created_by=by,
        changed_at=now, changed_by=by,
    )  # fmt: skip
    if state == "on":
        _begin(identifier, organization, definition.offset, now)
    _keep_version(identifier, organization)
    _audit("created", organization, identifier, name, {})
    return identifier


def change(
    *, rule: AlertRule, name: str, definition: Definition, now: datetime, by: str, owner: int | None = None
) -> None:
    """Another version of it. Its alerts go on, unless it is about something else now.

    Args:
        owner: None for whoever it is already, `NOBODY` for none.

    Raises:
        Unsound: as for `create`; for a version that is not the newest any more.
    """
    _demand(rule.organization_id, name, definition, rule.pk)
    before = definition_of(rule)
    if begins_anew(before, definition):
        _start_over(rule, now, "The rule is about something else now.")
        if rule.state == "on":
            _begin(rule.pk, rule.organization_id, definition.offset, now)
    kept = rule.owner_id if owner is None else owner or None
    changes = _changes(rule, name, definition)
    _write(rule, now, by, name=name, definition=msgspec.to_builtins(definition), owner_id=kept, error="", error_at=None)
    _audit("changed", rule.organization_id, rule.pk, name, changes)


def begins_anew(before: Definition | None, after: Definition | None) -> bool:
    """Whether a version is about something else than the one before it, or nobody can tell."""
    if before is None or after is None:
        return True
    return any(getattr(before, part) != getattr(after, part) for part in _SUBJECT)


def switch(*, rule: AlertRule, state: str, now: datetime, by: str) -> None:
    """On, paused or retired. What is not on is not judged, and what it said is over."""
    if rule.state in (state, "retired"):
        return
    if state != "on":
        _start_over(rule, now, f"The rule was {state}.")
    elif (definition := definition_of(rule)) is not None:
        _begin(rule.pk, rule.organization_id, definition.offset, now)
    before = rule.state
    _write(rule, now, by, state=state, error="", error_at=None)
    _audit("switched", rule.organization_id, rule.pk, rule.name, {"state": [before, state]})


def definition_of(rule: AlertRule) -> Definition | None:
    """None for one that nobody can read; what is read need not be sound."""
    try:
        return msgspec.convert(rule.definition, Definition)
    except msgspec.MsgspecError:
        return None


def _write(rule: AlertRule, now: datetime, by: str, **fields: Any) -> None:
    rows = AlertRule.objects.filter(pk=rule.pk, organization=rule.organization_id, version=rule.version)
    if not rows.update(**fields, version=rule.version + 1, changed_at=now, changed_by=by):
        raise Unsound({"name": "must be looked at again: somebody else changed the rule meanwhile"})
    _keep_version(rule.pk, rule.organization_id)


def _keep_version(rule: UUID, organization: str) -> None:
    """Pages that show rules hear of it."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP_VERSION, [rule, organization])
    transaction.on_commit(lambda: pubsub.announce({organization}))


def _begin(rule: UUID, organization: str, late: Any, now: datetime) -> None:
    """Nothing is judged of the time before."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, {"rule": rule, "organization": organization, "late": late, "now": now})


def _start_over(rule: AlertRule, now: datetime, note: str) -> None:
    """Forget how its groups stand, and end their alerts."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE alerts_judged SET revision = revision + 1 WHERE organization_id = %s",
                       [rule.organization_id])  # fmt: skip
        cursor.execute("DELETE FROM alerts_standing WHERE rule_id = %s AND organization_id = %s RETURNING alert_id",
                       [rule.pk, rule.organization_id])  # fmt: skip
        alerts = [alert for (alert,) in cursor.fetchall() if alert]
    rows = AlertRule.objects.filter(pk=rule.pk, organization=rule.organization_id)  # whoever judges may have written
    alerts += filter(None, rows.select_for_update().values_list("error_alert_id", flat=True))
    rows.update(error_alert_id=None)
    if alerts:
        lifecycle.resolve(scope=Scope.of(rule.organization_id), ids=alerts, now=now, via="rule", note=note)


def _demand(organization: str, name: str, definition: Definition, but: UUID | None) -> None:
    wrong = soundness.problems(definition)
    if problem := rule_names.problem(organization, name, but):
        wrong = {"name": problem, **wrong}
    if wrong:
        raise Unsound(wrong)


def _changes(rule: AlertRule, name: str, definition: Definition) -> dict[str, Any]:
    before = rule.definition if isinstance(rule.definition, dict) else {}
    after = msgspec.to_builtins(definition)
    told = {part: [before.get(part), value] for part, value in after.items() if before.get(part) != value}
    return told if name == rule.name else {"name": [rule.name, name], **told}


def _audit(action: str, organization: str, rule: UUID, name: str, changes: Mapping[str, Any]) -> None:
    audit.record(organization=organization, action=action, object_type="rule", object_id=str(rule), object_text=name,
                 changes=dict(changes))  # fmt: skip
