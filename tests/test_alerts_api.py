"""The API of alerts: what is raised, listed, done and refused, and in which words."""

import json
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import answers, lifecycle, reading
from alerts.reading import Filter
from alerts.services import create_alert
from alerts.states import Report
from monitoring.errors import BadItems
from organizations.models import AuditEvent, KeyScope, Membership
from organizations.scope import Scope
from tests.conftest import url_of

ALERTS, DEPLOYMENTS = "/api/monitoring/alerts", "/api/monitoring/deployments"
OWN, OTHER = "swaggystacks", "scientia_capital"
GOOD: dict[str, Any] = {"alertType": "high_error_rate", "severity": "warning", "message": "5% of calls fail"}
VERBS = ("acknowledge", "unacknowledge", "assign", "shelve", "unshelve", "resolve", "reopen", "comment")
Make = Callable[..., Any]


class Api:
    """Asks as somebody: by a key, or signed in."""

    def __init__(self, key: str = "", person: Any = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"authorization": f"Bearer {key}"} if key else {}
        if person is not None:
            self.client.force_login(person)

    def ask(self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **headers: str) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(method, path, data, content_type=kind, headers={**self.headers, **headers})

    def get(self, path: str = ALERTS, **headers: str) -> Any:
        return self.ask("GET", path, **headers)

    def post(self, body: Any, path: str = ALERTS, **headers: str) -> Any:
        return self.ask("POST", path, body, **headers)

    def act(self, verb: str, identifier: str, body: Any = None) -> Any:
        return self.ask("POST" if verb == "comment" else "PUT", f"{ALERTS}/{identifier}/{verb}", body)

    def raised(self, **more: Any) -> dict[str, Any]:
        answer = self.post({**GOOD, **more})
        assert answer.status_code == 201, answer.content
        return dict(answer.json())

    def listed(self, query: str = "") -> list[str]:
        """The messages on a page."""
        answer = self.get(f"{ALERTS}?{query}")
        assert answer.status_code == 200, answer.content
        return [alert["message"] for alert in answer.json()["alerts"]]


@pytest.fixture
def api(make_key: Make) -> Api:
    return Api(make_key(OWN, *KeyScope.values))


@pytest.fixture
def other(make_key: Make) -> Api:
    return Api(make_key(OTHER, *KeyScope.values))


def soon(**distance: float) -> str:
    return (datetime.now(UTC) + timedelta(**(distance or {"hours": 1}))).isoformat()


def errors_of(answer: Any) -> dict[str, str]:
    """Pointer -> message."""
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return {fault["pointer"]: fault["message"] for fault in answer.json()["errors"]}


def kinds(api: Api, identifier: str) -> list[str]:
    return [event["kind"] for event in api.get(f"{ALERTS}/{identifier}/timeline").json()["events"]]


def fill(count: int, *, organization: str = OWN, **more: Any) -> list[str]:
    """So many alerts, each a second younger than the one before; their messages."""
    begin = datetime.now(UTC) - timedelta(hours=1)
    for number in range(count):
        fields = {"alert_type": "t", "severity": "info", "message": f"{organization} {number}", **more}
        report = Report(labels={"n": str(number)}, **fields)
        lifecycle.fire(scope=Scope.of(organization), organization=organization, reports=[report],
                       now=begin + timedelta(seconds=number), via="system")  # fmt: skip
    return [f"{organization} {number}" for number in range(count)]


class TestRaising:
    def test_one_is_created_with_every_field_and_can_be_found_where_it_says(self, api: Api) -> None:
        sent = {
            **GOOD, "endpointId": "endpoint-123", "modelName": "qwen2.5:7b", "labels": {"region": "eu"},
            "metadata": {"errorRate": 0.07, "deep": {"list": [1, None, True]}}, "organization": OWN,
        }  # fmt: skip
        answer = api.post(sent)
        assert answer.status_code == 201, answer.content
        alert = answer.json()
        assert {name: alert[name] for name in sent} == sent
        assert set(alert) == {
            "id", "organization", "alertType", "severity", "status", "message", "endpointId", "modelName", "metadata",
            "labels", "fingerprint", "episode", "count", "firstSeenAt", "lastSeenAt", "acknowledgedAt",
            "acknowledgedBy", "acknowledgedUntil", "resolvedAt", "resolvedBy", "owner", "source", "suppressedBy",
        }  # fmt: skip
        assert (alert["status"], alert["episode"], alert["count"], alert["source"]) == ("firing", 1, 1, "live")
        assert alert["suppressedBy"] == []
        absent = ("acknowledgedAt", "acknowledgedBy", "acknowledgedUntil", "resolvedAt", "resolvedBy", "owner")
        assert [alert[name] for name in absent] == [None] * 6
        assert answer["Location"] == f"{ALERTS}/{alert['id']}"
        assert api.get(answer["Location"]).json() == alert

    def test_what_is_absent_is_null(self, api: Api) -> None:
        alert = api.raised(endpointId=None, labels=None)
        assert (alert["endpointId"], alert["modelName"], alert["labels"], alert["metadata"]) == (None, None, {}, {})

    def test_a_repeat_is_200_with_the_count_raised_and_the_newest_words(self, api: Api) -> None:
        first = api.raised(metadata={"rate": 1})
        answer = api.post({**GOOD, "message": "9% of calls fail", "metadata": {"rate": 2}})
        assert answer.status_code == 200
        assert "Location" not in answer
        again = answer.json()
        assert (again["id"], again["count"], again["message"], again["metadata"]) == (
            first["id"], 2, "9% of calls fail", {"rate": 2},
        )  # fmt: skip
        assert again["firstSeenAt"] == first["firstSeenAt"]

    def test_after_its_end_the_same_is_a_new_episode(self, api: Api) -> None:
        first = api.raised()
        assert api.act("resolve", first["id"]).status_code == 200
        second = api.raised()
        assert second["id"] != first["id"]
        assert (second["episode"], second["fingerprint"]) == (2, first["fingerprint"])

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/alertType"), ({**GOOD, "severity": "urgent"}, "/severity"),
            ({**GOOD, "severity": None}, "/severity"),
            ({**GOOD, "message": " "}, "/message"), ({**GOOD, "message": "x" * 2001}, "/message"),
            ({**GOOD, "nothing": 1}, "/nothing"), ({**GOOD, "labels": {"1": "a"}}, "/labels/1"),
            ({**GOOD, "labels": {"a": 1}}, "/labels"), ({**GOOD, "metadata": {"a": "x" * 17_000}}, "/metadata"),
            ({**GOOD, "metadata": {"a": [[1e300] * 60]}}, "/metadata"),
            ({**GOOD, "metadata": {"a": {"b": [1e-300] * 60}}}, "/metadata"),
            ({**GOOD, "metadata": {"a": 2**70}}, "/metadata"), ({**GOOD, "alertType": "a\u0000b"}, "/alertType"),
            ({**GOOD, "source": "demo"}, "/source"), ({**GOOD, "status": "resolved"}, "/status"), (7, ""), ("x", ""),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, api: Api, body: Any, pointer: str) -> None:
        answer = api.post(body)
        assert answer.status_code == 400
        assert pointer in {found[: len(pointer)] for found in errors_of(answer)}
        assert api.listed() == []

    @pytest.mark.parametrize(
        ("path", "body", "pointer"),
        [
            (ALERTS, {**GOOD, "\ud800": 1}, "/\\ud800"), (ALERTS, {**GOOD, "severity": "\ud800"}, "/severity"),
            (f"{ALERTS}/bulk", {"action": "\ud800", "ids": [str(uuid.UUID(int=1))]}, "/action"),
            (f"{ALERTS}/bulk", {"action": "resolve", "ids": ["\ud800"]}, "/ids"),
            (f"{ALERTS}/{uuid.UUID(int=1)}/comment", {"note": "x", "\ud800": 1}, "/\\ud800"),
            (DEPLOYMENTS, {"service": "a", "version": "1", "a\ud800": 1}, "/a\\ud800"),
        ],
    )  # fmt: skip
    def test_half_a_letter_is_refused_wherever_it_stands(
        self, api: Api, path: str, body: dict[str, Any], pointer: str
    ) -> None:
        answer = api.post(body, path)
        assert answer.status_code == 400, answer.content
        assert pointer in {found[: len(pointer)] for found in errors_of(answer)}

    def test_an_answer_does_not_repeat_all_of_what_was_wrong(self, api: Api) -> None:
        assert len(api.post({**GOOD, "severity": "x" * 100_000}).content) < 2_000

    def test_small_and_large_numbers_are_kept(self, api: Api) -> None:
        numbers = [1e300, 1e-300, 5e-324, 1e20, 0.1, -0.5]
        alert = api.raised(metadata={"a": numbers})
        assert alert["metadata"] == {"a": numbers}
        later = api.act("resolve", alert["id"]).json()["metadata"]["a"]  # 1e300 comes written out
        assert [float(number) for number in later] == numbers
        assert api.raised(metadata={"a": [0.07] * 3_000})["metadata"] == {"a": [0.07] * 3_000}

    def test_numbers_that_json_has_not_are_refused(self, api: Api) -> None:
        for number in (b"1e400", b"NaN", b"-1e999"):
            body = json.dumps(GOOD).encode()[:-1] + b', "metadata": {"a": ' + number + b"}}"
            assert api.post(body).status_code == 400, number

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 415), (b" ", 400), (b"{", 400), (b"[]", 400), (b"\xff", 400), (b'{"a":1,"a":2}', 400),
            (b"[" * 100, 400),
            (json.dumps([GOOD] * 201).encode(), 413), (b" " * (256 * 1024 + 1), 413),
        ],
        ids=range(9),
    )  # fmt: skip
    def test_a_body_that_is_none_is_refused(self, api: Api, body: bytes, status: int) -> None:
        assert api.post(body).status_code == status

    def test_other_types_charsets_and_encodings_are_415(self, api: Api) -> None:
        body = json.dumps(GOOD).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
            assert api.ask("POST", ALERTS, body, kind=kind).status_code == 415
        assert api.post(body, content_encoding="gzip").status_code == 415

    def test_the_organization_is_the_one_named_or_that_of_the_caller(self, make_person: Make) -> None:
        api = Api(person=make_person("ada", **{OWN: "operator", OTHER: "operator", "shared": "analyst"}))
        assert api.raised()["organization"] == OTHER  # her first
        assert api.raised(organization=OWN)["organization"] == OWN
        answer = api.post({**GOOD, "message": "x"}, f"{ALERTS}?organization={OWN}")
        assert (answer.status_code, answer.json()["organization"], answer.json()["count"]) == (200, OWN, 2)
        assert api.post({**GOOD, "organization": "shared"}).status_code == 403
        assert api.post({**GOOD, "organization": "nobody_of_that_name"}).status_code == 404
        mixed = api.post({**GOOD, "organization": OTHER}, f"{ALERTS}?organization={OWN}")
        assert errors_of(mixed) == {"/organization": "is not the organization of this request"}

    def test_via_says_whether_a_page_or_a_program_raised_it(self, api: Api, make_person: Make) -> None:
        for one, via in ((api, "api"), (Api(person=make_person("ada", **{OWN: "operator"})), "page")):
            alert = one.raised(alertType=via)
            [event] = one.get(f"{ALERTS}/{alert['id']}/timeline").json()["events"]
            assert (event["kind"], event["via"], event["tells"]) == ("fired", via, "trigger")
            assert event["address"] == "127.0.0.1"


