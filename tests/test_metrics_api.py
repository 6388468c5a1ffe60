"""GET /api/metrics and GET /metrics over real rows: whose series a caller is told, in which form, and at what cost."""

import gzip
import json
import time
import tomllib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bedrock import identifiers
from cockpit import metrics
from cockpit.env import ROOT
from monitoring import business
from monitoring.families import FAMILIES, GROUPS
from monitoring.openmetrics import OPENMETRICS, TEXT
from monitoring.store import current_store
from monitoring.store.samples import Increment, Sample
from monitoring.tallies import Tallies
from organizations import limits
from organizations.models import Organization, User
from organizations.scope import Scope
from tests.documents import table
from tests.test_edge import closed_port, point_at
from tests.test_exposition import Series, parsed, value

assert point_at  # the fixture that takes the database away

METRICS, PROCESS = "/api/metrics", "/metrics"
INFERENCE = "/api/monitoring/dashboard/inference"
OWN, OTHER = "swaggystacks", "scientia_capital"
Make = Callable[..., str]


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(business, "_tallies", Tallies())
    monkeypatch.setattr(limits, "_tallies", {})


def ask(key: str = "", path: str = METRICS, client: Client | None = None, accept: str = "", **query: Any) -> Any:
    headers = ({"authorization": f"Bearer {key}"} if key else {}) | ({"accept": accept} if accept else {})
    return (client or Client(raise_request_exception=False)).get(path, query, headers=headers)


def read(key: str, **query: Any) -> Series:
    answer = ask(key, **query)
    assert answer.status_code == 200, answer.content[:300]
    return parsed(answer.content.decode(), TEXT)


def organizations(found: Series) -> set[str]:
    return {dict(labels)["organization"] for _, labels in found if "organization" in dict(labels)}


