"""The one outgoing client: whom it calls, what it sends, how it ends whatever the other side does."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.channels import addresses, http, lookups
from alerts.channels.addresses import Allowed, address_problem, parse_allowed, target_of
from alerts.channels.base import Client, DeliveryError
from alerts.channels.http import HttpClient
from tests import receiver as says
from tests.receiver import Receiver, Step

ROOT = Path(__file__).resolve().parent.parent
SECRET = "canary-in-the-url"
WROTE = "canary-of-the-receiver"
PATH = f"/{SECRET}?key={SECRET}"
LONG = 60.0  # seconds that nothing here takes, however busy the machine is
PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.1"
_CONTEXT = http.default_context()


def a_client(**options: Any) -> HttpClient:
    """One that spares itself to read the system's authorities anew."""
    return HttpClient(**{"context": _CONTEXT, **options})


def client_of(*receivers: Receiver, **more: Any) -> HttpClient:
    """A client that may call these receivers."""
    return a_client(allowed=[parse_allowed(f"127.0.0.1:{each.port}") for each in receivers], **more)


def named_client(name: str, port: int, resolve: Callable[[str, int], Sequence[str]], **more: Any) -> HttpClient:
    return a_client(allowed=[parse_allowed(f"{name}:{port}")], resolve=resolve, **more)


def failure(client: Client, url: str, body: bytes = b"{}") -> DeliveryError:
    """How it fails; whatever that tells names neither the URL nor what the receiver wrote."""
    with pytest.raises(DeliveryError) as caught:
        client.post(url, body, {"Authorization": SECRET})
    error = caught.value
    told = f"{error.words}{error.answer}{''.join(traceback.format_exception(error))}"
    assert SECRET not in told
    assert WROTE not in told
    assert "\n" not in error.words
    return error


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def until(true: Callable[[], bool], seconds: float = LONG) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


@contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """A port where nobody refuses and nobody takes: the queue of connections is full."""
    waiting = []
    with socket.create_server((host, port), backlog=0):
        try:
            while True:
                sock = socket.socket()
                waiting.append(sock)
                sock.settimeout(0.3)
                sock.connect((host, port))
        except TimeoutError:
            yield
        finally:
            for sock in waiting:
                sock.close()


class TestAddresses:
    @pytest.mark.parametrize(
        "text",
        [
            *("0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1"),
            *("127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9"),
            *("192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1"),
            *("198.19.255.255", "198.51.100.1", "203.0.113.255", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
            *("255.255.255.255", "::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8"),
            *("::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "64:ff9b:1:ffff::1"),
            *(
                "100::1",
                "100:0:0:1::1",
                "2001::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "2001:2::1",
                "2001:4:112::1",
            ),
            *("2001:10::1", "2001:20::1", "2001:30::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1"),
            *("2620:4f:8000::1", "3fff::1", "3fff:fff::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1"),
            *("fe80::1%1", "febf::1", "fec0::1", "feff::1", "ff00::1", "ff02::1", "ff0e::1"),
        ],
    )
    def test_it_refuses_what_is_no_plain_address_of_the_public_internet(self, text: str) -> None:
        assert address_problem(ip_address(text))
        assert any(ip_address(text) in network for network, _ in addresses._TABLE)  # whatever the library says

    @pytest.mark.parametrize("text", ["4000::1", "200::1", "9000::1", "fbff::1", "1fff:ffff::1"])
    def test_it_refuses_what_nobody_has_been_given(self, text: str) -> None:
        assert address_problem(ip_address(text))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("127.0.0.1", "this machine"),
            ("::1", "this machine"),
            ("::", "this machine"),
            ("::127.0.0.1", "an address that stands for another one"),
            ("2001::1", "an address that stands for another one"),
            ("2001:2::1", "a reserved address"),
            ("255.255.255.255", "a multicast or broadcast address"),
            ("fec0::1", "a private network"),
            ("4000::1", "an address that is not public"),
        ],
    )
    def test_it_says_what_it_is(self, text: str, words: str) -> None:
        assert address_problem(ip_address(text)) == words

    @pytest.mark.parametrize(
        "text",
        [
            *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0"),
            *("126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.0"),
            *("192.0.1.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.254"),
            *(
                "2001:200::1",
                "2001:4860:4860::8888",
                "2003::1",
                "2606:4700::1111",
                "2a00:1450::1",
                "2c0f::1",
                "3ffe::1",
            ),
        ],
    )
    def test_it_takes_public_ones(self, text: str) -> None:
        assert address_problem(ip_address(text)) is None

    def test_every_network_of_the_table_is_refused_from_end_to_end(self) -> None:
        networks = [ip_network(text) for texts in addresses._SPECIAL.values() for text in texts]
        assert len(networks) > 35
        assert [n for n in networks if not address_problem(n[0]) or not address_problem(n[-1])] == []

    @settings(deadline=None)
    @given(st.ip_addresses())
    def test_it_takes_nothing_that_the_library_calls_private(self, address: Any) -> None:
        if not address.is_global or address.is_private or address.is_multicast or address.is_reserved:
            assert address_problem(address)


