"""The pages over the real store: who sees which, the refresh, and each way not to get there."""

import json
import re
from collections.abc import Callable

import pytest
from django.test import Client

from organizations.models import User

PANELS = "/api/monitoring/panels?organization="
MakePerson = Callable[..., User]
MakeKey = Callable[..., str]


@pytest.fixture
def visitor(make_person: MakePerson) -> Callable[..., Client]:
    def signed_in(**roles: str) -> Client:
        client = Client()
        client.force_login(make_person("ada", **roles))
        return client

    return signed_in


def record(make_key: MakeKey, organization: str, **more: object) -> None:
    item = {"modelName": "qwen2.5:7b", "durationMs": 120, "inputTokens": 420, "cost": "0.25", **more}
    answer = Client().post(
        "/api/monitoring/dashboard/inference",
        json.dumps(item),
        content_type="application/json",
        headers={"Authorization": f"Bearer {make_key(organization)}"},
    )
    assert answer.status_code == 201, answer.content


def text(content: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode()).replace("\N{NO-BREAK SPACE}", " "))


def test_nobody_in_particular_is_asked_to_sign_in(database: str) -> None:
    assert Client().get("/").headers["Location"] == "/login/?next=/"
    page = Client().get("/login/?next=/dashboards/shared/")
    assert page.status_code == 200
    assert b'value="/dashboards/shared/"' in page.content


def test_home_is_the_first_organization(visitor: Callable[..., Client]) -> None:
    client = visitor(swaggystacks="analyst", scientia_capital="executive")
    assert client.get("/").headers["Location"] == "/dashboards/scientia_capital/"


def test_who_belongs_to_none_is_told_so(visitor: Callable[..., Client]) -> None:
    page = visitor().get("/")
    assert page.status_code == 403
    assert "You belong to no organization yet" in text(page.content)


def test_another_organization_is_as_absent_as_none(visitor: Callable[..., Client]) -> None:
    client = visitor(swaggystacks="owner")
    for path in ("/dashboards/{}/", PANELS + "{}"):
        other = client.get(path.format("scientia_capital"))
        none = client.get(path.format("nothing_of_that_name"))
        assert other.status_code == none.status_code == 404
        alike = [re.sub(r'"requestId":\s*"[^"]+"', "", answer.content.decode()) for answer in (other, none)]
        assert alike[0] == alike[1]


@pytest.mark.parametrize(
    ("organization", "role", "theme"),
    [
        ("swaggystacks", "analyst", "swaggystacks"),
        ("scientia_capital", "executive", "scientia_capital"),
        ("shared", "owner", "cockpit"),
    ],
)
def test_each_organization_has_its_theme_and_says_how_to_begin(
    visitor: Callable[..., Client], organization: str, role: str, theme: str
) -> None:
    page = visitor(**{organization: role}).get(f"/dashboards/{organization}/")
    assert page.status_code == 200
    assert f'data-theme="{theme}"' in page.content.decode()
    assert "curl http://testserver/api/monitoring/dashboard/inference" in text(page.content)


def test_what_is_recorded_is_on_both_pages(visitor: Callable[..., Client], make_key: MakeKey) -> None:
    record(make_key, "swaggystacks")
    record(make_key, "scientia_capital", revenue="1.00")
    client = visitor(swaggystacks="analyst", scientia_capital="executive")
    technical = text(client.get("/dashboards/swaggystacks/").content)
    plain = text(client.get("/dashboards/scientia_capital/").content)
    assert "qwen2.5:7b" in technical
    assert "$0.25" in technical
    assert "Spend is $0.25 over the last 24 hours; service is on target." in plain
    assert "$0.75" in plain  # the margin


def test_replayed_calls_are_labelled_and_can_be_left_out(visitor: Callable[..., Client], make_key: MakeKey) -> None:
    record(make_key, "swaggystacks", source="replay", estimated=True)
    record(make_key, "swaggystacks")
    client = visitor(swaggystacks="analyst")
    assert "replay data included" in text(client.get("/dashboards/swaggystacks/").content)
    live = text(client.get("/dashboards/swaggystacks/?source=live").content)
    assert "replay data" not in live
    assert "est." not in live


def test_the_refresh_is_a_304_until_a_number_moves(visitor: Callable[..., Client], make_key: MakeKey) -> None:
    client = visitor(scientia_capital="executive")
    first = client.get(PANELS + "scientia_capital")
    assert first.status_code == 200
    assert 'data-theme="scientia_capital"' in first.content.decode()
    again = client.get(PANELS + "scientia_capital", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["X-As-Of"]
    record(make_key, "scientia_capital")
    moved = client.get(PANELS + "scientia_capital", headers={"If-None-Match": first.headers["ETag"]})
    assert moved.status_code == 200


def test_panels_can_be_asked_for_by_name(visitor: Callable[..., Client], make_key: MakeKey) -> None:
    record(make_key, "swaggystacks")
    client = visitor(swaggystacks="analyst")
    page = client.get(PANELS + "swaggystacks&panel=latency&panel=models&window=1h").content.decode()
    assert re.findall(r'id="panel-(\w+)"', page) == ["latency", "models"]
    unknown = client.get(PANELS + "swaggystacks&panel=horoscope")
    assert unknown.status_code == 400
    assert "horoscope" in unknown.content.decode()


def test_a_session_that_ended_is_told_to_the_refresh_plainly(database: str) -> None:
    answer = Client().get(PANELS + "swaggystacks")
    assert answer.status_code == 401
    assert "Location" not in answer.headers


@pytest.mark.parametrize("query", ["window=2y", "compare=never", "source=rumour", "shade=blue", "from=yesterday"])
def test_an_address_that_is_not_understood_says_what_is(visitor: Callable[..., Client], query: str) -> None:
    client = visitor(swaggystacks="analyst")
    for path in ("/dashboards/swaggystacks/?", PANELS + "swaggystacks&"):
        page = client.get(f"{path}{query}")
        assert page.status_code == 400
        assert f"{query.partition('=')[0]} " in text(page.content)


def test_pages_only_answer_reads(visitor: Callable[..., Client]) -> None:
    assert visitor(swaggystacks="owner").post("/dashboards/swaggystacks/").status_code == 405


def test_the_choice_of_light_or_dark_is_drawn_by_the_server(visitor: Callable[..., Client]) -> None:
    client = visitor(swaggystacks="analyst")
    client.cookies["mode"] = "dark"
    assert 'data-mode="dark"' in client.get("/dashboards/swaggystacks/").content.decode()
    client.cookies["mode"] = '"><script>'
    page = client.get("/dashboards/swaggystacks/").content.decode()
    assert "data-mode" not in page.partition("<body>")[0]
