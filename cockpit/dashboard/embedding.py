"""POST /api/monitoring/embed-token: the read token a page of another origin shows a dashboard with."""

from itertools import islice

import msgspec
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.views import APIView

from bedrock import parameters
from bedrock.identifiers import text_of
from bedrock.text import printable
from cockpit.dashboard import answers, described
from monitoring.errors import BadItems
from organizations import tokens
from organizations.access import caller
from organizations.models import KeyScope

_EMPTY = "The body must be empty or {}."


class EmbedTokenView(APIView):
    """A token of fifteen minutes that reads one organization's dashboard, for who may read it."""

    needs = KeyScope.DASHBOARD_READ.value
    body_optional = True

    @described.embed_token
    def post(self, request: Request) -> HttpResponse:
        access = caller(request)
        named = parameters.read(request.query_params, {"organization"})
        organization = access.choose(named.get("organization"), self.needs)
        _refuse_content(request)
        with access.scope(self.needs).enter():
            text, token = tokens.make(
                organization=organization, issuer_kind=access.kind, issuer_id=access.id, now=timezone.now()
            )
        content = answers.EmbedToken(text, organization, text_of(token.expires_at))
        return JsonResponse(msgspec.to_builtins(content), status=201, headers={"Cache-Control": "no-store"})


def _refuse_content(request: Request) -> None:
    """There is nothing to choose about a token, so whoever sends fields expects something it would not do."""
    if request.META.get("CONTENT_LENGTH") in (None, "", "0"):
        return
    kind = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType(kind, "Send application/json, or no body.")
    try:
        fields = msgspec.json.decode(request._request.body.strip() or b"{}", type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadItems(_EMPTY) from None
    if fields:
        errors = [
            {"pointer": f"/{printable(name[:100])}", "code": "unknown-field", "message": "is not a field of a token"}
            for name in islice(fields, 20)
        ]
        raise BadItems(_EMPTY, errors)
