"""Every rule that is on, held against every minute that is over: once each, whoever does it, and however late.

What is judged of an organization is one transaction: how groups stand, what changed, alerts and their deliveries.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, connection

from alerts import gauging, judging, rulebook, standings
from alerts.enacting import Change, act
from alerts.gauging import Gauges
from alerts.measurements import Group, Wanted
from alerts.mishaps import tell_of_broken
from alerts.rulebook import Book, Ruled
from alerts.rules import MINUTE, fine
from alerts.standings import Kept, Standings, Transition
from bedrock import failpoints
from organizations.scope import Scope

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=15)
MOST_MINUTES = 60  # that are judged after the fact; what is older is left out
_TOGETHER = 10  # minutes that are read at once
_TELLING = 0  # the cursor with which rules are told of that cannot even be read
SCOPE = Scope.system("judge rules")
_REFUSED = (DatabaseError, InterfaceError)
Cursor = tuple[str, int]  # an organization, and for how many seconds its rules wait for late data
_NOTE = """
INSERT INTO alerts_evaluation (organization_id, at, minutes, rules, groups, transitions, failed, late_seconds, took_ms)
VALUES ('shared', %s, %s, %s, %s, %s, %s, %s, %s)
"""
_FORGET = "DELETE FROM alerts_evaluation WHERE at < %s"
_FORGET_CHANGES = "DELETE FROM alerts_transition WHERE at < %s"
KEPT, KEPT_CHANGES = timedelta(days=14), timedelta(days=100)


class Run(NamedTuple):
    """What one evaluation did; `late` is by how many seconds the oldest minute of it came late."""

    minutes: int = 0
    rules: int = 0
    groups: int = 0
    transitions: int = 0
    failed: int = 0
    late: float = 0.0


# What was read or written last of each cursor's standings, at which revision and of how many rules; and the keys of
# those that can be told at a glance and were fine.
_remembered: dict[Cursor, tuple[int, int, Standings, set[str]]] = {}


def evaluate(now: datetime) -> Run:
    """Judge all minutes that are over by `now` and were not judged. Can be done by any number at once.

    What fails for one organization is tried again at the next run, and keeps no other from being judged.
    """
    began = time.monotonic()
    book = rulebook.enabled()
    cursors, asked = _cursors(book), _asked(book)
    with SCOPE.enter():
        until = standings.judged()
    due = {cursor: list(_due(until.get(cursor), now, cursor[1])) for cursor in cursors}
    done, left = Run(), set[Cursor]()
    for minutes in _batches(sorted({minute for found in due.values() for minute in found})):
        wanted = judging.together(asked[cursor] for cursor in cursors if set(due[cursor]) & set(minutes))
        gauges = _gauges(wanted, minutes)
        for cursor, rules in cursors.items():
            mine = [minute for minute in minutes if minute in due[cursor]]
            if mine and cursor not in left:
                run = _judge(cursor, rules, book, mine, gauges.get(cursor[0], {}), now)
                left |= {cursor} if run is None else set()
                done = _added(done, run or Run(failed=len(rules)))
    if done.minutes:
        _note(done, now, (time.monotonic() - began) * 1000)
    return done


def forget(now: datetime) -> None:
    """Drop what evaluations did, and how groups changed, long ago."""
    with SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_FORGET, [now - KEPT])
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


def _due(until: datetime | None, now: datetime, late: int) -> Iterator[datetime]:
    newest = gauging.minute_of(now, late)
    minute = newest if until is None else max(until + MINUTE, newest - (MOST_MINUTES - 1) * MINUTE)
    while minute <= newest:
        yield minute
        minute += MINUTE


def _batches(minutes: Sequence[datetime]) -> Iterator[Sequence[datetime]]:
    for start in range(0, len(minutes), _TOGETHER):
        yield minutes[start : start + _TOGETHER]


def _gauges(wanted: Wanted, minutes: Sequence[datetime]) -> Mapping[str, Mapping[datetime, Gauges]]:
    """By organization; each is read alone where they cannot be read together, and what cannot be read is left out."""
    organizations = sorted({organization for organization, _ in wanted})
    try:
        return dict.fromkeys(organizations, gauging.read(SCOPE, wanted, minutes))
    except _REFUSED as error:
        log.warning("rules are read one organization at a time", reason=type(error).__name__)
    found: dict[str, Mapping[datetime, Gauges]] = {}
    for organization in organizations:
        mine = {key: fields for key, fields in wanted.items() if key[0] == organization}
        try:
            found[organization] = gauging.read(Scope.of(organization), mine, minutes)
        except _REFUSED as error:
            log.warning("what rules ask for cannot be read", organization=organization, reason=type(error).__name__)
    return found


def _judge(
    cursor: Cursor, rules: Sequence[Ruled], book: Book, minutes: Sequence[datetime],
    gauges: Mapping[datetime, Gauges], now: datetime,
) -> Run | None:  # fmt: skip
    """One cursor's transaction; None, and nothing of it, where that was not possible."""
    if rules and not gauges:
        return None
    try:
        with Scope.of(cursor[0]).enter():
            return _judged(cursor, rules, book, minutes, gauges, now)
    except Exception as error:
        log.warning("rules were not judged", organization=cursor[0], reason=type(error).__name__, exc_info=True)
        _remembered.pop(cursor, None)
        return None
    except BaseException:
        _remembered.pop(cursor, None)
        raise


