"""What the browser draws a chart from: the same numbers and words as the table behind it."""

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from cockpit.dashboard import charts, plots
from cockpit.dashboard.charts import Column, Steps, Value

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
VALUES = st.lists(st.none() | st.floats(min_value=0, max_value=1e12), min_size=1, max_size=40)


def drawn(*values: Value | None, log: bool = False) -> charts.Chart:
    t = tuple(NOON + timedelta(minutes=15 * index) for index in range(len(values)))
    steps = Steps(t, 900, ZoneInfo("UTC"), NOON, NOON + timedelta(minutes=15 * len(values)))
    return charts.line_chart(
        "Rate", steps, [Column("p95", "s2", values)], lambda value: f"{value:g}", description="", log=log
    )


@given(VALUES)
def test_it_holds_as_many_values_as_the_table_has_rows(values: list[float | None]) -> None:
    chart = drawn(*values)
    plot = json.loads(plots.text(chart))
    assert len(plot["x"]) == len(plot["series"][0]["values"]) == len(chart.rows)
    for told, value in zip(plot["series"][0]["values"], values, strict=True):
        assert (told is None) == (value is None)
        assert value is None or math.isclose(told, value, rel_tol=1e-5)


def test_times_are_seconds_and_money_is_a_height() -> None:
    plot = json.loads(plots.text(drawn(Decimal("0.1"), None)))
    assert plot["x"] == [NOON.timestamp(), NOON.timestamp() + 900]
    assert plot["series"][0] == {"key": "s2", "area": False, "values": [0.1, None]}
    assert plot["logTicks"] is None


@given(VALUES)
def test_a_logarithmic_axis_holds_all_that_is_above_zero(values: list[float | None]) -> None:
    chart = drawn(*values, log=True)
    ticks = [value for value, _ in plots.log_ticks(chart)]
    present = [value for value in values if value]
    if not present:
        assert ticks == []
        return
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= min(present) * (1 + 1e-6)
    assert ticks[-1] >= max(present) * (1 - 1e-6)
    assert len(ticks) >= 2


def test_its_marks_are_few_and_round() -> None:
    assert [text for _, text in plots.log_ticks(drawn(12.0, 180.0, log=True))] == ["10", "20", "50", "100", "200"]
    many = [value for value, _ in plots.log_ticks(drawn(3.0, 4e7, log=True))]
    assert many == [2.0, *(10.0**power for power in range(1, 8)), 5e7]


def test_a_single_value_has_a_mark_on_either_side() -> None:
    assert [value for value, _ in plots.log_ticks(drawn(100.0, log=True))] == [100.0, 200.0]