class TestRaisingSeveral:
    def test_each_has_its_result_and_what_is_good_is_raised(self, api: Api) -> None:
        answer = api.post([GOOD, {**GOOD, "severity": "x"}, {**GOOD, "labels": {"a": "b"}}, GOOD])
        assert answer.status_code == 207
        body = answer.json()
        assert (body["created"], body["repeated"], body["rejected"]) == (2, 1, 1)
        assert [row["status"] for row in body["results"]] == ["created", "rejected", "created", "repeated"]
        assert [row["index"] for row in body["results"]] == [0, 1, 2, 3]
        assert body["results"][1]["errors"][0]["pointer"] == "/severity"
        assert body["results"][3]["alert"]["count"] == 2
        assert len(api.listed()) == 2

    def test_statuses_are_201_200_and_400_when_all_went_one_way(self, api: Api) -> None:
        assert api.post([GOOD]).status_code == 201
        assert api.post([GOOD]).status_code == 200
        assert api.post([GOOD, {**GOOD, "alertType": "new"}]).status_code == 201
        refused = api.post([{}, 7])
        assert (refused.status_code, refused["Content-Type"]) == (400, "application/json")
        assert refused.json()["rejected"] == 2

    def test_all_are_of_one_organization(self, api: Api) -> None:
        answer = api.post([GOOD, {**GOOD, "organization": OTHER}], f"{ALERTS}?organization={OWN}")
        assert answer.status_code == 207
        assert answer.json()["results"][1]["errors"][0]["pointer"] == "/organization"
        assert api.post([{**GOOD, "organization": OTHER}]).status_code == 404

    def test_two_hundred_cost_no_more_queries_than_two(self, api: Api) -> None:
        def queries(count: int, kind: str) -> int:
            with CaptureQueriesContext(connection) as captured:
                assert api.post([{**GOOD, "alertType": kind, "labels": {"n": str(n)}} for n in range(count)])
            return len(captured)

        queries(1, "warm")
        assert queries(2, "few") == queries(200, "many")


