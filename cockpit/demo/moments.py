"""A moment of the demo: what everything that is made up for it has in common, however often it is asked."""

import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cockpit.demo.calls import HOUR, SEED, Telling, hour_of
from cockpit.demo.profiles import PROFILES, Incident, Profile

Readings = Iterator[tuple[str, Mapping[str, str], float]]
Zones = Mapping[str, ZoneInfo]
_WARMING = 0.2  # of an incident, until the hot card is as hot as it gets
_CALLS_A_SESSION = 3.1


class Moment(NamedTuple):
    """A time with what applies to everything then: how busy the organizations are (0-1), how hot the hot card."""

    at: datetime
    busy: float
    heat: float

    def noise(self, *names: str) -> float:
        """Between -1 and 1, another one for each minute and name."""
        return 2 * self.chance(*names) - 1

    def chance(self, *names: str) -> float:
        """The same from 0 up to 1."""
        return random.Random(f"{SEED} {self.at:%Y-%m-%dT%H:%M} {' '.join(names)}").random()  # noqa: S311 - a story

    def whole(self, amount: float, *names: str) -> int:
        """About so many of what comes one by one: what is less than one comes now and then."""
        return int(amount + self.chance(*names))


def moment(at: datetime, telling: Telling, zones: Zones) -> Moment:
    return Moment(at, _busyness(at, zones), _heat(at, telling, zones))


def calls_a_second(profile: Profile, at: datetime, zone: ZoneInfo) -> float:
    """How many calls an organization makes of a usual day, smooth between the hours."""
    local = at.astimezone(zone)
    share = local.minute / 60 + local.second / 3600
    here, following = profile.hours[local.hour], profile.hours[(local.hour + 1) % 24]
    day = profile.weekend if local.weekday() >= 5 else 1.0
    sessions = profile.sessions * day * (here + (following - here) * share) / sum(profile.hours)
    return sessions * _CALLS_A_SESSION / 3600


def incidents(profile: Profile, at: datetime, telling: Telling, zones: Zones) -> dict[str, Incident]:
    """What happens to an organization at that time, by kind."""
    return {one.kind: one for one in telling.during(profile.organization, hour_of(at), zones[profile.organization])}


def held(share: float) -> float:
    return min(1.0, max(0.0, share))


def _busyness(at: datetime, zones: Zones) -> float:
    """How busy all organizations are together, against their busiest hour."""
    now = sum(calls_a_second(profile, at, zones[profile.organization]) for profile in PROFILES)
    most = sum(profile.sessions * max(profile.hours) / sum(profile.hours) for profile in PROFILES)
    return now * 3600 / _CALLS_A_SESSION / most


def _heat(at: datetime, telling: Telling, zones: Zones) -> float:
    """How far the hot card is into its heat, 0-1: the hour in which SwaggyStacks' calls fail is its doing."""
    for incident in telling.story.incidents:
        if incident.kind == "errors" and incident.organization == PROFILES[0].organization:
            passed = (at - telling.start_of(incident, zones[incident.organization])) / (incident.hours * HOUR)
            if 0 <= passed < 1.25:
                return min(1.0, passed / _WARMING, (1.25 - passed) / 0.25)
    return 0.0
