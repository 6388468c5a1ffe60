"""POST /api/monitoring/dashboard/inference: what is stored, what is refused, and in which words."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from bedrock import identifiers
from monitoring.store import current_store
from monitoring.store.base import Query, Summary
from organizations.models import Organization
from organizations.scope import Scope

URL = "/api/monitoring/dashboard/inference"
GOOD = {"modelName": "qwen2.5:7b", "durationMs": 120}
Post = Callable[..., Any]


@pytest.fixture
def post(make_key: Callable[..., str], client: Client) -> Post:
    """Posts a body (bytes, or anything JSON) with a key of swaggystacks."""
    keys: dict[str, str] = {}

    def send(body: Any, *, kind: str = "application/json", path: str = URL, key: str = "", **headers: str) -> Any:
        if not key and "key" not in keys:
            keys["key"] = make_key("swaggystacks", "ingest:write")
        headers = {"authorization": f"Bearer {key or keys['key']}", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(path, data, content_type=kind, headers=headers)

    return send


def stored(organization: str = "swaggystacks", **query: Any) -> Summary:
    """Everything there is of one organization."""
    now = datetime.now(UTC)
    whole = Query(start=datetime(2000, 1, 1, tzinfo=UTC), end=now + timedelta(hours=1), **query)
    return current_store().totals(Scope.of(organization), [whole])[0].get((), Summary())


def pointers(response: Any) -> set[str]:
    return {error["pointer"] for error in response.json()["errors"]}


class TestOne:
    def test_it_works(self, post: Post) -> None:
        response = post({**GOOD, "cost": "0.001", "inputTokens": 5})
        assert response.status_code == 201, response.content
        body = response.json()
        assert set(body) == {"id", "organization", "occurredAt"}
        assert body["organization"] == "swaggystacks"
        moment = identifiers.moment_of(identifiers.parse(body["id"]))
        assert identifiers.text_of(moment) == body["occurredAt"]
        assert abs(datetime.now(UTC) - moment) < timedelta(seconds=10)
        assert stored().cost == Decimal("0.001")

    def test_it_takes_every_field(self, post: Post) -> None:
        at = datetime.now(UTC) - timedelta(hours=3)
        everything = {
            **GOOD, "cost": 0.25, "revenue": "1.5", "organization": "swaggystacks", "provider": "ollama",
            "endpointId": "endpoint-1", "inputTokens": 100, "outputTokens": 50, "cacheReadTokens": 10,
            "cacheWriteTokens": 5, "reasoningTokens": 7, "timeToFirstTokenMs": 30.5, "status": "error",
            "errorType": "overloaded", "attempt": 2, "userId": "ada", "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": "b7ad6b7169203331", "occurredAt": at.isoformat(), "estimated": True, "source": "replay",
            "idempotencyKey": "one", "tags": {"team": "search", "beta": True, "n": 3, "naïve": "ünïcode"},
        }  # fmt: skip
        response = post(everything)
        assert response.status_code == 201, response.content
        call = current_store().latest(Scope.of("swaggystacks"), "swaggystacks", limit=1)[0]
        assert (call.model_name, call.provider, call.endpoint_id, call.status) == (
            "qwen2.5:7b", "ollama", "endpoint-1", "error",
        )  # fmt: skip
        assert (call.duration_ms, call.ttft_ms, call.estimated, call.source) == (120.0, 30.5, True, "replay")
        assert abs(call.occurred_at - at) < timedelta(milliseconds=1)
        assert stored().retries == 1

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("0.1", "0.1"), (0.1, "0.1"), (0, "0"), ("12345678.123456789012", "12345678.123456789012"),
            (0.30000000000000004, "0.30000000000000004"), (1e-7, "0.0000001"), (1.25e-16, "0.000000000000000125"),
            ("999999999.999999", "999999999.999999"),
        ],
    )  # fmt: skip
    def test_it_keeps_money_exactly(self, post: Post, sent: Any, kept: str) -> None:
        assert post({**GOOD, "cost": sent}).status_code == 201
        assert stored().cost == Decimal(kept)

    def test_it_counts_an_absent_cost_as_unpriced_and_never_as_zero(self, post: Post) -> None:
        post(GOOD)
        assert (stored().cost, stored().unpriced) == (None, 1)
        post({**GOOD, "cost": None})
        assert (stored().cost, stored().unpriced) == (None, 2)
        post({**GOOD, "cost": 0})
        assert (stored().cost, stored().unpriced) == (Decimal(0), 2)

    def test_it_never_keeps_a_user_id(self, post: Post, database: str) -> None:
        post({**GOOD, "userId": "ada@example.org"})
        from monitoring.models import Inference

        with Scope.of("swaggystacks").enter():
            row = Inference.objects.get()
        assert len(row.user_hash or "") == 32
        assert "ada" not in str(row.user_hash)


HOSTILE: list[tuple[str, bytes, str]] = [
    ("no model", b'{"durationMs":1}', "/modelName"),
    ("no duration", b'{"modelName":"a"}', "/durationMs"),
    ("empty model", b'{"modelName":"","durationMs":1}', "/modelName"),
    ("blank model", b'{"modelName":"  ","durationMs":1}', "/modelName"),
    ("long model", b'{"modelName":"%s","durationMs":1}' % (b"a" * 201), "/modelName"),
    ("model a number", b'{"modelName":1,"durationMs":1}', "/modelName"),
    ("NaN duration", b'{"modelName":"a","durationMs":NaN}', ""),
    ("Infinity", b'{"modelName":"a","durationMs":Infinity}', ""),
    ("duration as text", b'{"modelName":"a","durationMs":"1"}', "/durationMs"),
    ("negative duration", b'{"modelName":"a","durationMs":-1}', "/durationMs"),
    ("10^20", b'{"modelName":"a","durationMs":1,"inputTokens":100000000000000000000}', "/inputTokens"),
    ("1e400", b'{"modelName":"a","durationMs":1e400}', "/durationMs"),
    ("4,400 digits", b'{"modelName":"a","durationMs":1,"inputTokens":%s}' % (b"9" * 4400), ""),
    ("negative cost", b'{"modelName":"a","durationMs":1,"cost":-1}', "/cost"),
    ("negative cost text", b'{"modelName":"a","durationMs":1,"cost":"-1"}', "/cost"),
    ("cost NaN text", b'{"modelName":"a","durationMs":1,"cost":"NaN"}', "/cost"),
    ("cost sNaN text", b'{"modelName":"a","durationMs":1,"cost":"sNaN"}', "/cost"),
    ("cost exponent", b'{"modelName":"a","durationMs":1,"cost":1E+999999999}', "/cost"),
    ("cost exponent text", b'{"modelName":"a","durationMs":1,"cost":"1E+5"}', "/cost"),
    ("cost underscore", b'{"modelName":"a","durationMs":1,"cost":"1_0"}', "/cost"),
    ("cost fullwidth", '{"modelName":"a","durationMs":1,"cost":"１"}'.encode(), "/cost"),
    ("cost too large", b'{"modelName":"a","durationMs":1,"cost":1000000000}', "/cost"),
    ("cost too precise", b'{"modelName":"a","durationMs":1,"cost":1e-31}', "/cost"),
    ("cost boolean", b'{"modelName":"a","durationMs":1,"cost":true}', "/cost"),
    ("revenue object", b'{"modelName":"a","durationMs":1,"revenue":{}}', "/revenue"),
    ("NUL in model", b'{"modelName":"a\\u0000","durationMs":1}', "/modelName"),
    ("raw control", b'{"modelName":"a\x01","durationMs":1}', ""),
    ("lone surrogate", b'{"modelName":"\\ud800","durationMs":1}', "/modelName"),
    ("surrogate in tags", b'{"modelName":"a","durationMs":1,"tags":{"k":"\\udfff"}}', "/tags"),
    ("NUL in a tag's name", b'{"modelName":"a","durationMs":1,"tags":{"k\\u0000":"v"}}', "/tags/k\\u0000"),
    ("tags too many", json.dumps({**GOOD, "tags": {str(n): n for n in range(33)}}).encode(), "/tags"),
    ("tags nested", b'{"modelName":"a","durationMs":1,"tags":{"a":{"b":1}}}', "/tags"),
    ("tag beyond 2^53", b'{"modelName":"a","durationMs":1,"tags":{"a":9007199254740993}}', "/tags/a"),
    ("unknown field", b'{"modelName":"a","durationMs":1,"model":"b"}', "/model"),
    ("read-only field", b'{"modelName":"a","durationMs":1,"id":"b"}', "/id"),
    ("field twice", b'{"modelName":"a","durationMs":1,"durationMs":2}', ""),
    ("tag twice", b'{"modelName":"a","durationMs":1,"tags":{"a":1,"a":2}}', ""),
    ("field twice, spaced", b'{"modelName" :"a","modelName":"b","durationMs":1}', ""),
    ("cost twice, spaced", b'{"modelName":"a","durationMs":1,"cost"\t:"1","cost":"2"}', ""),
    ("tag twice, spaced", b'{"modelName":"a","durationMs":1,"tags":{"a" :1,"a":2}}', ""),
    ("field twice, escaped", b'{"modelName":"a","m\\u006fdelName":"b","durationMs":1}', ""),
    ("odd money under an escaped name", b'{"modelName":"a","durationMs":1,"c\\u006fst":"1_0"}', "/cost"),
    ("DEL", b'{"modelName":"a\x7f","durationMs":1}', "/modelName"),
    ("zero with an exponent", b'{"modelName":"a","durationMs":1,"cost":0E+99999999999}', "/cost"),
    ("surrogate in a field's name", b'{"modelName":"a","durationMs":1,"\\ud800":1}', "/"),
    ("many unknown fields", json.dumps({**GOOD, **{f"x{n}": n for n in range(500)}}).encode(), "/x0"),
    ("bad status", b'{"modelName":"a","durationMs":1,"status":"ok"}', "/status"),
    ("demo from outside", b'{"modelName":"a","durationMs":1,"source":"demo"}', "/source"),
    ("attempt 0", b'{"modelName":"a","durationMs":1,"attempt":0}', "/attempt"),
    ("no zone", b'{"modelName":"a","durationMs":1,"occurredAt":"2026-01-01T00:00:00"}', "/occurredAt"),
    ("leap second", b'{"modelName":"a","durationMs":1,"occurredAt":"2026-01-01T23:59:60Z"}', "/occurredAt"),
    ("year 1", b'{"modelName":"a","durationMs":1,"occurredAt":"0001-01-01T00:00:00+14:00"}', "/occurredAt"),
    ("year 9999", b'{"modelName":"a","durationMs":1,"occurredAt":"9999-12-31T23:59:59-14:00"}', "/occurredAt"),
    ("trace id", b'{"modelName":"a","durationMs":1,"traceId":"a b"}', "/traceId"),
    ("deep", b'{"modelName":"a","durationMs":1,"tags":' + b"[" * 100_000, ""),
    ("deep and closed", b'{"modelName":"a","durationMs":1,"tags":' + b"[" * 40 + b"]" * 40 + b"}", ""),
    ("null", b"null", ""),
    ("a text", b'"x"', ""),
    ("empty", b" ", ""),
    ("cut short", b'{"modelName":"a"', ""),
    ("trailing", b'{"modelName":"a","durationMs":1} x', ""),
    ("byte order mark", b'\xef\xbb\xbf{"modelName":"a","durationMs":1}', ""),
    ("UTF-16", '{"modelName":"a","durationMs":1}'.encode("utf-16"), ""),
    ("not UTF-8", b'{"modelName":"\xff","durationMs":1}', ""),
]


class TestBadInput:
    @pytest.mark.parametrize(("body", "pointer"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
    def test_it_names_the_field_and_stores_nothing(self, post: Post, body: bytes, pointer: str) -> None:
        response = post(body)
        assert response.status_code == 400, response.content
        assert response["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == 400
        assert problem["requestId"] == response["X-Request-ID"]
        assert any(error["pointer"].startswith(pointer) and error["message"] for error in problem["errors"])
        assert stored().inferences == 0

    @pytest.mark.parametrize("body", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
    def test_beside_a_good_one_it_is_refused_alone(self, post: Post, body: bytes) -> None:
        line = body.replace(b"\n", b" ")
        good = json.dumps({**GOOD, "modelName": "good"}).encode()
        response = post(good + b"\n" + line + b"\n" + good, kind="application/x-ndjson")
        expected = 201 if not line.strip() else 207  # an empty line is no inference
        assert response.status_code == expected, response.content
        assert response.json()["stored"] == stored().inferences == 2

    def test_it_tells_every_fault_at_once(self, post: Post) -> None:
        response = post({"durationMs": -1, "cost": "x", "nope": 1, "status": "ok", "tags": 3})
        assert pointers(response) == {"/modelName", "/durationMs", "/cost", "/nope", "/status", "/tags"}

    @pytest.mark.parametrize(
        ("kind", "headers"),
        [
            ("text/plain", {}), ("", {}), ("application/x-www-form-urlencoded", {}),
            ("multipart/form-data; boundary=x", {}), ("application/json; charset=utf-7", {}),
            ("application/json", {"content-encoding": "br"}),
        ],
    )  # fmt: skip
    def test_other_content_is_415(self, post: Post, kind: str, headers: dict[str, str]) -> None:
        response = post(GOOD, kind=kind, **headers)
        assert response.status_code == 415
        assert response["Content-Type"] == "application/problem+json"

    def test_too_large_is_413(self, post: Post) -> None:
        response = post(b"[" + b" " * (2 * 1024 * 1024) + b"]")
        assert response.status_code == 413
        assert "2 MiB" in response.json()["detail"]

    def test_too_many_is_413(self, post: Post) -> None:
        response = post([GOOD] * 5_001)
        assert response.status_code == 413
        assert "5000" in response.json()["detail"]
        assert stored().inferences == 0

    def test_too_many_values_are_413_before_they_are_decoded(self, post: Post) -> None:
        body = gzip.compress(b"[" + b"1," * 600_000 + b"1]")
        assert post(body, **{"content-encoding": "gzip"}).status_code == 413

    def test_an_answer_does_not_grow_far_beyond_the_question(self, post: Post) -> None:
        response = post({**GOOD, **{f"x{n}": n for n in range(5_000)}})
        assert response.status_code == 400
        assert len(response.content) < 10_000
        assert "more faults" in response.json()["errors"][-1]["message"]

    def test_pieces_of_lines_make_no_inference(self, post: Post) -> None:
        one = json.dumps(GOOD).encode()
        body = one + b"," + one + b'\n{"modelName":"c"\n"durationMs":1}'
        response = post(body, kind="application/x-ndjson")
        assert response.status_code == 400
        assert response.json()["rejected"] == 3
        assert stored().inferences == 0

    def test_a_gzip_bomb_is_413(self, post: Post) -> None:
        bomb = gzip.compress(b"[" + b" " * (64 * 1024 * 1024) + b"]")
        assert len(bomb) < 2 * 1024 * 1024
        assert post(bomb, **{"content-encoding": "gzip"}).status_code == 413

    @pytest.mark.parametrize(
        "body", [b"not gzip", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x"], ids=["none", "cut", "more"]
    )
    def test_broken_gzip_is_400(self, post: Post, body: bytes) -> None:
        assert post(body, **{"content-encoding": "gzip"}).status_code == 400

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_other_methods_are_405(self, make_key: Callable[..., str], client: Client, method: str) -> None:
        response = getattr(client, method)(URL, headers={"authorization": f"Bearer {make_key()}"})
        assert response.status_code == 405
        assert "POST" in response["Allow"]


class TestBatches:
    def test_all_stored_is_201(self, post: Post) -> None:
        response = post([{**GOOD, "cost": "0.5"}] * 3)
        assert response.status_code == 201
        body = response.json()
        assert (body["stored"], body["duplicates"], body["rejected"]) == (3, 0, 0)
        assert [row["status"] for row in body["results"]] == ["stored"] * 3
        assert len({row["id"] for row in body["results"]}) == 3
        assert stored().cost == Decimal("1.5")

    def test_some_stored_is_207(self, post: Post) -> None:
        response = post([GOOD, {"modelName": "x"}, {**GOOD, "cost": -1}])
        assert response.status_code == 207
        body = response.json()
        assert (body["stored"], body["rejected"]) == (1, 2)
        assert body["results"][1]["errors"][0]["pointer"] == "/durationMs"
        assert body["results"][2]["index"] == 2
        assert stored().inferences == 1

    def test_none_stored_is_400(self, post: Post) -> None:
        response = post([{"modelName": "x"}])
        assert response.status_code == 400
        assert response.json()["rejected"] == 1

    @pytest.mark.parametrize("body", [b"[]", b"[1", b"[1]]", b"[NaN]"])
    def test_no_list_of_inferences_is_400(self, post: Post, body: bytes) -> None:
        assert post(body).status_code == 400

    def test_lines_and_gzip_work(self, post: Post) -> None:
        lines = b"\n".join(json.dumps({**GOOD, "inputTokens": n}).encode() for n in range(1, 101)) + b"\r\n\n"
        response = post(gzip.compress(lines), kind="application/x-ndjson", **{"content-encoding": "gzip"})
        assert response.status_code == 201, response.content
        assert stored().input_tokens == 5050

    def test_gzip_may_come_in_several_members(self, post: Post) -> None:
        line = json.dumps(GOOD).encode() + b"\n"
        body = gzip.compress(line) + gzip.compress(line)
        assert post(body, kind="application/x-ndjson", **{"content-encoding": "gzip"}).json()["stored"] == 2

    def test_texts_with_escapes_are_kept_as_sent(self, post: Post) -> None:
        name = 'a "quoted" back\\slash \u2028 and \U0001f600'
        assert post([{**GOOD, "modelName": name, "tags": {"t": 'x\\y"z'}}, GOOD]).status_code == 201
        assert name in {
            call.model_name for call in current_store().latest(Scope.of("swaggystacks"), "swaggystacks", limit=9)
        }


class TestIdempotency:
    def test_the_same_again_gives_the_first_id(self, post: Post) -> None:
        first = post({**GOOD, "idempotencyKey": "k", "cost": "0.10"})
        again = post({"cost": 0.1, "idempotencyKey": "k", **GOOD})
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == {**first.json(), "duplicate": True}
        assert stored().inferences == 1

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            ({"cost": 0}, {"cost": -0.0}), ({"cost": "1.50"}, {"cost": 1.5}), ({}, {"organization": "swaggystacks"}),
            ({"occurredAt": "{now}Z"}, {"occurredAt": "{now}+00:00"}),
        ],
    )  # fmt: skip
    def test_spelling_is_no_other_content(self, post: Post, first: dict[str, Any], again: dict[str, Any]) -> None:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
        for sent, status in ((first, 201), (again, 200)):
            told = {name: value.format(now=now) if isinstance(value, str) else value for name, value in sent.items()}
            assert post({**GOOD, "idempotencyKey": "k", **told}).status_code == status

    def test_other_content_is_422(self, post: Post) -> None:
        post({**GOOD, "idempotencyKey": "k"})
        assert post({**GOOD, "idempotencyKey": "k", "cost": 1}).status_code == 422
        assert stored().inferences == 1

    def test_inside_one_batch(self, post: Post) -> None:
        response = post([{**GOOD, "idempotencyKey": "k"}] * 2 + [{**GOOD, "idempotencyKey": "k", "cost": 1}, GOOD])
        body = response.json()
        assert [row["status"] for row in body["results"]] == ["stored", "duplicate", "rejected", "stored"]
        assert (response.status_code, body["stored"], body["duplicates"], body["rejected"]) == (207, 2, 1, 1)
        assert body["results"][0]["id"] == body["results"][1]["id"]
        assert stored().inferences == 2

    def test_another_organization_has_keys_of_its_own(self, post: Post, make_key: Callable[..., str]) -> None:
        post({**GOOD, "idempotencyKey": "k"})
        other = make_key("scientia_capital", "ingest:write")
        assert post({**GOOD, "idempotencyKey": "k", "cost": 2}, key=other).status_code == 201

    def test_the_header_replays_the_answer(self, post: Post) -> None:
        first = post([GOOD, {**GOOD, "cost": 1}], **{"idempotency-key": "batch-1"})
        again = post([GOOD, {**GOOD, "cost": 1}], **{"idempotency-key": "batch-1"})
        assert again.json() == first.json()
        assert again["Idempotent-Replay"] == "true"
        assert "Idempotent-Replay" not in first
        assert stored().inferences == 2

    def test_the_header_replays_a_single_answer(self, post: Post) -> None:
        first = post(GOOD, **{"idempotency-key": "one"})
        again = post(GOOD, **{"idempotency-key": "one"})
        assert (again.status_code, again.json()) == (201, first.json())
        assert again["Idempotent-Replay"] == "true"

    @pytest.mark.parametrize("key", ["", "x" * 201, "a b", "ü"])
    def test_a_bad_header_is_400(self, post: Post, key: str) -> None:
        assert post(GOOD, **{"idempotency-key": key}).status_code == 400

    def test_header_and_field_together_are_400(self, post: Post) -> None:
        assert post({**GOOD, "idempotencyKey": "k"}, **{"idempotency-key": "h"}).status_code == 400


class TestTime:
    @pytest.mark.parametrize("back", [timedelta(days=6, hours=23), timedelta(0), -timedelta(minutes=9)])
    def test_the_last_seven_days_are_open(self, post: Post, back: timedelta) -> None:
        at = datetime.now(UTC) - back
        assert post({**GOOD, "occurredAt": at.isoformat()}).status_code == 201

    @pytest.mark.parametrize("back", [timedelta(days=7, minutes=1), -timedelta(minutes=11)])
    def test_beyond_them_is_refused(self, post: Post, back: timedelta) -> None:
        response = post({**GOOD, "occurredAt": (datetime.now(UTC) - back).isoformat()})
        assert pointers(response) == {"/occurredAt"}

    def test_backfill_reaches_back_to_2000_and_counts_in_rollups_alone(
        self, post: Post, make_key: Callable[..., str]
    ) -> None:
        key = make_key("swaggystacks", "ingest:write", "ingest:backfill")
        assert post({**GOOD, "occurredAt": "2001-02-03T04:05:06Z", "cost": "7"}, key=key).status_code == 201
        assert post({**GOOD, "occurredAt": "1999-12-31T23:59:59Z"}, key=key).status_code == 400
        assert stored().cost == Decimal(7)
        assert current_store().latest(Scope.of("swaggystacks"), "swaggystacks", limit=1) == []
        current_store().fold()
        assert stored().cost == Decimal(7)


class TestOrganization:
    def test_another_one_is_404(self, post: Post) -> None:
        for other in ("scientia_capital", "shared", "nobody", ""):
            assert post({**GOOD, "organization": other}).status_code == 404
        assert stored("scientia_capital").inferences == stored().inferences == 0

    def test_another_one_in_a_batch_is_refused_alone(self, post: Post) -> None:
        response = post([GOOD, {**GOOD, "organization": "scientia_capital"}])
        assert response.status_code == 207
        assert response.json()["results"][1]["errors"][0]["code"] == "not-found"

    def test_names_beyond_the_cap_count_as_other(self, post: Post) -> None:
        Organization.objects.filter(pk="swaggystacks").update(max_names=3)
        for batch in range(3):
            post([{**GOOD, "modelName": f"model-{batch}-{n}", "endpointId": f"e{n}"} for n in range(4)])
        now = datetime.now(UTC)
        query = Query(start=now - timedelta(hours=1), end=now + timedelta(hours=1), by=("model",))
        models = current_store().totals(Scope.of("swaggystacks"), [query])[0]
        assert len(models) == 4
        assert models[("__other__",)].inferences == 9
        assert sum(one.inferences for one in models.values()) == 12


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Basic abc",
            "Bearer",
            "Bearer x",
            "Bearer ck_abcdefghijkl_" + "a" * 43,
            "Bearer " + "x" * 1_000_000,
            "Bearer ck_\x00",
        ],
    )
    def test_every_other_key_reads_the_same(self, database: str, client: Client, header: str) -> None:
        headers = {"authorization": header} if header else {}
        response = client.post(URL, b"{}", content_type="application/json", headers=headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")
        assert response["Content-Type"] == "application/problem+json"

    def test_a_key_without_the_scope_is_403(self, post: Post, make_key: Callable[..., str]) -> None:
        assert post(GOOD, key=make_key("swaggystacks", "dashboard:read")).status_code == 403

    def test_a_key_in_the_query_string_is_refused(self, post: Post, make_key: Callable[..., str]) -> None:
        assert post(GOOD, path=f"{URL}?api_key={make_key()}").status_code == 400

    def test_too_many_requests_are_429(self, post: Post, settings: Any) -> None:
        settings.RATE_LIMIT_PER_MINUTE = 2
        answers = [post(GOOD) for _ in range(4)]
        assert answers[-1].status_code == 429
        assert 1 <= int(answers[-1]["Retry-After"]) <= 60
