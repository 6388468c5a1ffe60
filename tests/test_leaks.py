"""Two organizations full of marks: by no route, header, cache, form or filter does one learn of the other."""

import itertools
import json
import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from psycopg import sql

from cockpit.dashboard import sharing
from monitoring.models import Inference
from monitoring.store import current_store
from organizations import audit, keys
from organizations.access import key_ring
from organizations.models import ApiKey, AuditEvent, Membership, Organization, User
from organizations.scope import Scope
from tests.conftest import url_of

PANELS = "/api/monitoring/panels"
DATA = "/api/monitoring/dashboard"
INFERENCE = "/api/monitoring/dashboard/inference"
METRICS = "/api/metrics"
ALERTS = "/api/monitoring/alerts"
NOBODY = "nobody_of_that_name"
OPEN = ("/api/health", "/api/schema", "/api/docs", "/api/redoc")
ROLES = ("owner", "operator", "analyst", "executive")
APPS = {"inference": "monitoring", "alert": "alerts"}  # of every other model: organizations
MODELS = ("organization", "membership", "user", "apikey", "auditevent", "inference", "alert")


def templates() -> list[str]:
    """Every address the cockpit answers, with its variable parts as {name}."""

    def walk(patterns: list[Any], before: str) -> Iterator[str]:
        for pattern in patterns:
            here = before + re.sub(
                r"<(?:\w+:)?(\w+)>", r"{\1}", re.sub(r"\(\?P<(\w+)>[^()]*\)", r"<\1>", str(pattern.pattern))
            )
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, here)
            else:
                assert isinstance(pattern, URLPattern)
                yield "/" + here.replace("^", "").replace("$", "")

    return list(walk(get_resolver().url_patterns, ""))


@dataclass
class Tenant:
    """One organization: its marks (texts that nobody else may ever be shown), its keys and the ids of its rows."""

    slug: str
    marks: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    key: str = ""
    people: dict[str, User] = field(default_factory=dict)

    def mark(self, what: str) -> str:
        return self.marks.setdefault(what, f"zq{secrets.token_hex(6)}")


@dataclass
class World:
    own: Tenant
    other: Tenant
    administrator: User
    platform_key: str


def _fill(tenant: Tenant, make_person: Callable[..., User], client: Client) -> None:
    mark = tenant.mark
    Organization.objects.create(slug=tenant.slug, name=mark("organization"), raw_days=30)
    tenant.people = {role: make_person(mark(f"{role}'s name"), **{tenant.slug: role}) for role in ROLES}
    for role, person in tenant.people.items():
        person.first_name, person.email = mark(f"{role}'s first name"), f"{mark(f'mail of {role}')}@example.org"
        person.save()
    with Scope.of(tenant.slug).enter():
        key, tenant.key = keys.create_key(
            organization=tenant.slug,
            name=mark("key"),
            scopes=["ingest:write", "dashboard:read", "metrics:read", "alerts:read", "alerts:write"],
            created_by=mark("maker"),
        )
        audit.record(
            organization=tenant.slug,
            action="changed",
            object_type="organization",
            object_id=tenant.slug,
            object_text=mark("what was changed"),
            changes={mark("field"): [mark("before"), mark("after")]},
            by=audit.Origin(actor=mark("actor"), user_agent=mark("agent"), request_id=mark("request")),
        )
        tenant.marks["key's prefix"] = key.prefix
        tenant.marks["key's digest"] = key.digest
    tenant.marks["key's secret"] = tenant.key.split("_", 2)[2]
    base = {
        "modelName": mark("model"), "endpointId": mark("endpoint"), "provider": mark("provider"), "durationMs": 1234,
        "cost": "1.25", "traceId": mark("trace"), "spanId": mark("span"), "tags": {mark("tag"): mark("tag's value")},
    }  # fmt: skip
    items = [base, {**base, "status": "error", "errorType": mark("error")}, {**base, "source": "replay"}]
    headers = {"authorization": f"Bearer {tenant.key}"}
    answer = client.post(INFERENCE, json.dumps(items), content_type="application/json", headers=headers)
    assert answer.status_code == 201, answer.content
    alert = {
        "alertType": mark("alert"), "severity": "critical", "message": mark("message"), "modelName": mark("model"),
        "endpointId": mark("endpoint"), "labels": {mark("label"): mark("label's value")},
        "metadata": {mark("metadata"): mark("metadata's value")},
    }  # fmt: skip
    raised = client.post(ALERTS, json.dumps(alert), content_type="application/json", headers=headers)
    assert raised.status_code == 201, raised.content
    noted = client.put(
        f"{ALERTS}/{raised.json()['id']}/acknowledge", json.dumps({"note": mark("note")}), headers=headers,
        content_type="application/json",
    )  # fmt: skip
    assert noted.status_code == 200, noted.content
    with Scope.of(tenant.slug).enter():
        tenant.ids = {
            "alert": raised.json()["id"],
            "organization": tenant.slug,
            "membership": str(Membership.objects.get(user=tenant.people["analyst"]).pk),
            "user": str(tenant.people["analyst"].pk),
            "apikey": str(key.pk),
            "auditevent": str(AuditEvent.objects.get(actor=mark("actor")).pk),
            "inference": str(Inference.objects.filter(status="error").get().pk),
        }


