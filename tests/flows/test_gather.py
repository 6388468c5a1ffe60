"""What the platform measures of itself, over real processes: beat -> queue -> worker -> probes -> store."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from cockpit.embedded.places import Places
from cockpit.env import ROOT
from tests.flows.test_record_and_see import admin_connection
from tests.house import House, house
from tests.servers import await_true, clean_environment

EXPECTED = {
    "cockpit_cpu_utilization_ratio",
    "cockpit_memory_used_bytes",
    "cockpit_disk_free_bytes",
    "cockpit_database_latency_seconds",
    "cockpit_database_connections",
    "cockpit_cache_latency_seconds",
    "cockpit_cache_memory_used_bytes",
    "cockpit_queue_depth",
    "cockpit_workers",
    "cockpit_beat_last_seen_timestamp_seconds",
    "cockpit_task_runs_total",
    "cockpit_probe_up",
}

PROBES = ("host", "disks", "database", "cache", "broker")


def levels(cockpit: House) -> dict[tuple[str, str], float]:
    """The newest value of each series of the platform, by family and labels as text."""
    with admin_connection(cockpit) as connection:
        rows = connection.execute(
            "SELECT family, labels::text, value FROM monitoring_series WHERE organization_id = 'shared'"
        ).fetchall()
    return {(str(family), str(labels)): float(str(value)) for family, labels, value in rows if value is not None}


def of(cockpit: House, family: str) -> list[float]:
    return [value for (name, _), value in levels(cockpit).items() if name == family]


def test_within_two_looks_the_platform_knows_itself(cockpit: House) -> None:
    began = time.monotonic()
    assert await_true(lambda: {family for family, _ in levels(cockpit)} >= EXPECTED, 40), EXPECTED - {
        family for family, _ in levels(cockpit)
    }
    assert time.monotonic() - began < 40
    assert of(cockpit, "cockpit_workers") == [1]
    (limit,) = of(cockpit, "cockpit_database_connections_limit")
    (used,) = of(cockpit, "cockpit_database_connections")
    assert 1 <= used <= limit
    (share,) = of(cockpit, "cockpit_cpu_utilization_ratio")
    assert 0 <= share <= 1
    up = {labels: value for (family, labels), value in levels(cockpit).items() if family == "cockpit_probe_up"}
    assert set(up.values()) == {1}
    assert {name for name in ("host", "disks", "database", "cache", "broker") if any(name in one for one in up)} == {
        "host", "disks", "database", "cache", "broker",
    }  # fmt: skip


def test_it_goes_on_looking(cockpit: House) -> None:
    def last() -> float:
        return max(of(cockpit, "cockpit_probe_last_success_timestamp_seconds"), default=0.0)

    assert await_true(lambda: last() > 0, 40)
    first = last()
    assert await_true(lambda: last() > first, 40)
    assert sum(of(cockpit, "cockpit_database_commits_total")) > 0


def test_another_host_looks_at_itself_and_another_beat_changes_nothing(cockpit: House, tmp_path: Path) -> None:
    places = Places.of(cockpit.data_dir)
    variables = clean_environment(
        COCKPIT_DATA_DIR=str(cockpit.data_dir),
        DATABASE_URL=places.database_url,
        REDIS_URL=places.redis_url,
        HOST_NAME="second",
        PYTHONWARNINGS="ignore",
    )
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "cockpit"]
    worker = ["worker", "-P", "threads", "-c", "2", "-n", "second@host", "-Q", "gather.second", "-l", "warning"]
    beat = ["beat", "-s", str(tmp_path / "schedule"), "--pidfile=", "-l", "warning"]
    processes = [subprocess.Popen([*celery, *words], cwd=ROOT, env=variables) for words in (worker, beat)]

    def second() -> list[str]:
        return [labels for (_, labels) in levels(cockpit) if '"host": "second"' in labels]

    try:
        assert await_true(lambda: len(second()) > 20, 60)
        assert await_true(lambda: of(cockpit, "cockpit_workers") == [2], 30)
        began = time.time()
        time.sleep(30)
        with admin_connection(cockpit) as connection:
            row = connection.execute(
                "SELECT count(DISTINCT sample.at) FROM monitoring_sample sample "
                "JOIN monitoring_series series ON series.id = sample.series_id "
                "WHERE series.family = 'cockpit_workers' AND sample.at > to_timestamp(%s)",
                [began],
            ).fetchone()
        assert row is not None
        assert int(str(row[0])) in (2, 3, 4), "once in ten seconds, however many beats there are"
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        ended = [process.wait(15) for process in processes]
    assert ended == [0, 0]


def test_without_a_broker_it_goes_on_looking_and_says_what_is_away() -> None:
    """Beat's messages come by the very thing that is away, so workers look unasked."""

    def up() -> dict[str, float]:
        found = {labels: value for (family, labels), value in levels(small).items() if family == "cockpit_probe_up"}
        return {name: value for name in PROBES for labels, value in found.items() if f'"{name}"' in labels}

    def last_look() -> float:
        return max(of(small, "cockpit_probe_last_success_timestamp_seconds"), default=0.0)

    with house(GATHER_INTERVAL="5") as small:
        assert await_true(lambda: up() == dict.fromkeys(PROBES, 1), 60), up()
        valkey = next(child for child in small.process.children() if "valkey" in " ".join(child.cmdline()))
        valkey.suspend()
        try:
            away = dict.fromkeys(PROBES, 1) | {"cache": 0, "broker": 0}
            assert await_true(lambda: up() == away, 45), up()
            before = last_look()
            assert await_true(lambda: last_look() > before, 30)
        finally:
            valkey.resume()
        assert await_true(lambda: up() == dict.fromkeys(PROBES, 1), 60), up()