class TestAllowList:
    @pytest.mark.parametrize(
        ("text", "host", "ports"),
        [
            ("127.0.0.1:9000", ip_network("127.0.0.1"), (9000,)),
            ("10.0.0.0/8:8443", ip_network("10.0.0.0/8"), (8443,)),
            ("10.0.0.0/8", ip_network("10.0.0.0/8"), (443, 80)),
            ("[::1]:9000", ip_network("::1"), (9000,)),
            ("[fd00::/8]:8443", ip_network("fd00::/8"), (8443,)),
            ("[fd00::1]", ip_network("fd00::1"), (443, 80)),
            ("hooks.lan:443", "hooks.lan", (443,)),
            (" Mail.Lan. ", "mail.lan", (443, 80)),
            ("alert_manager:9093", "alert_manager", (9093,)),
            ("bücher.example:1", "xn--bcher-kva.example", (1,)),
        ],
    )
    def test_it_reads_entries(self, text: str, host: Any, ports: tuple[int, ...]) -> None:
        assert parse_allowed(text) == Allowed(host=host, ports=ports)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "must name a host"),
            (":443", "must name a host"),
            ("*.lan", "must name a host that can exist"),
            ("https://hooks.lan", "must name a host"),
            ("hooks.lan/path", "must name a host that can exist"),
            ("hooks.lan:0", "between 1 and 65535"),
            ("hooks.lan:65536", "between 1 and 65535"),
            ("hooks.lan:https", "must name a host"),
            ("::1:9000", "in brackets"),
            ("[::1", "in brackets"),
            ("[hooks.lan]:1", "IPv6 address in brackets"),
            ("[fe80::1%eth0]:1", "IPv6 address in brackets"),
            ("[10.0.0.0/8]:1", "must be a network"),
            ("10.0.0.1/8", "without bits beyond its prefix"),
            ("10.0.0.0/33", "must be a network"),
            ("10.0.0.0/255.0.0.0", "must name a host"),
            ("127.1", "four decimal numbers"),
            ("10.0.0.0/8, 127.0.0.1", "must name a host"),
        ],
    )
    def test_it_names_a_bad_entry_and_what_is_wrong(self, text: str, words: str) -> None:
        with pytest.raises(ValueError, match="an entry is a host, an address or a network") as caught:
            parse_allowed(text)
        assert repr(text) in str(caught.value)
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        ("entry", "url", "problem"),
        [
            ("10.0.0.0/8:8443", "http://10.1.2.3:8443/", None),
            ("10.0.0.0/8:8443", "https://10.1.2.3:8443/", None),
            ("10.0.0.0/8:8443", "https://hooks.lan:8443/", None),  # its address is what counts
            ("10.0.0.0/8:8443", "http://10.1.2.3:8444/", "must be https"),
            ("10.0.0.0/8:8443", "https://10.1.2.3/", "must not lead to a private network"),
            ("10.0.0.0/8:8443", "https://11.0.0.1:8443/", "must not name a port other than 443"),
            ("10.0.0.0/8:8443", "http://192.168.0.1:8443/", "must be https"),
            ("10.0.0.0/8", "http://10.0.0.1/", None),
            ("10.0.0.0/8", "https://10.0.0.1/", None),
            ("hooks.lan:9000", "http://hooks.lan:9000/", None),
            ("hooks.lan:9000", "http://HOOKS.lan.:9000/", None),
            ("hooks.lan:9000", "https://hooks.lan/", "must not lead to a private network"),
            ("hooks.lan:9000", "http://10.1.2.3:9000/", "must be https"),
            ("hooks.lan:9000", "http://other.lan:9000/", "must be https"),
            ("hooks.lan:9000", "http://x.hooks.lan:9000/", "must be https"),
            ("127.0.0.1:9000", "http://[::ffff:127.0.0.1]:9000/", "must be https"),
            ("127.0.0.1:9000", "http://127.0.0.2:9000/", "must be https"),
            ("[::1]:9000", "http://[0:0::1]:9000/", None),
        ],
    )
    def test_an_entry_permits_just_what_it_names(self, entry: str, url: str, problem: str | None) -> None:
        client = a_client(allowed=[parse_allowed(entry)], resolve=lambda host, port: ["10.1.2.3"])
        assert client.url_problem(url) == problem

    def test_no_name_is_looked_up_that_no_entry_can_permit(self) -> None:
        asked: list[str] = []
        client = a_client(
            allowed=[parse_allowed("hooks.lan:9000")],
            resolve=lambda host, port: asked.append(host) or [PRIVATE],  # type: ignore[func-returns-value]
        )
        for url in ("http://other.lan:9000/", "https://other.lan:9000/", "http://hooks.lan/"):
            assert client.url_problem(url)
        assert asked == []

    def test_an_entry_takes_nothing_away(self) -> None:
        client = a_client(allowed=[parse_allowed("hooks.lan:9000")], resolve=lambda host, port: [PUBLIC])
        assert client.url_problem("https://hooks.lan/") is None
        assert client.url_problem("https://elsewhere.example/") is None

    def test_only_this_machine_is_called_where_only_it_may(self) -> None:
        with Receiver() as receiver:
            client = a_client(loopback_only=True, allowed=[parse_allowed("10.0.0.0/8"), parse_allowed("a.lan")])
            assert client.post(receiver.url(), b"", {}).status == 200
            assert client.post(receiver.url(host="localhost"), b"", {}).status == 200
            assert len(receiver.requests) == 2
        for host in ("10.0.0.1", PUBLIC, "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "[2606:4700::1111]"):
            for url in (f"https://{host}/", f"http://{host}/", f"http://{host}:{receiver.port}/"):
                assert client.url_problem(url) == "must lead to this machine"
                assert failure(client, url).kind == "address"
        assert client.url_problem("http://[::1]:1/") is None


class TestSpelling:
    @pytest.mark.parametrize(
        "url",
        [
            "https://hooks.example.com",
            "https://hooks.example.com:443/path;x=1?a=b&c=%20",
            "HTTPS://HOOKS.EXAMPLE.COM./",
            "https://93.184.216.34/",
            "https://[2606:4700::1111]/x",
            "https://bücher.example/straße",
            "https://a_b.example/?next=https://elsewhere.example/@x",
            "https://hooks.example.com/" + "x" * (2000 - 26),
        ],
    )
    def test_it_takes_public_https(self, url: str) -> None:
        assert a_client(resolve=lambda host, port: [PUBLIC]).url_problem(url) is None

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("", "must begin with https://"),
            ("hooks.example.com", "must begin with https://"),
            ("ftp://hooks.example.com/", "must begin with https://"),
            ("file:///x", "must begin with https://"),
            ("https:hooks.example.com", "must begin with https://"),
            ("http\u017f://hooks.example.com/", "must begin with https://"),  # a long s is one to a careless pattern
            ("http://hooks.example.com/", "must be https"),
            ("https://hooks.example.com:8443/", "must not name a port other than 443"),
            ("https://hooks.example.com:0/", "must name a port between 1 and 65535"),
            ("https://hooks.example.com:99999/", "must name a port between 1 and 65535"),
            ("https://hooks.example.com:x/", "must name a host, and at most a port after it"),
            ("https://hooks.example.com:/", "must name a host, and at most a port after it"),
            ("https://hooks.example.com:٤٤٣/", "must name a host, and at most a port after it"),
            ("https:///x", "must name a host, and at most a port after it"),
            ("https://::1/", "must name a host, and at most a port after it"),
            ("https://-/", "must name a host that can exist"),
            ("https://a..example/", "must name a host that can exist"),
            ("https://.example/", "must name a host that can exist"),
            ("https://a.example../", "must name a host that can exist"),
            ("https://a／b.example/", "must name a host that can exist"),
            ("https://a＠b.example/", "must name a host that can exist"),
            ("https://%31.example/", "must name a host that can exist"),
            (f"https://{'a' * 64}.example/", "must name a host that can exist"),
            (f"https://{'a.' * 127}example/", "must name a host that can exist"),
            (f"https://{'①' * 1900}/", "must name a host that can exist"),
            ("https://straße.example/", "must name this host in its ASCII form"),
            ("https://hooks.example.com/#x", "must not hold a fragment"),
            ("https://hooks.example.com#@x", "must not hold a fragment"),
            ("https://a:b@hooks.example.com/", "must not hold a user name or a password"),
            ("https://hooks.example.com@127.0.0.1/", "must not hold a user name or a password"),
            ("https://hooks.example.com/ x", "must not hold spaces"),
            (" https://hooks.example.com/", "must not hold spaces"),
            ("https://hooks.example.com/\r\nX: y", "must not hold spaces"),
            ("https://hooks.exa\tmple.com/", "must not hold spaces"),
            ("https://hooks.exa\u00admple.com/", "must not hold spaces"),
            ("https://hooks.example.com/\u200b", "must not hold spaces"),
            ("https://hooks.example.com/\x85", "must not hold spaces"),
            ("https://hooks.example.com/\ud800", "must not hold spaces"),
            ("https://hooks.example.com\\@x/", "must not hold spaces"),
            ("https://hooks.example.com/" + "x" * (2001 - 26), "must be at most 2000 characters long"),
            ("https://127.1/", "must write an IPv4 address as four decimal numbers"),
            ("https://[::1/", "must name a host, and at most a port after it"),
            ("https://[hooks.example.com]/", "must have nothing but an IPv6 address in brackets"),
            ("https://[fe80::1%25eth0]/", "must have nothing but an IPv6 address in brackets"),
        ],
    )
    def test_it_says_what_a_url_must_be(self, url: str, problem: str) -> None:
        asked: list[str] = []
        client = a_client(resolve=lambda host, port: asked.append(host) or [PUBLIC])  # type: ignore[func-returns-value]
        assert (client.url_problem(url) or "").startswith(problem)
        assert failure(client, url).words.startswith(f"the URL {problem}")
        assert asked == []

    @settings(deadline=None)
    @given(st.text(max_size=60))
    def test_no_text_breaks_it(self, text: str) -> None:
        client = _NOWHERE
        for url in (text, f"https://{text}", f"https://{text}/", f"https://a.example/{text}"):
            if client.url_problem(url):
                assert failure(client, url).kind == "address"
            else:
                assert failure(client, url).kind == "dns"

    @pytest.mark.parametrize(
        ("url", "authority"),
        [
            ("https://A.example", "a.example"),
            ("https://a.example:443", "a.example"),
            ("https://a.example:80", "a.example:80"),
            ("http://a.example:80", "a.example"),
            ("http://a.example:443", "a.example:443"),
            ("https://[0:0::1]", "[::1]"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ],
    )
    def test_only_a_port_that_is_not_its_own_goes_with_the_host(self, url: str, authority: str) -> None:
        assert target_of(url).authority == authority

    def test_a_name_without_an_address_now_is_no_problem_to_save(self) -> None:
        assert _NOWHERE.url_problem("https://hooks.example.com/") is None

    def test_a_slow_look_up_is_no_problem_to_save(self) -> None:
        answered = threading.Event()
        client = a_client(resolve=lambda host, port: [PRIVATE] if answered.wait(LONG * 2) else [])
        started = time.monotonic()
        assert client.url_problem("https://hooks.example.com/") is None
        assert time.monotonic() - started < LONG
        answered.set()


def _no_address(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, WROTE)


_NOWHERE = a_client(resolve=_no_address)


class TestPosting:
    def test_it_sends_what_it_is_given(self) -> None:
        with Receiver([says.answer(201, b'{"ok":1}', {"X-Said": "yes", "Retry-After": "3"})]) as receiver:
            given_headers = {"Content-Type": "application/json", "X-Latin": "caf\xe9", "X-Empty": ""}
            answer = client_of(receiver).post(receiver.url("/a/b;c?d=e%20f&g=ü"), b'{"a":1}', given_headers)
            (request,) = receiver.requests
        assert (answer.status, answer.body, answer.text) == (201, b'{"ok":1}', '{"ok":1}')
        assert answer.headers["x-said"] == "yes"
        assert answer.headers["retry-after"] == "3"
        assert (request.method, request.path, request.body) == ("POST", "/a/b;c?d=e%20f&g=%C3%BC", b'{"a":1}')
        assert request.headers == {
            "host": f"127.0.0.1:{receiver.port}",
            "user-agent": "AI-Development-Cockpit",
            "accept-encoding": "identity",
            "connection": "close",
            "content-length": "7",
            "content-type": "application/json",
            "x-latin": "caf\xe9",
            "x-empty": "",
        }

    def test_what_frames_the_request_is_its_own_to_say(self) -> None:
        headers = {"HOST": "x", "Content-length": "0", "Transfer-Encoding": "chunked", "connection": "x", "X-Mine": "1"}
        with Receiver() as receiver:
            client_of(receiver).post(receiver.url(), b"abc", headers)
            (request,) = receiver.requests
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert request.headers["x-mine"] == "1"
        assert request.body == b"abc"
        assert "transfer-encoding" not in request.headers

    @pytest.mark.parametrize("path", ["", "?x", "/x"])
    def test_a_url_needs_no_path(self, path: str) -> None:
        with Receiver() as receiver:
            client_of(receiver).post(receiver.url(path), b"", {})
            assert receiver.requests[0].path == (path if path.startswith("/") else f"/{path}")

    def test_it_sends_large_bodies_whole(self) -> None:
        body = os.urandom(3_000_000)
        with Receiver() as receiver:
            client_of(receiver).post(receiver.url(), body, {})
            assert receiver.requests[0].body == body

    def test_international_names_are_sent_in_their_ascii_form(self) -> None:
        asked: list[str] = []
        with Receiver() as receiver:
            client = named_client(
                "bücher.example",
                receiver.port,
                lambda host, port: asked.append(host) or ["127.0.0.1"],  # type: ignore[func-returns-value]
            )
            client.post(receiver.url(host="BÜCHER。example."), b"", {})
            assert receiver.requests[0].headers["host"] == f"xn--bcher-kva.example:{receiver.port}"
        assert asked == ["xn--bcher-kva.example"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("X-A", "a\r\nX-B: c"),
            ("X-A", "a\nb"),
            ("X-A", "a\rb"),
            ("X-A", "a\0b"),
            ("X-A", "€"),
            ("X-A", "\x7f"),
            ("X-A\r\nX-B", "c"),
            ("X A", "c"),
            ("X-A:", "c"),
            ("", "c"),
            ("Ä", "c"),
        ],
    )
    def test_no_header_brings_another_one(self, name: str, value: str) -> None:
        with Receiver() as receiver:
            with pytest.raises(DeliveryError) as caught:
                client_of(receiver).post(receiver.url(), b"", {name: value})
            assert receiver.connections == 0
        assert caught.value.kind == "settings"

    def test_a_header_comes_as_it_is_or_not_at_all(self) -> None:
        with Receiver() as receiver:
            client, url = client_of(receiver), receiver.url()

            @settings(max_examples=100, deadline=None)
            @given(st.text(max_size=20), st.text(max_size=20))
            def check(value: str, path: str) -> None:
                receiver.forget()
                try:
                    client.post(url + path, b"", {"X-A": value})
                except DeliveryError as error:
                    assert error.kind in ("settings", "address")  # noqa: PT017
                    assert receiver.connections == 0
                else:
                    (request,) = receiver.requests
                    assert request.headers["x-a"] == value.strip()
                    assert len(request.headers) == 6

            check()

    def test_many_threads_may_share_it(self) -> None:
        wrong: list[str] = []
        with Receiver(lambda request: says.answer(200, request.body)) as receiver:
            client = client_of(receiver)

            def work(number: int) -> None:
                for turn in range(25):
                    body = f"{number}/{turn}".encode()
                    answer = client.post(receiver.url(), body, {})
                    if answer.body != body:
                        wrong.append(answer.text)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LONG)
            assert len(receiver.requests) == 400
        assert wrong == []


