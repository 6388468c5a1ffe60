from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.module_loading import import_string


class OrganizationsConfig(AppConfig):
    name = "organizations"
    verbose_name = "People and access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_string("organizations.logins.connect")()  # needs the models, which are not there at import


class CockpitAdminConfig(AdminConfig):
    default_site = "organizations.site.CockpitAdminSite"
