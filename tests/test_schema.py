"""The description of the API is true: every example carried out, every status reached, every answer held against it."""

import gzip
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from alerts import serializers as alert_bodies
from alerts import switch
from alerts.models import Alert
from alerts.schema import parts
from alerts.services import create_alert
from cockpit.dashboard import stream
from monitoring import ingest, serializers
from organizations import limits
from organizations.models import KeyScope
from organizations.scope import Scope
from tests import channels
from tests.test_edge import closed_port, point_at

assert point_at  # the fixture that takes the database away

OWN = "swaggystacks"
METHODS = ("get", "post", "put", "patch", "delete")
PAGES = ("/api/docs", "/api/redoc")
GENERATOR_STATS.silent = True  # what it has to say is asked for below
SCHEMA: dict[str, Any] = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))
FAULTS = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
Make = Callable[..., Any]


@dataclass(frozen=True)
class Operation:
    """One operation of the description."""

    path: str
    method: str
    told: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.told["operationId"])

    @property
    def needs(self) -> str:
        """The permission it asks for, "" for none."""
        return next((needed[0] for one in self.told.get("security", []) for needed in one.values() if needed), "")

    @property
    def asks(self) -> bool:
        """Whether it has parameters of its own, and so refuses unknown ones."""
        return any(parameter["in"] in ("query", "path") for parameter in self.told["parameters"])

    def examples(self, status: str) -> Iterator[tuple[str, str, Any]]:
        """(media type, name, value) of every example of an answer."""
        for kind, content in self.told["responses"][status].get("content", {}).items():
            for name, example in content.get("examples", {}).items():
                yield kind, name, example["value"]

    def sent(self) -> Iterator[tuple[str, str, Any]]:
        """(media type, name, value) of every example of a body."""
        for kind, content in self.told.get("requestBody", {}).get("content", {}).items():
            for name, example in content["examples"].items():
                yield kind, name, example["value"]

    def asked(self) -> dict[str, dict[str, Any]]:
        """Name -> parameters of every example of a query."""
        found: dict[str, dict[str, Any]] = {}
        for parameter in self.told["parameters"]:
            for name, example in parameter.get("examples", {}).items():
                assert parameter["in"] == "query"
                found.setdefault(name, {})[parameter["name"]] = example["value"]
        return found


OPERATIONS = {
    told["operationId"]: Operation(path, method, told)
    for path, methods in SCHEMA["paths"].items()
    for method, told in methods.items()
}
_REGISTRY = Registry().with_resource("urn:api", Resource(contents=SCHEMA, specification=DRAFT202012))


def place(*parts: str) -> str:
    return "urn:api#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def assert_valid(value: Any, *parts: str) -> None:
    """A value held against the schema that stands at a place of the description."""
    validator = Draft202012Validator({"$ref": place(*parts)}, registry=_REGISTRY)
    faults = [f"{fault.json_path}: {fault.message}"[:300] for fault in validator.iter_errors(value)]
    assert faults == []


def content_of(answer: Any) -> Any:
    if answer["Content-Type"].startswith("text/event-stream"):
        with closing(answer):
            return next(answer.streaming_content).decode()
    text = answer.content.decode()
    return yaml.safe_load(text) if re.search("json|yaml", answer["Content-Type"]) else text


def assert_as_told(operation: Operation, answer: Any) -> Any:
    """An answer held against what is said of its status: type, body, headers. Gives the body."""
    status = str(answer.status_code)
    assert status in operation.told["responses"], (operation.name, status, answer.content[:300])
    told = operation.told["responses"][status]
    at = ("paths", operation.path, operation.method, "responses", status)
    for name, header in told["headers"].items():
        if name in answer.headers:
            value: Any = answer[name]
            assert_valid(int(value) if header["schema"]["type"] == "integer" else value, *at, "headers", name, "schema")
        else:
            assert not header.get("required"), (operation.name, status, name)
    if "content" not in told:
        assert answer.content == b""
        return None
    kind = answer["Content-Type"].partition(";")[0]
    assert kind in told["content"], (operation.name, status, kind)
    body = content_of(answer)
    assert_valid(body, *at, "content", kind, "schema")
    return body