@pytest.fixture
def world(database: str, make_person: Callable[..., User], client: Client) -> World:
    own, other = (Tenant(f"zq_{name}_{secrets.token_hex(4)}") for name in ("own", "other"))
    for tenant in (own, other):
        tenant.marks["slug"] = tenant.slug
        _fill(tenant, make_person, client)
        current_store().fold()
    with Scope.of("shared").enter():
        _, platform_key = keys.create_key(
            organization="shared", name="p", scopes=["dashboard:read", "metrics:read"], created_by="t", platform=True
        )
    return World(own, other, make_person("zqadministrator", administrator=True), platform_key)


def signed_in(person: User | None) -> Client:
    client = Client(raise_request_exception=False)
    if person is not None:
        client.force_login(person)
    return client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def paths(world: World) -> list[str]:
    """Every address filled in with what is one's own, the other's, and nobody's; a new part must be named here."""
    found = []
    for template in templates():
        model = next((name for name in MODELS if f"/{name}/" in template), "organization")
        model = "alert" if template.startswith(ALERTS) or "/alerts/alert" in template else model
        rows = (world.own.ids[model], world.other.ids[model], "0")
        values = {
            "organization": (world.own.slug, world.other.slug, NOBODY),
            "object_id": rows,
            "id": rows,
            "content_type_id": ("1", "7"),
            "app_label": ("auth", "organizations", "monitoring"),
            "url": ("nowhere",),
        }
        filled = [template]
        for name in re.findall(r"{(\w+)}", template):
            assert name in values, f"{template} has a part that this test cannot fill in yet: {name}"
            filled = [one.replace(f"{{{name}}}", value) for one in filled for value in values[name]]
        found += filled
    return [path for path in found if path not in ("/logout/", "/admin/logout/")]


def queries(path: str) -> list[str]:
    """What else may be asked of an address: searches that every mark answers to, filters, orders, pickers."""
    asked = [path]
    if path == ALERTS:
        asked += [f"{path}?{more}" for more in ("q=zq", "status=open&ordering=severity", "status=resolved", "limit=1")]
    if path.startswith((DATA, "/dashboards/")):
        asked += [f"{path}?window=90d&compare=week", f"{path}?source=replay"]
    if path == "/admin/autocomplete/":
        asked += [
            f"{path}?app_label={app}&model_name={model}&field_name={name}&term={term}"
            for app, model, name in (
                ("organizations", "membership", "user"), ("organizations", "membership", "organization"),
                ("organizations", "apikey", "organization"), ("organizations", "auditevent", "organization"),
                ("monitoring", "inference", "organization"),
            )
            for term in ("", "zq")
        ]  # fmt: skip
    if re.fullmatch(r"/admin/\w+/\w+/", path):
        asked += [f"{path}?{more}" for more in ("q=zq", "o=-1", "_popup=1")]
    if path.endswith("/add/"):
        asked += [f"{path}?_popup=1"]
    return asked


def told(response: Any) -> str:
    """Everything an answer says: status line, headers, cookies, body."""
    if response.get("Content-Type", "").startswith("text/event-stream"):
        body = b"".join(itertools.islice(response.streaming_content, 2))  # it has no end; these say all that it knows
        response.close()
    else:
        body = b"".join(response.streaming_content) if response.streaming else response.content
    head = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    return f"{head}\n{response.cookies.output()}\n{body.decode('utf-8', 'replace')}"


def leaked(response: Any, path: str, tenant: Tenant) -> dict[str, str]:
    text = told(response)
    return {what: mark for what, mark in tenant.marks.items() if mark in text and mark not in path}