def record(key: str, **more: Any) -> None:
    item = {"modelName": "m", "durationMs": 12, "cost": "0.5", "inputTokens": 10, "userId": "ada", **more}
    answer = Client().post(
        INFERENCE, json.dumps(item), content_type="application/json", headers={"authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 201, answer.content


def observe(now: datetime) -> None:
    """One level and one counter of every family that the store keeps, in each organization."""
    at = identifiers.milliseconds(now)
    samples, increments = [], []
    for organization in ("shared", OWN, OTHER):
        for family in FAMILIES:
            common = {"organization": organization, "labels": (("host", f"host of {organization}"),), "at_ms": at}
            if family.group in ("business", "self"):
                continue
            if family.kind in ("gauge", "info"):
                samples.append(Sample(family=family.name, value=1.0, **common))  # type: ignore[arg-type]
            elif family.kind == "counter":
                increments.append(Increment(family=family.name, amount=1.0, **common))  # type: ignore[arg-type]
    current_store().observe(Scope.system("test"), samples, increments, now=now)


@pytest.fixture
def keys(make_key: Make, now: datetime) -> dict[str, str]:
    """A key of each kind, over rows of every organization."""
    for organization in (OWN, OTHER):
        writer = make_key(organization, "ingest:write")
        record(writer, modelName=f"model of {organization}")
        record(writer, modelName=f"model of {organization}", source="replay")
    observe(now)
    return {
        OWN: make_key(OWN, "metrics:read"),
        OTHER: make_key(OTHER, "metrics:read"),
        "shared": make_key("shared", "metrics:read"),
        "platform": make_key("shared", "metrics:read", "dashboard:read", platform=True),
        "dashboard": make_key(OWN, "dashboard:read"),
    }


class TestWhose:
    def test_each_key_is_told_every_family_of_its_own_and_nothing_of_others(self, keys: dict[str, str]) -> None:
        whole = read(keys["platform"])
        assert organizations(whole) == {"shared", OWN, OTHER}
        for own in ("shared", OWN, OTHER):
            found = read(keys[own])
            assert organizations(found) == {own}
            expected = {name for name, labels in whole if dict(labels).get("organization") == own}
            assert {name for name, labels in found if "organization" in dict(labels)} == expected
            text = ask(keys[own]).content.decode()
            assert not [other for other in {"shared", OWN, OTHER} - {own} if other in text]

    def test_only_live_data_are_told(self, keys: dict[str, str]) -> None:
        found = read(keys[OWN], include="cockpit_inferences_total")
        assert list(found.values()) == [1]

    def test_people_read_by_their_memberships(self, keys: dict[str, str], make_person: Callable[..., User]) -> None:
        for role, status in (("owner", 200), ("operator", 200), ("analyst", 200), ("executive", 403)):
            client = Client()
            client.force_login(make_person(role, **{OWN: role}))
            answer = ask(client=client)
            assert answer.status_code == status
            assert OTHER not in answer.content.decode()
        root = Client()
        root.force_login(make_person("root", administrator=True))
        assert organizations(parsed(ask(client=root).content.decode(), TEXT)) == {"shared", OWN, OTHER}

    def test_organizations_narrow_and_anothers_is_as_absent_as_none(self, keys: dict[str, str]) -> None:
        platform = keys["platform"]
        assert organizations(read(platform, organization=OWN)) == {OWN}
        assert organizations(read(platform, organization=[OWN, "shared"])) == {OWN, "shared"}
        assert organizations(read(platform, organization=f"{OWN},{OTHER}")) == {OWN, OTHER}
        assert organizations(read(keys[OWN], organization=OWN)) == {OWN}
        told = []
        for name in (OTHER, "shared", "nobody_of_that_name", f"{OWN},{OTHER}", f" {OWN}", f"{OWN} ", OWN.upper()):
            answer = ask(keys[OWN], organization=name)
            assert answer.status_code == 404, name
            told.append({**answer.json(), "requestId": ""})
        assert all(one == told[0] for one in told)

    def test_without_a_permission_there_is_nothing(self, keys: dict[str, str]) -> None:
        assert ask().status_code == 401
        assert ask("ck_unknown").status_code == 401
        assert ask(keys["dashboard"]).status_code == 403
        assert ask(keys["dashboard"], path=PROCESS).status_code == 403

    def test_a_right_in_one_organization_is_none_in_another(
        self, keys: dict[str, str], make_person: Callable[..., User]
    ) -> None:
        client = Client()
        client.force_login(make_person("both", **{OWN: "analyst", OTHER: "executive"}))
        assert organizations(parsed(ask(client=client).content.decode(), TEXT)) == {OWN}
        assert ask(client=client, organization=OTHER).status_code == 403


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({"include": "cockpit_active_users"}, {"cockpit_active_users"}),
            ({"name[]": "cockpit_active_users"}, {"cockpit_active_users"}),
            ({"include": "cockpit_active_users", "name[]": "cockpit_build_info"},
             {"cockpit_active_users", "cockpit_build_info"}),
            ({"include": ["cockpit_active_*", "cockpit_build_info"]}, {"cockpit_active_users", "cockpit_build_info"}),
            ({"include": "cockpit_active_*,self", "exclude": "cockpit_s*,cockpit_models_folded"},
             {"cockpit_active_users", "cockpit_build_info"}),
            ({"include": "cockpit_active_users", "exclude": "business"}, set()),
            ({"include": "nothing_like_that"}, set()), ({"include": "*", "exclude": "*"}, set()),
            ({"include": ".*"}, set()), ({"include": "(a+)+$"}, set()), ({"include": "cockpit_[a-z]+"}, set()),
        ],
    )  # fmt: skip
    def test_families_are_chosen_by_name(self, keys: dict[str, str], query: dict[str, Any], names: set[str]) -> None:
        for accept, form in (("", TEXT), ("application/openmetrics-text", OPENMETRICS)):
            answer = ask(keys[OWN], accept=accept, **query)
            assert answer.status_code == 200
            assert {name for name, _ in parsed(answer.content.decode(), form)} == names
        assert answer.content.endswith(b"# EOF\n")

    def test_words_that_mean_nothing_are_told_to_people_and_to_nobody_who_parses(self, keys: dict[str, str]) -> None:
        query = {"include": "bussiness,self,alerts,TYPE a counter,cockpit_nothing*", "exclude": "cockpit_gpu_up,é"}
        text = ask(keys[OWN], **query).content.decode()
        remarks = [line.removeprefix("# Nothing here is called ") for line in text.splitlines() if "# Nothing" in line]
        assert remarks == ["bussiness", "TYPE a counter", "cockpit_nothing*", "é"]
        assert parsed(text, TEXT)
        assert "Nothing" not in ask(keys[OWN], accept="application/openmetrics-text", **query).content.decode()
        assert "Nothing" not in ask(keys[OWN]).content.decode()

    @pytest.mark.parametrize("group", GROUPS)
    def test_a_group_is_its_families(self, keys: dict[str, str], group: str) -> None:
        families = {family.name for family in FAMILIES if family.group == group}
        parts = {f"{name}{suffix}" for name in families for suffix in ("", "_bucket", "_sum", "_count")}
        assert {name for name, _ in read(keys["platform"], include=group)} <= parts
        assert not {name for name, _ in read(keys["platform"], exclude=group)} & parts

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"include": ",".join(["a"] * 51)}, "?include"), ({"include": ["a"] * 51}, "?include"),
            ({"include": ["a"] * 30, "exclude": ["a"] * 21}, "?include"), ({"include": "a" * 101}, "?include"),
            ({"exclude": "a," + "b" * 101}, "?exclude"), ({"include": "a\x00"}, "?include"),
            ({"include": ""}, "?include"),
            ({"include": "a,,b"}, "?include"), ({"organization": ""}, "?organization"), ({"format": "x"}, "?format"),
            ({"name[]": "a" * 101}, "?name[]"), ({"organization": ["a"] * 51}, "?organization"),
            ({"include": "a," * 100_000}, "?include"), ({"include": "\n"}, "?include"),
        ],
    )  # fmt: skip
    def test_what_is_too_much_or_malformed_is_refused_at_once(
        self, make_key: Make, query: dict[str, Any], pointer: str
    ) -> None:
        key = make_key(OWN, "metrics:read")
        ask(key)
        began = time.thread_time()
        answer = ask(key, **query)
        assert answer.status_code == 400
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert time.thread_time() - began < 0.5

    def test_the_most_that_is_allowed_is_answered(self, make_key: Make) -> None:
        key = make_key(OWN, "metrics:read")
        assert ask(key, include=["a" * 100] * 25, exclude=",".join(["b*"] * 25)).status_code == 200


