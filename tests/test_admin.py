"""The admin as a place to work: each page for each role, its home page, lists that stay quick and leak nothing."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import lifecycle
from alerts.models import Alert, Delivery, Route
from alerts.states import Report
from cockpit import health, house
from monitoring.models import Inference
from monitoring.store import current_store
from organizations import audit, keys
from organizations.admin import told
from organizations.lists import relative
from organizations.models import ApiKey, AuditEvent, Membership, User
from organizations.scope import Scope
from tests import channels, ruling

Make = Callable[..., Any]
OWN, OTHER = "swaggystacks", "scientia_capital"
ROLES = ("root", "owner", "operator", "analyst")
INFERENCE = "/api/monitoring/dashboard/inference"
APPS = {"inference": "monitoring",
        **dict.fromkeys(("alert", "channel", "route", "delivery", "alertrule"), "alerts")}  # fmt: skip
LISTS = {
    model: f"/admin/{APPS.get(model, 'organizations')}/{model}/"
    for model in ("organization", "membership", "user", "apikey", "auditevent", "inference", *list(APPS)[1:])
}
FOR_OWNERS = {"membership", "user", "apikey"}
FIXED = {"apikey", "auditevent", "inference", "alert", "delivery"}  # shown and never edited


@dataclass
class Place:
    """One organization: who is in it, a text that no other organization may be shown, and a row of each model."""

    slug: str
    mark: str
    people: dict[str, User]
    rows: dict[str, str]


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def send(client: Client, key: str, *items: dict[str, Any]) -> None:
    sent = [{"modelName": "m", "durationMs": 5, **item} for item in items]
    headers = {"authorization": f"Bearer {key}"}
    answer = client.post(INFERENCE, json.dumps(sent), content_type="application/json", headers=headers)
    assert answer.status_code == 201, answer.content


def fill(slug: str, make_person: Make, make_key: Make, client: Client) -> Place:
    mark = f"zq{slug[:5]}"
    people = {role: make_person(f"{mark}-{role}", **{slug: role}) for role in ("owner", "operator", "analyst")}
    people["executive"] = make_person(f"{mark}-executive", **{slug: "executive"})
    key = make_key(slug)
    send(client, key, {"modelName": f"{mark}-model"}, {"modelName": f"{mark}-model", "status": "error",
                                                      "errorType": f"{mark}-error"})  # fmt: skip
    told = channels.channel("https://example.org/", organization=slug, name=f"{mark}-channel")
    channels.route(told, organization=slug, name=f"{mark}-route")
    rule = ruling.make(organization=slug, name=f"{mark}-rule")
    report = Report(alert_type=f"{mark}-alert", severity="critical", message=f"{mark}-message")
    lifecycle.fire(scope=Scope.of(slug), organization=slug, reports=[report], now=timezone.now(), via="api")
    with Scope.of(slug).enter():
        ApiKey.objects.update(name=f"{mark}-key")
        audit.record(organization=slug, action="sign_in_refused", object_type="user", object_text=f"{mark}-guest",
                     by=audit.Origin(actor=f"{mark}-guest"))  # fmt: skip
        rows = {
            "organization": slug,
            "membership": str(Membership.objects.get(user=people["analyst"]).pk),
            "user": str(people["analyst"].pk),
            "apikey": str(ApiKey.objects.get().pk),
            "auditevent": str(AuditEvent.objects.get(actor=f"{mark}-guest").pk),
            "inference": str(Inference.objects.filter(status="error").get().pk),
            "alert": str(Alert.objects.get().pk),
            "channel": str(told),
            "route": str(Route.objects.get().pk),
            "delivery": str(Delivery.objects.get().pk),
            "alertrule": str(rule),
        }
    return Place(slug, mark, people, rows)


@pytest.fixture
def own(make_person: Make, make_key: Make, client: Client) -> Place:
    return fill(OWN, make_person, make_key, client)


@pytest.fixture
def other(make_person: Make, make_key: Make, client: Client) -> Place:
    return fill(OTHER, make_person, make_key, client)


@pytest.fixture
def root(make_person: Make) -> Client:
    return signed_in(make_person("root", administrator=True))


def as_role(role: str, own: Place, root: Client) -> Client:
    return root if role == "root" else signed_in(own.people[role])


class Inline(HTMLParser):
    """What a strict Content-Security-Policy would refuse, and every address that is linked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or "style" in given or (tag == "script" and not given.get("src")):
            self.refused.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            elsewhere = (value or "").strip().lower().startswith(("javascript:", "http:", "https:", "//"))
            if name.startswith("on") or (elsewhere and name != "xmlns"):
                self.refused.append(self.get_starttag_text() or tag)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))


