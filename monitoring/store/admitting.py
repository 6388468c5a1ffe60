"""Series let in: which row of monitoring_series a reading belongs to, new ones up to a cap, the rest as `__other__`."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from monitoring.measures import OTHER
from monitoring.store.samples import Increment, Labels, Sample
from monitoring.store.spans import Adds

CAP = 2_000  # series of an organization and source
# A machine has 40 to 200 of them, one with eight cards about 500. 20,000 were read within 0.2 s, and drawn within one.
PLATFORM, PLATFORM_CAP = "shared", 20_000
_SILENT = timedelta(days=7)  # after which a series leaves its place to another one; a counter never does
OVERFLOW = "cockpit_series_overflow_total"

_LOOK = (
    "SELECT organization_id, family, source, counted, key, id FROM monitoring_series "
    "JOIN unnest(%s::text[], %s::text[], %s::text[], %s::boolean[], %s::bytea[]) "
    "AS wanted (organization_id, family, source, counted, key) USING (organization_id, family, source, counted, key)"
)
_INSERT = (
    "INSERT INTO monitoring_series (organization_id, family, source, counted, key, labels) "
    "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::boolean[], %s::bytea[], %s::jsonb[]) "
    "ON CONFLICT DO NOTHING RETURNING organization_id, family, source, counted, key, id"
)
_encode = msgspec.json.Encoder().encode


class Name(NamedTuple):
    """What tells one series from another; `counted` for a counter of ours."""

    organization: str
    family: str
    source: str
    counted: bool
    labels: Labels

    @property
    def merged(self) -> "Name":
        """The series that holds all of its family that came too late."""
        return self._replace(labels=tuple((name, OTHER) for name, _ in self.labels))

    @property
    def adds(self) -> Adds:
        """What a sample of it adds to a total; of several running totals in one no growth can be told."""
        if not self.family.endswith("_total"):
            return "value"
        return "nothing" if self.labels and self.merged == self else "growth"


Reading = Sample | Increment
Admitted = dict[Name, tuple[int, list[Reading]]]  # with the id of its row, and its readings in the order given


def cap(organization: str) -> int:
    return PLATFORM_CAP if organization == PLATFORM else CAP


def name_of(reading: Reading) -> Name:
    counted = isinstance(reading, Increment)
    return Name(reading.organization, reading.family, reading.source, counted, reading.labels)


def admit(cursor: Any, readings: Sequence[Reading], *, now: datetime) -> Admitted:
    """The readings by series, each of which has a row now; overflow is counted by readings that it adds."""
    by_name: dict[Name, list[Reading]] = {}
    for one in readings:
        by_name.setdefault(name_of(one), []).append(one)
    ids = _look(cursor, by_name)
    if len(ids) < len(by_name):
        ids |= _let_in(cursor, by_name, ids, now)
    return {name: (ids[name], found) for name, found in by_name.items()}


def _let_in(cursor: Any, by_name: dict[Name, list[Reading]], ids: dict[Name, int], now: datetime) -> dict[Name, int]:
    """Rows for the new names, in the order they came; `by_name` is changed where names are merged."""
    new = [name for name in by_name if name not in ids]
    organizations = sorted({name.organization for name in new})
    for organization in organizations:  # newcomers queue, so that the cap is exact under concurrent writers
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [f"series:{organization}"])
    cursor.execute(
        "SELECT organization_id, source, count(*) FROM monitoring_series WHERE organization_id = ANY(%s) "
        "AND (counted OR at >= %s) GROUP BY 1, 2",
        [organizations, now - _SILENT],
    )
    taken: dict[tuple[str, str], int] = {(slug, source): count for slug, source, count in cursor.fetchall()}
    there = _look(cursor, new)
    for name in new:
        place = (name.organization, name.source)
        if name in there:
            continue
        if taken.get(place, 0) < cap(name.organization) or name.merged == name:
            taken[place] = taken.get(place, 0) + 1
        else:
            _merge(by_name, name)
    return there | _insert(cursor, [name for name in by_name if name not in ids and name not in there])


def _merge(by_name: dict[Name, list[Reading]], name: Name) -> None:
    """Give a name's readings to the merged one of its family, and count them."""
    readings = by_name.pop(name)
    by_name.setdefault(name.merged, []).extend(readings)
    for one in readings:
        told = Increment(
            organization=one.organization, family=OVERFLOW, labels=(("family", one.family),), at_ms=one.at_ms,
            amount=1.0, source=one.source,
        )  # fmt: skip
        by_name.setdefault(name_of(told), []).append(told)


def _insert(cursor: Any, names: Sequence[Name]) -> dict[Name, int]:
    """Merged names and overflow counters are there already, as a rule."""
    if not names:
        return {}
    found = _look(cursor, names)
    new = [name for name in names if name not in found]
    if new:
        labels = [_encode(dict(name.labels)).decode() for name in new]
        cursor.execute(_INSERT, [*_columns(new), labels])
        found |= _ids(cursor, new)
    return found


def _look(cursor: Any, names: Iterable[Name]) -> dict[Name, int]:
    wanted = list(names)
    cursor.execute(_LOOK, _columns(wanted))
    return _ids(cursor, wanted)


def _columns(names: Sequence[Name]) -> list[list[Any]]:
    return [*([name[place] for name in names] for place in range(4)), [_key(name.labels) for name in names]]


def _ids(cursor: Any, names: Sequence[Name]) -> dict[Name, int]:
    """The rows of the last statement, (name with the labels' key, id), by name."""
    rows = {(*row[:4], bytes(row[4])): row[5] for row in cursor.fetchall()}
    found = ((name, rows.get((*name[:4], _key(name.labels)))) for name in names)
    return {name: row for name, row in found if row is not None}


def _key(labels: Labels) -> bytes:
    return hashlib.blake2b(_encode(labels), digest_size=16).digest()
