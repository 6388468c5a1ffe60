"""Sight: all that a panel may look at, and what several panels read from it in the same way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from cockpit.dashboard import limits, words
from cockpit.dashboard.alarms import Alarms
from cockpit.dashboard.charts import Column, Steps, Value
from cockpit.dashboard.integration import Answer, Series, Totals
from cockpit.dashboard.limits import Drawing, Limits
from cockpit.dashboard.movers import Mover
from cockpit.dashboard.readings import Readings
from cockpit.dashboard.ruled import Ruled
from cockpit.dashboard.telling import Telling
from monitoring.store.base import Call

LEAST_OF_NOW = 100  # an earlier window with a hundredth of the requests: "120 times as much" tells nobody anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One organization's data of one window, with the words and the zone its people read it in."""

    answer: Answer
    calls: Sequence[Call]
    zone: ZoneInfo
    window: str  # "" for one given by its ends
    compare: str
    source: str | None  # None for all
    host: str  # scheme and host of this server, for the line that sends a first inference
    readings: Readings = field(default_factory=Readings)
    alarms: Alarms = field(default_factory=Alarms)
    telling: Telling = field(default_factory=Telling)
    ruled: Ruled = field(default_factory=Ruled)

    @property
    def totals(self) -> Totals:
        return self.answer.totals

    @property
    def previous(self) -> Totals | None:
        """What to compare with; a window in which (next to) nothing happened is nothing to compare with."""
        previous = self.answer.previous
        enough = previous is not None and previous.inferences * LEAST_OF_NOW > self.totals.inferences
        return previous if enough else None

    @property
    def steps(self) -> Steps:
        return self.steps_of(self.answer.series)

    def steps_of(self, series: Series) -> Steps:
        return Steps(series.t, self.answer.step_seconds, self.zone, series.start, min(series.end, self.answer.as_of))

    @property
    def earlier_series(self) -> Series | None:
        """The compared window's steps; None where there is nothing to compare with."""
        return self.answer.earlier_series if self.previous else None

    @property
    def movers(self) -> tuple[Mover, ...]:
        return self.answer.movers if self.previous else ()

    def beside(self, name: str, values: Sequence[Value | None], steps: int = 0) -> Column:
        """An earlier window's values as the line to hold this one's against, step for step."""
        length = steps or len(self.answer.series.t)
        return Column(f"{name}, {self.earlier}", "earlier", [*values, *[None] * length][:length])

    @property
    def seconds(self) -> float:
        """The length of the window as far as it has passed."""
        return max(1.0, (min(self.answer.end, self.answer.as_of) - self.answer.start).total_seconds())

    @property
    def earlier_seconds(self) -> float:
        return max(1.0, (self.answer.end - self.answer.start).total_seconds())

    @property
    def estimated(self) -> bool:
        return self.totals.estimated > 0

    @property
    def provenance(self) -> str:
        """What every figure of money and every percentile must be labelled with; "" for live, measured data alone."""
        source = provenance({self.source: 1} if self.source else self.answer.sources)
        return ", ".join(filter(None, (source, "partly estimated" if self.estimated else "")))

    def limits_of(self, chart: str, drawing: Drawing, unit: str = "", label: str | None = None) -> Limits:
        """What rules ask of that which a chart shows. `label` is that of its data, unless they are of inferences."""
        rules = limits.of(chart, self.ruled.of(chart), drawing, plain=chart in limits.EXECUTIVE)
        mixed = provenance(self.answer.sources) if label is None else label
        return Limits(rules=rules, unit=unit and f" {unit}", note=limits.LIVE_ALONE if rules and mixed else "")

    @property
    def last(self) -> str:
        return words.last(self.window)

    @property
    def earlier(self) -> str:
        return words.earlier(self.window, self.compare)

    def clock(self, moment: datetime) -> str:
        """A moment as its readers' clock shows it; with the day where that is another one."""
        local, today = moment.astimezone(self.zone), self.answer.as_of.astimezone(self.zone)
        if local.date() == today.date():
            return f"{local:%H:%M}"
        year = "" if local.year == today.year else f" {local.year}"
        return f"{local.day} {local:%b}{year} {local:%H:%M}"

    def money(self, amount: Decimal | None) -> str | None:
        return words.money(amount, self.answer.currency)

    def unit_money(self, amount: Decimal | None) -> str | None:
        return words.unit_money(amount, self.answer.currency)


def provenance(sources: dict[str, int]) -> str:
    others = [source for source in ("replay", "demo") if sources.get(source)]
    if not others:
        return ""
    named = " and ".join(others)
    return f"{named} data included" if sources.get("live") else f"{named} data"


def cost_per_request(totals: Totals | None) -> Decimal | None:
    """Over the requests that have a price: the others would pull it towards zero."""
    if totals is None or totals.cost is None or totals.inferences <= totals.unpriced:
        return None
    return totals.cost / (totals.inferences - totals.unpriced)


def margin(totals: Totals | None) -> Decimal | None:
    if totals is None or totals.revenue is None or totals.cost is None:
        return None
    return totals.revenue - totals.cost
