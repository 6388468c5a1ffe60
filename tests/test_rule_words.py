"""Rules as people type and read them: every word back and forth, what is wrong told by field, values drawn as lines."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import rule_charts, rule_entries, rule_words
from alerts.definitions import Definition
from alerts.measurements import Group
from alerts.pack import PACK
from alerts.rehearsal import Episode
from alerts.rule_words import MINUTES, SECONDS
from alerts.rules import MINUTE, Condition, Hours, Reading, decide

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
UNITS = ("ratio", "%", "ms", "seconds", "celsius", "bytes", "bytes/s", "money", "inferences")


class TestLengths:
    @pytest.mark.parametrize(
        ("words", "units", "number"),
        [
            ("5m", MINUTES, 5), ("90", MINUTES, 90), ("1h30m", MINUTES, 90), (" 1H 30 m ", MINUTES, 90),
            ("2h", MINUTES, 120), ("1d", MINUTES, 1440), ("31d", MINUTES, 44_640), ("0", MINUTES, 0),
            ("30s", SECONDS, 30), ("2m", SECONDS, 120), ("1h", SECONDS, 3600), ("45", SECONDS, 45),
        ],
    )  # fmt: skip
    def test_they_are_read(self, words: str, units: Mapping[str, int], number: int) -> None:
        assert rule_words.length_of(words, units) == number

    @pytest.mark.parametrize("words", ["", "m", "5x", "1h5", "-5m", "1.5h", "30m1h", "soon", "٣m", "9" * 10, "5s"])
    def test_what_is_none_is_refused(self, words: str) -> None:
        with pytest.raises(ValueError, match="must be a length of time such as 5m, 2h or 1d"):
            rule_words.length_of(words, MINUTES)

    @given(st.integers(0, 50_000), st.sampled_from([MINUTES, SECONDS]))
    def test_what_is_shown_is_read_back(self, number: int, units: Mapping[str, int]) -> None:
        words = rule_words.length_words(number, units)
        assert (rule_words.length_of(words, units) if words else 0) == number


class TestAmounts:
    @pytest.mark.parametrize(
        ("words", "unit", "value"),
        [
            ("5%", "ratio", 0.05), ("0.05", "ratio", 0.05), ("7.3 %", "ratio", 0.073), ("-20%", "%", -20.0),
            ("1.5s", "ms", 1500.0), ("1500", "ms", 1500.0), ("2min", "seconds", 120.0),
            ("10GiB", "bytes", 10 * 2.0**30),
            ("10 MiB/s", "bytes/s", 10 * 2.0**20), ("1,234.5", "money", 1234.5), (".5", "money", 0.5),
            ("1e3", "inferences", 1000.0), ("+7", "inferences", 7.0), ("83°C", "celsius", 83.0),
        ],
    )  # fmt: skip
    def test_they_are_read_in_their_unit(self, words: str, unit: str, value: float) -> None:
        assert rule_words.amount_of(words, unit) == value

    @pytest.mark.parametrize(
        ("words", "unit"),
        [("", "ratio"), ("x", "ratio"), ("0,5", "ratio"), ("5%", "money"), ("5s", "bytes"), ("nan", "money"),
         ("inf", "money"), ("e5", "money"), ("1_0", "money"), ("٣", "money"), ("5 % %", "ratio")],
    )  # fmt: skip
    def test_what_is_none_is_refused(self, words: str, unit: str) -> None:
        with pytest.raises(ValueError, match="must be a number"):
            rule_words.amount_of(words, unit)

    def test_what_is_long_is_not_even_looked_at(self) -> None:
        assert rule_words.amount_of("1" * 60, "") == float("1" * 60)
        with pytest.raises(ValueError, match="must be a number"):
            rule_words.amount_of("1" * 61, "")

    @given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(UNITS))
    def test_what_is_shown_of_any_number_is_read_back(self, value: float, unit: str) -> None:
        words = rule_words.amount_words(value, unit)
        assert len(words) <= 60
        assert rule_words.amount_of(words, unit) == value

    @given(st.floats(-1e14, 1e14, allow_nan=False), st.sampled_from(UNITS))
    def test_what_is_shown_is_read_back(self, value: float, unit: str) -> None:
        assert rule_words.amount_of(rule_words.amount_words(value, unit), unit) == value

    @pytest.mark.parametrize(
        ("value", "unit", "words"),
        [(0.05, "ratio", "5%"), (0.073, "ratio", "7.3%"), (1500.0, "ms", "1500ms"), (2.0**30, "bytes", "1GiB"),
         (1000.0, "bytes", "1000B"), (30.0, "%", "30%"), (12.0, "money", "12"), (None, "ratio", "")],
    )  # fmt: skip
    def test_they_are_shown_with_their_sign(self, value: float | None, unit: str, words: str) -> None:
        assert rule_words.amount_words(value, unit) == words


class TestLists:
    def test_filters_have_values_with_commas_between_them(self) -> None:
        found = rule_words.filters_of('status=5*, 429\r\n\n model = "a,b" , c\nstatus=503\nempty=""')
        assert found == {"status": ("5*", "429", "503"), "model": ("a,b", "c"), "empty": ("",)}
        assert rule_words.filters_of(rule_words.filters_words(found)) == found

    @pytest.mark.parametrize("line", ["status", "=5*", "status="])
    def test_a_line_that_is_no_filter_is_named(self, line: str) -> None:
        with pytest.raises(ValueError, match=f"“{re.escape(line)}” has not"):
            rule_words.filters_of(f"ok=1\n{line}")

    @pytest.mark.parametrize(
        ("lines", "words"), [("team", "“team” is none"), ("=ml", "“=ml” is none"), ("a=1\na=2", "“a” stands twice")]
    )
    def test_a_line_that_is_no_label_is_named(self, lines: str, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            rule_words.labels_of(lines)

    @pytest.mark.parametrize("line", ["model=" + "a" * 200_000, 'model="' + "a" * 200_000])
    def test_a_line_that_no_reader_takes_is_named(self, line: str) -> None:
        with pytest.raises(ValueError, match="must have a name, = and values in each line"):
            rule_words.filters_of(line)

    def test_lines_may_end_as_they_did_once(self) -> None:
        assert rule_words.filters_of("a=1\rb=2\r\nc=3") == {"a": ("1",), "b": ("2",), "c": ("3",)}

    def test_labels_come_back(self) -> None:
        labels = {"team": "ml=ops", "region": ""}
        assert rule_words.labels_of(rule_words.labels_words(labels)) == labels

    @pytest.mark.parametrize(("words", "minutes"), [("08:30", 510), ("0:05", 5), ("24:00", 0), ("23:59", 1439)])
    def test_times_of_day_are_read(self, words: str, minutes: int) -> None:
        assert rule_words.clock_of(words) == minutes
        assert rule_words.clock_of(rule_words.clock_words(minutes)) == minutes

    @pytest.mark.parametrize("words", ["", "8", "25:00", "24:01", "12:60", "noon", "-1:00"])
    def test_what_is_no_time_of_day_is_refused(self, words: str) -> None:
        with pytest.raises(ValueError, match="must be a time of day such as 08:30"):
            rule_words.clock_of(words)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Definition(measure="errors", aggregation="ratio", per="inferences", window=15),
         "errors per inferences over 15 min"),
        (Definition(measure="inferences", aggregation="count", window=60, change="week", by=("model", "provider")),
         "inferences over 1 h, against a week ago, by model, provider"),
        (Definition(measure="duration", aggregation="p95"), "p95 of duration over 5 min"),
        (Definition(measure="errors", aggregation="rate", window=1440), "errors a second over 1 day"),
        (Definition(measure="cockpit_x_total", aggregation="sum", change="previous", filters={"a": ("1*", "2")}),
         "sum of cockpit_x_total where a=1*,2 over 5 min, against the time before"),
    ],
)  # fmt: skip
def test_what_is_measured_in_a_line(one: Definition, words: str) -> None:
    assert rule_words.subject(one) == words


def fields(one: Definition, **changes: Any) -> dict[str, Any]:
    return {**rule_entries.written(one, "UTC"), **changes}


BUSY = Definition(
    measure="errors", aggregation="ratio", per="inferences", window=90, offset=90,
    filters={"model": ("qwen*", 'a "b", c')}, by=("model", "endpoint"), alert_type="too_many", labels={"team": "ml"},
    developer="{value} of {model} fails", executive="It fails.", runbook="https://example.org/fix",
    condition=Condition(
        operator="gte", warning=0.05, warning_clear=0.03, critical=0.2, critical_clear=0.1, hold=5, keep=90, least=100,
        no_data="alert", silent=15, hours=Hours(start=510, end=0, days=(0, 4), zone="Europe/Berlin"), renotify=240,
    ),
)  # fmt: skip


class TestEntries:
    @pytest.mark.parametrize("one", [BUSY, *(packed.definition for packed in PACK)], ids=lambda one: one.alert_type)
    def test_every_definition_is_read_back_as_it_was(self, one: Definition) -> None:
        assert rule_entries.read(rule_entries.written(one, "UTC"), "UTC") == (one, {})

    def test_it_is_shown_as_it_may_be_typed(self) -> None:
        shown = rule_entries.written(BUSY, "UTC")
        assert shown["filters"] == 'model=qwen*,"a ""b"", c"'
        assert {name: shown[name] for name in ("window", "offset", "warning", "critical_clear", "hold", "keep",
                                               "silent", "hours_from", "hours_until", "days", "zone", "by")} == {
            "window": "1h30m", "offset": "1m30s", "warning": "5%", "critical_clear": "10%", "hold": "5m",
            "keep": "1h30m", "silent": "15m", "hours_from": "08:30", "hours_until": "00:00", "days": ["0", "4"],
            "zone": "Europe/Berlin", "by": "model, endpoint",
        }  # fmt: skip

    def test_a_family_stands_in_a_field_of_its_own(self) -> None:
        shown = rule_entries.written(Definition(measure="cockpit_x", aggregation="max"), "UTC")
        assert (shown["measure"], shown["family"]) == ("", "cockpit_x")

    @pytest.mark.parametrize(
        ("given", "hours"),
        [
            ({}, None), ({"zone": "Europe/Berlin"}, None),
            ({"hours_from": "08:00", "hours_until": "18:00"}, Hours(start=480, end=1080)),
            ({"hours_from": "22:00"}, Hours(start=1320, end=0)),
            ({"days": ["5", "6"]}, Hours(start=0, end=0, days=(5, 6))),
            ({"days": ["0"], "zone": "Europe/Berlin"}, Hours(start=0, end=0, days=(0,), zone="Europe/Berlin")),
        ],
    )  # fmt: skip
    def test_without_times_and_days_there_are_no_hours(self, given: dict[str, Any], hours: Hours | None) -> None:
        one = Definition(measure="errors", aggregation="sum", condition=Condition(warning=1))
        assert rule_entries.read(fields(one, **given), "UTC")[0].condition.hours == hours

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("Too many calls fail!", "too_many_calls_fail"), ("95 % p95", "rule_95_p95"), ("Größe", "gr_e"), ("—", "rule"),
         ("", "rule")],
    )  # fmt: skip
    def test_a_type_is_made_of_the_name(self, name: str, kind: str) -> None:
        assert rule_entries.read(fields(BUSY, alert_type="", name=name), "UTC")[0].alert_type == kind

    def test_what_a_ratio_alone_needs_is_left_out_elsewhere(self) -> None:
        one, problems = rule_entries.read(fields(BUSY, aggregation="sum", warning="5", warning_clear="", critical="",
                                                 critical_clear=""), "UTC")  # fmt: skip
        assert (one.per, one.condition.warning, problems) == ("", 5.0, {})

    @pytest.mark.parametrize(
        ("changes", "field", "words"),
        [
            ({"window": "soon"}, "window", "must be a length of time"), ({"window": ""}, "window", "must be 1 minute"),
            ({"window": "32d"}, "window", "must be 1 minute to 31 days"),
            ({"offset": "1d"}, "offset", "must be a length of time such as 30s"),
            ({"warning": "many"}, "warning", "must be a number, such as 5% or 0.05"),
            ({"warning": "", "warning_clear": "", "critical": "", "critical_clear": "", "no_data": "ok"}, "warning",
             "must be given"),
            ({"warning": "30%"}, "critical", "must be at least the warning threshold"),
            ({"warning_clear": "6%"}, "warning_clear", "must be at most the warning threshold"),
            ({"filters": "model"}, "filters", "must have a name"),
            ({"filters": "team=a"}, "filters", "must be of model"),
            ({"by": "team"}, "by", "must be of model"), ({"labels": "team"}, "labels", "must be a name=value"),
            ({"hours_from": "25:00"}, "hours_from", "must be a time of day"),
            ({"hours_until": "x"}, "hours_until", "must be a time of day"),
            ({"zone": "Mars/Base"}, "zone", "must be the name of a timezone"),
            ({"measure": "", "family": ""}, "family", "must be one of"),
            ({"measure": "", "family": "not a family"}, "family", "must be one of"),
            ({"aggregation": "", **dict.fromkeys(rule_entries.THRESHOLDS, ""), "warning": "5"}, "aggregation",
             "must be one of"),
            ({"per": "duration"}, "per", "must be a measure"),
            ({"hold": "2d"}, "hold", "must be 0 to 1,440 minutes"), ({"keep": "-"}, "keep", "must be a length of time"),
            ({"silent": "8d"}, "silent", "must be 0 to"), ({"renotify": "8d"}, "renotify", "must be 0 to"),
            ({"developer": ""}, "developer", "must say what is wrong"),
            ({"developer": "{nobody}"}, "developer", "must name only"),
            ({"alert_type": "Too many"}, "alert_type", "must be small letters"),
            ({"runbook": "ftp://x"}, "runbook", "must be an http(s) address"),
        ],
    )  # fmt: skip
    def test_what_will_not_do_is_told_of_its_field(self, changes: dict[str, str], field: str, words: str) -> None:
        problems = rule_entries.read(fields(BUSY, **changes), "UTC")[1]
        assert words in problems.pop(field)
        assert problems == {}

    def test_a_text_in_several_lines_is_one(self) -> None:
        one, problems = rule_entries.read(fields(BUSY, developer="{value} of\r\n{model}\nfail"), "UTC")
        assert (one.developer, problems) == ("{value} of {model} fail", {})

    def test_what_cannot_be_read_is_told_all_at_once(self) -> None:
        problems = rule_entries.read(fields(BUSY, window="x", warning="x", filters="x", labels="x"), "UTC")[1]
        assert problems.keys() == {"window", "warning", "filters", "labels"}


def minutes(*values: float | None, group: Group = (), samples: int = 100) -> list[Any]:
    return [(NOON + number * MINUTE, {} if value is None else {group: Reading(value, samples)})
            for number, value in enumerate(values, 1)]  # fmt: skip


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


class TestCharts:
    def test_a_line_goes_through_the_middle_of_each_minute_and_breaks_where_there_is_none(self) -> None:
        drawn = rule_charts.chart(minutes(0, 10, None, 5), [], Condition(warning=8), "money")
        [line] = drawn.lines
        assert line.path.count("M") == 2
        assert points(line.path) == [(125, 1000), (375, 0), (875, 500)]
        assert [(level.at, level.text, level.tone) for level in drawn.levels] == [("20.00%", "warning 8.00", "warn")]

    def test_of_more_minutes_than_columns_the_worst_are_drawn(self) -> None:
        values = [0.0] * 1440
        values[700] = 10.0
        drawn = rule_charts.chart(minutes(*values), [], Condition(warning=5), "money")
        assert min(y for _, y in points(drawn.lines[0].path)) == 0
        low = rule_charts.chart(minutes(*(10.0 - value for value in values)), [],
                                Condition(operator="lt", warning=5), "money")  # fmt: skip
        assert max(y for _, y in points(low.lines[0].path)) == 1000

    def test_an_episode_is_a_band_over_its_minutes(self) -> None:
        episodes = [
            Episode(group=(), began=NOON + 2 * MINUTE, ended=NOON + 4 * MINUTE, level="critical", peak=9.0),
            Episode(group=(), began=NOON + 8 * MINUTE, ended=None, level="warning", peak=7.0),
        ]
        drawn = rule_charts.chart(minutes(*range(10)), episodes, Condition(warning=5), "money")
        assert [(band.x, band.width, band.tone) for band in drawn.bands] == [
            ("20.00%", "20.00%", "bad"),
            ("80.00%", "20.00%", "warn"),
        ]

    @pytest.mark.parametrize(("number", "words"), [(0, "0 episodes."), (1, "1 episode."), (2, "2 episodes.")])
    def test_says_how_many_they_are(self, number: int, words: str) -> None:
        fired = [Episode(group=(), began=NOON, ended=None, level="warning", peak=1.0)] * number
        drawn = rule_charts.chart(minutes(1, 2), fired, Condition(warning=0.5), "money")
        assert drawn.description == f"Tue 10 Mar 12:00 UTC to Tue 10 Mar 12:02 UTC, {words}"

    def test_groups_that_fired_come_first_and_the_rest_is_counted(self) -> None:
        found = [(NOON + number * MINUTE, {(name,): Reading(float(value), 1) for name, value in
                                           zip("abcdefg", (1, 2, 3, 4, 5, 6, 7))}) for number in (1, 2)]  # fmt: skip
        fired = [Episode(group=("a",), began=NOON, ended=None, level="warning", peak=1.0)]
        drawn = rule_charts.chart(found, fired, Condition(warning=0.5), "money")
        assert ([line.name for line in drawn.lines], drawn.more) == (["a", "g", "f", "e"], 3)

    def test_values_of_too_few_samples_are_left_out(self) -> None:
        rule = Condition(warning=5, least=10)
        assert rule_charts.chart(minutes(1, 2, samples=9), [], rule, "money").lines == []
        assert len(rule_charts.chart(minutes(1, 2, samples=10), [], rule, "money").lines) == 1

    @pytest.mark.parametrize(
        ("values", "first", "last"),
        [((0, 10), "0.00", "10.00"), ((95, 96, 97), "95.00", "97.00"), ((-40, 60), "-50.00", "75.00"),
         ((-3, -1), "-3.00", "0.00"), ((5, 5), "0.00", "6.00"), ((0, 0), "0.00", "1.00")],
    )  # fmt: skip
    def test_the_scale_begins_at_nothing_unless_all_lie_far_from_it(
        self, values: tuple[float, ...], first: str, last: str
    ) -> None:
        ticks = rule_charts.chart(minutes(*values), [], Condition(no_data="alert"), "money").y_ticks
        assert (ticks[0].text, ticks[-1].text) == (first, last)
        assert 2 <= len(ticks) <= 7

    @pytest.mark.parametrize(("days", "text"), [(1, "16:00"), (7, "11 Mar"), (31, "12 Mar")])
    def test_times_stand_at_round_ones(self, days: int, text: str) -> None:
        long = [(NOON + timedelta(days=days) * share / 100, {}) for share in range(1, 101)]
        ticks = rule_charts.chart(long, [], Condition(warning=1), "money").x_ticks
        assert text in [tick.text for tick in ticks]
        assert 3 <= len(ticks) <= 9

    @pytest.mark.parametrize(
        ("unit", "top"),
        [("inferences", "10"), ("tokens/s", "10"), ("bytes/s", "10 B/s"), ("celsius", "10 °C"), ("ratio", "1,000 %"),
         ("money", "10.00"), ("", "10")],
    )  # fmt: skip
    def test_an_axis_has_room_for_short_units_alone(self, unit: str, top: str) -> None:
        chart = rule_charts.chart(minutes(1, 10), [], Condition(warning=10), unit)
        assert chart.y_ticks[-1].text == top

    def test_a_strip_says_what_lies_under_it(self) -> None:
        drawn = rule_charts.chart(minutes(0.1, 0.2, group=("qwen",)), [], Condition(warning=1), "ratio")
        assert [hit.title for hit in drawn.hits] == [
            "Tue 10 Mar 12:00 UTC\nqwen: 10 %", "Tue 10 Mar 12:01 UTC\nqwen: 20 %",
        ]  # fmt: skip


class TestSparks:
    def test_it_has_the_threshold_where_that_is_near(self) -> None:
        near = rule_charts.spark([1.0, 2.0, 4.0], 3.0, "money")
        assert (near.threshold, near.title) == ("25.00%", "1.00 to 4.00")
        assert rule_charts.spark([1.0, 2.0, 4.0], 100.0, "money").threshold == ""

    @pytest.mark.parametrize(
        "both", [(-1.7e308, 1.7e308), (5e-324, 1e-323), (0.0, 5e-324), (1.0, 1.0000000000000002), (1.7e308, 1.6e308),
                 (-1e-323, 1e308)]
    )  # fmt: skip
    def test_any_numbers_can_be_drawn(self, both: tuple[float, ...]) -> None:
        for values in (both, both[::-1]):
            drawn = rule_charts.spark(values, values[0], "money")
            assert all(0 <= y <= 1000 for _, y in points(drawn.path))
            assert rule_charts.chart(minutes(*values), [], Condition(warning=values[1]), "ratio").lines

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=5))
    def test_whatever_they_are(self, values: list[float]) -> None:
        assert rule_charts.spark(values, values[0], "").path

    def test_nothing_known_is_nothing_drawn(self) -> None:
        spark = rule_charts.spark([None, None], 3.0, "money")
        assert (spark.path, spark.threshold, spark.title) == ("", "", "no data")


class TestReasons:
    def test_without_a_value_they_tell_whether_anything_was_measured(self) -> None:
        assert rule_words.reason("no_data") == "nothing was measured"
        assert rule_words.reason("no_data", samples=3) == "no value could be made of what was measured"
        assert rule_words.reason("breach", samples=3) == "the value is beyond a threshold"
        assert rule_words.reason("from another version") == "from another version"

    @pytest.mark.parametrize(
        ("critical", "values", "better"),
        [(10, [11], False), (10, [11, 6], True), (10, [11, 6, 6], True), (10, [11, 6, 1], False),
         (10, [11, 1], False), (None, [6, 1], False), (10, [6, 1], False)],
        ids=["critical", "no longer", "still not", "clear by now", "clear at once", "of one level", "a warning"],
    )  # fmt: skip
    def test_of_what_is_kept_tell_whether_it_is_clear(
        self, critical: float | None, values: list[float], better: bool
    ) -> None:
        condition = Condition(warning=5, critical=critical, keep=5)
        standing = None
        for minute, value in enumerate(values):
            standing = decide(condition, standing, Reading(value, 9), NOON + minute * MINUTE)
        assert standing is not None
        assert rule_words.is_better(condition, standing) == better
        less = "the value is no longer critical, and it is kept so for a while"
        assert (rule_words.reason(standing.because, better=better) == less) == better

    def test_of_a_single_level_it_is_clear(self) -> None:
        condition = Condition(critical=10, keep=5)
        standing = decide(condition, decide(condition, None, Reading(11, 9), NOON), Reading(6, 9), NOON + MINUTE)
        assert (standing.because, rule_words.is_better(condition, standing)) == ("keeping", False)


def test_signs_numbers_and_per_cents_stay_on_one_line() -> None:
    space = "\N{NO-BREAK SPACE}"
    assert rule_words.unbroken("> 5 % warning, ≤ 9 s critical") == f">{space}5{space}% warning, ≤{space}9 s critical"
