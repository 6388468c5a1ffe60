"""The dead-man's switch over real processes: pressed every minute by itself, silent when the road of alerts is cut."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.house import ROOT, House, house
from tests.receiver import Receiver
from tests.servers import await_true, clean_environment

MAKE = """
from datetime import UTC, datetime
from alerts import roster, sending
from alerts.channels import TRANSPORTS
from organizations.scope import Scope
with Scope.of("scientia_capital").enter():
    settings = roster.read_settings(TRANSPORTS["heartbeat"], {{"url": {url!r}}}, client=sending._CLIENTS["live"])
    roster.create_channel(organization="scientia_capital", kind="heartbeat", name="outside", audience="developer",
                          settings=settings, now=datetime.now(UTC), by="tests")
"""
PRESS = "from alerts import switch; switch.press(switch.organizations())"


@pytest.fixture(scope="module")
def outside() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def place(outside: Receiver) -> Iterator[House]:
    with house(OUTGOING_ALLOWED=f"127.0.0.1:{outside.port}") as running:
        shell(running, outside, MAKE.format(url=outside.url("/beat")))
        yield running


def shell(running: House, outside: Receiver, program: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(COCKPIT_DATA_DIR=str(running.data_dir), DEMO="0", PORT=str(running.port),
                                    OUTGOING_ALLOWED=f"127.0.0.1:{outside.port}")  # fmt: skip
    command = [sys.executable, "manage.py", "shell", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def command_of(process: psutil.Process) -> str:
    """ "" of one that has ended: Postgres' own workers come and go."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


@contextmanager
def stopped(running: House, signs: Sequence[str]) -> Iterator[None]:
    found = [child for child in running.process.children(recursive=True)
             if any(sign in command_of(child) for sign in signs)]  # fmt: skip
    assert len(found) >= len(signs)
    for process in found:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@pytest.mark.timeout(200)
def test_it_is_pressed_by_itself(place: House, outside: Receiver) -> None:
    [first, *_] = outside.await_requests(1, 130)
    told = json.loads(first.body)
    assert (first.path, told["type"], told["organization"]) == ("/beat", "cockpit.pulse", "scientia_capital")
    assert place.get("alerts", "scientia_capital")["alerts"] == []


@pytest.mark.timeout(120)
def test_it_goes_out_while_alerts_would(place: House, outside: Receiver) -> None:
    """Without a dispatcher the heartbeat sends, some seconds later; without both nobody does, and nothing is heard."""
    with stopped(place, ["manage.py dispatch", "cockpit worker "]):
        before = len(outside.requests)
        shell(place, outside, PRESS)
        assert not await_true(lambda: len(outside.requests) > before, 8)
    outside.await_requests(before + 1, 30)
    with stopped(place, ["manage.py dispatch"]):
        before = len(outside.requests)
        shell(place, outside, PRESS)
        outside.await_requests(before + 1, 40)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("sign", ["cockpit beat ", "cockpit worker "])
def test_it_is_silent_when_nobody_presses_it(place: House, outside: Receiver, sign: str) -> None:
    with stopped(place, [sign]):
        before = len(outside.requests)
        assert not await_true(lambda: len(outside.requests) > before + 1, 120)  # one may have been under way
    outside.await_requests(before + 1, 130)
