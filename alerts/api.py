"""The API of alerts: raised, listed, looked at, and whatever may be done to them; deployments, which are news."""

import hashlib
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from django.utils import timezone
from django.utils.http import parse_etags
from msgspec import structs
from rest_framework.exceptions import NotFound, PermissionDenied, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.views import APIView

from alerts import acting, answers, queries, raising, reading, serializers, wire
from alerts.acting import Verb
from alerts.answers import Answer
from alerts.moves import Refused
from alerts.schema import raises, reads, verbs
from alerts.serializers import Bulk, Deployment
from alerts.states import State
from alerts.wire import AlertPage, AlertTimeline
from bedrock import bodies, identifiers, parameters
from bedrock.problem import Fault
from monitoring.errors import BadItems, TooLarge
from organizations.access import Access, caller
from organizations.models import KeyScope

READ, WRITE = KeyScope.ALERTS_READ.value, KeyScope.ALERTS_WRITE.value
ADDRESS = "/api/monitoring/alerts"
_HEADER_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_NOT_THERE = "No such alert."
_encode = msgspec.json.Encoder().encode


class AlertsView(APIView):
    """The list of alerts, and the place where new ones are raised."""

    @property
    def needs(self) -> str:
        return WRITE if self.request.method == "POST" else READ

    @reads.listed
    def get(self, request: Request) -> HttpResponse:
        access = caller(request)
        named = parameters.read(request.query_params, queries.LISTED)
        asked = queries.read(named, _readable(access, named.get("organization")))
        found = reading.page(
            access.scope(READ), asked.wanted, ordering=asked.ordering, limit=asked.limit + 1, after=asked.after
        )
        shown, more = found[: asked.limit], len(found) > asked.limit
        names = reading.names(state.owner_id for state in shown)
        after = queries.cursor(asked, reading.place_of(shown[-1], asked.ordering)) if more else None
        return _json(200, _encode(AlertPage([wire.alert_of(state, names) for state in shown], after)))

    @raises.raised
    def post(self, request: Request) -> HttpResponse:
        plain = _plain(request)
        items = raising.read(plain)
        named = parameters.read(request.query_params, {"organization"}).get("organization")
        if isinstance(plain, list):
            make: Callable[..., Answer] = partial(raising.answer_all, items)
        else:
            make = partial(raising.answer_one, items[0])
        return _raised(request, named or raising.named_by(items), plain, make)


class AlertView(APIView):
    """One alert as it stands."""

    needs = READ

    @reads.read
    def get(self, request: Request, id: str) -> HttpResponse:
        parameters.read(request.query_params, ())
        return _json(200, _encode(_told(_found(caller(request), id))))


class TimelineView(APIView):
    """What happened to one alert."""

    needs = READ

    @reads.timeline
    def get(self, request: Request, id: str) -> HttpResponse:
        access = caller(request)
        named = parameters.read(request.query_params, {"limit", "cursor"})
        limit = queries.limit(named, queries.MOST)
        state = _found(access, id)
        skip = queries.lines_to_skip(named, state.id)
        lines = reading.timeline(access.scope(READ), state.id, skip=skip, limit=limit + 1)
        shown, more = lines[:limit], len(lines) > limit
        names = reading.names(wire.owners_in(shown))
        after = queries.cursor_of_lines(state.id, skip + limit) if more else None
        return _json(200, _encode(AlertTimeline([wire.event_of(line, names) for line in shown], after)))


class SummaryView(APIView):
    """How many alerts are open, in headers and as JSON: HEAD is enough to know."""

    needs = READ

    @reads.summary
    def get(self, request: Request) -> HttpResponse:
        access = caller(request)
        named = parameters.read(request.query_params, {"organization", "source"})
        organizations = _readable(access, named.get("organization"))
        sources = queries.words(named, "source", queries.SOURCES)
        content = wire.summary_of(reading.summary(access.scope(READ), organizations, sources), timezone.now())
        # Of everything but the age, which alone changes while nothing happens.
        tagged = _encode([sorted(organizations), sources, structs.replace(content, oldest_seconds=None)])
        tag = f'W/"{hashlib.blake2b(tagged, digest_size=12).hexdigest()}"'
        unchanged = tag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
        response = HttpResponse(status=304) if unchanged else _json(200, _encode(content))
        for name, value in wire.headers_of(content).items():
            response[name] = value
        response["ETag"] = tag
        response["Cache-Control"] = "private, no-cache"
        return response


class _VerbView(APIView):
    """One verb for one alert."""

    needs = WRITE
    verb: Verb

    @property
    def body_optional(self) -> bool:
        return not any(field.required for field in structs.fields(acting.BODIES[self.verb]))

    def act(self, request: Request, identifier: str) -> HttpResponse:
        access = caller(request)
        parameters.read(request.query_params, ())
        plain = _plain(request, empty={})
        one = _identifier(identifier)
        done = acting.act(access, self.verb, [one], plain, now=timezone.now(), via=_via(access))
        if fault := done.faults.get(one):
            raise _error(fault)
        outcome = done.outcomes[one]
        access.choose(outcome.state.organization_id, WRITE)
        if outcome.refused:
            raise Refused(outcome.refused)
        return _json(201 if self.verb == "comment" else 200, _encode(_told(outcome.state)))


