"""The demo's channels: told to this machine alone, with a past that is plausible, and gone exactly with the demo."""

import http.client
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection

from alerts import lifecycle, made_up, replays, roster, sending, switch, tallies
from alerts.channels import TRANSPORTS
from alerts.channels.answers import demand_taken
from alerts.channels.base import Answer, DeliveryError
from alerts.models import Alert, AlertEvent, Attempt, Channel, Delivery, Route
from alerts.states import Report
from cockpit.demo import alarms, loading, receivers, tellers
from cockpit.demo.calls import HOUR, Telling
from cockpit.demo.receivers import Receivers
from cockpit.demo.tellers import TELLERS
from cockpit.demo.troubles import MINUTE
from cockpit.management.commands import demo
from monitoring import counting
from monitoring.store import current_store
from organizations.models import AuditEvent
from organizations.scope import Scope
from tests import channels
from tests.channels import EVERYONE, OWN, attempts, channel, deliveries, drain, fire, route
from tests.receiver import Receiver
from tests.test_demo import NOW, run

WEEK = timedelta(days=7)


def load(now: datetime = NOW) -> None:
    """What a load of the demo does, without its inferences and samples."""
    tellers.make(now)
    alarms.load(Telling(now), loading._zones())


def made() -> dict[str, Channel]:
    """The demo's channels by name."""
    with EVERYONE.enter():
        return {one.name: one for one in Channel.objects.filter(source="demo")}


def told(**wanted: Any) -> list[Delivery]:
    return deliveries(channel__source="demo", **wanted)


def rows(model: Any, **wanted: Any) -> list[dict[str, Any]]:
    with EVERYONE.enter():
        return list(model.objects.filter(**wanted).order_by("pk").values())


def raised(now: datetime, severity: Any = "critical", organization: str = OWN) -> None:
    """A demo alert, as it comes while the demo runs."""
    report = Report(alert_type="late", severity=severity, message="It is late.", source="demo")
    lifecycle.fire(scope=Scope.of(organization), organization=organization, reports=[report], now=now, via="rule")


