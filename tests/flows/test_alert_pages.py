"""Alerts worked on from the pages, in a real browser: by those who may, seen live by those who look."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.flows.browsing import Visit, record
from tests.house import ROOT, House, house
from tests.servers import clean_environment

pytestmark = pytest.mark.browser

PERSON_PASSWORD = "a-long-one-of-their-own-7"
ALERTS = "/api/monitoring/alerts"


PEOPLE = (
    ("olga", "operator", "swaggystacks"),
    ("anna", "analyst", "swaggystacks"),
    ("emil", "executive", "scientia_capital"),
    ("owen", "owner", "scientia_capital"),
)
MADE_BY = """
from organizations.models import Membership, User
from organizations.scope import Scope
for name, role, organization in {people!r}:
    person = User.objects.create_user(name, password={password!r})
    with Scope.system("test").enter():
        Membership.objects.create(user=person, organization_id=organization, role=role)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[House]:
    """A cockpit with people of every role."""
    with house() as running:
        program = MADE_BY.format(people=PEOPLE, password=PERSON_PASSWORD)
        environment = clean_environment(COCKPIT_DATA_DIR=str(running.data_dir), DEMO="0")
        command = [sys.executable, "manage.py", "shell", "-c", program]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)
        yield running


def signed_in(browser: Browser, cockpit: House, name: str, **options: Any) -> Visit:
    visit = Visit(browser, cockpit, anonymous=True, **options)
    visit.page.goto(f"{visit.address}/")
    visit.page.fill("#id_username", name)
    visit.page.fill("#id_password", PERSON_PASSWORD)
    visit.page.press("#id_password", "Enter")
    visit.page.wait_for_url(re.compile("/dashboards/"))
    return visit


def ask(cockpit: House, method: str, path: str, body: object = None, organization: str = "swaggystacks") -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{cockpit.port}{ALERTS}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {cockpit.keys[organization]}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.loads(response.read())


def fire(cockpit: House, kind: str, organization: str = "swaggystacks", **more: object) -> Any:
    body = {"alertType": kind, "severity": "critical", "message": f"Trouble of the kind {kind}",
            "modelName": "qwen2.5:7b", "metadata": {"errorRate": 0.07, "threshold": 0.05}, **more}  # fmt: skip
    return ask(cockpit, "POST", "", body, organization)


def row(page: Page, alert: Any) -> Any:
    return page.locator(f"[data-alert='{alert['id']}']")


