"""Who is told of alerts as the panels see it: each channel with its figures of the window, and the newest failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts import delivery_figures
from alerts.delivery_figures import ChannelFigures, Failed
from cockpit.dashboard.alarms import SOURCES
from cockpit.dashboard.windows import View
from organizations.models import Organization
from organizations.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """An organization's channels, those that failed first.

    `known` is False where nobody looked, or where the source looked at has none.
    """

    known: bool = False
    channels: Sequence[ChannelFigures] = ()
    failures: Sequence[Failed] = ()

    @property
    def label(self) -> str:
        """How they must be labelled; "" for live ones alone."""
        there = {one.source for one in self.channels}
        return "" if "demo" not in there else "demo data included" if len(there) > 1 else "demo data"


def read(organization: Organization, view: View, now: datetime) -> Telling:
    """Of a view. What receivers answered is read for developers alone, and where something failed."""
    sources = tuple(source for source in SOURCES if view.source in (None, source))
    if not sources:
        return Telling()
    own, slug = Scope.of(organization.slug), organization.slug
    channels = delivery_figures.channels(own, slug, view.start, view.end, now=now, sources=sources)
    wanted = organization.audience != "executive" and any(one.lost or one.retrying for one in channels)
    failures = delivery_figures.failures(own, slug, now=now, sources=sources) if wanted else []
    return Telling(known=True, channels=channels, failures=failures)
