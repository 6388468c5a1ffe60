"""Alerts as the panels see them: those open now, the episodes of the window, and what they have touched since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from alerts import figures, reading
from alerts.figures import Figures
from alerts.reading import Filter, Summary
from alerts.states import State
from cockpit.dashboard.windows import View
from monitoring.store import base as store
from monitoring.store import current_store
from monitoring.store.base import Groups, Query
from monitoring.store.windows import MINUTE, floor
from organizations.models import Organization
from organizations.scope import Scope

SOURCES = ("live", "demo")
MOST_OPEN = 25  # that a panel can list
MOST_EPISODES = 500  # that figures are made of
LONGEST = timedelta(days=30)  # that is added up for an alert nobody ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """The requests that met an alert since `since`, of `of` in all; money is None where none is known."""

    since: datetime
    requests: int
    of: int
    failed: int
    cost: Decimal | None
    unpriced: int
    revenue: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """An organization's alerts: the open ones, worst first, whatever the window; others by the window.

    `known` is False where nobody looked, or where the source looked at has none.
    """

    known: bool = False
    open: Sequence[State] = ()  # at most MOST_OPEN of them
    summary: Summary = field(default_factory=Summary)
    episodes: Sequence[State] = ()  # of the window, newest first
    now: Figures = field(default_factory=lambda: Figures(0, None, None))
    before: Figures | None = None  # of the compared window
    owners: Mapping[int, str] = field(default_factory=dict)
    touched: Mapping[UUID, Touched] = field(default_factory=dict)

    @property
    def resolved(self) -> list[State]:
        """Those of the window that are over, the last one first."""
        over = [(state.resolved_at, state.id, state) for state in self.episodes if state.resolved_at is not None]
        return [state for _, _, state in sorted(over, key=lambda one: one[:2], reverse=True)]

    @property
    def label(self) -> str:
        """How they must be labelled; "" for live ones alone."""
        there = {state.source for state in (*self.open, *self.episodes)}
        return "" if "demo" not in there else "demo data included" if len(there) > 1 else "demo data"


def read(organization: Organization, view: View, now: datetime) -> Alarms:
    """The alerts of a view. For executives, also what the open ones have touched: that is what their panel tells."""
    sources = tuple(source for source in SOURCES if view.source in (None, source))
    if not sources:
        return Alarms()
    own, slug = Scope.of(organization.slug), organization.slug
    summary = reading.summary(own, (slug,), sources)
    wanted = Filter(organizations=(slug,), statuses=reading.OPEN, sources=sources)
    open_now = reading.page(own, wanted, ordering="severity", limit=MOST_OPEN) if summary.total else []
    episodes = reading.between(own, slug, view.start, view.end, sources=sources, limit=MOST_EPISODES)
    before = None
    if view.earlier:
        earlier = reading.between(own, slug, *view.earlier, sources=sources, limit=MOST_EPISODES)
        before = figures.of(earlier, *view.earlier)
    return Alarms(
        known=True,
        open=open_now,
        summary=summary,
        episodes=episodes,
        now=figures.of(episodes, view.start, view.end),
        before=before,
        owners=reading.names(state.owner_id for state in open_now),
        touched=touched(slug, open_now, now) if organization.audience == "executive" else {},
    )


def touched(organization: str, states: Iterable[State], now: datetime) -> dict[UUID, Touched]:
    """What the alerts that name a model or a deployment have touched so far; at most LONGEST back.

    Only requests of an alert's own source count: what was made up for a demo costs nobody anything.
    """
    wanted = [state for state in states if state.model_name or state.endpoint_id]
    asked = {state.id: (_since(state, now), state.source) for state in wanted}
    windows = list(dict.fromkeys(asked.values()))
    queries = [
        Query(start=floor(start, MINUTE), end=floor(now, MINUTE) + MINUTE, by=("model", "endpoint"), sources=(source,))
        for start, source in windows
    ]
    answers = current_store().totals(Scope.of(organization), queries) if queries else []
    found = dict(zip(windows, answers, strict=True))
    return {state.id: _touched(state, asked[state.id][0], found[asked[state.id]]) for state in wanted}


def _since(state: State, now: datetime) -> datetime:
    return max(min(state.first_seen_at, now), now - LONGEST)


def _touched(state: State, since: datetime, groups: Groups) -> Touched:
    mine = [one for (model, endpoint), one in groups.items() if _meant(state, model, endpoint)]
    added = sum(mine, store.Summary())
    return Touched(
        since=since,
        requests=added.inferences,
        of=sum(one.inferences for one in groups.values()),
        failed=added.errors,
        cost=added.cost,
        unpriced=added.unpriced,
        revenue=added.revenue,
    )


def _meant(state: State, model: str, endpoint: str) -> bool:
    """By its model, for not every sender names the deployment; by that where no model is named."""
    return model == state.model_name if state.model_name else endpoint == state.endpoint_id
