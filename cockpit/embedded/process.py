"""Child processes that never outlive their parent: what starts them, and the small launcher they pass through.

Run as a script it is that launcher (so it imports nothing of ours): it takes on the account, asks the kernel for a
signal at its parent's death and becomes the command. No Python of the parent runs between fork and exec, so threads
are no danger.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
# What a parent (a shell's background job, Python itself) may have set to be ignored and a server needs as it was.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


def die_with_parent(death_signal: int, parent: int | None = None) -> None:
    """Have the kernel send this process `death_signal` when its parent ends, however that happens (Linux only).

    A `parent` that ended before the call is seen too: then this process leaves at once. The kernel watches the thread
    that forked, so a parent forks from a thread that lives as long as itself.
    """
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        os._exit(128 + int(death_signal))


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    output: int | IO[bytes] | None = None,
    death_signal: int = signal.SIGTERM,
    owner: tuple[int, int] | None = None,
    keep: Iterable[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` as a child that dies with us, in a session of its own so that Ctrl-C reaches only us.

    `owner` is the user and group it runs as, `keep` names descriptors it holds on to, `output` takes both its streams.
    Call it from the main thread: see `die_with_parent`.
    """
    uid, gid = owner or (os.geteuid(), os.getegid())
    launcher = [sys.executable, "-I", "-S", __file__, *map(str, (int(death_signal), os.getpid(), uid, gid))]
    return subprocess.Popen(
        [*launcher, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        cwd=directory,
        env=dict(environment),
        pass_fds=tuple(keep),
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes], steps: Iterable[tuple[int, float]]) -> int:
    """Send each signal in turn and give the child its seconds, then kill it. Returns its exit code."""
    for number, seconds in steps:
        if child.poll() is not None:
            break
        child.send_signal(number)
        try:
            child.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            continue
    if child.poll() is None:
        child.kill()
    return child.wait()


def await_end(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the child ended by itself within `seconds`."""
    deadline = time.monotonic() + seconds
    while child.poll() is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _launch(arguments: list[str]) -> None:
    death_signal, parent, uid, gid = map(int, arguments[:4])
    command = arguments[4:]
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        die_with_parent(death_signal, parent)  # after setuid, which clears it
        os.execv(command[0], command)  # noqa: S606 - the point of a launcher
    except OSError as error:
        os.write(2, f"error: {command[0]}: {error.strerror}\n".encode())
        os._exit(127)


if __name__ == "__main__":
    _launch(sys.argv[1:])
