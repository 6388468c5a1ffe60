"""The table of contents: every address the cockpit answers."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from cockpit import health, metrics
from cockpit.dashboard import api as dashboard_api
from cockpit.dashboard import embedding, fragments, views
from cockpit.schema import pages
from monitoring import api as monitoring_api
from organizations.logins import SignInForm

urlpatterns = [
    path("", views.home, name="home"),
    path("dashboards/<str:organization>/", views.dashboard, name="dashboard"),
    path("login/", LoginView.as_view(authentication_form=SignInForm, redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("favicon.ico", views.favicon),  # what admin pages ask for
    path("api/health", health.HealthView.as_view(), name="health"),
    path("api/health/live", health.LiveView.as_view(), name="health-live"),
    path("api/health/ready", health.ReadyView.as_view(), name="health-ready"),
    path("api/metrics", metrics.MetricsView.as_view(), name="metrics"),
    path("metrics", metrics.ProcessView.as_view(), name="process-metrics"),
    path("api/schema", pages.SchemaView.as_view(), name="schema"),
    path("api/docs", pages.SwaggerView.as_view(), name="docs"),
    path("api/redoc", pages.RedocView.as_view(), name="redoc"),
    path("api/monitoring/dashboard", dashboard_api.DashboardView.as_view(), name="dashboard-data"),
    path("api/monitoring/panels", fragments.PanelsView.as_view(), name="panels"),
    path("api/monitoring/stream", dashboard_api.StreamView.as_view(), name="stream"),
    path("api/monitoring/embed-token", embedding.EmbedTokenView.as_view(), name="embed-token"),
    path("api/monitoring/dashboard/inference", monitoring_api.InferenceView.as_view(), name="inference"),
]
handler400 = "cockpit.errors.bad_request"
handler403 = "cockpit.errors.permission_denied"
handler404 = "cockpit.errors.not_found"
handler500 = "cockpit.errors.server_error"
