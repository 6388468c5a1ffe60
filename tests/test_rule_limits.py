"""Thresholds of rules on charts: which are drawn and which would mislead, where they lie, and in whose words."""

import html as markup
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from alerts import notices, rule_limits, saying
from alerts.definitions import Definition
from alerts.rule_limits import Limited
from alerts.rules import Reading, Standing
from alerts.states import State
from cockpit.dashboard import charts, history, incidents, limits, panels, plots, ruled, windows, words
from cockpit.dashboard.charts import Column
from cockpit.dashboard.limits import CHARTS, Drawing, Limits, Rule
from cockpit.dashboard.ruled import Ruled
from cockpit.dashboard.sight import Sight
from monitoring import pubsub
from organizations.models import Organization, User
from organizations.scope import Scope
from tests.channels import EVERYONE, OTHER, OWN
from tests.ruling import about, calls, forget, make, ruin, switch, unsaved
from tests.test_alert_panels import looked as alerted
from tests.test_alert_panels import state as alert_state
from tests.test_charts import plain, steps_of
from tests.test_panels import NOW, series, sight
from tests.test_platform_panels import a_card, a_host
from tests.test_platform_panels import looked as platform_sight

S = words.SPACE
HOSTILE = '"><img src=x onerror="alert(1)"><script>alert("x")</script>'
PANELS = "/api/monitoring/panels?organization="
HOUR = Drawing(step=3600)
CARD = ("host", "gpu")
HEAT, SLOWDOWN = "cockpit_gpu_temperature_celsius", "cockpit_gpu_slowdown_celsius"
USED, TOTAL = "cockpit_memory_used_bytes", "cockpit_memory_total_bytes"
MakePerson = Callable[..., User]


@pytest.fixture
def ground(database: str) -> Iterator[None]:
    forget()
    yield
    forget()


def ratio(**changes: Any) -> Definition:
    return about("errors", "ratio", **{"per": "inferences", "warning": 0.05, "critical": 0.2} | changes)


def limited(one: Definition, name: str = "Too many fail", state: str = "ok") -> Limited:
    return Limited(name, one, state)


def found(chart: str, *rules: Definition | Limited, drawing: Drawing = HOUR, **how: bool) -> tuple[Rule, ...]:
    given = [one if isinstance(one, Limited) else limited(one, f"rule {at}") for at, one in enumerate(rules)]
    return limits.of(chart, given, drawing, **how)


def values(chart: str, one: Definition, drawing: Drawing = HOUR) -> list[float]:
    return [value for rule in found(chart, one, drawing=drawing) for _, value in rule.thresholds]


def drawn(*rules: Definition | Limited, most: float = 0.1, note: str = "", **how: bool) -> charts.Chart:
    """A chart of error rates whose highest is `most`."""
    asked = Limits(rules=found("error-rate", *rules, **how), note=note)
    column = Column("Error rate", "bad", [0.0, most])
    return charts.line_chart("Rate", steps_of(2), [column], plain, description="The share.", limits=asked)


