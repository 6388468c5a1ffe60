"""How GET /api/metrics is described."""

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from monitoring.families import GROUPS
from monitoring.selection import LONGEST_NAME, MOST_NAMES

_TEXT = """\
# HELP cockpit_inferences_total Inferences recorded, by model, provider and status
# TYPE cockpit_inferences_total counter
cockpit_inferences_total{organization="swaggystacks",model="qwen2.5:7b",provider="ollama",status="success"} 1840
"""
_OPENMETRICS = f"{_TEXT.replace('inferences_total Inf', 'inferences Inf').replace('_total counter', ' counter')}# EOF\n"
_NAMES = (
    "Names of families, beginnings of names ending in `*`, and groups "
    f"({', '.join(GROUPS)}), separated by commas; may be given several times, at most {MOST_NAMES} names of "
    f"{LONGEST_NAME} characters in all. A name that no family bears selects none; plain text tells so in a comment."
)


def _example(value: str) -> list[OpenApiExample]:
    return [OpenApiExample("some families", value=value)]


metrics = extend_schema(
    operation_id="readMetrics",
    summary="Read metrics as Prometheus does",
    tags=["Monitoring"],
    description=(
        "Every live metric of your organizations in the text format of Prometheus, or in OpenMetrics where `Accept` "
        "likes that no less; packed with gzip where `Accept-Encoding` takes it. A platform key reads all "
        "organizations. What belongs to the platform itself (hosts, GPUs, database, queues) is told to who may read "
        "the organization `shared`. Reading changes nothing."
    ),
    parameters=[
        OpenApiParameter(
            "organization",
            str,
            description="Only of this organization; several are separated by commas, or given one by one. Without "
            "it: all that you may read.",
        ),
        OpenApiParameter(
            "include", str, description=f"Only these. {_NAMES}", examples=_example("business,cockpit_gpu_*")
        ),
        OpenApiParameter(
            "exclude", str, description=f"Not these, even if included. {_NAMES}", examples=_example("self")
        ),
        OpenApiParameter("name[]", str, description="Another name of `include`."),
        OpenApiParameter(
            "Accept", str, OpenApiParameter.HEADER, description="`application/openmetrics-text`, or `text/plain`."
        ),
    ],
    responses={
        (200, "text/plain"): OpenApiResponse({"type": "string"}, "The metrics.", [OpenApiExample("text", value=_TEXT)]),
        (200, "application/openmetrics-text"): OpenApiResponse(
            {"type": "string"}, "The metrics.", [OpenApiExample("OpenMetrics", value=_OPENMETRICS)]
        ),
    },
)
