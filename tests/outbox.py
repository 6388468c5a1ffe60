"""What tests of the outbox do again and again: claim, report, look; and two things done at once."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from msgspec import structs

from alerts import deliveries as outbox
from alerts import settling
from alerts.channels import TRANSPORTS
from alerts.channels.base import Failure, Receipt
from alerts.claims import Claimed
from alerts.models import Alert, Delivery
from alerts.routing import NOT_THROUGH
from alerts.sending import Tried
from organizations.models import AuditEvent
from tests import channels
from tests.channels import (
    EVERYONE,
    channel,
    deliveries,
    due_now,
    events,
    route,
)

URL = "http://127.0.0.1:9/hook"  # of what is never sent
EVER = datetime(2026, 1, 1, tzinfo=UTC)


def claim(seconds: float = 0, most: int = 1000) -> list[Claimed]:
    return outbox.claim(now=outbox.clock() + timedelta(seconds=seconds), most=most)[0]


def report(one: Claimed, failure: Failure | None = None, seconds: float = 0, **more: Any) -> None:
    report_all([Tried(claimed=one, failure=failure, took_ms=1, **more)], seconds)


def report_all(tries: Sequence[Tried], seconds: float = 0) -> None:
    settling.settle(tries, now=outbox.clock() + timedelta(seconds=seconds), chance=lambda: 0.5)


def only(delivery: Delivery) -> Delivery:
    """It as it stands now."""
    [found] = deliveries(pk=delivery.pk)
    return found


def told(to: UUID | None = None, **wanted: Any) -> list[tuple[str, str]]:
    return events(deliveries(**({"channel": to} if to else {}), **wanted))


def alerts_about(to: UUID) -> list[Alert]:
    with EVERYONE.enter():
        found = Alert.objects.filter(alert_type="delivery_failed").order_by("first_seen_at")
        return [one for one in found if one.metadata[NOT_THROUGH] == str(to)]


def audited(action: str, to: UUID) -> int:
    with EVERYONE.enter():
        return AuditEvent.objects.filter(action=action, object_type="channel", object_id=str(to)).count()


def hook() -> UUID:
    """A channel to which everything leads, and nothing is sent."""
    to = channel(URL)
    route(to, name=f"to {to}")
    return to


def exhausted(to: UUID, failure: Failure = "server", **more: Any) -> Claimed:
    """The next notice to that channel, tried so often that it is given up."""
    while True:
        due_now()
        channels.rest_over(to)
        [one] = [one for one in claim() if one.channel == to][:1]
        report(one, failure, **more)
        if not deliveries(pk=one.id, done_at=None):
            return one


@contextmanager
def in_thread(work: Callable[[], Any]) -> Iterator[threading.Thread]:
    """Done beside the test, with a connection of its own."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()
    assert not failure, failure


def race(first: Callable[[], Any], second: Callable[[], Any]) -> None:
    """The second begins while the first is done and not yet committed; it may wait for that."""
    done = threading.Event()

    def follow() -> None:
        assert done.wait(20)
        second()

    with in_thread(follow), outbox.SCOPE.enter():
        first()
        done.set()
        time.sleep(0.3)  # whether it waits or not, it has begun by now


def broken(monkeypatch: pytest.MonkeyPatch, send: Callable[..., Receipt], kind: str = "webhook") -> None:
    """A transport of that kind whose sending is this."""
    monkeypatch.setitem(TRANSPORTS, kind, structs.replace(TRANSPORTS[kind], send=send))  # type: ignore[misc]
