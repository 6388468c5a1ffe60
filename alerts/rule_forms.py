"""What people write in the admin's form of a rule: its fields, how they stand beside each other, faults at theirs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms import BoundField
from msgspec import Struct

from alerts import rule_entries
from alerts.definitions import GROUPED, MEASURES, PLACES, Definition, measure_of
from alerts.forms import Named
from alerts.models import AlertRule
from monitoring.families import BY_NAME

FAMILIES, DIVISORS, ZONES = "rule-families", "rule-divisors", "rule-zones"  # ids of lists that are offered
BLANK = Definition(measure="errors", aggregation="ratio", per="inferences", window=15, alert_type="")
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
_MEASURES: Mapping[str, tuple[str, ...]] = {
    "Calls": ("inferences", "errors", "retries", "duration", "ttft"),
    "Money": ("cost", "revenue", "unpriced"),
    "Tokens": ("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens",
               "reasoning_tokens"),
}  # fmt: skip
_AGGREGATIONS = (
    ("ratio", "share of another measure"), ("count", "count"), ("sum", "sum"), ("rate", "rate, a second"),
    ("avg", "mean"), ("min", "least"), ("max", "most"), ("last", "last"), ("p50", "p50, the median"), ("p90", "p90"),
    ("p95", "p95"), ("p99", "p99"),
)  # fmt: skip
_CHANGES = (
    ("", "the value itself"), ("previous", "its change against the time before, in per cent"),
    ("week", "its change against a week ago, in per cent"),
)  # fmt: skip
_OPERATORS = (("gt", "above"), ("gte", "at or above"), ("lt", "below"), ("lte", "at or below"))
_NO_DATA = (
    ("ok", "it is fine"), ("keep", "it stays as it was"), ("alert", "it is an alert of its own"),
    ("zero", "it counts as zero"),
)  # fmt: skip
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# What a fault is told of, where that is not the label.
_CALLED: Mapping[str, str] = {
    "aggregation": "the aggregation", "per": "the divisor", "window": "the window", "offset": "the wait",
    "filters": "the filters", "by": "the groups", "operator": "the comparison", "warning": "the warning threshold",
    "warning_clear": "what ends a warning", "critical": "the critical threshold",
    "critical_clear": "what ends a critical one", "hold": "the delay", "keep": "how long it is kept firing",
    "least": "the number of samples", "silent": "the silence", "hours_from": "where the hours begin",
    "hours_until": "where they end", "zone": "the timezone", "days": "the days", "renotify": "the time between",
    "developer": "the text", "executive": "the text", "alert_type": "the type", "change": "what is judged",
    "no_data": "what missing data mean",
}  # fmt: skip
# What Django itself finds, in words that name the field and the limit.
_FAULTS: Mapping[str, str] = {
    "invalid_choice": "must be one of those that are offered",
    "invalid_list": "must be some of those that are offered",
    "invalid": "must be a whole number",
    "min_value": "must be 0 to 1,000,000,000",
    "max_length": "must be at most %(limit_value)d characters long",
    "null_characters_not_allowed": "must not hold control characters",
}
_LONGEST, _LONGEST_LINES = 500, 50_000  # letters of a field, and of one of several lines; what they say may be less
# The parts of the form; a row of several fields begins with its title.
_PARTS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("What is measured", (
        ("name",), ("measure",), ("family",), ("aggregation",), ("per",), ("change",),
        ("Over", "window", "offset"), ("filters",), ("by",),
    )),
    ("When it fires", (
        ("operator",), ("Warning", "warning", "warning_clear"), ("Critical", "critical", "critical_clear"),
        ("For how long", "hold", "keep"), ("least",), ("Without data", "no_data", "silent"),
        ("Active hours", "hours_from", "hours_until", "zone"), ("days",), ("renotify",),
    )),
    ("What it says, and to whom", (
        ("developer",), ("executive",), ("alert_type",), ("labels",), ("runbook",), ("owner",), ("enabled",),
    )),
)  # fmt: skip


def _text(label: str, help_text: str = "", **attrs: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={**_PLAIN, **attrs})
    return forms.CharField(required=False, label=label, help_text=help_text, widget=widget, max_length=_LONGEST)


def _lines(label: str, help_text: str = "") -> forms.CharField:
    widget = forms.Textarea(attrs={**_PLAIN, "rows": 2})
    return forms.CharField(required=False, label=label, help_text=help_text, widget=widget,
                           max_length=_LONGEST_LINES)  # fmt: skip


def _choice(label: str, choices: Any, help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(required=False, label=label, choices=choices, help_text=help_text)


def _called(name: str, field: forms.Field) -> str:
    """As a sentence about it begins."""
    called = _CALLED.get(name, f"the {str(field.label or name).lower()}")
    return f"{called[:1].upper()}{called[1:]}"


class Row(Struct, frozen=True):
    """Fields beside each other; alone a field has no title but its own label."""

    title: str
    fields: Sequence[BoundField]

    @property
    def wrong(self) -> bool:
        return any(field.errors for field in self.fields)


class Fault(Struct, frozen=True):
    """What is wrong with a field, and the element that it is."""

    id: str
    words: str


class Part(Struct, frozen=True):
    title: str
    rows: Sequence[Row]


class RuleForm(Named):
    """A rule of one organization; `definition` is what was read, and None where that has faults."""

    measure = _choice("Measure", [])
    family = _text("Family", "A family of metrics: of the platform, or your own.", list=FAMILIES)
    aggregation = _choice("Taken as", _AGGREGATIONS)
    per = _text("Share of", "What it is divided by: of calls one that adds up, of a family another one.", list=DIVISORS)
    change = _choice("Judged is", _CHANGES)
    window = _text("the last", placeholder="15m")
    offset = _text("late data waited for", placeholder="30s")
    filters = _lines("Only where", "A name=value,value a line, in which * is anything: status=5*. Empty is all of it.")
    by = _text("An alert for each", placeholder="one for all of it")
    operator = _choice("Fires where it is", _OPERATORS)
    warning = _text("beyond", placeholder="none")
    warning_clear = _text("over again at", placeholder="the same")
    critical = _text("beyond", placeholder="none")
    critical_clear = _text("over again at", placeholder="the same")
    hold = _text("beyond it, to begin", placeholder="at once")
    keep = _text("clear of it, to end", placeholder="at once")
    least = forms.IntegerField(
        required=False, min_value=0, label="Samples at least", help_text="With fewer of them nothing is judged.",
        widget=forms.NumberInput(attrs={**_PLAIN, "placeholder": "any"}),
    )  # fmt: skip
    no_data = _choice("then", _NO_DATA)
    silent = _text("after", placeholder="10m")
    hours_from = _text("from", placeholder="00:00")
    hours_until = _text("until", placeholder="00:00")
    zone = _text("on the clocks of", list=ZONES)
    days = forms.MultipleChoiceField(
        required=False, choices=[(str(number), name) for number, name in enumerate(_DAYS)],
        widget=forms.CheckboxSelectMultiple, label="On these days",
        help_text="None of them is all of them. Outside its hours nothing begins; what fires goes on.",
    )  # fmt: skip
    renotify = _text("Told again after", "While it fires; otherwise people are told once.", placeholder="never")
    developer = _lines("For developers")
    executive = _lines("For executives", "The same in plain words.")
    alert_type = _text("Type", "Of its alerts, as routes know them; made of the name when left empty.")
    labels = _lines("Labels", "Of its alerts, for routes: a name=value a line.")
    runbook = _text("Runbook", "The address of what to do about it.", inputmode="url")
    owner = forms.TypedChoiceField(required=False, coerce=int, empty_value=None,
                                   help_text="Who is told when it cannot be judged.")  # fmt: skip
    enabled = forms.BooleanField(required=False, initial=True, label="On, from the next minute")

    def __init__(
        self, *, families: Sequence[str], people: Mapping[int, str], zone: str, rule: AlertRule | None = None,
        saved: Definition = BLANK, data: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(data)
        self.definition: Definition | None = None
        self.families, self._zone = families, zone
        fields: dict[str, Any] = self.fields
        fields["measure"].choices = [
            *((group, [(name, MEASURES[name].title) for name in names]) for group, names in _MEASURES.items()),
            ("Anything else", [("", "A family of metrics, named below")]),
        ]
        fields["owner"].choices = [("", "nobody"), *people.items()]
        named = ", ".join(f"{{{place}}}" for place in PLACES if place not in GROUPED)
        fields["developer"].help_text = f"May name {named}, and what there is an alert for each of, as {{model}}."
        fields["by"].help_text = f"Names with commas between them: {', '.join(GROUPED)}; of a family its labels."
        for name, field in fields.items():
            field.error_messages |= {code: f"{_called(name, field)} {words}." for code, words in _FAULTS.items()}
        self.initial = rule_entries.written(saved, zone)
        if rule:
            del self.fields["enabled"]
            self.initial |= {"name": rule.name, "owner": rule.owner_id or ""}

    @property
    def parts(self) -> list[Part]:
        """The fields as the page shows them."""
        there = self.fields
        return [Part(title, [self._row(*names) for names in rows if names[-1] in there]) for title, rows in _PARTS]

    def _row(self, *names: str) -> Row:
        title, fields = ("", names) if len(names) == 1 else (names[0], names[1:])
        return Row(title, [self[name] for name in fields])

    @property
    def divisors(self) -> list[str]:
        added = (name for name in MEASURES if name not in ("duration", "ttft"))
        return [*added, *self.families]

    @property
    def kinds(self) -> str:
        """What each measure may be taken as, as JSON for the script that hides the rest."""
        known = (*MEASURES, *(name for name in self.families if name in BY_NAME))
        return json.dumps({name: measure_of(name).aggregations for name in known})

    def clean(self) -> dict[str, Any]:
        definition, problems = rule_entries.read(self.cleaned_data, self._zone, self.errors.keys())
        if not problems and not self.errors.keys() - {"name"}:
            self.definition = definition
        self.tell(problems)
        return self.cleaned_data

    @property
    def faults(self) -> list[Fault]:
        """All of them, in the order of the form."""
        ordered = [name for _, rows in _PARTS for names in rows for name in names if name in self.errors]
        return [Fault(self[name].auto_id, str(words)) for name in ordered for words in self.errors[name]]

    def tell(self, problems: Mapping[str, str]) -> None:
        """Every fault at its field: "The window must be 1 minute to 31 days."."""
        for name, words in problems.items():
            field = name if name in self.fields else "name"
            self.add_error(field, f"{_called(field, self.fields[field])} {words}{'' if words[-1:] == '?' else '.'}")

    def wanted(self) -> Definition | None:
        """What to simulate, whatever it will be called; None where that has faults."""
        self.full_clean()
        self.errors.pop("name", None)
        return self.definition
