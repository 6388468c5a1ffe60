"""`manage.py first_run`: the administrator and one key an organization, made and shown only once."""

import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from organizations import audit, keys
from organizations.models import ApiKey, KeyScope, Organization, User
from organizations.scope import Scope

_SCOPES = [scope for scope in KeyScope.values if scope != KeyScope.INGEST_BACKFILL]


class Command(BaseCommand):
    help = "Makes the administrator and the first API keys where there are none; prints them this once."

    def handle(self, *args: Any, **options: Any) -> None:
        with Scope.system("first run").enter():
            for line in [*self._administrator(), *self._keys()]:
                self.stdout.write(line)

    def _administrator(self) -> list[str]:
        if User.objects.filter(is_superuser=True).exists():
            return []
        name, given = settings.ENV.admin_username, settings.ENV.admin_password
        password = given or secrets.token_urlsafe(15)
        try:
            validate_password(password, User(username=name))
        except ValidationError as error:
            raise CommandError(f"ADMIN_PASSWORD: {' '.join(error.messages)}") from error
        if User.objects.filter(username=name).exists():
            raise CommandError("ADMIN_USERNAME: that person exists and is no administrator; choose another name")
        user = User.objects.create_user(name, password=password, is_staff=True, is_superuser=True)
        audit.record(
            organization="shared", action="created", object_type="user", object_id=str(user.pk), object_text=name
        )
        return [f"administrator   {name}", f"password        {'(from ADMIN_PASSWORD)' if given else password}"]

    def _keys(self) -> list[str]:
        if ApiKey.objects.exists():
            return []
        lines = []
        for organization in Organization.objects.all():
            _, text = keys.create_key(
                organization=organization.slug, name="first key", scopes=_SCOPES, created_by="first run"
            )
            lines.append(f"{f'key of {organization.name}':32}{text}")
        return lines