class TestWhatIsComparable:
    @pytest.mark.parametrize(
        ("chart", "one"),
        [
            ("error-rate", ratio()),
            ("error-rate", ratio(window=60)),
            ("error-rate", ratio(by=("model",))),
            ("latency", about("duration", "p50")),
            ("latency", about("duration", "p95")),
            ("latency", about("duration", "p99", by=("model", "provider"))),
            ("request-rate", about("inferences", "rate")),
            ("request-rate", about("errors", "rate")),
            ("request-rate", about("inferences", "count", window=60)),
            ("tokens", about("total_tokens", "rate")),
            ("tokens", about("total_tokens", "sum", window=60)),
            ("trend-spend", about("cost", "sum", window=60)),
            ("trend-spend", about("cost", "rate")),
            ("trend-requests", about("inferences", "count", window=60)),
            ("processors", about("cockpit_cpu_utilization_ratio", "avg", by=("host",))),
            ("memory", about(USED, "ratio", per=TOTAL, by=("host",))),
            ("gpu-temperature", about(HEAT, "avg", by=CARD)),
            ("gpu-utilisation", about("cockpit_gpu_utilization_ratio", "avg", by=("gpu", "host"))),
            ("api-requests", about("cockpit_http_requests_total", "rate")),
            ("api-requests", about("cockpit_http_requests_total", "rate", filters={"status": ("5*",)})),
            ("refusals", about("cockpit_rate_limited_total", "sum", window=60)),
        ],
        ids=lambda one: one if isinstance(one, str) else f"{one.measure} {one.aggregation} {one.window} {one.by}",
    )
    def test_is_drawn(self, chart: str, one: Definition) -> None:
        assert len(found(chart, one)) == 1

    @pytest.mark.parametrize(
        ("chart", "one"),
        [
            ("error-rate", ratio(filters={"model": ("gpt",)})),
            ("error-rate", ratio(change="week")),
            ("error-rate", about("errors", "ratio", per="retries")),
            ("error-rate", about("errors", "rate")),
            ("latency", about("duration", "p90")),
            ("latency", about("duration", "avg")),
            ("latency", about("ttft", "avg")),
            ("request-rate", about("inferences", "count", window=30)),
            ("request-rate", about("inferences", "rate", by=("model",))),
            ("trend-spend", about("cost", "sum", window=61)),
            ("trend-spend", about("revenue", "sum", window=60)),
            ("processors", about("cockpit_cpu_utilization_ratio", "avg")),
            ("processors", about("cockpit_cpu_utilization_ratio", "max", by=("host",))),
            ("gpu-temperature", about(HEAT, "avg", by=("host",))),
            ("gpu-temperature", about(HEAT, "ratio", per=SLOWDOWN, by=CARD)),
            ("api-requests", about("cockpit_http_requests_total", "rate", filters={"route": ("panels",)})),
            ("refusals", about("cockpit_auth_failures_total", "sum", window=60, by=("reason",))),
        ],
        ids=lambda one: one if isinstance(one, str) else f"{one.measure} {one.aggregation} {one.window} {one.by}",
    )
    def test_is_not_drawn_where_a_line_would_mislead(self, chart: str, one: Definition) -> None:
        assert found(chart, one) == ()

    def test_in_plain_words_a_rate_of_less_than_a_step_is_no_limit_of_one(self) -> None:
        hours = replace(HOUR, seconds=3600)
        for window, number in ((1, 0), (59, 0), (60, 1), (1440, 1)):
            one = about("cost", "rate", window=window)
            assert len(found("trend-spend", one, drawing=hours, plain=True)) == number
            assert len(found("trend-spend", one, drawing=hours)) == 1
        assert len(found("trend-spend", about("cost", "sum", window=60), drawing=hours, plain=True)) == 1

    def test_a_lone_machine_is_all_of_them(self) -> None:
        alone = replace(HOUR, lone=True)
        for chart, one in (
            ("processors", about("cockpit_cpu_utilization_ratio", "avg")),
            ("gpu-temperature", about(HEAT, "avg", by=("host",))),
        ):
            assert len(found(chart, one, drawing=alone)) == 1
        other = about("cockpit_cpu_utilization_ratio", "avg", by=("region",))
        assert found("processors", other, drawing=alone) == ()

    def test_every_measure_can_be_asked_for(self) -> None:
        assert limits.measures(CHARTS) == {
            *limits.measures(limits.OWN), *limits.measures(limits.EXECUTIVE), *limits.measures(limits.PLATFORM)
        }  # fmt: skip
        assert "cost" not in limits.measures(limits.OWN)


