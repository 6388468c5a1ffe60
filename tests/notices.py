"""Notices for the tests of channels: one of every event and audience, and texts as nobody wishes them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from alerts.channels.base import Answer, Audience, Client, DeliveryError, Event, Notice, Severity, Tools

BEGAN = datetime(2026, 3, 1, 12, 0, 5, 250_000, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=12, seconds=40)
EVENTS: tuple[Event, ...] = ("trigger", "acknowledge", "resolve", "test", "summary")
AUDIENCES: tuple[Audience, ...] = ("developer", "executive")
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
STATUSES: Mapping[Event, str] = {"acknowledge": "acknowledged", "resolve": "resolved"}

_COMMON: dict[str, Any] = {
    "organization": "swaggystacks",
    "organization_name": "SwaggyStacks",
    "severity": "critical",
    "dedup_key": "swaggystacks:9f2c1e:ep3",
    "started_at": BEGAN,
    "url": "https://cockpit.example/alerts/42",
    "runbook": "https://runbooks.example/errors?model=qwen2.5",
}
_WORDS: dict[Audience, dict[str, Any]] = {
    "developer": {
        "title": "high_error_rate on qwen2.5:7b",
        "text": "API error rate exceeded 5% threshold\nfirst seen at <gateway> & \"edge\"",
        "facts": (("Value", "7 %"), ("Limit", "5 %"), ("Model", "qwen2.5:7b")),
        "labels": {"region": "eu", "team": "ml"},
        "metadata": {"errorRate": 0.07, "window": "5m", "seen": [1, None, {"deep": True}]},
    },
    "executive": {
        "title": "Many answers fail",
        "text": "About one in fourteen questions to the assistant gets no answer.",
        "facts": (("How bad", "Serious"),),
    },
}  # fmt: skip
_OF_EVENT: Mapping[Event, dict[str, Any]] = {
    "acknowledge": {"by": "ada", "note": "looking at the cache"},
    "resolve": {"by": "ada", "note": "it was the cache", "ended_at": NOW},
    "test": {"title": "This is a test", "text": "Nothing is wrong.", "severity": "info", "dedup_key": "test:1",
             "facts": (), "labels": {}, "metadata": {}, "started_at": NOW, "runbook": ""},
    "summary": {"title": "3 older notices were not sent", "text": "They were more than a day old.",
                "severity": "warning", "dedup_key": "summary:1", "facts": (), "labels": {}, "metadata": {},
                "started_at": NOW, "runbook": ""},
}  # fmt: skip
_OF_ALERTS: dict[str, Any] = {"alert_type": "high_error_rate", "endpoint_id": "gateway-1", "model_name": "qwen2.5:7b",
                              "fingerprint": "9f2c1e", "episode": 3, "count": 17}  # fmt: skip


def notice(event: Event = "trigger", audience: Audience = "developer", **changes: Any) -> Notice:
    of_alert = {} if event in ("test", "summary", "pulse") else _OF_ALERTS
    fields = {**_COMMON, **_WORDS[audience], **of_alert, **_OF_EVENT.get(event, {})}
    made = Notice(
        id=f"0195-{event}", event=event, audience=audience, status=STATUSES.get(event, "firing"), at=NOW, **fields
    )
    return structs.replace(made, **changes)


class Posts:
    """A `Client` that keeps what it was to post, and gives one answer after the other; the last one goes on."""

    def __init__(self, *answers: Answer | DeliveryError) -> None:
        self._answers = list(answers) or [said()]
        self.posts: list[tuple[str, bytes, Mapping[str, str]]] = []

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.posts.append((url, body, headers))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, DeliveryError):
            raise answer
        return answer

    def url_problem(self, url: str) -> str | None:
        return None


def said(status: int = 200, body: bytes | str = b"ok", **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=names, body=body.encode() if isinstance(body, str) else body)


def tools(client: Client, **changes: Any) -> Tools:
    return Tools(**{"client": client, "now": NOW, **changes})


# Whatever a notice may hold: no lone surrogates and no NUL, but everything else.
_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_PIECES: Sequence[str] = (
    "<!channel>", "<!here|now>", "<@U0123ABCD>", "<#C0123ABCD>", "<https://evil.example|click>", "&lt;!everyone&gt;",
    "&", "&&&amp", "<", ">", "|", "\r\nBcc: mallory@example.com\r\n\r\n", "\n.\r\nQUIT\r\n",
    "=?utf-8?q?=0D=0ABcc:_m@x?=",
    "=?utf-8?b?DQpCY2M6IG1AeA==?=", "=", "?", "\u200b", "\u202e\u2066", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳", "مرحبا بالعالم", "שלום",
    "👩‍👩‍👧‍👦", "𝔘𝔫𝔦", "\"quotes\"", "\\", "\\u0000", "\x1b[31m", "\x7f\x85\u2028\u2029",
    "</h1><script>alert(1)</script>",
    "{{DATE(2017-02-14T06:08:00Z,SHORT)}}", "${title}", "{title}", "%s", "[a](javascript:alert(1))", "*_~`", "\t", " ",
    "\n\n\n", "\ufeff", "\ufffe", "@channel #general", "\x0b\x0c", "é" * 50, "a" * 200,
)  # fmt: skip
short_texts = st.lists(st.one_of(st.sampled_from(_PIECES), st.text(_letters, max_size=20)), max_size=6).map("".join)
texts = st.one_of(
    short_texts,
    st.tuples(short_texts, st.integers(1, 3000)).map(lambda made: (made[0] * made[1])[:40_960]),
)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
              short_texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(short_texts, inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip


@st.composite
def notices(draw: st.DrawFn) -> Notice:
    """Any notice that may come: texts from outside, times and links of ours."""
    event = draw(st.sampled_from(EVENTS))
    changes: dict[str, Any] = {
        "severity": draw(st.sampled_from(SEVERITIES)),
        **{name: draw(texts) for name in ("title", "text", "note")},
        **{name: draw(short_texts) for name in ("by", "organization_name", "alert_type", "endpoint_id", "model_name")},
        "facts": tuple(draw(st.lists(st.tuples(short_texts, texts), max_size=14))),
        "labels": draw(st.dictionaries(short_texts, short_texts, max_size=4)),
        "metadata": draw(st.dictionaries(short_texts, _json, max_size=3)),
        "runbook": draw(st.one_of(short_texts, short_texts.map("https://runbooks.example/".__add__))),
        "url": draw(st.sampled_from(("", "https://cockpit.example/42", "https://cockpit.example/" + "a" * 1900))),
        "count": draw(st.integers(1, 10**9)),
    }
    return notice(event, draw(st.sampled_from(AUDIENCES)), **changes)


def for_any_notice(test: Callable[..., None]) -> Callable[..., None]:
    """The test, given one notice after the other; long texts take their time."""
    patient = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    return patient(given(one=notices())(test))
