"""Inferences by day, the deltas their transactions leave, and the rollups the folder moves them into."""

from django.db import migrations, models

from organizations.scope import policy_sql

_BUCKETS = 63  # histogram columns of this version; a later change of bounds is a migration of its own

_INFERENCE = """
CREATE TABLE monitoring_inference (
    id uuid NOT NULL,
    occurred_at timestamptz(3) NOT NULL,
    organization_id text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    endpoint text NOT NULL,
    status text NOT NULL,
    error_type text NOT NULL,
    attempt smallint NOT NULL,
    estimated boolean NOT NULL,
    source text NOT NULL,
    duration_us bigint NOT NULL,
    ttft_us bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    cost numeric,
    revenue numeric,
    user_hash text,
    trace_id text,
    span_id text,
    tags jsonb,
    PRIMARY KEY (id, occurred_at),
    CONSTRAINT id_carries_its_time CHECK (
        ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint
        = round(extract(epoch FROM occurred_at) * 1000)::bigint
    )
) PARTITION BY RANGE (occurred_at);
CREATE INDEX monitoring_inference_newest ON monitoring_inference (organization_id, occurred_at DESC);
"""

_DIMENSIONS = """
    organization_id text NOT NULL,
    bucket timestamptz NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    endpoint text NOT NULL,
    status text NOT NULL,
    error_type text NOT NULL,
    source text NOT NULL,
    estimated boolean NOT NULL,
"""
_COUNTS = ("inferences", "retries", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
           "reasoning_tokens", "unpriced", "with_revenue", "duration_us", "ttft_us", "with_ttft")  # fmt: skip
_MEASURES = ",\n".join(
    [
        *(f"    {name} bigint NOT NULL" for name in _COUNTS),
        "    cost numeric NOT NULL",
        "    revenue numeric NOT NULL",
        *(f"    {kind}{bucket:02d} integer NOT NULL" for kind in "dt" for bucket in range(_BUCKETS)),
    ]
)
_KEY = "organization_id, bucket, model, provider, endpoint, status, error_type, source, estimated"

_DELTA = f"""
CREATE TABLE monitoring_rollup_delta (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    {_DIMENSIONS}
    {_MEASURES}
);
"""
_ROLLUPS = "".join(
    f"""
CREATE TABLE monitoring_rollup_{grain} (
    {_DIMENSIONS}
    {_MEASURES},
    PRIMARY KEY ({_KEY})
) WITH (fillfactor = 80);
"""
    for grain in ("minute", "hour", "day")
)

_KEYS = """
CREATE TABLE monitoring_idempotency_key (
    organization_id text NOT NULL,
    key bytea NOT NULL,
    content bytea NOT NULL,
    inference_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, key)
);
CREATE INDEX monitoring_idempotency_key_age ON monitoring_idempotency_key (created_at);
CREATE TABLE monitoring_seen_name (
    organization_id text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (organization_id, day, kind, name)
);
"""

# The organization's currency is what every stored amount is in.
_CURRENCY = """
CREATE FUNCTION monitoring_keep_currency() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entered text := coalesce(current_setting('app.organizations', true), '');
BEGIN
    -- Policies bind this function too: it looks at the one organization that is asked about, whatever was entered.
    PERFORM set_config('app.organizations', NEW.slug, true);
    IF EXISTS (SELECT FROM monitoring_rollup_day WHERE organization_id = NEW.slug)
       OR EXISTS (SELECT FROM monitoring_rollup_delta WHERE organization_id = NEW.slug) THEN
        RAISE EXCEPTION 'inferences of % are stored in %', NEW.slug, OLD.currency USING ERRCODE = 'check_violation';
    END IF;
    PERFORM set_config('app.organizations', entered, true);
    RETURN NEW;
END $$;
CREATE TRIGGER monitoring_keep_currency BEFORE UPDATE OF currency ON organizations_organization
    FOR EACH ROW WHEN (NEW.currency IS DISTINCT FROM OLD.currency) EXECUTE FUNCTION monitoring_keep_currency();
"""

_TABLES = ("monitoring_inference", "monitoring_rollup_delta", "monitoring_rollup_minute", "monitoring_rollup_hour",
           "monitoring_rollup_day", "monitoring_idempotency_key", "monitoring_seen_name")  # fmt: skip
_POLICIES = "\n".join(policy_sql(table) for table in _TABLES)


class Migration(migrations.Migration):
    initial = True
    dependencies = [("organizations", "0002_first_organizations")]
    operations = [
        migrations.RunSQL([_INFERENCE, _DELTA, _ROLLUPS, _KEYS, _CURRENCY, _POLICIES], migrations.RunSQL.noop),
        migrations.CreateModel(
            name="Inference",
            fields=[("id", models.UUIDField(primary_key=True, serialize=False))],
            options={"managed": False, "ordering": ["-occurred_at"]},
        ),
    ]
