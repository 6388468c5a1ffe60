"""The edge of the cockpit: headers, methods, hostile addresses and queries, and a database that is away."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.test import Client

from cockpit import env
from organizations import limits
from organizations.access import key_ring
from organizations.models import AuditEvent, KeyScope, User
from organizations.scope import Scope
from tests import servers
from tests.conftest import url_of
from tests.test_leaks import OPEN, templates

DATA = "/api/monitoring/dashboard"
INFERENCE = "/api/monitoring/dashboard/inference"
ALERTS = "/api/monitoring/alerts"
VERBS = ("acknowledge", "unacknowledge", "assign", "shelve", "unshelve", "resolve", "reopen")
OWN = "swaggystacks"
GOOD = json.dumps({"modelName": "m", "durationMs": 1})
PROBLEM = "application/problem+json"
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_tries_counted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_tallies", {})


def filled() -> list[str]:
    """Every address, its variable parts filled in with something of the right kind."""
    values = {
        "organization": OWN,
        "object_id": "1",
        "id": "1",
        "content_type_id": "1",
        "app_label": "organizations",
        "url": "x",
    }
    return [re.sub(r"{(\w+)}", lambda part: values[part[1]], template) for template in templates()]


PATHS = filled()
API = [path for path in PATHS if path.startswith("/api/")]
PAGES = [path for path in PATHS if not path.startswith("/api/")]
CHANGELISTS = [path for path in PATHS if re.fullmatch(r"/admin/(organizations|monitoring|alerts)/\w+/", path)]


@pytest.fixture
def root(make_person: Make) -> Client:
    """An administrator, to whom every route is open."""
    client = Client(raise_request_exception=False)
    client.force_login(make_person("root", administrator=True))
    return client


@pytest.fixture
def bearer(make_key: Make) -> dict[str, str]:
    return {"authorization": f"Bearer {make_key(OWN, *KeyScope.values)}"}


def stranger() -> Client:
    return Client(raise_request_exception=False)


class TestHeaders:
    @pytest.mark.parametrize("who", ["root", "stranger"])
    def test_every_route_keeps_browsers_strict_and_caches_out(self, root: Client, who: str) -> None:
        client = root if who == "root" else stranger()
        for path in [*PATHS, "/nowhere", "/api/nowhere", "/static/css/base.css"]:
            answer = client.get(path)
            policy = answer["Content-Security-Policy"]
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy, path
            assert "form-action 'self'" in policy, path
            assert "base-uri 'none'" in policy, path
            assert "unsafe" not in policy, path
            assert "*" not in policy, path
            assert answer["X-Content-Type-Options"] == "nosniff", path
            assert answer["Referrer-Policy"] == "same-origin", path
            assert answer["Cross-Origin-Opener-Policy"] == "same-origin", path
            assert re.fullmatch(r"[0-9a-f-]{36}", answer["X-Request-ID"]), path
            assert "Server" not in answer
            if path.startswith("/static/"):
                continue
            assert answer["X-Frame-Options"] == "DENY", path
            told = {part.strip() for part in answer["Cache-Control"].split(",")}
            assert "no-store" in told or {"private", "no-cache"} <= told, (path, told)
            assert "public" not in told
            assert {"Cookie", "Authorization"} <= {name.strip() for name in answer["Vary"].split(",")}, path

    def test_cookies_are_out_of_reach_of_scripts_and_other_sites(self, make_person: Make, client: Client) -> None:
        make_person("ada", swaggystacks="owner")
        client.get("/login/")
        client.post("/login/", {"username": "ada", "password": "a long enough password"})
        assert set(client.cookies) == {"csrftoken", "sessionid"}
        for morsel in client.cookies.values():
            assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (True, "Lax", "/", "")

    def test_production_cookies_are_secure_and_bound_to_the_host(self) -> None:
        script = """
