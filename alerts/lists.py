"""The admin's list of alerts: its filters with counts, its pages read along the indexes, and its words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.paginator import Page
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts.models import Alert
from alerts.states import RANKS
from organizations.lists import CappedPaginator, ChoiceFilter, SinceFilter, Tone
from organizations.models import Membership
from organizations.site import DATA_READERS, organizations_of

WRITERS = frozenset({Membership.Role.OWNER.value, Membership.Role.OPERATOR.value})  # who may change what is told
SEVERITY_TONES: Mapping[str, Tone] = {"critical": "bad", "warning": "warn"}
STATUS_TONES: Mapping[str, Tone] = {"firing": "bad", "acknowledged": "warn", "resolved": "good"}
WORST_FIRST, NEWEST_FIRST = ("rank", "-first_seen_at", "-id"), ("-first_seen_at", "-id")
OPEN = ~Q(status="resolved")
# Of each reason: why nobody is told.
REASONS: Mapping[str, str] = {
    "shelved": "shelved",
    "silenced": "silenced",
    "inhibited": "covered by another alert",
    "maintenance": "in maintenance",
    "demo": "demo data",
}
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))

Counts = Mapping[tuple[str, str], int]  # (severity, status) -> open alerts


def length(span: timedelta) -> str:
    """How long something took, in its two largest units: 2 d 3 h, 12 min, 40 s."""
    seconds = max(0, int(span.total_seconds()))
    parts: list[str] = []
    for size, unit in _UNITS:
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
    if not parts:
        return f"{seconds} s"
    return " ".join(part for part in parts[:2] if part)


def until(suppression: Mapping[str, Any]) -> str:
    """One reason why nobody is told, and for how long: shelved until 2026-03-01 09:30."""
    word = REASONS.get(str(suppression.get("kind")), str(suppression.get("kind")))
    end = suppression.get("until")
    return f"{word} until {minute_of(end)}" if end else word


def minute_of(moment: datetime | str) -> str:
    """A time, or its RFC 3339 text, to the minute as people read it."""
    return f"{moment:%Y-%m-%d %H:%M}" if isinstance(moment, datetime) else moment[:16].replace("T", " ")


def open_counts(alerts: QuerySet[Alert]) -> Counts:
    """How many of these are open, by severity and status: one statement over open alerts alone."""
    rows = alerts.filter(OPEN).order_by().values_list("severity", "status").annotate(number=Count("pk"))
    return {(severity, status): number for severity, status, number in rows}


def _counts(request: HttpRequest) -> Counts:
    """Of what the list may show under its other filters; asked once a request."""
    found: Counts | None = getattr(request, "alert_counts", None)
    if found is None:
        own, wanted = organizations_of(request, DATA_READERS), request.GET
        named = [wanted["organization"]] if wanted.get("organization") in own else own
        alerts = Alert.objects.filter(organization__in=named)
        if wanted.get("source") in dict(SourceFilter.options):
            alerts = alerts.filter(source=wanted["source"])
        found = open_counts(owned(alerts, request, wanted.get("owner")))
        request.alert_counts = found  # type: ignore[attr-defined]
    return found


def owned(alerts: QuerySet[Alert], request: HttpRequest, whose: str | None) -> QuerySet[Alert]:
    """Those of the signed-in person (me), or those that nobody has taken (nobody)."""
    if whose == "me":
        return alerts.filter(owner=request.user.pk)
    return alerts.filter(owner=None) if whose == "nobody" else alerts


def _sums(request: HttpRequest, place: int, beside: str) -> Counter[str]:
    """Open alerts by severity (place 0) or status (1), among those that the filter `beside` has chosen."""
    sums: Counter[str] = Counter()
    chosen = request.GET.get(beside)
    for key, number in _counts(request).items():
        if chosen in (None, key[1 - place]):
            sums[key[place]] += number
    return sums


def _counted(words: str, number: int | None) -> SafeString | str:
    return format_html('{} <span class="tally">{}</span>', words, f"{number:,}") if number else words


class SeverityFilter(ChoiceFilter):
    title = parameter_name = "severity"
    options = tuple((severity, severity.capitalize()) for severity in RANKS)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        sums = _sums(request, 0, "status")
        return [(value, _counted(words, sums[value])) for value, words in self.options]


class StatusFilter(ChoiceFilter):
    """Open alerts, unless others are asked for."""

    title = parameter_name = "status"
    options = (("firing", "Firing"), ("acknowledged", "Acknowledged"), ("resolved", "Resolved"), ("all", "All"))

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        sums = _sums(request, 1, "severity")
        self.open_words = _counted("Open", sum(sums.values()))
        return [(value, _counted(words, sums[value])) for value, words in self.options]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": self.open_words}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(OPEN) if self.value() is None else super().queryset(request, queryset)

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "all":
            return queryset
        # The condition of the indexes stands there word by word: a status alone would not tell the planner enough.
        return queryset.filter(status=value) if value == "resolved" else queryset.filter(OPEN, status=value)


class OwnerFilter(ChoiceFilter):
    title = parameter_name = "owner"
    options = (("me", "Mine"), ("nobody", "Nobody's"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().queryset(request, queryset)
        return owned(found, request, self.value())

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset


class SourceFilter(ChoiceFilter):
    title = parameter_name = "source"
    options = (("live", "Live"), ("demo", "Demo"))


class BeganFilter(SinceFilter):
    field = "first_seen_at"


class IndexedPaginator(CappedPaginator):
    """A page of a list in one of its own orders is read along an index, however many alerts there are.

    An index is in order within one organization (and severity), so each is read for itself, no further than the page
    reaches, and then they are merged. In any other order only the keys of all are sorted, not their rows.
    """

    organizations: Sequence[str] = ()

    @cached_property
    def count(self) -> int:
        """In no order: one would be made for all before the first is counted."""
        alerts: Any = self.object_list
        return int(alerts.order_by()[: self.most].count())

    def page(self, number: Any) -> Page[Any]:
        alerts: Any = self.object_list
        number = self.validate_number(number)
        top = number * self.per_page
        keys = [alerts.filter(**part).values("pk")[:top] for part in self._parts(alerts.query.order_by)]
        merged = alerts.filter(pk__in=keys[0].union(*keys[1:], all=True) if len(keys) > 1 else keys[0])
        return Page(merged[top - self.per_page : top], number, self)

    def _parts(self, order: Sequence[str]) -> list[dict[str, Any]]:
        """What to filter for, so that each part lies in this order in an index."""
        once = tuple(dict.fromkeys(order))  # the list's own order is named twice
        each = [{"organization": organization} for organization in self.organizations]
        if once == WORST_FIRST:
            return [{**one, "rank": rank} for one in each for rank in RANKS.values()]
        return each if once == NEWEST_FIRST else [{}]
