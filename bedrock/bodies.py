"""The body of a request, read up to a limit and no further."""

from django.http import HttpRequest


def announced(request: HttpRequest) -> bool:
    """Whether the request says that a body follows, of a length or in chunks."""
    return _chunked(request) or request.META.get("CONTENT_LENGTH", "") not in ("", "0")


def read(request: HttpRequest, limit: int) -> bytes | None:
    """The plain body; None when it has more than `limit` bytes."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > limit:
        return None
    # A chunked body has no announced length, for which Django reads nothing; the server ends its stream by itself.
    source = request.META["wsgi.input"] if _chunked(request) else request
    body: bytes = source.read(limit + 1)
    return body if len(body) <= limit else None


def _chunked(request: HttpRequest) -> bool:
    return "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