def page_of(answer: Any) -> str:
    text = answer.content.decode()
    assert Inline(text).refused == []
    return str(text)


def expected(role: str, model: str, view: str) -> int:
    """What a page of a row of one's own organization answers."""
    owner, writer = role in ("root", "owner"), role != "analyst"
    if model in FOR_OWNERS and not owner:
        return 302 if view == "history" else 403  # a row that is not to be seen is as one that is not there
    if view in ("", "change", "history"):
        return 200
    if view == "add":
        allowed = {"membership": owner, "user": owner, "apikey": owner, "organization": role == "root",
                   "channel": writer, "route": writer, "alertrule": writer}  # fmt: skip
        return 200 if allowed.get(model) else 403
    return 200 if (owner and model in ("membership", "user")) or (writer and model == "route") else 403


class TestPages:
    def test_every_model_of_the_admin_is_looked_at_here(self) -> None:
        assert {model._meta.model_name for model in admin.site._registry} == set(LISTS)

    @pytest.mark.parametrize("role", ROLES)
    def test_each_answers_by_role_and_keeps_to_the_content_policy(self, own: Place, root: Client, role: str) -> None:
        client = as_role(role, own, root)
        found, wanted = {}, {}
        for model, path in LISTS.items():
            for view in ("", "add", "change", "history", "delete"):
                row = "" if view in ("", "add") else f"{own.rows[model]}/"
                address = f"{path}{row}{view}{'/' if view else ''}"
                answer = client.get(address)
                page_of(answer)
                found[address], wanted[address] = answer.status_code, expected(role, model, view)
        assert found == wanted

    @pytest.mark.parametrize("role", ROLES)
    def test_the_pages_beside_the_models_do_too(self, own: Place, root: Client, role: str) -> None:
        client = as_role(role, own, root)
        for path in ("/admin/", "/admin/organizations/", "/admin/monitoring/", "/admin/alerts/",
                     "/admin/password_change/", "/admin/password_change/done/"):  # fmt: skip
            answer = client.get(path)
            assert answer.status_code == 200, path
            page = page_of(answer)
            assert 'class="side"' in page, path
            assert "css/admin.css" in page, path
        assert "is not here" in page_of(client.get("/admin/nowhere/")) or client.get("/admin/x/").status_code == 404

    @pytest.mark.parametrize(
        ("path", "form"),
        [
            ("/admin/organizations/organization/add/", {"slug": "No!"}),
            ("/admin/organizations/organization/swaggystacks/change/", {"name": ""}),
            ("/admin/organizations/apikey/add/", {"name": ""}),
            ("/admin/organizations/membership/add/", {"role": "king"}),
            ("/admin/organizations/user/add/", {"username": "", "memberships-TOTAL_FORMS": "1",
                                                "memberships-INITIAL_FORMS": "0", "memberships-0-role": "x"}),
            ("/admin/password_change/", {"old_password": "wrong"}),
        ],
    )  # fmt: skip
    def test_a_wrong_form_is_told_in_a_strict_page(self, root: Client, path: str, form: dict[str, str]) -> None:
        answer = root.post(path, form)
        assert answer.status_code == 200
        assert 'class="errorlist"' in page_of(answer)

    def test_confirming_and_popups_are_strict_pages_too(self, own: Place, root: Client) -> None:
        form = {"action": "delete_selected", "_selected_action": [own.rows["membership"]]}
        assert "Are you sure" in page_of(root.post(LISTS["membership"], form))
        assert "zqswagg" in page_of(root.get(f"{LISTS['user']}?_popup=1"))
        page_of(root.get(f"{LISTS['user']}add/?_popup=1"))
        page_of(root.get(f"{LISTS['user']}{own.rows['user']}/password/"))

    def test_one_choice_of_light_or_dark_rules_the_dashboards_and_the_admin(self, own: Place, root: Client) -> None:
        root.cookies["mode"] = "dark"
        for path in ("/admin/", LISTS["inference"], f"{LISTS['user']}add/?_popup=1", f"/dashboards/{OWN}/"):
            page = root.get(path).content.decode()
            assert re.search(r'value="dark"\s+checked', page), path
            assert "theme.js" not in page

    def test_an_organization_leads_to_its_dashboard(self, own: Place, root: Client) -> None:
        page = root.get(f"{LISTS['organization']}{OWN}/change/").content.decode()
        assert f'href="/dashboards/{OWN}/"' in page

    def test_signing_in_looks_the_same_at_both_doors(self, database: str, client: Client) -> None:
        own_door, other_door = (page_of(client.get(path)) for path in ("/login/", "/admin/login/?next=/admin/"))
        for page in (own_door, other_door):
            assert 'action="/login/"' in page
            assert "css/base.css" in page
        assert 'name="next" value="/admin/"' in other_door

    def test_who_is_signed_in_without_business_here_is_told_so(self, own: Place) -> None:
        client = signed_in(own.people["executive"])
        for path in ("/admin/", *LISTS.values()):
            answer = client.get(path, follow=True)
            assert answer.status_code == 403
            assert "Your role has the dashboards alone" in page_of(answer)


