"""One look at everything: each probe asked with a deadline of its own, and what they said kept as samples."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from threading import Lock, Thread

import structlog
from django.conf import settings

from bedrock import identifiers
from bedrock.identifiers import EPOCH
from monitoring import heartbeats, pubsub
from monitoring.probes.backends import Broker, Cache, Database
from monitoring.probes.gpu import Gpus
from monitoring.probes.host import Disks, Host
from monitoring.probes.reading import Reading
from monitoring.store import current_store
from monitoring.store.samples import Increment, Labels, Sample
from organizations.scope import Scope

log = structlog.get_logger(__name__)

ORGANIZATION = "shared"  # what belongs to the platform itself
LAST_SUCCESS = "cockpit_probe_last_success_timestamp_seconds"
MOST_READINGS = 5_000  # of one probe at one look
_DEADLINE = 3.0  # seconds for each probe; all of them are asked at once
_MOST_TEXT = 200
_HUGE = 2.0**62  # nothing that is measured here comes near

Probe = Callable[[], Sequence[Reading] | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of asking one probe: its readings (None when there is nothing to read here), or why not."""

    probe: str
    readings: Sequence[Reading] | None
    seconds: float
    error: str | None = None


class _Asked:
    """One probe at work in a thread of its own, which ends with the process whatever the probe does."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name, self._probe = name, probe
        self.answer: Answer | None = None
        self.used = False
        self.thread = Thread(target=self._run, name=f"probe {name}", daemon=True)
        self.began = time.monotonic()
        self.thread.start()

    def _run(self) -> None:
        readings, error = None, None
        try:
            readings = self._probe()
        except Exception as problem:
            error = type(problem).__name__  # its text may name hosts and users
        self.answer = Answer(self._name, readings, time.monotonic() - self.began, error)


class Round:
    """Some probes, asked together. One that hangs holds its thread and no other, and is not asked again meanwhile."""

    def __init__(self, probes: Mapping[str, Probe], deadline: float = _DEADLINE) -> None:
        self._probes = probes
        self._deadline = deadline
        self._asked: dict[str, _Asked] = {}
        self._turn = Lock()
        self._failing: dict[str, str] = {}
        self._growth: list[Reading] = []  # not kept yet, and told by nobody again
        self.successes: dict[str, datetime] = {}

    def ask(self) -> list[Answer]:
        """Every probe's answer within the deadline; of one that comes later nothing is used but growth."""
        with self._turn:
            until = time.monotonic() + self._deadline
            busy = {name for name, asked in self._asked.items() if asked.thread.is_alive()}
            for name, asked in self._asked.items():
                if name not in busy and not asked.used and asked.answer is not None:
                    self._growth += _grown(asked.answer)
            self._asked |= {name: _Asked(name, probe) for name, probe in self._probes.items() if name not in busy}
            answers = []
            for name in self._probes:
                asked = self._asked[name]
                asked.thread.join(max(0.0, until - time.monotonic()))
                late = Answer(name, None, time.monotonic() - asked.began, f"no answer within {self._deadline:g} s")
                answer = asked.answer if name not in busy else None
                asked.used = answer is not None
                answers.append(answer or late)
        for answer in answers:
            self._tell(answer)
        return answers

    def growth(self, answers: Sequence[Answer]) -> list[Reading]:
        """What these answers say that counters grew by, with what came too late or could not be kept before."""
        with self._turn:
            earlier, self._growth = self._growth, []
        return [*earlier, *(reading for answer in answers for reading in _grown(answer))]

    def not_kept(self, growth: Sequence[Reading]) -> None:
        """Keep it for the next look; the oldest, should it be too much."""
        with self._turn:
            self._growth = [*growth, *self._growth][:MOST_READINGS]

    def _tell(self, answer: Answer) -> None:
        """A line in the log when a probe begins to fail, and one when it is well again."""
        before = self._failing.get(answer.probe)
        if answer.error and before is None:
            log.warning("probe failed", probe=answer.probe, reason=answer.error)
            self._failing[answer.probe] = answer.error
        elif before is not None and not answer.error:
            log.info("probe well again", probe=answer.probe)
            del self._failing[answer.probe]


