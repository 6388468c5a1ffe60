"""What is logged: no secret by any road, nothing harmless spoilt, one JSON line an event whatever is in it."""

import hashlib
import io
import json
import logging
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from bedrock import redaction, telemetry

log = structlog.get_logger("tests.redaction")
standard = logging.getLogger("tests.redaction.standard")
Lines = Callable[[], list[str]]

_dice = random.Random(20260301)
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def made_up(length: int, letters: str = _LETTERS) -> str:
    return "".join(_dice.choice(letters) for _ in range(length))


_UPPER, _HEX = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", "0123456789abcdef"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The lines that the configured formatter writes, of structlog and of the standard library."""
    (configured,) = [
        handler.formatter
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(configured)
    for logger in (logging.getLogger("tests.redaction"), standard):
        # Straight to our handler: the report of the test run could not take what follows.
        monkeypatch.setattr(logger, "callHandlers", handler.handle, raising=False)
    return lambda: written.getvalue().splitlines()  # which splits at U+2028 as well


def one(lines: Lines) -> dict[str, Any]:
    (line,) = lines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


# --- secrets told by their shape: (kind, a template, the secret part) ---------------------------------------------

SHAPES = [
    ("our own key", "ck_abcdefghijk2_{}", made_up(43)),
    ("OpenAI", "sk-{}", made_up(48)),
    ("OpenAI project", "sk-proj-{}", made_up(60)),
    ("Anthropic", "sk-ant-api03-{}", made_up(90)),
    ("OpenRouter", "sk-or-v1-{}", made_up(64, _HEX)),
    ("Langfuse public", "pk-lf-{}", made_up(36, _HEX)),
    ("Hugging Face", "hf_{}", made_up(34)),
    ("GitHub personal", "ghp_{}", made_up(36)),
    ("GitHub server", "ghs_{}", made_up(36)),
    ("GitHub fine-grained", "token=github_pat_{}", made_up(60)),
    ("AWS access key", "AKIA{}", made_up(16, _UPPER)),
    ("AWS session key", "ASIA{}", made_up(16, _UPPER)),
    ("Google", "AIza{}", made_up(35)),
    ("Slack bot", "xoxb-{}", made_up(40)),
    ("Slack webhook", "https://hooks.slack.com/services/{}", f"T0{made_up(8)}/B0{made_up(8)}/{made_up(24)}"),
    ("webhook signing", "whsec_{}", made_up(32)),
    ("JWT", "eyJhbGciOiJIUzI1NiJ9.{}", f"{made_up(40)}.{made_up(43)}"),
    ("PEM", "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", made_up(64)),
    ("PEM cut short", "-----BEGIN PRIVATE KEY-----\n{}", made_up(64)),
    ("bearer", "Authorization: Bearer {}", made_up(30)),
    ("bearer alone", "bearer {}", made_up(12)),
    ("basic", "Authorization: Basic {}", "YWRtaW46aHVudGVyMmh1bnRlcjI="),
    ("Postgres URL", "postgresql://cockpit:{}@db.example:5432/cockpit", made_up(20)),
    ("Redis URL", "redis://:{}@cache.example:6379/0", made_up(20)),
    ("proxy URL", "http://user:{}@proxy.example", made_up(10)),
    ("password in words", "login failed with password={} for ada", made_up(10)),
    ("password in a sentence", "the password: {}", made_up(10)),
    ("quoted", "connect(user='ada', password='{}')", made_up(12)),
    ("DSN", "host=db user=cockpit password={} dbname=x", made_up(12)),
    ("query string", "GET /x?api_key={}&a=1", made_up(16)),
    ("token in words", "token: {}", made_up(16)),
    ("Sentry DSN", "https://{}@o1.ingest.sentry.io/2", made_up(32, _HEX)),
    ("person", "mail from {}", "ada.lovelace@analytical.example.org"),
    ("JSON in a text", '{{"user": "ada", "password": "{}"}}', made_up(12)),
    ("a mapping in an f-string", "{{'api_key': '{}'}}", made_up(24)),
    ("client secret", "POST client_secret={}", made_up(24)),
    ("access token", "GET /cb?access_token={}", made_up(24)),
    ("environment", "SECRET_KEY={} not set", made_up(50)),
    ("AWS secret", "AWS_SECRET_ACCESS_KEY={}", made_up(40)),
    ("environment password", "PGPASSWORD={} psql", made_up(12)),
    ("cookie", "Cookie: sessionid={}; theme=dark", made_up(32)),
    ("header", "X-Api-Key: {}", made_up(32)),
    ("Groq", "gsk_{}", made_up(52)),
    ("Stripe", "sk_live_{}", made_up(24)),
    ("GitLab", "glpat-{}", made_up(20)),
    ("GitHub fine-grained alone", "github_pat_{}", made_up(60)),
]  # fmt: skip
KINDS = [pytest.param(template, secret, id=kind) for kind, template, secret in SHAPES]


def fail(text: str) -> None:
    raise ValueError(text)


def by_event(text: str) -> None:
    log.warning(f"trying {text} now")


def by_field(text: str) -> None:
    log.warning("trying", detail=text)


def by_nested_field(text: str) -> None:
    log.warning("trying", detail={"deep": [{"note": ("a", text)}]})


def by_context(text: str) -> None:
    with structlog.contextvars.bound_contextvars(note=text):
        log.warning("trying")


def by_exception(text: str) -> None:
    try:
        fail(text)
    except ValueError:
        log.exception("failed")


def by_cause(text: str) -> None:
    try:
        try:
            fail(text)
        except ValueError as error:
            raise RuntimeError("the outer one") from error
    except RuntimeError:
        standard.exception("failed")


def by_argument(text: str) -> None:
    standard.warning("trying %s with %r", text, {"note": text})


def by_extra(text: str) -> None:
    standard.warning("trying", extra={"note": text})


def by_object(text: str) -> None:
    log.warning("trying", detail=ValueError(text))


def by_key(text: str) -> None:
    log.warning("trying", detail={text: 1})


CARRIERS = (
    by_event,
    by_field,
    by_nested_field,
    by_context,
    by_exception,
    by_cause,
    by_argument,
    by_extra,
    by_object,
    by_key,
)


class TestSecretsByShape:
    @pytest.mark.parametrize(("template", "secret"), KINDS)
    def test_none_is_written_whatever_carries_it(self, lines: Lines, template: str, secret: str) -> None:
        for carry in CARRIERS:
            carry(template.format(secret))
        written = lines()
        assert len(written) == len(CARRIERS)
        for carry, line in zip(CARRIERS, written, strict=True):
            assert secret not in line, carry.__name__
            assert secret[:12] not in line or "://" in secret, carry.__name__
            assert redaction.MASK in line or "[e-mail]" in line, carry.__name__

    def test_what_stands_around_it_stays(self, lines: Lines) -> None:
        log.warning("calling postgresql://ada:hunter2hunter2@db.example/cockpit for model=qwen2.5:7b")
        event = one(lines)["event"]
        assert event == f"calling postgresql://{redaction.MASK}@db.example/cockpit for model=qwen2.5:7b"

    def test_our_own_key_keeps_its_prefix_to_be_found_by(self, lines: Lines) -> None:
        log.warning("refused", key_text=f"ck_abcdefghijk2_{made_up(43)}")
        assert one(lines)["key_text"] == f"ck_abcdefghijk2_{redaction.MASK}"


SECRET_NAMES = (
    "password", "Password", "new_password1", "PASSWD", "pwd", "secret", "client_secret", "clientSecret", "SECRET_KEY",
    "api_key", "apiKey", "X-Api-Key", "HTTP_X_API_KEY", "authorization", "Authorization", "HTTP_AUTHORIZATION",
    "proxy-authorization", "auth", "token", "access_token", "refreshToken", "bearer", "cookie", "Set-Cookie",
    "HTTP_COOKIE", "sessionid", "session_key", "csrfmiddlewaretoken", "X-CSRFToken", "aws_secret_access_key",
    "private_key", "privateKey", "routing_key", "key", "KEY_PEPPER", "credentials", "DATABASE_URL", "redis_url",
)  # fmt: skip
OPEN_NAMES = (
    "tokens", "input_tokens", "outputTokens", "token_count", "model", "model_name", "author", "authority", "keyboard",
    "key_id", "primary_key", "idempotency_key", "organization", "request_id", "trace_id", "path", "route", "caller",
    "monkey", "turnkey", "passed", "compass", "secondary", "url", "host", "status", "reason", "duration_ms",
)  # fmt: skip


class TestSecretsByName:
    @pytest.mark.parametrize("name", SECRET_NAMES)
    @pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"a": "hunter2"}, 220022, b"hunter2"], ids=str)
    def test_whatever_it_is_it_is_not_written(self, lines: Lines, name: str, value: Any) -> None:
        log.warning("a", **{name: value})
        log.warning("a", fields={"deep": [{name: value}]})
        standard.warning("a", extra={name: value})
        written = "".join(lines())
        assert "hunter2" not in written
        assert "220022" not in written
        assert written.count(redaction.MASK) == 3

    @pytest.mark.parametrize("name", OPEN_NAMES)
    def test_other_names_keep_their_values(self, lines: Lines, name: str) -> None:
        log.warning("a", **{name: "plain"})
        assert one(lines)[name] == "plain"

    def test_an_empty_secret_is_seen_to_be_empty(self, lines: Lines) -> None:
        log.warning("a", password="", token=None)
        assert (one(lines)["password"], one(lines)["token"]) == ("", None)


