"""The demo's machines: two hosts and two graphics cards that live with the demo's calls, made up for any moment.

A value depends on the moment alone (and on when the story was told), so that the same samples come out every time.
"""

import math
import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bedrock import identifiers
from cockpit.demo.calls import HOUR, SEED, Telling
from cockpit.demo.profiles import MACHINES, PROFILES, Card, Machine
from monitoring.store.samples import Increment, Sample

ORGANIZATION, SOURCE = "shared", "demo"
_DAY = timedelta(days=1)
_GIB, _MIB = 2**30, 2**20
_WARMING = 0.2  # of an incident, until the hot card is as hot as it gets
_RESTARTS_EVERY = timedelta(days=6)  # of the service that leaks memory
_RESTARTED_AGO = timedelta(days=4.5)  # when the story is told
_XID, _XID_AGO, _XID_HOUR = "13", timedelta(days=3), 11  # an application's fault, once


class Moment(NamedTuple):
    """A time with what applies to all machines then: how busy the organizations are (0-1), how hot the hot card."""

    at: datetime
    busy: float
    heat: float


Readings = Iterator[tuple[str, Mapping[str, str], float]]


def samples(at: datetime, telling: Telling, zones: Mapping[str, ZoneInfo]) -> list[Sample]:
    """What every machine's probes would have read at a moment, running totals left out."""
    moment = Moment(at, busyness(at, zones), heat(at, telling, zones))
    at_ms = identifiers.milliseconds(at)
    return [
        Sample(organization=ORGANIZATION, family=family, labels=tuple(sorted({**labels, "host": machine.host}.items())),
               at_ms=at_ms, value=value, source=SOURCE)
        for machine in MACHINES
        for family, labels, value in _levels(machine, moment, telling)
    ]  # fmt: skip


def increments(at: datetime, seconds: float, telling: Telling, zones: Mapping[str, ZoneInfo]) -> list[Increment]:
    """By how much running totals grew in the seconds before a moment; increments, as days are loaded newest first."""
    moment = Moment(at, busyness(at, zones), heat(at, telling, zones))
    return [
        Increment(organization=ORGANIZATION, family=family,
                  labels=tuple(sorted({**labels, "host": machine.host}.items())),
                  at_ms=identifiers.milliseconds(at), amount=amount, source=SOURCE)
        for machine in MACHINES
        for family, labels, amount in _growth(machine, moment, seconds, telling)
    ]  # fmt: skip


def busyness(at: datetime, zones: Mapping[str, ZoneInfo]) -> float:
    """How busy all organizations are together, against their busiest hour; smooth between the hours."""
    now = most = 0.0
    for profile in PROFILES:
        local = at.astimezone(zones[profile.organization])
        share = local.minute / 60 + local.second / 3600
        here, following = profile.hours[local.hour], profile.hours[(local.hour + 1) % 24]
        day = profile.weekend if local.weekday() >= 5 else 1.0
        now += profile.sessions * day * (here + (following - here) * share) / sum(profile.hours)
        most += profile.sessions * max(profile.hours) / sum(profile.hours)
    return now / most


def heat(at: datetime, telling: Telling, zones: Mapping[str, ZoneInfo]) -> float:
    """How far the hot card is into its heat, 0-1: the hour in which SwaggyStacks' calls fail is its doing."""
    for incident in telling.story.incidents:
        if incident.kind == "errors" and incident.organization == PROFILES[0].organization:
            passed = (at - telling.start_of(incident, zones[incident.organization])) / (incident.hours * HOUR)
            if 0 <= passed < 1.25:
                return min(1.0, passed / _WARMING, (1.25 - passed) / 0.25)
    return 0.0


def _noise(moment: Moment, *names: str) -> float:
    """Between -1 and 1, another one for each minute and name."""
    return random.Random(f"{SEED} {moment.at:%Y-%m-%dT%H:%M} {' '.join(names)}").uniform(-1, 1)  # noqa: S311 - a story


def _levels(machine: Machine, moment: Moment, telling: Telling) -> Readings:
    yield from _host(machine, moment, telling)
    for number, card in enumerate(machine.cards):
        for family, labels, value in _card(card, machine, number, moment):
            yield family, {**labels, "gpu": str(number)}, value
    for probe in ("host", "disks", *(["gpu"] if machine.cards else [])):
        yield "cockpit_probe_up", {"probe": probe}, 1.0
        yield "cockpit_probe_last_success_timestamp_seconds", {"probe": probe}, moment.at.timestamp()