class TestCrawl:
    """Every route, as everybody; `?organization=` wherever an address may take it."""

    def crawl(self, world: World, person: User | None, key: str = "") -> Iterator[tuple[str, Any]]:
        client = signed_in(person)
        headers = bearer(key) if key else {}
        for path in paths(world):
            if key and not path.startswith("/api/"):
                continue
            asked = queries(path)
            if path.startswith("/api/"):
                asked += [
                    f"{path}?organization={slug}" for slug in (world.own.slug, world.other.slug, NOBODY, "shared")
                ]
            for address in asked:
                response = client.get(address, headers=headers)
                client.cookies.pop("messages", None)  # they repeat what the address before had said
                assert response.status_code < 500, (address, response.status_code)
                yield address, response

    @pytest.mark.parametrize("role", ROLES)
    def test_a_person_is_shown_their_own_and_nothing_of_another(self, world: World, role: str) -> None:
        seen: set[str] = set()
        for address, response in self.crawl(world, world.own.people[role]):
            assert leaked(response, address, world.other) == {}, address
            seen |= set(leaked(response, address, world.own))
        expected = {"model", "error"}  # the crawl does look at what can be seen
        if role != "executive":
            expected |= {"organization", "endpoint", "tag", "tag's value", "actor", "agent", "before", "after"}
        if role == "owner":
            expected |= {"analyst's name", "mail of analyst", "key", "key's prefix", "maker"}
        if role == "executive":
            expected = {"organization", "model"}
        assert expected <= seen, expected - seen
        assert not {"key's digest", "key's secret"} & seen
        if role != "owner":
            assert "mail of owner" not in seen

    def test_it_holds_the_other_way_round(self, world: World) -> None:
        for address, response in self.crawl(world, world.other.people["owner"]):
            assert leaked(response, address, world.own) == {}, address

    def test_an_administrator_sees_both_and_no_secret(self, world: World) -> None:
        seen: set[str] = set()
        for address, response in self.crawl(world, world.administrator):
            seen |= {f"own {what}" for what in leaked(response, address, world.own)}
            seen |= {f"other {what}" for what in leaked(response, address, world.other)}
        for whose in ("own", "other"):
            assert {f"{whose} {what}" for what in ("model", "key", "owner's name", "actor", "organization")} <= seen
            assert f"{whose} key's digest" not in seen

    def test_nobody_sees_anything_without_credentials(self, world: World) -> None:
        for address, response in self.crawl(world, None):
            assert leaked(response, address, world.own) == leaked(response, address, world.other) == {}, address
            open_to_all = address.startswith((*OPEN, "/login/", "/admin/login/"))
            assert response.status_code in ((200, 400) if open_to_all else (301, 302, 401, 404, 405)), address

    def test_a_key_reads_its_own_organization_alone(self, world: World) -> None:
        for one, another in ((world.own, world.other), (world.other, world.own)):
            seen: set[str] = set()
            for address, response in self.crawl(world, None, one.key):
                assert leaked(response, address, another) == {}, address
                seen |= set(leaked(response, address, one))
            assert {"model", "provider", "error"} <= seen

    def test_a_platform_key_reads_every_organization_one_at_a_time(self, world: World) -> None:
        for address, response in self.crawl(world, None, world.platform_key):
            for tenant in (world.own, world.other):
                if f"organization={tenant.slug}" not in address and address != METRICS:  # one scrape reads them all
                    assert leaked(response, address, tenant) == {}, address
        for tenant in (world.own, world.other):
            answer = Client().get(f"{DATA}?organization={tenant.slug}", headers=bearer(world.platform_key))
            assert tenant.marks["model"] in answer.content.decode()

    def test_a_key_opens_no_page(self, world: World) -> None:
        for path in paths(world):
            if not path.startswith("/api/"):
                response = Client(raise_request_exception=False).get(path, headers=bearer(world.own.key))
                assert leaked(response, path, world.own) == {}, path

    def test_every_route_is_crawled(self, world: World) -> None:
        assert {"/", "/dashboards/{organization}/", DATA, INFERENCE, "/api/health"} <= set(templates())
        assert {f"/admin/{APPS.get(model, 'organizations')}/{model}/" for model in MODELS} <= set(templates())
        assert len(paths(world)) > len(templates()) > 50


def snapshot(database: str, tenant: Tenant) -> dict[str, list[Any]]:
    """Every row of an organization and of its people, as the administrator sees them; without what clocks change."""
    with psycopg.connect(url_of(database)) as admin:
        tables = admin.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attname = 'organization_id' "
            "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        found = {}
        for (table,) in tables:
            query = sql.SQL("SELECT to_jsonb(t) - 'last_used_at' FROM {} t WHERE organization_id = %s ORDER BY 1")
            found[table] = admin.execute(query.format(sql.Identifier(table)), [tenant.slug]).fetchall()
        people = [person.pk for person in tenant.people.values()]
        users = "SELECT to_jsonb(u) - 'last_login' FROM organizations_user u WHERE id = ANY(%s) ORDER BY id"
        found["people"] = admin.execute(users, [people]).fetchall()
        one = "SELECT to_jsonb(o) FROM organizations_organization o WHERE slug = %s"
        found["organization"] = admin.execute(one, [tenant.slug]).fetchall()
        return found


