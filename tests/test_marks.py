"""Alerts marked along the charts: where they stand, what is drawn as one, and in which words they are told."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.states import State
from cockpit.dashboard import charts, history, marks, plots
from cockpit.dashboard.alarms import Alarms
from cockpit.dashboard.charts import Column, Steps
from cockpit.dashboard.marks import Episode, History, Kind, Marks
from tests.test_panels import HOSTILE, html, sight

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEPS = Steps(tuple(NOON + 10 * MINUTE * index for index in range(12)), 600, ZoneInfo("UTC"), NOON, NOON + 120 * MINUTE)


def episode(kind: Kind, start: float, end: float, words: str = "") -> Episode:
    """From and to in minutes after noon."""
    return Episode(kind, NOON + start * MINUTE, NOON + end * MINUTE, words or f"{kind} {start:g}")


def placed(*episodes: Episode, steps: Steps = STEPS) -> Marks:
    return marks.place(steps, History("Alerts", episodes))


def bands(found: Marks) -> list[tuple[str, str, str]]:
    return [(band.kind, band.x, band.end) for band in found.bands]


def said(found: Marks) -> list[list[str]]:
    return [[found.lines[number][1] for number in step] for step in found.told]


class TestPlaces:
    def test_a_band_reaches_from_the_first_sight_to_the_end(self) -> None:
        assert bands(placed(episode("critical", 30, 60))) == [("critical", "25.00%", "50.00%")]

    def test_what_began_before_and_what_is_not_over_end_at_the_windows_edges(self) -> None:
        now = replace(STEPS, as_of=NOON + 90 * MINUTE)
        assert bands(placed(episode("warning", -500, 30))) == [("warning", "0.00%", "25.00%")]
        assert bands(placed(episode("warning", 60, 5000), steps=now)) == [("warning", "50.00%", "75.00%")]

    @pytest.mark.parametrize("ends", [(-20, -10), (-20, 0), (120, 130)])
    def test_what_lies_outside_of_the_window_is_not_marked(self, ends: tuple[int, int]) -> None:
        assert not placed(episode("critical", *ends), episode("change", *ends))

    def test_a_moment_is_wide_enough_to_be_seen(self) -> None:
        [band] = placed(episode("info", 30, 30.01)).bands
        assert float(band.width.removesuffix("%")) == pytest.approx(100 / 240, abs=0.01)

    def test_a_window_without_steps_has_no_marks(self) -> None:
        assert not placed(episode("critical", 0, 10), steps=replace(STEPS, t=()))


class TestWhatLiesOverEachOther:
    def test_the_worst_is_drawn(self) -> None:
        found = placed(episode("info", 0, 120), episode("critical", 30, 60), episode("warning", 40, 90))
        assert bands(found) == [
            ("info", "0.00%", "25.00%"),
            ("critical", "25.00%", "50.00%"),
            ("warning", "50.00%", "75.00%"),
            ("info", "75.00%", "100.00%"),
        ]
        assert found.bands[1].title == "critical 30\nwarning 40\ninfo 0"

    def test_neighbours_of_one_severity_are_one(self) -> None:
        assert bands(placed(episode("warning", 0, 30), episode("warning", 30, 60))) == [("warning", "0.00%", "50.00%")]

    def test_one_mark_names_a_few_and_counts_the_rest(self) -> None:
        [band] = placed(*(episode("warning", n, 60, f"alert {n}") for n in range(9))).bands
        assert band.title == "alert 8\nalert 7\nalert 6\nand 6 more"

    def test_changes_too_close_to_tell_apart_share_a_flag(self) -> None:
        found = placed(episode("change", 60, 60), episode("change", 60.5, 61), episode("change", 90, 120))
        assert [flag.x for flag in found.flags] == ["50.00%", "75.00%"]
        assert found.flags[0].title == "change 60.5\nchange 60"
        assert found.bands == ()

    @given(
        st.lists(
            st.tuples(st.sampled_from(marks.KINDS), st.floats(-100, 200), st.floats(0, 150)).map(
                lambda one: episode(one[0], one[1], one[1] + one[2])
            ),
            max_size=400,
        ),
        st.integers(1, 130),
    )
    def test_however_many_there_are_a_chart_stays_readable_and_loses_none(
        self, episodes: list[Episode], number: int
    ) -> None:
        length = 7200 // number
        t = tuple(NOON + timedelta(seconds=length * index) for index in range(number))
        steps = Steps(t, length, ZoneInfo("UTC"), NOON, NOON + timedelta(seconds=length * number))
        found = placed(*episodes, steps=steps)
        assert len(found.bands) <= marks.MOST_BANDS
        assert len(found.flags) <= marks.MOST_FLAGS
        edges = [float(edge.removesuffix("%")) for band in found.bands for edge in (band.x, band.end)]
        assert edges == sorted(edges)
        assert all(0 <= edge <= 100 for edge in edges)
        inside = [one for one in episodes if one.start < steps.end and (one.end > NOON or one.start >= NOON)]
        inside = [one for one in inside if one.kind != "change" or one.start >= NOON]
        assert found.number == len(inside)
        worst = min((marks.KINDS.index(one.kind) for one in inside if one.kind != "change"), default=None)
        assert worst == min((marks.KINDS.index(band.kind) for band in found.bands), default=None)
        assert len(found.told) == (number if found else 0)


class TestTableAndPlot:
    CHART = charts.line_chart("Rate", STEPS, [Column("Rate", "s1", [1.0] * 12)], str, description="How many.")
    FOUND = placed(episode("critical", 15, 35), episode("change", 32, 99), episode("warning", 0, 35))

    def test_every_step_says_what_it_met(self) -> None:
        assert said(self.FOUND) == [
            ["warning 0"],
            ["critical 15", "warning 0"],
            ["critical 15", "warning 0"],
            ["critical 15", "warning 0", "change 32"],
            *[[]] * 8,
        ]

    def test_the_table_has_a_column_of_them(self) -> None:
        chart = marks.tabled(self.CHART, self.FOUND)
        assert chart.head == ("Time", "Rate", "Alerts")
        assert [row[2] for row in chart.rows[2:5]] == [
            "critical 15; warning 0",
            "critical 15; warning 0; change 32",
            "none",
        ]
        assert chart.description == "How many. Marks beneath it tell of 3 alerts."
        assert marks.tabled(self.CHART, placed(episode("info", 0, 5))).description.endswith("tell of 1 alert.")

    def test_a_chart_without_any_is_as_it_was(self) -> None:
        assert marks.tabled(self.CHART, placed()) is self.CHART
        plot = json.loads(plots.text(self.CHART, placed()))
        assert (plot["alerts"], plot["told"]) == ([], [])

    def test_the_browser_reads_the_words_of_the_table(self) -> None:
        plot = json.loads(plots.text(self.CHART, self.FOUND))
        chart = marks.tabled(self.CHART, self.FOUND)
        for row, step in zip(chart.rows, plot["told"], strict=True):
            assert row[-1] == ("; ".join(plot["alerts"][number][1] for number in step) or "none")
        assert sorted(kind for kind, _ in plot["alerts"]) == ["change", "critical", "warning"]

    def test_a_step_that_met_many_counts_the_rest(self) -> None:
        found = placed(*(episode("warning", 0, 5, f"alert {n}") for n in range(5)))
        assert said(found)[0] == ["alert 0", "alert 1", "alert 2", "and 2 more"]


NOW = sight().answer.as_of  # 12:00:30 in London


def state(**changed: object) -> State:
    values: Mapping[str, object] = {
        "id": UUID(int=1), "organization_id": "swaggystacks", "fingerprint": "f", "episode": 1, "source": "live",
        "alert_type": "high_error_rate", "severity": "critical", "status": "resolved", "message": "Error rate is 7 %.",
        "endpoint_id": "", "model_name": "", "metadata": {}, "labels": {"pod": "vllm-2"},
        "first_seen_at": NOW - 90 * MINUTE, "last_seen_at": NOW, "ends_at": None,
        "resolved_at": NOW - 64 * MINUTE, "resolved_by": "ada", "changed_at": NOW,
    }  # fmt: skip
    return State(**{**values, **changed})  # type: ignore[arg-type]


def told(audience: str, *states: State) -> list[str]:
    looked = sight(alarms=Alarms(known=True, episodes=states))
    return [one.words for one in history.history(looked, audience).episodes]


OPEN: Mapping[str, object] = {"status": "firing", "resolved_at": None, "resolved_by": ""}
DEPLOYED: Mapping[str, object] = {"alert_type": "deployment", "severity": "info", "message": "gateway 2.4.1 went live"}


class TestWords:
    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({}, "critical: Error rate is 7 %, 10:30-10:56 (resolved by ada)"),
            ({"model_name": "qwen2.5:7b"}, "critical: Error rate is 7 %, 10:30-10:56 (qwen2.5:7b, resolved by ada)"),
            ({"source": "demo", **OPEN}, "critical: Error rate is 7 %, since 10:30 (demo)"),
            (
                {
                    **OPEN,
                    "status": "acknowledged",
                    "acknowledged_by": "bo",
                    "message": "qwen\n is\tslow",
                    "model_name": "qwen",
                },
                "critical: qwen is slow, since 10:30 (acknowledged by bo)",
            ),
            ({"resolved_at": NOW - 90 * MINUTE, "resolved_by": ""}, "critical: Error rate is 7 %, at 10:30 (resolved)"),
            (
                {"first_seen_at": NOW - timedelta(days=1), "resolved_at": NOW - timedelta(hours=23)},
                "critical: Error rate is 7 %, 9 Mar 12:00-13:00 (resolved by ada)",
            ),
            (
                {"first_seen_at": NOW - timedelta(days=1)},
                "critical: Error rate is 7 %, 9 Mar 12:00 - 10:56 (resolved by ada)",
            ),
            (DEPLOYED, "deployment: gateway 2.4.1 went live, at 10:30"),
            ({**DEPLOYED, **OPEN}, "deployment: gateway 2.4.1 went live, at 10:30"),
            (
                {"alert_type": "settings_changed", "message": "Currency is EUR", "severity": "info"},
                "settings changed: Currency is EUR, at 10:30",
            ),
        ],
    )
    def test_developers_read_the_alert_as_it_was_raised(self, changed: dict[str, object], words: str) -> None:
        assert told("developer", state(**changed)) == [words]

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({}, "More requests fail than should, 10:30-10:56 (serious)"),
            (
                {"model_name": "qwen2.5:7b", **OPEN},
                "More requests fail than should with qwen2.5:7b, since 10:30 (serious)",
            ),
            (
                {"model_name": "__other__", "severity": "warning"},
                "More requests fail than should, 10:30-10:56 (to watch)",
            ),
            ({"source": "demo"}, "More requests fail than should, 10:30-10:56 (serious, demo)"),
            (DEPLOYED, "A new version went live, at 10:30"),
        ],
    )
    def test_executives_read_what_it_means(self, changed: dict[str, object], words: str) -> None:
        [found] = told("executive", state(**changed))
        assert found == words
        assert "high_error_rate" not in found
        assert "vllm-2" not in found

    def test_a_long_message_is_cut(self) -> None:
        [found] = told("developer", state(message="word " * 400))
        assert len(found) < 200
        assert "…, 10:30" in found

    def test_an_open_alert_reaches_to_now(self) -> None:
        looked = sight(alarms=Alarms(known=True, episodes=[state(**OPEN)]))
        [one] = history.history(looked, "developer").episodes
        assert (one.start, one.end) == (NOW - 90 * MINUTE, NOW)


class TestPage:
    @staticmethod
    def page(audience: str, states: Sequence[State]) -> str:
        return html(audience, sight(alarms=Alarms(known=True, episodes=states)))

    @pytest.mark.parametrize(
        ("audience", "words"), [("developer", "Error rate is 7 %"), ("executive", "More requests fail")]
    )
    def test_every_chart_of_both_pages_bears_the_marks(self, audience: str, words: str) -> None:
        page = self.page(audience, [state(), state(**DEPLOYED)])
        number = page.count("<figure class=")
        assert number >= 2
        for once in ("chart--marked", 'class="episode episode--critical"', 'class="episode episode--change"'):
            assert page.count(once) == number, once
        assert page.count(f"<title>{'critical: ' if audience == 'developer' else ''}{words}") == number

    def test_without_alerts_a_chart_has_no_room_for_any(self) -> None:
        page = self.page("developer", [])
        assert "chart--marked" not in page
        assert '<svg class="chart-marks" aria-hidden="true"></svg>' in page

    def test_a_message_is_text_wherever_it_stands(self) -> None:
        page = self.page("developer", [state(message=HOSTILE)])
        assert "<script" not in page
        assert "&lt;script&gt;alert(" in page
