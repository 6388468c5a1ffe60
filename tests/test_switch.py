"""The dead-man's switch: pressed over HTTP by ourselves alone, it goes the way of all alerts and leaves none behind."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core import signing
from django.test import Client
from django.test.testcases import LiveServerThread
from django.utils import timezone

from alerts import settling, switch, tallies, tasks
from alerts.models import Alert, AlertEvent, Channel
from bedrock.slots import Slot
from monitoring.counting import table
from monitoring.store import current_store
from organizations.models import AuditEvent
from tests import channels
from tests.channels import EVERYONE, OTHER, OWN, channel, deliveries, drain, due_now, events, fire, route
from tests.receiver import Receiver, Request, Step, answer

URL = "http://127.0.0.1:9/beat"


pytestmark = pytest.mark.usefixtures("local_channels")


def heart(url: str = URL, **more: Any) -> UUID:
    return channel(url, kind="heartbeat", **more)


def press(text: str | None) -> Any:
    headers = {} if text is None else {switch.HEADER: text}
    return Client(raise_request_exception=False).generic(
        "POST", switch.PATH, b"{}", "application/json", headers=headers
    )


def left_behind() -> dict[str, int]:
    with EVERYONE.enter():
        return {model.__name__: model.objects.count() for model in (Alert, AlertEvent)} | {
            "fired": AuditEvent.objects.filter(object_type="alert").count()
        }


class TestPressed:
    def test_it_leaves_one_delivery_a_switch_and_nothing_else(self) -> None:
        hearts = {heart(), heart()}
        route(channel(URL), heart(state="off"), channel(URL, kind="heartbeat", state="failed"))
        answered = press(switch.sign(OWN))
        assert (answered.status_code, answered.json()) == (202, {"switches": 2})
        assert {one.channel_id for one in deliveries()} == hearts
        assert events(deliveries()) == [("pulse", "pending")] * 2
        assert left_behind() == {"Alert": 0, "AlertEvent": 0, "fired": 0}

    def test_it_is_raised_as_any_alert_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What keeps alerts from being stored keeps the switch from being pressed."""
        heart()
        monkeypatch.setattr(
            switch.lifecycle, "fire", lambda **_: (_ for _ in ()).throw(RuntimeError("no alerts today"))
        )
        assert press(switch.sign(OWN)).status_code == 500
        assert deliveries() == []

    def test_real_alerts_are_told_beside_it(self) -> None:
        to = channel(URL)
        route(to)
        heart()
        alert = fire().state.id
        press(switch.sign(OWN))
        assert events(deliveries(channel=to)) == [("trigger", "pending")]
        with EVERYONE.enter():
            assert Alert.objects.get().pk == alert

    def test_it_is_of_one_organization(self) -> None:
        heart()
        there = heart(organization=OTHER)
        assert press(switch.sign(OTHER)).json() == {"switches": 1}
        assert [one.channel_id for one in deliveries()] == [there]

    def test_a_newer_one_drops_the_older(self) -> None:
        heart()
        for _ in range(3):
            press(switch.sign(OWN))
        assert [(one.state, one.because) for one in deliveries()] == [
            ("skipped", "newer"), ("skipped", "newer"), ("pending", "")
        ]  # fmt: skip

    def test_one_that_is_being_sent_is_left_to_its_sender(self) -> None:
        with Receiver() as receiver:
            heart(receiver.url())
            press(switch.sign(OWN))
            drain()
            press(switch.sign(OWN))
            drain()
            assert events(deliveries()) == [("pulse", "sent")] * 2
            assert [json.loads(one.body)["type"] for one in receiver.requests] == ["cockpit.pulse"] * 2

    def test_it_is_not_counted_among_notices(self) -> None:
        table.clear()
        with Receiver() as receiver:
            heart(receiver.url())
            press(switch.sign(OWN))
            drain()
        assert events(deliveries()) == [("pulse", "sent")]
        table.flush(datetime.now(UTC))
        found = current_store().counters(EVERYONE, families=[tallies.DELIVERIES, f"{tallies.DELIVERED_AFTER}_count"])
        assert list(found) == []

    def test_no_switch_is_no_error(self) -> None:
        assert press(switch.sign(OWN)).json() == {"switches": 0}


