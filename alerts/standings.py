"""How the groups of rules stand, and every change of that: their rows, read and written in one statement each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from msgspec import Struct

from alerts.measurements import Group
from alerts.rules import Standing

_FIELDS: Mapping[str, str] = {
    "state": "text", "because": "text", "since": "timestamptz", "level": "text", "warned": "timestamptz",
    "alarmed": "timestamptz", "cleared": "timestamptz", "calm": "timestamptz", "silent": "timestamptz",
    "told": "timestamptz",
}  # fmt: skip
_COLUMNS = ", ".join(_FIELDS)
# Whoever judges holds the row until it is done; a first one begins with the present minute.
_HOLD = """
INSERT INTO alerts_judged (organization_id, late, until) VALUES (%(organization)s, %(late)s, %(first)s)
ON CONFLICT DO NOTHING;
SELECT until, revision FROM alerts_judged WHERE organization_id = %(organization)s AND late = %(late)s
FOR UPDATE SKIP LOCKED
"""
_JUDGED = "SELECT organization_id, late, until FROM alerts_judged"
_ADVANCE = """
UPDATE alerts_judged SET until = %s, revision = revision + %s WHERE organization_id = %s AND late = %s
"""
_READ = f"SELECT rule_id, group_values, alert_id, {_COLUMNS} FROM alerts_standing WHERE rule_id = ANY(%s)"
_ROW = {"rule_id": "uuid", "group_values": "jsonb", "alert_id": "uuid", **_FIELDS}
_ROWS = f"jsonb_to_recordset(%s::jsonb) AS row({', '.join(f'{name} {kind}' for name, kind in _ROW.items())})"
_GROUP = "ARRAY(SELECT jsonb_array_elements_text(row.group_values))"
_WRITE = f"""
INSERT INTO alerts_standing (organization_id, rule_id, group_values, alert_id, {_COLUMNS})
SELECT %s, row.rule_id, {_GROUP}, row.alert_id, {", ".join(f"row.{name}" for name in _FIELDS)} FROM {_ROWS}
ON CONFLICT (rule_id, group_values, organization_id) DO UPDATE SET alert_id = excluded.alert_id,
    {", ".join(f"{name} = excluded.{name}" for name in _FIELDS)}
"""
_DROP = f"""
DELETE FROM alerts_standing USING {_ROWS}
WHERE alerts_standing.rule_id = row.rule_id AND alerts_standing.group_values = {_GROUP}
"""
_CHANGE = {
    "rule_id": "uuid", "version": "integer", "group_values": "jsonb", "at": "timestamptz", "before": "text",
    "after": "text", "because": "text", "value": "double precision", "samples": "bigint",
}  # fmt: skip
_NOTE = f"""
INSERT INTO alerts_transition (organization_id, {", ".join(_CHANGE)})
SELECT %s, {", ".join(_GROUP if name == "group_values" else f"row.{name}" for name in _CHANGE)}
FROM jsonb_to_recordset(%s::jsonb) AS row({", ".join(f"{name} {kind}" for name, kind in _CHANGE.items())})
"""


class Kept(NamedTuple):
    """How a group stands, and its open alert."""

    standing: Standing
    alert: UUID | None = None


Standings = dict[UUID, dict[Group, Kept]]


class Transition(Struct, frozen=True, kw_only=True):
    """A group of a rule changed its state with this minute; `before` is "" for one that is new."""

    rule_id: UUID
    version: int
    group_values: Group
    at: datetime
    before: str
    after: str
    because: str
    value: float | None
    samples: int


def judged() -> dict[tuple[str, int], datetime]:
    """Until which minute rules were judged: by organization, and seconds for which they wait for late data."""
    with connection.cursor() as cursor:
        cursor.execute(_JUDGED)
        return {(organization, late): until for organization, late, until in cursor.fetchall()}


def hold(organization: str, late: int, *, first: datetime) -> tuple[datetime, int] | None:
    """Keep everybody else from judging these until the transaction ends; until when they were, and the revision.

    None where somebody else keeps us from it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, {"organization": organization, "late": late, "first": first})
        cursor.nextset()
        row = cursor.fetchone()
    return row and (row[0], row[1])


def advance(organization: str, late: int, *, until: datetime, changed: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ADVANCE, [until, int(changed), organization, late])


def read(rules: Sequence[UUID]) -> Standings:
    found: Standings = {}
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(rules)])
        for rule, group, alert, *row in cursor.fetchall():
            standing = Standing(**dict(zip(_FIELDS, row)))
            found.setdefault(rule, {})[tuple(group)] = Kept(standing, alert)
    return found


def write(organization: str, kept: Mapping[tuple[UUID, Group], Kept | None], changes: Sequence[Transition]) -> None:
    """How groups stand by now, None for those that are forgotten; and what changed."""
    there = [_row(rule, group, one) for (rule, group), one in kept.items() if one is not None]
    gone = [{"rule_id": rule, "group_values": group} for (rule, group), one in kept.items() if one is None]
    with connection.cursor() as cursor:
        if there:
            cursor.execute(_WRITE, [organization, _json(there)])
        if gone:
            cursor.execute(_DROP, [_json(gone)])
        if changes:
            cursor.execute(_NOTE, [organization, _json(changes)])


def _row(rule: UUID, group: Group, one: Kept) -> dict[str, Any]:
    told = {name: getattr(one.standing, name) for name in _FIELDS}
    return {"rule_id": rule, "group_values": group, "alert_id": one.alert, **told}


def _json(rows: Sequence[Any]) -> str:
    return msgspec.json.encode(rows).decode()
