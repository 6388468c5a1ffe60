"""What each verb makes of an alert: one table of moves, and a pure function a verb. No database, no clock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import structs

from alerts.states import RANKS, Happening, Kind, Reason, Report, State, Status, Step, Suppression, Tells

Verb = Literal["acknowledge", "unacknowledge", "assign", "comment", "shelve", "unshelve", "suppress", "unsuppress",
               "resolve", "reopen", "remind"]  # fmt: skip
# Verb -> the status it finds -> the status it leaves. What is not in a row is refused.
MOVES: Mapping[Verb, Mapping[Status, Status]] = {
    "acknowledge": {"firing": "acknowledged", "acknowledged": "acknowledged"},
    "unacknowledge": {"firing": "firing", "acknowledged": "firing"},
    "assign": {"firing": "firing", "acknowledged": "acknowledged"},
    "comment": {"firing": "firing", "acknowledged": "acknowledged", "resolved": "resolved"},
    "shelve": {"firing": "firing", "acknowledged": "acknowledged"},
    "unshelve": {"firing": "firing", "acknowledged": "acknowledged", "resolved": "resolved"},
    "suppress": {"firing": "firing", "acknowledged": "acknowledged"},
    "unsuppress": {"firing": "firing", "acknowledged": "acknowledged", "resolved": "resolved"},
    "resolve": {"firing": "resolved", "acknowledged": "resolved", "resolved": "resolved"},
    "reopen": {"firing": "firing", "acknowledged": "acknowledged", "resolved": "firing"},
    "remind": {"firing": "firing", "acknowledged": "acknowledged", "resolved": "resolved"},
}


class Refused(ValueError):
    """A verb that the alert's status does not allow; the message is for the caller."""


def begun(report: Report, *, id: UUID, organization: str, fingerprint: str, episode: int, now: datetime) -> Step:
    """A new episode, firing."""
    state = State(
        id=id,
        organization_id=organization,
        fingerprint=fingerprint,
        episode=episode,
        status="firing",
        first_seen_at=now,
        last_seen_at=now,
        changed_at=now,
        **structs.asdict(report),
    )
    after = {"status": "firing", "severity": report.severity}
    return Step(state, (Happening("fired", after=after, tells="trigger"),))


def repeated(state: State, report: Report, *, now: datetime) -> Step:
    """The open alert, told of once more: the newest words count. A worse severity wakes whoever it was kept from."""
    after = structs.replace(
        state,
        count=state.count + 1,
        last_seen_at=max(now, state.last_seen_at),
        message=report.message,
        metadata=report.metadata,
        ends_at=report.ends_at,
        severity=report.severity,
        changed_at=now,
    )
    if after.severity == state.severity:
        return Step(after)
    worse = RANKS[after.severity] < RANKS[state.severity]
    changed = Happening("severity_changed", {"severity": state.severity}, {"severity": after.severity},
                        tells="trigger" if worse else "")  # fmt: skip
    woken: tuple[Happening, ...] = ()
    if worse:
        note = f"The severity rose to {after.severity}."
        for verb in (unacknowledged, unshelved):
            step = verb(after, now=now, note=note)
            after, woken = step.state, woken + tuple(structs.replace(one, tells="") for one in step.happenings)
    return Step(after, (*woken, changed))


def acknowledged(state: State, *, now: datetime, by: str = "", note: str = "", until: datetime | None = None) -> Step:
    """Somebody looks after it, until `until` where that is given; then it fires again."""
    status = _moved("acknowledge", state)
    if state.status == status and until in (None, state.acknowledged_until):
        return Step(state)
    after = structs.replace(
        state,
        status=status,
        acknowledged_at=state.acknowledged_at or now,
        first_acknowledged_at=state.first_acknowledged_at or now,
        acknowledged_by=by,
        acknowledged_until=until,
        acknowledge_note=note,
        changed_at=now,
    )
    return _step(state, after, "acknowledged", ("status", "acknowledged_until"), note, "acknowledge")


def unacknowledged(state: State, *, now: datetime, by: str = "", note: str = "") -> Step:
    """Nobody looks after it any more: it fires again."""
    status = _moved("unacknowledge", state)
    if state.status == status:
        return Step(state)
    after = structs.replace(state, status=status, **_NOT_ACKNOWLEDGED, changed_at=now)
    return _step(state, after, "unacknowledged", ("status", "acknowledged_by"), note, "trigger")


def assigned(state: State, *, now: datetime, by: str = "", owner: int | None, name: str = "", note: str = "") -> Step:
    """Whose it is; `owner` None is nobody's."""
    _moved("assign", state)
    if state.owner_id == owner:
        return Step(state)
    after = structs.replace(state, owner_id=owner, changed_at=now)
    return Step(after, (Happening("assigned", {"owner": state.owner_id}, {"owner": owner, "name": name}, note),))


def commented(state: State, *, now: datetime, by: str = "", note: str) -> Step:
    """Words for who looks at it next."""
    _moved("comment", state)
    return Step(structs.replace(state, changed_at=now), (Happening("commented", note=note),))


