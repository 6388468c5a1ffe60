"""Dashboards in pages of other origins: whose pages may ask, the tokens they ask with, and what those cannot do."""

import json
import re
import string
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from bedrock import origins, redaction
from cockpit import env
from cockpit.dashboard import stream
from organizations import access, limits, tokens
from organizations.access import key_ring
from organizations.models import ApiKey, AuditEvent, Membership, User
from organizations.scope import Scope
from tests import servers
from tests.test_environment import SECRETS, faults, names, read
from tests.test_leaks import templates

MAKE = "/api/monitoring/embed-token"
DATA = "/api/monitoring/dashboard"
STREAM = "/api/monitoring/stream"
INFERENCE = "/api/monitoring/dashboard/inference"
READING = (DATA, STREAM, "/api/monitoring/panels")
OWN, OTHER = "swaggystacks", "scientia_capital"
PAGE, STRANGER = "https://app.example.org", "https://evil.example"
PROBLEM = "application/problem+json"
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_tries_counted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_tallies", {})


@pytest.fixture
def embedding(settings: Any) -> None:
    """A cockpit whose dashboards PAGE may show."""
    settings.EMBED_ORIGINS = (PAGE,)


def client() -> Client:
    return Client(raise_request_exception=False)


def bearer(text: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}", **more}


def ask(text: str, query: str = "", **headers: str) -> Any:
    """A POST for a token with a key (or whatever `text` is)."""
    return client().generic("POST", f"{MAKE}{query}", headers=bearer(text, **headers))


@pytest.fixture
def key(make_key: Make) -> str:
    return str(make_key(OWN))


@pytest.fixture
def token(key: str) -> str:
    answer = ask(key)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["token"])


def signed_in(person: User, **more: Any) -> Client:
    found = Client(raise_request_exception=False, **more)
    found.force_login(person)
    return found


def update_keys(**values: Any) -> None:
    """As another process would: nothing in this one hears of it."""
    with Scope.system("test").enter():
        ApiKey.objects.update(**values)


def trail() -> list[AuditEvent]:
    with Scope.system("test").enter():
        return list(AuditEvent.objects.filter(object_type="token").order_by("id"))


def cors(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith("access-control")}


def vary(answer: Any) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get("Vary", "").split(",")}


def preflight(path: str, origin: str = PAGE, method: str = "GET", headers: str = "authorization") -> Any:
    asked = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}
    return client().options(path, headers=asked)


class TestSetting:
    def test_nothing_said_is_nobody(self) -> None:
        assert read().embed_origins == read(EMBED_ORIGINS=" , ").embed_origins == ()

    @pytest.mark.parametrize(
        ("said", "found"),
        [
            ("https://app.example.org", ["https://app.example.org"]),
            ("https://app.example.org:8443", ["https://app.example.org:8443"]),
            (" https://A.Example , https://b.example,", ["https://a.example", "https://b.example"]),
            ("HTTPS://APP.EXAMPLE.ORG:443", ["https://app.example.org"]),
            ("http://localhost:8080", ["http://localhost:8080"]),
            ("http://127.0.0.1:80,http://[::1]:5173", ["http://127.0.0.1", "http://[::1]:5173"]),
            ("https://a.example,https://A.example:443", ["https://a.example"]),
            ("https://xn--bcher-kva.example", ["https://xn--bcher-kva.example"]),
            (",".join(f"https://a{number}.example" for number in range(50)), None),
        ],
    )
    def test_origins_are_taken_as_browsers_write_them(self, said: str, found: list[str] | None) -> None:
        production = {**SECRETS, "COCKPIT_ENV": "production", "ALLOWED_HOSTS": "a.example", "EMBED_ORIGINS": said}
        expected = tuple(found or said.split(","))
        assert read(EMBED_ORIGINS=said).embed_origins == env.read(production).embed_origins == expected

    @pytest.mark.parametrize(
        "said",
        [
            "*", "null", "https://*", "https://*.example.org", "https://hunter2.example/", "https://hunter2.example/path",
            "https://hunter2.example?x", "https://hunter2.example#x", "https://user:hunter2@a.example",
            "app.example.org", "//app.example.org", "ftp://app.example.org", "https://", "https://:443", "https://hunter2.example:",
            "https://hunter2.example:0", "https://hunter2.example:65536", "https://hunter2.example:x",
            "https://a..example", "https://[::1", "https://[hunter2]", "https://bücher.example", "https://\u212a.example",
            "https://a.example https://b.example", "https://a.example\\@hunter2", "file:///hunter2", "https://a.example;b",
            "https://a.example,*", "https://a.example\x00",
        ],
    )  # fmt: skip
    def test_anything_else_is_told_by_its_name_and_never_by_its_value(self, said: str) -> None:
        assert names({**SECRETS, "EMBED_ORIGINS": said}) == {"EMBED_ORIGINS"}
        assert "hunter2" not in "".join(faults({**SECRETS, "EMBED_ORIGINS": said}))

    def test_plain_http_of_another_machine_is_for_development(self) -> None:
        assert read(EMBED_ORIGINS="http://app.example.org").embed_origins == ("http://app.example.org",)
        for said in ("http://app.example.org", "http://localhost.evil.example", "http://127.0.0.2"):
            production = {**SECRETS, "COCKPIT_ENV": "production", "ALLOWED_HOSTS": "a.example", "EMBED_ORIGINS": said}
            assert names(production) == {"EMBED_ORIGINS"}

    def test_more_than_fifty_are_too_many(self) -> None:
        said = ",".join(f"https://a{number}.example" for number in range(51))
        (told,) = faults({**SECRETS, "EMBED_ORIGINS": said})
        assert "50" in told

    def test_an_address_that_is_none_is_no_origin(self) -> None:
        assert origins.normal("https://[1:2:3]", http=True) is None
        assert origins.normal("https://[2001:DB8::1]:443", http=False) == "https://[2001:db8::1]"


