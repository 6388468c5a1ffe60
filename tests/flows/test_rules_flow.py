"""Rules over real processes: from a measurement to a pager and back, and the same decisions whoever is killed.

One house for both, and one stretch of minutes: while the story of the second is told, the first waits for its pager.
"""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from cockpit.embedded.places import Places
from tests.flows.test_delivery_kills import compiled as compiled
from tests.flows.test_delivery_kills import database, environment_of, processes
from tests.flows.test_gather import of
from tests.flows.test_switch import shell
from tests.house import ROOT, House, house
from tests.receiver import Receiver, answer
from tests.servers import await_true, living

OFFSET = 5  # seconds for which these rules wait, and no other: they have their minutes for themselves
CLIENTS, MANY = 400, 200  # of the cache: so many more than usual, and what the rule calls many
MAKE = """
from datetime import UTC, datetime
from alerts import roster, routes, rulebook, sending
from alerts.channels import TRANSPORTS
from alerts.definitions import Definition
from alerts.rules import Condition
from organizations.scope import Scope
now = datetime.now(UTC)
with Scope.of("shared").enter():
    common = dict(organization="shared", name="clients", now=now, by="tests")
    settings = roster.read_settings(
        TRANSPORTS["pagerduty"], {{"routing_key": "R" * 32, "events_url": {url!r}}}, client=sending._CLIENTS["live"])
    made = roster.create_channel(kind="pagerduty", audience="developer", settings=settings, **common)
    routes.save_route(channels=[made], alert_types=["many_clients"], **common)
    rulebook.create(definition=Definition(
        measure="cockpit_cache_clients", aggregation="last", window=1, offset={offset}, alert_type="many_clients",
        developer="{{value}} clients at the cache, more than {{threshold}}",
        condition=Condition(critical={many}, no_data="keep")), **common)
with Scope.of("swaggystacks").enter():
    for name, given, asked in (
        ("failing", dict(measure="errors", aggregation="ratio", per="inferences", by=("model",)),
         dict(warning=0.25, warning_clear=0.1, critical=0.5, least=5)),
        ("errors", dict(measure="errors", aggregation="sum"), dict(warning=5, hold=1, no_data="zero")),
        ("silent", dict(measure="inferences", aggregation="count", by=("model",)), dict(no_data="alert", silent=1)),
        ("slow", dict(measure="duration", aggregation="p95", by=("model",)), dict(warning=2000, keep=1)),
    ):
        one = Definition(window=2 if name == "slow" else 1, offset={offset}, condition=Condition(**asked), **given)
        rulebook.create(organization="swaggystacks", name=name, definition=one, now=now, by="tests")
print(now.isoformat())
"""
# Judges as soon as anything of ours is due, and ends itself with all of it written and nothing of it committed.
JUDGE = f"""
import time
from django.conf import settings
from alerts import deliveries, evaluation
settings.FAILPOINT = "rules.judged"
while True:
    if {OFFSET} <= time.time() % 60 < 30:
        evaluation.evaluate(deliveries.clock())
    time.sleep(0.05)
"""
REHEARSE = """
import json
from datetime import datetime
from alerts import rehearsal, rulebook, simulation
from organizations.scope import Scope
start, end = datetime.fromisoformat({start!r}), datetime.fromisoformat({end!r})
told = []
for rule in rulebook.enabled().rules:
    if rule.organization == "swaggystacks" and rule.definition.offset == {offset}:
        for one in rehearsal.rehearse(rule, simulation.minutes(rule, start, end)).changes:
            told.append([rule.name, one.at.timestamp(), one.group, one.before, one.after, one.because, one.value,
                         one.samples])
print(json.dumps(told))
"""
DECIDED = """
SELECT rule.name, change.at, group_values, before, after, because, value, samples
FROM alerts_transition AS change JOIN alerts_rule AS rule ON rule.id = change.rule_id
WHERE rule.organization_id = 'swaggystacks' AND rule.definition ->> 'offset' = %s AND change.at <= to_timestamp(%s)
"""
JUDGED = """
SELECT extract(epoch FROM until)::float FROM alerts_judged WHERE organization_id = 'swaggystacks' AND late = %s
"""
# Minute by minute: what is called of each model, how much of it fails, and how many milliseconds it takes.
STORY: Sequence[Mapping[str, tuple[int, int, int]]] = (
    {"steady": (10, 0, 100), "failing": (10, 0, 100), "worsening": (10, 3, 100), "lingering": (10, 3, 100),
     "leaving": (10, 0, 100), "few": (2, 2, 100)},
    {"steady": (10, 0, 100), "failing": (10, 6, 100), "worsening": (10, 6, 5000), "lingering": (10, 2, 100)},
    {"steady": (10, 0, 100), "failing": (10, 0, 100), "worsening": (10, 0, 100), "lingering": (10, 0, 100)},
)  # fmt: skip
# What follows from it by the rules' own words: the minute of the story, the model, from where and to where.
FAILING = [(0, "lingering", "", "warning"), (0, "worsening", "", "warning"), (1, "failing", "ok", "critical"),
           (1, "worsening", "warning", "critical"), (2, "failing", "critical", "ok"),
           (2, "lingering", "warning", "ok"), (2, "worsening", "critical", "ok")]  # fmt: skip