class TestTheirValues:
    def test_a_rate_is_in_the_charts_unit(self) -> None:
        by_minute = Drawing(step=900, seconds=60)
        assert values("request-rate", about("inferences", "rate", warning=0.5), by_minute) == [30.0]

    def test_a_count_of_a_step_is_a_rate(self) -> None:
        by_minute = Drawing(step=900, seconds=60)
        assert values("request-rate", about("inferences", "count", window=15, warning=300), by_minute) == [20.0]

    def test_a_rate_of_money_is_what_a_step_costs(self) -> None:
        assert values("trend-spend", about("cost", "rate", warning=0.5), Drawing(step=1800, seconds=1800)) == [900.0]

    def test_a_share_of_where_cards_slow_down_is_a_temperature(self) -> None:
        one = about(HEAT, "ratio", per=SLOWDOWN, by=CARD, operator="gte", warning=0.5, critical=1.0)
        assert values("gpu-temperature", one, replace(HOUR, whole=90.0)) == [45.0, 90.0]

    def test_what_no_chart_reaches_is_left_out(self) -> None:
        assert found("error-rate", ratio(warning=-1.0, critical=None)) == ()
        assert [value for _, value in found("error-rate", ratio(warning=-1.0))[0].thresholds] == [0.2]


class TestWhichOfMany:
    def test_the_strictest_two(self) -> None:
        rules = [ratio(warning=one, critical=None) for one in (0.5, 0.02, 0.3, 0.1)]
        assert [rule.name for rule in found("error-rate", *rules)] == ["rule 1", "rule 3"]

    def test_of_those_that_ask_for_more_it_is_the_highest(self) -> None:
        few = [about("inferences", "rate", operator="lt", warning=one) for one in (1.0, 3.0, 2.0)]
        assert [rule.name for rule in found("request-rate", *few)] == ["rule 1", "rule 2"]

    def test_one_of_each_direction_stands(self) -> None:
        rules = [about("inferences", "rate", operator=way, warning=one)
                 for way, one in (("lt", 1.0), ("lt", 2.0), ("gt", 9.0), ("gt", 8.0))]  # fmt: skip
        assert [rule.name for rule in found("request-rate", *rules)] == ["rule 3", "rule 1"]

    def test_all_of_it_comes_before_its_parts(self) -> None:
        rules = found("error-rate", ratio(by=("model",), warning=0.01), ratio(warning=0.3))
        assert [rule.name for rule in rules] == ["rule 1", "rule 0 (each model)"]


class TestWhereTheyLie:
    def test_a_line_stands_at_its_value(self) -> None:
        chart = drawn(ratio())
        top = chart.marks[-1]
        assert top == 0.2
        assert [one.y for one in chart.limits[0].thresholds] == ["75.00%", "0.00%"]

    def test_what_is_far_above_the_data_is_told_in_words_alone(self) -> None:
        chart = drawn(ratio(), most=0.01)
        assert chart.marks[-1] == 0.01
        assert [one.y for one in chart.limits[0].thresholds] == ["", ""]
        assert [one.words for one in chart.limits[0].thresholds] == ["> 0.05", "> 0.2"]

    def test_above_nothing_the_lowest_stands(self) -> None:
        chart = drawn(ratio(), most=0.0)
        assert chart.marks[-1] < 0.1
        assert [bool(one.y) for one in chart.limits[0].thresholds] == [True, False]

    def test_without_rules_nothing_changes(self) -> None:
        assert drawn(most=0.0).marks == (0.0, 1.0)
        assert drawn().limits == ()
        assert drawn().limits_said == ""

    @given(
        st.floats(min_value=0, max_value=1e9),
        st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=2),
    )
    def test_data_keep_a_third_of_the_height(self, most: float, asked: list[float]) -> None:
        rules = [ratio(warning=value, critical=None) for value in asked]
        chart = drawn(*rules, most=most)
        if most > 1e-9:
            assert most / chart.marks[-1] >= 1 / limits.FAR / 2  # an axis ends on a round value
        for one in (one for rule in chart.limits for one in rule.thresholds if one.y):
            assert 0 <= float(one.y.removesuffix("%")) <= 100

    def test_labels_keep_clear_of_each_other_and_of_other_lines(self) -> None:
        def labelled(*asked: float) -> list[tuple[bool, bool]]:
            rules = [ratio(warning=one, critical=None) for one in asked]
            return [(bool(one.label), one.under) for rule in drawn(*rules).limits for one in rule.thresholds]

        assert labelled(0.05, 0.09) == [(True, False), (True, True)]  # the second has no room above it
        assert labelled(0.05, 0.055) == [(True, True), (True, False)]
        assert labelled(0.002, 0.008) == [(False, False), (True, False)]
        assert labelled(0.05, 0.05) == [(True, False), (True, True)]

    def test_the_browser_is_told_of_those_that_have_a_line(self) -> None:
        plot = json.loads(plots.text(drawn(ratio(warning=0.05, critical=0.9))))
        assert plot["limits"] == [0.05]
        assert json.loads(plots.text(drawn()))["limits"] == []

    def test_a_logarithmic_axis_reaches_them(self) -> None:
        asked = Limits(rules=found("latency", about("duration", "p95", warning=220)))
        column = Column("p95", "s2", [12.0, 90.0])
        chart = charts.line_chart("Latency", steps_of(2), [column], plain, description="", log=True, limits=asked)
        assert plots.log_ticks(chart)[-1][0] == 500


