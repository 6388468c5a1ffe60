"""What can go wrong with an embedded service, told in one line that says what to do."""

import errno
import re
import shutil
from pathlib import Path


class ServiceFault(Exception):
    """A service cannot run; the message is one line for a person."""


_MOVE = "set COCKPIT_DATA_DIR to another place"
_CAUSES = (
    ("no space left on device", "the disk under {place} is full: free some space, or " + _MOVE),
    ("disk quota exceeded", "the disk quota under {place} is used up: free some space, or " + _MOVE),
    ("read-only file system", "{place} is on a read-only file system: " + _MOVE),
    ("permission denied", "{place} cannot be read and written by {account}: change its owner, or " + _MOVE),
    ("operation not permitted", "the system does not let us run a server as {account} on {place}"),
    ("cannot allocate memory", "there is not enough memory for it"),
    ("could not create shared memory segment", "there is not enough shared memory (/dev/shm) for it"),
)
_TELLING = re.compile(r"(?:FATAL|PANIC|ERROR|error)\b:?\s*(.+)")


def explain(service: str, output: str, *, place: Path, account: str, log: Path | None = None) -> ServiceFault:
    """The fault behind what a server wrote before it ended."""
    text = output.lower()
    for sign, message in _CAUSES:
        if sign in text:
            return ServiceFault(f"{service} cannot run: " + message.format(place=place, account=account))
    telling = _TELLING.findall(output) or output.strip().splitlines() or ["no output"]
    where = f"; see {log}" if log else ""
    return ServiceFault(f"{service} cannot run: {telling[-1].strip()[:300]}{where}")


def explain_os_error(error: OSError, place: Path, account: str) -> ServiceFault:
    """The fault behind a failed system call on a file of ours."""
    # A copy of many files fails with all their errors in one text, and with no number.
    reason = error.strerror or errno.errorcode.get(error.errno or 0, "") or str(error)
    where = place if isinstance(error, shutil.Error) else Path(error.filename or place)
    return explain("the embedded service", reason, place=where, account=account)
