"""Rules and their versions, how each of their groups stands, every change of that, and what evaluations did."""

from django.db import migrations, models

from organizations.scope import policy_sql

# `key` is what alerts bear of a rule, and never changes; `definition` is `alerts.definitions.Definition` as JSON.
_RULE = """
CREATE TABLE alerts_rule (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('on', 'paused', 'retired')),
    seeded boolean NOT NULL DEFAULT false,
    version integer NOT NULL CHECK (version >= 1),
    definition jsonb NOT NULL,
    owner_id bigint,
    error text NOT NULL DEFAULT '',
    error_at timestamptz(3),
    error_alert_id uuid,
    created_at timestamptz(3) NOT NULL,
    created_by text NOT NULL,
    changed_at timestamptz(3) NOT NULL,
    changed_by text NOT NULL,
    PRIMARY KEY (id, organization_id)
);
CREATE UNIQUE INDEX alerts_rule_name ON alerts_rule (organization_id, name) WHERE state <> 'retired';
CREATE UNIQUE INDEX alerts_rule_key ON alerts_rule (organization_id, key);
CREATE INDEX alerts_rule_on ON alerts_rule (organization_id) INCLUDE (version, changed_at) WHERE state = 'on';
CREATE INDEX alerts_rule_broken ON alerts_rule (organization_id) WHERE error <> '';
CREATE TABLE alerts_rule_version (
    organization_id text NOT NULL,
    rule_id uuid NOT NULL,
    version integer NOT NULL,
    at timestamptz(3) NOT NULL,
    by text NOT NULL,
    state text NOT NULL,
    definition jsonb NOT NULL,
    PRIMARY KEY (rule_id, version, organization_id),
    FOREIGN KEY (rule_id, organization_id) REFERENCES alerts_rule (id, organization_id) ON DELETE CASCADE
);
"""
# Times are those of the data: `told` is the minute at which people were last told.
_STANDING = """
CREATE TABLE alerts_standing (
    organization_id text NOT NULL,
    rule_id uuid NOT NULL,
    group_values text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('ok', 'pending', 'warning', 'critical', 'no_data')),
    because text NOT NULL,
    since timestamptz NOT NULL,
    level text NOT NULL CHECK (level IN ('', 'warning', 'critical')),
    warned timestamptz,
    alarmed timestamptz,
    cleared timestamptz,
    calm timestamptz,
    silent timestamptz,
    told timestamptz,
    alert_id uuid,
    PRIMARY KEY (rule_id, group_values, organization_id),
    FOREIGN KEY (rule_id, organization_id) REFERENCES alerts_rule (id, organization_id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX alerts_standing_alert ON alerts_standing (alert_id) WHERE alert_id IS NOT NULL;
CREATE TABLE alerts_transition (
    id bigint GENERATED ALWAYS AS IDENTITY,
    organization_id text NOT NULL,
    rule_id uuid NOT NULL,
    version integer NOT NULL,
    group_values text[] NOT NULL,
    at timestamptz NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    because text NOT NULL,
    value double precision,
    samples bigint NOT NULL,
    PRIMARY KEY (id, organization_id),
    FOREIGN KEY (rule_id, organization_id) REFERENCES alerts_rule (id, organization_id) ON DELETE CASCADE
);
CREATE INDEX alerts_transition_newest ON alerts_transition (rule_id, at, id);
CREATE INDEX alerts_transition_age ON alerts_transition (at);
"""
# Until which minute the rules of an organization that wait equally long for late data were judged. Whoever judges holds
# the row; `revision` tells others that what they remember of standings is old.
_JUDGED = """
CREATE TABLE alerts_judged (
    organization_id text NOT NULL,
    late integer NOT NULL,
    until timestamptz NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, late)
);
CREATE TABLE alerts_evaluation (
    id bigint GENERATED ALWAYS AS IDENTITY,
    organization_id text NOT NULL,
    at timestamptz(3) NOT NULL,
    minutes integer NOT NULL,
    rules integer NOT NULL,
    groups integer NOT NULL,
    transitions integer NOT NULL,
    failed integer NOT NULL,
    late_seconds double precision NOT NULL,
    took_ms double precision NOT NULL,
    PRIMARY KEY (id, organization_id)
);
CREATE INDEX alerts_evaluation_newest ON alerts_evaluation (organization_id, at);
"""
_TABLES = ("alerts_rule", "alerts_rule_version", "alerts_standing", "alerts_transition", "alerts_judged",
           "alerts_evaluation")  # fmt: skip
# A rule is retired, never deleted, so that its alerts go on naming it.
_KEPT = """
CREATE POLICY kept ON alerts_rule AS RESTRICTIVE FOR DELETE USING (false);
"""
_POLICIES = "\n".join(policy_sql(table) for table in _TABLES)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0002_channels_and_deliveries")]
    operations = [
        migrations.RunSQL(
            [_RULE, _STANDING, _JUDGED, _POLICIES, _KEPT],
            "DROP TABLE alerts_evaluation, alerts_judged, alerts_transition, alerts_standing, alerts_rule_version, "
            "alerts_rule;",
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[("id", models.UUIDField(primary_key=True, serialize=False))],
            options={"managed": False, "db_table": "alerts_rule", "ordering": ["name"], "verbose_name": "rule"},
        ),
    ]