class TestTheirWords:
    def test_developers_read_the_name_and_what_is_asked(self) -> None:
        chart = drawn(limited(ratio(), state="warning"), note="held against live data alone")
        assert chart.limits_said == (
            "Too many fail: > 0.05 warning, > 0.2 critical; warning now (held against live data alone)."
        )
        assert [one.label for one in chart.limits[0].thresholds] == ["Too many fail: 0.05", "Too many fail: 0.2"]

    def test_executives_read_what_it_means(self) -> None:
        rule = limited(ratio(alert_type="high_error_rate", operator="gte"), "p_err_5xx", "critical")
        chart = drawn(rule, plain=True)
        assert chart.limits_said == (
            "More requests fail than should: above 0.05 to watch, above 0.2 serious; serious now."
        )

    @pytest.mark.parametrize(
        ("thresholds", "words"),
        [
            ({"critical": None}, "Something to watch: above 0.05 to watch."),
            ({"warning": None}, "A serious problem: above 0.2 serious."),
            ({}, "A serious problem: above 0.05 to watch, above 0.2 serious."),
        ],
    )
    def test_what_nobody_knows_the_kind_of_is_as_bad_as_it_may_get(self, thresholds: Any, words: str) -> None:
        assert drawn(limited(ratio(alert_type="x_1", **thresholds)), plain=True).limits_said == words

    def test_a_line_among_several_is_named(self) -> None:
        [rule] = found("latency", about("duration", "p95", operator="lte"))
        told = Limits(rules=(rule,), unit=" ms").told(10.0, plain)
        assert told[0].thresholds[0].words == "p95 ≤ 5 ms"
        assert told[0].thresholds[0].label == "rule 0: 5"

    @pytest.mark.parametrize(
        ("state", "now"),
        [("critical", "critical now"), ("no_data", "no data now"), ("pending", ""), ("ok", ""), ("", "")],
    )
    def test_only_what_fires_has_a_state(self, state: str, now: str) -> None:
        [told] = drawn(limited(ratio(), state=state)).limits
        assert (told.state, told.now) == (state if now else "", now)

    @pytest.mark.parametrize(
        ("state", "passed"),
        [("critical", [True, True]), ("warning", [True, False]), ("no_data", [False, False]), ("ok", [False, False])],
    )
    def test_what_fires_has_passed_its_lines(self, state: str, passed: list[bool]) -> None:
        [told] = drawn(limited(ratio(), state=state)).limits
        assert [one.passed for one in told.thresholds] == passed

    def test_a_long_name_is_short_in_the_chart_and_whole_beneath_it(self) -> None:
        [told] = drawn(limited(ratio(critical=None), "x" * 100)).limits
        assert told.thresholds[0].label == f"{'x' * 25}…: 0.05"
        assert told.name == "x" * 100
        [other] = drawn(limited(ratio(critical=None), "Too many of our calls fail today")).limits
        assert other.thresholds[0].label == "Too many of our calls…: 0.05"