# --- harmless texts ----------------------------------------------------------------------------------------------

SENTENCES = """
qwen2.5:7b | llama3.1:70b-instruct-q4_K_M | gpt-4o-mini-2024-07-18 | claude-3-5-sonnet@20241022
mistral/mixtral-8x7b | token count | input_tokens=120 | output_tokens=4096 max_tokens=512 | tokens: 12345
512 tokens/s | tokens per second = 35.2 | total tokens 1,234,567 | prompt_tokens=10 completion_tokens=20
token budget exceeded by 12 | the tokenizer: cl100k_base | GET /api/monitoring/dashboard?window=24h&compare=week
POST /api/monitoring/dashboard/inference 201 in 12.5 ms | 2026-03-01T12:00:00.000Z | 12:00:00 | 192.168.0.1:8080
[::1]:5432 | localhost:3001 | http://127.0.0.1:11434/api/generate | https://example.org/path?a=1&b=2#part
redis://cache.example:6379/0 | postgresql://db.example/cockpit | unix:///run/valkey.sock | key rotation done
key: primary | the key to the cache is cold | keys=3 | foreign key constraint "one_key_a_prefix"
password policy updated | password reset requested | the secret of good soup | secret santa | api key revoked
basic auth is off | basics of queues | bearer of news | bearer scheme missing | authorization header missing
cookie banner | status=success duration_us=120000 cost=0.001 | cost=0.30000000000000004 USD
error_type=rate_limited attempt=2 of 5 | relation "monitoring_rollup_delta" does not exist
no partition of relation found for row | lock timeout after 2 s
SELECT count(*) FROM monitoring_inference WHERE organization_id = 'shared' | UPDATE t SET a = 1 WHERE b <> 2
Traceback (most recent call last): | File "api.py", line 12, in post | ValueError: not a canonical UUID
KeyError: 'model' | fold moved 1200 deltas in 12 ms | partition made monitoring_inference_20260301
worker 3 of 16 ready | beat: keep-house | 50 % of requests | a@b | @channel | me @ work | a=b=c | x := y | =>
-> | :: | === | ... | naïve café | 你好 | مرحبا | 😀 | swaggystacks | scientia_capital | shared | owner
ada lovelace | user:42 | key:0190a5d2 | sk | pk | ghost | hf | xox | eyJ | risk-adjusted-return-on-capital
ask-me-anything-about-this | task-force-of-the-year-2026 | disk-usage-warning-threshold
desk-reservation-system-01 | flask-application-server-main | mask-rcnn-resnet-50-fpn-coco
work-stealing-scheduler | sha256:{sha} | etag W/"{short}" | commit {short} | checksum {md5}
trace {md5} span {span} | digest={sha} | model=qwen2.5:7b provider=ollama endpoint=gpu-1 | provider:openai
p50=12.5 p95=80.1 p99=120.9 | 1e-7 | 0x7ffe | 10^20
""".strip()


