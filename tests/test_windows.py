"""Which part of time a query asks for: its ends, their zone, and steps that a window shares with the one before it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from bedrock.parameters import BadParameters
from cockpit.dashboard import windows

NOW = datetime(2026, 3, 10, 12, 7, 31, tzinfo=UTC)


@pytest.mark.parametrize("window", windows.WINDOWS)
def test_a_named_window_and_the_one_before_it_have_their_steps_at_the_same_places(window: str) -> None:
    view = windows.parse(QueryDict(f"window={window}"), NOW)
    assert (view.end - view.start).total_seconds() % view.step_seconds == 0


@given(st.integers(min_value=1, max_value=400 * 24 * 60))
def test_a_step_draws_few_points_and_divides_the_length_where_one_can(minutes: int) -> None:
    length = timedelta(minutes=minutes)
    step = windows.step_for(length)
    assert length.total_seconds() / step <= 120 or step == 86_400
    assert length.total_seconds() / step >= 20 or step == 60


def test_times_without_a_zone_are_the_organizations_on_a_page_and_nothing_to_a_program() -> None:
    query = QueryDict("from=2026-03-01T10:00&to=2026-03-01T12:00")
    view = windows.parse(query, NOW, ZoneInfo("America/New_York"))
    assert (view.start, view.end) == (datetime(2026, 3, 1, 15, tzinfo=UTC), datetime(2026, 3, 1, 17, tzinfo=UTC))
    with pytest.raises(BadParameters, match="zone"):
        windows.parse(query, NOW)


def test_a_zone_of_ones_own_goes_before_the_organizations() -> None:
    view = windows.parse(QueryDict("from=2026-03-01T10:00:00Z"), NOW, ZoneInfo("Asia/Kolkata"))
    assert view.start == datetime(2026, 3, 1, 10, tzinfo=UTC)
