"""What may be asked of a list of alerts: its parameters, and cursors that are good for that very list alone."""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated, get_args
from uuid import UUID

import msgspec
from django.core import signing
from msgspec import Meta, Struct

from alerts import reading
from alerts.reading import Filter, Ordering, Place
from alerts.states import Severity, Status
from bedrock import identifiers
from bedrock.parameters import BadParameters

LISTED = ("organization", "severity", "status", "type", "model", "source", "since", "until", "q", "ordering", "limit",
          "cursor")  # fmt: skip
ORDERINGS: tuple[Ordering, ...] = get_args(Ordering)
SEVERITIES, SOURCES = get_args(Severity), ("live", "demo")
STATUSES = (*get_args(Status), "open")
USUAL, MOST = 50, 200
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")
_Moment = Annotated[datetime, Meta(tz=True)]
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Asked(Struct, frozen=True):
    """One page of a list."""

    wanted: Filter
    ordering: Ordering
    limit: int
    after: Place | None = None


def read(named: Mapping[str, str], organizations: Collection[str]) -> Asked:
    """The page that these parameters ask for, of the organizations given.

    Raises:
        BadParameters: naming the parameter and what may stand there.
    """
    statuses = words(named, "status", STATUSES)
    if "open" in statuses:
        statuses = tuple({**dict.fromkeys(reading.OPEN), **dict.fromkeys(statuses)})
    wanted = Filter(
        organizations=tuple(sorted(organizations)),
        statuses=tuple(word for word in statuses if word != "open"),
        severities=words(named, "severity", SEVERITIES),
        types=(named["type"],) if "type" in named else (),
        models=(named["model"],) if "model" in named else (),
        since=_moment(named, "since"),
        until=_moment(named, "until"),
        text=named.get("q", ""),
        sources=words(named, "source", SOURCES),
    )
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        raise BadParameters.of("until", "must be after since")
    ordering = _ordering(named.get("ordering", ORDERINGS[0]))
    after = _place(named["cursor"], _of(wanted, ordering)) if "cursor" in named else None
    return Asked(wanted, ordering, limit(named), after)


def cursor(asked: Asked, last: Place) -> str:
    """What asks for the page behind `last`."""
    packed = bytes([last.rank]) + identifiers.milliseconds(last.at).to_bytes(8, "big", signed=True) + last.id.bytes
    return _seal(packed, _of(asked.wanted, asked.ordering))


def cursor_of_lines(identifier: UUID, skip: int) -> str:
    """What asks for the lines of an alert's timeline behind the first `skip`."""
    return _seal(skip.to_bytes(8, "big"), identifier.bytes)


def lines_to_skip(named: Mapping[str, str], identifier: UUID) -> int:
    """How many lines were read already, by the cursor given."""
    return int.from_bytes(_open(named["cursor"], identifier.bytes), "big") if "cursor" in named else 0


def limit(named: Mapping[str, str], usual: int = USUAL) -> int:
    """How many rows a page has at most."""
    text = named.get("limit", str(usual))
    if not _LIMIT.fullmatch(text) or int(text) > MOST:
        raise BadParameters.of("limit", f"must be a whole number from 1 to {MOST}")
    return int(text)


def words(named: Mapping[str, str], name: str, known: Collection[str]) -> tuple[str, ...]:
    """The words of a comma list; none where the parameter is absent."""
    found = tuple(dict.fromkeys(named[name].split(","))) if name in named else ()
    if not set(found) <= set(known):
        raise BadParameters.of(name, f"must be one or more of {', '.join(known)}, between commas")
    return found


def _ordering(text: str) -> Ordering:
    found = next((one for one in ORDERINGS if one == text), None)
    if found is None:
        raise BadParameters.of("ordering", f"must be one of {', '.join(ORDERINGS)}")
    return found


def _moment(named: Mapping[str, str], name: str) -> datetime | None:
    if name not in named:
        return None
    try:
        moment: datetime = msgspec.convert(named[name], _Moment)
    except msgspec.ValidationError:
        raise BadParameters.of(name, "must be a time with a zone, such as 2026-01-31T09:00:00Z") from None
    try:
        return moment.astimezone(UTC)  # Postgres does not know every zone that RFC 3339 has
    except OverflowError:  # beyond an edge of the calendar
        return _FIRST if moment.year == 1 else _LAST


def _of(wanted: Filter, ordering: Ordering) -> bytes:
    """What a list is, so that a cursor of another one is known."""
    return msgspec.json.encode([wanted, ordering])


def _place(text: str, of: bytes) -> Place:
    packed = _open(text, of)
    at = identifiers.EPOCH + int.from_bytes(packed[1:9], "big", signed=True) * identifiers.MILLISECOND
    return Place(packed[0], at, UUID(bytes=packed[9:]))


def _signer(of: bytes) -> signing.Signer:
    return signing.Signer(sep=".", salt=f"alerts.cursor.1.{of.hex()}")


def _seal(packed: bytes, of: bytes) -> str:
    return _signer(of).sign(base64.urlsafe_b64encode(packed).rstrip(b"=").decode())


def _open(text: str, of: bytes) -> bytes:
    """What was sealed, just as it was: who cannot sign cannot make us read anything else."""
    try:
        value = _signer(of).unsign(text)
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (signing.BadSignature, binascii.Error):
        told = "is not one of this list: send the nextCursor of an answer with the same filters and ordering"
        raise BadParameters.of("cursor", told) from None
