"""The one seam: which store this process uses."""

from functools import cache

from django.utils.module_loading import import_string

from monitoring.store.base import Store


@cache
def current_store() -> Store:
    """The store of this process, made on first use."""
    store: Store = import_string("monitoring.store.postgres.PostgresStore")()
    return store
