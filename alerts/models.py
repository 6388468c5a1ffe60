"""Alerts and their timelines. Only `ledger` writes these tables; the database itself refuses to lose a row of them."""

from typing import get_args

from django.db import models

from alerts.states import Kind, Severity, Status
from organizations.models import Organization, User


class Alert(models.Model):
    """One episode of something wrong: open (firing or acknowledged) until it is resolved, then history.

    At most one open alert stands for an organization and fingerprint. What silences it (`suppressed_by`) is a fact
    beside its status: a list of {kind, since, until, by, note}.
    """

    id = models.UUIDField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    fingerprint = models.CharField(max_length=64)
    episode = models.IntegerField()
    source = models.CharField(max_length=10)
    alert_type = models.CharField("type", max_length=100)
    severity = models.CharField(max_length=10, choices=[(one, one.capitalize()) for one in get_args(Severity)])
    rank = models.SmallIntegerField(editable=False)  # of the severity, 0 the worst; made by the database
    status = models.CharField(max_length=12, choices=[(one, one.capitalize()) for one in get_args(Status)])
    message = models.TextField()
    endpoint_id = models.CharField("endpoint", max_length=200)
    model_name = models.CharField("model", max_length=200)
    metadata = models.JSONField()
    labels = models.JSONField()
    count = models.IntegerField()
    reopened = models.IntegerField()
    first_seen_at = models.DateTimeField("first seen")
    last_seen_at = models.DateTimeField("last seen")
    ends_at = models.DateTimeField(null=True)  # when it resolves by itself: news rather than a state
    first_acknowledged_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=150)
    acknowledged_until = models.DateTimeField(null=True)
    acknowledge_note = models.TextField()
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=150)
    resolve_note = models.TextField()
    owner = models.ForeignKey(User, on_delete=models.DO_NOTHING, db_constraint=False, null=True)
    suppressed_by = models.JSONField()
    changed_at = models.DateTimeField()

    class Meta:
        managed = False
        ordering = ["-first_seen_at", "-id"]

    def __str__(self) -> str:
        return f"{self.alert_type}: {self.message}"[:100]


class AlertEvent(models.Model):
    """One thing that happened to an alert, never changed: who, from where, what was before and after.

    Where `tells` names a notice to send ("trigger", "acknowledge", "resolve"), the row is also the outbox; `withheld`
    says why nobody is told.
    """

    id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    alert = models.ForeignKey(Alert, on_delete=models.DO_NOTHING, db_constraint=False, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=[(one, one.replace("_", " ")) for one in get_args(Kind)])
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=64)
    actor = models.CharField(max_length=150)
    via = models.CharField(max_length=10)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64)
    before = models.JSONField()
    after = models.JSONField()
    note = models.TextField()
    tells = models.CharField(max_length=12)
    withheld = models.CharField(max_length=20)

    class Meta:
        managed = False
        db_table = "alerts_event"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} by {self.actor}"
