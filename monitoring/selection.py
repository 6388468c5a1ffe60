"""Which families a scrape asks for: by name, by the beginning of a name, by group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitoring.families import GROUPS, Family

MOST_NAMES = 50
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """`include` and `exclude` hold names of families, beginnings of names ending in `*`, and groups.

    Nothing included means everything; what is excluded stays out. A name that nothing bears selects nothing.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __contains__(self, family: Family) -> bool:
        if any(_means(word, family) for word in self.exclude):
            return False
        return not self.include or any(_means(word, family) for word in self.include)

    def idle(self, families: Iterable[Family]) -> list[str]:
        """The words that mean none of these families, each once: perhaps they are misspelt."""
        there = list(families)
        words = dict.fromkeys((*self.include, *self.exclude))
        return [word for word in words if word not in GROUPS and not any(_means(word, one) for one in there)]


def _means(word: str, family: Family) -> bool:
    if word.endswith("*"):
        return family.name.startswith(word[:-1])
    return word in (family.name, family.group)