@pytest.mark.usefixtures("database")
class TestPast:
    def test_channels_are_made_once_each_with_its_route(self) -> None:
        load()
        before = rows(Channel)
        assert {(one["organization_id"], one["name"], one["kind"], one["audience"]) for one in before} == {
            (one.organization, one.name, one.kind, one.audience) for one in TELLERS
        }
        assert {one["source"] for one in (*before, *rows(Route))} == {"demo"}
        assert len(rows(Route)) == len(TELLERS)
        load(NOW + HOUR)
        assert rows(Channel) == before

    def test_their_secrets_are_sealed_as_all_are(self) -> None:
        load()
        bus = made()["Platform bus"]
        assert set(roster.secrets_of(bus)) == {"url", "secret"}
        assert "127.0.0.1" not in f"{bus.sealed}{bus.settings}"

    def test_nothing_waits_but_what_has_just_happened(self) -> None:
        load()
        waiting = [one for one in told() if one.state not in ("sent", "dead")]
        with EVERYONE.enter():
            moments = dict(AlertEvent.objects.values_list("id", "at"))
        assert all(one.event_id and moments[one.event_id] > NOW - 2 * MINUTE for one in waiting)
        assert {one.state for one in waiting} <= {"pending"}
        assert len(told(state="sent")) > 100

    def test_each_was_told_soon_after_its_event_and_in_its_order(self) -> None:
        load()
        with EVERYONE.enter():
            moments = dict(AlertEvent.objects.values_list("id", "at"))
        past = [one for one in told() if one.done_at]
        for one in past:
            assert one.event_id
            assert one.done_at
            assert one.queued_at == moments[one.event_id]
            assert timedelta(0) < one.done_at - one.queued_at < timedelta(minutes=3)
            assert one.done_at <= NOW
        by_line = sorted(past, key=lambda one: (str(one.channel_id), str(one.alert_id), one.id))
        for _, line in groupby(by_line, key=lambda one: (one.channel_id, one.alert_id)):
            dones = [one.done_at for one in line if one.done_at]
            assert all(one < two for one, two in pairwise(dones))

    def test_every_try_is_in_the_log_and_some_took_several(self) -> None:
        load()
        tries = Counter(one.attempt for one in told() if one.done_at)
        assert tries[1] > 10 * tries[2] / 2 > 0
        assert set(tries) <= {1, 2, 3}
        for one in (one for one in told() if one.done_at):
            there = attempts(one.id)
            assert [each.number for each in there] == list(range(1, one.attempt + 1))
            assert there[-1].at == one.done_at
            assert all(4 <= (two.at - first.at).total_seconds() < 45 for first, two in pairwise(there))
            assert {each.outcome for each in there[:-1]} <= {"server"}
            assert there[-1].outcome == ("sent" if one.state == "sent" else "refused")
            assert all(each.took_ms and 0 < each.took_ms < 3000 for each in there)

    def test_one_was_lost_and_can_be_seen_with_its_words(self) -> None:
        load()
        [lost] = told(state="dead")
        assert (lost.because, lost.event, lost.channel_id) == ("refused", "resolve", made()["On call"].pk)
        assert lost.done_at
        assert NOW - lost.done_at < WEEK
        [tried] = attempts(lost.id)
        assert (tried.status, tried.words) == (400, "The receiver answered 400: it will never take this notice.")

    def test_it_can_be_sent_again(self) -> None:
        load()
        [lost] = told(state="dead")
        assert replays.replay(scope=EVERYONE, ids=[lost.id], now=NOW) == 1
        with Receivers() as there:
            tellers.serve(there.port, datetime.now(UTC))
            drain()
        assert [one.state for one in told(id=lost.id)] == ["sent"]

    @pytest.mark.parametrize("number", range(len(made_up._ENDS)))
    def test_its_words_are_those_of_the_code(self, number: int) -> None:
        end = made_up._ENDS[number]
        if "status" not in end:
            return
        kinds = {400: "refused"} if end["how"] == "refused" else {}
        with pytest.raises(DeliveryError) as error:
            demand_taken(Answer(status=end["status"], headers={}, body=b""), now=NOW, kinds=kinds)  # type: ignore[arg-type]
        assert (error.value.kind, error.value.words) == (end["outcome"], end["words"])

    def test_routes_were_followed(self) -> None:
        load()
        by_name = {one.pk: name for name, one in made().items()}
        with EVERYONE.enter():
            rows = Delivery.objects.filter(event="trigger").values_list("channel_id", "alert__severity")
            pairs = list(rows)
        told_of: dict[str, set[str]] = {}
        for channel_id, severity in pairs:
            told_of.setdefault(by_name[channel_id], set()).add(severity)
        assert told_of["On call"] == {"critical"}
        assert told_of["Platform bus"] == {"critical", "warning", "info"}
        assert "info" not in told_of["#llm-alerts"] | told_of["Service desk"] | told_of["Board room"]

    def test_channels_remember_it(self) -> None:
        load()
        for one in made().values():
            assert one.last_success_at == max(
                each.done_at for each in told(channel=one.pk, state="sent") if each.done_at
            )
        assert made()["Platform bus"].last_failure == "The receiver answered 503: it failed."
        assert all(one.state == "on" and not one.failures for one in made().values())

    @pytest.mark.parametrize("hours", range(0, 24, 5))
    def test_it_is_so_whenever_the_story_is_told(self, hours: int) -> None:
        load(NOW + hours * HOUR)
        assert len(told(state="dead")) == 1
        assert len(told(state="sent")) > 100

    def test_a_name_that_somebody_has_stays_theirs(self) -> None:
        mine = channel("http://127.0.0.1:9/", name="On call")
        load()
        assert "On call (demo)" in made()
        assert channels.the(mine).name == "On call"


