"""A bare Django process with a database and one view: what monitoring's share of memory is measured against."""

import os
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from psycopg import conninfo

_PARTS: dict[str, Any] = conninfo.conninfo_to_dict(os.environ["DATABASE_URL"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _PARTS["dbname"],
            "USER": _PARTS["user"],
            "HOST": _PARTS["host"],
            "OPTIONS": {"pool": {"min_size": 1, "max_size": 16}},
        }
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of nothing",
    USE_TZ=True,
)


def ready(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok")


urlpatterns = [path("api/health/live", ready), path("api/health/ready", ready)]
application = get_wsgi_application()
