"""Rules in the admin: a list that says how each stands, what may be done to many, and how their evaluator is."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import acts, rule_desk, rule_health, rule_words, saying
from alerts.models import AlertRule
from alerts.rule_charts import Spark
from alerts.rule_desk import ACTS, Act
from alerts.rule_lists import RuleList, RuleStateFilter, SeededFilter, worst_first
from alerts.rule_states import STATE_TONES, Stood, is_drawn
from alerts.writing_admin import WritingAdmin
from organizations.lists import badge
from organizations.models import Organization
from organizations.scoped_admin import OrganizationFilter
from organizations.site import organizations_of

_IN_BULK = (ACTS["pause"], ACTS["on"])


class RuleAdmin(WritingAdmin):
    """The list is sorted by how rules stand, which is told by their groups."""

    list_display = ("what", "state_shown", "value", "firing", "following", "organization", "owner_shown")
    list_filter = (RuleStateFilter, OrganizationFilter, SeededFilter)
    list_select_related = ("organization", "owner")
    list_per_page = 25
    search_fields = ("name",)
    search_help_text = "Part of a name"
    audited_as = "rule"

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        return (worst_first().asc(), "name")

    def get_changelist(self, request: HttpRequest, **more: Any) -> type[ChangeList]:
        return RuleList

    def get_urls(self) -> list[URLPattern]:
        health = path("health/", self.admin_site.admin_view(self.health_view), name="alerts_alertrule_health")
        return [health, *super().get_urls()]

    @admin.display(description="rule")
    def what(self, rule: Any) -> SafeString:
        one = rule.stood.definition
        if one is None:
            return format_html("<b>{}</b> <span>It cannot be read.</span>", rule.name)
        asked = rule_words.unbroken(saying.asked(one))
        return format_html("<b>{}</b> <span>{}: {}</span>", rule.name, rule_words.subject(one), asked)

    @admin.display(description="state")
    def state_shown(self, rule: Any) -> SafeString:
        state = rule.stood.state
        shown = badge(state.replace("_", " "), STATE_TONES[state])
        return format_html('<span title="{}">{}</span>', rule.error, shown) if rule.error else shown

    @admin.display(description="last value")
    def value(self, rule: Any) -> SafeString | None:
        stood = rule.stood
        if stood.definition is None or rule.state != "on":
            return None
        words = saying.quantity(stood.measured.value, stood.definition.unit)
        whose = saying.name_of(stood.measured.group)
        return format_html("<span>{}{}</span>{}", words, format_html(" <small>{}</small>", whose) if whose else "",
                           _drawn(stood.spark) or _undrawn(stood))  # fmt: skip

    @admin.display(description="firing")
    def firing(self, rule: Any) -> SafeString | str | None:
        stood = rule.stood
        if rule.state != "on":
            return None
        words = f"{stood.firing:,} of {stood.groups:,}" if stood.groups > 1 else f"{stood.firing:,}"
        return format_html("<b>{}</b>", words) if stood.firing else words

    @admin.display(description="judged next")
    def following(self, rule: Any) -> SafeString | None:
        coming = rule.stood.next
        if coming is None:
            return None
        until = format_html(" <small>done until {}</small>", coming.until) if coming.until else ""
        tone = "health--warn" if coming.late else ""
        return format_html('<span class="{}">{}{}</span>', tone, coming.words, until)

    @admin.display(description="owner")
    def owner_shown(self, rule: AlertRule) -> str | None:
        return rule.owner.username if rule.owner else None

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., str], str, str] | None]:
        """What may be done to many; `response_action` does it."""
        if not self.has_change_permission(request):
            return {}
        return {act.name: (str, act.name, act.title) for act in _IN_BULK}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"acts": _IN_BULK, **(extra_context or {})})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *_: Any) -> HttpResponse | None:
        """By ids alone, since the list may show others by now; what ends alerts is asked for once more."""
        chosen, ids = request.POST.get("action", ""), acts.identifiers(request.POST.getlist(ACTION_CHECKBOX_NAME))
        act = next((one for one in _IN_BULK if one.name == chosen), None)
        if act is None or not ids:
            messages.warning(request, "Choose rules, and what to do with them.")
            return None
        rules = self.get_queryset(request).filter(pk__in=ids, organization__in=organizations_of(request, self.writers),
                                                  state__in=act.states)  # fmt: skip
        found: list[AlertRule] = list(rules.order_by("name")[: acts.MOST])
        if not found:
            messages.warning(request, f"None of them is yours to {act.title.lower()}, or is so already.")
            return None
        if act.asks and "confirmed" not in request.POST:
            return self.page(request, "confirm", f"{act.title}: {rule_words.rules(len(found))}", act=act, rules=found,
                             open=sum(map(rule_desk.open_alerts, found)))  # fmt: skip
        self._switch(request, act, found)
        return None

    def _switch(self, request: HttpRequest, act: Act, found: list[AlertRule]) -> None:
        now, by = timezone.now(), request.user.get_username()
        number = sum(rule_desk.switch(rule, act, now=now, by=by) for rule in found)
        if number:
            messages.success(request, f"{rule_words.rules(number)}: {act.done}.")
        if left := len(found) - number:
            messages.warning(request, f"{rule_words.rules(left)} changed meanwhile: look again.")

    def health_view(self, request: HttpRequest) -> HttpResponse:
        """How the evaluator is: its figures for everybody who sees rules, names of one's own organizations alone."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        own = organizations_of(request, self.readers)
        names = dict(Organization.objects.filter(slug__in=own).values_list("slug", "name"))
        health = rule_health.look(list(names), timezone.now())
        cursors = [(one, names[one.organization]) for one in health.cursors]
        return self.page(request, "health", "Evaluator", health=health, cursors=cursors)


def _undrawn(stood: Stood) -> SafeString | str:
    """Why there is no line, where that is not for want of data."""
    if stood.definition is None or is_drawn(stood.definition) or stood.measured.value is None:
        return ""
    return format_html('<small>no line: over {} it hardly moves in an hour</small>',
                       saying.span(stood.definition.window))  # fmt: skip


def _drawn(spark: Spark | None) -> SafeString | str:
    """The sparkline, drawn here: it is as small as its words would be in a template."""
    if spark is None:
        return ""
    threshold = format_html('<line class="spark-level" x1="0" x2="100%" y1="{0}" y2="{0}"/>', spark.threshold)
    return format_html(
        '<svg class="spark" role="img" aria-label="{0}"><title>{0}</title>{1}<svg width="100%" height="100%" '
        'viewBox="0 0 1000 1000" preserveAspectRatio="none"><path class="line s1" d="{2}"/></svg></svg>',
        f"{spark.title} in the last hour", threshold if spark.threshold else "", spark.path,
    )  # fmt: skip
