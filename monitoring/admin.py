"""Recorded inferences in the admin, to read."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property

from bedrock import identifiers
from monitoring.measures import SOURCES, STATUSES
from monitoring.models import Inference
from monitoring.store import retention
from organizations.scoped_admin import OrganizationFilter, ScopedAdmin


class _ChoiceFilter(admin.SimpleListFilter):
    """A filter over a closed list, which asks the database nothing to draw itself."""

    choices_of: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(choice, choice) for choice in self.choices_of]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class StatusFilter(_ChoiceFilter):
    title = parameter_name = "status"
    choices_of = STATUSES


class SourceFilter(_ChoiceFilter):
    title = parameter_name = "source"
    choices_of = SOURCES


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than a person turns pages: a full count of a month can take seconds."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[: self.most].count())


@admin.register(Inference)
class InferenceAdmin(ScopedAdmin):
    list_display = ("occurred_at", "organization", "model", "provider", "status", "duration", "input_tokens",
                    "output_tokens", "cost", "source")  # fmt: skip
    list_filter = (OrganizationFilter, StatusFilter, SourceFilter)
    list_select_related = ("organization",)
    search_fields = ("model", "trace_id")
    search_help_text = "model or trace id"
    ordering = ("-occurred_at",)
    paginator = CappedPaginator

    @admin.display(description="duration", ordering="duration_us")
    def duration(self, inference: Inference) -> str:
        return f"{inference.duration_us / 1000:,.1f} ms"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Inference | None:
        """By id and the time inside it, so that one partition is read."""
        try:
            identifier = identifiers.parse(object_id)
            moment = identifiers.moment_of(identifier)
        except (ValueError, OverflowError):  # 48 bits of milliseconds reach beyond the year 9999
            return None
        return self.get_queryset(request).filter(pk=identifier, occurred_at=moment).first()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What retention still keeps, organization by organization."""
        now = timezone.now()
        kept = Q(pk__in=[])
        for organization, one in retention.every().items():
            kept |= Q(organization=organization, occurred_at__gte=one.raw_since(now))
        return super().get_queryset(request).filter(kept)
