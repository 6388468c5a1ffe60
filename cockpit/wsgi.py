"""The server's entry: one WSGI application."""

import gc
import multiprocessing
import os
import signal

from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string

from cockpit.embedded.process import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cockpit.settings")
_parent = multiprocessing.parent_process()
if _parent is not None:  # a granian worker: a grandchild of the supervisor, whom its own death signal does not reach
    die_with_parent(signal.SIGKILL, _parent.pid)
application = get_wsgi_application()
if _parent is not None:
    import_string("cockpit.dashboard.stream.end_with_the_process")()  # needs the apps, which are only ready now
gc.collect()
gc.freeze()  # what is loaded now stays: no later look for garbage walks through it again