class TestForms:
    @pytest.mark.parametrize(
        ("accept", "form"), [("", TEXT), ("*/*", TEXT), ("application/openmetrics-text;q=0.6,*/*;q=0.2", OPENMETRICS)]
    )
    def test_the_type_is_told_exactly(self, keys: dict[str, str], accept: str, form: str) -> None:
        answer = ask(keys["platform"], accept=accept)
        assert answer["Content-Type"] == form
        assert {"Accept", "Accept-Encoding", "Authorization", "Cookie"} <= set(answer["Vary"].split(", "))
        assert answer["Cache-Control"] == "no-store"
        assert answer.content.endswith(b"# EOF\n") == (form == OPENMETRICS)
        assert len(parsed(answer.content.decode(), form)) > 50

    @pytest.mark.parametrize(
        ("accepted", "packed"),
        [("gzip", True), ("deflate, gzip;q=0.5", True), ("GZIP", True), ("*", True), ("", False), ("gzip;q=0", False),
         ("identity", False), ("br", False), ("*;q=0", False), ("gzip;q=0, *", False), ("notgzip", False)],
    )  # fmt: skip
    def test_it_is_packed_for_who_takes_it(self, keys: dict[str, str], accepted: str, packed: bool) -> None:
        headers = {"authorization": f"Bearer {keys[OWN]}", "accept-encoding": accepted}
        answer = Client().get(f"{METRICS}?exclude=self", headers=headers)
        assert (answer.get("Content-Encoding") == "gzip") == packed
        body = gzip.decompress(answer.content) if packed else answer.content
        assert body == ask(keys[OWN], exclude="self").content

    def test_head_tells_the_same_without_a_body(self, keys: dict[str, str]) -> None:
        answer = Client().head(METRICS, headers={"authorization": f"Bearer {keys[OWN]}"})
        assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, b"", TEXT)


