"""The demo's alerts, raised and ended by the verbs of every other alert, at moments that are over."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import structs

from alerts import lifecycle, made_up, tending
from alerts.models import Alert
from cockpit.demo.calls import Telling
from cockpit.demo.troubles import BLIP, DAY, SCIENTIA, SHARED, SWAGGY, Act, Trouble, blip, blips, troubles
from organizations import audit
from organizations.models import AuditEvent
from organizations.scope import Scope

SOURCE = "demo"
_SCOPE = Scope.of(SWAGGY, SCIENTIA, SHARED)
_VERBS: Mapping[str, Callable[..., Any]] = {
    "acknowledge": lifecycle.acknowledge,
    "unacknowledge": lifecycle.unacknowledge,
    "comment": lifecycle.comment,
    "shelve": lifecycle.shelve,
    "resolve": lifecycle.resolve,
    "reopen": lifecycle.reopen,
}


def load(telling: Telling, zones: Mapping[str, ZoneInfo]) -> int:
    """Raise the alerts of the month with all that was done about them, where there are none yet; how many.

    They are there as a whole or not at all, in the order of time, so that episodes are numbered as they came; whoever
    was told of them was told at that time.
    """
    with _SCOPE.enter():
        if Alert.objects.filter(source=SOURCE).exists():
            return 0
        told = telling.told_at
        small = [one for slug in (SWAGGY, SCIENTIA) for one in blips(slug, told - DAY, told)]
        found = [*troubles(telling, zones), *small]
        for trouble in found:
            _play(trouble.organization, trouble, trouble.acts)
        made_up.tell_past(told)
    return len(found)


def clear() -> int:
    """Take every demo alert away with its timeline, and nothing else; how many there were."""
    return tending.erase(Scope.system("demo clear"), source=SOURCE)


class Blips:
    """What is wrong for a few minutes now and then, as the present goes on."""

    def __init__(self) -> None:
        self._done: dict[str, tuple[Act, ...]] = {}

    def tick(self, now: datetime) -> None:
        """Bring each organization to where it is to be; also what another process left as it was."""
        for organization in (SWAGGY, SCIENTIA):
            trouble = blip(organization, now)
            due = tuple(act for act in trouble.acts if act.at <= now) if trouble else ()
            done = self._done.get(organization, ())
            if due != done or organization not in self._done:
                there = _open(organization)
                over = not due or due[-1].verb == "resolve"
                if there and over:
                    _play(organization, trouble, due[-1:] or (Act(now, "resolve"),), there)
                elif not over and (there or due[: len(done)] != done or not done):  # else somebody has resolved it
                    _play(organization, trouble, due, there)
                self._done[organization] = due


def _open(organization: str) -> UUID | None:
    with Scope.of(organization).enter():
        found = Alert.objects.filter(organization=organization, source=SOURCE, alert_type=BLIP)
        return found.exclude(status="resolved").values_list("id", flat=True).first()


def _play(organization: str, trouble: Trouble | None, acts: Iterable[Act], there: UUID | None = None) -> None:
    """Do all of this to one alert; one that is `there` already does not begin again."""
    scope, begun = Scope.of(organization), there is not None
    for act in acts:
        given: dict[str, Any] = {"scope": scope, "now": act.at, "via": "page" if act.by else "rule"}
        with _as(act.by):
            if act.verb in _VERBS:
                more = {} if act.until is None else {"until": act.until}
                _VERBS[act.verb](ids=[there], note=act.note, **given, **more)
            elif trouble and not begun:
                report = trouble.report if act.verb == "fire" else structs.replace(trouble.report, severity="critical")
                [fired] = lifecycle.fire(organization=organization, reports=[report], **given)
                there = fired.state.id


@contextmanager
def _as(name: str) -> Iterator[None]:
    """One of the demo's people does what is done in the block; without a name the cockpit itself."""
    who = audit.Origin(actor_kind=AuditEvent.Actor.USER, actor=name) if name else audit.Origin()
    token = audit.origin.set(who)
    try:
        yield
    finally:
        audit.origin.reset(token)
