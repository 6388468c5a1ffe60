"""Recorded inferences in the admin, to read."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from bedrock import identifiers
from monitoring.measures import FAILED, SOURCES, STATUSES
from monitoring.models import Inference
from monitoring.store import retention
from organizations.lists import CappedPaginator, ChoiceFilter, SinceFilter, Tone, at, badge
from organizations.scoped_admin import OrganizationFilter, ScopedAdmin

_SEARCHED = timedelta(days=7)  # of rows that no index helps to search, unless a time is chosen
_TONES: dict[str, Tone] = {"success": "good", "cancelled": "warn", "rate_limited": "warn"}


class StatusFilter(ChoiceFilter):
    title = parameter_name = "status"
    options = (("failed", "Any failure"), *((status, status.replace("_", " ").capitalize()) for status in STATUSES))

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(status__in=FAILED) if value == "failed" else super().narrow(queryset, value)


class SourceFilter(ChoiceFilter):
    title = parameter_name = "source"
    options = tuple((source, source.capitalize()) for source in SOURCES)


class OccurredFilter(SinceFilter):
    field = "occurred_at"


@admin.register(Inference)
class InferenceAdmin(ScopedAdmin):
    list_display = ("occurred", "organization", "model", "provider", "status_shown", "duration", "input_shown",
                    "output_shown", "money", "source_shown")  # fmt: skip
    list_filter = (OccurredFilter, OrganizationFilter, StatusFilter, SourceFilter)
    list_select_related = ("organization",)
    search_fields = ("model", "=trace_id")
    search_help_text = "Part of a model's name, or a whole trace id; in the last 7 days, unless a time is chosen"
    ordering = ("-occurred_at",)
    paginator = CappedPaginator
    fieldsets = (
        (None, {"fields": ("occurred_at", "organization", "model", "provider", "endpoint", "source")}),
        ("How it went", {"fields": ("status_shown", "error_type", "attempt", "duration", "first_token", "estimated")}),
        (
            "Tokens",
            {"fields": ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
                        "reasoning_tokens")},
        ),
        ("Money", {"fields": ("cost", "revenue"), "description": "In the organization's currency."}),
        ("To find it again", {"fields": ("id", "trace_id", "span_id", "user_hash", "tags")}),
    )  # fmt: skip

    @admin.display(description="when (UTC)", ordering="occurred_at")
    def occurred(self, inference: Inference) -> SafeString:
        return at(inference.occurred_at)

    @admin.display(description="status", ordering="status")
    def status_shown(self, inference: Inference) -> SafeString:
        return badge(inference.status.replace("_", " "), _TONES.get(inference.status, "bad"))

    @admin.display(description="duration", ordering="duration_us")
    def duration(self, inference: Inference) -> str:
        return f"{inference.duration_us / 1000:,.1f} ms"

    @admin.display(description="time to first token")
    def first_token(self, inference: Inference) -> str | None:
        return None if inference.ttft_us is None else f"{inference.ttft_us / 1000:,.1f} ms"

    @admin.display(description="tokens in", ordering="input_tokens")
    def input_shown(self, inference: Inference) -> str | None:
        return None if inference.input_tokens is None else f"{inference.input_tokens:,}"

    @admin.display(description="tokens out", ordering="output_tokens")
    def output_shown(self, inference: Inference) -> str | None:
        return None if inference.output_tokens is None else f"{inference.output_tokens:,}"

    @admin.display(description="cost", ordering="cost")
    def money(self, inference: Inference) -> str | None:
        """To a millionth: a single call often costs a small part of a cent."""
        if inference.cost is None:
            return None
        return f"{inference.cost:,.6f} {inference.organization.currency}"

    @admin.display(description="source", ordering="source")
    def source_shown(self, inference: Inference) -> SafeString | str:
        return inference.source if inference.source == "live" else badge(inference.source)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Inference | None:
        """By id and the time inside it, so that one partition is read."""
        try:
            identifier = identifiers.parse(object_id)
            moment = identifiers.moment_of(identifier)
        except (ValueError, OverflowError):  # 48 bits of milliseconds reach beyond the year 9999
            return None
        return self.get_queryset(request).filter(pk=identifier, occurred_at=moment).first()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term and "since" not in request.GET:
            queryset = queryset.filter(occurred_at__gte=timezone.now() - _SEARCHED)
        return super().get_search_results(request, queryset, search_term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What retention still keeps, organization by organization."""
        now = timezone.now()
        kept = Q(pk__in=[])
        for organization, one in retention.every().items():
            kept |= Q(organization=organization, occurred_at__gte=one.raw_since(now))
        return super().get_queryset(request).filter(kept)
