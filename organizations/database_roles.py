"""The three database roles and what each may do: the SQL an administrator runs once, the grants of each migrate."""

from collections.abc import Iterable
from typing import Any

OWNER, APP, INGEST = "cockpit_owner", "cockpit_app", "cockpit_ingest"


def roles_sql() -> str:
    """SQL that makes the roles and their rights on the current database; running it again changes nothing.

    cockpit_owner owns the tables (migrations, partitions). cockpit_app is everything else: bound by every policy.
    cockpit_ingest bypasses policies for COPY alone, cannot log in, and is taken on by cockpit_app only by name.
    Passwords are the administrator's own step: ALTER ROLE ... PASSWORD.
    """
    create = "\n".join(
        f"  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} {options}; END IF;"
        for role, options in ((OWNER, "LOGIN"), (APP, "LOGIN"), (INGEST, "NOLOGIN BYPASSRLS"))
    )
    return f"""DO $$ BEGIN
{create}
  EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO {OWNER}, {APP}', current_database());
  EXECUTE format('ALTER DATABASE %I OWNER TO {OWNER}', current_database());
END $$;
GRANT {INGEST} TO {APP} WITH INHERIT FALSE, SET TRUE;
"""


# Tables that the application may not change at will: everything else gets the four verbs.
_NARROW = {
    "organizations_auditevent": "SELECT, INSERT",
    "alerts_event": "SELECT, INSERT",
    "alerts_attempt": "SELECT, INSERT",
    "alerts_rule_version": "SELECT, INSERT",
    "django_migrations": "SELECT",
    "django_content_type": "SELECT",
    "auth_permission": "SELECT",
}
# What append does as cockpit_ingest, and nothing more.
_INGEST = {
    "monitoring_inference": "INSERT",
    "monitoring_rollup_delta": "INSERT",
    "monitoring_idempotency_key": "SELECT, INSERT",
    "monitoring_seen_name": "SELECT, INSERT",
    "monitoring_user_day": "INSERT",
    "organizations_organization": "SELECT",
}


def grants_sql(tables: Iterable[str], *, ingest: bool) -> str:
    """The grants on `tables` (base tables, never partitions), for cockpit_app and, when it exists, cockpit_ingest."""
    lines = [f"GRANT USAGE ON SCHEMA public TO {APP};"]
    if ingest:
        lines.append(f"GRANT USAGE ON SCHEMA public TO {INGEST};")
    for table in sorted(tables):
        lines.append(f"REVOKE ALL ON {table} FROM {APP};")
        lines.append(f"GRANT {_NARROW.get(table, 'SELECT, INSERT, UPDATE, DELETE')} ON {table} TO {APP};")
        if ingest and table in _INGEST:
            lines.append(f"GRANT {_INGEST[table]} ON {table} TO {INGEST};")
        if table == "monitoring_rollup_delta":
            lines.append(f"GRANT MAINTAIN ON {table} TO {APP};")  # the folder vacuums what it empties
    return "\n".join(lines)


def role_faults(cursor: Any) -> list[str]:
    """Why the present role must not serve requests: what it may do past the policies. Empty for cockpit_app."""
    cursor.execute(
        "SELECT rolsuper, rolbypassrls, (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid "
        "AND relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace) > 0 "
        "FROM pg_roles WHERE rolname = current_user"
    )
    superuser, bypasses, owns = cursor.fetchone()
    told = (
        (superuser, "is a superuser, whom row-level security does not bind"),
        (bypasses and not superuser, "bypasses row-level security"),
        (owns, "owns tables, and could lift their policies"),
    )
    return [words for true, words in told if true]
