"""API keys in the admin: made once, shown once, revoked, and never edited."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from bedrock.text import text_problem
from organizations import keys
from organizations.access import key_ring
from organizations.lists import ChoiceFilter, Tone, badge, badges, code, when
from organizations.models import ApiKey, KeyScope
from organizations.scoped_admin import OwnOrganizationFilter, ScopedAdmin
from organizations.site import OWNERS, access_of


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=KeyScope.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="As little as it needs: a service that only records inferences needs the first one alone.",
    )

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


EXPIRES_SOON = timedelta(days=14)
_KEY_TONES: dict[str, Tone] = {"active": "good", "expires soon": "warn", "expired": "bad"}


class KeyStateFilter(ChoiceFilter):
    title = parameter_name = "state"
    options = (("active", "In use"), ("expiring", "Expires within 14 days"), ("expired", "Expired"),
               ("revoked", "Revoked"))  # fmt: skip

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        now = timezone.now()
        if value == "revoked":
            return queryset.exclude(revoked_at=None)
        expiry = {
            "active": Q(expires_at=None) | Q(expires_at__gt=now),
            "expiring": Q(expires_at__gt=now, expires_at__lte=now + EXPIRES_SOON),
            "expired": Q(expires_at__lte=now),
        }
        return queryset.filter(expiry[value], revoked_at=None)


class KeyUseFilter(ChoiceFilter):
    title = "use"
    parameter_name = "use"
    options = (("never", "Never used"), ("recent", "Used in the last 24 hours"), ("idle", "Not used for 30 days"))

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        now = timezone.now()
        use = {
            "never": Q(last_used_at=None),
            "recent": Q(last_used_at__gte=now - timedelta(hours=24)),
            "idle": Q(last_used_at__lt=now - timedelta(days=30)),
        }
        return queryset.filter(use[value])


class ApiKeyAdmin(ScopedAdmin):
    form = ApiKeyForm
    readers = writers = OWNERS
    list_display = ("name", "organization", "key", "scopes_shown", "state", "used", "expires", "made")
    list_filter = (OwnOrganizationFilter, KeyStateFilter, KeyUseFilter)
    list_select_related = ("organization",)
    search_fields = ("name", "^prefix")
    search_help_text = "Name, or the first letters after ck_"
    autocomplete_fields = ("organization",)
    actions = ["revoke"]

    @admin.display(description="state")
    def state(self, key: ApiKey) -> SafeString:
        now = timezone.now()
        if key.revoked_at:
            return badge("revoked")
        word = "active"
        if key.expires_at is not None:
            word = "expired" if key.expires_at <= now else word
            word = "expires soon" if now < key.expires_at <= now + EXPIRES_SOON else word
        return badge(word, _KEY_TONES[word])

    @admin.display(description="key", ordering="prefix")
    def key(self, key: ApiKey) -> SafeString:
        return code(f"ck_{key.prefix}_…")

    @admin.display(description="scopes")
    def scopes_shown(self, key: ApiKey) -> SafeString:
        return badges([*key.scopes, *(["every organization"] if key.platform else [])])

    @admin.display(description="last used", ordering="last_used_at")
    def used(self, key: ApiKey) -> SafeString | str:
        return when(key.last_used_at) or "never"

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, key: ApiKey) -> SafeString | str:
        return when(key.expires_at) or "never"

    @admin.display(description="created", ordering="created_at")
    def made(self, key: ApiKey) -> SafeString | None:
        return when(key.created_at)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj:
            return (
                (None, {"fields": ("name", "organization", "key", "scopes_shown", "state")}),
                ("Its life", {"fields": ("created_at", "created_by", "expires_at", "last_used_at", "revoked_at")}),
            )
        platform = ("platform",) if access_of(request).administrator else ()
        words = "The key is shown once, on the next page. Keep it where the client can read it and nobody else."
        return ((None, {"fields": ("organization", "name", "scopes", *platform, "expires_at"), "description": words}),)

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
