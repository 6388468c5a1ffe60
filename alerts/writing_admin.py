"""The form of a rule, tried on the days that lie behind before it is saved, and what is done on a rule's page."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from alerts import rule_desk, rule_offers, rule_replays, rule_states, rulebook
from alerts.definitions import Definition
from alerts.models import AlertRule
from alerts.pages import done
from alerts.rule_desk import ACTS
from alerts.rule_forms import BLANK, DIVISORS, FAMILIES, ZONES, RuleForm
from alerts.rule_replays import DAYS, USUAL_DAYS, Replay
from alerts.rulebook import Unsound
from alerts.why_admin import WhyAdmin
from organizations.models import Organization

_LONGEST_GIVEN = 1000  # characters of a field that an address fills in
_SOURCES = {"live": "what was recorded", "demo": "demo data"}
Made = TypeVar("Made")


class WritingAdmin(WhyAdmin):
    """Made, changed and switched by the verbs of `rulebook` alone, and never deleted: alerts go on naming them."""

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Of one organization, which comes first where there are several; an address may fill the form in."""
        words = "A rule judges its data, and its alerts are that organization's."
        chosen = self.organization_for(request, "Add a rule", words)
        return chosen if isinstance(chosen, HttpResponse) else self._edit(request, chosen, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Its page, and what is done on it."""
        rule: AlertRule = self.found(request, object_id)
        if request.method == "POST":
            if not self.has_change_permission(request, rule):
                raise PermissionDenied
            if rule.state == "retired":
                messages.warning(request, "The rule is retired; it cannot be changed any more.")
                return HttpResponseRedirect(request.get_full_path())
            if "act" in request.POST:
                return self._act(request, rule)
        return self._edit(request, rule.organization, rule)

    def _edit(self, request: HttpRequest, organization: Organization, rule: AlertRule | None) -> HttpResponse:
        now = timezone.now()
        may = rule is None or (rule.state != "retired" and self.has_change_permission(request, rule))
        saved = rulebook.definition_of(rule) if rule else None
        form, replay = self._form(request, organization, rule, saved) if may else None, None
        if form and form.is_bound and {"simulate", "take"} & request.POST.keys():
            sound = rule is not None and rule_states.read(rule) is not None
            replay = _simulated(request, form, organization.pk, saved if sound else None, rule)
        elif form and form.is_bound and form.is_valid() and (made := self._save(request, form, organization.pk, rule)):
            return HttpResponseRedirect(reverse("admin:alerts_alertrule_change", args=[made]))
        offers: dict[str, Any] = {"zones": rule_offers.zones(), "lists": (FAMILIES, DIVISORS, ZONES)} if form else {}
        return self.page(
            request, "page", rule.name if rule else f"Add a rule of {organization.name}", rule=rule, form=form,
            organization=organization, desk=rule_desk.look(rule, now) if rule else None, replay=replay,
            acts=rule_desk.offered(rule) if rule and may else [], unreadable=rule is not None and saved is None,
            days=DAYS, chosen_days=_days(request), sources=_sources(organization.pk) if form else {},
            chosen_source=request.POST.get("source", request.GET.get("source", "live")), **offers,
        )  # fmt: skip

    def _form(
        self, request: HttpRequest, organization: Organization, rule: AlertRule | None, saved: Definition | None
    ) -> RuleForm:  # fmt: skip
        families = rule_offers.families_of(organization.pk, timezone.now())
        people = rule_offers.people_of(organization.pk, rule)

        def made(data: Any) -> RuleForm:
            return RuleForm(families=families, people=people, zone=organization.timezone, rule=rule,
                            saved=saved or BLANK, data=data)  # fmt: skip

        if request.method != "POST":
            form, given = made(None), request.GET if rule is None else {}
            filled_in = {name: given[name][:_LONGEST_GIVEN] for name in form.fields if name in given}
            form.initial = {**form.initial, **filled_in}
            return form
        data = request.POST.copy()
        level, _, threshold = data.get("take", "").partition("=")
        if level not in ("warning", "critical") or not threshold:
            return made(data)
        data[level], data[f"{level}_clear"] = threshold, ""
        form = made(data)
        if "critical" in form.errors and data.get("critical"):  # it would begin before the warning
            words = f"The critical threshold {data['critical'][:40]} was taken out: it does not go with that warning."
            messages.warning(request, words)
            data["critical"] = data["critical_clear"] = ""
            form = made(data)
        return form

    def _save(self, request: HttpRequest, form: RuleForm, organization: str, rule: AlertRule | None) -> Any:
        read, definition = form.cleaned_data, form.definition
        assert definition is not None
        by, now = request.user.get_username(), timezone.now()

        def save() -> Any:
            if rule is None:
                return rulebook.create(
                    organization=organization, name=read["name"], definition=definition, now=now, by=by,
                    owner=read["owner"], state="on" if read["enabled"] else "paused",
                )  # fmt: skip
            seen = request.POST.get("version", "")[:9]
            if not (seen.isascii() and seen.isdecimal()):
                raise Unsound({"name": "must be looked at again: of which version the form was made is not said"})
            rule.version = int(seen)
            rulebook.change(rule=rule, name=read["name"], definition=definition, now=now, by=by,
                            owner=read["owner"] or rulebook.NOBODY)  # fmt: skip
            return rule.pk

        made = _done(form, save)
        if made and rule is None:
            begins = "is on, and judged from the next minute" if read["enabled"] else "is there, and paused"
            messages.success(request, f"The rule {read['name']} {begins}.")
        elif made:
            messages.success(request, "Saved.")
        return made

    def _act(self, request: HttpRequest, rule: AlertRule) -> HttpResponse:
        act = ACTS.get(request.POST["act"])
        if act is None or act not in rule_desk.offered(rule):
            messages.warning(request, "That cannot be done to the rule as it is now.")
        elif act.asks and "confirmed" not in request.POST:
            return self.page(request, "confirm", f"{act.title} {rule.name}", rule=rule, act=act,
                             open=rule_desk.open_alerts(rule))  # fmt: skip
        elif rule_desk.switch(rule, act, now=timezone.now(), by=request.user.get_username()):
            messages.success(request, f"{act.done.capitalize()}.")
        else:
            messages.warning(request, "Somebody else changed the rule meanwhile: look at it again.")
        return HttpResponseRedirect(request.get_full_path())


def _done(form: RuleForm, verb: Callable[[], Made]) -> Made | None:
    """What the verb gives; None where it would not, which then stands at the field that it is about."""
    try:
        return done(form, verb)
    except Unsound as unsound:
        form.tell(unsound.problems)
    return None


def _days(request: HttpRequest) -> int:
    asked = request.POST.get("days_back", "")
    return next((days for days in DAYS if str(days) == asked), USUAL_DAYS)


def _sources(organization: str) -> dict[str, str]:
    """The data it can be tried on, where there is anything to choose."""
    return _SOURCES if rule_offers.has_demo(organization, timezone.now()) else {}


def _simulated(
    request: HttpRequest, form: RuleForm, organization: str, saved: Definition | None, rule: AlertRule | None
) -> Replay | None:  # fmt: skip
    wanted = form.wanted()
    if wanted is None:
        return None
    source = request.POST.get("source", "")
    return rule_replays.replay(organization, wanted, saved, days=_days(request), rule=rule.pk if rule else None,
                               source=source if source in _SOURCES else "live", now=timezone.now())  # fmt: skip
