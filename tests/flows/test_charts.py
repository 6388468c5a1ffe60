"""The charts in a real browser: values under the pointer, stretches of time by dragging, and no flicker in between."""

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.flows.browsing import ORGANIZATIONS, Visit, record
from tests.house import ROOT, House
from tests.servers import await_true, clean_environment

pytestmark = pytest.mark.browser

# Canvases get numbers, by which they are known again; a chart that comes meanwhile has none.
_NUMBER = "[...document.querySelectorAll('canvas')].map((canvas, at) => { canvas.mine = at; }).length"
_NUMBERED = "[...document.querySelectorAll('canvas')].map((each) => each.mine).filter((each) => each !== undefined)"


def plane(page: Page, chart: str) -> Locator:
    return page.locator(f"[data-chart={chart}] .u-over")


def box(place: Locator) -> dict[str, float]:
    place.scroll_into_view_if_needed()
    found = place.bounding_box()
    assert found is not None
    return dict(found)


def point_at_last_step(page: Page, chart: str) -> None:
    """Until it answers: a panel that grows meanwhile moves the chart away from under the pointer."""

    def answers() -> bool:
        area = box(plane(page, chart))
        page.mouse.move(area["x"] + area["width"] - 5, area["y"] + area["height"] / 2)
        page.mouse.move(area["x"] + area["width"] - 3, area["y"] + area["height"] / 2)
        page.wait_for_timeout(300)
        return page.locator(f"[data-chart={chart}] .tip").is_visible()

    there = "(area) => document.elementFromPoint(area.x + area.width - 3, area.y + area.height / 2)?.outerHTML"
    assert await_true(answers, 15), str(page.evaluate(there, box(plane(page, chart))))[:500]


@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_every_chart_is_drawn_and_asks_nobody_else(browser: Browser, cockpit: House, organization: str) -> None:
    record(cockpit, organization, "drawn")
    visit = Visit(browser, cockpit)
    page = visit.open(organization)
    charts = page.locator("figure[data-chart]")
    expect(charts.locator("canvas")).to_have_count(charts.count())
    assert charts.count() >= 3
    assert visit.complaints == []
    assert visit.foreign == []


def test_the_pointer_shows_the_words_of_the_tables_row(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "pointed at")
    page = Visit(browser, cockpit).open("swaggystacks", "window=1h&compare=none")
    point_at_last_step(page, "latency")
    tip = page.locator("[data-chart=latency] .tip")
    expect(tip).to_be_visible()
    said = tip.inner_text().split("\n")
    row = page.locator("[data-chart=latency] tbody tr").last.locator("th, td:not(.met)").all_text_contents()
    names = page.locator("[data-chart=latency] thead th").all_text_contents()[: len(row)]
    words = [word for pair in zip(names[1:], row[1:], strict=True) for word in pair]
    assert said[0] == row[0]
    assert said[1 : len(words) + 1] == words
    others = page.locator("figure:not([data-chart=latency]) .tip")
    assert all(each.is_hidden() for each in others.all()), "other charts show the crosshair, not a second box"


def test_arrow_keys_read_a_chart_step_by_step(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "read by keys")
    page = Visit(browser, cockpit).open("swaggystacks")
    plane(page, "request-rate").focus()
    page.keyboard.press("End")
    rows = page.locator("[data-chart=request-rate] tbody th").all_text_contents()
    tip = page.locator("[data-chart=request-rate] .tip b").first
    expect(tip).to_have_text(rows[-1])
    page.keyboard.press("ArrowLeft")
    expect(tip).to_have_text(rows[-2])
    page.keyboard.press("Home")
    expect(tip).to_have_text(rows[0])


def test_dragging_opens_that_stretch_of_time_and_back_leaves_it(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "found by dragging")
    page = Visit(browser, cockpit).open("swaggystacks", "window=6h&compare=week")
    area = box(plane(page, "request-rate"))
    page.mouse.move(area["x"] + area["width"] * 0.5, area["y"] + 20)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] - 1, area["y"] + 30, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile("from="))
    query = parse_qs(urlsplit(page.url).query)
    assert set(query) == {"from", "to", "compare"}
    assert query["compare"] == ["week"]
    expect(page.locator("main")).to_contain_text("found by dragging")
    page.go_back()
    expect(page.get_by_label("Window").locator("[aria-current]")).to_have_text("6h")


def test_a_refresh_moves_nothing_but_the_numbers(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "before the refresh")
    page = Visit(browser, cockpit).open("swaggystacks")
    page.get_by_role("button", name=re.compile("Log scale")).click()
    page.locator("[data-chart=tokens] details > summary").click()
    numbered = page.evaluate(_NUMBER)
    places = "[...document.querySelectorAll('.panel')].slice(0, 5).map((each) => each.getBoundingClientRect().top)"
    page.evaluate("scrollTo(0, 0)")
    before = page.evaluate(places)
    record(cockpit, "swaggystacks", "after the refresh")
    expect(page.locator("#panel-models")).to_contain_text("after the refresh")
    assert page.evaluate(_NUMBERED) == list(range(numbered))
    assert numbered >= 4
    assert page.evaluate(places) == before
    assert page.get_by_role("button", name=re.compile("Log scale")).get_attribute("aria-pressed") == "true"
    assert page.locator("[data-chart=tokens] details").get_attribute("open") is not None


