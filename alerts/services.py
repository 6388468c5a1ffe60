"""The documented verb for code that runs in this process."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from msgspec import structs

from alerts import lifecycle, serializers
from alerts.lifecycle import Fired
from alerts.serializers import NewAlert
from monitoring import counting
from monitoring.errors import BadItems
from organizations.scope import Scope


def create_alert(
    *,
    alert_type: str,
    severity: str,
    message: str,
    endpoint_id: str | None = None,
    model_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    organization: str | None = None,
    ends_after: timedelta | None = None,
) -> Fired:
    """Raise an alert, or count the open one of the same type, endpoint, model and labels once more; durable on return.

    Args:
        severity: critical, warning or info.
        organization: the slug of one there is; DEFAULT_ORGANIZATION without one.
        ends_after: when it resolves by itself: for news, which nobody has to mend.

    Raises:
        monitoring.errors.BadItems: naming each field that is not valid, and its limit.
    """
    chosen, now = organization or str(settings.DEFAULT_ORGANIZATION), timezone.now()
    body = {"alertType": alert_type, "severity": severity, "message": message, "endpointId": endpoint_id,
            "modelName": model_name, "metadata": dict(metadata or {}), "labels": dict(labels or {}),
            "organization": chosen}  # fmt: skip
    report = serializers.report_of(serializers.demand(body, NewAlert))
    if counting.missing({chosen}):  # its alerts would be nobody's: no scope shows them
        fault = {"pointer": "/organization", "code": "not-found", "message": "is no organization's slug"}
        raise BadItems("There is no such organization.", [fault])
    if ends_after is not None:
        report = structs.replace(report, ends_at=now + ends_after)
    [fired] = lifecycle.fire(scope=Scope.of(chosen), organization=chosen, reports=[report], now=now, via="system")
    return fired
