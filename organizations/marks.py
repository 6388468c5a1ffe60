"""What a request turned out to be: left here by whoever finds it out, read by who counts requests."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Marks:
    """`organization` is the one the request is about, `home` the one its caller or key belongs to; "" is unknown.

    `kind` is the caller's: "user", "key" or "token". `refusal` says in a word why a credential was not accepted,
    `error` what an answer of 400 and above was titled, or which exception nobody caught.
    """

    organization: str = ""
    home: str = ""
    kind: str = ""
    key_prefix: str = ""
    refusal: str = ""
    limited: bool = False
    error: str = ""


current: ContextVar[Marks | None] = ContextVar("marks", default=None)  # set once a request by the middleware


def here() -> Marks:
    """The marks of this context's request; outside of requests, ones that nobody will read."""
    return current.get() or Marks()
