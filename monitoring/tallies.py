"""Live inferences since the beginning, by organization and model: exact at every reading, and never less than before.

Days that are over are read once and remembered with their sum over all models. At each reading the store tells that sum
anew, from its small tables, beside the days still open; only where it has changed (a late inference) are an
organization's old days read again. So every process tells the same, whenever it was started.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bedrock.identifiers import EPOCH
from monitoring.measures import OTHER
from monitoring.store.base import Dimension, Query, SteppedGroups, Store, Summary
from monitoring.store.windows import DAY, HOUR, floor
from organizations.scope import Scope

MOST_MODELS = 100  # of an organization that keep their name; each has more than 20 series, and 2,000 are told
_PERIOD = timedelta(days=30)  # as exactly is it remembered who came first
_SECONDS = int(_PERIOD.total_seconds())
_BY: tuple[Dimension, ...] = ("organization_id", "model", "provider", "status")
_LIVE = ("live",)

Route = tuple[str, str, str]  # model, provider, status


@dataclass(frozen=True, slots=True)
class Tally:
    """What one organization's models did, those beyond MOST_MODELS under `__other__`; and when each was first seen.

    `first` tells of all of them. It is an order that nothing sent later changes: who has a name keeps it, so what was
    once counted under `__other__` never leaves it again.
    """

    first: Mapping[str, datetime]
    routes: Mapping[Route, Summary]

    @property
    def models(self) -> list[str]:
        """The models with a name, first come first."""
        return _in_order(self.first)[:MOST_MODELS]

    @property
    def known(self) -> int:
        """How many models there are, with a name or without."""
        return len(self.first.keys() - {OTHER})


@dataclass(frozen=True, slots=True)
class _Past:
    """An organization's days before `until`; `mark` is their sum over everything."""

    until: datetime
    mark: Summary
    tally: Tally


NOTHING = Tally({}, {})


class Tallies:
    """The memory of one process."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def read(self, store: Store, scope: Scope, now: datetime) -> dict[str, Tally]:
        """Organization -> tally, to the last committed inference."""
        until = floor(now - HOUR, DAY)  # an hour for those who tell late of yesterday
        over = Query(start=EPOCH, end=until, by=("organization_id",), sources=_LIVE)
        rest = Query(start=until, end=floor(now, DAY) + 2 * DAY, by=_BY, sources=_LIVE)
        marks, fresh = store.series(scope, [over, rest], step_seconds=_SECONDS)
        told = {group[0]: _added(one for _, one in steps) for group, steps in marks.items()}
        # What is remembered may change under other threads, and into days that `fresh` tells too.
        past = {name: one.tally for name, mark in told.items() if (one := self._known(name, until, mark))}
        if stale := [name for name in told if name not in past]:
            past |= self._learn(store, stale, until)
        today = _by_organization(fresh)
        return {name: _joined(past.get(name, NOTHING), today.get(name, NOTHING)) for name in {*past, *today}}

    def _known(self, organization: str, until: datetime, mark: Summary) -> _Past | None:
        known = self._past.get(organization)
        return known if known is not None and (known.until, known.mark) == (until, mark) else None

    def _learn(self, store: Store, organizations: list[str], until: datetime) -> dict[str, Tally]:
        query = Query(start=EPOCH, end=until, by=_BY, sources=_LIVE)
        (found,) = store.series(Scope.of(*organizations), [query], step_seconds=_SECONDS)
        learned = _by_organization(found)
        for name, tally in learned.items():
            self._past[name] = _Past(until, _added(tally.routes.values()), tally)
        return learned


def _by_organization(found: SteppedGroups) -> dict[str, Tally]:
    first: dict[str, dict[str, datetime]] = {}
    routes: dict[str, dict[Route, Summary]] = {}
    for (organization, model, provider, status), steps in found.items():
        seen = first.setdefault(organization, {})
        seen[model] = min(steps[0][0], seen.get(model, steps[0][0]))
        routes.setdefault(organization, {})[model, provider, status] = _added(one for _, one in steps)
    return {name: _folded(first[name], routes[name].items()) for name in first}


def _joined(past: Tally, today: Tally) -> Tally:
    return _folded({**today.first, **past.first}, (*past.routes.items(), *today.routes.items()))


def _folded(first: Mapping[str, datetime], found: Iterable[tuple[Route, Summary]]) -> Tally:
    named = set(_in_order(first)[:MOST_MODELS])
    routes: dict[Route, Summary] = {}
    for (model, provider, status), one in found:
        route = (model, provider, status) if model in named else (OTHER, OTHER, status)
        routes[route] = routes[route] + one if route in routes else one
    return Tally(first, routes)


def _in_order(first: Mapping[str, datetime]) -> list[str]:
    return sorted(first.keys() - {OTHER}, key=lambda model: (first[model], model))


def _added(summaries: Iterable[Summary]) -> Summary:
    """Their sum; of a single one itself, since adding costs more than all the rest."""
    first, *more = summaries
    return sum(more, first)
