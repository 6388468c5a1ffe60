"""Alerts, their events, the answers kept for repeated requests, and what was last seen of ourselves."""

from django.db import migrations, models

from organizations.scope import policy_sql

# When the first of an alert's suppressions ends by itself. Their times are RFC 3339 in UTC, so no setting has a say in
# how they are read. The column made of it can stand in an index that policies leave usable; an expression could not.
_FIRST_END = """
CREATE FUNCTION alerts_first_end(suppressions jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min((one ->> 'until')::timestamptz) FROM jsonb_array_elements(suppressions) AS one);
"""
# The key leads with `id`, so that one is found without its organization; the organization is in it for references.
_ALERT = """
CREATE TABLE alerts_alert (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    fingerprint text NOT NULL,
    episode integer NOT NULL CHECK (episode >= 1),
    source text NOT NULL CHECK (source IN ('live', 'demo')),
    alert_type text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    rank smallint NOT NULL GENERATED ALWAYS AS (
        CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END) STORED,
    status text NOT NULL CHECK (status IN ('firing', 'acknowledged', 'resolved')),
    message text NOT NULL,
    endpoint_id text NOT NULL,
    model_name text NOT NULL,
    metadata jsonb NOT NULL,
    labels jsonb NOT NULL,
    count integer NOT NULL CHECK (count >= 1),
    reopened integer NOT NULL,
    first_seen_at timestamptz(3) NOT NULL,
    last_seen_at timestamptz(3) NOT NULL,
    ends_at timestamptz(3),
    first_acknowledged_at timestamptz(3),
    acknowledged_at timestamptz(3),
    acknowledged_by text NOT NULL,
    acknowledged_until timestamptz(3),
    acknowledge_note text NOT NULL,
    resolved_at timestamptz(3),
    resolved_by text NOT NULL,
    resolve_note text NOT NULL,
    owner_id bigint,
    suppressed_by jsonb NOT NULL,
    suppressed_until timestamptz(3) GENERATED ALWAYS AS (
        CASE WHEN suppressed_by <> '[]' THEN alerts_first_end(suppressed_by) END) STORED,
    changed_at timestamptz(3) NOT NULL,
    PRIMARY KEY (id, organization_id),
    CHECK ((status = 'resolved') = (resolved_at IS NOT NULL)),
    CHECK (CASE status WHEN 'acknowledged' THEN acknowledged_at IS NOT NULL WHEN 'firing' THEN acknowledged_at IS NULL
        ELSE true END)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX alerts_one_open ON alerts_alert (organization_id, fingerprint) WHERE status <> 'resolved';
CREATE UNIQUE INDEX alerts_episode ON alerts_alert (organization_id, fingerprint, episode);
CREATE INDEX alerts_newest ON alerts_alert (organization_id, first_seen_at, id);
CREATE INDEX alerts_open_newest ON alerts_alert (organization_id, first_seen_at, id) WHERE status <> 'resolved';
CREATE INDEX alerts_open_worst ON alerts_alert (organization_id, rank, first_seen_at, id) WHERE status <> 'resolved';
CREATE INDEX alerts_news_end ON alerts_alert (ends_at) WHERE ends_at IS NOT NULL AND status <> 'resolved';
CREATE INDEX alerts_acknowledgement_ends ON alerts_alert (acknowledged_until) WHERE acknowledged_until IS NOT NULL;
CREATE INDEX alerts_suppression_ends ON alerts_alert (suppressed_until) WHERE suppressed_until IS NOT NULL;
CREATE INDEX alerts_over ON alerts_alert (organization_id, resolved_at) WHERE status = 'resolved';
"""
_EVENT = """
CREATE TABLE alerts_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL,
    alert_id uuid NOT NULL,
    at timestamptz(3) NOT NULL,
    kind text NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    address inet,
    request_id text NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    note text NOT NULL,
    tells text NOT NULL CHECK (tells IN ('', 'trigger', 'acknowledge', 'resolve')),
    withheld text NOT NULL,
    FOREIGN KEY (alert_id, organization_id) REFERENCES alerts_alert (id, organization_id) ON DELETE CASCADE
);
CREATE INDEX alerts_event_by_alert ON alerts_event (alert_id, organization_id, id);
"""
# Answers of requests that carry an Idempotency-Key, for eight days.
_ANSWER = """
CREATE TABLE alerts_answer (
    organization_id text NOT NULL,
    key bytea NOT NULL,
    request_hash bytea NOT NULL,
    status smallint,
    body bytea,
    at timestamptz(3) NOT NULL,
    PRIMARY KEY (organization_id, key)
);
CREATE INDEX alerts_answer_by_age ON alerts_answer (at);
"""
# What we knew of ourselves at our last look: version, settings, how far the audit trail was read.
_KNOWN = """
CREATE TABLE alerts_known (
    organization_id text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (organization_id, name)
);
"""
_TABLES = ("alerts_alert", "alerts_event", "alerts_answer", "alerts_known")
# Nobody deletes an alert that is open or was until lately, whatever a program says; its events go with it alone.
_KEPT = """
CREATE POLICY kept ON alerts_alert AS RESTRICTIVE FOR DELETE
    USING (source = 'demo' OR resolved_at < now() - interval '90 days');
"""
# What the first analysis of a filled table would find. Without it a young table is read by whichever index names the
# organization, all rows of it for each that is looked for: a batch of 100 took 22 ms instead of 9 among 9,000 alerts.
_STATISTICS = """
DO $$ BEGIN
    IF current_setting('server_version_num')::integer >= 180000 THEN
        PERFORM pg_restore_attribute_stats('schemaname', 'public', 'relname', 'alerts_alert', 'attname', attname,
            'inherited', false, 'null_frac', 0::real, 'avg_width', width, 'n_distinct', spread::real)
        FROM (VALUES ('id', 16, -1), ('organization_id', 12, 5), ('fingerprint', 64, -0.5)) AS told (attname, width, spread);
    END IF;
END $$;
"""
_POLICIES = "\n".join(policy_sql(table) for table in _TABLES)


class Migration(migrations.Migration):
    initial = True
    dependencies = [("organizations", "0001_people_organizations_keys")]
    operations = [
        migrations.RunSQL(
            [_FIRST_END, _ALERT, _EVENT, _ANSWER, _KNOWN, _STATISTICS, _POLICIES, _KEPT],
            "DROP TABLE alerts_known, alerts_answer, alerts_event, alerts_alert; DROP FUNCTION alerts_first_end;",
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[("id", models.UUIDField(primary_key=True, serialize=False))],
            options={"managed": False, "ordering": ["-first_seen_at", "-id"]},
        ),
        migrations.CreateModel(
            name="AlertEvent",
            fields=[("id", models.BigIntegerField(primary_key=True, serialize=False))],
            options={"managed": False, "db_table": "alerts_event", "ordering": ["id"]},
        ),
    ]
