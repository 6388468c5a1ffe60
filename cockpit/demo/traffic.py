"""The demo's traffic: what each organization asked of the cockpit's API, and what was refused."""

from datetime import timedelta

from cockpit.demo.calls import Telling
from cockpit.demo.moments import Moment, Readings, Zones, calls_a_second, incidents
from cockpit.demo.profiles import PROFILES, Profile
from monitoring.counting import bound_text
from monitoring.families import HTTP_BOUNDS

REQUESTS, DURATIONS = "cockpit_http_requests_total", "cockpit_http_request_duration_seconds"
# Route -> seconds that half of its requests take at most; nine in ten take no more than three times as long.
_ROUTES = {"inference": 0.006, "dashboard-data": 0.03, "panels": 0.05}
_SPREAD = 2.0  # how steeply the share of requests rises with the logarithm of time
_FORGOTTEN = (3, timedelta(minutes=10))  # hours of each night that a job tries an expired key, and how often


def growth(profile: Profile, moment: Moment, seconds: float, telling: Telling, zones: Zones) -> Readings:
    """By how much one organization's counters grew in the seconds before a moment."""
    now = incidents(profile, moment.at, telling, zones)
    calls = calls_a_second(profile, moment.at, zones[profile.organization]) * seconds
    calls += (now["runaway"].strength * 3 * seconds / 3600) if "runaway" in now else 0.0
    asked = {"inference": calls, "dashboard-data": seconds / 15, "panels": 0.4 * calls}
    limited = moment.whole(0.2 * calls if "runaway" in now else 0.0004 * calls, profile.organization, "limited")
    failing = 0.02 if "errors" in now else 0.0005
    for route, usual in asked.items():
        name = (profile.organization, route)
        times = moment.whole(usual, *name)
        failed = min(times, moment.whole(failing * usual, *name, "failed"))
        wrong = min(times - failed, moment.whole(0.004 * usual, *name, "wrong"))
        method, fine = ("POST", "201") if route == "inference" else ("GET", "200")
        where = {"method": method, "route": route}
        over = limited if route == "inference" else 0
        for status, count in ((fine, times - failed - wrong), ("400", wrong), ("429", over), ("503", failed)):
            yield REQUESTS, {**where, "status": status}, count
        yield from _durations(where, times + over, moment, "latency" in now)
    yield "cockpit_rate_limited_total", {"route": "inference"}, limited
    yield from _refused(profile, moment, seconds)


def _durations(where: dict[str, str], times: int, moment: Moment, slow: bool) -> Readings:
    """As a histogram keeps them: each bound counts all that took no longer."""
    half = _ROUTES[where["route"]] * (1 + 0.6 * moment.busy + 2 * moment.heat) * (4 if slow else 1)
    for bound in HTTP_BOUNDS:
        share = 1 / (1 + (half / bound) ** _SPREAD)
        yield f"{DURATIONS}_bucket", {**where, "le": bound_text(bound)}, int(times * share + 0.5)
    yield f"{DURATIONS}_bucket", {**where, "le": "+Inf"}, times
    yield f"{DURATIONS}_count", where, times
    yield f"{DURATIONS}_sum", where, round(times * half * 1.3, 6)


def _refused(profile: Profile, moment: Moment, seconds: float) -> Readings:
    """Typing errors by day, and a job that nobody remembers by night."""
    hours, every = _FORGOTTEN
    forgotten = seconds / every.total_seconds() if profile is PROFILES[0] and moment.at.hour < hours else 0.0
    for reason, usual in (("wrong_secret", moment.busy * seconds / 14_400), ("bad_token", seconds / 40_000),
                          ("expired_key", forgotten)):  # fmt: skip
        yield "cockpit_auth_failures_total", {"reason": reason}, moment.whole(usual, profile.organization, reason)
    yield "cockpit_new_networks_total", {}, moment.whole(seconds / 90_000, profile.organization, "networks")