ERRORS = [(0, "", "ok", "pending"), (1, "", "pending", "warning"), (2, "", "warning", "ok")]
POSTS = (22, 25, 28, 31, 34)  # seconds of each minute: what comes then is there long before the minute is judged
KILLS = ((7, "worker"), (18, "beat"), (38, "worker"))
JUDGES = 40  # when one of our own starts that ends itself with the next minute
Decision = tuple[Any, ...]


class Over(Exception):
    """The tests are."""


@dataclass
class Telling:
    """The story, told live over three minutes while those who judge it are killed."""

    running: House
    made: datetime  # when the rules were
    over: threading.Event = field(default_factory=threading.Event)
    begin: float = 0.0  # of its first minute
    late: list[float] = field(default_factory=list)  # seconds of a minute at which something was stored too late
    killed: Counter[str] = field(default_factory=Counter)
    judges: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = time.time()
        self.begin = now - now % 60 if now % 60 < 20 else now - now % 60 + 60

    def post(self) -> None:
        for number, models in enumerate(STORY):
            for part, second in enumerate(POSTS):
                self._wait(number, second)
                items = [item for model, about in models.items() for item in calls(model, *about)[part :: len(POSTS)]]
                status, told = self.running.post(items)
                assert (status, told["stored"]) == (201, len(items)), told
                if time.time() > self.begin + 60 * number + 55:
                    self.late.append(time.time() % 60)

    def kill(self) -> None:
        for number in range(len(STORY)):
            for second, role in KILLS:
                self._wait(number, second)
                self._kill(role)
            self._wait(number, JUDGES)
            self.judges.append(judge(self.running))

    def _kill(self, role: str) -> None:
        sign = f"-A cockpit {role} "
        assert await_true(lambda: processes(self.running, sign), 60), f"no {role} is at work any more"
        [victim] = processes(self.running, sign)
        victim.kill()
        assert await_true(lambda: not living([victim]), 10)
        self.killed[role] += 1

    def _wait(self, number: int, second: int) -> None:
        if self.over.wait(max(0.0, self.begin + 60 * number + second - time.time())):
            raise Over


def calls(model: str, number: int, errors: int, duration: int) -> list[dict[str, Any]]:
    return [{"modelName": model, "durationMs": duration, "status": "error" if one < errors else "success"}
            for one in range(number)]  # fmt: skip


def judge(running: House) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "manage.py", "shell", "-c", JUDGE], cwd=ROOT, env=environment_of(running))


@pytest.fixture(scope="module")
def pager() -> Iterator[Receiver]:
    with Receiver([answer(202, b'{"status": "success"}')]) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def place(pager: Receiver, compiled: None) -> Iterator[House]:
    with house(OUTGOING_ALLOWED=f"127.0.0.1:{pager.port}") as running:
        yield running


@pytest.fixture(scope="module")
def story(place: House, pager: Receiver) -> Iterator[tuple[Telling, Sequence[Future[None]]]]:
    made = shell(place, pager, MAKE.format(url=pager.url("/pager"), offset=OFFSET, many=MANY)).stdout.split()[-1]
    telling = Telling(place, datetime.fromisoformat(made))
    with ThreadPoolExecutor(2) as threads:
        try:
            yield telling, [threads.submit(telling.post), threads.submit(telling.kill)]
        finally:
            telling.over.set()
    for process in telling.judges:
        process.kill()
        process.wait()


