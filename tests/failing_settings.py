"""The cockpit's settings for a house whose web workers end themselves at the point that a file names.

FAILPOINT_FILE holds what bedrock/failpoints.py reads, such as `alert.written:40`; it is read when a worker starts, so
that the next one can be told another point. Each that ends itself adds its point to FAILPOINT_FILE.reached.

A dispatcher started with FAILPOINT ends itself there, or stops where FAILPOINT_SIGNAL is SIGSTOP.
"""

import os
import signal
import sys
from pathlib import Path

from cockpit.settings import *  # noqa: F403

_kill = os.kill


def _tell_and_kill(pid: int, number: int) -> None:
    if pid == os.getpid() and number == signal.SIGKILL:
        with Path(f"{_FILE}.reached").open("a") as reached:
            reached.write(FAILPOINT.partition(":")[0] + "\n")
    _kill(pid, number)


if "granian" in sys.argv[0]:  # the other roles of the house stay well
    _FILE = Path(os.environ["FAILPOINT_FILE"])
    FAILPOINT = _FILE.read_text().strip()
    os.kill = _tell_and_kill
elif "dispatch" in sys.argv and "FAILPOINT" in os.environ:
    FAILPOINT = os.environ["FAILPOINT"]
    _number = signal.Signals[os.environ.get("FAILPOINT_SIGNAL", "SIGKILL")]
    os.kill = lambda pid, number: _kill(pid, _number if pid == os.getpid() else number)
