"""The values of this floor: what is reported, an alert as it stands, and what happened to it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

Severity = Literal["critical", "warning", "info"]
Status = Literal["firing", "acknowledged", "resolved"]
Kind = Literal["fired", "severity_changed", "acknowledged", "unacknowledged", "assigned", "commented", "shelved",
               "unshelved", "suppressed", "unsuppressed", "resolved", "reopened", "reminded"]  # fmt: skip
Reason = Literal["silenced", "inhibited", "maintenance", "shelved"]
Tells = Literal["", "trigger", "acknowledge", "resolve"]  # what receivers are told, if anything

RANKS: Mapping[str, int] = {"critical": 0, "warning": 1, "info": 2}


class Suppression(Struct, frozen=True, kw_only=True):
    """Why nobody is told of an open alert for now; `until` None is until it is lifted."""

    kind: Reason
    since: datetime
    until: datetime | None = None
    by: str = ""
    note: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """That something is wrong, as whoever saw it tells: the same fingerprint is the same alert."""

    alert_type: str
    severity: Severity
    message: str
    endpoint_id: str = ""
    model_name: str = ""
    metadata: Mapping[str, Any] = {}
    labels: Mapping[str, str] = {}
    ends_at: datetime | None = None  # when it resolves by itself: for news, which nobody has to mend
    source: Literal["live", "demo"] = "live"


class State(Struct, frozen=True, kw_only=True):
    """One row of the table of alerts; absent texts are empty."""

    id: UUID
    organization_id: str
    fingerprint: str
    episode: int
    source: str
    alert_type: str
    severity: Severity
    status: Status
    message: str
    endpoint_id: str
    model_name: str
    metadata: Mapping[str, Any]
    labels: Mapping[str, str]
    count: int = 1
    reopened: int = 0
    first_seen_at: datetime
    last_seen_at: datetime
    ends_at: datetime | None
    first_acknowledged_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    acknowledged_until: datetime | None = None
    acknowledge_note: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    resolve_note: str = ""
    owner_id: int | None = None
    suppressed_by: tuple[Suppression, ...] = ()
    changed_at: datetime


class Happening(Struct, frozen=True):
    """One line of an alert's timeline: the fields that changed, as they were and as they are."""

    kind: Kind
    before: Mapping[str, Any] = {}
    after: Mapping[str, Any] = {}
    note: str = ""
    tells: Tells = ""


class Step(Struct, frozen=True):
    """What a verb made of an alert; without happenings there was nothing to do (but a repeat counts on)."""

    state: State
    happenings: tuple[Happening, ...] = ()
