"""The panel of notices: each channel with its figures for developers, who is told in sentences for executives."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from alerts.channels import title_of
from alerts.delivery_figures import LOST_FOR, ChannelFigures, Failed
from alerts.journal import BECAUSE
from cockpit.dashboard import words
from cockpit.dashboard.sight import Sight

Context = dict[str, object]
Level = Literal["good", "near", "bad"]

_SOON = 900.0  # seconds: who is told later than that was told late
_SILENT = timedelta(minutes=5)  # after which an alarm outside should have gone off
_EVENTS: Mapping[str, str] = {"trigger": "start", "acknowledge": "acknowledgement", "resolve": "end"}
# By what road somebody is told, where its name says something to people who run no machines.
_ROADS: Mapping[str, str] = {
    "slack": "By Slack.", "pagerduty": "By PagerDuty.", "teams": "By Microsoft Teams.", "email": "By e-mail.",
}  # fmt: skip


def developer(sight: Sight) -> Context | None:
    telling = sight.telling
    if not telling.known or not (telling.channels or sight.totals.inferences):
        return None
    return {
        "rows": [_row(sight, one) for one in telling.channels],
        "failures": [_failure(sight, one) for one in telling.failures],
        "days": LOST_FOR.days,
        "period": sight.last,
        "label": telling.label,
    }


def _row(sight: Sight, one: ChannelFigures) -> Context:
    return {
        "name": one.name,
        "kind": title_of(one.kind),
        "executive": one.audience == "executive",
        "state": one.state,
        "state_because": one.state_because,
        "nowhere": one.state == "on" and one.tells and not one.routed,
        "waiting": words.count(one.waiting),
        "retrying": words.count(one.retrying),
        "late": one.retrying > 0,
        "lost": words.count(one.lost),
        "any_lost": one.lost > 0,
        "sent": words.count(one.sent),
        "median": _seconds(one.median),
        "p95": _seconds(one.p95),
        "failed_at": one.last_failure_at,
        "failed_at_words": sight.clock(one.last_failure_at) if one.last_failure_at else "",
        "failure": one.last_failure,
        "mended": _mended(one),
        "next": sight.clock(one.next_at) if one.next_at else "",
        "source": "" if one.source == "live" else one.source,
    }


def _seconds(seconds: float | None) -> str | None:
    return words.duration(None if seconds is None else max(0.0, seconds) * 1000)


def _mended(one: ChannelFigures) -> bool:
    """Something got through since it failed last."""
    success, failure = one.last_success_at, one.last_failure_at
    return failure is None or (success is not None and success > failure)


def _failure(sight: Sight, one: Failed) -> Context:
    because = "It was too old to be of use." if one.state == "expired" else BECAUSE.get(one.because, one.because)
    return {
        "channel": one.channel,
        "what": f"{_EVENTS.get(one.event, one.event)}{f' of {one.alert_type}' if one.alert_type else ''}",
        "state": "tried again" if one.state == "pending" else one.state,
        "dead": one.state != "pending",
        "at": one.at,
        "at_words": sight.clock(one.at) if one.at else "",
        "words": one.words or because,
        "status": one.status,
        "tries": one.tries,
        "next": sight.clock(one.next_at) if one.state == "pending" else "",
        "source": "" if one.source == "live" else one.source,
    }


def executive(sight: Sight) -> Context | None:
    telling = sight.telling
    if not telling.known or not (telling.channels or sight.totals.inferences):
        return None
    told = [one for one in telling.channels if one.tells]
    level, verdict = _verdict(told, sight.last)
    shown = [one for one in telling.channels if one.tells or one.state != "off"]
    return {
        "level": level,
        "verdict": verdict,
        "statements": [_statement(sight, one) for one in shown],
        "label": telling.label,
    }


def _verdict(told: Sequence[ChannelFigures], period: str) -> tuple[Level, str]:
    """The worst that is to be said, in one sentence."""
    if not told:
        return "near", "Nobody is told of problems yet: no channel is set up"
    lost, failed = [one for one in told if one.lost_now], [one for one in told if one.state == "failed"]
    late, sent = [one for one in told if one.retrying], [one for one in told if one.sent]
    if lost:
        return "bad", f"{_messages(sum(one.lost_now for one in lost))} could not be delivered to {_names(lost)}"
    if failed:
        return "bad", f"{_names(failed)} cannot be told of problems any more"
    if not any(one.state == "on" and one.routed for one in told):
        why = "every channel is switched off" if all(one.state != "on" for one in told) else "no alert leads to anybody"
        return "near", f"Nobody is told of problems: {why}"
    if late:
        number = sum(one.retrying for one in late)
        return "near", f"{_messages(number)} to {_names(late)} {'is' if number == 1 else 'are'} late, and tried again"
    longest = max((one.longest or 0.0 for one in sent), default=None)
    if longest is None:
        return "good", f"Nobody had to be told of anything in {period}"
    within = "a minute" if longest < 60 else words.lasting(longest)
    return "good" if longest < _SOON else "near", f"Everybody who has to know was told within {within}"


def _messages(number: int) -> str:
    said = words.few(number)
    return f"{said[:1].upper()}{said[1:]} message{'' if number == 1 else 's'}"


def _names(channels: Sequence[ChannelFigures]) -> str:
    names = [one.name for one in channels]
    if len(names) > 3:
        names = [*names[:2], f"{words.few(len(names) - 2)} others"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _statement(sight: Sight, one: ChannelFigures) -> Context:
    level, sentence = (_told if one.tells else _watched)(sight, one)
    return {"level": level, "topic": one.name, "sentence": sentence, "source": "" if one.source == "live" else "demo"}


def _told(sight: Sight, one: ChannelFigures) -> tuple[Level, str]:
    last = f"Last told at {sight.clock(one.last_success_at)}." if one.last_success_at else "Not told of anything yet."
    if one.state == "off":
        return "near", f"Switched off. {last}"
    if one.state == "failed":
        return "bad", f"Switched off by itself, since messages do not arrive. {last}"
    road = _ROADS.get(one.kind, "")
    if not one.routed:
        return "near", f"{road} No alert leads here. {last}".strip()
    level: Level = "bad" if one.lost_now else "near" if one.retrying else "good"
    lost = f" {_messages(one.lost_now)} did not arrive." if one.lost_now else ""
    late = f" {_messages(one.retrying)} {'is' if one.retrying == 1 else 'are'} late." if one.retrying else ""
    return level, f"{road} {last}{lost}{late}".strip()


def _watched(sight: Sight, one: ChannelFigures) -> tuple[Level, str]:
    """A dead-man's switch: somebody outside raises the alarm when we are not heard."""
    if one.last_success_at and sight.answer.as_of - one.last_success_at < _SILENT:
        return "good", "Raises the alarm from outside when the cockpit falls silent."
    return "bad", "Should raise the alarm from outside, and does not hear from the cockpit."