class TestWhoMay:
    @pytest.mark.parametrize(
        "text",
        [None, "", OWN, f"{OWN}:x:y", "\u00e9", "x" * 5000, signing.TimestampSigner(salt="another").sign(OWN),
         signing.Signer(salt="alerts.switch.1").sign(OWN)],
        ids=["none", "empty", "bare", "garbled", "odd", "long", "another salt", "no time"],
    )  # fmt: skip
    def test_nobody_without_our_signature(self, text: str | None) -> None:
        heart()
        refused = press(text)
        assert refused.status_code == 403
        assert refused["Content-Type"] == "application/problem+json"
        assert deliveries() == []

    def test_nobody_with_a_signature_for_another(self) -> None:
        heart()
        assert press(switch.sign(OTHER).replace(OTHER, OWN)).status_code == 403

    def test_nobody_with_an_old_one(self) -> None:
        heart()
        signer = signing.TimestampSigner(salt="alerts.switch.1")
        signer.timestamp = lambda: signing.b62_encode(int(datetime.now(UTC).timestamp()) - 61)  # type: ignore[method-assign]
        assert press(signer.sign(OWN)).status_code == 403
        signer.timestamp = lambda: signing.b62_encode(int(datetime.now(UTC).timestamp()) - 50)  # type: ignore[method-assign]
        assert press(signer.sign(OWN)).status_code == 202

    def test_no_key_and_no_session(self, make_key: Any, make_person: Any) -> None:
        client = Client(raise_request_exception=False)
        client.force_login(make_person("ada", administrator=True))
        headers = {"authorization": f"Bearer {make_key()}"}
        assert client.post(switch.PATH, {}, "application/json", headers=headers).status_code == 403

    def test_a_signature_for_nobody_presses_nothing(self) -> None:
        heart()
        assert press(switch.sign("nobody_at_all")).status_code < 500
        assert deliveries() == []


def web(monkeypatch: pytest.MonkeyPatch, settings: Any, receiver: Receiver) -> None:
    """The web process is that receiver."""
    settings.WEB_URL, settings.ALLOWED_HOSTS = receiver.url("").rstrip("/"), ["cockpit.example", "localhost"]


