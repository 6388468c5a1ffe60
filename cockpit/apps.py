from django.apps import AppConfig

from cockpit import checks


class CockpitConfig(AppConfig):
    name = "cockpit"

    def ready(self) -> None:
        checks.connect()