def looked(*rules: Limited, platform: tuple[Limited, ...] = (), **changed: object) -> Sight:
    return replace(sight(**changed), ruled=Ruled(own=rules, platform=platform))  # type: ignore[arg-type]


def html(audience: str, seen: Sight, *only: str) -> str:
    return render_to_string("dashboard/panels.html", {"shown": panels.build(audience, seen, only), "provenance": ""})


def text(page: str) -> str:
    return re.sub(r"\s+", " ", markup.unescape(re.sub(r"<[^>]+>", " ", page)).replace(S, " "))


class TestPanels:
    def test_a_rule_stands_in_the_chart_beneath_it_and_in_its_table(self) -> None:
        page = html("developer", looked(limited(ratio(), state="critical")), "errors")
        assert len(re.findall(r'<svg class="limit limit--warning[^"]*limit--passed" y="[\d.]+%"><line', page)) == 1
        assert page.count("limit--critical") == 0, "20 % is far above 2.5 %"
        assert "Too many fail > 5 % warning > 20 % critical, beyond the scale critical now" in text(page)
        said = "Too many fail: > 5 % warning, > 20 % critical; critical now."
        assert f"<caption>{said}</caption>" in page.replace(S, " ").replace("&gt;", ">")
        description = re.search(r"<desc[^>]*>(.*?)</desc>", page)
        assert description is not None
        assert said in markup.unescape(description[1]).replace(S, " ")

    def test_a_page_without_rules_says_nothing_of_them(self) -> None:
        page = html("developer", looked())
        assert "limits" not in page.replace('class="chart-limits"', "").replace("&quot;limits&quot;", "")

    def test_executives_get_theirs_in_plain_words(self) -> None:
        spent = about("cost", "sum", window=60, warning=0.75, alert_type="cost_spike")
        page = html("executive", looked(limited(spent, "cost_sum_hi")), "trend")
        assert "It costs more than planned above $0.75 to watch" in text(page)
        assert "cost_sum_hi" not in page

    def test_what_is_not_live_alone_is_told(self) -> None:
        mixed = looked(limited(ratio()), sources={"live": 3, "replay": 0, "demo": 9})
        assert "held against live data alone" in text(html("developer", mixed, "errors"))
        assert "held against" not in text(html("developer", looked(limited(ratio())), "errors"))

    def test_the_latency_of_a_log_scale_is_named_by_its_percentile(self) -> None:
        slow = limited(about("duration", "p95", warning=150, critical=300), "Slow")
        assert "Slow p95 > 150 ms warning p95 > 300 ms critical" in text(html("developer", looked(slow), "latency"))

    def test_names_are_text_and_never_markup(self) -> None:
        page = html("developer", looked(limited(ratio(), HOSTILE)), "errors")
        assert "<script" not in page
        assert "<img" not in page
        assert page.count(markup.escape(HOSTILE)) == 3  # beneath the chart, in its table and in its description

    def test_cards_are_held_against_where_they_slow_down(self) -> None:
        hot = limited(about(HEAT, "ratio", per=SLOWDOWN, by=CARD, warning=0.5, critical=1.0), "Hot")
        seen = replace(platform_sight(a_card("0", limit=90), a_card("1", limit=90)), ruled=Ruled(platform=(hot,)))
        assert "Hot > 45 °C warning > 90 °C critical" in text(html("developer", seen, "gpus"))
        different = platform_sight(a_card("0", limit=90), a_card("1", limit=100))
        assert "Hot" not in text(html("developer", replace(different, ruled=Ruled(platform=(hot,))), "gpus"))

    def test_the_platforms_rules_stand_on_its_charts_alone(self) -> None:
        rules, seen = (limited(about(USED, "ratio", per=TOTAL, by=("host",), warning=0.9), "Packed"),), a_host("one")
        theirs, own = Ruled(platform=rules), Ruled(own=rules)
        assert "Packed > 90 % warning" in text(
            html("developer", replace(platform_sight(seen), ruled=theirs), "machines")
        )
        assert "Packed" not in text(html("developer", replace(platform_sight(seen), ruled=own), "machines"))

    def test_few_calls_are_a_line_from_below(self) -> None:
        few = limited(about("inferences", "rate", operator="lt", warning=20 / 3600), "Few")
        seen = looked(few, series=series())
        assert "Few requests < 20 per hour warning" in text(html("developer", seen, "request_rate"))


