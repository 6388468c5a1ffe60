"""How groups stand, as a process remembers it: read again only where anybody else wrote."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

from alerts import standings
from alerts.measurements import Group
from alerts.rulebook import Ruled
from alerts.standings import Kept, Standings

Cursor = tuple[str, int]  # an organization, and for how many seconds its rules wait for late data


class Memory(Struct):
    """Of one cursor, at a revision and of so many rules; `resting` are the keys of those that can be told at a glance
    and were fine.
    """

    revision: int
    rules: int
    known: Standings
    resting: set[str]

    def update(self, kept: Mapping[tuple[UUID, Group], Kept | None], rules: Sequence[Ruled]) -> None:
        """With what was written of these rules."""
        for (rule, group), one in kept.items():
            if one is None:
                self.known.get(rule, {}).pop(group, None)
            else:
                self.known.setdefault(rule, {})[group] = one
        for each in rules:
            (self.resting.add if _rests(each, self.known) else self.resting.discard)(each.key)


_remembered: dict[Cursor, Memory] = {}


def recall(cursor: Cursor, rules: Sequence[Ruled], revision: int) -> Memory:
    found = _remembered.get(cursor)
    if found is not None and (found.revision, found.rules) == (revision, len(rules)):
        return found
    known = standings.read([rule.id for rule in rules])
    return Memory(revision, len(rules), known, {rule.key for rule in rules if _rests(rule, known)})


def keep(cursor: Cursor, memory: Memory) -> None:
    """As it is in the database once the transaction is committed; should that fail, it has to be dropped."""
    _remembered[cursor] = memory


def drop(cursor: Cursor) -> None:
    _remembered.pop(cursor, None)


def _rests(rule: Ruled, known: Mapping[Any, Any]) -> bool:
    kept = known.get(rule.id, {}).get(())
    return rule.glance is not None and kept is not None and kept.standing.resting
