"""Live pages: one hub a process hears which organizations have news and tells every open stream what is stale."""

import json
import queue
import random
import signal
import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

import structlog
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from bedrock.identifiers import text_of
from monitoring import pubsub
from organizations.access import Access
from organizations.models import ApiKey, Membership, User
from organizations.scope import Scope
from organizations.tokens import Token

log = structlog.get_logger(__name__)

HEARTBEAT = 15.0  # seconds
_WATCH = 0.7  # seconds between two looks at who may still listen: a revocation ends a stream within one
_UNSEEN = 30.0  # seconds without such a look, after which nobody may listen
_GAP_EVERY = 5.0  # seconds between two hints that nothing can be known: each makes all open pages look
MOST_A_PROCESS, MOST_AN_ORGANIZATION, MOST_A_CALLER = 200, 100, 20
_BYE = -1  # in a queue: the stream ends
_GAP = 0  # in a queue: hints may have been missed, or cannot be had


class TooMany(Exception):
    """No further stream is let in; `status` is 503 when the process is full, else 429."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Caller:
    """Who listens: a key, a person by their session, or what either of them issued a token for.

    Two tokens of one issuer are two callers: each viewer of an embedded dashboard has a token of their own.
    """

    kind: str
    id: str
    session: str = ""
    token: Token | None = None

    @classmethod
    def of(cls, access: Access, session: str) -> "Caller":
        token = access.token
        return cls(token.issuer_kind, token.issuer_id, "", token) if token else cls(access.kind, access.id, session)


@dataclass(eq=False, slots=True)
class Stream:
    """One open stream: the queue between the hub and its generator."""

    organization: str
    caller: Caller
    news: "queue.SimpleQueue[int]" = field(default_factory=queue.SimpleQueue)


class Hub:
    """All open streams of this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._streams: set[Stream] = set()
        self._listener: pubsub.Listener | None = None
        self._over = Event()
        self._told_gap = 0.0

    def open(self, organization: str, caller: Caller) -> Stream:
        """Let a stream in.

        Raises:
            TooMany: when the process, the organization or the caller has as many as it may.
        """
        with self._lock:
            if len(self._streams) >= MOST_A_PROCESS or self._over.is_set():
                raise TooMany(503, "This process has no room for another stream; ask for the data instead.")
            if sum(one.organization == organization for one in self._streams) >= MOST_AN_ORGANIZATION:
                raise TooMany(429, f"At most {MOST_AN_ORGANIZATION} streams of one organization.")
            if sum(one.caller == caller for one in self._streams) >= MOST_A_CALLER:
                raise TooMany(429, f"At most {MOST_A_CALLER} streams of one caller.")
            stream = Stream(organization, caller)
            self._streams.add(stream)
            if self._listener is None:
                self._listener = pubsub.Listener(self._heard, self._lost, self._back)
                self._listener.start()
                Thread(target=self._watch, name="stream-watch", daemon=True).start()
        return stream

    def close(self, stream: Stream) -> None:
        with self._lock:
            self._streams.discard(stream)

    def end(self) -> None:
        """End every stream, and let no new one in: the process stops."""
        self._over.set()
        self._tell(_BYE)

    def _heard(self, organization: str, number: int) -> None:
        self._tell(number, organization)

    def _back(self) -> None:
        self._tell(_GAP)

    def _lost(self) -> None:
        if time.monotonic() - self._told_gap >= _GAP_EVERY:
            self._told_gap = time.monotonic()
            self._tell(_GAP)

    def _tell(self, number: int, organization: str | None = None) -> None:
        with self._lock:
            chosen = [one for one in self._streams if organization is None or one.organization == organization]
        for stream in chosen:
            stream.news.put(number)

    def _watch(self) -> None:
        good = time.monotonic()
        while not self._over.wait(_WATCH):
            with self._lock:
                streams = list(self._streams)
            if not streams:
                good = time.monotonic()
                continue
            try:
                for stream in refused(streams):
                    stream.news.put(_BYE)
                good = time.monotonic()
            except Exception as error:  # whatever it is, the next look must come
                log.warning("streams are not re-authorised", reason=type(error).__name__)
                if time.monotonic() - good > _UNSEEN:
                    self._tell(_BYE)
            finally:
                connection.close()


