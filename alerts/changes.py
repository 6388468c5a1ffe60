"""News of the cockpit itself: changed settings of organizations, of the process, and another version, as info alerts.

What was last seen is kept in `alerts_known`, and written in the transaction that raises the alerts: each change is told
exactly once, however often and by however many it is looked for. A first look tells nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from msgspec import Struct

from alerts import lifecycle
from alerts.states import Report
from bedrock import identifiers
from organizations.scope import Scope

SETTINGS_CHANGED, VERSION_CHANGED = "settings_changed", "version_changed"
ENDS_AFTER = timedelta(hours=24)
PLATFORM = "shared"
# Types of objects, as the audit trail calls them, whose changes are news. Alerts are none: they tell of themselves.
TOLD_TYPES = ("organization",)
# Rows get their ids before they are committed: one that comes later may have a lower id, but not for longer than this.
_SETTLED = timedelta(minutes=2)
_LONGEST_MESSAGE, _MOST_FIELDS = 2000, 30
_AUDITED, _OURSELVES = "audited", "ourselves"
_SCOPE = Scope.system("tell of changes")
_HOLD = """
INSERT INTO alerts_known (organization_id, name, value) VALUES (%s, %s, 'null') ON CONFLICT DO NOTHING;
SELECT value FROM alerts_known WHERE organization_id = %s AND name = %s FOR UPDATE
"""
# By organization and type first, of which there are few rows, however long the trail is.
_ROWS = """
WITH mine AS MATERIALIZED (
    SELECT id, at, organization_id, actor, actor_kind, action, object_type, object_id, object_text, changes
    FROM organizations_organization AS one CROSS JOIN LATERAL (
        SELECT * FROM organizations_auditevent WHERE organization_id = one.slug AND object_type = ANY(%s)) AS event)
SELECT id, at, organization_id, actor, actor_kind, object_type, object_id, object_text, changes
FROM mine WHERE id > %s AND action = 'changed' ORDER BY id
"""


class Ourselves(Struct, frozen=True, kw_only=True):
    """What the cockpit is and how it is set: values as text by their names; of secrets a mark each.

    A mark is "key:digest". Two of another key cannot be compared, and are not told to differ.
    """

    version: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str]


class _Read(Struct, frozen=True):
    """How far the audit trail was read: everything up to `until`, and these rows above it."""

    until: int
    above: tuple[int, ...] = ()


class _Row(Struct, frozen=True):
    """One row of the audit trail."""

    id: int
    at: datetime
    organization: str
    actor: str
    actor_kind: str
    object_type: str
    object_id: str
    object_text: str
    changes: Mapping[str, Any]


def tell_of_audited(now: datetime) -> int:
    """An alert for each change that the audit trail has told of since the last look; how many."""
    with _SCOPE.enter():
        held = _hold(_AUDITED)
        read = _Read(0) if held is None else msgspec.convert(held, _Read)
        rows = _rows(read.until)
        news = [] if held is None else [row for row in rows if row.changes and row.id not in read.above]
        for row in news:
            lifecycle.fire(
                scope=Scope.of(row.organization), organization=row.organization, reports=[_of_row(row, now)],
                now=now, via="system",
            )  # fmt: skip
        if held is None or rows:
            _remember(_AUDITED, _read_on(read, rows, now))
    return len(news)


def tell_of_ourselves(found: Ourselves, now: datetime) -> int:
    """An alert in `shared` for another version, and one for other settings, than at the last look; how many."""
    with _SCOPE.enter():
        held = _hold(_OURSELVES)
        reports = [] if held is None else list(_of_ourselves(msgspec.convert(held, Ourselves), found, now))
        if reports:
            lifecycle.fire(scope=Scope.of(PLATFORM), organization=PLATFORM, reports=reports, now=now, via="system")
        _remember(_OURSELVES, found)
    return len(reports)


def _read_on(read: _Read, rows: Sequence[_Row], now: datetime) -> _Read:
    """Rows that have settled are left behind; the others are known by their ids."""
    settled = max((row.id for row in rows if row.at < now - _SETTLED), default=read.until)
    return _Read(settled, tuple(row.id for row in rows if row.id > settled))


def _of_row(row: _Row, now: datetime) -> Report:
    changes = dict(list(row.changes.items())[:_MOST_FIELDS])
    told = ", ".join(_change(name, change) for name, change in changes.items())
    message = f"{row.actor} changed {row.object_text or row.object_id}" + (f": {told}" if told else ".")
    metadata = {"changes": changes, "by": row.actor, "byKind": row.actor_kind, "object": row.object_id,
                "auditId": row.id}  # fmt: skip
    return _report(SETTINGS_CHANGED, message, metadata, now, object=row.object_type, change=str(row.id))


def _change(name: str, change: Any) -> str:
    """One field of an audit row: "raw_days: 30 → 7"; its name alone where it has no two sides."""
    if not isinstance(change, list) or len(change) != 2:
        return name
    before, after = ("nothing" if side in ("", None) else str(side) for side in change)
    return f"{name}: {before} → {after}"


def _of_ourselves(before: Ourselves, after: Ourselves, now: datetime) -> Iterator[Report]:
    if before.version != after.version:
        message = f"The cockpit runs version {after.version}; before it was {before.version}."
        metadata = {"before": before.version, "after": after.version}
        yield _report(VERSION_CHANGED, message, metadata, now, version=after.version)
    changes: dict[str, Any] = {
        name: [before.settings[name], value]
        for name, value in after.settings.items()
        if before.settings.get(name, value) != value
    }
    secrets = [name for name, mark in after.secrets.items() if _differ(before.secrets.get(name, ""), mark)]
    if changes or secrets:
        told = [*(_change(name, change) for name, change in changes.items()), *(f"{name} changed" for name in secrets)]
        seen = {"changes": {**changes, **{name: ["", "changed"] for name in secrets}}}
        message = f"Settings of the cockpit: {', '.join(told)}"
        yield _report(SETTINGS_CHANGED, message, seen, now, object="process", change=identifiers.text_of(now))


def _differ(before: str, after: str) -> bool:
    (key, _, _), (same, _, _) = before.partition(":"), after.partition(":")
    return key == same and before != after and bool(before)


def _report(alert_type: str, message: str, metadata: Mapping[str, Any], now: datetime, **labels: str) -> Report:
    """News; each change has labels of its own, so that no two are one alert."""
    return Report(
        alert_type=alert_type, severity="info", message=_short(message), metadata=metadata, labels=labels,
        ends_at=now + ENDS_AFTER,
    )  # fmt: skip


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…"


def _rows(until: int) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [list(TOLD_TYPES), until])
        return [_Row(*(*row, msgspec.json.decode(changes))) for *row, changes in cursor.fetchall()]


def _hold(name: str) -> Any:
    """What was last seen, held until the transaction ends; None before the first look."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, [PLATFORM, name] * 2)
        cursor.nextset()
        return msgspec.json.decode(cursor.fetchone()[0])


def _remember(name: str, value: _Read | Ourselves) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE alerts_known SET value = %s::jsonb WHERE organization_id = %s AND name = %s",
            [msgspec.json.encode(value).decode(), PLATFORM, name],
        )