class TestWrites:
    """Whatever one organization's owner sends, the other's rows stay as they are."""

    @pytest.mark.parametrize("who", ["owner", "operator", "analyst", "executive", "nobody", "key"])
    def test_no_post_to_any_route_touches_another_organization(self, database: str, world: World, who: str) -> None:
        before = snapshot(database, world.other)
        assert all(before[table] for table in ("organizations_apikey", "monitoring_inference", "people"))
        person = world.own.people.get(who)
        client, headers = signed_in(person), bearer(world.own.key) if who == "key" else {}
        forms: tuple[dict[str, Any], ...] = (
            {"post": "yes"},
            {
                "slug": world.other.slug, "name": "taken over", "organization": world.other.slug, "role": "owner",
                "user": world.other.ids["user"], "username": "taken", "password1": "a long enough password",
                "password2": "a long enough password", "usable_password": "true", "is_superuser": "on", "is_active": "",
                "scopes": "dashboard:read", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0",
            },
        )  # fmt: skip
        for path in paths(world):
            for form in forms if path.startswith("/admin/") else forms[:1]:
                response = client.post(path, form, headers=headers)
                client.cookies.pop("messages", None)
                assert response.status_code < 500, path
                assert leaked(response, path, world.other) == {}, path
        assert snapshot(database, world.other) == before

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("action", ["delete_selected", "revoke"])
    def test_a_bulk_action_with_their_ids_does_nothing(
        self, database: str, world: World, model: str, action: str
    ) -> None:
        before = snapshot(database, world.other)
        app = APPS.get(model, "organizations")
        form = {"action": action, "_selected_action": [world.other.ids[model]], "post": "yes", "select_across": "1"}
        response = signed_in(world.own.people["owner"]).post(f"/admin/{app}/{model}/", form)
        assert response.status_code in (200, 302, 403)
        assert leaked(response, "", world.other) == {}
        assert snapshot(database, world.other) == before

    def test_a_bulk_action_does_work_on_ones_own(self, world: World) -> None:
        form = {"action": "revoke", "_selected_action": [world.own.ids["apikey"], world.other.ids["apikey"]]}
        signed_in(world.own.people["owner"]).post("/admin/organizations/apikey/", form)
        with Scope.system("test").enter():
            revoked = dict(ApiKey.objects.exclude(organization="shared").values_list("organization_id", "revoked_at"))
        assert revoked[world.own.slug] is not None
        assert revoked[world.other.slug] is None


def problem_of(response: Any) -> dict[str, Any]:
    body = response.json()
    assert body.pop("requestId")
    return dict(body)


class TestAnotherOrganization:
    """It is as absent as one that does not exist."""

    def test_the_data_of_another_are_404_whether_it_exists_or_not(self, world: World) -> None:
        for caller in (bearer(world.own.key), None):
            client = signed_in(None if caller else world.own.people["owner"])
            answers = [
                client.get(f"{DATA}?organization={slug}", headers=caller or {})
                for slug in (world.other.slug, NOBODY, "shared")
            ]
            assert [answer.status_code for answer in answers] == [404] * 3
            assert problem_of(answers[0]) == problem_of(answers[1]) == problem_of(answers[2])
            assert len({(*sorted(answer.headers),) for answer in answers}) == 1

    def test_recording_for_another_is_404_whether_it_exists_or_not(self, world: World) -> None:
        for where in ("query", "body"):
            answers = []
            for slug in (world.other.slug, NOBODY):
                item = {"modelName": "m", "durationMs": 1} | ({"organization": slug} if where == "body" else {})
                path = INFERENCE + (f"?organization={slug}" if where == "query" else "")
                answers.append(
                    Client().post(
                        path, json.dumps(item), content_type="application/json", headers=bearer(world.own.key)
                    )
                )
            assert [answer.status_code for answer in answers] == [404, 404]
            assert problem_of(answers[0]) == problem_of(answers[1])

    @pytest.mark.parametrize("verb", [
        "", "timeline", "acknowledge", "unacknowledge", "assign", "shelve", "unshelve", "resolve", "reopen", "comment",
    ])  # fmt: skip
    def test_the_alert_of_another_is_404_by_every_verb_like_one_that_does_not_exist(
        self, database: str, world: World, verb: str
    ) -> None:
        until = (timezone.now() + timedelta(hours=1)).isoformat()
        bodies = {"assign": {"owner": world.own.marks["analyst's name"]}, "shelve": {"until": until},
                  "comment": {"note": "mine"}}  # fmt: skip
        method = {"": "GET", "timeline": "GET", "comment": "POST"}.get(verb, "PUT")
        before = snapshot(database, world.other)
        for caller in (bearer(world.own.key), None):
            client = signed_in(None if caller else world.own.people["owner"])
            answers = []
            for identifier in (world.other.ids["alert"], str(uuid.uuid4())):
                path, body = f"{ALERTS}/{identifier}/{verb}".rstrip("/"), json.dumps(bodies.get(verb, {}))
                answers.append(
                    client.generic(method, path, body, content_type="application/json", headers=caller or {})
                )
            assert [answer.status_code for answer in answers] == [404, 404]
            assert problem_of(answers[0]) == problem_of(answers[1])
        assert snapshot(database, world.other) == before

    def test_the_alerts_of_another_in_bulk_are_as_absent(self, database: str, world: World) -> None:
        before = snapshot(database, world.other)
        told = []
        for identifier in (world.other.ids["alert"], str(uuid.uuid4())):
            body = json.dumps({"action": "resolve", "ids": [identifier]})
            headers = bearer(world.own.key)
            answer = Client().post(f"{ALERTS}/bulk", body, content_type="application/json", headers=headers)
            assert answer.status_code == 400
            told.append(answer.content.decode().replace(identifier, ""))
        assert told[0] == told[1]
        assert snapshot(database, world.other) == before

    def test_the_page_of_another_is_404_whether_it_exists_or_not(self, world: World) -> None:
        for role in ROLES:
            client = signed_in(world.own.people[role])
            answers = [client.get(f"/dashboards/{slug}/") for slug in (world.other.slug, NOBODY)]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
            answers = [client.get(f"{PANELS}?organization={slug}") for slug in (world.other.slug, NOBODY)]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert problem_of(answers[0]) == problem_of(answers[1])

    @pytest.mark.parametrize("model", [model for model in MODELS if model != "organization"])
    def test_the_row_of_another_answers_as_one_that_does_not_exist(self, world: World, model: str) -> None:
        app = APPS.get(model, "organizations")
        client = signed_in(world.own.people["owner"])
        theirs = world.other.ids[model]
        absent = theirs[:-3] + "fff" if "-" in theirs else "999999"
        for view in ("change", "history", "delete", *(["password"] if model == "user" else [])):
            answers = [client.get(f"/admin/{app}/{model}/{row}/{view}/") for row in (theirs, absent)]
            assert answers[0].status_code == answers[1].status_code
            assert answers[0].status_code in (302, 403, 404)
            assert answers[0].headers.get("Location") == answers[1].headers.get("Location")
            assert answers[0].content.replace(theirs.encode(), b"") == answers[1].content.replace(absent.encode(), b"")

    @pytest.mark.parametrize(
        "spelt", ["{}&organization={}", "{}%00", "{} ", " {}", "{}%0a", "{},{}", "{}/", "{}%e2%80%8b"]
    )
    def test_other_spellings_of_ones_own_are_refused(self, world: World, spelt: str) -> None:
        for caller in (world.own.key, world.platform_key):
            path = f"{DATA}?organization={spelt.replace('{}', world.own.slug)}"
            assert Client().get(path, headers=bearer(caller)).status_code in (400, 404)

    @pytest.mark.parametrize("change", [str.upper, str.title, str.swapcase])
    def test_case_is_never_folded(self, world: World, change: Callable[[str], str]) -> None:
        for path in (f"{DATA}?organization={change(world.own.slug)}", f"{DATA}?Organization={world.own.slug}"):
            assert Client().get(path, headers=bearer(world.own.key)).status_code in (400, 404)
        page = signed_in(world.own.people["owner"]).get(f"/dashboards/{change(world.own.slug)}/")
        assert page.status_code == 404

    def test_naming_two_shows_neither(self, world: World) -> None:
        path = f"{DATA}?organization={world.own.slug}&organization={world.other.slug}"
        for caller in (world.own.key, world.platform_key):
            answer = Client().get(path, headers=bearer(caller))
            assert answer.status_code == 400
            assert world.own.marks["model"] not in told(answer)

    def test_no_name_means_ones_own(self, world: World) -> None:
        answer = Client().get(DATA, headers=bearer(world.own.key))
        assert answer.json()["organization"] == world.own.slug


