"""`python -m deploy.make_roles FILE`: the database roles, made by the administrator whose URL is in FILE.

Their passwords are those of DATABASE_URL and DATABASE_OWNER_URL; running it again changes nothing but a new password.
"""

import sys
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from cockpit import env as environment
from organizations.database_roles import APP, OWNER, roles_sql


def make_roles(admin_url: str, urls: dict[str, str | None]) -> None:
    """Make the roles, and give each role of `urls` the password its URL holds; only its hash crosses the wire."""
    with psycopg.connect(admin_url, connect_timeout=5) as connection:
        connection.execute(roles_sql().encode())
        for role, url in urls.items():
            parts = conninfo.conninfo_to_dict(url or "")
            if parts.get("user") != role:
                raise SystemExit(f"error: the URL of {role} is missing or names another role")
            password = str(parts.get("password") or "")
            if not password:
                raise SystemExit(f"error: the URL of {role} has no password")
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
            )


def main() -> None:
    """The command line; faults are told in one line each."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m deploy.make_roles FILE-WITH-THE-ADMINISTRATOR'S-URL")
    try:
        env = environment.load()
        admin_url = Path(sys.argv[1]).read_text(encoding="utf-8").strip()
        make_roles(admin_url, {APP: env.database_url, OWNER: env.database_owner_url})
    except environment.EnvironmentFaults as faults:
        raise SystemExit("\n".join(f"environment: {fault}" for fault in faults.faults)) from None
    except (OSError, psycopg.Error) as error:
        raise SystemExit(f"error: the database roles could not be made: {error}") from None


if __name__ == "__main__":
    main()
