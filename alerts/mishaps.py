"""Rules that cannot be judged: each says so of itself, and its owner is told by an alert. It stops no other."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from alerts import lifecycle
from alerts.saying import RULE, RULE_ID
from alerts.states import Report
from organizations.scope import Scope

RULE_FAILED = "rule_failed"
# Whoever changes a rule ends its error at once, and leaves the alert until it is judged again.
_STANDING = """
SELECT rule.id, rule.key, rule.name, rule.error, rule.error_alert_id, coalesce(person.username, '')
FROM alerts_rule AS rule LEFT JOIN organizations_user AS person ON person.id = rule.owner_id
WHERE rule.organization_id = %s AND (rule.error <> '' OR rule.error_alert_id IS NOT NULL OR rule.id = ANY(%s))
"""
_SET = """
UPDATE alerts_rule SET error = %s, error_at = %s, error_alert_id = %s WHERE id = %s AND organization_id = %s
"""


def tell_of_broken(organization: str, judged: Collection[UUID], failed: Mapping[UUID, str], now: datetime) -> None:
    """`failed` could not be judged, with the reason; others of `judged` that could not before are well again."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [organization, list(failed)])
        rows: list[Any] = cursor.fetchall()
    for identifier, key, name, error, alert, owner in rows:
        words = failed.get(identifier, "")
        if words and words != error:
            whose = f" of {owner}" if owner else ""
            report = Report(
                alert_type=RULE_FAILED, severity="warning",
                message=f"The rule {name}{whose} cannot be judged. {words}"[:1000],
                labels={RULE: key}, metadata={RULE_ID: str(identifier), "ruleName": name},
            )  # fmt: skip
            [fired] = lifecycle.fire(scope=Scope.of(organization), organization=organization, reports=[report], now=now,
                                     via="rule")  # fmt: skip
            _set(organization, identifier, words, now, fired.state.id)
        elif not words and identifier in judged:
            if alert:
                lifecycle.resolve(scope=Scope.of(organization), ids=[alert], now=now, via="rule",
                                  note="The rule is judged again.")  # fmt: skip
            _set(organization, identifier, "", None, None)


def _set(organization: str, rule: UUID, error: str, at: datetime | None, alert: UUID | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SET, [error, at, alert, rule, organization])
