"""Why a rule was silent, or why it fired: asked on its page, for a group and a moment."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from alerts import explaining
from alerts.measurements import Group
from alerts.mishaps import RULE_FAILED
from alerts.models import Alert, AlertRule
from alerts.pages import VerbsAdmin
from alerts.saying import NONE, RULE_ID, name_of

_MOST_GROUPS = 200
_LONGEST_SHOWN = 40
# The one that changed last comes first.
_GROUPS = """
SELECT group_values FROM (SELECT group_values, NULL AS at FROM alerts_standing
        WHERE rule_id = %(rule)s AND organization_id = %(organization)s
    UNION ALL SELECT group_values, at FROM alerts_transition
        WHERE rule_id = %(rule)s AND organization_id = %(organization)s) AS one
GROUP BY group_values ORDER BY max(at) DESC NULLS LAST, group_values LIMIT %(most)s
"""
# By what the rule was grouped when an alert began.
_BY_THEN = """
SELECT ARRAY(SELECT jsonb_array_elements_text(coalesce(definition -> 'by', '[]'))) FROM alerts_rule_version
WHERE rule_id = %s AND organization_id = %s AND at <= %s ORDER BY version DESC LIMIT 1
"""


class WhyAdmin(VerbsAdmin):
    """The page of that question, beside the others of a rule."""

    def get_urls(self) -> list[URLPattern]:
        why = path("<path:object_id>/why/", self.admin_site.admin_view(self.why_view), name="alerts_alertrule_why")
        return [why, *super().get_urls()]

    def why_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is asked stands in the address, so that the answer can be sent to somebody."""
        rule: AlertRule = self.found(request, object_id)
        now, by, typed = timezone.now(), _grouped(rule), request.GET.get("at", "").strip()
        known = groups_of(rule)
        asked = request.GET.get("group", "").replace("\0", "").strip()  # which no database takes
        group = _group(asked, known, len(by))
        moment, fault = _moment(typed, now) if typed else (now, "")
        if fault:
            messages.error(request, f"At: {fault}")
        answer = explaining.explain(rule, group, moment, now=now) if moment else None
        return self.page(
            request, "why", f"Why? {rule.name}", rule=rule, answer=answer, moment=moment, typed=typed,
            placeholder=f"{now:%Y-%m-%d %H:%M}", by=by, group=name_of(group),
            groups=sorted(name_of(one) for one in known if one),
        )  # fmt: skip


def groups_of(rule: AlertRule) -> list[Group]:
    """Every group of a rule that was ever judged and is still told of; the one that changed last comes first."""
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, {"rule": rule.pk, "organization": rule.organization_id, "most": _MOST_GROUPS})
        return [tuple(group) for (group,) in cursor.fetchall()]


def address_of(alert: Alert) -> str:
    """Where it is told why an alert fired; "" for one that no rule raised of its data."""
    rule = _rule_of(alert)
    if rule is None or alert.alert_type == RULE_FAILED:
        return ""
    with connection.cursor() as cursor:
        cursor.execute(_BY_THEN, [rule, alert.organization_id, alert.first_seen_at])
        row = cursor.fetchone()
    if row is None:
        return ""
    about = {"model": alert.model_name, "endpoint": alert.endpoint_id}
    group = name_of(tuple(about.get(name) or alert.labels.get(name, "") for name in row[0]))
    asked = {"at": f"{alert.first_seen_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]} | (
        {"group": group} if group else {}
    )
    return f"{reverse('admin:alerts_alertrule_why', args=[rule])}?{urlencode(asked)}"


def _rule_of(alert: Alert) -> UUID | None:
    """Anybody may have raised it, with whatever words."""
    try:
        return UUID(str(alert.metadata.get(RULE_ID, "")))
    except (AttributeError, ValueError):
        return None


def _group(text: str, known: Sequence[Group], names: int) -> Group:
    """The group of that name; where none is given the one that changed last, of those that the rule has now."""
    if not text:
        return next((group for group in known if len(group) == names), ())
    there = next((group for group in known if name_of(group) == text), None)
    return there or tuple("" if value == NONE else value for value in text.split(", "))


def _grouped(rule: AlertRule) -> list[str]:
    """By what it is grouped now, as far as anybody can read it."""
    names = rule.definition.get("by") if isinstance(rule.definition, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _moment(text: str, now: datetime) -> tuple[datetime | None, str]:
    """A time until now, UTC where it says nothing else; or what is wrong with it."""
    text = "".join(filter(str.isprintable, text))
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    try:
        found = parse_datetime(text)
        moment = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC) if found else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        return None, f"“{shown}” is no time; write it as {now:%Y-%m-%d %H:%M}."
    if moment > now:
        return None, f"“{shown}” lies ahead: nothing is known of it yet."
    return moment, ""