class TestWhatIsRemembered:
    """Caches, tags, idempotency keys and counters belong to one organization."""

    def test_interleaved_callers_never_get_each_others_answer(self, world: World) -> None:
        tags: dict[str, set[str]] = {world.own.slug: set(), world.other.slug: set()}
        client = Client()
        for _ in range(40):
            for one, another in ((world.own, world.other), (world.other, world.own)):
                answer = client.get(DATA, headers=bearer(one.key))
                text = answer.content.decode()
                assert one.marks["model"] in text
                assert another.marks["model"] not in text
                tags[one.slug].add(answer["ETag"])
        assert not tags[world.own.slug] & tags[world.other.slug]

    def test_the_tag_of_another_is_no_match(self, world: World) -> None:
        tag = Client().get(DATA, headers=bearer(world.other.key))["ETag"]
        assert Client().get(DATA, headers={**bearer(world.other.key), "if-none-match": tag}).status_code == 304
        answer = Client().get(DATA, headers={**bearer(world.own.key), "if-none-match": tag})
        assert answer.status_code == 200
        assert world.own.marks["model"] in answer.content.decode()

    def test_answers_say_that_they_depend_on_the_caller(self, world: World) -> None:
        for path in (DATA, f"/dashboards/{world.own.slug}/", "/", "/login/", "/api/health"):
            answer = signed_in(world.own.people["owner"]).get(path)
            assert {"Cookie", "Authorization"} <= {name.strip() for name in answer["Vary"].split(",")}, path
            assert re.search(r"\b(no-store|private)\b", answer["Cache-Control"]), path

    def test_the_same_idempotency_key_means_something_else_to_another(self, world: World) -> None:
        def post(tenant: Tenant, cost: str) -> Any:
            headers = {**bearer(tenant.key), "idempotency-key": "the-same"}
            body = json.dumps({"modelName": "m", "durationMs": 1, "cost": cost})
            return Client().post(INFERENCE, body, content_type="application/json", headers=headers)

        first, second = post(world.own, "1"), post(world.other, "2")
        assert (first.status_code, second.status_code) == (201, 201)
        assert "Idempotent-Replay" not in second
        assert first.json()["id"] != second.json()["id"]
        again = post(world.own, "1")
        assert (again.json()["id"], again["Idempotent-Replay"]) == (first.json()["id"], "true")
        assert post(world.own, "2").status_code == 422

    def test_one_keys_limit_is_not_anothers(self, world: World, settings: Any) -> None:
        settings.RATE_LIMIT_PER_MINUTE = 5  # three of which filled the world
        answers = [Client().get(DATA, headers=bearer(world.own.key)) for _ in range(6)]
        assert 429 in {answer.status_code for answer in answers}
        assert Client().get(DATA, headers=bearer(world.other.key)).status_code == 200

    def test_no_cache_holds_an_answer_under_a_name_without_the_organization(self, world: World) -> None:
        sharing._places.clear()
        for caller in (world.own, world.other, world.own):
            for route in (DATA, PANELS):
                assert Client().get(route, headers=bearer(caller.key)).status_code == 200
        kept = [key[0] for key in sharing._places if isinstance(key, tuple)]
        assert sorted(kept) == sorted([world.own.slug, world.other.slug] * 2)


