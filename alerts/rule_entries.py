"""A rule's definition as what its form holds, in both directions. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from alerts import saying, soundness
from alerts.definitions import MEASURES, Definition
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
_OF_ALL = frozenset({("errors", "inferences"), ("retries", "inferences"), ("unpriced", "inferences")})  # parts of it
_NONE: frozenset[str] = frozenset()
_MEASURED = frozenset({"measure", "family", "aggregation", "per", "change"})  # what a threshold's unit is made of
# Of which fields those are that have to be clear before a fault of one says anything.
_RESTS: Mapping[str, frozenset[str]] = {
    "family": frozenset({"measure"}), "aggregation": frozenset({"measure", "family"}),
    "per": frozenset({"measure", "family", "aggregation"}), "filters": frozenset({"measure", "family"}),
    "by": frozenset({"measure", "family"}), "window": frozenset({"change"}),
    "developer": frozenset({"by"}), "executive": frozenset({"by"}),
    **{name: frozenset({"operator", "no_data", *THRESHOLDS}) for name in THRESHOLDS},
}  # fmt: skip


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


def read(
    given: Mapping[str, Any], zone: str, faulty: Collection[str] = ()
) -> tuple[Definition, dict[str, str]]:  # fmt: skip
    """The definition that the form's fields are, and all that is wrong with them: sentences that begin with "must".

    What follows from a field that cannot be read is not told: whether it is so is known with that field.

    Args:
        faulty: those of which something wrong is told already.
    """
    reader = _Reader(given)
    one = _definition(reader, zone)
    sound = {_field_of(name, given): words for name, words in soundness.problems(one).items()}
    unread = {**_beyond_all(one), **reader.problems}
    unclear = {*faulty, *unread}
    found = {name: words for name, words in sound.items() if not unclear & _RESTS.get(name, _NONE)} | unread
    hidden = {*faulty}
    if _MEASURED & {*faulty, *found}:  # in which unit they are is not known
        hidden |= reader.problems.keys() & {*THRESHOLDS}
    return one, {name: words for name, words in found.items() if name not in hidden}


def _beyond_all(one: Definition) -> dict[str, str]:
    """Thresholds of a part of all that are more than all of it, such as 5 where 5 % is meant."""
    if one.change or one.aggregation != "ratio" or (one.measure, one.per) not in _OF_ALL:
        return {}
    values = {name: getattr(one.condition, name) for name in THRESHOLDS}
    return {name: f"must be at most 100 %, and {saying.limit(value, 'ratio')} is more: did you mean {value:g} %?"
            for name, value in values.items() if value is not None and value > 1}  # fmt: skip


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

    def family(self) -> str:
        """What is called like a measure of inferences would be judged as one."""
        name = self.text("family")
        if name in MEASURES:
            self.problems["family"] = f"must not be {name}, a measure of inferences: it stands above, as Measure"
        return name

    def days(self) -> tuple[int, ...]:
        return tuple(map(int, self._given.get("days") or ()))


def _definition(reader: _Reader, zone: str) -> Definition:
    about: dict[str, Any] = {name: reader.line(name) for name in _AS_TYPED}
    about |= {
        "measure": reader.text("measure") or reader.family(),
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
