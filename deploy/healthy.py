"""`python -m deploy.healthy ROLE`: whether this container's role (web, worker, ...) works; exit 0, or 1 and why."""

import http.client
import socket
import sys
import time
from collections.abc import Callable

import psycopg
from django.utils.module_loading import import_string

from cockpit import env as environment
from cockpit.embedded.places import Places
from cockpit.env import Env
from cockpit.roles import web_address

BEAT_PATIENCE = 1500.0  # seconds: beat writes its schedule when it sends something, at least every ten minutes
TALK_PATIENCE = 45.0  # seconds: both ask every second or two, and again after 30 at most while the database is away
_PING_SECONDS = 5.0

# The other sessions of this container; its address is its own, so nobody else's are seen.
_LAST_WORD = """
SELECT extract(epoch FROM clock_timestamp() - max(state_change))::float8 FROM pg_stat_activity
WHERE application_name = 'cockpit' AND usename = current_user AND pid <> pg_backend_pid()
AND client_addr IS NOT DISTINCT FROM inet_client_addr()
"""


def web(env: Env) -> str | None:
    """It is ready, asked by a name it serves."""
    connection = http.client.HTTPConnection(web_address(env.host), env.port, timeout=5)
    try:
        host = env.allowed_hosts[0].lstrip(".") if env.allowed_hosts else "localhost"
        connection.request("GET", "/api/health/ready", headers={"Host": host})
        answer = connection.getresponse()
        return None if answer.status == 200 else f"{answer.status} {answer.read(500).decode(errors='replace')}"
    finally:
        connection.close()


def worker(env: Env) -> str | None:
    """The worker of this container answers a ping through the broker."""
    name = f"celery@{socket.gethostname()}"
    app = import_string("cockpit.celery.app")
    return None if app.control.inspect(destination=[name], timeout=_PING_SECONDS).ping() else f"{name} does not answer"


def beat(env: Env) -> str | None:
    """Its schedule was written lately (some of the formats add an ending to the file's name)."""
    schedule = Places.of(env.data_dir).beat_schedule
    written = max((path.stat().st_mtime for path in schedule.parent.glob(f"{schedule.name}*")), default=0.0)
    age = time.time() - written
    return None if age < BEAT_PATIENCE else "the schedule is not written" + (f" for {age:.0f} s" if written else "")


def talks(env: Env) -> str | None:
    """Its session has spoken with the database lately; a folder or dispatcher that hangs, or cannot work, has not."""
    with psycopg.connect(env.database_url or Places.of(env.data_dir).database_url, connect_timeout=5) as connection:
        row = connection.execute(_LAST_WORD).fetchone()
    silence = row[0] if row else None
    if silence is None:
        return "no session with the database"
    return None if silence < TALK_PATIENCE else f"silent for {silence:.0f} s"


CHECKS: dict[str, Callable[[Env], str | None]] = {
    "web": web, "worker": worker, "beat": beat, "fold": talks, "dispatch": talks,
}  # fmt: skip


def main() -> None:
    """The command line."""
    check = CHECKS.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if check is None:
        raise SystemExit(f"usage: python -m deploy.healthy {'|'.join(CHECKS)}")
    try:
        problem = check(environment.load())
    except Exception as error:
        problem = type(error).__name__  # its text may name hosts and users
    if problem:
        raise SystemExit(f"{sys.argv[1]}: {problem}")


if __name__ == "__main__":
    main()
