"""kill -9 of web workers at every named point of an alert's transaction: nothing acknowledged is lost, nothing doubled.

Clients send and send again until they are answered; the workers end themselves, each at its point, and are replaced.
"""

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cockpit.embedded.places import Places
from tests.house import House, house
from tests.servers import await_true

POINTS = ("alert.held", "alert.written", "alert.audited", "alert.committed")
KILLS = 3  # at each point, at least
PASSAGES = 40  # what a worker lives through, so that it is not taken for one that cannot even start
CLIENTS = 4
PAUSE = 0.08  # seconds between one client's requests
ADDRESS = "/api/monitoring/alerts"
Answer = tuple[int, Any]


@dataclass
class Ledger:
    """What was sent and what was answered, by its Idempotency-Key."""

    begun: dict[str, Any] = field(default_factory=dict)
    answered: dict[str, Answer] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    resolved: dict[str, Any] = field(default_factory=dict)  # id -> its answer
    tries: Counter[int] = field(default_factory=Counter)  # how often a request was sent until it was answered


class Client(threading.Thread):
    """Raises alerts, some in batches, some that it resolves afterwards, some that it sends only once."""

    def __init__(self, number: int, port: int, key: str, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.over = number, port, over
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.chance = random.Random(number)
        self.ledger = Ledger()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for turn in itertools.count():
                if self.over.wait(PAUSE):
                    return
                self.step(f"{self.number}-{turn}", turn)
        except BaseException as error:
            self.failure = error

    def step(self, key: str, turn: int) -> None:
        kind = ("one", "batch", "ended", "once")[turn % 4]
        if kind == "batch":
            self.post(key, [self.report(f"shared-{self.chance.randrange(20)}") for _ in range(3)])
        elif kind == "one":
            self.post(key, self.report(f"shared-{self.chance.randrange(20)}"))
        elif kind == "once":  # whoever does not ask again may or may not have been heard
            self.post(key, self.report(f"unsure-{self.chance.randrange(5)}"), again=False)
        else:
            status, alert = self.post(key, self.report(f"ended-{key}"))
            assert status == 201
            self.ledger.resolved[alert["id"]] = self.certainly("PUT", f"{ADDRESS}/{alert['id']}/resolve", None, {})[1]

    @staticmethod
    def report(kind: str) -> dict[str, Any]:
        return {"alertType": kind, "severity": "warning", "message": "It is slow."}

    def post(self, key: str, body: Any, *, again: bool = True) -> Answer:
        self.ledger.begun[key] = body
        named = {"Idempotency-Key": key}
        answer = self.certainly("POST", ADDRESS, body, named) if again else self.ask("POST", ADDRESS, body, named)
        if answer is None:
            self.ledger.given_up.add(key)
            return 0, None
        self.ledger.answered[key] = answer
        return answer

    def certainly(self, method: str, path: str, body: Any, more: dict[str, str]) -> Answer:
        for tries in itertools.count(1):
            answer = self.ask(method, path, body, more)
            if answer is not None:
                self.ledger.tries[tries] += 1
                return answer
            time.sleep(0.2)
        raise AssertionError

    def ask(self, method: str, path: str, body: Any, more: dict[str, str]) -> Answer | None:
        """The answer, or None when there was none, or one that says to come again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {**self.headers, **more})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if response.status in (429, 503):
            return None
        assert response.status in (200, 201), (response.status, content[:300])
        return response.status, json.loads(content)


@contextmanager
def sending(running: House) -> Iterator[list[Client]]:
    over, key = threading.Event(), running.keys["swaggystacks"]
    clients = [Client(number, running.port, key, over) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        over.set()
        for client in clients:
            client.join(60)
    for client in clients:
        assert not client.is_alive()
        assert client.failure is None, client.failure


def killed(file: Path) -> Counter[str]:
    """How many workers have ended themselves at each point."""
    reached = Path(f"{file}.reached")
    return Counter(reached.read_text().split()) if reached.exists() else Counter()


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(tmp_path: Path) -> None:
    file = tmp_path / "failpoint"
    file.write_text(f"{POINTS[0]}:{PASSAGES}")
    with house(
        DJANGO_SETTINGS_MODULE="tests.failing_settings",
        FAILPOINT_FILE=str(file),
        WEB_WORKERS="2",
        RATE_LIMIT_PER_MINUTE="1000000",
    ) as running:
        with sending(running) as clients:
            for point in POINTS:
                file.write_text(f"{point}:{PASSAGES}")
                assert await_true(lambda: killed(file)[point] >= KILLS, 90), killed(file)  # noqa: B023
        ledgers = [client.ledger for client in clients]
        # Each was killed under a request, which was then sent again, if it was one that is.
        assert sum(count for ledger in ledgers for tries, count in ledger.tries.items() if tries > 1) >= len(POINTS)
        with psycopg.connect(Places.of(running.data_dir).admin_url, dbname="cockpit") as admin:
            check_counts(admin, ledgers)
            check_resolved(admin, ledgers)
            check_lines(admin)
        check_answers(clients)


def told(ledgers: list[Ledger], kind: str, part: str) -> Counter[str]:
    """How often each type of alert of a kind was reported, in what was begun or answered."""
    found: Counter[str] = Counter()
    for ledger in ledgers:
        for key in getattr(ledger, part):
            body = ledger.begun[key]
            found.update(one["alertType"] for one in (body if isinstance(body, list) else [body]))
    return Counter({name: count for name, count in found.items() if name.startswith(kind)})


def check_counts(admin: psycopg.Connection[Any], ledgers: list[Ledger]) -> None:
    rows = admin.execute("SELECT alert_type, sum(count), count(*) FROM alerts_alert GROUP BY alert_type").fetchall()
    counted = {name: int(count) for name, count, _ in rows}
    for kind in ("shared-", "ended-"):
        mine = {name: count for name, count in counted.items() if name.startswith(kind)}
        assert mine == told(ledgers, kind, "answered") == told(ledgers, kind, "begun")
        assert mine
    assert {alerts for name, _, alerts in rows if name.startswith(("shared-", "unsure-", "ended-"))} == {1}
    least, most = told(ledgers, "unsure-", "answered"), told(ledgers, "unsure-", "begun")
    for name, count in most.items():
        assert least[name] <= counted.get(name, 0) <= count
    assert sum(map(len, (ledger.given_up for ledger in ledgers))) == most.total() - least.total()


def check_resolved(admin: psycopg.Connection[Any], ledgers: list[Ledger]) -> None:
    """Each that was answered is over since the moment that was told, with one line and one row in the audit trail."""
    answered = {identifier: alert for ledger in ledgers for identifier, alert in ledger.resolved.items()}
    assert len(answered) > 10
    rows = admin.execute(
        "SELECT id::text, to_char(resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), resolved_by, "
        "(SELECT count(*) FROM alerts_event WHERE alert_id = alert.id AND kind = 'resolved'), "
        "(SELECT count(*) FROM organizations_auditevent WHERE object_id = alert.id::text AND action = 'resolved') "
        "FROM alerts_alert AS alert WHERE alert_type LIKE 'ended-%'"
    ).fetchall()
    assert {one: (at, by, lines, audited) for one, at, by, lines, audited in rows} == {
        one: (alert["resolvedAt"], alert["resolvedBy"], 1, 1) for one, alert in answered.items()
    }


def check_lines(admin: psycopg.Connection[Any]) -> None:
    """An alert, its first line and the audit trail's row came together."""
    lines = admin.execute(
        "SELECT count(*) FROM alerts_alert WHERE source = 'live' AND 1 <> "
        "(SELECT count(*) FROM alerts_event WHERE alert_id = alerts_alert.id AND kind = 'fired')"
    ).fetchone()
    assert lines == (0,)
    together = admin.execute(
        "SELECT count(*) FILTER (WHERE event.request_id IS NULL), count(*) FILTER (WHERE audit.request_id IS NULL) "
        "FROM (SELECT DISTINCT request_id FROM alerts_event WHERE kind = 'fired') AS event FULL JOIN "
        "(SELECT request_id FROM organizations_auditevent WHERE object_type = 'alert' AND action = 'fired') AS audit "
        "USING (request_id)"
    ).fetchone()
    assert together == (0, 0)


def check_answers(clients: list[Client]) -> None:
    """Whoever asks once more is told what was told the first time, and nothing is counted."""
    for client in clients:
        keys = list(client.ledger.answered)
        for key in client.chance.sample(keys, min(20, len(keys))):
            again = client.certainly("POST", ADDRESS, client.ledger.begun[key], {"Idempotency-Key": key})
            assert again == client.ledger.answered[key]
