"""What the admin's lists have in common: badges, times as people say them, and filters that cost nothing to draw."""

from datetime import datetime, timedelta
from typing import Any, Literal

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Tone = Literal["good", "warn", "bad", "plain"]
_STEPS = ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))
_NEAR = timedelta(days=60)  # a time further away is easier to place by its date


def badge(text: str, tone: Tone = "plain") -> SafeString:
    return format_html('<span class="tag tag--{}">{}</span>', tone, text)


def badges(texts: list[str], tone: Tone = "plain") -> SafeString:
    return format_html_join(" ", '<span class="tag tag--{}">{}</span>', ((tone, text) for text in texts))


def code(text: str) -> SafeString:
    return format_html("<code>{}</code>", text)


def relative(moment: datetime, now: datetime) -> str:
    """How far a time lies from now, as people say it: "3 hours ago", "in 2 days"; a date when that is far."""
    distance = abs(moment - now)
    if distance >= _NEAR:
        return f"{moment:%Y-%m-%d}"
    for size, unit in _STEPS:
        if distance >= size:
            number = distance // size
            length = f"{number} {unit}{'' if number == 1 else 's'}"
            return f"in {length}" if moment > now else f"{length} ago"
    return "in less than a minute" if moment > now else "just now"


def when(moment: datetime | None) -> SafeString | None:
    """A time as people say it; the exact one shows on hover."""
    return None if moment is None else _time(moment, relative(moment, timezone.now()), exact(moment))


def at(moment: datetime) -> SafeString:
    """The exact time, where the order of events matters; how long ago that is shows on hover."""
    return _time(moment, exact(moment), relative(moment, timezone.now()))


def exact(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _time(moment: datetime, text: str, title: str) -> SafeString:
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), title, text.removesuffix(" UTC"))


def minute(moment: datetime) -> datetime:
    """The whole minute a time lies in: what is counted by minutes and what is listed begin at the same one."""
    return moment.replace(second=0, microsecond=0)


class ChoiceFilter(admin.SimpleListFilter):
    """A filter over a closed list of (value, words), which asks the database nothing to draw itself."""

    options: tuple[tuple[str, str], ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, str], ...]:
        return self.options

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        return self.narrow(queryset, value) if value in dict(self.options) else queryset.none()

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): value})


class SinceFilter(ChoiceFilter):
    """The newest rows of a big table, without Django's date drill-down, which would read all of it."""

    title = "time"
    parameter_name = "since"
    options = (("1h", "Last hour"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"), ("30d", "Last 30 days"))
    field = "at"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        span = timedelta(**{"hours" if value.endswith("h") else "days": int(value[:-1])})
        return queryset.filter(**{f"{self.field}__gte": minute(timezone.now() - span)})


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than a person turns pages: a full count of a month can take seconds."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[: self.most].count())
