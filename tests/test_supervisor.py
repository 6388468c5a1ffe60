"""The supervisor over real processes: order, restarts, stops, and nothing left behind when it is killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from cockpit.console import Console, Relay
from cockpit.embedded.places import Places
from cockpit.management.commands.up import port_taken
from cockpit.roles import web_answers
from tests.servers import await_true, clean_environment, data_dir, living, process_tree

ROOT = Path(__file__).parent.parent

# Runs stand-in roles: `name=python code` words, each a role whose readiness is a file that the code makes.
_DRIVER = """
import os, sys
from pathlib import Path
from cockpit.console import Console
from cockpit.roles import Role
from cockpit.supervisor import Supervisor
here = Path(sys.argv[1])
supervisor = Supervisor(Console())
roles = []
for order, word in enumerate(sys.argv[2:]):
    name, code = word.split("=", 1)
    ready = (here / name).exists if "READY" in code else None
    code = code.replace("READY", f"open({str(here / name)!r}, 'w').close()")
    roles.append(Role(name=name, order=order, command=(sys.executable, "-c", code), ready=ready, patience=20))
try:
    supervisor.start(roles)
    print("started", supervisor.pids, flush=True)
    supervisor.watch()
finally:
    supervisor.stop()
    print("stopped", flush=True)
"""


class Driver:
    """A process that supervises; its output is read line by line."""

    def __init__(self, command: list[str], **variables: str) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(PYTHONUNBUFFERED="1", **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_to(self, pattern: str) -> re.Match[str]:
        """Read up to the first line that matches; fails with everything read when the output ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"never said {pattern!r}:\n" + "\n".join(self.lines))

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send the signal and return how many seconds it took to end."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return time.monotonic() - begun


@contextmanager
def driving(command: list[str], **variables: str) -> Iterator[Driver]:
    driver = Driver(command, **variables)
    try:
        yield driver
    finally:
        if driver.process.poll() is None:
            driver.process.kill()
        driver.process.communicate()


@contextmanager
def stand_ins(here: Path, *roles: str) -> Iterator[Driver]:
    with driving([sys.executable, "-c", _DRIVER, str(here), *roles]) as driver:
        yield driver


def test_roles_start_in_order_each_when_the_one_before_is_ready(tmp_path: Path) -> None:
    first = "import time; time.sleep(0.5); print('one'); READY; time.sleep(600)"
    second = "import time; print('two'); READY; time.sleep(600)"
    with stand_ins(tmp_path, f"first={first}", f"second={second}") as driver:
        driver.read_to("started")
        text = "\n".join(driver.lines)
        assert re.search(r"^  first +ready", text, re.MULTILINE)
        assert text.index("  first  ") < text.index("second  | two")
        assert driver.stop() < 5


def test_roles_stop_in_reverse_order(tmp_path: Path) -> None:
    says = "import signal, sys, time; signal.signal(15, lambda *_: (print('bye'), sys.exit(0))); READY; time.sleep(600)"
    with stand_ins(tmp_path, f"under={says}", f"over={says}") as driver:
        driver.read_to("started")
        driver.process.send_signal(signal.SIGINT)
        driver.read_to("over    | bye")
        driver.read_to("under   | bye")
        driver.read_to("stopped")
        assert driver.process.wait(5) == 0


def test_a_crashed_role_is_restarted_later_from_crash_to_crash(tmp_path: Path) -> None:
    with stand_ins(
        tmp_path, "steady=import time; time.sleep(600)", "weak=import sys; print('up'); sys.exit(3)"
    ) as driver:
        delays = [
            float(driver.read_to(r"weak ended \(exit 3\); starting it again in ([0-9.]+) s").group(1)) for _ in range(3)
        ]
        assert delays == [0.5, 1.0, 2.0]
        assert driver.stop() < 5


