"""Series with their newest reading, single samples by day, what minutes and hours of them held, and people by day."""

from django.db import migrations

from organizations.scope import policy_sql

# `key` is a hash of the labels: those themselves can be longer than an index takes. Only `at` and `value` ever change,
# and no index has them, so that an update stays on its half-empty page.
_SERIES = """
CREATE TABLE monitoring_series (
    organization_id text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    family text NOT NULL,
    source text NOT NULL,
    counted boolean NOT NULL,
    key bytea NOT NULL,
    labels jsonb NOT NULL,
    at timestamptz(3),
    value float8,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, family, source, counted, key)
) WITH (fillfactor = 50);
"""
_SAMPLE = """
CREATE TABLE monitoring_sample (
    organization_id text NOT NULL,
    series_id bigint NOT NULL,
    at timestamptz(3) NOT NULL,
    value float8 NOT NULL,
    PRIMARY KEY (organization_id, series_id, at)
) PARTITION BY RANGE (at);
"""
_ROLLUPS = "".join(
    f"""
CREATE TABLE monitoring_sample_{grain} (
    organization_id text NOT NULL,
    series_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    last_at timestamptz(3) NOT NULL,
    count bigint NOT NULL,
    total float8 NOT NULL,
    least float8 NOT NULL,
    most float8 NOT NULL,
    last float8 NOT NULL,
    PRIMARY KEY (organization_id, series_id, bucket)
) WITH (fillfactor = 80);
"""
    for grain in ("minute", "hour")
)
# In the order that distinct people of a day are counted by.
_USER_DAY = """
CREATE TABLE monitoring_user_day (
    organization_id text NOT NULL,
    day date NOT NULL,
    user_hash text NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (organization_id, day, user_hash, source)
);
"""
_TABLES = ("monitoring_series", "monitoring_sample", "monitoring_sample_minute", "monitoring_sample_hour",
           "monitoring_user_day")  # fmt: skip
_POLICIES = "\n".join(policy_sql(table) for table in _TABLES)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0002_sums_over_all_models")]
    operations = [
        migrations.RunSQL([_SERIES, _SAMPLE, _ROLLUPS, _USER_DAY, _POLICIES], f"DROP TABLE {', '.join(_TABLES)};"),
    ]
