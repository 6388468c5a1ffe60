"""Every rule that is on, held against every minute that is over: once each, whoever does it, and however late.

What is judged of an organization is one transaction: how groups stand, what changed, alerts and their deliveries.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import connection, transaction

from alerts import evaluations, gauging, judging, memory, rulebook, standings, turns
from alerts.enacting import act
from alerts.evaluations import Run
from alerts.gauging import REFUSED, Gauges
from alerts.measurements import Group, Wanted
from alerts.memory import Cursor
from alerts.mishaps import tell_of_broken
from alerts.rulebook import Book, Ruled
from alerts.rules import MINUTE
from alerts.standings import Kept
from alerts.turns import Turn
from bedrock import failpoints
from organizations.scope import Scope

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=15)
MOST_MINUTES = 60  # that are judged after the fact; what is older is left out
_TOGETHER = 10  # minutes that are read at once, of few windows
_MOST_WINDOWS = 200  # that are read at once, of as many minutes as that takes
_TELLING = 0  # the cursor with which rules are told of that cannot even be read
_FAR = timedelta(hours=2)  # ahead of the present: further than any other who judges is
SCOPE = Scope.system("judge rules")
_ABOUT_DATA = ("21", "22", "23", "42", "54")  # classes of what Postgres says: a value, a constraint, a limit
_FORGET_CHANGES = "DELETE FROM alerts_transition WHERE at < %s"
KEPT_CHANGES = timedelta(days=100)


class _Due(NamedTuple):
    """What one cursor has to be judged by: its rules, the book that they are of, the minutes and their data."""

    cursor: Cursor
    rules: Sequence[Ruled]
    book: Book
    minutes: Sequence[datetime]
    gauges: Mapping[datetime, Gauges]
    now: datetime
    began: float  # by the clock of the process

    @property
    def took_ms(self) -> float:
        return (time.monotonic() - self.began) * 1000


def evaluate(now: datetime) -> Run:
    """Judge all minutes that are over by `now` and were not judged. Can be done by any number at once.

    What fails for one organization is tried again at the next run, and keeps no other from being judged.
    """
    began = time.monotonic()
    book = rulebook.enabled()
    cursors, asked = _cursors(book), _asked(book)
    with SCOPE.enter():
        until = standings.judged()
    due = {cursor: list(_due(until.get(cursor), now, cursor[1]))[-MOST_MINUTES if rules else -1 :]
           for cursor, rules in cursors.items()}  # fmt: skip
    done, left = dict[Cursor, Run](), set[Cursor]()
    for minutes in _batches(sorted({minute for found in due.values() for minute in found}), asked):
        wanted = judging.together(asked[cursor] for cursor in cursors if set(due[cursor]) & set(minutes))
        gauges = _gauges(wanted, minutes)
        for cursor, rules in cursors.items():
            mine = [minute for minute in minutes if minute in due[cursor]]
            if mine and cursor not in left:
                run, goes_on = _judge(_Due(cursor, rules, book, mine, gauges.get(cursor[0], {}), now, began))
                left |= set() if goes_on else {cursor}
                done[cursor] = done.get(cursor, Run()).then(run)
    total = Run()
    for run in done.values():
        total = total.beside(run)
    return total


def forget(now: datetime) -> None:
    """Drop what evaluations did, and how groups changed, long ago."""
    with SCOPE.enter(), connection.cursor() as cursor:
        evaluations.forget(now)
        cursor.execute(_FORGET_CHANGES, [now - KEPT_CHANGES])


@lru_cache(maxsize=1)
def _cursors(book: Book) -> Mapping[Cursor, Sequence[Ruled]]:
    found: dict[Cursor, list[Ruled]] = defaultdict(list)
    for organization, _ in book.broken:
        found[organization, _TELLING] = []
    for rule in book.rules:
        found[rule.organization, rule.definition.offset].append(rule)
    return found


@lru_cache(maxsize=1)
def _asked(book: Book) -> Mapping[Cursor, Wanted]:
    """What has to be read for the rules of each."""
    return {cursor: judging.wanted(rules) for cursor, rules in _cursors(book).items()}


def _broken(book: Book, cursor: Cursor) -> Mapping[UUID, str]:
    if cursor[1] != _TELLING:
        return {}
    return {rule: words for (organization, rule), words in book.broken.items() if organization == cursor[0]}


def _due(until: datetime | None, now: datetime, late: int) -> Iterator[datetime]:
    newest = gauging.minute_of(now, late)
    minute = newest
    if until is not None and until <= newest + _FAR:  # whoever judged further than that was told another time
        minute = max(until + MINUTE, newest - (MOST_MINUTES - 1) * MINUTE)
    while minute <= newest:
        yield minute
        minute += MINUTE


def _batches(minutes: Sequence[datetime], asked: Mapping[Cursor, Wanted]) -> Iterator[Sequence[datetime]]:
    """As many at once as can be read at once."""
    windows = len({window for wanted in asked.values() for _, window in wanted})
    size = min(_TOGETHER, max(1, _MOST_WINDOWS // max(1, windows)))
    for start in range(0, len(minutes), size):
        yield minutes[start : start + size]


def _gauges(wanted: Wanted, minutes: Sequence[datetime]) -> Mapping[str, Mapping[datetime, Gauges]]:
    """By organization. What cannot be read together is read apart, and what cannot be read at all is left out."""
    organizations = sorted({organization for organization, _ in wanted})
    try:
        return dict.fromkeys(organizations, gauging.read(SCOPE, wanted, minutes))
    except REFUSED as error:
        log.warning("rules are read one organization at a time", reason=type(error).__name__)
    found: dict[str, Mapping[datetime, Gauges]] = {}
    for organization in organizations:
        mine = {place: fields for place, fields in wanted.items() if place[0] == organization}
        for read in (gauging.read, gauging.read_apart):
            try:
                found[organization] = read(Scope.of(organization), mine, minutes)
                break
            except REFUSED as error:
                log.warning("what rules ask for cannot be read", organization=organization,
                            apart=read is gauging.read_apart, reason=type(error).__name__)  # fmt: skip
    return found


class _NotNow(Exception):
    """Somebody else is judging these, or they were changed meanwhile: all of it is left to the next look."""


def _judge(due: _Due) -> tuple[Run, bool]:
    """One cursor's transaction, and whether later minutes may be judged in this run."""
    organization, late = due.cursor
    failed = Run(failed=len(due.rules))
    try:
        if due.gauges or not due.rules:
            with Scope.of(organization).enter():
                return _judged(due), True
    except _NotNow:
        return Run(), False
    except Exception as error:
        memory.drop(due.cursor)
        log.warning("rules were not judged", organization=organization, reason=type(error).__name__, exc_info=True)
    except BaseException:
        memory.drop(due.cursor)
        raise
    try:
        with Scope.of(organization).enter():
            evaluations.note(organization, late, failed, now=due.now, took_ms=due.took_ms)
    except REFUSED as error:
        log.warning("that rules were not judged is not noted", organization=organization, reason=type(error).__name__)
    return failed, False


