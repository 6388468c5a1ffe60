"""The channels there are: made, changed, switched and retired by people, each change with its audit row."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from msgspec import Struct

from alerts.channels import TRANSPORTS
from alerts.channels.base import Client, Field, Transport
from alerts.claims import sealed_for
from alerts.models import Channel, Delivery
from alerts.routing import FLAPPING
from bedrock import identifiers, sealing
from bedrock.text import text_problem
from organizations import audit

LONGEST_NAME = 100
OVERLAP = timedelta(hours=24)  # for which the secret before the newest one signs too
_LINES = str.maketrans("\n\r\t", "   ")


class Unfit(ValueError):
    """Settings that will not do: `faults` says why, by the name of the field ("" for all of them together)."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {fault}" for name, fault in faults.items()))
        self.faults = faults


class Settings(Struct, frozen=True):
    """A channel's settings: what is shown, what is sealed, and the secrets made for it, to be shown this once."""

    shown: Mapping[str, str]
    secret: Mapping[str, str]
    made: Mapping[str, str] = {}


def read_settings(
    transport: Transport, given: Mapping[str, str], *, client: Client, kept: Mapping[str, str] | None = None,
    before: Mapping[str, str] | None = None,
) -> Settings:  # fmt: skip
    """What a person typed, held against the channel's fields. A secret left empty stays what it was (`kept`).

    But where it would go to another place than `before` (what was shown), it has to be typed again: whoever may change
    an address must not find out by that what nobody is shown.

    Raises:
        Unfit: naming every field and its limit.
    """
    shown: dict[str, str] = {}
    secret: dict[str, str] = {}
    made: dict[str, str] = {}
    faults: dict[str, str] = {}
    for field in transport.fields:
        value = given.get(field.name, "").strip().replace("\r\n", "\n")
        unchanged = (kept or {}).get(field.name, "") if field.secret and not value else ""
        if not value and not unchanged and field.generated is not None:
            value = made[field.name] = field.generated()
        if problem := None if unchanged else _problem(field, value, client):
            faults[field.name] = problem
        elif value or unchanged:
            (secret if field.secret else shown)[field.name] = value or unchanged
    faults |= _moved_away(transport, given, {**shown, **secret}, {**(before or {}), **(kept or {})})
    if not faults and (problem := transport.problem({**shown, **secret})):
        faults[""] = problem
    if faults:
        raise Unfit(faults)
    return Settings(shown, secret, made)


def _moved_away(
    transport: Transport, given: Mapping[str, str], now: Mapping[str, str], before: Mapping[str, str]
) -> dict[str, str]:
    """Kept secrets that the receiver is sent as they are, where the receiver is another one."""
    places = [field.name for field in transport.fields if field.kind in ("url", "choice") and not field.generated]
    if all(_place(now.get(name, "")) == _place(before.get(name, "")) for name in places):
        return {}
    return {
        field.name: "must be typed again, since it would go to another place"
        for field in transport.fields
        if field.travels and before.get(field.name) and now.get(field.name) and not given.get(field.name, "").strip()
    }


def _place(value: str) -> str:
    """Scheme, host and port of a URL; of what is none the whole."""
    parts = urlsplit(value)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else value


def _problem(field: Field, value: str, client: Client) -> str | None:
    if not value:
        return "is needed" if field.required else None
    if problem := text_problem(value.translate(_LINES) if field.kind == "lines" else value, field.longest):
        return problem
    if field.kind == "choice" and value not in dict(field.choices):
        return "must be one of the choices"
    if field.kind == "url" and (problem := client.url_problem(value)):
        return problem
    return field.problem(value)


def secrets_of(channel: Channel) -> dict[str, str]:
    """A channel's secrets; none where they cannot be read any more, and have to be typed again."""
    try:
        return sealing.unseal(channel.sealed, row=sealed_for(channel.organization_id, channel.pk))
    except sealing.Unsealable:
        return {}


def create_channel(
    *, organization: str, kind: str, name: str, audience: str, settings: Settings, now: datetime, by: str,
    per_minute: int | None = None, source: str = "live",
) -> UUID:  # fmt: skip
    """A new channel, on at once; the caller has entered a scope that holds the organization.

    Raises:
        Unfit: when the name is taken.
    """
    transport, identifier = TRANSPORTS[kind], identifiers.uuid7(identifiers.milliseconds(now))
    _free_name(organization, name)
    pace = per_minute or transport.per_minute
    Channel(
        id=identifier, organization_id=organization, source=source, name=name, kind=kind, audience=audience,
        events=list(transport.events), settings=dict(settings.shown),
        sealed=sealing.seal(settings.secret, row=sealed_for(organization, identifier)), per_minute=pace,
        burst=_burst(transport, pace), at_once=transport.at_once, state="on", state_because="", failures=0,
        last_failure="", created_at=now, created_by=by, changed_at=now,
    ).save(force_insert=True)  # fmt: skip
    changes = {"kind": ["", kind], "audience": ["", audience]}
    audit_change(organization, "created", "channel", identifier, name, changes, source=source)
    return identifier


