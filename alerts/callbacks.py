"""What is asked of us by what we talk to: PagerDuty's webhook back, and the pressing of the dead-man's switch."""

from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from alerts import back, serializers, switch
from alerts.schema import callbacks as described
from bedrock import bodies, identifiers, parameters
from monitoring.errors import TooLarge


class _SignedView(APIView):
    """Authenticated by a signature of the request itself: no key and no session has a say."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class PagerDutyView(_SignedView):
    """What people do to incidents there."""

    @described.pagerduty
    def post(self, request: Request, id: str) -> HttpResponse:
        parameters.read(request.query_params, ())
        body = bodies.read(request._request, serializers.MAX_BODY)
        if body is None:
            raise TooLarge(f"At most {serializers.MAX_BODY >> 10} KiB a request.")
        signature = request.META.get("HTTP_X_PAGERDUTY_SIGNATURE", "")
        try:
            done = back.take(channel=identifiers.parse(id), body=body, signature=signature, now=timezone.now())
        except (back.NotSigned, ValueError):
            raise PermissionDenied(described.NOT_SIGNED) from None
        return JsonResponse({"done": done})


class PulseView(_SignedView):
    """Raises the synthetic alert of an organization; for our own processes alone."""

    @described.pulse
    def post(self, request: Request) -> HttpResponse:
        parameters.read(request.query_params, ())
        organization = switch.signed(request.META.get("HTTP_X_COCKPIT_PULSE", ""))
        if organization is None:
            raise PermissionDenied("Not signed by this cockpit within the last minute.")
        return JsonResponse({"switches": switch.raise_synthetic(organization, timezone.now())}, status=202)