def test_a_killed_role_is_restarted(tmp_path: Path) -> None:
    with stand_ins(tmp_path, "steady=import time; print('up'); time.sleep(600)") as driver:
        pid = int(driver.read_to(r"'steady': (\d+)").group(1))
        os.kill(pid, signal.SIGKILL)
        driver.read_to(r"steady ended \(SIGKILL\)")
        driver.read_to(r"steady  \| up")


def test_a_role_that_keeps_ending_at_its_start_is_a_fault(tmp_path: Path) -> None:
    with stand_ins(tmp_path, "broken='READY'; raise SystemExit('no such thing')") as driver:
        driver.read_to("broken  | no such thing")
        driver.read_to("broken keeps ending at its start")
        assert driver.process.wait(10) == 1


def test_a_role_that_ignores_signals_is_killed_in_time_with_its_children(tmp_path: Path) -> None:
    deaf = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); "
    deaf += "subprocess.Popen(['sleep', '600']); READY; time.sleep(600)"
    with stand_ins(tmp_path, f"deaf={deaf}") as driver:
        driver.read_to("started")
        tree = process_tree(driver.process.pid)
        assert len(tree) == 3
        assert driver.stop() < 15
        assert not living(tree)


def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with stand_ins(tmp_path, "one=import time; time.sleep(600)", "two=import time; time.sleep(600)") as driver:
        driver.read_to("started")
        assert await_true(
            lambda: all("-I" not in psutil.Process(p.pid).cmdline() for p in process_tree(driver.process.pid)), 5
        )
        tree = process_tree(driver.process.pid)
        driver.process.kill()
        assert await_true(lambda: not living(tree), 15), living(tree)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_output_of_a_child_is_kept_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    relay = Relay(Console(), "web", omit="noise")
    relay.feed(b"a" * 1000 + b"\nsome noise\n\nhalf")
    relay.feed(b" a line\n")
    relay.feed(b"".join(b"line %d\n" % number for number in range(10_000)))
    relay.feed(b"no end")
    relay.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "web     | " + "a" * (400 if terminal else 1000)  # a log collector needs its lines whole
    assert lines[1] == "web     | half a line"
    assert len(lines) < 150
    assert any("lines left out" in line for line in lines)
    assert lines[-2:] == ["web     | line 9999", "web     | no end"]


def test_a_taken_port_is_told_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port_taken("127.0.0.1", port) == f" by {psutil.Process().name()} (pid {os.getpid()})"
    assert port_taken("127.0.0.1", port) is None


# From here on the real thing: `manage.py up`, with every role that a person gets.


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def up(data: Path, port: int, command: tuple[str, ...] = (sys.executable, "manage.py", "up")) -> Iterator[Driver]:
    given = dict.fromkeys(("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"), "")
    given |= {"COCKPIT_DATA_DIR": str(data), "PORT": str(port), "HOST": "127.0.0.1", "DEMO": "0"}
    with driving(list(command), **given) as driver:
        yield driver


