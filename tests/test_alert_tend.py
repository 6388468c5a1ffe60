"""What time does to alerts: what runs out ends once and is told once, what is long over goes, whoever beats or dies."""

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from msgspec import structs

from alerts import answers, changes, ledger, lifecycle, moves, tasks, tending
from alerts.models import Alert, AlertEvent
from alerts.states import Happening, Reason, Report, State, Suppression
from bedrock.slots import Slot
from cockpit.celery import app
from monitoring.store import current_store
from organizations.models import AuditEvent, Organization
from organizations.scope import Scope
from tests.channels import channel, route
from tests.test_alert_moves import LATER, NOW, SHELF, SILENCE, SOON, alert
from tests.test_store_crash import ROOT, environment

OWN, OTHER = "swaggystacks", "scientia_capital"
EVERYONE = Scope.system("test")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def fire(organization: str = OWN, now: datetime = NOW, **changed: Any) -> State:
    report = structs.replace(Report(alert_type="slow", severity="warning", message="It is slow."), **changed)
    [fired] = lifecycle.fire(
        scope=Scope.of(organization), organization=organization, reports=[report], now=now, via="api"
    )
    return fired.state


def do(verb: Callable[..., Any], state: State, now: datetime = NOW, **more: Any) -> None:
    [outcome] = verb(scope=EVERYONE, ids=[state.id], now=now, via="api", **more)
    assert outcome.changed


def now_of(state: State) -> State:
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {ledger.COLUMNS} FROM alerts_alert WHERE id = %s", [state.id])
        [found] = ledger.states(cursor.fetchall())
    return found


def lines(state: State) -> list[tuple[str, str, str]]:
    """Kind, what receivers are told, and why not, of each line after the first."""
    with EVERYONE.enter():
        found = AlertEvent.objects.filter(alert=state.id).order_by("id").values_list("kind", "tells", "withheld")
        return list(found)[1:]


class TestTheMove:
    """`moves.tended` alone, without a database."""

    @staticmethod
    def kinds(happenings: tuple[Happening, ...]) -> list[tuple[str, str]]:
        return [(one.kind, one.tells) for one in happenings]

    @pytest.mark.parametrize("status", ["firing", "acknowledged", "resolved"])
    def test_nothing_is_due_that_has_no_end_or_one_to_come(self, status: Any) -> None:
        state = alert(status)
        assert moves.tended(state, now=NOW).happenings == ()
        coming = structs.replace(state, suppressed_by=(SHELF,), ends_at=SOON, acknowledged_until=SOON)
        assert moves.tended(coming, now=SOON - timedelta(milliseconds=1)).happenings == ()

    def test_the_very_moment_is_due(self) -> None:
        state = alert("acknowledged", acknowledged_until=SOON)
        step = moves.tended(state, now=SOON)
        assert self.kinds(step.happenings) == [("unacknowledged", "trigger")]
        assert (step.state.status, step.state.acknowledged_by, step.state.acknowledged_until) == ("firing", "", None)

    def test_news_end_whatever_else_is_due(self) -> None:
        state = alert("acknowledged", acknowledged_until=SOON, suppressed_by=(SHELF,), ends_at=SOON)
        step = moves.tended(state, now=SOON)
        assert self.kinds(step.happenings) == [("resolved", "resolve")]
        assert (step.state.status, step.state.suppressed_by) == ("resolved", ())

    def test_the_status_stays_when_a_suppression_ends(self) -> None:
        for status, tells in (("firing", "trigger"), ("acknowledged", "")):
            step = moves.tended(alert(status, suppressed_by=(SILENCE,)), now=SOON)  # type: ignore[arg-type]
            assert (step.state.status, step.state.suppressed_by) == (status, ())
            assert self.kinds(step.happenings) == [("unsuppressed", tells)]

    def test_what_ends_together_is_told_once(self) -> None:
        state = alert("acknowledged", acknowledged_until=SOON, suppressed_by=(SHELF, SILENCE))
        step = moves.tended(state, now=LATER)
        assert self.kinds(step.happenings) == [("unshelved", ""), ("unsuppressed", ""), ("unacknowledged", "trigger")]

    def test_a_suppression_without_an_end_stays(self) -> None:
        endless = Suppression(kind="maintenance", since=NOW)
        step = moves.tended(alert(suppressed_by=(SHELF, endless)), now=LATER)
        assert step.state.suppressed_by == (endless,)
        assert self.kinds(step.happenings) == [("unshelved", "")]

    def test_what_is_resolved_is_left_alone(self) -> None:
        state = structs.replace(alert("resolved"), ends_at=SOON, acknowledged_until=SOON, suppressed_by=(SHELF,))
        assert moves.tended(state, now=LATER) == (moves.Step(state))


