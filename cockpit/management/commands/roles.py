"""`manage.py roles --sql`: what an administrator runs once on a database of their own."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from organizations.database_roles import roles_sql


class Command(BaseCommand):
    help = "Prints the SQL that makes the three database roles."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sql", action="store_true", help="print the SQL (the one thing this command does)")
        parser.add_argument("--database", default="cockpit", help="name of the database (default: cockpit)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not str(options["database"]).replace("_", "").isalnum():
            raise CommandError("--database: letters, digits and _ only")
        self.stdout.write(roles_sql(options["database"]))