@pytest.mark.usefixtures("database")
class TestReceivers:
    def served(self, port: int) -> None:
        tellers.serve(port, datetime.now(UTC))

    def test_what_happens_now_is_told_to_them(self) -> None:
        load()
        with Receivers() as there:
            self.served(there.port)
            raised(datetime.now(UTC))
            drain()
        with EVERYONE.enter():
            [alert] = Alert.objects.filter(alert_type="late")
        found = told(alert=alert.pk)
        assert {(one.state, one.attempt) for one in found} == {("sent", 1)}
        assert len(found) == 3
        answers = {made_name: attempts(one.id)[0] for one in found for made_name, each in made().items()
                   if each.pk == one.channel_id}  # fmt: skip
        assert (answers["#llm-alerts"].status, answers["#llm-alerts"].answer) == (200, "ok")
        assert answers["On call"].status == 202
        assert alert.fingerprint in answers["On call"].answer
        assert answers["Platform bus"].answer == '{"taken":true}'

    def test_the_bus_is_away_now_and_then_and_is_told_again(self) -> None:
        load()
        with Receivers() as there:
            self.served(there.port)
            statuses = []
            for _ in range(2 * receivers.AWAY_EVERY):
                line = http.client.HTTPConnection("127.0.0.1", there.port, timeout=10)
                line.request("POST", "/webhook", b"{}")
                statuses.append(line.getresponse().status)
                line.close()
        assert Counter(statuses) == {200: 2 * receivers.AWAY_EVERY - 2, 503: 2}

    @pytest.mark.parametrize("length", ["-1", "x", "", str(receivers._MOST + 1)])
    def test_odd_requests_are_refused(self, length: str) -> None:
        with Receivers() as there:
            line = http.client.HTTPConnection("127.0.0.1", there.port, timeout=10)
            line.putrequest("POST", "/slack")
            line.putheader("Content-Length", length)
            line.endheaders()
            assert line.getresponse().status == 413
            line.close()

    def test_every_start_has_its_port_and_secrets_stay(self) -> None:
        load()
        before = roster.secrets_of(made()["Platform bus"])["secret"]
        for port in (1234, 4321):
            self.served(port)
            found = made()
            for one in found.values():
                url = urlsplit(
                    {**one.settings, **roster.secrets_of(one)}.get("events_url", roster.secrets_of(one).get("url", ""))
                )
                assert (url.hostname, url.port) == ("127.0.0.1", port)
            assert roster.secrets_of(found["Platform bus"])["secret"] == before

    def test_one_that_somebody_switched_off_or_renamed_stays_so(self) -> None:
        load()
        with EVERYONE.enter():
            roster.switch(channel=made()["Board room"], on=False, now=NOW)
            roster.retire(channel=made()["#llm-alerts"], now=NOW)
            Channel.objects.filter(name="On call").update(name="Whoever")
        self.served(4321)
        assert {name: one.state for name, one in made().items()} == {
            "Board room": "off", "#llm-alerts": "retired", "Whoever": "on", "Platform bus": "on", "Service desk": "on",
        }  # fmt: skip
        assert made()["#llm-alerts"].sealed == ""

    def test_the_demos_process_serves_them(self) -> None:
        run("load", "--hours", "1")
        present = demo._Present(older=False)
        with Receivers() as there:
            present._unserved = there.port
            assert present._step()
            raised(datetime.now(UTC))
            drain()
        assert {one.state for one in told(alert__alert_type="late")} == {"sent"}

    def test_a_demo_of_an_older_version_gets_them_too(self) -> None:
        load()
        made_up.erase(EVERYONE)
        assert made() == {}
        load(NOW + HOUR)
        assert len(made()) == len(TELLERS)
        assert told() == []  # nobody was told of what was there before


