"""What `up` says on the terminal: progress, one clear line a fault, and its children's output kept short."""

import sys
import time
from collections import deque
from contextlib import suppress

_LINE_LIMIT = 400  # of a terminal; what goes to a file or a log collector stays whole
_LINES_A_SECOND = 50
# Of what is left out the end is shown: that is where a traceback says what it is about.
_LAST_LINES = 10
_NAME_WIDTH = 8


class Console:
    """The terminal; when it goes away (a closed pipe) the work goes on."""

    def say(self, text: str) -> None:
        """A line of our own."""
        self._write(text)

    def ready(self, what: str, seconds: float) -> None:
        """A step that is done."""
        self._write(f"  {what:<40} ready {seconds:5.1f} s")

    def fault(self, text: str) -> None:
        """A line about what is wrong and what to do."""
        self._write(f"error: {text}", error=True)

    def relay(self, name: str, line: str) -> None:
        """A child's line, under its name."""
        shown = line[:_LINE_LIMIT] if sys.stdout.isatty() else line
        self._write(f"{name:<{_NAME_WIDTH}}| {shown}")

    def _write(self, text: str, *, error: bool = False) -> None:
        stream = sys.stderr if error else sys.stdout
        with suppress(OSError, ValueError):
            stream.write(text + "\n")
            stream.flush()


class Relay:
    """Cuts one child's output into lines for the console, and leaves out what comes faster than anybody reads."""

    def __init__(self, console: Console, name: str, *, plain: bool = False, omit: str = "") -> None:
        self._console = console
        self._name = name
        self._plain = plain
        self._omit = omit
        self._rest = b""
        self._second = 0
        self._count = 0
        self._left_out: deque[str] = deque(maxlen=_LAST_LINES)

    def feed(self, data: bytes) -> None:
        """Show the lines that `data` completes; a line without an end is cut, never hoarded."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > 65_536:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._show(line)

    def close(self) -> None:
        """Show what was held back: the end of a flood, and a line without an end."""
        if self._rest:
            self._show(self._rest)
        self._rest = b""
        self._catch_up()

    def _show(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if self._plain:
            self._console.say(text)
            return
        if not text.strip() or (self._omit and self._omit in text):
            return
        second = int(time.monotonic())
        if second != self._second:
            self._catch_up()
            self._second, self._count = second, 0
        self._count += 1
        if self._count <= _LINES_A_SECOND:
            self._console.relay(self._name, text)
        else:
            self._left_out.append(text)

    def _catch_up(self) -> None:
        hidden = self._count - _LINES_A_SECOND - len(self._left_out)
        if hidden > 0:
            self._console.relay(self._name, f"... {hidden} lines left out ...")
        while self._left_out:
            self._console.relay(self._name, self._left_out.popleft())
        self._count = 0
