"""What the ingest answers, and how it is described: bodies, headers, statuses, examples that tests carry out."""

from typing import Annotated, Any, Literal

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema
from msgspec import UNSET, Meta, Struct, UnsetType

from bedrock.problem import Fault, Problem
from monitoring.ingest import Item
from monitoring.serializers import MAX_INFLATED, MAX_ITEMS, MAX_WIRE

JSON, PROBLEM = "application/json", "application/problem+json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Id = Annotated[str, Meta(description="A UUIDv7, which holds `occurredAt`.", extra_json_schema={"format": "uuid"})]
Yes = Annotated[bool, Meta(extra_json_schema={"const": True})]
Count = Annotated[int, Meta(ge=0)]
Body = Annotated[Item | Annotated[list[Item], Meta(min_length=1, max_length=MAX_ITEMS)], Meta(title="Inferences")]


class Recorded(Struct, rename="camel", frozen=True):
    """The inference that was stored."""

    id: Id
    organization: Annotated[str, Meta(description="The slug of the organization it was counted for.")]
    occurred_at: Time
    duplicate: Annotated[Yes, Meta(description="It had been stored before.")] | UnsetType = UNSET


class Result(Struct, rename="camel", frozen=True):
    """What became of one inference of several."""

    index: Annotated[int, Meta(ge=0, description="Its place in what was sent, from 0.")]
    status: Literal["stored", "duplicate", "rejected"]
    id: Id | UnsetType = UNSET
    duplicate: Yes | UnsetType = UNSET
    errors: Annotated[list[Fault], Meta(description="Why it was rejected.")] | UnsetType = UNSET


class Batch(Struct, rename="camel", frozen=True):
    """How many inferences were stored, and what became of each."""

    stored: Count
    duplicates: Annotated[Count, Meta(description="Sent before with the same key and content.")]
    rejected: Count
    results: Annotated[list[Result], Meta(description="In the order of what was sent.")]


_ID = "019a2f6e-8f2a-7c31-9d52-4b1f0e6a7c11"
_ONE: dict[str, Any] = {"modelName": "qwen2.5:7b", "provider": "ollama", "durationMs": 412.5, "inputTokens": 512,
                        "outputTokens": 128, "cost": "0.0042", "tags": {"team": "search"}}  # fmt: skip
_FAILED = {"modelName": "qwen2.5:7b", "durationMs": 30000, "status": "timeout", "errorType": "deadline"}
_KEYED = {**_ONE, "idempotencyKey": "call-0001"}
_OLD = {**_ONE, "occurredAt": "2020-01-01T00:00:00Z"}
_TOO_OLD = {
    "pointer": "/occurredAt",
    "code": "too-old",
    "message": "must be at most 7 days back (older: a key with ingest:backfill)",
}
_RECORDED = {"id": _ID, "organization": "swaggystacks", "occurredAt": "2025-10-28T16:20:41.130Z"}
_STORED = [{"index": index, "status": "stored", "id": _ID} for index in range(2)]
_REJECTED = {"index": 1, "status": "rejected", "errors": [_TOO_OLD]}
_LINES = '{"modelName":"qwen2.5:7b","durationMs":412.5}\n{"modelName":"qwen2.5:7b","durationMs":388}\n'
# Request and answer of one name belong together.
_SENT = {"one": _ONE, "repeated": _KEYED, "several": [_ONE, _FAILED], "partly refused": [_ONE, _OLD],
         "refused": _OLD, "all refused": [_OLD, _OLD], "key used before": {**_KEYED, "durationMs": 9}}  # fmt: skip
_ALL_STORED = {"stored": 2, "duplicates": 0, "rejected": 0, "results": _STORED}
_TOLD: dict[int, dict[str, Any]] = {
    200: {"repeated": {**_RECORDED, "duplicate": True}},
    201: {"one": _RECORDED, "several": _ALL_STORED, "lines": _ALL_STORED},
    207: {"partly refused": {"stored": 1, "duplicates": 0, "rejected": 1, "results": [_STORED[0], _REJECTED]}},
    400: {"all refused": {"stored": 0, "duplicates": 0, "rejected": 2, "results": [{**_REJECTED, "index": 0},
                                                                                   _REJECTED]}},
}  # fmt: skip


_NAMES = {422: "key used before"}


def _examples(named: dict[str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample(name, value=value) for name, value in named.items()]


def _refused(status: int, title: str, detail: str, words: str, **more: Any) -> OpenApiResponse:
    told = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return OpenApiResponse(Problem, words, _examples({_NAMES.get(status, title.lower()): told}))


_HEADERS = [
    OpenApiParameter(
        "organization", str, description="The slug of the organization meant; without it, the one of the key."
    ),
    OpenApiParameter(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[\\x21-\\x7e]+$"},
        OpenApiParameter.HEADER,
        description="Makes sending the same body again harmless for eight days: the answer is the first one, with "
        "`Idempotent-Replay: true`. Inference *i* gets the key `<header>:<i>`. Not beside `idempotencyKey` fields.",
    ),
    OpenApiParameter(
        "Content-Encoding",
        str,
        OpenApiParameter.HEADER,
        enum=("identity", "gzip"),
        default="identity",
        description="How the body is packed.",
    ),
    OpenApiParameter(
        "Idempotent-Replay",
        {"type": "string", "const": "true"},
        OpenApiParameter.HEADER,
        response=[201, 207],
        description="This was stored before, and is answered as it was then.",
    ),
]

described = extend_schema(
    operation_id="recordInferences",
    summary="Record inferences",
    tags=["Monitoring"],
    description=(
        "Stores one inference, an array of them, or NDJSON (one object a line), and answers when they are committed. "
        "What is valid in a batch is stored even where the rest is not.\n\n"
        f"At most {MAX_WIRE >> 20} MiB on the wire, {MAX_INFLATED >> 20} MiB unpacked, {MAX_ITEMS:,} inferences."
    ),
    parameters=_HEADERS,
    request={
        JSON: OpenApiRequest(Body, examples=_examples(_SENT)),
        **{kind: OpenApiRequest({"type": "string"}, examples=_examples({"lines": _LINES})) for kind in NDJSON},
    },
    responses={
        200: OpenApiResponse(Recorded, "The one inference sent had been stored before.", _examples(_TOLD[200])),
        201: OpenApiResponse(
            {"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Recorded, Batch)]},
            "Everything is stored: `Recorded` for a single object, `Batch` for an array or NDJSON.",
            _examples(_TOLD[201]),
        ),
        207: OpenApiResponse(Batch, "Some were stored and some rejected.", _examples(_TOLD[207])),
        (400, PROBLEM): OpenApiResponse(
            Problem,
            "Nothing was stored: the body or a parameter is not valid (a problem), or every inference of a batch was "
            "rejected (a batch).",
            _examples({
                "refused": {"type": "about:blank", "title": "Not valid", "status": 400,
                            "detail": "The inference is not valid.", "errors": [_TOO_OLD]},
            }),
        ),
        (400, JSON): OpenApiResponse(Batch, "", _examples(_TOLD[400])),
        (413, PROBLEM): _refused(413, "Too large", "At most 2 MiB a request.", "The body is larger than its limits."),
        (415, PROBLEM): _refused(
            415,
            "Content type not supported",
            "Send application/json, or application/x-ndjson with one object a line.",
            "The body is neither JSON nor NDJSON in UTF-8, or packed otherwise than by gzip.",
        ),
        (422, PROBLEM): _refused(
            422,
            "Idempotency key used for other content",
            "This idempotency key was used before, for an inference with other content.",
            "The inference's idempotency key stands for another content.",
        ),
    },
)  # fmt: skip
