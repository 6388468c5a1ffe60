"""What the embedded servers have in common: prepare, spawn, wait until ready, stop."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import IO, ClassVar

from cockpit.embedded import process
from cockpit.embedded.account import Account, prepare_data_dir
from cockpit.embedded.binaries import SERVER_ENVIRONMENT
from cockpit.embedded.faults import ServiceFault, explain, explain_os_error
from cockpit.embedded.locks import FileLock
from cockpit.embedded.places import Places

_LOG_LIMIT = 10_000_000
# A server whose owner was killed needs a moment to end (Postgres writes a checkpoint); the next start waits so long.
PREDECESSOR_SECONDS = 20.0


class Server(ABC):
    """One server on a data directory of its own; kill -9 of it or of us leaves nothing that a start cannot mend."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[int]
    stop_hard: ClassVar[int]

    def __init__(self, places: Places, settings: Mapping[str, str] | None = None) -> None:
        self.places = places
        self.settings = dict(settings or {})
        self.version = ""
        self.child: subprocess.Popen[bytes] | None = None
        self._lock = FileLock(places.server_lock(self.name))
        self._log_start = 0

    @property
    def account(self) -> Account:
        """Who the server runs as."""
        return Account.for_servers(self.places)

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    @property
    def log(self) -> Path:
        return self.places.log_dir / f"{self.name}.log"

    def start(self, patience: float = 120) -> None:
        """Start the server and return when it answers.

        Raises:
            ServiceFault: with one line that says why it does not run and what to do.
        """
        self.prepare()
        self.spawn()
        self.await_ready(patience)

    def prepare(self, patience: float = PREDECESSOR_SECONDS) -> None:
        """Take the data directory, waiting `patience` seconds for a predecessor, and make it fit to start on."""
        if self.running:
            raise ServiceFault(f"{self.title} is already running (pid {self.child.pid if self.child else '?'})")
        account = self.account
        try:
            prepare_data_dir(self.places, account)
            if not self._lock.held and not self._lock.acquire(patience):
                raise ServiceFault(f"another process is running {self.title} on {self.places.data_dir}: stop it first")
            self._prepare(account)
        except OSError as error:
            self._lock.release()
            raise explain_os_error(error, self.places.data_dir, account.name) from error
        except BaseException:
            self._lock.release()
            raise

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the prepared server as a child that holds the data directory's lock for as long as any of it lives."""
        with self._open_log() as log:
            self._log_start = log.tell()
            self.child = process.spawn(
                self._command(),
                environment=SERVER_ENVIRONMENT,
                directory=Path("/"),
                output=log,
                death_signal=self.stop_signal,
                owner=self.account.owner,
                keep=[self._lock.descriptor],
            )
        self._lock.release()
        return self.child

    def await_ready(self, patience: float) -> None:
        """Wait until the server answers; a server that ends instead, or never does, is a fault and is stopped."""
        deadline = time.monotonic() + patience
        while not self.ready():
            if not self.running:
                raise self.fault()
            if time.monotonic() >= deadline:
                self.stop()
                raise ServiceFault(f"{self.title} did not answer within {patience:.0f} s; see {self.log}")
            time.sleep(0.02)

    def fault(self) -> ServiceFault:
        """Why the server ended, from what it wrote since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            output = log.read().decode(errors="replace")
        return explain(self.title, output, place=self.places.data_dir, account=self.account.name, log=self.log)

    def stop(self, patience: float = 10) -> None:
        """Stop the server cleanly, within `patience` seconds by force; nothing when it does not run."""
        if self.child is not None:
            process.end(self.child, [(self.stop_signal, patience), (self.stop_hard, 2)])

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server answers."""

    @abstractmethod
    def _prepare(self, account: Account) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _open_log(self) -> IO[bytes]:
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab")

    def _run(self, command: list[str], account: Account) -> tuple[int, str]:
        """Run a helper program as the account to its end."""
        child = process.spawn(
            command,
            environment=SERVER_ENVIRONMENT,
            directory=Path("/"),
            output=subprocess.PIPE,
            death_signal=signal.SIGKILL,
            owner=account.owner,
            keep=[self._lock.descriptor],
        )
        output, _ = child.communicate()
        return child.returncode, output.decode(errors="replace")
