"""How the dashboard's routes are described: parameters, answers, and examples that tests carry out."""

from typing import Any, Final

import msgspec
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema

from cockpit.dashboard import answers, panels, windows
from monitoring.measures import SOURCES
from organizations.tokens import LIFETIME

_TAGS = ["Monitoring"]
_NAMES = sorted(set().union(*map(panels.names, panels.PANELS)))
_HEADER: Final = OpenApiParameter.HEADER


def _examples(**named: Any) -> list[OpenApiExample]:
    return [OpenApiExample(name.replace("_", " "), value=value) for name, value in named.items()]


ORGANIZATION = OpenApiParameter(
    "organization",
    str,
    description="The slug of the organization meant. Without it: the one of the key or token, a person's first.",
)
_TIME = {"type": "string", "format": "date-time"}
_VIEW = [
    ORGANIZATION,
    OpenApiParameter(
        "window",
        str,
        enum=windows.WINDOWS,
        default=windows.DEFAULT,
        description="The time up to now, the running minute included. Not beside `from` and `to`.",
        examples=_examples(last_day="24h"),
    ),
    OpenApiParameter(
        "from",
        _TIME,
        description="The start, with a time zone, cut to its minute; at most 400 days before `to`.",
        examples=_examples(between_two_times="2026-01-31T09:00:00Z"),
    ),
    OpenApiParameter(
        "to",
        _TIME,
        description="The end, which is not part of it; without it, now. Not without `from`.",
        examples=_examples(between_two_times="2026-01-31T09:02:00Z"),
    ),
    OpenApiParameter(
        "compare",
        str,
        enum=windows.COMPARISONS,
        default=windows.DEFAULT_COMPARISON,
        description="Compare with a window as long, directly before or a week earlier.",
    ),
    OpenApiParameter(
        "source", str, enum=SOURCES, description="Only inferences that came from there; without it, all of them."
    ),
]
_CONDITIONAL = [
    OpenApiParameter("If-None-Match", str, _HEADER, description="The ETag of the answer you have: 304 while it holds."),
    OpenApiParameter(
        "ETag", str, _HEADER, required=True, response=[200, 304],
        description="A weak tag of the figures; the moment of asking does not change it.",
    ),
    OpenApiParameter("X-As-Of", _TIME, _HEADER, required=True, response=[200, 304], description="When it was asked."),
]  # fmt: skip
_UNCHANGED = OpenApiResponse(None, "Nothing has changed since the answer that `If-None-Match` names.")

_FIGURES = (1840, 12, 0.006522, "7.73", 3, "11.04", 942080, 235520, 410.2, 1210.7, 2890.1)
_USERS = [answers.UsersOfDay("2026-01-31", 41)]
_EARLIER = answers.Totals(1610, 9, 0.00559, "6.76", 0, "9.66", 824320, 206080, 402.9, 1188.0, 2811.5, _USERS)
_MOMENTS = ["2026-01-31T09:00:00.000Z", "2026-01-31T09:01:00.000Z"]
_BECAUSE = "14% more requests than in the 2 minutes before"
_DASHBOARD = msgspec.to_builtins(
    answers.Dashboard(
        organization="swaggystacks",
        currency="USD",
        window=answers.Window(_MOMENTS[0], "2026-01-31T09:02:00.000Z", 60),
        as_of="2026-01-31T09:02:11.000Z",
        sources=answers.Sources(1840, 0, 0),
        totals=answers.Totals(*_FIGURES, _USERS),
        previous=_EARLIER,
        models=[answers.Model("qwen2.5:7b", "ollama", *_FIGURES)],
        movers=[answers.Mover("qwen2.5:7b", "ollama", "volume", "currency", _BECAUSE, "0.97", "6.76", "7.73")],
        errors_by_type=[answers.ErrorCount("deadline", 12)],
        series=answers.Series(_MOMENTS, [910, 930], [5, 7], ["3.82", "3.91"], [582400, 595200], [408.1, 412.4],
                              [1204.5, 1216.9], [2870.0, 2910.2]),
    )
)  # fmt: skip
_EVENTS = (
    "retry: 2731\n\n"
    "id: 41\nevent: stale\n"
    'data: {"panels": ["key_numbers", "latency"], "asOf": "2026-01-31T09:02:11.000Z"}\n\n'
    ": heartbeat\n\n"
    "event: bye\nretry: 2000\ndata: {}\n\n"
)
_FRAGMENT = '<section id="panel-latency">...</section>'

