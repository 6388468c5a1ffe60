"""Alerts in the admin, where engineers live: a list to work through, and a page of each with all that is known."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import acts, desk
from alerts.acts import Act, ActForm
from alerts.channels_admin import ChannelAdmin
from alerts.deliveries_admin import DeliveryAdmin
from alerts.lists import (
    NEWEST_FIRST,
    SEVERITY_TONES,
    STATUS_TONES,
    WORST_FIRST,
    WRITERS,
    BeganFilter,
    IndexedPaginator,
    OwnerFilter,
    SeverityFilter,
    SourceFilter,
    StatusFilter,
    minute_of,
    until,
)
from alerts.models import Alert, AlertRule, Channel, Delivery, Route
from alerts.routes_admin import RouteAdmin
from alerts.rules_admin import RuleAdmin
from organizations.lists import badge, badges, exact
from organizations.models import Membership, User
from organizations.scope import Scope
from organizations.scoped_admin import OrganizationFilter, ScopedAdmin
from organizations.site import DATA_READERS, organizations_of

admin.site.register(AlertRule, RuleAdmin)
admin.site.register(Channel, ChannelAdmin)
admin.site.register(Route, RouteAdmin)
admin.site.register(Delivery, DeliveryAdmin)

_SHOWN = 140  # characters of a message in a row
_NAMED = 10  # alerts that are named where many are changed


@admin.register(Alert)
class AlertAdmin(ScopedAdmin):
    """Alerts are raised and changed by verbs alone: there is no form of their fields, and nothing to delete."""

    list_display = ("severity_shown", "what", "status_shown", "age", "count_shown", "organization", "owner_shown")
    list_display_links = ("what",)
    list_filter = (SeverityFilter, StatusFilter, OwnerFilter, OrganizationFilter, BeganFilter, SourceFilter)
    list_select_related = ("organization", "owner")
    search_fields = ("message", "alert_type", "model_name", "endpoint_id")
    search_help_text = "Part of a message, type, model or endpoint"

    @property
    def media(self) -> forms.Media:
        """Our own script does all that Django's would, and is named by the template."""
        return forms.Media()

    @admin.display(description="severity", ordering="rank")
    def severity_shown(self, alert: Alert) -> SafeString:
        return badge(alert.severity, SEVERITY_TONES.get(alert.severity, "plain"))

    @admin.display(description="alert", ordering="alert_type")
    def what(self, alert: Alert) -> SafeString:
        message = alert.message if len(alert.message) <= _SHOWN else f"{alert.message[:_SHOWN]}…"
        model = format_html(" <small>{}</small>", alert.model_name) if alert.model_name else ""
        return format_html("<b>{}</b>{} <span>{}</span>", alert.alert_type, model, message)

    @admin.display(description="status", ordering="status")
    def status_shown(self, alert: Alert) -> SafeString:
        """With what keeps people from being told of it."""
        quiet = [until(one) for one in alert.suppressed_by] + (["demo"] if alert.source == "demo" else [])
        return format_html("{} {}", badge(alert.status, STATUS_TONES.get(alert.status, "plain")), badges(quiet))

    @admin.display(description="age", ordering="first_seen_at")
    def age(self, alert: Alert) -> SafeString:
        """How long it has been open, or how long it took and when it began."""
        words, title = desk.age(alert, timezone.now()), f"since {exact(alert.first_seen_at)}"
        if alert.resolved_at is None:
            return format_html('<span title="{}">{}</span>', title, words)
        began = minute_of(alert.first_seen_at)
        return format_html('<span title="{}">took {} <small>{}</small></span>', title, words, began)

    @admin.display(description="seen", ordering="count")
    def count_shown(self, alert: Alert) -> str:
        return f"{alert.count:,} ×"

    @admin.display(description="owner", ordering="owner__username")
    def owner_shown(self, alert: Alert) -> str | None:
        return alert.owner.username if alert.owner else None

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Open alerts worst first; among those that are over only the time counts."""
        return NEWEST_FIRST if request.GET.get("status") in ("resolved", "all") else WORST_FIRST

    def get_paginator(self, request: HttpRequest, *args: Any, **more: Any) -> IndexedPaginator:
        paginator = IndexedPaginator(*args, **more)
        paginator.organizations = organizations_of(request, self.readers)
        return paginator

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, WRITERS, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., str], str, str] | None]:
        """What may be done to many; `response_action` does it."""
        if not self.has_act_permission(request):
            return {}
        return {act.name: (str, act.name, act.title) for act in acts.IN_BULK}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"acts": acts.IN_BULK, **(extra_context or {})})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *_: Any) -> HttpResponse | None:
        """By ids alone, since the list may show others by now: first a page that asks, then what was confirmed."""
        chosen, ids = request.POST.get("action", ""), acts.identifiers(request.POST.getlist(ACTION_CHECKBOX_NAME))
        act = next((one for one in acts.IN_BULK if one.name == chosen), None)
        if act is None or not ids:
            messages.warning(request, "Choose alerts, and what to do with them.")
            return None
        if len(ids) > acts.MOST:
            words = f"At most {acts.MOST} alerts at once, and these are {len(ids):,}: choose fewer of them."
            messages.error(request, words)
            return None
        form = ActForm(act, {}, request.POST if "confirmed" in request.POST else None)
        if form.is_bound and form.is_valid():
            self._do(request, act, form, ids, {})
            return None
        writable = organizations_of(request, WRITERS)
        found = list(self.get_queryset(request).filter(pk__in=ids, organization__in=writable).order_by(*WORST_FIRST))
        if not found:
            messages.error(request, f"{acts.alerts(len(ids))}, and none of them is yours to change.")
            return None
        return self._confirm(request, act, form, found)

    def _confirm(self, request: HttpRequest, act: Act, form: ActForm, found: list[Alert]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{act.title}: {acts.alerts(len(found))}",
            "act": act,
            "form": form,
            "length": form[act.lengths] if act.lengths else None,
            "alerts": found,
            "named": [(one, SEVERITY_TONES.get(one.severity, "plain")) for one in found[:_NAMED]],
            "more": max(0, len(found) - _NAMED),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/alerts/alert/confirm.html", context)

    def _do(
        self, request: HttpRequest, act: Act, form: ActForm, ids: Any, names: Mapping[int, str]
    ) -> None:  # fmt: skip
        me: Any = request.user
        outcomes = acts.carry_out(
            act,
            form.cleaned_data,
            scope=Scope.of(*organizations_of(request, WRITERS)),
            ids=ids,
            now=timezone.now(),
            me=me.pk,
            names={**names, me.pk: me.get_username()},
        )
        for good, words in acts.told(act, outcomes, len(ids)):
            (messages.success if good else messages.warning)(request, words)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Its page, and what is done on it."""
        alert: Alert | None = self.get_object(request, object_id)
        if alert is None:
            raise Http404("There is no such alert.")
        may = self.has_act_permission(request, alert)
        members = self._members(request, alert) if may else {}
        act = acts.ACTS.get(request.POST.get("act", ""))
        form = ActForm(act, members, request.POST if act else None, initial={"owner": alert.owner_id or ""})
        if request.method == "POST":
            if not may:
                raise PermissionDenied
            if act is None:
                messages.warning(request, "Choose what to do.")
                return HttpResponseRedirect(request.get_full_path())
            if form.is_valid():
                self._do(request, act, form, [alert.pk], members)
                return HttpResponseRedirect(request.get_full_path())
        return self._page(request, alert, form, may)

    def _page(self, request: HttpRequest, alert: Alert, form: ActForm, may: bool) -> HttpResponse:
        offered = [(act, form[act.lengths] if act.lengths else form["owner"] if act.name == "assign" else None)
                   for act in desk.offered(alert)]  # fmt: skip
        context = {
            **self.admin_site.each_context(request),
            "title": alert.message[:_SHOWN],
            "alert": alert,
            "desk": desk.look(alert, timezone.now()),
            "may": may,
            "status_tone": STATUS_TONES.get(alert.status, "plain"),
            "form": form if may else None,
            "offered": offered,
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
        }
        return TemplateResponse(request, "admin/alerts/alert/page.html", context)

    @staticmethod
    def _members(request: HttpRequest, alert: Alert) -> dict[int, str]:
        """Who may own it: those who work with its organization's data, and whoever asks."""
        roles = Membership.objects.filter(organization=alert.organization_id, role__in=DATA_READERS)
        people = User.objects.filter(is_active=True, pk__in=roles.values("user")).order_by("username")
        return {**dict(people.values_list("pk", "username")), int(str(request.user.pk)): request.user.get_username()}
