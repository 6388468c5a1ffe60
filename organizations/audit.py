"""The audit trail's one verb: a row for each change and sign-in, written in the change's own transaction."""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from bedrock import redaction
from organizations.models import AuditEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who acts in this context, and from where."""

    actor_kind: str = AuditEvent.Actor.SYSTEM
    actor_id: str = ""
    actor: str = "system"
    address: str | None = None
    user_agent: str = ""
    request_id: str = ""


_ADD = "INSERT INTO organizations_auditevent ({}) VALUES ({})"

# Set once a request by the middleware and by authentication; the system's own work needs no setting.
origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - frozen, so shared safely


def record(
    *,
    organization: str,
    action: str,
    object_type: str = "",
    object_id: str = "",
    object_text: str = "",
    changes: Mapping[str, Any] | None = None,
    by: Origin | None = None,
) -> None:
    """Add one row; the caller has entered a scope that holds `organization`.

    Args:
        action: a past participle, such as created, changed, deleted, revoked, signed_in, sign_in_refused.
        changes: field -> [before, after]; secrets are masked by their names and shapes.
    """
    who = by or origin.get()
    row = {
        "organization_id": organization,
        "actor_kind": who.actor_kind,
        "actor_id": who.actor_id,
        "actor": who.actor[:150],
        "action": action,
        "object_type": object_type,
        "object_id": object_id[:64],
        "object_text": redaction.redact_text(object_text)[:200],
        "changes": json.dumps(redaction.redact(dict(changes or {})), cls=DjangoJSONEncoder),
        "address": who.address,
        "user_agent": redaction.redact_text(who.user_agent)[:200],
        "request_id": who.request_id[:64],
    }
    with connection.cursor() as cursor:  # a model's own INSERT takes three times as long, and every verb leaves a row
        cursor.execute(_ADD.format(", ".join(row), ", ".join(["%s"] * len(row))), list(row.values()))
