"""<monitoring-dashboard> in pages: of this site with its session, of another origin with a token of its server."""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.browsing import Visit, record
from tests.house import House, house

pytestmark = pytest.mark.browser


class Host:
    """Somebody else's web server: a page with the element, and the address that hands out tokens."""

    def __init__(self) -> None:
        self.cockpit: House | None = None
        self.tokens = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = outer.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[str, bytes]:
        assert self.cockpit is not None
        address = f"http://127.0.0.1:{self.cockpit.port}"
        organization = path.rpartition("/")[2]
        if path.startswith("/token/"):
            self.tokens += 1
            request = urllib.request.Request(
                f"{address}/api/monitoring/embed-token?organization={organization}",
                method="POST",
                headers={"Authorization": f"Bearer {self.cockpit.keys[organization]}"},
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                return "application/json", response.read()
        element = f'<monitoring-dashboard organization="{organization}" token-url="/token/{organization}" window="1h">'
        script = f'<script type="module" src="{address}/static/js/element.js"></script>'
        return "text/html", f"<!doctype html><title>Host</title>{script}{element}</monitoring-dashboard>".encode()


@contextmanager
def hosted() -> Iterator[Host]:
    host = Host()
    with house(EMBED_ORIGINS=host.origin) as cockpit:
        host.cockpit = cockpit
        yield host
    host.server.shutdown()
    host.server.server_close()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosted() as running:
        yield running


@pytest.mark.parametrize("organization", ["swaggystacks", "scientia_capital"])
def test_it_is_live_in_a_page_of_another_origin(browser: Browser, host: Host, organization: str) -> None:
    assert host.cockpit is not None
    record(host.cockpit, organization, "there already")
    visit = Visit(browser, host.cockpit, anonymous=True)
    page = visit.page
    page.goto(f"{host.origin}/{organization}")
    dashboard = page.locator("monitoring-dashboard")
    expect(dashboard).to_contain_text("there already")
    expect(dashboard.locator("canvas").first).to_be_visible()
    record(host.cockpit, organization, "came while it was open")
    expect(dashboard).to_contain_text("came while it was open", timeout=4_000)
    assert visit.complaints == []
    assert page.context.cookies() == []
    asked = [url for url in visit.foreign if not url.startswith(host.origin)]
    assert asked == [], "only the host and the cockpit are asked"
    assert not any("ct_" in url for url in visit.foreign), "a token never stands in an address"


def test_one_token_serves_all_requests_of_a_page(browser: Browser, host: Host) -> None:
    assert host.cockpit is not None
    before = host.tokens
    page = Visit(browser, host.cockpit, anonymous=True).page
    page.goto(f"{host.origin}/swaggystacks")
    expect(page.locator("monitoring-dashboard .page-title h2")).to_have_text("SwaggyStacks")
    for number in range(3):
        record(host.cockpit, "swaggystacks", f"model {number}")
        expect(page.locator("monitoring-dashboard")).to_contain_text(f"model {number}")
    assert host.tokens == before + 1


def test_an_origin_that_is_not_listed_is_shown_nothing(browser: Browser, host: Host) -> None:
    assert host.cockpit is not None
    stranger = Host()
    stranger.cockpit = host.cockpit
    page = Visit(browser, host.cockpit, anonymous=True).page
    page.goto(f"{stranger.origin}/swaggystacks")
    expect(page.locator("monitoring-dashboard .notice")).to_have_text("The dashboard does not answer yet; trying on.")
    assert "SwaggyStacks" not in page.locator("monitoring-dashboard").inner_text()
    stranger.server.shutdown()


def test_an_access_that_was_taken_away_is_told(browser: Browser, host: Host) -> None:
    assert host.cockpit is not None
    page = Visit(browser, host.cockpit, anonymous=True).page
    page.route(re.compile("/api/monitoring/panels"), lambda route: route.fulfill(status=404, body="{}"))
    page.goto(f"{host.origin}/swaggystacks")
    told = "This dashboard cannot be read with the access it was given."
    expect(page.locator("monitoring-dashboard .notice")).to_have_text(told)


def test_a_stretch_of_time_is_opened_and_left_in_place(browser: Browser, host: Host) -> None:
    assert host.cockpit is not None
    record(host.cockpit, "swaggystacks", "dragged over")
    page = Visit(browser, host.cockpit, anonymous=True).page
    page.goto(f"{host.origin}/swaggystacks")
    area = page.locator("[data-chart=request-rate] .u-over")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 20)
    page.mouse.down()
    with page.expect_request(re.compile(r"/panels\?.*from=")):
        page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 20, steps=5)
        page.mouse.up()
    back = page.get_by_role("button", name="Back from this stretch of time")
    with page.expect_request(re.compile(r"/panels\?.*window=1h")):
        back.click()
    expect(back).to_be_hidden()


def test_in_a_page_of_this_site_the_session_is_enough(browser: Browser, host: Host) -> None:
    assert host.cockpit is not None
    visit = Visit(browser, host.cockpit)
    page = visit.open("scientia_capital")
    page.evaluate(
        """async () => {
            await import("/static/js/element.js");
            const element = document.createElement("monitoring-dashboard");
            element.setAttribute("organization", "swaggystacks");
            document.querySelector("main").replaceChildren(element);
        }"""
    )
    expect(page.locator("monitoring-dashboard .page-title h2")).to_have_text("SwaggyStacks")
    assert visit.complaints == []
    assert visit.foreign == []
    assert json.dumps(page.evaluate("Object.keys(localStorage)")) == "[]"
