"""Read tokens for pages of other origins: `ct_...`, signed and stored nowhere, good for fifteen minutes."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing

from organizations import audit

PREFIX = "ct_"
LIFETIME = timedelta(minutes=15)

_FORM = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{1,400}}\.[A-Za-z0-9_-]{{43}})")
_SALT = "organizations.tokens.1"  # another content needs another number: a signature says that the content is ours


class Expired(Exception):
    """A token that was good once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Reading one organization's dashboard until `expires_at`, for as long as its issuer may read it too.

    `issuer_kind` is "key" or "user", `issuer_id` the id of that row. `id` is the token's own: 16 hex digits.
    """

    id: str
    organization: str
    issuer_kind: str
    issuer_id: str
    expires_at: datetime


def _signer() -> signing.Signer:
    """Signs with the newest pepper and believes them all, so that a rotation ends no token."""
    older: list[bytes | str] = list(settings.KEY_PEPPER[1:])
    return signing.Signer(key=settings.KEY_PEPPER[0], fallback_keys=older, sep=".", salt=_SALT)


def make(*, organization: str, issuer_kind: str, issuer_id: str, now: datetime) -> tuple[str, Token]:
    """A new token and its audit row; the caller has entered the organization's scope and may read it."""
    made_at = int(now.timestamp())
    identifier = secrets.token_hex(8)
    signed = _signer().sign_object([identifier, organization, issuer_kind, issuer_id, made_at])
    token = _token(identifier, organization, issuer_kind, issuer_id, made_at)
    audit.record(
        organization=organization,
        action="created",
        object_type="token",
        object_id=identifier,
        object_text=f"read token {identifier}",
        changes={"expires_at": [None, str(token.expires_at)]},
    )
    return PREFIX + signed, token


def read(text: str, now: datetime) -> Token | None:
    """The token, or None when it is malformed, forged or altered.

    Raises:
        Expired: when it was signed here, longer than LIFETIME ago.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    try:
        token = _token(*_signer().unsign_object(match[1]))
    except signing.BadSignature:
        return None
    if now >= token.expires_at:
        raise Expired
    return token


def _token(identifier: str, organization: str, issuer_kind: str, issuer_id: str, made_at: int) -> Token:
    return Token(
        id=identifier,
        organization=organization,
        issuer_kind=issuer_kind,
        issuer_id=issuer_id,
        expires_at=datetime.fromtimestamp(made_at, UTC) + LIFETIME,
    )
