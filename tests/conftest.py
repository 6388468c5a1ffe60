"""The tests' ground: one throwaway cluster a run, one clone of the migrated database a worker, tests as cockpit_app."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.db import connections
from django.test import Client
from psycopg import conninfo, sql
from pytest_django.plugin import DjangoDbBlocker

from alerts import sending
from monitoring.store import retention
from organizations import keys
from organizations.access import key_ring
from organizations.database_roles import roles_sql
from organizations.models import Membership, User
from organizations.scope import Scope
from tests import ruling, servers
from tests.channels import LOCAL, OTHER, OWN
from tests.flows import traces

_ADMIN_URL = "TEST_DATABASE_URL"  # an administrator's URL; without one the run starts a cluster of its own
_RUN = "TEST_DATABASE_RUN"
_stack = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Before xdist starts its workers, which inherit the environment."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    os.environ[_RUN] = secrets.token_hex(4)
    if not os.environ.get(_ADMIN_URL):
        os.environ[_ADMIN_URL] = _stack.enter_context(servers.throwaway_postgres()).admin_url


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _stack.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Browser tests without a browser fail where nobody watches (CI) and are skipped elsewhere, as bin/test says.

    With one they may be tried once more: a browser on a machine that is busy with other work can miss its moment. The
    closing line tells how many were.
    """
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))
    if os.environ.get("CI") == "true" or any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no chromium: sudo apt-get install -y chromium"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(traces.words())


def url_of(database: str, user: str | None = None) -> str:
    """The run's cluster with another database (and role)."""
    changed = {"dbname": database} | ({"user": user} if user else {})
    return conninfo.make_conninfo(os.environ[_ADMIN_URL], **changed)


def as_url(database: str, user: str) -> str:
    """The same as a URL, for environments of real processes."""
    parts = conninfo.conninfo_to_dict(os.environ[_ADMIN_URL])
    query = "&".join(f"{name}={parts[name]}" for name in ("host", "port") if parts.get(name))
    return f"postgresql://{user}@/{database}?{query}"


def _point_connections_at(database: str) -> None:
    for alias, user in (("default", "cockpit_app"), ("owner", "cockpit_owner")):
        connections[alias].close()
        parts = conninfo.conninfo_to_dict(url_of(database, user))
        connections[alias].settings_dict.update(
            NAME=database,
            USER=user,
            HOST=parts.get("host", ""),
            PORT=str(parts.get("port", "")),
            PASSWORD=parts.get("password", ""),
        )


def _template(admin: psycopg.Connection[Any]) -> str:
    """The migrated database every worker clones; the first one to come makes it."""
    name = f"cockpit_template_{os.environ[_RUN]}"
    with admin.transaction():
        admin.execute("SELECT pg_advisory_lock(4711)")
    try:
        found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if not found:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            with psycopg.connect(url_of(name), autocommit=True) as inside:
                inside.execute(roles_sql())
            _point_connections_at(name)
            call_command("migrate", verbosity=0)
            for alias in ("default", "owner"):
                connections[alias].close()
    finally:
        admin.execute("SELECT pg_advisory_unlock(4711)")
    return name


@pytest.fixture(scope="session")
def clone(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The name of this worker's own database."""
    name = f"cockpit_{os.environ[_RUN]}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with django_db_blocker.unblock(), psycopg.connect(url_of("postgres"), autocommit=True) as admin:
        template = _template(admin)
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO cockpit_owner").format(sql.Identifier(name)))
        _point_connections_at(name)
        yield name
        for alias in ("default", "owner"):
            connections[alias].close()
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


_KEPT = ("django_migrations", "django_content_type", "auth_permission", "organizations_organization")
_CLEAN_ORGANIZATIONS = """
DELETE FROM organizations_organization WHERE slug NOT IN ('shared', 'swaggystacks', 'scientia_capital');
UPDATE organizations_organization
SET timezone = 'UTC', currency = 'USD', raw_days = 30, minute_days = 90, hour_days = 730, max_names = 500,
    minutes_since = NULL, hours_since = NULL;
"""


def _clean(name: str) -> None:
    """Everything tests wrote, taken away by the administrator (policies and the append-only trail bind all others)."""
    with psycopg.connect(url_of(name), autocommit=True) as admin:
        tables = admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition AND relname <> ALL(%s)",
            [list(_KEPT)],
        ).fetchall()
        deletes = "".join(f"DELETE FROM {table};" for (table,) in tables)
        admin.execute(f"SET session_replication_role = replica; {deletes} {_CLEAN_ORGANIZATIONS}")


@pytest.fixture
def database(clone: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A clean database, committed to for real; its name."""
    with django_db_blocker.unblock():
        retention.forget()
        key_ring.forget()
        for cache in caches.all(initialized_only=True):
            cache.clear()
        yield clone
        for alias in ("default", "owner"):
            connections[alias].close()
        _clean(clone)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def make_key(database: str) -> Callable[..., str]:
    """Makes an API key and gives its text."""

    def make(organization: str = "swaggystacks", *scopes: str, **more: Any) -> str:
        wanted = scopes or ("ingest:write", "dashboard:read")
        with Scope.of(organization).enter():
            _, text = keys.create_key(organization=organization, name="test", scopes=wanted, created_by="tests", **more)
        return text

    return make


@pytest.fixture
def make_person(database: str) -> Callable[..., User]:
    """Makes a person with one membership for each organization=role."""

    def make(name: str, *, administrator: bool = False, **roles: str) -> User:
        user = User.objects.create_user(
            name, password="a long enough password", is_superuser=administrator, is_staff=administrator
        )
        with Scope.system("test").enter():
            for organization, role in roles.items():
                Membership.objects.create(user=user, organization_id=organization, role=role)
        return user

    return make


@pytest.fixture
def people(make_person: Callable[..., User]) -> dict[str, User]:
    """Somebody of each role in one organization, by the role; an administrator of all, and an owner in another one."""
    made = {role: make_person(role, **{OWN: role}) for role in ("owner", "operator", "analyst", "executive")}
    return {**made, "root": make_person("root", administrator=True), "stranger": make_person("ada", **{OTHER: "owner"})}


@pytest.fixture
def operator(people: dict[str, User]) -> Client:
    """A browser in which the operator has signed in."""
    client = Client()
    client.force_login(people["operator"])
    return client


@pytest.fixture
def nothing_remembered(database: str) -> Iterator[None]:
    """The database, and evaluations that remember nothing."""
    ruling.forget()
    yield
    ruling.forget()


@pytest.fixture
def local_channels(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database, and channels that reach this machine."""
    monkeypatch.setitem(sending._CLIENTS, "live", LOCAL)  # type: ignore[misc]