class TestEnvironment:
    def test_it_reads_no_proxies_and_no_passwords_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".netrc").write_text(
            "machine 127.0.0.1 login someone password hidden\ndefault login a password b\n"
        )
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        with Receiver() as proxy, Receiver() as receiver, Receiver([says.close(unread=True)]) as secure:
            for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
                monkeypatch.setenv(name, proxy.url())
                monkeypatch.setenv(name.upper(), proxy.url())
            monkeypatch.setenv("no_proxy", "")
            client = client_of(receiver, secure, resolve=lambda host, port: ["127.0.0.1"])
            assert client.post(receiver.url(host="hooks.example.com"), b"", {}).status == 200
            assert failure(client, f"https://hooks.example.com:{secure.port}{PATH}").kind == "connection"
            assert (proxy.connections, receiver.connections, secure.connections) == (0, 1, 1)
            assert not {"authorization", "proxy-authorization"} & set(receiver.requests[0].headers)


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 202, 204, 304, 400, 401, 404, 410, 429, 500, 503, 599, 799])
    def test_every_status_is_an_answer(self, status: int) -> None:
        with Receiver([says.answer(status, b"" if status in (204, 304) else b"said")]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"", {})
        assert (answer.status, answer.body) == (status, b"" if status in (204, 304) else b"said")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_it_follows_no_redirect(self, status: int) -> None:
        with Receiver() as second, Receiver([says.redirect(second.url("/second"), status)]) as first:
            answer = client_of(first, second).post(first.url(), b"", {})
            assert (answer.status, answer.headers["location"]) == (status, second.url("/second"))
            assert (first.connections, second.connections) == (1, 0)

    def test_it_keeps_no_cookies_and_no_connections(self) -> None:
        with Receiver([says.answer(200, b"", {"Set-Cookie": "a=b"})]) as receiver:
            client = client_of(receiver)
            for _ in range(2):
                client.post(receiver.url(), b"", {})
            assert receiver.connections == 2
            assert "cookie" not in receiver.requests[1].headers

    def test_it_unpacks_nothing(self) -> None:
        packed = b"\x1f\x8b not even packed"
        with Receiver([says.answer(200, packed, {"Content-Encoding": "gzip"})]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"", {})
            assert receiver.requests[0].headers["accept-encoding"] == "identity"
        assert answer.body == packed

    @pytest.mark.parametrize("length", [65535, 65536, 65537, 1_000_000])
    def test_it_takes_64_kilobytes_of_a_body(self, length: int) -> None:
        with Receiver([says.answer(200, b"x" * length)]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"", {})
        assert answer.body == b"x" * min(length, 65536)

    def test_it_hangs_up_on_a_body_that_is_huge(self) -> None:
        with Receiver([says.huge_body(500)]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"", {})
            assert until(lambda: not receiver._open)
        assert (answer.status, len(answer.body)) == (500, 65536)

    @pytest.mark.parametrize(
        ("said", "body"),
        [
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n", b"ok!"),
            (b"HTTP/1.1 200 OK\r\n\r\nok!", b"ok!"),  # to the end of the connection
            (b"HTTP/1.0 200 OK\r\n\r\nok!", b"ok!"),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!", b"ok!"),
            (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!", b"ok!"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 70000, b"x" * 65536),
        ],
    )
    def test_it_reads_every_framing(self, said: bytes, body: bytes) -> None:
        with Receiver([says.raw(said)]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"", {})
        assert (answer.status, answer.body) == (200, body)

    def test_headers_of_one_name_are_joined(self) -> None:
        with Receiver([says.raw(b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\na: 3\r\nContent-Length: 0\r\n\r\n")]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"", {})
        assert answer.headers == {"a": "1, 3", "b": "2", "content-length": "0"}

    def test_an_answer_before_the_end_of_the_request_counts(self) -> None:
        def early(line: says.Line) -> None:
            line.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            line.wait(0.5)

        with Receiver([Step(early, unread=True)]) as receiver:
            answer = client_of(receiver).post(receiver.url(), b"x" * 30_000_000, {})
        assert answer.status == 413


class TestFailures:
    @pytest.mark.parametrize(
        ("step", "kind", "unsure", "status"),
        [
            (says.reset(), "connection", True, None),
            (says.close(), "connection", True, None),
            (says.half_close(), "connection", True, None),
            (says.cut_head(), "connection", True, None),
            (says.cut_body(), "connection", True, 200),
            (says.cut_body(500), "connection", True, 500),
            (says.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), "connection", True, 200),
            (says.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nab"), "connection", True, 200),
            (
                says.raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{WROTE}".encode()),
                "connection",
                True,
                200,
            ),
            (says.raw(f"SSH-2.0-{WROTE}\r\n".encode()), "connection", True, None),
            (says.raw(f"{WROTE}\r\n\r\n".encode()), "connection", True, None),
            (says.raw(f"HTTP/1.1 {WROTE}\r\n\r\n".encode()), "connection", True, None),
            (says.raw(f"HTTP/9.9 200 {WROTE}\r\n\r\n".encode()), "connection", True, None),
            (says.raw(b"HTTP/1.1 99999 OK\r\n\r\n"), "connection", True, None),
            (says.raw(b"\0" * 1000), "connection", True, None),
            (says.endless_header(), "connection", True, None),
            (says.endless_headers(), "connection", True, None),
            (says.endless_interims(), "connection", True, None),
        ],
    )
    def test_what_is_no_whole_answer_is_a_failure(
        self, step: Step, kind: str, unsure: bool, status: int | None
    ) -> None:
        with Receiver([step]) as receiver:
            error = failure(client_of(receiver, total_seconds=LONG), receiver.url(PATH))
            assert len(receiver.requests) == 1
        assert (error.kind, error.unsure, error.status) == (kind, unsure, status)

    @pytest.mark.parametrize("step", [says.reset(unread=True), says.close(unread=True)])
    def test_a_connection_that_is_cut_at_once_is_a_failure(self, step: Step) -> None:
        with Receiver([step]) as receiver:
            assert failure(client_of(receiver), receiver.url(PATH)).kind == "connection"

    def test_what_is_cut_while_it_is_sent_was_surely_not_taken(self) -> None:
        with Receiver([says.reset(unread=True)]) as receiver:
            error = failure(client_of(receiver), receiver.url(PATH), b"x" * 30_000_000)
        assert (error.kind, error.unsure) == ("connection", False)

    def test_a_port_where_nobody_listens_refuses(self) -> None:
        port = unused_port()
        client = a_client(allowed=[parse_allowed(f"127.0.0.1:{port}")])
        error = failure(client, f"http://127.0.0.1:{port}{PATH}")
        assert (error.kind, error.words, error.unsure) == ("connection", "the connection was refused", False)


def _drips(data: bytes, first: bytes = b"") -> Callable[[says.Line], None]:
    def do(line: says.Line) -> None:
        line.say(first)
        line.drip(data, 0.05)

    return do


class TestDeadline:
    @pytest.mark.parametrize(
        ("step", "unsure", "status"),
        [
            (says.hang(), True, None),
            (says.hang(unread=True), True, None),
            (says.drip_head(0.05), True, None),
            (says.drip_body(0.05), True, 200),
            (says.drip_body(0.05, 503), True, 503),
            (Step(_drips(b"HTTP/1.1 100 Continue\r\n\r\n")), True, None),
            (Step(_drips(b"1\r\nx\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")), True, 200),
        ],
    )
    def test_it_holds_whatever_the_receiver_does(self, step: Step, unsure: bool, status: int | None) -> None:
        with Receiver([step]) as receiver:
            started = time.monotonic()
            error = failure(client_of(receiver, total_seconds=1.0), receiver.url(PATH))
            assert 0.9 < time.monotonic() - started < LONG
            assert until(lambda: not receiver._open)  # it hangs up
        assert (error.kind, error.unsure, error.status) == ("timeout", unsure, status)

    def test_it_is_one_for_all_requests_of_a_notice_and_for_each_of_others(self) -> None:
        with Receiver([says.answer(delay=0.7)]) as receiver:
            client = client_of(receiver, total_seconds=1.0)
            assert [client.post(receiver.url(PATH), b"", {}).status for _ in range(2)] == [200, 200]
            mine = client.for_one_notice()
            assert mine.post(receiver.url(PATH), b"", {}).status == 200
            assert failure(mine, receiver.url(PATH)).kind == "timeout"
            assert client.for_one_notice().post(receiver.url(PATH), b"", {}).status == 200

    def test_it_holds_for_what_is_not_taken(self) -> None:
        with Receiver([says.stall()]) as receiver:
            error = failure(client_of(receiver, total_seconds=1.0), receiver.url(PATH), b"x" * 30_000_000)
        assert (error.kind, error.unsure) == ("timeout", False)

    @pytest.mark.parametrize(
        "step", [says.hang(unread=True), Step(_drips(b"\x16\x03\x03\x3f\xff" + b"\x02" * 16000), unread=True)]
    )
    def test_it_holds_for_the_beginning_of_tls(self, step: Step) -> None:
        with Receiver([step]) as receiver:
            error = failure(client_of(receiver, total_seconds=1.0), f"https://127.0.0.1:{receiver.port}{PATH}")
        assert (error.kind, error.unsure) == ("timeout", False)

    def test_it_holds_for_many_addresses_that_are_silent(self) -> None:
        port = unused_port()
        with deaf("127.0.0.1", port):
            silent = ["127.0.0.1", *(f"::ffff:127.0.0.{n}" for n in range(1, 100))]
            client = named_client("hooks.lan", port, lambda host, port: silent, total_seconds=1.0)
            error = failure(client, f"http://hooks.lan:{port}{PATH}")
        assert (error.kind, error.unsure) == ("timeout", False)

    def test_it_tries_one_address_after_another(self) -> None:
        with Receiver() as receiver, deaf("127.0.0.2", receiver.port):
            answers = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]  # refuses, is silent, answers
            client = named_client(
                "hooks.lan", receiver.port, lambda host, port: answers, connect_seconds=0.3, total_seconds=LONG
            )
            assert client.post(receiver.url(host="hooks.lan"), b"", {}).status == 200

    def test_one_silent_address_leaves_time_for_the_others(self) -> None:
        with Receiver() as receiver, deaf("127.0.0.2", receiver.port):
            client = named_client(
                "hooks.lan",
                receiver.port,
                lambda host, port: ["127.0.0.2"],
                connect_seconds=0.2,
                total_seconds=LONG,
            )
            started = time.monotonic()
            assert failure(client, receiver.url(PATH, host="hooks.lan")).kind == "timeout"
            assert time.monotonic() - started < LONG / 2


class TestNames:
    URL = f"https://hooks.example.com{PATH}"

    def test_a_name_without_an_address_fails_for_now(self) -> None:
        error = failure(_NOWHERE, self.URL)
        assert (error.kind, error.words, error.unsure) == ("dns", "the name has no address now", False)

    def test_so_does_an_empty_answer(self) -> None:
        assert failure(a_client(resolve=lambda host, port: []), self.URL).kind == "dns"

    @pytest.mark.parametrize(
        "answers",
        [
            [PRIVATE],
            [PUBLIC, PRIVATE],
            [PRIVATE, PUBLIC],
            [PUBLIC, "2606:4700::1111", "::1"],
            [*[f"1.1.1.{n}" for n in range(1, 250)], "127.0.0.1"],
            ["fe80::1%lo"],
        ],
    )
    def test_one_bad_address_spoils_a_name(self, answers: list[str]) -> None:
        client = a_client(resolve=lambda host, port: answers)
        assert (client.url_problem(self.URL) or "").startswith("must not lead to")
        error = failure(client, self.URL)
        assert (error.kind, error.unsure) == ("address", False)

    def test_it_looks_a_name_up_once_and_calls_what_it_has_judged(self) -> None:
        asked: list[tuple[str, int]] = []
        with Receiver() as receiver, Receiver(host="127.0.0.2", port=receiver.port) as other:

            def resolve(host: str, port: int) -> list[str]:
                asked.append((host, port))
                return ["127.0.0.1" if len(asked) == 1 else "127.0.0.2"]

            client = a_client(allowed=[parse_allowed(f"127.0.0.1:{receiver.port}")], resolve=resolve)
            url = receiver.url(PATH, host="hooks.example.com")
            assert client.post(url, b"", {}).status == 200
            assert asked == [("hooks.example.com", receiver.port)]
            assert failure(client, url).kind == "address"  # the name has changed its mind
            assert (receiver.connections, other.connections, len(asked)) == (1, 0, 2)

    def test_a_look_up_that_hangs_holds_up_only_its_own_call(self) -> None:
        answered = threading.Event()

        def resolve(host: str, port: int) -> list[str]:
            if host == "slow.lan":
                answered.wait(LONG * 2)
            return ["127.0.0.1"]

        with Receiver() as receiver:
            entries = [parse_allowed(f"{name}.lan:{receiver.port}") for name in ("slow", "quick")]
            client = a_client(allowed=entries, resolve=resolve, total_seconds=1.0)
            slow = threading.Thread(target=failure, args=(client, receiver.url(PATH, host="slow.lan")))
            slow.start()
            assert client.post(receiver.url(host="quick.lan"), b"", {}).status == 200
            started = time.monotonic()
            error = failure(client, receiver.url(PATH, host="slow.lan"))
            assert (error.kind, error.unsure) == ("dns", False)
            assert time.monotonic() - started < LONG
            slow.join(LONG)
            answered.set()

    def test_look_ups_that_hang_are_limited_in_number(self) -> None:
        answered, hanging = threading.Event(), threading.Semaphore(0)

        def resolve(host: str, port: int) -> list[str]:
            hanging.release()
            answered.wait(LONG * 2)
            return []

        client = a_client(resolve=resolve, total_seconds=0.5)
        callers = [threading.Thread(target=failure, args=(client, self.URL)) for _ in range(lookups._MOST_LOOKUPS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(LONG)
            assert hanging.acquire(timeout=LONG)
        error = failure(client, self.URL)
        assert (error.kind, error.words) == ("dns", "too many names are being looked up at once")
        assert not hanging.acquire(blocking=False)
        assert client.url_problem(self.URL) is None
        answered.set()
        assert until(lambda: failure(client, self.URL).words == "the name has no address now")


# --- TLS ------------------------------------------------------------------------------------------------------------


def _usage(ca: bool) -> x509.KeyUsage:
    """Signs certificates, or what is agreed on in TLS."""
    return x509.KeyUsage(not ca, False, False, False, False, ca, False, False, False)


@dataclass
class Authority:
    """Makes certificates for tests."""

    place: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: x509.Name = field(default_factory=lambda: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")]))

    def certificate(
        self, names: Sequence[str], *, days: tuple[int, int] = (-1, 30), self_signed: bool = False, ca: bool = False
    ) -> tuple[Path, Path]:
        """The files of a certificate and of its key; days from now on that it is valid."""
        key = self.key if ca else ec.generate_private_key(ec.SECP256R1())
        subject = self.name if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, WROTE)])
        found = [x509.DNSName(n) if n[-1].isalpha() else x509.IPAddress(ip_address(n)) for n in names]
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # Newer Pythons verify strictly, which asks for these.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_usage(ca), critical=True)
        )
        if not self_signed:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            built = built.add_extension(authority, critical=False)
        if found:
            built = built.add_extension(x509.SubjectAlternativeName(found), critical=False)
        signed = built.sign(key if self_signed else self.key, hashes.SHA256())
        stem = self.place / f"{signed.serial_number:x}"
        stem.with_suffix(".crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        stem.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return stem.with_suffix(".crt"), stem.with_suffix(".key")

    def serving(self, names: Sequence[str], **more: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(names, **more))
        return context

    def trusting(self) -> ssl.SSLContext:
        """What the client makes itself, with this authority among those it trusts."""
        context = http.default_context()
        context.load_verify_locations(self.certificate([], ca=True)[0])
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


class TestTls:
    NAME = "hooks.lan"

    def client(self, receiver: Receiver, context: ssl.SSLContext | None, **more: Any) -> HttpClient:
        entries = [parse_allowed(f"{self.NAME}:{receiver.port}"), parse_allowed(f"127.0.0.1:{receiver.port}")]
        return a_client(allowed=entries, resolve=lambda host, port: ["127.0.0.1"], context=context, **more)

    def test_a_good_certificate_is_for_the_name_that_is_called(self, authority: Authority) -> None:
        serving, named = authority.serving([self.NAME]), []
        serving.sni_callback = lambda sock, name, context: named.append(name)
        with Receiver([says.answer(200, b"x" * 50_000)], tls=serving) as receiver:
            answer = self.client(receiver, authority.trusting()).post(
                receiver.url(host="HOOKS.lan."), b"y" * 300_000, {}
            )
            (request,) = receiver.requests
        assert (answer.status, len(answer.body), len(request.body)) == (200, 50_000, 300_000)
        assert named == [self.NAME]
        assert request.headers["host"] == f"{self.NAME}:{receiver.port}"

    def test_an_address_may_have_a_certificate_of_its_own(self, authority: Authority) -> None:
        with Receiver(tls=authority.serving(["127.0.0.1"])) as receiver:
            assert self.client(receiver, authority.trusting()).post(receiver.url(), b"", {}).status == 200
        with Receiver(tls=authority.serving(["127.0.0.2"])) as receiver:
            error = failure(self.client(receiver, authority.trusting()), receiver.url(PATH))
            assert (error.kind, error.words) == ("tls", "the certificate is for another address")

    @pytest.mark.parametrize(
        ("names", "more", "words"),
        [
            (["other.lan", WROTE], {}, "the certificate is for another name"),
            ([], {}, "the certificate is for another name"),
            (["hooks.lan"], {"days": (-30, -1)}, "the certificate has expired"),
            (["hooks.lan"], {"days": (2, 30)}, "the certificate is not valid yet"),
            (["hooks.lan"], {"self_signed": True}, "the certificate is signed by itself"),
        ],
    )
    def test_a_bad_certificate_ends_it_before_anything_is_sent(
        self, authority: Authority, names: list[str], more: dict[str, Any], words: str
    ) -> None:
        with Receiver(tls=authority.serving(names, **more)) as receiver:
            error = failure(self.client(receiver, authority.trusting()), receiver.url(PATH, host=self.NAME))
            assert receiver.requests == []
        assert (error.kind, error.words, error.unsure) == ("tls", words, False)

    def test_an_authority_that_nobody_has_named_is_not_trusted(self, authority: Authority) -> None:
        with Receiver(tls=authority.serving([self.NAME])) as receiver:
            error = failure(self.client(receiver, None), receiver.url(PATH, host=self.NAME))
            assert receiver.requests == []
        assert (error.kind, error.words) == ("tls", "the certificate is signed by an authority that is not trusted")

    def test_old_versions_of_tls_are_refused(self, authority: Authority) -> None:
        serving = authority.serving([self.NAME])
        serving.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            serving.minimum_version, serving.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with Receiver(tls=serving) as receiver:
            error = failure(self.client(receiver, authority.trusting()), receiver.url(PATH, host=self.NAME))
        assert (error.kind, error.unsure) == ("tls", False)

    def test_plain_text_is_not_tls(self) -> None:
        with Receiver([Step(lambda line: line.say(b"HTTP/1.1 400 Bad\r\n\r\n"), unread=True)]) as receiver:
            error = failure(self.client(receiver, None), f"https://{self.NAME}:{receiver.port}{PATH}")
        assert error.kind in ("tls", "connection")  # a reset may overtake the text

    @pytest.mark.parametrize("step", [says.reset(unread=True), says.close(unread=True)])
    def test_what_is_cut_while_tls_begins_is_a_matter_of_the_connection(self, step: Step) -> None:
        with Receiver([step]) as receiver:
            error = failure(self.client(receiver, None), f"https://{self.NAME}:{receiver.port}{PATH}")
        assert (error.kind, error.unsure) == ("connection", False)

    @pytest.mark.parametrize(
        ("step", "kind"),
        [
            (says.reset(), "connection"),
            (says.close(), "connection"),
            (says.cut_body(), "connection"),
            (says.hang(), "timeout"),
            (says.drip_head(0.05), "timeout"),
            (says.drip_body(0.05), "timeout"),
        ],
    )
    def test_what_ends_under_tls_ends_as_without(self, authority: Authority, step: Step, kind: str) -> None:
        seconds = 1.5 if kind == "timeout" else LONG
        with Receiver([step], tls=authority.serving([self.NAME])) as receiver:
            client = self.client(receiver, authority.trusting(), total_seconds=seconds)
            error = failure(client, receiver.url(PATH, host=self.NAME))
        assert error.kind == kind

    def test_large_answers_are_cut_under_tls_too(self, authority: Authority) -> None:
        with Receiver([says.huge_body()], tls=authority.serving([self.NAME])) as receiver:
            client = self.client(receiver, authority.trusting(), total_seconds=LONG)
            assert len(client.post(receiver.url(host=self.NAME), b"", {}).body) == 65536


class TestLeaks:
    def test_200_requests_leave_nothing_behind(self, authority: Authority) -> None:
        steps = [says.answer(), says.reset(), says.close(), says.cut_body(), says.huge_body(), says.endless_headers()]
        port = unused_port()
        with (
            Receiver(lambda request: steps[int(request.path[1:]) % len(steps)]) as receiver,
            Receiver([says.hang()]) as silent,
            Receiver(tls=authority.serving(["other.lan"])) as secure,
        ):
            ports = (receiver.port, silent.port, secure.port, port)
            entries = [parse_allowed(f"{name}:{number}") for name in ("127.0.0.1", "a.lan") for number in ports]
            options: dict[str, Any] = {"allowed": entries, "context": authority.trusting()}
            patient = a_client(resolve=lambda host, port: ["127.0.0.1"], total_seconds=LONG, **options)
            hasty = a_client(resolve=lambda host, port: ["127.0.0.1"], total_seconds=0.05, **options)

            def call(number: int) -> None:
                calls: list[tuple[HttpClient, str]] = [
                    *[(patient, receiver.url(f"/{number}"))] * 6,
                    (patient, receiver.url(f"/{number}", host="a.lan")),
                    (patient, secure.url(host="a.lan")),
                    (patient, f"http://127.0.0.1:{port}/"),
                    (hasty, silent.url()),
                ]
                client, url = calls[number % len(calls)]
                with suppress(DeliveryError):
                    client.post(url, b"{}", {})

            def held() -> tuple[int, int]:
                return len(os.listdir("/proc/self/fd")), threading.active_count()

            def at_rest() -> bool:
                return not (receiver._open or silent._open or secure._open)

            for number in range(20):
                call(number)
            assert until(at_rest)
            before = held()
            for number in range(200):
                call(number)
            assert until(at_rest)
            assert until(lambda: held() <= before), (held(), before)


# --- Forged calls: in a network of their own where every address there is leads to a trap -----------------------------

TRAPPED_PORTS = (80, 443, 22, 6379, 5432, 8080)
_ASK_THE_SYSTEM = {  # what a resolver makes of these is judged, not their spelling
    "short.example": "127.1",
    "decimal.example": "2130706433",
    "hex.example": "0x7f.1",
    "octal.example": "0177.0.0.1",
    "zero.example": "0",
    "metadata.example": "0xa9fea9fe",
}
_ANSWERS = {
    "loopback.example": ["127.0.0.1"],
    "loopback6.example": ["::1"],
    "private.example": ["10.0.0.1"],
    "private6.example": ["fd00::1"],
    "link.example": ["169.254.169.254"],
    "link6.example": ["fe80::1"],
    "carrier.example": ["100.64.0.1"],
    "any.example": ["0.0.0.0"],
    "any6.example": ["::"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "compatible.example": ["::127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "six-to-four.example": ["2002:7f00:1::"],
    "mixed.example": ["93.184.216.34", "10.0.0.1"],
    "mixed-too.example": ["10.0.0.1", "93.184.216.34"],
    "mixed6.example": ["2606:4700::1111", "93.184.216.34", "fd00::1"],
}
FORGED = [
    # Plain addresses.
    *("https://127.0.0.1/", "https://127.0.0.2/", "https://127.255.255.254/", "https://0.0.0.0/", "https://10.0.0.1/"),
    *("https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/"),
    *("https://100.64.0.1/", "https://192.0.0.192/", "https://198.18.0.1/", "https://240.0.0.1/", "https://224.0.0.1/"),
    *("https://255.255.255.255/", "https://203.0.113.1/", "https://192.88.99.1/"),
    # IPv6, and IPv4 in it.
    *("https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[fd00::1]/", "https://[fc00::1]/"),
    *("https://[fe80::1]/", "https://[fe80::1%25lo]/", "https://[fe80::1%lo]/", "https://[fec0::1]/"),
    *("https://[ff02::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/"),
    *("https://[::ffff:0:127.0.0.1]/", "https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b:1::7f00:1]/"),
    *("https://[2002:7f00:1::]/", "https://[2002:a00:1::1]/", "https://[2001:0:1::1]/", "https://[2001:db8::1]/"),
    *("https://[3fff::1]/", "https://[5f00::1]/", "https://[100::1]/", "https://[::ffff:169.254.169.254]/"),
    # Numbers of every kind.
    *("https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/"),
    *("https://0x7f.0x0.0x0.0x1/", "https://0177.0.0.1/", "https://0177.1/", "https://017700000001/", "https://0/"),
    *("https://127.000.000.001/", "https://127.0.0.1./", "https://127.0.0.1../", "https://0xa9fea9fe/"),
    *("https://2852039166/", "https://169.254.43518/", "https://127.0.0.0x1/", "https://4294967296/", "https://00/"),
    # Letters that become something else.
    *(
        "https://①②⑦.0.0.1/",
        "https://127。0。0。1/",
        "https://127．0．0．1/",
        "https://１２７.0.0.1/",
        "https://10.⒈1.1/",
    ),
    *(
        "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
        "https://localhoſt/",
        "https://LOCALHOST/",
        "https://127.0.0.1\u3002/",
        "https://𝟏𝟐𝟕.0.0.1/",
    ),
    # Names.
    *("https://localhost/", "https://localhost./", "https://localhost../"),
    *(f"https://{name}/" for name in _ASK_THE_SYSTEM),
    *(f"https://{name}/" for name in _ANSWERS),
    # Users, fragments, backslashes and what is not seen.
    *(
        "https://good.example@127.0.0.1/",
        "https://good.example:443@127.0.0.1/",
        "https://127.0.0.1@good.example/",
    ),
    *(
        "https://127.0.0.1#@good.example/",
        "https://127.0.0.1\\@good.example/",
        "https://good.example\\@127.0.0.1/",
    ),
    *("https:\\\\127.0.0.1/", "https:///127.0.0.1/", "https:/127.0.0.1/", "https:127.0.0.1", "//127.0.0.1/"),
    *("https://127.0.0\t.1/", "https://127.0.0.1\n/", "\x00https://127.0.0.1/", " https://127.0.0.1/"),
    *(
        "https://127.0.0\u200b.1/",
        "https://127.0.0\u00ad.1/",
        "https://127.0.0.1%00.example/",
        "https://%31%32%37.0.0.1/",
    ),
    *(
        "https://127.0.0.1%2f@example/",
        "https://127.0.0.1 /",
        "https://[127.0.0.1]/",
        "https://[::1]x/",
        "https://[::1/",
    ),
    *("https://127.0.0.1:443:80/", "https://127.0.0.1:/", "https://127.0.0.1?@good.example/"),
    # Schemes and ports, also of addresses that are fine.
    *("http://127.0.0.1/", "http://93.184.216.34/", "http://hooks.example/", "ftp://93.184.216.34/", "file:///proc/x"),
    *("gopher://127.0.0.1:6379/_x", "dict://127.0.0.1:6379/x", "ldap://127.0.0.1/", "jar:https://127.0.0.1/"),
    *(f"https://93.184.216.34:{port}/" for port in TRAPPED_PORTS if port != 443),
    *(f"https://127.0.0.1:{port}/" for port in TRAPPED_PORTS),
    *("https://93.184.216.34:4430/", "https://93.184.216.34:0/", "https://93.184.216.34:65979/"),
]
REDIRECTS = [
    "https://169.254.169.254/",
    "http://[::1]/",
    "http://10.0.0.1:8080/",
    "file:///proc/x",
    "gopher://127.0.0.1:6379/",
]
STATUSES = [301, 302, 303, 307, 308]


@dataclass
class Traps:
    """Listens at every address of this network; `caught` are the addresses and ports that were called."""

    caught: list[tuple[str, int]] = field(default_factory=list)

    def set(self) -> None:
        for port in TRAPPED_PORTS:
            for family, host in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
                listener = socket.create_server((host, port), family=family, backlog=1024)
                threading.Thread(target=self._catch, args=(listener,), daemon=True).start()

    def _catch(self, listener: socket.socket) -> None:
        while True:
            sock, _ = listener.accept()
            self.caught.append(tuple(sock.getsockname()[:2]))
            sock.close()

    def emptied(self) -> list[tuple[str, int]]:
        """What was caught since the last time: all of it, as calls that we make ourselves come last in each queue."""
        marks = [(host, port) for host in ("127.9.9.9", "fd09::9") for port in TRAPPED_PORTS]
        for mark in marks:
            socket.create_connection(mark).close()
        assert until(lambda: set(marks) <= set(self.caught))
        caught = [each for each in self.caught if each not in marks]
        self.caught.clear()
        return caught


def _resolve_inside(host: str, port: int) -> list[str]:
    return _ANSWERS.get(host) or lookups.system_addresses(_ASK_THE_SYSTEM.get(host, host), port)


def _outcome(client: HttpClient, url: str) -> list[str]:
    try:
        return ["answer", str(client.post(url, b"{}", {}).status)]
    except DeliveryError as error:
        return [error.kind, error.words]


def _rebound_inside(traps: Traps) -> dict[str, Any]:
    """A name that is public when it is asked for first, and this machine from then on."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    client = a_client(resolve=resolve)
    first = _outcome(client, "https://rebound.example/")
    looked_up, caught = len(asked), traps.emptied()
    second = _outcome(client, "https://rebound.example/")
    return {"first": first, "looked_up": looked_up, "caught": caught, "second": second, "then": traps.emptied()}


def _inside() -> dict[str, Any]:
    """What happens in a network of its own; runs there, as a process of its own."""
    traps, guarded = Traps(), a_client(resolve=_resolve_inside)
    traps.set()
    everywhere = [Allowed(host=ip_network(text), ports=TRAPPED_PORTS) for text in ("0.0.0.0/0", "::/0")]
    unguarded = a_client(allowed=everywhere, resolve=_resolve_inside)
    found: dict[str, Any] = {
        "saved": {url: guarded.url_problem(url) for url in FORGED},
        "sent": {url: _outcome(guarded, url) for url in FORGED},
    }
    found["caught"] = traps.emptied()
    found["unguarded"] = {}
    for url in FORGED:
        _outcome(unguarded, url)
        found["unguarded"][url] = traps.emptied()
    found["rebound"] = _rebound_inside(traps)
    with Receiver(host="::1") as receiver:
        client = a_client(allowed=[parse_allowed(f"[::1]:{receiver.port}")])
        found["ipv6"] = _outcome(client, receiver.url(host="[0:0::1]"))
        found["ipv6_host"] = [each.headers["host"].replace(str(receiver.port), "PORT") for each in receiver.requests]
    found["redirected"] = []
    for status in STATUSES:
        for to in REDIRECTS:
            with Receiver([says.redirect(to, status)]) as receiver:
                found["redirected"].append(_outcome(client_of(receiver), receiver.url()))
    found["followed"] = traps.emptied()
    return found


_OWN_NETWORK = (
    "ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo && "
    'ip -6 addr add fe80::1/128 dev lo nodad && exec "$@"'
)


def _own_network() -> list[str] | None:
    """The beginning of a command that runs in a network of its own, or None where there can be none."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return None
    for options in (["--net"], ["--net", "--map-root-user"]):
        command = ["unshare", *options, "sh", "-c", _OWN_NETWORK, "sh"]
        if subprocess.run([*command, "true"], capture_output=True, timeout=LONG).returncode == 0:
            return command
    return None


@pytest.fixture(scope="module")
def inside() -> dict[str, Any]:
    """What `_inside` found; where it cannot run it fails if nobody watches (CI), and is skipped elsewhere."""
    command = _own_network()
    if command is None:
        reason = "no network of one's own: needs root (or user namespaces), unshare and ip: apt-get install iproute2"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    ended = subprocess.run(
        [*command, sys.executable, "-m", "tests.test_outgoing"], cwd=ROOT, capture_output=True, text=True, timeout=150
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


class TestForgedCalls:
    def test_there_are_enough_of_them(self) -> None:
        assert len(set(FORGED)) == len(FORGED) >= 120

    @pytest.mark.parametrize("url", FORGED, ids=ascii)
    def test_it_is_refused_when_it_is_saved_and_when_it_is_sent(self, url: str, inside: dict[str, Any]) -> None:
        problem = inside["saved"][url]
        assert problem
        assert inside["sent"][url] == ["address", f"the URL {problem}"]

    def test_no_trap_is_ever_called(self, inside: dict[str, Any]) -> None:
        assert inside["caught"] == []

    def test_the_traps_would_have_noticed(self, inside: dict[str, Any]) -> None:
        reached = {url: caught for url, caught in inside["unguarded"].items() if caught}
        assert len(reached) >= 50
        assert reached["https://169.254.169.254/latest/meta-data/"] == [["169.254.169.254", 443]]
        assert reached["https://[::1]/"] == [["::1", 443]]
        assert reached["https://127。0。0。1/"] == [["127.0.0.1", 443]]
        assert reached["https://hex.example/"] == [["127.0.0.1", 443]]
        assert reached["https://127.0.0.1:6379/"] == [["127.0.0.1", 6379]]
        assert {port for caught in reached.values() for _, port in caught} == set(TRAPPED_PORTS)

    def test_a_name_that_changes_its_mind_is_looked_up_once_and_called_where_it_was_judged(
        self, inside: dict[str, Any]
    ) -> None:
        found = inside["rebound"]
        assert found["first"][0] in ("connection", "tls")  # a trap says nothing
        assert (found["looked_up"], found["caught"]) == (1, [[PUBLIC, 443]])
        assert found["second"] == ["address", "the URL must not lead to this machine"]
        assert found["then"] == []

    def test_what_is_allowed_may_have_the_newer_kind_of_address(self, inside: dict[str, Any]) -> None:
        assert inside["ipv6"] == ["answer", "200"]
        assert inside["ipv6_host"] == ["[::1]:PORT"]

    def test_no_redirect_leads_into_a_trap(self, inside: dict[str, Any]) -> None:
        assert inside["redirected"] == [["answer", str(status)] for status in STATUSES for _ in REDIRECTS]
        assert inside["followed"] == []


if __name__ == "__main__":
    print(json.dumps(_inside()))  # noqa: T201
