"""People and their memberships in the admin: an owner sees those of the own organizations, and changes no stranger."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from organizations.lists import Tone, badge, badges, when
from organizations.models import Membership, Organization, User
from organizations.scope import Scope
from organizations.scoped_admin import Audited, OwnOrganizationFilter, ScopedAdmin, people_of
from organizations.site import OWNERS, access_of, organizations_of

_TONES: dict[str, Tone] = {Membership.Role.OWNER: "warn"}


class MembershipAdmin(ScopedAdmin):
    readers = writers = OWNERS
    list_display = ("user", "organization", "role_shown", "since")
    list_filter = (OwnOrganizationFilter, "role")
    list_select_related = ("user", "organization")
    search_fields = ("user__username", "user__email")
    search_help_text = "Name or e-mail address of the person"
    autocomplete_fields = ("user", "organization")
    fieldsets = (
        (
            None,
            {
                "fields": ("user", "organization", "role"),
                "description": "What this person may do in this organization; it holds from their next click on.",
            },
        ),
    )

    @admin.display(description="role", ordering="role")
    def role_shown(self, membership: Membership) -> SafeString:
        return badge(membership.role, _TONES.get(membership.role, "plain"))

    @admin.display(description="since", ordering="created_at")
    def since(self, membership: Membership) -> SafeString | None:
        return when(membership.created_at)


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0
    autocomplete_fields = ("organization",)

    def get_min_num(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return (
            0 if access_of(request).administrator or obj else 1
        )  # a person of no organization could not be found again

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, validate_min=not access_of(request).administrator, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = organizations_of(request, OWNERS)
        return super().get_queryset(request).filter(organization__in=own).select_related("organization", "user")

    def _may(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(organizations_of(request, OWNERS))

    has_view_permission = has_add_permission = has_change_permission = has_delete_permission = _may

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "organization":
            kwargs["queryset"] = Organization.objects.filter(slug__in=organizations_of(request, OWNERS))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class MemberFilter(OwnOrganizationFilter):
    """People by an organization that one owns: of the others one may not even know who belongs to them."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value not in organizations_of(request, self.roles):
            return queryset.none()
        return queryset.filter(pk__in=Membership.objects.filter(organization=value).values("user"))


class PersonAdmin(Audited, DjangoUserAdmin):  # type: ignore[type-arg]
    """People: all of them for platform administrators, those of their organizations for owners."""

    inlines = (MembershipInline,)
    list_display = ("username", "name_shown", "email", "state", "belongs_to", "seen", "joined")
    list_filter = (MemberFilter, "is_active")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("username", "email", "first_name", "last_name")
    search_help_text = "Name or e-mail address"
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email", "is_active")}),
        ("Seen", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    @admin.display(description="name", ordering="first_name")
    def name_shown(self, person: User) -> str | None:
        return person.get_full_name() or None

    @admin.display(description="state", ordering="is_active")
    def state(self, person: User) -> SafeString:
        if not person.is_active:
            return badge("closed", "bad")
        return badge("administrator", "warn") if person.is_superuser else badge("active", "good")

    @admin.display(description="belongs to")
    def belongs_to(self, person: User) -> SafeString | None:
        """Those memberships alone that the list's own query fetched: of organizations the reader owns."""
        found: list[Membership] = getattr(person, "shown_memberships", [])
        return badges([f"{one.organization.name}: {one.role}" for one in found]) if found else None

    @admin.display(description="last signed in", ordering="last_login")
    def seen(self, person: User) -> SafeString | str:
        return when(person.last_login) or "never"

    @admin.display(description="joined", ordering="date_joined")
    def joined(self, person: User) -> SafeString | None:
        return when(person.date_joined)

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
        shown = Membership.objects.filter(organization__in=organizations_of(request, OWNERS))
        people = super().get_queryset(request).filter(pk__in=people_of(request).values("pk"))
        fetched = Prefetch("memberships", shown.select_related("organization"), to_attr="shown_memberships")
        return people.prefetch_related(fetched)

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
        return lookup in ("is_active__exact", "organization")
