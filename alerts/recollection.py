"""What was written down of a rule: how it was at a moment, which minute was judged by then, how its groups stood."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import connection
from msgspec import Struct

from alerts import gauging, rulebook, standings
from alerts.definitions import Definition, decoded
from alerts.evaluations import KEPT
from alerts.fingerprints import fingerprint
from alerts.measurements import Group
from alerts.mishaps import RULE_FAILED
from alerts.models import Alert, AlertRule
from alerts.rulebook import Ruled, Unsound
from alerts.rules import MINUTE, Because
from alerts.saying import RULE

_MOST_VERSIONS = 100  # that are looked back over for when its groups began anew
_MOST_CHANGES = 50
_WITHIN = timedelta(hours=1)  # what is judged later than that is left out
_ROUNDED = timedelta(milliseconds=1)  # times are stored to this, some rounded and some cut
_VERSIONS = """
SELECT version, at, by, state, definition::text FROM alerts_rule_version
WHERE rule_id = %s AND organization_id = %s AND at <= %s ORDER BY version DESC LIMIT %s
"""
# Every evaluation of these rules that came to anything judged all that was due, so that the first one after a minute
# was due, and the rule had begun, has judged it.
_JUDGED = """
SELECT (SELECT until FROM alerts_judged WHERE organization_id = %(organization)s AND late = %(late)s), due,
    (SELECT min(at) FROM alerts_evaluation WHERE organization_id = %(organization)s AND late = %(late)s AND minutes > 0
        AND at >= greatest(due, %(begun)s) AND at < due + %(within)s)
FROM unnest(%(dues)s::timestamptz[]) AS due ORDER BY due DESC
"""
_CHANGES = """
SELECT at, after, because, value, samples FROM alerts_transition
WHERE rule_id = %s AND organization_id = %s AND group_values = %s AND version >= %s AND at <= %s
ORDER BY at DESC, id DESC LIMIT %s
"""
_KNOWS = """
SELECT EXISTS (SELECT FROM alerts_standing WHERE rule_id = %s AND organization_id = %s AND group_values = %s)
OR EXISTS (SELECT FROM alerts_transition WHERE rule_id = %s AND organization_id = %s AND group_values = %s)
"""


class Version(Struct, frozen=True, kw_only=True):
    """A rule as it was. What its groups stood like is known since `begun`, when it was `first`; `ruled` is None where
    it cannot be read, for the reason in `error`.
    """

    number: int
    since: datetime
    by: str
    state: str
    begun: datetime
    first: int
    ruled: Ruled | None = None
    error: str = ""


class Judged(Struct, frozen=True, kw_only=True):
    """The newest minute that was judged by a moment, and when (None: that is not known any more).

    Where none was, `minute` is that which should have been: `late` was judged after the moment, `waiting` nobody has
    judged yet, `missed` nobody ever will. With `failed` it was tried, for `error` in vain.
    """

    minute: datetime
    due: datetime
    outcome: Literal["judged", "late", "waiting", "missed", "failed"]
    at: datetime | None = None
    error: str = ""


class Changed(Struct, frozen=True):
    """A group's state, and since when it has been that; why, and by which value, where that was noted."""

    at: datetime
    state: str  # one of `rules.State`, or `judging.FORGOTTEN`
    because: Because | None = None
    value: float | None = None
    samples: int | None = None


def version_at(rule: AlertRule, moment: datetime) -> Version | None:
    """None where there was no such rule yet."""
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS, [rule.pk, rule.organization_id, moment, _MOST_VERSIONS])
        rows = cursor.fetchall()
    if not rows:
        return None
    number, since, by, state, text = rows[0]
    try:
        known: Any = {"ruled": rulebook.ruled(decoded(text), id=rule.pk, organization=rule.organization_id,
                                              key=rule.key, name=rule.name, version=number)}  # fmt: skip
    except (msgspec.MsgspecError, Unsound) as error:
        known = {"error": str(error)[:300]}
    first, begun = _begun(rows)
    return Version(number=number, since=since, by=by, state=state, begun=begun, first=first, **known)


