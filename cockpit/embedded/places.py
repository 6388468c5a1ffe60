"""Where the embedded services keep their files and how they are reached; pure names, nothing is touched."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

DATABASE = "cockpit"
ADMIN_ROLE = "cockpit_admin"
OWNER_ROLE = "cockpit_owner"
APP_ROLE = "cockpit_app"

# A socket's path must fit into 104 bytes (macOS; 108 on Linux), and libpq appends this name to the directory.
_SOCKET_LIMIT = 100
_POSTGRES_SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Every path and URL of the embedded services of one data directory."""

    data_dir: Path
    runtime_dir: Path

    @classmethod
    def of(cls, data_dir: Path) -> "Places":
        runtime_dir = data_dir / "run"
        if len(bytes(runtime_dir / "postgres" / _POSTGRES_SOCKET)) >= _SOCKET_LIMIT:
            digest = hashlib.sha256(bytes(data_dir)).hexdigest()[:16]
            runtime_dir = Path("/tmp") / f"cockpit-{digest}"  # noqa: S108 - its owner is checked before it is used
        return cls(data_dir=data_dir, runtime_dir=runtime_dir)

    @property
    def postgres_dir(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def postgres_data(self) -> Path:
        return self.postgres_dir / "data"

    @property
    def postgres_socket_dir(self) -> Path:
        return self.runtime_dir / "postgres"

    @property
    def valkey_dir(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def valkey_socket_dir(self) -> Path:
        return self.runtime_dir / "valkey"

    @property
    def valkey_socket(self) -> Path:
        return self.valkey_socket_dir / "valkey.sock"

    @property
    def binaries_dir(self) -> Path:
        return self.data_dir / "binaries"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def beat_schedule(self) -> Path:
        return self.data_dir / "beat" / "schedule"

    @property
    def services_lock(self) -> Path:
        """Held exclusively by whoever owns the running services; its text says who."""
        return self.data_dir / "services.lock"

    @property
    def leases_lock(self) -> Path:
        """Held shared by every command that uses services which another process owns."""
        return self.data_dir / "leases.lock"

    def server_lock(self, server: str) -> Path:
        """Held by a server's own processes through an inherited descriptor, so it is free once all of them are gone."""
        return self.data_dir / f"{server}.lock"

    @property
    def database_url(self) -> str:
        return self._postgres_url(APP_ROLE, DATABASE)

    @property
    def database_owner_url(self) -> str:
        return self._postgres_url(OWNER_ROLE, DATABASE)

    @property
    def admin_url(self) -> str:
        return self._postgres_url(ADMIN_ROLE, "postgres")

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.valkey_socket))}?db=0"

    def _postgres_url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self.postgres_socket_dir), safe='')}"


def broker_url(redis_url: str) -> str:
    """A Redis URL as Celery spells it: unix:///path?db=0 is redis+socket:///path?virtual_host=0 there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
