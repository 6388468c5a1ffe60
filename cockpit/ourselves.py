"""The cockpit as it runs now, to be held against what it was: settings as text, secrets as marks that tell nothing."""

import hashlib
import hmac
from dataclasses import fields
from typing import Any

from django.conf import settings

from alerts.changes import Ourselves
from bedrock import redaction
from cockpit.env import Env
from cockpit.metrics import VERSION

_NAMES = {"environment": "COCKPIT_ENV", "data_dir": "COCKPIT_DATA_DIR"}  # the others are called as their fields
SECRETS = frozenset({"secret_key", "key_pepper", "database_url", "database_owner_url", "redis_url", "email_url"})
# Not the cockpit's own: a machine's, a command's, or what `up` chooses for its children.
LEFT_OUT = frozenset({"host_name", "admin_username", "admin_password", "api_key", "log_level", "log_format"})


def ourselves(env: Env) -> Ourselves:
    """Version and settings of this process."""
    plain = [field.name for field in fields(env) if field.name not in SECRETS | LEFT_OUT]
    return Ourselves(
        version=VERSION,
        settings={_NAMES.get(name, name.upper()): _text(getattr(env, name)) for name in plain},
        secrets={name.upper(): _mark(env, name) for name in sorted(SECRETS)},
    )


def _text(value: Any) -> str:
    return redaction.redact_text(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _mark(env: Env, name: str) -> str:
    """ "key:digest": what it was cannot be found out of it without SECRET_KEY, which is not in the database."""
    key = "" if name == "secret_key" else _digest(env, "marks")
    return f"{key}:{_digest(env, f'{name} {_in_use(env, name)}')}"


def _in_use(env: Env, name: str) -> str:
    """Where servers are told by a URL or started by ourselves, what is used in the end."""
    if name == "redis_url":
        return str(settings.REDIS_URL)
    alias = {"database_url": "default", "database_owner_url": "owner"}.get(name)
    if alias is None:
        return str(getattr(env, name))
    database = settings.DATABASES.get(alias, {})
    return " ".join(str(database.get(part, "")) for part in ("HOST", "PORT", "NAME", "USER", "PASSWORD"))


def _digest(env: Env, text: str) -> str:
    return hmac.new(env.secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]