class TestQueries:
    """No list asks more of the database for thirty rows than for one."""

    def count(self, client: Client, path: str) -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        return len(asked)

    def many(self, make_person: Make, make_key: Make, client: Client) -> None:
        for number in range(30):
            make_person(f"person{number:02d}", **{OWN: "analyst", OTHER: "analyst"})
            audit_row = {"organization": OWN, "action": "changed", "object_type": "apikey", "object_text": "x"}
            with Scope.of(OWN).enter():
                audit.record(**audit_row)  # type: ignore[arg-type]
            make_key(OWN)
        send(client, make_key(OWN), *({"modelName": f"m{number}"} for number in range(30)))
        reports = [Report(alert_type=f"t{number}", severity="warning", message="m") for number in range(30)]
        lifecycle.fire(scope=Scope.of(OWN), organization=OWN, reports=reports, now=timezone.now(), via="api")

    @pytest.mark.parametrize("role", ["root", "owner"])
    def test_it_is_the_same_number_for_one_row_and_for_thirty(
        self, own: Place, root: Client, make_person: Make, make_key: Make, client: Client, role: str
    ) -> None:
        pages = ["/admin/", *LISTS.values()]
        reader = as_role(role, own, root)
        before = {path: self.count(reader, path) for path in pages}
        self.many(make_person, make_key, client)
        after = {path: self.count(reader, path) for path in pages}
        assert after == before
        assert max(after.values()) <= 21, after

    def test_the_list_of_inferences_counts_no_further_than_pages_are_turned(self, own: Place, root: Client) -> None:
        with CaptureQueriesContext(connection) as asked:
            root.get(LISTS["inference"])
        counts = [query["sql"] for query in asked if "COUNT(*)" in query["sql"]]
        assert counts
        assert all("LIMIT 10000" in query for query in counts)


