"""A stop that loses nothing: requests under way are answered, what was counted is written, every process ends well."""

import http.client
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from cockpit import env
from cockpit.embedded.places import Places
from cockpit.embedded.postgres import Postgres
from cockpit.roles import Role, demo_role, python_roles, web_answers
from tests.house import ROOT, House, _free_port, house
from tests.servers import FAST, await_true, clean_environment

_SLOWEST = 15.0  # seconds for any stop


def admin_url(running: House) -> str:
    return psycopg.conninfo.make_conninfo(Places.of(running.data_dir).admin_url, dbname="cockpit")


@contextmanager
def stopped_house() -> Iterator[tuple[House, Callable[[str], float]]]:
    """A house, and how much a family has counted in all, once the house is stopped."""
    with house() as running:
        server = Postgres(Places.of(running.data_dir), FAST)

        def counted(family: str, route: str = "dashboard-data") -> float:
            server.start()
            try:
                with psycopg.connect(admin_url(running)) as connection:
                    row = connection.execute(
                        "SELECT coalesce(sum(value), 0) FROM monitoring_series "
                        "WHERE counted AND family = %s AND labels->>'route' = %s",
                        [family, route],
                    ).fetchone()
                    assert row is not None
                    return float(row[0])
            finally:
                server.stop()

        yield running, counted


def ask(running: House) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {running.keys['swaggystacks']}"}
        connection.request("GET", "/api/monitoring/dashboard?window=1h", headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def waits_for_a_lock(connection: psycopg.Connection[object]) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'cockpit_app'"
    ).fetchone()
    return found is not None and found != (0,)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_request_under_way_is_answered_and_everything_counted_is_kept(number: signal.Signals) -> None:
    with stopped_house() as (running, counted), ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            assert ask(running) == 200
        time.sleep(0.6)  # the key is looked up anew
        with (
            psycopg.connect(admin_url(running)) as holder,
            psycopg.connect(admin_url(running), autocommit=True) as looker,
        ):
            holder.execute("LOCK TABLE organizations_apikey IN ACCESS EXCLUSIVE MODE")
            slow = pool.submit(ask, running)
            assert await_true(lambda: waits_for_a_lock(looker), 10)
            began = time.monotonic()
            running.process.send_signal(number)
            time.sleep(1.0)
            assert not slow.done(), "it is still being answered, well after the signal"
            holder.rollback()
            assert slow.result(10) == 200
        assert running.process.wait(30) == 0
        assert time.monotonic() - began < _SLOWEST
        assert counted("cockpit_http_requests_total") == 21
        assert counted("cockpit_http_request_duration_seconds_count") == 21


def roles_of(running: House, port: int) -> dict[str, Role]:
    """Every process of our own, as `up` would start it, beside the house's own; beat keeps its own notes."""
    given = clean_environment(COCKPIT_DATA_DIR=str(running.data_dir), PORT=str(port), LOG_LEVEL="warning")
    found, places = env.read(env.with_file(given)), Places.of(running.data_dir)
    roles = {role.name: role for role in [*python_roles(found, places), demo_role(found, places)]}
    notes = str(running.data_dir / "another-beat")
    command = [notes if word == str(places.beat_schedule) else word for word in roles["beat"].command]
    roles["beat"] = replace(roles["beat"], command=tuple(command))
    return {name: replace(role, environment={**given, **role.environment}) for name, role in roles.items()}


def listens_to_signals(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has its own way to take SIGTERM (Linux tells)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.split("SigCgt:")[1].split()[0], 16) & 1 << (signal.SIGTERM - 1))


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    with house() as running:
        yield running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_every_process_ends_well_and_in_time(running: House, number: signal.Signals) -> None:
    port = _free_port()
    roles = roles_of(running, port)
    assert roles.keys() >= {"web", "worker", "beat", "fold", "demo"}
    processes = {
        name: subprocess.Popen(role.command, cwd=ROOT, env=dict(role.environment), start_new_session=True)
        for name, role in roles.items()
    }
    try:
        assert await_true(lambda: web_answers("127.0.0.1", port), 60)
        assert await_true(lambda: all(map(listens_to_signals, processes.values())), 60)
        time.sleep(3)  # the worker takes up its work after that
        began = time.monotonic()
        for process in processes.values():
            process.send_signal(number)
        codes = {name: process.wait(_SLOWEST) for name, process in processes.items()}
        assert time.monotonic() - began < _SLOWEST
        assert codes == dict.fromkeys(roles, 0)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
