"""The roles that `up` runs, as data: command, environment, order, and what tells that one is ready."""

import http.client
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bedrock.hosts import queue_of
from cockpit.embedded.places import Places
from cockpit.embedded.server import Server
from cockpit.env import ROOT, Env

_WEB_POOL = 16
_WEB_STATEMENT_TIMEOUT = 5
_WEB_BACKPRESSURE = 512
# Celery warns root because of pickled messages; ours are JSON only.
_NO_ROOT_WARNING = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One supervised process. Roles of a lower order start first and stop last; those of one order stop together."""

    name: str
    order: int
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    server: Server | None = None  # an embedded server makes its own command
    ready: Callable[[], bool] | None = None
    patience: float = 60
    omit: str = ""  # lines of its output that hold this say nothing to anybody


def server_roles(servers: list[Server]) -> list[Role]:
    """The embedded servers, in starting order."""
    return [
        Role(name=server.name, order=order, server=server, ready=server.ready, patience=120)
        for order, server in enumerate(servers)
    ]


def python_roles(env: Env, places: Places) -> list[Role]:
    """Everything of our own that runs for as long as the system does."""
    celery = (sys.executable, "-m", "celery", "--quiet", "-A", "cockpit")
    level = ("-l", env.log_level)
    # Threads: no pool of processes that could be left behind. One worker has nobody to gossip with.
    queues = ("-Q", f"celery,{queue_of(env.host_name)}")
    worker = ("worker", "-P", "threads", "-c", "4", "--without-gossip", "--without-mingle", *queues, *level)
    beat = ("beat", "-s", str(places.beat_schedule), "--pidfile=", *level)
    with_owner = child_environment(env, places, owner=True)
    without_owner = child_environment(env, places, owner=False)
    return [
        Role(
            name="web",
            order=10,
            command=_granian(env),
            environment={
                **without_owner,
                "DATABASE_POOL": str(env.database_pool or _WEB_POOL),
                "STATEMENT_TIMEOUT": str(_WEB_STATEMENT_TIMEOUT),
            },
            ready=partial(web_answers, env.host, env.port, next(iter(env.allowed_hosts), "localhost").lstrip(".")),
            omit="Configuration allows spawning up to",  # that many threads are meant: most of them wait
        ),
        Role(name="worker", order=10, command=(*celery, *worker), environment={**with_owner, **_NO_ROOT_WARNING}),
        Role(name="beat", order=10, command=(*celery, *beat), environment=without_owner),
        Role(name="fold", order=10, command=manage("fold"), environment=without_owner),
        Role(name="dispatch", order=10, command=manage("dispatch"), environment=without_owner),
    ]


def demo_role(env: Env, places: Places) -> Role:
    """What fills the rest of the demo's month and goes on with its present; in development only."""
    return Role(
        name="demo", order=10, command=manage("demo", "run"), environment=child_environment(env, places, owner=False)
    )


def manage(*arguments: str) -> tuple[str, ...]:
    """A command line of manage.py."""
    return (sys.executable, str(ROOT / "manage.py"), *arguments)


def child_environment(env: Env, places: Places, *, owner: bool) -> dict[str, str]:
    """What every child is told explicitly, so that it starts no services and takes no lease.

    Only `owner` roles can change tables; for the others the owner's URL is blanked, which also hides one in `.env`.
    """
    owner_url = env.database_owner_url or (places.database_owner_url if env.database_url is None else "")
    urls = {
        "DATABASE_URL": env.database_url or places.database_url,
        "DATABASE_OWNER_URL": owner_url if owner else "",
        "REDIS_URL": env.redis_url or places.redis_url,
    }
    return {
        **urls,
        **{f"{name}_FILE": "" for name in urls},  # already read; both would be a fault
        "COCKPIT_DATA_DIR": str(env.data_dir),
        "LOG_FORMAT": _log_format(env),
        "PORT": str(env.port),
        "HOST_NAME": env.host_name,  # the worker's queue is named so; its own reading of it must be the same
        "PYTHONUNBUFFERED": "1",
    }


def _log_format(env: Env) -> str:
    """A child writes into our pipe, so it cannot see for itself that a person reads along."""
    return "console" if env.log_format == "auto" and sys.stderr.isatty() else env.log_format


def web_address(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - nothing binds here


def web_answers(host: str, port: int, name: str = "localhost") -> bool:
    """Whether the web role is ready, asked by a host `name` that it serves (production may not serve localhost)."""
    connection = http.client.HTTPConnection(web_address(host), port, timeout=5)
    try:
        connection.request("GET", "/api/health/ready", headers={"Host": name})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _granian(env: Env) -> tuple[str, ...]:
    options = {
        "--interface": "wsgi",
        "--host": env.host,
        "--port": str(env.port),
        "--workers": str(env.web_workers),
        "--blocking-threads": str(env.web_threads),
        "--backpressure": str(_WEB_BACKPRESSURE),
        "--workers-kill-timeout": "5s",
        "--log-level": "warning" if env.log_level == "info" else env.log_level,
    }
    flags = [word for option in options.items() for word in option]
    return (sys.executable, "-m", "granian", *flags, "--no-ws", "--respawn-failed-workers", "cockpit.wsgi:application")
