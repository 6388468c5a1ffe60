"""The unprivileged account that embedded servers run as, and the directories it may enter."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from cockpit.embedded.faults import ServiceFault
from cockpit.embedded.places import Places

# Everything that belongs in a data directory of ours; one that holds only such names is ours to open for the account.
_OUR_NAMES = frozenset({"secrets", "run", "postgres", "valkey", "log", "binaries", "beat"})
_CANDIDATES = ("postgres", "cockpit", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as; `other` when that is not the caller."""

    name: str
    uid: int
    gid: int

    @property
    def other(self) -> bool:
        return self.uid != os.geteuid()

    @property
    def owner(self) -> tuple[int, int]:
        return self.uid, self.gid

    @classmethod
    def caller(cls) -> "Account":
        """Who runs this process."""
        return cls(_name_of(os.geteuid()), os.geteuid(), os.getegid())

    @classmethod
    def for_servers(cls, places: Places) -> "Account":
        """The caller, or for root the account that owns the existing data, else the first that exists."""
        if os.geteuid() != 0:
            return cls.caller()
        for directory in (places.postgres_dir, places.valkey_dir):
            if directory.is_dir() and directory.stat().st_uid != 0:
                known = directory.stat()
                return cls(_name_of(known.st_uid), known.st_uid, known.st_gid)
        for name in _CANDIDATES:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            if entry.pw_uid != 0:
                return cls(name, entry.pw_uid, entry.pw_gid)
        raise ServiceFault(
            "servers do not run as root and none of the accounts postgres, cockpit, nobody exists: "
            "make one with `useradd --system cockpit`"
        )

    def may_enter(self, directory: Path) -> bool:
        """Whether the mode of `directory` itself lets the account pass through it."""
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def prepare_data_dir(places: Places, account: Account) -> None:
    """Make the data directory and those directly in it that are ours; let the account through, and through no other."""
    places.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    own_directory(places.log_dir, os.geteuid(), os.getegid())
    if account.other:
        _let_through(places.data_dir, account)
    _own_runtime_dir(places.runtime_dir, open_to_others=account.other)


def own_directory(path: Path, uid: int, gid: int, *, mode: int = 0o700) -> None:
    """Make `path` (its parent exists), or check that it is a directory of that user, with exactly `mode`."""
    made = False
    try:
        path.mkdir(mode=mode)
        made = True
    except FileExistsError:
        pass
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or not (made or status.st_uid == uid):
        raise ServiceFault(f"{path} is not a directory of {_name_of(uid)}: move it away or change its owner")
    if made and status.st_uid != uid:
        os.chown(path, uid, gid)
    if stat.S_IMODE(status.st_mode) != mode:
        path.chmod(mode)


def _own_runtime_dir(path: Path, *, open_to_others: bool) -> None:
    own_directory(path, os.geteuid(), os.getegid(), mode=0o711 if open_to_others else 0o700)


def _let_through(data_dir: Path, account: Account) -> None:
    if not account.may_enter(data_dir):
        names = {entry.name for entry in data_dir.iterdir() if not entry.name.endswith(".lock")}
        if data_dir.stat().st_uid == os.geteuid() and names <= _OUR_NAMES:
            data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) | stat.S_IXOTH)
    for directory in (data_dir, *data_dir.parents):
        if not account.may_enter(directory):
            raise ServiceFault(
                f"the account {account.name}, which the servers run as, cannot enter {directory}: "
                "set COCKPIT_DATA_DIR to a directory it can reach, such as /var/lib/cockpit"
            )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