class TestIdempotency:
    def stored(self) -> int:
        with Scope.of(OWN).enter(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM alerts_answer")
            return int(cursor.fetchone()[0])

    def test_the_same_again_is_answered_as_the_first_time(self, api: Api) -> None:
        first = api.post(GOOD, idempotency_key="one")
        again = api.post({name: GOOD[name] for name in reversed(GOOD)}, idempotency_key="one")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.content == again.content
        assert "Idempotent-Replay" not in first
        assert again["Idempotent-Replay"] == "true"
        assert again["Location"] == first["Location"]
        assert api.get(first["Location"]).json()["count"] == 1

    def test_arrays_are_replayed_too_with_their_status(self, api: Api) -> None:
        first, again = (api.post([GOOD, {}], idempotency_key="one") for _ in range(2))
        assert (first.status_code, again.status_code, again["Idempotent-Replay"]) == (207, 207, "true")
        assert first.content == again.content
        assert "Location" not in again

    def test_other_content_or_another_address_is_422(self, api: Api) -> None:
        assert api.post(GOOD, idempotency_key="one").status_code == 201
        for body, path in (({**GOOD, "message": "x"}, ALERTS), ([GOOD], ALERTS), ({"service": "a", "version": "1"},
                                                                                 DEPLOYMENTS)):  # fmt: skip
            answer = api.post(body, path, idempotency_key="one")
            assert answer.status_code == 422
            assert answer.json()["title"] == "Idempotency key used for other content"
        assert len(api.listed()) == 1

    def test_a_refusal_is_not_kept(self, api: Api) -> None:
        assert api.post({}, idempotency_key="one").status_code == 400
        assert api.post([{}], idempotency_key="one").status_code == 400
        assert self.stored() == 0
        assert api.post(GOOD, idempotency_key="one").status_code == 201

    def test_it_belongs_to_one_organization(self, api: Api, other: Api) -> None:
        first, second = (one.post(GOOD, idempotency_key="one") for one in (api, other))
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] != second.json()["id"]

    def test_it_is_forgotten_after_eight_days(self, database: str, api: Api) -> None:
        api.post(GOOD, idempotency_key="one")
        with psycopg.connect(url_of(database)) as admin:
            admin.execute("UPDATE alerts_answer SET at = at - interval '8 days 1 second'")
        other = api.post({**GOOD, "message": "x"}, idempotency_key="one")
        assert (other.status_code, other.json()["count"]) == (200, 2)
        assert api.post({**GOOD, "message": "x"}, idempotency_key="one")["Idempotent-Replay"] == "true"
        now = datetime.now(UTC)
        with Scope.of(OWN).enter():
            assert answers.forget(now) == 0
            assert answers.forget(now + answers.KEPT + timedelta(minutes=1)) == 1

    @pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 201, "\x7f"])
    def test_a_key_that_is_none_is_refused(self, api: Api, key: str) -> None:
        assert api.post(GOOD, idempotency_key=key).status_code == 400

    def test_it_stands_and_falls_with_its_alert(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(answers, "_KEEP", "SELECT 1 / 0, %s, %s, %s, %s, %s, %s")
        assert api.post(GOOD, idempotency_key="one").status_code >= 400
        assert api.listed() == []

    def test_at_the_same_time_one_is_done_and_the_others_are_answered_like_it(self, api: Api) -> None:
        found: list[Any] = []
        start = threading.Barrier(8)

        def post() -> None:
            start.wait()
            try:
                found.append(api.ask("POST", ALERTS, GOOD, idempotency_key="one"))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in found} == {201}
        assert len({answer.content for answer in found}) == 1
        assert sum("Idempotent-Replay" in answer for answer in found) == 7
        assert [alert["count"] for alert in api.get().json()["alerts"]] == [1]


class TestList:
    def test_the_newest_come_first_and_pages_follow_each_other_without_gap_or_twin(self, api: Api) -> None:
        messages = fill(11)
        seen, path = [], f"{ALERTS}?limit=4"
        while True:
            body = api.get(path).json()
            seen += [alert["message"] for alert in body["alerts"]]
            if body["nextCursor"] is None:
                break
            path = f"{ALERTS}?limit=4&cursor={body['nextCursor']}"
        assert seen == messages[::-1]

    def test_new_ones_do_not_move_the_pages_behind(self, api: Api) -> None:
        messages = fill(4)
        first = api.get(f"{ALERTS}?limit=2").json()
        api.raised()
        assert api.listed(f"limit=2&cursor={first['nextCursor']}") == messages[1::-1]

    @pytest.mark.parametrize(
        "ordering", ["-firstSeenAt", "firstSeenAt", "-lastSeenAt", "lastSeenAt", "severity", "-severity"]
    )
    def test_every_ordering_is_kept_over_its_pages(self, make_person: Make, ordering: str) -> None:
        api = Api(person=make_person("ada", **{OWN: "analyst", OTHER: "analyst"}))
        for organization in (OWN, OTHER):
            for severity in ("info", "critical", "warning"):
                fill(3, organization=organization, severity=severity, alert_type=severity)
        for alert in api.get(f"{ALERTS}?severity=info").json()["alerts"][:2]:
            lifecycle.resolve(scope=Scope.of(alert["organization"]), ids=[uuid.UUID(alert["id"])],
                              now=datetime.now(UTC), via="api")  # fmt: skip
        whole = api.get(f"{ALERTS}?limit=200&ordering={ordering}").json()["alerts"]
        assert len(whole) == 18
        column = "lastSeenAt" if "lastSeen" in ordering else "firstSeenAt"
        rank = {"critical": 0, "warning": 1, "info": 2}
        if "severity" in ordering:
            ranks = [rank[alert["severity"]] for alert in whole]
            assert ranks == sorted(ranks, reverse=ordering == "-severity")
            for severity in rank:
                times = [alert[column] for alert in whole if alert["severity"] == severity]
                assert times == sorted(times, reverse=True)
        else:
            times = [alert[column] for alert in whole]
            assert times == sorted(times, reverse=ordering.startswith("-"))
        paged, query = [], f"{ALERTS}?limit=5&ordering={ordering}"
        cursor = ""
        for _ in range(4):
            body = api.get(query + cursor).json()
            paged += body["alerts"]
            cursor = f"&cursor={body['nextCursor']}"
        assert paged == whole
        assert body["nextCursor"] is None

    def test_filters_stand_beside_each_other(self, api: Api) -> None:
        api.raised(message="one", severity="critical", alertType="a", modelName="m1")
        api.raised(message="two", severity="info", alertType="b", modelName="m2", endpointId="edge")
        three = api.raised(message="three", severity="critical", alertType="b", modelName="m1")
        api.act("resolve", three["id"])
        api.act("acknowledge", api.raised(message="four", alertType="d")["id"])
        for query, found in {
            "severity=critical": ["three", "one"], "severity=critical,info": ["three", "two", "one"],
            "status=open": ["four", "two", "one"], "status=resolved": ["three"], "status=acknowledged": ["four"],
            "status=open,resolved": ["four", "three", "two", "one"], "status=firing&severity=info": ["two"],
            "type=b": ["three", "two"], "type=b&model=m1": ["three"], "model=m1": ["three", "one"],
            "source=live": ["four", "three", "two", "one"], "source=demo": [],
            "organization=swaggystacks&type=a": ["one"],
            "q=ED": ["two"], "q=hre": ["three"], "q=M2": ["two"], "q=nothing": [], "type=nothing": [],
        }.items():  # fmt: skip
            assert api.listed(query) == found, query

    def test_times_are_from_and_up_to(self, api: Api) -> None:
        fill(3)
        times = [alert["firstSeenAt"] for alert in api.get(f"{ALERTS}?ordering=firstSeenAt").json()["alerts"]]
        assert api.listed(f"since={times[1]}&ordering=firstSeenAt") == ["swaggystacks 1", "swaggystacks 2"]
        assert api.listed(f"until={times[1]}") == ["swaggystacks 0"]
        assert api.listed(f"since={times[1]}&until={times[2]}") == ["swaggystacks 1"]

    def test_a_search_finds_the_very_signs(self, api: Api) -> None:
        for number, message in enumerate(("100% full", "100 full", "a_b", "axb", "back\\slash")):
            api.raised(message=message, alertType=f"t{number}")
        for query, found in {"100%25": ["100% full"], "a_b": ["a_b"], "%5C": ["back\\slash"], "%25": ["100% full"],
                             "'": [], "100": ["100 full", "100% full"]}.items():  # fmt: skip
            assert api.listed(f"q={query}") == found, query

    def test_demo_alerts_are_there_and_say_so(self, api: Api) -> None:
        fill(1, source="demo")
        [alert] = api.get().json()["alerts"]
        assert alert["source"] == "demo"
        assert api.listed("source=live") == []

    def test_all_of_ones_organizations_without_a_name_and_one_with_it(self, make_person: Make, other: Api) -> None:
        mine, theirs = fill(2), fill(2, organization=OTHER)
        both = Api(person=make_person("ada", **{OWN: "analyst", OTHER: "operator", "shared": "executive"}))
        assert sorted(both.listed()) == sorted(mine + theirs)
        assert sorted(both.listed(f"organization={OWN}")) == mine
        assert sorted(other.listed()) == theirs
        assert other.get(f"{ALERTS}?organization={OWN}").status_code == 404
        assert both.get(f"{ALERTS}?organization=shared").status_code == 403

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("severity=urgent", "?severity"), ("severity=", "?severity"), ("severity=info,", "?severity"),
            ("status=closed", "?status"), ("source=replay", "?source"), ("limit=0", "?limit"), ("limit=201", "?limit"),
            ("limit=-1", "?limit"), ("limit=x", "?limit"), ("limit=１", "?limit"), ("ordering=id", "?ordering"),
            ("since=yesterday", "?since"), ("since=2026-01-01", "?since"), ("until=2026-01-01T00:00:00", "?until"),
            ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "?until"), ("nothing=1", "?nothing"),
            ("type=a&type=b", "?type"), ("q=%00", "?q"), ("q=" + "a" * 201, "?q"), ("cursor=", "?cursor"),
        ],
    )  # fmt: skip
    def test_a_bad_parameter_is_400_and_named(self, api: Api, query: str, pointer: str) -> None:
        answer = api.get(f"{ALERTS}?{query}")
        assert answer.status_code == 400, answer.content
        assert list(errors_of(answer)) == [pointer]

    @pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00%2b14:00", "until=9999-12-31T23:59:59-14:00",
                                       "since=0001-01-01T00:00:00%2b23:59", "until=9999-12-31T23:59:59-23:59",
                                       "since=2026-01-01T00:00:00%2b23:59"])  # fmt: skip
    def test_times_at_the_edge_of_the_calendar_are_times(self, api: Api, query: str) -> None:
        api.raised()
        assert len(api.listed(query)) == 1

    def test_names_of_owners_cost_one_query_however_many_there_are(self, api: Api, make_person: Make) -> None:
        owners = [make_person(name, **{OWN: "operator"}) for name in ("ada", "bob")]
        fill(6)
        alerts = api.get().json()["alerts"]
        for number, alert in enumerate(alerts):
            api.act("assign", alert["id"], {"owner": owners[number % 2].username})
        with CaptureQueriesContext(connection) as captured:
            owned = api.get().json()["alerts"]
        assert [alert["owner"] for alert in owned] == ["ada", "bob"] * 3
        assert len([one for one in captured if "organizations_user" in one["sql"]]) == 1


