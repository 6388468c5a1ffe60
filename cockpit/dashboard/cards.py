"""Graphics cards for developers: use, memory, heat against the card's own limit, and what holds it back, in words."""

from collections.abc import Callable, Mapping, Sequence

from cockpit.dashboard import charts, words
from cockpit.dashboard.limits import Drawing
from cockpit.dashboard.readings import Readings, Track
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.units import Context, Lines, Row, State, Unit, compared, labelled, share, shares, state_of
from monitoring.probes.nvml_words import xid

MOST_CARDS = 16
CARD_FAMILIES = ("cockpit_gpu_up", "cockpit_gpu_utilization_ratio", "cockpit_gpu_memory_used_bytes")
HOLDS_BACK = ("power cap", "hardware slowdown", "thermal slowdown by software", "thermal slowdown by hardware",
              "power brake")  # fmt: skip
HEAT = ("thermal slowdown by software", "thermal slowdown by hardware")
NEAR_SLOWDOWN = 8.0  # degrees below the card's own threshold


def cards(readings: Readings) -> list[tuple[str, str, str]]:
    """(source, host, number) of every card that was measured in the window."""
    return sorted(
        {
            (one.source, one.labels.get("host", ""), one.labels.get("gpu", ""))
            for family in CARD_FAMILIES
            for one in readings.of(family)
        },
        key=lambda card: (card[0], card[1], card[2].zfill(3)),
    )


def gpus(sight: Sight) -> Context | None:
    readings, there = sight.readings, cards(sight.readings)
    if not there:
        return None
    when, several = f"in {sight.last}", len({host for _, host, _ in there}) > 1

    def lines(family: str, values: Callable[[Track], Sequence[float | None]]) -> Lines:
        return {_name(track, several): values(track) for track in readings.of(family)}

    used = lines("cockpit_gpu_utilization_ratio", lambda track: track.means(readings.steps))
    heat = lines("cockpit_gpu_temperature_celsius", lambda track: track.means(readings.steps))
    slowdown, label = _slowdown(readings), readings.label(CARD_FAMILIES)
    drawing = Drawing(step=readings.steps.seconds, whole=slowdown[1] if slowdown else None, lone=len(there) == 1)
    limits = [sight.limits_of(name, drawing, label=label) for name in ("gpu-utilisation", "gpu-temperature")]
    drawn = (
        compared("GPU utilisation", readings, used, when, limits=limits[0]),
        compared("GPU temperature", readings, heat, when, _celsius, 0.0, slowdown, limits[1]),
    )
    return {
        "units": [_card(readings, *card) for card in there[:MOST_CARDS]],
        "more": max(0, len(there) - MOST_CARDS),
        "label": label,
        "charts": [chart for chart in drawn if chart],
    }


def _celsius(value: charts.Value) -> str:
    return f"{value:.0f}{words.SPACE}°C"


def _slowdown(readings: Readings) -> tuple[str, float] | None:
    """Where cards slow themselves down, as far as they all agree on it."""
    limits = {track.last for track in readings.of("cockpit_gpu_slowdown_celsius")}
    return ("slows itself down", limits.pop()) if len(limits) == 1 else None


def _name(track: Track, several: bool) -> str:
    number = f"GPU {track.labels.get('gpu', '')}"
    return f"{track.labels.get('host', '')}, {number}" if several else number


def _card(readings: Readings, source: str, host: str, gpu: str) -> Unit:
    where = {"host": host, "gpu": gpu} if host else {"gpu": gpu}
    up = readings.last("cockpit_gpu_up", source, **where)
    described = max(readings.of("cockpit_gpu_info", source, **where), key=lambda one: one.newest, default=None)
    tracks = [readings.one(family, source, **where) for family in CARD_FAMILIES]
    lost: list[tuple[State, str]] = [("bad", "The card does not answer.")] if up == 0 else []
    return Unit(
        name=f"{host}, GPU {gpu}" if host else f"GPU {gpu}",
        kind=described.labels.get("name", "") if described else "",
        source=labelled(source),
        rows=[row for row in _figures(readings, source, where) if row],
        remarks=[*lost, *_held_back(readings, source, where), *_errors(readings, source, where)],
        silence=readings.silence("gpu", source, tracks, **({"host": host} if host else {})),
    )


