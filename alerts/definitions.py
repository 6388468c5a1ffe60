"""A rule as people write it: what is measured, over which window, for which groups, and what is asked of it. Pure.

The same value is a row of the database, the answer of a form, and what is simulated before it is saved.
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from alerts.rules import Condition
from monitoring.families import BY_NAME
from monitoring.measures import DIMENSIONS

Aggregation = Literal["count", "sum", "rate", "avg", "min", "max", "last", "p50", "p90", "p95", "p99", "ratio"]
Change = Literal["", "previous", "week"]
DAY, WEEK = 24 * 60, 7 * 24 * 60  # minutes
GROUPED = tuple(name for name in DIMENSIONS if name not in ("source", "estimated"))
PLACES = ("value", "threshold", "window", "group", "samples", "level", *GROUPED)  # what texts may name in brackets
PLACE = re.compile(r"\{([^{}]*)\}")
QUANTILES: Mapping[Aggregation, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Measure(Struct, frozen=True, kw_only=True):
    """What a rule may be about: one line of the dictionary. `unit` is of its value before any aggregation."""

    name: str
    title: str
    unit: str
    aggregations: tuple[Aggregation, ...]


_ADDED: tuple[Aggregation, ...] = ("sum", "rate", "avg", "ratio")
_OF_TIMES: tuple[Aggregation, ...] = ("avg", "min", "max", *QUANTILES)
MEASURES: Mapping[str, Measure] = {
    one.name: one
    for one in (
        Measure(name="inferences", title="Inferences", unit="inferences", aggregations=("count", "rate", "ratio")),
        Measure(name="errors", title="Failed inferences", unit="inferences", aggregations=("sum", "rate", "ratio")),
        Measure(name="retries", title="Inferences that were a retry", unit="inferences",
                aggregations=("sum", "rate", "ratio")),
        Measure(name="duration", title="Duration", unit="ms", aggregations=_OF_TIMES),
        Measure(name="ttft", title="Time to first token", unit="ms", aggregations=_OF_TIMES),
        Measure(name="cost", title="Cost", unit="money", aggregations=_ADDED),
        Measure(name="revenue", title="Revenue", unit="money", aggregations=_ADDED),
        Measure(name="unpriced", title="Inferences without a known cost", unit="inferences",
                aggregations=("sum", "rate", "ratio")),
        Measure(name="input_tokens", title="Input tokens", unit="tokens", aggregations=_ADDED),
        Measure(name="output_tokens", title="Output tokens", unit="tokens", aggregations=_ADDED),
        Measure(name="total_tokens", title="Input and output tokens", unit="tokens", aggregations=_ADDED),
        Measure(name="cache_read_tokens", title="Tokens from a prompt cache", unit="tokens", aggregations=_ADDED),
        Measure(name="cache_write_tokens", title="Tokens into a prompt cache", unit="tokens", aggregations=_ADDED),
        Measure(name="reasoning_tokens", title="Reasoning tokens", unit="tokens", aggregations=_ADDED),
    )
}  # fmt: skip
_OF_KINDS: Mapping[str, tuple[Aggregation, ...]] = {
    "counter": ("sum", "rate", "ratio"),
    "gauge": ("avg", "min", "max", "last", "count", "ratio"),
    "histogram": ("avg", *QUANTILES),
}
_UNITS = ("seconds", "bytes", "ratio", "celsius", "joules", "watts", "hertz")


def measure_of(name: str, kind: str = "") -> Measure:
    """The measure of that name: one of inferences, or a family of samples.

    Args:
        kind: of a family that is not in our own table; a name ending in `_total` is a counter, any other a gauge.
    """
    if name in MEASURES:
        return MEASURES[name]
    known = BY_NAME.get(name)
    kind = kind or (known.kind if known else "counter" if name.endswith("_total") else "gauge")
    bare = name.removesuffix("_total")
    unit = next((unit for unit in _UNITS if bare.endswith(f"_{unit}")), "")
    title = known.help if known else name
    return Measure(name=name, title=title, unit=unit, aggregations=_OF_KINDS.get(kind, _OF_KINDS["gauge"]))


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule judges and what it says. `filters` keep the groups whose value fits one of the patterns (* is
    anything) of each name; `by` makes one alert for each set of values. Windows are minutes, the offset seconds.
    """

    measure: str
    aggregation: Aggregation
    per: str = ""  # what a ratio is divided by
    change: Change = ""  # in per cent, against the window before or the same one a week ago
    window: int = 5
    offset: int = 30  # how long late data are waited for
    filters: Mapping[str, tuple[str, ...]] = {}
    by: tuple[str, ...] = ()
    condition: Condition = Condition()
    alert_type: str = "rule"
    labels: Mapping[str, str] = {}
    developer: str = "{value} beyond {threshold} over {window}"
    executive: str = ""
    runbook: str = ""

    @property
    def of_inferences(self) -> bool:
        return self.measure in MEASURES

    @property
    def unit(self) -> str:
        """Of the value that is judged."""
        if self.change:
            return "%"
        if self.aggregation == "ratio":
            alike = not self.per or measure_of(self.measure).unit == measure_of(self.per).unit
            return "ratio" if alike else ""  # what an inference costs is no share
        if self.aggregation == "count":
            return MEASURES["inferences"].unit if self.of_inferences else "readings"
        unit = measure_of(self.measure).unit
        return f"{unit}/s" if self.aggregation == "rate" else unit


def filled(text: str, places: Mapping[str, str]) -> str:
    """The text with what its brackets name; what nobody knows stays as it is."""
    return PLACE.sub(lambda found: places.get(found[1], found[0]), text)


def encoded(one: Definition) -> str:
    return msgspec.json.encode(one).decode()


def decoded(text: str | bytes) -> Definition:
    """
    Raises:
        msgspec.MsgspecError: for a text of no such shape, as another version may have written it.
    """
    return msgspec.json.decode(text, type=Definition)
