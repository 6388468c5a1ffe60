"""A bridge to the many services of the Apprise library that have no channel of their own; off unless switched on."""

import re
from bisect import bisect
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import accumulate
from threading import BoundedSemaphore, Thread
from typing import Any

from msgspec import Struct

from alerts.channels.answers import demand_taken, demanded
from alerts.channels.apprised import Call, Unfit, apprise, plugin_for
from alerts.channels.base import DeliveryError, Event, Field, Notice, Receipt, Severity, Tools, Transport, shortened
from alerts.channels.wording import happened, link, one_line, origin, text, title, word

MOST_FACTS = 8
_MOST_AT_ONCE = 16  # calls; those that hang count until they end
_TURN_SECONDS = 1.0
_LEAST_TEXT = 20  # characters that have to be left beside a link


class Pager(Struct, frozen=True):
    """A service that keeps incidents: which settings of its plugin are an incident's key and link, and the actions.

    Of an acknowledgement or an end that it has no action for it is not told at all: it would take it for a new alert.
    """

    key: str
    actions: Mapping[Event, str]
    link: str = ""


_OPEN_AND_CLOSE: Mapping[Event, str] = {"trigger": "trigger", "resolve": "resolve"}
_ALL: Mapping[Event, str] = {**_OPEN_AND_CLOSE, "acknowledge": "acknowledge"}
_VICTOROPS = Pager("entity_id", {**_ALL, "trigger": "map", "acknowledge": "acknowledgement"})
# Opsgenie and Jira close alerts by ids that the plugin knows as long as it lives, so they are told of new ones alone.
_PAGERS: Mapping[str, Pager] = {
    "firehydrant": Pager("dedup", _OPEN_AND_CLOSE, link="click"),
    "ilert": Pager("dedup", _ALL, link="click"),
    "incidentio": Pager("dedup", _OPEN_AND_CLOSE, link="click"),
    "jira": Pager("alias", {"trigger": "new"}),
    "opsgenie": Pager("alias", {"trigger": "new"}),
    "pagerduty": Pager("dedup", _OPEN_AND_CLOSE, link="click"),
    "pagertree": Pager("thirdparty", {**_ALL, "trigger": "create"}),
    "signl4": Pager("external_id", _ALL),
    "splunk": _VICTOROPS,
    "squadcast": Pager("dedup", _OPEN_AND_CLOSE),
    "victorops": _VICTOROPS,
}
_TYPES: Mapping[Severity, str] = {"critical": "failure", "warning": "warning", "info": "info"}
# What services take for a call to everybody, or to somebody, also where outsiders wrote it.
_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all)\b)|<(?=[@!#]|at\b|users/)", re.IGNORECASE)
_ROOM = BoundedSemaphore(_MOST_AT_ONCE)


def url_problem(url: str) -> str | None:
    """Why this URL will not do ("must ..."), or None."""
    try:
        plugin_for(url.strip())
    except Unfit as unfit:
        return str(unfit)
    except ImportError:
        return None  # sending says so
    return None


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    if not tools.bridge:
        raise DeliveryError("settings", "The bridge is switched off; whoever runs the cockpit can switch it on.")
    url = demanded(settings, "url")
    scheme = url.partition("://")[0].lower()
    pager = _PAGERS.get(scheme)
    if pager and notice.event in ("acknowledge", "resolve") and notice.event not in pager.actions:
        return Receipt(answer="Nothing was sent: this service cannot be told of it.")
    try:
        plugin = plugin_for(url, _incident(pager, notice) if pager else {})
    except Unfit:
        raise DeliveryError("settings", "The URL is not, or no more, one that the bridge takes.") from None
    except ImportError:
        raise DeliveryError("settings", "The bridge needs the Apprise library, which is not installed.") from None
    call = Call(scheme, tools.client, tools.seconds)
    taken = _within(tools.seconds, lambda: _told(plugin, notice, call))
    return _receipt(call, taken, tools)


def _incident(pager: Pager, notice: Notice) -> Mapping[str, Any]:
    where = {pager.link: link(notice.url) or None} if pager.link else {}
    return {
        **where,
        pager.key: notice.dedup_key,
        "action": pager.actions.get(notice.event, pager.actions["trigger"]),
    }


def _within(seconds: float, work: Callable[[], bool]) -> bool:
    """What the work says, in a thread of its own that nobody has to wait for: plugins may sleep.

    Raises:
        DeliveryError: timeout.
    """
    room, done = _ROOM, Future[bool]()
    if not room.acquire(timeout=_TURN_SECONDS):
        raise DeliveryError("timeout", "Too many calls of the bridge hang.")

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # is raised where it is waited for
            done.set_exception(error)
        finally:
            room.release()

    try:
        Thread(target=run, name="bridge", daemon=True).start()
    except RuntimeError:  # the system gives no more threads
        room.release()
        raise DeliveryError("timeout", "Too many calls hang.") from None
    try:
        return done.result(seconds)
    except TimeoutError:
        raise DeliveryError("timeout", "The service did not answer in time.", unsure=True) from None


def _told(plugin: Any, notice: Notice, call: Call) -> bool:
    """Whether the plugin says that the notice was taken."""
    library = apprise()
    heading, body = written(notice, plugin)
    # It makes of plain text what the plugin takes, and of the plugin's errors a no.
    sender = library.Apprise(plugin, asset=plugin.asset)
    with call.on_its_way():
        return bool(
            sender.notify(title=heading, body=body, notify_type=_type(notice), body_format=library.NotifyFormat.TEXT)
        )


def _type(notice: Notice) -> str:
    if notice.event == "resolve":
        return "success"
    return _TYPES[notice.severity] if notice.event == "trigger" else "info"


def written(notice: Notice, plugin: Any) -> tuple[str, str]:
    """Title and body in the words of the audience, short enough for the service; the link is never cut."""
    odd = 6 if _writes_out(plugin) else 1  # what a sign takes where it is written out, as &nbsp;
    heading = shortened(_defused(f"{word(notice)}: {title(notice)}"), plugin.title_maxlen or plugin.body_maxlen // 3)
    facts = "\n".join(f"{one_line(name)}: {one_line(value)}" for name, value in notice.facts[:MOST_FACTS])
    parts = (happened(notice), text(notice), facts, origin(notice))
    told = _defused("\n\n".join(part for part in parts if part))
    room: int = plugin.body_maxlen
    if plugin.overflow_amalgamate_title:
        room -= _weight(heading, odd) + 16  # the library keeps so much free for counting parts
    elif plugin.title_maxlen <= 0:
        room -= _weight(heading, odd) + 4 * odd - 2  # it puts the title before the body, maybe in tags
    where = link(notice.url)
    left = room - _weight(where, odd) - 2 * odd
    if where and left >= _LEAST_TEXT * odd:
        return heading, f"{_cut(told, left, odd)}\n\n{where}"
    return heading, _cut(told, room, odd)


def _writes_out(plugin: Any) -> bool:
    """Whether plain text becomes longer on its way: by tags, by backslashes, by what the service itself wants."""
    library = apprise()
    plain = library.NotifyFormat.TEXT
    own_dialect = type(plugin).dialect_convert is not library.NotifyBase.dialect_convert
    return own_dialect or bool(plugin.resolve_format(plain) != plain)


def _weight(words: str, odd: int) -> int:
    """Characters that it takes, where all but letters and digits take `odd` each."""
    return sum(1 if letter.isalnum() else odd for letter in words)


def _cut(words: str, room: int, odd: int) -> str:
    """As much of `words` as finds room."""
    if _weight(words, odd) <= room:
        return words
    weights = list(accumulate(1 if letter.isalnum() else odd for letter in words))
    return shortened(words, max(1, bisect(weights, room - odd)))


def _defused(words: str) -> str:
    """`words` that call nobody by name."""
    return _MENTION.sub(lambda match: f"{match[0]}\N{ZERO WIDTH SPACE}", words)


def _receipt(call: Call, taken: bool, tools: Tools) -> Receipt:
    """What came of the last request.

    Raises:
        DeliveryError: what kept the notice from being taken.
    """
    last = call.last
    if last is None:
        raise DeliveryError("settings", "The service was not called: the URL does not say enough.")
    if isinstance(last, DeliveryError):
        raise last
    if not taken:
        demand_taken(last, now=tools.now)
        words = "The service answered, and did not take the notice."
        raise DeliveryError("refused", words, status=last.status, answer=last.text)
    return Receipt(status=last.status, answer=last.text)


TRANSPORT = Transport(
    kind="bridge",
    title="Bridge (Apprise)",
    summary="Telegram, Pushover, Twilio, Opsgenie and a hundred more services, by a URL of the Apprise library.",
    fields=(
        Field(
            name="url",
            label="Apprise URL",
            help="As https://appriseit.com/services/ writes it for the service, such as pover://user@token.",
            secret=True,
            problem=url_problem,
        ),
    ),
    send=send,
    per_minute=30,
    burst=5,
    at_once=2,
)
