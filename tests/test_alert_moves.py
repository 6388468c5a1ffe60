"""The table of moves: every verb on an alert of every status, what it leaves, what it tells, and what it refuses."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from msgspec import structs

from alerts import moves, outbox
from alerts.moves import MOVES, Refused, Verb
from alerts.states import RANKS, Happening, Reason, Report, Severity, State, Status, Step, Suppression

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, NOW = BEGAN + timedelta(minutes=1), BEGAN + timedelta(minutes=2)
SOON, LATER = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
STATUSES: tuple[Status, ...] = get_args(Status)
SILENCE = Suppression(kind="silenced", since=BEFORE, until=SOON, by="bob", note="tests")
SHELF = Suppression(kind="shelved", since=BEFORE, until=SOON, by="bob")
NEVER = {"id", "organization_id", "fingerprint", "episode", "source", "alert_type", "endpoint_id", "model_name",
         "labels", "first_seen_at"}  # fmt: skip


def report(**changes: Any) -> Report:
    return structs.replace(Report(alert_type="slow", severity="warning", message="It is slow."), **changes)


def alert(status: Status = "firing", **changes: Any) -> State:
    """An alert of that status as the verbs leave it."""
    state = moves.begun(
        report(), id=uuid.UUID(int=7), organization="first", fingerprint="f" * 64, episode=3, now=BEGAN
    ).state
    if status != "firing":
        state = moves.acknowledged(state, now=BEFORE, by="bob", note="mine").state
    if status == "resolved":
        state = moves.resolved(state, now=BEFORE, by="bob", note="gone").state
    return structs.replace(state, **changes)


DONE: dict[Verb, Callable[[State], Step]] = {
    "acknowledge": lambda state: moves.acknowledged(state, now=NOW, by="ada", note="why"),
    "unacknowledge": lambda state: moves.unacknowledged(state, now=NOW, by="ada", note="why"),
    "assign": lambda state: moves.assigned(state, now=NOW, by="ada", owner=5, name="ada", note="why"),
    "comment": lambda state: moves.commented(state, now=NOW, by="ada", note="why"),
    "shelve": lambda state: moves.shelved(state, now=NOW, by="ada", until=LATER, note="why"),
    "unshelve": lambda state: moves.unshelved(state, now=NOW, by="ada", note="why"),
    "suppress": lambda state: moves.suppressed(
        state, now=NOW, suppression=Suppression(kind="silenced", since=NOW, until=LATER, by="ada", note="why")
    ),
    "unsuppress": lambda state: moves.unsuppressed(state, now=NOW, by="ada", kind="silenced", note="why"),
    "resolve": lambda state: moves.resolved(state, now=NOW, by="ada", note="why"),
    "reopen": lambda state: moves.reopened(state, now=NOW, by="ada", note="why"),
    "remind": lambda state: moves.reminded(state, now=NOW, by="ada", note="why"),
}
NOTHING = ""
# Verb and the status it finds -> the status it leaves, the line in the timeline, and what receivers are told.
TABLE: dict[tuple[Verb, Status], tuple[Status, str, str] | None] = {
    ("acknowledge", "firing"): ("acknowledged", "acknowledged", "acknowledge"),
    ("acknowledge", "acknowledged"): ("acknowledged", NOTHING, NOTHING),
    ("acknowledge", "resolved"): None,
    ("unacknowledge", "firing"): ("firing", NOTHING, NOTHING),
    ("unacknowledge", "acknowledged"): ("firing", "unacknowledged", "trigger"),
    ("unacknowledge", "resolved"): None,
    ("assign", "firing"): ("firing", "assigned", NOTHING),
    ("assign", "acknowledged"): ("acknowledged", "assigned", NOTHING),
    ("assign", "resolved"): None,
    ("comment", "firing"): ("firing", "commented", NOTHING),
    ("comment", "acknowledged"): ("acknowledged", "commented", NOTHING),
    ("comment", "resolved"): ("resolved", "commented", NOTHING),
    ("shelve", "firing"): ("firing", "shelved", NOTHING),
    ("shelve", "acknowledged"): ("acknowledged", "shelved", NOTHING),
    ("shelve", "resolved"): None,
    ("unshelve", "firing"): ("firing", NOTHING, NOTHING),
    ("unshelve", "acknowledged"): ("acknowledged", NOTHING, NOTHING),
    ("unshelve", "resolved"): ("resolved", NOTHING, NOTHING),
    ("suppress", "firing"): ("firing", "suppressed", NOTHING),
    ("suppress", "acknowledged"): ("acknowledged", "suppressed", NOTHING),
    ("suppress", "resolved"): None,
    ("unsuppress", "firing"): ("firing", NOTHING, NOTHING),
    ("unsuppress", "acknowledged"): ("acknowledged", NOTHING, NOTHING),
    ("unsuppress", "resolved"): ("resolved", NOTHING, NOTHING),
    ("resolve", "firing"): ("resolved", "resolved", "resolve"),
    ("resolve", "acknowledged"): ("resolved", "resolved", "resolve"),
    ("resolve", "resolved"): ("resolved", NOTHING, NOTHING),
    ("reopen", "firing"): ("firing", NOTHING, NOTHING),
    ("reopen", "acknowledged"): ("acknowledged", NOTHING, NOTHING),
    ("reopen", "resolved"): ("firing", "reopened", "trigger"),
    ("remind", "firing"): ("firing", "reminded", "trigger"),
    ("remind", "acknowledged"): ("acknowledged", NOTHING, NOTHING),
    ("remind", "resolved"): ("resolved", NOTHING, NOTHING),
}
ALLOWED = [(verb, status, *left) for (verb, status), left in TABLE.items() if left is not None]
REFUSED = [pair for pair, left in TABLE.items() if left is None]


def changed(before: State, after: State) -> set[str]:
    return {name for name in State.__struct_fields__ if getattr(before, name) != getattr(after, name)}


def only(step: Step) -> Happening:
    (happening,) = step.happenings
    return happening


class TestTheTable:
    def test_it_has_every_verb_on_every_status(self) -> None:
        assert set(TABLE) == {(verb, status) for verb in get_args(Verb) for status in STATUSES}
        assert set(DONE) == set(MOVES) == set(get_args(Verb))

    @pytest.mark.parametrize(("verb", "found", "left", "kind", "tells"), ALLOWED)
    def test_a_verb_leaves_the_status_and_says_what_happened(
        self, verb: Verb, found: Status, left: Status, kind: str, tells: str
    ) -> None:
        state = alert(found)
        step = DONE[verb](state)
        assert step.state.status == left == MOVES[verb][found]
        assert [(one.kind, one.tells) for one in step.happenings] == ([(kind, tells)] if kind else [])
        if kind:
            assert step.state.changed_at == NOW
            assert only(step).note == "why"
        else:
            assert step.state == state

    @pytest.mark.parametrize(("verb", "found", "left", "kind", "tells"), ALLOWED)
    def test_a_verb_never_changes_which_alert_it_is(
        self, verb: Verb, found: Status, left: Status, kind: str, tells: str
    ) -> None:
        state = alert(found)
        assert not changed(state, DONE[verb](state).state) & (NEVER | {"count", "severity", "message", "last_seen_at"})

    @pytest.mark.parametrize(("verb", "found", "left", "kind", "tells"), ALLOWED)
    def test_a_verb_done_twice_is_done_once(
        self, verb: Verb, found: Status, left: Status, kind: str, tells: str
    ) -> None:
        once = DONE[verb](alert(found)).state
        if verb in ("comment", "remind"):  # whoever says it twice wants it said twice
            return
        assert DONE[verb](once) == Step(once)

    @pytest.mark.parametrize(("verb", "found", "left", "kind", "tells"), ALLOWED)
    def test_what_is_told_before_and_after_is_what_changed(
        self, verb: Verb, found: Status, left: Status, kind: str, tells: str
    ) -> None:
        state = alert(found)
        step = DONE[verb](state)
        for happening in step.happenings:
            assert ("status" in happening.after) == (found != left)
            if found != left:
                assert (happening.before["status"], happening.after["status"]) == (found, left)

    @pytest.mark.parametrize(("verb", "found"), REFUSED)
    def test_what_is_not_in_the_table_is_refused_in_words(self, verb: Verb, found: Status) -> None:
        past = {"assign": "assigned", "suppress": "suppressed"}.get(verb, f"{verb}d")
        with pytest.raises(Refused, match=rf"^The alert is {found}; it cannot be {past}\.$"):
            DONE[verb](alert(found))

    @pytest.mark.parametrize(("verb", "found", "left", "kind", "tells"), ALLOWED)
    def test_the_times_agree_with_the_status_as_the_database_demands(
        self, verb: Verb, found: Status, left: Status, kind: str, tells: str
    ) -> None:
        after = DONE[verb](alert(found)).state
        assert (after.resolved_at is not None) == (left == "resolved")
        if left != "resolved":
            assert (after.acknowledged_at is not None) == (left == "acknowledged")


class TestBeginning:
    def test_a_new_episode_fires_and_is_told(self) -> None:
        told = report(severity="critical", endpoint_id="e", model_name="m", labels={"a": "1"}, metadata={"v": 2})
        step = moves.begun(told, id=uuid.UUID(int=1), organization="first", fingerprint="f", episode=1, now=NOW)
        state = step.state
        assert {name: getattr(state, name) for name in Report.__struct_fields__} == structs.asdict(told)
        assert (state.status, state.count, state.reopened, state.suppressed_by) == ("firing", 1, 0, ())
        assert state.first_seen_at == state.last_seen_at == state.changed_at == NOW
        assert step.happenings == (
            Happening("fired", after={"status": "firing", "severity": "critical"}, tells="trigger"),
        )


class TestRepeating:
    def test_it_counts_and_takes_the_newest_words(self) -> None:
        state = alert()
        told = report(message="Slower.", metadata={"p95": 9}, ends_at=LATER)
        step = moves.repeated(state, told, now=NOW)
        assert step.happenings == ()
        assert changed(state, step.state) == {"count", "last_seen_at", "message", "metadata", "ends_at", "changed_at"}
        assert (step.state.count, step.state.message, step.state.ends_at) == (2, "Slower.", LATER)

    def test_it_was_last_seen_at_the_latest_moment_whichever_report_comes_first(self) -> None:
        state = alert(last_seen_at=NOW)
        step = moves.repeated(state, report(), now=BEFORE)
        assert (step.state.last_seen_at, step.state.count) == (NOW, 2)

    @pytest.mark.parametrize("found", get_args(Severity))
    @pytest.mark.parametrize("told", get_args(Severity))
    def test_a_worse_severity_is_told_and_a_better_one_only_noted(self, found: Severity, told: Severity) -> None:
        step = moves.repeated(alert(severity=found), report(severity=told), now=NOW)
        assert step.state.severity == told
        if found == told:
            assert step.happenings == ()
            return
        line = only(step)
        assert (line.kind, line.before, line.after) == ("severity_changed", {"severity": found}, {"severity": told})
        assert line.tells == ("trigger" if RANKS[told] < RANKS[found] else "")

    @pytest.mark.parametrize(("found", "told", "wakes"), [("warning", "critical", True), ("warning", "info", False)])
    def test_only_a_worse_one_takes_back_that_somebody_looks_after_it(
        self, found: Severity, told: Severity, wakes: bool
    ) -> None:
        state = moves.acknowledged(alert(severity=found), now=BEFORE, by="bob", note="mine", until=SOON).state
        step = moves.repeated(state, report(severity=told), now=NOW)
        after = step.state
        if not wakes:
            assert (after.status, after.acknowledged_by, after.acknowledged_until) == ("acknowledged", "bob", SOON)
            assert [one.kind for one in step.happenings] == ["severity_changed"]
            return
        assert (after.status, after.acknowledged_at, after.acknowledged_by) == ("firing", None, "")
        assert (after.acknowledged_until, after.acknowledge_note) == (None, "")
        assert after.first_acknowledged_at == BEFORE  # how long it took the first time stays known
        assert [(one.kind, one.tells) for one in step.happenings] == [
            ("unacknowledged", ""), ("severity_changed", "trigger"),
        ]  # fmt: skip
        assert step.happenings[0].note == "The severity rose to critical."

    @pytest.mark.parametrize(("told", "wakes"), [("critical", True), ("info", False), ("warning", False)])
    def test_only_a_worse_one_wakes_a_shelved_alert(self, told: Severity, wakes: bool) -> None:
        step = moves.repeated(alert(suppressed_by=(SILENCE, SHELF)), report(severity=told), now=NOW)
        assert step.state.suppressed_by == ((SILENCE,) if wakes else (SILENCE, SHELF))  # a silence is not a shelf
        kinds = [(one.kind, one.tells) for one in step.happenings]
        expected = {"critical": [("unshelved", ""), ("severity_changed", "trigger")],
                    "info": [("severity_changed", "")], "warning": []}  # fmt: skip
        assert kinds == expected[told]

    def test_a_worse_one_wakes_from_both_and_is_told_once(self) -> None:
        state = structs.replace(alert("acknowledged"), suppressed_by=(SHELF,))
        step = moves.repeated(state, report(severity="critical"), now=NOW)
        assert (step.state.status, step.state.suppressed_by) == ("firing", ())
        assert [one.kind for one in step.happenings] == ["unacknowledged", "unshelved", "severity_changed"]
        assert [one.tells for one in step.happenings] == ["", "", "trigger"]


class TestAcknowledging:
    def test_it_says_who_when_and_until_when(self) -> None:
        step = moves.acknowledged(alert(), now=NOW, by="ada", note="looking", until=LATER)
        after = step.state
        assert (after.acknowledged_by, after.acknowledged_at, after.acknowledged_until) == ("ada", NOW, LATER)
        assert (after.acknowledge_note, after.first_acknowledged_at) == ("looking", NOW)
        line = only(step)
        assert line.before == {"status": "firing", "acknowledgedUntil": None}
        assert line.after == {"status": "acknowledged", "acknowledgedUntil": LATER}

    def test_another_end_is_a_change_that_keeps_when_it_began(self) -> None:
        once = moves.acknowledged(alert(), now=BEFORE, by="bob", until=SOON).state
        step = moves.acknowledged(once, now=NOW, by="ada", note="longer", until=LATER)
        after = step.state
        assert (after.acknowledged_at, after.acknowledged_until, after.acknowledged_by) == (BEFORE, LATER, "ada")
        assert (only(step).before, only(step).after) == ({"acknowledgedUntil": SOON}, {"acknowledgedUntil": LATER})

    def test_without_an_end_it_leaves_the_one_there_is(self) -> None:
        once = moves.acknowledged(alert(), now=BEFORE, by="bob", until=SOON).state
        assert moves.acknowledged(once, now=NOW, by="ada") == Step(once)

    def test_the_first_time_stays_known_however_often(self) -> None:
        state = moves.unacknowledged(alert("acknowledged"), now=NOW).state
        again = moves.acknowledged(state, now=LATER, by="ada").state
        assert (again.first_acknowledged_at, again.acknowledged_at) == (BEFORE, LATER)


class TestResolving:
    def test_the_first_time_and_name_stay(self) -> None:
        once = moves.resolved(alert(), now=BEFORE, by="bob", note="gone").state
        assert (once.resolved_at, once.resolved_by, once.resolve_note) == (BEFORE, "bob", "gone")
        assert moves.resolved(once, now=NOW, by="ada", note="mine") == Step(once)

    def test_it_ends_what_would_have_ended_later_but_keeps_who_looked_after_it(self) -> None:
        state = moves.acknowledged(alert(suppressed_by=(SILENCE, SHELF)), now=BEFORE, by="bob", until=LATER).state
        after = moves.resolved(state, now=NOW, by="ada").state
        assert (after.suppressed_by, after.acknowledged_until) == ((), None)
        assert (after.acknowledged_by, after.acknowledged_at) == ("bob", BEFORE)

    def test_reopening_fires_afresh_in_the_same_episode(self) -> None:
        state = alert("resolved", ends_at=SOON)
        step = moves.reopened(state, now=NOW, by="ada", note="not gone")
        after = step.state
        assert (after.status, after.episode, after.count, after.reopened) == ("firing", 3, 1, 1)
        assert (after.resolved_at, after.resolved_by, after.resolve_note, after.ends_at) == (None, "", "", None)
        assert (after.acknowledged_at, after.acknowledged_by, after.acknowledge_note) == (None, "", "")
        assert after.first_acknowledged_at == BEFORE
        line = only(step)
        assert line.before == {"status": "resolved", "resolvedAt": BEFORE, "resolvedBy": "bob"}
        assert line.after == {"status": "firing", "resolvedAt": None, "resolvedBy": ""}
        twice = moves.reopened(moves.resolved(after, now=NOW).state, now=NOW).state
        assert twice.reopened == 2


class TestAssigning:
    def test_it_names_the_owner_and_takes_it_back(self) -> None:
        step = moves.assigned(alert(), now=NOW, by="ada", owner=5, name="ada", note="hers")
        assert (step.state.owner_id, only(step).before, only(step).after) == (
            5, {"owner": None}, {"owner": 5, "name": "ada"},
        )  # fmt: skip
        back = moves.assigned(step.state, now=NOW, owner=None)
        assert (back.state.owner_id, only(back).before, only(back).after) == (
            None, {"owner": 5}, {"owner": None, "name": ""},
        )  # fmt: skip
        assert moves.assigned(back.state, now=NOW, owner=None).happenings == ()


class TestSuppressing:
    @pytest.mark.parametrize("found", ["firing", "acknowledged"])
    @pytest.mark.parametrize("kind", get_args(Reason))
    def test_it_is_a_fact_beside_the_status(self, found: Status, kind: Reason) -> None:
        state, suppression = alert(found), structs.replace(SILENCE, kind=kind)
        step = moves.suppressed(state, now=NOW, suppression=suppression)
        assert changed(state, step.state) == {"suppressed_by", "changed_at"}
        assert step.state.suppressed_by == (suppression,)
        line = only(step)
        assert line.kind == ("shelved" if kind == "shelved" else "suppressed")
        assert (line.after, line.note, line.tells) == ({"suppressedBy": kind, "until": SOON}, "tests", "")
        assert moves.suppressed(step.state, now=NOW, suppression=suppression) == Step(step.state)

    def test_reasons_stand_beside_each_other_and_another_end_takes_the_place_of_its_own(self) -> None:
        state = alert(suppressed_by=(SILENCE, SHELF))
        longer = structs.replace(SILENCE, until=LATER)
        assert moves.suppressed(state, now=NOW, suppression=longer).state.suppressed_by == (SHELF, longer)

    @pytest.mark.parametrize(
        ("found", "others", "tells"),
        [("firing", (), "trigger"), ("firing", (SHELF,), ""), ("acknowledged", (), ""), ("acknowledged", (SHELF,), "")],
    )
    def test_its_end_is_told_if_nothing_else_keeps_it_and_it_still_fires(
        self, found: Status, others: tuple[Suppression, ...], tells: str
    ) -> None:
        state = alert(found, suppressed_by=(SILENCE, *others))
        step = moves.unsuppressed(state, now=NOW, kind="silenced", note="over")
        assert step.state.suppressed_by == others
        line = only(step)
        assert (line.kind, line.before, line.tells) == ("unsuppressed", {"suppressedBy": "silenced"}, tells)

    def test_a_shelf_is_lifted_by_its_own_name(self) -> None:
        step = moves.unshelved(alert(suppressed_by=(SHELF,)), now=NOW, by="ada", note="back")
        line = only(step)
        assert (line.kind, line.before, line.tells, line.note) == (
            "unshelved", {"suppressedBy": "shelved"}, "trigger", "back",
        )  # fmt: skip

    def test_shelving_says_who_since_when_and_until_when(self) -> None:
        (shelf,) = moves.shelved(alert(), now=NOW, by="ada", until=LATER, note="known").state.suppressed_by
        assert shelf == Suppression(kind="shelved", since=NOW, until=LATER, by="ada", note="known")


class TestWhatIsWithheld:
    """What receivers are told at all stands in `tells`; why they are not, in `withheld`."""

    @pytest.mark.parametrize("tells", ["", "trigger", "acknowledge", "resolve"])
    def test_nothing_of_a_live_alert_that_nobody_silences(self, tells: Any) -> None:
        assert outbox.withheld(alert(), Happening("fired", tells=tells)) == ""

    @pytest.mark.parametrize("kind", get_args(Reason))
    def test_the_trigger_of_a_silenced_one_with_its_reason(self, kind: Reason) -> None:
        state = alert(suppressed_by=(structs.replace(SILENCE, kind=kind),))
        assert outbox.withheld(state, Happening("reopened", tells="trigger")) == kind

    def test_the_first_reason_counts(self) -> None:
        assert outbox.withheld(alert(suppressed_by=(SHELF, SILENCE)), Happening("fired", tells="trigger")) == "shelved"

    @pytest.mark.parametrize("tells", ["acknowledge", "resolve"])
    def test_never_that_somebody_looks_after_it_or_that_it_is_over(self, tells: Any) -> None:
        assert outbox.withheld(alert(suppressed_by=(SILENCE,)), Happening("resolved", tells=tells)) == ""

    def test_the_demo_is_as_everything_else(self) -> None:
        """What is no live data is told to no live channel: the routes see to that."""
        for silences, reason in (((), ""), ((SILENCE,), "silenced")):
            state = alert(source="demo", suppressed_by=silences)
            assert outbox.withheld(state, Happening("fired", tells="trigger")) == reason

    @pytest.mark.parametrize("source", ["live", "demo"])
    def test_what_is_not_to_be_told_has_no_reason(self, source: str) -> None:
        assert outbox.withheld(alert(source=source, suppressed_by=(SILENCE,)), Happening("commented")) == ""

    def test_a_worse_severity_of_a_silenced_alert_stays_withheld_and_of_a_shelved_one_is_told(self) -> None:
        for suppression, reason in ((SILENCE, "silenced"), (SHELF, "")):
            step = moves.repeated(alert(suppressed_by=(suppression,)), report(severity="critical"), now=NOW)
            assert outbox.withheld(step.state, step.happenings[-1]) == reason
