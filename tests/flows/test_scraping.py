"""A whole cockpit scraped a thousand times while inferences come in and its web processes are killed."""

import os
import signal
import threading
import time
from http.client import HTTPConnection, HTTPException
from typing import Any

import psutil
import pytest

from tests.house import House, house
from tests.test_exposition import TEXT, parsed

SCRAPES = 1_000
COUNTED = ("_total", "_bucket", "_count", "_sum")


def scrape(running: House) -> str | None:
    """None while nobody answers."""
    connection = HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        connection.request("GET", "/api/metrics", headers={"Authorization": f"Bearer {running.keys['swaggystacks']}"})
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    assert response.status in (200, 502, 503), (response.status, body[:300])
    return body if response.status == 200 else None


def await_answer(running: House) -> str:
    until = time.monotonic() + 30
    while (text := scrape(running)) is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    return text


def workers(running: House) -> list[psutil.Process]:
    """The processes that serve: children of granian's own."""
    children = running.process.children(recursive=True)
    served = [one for one in children if "granian" in " ".join(one.cmdline())]
    return [one for one in served if one.parent() in served]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_counter_ever_falls() -> None:
    sent, over = [0], threading.Event()

    def send() -> None:
        while not over.is_set():
            try:
                status, _ = running.post({"modelName": f"m{sent[0] % 5}", "durationMs": 12, "cost": "0.01"})
            except (OSError, HTTPException, ValueError):
                continue  # killed under it: whether it was stored, nobody knows
            sent[0] += status == 201
            time.sleep(0.02)

    with house(WEB_WORKERS="2") as running:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            before, killed = dict[Any, float](), 0
            for number in range(SCRAPES):
                if number % 100 == 50:
                    alive = workers(running)
                    os.kill(alive[number // 100 % len(alive)].pid, signal.SIGKILL)
                    killed += 1
                after = parsed(await_answer(running), TEXT)  # both may be dead until one is there again
                counters = [key for key in before if key[0].endswith(COUNTED)]
                assert [
                    (key, before[key], after.get(key)) for key in counters if after.get(key, -1) < before[key]
                ] == []
                before = after
        finally:
            over.set()
            sender.join()
        time.sleep(3)  # what is counted in process is written every two seconds
        after = parsed(await_answer(running), TEXT)
    told = sum(one for (name, _), one in after.items() if name == "cockpit_inferences_total")
    assert killed == 10
    assert told >= sent[0] > 100
    assert any(name == "cockpit_http_requests_total" for name, _ in after)
