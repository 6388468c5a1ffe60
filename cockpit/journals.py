"""What a replay remembers, so that its repetition sends the very same, and another process can go on with it."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from cockpit.traces import Clock


class BadRun(Exception):
    """A run that cannot be taken up; the message names the option and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run must remember so that its repetition sends the very same, and how far it got."""

    name: str
    key: str  # what its idempotency keys begin with: a run of the same name elsewhere is another run
    sha256: str
    organization: str
    model: str
    prices: list[str | None]
    speed: float | None  # None: as fast as the server takes it
    url: str
    began: str
    trace_time: str  # its clock: what the trace has at this time ...
    wall_time: str  # ... happens at this one
    sent: int = 0  # calls, in the order of the file, that the server acknowledged
    tried: int = 0  # those beyond `sent` were on their way: their times are decided, whether they arrived or not

    @property
    def clock(self) -> Clock:
        ends = datetime.fromisoformat(self.trace_time), datetime.fromisoformat(self.wall_time)
        return Clock(*ends, self.speed or 1.0)


class Journal:
    """A run in the file of its name, written whole or not at all: where a process was killed, another goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Run | None:
        """
        Raises:
            BadRun: when it is there and makes no sense.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Run)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise BadRun(f"--run: {self.path} cannot be read ({error}); choose another name") from error

    def write(self, run: Run) -> Run:
        draft = self.path.with_suffix(".draft")
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(asdict(run)), encoding="utf-8")
            draft.replace(self.path)
        except OSError as error:
            raise BadRun(f"--run: {self.path} cannot be written ({error})") from error
        return run


def check_same(run: Run, wanted: Run, *, resume: bool) -> None:
    """
    Raises:
        BadRun: naming what the run was begun with that is now another.
    """
    compared = {"sha256": "file", "organization": "--organization", "model": "--model", "prices": "prices",
                "speed": "--speed"}  # fmt: skip
    if resume:
        compared["url"] = "--url"  # a repetition elsewhere sends all of it, but what is left out here must be there
    if others := [told for name, told in compared.items() if getattr(run, name) != getattr(wanted, name)]:
        option = "--resume" if resume else "--run"
        raise BadRun(f"{option}: {run.name} was begun with another {', '.join(others)}; choose another name")
    if run.speed is not None and not resume:
        raise BadRun(f"--run: {run.name} was begun already; go on with --resume or choose another name")
