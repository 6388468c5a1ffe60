"""The admin's page of one channel: how it has been, who leads there, what it sent, what can be done to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.urls import reverse
from msgspec import Struct

from alerts import journal, notices, routes
from alerts.channels import TRANSPORTS, title_of
from alerts.channels.base import Transport, shortened
from alerts.journal import BECAUSE, Counts, Entry
from alerts.models import Alert, Channel, Route
from alerts.pages import CHANNEL_TONES, leads_from
from alerts.sending import Tried
from organizations.lists import Tone, relative

_MOST_ENTRIES = 10
_LONGEST_ANSWER = 300
_REST = """
SELECT alert_id, CASE WHEN paused_until > %s THEN paused_until END FROM alerts_channel WHERE id = %s
"""


class Act(Struct, frozen=True):
    """One thing to do to a channel: its button's words, the states in which it can be done."""

    name: str
    title: str
    states: frozenset[str]


_ANY = frozenset({"on", "off", "failed"})
ACTS: Mapping[str, Act] = {
    act.name: act
    for act in (
        Act("test", "Send a test", _ANY),
        Act("on", "Switch on", frozenset({"off", "failed"})),
        Act("off", "Switch off", frozenset({"on", "failed"})),
        Act("rotate", "New signing secret", _ANY),
        Act("retire", "Retire", _ANY),
    )
}


class ChannelDesk(Struct, frozen=True, kw_only=True):
    """All of the page but its form."""

    title: str
    state_tone: Tone
    tone: Tone  # of how it is
    health: str
    rests: str
    alert: Alert | None
    counts: Counts
    settings: Sequence[tuple[str, str]]
    routes: Sequence[tuple[Route, str]]
    entries: Sequence[Entry]
    back: str


def look(channel: Channel, secrets: Mapping[str, str], now: datetime) -> ChannelDesk:
    """The page, in a handful of queries."""
    alert, rests_until = _rest(channel, now)
    counts = journal.counts([channel.pk], [channel.organization_id], now).get(channel.pk, Counts())
    leading = Route.objects.filter(pk__in=routes.leading_to(channel.pk), organization=channel.organization_id)
    return ChannelDesk(
        title=title_of(channel.kind),
        state_tone=CHANNEL_TONES.get(channel.state, "plain"),
        tone=tone(channel),
        health=health(channel, counts.waiting, now),
        rests=f"It rests; it is tried again {relative(rests_until, now)}." if rests_until else "",
        alert=alert,
        counts=counts,
        settings=_settings(channel, secrets),
        routes=[(route, leads_from(route)) for route in leading],
        entries=journal.newest_of(channel.pk, channel.organization_id, _MOST_ENTRIES),
        back=_back(channel),
    )


def tone(channel: Channel) -> Tone:
    """Of how it is: what is on and fails is not well."""
    return "warn" if channel.state == "on" and channel.failures else CHANNEL_TONES.get(channel.state, "plain")


def health(channel: Channel, waiting: int, now: datetime) -> str:
    """How it has been, in a line: what went wrong last, or when something got through."""
    if channel.state == "failed":
        return f"Switched off by itself: {channel.state_because or channel.last_failure}"
    if channel.failures:
        times = "1 failure" if channel.failures == 1 else f"{channel.failures:,} failures"
        going_on = "; trying again" if waiting and channel.state == "on" else ""
        return f"{times}: {channel.last_failure.rstrip('.')}{going_on}"
    if channel.last_success_at:
        return f"last sent {relative(channel.last_success_at, now)}"
    return "nothing sent yet"


def offered(channel: Channel) -> list[Act]:
    """What can be done to it as it stands."""
    transport = TRANSPORTS.get(channel.kind)
    rotates = transport is not None and any(field.generated for field in transport.fields)
    return [act for act in ACTS.values() if channel.state in act.states and (rotates or act.name != "rotate")]


def told(tried: Tried) -> tuple[bool, str]:
    """What became of a test: whether it got through, and all of it in a few words."""
    one = tried.claimed
    audience: Any = one.audience
    sent = notices.notice_of(one, audience=audience, public_url=settings.PUBLIC_URL)
    status = f" with {tried.status}" if tried.status else ""
    answer = f" It said: {shortened(tried.answer, _LONGEST_ANSWER)}" if tried.answer.strip() else ""
    if tried.failure is None:
        took = f"taken{status} after {tried.took_ms:,} ms"
        return True, f"Sent “{sent.title}” through {one.channel_name}: {took}.{answer}"
    words = tried.words or BECAUSE.get(tried.failure, tried.failure)
    why = f"{words[:1].upper()}{words[1:].rstrip('.')}{'' if str(tried.status) in words else status}"
    took = f"after {tried.took_ms:,} ms.{answer}"
    return False, f"“{sent.title}” did not get through {one.channel_name}. {why}, {took}"


def _rest(channel: Channel, now: datetime) -> tuple[Alert | None, datetime | None]:
    """The open alert about it, and until when nothing is tried."""
    with connection.cursor() as cursor:
        cursor.execute(_REST, [now, channel.pk])
        identifier, rests_until = cursor.fetchone() or (None, None)
    if identifier is None:
        return None, rests_until
    found = Alert.objects.filter(pk=identifier, organization=channel.organization_id)
    return found.exclude(status="resolved").first(), rests_until


def _settings(channel: Channel, secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each setting by its label; of a secret whether there is one, and nothing of it."""
    transport = TRANSPORTS.get(channel.kind)
    values = {**dict.fromkeys(secrets, "set"), **channel.settings}
    fields = transport.fields if transport else ()
    pace = ("At most", f"{channel.per_minute:,} a minute, {channel.burst:,} at once")
    return [*((field.label, values[field.name]) for field in fields if values.get(field.name)), pace]


def _back(channel: Channel) -> str:
    """Where PagerDuty tells what is done there; without a public address the path alone."""
    return settings.PUBLIC_URL + reverse("pagerduty-back", args=[channel.pk]) if channel.kind == "pagerduty" else ""


def lacks(kind: str) -> str:
    """What this cockpit still needs for channels of a kind, in words; "" where it is ready for them."""
    words = {
        "email": "" if settings.MAIL else "Needs EMAIL_URL and EMAIL_FROM, which are not set here.",
        "bridge": "" if settings.OUTGOING_BRIDGE else "Switched off here: OUTGOING_BRIDGE is not set.",
    }
    return words.get(kind, "")


def kinds() -> list[tuple[Transport, str]]:
    """The kinds that are offered, each with what it still needs."""
    return [(transport, lacks(kind)) for kind, transport in TRANSPORTS.items()]
