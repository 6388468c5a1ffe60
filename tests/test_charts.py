"""Numbers to SVG geometry: axes, gaps, local times."""

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.dashboard import charts
from cockpit.dashboard.charts import Column, Steps, Value

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
VALUES = st.lists(st.none() | st.floats(min_value=0, max_value=1e12), min_size=1, max_size=60)
ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Europe/London", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham"]
)


def steps_of(number: int, seconds: int = 900, zone: str = "UTC") -> Steps:
    t = tuple(NOON + timedelta(seconds=seconds * index) for index in range(number))
    return Steps(t, seconds, ZoneInfo(zone), NOON, NOON + timedelta(seconds=seconds * number))


def plain(value: Value) -> str:
    return f"{value:g}"


def draw(*values: Value | None, area: bool = False) -> charts.Chart:
    column = Column("Requests", "s1", values, area)
    return charts.line_chart("Rate", steps_of(len(values)), [column], plain, description="")


@given(st.floats(min_value=1e-9, max_value=1e15))
def test_an_axis_holds_its_data_with_few_round_marks(top: float) -> None:
    marks = charts.axis(top)
    assert marks[0] == 0
    assert top <= marks[-1] * (1 + 1e-9)
    assert 2 <= len(marks) <= 6
    step = marks[1]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(mantissa == pytest.approx(nice, rel=1e-6) for nice in (1, 2, 2.5, 5, 10))


@pytest.mark.parametrize("top", [0.0, -1.0, math.nan, math.inf])
def test_an_axis_without_data_still_has_a_height(top: float) -> None:
    assert charts.axis(top) == (0.0, 1.0)


@given(VALUES)
def test_every_value_lies_in_the_plane(values: list[float | None]) -> None:
    for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", draw(*values).lines[0].path):
        assert 0 <= float(x) <= charts.PLANE
        assert -0.1 <= float(y) <= charts.PLANE


@given(VALUES)
def test_there_is_one_run_for_each_stretch_of_data(values: list[float | None]) -> None:
    before = [None, *values]
    stretches = sum(value is not None and last is None for last, value in zip(before, values, strict=False))
    assert draw(*values).lines[0].path.count("M") == stretches


def test_no_data_is_a_gap_and_never_a_zero() -> None:
    chart = draw(1.0, None, 1.0, 1.0)
    assert chart.lines[0].path == "M125 0h0M625 0L875 0"
    assert [row[1] for row in chart.rows] == ["1", "no data", "1", "1"]
    assert "no data" in chart.hits[1].title


def test_an_area_ends_where_its_run_ends() -> None:
    assert draw(2.0, 1.0, None, 2.0, area=True).lines[0].area == "M125 0L375 500V1000H125ZM875 0h0V1000H875Z"


def test_a_chart_without_any_data_draws_nothing() -> None:
    chart = draw(None, None)
    assert chart.lines[0].path == ""
    assert [tick.text for tick in chart.y_ticks] == ["0", "1"]


def test_bars_stand_on_the_ground_and_the_running_one_is_marked() -> None:
    steps = Steps(steps_of(3).t, 900, ZoneInfo("UTC"), NOON, NOON + timedelta(seconds=900 * 2 + 60))
    chart = charts.bar_chart(
        "Spend", steps, Column("Spend", "s1", [Decimal(2), None, Decimal(4)]), plain, description=""
    )
    assert [(bar.height, bar.partial) for bar in chart.bars] == [("500", False), ("1000", True)]
    assert all(float(bar.y) + float(bar.height) == charts.PLANE for bar in chart.bars)
    assert chart.rows[2][0].endswith("so far")


def test_a_step_that_began_before_the_window_counts_in_part() -> None:
    steps = Steps(steps_of(2).t, 900, ZoneInfo("UTC"), NOON + timedelta(seconds=600), NOON + timedelta(days=1))
    assert steps.covered(0) == 300
    assert steps.covered(1) == 900
    assert steps.remark(0) == " in part"
    assert steps.remark(1) == ""


def test_money_reaches_the_table_exactly() -> None:
    exact = Decimal("0.1000000000000000055511151231257827")
    chart = charts.line_chart("Spend", steps_of(1), [Column("Spend", "s1", [exact])], str, description="")
    assert chart.rows[0][1] == str(exact)


def test_marks_on_an_axis_have_no_idle_zeros() -> None:
    column = Column("Latency", "s1", [8.0])
    chart = charts.line_chart("Latency", steps_of(1), [column], lambda value: f"{value:.2f} s", description="")
    assert [tick.text for tick in chart.y_ticks] == ["0 s", "2 s", "4 s", "6 s", "8 s"]
    column = Column("Spend", "s1", [10.0])
    money = charts.line_chart("Spend", steps_of(1), [column], lambda value: f"${value:.2f}", description="")
    assert [tick.text for tick in money.y_ticks] == ["$0", "$2.50", "$5", "$7.50", "$10"]
    rates = charts.line_chart("Rate", steps_of(1), [column], lambda value: f"{value:.2f}", description="")
    assert [tick.text for tick in rates.y_ticks] == ["0", "2.5", "5", "7.5", "10"]


def test_times_are_local() -> None:
    assert steps_of(1, zone="America/New_York").label(0) == "08:00"
    assert steps_of(400, 3600, "Asia/Kolkata").label(0) == "10 Mar 17:30"
    assert steps_of(30, 86_400).label(0) == "Tue 10 Mar"


@given(
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001  # made aware below
    st.integers(min_value=900, max_value=400 * 86_400),
    ZONES,
)
def test_time_ticks_are_few_ordered_and_round(start: datetime, seconds: int, zone: str) -> None:
    start = start.replace(tzinfo=UTC)
    ticks = charts.time_ticks(start, start + timedelta(seconds=seconds), ZoneInfo(zone))
    places = [float(tick.at.rstrip("%")) for tick in ticks]
    assert len(ticks) <= 10
    assert places == sorted(places)
    assert all(3 <= place <= 97 for place in places)
    assert all(re.fullmatch(r"\d\d:\d\d|\d{1,2} \w{3}", tick.text) for tick in ticks)


def test_ticks_follow_the_clock_on_the_wall_through_a_spring_night() -> None:
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)  # midnight in Berlin, where 02:00 does not exist
    ticks = charts.time_ticks(start, start + timedelta(hours=6), ZoneInfo("Europe/Berlin"))
    assert [tick.text for tick in ticks] == ["01:00", "03:00", "04:00", "05:00", "06:00"]


def test_weeks_begin_on_mondays() -> None:
    ticks = charts.time_ticks(NOON, NOON + timedelta(days=30), ZoneInfo("UTC"))
    assert [tick.text for tick in ticks] == ["16 Mar", "23 Mar", "30 Mar", "6 Apr"]


@given(st.lists(st.none() | st.integers(min_value=0, max_value=1000).map(float), max_size=200), st.integers(1, 20))
def test_joining_steps_loses_nothing(values: list[float | None], size: int) -> None:
    joined = charts.join(values, size)
    assert sum(value or 0 for value in joined) == sum(value or 0 for value in values)
    assert len(joined) == math.ceil(len(values) / size)


def test_joined_steps_stay_as_long_together() -> None:
    steps, size = steps_of(120).coarser()
    assert (len(steps.t), size, steps.seconds) == (60, 2, 1800)


def test_a_spark_needs_two_values() -> None:
    assert charts.spark([1.0, None]) == ""
    assert charts.spark([1.0, 1.0]).startswith("M")
