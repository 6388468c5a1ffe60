"""`manage.py migrate`: as the tables' owner; then the application's grants and the next days' partitions."""

from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import DatabaseError, connections
from django.utils import timezone

from alerts import changes
from cockpit.ourselves import ourselves
from monitoring.store import current_store
from organizations.database_roles import INGEST, grants_sql

log = structlog.get_logger(__name__)


def grant(using: str) -> None:
    """The rights of cockpit_app and cockpit_ingest on every table there is (partitions inherit none and need none)."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [INGEST])
        ingest = cursor.fetchone()[0] == 1
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        cursor.execute(grants_sql([name for (name,) in cursor.fetchall()], ingest=ingest))


def tell_of_changes() -> None:
    """An alert for what is not as it was at the last migrate: our version, our settings. The first one only looks."""
    now = timezone.now()
    try:
        changes.tell_of_ourselves(ourselves(settings.ENV), now)
        changes.tell_of_audited(now)
    except DatabaseError as error:  # the tables are up to date all the same
        log.warning("changes not told", reason=type(error).__name__)


class Command(DjangoMigrate):
    help = "Updates the schema as the tables' owner, then the application's grants and the partitions."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"] not in settings.DATABASES:
            raise CommandError(
                "DATABASE_OWNER_URL is not set: migrations run as the owner of the tables (cockpit_owner)"
            )
        super().handle(*args, **options)
        if options["plan"] or options["check_unapplied"] or options["app_label"]:
            return
        grant(options["database"])
        current_store().prepare(now=timezone.now())
        tell_of_changes()
