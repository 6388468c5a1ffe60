"""The panel of alerts for developers: what is open, worst first, and how long people took with what was."""

import json
import re
from collections.abc import Mapping
from datetime import datetime

from alerts.figures import Figures, Spread
from alerts.notices import OF_RULES
from alerts.states import State, Suppression
from cockpit.dashboard import words
from cockpit.dashboard.sight import Sight

Context = dict[str, object]
Numbers = Mapping[str, float]

FIRST = 6  # that stand open on the page; the others are one press away
MOST_RESOLVED = 6
MOST_LABELS = 12
_MOST_METADATA = 3000  # letters
_VALUES = ("value", "current", "currentValue", "actual", "observed", "errorRate")
_LIMITS = ("threshold", "limit")
_SHARES = ("rate", "ratio", "share")
_MILLISECONDS = {"ms": 1.0, "milliseconds": 1.0, "s": 1000.0, "seconds": 1000.0}
_SIGNS = {"percent": "%", "celsius": "°C", "money": ""}
_SANE = 1e15  # from here on a number is told by its power of ten
_PERIODS = ("timeWindow", "window")
_SHORT = 20  # letters of a unit or a length of time that are no story


def alerts(sight: Sight) -> Context | None:
    alarms = sight.alarms
    if not alarms.known or not (alarms.summary.total or alarms.episodes or sight.totals.inferences):
        return None
    resolved = alarms.resolved
    return {
        "rows": [_row(sight, state) for state in alarms.open[:FIRST]],
        "others": [_row(sight, state) for state in alarms.open[FIRST:]],
        "more": alarms.summary.total - len(alarms.open),
        "tally": _tally(sight),
        "resolved": [_resolved(sight, state) for state in resolved[:MOST_RESOLVED]],
        "more_resolved": len(resolved) - MOST_RESOLVED,
        "times": _times(alarms.now, alarms.before),
        "period": sight.last,
        "against": sight.earlier if alarms.before else None,
        "organization": sight.answer.organization,
        "label": alarms.label,
    }


def _tally(sight: Sight) -> list[tuple[str, int, str]]:
    """(class, how many, of what), without those of which there is none."""
    one = sight.alarms.summary
    counts = (
        ("critical", one.critical, "critical"),
        ("warning", one.warning, "warning"),
        ("info", one.info, "info"),
        ("acknowledged", one.acknowledged, "acknowledged"),
        ("suppressed", one.suppressed, "suppressed"),
    )
    return [each for each in counts if each[1]]


def _row(sight: Sight, state: State) -> Context:
    labels = sorted(state.labels.items())
    return {
        "id": str(state.id),
        "severity": state.severity,
        "status": state.status,
        "type": state.alert_type,
        "message": state.message,
        "age": words.age((sight.answer.as_of - state.first_seen_at).total_seconds()),
        "since": state.first_seen_at,
        "since_words": sight.clock(state.first_seen_at),
        "last_words": sight.clock(state.last_seen_at),
        "count": words.count(state.count),
        "repeated": state.count > 1,
        "measured": measured(state.metadata),
        "labels": labels[:MOST_LABELS],
        "more_labels": len(labels) - MOST_LABELS,
        "metadata": _pretty(state.metadata),
        "endpoint": state.endpoint_id,
        "model": state.model_name,
        "owner": sight.alarms.owners.get(state.owner_id or 0, ""),
        "acknowledged": _acknowledged(sight, state),
        "note": state.acknowledge_note,
        "suppressions": [_suppression(sight, one) for one in state.suppressed_by],
        "source": "" if state.source == "live" else state.source,
    }


def _acknowledged(sight: Sight, state: State) -> str:
    if state.status != "acknowledged" or state.acknowledged_at is None:
        return ""
    until = f" until {sight.clock(state.acknowledged_until)}" if state.acknowledged_until else ""
    by = f" by {state.acknowledged_by}" if state.acknowledged_by else ""
    return f"acknowledged{by} at {sight.clock(state.acknowledged_at)}{until}"


def _suppression(sight: Sight, one: Suppression) -> str:
    until = f" until {sight.clock(one.until)}" if one.until else ""
    return f"{'in maintenance' if one.kind == 'maintenance' else one.kind}{until}" + (
        f": {one.note}" if one.note else ""
    )