def _figures(readings: Readings, source: str, where: Mapping[str, str]) -> list[Row | None]:
    return [figure(readings, source, where) for figure in (_use, _memory, _heat, _power)]


def _use(readings: Readings, source: str, where: Mapping[str, str]) -> Row | None:
    used = readings.one("cockpit_gpu_utilization_ratio", source, **where)
    if used is None:
        return None
    return Row(
        label="Utilisation",
        value=words.percent(used.last),
        note=f"highest {words.percent(used.most)}",
        spark=charts.spark(used.means(readings.steps), full=1.0),
    )


def _memory(readings: Readings, source: str, where: Mapping[str, str]) -> Row | None:
    used = readings.one("cockpit_gpu_memory_used_bytes", source, **where)
    total = readings.one("cockpit_gpu_memory_total_bytes", source, **where)
    if used is None:
        return None
    part = share(used.last, total.last if total else None)
    return Row(
        label="Memory",
        value=words.percent(part) if part is not None else words.size(used.last),
        note=f"{words.size(used.last)} of {words.size(total.last)}" if total else "",
        spark=charts.spark(shares(used, total, readings) or used.means(readings.steps), full=1.0 if total else 0.0),
        state=state_of(part, 0.92, 0.98),
    )


def _heat(readings: Readings, source: str, where: Mapping[str, str]) -> Row | None:
    heat = readings.one("cockpit_gpu_temperature_celsius", source, **where)
    limit = readings.last("cockpit_gpu_slowdown_celsius", source, **where)
    if heat is None:
        return None
    return Row(
        label="Temperature",
        value=f"{heat.last:.0f}{words.SPACE}°C",
        note=f"highest {heat.most:.0f}" + (f", slows down at {limit:.0f}{words.SPACE}°C" if limit else ""),
        spark=charts.spark(heat.means(readings.steps), full=limit or 0.0),
        state=too_hot(heat.last, limit),
    )


def too_hot(heat: float, limit: float | None) -> State:
    """Against the card's own threshold; a card that tells none is not judged."""
    return "" if not limit or heat < limit - NEAR_SLOWDOWN else "near" if heat < limit else "bad"


def _power(readings: Readings, source: str, where: Mapping[str, str]) -> Row | None:
    power = readings.one("cockpit_gpu_power_watts", source, **where)
    limit = readings.last("cockpit_gpu_power_limit_watts", source, **where)
    if power is None:
        return None
    return Row(
        label="Power",
        value=f"{power.last:.0f}{words.SPACE}W",
        note=f"limit {limit:.0f}{words.SPACE}W" if limit else "",
        spark=charts.spark(power.means(readings.steps), full=limit or 0.0),
    )


def _held_back(readings: Readings, source: str, where: Mapping[str, str]) -> list[tuple[State, str]]:
    """Why clocks were held down in the window, and for how much of it."""
    told: list[tuple[State, str]] = []
    for reason in HOLDS_BACK:
        track = readings.one("cockpit_gpu_throttled", source, reason=reason, **where)
        if track is None or not track.most:
            continue
        looks = sum(span.count for span in track.spans.values())
        part = sum(span.total for span in track.spans.values()) / looks
        level = (reason != "power cap") + bool(track.last)  # a cap is meant to hold back
        state: State = ("", "near", "bad")[level]
        now = "now, and " if track.last else ""
        told.append((state, f"Clocks held down: {reason}, {now}{words.percent(part)} of the time."))
    return told


def _errors(readings: Readings, source: str, where: Mapping[str, str]) -> list[tuple[State, str]]:
    states: dict[str, State] = {"critical": "bad", "warning": "near", "info": ""}
    told: list[tuple[State, str]] = []
    for track in readings.of("cockpit_gpu_xid_errors_total", source, **where):
        code, times = track.labels.get("xid", ""), round(track.grown)
        if code.isdecimal() and times:
            known = xid(int(code))
            often = f", {times:,} times" if times > 1 else ""
            told.append((states[known.severity], f"XID {code}{often}: {known.meaning}. {known.advice}"))
    return told
