"""E-mail: what a letter holds, that nothing from outside becomes a header, and what a server's moods come out as."""

import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerts.channels import TRANSPORTS, email, letters
from alerts.channels.base import DeliveryError, Failure, Mail, Notice, Receipt
from tests.notices import NOW, Posts, for_any_notice, notice, tools

SENDER = "alerts@cockpit.example"
HEADERS = ["Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References", "List-Id", "Auto-Submitted",
           "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"]  # fmt: skip
TO = ["ada@example.com", "bob@example.org"]
Replies = Mapping[str, "str | Sequence[str]"]


def letter(one: Notice) -> tuple[bytes, EmailMessage]:
    """As it goes over the wire, and as a reader parses it."""
    sent = email.rendered(one, sender=SENDER, to=TO).as_bytes()
    read = message_from_bytes(sent, policy=default)
    assert isinstance(read, EmailMessage)
    return sent, read


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name == "href"]
        assert not [name for name, _ in attrs if name.startswith("on")]


class MailServer:
    """Speaks SMTP on this machine as it is told: a reply for a verb, one after the other where there are several.

    A reply of `drip` is one byte every 50 ms without an end; of `` the end of the connection.
    """

    def __init__(
        self, replies: Replies | None = None, *, tls: ssl.SSLContext | None = None, wrapped: bool = False
    ) -> None:
        self.replies = {verb: [each] if isinstance(each, str) else list(each) for verb, each in (replies or {}).items()}
        self.tls, self.wrapped = tls, wrapped
        self.said: list[str] = []
        self.letters: list[bytes] = []
        self.hung_up = threading.Event()
        self._ended = threading.Event()

    def __enter__(self) -> "MailServer":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def mail(self, **changes: Any) -> Mail:
        return Mail(**{"host": "127.0.0.1", "port": self.port, "security": "none", "sender": SENDER, **changes})

    def _serve(self) -> None:
        with suppress(OSError), self._listener.accept()[0] as accepted:
            wire = accepted
            wire.settimeout(20)
            if self.wrapped and self.tls:
                wire = self.tls.wrap_socket(wire, server_side=True)
            with suppress(OSError), wire:
                self._talk(wire)
            self.hung_up.set()

    def _talk(self, wire: socket.socket) -> None:
        reader = wire.makefile("rb")
        self._say(wire, "greeting", "220 here")
        while line := reader.readline():
            verb = line.split()[0].decode("latin-1").lower() if line.split() else ""
            self.said.append(line.decode("latin-1").strip())
            self._say(wire, verb, _USUAL.get(verb, "250 fine"))
            if verb == "data" and self._now == "354 go on":
                data = b""
                while not data.endswith(b"\r\n.\r\n"):
                    data += reader.readline()
                self.letters.append(data)
                self._say(wire, "letter", "250 taken")
            if verb == "starttls" and self.tls and self._now.startswith("220"):
                wire = self.tls.wrap_socket(wire, server_side=True)
                reader = wire.makefile("rb")
            if verb == "quit":
                return

    def _say(self, wire: socket.socket, verb: str, usual: str) -> None:
        left = self.replies.get(verb, [])
        self._now = (left.pop(0) if len(left) > 1 else left[0]) if left else usual
        if self._now == "":
            raise OSError
        while self._now == "drip" and not self._ended.wait(0.05):
            wire.sendall(b"2")
        wire.sendall(self._now.replace("\n", "\r\n").encode() + b"\r\n")


_USUAL = {"data": "354 go on", "quit": "221 bye", "starttls": "220 go on", "auth": "235 welcome",
          "ehlo": "250-here\n250-STARTTLS\n250 AUTH PLAIN LOGIN"}  # fmt: skip


def sent(
    server: MailServer, one: Notice | None = None, *, to: Sequence[str] = TO, seconds: float = 10.0, **mail: Any
) -> Receipt:
    return email.send(
        one or notice(), {"recipients": "\n".join(to)}, tools(Posts(), mail=server.mail(**mail), seconds=seconds)
    )


