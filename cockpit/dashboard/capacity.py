"""Capacity and risk for executives: what room is left, what is in danger, what is not known; all in plain words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from cockpit.dashboard import words
from cockpit.dashboard.cards import CARD_FAMILIES, HEAT, cards, too_hot
from cockpit.dashboard.machines import HOST_FAMILIES, fullest, hosts
from cockpit.dashboard.readings import Readings, Silence, Track
from cockpit.dashboard.services import BACKENDS, source_of
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.traffic import REFUSED, REQUESTS
from cockpit.dashboard.units import Context, share

Level = Literal["good", "near", "bad", "unknown"]
_WORST: tuple[Level, ...] = ("bad", "near", "unknown", "good")
_VERDICTS = {"good": "Room enough", "near": "Worth watching", "bad": "Needs attention", "unknown": "Not all is known"}
_PARTS = (
    (0.03, "next to nothing"), (0.07, "a twentieth"), (0.15, "about a tenth"), (0.22, "about a fifth"),
    (0.29, "about a quarter"), (0.36, "about a third"), (0.45, "about two fifths"), (0.58, "about half"),
    (0.71, "about two thirds"), (0.82, "about three quarters"), (0.93, "about nine tenths"), (0.995, "nearly all"),
)  # fmt: skip
_LEAST_GROWTH = 0.002  # of a disk, over the window: less is no trend
_SOON, _LATER = 7.0, 45.0  # days until a disk is full: bad, near
_DAY = 86_400.0
_WATCHED = 300.0  # seconds: half of that shows how busy a machine was
_MANY, _MUCH = 20, 0.05  # refusals from which on their share of all requests is looked at, and a share to watch


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to know: how it stands, a sentence or two, and the one number that shows it."""

    level: Level
    topic: str
    sentence: str
    figure: str = ""


def part(of_whole: float) -> str:
    """A share as people say it."""
    return next((name for limit, name in _PARTS if of_whole < limit), "all")


def exact(share: float) -> str:
    """A share as a number beside its words: whole per cents, but what is nearly nothing or nearly all stays so."""
    return f"{100 * share:.0f}{words.SPACE}%" if 0.01 <= share <= 0.99 else words.percent(share) or ""


def capacity(sight: Sight) -> Context | None:
    readings = sight.readings
    expected = sight.totals.inferences and sight.source is None
    if not readings.platform or not (hosts(readings) or expected):
        return None
    judged = (_machines(readings, sight.last), _graphics(readings), _store(readings), _access(readings, sight.last))
    statements = [statement for some in judged for statement in some]
    level = min((one.level for one in statements), key=_WORST.index, default="unknown")
    return {
        "level": level,
        "verdict": _VERDICTS[level],
        "statements": sorted(statements, key=lambda one: _WORST.index(one.level)),
        "label": readings.label((*HOST_FAMILIES, *CARD_FAMILIES, *BACKENDS, REFUSED)),
        "as_of": f"{readings.until.astimezone(readings.steps.zone):%H:%M}",
    }


def _level(used: float, near: float, bad: float) -> Level:
    return "good" if used < near else "near" if used < bad else "bad"


def _plural(number: int, one: str, many: str) -> str:
    return f"one {one}" if number == 1 else f"{number:,} {many}"


def _unread(what: str, silent: Sequence[Silence], there: int) -> Statement | None:
    """What was measured once and is not any more: neither fine nor bad, but not known."""
    if not silent:
        return None
    which = f"The {what}" if there == 1 else f"{_plural(len(silent), what, f'{what}s').capitalize()} of {there}"
    verb = "was" if len(silent) == 1 else "were"
    return Statement("unknown", "Not measured", f"{which} {verb} not measured since {silent[0].since}.")


def _machines(readings: Readings, period: str) -> Iterable[Statement]:
    there = hosts(readings)
    if not there:
        yield Statement(
            "unknown", "Machines", f"No machine was measured in {period}, so what room is left is not known."
        )
        return
    silences = {
        (source, host): readings.silence(
            "host", source, [readings.one(family, source, host=host) for family in HOST_FAMILIES], host=host
        )
        for source, host in there
    }
    if unread := _unread("machine", [one for one in silences.values() if one], len(there)):
        yield unread
    measured = [place for place, silence in silences.items() if silence is None]
    yield from _power(readings, measured)
    yield from _memory(readings, measured)
    yield from _storage(readings, measured)


Places = Sequence[tuple[str, str]]


def _power(readings: Readings, places: Places) -> Iterable[Statement]:
    """By the busiest step of the window: an average hides the hours in which people wait."""
    tracks = [readings.one("cockpit_cpu_utilization_ratio", source, host=host) for source, host in places]
    peaks = [mean for track in tracks if track for mean in _watched(track, readings)]
    if peaks:
        which = "the machine" if len(places) == 1 else "the busiest machine"
        used = max(peaks)
        sentence = f"At the busiest time {which} used {part(used)} of its computing power."
        yield Statement(_level(used, 0.75, 0.9), "Computing power", sentence, f"{exact(used)} used")


def _watched(track: Track, readings: Readings) -> list[float]:
    """What each step held on average, without those of which next to nothing was seen, as just after a start."""
    least = 0.5 * min(_WATCHED, readings.steps.seconds) if track.source == "live" else 0.0
    return [span.mean for span in track.spans.values() if span.count * settings.GATHER_INTERVAL >= least]


