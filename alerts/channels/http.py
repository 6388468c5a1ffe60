"""The one outgoing HTTP client: one look-up, one checked address, one request, one answer, one deadline for it all."""

import io
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import copy
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, cast

from alerts.channels.addresses import (
    Address,
    Allowed,
    Target,
    call_problem,
    loopback_problem,
    spelling_problem,
    target_of,
)
from alerts.channels.base import Answer, DeliveryError, Failure
from alerts.channels.lookups import Deadline, Lookups, Resolve, system_addresses

_MOST_BODY = 64 * 1024
_MOST_RECEIVED = 1024 * 1024  # with headers and the sizes of chunks
_FORM_SECONDS = 2.0
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# The first row that fits; what is cut comes before what it is a kind of.
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Failure, str], ...] = (
    (TimeoutError, "timeout", "no whole answer in time"),
    (
        (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, IncompleteRead),
        "connection",
        "the connection was cut",
    ),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "connection", "the connection was cut"),
    (ssl.SSLCertVerificationError, "tls", "the certificate is not valid"),
    (ssl.SSLError, "tls", "no secure connection came about"),
    (ConnectionRefusedError, "connection", "the connection was refused"),
    (OSError, "connection", "the receiver cannot be reached"),
    (Exception, "connection", "the answer is not HTTP, or has no end"),
)
_CERTIFICATE = {  # OpenSSL's codes
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is signed by itself",
    19: "the certificate is signed by an authority that is not trusted",
    20: "the certificate is signed by an authority that is not trusted",
    62: "the certificate is for another name",
    64: "the certificate is for another address",
}


