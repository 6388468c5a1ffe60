"""The log of deliveries as people read it: how far back a look reaches, what its words mean, what was said last."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone
from msgspec import Struct

from alerts.models import Attempt, Delivery
from organizations.lists import Tone, minute, relative

LOOKED_THROUGH = 50_000  # newest notices of an organization, where no index helps to find some among them
LOST_FOR = timedelta(days=7)
MOST_COUNTED = 10_000
WAITING = Q(done_at=None) & ~Q(event="pulse")  # a pulse is worth nothing once there is a newer one
DEAD = Q(state="dead", alert__isnull=False)  # tests are nobody's news
EVENTS: Mapping[str, str] = {
    "trigger": "fires", "acknowledge": "looked after", "resolve": "over", "test": "test", "summary": "summary",
    "pulse": "pulse",
}  # fmt: skip
STATE_TONES: Mapping[str, Tone] = {"pending": "warn", "sending": "warn", "sent": "good", "dead": "bad"}
# Why a notice is dead (and what became of a try), expired or skipped.
BECAUSE: Mapping[str, str] = {
    "timeout": "no answer in time",
    "connection": "no connection",
    "dns": "the name has no address",
    "server": "the receiver failed",
    "limited": "too many at once",
    "client": "the receiver said no",
    "redirect": "sent elsewhere",
    "tls": "no valid certificate",
    "address": "the address may not be called",
    "partly": "not by all recipients yet",
    "refused": "the receiver does not want this notice",
    "gone": "the receiver is there no more",
    "settings": "settings are missing",
    "lost": "the process that sent it ended",
    "fault": "a fault of the cockpit",
    "old": "too old to be of use",
    "off": "the channel was switched off",
    "retired": "the channel was retired",
    "unheard": "nobody had heard that it began",
    "newer": "a newer one came",
    "flapping": "it comes and goes, and is told once in five minutes",
    "summed": "told in a summary, with others that were over",
}
_FLOORS = """
SELECT slug, (SELECT id FROM alerts_delivery WHERE organization_id = slug ORDER BY id DESC OFFSET %s LIMIT 1)
FROM unnest(%s::text[]) AS slug
"""
# What waits is counted no further than anybody reads; what was lost is one walk along its own small index.
_COUNTS = f"""
WITH lost AS (SELECT channel_id, count(*) AS number FROM alerts_delivery
    WHERE organization_id = ANY(%(organizations)s) AND state = 'dead' AND alert_id IS NOT NULL AND done_at >= %(since)s
    GROUP BY channel_id)
SELECT channel.id, (SELECT count(*) FROM (SELECT FROM alerts_delivery AS one WHERE one.channel_id = channel.id
        AND one.done_at IS NULL AND one.event <> 'pulse' LIMIT {MOST_COUNTED}) AS waiting), coalesce(lost.number, 0)
FROM alerts_channel AS channel LEFT JOIN lost ON lost.channel_id = channel.id WHERE channel.id = ANY(%(ids)s)
"""


class Counts(Struct, frozen=True):
    """Of one channel: how many notices wait, and how many of alerts nobody will hear, of those of seven days."""

    waiting: int = 0
    dead: int = 0


class Entry(Struct, frozen=True, kw_only=True):
    """A delivery in words: what its last try came to, and when it ended or goes on."""

    delivery: Delivery
    event: str
    tone: Tone
    because: str
    said: str
    ended: datetime | None
    goes_on: str

    @property
    def why(self) -> str:
        """Why it stands as it does: of what was dropped after a try first why that was, then what was answered."""
        if self.delivery.state in ("expired", "skipped"):
            return "; ".join(filter(None, (self.because, self.said)))
        return self.said or self.because


def entries(found: Iterable[Delivery]) -> list[Entry]:
    """These with the words of their last tries, in one query; their channels are best selected with them."""
    rows, now = list(found), timezone.now()
    tries = Attempt.objects.filter(delivery__in=[one.pk for one in rows]).order_by("delivery_id", "-number")
    last = {one.delivery_id: one for one in tries.distinct("delivery_id")} if rows else {}
    return [_entry(one, last.get(one.pk), now) for one in rows]


def _entry(one: Delivery, last: Attempt | None, now: datetime) -> Entry:
    return Entry(
        delivery=one,
        event=EVENTS.get(one.event, one.event),
        tone=STATE_TONES.get(one.state, "plain"),
        because=BECAUSE.get(one.because, one.because),
        said=said(last) if last else "",
        ended=one.done_at,
        goes_on="" if one.done_at else _goes_on(one, now),
    )


def said(attempt: Attempt) -> str:
    """What a try came to, in a line: "503 The receiver failed." """
    words, status = attempt.words or BECAUSE.get(attempt.outcome, ""), str(attempt.status or "")
    return words if status and status in words else f"{status} {words}".strip()


def _goes_on(one: Delivery, now: datetime) -> str:
    if one.state == "sending":
        return "being sent"
    if one.channel.state == "failed":
        return "waits for the channel to be mended"
    return f"next try {relative(one.next_at, now)}" if one.next_at > now else "due now"


def floors(organizations: Sequence[str]) -> dict[str, int]:
    """Of each organization the id above which its newest notices lie; those with no more than these have none."""
    with connection.cursor() as cursor:
        cursor.execute(_FLOORS, [LOOKED_THROUGH, list(organizations)])
        return {slug: floor for slug, floor in cursor.fetchall() if floor is not None}


def newest_of(channel: UUID, organization: str, most: int) -> list[Entry]:
    """The newest notices of a channel, among the newest of its organization."""
    found = Delivery.objects.filter(channel=channel, organization=organization)
    found = found.filter(pk__gt=floors([organization]).get(organization, 0))
    return entries(found.select_related("channel", "alert")[:most])


def of_alert(alert: UUID, most: int) -> list[Entry]:
    return entries(Delivery.objects.filter(alert=alert).select_related("channel")[:most])


def counts(channels: Sequence[UUID], organizations: Sequence[str], now: datetime) -> dict[UUID, Counts]:
    """What waits for each channel, and what it lost; as the log lists it under the same filters."""
    own, since = list(organizations), minute(now - LOST_FOR)
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"ids": list(channels), "organizations": own, "since": since})
        return {identifier: Counts(*numbers) for identifier, *numbers in cursor.fetchall()}


def number(found: QuerySet[Delivery]) -> int:
    """How many, as far as anybody counts."""
    return found.order_by()[:MOST_COUNTED].count()
