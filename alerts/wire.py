"""What the API of alerts answers: one type for each body, and how values become them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from alerts import states
from alerts.reading import Line, Summary
from alerts.serializers import MAX_ITEMS, NewAlert
from alerts.states import Kind, Reason, Severity, State, Status
from bedrock.identifiers import text_of
from bedrock.problem import Fault

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Count = Annotated[int, Meta(ge=0)]
Names = Mapping[int, str]  # user names by id
NewAlerts = Annotated[
    NewAlert | Annotated[list[NewAlert], Meta(min_length=1, max_length=MAX_ITEMS)], Meta(title="NewAlerts")
]
Next = Annotated[str | None, Meta(description="Send it as `cursor` for what comes next; null where nothing does.")]
COUNTED = ("total", "firing", "acknowledged", "critical", "warning", "info")  # in headers too
_TIMES = frozenset({"acknowledgedUntil", "resolvedAt", "until"})  # in what a timeline says of before and after


class AlertSuppression(Struct, rename="camel", frozen=True, kw_only=True):
    """Why nobody is told of an alert for now."""

    kind: Reason
    since: Time
    until: Annotated[Time | None, Meta(description="When it ends by itself.")]
    by: Annotated[str | None, Meta(description="Who did it.")]
    note: str | None


class Alert(Struct, rename="camel", frozen=True, kw_only=True):
    """Something wrong: open, that is firing or acknowledged, until it is resolved."""

    id: Id
    organization: Annotated[str, Meta(description="The slug of the organization whose it is.")]
    alert_type: str
    severity: Severity
    status: Status
    message: Annotated[str, Meta(description="In the words of the newest report.")]
    endpoint_id: str | None
    model_name: str | None
    metadata: Annotated[dict[str, Any], Meta(description="What the newest report has seen.")]
    labels: dict[str, str]
    fingerprint: Annotated[
        str, Meta(description="What makes reports the same alert: organization, type, endpoint, model and labels.")
    ]
    episode: Annotated[int, Meta(ge=1, description="Which alert of its fingerprint this is, from 1.")]
    count: Annotated[int, Meta(ge=1, description="How often it was reported.")]
    first_seen_at: Time
    last_seen_at: Time
    acknowledged_at: Time | None
    acknowledged_by: str | None
    acknowledged_until: Annotated[Time | None, Meta(description="When it fires again by itself.")]
    resolved_at: Time | None
    resolved_by: str | None
    owner: Annotated[str | None, Meta(description="The user name of who looks after it.")]
    source: Literal["live", "demo"]
    suppressed_by: Annotated[list[AlertSuppression], Meta(description="Why nobody is told of it for now.")]


class AlertPage(Struct, rename="camel", frozen=True):
    """Some of a list of alerts."""

    alerts: list[Alert]
    next_cursor: Next


class AlertEvent(Struct, rename="camel", frozen=True, kw_only=True):
    """One thing that happened to an alert."""

    at: Time
    kind: Kind
    actor: Annotated[str, Meta(description="Who did it.")]
    actor_kind: Literal["user", "key", "system"]
    via: Annotated[str, Meta(description="Where it came from: `api`, `page`, `admin`, `system`, `rule`.")]
    address: Annotated[str | None, Meta(description="From which address.")]
    before: Annotated[dict[str, Any], Meta(description="The fields that changed, as they were.")]
    after: Annotated[dict[str, Any], Meta(description="The same, as they were left.")]
    note: str | None
    tells: Annotated[
        Literal["trigger", "acknowledge", "resolve"] | None, Meta(description="What receivers are to be told.")
    ]
    withheld: Annotated[str | None, Meta(description="Why they are not told all the same.")]


class AlertTimeline(Struct, rename="camel", frozen=True):
    """What happened to an alert, the oldest first."""

    events: list[AlertEvent]
    next_cursor: Next


class AlertResult(Struct, rename="camel", frozen=True):
    """What became of one report of several."""

    index: Annotated[int, Meta(ge=0, description="Its place in what was sent, from 0.")]
    status: Annotated[
        Literal["created", "repeated", "rejected"], Meta(description="`repeated`: the alert was open already.")
    ]
    alert: Alert | UnsetType = UNSET
    errors: Annotated[list[Fault], Meta(description="Why it was rejected.")] | UnsetType = UNSET


class AlertResults(Struct, rename="camel", frozen=True):
    """How many alerts were raised, and what became of each report."""

    created: Count
    repeated: Count
    rejected: Count
    results: Annotated[list[AlertResult], Meta(description="In the order of what was sent.")]


class BulkResult(Struct, rename="camel", frozen=True):
    """What became of one alert of several."""

    id: Id
    status: Annotated[
        Literal["changed", "unchanged", "rejected"], Meta(description="`unchanged`: it stood like that already.")
    ]
    alert: Alert | UnsetType = UNSET
    errors: Annotated[list[Fault], Meta(description="Why it was rejected.")] | UnsetType = UNSET


class BulkResults(Struct, rename="camel", frozen=True):
    """How many alerts were changed, and what became of each."""

    changed: Count
    unchanged: Count
    rejected: Count
    results: Annotated[list[BulkResult], Meta(description="Each id once, in the order of what was sent.")]


class AlertSummary(Struct, rename="camel", frozen=True, kw_only=True):
    """How many alerts are open."""

    total: Count
    firing: Count
    acknowledged: Count
    critical: Count
    warning: Count
    info: Count
    suppressed: Annotated[Count, Meta(description="Those of which nobody is told for now.")]
    oldest_at: Annotated[Time | None, Meta(description="When the oldest of them began.")]
    oldest_seconds: Annotated[Count | None, Meta(description="How long ago that was.")]


def alert_of(state: State, names: Names) -> Alert:
    return Alert(
        id=str(state.id),
        organization=state.organization_id,
        alert_type=state.alert_type,
        severity=state.severity,
        status=state.status,
        message=state.message,
        endpoint_id=state.endpoint_id or None,
        model_name=state.model_name or None,
        metadata=dict(state.metadata),
        labels=dict(state.labels),
        fingerprint=state.fingerprint,
        episode=state.episode,
        count=state.count,
        first_seen_at=text_of(state.first_seen_at),
        last_seen_at=text_of(state.last_seen_at),
        acknowledged_at=_time(state.acknowledged_at),
        acknowledged_by=state.acknowledged_by or None,
        acknowledged_until=_time(state.acknowledged_until),
        resolved_at=_time(state.resolved_at),
        resolved_by=state.resolved_by or None,
        owner=names.get(state.owner_id) if state.owner_id is not None else None,
        source="demo" if state.source == "demo" else "live",
        suppressed_by=[_suppression(one) for one in state.suppressed_by],
    )


def event_of(line: Line, names: Names) -> AlertEvent:
    plain: dict[str, Any] = structs.asdict(line) | {
        "at": text_of(line.at),
        "before": _fields(line.before, names),
        "after": _fields(line.after, names),
        "note": line.note or None,
        "tells": line.tells or None,
        "withheld": line.withheld or None,
    }
    plain.pop("id")  # it counts what happens in every organization
    return AlertEvent(**plain)


def owners_in(lines: list[Line]) -> set[int]:
    """The ids of people of which a timeline speaks."""
    told = (fields.get("owner") for line in lines for fields in (line.before, line.after))
    return {one for one in told if isinstance(one, int)}


def summary_of(found: Summary, now: datetime) -> AlertSummary:
    seconds = max(0, int((now - found.oldest_at).total_seconds())) if found.oldest_at else None
    plain: dict[str, Any] = structs.asdict(found) | {"oldest_at": _time(found.oldest_at)}
    return AlertSummary(**plain, oldest_seconds=seconds)


def headers_of(content: AlertSummary) -> dict[str, str]:
    """The summary as headers; there is no age of the oldest where none is open."""
    found = {f"X-Alerts-{name.capitalize()}": str(getattr(content, name)) for name in COUNTED}
    if content.oldest_seconds is not None:
        found["X-Alerts-Oldest-Seconds"] = str(content.oldest_seconds)
    return found


def _suppression(one: states.Suppression) -> AlertSuppression:
    return AlertSuppression(
        kind=one.kind, since=text_of(one.since), until=_time(one.until), by=one.by or None, note=one.note or None
    )


def _fields(fields: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Times as everywhere else, and people by their names."""
    told = dict(fields)
    for name in _TIMES & fields.keys():
        if told[name]:
            told[name] = text_of(datetime.fromisoformat(told[name]))
    if "owner" in told:
        told.pop("name", None)
        told["owner"] = names.get(told["owner"])
    return told


def _time(moment: datetime | None) -> str | None:
    return text_of(moment) if moment else None
