"""What every operation has in common, told once: who may call it, its refusals, and the headers of its answers."""

from collections.abc import Iterator
from typing import Any, cast

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_examples_list
from drf_spectacular.utils import OpenApiExample
from rest_framework.permissions import SAFE_METHODS

from bedrock.problem import Problem
from cockpit.schema import wire, words  # noqa: F401 - importing wire is what makes its extension known
from organizations.models import KeyScope

PROBLEM = "application/problem+json"
_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "An id of your own for this request: 8 to 64 letters, digits and `._-`. Any other is replaced.",
    "schema": {"type": "string"},
}
_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 1}


def _header(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": schema}


_ALWAYS = {"X-Request-ID": _header("The id of this request, in the log too.", _TEXT)}
_WITH_STATUS = {
    "401": {"WWW-Authenticate": _header("Which credentials are taken.", _TEXT)},
    "405": {"Allow": _header("The methods that this address takes.", _TEXT)},
    "429": {"Retry-After": _header("Seconds to wait.", _SECONDS)},
    "503": {"Retry-After": _header("Seconds to wait.", _SECONDS)},
}


class Keys(OpenApiAuthenticationExtension):
    """`Authorization: Bearer`, with a key or a token."""

    target_class = "organizations.access.KeyAuthentication"
    name = ["apiKey", "embedToken"]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        needs = _needs(auto_schema)
        reads = auto_schema.method in SAFE_METHODS and needs == [KeyScope.DASHBOARD_READ.value]
        reading = [{"embedToken": needs}] if reads else []
        return [{"apiKey": needs}, *reading]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": form, "description": words.CREDENTIALS[name]}
            for name, form in zip(self.name, ("ck_...", "ct_..."), strict=True)
        ]


class Session(OpenApiAuthenticationExtension):
    """A signed-in person's cookie."""

    target_class = "organizations.access.PersonAuthentication"
    name = "session"

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        return {"session": _needs(auto_schema)}

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": words.CREDENTIALS["session"],
        }


def _needs(auto_schema: AutoSchema) -> list[str]:
    """The permission that the view asks for: in OpenAPI 3.1 the role that a requirement names."""
    needs = getattr(auto_schema.view, "needs", None)
    return [needs] if needs else []


class Described(AutoSchema):
    """A view's own words, and what is true of every view like it."""

    def get_auth(self) -> list[dict[str, Any]]:
        found = super().get_auth()
        return found if not found or self.view.permission_classes else [*found, {}]

    def get_operation(self, *args: Any, **named: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **named)
        if operation is None:
            return None
        for needed in _needs(self):
            operation["description"] += f"\n\nNeeds the permission `{needed}`."
        operation["parameters"] = [*operation.get("parameters", ()), _REQUEST_ID]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = not getattr(self.view, "body_optional", False)
        found: dict[str, Any] = operation["responses"]
        usual = {str(refusal.status): refusal for refusal in self._refusals()}
        for status, refusal in usual.items():
            found.setdefault(status, {"description": refusal.words})
        for status, answer in found.items():
            if status >= "400" and "content" not in answer:
                answer["content"] = {PROBLEM: self._content(usual.get(status) or words.REFUSALS[int(status)])}
            special = _WITH_STATUS.get(status, {}) if PROBLEM in answer.get("content", {}) else {}
            answer["headers"] = {**answer.get("headers", {}), **special, **_ALWAYS}
        operation["responses"] = dict(sorted(found.items()))
        return operation

    def _refusals(self) -> Iterator[words.Refusal]:
        """Those that follow from the view: whom it asks for credentials, permission and patience."""
        needs, own = bool(_needs(self)), {getattr(each, "name", "") for each in self.get_override_parameters()}
        yield words.REFUSALS[400] if own else words.ILL_FORMED
        yield words.REFUSALS[405]
        statuses = [401, 503] * bool(self.view.authentication_classes) + [403, 429] * needs
        statuses += [404] * (needs and "organization" in own)
        yield from (words.REFUSALS[status] for status in statuses)

    def _content(self, refusal: words.Refusal) -> dict[str, Any]:
        told = {"type": "about:blank", "title": refusal.title, "status": refusal.status, **refusal.more}
        return {
            "schema": self.resolve_serializer(cast(Any, Problem), "response").ref,
            "examples": build_examples_list([OpenApiExample(refusal.title.lower(), value=told)]),
        }


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The last touch: what the API as a whole has to say."""
    result["info"]["description"] = words.API
    result["tags"] = [{"name": name, "description": told} for name, told in words.TAGS.items()]
    return result