def default_context() -> ssl.SSLContext:
    """Certificates and names are verified, TLS is 1.2 or newer."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpClient:
    """The `Client` of the channels; many threads may use one.

    Never follows a redirect, reads no proxies and passwords of the environment, keeps no cookies and no connections,
    and unpacks nothing. Only https at port 443 of public addresses is called, unless `allowed` says otherwise.

    Args:
        allowed: what the administrator permits beside that.
        loopback_only: nothing but this machine is called, at any port and by plain http too (for data that is made up).
        connect_seconds: for each address that a name has.
        total_seconds: from the look-up to the end of the answer.
        resolve: host and port to addresses; raises OSError.
        context: of TLS.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Allowed] = (),
        loopback_only: bool = False,
        connect_seconds: float = 3.0,
        total_seconds: float = 10.0,
        resolve: Resolve = system_addresses,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._loopback_only = tuple(allowed), loopback_only
        self._connect_seconds, self._total_seconds = connect_seconds, total_seconds
        self._lookups, self._context = Lookups(resolve), context or default_context()
        self._until: Deadline | None = None

    def for_one_notice(self) -> "HttpClient":
        """The same, with one deadline from now on for all requests that are made by it."""
        mine = copy(self)
        mine._until = Deadline(self._total_seconds)
        return mine

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Whatever the receiver answers, within the deadline; its body is cut after 64 KiB.

        Raises:
            DeliveryError: timeout, connection, dns, tls or address; settings when a header may not be sent; never for a
                status.
        """
        deadline = self._until or Deadline(self._total_seconds)
        try:
            target = target_of(url)
        except ValueError as error:
            raise DeliveryError("address", f"the URL {error}") from None
        request = _request(target, body, headers)
        addresses, problem = self._checked(target, deadline)
        if problem:
            raise DeliveryError("address", f"the URL {problem}")
        exchange = _Exchange(deadline)
        try:
            with closing(self._connected(target, addresses, deadline)) as connection:
                return exchange.over(connection, request)
        except (OSError, HTTPException, ValueError) as error:
            raise _failure(error, unsure=exchange.sent, status=exchange.status) from None

    def url_problem(self, url: str) -> str | None:
        """Why this URL may not be called ("must be https"), or None; a name without an address now is no problem."""
        try:
            return self._checked(target_of(url), Deadline(min(_FORM_SECONDS, self._total_seconds)))[1]
        except ValueError as error:
            return str(error)
        except DeliveryError:
            return None

    def _checked(self, target: Target, deadline: Deadline) -> tuple[Sequence[Address], str | None]:
        """The target's addresses, and why it may not be called: one bad address spoils them all.

        Raises:
            DeliveryError: dns.
        """
        problem = None if self._loopback_only else spelling_problem(target, self._allowed)
        if problem:
            return (), problem
        addresses = self._lookups.addresses(target, deadline)
        return addresses, next(filter(None, (self._problem(target, address) for address in addresses)), None)

    def _problem(self, target: Target, address: Address) -> str | None:
        return loopback_problem(address) if self._loopback_only else call_problem(target, address, self._allowed)

    def _connected(self, target: Target, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
        """A connection to the first address that takes one: to just that address, whatever the name means by now."""
        for number, address in enumerate(addresses, 1):
            seconds = min(self._connect_seconds, deadline.left())
            try:
                plain = _dialled(address, target.port, seconds)
            except OSError:
                if number == len(addresses):
                    raise
            else:
                return plain if target.scheme == "http" else self._secured(plain, str(target.host), deadline)
        raise OSError("no address")

    def _secured(self, plain: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
        with closing(plain):  # which has nothing left to close once it is wrapped
            secure = self._context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        try:
            secure.settimeout(deadline.left())
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        return secure


def _dialled(address: Address, port: int, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(seconds)
        connection.connect((str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


class _Received(io.RawIOBase):
    """What a connection receives, as a stream that ends with the deadline and after `_MOST_RECEIVED` bytes."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline
        self._count, self.ended = 0, False

    def makefile(self, mode: str) -> io.BufferedReader:
        """The one method of a socket that `HTTPResponse` asks for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._deadline.left())
        count = self._connection.recv_into(buffer)
        self._count += count
        self.ended = not count
        if self._count > _MOST_RECEIVED:
            raise HTTPException("too long")
        return count


class _Exchange:
    """One request and its answer, and how far it came."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline, self.sent = deadline, False
        self.status: int | None = None

    def over(self, connection: socket.socket, request: bytes) -> Answer:
        try:
            self._send(connection, request)
            self.sent = True
        except (ConnectionError, ssl.SSLEOFError):
            pass  # it may have answered before it had everything (413), and closed
        received = _Received(connection, self._deadline)
        with closing(HTTPResponse(cast(socket.socket, received), method="POST")) as response:
            response.begin()
            while response.status < 200:  # an interim answer, such as 103
                response.headers = None  # type: ignore[assignment]  # so that `begin` reads on
                response.begin()
            if received.ended:  # before the end of the headers, which the library does not mind
                raise IncompleteRead(b"")
            self.status = response.status
            body = response.read(_MOST_BODY)
            if response.length and len(body) < _MOST_BODY:
                raise IncompleteRead(b"")
            return Answer(status=response.status, headers=_joined(response.getheaders()), body=body)

    def _send(self, connection: socket.socket, request: bytes) -> None:
        left = memoryview(request)
        while left:
            connection.settimeout(self._deadline.left())
            left = left[connection.send(left) :]


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of the request; what frames it is ours to say."""
    ours = {
        "host": target.authority,
        "user-agent": "AI-Development-Cockpit",
        "accept-encoding": "identity",
        "content-length": str(len(body)),
        "connection": "close",
    }
    given = {name: value for name, value in headers.items() if name.lower() not in {*ours, "transfer-encoding"}}
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise DeliveryError("settings", "a header holds characters that may not be sent")
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**ours, **given}.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case, those of one name joined."""
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _failure(error: Exception, *, unsure: bool, status: int | None) -> DeliveryError:
    """What went wrong in words of our own: libraries quote what the receiver wrote."""
    kind, words = next((kind, words) for types, kind, words in _FAILURES if isinstance(error, types))
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _CERTIFICATE.get(error.verify_code, words)
    return DeliveryError(kind, words, status=status, unsure=unsure)
