"""The one settings file: what the environment says, turned into Django's words. Importing it starts nothing."""

from typing import Any

from psycopg import conninfo
from whitenoise.compress import Compressor

from bedrock import telemetry
from cockpit import env as environment
from cockpit.embedded.places import Places

ENV = environment.load()
BASE_DIR = environment.ROOT
_PLACES = Places.of(ENV.data_dir)


def _database(url: str, **extra: Any) -> dict[str, Any]:
    """A DATABASES entry from anything libpq takes (sockets, %2F hosts, sslmode, several hosts)."""
    parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    session = (
        f"-c statement_timeout={ENV.statement_timeout}s -c lock_timeout=2s "
        "-c idle_in_transaction_session_timeout=10s -c timezone=UTC "
        # Our questions are short and machines small: workers that have to be started first take longer than they save.
        "-c jit=off -c parallel_setup_cost=20000"
    )
    options = {"connect_timeout": "3", "options": session, "application_name": "cockpit"}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": {**options, **parts, **extra},
    }


_POOL: dict[str, Any] = {"min_size": 1, "max_size": ENV.database_pool, "timeout": 3, "max_idle": 300}
EMBEDDED_DATABASE = ENV.database_url is None
DATABASES = {
    "default": _database(ENV.database_url or _PLACES.database_url, **({"pool": _POOL} if ENV.database_pool else {}))
}
_OWNER_URL = ENV.database_owner_url or (_PLACES.database_owner_url if EMBEDDED_DATABASE else None)
if _OWNER_URL:  # absent from web, which never needs it
    DATABASES["owner"] = _database(_OWNER_URL)

REDIS_URL = ENV.redis_url or _PLACES.redis_url
BROKER_PREFIX = "cockpit:"  # of everything that the broker keeps there
_NO_WAITING = {"socket_connect_timeout": 1, "socket_timeout": 1}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": _NO_WAITING,
    },
}

SECRET_KEY = ENV.secret_key
KEY_PEPPER = ENV.key_pepper
DEBUG = False  # errors are told by problem+json and the log, in development too
ALLOWED_HOSTS = list(ENV.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENV.csrf_trusted_origins)
EMBED_ORIGINS = ENV.embed_origins
DEFAULT_ORGANIZATION = ENV.default_organization
RATE_LIMIT_PER_MINUTE = ENV.rate_limit_per_minute
FAILPOINT = ""  # where a test ends this process, bedrock/failpoints.py
TRUSTED_PROXIES = ENV.trusted_proxies
HOST_NAME = ENV.host_name
PUBLIC_URL = ENV.public_url
WEB_URL = ENV.web_url
MAIL = ENV.mail
OUTGOING_ALLOWED = ENV.outgoing_allowed
OUTGOING_BRIDGE = ENV.outgoing_bridge
GATHER_INTERVAL = ENV.gather_interval
FLUSH_SECONDS = 2.0  # what is counted in process is written that often; 0 is never by itself (tests)

INSTALLED_APPS = [
    "cockpit",
    "alerts.apps.AlertsConfig",
    "monitoring",
    "organizations.apps.OrganizationsConfig",
    "bedrock",
    "organizations.apps.CockpitAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "cockpit.middleware.RequestContext",
    "cockpit.middleware.RequestMetrics",
    "cockpit.middleware.SecurityHeaders",
    "cockpit.middleware.EmbeddingPages",  # answers preflights, which carry no credentials, before anybody asks for some
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "cockpit.middleware.EnterScope",
]
ROOT_URLCONF = "cockpit.urls"
WSGI_APPLICATION = "cockpit.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_USER_MODEL = "organizations.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_AGE = 14 * 24 * 3600

SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENV.secure_cookies
if ENV.secure_cookies:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENV.trusted_proxies else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "cockpit.errors.csrf_failed"

# What pages of EMBED_ORIGINS may ask, with a token and never with a cookie; cockpit.middleware.EmbeddingPages says who.
CORS_URLS_REGEX = r"/api/monitoring/(dashboard|stream|panels)\Z"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_METHODS = ("GET", "HEAD", "OPTIONS")
CORS_ALLOW_HEADERS = ("accept", "authorization", "content-type", "if-none-match", "last-event-id", "x-request-id")
CORS_EXPOSE_HEADERS = ("ETag", "X-As-Of", "Retry-After", "X-Request-ID")
CORS_PREFLIGHT_MAX_AGE = 600
WHITENOISE_ALLOW_ALL_ORIGINS = True  # modules and fonts are asked for across origins; files are the same for everybody

LANGUAGE_CODE = "en"
USE_I18N = True
FORMAT_MODULE_PATH = ["cockpit.formats"]
USE_TZ = True
TIME_ZONE = "UTC"
APPEND_SLASH = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# In development files are served from where they lie; production collects them, compressed and hashed, in its image.
_COLLECTED = ENV.production
STATIC_ROOT = BASE_DIR / "staticfiles" if _COLLECTED else None
WHITENOISE_USE_FINDERS = not _COLLECTED
WHITENOISE_AUTOREFRESH = False
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")  # for developer tools alone
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "cockpit.assets.HashedAssets"
        if _COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # every route but ingest, which reads its body with limits of its own
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "organizations.access.KeyAuthentication",
        "organizations.access.PersonAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["organizations.access.Granted"],
    "DEFAULT_THROTTLE_CLASSES": ["organizations.access.KeyThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "cockpit.negotiation.AlwaysJson",
    "EXCEPTION_HANDLER": "cockpit.errors.handle",
    "DEFAULT_SCHEMA_CLASS": "cockpit.schema.operations.Described",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "AI Development Cockpit",
    "VERSION": "1",  # of the API; its changes are told in CHANGELOG.md
    "OAS_VERSION": "3.1.0",
    "LICENSE": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    "SCHEMA_PATH_PREFIX": "/api",
    "SORT_OPERATIONS": False,  # the order of cockpit/urls.py
    "SORT_OPERATION_PARAMETERS": False,
    "POSTPROCESSING_HOOKS": ["cockpit.schema.operations.complete"],
}

LOGGING_CONFIG = None  # structlog and the standard library's loggers are configured together, once
telemetry.configure(level=ENV.log_level, form=ENV.log_format)
