"""The demo's samples: two hosts and two graphics cards that live with the demo's calls, their services, their traffic.

A value depends on the moment alone (and on when the story was told), so that the same samples come out every time.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from bedrock import identifiers
from cockpit.demo import services, traffic
from cockpit.demo.calls import Telling
from cockpit.demo.moments import Moment, Readings, Zones, held, moment
from cockpit.demo.profiles import MACHINES, PROFILES, Card, Machine
from monitoring.store.samples import Increment, Labels, Sample

ORGANIZATION, SOURCE = "shared", "demo"
_DAY = timedelta(days=1)
_GIB, _MIB = 2**30, 2**20
_RESTARTS_EVERY = timedelta(days=6)  # of the service that leaks memory
_RESTARTED_AGO = timedelta(days=4.5)  # when the story is told
_XID, _XID_AGO, _XID_HOUR = "13", timedelta(days=3), 11  # an application's fault, once


def samples(at: datetime, telling: Telling, zones: Zones) -> list[Sample]:
    """What every probe would have read at a moment, running totals left out."""
    now = moment(at, telling, zones)
    at_ms = identifiers.milliseconds(at)
    found = [(family, {**labels, "host": machine.host}, value)
             for machine in MACHINES for family, labels, value in _levels(machine, now, telling)]  # fmt: skip
    return [
        Sample(organization=ORGANIZATION, family=family, labels=_sorted(labels), at_ms=at_ms, value=value,
               source=SOURCE)
        for family, labels, value in (*found, *services.levels(now, telling, zones))
    ]  # fmt: skip


def signs(at: datetime) -> list[Sample]:
    """That every machine was read at a moment: nobody is to miss one between two looks that are far apart."""
    return [
        Sample(organization=ORGANIZATION, family="cockpit_probe_up", at_ms=identifiers.milliseconds(at), value=1.0,
               labels=_sorted({"probe": "host", "host": machine.host}), source=SOURCE)
        for machine in MACHINES
    ]  # fmt: skip


def increments(at: datetime, seconds: float, telling: Telling, zones: Zones) -> list[Increment]:
    """By how much running totals grew in the seconds before a moment; increments, as days are loaded newest first."""
    now = moment(at, telling, zones)
    at_ms = identifiers.milliseconds(at)
    return [
        Increment(organization=organization, family=family, labels=_sorted(labels), at_ms=at_ms, amount=amount,
                  source=SOURCE)
        for organization, grown in _grown(now, seconds, telling, zones)
        for family, labels, amount in grown
        if amount
    ]  # fmt: skip


def _grown(now: Moment, seconds: float, telling: Telling, zones: Zones) -> Iterator[tuple[str, Readings]]:
    """What grew, by the organization that it belongs to."""
    for machine in MACHINES:
        own = _growth(machine, now, seconds, telling)
        yield ORGANIZATION, ((family, {**labels, "host": machine.host}, amount) for family, labels, amount in own)
    yield ORGANIZATION, services.growth(now, seconds, telling, zones)
    for profile in PROFILES:
        yield profile.organization, traffic.growth(profile, now, seconds, telling, zones)


def _sorted(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _levels(machine: Machine, moment: Moment, telling: Telling) -> Readings:
    yield from _host(machine, moment, telling)
    for number, card in enumerate(machine.cards):
        for family, labels, value in _card(card, machine, number, moment):
            yield family, {**labels, "gpu": str(number)}, value
    for probe in ("host", "disks", *(["gpu"] if machine.cards else [])):
        yield "cockpit_probe_up", {"probe": probe}, 1.0
        yield "cockpit_probe_last_success_timestamp_seconds", {"probe": probe}, moment.at.timestamp()


def _host(machine: Machine, moment: Moment, telling: Telling) -> Readings:
    cpu = held(machine.idle + machine.work * moment.busy + 0.03 * moment.noise(machine.host, "cpu"))
    yield "cockpit_cpu_utilization_ratio", {}, cpu
    yield "cockpit_load_average", {"minutes": "1"}, cpu * machine.cores * (1 + 0.1 * moment.noise(machine.host, "l"))
    leaked = machine.leak * ((moment.at - telling.told_at + _RESTARTED_AGO) % _RESTARTS_EVERY / _RESTARTS_EVERY)
    used = held(machine.memory_used + leaked + 0.06 * moment.busy + 0.004 * moment.noise(machine.host, "memory"))
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
    used = held(0.04 + 0.8 * math.sqrt(moment.busy) + 0.07 * moment.noise(name, "use"))
    used *= 1 - 0.45 * hot  # held back by its own heat
    memory = held(card.memory_used + 0.05 * moment.busy + 0.004 * moment.noise(name, "memory"))
    celsius = 38 + card.warmth * used + 1.2 * moment.noise(name, "heat")
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
    busy = 0.05 + moment.busy * (1 + 0.15 * moment.noise(machine.host, "traffic"))
    for family, mib_a_second in (
        ("cockpit_network_receive_bytes_total", 2.4), ("cockpit_network_transmit_bytes_total", 5.1),
    ):  # fmt: skip
        yield family, {"interface": "eth0"}, round(mib_a_second * _MIB * busy * seconds)
    yield "cockpit_disk_read_bytes_total", {}, round(0.8 * _MIB * busy * seconds)
    yield "cockpit_disk_written_bytes_total", {}, round(3.2 * _MIB * busy * seconds)
    for number, card in enumerate(machine.cards):
        gpu = {"gpu": str(number)}
        yield "cockpit_gpu_energy_joules_total", gpu, _watts(card, held(0.8 * math.sqrt(moment.busy))) * seconds
        fault = (telling.told_at - _XID_AGO).replace(hour=_XID_HOUR, minute=7, second=0, microsecond=0)
        if number == 0 and timedelta(0) <= moment.at - fault < timedelta(seconds=seconds):
            yield "cockpit_gpu_xid_errors_total", {**gpu, "xid": _XID, "severity": "info"}, 1.0
