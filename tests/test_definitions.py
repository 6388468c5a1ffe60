"""A rule as people write it: what is refused and in which words, what comes back as it was, and what it says."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import MsgspecError

from alerts import saying, soundness
from alerts.definitions import (
    DAY,
    GROUPED,
    MEASURES,
    WEEK,
    Aggregation,
    Change,
    Definition,
    decoded,
    encoded,
    filled,
    measure_of,
)
from alerts.rules import Condition, Hours, NoData, Operator, Reading, Standing
from monitoring.families import BY_NAME
from tests.ruling import about, at, unsaved

HEAT, SLOW, REQUESTS = (
    "cockpit_gpu_temperature_celsius", "cockpit_http_request_duration_seconds", "cockpit_http_requests_total",
)  # fmt: skip
NUMBER = "must be a number between -1e15 and 1e15"
CONTROL = "must not hold control characters or lone surrogates"
ADDRESS = "must be an http(s) address of at most 500 characters"
TYPE = "must be small letters, digits and _, such as high_error_rate, at most 100"
CLEAR: dict[str, Any] = {"warning": 80.0, "critical": 95.0}
NO_MEASURE = f"must be one of {', '.join(MEASURES)}, or the name of a metric family"
NAMES = ", ".join(GROUPED)
RULE = "must not name rule, by which alerts tell whose they are"
LE = "must not name le, the bound of a bucket"


def table(rows: dict[str, tuple[Any, ...]], names: str = "definition field words") -> pytest.MarkDecorator:
    return pytest.mark.parametrize(names.split(), rows.values(), ids=rows)


def hours(**changes: Any) -> Definition:
    return about(hours=Hours(**{"start": 9 * 60, "end": 17 * 60} | changes))


def many(number: int) -> dict[str, tuple[str, ...]]:
    return {f"label_{place}": ("a",) for place in range(number)}


class TestWhatIsRefused:
    @table({
        "an empty name": (about(""), "measure", NO_MEASURE),
        "no name of a family": (about("gpu heat"), "measure", NO_MEASURE),
        "a long one": (about("a" * 101), "measure", NO_MEASURE),
        "a NUL": (about("heat\0"), "measure", NO_MEASURE),
        "no aggregation of a family": (about("team_queue", ""), "aggregation",
                                       "must be one of avg, min, max, last, count, ratio"),
        "what is no aggregation of it": (about("inferences", "p95"), "aggregation",
                                         "must be one of count, rate, ratio for inferences"),
        "of money": (about("cost", "max"), "aggregation", "must be one of sum, rate, avg, ratio for cost"),
        "of a gauge": (about(HEAT, "p95"), "aggregation",
                       f"must be one of avg, min, max, last, count, ratio for {HEAT}"),
        "of a counter": (about(REQUESTS, "last"), "aggregation", f"must be one of sum, rate, ratio for {REQUESTS}"),
        "of a histogram": (about(SLOW, "max"), "aggregation", f"must be one of avg, p50, p90, p95, p99 for {SLOW}"),
        "a ratio of nothing": (about("errors", "ratio"), "per", "must name what the ratio is divided by"),
        "a divisor of no ratio": (about("errors", "sum", per="inferences"), "per",
                                  "must be empty unless the aggregation is ratio"),
        "a ratio of durations": (about("errors", "ratio", per="duration"), "per",
                                 "must be a measure of inferences that adds up"),
        "a ratio of waits": (about("cost", "ratio", per="ttft"), "per", "must be a measure of inferences that adds up"),
        "inferences by a family": (about("errors", "ratio", per=REQUESTS), "per",
                                   "must be a measure of inferences that adds up"),
        "a family by inferences": (about(REQUESTS, "ratio", per="inferences"), "per",
                                   "must be the name of a metric family"),
        "a family by no name": (about(REQUESTS, "ratio", per="a b"), "per", "must be the name of a metric family"),
    })  # fmt: skip
    def test_of_a_measure(self, definition: Definition, field: str, words: str) -> None:
        assert soundness.problems(definition) == {field: words}

    @table({
        "none": (about(window=0), "window", "must be 1 minute to 31 days"),
        "less": (about(window=-5), "window", "must be 1 minute to 31 days"),
        "too long": (about(window=31 * DAY + 1), "window", "must be 1 minute to 31 days"),
        "too long for a week ago": (about(window=WEEK + 1, change="week"), "window",
                                    "must be at most 7 days to be compared with a week ago"),
        "an early offset": (about(offset=-1), "offset", "must be 0 to 3600 seconds"),
        "a long offset": (about(offset=3601), "offset", "must be 0 to 3600 seconds"),
    })  # fmt: skip
    def test_of_a_window(self, definition: Definition, field: str, words: str) -> None:
        assert soundness.problems(definition) == {field: words}

    @table({
        "by what inferences have not": (about(by=("host",)), "by", f"must be of {NAMES}; host is none of them"),
        "by the source": (about(by=("source",)), "by", f"must be of {NAMES}; source is none of them"),
        "by the organization": (about(by=("organization_id",)), "by",
                                f"must be of {NAMES}; organization_id is none of them"),
        "by no name": (about(HEAT, "max", by=("gpu 0",)), "by", "must be names of labels; gpu 0 is none"),
        "by a surrogate": (about(HEAT, "max", by=("\ud800",)), "by", "must be names of labels; \\ud800 is none"),
        "by too many": (about(HEAT, "max", by=tuple("abcde")), "by", "must be at most 4 names"),
        "by buckets": (about(SLOW, "p95", by=("le",)), "by", LE),
        "by rules": (about(HEAT, "max", by=("rule",)), "by", RULE),
        "of what inferences have not": (about(filters={"gpu": ("0",)}), "filters",
                                        f"must be of {NAMES}; gpu is none of them"),
        "of no name": (about(HEAT, "max", filters={"": ("0",)}), "filters", "must be names of labels;  is none"),
        "of buckets": (about(SLOW, "p95", filters={"le": ("0.5",)}), "filters", LE),
        "of the buckets of a mean": (about(SLOW, "avg", filters={"le": ("0.5",)}), "filters", LE),
        "of the buckets of one's own": (about("waits", "p99", filters={"le": ("*",)}), "filters", LE),
        "of too many": (about(HEAT, "max", filters=many(6)), "filters", "must be at most 5 names"),
        "of no value": (about(filters={"model": ()}), "filters", "must have 1 to 20 values for model"),
        "of too many values": (about(filters={"model": ("a",) * 21}), "filters", "must have 1 to 20 values for model"),
        "of a long value": (about(filters={"model": ("a" * 201,)}), "filters",
                            "must be at most 200 characters long, and a value of model is not"),
        "of a NUL": (about(filters={"model": ("a", "b\0")}), "filters", f"{CONTROL}, and a value of model is not"),
        "of a surrogate": (about(filters={"model": ("\udcff",)}), "filters", f"{CONTROL}, and a value of model is not"),
    })  # fmt: skip
    def test_of_groups(self, definition: Definition, field: str, words: str) -> None:
        assert soundness.problems(definition) == {field: words}

    @table({
        "nothing asked": (about(warning=None), "warning",
                          "must be given, or the critical one, or an alert when there are no data"),
        "no number": (about(warning=float("nan")), "warning", NUMBER),
        "an endless one": (about(critical=float("inf")), "critical", NUMBER),
        "an endless one below": (about(warning=None, critical=float("-inf")), "critical", NUMBER),
        "a large one": (about(warning=1e15), "warning", NUMBER),
        "one that clears at no number": (about(warning=1, warning_clear=float("nan")), "warning_clear", NUMBER),
        "one that clears beyond": (about(**CLEAR, warning_clear=81), "warning_clear",
                                   "must be at most the warning threshold"),
        "a critical one that clears beyond": (about(**CLEAR, critical_clear=95.5), "critical_clear",
                                              "must be at most the critical threshold"),
        "one below that clears below": (about(operator="lt", warning=20, warning_clear=19), "warning_clear",
                                        "must be at least the warning threshold"),
        "one that clears without one": (about(warning_clear=1, warning=None, critical=3), "warning_clear",
                                        "must be empty without a warning threshold"),
        "a critical one that clears without one": (about(critical_clear=1), "critical_clear",
                                                   "must be empty without a critical threshold"),
        "the worse is milder": (about(warning=95, critical=80), "critical", "must be at least the warning threshold"),
        "the worse is milder below": (about(operator="lte", warning=5, critical=20), "critical",
                                      "must be at most the warning threshold"),
        "hold": (about(hold=DAY + 1), "hold", "must be 0 to 1,440 minutes"),
        "keep": (about(keep=-1), "keep", "must be 0 to 1,440 minutes"),
        "silent": (about(silent=WEEK + 1), "silent", "must be 0 to 10,080 minutes"),
        "renotify": (about(renotify=WEEK + 1), "renotify", "must be 0 to 10,080 minutes"),
        "least": (about(least=-1), "least", "must be 0 to 1,000,000,000 samples"),
        "most": (about(least=10**9 + 1), "least", "must be 0 to 1,000,000,000 samples"),
        "samples of a silence": (about(least=1, no_data="zero"), "least",
                                 "must be 0 where no data count as zero: those are no samples"),
        "no operator": (about(operator="eq"), "operator", "must be one of gt, gte, lt, lte"),
    })  # fmt: skip
    def test_of_a_condition(self, definition: Definition, field: str, words: str) -> None:
        assert soundness.problems(definition) == {field: words}

    @table({
        "a start": (hours(start=DAY), "hours", "must be times of a day"),
        "an end": (hours(end=-1), "hours", "must be times of a day"),
        "no day": (hours(days=()), "days", "must be at least one day of the week"),
        "an eighth day": (hours(days=(0, 7)), "days", "must be at least one day of the week"),
        **{f"zone {zone!a:.20}": (hours(zone=zone), "zone", "must be the name of a timezone such as Europe/Berlin")
           for zone in ("", "Europe", "Mars/Base", "../etc/passwd", "/etc/localtime", "a\0b", "\ud800", "x" * 5000)},
    })  # fmt: skip
    def test_of_hours(self, definition: Definition, field: str, words: str) -> None:
        assert soundness.problems(definition) == {field: words}

    @table({
        "no type": (about(alert_type=""), "alert_type", TYPE),
        "a large letter": (about(alert_type="High"), "alert_type", TYPE),
        "a long type": (about(alert_type="a" * 101), "alert_type", TYPE),
        "a type with a line": (about(alert_type="a\n"), "alert_type", TYPE),
        "nothing for developers": (about(developer=" "), "developer", "must say what is wrong"),
        "a long text": (about(developer="a" * 501), "developer", "must be at most 500 characters long"),
        "a NUL": (about(developer="a\0"), "developer", CONTROL),
        "a surrogate": (about(executive="\udfff"), "executive", CONTROL),
        "an unknown place": (
            about(executive="It is {valeu} of {model}"), "executive",
            "must name only endpoint, error_type, group, level, model, provider, samples, status, threshold, value, "
            "window in brackets; valeu is none",
        ),
        "an empty place": (
            about(HEAT, "max", by=("gpu",), developer="It is {}"), "developer",
            "must name only endpoint, error_type, gpu, group, level, model, provider, samples, status, threshold, "
            "value, window in brackets;  is none",
        ),
        **{f"runbook {text!a:.30}": (about(runbook=text), "runbook", ADDRESS)
           for text in ("runbook", "ftp://a.example/", "javascript:alert(1)", "https://", "http:///x", "//a.example",
                        "https://a.example/a b", "https://a.example/\n", "https://a.example/\0", "https://a.example/\ud800",
                        "https://[a", "https://a.example/" + "a" * 500)},
        "too many labels": (about(labels={f"l{place}": "" for place in range(21)}), "labels", "must be at most 20"),
        "no label": (about(labels={"a b": "c"}), "labels", "must be name=value; a b is not"),
        "a long value": (about(labels={"a": "b" * 201}), "labels", "must be name=value; a is not"),
        "a NUL in a value": (about(labels={"a": "\0"}), "labels", "must be name=value; a is not"),
        "the rule": (about(labels={"rule": "mine"}), "labels", RULE),
    })  # fmt: skip
    def test_of_texts(self, definition: Definition, field: str, words: str) -> None:
        assert soundness.problems(definition) == {field: words}

    def test_all_of_it_at_once(self) -> None:
        wrong = soundness.problems(
            about("cost", "max", window=0, by=("x",), hold=-1, runbook="x", hours=Hours(start=-1, end=1))
        )
        assert list(wrong) == ["aggregation", "window", "by", "hold", "hours", "runbook"]


class TestWhatIsSound:
    @pytest.mark.parametrize("measure", MEASURES)
    def test_every_measure_of_inferences(self, measure: str) -> None:
        for aggregation in MEASURES[measure].aggregations:
            per = "inferences" if aggregation == "ratio" else ""
            assert soundness.problems(about(measure, aggregation, per=per)) == {}

    def test_every_family(self) -> None:
        for name in BY_NAME:
            for aggregation in measure_of(name).aggregations:
                per = "cockpit_memory_total_bytes" if aggregation == "ratio" else ""
                assert soundness.problems(about(name, aggregation, per=per)) == {}

    @table({
        "the plainest": (about(),),
        "a family of one's own": (about("queue_length", "p99"),),
        "the longest": (about(window=31 * DAY, offset=3600, hold=DAY, keep=DAY, silent=WEEK, renotify=WEEK,
                              least=10**9),),
        "a week ago": (about(window=WEEK, change="week"),),
        "thresholds that clear where they begin": (about(**CLEAR, warning_clear=80, critical_clear=95),),
        "one that clears above the other": (about(**CLEAR, critical_clear=85, warning_clear=75),),
        "one below": (about(operator="lt", warning=20, warning_clear=25, critical=5, critical_clear=5),),
        "both the same": (about(warning=5, critical=5),),
        "silence alone": (about(warning=None, no_data="alert", silent=0),),
        "silence as zero": (about(operator="lt", warning=1, no_data="zero"),),
        "a bucket": (about(f"{SLOW}_bucket", "sum", filters={"le": ("0.5",)}),),
        "a night": (hours(start=22 * 60, end=6 * 60, days=(5,), zone="Asia/Kolkata"),),
        "all of a day": (hours(start=0, end=0, zone="UTC"),),
        "every name": (about(by=GROUPED[:4], filters=dict.fromkeys(GROUPED, ("a*", "é"))),),
        "labels of a family": (about(HEAT, "max", by=("gpu", "host"), filters=many(5), developer="{gpu} on {host}"),),
        "a runbook": (about(runbook="https://runbooks.example:8443/a%20b?c=d#e"),),
        "words of every script": (about(developer="模型 🦙 {value}", executive=""),),
        "brackets of other texts": (about(developer='{"value": {value}} }{'),),
        "twenty labels": (about(labels={f"l{place}": "ü" for place in range(20)}),),
    }, "definition")  # fmt: skip
    def test_the_rest(self, definition: Definition) -> None:
        assert soundness.problems(definition) == {}


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
minutes = st.integers(0, WEEK)
CONDITIONS = st.builds(
    Condition, operator=st.sampled_from(get_args(Operator)), warning=st.none() | numbers, critical=st.none() | numbers,
    warning_clear=st.none() | numbers, critical_clear=st.none() | numbers, hold=minutes, keep=minutes, least=minutes,
    no_data=st.sampled_from(get_args(NoData)), silent=minutes, renotify=minutes,
    hours=st.none()
    | st.builds(Hours, start=minutes, end=minutes, days=st.lists(st.integers(0, 6)).map(tuple), zone=texts),
)  # fmt: skip
DEFINITIONS = st.builds(
    Definition, measure=texts, aggregation=st.sampled_from(get_args(Aggregation)), per=texts,
    change=st.sampled_from(get_args(Change)), window=minutes, offset=minutes,
    filters=st.dictionaries(texts, st.lists(texts).map(tuple)), by=st.lists(texts).map(tuple), condition=CONDITIONS,
    alert_type=texts, labels=st.dictionaries(texts, texts), developer=texts, executive=texts, runbook=texts,
)  # fmt: skip


class TestItsText:
    @given(DEFINITIONS)
    def test_is_read_as_it_was_written(self, definition: Definition) -> None:
        assert decoded(encoded(definition)) == definition
        assert decoded(encoded(definition).encode()) == definition

    @pytest.mark.parametrize(
        "text",
        ["", "{}", "[]", '{"measure": "cost"}', '{"measure": "cost", "aggregation": "mean"}',
         '{"measure": "cost", "aggregation": "sum", "windows": 5}',
         '{"measure": "cost", "aggregation": "sum", "by": "model"}',
         '{"measure": "cost", "aggregation": "sum", "condition": {"no_data": "what"}}'],
    )  # fmt: skip
    def test_of_another_shape_is_refused(self, text: str) -> None:
        with pytest.raises(MsgspecError):
            decoded(text)

    def test_has_defaults(self) -> None:
        found = decoded('{"measure": "cost", "aggregation": "sum"}')
        assert found == Definition(measure="cost", aggregation="sum")


class TestItsUnit:
    @pytest.mark.parametrize(
        ("definition", "unit"),
        [
            (about("inferences", "count"), "inferences"), (about("inferences", "rate"), "inferences/s"),
            (about("errors", "ratio", per="inferences"), "ratio"), (about("duration", "p95"), "ms"),
            (about("cost", "sum"), "money"), (about("cost", "sum", change="week"), "%"),
            (about("cost", "rate"), "money/s"), (about(HEAT, "max"), "celsius"), (about(HEAT, "count"), "readings"),
            (about(SLOW, "p95"), "seconds"), (about("cockpit_network_receive_bytes_total", "rate"), "bytes/s"),
            (about("queue_length", "max"), ""), (about("cost", "ratio", per="inferences"), ""),
            (about("cost", "ratio", per="revenue"), "ratio"), (about("cost", "ratio", per="total_tokens"), ""),
            (about(HEAT, "ratio", per="cockpit_gpu_slowdown_celsius"), "ratio"), (about(HEAT, "ratio", per=SLOW), ""),
            (about("failed_total", "ratio", per="tried_total"), "ratio"), (about("cost", "ratio"), "ratio"),
        ],
    )  # fmt: skip
    def test_is_that_of_what_is_judged(self, definition: Definition, unit: str) -> None:
        assert definition.unit == unit


class TestItsWords:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", ""), ("as it is", "as it is"), ("{value}", "7 ms"), ("{value}{value}", "7 ms7 ms"),
            ("{who} is {value}", "{who} is 7 ms"), ("{{value}}", "{7 ms}"), ("{value", "{value"), ("{}", "{}"),
            ("{ value }", "{ value }"), ("{value.__class__}", "{value.__class__}"), ("{model}", "{value}"),
        ],
    )  # fmt: skip
    def test_have_what_brackets_name(self, text: str, expected: str) -> None:
        assert filled(text, {"value": "7 ms", "model": "{value}"}) == expected

    @pytest.mark.parametrize(
        ("value", "unit", "expected"),
        [
            (None, "ms", "no data"), (0.0512, "ratio", "5.12 %"), (1.0, "ratio", "100 %"), (0.0, "ratio", "0 %"),
            (12.34, "%", "+12.3 %"), (-50.0, "%", "-50 %"), (0.0, "%", "0 %"),
            (999.0, "ms", "999 ms"), (1000.0, "ms", "1 s"), (12_340.0, "ms", "12.3 s"), (0.25, "ms", "0.25 ms"),
            (1023.0, "bytes", "1,023 B"), (1024.0, "bytes", "1 KiB"), (1.5 * 2**30, "bytes", "1.5 GiB"),
            (3.0 * 2**40, "bytes", "3 TiB"), (5.0 * 2**50, "bytes", "5,120 TiB"),
            (1234.5, "money", "1,234.50"), (0.0, "money", "0.00"), (0.0012345, "money", "0.001234"),
            (83.0, "celsius", "83 °C"), (83.46, "celsius", "83.5 °C"), (12345.0, "inferences", "12,345 inferences"),
            (1.5, "tokens/s", "1.5 tokens/s"), (99.96, "", "100"), (1e-7, "", "1e-07"),
            (0.9995, "ratio", "99.95 %"), (0.99994, "ratio", "99.994 %"), (0.994, "ratio", "99.4 %"),
            (1.0005, "ratio", "100.05 %"), (0.9899, "ratio", "99 %"), (0.999999999, "ratio", "99.9999999 %"),
            (0.5, "money/s", "0.5/s"), (10 * 2.0**30, "bytes/s", "10 GiB/s"), (1e300, "ms", "1e+297 s"),
        ],
    )  # fmt: skip
    def test_tell_quantities(self, value: float | None, unit: str, expected: str) -> None:
        assert saying.quantity(value, unit) == expected

    @pytest.mark.parametrize(
        ("value", "unit", "expected"),
        [
            (None, "ms", "no data"), (0.0512345, "ratio", "5.12345 %"), (0.9995, "ratio", "99.95 %"),
            (1.001, "", "1.001"), (1234.5678, "inferences", "1,234.5678 inferences"), (-12.345, "%", "-12.345 %"),
            (1234.5, "ms", "1.2345 s"), (83.46, "celsius", "83.46 °C"), (8.0, "money", "8.00"), (0, "money", "0.00"),
            (8.125, "money", "8.125"), (0.00012345, "money", "0.00012345"), (2.505, "money/s", "2.505/s"),
            (1.5 * 2**30, "bytes", "1.5 GiB"), (2.0**30 + 1024, "bytes", "1,048,577 KiB"),
            (1023.5, "bytes", "1,023.5 B"),
            (1e15 - 1, "bytes/s", "999,999,999,999,999 B/s"), (5e-324, "", "5e-324"), (1e308, "bytes", None),
        ],
    )  # fmt: skip
    def test_tell_every_digit_of_a_threshold(self, value: float | None, unit: str, expected: str | None) -> None:
        told = saying.limit(value, unit)
        assert told == expected if expected else told.endswith("e+295 TiB")

    @given(st.floats(0.98, 1.02), st.floats(0.98, 1.02))
    def test_tell_all_from_nearly_all(self, value: float, threshold: float) -> None:
        assert (saying.quantity(value, "ratio") == "100 %") == (value == 1)
        assert (saying.limit(value, "ratio") == saying.limit(threshold, "ratio")) == (value == threshold)

    @pytest.mark.parametrize(
        ("length", "expected"),
        [(0, "0 min"), (1, "1 min"), (59, "59 min"), (60, "1 h"), (90, "90 min"), (120, "2 h"), (DAY, "1 day"),
         (DAY + 60, "25 h"), (2 * DAY, "2 days"), (31 * DAY, "31 days")],
    )  # fmt: skip
    def test_tell_lengths(self, length: int, expected: str) -> None:
        assert saying.span(length) == expected

    @pytest.mark.parametrize(
        ("definition", "expected"),
        [
            (about("errors", "ratio", per="inferences", warning=0.05, critical=0.1), "> 5 % warning, > 10 % critical"),
            (about(operator="gte", warning=None, critical=7), "≥ 7 inferences critical"),
            (about("duration", "p95", operator="lt", warning=1500), "< 1.5 s warning"),
            (about("cost", "sum", change="week", operator="lte", warning=-50), "≤ -50 % warning"),
            (about(warning=None, no_data="alert", silent=15), "no data for 15 min"),
        ],
    )  # fmt: skip
    def test_tell_what_is_asked(self, definition: Definition, expected: str) -> None:
        assert saying.asked(definition) == expected


class TestItsReport:
    FIRES = Standing(state="critical", level="critical", because="breach", since=at(3))

    def test_of_a_group_of_inferences(self) -> None:
        definition = about(
            "duration", "p95", by=("model", "provider"), warning=500, critical=1000, labels={"team": "ml"}, window=10,
            developer="{model} of {provider}, {group}: {value} > {threshold}, {level}, {samples} in {window}",
            executive="{model} is slow",
        )  # fmt: skip
        report = saying.report_of(unsaved(definition), ("gpt", "azure"), self.FIRES, Reading(1234.5678, 4321))
        assert (report.severity, report.model_name, report.endpoint_id, report.alert_type) == (
            "critical",
            "gpt",
            "",
            "rule",
        )
        assert report.message == "gpt of azure, gpt, azure: 1.23 s > 1 s, critical, 4,321 in 10 min"
        assert report.labels == {"team": "ml", "provider": "azure", "rule": "calls"}
        assert report.metadata == {
            "value": 1234.57, "threshold": 1000, "unit": "ms", "window": "10 min", "samples": 4321,
            "measure": "duration",
            "ruleId": "00000000-0000-0000-0000-000000000007", "ruleName": "Calls", "plain": "gpt is slow",
            "since": at(3).isoformat().replace("+00:00", "Z"),
        }  # fmt: skip

    def test_never_says_that_a_value_is_beyond_itself(self) -> None:
        few = about("errors", "ratio", per="inferences", operator="lt", warning=None, critical=0.9995)
        report = saying.report_of(unsaved(few), (), self.FIRES, Reading(0.9991, 10))
        assert report.message == "99.91 % beyond 99.95 % over 1 min"

    def test_of_a_group_of_samples_keeps_labels_of_the_same_names(self) -> None:
        definition = about(HEAT, "max", by=("model", "gpu"), runbook="https://a.example")
        report = saying.report_of(unsaved(definition), ("H200", "0"), self.FIRES, Reading(91.0, 6))
        assert (report.model_name, report.labels) == ("", {"model": "H200", "gpu": "0", "rule": "calls"})
        assert report.metadata["runbook"] == "https://a.example"
        assert "plain" not in report.metadata

    def test_has_the_same_labels_whatever_the_value_is(self) -> None:
        rule = unsaved(about(by=("status",), warning=5, critical=9))
        calm = Standing(state="warning", level="warning", since=at(1))
        reports = [saying.report_of(rule, ("error",), standing, Reading(value, 1))
                   for standing, value in ((self.FIRES, 10.0), (calm, 6.0))]  # fmt: skip
        assert reports[0].labels == reports[1].labels
        assert [one.severity for one in reports] == ["critical", "warning"]
        assert [one.metadata["threshold"] for one in reports] == [9, 5]

    def test_of_silence_says_only_that(self) -> None:
        silent = Standing(state="no_data", because="no_data", since=at(1))
        for by, group, words in (((), (), "No data for Calls"), (("model",), ("gpt",), "No data for Calls of gpt")):
            rule = unsaved(about(by=by, no_data="alert", executive="{value} is too much"))
            report = saying.report_of(rule, group, silent, Reading(None))
            assert (report.severity, report.message) == ("warning", words)
            assert "plain" not in report.metadata
            assert report.metadata["value"] is None

    def test_is_never_longer_than_what_people_read(self) -> None:
        rule = unsaved(about(by=("model",), developer="{model}" * 60, executive="{model}" * 60))
        report = saying.report_of(rule, ("m" * 200,), self.FIRES, Reading(6.0, 6))
        assert len(report.message) == 1000
        assert len(report.metadata["plain"]) == 200
