"""The cockpit's settings with one way to count requests, or none: bench.overhead says which (BENCH_METRICS)."""

import os

from cockpit.settings import *  # noqa: F403
from cockpit.settings import INSTALLED_APPS, MIDDLEWARE

_WAY = os.environ["BENCH_METRICS"]
MIDDLEWARE = [name for name in MIDDLEWARE if name != "cockpit.middleware.RequestMetrics" or _WAY == "ours"]
if _WAY == "django-prometheus":
    MIDDLEWARE = [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *MIDDLEWARE,
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ]
    INSTALLED_APPS = [*INSTALLED_APPS, *({"django_prometheus"} - set(INSTALLED_APPS))]
