"""Many tell a real cockpit the same things at once: as many alerts as there are things, and counts that add up."""

import http.client
import json
import random
import threading
from collections import Counter
from typing import Any

import psycopg
import pytest

from cockpit.embedded.places import Places
from tests.house import House, house

CLIENTS, THINGS = 8, 300  # each client tells each thing once: 2,400 posts
ADDRESS = "/api/monitoring/alerts"


class Client(threading.Thread):
    """Posts all things one by one, in an order of its own, over one connection."""

    def __init__(self, number: int, running: House, start: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self.number, self.running, self.start_line = number, running, start
        self.answers: list[tuple[int, Any]] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=30)
        try:
            self.start_line.wait(30)
            for thing in random.Random(self.number).sample(range(THINGS), THINGS):
                self.answers.append(self.post(connection, thing))
        except BaseException as error:
            self.failure = error
        finally:
            connection.close()

    def post(self, connection: http.client.HTTPConnection, thing: int) -> tuple[int, Any]:
        key = self.running.keys["swaggystacks"]
        body = {"alertType": "slow", "severity": "warning", "message": "It is slow.", "labels": {"n": str(thing)}}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", ADDRESS, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.timeout(300)
def test_2400_posts_of_300_things_are_300_alerts_whose_counts_add_up() -> None:
    with house(WEB_WORKERS="2", RATE_LIMIT_PER_MINUTE="1000000") as running:
        start = threading.Barrier(CLIENTS)
        clients = [Client(number, running, start) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(240)
        assert [client.failure for client in clients] == [None] * CLIENTS
        answers = [answer for client in clients for answer in client.answers]
        assert Counter(status for status, _ in answers) == {201: THINGS, 200: (CLIENTS - 1) * THINGS}
        # Every post was told a count of its own, and those of one alert are 1 to 8.
        assert len({(alert["id"], alert["count"]) for _, alert in answers}) == CLIENTS * THINGS
        with psycopg.connect(Places.of(running.data_dir).admin_url, dbname="cockpit") as admin:
            rows = admin.execute(
                "SELECT count, episode, status FROM alerts_alert WHERE alert_type = 'slow' AND source = 'live'"
            ).fetchall()
            lines = admin.execute("SELECT kind, count(*) FROM alerts_event GROUP BY kind").fetchall()
            audited = admin.execute(
                "SELECT count(*) FROM organizations_auditevent WHERE action = 'fired' AND object_type = 'alert'"
            ).fetchone()
    assert rows == [(CLIENTS, 1, "firing")] * THINGS
    assert lines == [("fired", THINGS)]
    assert audited == (THINGS,)
