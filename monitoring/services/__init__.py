"""The documented verbs for application code: record in process, begin, end, and ask how monitoring itself is."""

from monitoring.services import metrics
from monitoring.services.lifecycle import (
    MonitoringConfig,
    MonitoringHealth,
    get_monitoring_health,
    initialize,
    shutdown,
)

__all__ = ["MonitoringConfig", "MonitoringHealth", "get_monitoring_health", "initialize", "metrics", "shutdown"]
