"""What is counted of alerts for scrapes: how many began and ended, and how long people took."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from alerts.claims import Claimed
from alerts.ledger import Entry
from alerts.states import State
from monitoring.counting import table

BOUNDS = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 86_400.0)  # seconds
FIRED, RESOLVED = "cockpit_alerts_fired_total", "cockpit_alerts_resolved_total"
DELIVERY_BOUNDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0)  # seconds
DELIVERIES, DELIVERED_AFTER = "cockpit_deliveries_total", "cockpit_delivery_seconds"
ACKNOWLEDGED_AFTER, RESOLVED_AFTER = "cockpit_alert_acknowledge_seconds", "cockpit_alert_resolve_seconds"


def count(states: Mapping[UUID, State], entries: Sequence[Entry]) -> None:
    """Add what happened to live alerts to the process' table; call it after the commit."""
    for entry in entries:
        state = states[entry.alert_id]
        if state.source != "live":
            continue
        labels = (("severity", str(state.severity)),)
        if entry.kind == "fired":
            table.add(state.organization_id, FIRED, labels)
        elif entry.kind == "acknowledged" and state.first_acknowledged_at == entry.at:
            _observe(state, ACKNOWLEDGED_AFTER, entry.at - state.first_seen_at)
        elif entry.kind == "resolved":
            table.add(state.organization_id, RESOLVED, labels)
            _observe(state, RESOLVED_AFTER, entry.at - state.first_seen_at)


def _observe(state: State, family: str, took: timedelta) -> None:
    seconds = max(0.0, took.total_seconds())  # clocks of two machines differ, and a sum never goes back
    table.observe(state.organization_id, family, (("severity", str(state.severity)),), seconds, BOUNDS)


def count_deliveries(tries: Iterable[tuple[Claimed, str, float]]) -> None:
    """Add what became of tries of live notices, and how long those that were taken had been due."""
    for claimed, outcome, seconds in tries:
        channel = ("channel", claimed.channel_name)
        table.add(claimed.organization, DELIVERIES, (channel, ("outcome", outcome)))
        if outcome == "sent":
            table.observe(claimed.organization, DELIVERED_AFTER, (channel,), max(0.0, seconds), DELIVERY_BOUNDS)
