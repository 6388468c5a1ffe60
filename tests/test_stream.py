"""The hub of streams: its caps, its goodbyes, and the places it gives back."""

from collections.abc import Callable

import pytest

from cockpit.dashboard import stream
from organizations.models import Membership, User
from organizations.scope import Scope


class Silent:
    """Stands where the hub would listen to the broker."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> stream.Hub:
    monkeypatch.setattr(stream.pubsub, "Listener", Silent)
    monkeypatch.setattr(stream.pubsub, "sequence", lambda _: 7)
    monkeypatch.setattr(stream.Hub, "_watch", lambda _: None)
    made = stream.Hub()
    monkeypatch.setattr(stream, "hub", made)
    return made


def caller(number: int) -> stream.Caller:
    return stream.Caller("key", str(number))


def test_each_cap_has_its_answer(hub: stream.Hub) -> None:
    for _ in range(stream.MOST_A_CALLER):
        hub.open("a", caller(0))
    with pytest.raises(stream.TooMany) as full:
        hub.open("a", caller(0))
    assert full.value.status == 429
    for number in range(stream.MOST_AN_ORGANIZATION - stream.MOST_A_CALLER):
        hub.open("a", caller(1 + number))
    with pytest.raises(stream.TooMany) as full:
        hub.open("a", caller(999))
    assert full.value.status == 429
    for number in range(stream.MOST_A_PROCESS - stream.MOST_AN_ORGANIZATION):
        hub.open(f"b{number}", caller(1000 + number))
    with pytest.raises(stream.TooMany) as full:
        hub.open("c", caller(5000))
    assert full.value.status == 503


@pytest.mark.parametrize("read", [0, 1, 2])
def test_a_place_is_given_back_however_much_was_read(hub: stream.Hub, read: int) -> None:
    events = stream.Events(hub.open("a", caller(0)), ("x",), None)
    for _ in range(read):
        next(events)
    events.close()
    assert not hub._streams


def test_several_hints_are_one_and_goodbye_is_never_swallowed(hub: stream.Hub) -> None:
    opened = hub.open("a", caller(0))
    events = stream.Events(opened, ("x",), 7)
    assert next(events).startswith(b"retry: ")
    for number in (8, 9, 10):
        hub._heard("a", number)
    hub._heard("b", 99)
    told = next(events)
    assert told.startswith(b"id: 10\nevent: stale\ndata: ")
    hub._heard("a", 11)
    hub.end()
    assert next(events).startswith(b"event: bye\n")
    with pytest.raises(StopIteration):
        next(events)
    with pytest.raises(stream.TooMany):
        hub.open("a", caller(0))


def test_who_may_no_longer_read_is_refused(make_person: Callable[..., User], database: str) -> None:
    from django.contrib.sessions.backends.db import SessionStore

    person = make_person("ada", swaggystacks="analyst")
    session = SessionStore()
    session.create()
    mine = stream.Stream("swaggystacks", stream.Caller("user", str(person.pk), session.session_key or ""))
    assert stream.refused([mine]) == []
    foreign = stream.Stream("scientia_capital", mine.caller)
    signed_out = stream.Stream("swaggystacks", stream.Caller("user", str(person.pk), "ended"))
    assert stream.refused([mine, foreign, signed_out]) == [foreign, signed_out]
    with Scope.of("swaggystacks").enter():
        Membership.objects.all().delete()
    assert stream.refused([mine]) == [mine]