class TestCursors:
    def cursor(self, api: Api, query: str = "") -> str:
        return str(api.get(f"{ALERTS}?limit=1&{query}").json()["nextCursor"])

    def test_it_is_good_for_its_own_list_alone(self, api: Api) -> None:
        fill(3)
        cursor = self.cursor(api, "status=open")
        assert api.get(f"{ALERTS}?limit=3&status=open&cursor={cursor}").status_code == 200
        for query in (
            "",
            "status=firing",
            "status=open&severity=info",
            "status=open&ordering=severity",
            "status=open&q=a",
        ):
            answer = api.get(f"{ALERTS}?{query}&cursor={cursor}")
            assert answer.status_code == 400, query
            assert "same filters" in errors_of(answer)["?cursor"]

    def test_it_cannot_be_altered_or_made(self, api: Api) -> None:
        fill(3)
        cursor = self.cursor(api)
        assert len(cursor) <= 200
        for number in range(len(cursor)):
            forged = cursor[:number] + ("A" if cursor[number] != "A" else "B") + cursor[number + 1 :]
            answer = api.get(f"{ALERTS}?cursor={forged}")
            # The last letter before the dot has bits that mean nothing, but they are signed as well.
            assert answer.status_code == 400, (number, forged)
        for made in ("x", ".", "a.b", cursor + "A", "." + cursor, cursor.split(".")[0], "AAAA.AAAA"):
            assert api.get(f"{ALERTS}?cursor={made}").status_code == 400, made

    def test_it_is_of_no_use_to_another_organization(self, api: Api, other: Api) -> None:
        fill(3)
        fill(3, organization=OTHER)
        assert other.get(f"{ALERTS}?cursor={self.cursor(api)}").status_code == 400

    def test_a_timelines_is_good_for_that_alert_alone(self, api: Api) -> None:
        one, another = (api.raised(alertType=kind)["id"] for kind in "ab")
        for identifier in (one, another):
            for _ in range(2):
                api.act("comment", identifier, {"note": "x"})
        cursor = api.get(f"{ALERTS}/{one}/timeline?limit=2").json()["nextCursor"]
        rest = api.get(f"{ALERTS}/{one}/timeline?limit=2&cursor={cursor}").json()
        assert ([event["kind"] for event in rest["events"]], rest["nextCursor"]) == (["commented"], None)
        assert api.get(f"{ALERTS}/{another}/timeline?cursor={cursor}").status_code == 400
        fill(3)
        assert api.get(f"{ALERTS}/{one}/timeline?cursor={self.cursor(api)}").status_code == 400


