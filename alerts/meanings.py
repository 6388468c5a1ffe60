"""What an alert's type means for people who run no machines: plain words, not the names that programs give things."""

import re
from collections.abc import Mapping
from typing import Any

from alerts.channels.base import shortened

# What words of a type begin with, and what that means; the first that fits is told.
_MEANINGS = (
    (r"rule fail", "Something is not watched as it should be"),
    (r"security|breach|intrus|attack|auth|login|credential", "A security problem"),
    (r"deliver|channel|notif", "Some people are not told of problems"),
    (r"down\b|unavail|outage|unreach|absent|dead\b|crash|offline", "Part of the service is away"),
    (r"latenc|slow|timeout|duration|ttft|hang", "Answers take too long"),
    (r"limit|quota|throttl", "Requests are turned away because there are too many"),
    (r"error|fail|exception", "More requests fail than should"),
    (r"cost|budget|spend|price|billing", "It costs more than planned"),
    (r"gpu|graphics|cuda|thermal|temperature|heat\b", "Trouble with a graphics card"),
    (r"disk|storage|filesystem", "Storage is running out"),
    (r"memory|oom\b|swap\b", "Memory is running out"),
    (r"cpu|processor|load\b", "The machines are overloaded"),
    (r"queue|backlog|lag\b|worker", "Work is piling up"),
    (r"database|cache|backup|replication", "Trouble with the store of data"),
    (r"deploy|release|version|rollout|upgrade", "A new version went live"),
    (r"config|setting", "Settings were changed"),
)
_UNNAMED = {"critical": "A serious problem", "warning": "Something to watch", "info": "Something new"}


PLAIN = "plain"  # in an alert's metadata: what executives read, in the words of whoever raised it
_LONGEST = 200


def meaning(alert_type: str, severity: str, metadata: Mapping[str, Any]) -> str:
    """What kind of trouble it is: as its rule says it, or by its type; without a clue in that, how bad it is."""
    plain = metadata.get(PLAIN)
    if isinstance(plain, str) and plain.strip():
        return shortened(plain.strip().rstrip("."), _LONGEST)
    spaced = re.sub(r"[^a-z]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", alert_type).lower())
    for words, said in _MEANINGS:
        if re.search(rf"\b(?:{words})", spaced):
            return said
    return _UNNAMED[severity]
