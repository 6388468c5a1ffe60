"""The life of alerts on real Postgres, step by step beside a simple model; and what the database itself refuses."""

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs
from psycopg import errors

from alerts import ledger, lifecycle
from alerts.lifecycle import Fired, Outcome
from alerts.models import Alert, AlertEvent
from alerts.states import RANKS, Report, State, Suppression
from monitoring.store.base import OutOfScope
from organizations import audit
from organizations.models import AuditEvent, Organization
from organizations.scope import Scope
from tests.conftest import url_of

OWN, OTHER = "swaggystacks", "scientia_capital"
EVERYONE = Scope.system("test")
_NUMBERS = itertools.count()


@contextmanager
def acting(name: str) -> Iterator[None]:
    token = audit.origin.set(audit.Origin(actor_kind="person", actor_id="1", actor=name, address="127.0.0.1"))
    try:
        yield
    finally:
        audit.origin.reset(token)


def stored(*organizations: str) -> dict[uuid.UUID, State]:
    """Every alert of these organizations as the table has it."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {ledger.COLUMNS} FROM alerts_alert WHERE organization_id = ANY(%s)", [list(organizations)]
        )
        return {state.id: state for state in ledger.states(cursor.fetchall())}


def timelines(*organizations: str) -> list[dict[str, Any]]:
    """Every line of these organizations' timelines, in the order in which they were written."""
    with EVERYONE.enter():
        return list(AlertEvent.objects.filter(organization__in=organizations).order_by("id").values())


@dataclass
class Mine:
    """An alert as a child would keep it in a notebook."""

    id: uuid.UUID
    organization: str
    key: int
    episode: int
    severity: str
    message: str
    first_seen: datetime
    last_seen: datetime
    status: str = "firing"
    count: int = 1
    reopened: int = 0
    owner: int | None = None
    acknowledged: tuple[str, datetime] | None = None  # by, at
    until: datetime | None = None
    resolved: tuple[str, datetime] | None = None
    silenced: dict[str, datetime | None] = field(default_factory=dict)  # reason -> until
    lines: list[tuple[str, str, str]] = field(default_factory=list)  # kind, tells, withheld

    def say(self, kind: str, tells: str = "") -> None:
        kept = next(iter(self.silenced), "") if tells == "trigger" else ""
        self.lines.append((kind, tells, kept))

    def fire_again(self) -> None:
        self.status, self.acknowledged, self.until = "firing", None, None


def _told(state: State, key: int) -> Mine:
    """A row in the notebook's words, without its lines."""
    return Mine(
        id=state.id, organization=state.organization_id, key=key, episode=state.episode, severity=state.severity,
        message=state.message, first_seen=state.first_seen_at, last_seen=state.last_seen_at, status=state.status,
        count=state.count, reopened=state.reopened, owner=state.owner_id,
        acknowledged=(state.acknowledged_by, state.acknowledged_at) if state.acknowledged_at else None,
        until=state.acknowledged_until,
        resolved=(state.resolved_by, state.resolved_at) if state.resolved_at else None,
        silenced={one.kind: one.until for one in state.suppressed_by},
    )  # fmt: skip


# Verbs of the model: whether the alert changed, or why it may not.
def acknowledge(mine: Mine, by: str, now: datetime, until: datetime | None) -> bool | str:
    if mine.status == "resolved":
        return "acknowledged"
    if mine.status == "acknowledged" and until in (None, mine.until):
        return False
    mine.acknowledged = (by, mine.acknowledged[1] if mine.acknowledged else now)
    mine.status, mine.until = "acknowledged", until
    mine.say("acknowledged", "acknowledge")
    return True


def unacknowledge(mine: Mine) -> bool | str:
    if mine.status == "resolved":
        return "unacknowledged"
    if mine.status == "firing":
        return False
    mine.fire_again()
    mine.say("unacknowledged", "trigger")
    return True


def assign(mine: Mine, owner: int | None) -> bool | str:
    if mine.status == "resolved":
        return "assigned"
    if mine.owner == owner:
        return False
    mine.owner = owner
    mine.say("assigned")
    return True


