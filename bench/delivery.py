"""Notices from the alert that is raised to the receiver that has it: how many a second, how soon, with what memory.

    python -m bench.delivery [--backlog 10000] [--seconds 15] [--rate 20] [--rounds 3]

The backlog is queued while the dispatcher and beat are stopped, and then drained by the dispatcher that `up` has
started, alone; through one channel, and through four that share it. A channel of the kind webhook is told at most 500
times a second as it ships; here that limit is lifted, its eight at once are not. Calm traffic is measured from the
moment before the POST until the receiver has read the notice, then again while another channel's receiver never
answers. Everything runs as it ships, fsync on, and shares the machine with the senders and the receivers.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID

import psutil
import psycopg

from bench.alerts import Line, Server
from bench.rig import House, admin_url, house, keep, percentile, settle_in
from tests.servers import await_true

_ORGANIZATION, _PATH = "swaggystacks", "/api/monitoring/alerts"
_BATCH, _LOADERS, _SENDERS = 200, 2, 4
_FASTEST = 1_000_000  # notices a minute: the highest pace that there is
_NUMBER = re.compile(rb'"number":"(\d+)"')
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_EXPECTED = {"post_to_receiver_p99_s": 2.0, "beside_a_hung_channel_p99_s": 5.0}
_numbers = count()


def number_of(body: bytes) -> int | None:
    """The label by which a notice is known; None for a test and the like."""
    found = _NUMBER.search(body)
    return int(found[1]) if found else None


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The middle and the ends of some times, in milliseconds."""
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "most_ms": 1.0}
    return {name: round(percentile(seconds, share) * 1000, 1) for name, share in shares.items()}


@dataclass
class Receiver:
    """A process that takes every notice at once, or (`hangs`) takes connections and never says a word."""

    hangs: bool = False
    port: int = 0
    _pipe: Any = field(default=None, repr=False)

    def __enter__(self) -> "Receiver":
        mine, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_receive, args=(theirs, self.hangs), daemon=True)
        self._process.start()
        self._pipe, self.port = mine, mine.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def seen(self) -> dict[int, float]:
        """When each number was read first, on the clock that all processes of the machine share."""
        self._pipe.send(None)
        found: dict[int, float] = self._pipe.recv()
        return found


def _receive(pipe: Connection, hangs: bool) -> None:
    seen: dict[int, float] = {}

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            number = number_of(body)
            if number is not None:
                seen.setdefault(number, time.monotonic())
            if hangs:
                await reader.read()  # until the other side has had enough
            else:
                writer.write(_TAKEN)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send(dict(seen))

    asyncio.run(serve())


@dataclass
class Bench:
    """A running house with a fast receiver and one that hangs."""

    running: House
    fast: Receiver
    hung: Receiver
    line: Line

    def raise_many(self, number: int) -> set[int]:
        """That many alerts, in arrays; their numbers."""
        batches = [[next(_numbers) for _ in range(min(_BATCH, number - at))] for at in range(0, number, _BATCH)]
        with ThreadPoolExecutor(_LOADERS) as pool:
            for _ in pool.map(lambda batch: self.line.send("POST", _PATH, f"[{','.join(map(alert, batch))}]"), batches):
                pass
        return {one for batch in batches for one in batch}

    def calm(self, rate: float, seconds: float) -> dict[int, float]:
        """One alert after the other at that rate; when each was sent. A late one makes no later one late."""
        sent: dict[int, float] = {}
        began = time.monotonic()

        def send(place: int) -> None:
            time.sleep(max(0.0, began + place / rate - time.monotonic()))
            number = next(_numbers)
            sent[number] = time.monotonic()
            self.line.send("POST", _PATH, alert(number))

        with ThreadPoolExecutor(_SENDERS) as pool:
            for _ in pool.map(send, range(round(rate * seconds))):
                pass
        return sent

    def await_all(self, numbers: set[int], seconds: float) -> dict[int, float]:
        found: dict[int, float] = {}

        def arrived() -> bool:
            time.sleep(0.25)
            found.update(self.fast.seen())
            return numbers <= found.keys()

        assert await_true(arrived, seconds), f"{len(numbers - found.keys())} of {len(numbers)} notices are missing"
        return {number: found[number] for number in numbers}

    def process(self, sign: str) -> psutil.Process:
        [found] = [one for one in self.running.process.children() if sign in " ".join(one.cmdline()) + " "]
        return found


def alert(number: int) -> str:
    return (
        '{"alertType":"high_error_rate","severity":"critical","message":"API error rate exceeded 5% threshold",'
        '"endpointId":"endpoint-1","modelName":"llama3.1:70b","metadata":{"errorRate":0.07,"threshold":0.05},'
        f'"labels":{{"region":"eu","number":"{number}"}}}}'
    )


