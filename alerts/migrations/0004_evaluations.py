"""Evaluations by organization and by how long their rules wait for late data; rules that are or were broken."""

from django.db import migrations

_EVALUATIONS = """
ALTER TABLE alerts_evaluation ADD COLUMN late integer NOT NULL DEFAULT 0;
DROP INDEX alerts_evaluation_newest;
CREATE INDEX alerts_evaluation_of ON alerts_evaluation (organization_id, late, at);
CREATE INDEX alerts_evaluation_at ON alerts_evaluation (at);
"""
# An alert that says so outlives what was wrong with its rule by a minute.
_RULES = """
DROP INDEX alerts_rule_broken;
CREATE INDEX alerts_rule_broken ON alerts_rule (organization_id) WHERE error <> '' OR error_alert_id IS NOT NULL;
"""
_BACK = """
DROP INDEX alerts_rule_broken, alerts_evaluation_at, alerts_evaluation_of;
CREATE INDEX alerts_rule_broken ON alerts_rule (organization_id) WHERE error <> '';
CREATE INDEX alerts_evaluation_newest ON alerts_evaluation (organization_id, at);
ALTER TABLE alerts_evaluation DROP COLUMN late;
"""


class Migration(migrations.Migration):
    dependencies = [("alerts", "0003_rules")]
    operations = [migrations.RunSQL([_EVALUATIONS, _RULES], _BACK)]
