"""From a new channel to a notice that was taken, in a real browser: made, tried, routed to, told, seen in the log."""

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect
from standardwebhooks.webhooks import Webhook

from tests.flows.browsing import Visit
from tests.house import House, house
from tests.receiver import Receiver, Request, Step, answer

pytestmark = pytest.mark.browser

CHANNELS, ROUTES, LOG = (f"/admin/alerts/{kind}/" for kind in ("channel", "route", "delivery"))
HOSTILE = '"><img src=x onerror="window.__xss=1"><script>window.__xss=1</script>'
LONG = "a-rather-long-name-without-a-single-break-in-it-" * 2


def script(request: Request) -> Step:
    return answer(503, b"the disk is full") if request.path.startswith("/down") else answer(200, b"taken")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver(script) as listening:
        yield listening


@pytest.fixture(scope="module")
def place(receiver: Receiver) -> Iterator[House]:
    """A cockpit that may call the receiver, and nobody else on this machine."""
    with house(OUTGOING_ALLOWED=f"127.0.0.1:{receiver.port}") as running:
        yield running


def fire(cockpit: House, kind: str, **more: object) -> str:
    body = {"alertType": kind, "severity": "critical", "message": f"{kind} is wrong", **more}
    request = urllib.request.Request(
        f"http://127.0.0.1:{cockpit.port}/api/monitoring/alerts",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {cockpit.keys['swaggystacks']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answered:
        return str(json.loads(answered.read())["id"])


def opened(visit: Visit, path: str) -> Page:
    visit.page.goto(visit.address + path)
    return visit.page


def add_webhook(page: Page, name: str, url: str) -> str:
    """Makes a webhook by clicks; its signing secret, as it is shown once."""
    page.get_by_role("link", name=re.compile("^Webhook")).click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Organization").select_option("swaggystacks")
    page.get_by_label("URL", exact=True).fill(url)
    page.get_by_role("button", name="Add the channel").click()
    told = page.locator(".messagelist .warning").inner_text()
    expect(page.locator("h1")).to_have_text(name)
    return told.rpartition(": ")[2]


def add_route(page: Page, name: str, types: str, channel: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Types").fill(types)
    page.get_by_label(channel).check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text(f"The route {name} is on.")


def verified(request: Request, secret: str) -> Any:
    return Webhook(secret).verify(request.body, dict(request.headers))


def test_a_channel_is_made_tried_routed_to_and_told(browser: Browser, place: House, receiver: Receiver) -> None:
    fire(place, "flow_before")
    visit = Visit(browser, place)
    page = opened(visit, CHANNELS)
    expect(page.locator("p.empty")).to_contain_text("nobody is told of alerts outside these pages")
    page.get_by_role("link", name="Add channel").click()
    secret = add_webhook(page, "Operations", receiver.url("/flow"))
    page.reload()
    assert secret.startswith("whsec_")
    assert secret not in page.content()

    page.get_by_role("button", name="Send a test").click()
    expect(page.locator(".messagelist .success")).to_contain_text("taken with 200")
    [request] = receiver.await_requests(1)
    assert verified(request, secret)["type"] == "channel.test"

    page.get_by_role("link", name="Add a route").click()
    expect(page.locator("h1")).to_have_text("Add a route of SwaggyStacks")
    page.get_by_label("Types").fill("flow_*")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".desk-preview h2")).to_have_text("It would have led from 1 alert in the last 30 days")
    expect(page.locator(".desk-preview")).to_contain_text("flow_before is wrong")
    expect(page.locator(".desk-preview h2")).to_be_in_viewport()
    add_route(page, "Everything that flows", "flow_*", "Operations")
    expect(page.locator("#result_list")).to_contain_text("type flow_*")

    alert = fire(place, "flow_first", message="7 % of calls fail")
    told = verified(receiver.await_requests(2)[1], secret)
    assert (told["type"], told["data"]["title"]) == ("alert.triggered", "7 % of calls fail")

    page = opened(visit, LOG)
    row = page.locator("#result_list tbody tr").filter(has_text="7 % of calls fail")
    expect(row).to_contain_text("sent")
    expect(row).to_contain_text("Operations")
    row.locator("th a").click()
    expect(page.locator(".tries")).to_contain_text("taken")
    expect(page.locator(".desk-beside")).to_contain_text(told["data"]["id"])
    page = opened(visit, f"/admin/alerts/alert/{alert}/change/")
    expect(page.locator(".told")).to_contain_text("Operations")
    expect(page.locator(".desk-receivers")).to_contain_text("Operations by Everything that flows")
    expect(page.locator(".desk-timeline")).to_contain_text("Told to Operations: it fires.")
    page = opened(visit, "/admin/")
    expect(page.locator(".house-figure").filter(has_text="Channels")).to_contain_text("1 on")
    assert visit.complaints == []
    assert visit.foreign == []


def test_all_of_it_works_without_script_down_to_retiring(browser: Browser, place: House, receiver: Receiver) -> None:
    visit = Visit(browser, place, java_script_enabled=False)
    page = opened(visit, f"{CHANNELS}add/")
    add_webhook(page, "Short-lived", receiver.url("/down"))
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator(".messagelist .error")).to_contain_text("503")
    expect(page.locator(".messagelist .error")).to_contain_text("the disk is full")
    page.get_by_role("button", name="Switch off").click()
    expect(page.locator(".desk-tags")).to_contain_text("off")
    page.get_by_label("Name", exact=True).fill("Shorter-lived")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text("Saved.")
    page.get_by_role("button", name="Retire").click()
    expect(page.locator("h1")).to_have_text("Retire Shorter-lived")
    page.get_by_role("button", name="Retire Shorter-lived").click()
    expect(page.locator(".messagelist")).to_contain_text("Retired")
    page = opened(visit, CHANNELS)
    expect(page.locator("#changelist")).not_to_contain_text("Shorter-lived")
    page = opened(visit, f"{CHANNELS}?state=retired")
    expect(page.locator("#result_list")).to_contain_text("Shorter-lived")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone_and_hostile_words_are_words(
    browser: Browser, place: House, receiver: Receiver, scheme: str
) -> None:
    once = uuid4().hex[:6]  # whoever is tried again needs names of their own
    name = f"{once} {HOSTILE} {LONG}"[:100]
    visit = Visit(browser, place, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = opened(visit, f"{CHANNELS}add/")
    add_webhook(page, name, receiver.url(f"/down/{scheme}"))
    channel = page.url
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator(".messagelist .error")).to_contain_text("503")
    page = opened(visit, f"{ROUTES}add/?organization=swaggystacks")
    add_route(page, f"{once} {HOSTILE}", f"{once}_{HOSTILE}*", name)
    alert = fire(place, f"{once}_{HOSTILE}", message=HOSTILE + LONG * 3)
    page = opened(visit, f"{LOG}?alert={alert}")
    entry = page.locator("#result_list th a").first.get_attribute("href")
    page = opened(visit, ROUTES)
    route = page.get_by_role("link", name=f"{once} {HOSTILE}").get_attribute("href")
    paths = [CHANNELS, f"{CHANNELS}add/", *(f"{CHANNELS}add/?kind={kind}" for kind in ("slack", "pagerduty", "email")),
             channel.removeprefix(visit.address), ROUTES, route, f"{ROUTES}add/", LOG, entry, f"{LOG}again/",
             f"/admin/alerts/alert/{alert}/change/", "/admin/"]  # fmt: skip
    for path in paths:
        page = opened(visit, str(path))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert page.evaluate("window.__xss") is None
    assert visit.complaints == []
    assert visit.foreign == []
