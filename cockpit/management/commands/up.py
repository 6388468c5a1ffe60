"""`manage.py up`: the whole system in one command, until it is told to stop."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from typing import Any

import psutil
from django.core.management.base import BaseCommand, CommandParser

from cockpit import env as environment
from cockpit import roles
from cockpit.console import Console
from cockpit.embedded import lease, process
from cockpit.embedded.account import Account, own_directory
from cockpit.embedded.faults import ServiceFault
from cockpit.embedded.places import Places
from cockpit.env import Env
from cockpit.management.commands.demo import OTHERS_THERE
from cockpit.roles import Role
from cockpit.supervisor import RoleFault, Stopped, Supervisor

_NEEDED_BYTES = 50_000_000
_LEASES_SECONDS = 2.0


class Command(BaseCommand):
    help = "Starts everything: PostgreSQL and Valkey unless URLs are given, migrations, web, worker, beat, fold."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent", type=int, help="stop when this process, which started us, ends")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["parent"]:
            process.die_with_parent(signal.SIGTERM, options["parent"])
        console = Console()
        supervisor = Supervisor(console)
        with contextlib.suppress(Stopped):  # while we waited for our turn
            _Up(environment.load(), console, supervisor).run()


class _Up:
    """The steps of one `up`, in order."""

    def __init__(self, env: Env, console: Console, supervisor: Supervisor) -> None:
        self._env = env
        self._console = console
        self._supervisor = supervisor
        self._begun = time.monotonic()
        self._url = f"http://{_for_url(roles.web_address(env.host))}:{env.port}"

    def run(self) -> None:
        """Everything from the first check to the last stop."""
        places = lease.open_places(self._env)
        ownership = lease.Ownership(places)
        me = lease.Owner(kind="run", name="manage.py up", pid=os.getpid(), url=self._url)
        ownership.take(me, say=self._console.say, pause=self._supervisor.pause)
        try:
            self._check_machine(places)
            self._start(places)
            self._supervisor.watch()
        except Stopped:
            pass
        finally:
            self._stop(ownership)

    def _stop(self, ownership: lease.Ownership) -> None:
        begun, anything = time.monotonic(), bool(self._supervisor.pids)
        if anything:
            self._console.say("stopping")
        self._supervisor.stop(meanwhile=lambda: ownership.await_leases(_LEASES_SECONDS))
        ownership.release()
        if anything:
            self._console.say(f"stopped in {time.monotonic() - begun:.1f} s")

    def _check_machine(self, places: Places) -> None:
        if taken := port_taken(self._env.host, self._env.port):
            raise ServiceFault(f"port {self._env.port} is taken{taken}: stop that, or set PORT to another number")
        free = shutil.disk_usage(places.data_dir).free
        if free < _NEEDED_BYTES:
            raise ServiceFault(
                f"the disk under {places.data_dir} is full ({free // 1_000_000} MB free, {_NEEDED_BYTES // 1_000_000} "
                "needed): free some space, or set COCKPIT_DATA_DIR to another disk"
            )

    def _start(self, places: Places) -> None:
        env = self._env
        servers = lease.servers_for(env, places)
        self._console.say(f"AI Development Cockpit, data in {places.data_dir}")
        account = Account.for_servers(places)
        if servers and account.other:
            self._console.say(f"  the servers run as the account {account.name}, everything else as you")
        self._supervisor.start(roles.server_roles(servers))
        if env.database_url is None:
            lease.ensure_database(places)
        self._migrate(places)
        if env.production and self._manage(places, "collectstatic", "--noinput", "--verbosity=0", owner=False) != 0:
            raise RoleFault("the static files could not be collected; why stands above")
        own_directory(places.beat_schedule.parent, os.geteuid(), os.getegid())
        demo = [roles.demo_role(env, places)] if env.demo and self._demo_is_there(places) else []
        self._supervisor.start([*roles.python_roles(env, places), *demo])
        self._console.say(f"ready after {time.monotonic() - self._begun:.1f} s; Ctrl-C stops everything")
        self._console.say(f"  dashboards  {self._url}/")
        self._console.say(f"  admin       {self._url}/admin/")
        self._console.say(f"  health      {self._url}/api/health")

    def _migrate(self, places: Places) -> None:
        if self._env.database_url is not None and self._env.database_owner_url is None:
            if self._manage(places, "migrate", "--check", "--database=default", owner=False) != 0:
                raise ServiceFault(
                    "the tables are not up to date and DATABASE_OWNER_URL is not set: have an administrator run the "
                    "output of `manage.py roles --sql`, then set DATABASE_OWNER_URL to the role cockpit_owner"
                )
            self._console.say("warning: DATABASE_OWNER_URL is not set; partitions must be prepared by somebody else")
            return
        begun = time.monotonic()
        if self._manage(places, "migrate", "--noinput", "--verbosity=0") != 0:
            raise RoleFault("the migrations failed; what they said stands above")
        self._console.ready("migrations", time.monotonic() - begun)
        if self._env.database_url and self._manage(places, "check", "--database=default", owner=False) != 0:
            raise RoleFault("the database role is not fit to serve; why stands above")
        if self._manage(places, "first_run", plain=True) != 0:
            raise RoleFault("the first run failed; what it said stands above")

    def _demo_is_there(self, places: Places) -> bool:
        """An empty database gets the demo's last day before the first page; one with data of its own gets nothing."""
        begun = time.monotonic()
        code = self._manage(places, "demo", "--verbosity=0", "load", "--hours=24", "--if-empty", owner=False)
        if code == 0:
            self._console.ready("demo data of the last 24 hours", time.monotonic() - begun)
        elif code != OTHERS_THERE:
            self._console.say("warning: the demo data could not be loaded; why stands above")
        return code == 0

    def _manage(self, places: Places, *arguments: str, owner: bool = True, plain: bool = False) -> int:
        role = Role(
            name=arguments[0],
            order=5,
            command=roles.manage(*arguments),
            environment={**roles.child_environment(self._env, places, owner=owner), "LOG_LEVEL": "warning"},
        )
        return self._supervisor.run_once(role, plain=plain)


def port_taken(host: str, port: int) -> str | None:
    """None when we can listen there; else by whom it is taken, as far as we can tell."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
        return None
    except PermissionError:
        raise ServiceFault(f"port {port} is reserved for root: set PORT to a number above 1023") from None
    except socket.gaierror:
        raise ServiceFault(f"HOST {host} is not an address of this machine: set HOST to 127.0.0.1 or 0.0.0.0") from None
    except OSError:
        return _holder(port)


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _for_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
