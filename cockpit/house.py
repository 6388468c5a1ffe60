"""The state of the house, for the admin's home page: as far as one person may see it, in a handful of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError
from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone

from alerts import journal, lists
from alerts.models import Alert, Channel, Delivery
from alerts.states import RANKS
from cockpit import health
from cockpit.dashboard import words
from cockpit.dashboard.charts import mark
from cockpit.dashboard.sight import provenance
from monitoring.store import current_store
from monitoring.store.base import Groups, Query, Summary
from organizations.keys_admin import EXPIRES_SOON
from organizations.lists import Tone, minute
from organizations.models import ApiKey, AuditEvent, Organization
from organizations.scope import Scope

log = structlog.get_logger(__name__)

DAY = timedelta(hours=24)
_TRAIL = 8  # rows of the audit trail, of the last week
_STATES: dict[str, Tone] = {"ok": "good", "degraded": "warn", "down": "bad"}
_NAMES = {"role": "database role"}
_INFERENCES, _KEYS, _AUDIT, _ALERTS = (
    "admin:monitoring_inference_changelist", "admin:organizations_apikey_changelist",
    "admin:organizations_auditevent_changelist", "admin:alerts_alert_changelist",
)  # fmt: skip
_CHANNELS, _DELIVERIES = "admin:alerts_channel_changelist", "admin:alerts_delivery_changelist"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks: the organizations whose data they may read, those among them that they own."""

    data: Sequence[str]
    owned: Sequence[str]
    administrator: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with the list that proves it; `value` is None where it is not known."""

    label: str
    value: str | None
    note: str
    href: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the cockpit, as its check found it just now."""

    name: str
    state: str
    tone: Tone
    latency: str | None
    error: str | None
    age: str | None  # since it was last seen well
    last: str | None = None  # what was last wrong, if it is another thing, and how long ago


@dataclass(frozen=True, slots=True)
class Keys:
    """An organization's keys in use, and those among them that want attention."""

    active: int = 0
    expiring: int = 0
    unused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One organization's last 24 hours; None where there is no data, `keys` None where they are not for the reader."""

    slug: str
    name: str
    inferences: str | None
    errors: str | None
    error_rate: str | None
    slow: str | None
    spend: str | None
    source: str
    keys: Keys | None
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    figures: Sequence[Figure]
    parts: Sequence[Part]
    lines: Sequence[Line]
    store_away: bool
    shows_keys: bool
    trail: Sequence[AuditEvent]
    trail_href: str


def look(reader: Reader, now: datetime) -> House:
    """The whole page; the caller has entered the reader's scope."""
    groups = _yesterday(reader, now)
    keys = _keys(reader, now)
    parts = _parts() if reader.administrator else []
    organizations = Organization.objects.filter(slug__in=reader.data).order_by("name")
    return House(
        figures=_figures(reader, parts, groups, keys, _refused(reader, now), now),
        parts=parts,
        lines=[_line(one, groups, keys.get(one.slug, Keys()) if one.slug in reader.owned else None)
               for one in organizations],
        store_away=groups is None,
        shows_keys=bool(reader.owned),
        trail=_trail(reader, now),
        trail_href=reverse(_AUDIT),
    )  # fmt: skip


def _yesterday(reader: Reader, now: datetime) -> Groups | None:
    """The last 24 hours by organization and source; None when the store does not answer."""
    start, end = minute(now - DAY), minute(now) + timedelta(minutes=1)
    query = Query(start=start, end=end, by=("organization_id", "source"))
    try:
        return current_store().totals(Scope.of(*reader.data), [query])[0]
    except DatabaseError as error:
        log.warning("home page without the store", error=type(error).__name__)
        return None


def _parts() -> list[Part]:
    return [part_of(name, told) for name, told in health.parts().items()]


