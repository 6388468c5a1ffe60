"""Whether a rule can be judged at all: what is wrong with its definition, field by field. Pure."""

import re
from collections.abc import Iterator
from typing import get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from alerts.definitions import (
    DAY,
    GROUPED,
    MEASURES,
    PLACE,
    PLACES,
    QUANTILES,
    WEEK,
    Aggregation,
    Definition,
    measure_of,
)
from alerts.rules import Condition, Operator
from bedrock.text import printable, text_problem
from monitoring.families import BY_NAME

LONGEST_WINDOW = 31 * DAY
LONGEST_HOLD, LONGEST_RENOTIFY, LONGEST_OFFSET = DAY, WEEK, 3600
MOST_FILTERS, MOST_VALUES, MOST_GROUPED, MOST_LABELS = 5, 20, 4, 20
LONGEST_TEXT, LONGEST_VALUE, LONGEST_TYPE = 500, 200, 100
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_TYPE = re.compile(r"[a-z][a-z0-9_]*")
_RULE = "must not name rule, by which alerts tell whose they are"
_LE = "must not name le, the bound of a bucket"
_NOT_BY = {"le": _LE, "rule": _RULE}


def problems(one: Definition) -> dict[str, str]:
    """What is wrong with it, by the field: a sentence that begins with "must". Empty for one that can be judged."""
    found: dict[str, str] = {}
    for name, words in (*_of_measure(one), *_of_window(one), *_of_groups(one), *_of_condition(one), *_of_texts(one)):
        found.setdefault(name, words)
    return found


Problems = Iterator[tuple[str, str]]


def _of_measure(one: Definition) -> Problems:
    if not one.of_inferences and not _LABEL.fullmatch(one.measure):
        yield "measure", f"must be one of {', '.join(MEASURES)}, or the name of a metric family"
        return
    measure = measure_of(one.measure)
    if one.aggregation not in get_args(Aggregation):
        yield "aggregation", f"must be one of {', '.join(measure.aggregations)}"
    elif one.aggregation not in measure.aggregations and (one.of_inferences or one.measure in BY_NAME):
        yield "aggregation", f"must be one of {', '.join(measure.aggregations)} for {one.measure}"
    if one.aggregation != "ratio":
        if one.per:
            yield "per", "must be empty unless the aggregation is ratio"
    elif not one.per:
        yield "per", "must name what the ratio is divided by"
    elif one.of_inferences and (one.per not in MEASURES or one.per in ("duration", "ttft")):
        yield "per", "must be a measure of inferences that adds up"
    elif not one.of_inferences and (one.per in MEASURES or not _LABEL.fullmatch(one.per)):
        yield "per", "must be the name of a metric family"


def _of_window(one: Definition) -> Problems:
    if not 1 <= one.window <= LONGEST_WINDOW:
        yield "window", f"must be 1 minute to {LONGEST_WINDOW // DAY} days"
    if not 0 <= one.offset <= LONGEST_OFFSET:
        yield "offset", f"must be 0 to {LONGEST_OFFSET} seconds"
    if one.change == "week" and one.window > WEEK:
        yield "window", "must be at most 7 days to be compared with a week ago"


def _of_groups(one: Definition) -> Problems:
    if len(one.by) > MOST_GROUPED:
        yield "by", f"must be at most {MOST_GROUPED} names"
    for name in one.by:
        if wrong := _name_problem(one, name) or _NOT_BY.get(name, ""):
            yield "by", wrong
    if len(one.filters) > MOST_FILTERS:
        yield "filters", f"must be at most {MOST_FILTERS} names"
    buckets = one.aggregation in QUANTILES or "p50" in measure_of(one.measure).aggregations
    for name, values in one.filters.items():
        if wrong := _name_problem(one, name) or (_LE if name == "le" and buckets else ""):
            yield "filters", wrong
        if not 1 <= len(values) <= MOST_VALUES:
            yield "filters", f"must have 1 to {MOST_VALUES} values for {name}"
        for value in values:
            if problem := text_problem(value, LONGEST_VALUE):
                yield "filters", f"{problem}, and a value of {name} is not"


