"""A receiver of webhooks on this machine that does what its script says, well or badly, and remembers what it got.

    with Receiver([answer(503), answer(200)]) as receiver:
        client.post(receiver.url("/hook"), b"{}", {})
        (request,) = receiver.await_requests(1)

The script is a list of steps (one a request, in the order they are read; the last one goes on) or a callable that is
given the request, in the request's own thread. Each connection carries one request.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

_MOST_HEAD = 1 << 20
_GARBAGE = b"x" * 65536


@dataclass(frozen=True)
class Request:
    """One request as it came; names of headers in lower case, `at` is `time.monotonic()` when it had been read."""

    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Line:
    """A connection in the hands of a step."""

    def __init__(self, sock: socket.socket, ended: threading.Event) -> None:
        self.sock, self._ended = sock, ended

    def say(self, data: bytes) -> None:
        """Raises OSError when the other side has gone."""
        self.sock.sendall(data)

    def wait(self, seconds: float) -> bool:
        """False when the receiver ends meanwhile."""
        return not self._ended.wait(seconds)

    def silence(self) -> None:
        """Nothing, until the other side goes or the receiver ends."""
        with suppress(OSError):
            while self.sock.recv(65536):
                pass

    def stall(self) -> None:
        """Nothing, not even read, until the receiver ends."""
        self._ended.wait()

    def drip(self, data: bytes, seconds: float) -> None:
        """A byte each so many seconds, from the beginning again for ever."""
        while True:
            for number in range(len(data)):
                self.say(data[number : number + 1])
                if not self.wait(seconds):
                    return

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()


@dataclass(frozen=True)
class Step:
    """What is done with one connection: `do` after `delay` seconds; `unread` before anything of it is read."""

    do: Callable[[Line], None]
    delay: float = 0.0
    unread: bool = False


Script = Sequence[Step] | Callable[[Request], Step]


def raw(data: bytes, *, delay: float = 0.0) -> Step:
    """Exactly these bytes, then the end of the connection."""
    return Step(lambda line: line.say(data), delay)


def answer(
    status: int = 200, body: bytes = b"ok", headers: Mapping[str, str] | None = None, *, delay: float = 0.0
) -> Step:
    lines = [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{''.join(lines)}\r\n"
    return raw(head.encode("latin-1") + body, delay=delay)


def redirect(to: str, status: int = 302) -> Step:
    return answer(status, b"elsewhere", {"Location": to})


def hang(*, unread: bool = False) -> Step:
    """No answer, for as long as the other side waits."""
    return Step(Line.silence, unread=unread)


def stall() -> Step:
    """Not even read: what the other side sends fills the buffers between."""
    return Step(Line.stall, unread=True)


def drip_head(seconds: float = 1.0) -> Step:
    """A status, then a header that goes on byte by byte without end."""

    def do(line: Line) -> None:
        line.say(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        line.drip(b"z", seconds)

    return Step(do)


def drip_body(seconds: float = 1.0, status: int = 200) -> Step:
    """A whole head, then a body that goes on byte by byte without end."""

    def do(line: Line) -> None:
        line.say(f"HTTP/1.1 {status} OK\r\nContent-Length: 1000000\r\n\r\n".encode())
        line.drip(b"z", seconds)

    return Step(do)


def reset(*, unread: bool = False) -> Step:
    """A reset after the whole request, or before anything of it is read."""
    return Step(Line.reset, unread=unread)


def close(*, unread: bool = False) -> Step:
    """The end without a byte."""
    return Step(lambda line: None, unread=unread)


def half_close() -> Step:
    """The end of what is said, while the connection stays open for what is heard."""

    def do(line: Line) -> None:
        socket.socket.shutdown(line.sock, socket.SHUT_WR)
        line.silence()

    return Step(do)


def cut_head() -> Step:
    return raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/pl")


def cut_body(status: int = 200) -> Step:
    return raw(f"HTTP/1.1 {status} OK\r\nContent-Length: 100\r\n\r\nonly this".encode())


def huge_body(status: int = 200) -> Step:
    """Ten gigabytes, as fast as they are taken."""

    def do(line: Line) -> None:
        line.say(f"HTTP/1.1 {status} OK\r\nContent-Length: 10000000000\r\n\r\n".encode())
        while line.wait(0):
            line.say(_GARBAGE)

    return Step(do)


def endless_headers() -> Step:
    """Many headers, each a kilobyte, as fast as they are taken."""

    def do(line: Line) -> None:
        line.say(b"HTTP/1.1 200 OK\r\n")
        while line.wait(0):
            line.say(b"X-More: " + _GARBAGE[:1000] + b"\r\n")

    return Step(do)


def endless_header() -> Step:
    """One header without an end, as fast as it is taken."""

    def do(line: Line) -> None:
        line.say(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while line.wait(0):
            line.say(_GARBAGE)

    return Step(do)


def endless_interims() -> Step:
    """100 Continue again and again, as fast as it is taken."""

    def do(line: Line) -> None:
        while line.wait(0):
            line.say(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    return Step(do)


@dataclass
class Receiver:
    """Listens while it is entered, at a port of its own unless one is named; with `tls` it speaks https."""

    script: Script = ()
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    connections: int = 0  # accepted so far
    _requests: list[Request] = field(default_factory=list)
    _step: int = 0
    _open: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> "Receiver":
        self._changed, self._ended = threading.Condition(), threading.Event()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="receiver", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends every connection and every thread."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # `accept` returns
        self._acceptor.join(10)
        self._listener.close()
        with self._changed:
            for sock in self._open:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            if not self._changed.wait_for(lambda: not self._open, 10):
                raise AssertionError("a connection of the receiver does not end")

    @property
    def requests(self) -> list[Request]:
        """All so far, in the order they were read."""
        with self._changed:
            return list(self._requests)

    def url(self, path: str = "/", host: str = "") -> str:
        host = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def await_requests(self, number: int, seconds: float = 30.0) -> list[Request]:
        """All so far, as soon as there are so many; an AssertionError when that takes too long."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= number, seconds):
                raise AssertionError(f"{len(self._requests)} of {number} requests after {seconds} seconds")
            return list(self._requests)

    def forget(self) -> None:
        """As if nothing had come yet; the script begins anew."""
        with self._changed:
            self._requests.clear()
            self._step = self.connections = 0

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                continue  # the end, or a connection that went before it was taken
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), name="receiver-connection", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        wire = sock
        try:
            if self.tls:
                with self._changed:
                    self._open.discard(sock)
                    wire = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    self._open.add(wire)
                assert isinstance(wire, ssl.SSLSocket)
                wire.do_handshake()
            self._converse(wire)
        except OSError:
            pass  # it went away
        finally:
            wire.close()
            with self._changed:
                self._open.discard(wire)
                self._changed.notify_all()

    def _converse(self, wire: socket.socket) -> None:
        line = Line(wire, self._ended)
        step = self._next(unread=True)
        if step is None:
            request = _read(wire)
            if request is None:
                return
            with self._changed:
                self._requests.append(request)
                self._changed.notify_all()
            step = self.script(request) if callable(self.script) else self._next(unread=False)
        if step is not None and line.wait(step.delay):
            step.do(line)

    def _next(self, *, unread: bool) -> Step | None:
        """The script's next step; when it is asked for before anything is read, only one that wants just that."""
        if callable(self.script):
            return None
        with self._changed:
            step = self.script[min(self._step, len(self.script) - 1)] if self.script else answer()
            if unread and not step.unread:
                return None
            self._step += 1
            return step


def _read(sock: socket.socket) -> Request | None:
    """One request, or None where the other side went before its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more or len(data) > _MOST_HEAD:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    missing = int(headers.get("content-length", "0")) - len(body)
    pieces = [body]
    while missing > 0:
        more = sock.recv(65536)
        if not more:
            return None
        pieces.append(more)
        missing -= len(more)
    return Request(time.monotonic(), method, path, headers, b"".join(pieces))
