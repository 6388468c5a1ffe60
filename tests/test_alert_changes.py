"""News of the cockpit itself: each change of settings or version is told once, by whom and from what to what."""

import re
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client

from alerts import changes, tending
from alerts.changes import Ourselves
from alerts.models import Alert, AlertEvent
from cockpit.env import Env
from cockpit.management.commands import migrate
from cockpit.ourselves import LEFT_OUT, SECRETS, ourselves
from organizations import audit
from organizations.models import AuditEvent, Organization, User
from organizations.scope import Scope
from tests.documents import code, table

OWN, OTHER = "swaggystacks", "scientia_capital"
EVERYONE = Scope.system("test")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ADA = audit.Origin(actor_kind="user", actor_id="1", actor="ada", address="127.0.0.1")


def found() -> list[Alert]:
    with EVERYONE.enter():
        return list(Alert.objects.order_by("first_seen_at", "id"))


def changed(
    organization: str = OWN, /, action: str = "changed", object_type: str = "organization", **what: Any
) -> None:
    with Scope.of(organization).enter():
        audit.record(organization=organization, action=action, object_type=object_type, object_id=organization,
                     object_text=organization.title(), changes=what or {"raw_days": ["30", "7"]}, by=ADA)  # fmt: skip


@pytest.fixture
def unseen(database: str) -> None:
    """As before the very first start: the migration that made this database has looked already."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM alerts_known")


@pytest.mark.usefixtures("unseen")
class TestAudited:
    def look(self, now: datetime) -> int:
        return changes.tell_of_audited(now)

    def test_the_past_is_no_news_at_the_first_look(self, now: datetime) -> None:
        changed()
        assert self.look(now) == 0
        assert self.look(now) == 0
        assert found() == []

    def test_a_change_is_told_once_in_its_organization(self, now: datetime) -> None:
        self.look(now)
        changed(OWN, raw_days=["30", "7"], timezone=["", "Asia/Tokyo"])
        assert self.look(now) == 1
        [alert] = found()
        assert (alert.organization_id, alert.alert_type, alert.severity) == (OWN, "settings_changed", "info")
        assert alert.message == "ada changed Swaggystacks: raw_days: 30 → 7, timezone: nothing → Asia/Tokyo"
        assert alert.metadata["changes"] == {"raw_days": ["30", "7"], "timezone": ["", "Asia/Tokyo"]}
        assert alert.metadata["by"] == "ada"
        assert self.look(now) == self.look(now + MINUTE) == self.look(now + DAY) == 0

    def test_each_change_is_an_alert_of_its_own(self, now: datetime) -> None:
        self.look(now)
        for days in ("7", "8", "8"):
            changed(raw_days=["30", days])
        changed(OTHER)
        assert self.look(now) == 4
        changed()
        assert self.look(now) == 1
        assert [one.organization_id for one in found()].count(OWN) == 4
        assert {one.count for one in found()} == {1}

    def test_it_ends_by_itself_after_a_day(self, now: datetime) -> None:
        self.look(now)
        changed()
        self.look(now)
        assert tending.run_out(now + DAY - MINUTE) == 0
        assert tending.run_out(now + DAY) == 1

    def test_only_changes_of_what_is_configured_are_told(self, now: datetime) -> None:
        self.look(now)
        changed(action="created")
        changed(object_type="alert")
        changed(object_type="membership")
        with Scope.of(OWN).enter():
            audit.record(
                organization=OWN, action="changed", object_type="organization", object_id=OWN
            )  # saved as it was
        assert self.look(now) == 0

    def test_secrets_are_masked_as_in_the_trail(self, now: datetime) -> None:
        self.look(now)
        changed(webhook_secret=["hunter2hunter2", "hunter3hunter3"], url=["", "https://ada:hunter2@example.org/x"])
        self.look(now)
        [alert] = found()
        assert "hunter" not in f"{alert.message} {alert.metadata}"
        assert "webhook_secret" in alert.message

    def test_a_message_stays_within_its_limit(self, now: datetime) -> None:
        self.look(now)
        changed(**{f"field_{n}": ["x" * 200, "y" * 200] for n in range(50)})
        self.look(now)
        [alert] = found()
        assert len(alert.message) == 2000
        assert len(alert.metadata["changes"]) == 30

    def test_a_row_that_is_committed_after_a_later_one_is_not_missed(self, now: datetime) -> None:
        self.look(now)
        begun, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            try:
                with transaction.atomic():
                    changed(OWN, a=["1", "2"])
                    begun.set()
                    go_on.wait(10)
            finally:
                connections.close_all()

        thread = threading.Thread(target=slow)
        thread.start()
        begun.wait(10)
        changed(OWN, b=["1", "2"])
        assert self.look(now) == 1
        go_on.set()
        thread.join()
        assert self.look(now + MINUTE) == 1
        assert {next(iter(alert.metadata["changes"])) for alert in found()} == {"a", "b"}
        assert self.look(now + 10 * MINUTE) == self.look(now + 20 * MINUTE) == 0

    def test_what_has_settled_is_left_behind(self, now: datetime) -> None:
        self.look(now)
        for _ in range(3):
            changed()
        self.look(now)
        assert len(self.known()["above"]) == 3
        self.look(now + 10 * MINUTE)
        with EVERYONE.enter():
            newest = AuditEvent.objects.filter(object_type="organization").latest("id").pk
        assert self.known() == {"until": newest, "above": []}

    @staticmethod
    def known() -> Any:
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT value FROM alerts_known WHERE name = 'audited'")
            return changes.msgspec.json.decode(cursor.fetchone()[0])

    def test_many_who_look_at_once_tell_it_once(self, now: datetime) -> None:
        self.look(now)
        for _ in range(5):
            changed()
        told: list[int] = []

        def look() -> None:
            try:
                told.append(self.look(now))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(told) == len(found()) == 5

    def test_what_cannot_be_told_is_told_next_time(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.look(now)
        changed()

        def broken(*_: Any) -> None:
            raise RuntimeError("broken")

        with monkeypatch.context() as patch:
            patch.setattr(changes, "_remember", broken)
            with pytest.raises(RuntimeError):
                self.look(now)
        assert found() == []
        assert self.look(now) == 1

    def test_a_long_trail_of_other_things_is_not_read(self, now: datetime) -> None:
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO organizations_auditevent (organization_id, actor_kind, actor_id, actor, action, "
                "object_type, object_id, object_text, changes, user_agent, request_id) "
                "SELECT %s, 'system', '', 'system', 'fired', 'alert', n::text, '', '{}', '', '' "
                "FROM generate_series(1, 30000) AS n",
                [OWN],
            )
        changed()
        with connections["owner"].cursor() as cursor:
            cursor.execute("ANALYZE organizations_auditevent")
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, TIMING OFF) " + changes._ROWS, [list(changes.TOLD_TYPES), 0])
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "audit_by_object" in plan
        assert "Seq Scan on organizations_auditevent" not in plan

    def test_a_change_in_the_admin_is_told(self, now: datetime, make_person: Callable[..., User]) -> None:
        self.look(now)
        client = Client()
        client.force_login(make_person("root", administrator=True))
        own = Organization.objects.get(slug=OWN)
        shown = (
            "name",
            "audience",
            "theme",
            "timezone",
            "currency",
            "raw_days",
            "minute_days",
            "hour_days",
            "max_names",
        )
        form = {name: str(getattr(own, name)) for name in shown}
        answer = client.post(f"/admin/organizations/organization/{OWN}/change/", {**form, "minute_days": "45"})
        assert answer.status_code == 302, answer.content.decode()
        assert self.look(now) == 1
        [alert] = found()
        assert alert.message == f"root changed {own.name}: minute_days: 90 → 45"


US = Ourselves(
    version="1.0", settings={"PORT": "3001", "HOST": "127.0.0.1"}, secrets={"SECRET_KEY": ":a", "DATABASE_URL": "k:a"}
)


@pytest.mark.usefixtures("unseen")
class TestOurselves:
    def look(self, now: datetime, **changed: Any) -> list[tuple[str, str]]:
        """Type and words of what a look tells."""
        before = {alert.pk for alert in found()}
        merged = {name: {**getattr(US, name), **value} if isinstance(value, dict) else value
                  for name, value in changed.items()}  # fmt: skip
        changes.tell_of_ourselves(changes.msgspec.structs.replace(US, **merged), now)
        new = [alert for alert in found() if alert.pk not in before]
        assert {(alert.organization_id, alert.severity, alert.ends_at - alert.first_seen_at) for alert in new} <= {
            ("shared", "info", DAY)
        }
        return [(alert.alert_type, alert.message) for alert in new]

    @pytest.fixture(autouse=True)
    def first(self, unseen: None, now: datetime) -> None:
        assert self.look(now) == []  # nothing on the very first start

    def test_nothing_changed_is_no_news(self, now: datetime) -> None:
        assert self.look(now) == self.look(now + DAY) == []

    def test_another_version(self, now: datetime) -> None:
        assert self.look(now, version="1.1") == [
            ("version_changed", "The cockpit runs version 1.1; before it was 1.0.")
        ]
        assert self.look(now, version="1.1") == []

    def test_other_settings_are_one_alert_that_names_them(self, now: datetime) -> None:
        told = self.look(now, settings={"PORT": "80"}, secrets={"DATABASE_URL": "k:b"})
        assert told == [("settings_changed", "Settings of the cockpit: PORT: 3001 → 80, DATABASE_URL changed")]
        assert self.look(now + MINUTE) == [
            ("settings_changed", "Settings of the cockpit: PORT: 80 → 3001, DATABASE_URL changed")
        ]

    def test_settings_that_come_or_go_with_a_version_are_none_of_it(self, now: datetime) -> None:
        assert self.look(now, settings={"NEW": "x"}, secrets={"NEW_SECRET": "k:x"}) == []

    def test_another_key_tells_of_itself_alone(self, now: datetime) -> None:
        told = self.look(now, secrets={"SECRET_KEY": ":b", "DATABASE_URL": "other:b"})
        assert told == [("settings_changed", "Settings of the cockpit: SECRET_KEY changed")]


@pytest.mark.usefixtures("unseen")
class TestTheProcess:
    ENV: Env = settings.ENV

    def test_every_setting_is_compared_or_left_out_for_a_reason(self) -> None:
        names = {field.name for field in fields(Env)}
        assert names >= SECRETS | LEFT_OUT
        documented = {code(row[0])[0] for heading in ("General", "Secrets", "Database and cache", "Web", "Notices")
                      for row in table("reference/settings.md", heading)}  # fmt: skip
        told = ourselves(self.ENV)
        assert documented - {"NODE_ENV"} - {name.upper() for name in LEFT_OUT} <= {*told.settings, *told.secrets}

    def test_every_secret_is_one(self) -> None:
        secret = {code(row[0])[0] for heading in ("Secrets", "Database and cache", "Notices")
                  for row in table("reference/settings.md", heading) if "*file*" in row[2]}  # fmt: skip
        assert secret - {"ADMIN_PASSWORD"} == {name.upper() for name in SECRETS}

    def test_no_secret_leaves_the_process(self) -> None:
        env = replace(
            self.ENV, tracing_endpoint="http://ada:hunter2hunter2@trace.example:4317", admin_password="hunter2-x"
        )
        told = str(ourselves(env))
        assert "hunter" not in told
        assert env.secret_key not in told
        assert not [one for one in env.key_pepper if one in told]
        assert all(re.fullmatch(r"([0-9a-f]{16})?:[0-9a-f]{16}", mark) for mark in ourselves(env).secrets.values())

    def test_marks_differ_with_what_they_stand_for(self) -> None:
        env, other = self.ENV, replace(self.ENV, key_pepper=("another",))
        here, there = ourselves(env).secrets, ourselves(other).secrets
        assert {name for name in here if here[name] != there[name]} == {"KEY_PEPPER"}
        again = ourselves(replace(env, secret_key="another")).secrets
        assert all(here[name] != again[name] for name in here)
        assert [name for name in here if changes._differ(here[name], again[name])] == ["SECRET_KEY"]

    def test_the_way_of_starting_it_makes_no_difference(self) -> None:
        """`up` tells its children where the servers are that they would have found by themselves."""
        told = ourselves(self.ENV)
        child = replace(
            self.ENV, database_url="postgresql://the/same", redis_url=None, log_level="warning", log_format="json"
        )
        assert ourselves(child) == told

    def test_migrations_look_and_then_tell(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        call_command("migrate", verbosity=0)
        assert found() == []
        changed()
        monkeypatch.setattr(migrate, "ourselves", lambda env: replace_version(env))
        call_command("migrate", verbosity=0)
        assert sorted((one.organization_id, one.alert_type) for one in found()) == [
            ("shared", "version_changed"), (OWN, "settings_changed"),
        ]  # fmt: skip
        with EVERYONE.enter():
            assert set(AlertEvent.objects.values_list("actor", "via")) == {("system", "system")}

    def test_migrations_do_not_fail_for_what_cannot_be_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any) -> None:
            raise DatabaseError("away")

        monkeypatch.setattr(changes, "tell_of_ourselves", away)
        call_command("migrate", verbosity=0)
        assert found() == []


def replace_version(env: Env) -> Ourselves:
    return changes.msgspec.structs.replace(ourselves(env), version="99")