def test_a_crosshair_stays_while_numbers_move(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "held under the pointer")
    page = Visit(browser, cockpit).open("swaggystacks")
    point_at_last_step(page, "request-rate")
    expect(page.locator("[data-chart=request-rate] .tip")).to_be_visible()
    record(cockpit, "swaggystacks", "while it was held")
    expect(page.locator("#panel-models")).to_contain_text("while it was held")
    expect(page.locator("[data-chart=request-rate] .tip")).to_be_visible()


def test_who_reads_by_keys_is_not_sent_back_by_a_refresh(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "read while it moves")
    page = Visit(browser, cockpit).open("swaggystacks")
    plane(page, "request-rate").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    tip = page.locator("[data-chart=request-rate] .tip b").first
    said = tip.inner_text()
    record(cockpit, "swaggystacks", "moved meanwhile")
    expect(page.locator("#panel-models")).to_contain_text("moved meanwhile")
    expect(plane(page, "request-rate")).to_be_focused()
    expect(tip).to_have_text(said)


def test_a_stretch_of_time_can_be_typed(browser: Browser, cockpit: House) -> None:
    record(cockpit, "swaggystacks", "found by typing")
    page = Visit(browser, cockpit, java_script_enabled=False).open("swaggystacks", "window=6h&compare=week")
    page.get_by_text("From … to …").click()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("from="))
    query = parse_qs(urlsplit(page.url).query)
    assert set(query) == {"from", "to", "compare"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", query["from"][0])
    expect(page.locator("main")).to_contain_text("found by typing")


def send(cockpit: House, path: str, body: object, organization: str = "swaggystacks") -> Any:
    status, answer = cockpit.post(body, organization, path)
    assert status < 300, answer
    return answer


def shared_words(page: Page, chart: str) -> tuple[list[str], str]:
    """What the box under the pointer says of alerts, and what the last row of the table does."""
    lines = page.locator(f"[data-chart={chart}] .tip .tip-mark").all_inner_texts()
    return lines, page.locator(f"[data-chart={chart}] tbody tr").last.locator(".met").inner_text()


_MADE_BY = """
from organizations import keys
from organizations.models import Organization
from organizations.scope import Scope
Organization.objects.create(slug="charted", name="Charted", audience="developer")
with Scope.of("charted").enter():
    scopes = ("ingest:write", "dashboard:read", "alerts:read", "alerts:write")
    print(keys.create_key(organization="charted", name="test", scopes=scopes, created_by="tests")[1])
"""


def run(cockpit: House, script: str) -> str:
    environment = clean_environment(COCKPIT_DATA_DIR=str(cockpit.data_dir), DEMO="0", LOG_LEVEL="warning")
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", script]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=90
    ).stdout


@pytest.fixture(scope="module")
def charted(cockpit: House) -> str:
    """An organization in which nothing else has happened: what others raised stands on the charts for an hour."""
    cockpit.keys["charted"] = run(cockpit, _MADE_BY).split()[-1]
    return "charted"


def test_alerts_stand_along_every_chart_as_they_come_and_go(browser: Browser, cockpit: House, charted: str) -> None:
    assert await_true(lambda: 2 <= time.time() % 60 < 35, 60)  # a minute that has just begun meets nothing yet
    record(cockpit, charted, "marked")
    visit = Visit(browser, cockpit)
    page = visit.open(charted)
    expect(page.locator("main")).to_have_attribute("data-state", "live")
    page.locator("[data-chart=request-rate] summary").click()
    numbered = page.evaluate(_NUMBER)
    alert = send(
        cockpit, "alerts",
        {"alertType": "marked", "severity": "critical", "message": "Marked <b>everywhere</b>"}, charted,
    )  # fmt: skip
    expect(page.locator(".chart-marks .episode--critical").first).to_be_attached()  # nobody reloads
    expect(page.locator("figure[data-chart]:not(:has(.episode--critical))")).to_have_count(0)
    send(cockpit, "deployments", {"service": "gateway", "version": "2.4.1"}, charted)
    expect(page.locator(".chart-marks .episode--change").first).to_be_attached()
    expect(page.locator("figure[data-chart]:not(:has(.episode--change))")).to_have_count(0)
    assert page.evaluate(_NUMBERED) == list(range(numbered))

    point_at_last_step(page, "request-rate")
    tip = page.locator("[data-chart=request-rate] .tip")
    expect(tip).to_contain_text("critical: Marked <b>everywhere</b>, since ")
    expect(tip).to_contain_text("deployment: ")
    lines, cell = shared_words(page, "request-rate")
    assert "; ".join(lines) == cell
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    mark = box(page.locator("[data-chart=request-rate] .episode--critical"))
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    expect(tip).to_contain_text("critical: Marked")
    page.mouse.move(0, 0)
    plane(page, "request-rate").focus()
    page.keyboard.press("End")
    expect(tip).to_contain_text("critical: Marked")

    send(cockpit, "alerts/bulk", {"action": "resolve", "ids": [alert["id"]]}, charted)
    expect(tip).to_contain_text("(resolved by ")  # while it is read
    lines, cell = shared_words(page, "request-rate")
    assert "; ".join(lines) == cell
    assert page.locator(".chart-marks title").count() == 0, "the box is the only one"
    assert visit.complaints == []


