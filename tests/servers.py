"""Throwaway servers for tests: real ones, in a directory that the servers' account can reach."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from cockpit.embedded.places import Places
from cockpit.embedded.postgres import Postgres
from cockpit.embedded.valkey import Valkey

# Nothing here outlives the test run, so nothing has to survive a crash of the machine.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@contextmanager
def data_dir() -> Iterator[Path]:
    """A data directory under /tmp: short enough for sockets, open to the servers' account (tmp_path is not)."""
    path = Path(tempfile.mkdtemp(prefix="cockpit-test-", dir="/tmp"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def throwaway_postgres() -> Iterator[Places]:
    """A running cluster without any database of ours; its `admin_url` is a superuser's."""
    with data_dir() as path:
        server = Postgres(Places.of(path), FAST)
        server.start()
        try:
            yield server.places
        finally:
            server.stop()


@contextmanager
def throwaway_valkey() -> Iterator[Places]:
    """A running Valkey; its `redis_url` reaches it."""
    with data_dir() as path:
        server = Valkey(Places.of(path), {"appendonly": "no"})
        server.start()
        try:
            yield server.places
        finally:
            server.stop()


def clean_environment(**variables: str) -> dict[str, str]:
    """A person's environment for a real process: nothing of this test run's own settings in it."""
    ours = (
        "COCKPIT_",
        "DATABASE_",
        "REDIS_",
        "SECRET_",
        "KEY_",
        "TEST_",
        "DJANGO_",
        "PYTEST_",
        "MAKE",
        "ADMIN_",
        "PYTHONDONTWRITEBYTECODE",
    )  # each process would compile everything
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **variables}


def process_tree(pid: int) -> list[psutil.Process]:
    """The process and everything under it, of any depth."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def living(processes: Iterable[psutil.Process]) -> list[str]:
    """Those that still run, in words; a zombie that nobody collects does not run."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
    return found


def await_true(holds: Callable[[], object], seconds: float) -> bool:
    """Whether it comes to hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
