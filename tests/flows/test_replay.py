"""A trace of production calls replayed end to end: the totals are the file's, whatever is repeated or interrupted."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command

from cockpit import traces as product_traces
from cockpit.journals import Journal, Run
from tests.flows import traces
from tests.house import ROOT, House
from tests.servers import await_true, clean_environment


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
        deadline = time.monotonic() + 60
        seen = totals(cockpit, "interrupted")
        before = seen["inferences"] if seen else 0
        held = psutil.Process(process.pid)
        while time.monotonic() < deadline and process.poll() is None:
            held.suspend()  # it gets no further while somebody looks how far it is
            seen = totals(cockpit, "interrupted")
            if seen and seen["inferences"] > before:
                break
            held.resume()
            time.sleep(0.1)
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
    assert "mine was begun with another file; choose another name" in other.stderr
    found = totals(cockpit, "named")
    assert found is not None
    assert found["inferences"] == 3


def started(cockpit: House, path: Path, model: str, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(cockpit, path, model, *more),
        cwd=ROOT,
        env=environment(cockpit),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a shell has it ignore Ctrl-C, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def counted(cockpit: House, model: str) -> int:
    found = totals(cockpit, model)
    return found["inferences"] if found else 0


def journal(cockpit: House, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cockpit.data_dir / "replays" / f"{name}.json").read_text())
    return found


def test_a_killed_run_is_resumed_without_sending_it_all_again(cockpit: House, tmp_path: Path) -> None:
    path = traces.made_trace(tmp_path / "long.csv", calls=30_000)
    calls, read, written = sums(path)
    process = started(cockpit, path, "resumed", "--run", "resumed")
    assert await_true(lambda: counted(cockpit, "resumed") > 0, 30)
    process.kill()
    process.wait()
    stopped = journal(cockpit, "resumed")
    assert 0 < stopped["sent"] <= stopped["tried"] < calls
    assert stopped["sent"] <= counted(cockpit, "resumed") <= stopped["tried"]
    done = replay(cockpit, path, "resumed", "--run", "resumed", "--resume")
    assert done.returncode == 0, done.stderr
    assert f"run resumed: {calls - stopped['sent']} calls in" in done.stdout
    assert f"0 refused; {stopped['sent']} were sent before" in done.stdout
    found = totals(cockpit, "resumed")
    assert found is not None
    assert (found["inferences"], found["inputTokens"], found["outputTokens"]) == (calls, read, written)
    again = replay(cockpit, path, "resumed", "--run", "resumed", "--resume")
    assert f"run resumed: all {calls} calls were sent already" in again.stdout


def test_what_was_on_its_way_is_sent_again_and_counts_once(cockpit: House, tmp_path: Path) -> None:
    path = traces.made_trace(tmp_path / "short.csv", calls=300)
    calls, read, written = sums(path)
    fast = ("--speed", "1000000", "--run", "unheard")
    assert replay(cockpit, path, "unheard", *fast).returncode == 0
    # As if the server's answer to the last batch had never arrived.
    record = cockpit.data_dir / "replays" / "unheard.json"
    record.write_text(json.dumps({**journal(cockpit, "unheard"), "sent": 0}))
    done = replay(cockpit, path, "unheard", *fast, "--resume")
    assert f"0 stored, {calls} already there, 0 refused" in done.stdout, done.stderr
    found = totals(cockpit, "unheard")
    assert found is not None
    assert (found["inferences"], found["inputTokens"], found["outputTokens"]) == (calls, read, written)


def spread(path: Path, seconds: int, calls: int) -> Path:
    """A trace of calls at even distances, over so many seconds."""
    start = datetime(2023, 11, 16, 18, tzinfo=UTC)
    times = [start + timedelta(seconds=seconds * n / (calls - 1)) for n in range(calls)]
    lines = [f"{at:%Y-%m-%d %H:%M:%S.%f},{n + 1},{n + 2}" for n, at in enumerate(times)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    return path


def test_speed_keeps_the_pauses_and_what_happens_happens_now(cockpit: House, tmp_path: Path) -> None:
    path = spread(tmp_path / "spread.csv", seconds=600, calls=31)
    began = datetime.now(UTC)
    done = replay(cockpit, path, "paced", "--speed", "200", "--run", "paced")
    ended = datetime.now(UTC)
    assert done.returncode == 0, done.stderr
    told = re.search(r"31 calls in ([\d.]+) s .*31 stored, 0 already there", done.stdout)
    assert told is not None
    assert 3.0 <= float(told[1]) < 6.0  # ten minutes, two hundred times as fast
    found = totals(cockpit, "paced")
    assert found is not None
    assert (found["inferences"], found["inputTokens"], found["outputTokens"]) == (31, *sums(path)[1:])
    clock = journal(cockpit, "paced")
    assert began <= datetime.fromisoformat(clock["wall_time"]) <= ended - timedelta(seconds=3)


def test_ctrl_c_says_how_far_it_got_and_how_to_go_on(cockpit: House, tmp_path: Path) -> None:
    path = spread(tmp_path / "stopped.csv", seconds=1_500, calls=151)
    slow = ("--speed", "100", "--run", "stopped")
    process = started(cockpit, path, "stopped", *slow)
    assert await_true(lambda: counted(cockpit, "stopped") >= 5, 30)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    told = re.search(r"run stopped: stopped after (\d+) of 151 calls; the same command with --resume goes on", said)
    assert told is not None, said
    assert "Traceback" not in said
    assert int(told[1]) == journal(cockpit, "stopped")["sent"] < 151
    paused = datetime.now(UTC)
    done = replay(cockpit, path, "stopped", *slow, "--resume")
    assert done.returncode == 0, done.stderr
    clock = journal(cockpit, "stopped")
    assert datetime.fromisoformat(clock["wall_time"]) >= paused, "what is left happens from now on"
    found = totals(cockpit, "stopped")
    assert found is not None
    assert (found["inferences"], found["inputTokens"], found["outputTokens"]) == sums(path)


def refusal(path: Path, **options: Any) -> str:
    """What the command says when it refuses before it asks any server."""
    given = {"organization": "swaggystacks", "model": "same", "url": "http://127.0.0.1:9", **options}
    with pytest.raises(CommandError) as told:
        call_command("replay", str(path), **given)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast", "1000001"])
def test_a_bad_speed_is_told_in_one_line(tmp_path: Path, speed: str) -> None:
    path = spread(tmp_path / "bad.csv", seconds=600, calls=3)
    assert refusal(path, speed=speed) == "--speed: must be a number above 0 and at most 1,000,000"
    assert refusal(path, speed="0.00001") == "--speed: at 1e-05 this trace takes more than the 7 days of a run"


def test_resuming_needs_the_same_run(tmp_path: Path, settings: Any) -> None:
    settings.ENV = replace(settings.ENV, data_dir=tmp_path, api_key="ck_any")
    path = traces.made_trace(tmp_path / "same.csv", calls=3)
    assert refusal(path, run="never", resume=True) == "--resume: there is no run never to go on with"
    record = Journal(tmp_path / "replays" / "same.json")
    trace = product_traces.survey(path)
    now = datetime.now(UTC).isoformat()
    begun = Run(
        name="same", key="same:1", sha256=trace.sha256, organization="swaggystacks", model="same", prices=[None, None],
        speed=3.0, url="http://127.0.0.1:9", began=now, trace_time=now, wall_time=now, sent=1, tried=2,
    )  # fmt: skip
    assert record.write(begun) == record.read()
    same: dict[str, Any] = {"run": "same", "speed": "3"}
    for options, told in (
        ({"speed": None}, "--speed"),
        ({"model": "other"}, "--model"),
        ({"organization": "shared"}, "--organization"),
        ({"input_price": "1", "output_price": "2"}, "prices"),
        ({"url": "http://localhost:9"}, "--url"),
    ):
        said = f"--resume: same was begun with another {told}; choose another name"
        assert refusal(path, **{**same, **options}, resume=True) == said
    again = "--run: same was begun already; go on with --resume or choose another name"
    assert refusal(path, **same) == again
    traces.made_trace(path, calls=4)
    assert "same was begun with another file;" in refusal(path, **same, resume=True)
    record.write(replace(begun, began=(datetime.now(UTC) - timedelta(days=8)).isoformat(), sha256=trace.sha256))
    traces.made_trace(path, calls=3)
    assert "was begun more than a week ago" in refusal(path, **same, resume=True)
    record.path.write_text("{}")
    assert "same.json cannot be read" in refusal(path, **same, resume=True)


def test_what_falls_due_while_sending_is_one_batch() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    at = [0, 0, 1, 2, 3, 9, 8, 30]  # seconds; one out of its order
    calls = [product_traces.TracedCall(n, start + timedelta(seconds=second), 1, 1) for n, second in enumerate(at)]
    passed, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        passed[0] += seconds

    batches = []
    clock = product_traces.Clock(start, start, 2.0)
    for batch in product_traces.paced(calls, clock, most=3, passed=lambda: passed[0], sleep=sleep):
        batches.append([call.line for call in batch])
        passed[0] += 1.0  # a server that takes its time
    assert batches == [[0, 1], [2, 3], [4], [5, 6], [7]]
    assert slept == [1.5, 9.5]
    assert [clock.at(call).second for call in calls] == [0, 0, 0, 1, 1, 4, 4, 15]


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
