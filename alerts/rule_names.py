"""What rules of an organization are called: names of which one that is not retired has each, and keys for ever."""

import re
from collections.abc import Collection, Iterable
from itertools import chain, count
from uuid import UUID

from alerts.models import AlertRule
from alerts.pack import BY_KEY
from bedrock.text import text_problem

LONGEST = 100
_NOT_OF_A_KEY = re.compile(r"[^a-z0-9]+")


def problem(organization: str, name: str, but: UUID | None = None) -> str | None:
    """What is wrong with it as the name of a rule (`but`, where that is there already), if anything is."""
    if not name.strip():
        return "must be given"
    if wrong := text_problem(name, LONGEST):
        return wrong
    taken = AlertRule.objects.filter(organization=organization, name=name).exclude(state="retired")
    return "is the name of another rule" if (taken.exclude(pk=but) if but else taken).exists() else None


def free_name(organization: str, name: str, whose: str) -> str:
    """The name, or where another rule has it, that with words behind it: "Calls fail (pack)", "Calls fail (pack 2)"."""
    like = AlertRule.objects.filter(organization=organization, name__startswith=name).exclude(state="retired")
    numbered = (f"{name} ({whose} {number})" for number in count(2))
    return _first_but(set(like.values_list("name", flat=True)), chain((name, f"{name} ({whose})"), numbered))


def free_key(organization: str, name: str) -> str:
    """A word made of the name, that no other rule has or had; nor one of the pack, which may be given yet."""
    word = _NOT_OF_A_KEY.sub("_", name.lower()).strip("_")[:80] or "rule"
    like = AlertRule.objects.filter(organization=organization, key__startswith=word)
    taken = {*BY_KEY, *like.values_list("key", flat=True)}
    return _first_but(taken, chain((word,), (f"{word}_{number}" for number in count(2))))


def _first_but(taken: Collection[str], names: Iterable[str]) -> str:
    return next(name for name in names if name not in taken)
