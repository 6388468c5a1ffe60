"""Names to addresses, and one moment at which everything that is done for a notice ends."""

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from threading import BoundedSemaphore, Thread
from time import monotonic

from alerts.channels.addresses import Address, Target
from alerts.channels.base import DeliveryError

Resolve = Callable[[str, int], Sequence[str]]

_MOST_LOOKUPS = 32  # at once; those that hang end when the system's own resolver gives up
_LOOKUP_TURN_SECONDS = 1.0


def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver says; it has no time limit of its own."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Deadline:
    """One moment that everything ends at. Every wait asks it anew, so that no drip can stretch it."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def left(self) -> float:
        """Seconds, never 0.

        Raises:
            TimeoutError: there are none.
        """
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


class Lookups:
    """Names to addresses, each look-up in a thread of its own that nobody has to wait for, and not without end."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve, self._free = resolve, BoundedSemaphore(_MOST_LOOKUPS)

    def addresses(self, target: Target, deadline: Deadline) -> Sequence[Address]:
        """All addresses of the target, each once.

        Raises:
            DeliveryError: dns.
        """
        if not isinstance(target.host, str):
            return [target.host]
        try:
            found = [ip_address(text) for text in dict.fromkeys(self._found(target.host, target.port, deadline))]
        except TimeoutError:
            raise DeliveryError("dns", "the name was not looked up in time") from None
        except (OSError, ValueError):
            found = []
        if not found:
            raise DeliveryError("dns", "the name has no address now")
        return found

    def _found(self, host: str, port: int, deadline: Deadline) -> Sequence[str]:
        if not self._free.acquire(timeout=min(_LOOKUP_TURN_SECONDS, deadline.left())):
            raise DeliveryError("dns", "too many names are being looked up at once")
        found: Future[Sequence[str]] = Future()
        try:
            Thread(target=self._look_up, args=(found, host, port), name="look-up", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._free.release()
            raise DeliveryError("dns", "too many names are being looked up at once") from None
        return found.result(deadline.left())

    def _look_up(self, found: "Future[Sequence[str]]", host: str, port: int) -> None:
        try:
            found.set_result(self._resolve(host, port))
        except BaseException as error:  # is raised where it is waited for
            found.set_exception(error)
        finally:
            self._free.release()