def _memory(readings: Readings, places: Places) -> Iterable[Statement]:
    used = [
        share(
            readings.last("cockpit_memory_used_bytes", source, host=host),
            readings.last("cockpit_memory_total_bytes", source, host=host),
        )
        for source, host in places
    ]
    known = [one for one in used if one is not None]
    if known:
        whose = "the machine's" if len(places) == 1 else "the fullest machine's"
        sentence = f"{part(1 - max(known)).capitalize()} of {whose} memory is free."
        yield Statement(_level(max(known), 0.85, 0.95), "Memory", sentence, f"{exact(1 - max(known))} free")


def _storage(readings: Readings, places: Places) -> Iterable[Statement]:
    found = [pair for source, host in places if (pair := fullest(readings, source, host))]
    if not found:
        return
    used, size = max(found, key=lambda pair: pair[0].last / pair[1].last)
    level = _level(used.last / size.last, 0.85, 0.95)
    sentence = f"The fullest disk has {part(1 - used.last / size.last)} of its space free."
    days = min((left for pair in found if (left := days_left(*pair)) is not None), default=None)
    if days is not None and days < _LATER:
        pace = "within a day" if days < 1 else f"in about {_plural(round(days), 'day', 'days')}"
        sentence += f" At the pace of this period {'it' if len(found) == 1 else 'one'} is full {pace}."
        level = min(level, "bad" if days < _SOON else "near", key=_WORST.index)
    yield Statement(level, "Storage", sentence, f"{exact(1 - used.last / size.last)} free")


def days_left(used: Track, size: Track) -> float | None:
    """Until a disk is full at its pace in the window; None where it does not fill, or a day was not watched."""
    seconds = (used.newest - min(used.spans)).total_seconds()
    grown = used.last - used.first
    if seconds < 0.75 * _DAY or grown < _LEAST_GROWTH * size.last:
        return None
    return (size.last - used.last) / (grown / seconds) / _DAY


def _graphics(readings: Readings) -> Iterable[Statement]:
    there = cards(readings)
    if not there:
        return
    silent, hot, slowed, before, lost = [], 0, 0, 0, 0
    for source, host, gpu in there:
        where = {"host": host, "gpu": gpu} if host else {"gpu": gpu}
        tracks = [readings.one(family, source, **where) for family in CARD_FAMILIES]
        if silence := readings.silence("gpu", source, tracks, **({"host": host} if host else {})):
            silent.append(silence)
            continue
        heat = readings.last("cockpit_gpu_temperature_celsius", source, **where)
        limit = readings.last("cockpit_gpu_slowdown_celsius", source, **where)
        lost += readings.last("cockpit_gpu_up", source, **where) == 0
        hot += heat is not None and too_hot(heat, limit) != ""
        held = [readings.one("cockpit_gpu_throttled", source, reason=one, **where) for one in HEAT]
        slowed += any(track.last for track in held if track)
        before += any(track.most for track in held if track)
    if unread := _unread("graphics card", silent, len(there)):
        yield unread
    if len(silent) < len(there):
        yield _heat_of(len(there) - len(silent), lost, hot, slowed, before)


def _which(number: int) -> str:
    return _plural(number, "graphics card", "graphics cards").capitalize()


def _heat_of(cards: int, lost: int, hot: int, slowed: int, before: int) -> Statement:
    """The worst that can be said of the cards that are measured; `before` were too hot at some time of the window."""
    level: Level = "bad"
    if lost:
        sentence = f"{_which(lost)} of {cards} {'does' if lost == 1 else 'do'} not answer."
    elif slowed == 1:
        sentence = "One graphics card is so hot that it slows itself down."
    elif slowed:
        sentence = f"{_which(slowed)} are so hot that they slow themselves down."
    elif hot:
        level, sentence = "near", f"{_which(hot)} {'runs' if hot == 1 else 'run'} hot."
    elif before == 1:
        level, sentence = "near", "One graphics card was so hot for a while that it slowed itself down. It has cooled."
    elif before:
        level, sentence = "near", f"{_which(before)} were so hot for a while that they slowed down. They have cooled."
    else:
        which = {1: "The graphics card runs", 2: "Both graphics cards run"}.get(cards, f"All {cards} run")
        level, sentence = "good", f"{which} cool."
    worst = lost or slowed or hot or before
    return Statement(level, "Graphics cards", sentence, f"{worst} of {cards}" if worst else "")


def _store(readings: Readings) -> Iterable[Statement]:
    source = source_of(readings, BACKENDS, "database")
    if source is None:
        yield Statement("unknown", "Database", "How the database does was not measured.")
        return
    track = readings.one("cockpit_database_connections", source)
    limit = readings.last("cockpit_database_connections_limit", source)
    if silence := readings.silence("database", source, [track]):
        yield Statement("unknown", "Database", f"The database was not measured since {silence.since}.")
    elif track and limit:
        level = _level(track.last / limit, 0.75, 0.9)
        sentence = "The database answers and has room." if level == "good" else "The database has few places left."
        yield Statement(level, "Database", sentence, f"{exact(max(0.0, 1 - track.last / limit))} free")


def _access(readings: Readings, period: str) -> Iterable[Statement]:
    """Who tried the organization's keys in vain. Nothing is said where no request was counted at all."""
    refused, requests = (sum(track.grown for track in readings.of(family)) for family in (REFUSED, REQUESTS))
    if not (refused or requests):
        return
    level: Level = "near" if refused >= _MANY and refused > _MUCH * requests else "good"
    times = _plural(round(refused), "attempt", "attempts").capitalize() if refused else "No attempt"
    verb = "were" if round(refused) > 1 else "was"
    sentence = f"{times} to get in with a key of this organization {verb} turned away in {period}."
    yield Statement(level, "Access", sentence)
