"""The one settings file under an environment of the tests' own; which database it is, the `database` fixture says."""

import os
import tempfile

_LEFT_OUT = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "COCKPIT_ENV", "NODE_ENV", "PORT", "LOG_LEVEL")
for _name in _LEFT_OUT:
    os.environ.pop(_name, None)
os.environ |= {
    "SECRET_KEY": "a key of the tests, which is long enough and secret to nobody",
    "KEY_PEPPER": "a pepper of the tests, secret to nobody",
    "COCKPIT_DATA_DIR": tempfile.gettempdir() + "/cockpit-tests-without-data",
    "DATABASE_URL": "postgresql://cockpit_app@127.0.0.1:1/no_database_fixture_in_use",
    "DATABASE_OWNER_URL": "postgresql://cockpit_owner@127.0.0.1:1/no_database_fixture_in_use",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "LOG_LEVEL": "warning",
}

from cockpit.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes a third of a second a user
FLUSH_SECONDS = 0  # tests write what was counted when they want to
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "default"},
}
