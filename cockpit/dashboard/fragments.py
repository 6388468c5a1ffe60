"""GET /api/monitoring/panels: the panels drawn as HTML, for pages that stay open and pages that embed them."""

from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import parse_etags
from django.views.decorators.gzip import gzip_page
from rest_framework.request import Request
from rest_framework.views import APIView

from bedrock.identifiers import text_of
from bedrock.parameters import BadParameters
from cockpit.dashboard import described, panels, rendering, windows
from cockpit.dashboard.sharing import shared
from organizations.access import caller
from organizations.models import KeyScope, Organization


@method_decorator(gzip_page, name="dispatch")
class PanelsView(APIView):
    """One organization's panels in its audience's words; `panel` (repeatable) picks some of them."""

    needs = KeyScope.DASHBOARD_READ.value

    @described.drawn
    def get(self, request: Request) -> HttpResponse:
        access = caller(request)
        query = request.query_params.copy()
        organization = Organization.objects.get(pk=access.choose(query.get("organization"), self.needs))
        only = [str(name) for name in query.pop("panel", [])]
        if unknown := set(only) - panels.names(organization.audience):
            raise BadParameters.of("panel", f"there is no panel {min(unknown)[:60]!r} on this page")
        now = timezone.now().replace(microsecond=0)
        view, host, scope = (
            windows.parse(query, now, ZoneInfo(organization.timezone)),
            rendering.host_of(request._request),
            access.scope(self.needs),
        )
        member = access.kind != "token"  # a token is in the hands of all who look at the page it is for

        def make() -> tuple[str, str]:
            sight = rendering.look(host, view, scope, organization, now, platform=member)
            drawn = rendering.draw(organization, sight, only)
            context = {"organization": organization, "sight": sight, "panels": drawn}
            return rendering.tag(drawn), render_to_string("dashboard/fragment.html", context)

        tag, body = shared(organization.slug, ("panels", view, host, member, *only), now, make)
        if tag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", "")):
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(body)
        response["ETag"] = tag
        response["X-As-Of"] = text_of(now)
        response["Cache-Control"] = "private, no-cache"
        return response
