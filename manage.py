#!/usr/bin/env python
"""Django's command line; a command that touches the database has it for as long as it runs."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext

from django.core.management import execute_from_command_line

from cockpit import env
from cockpit.embedded import lease
from cockpit.embedded.faults import ServiceFault

# Everything else is a command that touches the database. `up` brings its own.
WITHOUT_DATABASE = frozenset(
    {
        "check",
        "collectstatic",
        "compilemessages",
        "diffsettings",
        "findstatic",
        "help",
        "makemessages",
        "replay",
        "roles",
        "startapp",
        "startproject",
        "up",
        "version",
    }
)


def services(arguments: list[str]) -> AbstractContextManager[None]:
    """What the command on this command line needs around it."""
    command = arguments[1] if len(arguments) > 1 else "help"
    asks_only = {"-h", "--help", "--version"} & set(arguments) or command.startswith("-")
    if command in WITHOUT_DATABASE or asks_only:
        return nullcontext()
    return lease.hold(env.load())


def main() -> None:
    """Run the command; what is wrong with the environment or the services is told in one line each."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cockpit.settings")
    try:
        with services(sys.argv):
            execute_from_command_line(sys.argv)
    except env.EnvironmentFaults as faults:
        for fault in faults.faults:
            sys.stderr.write(f"environment: {fault}\n")
        sys.exit(2)
    except ServiceFault as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
