"""Health: alive (touches nothing), ready (database, schema, role, disk), and each part's state for those with a key."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpResponse, JsonResponse
from drf_spectacular.utils import F, OpenApiExample, OpenApiResponse, extend_schema
from msgspec import Meta, Struct
from msgspec.structs import replace
from rest_framework.request import Request
from rest_framework.views import APIView

from cockpit import signs
from cockpit.signs import NotKnown, NotWell, Sign
from monitoring import heartbeats
from monitoring.heartbeats import Failure
from organizations.access import Access
from organizations.database_roles import role_faults

log = structlog.get_logger(__name__)

_DEADLINE = 2.0  # seconds for a whole answer: Postgres' own time-outs do not fire on a frozen server
_LITTLE_DISK = 100 * 1024 * 1024
_LEAST = 0.2  # seconds for asking what was last wrong, when the parts have taken all of them

State = Literal["ok", "degraded", "down", "unknown"]


class Live(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Part(Struct, rename="camel", frozen=True):
    """How one part is, told to callers with a key or a session."""

    state: State
    latency_ms: Annotated[float | None, Meta(description="How long the look took; null for one part of another.")]
    error: Annotated[str | None, Meta(description="What is wrong; null while nothing is.")]
    age_seconds: Annotated[
        float | None, Meta(description="Since it was last seen well; null for a part that just answered, or never did.")
    ] = None
    last_error: Annotated[
        str | None, Meta(description="What was last wrong within thirty days; it stays when the part is well again.")
    ] = None
    last_error_at: Annotated[datetime | None, Meta(description="When that was last so.")] = None


class Health(Struct, frozen=True):
    """`ok`, `degraded` (all is served, but something is away or stale), or `down`; and each part.

    `unknown` is a part that nothing is known of yet; it changes no status.
    """

    status: Literal["ok", "degraded", "down"]
    parts: Annotated[Mapping[str, State | Part], Meta(description="By the name of the part.")]


def once(check: Callable[[], None]) -> Callable[[], None]:
    """A check of the database that, once it was passed, stays so for this process."""
    passed = Event()

    def asked() -> None:
        if passed.is_set():
            return
        try:
            check()
            passed.set()
        finally:
            connection.close()

    return asked


def _database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            if cursor.fetchone()[0] == "on":
                raise NotWell("read only")
    finally:
        connection.close()


@once
def _migrations() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotWell("migrations are not applied (manage.py migrate)")


@once
def _role() -> None:
    with connection.cursor() as cursor:
        if faults := role_faults(cursor):
            raise NotWell(f"the role of DATABASE_URL {faults[0]}")


def _disk() -> None:
    if settings.ENV.data_dir.is_dir() and shutil.disk_usage(settings.ENV.data_dir).free < _LITTLE_DISK:
        raise NotWell("less than 100 MiB free")


def _cache() -> None:
    cache.get("health")


# Part, its check, and whether the cockpit is ready without it.
Check = Callable[[], Sign | None]
_PARTS: tuple[tuple[str, Check, bool], ...] = (
    ("database", _database, False),
    ("migrations", _migrations, False),
    ("role", _role, False),
    ("disk", _disk, False),
    ("cache", _cache, True),
    ("broker", signs.broker, True),
    ("workers", signs.workers, True),
    ("beat", signs.beat, True),
    ("fold", signs.fold, True),
    ("dispatch", signs.dispatch, True),
    ("retention", signs.retention, True),
    ("alerts", signs.alerts, True),
    ("rules", signs.rules, True),
    ("probes", signs.probes, True),
)
_NAMES = tuple(name for name, _, _ in _PARTS)


Found = TypeVar("Found")
_pool = ThreadPoolExecutor(max_workers=len(_PARTS) + 1, thread_name_prefix="health")
_asked: dict[str, Future[Any]] = {}
_asking = Lock()
_well: dict[str, float] = {}  # when this process last saw a part well, on its monotonic clock
_own: dict[str, Failure] = {}  # what it last saw wrong


def _ask(name: str, question: Callable[[], Found]) -> Future[Found]:
    """Its answer; while one is awaited nobody asks again, so what hangs holds one thread and no more."""
    with _asking:
        if name not in _asked or _asked[name].done():
            _asked[name] = _pool.submit(question)
        return _asked[name]


def _look(names: Collection[str]) -> dict[str, Part]:
    """Each part's state within the deadline, whatever hangs; what a part is made of comes right behind it."""
    began = time.monotonic()
    until = began + _DEADLINE
    asked = [(name, spare, _ask(name, _timed(check))) for name, check, spare in _PARTS if name in names]
    found: dict[str, Part] = {}
    for name, spare, future in asked:
        bad: State = "degraded" if spare else "down"
        try:
            state, sign, seconds = future.result(timeout=max(0.0, until - time.monotonic()))
        except Late:
            state, sign, seconds = None, Sign(error=f"no answer within {_DEADLINE:.0f} s"), time.monotonic() - began
        found[name] = Part(state or bad, round(seconds * 1000, 1), sign.error, _age(sign, _since_well(name, state)))
        for each, one in sign.more.items():
            found[each] = Part(bad if one.error else "ok", None, one.error, _age(one))
        if state is None:
            log.warning("part not well", part=name, reason=sign.error)
            _own[name] = heartbeats.failure(sign.error or "", sign.age or 0.0)
    return found


Answer = tuple[State | None, Sign, float]  # None is not well; seconds


