"""The environment, read once: every variable typed, every fault told at once, no value ever printed."""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from psycopg import ProgrammingError, conninfo

from alerts.channels.addresses import Allowed
from alerts.channels.base import Mail
from bedrock import hosts, origins
from cockpit.outgoing import mail_of, outgoing
from cockpit.variables import Reader

ROOT = Path(__file__).resolve().parent.parent
Environment = Literal["development", "production"]

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,49}")
_MOST_ORIGINS = 50
_LEVELS = ("debug", "info", "warning", "error", "critical")


class EnvironmentFaults(Exception):
    """What is wrong with the environment: `faults` holds one line a variable, naming it and the remedy."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """The environment as typed values; ports are TCP ports, timeouts seconds, limits requests a minute."""

    environment: Environment
    log_level: str
    log_format: str
    data_dir: Path
    demo: bool
    host: str
    port: int
    prometheus_port: int
    grafana_port: int
    tracing_endpoint: str | None
    default_organization: str
    database_url: str | None
    database_owner_url: str | None
    database_pool: int
    statement_timeout: int
    redis_url: str | None
    secret_key: str
    key_pepper: tuple[str, ...]
    admin_username: str
    admin_password: str | None
    api_key: str | None
    allowed_hosts: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    embed_origins: tuple[str, ...]
    secure_cookies: bool
    trusted_proxies: int
    rate_limit_per_minute: int
    web_workers: int
    web_threads: int
    host_name: str
    gather_interval: int
    public_url: str
    web_url: str
    email_url: str | None
    email_from: str
    outgoing_allowed: tuple[Allowed, ...]
    outgoing_bridge: bool

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def mail(self) -> Mail | None:
        """The server that takes e-mail; None where none is named."""
        return mail_of(self.email_url, self.email_from) if self.email_url else None


def _database_problem(url: str) -> str | None:
    try:
        parts = conninfo.conninfo_to_dict(url)
    except ProgrammingError:
        return "is not a PostgreSQL URL (postgresql://user:password@host:5432/name)"
    return None if parts.get("dbname") and parts.get("user") else "must name a user and a database"


def _redis_problem(url: str) -> str | None:
    wrong = "must look like redis://host:6379/0, rediss://... or unix:///path?db=0"
    try:
        parts = urlsplit(url)
        network = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number, an address that is no address
        return wrong
    return None if network or (parts.scheme == "unix" and parts.path) else wrong


def _endpoint_problem(endpoint: str) -> str | None:
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        fine = bool(parts.hostname) and parts.scheme in ("", "http", "https") and (parts.port or 1) > 0
    except ValueError:
        fine = False
    return None if fine else "must look like localhost:4317 or https://host:4318"


def _embed_origins(reader: Reader, environment: str) -> tuple[str, ...]:
    found = [origins.normal(word, http=environment == "development") for word in reader.words("EMBED_ORIGINS")]
    if len(found) > _MOST_ORIGINS:
        reader.fault("EMBED_ORIGINS", f"must be at most {_MOST_ORIGINS} origins")
    elif None in found:
        reader.fault(
            "EMBED_ORIGINS",
            "must be origins such as https://app.example.org: https (http for localhost, and in development), "
            "no path, no wildcard, no slash at the end",
        )
    return tuple(dict.fromkeys(origin for origin in found if origin))


def default_data_dir() -> Path:
    """Where the cockpit keeps its own data when `COCKPIT_DATA_DIR` is not set."""
    if os.geteuid() == 0:
        return Path("/var/lib/cockpit")
    return Path.home() / ".local" / "share" / "cockpit"


def _kept_secret(data_dir: Path, name: str) -> str:
    """A secret of this installation, made on first use and kept 0600 beside the data (development only).

    It is written whole before it gets its name, so that no other process ever reads half of it.
    """
    path = data_dir / "secrets" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
        draft.unlink()
    return path.read_text(encoding="ascii").strip()


def _read_secrets(reader: Reader, environment: str, data_dir: Path) -> tuple[str, tuple[str, ...]]:
    """SECRET_KEY and KEY_PEPPER (a comma list): generated in development, demanded in production."""
    found: dict[str, tuple[str, ...]] = {}
    for name, floor in (("SECRET_KEY", 50), ("KEY_PEPPER", 32)):
        value = reader.secret(name)
        if value is None and environment == "development":
            try:
                value = _kept_secret(data_dir, name.lower())
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not readable"
                reader.fault(name, f"is not set and cannot be kept under {data_dir} ({reason}); see COCKPIT_DATA_DIR")
                value = "never used"
        if value is None:
            reader.fault(name, f"is required in production (at least {floor} random characters)")
            value = "never used"
        parts = tuple(part.strip() for part in value.split(",") if part.strip()) if name == "KEY_PEPPER" else (value,)
        if not parts or not parts[0]:
            reader.fault(name, "is empty")
        elif environment == "production" and value != "never used" and any(len(part) < floor for part in parts):
            reader.fault(name, f"is too short for production: at least {floor} random characters")
        found[name] = parts or ("never used",)
    return found["SECRET_KEY"][0], found["KEY_PEPPER"]


def _check_production(reader: Reader, env: Env) -> None:
    if not env.allowed_hosts or "*" in env.allowed_hosts:
        reader.fault("ALLOWED_HOSTS", "must name the host names served in production (never *)")
    if env.admin_password is not None and len(env.admin_password) < 12:
        reader.fault("ADMIN_PASSWORD", "is too short for production: at least 12 characters")
    if any(not origin.startswith("https://") for origin in env.csrf_trusted_origins):
        reader.fault("CSRF_TRUSTED_ORIGINS", "must be https:// origins in production")
    if not env.secure_cookies:
        reader.fault("SECURE_COOKIES", "must be true in production")


def _general(reader: Reader) -> dict[str, Any]:
    environments = ("development", "production")
    old_name = reader.text("NODE_ENV", "development")  # the documented name of another stack; "test" means development
    old_name = old_name if old_name in environments else "development"
    default_organization = reader.text("DEFAULT_ORGANIZATION", "shared")
    if not _SLUG.fullmatch(default_organization):
        reader.fault("DEFAULT_ORGANIZATION", "must be an organization's slug: lower-case letters, digits and _")
    environment = reader.choice("COCKPIT_ENV", old_name, environments)
    return {
        "environment": environment,
        "demo": reader.boolean("DEMO", True) and environment == "development",  # never in production, whatever is said
        "log_level": reader.choice("LOG_LEVEL", "info", _LEVELS),
        "log_format": reader.choice("LOG_FORMAT", "auto", ("auto", "json", "console")),
        "data_dir": Path(reader.text("COCKPIT_DATA_DIR") or default_data_dir()).expanduser().absolute(),
        "default_organization": default_organization,
        "admin_username": reader.text("ADMIN_USERNAME", "admin"),
        "admin_password": reader.secret("ADMIN_PASSWORD"),
        "api_key": reader.secret("COCKPIT_API_KEY"),
    }


def _services(reader: Reader) -> dict[str, Any]:
    tracing = reader.text("TRACING_ENDPOINT") or None
    if tracing and (problem := _endpoint_problem(tracing)):
        reader.fault("TRACING_ENDPOINT", problem)
    return {
        "database_url": reader.url("DATABASE_URL", _database_problem),
        "database_owner_url": reader.url("DATABASE_OWNER_URL", _database_problem),
        "database_pool": reader.integer("DATABASE_POOL", 0, 0, 500),
        "statement_timeout": reader.integer("STATEMENT_TIMEOUT", 30, 1, 3600),
        "redis_url": reader.url("REDIS_URL", _redis_problem),
        "tracing_endpoint": tracing,
        "host_name": hosts.host_name(reader.text("HOST_NAME")),
        "gather_interval": reader.integer("GATHER_INTERVAL", 10, 5, 3600),
        "prometheus_port": reader.integer("PROMETHEUS_PORT", 9090, 1, 65535),
        "grafana_port": reader.integer("GRAFANA_PORT", 3000, 1, 65535),
    }


def _web(reader: Reader, environment: str) -> dict[str, Any]:
    local = ("localhost", "127.0.0.1", "[::1]") if environment == "development" else ()
    return {
        "host": reader.text("HOST", "127.0.0.1"),
        "port": reader.integer("PORT", 3001, 1, 65535),
        "allowed_hosts": reader.words("ALLOWED_HOSTS", local),
        "csrf_trusted_origins": reader.words("CSRF_TRUSTED_ORIGINS"),
        "embed_origins": _embed_origins(reader, environment),
        "secure_cookies": reader.boolean("SECURE_COOKIES", environment == "production"),
        "trusted_proxies": reader.integer("TRUSTED_PROXIES", 0, 0, 10),
        "rate_limit_per_minute": reader.integer("RATE_LIMIT_PER_MINUTE", 60_000, 1, 100_000_000),
        "web_workers": reader.integer("WEB_WORKERS", 1, 1, 64),
        "web_threads": reader.integer("WEB_THREADS", 256, 1, 4096),
    }


def read(environ: Mapping[str, str]) -> Env:
    """The typed environment.

    Raises:
        EnvironmentFaults: with one line for every variable that is missing, unsafe or malformed.
    """
    reader = Reader(environ)
    general = _general(reader)
    secret_key, key_pepper = _read_secrets(reader, general["environment"], general["data_dir"])
    services, web = _services(reader), _web(reader, general["environment"])
    reached = outgoing(reader, general["environment"], web)
    env = Env(secret_key=secret_key, key_pepper=key_pepper, **general, **services, **web, **reached)
    if env.production:
        _check_production(reader, env)
    for name in sorted(environ):
        if name.startswith("COCKPIT_") and name not in reader.seen:
            reader.fault(name, "is not a setting of the cockpit")
    if reader.faults:
        raise EnvironmentFaults(reader.faults)
    return env


def with_file(environ: Mapping[str, str], path: Path = ROOT / ".env") -> dict[str, str]:
    """`environ` over what the `.env` file says: NAME=value lines, # comments, quotes that keep all between them."""
    found = dotenv_values(path, interpolate=False, encoding="utf-8") if path.is_file() else {}
    return {**{name: value for name, value in found.items() if value is not None}, **environ}


def load() -> Env:
    """The environment of this process, with the project's `.env` under it."""
    return read(with_file(os.environ))
