"""Who there is: people, organizations, who belongs where, and the keys of API clients."""

import uuid
from zoneinfo import available_timezones

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from bedrock import identifiers
from organizations.scope import SLUG_PATTERN


def new_id() -> uuid.UUID:
    return identifiers.uuid7(identifiers.milliseconds(timezone.now()))


def validate_timezone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError("Not an IANA time zone, such as UTC or Europe/Berlin.")


class User(AbstractUser):
    """A person. What they may see comes from their memberships; `is_superuser` is a platform administrator."""


class Organization(models.Model):
    """A tenant: whose data it is, how it is shown, how long it is kept.

    The slug is the key: labels, URLs, channels and rows need no join. It never changes.
    """

    class Audience(models.TextChoices):
        DEVELOPER = "developer", "Developers: dense technical views"
        EXECUTIVE = "executive", "Executives: money, service level, plain words"

    slug = models.CharField(
        primary_key=True,
        max_length=50,
        validators=[
            RegexValidator(rf"^{SLUG_PATTERN}\Z", "Lower-case letters, digits and _, beginning with a letter.")
        ],
        help_text="Stands in labels and URLs; it can never be changed.",
    )
    name = models.CharField(max_length=100)
    audience = models.CharField(max_length=20, choices=Audience, default=Audience.DEVELOPER)
    theme = models.CharField(max_length=50, default="cockpit", help_text="A token set of static/css/themes.css.")
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    currency = models.CharField(
        max_length=3,
        default="USD",
        validators=[RegexValidator(r"^[A-Z]{3}\Z", "An ISO 4217 code, such as USD.")],
        help_text="Fixed once an inference is stored.",
    )
    raw_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="Days that single inferences are kept.",
    )
    minute_days = models.PositiveSmallIntegerField(
        default=90,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="Days that minute rollups are kept.",
    )
    hour_days = models.PositiveSmallIntegerField(
        default=730,
        validators=[MinValueValidator(90), MaxValueValidator(3650)],
        help_text="Days that hour rollups are kept; day rollups are kept for good.",
    )
    max_names = models.PositiveIntegerField(
        default=500,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="Distinct models (and endpoints, providers, error types) a day; further ones count as __other__.",
    )
    # Where deleting has come to: a longer retention brings nothing back, so nobody may look for it before these.
    minutes_since = models.DateTimeField(null=True, editable=False)
    hours_since = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What one person may do in one organization."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner: everything, members and keys included"
        OPERATOR = "operator", "Operator: reads data; writes alerts, rules, channels"
        ANALYST = "analyst", "Analyst: reads"
        EXECUTIVE = "executive", "Executive: pages only, no admin"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["organization_id", "user_id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_membership_a_person_and_organization")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class KeyScope(models.TextChoices):
    """What a key may do (and, by role, what a signed-in person may)."""

    INGEST_WRITE = "ingest:write", "Record inferences"
    INGEST_BACKFILL = "ingest:backfill", "Record inferences older than seven days"
    METRICS_READ = "metrics:read", "Read metrics"
    ALERTS_READ = "alerts:read", "Read alerts"
    ALERTS_WRITE = "alerts:write", "Create, acknowledge and resolve alerts"
    DASHBOARD_READ = "dashboard:read", "Read dashboard data"


class ApiKey(models.Model):
    """A key of an API client: `ck_<prefix>_<secret>`, shown once; only an HMAC of the secret is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT)
    name = models.CharField(max_length=100, help_text="Who or what uses it.")
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=20, choices=KeyScope), size=len(KeyScope))
    platform = models.BooleanField(
        default=False,
        help_text="Reads every organization (metrics and dashboards only); for one Prometheus or Grafana.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering = ["organization_id", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "prefix"], name="one_key_a_prefix"),
            models.CheckConstraint(
                name="platform_keys_only_read",
                condition=models.Q(platform=False)
                | models.Q(organization="shared", scopes__contained_by=["metrics:read", "dashboard:read"]),
            ),
        ]
        indexes = [models.Index(fields=["prefix"], name="key_by_prefix")]

    def __str__(self) -> str:
        return f"{self.name} (ck_{self.prefix}_…)"


class AuditEvent(models.Model):
    """One change or sign-in: who, what, from where. The application may add rows and read them, nothing else."""

    class Actor(models.TextChoices):
        USER = "user", "person"
        KEY = "key", "API key"
        SYSTEM = "system", "system"
        UNKNOWN = "unknown", "unknown"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_constraint=False)
    at = models.DateTimeField(db_default=Now())
    actor_kind = models.CharField(max_length=10, choices=Actor)
    actor_id = models.CharField(max_length=64, blank=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=50)
    object_type = models.CharField(max_length=50, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    object_text = models.CharField(max_length=200, blank=True)
    changes = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["organization", "-at"], name="audit_by_time"),
            models.Index(fields=["organization", "object_type", "object_id", "-at"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object_text}".strip()
