"""From a request to what its caller may do: people by their memberships, API clients by keys, pages by tokens."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, NotFound, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from organizations import audit, keys, limits, marks, tokens
from organizations.models import ApiKey, AuditEvent, KeyScope, Membership, Organization, User
from organizations.scope import Scope

if TYPE_CHECKING:  # at run time its import reads the very settings that name this module
    from rest_framework.views import APIView

_READS = frozenset({KeyScope.METRICS_READ.value, KeyScope.ALERTS_READ.value, KeyScope.DASHBOARD_READ.value})
ROLE_SCOPES: Mapping[str, frozenset[str]] = {
    Membership.Role.OWNER: frozenset(KeyScope.values),
    Membership.Role.OPERATOR: _READS | {KeyScope.ALERTS_WRITE.value},
    Membership.Role.ANALYST: _READS,
    Membership.Role.EXECUTIVE: frozenset({KeyScope.DASHBOARD_READ.value}),
}
_KEY_MEMORY = 0.5  # seconds a looked-up key is believed: a revoked one stops working within 1 s
_NOBODY_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one caller may do: `grants` names the permissions (KeyScope values) in each organization.

    `kind` is "user", "key" or "token", `id` that of the person, the key or the token; `token` says who issued it.
    """

    kind: str
    id: str
    name: str
    grants: Mapping[str, frozenset[str]]
    roles: Mapping[str, str] = field(default_factory=dict)
    administrator: bool = False
    token: tokens.Token | None = None

    def may(self, permission: str, organization: str) -> bool:
        return permission in self.grants.get(organization, ())

    def scope(self, permission: str) -> Scope:
        return Scope.of(*(slug for slug, granted in self.grants.items() if permission in granted))

    @property
    def whole_scope(self) -> Scope:
        """Every organization the caller belongs to, for pages and admin; permissions are checked beside it."""
        return Scope.of(*self.grants)

    @property
    def organizations(self) -> list[Organization]:
        return list(Organization.objects.filter(slug__in=self.grants))

    @property
    def home(self) -> str | None:
        """The organization meant when none is named: a person's first, the default for platform people and keys."""
        if settings.DEFAULT_ORGANIZATION in self.grants and (self.administrator or self.kind == "key"):
            return str(settings.DEFAULT_ORGANIZATION)
        return min(self.grants, default=None)

    def choose(self, organization: str | None, permission: str) -> str:
        """The organization a request is about.

        Raises:
            NotFound: for one the caller does not belong to, whether it exists or not.
            PermissionDenied: for one the caller belongs to without this permission.
        """
        chosen = organization or self.home
        if chosen is None or chosen not in self.grants:
            raise NotFound("No such organization.")
        if not self.may(permission, chosen):
            raise PermissionDenied(f"This needs the permission {permission}.")
        structlog.contextvars.bind_contextvars(organization=chosen)
        marks.here().organization = chosen
        return chosen


def of_person(user: User) -> Access:
    """A signed-in person's access, from their memberships; platform administrators have all of it."""
    if user.is_superuser:
        everything = frozenset(KeyScope.values)
        grants = dict.fromkeys(Organization.objects.values_list("slug", flat=True), everything)
        return Access(kind="user", id=str(user.pk), name=user.get_username(), grants=grants, administrator=True)
    with Scope.system("authenticate").enter():
        roles = dict(Membership.objects.filter(user=user).values_list("organization_id", "role"))
    grants = {slug: ROLE_SCOPES[role] for slug, role in roles.items()}
    return Access(kind="user", id=str(user.pk), name=user.get_username(), grants=grants, roles=roles)


def _note_caller(access: Access) -> None:
    """Tell the audit trail and the log who acts in this context."""
    kind = access.token.issuer_kind if access.token else access.kind
    audit.origin.set(
        replace(audit.origin.get(), actor_kind=AuditEvent.Actor(kind), actor_id=access.id, actor=access.name)
    )
    structlog.contextvars.bind_contextvars(caller=f"{access.kind}:{access.id}")
    mark = marks.here()
    mark.kind = access.kind
    mark.home = mark.home or access.home or ""


