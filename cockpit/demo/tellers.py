"""The demo's channels and the routes that lead there, made by the verbs of all others; they call this machine alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from alerts import made_up, roster, routes, sending
from alerts.channels import TRANSPORTS
from alerts.channels.base import Audience
from alerts.models import Channel
from cockpit.demo.receivers import HOST
from cockpit.demo.troubles import SCIENTIA, SWAGGY
from organizations.scope import Scope

SOURCE = made_up.SOURCE
BY = "Demo"
_SCOPE = Scope.of(SWAGGY, SCIENTIA)
_NOWHERE = 9  # the port of those that are not served yet: nobody listens there
_KEY = "d3m0" * 8  # of PagerDuty's shape, and nobody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """A channel, one of its kind in its organization, and the one route that leads there."""

    organization: str
    name: str
    kind: str
    route: str
    audience: Audience = "developer"
    severities: tuple[str, ...] = ()


TELLERS = (
    Teller(organization=SWAGGY, name="#llm-alerts", kind="slack", route="Whatever is wrong to Slack",
           severities=("critical", "warning")),
    Teller(organization=SWAGGY, name="On call", kind="pagerduty", route="What cannot wait to whoever is on call",
           severities=("critical",)),
    Teller(organization=SWAGGY, name="Platform bus", kind="webhook", route="Everything to the bus"),
    Teller(organization=SCIENTIA, name="Board room", kind="slack", route="Serious problems to the board",
           audience="executive", severities=("critical",)),
    Teller(organization=SCIENTIA, name="Service desk", kind="teams", route="Whatever is wrong to the desk",
           audience="executive", severities=("critical", "warning")),
)  # fmt: skip


def make(now: datetime) -> bool:
    """Make them, unless some are there; whether they were made. Until they are served they lead nowhere."""
    with _SCOPE.enter():
        if Channel.objects.filter(source=SOURCE).exists():
            return False
        for one in TELLERS:
            transport = TRANSPORTS[one.kind]
            settings = roster.read_settings(transport, _given(one.kind, _NOWHERE), client=sending.tools(SOURCE).client)
            channel = roster.create_channel(
                organization=one.organization, kind=one.kind, name=_free(one), audience=one.audience,
                settings=settings, now=now, by=BY, source=SOURCE,
            )  # fmt: skip
            routes.save_route(
                organization=one.organization, name=one.route, channels=[channel], now=now, by=BY,
                severities=one.severities, source=SOURCE,
            )  # fmt: skip
    return True


def serve(port: int, now: datetime) -> None:
    """From now on they are received at that port; what waits for them goes out at once."""
    with _SCOPE.enter():
        for channel in Channel.objects.filter(source=SOURCE).exclude(state="retired"):
            settings = roster.read_settings(
                TRANSPORTS[channel.kind], {**channel.settings, **_given(channel.kind, port)},
                client=sending.tools(SOURCE).client, kept=roster.secrets_of(channel),
            )  # fmt: skip
            roster.change_channel(channel=channel, name=channel.name, audience=channel.audience, settings=settings,
                                  now=now, per_minute=channel.per_minute)  # fmt: skip


def clear() -> int:
    """Take the demo's channels and routes away, with all that was told there; how many channels there were."""
    return made_up.erase(Scope.system("demo clear"))


def _given(kind: str, port: int) -> Mapping[str, str]:
    url = f"http://{HOST}:{port}/{kind}"
    return {"routing_key": _KEY, "events_url": url} if kind == "pagerduty" else {"url": url}


def _free(one: Teller) -> str:
    """Its name, or another one where somebody's own channel has that."""
    taken = Channel.objects.filter(organization=one.organization, name=one.name).exclude(state="retired")
    return f"{one.name} (demo)" if taken.exists() else one.name