def assert_same_shape(example: Any, real: Any) -> None:
    """An example has the fields of what is really answered; what may be absent or empty in one may be in the other."""
    if isinstance(example, dict):
        assert set(example) <= set(real), set(example) - set(real)
        for name, value in example.items():
            assert_same_shape(value, real[name])
    elif isinstance(example, list) and example and real:
        assert_same_shape(example[0], real[0])


@pytest.fixture(autouse=True)
def _no_tries_counted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_tallies", {})


class Desk:
    """Asks the operations, with a key that may do everything in its organization."""

    def __init__(self, make_key: Make, make_person: Make, settings: Any, point_at: Make) -> None:
        self.client = Client(raise_request_exception=False)
        self.make_key = make_key
        self.make_person = make_person
        self.settings = settings
        self.point_at = point_at
        self.key = make_key(OWN, *(set(KeyScope.values) - {"ingest:backfill"}))

    @cached_property
    def alert(self) -> str:
        """The id of an alert like the one in the examples, with a member who may own it."""
        self.make_person(parts.OWNER, **{OWN: "operator"})
        return self.raise_one()

    def raise_one(self) -> str:
        one = parts.ONE
        return str(create_alert(organization=OWN, alert_type=one["alertType"], severity=one["severity"],
                                message=one["message"], metadata=one["metadata"]).state.id)  # fmt: skip

    @cached_property
    def channel(self) -> str:
        """The id of a PagerDuty channel that is called back."""
        given = {"routing_key": "k" * 32, "webhook_secret": CALLED_BACK}
        return str(channels.channel(kind="pagerduty", organization=OWN, given=given))

    def real(self, text: str) -> str:
        """A text with what the examples stand for: an alert that there is, a time to come."""
        if parts.DEDUP_KEY in text:
            with Scope.of(OWN).enter():
                one = Alert.objects.get(pk=self.alert)
            text = text.replace(parts.DEDUP_KEY, f"{OWN}:{one.fingerprint}:{one.episode}")
        if parts.ID in text or "{id}" in text:
            text = text.replace(parts.ID, self.alert).replace("{id}", self.alert)
        return text.replace(parts.UNTIL, (datetime.now(UTC) + timedelta(hours=1)).isoformat())

    def ask(self, operation: Operation, body: Any = None, *, method: str = "", query: str = "", key: str | None = None,
            kind: str = "application/json", host: str = "testserver", **headers: str) -> Any:  # fmt: skip
        key = self.key if key is None else key
        if key:
            headers["authorization"] = f"Bearer {key}"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if isinstance(body, str):
            data = body.encode()
        if operation.name == "takePagerDutyWebhook":
            signed = hmac.new(CALLED_BACK.encode(), data, hashlib.sha256).hexdigest()
            headers.setdefault("x_pagerduty_signature", f"v1={signed}")
            operation = Operation(operation.path.replace("{id}", self.channel), operation.method, operation.told)
        path = self.real(f"{operation.path}?{query}" if query else operation.path)
        method = (method or operation.method).upper()
        return self.client.generic(method, path, data, content_type=kind, headers=headers, HTTP_HOST=host)


@pytest.fixture
def desk(make_key: Make, make_person: Make, settings: Any, point_at: Make) -> Desk:
    return Desk(make_key, make_person, settings, point_at)


ITEM = {"modelName": "m", "durationMs": 1}
CALLED_BACK = "a secret of the webhook back"


def good(desk: Desk, operation: Operation, **more: Any) -> Any:
    """Asked with the first body that is shown, where there is one."""
    _, _, body = next(operation.sent(), ("", "", None))
    body = ITEM if operation.name == "recordInferences" else body
    return desk.ask(operation, None if body is None else json.loads(desk.real(json.dumps(body))), **more)


