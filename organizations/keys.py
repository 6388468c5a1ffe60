"""API keys made and verified: `ck_<prefix>_<secret>`, of which only an HMAC of the secret is ever stored."""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings

from bedrock.text import text_problem
from organizations import audit
from organizations.models import ApiKey, KeyScope

_FORM = re.compile(r"ck_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ALPHABET = string.ascii_lowercase + string.digits
PLATFORM_SCOPES = frozenset({KeyScope.METRICS_READ.value, KeyScope.DASHBOARD_READ.value})


def parse(text: str) -> tuple[str, str] | None:
    """(prefix, secret) of a well-formed key, else None."""
    match = _FORM.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest(secret: str, pepper: str) -> str:
    return hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).hexdigest()


def matches(stored: str, secret: str) -> bool:
    """Whether `secret` belongs to the stored digest, under any of the peppers (newest first), in constant time."""
    found = False
    for pepper in settings.KEY_PEPPER:
        found |= hmac.compare_digest(stored, digest(secret, pepper))
    return found


def _checked(organization: str, name: str, scopes: Iterable[str], *, platform: bool) -> list[str]:
    """The scopes, sorted, when such a key may be made."""
    wanted = sorted(set(scopes))
    if problem := text_problem(name, 100):
        raise ValueError(f"the name {problem}")
    unknown = set(wanted) - set(KeyScope.values)
    if unknown or not wanted:
        raise ValueError(f"scopes must be some of {', '.join(KeyScope.values)}")
    if platform and (organization != "shared" or not set(wanted) <= PLATFORM_SCOPES):
        raise ValueError("a platform key belongs to shared and may only have metrics:read and dashboard:read")
    return wanted


def create_key(
    *,
    organization: str,
    name: str,
    scopes: Iterable[str],
    created_by: str,
    expires_at: datetime | None = None,
    platform: bool = False,
) -> tuple[ApiKey, str]:
    """Store a new key and its audit row; the caller has entered the organization's scope.

    Returns:
        The stored row and the key itself, which cannot be shown again.

    Raises:
        ValueError: for unknown scopes, a name that cannot be shown, a platform key that could do more than read.
    """
    wanted = _checked(organization, name, scopes, platform=platform)
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        organization_id=organization,
        name=name,
        prefix=prefix,
        digest=digest(secret, settings.KEY_PEPPER[0]),
        scopes=wanted,
        platform=platform,
        created_by=created_by,
        expires_at=expires_at,
    )
    audit.record(
        organization=organization,
        action="created",
        object_type="apikey",
        object_id=str(key.id),
        object_text=str(key),
        changes={
            "scopes": [None, wanted],
            "platform": [None, platform],
            "expires_at": [None, str(expires_at or "never")],
        },
    )
    return key, f"ck_{prefix}_{secret}"