class TestLists:
    @pytest.mark.parametrize("model", LISTS)
    def test_every_choice_of_every_filter_answers_and_leaks_nothing(self, own: Place, other: Place, model: str) -> None:
        client = signed_in(own.people["owner"])
        page = client.get(LISTS[model]).content.decode()
        choices = {link for link in Inline(page).links if link.startswith("?")}
        assert len(choices) >= 3
        for choice in choices:
            answer = client.get(LISTS[model] + choice)
            assert answer.status_code == 200, choice
            assert other.mark not in page_of(answer), choice

    @pytest.mark.parametrize("model", LISTS)
    def test_searching_for_another_organizations_rows_finds_none(self, own: Place, other: Place, model: str) -> None:
        client = signed_in(own.people["owner"])
        answer = client.get(LISTS[model], {"q": other.mark})
        assert "field-" not in re.sub(re.escape(f'value="{other.mark}"'), "", page_of(answer))
        assert f"{other.mark}-" not in answer.content.decode()

    @pytest.mark.parametrize(
        ("model", "query", "found"),
        [
            ("membership", "q=zqswagg-owner", 1), ("user", "q=zqswagg-ana", 1),
            ("user", "organization=swaggystacks", 4),
            ("user", "organization=shared", 0), ("user", "is_active__exact=0", 0),
            ("apikey", "q=zqswagg-k", 1), ("apikey", "state=active", 1), ("apikey", "state=expiring", 0),
            ("apikey", "state=revoked", 0), ("apikey", "use=never", 0), ("apikey", "use=recent", 1),
            ("apikey", "use=idle", 0), ("apikey", "state=nonsense", 0),
            ("auditevent", "action=sign_in_refused", 1), ("auditevent", "action=deleted", 0),
            ("auditevent", "q=zqswagg-gu", 1), ("auditevent", "since=9h", 0),
            ("auditevent", "action=sign_in_refused&since=1h", 1),
            ("inference", "status=failed", 1), ("inference", "status=success", 1), ("inference", "source=demo", 0),
            ("inference", "q=SWAGG-mod", 2), ("inference", "since=24h", 2),
            ("inference", "organization=swaggystacks", 2),
            ("alert", "q=zqswagg-mess", 1), ("alert", "severity=critical&status=firing", 1), ("alert", "owner=me", 0),
            ("organization", "audience__exact=developer", 1), ("organization", "q=swag", 1),
        ],
    )  # fmt: skip
    def test_filters_and_searches_find_what_they_say(
        self, own: Place, other: Place, model: str, query: str, found: int
    ) -> None:
        page = page_of(signed_in(own.people["owner"]).get(f"{LISTS[model]}?{query}"))
        shown = re.search(r'paginator-count">(\d+) ', page)
        assert shown
        assert int(shown[1]) == found

    def test_people_are_not_found_by_an_organization_of_theirs_that_one_does_not_own(
        self, own: Place, other: Place, make_person: Make
    ) -> None:
        make_person("zqboth", **{OWN: "analyst", OTHER: "analyst"})
        both = make_person("zqreader", **{OWN: "owner", OTHER: "analyst"})
        client = signed_in(both)
        assert "zqboth" in client.get(LISTS["user"], {"organization": OWN}).content.decode()
        page = client.get(LISTS["user"], {"organization": OTHER}).content.decode()
        assert "zqboth" not in page
        assert other.mark not in page
        whole = client.get(LISTS["user"]).content.decode()
        assert "SwaggyStacks: analyst" in whole
        assert "ScientiaCapital: " not in whole

    def test_an_organizations_counts_are_for_its_owners(self, own: Place, other: Place, make_person: Make) -> None:
        client = signed_in(make_person("zqreader", **{OWN: "owner", OTHER: "analyst"}))
        page = client.get(LISTS["organization"]).content.decode()
        counts = re.findall(r'field-members">(.*?)</td>.*?field-keys_in_use">(.*?)</td>', page)
        assert sorted(counts) == [("5", "1"), ("–", "–")]

    @pytest.mark.parametrize("field", ["user", "organization"])
    def test_what_is_offered_while_typing_is_ones_own(self, own: Place, other: Place, field: str) -> None:
        asked = {"app_label": "organizations", "model_name": "membership", "field_name": field, "term": ""}
        answer = signed_in(own.people["owner"]).get("/admin/autocomplete/", asked)
        offered = {row["text"] for row in answer.json()["results"]}
        assert offered == ({person.username for person in own.people.values()} if field == "user" else {"SwaggyStacks"})
        for term in (other.mark, OTHER, "scientia"):
            found = signed_in(own.people["owner"]).get("/admin/autocomplete/", {**asked, "term": term})
            assert found.json()["results"] == []

    def test_searching_inferences_reads_a_week_unless_a_time_is_chosen(
        self, own: Place, make_key: Make, client: Client
    ) -> None:
        key = make_key(OWN, "ingest:write", "ingest:backfill")
        long_ago = (timezone.now() - timedelta(days=10)).isoformat()
        send(client, key, {"modelName": "zq-old", "occurredAt": long_ago})
        reader = signed_in(own.people["analyst"])
        assert "zq-old" in reader.get(LISTS["inference"]).content.decode()
        assert ">zq-old<" not in reader.get(LISTS["inference"], {"q": "zq-old"}).content.decode()
        assert ">zq-old<" in reader.get(LISTS["inference"], {"q": "zq-old", "since": "30d"}).content.decode()


