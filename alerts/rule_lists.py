"""The admin's list of rules: the worst first, with how each stands, and its filters."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.utils import timezone

from alerts.rule_states import FIRING, GROUP_STATES, stand
from organizations.lists import ChoiceFilter

_WORST = f"""
(CASE WHEN alerts_rule.state <> 'on' THEN 9 WHEN alerts_rule.error <> '' THEN 0 ELSE coalesce((
    SELECT min(array_position(ARRAY[{", ".join(f"'{one}'" for one in GROUP_STATES)}], alerts_standing.state))
    FROM alerts_standing WHERE alerts_standing.rule_id = alerts_rule.id
    AND alerts_standing.organization_id = alerts_rule.organization_id), 8) END)
"""


def worst_first() -> RawSQL:
    """What to sort rules by."""
    return RawSQL(_WORST, [])  # noqa: S611  our own names alone


class RuleStateFilter(ChoiceFilter):
    """All but those that were retired, unless they are asked for."""

    title = parameter_name = "state"
    options = (("firing", "Firing"), ("error", "Error"), ("critical", "Critical"), ("warning", "Warning"),
               ("no_data", "No data"), ("pending", "Pending"), ("ok", "Ok"), ("paused", "Paused"),
               ("retired", "Retired"))  # fmt: skip

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "In use"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(state="retired") if self.value() is None else super().queryset(request, queryset)

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        """By the worst of its groups, as the list tells it."""
        if value in ("paused", "retired"):
            return queryset.filter(state=value)
        if value == "error":
            return queryset.filter(state="on").exclude(error="")
        judged = queryset.filter(state="on", error="")
        if value == "firing":
            return judged.filter(pk__in=_of_states(FIRING))
        if value == "ok":
            return judged.exclude(pk__in=_of_states(GROUP_STATES))
        worse = GROUP_STATES[: GROUP_STATES.index(value)]
        return judged.filter(pk__in=_of_states((value,))).exclude(pk__in=_of_states(worse))


def _of_states(states: Sequence[str]) -> RawSQL:
    return RawSQL("SELECT rule_id FROM alerts_standing WHERE state = ANY(%s)", [list(states)])


class SeededFilter(ChoiceFilter):
    title, parameter_name = "origin", "seeded"
    options = (("1", "Given with the cockpit"), ("0", "Written here"))


class RuleList(ChangeList):
    """With how each rule stands, in as many queries for all of them as for one."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        found = stand(rows, timezone.now()) if rows else {}
        for one in rows:
            one.stood = found[one.pk]
        self.result_list: Any = rows
