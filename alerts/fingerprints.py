"""What makes two reports the same alert: organization, type, endpoint, model and labels; never message or severity."""

import hashlib
from collections.abc import Mapping


def fingerprint(
    *,
    organization: str,
    alert_type: str,
    endpoint_id: str = "",
    model_name: str = "",
    labels: Mapping[str, str] | None = None,
    source: str = "live",
) -> str:
    """SHA-256 in hex over length-prefixed parts, so that no two different sets of parts read the same."""
    fixed = (organization, source, alert_type, endpoint_id, model_name)
    parts = [*fixed, *(part for pair in sorted((labels or {}).items()) for part in pair)]
    encoded = [part.encode() for part in parts]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in encoded)).hexdigest()
