from django.apps import AppConfig


class BedrockConfig(AppConfig):
    name = "bedrock"
    default_auto_field = "django.db.models.BigAutoField"
