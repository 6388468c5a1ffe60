"""A whole cockpit: `manage.py up` on a fresh data directory, its keys, its processes; for flow tests and benchmarks."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from tests.servers import clean_environment

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct-horse-battery-staple"


@dataclass(frozen=True, slots=True)
class House:
    """A running cockpit: its address, the key of each organization, the process of the supervisor."""

    port: int
    data_dir: Path
    keys: dict[str, str]
    process: psutil.Process

    def post(
        self, body: object, organization: str = "swaggystacks", path: str = "dashboard/inference"
    ) -> tuple[int, Any]:
        """Status and answer of one POST, by default to the inference endpoint, over a connection of its own."""
        return self._ask("POST", f"/api/monitoring/{path}", organization, json.dumps(body))

    def get(self, path: str, organization: str = "swaggystacks") -> Any:
        """The answer of one GET under /api/monitoring/."""
        return self._ask("GET", f"/api/monitoring/{path}", organization)[1]

    def dashboard(self, query: str = "window=24h", organization: str = "swaggystacks") -> Any:
        """The dashboard data as JSON, of a second that has just begun: one's answer is shared by all who ask in it."""
        time.sleep(1.02 - time.time() % 1)
        return self.get(f"dashboard?{query}", organization)

    def _ask(self, method: str, path: str, organization: str, body: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.keys[organization]}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def memory_mib(self) -> dict[str, float]:
        """Proportional set size of each process by its command, in MiB."""
        found: dict[str, float] = {}
        for child in [self.process, *self.process.children(recursive=True)]:
            try:
                name = _role(child)
                found[name] = round(found.get(name, 0.0) + child.memory_full_info().pss / 2**20, 1)
            except psutil.Error:
                continue
        return found

    def peak_rss_mib(self) -> dict[str, float]:
        """The largest resident set that any process of each role has had so far, in MiB (Linux)."""
        found: dict[str, float] = {}
        for child in [self.process, *self.process.children(recursive=True)]:
            with suppress(psutil.Error, OSError):
                status = Path(f"/proc/{child.pid}/status").read_text()
                peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
                found[_role(child)] = round(max(found.get(_role(child), 0.0), peak), 1)
        return found


def _role(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    for role, sign in (("web", "granian"), ("worker", " worker"), ("beat", " beat"), ("fold", " fold"),
                       ("dispatch", " dispatch"),
                       ("demo", " demo"), ("postgres", "postgres"), ("valkey", "valkey"), ("up", " up")):  # fmt: skip
        if sign in words:
            return role
    return process.name()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def house(**environment: str) -> Iterator[House]:
    """Starts everything as `make run` does, and ends it."""
    data_dir = Path(tempfile.mkdtemp(prefix="cockpit-house-", dir="/tmp"))
    data_dir.chmod(0o711)
    port = _free_port()
    given = {"COCKPIT_DATA_DIR": str(data_dir), "PORT": str(port), "LOG_LEVEL": "warning", "ADMIN_PASSWORD": PASSWORD}
    given["DEMO"] = "0"  # flows count exactly what they send; one may still ask for it
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=clean_environment(**{**given, **environment}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        keys = _await_ready(process)
        yield House(port, data_dir, keys, psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(data_dir, ignore_errors=True)


_NAMES = {"SwaggyStacks": "swaggystacks", "ScientiaCapital": "scientia_capital", "Shared platform": "shared"}


def _await_ready(process: subprocess.Popen[str]) -> dict[str, str]:
    """The keys it prints, once it is ready; its later words are read away, so that they never fill the pipe."""
    keys: dict[str, str] = {}
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if match := re.search(r"key of (.+?)\s+(ck_\S+)", line):
            keys[_NAMES[match[1]]] = match[2]
        if re.search(r"health +http", line):
            break
    if len(keys) != len(_NAMES):
        raise RuntimeError("the cockpit did not start:\n" + "".join(said))
    Thread(target=process.stdout.read, daemon=True).start()
    return keys