def figures(page: str) -> dict[str, str]:
    """The home page's figures by their labels."""
    found = re.findall(r'house-label">(.*?)</span><b>(.*?)</b>', page)
    return {label: re.sub(r"<.*?>", "", value) for label, value in found}


class TestHome:
    def test_an_administrator_sees_the_parts_and_every_organization(
        self, own: Place, other: Place, root: Client
    ) -> None:
        page = page_of(root.get("/admin/"))
        shown = figures(page)
        assert shown.keys() == {"The cockpit", "Open alerts", "Channels", "Notices", "Inferences stored",
                                "Failed calls", "Refused sign-ins", "Keys that expire", "Keys never used"}  # fmt: skip
        assert (shown["Inferences stored"], shown["Failed calls"], shown["Refused sign-ins"]) == ("4", "2", "2")
        assert shown["Open alerts"] == "2"
        for name in ("Database", "Cache", "Disk", "SwaggyStacks", "ScientiaCapital", "Shared platform"):
            assert name in page
        assert own.mark in page
        assert other.mark in page

    @pytest.mark.parametrize("role", ["owner", "operator", "analyst"])
    def test_a_member_sees_their_own_organization_and_nothing_of_the_platform(
        self, own: Place, other: Place, role: str
    ) -> None:
        page = page_of(signed_in(own.people[role]).get("/admin/"))
        shown = figures(page)
        assert (shown["Inferences stored"], shown["Failed calls"], shown["Refused sign-ins"]) == ("2", "1", "1")
        assert ("Keys never used" in shown) == ("Keys in use" in page) == (role == "owner")
        for foreign in ("The cockpit", "Database", "ScientiaCapital", "Shared platform", other.mark, OTHER):
            assert foreign not in page.replace("AI Development Cockpit", "")

    def test_keys_of_an_organization_one_only_reads_are_not_counted(
        self, own: Place, other: Place, make_person: Make
    ) -> None:
        page = signed_in(make_person("zqreader", **{OWN: "owner", OTHER: "analyst"})).get("/admin/").content.decode()
        assert page.count('title="for its owners"') == 3
        assert figures(page)["Keys never used"] == "0"

    @pytest.mark.parametrize("role", ROLES)
    def test_each_figure_leads_to_a_list_that_proves_it(self, own: Place, root: Client, role: str) -> None:
        client = as_role(role, own, root)
        with Scope.of(OWN).enter():
            for name, days in (("soon", 3), ("later", 40)):
                keys.create_key(organization=OWN, name=name, scopes=["ingest:write"], created_by="t",
                                expires_at=timezone.now() + timedelta(days=days))  # fmt: skip
        page = client.get("/admin/").content.decode()
        linked = re.findall(r'<a href="([^"]+)" class="house-figure.*?<b>(.*?)</b>', page)
        linked += re.findall(r'<td class="n[^"]*"><a href="([^"]+since[^"]+)">(\d+)</a>', page)
        proven = 0
        for href, value in linked:
            if href.startswith("/admin/"):
                told = re.search(r'paginator-count">(\d+) ', client.get(href.replace("&amp;", "&")).content.decode())
                assert told, href
                assert told[1] == value, href
                proven += 1
        assert proven >= (7 if role in ("root", "owner") else 5)
        if role in ("root", "owner"):
            assert (figures(page)["Keys that expire"], figures(page)["Keys never used"]) == ("1", "2")

    def test_every_link_of_it_answers(self, own: Place, other: Place, root: Client) -> None:
        for client in (root, signed_in(own.people["owner"]), signed_in(own.people["analyst"])):
            links = {link for link in Inline(client.get("/admin/").content.decode()).links if link.startswith("/")}
            assert f"/dashboards/{OWN}/" in links
            assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)

    def test_a_cache_that_is_away_is_told_and_the_rest_stays(self, own: Place, root: Client, settings: Any) -> None:
        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {**settings.CACHES, "default": {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1/0"}}
        answer = root.get("/admin/")
        assert answer.status_code == 200
        page = page_of(answer)
        assert figures(page)["The cockpit"] == "7 not well"  # broker, workers, beat, fold, dispatch and probes are away
        assert "degraded" in page
        assert "ConnectionError" in page
        assert "127.0.0.1:1" not in page
        assert figures(page)["Inferences stored"] == "2"

    def test_a_store_that_does_not_answer_is_told_and_is_no_zero(
        self, own: Place, root: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: Any, **__: Any) -> None:
            raise DatabaseError("statement timeout")

        monkeypatch.setattr(type(current_store()), "totals", away)
        answer = root.get("/admin/")
        assert answer.status_code == 200
        page = page_of(answer)
        assert "The store does not answer at the moment" in page
        assert figures(page)["Inferences stored"] == "–not known"
        assert own.mark in page

    def test_data_that_were_not_measured_live_are_labelled(self, own: Place, make_key: Make, client: Client) -> None:
        reader = signed_in(own.people["analyst"])
        assert "replay data" not in reader.get("/admin/").content.decode()
        send(client, make_key(OWN), {"source": "replay"})
        assert "replay data included" in reader.get("/admin/").content.decode()

    def test_an_empty_house_shows_zeros_and_dashes(self, make_person: Make) -> None:
        page = page_of(signed_in(make_person("new", **{OWN: "analyst"})).get("/admin/"))
        names = ("Open alerts", "Channels", "Notices", "Inferences stored", "Failed calls", "Refused sign-ins")
        assert figures(page) == dict.fromkeys(names, "0")
        assert page.count('title="no data"') == 3
        assert "signed in</a>" in page


NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class TestWords:
    @pytest.mark.parametrize(
        ("distance", "words"),
        [
            (timedelta(), "just now"), (timedelta(seconds=-59), "just now"), (timedelta(minutes=-1), "1 minute ago"),
            (timedelta(minutes=-59, seconds=-59), "59 minutes ago"), (timedelta(hours=-1), "1 hour ago"),
            (timedelta(hours=-47), "1 day ago"), (timedelta(days=-2), "2 days ago"),
            (timedelta(days=-60), "2026-01-09"),
            (timedelta(seconds=30), "in less than a minute"), (timedelta(days=3), "in 3 days"),
            (timedelta(days=400), "2027-04-14"),
        ],
    )  # fmt: skip
    def test_times_are_told_as_people_say_them(self, distance: timedelta, words: str) -> None:
        assert relative(NOW + distance, NOW) == words

    @pytest.mark.parametrize(
        ("change", "words"),
        [(["30", "7"], "raw_days: 30 → 7"), (["", "changed"], "raw_days: – → changed"), ([], "raw_days"),
         (["role"], "raw_days: role"), ("x", "raw_days"), (None, "raw_days")],
    )  # fmt: skip
    def test_changes_are_told_in_a_line(self, change: Any, words: str) -> None:
        assert told("raw_days", change) == words

    @pytest.mark.parametrize(("state", "tone"), [("ok", "good"), ("degraded", "warn"), ("down", "bad")])
    def test_a_part_is_told_with_its_tone(self, state: Any, tone: str) -> None:
        part = house.part_of("role", health.Part(state, 12.5, "gone"))
        assert (part.name, part.state, part.tone, part.error) == ("database role", state, tone, "gone")
        assert part.latency == "12\N{NO-BREAK SPACE}ms"
