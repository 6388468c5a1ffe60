"""GET /api/schema, as JSON or YAML, and the two pages that show it: Swagger UI and Redoc, both from here."""

import hashlib
from functools import cache
from typing import Any, Final

import msgspec
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.http import parse_etags
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from bedrock import parameters
from bedrock.parameters import BadParameters
from cockpit.middleware import POLICY

KINDS = {"json": "application/json", "yaml": "application/yaml"}
_HEADER: Final = OpenApiParameter.HEADER


class OpenView(APIView):
    """For everybody: what it tells is no secret."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class SchemaView(OpenView):
    """The description of the API."""

    @extend_schema(
        operation_id="readSchema",
        summary="Read this description",
        tags=["Description"],
        description="OpenAPI 3.1. `/api/docs` and `/api/redoc` show it to people.",
        parameters=[
            OpenApiParameter("format", str, enum=tuple(KINDS), default="json", description="JSON or YAML."),
            OpenApiParameter("If-None-Match", str, _HEADER, description="The ETag of the answer you have."),
            OpenApiParameter(
                "ETag", str, _HEADER, required=True, response=[200, 304], description="Changes with the description."
            ),
        ],
        responses={
            (200, kind): OpenApiResponse(
                {"type": "object", "required": ["openapi", "info", "paths", "components"]},
                "The description.",
                [OpenApiExample("in short", value={"openapi": "3.1.0", "info": {}, "paths": {}, "components": {}})],
            )
            for kind in KINDS.values()
        }
        | {
            304: OpenApiResponse(None, "Nothing has changed since the answer that `If-None-Match` names."),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        form = parameters.read(request.query_params, {"format"}).get("format", "json")
        if form not in KINDS:
            raise BadParameters.of("format", f"must be one of {', '.join(KINDS)}")
        tag, body = _rendered(form)
        if tag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", "")):
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(body, content_type=KINDS[form])
        response["ETag"] = tag
        response["Cache-Control"] = "private, no-cache"
        return response


@cache
def _rendered(form: str) -> tuple[str, bytes]:
    """(ETag, body); made once in a process, as nothing it tells changes while one runs."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    body = msgspec.json.encode(schema) if form == "json" else OpenApiYamlRenderer().render(schema, None, {})
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"', body


# The one relaxation of the content security policy, for Redoc alone (Swagger UI needs none): the style element that it
# brings along, known by its hash, those that it opens empty and fills by rules, and a worker of its own text to search.
_REDOC_STYLES = (
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc=' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
)
REDOC_POLICY = POLICY.replace("style-src 'self'", f"style-src 'self' {_REDOC_STYLES}") + "; worker-src blob:"


class SwaggerView(OpenView):
    """Swagger UI, to read and to try."""

    schema = None

    def get(self, request: Request) -> HttpResponse:
        return render(request._request, "schema/swagger.html")


class RedocView(OpenView):
    """Redoc, to read."""

    schema = None

    def get(self, request: Request) -> HttpResponse:
        page = render(request._request, "schema/redoc.html")
        page["Content-Security-Policy"] = REDOC_POLICY
        return page
