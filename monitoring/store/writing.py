"""append: rows, keys and deltas of a batch in one transaction, by COPY."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.utils import IntegrityError, OperationalError
from psycopg import errors

from bedrock import identifiers
from monitoring.store import retention, rows, users
from monitoring.store.base import Inference, OutOfScope, PartitionMissing, Stored
from monitoring.store.names import SeenNames
from organizations.database_roles import INGEST
from organizations.scope import Scope


class Appender:
    """The store's one writer of inferences; keeps what it may remember between batches."""

    def __init__(self) -> None:
        self._names = SeenNames()
        self._has_ingest_role: bool | None = None

    def append(self, scope: Scope, inferences: Sequence[Inference], *, now: datetime) -> list[Stored]:
        for organization in {one.organization for one in inferences}:
            if organization not in scope:
                raise OutOfScope(organization)
        if not inferences:
            return []
        ids = rows.new_ids(inferences)
        inside = connection.in_atomic_block
        with scope.enter(), connection.cursor() as cursor, self._as_ingest(cursor, go_back=inside):
            results = self._claim_keys(cursor, ids, inferences)
            new = [position for position, result in enumerate(results) if result.outcome == "stored"]
            added = [inferences[place] for place in new]
            self._copy_rows(cursor, [ids[place] for place in new], added, now)
            users.remember(cursor, added, now=now)
            groups = rows.group(added)
            groups, names = self._names.cap(cursor, groups)
            self._copy(cursor, "monitoring_rollup_delta", rows.DELTA_COLUMNS, rows.delta_lines(groups))
        self._names.remember(names)
        return results

    @contextmanager
    def _as_ingest(self, cursor: Any, *, go_back: bool) -> Iterator[None]:
        """The role that COPY works for: Postgres refuses COPY FROM under row-level security.

        The rows were held against the scope above, which is why this role may pass the policies by. The end of the
        transaction takes the role away; a transaction of the caller's goes on, so there we `go_back` ourselves.
        """
        if self._has_ingest_role is None:
            cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s AND pg_has_role(oid, 'SET')", [INGEST])
            self._has_ingest_role = cursor.fetchone()[0] == 1
        if not self._has_ingest_role:
            yield
            return
        cursor.execute(f"SET LOCAL ROLE {INGEST}")
        yield
        if go_back:
            cursor.execute("SET LOCAL ROLE NONE")

    def _copy_rows(self, cursor: Any, ids: list[str], new: list[Inference], now: datetime) -> None:
        """Single rows, but only those that raw retention still keeps; older ones count in rollups alone."""
        oldest = {
            organization: identifiers.milliseconds(retention.single_rows_since(organization, now))
            for organization in {one.organization for one in new}
        }
        kept = [(key, one) for key, one in zip(ids, new, strict=True) if one.occurred_ms >= oldest[one.organization]]
        if not kept:
            return
        text = rows.inference_lines((key for key, _ in kept), (one for _, one in kept))
        try:
            self._copy(cursor, "monitoring_inference", rows.INFERENCE_COLUMNS, text)
        except (errors.CheckViolation, IntegrityError) as error:
            if says_no_partition(error):
                raise PartitionMissing("no partition for that day yet") from error
            raise

    def _copy(self, cursor: Any, table: str, columns: str, text: str) -> None:
        if not text:
            return
        target = table
        if not self._has_ingest_role:  # policies hold for INSERT ... SELECT, so a staging table goes between
            target = f"pg_temp.{table}_staging"
            cursor.execute(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {table}_staging ON COMMIT DELETE ROWS "
                f"AS SELECT {columns} FROM {table} WITH NO DATA"
            )
        with cursor.copy(f"COPY {target} ({columns}) FROM STDIN") as copy:
            copy.write(text)
        if target != table:
            cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {target}")
            cursor.execute(f"TRUNCATE {target}")

    def _claim_keys(self, cursor: Any, ids: list[str], inferences: Sequence[Inference]) -> list[Stored]:
        """Which inferences are new: those without a key, and the first of each key; sorted, so that writers queue."""
        results = [Stored(identifier, "stored") for identifier in ids]
        first: dict[tuple[str, bytes], int] = {}
        for position, one in enumerate(inferences):
            if one.key is not None:
                first.setdefault((one.organization, one.key), position)
        if not first:
            return results
        claims = sorted(first)
        columns = (
            [organization for organization, _ in claims],
            [key for _, key in claims],
            [inferences[first[claim]].content for claim in claims],
            [ids[first[claim]] for claim in claims],
        )
        cursor.execute(
            "INSERT INTO monitoring_idempotency_key (organization_id, key, content, inference_id) "
            "SELECT * FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::uuid[]) "
            "ON CONFLICT DO NOTHING RETURNING organization_id, key",
            columns,
        )
        mine = {(organization, bytes(key)) for organization, key in cursor.fetchall()}
        known = {claim: (inferences[first[claim]].content, ids[first[claim]]) for claim in claims if claim in mine}
        if theirs := [claim for claim in claims if claim not in mine]:
            cursor.execute(
                "SELECT organization_id, key, content, inference_id::text FROM monitoring_idempotency_key "
                "WHERE (organization_id, key) IN (SELECT * FROM unnest(%s::text[], %s::bytea[]))",
                [[organization for organization, _ in theirs], [key for _, key in theirs]],
            )
            known |= {(organization, bytes(key)): (bytes(content), text) for organization, key, content, text in cursor}
        for position, one in enumerate(inferences):
            if one.key is None or (first[claim := (one.organization, one.key)] == position and claim in mine):
                continue
            if claim not in known:  # expired between the two statements: the sender's next try finds it new
                raise OperationalError("an idempotency key was just expired")
            content, identifier = known[claim]
            results[position] = Stored(identifier, "duplicate" if content == one.content else "conflict")
        return results


def says_no_partition(error: Exception) -> bool:
    """A check that no named constraint made; the server's words for it depend on its language."""
    violation = error if isinstance(error, errors.CheckViolation) else error.__cause__
    return isinstance(violation, errors.CheckViolation) and violation.diag.constraint_name is None
