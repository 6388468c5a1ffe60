"""Both dashboards in a real browser: a clean console, numbers that refresh, phones, and a life without JavaScript."""

import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.house import PASSWORD, House

pytestmark = pytest.mark.browser
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
              "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
ORGANIZATIONS = ("swaggystacks", "scientia_capital")


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        yield running
        running.close()


_sessions: dict[int, Any] = {}


def signed_in(browser: Browser, cockpit: House) -> Any:
    """The cookies of the administrator, who signs in once."""
    if cockpit.port not in _sessions:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{cockpit.port}/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", PASSWORD)
        page.press("#id_password", "Enter")
        page.wait_for_url(re.compile("/dashboards/"))
        _sessions[cockpit.port] = context.storage_state()
        context.close()
    return _sessions[cockpit.port]


class Visit:
    """A signed-in page, and all that its console and its network said."""

    def __init__(self, browser: Browser, cockpit: House, **options: Any) -> None:
        self.address = f"http://127.0.0.1:{cockpit.port}"
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page: Page = browser.new_context(storage_state=signed_in(browser, cockpit), **options).new_page()
        self.page.on("console", lambda line: self._note(line.type, line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.foreign.append(url)

    def open(self, organization: str, query: str = "window=1h") -> Page:
        self.page.goto(f"{self.address}/dashboards/{organization}/?{query}")
        return self.page


def record(cockpit: House, organization: str, model: str) -> None:
    for n in range(5):
        status, _ = cockpit.post(
            {"modelName": model, "durationMs": 300 + n, "cost": "0.25", "revenue": "0.5", "inputTokens": 10},
            organization,
        )
        assert status == 201


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
