"""The variables that say how the cockpit is reached, and what it may reach itself."""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from alerts.channels.addresses import Allowed, parse_allowed
from alerts.channels.base import Mail
from bedrock import origins
from cockpit.variables import Reader

_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+")
_SMTP: Mapping[str, tuple[Literal["starttls", "tls", "none"], int]] = {
    "smtp": ("starttls", 587), "smtps": ("tls", 465), "smtp+plain": ("none", 25),
}  # fmt: skip


def mail_of(url: str, sender: str) -> Mail:
    """The server that an EMAIL_URL names.

    Raises:
        ValueError: when it names none.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SMTP or not parts.hostname:
        raise ValueError("no server")
    security, port = _SMTP[parts.scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Mail(
        host=parts.hostname, port=parts.port or port, user=user, password=password, security=security, sender=sender
    )


def _mail(reader: Reader) -> tuple[str | None, str]:
    """EMAIL_URL (smtp, smtps or smtp+plain) and EMAIL_FROM: both, or none."""
    url, sender = reader.secret("EMAIL_URL"), reader.text("EMAIL_FROM")
    if sender and not _ADDRESS.fullmatch(sender):
        reader.fault("EMAIL_FROM", "must be one address such as cockpit@example.org")
    if bool(url) != bool(sender):
        reader.fault("EMAIL_URL" if sender else "EMAIL_FROM", "is needed as well where the other one is set")
    try:
        if url:
            mail_of(url, sender)
    except ValueError:
        reader.fault("EMAIL_URL", "must look like smtp://user:password@host:587, smtps://... or smtp+plain://...")
        url = None
    return url, sender


def _allowed(reader: Reader) -> tuple[Allowed, ...]:
    found = []
    for word in reader.words("OUTGOING_ALLOWED"):
        try:
            found.append(parse_allowed(word))
        except ValueError as error:
            reader.fault("OUTGOING_ALLOWED", str(error))
    return tuple(found)


def outgoing(reader: Reader, environment: str, web: Mapping[str, Any]) -> dict[str, Any]:
    """Where people and our own processes reach the cockpit, and what it may reach itself."""
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(web["host"], web["host"])  # noqa: S104
    here = f"http://localhost:{web['port']}" if environment == "development" else ""
    addresses = {"PUBLIC_URL": here, "WEB_URL": f"http://{own}:{web['port']}"}
    for name, default in addresses.items():
        addresses[name] = reader.text(name, default).rstrip("/")
        if addresses[name] and origins.normal(addresses[name], http=True) is None:
            reader.fault(name, "must be a scheme and a host such as https://cockpit.example.org, without a path")
    email_url, email_from = _mail(reader)
    return {
        "public_url": addresses["PUBLIC_URL"],
        "web_url": addresses["WEB_URL"],
        "email_url": email_url,
        "email_from": email_from,
        "outgoing_allowed": _allowed(reader),
        "outgoing_bridge": reader.boolean("OUTGOING_BRIDGE", False),
    }
