"""The pages of the API description in a real browser: nothing from elsewhere, a clean console, and it can be tried."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.browsing import Visit
from tests.house import House

pytestmark = pytest.mark.browser


def test_swagger_shows_every_operation_and_tries_one_with_a_key(browser: Browser, cockpit: House) -> None:
    visit = Visit(browser, cockpit, anonymous=True)
    page = visit.page
    page.goto(f"{visit.address}/api/docs")
    expect(page.locator(".opblock")).to_have_count(26, timeout=30_000)
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").first.fill(cockpit.keys["swaggystacks"])
    page.locator(".auth-btn-wrapper .authorize").first.click()
    page.locator(".btn-done").first.click()
    operation = page.locator(".opblock", has_text="/api/monitoring/dashboard/inference")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    live = operation.locator(".live-responses-table")
    expect(live.locator(".response-col_status").nth(1)).to_have_text(re.compile("201"))
    expect(live).to_contain_text("occurredAt")
    assert visit.complaints == []
    assert visit.foreign == []


def test_redoc_shows_every_operation_and_finds_one(browser: Browser, cockpit: House) -> None:
    visit = Visit(browser, cockpit, anonymous=True)
    page = visit.page
    page.goto(f"{visit.address}/api/redoc")
    for summary in ("Record inferences", "Be told when numbers move", "Is the process alive?"):
        expect(page.get_by_role("heading", name=summary)).to_be_visible(timeout=30_000)
    page.get_by_placeholder("Search...").fill("idempotency")
    expect(page.locator('[data-role="search:results"]')).to_contain_text("Idempotency")
    font = page.locator("#redoc").evaluate("one => getComputedStyle(one.querySelector('h1')).fontFamily")
    assert "Montserrat" in font, "its styles are in force"
    assert visit.complaints == []
    assert [url for url in visit.foreign if not url.startswith(f"blob:{visit.address}")] == []