def _begun(rows: Sequence[Any]) -> tuple[int, datetime]:
    """Of versions, the newest first: the oldest that the newest one only goes on from."""
    newest = rows[0]
    for older in rows[1:]:
        if older[3] != "on" or rulebook.begins_anew(_read(older[4]), _read(newest[4])):
            break
        newest = older
    return newest[0], newest[1]


def _read(text: str) -> Definition | None:
    try:
        return decoded(text)
    except msgspec.MsgspecError:
        return None


def judged_by(rule: AlertRule, version: Version, moment: datetime, now: datetime) -> Judged:
    """`version` is one that can be read."""
    assert version.ruled is not None
    late = version.ruled.definition.offset
    newest, first = gauging.minute_of(moment, late), gauging.minute_of(version.begun, late)
    due = newest + timedelta(seconds=late)
    if error := error_at(rule, moment):
        return Judged(minute=newest, due=due, outcome="failed", error=error)
    until, looks = _looks(rule.organization_id, late, version.begun, [newest, newest - MINUTE])
    for minute, at in looks:
        if until is not None and first <= minute <= until and at is not None and at <= moment + _ROUNDED:
            return Judged(minute=minute, due=minute + timedelta(seconds=late), outcome="judged", at=at)
    at = looks[0][1]
    if at is not None and until is not None and newest <= until:
        return Judged(minute=newest, due=due, outcome="late", at=at)
    if until is None or until < newest or now - due < _WITHIN:
        return Judged(minute=newest, due=due, outcome="waiting")
    return Judged(minute=newest, due=due, outcome="missed" if now - due < KEPT else "judged")


def _looks(
    organization: str, late: int, begun: datetime, minutes: Sequence[datetime]
) -> tuple[datetime | None, list[tuple[datetime, datetime | None]]]:
    """Until which minute anything was judged, and of each of these by when, the newest first."""
    wait = timedelta(seconds=late)
    asked: dict[str, Any] = {"organization": organization, "late": late, "within": _WITHIN, "begun": begun,
                             "dues": [minute + wait for minute in minutes]}  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_JUDGED, asked)
        rows = cursor.fetchall()
    return rows[0][0], [(due - wait, at) for _, due, at in rows]


def error_at(rule: AlertRule, moment: datetime) -> str:
    """Why it could not be judged then; "" where it could. What is over is told by its alert alone."""
    if rule.error and rule.error_at and rule.error_at <= moment + _ROUNDED:
        return rule.error
    known = fingerprint(organization=rule.organization_id, alert_type=RULE_FAILED, labels={RULE: rule.key})
    told = Alert.objects.filter(organization=rule.organization_id, fingerprint=known, first_seen_at__lte=moment)
    last = told.exclude(resolved_at__lte=moment).order_by("-episode").first()
    return last.message if last else ""


def changes_of(rule: UUID, organization: str, group: Group, since: int, until: datetime) -> list[Changed]:
    """How the group stood until then, the newest first, as it was noted by this version or a later one."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGES, [rule, organization, list(group), since, until, _MOST_CHANGES])
        found = [Changed(*row) for row in cursor.fetchall()]
    return found or list(_unchanged(rule, group, until))


def knows(rule: UUID, organization: str, group: Group) -> bool:
    """Whether the group was ever judged, as far as anything is kept of that."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWS, [rule, organization, list(group)] * 2)
        return bool(cursor.fetchone()[0])


def _unchanged(rule: UUID, group: Group, until: datetime) -> Iterator[Changed]:
    """As it stands, where it has ever since it was first judged, or for longer than changes are kept."""
    kept = standings.read([rule]).get(rule, {}).get(group)
    if kept is not None and kept.standing.since <= until:
        yield Changed(kept.standing.since, kept.standing.state)
