"""A whole cockpit for a benchmark: `manage.py up` on a fresh data directory, durable as it ships, and its keys."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class House:
    """A running cockpit: its address, the key of each organization, the process of the supervisor."""

    port: int
    data_dir: Path
    keys: dict[str, str]
    process: psutil.Process

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


def _role(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    for role, sign in (("web", "granian"), ("worker", " worker"), ("beat", " beat"), ("fold", " fold"),
                       ("postgres", "postgres"), ("valkey", "valkey"), ("up", " up")):  # fmt: skip
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
    data_dir = Path(tempfile.mkdtemp(prefix="cockpit-bench-", dir="/tmp"))
    data_dir.chmod(0o711)
    port = _free_port()
    given = {"COCKPIT_DATA_DIR": str(data_dir), "PORT": str(port), "LOG_LEVEL": "warning", **environment}
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"):
        given.setdefault(name, "")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    keys: dict[str, str] = {}
    names = {"SwaggyStacks": "swaggystacks", "ScientiaCapital": "scientia_capital", "Shared platform": "shared"}
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if match := re.search(r"key of (.+?)\s+(ck_\S+)", line):
                keys[names[match[1]]] = match[2]
            if re.search(r"health +http", line):
                break
        if len(keys) != 3:
            raise RuntimeError("the cockpit did not start:\n" + "".join(said))
        # What it says from now on must not fill the pipe.
        subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        yield House(port, data_dir, keys, psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(data_dir, ignore_errors=True)


def keep(name: str, result: dict[str, Any]) -> None:
    """Prints the result and keeps it beside the benchmark, with the command that made it."""
    result = {
        "benchmark": name,
        "command": " ".join(["python", "-m", f"bench.{name}", *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        **result,
    }
    text = json.dumps(result, indent=2)
    print(text)
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    (ROOT / "bench" / "results" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
