"""Public identifiers: UUIDv7 (RFC 9562), whose first 48 bits are a time in milliseconds."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down (exact: no float takes part)."""
    return (moment - EPOCH) // MILLISECOND


def uuid7(at_ms: int) -> uuid.UUID:
    """A new UUIDv7 for a time in milliseconds since 1970; the other 74 bits are random."""
    random = int.from_bytes(os.urandom(10), "big")
    return uuid.UUID(int=uuid7_int(at_ms, random))


def uuid7_int(at_ms: int, random: int) -> int:
    """The 128 bits of a UUIDv7 from a time and 80 random bits (six of which give way to version and variant)."""
    high = (at_ms & 0xFFFFFFFFFFFF) << 80
    return (
        high
        | 0x7000_0000_0000_0000_0000
        | (random & 0x0FFF_0000_0000_0000_0000)
        | 0x8000_0000_0000_0000
        | (random & 0x3FFF_FFFF_FFFF_FFFF)
    )


def moment_of(identifier: uuid.UUID) -> datetime:
    """The time inside a UUIDv7, to the millisecond."""
    return EPOCH + (identifier.int >> 80) * MILLISECOND


def parse(text: str) -> uuid.UUID:
    """A UUID in its canonical spelling.

    Raises:
        ValueError: for anything else, other spellings of a UUID included.
    """
    identifier = uuid.UUID(text)
    if str(identifier) != text:
        raise ValueError("not a canonical UUID")
    return identifier


@lru_cache(maxsize=512)  # what comes together often has the same time
def text_of(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: 2026-11-22T10:00:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
