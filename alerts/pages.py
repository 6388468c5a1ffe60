"""What the admin's pages of channels, routes and deliveries have in common: rows that verbs alone change."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts.lists import WRITERS
from alerts.models import Route
from alerts.roster import Unfit
from organizations.lists import Tone, badge
from organizations.models import Organization
from organizations.scoped_admin import ScopedAdmin
from organizations.site import organizations_of

CHANNEL_TONES: Mapping[str, Tone] = {"on": "good", "failed": "bad"}
Made = TypeVar("Made")


class VerbsAdmin(ScopedAdmin):
    """The verbs write audit rows of their own; what is not one's own is 404 by every address of it."""

    writers = WRITERS
    sortable_by = ()

    @property
    def media(self) -> forms.Media:
        """Our own script does all that Django's would, and is named by the templates."""
        return forms.Media()

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., str], str, str] | None]:
        return {}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """The row.

        Raises:
            Http404: for none, and for another organization's.
        """
        found = self.get_object(request, object_id)
        if found is None or not self.has_view_permission(request, found):
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        return found

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.found(request, object_id)
        return super().history_view(request, object_id, extra_context)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The verb has written its own."""

    log_change = log_addition

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """The verb has written its own."""

    def own(self, request: HttpRequest) -> dict[str, str]:
        """The organizations in which the person may write, by their slugs."""
        slugs = organizations_of(request, self.writers)
        return dict(Organization.objects.filter(slug__in=slugs).order_by("name").values_list("slug", "name"))

    def organization_for(self, request: HttpRequest, title: str, words: str) -> Organization | HttpResponse:
        """That in which a row is to be added: the one that the address names, the only one, or a page that asks.

        Raises:
            PermissionDenied: for somebody who may add none.
            Http404: for an organization in which they may not.
        """
        if not self.has_add_permission(request):
            raise PermissionDenied
        own = self.own(request)
        asked = request.GET.get("organization", "")
        if asked and asked not in own:
            raise Http404("There is no such organization.")
        if not asked and len(own) > 1:
            return self.page(request, "organizations", title, organizations=own.items(), words=words)
        return Organization.objects.get(pk=asked or next(iter(own)))

    def page(self, request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
        """A page of this kind of row, from its own folder of templates or from that of all kinds."""
        whole = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
            **context,
        }
        places = [f"admin/alerts/{folder}{template}.html" for folder in (f"{self.opts.model_name}/", "")]
        return TemplateResponse(request, places, whole)


def done(form: forms.Form, verb: Callable[[], Made]) -> Made | None:
    """What the verb gives; None where it would not, which then stands at the field that it is about."""
    try:
        with transaction.atomic():
            return verb()
    except Unfit as unfit:
        tell(form, unfit, lambda name: name)
    except IntegrityError:  # somebody was quicker
        form.add_error("name", "The name is taken.")
    return None


def tell(form: forms.Form, unfit: Unfit, named: Callable[[str], str]) -> None:
    """Every fault at its field: "URL must be https."; `named` is how the form calls a field."""
    for name, fault in unfit.faults.items():
        field = named(name)
        if field not in form.fields:
            form.add_error(None, f"{fault[:1].upper()}{fault[1:]}.")
        elif field not in form.errors:
            form.add_error(field, f"{form.fields[field].label or name.capitalize()} {fault}.")


def channel_badge(name: str, state: str) -> SafeString:
    """A channel as it stands among others: in its tone, with its state where that is not the usual one."""
    return badge(name if state == "on" else f"{name} ({state})", CHANNEL_TONES.get(state, "plain"))


def link(address: str, words: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', address, words)


def leads_from(route: Route) -> str:
    """Which alerts a route leads from: "critical or warning; type high_*; model qwen*; label team=ml"."""
    return "; ".join(_conditions(route)) or "every alert"


def _conditions(route: Route) -> Iterator[str]:
    if route.severities:
        yield _either(route.severities)
    if route.alert_types:
        yield f"type {_either(route.alert_types)}"
    if route.model_names:
        yield f"model {_either(route.model_names)}"
    for name, pattern in route.labels.items():
        yield f"label {name}={pattern}"


def _either(patterns: Iterable[str]) -> str:
    return " or ".join(patterns)
