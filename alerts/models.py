"""Alerts and their timelines (written by `ledger` alone), and whom they are told to: channels, routes, deliveries.

The database itself refuses to lose an alert, a line of a timeline, or what was told.
"""

from typing import get_args

from django.contrib.postgres.fields import ArrayField
from django.db import models

from alerts.channels import TRANSPORTS
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


class Channel(models.Model):
    """Where notices of alerts go: what it must know to send them, how fast it may, and how it has been.

    Its secrets are sealed. `state` is on, off (by a person), failed (by itself, after errors that no trying again
    mends) or retired (for good; the log still names it).
    """

    id = models.UUIDField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    source = models.CharField(max_length=10)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=30, choices=lambda: [(one.kind, one.title) for one in TRANSPORTS.values()])
    audience = models.CharField(max_length=10, choices=[("developer", "Developers"), ("executive", "Executives")])
    events = ArrayField(models.CharField(max_length=12))
    settings = models.JSONField()
    sealed = models.TextField()
    per_minute = models.IntegerField()
    burst = models.IntegerField()
    at_once = models.IntegerField()
    state = models.CharField(max_length=10)
    state_because = models.TextField()
    failures = models.IntegerField()  # since the last success
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    last_failure = models.TextField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "alerts_channel"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Route(models.Model):
    """Which alerts of an organization which of its channels are told of; what is left empty fits every alert.

    `alert_types`, `model_names` and the values of `labels` are patterns, in which * stands for anything.
    """

    id = models.UUIDField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    source = models.CharField(max_length=10)
    name = models.CharField(max_length=100)
    enabled = models.BooleanField(default=True)
    severities = ArrayField(models.CharField(max_length=10), blank=True)
    alert_types = ArrayField(models.CharField(max_length=100), blank=True)
    model_names = ArrayField(models.CharField(max_length=200), blank=True)
    labels = models.JSONField(blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "alerts_route"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One notice to one channel: the outbox while it is pending or being sent, and the log for ever after.

    `because` says in a word why it is dead, expired or skipped. `alert` is None where it tells of none: a test, a
    summary of what expired, the switch that is pressed every minute.
    """

    id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    key = models.UUIDField()
    channel = models.ForeignKey(Channel, on_delete=models.DO_NOTHING, db_constraint=False, related_name="deliveries")
    alert = models.ForeignKey(
        Alert, on_delete=models.DO_NOTHING, db_constraint=False, related_name="deliveries", null=True
    )
    event_id = models.BigIntegerField(null=True)
    event = models.CharField(max_length=12)
    about = models.JSONField()
    state = models.CharField(max_length=10)
    because = models.TextField()
    attempt = models.IntegerField("tries")
    unsure = models.BooleanField()
    queued_at = models.DateTimeField("queued")
    next_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)
    reference = models.JSONField()

    class Meta:
        managed = False
        db_table = "alerts_delivery"
        ordering = ["-id"]
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.event} to {self.channel.name}"


class Attempt(models.Model):
    """One try of a delivery, never changed: how long it took and what became of it; `answer` is scrubbed."""

    id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.DO_NOTHING, db_constraint=False, related_name="attempts")
    number = models.IntegerField()
    at = models.DateTimeField()
    took_ms = models.IntegerField(null=True)
    outcome = models.CharField(max_length=12)
    status = models.IntegerField(null=True)
    words = models.TextField()
    answer = models.TextField()

    class Meta:
        managed = False
        db_table = "alerts_attempt"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"try {self.number}: {self.outcome}"


class AlertRule(models.Model):
    """A rule of an organization; `definition` is a `definitions.Definition`, `key` what its alerts bear of it.

    `error` says why it could not be judged at `error_at`; "" when it could.
    """

    id = models.UUIDField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    key = models.CharField(max_length=100)
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=10)
    seeded = models.BooleanField()
    version = models.IntegerField()
    definition = models.JSONField()
    owner = models.ForeignKey(User, on_delete=models.DO_NOTHING, db_constraint=False, null=True)
    error = models.TextField()
    error_at = models.DateTimeField(null=True)
    error_alert_id = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField("changed")
    changed_by = models.CharField(max_length=150)

    class Meta:
        managed = False
        db_table = "alerts_rule"
        ordering = ["name"]
        verbose_name = "rule"

    def __str__(self) -> str:
        return self.name
