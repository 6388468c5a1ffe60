"""Channels in the admin: the kinds there are, a form of each, how they have been, a test that is answered at once."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import channel_desk, journal, roster, trials
from alerts.channels import TRANSPORTS, title_of
from alerts.forms import ChannelForm
from alerts.journal import Counts
from alerts.lists import SourceFilter
from alerts.models import Channel
from alerts.pages import CHANNEL_TONES, VerbsAdmin, done, link
from alerts.sending import tools
from organizations.lists import ChoiceFilter, badge
from organizations.scoped_admin import OrganizationFilter
from organizations.site import DATA_READERS, organizations_of

LOG = "admin:alerts_delivery_changelist"


class ChannelStateFilter(ChoiceFilter):
    """All but those that were retired, unless they are asked for."""

    title = parameter_name = "state"
    options = (("on", "On"), ("off", "Off"), ("failed", "Failed"), ("retired", "Retired"))

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "In use"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(state="retired") if self.value() is None else super().queryset(request, queryset)


class KindFilter(ChoiceFilter):
    title = parameter_name = "kind"
    options = tuple((one.kind, one.title) for one in TRANSPORTS.values())


class ChannelList(ChangeList):
    """With what waits for each channel and what it lost, in one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        own = organizations_of(request, DATA_READERS)
        counts = journal.counts([one.pk for one in rows], own, timezone.now()) if rows else {}
        for one in rows:
            one.counts = counts.get(one.pk, Counts())
        self.result_list: Any = rows