def _host(machine: Machine, moment: Moment, telling: Telling) -> Readings:
    cpu = _held(machine.idle + machine.work * moment.busy + 0.03 * _noise(moment, machine.host, "cpu"))
    yield "cockpit_cpu_utilization_ratio", {}, cpu
    yield "cockpit_load_average", {"minutes": "1"}, cpu * machine.cores * (1 + 0.1 * _noise(moment, machine.host, "l"))
    leaked = machine.leak * ((moment.at - telling.told_at + _RESTARTED_AGO) % _RESTARTS_EVERY / _RESTARTS_EVERY)
    used = _held(machine.memory_used + leaked + 0.06 * moment.busy + 0.004 * _noise(moment, machine.host, "memory"))
    total = machine.memory_gib * _GIB
    yield "cockpit_memory_used_bytes", {}, round(used * total)
    yield "cockpit_memory_available_bytes", {}, round((1 - used) * total)
    yield "cockpit_memory_total_bytes", {}, total
    yield "cockpit_swap_used_bytes", {}, round(0.02 * 8 * _GIB)
    yield "cockpit_swap_total_bytes", {}, 8 * _GIB
    for mount, gib, full, a_day in machine.disks:
        days = (moment.at - telling.told_at) / _DAY
        filled = min(0.97, full + a_day * days) * gib * _GIB
        yield "cockpit_disk_size_bytes", {"mount": mount}, gib * _GIB
        yield "cockpit_disk_used_bytes", {"mount": mount}, round(filled)
        yield "cockpit_disk_free_bytes", {"mount": mount}, round(gib * _GIB - filled)


def _card(card: Card, machine: Machine, number: int, moment: Moment) -> Readings:
    hot = moment.heat if card.runs_hot else 0.0
    name = f"{machine.host} {number}"
    used = _held(0.04 + 0.8 * math.sqrt(moment.busy) + 0.07 * _noise(moment, name, "use"))
    used *= 1 - 0.45 * hot  # held back by its own heat
    memory = _held(card.memory_used + 0.05 * moment.busy + 0.004 * _noise(moment, name, "memory"))
    celsius = 38 + card.warmth * used + 1.2 * _noise(moment, name, "heat")
    celsius += hot * (card.slowdown + 1.5 - celsius)
    yield "cockpit_gpu_up", {}, 1.0
    yield "cockpit_gpu_info", {"name": card.name, "driver": "570.86.15", "uuid": f"GPU-demo-{number}"}, 1.0
    yield "cockpit_gpu_utilization_ratio", {}, used
    yield "cockpit_gpu_memory_used_bytes", {}, round(memory * card.memory_gib * _GIB)
    yield "cockpit_gpu_memory_total_bytes", {}, card.memory_gib * _GIB
    yield "cockpit_gpu_temperature_celsius", {}, round(celsius)
    yield "cockpit_gpu_slowdown_celsius", {}, card.slowdown
    yield "cockpit_gpu_power_watts", {}, _watts(card, used)
    yield "cockpit_gpu_power_limit_watts", {}, card.watts
    yield "cockpit_gpu_throttled", {"reason": "thermal slowdown by hardware"}, float(hot > 0.8)
    yield "cockpit_gpu_throttled", {"reason": "power cap"}, float(used > 0.88)


def _watts(card: Card, used: float) -> float:
    return round(card.watts * (0.12 + 0.85 * used), 1)


def _growth(machine: Machine, moment: Moment, seconds: float, telling: Telling) -> Readings:
    busy = 0.05 + moment.busy * (1 + 0.15 * _noise(moment, machine.host, "traffic"))
    for family, mib_a_second in (
        ("cockpit_network_receive_bytes_total", 2.4), ("cockpit_network_transmit_bytes_total", 5.1),
    ):  # fmt: skip
        yield family, {"interface": "eth0"}, round(mib_a_second * _MIB * busy * seconds)
    yield "cockpit_disk_read_bytes_total", {}, round(0.8 * _MIB * busy * seconds)
    yield "cockpit_disk_written_bytes_total", {}, round(3.2 * _MIB * busy * seconds)
    for number, card in enumerate(machine.cards):
        gpu = {"gpu": str(number)}
        yield "cockpit_gpu_energy_joules_total", gpu, _watts(card, _held(0.8 * math.sqrt(moment.busy))) * seconds
        fault = (telling.told_at - _XID_AGO).replace(hour=_XID_HOUR, minute=7, second=0, microsecond=0)
        if number == 0 and timedelta(0) <= moment.at - fault < timedelta(seconds=seconds):
            yield "cockpit_gpu_xid_errors_total", {**gpu, "xid": _XID, "severity": "info"}, 1.0


def _held(share: float) -> float:
    return min(1.0, max(0.0, share))
