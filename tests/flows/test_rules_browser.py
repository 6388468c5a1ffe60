"""From a blank form to a rule that is judged, in a real browser: written, tried, its threshold taken, saved, listed."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.flows.browsing import Visit
from tests.house import House, house

pytestmark = pytest.mark.browser

RULES = "/admin/alerts/alertrule/"
ADD = f"{RULES}add/?organization=swaggystacks"
HOSTILE = '"><img src=x onerror="window.__xss=1"><script>window.__xss=1</script>'
LONG = "a-rather-long-name-without-a-single-break-in-it-" * 2
BURSTS = (20, 40, 60)  # minutes ago, in which half of the calls fail for three minutes


@pytest.fixture(scope="module")
def place() -> Iterator[House]:
    """A cockpit with an hour and a half of calls, some of which failed."""
    with house() as running:
        now = datetime.now(UTC)
        calls = [
            {"modelName": f"model-{number % 2}", "durationMs": 200, "cost": "0.01",
             "occurredAt": (now - timedelta(minutes=ago, seconds=number)).isoformat(),
             **({"status": "error"} if number % 2 and any(0 <= ago - burst < 3 for burst in BURSTS) else {})}
            for ago in range(2, 90) for number in range(10)
        ]  # fmt: skip
        status, _ = running.post(calls)
        assert status == 201
        yield running


def opened(visit: Visit, path: str) -> Page:
    visit.page.goto(visit.address + path)
    return visit.page


def write(page: Page, name: str) -> None:
    """A rule about failing calls, that would have fired with each of the bursts."""
    page.get_by_label("Name", exact=True).fill(name)
    page.locator("#id_window").fill("5m")
    page.locator("#id_warning").fill("1%")


def simulate(page: Page, days: str = "1") -> None:
    page.get_by_label("over the last").select_option(days)
    page.get_by_role("button", name="Simulate").click()
    page.wait_for_load_state()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_rule_is_written_simulated_saved_and_listed(browser: Browser, place: House, scripts: bool) -> None:
    name = f"Calls fail {uuid4().hex[:6]}"
    visit = Visit(browser, place, java_script_enabled=scripts)
    page = opened(visit, RULES)
    page.get_by_role("link", name="Add rule").click()
    page.get_by_role("link", name="SwaggyStacks").click()
    expect(page.locator("h1")).to_have_text("Add a rule of SwaggyStacks")
    write(page, name)
    simulate(page)
    heading = page.locator("#desk-replay")
    expect(heading).to_contain_text("It would have fired 3 times in the last 1 day")
    expect(heading).to_be_in_viewport()
    expect(page.locator(".rule-band--warn")).to_have_count(3)
    expect(page.locator(".rule-told li")).to_have_count(3)
    expect(page.locator("#id_name")).to_have_value(name)

    proposed = page.locator(".rule-proposal b").inner_text()
    page.get_by_role("button", name="Put it into the form").click()
    expect(page.locator(".rule-proposal")).to_contain_text("The form has the threshold")
    expect(page.locator("#id_warning")).to_have_value(proposed)
    expect(page.locator(".rule-told li")).to_have_count(0)
    expect(page.locator(".messagelist")).to_have_count(0)

    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text(f"The rule {name} is on")
    expect(page.locator("h1")).to_have_text(name)
    expect(page.locator(".desk-since")).to_contain_text("errors per inferences over 5 min")
    page = opened(visit, f"{RULES}?q={name.rpartition(' ')[2]}")
    row = page.locator("#result_list tbody tr")
    expect(row).to_contain_text(name)
    expect(row).to_contain_text("ok")
    expect(row).to_contain_text("SwaggyStacks")

    row.locator("th a").click()
    page.locator("#id_warning").fill("1%")
    simulate(page)
    expect(page.locator(".rule-sides h3")).to_have_text(["As saved", "In the form"])
    expect(page.locator(".rule-chart")).to_have_count(2)
    page.get_by_role("button", name="Retire").click()
    expect(page.locator("h1")).to_have_text(f"Retire {name}")
    page.get_by_role("button", name=f"Retire {name}").click()
    expect(page.locator(".messagelist")).to_contain_text("Retired for good.")
    expect(page.locator("#rule-form")).to_have_count(0)
    assert visit.complaints == []
    assert visit.foreign == []


def test_the_form_shows_what_applies(browser: Browser, place: House) -> None:
    visit = Visit(browser, place)
    page = opened(visit, ADD)
    expect(page.locator("#id_per")).to_be_visible()
    expect(page.locator("#id_family")).to_be_hidden()
    expect(page.locator("#id_silent")).to_be_hidden()
    page.locator("#id_measure").select_option("duration")
    expect(page.locator("#id_per")).to_be_hidden()
    expect(page.locator("#id_aggregation")).to_have_value("avg")
    page.locator("#id_measure").select_option("")
    expect(page.locator("#id_family")).to_be_visible()
    page.locator("#id_no_data").select_option("alert")
    expect(page.locator("#id_silent")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("no family")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".row--wrong")).to_contain_text("The family must be one of")
    assert visit.complaints == []


def test_a_page_stays_true_by_itself(browser: Browser, place: House) -> None:
    name = f"Watched {uuid4().hex[:6]}"
    visit = Visit(browser, place)
    page = opened(visit, ADD)
    write(page, name)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".desk-tags")).to_contain_text("ok")
    other = Visit(browser, place)
    opened(other, page.url.removeprefix(visit.address))
    other.page.get_by_role("button", name="Pause").click()
    other.page.get_by_role("button", name=f"Pause {name}").click()
    expect(other.page.locator(".desk-tags")).to_contain_text("paused")
    expect(page.locator(".desk-tags")).to_contain_text("paused", timeout=30_000)
    expect(page.locator("#id_name")).to_have_value(name)
    assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_and_hostile_words_are_words(
    browser: Browser, place: House, scheme: str, width: int
) -> None:
    once = uuid4().hex[:6]  # whoever is tried again needs names of their own
    visit = Visit(browser, place, viewport={"width": width, "height": 740}, color_scheme=scheme)
    page = opened(visit, ADD)
    write(page, f"{once} {HOSTILE} {LONG}"[:100])
    page.locator("#id_by").fill("model")
    page.locator("#id_filters").fill(f'model=model-*,"{HOSTILE}",{LONG}')
    page.locator("#id_labels").fill(f"team={HOSTILE}{LONG}")
    page.locator("#id_executive").fill(HOSTILE + LONG)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text("is on")
    rule = page.url.removeprefix(visit.address)

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
        assert page.evaluate("window.__xss") is None

    for path in (RULES, f"{RULES}?q={once}", f"{RULES}?state=retired", f"{RULES}add/", ADD, rule, f"{RULES}health/"):
        opened(visit, path)
        fits()
    opened(visit, rule)
    page.locator("#id_warning").fill("60%")
    simulate(page)
    expect(page.locator(".rule-chart")).to_have_count(2)
    fits()
    page.locator("#id_window").fill("soon")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".row--wrong")).to_have_count(1)
    fits()
    opened(visit, rule)
    page.get_by_role("button", name="Retire").click()
    expect(page.locator("h1")).to_contain_text(re.compile("^Retire"))
    fits()
    assert visit.complaints == []
    assert visit.foreign == []
