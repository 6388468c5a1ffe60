"""What a channel is: a frozen notice goes in, a receipt comes out, or one error that says what kind of failure it was.

Channels know no Django, no database and not each other. Each is one small file that ends in a `Transport`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

Audience = Literal["developer", "executive"]
Severity = Literal["critical", "warning", "info"]
# What happened: to an alert (the first three), or to the channel itself: somebody tries it, old notices were dropped,
# the switch that is pressed every minute.
Event = Literal["trigger", "acknowledge", "resolve", "test", "summary", "pulse"]
# What kind of failure it was; `outbox` has one table of what follows from each.
Failure = Literal[
    "timeout",  # no whole answer within the deadline
    "connection",  # refused, reset, cut, unreachable
    "dns",  # the name has no address now
    "server",  # 5xx
    "limited",  # 429, or 503 with Retry-After
    "client",  # 4xx: the request or the credentials are not taken
    "redirect",  # 3xx, which is never followed
    "tls",  # the certificate is not valid for the name, or no common version
    "address",  # the URL, or an address it resolves to, may not be called
    "partly",  # some of several recipients took it, and the others may take it later
    "refused",  # the receiver took the request and says that this notice will never do
    "gone",  # the receiver says that it is there no more: 410, a deleted hook, a revoked token
    "settings",  # the channel's settings are not enough to send anything
    "lost",  # the process that sent it ended in the middle
    "fault",  # our own code failed
]


class Notice(Struct, frozen=True, kw_only=True):
    """What one channel is told, in the words of its audience; all texts may be written by outsiders.

    `id` is one a delivery and the same at every try of it. `dedup_key` is one an episode of an alert, at most 255
    ASCII characters: receivers that key on it see one incident. An executive's notice has no labels and no metadata,
    and its `title` and `text` are plain words; `facts` are names and values worth showing, the most telling first.
    """

    id: str
    event: Event
    dedup_key: str
    audience: Audience
    organization: str  # slug
    organization_name: str
    severity: Severity
    status: str  # firing | acknowledged | resolved, as the event left it
    title: str  # one line, without the severity
    text: str  # what it means, or what was reported; may hold several lines
    facts: Sequence[tuple[str, str]] = ()
    alert_type: str = ""
    endpoint_id: str = ""
    model_name: str = ""
    labels: Mapping[str, str] = {}
    metadata: Mapping[str, Any] = {}
    fingerprint: str = ""
    episode: int = 1
    count: int = 1
    started_at: datetime  # when the alert began
    at: datetime  # when the event happened
    ended_at: datetime | None = None  # of a resolved one
    by: str = ""  # who acknowledged or resolved it
    note: str = ""  # what they wrote
    url: str = ""  # the alert's own page; "" where the cockpit does not know its public address
    runbook: str = ""
    reference: Mapping[str, Any] = {}  # what this channel answered to an earlier notice of the same alert
    so_far: Mapping[str, Any] = {}  # what an earlier try of this very notice left


class Receipt(Struct, frozen=True, kw_only=True):
    """What a receiver that took a notice said: its status, its words as they came, and what to find it by later."""

    status: int | None = None
    answer: str = ""
    reference: Mapping[str, Any] = {}


class DeliveryError(Exception):
    """A notice that was not taken.

    Args:
        kind: which of the kinds of failure.
        words: one line for people, without URLs, secrets and anything that the receiver wrote.
        status: of HTTP or SMTP, where there was one.
        answer: what the receiver wrote, as it came; it is scrubbed before it is stored.
        retry_after: seconds that the receiver asks to wait.
        unsure: it may have been taken all the same, as when an answer was cut off; or some of many have.
        reference: what the next try of the same notice must know; without one it is told what it was told before.
    """

    def __init__(
        self,
        kind: Failure,
        words: str,
        *,
        status: int | None = None,
        answer: str = "",
        retry_after: float | None = None,
        unsure: bool = False,
        reference: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(words)
        self.kind, self.words, self.status, self.answer = kind, words, status, answer
        self.retry_after, self.unsure, self.reference = retry_after, unsure, reference or {}


class Answer(Struct, frozen=True, kw_only=True):
    """An HTTP answer: names of headers in lower case, at most 64 KiB of body, never decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Client(Protocol):
    """The one outgoing HTTP client, as channels see it; `alerts.channels.http` is it."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Whatever the receiver answers, within the deadline.

        Raises:
            DeliveryError: timeout, connection, dns, tls or address; never for a status.
        """

    def url_problem(self, url: str) -> str | None:
        """Why this URL may not be called, in words for who types it ("must be https"), or None."""


class Mail(Struct, frozen=True, kw_only=True):
    """The server that takes e-mail, as the environment names it."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str  # the address that it is from


class Tools(Struct, frozen=True, kw_only=True):
    """What a transport may use; `mail` is None where no server is set, `bridge` False where it is switched off."""

    client: Client
    now: datetime
    mail: Mail | None = None
    bridge: bool = False
    seconds: float = 10.0  # for everything that one notice takes


class Field(Struct, frozen=True, kw_only=True):
    """One setting of a channel. A secret is sealed, and never shown again."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    travels: bool = False  # the receiver is sent this secret as it is
    required: bool = True
    kind: Literal["text", "url", "choice", "lines"] = "text"
    choices: Sequence[tuple[str, str]] = ()  # the first one is the default
    longest: int = 1000
    problem: Callable[[str], str | None] = lambda text: None  # why this text will not do ("must ..."), or None
    generated: Callable[[], str] | None = None  # makes the secret, which is shown once


class Transport(Struct, frozen=True, kw_only=True):
    """One kind of channel: what it must be told, how fast it may be told things, and how."""

    kind: str  # as stored
    title: str
    summary: str  # one sentence for who chooses
    fields: Sequence[Field]
    send: Callable[[Notice, Mapping[str, str], Tools], Receipt]  # raises DeliveryError
    problem: Callable[[Mapping[str, str]], str | None] = lambda settings: None  # of all fields together
    per_minute: int = 600  # notices, unless the channel says otherwise
    burst: int = 10
    at_once: int = 4
    events: Sequence[Event] = ("trigger", "acknowledge", "resolve", "test", "summary")  # those it is told of


def shortened(text: str, longest: int) -> str:
    """`text`, at most `longest` characters, with an ellipsis where something was cut."""
    return text if len(text) <= longest else f"{text[: max(0, longest - 1)].rstrip()}…"
