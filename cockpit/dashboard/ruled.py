"""The rules whose limits stand on a page's charts: an organization's own, and the platform's for who may see those."""

from collections.abc import Sequence
from dataclasses import dataclass

from alerts import rule_limits
from alerts.rule_limits import Limited
from cockpit.dashboard import limits
from cockpit.dashboard.readings import PLATFORM
from cockpit.dashboard.windows import View
from organizations.models import Organization
from organizations.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    own: Sequence[Limited] = ()
    platform: Sequence[Limited] = ()

    def of(self, chart: str) -> Sequence[Limited]:
        return self.platform if chart in limits.PLATFORM else self.own


def read(organization: Organization, view: View, *, platform: bool) -> Ruled:
    """Rules judge live data alone: on charts without any they would say what is not so."""
    if view.source not in (None, "live"):
        return Ruled()
    executive, slug = organization.audience == "executive", organization.slug
    charts = limits.EXECUTIVE if executive else limits.OWN
    own = rule_limits.read(Scope.of(slug), slug, limits.measures(charts))
    if executive or not platform:
        return Ruled(own=own)
    asked = limits.measures(limits.PLATFORM)
    return Ruled(own=own, platform=rule_limits.read(Scope.system("platform panels"), PLATFORM, asked))
