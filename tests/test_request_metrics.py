"""What requests leave in the table: their route, status, time, sizes and errors, and what security asks about them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cockpit import middleware
from cockpit.urls import urlpatterns
from monitoring import counting, traffic
from monitoring.families import BY_NAME, HTTP_BOUNDS
from monitoring.store import current_store
from organizations import audit, limits, marks, networks
from organizations.models import AuditEvent
from organizations.scope import Scope

DATA = "/api/monitoring/dashboard"
INFERENCE = "/api/monitoring/dashboard/inference"
PASSWORD = "a long enough password"
OWN, OTHER = "swaggystacks", "scientia_capital"
REQUESTS, ERRORS = "cockpit_http_requests_total", "cockpit_http_errors_total"
FAILURES, LIMITED, BY_KEY = "cockpit_auth_failures_total", "cockpit_rate_limited_total", "cockpit_key_requests_total"
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _nothing_counted_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(limits, "_tallies", {})
    counting.table.clear()
    networks.forget()
    yield
    counting.table.clear()
    networks.forget()


def counted(family: str) -> dict[tuple[str, ...], float]:
    """Organization and values of the labels (by the labels' names) -> count since the test began."""
    return {
        (organization, *(value for _, value in labels)): amount
        for (organization, name, labels), amount in counting.table._held.counts.items()
        if name == family
    }


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def reverse_of(pattern: Any) -> str:
    return "/" + str(pattern.pattern).replace("<str:organization>", OWN)


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


class TestRequests:
    def test_one_counts_for_the_organization_it_is_about(self, make_key: Make, client: Client) -> None:
        key = make_key(OWN)
        assert client.get(DATA, headers=bearer(key)).status_code == 200
        assert client.get(f"{DATA}?organization={OTHER}", headers=bearer(key)).status_code == 404
        assert counted(REQUESTS) == {
            (OWN, "GET", "dashboard-data", "200"): 1,
            (OWN, "GET", "dashboard-data", "404"): 1,  # the mistake of this organization's client
        }

    def test_what_a_key_is_refused_counts_for_its_own_organization(self, make_key: Make, client: Client) -> None:
        reader = make_key(OTHER, "dashboard:read")
        client.post(INFERENCE, "{}", content_type="application/json", headers=bearer(reader))
        client.get(f"{DATA}?window=never", headers=bearer(reader))
        platform = make_key("shared", "dashboard:read", platform=True)
        client.get(f"{DATA}?window=never", headers=bearer(platform))
        client.get(DATA, headers=bearer(reader[:-3] + "aaa"))  # nobody's: whoever knows a prefix could send it
        assert counted(REQUESTS) == {
            (OTHER, "POST", "inference", "403"): 1,
            (OTHER, "GET", "dashboard-data", "400"): 1,
            ("shared", "GET", "dashboard-data", "400"): 1,
            ("shared", "GET", "dashboard-data", "401"): 1,
        }

    @pytest.mark.parametrize("path", ["/", "/admin/", "/dashboards/nowhere/"])
    def test_a_persons_page_about_no_organization_counts_for_the_platform(self, make_person: Make, path: str) -> None:
        signed_in(make_person("ada", **{OWN: "owner", OTHER: "owner"})).get(path)
        assert {organization for organization, *_ in counted(REQUESTS)} == {"shared"}

    def test_a_persons_page_counts_for_the_organization_it_shows(self, make_person: Make) -> None:
        signed_in(make_person("ada", **{OWN: "owner", OTHER: "owner"})).get(f"/dashboards/{OTHER}/")
        assert counted(REQUESTS) == {(OTHER, "GET", "dashboard", "200"): 1}

    @pytest.mark.parametrize(
        ("method", "path", "route"),
        [
            ("GET", "/no/such/page", "unmatched"),
            ("GET", "/api/nothing/4711", "unmatched"),
            ("GET", "/static/css/base.css", "static"),
            ("GET", "/static/../../etc/passwd", "static"),
            ("GET", "/admin/organizations/user/17/change/", "admin"),
            ("GET", "/admin/no/such/page", "admin"),
            ("GET", "/api/health/live", "health-live"),
            ("GET", f"/dashboards/{'x' * 500}/", "dashboard"),
            ("POST", INFERENCE, "inference"),
        ],
    )
    def test_a_route_is_a_name_and_never_a_path(
        self, database: str, client: Client, method: str, path: str, route: str
    ) -> None:
        client.generic(method, path)
        [(organization, counted_method, counted_route, _)] = counted(REQUESTS)
        assert (organization, counted_method, counted_route) == ("shared", method, route)

    @pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "A" * 300, "get"])
    def test_methods_are_few(self, database: str, client: Client, method: str) -> None:
        client.generic(method, "/api/health/live")
        [(_, counted_method, _, _)] = counted(REQUESTS)
        assert counted_method in {*traffic.METHODS, "other"}

    @pytest.mark.parametrize(
        ("method", "path", "told"),
        [
            ("HEAD", DATA, "HEAD"), ("OPTIONS", DATA, "OPTIONS"), ("DELETE", DATA, "other"), ("POST", DATA, "other"),
            ("DISPATCH", DATA, "other"), ("GET", INFERENCE, "other"), ("POST", INFERENCE, "POST"),
            ("POST", "/login/", "POST"), ("POST", "/nowhere", "other"), ("HEAD", "/nowhere", "HEAD"),
            ("POST", "/favicon.ico", "other"),
        ],
    )  # fmt: skip
    def test_a_method_that_nothing_answers_has_no_name(
        self, database: str, client: Client, method: str, path: str, told: str
    ) -> None:
        client.generic(method, path)
        [(_, counted_method, _, _)] = counted(REQUESTS)
        assert counted_method == told

    def test_whoever_tries_every_method_everywhere_makes_few_series(self, database: str) -> None:
        client = Client(raise_request_exception=False)
        for path in ["/nowhere", "/static/nothing", "/admin/", *(reverse_of(one) for one in urlpatterns)]:
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]:
                client.generic(method, path)
        _, increments = counting.table._take(datetime.now(UTC), last=True)
        assert {one.organization for one in increments} == {"shared"}
        assert len(increments) < 75 * len(urlpatterns)

    def test_ten_thousand_paths_are_a_handful_of_series(self, database: str, client: Client) -> None:
        for number in range(300):
            client.get(f"/{number}/{number}")
            client.get(f"/api/{number}")
        assert len(counting.table._held) < 10

    def test_its_time_falls_into_a_bucket(self, database: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        moments = iter([100.0, 100.3])
        monkeypatch.setattr(middleware.time, "perf_counter", lambda: next(moments))
        client.get("/api/health/live")
        [(key, found)] = counting.table._held.distributions.items()
        assert key == ("shared", "cockpit_http_request_duration_seconds", (("method", "GET"), ("route", "health-live")))
        assert found.total == pytest.approx(0.3)
        assert found.buckets[HTTP_BOUNDS.index(0.5)] == 1
        assert sum(found.buckets) == 1

    def test_bodies_are_added_up(self, make_key: Make, client: Client) -> None:
        body = json.dumps({"modelName": "llama", "durationMs": 1})
        answer = client.post(INFERENCE, body, content_type="application/json", headers=bearer(make_key()))
        assert counted("cockpit_http_request_bytes_total") == {(OWN, "POST", "inference"): len(body)}
        assert counted("cockpit_http_response_bytes_total") == {(OWN, "POST", "inference"): len(answer.content)}

    @pytest.mark.parametrize("announced", ["-1", "abc", "", "9" * 30, "²", str(2**40)])
    def test_a_length_that_is_none_adds_nothing(self, database: str, client: Client, announced: str) -> None:
        client.get("/api/health/live", CONTENT_LENGTH=announced)
        assert counted("cockpit_http_request_bytes_total") == {}
        assert sum(counted(REQUESTS).values()) == 1

    def test_a_stream_counts_when_it_opens(self, make_key: Make, client: Client) -> None:
        answer = client.get("/api/monitoring/stream", headers=bearer(make_key()))
        assert counted(REQUESTS) == {(OWN, "GET", "stream", "200"): 1}
        answer.close()
        assert sum(counted(REQUESTS).values()) == 1

    def test_requests_in_flight_go_up_and_come_down(self) -> None:
        seen = []

        def answer(request: HttpRequest) -> HttpResponse:
            seen.append(traffic.in_flight._count)
            if request.path == "/bad":
                raise SystemExit
            return HttpResponse()

        before = traffic.in_flight._count
        metrics = middleware.RequestMetrics(answer)
        metrics(RequestFactory().get("/"))
        with pytest.raises(SystemExit):
            metrics(RequestFactory().get("/bad"))
        assert seen == [before + 1, before + 1]
        assert traffic.in_flight._count == before
        assert marks.current.get() is None
        traffic.in_flight.tell(datetime.now(UTC), False)
        [(_, family, labels)] = counting.table._held.levels
        assert family == "cockpit_http_requests_in_flight"
        assert [name for name, _ in labels] == ["host", "process"]
        assert int(dict(labels)["process"]) < 100

    def test_every_family_is_in_the_dictionary(self, make_key: Make, client: Client) -> None:
        for _ in range(2):
            client.get(DATA, headers=bearer(make_key()))
            client.get("/nowhere")
            client.get(DATA, headers=bearer("ck_nothing"))
        held = counting.table._held
        assert {family for _, family, _ in (*held.counts, *held.distributions, *held.levels)} <= BY_NAME.keys()


class TestErrors:
    def test_they_are_named_by_their_title(self, make_key: Make, client: Client) -> None:
        client.get(f"{DATA}?window=never", headers=bearer(make_key()))
        client.get(DATA)
        client.get("/nowhere")
        client.get("/api/nowhere")
        assert counted(ERRORS) == {
            (OWN, "dashboard-data", "Not valid"): 1,
            ("shared", "dashboard-data", "Not signed in"): 1,
            ("shared", "unmatched", "Not found"): 2,
        }

    def test_what_nobody_caught_is_named_by_its_type(self, make_key: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("secret 4711")

        monkeypatch.setattr("monitoring.api.record_inferences", broken)
        client = Client(raise_request_exception=False)
        body = json.dumps({"modelName": "llama", "durationMs": 1})
        answer = client.post(INFERENCE, body, content_type="application/json", headers=bearer(make_key()))
        assert answer.status_code == 500
        assert counted(ERRORS) == {(OWN, "inference", "ZeroDivisionError"): 1}

    def test_an_answer_without_a_title_has_that_of_its_status(self, database: str, client: Client) -> None:
        client.generic("TRACE", "/login/")
        [(_, _, kind)] = counted(ERRORS)
        assert kind in ("Method Not Allowed", "Method not allowed")


class TestSecurity:
    @pytest.mark.parametrize(
        ("authorization", "reason"),
        [
            ("Bearer nonsense", "malformed_key"),
            ("Basic YWRhOmFkYQ==", "malformed_key"),
            ("Bearer ", "malformed_key"),
            (f"Bearer ck_{'x' * 500}", "malformed_key"),
            ("Bearer ck_aaaaaaaaaaaa_" + "b" * 43, "unknown_key"),
            ("Bearer ct_nothing", "bad_token"),
            (None, "missing"),
        ],
    )
    def test_a_refused_credential_counts_by_its_reason(
        self, database: str, client: Client, authorization: str | None, reason: str
    ) -> None:
        headers = {"authorization": authorization} if authorization is not None else {}
        assert client.get(DATA, headers=headers).status_code == 401
        assert counted(FAILURES) == {("shared", reason): 1}

    def test_a_guess_at_a_key_is_told_to_its_organization(self, make_key: Make, client: Client) -> None:
        key = make_key(OTHER)
        assert client.get(DATA, headers=bearer(key[:-3] + "aaa")).status_code == 401
        assert counted(FAILURES) == {(OTHER, "wrong_secret"): 1}
        assert counted(BY_KEY) == {}

    def test_an_expired_key_is_told_from_a_wrong_one(self, make_key: Make, client: Client) -> None:
        key = make_key(OTHER, expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert client.get(DATA, headers=bearer(key)).status_code == 401
        assert counted(FAILURES) == {(OTHER, "expired_key"): 1}

    def test_a_wrong_password_counts_and_so_does_impatience(self, make_person: Make, client: Client) -> None:
        make_person("ada", **{OWN: "owner"})
        for number in range(12):
            client.post("/login/", {"username": "ada", "password": f"guess {number}"})
        assert counted(FAILURES) == {("shared", "wrong_password"): 10, ("shared", "throttled"): 2}
        assert counted(LIMITED) == {("shared", "login"): 2}

    def test_the_right_password_is_no_failure(self, make_person: Make, client: Client) -> None:
        make_person("ada", **{OWN: "owner"})
        assert client.post("/login/", {"username": "ada", "password": PASSWORD}).status_code == 302
        assert counted(FAILURES) == {}

    def test_a_forged_form_counts(self, make_person: Make) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_person("ada", **{OWN: "owner"}))
        assert client.post("/logout/").status_code == 403
        assert client.post("/api/monitoring/embed-token").status_code == 403
        assert {found[1] for found in counted(FAILURES)} == {"csrf"}
        assert sum(counted(FAILURES).values()) == 2

    def test_a_session_that_may_write_is_no_failure(self, make_person: Make) -> None:
        client = signed_in(make_person("ada", **{OWN: "owner"}))
        client.post("/api/monitoring/embed-token")
        assert counted(FAILURES) == {}

    def test_requests_count_by_key_and_route(self, make_key: Make, client: Client) -> None:
        key = make_key(OWN)
        for _ in range(3):
            client.get(DATA, headers=bearer(key))
        client.get(f"{DATA}?organization={OTHER}", headers=bearer(key))
        assert counted(BY_KEY) == {(OWN, key.split("_")[1], "dashboard-data"): 4}

    def test_no_secret_of_a_key_is_in_the_table(self, make_key: Make, client: Client) -> None:
        key = make_key(OWN)
        client.get(DATA, headers=bearer(key))
        client.get(DATA, headers=bearer(key[:-3] + "aaa"))
        assert key.split("_", 2)[2][:8] not in repr(counting.table._held)

    def test_requests_beyond_the_limit_count_by_route(self, make_key: Make, client: Client, settings: Any) -> None:
        settings.RATE_LIMIT_PER_MINUTE = 2
        key = make_key(OWN)
        statuses = [client.get(DATA, headers=bearer(key)).status_code for _ in range(5)]
        assert statuses.count(429) >= 2
        assert counted(LIMITED) == {(OWN, "dashboard-data"): statuses.count(429)}


class TestNetworks:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            (None, None),
            ("elsewhere", None),
        ],
    )
    def test_a_network_is_the_first_part_of_an_address(self, address: str | None, network: str | None) -> None:
        assert networks.network_of(address) == network

    def ask(self, key: str, address: str) -> None:
        assert Client(REMOTE_ADDR=address).get(DATA, headers=bearer(key)).status_code == 200

    def test_its_first_time_is_counted_and_stands_in_the_trail(self, make_key: Make) -> None:
        key = make_key(OWN)
        for address in ("203.0.113.77", "203.0.113.78", "198.51.100.1"):
            self.ask(key, address)
        traffic._count_new_networks(datetime.now(UTC), False)
        assert counted("cockpit_new_networks_total") == {(OWN,): 2}
        with Scope.of(OWN).enter():
            rows = list(AuditEvent.objects.filter(action="network_seen").order_by("object_id"))
        assert [(row.object_id, row.actor_kind, row.address) for row in rows] == [
            ("198.51.100.0/24", "key", "198.51.100.1"),
            ("203.0.113.0/24", "key", "203.0.113.77"),
        ]

    def test_another_process_does_not_count_it_again(self, make_key: Make) -> None:
        key = make_key(OWN)
        self.ask(key, "203.0.113.77")
        assert networks.record_new() == [OWN]
        networks.forget()  # what a process that starts now knows
        self.ask(key, "203.0.113.99")
        assert networks.record_new() == []

    def test_it_is_new_to_each_organization(self, make_key: Make) -> None:
        for organization in (OWN, OTHER):
            self.ask(make_key(organization), "203.0.113.77")
        assert sorted(networks.record_new()) == [OTHER, OWN]

    def test_who_was_not_let_in_leaves_none(self, database: str, client: Client) -> None:
        client.get(DATA, headers=bearer("ck_aaaaaaaaaaaa_" + "b" * 43))
        client.get(DATA)
        client.get("/login/")
        assert networks.record_new() == []

    def test_what_waits_is_bounded(self, database: str) -> None:
        for number in range(3_000):
            origin = audit.Origin(address=f"10.{number // 256}.{number % 256}.1")
            networks.note(OWN, origin)
        assert len(networks._waiting) == 1_000


class TestInTheStore:
    def test_what_was_counted_is_in_the_store_after_a_flush(self, make_key: Make, client: Client) -> None:
        key = make_key(OWN)
        for _ in range(3):
            client.get(DATA, headers=bearer(key))
        counting.table.flush(datetime.now(UTC))
        client.get(DATA, headers=bearer(key))
        counting.table.flush(datetime.now(UTC))
        counters = current_store().counters(Scope.of(OWN))
        values = {(one.family, one.labels): one.value for one in counters}
        labels = (("method", "GET"), ("route", "dashboard-data"))
        assert values[REQUESTS, (*labels, ("status", "200"))] == 4
        assert values["cockpit_http_request_duration_seconds_count", labels] == 4
        inf = (("le", "+Inf"), *labels)
        assert values["cockpit_http_request_duration_seconds_bucket", inf] == 4
        buckets = [one for one in counters if one.family.endswith("_duration_seconds_bucket")]
        assert len(buckets) == len(HTTP_BOUNDS) + 1

    def test_another_organization_sees_none_of_it(self, make_key: Make, client: Client) -> None:
        client.get(DATA, headers=bearer(make_key(OWN)))
        counting.table.flush(datetime.now(UTC))
        assert current_store().counters(Scope.of(OTHER)) == []