def _timed(check: Check) -> Callable[[], Answer]:
    """The check, telling how it went and how long it took."""

    def asked() -> Answer:
        began = time.monotonic()
        state, sign = _answer(check)
        return state, sign, time.monotonic() - began

    return asked


def _answer(check: Check) -> tuple[State | None, Sign]:
    try:
        return "ok", check() or Sign()
    except NotKnown as problem:
        return "unknown", problem.sign
    except NotWell as problem:
        return None, problem.sign
    except Exception as problem:
        return None, Sign(error=type(problem).__name__)  # its text may name hosts and users


def _since_well(name: str, state: State | None) -> float | None:
    """Seconds since this process saw the part well; nothing while it is."""
    if state == "ok":
        _well[name] = time.monotonic()
        return None
    return time.monotonic() - _well[name] if name in _well else None


def _age(sign: Sign, otherwise: float | None = None) -> float | None:
    age = otherwise if sign.age is None else sign.age
    return None if age is None else round(age, 1)


def _with_last_errors(found: dict[str, Part], until: float) -> dict[str, Part]:
    """The same parts with what was last wrong with each; without the broker, as far as this process has seen."""
    own = dict(_own)
    try:
        last = _ask("last errors", lambda: heartbeats.failures(own)).result(max(_LEAST, until - time.monotonic()))
    except Exception:
        last = own
    return {name: _remembering(part, last.get(name)) for name, part in found.items()}


def _remembering(part: Part, last: Failure | None) -> Part:
    if last is None:
        return part
    return replace(part, last_error=last.words, last_error_at=datetime.fromtimestamp(last.at, UTC))


def _overall(parts: Mapping[str, Part]) -> Literal["ok", "degraded", "down"]:
    states = {part.state for part in parts.values()}
    return "down" if "down" in states else "degraded" if "degraded" in states else "ok"


def _told(parts: Mapping[str, Part], *, in_words: bool) -> HttpResponse:
    """Words tell of the parts by name alone: which hosts there are is nobody's business."""
    overall = _overall(parts)
    words: dict[str, State | Part] = {name: parts[name].state for name in _NAMES if name in parts}
    told = words if in_words else parts
    return JsonResponse(msgspec.to_builtins(Health(overall, told)), status=503 if overall == "down" else 200)


def parts() -> dict[str, Part]:
    """Every part's state, latency and errors, for who may see all of it."""
    until = time.monotonic() + _DEADLINE
    return _with_last_errors(_look(_NAMES), until)


def _described(
    operation: str, summary: str, description: str, told: dict[int, tuple[Any, str, Any]]
) -> Callable[[F], F]:
    """Each status with its type, what it means, and an example."""
    responses = {
        status: OpenApiResponse(kind, words, [OpenApiExample(words.lower(), value=value)])
        for status, (kind, words, value) in told.items()
    }
    return extend_schema(
        operation_id=operation, summary=summary, description=description, tags=["Health"], responses=responses
    )


_WORDS: dict[str, Any] = {"database": "ok", "migrations": "ok", "role": "ok", "disk": "ok"}
_SPARE = dict.fromkeys(
    ("cache", "broker", "workers", "beat", "fold", "dispatch", "retention", "alerts", "rules", "probes"), "ok"
)
_DOWN: dict[str, Any] = {"status": "down", "parts": {**_WORDS, "database": "down"}}


class LiveView(APIView):
    """The process answers; touches nothing else, so that a failing part is no reason to kill it."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @_described("readLive", "Is the process alive?", "Touches nothing else.", {200: (Live, "Alive", {"status": "ok"})})
    def get(self, request: Request) -> HttpResponse:
        return JsonResponse(msgspec.to_builtins(Live("ok")))


class ReadyView(LiveView):
    """Whether requests can be served: 200, or 503 with the parts that are not well, in words."""

    @_described(
        "readReady",
        "Can requests be served?",
        "Looks at the database, its migrations and role, and the disk, for at most two seconds.",
        {200: (Health, "Ready", {"status": "ok", "parts": _WORDS}), 503: (Health, "Not ready", _DOWN)},
    )
    def get(self, request: Request) -> HttpResponse:
        return _told(_look(("database", "migrations", "role", "disk")), in_words=True)


def _is_ours(request: Request) -> bool:
    """Somebody with a key or a session; a token may be in the hands of anybody who looks at a page."""
    return isinstance(request.auth, Access) and request.auth.kind != "token"


class HealthView(APIView):
    """The whole state: words for everybody, latency, age and errors for a caller with a key or a session."""

    permission_classes = ()
    throttle_classes = ()

    def perform_authentication(self, request: Request) -> None:
        """Not yet: a database that hangs must not hold back the very answer that says so."""

    @_described(
        "readHealth",
        "How is the cockpit?",
        "Every part's state in a word; with a key or a session its latency, its age, what is wrong and what was last "
        "wrong as well, and every probe of every host. A broker, worker, beat, folder, dispatcher or probe that is "
        "away or stale is `degraded`: inferences are still taken and shown. Without the database, its schema and "
        "role, or room on the disk, it is `down`. Answers within about two seconds, whatever hangs.",
        {
            200: (Health, "Well enough to serve", {"status": "ok", "parts": {**_WORDS, **_SPARE}}),
            503: (Health, "Down", {"status": "down", "parts": {**_DOWN["parts"], **_SPARE, "probes": "degraded"}}),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        until = time.monotonic() + _DEADLINE
        found = _look(_NAMES)
        in_words = found["database"].state != "ok" or not _is_ours(request)
        return _told(found if in_words else _with_last_errors(found, until), in_words=in_words)