def _judged(due: _Due) -> Run:
    organization, late = due.cursor
    held = standings.hold(organization, late, first=due.minutes[0] - MINUTE)
    if held is None:
        raise _NotNow
    until, revision = held
    if until > due.minutes[-1] + _FAR:
        log.warning("minutes that are yet to come were judged before", organization=organization, until=str(until))
        until = due.minutes[0] - MINUTE
    minutes = [minute for minute in due.minutes if minute > until]
    if not minutes:
        return Run()
    if not rulebook.is_still_so(due.book, organization):
        raise _NotNow
    broken = _broken(due.book, due.cursor)
    stood = memory.recall(due.cursor, due.rules, revision)
    turn = turns.take(due.rules, stood.known, stood.resting, minutes, due.gauges, gap=minutes[0] > until + MINUTE)
    kept = _written(due, turn)
    tell_of_broken(organization, [rule.id for rule in due.rules], {**turn.failed, **broken}, due.now)
    standings.advance(organization, late, until=minutes[-1], changed=bool(kept))
    stood.update(kept, [change.rule for change in turn.changes.values()])
    stood.revision = revision + bool(kept)
    memory.keep(due.cursor, stood)
    oldest = (due.now - minutes[0]).total_seconds() - late - 60 if due.rules else 0.0
    run = Run(len(minutes), len(due.rules), sum(map(len, stood.known.values())), len(turn.noted),
              len(turn.failed) + len(broken), max(0.0, oldest))  # fmt: skip
    evaluations.note(organization, late, run, now=due.now, took_ms=due.took_ms)
    failpoints.reach("rules.judged")
    return run


def _written(due: _Due, turn: Turn) -> Mapping[tuple[UUID, Group], Kept | None]:
    """Alerts and standings of all rules at once; where that fails, rule by rule, so that one keeps no other from it."""
    organization = due.cursor[0]
    if not turn.changes:
        return {}
    try:
        with transaction.atomic():
            kept = act(organization, list(turn.changes.values()), due.now)
            standings.write(organization, kept, turn.noted)
            return kept
    except REFUSED as error:
        if not _is_about_data(error):
            raise
        log.warning("what rules say is written one by one", organization=organization, reason=type(error).__name__)
    written: dict[tuple[UUID, Group], Kept | None] = {}
    for rule in {key[0] for key in turn.changes}:
        changes = [change for key, change in turn.changes.items() if key[0] == rule]
        try:
            with transaction.atomic():
                kept = act(organization, changes, due.now)
                standings.write(organization, kept, [each for each in turn.noted if each.rule_id == rule])
                written |= kept
        except REFUSED as error:
            if not _is_about_data(error):
                raise
            words = str(error).partition("\n")[0][:200]
            turn.without(rule, f"What it says cannot be written: {words}")
    return written


def _is_about_data(error: Exception) -> bool:
    """Whether the database refuses what it is told, and not because of how it is at the moment."""
    return (getattr(error.__cause__, "sqlstate", None) or "")[:2] in _ABOUT_DATA
