"""That notices do not get through is told by another road: an alert about the channel, one for each that fails."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from alerts import lifecycle
from alerts.routing import DELIVERY_FAILED, NOT_THROUGH
from alerts.states import Report, Severity
from organizations.scope import Scope


def tell(
    *, organization: str, channel: UUID, name: str, severity: Severity, words: str, more: Mapping[str, Any],
    now: datetime,
) -> None:  # fmt: skip
    """Raise it, or count it once more, in the caller's transaction; it is over when something gets through again."""
    report = Report(
        alert_type=DELIVERY_FAILED,
        severity=severity,
        message=f"The channel {name} {words}",
        labels={"channel": name},
        metadata={NOT_THROUGH: str(channel), **more},
    )
    own = Scope.of(organization)
    [fired] = lifecycle.fire(scope=own, organization=organization, reports=[report], now=now, via="system")
    with connection.cursor() as cursor:
        cursor.execute("SELECT alert_id FROM alerts_channel WHERE id = %s AND organization_id = %s FOR NO KEY UPDATE",
                       [channel, organization])  # fmt: skip
        [before] = cursor.fetchone()
        cursor.execute(
            "UPDATE alerts_channel SET alert_id = %s WHERE id = %s AND organization_id = %s",
            [fired.state.id, channel, organization],
        )
    if before and before != fired.state.id:  # the channel had another name then
        lifecycle.resolve(scope=own, ids=[before], now=now, via="system", note="Another alert tells of it.")
