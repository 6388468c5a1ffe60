"""The admin's page of one rule: how each of its groups stands and why, what changed, its versions, what can be done."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction
from msgspec import Struct

from alerts import gauging, rule_entries, rule_words, rulebook, saying, standings
from alerts.definitions import Definition
from alerts.measurements import Group
from alerts.models import AlertRule
from alerts.rule_states import FIRING, GROUP_STATES, STATE_TONES, Stood, read, readings, stand
from alerts.rulebook import Unsound
from alerts.rules import Reading
from alerts.saying import name_of
from alerts.standings import Kept
from organizations.lists import Tone

MOST_GROUPS, MOST_TRANSITIONS, MOST_VERSIONS = 50, 50, 20
_TRANSITIONS = """
SELECT at, version, group_values, before, after, because, value, samples FROM alerts_transition
WHERE rule_id = %s ORDER BY at DESC, id DESC LIMIT %s
"""
_VERSIONS = """
SELECT version, at, by, state, definition::text FROM alerts_rule_version WHERE rule_id = %s
ORDER BY version DESC LIMIT %s
"""
# What people have resolved meanwhile is over already; that the rule cannot be judged may be an alert of its own.
_OPEN = """
SELECT count(*) FROM alerts_alert WHERE organization_id = %(organization)s AND status <> 'resolved' AND (
    id = %(error)s OR id IN (SELECT alert_id FROM alerts_standing WHERE rule_id = %(rule)s
        AND organization_id = %(organization)s AND alert_id IS NOT NULL))
"""
_NOTHING = Reading(None, 0)


class Act(Struct, frozen=True):
    """One thing to do to a rule: its button's words, the states in which it can be done, the state it leads to."""

    name: str
    title: str
    states: frozenset[str]
    state: str
    done: str
    asks: bool = False  # first whether that is meant


ACTS: Mapping[str, Act] = {
    act.name: act
    for act in (
        Act("on", "Switch on", frozenset({"paused"}), "on", "switched on, to be judged from the next minute"),
        Act("pause", "Pause", frozenset({"on"}), "paused", "paused", asks=True),
        Act("retire", "Retire", frozenset({"on", "paused"}), "retired", "retired for good", asks=True),
    )
}


class Standing(Struct, frozen=True, kw_only=True):
    """A group as the page tells it."""

    name: str
    state: str
    tone: Tone
    since: datetime
    because: str
    value: str
    samples: int
    alert: UUID | None


class Transition(Struct, frozen=True, kw_only=True):
    at: datetime
    name: str
    before: str
    after: str
    tone: Tone
    because: str
    value: str


class Version(Struct, frozen=True, kw_only=True):
    number: int
    at: datetime
    by: str
    changes: Sequence[str]


class RuleDesk(Struct, frozen=True, kw_only=True):
    """All of the page but its form."""

    stood: Stood
    tone: Tone
    subject: str
    asked: str
    standings: Sequence[Standing]
    more: int  # groups that are not told one by one
    minute: datetime | None  # of the values
    transitions: Sequence[Transition]
    versions: Sequence[Version]


def look(rule: AlertRule, now: datetime) -> RuleDesk:
    """The page, in a handful of queries."""
    stood = stand([rule], now)[rule.pk]
    one = stood.definition
    kept = standings.read([rule.pk]).get(rule.pk, {})
    minute, found = _values(rule, one, now) if kept else (None, {})
    groups = sorted(kept, key=lambda group: (_rank(kept[group]), -kept[group].standing.since.timestamp(), group))
    return RuleDesk(
        stood=stood, tone=STATE_TONES[stood.state], subject=rule_words.subject(one) if one else "",
        asked=saying.asked(one) if one else "",
        standings=[_standing(group, kept[group], found.get(group, _NOTHING), one) for group in groups[:MOST_GROUPS]],
        more=max(0, len(groups) - MOST_GROUPS), minute=minute, transitions=list(_transitions(rule, one)),
        versions=list(_versions(rule)),
    )  # fmt: skip


