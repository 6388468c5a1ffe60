"""Anything that may happen to notices, in any order, beside receivers that remember what they heard."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
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

from alerts import deliveries as outbox
from alerts import expiry, replays, roster, sending
from alerts.channels import TRANSPORTS
from alerts.channels.base import DeliveryError, Notice, Receipt
from alerts.deliveries import LEASE
from alerts.models import Alert, Attempt, Delivery
from organizations.models import Organization
from organizations.scope import Scope
from tests import channels
from tests.channels import (
    EVERYONE,
    act,
    channel,
    drain,
    events,
    fire,
    route,
    the,
)
from tests.outbox import (
    EVER,
    URL,
    report_all,
)

_NUMBERS = itertools.count()
MOODS: dict[str, tuple[bool, DeliveryError | None]] = {  # whether it takes what it is sent, and what it says
    "well": (True, None),
    "away": (False, DeliveryError("server", "It is away.", status=503)),
    "silent": (True, DeliveryError("timeout", "It took it and said nothing.", unsure=True)),
    "deaf": (False, DeliveryError("timeout", "It took nothing and said nothing.", unsure=True)),
    "busy": (False, DeliveryError("limited", "It asks to wait.", status=429, retry_after=300.0)),
    "picky": (False, DeliveryError("refused", "It will never do.", status=400)),
    "rude": (False, DeliveryError("client", "It says no.", status=403)),
    "gone": (False, DeliveryError("gone", "It is there no more.", status=410)),
}


class Ear:
    """A receiver that keys on the notice's id, and what it has heard of each episode."""

    def __init__(self) -> None:
        self.mood = "well"
        self.ids: set[str] = set()
        self.words: dict[str, list[str]] = {}
        self.doubts: set[str] = set()  # episodes of which it may have heard for all that the cockpit knows

    def take(self, notice: Notice) -> Receipt:
        taken, error = MOODS[self.mood]
        if taken and notice.id not in self.ids and notice.event != "summary":
            self.ids.add(notice.id)
            self.words.setdefault(notice.dedup_key, []).append(notice.event)
        if error is not None:
            self.doubts |= {notice.dedup_key} if error.unsure else set()
            raise error
        return Receipt(status=200)


