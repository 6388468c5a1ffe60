"""How static files are collected for production: compressed, and named by their content."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedAssets(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # it comes without types
    """Modules name each other by their hashed names too, so that a page never mixes two releases."""

    support_js_module_import_aggregation = True