class TestMaking:
    def test_a_key_gets_a_token_for_fifteen_minutes(self, key: str) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        answer = ask(key)
        told = answer.json()
        assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
        assert set(told) == {"token", "organization", "expiresAt"}
        assert told["organization"] == OWN
        assert told["token"].startswith("ct_")
        assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", told["token"])  # what may follow Bearer (RFC 6750)
        expires = datetime.fromisoformat(told["expiresAt"])
        assert told["expiresAt"].endswith("Z")
        assert timedelta(0) <= expires - before - timedelta(minutes=15) <= timedelta(seconds=5)

    def test_two_asked_for_at_once_are_two(self, key: str) -> None:
        assert len({ask(key).json()["token"] for _ in range(20)}) == 20

    def test_it_says_nothing_of_the_keys_secret(self, key: str, token: str) -> None:
        content = signing.b64_decode(token.removeprefix("ct_").split(".")[0].encode()).decode()
        assert key.split("_", 2)[2] not in token + content
        assert OWN in content

    @pytest.mark.parametrize("body", ["", "{}", " { }\n", " "])
    def test_an_empty_body_will_do(self, key: str, body: str) -> None:
        answer = client().generic("POST", MAKE, body, content_type="application/json", headers=bearer(key))
        assert answer.status_code == 201

    @pytest.mark.parametrize(
        "body",
        [
            '{"organization": "x"}', '{"minutes": 60}', "[]", "[{}]", "null", "0", '"x"', "{", "{}{}", "\x00", "NaN",
            "[" * 100_000, '{"a":' * 50_000, '{"\\ud800": 1}', b"\xff", b"{\"\xff\": 1}", '{"": 1}', "{'a': 1}",
        ],
    )  # fmt: skip
    def test_anything_in_it_is_refused(self, key: str, body: str | bytes) -> None:
        answer = client().generic("POST", MAKE, body, content_type="application/json", headers=bearer(key))
        assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
        assert "empty" in answer.json()["detail"]
        assert trail() == []

    def test_unknown_fields_are_named(self, key: str) -> None:
        body = json.dumps({"minutes": 60, "scopes": []})
        answer = client().generic("POST", MAKE, body, content_type="application/json", headers=bearer(key))
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/minutes", "/scopes"]

    def test_other_content_is_415_and_a_large_one_413(self, key: str) -> None:
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""):
            assert client().generic("POST", MAKE, "{}", content_type=kind, headers=bearer(key)).status_code == 415
        large = client().generic("POST", MAKE, " " * 300_000, content_type="application/json", headers=bearer(key))
        assert large.status_code == 413

    @pytest.mark.parametrize("query", ["?organisation=x", "?minutes=60", f"?organization={OWN}&organization={OWN}"])
    def test_unknown_parameters_are_refused(self, key: str, query: str) -> None:
        assert ask(key, query).status_code == 400

    def test_another_organization_is_404_whether_it_exists_or_not(self, key: str) -> None:
        for slug in (OTHER, "nobody", "x'"):
            assert ask(key, f"?organization={slug}").status_code == 404
        assert ask(key, f"?organization={OWN}").status_code == 201

    def test_a_key_without_the_permission_makes_none(self, make_key: Make) -> None:
        assert ask(make_key(OWN, "ingest:write", "metrics:read")).status_code == 403
        assert client().post(MAKE).status_code == 401
        assert trail() == []

    def test_a_platform_key_makes_one_for_the_organization_it_names(self, make_key: Make) -> None:
        platform = make_key("shared", "dashboard:read", platform=True)
        made = ask(platform, f"?organization={OTHER}").json()
        assert made["organization"] == OTHER
        assert client().get(DATA, headers=bearer(made["token"])).json()["organization"] == OTHER
        for slug in ("shared", OWN):
            assert client().get(f"{DATA}?organization={slug}", headers=bearer(made["token"])).status_code == 404
        assert ask(platform).json()["organization"] == "shared"

    def test_a_person_needs_the_csrf_token(self, make_person: Make) -> None:
        person = signed_in(make_person("ada", swaggystacks="executive"), enforce_csrf_checks=True)
        refused = person.post(MAKE, "", content_type="application/json")
        assert refused.status_code == 403
        assert "CSRF" in refused.json()["detail"]
        page = client()
        page.get("/login/")
        csrf = page.cookies["csrftoken"].value
        person.cookies["csrftoken"] = csrf
        made = person.post(MAKE, "", content_type="application/json", headers={"x-csrftoken": csrf})
        assert made.status_code == 201
        assert client().get(DATA, headers=bearer(made.json()["token"])).status_code == 200
        assert person.post(MAKE, {"csrfmiddlewaretoken": csrf}).status_code == 415

    @pytest.mark.parametrize("path", [MAKE, INFERENCE])
    def test_no_body_of_a_person_fails_the_look_for_the_csrf_token(self, make_person: Make, path: str) -> None:
        person = signed_in(make_person("ada", swaggystacks="owner"), enforce_csrf_checks=True)
        page = client()
        page.get("/login/")
        csrf = person.cookies["csrftoken"] = page.cookies["csrftoken"].value
        form = "application/x-www-form-urlencoded"
        for kind, body in (
            ("application/json", "[" * 100_000), ("application/json", '{"a":' * 50_000), ("application/json", "\x00"),
            ("application/json", "["), (form, "&a=1" * 3_000), (form, b"%00=\xff"), ("multipart/form-data", "x"),
            ("multipart/form-data; boundary=x", "--x\r\nbroken"), ("text/plain", "x"),
        ):  # fmt: skip
            for headers in ({}, {"x-csrftoken": csrf}):
                answer = person.generic("POST", path, body, content_type=kind, headers=headers)
                assert answer.status_code in ((400, 403), (400, 415))[bool(headers)], (kind, body[:9])

    def test_each_is_one_row_of_the_trail_without_the_token(self, key: str) -> None:
        made = ask(key).json()["token"]
        (row,) = trail()
        assert (row.organization_id, row.action, row.actor_kind) == (OWN, "created", "key")
        assert row.actor.startswith("test (ck_")
        assert row.object_id in signing.b64_decode(made.removeprefix("ct_").split(".")[0].encode()).decode()
        assert made not in json.dumps([row.changes, row.object_text, row.object_id])
        client().get(DATA, headers=bearer(made))
        assert len(trail()) == 1

    def test_making_counts_like_every_call_of_the_key(self, key: str, settings: Any) -> None:
        settings.RATE_LIMIT_PER_MINUTE = 2
        assert [ask(key).status_code for _ in range(3)] == [201, 201, 429]
        assert len(trail()) == 2


