"""What people write in the admin's forms of channels and routes, read strictly; a fault stands at its field."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import roster
from alerts.channels.base import Client, Field, Transport
from alerts.models import Channel, Route
from alerts.pages import channel_badge, tell
from alerts.roster import LONGEST_NAME, Settings, Unfit
from alerts.routing import Wanted
from alerts.serializers import LONGEST_LABEL, MAX_LABELS
from alerts.states import RANKS
from bedrock.text import text_problem

MOST_PATTERNS = 50
_FORGET = "_forget"
_PREFIX = "its_"  # of a channel's own settings, which may have the name of a field of every channel
OURS = ("previous_secret", "previous_until")  # settings that no person types: `roster.rotate` writes them
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
_KEPT = "kept; write a new one to change it"


class Named(forms.Form):
    name = forms.CharField(required=False, widget=forms.TextInput(
        attrs={**_PLAIN, "maxlength": LONGEST_NAME, "required": True}
    ))  # fmt: skip

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        problem = text_problem(name, LONGEST_NAME) if name else "is needed"
        if problem:
            raise forms.ValidationError(f"The name {problem}.")
        return name


class ChannelForm(Named):
    """A channel of one kind; `settings` is what was read. Secrets come in and never go out again."""

    audience = forms.ChoiceField(
        choices=[
            ("developer", "Developers: everything exactly, with labels and metadata"),
            ("executive", "Executives: what it means, in plain words"),
        ],
        widget=forms.RadioSelect,
        initial="developer",
    )
    per_minute = forms.IntegerField(
        required=False, min_value=1, max_value=1_000_000, label="Notices a minute",
        widget=forms.NumberInput(attrs=_PLAIN),
    )  # fmt: skip

    def __init__(
        self, transport: Transport, *, client: Client, organizations: Mapping[str, str] | None = None,
        channel: Channel | None = None, kept: Mapping[str, str] | None = None, data: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(data)
        self.transport, self.client, self.kept = transport, client, dict(kept or {})
        self.shown: Mapping[str, str] = channel.settings if channel else {}
        self.settings = Settings({}, {})
        if organizations is not None:
            self.fields["organization"] = _organization(organizations)
        for field in transport.fields:
            if field.name not in OURS:
                self._add(field)
        pace = self.fields["per_minute"]
        pace.help_text = f"At most; {transport.per_minute:,} when left empty, as fast as its kind may be told."
        if channel:
            own = None if channel.per_minute == transport.per_minute else channel.per_minute
            self.initial = {"name": channel.name, "audience": channel.audience, "per_minute": own}
        self.order_fields(["name", "organization", *(name for name in self.fields if name.startswith(_PREFIX))])

    def _add(self, field: Field) -> None:
        name, kept = _PREFIX + field.name, field.name in self.kept
        made = _WIDGETS["secret" if field.secret else field.kind](field, kept)
        made.label, made.help_text = field.label, field.help
        made.initial = self.shown.get(field.name, "")
        if field.required and not kept and field.generated is None:
            made.widget.attrs["required"] = True
        self.fields[name] = made
        if kept and not field.required:
            self.fields[name + _FORGET] = forms.BooleanField(required=False, label=f"Forget the {field.label.lower()}")

    def clean(self) -> dict[str, Any]:
        read = {name.removeprefix(_PREFIX): value for name, value in self.cleaned_data.items()
                if name.startswith(_PREFIX)}  # fmt: skip
        forgotten = {name.removesuffix(_FORGET) for name, value in read.items() if value is True}
        given = {name: value for name, value in read.items() if isinstance(value, str)}
        ours = {name: self.shown[name] for name in OURS if name in self.shown}
        kept = {name: secret for name, secret in self.kept.items() if name not in forgotten}
        try:
            self.settings = roster.read_settings(
                self.transport, {**given, **ours}, client=self.client, kept=kept, before=self.shown
            )
        except Unfit as unfit:
            tell(self, unfit, lambda name: _PREFIX + name)
        return self.cleaned_data


def _organization(organizations: Mapping[str, str]) -> forms.ChoiceField:
    """One of those in which the person may write; with a single one there is nothing to choose."""
    alone = len(organizations) == 1
    return forms.ChoiceField(
        choices=list(organizations.items()),
        initial=next(iter(organizations), ""),
        widget=forms.HiddenInput if alone else forms.Select,
    )


def _text(field: Field, kept: bool) -> forms.Field:
    modes = {"inputmode": "url"} if field.kind == "url" else {}
    return forms.CharField(required=False, widget=forms.TextInput(attrs={**_PLAIN, **modes}))


def _secret(field: Field, kept: bool) -> forms.Field:
    words = _KEPT if kept else "made when left empty" if field.generated else ""
    widget = forms.PasswordInput(attrs={**_PLAIN, "placeholder": words}, render_value=False)
    return forms.CharField(required=False, widget=widget)


def _choice(field: Field, kept: bool) -> forms.Field:
    return forms.ChoiceField(required=False, choices=list(field.choices))


def _lines(field: Field, kept: bool) -> forms.Field:
    return forms.CharField(required=False, widget=forms.Textarea(attrs={**_PLAIN, "rows": 4}))


_WIDGETS: Mapping[str, Callable[[Field, bool], forms.Field]] = {
    "secret": _secret, "text": _text, "url": _text, "choice": _choice, "lines": _lines,
}  # fmt: skip


def _patterns(words: str) -> forms.CharField:
    widget = forms.Textarea(attrs={**_PLAIN, "rows": 3})
    return forms.CharField(required=False, widget=widget, help_text=words)


class RouteForm(Named):
    """A route of one organization; what is left empty fits every alert."""

    severities = forms.MultipleChoiceField(
        required=False, choices=[(one, one.capitalize()) for one in RANKS], widget=forms.CheckboxSelectMultiple,
        help_text="None of them is all of them.",
    )  # fmt: skip
    alert_types = _patterns("A pattern a line, in which * is anything: high_*. Empty is every type.")
    model_names = _patterns("A pattern a line: qwen*. Empty is every model, and what is about none.")
    labels = _patterns("A name=pattern a line: team=ml-*. An alert has to fit them all.")
    channels = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    enabled = forms.BooleanField(required=False, initial=True, label="On")

    def __init__(
        self, channels: Sequence[Channel], *, route: Route | None = None, chosen: Sequence[UUID] = (),
        initial: Mapping[str, Any] | None = None, data: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(data, initial=dict(initial or {}))
        self.fields["alert_types"].label, self.fields["model_names"].label = "Types", "Models"
        to: Any = self.fields["channels"]
        to.choices = [(str(one.pk), _shown(one)) for one in channels]
        if route:
            self.initial = {
                "name": route.name, "severities": route.severities, "enabled": route.enabled,
                "alert_types": "\n".join(route.alert_types), "model_names": "\n".join(route.model_names),
                "labels": "\n".join(f"{name}={pattern}" for name, pattern in route.labels.items()),
                "channels": [str(one) for one in chosen],
            }  # fmt: skip

    def clean_alert_types(self) -> list[str]:
        return _lines_of(self.cleaned_data["alert_types"], 100, MOST_PATTERNS)

    def clean_model_names(self) -> list[str]:
        return _lines_of(self.cleaned_data["model_names"], 200, MOST_PATTERNS)

    def clean_labels(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in _lines_of(self.cleaned_data["labels"], 2 * LONGEST_LABEL, MAX_LABELS):
            name, equals, pattern = (part.strip() for part in line.partition("="))
            if not name or not equals:
                raise forms.ValidationError(f"“{line[:60]}” must be a name, = and a pattern.")
            if name in found:
                raise forms.ValidationError(f"“{name[:60]}” stands twice: a label can fit one pattern alone.")
            found[name] = pattern
        return found

    def clean_channels(self) -> list[UUID]:
        chosen = [UUID(one) for one in self.cleaned_data["channels"]]
        if not chosen:
            raise forms.ValidationError("Choose at least one channel.")
        return chosen

    def conditions(self) -> dict[str, Any]:
        """What it leads from, as the verbs want it told; of a form without faults there."""
        return {name: self.cleaned_data[name] for name in ("severities", "alert_types", "model_names", "labels")}

    def wanted(self, organization: str, source: str) -> Wanted | None:
        """What to look for in a preview, whatever else is still to be filled in; None where that has faults."""
        self.full_clean()
        for name in ("name", "channels"):
            self.errors.pop(name, None)
        if self.errors:
            return None
        conditions = self.conditions()
        labels = json.dumps(conditions.pop("labels"))
        return Wanted(organization=organization, source=source, labels=labels, **conditions)


def _shown(channel: Channel) -> SafeString:
    return format_html("{} <small>{}</small>", channel_badge(channel.name, channel.state), channel.get_kind_display())


def _lines_of(words: str, longest: int, most: int) -> list[str]:
    """What stands there line by line, each once."""
    lines = [line.strip() for line in words.replace("\r\n", "\n").split("\n")]
    for number, line in enumerate(lines, 1):
        if problem := text_problem(line, longest):
            raise forms.ValidationError(f"Line {number} {problem}.")
    found = list(dict.fromkeys(filter(None, lines)))
    if len(found) > most:
        raise forms.ValidationError(f"At most {most} lines, and these are {len(found)}.")
    return found
