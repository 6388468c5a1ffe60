"""System checks that need the database: the application must not run as a role that policies do not bind."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from organizations.database_roles import role_faults

_HINT = "Run what `manage.py roles --sql` prints as an administrator, and put the role cockpit_app into DATABASE_URL."


def check_database_role(
    app_configs: Any = None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """E001 for each power that DATABASE_URL's role should not have."""
    if not databases or "default" not in databases:
        return []
    with connections["default"].cursor() as cursor:
        return [
            Error(f"DATABASE_URL: its role {fault}", hint=_HINT, id="cockpit.E001") for fault in role_faults(cursor)
        ]


def connect() -> None:
    """Called once, when the app is ready."""
    register(check_database_role, Tags.database)