class TestWhatItOpens:
    def test_it_reads_its_own_organizations_dashboard(self, token: str) -> None:
        for query in ("", f"?organization={OWN}", "?window=7d"):
            assert client().get(f"{DATA}{query}", headers=bearer(token)).json()["organization"] == OWN
        assert client().head(STREAM, headers=bearer(token)).status_code == 200
        assert client().options(DATA, headers=bearer(token)).status_code == 200

    def test_another_organization_is_404(self, token: str) -> None:
        for path in (DATA, STREAM):
            for slug in (OTHER, "shared", "nobody"):
                assert client().get(f"{path}?organization={slug}", headers=bearer(token)).status_code == 404

    def test_a_person_of_two_organizations_makes_one_for_one(self, make_person: Make) -> None:
        person = signed_in(make_person("ada", swaggystacks="owner", scientia_capital="owner"))
        made = person.post(f"{MAKE}?organization={OWN}", "", content_type="application/json").json()["token"]
        assert client().get(f"{DATA}?organization={OTHER}", headers=bearer(made)).status_code == 404

    def test_it_writes_nothing_whatever_its_issuer_may(self, make_key: Make, make_person: Make) -> None:
        owner = signed_in(make_person("ada", swaggystacks="owner"))
        everything = make_key(OWN, "ingest:write", "ingest:backfill", "alerts:write", "metrics:read", "dashboard:read")
        made = [owner.post(MAKE, "", content_type="application/json").json()["token"], ask(everything).json()["token"]]
        item = json.dumps({"modelName": "m", "durationMs": 1})
        for text in made:
            answer = client().post(INFERENCE, item, content_type="application/json", headers=bearer(text))
            assert (answer.status_code, answer["Content-Type"]) == (403, PROBLEM)
            assert access.of_token(text).grants == {OWN: frozenset({"dashboard:read"})}  # type: ignore[union-attr]

    def test_it_makes_no_other_token(self, token: str) -> None:
        answer = ask(token)
        assert (answer.status_code, answer["Content-Type"]) == (403, PROBLEM)
        assert "only reads" in answer.json()["detail"]
        assert len(trail()) == 1

    def test_no_address_of_the_api_takes_a_write_of_it(self, token: str) -> None:
        for path in (one for one in templates() if one.startswith("/api/")):
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                assert client().generic(method, path, "{}", headers=bearer(token)).status_code in (403, 405), path

    def test_it_opens_no_page_and_no_admin(self, token: str) -> None:
        assert client().get("/metrics", headers=bearer(token)).status_code == 403
        for path in (one for one in templates() if not one.startswith("/api/") and one != "/metrics"):
            filled = re.sub(r"{\w+}", OWN, path)
            with_it = client().get(filled, headers=bearer(token))
            assert with_it.status_code == client().get(filled).status_code, path
            assert "test (ck_" not in with_it.content.decode(), path
            assert with_it.status_code in (200, 301, 302, 404, 405), path
        assert client().get("/admin/", headers=bearer(token)).status_code == 302
        assert client().get(f"/dashboards/{OWN}/", headers=bearer(token)).status_code == 302

    def test_it_is_shown_no_insides_of_the_health(self, key: str, token: str) -> None:
        assert "latencyMs" in client().get("/api/health", headers=bearer(key)).content.decode()
        assert "latencyMs" not in client().get("/api/health", headers=bearer(token)).content.decode()

    def test_it_is_a_bearer_token_and_nothing_else(self, token: str) -> None:
        assert client().get(f"{DATA}?token={token}").status_code == 401
        assert client().get(DATA, headers={"authorization": f"Token {token}"}).status_code == 401
        assert client().get(DATA, headers={"x-api-key": token}).status_code == 401
        assert client().get(DATA, headers={"cookie": f"sessionid={token}"}).status_code == 401
        assert client().get(DATA, headers={"authorization": f"bearer  {token} "}).status_code == 200

    def test_it_is_throttled_apart_from_its_key_and_from_other_tokens(self, key: str, settings: Any) -> None:
        one, two = (ask(key).json()["token"] for _ in range(2))
        settings.RATE_LIMIT_PER_MINUTE = 3
        assert [client().get(DATA, headers=bearer(one)).status_code for _ in range(4)] == [200] * 3 + [429]
        assert client().get(DATA, headers=bearer(two)).status_code == 200
        assert client().get(DATA, headers=bearer(key)).status_code == 200

    def test_logs_do_not_show_it(self, token: str) -> None:
        for text in (token, f"Authorization: Bearer {token}", f'{{"x": "{token}"}}', f"GET /?x={token}&y=1"):
            assert token.removeprefix("ct_")[:30] not in redaction.redact_text(text)
            assert token.split(".")[1] not in redaction.redact_text(text)