def change_channel(
    *, channel: Channel, name: str, audience: str, settings: Settings, now: datetime, per_minute: int | None = None
) -> None:
    """Other settings; one that failed by itself is on again, for whoever changes it means to mend it.

    Raises:
        Unfit: when the name is taken.
    """
    transport, changes = TRANSPORTS[channel.kind], _differences(channel, name, audience, settings)
    _free_name(channel.organization_id, name, but=channel.pk)
    pace = per_minute or transport.per_minute
    changed: dict[str, Any] = {
        "name": name, "audience": audience, "settings": dict(settings.shown), "per_minute": pace,
        "burst": _burst(transport, pace), "at_once": transport.at_once, "events": list(transport.events),
        "sealed": sealing.seal(settings.secret, row=sealed_for(channel.organization_id, channel.pk)),
        "changed_at": now,
    }  # fmt: skip
    if channel.state == "failed":
        changed |= {"state": "on", "state_because": "", "failures": 0}
        changes["state"] = ["failed", "on"]
    _rows(channel).update(**changed)
    _rest_is_over(channel)
    audit_change(channel.organization_id, "changed", "channel", channel.pk, name, changes, source=channel.source)


def switch(*, channel: Channel, on: bool, now: datetime) -> None:
    """On again with what waits for it; or off: what waits is dropped, and nothing new is made for it."""
    state = "on" if on else "off"
    if channel.state in (state, "retired"):
        return
    _rows(channel).update(state=state, state_because="", failures=0, changed_at=now)
    if on:
        _rest_is_over(channel)
    else:
        _drop(channel, "off", now)
    changes = {"state": [channel.state, state]}
    action = "switched_on" if on else "switched_off"
    audit_change(channel.organization_id, action, "channel", channel.pk, channel.name, changes, source=channel.source)


def retire(*, channel: Channel, now: datetime) -> None:
    """For good: its secrets are forgotten, no route leads there, its name is free; the log goes on naming it."""
    if channel.state == "retired":
        return
    _rows(channel).update(state="retired", state_because="", sealed="", settings={}, changed_at=now)
    _drop(channel, "retired", now)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM alerts_route_channel WHERE channel_id = %s", [channel.pk])
    changes = {"state": [channel.state, "retired"]}
    audit_change(
        channel.organization_id, "retired", "channel", channel.pk, channel.name, changes, source=channel.source
    )


def rotate(*, channel: Channel, now: datetime) -> str:
    """A new signing secret, to be shown once; the one before it signs too for a day."""
    transport = TRANSPORTS[channel.kind]
    [field] = [one for one in transport.fields if one.generated is not None]
    assert field.generated is not None
    secrets, fresh = secrets_of(channel), field.generated()
    turned = {**secrets, field.name: fresh, f"previous_{field.name}": secrets.get(field.name, "")}
    shown = {**channel.settings, "previous_until": (now + OVERLAP).isoformat(timespec="seconds")}
    sealed = sealing.seal(turned, row=sealed_for(channel.organization_id, channel.pk))
    _rows(channel).update(sealed=sealed, settings=shown, changed_at=now)
    changes = {field.name: ["", "changed"]}
    audit_change(
        channel.organization_id, "rotated", "channel", channel.pk, channel.name, changes, source=channel.source
    )
    return fresh


def _burst(transport: Transport, per_minute: int) -> int:
    """No more at once than a minute may have."""
    return min(transport.burst, per_minute)


def _rows(channel: Channel) -> Any:
    return Channel.objects.filter(pk=channel.pk, organization=channel.organization_id)


def _free_name(organization: str, name: str, but: UUID | None = None) -> None:
    taken = Channel.objects.filter(organization=organization, name=name).exclude(state="retired")
    if (taken if but is None else taken.exclude(pk=but)).exists():
        raise Unfit({"name": "is the name of another channel"})


def _rest_is_over(channel: Channel) -> None:
    """It is tried again at once, and so is what waits for it."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE alerts_channel SET paused_until = '-infinity' WHERE id = %s", [channel.pk])
        cursor.execute(
            "UPDATE alerts_delivery SET next_at = least(next_at, now()) WHERE channel_id = %s AND state = 'pending' "
            f"AND because <> '{FLAPPING}'",
            [channel.pk],
        )


def _drop(channel: Channel, because: str, now: datetime) -> None:
    """Nobody reports on what is just being sent any more; it may be heard all the same, and then so must its end."""
    waiting = Delivery.objects.filter(channel=channel.pk, done_at=None)
    waiting.filter(state="sending").update(state="skipped", because=because, done_at=now, unsure=True)
    waiting.update(state="skipped", because=because, done_at=now)


def _differences(channel: Channel, name: str, audience: str, settings: Settings) -> dict[str, list[str]]:
    """Field by field; of secrets only that they are others."""
    before = {"name": channel.name, "audience": channel.audience, **channel.settings}
    after = {"name": name, "audience": audience, **settings.shown}
    changes = {
        field: [str(before.get(field, "")), str(after.get(field, ""))]
        for field in {**before, **after}
        if before.get(field, "") != after.get(field, "")
    }
    kept = secrets_of(channel)
    others = {field for field in {**kept, **settings.secret} if kept.get(field) != settings.secret.get(field)}
    return {**changes, **{field: ["", "changed"] for field in sorted(others)}}


def audit_change(
    organization: str, action: str, kind: str, identifier: UUID, name: str, changes: Mapping[str, Any],
    *, source: str = "live",
) -> None:  # fmt: skip
    """What is made up leaves no rows in a trail that nobody can take them out of again."""
    if source != "live":
        return
    audit.record(organization=organization, action=action, object_type=kind, object_id=str(identifier),
                 object_text=name, changes=changes)  # fmt: skip
