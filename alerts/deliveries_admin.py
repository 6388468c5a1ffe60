"""The log of deliveries in the admin: who was told what, when and how that went; what failed is sent again here."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import journal, replays
from alerts.journal import Entry
from alerts.log_lists import (
    AlertFilter,
    ChannelFilter,
    DeliveryStateFilter,
    EndedFilter,
    EventFilter,
    LogList,
    LogPaginator,
    LogSourceFilter,
    identifier,
    paginator_of,
    searched,
)
from alerts.models import Attempt, Channel, Delivery
from alerts.pages import VerbsAdmin, link
from organizations.lists import at, badge, when
from organizations.scope import Scope
from organizations.scoped_admin import OrganizationFilter
from organizations.site import organizations_of

_LIST = "admin:alerts_delivery_changelist"
_SHOWN = 100  # characters of a message in a row
_MOST_TRIES = 200
_SPANS: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("the last hour", timedelta(hours=1)),
    "24h": ("the last 24 hours", timedelta(hours=24)),
    "7d": ("the last 7 days", timedelta(days=7)),
}
_AGAIN = frozenset({"trigger", "acknowledge", "resolve", "summary"})


class DeliveryAdmin(VerbsAdmin):
    """Written by whoever sends, and read here; nothing of it can be changed, but what failed can be sent again."""

    list_display = ("queued", "state_shown", "what", "channel_shown", "said", "ended")
    list_filter = (EndedFilter, DeliveryStateFilter, EventFilter, ChannelFilter, OrganizationFilter, LogSourceFilter,
                   AlertFilter)  # fmt: skip
    list_select_related = ("organization", "channel", "alert")
    list_max_show_all = 0
    ordering = ("-id",)
    search_fields = ("alert__message", "alert__alert_type")
    search_help_text = (
        f"Part of an alert's message or type, or a message id (msg_…); among the newest {journal.LOOKED_THROUGH:,}"
    )

    @admin.display(description="queued (UTC)")
    def queued(self, delivery: Delivery) -> SafeString:
        return at(delivery.queued_at)

    @admin.display(description="state")
    def state_shown(self, delivery: Any) -> SafeString:
        """With the reason, where it is not the usual end."""
        entry: Entry = delivery.entry
        shown = badge(delivery.state, entry.tone)
        return format_html("{} <small>{}</small>", shown, entry.because) if entry.because else shown

    @admin.display(description="of what")
    def what(self, delivery: Any) -> SafeString:
        event, alert = badge(delivery.entry.event), delivery.alert
        if alert is None:
            return event
        message = alert.message if len(alert.message) <= _SHOWN else f"{alert.message[:_SHOWN]}…"
        address = reverse("admin:alerts_alert_change", args=[alert.pk])
        return format_html('{} <a href="{}"><b>{}</b> {}</a>', event, address, alert.alert_type, message)

    @admin.display(description="channel")
    def channel_shown(self, delivery: Delivery) -> SafeString:
        channel = link(reverse("admin:alerts_channel_change", args=[delivery.channel_id]), delivery.channel.name)
        return format_html("{} <small>{}</small>", channel, delivery.organization.name)

    @admin.display(description="tries, last answer")
    def said(self, delivery: Any) -> SafeString | None:
        tries = f"{delivery.attempt} {'try' if delivery.attempt == 1 else 'tries'}"
        return format_html("{} <small>{}</small>", tries, delivery.entry.said) if delivery.attempt else None

    @admin.display(description="done")
    def ended(self, delivery: Any) -> SafeString | str | None:
        return when(delivery.entry.ended) or delivery.entry.goes_on

    def get_changelist(self, request: HttpRequest, **more: Any) -> type[ChangeList]:
        return LogList

    def get_paginator(self, request: HttpRequest, *args: Any, **more: Any) -> LogPaginator:
        return paginator_of(request, *args, **more)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = searched(queryset, search_term)
        return (found, False) if found is not None else super().get_search_results(request, queryset, search_term)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_replay_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.writers, obj)

    def get_urls(self) -> list[URLPattern]:
        again = path("again/", self.admin_site.admin_view(self.again_view), name="alerts_delivery_again")
        return [again, *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., str], str, str] | None]:
        """What may be done to many; `response_action` does it."""
        return {"replay": (str, "replay", "Send again")} if self.has_replay_permission(request) else {}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With a link to sending again all that failed, of the chosen channel if there is one."""
        asked = {"channel": request.GET["channel"]} if identifier(request.GET.get("channel", "")) else {}
        again = reverse("admin:alerts_delivery_again") + (f"?{urlencode(asked)}" if asked else "")
        more = {"again": again if self.has_replay_permission(request) else ""}
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *_: Any) -> HttpResponse | None:
        """By ids alone, since the list may show others by now."""
        ids = [int(one) for one in request.POST.getlist(ACTION_CHECKBOX_NAME) if one.isascii() and one.isdigit()]
        ids = [one for one in ids if one < 2**63][: replays.MOST]
        if request.POST.get("action") != "replay" or not ids:
            messages.warning(request, "Choose notices to send again.")
            return None
        number = replays.replay(scope=self._writable(request), ids=ids, now=timezone.now())
        _tell(request, number, len(set(ids)))
        return None

    def _writable(self, request: HttpRequest) -> Scope:
        return Scope.of(*organizations_of(request, self.writers))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Its page, and sending it again."""
        delivery: Delivery = self.found(request, object_id)
        may = self.has_replay_permission(request, delivery)
        if request.method == "POST":
            if not may:
                raise PermissionDenied
            scope = Scope.of(delivery.organization_id)
            _tell(request, replays.replay(scope=scope, ids=[delivery.pk], now=timezone.now()), 1)
            return HttpResponseRedirect(request.get_full_path())
        failed = delivery.state in ("dead", "expired") and delivery.event in _AGAIN
        tries = Attempt.objects.filter(delivery=delivery.pk).order_by("-number")[:_MOST_TRIES]
        [entry] = journal.entries([delivery])
        return self.page(
            request, "page", f"{entry.event.capitalize()} to {delivery.channel.name}", delivery=delivery, entry=entry,
            tries=[(one, journal.said(one), "good" if one.outcome == "sent" else "bad") for one in tries],
            message_id=f"msg_{delivery.key.hex}", may=may and failed and delivery.channel.state in ("on", "failed"),
            closed=may and failed and delivery.channel.state not in ("on", "failed"),
        )  # fmt: skip

    def again_view(self, request: HttpRequest) -> HttpResponse:
        """How many failed since when, and a button for each; of one channel or of all in which the person may."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        scope, now = self._writable(request), timezone.now()
        writable = organizations_of(request, self.writers)
        channels = Channel.objects.filter(organization__in=writable, state__in=("on", "failed"))
        asked = request.GET.get("channel", "")
        wanted = identifier(asked)
        channel = channels.filter(pk=wanted).first() if wanted else None
        if asked and channel is None:
            raise Http404("There is no such channel that anything could be sent through.")
        chosen = channel.pk if channel else None
        since = _moment(request.POST.get("since", ""), now) if request.method == "POST" else None
        if since is not None:
            number = replays.replay_since(scope=scope, since=since, channel=chosen)
            _tell(request, number, number)
            query = {"state": "waiting", **({"channel": channel.pk} if channel else {})}
            return HttpResponseRedirect(f"{reverse(_LIST)}?{urlencode(query)}")
        typed = (request.POST if request.method == "POST" else request.GET).get("since", "").strip()
        own = _moment(typed, now)
        fault = "" if own or not typed else f"{typed[:40]} is no time of the past; write it as {now:%Y-%m-%d %H:%M}."
        spans = [(name, f"in {words}", now - length) for name, (words, length) in _SPANS.items()]
        spans += [(typed, f"since {own:%Y-%m-%d %H:%M} UTC", own)] if own and typed not in _SPANS else []
        failed = [(name, words, replays.replayable_since(scope=scope, since=moment, channel=chosen))
                  for name, words, moment in spans]  # fmt: skip
        return self.page(request, "again", "Send again what failed", channel=channel, channels=channels, failed=failed,
                         most=replays.MOST, typed=typed, fault=fault)  # fmt: skip


def _moment(text: str, now: datetime) -> datetime | None:
    """The time that a span ("24h") or a time of the past (UTC where it says nothing else) means; None for neither."""
    if text in _SPANS:
        return now - _SPANS[text][1]
    try:
        found = parse_datetime(text)
    except ValueError:  # of the right shape, and no day
        return None
    if found is None:
        return None
    try:
        moment = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        return None
    return moment if moment < now else None


def _tell(request: HttpRequest, number: int, asked: int) -> None:
    if number:
        messages.success(request, f"{number:,} notice{'' if number == 1 else 's'} will be sent again.")
    if number < asked or not number:
        words = "What was not given up, is of a channel that is off, or was followed by newer news is not sent again."
        messages.warning(request, words)
