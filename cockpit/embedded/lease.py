"""Who runs the embedded services: one owner at a time, and any number of commands that lease them from it."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psycopg
from psycopg import sql

from cockpit.embedded.account import Account, prepare_data_dir
from cockpit.embedded.faults import ServiceFault, explain_os_error
from cockpit.embedded.locks import FileLock
from cockpit.embedded.places import DATABASE, Places
from cockpit.embedded.postgres import Postgres
from cockpit.embedded.server import Server
from cockpit.embedded.valkey import Valkey
from cockpit.env import Env
from organizations.database_roles import roles_sql

_POLL = 0.1
# How long a command that owns the services keeps them up for others that lease them.
_LEASES_SECONDS = 60.0
_JOIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What the owner of the services says of itself in the lock file."""

    kind: str  # "run" stays up, "command" ends by itself
    name: str
    pid: int
    url: str = ""


class AlreadyRunning(ServiceFault):
    """The services belong to another `up`, which stays."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(f"already running (pid {owner.pid}) at {owner.url}")
        self.owner = owner


class Ownership:
    """The right to run the services of one data directory; lost with the process, however that ends."""

    def __init__(self, places: Places) -> None:
        self._lock = FileLock(places.services_lock)
        self._leases = FileLock(places.leases_lock)

    def try_take(self, owner: Owner) -> bool:
        """Become the owner unless there is one."""
        if not self._lock.acquire():
            return False
        self._lock.write(json.dumps(asdict(owner)))
        return True

    def take(self, owner: Owner, *, say: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> None:
        """Become the owner; wait, and say so, while a command has the services.

        Raises:
            AlreadyRunning: when another `up` has them.
        """
        told = False
        while not self.try_take(owner):
            other = self.current()
            if other is not None and other.kind == "run":
                raise AlreadyRunning(other)
            if other is not None and not told:
                say(f"waiting for `{other.name}` (pid {other.pid}), which is using the database")
                told = True
            pause(_POLL)

    def current(self) -> Owner | None:
        """What the owner says of itself; None in the moment before it does."""
        try:
            owner = Owner(**json.loads(self._lock.read()))
            os.kill(owner.pid, 0)
        except PermissionError:  # another account's process, so it lives
            return owner
        except (ValueError, TypeError, OSError):  # nothing there, or the words of one that was killed
            return None
        return owner

    def await_leases(self, seconds: float) -> bool:
        """Wait for the commands that lease the services, and let no new one in from then on; False when time is up."""
        return self._leases.held or self._leases.acquire(seconds)

    def release(self) -> None:
        self._leases.release()
        self._lock.release()


def servers_for(env: Env, places: Places) -> list[Server]:
    """The servers that this environment leaves to us, in starting order."""
    servers: list[Server] = []
    if env.database_url is None:
        servers.append(Postgres(places))
    if env.redis_url is None:
        servers.append(Valkey(places))
    return servers


def open_places(env: Env) -> Places:
    """The data directory's places, made and checked."""
    places = Places.of(env.data_dir)
    account = Account.for_servers(places) if servers_for(env, places) else Account.caller()
    try:
        prepare_data_dir(places, account)
    except OSError as error:
        raise explain_os_error(error, places.data_dir, account.name) from error
    return places


def ensure_database(places: Places) -> None:
    """Make the database and its roles where they are missing."""
    with psycopg.connect(places.admin_url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    inside = psycopg.conninfo.make_conninfo(places.admin_url, dbname=DATABASE)
    with psycopg.connect(inside, autocommit=True) as connection:
        connection.execute(roles_sql().encode())


@contextmanager
def hold(env: Env) -> Iterator[None]:
    """Have the services that `env` leaves to us for the block: another's while it runs them, else our own.

    Raises:
        ServiceFault: when they cannot be had.
    """
    if env.database_url is not None and env.redis_url is not None:
        yield
        return
    places = open_places(env)
    servers = servers_for(env, places)
    ownership = Ownership(places)
    owner = Owner(kind="command", name=" ".join(["manage.py", *sys.argv[1:2]]), pid=os.getpid())
    deadline = time.monotonic() + _JOIN_SECONDS
    while not ownership.try_take(owner):
        lease = _join(places, servers, deadline)
        if lease is not None:
            try:
                yield
            finally:
                lease.release()
            return
        if time.monotonic() >= deadline:
            other = ownership.current()
            who = f"`{other.name}` (pid {other.pid})" if other else "another process"
            raise ServiceFault(f"{who} has the embedded services and they do not answer: stop it and try again")
        time.sleep(_POLL)
    with _running(servers, ownership):
        yield


@contextmanager
def _running(servers: list[Server], ownership: Ownership) -> Iterator[None]:
    """The servers, run by us for the block and for the leases that others took in the meantime."""
    patience = _LEASES_SECONDS
    try:
        for server in servers:
            server.prepare()
            server.spawn()
        for server in servers:
            server.await_ready(patience=120)
            if isinstance(server, Postgres):
                ensure_database(server.places)
        yield
    except KeyboardInterrupt:
        patience = 0
        raise
    finally:
        if not ownership.await_leases(0) and patience:
            sys.stderr.write("waiting for other commands that use the database\n")
            ownership.await_leases(patience)
        for server in reversed(servers):
            server.stop()
        ownership.release()


def _join(places: Places, servers: list[Server], deadline: float) -> FileLock | None:
    """A lease on the running services once they answer; None when their owner is on its way out."""
    lease, owned = FileLock(places.leases_lock, shared=True), FileLock(places.services_lock)
    if not lease.acquire():
        return None
    while time.monotonic() < deadline:
        if all(_answers(server) for server in servers):
            return lease
        if owned.acquire():
            owned.release()
            break
        time.sleep(_POLL)
    lease.release()
    return None


def _answers(server: Server) -> bool:
    if not isinstance(server, Postgres):
        return server.ready()
    try:  # as the application: its database and role may still be in the making
        with psycopg.connect(server.places.database_url, connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False
