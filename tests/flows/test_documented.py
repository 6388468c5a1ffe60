"""The documentation does what it says: each example of README and docs/ is carried out against a real cockpit.

The blocks of a page run in order, in one directory: `sh` and `python` as they stand, a block with a title is a file of
that name. `json` and `text` that directly follow are what was answered. What cannot be run says why above it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from cockpit.demo.profiles import STORY
from tests.documents import PAGES, Block, blocks, name_of
from tests.house import ROOT, House, house
from tests.servers import await_true, clean_environment

# Pages whose examples are somebody else's to prove, and whose.
ELSEWHERE = {
    "docs/how-to/deploy.md": "tests/test_compose.py",
    "docs/how-to/embed.md": "tests/test_embedding.py",
    "docs/how-to/react.md": "tests/js/react.test.mjs",
}
RUN = ("sh", "python")
ANSWERS = ("json", "text")
DOCUMENTED = [page for page in PAGES if name_of(page) not in ELSEWHERE]

# What one block exports, the next one has.
_SHELL = "touch .state && . ./.state && {\n%s\n}\nexport -p > .state"


def like(shown: Any, answered: Any) -> bool:
    """Whether an answer has the shape of the one shown: same names, same kinds of values; null stands for any."""
    if shown is None or answered is None:
        return True
    if isinstance(shown, dict) and isinstance(answered, dict):
        return shown.keys() == answered.keys() and all(like(shown[name], answered[name]) for name in shown)
    if isinstance(shown, list) and isinstance(answered, list):
        if len(shown) == len(answered):
            return all(like(one, other) for one, other in zip(shown, answered, strict=True))
        return not shown or all(like(shown[0], one) for one in answered)
    numbers = isinstance(shown, int | float) and isinstance(answered, int | float)
    return type(shown) is type(answered) or (numbers and bool is not type(shown) and bool is not type(answered))


def words(text: str) -> list[str]:
    """A text without its figures and names that are made anew each time."""
    return re.sub(r"[0-9][0-9.,:]*", "0", re.sub(r"c[kt]_[\w.-]+", "ck_...", text)).split()


class Desk:
    """A directory like that of the repository, for a person with the keys of the first start."""

    def __init__(self, path: Path, cockpit: House) -> None:
        self.path = path
        self._port = cockpit.port
        self._keys = cockpit.keys
        (path / ".venv").symlink_to(sys.prefix)
        (path / "manage.py").symlink_to(ROOT / "manage.py")
        (path / ".env.example").symlink_to(ROOT / ".env.example")
        (path / "bin").mkdir()
        for name, found in (("node", compute_driver_executable()[0]), ("python3", sys.executable)):
            if not shutil.which(name):
                (path / "bin" / name).symlink_to(found)
        self._environment = clean_environment(
            PATH=f"{path / 'bin'}:{os.environ['PATH']}", COCKPIT_DATA_DIR=str(cockpit.data_dir), PORT=str(cockpit.port),
            COLUMNS="120",
        )  # fmt: skip

    def text_of(self, block: Block) -> str:
        """With this cockpit's address and keys in the places of those that stand there."""
        text = block.text.replace("localhost:3001", f"127.0.0.1:{self._port}")
        text = text.replace("SCIENTIA_API_KEY=ck_...", f"SCIENTIA_API_KEY={self._keys['scientia_capital']}")
        return text.replace("COCKPIT_API_KEY=ck_...", f"COCKPIT_API_KEY={self._keys['swaggystacks']}")

    def run(self, block: Block) -> "subprocess.CompletedProcess[str]":
        text = self.text_of(block)
        if block.language == "python":
            (self.path / "example.py").write_text(text, encoding="utf-8")
            text = f"{sys.executable} example.py"
        return subprocess.run(
            ["sh", "-euc", _SHELL % text],
            cwd=self.path,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def carry_out(page: Path, desk: Desk) -> int:
    """Every block of a page; how many were run."""
    said: str | None = None
    ran = 0
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if block.title:
            (desk.path / block.title).write_text(desk.text_of(block), encoding="utf-8")
            continue
        if block.why:
            said = None
        elif block.language in RUN:
            ended = desk.run(block)
            assert ended.returncode == 0, f"{where}: {ended.stderr}{ended.stdout}"
            said, ran = ended.stdout, ran + 1
        elif block.language == "json" and said is not None:
            answer = json.loads(said)
            assert like(json.loads(block.text), answer), f"{where}: answered was {json.dumps(answer, indent=2)}"
            said = None
        elif block.language == "text" and said:  # nothing at all is said of demo data that this cockpit has not
            assert words(said) == words(block.text), f"{where}: said was {said}"
            said = None
    return ran


@pytest.mark.skipif(
    not shutil.which("curl") and os.environ.get("CI") != "true", reason="no curl: sudo apt-get install -y curl"
)
@pytest.mark.parametrize("page", DOCUMENTED, ids=name_of)
def test_its_examples_do_what_they_say(page: Path, cockpit: House, tmp_path: Path) -> None:
    wanted = sum(block.language in RUN and not block.title and not block.why for block in blocks(page))
    assert carry_out(page, Desk(tmp_path, cockpit)) == wanted


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_tutorial_finds_what_the_demo_hides(tmp_path: Path) -> None:
    def daily(organization: str, model: str) -> list[tuple[float, float]]:
        """The two columns of the tutorial's program, day by day."""
        text = desk.run(Block(0, "sh", "", "", f"python3 daily.py {cockpit.keys[organization]} {model}\n")).stdout
        rows = re.findall(r"^\S+ +([\d,]+) ms +([\d.]+) a request$", text, re.MULTILINE)
        return [(float(slow.replace(",", "")), float(each)) for slow, each in rows]

    with house(DEMO="1") as cockpit:
        desk = Desk(tmp_path, cockpit)
        page = ROOT / "docs" / "tutorial" / "first-dashboard.md"
        [program] = [block for block in blocks(page) if block.title == "daily.py"]
        (tmp_path / "daily.py").write_text(desk.text_of(program), encoding="utf-8")
        assert await_true(lambda: cockpit.dashboard("window=30d")["series"]["inferences"][0] > 0, 300)
        slow = [one[0] for one in daily("swaggystacks", STORY.slow_model)]
        assert len(slow) >= 14  # the last one is today, of which perhaps only minutes have passed
        assert max(slow[:4]) < 1.15 * min(slow[:4])
        assert max(slow[:4]) < min(slow[7:9]) < min(slow[11:14]), "it climbs"
        price = [one[1] for one in daily("scientia_capital", STORY.price_model)]
        assert min(price[4:14]) > 1.2 * max(price[:2]), "it jumps"
        for organization, model in (("swaggystacks", STORY.slow_model), ("scientia_capital", STORY.price_model)):
            assert model in {one["modelName"] for one in cockpit.dashboard("window=7d", organization)["movers"]}


@pytest.mark.parametrize("page", DOCUMENTED, ids=name_of)
def test_nothing_that_could_run_is_left_out(page: Path) -> None:
    """A file is used by a later block, and a language that nobody here runs is a file or an answer."""
    found = list(blocks(page))
    for number, block in enumerate(found):
        if block.title:
            stem = Path(block.title).stem
            later = "".join(one.text for one in found[number + 1 :])
            assert stem in later, f"{name_of(page)}:{block.line}: {block.title} is never used"
        else:
            assert block.language in (*RUN, *ANSWERS), f"{name_of(page)}:{block.line}: {block.language} is not run"


def test_there_are_examples() -> None:
    runs = [block for page in DOCUMENTED for block in blocks(page) if block.language in RUN and not block.why]
    assert len(runs) > 30
    assert {name_of(page) for page in PAGES} >= ELSEWHERE.keys()


@pytest.mark.parametrize("page", sorted(ELSEWHERE))
def test_what_is_proven_elsewhere_is(page: str) -> None:
    assert Path(page).name in (ROOT / ELSEWHERE[page]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("shown", "answered", "same"),
    [
        ({"a": 1}, {"a": 2.5}, True), ({"a": 1}, {"a": "1"}, False), ({"a": 1}, {"b": 1}, False), ({}, {"a": 1}, False),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], True), ([{"a": 1}], [{"a": 1}, {"b": 2}], False), ([1], [], True),
        ({"a": None}, {"a": "x"}, True), (True, 1, False), ([1, "a"], [2, "b"], True), ([1, "a"], ["b", 2], False),
    ],
)  # fmt: skip
def test_shapes_are_compared(shown: Any, answered: Any, same: bool) -> None:
    assert like(shown, answered) == same