_RULED_BY = """
import time
from django.utils import timezone
from alerts import rulebook
from alerts.definitions import Definition
from alerts.rules import Condition
from organizations.scope import Scope
one = Definition(measure="duration", aggregation="p95", condition=Condition(warning=450, critical=1e9))
with Scope.of("charted").enter():
    rulebook.create(organization="charted", name="Slow <b>answers</b>", definition=one, now=timezone.now(), by="tests")
time.sleep(2)  # what it announces goes by a thread of its own
"""


def test_a_rule_is_drawn_as_soon_as_it_is_made(browser: Browser, cockpit: House, charted: str) -> None:
    record(cockpit, charted, "ruled")
    visit = Visit(browser, cockpit)
    page = visit.open(charted)
    expect(page.locator("main")).to_have_attribute("data-state", "live")
    numbered = page.evaluate(_NUMBER)
    run(cockpit, _RULED_BY)
    chart = page.locator("[data-chart=latency]")
    line = chart.locator(".chart-frame--live .limit--warning")
    expect(line).to_have_count(1)  # nobody reloads
    expect(line).to_contain_text("Slow <b>answers</b>: 450")
    expect(chart.locator(".limit--critical")).to_have_count(0)
    expect(chart.locator(".limits")).to_contain_text("critical, beyond the scale")
    assert page.evaluate(_NUMBERED) == list(range(numbered))

    top, height = box(plane(page, "latency"))["y"], box(plane(page, "latency"))["height"]
    share = float((line.get_attribute("y") or "").removesuffix("%")) / 100
    assert abs(box(line.locator("line"))["y"] - top - share * height) < 3
    page.get_by_role("button", name=re.compile("Log scale")).click()
    expect(line).not_to_have_attribute("y", f"{100 * share:.2f}%")
    page.get_by_role("button", name=re.compile("Log scale")).click()
    expect(line).to_have_attribute("y", f"{100 * share:.2f}%")
    assert "450" in (plane(page, "latency").get_attribute("aria-label") or "")
    assert visit.complaints == []


def test_marks_are_there_without_a_script_in_words_for_who_looks(browser: Browser, cockpit: House) -> None:
    record(cockpit, "scientia_capital", "marked")
    body = {"alertType": "high_error_rate", "severity": "warning", "message": "p=0.07", "labels": {"pod": "vllm-2"}}
    alert = send(cockpit, "alerts", body, "scientia_capital")
    for width in (1280, 360):
        visit = Visit(
            browser, cockpit, java_script_enabled=False, viewport={"width": width, "height": 800}, color_scheme="dark"
        )
        page = visit.open("scientia_capital")
        figure = page.locator("figure[data-chart]").first
        expect(figure.locator(".episode--warning title")).to_contain_text("More requests fail than should, since ")
        plot, lane = box(figure.locator(".chart-plane")), box(figure.locator(".episode--warning line"))
        words = box(figure.locator(".chart-x text").first)
        assert plot["y"] + plot["height"] <= lane["y"] + 1 < words["y"] + 3, "below the plot, above the times"
        assert "high_error_rate" not in page.content()
        assert "vllm-2" not in page.content()
        page.context.close()
    send(cockpit, "alerts/bulk", {"action": "resolve", "ids": [alert["id"]]}, "scientia_capital")


def test_an_axis_is_as_wide_as_its_words(browser: Browser, cockpit: House) -> None:
    """Of days that no other test looks at."""
    then = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=5)
    for duration in (300, 90_000):
        record(cockpit, "swaggystacks", "quick and slow", durationMs=duration, occurredAt=then.isoformat())
    query = urlencode({"from": (then - timedelta(hours=1)).isoformat(), "to": (then + timedelta(hours=1)).isoformat()})
    page = Visit(browser, cockpit).open("swaggystacks", f"{query}&compare=none")
    frame = page.locator("[data-chart=latency] .chart-frame--live")
    page.get_by_role("button", name=re.compile("Log scale")).click()
    plot = json.loads(page.locator("[data-chart=latency]").get_attribute("data-plot") or "")
    assert "1 min 40 s" in [text.replace("\N{NO-BREAK SPACE}", " ") for _, text in plot["logTicks"]]
    ink = "([said, font]) => Object.assign(new OffscreenCanvas(1, 1).getContext('2d'), {font}).measureText(said).width"
    words = page.evaluate(ink, ["1 min 40 s", "500 11px Inter"])
    assert await_true(lambda: box(plane(page, "latency"))["x"] - box(frame)["x"] >= words + 8, 5)
