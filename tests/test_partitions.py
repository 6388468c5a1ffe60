"""prepare and expire: a partition a day ahead, nothing kept longer than retention says, and nobody but the owner."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connection, connections, transaction
from django.test import Client

from bedrock import identifiers
from monitoring.store import partitions, retention
from monitoring.store.base import PartitionMissing, Query, Stored
from monitoring.store.postgres import PostgresStore
from monitoring.store.samples import Increment, Sample, Trace
from organizations.models import Organization
from organizations.scope import Scope
from tests.conftest import url_of
from tests.memory_store import inference

SWAGGY, SCIENTIA = "swaggystacks", "scientia_capital"
EVERYONE = Scope.system("test")
SAMPLE = "monitoring_sample"
DAY = timedelta(days=1)


def days_of(name: str, table: str = "monitoring_inference") -> set[date]:
    """The days that have a partition, by the bounds Postgres holds and not by name."""
    found = set()
    with psycopg.connect(url_of(name)) as admin:
        bounds = admin.execute(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid IN "
            "(SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass)",
            [table],
        ).fetchall()
    for (bound,) in bounds:
        first, last = (datetime.fromisoformat(text) for text in bound.split("'")[1::2])
        assert last - first == DAY
        assert first.astimezone(UTC).time() == datetime.min.time()
        found.add(first.astimezone(UTC).date())
    return found


def drop(day: date, table: str = "monitoring_inference") -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}_{day:%Y%m%d}")


def configure(organization: str, **days: int) -> None:
    Organization.objects.filter(slug=organization).update(**days)
    retention.forget()


def configure_all(**changes: Any) -> None:
    Organization.objects.update(**changes)
    retention.forget()


def days(first: date, last: date) -> set[date]:
    return {first + number * DAY for number in range((last - first).days + 1)}


def today(now: datetime) -> date:
    return now.astimezone(UTC).date()


def restore(database: str, now: datetime) -> None:
    """Partitions and retention as migrate leaves them."""
    configure_all(raw_days=30, minute_days=90, hour_days=730, minutes_since=None, hours_since=None)
    for day in days_of(database) - days(today(now - 30 * DAY), today(now + 14 * DAY)):
        drop(day)
    for day in days_of(database, SAMPLE) - days(today(now - 2 * DAY), today(now + 14 * DAY)):
        drop(day, SAMPLE)
    partitions.prepare(now=now)


@pytest.fixture
def prepared(database: str, now: datetime) -> Iterator[None]:
    """The days have their partitions, for the test and for those that come after it."""
    restore(database, now)
    yield
    restore(database, now)


@pytest.fixture
def store(prepared: None) -> PostgresStore:
    return PostgresStore()


def put(store: PostgresStore, at: datetime, organization: str = SWAGGY, **changes: Any) -> Stored:
    row = inference(at, organization=organization, **changes)
    return store.append(EVERYONE, [row], now=datetime.now(UTC))[0]


def counted(database: str, table: str, organization: str | None = None, condition: str = "true") -> int:
    """What is really there, as the administrator sees it past every policy."""
    where = f"{condition} AND organization_id = '{organization}'" if organization else condition
    with psycopg.connect(url_of(database)) as admin:
        row = admin.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


class TestPrepare:
    def test_it_covers_the_longest_retention_and_the_fortnight_ahead(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        for day in days_of(database):
            drop(day)
        store.prepare(now=now)
        assert days_of(database) == days(today(now - 30 * DAY), today(now + 14 * DAY))

    def test_it_takes_rows_at_both_ends(self, store: PostgresStore, now: datetime) -> None:
        """Down to the last millisecond that raw retention keeps, and up to the last of the fortnight."""
        edge = now - 30 * DAY + timedelta(seconds=20)
        last = datetime.combine(today(now) + 15 * DAY, datetime.min.time(), UTC) - timedelta(milliseconds=1)
        put(store, edge)
        put(store, last)
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM monitoring_inference")
            assert cursor.fetchone() == (2,)

    def test_it_follows_the_longest_retention_of_any_organization(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        configure(SCIENTIA, raw_days=45)
        store.prepare(now=now)
        assert days_of(database) == days(today(now - 45 * DAY), today(now + 14 * DAY))
        retention.forget()  # each process looks again after a few seconds
        put(store, now - 44 * DAY, SCIENTIA)
        assert counted(database, "monitoring_inference") == 1

    def test_it_changes_nothing_the_second_time(self, store: PostgresStore, database: str, now: datetime) -> None:
        put(store, now)
        oids = self.oids(database)
        store.prepare(now=now)
        assert self.oids(database) == oids
        assert counted(database, "monitoring_inference") == 1

    @staticmethod
    def oids(database: str) -> list[Any]:
        with psycopg.connect(url_of(database)) as admin:
            return admin.execute(
                "SELECT inhrelid FROM pg_inherits WHERE inhparent = 'monitoring_inference'::regclass ORDER BY 1"
            ).fetchall()

    def test_it_makes_only_the_days_that_are_missing(self, store: PostgresStore, database: str, now: datetime) -> None:
        put(store, now)
        before = days_of(database)
        drop(today(now - 3 * DAY))
        drop(today(now + 7 * DAY))
        store.prepare(now=now)
        assert days_of(database) == before
        assert counted(database, "monitoring_inference") == 1

    def test_it_moves_on_with_the_days(self, store: PostgresStore, database: str, now: datetime) -> None:
        store.prepare(now=now + 5 * DAY)
        assert max(days_of(database)) == today(now + 19 * DAY)


class TestMissing:
    @pytest.mark.parametrize("ingest_role", [True, False])
    def test_it_stores_nothing_and_says_so(
        self, store: PostgresStore, database: str, now: datetime, ingest_role: bool
    ) -> None:
        store._appender._has_ingest_role = ingest_role
        drop(today(now - 3 * DAY))
        rows = [inference(now), inference(now - 3 * DAY, key=b"k" * 16, content=b"c" * 16)]
        with pytest.raises(PartitionMissing):
            store.append(EVERYONE, rows, now=now)
        for table in ("inference", "rollup_delta", "idempotency_key", "seen_name"):
            assert counted(database, f"monitoring_{table}") == 0
        store.prepare(now=now)
        assert [stored.outcome for stored in store.append(EVERYONE, rows, now=now)] == ["stored", "stored"]

    def test_it_is_not_what_another_broken_check_is_taken_for(self, store: PostgresStore, now: datetime) -> None:
        """An id that does not carry its row's time is a fault of ours, and no reason to try again."""
        lying = patch("monitoring.store.rows.new_ids", lambda rows: [str(identifiers.uuid7(0)) for _ in rows])
        with lying, pytest.raises(psycopg.errors.CheckViolation):
            put(store, now)

    def test_it_leaves_other_days_alone(self, store: PostgresStore, now: datetime) -> None:
        drop(today(now - 3 * DAY))
        assert put(store, now - 2 * DAY).outcome == "stored"

    def test_it_needs_no_partition_for_what_counts_in_totals_only(self, store: PostgresStore, now: datetime) -> None:
        assert put(store, now - 100 * DAY).outcome == "stored"

    def test_it_is_503_and_try_again_over_http(
        self, store: PostgresStore, client: Client, make_key: Callable[..., str], database: str, now: datetime
    ) -> None:
        drop(today(now - 3 * DAY))
        headers = {"authorization": f"Bearer {make_key()}"}
        body = {"modelName": "m", "durationMs": 1, "occurredAt": (now - 3 * DAY).isoformat()}

        def post() -> Any:
            return client.post(
                "/api/monitoring/dashboard/inference", body, content_type="application/json", headers=headers
            )

        response = post()
        assert response.status_code == 503
        assert response["Content-Type"] == "application/problem+json"
        assert int(response["Retry-After"]) > 0
        assert b"monitoring_" not in response.content
        assert counted(database, "monitoring_rollup_delta") == 0
        store.prepare(now=now)
        assert post().status_code == 201