@contextmanager
def told(*receivers: Receiver) -> Iterator[list[UUID]]:
    """A channel to each receiver, all of them led to by one route; they are retired at the end."""
    from alerts import roster, routes  # noqa: PLC0415 - models load once Django knows the house
    from alerts.models import Route  # noqa: PLC0415
    from organizations.scope import Scope  # noqa: PLC0415
    from tests import channels  # noqa: PLC0415

    made = [
        channels.channel(f"http://127.0.0.1:{one.port}/", name=f"bench {place}", per_minute=_FASTEST)
        for place, one in enumerate(receivers)
    ]
    route = channels.route(*made, name="bench")
    try:
        yield made
    finally:
        with Scope.of(_ORGANIZATION).enter():
            routes.delete_route(route=Route.objects.get(pk=route))
            for one in made:
                roster.retire(channel=channels.the(one), now=datetime.now(UTC))


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    for one in processes:
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            one.send_signal(signal.SIGCONT)


class Memory(threading.Thread):
    """The largest proportional set of a process while this is entered, in MiB."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process, self._ended, self.most = process, threading.Event(), 0.0

    def run(self) -> None:
        while not self._ended.wait(0.2):
            self.most = max(self.most, self._process.memory_full_info().pss / 2**20)

    def __enter__(self) -> "Memory":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def drained(bench: Bench, backlog: int, channels: int) -> dict[str, float]:
    """Deliveries a second of a backlog through so many channels, and the dispatcher's memory meanwhile."""
    dispatcher = bench.process(" dispatch ")
    before = dispatcher.memory_full_info().pss / 2**20
    with told(*[bench.fast] * channels), stopped(bench.process(" beat ")):
        with stopped(dispatcher):
            numbers = bench.raise_many(backlog // channels)
            assert waiting(bench.running) == backlog
        began = time.monotonic()
        with Memory(dispatcher) as memory:
            assert await_true(lambda: all_done(bench.running), 600)
        took = time.monotonic() - began
        bench.await_all(numbers, 5)
    return {"per_second": backlog / took, "pss_before_mib": before, "pss_most_mib": memory.most}


def waiting(running: House) -> int:
    """Notices that are not done with."""
    with psycopg.connect(admin_url(running)) as admin:
        [(number,)] = admin.execute("SELECT count(*) FROM alerts_delivery WHERE done_at IS NULL").fetchall()
    return int(number)


def all_done(running: House) -> bool:
    """Asked now and then: asking takes part of the machine, too."""
    time.sleep(0.2)
    return not waiting(running)


def latency(bench: Bench, rate: float, seconds: float) -> list[float]:
    """From the moment before each POST until the receiver has read its notice, in seconds."""
    sent = bench.calm(rate, seconds)
    there = bench.await_all(set(sent), 60)
    return [there[number] - moment for number, moment in sent.items()]


def one_round(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "drained_by_1": drained(bench, options.backlog, 1),
        "drained_by_4": drained(bench, options.backlog, 4),
    }
    with told(bench.fast):
        found["calm"] = spread(latency(bench, options.rate, options.seconds))
    with told(bench.fast, bench.hung):
        found["beside_a_hung_channel"] = spread(latency(bench, options.rate, options.seconds))
    return found


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each figure the middle one."""
    return {
        name: {each: round(statistics.median(one[name][each] for one in rounds), 1) for each in rounds[0][name]}
        for name in rounds[0]
    }


def met(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The figures that are held against what was expected."""
    seen = {
        "post_to_receiver_p99_s": round(found["calm"]["p99_ms"] / 1000, 3),
        "beside_a_hung_channel_p99_s": round(found["beside_a_hung_channel"]["p99_ms"] / 1000, 3),
    }
    return {**_EXPECTED, "found": seen, "met": all(seen[name] <= most for name, most in _EXPECTED.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    load_average = os.getloadavg()[0]
    with ExitStack() as stack:
        fast, hung = stack.enter_context(Receiver()), stack.enter_context(Receiver(hangs=True))
        allowed = f"127.0.0.1:{fast.port},127.0.0.1:{hung.port}"
        running = stack.enter_context(house(RATE_LIMIT_PER_MINUTE="100000000", OUTGOING_ALLOWED=allowed))
        settle_in(running.data_dir)
        headers = {"Authorization": f"Bearer {running.keys[_ORGANIZATION]}", "Content-Type": "application/json"}
        bench = Bench(running, fast, hung, Line(Server(running.port, headers)))
        with told(fast):
            latency(bench, options.rate, 2.0)  # warm
        rounds = [one_round(bench, options) for _ in range(options.rounds)]
        peak = running.peak_rss_mib()["dispatch"]
    found = medians(rounds)
    keep(
        "delivery",
        {
            "load_average": round(load_average, 2),
            "backlog": options.backlog,
            "calm_per_second": options.rate,
            "expected": met(found),
            "dispatch_peak_rss_mib": peak,
            **found,
            "rounds": json.loads(json.dumps(rounds), parse_float=lambda text: round(float(text), 1)),
        },
    )


if __name__ == "__main__":
    main()