def comment(mine: Mine) -> bool:
    mine.say("commented")
    return True


def suppress(mine: Mine, reason: str, until: datetime | None) -> bool | str:
    word = "shelved" if reason == "shelved" else "suppressed"
    if mine.status == "resolved":
        return word
    if reason in mine.silenced and mine.silenced[reason] == until:
        return False
    mine.silenced.pop(reason, None)
    mine.silenced[reason] = until
    mine.say(word)
    return True


def unsuppress(mine: Mine, reason: str) -> bool:
    if reason not in mine.silenced:
        return False
    del mine.silenced[reason]
    told = "trigger" if mine.status == "firing" and not mine.silenced else ""
    mine.say("unshelved" if reason == "shelved" else "unsuppressed", told)
    return True


def resolve(mine: Mine, by: str, now: datetime) -> bool:
    if mine.status == "resolved":
        return False
    mine.status, mine.resolved, mine.until, mine.silenced = "resolved", (by, now), None, {}
    mine.say("resolved", "resolve")
    return True


def reopen(mine: Mine, clashing: set[uuid.UUID]) -> bool | str:
    if mine.status != "resolved":
        return False
    if mine.id in clashing:
        return "Another episode"
    mine.fire_again()
    mine.resolved, mine.reopened = None, mine.reopened + 1
    mine.say("reopened", "trigger")
    return True


def worsen(mine: Mine, severity: str) -> None:
    """The same report once more, with a severity of its own."""
    before, mine.severity = mine.severity, severity
    if RANKS[severity] < RANKS[before]:  # type: ignore[index]
        if mine.status == "acknowledged":
            mine.fire_again()
            mine.say("unacknowledged")
        if "shelved" in mine.silenced:
            del mine.silenced["shelved"]
            mine.say("unshelved")
        mine.say("severity_changed", "trigger")
    elif severity != before:
        mine.say("severity_changed")


KEYS = 2  # few, so that an alert often has a past
REPORTS = st.tuples(st.integers(0, KEYS - 1), st.sampled_from(["critical", "warning", "info"]), st.sampled_from("abc"))
PEOPLE = st.sampled_from(["ada", "bob"])
ENDS = st.none() | st.integers(1, 3)
REASONS = st.sampled_from(["silenced", "inhibited", "maintenance"])