class TestReading:
    def test_a_scrape_writes_nothing(self, keys: dict[str, str], database: str) -> None:
        from tests.test_leaks import Tenant, snapshot

        tenants = [Tenant(name) for name in (OWN, "shared")]
        read(keys["platform"])
        before = [snapshot(database, tenant) for tenant in tenants]
        for _ in range(3):
            read(keys["platform"])
        assert [snapshot(database, tenant) for tenant in tenants] == before

    def test_the_same_is_told_before_and_after_the_fold_and_by_every_process(
        self, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen = {"include": "business", "exclude": "cockpit_*_ratio"}
        before = read(keys["platform"], **chosen)
        assert value(before, "cockpit_tokens_total", organization=OWN, model=f"model of {OWN}", kind="input") == 10
        assert value(before, "cockpit_active_users", organization=OWN) == 1
        current_store().fold()
        assert read(keys["platform"], **chosen) == before
        monkeypatch.setattr(business, "_tallies", Tallies())
        assert read(keys["platform"], **chosen) == before

    def test_counters_only_rise_while_inferences_come_in(self, make_key: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        key, before = make_key(OWN, "metrics:read", "ingest:write", "ingest:backfill"), dict[Any, float]()
        ages = ("2026-01-01T00:00:00Z", "2020-05-05T05:05:05Z", None, None)
        for turn in range(40):
            when = ages[turn % 4]
            record(key, modelName=f"m{turn % 3}", **({"occurredAt": when} if when else {}))
            if turn % 3 == 0:
                current_store().fold()
            if turn % 7 == 0:
                monkeypatch.setattr(business, "_tallies", Tallies())
            after = read(key, include="business", exclude="cockpit_*_ratio,cockpit_active_users")
            assert [name for name, one in before.items() if after[name] < one] == []
            total = sum(one for (name, _), one in after.items() if name == "cockpit_inferences_total")
            assert total == turn + 1
            before = after

    def test_an_organization_made_a_moment_ago_is_there(self, keys: dict[str, str]) -> None:
        Organization.objects.create(slug="new_one", name="New")
        assert organizations(read(keys["platform"], organization="new_one")) <= {"new_one"}

    def test_a_database_that_is_away_is_503(self, keys: dict[str, str], point_at: Callable[..., None]) -> None:
        read(keys[OWN])
        point_at(closed_port())
        answer = ask(keys[OWN])
        assert answer.status_code == 503
        assert answer["Content-Type"] == "application/problem+json"


class TestProcess:
    def test_who_reads_shared_is_told_of_the_process_and_of_nothing_else(self, keys: dict[str, str]) -> None:
        for name in ("shared", "platform"):
            answer = ask(keys[name], path=PROCESS)
            assert answer.status_code == 200
            found = parsed(answer.content.decode(), TEXT)
            assert value(found, "process_resident_memory_bytes") > 10_000_000
            assert {series.partition("_")[0] for series, _ in found} == {"process", "python"}
            assert answer["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("whose", [OWN, OTHER, "dashboard"])
    def test_others_are_refused(self, keys: dict[str, str], whose: str) -> None:
        answer = ask(keys[whose], path=PROCESS)
        assert answer.status_code == 403
        assert b"process_" not in answer.content

    def test_people(self, make_person: Callable[..., User]) -> None:
        for name, roles, administrator, status in (
            ("root", {}, True, 200), ("of_shared", {"shared": "analyst"}, False, 200),
            ("own", {OWN: "owner"}, False, 403),
        ):  # fmt: skip
            client = Client()
            client.force_login(make_person(name, administrator=administrator, **roles))
            assert ask(path=PROCESS, client=client).status_code == status
        assert ask(path=PROCESS).status_code == 401

    def test_it_takes_no_parameters(self, keys: dict[str, str]) -> None:
        assert ask(keys["platform"], path=PROCESS, organization=OWN).status_code == 400


class TestDocumented:
    @pytest.mark.parametrize("group", sorted({family.group for family in FAMILIES}, key=GROUPS.index))
    def test_every_family_of_a_group_is_told_with_its_kind(self, group: str) -> None:
        told = {(row[0].strip("`"), row[1]) for row in table("reference/metrics.md", f"`{group}`")}
        assert told == {(family.name, family.kind) for family in FAMILIES if family.group == group}

    def test_the_version_is_that_of_the_project(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["version"] == metrics.VERSION

    def test_the_routes_have_names_for_the_log(self) -> None:
        assert (reverse("metrics"), reverse("process-metrics")) == (METRICS, PROCESS)
