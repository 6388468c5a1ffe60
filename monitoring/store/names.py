"""Caps on distinct names: the first ones of an organization and day keep their name, the rest count as `__other__`."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.db import connection

from bedrock.identifiers import EPOCH
from monitoring.measures import OTHER
from monitoring.store.rows import Group, GroupKey

_KINDS = (("model", 2), ("provider", 3), ("endpoint", 4), ("error_type", 6))  # kind and its place in a GroupKey
_DAY_MS = 86_400_000

Name = tuple[str, date, str, str]  # organization, UTC day, kind, name


class SeenNames:
    """The names already let in, as far as this process has seen them; the table decides for all processes."""

    def __init__(self) -> None:
        self._known: set[Name] = set()

    def cap(self, cursor: Any, groups: dict[GroupKey, Group]) -> tuple[dict[GroupKey, Group], set[Name]]:
        """Groups with names beyond the cap merged under `__other__`, and the names to `remember` after the commit."""
        wanted = {name for key in groups for name in _names_of(key)}
        unknown = wanted - self._known
        if not unknown:
            return groups, set()
        allowed = self._let_in(cursor, unknown)
        refused = unknown - allowed
        return (_fold_refused(groups, refused) if refused else groups), allowed

    def remember(self, names: Iterable[Name]) -> None:
        """Called after the commit that let them in; bounded, because the table can always be asked again."""
        if len(self._known) > 200_000:
            self._known.clear()
        self._known |= set(names)

    def _let_in(self, cursor: Any, unknown: set[Name]) -> set[Name]:
        """Which of the unknown names have a place; the free places go to them, one organization after the other."""
        allowed: set[Name] = set()
        for organization in sorted({name[0] for name in unknown}):
            asked = {name for name in unknown if name[0] == organization}
            # Serialises newcomers of one organization, so that the cap is exact under concurrent writers.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [f"names:{organization}"])
            cursor.execute(
                "SELECT organization_id, day, kind, name FROM monitoring_seen_name "
                "WHERE organization_id = %s AND day = ANY(%s)",
                [organization, sorted({name[1] for name in asked})],
            )
            taken: set[Name] = set(cursor.fetchall())
            allowed |= asked & taken
            if newcomers := sorted(asked - taken):
                cursor.execute("SELECT max_names FROM organizations_organization WHERE slug = %s", [organization])
                allowed |= self._take_places(cursor, newcomers, taken, cursor.fetchone()[0])
        return allowed

    @staticmethod
    def _take_places(cursor: Any, newcomers: list[Name], taken: set[Name], limit: int) -> set[Name]:
        used = Counter((day, kind) for _, day, kind, _ in taken)
        let_in: list[Name] = []
        for name in newcomers:
            if used[name[1], name[2]] < limit:
                used[name[1], name[2]] += 1
                let_in.append(name)
        if let_in:
            organizations, days, kinds, names = (list(column) for column in zip(*let_in, strict=True))
            cursor.execute(
                "INSERT INTO monitoring_seen_name (organization_id, day, kind, name) "
                "SELECT * FROM unnest(%s::text[], %s::date[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
                [organizations, days, kinds, names],
            )
        return set(let_in)


def _names_of(key: GroupKey) -> list[Name]:
    day = (EPOCH + timedelta(days=key[1] // _DAY_MS)).date()
    return [(key[0], day, kind, str(key[place])) for kind, place in _KINDS if key[place]]


def _fold_refused(groups: dict[GroupKey, Group], refused: set[Name]) -> dict[GroupKey, Group]:
    capped: dict[GroupKey, Group] = {}
    for key, group in groups.items():
        names = {name[2] for name in _names_of(key) if name in refused}
        places: Any = list(key)
        for kind, place in _KINDS:
            if kind in names:
                places[place] = OTHER
        folded: GroupKey = tuple(places)
        if folded in capped:
            capped[folded].merge(group)
        else:
            capped[folded] = group
    return capped


def expire(day: date) -> None:
    """Forget the names of days before `day`; the caller has entered a system scope."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_seen_name WHERE day < %s", [day])
