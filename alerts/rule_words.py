"""Rules as people type and read them: lengths of time, thresholds, lists of names and values, what is measured. Pure.

What is shown can be typed: each of these is read back as the very value it was made of.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from alerts.definitions import Aggregation, Change, Definition
from alerts.measurements import MOST_GROUPS
from alerts.rules import Condition, Standing
from alerts.saying import span

MINUTES: Mapping[str, int] = {"d": 24 * 60, "h": 60, "m": 1}
SECONDS: Mapping[str, int] = {"h": 3600, "m": 60, "s": 1}
_NUMBER = re.compile(
    r"([+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[+-]?\d{1,3})?)\s*(\S*)", re.IGNORECASE | re.ASCII
)
_LONGEST_AMOUNT = 60  # letters: more of them are no number, and take long to look at
_COUNTED = 10**18  # bytes: as many as can be told in units that have a name
_PERCENT = Decimal("0.01")
# What may stand behind a number of each unit, and how much of the unit that is; the first is shown.
_SIGNS: Mapping[str, Mapping[str, Decimal]] = {
    "ratio": {"%": _PERCENT},
    "%": {"%": Decimal(1)},
    "ms": {"ms": Decimal(1), "s": Decimal(1000), "min": Decimal(60_000)},
    "seconds": {"s": Decimal(1), "ms": Decimal("0.001"), "min": Decimal(60), "h": Decimal(3600)},
    "celsius": {"°C": Decimal(1), "C": Decimal(1)},
    "bytes": {"B": Decimal(1), "KiB": Decimal(2**10), "MiB": Decimal(2**20), "GiB": Decimal(2**30),
              "TiB": Decimal(2**40)},
}  # fmt: skip
_EXAMPLES: Mapping[str, str] = {
    "ratio": ", such as 5% or 0.05", "%": " of per cent, such as 50 or -20%", "ms": ", such as 1500, 1500ms or 1.5s",
    "seconds": ", such as 30, 30s or 500ms", "bytes": ", such as 10GiB", "celsius": ", such as 83",
}  # fmt: skip
_SUBJECTS: Mapping[Aggregation, str] = {
    "sum": "sum of {}", "rate": "{} a second", "avg": "mean of {}", "min": "least of {}", "max": "most of {}",
    "last": "last of {}", "count": "readings of {}",
}  # fmt: skip
_CHANGES: Mapping[Change, str] = {
    "": "", "previous": ", against the time before", "week": ", against a week ago",
}  # fmt: skip
# Why a group stands as it does, as the end of a sentence.
BECAUSES: Mapping[str, str] = {
    "fine": "the value is within the thresholds",
    "breach": "the value is beyond a threshold",
    "waiting": "the value is beyond a threshold, and has not been for long enough",
    "clearing": "the value is back behind the threshold, and not yet behind the one at which it clears",
    "keeping": "the value is clear, and it is kept firing for a while",
    "few": "there are too few samples to judge",
    "no_data": "nothing was measured",
    "hours": "the value is beyond a threshold, and outside its active hours nothing begins",
    "crowded": f"larger groups took its place among the {MOST_GROUPS} that are judged",
}
_NO_VALUE = "no value could be made of what was measured"
_LESS = "the value is no longer critical, and it is kept so for a while"
_BEFORE: Mapping[Change, str] = {"": "", "previous": "the time before", "week": "a week ago"}


def reason(because: str, *, samples: int = 0, better: bool = False) -> str:
    """Why a group stands as it does, as `BECAUSES` has it.

    Args:
        samples: where there is no value, of how many there is none.
        better: whether the value of what is kept is still beyond the lesser threshold.
    """
    if because == "no_data" and samples:
        return _NO_VALUE
    return _LESS if because == "keeping" and better else BECAUSES.get(because, because)


def is_better(condition: Condition, standing: Standing) -> bool:
    """Whether what is kept as critical would be a warning by now."""
    lesser = standing.level == "critical" and condition.warning is not None
    return lesser and standing.cleared is not None and standing.calm is None


def before(change: Change) -> str:
    """What a value is compared with: "a week ago"."""
    return _BEFORE[change]


def length_of(words: str, units: Mapping[str, int]) -> int:
    """A length of time, in the smallest of the units: "90", "90m" and "1h30m" are the same minutes.

    Raises:
        ValueError: for words that are none, in words that go behind a field's name.
    """
    text = words.strip().lower().replace(" ", "")
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    found = re.fullmatch("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in units), text)
    if not text or found is None:
        raise ValueError("must be a length of time such as 30s or 2m" if "s" in units
                         else "must be a length of time such as 5m, 2h or 1d")  # fmt: skip
    return sum(int(number or 0) * size for number, size in zip(found.groups(), units.values()))


def length_words(number: int, units: Mapping[str, int]) -> str:
    """As `length_of` reads it: "1h30m"; "" for nothing."""
    parts: list[str] = []
    for unit, size in units.items():
        count, number = divmod(number, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts)


def amount_of(words: str, unit: str) -> float:
    """A number of that unit: "5%" of a ratio is 0.05.

    Raises:
        ValueError: likewise.
    """
    plain = unit.removesuffix("/s")
    typed = words.strip()
    found = _NUMBER.fullmatch(typed) if len(typed) <= _LONGEST_AMOUNT else None
    sign = found[2].removesuffix("/s") if found else ""
    size = Decimal(1) if not sign else _SIGNS.get(plain, {}).get(sign)
    if found is None or size is None:
        raise ValueError(f"must be a number{_EXAMPLES.get(plain, '')}")
    return float(Decimal(found[1].replace(",", "")) * size)


def amount_words(value: float | None, unit: str) -> str:
    """As `amount_of` reads it; "" for none."""
    if value is None:
        return ""
    exact, plain = Decimal(repr(value)), unit.removesuffix("/s")
    signs = _SIGNS.get(plain, {"": Decimal(1)})
    sign, size = next(iter(signs.items()))
    if plain == "bytes" and abs(exact) < _COUNTED:
        sign, size = max((one for one in signs.items() if exact and exact % one[1] == 0), default=(sign, size),
                         key=lambda one: one[1])  # fmt: skip
    return f"{_plain(exact / size)}{sign}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if len(text) <= _LONGEST_AMOUNT // 2 else f"{number:e}"


def filters_of(lines: str) -> dict[str, tuple[str, ...]]:
    """A name=value,value a line; a value that has a comma stands in double quotes.

    Raises:
        ValueError: for a line that is none.
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in _lines(lines):
        name, equals, rest = (part.strip() for part in line.partition("="))
        values = _values(rest)
        if not name or not equals or not values:
            raise ValueError(f"must have a name, = and values in each line; “{line[:60]}” has not")
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), *values)))
    return found