class TestPressing:
    def test_the_web_process_is_asked_by_a_name_it_serves(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        with Receiver([answer(202, b'{"switches": 1}')]) as receiver:
            web(monkeypatch, settings, receiver)
            switch.press([OWN, OTHER])
            first, second = receiver.requests
        assert (first.method, first.path) == ("POST", switch.PATH)
        assert first.headers["host"] == f"cockpit.example:{receiver.port}"
        assert [switch.signed(one.headers["x-cockpit-pulse"]) for one in (first, second)] == [OWN, OTHER]

    @pytest.mark.parametrize("said", [answer(503), answer(403), answer(200), answer(302)])
    def test_what_is_not_taken_is_an_error(self, said: Step, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        with Receiver([said]) as receiver:
            web(monkeypatch, settings, receiver)
            with pytest.raises(RuntimeError, match=OWN):
                switch.press([OWN])

    def test_a_web_process_that_is_away_is_an_error(self, settings: Any) -> None:
        settings.WEB_URL = "http://127.0.0.1:9"
        with pytest.raises(RuntimeError, match=OWN):
            switch.press([OWN])

    def test_one_that_fails_keeps_no_other_from_being_pressed(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        def say(request: Request) -> Step:
            return answer(500 if switch.signed(request.headers["x-cockpit-pulse"]) == OWN else 202)

        with Receiver(say) as receiver:
            web(monkeypatch, settings, receiver)
            with pytest.raises(RuntimeError, match=f"{OWN}: 500") as raised:
                switch.press([OWN, OTHER])
            assert len(receiver.requests) == 2
        assert OTHER not in str(raised.value)

    def test_only_organizations_with_a_switch_are_asked_for(self) -> None:
        assert switch.organizations() == []
        heart()
        heart(organization=OTHER, state="failed")
        assert switch.organizations() == [OWN]


class TestEveryMinute:
    @pytest.fixture
    def pressed(self, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
        found: list[datetime] = []
        monkeypatch.setattr(switch, "press", lambda slugs: found.append(timezone.now()))
        return found

    def test_a_beat_presses_once_however_often_it_is_told(self, pressed: list[datetime]) -> None:
        now = datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC)
        self.beat(now, now, now + timedelta(seconds=5))
        assert len(pressed) == 1

    @pytest.mark.parametrize("late", [(0.03, -0.01), (29.99, -0.02), (59.9, -0.3), (0.0, 0.0), (30.01, -5)])
    def test_no_minute_is_left_out_when_a_worker_is_a_little_late(
        self, pressed: list[datetime], late: tuple[float, float]
    ) -> None:
        """Beats are a minute apart, and are taken up sooner or later: none may seem to be the one before."""
        first = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC) + timedelta(seconds=late[0])
        self.beat(*(first + timedelta(minutes=number, seconds=late[1] * (number % 2)) for number in range(6)))
        assert len(pressed) == 6

    def test_one_that_failed_may_be_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(slugs: Any) -> None:
            raise RuntimeError("away")

        monkeypatch.setattr(switch, "press", fail)
        with pytest.raises(RuntimeError):
            tasks.pulse()
        assert not Slot.objects.filter(task="pulse").exists()

    @staticmethod
    def beat(*moments: datetime) -> None:
        real = tasks.timezone.now
        try:
            for moment in moments:
                tasks.timezone.now = lambda moment=moment: moment  # type: ignore[assignment,misc]
                tasks.pulse()
        finally:
            tasks.timezone.now = real  # type: ignore[assignment]


class TestOutside:
    def test_a_failing_url_is_tried_with_the_newest_only(self) -> None:
        with Receiver([answer(503), answer(503), answer(200)]) as receiver:
            heart(receiver.url())
            for _ in range(3):
                press(switch.sign(OWN))
                due_now()
                drain()
            assert len(receiver.requests) == 3
        assert events(deliveries()) == [("pulse", "skipped"), ("pulse", "skipped"), ("pulse", "sent")]

    def test_a_wrong_url_is_told_of_by_another_road(self) -> None:
        """Each pulse is replaced by the next before it is given up."""
        other = channel(URL)
        with Receiver([answer(404), answer(404), answer(404), answer(200)]) as outside:
            to = heart(outside.url())
            for minutes in (0, 4, 5):
                with EVERYONE.enter():
                    Channel.objects.filter(pk=to).update(created_at=timezone.now() - timedelta(minutes=minutes))
                press(switch.sign(OWN))
                channels.rest_over(to)
                drain()
                told = deliveries(channel=other, event="trigger")
                assert bool(told) == (timedelta(minutes=minutes) >= settling.MISSED)
            press(switch.sign(OWN))
            channels.rest_over(to)
            drain()
        assert events(deliveries(channel=other)) == [("trigger", "pending"), ("resolve", "pending")]

    def test_it_is_told_of_no_alert(self) -> None:
        with Receiver() as receiver:
            to = heart(receiver.url())
            route(to)
            fire()
            drain()
            assert receiver.requests == []


@pytest.fixture
def live(settings: Any) -> Iterator[str]:
    """Our own web process, in a thread."""
    settings.ALLOWED_HOSTS = ["localhost"]
    server = LiveServerThread("127.0.0.1", StaticFilesHandler)
    server.daemon = True
    server.start()
    server.is_ready.wait(20)
    settings.WEB_URL = f"http://127.0.0.1:{server.port}"
    yield settings.WEB_URL
    server.terminate()


def test_the_whole_way_from_the_beat_to_the_url_outside(live: str) -> None:
    with Receiver() as receiver:
        heart(receiver.url("/beat"))
        tasks.pulse()
        drain()
        [request] = receiver.requests
    told = json.loads(request.body)
    assert (request.path, told["type"], told["organization"]) == ("/beat", "cockpit.pulse", OWN)
    assert left_behind() == {"Alert": 0, "AlertEvent": 0, "fired": 0}
