"""What follows from a failure: when it is tried again, and what it means for the channel. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from msgspec import Struct

from alerts.channels.base import Failure

# Seconds between one try and the next. The long way takes about three days; what a receiver says no to is asked
# a few times more, slowly, since keys get mended; and what it will never take is not asked again.
LONG = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000, 36_000, 36_000, 36_000, 36_000)
SLOW = (60, 600, 3600)
NEVER: tuple[int, ...] = ()
MOST = len(LONG) + 1  # tries: only who ended the process that sent it comes to more
JITTER = 0.2
LONGEST_WAIT = timedelta(hours=24)
_LONGEST_PAUSE = 120.0  # seconds that a channel rests whose receiver is away
PATIENCE = 3  # failures in a row before it rests, and then is tried with one notice at a time

# What it means for the channel when the last try failed so: nothing, or that no notice will get through any more.
Meaning = Literal["notice", "channel"]


class Policy(Struct, frozen=True):
    """How often and how soon a kind of failure is tried again, and whom it is about in the end."""

    waits: tuple[int, ...]
    about: Meaning = "notice"


POLICIES: Mapping[Failure, Policy] = {
    "timeout": Policy(LONG),
    "connection": Policy(LONG),
    "dns": Policy(LONG),
    "server": Policy(LONG),
    "limited": Policy(LONG),
    "lost": Policy(LONG),
    "client": Policy(SLOW, "channel"),
    "redirect": Policy(SLOW, "channel"),
    "tls": Policy(SLOW, "channel"),
    "address": Policy(SLOW, "channel"),
    "settings": Policy(SLOW, "channel"),
    "fault": Policy(SLOW),
    "partly": Policy(SLOW),
    "refused": Policy(NEVER),
    "gone": Policy(NEVER, "channel"),
}
# Failures that say nothing of the receiver's being away: others are told on, at the channel's usual pace.
_OF_THE_NOTICE = frozenset({"refused", "partly", "fault", "lost"})


def next_wait(kind: Failure, attempt: int, *, chance: float, retry_after: float | None = None) -> timedelta | None:
    """How long until the next try after the failed `attempt` (1 is the first); None when there is none any more.

    `chance` is from 0 to 1, for the jitter of a fifth both ways. A receiver that asks for more time gets it, up to a
    day; one that asks for less waits as long as everybody.
    """
    waits = POLICIES[kind].waits
    if attempt > len(waits):
        return None
    seconds = waits[attempt - 1] * (1 - JITTER + 2 * JITTER * chance)
    return timedelta(seconds=max(seconds, _asked(retry_after)))


def pause(kind: Failure, failures: int, *, retry_after: float | None = None) -> timedelta:
    """How long the whole channel rests after so many `failures` in a row, so that none waits behind a dead receiver."""
    patient = kind in _OF_THE_NOTICE or failures < PATIENCE
    seconds = 0.0 if patient else min(_LONGEST_PAUSE, 2.0 ** min(failures - PATIENCE, 10))
    return timedelta(seconds=max(seconds, _asked(retry_after)))


def _asked(retry_after: float | None) -> float:
    """The seconds that a receiver asks for, as far as they are any: no time at least, a day at most."""
    return min(LONGEST_WAIT.total_seconds(), retry_after) if retry_after is not None and retry_after > 0 else 0.0
