"""The name that a machine goes by: in labels, and in the name of its queue."""

import platform
import re

_OTHERS = re.compile(r"[^a-z0-9.-]+")


def host_name(given: str = "") -> str:
    """The name given, or the machine's own, in a-z, 0-9, dots and dashes, at most 63 of them; never empty."""
    plain = _OTHERS.sub("-", (given or platform.node()).lower())[:63].strip("-.")
    return plain or "localhost"


def queue_of(host: str) -> str:
    """The queue that the workers of a host listen to, and no others."""
    return f"gather.{host}"