class TestExpire:
    def test_it_drops_whole_days_past_the_longest_retention(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        configure(SCIENTIA, raw_days=60)
        store.prepare(now=now)
        put(store, now - 50 * DAY, SCIENTIA)
        put(store, now - 10 * DAY, SCIENTIA)
        store.expire(now=now)
        assert min(days_of(database)) == today(now - 60 * DAY)
        configure(SCIENTIA, raw_days=30)
        store.expire(now=now)
        # The day that the retention ends in, and one more, so that nobody's last hours go with it.
        assert min(days_of(database)) == today(now - 31 * DAY)
        assert max(days_of(database)) == today(now + 14 * DAY)
        assert counted(database, "monitoring_inference") == 1

    def test_it_deletes_what_is_older_than_an_organizations_own_retention(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        for organization in (SWAGGY, SCIENTIA):
            for age in (1, 6, 8, 20):
                put(store, now - age * DAY, organization)
        configure(SWAGGY, raw_days=7)
        store.expire(now=now)
        assert counted(database, "monitoring_inference", SWAGGY) == 2
        assert counted(database, "monitoring_inference", SCIENTIA) == 4
        assert self.total(store, SWAGGY, now) == self.total(store, SCIENTIA, now) == 4

    def test_it_deletes_in_batches_until_nothing_is_left(
        self, store: PostgresStore, database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partitions, "_BATCH", 7)
        store.append(EVERYONE, [inference(now - 10 * DAY) for _ in range(21)], now=now)
        put(store, now)
        configure(SWAGGY, raw_days=7)
        store.expire(now=now)
        assert counted(database, "monitoring_inference") == 1

    def test_it_deletes_minute_and_hour_rollups_and_keeps_days(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        ages = (5, 15, 50, 120, 800)
        for organization in (SWAGGY, SCIENTIA):
            for age in ages:
                put(store, now - age * DAY, organization)
        store.fold()
        configure(SWAGGY, minute_days=10, hour_days=100)
        store.expire(now=now)
        kept = {
            (organization, grain): counted(database, f"monitoring_rollup_{grain}", organization)
            for organization in (SWAGGY, SCIENTIA)
            for grain in ("minute", "hour", "day")
        }
        assert kept == {
            (SWAGGY, "minute"): 1, (SWAGGY, "hour"): 3, (SWAGGY, "day"): 5,
            (SCIENTIA, "minute"): 3, (SCIENTIA, "hour"): 4, (SCIENTIA, "day"): 5,
        }  # fmt: skip
        assert self.total(store, SWAGGY, now) == self.total(store, SCIENTIA, now) == len(ages)

    def test_it_widens_a_window_to_what_is_still_kept(self, store: PostgresStore, now: datetime) -> None:
        """Before minute retention a window reaches to its whole hours, before hour retention to its whole days."""
        noon = datetime.combine(today(now), datetime.min.time(), UTC) + timedelta(hours=12)
        in_hours, in_days = noon - 50 * DAY, noon - 200 * DAY
        for moment in (in_hours, in_days):
            put(store, moment + timedelta(minutes=5))
            put(store, moment + timedelta(minutes=40))
            put(store, moment + timedelta(hours=3))
        store.fold()
        configure(SWAGGY, minute_days=10, hour_days=100)
        store.expire(now=now)

        def between(start: datetime, end: datetime) -> int:
            groups = store.totals(Scope.of(SWAGGY), [Query(start=start, end=end)])[0]
            return groups[()].inferences if groups else 0

        minutes = timedelta(minutes=1)
        assert between(in_hours + 10 * minutes, in_hours + 20 * minutes) == 2
        assert between(in_hours + 70 * minutes, in_hours + 80 * minutes) == 0
        assert between(in_days + 70 * minutes, in_days + 80 * minutes) == 3

    def test_it_forgets_idempotency_keys_after_eight_days(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        for place, age in enumerate((1, 7, 9, 30)):
            put(store, now, key=bytes([place]) * 16, content=b"c" * 16)
            with psycopg.connect(url_of(database)) as admin:
                admin.execute(
                    "UPDATE monitoring_idempotency_key SET created_at = %s WHERE key = %s",
                    [now - age * DAY, bytes([place]) * 16],
                )
        store.expire(now=now)
        assert counted(database, "monitoring_idempotency_key") == 2
        outcomes = [put(store, now, key=bytes([place]) * 16, content=b"c" * 16).outcome for place in range(4)]
        assert outcomes == ["duplicate", "duplicate", "stored", "stored"]

    def test_it_does_not_take_an_inference_for_stored_whose_key_expires_meanwhile(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        """Gone between the two looks at it: the sender hears of a fault, tries again, and the row is there."""
        row = inference(now, key=b"k" * 16, content=b"c" * 16)
        store.append(EVERYONE, [row], now=now)

        def expire_between(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            if "INSERT INTO monitoring_idempotency_key" in sql:
                with psycopg.connect(url_of(database)) as admin:
                    admin.execute("DELETE FROM monitoring_idempotency_key")
            return result

        with connection.execute_wrapper(expire_between), pytest.raises(OperationalError):
            store.append(EVERYONE, [row], now=now)
        assert [stored.outcome for stored in store.append(EVERYONE, [row], now=now)] == ["stored"]
        assert counted(database, "monitoring_inference") == 2

    def test_it_misses_nothing_when_retention_grows_longer_again(self, store: PostgresStore, now: datetime) -> None:
        """Minutes and hours that are deleted already are not looked for: the hours and days that are left answer."""
        noon = datetime.combine(today(now), datetime.min.time(), UTC) + timedelta(hours=12)
        moments = [noon - age * DAY for age in (5, 50, 200)]
        for moment in moments:
            put(store, moment)
        store.fold()
        configure(SWAGGY, minute_days=10, hour_days=100)
        store.expire(now=now)
        configure(SWAGGY, minute_days=365, hour_days=3650)
        for moment in moments:
            window = Query(start=moment - timedelta(minutes=30), end=moment + timedelta(minutes=30))
            assert store.totals(Scope.of(SWAGGY), [window])[0][()].inferences == 1
        assert self.total(store, SWAGGY, now) == 3

    def test_it_takes_rows_of_days_that_are_gone_into_totals_when_retention_grows_longer(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        configure_all(raw_days=45)
        assert put(store, now - 40 * DAY).outcome == "stored"
        assert counted(database, "monitoring_inference") == 0
        store.prepare(now=now)
        retention.forget()
        put(store, now - 40 * DAY)
        assert counted(database, "monitoring_inference") == 1
        assert self.total(store, SWAGGY, now) == 2

    def test_it_hides_rows_at_once_and_deletes_them_later(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        put(store, now - 10 * DAY, model="old")
        put(store, now - DAY, model="new")
        configure(SWAGGY, raw_days=7)
        calls = store.latest(Scope.of(SWAGGY), SWAGGY, limit=9)
        assert [call.model_name for call in calls] == ["new"]
        assert counted(database, "monitoring_inference") == 2
        store.expire(now=now)
        assert counted(database, "monitoring_inference") == 1

    def test_it_changes_nothing_the_second_time(self, store: PostgresStore, database: str, now: datetime) -> None:
        put(store, now - 20 * DAY, key=b"k" * 16, content=b"c" * 16)
        store.fold()
        store.expire(now=now)
        first = days_of(database)
        store.expire(now=now)
        assert days_of(database) == first
        for table in ("inference", "rollup_minute", "rollup_hour", "rollup_day", "idempotency_key", "seen_name"):
            assert counted(database, f"monitoring_{table}") > 0

    def test_sums_are_kept_as_long_as_rollups(self, store: PostgresStore, database: str, now: datetime) -> None:
        for age in (0, 100, 800):
            put(store, now - age * DAY)
        store.fold()
        store.expire(now=now)
        for grain, kept in (("minute", 1), ("hour", 2), ("day", 3)):
            assert counted(database, f"monitoring_rollup_{grain}") == kept
            assert counted(database, f"monitoring_sum_{grain}") == kept

    @staticmethod
    def total(store: PostgresStore, organization: str, now: datetime) -> int:
        whole = Query(start=(now - 1000 * DAY).replace(second=0, microsecond=0), end=_next_minute(now))
        return store.totals(Scope.of(organization), [whole])[0][()].inferences


def _next_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + timedelta(minutes=2)


def observe(store: PostgresStore, *moments: datetime, organization: str = SWAGGY, family: str = "cockpit_a") -> None:
    samples = [
        Sample(organization=organization, family=family, labels=(), at_ms=identifiers.milliseconds(moment), value=1.0)
        for moment in moments
    ]
    store.observe(EVERYONE, samples, now=datetime.now(UTC))


class TestSamples:
    def test_they_have_partitions_of_two_days_and_the_fortnight_ahead(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        for day in days_of(database, SAMPLE):
            drop(day, SAMPLE)
        store.prepare(now=now)
        assert days_of(database, SAMPLE) == days(today(now - 2 * DAY), today(now + 14 * DAY))
        observe(store, now - 2 * DAY + timedelta(seconds=20), now + 14 * DAY)
        assert counted(database, SAMPLE) == 2

    def test_without_a_partition_nothing_of_a_batch_is_kept(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        drop(today(now - DAY), SAMPLE)
        with pytest.raises(PartitionMissing):
            observe(store, now, now - DAY)
        for table in ("series", "sample", "sample_minute", "sample_hour"):
            assert counted(database, f"monitoring_{table}") == 0
        store.prepare(now=now)
        observe(store, now, now - DAY)
        assert counted(database, SAMPLE) == 2

    def test_old_ones_need_no_partition(self, store: PostgresStore, database: str, now: datetime) -> None:
        observe(store, now - 3 * DAY, now - 80 * DAY, now - 100 * DAY, now - 800 * DAY)
        assert counted(database, SAMPLE) == 0
        # Minutes and hours only as far back as the organization keeps them.
        assert [counted(database, f"{SAMPLE}_{grain}") for grain in ("minute", "hour")] == [2, 3]

    def test_those_of_days_that_are_gone_need_none_either(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        """A batch that waited long, or a clock that is behind."""
        old = Sample(
            organization=SWAGGY, family="cockpit_a", labels=(), at_ms=identifiers.milliseconds(now - 5 * DAY), value=1.0
        )
        store.observe(EVERYONE, [old], now=now - 5 * DAY)
        assert (counted(database, SAMPLE), counted(database, f"{SAMPLE}_minute")) == (0, 1)

    def test_days_past_the_two_and_one_more_are_dropped(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        observe(store, now - DAY, now)
        store.expire(now=now + 3 * DAY)
        assert min(days_of(database, SAMPLE)) == today(now)
        assert counted(database, SAMPLE) == 1
        assert counted(database, f"{SAMPLE}_minute") == 2

    def test_minutes_and_hours_are_kept_as_the_organization_says(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        ages = (5, 15, 50, 120, 700)
        configure_all(minute_days=365, hour_days=800)
        for organization in (SWAGGY, SCIENTIA):
            observe(store, *(now - age * DAY for age in ages), organization=organization)
        configure(SWAGGY, minute_days=10, hour_days=100)
        store.expire(now=now)
        kept = {
            (organization, grain): counted(database, f"{SAMPLE}_{grain}", organization)
            for organization in (SWAGGY, SCIENTIA)
            for grain in ("minute", "hour")
        }
        assert kept == {(SWAGGY, "minute"): 1, (SWAGGY, "hour"): 3, (SCIENTIA, "minute"): 4, (SCIENTIA, "hour"): 5}

    def test_history_reaches_back_to_whole_hours_where_minutes_are_gone(
        self, store: PostgresStore, now: datetime
    ) -> None:
        noon = datetime.combine(today(now - 50 * DAY), datetime.min.time(), UTC) + timedelta(hours=12)
        minute = timedelta(minutes=1)
        observe(store, noon + 5 * minute, noon + 40 * minute, noon + 180 * minute)
        configure(SWAGGY, minute_days=10)
        store.expire(now=now)
        asked = [
            Trace(organization=SWAGGY, family="cockpit_a", start=noon + start * minute, end=noon + end * minute)
            for start, end in ((10, 20), (70, 80))
        ]
        found = store.history(EVERYONE, asked, step_seconds=60)
        assert [[(start, span.count) for start, span in answer.get((), ())] for answer in found] == [[(noon, 2)], []]

    def test_a_silent_series_goes_with_its_last_hour_and_a_counter_stays(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        configure(SWAGGY, hour_days=100)
        observe(store, now - 99 * DAY, family="cockpit_silent")
        observe(store, now - DAY, family="cockpit_recent")
        old = Increment(
            organization=SWAGGY, family="cockpit_x_total", labels=(), amount=7.0,
            at_ms=identifiers.milliseconds(now - 99 * DAY),
        )  # fmt: skip
        store.observe(EVERYONE, [], [old], now=now)
        store.expire(now=now + 2 * DAY)
        assert [level.family for level in store.levels(EVERYONE, since=now - 200 * DAY)] == ["cockpit_recent"]
        assert [level.value for level in store.counters(EVERYONE)] == [7.0]
        assert counted(database, f"{SAMPLE}_hour") == 1
        restored = store.history(EVERYONE, [Trace(organization=SWAGGY, family="cockpit_silent", start=now - 120 * DAY,
                                                  end=now)], step_seconds=3600)  # fmt: skip
        assert restored == [{}]


class TestOwner:
    def test_it_deletes_under_forced_policies_which_bind_the_owner_too(
        self, store: PostgresStore, database: str, now: datetime
    ) -> None:
        put(store, now - 10 * DAY)
        with connections["owner"].cursor() as cursor:
            cursor.execute(
                "SELECT rolname, rolsuper, rolbypassrls, relrowsecurity, relforcerowsecurity FROM pg_roles, pg_class "
                "WHERE rolname = current_user AND relname = 'monitoring_inference'"
            )
            assert cursor.fetchone() == ("cockpit_owner", False, False, True, True)
            cursor.execute("SELECT count(*) FROM monitoring_inference")
            assert cursor.fetchone() == (0,)
        configure(SWAGGY, raw_days=7)
        store.expire(now=now)
        assert counted(database, "monitoring_inference") == 0

    @pytest.mark.parametrize("verb", ["prepare", "expire"])
    def test_it_does_all_its_work_on_the_owners_connection(
        self, store: PostgresStore, now: datetime, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        """As the application neither works: it owns nothing."""
        monkeypatch.setattr(partitions, "_OWNER", "default")
        configure(SCIENTIA, raw_days=40)
        if verb == "expire":
            with monkeypatch.context() as owner:
                owner.setattr(partitions, "_OWNER", "owner")
                store.prepare(now=now)
            configure(SCIENTIA, raw_days=30)
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            getattr(store, verb)(now=now)

    @pytest.mark.parametrize(
        "statement",
        [
            "CREATE TABLE monitoring_inference_20990101 PARTITION OF monitoring_inference "
            "FOR VALUES FROM ('2099-01-01 00:00:00+00') TO ('2099-01-02 00:00:00+00')",
            "CREATE TABLE anything (id int)",
            "DROP TABLE {partition}",
            "TRUNCATE {partition}",
            "ALTER TABLE monitoring_inference DETACH PARTITION {partition}",
            "ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE monitoring_inference NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY scope ON monitoring_inference",
            "SELECT count(*) FROM {partition}",
            "INSERT INTO {partition} SELECT * FROM monitoring_inference",
            "DELETE FROM {partition}",
            "TRUNCATE monitoring_inference",
        ],
    )
    def test_it_gives_the_application_no_hand_on_partitions(
        self, store: PostgresStore, database: str, now: datetime, statement: str
    ) -> None:
        put(store, now)
        with (
            connection.cursor() as cursor,
            pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        ):
            cursor.execute(statement.format(partition=f"monitoring_inference_{today(now):%Y%m%d}"))
        assert counted(database, "monitoring_inference") == 1

    def test_it_lends_the_ingest_role_only_what_append_needs(self, store: PostgresStore, now: datetime) -> None:
        """The role that passes policies by may write, but not read or take away what it wrote."""
        put(store, now)
        statements = (
            "SELECT count(*) FROM monitoring_inference",
            "DELETE FROM monitoring_inference",
            "UPDATE monitoring_inference SET cost = 0",
            "SELECT * FROM monitoring_rollup_day",
        )
        for statement in statements:
            with EVERYONE.enter(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL ROLE cockpit_ingest")
                with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                    cursor.execute(statement)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == ("cockpit_app",)

    def test_it_goes_back_to_the_applications_role_also_in_a_transaction_that_goes_on(
        self, store: PostgresStore, now: datetime
    ) -> None:
        with transaction.atomic():
            put(store, now)
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_user, (SELECT count(*) FROM monitoring_inference)")
                assert cursor.fetchone() == ("cockpit_app", 0)
            with Scope.of(SWAGGY).enter(), connection.cursor() as cursor:
                cursor.execute("SELECT current_user, (SELECT count(*) FROM monitoring_inference)")
                assert cursor.fetchone() == ("cockpit_app", 1)