def alert(model: str = "gpt", **changes: Any) -> State:
    """As a rule raises it."""
    about_it = {
        "window": 30, "by": ("model",), "alert_type": "high_error_rate", "developer": "{value} of {model} fail.",
        "executive": "{value} of the requests to {model} fail.",
    }  # fmt: skip
    standing = Standing(state="warning", level="warning", because="breach", since=NOW)
    report = saying.report_of(unsaved(ratio(**about_it | changes)), (model,), standing, Reading(0.07, 400))
    return alert_state(severity="warning", metadata=report.metadata, labels=report.labels, message=report.message,
                       model_name=report.model_name)  # fmt: skip


class TestTheirAlerts:
    def test_their_value_is_told_in_its_unit(self) -> None:
        assert incidents.measured(alert().metadata) == {
            "name": "", "value": f"7.0{S}%", "threshold": f"5.0{S}%", "period": "30 min",
        }  # fmt: skip
        assert incidents.measured({"value": 3 * 2.0**30, "threshold": 2.0**30, "unit": "bytes/s"}) == {
            "name": "", "value": f"3{S}GiB/s", "threshold": f"1{S}GiB/s", "period": "",
        }  # fmt: skip
        money = {"value": 12.5, "threshold": 10, "unit": "money", "ruleId": "7"}
        told = incidents.measured(money)
        assert told is not None
        assert (told["value"], told["threshold"]) == ("12.5", "10")

    def test_developers_are_spared_what_is_for_programs(self) -> None:
        page = text(html("developer", alerted(alert()), "alerts"))
        assert '"ruleName": "Calls"' in page
        for name in ("ruleId", "plain", "since", "measure"):
            assert f'"{name}"' not in page
            assert name not in dict(notices._exact_facts(alert(), 0))
        facts = dict(notices._exact_facts(alert(), 0))
        assert (facts["value"], facts["threshold"], facts["unit"], facts["window"]) == (
            "0.07", "0.05", "ratio", "30 min"
        )  # fmt: skip

    def test_what_others_call_so_is_still_told(self) -> None:
        other = alert_state(metadata={"since": "noon", "measure": "p95", "plain": "x"})
        assert {"since", "measure", "plain"} <= dict(notices._exact_facts(other, 0)).keys()
        assert '"measure": "p95"' in text(html("developer", alerted(other), "alerts"))

    def test_executives_read_its_own_words_once(self) -> None:
        said = "7 % of the requests to gpt fail"
        assert notices._plain_title(alert()) == said
        [episode] = history.history(alerted(episodes=(alert(),)), "executive").episodes
        assert episode.words.startswith(f"{said}, since ")
        page = text(html("executive", alerted(alert()), "alerts_executive"))
        assert said in page
        assert "ruleId" not in page

    def test_a_model_that_its_words_leave_out_is_named(self) -> None:
        one = alert(executive="Many requests fail.")
        assert notices._plain_title(one) == "Many requests fail with gpt"
        [episode] = history.history(alerted(episodes=(one,)), "executive").episodes
        assert episode.words.startswith("Many requests fail with gpt, since ")


