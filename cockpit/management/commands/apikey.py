"""`manage.py apikey create`: a new API key, alone on standard output."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError
from django.utils import timezone

from organizations import keys
from organizations.models import Organization
from organizations.scope import Scope


class Command(BaseCommand):
    help = "Makes an API key and prints it, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a key")
        create.add_argument("--organization", required=True, help="slug of the organization it belongs to")
        create.add_argument("--scopes", required=True, help="comma list, such as ingest:write,dashboard:read")
        create.add_argument("--name", default="command line", help="who or what uses it")
        create.add_argument("--days", type=int, help="days until it expires (default: never)")
        create.add_argument("--platform", action="store_true", help="reads every organization (shared, read-only)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._create(options)
        except ProgrammingError as error:
            raise CommandError("the database has no tables yet: run `make run` or `manage.py migrate` first") from error

    def _create(self, options: dict[str, Any]) -> None:
        slug = options["organization"]
        if not Organization.objects.filter(slug=slug).exists():
            known = ", ".join(Organization.objects.values_list("slug", flat=True))
            raise CommandError(f"--organization: no such organization (there are: {known})")
        days = options["days"]
        if days is not None and not 1 <= days <= 3650:
            raise CommandError("--days: must be from 1 to 3650")
        try:
            with Scope.of(slug).enter():
                _, text = keys.create_key(
                    organization=slug,
                    name=options["name"],
                    scopes=[word.strip() for word in options["scopes"].split(",") if word.strip()],
                    created_by="command line",
                    expires_at=timezone.now() + timedelta(days=days) if days else None,
                    platform=options["platform"],
                )
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text)