def suppressed(state: State, *, now: datetime, suppression: Suppression) -> Step:
    """Nobody is told of it for now; what it is and who looks after it stay as they are."""
    _moved("suppress", state)
    same = next((one for one in state.suppressed_by if one.kind == suppression.kind), None)
    if same is not None and same.until == suppression.until:
        return Step(state)
    kept = tuple(one for one in state.suppressed_by if one.kind != suppression.kind)
    after = structs.replace(state, suppressed_by=(*kept, suppression), changed_at=now)
    kind: Kind = "shelved" if suppression.kind == "shelved" else "suppressed"
    told = {"suppressedBy": suppression.kind, "until": suppression.until}
    return Step(after, (Happening(kind, after=told, note=suppression.note),))


def unsuppressed(state: State, *, now: datetime, by: str = "", kind: Reason, note: str = "") -> Step:
    """People are told of it again; if it still fires, at once."""
    _moved("unsuppress", state)
    if not any(one.kind == kind for one in state.suppressed_by):
        return Step(state)
    after = structs.replace(
        state, suppressed_by=tuple(one for one in state.suppressed_by if one.kind != kind), changed_at=now
    )
    told: Kind = "unshelved" if kind == "shelved" else "unsuppressed"
    again: Tells = "trigger" if after.status == "firing" and not after.suppressed_by else ""
    return Step(after, (Happening(told, before={"suppressedBy": kind}, note=note, tells=again),))


def shelved(state: State, *, now: datetime, by: str = "", note: str = "", until: datetime) -> Step:
    """Put aside until then: nobody is told of it, and it comes back by itself."""
    _moved("shelve", state)
    return suppressed(state, now=now, suppression=Suppression(kind="shelved", since=now, until=until, by=by, note=note))


def unshelved(state: State, *, now: datetime, by: str = "", note: str = "") -> Step:
    return unsuppressed(state, now=now, by=by, kind="shelved", note=note)


def resolved(state: State, *, now: datetime, by: str = "", note: str = "") -> Step:
    """It is over. Once more changes nothing, so that the first time and name stay."""
    status = _moved("resolve", state)
    if state.status == status:
        return Step(state)
    after = structs.replace(
        state,
        status=status,
        resolved_at=now,
        resolved_by=by,
        resolve_note=note,
        acknowledged_until=None,
        suppressed_by=(),
        changed_at=now,
    )
    return _step(state, after, "resolved", ("status",), note, "resolve")


def reopened(state: State, *, now: datetime, by: str = "", note: str = "") -> Step:
    """It was not over: the same episode fires again."""
    status = _moved("reopen", state)
    if state.status == status:
        return Step(state)
    after = structs.replace(
        state,
        status=status,
        resolved_at=None,
        resolved_by="",
        resolve_note="",
        **_NOT_ACKNOWLEDGED,
        ends_at=None,
        reopened=state.reopened + 1,
        changed_at=now,
    )
    return _step(state, after, "reopened", ("status", "resolved_at", "resolved_by"), note, "trigger")


def reminded(state: State, *, now: datetime, by: str = "", note: str = "") -> Step:
    """It still fires, and people are told once more; not while somebody looks after it, or something silences it."""
    if state.status != "firing" or state.suppressed_by:
        return Step(state)
    return Step(structs.replace(state, changed_at=now), (Happening("reminded", note=note, tells="trigger"),))


def tended(state: State, *, now: datetime, by: str = "") -> Step:
    """What has run out by now is over: news as a whole; of others suppressions first, and then acknowledgements.

    In that order receivers are told once at most, when nothing keeps it from them any longer.
    """
    if state.status == "resolved":
        return Step(state)
    if state.ends_at is not None and state.ends_at <= now:
        return resolved(state, now=now, by=by, note="It ended by itself.")
    after = state
    happenings: tuple[Happening, ...] = ()
    for one in state.suppressed_by:
        if one.until is not None and one.until <= now:
            step = unsuppressed(after, now=now, by=by, kind=one.kind, note="Its time is over.")
            after, happenings = step.state, happenings + step.happenings
    if after.acknowledged_until is not None and after.acknowledged_until <= now:
        step = unacknowledged(after, now=now, by=by, note="The acknowledgement ran out.")
        after, happenings = step.state, happenings + step.happenings
    return Step(after, happenings)


_NOT_ACKNOWLEDGED: Mapping[str, Any] = {
    "acknowledged_at": None,
    "acknowledged_by": "",
    "acknowledged_until": None,
    "acknowledge_note": "",
}


def _moved(verb: Verb, state: State) -> Status:
    """The status that the verb leaves.

    Raises:
        Refused: when it may not be done to an alert of this status.
    """
    status = MOVES[verb].get(state.status)
    if status is None:
        raise Refused(f"The alert is {state.status}; it cannot be {_PAST[verb]}.")
    return status


_PAST: Mapping[str, str] = {
    "acknowledge": "acknowledged",
    "unacknowledge": "unacknowledged",
    "assign": "assigned",
    "shelve": "shelved",
    "suppress": "suppressed",
}


def _step(before: State, after: State, kind: Kind, fields: tuple[str, ...], note: str, tells: Tells) -> Step:
    """The step with one happening that tells how these fields changed."""
    names = {field: _camel(field) for field in fields}
    was = {name: getattr(before, field) for field, name in names.items()}
    now = {name: getattr(after, field) for field, name in names.items()}
    changed = [name for name in was if was[name] != now[name]]
    happening = Happening(
        kind, {name: was[name] for name in changed}, {name: now[name] for name in changed}, note, tells
    )
    return Step(after, (happening,))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
