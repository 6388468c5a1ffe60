"""The migrated schema: every row of an organization stands behind a forced policy, and no role walks around it."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.test import Client
from psycopg import errors

from alerts import lifecycle, rulebook
from alerts.definitions import Definition
from alerts.rules import Condition
from alerts.states import Report
from bedrock import identifiers
from monitoring.store import current_store
from monitoring.store.samples import Sample
from organizations import audit
from organizations.database_roles import grants_sql, roles_sql
from organizations.models import AuditEvent, Membership, Organization, User
from organizations.scope import Scope
from tests import channels
from tests.conftest import url_of

OWN, OTHER = "swaggystacks", "scientia_capital"
INFERENCE = "/api/monitoring/dashboard/inference"
Session = psycopg.Connection[Any]

# Unique indexes without the organization: they hold ids that are never reused or guessed, and nothing else.
UNIQUE_WITHOUT_ORGANIZATION = {
    "organizations_membership_pkey": ["id"],
    "organizations_apikey_pkey": ["id"],
    "organizations_auditevent_pkey": ["id"],
    "monitoring_inference_pkey": ["id", "occurred_at"],
    "monitoring_rollup_delta_pkey": ["id"],
    "alerts_event_pkey": ["id"],
    "alerts_attempt_pkey": ["id"],
}
# What append does with policies passed by, and nothing more.
INGEST_MAY = {
    "monitoring_inference": {"INSERT"},
    "monitoring_rollup_delta": {"INSERT"},
    "monitoring_idempotency_key": {"SELECT", "INSERT"},
    "monitoring_seen_name": {"SELECT", "INSERT"},
    "monitoring_user_day": {"INSERT"},
    "organizations_organization": {"SELECT"},
}
# Everything else has the four verbs.
APP_MAY_LESS = {
    "organizations_auditevent": {"SELECT", "INSERT"},
    "alerts_event": {"SELECT", "INSERT"},
    "alerts_attempt": {"SELECT", "INSERT"},
    "alerts_rule_version": {"SELECT", "INSERT"},
    "django_migrations": {"SELECT"},
    "django_content_type": {"SELECT"},
    "auth_permission": {"SELECT"},
}
APP_MAY_MORE = {"monitoring_rollup_delta": {"MAINTAIN"}}
APPEND_ONLY = {table for table, verbs in APP_MAY_LESS.items() if verbs == {"SELECT", "INSERT"}}
# What only narrows the scope's own policy: rows of a table that nobody may delete.
NARROWED = {table: {"kept": "d"} for table in ("alerts_alert", "alerts_channel", "alerts_delivery", "alerts_rule")}
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")

_TABLES = """
SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, a.attnotnull,
       coalesce((SELECT json_agg(json_build_object('name', polname, 'kind', polcmd,
           'using', pg_get_expr(polqual, polrelid),
           'check', pg_get_expr(polwithcheck, polrelid), 'open', polpermissive, 'public', 0 = ANY(polroles)))
           FROM pg_policy WHERE polrelid = c.oid), '[]')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname
"""


@contextmanager
def session(database: str, role: str | None = None, entered: str | None = None) -> Iterator[Session]:
    """A transaction of a role's own (the administrator's without one), rolled back at its end."""
    with closing(psycopg.connect(url_of(database, role))) as opened:
        if entered is not None:
            opened.execute("SELECT set_config('app.organizations', %s, true)", [entered])
        yield opened
        opened.rollback()


def app(database: str, entered: str | None = None) -> Any:
    return session(database, "cockpit_app", entered)


def tables_of_organizations(opened: Session) -> list[str]:
    return [row[1] for row in opened.execute(_TABLES)]


def columns_of(opened: Session, table: str) -> list[str]:
    """The columns that a row brings along, in their order: all but those that the table makes of the others."""
    found = opened.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
        "AND attgenerated = '' ORDER BY attnum",
        [table],
    )
    return [name for (name,) in found]


def raise_alert(organization: str, number: int) -> None:
    """An alert told to a channel, a kept answer, and something that we knew of ourselves."""
    channels.route(channels.channel("http://127.0.0.1:1/", organization=organization), organization=organization,
                   name=str(number))  # fmt: skip
    report = Report(alert_type="slow", severity="info", message="It is slow.", labels={"number": str(number)})
    scope = Scope.of(organization)
    now = datetime.now(UTC)
    [fired] = lifecycle.fire(scope=scope, organization=organization, reports=[report], now=now, via="api")
    with scope.enter(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alerts_answer (organization_id, key, request_hash, at) VALUES (%s, %s, %s, now())",
            [organization, bytes([number]), b"hash"],
        )
        cursor.execute(
            "INSERT INTO alerts_known (organization_id, name, value) VALUES (%s, %s, '1')", [organization, str(number)]
        )
        cursor.execute(
            "INSERT INTO alerts_attempt (organization_id, delivery_id, number, at, outcome, words, answer) "
            "SELECT organization_id, id, 1, now(), 'server', '', '' FROM alerts_delivery WHERE alert_id = %s",
            [fired.state.id],
        )


def make_rule(organization: str, number: int) -> None:
    """A rule that was judged once, with how it stands, what changed, and what that evaluation did."""
    one = Definition(measure="errors", aggregation="sum", condition=Condition(warning=1))
    with Scope.of(organization).enter(), connection.cursor() as cursor:
        rule = rulebook.create(
            organization=organization, name=f"rule {number}", definition=one, now=datetime.now(UTC), by="tests"
        )
        cursor.execute(
            "INSERT INTO alerts_standing (organization_id, rule_id, group_values, state, because, since, level) "
            "VALUES (%s, %s, '{}', 'ok', 'fine', now(), '')",
            [organization, rule],
        )
        cursor.execute(
            "INSERT INTO alerts_transition (organization_id, rule_id, version, group_values, at, before, after, "
            "because, samples) VALUES (%s, %s, 1, '{}', now(), '', 'ok', 'fine', 0)",
            [organization, rule],
        )
        cursor.execute(
            "INSERT INTO alerts_evaluation (organization_id, at, minutes, rules, groups, transitions, failed, "
            "late_seconds, took_ms) VALUES (%s, now(), 1, 1, 1, 1, 0, 0, 1)",
            [organization],
        )


def unprotected(opened: Session) -> dict[str, str]:
    """Table -> what its protection lacks, for every table with an organization."""
    found = {}
    for _, table, enabled, forced, required, everything in opened.execute(_TABLES):
        # A restrictive policy is AND-ed to the others: it takes away, and opens nothing.
        narrower = {policy["name"]: policy["kind"] for policy in everything if not policy["open"]}
        policies = [policy for policy in everything if policy["open"]]
        lacks = [
            *([] if enabled else ["row-level security is off"]),
            *([] if forced else ["not forced: its owner sees everything"]),
            *([] if required else ["organization_id may be NULL"]),
            *([] if len(policies) == 1 else [f"{len(policies)} policies (several are OR-ed together)"]),
            *([] if narrower == NARROWED.get(table, {}) else [f"narrowed by {sorted(narrower)}"]),
        ]
        for policy in policies:
            scoped = all("app.organizations" in (policy[part] or "") for part in ("using", "check"))
            if not (scoped and policy["kind"] == "*" and policy["public"]):
                lacks.append("a policy that does not hold every verb to the scope")
        if lacks:
            found[table] = "; ".join(lacks)
    return found


@pytest.fixture
def filled(database: str, make_key: Callable[..., str], make_person: Callable[..., User], client: Client) -> str:
    """Rows of two organizations in every table that has any."""
    model = secrets.token_hex(4)  # a name that this process has not seen yet
    now_ms = identifiers.milliseconds(datetime.now(UTC))
    for organization in (OWN, OTHER):
        make_person(f"ada_{organization}", **{organization: "owner"})
    for number in range(2):
        for organization in (OWN, OTHER):
            headers = {"authorization": f"Bearer {make_key(organization)}"}
            body = {"modelName": model, "durationMs": 1, "cost": "1", "idempotencyKey": str(number), "userId": "ada"}
            answer = client.post(INFERENCE, json.dumps(body), content_type="application/json", headers=headers)
            assert answer.status_code == 201, answer.content
            sample = Sample(organization=organization, family="cockpit_load_ratio", labels=(), at_ms=now_ms, value=1.0)
            current_store().observe(Scope.of(organization), [sample], now=datetime.now(UTC))
            raise_alert(organization, number)
            make_rule(organization, number)
        if not number:  # the second ones stay deltas
            current_store().fold()
    with session(database) as admin:
        for table in tables_of_organizations(admin):
            for organization in (OWN, OTHER):
                found = admin.execute(f"SELECT count(*) FROM {table} WHERE organization_id = %s", [organization])
                assert found.fetchone()[0], f"{table} is empty: fill it here, or nothing is proved about it"
    return database


class TestEveryTableOfAnOrganization:
    def test_has_one_forced_policy_that_holds_every_verb_to_the_scope(self, database: str) -> None:
        with session(database) as admin:
            assert len(tables_of_organizations(admin)) >= 10
            assert unprotected(admin) == {}

    @pytest.mark.parametrize(
        ("made", "told"),
        [
            ("", "row-level security is off"),
            ("ALTER TABLE forgotten ENABLE ROW LEVEL SECURITY", "not forced"),
            ("ALTER TABLE forgotten ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "0 policies"),
            (
                "ALTER TABLE forgotten ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
                "CREATE POLICY open ON forgotten USING (true)",
                "does not hold every verb",
            ),
        ],
    )
    def test_that_forgets_its_policy_is_told(self, database: str, made: str, told: str) -> None:
        with session(database, "cockpit_owner") as owner:
            owner.execute(f"CREATE TABLE forgotten (id bigint, organization_id text NOT NULL); {made}")
            assert told in unprotected(owner)["forgotten"]

    def test_shows_nothing_while_nothing_is_entered(self, filled: str) -> None:
        for entered in (None, "", "*", "%", f"{{{OWN}}}", f"'{OWN}'", f" {OWN}", OWN.upper(), "swaggystack_"):
            with app(filled, entered) as opened:
                for table in tables_of_organizations(opened):
                    assert opened.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), (table, entered)

    def test_shows_the_entered_rows_and_no_others(self, filled: str) -> None:
        for entered in ({OWN}, {OTHER}, {OWN, OTHER}):
            with app(filled, ",".join(entered)) as opened:
                for table in tables_of_organizations(opened):
                    found = {row[0] for row in opened.execute(f"SELECT organization_id FROM {table}")}
                    assert found == entered, table

    @pytest.mark.parametrize("entered", [None, OTHER])
    def test_refuses_rows_from_outside_the_scope(self, filled: str, entered: str | None) -> None:
        with session(filled) as admin, app(filled, entered) as opened:
            for table in tables_of_organizations(admin):
                row = admin.execute(
                    f"SELECT to_jsonb({table}) FROM {table} WHERE organization_id = %s LIMIT 1", [OWN]
                ).fetchone()
                columns = ", ".join(columns_of(admin, table))
                with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), opened.transaction():
                    opened.execute(
                        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE "
                        f"SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %s)",
                        [json.dumps(row[0])],
                    )

    def test_lets_no_row_move_to_another_organization(self, filled: str) -> None:
        with app(filled, OWN) as opened:
            for table in tables_of_organizations(opened):
                with pytest.raises(errors.InsufficientPrivilege), opened.transaction():
                    opened.execute(f"UPDATE {table} SET organization_id = %s", [OTHER])

    def test_lets_nobody_touch_rows_outside_the_scope(self, filled: str) -> None:
        with app(filled, OTHER) as opened:
            for table in sorted(set(tables_of_organizations(opened)) - APPEND_ONLY):
                assert opened.execute(f"DELETE FROM {table} WHERE organization_id = %s", [OWN]).rowcount == 0

    def test_binds_its_owner_too(self, filled: str) -> None:
        with session(filled, "cockpit_owner", OWN) as owner:
            for table in tables_of_organizations(owner):
                assert {row[0] for row in owner.execute(f"SELECT organization_id FROM {table}")} == {OWN}, table

    def test_has_the_organization_in_its_unique_indexes_and_foreign_keys(self, database: str) -> None:
        columns = "SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = c.oid AND attnum = ANY({})"
        with session(database) as admin:
            tables = tables_of_organizations(admin)
            indexes = admin.execute(
                f"SELECT i.indexrelid::regclass::text, ({columns.format('i.indkey')}) FROM pg_index i "
                "JOIN pg_class c ON c.oid = i.indrelid WHERE i.indisunique AND c.relname = ANY(%s)",
                [tables],
            ).fetchall()
            without = {name: sorted(found) for name, found in indexes if "organization_id" not in found}
            assert without == UNIQUE_WITHOUT_ORGANIZATION
            for name in without:
                table = name.removesuffix("_pkey")
                kind = admin.execute(
                    "SELECT attidentity <> '' OR atttypid = 'uuid'::regtype FROM pg_attribute "
                    "WHERE attrelid = %s::regclass AND attname = 'id'",
                    [table],
                ).fetchone()
                assert kind == (True,), f"{table}.id is neither an identity nor a UUID"
            keys = admin.execute(
                f"SELECT f.conname, ({columns.format('f.conkey')}) FROM pg_constraint f "
                "JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class t ON t.oid = f.confrelid "
                "WHERE f.contype = 'f' AND c.relname = ANY(%s) AND t.relname = ANY(%s)",
                [tables, tables],
            )
            assert [name for name, found in keys if "organization_id" not in found] == []


class TestRoles:
    def test_the_application_is_nobody_special(self, database: str) -> None:
        with session(database) as admin:
            attributes = admin.execute(
                "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin "
                "FROM pg_roles WHERE rolname = 'cockpit_app'"
            ).fetchone()
            assert attributes == (False, False, False, False, False, True)
            owned = admin.execute(
                "SELECT array_agg(relname) FROM pg_class WHERE relowner = 'cockpit_app'::regrole"
            ).fetchone()
            assert owned == (None,)

    def test_the_ingest_role_is_taken_on_by_name_alone(self, database: str) -> None:
        with session(database) as admin:
            attributes = admin.execute(
                "SELECT rolcanlogin, rolbypassrls, rolsuper FROM pg_roles WHERE rolname = 'cockpit_ingest'"
            ).fetchone()
            assert attributes == (False, True, False)
            granted = admin.execute(
                "SELECT roleid::regrole::text, member::regrole::text, inherit_option, set_option, admin_option "
                "FROM pg_auth_members WHERE (roleid::regrole::text || member::regrole::text) LIKE '%cockpit%'"
            ).fetchall()
            assert granted == [("cockpit_ingest", "cockpit_app", False, True, False)]
        with app(database) as opened:
            inherited = opened.execute("SELECT pg_has_role('cockpit_ingest', 'USAGE')").fetchone()
            assert inherited == (False,)
            opened.execute("SET LOCAL ROLE cockpit_ingest")

    @pytest.mark.parametrize(
        "statement",
        [
            "SET ROLE cockpit_owner",
            "SET SESSION AUTHORIZATION cockpit_owner",
            "SET session_replication_role = replica",
            "ALTER TABLE monitoring_inference NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE monitoring_inference DISABLE ROW LEVEL SECURITY",
            "DROP POLICY scope ON monitoring_inference",
            "CREATE POLICY open ON monitoring_inference USING (true)",
            "ALTER TABLE organizations_auditevent DISABLE TRIGGER ALL",
            "ALTER ROLE cockpit_app BYPASSRLS",
            "CREATE TABLE public.mine (id int)",
            "GRANT cockpit_ingest TO cockpit_owner",
            "TRUNCATE monitoring_rollup_delta",
            "COPY monitoring_inference TO '/dev/null'",
            "SELECT pg_read_file('PG_VERSION')",
        ],
    )
    def test_the_application_cannot_lift_itself_over_the_policies(self, database: str, statement: str) -> None:
        with app(database) as opened, pytest.raises(errors.InsufficientPrivilege):
            opened.execute(statement)

    def test_switching_policies_off_is_an_error_and_no_way_around(self, filled: str) -> None:
        with app(filled) as opened, pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            opened.execute("SET LOCAL row_security = off; SELECT count(*) FROM monitoring_inference")

    def test_making_them_again_changes_nothing(self, database: str) -> None:
        seen = (
            "SELECT to_jsonb(r) FROM pg_authid r WHERE rolname LIKE 'cockpit%' ORDER BY rolname",
            "SELECT to_jsonb(m) FROM pg_auth_members m ORDER BY oid",
            "SELECT datacl::text, datdba FROM pg_database WHERE datname = current_database()",
        )
        with session(database) as admin:
            admin.execute(roles_sql())
            before = [admin.execute(query).fetchall() for query in seen]
            admin.execute(roles_sql())
            assert [admin.execute(query).fetchall() for query in seen] == before


class TestGrants:
    @staticmethod
    def _rights(opened: Session, role: str, table: str) -> set[str]:
        held = opened.execute(
            "SELECT verb FROM unnest(%s::text[]) verb WHERE has_table_privilege(%s, %s, verb)",
            [list(VERBS), role, table],
        )
        return {verb for (verb,) in held}

    @staticmethod
    def _tables(opened: Session, *, partitions: bool) -> list[str]:
        found = opened.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p', 'v', 'm', 'f') AND relispartition = %s ORDER BY relname",
            [partitions],
        )
        return [name for (name,) in found]

    def test_the_application_has_the_four_verbs_and_less_on_what_it_may_not_rewrite(self, database: str) -> None:
        with session(database) as admin:
            for table in self._tables(admin, partitions=False):
                expected = APP_MAY_LESS.get(table, {"SELECT", "INSERT", "UPDATE", "DELETE"})
                assert self._rights(admin, "cockpit_app", table) == expected | APP_MAY_MORE.get(table, set()), table

    def test_the_ingest_role_has_what_append_needs_and_nothing_else(self, database: str) -> None:
        with session(database) as admin:
            for table in self._tables(admin, partitions=False):
                assert self._rights(admin, "cockpit_ingest", table) == INGEST_MAY.get(table, set()), table

    def test_nobody_has_any_right_on_a_partition_which_has_no_policy_of_its_own(self, database: str) -> None:
        with session(database) as admin:
            partitions = self._tables(admin, partitions=True)
            assert len(partitions) >= 40
            for table in partitions:
                for role in ("cockpit_app", "cockpit_ingest"):
                    assert self._rights(admin, role, table) == set(), (role, table)

    def test_none_is_to_the_public_on_a_column_or_by_default(self, database: str) -> None:
        with session(database) as admin:
            public = admin.execute(
                "SELECT relname FROM pg_class, aclexplode(relacl) g "
                "WHERE relnamespace = 'public'::regnamespace AND g.grantee = 0"
            )
            assert public.fetchall() == []
            columns = admin.execute(
                "SELECT attrelid::regclass FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
                "WHERE attacl IS NOT NULL AND c.relnamespace = 'public'::regnamespace"
            )
            assert columns.fetchall() == []
            assert admin.execute("SELECT * FROM pg_default_acl").fetchall() == []

    def test_every_table_belongs_to_the_owner(self, database: str) -> None:
        with session(database) as admin:
            strangers = admin.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relowner <> 'cockpit_owner'::regrole"
            )
            assert strangers.fetchall() == []

    def test_the_sql_of_the_grants_takes_away_what_somebody_added(self, database: str) -> None:
        with session(database) as admin:
            admin.execute("GRANT UPDATE, TRUNCATE ON organizations_auditevent TO cockpit_app")
            admin.execute(grants_sql(["organizations_auditevent"], ingest=True))
            assert self._rights(admin, "cockpit_app", "organizations_auditevent") == {"SELECT", "INSERT"}

    def test_the_ingest_role_writes_past_the_policies_but_reads_no_inference(self, filled: str) -> None:
        with app(filled, OWN) as opened:
            opened.execute("SET LOCAL ROLE cockpit_ingest")
            for table in ("monitoring_inference", "monitoring_rollup_day", "organizations_apikey"):
                with pytest.raises(errors.InsufficientPrivilege), opened.transaction():
                    opened.execute(f"SELECT 1 FROM {table}")


class TestTheAuditTrail:
    @pytest.mark.parametrize("role", ["cockpit_app", "cockpit_owner", None])
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE organizations_auditevent SET actor = 'nobody'",
            "DELETE FROM organizations_auditevent",
            "TRUNCATE organizations_auditevent",
        ],
    )
    def test_is_rewritten_by_nobody(self, filled: str, role: str | None, statement: str) -> None:
        with session(filled, role, OWN) as opened, pytest.raises(errors.InsufficientPrivilege):
            opened.execute(statement)

    def test_takes_rows_of_the_entered_organization_alone(self, database: str) -> None:
        with Scope.of(OWN).enter():
            audit.record(organization=OWN, action="tried")
            assert AuditEvent.objects.filter(action="tried").count() == 1
            with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
                audit.record(organization=OTHER, action="tried")
        with Scope.of(OTHER).enter():
            assert not AuditEvent.objects.filter(action="tried").exists()


class TestTheCurrency:
    @staticmethod
    def _change(database: str, entered: str | None = OWN) -> None:
        with app(database, entered) as opened:
            opened.execute("UPDATE organizations_organization SET currency = 'EUR' WHERE slug = %s", [OWN])

    def test_changes_before_the_first_inference(self, database: str) -> None:
        self._change(database)

    @pytest.mark.parametrize("folded", [False, True])
    def test_stays_once_an_inference_is_stored(
        self, database: str, make_key: Callable[..., str], client: Client, folded: bool
    ) -> None:
        headers = {"authorization": f"Bearer {make_key(OWN)}"}
        client.post(INFERENCE, b'{"modelName":"m","durationMs":1}', content_type="application/json", headers=headers)
        if folded:
            current_store().fold()
        with pytest.raises(errors.CheckViolation, match="are stored in USD"):
            self._change(database)

    def test_stays_also_for_who_has_entered_nothing(self, filled: str) -> None:
        for entered in (None, "", OTHER):
            with pytest.raises(errors.CheckViolation):
                self._change(filled, entered)

    def test_leaves_every_other_field_free(self, filled: str) -> None:
        with app(filled, OWN) as opened:
            changed = opened.execute(
                "UPDATE organizations_organization SET name = 'New', currency = currency WHERE slug = %s", [OWN]
            )
            assert changed.rowcount == 1


def seen() -> set[str]:
    return set(Membership.objects.values_list("organization_id", flat=True))


def fail_after(held: bool) -> None:
    assert held
    raise RuntimeError


class TestScope:
    """The setting lives exactly as long as the block that entered it."""

    def test_nothing_is_left_behind_in_the_connection(self, filled: str) -> None:
        with Scope.of(OWN).enter():
            assert seen() == {OWN}
        assert seen() == set()
        with pytest.raises(RuntimeError), Scope.of(OWN).enter():
            fail_after(seen() == {OWN})
        assert seen() == set()

    def test_nothing_is_left_behind_in_a_transaction_that_goes_on(self, filled: str) -> None:
        with transaction.atomic():
            assert seen() == set()
            with Scope.of(OWN).enter():
                assert seen() == {OWN}
            assert seen() == set()
            with pytest.raises(RuntimeError), Scope.of(OTHER).enter():
                fail_after(seen() == {OTHER})
            assert seen() == set()

    def test_an_inner_one_narrows_or_widens_and_the_outer_one_comes_back(self, filled: str) -> None:
        with Scope.system("test").enter():
            with Scope.of(OWN).enter():
                assert seen() == {OWN}
                with Scope.of(OTHER).enter():
                    assert seen() == {OTHER}
                assert seen() == {OWN}
                with pytest.raises(RuntimeError), Scope.of(OTHER).enter():
                    raise RuntimeError
                assert seen() == {OWN}
            assert seen() == {OWN, OTHER}

    def test_an_error_in_the_first_statement_leaves_the_scope_entered(self, filled: str) -> None:
        with Scope.of(OWN).enter():
            with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT nothing_of_that_name")
            assert seen() == {OWN}

    def test_an_empty_one_and_one_nobody_has_see_nothing(self, filled: str) -> None:
        for scope in (Scope.of(), Scope.of("nobody")):
            with scope.enter():
                assert seen() == set()

    def test_it_holds_for_executemany_and_named_cursors(self, filled: str) -> None:
        with Scope.of(OWN).enter():
            assert {one.organization_id for one in list(Membership.objects.iterator(chunk_size=1))} == {OWN}
        with Scope.of(OWN).enter(), connection.cursor() as cursor:
            cursor.executemany("UPDATE organizations_membership SET role = %s", [["analyst"], ["owner"]])
            assert cursor.rowcount == 2  # of two organizations' rows, one's twice
        with Scope.system("test").enter():
            assert seen() == {OWN, OTHER}

    @pytest.mark.parametrize("slug", ["", "a,b", "A", "a'b", "a b", "ａ", "a\n", "a" * 51, "1a"])
    def test_it_takes_slugs_alone(self, slug: str) -> None:
        with pytest.raises(ValueError, match="slug"):
            Scope.of(slug)

    def test_the_system_scope_sees_organizations_of_its_own_time(self, filled: str) -> None:
        Organization.objects.create(slug="newcomer", name="Newcomer")
        with Scope.system("test").enter():
            audit.record(organization="newcomer", action="tried")
            found = AuditEvent.objects.filter(action="tried").values_list("organization_id", "at")
            assert [(slug, at <= datetime.now(UTC)) for slug, at in found] == [("newcomer", True)]


def test_no_name_in_the_checks_here_is_out_of_date(database: str) -> None:
    with session(database) as admin:
        there = {name for (name,) in admin.execute("SELECT relname FROM pg_class")}
        assert {*INGEST_MAY, *APP_MAY_LESS, *APP_MAY_MORE, *UNIQUE_WITHOUT_ORGANIZATION} <= there
