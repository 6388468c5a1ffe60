"""Django admin, scoped: people see and change only what their memberships allow; every change leaves an audit row."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import IntegrityError, models, transaction
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from organizations.access import enter_person
from organizations.keys_admin import ApiKeyAdmin
from organizations.lists import CappedPaginator, ChoiceFilter, SinceFilter, Tone, at, badge, code
from organizations.models import ApiKey, AuditEvent, Membership, Organization, User
from organizations.people_admin import MembershipAdmin, PersonAdmin
from organizations.scoped_admin import OrganizationFilter, ScopedAdmin
from organizations.site import OWNERS, access_of, organizations_of

admin.site.unregister(Group)  # permissions come from memberships alone
admin.site.register(Membership, MembershipAdmin)
admin.site.register(User, PersonAdmin)
admin.site.register(ApiKey, ApiKeyAdmin)


class OrganizationForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_currency(self) -> str:
        """The database decides whether the currency may still change: ask it, and take the answer back."""
        currency = str(self.cleaned_data["currency"])
        if self.instance.pk and not self.instance._state.adding and currency != self.initial.get("currency"):
            try:
                with transaction.atomic():
                    Organization.objects.filter(pk=self.instance.pk).update(currency=currency)
                    transaction.set_rollback(True)
            except IntegrityError:
                raise forms.ValidationError(
                    "Inferences are stored in the present currency; it can no longer change."
                ) from None
        return currency


_CAPACITY = ("raw_days", "minute_days", "hour_days", "max_names")


def _count(rows: QuerySet[Any]) -> Subquery:
    """How many rows each organization has; None for one without any."""
    counted = rows.filter(organization=OuterRef("pk")).order_by().values("organization").annotate(n=Count("pk"))
    return Subquery(counted.values("n"), output_field=IntegerField())


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin):
    form = OrganizationForm
    writers = OWNERS
    organization_field = "slug"
    list_display = ("name", "slug_shown", "audience_shown", "members", "keys_in_use", "timezone", "currency",
                    "raw_days", "minute_days", "hour_days")  # fmt: skip
    list_filter = ("audience",)
    search_fields = ("slug", "name")
    search_help_text = "Name or slug"
    fieldsets = (
        (None, {"fields": ("slug", "name", "created_at")}),
        (
            "How it is shown",
            {
                "fields": ("audience", "theme", "timezone", "currency"),
                "description": "Who reads the dashboard, in which colours, at which hours and in which money.",
            },
        ),
        (
            "How long its data are kept",
            {
                "fields": _CAPACITY,
                "description": "What is older is deleted, and nothing brings it back.",
            },
        ),
    )

    @admin.display(description="slug", ordering="slug")
    def slug_shown(self, organization: Organization) -> SafeString:
        return code(organization.slug)

    @admin.display(description="audience", ordering="audience")
    def audience_shown(self, organization: Organization) -> SafeString:
        return badge(organization.audience)

    @admin.display(description="members", ordering="member_count")
    def members(self, organization: Any) -> Any:
        return organization.member_count

    @admin.display(description="keys in use", ordering="key_count")
    def keys_in_use(self, organization: Any) -> Any:
        return organization.key_count

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With counts where the reader is an owner; of the others they may not know who and what belongs to them."""
        own = Q(organization__in=organizations_of(request, OWNERS))
        active = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        found: QuerySet[Any] = super().get_queryset(request)
        people, in_use = Membership.objects.filter(own), ApiKey.objects.filter(own & active)
        counted: QuerySet[Any] = found.annotate(member_count=_count(people), key_count=_count(in_use))
        return counted

    def view_on_site(self, obj: Organization) -> str:
        """Its dashboard."""
        return reverse("dashboard", args=[obj.pk])

    def organization_of(self, obj: Any) -> str:
        return str(obj.pk)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access_of(request).administrator

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its rows, keys and audit trail would go with it

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = ("slug", "created_at") if obj else ("created_at",)
        # What costs the platform memory and disk is the platform's to decide.
        return fixed if access_of(request).administrator else (*fixed, *_CAPACITY)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:  # the request's scope was set before this organization was there
            request.access = enter_person(request.user)  # type: ignore[attr-defined,arg-type]

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        with access_of(request).whole_scope.enter():
            super().log_addition(request, obj, message)


class ActionFilter(ChoiceFilter):
    title = parameter_name = "action"
    options = tuple((word, word.replace("_", " ").capitalize()) for word in (
        "created", "changed", "deleted", "revoked", "signed_in", "signed_out", "sign_in_refused"
    ))  # fmt: skip


_ACTION_TONES: dict[str, Tone] = {"sign_in_refused": "bad", "deleted": "bad", "revoked": "warn", "created": "good"}


@admin.register(AuditEvent)
class AuditEventAdmin(ScopedAdmin):
    list_display = ("at_shown", "actor", "actor_kind", "action_shown", "object_shown", "organization", "address")
    list_filter = (SinceFilter, OrganizationFilter, ActionFilter, "actor_kind")
    search_fields = ("^actor", "object_text", "=request_id")
    search_help_text = "Who (the beginning of a name), what it was done to, or a request id"
    list_select_related = ("organization",)
    paginator = CappedPaginator
    fieldsets = (
        (None, {"fields": ("at", "action", "object_type", "object_id", "object_text", "organization", "changed")}),
        ("By whom", {"fields": ("actor", "actor_kind", "actor_id", "address", "user_agent", "request_id")}),
    )

    @admin.display(description="when (UTC)", ordering="at")
    def at_shown(self, event: AuditEvent) -> SafeString:
        return at(event.at)

    @admin.display(description="what", ordering="action")
    def action_shown(self, event: AuditEvent) -> SafeString:
        return badge(event.action.replace("_", " "), _ACTION_TONES.get(event.action, "plain"))

    @admin.display(description="to what")
    def object_shown(self, event: AuditEvent) -> str | None:
        return f"{event.object_type} {event.object_text or event.object_id}".strip() or None

    @admin.display(description="changes")
    def changed(self, event: AuditEvent) -> SafeString | None:
        changes = event.changes if isinstance(event.changes, dict) else {}
        return format_html_join("", '<div class="moved">{}</div>', ((told(*one),) for one in changes.items())) or None


def told(name: str, change: Any) -> str:
    """One change of an audit row: "raw_days: 30 → 7"; "added Ada in Acme" for what has no two sides."""
    if not isinstance(change, list) or len(change) != 2:
        return f"{name}: {', '.join(map(str, change))}" if isinstance(change, list) and change else name
    return f"{name}: {change[0] or '–'} → {change[1]}"
