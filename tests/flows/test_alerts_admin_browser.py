"""Alerts worked through in the admin in a real browser: by keyboard, without script, on a phone, while others come."""

import http.client
import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.flows.browsing import Visit
from tests.house import House

pytestmark = pytest.mark.browser

ALERTS = "/api/monitoring/alerts"
HOSTILE = '"><img src=x onerror="window.__xss=1"><script>window.__xss=1</script>'


def ask(cockpit: House, method: str, path: str, body: object = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", cockpit.port, timeout=20)
    headers = {"Authorization": f"Bearer {cockpit.keys['swaggystacks']}", "Content-Type": "application/json"}
    try:
        connection.request(method, ALERTS + path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        told = json.loads(response.read())
        assert response.status in (200, 201), told
        return told
    finally:
        connection.close()


def fire(cockpit: House, kind: str, **more: object) -> str:
    body = {"alertType": kind, "severity": "critical", "message": f"{kind} is wrong", **more}
    return str(ask(cockpit, "POST", "", body)["id"])


def opened(visit: Visit, query: str = "") -> Page:
    visit.page.goto(f"{visit.address}/admin/alerts/alert/?{query}")
    return visit.page


def keyed(page: Page) -> Page:
    """Once its script listens: what tells the keys shows with it."""
    expect(page.locator("[data-keys]")).to_be_visible()
    return page


def row(page: Page, kind: str) -> Any:
    return page.locator("#result_list tbody tr").filter(has_text=kind)


def test_two_are_acknowledged_and_one_resolved_with_notes_and_no_mouse(browser: Browser, cockpit: House) -> None:
    first, second, third = (fire(cockpit, f"keyed_{number}") for number in ("one", "two", "three"))
    visit = Visit(browser, cockpit)
    page = opened(visit)
    page.keyboard.press("/")
    page.keyboard.type("keyed_")  # neither k, e, y nor d does anything while one writes
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=keyed_"))
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    keyed(page)
    for key in ("j", "x", "ArrowDown", "x"):  # the newest stand first: three and two
        page.keyboard.press(key)
    expect(page.locator("[data-counter]")).to_have_text("2 of 3 selected")
    page.keyboard.press("a")
    expect(page.locator("h1")).to_have_text("Acknowledge: 2 alerts")
    expect(page.locator("textarea")).to_be_focused()
    page.keyboard.type("I look at both; r and x are letters here")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".messagelist")).to_contain_text("2 alerts acknowledged.")
    for identifier, status in ((first, "firing"), (second, "acknowledged"), (third, "acknowledged")):
        assert ask(cockpit, "GET", f"/{identifier}")["status"] == status

    keyed(page).keyboard.press("k")  # the last one
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("keyed_one is wrong")
    keyed(page).keyboard.press("r")
    expect(page.locator("textarea")).to_be_focused()
    page.keyboard.type("rolled back")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".messagelist")).to_contain_text("1 alert resolved.")
    expect(page.locator(".desk-timeline")).to_contain_text("rolled back")
    expect(page.locator(".desk-timeline")).to_contain_text("Resolved by admin in the admin from 127.0.0.1")
    resolved = ask(cockpit, "GET", f"/{first}")
    assert (resolved["status"], resolved["resolvedBy"]) == ("resolved", "admin")

    keyed(page).locator("body").press("u")
    page.wait_for_url(re.compile(r"/alert/\?.*q=keyed_"))
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    keyed(page).keyboard.press("?")
    expect(page.locator("[data-keys] dl")).to_be_visible()
    assert visit.complaints == []
    assert visit.foreign == []


def test_others_come_into_the_list_by_themselves_and_the_row_stays(browser: Browser, cockpit: House) -> None:
    fire(cockpit, "stays_here")
    visit = Visit(browser, cockpit)
    page = opened(visit, "q=_here")
    page.keyboard.press("j")
    expect(row(page, "stays_here").locator("a")).to_be_focused()
    fire(cockpit, "comes_here")
    expect(row(page, "comes_here")).to_be_visible(timeout=25_000)
    expect(row(page, "stays_here").locator("a")).to_be_focused()
    expect(page.locator(".paginator-count")).to_have_text("2 alerts")
    assert visit.complaints == []


def test_all_of_it_works_without_script(browser: Browser, cockpit: House) -> None:
    identifier = fire(cockpit, "scriptless")
    visit = Visit(browser, cockpit, java_script_enabled=False)
    page = opened(visit, "q=scriptless")
    expect(page.locator("[data-keys]")).to_be_hidden()
    row(page, "scriptless").locator("input").check()
    page.get_by_role("button", name="Shelve").click()
    page.locator("textarea").fill("until the rollout is through")
    page.locator("select").select_option("4h")
    page.get_by_role("button", name="Shelve: 1 alert").click()
    expect(page.locator(".messagelist")).to_contain_text("1 alert shelved.")
    row(page, "scriptless").get_by_role("link").click()
    page.locator("textarea").fill("and this to the timeline")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator(".desk-timeline")).to_contain_text("and this to the timeline")
    assert ask(cockpit, "GET", f"/{identifier}")["suppressedBy"][0]["kind"] == "shelved"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone_and_hostile_words_are_words(
    browser: Browser, cockpit: House, scheme: str
) -> None:
    identifier = fire(
        cockpit, f"hostile_{scheme}", message=HOSTILE + "a-rather-long-word-without-a-break-" * 6, modelName=HOSTILE,
        labels={"where": HOSTILE}, metadata={"nested": {"deep": ["long" * 60, HOSTILE]}},
    )  # fmt: skip
    ask(cockpit, "POST", f"/{identifier}/comment", {"note": HOSTILE * 3})
    visit = Visit(browser, cockpit, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = opened(visit, f"q=hostile_{scheme}")
    expect(row(page, "hostile")).to_contain_text("onerror")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto(f"{visit.address}/admin/alerts/alert/{identifier}/change/")
    expect(page.locator("h1")).to_contain_text("<script>")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("window.__xss") is None
    assert visit.complaints == []
    assert visit.foreign == []
