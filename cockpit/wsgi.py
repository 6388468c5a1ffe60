"""The server's entry: one WSGI application."""

import os
import signal

from django.core.wsgi import get_wsgi_application

from cockpit.embedded.process import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cockpit.settings")
# granian's workers are grandchildren of the supervisor, whom its own death signal does not reach.
die_with_parent(signal.SIGKILL)
application = get_wsgi_application()
