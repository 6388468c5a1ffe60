"""Starts roles in order, restarts what crashes, stops everything in reverse order; one thread, one loop."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType

from cockpit.console import Console, Relay
from cockpit.embedded import process
from cockpit.embedded.faults import ServiceFault
from cockpit.env import ROOT
from cockpit.roles import Role

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK = 0.1
_BACK_OFF_SECONDS = (0.5, 30.0)
# A child that ran so long was well: its next crash is the first again.
_STEADY_SECONDS = 60.0
# Everything is stopped within 15 s: our own roles have the first part, the servers under them the rest.
_STOP_SECONDS = 13.0
_ROLES_STOP_SECONDS = 8.0


class Stopped(BaseException):
    """Somebody asked us to stop; a BaseException, so that no handler of errors swallows it."""


class RoleFault(ServiceFault):
    """A role did not become ready; the message is one line for a person."""


class Child:
    """One role's process over its restarts."""

    def __init__(self, role: Role, console: Console, *, plain: bool = False) -> None:
        self.role = role
        self.relay = Relay(console, role.name, plain=plain, omit=role.omit)
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.crashes = 0
        self.restart_at: float | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and not _ended(self.process)

    def prepare(self, patience: float) -> None:
        """What an embedded server needs first; it waits `patience` seconds for its predecessor to be gone."""
        if self.role.server is not None:
            self.role.server.prepare(patience)

    def spawn(self) -> None:
        """Start the process."""
        self.restart_at = None
        self.started = time.monotonic()
        if self.role.server is not None:
            self.process = self.role.server.spawn()
            return
        self.process = process.spawn(
            self.role.command,
            environment={**os.environ, **self.role.environment},
            directory=ROOT,
            output=subprocess.PIPE,
        )
        if self.process.stdout is not None:
            os.set_blocking(self.process.stdout.fileno(), False)

    def back_off(self) -> float:
        """Plan the next start; longer from crash to crash. Returns the seconds until then."""
        if time.monotonic() - self.started >= _STEADY_SECONDS:
            self.crashes = 0
        first, longest = _BACK_OFF_SECONDS
        delay = min(first * 2.0 ** min(self.crashes, 10), longest)
        self.crashes += 1
        self.restart_at = time.monotonic() + delay
        return delay

    def reap(self) -> int:
        """Collect the ended process, and end what it left behind while its number still names its group."""
        if self.process is None:
            return 0
        _kill_group(self.process)
        code = self.process.wait()
        self.drain()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.relay.close()
        self.process = None
        return code

    def drain(self) -> None:
        """Show what the process has written."""
        if self.process is None or self.process.stdout is None:
            return
        for _ in range(16):  # a chatterbox does not keep us from the others
            data = self.process.stdout.read(65_536)
            if not data:
                return
            self.relay.feed(data)


