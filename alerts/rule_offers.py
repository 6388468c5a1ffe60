"""What the form of a rule offers to choose from: families that there are, people, timezones, data to try it on."""

from datetime import datetime, timedelta
from zoneinfo import available_timezones

import structlog
from django.db import DatabaseError

from alerts import gauging, pack
from alerts.models import AlertRule
from monitoring.families import BY_NAME
from monitoring.store import current_store
from monitoring.store.base import Query
from monitoring.store.samples import Trace
from organizations.models import Membership, User
from organizations.scope import Scope
from organizations.site import DATA_READERS

log = structlog.get_logger(__name__)

LONGEST_DAYS = 31
_LATELY = timedelta(days=7)
_CONTINENTS = frozenset({"Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"})
_PARTS = ("_bucket", "_sum", "_count")  # of which a histogram is kept
_READ = "cockpit_cpu_utilization_ratio"  # of every host that tells anything


def families_of(organization: str, now: datetime) -> list[str]:
    """The families of which the organization has any series, and those that its given rules are about."""
    found = {name for one in pack.of(organization) for name in (one.definition.measure, one.definition.per)
             if name and not one.definition.of_inferences}  # fmt: skip
    scope, store = Scope.of(organization), current_store()
    try:
        series = [*store.levels(scope, since=now - _LATELY), *store.counters(scope)]
        found |= {_whole(one.family) for one in series}
    except DatabaseError as error:
        log.warning("a rule's form without the store's families", reason=type(error).__name__)
    return sorted(found)


def _whole(family: str) -> str:
    """A histogram for any of its parts."""
    for part in _PARTS:
        name = family.removesuffix(part)
        if name != family and (part == "_bucket" or (name in BY_NAME and BY_NAME[name].kind == "histogram")):
            return name
    return family


def people_of(organization: str, rule: AlertRule | None) -> dict[int, str]:
    """Who may own a rule: those who work with its organization's data, and whoever owns it already."""
    roles = Membership.objects.filter(organization=organization, role__in=DATA_READERS)
    people = User.objects.filter(is_active=True, pk__in=roles.values("user")).order_by("username")
    found = dict(people.values_list("pk", "username"))
    if rule and rule.owner_id and rule.owner_id not in found:
        found |= dict(User.objects.filter(pk=rule.owner_id).values_list("pk", "username"))
    return found


def zones() -> list[str]:
    """The names of timezones as people know them: after cities, and UTC."""
    return ["UTC", *sorted(name for name in available_timezones() if name.partition("/")[0] in _CONTINENTS)]


def has_demo(organization: str, now: datetime) -> bool:
    """Whether there is anything made up that a rule could be tried on: calls, or the platform's samples."""
    scope, end = Scope.of(organization), gauging.minute_of(now, 0)
    start, sources = end - timedelta(days=LONGEST_DAYS), ("demo",)
    try:
        if organization == "shared":
            trace = Trace(organization=organization, family=_READ, start=start, end=end, by=(), sources=sources)
            return bool(current_store().history(scope, [trace], step_seconds=86_400)[0])
        query = Query(start=start, end=end, sources=sources, fields=frozenset({"inferences"}))
        return bool(current_store().totals(scope, [query])[0])
    except DatabaseError:
        return False