@pytest.mark.usefixtures("ground")
class TestReading:
    def names(self, organization: str = OWN, *measures: str) -> list[tuple[str, str]]:
        found = rule_limits.read(Scope.of(organization), organization, measures or ("errors",))
        return [(one.name, one.state) for one in found]

    def test_those_that_are_on_and_can_be_judged(self) -> None:
        make(ratio(), name="on")
        switch(make(ratio(), name="paused"), "paused", minute=2)
        ruin(make(ratio(), name="ruined"), '{"measure": "errors", "window": "x"}')
        broken = make(ratio(), name="broken")
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("UPDATE alerts_rule SET error = 'It cannot be read.' WHERE id = %s", [broken])
        make(about("cost", "sum"), name="of money")
        assert self.names() == [("on", "")]
        assert self.names(OWN, "errors", "cost") == [("of money", ""), ("on", "")]

    def test_the_worst_of_its_groups_is_how_it_stands(self) -> None:
        rule = make(ratio(by=("model",)), name="grouped")
        self.stands(rule, "a", "ok")
        assert self.names() == [("grouped", "ok")]
        for group, state, worst in (
            ("b", "pending", "pending"),
            ("c", "no_data", "no_data"),
            ("d", "warning", "warning"),
            ("e", "critical", "critical"),
            ("f", "warning", "critical"),
        ):
            self.stands(rule, group, state)
            assert self.names() == [("grouped", worst)]

    def stands(self, rule: Any, group: str, state: str) -> None:
        level = state if state in ("warning", "critical") else ""
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO alerts_standing (organization_id, rule_id, group_values, state, because, since, level) "
                "VALUES (%s, %s, %s, %s, 'breach', now(), %s)",
                [OWN, rule, [group], state, level],
            )

    def test_anothers_are_never_read(self) -> None:
        make(ratio(), name="own")
        make(ratio(), name="theirs", organization=OTHER)
        assert self.names(OWN) == [("own", "")]
        assert rule_limits.read(Scope.of(OTHER), OWN, ["errors"]) == []

    def test_pages_read_what_their_charts_show(self) -> None:
        self.make_of_all()
        assert self.read() == (["errors"], ["cpu"])
        assert self.read(platform=False) == (["errors"], [])
        assert self.read(OTHER) == (["their money"], [])

    @pytest.mark.parametrize(("source", "there"), [("live", True), ("demo", False), ("replay", False)])
    def test_charts_without_live_data_have_none(self, source: str, there: bool) -> None:
        self.make_of_all()
        assert self.read(query=f"source={source}") == ((["errors"], ["cpu"]) if there else ([], []))

    def make_of_all(self) -> None:
        cpu = about("cockpit_cpu_utilization_ratio", "avg", by=("host",))
        make(ratio(), name="errors")
        make(about("cost", "sum"), name="money")
        make(cpu, name="own cpu")
        make(about("cost", "sum"), name="their money", organization=OTHER)
        make(cpu, name="cpu", organization="shared")
        make(ratio(), name="shared errors", organization="shared")

    def read(
        self, organization: str = OWN, query: str = "window=24h", *, platform: bool = True
    ) -> tuple[list[str], list[str]]:
        view = windows.parse(QueryDict(query), datetime.now(UTC))
        there = ruled.read(Organization.objects.get(pk=organization), view, platform=platform)
        return [one.name for one in there.own], [one.name for one in there.platform]

    def test_two_statements_tell_all_of_it(self) -> None:
        self.make_of_all()
        with CaptureQueriesContext(connection) as asked:
            self.read()
        assert len([one for one in asked if "alerts_rule" in one["sql"]]) == 2


@pytest.mark.usefixtures("ground")
class TestPages:
    def test_a_rule_is_on_the_page_of_its_own_organization(self, make_person: MakePerson) -> None:
        calls(1, 5)
        make(ratio(), name="Too many fail here")
        make(ratio(), name="Too many fail there", organization=OTHER)
        client = Client()
        client.force_login(make_person("ada", **{OWN: "analyst"}))
        for address in (f"/dashboards/{OWN}/?window=7d", f"{PANELS}{OWN}&window=7d"):
            page = client.get(address).content.decode()
            assert "Too many fail here" in page
            assert "Too many fail there" not in page

    def test_pages_hear_of_every_change(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[set[str]] = []
        monkeypatch.setattr(pubsub, "announce", lambda organizations: told.append(set(organizations)))
        rule = make(ratio(), name="calls")
        assert told == [{OWN}]
        switch(rule, "paused", minute=2)
        assert {OWN} in told[1:]
