"""Told for certain, over real processes that are killed and stopped: nothing that was acknowledged is lost or late.

One house for all of it; every test has an address of its own at one receiver, to which its alerts alone lead.
"""

import http.client
import itertools
import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg
import pytest
import redis

from alerts.channels import TRANSPORTS
from cockpit.embedded.places import Places
from tests.house import ROOT, House, house
from tests.receiver import Receiver, Request, Step, answer, hang
from tests.servers import await_true, clean_environment, living

POINTS = ("delivery.claiming", "delivery.claimed", "delivery.sending", "delivery.sent", "delivery.settling",
          "delivery.settled")  # fmt: skip
SHIPPED = TRANSPORTS["webhook"].at_once
# Name, what the types of its alerts begin with, and how many at once: so many that some are left for each dispatcher.
CHANNELS = (*((name, name, 50) for name in ("calm", "hanging", "killed", "stopped", "broker", "beat", "storm")),
            ("healthy", "beside", SHIPPED), ("hung", "beside", SHIPPED))  # fmt: skip
ALERTS, KILLS = 300, 30
TURNS = ("dispatch", "web", "dispatch", "worker", "dispatch")
ADDRESS = "/api/monitoring/alerts"
MAKE = """
from datetime import UTC, datetime
from alerts import roster, routes, sending
from alerts.channels import TRANSPORTS
from alerts.models import Channel
from organizations.scope import Scope
with Scope.of("swaggystacks").enter():
    for name, kinds, at_once in {channels!r}:
        settings = roster.read_settings(
            TRANSPORTS["webhook"], {{"url": {address!r} + name}}, client=sending._CLIENTS["live"])
        common = dict(organization="swaggystacks", name=name, now=datetime.now(UTC), by="tests")
        made = roster.create_channel(kind="webhook", audience="developer", settings=settings, **common)
        Channel.objects.filter(pk=made).update(at_once=at_once)
        routes.save_route(channels=[made], alert_types=[kinds + "-*"], **common)
"""
SWITCH_OFF = """
from datetime import UTC, datetime
from alerts import roster
from alerts.models import Channel
from organizations.scope import Scope
with Scope.of("swaggystacks").enter():
    roster.switch(channel=Channel.objects.get(name={name!r}), on=False, now=datetime.now(UTC))
"""


@dataclass
class Ears:
    """The receiver: what each address does with a request, and what it heard."""

    receiver: Receiver = field(init=False)
    scripts: dict[str, Callable[[Request], Step]] = field(default_factory=dict)
    refused: list[Request] = field(default_factory=list)

    def take(self, request: Request) -> Step:
        return self.scripts.get(request.path, lambda _: answer())(request)

    def heard(self, name: str) -> list[Request]:
        return [one for one in self.receiver.requests if one.path == f"/{name}"]

    def taken(self, name: str) -> list[Request]:
        return [one for one in self.heard(name) if not any(one is other for other in self.refused)]


@dataclass(frozen=True)
class Heard:
    """A notice, as a receiver reads it."""

    id: str
    key: str
    alert: str
    what: str

    @classmethod
    def of(cls, request: Request) -> "Heard":
        body = json.loads(request.body)
        data = body["data"]
        return cls(
            request.headers["webhook-id"], data["dedupKey"], data["alertType"], body["type"].removeprefix("alert.")
        )