class ChannelAdmin(VerbsAdmin):
    """Made, changed and retired by the verbs of `roster` alone, and never deleted: the log goes on naming them."""

    list_display = ("name", "kind_shown", "organization", "audience", "state_shown", "health", "waiting", "dead")
    list_filter = (ChannelStateFilter, KindFilter, OrganizationFilter, SourceFilter)
    list_select_related = ("organization",)
    search_fields = ("name",)
    search_help_text = "Part of a name"

    def get_changelist(self, request: HttpRequest, **more: Any) -> type[ChangeList]:
        return ChannelList

    @admin.display(description="kind")
    def kind_shown(self, channel: Channel) -> str:
        return title_of(channel.kind)

    @admin.display(description="state")
    def state_shown(self, channel: Channel) -> SafeString:
        state = badge(channel.state, CHANNEL_TONES.get(channel.state, "plain"))
        return format_html("{} {}", state, badge("demo")) if channel.source == "demo" else state

    @admin.display(description="how it is")
    def health(self, channel: Any) -> SafeString:
        words = channel_desk.health(channel, channel.counts.waiting, timezone.now())
        return format_html('<span class="health health--{}">{}</span>', channel_desk.tone(channel), words)

    @admin.display(description="waiting")
    def waiting(self, channel: Any) -> SafeString | str:
        return _counted(channel.counts.waiting, channel, state="waiting")

    @admin.display(description="dead, 7 days")
    def dead(self, channel: Any) -> SafeString | str:
        return _counted(channel.counts.dead, channel, state="dead", event="alert", since="7d")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the kinds there are, then the form of the one that was chosen."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kind = request.GET.get("kind", "")
        if kind not in TRANSPORTS:
            if kind:
                messages.warning(request, "There is no such kind of channel.")
            return self.page(request, "kinds", "Add a channel", kinds=channel_desk.kinds())
        form = ChannelForm(
            TRANSPORTS[kind], client=tools("live").client, organizations=self.own(request),
            data=request.POST if request.method == "POST" else None,
        )  # fmt: skip
        if request.method == "POST" and form.is_valid() and (made := self._create(request, form)):
            return HttpResponseRedirect(reverse("admin:alerts_channel_change", args=[made]))
        title = f"Add a channel: {form.transport.title}"
        return self.page(request, "add", title, form=form, lacks=channel_desk.lacks(kind), transport=form.transport)

    def _create(self, request: HttpRequest, form: ChannelForm) -> UUID | None:
        read = form.cleaned_data
        made = done(form, lambda: roster.create_channel(
            organization=read["organization"], kind=form.transport.kind, name=read["name"], audience=read["audience"],
            settings=form.settings, now=timezone.now(), by=request.user.get_username(), per_minute=read["per_minute"],
        ))  # fmt: skip
        if made:
            messages.success(request, f"The channel {read['name']} is on. Send a test to see that notices get through.")
            _show_once(request, form)
        return made

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Its page, and what is done on it."""
        channel: Channel = self.found(request, object_id)
        may = self.has_change_permission(request, channel) and channel.state != "retired"
        if request.method == "POST" and not self.has_change_permission(request, channel):
            raise PermissionDenied
        secrets = roster.secrets_of(channel)
        acting = request.method == "POST" and may
        form = self._form(channel, secrets, request.POST if acting and "save" in request.POST else None)
        if acting:
            if form and form.is_bound:
                if form.is_valid() and self._change(request, channel, form):
                    return HttpResponseRedirect(request.get_full_path())
            else:
                return self._act(request, channel)
        elif request.method == "POST":
            messages.warning(request, "The channel is retired; it cannot be changed any more.")
            return HttpResponseRedirect(request.get_full_path())
        return self.page(
            request, "page", channel.name, channel=channel, form=form if may else None,
            desk=channel_desk.look(channel, secrets, timezone.now()), acts=channel_desk.offered(channel) if may else [],
            unreadable=bool(channel.sealed) and not secrets and may,
        )  # fmt: skip

    def _form(self, channel: Channel, secrets: Mapping[str, str], data: Any) -> ChannelForm | None:
        """None for a kind that this version does not know."""
        transport = TRANSPORTS.get(channel.kind)
        if transport is None:
            return None
        return ChannelForm(transport, client=tools(channel.source).client, channel=channel, kept=secrets, data=data)

    def _change(self, request: HttpRequest, channel: Channel, form: ChannelForm) -> bool:
        def change() -> bool:
            read = form.cleaned_data
            roster.change_channel(
                channel=channel, name=read["name"], audience=read["audience"], settings=form.settings,
                now=timezone.now(), per_minute=read["per_minute"],
            )  # fmt: skip
            return True

        changed = done(form, change) or False
        if changed:
            mended = " It is on again." if channel.state == "failed" else ""
            messages.success(request, f"Saved.{mended}")
            _show_once(request, form)
        return changed

    def _act(self, request: HttpRequest, channel: Channel) -> HttpResponse:
        act = channel_desk.ACTS.get(request.POST.get("act", ""))
        if act is None or act not in channel_desk.offered(channel):
            messages.warning(request, "That cannot be done to the channel as it is now.")
        elif act.name == "retire" and "confirmed" not in request.POST:
            desk = channel_desk.look(channel, {}, timezone.now())
            return self.page(request, "retire", f"Retire {channel.name}", channel=channel, desk=desk)
        else:
            _ACTS[act.name](request, channel)
        return HttpResponseRedirect(request.get_full_path())


def _counted(number: int, channel: Channel, **filters: str) -> SafeString | str:
    """A number that leads to the notices it counts."""
    query = urlencode({"channel": channel.pk, **filters})
    return link(f"{reverse(LOG)}?{query}", f"{number:,}") if number else "0"


def _show_once(request: HttpRequest, form: ChannelForm) -> None:
    """The secrets that were made for it, which are never shown again."""
    labels = {field.name: field.label for field in form.transport.fields}
    for name, secret in form.settings.made.items():
        messages.warning(request, f"{labels[name]}, shown only this once: {secret}")


def _try_out(request: HttpRequest, channel: Channel) -> None:
    """After this request's transaction: the receiver may take ten seconds, and nothing may wait for a lock so long.

    Messages are stored when the middleware that opened it has been left, so that the answer stands on the next page.
    """

    def send() -> None:
        good, words = channel_desk.told(trials.try_out(channel=channel, by=request.user.get_username()))
        (messages.success if good else messages.error)(request, words)

    transaction.on_commit(send)


def _switch_on(request: HttpRequest, channel: Channel) -> None:
    roster.switch(channel=channel, on=True, now=timezone.now())
    messages.success(request, "It is on; what waited is sent now.")


def _switch_off(request: HttpRequest, channel: Channel) -> None:
    roster.switch(channel=channel, on=False, now=timezone.now())
    messages.success(request, "It is off: nothing is sent through it, and what waited was dropped.")


def _rotate(request: HttpRequest, channel: Channel) -> None:
    secret = roster.rotate(channel=channel, now=timezone.now())
    hours = roster.OVERLAP // timedelta(hours=1)
    words = f"The new signing secret, shown only this once: {secret} (the one before signs too for {hours} hours)"
    messages.warning(request, words)


def _retire(request: HttpRequest, channel: Channel) -> None:
    roster.retire(channel=channel, now=timezone.now())
    messages.success(request, "Retired: its secrets are forgotten, and no route leads there.")


_ACTS: Mapping[str, Callable[[HttpRequest, Channel], None]] = {
    "test": _try_out, "on": _switch_on, "off": _switch_off, "rotate": _rotate, "retire": _retire,
}  # fmt: skip