class _KeyRing:
    """Keys by prefix or id, remembered for half a second so that a burst of requests asks the database once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, list[ApiKey]]] = {}

    def find(self, prefix: str) -> list[ApiKey]:
        return self._remembered(prefix, Q(prefix=prefix))

    def find_by_id(self, key_id: str) -> list[ApiKey]:
        return self._remembered(key_id, Q(pk=key_id))

    def _remembered(self, name: str, wanted: Q) -> list[ApiKey]:
        known = self._known.get(name)
        if known and time.monotonic() < known[0]:
            return known[1]
        with Scope.system("authenticate").enter():
            found = list(ApiKey.objects.filter(wanted, revoked_at=None).select_related("organization"))
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[name] = (time.monotonic() + _KEY_MEMORY, found)
        return found

    @staticmethod
    def touch(key: ApiKey) -> None:
        """Last used, to the minute: at most one write a key and minute, and only for who knew its secret."""
        now = timezone.now()
        if key.last_used_at is not None and key.last_used_at >= now - timedelta(minutes=1):
            return
        old = Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(minutes=1))
        key.last_used_at = now.replace(second=0, microsecond=0)
        with Scope.system("authenticate").enter():
            ApiKey.objects.filter(old, pk=key.pk).update(last_used_at=key.last_used_at)

    def forget(self) -> None:
        self._known.clear()


key_ring = _KeyRing()


def of_key(text: str) -> Access | None:
    """The access of an API key, or None when it is malformed, unknown, wrong, expired or revoked."""
    mark = marks.here()
    parsed = keys.parse(text)
    if parsed is None:
        mark.refusal = "malformed_key"
        return None
    prefix, secret = parsed
    found = key_ring.find(prefix)
    if not found:
        keys.matches(_NOBODY_DIGEST, secret)  # an unknown key takes as long as a wrong secret
        mark.refusal = "unknown_key"
        return None
    mark.refusal, mark.home = "wrong_secret", found[0].organization_id
    for key in found:
        if not keys.matches(key.digest, secret):
            continue
        if _expired(key):
            mark.refusal, mark.home = "expired_key", key.organization_id
            continue
        mark.refusal, mark.home, mark.key_prefix = "", key.organization_id, key.prefix
        key_ring.touch(key)
        return _of_found_key(key)
    return None


def _expired(key: ApiKey) -> bool:
    return key.expires_at is not None and timezone.now() >= key.expires_at


def _of_found_key(key: ApiKey) -> Access:
    granted = frozenset(key.scopes)
    slugs = Organization.objects.values_list("slug", flat=True) if key.platform else [key.organization_id]
    return Access(kind="key", id=str(key.id), name=str(key), grants=dict.fromkeys(slugs, granted))


def of_token(text: str) -> Access | None:
    """The access of a token: reading one dashboard. None when it is not ours, or its issuer may no longer read that.

    Raises:
        tokens.Expired: when it was good once.
    """
    token = tokens.read(text, timezone.now())
    issuer = _issuer(token) if token else None
    if token is None or issuer is None or not issuer.may(KeyScope.DASHBOARD_READ.value, token.organization):
        return None
    grants = {token.organization: frozenset({KeyScope.DASHBOARD_READ.value})}
    return Access(kind="token", id=token.id, name=f"token of {issuer.name}", grants=grants, token=token)


def _issuer(token: tokens.Token) -> Access | None:
    """Who made the token, with what they may do now."""
    if token.issuer_kind == "user":
        person = User.objects.filter(pk=token.issuer_id, is_active=True).first()
        return of_person(person) if person else None
    return next((_of_found_key(key) for key in key_ring.find_by_id(token.issuer_id) if not _expired(key)), None)


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer ck_...` or `ct_...`; every refusal reads the same, but that of an expired token."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Access] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        access = self._of_bearer(request, text.strip()) if scheme.lower() == "bearer" else None
        if access is None:
            marks.here().refusal = marks.here().refusal or "malformed_key"
            raise AuthenticationFailed("The API key is unknown, expired or revoked.")
        _note_caller(access)
        return AnonymousUser(), access

    @staticmethod
    def _of_bearer(request: Request, text: str) -> Access | None:
        if not text.startswith(tokens.PREFIX):
            if _from_embedding_page(request):
                marks.here().refusal = "key_in_page"
                raise PermissionDenied(
                    "API keys do not belong in web pages; send a token of /api/monitoring/embed-token."
                )
            return of_key(text) if len(text) < 200 else None
        try:
            access = of_token(text)
        except tokens.Expired:
            marks.here().refusal = "expired_token"
            raise AuthenticationFailed("The token has expired; ask for a new one.") from None
        if access is None:
            marks.here().refusal = "bad_token"
            raise AuthenticationFailed("The token is not valid, or its issuer may no longer read.")
        return access

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="cockpit"'


def _from_embedding_page(request: Request) -> bool:
    """Whether a page of EMBED_ORIGINS asks: everybody who looks at it can read what it sends."""
    origin = request.META.get("HTTP_ORIGIN", "")
    return origin in settings.EMBED_ORIGINS and origin != f"{request.scheme}://{request.get_host().lower()}"


class PersonAuthentication(SessionAuthentication):
    """A signed-in person's session, with CSRF protection on everything that writes."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, Access] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        access = of_person(found[0])
        _note_caller(access)
        return found[0], access

    def enforce_csrf(self, request: Request) -> None:
        """Looks at Django's own request: REST framework's would read the whole body as JSON to find a form's field."""
        marks.here().refusal = "csrf"
        super().enforce_csrf(request._request)  # type: ignore[arg-type]  # it only hands it on to Django
        marks.here().refusal = ""


def enter_person(user: User) -> Access:
    """A page's person: their access, noted for the audit trail."""
    access = of_person(user)
    _note_caller(access)
    return access


class Granted(BasePermission):
    """The view's `needs` (a KeyScope value) in at least one organization; `Access.choose` then picks which.

    A token only reads, so that whoever copies one out of a page can neither change anything nor make the next one.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.auth, Access):
            marks.here().refusal = "missing"
            raise NotAuthenticated
        if request.auth.kind == "token" and request.method not in SAFE_METHODS:
            raise PermissionDenied("A token only reads.")
        needs = getattr(view, "needs", None)
        if needs is None or any(needs in granted for granted in request.auth.grants.values()):
            return True
        raise PermissionDenied(f"This needs the permission {needs}.")


class KeyThrottle(BaseThrottle):
    """RATE_LIMIT_PER_MINUTE requests a minute for each key, and for each token.

    Tokens are counted apart from the key that issued them: no viewer of a page can use up what the key's owner, or the
    next viewer, has. How many tokens there are is bounded by their issuer's own limit.
    """

    def __init__(self) -> None:
        self._seconds = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if isinstance(request.auth, Access) and request.auth.kind in ("key", "token"):
            self._seconds = limits.hit(f"{request.auth.kind}:{request.auth.id}", limit=settings.RATE_LIMIT_PER_MINUTE)
        return self._seconds == 0

    def wait(self) -> float | None:
        return float(self._seconds) or None


def caller(request: Any) -> Access:
    """The access of an authenticated API request."""
    access = request.auth
    if not isinstance(access, Access):
        raise NotAuthenticated
    return access
