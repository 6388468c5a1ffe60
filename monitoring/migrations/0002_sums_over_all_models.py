"""Sums over all models beside the rollups: what a chart of a whole organization reads, a few rows a minute."""

from typing import Any

from django.db import migrations

from organizations.scope import Scope, policy_sql

_BUCKETS = 63  # as in 0001
_KEY = "organization_id, bucket, status, source, estimated"
_COUNTS = ("inferences", "retries", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
           "reasoning_tokens", "unpriced", "with_revenue", "duration_us", "ttft_us", "with_ttft")  # fmt: skip
_BINS = tuple(f"{kind}{bucket:02d}" for kind in "dt" for bucket in range(_BUCKETS))
_GRAINS = ("minute", "hour", "day")


def _table(grain: str) -> str:
    columns = [*(f"{name} bigint NOT NULL" for name in _COUNTS), "cost numeric NOT NULL", "revenue numeric NOT NULL",
               *(f"{name} integer NOT NULL" for name in _BINS)]  # fmt: skip
    return f"""
CREATE TABLE monitoring_sum_{grain} (
    organization_id text NOT NULL,
    bucket timestamptz NOT NULL,
    status text NOT NULL,
    source text NOT NULL,
    estimated boolean NOT NULL,
    {", ".join(columns)},
    PRIMARY KEY ({_KEY})
) WITH (fillfactor = 80);
{policy_sql(f"monitoring_sum_{grain}")}
"""


def fill(apps: Any, schema_editor: Any) -> None:
    """What was folded before there were sums."""
    added = (*_COUNTS, "cost", "revenue", *_BINS)
    database = schema_editor.connection
    with Scope.system("sum what was folded").enter(using=database.alias), database.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        # The folder's own lock, until this is committed: what it folds meanwhile would be in no sum.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('monitoring.fold', 7))")
        for grain in _GRAINS:
            cursor.execute(
                f"INSERT INTO monitoring_sum_{grain} ({_KEY}, {', '.join(added)}) "
                f"SELECT {_KEY}, {', '.join(f'sum({name})' for name in added)} FROM monitoring_rollup_{grain} "
                f"GROUP BY {_KEY}"
            )


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_inferences_and_rollups")]
    operations = [
        migrations.RunSQL(
            "".join(map(_table, _GRAINS)), "".join(f"DROP TABLE monitoring_sum_{grain};" for grain in _GRAINS)
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
