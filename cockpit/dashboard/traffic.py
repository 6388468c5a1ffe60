"""An organization's own traffic for developers: requests to its API, and what was refused."""

from collections.abc import Mapping, Sequence

from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Column
from cockpit.dashboard.readings import Readings, Track
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.units import Context

REQUESTS, REFUSED, LIMITED, NETWORKS = (
    "cockpit_http_requests_total", "cockpit_auth_failures_total", "cockpit_rate_limited_total",
    "cockpit_new_networks_total",
)  # fmt: skip
_BUCKETS = "cockpit_http_request_duration_seconds_bucket"
MOST_ROUTES = 12
_LEAST = 30.0  # seconds of a step: in less, one request would look like a storm
REASONS: Mapping[str, str] = {
    "malformed_key": "Not a key",
    "unknown_key": "Unknown key",
    "wrong_secret": "Wrong secret of a known key",
    "expired_key": "Expired key",
    "expired_token": "Expired token",
    "bad_token": "Invalid token",
    "key_in_page": "Key used in a web page",
    "missing": "No credentials",
    "csrf": "Form from elsewhere",
    "throttled": "Too many sign-in tries",
    "wrong_password": "Wrong password",
}


def api(sight: Sight) -> Context | None:
    readings = sight.readings
    tracks = readings.of(REQUESTS)
    if not tracks:
        return None
    total, failed = (sum(track.grown for track in some) for some in (tracks, _failed(tracks)))
    rates, bad = _rates(tracks, readings, tracks), _rates(_failed(tracks), readings, tracks)
    unit = words.rate(max((value for value in rates if value is not None), default=0.0))
    columns = [
        Column("Requests", "s1", [None if value is None else value * unit.seconds for value in rates], area=True),
        Column("Failed", "bad", [None if value is None else value * unit.seconds for value in bad]),
    ]
    return {
        "unit": unit.words,
        "total": words.count(round(total)),
        "failed": words.percent(failed / total) if total else None,
        "p95": _timed(quantile(readings.of(_BUCKETS), 0.95)),
        "chart": charts.line_chart(
            "API requests",
            readings.steps,
            columns,
            lambda value: words.compact(float(value)) or charts.NO_DATA,
            description=f"Requests to this cockpit {unit.words} in {sight.last}, and how many of them failed.",
        ),
        "routes": _routes(readings, tracks),
        "more": max(0, len({track.labels.get("route") for track in tracks}) - MOST_ROUTES),
        "label": readings.label((REQUESTS,)),
    }


def _failed(tracks: Sequence[Track]) -> list[Track]:
    """What the server failed at: a caller's own mistakes are no errors of the cockpit."""
    return [track for track in tracks if track.labels.get("status", "").startswith("5")]


def _rates(tracks: Sequence[Track], readings: Readings, since: Sequence[Track]) -> list[float | None]:
    """All series together; 0 from the first request of `since` on, for each one is counted, and None before it."""
    columns = [track.rates(readings.steps) for track in tracks]
    first = min(min(track.spans) for track in since)
    sums: list[float | None] = []
    for index, moment in enumerate(readings.steps.t):
        known = moment >= first and readings.steps.covered(index) >= _LEAST
        sums.append(sum(column[index] or 0.0 for column in columns) if known else None)
    return sums


def _routes(readings: Readings, tracks: Sequence[Track]) -> list[Mapping[str, object]]:
    counts: dict[str, float] = {}
    failures: dict[str, float] = {}
    for track in tracks:
        route = track.labels.get("route", "")
        counts[route] = counts.get(route, 0.0) + track.grown
    for track in _failed(tracks):
        route = track.labels.get("route", "")
        failures[route] = failures.get(route, 0.0) + track.grown
    busiest = sorted((route for route in counts if counts[route]), key=lambda route: (-counts[route], route))
    most = max(counts.values(), default=0.0) or 1.0
    return [
        {
            "name": route or "unnamed",
            "requests": words.count(round(counts[route])),
            "width": f"{100 * counts[route] / most:.1f}%",
            "failed": words.percent(failures.get(route, 0.0) / counts[route]),
            "failing": failures.get(route, 0.0) > 0,
            "p95": _timed(quantile(readings.of(_BUCKETS, route=route), 0.95)),
        }
        for route in busiest[:MOST_ROUTES]
    ]


def quantile(buckets: Sequence[Track], q: float) -> float | None:
    """Seconds that a share of requests took at most, straight between the bounds; the last bound where it lies beyond.

    Each bucket counts all that took no longer than its bound `le`.
    """
    below: dict[float, float] = {}
    for track in buckets:
        bound = float(track.labels.get("le", "inf"))
        below[bound] = below.get(bound, 0.0) + track.grown
    total = below.get(float("inf"), 0.0)
    if not total:
        return None
    low, before = 0.0, 0.0
    for bound in sorted(below):
        if below[bound] >= q * total:
            inside = below[bound] - before
            return low if bound == float("inf") or not inside else low + (bound - low) * (q * total - before) / inside
        low, before = bound, below[bound]
    return low


def _timed(seconds: float | None) -> str | None:
    return words.duration(None if seconds is None else seconds * 1000)


def security(sight: Sight) -> Context | None:
    """Refusals and new networks; left out where nothing at all was counted, no request either."""
    readings = sight.readings
    refused, limited = readings.of(REFUSED), readings.of(LIMITED)
    if not (refused or limited or readings.of(NETWORKS) or readings.of(REQUESTS)):
        return None
    counts: dict[str, float] = {}
    for track in refused:
        reason = track.labels.get("reason", "")
        counts[reason] = counts.get(reason, 0.0) + track.grown
    reasons = sorted((reason for reason in counts if counts[reason]), key=lambda reason: -counts[reason])
    most = max(counts.values(), default=0.0) or 1.0
    return {
        "refused": words.count(round(sum(counts.values()))),
        "limited": words.count(round(sum(track.grown for track in limited))),
        "networks": words.count(round(sum(track.grown for track in readings.of(NETWORKS)))),
        "reasons": [
            {
                "name": REASONS.get(reason, reason.replace("_", " ") or "unnamed"),
                "count": words.count(round(counts[reason])),
                "width": f"{100 * counts[reason] / most:.1f}%",
            }
            for reason in reasons
        ],
        "period": sight.last,
        "label": readings.label((REFUSED, LIMITED, NETWORKS)),
    }
