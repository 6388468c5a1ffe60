"""The table of contents: every address the cockpit answers."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from alerts import api as alerts_api
from alerts import callbacks
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
    path("api/monitoring/alerts", alerts_api.AlertsView.as_view(), name="alerts"),
    path("api/monitoring/alerts/summary", alerts_api.SummaryView.as_view(), name="alerts-summary"),
    path("api/monitoring/alerts/bulk", alerts_api.BulkView.as_view(), name="alerts-bulk"),
    path("api/monitoring/alerts/<str:id>", alerts_api.AlertView.as_view(), name="alert"),
    path("api/monitoring/alerts/<str:id>/timeline", alerts_api.TimelineView.as_view(), name="alert-timeline"),
    path("api/monitoring/alerts/<str:id>/acknowledge", alerts_api.AcknowledgeView.as_view(), name="alert-acknowledge"),
    path(
        "api/monitoring/alerts/<str:id>/unacknowledge",
        alerts_api.UnacknowledgeView.as_view(),
        name="alert-unacknowledge",
    ),
    path("api/monitoring/alerts/<str:id>/assign", alerts_api.AssignView.as_view(), name="alert-assign"),
    path("api/monitoring/alerts/<str:id>/shelve", alerts_api.ShelveView.as_view(), name="alert-shelve"),
    path("api/monitoring/alerts/<str:id>/unshelve", alerts_api.UnshelveView.as_view(), name="alert-unshelve"),
    path("api/monitoring/alerts/<str:id>/resolve", alerts_api.ResolveView.as_view(), name="alert-resolve"),
    path("api/monitoring/alerts/<str:id>/reopen", alerts_api.ReopenView.as_view(), name="alert-reopen"),
    path("api/monitoring/alerts/<str:id>/comment", alerts_api.CommentView.as_view(), name="alert-comment"),
    path("api/monitoring/channels/<str:id>/pagerduty", callbacks.PagerDutyView.as_view(), name="pagerduty-back"),
    path("api/monitoring/pulse", callbacks.PulseView.as_view(), name="pulse"),
    path("api/monitoring/deployments", alerts_api.DeploymentsView.as_view(), name="deployments"),
]
handler400 = "cockpit.errors.bad_request"
handler403 = "cockpit.errors.permission_denied"
handler404 = "cockpit.errors.not_found"
handler500 = "cockpit.errors.server_error"
