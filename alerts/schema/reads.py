"""How reading alerts is described: lists, one of them, its timeline, counts."""

from collections.abc import Sequence
from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from alerts import queries
from alerts.schema.parts import FIRING, HEADER, IDENTIFIER, NO_SUCH, PROBLEM, alert, examples, operation
from alerts.wire import COUNTED, Alert, AlertEvent, AlertPage, AlertSummary, AlertTimeline

_TIME = {"type": "string", "format": "date-time"}
_COUNT = {"type": "integer", "minimum": 0}
_EVENT = AlertEvent(
    at="2026-01-31T09:00:00.000Z", kind="fired", actor="first key", actor_kind="key", via="api", address="192.0.2.7",
    before={}, after={"status": "firing", "severity": "warning"}, note=None, tells="trigger", withheld=None,
)  # fmt: skip
_SUMMARY = AlertSummary(
    total=3, firing=2, acknowledged=1, critical=1, warning=2, info=0, suppressed=1,
    oldest_at="2026-01-31T08:00:00.000Z", oldest_seconds=3600,
)  # fmt: skip


_ORGANIZATION = OpenApiParameter(
    "organization", str, description="The slug of the organization meant. Without it: all whose alerts you may read."
)
_CURSOR = OpenApiParameter("cursor", str, description="The `nextCursor` of the page before, with the same parameters.")


def _limit(usual: int) -> OpenApiParameter:
    schema = {"type": "integer", "minimum": 1, "maximum": queries.MOST, "default": usual}
    return OpenApiParameter("limit", schema, description="How many at most.")


def _words(known: Sequence[str]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "enum": list(known)}}


def _list(name: str, known: Sequence[str], words: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, _words(known), explode=False, style="form", description=words, **more)


_SOURCE = _list("source", queries.SOURCES, "Where they come from; demo ones are made by the cockpit itself.")

listed = operation(
    "listAlerts",
    "List alerts",
    "Alerts of your organizations, page by page. Filters stand beside each other: an alert has to pass all of them.",
    parameters=[
        _ORGANIZATION,
        _list("status", queries.STATUSES, "Of these; `open` is firing or acknowledged.",
              examples=examples({"what is wrong now": ["open"]})),
        _list("severity", queries.SEVERITIES, "Of these.",
              examples=examples({"what is wrong now": ["critical", "warning"]})),
        OpenApiParameter("type", str, description="Of this `alertType`."),
        OpenApiParameter("model", str, description="Of this `modelName`."),
        _SOURCE,
        OpenApiParameter("since", _TIME, description="First seen at this time or later."),
        OpenApiParameter("until", _TIME, description="First seen before this time."),
        OpenApiParameter("q", str, description="With these words in message, type, model or endpoint."),
        OpenApiParameter(
            "ordering", str, enum=queries.ORDERINGS, default=queries.ORDERINGS[0],
            description="`-` is downward. `severity` has the worst first, and the newest of each.",
            examples=examples({"what is wrong now": "severity"}),
        ),
        _limit(queries.USUAL),
        _CURSOR,
    ],
    responses={
        200: OpenApiResponse(
            AlertPage, "The alerts.",
            examples({"what is wrong now": msgspec.to_builtins(AlertPage([FIRING], None))}),
        )
    },
)  # fmt: skip

read = operation(
    "readAlert",
    "Read an alert",
    "One alert as it stands.",
    parameters=[IDENTIFIER],
    responses={200: OpenApiResponse(Alert, "The alert.", examples({"alert": alert()})), (404, PROBLEM): NO_SUCH},
)

timeline = operation(
    "readAlertTimeline",
    "Read what happened to an alert",
    "Everything that was done to it, the oldest first: who, from where, what was before and after, and what "
    "receivers are told of it. Repeats count up `count` and leave no line, unless the severity changes.",
    parameters=[IDENTIFIER, _limit(queries.MOST), _CURSOR],
    responses={
        200: OpenApiResponse(
            AlertTimeline,
            "The timeline.",
            examples({"timeline": msgspec.to_builtins(AlertTimeline([_EVENT], None))}),
        ),
        (404, PROBLEM): NO_SUCH,
    },
)

summary = operation(
    "countAlerts",
    "Count open alerts",
    "How many alerts are open, by status and by severity. Everything stands in headers too: `HEAD` is enough.",
    parameters=[
        _ORGANIZATION,
        _SOURCE,
        *(
            OpenApiParameter(
                f"X-Alerts-{name.capitalize()}", _COUNT, HEADER, required=True, response=[200, 304],
                description="Open alerts." if name == "total" else f"Open alerts that are {name}.",
            )
            for name in COUNTED
        ),
        OpenApiParameter(
            "X-Alerts-Oldest-Seconds", _COUNT, HEADER, response=[200, 304],
            description="How long ago the oldest of them began; absent when none is open.",
        ),
        OpenApiParameter("If-None-Match", str, HEADER, description="The ETag that you have: 304 while it holds."),
        OpenApiParameter(
            "ETag", str, HEADER, required=True, response=[200, 304],
            description="A weak tag of the counts; time that goes by does not change it.",
        ),
    ],
    responses={
        200: OpenApiResponse(AlertSummary, "The counts.", examples({"counts": msgspec.to_builtins(_SUMMARY)})),
        304: OpenApiResponse(None, "Nothing has changed since the answer that `If-None-Match` names."),
    },
)  # fmt: skip
