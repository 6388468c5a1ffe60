"""E-mail: what a letter holds, that nothing from outside becomes a header, and what a server's moods come out as."""

import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerts import replays, sending, trials
from alerts.channels import TRANSPORTS, email, letters
from alerts.channels.base import DeliveryError, Failure, Mail, Notice, Receipt
from tests import channels
from tests.channels import EVERYONE, act, attempts, channel, deliveries, drain, due_now, fire, route, the
from tests.notices import NOW, Posts, for_any_notice, notice, tools
from tests.outbox import alerts_about, broken, hook, only, told
from tests.receiver import Receiver

SENDER = "alerts@cockpit.example"
HEADERS = ["Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References", "List-Id", "Auto-Submitted",
           "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"]  # fmt: skip
TO = ["ada@example.com", "bob@example.org"]
THREE = [*TO, "cyd@example.net"]
BOB, CYD = "rcpt TO:<bob@example.org>", "rcpt TO:<cyd@example.net>"
FINE, LATER, NEVER = "250 fine", "450 greylisted", "550 unknown"
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

    A whole line such as `rcpt TO:<ada@example.com>` may have replies of its own. A reply of `drip` is one byte every
    50 ms without an end; of `` the end of the connection. `boxes` has the letters that each recipient got.
    """

    def __init__(
        self, replies: Replies | None = None, *, tls: ssl.SSLContext | None = None, wrapped: bool = False
    ) -> None:
        self.replies = {verb: [each] if isinstance(each, str) else list(each) for verb, each in (replies or {}).items()}
        self.tls, self.wrapped = tls, wrapped
        self.said: list[str] = []
        self.letters: list[bytes] = []
        self.boxes: dict[str, list[bytes]] = {}
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
        while not self._ended.is_set():
            with suppress(OSError), self._listener.accept()[0] as accepted:
                wire = accepted
                wire.settimeout(20)
                if self.wrapped and self.tls:
                    wire = self.tls.wrap_socket(wire, server_side=True)
                with suppress(OSError), wire:
                    self._talk(wire)
                self.hung_up.set()

    def _talk(self, wire: socket.socket) -> None:
        reader, envelope = wire.makefile("rb"), list[str]()
        self._say(wire, "greeting", "220 here")
        while line := reader.readline():
            verb = line.split()[0].decode("latin-1").lower() if line.split() else ""
            self.said.append(line.decode("latin-1").strip())
            own = self.said[-1] if self.said[-1] in self.replies else verb
            self._say(wire, own, _USUAL.get(verb, "250 fine"))
            if verb == "rcpt" and self._now.startswith("250"):
                envelope.append(self.said[-1][len("rcpt TO:<") : -1])
            if verb == "data" and self._now == "354 go on":
                data = b""
                while not data.endswith(b"\r\n.\r\n"):
                    data += reader.readline()
                self.letters.append(data)
                self._say(wire, "letter", "250 taken")
                for one in envelope if self._now.startswith("250") else ():
                    self.boxes.setdefault(one, []).append(data)
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

    def test_a_letter_that_was_taken_stays_so_when_nobody_hears_the_goodbye(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        say = smtplib.SMTP.putcmd

        def gone_by_then(self: smtplib.SMTP, cmd: str, args: str = "") -> None:
            if cmd == "quit":
                raise smtplib.SMTPServerDisconnected
            say(self, cmd, args)

        monkeypatch.setattr(smtplib.SMTP, "putcmd", gone_by_then)
        with MailServer() as server:
            assert sent(server).status == 250

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


class TestSomeAreRefused:
    """Of three recipients; `so_far` is what the outbox hands from one try of a notice to the next."""

    @pytest.mark.parametrize(
        ("bob", "cyd", "kind", "status", "words"),
        [
            (FINE, LATER, "partly", 450, "The mail server takes 2 of 3 recipients for now."),
            (LATER, FINE, "partly", 450, "The mail server takes 2 of 3 recipients for now."),
            (FINE, NEVER, "refused", 550, "The mail server takes 2 of 3 recipients."),
            (NEVER, NEVER, "refused", 550, "The mail server takes 1 of 3 recipients."),
            (NEVER, LATER, "partly", 450, "The mail server takes 1 of 3 recipients for now."),
            (LATER, NEVER, "partly", 450, "The mail server takes 1 of 3 recipients for now."),
        ],
    )
    def test_a_notice_that_not_all_take_has_failed_and_some_have_it(
        self, bob: str, cyd: str, kind: Failure, status: int, words: str
    ) -> None:
        with MailServer({BOB: bob, CYD: cyd}) as server:
            error = failure(server, to=THREE)
        assert (error.kind, error.status, error.words, error.unsure) == (kind, status, words, True)
        assert len(server.letters) == 1
        assert len(error.reference["taken"]) == len(server.boxes)

    def test_who_was_refused_is_told_by_number_and_no_address_is_kept(self) -> None:
        with MailServer({BOB: "450 greylisted", CYD: "550 unknown", "letter": "250 queued as 4711"}) as server:
            error = failure(server, to=THREE)
        assert error.answer == "recipient 2: 450 greylisted; recipient 3: 550 unknown; queued as 4711"
        assert "@" not in str(error.reference)
        assert "ada" not in str(error.reference)

    def test_a_recipient_is_remembered_by_another_mark_in_every_notice(self) -> None:
        with MailServer({CYD: NEVER}) as server:
            here, again, there = (failure(server, one=notice(event), to=THREE).reference["taken"]
                                  for event in ("trigger", "trigger", "resolve"))  # fmt: skip
        assert here == again
        assert not set(here) & set(there)

    def test_the_next_try_is_for_those_who_do_not_have_it(self) -> None:
        with MailServer({CYD: [LATER, FINE]}) as server:
            so_far = failure(server, to=THREE).reference
            said = len(server.said)
            assert sent(server, notice(so_far=so_far), to=THREE) == Receipt(status=250, answer="taken")
        assert [line for line in server.said[said:] if line.startswith("rcpt")] == [CYD]
        assert {one: len(got) for one, got in server.boxes.items()} == dict.fromkeys(THREE, 1)
        first, second = server.letters
        assert first == second
        assert message_from_bytes(second, policy=default)["To"] == ", ".join(THREE)

    def test_it_goes_on_until_the_last_one_has_it(self) -> None:
        with MailServer({BOB: [LATER, FINE], CYD: [LATER, LATER, FINE]}) as server:
            first = failure(server, to=THREE)
            second = failure(server, one=notice(so_far=first.reference), to=THREE)
            assert (second.kind, second.words) == ("partly", "The mail server takes 2 of 3 recipients for now.")
            assert set(first.reference["taken"]) < set(second.reference["taken"])
            sent(server, notice(so_far=second.reference), to=THREE)
        assert {one: len(got) for one, got in server.boxes.items()} == dict.fromkeys(THREE, 1)

    @pytest.mark.parametrize(
        ("cyd", "kind", "words"),
        [(LATER, "partly", "The mail server takes 2 of 3 recipients for now."),
         (NEVER, "refused", "The mail server takes 2 of 3 recipients.")],
    )  # fmt: skip
    def test_a_try_that_nobody_takes_forgets_nobody(self, cyd: str, kind: Failure, words: str) -> None:
        with MailServer({CYD: [LATER, cyd]}) as server:
            first = failure(server, to=THREE)
            second = failure(server, one=notice(so_far=first.reference), to=THREE)
        assert (second.kind, second.words, second.unsure) == (kind, words, True)
        assert second.reference == first.reference
        assert len(server.letters) == 1

    def test_where_nobody_has_it_there_is_nothing_to_remember(self) -> None:
        with MailServer({"rcpt": [NEVER, LATER, NEVER]}) as server:
            error = failure(server, to=THREE)
        assert (error.kind, error.words) == ("server", "The mail server takes none of the recipients.")
        assert (error.status, error.answer) == (450, "greylisted")
        assert (error.unsure, error.reference) == (False, {})

    @pytest.mark.parametrize("replies", [{"data": "451 later"}, {"letter": "554 spam"}])
    def test_whom_a_refused_letter_was_for_does_not_have_it(self, replies: Replies) -> None:
        with MailServer({CYD: LATER, **replies}) as server:
            error = failure(server, to=THREE)
        assert (error.words, error.reference) == ("The mail server did not take the message.", {})
        assert server.boxes == {}

    def test_only_who_is_a_recipient_now_is_written_to(self) -> None:
        with MailServer({CYD: LATER}) as server:
            so_far = failure(server, to=THREE).reference
            assert sent(server, notice(so_far=so_far), to=["bob@example.org", "dan@example.net"]).status == 250
        assert {one: len(got) for one, got in server.boxes.items()} == dict.fromkeys([*THREE[:2], "dan@example.net"], 1)
        assert message_from_bytes(server.letters[1], policy=default)["To"] == "bob@example.org, dan@example.net"

    def test_who_comes_back_to_the_recipients_is_known(self) -> None:
        with MailServer({CYD: LATER}) as server:
            first = failure(server, to=THREE)
            second = failure(server, one=notice(so_far=first.reference), to=THREE[1:])
            third = failure(server, one=notice(so_far=second.reference), to=THREE)
        assert second.words == "The mail server takes 1 of 2 recipients for now."
        assert set(second.reference["taken"]) == set(third.reference["taken"]) == set(first.reference["taken"])
        assert len(server.letters) == 1

    def test_nobody_is_called_when_all_have_it(self) -> None:
        with MailServer({CYD: LATER}) as server:
            so_far = failure(server, to=THREE).reference
            said = len(server.said)
            assert sent(server, notice(so_far=so_far), to=THREE[:2]).answer == "All who are written to by now have it."
            assert len(server.said) == said


@pytest.fixture
def server(database: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[MailServer]:
    """The mail server of the cockpit, of which the whole outbox makes use; webhooks reach this machine."""
    monkeypatch.setitem(sending._CLIENTS, "live", channels.LOCAL)  # type: ignore[misc]
    with MailServer() as server:
        settings.MAIL = server.mail()
        yield server


class TestSomeAreRefusedInTheOutbox:
    def to_three(self) -> UUID:
        to = channel(kind="email", given={"recipients": "\n".join(THREE)})
        route(to, name=f"to {to}")
        return to

    def got(self, server: MailServer) -> list[int]:
        return [len(server.boxes.get(one, [])) for one in THREE]

    def events_of(self, server: MailServer, recipient: str) -> list[str]:
        return [message_from_bytes(one, policy=default)["Subject"].split()[0] for one in server.boxes[recipient]]

    def test_who_is_refused_for_now_gets_it_later_and_nobody_gets_it_twice(self, server: MailServer) -> None:
        server.replies[CYD] = [LATER, FINE]
        to = self.to_three()
        fire()
        drain()
        [delivery] = deliveries()
        assert (delivery.state, delivery.unsure, len(delivery.reference["taken"])) == ("pending", True, 2)
        assert "example" not in str(delivery.reference)
        assert self.got(server) == [1, 1, 0]
        assert the(to).last_failure == "The mail server takes 2 of 3 recipients for now."
        due_now()
        drain()
        assert only(delivery).state == "sent"
        assert only(delivery).reference == {}
        assert self.got(server) == [1, 1, 1]
        assert server.boxes["ada@example.com"] == server.boxes["cyd@example.net"]
        tries = attempts(delivery.pk)
        assert [(one.outcome, one.status) for one in tries] == [("partly", 450), ("sent", 250)]
        assert tries[0].answer == "recipient 3: 450 greylisted; taken"

    def test_the_end_waits_for_nobody_who_has_not_taken_the_beginning(self, server: MailServer) -> None:
        """One full mailbox delays no other: all hear that it is over at once."""
        server.replies[CYD] = [LATER, FINE]
        to = self.to_three()
        alert = fire().state.id
        drain()
        act("resolve", alert)
        assert [(one.event, one.state, one.because) for one in deliveries(channel=to)] == [
            ("trigger", "skipped", "partly"), ("resolve", "pending", "")
        ]  # fmt: skip
        drain()
        assert told(to)[1] == ("resolve", "sent")
        assert self.got(server) == [2, 2, 1]

    def test_who_has_it_is_known_through_tries_that_come_to_nothing(self, server: MailServer) -> None:
        server.replies[CYD] = [LATER, FINE]
        self.to_three()
        fire()
        drain()
        before = deliveries()[0].reference
        server.replies["greeting"] = ["421 busy", "220 here"]
        due_now()
        drain()
        [delivery] = deliveries()
        assert (delivery.state, delivery.attempt, delivery.reference) == ("pending", 2, before)
        due_now()
        drain()
        assert only(delivery).state == "sent"
        assert self.got(server) == [1, 1, 1]

    def test_who_is_refused_for_good_is_told_of_by_another_road_and_all_hear_the_end(self, server: MailServer) -> None:
        server.replies[CYD] = [NEVER, FINE]
        with Receiver() as receiver:
            to, other = self.to_three(), channel(receiver.url())
            alert = fire().state.id
            drain()
            [delivery] = deliveries(channel=to)
            assert (delivery.state, delivery.because, delivery.unsure) == ("dead", "refused", True)
            assert self.got(server) == [1, 1, 0]
            [about] = alerts_about(to)
            assert about.severity == "warning"
            assert about.message.endswith("could not be delivered: The mail server takes 2 of 3 recipients.")
            assert told(other) == [("trigger", "sent")]
            [request] = receiver.requests
            assert b"takes 2 of 3 recipients" in request.body
            act("resolve", alert)
            drain()
        assert told(to, alert=alert) == [("trigger", "dead"), ("resolve", "sent")]
        assert self.got(server) == [2, 2, 1]
        assert self.events_of(server, "ada@example.com") == ["[WARNING]", "RESOLVED:"]
        assert self.events_of(server, "cyd@example.net") == ["RESOLVED:"]

    def test_sent_again_by_hand_it_goes_to_who_does_not_have_it(self, server: MailServer) -> None:
        server.replies[CYD] = [NEVER, NEVER, FINE]
        to = self.to_three()
        fire()
        drain()
        for state, got in (("dead", 0), ("sent", 1)):
            [delivery] = deliveries(channel=to)
            assert replays.replay(scope=EVERYONE, ids=[delivery.pk], now=NOW) == 1
            drain()
            assert only(delivery).state == state
            assert self.got(server) == [1, 1, got]
        assert [one.outcome for one in attempts(delivery.pk)] == ["refused", "refused", "sent"]

    def test_what_one_notice_left_is_nothing_to_another(self, server: MailServer) -> None:
        server.replies[CYD] = [NEVER, FINE]
        self.to_three()
        fire("one")
        drain()
        fire("two")
        drain()
        assert self.got(server) == [2, 2, 1]

    def test_a_channel_that_is_tried_out_says_at_once_who_is_missing(self, server: MailServer) -> None:
        server.replies[CYD] = [LATER]
        tried = trials.try_out(channel=the(self.to_three()), by="ada")
        assert (tried.failure, tried.words) == ("partly", "The mail server takes 2 of 3 recipients for now.")
        assert told() == [("test", "dead")]


class TestWhatAFailureLeaves:
    def test_it_comes_to_the_next_try_and_can_be_kept(
        self, server: MailServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Mapping[str, Any]] = []

        def send(one: Notice, given: Any, tools: Any) -> Receipt:
            seen.append(one.so_far)
            raise DeliveryError("server", "Not now.", reference={"names": ["a\x00\ud800" * 500, 5, *["b"] * 500]})

        broken(monkeypatch, send)
        hook()
        fire()
        for _ in range(2):
            drain()
            due_now()
        first, second = seen
        assert first == {}
        assert second["names"][0].startswith("a\\u0000\\ud800a")
        assert (len(second["names"][0]), set(second["names"][1:])) == (1000, {"b"})
        assert len(second["names"]) < 100


def assert_no_thread_is_left() -> None:
    end = time.monotonic() + 10
    while [one for one in threading.enumerate() if one.name == "mail"]:
        assert time.monotonic() < end, "a dialogue goes on after it was given up"
        time.sleep(0.01)