def part_of(name: str, told: health.Part) -> Part:
    tone = _STATES.get(told.state, "plain")
    age = words.duration(None if told.age_seconds is None else 1000 * max(1, round(told.age_seconds)))
    latency = words.duration(told.latency_ms)
    last = None if told.last_error in (None, told.error) else f"{told.last_error}, {_ago(told.last_error_at)}"
    return Part(_NAMES.get(name, name), told.state, tone, latency, told.error, age and mark(age), last)


def _ago(at: datetime | None) -> str:
    since = None if at is None else words.duration(1000 * max(1, round((timezone.now() - at).total_seconds())))
    return "some time ago" if since is None else f"{mark(since)} ago"


def _keys(reader: Reader, now: datetime) -> dict[str, Keys]:
    """By organization, of those that the reader owns and that have a key in use."""
    active = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    rows = (
        ApiKey.objects.filter(active, organization__in=reader.owned)
        .order_by()
        .values_list("organization")
        .annotate(
            active=Count("pk"),
            expiring=Count("pk", filter=Q(expires_at__lte=now + EXPIRES_SOON)),
            unused=Count("pk", filter=Q(last_used_at=None)),
        )
    )
    return {organization: Keys(*counts) for organization, *counts in rows}


def _refused(reader: Reader, now: datetime) -> int:
    refused = AuditEvent.objects.filter(organization__in=reader.data, at__gte=minute(now - DAY))
    return refused.filter(action="sign_in_refused").count()


def _trail(reader: Reader, now: datetime) -> list[AuditEvent]:
    """The newest rows of the last week: without that bound, a long trail would be sorted whole."""
    recent = AuditEvent.objects.filter(organization__in=reader.data, at__gte=now - timedelta(days=7))
    return list(recent.select_related("organization")[:_TRAIL])


def _listed(name: str, **filters: str) -> str:
    """A list's address; `filters` are of its own making and need no quoting."""
    asked = "&".join(f"{key}={value}" for key, value in filters.items())
    return f"{reverse(name)}?{asked}" if asked else reverse(name)


def _figures(
    reader: Reader, parts: Sequence[Part], groups: Groups | None, keys: Mapping[str, Keys], refused: int, now: datetime
) -> list[Figure]:
    found = [*([_wellness(parts)] if parts else []), _alerts(reader), *_told(reader, now), *_calls(groups)]
    tone: Tone = "warn" if refused else "plain"
    href = _listed(_AUDIT, action="sign_in_refused", since="24h")
    whose = "in 24 hours" if reader.administrator else "of your people, in 24 hours"
    found.append(Figure("Refused sign-ins", words.count(refused), whose, href, tone))
    if reader.owned:
        expiring, unused = (sum(getattr(one, name) for one in keys.values()) for name in ("expiring", "unused"))
        tone = "warn" if expiring else "plain"
        soon = _listed(_KEYS, state="expiring")
        found.append(Figure("Keys that expire", words.count(expiring), "within 14 days", soon, tone))
        never = _listed(_KEYS, state="active", use="never")
        found.append(Figure("Keys never used", words.count(unused), "of those in use", never))
    return found


def _wellness(parts: Sequence[Part]) -> Figure:
    whole = [part for part in parts if not part.name.startswith("probe ")]  # of those, "probes" tells
    bad = [part.name for part in whole if part.tone in ("warn", "bad")]
    tone: Tone = "bad" if any(part.tone == "bad" for part in parts) else "warn" if bad else "good"
    value = "All well" if not bad else f"{len(bad)} not well"
    unknown = [f"{part.name} not known yet" for part in whole if part.tone == "plain"]
    return Figure("The cockpit", value, ", ".join([*bad, *unknown]) or f"{len(parts)} parts checked", "#parts", tone)


