"""The one writer and locker of alerts: rows held in one order, and everything of a verb written in one statement.

That includes the deliveries: who is to be told is decided and stored in the transaction of what happened.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from msgspec import Struct

from alerts.routing import QUEUE
from alerts.states import State

# Every column that a State has, as its table calls it, with the type that JSON's text becomes.
_TYPES: Mapping[str, str] = {
    "id": "uuid", "organization_id": "text", "fingerprint": "text", "episode": "integer", "source": "text",
    "alert_type": "text", "severity": "text", "status": "text", "message": "text", "endpoint_id": "text",
    "model_name": "text", "metadata": "jsonb", "labels": "jsonb", "count": "integer", "reopened": "integer",
    "first_seen_at": "timestamptz", "last_seen_at": "timestamptz", "ends_at": "timestamptz",
    "first_acknowledged_at": "timestamptz", "acknowledged_at": "timestamptz", "acknowledged_by": "text",
    "acknowledged_until": "timestamptz", "acknowledge_note": "text", "resolved_at": "timestamptz",
    "resolved_by": "text", "resolve_note": "text", "owner_id": "bigint", "suppressed_by": "jsonb",
    "changed_at": "timestamptz",
}  # fmt: skip
_FIXED = ("id", "organization_id", "fingerprint", "episode", "source", "alert_type", "endpoint_id", "model_name",
          "labels", "first_seen_at")  # fmt: skip
_EVENT: Mapping[str, str] = {
    "organization_id": "text", "alert_id": "uuid", "at": "timestamptz", "kind": "text", "actor_kind": "text",
    "actor_id": "text", "actor": "text", "via": "text", "address": "inet", "request_id": "text", "before": "jsonb",
    "after": "jsonb", "note": "text", "tells": "text", "withheld": "text",
}  # fmt: skip
COLUMNS = ", ".join(_TYPES)


class Entry(Struct, frozen=True, kw_only=True):
    """One row of a timeline, as it is written."""

    organization_id: str
    alert_id: UUID
    at: datetime
    kind: str
    actor_kind: str
    actor_id: str
    actor: str
    via: str
    address: str | None
    request_id: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    note: str
    tells: str
    withheld: str


def _rows(types: Mapping[str, str]) -> str:
    """The rows of one JSON parameter."""
    return f"jsonb_to_recordset(%s::jsonb) AS row({', '.join(f'{name} {kind}' for name, kind in types.items())})"


_SET = ", ".join(f"{name} = row.{name}" for name in _TYPES if name not in _FIXED)
_TOLD = "id, organization_id, fingerprint, episode, source, severity, alert_type, model_name, labels, metadata"
# In one round trip. References are checked at the end of a statement, so an alert, its events and the deliveries that
# follow from them may come together. The ids of those that change are told twice: as a list they are found by their
# key, also in a table never analyzed.
_WRITE = f"""
WITH begun AS (SELECT {COLUMNS} FROM {_rows(_TYPES)}), moved AS (SELECT {COLUMNS} FROM {_rows(_TYPES)}),
fresh AS (INSERT INTO alerts_alert ({COLUMNS}) SELECT {COLUMNS} FROM begun),
changed AS (UPDATE alerts_alert AS alert SET {_SET} FROM moved AS row
    WHERE alert.id = row.id AND alert.organization_id = row.organization_id AND alert.id = ANY(%s::uuid[])),
written AS (INSERT INTO alerts_event ({", ".join(_EVENT)}) SELECT {", ".join(_EVENT)} FROM {_rows(_EVENT)}
    RETURNING id AS event_id, alert_id, kind, tells, withheld),
