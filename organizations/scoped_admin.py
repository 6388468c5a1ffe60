"""The base of every admin over rows of an organization: scoped by memberships, every change in the audit trail."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from organizations import audit
from organizations.models import AuditEvent, Organization, User
from organizations.site import DATA_READERS, OWNERS, access_of, organizations_of


class OrganizationFilter(admin.SimpleListFilter):
    """The person's own organizations, never a list of all."""

    title = "organization"
    parameter_name = "organization"
    roles = DATA_READERS

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        own = organizations_of(request, self.roles)
        return list(Organization.objects.filter(slug__in=own).values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        own = {slug for slug, _ in self.lookup_choices}  # what else an address may name is not asked for
        return queryset.filter(organization=self.value()) if self.value() in own else queryset.none()


class OwnOrganizationFilter(OrganizationFilter):
    """Those alone in which the person is an owner."""

    roles = OWNERS


class Audited:
    """Writes admin changes to the audit trail (never to Django's own log), and shows an object's history from it."""

    show_facets = admin.ShowFacets.NEVER  # a count for each choice reads the whole table
    audited_as = ""  # what its rows are called in the trail, where that is not the model's name

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Under the name of what is listed, rather than "Select ... to change"."""
        title = self.opts.verbose_name_plural  # type: ignore[attr-defined]
        context = {"title": str(title)[:1].upper() + str(title)[1:], **(extra_context or {})}
        return super().changelist_view(request, context)  # type: ignore[misc]

    def organization_of(self, obj: Any) -> str:
        return str(obj.organization_id)

    def audited_in(self, request: HttpRequest, obj: Any) -> str:
        """The organization whose audit trail tells of it."""
        return self.organization_of(obj)

    def audit(
        self, request: HttpRequest, obj: models.Model, action: str, changes: dict[str, Any] | None = None
    ) -> None:
        audit.record(
            organization=self.audited_in(request, obj),
            action=action,
            object_type=obj._meta.model_name or "",
            object_id=str(obj.pk),
            object_text=str(obj),
            changes=changes,
        )

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self.audit(request, obj, "created")

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self.audit(request, obj, "changed", getattr(request, "audited_changes", {}))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self.audit(request, obj, "deleted")

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        """Kept for `log_change`: field -> [before, after], secrets masked by the audit verb."""
        changes: dict[str, Any] = {}
        for name in form.changed_data:
            if "password" in name:
                changes[name] = ["", "changed"]
            elif name in form.cleaned_data:
                changes[name] = [str(form.initial.get(name, ""))[:200], str(form.cleaned_data[name])[:200]]
        for formset in formsets or []:
            changes |= {f"added {row}": [] for row in formset.new_objects}
            changes |= {f"removed {row}": [] for row in formset.deleted_objects}
            changes |= {f"changed {row}": list(fields) for row, fields in formset.changed_objects}
        request.audited_changes = changes  # type: ignore[attr-defined]
        return []

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        obj = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if obj is None or not self.has_view_permission(request, obj):  # type: ignore[attr-defined]
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        called = self.audited_as or obj._meta.model_name
        events = AuditEvent.objects.filter(
            organization=self.organization_of(obj), object_type=called, object_id=str(obj.pk)
        )[:200]
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": f"Change history: {obj}",
            "events": events,
            "object": obj,
            "opts": self.opts,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/audit_history.html", context)


def people_of(request: HttpRequest) -> QuerySet[User]:
    """The people a person may know of: everybody for platform administrators, else those of their organizations."""
    if access_of(request).administrator:
        return User.objects.all()
    return User.objects.filter(memberships__organization__in=organizations_of(request, OWNERS)).distinct()


class ScopedAdmin(Audited, admin.ModelAdmin):  # type: ignore[type-arg]
    """The base of every admin over rows of an organization; permissions come from memberships, not from groups."""

    readers = DATA_READERS
    writers: frozenset[str] = frozenset()
    organization_field = "organization"
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = organizations_of(request, self.readers)
        return super().get_queryset(request).filter(**{f"{self.organization_field}__in": own})

    def _allowed(self, request: HttpRequest, roles: frozenset[str], obj: Any) -> bool:
        """Whether the person has one of the roles there; with no roles at all nobody may, administrators included."""
        own = organizations_of(request, roles) if roles else []
        return bool(own) if obj is None else self.organization_of(obj) in own

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.readers, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._allowed(request, self.writers, None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.writers, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.writers, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "organization":
            kwargs["queryset"] = Organization.objects.filter(slug__in=organizations_of(request, self.writers))
        elif db_field.name == "user":
            kwargs["queryset"] = people_of(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what the page itself offers: its filters, never a field or relation named by hand."""
        offered: set[str] = set()
        for entry in self.list_filter:
            name = entry if isinstance(entry, str) else getattr(entry, "parameter_name", "")
            offered |= {str(name), f"{name}__exact", f"{name}__isnull"}
        return lookup in offered