@pytest.mark.usefixtures("database")
class TestRunOut:
    def test_an_acknowledgement_runs_out_and_receivers_are_told(self) -> None:
        state, lasting = fire(), fire(labels={"a": "1"})
        do(lifecycle.acknowledge, state, until=SOON, note="mine")
        do(lifecycle.acknowledge, lasting)
        assert tending.run_out(SOON - MINUTE) == 0
        assert tending.run_out(SOON) == 1
        assert (now_of(state).status, now_of(lasting).status) == ("firing", "acknowledged")
        assert lines(state) == [("acknowledged", "acknowledge", ""), ("unacknowledged", "trigger", "")]
        assert tending.run_out(LATER) == 0

    @pytest.mark.parametrize("kind", ["shelved", "silenced", "inhibited", "maintenance"])
    def test_a_suppression_ends(self, kind: Reason) -> None:
        state = fire()
        suppression = Suppression(kind=kind, since=NOW, until=SOON)
        do(lifecycle.suppress, state, suppression=suppression)
        assert tending.run_out(SOON - MINUTE) == 0
        assert tending.run_out(SOON) == 1
        ended = "unshelved" if kind == "shelved" else "unsuppressed"
        assert now_of(state).suppressed_by == ()
        assert lines(state)[-1] == (ended, "trigger", "")

    def test_what_another_reason_keeps_from_being_told_is_not(self) -> None:
        state = fire()
        do(lifecycle.acknowledge, state, until=SOON)
        do(lifecycle.suppress, state, suppression=Suppression(kind="silenced", since=NOW, until=LATER))
        do(lifecycle.shelve, state, until=SOON)
        assert tending.run_out(SOON) == 1
        assert lines(state)[3:] == [("unshelved", "", ""), ("unacknowledged", "trigger", "silenced")]
        assert tending.run_out(LATER) == 1
        assert lines(state)[5:] == [("unsuppressed", "trigger", "")]

    def test_the_first_end_of_several_counts(self) -> None:
        state = fire()
        for kind, until in (("maintenance", None), ("silenced", LATER), ("inhibited", SOON)):
            do(lifecycle.suppress, state, suppression=Suppression(kind=kind, since=NOW, until=until))  # type: ignore[arg-type]
        assert tending.run_out(SOON) == 1
        assert [one.kind for one in now_of(state).suppressed_by] == ["maintenance", "silenced"]
        assert tending.run_out(LATER) == 1
        assert [one.kind for one in now_of(state).suppressed_by] == ["maintenance"]
        assert tending.run_out(LATER + 1000 * DAY) == 0

    @pytest.mark.parametrize("moment", [SOON + timedelta(milliseconds=ms) for ms in (0, 1, 100, 999)])
    def test_the_millisecond_is_kept(self, moment: datetime) -> None:
        state = fire()
        do(lifecycle.shelve, state, until=moment)
        assert tending.run_out(moment - timedelta(milliseconds=1)) == 0
        assert tending.run_out(moment + timedelta(microseconds=300)) == 1

    def test_news_end_by_themselves(self) -> None:
        state = fire(ends_at=SOON, severity="info")
        do(lifecycle.shelve, state, until=LATER)
        assert tending.run_out(SOON) == 1
        after = now_of(state)
        assert (after.status, after.resolved_at, after.resolved_by) == ("resolved", SOON, "system")
        assert tending.run_out(LATER) == 0

    def test_every_organization_is_tended_and_it_is_in_the_audit_trail(self) -> None:
        both = [fire(slug, ends_at=SOON) for slug in (OWN, OTHER)]
        demo = fire(ends_at=SOON, source="demo")
        assert tending.run_out(SOON) == 3
        with EVERYONE.enter():
            rows = list(AuditEvent.objects.filter(action="tended").values_list("organization", "actor", "object_id"))
        assert sorted(rows) == sorted((state.organization_id, "system", str(state.id)) for state in both)
        assert lines(demo) == [("resolved", "resolve", "")]

    def test_many_end_in_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tending, "BATCH", 7)
        reports = [
            Report(alert_type="a", severity="info", message="x", labels={"n": str(n)}, ends_at=SOON) for n in range(40)
        ]
        lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=NOW, via="api")
        assert tending.run_out(SOON) == 40
        monkeypatch.setattr(tending, "_MOST_BATCHES", 2)
        lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=NOW, via="api")
        assert [tending.run_out(SOON) for _ in range(4)] == [14, 14, 12, 0]

    def test_it_is_looked_at_again_under_the_lock(self) -> None:
        """Somebody prolongs an acknowledgement while the tender, which has already found it due, waits for the row."""
        state = fire()
        do(lifecycle.acknowledge, state, until=SOON)
        ended: list[int] = []

        def tend() -> None:
            try:
                ended.append(tending.run_out(SOON))
            finally:
                connections.close_all()

        with transaction.atomic():
            do(lifecycle.acknowledge, state, now=SOON, until=LATER)
            thread = threading.Thread(target=tend)
            thread.start()
            thread.join(0.5)
            assert thread.is_alive()
        thread.join()
        assert ended == [0]
        assert now_of(state).status == "acknowledged"

    def test_two_at_once_end_each_once(self) -> None:
        reports = [
            Report(alert_type="a", severity="info", message="x", labels={"n": str(n)}, ends_at=SOON) for n in range(200)
        ]
        lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=NOW, via="api")
        changed: list[int] = []

        def tend() -> None:
            try:
                changed.append(tending.run_out(SOON))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=tend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(changed) == 200
        with EVERYONE.enter():
            assert AlertEvent.objects.filter(kind="resolved").count() == 200

    def test_what_is_not_due_is_not_even_looked_at(self) -> None:
        """The question reads indexes of what will run out one day, however many alerts are open."""
        with EVERYONE.enter(), connection.cursor() as cursor:
            reports = [Report(alert_type="a", severity="info", message="x", labels={"n": str(n)}) for n in range(2000)]
            lifecycle.fire(scope=EVERYONE, organization=OWN, reports=reports, now=NOW, via="api")
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) " + tending._DUE, {"now": LATER, "batch": 500})
            plan = str(cursor.fetchone()[0])
        assert "Seq Scan" not in plan
        for index in ("alerts_news_end", "alerts_acknowledgement_ends", "alerts_suppression_ends"):
            assert index in plan