class AcknowledgeView(_VerbView):
    verb = "acknowledge"

    @verbs.acknowledge
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class UnacknowledgeView(_VerbView):
    verb = "unacknowledge"

    @verbs.unacknowledge
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class AssignView(_VerbView):
    verb = "assign"

    @verbs.assign
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class ShelveView(_VerbView):
    verb = "shelve"

    @verbs.shelve
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class UnshelveView(_VerbView):
    verb = "unshelve"

    @verbs.unshelve
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class ResolveView(_VerbView):
    verb = "resolve"

    @verbs.resolve
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class ReopenView(_VerbView):
    verb = "reopen"

    @verbs.reopen
    def put(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class CommentView(_VerbView):
    verb = "comment"

    @verbs.comment
    def post(self, request: Request, id: str) -> HttpResponse:
        return self.act(request, id)


class BulkView(APIView):
    """One verb for several alerts, in one transaction."""

    needs = WRITE

    @verbs.bulk
    def post(self, request: Request) -> HttpResponse:
        access = caller(request)
        parameters.read(request.query_params, ())
        plain = _plain(request)
        bulk = serializers.demand(plain, Bulk)
        ids = list(dict.fromkeys(bulk.ids))
        rest = {name: value for name, value in plain.items() if name not in ("action", "ids")}
        done = acting.act(access, bulk.action, ids, rest, now=timezone.now(), via=_via(access))
        names = reading.names(outcome.state.owner_id for outcome in done.outcomes.values())
        content = acting.results(ids, done, names)
        status = 200 if not content.rejected else 400 if content.rejected == len(ids) else 207
        return _json(status, _encode(content))


class DeploymentsView(APIView):
    """That a version went live: an info alert, over by itself after a day."""

    needs = WRITE

    @raises.deployed
    def post(self, request: Request) -> HttpResponse:
        plain = _plain(request)
        body = serializers.demand(plain, Deployment)
        named = parameters.read(request.query_params, {"organization"}).get("organization")
        make = partial(raising.answer_deployment, body)
        return _raised(request, named or body.organization, plain, make)


def _raised(request: Request, named: str | None, plain: Any, make: Callable[..., Answer]) -> HttpResponse:
    """What `make` answers, or what it did when this Idempotency-Key was sent before."""
    access = caller(request)
    organization = access.choose(named, WRITE)
    scope, now = access.scope(WRITE), timezone.now()
    answer, replayed = answers.once(
        scope, organization, _header_key(request), (request.path, plain), now,
        partial(make, scope=scope, organization=organization, now=now, via=_via(access)),
    )  # fmt: skip
    response = _json(answer.status, answer.body)
    if answer.status == 201 and not isinstance(plain, list):
        response["Location"] = f"{ADDRESS}/{json.loads(answer.body)['id']}"
    if replayed:
        response["Idempotent-Replay"] = "true"
    return response


def _plain(request: Request, empty: Any = None) -> Any:
    """The JSON of the body; `empty` for none, where there is something that none means."""
    if empty is not None and not bodies.announced(request._request):
        return empty
    kind, _, rest = request.META.get("CONTENT_TYPE", "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", rest, re.IGNORECASE)
    if kind.strip().lower() != "application/json":
        raise UnsupportedMediaType(kind, "Send application/json.")
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(charset[1], "Only the charset utf-8 is read.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType(kind, "No content encoding is read.")
    body = bodies.read(request._request, serializers.MAX_BODY)
    if body is None:
        raise TooLarge(f"At most {serializers.MAX_BODY >> 10} KiB a request.")
    return empty if empty is not None and not body.strip() else serializers.parse(body)


def _header_key(request: Request) -> str | None:
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _HEADER_KEY.fullmatch(key):
        raise BadItems("The header Idempotency-Key must be 1 to 200 visible ASCII characters.")
    return key


def _readable(access: Access, named: str | None) -> list[str]:
    """The organization named, or all whose alerts the caller may read."""
    return [access.choose(named, READ)] if named is not None else list(access.scope(READ).organizations or ())


def _identifier(text: str) -> UUID:
    try:
        return identifiers.parse(text)
    except ValueError:
        raise NotFound(_NOT_THERE) from None


def _found(access: Access, identifier: str) -> State:
    state = reading.one(access.whole_scope, _identifier(identifier))
    if state is None:
        raise NotFound(_NOT_THERE)
    access.choose(state.organization_id, READ)
    return state


def _told(state: State) -> wire.Alert:
    return wire.alert_of(state, reading.names([state.owner_id]))


def _error(fault: Fault) -> Exception:
    if fault == acting.NOT_THERE:
        return NotFound(_NOT_THERE)
    if fault == acting.NOT_YOURS:
        return PermissionDenied(f"This needs the permission {WRITE}.")
    return BadItems("The body is not valid.", [msgspec.to_builtins(fault)])


def _via(access: Access) -> str:
    return "page" if access.kind == "user" else "api"


def _json(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(body, status=status, content_type="application/json")
