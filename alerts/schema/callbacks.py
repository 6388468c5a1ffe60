"""How what others call is described."""

from typing import Annotated

from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema
from msgspec import Meta, Struct

from alerts.schema.parts import DEDUP_KEY, HEADER, JSON, PROBLEM, TOO_LARGE, examples, operation, refused

NOT_SIGNED = "No channel of this address with this signature."
_EVENT = {
    "event": {
        "id": "01CH754SM17TWPE2V2H4VPBRO7", "event_type": "incident.acknowledged", "resource_type": "incident",
        "occurred_at": "2026-01-31T09:05:00.000Z",
        "agent": {"type": "user_reference", "summary": "Ada"},
        "data": {"id": "PGR0VU2", "type": "incident", "number": 2, "incident_key": DEDUP_KEY},
    }
}  # fmt: skip


class CalledBack(Struct, frozen=True):
    """Whether it was news of an alert."""

    done: Annotated[bool, Meta(description="Nothing is done for tests, for machines, and for incidents of others.")]


pagerduty = operation(
    "takePagerDutyWebhook",
    "Take what people do in PagerDuty",
    "The address of a webhook v3 subscription: who acknowledges, resolves or reopens an incident there does so to its "
    "alert here. Authenticated by PagerDuty's signature with the secret that the channel was told, and by nothing "
    "else; done twice it changes nothing.",
    parameters=[
        OpenApiParameter("id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH,
                         description="The id of the channel."),
        OpenApiParameter("X-PagerDuty-Signature", str, HEADER, required=True,
                         description="`v1=` and the HMAC-SHA256 of the body in hex; several are divided by commas."),
    ],
    request={JSON: OpenApiRequest({"type": "object"}, examples=examples({"acknowledged": _EVENT}))},
    responses={
        200: OpenApiResponse(CalledBack, "Read.", examples({"acknowledged": {"done": True}})),
        (403, PROBLEM): refused(403, "Not allowed", "The signature is not that of a channel.", detail=NOT_SIGNED),
        (413, PROBLEM): TOO_LARGE,
    },
    auth=[],
)  # fmt: skip
pulse = extend_schema(exclude=True)  # our own processes' alone
