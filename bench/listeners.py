"""Many open streams, in a process of their own, so that the one who measures is not kept from the clock.

Each listener does what an open page does: it hears `stale`, waits until 0.9 s have passed since its last look
(BREATH in static/js), and looks again over a connection that it keeps, with the ETag of what it has. A random delay of
up to 0.1 s stands for machines and networks that differ.
"""

import asyncio
import contextlib
import multiprocessing
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

_BREATH, _JITTER = 0.9, 0.1
_AGAIN = 1.0  # seconds, when the server still holds the places of those who have gone
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Seat:
    """One listener: the organization and key it listens with, and what it asks for on `stale` ("" for nothing)."""

    organization: str
    key: str
    look: str = ""
    cookie: str = ""


@dataclass(slots=True)
class Told:
    """What all listeners together have met; moments are of the machine's monotonic clock, times milliseconds."""

    open: int = 0
    refused: int = 0
    stale: int = 0
    byes: int = 0
    ended: int = 0
    last_bye: float = 0.0
    looks: int = 0
    unchanged: int = 0
    failed: int = 0
    look_ms: list[float] = field(default_factory=list)


class _Listener:
    def __init__(self, port: int, seat: Seat, told: Told) -> None:
        self.port, self.seat, self.told = port, seat, told
        self.news = asyncio.Event()

    async def listen(self) -> None:
        """Until the stream ends."""
        request = (
            f"GET /api/monitoring/stream?organization={self.seat.organization} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self.seat.key}\r\nAccept: text/event-stream\r\n\r\n"
        )
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(request.encode())
            if b" 200 " in await reader.readline():
                break
            self.told.refused += 1
            writer.close()
            await asyncio.sleep(_AGAIN)
        self.told.open += 1
        try:
            async for line in reader:
                self._heard(line)
        finally:
            self.told.ended += 1
            writer.close()

    def _heard(self, line: bytes) -> None:
        if line.startswith(b"event: stale"):
            self.told.stale += 1
            self.news.set()
        elif line.startswith(b"event: bye"):
            self.told.byes += 1
            self.told.last_bye = time.monotonic()

    async def keep_looking(self) -> None:
        """What the page does on news."""
        tag, looked = "", 0.0
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while True:
            await self.news.wait()
            await asyncio.sleep(max(0.0, looked + _BREATH - time.monotonic()) + random.uniform(0, _JITTER))
            self.news.clear()
            looked = time.monotonic()
            conditional = f"If-None-Match: {tag}\r\n" if tag else ""
            who = f"Cookie: {self.seat.cookie}" if self.seat.cookie else f"Authorization: Bearer {self.seat.key}"
            writer.write(
                f"GET {self.seat.look} HTTP/1.1\r\nHost: 127.0.0.1\r\n{who}\r\n{conditional}"
                "Accept-Encoding: gzip\r\n\r\n".encode()
            )
            status, tag = await self._answer(reader, tag)
            self.told.looks += 1
            self.told.unchanged += status == 304
            self.told.failed += status not in (200, 304)
            self.told.look_ms.append((time.monotonic() - looked) * 1000)

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, tag: str) -> tuple[int, str]:
        """(status, ETag) of an answer, read to its end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if status != 304:
            await reader.readexactly(int(fields["content-length"]))
        found = next((line[6:] for line in head.split("\r\n") if line.lower().startswith("etag: ")), tag)
        return status, found


async def _run(port: int, seats: Sequence[Seat], pipe: Connection) -> None:
    told = Told()
    listeners = [_Listener(port, seat, told) for seat in seats]
    tasks = [asyncio.create_task(one.listen()) for one in listeners]
    tasks += [asyncio.create_task(one.keep_looking()) for one in listeners if one.seat.look]
    loop = asyncio.get_running_loop()
    with contextlib.suppress(EOFError):
        while await loop.run_in_executor(None, pipe.recv) == "tell":
            pipe.send(asdict(told))
            told.look_ms.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _process(port: int, seats: Sequence[Seat], pipe: Connection) -> None:
    asyncio.run(_run(port, seats, pipe))


class Listeners:
    """A `with` block during which all seats are taken.

    Raises:
        TimeoutError: when they do not all get in.
    """

    def __init__(self, port: int, seats: Sequence[Seat]) -> None:
        self._seats = len(seats)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_process, args=(port, seats, theirs), daemon=True)

    def __enter__(self) -> "Listeners":
        self._process.start()
        began = time.monotonic()
        while self.tell()["open"] < self._seats:
            if time.monotonic() - began > _PATIENCE:
                raise TimeoutError(f"only {self.tell()['open']} of {self._seats} streams were let in")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send("end")
        self._process.join(10)
        self._process.kill()

    def tell(self) -> dict[str, Any]:
        """What they have met so far; the times of their looks are those since the last call."""
        self._pipe.send("tell")
        found: dict[str, Any] = self._pipe.recv()
        return found


def looks_between(before: dict[str, Any], after: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The looks of the listeners between two tellings, in few words."""
    if not after["look_ms"]:
        return {}
    return {
        "looks_per_second": round((after["looks"] - before["looks"]) / seconds, 1),
        "look_ms_p50": round(statistics.median(after["look_ms"]), 1),
        "look_ms_max": round(max(after["look_ms"]), 1),
        "unchanged": after["unchanged"] - before["unchanged"],
        "failed": after["failed"] - before["failed"],
    }
