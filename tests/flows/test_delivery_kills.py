"""Told for certain, over real processes that are killed and stopped: nothing that was acknowledged is lost or late.

One house for all of it; every test has an address of its own at one receiver, to which its alerts alone lead.
"""

import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg
import pytest
import redis

from cockpit.embedded.places import Places
from tests.house import ROOT, House, house
from tests.receiver import Receiver, Request, Step, answer, hang
from tests.servers import await_true, clean_environment

POINTS = ("delivery.claiming", "delivery.claimed", "delivery.sending", "delivery.sent", "delivery.settling",
          "delivery.settled")  # fmt: skip
NAMES = ("calm", "hanging", "killed", "stopped", "broker", "beat", "storm")
ALERTS, KILLS = 300, 30
ADDRESS = "/api/monitoring/alerts"
MAKE = """
from datetime import UTC, datetime
from alerts import roster, routes, sending
from alerts.channels import TRANSPORTS
from alerts.models import Channel
from organizations.scope import Scope
with Scope.of("swaggystacks").enter():
    for name in {names!r}:
        settings = roster.read_settings(
            TRANSPORTS["webhook"], {{"url": {address!r} + name}}, client=sending._CLIENTS["live"])
        common = dict(organization="swaggystacks", name=name, now=datetime.now(UTC), by="tests")
        made = roster.create_channel(kind="webhook", audience="developer", settings=settings, **common)
        Channel.objects.filter(pk=made).update(at_once=50)
        routes.save_route(channels=[made], alert_types=[name + "-*"], **common)
"""


@dataclass
class Ears:
    """The receiver: what each address does with a request, and what it heard."""

    receiver: Receiver = field(init=False)
    scripts: dict[str, Callable[[Request], Step]] = field(default_factory=dict)

    def take(self, request: Request) -> Step:
        return self.scripts.get(request.path, lambda _: answer())(request)

    def heard(self, name: str) -> list[Request]:
        return [one for one in self.receiver.requests if one.path == f"/{name}"]

    def lines(self, name: str) -> dict[str, list[tuple[str, str]]]:
        """What came of each alert: the id of the notice, and what it says."""
        found: dict[str, list[tuple[str, str]]] = {}
        for one in self.heard(name):
            body = json.loads(one.body)
            line = found.setdefault(body["data"]["dedupKey"], [])
            line.append((one.headers["webhook-id"], body["type"].removeprefix("alert.")))
        return found


@pytest.fixture(scope="module")
def ears() -> Iterator[Ears]:
    found = Ears()
    with Receiver(found.take) as found.receiver:
        yield found


@pytest.fixture(scope="module")
def place(ears: Ears) -> Iterator[House]:
    allowed = f"127.0.0.1:{ears.receiver.port}"
    with house(OUTGOING_ALLOWED=allowed, WEB_WORKERS="2", RATE_LIMIT_PER_MINUTE="1000000") as running:
        environment = environment_of(running, OUTGOING_ALLOWED=allowed)
        program = MAKE.format(names=NAMES, address=ears.receiver.url("/"))
        command = [sys.executable, "manage.py", "shell", "-c", program]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)
        yield running


def environment_of(running: House, **more: str) -> dict[str, str]:
    return clean_environment(COCKPIT_DATA_DIR=str(running.data_dir), DEMO="0", LOG_LEVEL="warning", **more)


class Door:
    """Asks the API until it is answered, as a client does that means it."""

    def __init__(self, running: House) -> None:
        self.port, self.key = running.port, running.keys["swaggystacks"]

    def raise_alert(self, kind: str) -> str:
        body = {"alertType": kind, "severity": "critical", "message": f"{kind} is wrong"}
        return str(self.certainly("POST", ADDRESS, body, {"Idempotency-Key": kind})["id"])

    def resolve(self, identifier: str) -> None:
        self.certainly("PUT", f"{ADDRESS}/{identifier}/resolve", None, {})

    def certainly(self, method: str, path: str, body: Any, more: dict[str, str]) -> Any:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError, http.client.HTTPException):
                status, told = self.ask(method, path, body, more)
                if status not in (429, 503):
                    assert status in (200, 201), (status, told[:300])
                    return json.loads(told)
            time.sleep(0.2)
        raise AssertionError(f"{path} is not answered")

    def ask(self, method: str, path: str, body: Any, more: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **more}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@contextmanager
def database(running: House) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(Places.of(running.data_dir).admin_url, dbname="cockpit", autocommit=True) as admin:
        yield admin


def states(running: House, name: str) -> Counter[str]:
    with database(running) as admin:
        rows = admin.execute(
            "SELECT delivery.state, count(*) FROM alerts_delivery AS delivery JOIN alerts_channel AS channel "
            "ON channel.id = delivery.channel_id WHERE channel.name = %s GROUP BY delivery.state", [name]
        ).fetchall()  # fmt: skip
    return Counter(dict(rows))