class TestForgeries:
    def test_every_altered_character_is_seen(self, token: str) -> None:
        now = timezone.now()
        assert tokens.read(token, now)
        letters = string.ascii_letters + string.digits + "-_."
        for place in range(len(token)):
            for letter in {letters[(letters.find(token[place]) + step) % len(letters)] for step in (1, 2, 17, 40)}:
                altered = token[:place] + letter + token[place + 1 :]
                assert altered == token or tokens.read(altered, now) is None, (place, letter)
        for shorter in range(len(token)):
            assert tokens.read(token[:shorter], now) is None

    def test_what_was_signed_for_something_else_is_none(self, database: str, settings: Any) -> None:
        content = ["0" * 16, OWN, "key", "x", int(time.time())]
        for more in (
            {"key": settings.SECRET_KEY, "salt": tokens._SALT}, {"key": settings.KEY_PEPPER[0], "salt": "another"},
            {"key": "", "salt": tokens._SALT}, {"key": settings.KEY_PEPPER[0]},
            {"key": settings.KEY_PEPPER[0], "salt": tokens._SALT, "algorithm": "md5"},
        ):  # fmt: skip
            signed = signing.Signer(sep=".", **more).sign_object(content)
            assert tokens.read(f"ct_{signed}", timezone.now()) is None
        right = signing.Signer(sep=".", key=settings.KEY_PEPPER[0], salt=tokens._SALT).sign_object(content)
        assert tokens.read(f"ct_{right}", timezone.now())  # so it is the key and the salt that the others lack

    @pytest.mark.parametrize(
        "text",
        [
            "ct_", "ct_.", "ct_x", "ct_x.y", f"ct_{'a' * 150}.{'b' * 43}", f"ct_{'a' * 100_000}.{'b' * 43}",
            f"CT_{'a' * 150}.{'b' * 43}", f"ct_.{'a' * 150}.{'b' * 43}", f"ct_{'a' * 150}.{'b' * 43}\x00", "ct_é.é",
            "ct_null.null",
        ],
    )  # fmt: skip
    def test_nonsense_is_401_and_asks_the_database_nothing(self, text: str) -> None:
        assert tokens.read(text, timezone.now()) is None
        answer = client().get(DATA, HTTP_AUTHORIZATION=f"Bearer {text}")
        assert (answer.status_code, answer["Content-Type"]) == (401, PROBLEM)
        assert answer["WWW-Authenticate"].startswith("Bearer")

    def test_a_forged_one_reads_like_one_whose_key_is_gone(self, token: str) -> None:
        altered = token[:-1] + ("a" if token[-1] != "a" else "b")
        forged = client().get(DATA, headers=bearer(altered)).json()
        update_keys(revoked_at=timezone.now())
        gone = client().get(DATA, headers=bearer(token)).json()
        assert {**forged, "requestId": ""} == {**gone, "requestId": ""}
        assert forged["status"] == 401

    def test_a_rotated_pepper_ends_none_and_a_lost_one_all(self, token: str, settings: Any) -> None:
        old = settings.KEY_PEPPER
        settings.KEY_PEPPER = ("a new pepper", *old)
        assert client().get(DATA, headers=bearer(token)).status_code == 200
        settings.KEY_PEPPER = ("a new pepper",)
        assert client().get(DATA, headers=bearer(token)).status_code == 401


