"""The dead-man's switch: a URL outside that is called every minute, so that silence there is the alarm."""

from collections.abc import Mapping

import msgspec

from alerts.channels.answers import demanded, receipt
from alerts.channels.base import Field, Notice, Receipt, Tools, Transport
from alerts.channels.wording import timestamp


def rendered(notice: Notice) -> dict[str, str]:
    """The synthetic alert; who counts calls need not read it."""
    return {
        "type": f"cockpit.{notice.event}",
        "id": notice.id,
        "organization": notice.organization,
        "raisedAt": timestamp(notice.at),
        "title": notice.title,
    }


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    headers = {"content-type": "application/json"}
    answer = tools.client.post(demanded(settings, "url"), msgspec.json.encode(rendered(notice)), headers)
    return receipt(answer, now=tools.now)


TRANSPORT = Transport(
    kind="heartbeat",
    title="Dead-man's switch",
    summary="A URL outside, such as at Healthchecks, where the alarm is raised when nobody calls for a while.",
    fields=(
        Field(name="url", label="URL", help="It is sent a POST every minute, by the road that alerts take.",
              secret=True, kind="url"),
    ),
    send=send,
    events=("pulse", "test"),
)  # fmt: skip
