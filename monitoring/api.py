"""POST /api/monitoring/dashboard/inference: one inference, an array of them, or NDJSON."""

import re
from collections import Counter

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from msgspec import UNSET
from rest_framework.exceptions import NotFound, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.views import APIView

from bedrock import bodies, identifiers, parameters
from bedrock.problem import Fault
from monitoring import serializers, wire
from monitoring.errors import BadItems, KeyConflict, TooLarge
from monitoring.ingest import Faults, Item, record_inferences
from monitoring.store.base import Stored
from monitoring.wire import Batch, Recorded, Result
from organizations.access import caller
from organizations.models import KeyScope

_HEADER_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_encode = msgspec.json.Encoder().encode


class InferenceView(APIView):
    """Records inferences; answers after the commit."""

    needs = KeyScope.INGEST_WRITE.value

    @wire.described
    def post(self, request: Request) -> HttpResponse:
        access = caller(request)
        named = parameters.read(request.query_params, {"organization"})
        organization = access.choose(named.get("organization"), self.needs)
        header = _header_key(request)
        body, lines = _body(request)
        single = not lines and body.lstrip(b" \t\r\n")[:1] != b"["
        items: list[Item | Faults]
        if lines:
            items = serializers.read_lines(body)
        else:
            items = [serializers.read_one(body)] if single else serializers.read_array(body)
        if not items:
            raise BadItems("There is no inference in the body.")
        if header and any(isinstance(item, Item) and item.idempotency_key for item in items):
            raise BadItems("Send the Idempotency-Key header or idempotencyKey fields, not both.")
        results = record_inferences(
            scope=access.scope(self.needs),
            organization=organization,
            items=items,
            now=timezone.now(),
            backfill=access.may(KeyScope.INGEST_BACKFILL, organization),
            batch_key=header,
        )
        if single:
            return _one_answer(results[0], organization, replay=header is not None)
        return _batch_answer(results, replay=header is not None)


def _header_key(request: Request) -> str | None:
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _HEADER_KEY.fullmatch(key):
        raise BadItems("The header Idempotency-Key must be 1 to 200 visible ASCII characters.")
    return key


def _body(request: Request) -> tuple[bytes, bool]:
    """The plain body, and whether it is NDJSON; read up to its limit and no further."""
    kind, _, rest = request.META.get("CONTENT_TYPE", "").partition(";")
    kind = kind.strip().lower()
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", rest, re.IGNORECASE)
    if kind not in ("application/json", *wire.NDJSON):
        raise UnsupportedMediaType(kind, "Send application/json, or application/x-ndjson with one object a line.")
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(charset[1], "Only the charset utf-8 is read.")
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMediaType(encoding, "Only the content encoding gzip is read.")
    limit = serializers.MAX_WIRE
    body = bodies.read(request._request, limit)
    if body is None:
        raise TooLarge(f"At most {limit // 1024 // 1024} MiB a request.")
    return (serializers.inflate(body) if encoding == "gzip" else body), kind in wire.NDJSON


def _json(status: int, content: Recorded | Batch, *, replayed: bool = False) -> HttpResponse:
    response = HttpResponse(_encode(content), status=status, content_type=wire.JSON)
    if replayed:
        response["Idempotent-Replay"] = "true"
    return response


def _one_answer(result: Stored | Faults, organization: str, *, replay: bool) -> HttpResponse:
    if isinstance(result, list):
        if any(fault.code == "not-found" for fault in result):
            raise NotFound("No such organization.")
        raise BadItems("The inference is not valid.", [msgspec.to_builtins(fault) for fault in result])
    if result.outcome == "conflict":
        raise KeyConflict("This idempotency key was used before, for an inference with other content.")
    moment = identifiers.moment_of(identifiers.parse(result.id))
    repeated = result.outcome == "duplicate"
    duplicate = repeated and not replay
    content = Recorded(result.id, organization, identifiers.text_of(moment), duplicate or UNSET)
    return _json(200 if duplicate else 201, content, replayed=repeated and replay)


def _batch_answer(results: list[Stored | Faults], *, replay: bool) -> HttpResponse:
    """201 when nothing was refused, 400 when everything was, 207 between; a replayed batch reads as the first time."""
    rows: list[Result] = []
    replayed = False
    for index, result in enumerate(results):
        if isinstance(result, list):
            rows.append(Result(index, "rejected", errors=result))
        elif result.outcome == "conflict":
            fault = Fault("/idempotencyKey", "conflict", "was used before, for an inference with other content")
            rows.append(Result(index, "rejected", errors=[fault]))
        elif result.outcome == "duplicate" and not replay:
            rows.append(Result(index, "duplicate", result.id, True))
        else:
            replayed |= result.outcome == "duplicate"
            rows.append(Result(index, "stored", result.id))
    counts = Counter(row.status for row in rows)
    content = Batch(counts["stored"], counts["duplicate"], counts["rejected"], rows)
    status = 201 if not content.rejected else 400 if content.rejected == len(results) else 207
    return _json(status, content, replayed=replayed)