class TestItsEnd:
    def test_it_ends_after_fifteen_minutes_and_says_so(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with Scope.of(OWN).enter():
            issuer = str(ApiKey.objects.get().pk)
            made = {
                seconds: tokens.make(
                    organization=OWN,
                    issuer_kind="key",
                    issuer_id=issuer,
                    now=timezone.now() - timedelta(minutes=15, seconds=-seconds),
                )[0]
                for seconds in (-3600, -1, 0, 30)
            }
        for seconds, text in made.items():
            answer = client().get(DATA, headers=bearer(text))
            assert answer.status_code == (200 if seconds == 30 else 401), seconds
            if seconds < 30:
                assert answer["Content-Type"] == PROBLEM
                assert "expired" in answer.json()["detail"]
        altered = made[-1][:-1] + ("a" if made[-1][-1] != "a" else "b")
        assert "expired" not in client().get(DATA, headers=bearer(altered)).json()["detail"]

    @pytest.mark.parametrize(
        "change",
        [
            {"revoked_at": datetime(2026, 1, 1, tzinfo=UTC)},
            {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)},
            {"scopes": ["ingest:write"]},
        ],
    )
    def test_it_ends_within_a_second_of_its_keys_right(self, token: str, change: dict[str, Any]) -> None:
        assert client().get(DATA, headers=bearer(token)).status_code == 200
        update_keys(**change)
        until = time.monotonic() + 1
        while (answer := client().get(DATA, headers=bearer(token))).status_code == 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert answer.status_code == 401

    def test_it_ends_with_its_key_that_expires_while_it_is_remembered(self, token: str) -> None:
        update_keys(expires_at=timezone.now() + timedelta(milliseconds=300))
        key_ring.forget()
        assert client().get(DATA, headers=bearer(token)).status_code == 200
        time.sleep(0.3)
        assert client().get(DATA, headers=bearer(token)).status_code == 401

    @pytest.mark.parametrize("end", ["membership", "active", "deleted"])
    def test_it_ends_with_its_person(self, make_person: Make, end: str) -> None:
        person = make_person("ada", swaggystacks="analyst", scientia_capital="analyst")
        path = f"{MAKE}?organization={OWN}"
        made = signed_in(person).post(path, "", content_type="application/json").json()["token"]
        assert client().get(DATA, headers=bearer(made)).status_code == 200
        with Scope.system("test").enter():
            if end == "membership":
                Membership.objects.filter(organization_id=OWN).delete()
            elif end == "active":
                User.objects.update(is_active=False)
            else:
                person.delete()
        assert client().get(DATA, headers=bearer(made)).status_code == 401

    def test_an_administrators_lasts_as_long_as_they_are_one(self, make_person: Make) -> None:
        root = make_person("root", administrator=True)
        made = signed_in(root).post(f"{MAKE}?organization={OTHER}", "", content_type="application/json").json()
        assert client().get(DATA, headers=bearer(made["token"])).json()["organization"] == OTHER
        User.objects.update(is_superuser=False)
        assert client().get(DATA, headers=bearer(made["token"])).status_code == 401


def said_until_the_end(answer: Any, seconds: float) -> str:
    """Everything a stream says until it ends by itself."""
    said, until = "", time.monotonic() + seconds
    for part in answer.streaming_content:
        said += part.decode()
        assert time.monotonic() < until, "it did not end"
    return said