def stranger(desk: Desk, operation: Operation) -> Any:
    return good(desk, operation, key="ck_unknown" if operation.name == "readHealth" else "")


def without_permission(desk: Desk, operation: Operation) -> Any:
    other = "alerts:read" if operation.needs != "alerts:read" else "ingest:write"
    return good(desk, operation, key=desk.make_key(OWN, other))


def too_often(desk: Desk, operation: Operation) -> Any:
    desk.settings.RATE_LIMIT_PER_MINUTE = 0
    return good(desk, operation)


def away(desk: Desk, operation: Operation) -> Any:
    assert desk.alert  # made while there is a database
    assert desk.channel
    desk.point_at(closed_port())
    return good(desk, operation)


def elsewhere(desk: Desk, operation: Operation) -> Any:
    """Asked about an organization, or an alert, that is not there."""
    if "{id}" not in operation.path:
        return good(desk, operation, query="organization=nobody_of_that_name")
    assert desk.alert  # and who may own it
    absent = Operation(operation.path.replace("{id}", str(uuid.uuid4())), operation.method, operation.told)
    return good(desk, absent)


def conflicting(desk: Desk, operation: Operation) -> Any:
    """A verb that cannot be done to an alert that is over, or of which another episode is open."""
    desk.ask(OPERATIONS["resolveAlert"])
    over = desk.alert
    if operation.name == "reopenAlert":
        desk.raise_one()
    return good(desk, Operation(operation.path.replace("{id}", over), operation.method, operation.told))


def too_large(desk: Desk, operation: Operation) -> Any:
    return desk.ask(operation, b" " * (alert_bodies.MAX_BODY + 1))


def unchanged(desk: Desk, operation: Operation) -> Any:
    return good(desk, operation, if_none_match=good(desk, operation)["ETag"])


def twice(first: Any, second: Any) -> Callable[[Desk, Operation], Any]:
    def ask(desk: Desk, operation: Operation) -> Any:
        assert desk.ask(operation, first).status_code == 201
        return desk.ask(operation, second)

    return ask


def key_used(desk: Desk, operation: Operation) -> Any:
    """The same header with a body that has one field less."""
    [(_, _, body), *_] = operation.sent()
    assert desk.ask(operation, body, idempotency_key="one").status_code == 201
    return desk.ask(operation, dict(list(body.items())[:-1]), idempotency_key="one")


DEPLOYMENT = {"service": "gateway", "version": "1"}
KEYED, BAD = {**ITEM, "idempotencyKey": "one"}, {**ITEM, "durationMs": -1}
How = Callable[[Desk, Operation], Any]
# How each status is reached: for every operation, and what is special about some.
ALWAYS: dict[str, How] = {
    "200": good,
    "304": unchanged,
    "400": lambda desk, one: good(
        desk, one, query="windw=1h" if one.asks else "", host="testserver" if one.asks else "evil.example"
    ),
    "401": stranger,
    "403": without_permission,
    "404": elsewhere,
    "405": lambda desk, one: good(desk, one, method="PATCH"),
    "409": conflicting,
    "413": too_large,
    "415": lambda desk, one: desk.ask(one, "a=b", kind="text/csv"),
    "429": too_often,
    "503": away,
}
SPECIAL: dict[str, dict[str, How]] = {
    "recordInferences": {
        "200": twice(KEYED, KEYED),
        "201": good,
        "207": lambda desk, one: desk.ask(one, [ITEM, BAD]),
        "413": lambda desk, one: desk.ask(one, b" " * (serializers.MAX_WIRE + 1)),
        "415": lambda desk, one: desk.ask(one, ITEM, kind="text/csv"),
        "422": twice(KEYED, {**KEYED, "durationMs": 2}),
    },
    "issueEmbedToken": {"201": good},
    "raiseAlerts": {
        "200": twice(parts.ONE, parts.ONE),
        "201": good,
        "207": lambda desk, one: desk.ask(one, [parts.ONE, {}]),
        "400": lambda desk, one: desk.ask(one, {}),
        "422": key_used,
    },
    "announceDeployment": {
        "200": twice(DEPLOYMENT, DEPLOYMENT),
        "201": good,
        "400": lambda desk, one: desk.ask(one, {}),
        "422": key_used,
    },
    "changeAlerts": {
        "207": lambda desk, one: desk.ask(one, {"action": "resolve", "ids": [desk.alert, str(uuid.uuid4())]}),
        "400": lambda desk, one: desk.ask(one, {}),
    },
    "commentAlert": {"201": good},
    "takePagerDutyWebhook": {"403": lambda desk, one: good(desk, one, x_pagerduty_signature="v1=0")},
}  # fmt: skip
STATUSES = [(name, status) for name, one in OPERATIONS.items() for status in one.told["responses"]]


