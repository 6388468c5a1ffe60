"""The three organizations every installation begins with, and the policies of this floor's tables."""

from django.db import migrations

from organizations.scope import policy_sql

_FIRST = (
    ("shared", "Shared platform", "developer", "cockpit"),
    ("swaggystacks", "SwaggyStacks", "developer", "swaggystacks"),
    ("scientia_capital", "ScientiaCapital", "executive", "scientia_capital"),
)
_TABLES = ("organizations_membership", "organizations_apikey", "organizations_auditevent")

# What a policy cannot say: no one, the application least of all, rewrites the trail.
_APPEND_ONLY = """
CREATE FUNCTION organizations_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE TRIGGER organizations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON organizations_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION organizations_append_only();
"""


def seed(apps, schema_editor):
    Organization = apps.get_model("organizations", "Organization")
    for slug, name, audience, theme in _FIRST:
        Organization.objects.using(schema_editor.connection.alias).get_or_create(
            slug=slug, defaults={"name": name, "audience": audience, "theme": theme}
        )


class Migration(migrations.Migration):
    dependencies = [("organizations", "0001_people_organizations_keys")]
    operations = [
        migrations.RunPython(seed, migrations.RunPython.noop),
        migrations.RunSQL("\n".join(policy_sql(table) for table in _TABLES) + _APPEND_ONLY, migrations.RunSQL.noop),
    ]
