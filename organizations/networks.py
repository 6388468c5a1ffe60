"""Networks that callers come from: each one's first time in an organization is a row of the audit trail."""

import ipaddress
import os
from threading import Lock

from django.db import connection

from organizations import audit
from organizations.models import AuditEvent
from organizations.scope import Scope

_MOST_KNOWN, _MOST_WAITING = 10_000, 1_000
_ACTION, _TYPE = "network_seen", "network"
_TURN = 0x6E6574  # of processes: two that see a network at once must not both call it new

_lock = Lock()
_known: set[tuple[str, str]] = set()
_waiting: dict[tuple[str, str], audit.Origin] = {}


def network_of(address: str | None) -> str | None:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; None when there is no address."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def note(organization: str, origin: audit.Origin) -> None:
    """Remember where this caller comes from; whether that is new is looked up later, by `record_new`."""
    network = network_of(origin.address)
    if network is None or (organization, network) in _known:
        return
    with _lock:
        if len(_waiting) < _MOST_WAITING:  # one left out is noted at its next request
            _waiting.setdefault((organization, network), origin)


def record_new() -> list[str]:
    """Write those never seen before into the audit trail; their organizations, one entry a network."""
    with _lock:
        waiting = dict(_waiting)
    if not waiting:
        return []
    with Scope.system("networks seen").enter():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_TURN])
        new = {seen: origin for seen, origin in waiting.items() if not _is_recorded(*seen)}
        for (organization, network), origin in new.items():
            audit.record(
                organization=organization,
                action=_ACTION,
                object_type=_TYPE,
                object_id=network,
                object_text=network,
                by=origin,
            )
    with _lock:
        if len(_known) > _MOST_KNOWN:
            _known.clear()
        _known.update(waiting)
        for seen in waiting:
            _waiting.pop(seen, None)
    return [organization for organization, _ in new]


def _is_recorded(organization: str, network: str) -> bool:
    rows = AuditEvent.objects.filter(organization=organization, object_type=_TYPE, object_id=network, action=_ACTION)
    return rows.exists()


def forget() -> None:
    """Start as a new process would."""
    global _lock
    _lock = Lock()
    _known.clear()
    _waiting.clear()


os.register_at_fork(after_in_child=forget)  # what the parent noted, the parent writes; its lock may be held for ever
