"""The receivers that the demo's channels tell: on this machine alone, quick as a rule, now and then away or slow."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

HOST = "127.0.0.1"
AWAY_EVERY, SLOW_EVERY = 9, 7  # notices to the bus
_SLOW = 2.0  # seconds
_MOST = 1 << 20  # bytes that are read


class Receivers:
    """One server for all of them, at a port of its own while it is entered."""

    def __enter__(self) -> "Receivers":
        self._server = _Server((HOST, 0), _Handler)
        Thread(target=self._server.serve_forever, name="receivers", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # who is slow is not waited for

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.numbers = count(1)  # of the notices to the bus


class _Handler(BaseHTTPRequestHandler):
    """By the first part of the path: slack, pagerduty, teams, and anything else is the bus."""

    timeout = 10  # seconds for what is slowly sent
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _MOST:
            self.close_connection = True
            self._say(413, "too long")
            return
        body = self.rfile.read(int(length))
        match self.path.split("/")[1:2]:
            case ["slack"]:
                self._say(200, "ok")
            case ["pagerduty"]:
                self._say(202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": _key(body)}))
            case ["teams"]:
                self._say(202, "")
            case _:
                self._take_the_bus()

    def _take_the_bus(self) -> None:
        number = next(self.server.numbers)
        if number % AWAY_EVERY == 0:
            self._say(503, "busy")
            return
        if number % SLOW_EVERY == 0:
            time.sleep(_SLOW)
        self._say(200, '{"taken":true}')

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *given: object) -> None:
        """Nothing: the delivery log tells all of it."""


def _key(body: bytes) -> str:
    try:
        return str(json.loads(body).get("dedup_key", ""))[:255]
    except (ValueError, AttributeError):
        return ""