class TestStreams:
    @pytest.fixture
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
        monkeypatch.setattr(stream, "hub", stream.Hub())

    def test_one_ends_when_its_key_is_revoked(self, token: str, short: None) -> None:
        answer = client().get(STREAM, headers=bearer(token))
        assert answer.status_code == 200
        assert next(answer.streaming_content).startswith(b"retry")
        update_keys(revoked_at=timezone.now())
        began = time.monotonic()
        assert said_until_the_end(answer, 10).endswith("event: bye\nretry: 2000\ndata: {}\n\n")
        assert time.monotonic() - began < 3

    def test_one_ends_when_its_token_expires(self, key: str, short: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tokens, "LIFETIME", timedelta(seconds=3))
        made = ask(key).json()
        answer = client().get(STREAM, headers=bearer(made["token"]))
        assert answer.status_code == 200
        assert said_until_the_end(answer, 15).endswith("event: bye\nretry: 2000\ndata: {}\n\n")
        late = datetime.now(UTC) - datetime.fromisoformat(made["expiresAt"])
        assert timedelta(0) <= late < timedelta(seconds=3)
        assert client().get(STREAM, headers=bearer(made["token"])).status_code == 401

    def test_who_may_no_longer_read_is_refused(self, make_person: Make, make_key: Make) -> None:
        person = make_person("ada", swaggystacks="analyst")
        make_key(OWN)
        with Scope.of(OWN).enter():
            key_id = str(ApiKey.objects.get().pk)

        def listener(kind: str, issuer: str, seconds: int = 60, organization: str = OWN) -> stream.Stream:
            until = timezone.now() + timedelta(seconds=seconds)
            token = tokens.Token(
                id="0" * 16, organization=organization, issuer_kind=kind, issuer_id=issuer, expires_at=until
            )
            found = access.Access(kind="token", id=token.id, name="", grants={}, token=token)
            return stream.Stream(organization, stream.Caller.of(found, ""))

        good = [listener("key", key_id), listener("user", str(person.pk))]
        bad = [
            listener("key", key_id, -1), listener("user", str(person.pk), 0), listener("user", "0"),
            listener("key", "00000000-0000-7000-8000-000000000000"),
            listener("user", str(person.pk), organization=OTHER),
        ]  # fmt: skip
        assert stream.refused([*good, *bad]) == bad
        User.objects.update(is_active=False)
        assert stream.refused(good) == good[1:]
        update_keys(scopes=["metrics:read"])
        assert stream.refused(good) == good

    def test_each_viewer_has_places_of_their_own(self, key: str, short: None) -> None:
        viewers = [ask(key).json()["token"] for _ in range(stream.MOST_A_CALLER + 1)]
        opened = [client().get(STREAM, headers=bearer(text)) for text in viewers]
        opened += [client().get(STREAM, headers=bearer(viewers[0])) for _ in range(stream.MOST_A_CALLER - 1)]
        try:
            assert {answer.status_code for answer in opened} == {200}
            assert client().get(STREAM, headers=bearer(viewers[0])).status_code == 429
            another = client().get(STREAM, headers=bearer(viewers[1]))
            opened.append(another)
            assert another.status_code == 200
        finally:
            for answer in opened:
                answer.close()


