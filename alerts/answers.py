"""Answers kept for requests that may be sent again: one for each Idempotency-Key of an organization."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from msgspec import Struct

from monitoring.errors import KeyConflict
from organizations.scope import Scope

KEPT = timedelta(days=8)
_USED = "This idempotency key was used before, for a request with other content."
# In one round trip; the second statement sees what was committed while the first one waited.
_RECALL = (
    "SELECT pg_advisory_xact_lock(%s); "
    "SELECT request_hash, status, body FROM alerts_answer WHERE organization_id = %s AND key = %s AND at > %s"
)
# One that is too old may still lie there.
_KEEP = """
INSERT INTO alerts_answer AS old (organization_id, key, request_hash, status, body, at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (organization_id, key) DO UPDATE
SET request_hash = excluded.request_hash, status = excluded.status, body = excluded.body, at = excluded.at
"""


class Answer(Struct, frozen=True):
    """What a request was answered with."""

    status: int
    body: bytes


def once(
    scope: Scope,
    organization: str,
    key: str | None,
    request: tuple[str, Any],
    now: datetime,
    make: Callable[[], Answer],
) -> tuple[Answer, bool]:
    """The answer, and whether it is the one that was given before to this key and request (its address and JSON).

    What `make` writes and the answer are one transaction, in which nobody else answers this key. A refusal (an error,
    or a status from 400 on, where nothing was done) is not kept, so that the request can be mended.

    Raises:
        KeyConflict: when the key stands for other content.
    """
    if key is None:
        return make(), False
    content = content_of(*request)
    with scope.enter():
        if (found := _recall(organization, key, content, now)) is not None:
            return found, True
        answer = make()
        if answer.status < 400:
            with connection.cursor() as cursor:
                values: list[Any] = [organization, key.encode(), content, answer.status, answer.body, now]
                cursor.execute(_KEEP, values)
        return answer, False


def content_of(address: str, plain: Any) -> bytes:
    """32 bytes that stand for a body sent to an address, however its fields are ordered."""
    told = json.dumps([address, plain], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).digest()


def forget(now: datetime) -> int:
    """Delete the answers of the entered scope that nobody may ask for any more; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM alerts_answer WHERE at <= %s", [now - KEPT])
        return int(cursor.rowcount)


def _recall(organization: str, key: str, content: bytes, now: datetime) -> Answer | None:
    lock = int.from_bytes(hashlib.sha256(f"answer:{organization}:{key}".encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute(_RECALL, [lock, organization, key.encode(), now - KEPT])
        cursor.nextset()
        row = cursor.fetchone()
    if row is None:
        return None
    if bytes(row[0]) != content:
        raise KeyConflict(_USED)
    return Answer(row[1], bytes(row[2]))
