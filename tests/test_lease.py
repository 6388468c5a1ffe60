"""Who runs the embedded services: owners, leases, and what is left when one of them is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from cockpit import env
from cockpit.embedded import lease
from cockpit.embedded.locks import FileLock
from cockpit.embedded.places import Places
from tests.servers import await_true, clean_environment, data_dir, living, process_tree

ROOT = Path(__file__).parent.parent

# Holds the services until a line comes in, and says what it does.
_COMMAND = """
import sys
from cockpit import env
from cockpit.embedded import lease
with lease.hold(env.read({"COCKPIT_DATA_DIR": sys.argv[1]})):
    print("held", flush=True)
    sys.stdin.readline()
print("left", flush=True)
"""


@pytest.fixture
def environment() -> Iterator[env.Env]:
    with data_dir() as path:
        yield env.read({"COCKPIT_DATA_DIR": str(path)})


@contextmanager
def command(environment: env.Env) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, str(environment.data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert line_of(process) == "held"
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def count(environment: env.Env, text: str) -> object:
    with psycopg.connect(Places.of(environment.data_dir).database_owner_url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def answers(environment: env.Env) -> bool:
    try:
        return count(environment, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def owner(kind: str, pid: int | None = None) -> lease.Owner:
    return lease.Owner(kind=kind, name=f"manage.py {kind}", pid=pid or os.getpid(), url="http://127.0.0.1:3001")


def test_with_both_urls_nothing_is_started(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://someone@host/name", "REDIS_URL": "redis://host:6379/0", "SECRET_KEY": "k"}
    environment = env.read({**given, "KEY_PEPPER": "p", "COCKPIT_DATA_DIR": str(tmp_path / "data")})
    with lease.hold(environment):
        assert not (tmp_path / "data").exists()


def test_a_command_has_the_database_with_its_roles_while_it_runs(environment: env.Env) -> None:
    places = Places.of(environment.data_dir)
    with lease.hold(environment):
        assert (
            count(environment, "SELECT current_user::text || ' of ' || current_database()")
            == "cockpit_owner of cockpit"
        )
        with psycopg.connect(places.database_url) as app:
            assert app.execute(
                "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
            ).fetchone() == (False,)
    assert not answers(environment)
    with lease.hold(environment):
        assert answers(environment)


def test_only_what_has_no_url_is_started(environment: env.Env) -> None:
    partly = env.read({"COCKPIT_DATA_DIR": str(environment.data_dir), "REDIS_URL": "redis://host:6379/0"})
    with lease.hold(partly):
        assert answers(partly)
        assert not Places.of(partly.data_dir).valkey_dir.exists()


def test_a_second_command_joins_and_the_first_waits_for_it(environment: env.Env) -> None:
    with command(environment) as first, command(environment) as second:
        finish(first)
        time.sleep(1)
        assert first.poll() is None
        assert answers(environment)
        finish(second)
        assert line_of(second) == "left"
        assert line_of(first) == "left"
    assert not answers(environment)


def test_services_end_with_an_owner_that_is_killed_and_the_next_finds_the_rows(environment: env.Env) -> None:
    with command(environment) as first:
        count(environment, "CREATE TABLE kept AS SELECT 7 AS value")
        tree = process_tree(first.pid)
        first.send_signal(signal.SIGKILL)
        first.wait()
        with command(environment):  # at once: it waits for what is still going away
            assert count(environment, "SELECT value FROM kept") == 7
        assert await_true(lambda: not living(tree), 15), living(tree)


def test_a_killed_lease_does_not_keep_the_owner(environment: env.Env) -> None:
    with command(environment) as first, command(environment) as second:
        second.kill()
        second.wait()
        begun = time.monotonic()
        finish(first)
        assert line_of(first) == "left"
        assert time.monotonic() - begun < 10


def test_commands_at_the_same_moment_share_one_start(environment: env.Env) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _COMMAND, str(environment.data_dir)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=90)
        assert (process.returncode, output) == (0, "held\nleft\n"), errors


def test_a_second_up_is_told_where_the_first_is(environment: env.Env) -> None:
    places = lease.open_places(environment)
    first, second = lease.Ownership(places), lease.Ownership(places)
    first.take(owner("run"), say=print)
    with pytest.raises(lease.AlreadyRunning, match=rf"already running \(pid {os.getpid()}\) at http://127.0.0.1:3001"):
        second.take(owner("run"), say=print)
    first.release()
    second.take(owner("run"), say=print)
    second.release()


def test_up_waits_for_a_command_and_says_so(environment: env.Env) -> None:
    places = lease.open_places(environment)
    told: list[str] = []
    with command(environment) as running:
        mine = lease.Ownership(places)

        def pause(seconds: float) -> None:
            if told:
                finish(running)
            time.sleep(seconds)

        mine.take(owner("run"), say=told.append, pause=pause)
        assert len(told) == 1
        assert f"(pid {running.pid}), which is using the database" in told[0]
        mine.release()


def test_no_command_gets_a_lease_once_the_owner_is_leaving(environment: env.Env) -> None:
    places = lease.open_places(environment)
    mine = lease.Ownership(places)
    assert mine.try_take(owner("run"))
    leased = FileLock(places.leases_lock, shared=True)
    assert leased.acquire()
    assert not mine.await_leases(0.1)
    leased.release()
    assert mine.await_leases(0.1)
    assert not FileLock(places.leases_lock, shared=True).acquire()
    mine.release()


def run_manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["check"], ["migrate"], ["up"]])
def test_faults_of_the_environment_are_told_one_a_line(arguments: list[str], tmp_path: Path) -> None:
    done = run_manage(*arguments, PORT="x", HOST="127.0.0.1", COCKPIT_DATA_DIR=str(tmp_path), COCKPIT_PRT="1")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "environment: PORT: must be a whole number from 1 to 65535",
        "environment: COCKPIT_PRT: is not a setting of the cockpit",
    ]


def test_asking_for_help_starts_nothing(tmp_path: Path) -> None:
    done = run_manage("migrate", "--help", COCKPIT_DATA_DIR=str(tmp_path))
    assert done.returncode == 0
    assert not (tmp_path / "postgres").exists()
