"""A delivery as its sender is given it: the notice's alert and event, its channel, and whose it is to send."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.db import connection
from msgspec import Struct

from alerts.channels.base import Event
from alerts.ledger import COLUMNS, states
from alerts.states import State

log = structlog.get_logger(__name__)

_READ = f"""
SELECT mine.id, mine.organization_id, organization.name, organization.timezone, mine.key, mine.attempt, mine.event,
    mine.about, mine.unsure, mine.queued_at, mine.replayed_after, channel.id, channel.name, channel.kind,
    channel.source, channel.audience, channel.settings, channel.sealed, channel.failures,
    coalesce(channel.last_success_at, channel.created_at),
    (SELECT told.id FROM alerts_alert AS told WHERE told.id = channel.alert_id
        AND told.organization_id = channel.organization_id AND told.status <> 'resolved'),
    mine.reference, event.at, event.kind, event.actor, event.note,
    (SELECT first.reference FROM alerts_delivery AS first WHERE first.alert_id = mine.alert_id
        AND first.channel_id = mine.channel_id AND first.id < mine.id AND first.reference <> '{{}}'
        ORDER BY first.id DESC LIMIT 1),
    alert.id IS NOT NULL, {", ".join(f"alert.{name}" for name in COLUMNS.split(", "))}
FROM alerts_delivery AS mine JOIN alerts_channel AS channel
    ON channel.id = mine.channel_id AND channel.organization_id = mine.organization_id
JOIN organizations_organization AS organization ON organization.slug = mine.organization_id
LEFT JOIN alerts_event AS event ON event.id = mine.event_id AND event.organization_id = mine.organization_id
LEFT JOIN alerts_alert AS alert ON alert.id = mine.alert_id AND alert.organization_id = mine.organization_id
WHERE mine.id = ANY(%s) ORDER BY mine.next_at, mine.id
"""
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, KeyError)


class Happened(Struct, frozen=True):
    """The line of a timeline that a delivery tells of."""

    at: datetime
    kind: str
    by: str
    note: str


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery that is ours to send until its lease ends, with all that is needed for it."""

    id: int
    organization: str
    organization_name: str
    timezone: str
    key: UUID
    attempt: int
    event: Event
    about: Mapping[str, Any]
    unsure: bool
    queued_at: datetime
    replayed_after: int  # tries that are none of this round
    channel: UUID
    channel_name: str
    kind: str
    source: str
    audience: str
    settings: Mapping[str, str]
    sealed: str
    failures: int
    quiet_since: datetime  # when something got through its channel, or that was made
    channel_alert: UUID | None  # the open alert that says that this channel fails
    so_far: Mapping[str, Any] = {}  # what an earlier try of this very notice left
    happened: Happened | None
    reference: Mapping[str, Any]
    alert: State | None
    leased_at: float = math.inf  # by `time.monotonic()`, which goes on while a process stands still

    @property
    def tries(self) -> int:
        """With the present one, since it was made or sent again by hand."""
        return self.attempt - self.replayed_after


def sealed_for(organization: str, channel: UUID) -> str:
    """What a channel's secrets are bound to."""
    return f"channel {organization} {channel}"


def read(ids: Sequence[int]) -> list[Claimed]:
    """These deliveries with all that is needed to send them, in the caller's scope; without what cannot be read."""
    if not ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(ids)])
        rows = cursor.fetchall()
    found: list[Claimed] = []
    for row in rows:
        try:
            found.append(_claimed(row))
        except _UNREADABLE:
            log.exception("a delivery cannot be read", delivery=row[0])
    return found


_MADE = ("happened", "reference", "alert", "leased_at")  # of several columns, or of none
_PLAIN = tuple(name for name in Claimed.__struct_fields__ if name not in _MADE)
_JSON = ("about", "settings", "so_far")


def _claimed(row: Sequence[Any]) -> Claimed:
    fields = dict(zip(_PLAIN, row))
    at, kind, by, note, reference, there, *alert = row[len(_PLAIN) :]
    return Claimed(
        **{name: msgspec.json.decode(value) if name in _JSON else value for name, value in fields.items()},
        happened=None if at is None else Happened(at, kind, by, note),
        reference=msgspec.json.decode(reference) if reference else {},
        alert=states([alert])[0] if there else None,
    )
