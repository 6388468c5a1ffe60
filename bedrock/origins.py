"""Origins (scheme, host, port) as browsers write them."""

import re
from urllib.parse import urlsplit

_FORM = re.compile(r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_PORTS = {"http": 80, "https": 443}


def normal(text: str, *, http: bool) -> str | None:
    """The origin in lower case and without its scheme's own port, so that it can be compared letter by letter.

    None when it is no origin (a path, a slash at the end, a wildcard), or plain http for more than this machine and
    not `http`.
    """
    match = _FORM.fullmatch(text.lower()) if text.isascii() else None
    try:
        port = urlsplit(match[0]).port if match else None
    except ValueError:  # too large, or an address that is none
        return None
    if match is None or port == 0 or (match[1] == "http" and not http and match[2] not in _LOOPBACK):
        return None
    return f"{match[1]}://{match[2]}" + (f":{port}" if port not in (None, _PORTS[match[1]]) else "")
