"""What the descriptions of alerts have in common: an alert to show, parameters, refusals."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from alerts.serializers import MAX_BODY
from alerts.wire import Alert
from bedrock.problem import Problem

JSON, PROBLEM = "application/json", "application/problem+json"
HEADER: Final = OpenApiParameter.HEADER
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Described(Protocol):
    """Tells drf-spectacular of the method below, which stays what it is."""

    def __call__(self, handler: Handler, /) -> Handler: ...


def examples(named: Mapping[str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample(name, value=value) for name, value in named.items()]


# Ids, times and people that stand for those which a reader (or a test) has.
ID, ABSENT_ID, UNTIL, OWNER = (
    "01a20535-6a1c-7e0e-b3f5-9d6f0a4c2b11",
    "01a20535-6a1c-7e0e-b3f5-9d6f0a4c2b12",
    "2026-01-31T12:00:00.000Z",
    "ada",
)
ONE: dict[str, Any] = {
    "alertType": "high_error_rate",
    "severity": "warning",
    "message": "API error rate exceeded 5% threshold",
    "endpointId": "endpoint-123",
    "modelName": "qwen2.5:7b",
    "metadata": {"errorRate": 0.07, "threshold": 0.05, "timeWindow": "5m"},
}
FIRING = Alert(
    id=ID, organization="swaggystacks", alert_type="high_error_rate", severity="warning", status="firing",
    message="API error rate exceeded 5% threshold", endpoint_id="endpoint-123", model_name="qwen2.5:7b",
    metadata=ONE["metadata"], labels={}, fingerprint="9f2c" * 16, episode=1, count=1,
    first_seen_at="2026-01-31T09:00:00.000Z", last_seen_at="2026-01-31T09:00:00.000Z", acknowledged_at=None,
    acknowledged_by=None, acknowledged_until=None, resolved_at=None, resolved_by=None, owner=None, source="live",
    suppressed_by=[],
)  # fmt: skip
DEDUP_KEY = f"swaggystacks:{'9f2c' * 16}:1"
AT = "2026-01-31T09:05:00.000Z"


def alert(**changes: Any) -> Any:
    return msgspec.to_builtins(msgspec.structs.replace(FIRING, **changes))


def refused(status: int, title: str, words: str, *, named: str = "", **more: Any) -> OpenApiResponse:
    """A problem; `named` is the example's name where a body of that name is refused so."""
    told = {"type": "about:blank", "title": title, "status": status, **more}
    return OpenApiResponse(Problem, words, examples({named or title.lower(): told}))


IDENTIFIER = OpenApiParameter(
    "id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH, description="The id of the alert."
)
NO_SUCH = refused(404, "Not found", "There is no such alert in an organization of yours.", detail="No such alert.")
TOO_LARGE = refused(413, "Too large", "The body is larger than its limits.",
                    detail=f"At most {MAX_BODY >> 10} KiB a request.")  # fmt: skip
BODY_REFUSALS: dict[tuple[int, str], OpenApiResponse] = {
    (413, PROBLEM): TOO_LARGE,
    (415, PROBLEM): refused(415, "Content type not supported", "The body is not JSON in UTF-8.",
                             detail="Send application/json."),
}  # fmt: skip


def operation(name: str, summary: str, words: str, **more: Any) -> Described:
    return extend_schema(operation_id=name, summary=summary, tags=["Alerts"], description=words, **more)