def all_sent(running: House, name: str, number: int, seconds: float) -> None:
    assert await_true(lambda: states(running, name) == {"sent": number}, seconds), states(running, name)


def processes(running: House, *signs: str) -> list[psutil.Process]:
    """Those of the house whose command line has one of these signs."""
    found = []
    for child in running.process.children(recursive=True):
        with suppress(psutil.Error):
            if any(sign in " ".join(child.cmdline()) for sign in signs):
                found.append(child)
    return found


@contextmanager
def stopped(found: Sequence[psutil.Process]) -> Iterator[None]:
    assert found
    for process in found:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@contextmanager
def dispatchers(running: House, ears: Ears, number: int, *points: str, signal_: str = "SIGKILL") -> Iterator[
    list[subprocess.Popen[bytes]]
]:  # fmt: skip
    """Some of our own beside the house's; each ends or stops itself at its point, where one is named."""
    allowed = f"127.0.0.1:{ears.receiver.port}"
    chosen = [{"FAILPOINT": point, "FAILPOINT_SIGNAL": signal_, "DJANGO_SETTINGS_MODULE": "tests.failing_settings"}
              for point in points] or [{}] * number  # fmt: skip
    started = [start(environment_of(running, OUTGOING_ALLOWED=allowed, **more)) for more in chosen]
    try:
        with database(running) as admin:  # they listen once they are at work
            assert await_true(lambda: listening(admin) >= len(started), 60)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "manage.py", "dispatch"], cwd=ROOT, env=environment)


def listening(admin: psycopg.Connection[Any]) -> int:
    """How many dispatchers listen, but the house's own."""
    found = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN cockpit_outbox'").fetchone()
    return (found or (0,))[0] - 1


def check_order(lines: dict[str, list[tuple[str, str]]], alerts: int) -> None:
    """Each alert once, its beginning before its end; what comes again is the same notice, and never after the next."""
    assert len(lines) == alerts
    for line in lines.values():
        merged = [one for one, _ in itertools.groupby(line)]
        assert [what for _, what in merged] == ["triggered", "resolved"], line


@pytest.mark.timeout(120)
def test_alerts_arrive_at_once(place: House, ears: Ears) -> None:
    door, took = Door(place), []
    for number in range(120):
        began, before = time.monotonic(), len(ears.heard("calm"))
        door.raise_alert(f"calm-{number}")
        assert await_true(lambda: len(ears.heard("calm")) > before, 20)  # noqa: B023
        took.append(ears.heard("calm")[-1].at - began)
    took = sorted(took[20:])  # each worker of the web loads its pages at its first request
    print(f"POST to first attempt: median {took[50] * 1000:.0f} ms, p99 {took[98] * 1000:.0f} ms")  # noqa: T201
    assert took[98] < 5.0
    all_sent(place, "calm", 120, 20)