class Lives(RuleBasedStateMachine):
    """Anything two organizations may do to a few alerts, in any order."""

    @initialize()
    def begin(self) -> None:
        number = next(_NUMBERS)
        self.organizations = [f"first_{number}", f"second_{number}"]
        for slug in self.organizations:
            Organization.objects.create(slug=slug, name=slug)
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.notebook: dict[uuid.UUID, Mine] = {}
        self.fires: Counter[tuple[str, int]] = Counter()
        self.audited: Counter[str] = Counter()
        self.seen: list[dict[str, Any]] = []
        self.ended: dict[uuid.UUID, tuple[int, datetime | None, str]] = {}

    def pass_time(self) -> datetime:
        self.now += timedelta(seconds=1, microseconds=1234)
        return self.now

    @property
    def whole(self) -> datetime:
        """The present moment as it is stored."""
        return self.now.replace(microsecond=self.now.microsecond // 1000 * 1000)

    def scope(self, width: int) -> Scope:
        """That of the first, the second, both, or everyone."""
        return [*map(Scope.of, self.organizations), Scope.of(*self.organizations), EVERYONE][width]

    @rule(place=st.integers(0, 1), told=st.lists(REPORTS, min_size=1, max_size=4), by=PEOPLE)
    def fire(self, place: int, told: list[tuple[int, Any, str]], by: str) -> None:
        organization, now = self.organizations[place], self.pass_time()
        reports = [
            Report(alert_type="slow", severity=severity, message=message, labels={"key": str(key)})
            for key, severity, message in told
        ]
        with acting(by):
            fired = lifecycle.fire(scope=Scope.of(organization), organization=organization, reports=reports, now=now,
                                   via="api")  # fmt: skip
        assert len(fired) == len(told)
        lines = sum(len(mine.lines) for mine in self.notebook.values())
        for (key, severity, message), one in zip(told, fired, strict=True):
            self.write_down(organization, key, severity, message, one)
        self.audited[organization] += sum(len(mine.lines) for mine in self.notebook.values()) > lines

    def write_down(self, organization: str, key: int, severity: str, message: str, one: Fired) -> None:
        self.fires[organization, key] += 1
        alike = [mine for mine in self.notebook.values() if (mine.organization, mine.key) == (organization, key)]
        standing = [mine for mine in alike if mine.status != "resolved"]
        assert one.created == (not standing)
        if standing:
            (mine,) = standing
            assert one.state.id == mine.id
            mine.count, mine.message, mine.last_seen = mine.count + 1, message, self.whole
            worsen(mine, severity)
        else:
            assert one.state.id not in self.notebook
            mine = Mine(one.state.id, organization, key, len(alike) + 1, severity, message, self.whole, self.whole)
            mine.say("fired", "trigger")
            self.notebook[mine.id] = mine
        assert _told(one.state, key) == structs_of(mine)

    def chosen(self, data: st.DataObject) -> list[uuid.UUID]:
        """Some of the alerts there are, some twice, some that nobody knows."""
        known = st.sampled_from(list(self.notebook)) if self.notebook else st.nothing()
        return data.draw(st.lists(known | known | known | st.uuids(version=4), min_size=1, max_size=6), label="ids")

    def do(
        self,
        data: st.DataObject,
        width: int,
        by: str,
        verb: Callable[..., list[Outcome]],
        model: Callable[[Mine], bool | str],
        **given: Any,
    ) -> None:
        """The verb on some alerts, then the same once more: the model says what the first does."""
        ids, scope, now = self.chosen(data), self.scope(width), self.pass_time()
        self.compare(ids, scope, by, partial_of(verb, scope, ids, now, given), model)
        if verb is lifecycle.comment:
            return
        before = stored(*self.organizations)
        with acting("bob"):
            again = verb(scope=scope, ids=ids, now=self.pass_time(), via="api", **given)
        assert not any(outcome.changed for outcome in again)
        assert stored(*self.organizations) == before

    def compare(
        self,
        ids: Sequence[uuid.UUID],
        scope: Scope,
        by: str,
        done: Callable[[], list[Outcome]],
        model: Callable[[Mine], bool | str],
    ) -> None:
        with acting(by):
            outcomes = done()
        visible = [
            one for one in dict.fromkeys(ids) if one in self.notebook and self.notebook[one].organization in scope
        ]
        assert [outcome.state.id for outcome in outcomes] == visible
        changed = set()
        for outcome in outcomes:
            mine = self.notebook[outcome.state.id]
            result = model(mine)
            assert outcome.changed == (result is True)
            assert bool(outcome.refused) == isinstance(result, str)
            assert str(result if isinstance(result, str) else "") in outcome.refused
            assert _told(outcome.state, mine.key) == structs_of(mine)
            changed |= {mine.organization} if result is True else set()
        self.audited.update(changed)

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE, ends=ENDS)
    def acknowledge(self, data: st.DataObject, width: int, by: str, ends: int | None) -> None:
        until = None if ends is None else datetime(2026, 4, ends, tzinfo=UTC)
        self.do(data, width, by, lifecycle.acknowledge, lambda mine: acknowledge(mine, by, self.whole, until),
                until=until, note="n")  # fmt: skip

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE)
    def unacknowledge(self, data: st.DataObject, width: int, by: str) -> None:
        self.do(data, width, by, lifecycle.unacknowledge, unacknowledge)

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE, owner=st.none() | st.integers(1, 2))
    def assign(self, data: st.DataObject, width: int, by: str, owner: int | None) -> None:
        self.do(data, width, by, lifecycle.assign, lambda mine: assign(mine, owner), owner=owner, name="someone")

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE)
    def comment(self, data: st.DataObject, width: int, by: str) -> None:
        self.do(data, width, by, lifecycle.comment, comment, note="so")

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE, ends=st.integers(1, 3))
    def shelve(self, data: st.DataObject, width: int, by: str, ends: int) -> None:
        until = datetime(2026, 4, ends, tzinfo=UTC)
        self.do(data, width, by, lifecycle.shelve, lambda mine: suppress(mine, "shelved", until), until=until)

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE)
    def unshelve(self, data: st.DataObject, width: int, by: str) -> None:
        self.do(data, width, by, lifecycle.unshelve, lambda mine: unsuppress(mine, "shelved"))

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE, kind=REASONS, ends=ENDS)
    def suppress(self, data: st.DataObject, width: int, by: str, kind: Any, ends: int | None) -> None:
        until = None if ends is None else datetime(2026, 4, ends, tzinfo=UTC)
        suppression = Suppression(kind=kind, since=self.now, until=until)
        self.do(data, width, by, lifecycle.suppress, lambda mine: suppress(mine, kind, until), suppression=suppression)

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE, kind=REASONS)
    def unsuppress(self, data: st.DataObject, width: int, by: str, kind: Any) -> None:
        self.do(data, width, by, lifecycle.unsuppress, lambda mine: unsuppress(mine, kind), kind=kind)

    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE)
    def resolve(self, data: st.DataObject, width: int, by: str) -> None:
        self.do(data, width, by, lifecycle.resolve, lambda mine: resolve(mine, by, self.whole), note="over")

    @precondition(lambda self: any(mine.status == "resolved" for mine in self.notebook.values()))
    @rule(data=st.data(), width=st.integers(0, 3), by=PEOPLE)
    def reopen(self, data: st.DataObject, width: int, by: str) -> None:
        ids, scope, now = self.chosen(data), self.scope(width), self.pass_time()
        clashing = self.clashing(
            {one for one in ids if one in self.notebook and self.notebook[one].organization in scope}
        )
        self.compare(ids, scope, by, partial_of(lifecycle.reopen, scope, ids, now, {}),
                     lambda mine: reopen(mine, clashing))  # fmt: skip

    def clashing(self, asked: set[uuid.UUID]) -> set[uuid.UUID]:
        """Of one fingerprint only the newest asked for can be open again, and none beside one that is open."""
        found = set()
        for one in (self.notebook[identifier] for identifier in asked):
            for other in self.notebook.values():
                if other is not one and (other.organization, other.key) == (one.organization, one.key):
                    newer = other.id in asked and other.episode > one.episode
                    found |= {one.id} if other.status != "resolved" or newer else set()
        return found

    @invariant()
    def what_is_stored_is_what_the_notebook_says(self) -> None:
        rows = stored(*self.organizations)
        assert {one: _told(state, int(state.labels["key"])) for one, state in rows.items()} == {
            one: structs_of(mine) for one, mine in self.notebook.items()
        }
        for (organization, key), fires in self.fires.items():
            episodes = sorted((mine.episode, mine.status, mine.count) for mine in self.notebook.values()
                              if (mine.organization, mine.key) == (organization, key))  # fmt: skip
            assert [number for number, _, _ in episodes] == list(range(1, len(episodes) + 1))
            assert sum(status != "resolved" for _, status, _ in episodes) <= 1
            assert sum(count for _, _, count in episodes) == fires

    @invariant()
    def what_ended_stays_ended_as_it_did(self) -> None:
        for one, state in stored(*self.organizations).items():
            if state.status == "resolved" and self.ended.get(one, (None,))[0] == state.reopened:
                assert self.ended[one] == (state.reopened, state.resolved_at, state.resolved_by)
            elif state.status == "resolved":
                self.ended[one] = (state.reopened, state.resolved_at, state.resolved_by)

    @invariant()
    def timelines_only_grow_and_lead_to_the_row(self) -> None:
        lines = timelines(*self.organizations)
        assert lines[: len(self.seen)] == self.seen
        self.seen = lines
        for one, state in stored(*self.organizations).items():
            own = [line for line in lines if line["alert_id"] == one]
            assert [(line["kind"], line["tells"], line["withheld"]) for line in own] == self.notebook[one].lines
            assert replayed(own) == facts(state)

    @invariant()
    def each_verb_left_one_row_in_the_audit_trail(self) -> None:
        with EVERYONE.enter():
            rows = AuditEvent.objects.filter(object_type="alert", organization__in=self.organizations)
            assert Counter(rows.values_list("organization_id", flat=True)) == +self.audited


