"""The admin site itself: who may enter it, and in which organizations a person holds which role."""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.sites import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse

from organizations import audit
from organizations.access import Access, enter_person
from organizations.logins import SignInForm
from organizations.models import Membership, User

Role = Membership.Role
DATA_READERS = frozenset({Role.OWNER.value, Role.OPERATOR.value, Role.ANALYST.value})
OWNERS = frozenset({Role.OWNER.value})


def access_of(request: HttpRequest) -> Access:
    """The signed-in person's access, looked up once a request; none at all for who has yet to sign in."""
    found = getattr(request, "access", None)
    if not isinstance(found, Access):
        if not isinstance(request.user, User):  # the login page asks too, for what it might list
            return Access(kind="user", id="", name="", grants={})
        found = enter_person(request.user)
        request.access = found  # type: ignore[attr-defined]
    return found


def organizations_of(request: HttpRequest, roles: Iterable[str]) -> list[str]:
    """The organizations in which the person has one of the roles; all of them for platform administrators."""
    access = access_of(request)
    if access.administrator:
        return list(access.grants)
    return [slug for slug, role in access.roles.items() if role in set(roles)]


class CockpitAdminSite(AdminSite):
    """Open to platform administrators and to members who work with data; executives have the pages."""

    site_header = "AI Development Cockpit"
    site_title = "Cockpit admin"
    index_title = "The state of the house"
    login_form = SignInForm
    login_template = "registration/login.html"  # one page to sign in at, whichever address led there
    enable_nav_sidebar = False  # our own needs no script
    empty_value_display = "–"

    def has_permission(self, request: HttpRequest) -> bool:
        return (
            request.user.is_active and request.user.is_authenticated and bool(organizations_of(request, DATA_READERS))
        )

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """With the organizations whose dashboards the person may open."""
        return {**super().each_context(request), "own_organizations": access_of(request).organizations}

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Who is signed in and has no business here is told so, rather than asked to sign in again."""
        if request.method != "POST" and request.user.is_authenticated and not self.has_permission(request):
            words = "The admin is for those who work with the data. Your role has the dashboards alone."
            return TemplateResponse(request, "403.html", {"detail": words}, status=403)
        return super().login(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """A person's own new password, which leaves a row as every other change does."""
        response = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            access = access_of(request)
            audit.record(
                organization=min(access.roles, default="shared"),
                action="changed",
                object_type="user",
                object_id=access.id,
                object_text=access.name,
                changes={"password": ["", "changed"]},
            )
        return response
