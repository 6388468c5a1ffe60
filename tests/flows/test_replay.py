"""A trace of production calls replayed end to end: the totals are the file's, whatever is repeated or interrupted."""

import csv
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cockpit import traces as product_traces
from tests.flows import traces
from tests.house import ROOT, House
from tests.servers import clean_environment


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traces.real_trace() or traces.made_trace(tmp_path_factory.mktemp("trace") / "made.csv")


def sums(path: Path) -> tuple[int, int, int]:
    """Calls, input and output tokens of a file, counted on their own."""
    with path.open(newline="") as file:
        rows = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]
    return len(rows), sum(row[0] for row in rows), sum(row[1] for row in rows)


def command(cockpit: House, path: Path, model: str, *more: str) -> list[str]:
    url = f"http://127.0.0.1:{cockpit.port}"
    given = ["--organization", "swaggystacks", "--model", model, "--url", url, *more]
    return [sys.executable, "manage.py", "replay", str(path), *given]


def environment(cockpit: House) -> dict[str, str]:
    return clean_environment(COCKPIT_API_KEY=cockpit.keys["swaggystacks"], COCKPIT_DATA_DIR=str(cockpit.data_dir))


def replay(cockpit: House, path: Path, model: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(cockpit, path, model, *more),
        cwd=ROOT,
        env=environment(cockpit),
        capture_output=True,
        text=True,
        timeout=120,
    )


def totals(cockpit: House, model: str) -> dict[str, Any] | None:
    rows = cockpit.dashboard("window=24h")["models"]
    return next((row for row in rows if row["modelName"] == model), None)


def test_the_totals_are_the_files(cockpit: House, trace: Path) -> None:
    calls, read, written = sums(trace)
    if trace.name == "azure_code_2023.csv":
        assert (calls, read, written) == (8_819, 18_059_974, 245_896)
    done = replay(cockpit, trace, "replayed")
    assert done.returncode == 0, done.stderr
    assert f"{calls} stored, 0 already there, 0 refused" in done.stdout
    found = totals(cockpit, "replayed")
    assert found is not None
    assert (found["inferences"], found["inputTokens"], found["outputTokens"]) == (calls, read, written)
    assert (found["cost"], found["unpriced"]) == (None, calls)
    assert cockpit.dashboard("window=24h")["sources"]["replay"] >= calls
    again = replay(cockpit, trace, "replayed")
    assert f"0 stored, {calls} already there, 0 refused" in again.stdout
    repeated = totals(cockpit, "replayed")
    assert repeated is not None
    assert repeated["inferences"] == calls


def test_an_interrupted_run_counts_nothing_twice(cockpit: House, trace: Path) -> None:
    calls, read, written = sums(trace)
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            command(cockpit, trace, "interrupted"),
            cwd=ROOT,
            env=environment(cockpit),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        seen = totals(cockpit, "interrupted")
        before = seen["inferences"] if seen else 0
        while time.monotonic() < deadline and process.poll() is None:
            seen = totals(cockpit, "interrupted")
            if seen and seen["inferences"] > before:
                break
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed, "no run was interrupted"
    done = replay(cockpit, trace, "interrupted")
    assert done.returncode == 0, done.stderr
    found = totals(cockpit, "interrupted")
    assert found is not None
    assert (found["inferences"], found["inputTokens"], found["outputTokens"]) == (calls, read, written)


def test_prices_make_costs_exact(cockpit: House, tmp_path: Path) -> None:
    path = traces.made_trace(tmp_path / "small.csv", calls=50)
    _, read, written = sums(path)
    done = replay(cockpit, path, "priced", "--input-price", "0.15", "--output-price", "0.60")
    assert done.returncode == 0, done.stderr
    found = totals(cockpit, "priced")
    assert found is not None
    assert float(found["cost"]) == pytest.approx((0.15 * read + 0.60 * written) / 1e6, rel=1e-12)


def test_bad_traces_and_keys_are_told_in_one_line(cockpit: House, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,2\nnonsense,1,2\n")
    done = replay(cockpit, bad, "bad")
    assert done.returncode != 0
    assert re.search(r"line 3 must hold a time and two whole numbers", done.stderr)
    missing = replay(cockpit, tmp_path / "missing.csv", "bad")
    assert "cannot be read" in missing.stderr
    good = traces.made_trace(tmp_path / "good.csv", calls=3)
    key = tmp_path / "key"
    key.write_text("ck_wrong")
    refused = replay(cockpit, good, "bad", "--key-file", str(key))
    assert "401" in refused.stderr
    assert "Traceback" not in refused.stderr + missing.stderr + done.stderr
    assert totals(cockpit, "bad") is None
    assert replay(cockpit, good, "named", "--run", "mine").returncode == 0
    other = replay(cockpit, traces.made_trace(tmp_path / "other.csv", calls=4), "named", "--run", "mine")
    assert other.returncode != 0
    assert "choose another name" in other.stderr
    found = totals(cockpit, "named")
    assert found is not None
    assert found["inferences"] == 3


def test_the_last_call_is_now_and_the_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = traces.made_trace(tmp_path / "long.csv", calls=200_000)
    code = (
        "import resource, sys; from pathlib import Path; from cockpit import traces;"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "found = traces.survey(Path(sys.argv[1])); n = sum(1 for _ in traces.read(found.path));"
        "print(found.calls, n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    calls, read_again, grown_kib = map(int, done.stdout.split())
    assert (calls, read_again) == (200_000, 200_000)
    assert grown_kib < 20_000  # the file alone is 7 MB, its rows as objects ten times that
    assert product_traces.survey(path).last.isoformat().startswith("2023-11-")