def benign() -> list[str]:
    """Some hundreds of texts such as a log of ours holds."""
    texts = [str(uuid.UUID(int=_dice.getrandbits(128))) for _ in range(90)]
    texts += [hashlib.new(kind, str(n).encode()).hexdigest() for n in range(40) for kind in ("md5", "sha1", "sha256")]
    texts += [f"{_dice.getrandbits(64):016x}" for _ in range(20)]
    fill = {
        "sha": hashlib.sha256(b"a").hexdigest(),
        "md5": hashlib.md5(b"a").hexdigest(),
        "short": "8eb97bb",
        "span": "b7ad6b7169203331",
    }
    for sentence in SENTENCES.replace("\n", " | ").split(" | "):
        for name, value in fill.items():
            sentence = sentence.replace(f"{{{name}}}", value)
        texts.append(sentence.strip())
    return texts


class TestHarmlessTexts:
    def test_of_many_hundred_hardly_one_is_altered(self) -> None:
        texts = benign()
        assert len(texts) >= 300
        altered = {text: told for text in texts if (told := redaction.redact_text(text)) != text}
        assert len(altered) <= len(texts) * 0.005, altered

    @pytest.mark.parametrize("text", ["basic information", "Basic authentication is off", "a bearer certificate"])
    def test_words_after_basic_and_bearer_are_no_secrets(self, text: str) -> None:
        assert redaction.redact_text(text) == text

    def test_values_that_are_no_text_keep_their_type(self, lines: Lines) -> None:
        log.warning("a", number=12, share=0.25, on=True, nothing=None, rows=[1, {"a": 2.5}])
        found = one(lines)
        assert [found[name] for name in ("number", "share", "on", "nothing", "rows")] == [
            12,
            0.25,
            True,
            None,
            [1, {"a": 2.5}],
        ]


