"""Both dashboards in a real browser: a clean console, numbers that refresh, phones, and a life without JavaScript."""

import re
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.browsing import ORGANIZATIONS, Visit, record
from tests.house import House, house

pytestmark = pytest.mark.browser


def wait_for(holds: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            if holds():
                return
        time.sleep(0.2)
    raise AssertionError("it did not come true in time")


@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_it_refreshes_by_itself_and_the_console_stays_clean(
    browser: Browser, cockpit: House, organization: str
) -> None:
    record(cockpit, organization, "seen at once")
    visit = Visit(browser, cockpit)
    page = visit.open(organization)
    expect(page.locator("main")).to_contain_text("seen at once")
    as_of = page.locator("#as-of").inner_text()
    record(cockpit, organization, "came later")
    began = time.monotonic()
    expect(page.locator("main")).to_contain_text("came later", timeout=12_000)
    assert time.monotonic() - began < 3, "the stream tells the page at once; polling would take 5 s"
    assert page.locator("#as-of").inner_text() != as_of
    assert visit.complaints == []
    assert visit.foreign == []


@pytest.mark.parametrize("organization", ORGANIZATIONS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone(browser: Browser, cockpit: House, organization: str, scheme: str) -> None:
    record(cockpit, organization, "a-model-with-a-rather-long-name-" * 4)
    visit = Visit(browser, cockpit, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = visit.open(organization, "window=24h")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visit.complaints == []


@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_everything_is_readable_without_javascript(browser: Browser, cockpit: House, organization: str) -> None:
    record(cockpit, organization, "plain")
    visit = Visit(browser, cockpit, java_script_enabled=False)
    page = visit.open(organization)
    expect(page.locator("main")).to_contain_text("plain")
    page.get_by_role("link", name="7d").first.click()
    page.wait_for_url(re.compile("window=7d"))
    expect(page.locator("main")).to_contain_text("plain")


def test_the_two_themes_are_two_pages(browser: Browser, cockpit: House) -> None:
    visit = Visit(browser, cockpit)
    looks = []
    for organization in ORGANIZATIONS:
        page = visit.open(organization)
        style = "getComputedStyle(document.querySelector('h1'))"
        looks.append(page.evaluate(f"[{style}.fontFamily, getComputedStyle(document.body).backgroundColor]"))
    assert looks[0][0] != looks[1][0]
    assert looks[0][1] != looks[1][1]


def test_a_lost_server_is_told_and_forgotten(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "kept in sight")
    visit = Visit(browser, cockpit)
    page = visit.open("swaggystacks")
    page.context.set_offline(True)
    expect(page.locator("body")).to_contain_text(re.compile("reconnecting", re.IGNORECASE), timeout=20_000)
    expect(page.locator("main")).to_contain_text("kept in sight")
    page.context.set_offline(False)
    expect(page.locator("main")).to_have_attribute("data-state", re.compile("live|fresh"), timeout=40_000)


def test_a_server_that_was_killed_is_found_again(browser: Browser) -> None:
    with house() as cockpit:
        record(cockpit, "swaggystacks", "before the kill")
        page = Visit(browser, cockpit).open("swaggystacks")
        expect(page.locator("main")).to_contain_text("before the kill")
        servers = [each for each in cockpit.process.children(recursive=True) if "granian" in " ".join(each.cmdline())]
        assert servers
        for each in servers:
            each.kill()
        expect(page.locator("#panel-models")).to_contain_text("before the kill")  # the numbers stay
        wait_for(lambda: cockpit.post({"modelName": "after the kill", "durationMs": 5})[0] == 201, seconds=30)
        expect(page.locator("#panel-models")).to_contain_text("after the kill", timeout=20_000)
        expect(page.locator("main")).to_have_attribute("data-state", "live")


def test_a_hidden_page_asks_for_nothing(browser: Browser, cockpit: House) -> None:
    visit = Visit(browser, cockpit)
    page = visit.open("swaggystacks")
    page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'});"
        "Object.defineProperty(document, 'hidden', {get: () => true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    time.sleep(7)
    assert asked == []


def test_a_hostile_name_is_shown_as_text(browser: Browser, cockpit: House) -> None:
    name = '"><img src=x onerror="window.__xss=1"><script>window.__xss=1</script>'
    record(cockpit, "swaggystacks", name)
    visit = Visit(browser, cockpit)
    page = visit.open("swaggystacks")
    expect(page.locator("main")).to_contain_text("<script>window.__xss=1</script>")
    page.goto(f"{visit.address}/admin/monitoring/inference/")
    expect(page.locator("#content")).to_contain_text("onerror")
    assert page.evaluate("window.__xss") is None
    assert visit.complaints == []