told AS (SELECT written.event_id, written.kind, written.tells, alert.* FROM written
    JOIN (SELECT {_TOLD} FROM begun UNION ALL SELECT {_TOLD} FROM moved) AS alert ON alert.id = written.alert_id
    WHERE written.tells <> '' AND written.withheld = ''),
{QUEUE}
"""
# 64 bits of the fingerprint, in which the organization is; taken in the order in which rows are, too.
_LOCK = (
    "SELECT pg_advisory_xact_lock(('x' || left(each, 16))::bit(64)::bigint) "
    "FROM (SELECT DISTINCT each FROM {} ORDER BY each) AS ordered"
)
_OPEN = (
    f"SELECT {COLUMNS} FROM alerts_alert WHERE organization_id = %s AND fingerprint = ANY(%s::text[]) "
    "AND status <> 'resolved' ORDER BY fingerprint FOR UPDATE"
)
_EPISODES = (
    "SELECT fingerprint, max(episode) FROM alerts_alert WHERE organization_id = %s AND fingerprint = ANY(%s::text[]) "
    "GROUP BY fingerprint"
)
# In the order in which every other verb takes them, so that no two wait for each other.
_HELD = (
    f"SELECT {COLUMNS} FROM alerts_alert WHERE id = ANY(%s::uuid[]) "
    "ORDER BY organization_id, fingerprint, episode FOR UPDATE"
)
# Of what is over: where an alert of the same fingerprint is open, or a newer one is to be opened again as well.
_CLASHING = """
SELECT mine.id FROM alerts_alert AS mine JOIN alerts_alert AS other
ON other.organization_id = mine.organization_id AND other.fingerprint = mine.fingerprint AND other.id <> mine.id
WHERE mine.id = ANY(%s::uuid[]) AND mine.status = 'resolved'
AND (other.status <> 'resolved' OR other.id = ANY(%s::uuid[]) AND other.episode > mine.episode)
"""


def hold_fingerprints(organization: str, fingerprints: Sequence[str]) -> tuple[dict[str, State], dict[str, int]]:
    """The open alerts of these fingerprints, and the newest episode of each that had any, open or not.

    Until the transaction ends nobody else begins, repeats or reopens an alert of them.
    """
    ordered = sorted(set(fingerprints))
    with connection.cursor() as cursor:
        # Each statement of the text sees what was committed before it began: the rows are read after the wait.
        parameters: list[Any] = [ordered, organization, ordered, organization, ordered]
        cursor.execute(f"{_LOCK.format('unnest(%s::text[]) AS each')}; {_OPEN}; {_EPISODES}", parameters)
        cursor.nextset()
        held = states(cursor.fetchall())
        cursor.nextset()
        episodes: dict[str, int] = dict(cursor.fetchall())
    return {state.fingerprint: state for state in held}, episodes


def hold(identifiers: Sequence[UUID]) -> dict[UUID, State]:
    """The alerts of these ids that the scope shows, in the order of their fingerprints, kept still until the end."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [list(identifiers)])
        return {state.id: state for state in states(cursor.fetchall())}


def hold_to_reopen(identifiers: Sequence[UUID]) -> set[UUID]:
    """Those of these ids that cannot be open again, since another alert of their fingerprint is, or was before them.

    Until the transaction ends nobody else begins or reopens an alert of their fingerprints.
    """
    mine = "(SELECT fingerprint AS each FROM alerts_alert WHERE id = ANY(%s::uuid[])) AS mine"
    with connection.cursor() as cursor:
        cursor.execute(f"{_LOCK.format(mine)}; {_CLASHING}", [list(identifiers)] * 3)
        cursor.nextset()
        return {identifier for (identifier,) in cursor.fetchall()}


def write(*, fresh: Sequence[State] = (), changed: Sequence[State] = (), entries: Sequence[Entry] = ()) -> None:
    """New alerts, changed ones, the lines of their timelines, and deliveries of these, in the caller's transaction."""
    if fresh or changed or entries:
        with connection.cursor() as cursor:
            new, old, told = (msgspec.json.encode(rows).decode() for rows in (fresh, changed, entries))
            cursor.execute(_WRITE, [new, old, [state.id for state in changed], told])


def states(rows: Sequence[Sequence[Any]]) -> list[State]:
    """Rows of `COLUMNS` as values."""
    return [msgspec.convert(dict(zip(_TYPES, map(_plain, _TYPES.values(), row))), State) for row in rows]


def _plain(kind: str, value: Any) -> Any:
    """A value as Python has it; JSON comes as its text."""
    return msgspec.json.decode(value) if kind == "jsonb" else value