class TestVerbs:
    def test_acknowledge_is_done_once_and_says_who_and_until_when(self, api: Api) -> None:
        identifier, until = api.raised()["id"], soon()
        first = api.act("acknowledge", identifier, {"note": "on it", "until": until}).json()
        assert (first["status"], first["acknowledgedBy"][:4]) == ("acknowledged", "test")
        assert datetime.fromisoformat(first["acknowledgedUntil"]) - datetime.fromisoformat(until) < timedelta(seconds=1)
        again = api.act("acknowledge", identifier, {"note": "on it", "until": until})
        assert (again.status_code, again.json()) == (200, first)
        assert api.act("acknowledge", identifier).json() == first
        assert kinds(api, identifier) == ["fired", "acknowledged"]

    def test_unacknowledge_makes_it_fire_again(self, api: Api) -> None:
        identifier = api.raised()["id"]
        api.act("acknowledge", identifier)
        for _ in range(2):
            alert = api.act("unacknowledge", identifier).json()
            assert (alert["status"], alert["acknowledgedAt"], alert["acknowledgedBy"]) == ("firing", None, None)
        assert kinds(api, identifier) == ["fired", "acknowledged", "unacknowledged"]

    def test_resolve_needs_no_body_and_keeps_its_first_time(self, api: Api) -> None:
        identifier = api.raised()["id"]
        first = api.ask("PUT", f"{ALERTS}/{identifier}/resolve", kind="")
        assert (first.status_code, first.json()["status"]) == (200, "resolved")
        assert first.json()["resolvedBy"].startswith("test")
        for body in (None, {}, {"note": "once more"}, b"  "):
            again = api.act("resolve", identifier, body)
            assert (again.status_code, again.json()["resolvedAt"]) == (200, first.json()["resolvedAt"])
        assert kinds(api, identifier) == ["fired", "resolved"]

    def test_a_note_that_comes_in_chunks_is_read(self, api: Api) -> None:
        identifier = api.raised()["id"]
        answer = api.client.generic(
            "PUT", f"{ALERTS}/{identifier}/resolve", headers={**api.headers, "transfer-encoding": "chunked"},
            CONTENT_TYPE="application/json", **{"wsgi.input": BytesIO(b'{"note": "in chunks"}')},
        )  # fmt: skip
        assert answer.status_code == 200
        assert api.get(f"{ALERTS}/{identifier}/timeline").json()["events"][-1]["note"] == "in chunks"

    def test_reopen_gives_the_same_episode_back(self, api: Api) -> None:
        alert = api.raised()
        api.act("resolve", alert["id"])
        again = api.act("reopen", alert["id"], {"note": "it is back"}).json()
        assert (again["status"], again["episode"], again["resolvedAt"], again["resolvedBy"]) == (
            "firing",
            1,
            None,
            None,
        )
        assert api.act("reopen", alert["id"]).status_code == 200
        assert kinds(api, alert["id"]) == ["fired", "resolved", "reopened"]

    def test_assign_takes_members_and_nobody_else(self, api: Api, make_person: Make) -> None:
        make_person("ada", **{OWN: "analyst"})
        make_person("eve", **{OTHER: "owner"})
        gone = make_person("gone", **{OWN: "owner"})
        gone.is_active = False
        gone.save()
        identifier = api.raised()["id"]
        for _ in range(2):
            assert api.act("assign", identifier, {"owner": "ada"}).json()["owner"] == "ada"
        for name in ("eve", "gone", "nobody", "ADA"):
            answer = api.act("assign", identifier, {"owner": name})
            assert answer.status_code == 400
            assert errors_of(answer) == {"/owner": "must be the user name of a member of the alert's organization"}
        assert api.act("assign", identifier, {}).status_code == 400
        assert api.get(f"{ALERTS}/{identifier}").json()["owner"] == "ada"
        assert api.act("assign", identifier, {"owner": None}).json()["owner"] is None
        events = api.get(f"{ALERTS}/{identifier}/timeline").json()["events"][1:]
        assert [(event["before"], event["after"]) for event in events] == [
            ({"owner": None}, {"owner": "ada"}), ({"owner": "ada"}, {"owner": None}),
        ]  # fmt: skip

    def test_a_member_of_one_of_ones_organizations_owns_nothing_of_the_other(self, make_person: Make) -> None:
        api = Api(person=make_person("ada", **{OWN: "owner", OTHER: "owner"}))
        make_person("bob", **{OWN: "analyst"})
        alert = api.raised(organization=OTHER)
        assert errors_of(api.act("assign", alert["id"], {"owner": "bob"})).keys() == {"/owner"}
        assert api.act("assign", alert["id"], {"owner": "ada"}).status_code == 200

    def test_shelve_and_unshelve(self, api: Api) -> None:
        identifier, until = api.raised()["id"], soon(days=29)
        for _ in range(2):
            alert = api.act("shelve", identifier, {"until": until, "note": "the vendor knows"}).json()
        [shelf] = alert["suppressedBy"]
        assert set(shelf) == {"kind", "since", "until", "by", "note"}
        assert (shelf["kind"], shelf["note"], shelf["by"][:4], alert["status"]) == (
            "shelved", "the vendor knows", "test", "firing",
        )  # fmt: skip
        assert api.act("unshelve", identifier).json()["suppressedBy"] == []
        assert api.act("unshelve", identifier).status_code == 200
        assert kinds(api, identifier) == ["fired", "shelved", "unshelved"]

    def test_comments_are_kept_each_and_also_of_what_is_over(self, api: Api) -> None:
        identifier = api.raised()["id"]
        api.act("resolve", identifier)
        for _ in range(2):
            assert api.act("comment", identifier, {"note": "see\nbelow"}).status_code == 201
        assert kinds(api, identifier) == ["fired", "resolved", "commented", "commented"]
        for body in (None, {}, {"note": ""}, {"note": " "}, {"note": "x" * 2001}, {"note": "a\u0000"}):
            assert api.act("comment", identifier, body).status_code == 400

    @pytest.mark.parametrize("verb", ["acknowledge", "unacknowledge", "assign", "shelve"])
    def test_what_a_resolved_alert_does_not_allow_is_409(self, api: Api, verb: str) -> None:
        identifier = api.raised()["id"]
        api.act("resolve", identifier)
        answer = api.act(verb, identifier, {"assign": {"owner": None}, "shelve": {"until": soon()}}.get(verb))
        assert answer.status_code == 409
        problem = answer.json()
        assert (problem["title"], problem["status"]) == ("Not possible as it stands", 409)
        assert problem["detail"].startswith("The alert is resolved; it cannot be ")
        assert kinds(api, identifier) == ["fired", "resolved"]

    def test_an_episode_before_an_open_one_is_not_reopened(self, api: Api) -> None:
        first = api.raised()["id"]
        api.act("resolve", first)
        api.raised()
        assert api.act("reopen", first).status_code == 409

    @pytest.mark.parametrize("verb", ["acknowledge", "shelve"])
    @pytest.mark.parametrize("until", [{"hours": -1}, {"seconds": -1}, {"days": 30, "minutes": 1}, {"days": 4000}])
    def test_until_lies_ahead_and_not_too_far(self, api: Api, verb: str, until: dict[str, float]) -> None:
        identifier = api.raised()["id"]
        answer = api.act(verb, identifier, {"until": soon(**until)})
        assert answer.status_code == 400
        assert errors_of(answer) == {"/until": "must be in the future, and at most 30 days ahead"}

    @pytest.mark.parametrize("verb", ["acknowledge", "shelve"])
    def test_until_may_be_of_any_zone(self, api: Api, verb: str) -> None:
        identifier, east = api.raised()["id"], timezone(timedelta(hours=23, minutes=59))
        until = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
        answer = api.act(verb, identifier, {"until": until.astimezone(east).isoformat()})
        assert answer.status_code == 200, answer.content
        alert = answer.json()
        told = alert["acknowledgedUntil"] if verb == "acknowledge" else alert["suppressedBy"][0]["until"]
        assert datetime.fromisoformat(told) == until

    @pytest.mark.parametrize("until", ["tomorrow", "2026-01-31", "2026-01-31T09:00:00", 5, "9999-12-31T23:59:59-14:00",
                                       "0001-01-01T00:00:00+14:00"])  # fmt: skip
    def test_until_is_a_time(self, api: Api, until: Any) -> None:
        answer = api.act("shelve", api.raised()["id"], {"until": until})
        assert answer.status_code == 400
        assert list(errors_of(answer)) == ["/until"]

    @pytest.mark.parametrize("verb", VERBS)
    def test_unknown_fields_and_parameters_are_refused(self, api: Api, verb: str) -> None:
        identifier = api.raised()["id"]
        assert "/nothing" in errors_of(api.act(verb, identifier, {"nothing": 1}))
        assert api.act(verb, identifier, [1]).status_code == 400
        assert api.act(verb, f"{identifier}", b"{").status_code == 400
        method = "POST" if verb == "comment" else "PUT"
        assert api.ask(method, f"{ALERTS}/{identifier}/{verb}?organization={OWN}", {}).status_code == 400
        assert api.ask(method, f"{ALERTS}/{identifier}/{verb}", b"a=b", kind="text/plain").status_code == 415
        assert api.ask(method, f"{ALERTS}/{identifier}/{verb}", b" " * 300_000).status_code == 413

    @pytest.mark.parametrize("verb", ["", "timeline", *VERBS])
    @pytest.mark.parametrize("identifier", [str(uuid.UUID(int=0)), "1", "x" * 300, "SUMMARY", "%00"])
    def test_what_is_not_there_is_404(self, api: Api, verb: str, identifier: str) -> None:
        body = {"assign": {"owner": None}, "shelve": {"until": soon()}, "comment": {"note": "x"}}.get(verb)
        method = {"": "GET", "timeline": "GET", "comment": "POST"}.get(verb, "PUT")
        answer = api.ask(method, f"{ALERTS}/{identifier}/{verb}".rstrip("/"), body)
        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/problem+json"

    def test_an_id_has_one_spelling(self, api: Api) -> None:
        identifier = api.raised()["id"]
        for spelt in (identifier.upper(), identifier.replace("-", ""), f"{{{identifier}}}", f"urn:uuid:{identifier}"):
            assert api.get(f"{ALERTS}/{spelt}").status_code == 404

    def test_a_verb_leaves_a_row_in_the_audit_trail(self, api: Api) -> None:
        identifier = api.raised()["id"]
        api.act("acknowledge", identifier)
        api.act("acknowledge", identifier)
        with Scope.of(OWN).enter():
            rows = AuditEvent.objects.filter(object_type="alert", object_id=identifier).order_by("id")
            assert [row.action for row in rows] == ["fired", "acknowledged"]