class TestWhatIsTold:
    def test_it_is_openapi_3_1(self) -> None:
        assert SCHEMA["openapi"] == "3.1.0"
        validate_schema(SCHEMA)
        for schema in SCHEMA["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)

    def test_it_is_made_without_a_warning(self) -> None:
        assert FAULTS == []

    def test_every_route_is_in_it(self) -> None:
        patterns = [str(pattern.pattern) for pattern in get_resolver().url_patterns]
        routes = {"/" + re.sub(r"<\w+:(\w+)>", r"{\1}", pattern) for pattern in patterns}
        ours = {switch.PATH}  # our own processes' alone
        assert {route for route in routes if route.startswith("/api/")} == {*SCHEMA["paths"], *PAGES, *ours}

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_every_operation_is_told_whole(self, name: str) -> None:
        told = OPERATIONS[name].told
        assert re.fullmatch(r"[a-z]+[A-Z]\w+", name)
        assert told["summary"]
        assert told["description"]
        (tag,) = told["tags"]
        assert tag in {each["name"] for each in SCHEMA["tags"]}
        assert all(parameter["description"] for parameter in told["parameters"])
        for status, answer in told["responses"].items():
            assert answer["description"], status
            assert answer["headers"]["X-Request-ID"]["required"]
            assert all(header["description"] for header in answer["headers"].values())
            assert all(content.get("examples") for content in answer.get("content", {}).values()), status
        assert all(content["examples"] for content in told.get("requestBody", {}).get("content", {}).values())
        if needs := OPERATIONS[name].needs:
            assert f"`{needs}`" in told["description"]

    def test_the_limits_of_an_inference_are_in_it(self) -> None:
        schema = SCHEMA["components"]["schemas"]["Item"]
        fields = schema["properties"]
        assert set(schema["required"]) == {"modelName", "durationMs"}
        assert schema["additionalProperties"] is False
        assert (fields["modelName"]["minLength"], fields["modelName"]["maxLength"]) == (1, 200)
        assert fields["durationMs"]["maximum"] == 86_400_000
        assert set(fields["status"]["enum"]) == {"success", "error", "timeout", "cancelled", "rate_limited"}
        assert fields["source"]["enum"] == list(serializers._WIRE_SOURCES)
        cost = fields["cost"]["anyOf"][0]
        assert (cost["type"], cost["format"], cost["minimum"]) == (["string", "number"], "decimal", 0)
        assert cost["exclusiveMaximum"] == ingest.MONEY_BELOW
        assert fields["tags"]["anyOf"][0]["maxProperties"] == ingest.MAX_TAGS
        assert SCHEMA["components"]["schemas"]["Inferences"]["anyOf"][0]["maxItems"] == serializers.MAX_ITEMS

    def test_money_is_told_as_a_decimal_string(self) -> None:
        cost = SCHEMA["components"]["schemas"]["Totals"]["properties"]["cost"]["anyOf"][0]
        assert (cost["type"], cost["format"]) == ("string", "decimal")

    def test_limits_in_the_words_are_those_of_the_code(self) -> None:
        words = SCHEMA["info"]["description"]
        assert f"{serializers.MAX_ITEMS:,} inferences" in words
        assert f"{stream.MOST_A_CALLER} open streams" in words


class TestStatuses:
    @pytest.mark.parametrize(("name", "status"), STATUSES)
    def test_every_one_is_really_answered_and_as_told(self, desk: Desk, name: str, status: str) -> None:
        operation = OPERATIONS[name]
        answer = ({**ALWAYS, **SPECIAL.get(name, {})})[status](desk, operation)
        assert answer.status_code == int(status), answer.content[:300]
        body = assert_as_told(operation, answer)
        kind = answer.get("Content-Type", "").partition(";")[0]
        sent = {named for _, named, _ in operation.sent()}
        for told, named, example in operation.examples(status):
            assert_valid(
                example, "paths", operation.path, operation.method, "responses", status, "content", told, "schema"
            )
            if told == kind == "application/problem+json":
                assert (example["title"], example["status"]) == (body["title"], body["status"])
            if told == kind and named not in sent:
                assert_same_shape(example, body)

    @pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.method == "get"])
    def test_head_is_get_without_a_body(self, desk: Desk, name: str) -> None:
        asked, told = (good(desk, OPERATIONS[name], method=method) for method in ("HEAD", "GET"))
        assert asked.status_code == told.status_code == 200
        assert asked.content == b""
        assert asked["Content-Type"] == told["Content-Type"]
        if told.streaming:
            told.close()

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_options_tell_what_an_address_takes(self, desk: Desk, name: str) -> None:
        answer = good(desk, OPERATIONS[name], method="OPTIONS")
        assert answer.status_code == 200
        assert OPERATIONS[name].method.upper() in answer["Allow"]

    def test_a_full_house_of_streams_is_429_and_503(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        for limit, status in (("MOST_A_CALLER", 429), ("MOST_AN_ORGANIZATION", 429), ("MOST_A_PROCESS", 503)):
            with monkeypatch.context() as patched:
                patched.setattr(stream, limit, 0)
                answer = desk.ask(OPERATIONS["followDashboard"])
                assert answer.status_code == status
                assert assert_as_told(OPERATIONS["followDashboard"], answer)["title"] == "Too many streams"


LOCKED = [name for name, one in OPERATIONS.items() if one.needs]


class TestCredentials:
    def schemes(self, name: str) -> set[str]:
        return {scheme for one in OPERATIONS[name].told["security"] for scheme in one}

    @pytest.mark.parametrize("name", LOCKED)
    def test_those_that_are_told_open_it(self, desk: Desk, make_person: Make, name: str) -> None:
        assert {"apiKey", "session"} <= self.schemes(name) <= {"apiKey", "session", "embedToken"}
        desk.client.force_login(make_person("grace", swaggystacks="owner"))
        answer = good(desk, OPERATIONS[name], key="")
        assert answer.status_code < 300
        if answer.streaming:
            answer.close()

    @pytest.mark.parametrize("name", LOCKED)
    def test_a_token_opens_what_says_so_and_nothing_else(self, desk: Desk, name: str) -> None:
        token = desk.ask(OPERATIONS["issueEmbedToken"]).json()["token"]
        answer = good(desk, OPERATIONS[name], key=token)
        assert answer.status_code == (200 if "embedToken" in self.schemes(name) else 403)
        if answer.streaming:
            answer.close()


ALERT_OPERATIONS = {name for name, one in OPERATIONS.items() if one.told["tags"] == ["Alerts"]}
# What has to be sent before an example.
BEFORE = {"Repeated": "Repeated", "KeyUsedBefore": "Repeated"}
SENT = [(one.name, kind, name) for one in OPERATIONS.values() for kind, name, _ in one.sent()]
ASKED = [(one.name, name) for one in OPERATIONS.values() for name in one.asked()]


class TestExamples:
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize(("name", "kind", "example"), SENT)
    def test_each_that_is_sent_is_answered_as_its_namesake_says(
        self, desk: Desk, name: str, kind: str, example: str, packed: bool
    ) -> None:
        operation = OPERATIONS[name]
        bodies = {(media, named): value for media, named, value in operation.sent()}
        (status,) = {
            status
            for status in operation.told["responses"]
            for _, named, _ in operation.examples(status)
            if named == example
        }
        assert_valid(
            bodies[kind, example], "paths", operation.path, operation.method, "requestBody", "content", kind, "schema"
        )
        if name in ALERT_OPERATIONS:
            bodies = {named: json.loads(desk.real(json.dumps(value))) for named, value in bodies.items()}
        if example in BEFORE:
            assert desk.ask(operation, bodies[kind, BEFORE[example]], kind=kind).status_code == 201
        body = bodies[kind, example]
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        if packed and name == "recordInferences":
            answer = desk.ask(operation, gzip.compress(raw), kind=kind, content_encoding="gzip")
        else:
            answer = desk.ask(operation, raw, kind=kind)
        assert answer.status_code == int(status), answer.content
        real = assert_as_told(operation, answer)
        (told,) = [value for _, named, value in operation.examples(status) if named == example]
        assert_same_shape(told, real)
        for field in ("title", "detail", "errors", "stored", "rejected", "duplicates", "organization"):
            assert told.get(field) == real.get(field), field

    @pytest.mark.parametrize(("name", "example"), ASKED)
    def test_each_that_is_asked_is_answered(self, desk: Desk, name: str, example: str) -> None:
        operation = OPERATIONS[name]
        given = operation.asked()[example]
        for parameter in operation.told["parameters"]:
            if parameter["name"] in given:
                position = str(operation.told["parameters"].index(parameter))
                assert_valid(given[parameter["name"]], "paths", operation.path, "get", "parameters", position, "schema")
        words = {name: ",".join(value) if isinstance(value, list) else value for name, value in given.items()}
        answer = good(desk, operation, query="&".join(f"{field}={value}" for field, value in words.items()))
        assert answer.status_code == 200, answer.content
        assert_as_told(operation, answer)

    def test_a_key_in_the_header_replays_the_first_answer(self, desk: Desk) -> None:
        operation = OPERATIONS["recordInferences"]
        first, again = (desk.ask(operation, [ITEM, ITEM], idempotency_key="a-batch") for _ in range(2))
        assert first.content == again.content
        assert "Idempotent-Replay" not in first
        assert again["Idempotent-Replay"] == "true"
        assert assert_as_told(operation, again)["stored"] == 2

    def test_those_of_bodies_and_of_parameters_are_both_there(self) -> None:
        assert len(SENT) >= 10
        assert len(ASKED) >= 3


class TestServing:
    def test_json_and_yaml_say_the_same(self, client: Client) -> None:
        served = client.get("/api/schema")
        assert served["Content-Type"] == "application/json"
        assert served.json() == SCHEMA
        written = client.get("/api/schema?format=yaml")
        assert written["Content-Type"] == "application/yaml"
        assert yaml.safe_load(written.content) == SCHEMA

    def test_another_format_is_refused(self, client: Client) -> None:
        answer = client.get("/api/schema?format=xml")
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {"pointer": "?format", "code": "invalid", "message": "must be one of json, yaml"}
        ]

    def test_it_asks_nobody(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def asked(*_: Any, **__: Any) -> None:
            raise AssertionError("the description needs no database")

        monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", asked)
        for path in ("/api/schema", *PAGES):
            assert client.get(path, headers={"authorization": "Bearer nonsense"}).status_code == 200

    def test_the_pages_name_nothing_of_other_hosts(self, client: Client) -> None:
        for path in PAGES:
            text = client.get(path).content.decode()
            assert "/api/schema" in text
            assert not re.search(r"https?://", text)

    def test_only_redoc_is_allowed_more_and_nothing_unsafe(self, client: Client) -> None:
        usual = client.get("/api/schema")["Content-Security-Policy"]
        assert client.get("/api/docs")["Content-Security-Policy"] == usual
        more = client.get("/api/redoc")["Content-Security-Policy"]
        assert re.sub(r" 'sha256-[^']+'|; worker-src blob:", "", more) == usual
        assert "unsafe" not in more