@cache
def of_host() -> Round:
    """The probes of the machine that this process runs on."""
    return Round({"host": Host().read, "disks": Disks(settings.ENV.data_dir).read, "gpu": Gpus().read})


@cache
def of_backends() -> Round:
    """The probes of what all machines share."""
    return Round({"database": Database().read, "cache": Cache().read, "broker": Broker().read})


def gather(probes: Round, *, now: datetime, host: str | None = None) -> int:
    """Ask the probes and keep what they say; the number of readings kept.

    `host` becomes a label of everything. A probe that fails is told by `cockpit_probe_up` 0 and by nothing else: what
    was not read has no value.
    """
    place = {"host": host} if host else {}
    at_ms = identifiers.milliseconds(now)
    answers = probes.ask()
    heartbeats.failed({heartbeats.probe_part(one.probe, host): one.error for one in answers if one.error})
    if any(answer.error and answer.probe not in probes.successes for answer in answers):
        probes.successes = _before_us(place) | probes.successes
    readings = [reading for answer in answers for reading in _told(answer, probes.successes, now)]
    growth = probes.growth(answers)
    series = {(reading.family, _labels({**reading.labels, **place})): reading for reading in readings}
    samples = [
        Sample(organization=ORGANIZATION, family=family, labels=labels, at_ms=at_ms, value=float(reading.value))
        for (family, labels), reading in series.items()
        if not reading.grown
    ]
    increments = [
        Increment(
            organization=ORGANIZATION,
            family=reading.family,
            labels=_labels({**reading.labels, **place}),
            at_ms=at_ms,
            amount=float(reading.value),
        )
        for reading in growth
    ]
    if samples or increments:
        try:
            current_store().observe(Scope.system("gather"), samples, increments, now=now)
        except Exception:
            probes.not_kept(growth)
            raise
        pubsub.publish([ORGANIZATION])
    return len(samples) + len(increments)


def _before_us(place: Mapping[str, str]) -> dict[str, datetime]:
    """When each probe of a place was last read, as an earlier process told it: a restart makes no failure younger."""
    found = {}
    for level in current_store().levels(Scope.of(ORGANIZATION), since=EPOCH, families=(LAST_SUCCESS,)):
        labels = dict(level.labels)
        probe = labels.pop("probe", "")
        if labels == place:
            found[probe] = datetime.fromtimestamp(level.value, UTC)
    return found


def _grown(answer: Answer) -> list[Reading]:
    return [one for one in (answer.readings or ())[:MOST_READINGS] if one.grown and believable(one)]


def _told(answer: Answer, successes: dict[str, datetime], now: datetime) -> list[Reading]:
    """The readings of one answer that can be believed, and how the probe itself is."""
    if answer.readings is None and answer.error is None:
        return []  # a machine without such a thing
    name = {"probe": answer.probe}
    found = [Reading("cockpit_probe_up", float(answer.error is None), name)]
    if answer.error is None:
        successes[answer.probe] = now
        found.append(Reading("cockpit_probe_duration_seconds", answer.seconds, name))
    if answer.probe in successes:
        at = successes[answer.probe].timestamp()
        found.append(Reading(LAST_SUCCESS, at, name))
    return [*found, *(one for one in (answer.readings or ())[:MOST_READINGS] if believable(one))]


def believable(reading: Reading) -> bool:
    """Whether a value can be one: finite, no vendor's blank, not below 0 where nothing is, a ratio of 1 at most."""
    try:
        value = float(reading.value)
    except (TypeError, ValueError, OverflowError):
        return False
    highest = 1.0 if reading.family.endswith("_ratio") else _HUGE
    lowest = -_HUGE if reading.family.endswith("_celsius") else 0.0
    return math.isfinite(value) and lowest <= value <= highest


def _labels(labels: Mapping[str, str]) -> Labels:
    """Labels as the store takes them: sorted, printable, of bounded length."""
    return tuple(sorted((name, _text(value)) for name, value in labels.items()))


def _text(value: str) -> str:
    plain = str(value).encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in plain)[:_MOST_TEXT]