def resolved(organization: str, at: datetime, **more: Any) -> State:
    state = fire(organization, now=at - MINUTE, **more)
    do(lifecycle.resolve, state, now=at)
    return state


@pytest.mark.usefixtures("database")
class TestForget:
    def there(self) -> set[uuid.UUID]:
        with EVERYONE.enter():
            return set(Alert.objects.values_list("id", flat=True))

    def test_resolved_alerts_go_when_their_organization_keeps_hours_no_longer(self, now: datetime) -> None:
        Organization.objects.filter(slug=OWN).update(hour_days=100)
        old = resolved(OWN, now - 101 * DAY)
        kept = [resolved(OWN, now - 99 * DAY), resolved(OTHER, now - 101 * DAY), fire(OWN, now=now - 400 * DAY)]
        assert tending.forget(now) == 1
        assert self.there() == {state.id for state in kept}
        with EVERYONE.enter():
            assert not AlertEvent.objects.filter(alert=old.id).exists()
        assert tending.forget(now) == 0

    def test_never_before_ninety_days(self, now: datetime) -> None:
        Organization.objects.filter(slug=OWN).update(hour_days=1)
        resolved(OWN, now - 89 * DAY)
        assert tending.forget(now) == 0
        assert tending.forget(now + 30 * DAY) == 0  # a clock that runs ahead is none to the database
        resolved(OWN, now - 91 * DAY)
        assert tending.forget(now) == 1

    def test_many_go_in_batches(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tending, "BATCH", 5)
        reports = [Report(alert_type="a", severity="info", message="x", labels={"n": str(n)}) for n in range(23)]
        fired = lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=now - 800 * DAY, via="api")
        lifecycle.resolve(scope=EVERYONE, ids=[one.state.id for one in fired], now=now - 799 * DAY, via="api")
        monkeypatch.setattr(tending, "_MOST_BATCHES", 2)
        assert [tending.forget(now) for _ in range(4)] == [10, 10, 3, 0]

    def test_one_that_is_opened_again_meanwhile_stays(self, now: datetime) -> None:
        state = resolved(OWN, now - 800 * DAY)
        forgotten: list[int] = []

        def forget() -> None:
            try:
                forgotten.append(tending.forget(now))
            finally:
                connections.close_all()

        with transaction.atomic():
            do(lifecycle.reopen, state, now=now)
            thread = threading.Thread(target=forget)
            thread.start()
            thread.join(0.5)
            assert thread.is_alive()
        thread.join()
        assert forgotten == [0]
        assert now_of(state).status == "firing"

    def test_old_answers_go(self, now: datetime) -> None:
        for days in (7, 9):
            key, at = f"key {days}", now - days * DAY
            answers.once(Scope.of(OWN), OWN, key, ("/there", {}), at, lambda: answers.Answer(201, b"{}"))
        tending.forget(now)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT convert_from(key, 'utf-8') FROM alerts_answer")
            assert cursor.fetchall() == [("key 7",)]

    def test_only_the_source_named_is_erased(self) -> None:
        live, demo = (
            fire(),
            [fire(slug, source="demo", labels={"n": str(n)}) for slug in (OWN, OTHER) for n in range(3)],
        )
        assert tending.erase(EVERYONE, source="demo") == len(demo)
        assert self.there() == {live.id}
        assert tending.erase(EVERYONE, source="live") == 0  # the database keeps what is open
        assert self.there() == {live.id}