def _pretty(metadata: Mapping[str, object]) -> str:
    if not metadata:
        return ""
    untold = OF_RULES if "ruleId" in metadata else ()
    told = {name: value for name, value in metadata.items() if name not in untold}
    text = json.dumps(told, indent=2, ensure_ascii=False)
    return text if len(text) <= _MOST_METADATA else f"{text[:_MOST_METADATA]}\n…"


def measured(metadata: Mapping[str, object]) -> Context | None:
    """The value seen and the threshold it is held against, in words; None where no number says either."""
    numbers = {
        name: value
        for name, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    limit = next((name for name in _LIMITS if name in numbers), None)
    value = _value_of({name: number for name, number in numbers.items() if name != limit}, limit is not None)
    if value is None and limit is None:
        return None
    given = metadata.get("unit")
    period = next((metadata[name] for name in _PERIODS if name in metadata), None)
    unit = given if isinstance(given, str) and 0 < len(given) <= _SHORT else ""
    kind = unit or _last_word(value or "")
    share = all(0 <= numbers[one] <= 1 for one in (value, limit) if one)
    value_words, limit_words = (_figure(numbers[one], kind, unit, share) if one else None for one in (value, limit))
    return {
        "name": "" if value in (None, "value") else value,
        "value": value_words,
        "threshold": limit_words,
        "period": period if isinstance(period, str) and len(period) <= _SHORT else "",
    }


def _value_of(numbers: Numbers, limited: bool) -> str | None:
    """The number that the alert is about, by its name; else the only one there is beside a threshold."""
    named = next((name for name in _VALUES if name in numbers), None)
    share = next((name for name in numbers if _last_word(name) in _SHARES), None)
    return named or share or (next(iter(numbers)) if limited and len(numbers) == 1 else None)


def _last_word(name: str) -> str:
    """What a name ends with, which often is its unit: p95Ms, free_bytes, errorRate."""
    found = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name[-60:])
    return found[-1].lower() if found else ""


def _figure(number: float, kind: str, unit: str, share: bool) -> str:
    """A number of that kind, in the unit given; a share in per cent where it and its threshold are from 0 to 1."""
    if kind in _SHARES and share:
        return words.percent(number) or ""
    if unit.endswith("/s"):
        base = unit.removesuffix("/s")
        return f"{_figure(number, base, base, share=False)}/s"
    plain = not number or 0.1 <= abs(number) < _SANE
    if kind in _MILLISECONDS and 0 <= number < _SANE:
        return words.duration(number * _MILLISECONDS[kind]) or ""
    if kind == "bytes" and 0 <= number < _SANE:
        return words.size(number) or ""
    told = words.compact(number) if plain else f"{number:.3g}"
    sign = _SIGNS.get(kind, unit)
    return f"{told}{words.SPACE}{sign}" if sign else f"{told}"


def _times(now: Figures, before: Figures | None) -> list[Context]:
    """How long it took to take alerts up, and until they were over; without what nobody did."""
    rows = (
        ("Time to acknowledge", now.acknowledged, before.acknowledged if before else None),
        ("Time to resolve", now.resolved, before.resolved if before else None),
    )
    return [_time(name, one, earlier) for name, one, earlier in rows if one]


def _time(name: str, one: Spread, earlier: Spread | None) -> Context:
    return {
        "name": name,
        "median": words.duration(one.median * 1000),
        "p90": words.duration(one.p90 * 1000),
        "number": words.count(one.number),
        "change": words.change(one.median, earlier.median, better="down") if earlier else None,
    }


def _resolved(sight: Sight, state: State) -> Context:
    ended: datetime = state.resolved_at or state.changed_at
    return {
        "id": str(state.id),
        "severity": state.severity,
        "type": state.alert_type,
        "message": state.message,
        "model": state.model_name,
        "at": ended,
        "at_words": sight.clock(ended),
        "lasted": words.age((ended - state.first_seen_at).total_seconds()),
        "by": state.resolved_by,
        "note": state.resolve_note,
        "source": "" if state.source == "live" else state.source,
    }
