"""Signing in and out: the form that slows guessing down, and the three framework events that leave an audit row."""

import hashlib
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from organizations import audit, limits, marks
from organizations.models import AuditEvent, Membership, User
from organizations.scope import Scope

_TRIES = 10  # failed tries a name and address, and five times as many an address, in five minutes
_WINDOW = 300


class SignInForm(AuthenticationForm):
    """Name and password; after too many failed tries it asks for patience instead of looking."""

    def clean(self) -> dict[str, Any]:
        address = audit.origin.get().address or "unknown"
        name = (self.cleaned_data.get("username") or "").casefold()
        name = hashlib.blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()  # of any length, kept short
        waits = (
            limits.hit(f"sign-in:{address}:{name}", limit=_TRIES, seconds=_WINDOW),
            limits.hit(f"sign-in:{address}", limit=5 * _TRIES, seconds=_WINDOW),
        )
        if max(waits):
            marks.here().refusal, marks.here().limited = "throttled", True
            raise ValidationError(f"Too many tries. Please wait {max(waits) // 60 + 1} minutes.", code="throttled")
        found = super().clean()
        limits.forget(f"sign-in:{address}:{name}", seconds=_WINDOW)  # only failed tries count
        return found


def _record(action: str, user: User | None, name: str) -> None:
    """Belongs to the person's first organization; what belongs to none (unknown names) belongs to shared."""
    with Scope.system("sign-in audit").enter():
        memberships = Membership.objects.filter(user=user) if user else Membership.objects.none()
        organization = memberships.values_list("organization_id", flat=True).first() or "shared"
        here = audit.origin.get()
        kind = AuditEvent.Actor.USER if user else AuditEvent.Actor.UNKNOWN
        who = audit.Origin(
            actor_kind=kind,
            actor_id=str(user.pk) if user else "",
            actor=name,
            address=here.address,
            user_agent=here.user_agent,
            request_id=here.request_id,
        )
        audit.record(organization=organization, action=action, object_type="user", object_text=name, by=who)


def _signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    _record("signed_in", user, user.get_username())


def _signed_out(sender: Any, request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        _record("signed_out", user, user.get_username())


def _refused(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    name = str(credentials.get("username", ""))[:150].replace("\x00", "")
    marks.here().refusal = "wrong_password"
    _record("sign_in_refused", User.objects.filter(username=name).first(), name)


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="organizations.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="organizations.signed_out")
    user_login_failed.connect(_refused, dispatch_uid="organizations.refused")