def test_an_operator_resolves_it_and_another_page_sees_it_live(browser: Browser, place: House) -> None:
    record(place, "swaggystacks", "qwen2.5:7b")
    operator, analyst = signed_in(browser, place, "olga"), signed_in(browser, place, "anna")
    page, other = operator.open("swaggystacks"), analyst.open("swaggystacks")
    expect(page.locator("main")).to_have_attribute("data-state", "live")
    alert = fire(place, "first_error")
    for each in (page, other):  # nobody reloads
        expect(row(each, alert)).to_contain_text("threshold", timeout=6_000)
    expect(row(other, alert).get_by_role("link", name="Details")).to_be_visible()
    expect(other.locator("button[data-act]:visible")).to_have_count(0)

    row(page, alert).get_by_role("button", name="Acknowledge").click()
    page.get_by_role("dialog", name="Acknowledge").get_by_label("Note").fill("I look at it.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for each in (page, other):
        expect(row(each, alert)).to_contain_text("acknowledged by olga", timeout=6_000)
        expect(row(each, alert)).to_contain_text("I look at it.")

    resolve = row(page, alert).get_by_role("button", name="Resolve")
    resolve.focus()
    page.keyboard.press("Enter")  # all by keyboard
    page.keyboard.type("Restarted the gateway.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for each in (page, other):
        expect(row(each, alert)).to_have_count(0, timeout=6_000)
        expect(each.locator(".trouble-past")).to_contain_text("by olga")
        expect(each.locator(".trouble-past")).to_contain_text("Restarted the gateway.")
    assert page.evaluate("document.activeElement.id") == "heading-alerts", "never on the button of another alert"
    expect(page.locator("[data-said]")).to_have_text(f"Resolved: {alert['message']}")
    stored = ask(place, "GET", f"/{alert['id']}")
    assert (stored["status"], stored["resolvedBy"], stored["acknowledgedBy"]) == ("resolved", "olga", "olga")
    assert operator.complaints == analyst.complaints == []
    assert operator.foreign == analyst.foreign == []


def test_an_executive_sees_the_impact_and_no_buttons(browser: Browser, place: House) -> None:
    record(place, "scientia_capital", "qwen2.5:7b")
    alert = fire(place, "error_rate", "scientia_capital", labels={"region": "eu-west"})
    executive, owner = signed_in(browser, place, "emil"), signed_in(browser, place, "owen")
    page, theirs = executive.open("scientia_capital"), owner.open("scientia_capital")
    expect(row(page, alert)).to_contain_text("qwen2.5:7b has been affected since")
    assert "eu-west" not in page.content()
    expect(page.locator(".acts:visible")).to_have_count(0)
    assert page.locator("dialog").count() == 0
    status = page.evaluate(
        """async ([path, token]) => (await fetch(path, {method: "PUT", body: "{}",
            headers: {"Content-Type": "application/json", "X-CSRFToken": token}})).status""",
        [f"{ALERTS}/{alert['id']}/resolve", page.locator("[name=csrfmiddlewaretoken]").first.input_value()],
    )
    assert status == 403
    row(theirs, alert).get_by_role("button", name="It is over").click()
    theirs.get_by_role("dialog").get_by_role("button", name="It is over").click()
    expect(row(page, alert)).to_have_count(0, timeout=6_000)
    expect(page.locator("#panel-alerts_executive")).to_contain_text("Nothing is wrong right now")
    assert owner.complaints == []


def test_what_goes_wrong_is_told_in_the_dialog_and_nothing_is_lost(browser: Browser, place: House) -> None:
    alert = fire(place, "third_error")
    visit = signed_in(browser, place, "olga")
    page = visit.open("swaggystacks")
    button = row(page, alert).get_by_role("button", name="Resolve")
    button.click()
    page.get_by_label("Note").fill("A note worth keeping.")
    page.route("**/resolve", lambda route: route.abort())
    submit = page.get_by_role("dialog").get_by_role("button", name="Resolve")
    submit.click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("did not answer")
    page.unroute("**/resolve")
    told = {"title": "Conflict", "status": 409, "detail": "The alert is resolved; it cannot be resolved."}
    page.route("**/resolve", lambda route: route.fulfill(status=409, json=told))
    submit.click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(told["detail"])
    page.unroute("**/resolve")
    expect(page.get_by_label("Note")).to_have_value("A note worth keeping.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
    assert ask(place, "GET", f"/{alert['id']}")["status"] == "firing"
    ask(place, "PUT", f"/{alert['id']}/resolve", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "organization"), [("olga", "swaggystacks"), ("owen", "scientia_capital")])
def test_a_critical_alert_is_in_the_first_screen(
    browser: Browser, place: House, name: str, organization: str, scheme: str
) -> None:
    record(place, organization, "qwen2.5:7b")
    long = "averylongwordwithoutaspace" * 8
    alert = fire(
        place, f"{scheme}_error", organization, message=long, labels={"shard": long[:200]}, endpointId=long[:200]
    )
    for width, height in ((1366, 768), (360, 740)):
        visit = signed_in(browser, place, name, viewport={"width": width, "height": height}, color_scheme=scheme)
        page = visit.open(organization)
        expect(page.locator("main")).to_have_attribute("data-state", "live")
        box = row(page, alert).locator("h3").bounding_box()
        assert box is not None
        assert box["y"] + 20 < height
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        row(page, alert).locator("button[data-act=acknowledge]").click()
        dialog = page.get_by_role("dialog").bounding_box()
        assert dialog is not None
        assert dialog["x"] >= 0
        assert dialog["x"] + dialog["width"] <= width
        assert visit.complaints == []
        page.context.close()
    ask(place, "PUT", f"/{alert['id']}/resolve", {}, organization)


def test_without_a_script_there_is_the_way_to_the_admin(browser: Browser, place: House) -> None:
    alert = fire(place, "fifth_error")
    cookies = signed_in(browser, place, "olga").page.context.storage_state()
    page = browser.new_context(storage_state=cookies, java_script_enabled=False).new_page()
    page.goto(f"http://127.0.0.1:{place.port}/dashboards/swaggystacks/")
    expect(page.locator("button[data-act]:visible")).to_have_count(0)
    row(page, alert).get_by_role("link", name="Details").click()
    page.wait_for_url(re.compile(f"/admin/alerts/alert/{alert['id']}/"))
    expect(page.locator("body")).to_contain_text(alert["message"])
    ask(place, "PUT", f"/{alert['id']}/resolve", {})
