"""The admin's page of one alert: what happened to it in words, how such ones ended before, and where to look next."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from msgspec import Struct

from alerts import journal, routing
from alerts.acts import ACTS, Act
from alerts.journal import Entry
from alerts.lists import REASONS, SEVERITY_TONES, length, minute_of, until
from alerts.models import Alert, AlertEvent, Delivery
from alerts.notices import runbook
from alerts.routing import Receiver
from alerts.why_admin import address_of
from organizations.lists import Tone
from organizations.models import User

_MOST_LINES, _MOST_PAST, _MOST_TOLD, _MOST_NAMED = 500, 5, 20, 4
_BEFORE, _AFTER, _LONGEST = timedelta(minutes=30), timedelta(minutes=15), timedelta(hours=24)
_KIN = timedelta(days=90)  # how far back others of its type are looked for
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_NAMES: Mapping[str, str] = {
    "acknowledgedUntil": "acknowledged until", "acknowledgedBy": "acknowledged by", "resolvedAt": "resolved at",
    "resolvedBy": "resolved by",
}  # fmt: skip
_VIA: Mapping[str, str] = {"api": "through the API", "admin": "in the admin", "page": "on a dashboard",
                           "system": "in the cockpit itself", "rule": "through a rule"}  # fmt: skip
_NOTICES: Mapping[str, str] = {"trigger": "it fires", "acknowledge": "somebody looks after it", "resolve": "it is over"}
_UNHEARD = "no channel that had heard of it is told this"
_UNTOLD: Mapping[str, str] = {"trigger": "no route led from it"}
_KIND_TONES: Mapping[str, Tone] = {"fired": "bad", "reopened": "bad", "unacknowledged": "bad", "acknowledged": "warn",
                                   "resolved": "good"}  # fmt: skip


class Line(Struct, frozen=True, kw_only=True):
    """One happening in words; `notice` says what receivers are told of it, or why they are not."""

    at: datetime
    title: str
    tone: Tone
    who: str
    where: str
    changes: Sequence[str]
    note: str
    notice: str
    withheld: bool


class Past(Struct, frozen=True, kw_only=True):
    """An earlier alert of the same fingerprint, or of the same type, and how it ended."""

    alert: Alert
    same: bool
    tone: Tone
    took: str


class Fact(Struct, frozen=True):
    """A name and its value; `block` where it is a text of several lines, such as nested JSON."""

    name: str
    value: str
    block: bool = False


class Desk(Struct, frozen=True, kw_only=True):
    """All of the page but its form and its charts."""

    tone: Tone
    age: str
    quiet: Sequence[str]
    facts: Sequence[Fact]
    labels: Sequence[Fact]
    metadata: Sequence[Fact]
    lines: Sequence[Line]
    past: Sequence[Past]
    told: Sequence[Entry]
    receivers: Sequence[Receiver]
    runbook: str
    dashboard: str
    why: str  # where it is told why its rule fired; "" for one that no rule raised


def look(alert: Alert, now: datetime) -> Desk:
    """The page, in a handful of queries."""
    return Desk(
        tone=SEVERITY_TONES.get(alert.severity, "plain"),
        age=age(alert, now),
        quiet=[until(one) for one in alert.suppressed_by],
        facts=list(_facts(alert)),
        labels=[Fact(name, str(value)) for name, value in sorted(alert.labels.items())],
        metadata=[_fact(name, value) for name, value in alert.metadata.items()],
        lines=_lines(alert),
        past=_past(alert),
        told=journal.of_alert(alert.pk, _MOST_TOLD),
        receivers=routing.receivers(alert.pk),
        runbook=runbook(alert.metadata, alert.labels),
        dashboard=_dashboard(alert, now),
        why=address_of(alert),
    )


def age(alert: Alert, now: datetime) -> str:
    """How long it has been open, or how long it took."""
    return length((alert.resolved_at or now) - alert.first_seen_at)


def offered(alert: Alert) -> list[Act]:
    """What can be done to it as it stands, the likeliest first."""
    if alert.status == "resolved":
        return [ACTS["comment"], ACTS["reopen"]]
    shelved = any(one.get("kind") == "shelved" for one in alert.suppressed_by)
    names = ("resolve", "unacknowledge") if alert.status == "acknowledged" else ("acknowledge", "resolve")
    return [ACTS[name] for name in (*names, "unshelve" if shelved else "shelve", "take", "assign", "comment")]


def window(alert: Alert, now: datetime) -> tuple[datetime, datetime]:
    """The time around it, in whole minutes: from before it began until after it was over, a day at most."""
    first = alert.first_seen_at
    end = min(now, (alert.resolved_at or now) + _AFTER, first + _LONGEST)
    end = max(end, first).replace(second=0, microsecond=0) + timedelta(minutes=1)
    start = first - min(max(_BEFORE, (end - first) / 2), timedelta(hours=6))
    return start.replace(second=0, microsecond=0), end


def _dashboard(alert: Alert, now: datetime) -> str:
    start, end = window(alert, now)
    query = urlencode({"from": f"{start:%Y-%m-%dT%H:%MZ}", "to": f"{end:%Y-%m-%dT%H:%MZ}"})
    return f"{reverse('dashboard', args=[alert.organization_id])}?{query}"


def _facts(alert: Alert) -> Iterator[Fact]:
    yield Fact("Type", alert.alert_type)
    for name, value in (("Model", alert.model_name), ("Endpoint", alert.endpoint_id)):
        if value:
            yield Fact(name, value)
    yield Fact("Organization", alert.organization.name)
    yield Fact("Owner", alert.owner.username if alert.owner else "nobody")
    yield Fact("Seen", f"{alert.count:,} times" if alert.count > 1 else "once")
    moments = (
        ("First seen", alert.first_seen_at, ""), ("Last seen", alert.last_seen_at, ""),
        ("Acknowledged", alert.acknowledged_at, alert.acknowledged_by), ("Until", alert.acknowledged_until, ""),
        ("Ends by itself", None if alert.resolved_at else alert.ends_at, ""),
        ("Resolved", alert.resolved_at, alert.resolved_by),
    )  # fmt: skip
    for name, moment, who in moments:
        if moment:
            yield Fact(name, f"{moment:%Y-%m-%d %H:%M:%S} UTC" + (f" by {who}" if who else ""))
    again = f", reopened {alert.reopened} times" if alert.reopened > 1 else ", reopened once" if alert.reopened else ""
    yield Fact("Episode", f"{alert.episode}{again}")


def _fact(name: str, value: Any) -> Fact:
    if isinstance(value, dict | list):
        return Fact(name, json.dumps(value, indent=2, ensure_ascii=False), block=True)
    if isinstance(value, str):
        return Fact(name, value, block="\n" in value)
    return Fact(name, json.dumps(value))  # true, null and numbers as they were sent


def _lines(alert: Alert) -> list[Line]:
    """The newest first."""
    events = list(AlertEvent.objects.filter(alert=alert.pk).order_by("-id")[:_MOST_LINES])
    owners = {event.before.get("owner") for event in events if event.kind == "assigned"} - {None}
    names = dict(User.objects.filter(pk__in=owners).values_list("pk", "username")) if owners else {}
    told = _told(alert, [event.pk for event in events if event.tells])
    return [_line(event, names, told.get(event.pk, [])) for event in events]


def _told(alert: Alert, events: Sequence[int]) -> dict[int, list[str]]:
    """The channels that each of these lines was told to, or will be; with how it stands where it is not sent."""
    rows = Delivery.objects.filter(alert=alert.pk, event_id__in=events).order_by("channel__name")
    found: dict[int, list[str]] = {}
    for event, name, state in rows.values_list("event_id", "channel__name", "state"):
        found.setdefault(event or 0, []).append(name if state == "sent" else f"{name} ({state})")
    return found


def _notice(event: AlertEvent, told: Sequence[str]) -> str:
    """To whom it is told, or why to nobody: "Told to ops and pager: it fires."."""
    what = _NOTICES.get(event.tells, event.tells)
    if event.withheld:
        return f"Nobody is told: {REASONS.get(event.withheld, event.withheld)}."
    if not told:
        return f"Nobody is told that {what}: {_UNTOLD.get(event.tells, _UNHEARD)}."
    more = len(told) - _MOST_NAMED
    return f"Told to {', '.join(told[:_MOST_NAMED])}{f' and {more} more' if more > 0 else ''}: {what}."


def _line(event: AlertEvent, names: Mapping[int, str], told: Sequence[str]) -> Line:
    words = event.kind.replace("_", " ").capitalize()
    return Line(
        at=event.at,
        title=words,
        tone=_KIND_TONES.get(event.kind, "plain"),
        who=event.actor,
        where=" ".join(filter(None, (_VIA.get(event.via, event.via), event.address and f"from {event.address}"))),
        changes=list(_changes(event, names)),
        note=event.note,
        notice=_notice(event, told) if event.tells else "",
        withheld=bool(event.withheld) or (event.tells == "trigger" and not told),
    )


def _changes(event: AlertEvent, names: Mapping[int, str]) -> Iterator[str]:
    """Field by field, as it was and as it is: status: firing → acknowledged."""
    if event.kind == "assigned":
        before = event.before.get("owner")
        yield f"owner: {names.get(before, before) if before else 'nobody'} → {event.after.get('name') or 'nobody'}"
        return
    for name in dict.fromkeys([*event.before, *event.after]):
        if name != "suppressedBy":  # the title says so
            was, now = (_said(side.get(name)) for side in (event.before, event.after))
            yield f"{_NAMES.get(name, name)}: {now if event.kind == 'fired' else f'{was} → {now}'}"


def _said(value: Any) -> str:
    if value in (None, ""):
        return "–"
    return minute_of(value) if isinstance(value, str) and _TIME.match(value) else str(value)


def _past(alert: Alert) -> list[Past]:
    """Other episodes of its fingerprint first, then others of its type: how they ended, the newest first."""
    over = Alert.objects.filter(organization=alert.organization_id, status="resolved").exclude(pk=alert.pk)
    same = over.filter(fingerprint=alert.fingerprint).order_by("-episode")[:_MOST_PAST]
    kin = (
        over.filter(alert_type=alert.alert_type, first_seen_at__gte=alert.first_seen_at - _KIN, source=alert.source)
        .exclude(fingerprint=alert.fingerprint)
        .order_by("-first_seen_at", "-id")[:_MOST_PAST]
    )
    return [
        Past(alert=one, same=one.fingerprint == alert.fingerprint, tone=SEVERITY_TONES.get(one.severity, "plain"),
             took=age(one, one.changed_at))
        for one in (*same, *kin)
    ]  # fmt: skip