class Pager:
    """What a receiver makes of it that keeps to the dedup key: a notice that comes again right away changes nothing.

    One that comes again after the next, or a second one of a kind, does: another incident, or a line too many.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self.incidents: dict[str, list[list[Heard]]] = {}
        self.again = 0
        for request in requests:
            self._take(Heard.of(request))

    def _take(self, heard: Heard) -> None:
        incidents = self.incidents.setdefault(heard.key, [])
        if incidents and incidents[-1][-1] == heard:
            self.again += 1
        elif heard.what == "triggered":
            incidents.append([heard])
        else:
            assert incidents, f"an end without a beginning: {heard}"
            incidents[-1].append(heard)


@pytest.fixture(scope="module")
def ears() -> Iterator[Ears]:
    found = Ears()
    with Receiver(found.take) as found.receiver:
        yield found


@pytest.fixture(scope="module")
def compiled() -> Iterator[None]:
    """Compiled code is kept for as long as these tests take: what is killed starts again, dozens of times."""
    with tempfile.TemporaryDirectory(prefix="cockpit-compiled-") as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPYCACHEPREFIX", path)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "")
        yield


@pytest.fixture(scope="module")
def place(ears: Ears, compiled: None) -> Iterator[House]:
    allowed = f"127.0.0.1:{ears.receiver.port}"
    with house(OUTGOING_ALLOWED=allowed, WEB_WORKERS="2", RATE_LIMIT_PER_MINUTE="1000000") as running:
        environment = environment_of(running, OUTGOING_ALLOWED=allowed)
        do(MAKE.format(channels=CHANNELS, address=ears.receiver.url("/")), environment)
        assert await_true(lambda: any(map(at_work, processes(running, "manage.py dispatch"))), 60)
        yield running


def do(program: str, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "manage.py", "shell", "-c", program]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)


def environment_of(running: House, **more: str) -> dict[str, str]:
    return clean_environment(COCKPIT_DATA_DIR=str(running.data_dir), DEMO="0", LOG_LEVEL="warning", **more)


class Door:
    """Asks the API until it is answered, as a client does that means it."""

    def __init__(self, running: House) -> None:
        self.port, self.key = running.port, running.keys["swaggystacks"]

    def raise_alert(self, kind: str) -> str:
        return str(self.certainly("POST", ADDRESS, report(kind), {"Idempotency-Key": kind})["id"])

    def raise_many(self, kinds: Sequence[str]) -> None:
        told = self.certainly("POST", ADDRESS, [report(kind) for kind in kinds], {"Idempotency-Key": kinds[0]})
        assert told["created"] == len(kinds), told

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


def report(kind: str) -> dict[str, str]:
    return {"alertType": kind, "severity": "critical", "message": f"{kind} is wrong"}


@contextmanager
def database(running: House) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(Places.of(running.data_dir).admin_url, dbname="cockpit", autocommit=True) as admin:
        yield admin


def states(admin: psycopg.Connection[Any], name: str) -> Counter[str]:
    rows = admin.execute(
        "SELECT delivery.state, count(*) FROM alerts_delivery AS delivery JOIN alerts_channel AS channel "
        "ON channel.id = delivery.channel_id WHERE channel.name = %s GROUP BY delivery.state", [name]
    ).fetchall()  # fmt: skip
    return Counter(dict(rows))


def all_sent(running: House, name: str, number: int, seconds: float) -> None:
    with database(running) as admin:
        assert await_true(lambda: states(admin, name) == {"sent": number}, seconds), states(admin, name)


def processes(running: House, *signs: str) -> list[psutil.Process]:
    """Those of the house whose command line has one of these signs."""
    found = []
    for child in running.process.children(recursive=True):
        with suppress(psutil.Error):
            if any(sign in " ".join(child.cmdline()) for sign in signs):
                found.append(child)
    return found


def at_work(dispatcher: psutil.Process) -> bool:
    """Whether it has come so far that it listens and is watched, each in a thread of its own."""
    return dispatcher.num_threads() > 2


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
        assert await_true(lambda: all(at_work(psutil.Process(process.pid)) for process in started), 60)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "manage.py", "dispatch"], cwd=ROOT, env=environment)


def check_incidents(ears: Ears, name: str, alerts: int) -> int:
    """Of each alert exactly one incident, which began and then was over; how many notices came again."""
    pager = Pager(ears.taken(name))
    for incidents in pager.incidents.values():
        [incident] = incidents
        assert [heard.what for heard in incident] == ["triggered", "resolved"], incident
    told = Counter(incident[0].alert for [incident] in pager.incidents.values())
    assert told == Counter(f"{name}-{number}" for number in range(alerts))
    return pager.again


def seconds_to(ears: Ears, name: str, posted: Mapping[str, float]) -> list[float]:
    """From the moment before each POST until its notice was first read, the shortest first."""
    arrived: dict[str, float] = {}
    for one in ears.heard(name):
        arrived.setdefault(Heard.of(one).alert, one.at)
    return sorted(arrived[kind] - moment for kind, moment in posted.items())


def p99(ordered: Sequence[float]) -> float:
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


def post(door: Door, kinds: Sequence[str], *, together: int, a_second: int) -> dict[str, float]:
    """Raise them at that pace, some with each request; the moment before each was sent."""
    posted: dict[str, float] = {}
    began = time.monotonic()
    for first in range(0, len(kinds), together):
        time.sleep(max(0.0, began + first / a_second - time.monotonic()))
        batch = kinds[first : first + together]
        posted |= dict.fromkeys(batch, time.monotonic())
        door.raise_many(batch)
    return posted


@pytest.mark.timeout(120)
def test_alerts_arrive_at_once(place: House, ears: Ears) -> None:
    kinds = [f"calm-{number}" for number in range(120)]
    posted = post(Door(place), kinds, together=1, a_second=20)
    all_sent(place, "calm", len(kinds), 20)
    for kind in kinds[:20]:  # each worker of the web loads its pages at its first request
        posted.pop(kind)
    took = seconds_to(ears, "calm", posted)
    print(f"POST to first attempt: median {took[50] * 1000:.0f} ms, p99 {p99(took) * 1000:.0f} ms")  # noqa: T201
    assert p99(took) <= 2.0


@pytest.mark.timeout(120)
def test_a_channel_that_hangs_holds_nobody_else(place: House, ears: Ears) -> None:
    """Both have as many notices, and as many at once, as channels ship with."""
    ears.scripts["/hung"] = lambda _: hang()
    kinds = [f"beside-{number}" for number in range(1000)]
    posted = post(Door(place), kinds, together=10, a_second=100)
    all_sent(place, "healthy", len(kinds), 30)
    took = seconds_to(ears, "healthy", posted)
    print(f"Beside one that hangs: median {took[500] * 1000:.0f} ms, p99 {p99(took) * 1000:.0f} ms")  # noqa: T201
    assert p99(took) <= 5.0
    assert len(ears.heard("hung")) >= SHIPPED, "it hung with all that it may have at once"
    with database(place) as admin:
        found = states(admin, "hung")
        assert found.keys() <= {"pending", "sending"}
        assert found.total() == len(kinds), "and all of them are still to be told"
    do(SWITCH_OFF.format(name="hung"), environment_of(place))
    ears.scripts.pop("/hung")


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
    heard = [Heard.of(one) for one in ears.heard("hanging")]
    assert len(heard) >= 2
    assert len(set(heard)) == 1, "under the same name"


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
    all_sent(place, name, 2 * len(raised), 0)
    check_incidents(ears, name, len(raised))
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
        number, began = next(numbers), time.monotonic()
        door.raise_alert(f"broker-{number}")
        left = began + seconds - time.monotonic()
        assert await_true(lambda: len(ears.heard("broker")) == number + 1, left), "not told in time"

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
    check_incidents(ears, "beat", 5)


class Killer:
    """Kills processes that are at work, of each role in its turn; dispatchers of our own are replaced at once."""

    def __init__(self, place: House, ears: Ears, own: list[subprocess.Popen[bytes]]) -> None:
        self._place, self._own, self._turns = place, own, itertools.cycle(TURNS)
        self._environment = environment_of(place, OUTGOING_ALLOWED=f"127.0.0.1:{ears.receiver.port}")
        self._lock = threading.Lock()
        self.killed: dict[psutil.Process, str] = {}

    def kill_next(self) -> None:
        with self._lock:
            role = next(self._turns)
            assert await_true(lambda: self._found(role), 60), f"no {role} is at work any more"
            victim = min(self._found(role), key=psutil.Process.create_time)
            assert living([victim])
            victim.kill()
            for number, one in enumerate(self._own):
                if one.pid == victim.pid:
                    assert one.wait(10) == -signal.SIGKILL
                    self._own[number] = start(self._environment)
            assert await_true(lambda: not living([victim]), 10), f"{role} outlives its end"
            self.killed[victim] = role

    def _found(self, role: str) -> list[psutil.Process]:
        """Those there are: of the web its workers, of dispatchers those that have come to their work."""
        if role == "worker":
            return processes(self._place, "-A cockpit worker ")  # Postgres has workers, too
        if role == "web":
            masters = processes(self._place, "granian")
            return [child for child in masters if any(other.pid == child.ppid() for other in masters)]
        own = [psutil.Process(one.pid) for one in self._own]
        return [one for one in [*own, *processes(self._place, "manage.py dispatch")] if at_work(one)]


@pytest.mark.timeout(300)
def test_nothing_is_lost_while_everything_is_killed(place: House, ears: Ears) -> None:
    """Dispatchers most of all; one process for ten alerts, while the tenth of them is raised and not yet over."""
    seen, lock, door = set[str](), threading.Lock(), Door(place)

    def moody(request: Request) -> Step:
        """Of one alert in ten nothing is taken the first time, until it is late enough to take it at once."""
        heard, number = Heard.of(request), int(Heard.of(request).alert.removeprefix("storm-"))
        with lock:
            refuses = heard.id not in seen and number % 10 == 7 and number < 200
            seen.add(heard.id)
        if refuses:
            ears.refused.append(request)
        return answer(503 if refuses else 200, delay=0.02)

    ears.scripts["/storm"] = moody
    with dispatchers(place, ears, 2) as own, ThreadPoolExecutor(4) as storm:
        killer = Killer(place, ears, own)

        def happen(number: int) -> None:
            raised = door.raise_alert(f"storm-{number}")
            time.sleep(0.1)
            if number % (ALERTS // KILLS) == 0:
                killer.kill_next()
            door.resolve(raised)

        for _ in storm.map(happen, range(ALERTS), timeout=150):
            pass
        all_sent(place, "storm", 2 * ALERTS, 100)
    again, kills = check_incidents(ears, "storm", ALERTS), Counter(killer.killed.values())
    print(f"{dict(kills)}, {again} notices came again")  # noqa: T201
    assert kills == {"dispatch": 18, "web": 6, "worker": 6}
    assert kills.total() == KILLS
    with database(place) as admin:
        alerts = admin.execute("SELECT count(*), count(DISTINCT fingerprint) FROM alerts_alert "
                               "WHERE alert_type LIKE 'storm-%' AND status = 'resolved'").fetchone()  # fmt: skip
    assert alerts == (ALERTS, ALERTS)