def _alerts(reader: Reader) -> Figure:
    """The open alerts by severity, in the tone of the worst."""
    counts = lists.open_counts(Alert.objects.filter(organization__in=reader.data))
    by = {each: sum(number for (severity, _), number in counts.items() if severity == each) for each in RANKS}
    worst = next((severity for severity, number in by.items() if number), "")
    told = ", ".join(f"{words.count(number)} {severity}" for severity, number in by.items() if number)
    tone = lists.SEVERITY_TONES.get(worst, "plain" if worst else "good")
    return Figure("Open alerts", words.count(sum(by.values())), told or "nothing is wrong", _listed(_ALERTS), tone)


def _told(reader: Reader, now: datetime) -> list[Figure]:
    """How the channels are, and how the telling goes; of live data, which alone leaves this machine."""
    return [_channels(reader), _notices(reader, now)]


def _channels(reader: Reader) -> Figure:
    rows = Channel.objects.filter(organization__in=reader.data, source="live").exclude(state="retired").order_by()
    states = dict(rows.values_list("state").annotate(number=Count("pk")))
    told = ", ".join(f"{words.count(states[each])} {each}" for each in ("failed", "on", "off") if each in states)
    tone: Tone = "bad" if "failed" in states else "good" if "on" in states else "plain"
    number = words.count(sum(states.values()))
    return Figure("Channels", number, told or "nobody is told of alerts", _listed(_CHANNELS, source="live"), tone)


def _notices(reader: Reader, now: datetime) -> Figure:
    """Those that wait; those that nobody will hear, as soon as there are any."""
    rows = Delivery.objects.filter(organization__in=reader.data, channel__source="live")
    waiting = words.count(journal.number(rows.filter(journal.WAITING)))
    dead = journal.number(rows.filter(journal.DEAD, done_at__gte=minute(now - DAY)))
    if dead:
        href = _listed(_DELIVERIES, state="dead", event="alert", since="24h", source="live")
        return Figure("Notices", words.count(dead), f"dead in 24 hours, {waiting} waiting", href, "bad")
    href = _listed(_DELIVERIES, state="waiting", source="live")
    return Figure("Notices", waiting, "waiting, none dead in 24 hours", href)


def _calls(groups: Groups | None) -> list[Figure]:
    whole = None if groups is None else sum(groups.values(), Summary())
    note = "the store does not answer" if whole is None else "in 24 hours"
    share = words.percent(whole.errors / whole.inferences) if whole and whole.inferences else None
    stored, failed = (None, None) if whole is None else (words.count(whole.inferences), words.count(whole.errors))
    tone: Tone = "bad" if whole and whole.errors else "plain"
    failures = _listed(_INFERENCES, since="24h", status="failed")
    return [
        Figure("Inferences stored", stored, note, _listed(_INFERENCES, since="24h")),
        Figure("Failed calls", failed, f"{share} of them" if share else note, failures, tone),
    ]


def _line(organization: Organization, groups: Groups | None, keys: Keys | None) -> Line:
    slug = organization.slug
    own = {source: one for (owner, source), one in (groups or {}).items() if owner == slug}
    whole = sum(own.values(), Summary())
    some = whole if whole.inferences else None
    return Line(
        slug=slug,
        name=organization.name,
        inferences=None if groups is None else words.count(whole.inferences),
        errors=None if groups is None else words.count(whole.errors),
        error_rate=words.percent(some.errors / some.inferences) if some else None,
        slow=words.duration(some.quantile_ms(0.95)) if some else None,
        spend=words.money(some.cost, organization.currency) if some else None,
        source=provenance({source: one.inferences for source, one in own.items()}),
        keys=keys,
        links={
            "dashboard": reverse("dashboard", args=[slug]),
            "inferences": _listed(_INFERENCES, organization=slug, since="24h"),
            "errors": _listed(_INFERENCES, organization=slug, since="24h", status="failed"),
            "keys": _listed(_KEYS, organization=slug, state="active"),
            "expiring": _listed(_KEYS, organization=slug, state="expiring"),
            "unused": _listed(_KEYS, organization=slug, state="active", use="never"),
        },
    )