@pytest.mark.timeout(120)
def test_a_dispatcher_that_is_told_to_end_gives_back_what_hangs(place: House, ears: Ears) -> None:
    ears.scripts["/hanging"] = lambda _: hang()
    with stopped(processes(place, "manage.py dispatch")):
        with dispatchers(place, ears, 1) as [process]:
            Door(place).raise_alert("hanging-1")
            assert await_true(lambda: len(ears.heard("hanging")) == 1, 20)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert time.monotonic() - began < 15.0
        ears.scripts.pop("/hanging")
    all_sent(place, "hanging", 1, 30)
    [line] = ears.lines("hanging").values()
    assert len(line) >= 2
    assert len(set(line)) == 1, "under the same name"


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["killed", pytest.param("stopped", marks=pytest.mark.long)])
def test_at_every_point_the_next_one_goes_on(place: House, ears: Ears, name: str) -> None:
    """Six dispatchers at once, each of which ends (or stands still for longer than a lease) at a point of its own."""
    number, door = {"killed": "SIGKILL", "stopped": "SIGSTOP"}[name], Door(place)
    ears.scripts[f"/{name}"] = lambda _: answer(delay=0.05)  # so that there is something for each of them
    own = processes(place, "manage.py dispatch")
    with stopped(own), dispatchers(place, ears, 0, *POINTS, signal_=number) as started:
        raised: list[str] = []

        def all_over() -> bool:
            """Each has come to its point; else there is something more to do for those that have not."""
            if not all(over(process, name) for process in started) and len(raised) < 150:
                raised.append(door.raise_alert(f"{name}-{len(raised)}"))
                if len(raised) % 2:
                    door.resolve(raised[len(raised) // 2])
                return False
            return all(over(process, name) for process in started)

        assert await_true(all_over, 90), [over(process, name) for process in started]
        for one in raised:
            door.resolve(one)
        for process in own:
            process.send_signal(signal.SIGCONT)
        all_sent(place, name, 2 * len(raised), 60)
        heard = len(ears.heard(name))
        for process in started if name == "stopped" else ():
            process.send_signal(signal.SIGCONT)  # now each says what it had to say, and sends what it had to send
        time.sleep(3.0 if name == "stopped" else 0)  # and nobody should hear of it
        assert len(ears.heard(name)) == heard
    assert states(place, name) == {"sent": 2 * len(raised)}
    check_order(ears.lines(name), len(raised))
    if name == "killed":
        assert {process.returncode for process in started} == {-signal.SIGKILL}


def over(process: subprocess.Popen[bytes], name: str) -> bool:
    """Whether it has come to its point."""
    if name == "killed":
        return process.poll() is not None
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


@pytest.mark.timeout(120)
def test_a_broker_that_is_away_changes_nothing(place: House, ears: Ears) -> None:
    door, numbers = Door(place), itertools.count()

    def arrives(seconds: float) -> None:
        number = next(numbers)
        door.raise_alert(f"broker-{number}")
        assert await_true(lambda: len(ears.heard("broker")) == number + 1, seconds), "not told in time"

    servers = [one for one in processes(place, "valkey-server", "redis-server") if one.status() != "zombie"]
    with stopped(servers):
        arrives(10)
    redis.Redis.from_url(Places.of(place.data_dir).redis_url).flushall()
    arrives(10)
    for server in servers:
        server.kill()
    arrives(10)
    assert await_true(lambda: processes(place, "valkey-server", "redis-server"), 30)
    arrives(10)
    all_sent(place, "broker", 4, 20)


@pytest.mark.timeout(120)
def test_the_heartbeat_tells_while_no_dispatcher_does(place: House, ears: Ears) -> None:
    door = Door(place)
    with stopped(processes(place, "manage.py dispatch")):
        raised = [door.raise_alert(f"beat-{number}") for number in range(5)]
        for one in raised:
            door.resolve(one)
        assert await_true(lambda: len(ears.heard("beat")) >= 10, 60)
    all_sent(place, "beat", 10, 30)
    check_order(ears.lines("beat"), 5)


class Storm(threading.Thread):
    """Raises and resolves its share of the alerts, each until it is answered."""

    def __init__(self, running: House, numbers: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self.door, self.numbers = Door(running), numbers
        self.failure: BaseException | None = None
        self.done = 0

    def run(self) -> None:
        try:
            for number in self.numbers:
                self.door.resolve(self.door.raise_alert(f"storm-{number}"))
                self.done += 1
                time.sleep(0.1)
        except BaseException as error:
            self.failure = error


@pytest.mark.timeout(240)
def test_nothing_is_lost_while_everything_is_killed(place: House, ears: Ears) -> None:
    """Dispatchers most of all, which are replaced at once; and the web's workers and Celery's."""
    chance, seen, lock = random.Random(6), Counter[str](), threading.Lock()

    def moody(request: Request) -> Step:
        """One in twenty is not taken the first time."""
        with lock:
            seen[request.headers["webhook-id"]] += 1
            refuses = seen[request.headers["webhook-id"]] == 1 and chance.random() < 0.05
            seen["refused"] += refuses
        return answer(503 if refuses else 200, delay=0.02)

    ears.scripts["/storm"] = moody
    allowed = f"127.0.0.1:{ears.receiver.port}"
    storms = [Storm(place, range(first, ALERTS, 4)) for first in range(4)]
    with dispatchers(place, ears, 2) as own:
        for storm in storms:
            storm.start()
        kills: Counter[str] = Counter()
        while kills.total() < KILLS:
            what = ("own", "own", "web", "own", "house", "own", "worker")[kills.total() % 7]
            if what == "own":
                place_of = kills.total() % 2
                own[place_of].kill()
                own[place_of].wait()
                own[place_of] = start(environment_of(place, OUTGOING_ALLOWED=allowed))
            else:
                kill_one(place, what, chance)
            kills[what] += 1
            time.sleep(chance.uniform(0.3, 0.8))
        for storm in storms:
            storm.join(120)
            assert storm.failure is None, storm.failure
        all_sent(place, "storm", 2 * ALERTS, 90)
    lines = ears.lines("storm")
    check_order(lines, ALERTS)
    again = sum(len(line) - 2 for line in lines.values()) - seen["refused"]
    print(f"{dict(kills)}, {again} notices came again")  # noqa: T201
    with database(place) as admin:
        alerts = admin.execute("SELECT count(*), count(DISTINCT fingerprint) FROM alerts_alert "
                               "WHERE alert_type LIKE 'storm-%' AND status = 'resolved'").fetchone()  # fmt: skip
    assert alerts == (ALERTS, ALERTS)


def kill_one(running: House, what: str, chance: random.Random) -> None:
    """A process of the house, if it runs just now: a worker of the web, one of Celery, or the dispatcher."""
    if what == "web":
        masters = processes(running, "granian")
        found = [child for child in masters if any(other.pid == child.ppid() for other in masters)]
    else:
        found = processes(running, "manage.py dispatch" if what == "house" else " worker ")
    with suppress(psutil.NoSuchProcess, IndexError):
        os.kill(chance.choice(found).pid, signal.SIGKILL)
