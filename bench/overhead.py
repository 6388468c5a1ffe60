"""What measuring costs: requests a second with and without it, memory and processor of every process.

Three web processes of one cockpit differ only in what counts requests (nothing, our middleware, django-prometheus').
They take turns under the same load; told are medians over the rounds, their ratios to nothing, and the processor time
of the server for each request, which the load generator on the same machine does not blur. Then the cockpit is left
alone: resident and proportional memory and processor of each process, their sum, and what the web process has beyond a
bare Django process under the same server.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil

from bench.rig import ROOT, House, get, house, keep, together
from cockpit import env
from cockpit.embedded.places import Places
from cockpit.roles import Role, python_roles, web_answers
from tests.house import _free_port, _role
from tests.servers import clean_environment

WAYS = ("nothing", "ours", "django-prometheus")
PATHS = {"health": "/api/health/live", "dashboard": "/api/monitoring/dashboard?window=1h"}
_CLIENTS = 4


def web_role(running: House, port: int) -> Role:
    """The web process as `up` starts it, on another port."""
    given = clean_environment(COCKPIT_DATA_DIR=str(running.data_dir), PORT=str(port), LOG_LEVEL="warning")
    roles = python_roles(env.read(env.with_file(given)), Places.of(running.data_dir))
    return next(role for role in roles if role.name == "web")


@contextmanager
def web(running: House, application: str = "", **variables: str) -> Iterator[tuple[int, psutil.Process]]:
    """The port and process of one more web process; `application` in the place of the cockpit's."""
    port = _free_port()
    role = web_role(running, port)
    given = clean_environment(LOG_LEVEL="warning", RATE_LIMIT_PER_MINUTE="100000000", DEMO="0")
    command = [application or word if word == "cockpit.wsgi:application" else word for word in role.command]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**given, **role.environment, "PORT": str(port), **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while not web_answers("127.0.0.1", port):
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit(f"the web process did not start: {variables or application}")
            time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def cpu_seconds(process: psutil.Process) -> float:
    """Of the process and everything under it."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def load(running: House, port: int, process: psutil.Process, path: str, seconds: float) -> tuple[float, float]:
    """Requests a second, and milliseconds of the server's processor for each."""
    local = threading.local()
    headers = {"Authorization": f"Bearer {running.keys['swaggystacks']}"}

    def work() -> int:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        get(local.connection, path, headers)
        return 1

    before, began = cpu_seconds(process), time.monotonic()
    rate = together(_CLIENTS, seconds, work)
    answered = rate * (time.monotonic() - began)
    return rate, (cpu_seconds(process) - before) * 1000 / answered


def requests(running: House, rounds: int, seconds: float) -> dict[str, Any]:
    """Each path and way: medians over the rounds, and the ratio to nothing."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {name: {way: [] for way in WAYS} for name in PATHS}
    with ExitStack() as stack:
        settings = "bench.overhead_settings"
        servers = {
            way: stack.enter_context(web(running, DJANGO_SETTINGS_MODULE=settings, BENCH_METRICS=way)) for way in WAYS
        }
        for way in WAYS:
            load(running, *servers[way], PATHS["health"], 1.0)  # warm
        for number in range(rounds):
            for name, path in PATHS.items():
                for way in WAYS[number % 3 :] + WAYS[: number % 3]:
                    found[name][way].append(load(running, *servers[way], path, seconds))
    return {name: _medians(ways) for name, ways in found.items()}


def _medians(ways: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    plain_rate = statistics.median(rate for rate, _ in ways["nothing"])
    plain_cpu = statistics.median(cpu for _, cpu in ways["nothing"])
    told = {}
    for way, rounds in ways.items():
        rate = statistics.median(one for one, _ in rounds)
        cpu = statistics.median(one for _, one in rounds)
        told[way] = {
            "requests_per_second": round(rate, 1),
            "spread": [round(min(one for one, _ in rounds), 1), round(max(one for one, _ in rounds), 1)],
            "ratio": round(rate / plain_rate, 3),
            "server_cpu_ms_per_request": round(cpu, 3),
            "more_cpu_us_per_request": round((cpu - plain_cpu) * 1000, 1),
        }
    return told


def at_rest(processes: list[psutil.Process], seconds: float) -> dict[str, dict[str, float]]:
    """By role: resident and proportional memory in MiB, and the share of one processor in per cent, over the time."""
    before = {one.pid: sum(one.cpu_times()[:2]) for one in processes}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    found: dict[str, dict[str, float]] = {}
    for one in processes:
        with suppress(psutil.Error):
            memory, role = one.memory_full_info(), _role(one)
            row = found.setdefault(role, {"processes": 0, "rss_mib": 0.0, "pss_mib": 0.0, "cpu_percent": 0.0})
            row["processes"] += 1
            row["rss_mib"] += memory.rss / 2**20
            row["pss_mib"] += memory.pss / 2**20
            row["cpu_percent"] += 100 * (sum(one.cpu_times()[:2]) - before[one.pid]) / passed
    found["sum"] = {name: sum(row[name] for row in found.values()) for name in ("rss_mib", "pss_mib", "cpu_percent")}
    return {role: {name: round(value, 2) for name, value in row.items()} for role, row in found.items()}


def resources(running: House, seconds: float) -> dict[str, Any]:
    """The house at rest, and its web process beside a bare one."""
    url = Places.of(running.data_dir).database_url
    with web(running, "bench.overhead_bare:application", DATABASE_URL=url) as (_, bare), web(running) as (_, ours):
        time.sleep(5)  # starting is over
        groups = {
            "house": [running.process, *running.process.children(recursive=True)],
            "bare": [bare, *bare.children(recursive=True)],
            "web": [ours, *ours.children(recursive=True)],
        }
        found: dict[str, dict[str, dict[str, float]]] = {}
        threads = [
            threading.Thread(target=lambda name=name, group=group: found.update({name: at_rest(group, seconds)}))
            for name, group in groups.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    web_row, bare_row = found["web"]["sum"], found["bare"]["sum"]
    share = {name: round(web_row[name] - bare_row[name], 2) for name in ("rss_mib", "pss_mib", "cpu_percent")}
    return {"every_process": found["house"], "bare_django": bare_row, "web": web_row, "web_over_bare_django": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds in which nobody asks anything")
    options = parser.parse_args()
    with house() as running:
        found = requests(running, options.rounds, options.seconds)
        idle = resources(running, options.rest)
    keep("overhead", {"clients": _CLIENTS, "load_average": os.getloadavg()[0], "requests": found, "at_rest": idle})


if __name__ == "__main__":
    main()
