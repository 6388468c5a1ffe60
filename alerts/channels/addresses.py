"""What may be called: URLs are read strictly, addresses are judged by a table of our own, beside it an allow-list."""

import re
import unicodedata
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from urllib.parse import quote

from msgspec import Struct

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2000
_LONGEST_NAME = 253
_PORTS = {"https": 443, "http": 80}
_SAFE = "!$%&'()*+,-./:;=?@[]_~"  # stands in a path or query as it is; a % is thought to begin an escape

_URL = re.compile(r"(https?)://([^/?]*)([/?].*)?", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last label it makes the whole an IPv4 address of some spelling
_PREFIX = re.compile(r".*/[0-9]{1,3}")

# Everything in the IANA registries of special-purpose addresses, also what they call reachable (relays, AS112): nobody
# takes notices there. And everything that stands for another address, which would need to be judged in its turn.
_SPECIAL = {
    "this machine": ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128"),
    "a private network": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "a carrier's own network": ("100.64.0.0/10",),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "a multicast or broadcast address": ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"),
    "a documentation or test address": (
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ),
    "an address that stands for another one": (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "192.88.99.0/24",  # 6to4 relays
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    ),
    "a reserved address": (
        "192.0.0.0/24",  # IETF protocols
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.175.48.0/24",  # AS112
        "240.0.0.0/4",
        "100::/64",  # discard-only
        "100:0:0:1::/64",  # dummy prefix
        "2001::/23",  # IETF protocols, among them benchmarking 2001:2::/48 and ORCHID
        "2620:4f:8000::/48",  # AS112
        "5f00::/16",  # segment routing
    ),
}
_TABLE = tuple((ip_network(text), words) for words, texts in _SPECIAL.items() for text in texts)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # nothing beyond it has ever been given out
_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class Target(Struct, frozen=True, kw_only=True):
    """A URL taken apart. `host` is a name in lower case ASCII or an address, `path` is ready to be sent."""

    scheme: str
    host: str | Address
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Allowed(Struct, frozen=True, kw_only=True):
    """One entry of the administrator's allow-list: a host name, or a network that addresses are looked for in.

    What it permits may be called by plain http too, at these ports, and wherever the name leads to.
    """

    host: str | Network
    ports: tuple[int, ...]

    def permits(self, target: Target, address: Address) -> bool:
        if target.port not in self.ports:
            return False
        return self.host == target.host if isinstance(self.host, str) else address in self.host

    def may_permit(self, target: Target) -> bool:
        """Whether it could, as far as can be told before the name is looked up."""
        return target.port in self.ports and (not isinstance(self.host, str) or self.host == target.host)


def parse_allowed(text: str) -> Allowed:
    """An entry such as `10.0.0.0/8:8443`, `[::1]:9000`, `hooks.lan:443` or `mail.lan` (ports 443 and 80).

    Raises:
        ValueError: naming the entry and what is wrong with it.
    """
    entry = text.strip()
    try:
        host, port = _split(entry)
        return Allowed(host=_host_or_network(host), ports=(port,) if port else tuple(_PORTS.values()))
    except ValueError as error:
        raise ValueError(
            f"{entry!r} {error}; an entry is a host, an address or a network, and maybe a port, as in "
            "hooks.lan:8443, 127.0.0.1:9000, 10.0.0.0/8 or [::1]:9000"
        ) from None


def target_of(url: str) -> Target:
    """A URL taken apart, whatever it leads to.

    Raises:
        ValueError: what it must be ("must name a host").
    """
    if len(url) > LONGEST_URL:
        raise ValueError(f"must be at most {LONGEST_URL} characters long")
    # Every kind of control, format, unassigned and space character: readers disagree on what they skip.
    if any(letter == "\\" or unicodedata.category(letter)[0] in "CZ" for letter in url):
        raise ValueError("must not hold spaces, control characters or backslashes")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("must begin with https://")
    if "#" in url:
        raise ValueError("must not hold a fragment (#)")
    scheme, authority, rest = match[1].lower(), match[2], match[3] or ""
    if "@" in authority:
        raise ValueError("must not hold a user name or a password")
    host, port = _split(authority)
    path = quote(rest if rest.startswith("/") else f"/{rest}", safe=_SAFE)
    return Target(scheme=scheme, host=_host(host), port=port or _PORTS[scheme], path=path)


def spelling_problem(target: Target, allowed: Sequence[Allowed]) -> str | None:
    """Why it may not be called, wherever it leads to ("must be https"), or None."""
    if any(entry.may_permit(target) for entry in allowed):
        return None
    if target.scheme != "https":
        return "must be https"
    return None if target.port == _PORTS["https"] else "must not name a port other than 443"


def call_problem(target: Target, address: Address, allowed: Sequence[Allowed]) -> str | None:
    """Why it may not be called at this address, one of those it leads to, or None."""
    if any(entry.permits(target, address) for entry in allowed):
        return None
    words = address_problem(address)
    return spelling_problem(target, ()) or (f"must not lead to {words}" if words else None)


def loopback_problem(address: Address) -> str | None:
    """Why it may not be called where only this very machine may."""
    return None if any(address in network for network in _LOOPBACK) else "must lead to this machine"


def address_problem(address: Address) -> str | None:
    """What this address is if it is no plain one of the public internet ("a private network"), or None.

    The library's own opinion counts too, but not alone: it calls NAT64, 6to4 and multicast global.
    """
    words = next((words for network, words in _TABLE if address in network), None)
    public = address.is_global and (isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST)
    return words or (None if public else "an address that is not public")


def _split(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("must name a host, and at most a port after it (an IPv6 address in brackets)")
    if match[2] and not 1 <= int(match[2]) <= 65535:
        raise ValueError("must name a port between 1 and 65535")
    return match[1], int(match[2]) if match[2] else None


def _host(text: str) -> str | Address:
    """A host as it is compared: an address, or a name in lower case ASCII without the dot at its end."""
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if set(text) & set("ßẞς"):  # two standards make two names of these
        raise ValueError("must name this host in its ASCII form (xn--…)")
    try:
        # Lengths first: the codec takes its time with long names.
        name = text.encode("idna").decode("ascii").lower().removesuffix(".") if len(text) <= _LONGEST_NAME + 1 else ""
    except UnicodeError:
        name = ""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError("must name a host that can exist")
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    try:
        return IPv4Address(name)
    except ValueError:
        raise ValueError("must write an IPv4 address as four decimal numbers") from None


def _ipv6(text: str) -> IPv6Address:
    try:
        if "%" not in text:  # an interface of this machine
            return IPv6Address(text)
    except ValueError:
        pass
    raise ValueError("must have nothing but an IPv6 address in brackets")


def _host_or_network(text: str) -> str | Network:
    if not _PREFIX.fullmatch(text.strip("[]")):
        host = _host(text)
        return host if isinstance(host, str) else ip_network(host)
    try:
        return IPv6Network(text[1:-1]) if text.startswith("[") else IPv4Network(text)
    except ValueError:
        raise ValueError("must be a network without bits beyond its prefix") from None
