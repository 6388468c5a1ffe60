"""The one table of the Postgres store that Django's admin shows; every other is the store's own SQL."""

from django.db import models

from organizations.models import Organization


class Inference(models.Model):
    """One recorded model call. The table is partitioned by day, so its SQL stands in the migration.

    Its database key is (id, occurred_at); `id` is a UUIDv7 that carries `occurred_at` in milliseconds.
    """

    id = models.UUIDField(primary_key=True)
    occurred_at = models.DateTimeField()
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, db_constraint=False)
    model = models.TextField()
    provider = models.TextField()
    endpoint = models.TextField()
    status = models.TextField()
    error_type = models.TextField()
    attempt = models.IntegerField()
    estimated = models.BooleanField()
    source = models.TextField()
    duration_us = models.BigIntegerField()
    ttft_us = models.BigIntegerField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    cache_read_tokens = models.BigIntegerField(null=True)
    cache_write_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    cost = models.DecimalField(max_digits=39, decimal_places=30, null=True)
    revenue = models.DecimalField(max_digits=39, decimal_places=30, null=True)
    user_hash = models.TextField(null=True)
    trace_id = models.TextField(null=True)
    span_id = models.TextField(null=True)
    tags = models.JSONField(null=True)

    class Meta:
        managed = False
        ordering = ["-occurred_at"]

    def __str__(self) -> str:
        return f"{self.model} {self.occurred_at:%Y-%m-%d %H:%M:%S}"
