"""The kinds of channels that there are, by the name that is stored."""

from collections.abc import Mapping

from alerts.channels import alertmanager, bridge, email, heartbeat, pagerduty, slack, teams, webhook
from alerts.channels.base import Transport

TRANSPORTS: Mapping[str, Transport] = {
    one.kind: one
    for one in (
        slack.TRANSPORT,
        pagerduty.TRANSPORT,
        email.TRANSPORT,
        teams.TRANSPORT,
        webhook.TRANSPORT,
        alertmanager.TRANSPORT,
        bridge.TRANSPORT,
        heartbeat.TRANSPORT,
    )
}


def title_of(kind: str) -> str:
    """Its name for people; of a kind that is no more, as it is stored."""
    return TRANSPORTS[kind].title if kind in TRANSPORTS else kind
