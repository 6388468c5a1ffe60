"""One e-mail handed to a mail server, within a deadline that neither a name server nor a dripping server outlasts."""

import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Event, Thread

from msgspec import Struct

from alerts.channels.base import DeliveryError, Failure, Mail

_GRACE = 1.0  # seconds by which a socket waits longer than we do, so that our own deadline is the one that is told of
_TAKEN, _FOR_GOOD = range(200, 300), range(500, 600)  # what is neither may be taken later


class Reply(Struct, frozen=True, order=True):
    """What the server said of one recipient: to the letter, or why it takes none for them."""

    status: int
    answer: str

    @property
    def taken(self) -> bool:
        return self.status in _TAKEN

    @property
    def for_good(self) -> bool:
        return self.status in _FOR_GOOD


def handed_over(mail: Mail, recipients: Sequence[str], message: bytes, seconds: float) -> Mapping[str, Reply]:
    """What the server said of each recipient; the letter was sent unless all were refused.

    Raises:
        DeliveryError: server for 4xx; for 5xx refused (message) or client (name and password, sender); timeout,
            connection, dns, tls. Then nobody has it, unless it is unsure.
    """
    dialogue = _Dialogue(mail, recipients, message, seconds)
    dialogue.start()
    dialogue.ended.wait(seconds)
    outcome = dialogue.outcome
    if outcome is None:
        dialogue.cut()
        raise DeliveryError("timeout", "The mail server did not answer in time.", unsure=dialogue.unsure)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class _Dialogue(Thread):
    """A thread of its own, for nothing else ends a look-up of a name; when it is late it is cut off and left alone."""

    def __init__(self, mail: Mail, recipients: Sequence[str], message: bytes, seconds: float) -> None:
        super().__init__(daemon=True, name="mail")
        self.mail, self.recipients, self.message, self.seconds = mail, recipients, message, seconds
        self.ended = Event()
        self.outcome: Mapping[str, Reply] | Exception | None = None
        self.unsure = False  # the message is on its way: what comes now may hide that it was taken
        self._late = False
        self._handle: socket.socket | None = None  # the connection, whatever TLS makes of the other end of it

    def run(self) -> None:
        try:
            self.outcome = self._held()
        except Exception as error:
            self.outcome = _failure(error, unsure=self.unsure)
        finally:
            self.ended.set()
            if self._handle is not None:
                self._handle.close()

    def cut(self) -> None:
        self._late = True
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def connected(self) -> socket.socket:
        """A connection, in TLS where it begins with that."""
        found = socket.create_connection((self.mail.host, self.mail.port), self.seconds + _GRACE)
        self._handle = found.dup()
        if self._late:
            self.cut()
        if self.mail.security == "tls":
            return ssl.create_default_context().wrap_socket(found, server_hostname=self.mail.host)
        return found

    def _held(self) -> Mapping[str, Reply]:
        server = _Server(self)
        try:
            self._introduced(server)
            replies = self._addressed(server)
            if any(reply.taken for reply in replies.values()):
                letter = self._written(server)
                replies = {one: letter if reply.taken else reply for one, reply in replies.items()}
            with suppress(smtplib.SMTPServerDisconnected):  # it has said all that we ask for
                server.putcmd("quit")  # whose answer nobody waits for
        finally:
            server.close()
        return replies

    def _introduced(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if self.mail.security == "starttls":
            if not server.has_extn("starttls"):
                raise DeliveryError("tls", "The mail server offers no STARTTLS.")
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        if self.mail.user:
            server.login(self.mail.user, self.mail.password)

    def _addressed(self, server: smtplib.SMTP) -> dict[str, Reply]:
        code, said = server.mail(self.mail.sender)
        _demand(code, said, "client", "The mail server does not take the sender.")
        answers = {one: server.rcpt(one) for one in self.recipients}
        return {one: Reply(code, _words(said)) for one, (code, said) in answers.items()}

    def _written(self, server: smtplib.SMTP) -> Reply:
        self.unsure = True
        code, said = server.data(self.message)
        _demand(code, said, "refused", "The mail server did not take the message.")
        return Reply(code, _words(said))


class _Server(smtplib.SMTP):
    """The client of the standard library, over the connection that its dialogue can cut."""

    def __init__(self, dialogue: _Dialogue) -> None:
        self._dialogue = dialogue
        sender = dialogue.mail.sender
        # A name to introduce itself by, so that it does not go and ask the name server for one.
        super().__init__(dialogue.mail.host, dialogue.mail.port, sender.rpartition("@")[2], dialogue.seconds + _GRACE)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._dialogue.connected()


def _demand(code: int, said: bytes, never: Failure, words: str) -> None:
    if code not in _TAKEN:
        raise _refusal(code, said, never, words)


def _refusal(code: int, said: bytes, never: Failure, words: str) -> DeliveryError:
    """5xx is for good, which is `never`; everything else may be taken later."""
    return DeliveryError(never if code in _FOR_GOOD else "server", words, status=code, answer=_words(said))


def _failure(error: Exception, *, unsure: bool) -> Exception:
    """The error as a failure of a kind, or as it is when it is a fault of ours."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        never, words = next(row[1:] for row in _ANSWERS if isinstance(error, row[0]))
        return _refusal(error.smtp_code, said, never, words)
    for family, kind, words in _FAMILIES:
        if isinstance(error, family):
            return DeliveryError(kind, words, unsure=unsure)
    return error


# The first row that fits.
_ANSWERS: Sequence[tuple[type[Exception], Failure, str]] = (
    (smtplib.SMTPAuthenticationError, "client", "The mail server does not take the user name and the password."),
    (smtplib.SMTPDataError, "refused", "The mail server did not take the message."),
    (smtplib.SMTPResponseException, "client", "The mail server turned us away."),
)
_FAMILIES: Sequence[tuple[type[Exception], Failure, str]] = (
    (smtplib.SMTPServerDisconnected, "connection", "The mail server ended the connection."),
    (smtplib.SMTPException, "client", "The mail server offers no way to sign in that we know."),
    (ssl.SSLZeroReturnError, "connection", "The mail server ended the connection."),
    (ssl.SSLEOFError, "connection", "The mail server ended the connection."),
    (ssl.SSLError, "tls", "No trusted connection to the mail server: its certificate or its TLS will not do."),
    (socket.gaierror, "dns", "The name of the mail server has no address."),
    (UnicodeError, "settings", "The name of the mail server is none."),
    (TimeoutError, "timeout", "The mail server did not answer in time."),
    (OSError, "connection", "The mail server cannot be reached."),
)


def _words(said: bytes) -> str:
    return said.decode("utf-8", "replace")