dashboard = extend_schema(
    operation_id="readDashboard",
    summary="Read an organization's numbers",
    tags=_TAGS,
    description="Inferences, money, tokens, latency and errors of one organization and window, right to the last "
    "committed inference. Answers may be a second old.",
    parameters=[*_VIEW, *_CONDITIONAL],
    responses={
        200: OpenApiResponse(
            answers.Dashboard,
            "The numbers.",
            _examples(last_day=_DASHBOARD, between_two_times=_DASHBOARD),
        ),
        304: _UNCHANGED,
    },
)

drawn = extend_schema(
    operation_id="readPanels",
    summary="Read the panels as HTML",
    tags=_TAGS,
    description="The panels of an organization's dashboard drawn as HTML, for pages that show them. "
    "The same parameters as for the numbers.",
    parameters=[
        *_VIEW,
        OpenApiParameter(
            "panel",
            {"type": "array", "items": {"type": "string", "enum": _NAMES}},
            description="Only this panel; may be given several times. Which there are depends on the organization's "
            "audience, developers or executives.",
        ),
        *_CONDITIONAL,
    ],
    responses={
        (200, "text/html"): OpenApiResponse({"type": "string"}, "The panels.", _examples(last_day=_FRAGMENT)),
        304: _UNCHANGED,
    },
)

stream = extend_schema(
    operation_id="followDashboard",
    summary="Be told when numbers move",
    tags=_TAGS,
    description=(
        "Server-sent events of one organization, until you leave, your right to read ends, or the process stops:\n\n"
        "* `stale`: the page's panels may have moved: `{panels: [...], asOf: \"...\"}`. Read them again. One comes "
        "at once, unless `Last-Event-ID` says that you have seen the newest.\n"
        "* `bye`, with `{}`: the stream ends. Come back after `retry` milliseconds; a 401 then means what it says.\n"
        "* a comment every 15 seconds keeps the connection open.\n\n"
        "Where there is no room for another stream (429, 503), read the numbers from time to time instead."
    ),
    parameters=[
        ORGANIZATION,
        OpenApiParameter(
            "Last-Event-ID", str, _HEADER, description="The `id` of the last event you have seen; browsers send it."
        ),
    ],
    responses={
        (200, "text/event-stream"): OpenApiResponse({"type": "string"}, "The events.", _examples(events=_EVENTS)),
    },
)  # fmt: skip

embed_token = extend_schema(
    operation_id="issueEmbedToken",
    summary="Issue a token for an embedded dashboard",
    tags=_TAGS,
    description=(
        f"A token that reads one organization's dashboard for {LIFETIME.seconds // 60} minutes, for a page of "
        "EMBED_ORIGINS. Ask for it from your server, where your key is safe, and hand the page the token alone. "
        "It ends early when its issuer may no longer read. A token cannot issue another."
    ),
    parameters=[ORGANIZATION],
    request={
        "application/json": OpenApiRequest(
            {"type": "object", "additionalProperties": False, "description": "Nothing; the body may also be empty."},
            examples=_examples(token={}),
        )
    },
    responses={
        201: OpenApiResponse(
            answers.EmbedToken,
            "The token.",
            _examples(
                token={
                    "token": "ct_WyI5ZjEi...",
                    "organization": "swaggystacks",
                    "expiresAt": "2026-01-31T09:17:00.000Z",
                }
            ),
        ),
        (415, "application/problem+json"): OpenApiResponse(None, "The body is not JSON."),
    },
)
