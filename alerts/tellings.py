"""What became of an alert by a moment: how it stood, what silenced it, who was told, and what each channel answered."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from alerts import journal
from alerts.journal import Entry
from alerts.lists import REASONS
from alerts.models import Alert, AlertEvent, Delivery
from organizations.lists import Tone

_MOST_EVENTS, _MOST_ENTRIES, _MOST_NAMED = 500, 20, 4
_NOBODY = "no route led to a channel that takes it"


class Line(Struct, frozen=True):
    """One thing that had a say: what it is called, what it said, and whether that speaks for an alarm."""

    label: str
    words: str
    tone: Tone = "plain"


class Told(Struct, frozen=True, kw_only=True):
    """`open` is whether the alert stood at the moment, and `ended` how it was over where it did not; `words` tell in a
    sentence who heard of it last, if anybody.
    """

    alert: Alert
    open: bool
    ended: str
    words: str
    lines: Sequence[Line]
    entries: Sequence[Entry]


class _Stand(Struct, kw_only=True):
    """An alert at a moment: the happenings that made it what it was."""

    status: str = "firing"
    severity: str = ""
    quiet: dict[str, AlertEvent]
    looked: AlertEvent | None = None
    ended: AlertEvent | None = None


def told_of(organization: str, fingerprint: str, moment: datetime) -> Told | None:
    """Of its newest episode that had begun; in the caller's scope. None where there was none."""
    known = Alert.objects.filter(organization=organization, fingerprint=fingerprint, first_seen_at__lte=moment)
    alert = known.order_by("-episode").first()
    if alert is None:
        return None
    rows = AlertEvent.objects.filter(organization=organization, alert=alert.pk, at__lte=moment).order_by("-id")
    events = list(rows[:_MOST_EVENTS])[::-1]
    stand = _stand(alert, events)
    telling = [event for event in events if event.tells]
    sent = Delivery.objects.filter(alert=alert.pk, event_id__in=[event.pk for event in telling]).order_by("id")
    entries = journal.entries(sent.select_related("channel"))
    return Told(
        alert=alert, open=stand.ended is None, ended=_ended(stand), words=_words(alert, telling, entries, stand),
        lines=list(_lines(alert, telling, entries, stand)), entries=entries[-_MOST_ENTRIES:],
    )  # fmt: skip


def _stand(alert: Alert, events: Sequence[AlertEvent]) -> _Stand:
    found = _Stand(severity=alert.severity, quiet={})
    for event in events:
        found.severity = event.after.get("severity", found.severity)
        found.status = event.after.get("status", found.status)
        match event.kind:
            case "shelved" | "suppressed":
                found.quiet[event.after["suppressedBy"]] = event
            case "unshelved" | "unsuppressed":
                found.quiet.pop(event.before["suppressedBy"], None)
            case "acknowledged":
                found.looked = event
            case "unacknowledged":
                found.looked = None
            case "resolved" | "reopened":
                found.quiet, found.looked = {}, None
                found.ended = event if event.kind == "resolved" else None
    return found


def _lines(
    alert: Alert, telling: Sequence[AlertEvent], entries: Sequence[Entry], stand: _Stand
) -> Iterator[Line]:  # fmt: skip
    tone: Tone = "good" if stand.ended else "bad"
    yield Line("Alert", f"{stand.severity}, {stand.status}; it began at {clock(alert.first_seen_at)}", tone)
    if stand.ended:
        yield Line("Ended", _ended(stand))
    if stand.looked:
        words = f"{stand.looked.actor} has looked after it since {clock(stand.looked.at)}{_noted(stand.looked)}"
        yield Line("Looked after", f"{words}; nobody is told once more meanwhile", "warn")
    for kind, event in stand.quiet.items():
        yield Line(_word(kind).capitalize(), f"by {_by(alert, event)}", "warn")
    heard = {entry.delivery.event_id for entry in entries}
    for event in telling[-_MOST_ENTRIES:]:
        if event.withheld:
            yield Line("Nobody told", f"at {event.at:%H:%M:%S}: it was {_word(event.withheld)}", "warn")
        elif event.pk not in heard and event.tells == "trigger":
            yield Line("Nobody told", f"at {event.at:%H:%M:%S}: {_NOBODY}", "warn")


def _ended(stand: _Stand) -> str:
    """ "ada resolved it at 28 Nov 12:01: restarted" """
    if stand.ended is None:
        return ""
    who = "the rule" if stand.ended.via == "rule" else stand.ended.actor
    return f"{who} resolved it at {clock(stand.ended.at)}{_noted(stand.ended)}"


def _words(alert: Alert, telling: Sequence[AlertEvent], entries: Sequence[Entry], stand: _Stand) -> str:
    """Who was told of it last that it fires; or why nobody was, or is now."""
    last = next((event for event in reversed(telling) if event.tells == "trigger"), None)
    quiet = "; ".join(f"it was {_word(kind)} by {_by(alert, event)}" for kind, event in stand.quiet.items())
    if last is None or stand.ended:
        return ""
    if last.withheld:
        return f"Nobody was told: {quiet or f'it was {_word(last.withheld)} then'}."
    mine = [entry for entry in entries if entry.delivery.event_id == last.pk]
    words = " ".join(_sentences(mine)) if mine else f"Nobody was told: {_NOBODY}."
    return f"{words} {quiet[:1].upper()}{quiet[1:]}." if quiet else words


def _sentences(entries: Sequence[Entry]) -> Iterator[str]:
    """Those who heard, those who may yet hear, and those who will not; with why of each that did not."""
    heard = [entry.delivery.channel.name for entry in entries if entry.delivery.state == "sent"]
    if heard:
        yield f"Told to {_some(heard)}."
    for title, states in (("Not yet told", ("pending", "sending")), ("Not told", ("dead", "skipped", "expired"))):
        names = [f"{entry.delivery.channel.name} ({_why_not(entry)})" for entry in entries
                 if entry.delivery.state in states]  # fmt: skip
        if names:
            yield f"{title} to {_some(names)}."


def _why_not(entry: Entry) -> str:
    return "; ".join(filter(None, (entry.why.removesuffix("."), entry.goes_on))) or entry.delivery.state


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _by(alert: Alert, event: AlertEvent) -> str:
    """By whom it was silenced, since when, until when and why: who asked for it, where that is told still."""
    names = [one.get("by") for one in alert.suppressed_by if one.get("kind") == event.after["suppressedBy"]]
    until = f" until {clock(datetime.fromisoformat(event.after['until']))}" if event.after.get("until") else ""
    return f"{next(filter(None, names), event.actor)}, since {clock(event.at)}{until}{_noted(event)}"


def _noted(event: AlertEvent) -> str:
    return f": {event.note}" if event.note else ""


def _word(reason: str) -> str:
    return REASONS.get(reason, reason)


def clock(moment: datetime) -> str:
    """A time to the minute, as lines tell it."""
    return f"{moment:%d %b %H:%M}"