class Supervisor:
    """Runs roles until it is asked to stop; made and used in the main thread, whose end the children watch for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._children: list[Child] = []
        self._stop_requests = 0
        self._interruptible = False
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    @property
    def pids(self) -> dict[str, int]:
        """The process of each role that runs now."""
        return {child.role.name: child.process.pid for child in self._children if child.process and child.alive}

    def start(self, roles: Iterable[Role]) -> None:
        """Start roles one after the other, each when the one before it is ready.

        Raises:
            ServiceFault: when one does not become ready.
            Stopped: when we were asked to stop meanwhile.
        """
        for role in roles:
            begun = time.monotonic()
            child = Child(role, self._console)
            self._children.append(child)
            self._prepare(child, patience=20.0)
            child.spawn()
            if role.ready is None:
                continue
            while not role.ready():
                if time.monotonic() - begun > role.patience:
                    raise RoleFault(f"{role.name} did not become ready within {role.patience:.0f} s")
                if role.server is not None and not child.alive:
                    raise role.server.fault()
                if child.crashes > 2:
                    raise RoleFault(f"{role.name} keeps ending at its start; what it said stands above")
                self.pause(_TICK / 2)
            child.drain()  # what it said on the way stands above the line that it is ready
            title = f"{role.server.title} {role.server.version}" if role.server else role.name
            self._console.ready(title, time.monotonic() - begun)

    def run_once(self, role: Role, *, plain: bool = False) -> int:
        """Run a command to its end while the roles run on; its exit code."""
        child = Child(role, self._console, plain=plain)
        child.spawn()
        try:
            while child.alive:
                self.pause(_TICK / 4)
                child.drain()
        except Stopped:
            if child.process is not None:
                process.end(child.process, [(signal.SIGTERM, 3)])
            raise
        finally:
            code = child.reap()
        return code

    def watch(self) -> None:
        """Restart what crashes until we are asked to stop."""
        try:
            while True:
                self.pause(_TICK)
        except Stopped:
            pass

    def pause(self, seconds: float) -> None:
        """Wait a while and look after the children; every wait of `up` is one of these.

        Raises:
            Stopped: when we were asked to stop.
        """
        self._relay(seconds)
        if self._stop_requests:
            raise Stopped
        for child in self._children:
            self._mend(child)

    def stop(self, meanwhile: Callable[[], object] | None = None) -> None:
        """Stop the roles, the last order first, and call `meanwhile` before the servers go; force comes in time."""
        begun, requests = time.monotonic(), self._stop_requests
        for child in self._children:
            child.restart_at = None
        for order in sorted({child.role.order for child in self._children}, reverse=True):
            group = [child for child in self._children if child.role.order == order]
            serving = any(child.role.server for child in group)
            if serving and meanwhile is not None:
                meanwhile()
                meanwhile = None
            deadline = begun + (_STOP_SECONDS if serving else _ROLES_STOP_SECONDS)
            self._stop_group(group, deadline, patience_ends=requests + 1)
        self._children.clear()

    def _stop_group(self, group: list[Child], deadline: float, *, patience_ends: int) -> None:
        for child in group:
            if child.process is not None and child.alive:
                child.process.send_signal(child.role.server.stop_signal if child.role.server else signal.SIGTERM)
        while any(child.alive for child in group):
            if time.monotonic() >= deadline or self._stop_requests > patience_ends:
                break
            self._relay(_TICK / 4)
        for child in group:
            if child.process is not None and child.alive:
                self._console.say(f"{child.role.name} did not stop in time and is killed")
                child.process.send_signal(child.role.server.stop_hard if child.role.server else signal.SIGKILL)
                if child.role.server and not process.await_end(child.process, 1):
                    child.process.kill()
            child.reap()

    def _relay(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                if child.process is not None and child.process.stdout is not None and not child.process.stdout.closed:
                    selector.register(child.process.stdout, selectors.EVENT_READ, child)
            begun = time.monotonic()
            for key, _ in selector.select(seconds):
                key.data.drain()
            # The pipe of an ended process is always readable: without this the loop would spin.
            time.sleep(max(0.0, min(0.01, seconds - (time.monotonic() - begun))))

    def _mend(self, child: Child) -> None:
        if child.restart_at is not None:
            if time.monotonic() >= child.restart_at:
                self._respawn(child)
        elif not child.alive:
            fault = child.role.server.fault() if child.role.server else None
            code = child.reap()
            delay = child.back_off()
            why = f" ({fault})" if fault and code > 0 else ""
            self._console.say(f"{child.role.name} ended ({_exit_text(code)}){why}; starting it again in {delay:.1f} s")

    def _respawn(self, child: Child) -> None:
        try:
            self._prepare(child, patience=5.0)
            child.spawn()
        except (ServiceFault, OSError) as error:
            delay = child.back_off()
            self._console.fault(f"{child.role.name}: {error}; trying again in {delay:.1f} s")

    def _prepare(self, child: Child, *, patience: float) -> None:
        """Let a stop request break into what may wait by itself (and into nothing else: it could lose a child)."""
        self._interruptible = True
        try:
            child.prepare(patience)
        finally:
            self._interruptible = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1
        if self._interruptible:
            self._interruptible = False
            raise Stopped


def _ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended, without collecting it: until then nobody else gets its number."""
    if child.returncode is not None or sys.platform == "darwin":
        return child.poll() is not None
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _exit_text(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
