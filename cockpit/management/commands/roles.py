"""`manage.py roles --sql`: what an administrator runs once on a database of their own."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from organizations.database_roles import roles_sql


class Command(BaseCommand):
    help = "Prints the SQL that makes the three database roles."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sql", action="store_true", help="print the SQL (the one thing this command does)")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(roles_sql())
