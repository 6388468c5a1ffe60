"""The rules of the pack, given to every organization once: what people made of theirs since is never touched."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction

from alerts import rule_names, rulebook
from alerts.models import AlertRule
from alerts.pack import BY_KEY, PACK, Packed
from organizations.scope import Scope

log = structlog.get_logger(__name__)

BY = "the pack"
_SCOPE = Scope.system("seed rules")
_REFUSED = (DatabaseError, InterfaceError)
# A rule that was paused, changed or retired is still there: none of it is missing.
_MISSING = """
SELECT organization.slug, array_agg(packed.key ORDER BY packed.place)
FROM organizations_organization AS organization
JOIN unnest(%s::text[], %s::text[], %s::int[]) AS packed (key, whom, place)
    ON packed.whom IN ('all', CASE organization.slug WHEN 'shared' THEN 'shared' ELSE 'each' END)
WHERE NOT EXISTS (
    SELECT FROM alerts_rule AS rule WHERE rule.organization_id = organization.slug AND rule.key = packed.key
)
GROUP BY organization.slug ORDER BY organization.slug
"""
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))"


def seed(now: datetime) -> int:
    """Make what any organization lacks of the pack; how many rules. Can be done by any number at once.

    A rule that cannot be made is tried again the next time, and keeps no other from it; so does an organization.
    """
    made = 0
    for organization, keys in _missing():
        try:
            with Scope.of(organization).enter():
                made += sum(_make(organization, one, now) for one in _still_missing(organization, keys))
        except _REFUSED as error:
            log.warning("rules were not seeded", organization=organization, reason=type(error).__name__)
    return made


def _missing() -> Sequence[tuple[str, list[str]]]:
    columns: list[list[Any]] = [list(column) for column in zip(*((one.key, one.whom) for one in PACK))]
    with _SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_MISSING, [*columns, list(range(len(PACK)))])
        found: Sequence[tuple[str, list[str]]] = cursor.fetchall()
    return found


def _still_missing(organization: str, keys: Sequence[str]) -> Iterator[Packed]:
    """Those that nobody has made meanwhile, and nobody can before this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_TURN, [f"pack:{organization}"])
    there = AlertRule.objects.filter(organization=organization, key__in=keys)
    made = set(there.values_list("key", flat=True))
    return (BY_KEY[key] for key in keys if key not in made)


def _make(organization: str, one: Packed, now: datetime) -> bool:
    """A name that people have given to a rule of their own stays theirs."""
    name = rule_names.free_name(organization, one.name, "pack")
    try:
        with transaction.atomic():
            rulebook.create(organization=organization, name=name, definition=one.definition, now=now, by=BY,
                            key=one.key, seeded=True)  # fmt: skip
    except (*_REFUSED, rulebook.Unsound) as error:
        log.warning("a rule was not seeded", organization=organization, rule=one.key, reason=type(error).__name__)
        return False
    return True