def failure(server: MailServer, **changes: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        sent(server, **changes)
    return raised.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("mail") / "server"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class TestLetter:
    @for_any_notice
    def test_any_text_leaves_the_headers_as_they_are(self, one: Notice) -> None:
        wire, read = letter(one)
        head = wire.split(b"\r\n\r\n", 1)[0].decode("ascii")
        assert [line.partition(":")[0] for line in head.split("\r\n") if line[0] not in " \t"] == HEADERS
        assert "\r" not in head.replace("\r\n", "")
        assert "\n" not in head.replace("\r\n", "")
        assert len(str(read["Subject"]).splitlines()) == 1
        assert len(str(read["Subject"])) < 300
        assert str(read["To"]) == "ada@example.com, bob@example.org"
        assert max(map(len, wire.split(b"\r\n"))) <= 998

    @for_any_notice
    def test_any_text_is_read_as_it_was_written_and_is_no_markup(self, one: Notice) -> None:
        _, read = letter(one)
        assert read.get_content_type() == "multipart/alternative"
        plain, html = read.iter_parts()
        assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
        assert plain.get_content().replace("\r\n", "\n") == letters.plain(one)
        assert html.get_content().replace("\r\n", "\n") == letters.html(one)
        tags = _Tags()
        tags.feed(html.get_content())
        assert set(tags.tags) <= {"html", "head", "meta", "title", "body", "div", "span", "h1", "p", "a"}
        assert all(link.startswith(("http://", "https://")) for link in map(str.lower, tags.links))
        assert not one.url or one.url in tags.links

    @for_any_notice
    def test_the_subject_is_what_it_says(self, one: Notice) -> None:
        _, read = letter(one)
        # What readers are allowed to make of white space is all that may differ.
        assert "".join(str(read["Subject"]).split()) == "".join(letters.subject(one).split())

    @pytest.mark.parametrize(
        ("event", "subject"),
        [
            ("trigger", "[CRITICAL] high_error_rate on qwen2.5:7b (SwaggyStacks)"),
            ("acknowledge", "ACKNOWLEDGED: high_error_rate on qwen2.5:7b (SwaggyStacks)"),
            ("resolve", "RESOLVED: high_error_rate on qwen2.5:7b (SwaggyStacks)"),
            ("test", "TEST: This is a test (SwaggyStacks)"),
            ("summary", "SUMMARY: 3 older notices were not sent (SwaggyStacks)"),
        ],
    )
    def test_the_subject_says_how_it_stands(self, event: Any, subject: str) -> None:
        assert letter(notice(event))[1]["Subject"] == subject

    def test_all_of_one_episode_is_one_thread_and_nothing_else_is(self) -> None:
        read = [letter(notice(event))[1] for event in ("trigger", "acknowledge", "resolve")]
        assert {one["References"] for one in read} == {one["In-Reply-To"] for one in read}
        assert len({one["References"] for one in read}) == 1
        assert len({one["Message-ID"] for one in read}) == 3
        assert letter(notice(dedup_key="another"))[1]["References"] != read[0]["References"]
        assert letter(notice())[1]["Message-ID"] == read[0]["Message-ID"] == "<0195-trigger@cockpit.example>"

    def test_it_says_who_writes_and_that_nobody_need_answer(self) -> None:
        _, read = letter(notice())
        assert read["From"] == "AI Development Cockpit <alerts@cockpit.example>"
        assert read["List-Id"] == "<swaggystacks.alerts.cockpit.example>"
        assert read["Auto-Submitted"] == "auto-generated"
        assert read["Date"].datetime == NOW.replace(microsecond=0)


class TestRecipients:
    @pytest.mark.parametrize(
        "text", ["ada@example.com", "ada@example.com\n bob@localhost \n\n", "a.b+c_d%e=f@x-y.example.com", "a@b\r\nc@d",
                 "\n".join(f"p{number}@example.com" for number in range(20))]
    )  # fmt: skip
    def test_addresses_are_taken_one_a_line(self, text: str) -> None:
        assert email.recipients_problem(text) is None

    @pytest.mark.parametrize(
        "text",
        ["", " \n ", "ada", "ada@", "@example.com", "ada@example.com, bob@example.com", "Ada <ada@example.com>",
         "ada@exämple.com", "a..b@example.com", ".a@example.com", "a@b@c", "a b@example.com", "a@-.", "a@b.",
         "=?utf-8?q?x?=@example.com", '"a"@example.com', "ada@example.com\nBcc: x", "a@" + "b" * 260, "a\x00@b",
         "\n".join(f"p{number}@example.com" for number in range(21))],
    )  # fmt: skip
    def test_everything_else_is_said_to_be_none_without_saying_it_again(self, text: str) -> None:
        problem = email.recipients_problem(text)
        assert problem is not None
        assert problem.startswith("must be")
        assert "ada@exämple" not in problem

    def test_each_is_written_to_once(self) -> None:
        assert email.recipients("a@b\nc@d\na@b") == ["a@b", "c@d"]


class TestServer:
    def test_it_hands_over_what_was_written(self) -> None:
        with MailServer() as server:
            assert sent(server) == Receipt(status=250, answer="taken")
        assert server.said[0] == "ehlo cockpit.example"
        assert server.said[1:] == [
            "mail FROM:<alerts@cockpit.example>", "rcpt TO:<ada@example.com>", "rcpt TO:<bob@example.org>", "data",
            "quit",
        ]  # fmt: skip
        assert server.letters == [letter(notice())[0] + b".\r\n"]

    def test_dots_at_the_beginning_of_lines_end_nothing(self) -> None:
        with MailServer() as server:
            sent(server, notice(text="first\n.\nQUIT\n..\nlast"))
        (got,) = server.letters
        assert b"\r\n..\r\nQUIT\r\n" in got
        assert server.said.count("quit") == 1

    def test_it_signs_in_where_it_has_a_name(self) -> None:
        with MailServer() as server:
            sent(server, user="cockpit", password="canary")
        assert server.said[1].startswith("AUTH PLAIN ")

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_it_trusts_a_certificate_that_is_trusted(
        self, security: str, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with MailServer(tls=tls, wrapped=security == "tls") as server:
            assert sent(server, security=security, user="cockpit", password="canary").status == 250
        assert len(server.letters) == 1

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_it_says_nothing_to_a_server_whose_certificate_is_not(self, security: str, tls: ssl.SSLContext) -> None:
        with MailServer(tls=tls, wrapped=security == "tls") as server:
            error = failure(server, security=security, user="cockpit", password="canary")
        assert (error.kind, error.unsure) == ("tls", False)
        assert not [line for line in server.said if line.lower().startswith(("auth", "mail"))]

    def test_it_does_not_go_on_without_starttls(self) -> None:
        with MailServer({"ehlo": "250-here\n250 AUTH PLAIN"}) as server:
            error = failure(server, security="starttls", user="cockpit", password="canary")
        assert error.kind == "tls"
        assert not [line for line in server.said if line.lower().startswith("auth")]

    @pytest.mark.parametrize(
        ("replies", "kind", "status"),
        [
            ({"greeting": "421 busy"}, "server", 421), ({"greeting": "554 go away"}, "client", 554),
            ({"mail": "451 later"}, "server", 451), ({"mail": "550 not you"}, "client", 550),
            ({"rcpt": "450 greylisted"}, "server", 450), ({"rcpt": "550 unknown"}, "refused", 550),
            ({"rcpt": ["550 unknown", "450 greylisted"]}, "server", 450),
            ({"data": "451 later"}, "server", 451), ({"data": "554 no"}, "refused", 554),
            ({"letter": "452 full"}, "server", 452), ({"letter": "552 too much"}, "refused", 552),
            ({"letter": "554 canary is spam"}, "refused", 554),
            ({"auth": "535 wrong"}, "client", 535), ({"auth": "454 later"}, "server", 454),
            ({"ehlo": "250 here"}, "client", None),
        ],
    )  # fmt: skip
    def test_what_it_refuses_is_told_by_kind(self, replies: Replies, kind: Failure, status: int | None) -> None:
        signs_in = "auth" in replies or "ehlo" in replies
        with MailServer(replies) as server:
            error = failure(server, user="cockpit" if signs_in else "", password="canary")
        assert (error.kind, error.status) == (kind, status)
        assert "canary" not in error.words
        assert not error.unsure

    def test_some_of_them_are_enough_and_the_others_are_named(self) -> None:
        with MailServer({"rcpt": ["250 fine", "550 unknown here"]}) as server:
            taken = sent(server)
        assert taken.status == 250
        assert taken.answer == "taken\nbob@example.org refused: 550 unknown here"
        assert len(server.letters) == 1

    @pytest.mark.parametrize("verb", ["greeting", "ehlo", "mail", "rcpt", "data", "letter"])
    def test_an_end_in_the_middle_is_one_and_unsure_once_the_letter_is_on_its_way(self, verb: str) -> None:
        with MailServer({verb: ""}) as server:
            error = failure(server)
        assert (error.kind, error.unsure) == ("connection", verb in ("data", "letter"))

    @pytest.mark.parametrize("verb", ["greeting", "ehlo", "mail", "rcpt", "data", "letter"])
    def test_a_server_that_drips_is_cut_off(self, verb: str) -> None:
        with MailServer({verb: "drip"}) as server:
            began = time.monotonic()
            error = failure(server, seconds=0.7)
            took = time.monotonic() - began
            assert server.hung_up.wait(10)
        assert (error.kind, error.unsure) == ("timeout", verb in ("data", "letter"))
        assert 0.6 < took < 5
        assert_no_thread_is_left()

    def test_a_server_that_drips_in_tls_is_cut_off(
        self, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with MailServer({"mail": "drip"}, tls=tls) as server:
            assert failure(server, seconds=0.7, security="starttls").kind == "timeout"
            assert server.hung_up.wait(10)
        assert_no_thread_is_left()

    def test_a_handshake_that_does_not_come_is_cut_off(self) -> None:
        with MailServer({"greeting": "drip"}) as server:
            assert failure(server, seconds=0.7, security="tls").kind in ("timeout", "tls")
        assert_no_thread_is_left()

    def test_nobody_waits_for_a_goodbye(self) -> None:
        with MailServer({"quit": "drip"}) as server:
            began = time.monotonic()
            assert sent(server, seconds=8).status == 250
            assert time.monotonic() - began < 5

    def test_a_name_that_is_not_looked_up_in_time_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stuck = threading.Event()

        def look_up(*_: object, **__: object) -> list[Any]:
            stuck.wait(10)
            raise socket.gaierror

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with MailServer() as server:
            error = failure(server, seconds=0.3, host="mail.example")
            stuck.set()
        assert (error.kind, error.unsure) == ("timeout", False)
        assert_no_thread_is_left()

    def test_a_connection_that_comes_too_late_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect, late = socket.create_connection, threading.Event()

        def slowly(*given: Any, **more: Any) -> socket.socket:
            late.wait(10)
            return connect(*given, **more)

        monkeypatch.setattr(socket, "create_connection", slowly)
        with MailServer() as server:
            assert failure(server, seconds=0.3).kind == "timeout"
            late.set()
            assert server.hung_up.wait(10)
            assert server.letters == []
        assert_no_thread_is_left()

    def test_a_name_without_an_address_and_a_closed_port_are_told_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with MailServer() as server:
            pass
        assert failure(server).kind == "connection"

        def look_up(*_: object, **__: object) -> list[Any]:
            raise socket.gaierror(socket.EAI_NONAME, "canary")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        error = failure(server, host="mail.example")
        assert error.kind == "dns"
        assert "canary" not in error.words

    @pytest.mark.parametrize(
        ("mail", "recipients"),
        [(None, "ada@example.com"), (Mail(host="h", port=1, sender="nobody"), "ada@example.com"),
         (Mail(host="h", port=1, sender="a@b\r\nBcc: c@d"), "ada@example.com"),
         (Mail(host="h", port=1, sender="a@b"), "x")],
    )  # fmt: skip
    def test_nothing_is_sent_without_a_server_a_sender_and_somebody_to_write_to(
        self, mail: Mail | None, recipients: str
    ) -> None:
        with pytest.raises(DeliveryError) as raised:
            TRANSPORTS["email"].send(notice(), {"recipients": recipients}, tools(Posts(), mail=mail))
        assert raised.value.kind == "settings"


def assert_no_thread_is_left() -> None:
    end = time.monotonic() + 10
    while [one for one in threading.enumerate() if one.name == "mail"]:
        assert time.monotonic() < end, "a dialogue goes on after it was given up"
        time.sleep(0.01)
