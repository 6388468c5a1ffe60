"""Django admin, scoped: people see and change only what their memberships allow; every change leaves an audit row."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import IntegrityError, models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from bedrock.text import text_problem
from organizations import keys
from organizations.access import enter_person, key_ring
from organizations.models import ApiKey, AuditEvent, KeyScope, Membership, Organization, User
from organizations.scope import Scope
from organizations.scoped_admin import Audited, OrganizationFilter, ScopedAdmin, people_of
from organizations.site import OWNERS, access_of, organizations_of


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


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin):
    form = OrganizationForm
    writers = OWNERS
    organization_field = "slug"
    list_display = ("name", "slug", "audience", "theme", "timezone", "currency", "raw_days")
    search_fields = ("slug", "name")

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


admin.site.unregister(Group)  # permissions come from memberships alone


@admin.register(Membership)
class MembershipAdmin(ScopedAdmin):
    readers = writers = OWNERS
    list_display = ("user", "organization", "role", "created_at")
    list_filter = (OrganizationFilter, "role")
    list_select_related = ("user", "organization")
    search_fields = ("user__username", "user__email")


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0

    def get_min_num(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return (
            0 if access_of(request).administrator or obj else 1
        )  # a person of no organization could not be found again

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, validate_min=not access_of(request).administrator, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(organization__in=organizations_of(request, OWNERS))

    def _may(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(organizations_of(request, OWNERS))

    has_view_permission = has_add_permission = has_change_permission = has_delete_permission = _may

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "organization":
            kwargs["queryset"] = Organization.objects.filter(slug__in=organizations_of(request, OWNERS))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(User)
class PersonAdmin(Audited, DjangoUserAdmin):  # type: ignore[type-arg]
    """People: all of them for platform administrators, those of their organizations for owners."""

    inlines = (MembershipInline,)
    list_display = ("username", "email", "is_active", "last_login")
    list_filter = ("is_active",)
    search_fields = ("username", "email", "first_name", "last_name")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email", "is_active")}),
        ("Seen", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def organization_of(self, obj: Any) -> str:
        return obj.memberships.values_list("organization_id", flat=True).first() or "shared"

    def audited_in(self, request: HttpRequest, obj: Any) -> str:
        """The person's first organization that the actor owns; the actor's own, when the last membership just went."""
        own = organizations_of(request, OWNERS)
        theirs = obj.memberships.filter(organization__in=own).values_list("organization_id", flat=True).first()
        return theirs or ("shared" if access_of(request).administrator else min(own))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if obj and access_of(request).administrator:
            return (*found, ("Platform", {"fields": ("is_superuser",)}))
        return found

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(pk__in=people_of(request).values("pk"))

    def _may_change(self, request: HttpRequest, obj: Any) -> bool:
        """An owner may change a person only when nobody else's organization is concerned."""
        if access_of(request).administrator:
            return True
        own = set(organizations_of(request, OWNERS))
        if obj is None or not own:
            return bool(own)
        with Scope.system("whose person is this").enter():
            theirs = set(obj.memberships.values_list("organization_id", flat=True))
        return bool(theirs) and theirs <= own and not obj.is_superuser

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(organizations_of(request, OWNERS)) and (
            obj is None or people_of(request).filter(pk=obj.pk).exists()
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(organizations_of(request, OWNERS))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and self._may_change(request, obj) and obj.pk != request.user.pk

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "is_active__exact"


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(choices=KeyScope.choices, widget=forms.CheckboxSelectMultiple)

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if problem := text_problem(name, 100):
            raise forms.ValidationError(f"The name {problem}.")
        return name

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        organization, chosen = found.get("organization"), set(found.get("scopes", ()))
        if (
            found.get("platform")
            and organization
            and (organization.pk != "shared" or not chosen <= keys.PLATFORM_SCOPES)
        ):
            raise forms.ValidationError("A platform key belongs to shared and may only read metrics and dashboards.")
        if found.get("expires_at") and found["expires_at"] <= timezone.now():
            raise forms.ValidationError({"expires_at": "Must lie in the future."})
        return found


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    form = ApiKeyForm
    readers = writers = OWNERS
    list_display = ("name", "organization", "prefix", "scopes", "state", "last_used_at", "expires_at", "created_by")
    list_filter = (OrganizationFilter,)
    list_select_related = ("organization",)
    search_fields = ("name", "prefix")
    actions = ["revoke"]

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= timezone.now() else "active"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj:
            return ("name", "organization", "prefix", "scopes", "platform", "created_at", "created_by", "expires_at",
                    "last_used_at", "revoked_at")  # fmt: skip
        platform = ("platform",) if access_of(request).administrator else ()
        return ("organization", "name", "scopes", *platform, "expires_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)  # a key is made and revoked, never edited

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # revoked keys stay readable in the audit trail

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored, text = keys.create_key(
            organization=obj.organization_id,
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            created_by=request.user.get_username(),
            expires_at=obj.expires_at,
            platform=obj.platform and access_of(request).administrator,
        )
        obj.pk, obj.prefix = stored.pk, stored.prefix
        obj._state.adding = False
        messages.warning(request, f"The new key, shown only this once: {text}")

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        """create_key has written its own audit row."""

    @admin.action(description="Revoke the selected keys", permissions=["add"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        now = timezone.now()
        for key in queryset.filter(revoked_at=None):
            ApiKey.objects.filter(pk=key.pk).update(revoked_at=now)
            self.audit(request, key, "revoked")
        transaction.on_commit(key_ring.forget)
        messages.success(request, "Revoked; the keys stop working within a second.")


@admin.register(AuditEvent)
class AuditEventAdmin(ScopedAdmin):
    list_display = ("at", "actor", "action", "object_type", "object_text", "organization", "address")
    list_filter = (OrganizationFilter, "actor_kind")
    search_fields = ("actor", "action", "object_text", "request_id")
    list_select_related = ("organization",)
