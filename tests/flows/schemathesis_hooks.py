"""What Schemathesis does not know by itself: NDJSON is text; which alert there is, and which time lies ahead."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import schemathesis

from monitoring.wire import NDJSON

schemathesis.serializer.alias(list(NDJSON), "text/plain")


def _is(kind: Any, text: Any) -> bool:
    """Whether a text is one that `kind` reads: what is wrong stays wrong, so that its refusal can be looked at."""
    try:
        return isinstance(text, str) and bool(kind(text))
    except ValueError:
        return False


@schemathesis.hook
def map_path_parameters(_: Any, path_parameters: Any) -> Any:
    """An id in its right form is that of an alert which there is, two times of three."""
    identifier = (path_parameters or {}).get("id")
    if _is(UUID, identifier) and UUID(identifier).int % 3:
        return {**path_parameters, "id": os.environ["AN_ALERT"]}
    return path_parameters


@schemathesis.hook
def map_body(_: Any, body: Any) -> Any:
    """A time with a zone is an hour ahead, the first id of several that of an alert, and an owner the administrator."""
    if not isinstance(body, dict):
        return body
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    found = dict(body)
    if _is(datetime.fromisoformat, body.get("until")) and datetime.fromisoformat(body["until"]).tzinfo:
        found["until"] = soon
    ids = body.get("ids")
    if isinstance(ids, list) and ids and all(_is(UUID, one) for one in ids):
        found["ids"] = [os.environ["AN_ALERT"], *ids[1:]]
    if "owner" in body and isinstance(body["owner"], str) and "ids" not in body:
        found["owner"] = None
    return found
