"""The stream over real processes: told at once, only of one's own, until the key is revoked or the process stops."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import psycopg
import pytest

from cockpit.embedded.places import Places
from tests.house import ROOT, House, house
from tests.servers import await_true, clean_environment


class Ear:
    """Listens to a stream in a thread; `events` holds (time, name, data, id) of each."""

    def __init__(self, port: int, key: str, organization: str = "", last: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        query = f"?organization={organization}" if organization else ""
        headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", f"/api/monitoring/stream{query}", headers=headers)
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.kind = self.response.headers["Content-Type"]
        self.events: list[tuple[float, str, Any, str]] = []
        self.ended = False
        if self.status == 200:
            Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        found: dict[str, str] = {}
        with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            for line in self.response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    found[name] = value
                elif "event" in found:
                    data = json.loads(found["data"])
                    self.events.append((time.monotonic(), found["event"], data, found.get("id", "")))
                    found = {}
        self.ended = True

    def close(self) -> None:
        """From outside the reading thread, which holds the response until it hears something."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def names(self) -> list[str]:
        return [event[1] for event in self.events]


@contextmanager
def listening(*arguments: Any, **more: Any) -> Iterator[Ear]:
    ear = Ear(*arguments, **more)
    try:
        yield ear
    finally:
        ear.close()


def settle(ear: Ear) -> int:
    """Wait until the first words (all stale) are said and nothing more comes; how many events that were."""
    assert await_true(lambda: ear.events, 5)
    time.sleep(1.5)
    return len(ear.events)


def test_news_are_told_within_two_seconds_and_to_nobody_else(cockpit: House) -> None:
    with (
        listening(cockpit.port, cockpit.keys["swaggystacks"]) as own,
        listening(cockpit.port, cockpit.keys["scientia_capital"]) as other,
    ):
        assert own.kind.startswith("text/event-stream")
        heard, unheard = settle(own), settle(other)
        began = time.monotonic()
        cockpit.post({"modelName": "news", "durationMs": 1})
        assert await_true(lambda: len(own.events) > heard, 5)
        at, name, data, identifier = own.events[heard]
        assert at - began <= 2
        assert name == "stale"
        assert "latency" in data["panels"]
        assert data["asOf"].endswith("Z")
        assert int(identifier) > 0
        assert len(other.events) == unheard


def test_who_comes_back_hears_only_what_was_missed(cockpit: House) -> None:
    key = cockpit.keys["swaggystacks"]
    with listening(cockpit.port, key) as ear:
        heard = settle(ear)
        cockpit.post({"modelName": "numbered", "durationMs": 1})
        assert await_true(lambda: len(ear.events) > heard, 5)
        time.sleep(1.5)
        last = ear.events[-1][3]
    with listening(cockpit.port, key, last="0") as missed:
        assert await_true(lambda: missed.names() == ["stale"], 5)
    with listening(cockpit.port, key, last=last) as nothing_missed:
        time.sleep(2)
        assert nothing_missed.events == []
    for garbage in ("x", "9" * 40, "-1"):
        with listening(cockpit.port, key, last=garbage) as ear:
            assert await_true(lambda ear=ear: ear.names() == ["stale"], 5)  # type: ignore[misc]


def test_another_organization_is_404(cockpit: House) -> None:
    for organization in ("scientia_capital", "nobody"):
        with listening(cockpit.port, cockpit.keys["swaggystacks"], organization) as ear:
            assert ear.status == 404


def test_a_revoked_key_hears_no_more(cockpit: House) -> None:
    given = ["--organization", "swaggystacks", "--scopes", "dashboard:read", "--name", "to be revoked"]
    done = subprocess.run(
        [sys.executable, "manage.py", "apikey", "create", *given],
        cwd=ROOT, env=clean_environment(COCKPIT_DATA_DIR=str(cockpit.data_dir)), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    with listening(cockpit.port, done.stdout.strip()) as ear:
        settle(ear)
        admin = psycopg.conninfo.make_conninfo(Places.of(cockpit.data_dir).admin_url, dbname="cockpit")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("UPDATE organizations_apikey SET revoked_at = now() WHERE name = 'to be revoked'")
        began = time.monotonic()
        assert await_true(lambda: ear.ended, 5)
        assert time.monotonic() - began <= 1.5
        assert ear.names()[-1] == "bye"


def test_one_caller_has_its_cap(cockpit: House) -> None:
    ears = [Ear(cockpit.port, cockpit.keys["shared"]) for _ in range(21)]
    try:
        assert [ear.status for ear in ears] == [200] * 20 + [429]
        assert ears[-1].response.headers["Retry-After"]
    finally:
        for ear in ears:
            ear.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_are_told_goodbye_and_do_not_hold_the_stop(number: int) -> None:
    with house() as cockpit:
        ears = [Ear(cockpit.port, cockpit.keys[name]) for name in cockpit.keys for _ in range(10)]
        for ear in ears:
            settle(ear) if ear is ears[0] else None
        began = time.monotonic()
        cockpit.process.send_signal(number)
        cockpit.process.wait(20)
        assert time.monotonic() - began < 10
        assert await_true(lambda: all(ear.ended for ear in ears), 5)
        assert all(ear.names()[-1] == "bye" for ear in ears)


def test_without_the_broker_everything_counts_as_stale(cockpit: House) -> None:
    with listening(cockpit.port, cockpit.keys["swaggystacks"]) as ear:
        heard = settle(ear)
        valkey = next(child for child in cockpit.process.children() if "valkey" in " ".join(child.cmdline()))
        valkey.kill()
        assert await_true(lambda: len(ear.events) > heard, 5)
        assert ear.names()[-1] == "stale"
        time.sleep(3)  # the supervisor has it back by now
        heard = settle(ear)
        cockpit.post({"modelName": "after the break", "durationMs": 1})
        assert await_true(lambda: len(ear.events) > heard, 5)