def offered(rule: AlertRule) -> list[Act]:
    """What can be done to it as it stands."""
    return [act for act in ACTS.values() if rule.state in act.states]


def switch(rule: AlertRule, act: Act, *, now: datetime, by: str) -> bool:
    """Whether it was done: somebody else may have been quicker."""
    try:
        with transaction.atomic():
            rulebook.switch(rule=rule, state=act.state, now=now, by=by)
    except Unsound:
        return False
    return True


def open_alerts(rule: AlertRule) -> int:
    """How many alerts end with it."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"rule": rule.pk, "organization": rule.organization_id, "error": rule.error_alert_id})
        return int(cursor.fetchone()[0])


def _rank(kept: Kept) -> int:
    state = kept.standing.state
    return GROUP_STATES.index(state) if state in GROUP_STATES else len(GROUP_STATES)


def _values(rule: AlertRule, one: Definition | None, now: datetime) -> tuple[datetime | None, Mapping[Group, Reading]]:
    """Of every group, at the minute that was judged last."""
    ruled = read(rule)
    if ruled is None or one is None:
        return None, {}
    until = standings.judged().get((rule.organization_id, one.offset))
    minute = until or gauging.minute_of(now, one.offset)
    return minute, readings(ruled, minute)


def _standing(group: Group, kept: Kept, reading: Reading, one: Definition | None) -> Standing:
    standing = kept.standing
    return Standing(
        name=name_of(group), state=standing.state, tone=STATE_TONES[standing.state], since=standing.since,
        because=rule_words.reason(
            standing.because, samples=reading.samples if reading.value is None else 0,
            better=one is not None and rule_words.is_better(one.condition, standing)),
        value=saying.quantity(reading.value, one.unit if one else ""), samples=reading.samples,
        alert=kept.alert if standing.state in FIRING else None,
    )  # fmt: skip


def _transitions(rule: AlertRule, one: Definition | None) -> Iterator[Transition]:
    with connection.cursor() as cursor:
        cursor.execute(_TRANSITIONS, [rule.pk, MOST_TRANSITIONS])
        rows = cursor.fetchall()
    for at, _, group, before, after, because, value, samples in rows:
        yield Transition(
            at=at, name=name_of(tuple(group)), before=before.replace("_", " "), after=after.replace("_", " "),
            tone=STATE_TONES.get(after, "plain"),
            because=rule_words.reason(because, samples=samples if value is None else 0),
            value=saying.quantity(value, one.unit if one else ""),
        )  # fmt: skip


def _versions(rule: AlertRule) -> Iterator[Version]:
    """The newest first, each with what it changed of the one before."""
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS, [rule.pk, MOST_VERSIONS + 1])
        rows: list[Any] = cursor.fetchall()
    for place, (number, at, by, state, text) in enumerate(rows[:MOST_VERSIONS]):
        before = rows[place + 1] if place + 1 < len(rows) else None
        changes = ["made"] if before is None else list(_changes(before[3], before[4], state, text))
        yield Version(number=number, at=at, by=by, changes=changes or ["its name or its owner"])


def _changes(state_before: str, before: str, state: str, after: str) -> Iterator[str]:
    """Field by field, as the form shows them: "window: 15m → 30m"."""
    if state != state_before:
        yield f"state: {state_before} → {state}"
    if before == after:
        return
    old, new = _written(before), _written(after)
    for name in dict.fromkeys((*old, *new)):
        was, now = (_said(side.get(name)) for side in (old, new))
        if was != now:
            yield f"{name.replace('_', ' ')}: {was} → {now}"


def _written(text: str) -> dict[str, Any]:
    """Of one that nobody can read, its own words."""
    try:
        return rule_entries.written(msgspec.json.decode(text, type=Definition), "")
    except msgspec.MsgspecError:
        return {"definition": text[:200]}


def _said(value: Any) -> str:
    if value in (None, "", []):
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).replace("\n", "; ")
