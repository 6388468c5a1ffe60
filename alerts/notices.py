"""What a channel is told of an alert, in the words of its audience: developers exactly, executives plainly. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from alerts.channels.base import Audience, Notice, shortened
from alerts.claims import Claimed
from alerts.meanings import PLAIN, meaning
from alerts.routing import NOT_THROUGH
from alerts.states import State

LONGEST_TITLE = 200
_MOST_METADATA = _MOST_LABELS = 8
_LONGEST_FACT = 300
OF_RULES = ("ruleId", PLAIN, "since", "measure")  # in the metadata of their alerts: for programs, and for other readers
_RUNBOOKS = ("runbook", "runbook_url", "runbookUrl")
_OTHER = "__other__"  # models beyond the limit of names
_STATUSES: Mapping[str, str] = {"trigger": "firing", "acknowledge": "acknowledged", "resolve": "resolved"}
_TITLES: Mapping[str, str] = {
    "test": "This is a test: notices get through",
    "summary": "Old notices were left out",
    "pulse": "The cockpit is alive",
}
_LEVELS: Mapping[str, str] = {"critical": "Serious", "warning": "To watch", "info": "For information"}


def notice_of(claimed: Claimed, *, audience: Audience, public_url: str) -> Notice:
    """The notice of a delivery; `public_url` is where people reach the cockpit, without a slash at its end, or ""."""
    return _of_alert(claimed, claimed.alert, audience, public_url) if claimed.alert else _alone(claimed, audience)


def _of_alert(claimed: Claimed, alert: State, audience: Audience, public_url: str) -> Notice:
    happened = claimed.happened
    over = claimed.event == "resolve"
    developer = audience == "developer"
    moment = happened.at if happened else claimed.queued_at
    zone, times = ZoneInfo(claimed.timezone), int(claimed.about.get("times", 0))
    return Notice(
        id=f"msg_{claimed.key.hex}",
        event=claimed.event,
        dedup_key=f"{alert.organization_id}:{alert.fingerprint}:{alert.episode}",
        audience=audience,
        organization=claimed.organization,
        organization_name=claimed.organization_name,
        severity=alert.severity,
        status=_STATUSES[claimed.event],
        title=_exact_title(alert) if developer else _plain_title(alert),
        text=_exact_text(alert) if developer else _plain_text(alert, claimed, zone),
        facts=tuple(_exact_facts(alert, times) if developer else _plain_facts(alert, times, zone)),
        alert_type=alert.alert_type if developer else "",
        endpoint_id=alert.endpoint_id if developer else "",
        model_name=alert.model_name if developer or alert.model_name != _OTHER else "",
        labels=alert.labels if developer else {},
        metadata=alert.metadata if developer else {},
        fingerprint=alert.fingerprint,
        episode=alert.episode,
        count=alert.count,
        started_at=alert.first_seen_at,
        at=moment,
        ended_at=(alert.resolved_at or moment) if over else None,
        by=happened.by if happened and claimed.event != "trigger" else "",
        note=happened.note if happened and developer else "",
        url=_address(public_url, claimed.organization, alert, developer=developer),
        runbook=runbook(alert.metadata, alert.labels) if developer else "",
        reference=claimed.reference,
        so_far=claimed.so_far,
    )


def _alone(claimed: Claimed, audience: Audience) -> Notice:
    """Of no alert: its words stand in the delivery itself."""
    return Notice(
        id=f"msg_{claimed.key.hex}",
        event=claimed.event,
        dedup_key=f"{claimed.organization}:{claimed.event}:{claimed.key.hex}",
        audience=audience,
        organization=claimed.organization,
        organization_name=claimed.organization_name,
        severity="info",
        status="firing",
        title=_TITLES[claimed.event],
        text=_alone_text(claimed),
        started_at=claimed.queued_at,
        at=claimed.queued_at,
        by=str(claimed.about.get("by", "")),
        so_far=claimed.so_far,
    )


def _alone_text(claimed: Claimed) -> str:
    match claimed.event:
        case "test":
            by = claimed.about.get("by")
            return f"{by or 'Somebody'} tried the channel {claimed.channel_name} of {claimed.organization_name}."
        case "summary":
            return " ".join((*_left_out(claimed.about), "The cockpit's log has them."))
        case _:
            return "Raised every minute, and sent by the road that alerts take."


def _left_out(about: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each reason why notices were left out."""
    old, over = int(about.get("number", 0)), int(about.get("over", 0))
    if over:
        yield f"{over:,} alert{' was' if over == 1 else 's were'} over before anybody could be told of them here."
    if old:
        what = "1 notice was" if old == 1 else f"{old:,} notices were"
        yield f"{what} too old to be of use when they could be sent, and left out."


