"""The admin's page of an alert: what `cockpit.around` finds, for its charts."""

from django import template
from django.utils import timezone

from alerts.models import Alert
from cockpit.around import Around, look

register = template.Library()


@register.simple_tag
def measured_around(alert: Alert) -> Around:
    """What was measured around it."""
    return look(alert, timezone.now())
