"""The application refuses to serve as a role that row-level security does not bind."""

import psycopg
import pytest

from organizations.database_roles import role_faults
from tests.conftest import url_of


@pytest.mark.parametrize(
    ("role", "words"),
    [("cockpit_app", ""), ("cockpit_owner", "owns tables"), (None, "superuser")],
    ids=["app", "owner", "admin"],
)
def test_it_names_the_power_a_role_should_not_have(database: str, role: str | None, words: str) -> None:
    with psycopg.connect(url_of(database, role)) as connection, connection.cursor() as cursor:
        faults = role_faults(cursor)
    assert bool(faults) == bool(words)
    assert words in " ".join(faults)
