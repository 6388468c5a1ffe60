"""The admin's list of deliveries: its filters, and pages that are read along the indexes however long the log is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from alerts import journal
from alerts.journal import STATE_TONES, WAITING
from alerts.lists import IndexedPaginator
from alerts.models import Channel
from organizations.lists import ChoiceFilter, SinceFilter
from organizations.site import DATA_READERS, organizations_of

_MESSAGE_ID = re.compile(r"(?:msg_)?([0-9a-f]{32})", re.IGNORECASE)
_STATES = (*STATE_TONES, "expired", "skipped")
# What an index of its own leads to; everything else is looked for among the newest notices.
_INDEXED: Mapping[str, frozenset[str]] = {
    "state": frozenset({"waiting", "pending", "sending", "dead", "expired"}),
    "event": frozenset({"test", "summary", "pulse"}),
}


class DeliveryStateFilter(ChoiceFilter):
    title = parameter_name = "state"
    options = (("waiting", "Waiting"), *((one, one.capitalize()) for one in _STATES))

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "waiting":
            return queryset.filter(WAITING)
        # The condition of the index stands there word by word.
        return queryset.filter(state=value, **({"done_at": None} if value in ("pending", "sending") else {}))


class EventFilter(ChoiceFilter):
    """All but the pulses of dead-man's switches, of which one comes every minute."""

    title = parameter_name = "event"
    options = (("alert", "Any alert"), ("trigger", "Alert fires"), ("acknowledge", "Alert looked after"),
               ("resolve", "Alert over"), ("test", "Test"), ("summary", "Summary"), ("pulse", "Pulse"))  # fmt: skip

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "All but pulses"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset.exclude(event="pulse")
        return super().queryset(request, queryset)

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "alert":
            return queryset.filter(alert__isnull=False)
        alone = {"alert": None} if value in _INDEXED["event"] else {}
        return queryset.filter(event=value, **alone)


class EndedFilter(SinceFilter):
    """By when it was done with; what still waits is of every time."""

    field = "done_at"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(done_at=None) | super().narrow(queryset, value)


class LogSourceFilter(ChoiceFilter):
    title = parameter_name = "source"
    options = (("live", "Live"), ("demo", "Demo"))

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(channel__source=value)


class ByIdFilter(admin.SimpleListFilter):
    """By the id of another row; an id that is none finds nothing."""

    field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """While it is in use it can be taken away."""
        chosen = request.GET.get(str(self.parameter_name))
        return [(chosen, "One alone")] if chosen else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        chosen = identifier(str(self.value()))
        return queryset.filter(**{self.field: chosen}) if chosen else queryset.none()


class AlertFilter(ByIdFilter):
    title = parameter_name = field = "alert"


class ChannelFilter(ByIdFilter):
    """Those in use, and the chosen one also when it is retired."""

    title = parameter_name = field = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        own = Channel.objects.filter(organization__in=organizations_of(request, DATA_READERS))
        wanted = ~Q(state="retired")
        if chosen := identifier(request.GET.get("channel", "")):
            wanted |= Q(pk=chosen)
        return [(str(key), name) for key, name in own.filter(wanted).values_list("pk", "name")]


def identifier(words: str) -> UUID | None:
    """An id as an address names it; None for what is none."""
    try:
        return UUID(words)
    except ValueError:
        return None


class LogPaginator(IndexedPaginator):
    """Reads each organization's newest notices down to its floor, if there is one."""

    floors: Mapping[str, int] = {}

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        keys = [rows.filter(**part).order_by().values("pk")[: self.most] for part in self._parts(())]
        found = keys[0].union(*keys[1:], all=True) if len(keys) > 1 else keys[0]
        return min(self.most, int(found.count()))

    def page(self, number: Any) -> Page[Any]:
        """First the keys, of each organization no further than the page reaches, then the rows of the page alone."""
        rows: Any = self.object_list
        number = self.validate_number(number)
        if rows.query.is_empty():  # a filter by what there is not: of nothing there is no union to sort
            return Page(rows, number, self)
        top = number * self.per_page
        keys = [rows.filter(**part).values_list("id", flat=True)[:top] for part in self._parts(())]
        merged = keys[0].union(*keys[1:], all=True).order_by("-id") if len(keys) > 1 else keys[0]
        return Page(rows.filter(pk__in=list(merged[top - self.per_page : top])), number, self)

    def _parts(self, order: Sequence[str]) -> list[dict[str, Any]]:
        return [{"organization": one, **({"pk__gt": self.floors[one]} if one in self.floors else {})}
                for one in self.organizations]  # fmt: skip


def paginator_of(request: HttpRequest, *args: Any, **more: Any) -> LogPaginator:
    """Whether an index leads to what is asked for decides how far back it is looked for."""
    paginator, asked = LogPaginator(*args, **more), request.GET
    own = organizations_of(request, DATA_READERS)
    paginator.organizations = [asked["organization"]] if asked.get("organization") in own else own
    led = "alert" in asked or any(asked.get(name) in values for name, values in _INDEXED.items())
    if not led and any(name in asked for name in ("q", "since", "channel", "state", "event", "source")):
        paginator.floors = journal.floors(paginator.organizations)
    return paginator


class LogList(ChangeList):
    """Always read by the paginator; with the words of each notice's last try, in one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list
        rows: list[Any] = list(self.result_list)
        for one, entry in zip(rows, journal.entries(rows)):
            one.entry = entry
        self.result_list: Any = rows


def searched(queryset: QuerySet[Any], words: str) -> QuerySet[Any] | None:
    """The notice of a message id, as its receiver knows it; None for other words."""
    found = _MESSAGE_ID.fullmatch(words.strip())
    return queryset.filter(key=UUID(found[1])) if found else None