import django, json
django.setup()
from django.conf import settings
from django.test import Client
from django.test.utils import override_settings
plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}).enable()  # nothing is collected here
settings.ALLOWED_HOSTS.append("testserver")
answer = Client().get("/login/", secure=True)
(cookie,) = answer.cookies.values()
print(json.dumps({
    "name": cookie.key, "secure": cookie["secure"], "httponly": cookie["httponly"], "path": cookie["path"],
    "domain": cookie["domain"], "session": settings.SESSION_COOKIE_NAME,
    "session secure": settings.SESSION_COOKIE_SECURE,
    "hsts": answer.headers.get("Strict-Transport-Security", ""), "status": answer.status_code,
}))
"""
        variables = {
            "DJANGO_SETTINGS_MODULE": "cockpit.settings", "COCKPIT_ENV": "production",
            "SECRET_KEY": "s" * 50 + "ecret!",
            "KEY_PEPPER": "p" * 40, "ALLOWED_HOSTS": "cockpit.example.org",
            "DATABASE_URL": "postgresql://a@127.0.0.1:1/x",
            "REDIS_URL": "redis://127.0.0.1:1/0",
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-c", script],
            cwd=env.ROOT,
            env=servers.clean_environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout.splitlines()[-1])
        assert told.pop("hsts").startswith("max-age=31536000")
        assert told == {
            "name": "__Host-csrf", "secure": True, "httponly": True, "path": "/", "domain": "",
            "session": "__Host-session", "session secure": True, "status": 200,
        }  # fmt: skip


class TestRequestIds:
    @pytest.mark.parametrize("sent", ["abcdefgh", "0190a5d2-1111-7000-8000-000000000000", "A.b_c-9" * 9])
    def test_a_callers_own_is_echoed(self, database: str, sent: str) -> None:
        answer = stranger().get(DATA, headers={"x-request-id": sent})
        assert answer["X-Request-ID"] == answer.json()["requestId"] == sent

    @pytest.mark.parametrize(
        "sent",
        [
            "", "short", "a" * 65, "a b c d e f", "abcdefgh\r\nX-Evil: 1", "abcdefgh\x00", "ａｂｃｄｅｆｇｈ",
            "<script>alert(1)</script>", "../../etc/passwd",
        ]
    )  # fmt: skip
    def test_a_hostile_one_is_replaced(self, database: str, sent: str) -> None:
        answer = stranger().get(DATA, HTTP_X_REQUEST_ID=sent)
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", answer["X-Request-ID"]
        )
        assert answer.json()["requestId"] == answer["X-Request-ID"]
        assert "X-Evil" not in answer

    def test_every_request_has_its_own(self, database: str) -> None:
        assert len({stranger().get("/api/health/live")["X-Request-ID"] for _ in range(50)}) == 50


class TestForwardedAddresses:
    def address_of(self, **headers: str) -> str | None:
        before = self.count()
        stranger().post("/login/", {"username": "nobody", "password": "x"}, **headers)
        with Scope.system("test").enter():
            assert AuditEvent.objects.count() == before + 1
            return AuditEvent.objects.order_by("-id")[0].address

    @staticmethod
    def count() -> int:
        with Scope.system("test").enter():
            return AuditEvent.objects.count()

    def test_nobody_may_choose_their_address(self, database: str) -> None:
        for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_CLIENT_IP"):
            assert self.address_of(**{name: "6.6.6.6"}) == "127.0.0.1"

    @pytest.mark.parametrize(
        ("proxies", "sent", "address"),
        [
            (1, "6.6.6.6", "6.6.6.6"), (1, "1.1.1.1, 6.6.6.6", "6.6.6.6"), (2, "1.1.1.1, 6.6.6.6, 7.7.7.7", "6.6.6.6"),
            (2, "6.6.6.6", "127.0.0.1"), (1, "", "127.0.0.1"), (1, "2001:db8::1", "2001:db8::1"),
            (1, " , ,6.6.6.6 ", "6.6.6.6"),
        ],
    )  # fmt: skip
    def test_as_many_proxies_as_are_trusted_are_believed(
        self, database: str, settings: Any, proxies: int, sent: str, address: str
    ) -> None:
        settings.TRUSTED_PROXIES = proxies
        assert self.address_of(HTTP_X_FORWARDED_FOR=sent) == address

    def test_forwarded_hosts_and_schemes_are_not(self, root: Client) -> None:
        answer = root.get("/", HTTP_X_FORWARDED_HOST="evil.example", HTTP_X_FORWARDED_PROTO="https")
        assert "evil" not in answer["Location"]
        page = root.get(f"/dashboards/{OWN}/", HTTP_X_FORWARDED_HOST="evil.example")
        assert "evil.example" not in page.content.decode()

    @pytest.mark.parametrize("host", ["evil.example", "a b", "testserver/../x", "[::1", "", "testserver@evil"])
    def test_a_host_that_is_not_ours_is_refused(self, database: str, host: str) -> None:
        for path, kind in ((DATA, PROBLEM), ("/login/", "text/html; charset=utf-8")):
            answer = stranger().get(path, HTTP_HOST=host)
            assert answer.status_code == 400, path
            assert answer["Content-Type"] == kind
            assert "evil" not in answer.content.decode()


class TestMethods:
    READING, POSTS, PUTS = {"GET", "HEAD", "OPTIONS"}, {"POST", "OPTIONS"}, {"PUT", "OPTIONS"}
    ALLOWED = {
        INFERENCE: POSTS,
        "/api/monitoring/embed-token": POSTS,
        "/api/monitoring/deployments": POSTS,
        ALERTS: {*READING, "POST"},
        f"{ALERTS}/bulk": POSTS,
        "/api/monitoring/pulse": POSTS,
        "/api/monitoring/channels/1/pagerduty": POSTS,
        f"{ALERTS}/1/comment": POSTS,
        **dict.fromkeys((f"{ALERTS}/1/{verb}" for verb in VERBS), PUTS),
    }

    @pytest.mark.parametrize("method", ["TRACE", "FOO", "CONNECT", "PUT", "PATCH", "DELETE", "get", "\u0130"])
    def test_others_are_405_with_what_is_allowed(self, root: Client, bearer: dict[str, str], method: str) -> None:
        for path in PATHS:
            client, headers = (stranger(), bearer) if path in API else (root, {})
            if method in self.ALLOWED.get(path, ()):
                continue
            answer = client.generic(method, path, headers=headers)
            if method == "get" and answer.status_code != 405:
                continue  # Django's own client writes it in capitals
            assert answer.status_code == 405, (method, path)
            allowed = {word.strip() for word in answer["Allow"].split(",")}
            assert method not in allowed
            if path in API:
                assert allowed == self.ALLOWED.get(path, self.READING)
                assert answer["Content-Type"] == PROBLEM
            assert not answer.content or b"sessionid" not in answer.content

    def test_an_override_is_ignored(self, bearer: dict[str, str]) -> None:
        for name in ("x-http-method-override", "x-http-method", "x-method-override"):
            assert stranger().get(INFERENCE, headers={**bearer, name: "POST"}).status_code == 405
            assert stranger().get(DATA, headers={**bearer, name: "DELETE"}).status_code == 200
        posted = stranger().post(f"{DATA}?_method=GET", GOOD, content_type="application/json", headers=bearer)
        assert posted.status_code == 405

    def test_head_is_get_without_a_body(self, root: Client, bearer: dict[str, str]) -> None:
        for path in PATHS:
            if path in ("/logout/", "/admin/logout/", "/admin/login/"):  # who is signed in is sent on by GET alone
                continue
            client, headers = (stranger(), bearer) if path in API else (root, {})
            asked, told = client.head(path, headers=headers), client.get(path, headers=headers)
            assert asked.status_code == told.status_code, path
            assert asked.content == b"", path
            assert asked.headers.get("Location") == told.headers.get("Location")

    def test_options_tell_nothing_to_strangers_and_allow_no_other_site(self, database: str) -> None:
        for path in API:
            answer = stranger().options(
                path, headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
            )
            signed = path.endswith(("/pagerduty", "/pulse"))  # by what is sent, not by who sends it
            assert answer.status_code == (200 if path.startswith(OPEN) or signed else 401)
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


HOSTILE_PATHS = [
    "/nowhere", "/%00", "/%0a", "/%0d%0aX-Evil:%201", "/%ff%fe", "/%ed%a0%80", "//evil.example", "//evil.example/..",
    "/\\evil.example",
    "/..%2f..%2fetc%2fpasswd", "/static/..%2f..%2fmanage.py", "/static/%2e%2e/manage.py", "/static/../cockpit/env.py",
    "/static/%00",
    "/.env", "/dashboards/%00/", "/dashboards/%0a/", "/dashboards/swaggystacks%00/", "/dashboards/swaggystacks%0a/",
    "/dashboards/ｓｗａｇｇｙｓｔａｃｋｓ/", "/dashboards/SWAGGYSTACKS/", "/dashboards/swaggystacks", "/dashboards//",
    "/dashboards/../admin/",
    "/dashboards/%2e%2e/", "/dashboards/a'%20OR%201=1/", "/dashboards/<script>/",
    "/dashboards/" + "a" * 100_000 + "/", "/" + "a/" * 50_000,
    "/admin/organizations/membership/%00/change/", "/admin/organizations/membership/１/change/",
    "/admin/organizations/membership/1%0a/change/",
    "/admin/organizations/membership/99999999999999999999999/change/", "/admin/organizations/membership/-1/change/",
    "/admin/organizations/membership/_00/change/", "/admin/organizations/membership/" + "9" * 100_000 + "/change/",
    "/admin/organizations/organization/%00/change/", "/admin/organizations/organization/%00/history/",
    "/admin/organizations/organization/a%27/delete/",
    "/admin/organizations/user/%00/password/", "/admin/organizations/user/１/password/",
    "/admin/organizations/user/1e3/password/",
    "/admin/organizations/user/99999999999999999999/history/", "/admin/organizations/apikey/%00/history/",
    "/admin/organizations/apikey/not-a-uuid/change/",
    "/admin/organizations/apikey/00000000000000000000000000000000/change/", "/admin/monitoring/inference/%00/change/",
    "/admin/monitoring/inference/ffffffff-ffff-ffff-ffff-ffffffffffff/change/",
    "/admin/monitoring/inference/FFFFFFFF-ffff-7fff-bfff-ffffffffffff/delete/",
    "/admin/monitoring/inference/00000000-0000-0000-0000-000000000000/history/",
    "/admin/organizations/auditevent/１%00/change/",
    "/admin/r/%00/1/", "/admin/r/1/%00/", "/admin/r/x/y/", "/admin/r/1/99999999999999999999/",
    "/admin/r/7/not-a-uuid/", "/admin/%00", "/admin/nowhere/",
    "/api", "/api/", "/api/%00", "/api/nowhere", "/api/monitoring/dashboard/", "/api/monitoring/dashboard%00",
    "/api/monitoring/dashboard%0a",
    "/api/monitoring/dashboard/inference/", "/api//monitoring/dashboard", "/api/monitoring/../health", "/api/HEALTH",
    "/api/health/", "/api/health/live/",
    "/api/" + "a" * 100_000, "/api/health/%2e%2e/live",
    f"{ALERTS}/%00", f"{ALERTS}/", f"{ALERTS}//resolve", f"{ALERTS}/01A20535-6A1C-7E0E-B3F5-9D6F0A4C2B11",
    f"{ALERTS}/{{01a20535-6a1c-7e0e-b3f5-9d6f0a4c2b11}}", f"{ALERTS}/" + "a" * 100_000, f"{ALERTS}/summary/timeline",
    f"{ALERTS}/%EF%BC%91/timeline", f"{ALERTS}/../dashboard/timeline",
]  # fmt: skip


class TestHostilePaths:
    @pytest.mark.parametrize("who", ["root", "stranger"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_each_is_answered_in_our_own_words(self, root: Client, who: str, method: str) -> None:
        client = root if who == "root" else stranger()
        for path in HOSTILE_PATHS:
            answer = client.generic(method, path)
            shown = path[:100]
            asked_who = {401} if who == "stranger" and path.startswith(ALERTS) else set()  # any id is a route
            assert answer.status_code in {301, 302, 400, 403, 404, 405, *asked_who}, (shown, answer.status_code)
            if answer.status_code in (301, 302):
                assert re.match(r"/(?!/|\\)|\?e=1", answer["Location"]), (shown, answer["Location"][:100])
            else:
                api = path.startswith("/api/")
                assert answer["Content-Type"].startswith(PROBLEM if api else "text/html"), shown
            assert "X-Evil" not in answer, shown
            body = answer.content.decode()
            assert "Traceback" not in body, shown
            assert "<script>alert" not in body, shown
            assert "postgres" not in body.lower(), shown
            assert len(body) < 60_000 + 2 * len(path), shown

    def test_what_is_not_there_reads_as_a_problem_or_a_page(self, database: str) -> None:
        problem = stranger().get("/api/nowhere").json()
        assert (problem["status"], problem["title"], problem["type"]) == (404, "Not found", "about:blank")
        page = stranger().get("/nowhere")
        assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert "<h1>" in page.content.decode()

    def test_the_source_is_not_served(self, database: str) -> None:
        for path in (
            "/static/../manage.py",
            "/static/%2e%2e/pyproject.toml",
            "/manage.py",
            "/.git/config",
            "/static/css/../../manage.py",
        ):
            assert stranger().get(path).status_code in (301, 400, 404), path


BAD_QUERIES = [
    "window=1h&window=7d", "window=1y", "window=", "window=24H", "window=%00", "window=１h", "window=-1h",
    "window=" + "9" * 10_000,
    "from=garbage", "from=2026-13-01T00:00:00Z", "from=2026-02-30T00:00:00Z", "from=2026-01-01",
    "from=2026-01-01T00:00:00", "from=0", "from=",
    "from=0001-01-01T00:00:00%2b14:00", "from=9999-12-31T23:59:59-14:00", "from=2026-01-01T25:00:00Z", "from=%00",
    "from=１９９９-01-01T00:00:00Z",
    "to=2026-01-01T00:00:00Z", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    "from=2001-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z&window=1h",
    "from=2026-01-01T00:00:00%2b99:99",
    "compare=x", "compare=previous&compare=week", "source=all", "source=live,demo", "source[]=live", "unknown=1",
    "WINDOW=1h", "%00=1",
    "a" * 100_000 + "=1", "window=1h&%ff=%fe", "=", "from=2026-01-01T00:00:00Z;to=2026-01-02T00:00:00Z", "window=1h%0a",
    "from[$ne]=1", "window=1h' OR '1'='1", "callback=alert",
]  # fmt: skip


class TestHostileQueries:
    def test_of_the_dashboard_they_are_400_and_name_the_parameter(self, bearer: dict[str, str]) -> None:
        for query in BAD_QUERIES:
            answer = stranger().get(f"{DATA}?{query}", headers=bearer)
            assert answer.status_code == 400, query[:60]
            assert answer["Content-Type"] == PROBLEM
            problem = answer.json()
            assert all(error["pointer"].startswith("?") and error["message"] for error in problem["errors"])
            assert problem["errors"]
            assert len(answer.content) < 2_000, query[:60]

    def test_a_format_is_a_parameter_like_any_other_unknown_one(self, bearer: dict[str, str]) -> None:
        for path, status in ((DATA, 400), ("/api/health/live", 200)):
            assert stranger().get(f"{path}?format=csv", headers=bearer).status_code == status

    def test_of_the_pages_they_are_a_page_that_says_so(self, root: Client) -> None:
        understood = ("from=2026-01-01", "from=2026-01-01T00:00:00")  # on a page such times are the organization's
        for query in BAD_QUERIES:
            if query in understood:
                continue
            answer = root.get(f"/dashboards/{OWN}/?{query}")
            assert answer.status_code == 400, query[:60]
            assert "That address was not understood" in answer.content.decode()
            assert root.get(f"/api/monitoring/panels?organization={OWN}&{query}").status_code == 400, query[:60]

    def test_unknown_panels_are_refused(self, root: Client) -> None:
        for query in ("panel=nowhere", "panel=%00", "panel=latency&panel=<script>", "panel=../x", "panel="):
            answer = root.get(f"/api/monitoring/panels?organization={OWN}&{query}")
            assert answer.status_code == 400, query
            assert answer["Content-Type"] == "application/problem+json", "no browser draws what was asked"

    def test_no_route_ever_fails_by_one(self, root: Client, bearer: dict[str, str]) -> None:
        queries = [
            "window=1h&window=7d&id=1&id=2&_popup=%00", "from=garbage&_to_field=password&next=//evil.example",
            "%00=%00&_changelist_filters=%00&%ff=%fe", "x" * 20_000,
        ]  # fmt: skip
        for path in PATHS:
            if path in ("/logout/", "/admin/logout/"):
                continue
            client, headers = (stranger(), bearer) if path in API else (root, {})
            for query in queries:
                answer = client.get(f"{path}?{query}", headers=headers)
                assert answer.status_code < 500, (path, query[:60])
                assert "evil" not in answer.headers.get("Location", "")

    def test_no_list_of_the_admin_fails_by_one(self, root: Client, make_key: Make) -> None:
        make_key(OWN)
        queries = [
            "p=abc", "p=-1", "p=99999999999999999999", "e=1", "o=abc", "o=999", "o=%00", "all=1", "q=%00",
            "q=" + "a" * 5_000,
            "q=%27%22%5c", "organization=%00", "organization=" + "a" * 5_000, "role__exact=%00",
            "is_active__exact=maybe",
            "is_active__exact=%00", "actor_kind__exact=%00&actor_kind__exact=key", "status=%00", "source=nonsense",
            "pk__in=1,x",
            "user__id__exact=x", "created_at__gte=x", "_to_field=%00", "revoked_at__isnull=x",
        ]  # fmt: skip
        for path in CHANGELISTS:
            for query in queries:
                assert root.get(f"{path}?{query}").status_code in (200, 302, 400), (path, query[:60])

    def test_no_action_of_the_admin_fails_by_its_rows(self, root: Client, make_key: Make) -> None:
        make_key(OWN)
        rows = ["x", "%00", "\x00", "-1", "9" * 30, "１", "' OR 1=1", "", "1"]
        for path in CHANGELISTS:
            for action in ("delete_selected", "revoke", "nothing", "\x00", ""):
                for selected in (rows, ["x"], ["\x00"], ["9" * 30], []):
                    form = {"action": action, "_selected_action": selected, "post": "yes", "index": "x"}
                    answer = root.post(path, form)
                    assert answer.status_code in (200, 302, 400, 403), (path, action, selected)
        assert User.objects.filter(username="root").exists()

    def test_no_lookup_of_the_admin_fails_by_its_words(self, root: Client) -> None:
        base = {"app_label": "organizations", "model_name": "membership", "field_name": "user"}
        for changed in (
            {"term": "\x00"}, {"term": "a" * 5_000}, {"page": "x"}, {"page": "-1"}, {"model_name": "nothing"},
            {"app_label": "\x00"},
            {"field_name": "password"}, {"field_name": "role"}, {"field_name": "\x00"},
            {"model_name": "user", "field_name": "groups"},
        ):  # fmt: skip
            assert root.get("/admin/autocomplete/", {**base, **changed}).status_code in (200, 400, 403, 404), changed

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/x-www-form-urlencoded", b"a=" + b"x" * 1_000_000),
            ("application/x-www-form-urlencoded", b"&a=1" * 3_000),
            ("multipart/form-data", b"x"), ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
            ("multipart/form-data; boundary=\xff", b"x"),
            ("application/json", b"[" * 100_000), ("application/x-www-form-urlencoded", b"%00=%00&%ff"),
            ("text/plain; charset=nonsense", b"\xff"),
            ("application/x-www-form-urlencoded; charset=nonsense", b"a=b"),
            ("application/x-www-form-urlencoded; charset=utf-16", b"a=b"), ("", b"\x00"),
        ],
        ids=range(11),
    )  # fmt: skip
    def test_no_form_fails_by_a_body_that_is_none(self, root: Client, kind: Any, body: bytes) -> None:
        kind = kind if isinstance(kind, str) else kind.decode("latin-1")
        for client in (root, stranger(), Client(enforce_csrf_checks=True, raise_request_exception=False)):
            for path in (
                "/login/",
                "/admin/login/",
                "/admin/organizations/apikey/add/",
                "/admin/organizations/user/",
                INFERENCE,
            ):
                answer = client.generic("POST", path, body, content_type=kind)
                assert answer.status_code < 500, (path, answer.status_code)


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def point_at(database: str) -> Iterator[Callable[..., None]]:
    """Points the application at another server, or at its own with other options, for one test."""
    settings = connections["default"].settings_dict
    before = {**settings, "OPTIONS": dict(settings["OPTIONS"])}

    def point(port: int | None = None, **options: str) -> None:
        connections["default"].close()
        key_ring.forget()
        if port is not None:
            settings.update(HOST="127.0.0.1", PORT=str(port), PASSWORD="hunter2hunter2")
        settings["OPTIONS"].update(options)

    yield point
    connections["default"].close()
    settings.update(before)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


def timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


INSIDES = re.compile(
    r"hunter2|127\.0\.0\.1|localhost|cockpit_app|no_database|SELECT|INSERT|relation|psycopg|Traceback|\.py|socket"
)


def assert_away(answer: Any, path: str) -> None:
    assert answer.status_code == 503, (path, answer.status_code)
    assert 1 <= int(answer["Retry-After"]) <= 60, path
    assert not INSIDES.search(answer.content.decode()), path
    if path.startswith("/api/"):
        assert answer["Content-Type"] == PROBLEM
        problem = answer.json()
        assert (problem["status"], problem["requestId"]) == (503, answer["X-Request-ID"])


class TestHealth:
    def test_all_is_well(self, bearer: dict[str, str], client: Client) -> None:
        assert client.get("/api/health/live").json() == {"status": "ok"}
        ready = client.get("/api/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        public = client.get("/api/health").json()
        asked = {"database", "migrations", "role", "disk", "cache"}
        assert {public["parts"][name] for name in asked} == {"ok"}
        # None of them runs here.
        left_behind = {"broker", "workers", "beat", "fold", "dispatch", "retention", "alerts", "rules",
                       "probes"}  # fmt: skip
        assert set(public["parts"]) == asked | left_behind
        assert public["status"] == "degraded"

    def test_details_are_for_callers_with_a_key_or_a_session(self, bearer: dict[str, str], root: Client) -> None:
        for client, headers in ((stranger(), bearer), (root, {})):
            parts = client.get("/api/health", headers=headers).json()["parts"]
            told = {"state", "latencyMs", "error", "ageSeconds", "lastError", "lastErrorAt"}
            assert all(set(part) == told for part in parts.values())
        for headers in ({"authorization": "Bearer x"}, {"authorization": f"Bearer ck_{'a' * 12}_{'b' * 43}"}):
            answer = stranger().get("/api/health", headers=headers)
            assert answer.status_code == 401
            assert "latencyMs" not in answer.content.decode()

    def test_a_closed_port_is_told_at_once(
        self, bearer: dict[str, str], point_at: Callable[..., None], client: Client
    ) -> None:
        point_at(closed_port())
        client.cookies["sessionid"] = "s" * 32
        assert client.get("/api/health/live", headers=bearer).status_code == 200
        ready, seconds = timed(lambda: client.get("/api/health/ready"))
        assert (ready.status_code, ready.json()["parts"]["database"]) == (503, "down")
        assert seconds < 1
        whole, seconds = timed(lambda: client.get("/api/health", headers=bearer))
        assert (whole.status_code, whole.json()["status"]) == (503, "down")
        assert seconds < 1
        assert not INSIDES.search(ready.content.decode() + whole.content.decode())

    def test_a_server_that_hangs_is_told_in_time(
        self, bearer: dict[str, str], point_at: Callable[..., None], silent: int, client: Client
    ) -> None:
        point_at(silent)
        live, seconds = timed(lambda: client.get("/api/health/live"))
        assert (live.status_code, seconds < 0.5) == (200, True)
        for path, headers in (("/api/health/ready", {}), ("/api/health", bearer)):
            answer, seconds = timed(lambda path=path, headers=headers: client.get(path, headers=headers))
            assert (answer.status_code, answer.json()["status"]) == (503, "down")
            assert seconds < 3, path

    def test_live_asks_nobody(self, database: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def asked(*_: Any, **__: Any) -> None:
            raise AssertionError("live must touch nothing")

        monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", asked)
        monkeypatch.setattr("django.core.cache.backends.locmem.LocMemCache.get", asked)
        client.cookies["sessionid"] = "s" * 32
        for headers in ({}, {"authorization": "Bearer x"}):
            assert client.get("/api/health/live?x=1", headers=headers).status_code == 200


class TestTheDatabaseAway:
    def post(self, bearer: dict[str, str]) -> Any:
        return stranger().post(INFERENCE, GOOD, content_type="application/json", headers=bearer)

    def test_every_api_route_that_needs_it_is_503_with_a_wait(
        self, bearer: dict[str, str], point_at: Callable[..., None]
    ) -> None:
        point_at(closed_port())
        assert_away(self.post(bearer), INFERENCE)
        assert_away(stranger().get(DATA, headers=bearer), DATA)

    def test_also_for_a_key_that_is_still_remembered(
        self, bearer: dict[str, str], point_at: Callable[..., None]
    ) -> None:
        assert self.post(bearer).status_code == 201
        remembered = dict(key_ring._known)
        point_at(closed_port())
        key_ring._known.update(remembered)
        assert_away(self.post(bearer), INFERENCE)

    def test_pages_say_so_in_words(self, root: Client, point_at: Callable[..., None]) -> None:
        point_at(closed_port())
        for path in ("/", f"/dashboards/{OWN}/", "/admin/", "/admin/organizations/apikey/"):
            answer = root.get(path)
            assert_away(answer, path)
            assert "out of reach for the moment" in answer.content.decode()
        assert stranger().get("/login/").status_code == 200
        assert stranger().post("/login/", {"username": "ada", "password": "x"}).status_code == 503

    def test_a_server_that_hangs_is_503_within_its_time_out(
        self, bearer: dict[str, str], point_at: Callable[..., None], silent: int
    ) -> None:
        point_at(silent)
        answer, seconds = timed(lambda: self.post(bearer))
        assert_away(answer, INFERENCE)
        assert seconds < 4.5

    def test_a_read_only_database_is_503(self, bearer: dict[str, str], point_at: Callable[..., None]) -> None:
        self.post(bearer)
        remembered = dict(key_ring._known)
        point_at(options="-c default_transaction_read_only=on")
        key_ring._known.update(remembered)
        assert_away(self.post(bearer), INFERENCE)

    @pytest.mark.parametrize("table", ["monitoring_rollup_delta", "monitoring_inference", "monitoring_idempotency_key"])
    def test_a_lock_that_is_not_given_is_503(
        self, database: str, bearer: dict[str, str], point_at: Callable[..., None], table: str
    ) -> None:
        point_at(options="-c lock_timeout=100ms")
        with psycopg.connect(url_of(database)) as admin:
            admin.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            answer = self.post({**bearer, "idempotency-key": "one"})
            admin.rollback()
        assert_away(answer, INFERENCE)
        assert self.post({**bearer, "idempotency-key": "one"}).status_code == 201

    def test_a_connection_that_was_cut_is_503_and_the_next_request_works(
        self, database: str, bearer: dict[str, str]
    ) -> None:
        assert self.post(bearer).status_code == 201
        with psycopg.connect(url_of(database), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'cockpit_app'",
                [database],
            )
        assert_away(self.post(bearer), INFERENCE)
        connections["default"].close()  # what the end of a request does in a real process
        assert self.post(bearer).status_code == 201
