"""The demo's alerts as data: what was wrong when, and who did what about it; it fits the story of profiles.py."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from msgspec import structs

from alerts.states import Report, Severity
from cockpit.demo.calls import HOUR, SEED, Telling, hour_of
from cockpit.demo.profiles import Incident

Verb = Literal["fire", "worsen", "acknowledge", "unacknowledge", "comment", "shelve", "resolve", "reopen"]
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SWAGGY, SCIENTIA, SHARED = "swaggystacks", "scientia_capital", "shared"
MIA, JONAS, PRIYA = (f"{name} (demo engineer)" for name in ("Mia", "Jonas", "Priya"))
CLARA, TOM = (f"{name} (demo engineer)" for name in ("Clara", "Tom"))
NOBODY = ""  # the cockpit itself


@dataclass(frozen=True, slots=True)
class Act:
    """What was done to an alert at a moment, by whom; `until` belongs to shelvings and acknowledgements."""

    at: datetime
    verb: Verb
    by: str = NOBODY
    note: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """One episode of an alert of one organization, from its first firing on."""

    organization: str
    report: Report
    acts: tuple[Act, ...]


def troubles(telling: Telling, zones: Mapping[str, ZoneInfo]) -> list[Trouble]:
    """Everything that was wrong in the month before the story was told, in the order in which it began."""
    found = [
        trouble
        for incident in telling.story.incidents
        for trouble in _of_incident(incident, telling.start_of(incident, zones[incident.organization]))
    ]
    found += [*_prices(telling), *_slowness(telling), *_disk(telling)]
    return sorted(found, key=lambda trouble: trouble.acts[0].at)


def _report(alert_type: str, severity: Severity, message: str, seen: Mapping[str, object], **more: Any) -> Report:
    return Report(
        alert_type=alert_type, severity=severity, message=message, metadata=seen, source="demo", **more
    )  # fmt: skip


def _of_incident(incident: Incident, start: datetime) -> Iterator[Trouble]:
    """What people did in the hours of an incident; all of it is over when they are."""
    length = incident.hours * HOUR
    if incident.kind == "errors" and incident.organization == SWAGGY:
        yield from _outage(incident, start, length)
    elif incident.kind == "errors":
        yield _quota(incident, start, length)
    elif incident.kind == "latency":
        yield _latency(incident, start, length)
    else:
        yield _runaway(incident, start, length)


def _outage(incident: Incident, start: datetime, length: timedelta) -> Iterator[Trouble]:
    heat = _report(
        "gpu_temperature", "critical", "Card 1 of demo-gpu-1 is at 93 °C and holds itself back.",
        {"value": 93, "threshold": 92, "unit": "celsius", "family": "cockpit_gpu_temperature_celsius"},
        labels={"host": "demo-gpu-1", "gpu": "1"},
    )  # fmt: skip
    yield Trouble(SHARED, heat, (Act(start + 0.18 * length, "fire"), Act(start + length, "resolve")))
    report = _report(
        "high_error_rate", "critical", f"{incident.strength:.0%} of all calls fail.", _error_rate(incident),
        labels={"error_type": incident.error_type},
    )  # fmt: skip
    yield Trouble(SWAGGY, report, (
        Act(start + 3 * MINUTE, "fire"),
        Act(start + 7 * MINUTE, "acknowledge", MIA, "On it: the node with the cards answers 503."),
        Act(start + 0.4 * length, "fire"),
        Act(start + 0.5 * length, "comment", JONAS, "Card 1 of demo-gpu-1 throttles; its fan stands still."),
        Act(start + 0.7 * length, "fire"),
        Act(start + length, "resolve", MIA, "Traffic moved to the other card until the fan is replaced."),
    ))  # fmt: skip


def _quota(incident: Incident, start: datetime, length: timedelta) -> Trouble:
    report = _report(
        "quota_exceeded", "critical", f"{incident.strength:.0%} of all calls are refused: the quota is used up.",
        _error_rate(incident), labels={"error_type": incident.error_type},
    )  # fmt: skip
    return Trouble(incident.organization, report, (
        Act(start + 4 * MINUTE, "fire"),
        Act(start + 16 * MINUTE, "acknowledge", CLARA),
        Act(start + 0.25 * length, "comment", TOM, "The month-end reports use it up; asked the provider for more."),
        Act(start + 0.45 * length, "resolve", CLARA, "The provider raised the quota."),
        Act(start + 0.5 * length, "reopen", TOM, "Not for every model: reports are refused again."),
        Act(start + 0.55 * length, "acknowledge", TOM),
        Act(start + length, "resolve", TOM, "The quota holds for all models now."),
    ))  # fmt: skip


def _error_rate(incident: Incident) -> Mapping[str, object]:
    return {"errorRate": incident.strength, "threshold": 0.05, "timeWindow": "5m"}


def _latency(incident: Incident, start: datetime, length: timedelta) -> Trouble:
    report = _report(
        "high_latency", "warning", f"Answers take {incident.strength:g} times as long as usual.",
        {"factor": incident.strength, "threshold": 2.0, "timeWindow": "10m"},
    )  # fmt: skip
    return Trouble(incident.organization, report, (
        Act(start + 6 * MINUTE, "fire"),
        Act(start + 0.2 * length, "worsen"),
        Act(start + 0.28 * length, "acknowledge", CLARA, "Calling the provider."),
        Act(start + 0.6 * length, "comment", CLARA, "One of their regions is degraded; they are moving us."),
        Act(start + length, "resolve", CLARA, "Back to usual since the move."),
    ))  # fmt: skip


def _runaway(incident: Incident, start: datetime, length: timedelta) -> Trouble:
    report = _report(
        "spend_spike", "warning", "An hour costs several times what it costs in a usual night.",
        {"factor": 3, "threshold": 2.0, "timeWindow": "1h"}, labels={"user": "nightly-agent"},
    )  # fmt: skip
    return Trouble(incident.organization, report, (
        Act(start + 0.12 * length, "fire"),
        Act(start + 0.4 * length, "worsen"),
        Act(start + length, "resolve", note="Spend is back to usual."),
        Act(start + 1.9 * length, "comment", JONAS, "The nightly agent went in circles; it stops after 20 turns now."),
    ))  # fmt: skip


def _news(organization: str, at: datetime, report: Report) -> Trouble:
    over = Act(at + DAY, "resolve", note="It ended by itself.")
    return Trouble(organization, structs.replace(report, ends_at=over.at), (Act(at, "fire"), over))


def _prices(telling: Telling) -> Iterator[Trouble]:
    """The dearer model of the investment house: news of the price, its consequence, and that it comes up again."""
    model, now = telling.story.price_model, telling.told_at
    changed = hour_of(now) - telling.story.price_ago
    if not model:
        return
    rise = 1 / telling.story.price_factor - 1
    price = _report("price_changed", "info", f"{model} costs {rise:.0%} more from now on.", {}, model_name=model)
    yield _news(SCIENTIA, changed, price)
    report = _report(
        "cost_per_call", "warning", f"A call of {model} costs {rise:.0%} more than it did before the price changed.",
        {"value": round(100 * rise), "threshold": 25, "unit": "percent", "timeWindow": "24h"}, model_name=model,
    )  # fmt: skip
    yield Trouble(SCIENTIA, report, (
        Act(changed + 18 * HOUR, "fire"),
        Act(changed + 22 * HOUR, "acknowledge", TOM),
        Act(changed + 26 * HOUR, "comment", CLARA, "Asked whether short reports may use the smaller model."),
        Act(changed + 46 * HOUR, "resolve", TOM, "Accepted until the next review."),
    ))  # fmt: skip
    yield Trouble(SCIENTIA, report, (Act(now - 20 * HOUR, "fire"), Act(now - 8 * HOUR, "fire")))


def _slowness(telling: Telling) -> Iterator[Trouble]:
    """The model that gets slower, since a deployment: found late, looked after, not mended yet."""
    model, since = telling.story.slow_model, hour_of(telling.told_at) - telling.story.slow_since
    if not model:
        return
    deployed = _report(
        "deployment", "info", "vllm 0.11.2 went live in production.", {}, model_name=model,
        labels={"service": "vllm", "version": "0.11.2", "environment": "production"},
    )  # fmt: skip
    yield _news(SWAGGY, since, deployed)
    slower = round(1 + 0.9 * (telling.story.slow_factor - 1), 1)  # when it was last seen, nine days of ten on
    report = _report(
        "slow_responses", "warning", f"Answers of {model} get slower from day to day.",
        {"factor": slower, "threshold": 1.5, "timeWindow": "24h"}, model_name=model, endpoint_id="autocomplete",
    )  # fmt: skip
    ran_out = since + 6 * DAY
    yield Trouble(SWAGGY, report, (
        Act(since + 4 * DAY, "fire"),
        Act(since + 4 * DAY + 3 * HOUR, "acknowledge", PRIYA, "Watching it for two days.", ran_out),
        Act(since + 5 * DAY, "fire"),
        Act(ran_out, "unacknowledge", note="The acknowledgement ran out."),
        Act(ran_out + 50 * MINUTE, "acknowledge", PRIYA),
        Act(since + 7 * DAY, "fire"),
        Act(since + 8 * DAY, "comment", PRIYA, "Began with vllm 0.11.2: its prefix cache fills up. Trying 0.11.3."),
        Act(since + 9 * DAY, "fire"),
    ))  # fmt: skip


def _disk(telling: Telling) -> Iterator[Trouble]:
    """A disk that is filling: known, and put aside until it is replaced."""
    now = telling.told_at
    began = now - 4.6 * DAY
    report = _report(
        "disk_filling", "warning", "/var/lib/postgresql of demo-app-1 is 80 % full, and fills by 0.65 % a day.",
        {"value": 80, "threshold": 80, "unit": "percent", "family": "cockpit_disk_used_bytes"},
        labels={"host": "demo-app-1", "mount": "/var/lib/postgresql"},
    )  # fmt: skip
    yield Trouble(SHARED, report, (
        Act(began, "fire"),
        Act(began + 40 * MINUTE, "comment", JONAS, "A larger disk is ordered."),
        Act(began + 45 * MINUTE, "shelve", JONAS, "Until the larger disk is there.", now + 9 * DAY),
    ))  # fmt: skip


BLIP = "slow_first_token"
_BLIPS: Mapping[str, tuple[Report, str]] = {
    organization: (
        _report(BLIP, "warning", f"First tokens of {model} come late.", {"threshold": seconds, "timeWindow": "1m"},
                model_name=model, endpoint_id=endpoint),
        engineer,
    )
    for organization, model, endpoint, seconds, engineer in (
        (SWAGGY, "gpt-5-mini", "chat", 1.2, PRIYA), (SCIENTIA, "gpt-5", "client-reports", 2.0, CLARA),
    )
}  # fmt: skip
_BLIPS_EVERY, _BLIP_CHANCE = 20 * MINUTE, 0.25


def blip(organization: str, at: datetime) -> Trouble | None:
    """What is wrong for a few minutes now and then, of the twenty minutes that `at` lies in; the same every time."""
    begun = at - (at - at.replace(hour=0, minute=0, second=0, microsecond=0)) % _BLIPS_EVERY
    dice = random.Random(f"{SEED} {organization} {begun:%Y-%m-%dT%H:%M}")  # noqa: S311 - a story, no secret
    if dice.random() >= _BLIP_CHANCE:
        return None
    report, engineer = _BLIPS[organization]
    begun += dice.uniform(0, 12) * MINUTE
    ended = begun + dice.uniform(3, 7) * MINUTE
    acts = [Act(begun, "fire"), Act(ended, "resolve", note="First tokens come as usual again.")]
    if dice.random() < 0.6:
        acts.insert(1, Act(begun + dice.uniform(0.5, 2.5) * MINUTE, "acknowledge", engineer))
    seen = {"ttftSeconds": round(report.metadata["threshold"] * dice.uniform(1.3, 2.2), 2), **report.metadata}
    return Trouble(organization, structs.replace(report, metadata=seen), tuple(acts))


def blips(organization: str, start: datetime, end: datetime) -> Iterator[Trouble]:
    """Those of the twenty minutes that begin in [start, end)."""
    while start < end:
        if found := blip(organization, start):
            yield found
        start += _BLIPS_EVERY
