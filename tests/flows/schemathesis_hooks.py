"""What Schemathesis does not know by itself: NDJSON is sent as the text that it is."""

import schemathesis

from monitoring.wire import NDJSON

schemathesis.serializer.alias(list(NDJSON), "text/plain")