class TestTimeline:
    def test_it_tells_all_in_order_and_in_the_usual_words(self, api: Api) -> None:
        identifier, until = api.raised()["id"], soon()
        api.act("acknowledge", identifier, {"until": until, "note": "on it"})
        api.act("resolve", identifier)
        events = api.get(f"{ALERTS}/{identifier}/timeline").json()["events"]
        assert {tuple(event) for event in events} == {
            ("at", "kind", "actor", "actorKind", "via", "address", "before", "after", "note", "tells", "withheld")
        }
        fired, acknowledged, resolved = events
        assert (fired["note"], fired["withheld"], fired["actorKind"]) == (None, None, "key")
        assert (acknowledged["note"], acknowledged["before"]["status"]) == ("on it", "firing")
        assert acknowledged["after"]["acknowledgedUntil"].endswith("Z")
        assert len(acknowledged["after"]["acknowledgedUntil"]) == len("2026-01-31T09:00:00.000Z")
        assert (resolved["after"]["status"], resolved["tells"]) == ("resolved", "resolve")

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=x", "organization=swaggystacks"])
    def test_bad_parameters_are_refused(self, api: Api, query: str) -> None:
        assert api.get(f"{ALERTS}/{api.raised()['id']}/timeline?{query}").status_code == 400


class TestBulk:
    def bulk(self, api: Api, action: str, ids: list[str], **more: Any) -> Any:
        return api.post({"action": action, "ids": ids, **more}, f"{ALERTS}/bulk")

    def test_each_has_its_result(self, api: Api, other: Api) -> None:
        one, two, over = (api.raised(alertType=kind)["id"] for kind in "abc")
        api.act("resolve", over)
        api.act("acknowledge", two)
        theirs, absent = other.raised()["id"], str(uuid.uuid4())
        answer = self.bulk(api, "acknowledge", [one, two, over, theirs, absent, one], note="mine")
        assert answer.status_code == 207
        body = answer.json()
        assert (body["changed"], body["unchanged"], body["rejected"]) == (1, 1, 3)
        assert [row["id"] for row in body["results"]] == [one, two, over, theirs, absent]
        codes = [row.get("errors", [{}])[0].get("code") for row in body["results"]]
        assert codes == [None, None, "refused", "not-found", "not-found"]
        assert body["results"][0]["alert"]["status"] == "acknowledged"
        assert other.get(f"{ALERTS}/{theirs}").json()["status"] == "firing"

    def test_statuses_tell_whether_all_some_or_none_went(self, api: Api) -> None:
        identifier = api.raised()["id"]
        assert self.bulk(api, "resolve", [identifier]).status_code == 200
        assert self.bulk(api, "resolve", [identifier]).json()["unchanged"] == 1
        assert self.bulk(api, "resolve", [identifier, str(uuid.uuid4())]).status_code == 207
        refused = self.bulk(api, "acknowledge", [identifier])
        assert (refused.status_code, refused["Content-Type"]) == (400, "application/json")

    def test_every_verb_can_be_done(self, api: Api, make_person: Make) -> None:
        make_person("ada", **{OWN: "operator"})
        ids = [api.raised(alertType=kind)["id"] for kind in "ab"]
        for action, more in (
            ("acknowledge", {"until": soon()}), ("unacknowledge", {}), ("assign", {"owner": "ada"}),
            ("shelve", {"until": soon()}), ("unshelve", {}), ("comment", {"note": "x"}), ("resolve", {"note": "over"}),
            ("reopen", {}),
        ):  # fmt: skip
            answer = self.bulk(api, action, ids, **more)
            assert (answer.status_code, answer.json()["changed"]) == (200, 2), action
        assert all(kinds(api, one)[-1] == "reopened" for one in ids)

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"action": "delete", "ids": [str(uuid.uuid4())]}, "/action"), ({"action": "resolve", "ids": []}, "/ids"),
            ({"action": "resolve", "ids": [str(uuid.uuid4())] * 201}, "/ids"), ({"action": "resolve"}, "/ids"),
            ({"action": "resolve", "ids": ["x"]}, "/ids/0"),
            ({"action": "resolve", "ids": [str(uuid.uuid4())], "until": "2030-01-01T00:00:00Z"}, "/until"),
            ({"action": "shelve", "ids": [str(uuid.uuid4())]}, "/until"),
            ({"action": "assign", "ids": [str(uuid.uuid4())]}, "/owner"),
            ({"action": "comment", "ids": [str(uuid.uuid4())]}, "/note"),
            ({"action": "shelve", "ids": [str(uuid.uuid4())], "until": "2020-01-01T00:00:00Z"}, "/until"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, api: Api, body: Any, pointer: str) -> None:
        answer = api.post(body, f"{ALERTS}/bulk")
        assert answer.status_code == 400
        assert {found[: len(pointer)] for found in errors_of(answer)} == {pointer}

    def test_who_may_only_read_some_changes_the_others(self, make_person: Make, api: Api, other: Api) -> None:
        mine, readable = api.raised()["id"], other.raised()["id"]
        ada = Api(person=make_person("ada", **{OWN: "operator", OTHER: "analyst"}))
        rows = self.bulk(ada, "resolve", [mine, readable]).json()["results"]
        assert [row["status"] for row in rows] == ["changed", "rejected"]
        assert rows[1]["errors"][0]["code"] == "not-allowed"
        assert ada.act("resolve", readable).status_code == 403

    def test_two_hundred_cost_as_many_queries_as_two(self, api: Api) -> None:
        def queries(ids: list[str]) -> int:
            with CaptureQueriesContext(connection) as captured:
                assert self.bulk(api, "resolve", ids, note="x").json()["changed"] == len(ids)
            return len(captured)

        rows = api.post([{**GOOD, "labels": {"n": str(n)}} for n in range(200)]).json()["results"]
        ids = [row["alert"]["id"] for row in rows]
        queries(ids[:1])
        assert queries(ids[1:3]) == queries(ids[3:])