@pytest.mark.usefixtures("database")
class TestApart:
    def test_its_channels_call_nothing_but_this_machine(self) -> None:
        load()
        bus = made()["Platform bus"]
        for url in ("https://93.184.215.14/x", "http://10.0.0.1/x", "http://[2606:4700::1]/"):
            with pytest.raises(roster.Unfit), EVERYONE.enter():
                roster.read_settings(TRANSPORTS["webhook"], {"url": url}, client=sending.tools("demo").client)
        sealed = roster.Settings({}, {**roster.secrets_of(bus), "url": "https://93.184.215.14/x"})
        with EVERYONE.enter():
            roster.change_channel(channel=bus, name=bus.name, audience=bus.audience, settings=sealed, now=NOW)
        raised(datetime.now(UTC))
        drain(5.0)
        [found] = told(alert__alert_type="late", channel=bus.pk)
        [tried] = attempts(found.id)
        assert (tried.outcome, tried.status) == ("address", None)

    def test_live_channels_are_told_of_nothing_of_it(self) -> None:
        with Receiver() as receiver:
            mine = channel(receiver.url("/"), name="Mine")
            route(mine)
            load()
            raised(datetime.now(UTC))
            drain(5.0)
            assert receiver.requests == []
        assert deliveries(channel=mine) == []

    def test_demo_channels_are_told_of_nothing_live(self) -> None:
        load()
        before = len(told())
        fire(severity="critical")
        assert len(told()) == before

    def test_no_metric_alert_or_row_of_the_trail_comes_of_it(self) -> None:
        counting.table.clear()
        load()
        with EVERYONE.enter():
            Channel.objects.filter(name="Platform bus").update(sealed="broken")
            connection.cursor().execute("UPDATE alerts_delivery SET attempt = 20 WHERE done_at IS NULL")
        raised(datetime.now(UTC))
        with EVERYONE.enter():
            connection.cursor().execute("UPDATE alerts_delivery SET attempt = 20 WHERE done_at IS NULL")
        drain(5.0)
        dead = told(state="dead", alert__alert_type="late")
        assert len(dead) == 3
        assert rows(Alert, alert_type="delivery_failed") == []
        with EVERYONE.enter():
            assert not AuditEvent.objects.exclude(object_type="alert").exists()
        counting.table.flush(NOW)
        assert not [one for one in current_store().counters(EVERYONE) if one.family in
                    (tallies.DELIVERIES, tallies.DELIVERED_AFTER)]  # fmt: skip

    def test_no_switch_is_pressed_for_it(self) -> None:
        load()
        assert switch.organizations() == []

    def test_clearing_takes_exactly_it(self) -> None:
        mine = channel("http://127.0.0.1:9/", name="Mine")
        own = route(mine)
        fire("before")
        kept = {model: rows(model) for model in (Channel, Route, Delivery, Attempt, Alert)}
        load()
        leg = "INSERT INTO alerts_route_channel (organization_id, route_id, channel_id) VALUES (%s, %s, %s)"
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(leg, [OWN, own, made()["On call"].pk])  # as somebody may have chosen both
        run("clear")
        assert {model: rows(model) for model in kept} == kept
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT route_id, channel_id FROM alerts_route_channel")
            assert cursor.fetchall() == [(own, mine)]
        assert tellers.clear() == 0

    def test_it_is_gone_while_something_of_it_is_being_sent(self) -> None:
        load()
        raised(datetime.now(UTC))
        stopped: list[Any] = []

        def send(claimed: Any) -> Any:
            run("clear")
            stopped.append(claimed)
            return sending.send(claimed)

        from alerts.dispatching import Dispatcher

        assert Dispatcher(threads=1, send=send).drain(10.0) >= 1
        assert stopped
        assert told() == []
        assert made() == {}

    def test_in_a_transaction_with_its_alerts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(made_up, "tell_past", broken)
        with pytest.raises(RuntimeError, match="broken"):
            load()
        assert rows(Alert) == []
        assert told() == []
