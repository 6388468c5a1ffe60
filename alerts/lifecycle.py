"""The verbs of an alert's life: the only writers of its status. Each is one transaction, and can be done twice.

All take a `scope` whose alerts may be changed, the `now` of their run, and `via`: where it came from (api, admin, page,
system, rule). Who acts is the audit trail's origin.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction
from msgspec import Struct, structs

from alerts import ledger, moves, outbox, tallies
from alerts.fingerprints import fingerprint
from alerts.ledger import Entry
from alerts.moves import Refused
from alerts.states import Happening, Reason, Report, State, Step, Suppression
from bedrock import failpoints, identifiers
from monitoring import pubsub
from monitoring.store.base import OutOfScope
from organizations import audit
from organizations.scope import Scope

_NO_NOTES: Mapping[UUID, str] = {}
_CLASH = "Another episode of this alert is open; it cannot be reopened."


class Outcome(Struct, frozen=True):
    """What became of one alert: how it stands, whether the verb changed it, and why not where it was refused."""

    state: State
    changed: bool = False
    refused: str = ""


class Fired(Struct, frozen=True):
    """What became of one report: its alert, and whether that is a new one rather than the open one once more."""

    state: State
    created: bool


def fire(*, scope: Scope, organization: str, reports: Sequence[Report], now: datetime, via: str) -> list[Fired]:
    """An alert for each report, in their order: a new episode, or the open one of its fingerprint counted once more.

    Raises:
        OutOfScope: for an organization that `scope` does not hold.
    """
    if organization not in scope:
        raise OutOfScope(f"the scope does not hold the organization {organization}")
    now, reports = _whole(now), [_storable(report) for report in reports]
    prints = [_print(organization, report) for report in reports]
    with scope.enter():
        standing, episodes = ledger.hold_fingerprints(organization, prints)
        failpoints.reach("alert.held")
        fired: list[Fired] = []
        steps: list[Step] = []
        for report, each in zip(reports, prints):
            if there := standing.get(each):
                step = moves.repeated(there, report, now=now)
            else:
                identifier = identifiers.uuid7(identifiers.milliseconds(now))
                episodes[each] = episodes.get(each, 0) + 1
                step = moves.begun(report, id=identifier, organization=organization, fingerprint=each,
                                   episode=episodes[each], now=now)  # fmt: skip
            standing[each] = step.state
            steps.append(step)
            fired.append(Fired(step.state, created=there is None))
        new = {one.state.id for one in fired if one.created}
        _write("fired", steps, new, now=now, via=via)
    return fired


def acknowledge(
    *, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str = "", until: datetime | None = None
) -> list[Outcome]:
    """Somebody looks after them; after `until` they fire again. Alerts that the scope does not show are left out."""
    until = until and _whole(until)
    return _change(scope, ids, now, via, "acknowledged", partial(moves.acknowledged, note=note, until=until))


def unacknowledge(*, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str = "") -> list[Outcome]:
    return _change(scope, ids, now, via, "unacknowledged", partial(moves.unacknowledged, note=note))


def assign(
    *, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, owner: int | None, name: str = "", note: str = ""
) -> list[Outcome]:
    """Whose they are: `owner` is the id of a person who belongs to the organization (the caller's care), or None."""
    return _change(scope, ids, now, via, "assigned", partial(moves.assigned, owner=owner, name=name, note=note))


def comment(*, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str) -> list[Outcome]:
    return _change(scope, ids, now, via, "commented", partial(moves.commented, note=note))


def shelve(
    *, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, until: datetime, note: str = ""
) -> list[Outcome]:
    """Put aside until then: nobody is told, and they come back by themselves."""
    return _change(scope, ids, now, via, "shelved", partial(moves.shelved, until=_whole(until), note=note))


def unshelve(*, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str = "") -> list[Outcome]:
    return _change(scope, ids, now, via, "unshelved", partial(moves.unshelved, note=note))


def suppress(*, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, suppression: Suppression) -> list[Outcome]:
    """Nobody is told of them for the reason given: a silence, another alert, maintenance."""

    until = suppression.until and _whole(suppression.until)

    def step(state: State, *, now: datetime, by: str) -> Step:
        mine = structs.replace(suppression, by=suppression.by or by, until=until)
        return moves.suppressed(state, now=now, suppression=mine)

    return _change(scope, ids, now, via, "suppressed", step)


def unsuppress(
    *, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, kind: Reason, note: str = ""
) -> list[Outcome]:
    return _change(scope, ids, now, via, "unsuppressed", partial(moves.unsuppressed, kind=kind, note=note))


def resolve(
    *, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str = "", notes: Mapping[UUID, str] = _NO_NOTES
) -> list[Outcome]:
    """They are over, each with a note of its own where `notes` has one. Once more changes nothing: the first time and
    name stay.
    """

    def step(state: State, *, now: datetime, by: str) -> Step:
        return moves.resolved(state, now=now, by=by, note=notes.get(state.id, note))

    return _change(scope, ids, now, via, "resolved", step)


def reopen(*, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str = "") -> list[Outcome]:
    """They were not over: the same episodes fire again, unless another one of the same fingerprint is open."""
    with scope.enter():
        clashing = ledger.hold_to_reopen(ids)

        def step(state: State, *, now: datetime, by: str) -> Step:
            if state.id in clashing:
                raise Refused(_CLASH)
            return moves.reopened(state, now=now, by=by, note=note)

        return _change(scope, ids, now, via, "reopened", step)


def remind(*, scope: Scope, ids: Sequence[UUID], now: datetime, via: str, note: str = "") -> list[Outcome]:
    """Tell people of those that still fire once more."""
    return _change(scope, ids, now, via, "reminded", partial(moves.reminded, note=note))


def tend(*, scope: Scope, ids: Sequence[UUID], now: datetime) -> list[Outcome]:
    """What has run out ends: acknowledgements, suppressions, news. Nothing where that is not, or no longer, so."""
    return _change(scope, ids, now, "system", "tended", moves.tended)


def _change(
    scope: Scope, ids: Sequence[UUID], now: datetime, via: str, action: str, step: Callable[..., Step]
) -> list[Outcome]:
    """One outcome for each alert there is, in the order of `ids`."""
    now, by = _whole(now), audit.origin.get().actor
    with scope.enter():
        held = ledger.hold(ids)
        failpoints.reach("alert.held")
        outcomes: dict[UUID, Outcome] = {}
        steps: list[Step] = []
        for state in held.values():
            try:
                taken = step(state, now=now, by=by)
            except Refused as refusal:
                outcomes[state.id] = Outcome(state, refused=str(refusal))
            else:
                outcomes[state.id] = Outcome(taken.state, changed=bool(taken.happenings))
                steps += [taken] if taken.happenings else []
        _write(action, steps, set(), now=now, via=via)
    return [outcomes[one] for one in dict.fromkeys(ids) if one in outcomes]


def _write(action: str, steps: Sequence[Step], new: Collection[UUID], *, now: datetime, via: str) -> None:
    """What the steps left, with a line for each happening, rows of the audit trail, and news when it is committed."""
    newest = {step.state.id: step.state for step in steps}
    ordered = sorted(newest.values(), key=lambda state: (state.organization_id, state.fingerprint, state.episode))
    who = audit.origin.get()
    entries = [_entry(step.state, happening, who, now=now, via=via) for step in steps for happening in step.happenings]
    ledger.write(
        fresh=[state for state in ordered if state.id in new],
        changed=[state for state in ordered if state.id not in new],
        entries=entries,
    )
    failpoints.reach("alert.written")
    told = {step.state.id: step.state for step in steps if step.happenings and step.state.source == "live"}
    notes = {happening.note for step in steps for happening in step.happenings}
    note = min(notes) if len(notes) == 1 else ""  # what somebody wrote goes for all of them
    for organization, states in _by_organization(told.values()).items():
        _audit(organization, action, states, note)
    failpoints.reach("alert.audited")
    organizations = {state.organization_id for state in ordered}
    # A caller may have a transaction of its own around this one: what comes after the commit comes after that one's.
    transaction.on_commit(lambda: failpoints.reach("alert.committed"))
    transaction.on_commit(lambda: pubsub.announce(organizations))
    transaction.on_commit(lambda: tallies.count(newest, entries))


def _entry(state: State, happening: Happening, who: audit.Origin, *, now: datetime, via: str) -> Entry:
    return Entry(
        organization_id=state.organization_id,
        alert_id=state.id,
        at=now,
        kind=happening.kind,
        actor_kind=who.actor_kind,
        actor_id=who.actor_id,
        actor=who.actor[:150],
        via=via,
        address=who.address,
        request_id=who.request_id[:64],
        before=happening.before,
        after=happening.after,
        note=happening.note,
        tells=happening.tells,
        withheld=outbox.withheld(state, happening),
    )


def _audit(organization: str, action: str, states: Sequence[State], note: str) -> None:
    """One row a verb, however many alerts: the timeline of each has a line of the same request."""
    one = states[0] if len(states) == 1 else None
    audit.record(
        organization=organization,
        action=action,
        object_type="alert",
        object_id=str(one.id) if one else "",
        object_text=f"{one.alert_type}: {one.message}" if one else f"{len(states)} alerts",
        changes={"note": ["", note]} if note else {},
    )


def _by_organization(states: Iterable[State]) -> dict[str, list[State]]:
    found: dict[str, list[State]] = {}
    for state in states:
        found.setdefault(state.organization_id, []).append(state)
    return found


def _print(organization: str, report: Report) -> str:
    return fingerprint(
        organization=organization,
        alert_type=report.alert_type,
        endpoint_id=report.endpoint_id,
        model_name=report.model_name,
        labels=report.labels,
        source=report.source,
    )


def _storable(report: Report) -> Report:
    return report if report.ends_at is None else structs.replace(report, ends_at=_whole(report.ends_at))


def _whole(moment: datetime) -> datetime:
    """To the millisecond, as it is stored, so that what is answered is what is read later, and a repeat is one."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
