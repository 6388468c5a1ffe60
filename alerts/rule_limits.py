"""What rules ask of measures that charts show too, and how the worst of their groups stands. Nothing here writes."""

from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
from django.db import connection

from alerts.definitions import Definition, decoded
from organizations.scope import Scope

MOST = 200  # rules of an organization that are looked at
WORST = ["critical", "warning", "no_data", "pending", "ok"]  # of all groups the first of these is told
# A rule that cannot be judged holds nobody to anything.
_ON = """
SELECT rule.name, rule.definition::text, (
    SELECT (%(worst)s::text[])[min(array_position(%(worst)s::text[], standing.state))] FROM alerts_standing AS standing
    WHERE standing.rule_id = rule.id AND standing.organization_id = rule.organization_id)
FROM alerts_rule AS rule
WHERE rule.organization_id = %(organization)s AND rule.state = 'on' AND rule.error = ''
    AND rule.definition ->> 'measure' = ANY(%(measures)s) ORDER BY rule.name, rule.id LIMIT %(most)s
"""


class Limited(NamedTuple):
    """A rule that is on; `state` is "" before it was judged, and where no group has any data."""

    name: str
    definition: Definition
    state: str


def read(scope: Scope, organization: str, measures: Collection[str]) -> list[Limited]:
    """The rules about any of these measures, by name; without those that nobody can read."""
    about: dict[str, Any] = {"organization": organization, "measures": sorted(measures), "worst": WORST, "most": MOST}
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(_ON, about)
        rows = cursor.fetchall()
    found = []
    for name, text, state in rows:
        try:
            found.append(Limited(name, decoded(text), state or ""))
        except msgspec.MsgspecError:
            continue
    return found
