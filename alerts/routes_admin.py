"""Routes in the admin: which alerts lead to which channels, tried out on the last month's alerts before they hold."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts import routes, routing
from alerts.forms import RouteForm
from alerts.lists import SEVERITY_TONES, SourceFilter
from alerts.models import Channel, Route
from alerts.pages import VerbsAdmin, channel_badge, done, leads_from
from organizations.lists import ChoiceFilter, badge
from organizations.models import Organization
from organizations.scoped_admin import OrganizationFilter

_LIST = "admin:alerts_route_changelist"
_PREFILLED = ("severities", "alert_types", "model_names", "labels")


class EnabledFilter(ChoiceFilter):
    title = "state"
    parameter_name = "enabled"
    options = (("1", "On"), ("0", "Off"))


class RouteList(ChangeList):
    """With the channels that each route leads to, in two queries for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        legs = routes.channels_of([one.pk for one in rows])
        known = Channel.objects.in_bulk({leg for each in legs.values() for leg in each})
        for one in rows:
            one.leads_to = sorted((known[leg] for leg in legs.get(one.pk, ()) if leg in known), key=str)
        self.result_list: Any = rows


class RouteAdmin(VerbsAdmin):
    """Made, changed and deleted by the verbs of `routes` alone."""

    list_display = ("name", "organization", "leads_from", "leads_to", "state")
    list_filter = (EnabledFilter, OrganizationFilter, SourceFilter)
    list_select_related = ("organization",)
    search_fields = ("name",)
    search_help_text = "Part of a name"

    @admin.display(description="leads from")
    def leads_from(self, route: Route) -> str:
        return leads_from(route)

    @admin.display(description="to")
    def leads_to(self, route: Any) -> SafeString | str:
        return _channels(route.leads_to) or badge("nowhere", "warn")

    @admin.display(description="state")
    def state(self, route: Route) -> SafeString:
        state = badge("on", "good") if route.enabled else badge("off")
        return format_html("{} {}", state, badge("demo")) if route.source == "demo" else state

    def get_changelist(self, request: HttpRequest, **more: Any) -> type[ChangeList]:
        return RouteList

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.writers, obj)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Of one organization, which comes first where there are several; an address may fill the form in."""
        words = "A route leads from its alerts to its channels."
        chosen = self.organization_for(request, "Add a route", words)
        if isinstance(chosen, HttpResponse):
            return chosen
        given = {name: request.GET.getlist(name) if name == "severities" else request.GET[name][:1000]
                 for name in _PREFILLED if name in request.GET}  # fmt: skip
        return self._edit(request, chosen, None, initial=given)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        route: Route = self.found(request, object_id)
        if request.method == "POST" and not self.has_change_permission(request, route):
            raise PermissionDenied
        return self._edit(request, route.organization, route)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.found(request, object_id)
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Route) -> None:
        routes.delete_route(route=obj)

    def _edit(self, request: HttpRequest, organization: Organization, route: Route | None, **more: Any) -> HttpResponse:
        source = route.source if route else "live"
        there = Channel.objects.filter(organization=organization.pk, source=source).exclude(state="retired")
        channels = [one for one in there if "trigger" in one.events]
        chosen = routes.channels_of([route.pk]).get(route.pk, []) if route else []
        form = RouteForm(
            channels, route=route, chosen=chosen, data=request.POST if request.method == "POST" else None, **more
        )
        preview = None
        if "preview" in request.POST:
            preview = _preview(form, organization.pk, source)
        elif request.method == "POST" and form.is_valid() and self._save(request, form, organization.pk, route):
            return HttpResponseRedirect(reverse(_LIST))
        return self.page(
            request, "page", route.name if route else f"Add a route of {organization.name}", route=route, form=form,
            organization=organization, channels=channels, preview=preview,
            leads_from=leads_from(route) if route else "",
            leads_to=_channels([one for one in channels if one.pk in chosen]),
            may=self.has_change_permission(request, route) if route else True, days=routing.PREVIEW_DAYS,
        )  # fmt: skip

    def _save(self, request: HttpRequest, form: RouteForm, organization: str, route: Route | None) -> bool:
        read = form.cleaned_data
        saved = done(form, lambda: routes.save_route(
            organization=organization, name=read["name"], channels=read["channels"], now=timezone.now(),
            by=request.user.get_username(), route=route, enabled=read["enabled"],
            source=route.source if route else "live", **form.conditions(),
        ))  # fmt: skip
        if saved:
            messages.success(request, f"The route {read['name']} is {'on' if read['enabled'] else 'off'}.")
        return saved is not None


def _channels(channels: Sequence[Channel]) -> SafeString:
    return format_html_join(" ", "{}", ((channel_badge(one.name, one.state),) for one in channels))


class Preview:
    """What a route would have led from in the last month: how many, and the newest of them."""

    def __init__(self, led: Sequence[routing.Led]) -> None:
        self.number = led[0].number if led else 0
        self.newest = [(one, SEVERITY_TONES.get(one.severity, "plain")) for one in led]


def _preview(form: RouteForm, organization: str, source: str) -> Preview | None:
    wanted = form.wanted(organization, source)
    if wanted is None:
        return None
    return Preview(routing.preview(wanted, since=timezone.now() - timedelta(days=routing.PREVIEW_DAYS)))