class TestPagesOfOtherOrigins:
    @pytest.mark.parametrize("path", READING)
    def test_a_preflight_is_answered_before_anybody_asks_who_it_is(self, embedding: None, path: str) -> None:
        wanted = "authorization,if-none-match,last-event-id,x-request-id,accept,content-type"
        answer = preflight(path, headers=wanted)  # no database here: a query would fail
        told = cors(answer)
        assert answer.status_code == 200
        assert told.pop("access-control-allow-headers").replace(" ", "").split(",") == sorted(wanted.split(","))
        assert told.pop("access-control-expose-headers")
        assert told == {
            "access-control-allow-origin": PAGE,
            "access-control-allow-methods": "GET, HEAD, OPTIONS",
            "access-control-max-age": "600",
        }
        assert "origin" in vary(answer)
        assert re.fullmatch(r"[0-9a-f-]{36}", answer["X-Request-ID"])
        assert "default-src 'none'" in answer["Content-Security-Policy"]

    def test_a_preflight_is_logged_like_every_request(self, embedding: None, monkeypatch: pytest.MonkeyPatch) -> None:
        from cockpit import middleware

        told: list[dict[str, Any]] = []
        monkeypatch.setattr(middleware, "log", type("Log", (), {"info": lambda self, _, **more: told.append(more)})())
        preflight(DATA)
        assert [(line["method"], line["path"], line["status"]) for line in told] == [("OPTIONS", DATA, 200)]

    def test_an_answer_may_be_read_whatever_it_says(self, embedding: None, token: str) -> None:
        good = client().get(DATA, headers=bearer(token, origin=PAGE))
        same = client().get(DATA, headers=bearer(token, origin=PAGE) | {"if-none-match": good["ETag"]})
        bad = client().get(f"{DATA}?window=x", headers=bearer(token, origin=PAGE))
        nobody = client().get(DATA, headers=bearer("ct_x", origin=PAGE))
        head = client().head(STREAM, headers=bearer(token, origin=PAGE))
        assert [one.status_code for one in (good, same, bad, nobody, head)] == [200, 304, 400, 401, 200]
        for answer in (good, same, bad, nobody, head):
            told = cors(answer)
            assert told == {
                "access-control-allow-origin": PAGE,
                "access-control-expose-headers": "ETag, X-As-Of, Retry-After, X-Request-ID",
            }
            assert {"origin", "cookie", "authorization"} <= vary(answer)

    def test_a_stream_may_be_read_too(self, embedding: None, token: str) -> None:
        answer = client().get(STREAM, headers=bearer(token, origin=PAGE))
        answer.close()
        assert cors(answer)["access-control-allow-origin"] == PAGE

    def test_an_answer_without_an_origin_still_says_that_it_depends_on_one(self, embedding: None, token: str) -> None:
        answer = client().get(DATA, headers=bearer(token))
        assert cors(answer) == {}
        assert "origin" in vary(answer)

    @pytest.mark.parametrize(
        "origin",
        [
            STRANGER, "null", "*", "", "HTTPS://APP.EXAMPLE.ORG", "https://APP.example.org", "HTTPS://app.example.org",
            "http://app.example.org", "https://app.example.org:443", "https://app.example.org:8443",
            "https://app.example.org/", "https://app.example.org/path", "https://app.example.org.evil.example",
            "https://evil.example#https://app.example.org", "https://user@app.example.org", "https://example.org",
            "https://app.example.org https://evil.example", "https://app.example.org\x00", "https://[", " ",
        ],
    )  # fmt: skip
    def test_no_other_origin_is_told_anything(self, embedding: None, token: str, origin: str) -> None:
        for path in READING:
            assert cors(preflight(path, origin)) == {}, path
        answer = client().get(DATA, HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_ORIGIN=origin)
        assert cors(answer) == {}
        assert "origin" in vary(answer)

    def test_no_other_route_is_open_to_any_page(self, embedding: None, token: str) -> None:
        others = {re.sub(r"{\w+}", OWN, one) for one in templates()} - set(READING)
        assert {MAKE, INFERENCE, "/api/health", "/admin/"} <= others
        for path in [
            *others,
            f"{DATA}/",
            f"{DATA}/x",
            f"{DATA}%0a",
            f"/x{DATA}",
            "/api/monitoring/Dashboard",
            "/nowhere",
        ]:
            assert cors(preflight(path)) == {}, path
            assert cors(client().get(path, headers=bearer(token, origin=PAGE))) == {}, path

    def test_without_the_setting_nobody_is_told_of_it(self, token: str) -> None:
        for path in READING[:2]:
            answer = preflight(path)
            assert (answer.status_code, cors(answer)) == (401, {})
        answer = client().get(DATA, headers=bearer(token, origin=PAGE))
        assert (answer.status_code, cors(answer)) == (200, {})
        assert "origin" not in vary(answer)

    def test_a_session_does_not_travel(self, embedding: None, make_person: Make) -> None:
        person = signed_in(make_person("ada", swaggystacks="owner"))
        signed = Client()
        signed.post("/login/", {"username": "ada", "password": "a long enough password"})
        assert signed.cookies["sessionid"]["samesite"] == "Lax"  # so browsers leave it out of what other sites ask
        for answer in (preflight(DATA), person.get(DATA, headers={"origin": PAGE})):
            assert cors(answer)["access-control-allow-origin"] == PAGE  # and, never `*` with credentials:
            assert "access-control-allow-credentials" not in cors(answer)
        assert client().get(DATA, headers={"origin": PAGE}).status_code == 401

    def test_a_key_has_no_business_in_a_page(self, embedding: None, key: str) -> None:
        unknown = f"ck_{'a' * 12}_{'b' * 43}"
        for text in (key, unknown):
            for method, path in (("GET", DATA), ("HEAD", STREAM), ("POST", INFERENCE), ("POST", MAKE)):
                answer = client().generic(method, path, headers=bearer(text, origin=PAGE))
                assert (answer.status_code, answer["Content-Type"]) == (403, PROBLEM), path
        told = client().get(DATA, headers=bearer(key, origin=PAGE))
        assert told.json()["detail"] == "API keys do not belong in web pages; send a token of " + MAKE + "."
        assert cors(told)["access-control-allow-origin"] == PAGE  # so that the page can show why
        assert trail() == []

    def test_a_key_from_elsewhere_works_as_ever(self, embedding: None, key: str, settings: Any) -> None:
        for headers in ({}, {"origin": STRANGER}, {"origin": "null"}, {"origin": "http://testserver"}):
            assert client().get(DATA, headers=bearer(key) | headers).status_code == 200, headers
        settings.EMBED_ORIGINS = (PAGE, "http://testserver")  # a page of the cockpit itself is no embedding one
        assert client().get(DATA, headers=bearer(key, origin="http://testserver")).status_code == 200
        assert client().get(DATA, headers=bearer(key, origin=PAGE)).status_code == 403

    def test_static_files_can_be_used_by_pages_of_every_origin(self, database: str) -> None:
        for path in ("/static/js/element.js", "/static/css/base.css", "/static/fonts/inter.woff2"):
            answer = client().get(path, headers={"origin": PAGE})
            assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "*"), path
            assert "Cross-Origin-Resource-Policy" not in answer
            assert "Access-Control-Allow-Credentials" not in answer
            answer.close()


