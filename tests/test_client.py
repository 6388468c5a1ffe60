"""The scripts of the pages: their types by the compiler, their behaviour under Node and against a real cockpit."""

import json
import os
import queue
import shutil
import subprocess
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.house import ROOT, House, house
from tests.servers import clean_environment

LEAST_NODE = 20
SUITES = sorted((ROOT / "tests" / "js").glob("*.test.mjs"))


def run(*arguments: str | Path, seconds: int = 120) -> subprocess.CompletedProcess[str]:
    """Node with these arguments, at the root of the repository."""
    command = ["node", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


def lack() -> str:
    """What these tests need and this machine has not, with what to do; "" when all is there."""
    if not shutil.which("node"):
        return f"no node: install Node {LEAST_NODE} or newer"
    version = run("--version").stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < LEAST_NODE:
        return f"node is {version}: install Node {LEAST_NODE} or newer"
    if not (ROOT / "node_modules" / "typescript").is_dir():
        return "no node packages: npm ci"
    return ""


LACK = lack()
pytestmark = pytest.mark.skipif(bool(LACK) and os.environ.get("CI") != "true", reason=LACK or "all is there")


@pytest.fixture(autouse=True)
def everything() -> None:
    """Where nobody watches (CI) a lack is a failure, as for the browser tests."""
    assert not LACK, LACK


def test_the_types_hold() -> None:
    ended = run("node_modules/typescript/bin/tsc")
    assert ended.returncode == 0, ended.stdout


def test_the_compiler_looks_at_the_scripts_strictly(tmp_path: Path) -> None:
    seen = set(run("node_modules/typescript/bin/tsc", "--listFilesOnly").stdout.split())
    assert {str(path) for path in (ROOT / "static" / "js").glob("*.js")} <= seen
    wrong = tmp_path / "static" / "js" / "wrong.js"
    wrong.parent.mkdir(parents=True)
    wrong.write_text("/** @param {string[]} texts */\nexport const first = (texts) => texts[0].length;\n")
    shutil.copy(ROOT / "tsconfig.json", tmp_path)
    ended = run("node_modules/typescript/bin/tsc", "-p", tmp_path)
    assert "TS2532" in ended.stdout, "the first of a list may not be there"


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_it_behaves_under_node(suite: Path) -> None:
    ended = run("--test", suite, seconds=150)  # a timer or a socket that is left open keeps it from ending
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "# pass 0" not in ended.stdout


def test_there_are_suites() -> None:
    assert {"live.test.mjs", "monitoring.test.mjs", "react.test.mjs"} <= {path.name for path in SUITES}


class Follower:
    """A Node process that watches an organization with a bearer key; `next` gives its snapshots."""

    def __init__(self, cockpit: House, organization: str) -> None:
        self._snapshots: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            ["node", "tests/js/follow.mjs"],
            cwd=ROOT,
            env=clean_environment(
                ADDRESS=f"http://127.0.0.1:{cockpit.port}", KEY=cockpit.keys[organization], ORGANIZATION=organization
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._snapshots.put(json.loads(line))

    def until(self, inferences: int, seconds: float = 20) -> Any:
        """The first snapshot with an open stream that holds so many inferences."""
        end = time.monotonic() + seconds
        while True:
            snapshot = self._snapshots.get(timeout=max(0.01, end - time.monotonic()))
            data = snapshot["data"]
            assert snapshot["error"] is None, snapshot
            if snapshot["connected"] and data and data["totals"]["inferences"] == inferences:
                return snapshot


def test_it_follows_a_real_cockpit_with_a_bearer_key() -> None:
    with house() as cockpit:
        follower = Follower(cockpit, "swaggystacks")
        try:
            first = follower.until(0)
            assert first["data"]["organization"] == "swaggystacks"
            status, _ = cockpit.post({"modelName": "followed", "durationMs": 40, "cost": "0.25"})
            began = time.monotonic()
            assert status == 201
            data = follower.until(1)["data"]
            assert time.monotonic() - began <= 2, "a number is never staler than 2 s"
            assert [(row["modelName"], row["cost"]) for row in data["models"]] == [("followed", "0.25")]
            follower.process.communicate(timeout=10)
            assert follower.process.returncode == 0, "stopped, it holds nothing open"
        finally:
            follower.process.kill()
            follower.process.wait()
