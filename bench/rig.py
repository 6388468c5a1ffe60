"""What every benchmark needs: a house to measure, load to put on it, a browser, and its result printed and kept."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
import psutil
import psycopg
from playwright.sync_api import Browser, Page, sync_playwright

from cockpit.embedded.places import Places
from tests.flows.browsing import ARGUMENTS, chromium
from tests.house import PASSWORD, ROOT, House, house
from tests.servers import clean_environment

__all__ = ["ROOT", "House", "admin_url", "browser", "get", "house", "keep", "keys", "percentile", "settle_in",
           "sign_in", "together"]  # fmt: skip


def keep(name: str, result: dict[str, Any]) -> None:
    """Prints the result and keeps it beside the benchmark, with the command that made it."""
    result = {
        "benchmark": name,
        "command": " ".join(["python", "-m", f"bench.{name}", *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": sys.version.split()[0],
        **result,
    }
    text = json.dumps(result, indent=2)
    print(text)
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    (ROOT / "bench" / "results" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0-1) of the values lie, straight between its two neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def together(workers: int, seconds: float, work: Callable[[], int]) -> float:
    """What `workers` threads get done in a second, each repeating `work` (which tells how much it did)."""
    counts = [0] * workers
    start = threading.Barrier(workers + 1)
    until = [0.0]

    def one(place: int) -> None:
        start.wait()
        while time.monotonic() < until[0]:
            counts[place] += work()

    threads = [threading.Thread(target=one, args=(place,)) for place in range(workers)]
    for thread in threads:
        thread.start()
    until[0] = time.monotonic() + seconds
    began = time.monotonic()
    start.wait()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began)


def get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> bytes:
    """The body of a GET that must be answered with 200."""
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, (path, response.status, body[:200])
    return body


def keys(running: House, organization: str, count: int) -> list[str]:
    """That many keys of an organization: its first one, and new ones that may read dashboards."""
    command = [sys.executable, "manage.py", "apikey", "create", "--organization", organization]
    made = [
        subprocess.run(
            [*command, "--scopes", "dashboard:read", "--name", f"bench {number}"],
            cwd=ROOT,
            env=clean_environment(COCKPIT_DATA_DIR=str(running.data_dir)),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for number in range(1, count)
    ]
    return [running.keys[organization], *made]


def admin_url(running: House) -> str:
    """The house's own database, as the administrator whom no policy binds."""
    return psycopg.conninfo.make_conninfo(Places.of(running.data_dir).admin_url, dbname="cockpit")


def settle_in(data_dir: Path) -> None:
    """Set up Django in this process on the running house of that data directory."""
    os.environ.update(COCKPIT_DATA_DIR=str(data_dir), DJANGO_SETTINGS_MODULE="cockpit.settings", LOG_LEVEL="warning")
    django.setup()


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    path = chromium()
    if path is None:
        raise SystemExit("no chromium is installed: run `sudo apt-get install -y --no-install-recommends chromium`")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


def sign_in(page: Page, running: House, name: str = "admin", password: str = PASSWORD) -> None:
    """Sign a person in by the form; the page's context keeps the session."""
    page.goto(f"http://127.0.0.1:{running.port}/login/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.press("#id_password", "Enter")
    page.wait_for_url(re.compile(r"^(?!.*/login/)"))
