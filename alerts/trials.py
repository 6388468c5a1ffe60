"""A channel tried out: a notice of its own through the very outbox, sent while somebody waits for the answer."""

import json

from django.db import connection

from alerts import claims, deliveries, sending, settling
from alerts.deliveries import LEASE
from alerts.models import Channel
from alerts.sending import Tried
from organizations import audit
from organizations.scope import Scope

_BEGIN = """
INSERT INTO alerts_delivery (organization_id, channel_id, event, about, state, attempt, queued_at, next_at)
VALUES (%s, %s, 'test', %s::jsonb, 'sending', 1, clock_timestamp(), clock_timestamp() + %s * interval '1 second')
RETURNING id
"""


def try_out(*, channel: Channel, by: str) -> Tried:
    """Send a test now, whatever its pace and its rest; should we end meanwhile, another process sends it again.

    Call it outside a transaction: the receiver may take ten seconds.
    """
    scope = Scope.of(channel.organization_id)
    with scope.enter(), connection.cursor() as cursor:
        about = json.dumps({"by": by})
        cursor.execute(_BEGIN, [channel.organization_id, channel.pk, about, LEASE.total_seconds()])
        [claimed] = claims.read([cursor.fetchone()[0]])
        audit.record(
            organization=channel.organization_id, action="tried", object_type="channel", object_id=str(channel.pk),
            object_text=channel.name,
        )  # fmt: skip
    tried = sending.send(claimed)
    settling.settle([tried], now=deliveries.clock())
    return tried
