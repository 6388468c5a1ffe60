"""Verbs from outside: their bodies held against what may be, then done, and each alert that was meant accounted for."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from alerts import lifecycle, reading, serializers
from alerts.lifecycle import Outcome
from alerts.serializers import Acknowledgement, Assignment, Comment, Note, Shelving
from alerts.wire import BulkResult, BulkResults, Names, alert_of
from bedrock.problem import Fault
from monitoring.errors import BadItems
from organizations.access import Access
from organizations.models import KeyScope, Membership
from organizations.scope import Scope

Verb = Literal["acknowledge", "unacknowledge", "assign", "comment", "shelve", "unshelve", "resolve", "reopen"]
Body = Acknowledgement | Note | Assignment | Comment | Shelving
BODIES: Mapping[Verb, type[Body]] = {
    "acknowledge": Acknowledgement,
    "unacknowledge": Note,
    "assign": Assignment,
    "comment": Comment,
    "shelve": Shelving,
    "unshelve": Note,
    "resolve": Note,
    "reopen": Note,
}
LONGEST_AHEAD = timedelta(days=30)
WRITE = KeyScope.ALERTS_WRITE.value
NOT_THERE = Fault("", "not-found", "no such alert")
NOT_YOURS = Fault("", "not-allowed", f"this needs the permission {WRITE}")
_NO_MEMBER = Fault("/owner", "not-found", "must be the user name of a member of the alert's organization")
_LIFECYCLE: Mapping[Verb, Callable[..., list[Outcome]]] = {
    "acknowledge": lifecycle.acknowledge,
    "unacknowledge": lifecycle.unacknowledge,
    "assign": lifecycle.assign,
    "comment": lifecycle.comment,
    "shelve": lifecycle.shelve,
    "unshelve": lifecycle.unshelve,
    "resolve": lifecycle.resolve,
    "reopen": lifecycle.reopen,
}


class Done(Struct, frozen=True):
    """What became of each alert that was meant: its outcome, or why there is none."""

    outcomes: Mapping[UUID, Outcome]
    faults: Mapping[UUID, Fault]


def act(access: Access, verb: Verb, ids: Sequence[UUID], plain: Any, *, now: datetime, via: str) -> Done:
    """Do it to all that the caller may change, in one transaction.

    Raises:
        BadItems: when the body is not that of the verb.
    """
    body = serializers.demand(plain, BODIES[verb])
    scope, more = access.scope(WRITE), _arguments(body, now)
    if isinstance(body, Assignment):
        scope, more["owner"] = _members(scope, body.owner)
        more["name"] = body.owner or ""
    done = _LIFECYCLE[verb](scope=scope, ids=ids, now=now, via=via, **more)
    outcomes = {outcome.state.id: outcome for outcome in done}
    left = [one for one in ids if one not in outcomes]
    places = reading.whereabouts(access.whole_scope, left)
    return Done(outcomes, {one: _fault(access, places.get(one)) for one in left})


def results(ids: Sequence[UUID], done: Done, names: Names) -> BulkResults:
    """What became of each of `ids`; `names` has the user names of owners."""
    rows = [_result(one, done, names) for one in ids]
    counts = Counter(row.status for row in rows)
    return BulkResults(counts["changed"], counts["unchanged"], counts["rejected"], rows)


def _result(one: UUID, done: Done, names: Names) -> BulkResult:
    if fault := done.faults.get(one):
        return BulkResult(str(one), "rejected", errors=[fault])
    outcome = done.outcomes[one]
    if outcome.refused:
        return BulkResult(str(one), "rejected", errors=[Fault("", "refused", outcome.refused)])
    return BulkResult(str(one), "changed" if outcome.changed else "unchanged", alert=alert_of(outcome.state, names))


def _arguments(body: Body, now: datetime) -> dict[str, Any]:
    """What the verb is told beyond whom it is about."""
    found: dict[str, Any] = {"note": body.note or ""}
    if isinstance(body, Acknowledgement | Shelving):
        if body.until is not None and not now < body.until <= now + LONGEST_AHEAD:
            words = f"must be in the future, and at most {LONGEST_AHEAD.days} days ahead"
            raise _refused(Fault("/until", "out-of-range", words))
        # In UTC, since Postgres does not know every zone that RFC 3339 has.
        found["until"] = body.until and body.until.astimezone(UTC)
    return found


def _members(scope: Scope, name: str | None) -> tuple[Scope, int | None]:
    """Of the scope what a person belongs to, and their id; all of it where nobody is to be the owner."""
    if name is None:
        return scope, None
    with scope.enter():
        rows = Membership.objects.filter(user__username=name, user__is_active=True)
        found = list(rows.values_list("organization_id", "user_id"))
    if not found:
        raise _refused(_NO_MEMBER)
    return Scope.of(*(organization for organization, _ in found)), found[0][1]


def _fault(access: Access, organization: str | None) -> Fault:
    """Why an alert of this organization, None for one that the caller may not know of, was left as it is."""
    if organization is None:
        return NOT_THERE
    return _NO_MEMBER if access.may(WRITE, organization) else NOT_YOURS


def _refused(fault: Fault) -> BadItems:
    return BadItems("The body is not valid.", [msgspec.to_builtins(fault)])
