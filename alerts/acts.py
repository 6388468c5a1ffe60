"""What people do to alerts in the admin: a form read strictly, and the verb of `lifecycle` that it asks for."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from msgspec import Struct

from alerts import lifecycle
from alerts.lifecycle import Outcome
from alerts.serializers import LONGEST_NOTE
from bedrock import text
from organizations.scope import Scope

MOST = 200  # alerts at once
FOR_GOOD = ""
_LENGTHS: Mapping[str, timedelta] = {
    "30m": timedelta(minutes=30), "1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1),
    "7d": timedelta(days=7), "30d": timedelta(days=30),
}  # fmt: skip
_SHELVED_FOR = (("30m", "30 minutes"), ("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"), ("7d", "7 days"),
                ("30d", "30 days"))  # fmt: skip
_ACKNOWLEDGED_FOR = ((FOR_GOOD, "as long as it is open"), *_SHELVED_FOR)


class Act(Struct, frozen=True):
    """One thing to do: its button's words, the past participle, the key that presses it; `lengths` names a field."""

    name: str
    title: str
    done: str
    key: str = ""
    lengths: str = ""


ACTS: Mapping[str, Act] = {
    act.name: act
    for act in (
        Act("acknowledge", "Acknowledge", "acknowledged", "a", "acknowledge_for"),
        Act("unacknowledge", "Take the acknowledgement back", "unacknowledged"),
        Act("resolve", "Resolve", "resolved", "r"),
        Act("shelve", "Shelve", "shelved", "s", "shelve_for"),
        Act("unshelve", "Take off the shelf", "taken off the shelf"),
        Act("take", "Assign to me", "assigned to you", "m"),
        Act("assign", "Assign", "assigned"),
        Act("comment", "Comment", "commented on", "c"),
        Act("reopen", "Reopen", "reopened"),
    )
}
IN_BULK = tuple(ACTS[name] for name in ("acknowledge", "resolve", "shelve", "take"))

# Verbs that are told nothing but a note.
_PLAIN: Mapping[str, Callable[..., list[Outcome]]] = {
    "unacknowledge": lifecycle.unacknowledge,
    "unshelve": lifecycle.unshelve,
    "comment": lifecycle.comment,
    "resolve": lifecycle.resolve,
    "reopen": lifecycle.reopen,
}


class ActForm(forms.Form):
    """Everything that an act may be told; each takes what it needs."""

    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Why, or what was found (for whoever looks next)"}),
    )
    acknowledge_for = forms.ChoiceField(required=False, choices=_ACKNOWLEDGED_FOR, label="for")
    shelve_for = forms.ChoiceField(required=False, choices=_SHELVED_FOR, initial="1h", label="for")
    owner = forms.ChoiceField(required=False, label="to")

    def __init__(self, act: Act | None, members: Mapping[int, str], data: Any = None, **more: Any) -> None:
        super().__init__(data, **more)
        self.act = act
        owner: Any = self.fields["owner"]
        owner.choices = [("", "nobody"), *((str(key), name) for key, name in members.items())]

    def clean_note(self) -> str:
        note = str(self.cleaned_data["note"]).replace("\r\n", "\n")
        if problem := text.text_problem(note.translate(_LINES), LONGEST_NOTE):
            raise forms.ValidationError(f"The note {problem}.")
        if self.act and self.act.name == "comment" and not note:
            raise forms.ValidationError("A comment needs words.")
        return note


_LINES = str.maketrans("\n\t\r", "   ")


def identifiers(texts: Sequence[str]) -> list[UUID]:
    """The ids among these texts, each once; what is none is left out."""
    return list(dict.fromkeys(found for each in texts if (found := _identifier(each))))


def _identifier(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None


def carry_out(
    act: Act, wish: Mapping[str, Any], *, scope: Scope, ids: Sequence[UUID], now: datetime, me: int,
    names: Mapping[int, str],
) -> list[Outcome]:  # fmt: skip
    """The verb done to those of these alerts that the scope holds; `names` are those of people who may own them."""
    given: dict[str, Any] = {"scope": scope, "ids": ids, "now": now, "via": "admin", "note": wish["note"]}
    length = _LENGTHS.get(wish.get(act.lengths) or "")
    match act.name:
        case "acknowledge":
            return lifecycle.acknowledge(**given, until=now + length if length else None)
        case "shelve":
            return lifecycle.shelve(**given, until=now + (length or _LENGTHS["1h"]))
        case "take" | "assign":
            owner = me if act.name == "take" else int(wish["owner"]) if wish["owner"] else None
            return lifecycle.assign(**given, owner=owner, name=names.get(owner, "") if owner else "")
        case _:
            return _PLAIN[act.name](**given)


def told(act: Act, outcomes: Sequence[Outcome], asked: int) -> Iterator[tuple[bool, str]]:
    """What became of it, in sentences: whether it is good news, and the words."""
    changed = sum(outcome.changed for outcome in outcomes)
    if changed:
        yield True, f"{alerts(changed)} {act.done}."
    refused = Counter(outcome.refused for outcome in outcomes if outcome.refused)
    for reason, number in refused.items():
        yield False, f"{alerts(number)} left as {'it was' if number == 1 else 'they were'}: {reason}"
    if same := len(outcomes) - changed - refused.total():
        yield False, f"{alerts(same)} {'was' if same == 1 else 'were'} so already."
    if absent := asked - len(outcomes):
        yield False, f"{alerts(absent)} {'is' if absent == 1 else 'are'} not yours to change."


def alerts(number: int) -> str:
    return f"{number:,} alert{'' if number == 1 else 's'}"