@contextmanager
def many_clients(running: House) -> Iterator[None]:
    pool = redis.ConnectionPool.from_url(Places.of(running.data_dir).redis_url)
    try:
        for _ in range(CLIENTS):
            pool.get_connection()
        yield
    finally:
        pool.disconnect()


@pytest.mark.timeout(330)
@pytest.mark.usefixtures("story")
def test_from_a_measurement_to_a_pager_and_back(place: House, pager: Receiver) -> None:
    """The cache has many clients, the worker counts them, a rule minds, and somebody is called; then they are gone."""
    assert await_true(lambda: of(place, "cockpit_cache_clients"), 60)
    assert max(of(place, "cockpit_cache_clients")) < MANY
    with many_clients(place):
        [began] = [json.loads(one.body) for one in pager.await_requests(1, 150)]
    ended = json.loads(pager.await_requests(2, 150)[1].body)
    assert [began["event_action"], ended["event_action"]] == ["trigger", "resolve"]
    assert began["dedup_key"] == ended["dedup_key"]
    assert {began["routing_key"], ended["routing_key"]} == {"R" * 32}
    assert began["payload"]["severity"] == "critical"
    found = re.fullmatch(rf"CRITICAL (\d+) clients at the cache, more than {MANY}", began["payload"]["summary"])
    assert found, began["payload"]["summary"]
    assert int(found[1]) >= CLIENTS
    assert not await_true(lambda: len(pager.requests) > 2, 15), "what is over is told of once"


@pytest.mark.long
@pytest.mark.timeout(420)
def test_kills_change_nothing_that_was_decided(
    place: House, pager: Receiver, story: tuple[Telling, Sequence[Future[None]]]
) -> None:
    """Late it may be, not different: what was decided live is what a rehearsal makes of the same minutes afterwards."""
    telling, told = story
    for part in told:
        part.result(240)
    assert not telling.late, "what came late was rightly left out, and nothing can be compared"
    assert telling.killed == {"worker": 2 * len(STORY), "beat": len(STORY)}
    assert await_true(lambda: judged(place) >= telling.begin + 60 * len(STORY), 120), "nobody judges any more"
    assert [process.wait(120) for process in telling.judges] == [-signal.SIGKILL] * len(STORY)
    end = judged(place)
    live, again = decided(place, end), rehearsed(place, pager, telling.made, end)
    assert Counter(one[:3] for one in live).most_common(1)[0][1] == 1, "a group changes once with a minute"
    assert live == again
    assert in_short(live, telling, "failing") == FAILING
    assert in_short(live, telling, "errors") == ERRORS
    assert {(2, "leaving", "ok", "no_data"), (2, "few", "ok", "no_data")} <= set(in_short(live, telling, "silent"))
    assert [one[1:] for one in in_short(live, telling, "slow")[:1]] == [("worsening", "ok", "warning")]


def judged(running: House) -> float:
    with database(running) as admin:
        row = admin.execute(JUDGED, [OFFSET]).fetchone()
    return float(row[0]) if row else 0.0


def decided(running: House, end: float) -> list[Decision]:
    with database(running) as admin:
        rows = admin.execute(DECIDED, [str(OFFSET), end]).fetchall()
    return sorted((name, at.timestamp(), tuple(group), *rest) for name, at, group, *rest in rows)


def rehearsed(running: House, pager: Receiver, made: datetime, end: float) -> list[Decision]:
    """From the first minute on that was judged: the last one that was over when the rules were made."""
    seen = made.timestamp() - OFFSET
    start = datetime.fromtimestamp(seen - seen % 60 - 60, UTC).isoformat()
    program = REHEARSE.format(start=start, end=datetime.fromtimestamp(end, UTC).isoformat(), offset=OFFSET)
    rows = json.loads(shell(running, pager, program).stdout.splitlines()[-1])
    return sorted((name, at, tuple(group), *rest) for name, at, group, *rest in rows)


def in_short(decisions: Sequence[Decision], telling: Telling, name: str) -> list[tuple[int, str, str, str]]:
    """Of one rule: the minute of the story, the group, from where and to where."""
    return [(round((at - telling.begin) / 60) - 1, "".join(group), before, after)
            for rule, at, group, before, after, *_ in decisions if rule == name]  # fmt: skip