class Histories(RuleBasedStateMachine):
    """Two channels of one organization, whose receivers are well, away, deaf or rude; and time that leaps.

    Of each episode a receiver hears first that it began and nothing after its end but that it began again; whatever
    waits comes through once the receivers are well, and who heard of a beginning hears of its end.
    """

    @initialize()
    def begin(self) -> None:
        self.organization = f"outbox_{next(_NUMBERS)}"
        Organization.objects.create(slug=self.organization, name=self.organization)
        self.ears = {name: Ear() for name in ("left", "right")}
        self.skew, self.real, self.kept = timedelta(0), outbox.clock, TRANSPORTS["webhook"]
        outbox.clock = self.clock  # type: ignore[assignment]
        TRANSPORTS["webhook"] = structs.replace(  # type: ignore[index]
            self.kept, send=lambda notice, settings, tools: self.ears[settings["url"].rpartition("/")[2]].take(notice)
        )
        self.to = {name: channel(f"{URL}/{name}", organization=self.organization, name=name) for name in self.ears}
        route(*self.to.values(), organization=self.organization)
        self.alerts: list[UUID] = []

    def teardown(self) -> None:
        if hasattr(self, "alerts"):
            outbox.clock, TRANSPORTS["webhook"] = self.real, self.kept  # type: ignore[index]
            with EVERYONE.enter():  # the next example has its own
                for to in self.to.values():
                    roster.retire(channel=the(to), now=datetime.now(UTC))

    def clock(self) -> datetime:
        return self.real() + self.skew

    @rule(kind=st.integers(0, 1), severity=st.sampled_from(["critical", "warning", "info"]))
    def fire(self, kind: int, severity: str) -> None:
        alert = fire(f"kind {kind}", organization=self.organization, severity=severity).state.id
        self.alerts += [] if alert in self.alerts else [alert]

    @precondition(lambda self: self.alerts)
    @rule(verb=st.sampled_from(["acknowledge", "unacknowledge", "resolve", "resolve", "reopen"]), data=st.data())
    def act(self, verb: str, data: st.DataObject) -> None:
        act(verb, data.draw(st.sampled_from(self.alerts)))

    @rule(name=st.sampled_from(["left", "right"]), mood=st.sampled_from(list(MOODS)))
    def change_mood(self, name: str, mood: str) -> None:
        self.ears[name].mood = mood

    @rule(number=st.integers(1, 3))
    def send(self, number: int) -> None:
        """A few at a time, or as many as there are."""
        if number == 3:
            drain(threads=2)
            return
        report_all([sending.send(one) for one in outbox.claim(now=self.clock(), most=number)[0]])

    @rule(seconds=st.sampled_from([1, 10, 120, 3600, 6 * 3600, 26 * 3600]))
    def pass_time(self, seconds: int) -> None:
        self.skew += timedelta(seconds=seconds)

    @rule(number=st.integers(1, 3), sends=st.booleans(), returns=st.booleans())
    def lose_a_process(self, number: int, *, sends: bool, returns: bool) -> None:
        """It claims, sends or does not, and ends; or it stands still, and reports when others have taken over."""
        claimed, _ = outbox.claim(now=self.clock(), most=number)
        for one in claimed:
            if one.alert:
                key = f"{one.organization}:{one.alert.fingerprint}:{one.alert.episode}"
                self.ears[one.channel_name].doubts.add(key)
        tries = [sending.send(one) for one in claimed] if sends else []
        if returns:
            self.skew += LEASE + timedelta(seconds=1)
            self.send(3)
            report_all(tries)

    @rule()
    def expire(self) -> None:
        expiry.expire(self.clock())

    @rule()
    def sum_up(self) -> None:
        expiry.sum_up(self.clock())

    @rule()
    def replay(self) -> None:
        replays.replay_since(scope=Scope.of(self.organization), since=EVER)

    @rule(data=st.data())
    def replay_one(self, data: st.DataObject) -> None:
        with Scope.of(self.organization).enter():
            ids = list(
                Delivery.objects.filter(state__in=("dead", "expired")).order_by("id").values_list("pk", flat=True)
            )
        if ids:
            one = data.draw(st.sampled_from(range(len(ids))))
            replays.replay(scope=Scope.of(self.organization), ids=[ids[one]], now=datetime.now(UTC))

    @rule(name=st.sampled_from(["left", "right"]))
    def mend(self, name: str) -> None:
        with EVERYONE.enter():
            roster.switch(channel=the(self.to[name]), on=True, now=datetime.now(UTC))

    @rule()
    def heal(self) -> None:
        """Receivers are well and channels on: all that waits comes through, and every end that is owed."""
        for name, ear in self.ears.items():
            ear.mood = "well"
            self.mend(name)
        for _ in range(20):
            self.skew += LEASE + timedelta(seconds=1)
            for to in self.to.values():
                channels.rest_over(to)
            drain(threads=2)
            outbox.skip_unheard(now=self.clock())
            if not self.waiting():
                break
        assert self.waiting() == []
        with Scope.of(self.organization).enter():
            rows = list(Delivery.objects.select_related("alert").filter(alert__isnull=False).order_by("id"))
        for name, to in self.to.items():
            for alert in {one.alert for one in rows if one.channel_id == to}:
                assert alert is not None
                mine = [one for one in rows if one.alert_id == alert.pk and one.channel_id == to]
                self.check_line(name, alert, mine)

    def waiting(self) -> list[tuple[str, str]]:
        with Scope.of(self.organization).enter():
            return events(list(Delivery.objects.filter(done_at=None)))

    def check_line(self, name: str, alert: Alert, mine: list[Delivery]) -> None:
        """What a receiver knows in the end is how it is, unless the log says that this was given up."""
        key = f"{self.organization}:{alert.fingerprint}:{alert.episode}"
        words = self.ears[name].words.get(key, [])
        shown = (alert.status, words, [(one.event, one.state, one.because) for one in mine])
        assert sum(one.state == "sent" for one in mine) <= len(words), shown
        assert all(one.because for one in mine if one.state in ("dead", "expired", "skipped")), shown
        knows = bool(words) and words[-1] != "resolve"
        if knows != (alert.status != "resolved"):
            wanted = "resolve" if alert.status == "resolved" else "trigger"
            last = [one for one in mine if one.event == wanted][-1]
            assert last.state in ("dead", "expired"), shown

    @invariant()
    def every_history_is_legal(self) -> None:
        for ear in getattr(self, "ears", {}).values():
            for key, words in ear.words.items():
                fires = key in ear.doubts
                for word in words:
                    assert fires or word == "trigger", (key, words)
                    fires = word != "resolve" or key in ear.doubts

    @invariant()
    def every_try_is_in_the_log(self) -> None:
        if not hasattr(self, "alerts"):
            return
        with Scope.of(self.organization).enter():
            for one in Delivery.objects.all():
                tried = Attempt.objects.filter(delivery=one.pk).count()
                assert tried == one.attempt - (one.state == "sending"), (one.event, one.state, one.attempt)


@pytest.mark.timeout(300)
def test_anything_in_any_order_makes_legal_histories(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_SUM_UP", expiry._SUM_UP.replace(f">= {expiry.MANY}", ">= 2"))
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Histories,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
