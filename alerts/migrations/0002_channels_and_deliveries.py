"""Channels, the routes that lead to them, deliveries (the outbox), and every attempt that was made at one."""

from django.db import migrations, models

from organizations.scope import policy_sql

# Whether a text fits one of these patterns, in which * stands for anything; no patterns fit everything.
_FITS = r"""
CREATE FUNCTION alerts_fits(patterns text[], value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN patterns = '{}' OR EXISTS (SELECT FROM unnest(patterns) AS pattern WHERE value LIKE
    replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'));
CREATE FUNCTION alerts_labels_fit(wanted jsonb, labels jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN NOT EXISTS (SELECT FROM jsonb_each_text(wanted) AS want
    WHERE NOT alerts_fits(ARRAY[want.value], coalesce(labels ->> want.key, '')));
"""
_CHANNEL = """
CREATE TABLE alerts_channel (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    source text NOT NULL CHECK (source IN ('live', 'demo')),
    name text NOT NULL,
    kind text NOT NULL,
    audience text NOT NULL CHECK (audience IN ('developer', 'executive')),
    events text[] NOT NULL,
    settings jsonb NOT NULL,
    sealed text NOT NULL,
    per_minute integer NOT NULL CHECK (per_minute BETWEEN 1 AND 1000000),
    burst integer NOT NULL CHECK (burst >= 1),
    at_once integer NOT NULL CHECK (at_once BETWEEN 1 AND 100),
    state text NOT NULL CHECK (state IN ('on', 'off', 'failed', 'retired')),
    state_because text NOT NULL DEFAULT '',
    free_at timestamptz NOT NULL DEFAULT '-infinity',
    paused_until timestamptz NOT NULL DEFAULT '-infinity',
    failures integer NOT NULL DEFAULT 0,
    last_success_at timestamptz(3),
    last_failure_at timestamptz(3),
    last_failure text NOT NULL DEFAULT '',
    alert_id uuid,
    created_at timestamptz(3) NOT NULL,
    created_by text NOT NULL,
    changed_at timestamptz(3) NOT NULL,
    PRIMARY KEY (id, organization_id)
);
CREATE UNIQUE INDEX alerts_channel_name ON alerts_channel (organization_id, name) WHERE state <> 'retired';
"""
_ROUTE = """
CREATE TABLE alerts_route (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    source text NOT NULL CHECK (source IN ('live', 'demo')),
    name text NOT NULL,
    enabled boolean NOT NULL,
    severities text[] NOT NULL,
    alert_types text[] NOT NULL,
    model_names text[] NOT NULL,
    labels jsonb NOT NULL,
    created_at timestamptz(3) NOT NULL,
    created_by text NOT NULL,
    changed_at timestamptz(3) NOT NULL,
    PRIMARY KEY (id, organization_id)
);
CREATE UNIQUE INDEX alerts_route_name ON alerts_route (organization_id, name);
CREATE TABLE alerts_route_channel (
    organization_id text NOT NULL,
    route_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    PRIMARY KEY (route_id, channel_id, organization_id),
    FOREIGN KEY (route_id, organization_id) REFERENCES alerts_route (id, organization_id) ON DELETE CASCADE,
    FOREIGN KEY (channel_id, organization_id) REFERENCES alerts_channel (id, organization_id) ON DELETE CASCADE
);
CREATE INDEX alerts_route_channel_by_channel ON alerts_route_channel (channel_id);
"""
# One row is one notice to one channel. While it is being sent, `next_at` is when its lease ends: then it is due again
# by itself. `attempt` fences: whoever reports on an older attempt than the newest is not heard. One that is sent again
# after it was given up is as young as `replayed_at`, and its tries are counted from `replayed_after` on.
_DELIVERY = """
CREATE TABLE alerts_delivery (
    id bigint GENERATED ALWAYS AS IDENTITY,
    organization_id text NOT NULL,
    key uuid NOT NULL DEFAULT gen_random_uuid(),
    channel_id uuid NOT NULL,
    alert_id uuid,
    event_id bigint,
    event text NOT NULL CHECK (event IN ('trigger', 'acknowledge', 'resolve', 'test', 'summary', 'pulse')),
    about jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'sent', 'dead', 'expired', 'skipped')),
    because text NOT NULL DEFAULT '',
    attempt integer NOT NULL DEFAULT 0,
    unsure boolean NOT NULL DEFAULT false,
    queued_at timestamptz(3) NOT NULL,
    next_at timestamptz NOT NULL,
    replayed_at timestamptz(3),
    replayed_after integer NOT NULL DEFAULT 0,
    done_at timestamptz(3),
    reference jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, organization_id),
    FOREIGN KEY (alert_id, organization_id) REFERENCES alerts_alert (id, organization_id) ON DELETE CASCADE,
    FOREIGN KEY (channel_id, organization_id) REFERENCES alerts_channel (id, organization_id) ON DELETE CASCADE,
    CHECK ((state IN ('pending', 'sending')) = (done_at IS NULL)),
    CHECK ((alert_id IS NULL) = (event IN ('test', 'summary', 'pulse')))
) WITH (fillfactor = 85);
CREATE INDEX alerts_delivery_due ON alerts_delivery (channel_id, next_at, id) WHERE done_at IS NULL;
CREATE INDEX alerts_delivery_sending ON alerts_delivery (channel_id, next_at) WHERE state = 'sending';
CREATE INDEX alerts_delivery_line ON alerts_delivery (alert_id, channel_id, id) WHERE alert_id IS NOT NULL;
CREATE INDEX alerts_delivery_newest ON alerts_delivery (organization_id, id);
CREATE INDEX alerts_delivery_lost ON alerts_delivery (organization_id, done_at) WHERE state IN ('dead', 'expired');
CREATE INDEX alerts_delivery_sent ON alerts_delivery (channel_id, done_at) INCLUDE (organization_id, queued_at)
    WHERE state = 'sent' AND event <> 'test' AND done_at IS NOT NULL;
CREATE INDEX alerts_delivery_alone ON alerts_delivery (done_at) WHERE alert_id IS NULL;
"""
_ATTEMPT = """
CREATE TABLE alerts_attempt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL,
    delivery_id bigint NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    at timestamptz(3) NOT NULL,
    took_ms integer,
    outcome text NOT NULL,
    status integer,
    words text NOT NULL,
    answer text NOT NULL,
    UNIQUE (delivery_id, number, organization_id),
    FOREIGN KEY (delivery_id, organization_id) REFERENCES alerts_delivery (id, organization_id) ON DELETE CASCADE
);
"""
_TABLES = ("alerts_channel", "alerts_route", "alerts_route_channel", "alerts_delivery", "alerts_attempt")
# What was told stays as long as its alert. A channel is retired, never deleted, so that the log goes on naming it.
_KEPT = """
CREATE POLICY kept ON alerts_channel AS RESTRICTIVE FOR DELETE USING (source = 'demo');
CREATE POLICY kept ON alerts_delivery AS RESTRICTIVE FOR DELETE
    USING (alert_id IS NULL AND done_at < now() - interval '1 day');
"""
_POLICIES = "\n".join(policy_sql(table) for table in _TABLES)