def _name_problem(one: Definition, name: str) -> str:
    if one.of_inferences:
        return "" if name in GROUPED else f"must be of {', '.join(GROUPED)}; {printable(name[:60])} is none of them"
    return "" if _LABEL.fullmatch(name) else f"must be names of labels; {printable(name[:60])} is none"


def _of_condition(one: Definition) -> Problems:
    asked = one.condition
    if asked.operator not in get_args(Operator):
        yield "operator", f"must be one of {', '.join(get_args(Operator))}"
    if asked.warning is None and asked.critical is None and asked.no_data != "alert":
        yield "warning", "must be given, or the critical one, or an alert when there are no data"
    yield from _of_thresholds(asked)
    limits = (("hold", LONGEST_HOLD), ("keep", LONGEST_HOLD), ("silent", WEEK), ("renotify", LONGEST_RENOTIFY))
    for name, most in limits:
        if not 0 <= getattr(asked, name) <= most:
            yield name, f"must be 0 to {most:,} minutes"
    if not 0 <= asked.least <= 1_000_000_000:
        yield "least", "must be 0 to 1,000,000,000 samples"
    elif asked.least and asked.no_data == "zero":
        yield "least", "must be 0 where no data count as zero: those are no samples"
    if asked.hours is not None:
        yield from _of_hours(asked)


def _of_thresholds(asked: Condition) -> Problems:
    up = asked.operator in ("gt", "gte")
    pairs = (("warning", asked.warning, asked.warning_clear), ("critical", asked.critical, asked.critical_clear))
    for name, threshold, clear in pairs:
        for field, value in ((name, threshold), (f"{name}_clear", clear)):
            if value is not None and not abs(value) < 1e15:
                yield field, "must be a number between -1e15 and 1e15"
        if clear is not None and threshold is None:
            yield f"{name}_clear", f"must be empty without a {name} threshold"
        elif clear is not None and threshold is not None and (clear > threshold if up else clear < threshold):
            yield f"{name}_clear", f"must be {'at most' if up else 'at least'} the {name} threshold"
    both = asked.warning is not None and asked.critical is not None
    if both and (asked.critical < asked.warning if up else asked.critical > asked.warning):  # type: ignore[operator]
        yield "critical", f"must be {'at least' if up else 'at most'} the warning threshold"


def _of_hours(asked: Condition) -> Problems:
    hours = asked.hours
    assert hours is not None
    if not (0 <= hours.start < DAY and 0 <= hours.end < DAY):
        yield "hours", "must be times of a day"
    if not hours.days or not set(hours.days) <= set(range(7)):
        yield "days", "must be at least one day of the week"
    try:
        ZoneInfo(hours.zone)
    except (ValueError, OSError, KeyError):  # the last when there is none of that name
        yield "zone", "must be the name of a timezone such as Europe/Berlin"


def _of_texts(one: Definition) -> Problems:
    if not _TYPE.fullmatch(one.alert_type) or len(one.alert_type) > LONGEST_TYPE:
        yield "alert_type", "must be small letters, digits and _, such as high_error_rate, at most 100"
    for field in ("developer", "executive"):
        text: str = getattr(one, field)
        if problem := text_problem(text, LONGEST_TEXT):
            yield field, problem
        unknown = sorted(set(PLACE.findall(text)) - {*PLACES, *one.by})
        if unknown:
            known = ", ".join(sorted({*PLACES, *one.by}))
            yield field, f"must name only {known} in brackets; {printable(unknown[0][:40])} is none"
    if not one.developer.strip():
        yield "developer", "must say what is wrong"
    if one.runbook and not _is_address(one.runbook):
        yield "runbook", "must be an http(s) address of at most 500 characters"
    if len(one.labels) > MOST_LABELS:
        yield "labels", f"must be at most {MOST_LABELS}"
    for name, value in one.labels.items():
        if not _LABEL.fullmatch(name) or text_problem(value, LONGEST_VALUE):
            yield "labels", f"must be name=value; {printable(name[:40])} is not"
        elif name == "rule":
            yield "labels", _RULE


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    sound = text_problem(text, LONGEST_TEXT) is None and " " not in text
    return sound and parts.scheme in ("http", "https") and bool(parts.hostname)