def _exact_title(alert: State) -> str:
    message = re.sub(r"\s+", " ", alert.message).strip()
    about = alert.model_name or alert.endpoint_id
    return shortened(f"{message} ({about})" if about and about not in message else message, LONGEST_TITLE)


def _exact_text(alert: State) -> str:
    """The whole message, where the title is not all of it."""
    return "" if alert.message == _exact_title(alert) else alert.message


def _exact_facts(alert: State, times: int) -> Iterator[tuple[str, str]]:
    yield "Type", alert.alert_type
    if alert.model_name:
        yield "Model", alert.model_name
    if alert.endpoint_id:
        yield "Endpoint", alert.endpoint_id
    untold = (NOT_THROUGH, *OF_RULES) if "ruleId" in alert.metadata else (NOT_THROUGH,)
    measured = [(name, value) for name, value in alert.metadata.items() if _plain(value) and name not in untold]
    for name, value in measured[:_MOST_METADATA]:
        yield name, shortened(str(value), _LONGEST_FACT)
    for name, text in list(alert.labels.items())[:_MOST_LABELS]:
        yield name, text
    yield "Since", f"{alert.first_seen_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if times:
        yield "Came and went", _times(times)
    if alert.count > 1:
        yield "Seen", f"{alert.count:,} times"
    if alert.episode > 1:
        yield "Episode", f"{alert.episode}"


def _plain(value: Any) -> bool:
    """Whether it is one number, word or truth, and no address of a page (which is a button)."""
    return isinstance(value, int | float | str) and not (isinstance(value, str) and "://" in value)


def _plain_title(alert: State) -> str:
    said, model = meaning(alert.alert_type, alert.severity, alert.metadata), alert.model_name
    about = f" with {model}" if model and model != _OTHER and model not in said else ""
    return shortened(f"{said}{about}", LONGEST_TITLE)


def _plain_text(alert: State, claimed: Claimed, zone: ZoneInfo) -> str:
    """What happened, in a sentence or two."""
    began, name = _clock(alert.first_seen_at, zone), claimed.organization_name
    if claimed.event == "resolve":
        return f"It is over. It had begun at {began} at {name}."
    if claimed.event == "acknowledge":
        who = claimed.happened.by if claimed.happened else ""
        return f"{who or 'Somebody'} looks after it. It began at {began} at {name}."
    serious = "Somebody should look at it now. " if alert.severity == "critical" else ""
    return f"{serious}It began at {began} at {name}."


def _plain_facts(alert: State, times: int, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    yield "How bad", _LEVELS[alert.severity]
    yield "Since", _clock(alert.first_seen_at, zone)
    if times:
        yield "Came and went", _times(times)


def _times(number: int) -> str:
    """How often, of what was not told because it was over at once."""
    return "once more before that" if number == 1 else f"{number:,} times more before that"


def _clock(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%H:%M} on {local.day} {local:%B}"


def _address(public_url: str, organization: str, alert: State, *, developer: bool) -> str:
    """The alert's page for who works on it, the dashboard for who wants to know."""
    if not public_url:
        return ""
    return public_url + (f"/admin/alerts/alert/{alert.id}/change/" if developer else f"/dashboards/{organization}/")


def runbook(*places: Mapping[str, Any]) -> str:
    """The first address of a runbook in these; "" where there is none that a browser may be sent to."""
    for place in places:
        for name in _RUNBOOKS:
            value = place.get(name)
            if isinstance(value, str) and _is_address(value):
                return value
    return ""


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)
