"""What the parts that answer nobody leave behind: signs of life, samples of probes, slots, each judged by its age."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from alerts import deliveries
from bedrock.slots import Slot
from monitoring import heartbeats
from monitoring.store import current_store
from monitoring.store.samples import Level
from organizations.scope import Scope

UP, LAST_SUCCESS = "cockpit_probe_up", "cockpit_probe_last_success_timestamp_seconds"
_REMEMBERED = timedelta(hours=1)  # a probe that says nothing for longer belongs to a machine that is gone
_FOLD_PATIENCE = 45.0  # seconds: it leaves a sign every five, and tries again after 30 at most
_DISPATCH_PATIENCE = 45.0  # seconds: as the folder's
_DUE_PATIENCE = 120.0  # seconds: what is due goes out at once, but for the pace of its channel
_IN_VAIN_PATIENCE = 300.0  # seconds that notices are tried, and nothing gets through anywhere
_EVALUATE_PATIENCE = 90.0  # seconds: it is done every fifteen
_TEND_PATIENCE = 60.0  # seconds: it is done every ten
_HOUSE_PATIENCE = 2.5 * 3600  # seconds: it is done once an hour, in an hour's first ten minutes


class NotWell(Exception):
    """What is wrong with a part, in words; `age` in seconds of its last sign, where there was one."""

    def __init__(self, words: str, age: float | None = None, more: Mapping[str, "Sign"] | None = None) -> None:
        super().__init__(words)
        self.sign = Sign(age, words, more or {})


class NotKnown(NotWell):
    """There was nothing to judge by yet."""


@dataclass(frozen=True, slots=True)
class Sign:
    """How long ago a part was last well, what is wrong with it now, and the same of what it is made of."""

    age: float | None = None
    error: str | None = None
    more: Mapping[str, "Sign"] = field(default_factory=dict)


def broker() -> None:
    heartbeats.found()


def workers() -> Sign:
    return _alive("worker", heartbeats.ALIVE_SECONDS)


def beat() -> Sign:
    return _alive("beat", patience())


def fold() -> Sign:
    return _alive("fold", _FOLD_PATIENCE)


def dispatch() -> Sign:
    """The dispatcher's sign of life, how long the oldest notice has been due, and whether anything gets through."""
    sign = _alive("dispatch", _DISPATCH_PATIENCE)
    try:
        due, in_vain = deliveries.oldest_due(), deliveries.in_vain()
    finally:
        connection.close()
    if due is not None and due > _DUE_PATIENCE:
        raise NotWell(f"a notice has been due for {due:.0f} s", sign.age)
    if in_vain is not None and in_vain > _IN_VAIN_PATIENCE:
        raise NotWell(f"nothing has got through any channel for {in_vain:.0f} s", sign.age)
    return sign


def patience() -> float:
    """The seconds after which something that happens at every gathering is missed."""
    return max(60.0, 3.0 * settings.GATHER_INTERVAL)


def _alive(role: str, patience: float) -> Sign:
    """The youngest sign of a role's processes."""
    try:
        signs = heartbeats.found()
    except Exception:
        raise NotWell("not known while the broker does not answer") from None
    age = min((one.age for one in signs if one.role == role), default=None)
    if age is None:
        raise NotWell("no sign of life within a week")
    if age > patience:
        raise NotWell("no sign of life", age)
    return Sign(age)


def retention() -> Sign:
    """When the hourly keeping of the house was last done; a failed try gives its slot back."""
    return _done("keep_house", _HOUSE_PATIENCE, "ten minutes")


def alerts() -> Sign:
    """When alerts were last tended; likewise."""
    return _done("tend", _TEND_PATIENCE, "ten seconds")


def rules() -> Sign:
    """When rules were last held against the minutes that are over; likewise."""
    return _done("evaluate", _EVALUATE_PATIENCE, "fifteen seconds")


def _done(task: str, patience: float, often: str) -> Sign:
    """When a task of one slot was last done."""
    try:
        done = Slot.objects.filter(task=task).order_by("-slot").first()
    finally:
        connection.close()
    if done is None:
        raise NotKnown(f"not done yet; it is asked for every {often}")
    age = (timezone.now() - done.claimed_at).total_seconds()
    if age > patience:
        raise NotWell("not done lately", age)
    return Sign(age)


def probes() -> Sign:
    """Every probe of every host that was asked within the hour; `age` is that of the one read longest ago."""
    now = timezone.now()
    try:
        levels = current_store().levels(
            Scope.system("health"), since=now - _REMEMBERED, families=(UP, LAST_SUCCESS)
        )  # fmt: skip
    finally:
        connection.close()
    found = judged(levels, now)
    if not found:
        raise NotWell("no probe was asked within the hour")
    ages = [one.age for one in found.values() if one.age is not None]
    oldest = max(ages, default=None)
    failing = [name for name, one in found.items() if one.error]
    if failing:
        raise NotWell(f"not read: {', '.join(failing[:5])}" + (" ..." if failing[5:] else ""), oldest, found)
    return Sign(oldest, None, found)


def judged(levels: list[Level], now: datetime) -> dict[str, Sign]:
    """Name of each probe, with its host where it has one -> how it is."""
    successes = {level.labels: level.value for level in levels if level.family == LAST_SUCCESS}
    found: dict[str, Sign] = {}
    for level in levels:
        if level.family != UP or level.organization != "shared":
            continue
        labels = dict(level.labels)
        name = heartbeats.probe_part(labels.get("probe", ""), labels.get("host"))
        success = successes.get(level.labels)
        age = None if success is None else max(0.0, now.timestamp() - success)
        silence = (now - level.at).total_seconds()
        error = None
        if silence > patience():
            error = "not asked any more"
        elif not level.value:
            error = "failed, or gave no answer in time"
        found[name] = Sign(age, error)
    return found