def refused(streams: list[Stream]) -> list[Stream]:
    """The streams whose callers may no longer read their organization: three queries, however many there are."""
    now = timezone.now()
    keys = {one.caller.id for one in streams if one.caller.kind == "key"}
    people = {one.caller.id for one in streams if one.caller.kind == "user"}
    sessions = {one.caller.session for one in streams if one.caller.session}
    with Scope.system("re-authorise streams").enter():
        valid = ApiKey.objects.filter(pk__in=keys, revoked_at=None, scopes__contains=["dashboard:read"])
        good_keys = {str(key.pk) for key in valid if key.expires_at is None or key.expires_at > now}
        members = set(
            Membership.objects.filter(user_id__in=people, user__is_active=True).values_list(
                "user_id", "organization_id"
            )
        )
    administrators = set(
        User.objects.filter(pk__in=people, is_active=True, is_superuser=True).values_list("pk", flat=True)
    )
    open_sessions = set(
        Session.objects.filter(session_key__in=sessions, expire_date__gt=now).values_list("session_key", flat=True)
    )

    def may(one: Stream) -> bool:
        token = one.caller.token
        if token and token.expires_at <= now:
            return False
        if one.caller.kind == "key":
            return one.caller.id in good_keys
        person = int(one.caller.id)
        known = person in administrators or (person, one.organization) in members
        return known and (token is not None or one.caller.session in open_sessions)

    return [one for one in streams if not may(one)]


hub = Hub()


class Events:
    """The text of a stream: what is stale at once, then at every hint, and a heartbeat in between.

    `last_seen` is the Last-Event-ID of a listener that comes back: when nothing happened since, nothing is stale.
    Closing it gives the stream's place back, also when nothing of it was ever read (which a bare generator forgets).
    """

    def __init__(self, stream: Stream, panels: tuple[str, ...], last_seen: int | None) -> None:
        self._stream = stream
        self._text = _text(stream, panels, last_seen)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._text)

    def close(self) -> None:
        self._text.close()
        hub.close(self._stream)


def _text(stream: Stream, panels: tuple[str, ...], last_seen: int | None) -> Generator[bytes, None, None]:
    try:
        yield f"retry: {random.randint(1_000, 4_000)}\n\n".encode()  # noqa: S311 - spreads those that come back
        number = pubsub.sequence(stream.organization)
        if number is None or number != last_seen:
            yield _stale(panels, number)
        while True:
            try:
                number = stream.news.get(timeout=HEARTBEAT)
            except queue.Empty:
                yield b": heartbeat\n\n"
                continue
            while number != _BYE and not stream.news.empty():  # several hints at once are one
                number = stream.news.get()
            if number == _BYE:
                yield b"event: bye\nretry: 2000\ndata: {}\n\n"
                return
            yield _stale(panels, number or None)
    finally:
        hub.close(stream)


def _stale(panels: tuple[str, ...], number: int | None) -> bytes:
    data = json.dumps({"panels": panels, "asOf": text_of(timezone.now())})
    identifier = "" if number is None else f"id: {number}\n"
    return f"{identifier}event: stale\ndata: {data}\n\n".encode()


def end_with_the_process() -> None:
    """End all streams when the process is told to stop; called at import, in the main thread.

    The server puts handlers of its own in Python's place, but every signal still passes the wake-up descriptor.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        while number := reader.recv(1):
            if number[0] in (signal.SIGTERM, signal.SIGINT):
                hub.end()

    Thread(target=wait, name="stream-end", daemon=True).start()
    _kept.append(writer)


_kept: list[socket.socket] = []  # a collected socket would close its descriptor
