"""An organization's own traffic for developers: requests to its API, and what was refused."""

from collections.abc import Mapping, Sequence

from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Column
from cockpit.dashboard.limits import Drawing, Limits
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
            _number,
            description=f"Requests to this cockpit {unit.words} in {sight.last}, and how many of them failed.",
            limits=_limits(sight, "api-requests", unit, (REQUESTS,)),
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
    counts, failures = _by(tracks, "route"), _by(_failed(tracks), "route")
    busiest = sorted(counts, key=lambda route: (-counts[route], route))
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
    refused, limited, networks = readings.of(REFUSED), readings.of(LIMITED), readings.of(NETWORKS)
    since = [*refused, *limited, *networks, *readings.of(REQUESTS)]
    if not since:
        return None
    counts = {
        **{f"Over the limit of {route or 'an unnamed route'}": times for route, times in _by(limited, "route").items()},
        **{
            REASONS.get(name, name.replace("_", " ") or "unnamed"): times
            for name, times in _by(refused, "reason").items()
        },
    }
    most = max(counts.values(), default=0.0) or 1.0
    return {
        "refused": words.count(round(sum(track.grown for track in refused))),
        "limited": words.count(round(sum(track.grown for track in limited))),
        "networks": words.count(round(sum(track.grown for track in networks))),
        "reasons": [
            {"name": name, "count": words.count(round(counts[name])), "width": f"{100 * counts[name] / most:.1f}%"}
            for name in sorted(counts, key=lambda name: -counts[name])
        ],
        **(_refusals(sight, refused, limited, since) if counts else {}),
        "period": sight.last,
        "label": readings.label((REFUSED, LIMITED, NETWORKS)),
    }


def _by(tracks: Sequence[Track], label: str) -> dict[str, float]:
    """By how much counters grew in all, by one of their labels; what did not grow is left out."""
    counts: dict[str, float] = {}
    for track in tracks:
        counts[track.labels.get(label, "")] = counts.get(track.labels.get(label, ""), 0.0) + track.grown
    return {name: count for name, count in counts.items() if count}


def _refusals(sight: Sight, refused: Sequence[Track], limited: Sequence[Track], since: Sequence[Track]) -> Context:
    """When it was that something was refused: a guess now and then looks unlike an attack."""
    rates = [_rates(tracks, sight.readings, since) for tracks in (refused, limited)]
    unit = words.rate(max((value for one in rates for value in one if value is not None), default=0.0))
    scaled = [[None if value is None else value * unit.seconds for value in one] for one in rates]
    return {
        "unit": unit.words,
        "chart": charts.line_chart(
            "Refusals",
            sight.readings.steps,
            [Column("Credentials refused", "bad", scaled[0]), Column("Over a limit", "s2", scaled[1])],
            _number,
            description=f"Credentials refused and requests over a limit {unit.words} in {sight.last}.",
            limits=_limits(sight, "refusals", unit, (REFUSED, LIMITED)),
        ),
    }


def _limits(sight: Sight, chart: str, unit: words.Rate, families: Sequence[str]) -> Limits:
    drawing = Drawing(step=sight.readings.steps.seconds, seconds=unit.seconds)
    return sight.limits_of(chart, drawing, unit.words, sight.readings.label(families))


def _number(value: charts.Value) -> str:
    return words.compact(float(value)) or charts.NO_DATA