class TestSummary:
    HEADERS = ("Total", "Firing", "Acknowledged", "Critical", "Warning", "Info", "Oldest-Seconds")

    def test_headers_and_json_say_the_same(self, api: Api) -> None:
        api.raised(severity="critical")
        api.act("acknowledge", api.raised(alertType="a", severity="warning")["id"])
        api.act("shelve", api.raised(alertType="b", severity="warning")["id"], {"until": soon()})
        api.act("resolve", api.raised(alertType="c", severity="info")["id"])
        asked, told = api.ask("HEAD", f"{ALERTS}/summary"), api.get(f"{ALERTS}/summary")
        assert (asked.status_code, asked.content) == (200, b"")
        numbers = [int(asked[f"X-Alerts-{name}"]) for name in self.HEADERS[:-1]]
        assert numbers == [3, 2, 1, 1, 2, 0]
        body = told.json()
        assert [body[name.lower()] for name in self.HEADERS[:-1]] == numbers
        assert body["suppressed"] == 1
        assert int(asked["X-Alerts-Oldest-Seconds"]) <= body["oldestSeconds"] < 60
        assert body["oldestAt"] == api.get(f"{ALERTS}?ordering=firstSeenAt").json()["alerts"][0]["firstSeenAt"]

    def test_without_an_open_alert_there_is_no_oldest(self, api: Api) -> None:
        answer = api.get(f"{ALERTS}/summary")
        assert answer["X-Alerts-Total"] == "0"
        assert "X-Alerts-Oldest-Seconds" not in answer
        assert (answer.json()["oldestAt"], answer.json()["oldestSeconds"]) == (None, None)

    def test_its_tag_holds_while_time_goes_by_and_ends_with_a_change(
        self, api: Api, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alert = api.raised()
        first = api.get(f"{ALERTS}/summary")
        later = datetime.now(UTC) + timedelta(hours=1)
        monkeypatch.setattr("alerts.api.timezone.now", lambda: later)
        again = api.get(f"{ALERTS}/summary")
        assert int(again["X-Alerts-Oldest-Seconds"]) >= 3600 > int(first["X-Alerts-Oldest-Seconds"])
        assert again["ETag"] == first["ETag"]
        for method in ("GET", "HEAD"):
            same = api.ask(method, f"{ALERTS}/summary", if_none_match=first["ETag"])
            assert (same.status_code, same.content, same["X-Alerts-Total"]) == (304, b"", "1")
            assert same["ETag"] == first["ETag"]
        monkeypatch.undo()
        api.act("acknowledge", alert["id"])
        assert api.get(f"{ALERTS}/summary", if_none_match=first["ETag"]).status_code == 200

    def test_it_is_of_ones_own_and_of_the_sources_asked_for(self, api: Api, other: Api) -> None:
        fill(2, organization=OTHER)
        fill(1, organization=OTHER, source="demo")
        assert api.get(f"{ALERTS}/summary")["X-Alerts-Total"] == "0"
        for query, total in (("", "3"), ("?source=live", "2"), ("?source=demo", "1"), ("?source=live,demo", "3")):
            assert other.get(f"{ALERTS}/summary{query}")["X-Alerts-Total"] == total
        assert api.get(f"{ALERTS}/summary?organization={OTHER}").status_code == 404
        assert api.get(f"{ALERTS}/summary?status=open").status_code == 400
        tags = {one.get(f"{ALERTS}/summary?source=live")["ETag"] for one in (api, other)}
        assert len(tags) == 2


class TestDeployments:
    def test_one_is_an_info_alert_that_ends_by_itself(self, api: Api) -> None:
        body = {"service": "gateway", "version": "2.4.1", "environment": "production", "url": "https://ci.example/7",
                "description": "Faster.", "modelName": "m", "endpointId": "e"}  # fmt: skip
        answer = api.post(body, DEPLOYMENTS)
        assert answer.status_code == 201, answer.content
        alert = answer.json()
        assert (alert["alertType"], alert["severity"]) == ("deployment", "info")
        assert alert["message"] == "gateway 2.4.1 went live in production."
        assert alert["labels"] == {"service": "gateway", "version": "2.4.1", "environment": "production"}
        assert alert["metadata"] == {"description": "Faster.", "url": "https://ci.example/7"}
        assert (alert["modelName"], alert["endpointId"]) == ("m", "e")
        assert answer["Location"] == f"{ALERTS}/{alert['id']}"
        state = reading.one(Scope.of(OWN), uuid.UUID(alert["id"]))
        assert state is not None
        assert state.ends_at is not None
        assert state.ends_at - state.first_seen_at == timedelta(hours=24)

    def test_the_same_again_is_counted_and_another_version_is_another(self, api: Api) -> None:
        body = {"service": "gateway", "version": "1"}
        assert api.post(body, DEPLOYMENTS).json()["message"] == "gateway 1 went live."
        again = api.post(body, DEPLOYMENTS)
        assert (again.status_code, again.json()["count"]) == (200, 2)
        assert api.post({**body, "version": "2"}, DEPLOYMENTS).status_code == 201

    def test_another_version_takes_its_place_and_one_that_comes_back_is_news_again(self, api: Api) -> None:
        body = {"service": "gateway", "version": "1"}
        first = api.post(body, DEPLOYMENTS).json()
        elsewhere = [api.post({**body, **other}, DEPLOYMENTS).json()["id"]
                     for other in ({"service": "worker"}, {"environment": "staging"}, {"modelName": "m"})]  # fmt: skip
        second = api.post({**body, "version": "2"}, DEPLOYMENTS).json()
        replaced = api.get(f"{ALERTS}/{first['id']}").json()
        assert replaced["status"] == "resolved"
        assert api.get(f"{ALERTS}/{first['id']}/timeline").json()["events"][-1]["note"] == "Replaced by 2."
        back = api.post(body, DEPLOYMENTS)
        assert (back.status_code, back.json()["episode"]) == (201, 2)
        still = {alert["id"] for alert in api.get(f"{ALERTS}?status=open").json()["alerts"]}
        assert still == {*elsewhere, back.json()["id"]}
        assert second["id"] not in still

    def test_a_key_makes_it_harmless_to_send_again(self, api: Api) -> None:
        body = {"service": "gateway", "version": "1"}
        first, again = (api.post(body, DEPLOYMENTS, idempotency_key="one") for _ in range(2))
        assert (first.content, again["Idempotent-Replay"]) == (again.content, "true")

    @pytest.mark.parametrize(
        ("more", "pointer"),
        [({"service": ""}, "/service"), ({"version": None}, "/version"), ({"url": "javascript:alert(1)"}, "/url"),
         ({"nothing": 1}, "/nothing"), ({"environment": "x" * 201}, "/environment")],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, api: Api, more: dict[str, Any], pointer: str) -> None:
        answer = api.post({"service": "gateway", "version": "1", **more}, DEPLOYMENTS)
        assert answer.status_code == 400
        assert list(errors_of(answer)) == [pointer]

    def test_another_organization_is_404(self, api: Api) -> None:
        body = {"service": "gateway", "version": "1"}
        assert api.post({**body, "organization": OTHER}, DEPLOYMENTS).status_code == 404
        assert api.post(body, f"{DEPLOYMENTS}?organization={OTHER}").status_code == 404
        mixed = api.post({**body, "organization": OTHER}, f"{DEPLOYMENTS}?organization={OWN}")
        assert errors_of(mixed).keys() == {"/organization"}


class TestInProcess:
    def test_it_raises_and_counts_like_the_api(self, api: Api) -> None:
        given: dict[str, Any] = {"alert_type": "t", "severity": "info", "message": "x", "labels": {"a": "b"}}
        first = create_alert(organization=OWN, ends_after=timedelta(hours=1), **given)
        again = create_alert(organization=OWN, **given)
        assert (first.created, again.created, again.state.id, again.state.count) == (True, False, first.state.id, 2)
        assert first.state.ends_at == first.state.first_seen_at + timedelta(hours=1)
        answer = api.post({"alertType": "t", "severity": "info", "message": "y", "labels": {"a": "b"}})
        assert (answer.status_code, answer.json()["count"]) == (200, 3)

    @pytest.mark.parametrize(
        ("more", "pointer"),
        [
            ({"organization": "nobody_of_that_name"}, "/organization"), ({"organization": "No Slug"}, "/organization"),
            ({"severity": "urgent"}, "/severity"), ({"message": ""}, "/message"),
            ({"metadata": {"at": object()}}, "/metadata"), ({"metadata": {"at": [datetime.now(UTC)]}}, "/metadata"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named_and_nothing_is_written(
        self, database: str, more: dict[str, Any], pointer: str
    ) -> None:
        with pytest.raises(BadItems) as refused:
            create_alert(**{"organization": OWN, "alert_type": "t", "severity": "info", "message": "x", **more})
        assert [fault["pointer"] for fault in refused.value.errors] == [pointer]
        with psycopg.connect(url_of(database)) as admin:  # one of no organization is in nobody's scope
            assert admin.execute("SELECT count(*) FROM alerts_alert").fetchone() == (0,)


class TestPermissions:
    def everything(self, api: Api, identifier: str) -> dict[str, int]:
        """The status of each operation."""
        found = {
            "list": api.get(), "one": api.get(f"{ALERTS}/{identifier}"), "summary": api.get(f"{ALERTS}/summary"),
            "timeline": api.get(f"{ALERTS}/{identifier}/timeline"), "raise": api.post(GOOD),
            "bulk": api.post({"action": "resolve", "ids": [identifier]}, f"{ALERTS}/bulk"),
            "deploy": api.post({"service": "a", "version": "1"}, DEPLOYMENTS),
        }  # fmt: skip
        bodies = {"assign": {"owner": None}, "shelve": {"until": soon()}, "comment": {"note": "x"}}
        found |= {verb: api.act(verb, identifier, bodies.get(verb)) for verb in VERBS}
        return {name: answer.status_code for name, answer in found.items()}

    READS = ("list", "one", "summary", "timeline")

    @pytest.mark.parametrize("role", ["owner", "operator", "analyst", "executive"])
    def test_people_read_and_write_by_their_role(self, make_person: Make, api: Api, role: str) -> None:
        ada = Api(person=make_person("ada", **{OWN: role}))
        found = self.everything(ada, api.raised()["id"])
        for name, status in found.items():
            may = role in ("owner", "operator") or (role == "analyst" and name in self.READS)
            assert (status != 403) == may, name

    def test_keys_read_and_write_by_their_scopes(self, make_key: Make, api: Api) -> None:
        identifier = api.raised()["id"]
        for scopes, open_to in ((("alerts:read",), self.READS), (("dashboard:read", "ingest:write"), ())):
            found = self.everything(Api(make_key(OWN, *scopes)), identifier)
            assert {name for name, status in found.items() if status != 403} == set(open_to)
        writer = self.everything(Api(make_key(OWN, "alerts:write")), identifier)
        assert {name for name, status in writer.items() if status == 403} == set(self.READS)

    def test_a_stranger_is_401_everywhere(self, api: Api) -> None:
        found = self.everything(Api(), api.raised()["id"])
        assert set(found.values()) == {401}

    def test_a_role_in_one_organization_is_none_in_another(self, make_person: Make, other: Api) -> None:
        theirs = other.raised()["id"]
        ada = Api(person=make_person("ada", **{OWN: "owner", OTHER: "executive"}))
        assert [ada.get(f"{ALERTS}/{theirs}").status_code, ada.act("resolve", theirs).status_code] == [403, 403]
        assert ada.listed() == []
        assert other.get(f"{ALERTS}/{theirs}").json()["status"] == "firing"

    def test_a_page_needs_its_csrf_token(self, make_person: Make, api: Api) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(make_person("ada", **{OWN: "operator"}))
        path = f"{ALERTS}/{api.raised()['id']}/resolve"
        assert strict.put(path, content_type="application/json").status_code == 403
        token = str(strict.get(f"/dashboards/{OWN}/").context["csrf_token"])
        answer = strict.put(path, content_type="application/json", headers={"x-csrftoken": token})
        assert answer.status_code == 200


class TestReading:
    def test_a_page_is_read_along_the_indexes(self, database: str) -> None:
        with psycopg.connect(url_of(database), autocommit=True) as admin:
            admin.execute(
                "INSERT INTO alerts_alert (id, organization_id, fingerprint, episode, source, alert_type, severity, "
                "status, message, endpoint_id, model_name, metadata, labels, count, reopened, first_seen_at, "
                "last_seen_at, acknowledged_by, acknowledge_note, resolved_by, resolve_note, suppressed_by, "
                "changed_at) SELECT gen_random_uuid(), %s, md5(n::text), 1, 'live', 't', "
                "(ARRAY['critical', 'warning', 'info'])[1 + n %% 3], 'firing', 'm', '', '', '{}', '{}', 1, 0, "
                "now() - n * interval '1 s', now(), '', '', '', '', '[]', now() "
                "FROM generate_series(1, 5000) n", [OWN],
            )  # fmt: skip
            admin.execute("ANALYZE alerts_alert")
        scope = Scope.of(OWN, OTHER)
        for ordering, index in (("-firstSeenAt", "alerts_open_newest"), ("severity", "alerts_open_worst")):
            wanted: Any = {"ordering": ordering, "limit": 50}
            with CaptureQueriesContext(connection) as captured:
                found = reading.page(scope, Filter(statuses=reading.OPEN), **wanted)
            assert len(found) == 50
            [statement] = [one["sql"] for one in captured if "LATERAL" in one["sql"]]
            with scope.enter(), connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + statement[statement.index("SELECT found") :].replace("%", "%%"))
                plan = "\n".join(row[0] for row in cursor.fetchall())
            assert index in plan
            assert "Seq Scan on alerts_alert" not in plan

    def test_between_finds_what_was_open_at_some_time_of_it(self, database: str) -> None:
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        hour = timedelta(hours=1)
        scope = Scope.of(OWN)
        for name, first, last in (("before", 0, 1), ("into", 1, 3), ("within", 3, 4), ("over", 0, 9), ("open", 4, None),
                                  ("after", 5, 6)):  # fmt: skip
            report = Report(alert_type=name, severity="info", message=name)
            [fired] = lifecycle.fire(scope=scope, organization=OWN, reports=[report], now=begin + first * hour, via="x")
            if last is not None:
                lifecycle.resolve(scope=scope, ids=[fired.state.id], now=begin + last * hour, via="x")
        found = reading.between(scope, OWN, begin + 2 * hour, begin + 5 * hour)
        assert [state.alert_type for state in found] == ["open", "within", "into", "over"]
        assert [
            state.alert_type for state in reading.between(scope, OWN, begin + 2 * hour, begin + 5 * hour, limit=1)
        ] == ["open"]
        assert reading.between(Scope.of(OTHER), OWN, begin, begin + 9 * hour) == []
        assert reading.between(scope, OWN, begin, begin + 9 * hour, sources=["demo"]) == []

    def test_nothing_is_shown_beyond_the_scope(self, database: str) -> None:
        create_alert(organization=OTHER, alert_type="t", severity="info", message="theirs")
        [theirs] = reading.page(Scope.system("test"), Filter(), limit=5)
        for scope in (Scope.of(OWN), Scope.of()):
            assert reading.page(scope, Filter(organizations=(OTHER,)), limit=5) == []
            assert reading.one(scope, theirs.id) is None
            assert reading.timeline(scope, theirs.id) == []
            assert reading.whereabouts(scope, [theirs.id]) == {}
            assert reading.summary(scope, [OTHER]).total == 0

    def test_an_owner_who_left_is_still_named(self, api: Api, make_person: Make) -> None:
        ada = make_person("ada", **{OWN: "operator"})
        identifier = api.raised()["id"]
        api.act("assign", identifier, {"owner": "ada"})
        with Scope.of(OWN).enter():
            Membership.objects.filter(user=ada).delete()
        assert api.get(f"{ALERTS}/{identifier}").json()["owner"] == "ada"
