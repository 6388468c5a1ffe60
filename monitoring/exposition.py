"""What a scrape is told: the live families of one scope, from the store's answers, as text. A pure read."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from monitoring import business, openmetrics
from monitoring.families import BY_NAME, GROUPS, Family, Kind
from monitoring.measures import OTHER
from monitoring.openmetrics import Metric, Row
from monitoring.selection import Selection
from monitoring.store.base import Store
from monitoring.store.samples import Labels, Level
from organizations.scope import Scope

log = structlog.get_logger(__name__)

FRESH = timedelta(minutes=5)  # a level that was read before tells nothing of now
REGISTERED = "cockpit_custom_families_total"  # labelled by family, help and kind
_PARTS = ("_bucket", "_sum", "_count")
_KINDS: dict[str, Kind] = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """Who asks for what: `currencies` names the scope's organizations, each with what its money is in."""

    scope: Scope
    currencies: Mapping[str, str]
    selection: Selection
    form: str  # openmetrics.TEXT or OPENMETRICS
    now: datetime
    build: Mapping[str, str]  # of the cockpit: what its info family tells


Found = Iterable[tuple[str, Row]]  # by the name of the family; rows of one family may come apart


@dataclass(frozen=True, slots=True)
class Source:
    """One question to the store; `families` are those that it answers, () for whatever is kept."""

    name: str
    families: tuple[str, ...]
    read: Callable[[Store, Scrape], Found]

    def wanted(self, selection: Selection) -> bool:
        return not self.families or any(BY_NAME[name] in selection for name in self.families)


def _inferences(store: Store, scrape: Scrape) -> Found:
    return business.since_beginning(store, scrape.scope, scrape.currencies, scrape.now)


def _last_hour(store: Store, scrape: Scrape) -> Found:
    return business.last_hour(store, scrape.scope, scrape.currencies, scrape.now)


def _people(store: Store, scrape: Scrape) -> Found:
    return business.people(store, scrape.scope, scrape.now)


def _idle_cards(store: Store, scrape: Scrape) -> Found:
    return business.idle_cards(store, scrape.scope, scrape.now)


def _levels(store: Store, scrape: Scrape) -> Found:
    return map(_row, store.levels(scrape.scope, since=scrape.now - FRESH))


def _counters(store: Store, scrape: Scrape) -> Found:
    return _joined(store.counters(scrape.scope))


SOURCES = (
    Source("inferences", business.SINCE_BEGINNING, _inferences),
    Source("last_hour", business.LAST_HOUR, _last_hour),
    Source("people", business.PEOPLE, _people),
    Source("idle_cards", business.IDLE, _idle_cards),
    Source("levels", (), _levels),
    Source("counters", (), _counters),
)


def expose(store: Store, scrape: Scrape, sources: Sequence[Source] = SOURCES) -> str:
    """The text of every selected family. What fails is left out, told by a family of its own and in the log.

    Raises:
        Exception: the store's own, when it answered none of the questions.
    """
    began = time.monotonic()
    left_out: list[str] = []
    found = _read(store, scrape, sources, left_out)
    found["cockpit_build_info"] = [("", tuple(scrape.build.items()), 1)]
    found["cockpit_scrape_duration_seconds"] = [("", (), time.monotonic() - began)]
    custom = _custom(store, left_out) if found.keys() - BY_NAME.keys() else {}
    blocks = [*_blocks(found, custom, scrape, left_out)]
    errors: list[Row] = [("", (("family", name),), 1) for name in left_out]
    blocks += _blocks({"cockpit_exposition_errors": errors} if errors else {}, {}, scrape, [])
    idle = scrape.selection.idle([*BY_NAME.values(), *(_family(name, rows, custom) for name, rows in found.items())])
    blocks += [openmetrics.remark(f"Nothing here is called {word}", scrape.form) for word in idle]
    return "".join(blocks) + openmetrics.end(scrape.form)