class TestKeys:
    @pytest.mark.parametrize("name", ["api_key", "key", "token", "access_token", "authorization", "Authorization"])
    def test_in_a_query_string_they_open_nothing(self, world: World, name: str) -> None:
        for value in (world.own.key, f"Bearer {world.own.key}"):
            assert Client().get(DATA, {name: value}).status_code == 401
            assert Client().get(DATA, {name: value}, headers=bearer(world.own.key)).status_code == 400
            health = Client().get("/api/health", {name: value}).json()
            assert {type(part) for part in health["parts"].values()} == {str}
            assert Client().get(f"/dashboards/{world.own.slug}/", {name: value}).status_code == 302

    @pytest.mark.parametrize("header", ["x-api-key", "api-key", "x-authorization", "proxy-authorization", "cookie"])
    def test_in_any_other_header_they_open_nothing(self, world: World, header: str) -> None:
        assert Client().get(DATA, headers={header: f"Bearer {world.own.key}"}).status_code == 401

    def test_a_revoked_one_stops_within_a_second(self, world: World) -> None:
        assert Client().get(DATA, headers=bearer(world.own.key)).status_code == 200
        with Scope.of(world.own.slug).enter():  # by another process: nothing in this one hears of it
            ApiKey.objects.filter(pk=world.own.ids["apikey"]).update(revoked_at=timezone.now())
        until = time.monotonic() + 1
        while Client().get(DATA, headers=bearer(world.own.key)).status_code == 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert Client().get(DATA, headers=bearer(world.other.key)).status_code == 200

    def test_an_expired_one_is_like_an_unknown_one(self, world: World) -> None:
        with Scope.of(world.own.slug).enter():
            ApiKey.objects.filter(pk=world.own.ids["apikey"]).update(expires_at=timezone.now() - timedelta(seconds=1))
        key_ring.forget()
        expired = Client().get(DATA, headers=bearer(world.own.key))
        unknown = Client().get(DATA, headers=bearer(f"ck_{'a' * 12}_{'b' * 43}"))
        wrong = Client().get(DATA, headers=bearer(world.other.key[:-1] + ("a" if world.other.key[-1] != "a" else "b")))
        assert [one.status_code for one in (expired, unknown, wrong)] == [401] * 3
        assert problem_of(expired) == problem_of(unknown) == problem_of(wrong)

    def test_one_that_expires_while_it_is_remembered_stops_at_once(self, world: World) -> None:
        with Scope.of(world.own.slug).enter():
            ApiKey.objects.filter(pk=world.own.ids["apikey"]).update(
                expires_at=timezone.now() + timedelta(milliseconds=300)
            )
        key_ring.forget()
        assert Client().get(DATA, headers=bearer(world.own.key)).status_code == 200
        time.sleep(0.3)
        assert Client().get(DATA, headers=bearer(world.own.key)).status_code == 401

    def test_a_person_out_of_the_organization_is_out_at_once(self, world: World) -> None:
        client = signed_in(world.own.people["analyst"])
        assert client.get(f"/dashboards/{world.own.slug}/").status_code == 200
        with Scope.of(world.own.slug).enter():
            Membership.objects.filter(pk=world.own.ids["membership"]).delete()
        assert client.get(f"/dashboards/{world.own.slug}/").status_code == 404
        assert client.get(f"{DATA}?organization={world.own.slug}").status_code == 403
        assert client.get("/admin/").status_code == 302


