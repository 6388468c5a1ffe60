"""Alerts read: pages of a list, one with its timeline, sums of open ones, and those of a time. Nothing here writes."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import connection
from msgspec import Struct

from alerts import ledger
from alerts.states import RANKS, State, Status
from organizations.models import User
from organizations.scope import Scope

Ordering = Literal["-firstSeenAt", "firstSeenAt", "-lastSeenAt", "lastSeenAt", "severity", "-severity"]
# Of each ordering: its column, the direction of that and, where severities come before it, the direction of ranks.
_ORDERS: Mapping[Ordering, tuple[str, str, str]] = {
    "-firstSeenAt": ("first_seen_at", "DESC", ""),
    "firstSeenAt": ("first_seen_at", "ASC", ""),
    "-lastSeenAt": ("last_seen_at", "DESC", ""),
    "lastSeenAt": ("last_seen_at", "ASC", ""),
    "severity": ("first_seen_at", "DESC", "ASC"),
    "-severity": ("first_seen_at", "DESC", "DESC"),
}
_EDGES = {"DESC": ("infinity", UUID(int=2**128 - 1)), "ASC": ("-infinity", UUID(int=0))}  # before the first alert
# Each organization, and each severity where that comes first, is read along an index for itself: a page costs the
# same however many alerts there are. For `lastSeenAt` there is none, since it moves with every repeat.
_PAGE = (
    "SELECT found.* FROM ({organizations}) AS one (slug) "
    "CROSS JOIN unnest(%s::smallint[], %s::timestamptz[], %s::uuid[]) AS start (start_rank, start_at, start_id) "
    "CROSS JOIN LATERAL (SELECT {columns} FROM alerts_alert WHERE organization_id = slug AND {conditions} "
    "ORDER BY {column} {way}, id {way} LIMIT %s) AS found "
    "ORDER BY start_rank {rank_way}, {column} {way}, id {way} LIMIT %s"
)
OPEN: tuple[Status, ...] = ("firing", "acknowledged")
_NOT_OVER = "status <> 'resolved'"  # word by word as the indexes of open alerts have it
_EVERY = "SELECT slug FROM organizations_organization"
_SEARCHED = ("message", "alert_type", "model_name", "endpoint_id")
_LINE: Mapping[str, str] = {
    "id": "id", "at": "at", "kind": "kind", "actor": "actor", "actor_kind": "actor_kind", "via": "via",
    "address": "host(address)", "before": "before", "after": "after", "note": "note", "tells": "tells",
    "withheld": "withheld",
}  # fmt: skip
_SUMMARY = f"""
SELECT status, severity, count(*), count(*) FILTER (WHERE suppressed_by <> '[]'), min(first_seen_at)
FROM alerts_alert WHERE organization_id = ANY(%s) AND {_NOT_OVER} AND (%s OR source = ANY(%s)) GROUP BY status, severity
"""


class Filter(Struct, frozen=True, kw_only=True):
    """Which alerts are meant: what is empty asks for nothing. `first_seen_at` lies in [since, until)."""

    organizations: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    sources: tuple[str, ...] = ()


class Place(Struct, frozen=True):
    """How far a list was read: what its last alert has of what the ordering looks at."""

    rank: int
    at: datetime
    id: UUID


class Line(Struct, frozen=True, kw_only=True):
    """One happening of a timeline; `withheld` says why nobody is told where `tells` names a notice."""

    id: int
    at: datetime
    kind: str
    actor: str
    actor_kind: str
    via: str
    address: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    note: str
    tells: str
    withheld: str


class Summary(Struct, frozen=True, kw_only=True):
    """How many alerts are open, by status and by severity; `oldest_at` is when the first of them began."""

    total: int = 0
    firing: int = 0
    acknowledged: int = 0
    critical: int = 0
    warning: int = 0
    info: int = 0
    suppressed: int = 0
    oldest_at: datetime | None = None


def page(
    scope: Scope, wanted: Filter, *, ordering: Ordering = "-firstSeenAt", limit: int, after: Place | None = None
) -> list[State]:
    """At most `limit` alerts behind `after`; "severity" has the worst first, and of each the newest first."""
    column, way, rank_way = _ORDERS[ordering]
    organizations, named = _organizations(scope, wanted.organizations)
    conditions, values = _conditions(wanted)
    conditions.append(f"({column}, id) {'<' if way == 'DESC' else '>'} (start_at, start_id)")
    conditions += ["rank = start_rank"] if rank_way else []
    statement = _PAGE.format(
        organizations=organizations, columns=ledger.COLUMNS, conditions=" AND ".join(conditions),
        column=column, way=way, rank_way=rank_way,
    )  # fmt: skip
    starts = [list(each) for each in zip(*_starts(way, rank_way, after))]
    return ledger.states(_rows(scope, statement, [*named, *starts, *values, limit, limit]))


def place_of(state: State, ordering: Ordering) -> Place:
    """Where the next page begins when this is the last alert of one."""
    column, _, _ = _ORDERS[ordering]
    return Place(RANKS[state.severity], getattr(state, column), state.id)


def one(scope: Scope, identifier: UUID) -> State | None:
    """The alert, if the scope shows it."""
    found = ledger.states(_rows(scope, f"SELECT {ledger.COLUMNS} FROM alerts_alert WHERE id = %s", [identifier]))
    return found[0] if found else None


def whereabouts(scope: Scope, identifiers: Collection[UUID]) -> dict[UUID, str]:
    """The organization of each of these alerts that the scope shows."""
    statement = "SELECT id, organization_id FROM alerts_alert WHERE id = ANY(%s::uuid[])"
    return dict(_rows(scope, statement, [list(identifiers)])) if identifiers else {}


def timeline(scope: Scope, identifier: UUID, *, skip: int = 0, limit: int = 1000) -> list[Line]:
    """What happened to the alert, in its order: at most `limit` lines behind the first `skip`, which never change."""
    columns = ", ".join(_LINE.values())
    statement = f"SELECT {columns} FROM alerts_event WHERE alert_id = %s ORDER BY id OFFSET %s LIMIT %s"
    rows = _rows(scope, statement, [identifier, skip, limit])
    decode = msgspec.json.decode
    return [Line(**{**dict(zip(_LINE, row)), "before": decode(row[7]), "after": decode(row[8])}) for row in rows]


def summary(scope: Scope, organizations: Collection[str], sources: Collection[str] = ()) -> Summary:
    """Of the open alerts of these organizations, and of these sources where any are named."""
    values = [list(organizations), not sources, list(sources)]
    sums = dict.fromkeys(("firing", "acknowledged", "critical", "warning", "info", "total", "suppressed"), 0)
    oldest = []
    for status, severity, count, suppressed, first in _rows(scope, _SUMMARY, values):
        for name in (status, severity, "total"):
            sums[name] += count
        sums["suppressed"] += suppressed
        oldest.append(first)
    return Summary(**sums, oldest_at=min(oldest, default=None))


def between(
    scope: Scope,
    organization: str,
    start: datetime,
    end: datetime,
    *,
    sources: Collection[str] | None = None,
    limit: int = 500,
) -> list[State]:
    """Alerts that were open at some time of [start, end), the newest first."""
    statement = (
        f"SELECT {ledger.COLUMNS} FROM alerts_alert WHERE organization_id = %s AND first_seen_at < %s "
        "AND (resolved_at IS NULL OR resolved_at > %s) AND (%s OR source = ANY(%s)) "
        "ORDER BY first_seen_at DESC, id DESC LIMIT %s"
    )
    return ledger.states(
        _rows(scope, statement, [organization, end, start, sources is None, list(sources or ()), limit])
    )


def names(identifiers: Iterable[int | None]) -> dict[int, str]:
    """The user names of these people (owners of alerts), by their ids."""
    wanted = {one for one in identifiers if one is not None}
    return dict(User.objects.filter(pk__in=wanted).values_list("pk", "username")) if wanted else {}


def _starts(way: str, rank_way: str, after: Place | None) -> Iterator[tuple[int, str, UUID]]:
    """Where reading begins: once, or for each rank that is not read to its end yet."""
    at, identifier = (after.at.isoformat(), after.id) if after else _EDGES[way]
    if not rank_way:
        yield 0, at, identifier
        return
    first = after.rank if after else {"ASC": 0, "DESC": len(RANKS) - 1}[rank_way]
    yield first, at, identifier
    left = range(first + 1, len(RANKS)) if rank_way == "ASC" else range(first)
    yield from ((rank, *_EDGES[way]) for rank in left)


def _organizations(scope: Scope, named: Collection[str]) -> tuple[str, list[list[str]]]:
    """The organizations to read one by one, as SQL with its values."""
    if scope.organizations is None and not named:
        return _EVERY, []
    slugs = [slug for slug in named if slug in scope] if named else list(scope.organizations or ())
    return "SELECT unnest(%s::text[])", [sorted(set(slugs))]


def _conditions(wanted: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.statuses and "resolved" not in wanted.statuses:
        conditions.append(_NOT_OVER)
    lists: tuple[tuple[str, Sequence[str]], ...] = (
        ("status", wanted.statuses), ("severity", wanted.severities), ("alert_type", wanted.types),
        ("model_name", wanted.models), ("source", wanted.sources),
    )  # fmt: skip
    for column, words in lists:
        if words:
            conditions.append(f"{column} = ANY(%s)")
            values.append(list(words))
    for sign, moment in ((">=", wanted.since), ("<", wanted.until)):
        if moment is not None:
            conditions.append(f"first_seen_at {sign} %s")
            values.append(moment)
    if wanted.text:
        conditions.append(f"({' OR '.join(f'{column} ILIKE %s' for column in _SEARCHED)})")
        values += [_pattern(wanted.text)] * len(_SEARCHED)
    return conditions, values


def _pattern(words: str) -> str:
    """What finds these very words anywhere, whatever signs they hold."""
    for sign in ("\\", "%", "_"):
        words = words.replace(sign, f"\\{sign}")
    return f"%{words}%"


def _rows(scope: Scope, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