def _values(line: str) -> list[str]:
    """None of a line that cannot be read."""
    try:
        return [value.strip() for value in next(csv.reader([line], skipinitialspace=True), [])]
    except csv.Error:
        return []


def filters_words(filters: Mapping[str, Iterable[str]]) -> str:
    return "\n".join(f"{name}={','.join(map(_quoted, values))}" for name, values in filters.items())


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(sign in value for sign in ',"') or not value else value


def labels_of(lines: str) -> dict[str, str]:
    """A name=value a line.

    Raises:
        ValueError: for a line that is none, and for a name that stands twice.
    """
    found: dict[str, str] = {}
    for line in _lines(lines):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or not equals:
            raise ValueError(f"must be a name=value in each line; “{line[:60]}” is none")
        if name in found:
            raise ValueError(f"must name each once; “{name[:60]}” stands twice")
        found[name] = value
    return found


def labels_words(labels: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in labels.items())


def _lines(words: str) -> list[str]:
    return [line.strip() for line in words.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]


def clock_of(words: str) -> int:
    """A time of day, in minutes: "08:30"; 24:00 is the end of the day.

    Raises:
        ValueError: for words that are none.
    """
    found = re.fullmatch("([0-9]{1,2}):([0-9]{2})", words.strip())
    minutes = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
    if not 0 <= minutes <= MINUTES["d"]:
        raise ValueError("must be a time of day such as 08:30")
    return minutes % MINUTES["d"]


def clock_words(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def subject(one: Definition) -> str:
    """What is measured, in a line: "errors per inferences over 15 min, by model"."""
    match one.aggregation:
        case "ratio":
            words = f"{one.measure} per {one.per}"
        case "count" if one.of_inferences:
            words = one.measure
        case _:
            words = _SUBJECTS.get(one.aggregation, f"{one.aggregation} of {{}}").format(one.measure)
    where = "; ".join(f"{name}={','.join(values)}" for name, values in one.filters.items())
    by = f", by {', '.join(one.by)}" if one.by else ""
    return f"{words}{f' where {where}' if where else ''} over {span(one.window)}{_CHANGES[one.change]}{by}"


def rules(number: int) -> str:
    return f"{number:,} rule{'' if number == 1 else 's'}"


def unbroken(words: str) -> str:
    """With what belongs together on one line: a sign and its number, a number and its per cent."""
    return re.sub("([<>≤≥]) ", "\\1\N{NO-BREAK SPACE}", words.replace(" %", "\N{NO-BREAK SPACE}%"))