def roles_of(driver: Driver) -> dict[str, psutil.Process]:
    """The direct children of the supervisor by role, known by their commands."""
    marks = {
        "postgres": "bin/postgres",
        "valkey": "valkey-server",
        "web": "granian",
        "worker": " worker ",
        "beat": " beat ",
        "fold": " fold",
        "dispatch": " dispatch",
    }
    found = {}
    for child in psutil.Process(driver.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # one that ended while we looked
            line = " ".join(child.cmdline()) + " "
            if child.status() != psutil.STATUS_ZOMBIE and "-I -S" not in line:
                found.update({role: child for role, mark in marks.items() if mark in line})
    return found


ALL_ROLES = ["beat", "dispatch", "fold", "postgres", "valkey", "web", "worker"]


def test_up_serves_heals_stops_and_finds_its_data_again() -> None:
    port = free_port()
    with data_dir() as data:
        with up(data, port) as driver:
            driver.read_to(r"health +http://127.0.0.1:" + str(port))
            text = "\n".join(driver.lines)
            assert all(word in text for word in ("PostgreSQL 18", "administrator", "ck_"))
            assert await_true(lambda: sorted(roles_of(driver)) == ALL_ROLES, 10)
            assert web_answers("127.0.0.1", port)
            _assert_only_owners_own(driver)
            _assert_a_second_is_told(data, free_port(), driver, port)
            _assert_a_command_joins(data)
            for role in ALL_ROLES:
                _assert_restarted(driver, role)
            assert await_true(lambda: web_answers("127.0.0.1", port), 20)
            tree = process_tree(driver.process.pid)
            assert driver.stop() < 15
            assert driver.process.returncode == 0
            assert await_true(lambda: not living(tree), 2), living(tree)
        with up(data, port, ("make", "run")) as driver:
            driver.read_to(r"health +http://127.0.0.1")
            assert "ck_" not in "\n".join(driver.lines)
            tree = process_tree(driver.process.pid)
            assert driver.stop() < 15
            assert await_true(lambda: not living(tree), 2), living(tree)
        with up(data, port, ("make", "run")) as driver:
            driver.read_to(r"health +http://127.0.0.1")
            tree = process_tree(driver.process.pid)
            driver.process.kill()
            assert await_true(lambda: not living(tree), 15), living(tree)


def _assert_only_owners_own(driver: Driver) -> None:
    for role, process in roles_of(driver).items():
        owner_url = process.environ().get("DATABASE_OWNER_URL", "")
        assert bool(owner_url) == (role == "worker"), role
        for child in process.children(recursive=True):
            assert role != "web" or not child.environ().get("DATABASE_OWNER_URL")


def _assert_a_second_is_told(data: Path, other_port: int, driver: Driver, port: int) -> None:
    with up(data, other_port) as second:
        second.read_to(rf"already running \(pid {driver.process.pid}\) at http://127.0.0.1:{port}")
        assert second.process.wait(10) == 1


def _assert_a_command_joins(data: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "shell",
            "-v0",
            "-c",
            "from organizations.models import Organization as O; print(O.objects.count())",
        ],
        cwd=ROOT,
        env=clean_environment(COCKPIT_DATA_DIR=str(data)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


def _pid_of(driver: Driver, role: str) -> int | None:
    """None in the moment in which a role is being started again."""
    child = roles_of(driver).get(role)
    return child.pid if child else None


def _assert_restarted(driver: Driver, role: str) -> None:
    assert await_true(lambda: _pid_of(driver, role), 15), role
    before = roles_of(driver)[role]
    tree = process_tree(before.pid)
    before.kill()
    driver.read_to(rf"{role} ended \(SIGKILL\).*; starting it again")
    assert await_true(lambda: _pid_of(driver, role) not in (None, before.pid), 15), role
    assert await_true(lambda: not living(tree), 15), living(tree)  # granian's workers went with it, too


def test_kill_9_of_up_leaves_no_process_of_any_role() -> None:
    port = free_port()
    with data_dir() as data, up(data, port) as driver:
        driver.read_to(r"health +http://127.0.0.1")
        assert await_true(lambda: sorted(roles_of(driver)) == ALL_ROLES, 10)
        with psycopg.connect(Places.of(data).admin_url):  # so that a backend is there
            trees = {role: process_tree(process.pid) for role, process in roles_of(driver).items()}
            assert len(trees["web"]) > 1
            assert len(trees["postgres"]) > 2
            driver.process.kill()
            assert await_true(lambda: not any(living(tree) for tree in trees.values()), 15), trees
        assert not redis_answers(Places.of(data))
        assert port_taken("127.0.0.1", port) is None


def redis_answers(places: Places) -> bool:
    try:
        with redis.Redis.from_url(places.redis_url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def test_up_on_a_taken_port_says_what_to_do_and_leaves_nothing() -> None:
    with data_dir() as data, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with up(data, port) as driver:
            driver.read_to(rf"error: port {port} is taken by .* \(pid {os.getpid()}\): stop that, or set PORT")
            assert driver.process.wait(10) == 1
        assert not (data / "postgres").exists()
