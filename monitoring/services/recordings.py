"""What in-process verbs have in common: whom a recording is about, text that may be a label, what was not kept."""

import math
import os
import re
import time
from threading import Lock

import structlog
from django.conf import settings

from bedrock import text
from monitoring import counting
from organizations.scope import SLUG_PATTERN

log = structlog.get_logger(__name__)

LONGEST_LABEL = 200
_LARGEST = 1e15
_SLUG = re.compile(SLUG_PATTERN)
_QUIET = 60.0  # seconds between two warnings for one reason


class BadRecording(ValueError):
    """A recording that cannot be kept; told in the log and counted, never raised into the caller's work."""


class State:
    """Whether recordings are taken at all; `initialize` says so."""

    def __init__(self) -> None:
        self.metrics = True
        self.inferences = True


state = State()
_lock = Lock()
_told: dict[tuple[str, str], float] = {}


def _begin() -> None:
    """After a fork the parent's lock may be held for ever."""
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_begin)


def organization_of(organization: str | None) -> str:
    """The organization that was named, or DEFAULT_ORGANIZATION."""
    slug = organization or str(settings.DEFAULT_ORGANIZATION)
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise BadRecording(f"organization: {str(slug)[:60]!r} is not an organization's slug")
    return slug


def number_of(value: float, name: str, *, least: float | None = None) -> float:
    """A number of at most 10^15 to either side of 0 (so that sums stay exact enough), and at least `least`."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRecording(f"{name}: must be a number") from None
    if not abs(number) <= _LARGEST or (least is not None and number < least):
        raise BadRecording(f"{name}: must lie between {-_LARGEST if least is None else least:g} and {_LARGEST:g}")
    return number


def label_of(value: object, name: str) -> str:
    """The value of a label."""
    label = str(value)
    if problem := text.text_problem(label, LONGEST_LABEL):
        raise BadRecording(f"{name}: {problem}")
    return label


def dropped(verb: str, reason: str, *, count: int = 1, why: str = "") -> None:
    """Count what was not kept; the log tells it once a minute at most."""
    counting.table.add("shared", counting.DROPPED, (("reason", reason), ("verb", verb)), float(count))
    with _lock:
        now = time.monotonic()
        if now - _told.get((verb, reason), -math.inf) < _QUIET:
            return
        _told[verb, reason] = now
    log.warning("recording not kept", verb=verb, reason=reason, why=why[:300])