# --- hostile texts ------------------------------------------------------------------------------------------------

HOSTILE = [
    'a\r\n{"level":"critical","event":"forged"}', "a\n\n\nb",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07", "\x00\x01\x08\x7f",
    "a\u2028b\u2029c\x85d\x0bd\x0ce", "\u202egnp.exe", "\ud800 alone \udfff", "\ufffe\uffff", "😀" * 50,
    '"}{"', "\\u0000\\n",
    "%s %d %n {} {0} {name}", "x" * 1_000_000, "\n" * 100_000, "é" * 20_000, "[" * 5_000,
]  # fmt: skip


def texts_of(value: Any) -> list[str]:
    """Every text in a JSON value, names included."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in texts_of(part)]
    return [text for item in value for text in texts_of(item)] if isinstance(value, list) else [str(value)]


class TestHostileTexts:
    @pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
    def test_every_event_is_one_json_line_of_bounded_fields(self, lines: Lines, text: str) -> None:
        for carry in CARRIERS:
            carry(text)
        written = lines()
        assert len(written) == len(CARRIERS)
        for line in written:
            found = json.loads(line)
            assert found["level"] in ("warning", "error")
            assert all(" " <= letter <= "~" for letter in line)  # escaped, whatever reads it
            assert max(map(len, texts_of(found))) <= redaction.LONGEST + 200

    def test_what_is_cut_says_how_long_it_was(self, lines: Lines) -> None:
        log.warning("a", body="x" * 1_000_000)
        body = one(lines)["body"]
        assert body.endswith("(1000000 characters)")
        assert len(body) < redaction.LONGEST + 100

    def test_hostile_names_are_one_line_too(self, lines: Lines) -> None:
        log.warning("a", **{"na\nme": 1, "level2\r": 2, '"': 3})
        (line,) = lines()
        assert json.loads(line)["na\nme"] == 1

    @pytest.mark.parametrize("name", ["x" * 10_000, "ada@example.org", "token=hunter2hunter2"])
    def test_a_name_that_must_be_altered_does_not_lose_the_line(self, lines: Lines, name: str) -> None:
        log.warning("a", **{name: 1}, other=2)
        assert one(lines)["other"] == 2


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def looped() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    return loop


class TestLoggingNeverRaises:
    @pytest.mark.parametrize(
        "value",
        [
            looped(),
            object(),
            b"\xff",
            {1: 2, None: 3, (1, 2): 4},
            {1, 2},
            float("nan"),
            10**400,
            uuid.uuid4(),
            Exception(),
            iter([]),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_whatever_is_given_it_is_written(self, lines: Lines, value: Any) -> None:
        log.warning("given", value=value)
        standard.warning("given %s", value)
        assert len([json.loads(line) for line in lines()]) == 2

    def test_not_by_what_cannot_be_turned_into_text(self, lines: Lines) -> None:
        log.warning("given", value=Unspeakable())
        standard.warning("given %s", Unspeakable())

    def test_not_by_a_closed_stream(self) -> None:
        handler = logging.StreamHandler(io.StringIO())
        handler.stream.close()
        logging.getLogger().addHandler(handler)
        try:
            log.warning("given")
            standard.warning("given")
        finally:
            logging.getLogger().removeHandler(handler)

    def test_not_by_wrong_arguments_of_the_standard_library(self, lines: Lines) -> None:
        standard.warning("%d of %s", "x")
        standard.warning("no place", "x")

    def test_not_by_wrong_arguments_of_structlog(self, lines: Lines) -> None:
        log.warning("%d of %s", "x")


class TestConfiguration:
    def test_it_can_be_done_twice_without_doubling_a_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        before = logging.getLogger().handlers[:]
        try:
            telemetry.configure(level="warning", form="auto")
            telemetry.configure(level="warning", form="json")
            log.warning("once", a=1)
            standard.info("below the level")
            told = capsys.readouterr().err.splitlines()
            assert [json.loads(line)["event"] for line in told] == ["once"]
            assert set(json.loads(told[0])) == {"event", "a", "level", "logger", "timestamp"}
        finally:
            logging.getLogger().handlers[:] = before

    def test_the_request_speaks_through_the_same_chain(self, lines: Lines) -> None:
        with structlog.contextvars.bound_contextvars(request_id="a-request"):
            standard.warning("a plain record", extra={"password": "hunter2"})
        found = one(lines)
        assert (found["request_id"], found["password"], found["logger"]) == (
            "a-request",
            redaction.MASK,
            "tests.redaction.standard",
        )
