"""A rule's definition as what its form holds, in both directions. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from alerts import soundness
from alerts.definitions import Definition
from alerts.rule_words import (
    MINUTES,
    SECONDS,
    amount_of,
    amount_words,
    clock_of,
    clock_words,
    filters_of,
    filters_words,
    labels_of,
    labels_words,
    length_of,
    length_words,
)
from alerts.rules import Condition, Hours

THRESHOLDS = ("warning", "warning_clear", "critical", "critical_clear")
_AS_TYPED = ("aggregation", "per", "change", "alert_type", "developer", "executive", "runbook")
_EVERY_DAY = tuple(range(7))
_FIELDS: Mapping[str, str] = {"hours": "hours_from"}  # where a fault is told that is about something of another name


def written(one: Definition, zone: str) -> dict[str, Any]:
    """What the form shows of it; `zone` is that of the clocks where it says none."""
    asked, hours = one.condition, one.condition.hours
    return {
        "measure": one.measure if one.of_inferences else "",
        "family": "" if one.of_inferences else one.measure,
        "window": length_words(one.window, MINUTES),
        "offset": length_words(one.offset, SECONDS) or "0",
        "filters": filters_words(one.filters),
        "by": ", ".join(one.by),
        "labels": labels_words(one.labels),
        **{name: getattr(one, name) for name in _AS_TYPED},
        **{name: amount_words(getattr(asked, name), one.unit) for name in THRESHOLDS},
        **{name: length_words(getattr(asked, name), MINUTES) for name in ("hold", "keep", "renotify")},
        "silent": length_words(asked.silent, MINUTES) or "0",
        "operator": asked.operator,
        "no_data": asked.no_data,
        "least": asked.least or None,
        "hours_from": clock_words(hours.start) if hours else "",
        "hours_until": clock_words(hours.end) if hours else "",
        "days": [str(day) for day in hours.days] if hours else [],
        "zone": hours.zone if hours else zone,
    }


def read(given: Mapping[str, Any], zone: str) -> tuple[Definition, dict[str, str]]:
    """The definition that the form's fields are, and what is wrong with them: a sentence that begins with "must".

    What cannot be read is told alone: whether the rest is sound is known with all of it.
    """
    reader = _Reader(given)
    one = _definition(reader, zone)
    problems = reader.problems or soundness.problems(one)
    return one, {_field_of(name, given): words for name, words in problems.items()}


def _field_of(name: str, given: Mapping[str, Any]) -> str:
    if name == "measure" and not given.get("measure"):
        return "family"
    return _FIELDS.get(name, name)


class _Reader:
    """Fields one by one; what they say that is no sense is noted."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self.problems: dict[str, str] = {}

    def text(self, name: str, otherwise: str = "") -> str:
        return str(self._given.get(name) or "") or otherwise

    def line(self, name: str) -> str:
        """Of texts that may be typed in several lines, and are one."""
        return " ".join(self.text(name).split("\n")).replace("\r", "")

    def read(self, name: str, parse: Callable[[str], Any], otherwise: Any) -> Any:
        words = self.text(name)
        try:
            return parse(words) if words else otherwise
        except ValueError as error:
            self.problems[name] = str(error)
            return otherwise

    def minutes(self, name: str, otherwise: int = 0) -> int:
        return int(self.read(name, lambda words: length_of(words, MINUTES), otherwise))

    def number(self, name: str) -> int:
        return int(self._given.get(name) or 0)

    def days(self) -> tuple[int, ...]:
        return tuple(map(int, self._given.get("days") or ()))


def _definition(reader: _Reader, zone: str) -> Definition:
    about: dict[str, Any] = {name: reader.line(name) for name in _AS_TYPED}
    about |= {
        "measure": reader.text("measure") or reader.text("family"),
        "per": about["per"] if about["aggregation"] == "ratio" else "",
        "window": reader.minutes("window"),
        "offset": reader.read("offset", lambda words: length_of(words, SECONDS), 30),
        "filters": reader.read("filters", filters_of, {}),
        "by": tuple(dict.fromkeys(filter(None, map(str.strip, reader.text("by").split(","))))),
        "alert_type": about["alert_type"] or _type_of(reader.text("name")),
        "labels": reader.read("labels", labels_of, {}),
    }
    return Definition(**about, condition=_condition(reader, Definition(**about).unit, zone))


def _condition(reader: _Reader, unit: str, zone: str) -> Condition:
    thresholds = {name: reader.read(name, lambda words: amount_of(words, unit), None) for name in THRESHOLDS}
    times = [reader.read(name, clock_of, None) for name in ("hours_from", "hours_until")]
    days = reader.days()
    hours = None
    if days or times != [None, None]:
        start, end = (time or 0 for time in times)
        hours = Hours(start=start, end=end, days=days or _EVERY_DAY, zone=reader.text("zone", zone))
    operator: Any = reader.text("operator", "gt")
    no_data: Any = reader.text("no_data", "ok")
    return Condition(
        operator=operator, no_data=no_data, hold=reader.minutes("hold"), keep=reader.minutes("keep"),
        least=reader.number("least"), silent=reader.minutes("silent", 10), hours=hours,
        renotify=reader.minutes("renotify"), **thresholds,
    )  # fmt: skip


def _type_of(name: str) -> str:
    """A type as routes know them, made of a rule's name: "Too many calls" is too_many_calls."""
    words = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in name.lower()).split()
    made = "_".join(words)[:60].strip("_")
    return made if made[:1].isalpha() else f"rule_{made}".strip("_")