KILLED = """
import django; django.setup()
from datetime import datetime
from django.conf import settings
from alerts import tending
settings.FAILPOINT = {point!r}
tending.BATCH = 5
tending.run_out(datetime.fromisoformat({now!r}))
"""


class TestKilled:
    @pytest.mark.parametrize(
        ("point", "left"),
        [
            ("alert.held", 20),
            ("alert.written", 20),
            ("alert.audited", 20),
            ("alert.committed", 15),
            ("alert.written:3", 10),
        ],
    )
    def test_what_was_not_ended_then_is_ended_by_the_next(
        self, database: str, tmp_path: Path, point: str, left: int
    ) -> None:
        reports = [
            Report(alert_type="a", severity="info", message="x", labels={"n": str(n)}, ends_at=SOON) for n in range(20)
        ]
        lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=NOW, via="api")
        code = KILLED.format(point=point, now=SOON.isoformat())
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(database, tmp_path), check=False)
        assert ended.returncode == -signal.SIGKILL
        assert tending.run_out(SOON) == left
        with EVERYONE.enter():
            assert Alert.objects.filter(status="resolved").count() == 20
            assert AlertEvent.objects.filter(kind="resolved").count() == 20


@pytest.mark.usefixtures("database")
class TestTheTask:
    def test_beat_asks_for_it_and_a_worker_knows_it(self) -> None:
        entry = app.conf.beat_schedule["tend"]
        assert (entry["task"], entry["schedule"]) == (tasks.tend.name, tasks.EVERY.total_seconds())

    def test_once_a_slot_however_many_beats_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[datetime] = []
        monkeypatch.setattr(tending, "run_out", lambda now: ran.append(now))
        moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
        for seconds in (0, 0, 3, 9.9, 10, 12):
            monkeypatch.setattr(tasks.timezone, "now", lambda at=moment + timedelta(seconds=seconds): at)
            tasks.tend()
        assert [(at - moment).total_seconds() for at in ran] == [0, 10]

    def test_what_fails_keeps_nothing_else_from_being_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[str] = []

        def broken(now: datetime) -> int:
            raise RuntimeError("broken")

        monkeypatch.setattr(tending, "run_out", broken)
        monkeypatch.setattr(changes, "tell_of_audited", lambda now: done.append("told"))
        monkeypatch.setattr(tending, "forget", lambda now: done.append("forgotten"))
        with pytest.raises(RuntimeError, match="broken"):
            tasks.tend()
        assert done == ["told", "forgotten"]
        assert not Slot.objects.filter(task="tend").exists()  # the next one may try

    def test_how_long_a_notice_has_been_due_is_kept_as_a_reading_of_the_platform(self, now: datetime) -> None:
        def due() -> list[float]:
            levels = current_store().levels(EVERYONE, since=now - DAY, families=(tending.DUE_FAMILY,))
            assert {one.organization for one in levels} == {"shared"}
            return [one.value for one in levels]

        tending.measure(now - 2 * MINUTE)
        assert due() == [0]
        route(channel("http://127.0.0.1:9/"))
        fire(now=now)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_delivery SET next_at = clock_timestamp() - interval '400 seconds'")
        tending.measure(now - MINUTE)
        assert due() == [pytest.approx(400, abs=60)]
        Slot.objects.all().delete()
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_channel SET state = 'off'")
        tasks.tend()
        assert due() == [0]  # nobody waits for it any more

    def test_it_does_all_of_it(self, now: datetime) -> None:
        state = fire(now=now - MINUTE, ends_at=now)
        old = resolved(OWN, now - 800 * DAY, labels={"a": "1"})
        tasks.tend()
        assert now_of(state).status == "resolved"
        with EVERYONE.enter():
            assert not Alert.objects.filter(id=old.id).exists()