def _read(store: Store, scrape: Scrape, sources: Sequence[Source], left_out: list[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    asked = [source for source in sources if source.wanted(scrape.selection)]
    for source in asked:
        try:
            answer = list(source.read(store, scrape))
        except Exception as error:
            log.warning("metrics left out", source=source.name, reason=type(error).__name__, exc_info=True)
            left_out.append(source.name)
            if len(left_out) == len(asked):
                raise
        else:
            for name, row in answer:
                found.setdefault(name, []).append(row)
    return found


def _blocks(
    found: Mapping[str, list[Row]], custom: Mapping[str, Family], scrape: Scrape, left_out: list[str]
) -> Iterator[str]:
    families = [_family(name, rows, custom) for name, rows in found.items()]
    taken: set[str] = set()
    for family in sorted(families, key=lambda family: (GROUPS.index(family.group), family.name)):
        if family in scrape.selection:
            try:
                if clash := taken & openmetrics.names(family, scrape.form):
                    raise ValueError(f"taken by another family: {min(clash)}")
                text = openmetrics.block(Metric(family, found[family.name]), scrape.form)
                taken |= openmetrics.names(family, scrape.form)
                yield text
            except Exception as error:
                log.warning("metrics left out", family=family.name, reason=type(error).__name__, exc_info=True)
                left_out.append(family.name)


def _family(name: str, rows: Sequence[Row], custom: Mapping[str, Family]) -> Family:
    return BY_NAME.get(name) or custom.get(name) or _nameless(name, rows)


def _nameless(name: str, rows: Sequence[Row]) -> Family:
    """Of a family that nobody has told of, as much as can be seen."""
    kind: Kind = "counter" if name.endswith("_total") else "histogram" if rows[0][0] else "gauge"
    return Family(name, kind, "business", "A family of one's own")


def _custom(store: Store, left_out: list[str]) -> dict[str, Family]:
    """The families that any process has registered; what they are called belongs to the platform, not to its data."""
    try:
        told = store.counters(Scope.of("shared"), families=[REGISTERED])
    except Exception as error:  # they are told without their words, then
        log.warning("metrics left out", source=REGISTERED, reason=type(error).__name__, exc_info=True)
        left_out.append(REGISTERED)
        return {}
    rows = [dict(level.labels) for level in told]
    return {
        row["family"]: Family(row["family"], _KINDS[row["kind"]], "business", row["help"])
        for row in rows
        if row["kind"] in _KINDS  # those beyond the store's cap have lost theirs
    }


def _row(level: Level) -> tuple[str, Row]:
    return level.family, ("", (("organization", level.organization), *level.labels), level.value)


def _joined(counters: Sequence[Level]) -> Found:
    """Counters as they stand, and those that are parts of a histogram as its rows: buckets rising, sum, count."""
    histograms = {level.family.removesuffix("_bucket") for level in counters if level.family.endswith("_bucket")}
    parts: dict[tuple[str, str, Labels], _Parts] = {}
    for level in counters:
        name, suffix = _split(level.family)
        if name not in histograms:
            yield _row(level)
            continue
        labels = tuple(pair for pair in level.labels if pair[0] != "le")
        found = parts.setdefault((name, level.organization, labels), _Parts())
        if suffix == "_bucket":
            found.buckets[dict(level.labels).get("le", OTHER)] = level.value
        else:
            found.rest[suffix] = level.value
    for (name, organization, labels), found in parts.items():
        for row in found.rows((("organization", organization), *labels)):
            yield name, row


def _split(name: str) -> tuple[str, str]:
    suffix = next((suffix for suffix in _PARTS if name.endswith(suffix)), "")
    return name.removesuffix(suffix), suffix


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(slots=True)
class _Parts:
    """One histogram's counters: buckets by their bound, sum and count by their suffix."""

    buckets: dict[str, float] = field(default_factory=dict)
    rest: dict[str, float] = field(default_factory=dict)

    def rows(self, labels: Labels) -> Iterator[Row]:
        """Nothing where the count is missing; buckets beyond the store's cap have lost their bound."""
        if "_count" not in self.rest:
            return
        bounds = {_number(text): count for text, count in self.buckets.items()}
        for upper in sorted(filter(math.isfinite, bounds)):
            yield "_bucket", (*labels, ("le", openmetrics.bound(upper))), bounds[upper]
        yield "_bucket", (*labels, ("le", "+Inf")), self.rest["_count"]
        yield "_sum", labels, self.rest.get("_sum", 0.0)
        yield "_count", labels, self.rest["_count"]
