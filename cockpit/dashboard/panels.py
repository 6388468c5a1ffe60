"""The panels as data: which an audience sees, in which order, and what each is made of."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cockpit.dashboard import (
    capacity,
    cards,
    developer,
    executive,
    impact,
    incidents,
    machines,
    moved,
    notices,
    services,
    traffic,
)
from cockpit.dashboard.sight import Sight

Context = dict[str, object]


@dataclass(frozen=True, slots=True)
class Panel:
    """One section of a page: `build` turns data into what its template shows, and touches nothing.

    A panel of `samples` stands also where there are no inferences, is left out where it has nothing to show (None), and
    says by itself where its data came from (`label`). An `urgent` one then stands before that which says that there are
    none.
    """

    name: str
    title: str
    build: Callable[[Sight], Context | None]
    sourced: bool = False  # shows money or percentiles: labelled when anything but live data is in them
    samples: bool = False
    urgent: bool = False

    @property
    def template(self) -> str:
        return f"dashboard/panels/{self.name}.html"


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel with its data, ready for its template."""

    panel: Panel
    context: Context
    source: str


def _nothing(sight: Sight) -> Context:
    return {
        "period": sight.last,
        "host": sight.host,
        "organization": sight.answer.organization,
        "before": sight.previous is not None,
        "widest": sight.window == "90d",
    }


EMPTY = {
    "developer": (Panel("empty", "Nothing in this window", _nothing),),
    "executive": (Panel("empty_executive", "Nothing to report", _nothing),),
}
PANELS = {
    "developer": (
        Panel("key_numbers", "Key numbers", developer.key_numbers),
        Panel("alerts", "Alerts", incidents.alerts, samples=True, urgent=True),
        Panel("request_rate", "Request rate", developer.request_rate),
        Panel("latency", "Latency", developer.latency, sourced=True),
        Panel("errors", "Errors", developer.errors),
        Panel("tokens", "Tokens", developer.tokens),
        Panel("movers", "What moved and why", moved.developer, sourced=True),
        Panel("models", "Models", developer.models, sourced=True),
        Panel("newest_calls", "Newest calls", developer.newest_calls),
        Panel("notices", "Notices", notices.developer, samples=True),
        Panel("machines", "Machines", machines.machines, samples=True),
        Panel("gpus", "GPUs", cards.gpus, samples=True),
        Panel("backends", "Database and cache", services.backends, samples=True),
        Panel("queues", "Queues", services.queues, samples=True),
        Panel("api", "API", traffic.api, samples=True),
        Panel("security", "Security", traffic.security, samples=True),
    ),
    "executive": (
        Panel("headline", "In short", executive.headline, sourced=True),
        Panel("alerts_executive", "Right now", impact.alerts, samples=True, urgent=True),
        Panel("spend", "Spend", executive.spend, sourced=True),
        Panel("service", "Service level", executive.service),
        Panel("income", "Revenue and margin", executive.income, sourced=True),
        Panel("movers_executive", "What moved and why", moved.executive, sourced=True),
        Panel("unit_cost", "Cost per request", executive.unit_cost, sourced=True),
        Panel("trend", "Trend", executive.trend, sourced=True),
        Panel("models_by_cost", "Where the money goes", executive.models_by_cost, sourced=True),
        Panel("notices_executive", "Who is told", notices.executive, samples=True),
        Panel("capacity", "Capacity and risk", capacity.capacity, samples=True),
    ),
}


def shown_to(audience: str) -> tuple[Panel, ...]:
    """The panels of an audience; an unknown one sees what developers see."""
    return PANELS.get(audience, PANELS["developer"])


def names(audience: str) -> frozenset[str]:
    """Every panel name that may be asked for; an unknown audience sees what developers see."""
    known = audience if audience in PANELS else "developer"
    return frozenset(panel.name for panel in (*PANELS[known], *EMPTY[known]))


def build(audience: str, sight: Sight, only: Collection[str] = ()) -> tuple[Shown, ...]:
    """The panels of an audience, or those named by `only`; where nothing is recorded, the one that says so."""
    known = audience if audience in PANELS else "developer"
    chosen = PANELS[known] if sight.totals.inferences > 0 else _without_inferences(known)
    built = ((panel, panel.build(sight)) for panel in chosen if not only or panel.name in only)
    return tuple(
        Shown(panel, context, _source(panel, context, sight)) for panel, context in built if context is not None
    )


def _without_inferences(audience: str) -> tuple[Panel, ...]:
    standing = [panel for panel in PANELS[audience] if panel.samples]
    first = [panel for panel in standing if panel.urgent]
    return (*first, *EMPTY[audience], *(panel for panel in standing if panel not in first))


def _source(panel: Panel, context: Context, sight: Sight) -> str:
    if panel.samples:
        return str(context.get("label", ""))
    return sight.provenance if panel.sourced else ""