def partial_of(
    verb: Callable[..., list[Outcome]], scope: Scope, ids: list[uuid.UUID], now: datetime, given: dict[str, Any]
) -> Callable[[], list[Outcome]]:
    return lambda: verb(scope=scope, ids=ids, now=now, via="api", **given)


def structs_of(mine: Mine) -> Mine:
    """The notebook's page without its lines, which no row has."""
    return Mine(**{**vars(mine), "lines": []})


def replayed(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How an alert stands, as its timeline alone tells it."""
    known: dict[str, Any] = {"owner": None, "suppressed": set()}
    for line in lines:
        after = line["after"]
        known |= {name: after[name] for name in ("status", "severity", "owner") if name in after}
        if line["kind"] in ("suppressed", "shelved"):
            known["suppressed"] = known["suppressed"] | {after["suppressedBy"]}
        elif line["kind"] in ("unsuppressed", "unshelved"):
            known["suppressed"] = known["suppressed"] - {line["before"]["suppressedBy"]}
        elif line["kind"] == "resolved":
            known["suppressed"] = set()
            known["resolved"] = (line["at"], line["actor"])
        elif line["kind"] == "reopened":
            known.pop("resolved")
        for name, value in line["before"].items():
            assert after.get(name) != value
    return known


def facts(state: State) -> dict[str, Any]:
    found = {"status": state.status, "severity": state.severity, "owner": state.owner_id,
             "suppressed": {one.kind for one in state.suppressed_by}}  # fmt: skip
    return {**found, "resolved": (state.resolved_at, state.resolved_by)} if state.resolved_at else found


LIVES = settings(max_examples=40, stateful_step_count=25, deadline=None,
                 suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip


@pytest.mark.timeout(600)
def test_it_lives_as_the_notebook_says(database: str) -> None:
    run_state_machine_as_test(Lives, settings=LIVES)


def report(**changes: Any) -> Report:
    return structs.replace(Report(alert_type="slow", severity="warning", message="It is slow."), **changes)


def fire(organization: str = OWN, now: datetime | None = None, **changes: Any) -> State:
    (fired,) = lifecycle.fire(scope=Scope.of(organization), organization=organization, reports=[report(**changes)],
                              now=now or datetime.now(UTC), via="api")  # fmt: skip
    return fired.state


# Every verb that takes ids, with what it needs.
LATER = datetime(2030, 1, 1, 12, 30, 15, 123_456, tzinfo=UTC)
VERBS: dict[str, Callable[..., list[Outcome]]] = {
    "acknowledge": lambda **given: lifecycle.acknowledge(**given, until=LATER),
    "unacknowledge": lifecycle.unacknowledge,
    "assign": lambda **given: lifecycle.assign(**given, owner=7, name="ada"),
    "comment": lambda **given: lifecycle.comment(**given, note="so"),
    "shelve": lambda **given: lifecycle.shelve(**given, until=LATER),
    "unshelve": lifecycle.unshelve,
    "suppress": lambda **given: lifecycle.suppress(
        **given, suppression=Suppression(kind="silenced", since=given["now"], until=LATER)
    ),
    "unsuppress": lambda **given: lifecycle.unsuppress(**given, kind="silenced"),
    "resolve": lifecycle.resolve,
    "reopen": lifecycle.reopen,
}


def snapshot() -> Any:
    with EVERYONE.enter():
        audited = list(AuditEvent.objects.order_by("id").values())
    return stored(OWN, OTHER), timelines(OWN, OTHER), audited


class TestScope:
    @pytest.mark.parametrize("verb", VERBS)
    def test_another_organizations_alert_is_neither_shown_nor_changed(
        self, database: str, now: datetime, verb: str
    ) -> None:
        theirs = [fire(OTHER, message=text, labels={"a": text}).id for text in ("open", "over", "minded")]
        everyone: dict[str, Any] = {"scope": EVERYONE, "now": now, "via": "api"}
        lifecycle.resolve(ids=theirs[1:2], **everyone)
        lifecycle.acknowledge(ids=theirs[2:], **everyone)
        lifecycle.shelve(ids=theirs[2:], until=LATER, **everyone)
        before = snapshot()
        for scope in (Scope.of(OWN), Scope.of()):
            assert VERBS[verb](scope=scope, ids=theirs, now=now, via="api") == []
        assert snapshot() == before

    def test_one_that_reaches_both_changes_only_what_it_is_told(self, database: str, now: datetime) -> None:
        mine, theirs = fire(OWN), fire(OTHER)
        assert mine.fingerprint != theirs.fingerprint
        (outcome,) = lifecycle.resolve(scope=Scope.of(OWN), ids=[theirs.id, mine.id], now=now, via="api")
        assert outcome.state.id == mine.id
        assert {state.status for state in stored(OTHER).values()} == {"firing"}

    @pytest.mark.parametrize("scope", [Scope.of(), Scope.of(OTHER)])
    def test_raising_one_for_another_organization_is_out_of_scope(
        self, database: str, now: datetime, scope: Scope
    ) -> None:
        before = snapshot()
        with pytest.raises(OutOfScope, match=OWN):
            lifecycle.fire(scope=scope, organization=OWN, reports=[report()], now=now, via="api")
        assert snapshot() == before

    def test_nothing_at_all_is_no_error(self, database: str, now: datetime) -> None:
        before = snapshot()
        for verb in VERBS.values():
            assert verb(scope=Scope.of(OWN), ids=[], now=now, via="api") == []
        assert lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=[], now=now, via="api") == []
        assert snapshot() == before


class TestReopening:
    @pytest.mark.parametrize("turned", [False, True])
    def test_of_several_episodes_at_once_the_newest_is_opened(self, database: str, now: datetime, turned: bool) -> None:
        given: dict[str, Any] = {"scope": Scope.of(OWN), "now": now, "via": "api"}
        ids = []
        for _ in range(3):
            ids.append(fire().id)
            lifecycle.resolve(ids=ids, **given)
        outcomes = lifecycle.reopen(ids=ids[::-1] if turned else ids, **given)
        told = {outcome.state.episode: (outcome.changed, outcome.refused) for outcome in outcomes}
        words = "Another episode of this alert is open; it cannot be reopened."
        assert told == {1: (False, words), 2: (False, words), 3: (True, "")}

    def test_an_older_one_is_opened_while_no_newer_one_is_open(self, database: str, now: datetime) -> None:
        given: dict[str, Any] = {"scope": Scope.of(OWN), "now": now, "via": "api"}
        first = fire()
        lifecycle.resolve(ids=[first.id], **given)
        second = fire()
        (refused,) = lifecycle.reopen(ids=[first.id], **given)
        assert (refused.changed, refused.state.status) == (False, "resolved")
        lifecycle.resolve(ids=[second.id], **given)
        (reopened,) = lifecycle.reopen(ids=[first.id], **given)
        assert (reopened.changed, reopened.state.episode) == (True, 1)
        told = {one.state.episode: one for one in lifecycle.reopen(ids=[first.id, second.id], **given)}
        assert (told[1].changed, told[1].refused, told[1].state.status) == (False, "", "firing")  # it is open already
        assert told[2].refused == "Another episode of this alert is open; it cannot be reopened."
        assert fire().id == first.id  # what is open is counted on, whichever episode it is
        lifecycle.resolve(ids=[first.id], **given)
        assert fire().episode == 3


class TestTheDemo:
    def test_it_is_another_alert_that_nobody_audits(self, database: str, now: datetime) -> None:
        demo, live = fire(source="demo"), fire()
        assert demo.fingerprint != live.fingerprint
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [demo.id], "now": now, "via": "api"}
        for verb in ("acknowledge", "resolve", "reopen"):
            (outcome,) = VERBS[verb](**given)
            assert outcome.changed
        with EVERYONE.enter():
            assert list(AuditEvent.objects.values_list("object_id", flat=True)) == [str(live.id)]
            lines = AlertEvent.objects.filter(alert=demo.id)
            assert {line.withheld for line in lines} == {""}  # live channels are told nothing of it all the same
            assert all(line.tells for line in lines)

    def test_a_verb_on_both_audits_the_live_one_alone(self, database: str, now: datetime) -> None:
        both = [fire(source="demo"), fire()]
        lifecycle.resolve(scope=Scope.of(OWN), ids=[one.id for one in both], now=now, via="api")
        with EVERYONE.enter():
            row = AuditEvent.objects.get(action="resolved")
            assert (row.object_id, row.changes) == (str(both[1].id), {})


class TestTheAuditTrail:
    def test_a_bulk_verb_is_one_row_an_organization_that_names_what_it_changed(
        self, database: str, now: datetime
    ) -> None:
        mine = [fire(OWN, labels={"a": str(number)}).id for number in range(3)]
        theirs = fire(OTHER).id
        lifecycle.resolve(scope=EVERYONE, ids=mine[:1], now=now, via="api")
        with acting("ada"):
            lifecycle.resolve(scope=EVERYONE, ids=[*mine, theirs, uuid.uuid4()], now=now, via="api")
        with EVERYONE.enter():
            rows = {row.organization_id: row for row in AuditEvent.objects.filter(actor="ada")}
        assert set(rows) == {OWN, OTHER}
        assert (rows[OWN].action, rows[OWN].object_text) == ("resolved", "2 alerts")
        assert (rows[OTHER].object_id, rows[OTHER].object_text) == (str(theirs), "slow: It is slow.")

    def test_who_did_it_from_where_stands_in_the_timeline(self, database: str, now: datetime) -> None:
        with acting("ada"):
            state = fire()
        (line,) = timelines(OWN)
        assert (line["alert_id"], line["actor"], line["actor_kind"], line["address"], line["via"]) == (
            state.id, "ada", "person", "127.0.0.1", "api",
        )  # fmt: skip


class TestTheMillisecond:
    ODD = datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)

    def test_what_is_answered_is_what_is_read_later(self, database: str) -> None:
        fired = fire(now=self.ODD, ends_at=LATER, metadata={"a": [1, 2.5, None]}, labels={"b": "ü"})
        assert fired.first_seen_at.microsecond == 123_000
        assert stored(OWN) == {fired.id: fired}
        for name in ("acknowledge", "shelve", "suppress", "assign", "comment", "unsuppress", "resolve", "reopen"):
            (outcome,) = VERBS[name](scope=Scope.of(OWN), ids=[fired.id], now=self.ODD, via="api")
            assert outcome.changed, name
            assert stored(OWN) == {fired.id: outcome.state}, name

    @pytest.mark.parametrize("verb", ["acknowledge", "shelve", "suppress"])
    def test_an_end_given_finer_than_it_is_stored_is_the_same_end_once_more(self, database: str, verb: str) -> None:
        fired = fire(now=self.ODD)
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [fired.id], "via": "api"}
        VERBS[verb](**given, now=self.ODD)
        (again,) = VERBS[verb](**given, now=self.ODD + timedelta(seconds=5))
        assert not again.changed

    def test_an_id_tells_when_its_alert_began(self, database: str) -> None:
        fired = fire(now=self.ODD)
        assert (fired.id.version, fired.id.int >> 80) == (7, int(fired.first_seen_at.timestamp() * 1000))


@contextmanager
def app(database: str, entered: str = OWN) -> Iterator[psycopg.Connection[Any]]:
    """A transaction as cockpit_app, rolled back at its end."""
    with psycopg.connect(url_of(database, "cockpit_app")) as opened:
        opened.execute("SELECT set_config('app.organizations', %s, true)", [entered])
        yield opened
        opened.rollback()


class TestTheDatabase:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE alerts_event SET actor = 'nobody'",
            "UPDATE alerts_event SET withheld = ''",
            "DELETE FROM alerts_event",
            "TRUNCATE alerts_event",
        ],
    )
    def test_it_lets_the_application_rewrite_no_timeline(self, database: str, statement: str) -> None:
        fire()
        with app(database) as opened, pytest.raises(errors.InsufficientPrivilege):
            opened.execute(statement)

    @staticmethod
    def deleted(database: str, where: str) -> int:
        with app(database) as opened:
            return opened.execute(f"DELETE FROM alerts_alert WHERE {where}").rowcount

    def test_it_keeps_live_alerts_that_are_open_or_were_until_lately(self, database: str, now: datetime) -> None:
        long_ago = now - timedelta(days=400)
        opened = fire(now=long_ago)
        ended = fire(now=long_ago, labels={"a": "1"})
        given: dict[str, Any] = {"scope": Scope.of(OWN), "ids": [ended.id], "via": "api"}
        lifecycle.resolve(now=now - timedelta(days=89), **given)
        assert self.deleted(database, "true") == 0
        assert set(stored(OWN)) == {opened.id, ended.id}
        lifecycle.reopen(now=now, **given)
        lifecycle.resolve(now=now - timedelta(days=91), **given)
        assert self.deleted(database, "true") == 1

    def test_it_lets_the_demo_go_with_its_timeline(self, database: str) -> None:
        live, demo = fire(), fire(source="demo")
        with Scope.of(OWN).enter():
            assert Alert.objects.filter(source="demo").exists()
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM alerts_alert WHERE true")
                assert cursor.rowcount == 1
        assert set(stored(OWN)) == {live.id}
        assert {line["alert_id"] for line in timelines(OWN)} == {live.id} != {demo.id}

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ("status = 'open'", errors.CheckViolation),
            ("severity = 'fatal'", errors.CheckViolation),
            ("source = 'replay'", errors.CheckViolation),
            ("status = 'resolved'", errors.CheckViolation),  # without saying when
            ("resolved_at = now()", errors.CheckViolation),
            ("status = 'acknowledged'", errors.CheckViolation),
            ("acknowledged_at = now()", errors.CheckViolation),
            ("count = 0", errors.CheckViolation),
            ("episode = 0", errors.CheckViolation),
            ("rank = 0", errors.GeneratedAlways),
            ("message = NULL", errors.NotNullViolation),
        ],
    )
    def test_it_refuses_what_no_verb_would_write(self, database: str, change: str, fault: type[Exception]) -> None:
        fire()
        with app(database) as opened, pytest.raises(fault):
            opened.execute(f"UPDATE alerts_alert SET {change}")

    def test_it_decides_itself_that_only_one_is_open(self, database: str, now: datetime) -> None:
        first = fire()
        lifecycle.resolve(scope=Scope.of(OWN), ids=[first.id], now=now, via="api")
        second = fire()
        assert (second.fingerprint, second.episode) == (first.fingerprint, 2)
        with app(database) as opened, pytest.raises(errors.UniqueViolation, match="alerts_one_open"):
            opened.execute("UPDATE alerts_alert SET status = 'firing', resolved_at = NULL")

    def test_it_gives_no_episode_a_second_time(self, database: str, now: datetime) -> None:
        first = fire()
        lifecycle.resolve(scope=Scope.of(OWN), ids=[first.id], now=now, via="api")
        fire()
        with app(database) as opened, pytest.raises(errors.UniqueViolation, match="alerts_episode"):
            opened.execute("UPDATE alerts_alert SET episode = 1")

    def test_it_takes_no_line_for_an_alert_of_another_organization(self, database: str) -> None:
        state = fire(OWN)
        line = ledger.Entry(
            organization_id=OTHER, alert_id=state.id, at=state.first_seen_at, kind="commented", actor_kind="system",
            actor_id="", actor="", via="system", address=None, request_id="", before={}, after={}, note="", tells="",
            withheld="",
        )  # fmt: skip
        with pytest.raises(Exception, match="foreign key"), EVERYONE.enter():
            ledger.write(entries=[line])
        assert len(timelines(OWN, OTHER)) == 1
