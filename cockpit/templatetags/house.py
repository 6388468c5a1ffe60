"""The admin's home page: what `cockpit.house` sees, drawn; and a time as its lists say it."""

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from cockpit.house import House, Reader, look
from organizations.lists import when
from organizations.site import DATA_READERS, OWNERS, access_of, organizations_of

register = template.Library()


@register.simple_tag(takes_context=True)
def state_of_the_house(context: Any) -> House:
    """As far as the signed-in person may see it."""
    request = context["request"]
    reader = Reader(
        data=organizations_of(request, DATA_READERS),
        owned=organizations_of(request, OWNERS),
        administrator=access_of(request).administrator,
    )
    return look(reader, timezone.now())


@register.filter
def said(moment: datetime | None) -> SafeString | None:
    """3 hours ago; the exact time shows on hover."""
    return when(moment)


@register.filter
def in_words(name: str) -> str:
    """sign_in_refused -> sign in refused."""
    return name.replace("_", " ")