class TestTheOwnersForms:
    """What an owner's forms offer, and what forged ones are worth."""

    @pytest.fixture
    def owner(self, world: World) -> Client:
        return signed_in(world.own.people["owner"])

    @pytest.fixture
    def both(self, world: World, make_person: Callable[..., User]) -> User:
        """A person of both organizations."""
        return make_person("zqboth", **{world.own.slug: "analyst", world.other.slug: "owner"})

    def test_membership_cannot_be_given_in_another_organization_or_to_a_stranger(
        self, world: World, owner: Client
    ) -> None:
        own, other = world.own, world.other
        path = "/admin/organizations/membership/add/"
        for organization, user in (
            (other.slug, own.ids["user"]),
            (own.slug, other.ids["user"]),
            (other.slug, other.ids["user"]),
        ):
            answer = owner.post(path, {"organization": organization, "user": user, "role": "owner"})
            assert answer.status_code == 200
            assert "Select a valid choice" in answer.content.decode()
        with Scope.system("test").enter():
            assert Membership.objects.filter(organization__in=(own.slug, other.slug)).count() == 2 * len(ROLES)

    def test_a_membership_cannot_be_moved_to_another_organization(self, world: World, owner: Client) -> None:
        path = f"/admin/organizations/membership/{world.own.ids['membership']}/change/"
        owner.post(path, {"organization": world.other.slug, "user": world.own.ids["user"], "role": "owner"})
        with Scope.system("test").enter():
            kept = Membership.objects.get(pk=world.own.ids["membership"])
        assert (kept.organization_id, kept.role) == (world.own.slug, "analyst")

    def test_an_own_membership_can_be_changed(self, world: World, owner: Client) -> None:
        path = f"/admin/organizations/membership/{world.own.ids['membership']}/change/"
        form = {"organization": world.own.slug, "user": world.own.ids["user"], "role": "operator"}
        assert owner.post(path, form).status_code == 302
        with Scope.system("test").enter():
            assert Membership.objects.get(pk=world.own.ids["membership"]).role == "operator"

    def test_a_key_cannot_be_made_for_another_organization_or_for_the_platform(
        self, world: World, owner: Client
    ) -> None:
        path = "/admin/organizations/apikey/add/"
        for organization in (world.other.slug, "shared", NOBODY):
            answer = owner.post(
                path, {"organization": organization, "name": "x", "scopes": "dashboard:read", "platform": "on"}
            )
            assert answer.status_code == 200
        form = {"organization": world.own.slug, "name": "forged", "scopes": "dashboard:read", "platform": "on"}
        assert owner.post(path, form).status_code == 302
        with Scope.system("test").enter():
            made = ApiKey.objects.filter(name__in=("x", "forged")).values_list("organization_id", "platform")
            assert list(made) == [(world.own.slug, False)]

    def test_nobody_is_made_an_administrator(self, world: World, owner: Client) -> None:
        forged = {"is_superuser": "on", "is_staff": "on", "user_permissions": "1", "groups": "1"}
        person = world.own.people["analyst"]
        form = {"username": person.username, "first_name": "New", "is_active": "on", **self._no_memberships(), **forged}
        assert owner.post(f"/admin/organizations/user/{person.pk}/change/", form).status_code == 302
        added = {
            "username": "zqnew", "usable_password": "true", "password1": "a long enough password",
            "password2": "a long enough password", **self._one_membership(world.own.slug), **forged,
        }  # fmt: skip
        assert owner.post("/admin/organizations/user/add/", added).status_code == 302
        person.refresh_from_db()
        new = User.objects.get(username="zqnew")
        assert person.first_name == "New"
        for one in (person, new):
            assert (one.is_superuser, one.is_staff, one.user_permissions.count()) == (False, False, 0)

    @staticmethod
    def _no_memberships() -> dict[str, str]:
        return {
            "memberships-TOTAL_FORMS": "0",
            "memberships-INITIAL_FORMS": "0",
            "memberships-MIN_NUM_FORMS": "0",
            "memberships-MAX_NUM_FORMS": "1000",
        }

    def _one_membership(self, organization: str, **more: str) -> dict[str, str]:
        given = {"memberships-0-organization": organization, "memberships-0-role": "owner"}
        return {**self._no_memberships(), "memberships-TOTAL_FORMS": "1", **given, **more}

    def test_a_new_person_belongs_to_an_own_organization(self, world: World, owner: Client) -> None:
        password = {
            "usable_password": "true",
            "password1": "a long enough password",
            "password2": "a long enough password",
        }
        path = "/admin/organizations/user/add/"
        for memberships in (
            self._no_memberships(),
            self._one_membership(world.other.slug),
            self._one_membership("shared"),
        ):
            assert owner.post(path, {"username": "zqnew", **password, **memberships}).status_code == 200
            assert not User.objects.filter(username="zqnew").exists()

    def test_a_forged_row_among_a_persons_memberships_changes_nothing(
        self, database: str, world: World, owner: Client
    ) -> None:
        before = snapshot(database, world.other)
        person = world.own.people["analyst"]
        forged = {
            "memberships-INITIAL_FORMS": "1", "memberships-0-id": world.other.ids["membership"],
            "memberships-0-user": str(person.pk),
        }  # fmt: skip
        for more in ({}, {"memberships-0-DELETE": "on"}):
            form = {
                "username": person.username,
                "is_active": "on",
                **self._one_membership(world.own.slug, **forged),
                **more,
            }
            assert owner.post(f"/admin/organizations/user/{person.pk}/change/", form).status_code in (200, 302)
        assert snapshot(database, world.other) == before

    def test_a_person_who_also_belongs_to_another_is_seen_and_not_changed(
        self, world: World, owner: Client, both: User
    ) -> None:
        page = f"/admin/organizations/user/{both.pk}/"
        shown = owner.get(f"{page}change/")
        assert shown.status_code == 200
        assert leaked(shown, "", world.other) == {}
        form = {"username": "renamed", "is_active": "", **self._no_memberships()}
        assert owner.post(f"{page}change/", form).status_code == 403
        password = {
            "usable_password": "true",
            "password1": "another long password",
            "password2": "another long password",
        }
        for method in (owner.get, owner.post):
            assert method(f"{page}password/", password).status_code == 403
            assert method(f"{page}delete/", {"post": "yes"}).status_code == 403
        both.refresh_from_db()
        assert (both.username, both.is_active, both.check_password("a long enough password")) == ("zqboth", True, True)
        with Scope.system("test").enter():
            assert both.memberships.count() == 2

    def test_an_administrator_among_the_members_is_not_changed_either(self, world: World, owner: Client) -> None:
        with Scope.system("test").enter():
            Membership.objects.create(user=world.administrator, organization_id=world.own.slug, role="analyst")
        page = f"/admin/organizations/user/{world.administrator.pk}/"
        for view in ("change", "password", "delete"):
            assert owner.post(f"{page}{view}/", {"post": "yes", "username": "x"}).status_code == 403

    def test_only_an_own_organization_is_changed_and_none_is_made_or_deleted(self, world: World, owner: Client) -> None:
        assert owner.get("/admin/organizations/organization/add/").status_code == 403
        assert owner.post("/admin/organizations/organization/add/", {"slug": "zqmine", "name": "x"}).status_code == 403
        for slug in (world.own.slug, world.other.slug):
            assert owner.post(f"/admin/organizations/organization/{slug}/delete/", {"post": "yes"}).status_code in (
                302,
                403,
            )
        assert owner.get(f"/admin/organizations/organization/{world.other.slug}/change/").status_code == 302
        assert Organization.objects.filter(slug__in=(world.own.slug, world.other.slug)).count() == 2

    @pytest.mark.parametrize("model", MODELS)
    def test_filters_find_nothing_of_another(self, world: World, owner: Client, model: str) -> None:
        page = f"/admin/{APPS.get(model, 'organizations')}/{model}/"
        for query in (
            "organization={}", "organization_id={}", "q={}", "role__exact=owner", "_to_field=password", "_facets=True",
            "organization__exact={}", "organization__isnull=0", "actor_kind__exact=user", "pk=1", "is_active__exact=1",
        ):  # fmt: skip
            for wanted in (world.other.slug, world.other.marks["owner's name"]):
                answer = owner.get(f"{page}?{query.format(wanted)}")
                assert answer.status_code in (200, 302, 400), query
                assert leaked(answer, query.format(wanted), world.other) == {}, query

    @pytest.mark.parametrize("model", MODELS)
    def test_no_field_or_relation_can_be_asked_by_name(self, world: World, owner: Client, model: str) -> None:
        page = f"/admin/{APPS.get(model, 'organizations')}/{model}/"
        for query in (
            f"organization__slug={world.other.slug}", "organization__name__startswith=zq", "id__in=1,2,3",
            "user__password__startswith=pbkdf2", "digest__startswith=a", "created_by__regex=.*",
            "password__startswith=m",
            "organization__membership__user__username__startswith=zq", "memberships__organization__slug=shared",
            "slug__startswith=zq", "user__username=zq", "model__regex=.*", "tags__has_key=a", "actor__startswith=zq",
        ):  # fmt: skip
            for client in (owner, signed_in(world.administrator)):
                assert client.get(f"{page}?{query}").status_code == 400, query

    @pytest.mark.parametrize("role", ["operator", "analyst"])
    def test_who_only_reads_changes_nothing(self, database: str, world: World, role: str) -> None:
        client = signed_in(world.own.people[role])
        before = snapshot(database, world.own)
        for model in MODELS:
            app = APPS.get(model, "organizations")
            page = f"/admin/{app}/{model}/"
            for path in (f"{page}add/", *(f"{page}{world.own.ids[model]}/{view}/" for view in ("change", "delete"))):
                answer = client.post(
                    path, {"post": "yes", "name": "x", "role": "owner", "organization": world.own.slug}
                )
                assert answer.status_code in (302, 403), path
        assert client.post(DATA, {}).status_code == 405
        assert client.post(INFERENCE, "{}", content_type="application/json").status_code == 403
        assert snapshot(database, world.own) == before

    def test_an_executive_has_pages_and_no_admin(self, world: World) -> None:
        client = signed_in(world.own.people["executive"])
        for path in (
            "/admin/",
            "/admin/monitoring/inference/",
            f"/admin/organizations/organization/{world.own.slug}/change/",
        ):
            answer = client.get(path)
            assert answer.status_code == 302
            assert answer["Location"].startswith("/admin/login/")
        assert client.get(f"/dashboards/{world.own.slug}/").status_code == 200
