"""The panels: what an audience sees of an answer, in words and in HTML."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.template.loader import get_template, render_to_string

from cockpit.dashboard import charts, history, panels, pickers, themes, windows
from cockpit.dashboard.integration import Answer, ModelRow, Series, Totals
from cockpit.dashboard.sight import Sight, cost_per_request, margin, provenance
from monitoring.store.base import Call

NOW = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
NOTHING = Totals(
    inferences=0, errors=0, estimated=0,
    error_rate=None, cost=None, unpriced=0, revenue=None, input_tokens=0, output_tokens=0,
    p50_ms=None, p95_ms=None, p99_ms=None,
)  # fmt: skip
TOTALS = Totals(
    inferences=1000, errors=8, estimated=0,
    error_rate=0.008, cost=Decimal("1284.07"), unpriced=37, revenue=Decimal("2000"),
    input_tokens=2_000_000, output_tokens=90_000, p50_ms=412.0, p95_ms=1830.0, p99_ms=4210.0,
)  # fmt: skip
HOSTILE = '<script>alert("x")</script>'


def call(**changed: object) -> Call:
    values = {
        "id": "1", "organization": "swaggystacks", "occurred_at": NOW - timedelta(seconds=5),
        "model_name": "qwen2.5:7b", "provider": "ollama",
        "endpoint_id": "", "status": "success", "error_type": "", "duration_ms": 812.0,
        "ttft_ms": None, "input_tokens": 420, "output_tokens": None, "cost": Decimal("0.00042"), "estimated": False,
        "source": "live",
    }  # fmt: skip
    return Call(**{**values, **changed})  # type: ignore[arg-type]


def series(steps: int = 24, *, empty: bool = False) -> Series:
    t = tuple(NOW.replace(minute=0, second=0) - timedelta(hours=steps - 1 - index) for index in range(steps))
    figures = [None] * steps if empty else [100.0 + index for index in range(steps)]
    return Series(
        start=NOW - timedelta(days=1),
        end=NOW + timedelta(seconds=30),
        t=t,
        inferences=(0 if empty else 40,) * steps,
        errors=(0 if empty else 1,) * steps,
        cost=(None if empty else Decimal("0.5"),) * steps,
        tokens=(0 if empty else 80_000,) * steps,
        p50_ms=tuple(figures),
        p95_ms=tuple(figures),
        p99_ms=tuple(figures),
    )


def sight(totals: Totals = TOTALS, **changed: object) -> Sight:
    models = (ModelRow(model_name="qwen2.5:7b", provider="ollama", totals=totals),) if totals.inferences else ()
    answer = Answer(
        organization="swaggystacks", currency="USD", start=NOW - timedelta(days=1), end=NOW + timedelta(seconds=30),
        step_seconds=3600, as_of=NOW, sources={"live": totals.inferences, "replay": 0, "demo": 0}, totals=totals,
        previous=None, models=models, errors_by_type=(("timeout", totals.errors),) if totals.errors else (),
        series=series(empty=not totals.inferences), earlier_series=None, movers=(),
    )  # fmt: skip
    parts = {name: changed.pop(name) for name in tuple(changed) if hasattr(answer, name)}
    looked = Sight(
        answer=replace(answer, **parts),  # type: ignore[arg-type]
        calls=(call(),), zone=ZoneInfo("Europe/London"), window="24h", compare="previous", source=None,
        host="http://cockpit.example",
    )  # fmt: skip
    return replace(looked, **changed)  # type: ignore[arg-type]


def html(audience: str, looked: Sight) -> str:
    shown = panels.build(audience, looked)
    marked = history.history(looked, audience)
    context = {"shown": shown, "provenance": looked.provenance, "history": marked}
    return render_to_string("dashboard/panels.html", context)


def text(audience: str, looked: Sight) -> str:
    bare = re.sub(r"<[^>]+>", " ", html(audience, looked))
    return re.sub(r"\s+", " ", bare.replace("\N{NO-BREAK SPACE}", " "))


def test_every_panel_has_its_template() -> None:
    for audience in (*panels.PANELS.values(), *panels.EMPTY.values()):
        for panel in audience:
            assert get_template(panel.template)


@pytest.mark.parametrize("audience", ["developer", "executive"])
@pytest.mark.parametrize(
    "looked",
    [
        sight(),
        sight(NOTHING),
        sight(previous=TOTALS),
        sight(previous=NOTHING),
        sight(replace(TOTALS, cost=None, unpriced=1000, revenue=None), series=series(empty=True)),
        sight(replace(TOTALS, p50_ms=None, p95_ms=None, p99_ms=None, errors=0, error_rate=0.0), calls=()),
        sight(previous=replace(TOTALS, cost=Decimal(0), revenue=Decimal(0)), window="", compare="week"),
        sight(series=series(1), as_of=NOW + timedelta(days=9)),
        sight(series=series(0)),
        sight(errors_by_type=(("timeout", 0), ("", 0))),
    ],
)
def test_no_answer_breaks_a_panel_or_needs_what_the_policy_forbids(audience: str, looked: Sight) -> None:
    page = html(audience, looked)
    assert page.count("<section") == page.count("</section>") >= 1
    assert " style=" not in page
    assert "<style" not in page
    assert "<script" not in page
    assert not re.search(r"\bon\w+=", page)
    assert "None" not in page
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", page)


@pytest.mark.parametrize("audience", ["developer", "executive"])
def test_what_senders_name_is_text_and_never_markup(audience: str) -> None:
    row = ModelRow(model_name=HOSTILE, provider=HOSTILE, totals=TOTALS)
    odd = call(model_name=HOSTILE, provider=HOSTILE, status="error", error_type=HOSTILE)
    page = html(audience, sight(models=(row,), errors_by_type=((HOSTILE, 8),), calls=(odd,)))
    assert "<script" not in page
    assert "&lt;script" in page


def test_an_unknown_audience_sees_what_developers_see() -> None:
    assert panels.names("robots") == panels.names("developer")
    assert panels.build("robots", sight())[0].panel.name == "key_numbers"


def test_only_the_panels_asked_for_are_built() -> None:
    assert [shown.panel.name for shown in panels.build("developer", sight(), ["latency"])] == ["latency"]


@pytest.mark.parametrize("audience", ["developer", "executive"])
def test_nothing_recorded_explains_how_to_begin(audience: str) -> None:
    (shown,) = panels.build(audience, sight(NOTHING))
    assert shown.panel in panels.EMPTY[audience]
    page = text(audience, sight(NOTHING))
    assert "curl http://cockpit.example/api/monitoring/dashboard/inference" in page
    assert "last 90 days" in page


def test_developers_see_rates_percentiles_types_models_and_calls() -> None:
    page = text("developer", sight(previous=replace(TOTALS, p95_ms=2000.0)))
    for said in (
        "Request rate",
        "0.80 %",
        "412 ms",
        "1.83 s",
        "4.21 s",
        "timeout",
        "qwen2.5:7b",
        "$1,284.07",
        "12:00:25",
    ):
        assert said in page


def test_executives_read_sentences() -> None:
    page = text("executive", sight(previous=replace(TOTALS, cost=Decimal("1146.49"))))
    assert "Spend is 12 % higher than in the previous 24 hours; service is on target." in page
    assert "Service level: 99.2 % of requests succeeded - on target." in page
    assert "37 requests have no price yet and are not in this figure." in page
    assert "$715.93" in page  # 2000 less 1284.07
    for jargon in ("p95", "p99", "percentile", "inference", "token"):
        assert jargon not in page


def test_executives_are_told_plainly_that_no_revenue_was_recorded() -> None:
    page = text("executive", sight(replace(TOTALS, revenue=None)))
    assert "No revenue was recorded in the last 24 hours, so there is no margin to show." in page


def test_no_price_is_a_dash_and_never_a_zero() -> None:
    totals = replace(TOTALS, cost=None, unpriced=1000, revenue=None)
    unpriced = sight(totals, series=series(empty=True), calls=(call(cost=None),))
    for audience in ("developer", "executive"):
        assert "$0" not in text(audience, unpriced)
    assert 'title="no price"' in html("developer", unpriced)


def test_a_model_with_unpriced_requests_has_no_cost_per_token() -> None:
    page = html("developer", sight())
    assert page.count('title="some requests have no price"') == 1
    assert "Cost/1k" in page


@pytest.mark.parametrize(
    ("sources", "label"),
    [
        ({"live": 5, "replay": 0, "demo": 0}, ""),
        ({"live": 0, "replay": 5, "demo": 0}, "replay data"),
        ({"live": 5, "replay": 0, "demo": 1}, "demo data included"),
        ({"live": 0, "replay": 1, "demo": 1}, "replay and demo data"),
    ],
)
def test_what_is_not_live_is_labelled(sources: dict[str, int], label: str) -> None:
    assert provenance(sources) == label
    for audience in ("developer", "executive"):
        sourced = [shown for shown in panels.build(audience, sight(sources=sources)) if shown.panel.sourced]
        assert sourced
        assert all(shown.source == label for shown in sourced)
        page = html(audience, sight(sources=sources))
        assert f">{label}</span>" in page if label else "badge--source" not in page


def test_the_label_follows_the_chosen_source() -> None:
    mixed = {"live": 5, "replay": 5, "demo": 0}
    assert sight(sources=mixed, source="live").provenance == ""
    assert sight(sources=mixed, source="replay").provenance == "replay data"


def test_estimated_values_are_flagged() -> None:
    assert "estimated" not in text("developer", sight())
    page = text("developer", sight(replace(TOTALS, estimated=7), calls=(call(estimated=True, source="replay"),)))
    assert "estimated durations included" in page
    assert "est." in page
    for audience in ("developer", "executive"):
        assert "partly estimated" in text(audience, sight(replace(TOTALS, estimated=7)))


def test_cost_per_request_counts_only_what_has_a_price() -> None:
    assert cost_per_request(TOTALS) == Decimal("1284.07") / 963
    assert cost_per_request(replace(TOTALS, unpriced=1000)) is None
    assert cost_per_request(NOTHING) is None


def test_a_margin_needs_both_figures() -> None:
    assert margin(TOTALS) == Decimal("715.93")
    assert margin(replace(TOTALS, cost=None)) is None
    assert margin(replace(TOTALS, revenue=None)) is None


def test_an_empty_earlier_window_is_nothing_to_compare_with() -> None:
    assert sight(previous=NOTHING).previous is None
    assert "higher" not in text("executive", sight(previous=NOTHING))


def test_every_chart_has_a_table_and_words() -> None:
    page = html("developer", sight()) + html("executive", sight())
    drawn = page.count('class="chart-plane"')
    assert drawn >= 7
    assert page.count("<desc ") == drawn == page.count('<details class="as-table"')
    assert charts.NO_DATA in html("developer", sight(series=series(empty=True)))


def test_pickers_are_the_present_address_with_one_thing_changed() -> None:
    query = QueryDict("window=7d&compare=week&source=live&panel=latency")
    built = pickers.build(
        query,
        windows.parse(QueryDict("window=7d&compare=week&source=live"), NOW),
        {"live": 3, "demo": 1},
        ZoneInfo("UTC"),
    )
    assert [choice.label for choice in built.window if choice.chosen] == ["7d"]
    assert built.window[0].query == "compare=week&source=live&window=15m"
    assert [choice.label for choice in built.source] == ["all", "live", "demo"]
    assert built.source[0].query == "window=7d&compare=week"


def test_a_named_window_takes_the_place_of_ends() -> None:
    query = QueryDict("from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z")
    built = pickers.build(query, windows.parse(query, NOW), {"live": 3}, ZoneInfo("UTC"))
    assert not any(choice.chosen for choice in built.window)
    assert built.window[0].query == "window=15m"
    assert "from=" in built.compare[0].query
    assert built.source == ()


def test_an_unknown_theme_is_the_neutral_one() -> None:
    assert themes.find("no such theme") is themes.NEUTRAL
    assert themes.find("scientia_capital").name == "scientia_capital"