def _unmanaged(name: str, key: models.Field, table: str, ordering: list[str], **more: str) -> migrations.CreateModel:
    """The state of a model over a table that is made above."""
    return migrations.CreateModel(
        name=name, fields=[("id", key)], options={"managed": False, "db_table": table, "ordering": ordering, **more}
    )


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_alerts")]
    operations = [
        migrations.RunSQL(
            [_FITS, _CHANNEL, _ROUTE, _DELIVERY, _ATTEMPT, _POLICIES, _KEPT],
            "DROP TABLE alerts_attempt, alerts_delivery, alerts_route_channel, alerts_route, alerts_channel; "
            "DROP FUNCTION alerts_labels_fit; DROP FUNCTION alerts_fits;",
        ),
        _unmanaged("Channel", models.UUIDField(primary_key=True, serialize=False), "alerts_channel", ["name"]),
        _unmanaged("Route", models.UUIDField(primary_key=True, serialize=False), "alerts_route", ["name"]),
        _unmanaged(
            "Delivery",
            models.BigIntegerField(primary_key=True, serialize=False),
            "alerts_delivery",
            ["-id"],
            verbose_name_plural="deliveries",
        ),
        _unmanaged("Attempt", models.BigIntegerField(primary_key=True, serialize=False), "alerts_attempt", ["id"]),
    ]