def _judged(
    cursor: Cursor, rules: Sequence[Ruled], book: Book, minutes: Sequence[datetime],
    gauges: Mapping[datetime, Gauges], now: datetime,
) -> Run:  # fmt: skip
    organization, late = cursor
    until, revision = standings.hold(organization, late, first=minutes[0] - MINUTE)
    minutes = [minute for minute in minutes if minute > until]
    if not minutes:
        return Run()
    known, resting = _known(cursor, rules, revision)
    changes, noted, failed = _judge_minutes(rules, known, resting, minutes, gauges)
    kept = act(organization, list(changes.values()), now)
    standings.write(organization, kept, noted)
    broken = {rule: words for (of, rule), words in book.broken.items() if of == organization and late == _TELLING}
    tell_of_broken(organization, [rule.id for rule in rules], {**failed, **broken}, now)
    standings.advance(organization, late, until=minutes[-1], changed=bool(kept))
    _update(known, kept)
    for change in changes.values():
        (resting.add if _rests(change.rule, known) else resting.discard)(change.rule.key)
    # As it is in the database once this transaction is committed; should it fail, it is forgotten.
    _remembered[cursor] = (revision + bool(kept), len(rules), known, resting)
    failpoints.reach("rules.judged")
    groups = sum(map(len, known.values()))
    oldest = (now - minutes[0]).total_seconds() - late - 60
    return Run(len(minutes), len(rules), groups, len(noted), len(failed) + len(broken), max(0.0, oldest))


def _known(cursor: Cursor, rules: Sequence[Ruled], revision: int) -> tuple[Standings, set[str]]:
    found = _remembered.get(cursor)
    if found is not None and found[0] == revision and found[1] == len(rules):
        return found[2], found[3]
    known = standings.read([rule.id for rule in rules])
    return known, {rule.key for rule in rules if _rests(rule, known)}


def _rests(rule: Ruled, known: Standings) -> bool:
    kept = known.get(rule.id, {}).get(())
    return rule.glance is not None and kept is not None and kept.standing.resting


def _update(known: Standings, kept: Mapping[Any, Kept | None]) -> None:
    for (rule, group), one in kept.items():
        if one is None:
            known[rule].pop(group, None)
        else:
            known.setdefault(rule, {})[group] = one


def _judge_minutes(
    rules: Sequence[Ruled], known: Standings, resting: Set[str], minutes: Sequence[datetime],
    gauges: Mapping[datetime, Gauges],
) -> tuple[dict[tuple[UUID, Group], Change], list[Transition], dict[UUID, str]]:  # fmt: skip
    """What changed over all of the minutes, every transition on the way, and the rules that could not be judged."""
    changes: dict[tuple[UUID, Group], Change] = {}
    noted: list[Transition] = []
    failed: dict[UUID, str] = {}
    for rule in rules:
        try:
            if rule.key in resting and _stays_fine(rule, minutes, gauges):
                continue
            before = known.get(rule.id, {})
            standing = {group: one.standing for group, one in before.items()}
            for at in minutes:
                for one in judging.judge(rule, standing, judging.read(rule, gauges[at]), at):
                    kept = before.get(one.group)
                    alert = kept.alert if kept else None
                    after = None if one.after is None else Kept(one.after, alert)
                    changes[rule.id, one.group] = Change(rule, one.group, kept, after, one.reading)
                    if one.after is None:
                        del standing[one.group]
                    else:
                        standing[one.group] = one.after
                    noted += _transition(rule, one, at)
        except Exception as error:
            log.warning("a rule cannot be judged", rule=str(rule.id), reason=type(error).__name__, exc_info=True)
            failed[rule.id] = f"It could not be judged: {type(error).__name__}."
            noted = [each for each in noted if each.rule_id != rule.id]
            changes = {key: each for key, each in changes.items() if key[0] != rule.id}
    return changes, noted, failed


def _stays_fine(rule: Ruled, minutes: Sequence[datetime], gauges: Mapping[datetime, Gauges]) -> bool:
    """As nearly all do that can be told at a glance: what is left is judged in full."""
    glance, window = rule.glance, rule.windows[0]
    return glance is not None and all(
        fine(rule.condition, glance(gauges[at].whole(rule.organization, window))) for at in minutes
    )


def _transition(rule: Ruled, one: judging.Judged, at: datetime) -> Iterator[Transition]:
    before = one.before.state if one.before else ""
    after = one.after.state if one.after else "forgotten"
    if before != after and (before or after != "ok"):
        because = one.after.because if one.after else "no_data"
        yield Transition(
            rule_id=rule.id, version=rule.version, group_values=one.group, at=at, before=before, after=after,
            because=because, value=one.reading.value, samples=one.reading.samples,
        )  # fmt: skip


def _added(one: Run, other: Run) -> Run:
    return Run(
        max(one.minutes, other.minutes), one.rules + other.rules, one.groups + other.groups,
        one.transitions + other.transitions, one.failed + other.failed, max(one.late, other.late),
    )  # fmt: skip


def _note(done: Run, now: datetime, took_ms: float) -> None:
    with Scope.of("shared").enter(), connection.cursor() as cursor:
        cursor.execute(_NOTE, [now, *done, took_ms])
