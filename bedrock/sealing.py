"""Secrets at rest: sealed with a key that the database never sees, bound to the row they belong to."""

import base64
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE = b"cockpit: secrets at rest, 1"  # another derivation needs another number


class Unsealable(ValueError):
    """What was sealed with a key that is not known any more, belongs to another row, or was tampered with."""


def seal(secrets: Mapping[str, str], *, row: str) -> str:
    """The secrets as text that only this installation reads again, and only for the row it was sealed for."""
    return _ring(settings.KEY_PEPPER).encrypt(msgspec.json.encode([row, dict(secrets)])).decode()


def unseal(sealed: str, *, row: str) -> dict[str, str]:
    """What was sealed for this row; nothing of an empty text.

    Raises:
        Unsealable: naming none of it.
    """
    if not sealed:
        return {}
    try:
        found = msgspec.json.decode(_ring(settings.KEY_PEPPER).decrypt(sealed), type=tuple[str, dict[str, str]])
    except (InvalidToken, msgspec.DecodeError):
        raise Unsealable("sealed with a KEY_PEPPER that is not among the present ones") from None
    if found[0] != row:
        raise Unsealable("sealed for another row")
    return found[1]


@lru_cache(maxsize=4)
def _ring(peppers: tuple[str, ...]) -> MultiFernet:
    """Seals with the newest pepper and opens with them all, so that a rotation loses no secret."""
    return MultiFernet([Fernet(_key(pepper)) for pepper in peppers])


def _key(pepper: str) -> bytes:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE).derive(pepper.encode())
    return base64.urlsafe_b64encode(derived)