def test_the_environment_opens_the_routes_and_nothing_else() -> None:
    script = """
import django, json
django.setup()
from django.conf import settings
from django.test import Client
settings.ALLOWED_HOSTS.append("testserver")
told = {}
for origin in ("https://app.example.org", "https://evil.example"):
    for path in ("/api/monitoring/panels", "/api/monitoring/embed-token"):
        asked = {"origin": origin, "access-control-request-method": "GET"}
        answer = Client().options(path, headers=asked)
        told[f"{origin} {path}"] = [answer.status_code, answer.headers.get("Access-Control-Allow-Origin")]
print(json.dumps(told))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=env.ROOT,
        env=servers.clean_environment(
            **SECRETS, DJANGO_SETTINGS_MODULE="cockpit.settings", EMBED_ORIGINS="https://App.example.org:443",
            DATABASE_URL="postgresql://a@127.0.0.1:1/x", REDIS_URL="redis://127.0.0.1:1/0",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {
        "https://app.example.org /api/monitoring/panels": [200, "https://app.example.org"],
        "https://app.example.org /api/monitoring/embed-token": [401, None],
        "https://evil.example /api/monitoring/panels": [200, None],
        "https://evil.example /api/monitoring/embed-token": [401, None],
    }


class TestThePage:
    PAGE = (env.ROOT / "docs" / "how-to" / "embed.md").read_text(encoding="utf-8")

    def test_its_example_hands_out_tokens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The example is run as it stands, against a cockpit that is three lines long."""
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from threading import Thread
        from urllib.request import urlopen

        asked: list[tuple[str, str]] = []

        class Cockpit(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append((self.path, self.headers["Authorization"]))
                self.send_response(201)
                self.end_headers()
                self.wfile.write(b'{"token": "ct_x", "expiresAt": "y"}')

            def log_message(self, *_: Any) -> None:
                pass

        (example,) = re.findall(r"```python\n(.*?)```", self.PAGE, re.DOTALL)
        source, served = example.rsplit("\n\n\n", 1)
        assert served.strip() == 'ThreadingHTTPServer(("127.0.0.1", 8000), Tokens).serve_forever()'
        monkeypatch.setenv("COCKPIT_API_KEY", "ck_x")
        world: dict[str, Any] = {}
        exec(source, world)
        world["Tokens"].log_message = Cockpit.log_message
        with ThreadingHTTPServer(("127.0.0.1", 0), Cockpit) as cockpit:
            world["COCKPIT"] = f"http://127.0.0.1:{cockpit.server_port}{MAKE}?organization={OWN}"
            with ThreadingHTTPServer(("127.0.0.1", 0), world["Tokens"]) as own:
                for server in (cockpit, own):
                    Thread(target=server.serve_forever, daemon=True).start()
                with urlopen(f"http://127.0.0.1:{own.server_port}/my/token", timeout=10) as answer:
                    assert json.load(answer)["token"] == "ct_x"
                    assert answer.headers["Cache-Control"] == "no-store"
                own.shutdown()
                cockpit.shutdown()
        assert asked == [(f"{MAKE}?organization={OWN}", "Bearer ck_x")]

    def test_it_quotes_what_the_cockpit_says(self, embedding: None, key: str) -> None:
        told = client().get(DATA, headers=bearer(key, origin=PAGE)).json()["detail"]
        assert told.split(";")[0] in self.PAGE
        made = ask(key).json()["token"]
        assert ask(made).json()["detail"].rstrip(".") in self.PAGE
        assert "The token is not valid" in self.PAGE
        assert client().get(DATA, headers=bearer(made + "x")).json()["detail"].startswith("The token is not valid")
        assert "EMBED_ORIGINS" in (env.ROOT / ".env.example").read_text(encoding="utf-8")
