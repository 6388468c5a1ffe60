"""What a rule's value is: against sums over the list of inferences, by hand for samples, and through the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import gauging, judging, measurements, rehearsal
from alerts.definitions import DAY, GROUPED, MEASURES, WEEK, Definition
from alerts.measurements import MOST_GROUPS, NOTHING, Group, Totals, Window
from alerts.rolling import Rolling
from alerts.rules import MINUTE, Hours, Level, NoData, Reading, Standing, State, fine
from monitoring import histogram
from monitoring.store.base import Inference, Summary
from monitoring.store.samples import Span
from tests.channels import EVERYONE, OTHER, OWN
from tests.memory_store import inference, summed
from tests.ruling import NOON, about, at, grown, one_call, sample, store, unsaved, within

HEAT, USED, SIZE = "cockpit_gpu_temperature_celsius", "cockpit_memory_used_bytes", "cockpit_memory_total_bytes"
SLOW, REQUESTS, ERRORS = (
    "cockpit_http_request_duration_seconds", "cockpit_http_requests_total", "cockpit_http_errors_total",
)  # fmt: skip
ALONE: Group = ()
FIRING = Standing(state="warning", level="warning", because="breach", since=at(0))
COMBINATIONS = [(measure, aggregation) for measure, one in MEASURES.items() for aggregation in one.aggregations]
DIVISORS = ("inferences", "errors", "unpriced", "cost", "total_tokens")

NAMES = st.sampled_from(["gpt", "gpt-mini", "llama", ""])
counts = st.none() | st.integers(0, 5000)
money = st.none() | st.decimals(0, 50, places=6)
CALLS = st.lists(
    st.builds(
        inference, st.just(at(0)), model=NAMES, provider=NAMES, endpoint=st.sampled_from(["eu", "us"]),
        status=st.sampled_from(["success", "error", "timeout", "cancelled", "rate_limited"]),
        attempt=st.integers(1, 3), duration_us=st.integers(0, 3 * 10**9), ttft_us=counts, input_tokens=counts,
        output_tokens=counts, cache_read_tokens=counts, cache_write_tokens=counts, reasoning_tokens=counts, cost=money,
        revenue=money,
    ),
    max_size=25,
)  # fmt: skip


def by_hand(measure: str, aggregation: str, per: str, calls: Sequence[Inference], window: int) -> float | None:
    """Straight from what the words mean."""
    if measure in ("duration", "ttft"):
        lasted = known_of(measure, calls)
        return _lasting(aggregation, lasted) if lasted else None
    found = _added(measure, calls)
    if aggregation == "ratio":
        divisor = _added(per, calls)
        return float(found) / float(divisor) if found is not None and divisor else None
    if found is None:
        return None
    if aggregation == "avg":
        known = known_of(measure, calls)
        return float(found) / len(known) if known else None
    return float(found) / (window * 60 if aggregation == "rate" else 1)


def known_of(measure: str, calls: Sequence[Inference]) -> list[Any]:
    """What each is known to have been, of a measure of which that can be unknown; else one for each."""
    name = {"duration": "duration_us", "ttft": "ttft_us", "cost": "cost", "revenue": "revenue"}.get(measure, "status")
    return [getattr(one, name) for one in calls if getattr(one, name) is not None]


def samples(measure: str, aggregation: str, calls: Sequence[Inference]) -> int:
    """Of what a value is made: a sum of all, a mean of those that are known."""
    return len(calls) if aggregation in ("sum", "rate", "ratio") else len(known_of(measure, calls))


def _lasting(aggregation: str, durations: Sequence[int]) -> float | None:
    if aggregation == "avg":
        return sum(durations) / len(durations) / 1000
    if aggregation in ("min", "max"):
        bounds = [0, *histogram.BOUNDS_US]
        if aggregation == "min":
            return max(bound for bound in bounds if bound < min(durations) or not bound) / 1000
        return min((bound for bound in bounds[1:] if bound >= max(durations)), default=bounds[-1]) / 1000
    placed = [histogram.bucket_of(one) for one in durations]
    counted = [placed.count(bucket) for bucket in range(histogram.BUCKETS)]
    return histogram.quantile_ms(counted, int(aggregation.removeprefix("p")) / 100)


def _added(measure: str, calls: Sequence[Inference]) -> Any:
    match measure:
        case "inferences":
            return len(calls)
        case "errors":
            return sum(one.status in ("error", "timeout", "rate_limited") for one in calls)
        case "retries":
            return sum(one.attempt > 1 for one in calls)
        case "unpriced":
            return sum(one.cost is None for one in calls)
        case "cost" | "revenue":
            known = [getattr(one, measure) for one in calls if getattr(one, measure) is not None]
            return sum(known) if known else None
        case "total_tokens":
            return _added("input_tokens", calls) + _added("output_tokens", calls)
        case _:
            return sum(getattr(one, measure) or 0 for one in calls)


def grouped(calls: Sequence[Inference], names: Sequence[str]) -> dict[Group, list[Inference]]:
    found: dict[Group, list[Inference]] = {}
    for one in calls:
        found.setdefault(tuple(getattr(one, name) for name in names), []).append(one)
    return found


def totals(calls: Sequence[Inference], names: Sequence[str]) -> dict[Group, Summary]:
    return {group: summed(rows) for group, rows in grouped(calls, names).items()}


def read(one: Definition, *windows: Totals) -> dict[Group, Reading]:
    """The readings of these totals, one for each of the rule's windows."""
    rule = unsaved(one)
    return rule.read([measurements.folded(window, rule.filters, rule.by, found)
                      for window, found in zip(rule.windows, windows, strict=True)])  # fmt: skip


def wanted(measure: str, aggregation: Any, **changes: Any) -> Iterator[Definition]:
    for per in DIVISORS if aggregation == "ratio" else ("",):
        yield about(measure, aggregation, per=per, **changes)


class TestInferences:
    @settings(max_examples=30, deadline=None)
    @given(CALLS, st.lists(st.sampled_from(GROUPED[:4]), unique=True, max_size=2).map(tuple), st.integers(1, 90))
    def test_are_what_the_list_says(self, calls: list[Inference], by: tuple[str, ...], window: int) -> None:
        for measure, aggregation in COMBINATIONS:
            for one in wanted(measure, aggregation, by=by, window=window):
                expected = {
                    group: Reading(
                        by_hand(measure, aggregation, one.per, rows, window), samples(measure, aggregation, rows)
                    )
                    for group, rows in grouped(calls, by).items()
                }
                found = read(one, totals(calls, sorted(by)))
                assert found == expected

    @settings(max_examples=30, deadline=None)
    @given(CALLS, NAMES, st.sampled_from(["eu", "us", "asia"]))
    def test_are_the_same_at_a_glance(self, calls: list[Inference], model: str, endpoint: str) -> None:
        for measure, aggregation in COMBINATIONS:
            for one in wanted(measure, aggregation, filters={"model": (model,), "endpoint": (endpoint,)}):
                found = totals(calls, ("endpoint", "model"))
                glance = measurements.glance(one)
                assert glance is not None
                assert glance(found) == fine(one.condition, read(one, found).get(ALONE, NOTHING))

    @pytest.mark.parametrize(
        "one",
        [about(by=("model",)), about(change="week"), about(filters={"model": ("a", "b")}), about(HEAT, "max"),
         about(filters={"model": ("a*",)})],
    )  # fmt: skip
    def test_of_what_takes_more_there_is_no_glance(self, one: Definition) -> None:
        assert measurements.glance(one) is None

    def test_nothing_is_nothing(self) -> None:
        assert read(about("duration", "p95"), {}) == {}

    def test_of_none_that_is_priced_the_cost_is_not_known(self) -> None:
        calls = [one_call(1), one_call(1)]
        for aggregation, of in (("sum", 2), ("rate", 2), ("avg", 0)):
            assert read(about("cost", aggregation), totals(calls, ())) == {ALONE: Reading(None, of)}

    def test_the_mean_cost_is_that_of_those_that_are_priced(self) -> None:
        calls = [one_call(1, cost=Decimal(3)), one_call(1, cost=Decimal(1)), one_call(1)]
        assert read(about("cost", "avg"), totals(calls, ())) == {ALONE: Reading(2.0, 2)}


class TestFilters:
    CALLS = [one_call(1, model=model, provider=provider, status=status) for model, provider, status in product(
        ("gpt-4", "gpt-4-mini", "llama*"), ("azure", "openai"), ("success", "error"))]  # fmt: skip

    @pytest.mark.parametrize(
        ("filters", "kept"),
        [
            ({}, 12), ({"model": ("gpt-4",)}, 4), ({"model": ("gpt-4*",)}, 8), ({"model": ("*mini",)}, 4),
            ({"model": ("*",)}, 12), ({"model": ("gpt-4", "llama*")}, 8), ({"model": ("*a*",)}, 4),
            ({"model": ("g*4*i",)}, 4), ({"model": ("gpt",)}, 0), ({"model": ("GPT-4",)}, 0), ({"model": (".*",)}, 0),
            ({"model": ("gpt-4*",), "provider": ("azure",)}, 4),
            ({"model": ("gpt-4",), "provider": ("azure",), "status": ("error",)}, 1),
            ({"status": ("e*", "s*"), "provider": ("*i",)}, 6), ({"model": ("",)}, 0),
        ],
    )  # fmt: skip
    def test_keep_what_fits_one_of_the_patterns_of_each(self, filters: dict[str, Any], kept: int) -> None:
        found = read(about(filters=filters), totals(self.CALLS, sorted(filters)))
        assert found.get(ALONE, NOTHING).samples == kept

    def test_and_groups_go_together(self) -> None:
        one = about(filters={"status": ("error",), "model": ("gpt*",)}, by=("provider", "model"))
        assert measurements.windows(one) == (Window("", ("model", "provider", "status"), 1),)
        found = read(one, totals(self.CALLS, ("model", "provider", "status")))
        assert found == {group: Reading(1.0, 1) for group in product(("azure", "openai"), ("gpt-4", "gpt-4-mini"))}

    def test_hold_for_labels_too(self) -> None:
        one = about(HEAT, "max", filters={"host": ("gpu-*",)}, by=("gpu",))
        held: Totals = {("0", "gpu-a"): span(70), ("0", "gpu-b"): span(80), ("1", "cpu-a"): span(90)}
        assert read(one, held) == {("0",): Reading(80.0, 2)}


class TestGroups:
    def found(self, number: int) -> dict[Group, Reading]:
        return {(f"m{place:03d}",): Reading(1.0, place) for place in range(number)}

    def test_beyond_the_most_are_counted_and_not_judged_the_largest_first(self) -> None:
        rule, found = unsaved(about(by=("model",))), self.found(MOST_GROUPS + 30)
        judged = [one.group[0] for one in judging.judge(rule, {}, found, at(1))]
        assert sorted(judged) == [f"m{place:03d}" for place in range(30, MOST_GROUPS + 30)]
        assert judging.overflow(rule, {}, found) == 30

    def test_that_are_known_keep_their_place(self) -> None:
        rule, found = unsaved(about(by=("model",))), self.found(MOST_GROUPS + 30)
        known: dict[Group, Standing] = {("old",): FIRING, ("m000",): FIRING}
        judged = {one.group[0] for one in judging.judge(rule, known, found, at(1))}
        assert {"old", "m000"} <= judged
        assert len(judged - {"old", "m000"}) == MOST_GROUPS - 2
        assert judging.overflow(rule, known, found) == 31

    def kept(self, known: dict[str, Standing], samples: dict[str, int], *, most: int, **asked: Any) -> str:
        """The groups that are known after a minute; those in capitals are beyond the threshold with it."""
        found = {(name,): Reading(9.0 if name.isupper() else 1.0, number) for name, number in samples.items()}
        after: dict[Group, Standing | None] = {(name,): one for name, one in known.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(judging, "MOST_GROUPS", most)
            for one in judging.judge(unsaved(about(by=("model",), **asked)), dict(after), found, at(1)):  # type: ignore[arg-type]
                after[one.group] = one.after
        return "".join(sorted(name for (name,), one in after.items() if one is not None))

    @pytest.mark.parametrize(
        ("known", "fresh", "kept"),
        [
            ({"a": 10, "b": 30}, {"c": 20}, "ab"),
            ({"a": 10, "b": 30}, {"c": 21}, "bc"),
            ({"a": 10, "b": 30}, {"c": 60, "d": 100}, "bd"),
            ({"a": 10, "b": 30}, {"c": 61, "d": 100}, "cd"),
            ({"a": 10, "b": 30}, {"c": 61, "d": 100, "e": 400, "f": 401}, "ef"),
            ({"a": 0, "b": 0}, {"c": 2, "d": 3}, "bd"),
            ({"a": 10, "B": 1}, {"c": 25, "d": 90}, "Bd"),
            ({"a": 1}, {"c": 2, "d": 3, "e": 4}, "de"),
            ({"a": 1, "b": 1}, {}, "ab"),
        ],
    )
    def test_that_are_fine_give_way_to_those_that_are_more_than_twice_as_large(
        self, known: dict[str, int], fresh: dict[str, int], kept: str
    ) -> None:
        stood = {name: Standing(since=at(0)) for name in known}
        assert self.kept(stood, known | fresh, most=2) == kept
        assert self.kept(dict(reversed(stood.items())), fresh | known, most=2) == kept

    @pytest.mark.parametrize("no_data", ["ok", "keep", "alert", "zero"])
    def test_that_are_silent_or_have_few_samples_give_way(self, no_data: NoData) -> None:
        few = Standing(because="few", since=at(0))
        assert self.kept({"a": few}, {"a": 1, "b": 50}, most=1, least=9 * (no_data != "zero"), no_data=no_data) == "b"
        silent = Standing(because="no_data", since=at(0), silent=at(0))
        kept = "a" if no_data == "alert" else "b"  # what is to be told of yet
        assert self.kept({"a": silent}, {"b": 3}, most=1, no_data=no_data) == kept

    @pytest.mark.parametrize("state", ["pending", "warning", "critical", "no_data"])
    def test_that_wait_or_fire_do_not(self, state: State) -> None:
        level: Level = state if state in ("warning", "critical") else ""  # type: ignore[assignment]
        standing = Standing(state=state, level=level, because="no_data", since=at(0), silent=at(0))
        assert self.kept({"a": standing}, {"b": 50}, most=1, no_data="keep" if level else "alert") == "a"
        assert self.kept({"A": standing}, {"A": 1, "b": 50}, most=1, hold=5) == "A"
        assert self.kept({"a": standing}, {"a": 1, "b": 50}, most=1) == "a"  # nor with the minute in which they end

    def test_that_fire_as_they_did_a_day_ago_do(self) -> None:
        """A rule about machines that come and go would see no new ones before long."""
        for hours, kept in ((23, "a"), (24, "b")):
            silent = at(1) - timedelta(hours=hours)
            standing = Standing(state="warning", level="warning", because="no_data", since=at(0), silent=silent)
            assert self.kept({"a": standing}, {"b": 3}, most=1, no_data="keep") == kept
            assert self.kept({"A": standing}, {"A": 1, "b": 50}, most=1, no_data="keep") == "A"

    def test_without_any_there_is_one(self) -> None:
        rule = unsaved(about())
        assert [one.group for one in judging.judge(rule, {}, {}, at(1))] == [ALONE]
        assert judging.overflow(rule, {}, {}) == 0

    def test_that_are_silent_for_a_day_are_forgotten(self) -> None:
        day = int(timedelta(days=1) / MINUTE)
        for definition, minutes in ((about(by=("model",)), day), (about(by=("model",), window=2 * day), 2 * day)):
            known: dict[Group, Standing] = {("a",): Standing(because="no_data", since=at(0), silent=at(0))}
            rule = unsaved(definition)
            assert list(judging.judge(rule, known, {}, at(minutes - 1))) == []
            [one] = judging.judge(rule, known, {}, at(minutes))
            assert (one.group, one.after) == (("a",), None)

    def ending(self, minutes: int, value: float = 1.0, **asked: Any) -> tuple[list[str], int | None]:
        """How a group of which something was measured in the first minute alone fires, and when it is forgotten."""
        rule = unsaved(about(by=("model",), **asked))
        found = {("a",): Reading(value, 1)}
        told = rehearsal.rehearse(rule, [(at(1), found), *((at(minute), {}) for minute in range(2, minutes + 1))])
        gone = [round((one.at - at(0)) / MINUTE) for one in told.changes if one.after == "forgotten"]
        return [one.level for one in told.episodes], gone[0] if gone else None

    @pytest.mark.parametrize("silent", [10, DAY - 1, DAY, 2 * DAY])
    def test_whose_silence_is_an_alert_are_forgotten_a_day_after_that(self, silent: int) -> None:
        assert self.ending(4 * DAY, no_data="alert", silent=silent) == (["no_data"], 2 + silent + DAY)
        assert self.ending(4 * DAY, 9.0, no_data="alert", silent=silent) == (["warning"], 2 + silent + DAY)

    def test_whose_silence_is_an_alert_at_some_hours_are_forgotten_a_day_after_that(self) -> None:
        """Noon is followed by a day on which it may not begin, and then by one on which it may."""
        day = (NOON.weekday() + 3) % 7
        told, gone = self.ending(6 * DAY, no_data="alert", hours=Hours(start=0, end=0, days=(day,)))
        assert (told, gone) == (["no_data"], 3 * DAY - 12 * 60 + DAY)

    def test_that_fire_and_stay_as_they_were_are_forgotten_after_a_week(self) -> None:
        assert self.ending(8 * DAY, 9.0, no_data="keep") == (["warning"], 2 + WEEK)
        assert self.ending(3 * DAY, no_data="keep") == ([], 2 + DAY)
        assert self.ending(3 * DAY, 9.0, no_data="keep", hold=5) == ([], 2 + DAY)

    def test_of_a_rule_without_any_are_never_forgotten(self) -> None:
        known: dict[Group, Standing] = {ALONE: Standing(because="no_data", since=at(0), silent=at(0))}
        assert list(judging.judge(unsaved(about()), known, {}, at(10**6))) == []


def span(*values: float) -> Span:
    return Span(len(values), sum(values), min(values), max(values), values[-1])


class TestFamilies:
    @pytest.mark.parametrize(
        ("aggregation", "value"),
        [("avg", 25.0), ("min", 10.0), ("max", 40.0), ("last", 20.0), ("count", 4.0)],
    )
    def test_of_a_gauge(self, aggregation: Any, value: float) -> None:
        assert read(about(HEAT, aggregation), {ALONE: span(10, 40, 30, 20)}) == {ALONE: Reading(value, 4)}

    @pytest.mark.parametrize(("aggregation", "value"), [("sum", 90.0), ("rate", 0.3)])
    def test_of_a_counter(self, aggregation: Any, value: float) -> None:
        assert read(about(REQUESTS, aggregation, window=5), {ALONE: span(30, 60)}) == {ALONE: Reading(value, 2)}

    def test_a_mean_is_the_same_in_whatever_order_it_was_added_up(self) -> None:
        forward, back = span(*[0.1] * 3, *[0.7] * 7), span(*[0.7] * 7, *[0.1] * 3)
        assert forward.total != back.total
        assert read(about(HEAT, "avg"), {ALONE: forward}) == read(about(HEAT, "avg"), {ALONE: back})

    def test_a_mean_of_what_never_moves_is_that(self) -> None:
        one = about(HEAT, "avg")
        for value, number in product((0.1, 0.9, 0.7, 82.3), (1, 3, 6, 10, 60)):
            assert read(one, {ALONE: span(*[value] * number)}) == {ALONE: Reading(value, number)}

    def test_what_is_no_number_is_nothing(self) -> None:
        assert read(about(HEAT, "avg"), {ALONE: Span(2, float("inf"), 1e308, 1e308, 1e308)}) == {
            ALONE: Reading(None, 2)
        }
        tiny = read(about(HEAT, "max", change="previous"), {ALONE: span(1e300)}, {ALONE: span(1e-300)})
        assert tiny == {ALONE: Reading(None, 1)}

    def test_a_share_of_levels_is_of_their_means(self) -> None:
        one = about(USED, "ratio", per=SIZE)
        assert read(one, {ALONE: span(10, 30)}, {ALONE: span(40, 40)}) == {ALONE: Reading(0.5, 2)}
        assert read(one, {ALONE: span(10)}, {}) == {}
        assert read(one, {}, {ALONE: span(40)}) == {}
        assert read(one, {ALONE: span(10)}, {ALONE: span(0)}) == {ALONE: Reading(None, 1)}

    def test_a_share_of_counters_is_of_their_growth(self) -> None:
        one = about(ERRORS, "ratio", per=REQUESTS, by=("route",))
        upper: Totals = {("a",): span(2, 3), ("c",): span(1)}
        lower: Totals = {("a",): span(20), ("b",): span(30, 10)}
        assert read(one, upper, lower) == {("a",): Reading(0.25, 20), ("b",): Reading(0.0, 40)}

    def test_a_mean_of_a_histogram_is_its_sum_by_its_count(self) -> None:
        one = about(SLOW, "avg")
        assert [window.subject for window in measurements.windows(one)] == [f"{SLOW}_sum", f"{SLOW}_count"]
        assert read(one, {ALONE: span(1.5, 4.5)}, {ALONE: span(2, 10)}) == {ALONE: Reading(0.5, 12)}


class TestQuantilesOfHistograms:
    """Hand-worked as Prometheus' histogram_quantile does it."""

    BUCKETS = {"0.1": 10.0, "0.5": 60.0, "1.0": 90.0, "+Inf": 100.0}

    def quantile(self, aggregation: Any, buckets: Mapping[str, float], family: str = "of_ones_own") -> Reading:
        one = about(family, aggregation)
        assert measurements.windows(one) == (Window(f"{family}_bucket", ("le",), 1),)
        return read(one, {(bound,): span(count) for bound, count in buckets.items()})[ALONE]

    @pytest.mark.parametrize(
        ("aggregation", "value"),
        [
            ("p50", 0.42),  # the 50th of them: 0.1 + 0.4 * (50 - 10) / 50
            ("p90", 1.0),  # 0.5 + 0.5 * (90 - 60) / 30
            ("p95", 1.0),  # beyond the last bound: that bound
            ("p99", 1.0),
        ],
    )
    def test_lie_in_their_bucket(self, aggregation: str, value: float) -> None:
        assert self.quantile(aggregation, self.BUCKETS) == Reading(value, 100)

    def test_lie_between_nothing_and_the_first_bound(self) -> None:
        assert self.quantile("p50", {"0.1": 80.0, "+Inf": 80.0}) == Reading(0.05, 80)

    def test_lie_above_the_bound_before_also_when_nothing_is_told_of_it(self) -> None:
        """0.25 + 0.25 * 0.5: none of a hundred requests took less."""
        assert self.quantile("p50", {"0.5": 100.0, "1.0": 100.0, "+Inf": 100.0}, SLOW) == Reading(0.375, 100)
        assert self.quantile("p50", {"+Inf": 7.0}, SLOW) == Reading(10.0, 7)

    def test_are_nothing_where_nothing_was_counted(self) -> None:
        assert self.quantile("p95", {"0.1": 0.0, "+Inf": 0.0}) == Reading(None, 0)

    def test_come_in_any_order_and_by_group(self) -> None:
        one = about("of_ones_own", "p50", by=("route",))
        buckets: Totals = {
            (route, bound): span(count) for route in "ab" for bound, count in reversed(self.BUCKETS.items())
        }
        assert read(one, buckets) == {("a",): Reading(0.42, 100), ("b",): Reading(0.42, 100)}

    def test_are_of_all_series_that_fit(self) -> None:
        one = about("of_ones_own", "p50", filters={"method": ("GET", "P*")})
        series: dict[Group, Span] = {("HEAD", bound): span(1000.0) for bound in self.BUCKETS}
        for bound, count in self.BUCKETS.items():
            series["GET", bound] = series["PUT", bound] = span(count / 2)
        assert read(one, series) == {ALONE: Reading(0.42, 100)}


class TestChanges:
    def change(self, now: int, before: int, aggregation: Any = "count", measure: str = "inferences") -> Any:
        one = about(measure, aggregation, change="previous", window=5)
        rows = [[one_call(1, duration_us=1_000_000)] * number for number in (now, before)]
        return read(one, *(totals(some, ()) for some in rows)).get(ALONE)

    def test_ask_for_what_was_before(self) -> None:
        assert measurements.windows(about(change="previous", window=5)) == (Window("", (), 5), Window("", (), 5, 5))
        week = 7 * 24 * 60
        assert measurements.windows(about(change="week", window=60)) == (Window("", (), 60), Window("", (), 60, week))
        assert [window.back for window in measurements.windows(about(USED, "ratio", per=SIZE, change="week"))] == [
            0, 0, week, week,
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("now", "before", "value"), [(15, 10, 50.0), (5, 10, -50.0), (10, 10, 0.0), (0, 4, -100.0)]
    )
    def test_are_in_per_cent(self, now: int, before: int, value: float) -> None:
        assert self.change(now, before).value == value

    def test_are_not_known_where_there_was_nothing_before(self) -> None:
        assert self.change(15, 0) == Reading(None, 15)
        assert self.change(15, 0, "p95", "duration") == Reading(None, 0)
        assert self.change(0, 0) is None

    def test_of_a_mean_are_of_what_both_have_samples_for(self) -> None:
        assert self.change(15, 4, "p95", "duration") == Reading(0.0, 4)
        assert self.change(0, 4, "p95", "duration") is None

    def test_of_what_was_below_nothing_have_the_sign_of_the_change(self) -> None:
        one = about(HEAT, "max", change="previous")
        assert read(one, {ALONE: span(-5)}, {ALONE: span(-10)}) == {ALONE: Reading(50.0, 1)}


def after(one: Span, other: Span) -> Span:
    return Span(one.count + other.count, one.total + other.total, min(one.least, other.least),
                max(one.most, other.most), other.last)  # fmt: skip


SUMMARIES = st.lists(
    st.builds(inference, st.just(at(0)), duration_us=st.integers(0, 10**7), cost=money, revenue=st.none() | money,
              input_tokens=counts, status=st.sampled_from(["success", "error"])),
    min_size=1, max_size=3,
).map(summed)  # fmt: skip
SPANS = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=3).map(lambda values: span(*values))
GROUPS = st.sampled_from([("a",), ("b",), ("c",)])


class TestRolling:
    """A window that moves on holds what adding it up anew would give."""

    def hold(self, steps: Sequence[Mapping[Group, Any]], length: int, join: Callable[[Any, Any], Any]) -> None:
        timed = {at(minute): found for minute, found in enumerate(steps) if found}
        rolling = Rolling(timed, length)
        for end in range(1, len(steps) + length + 2):
            expected: dict[Group, Any] = {}
            for minute in range(max(0, end - length), min(end, len(steps))):
                for group, total in steps[minute].items():
                    expected[group] = join(expected[group], total) if group in expected else total
            changes, before = rolling.changes, dict(rolling.until(at(end - 1)))
            assert rolling.until(at(end)) == expected
            assert rolling.changes > changes or before == expected
        assert expected == {}

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.dictionaries(GROUPS, SUMMARIES, max_size=2), max_size=12), st.integers(1, 6))
    def test_of_inferences(self, steps: list[Mapping[Group, Summary]], length: int) -> None:
        self.hold(steps, length, lambda one, other: one + other)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.dictionaries(GROUPS, SPANS, max_size=2), max_size=12), st.integers(1, 6))
    def test_of_samples(self, steps: list[Mapping[Group, Span]], length: int) -> None:
        self.hold(steps, length, after)

    def test_knows_no_money_any_more_when_the_last_that_had_any_is_gone(self) -> None:
        priced, free = summed([one_call(1, cost=Decimal("0.10"))]), summed([one_call(1)])
        rolling = Rolling({at(0): {ALONE: priced}, at(1): {ALONE: free}}, 2)
        costs = [rolling.until(at(end))[ALONE].cost for end in (1, 2, 3)]  # type: ignore[union-attr]
        assert costs == [Decimal("0.10"), Decimal("0.10"), None]

    def test_may_begin_and_skip_anywhere(self) -> None:
        steps = {at(minute): {ALONE: span(float(minute))} for minute in range(20)}
        for first, second in product((0, 3, 19, 25), (0, 1, 7, 30)):
            rolling = Rolling(steps, 3)
            rolling.until(at(first))
            end = first + second
            expected = [steps[at(minute)][ALONE] for minute in range(max(0, end - 3), min(end, 20))]
            assert rolling.until(at(end)) == ({ALONE: reduce(after, expected)} if expected else {})


def gauged(*rules: tuple[str, Definition], minutes: Sequence[int] = (1,), **more: Any) -> list[dict[Group, Reading]]:
    """What these rules of organizations read at the minutes, asked for at once."""
    known = [unsaved(one, organization) for organization, one in rules]
    gauges = gauging.read(EVERYONE, judging.wanted(known), [at(minute) for minute in minutes], **more)
    return [judging.read(rule, gauges[at(minute)]) for rule in known for minute in minutes]


@pytest.mark.usefixtures("database")
class TestThroughTheStore:
    def test_inferences_are_what_the_list_says(self) -> None:
        calls = [
            one_call(
                1 - place % 7, model="abc"[place % 3], status=("success", "error")[place % 4 == 0],
                attempt=1 + place % 2, provider="pq"[place % 2], duration_us=place * 130_000 % 7_000_000,
                ttft_us=place * 10_007 % 90_000, input_tokens=place, output_tokens=place * 2,
                reasoning_tokens=place % 5, cost=Decimal(place) / 8 if place % 5 else None,
                revenue=Decimal(place) / 4 if place % 3 else None,
            )
            for place in range(200)
        ]  # fmt: skip
        store(calls)
        rules, expected = [], []
        for measure, aggregation in COMBINATIONS:
            for one in wanted(measure, aggregation, by=("provider",), filters={"model": ("a", "b*")}, window=4):
                rules.append((OWN, one))
                kept = [each for each in calls if each.model in "ab" and each.occurred_ms >= at(-3).timestamp() * 1000]
                expected.append({
                    group: Reading(by_hand(measure, aggregation, one.per, rows, 4), samples(measure, aggregation, rows))
                    for group, rows in grouped(kept, ("provider",)).items()
                })  # fmt: skip
        assert gauged(*rules) == expected
        assert len(expected[0]) == 2

    def test_a_window_has_its_minutes_and_no_others(self) -> None:
        store([one_call(minute) for minute in range(1, 8)])
        found = gauged((OWN, about(window=3)), minutes=(2, 5, 10, 11))
        assert [one.get(ALONE, NOTHING).samples for one in found] == [2, 3, 0, 0]
        edges = [inference(moment) for moment in (at(20), at(20) - timedelta(milliseconds=1))]
        store(edges)
        found = gauged((OWN, about()), minutes=(20, 21))
        assert [one[ALONE].samples for one in found] == [1, 1]

    def test_organizations_are_kept_apart(self) -> None:
        store(
            [one_call(1, model="a")] * 3 + [one_call(1, model="a", organization=OTHER)] * 5
            + [one_call(1, model="b", organization="shared")] * 7,
            [sample(1, 70, gpu="0"), sample(1, 90, gpu="0", organization=OTHER),
             sample(1, 50, gpu="0", organization="shared")],
        )  # fmt: skip
        everybody = (OWN, OTHER, "shared")
        found = gauged(*((organization, about(by=("model",))) for organization in everybody))
        assert found == [{("a",): Reading(3.0, 3)}, {("a",): Reading(5.0, 5)}, {("b",): Reading(7.0, 7)}]
        assert gauged(*((organization, about()) for organization in everybody)) == [
            {ALONE: Reading(3.0, 3)}, {ALONE: Reading(5.0, 5)}, {ALONE: Reading(7.0, 7)},
        ]  # fmt: skip
        heat = gauged(*((organization, about(HEAT, "max", by=("gpu",))) for organization in everybody))
        assert [one["0",].value for one in heat] == [70.0, 90.0, 50.0]

    def test_only_what_is_live_is_read_unless_asked(self) -> None:
        sources = ("live", "demo", "replay")
        store([one_call(1, source=source) for source in sources],
              [sample(1, 60), sample(1, 95, source="demo")])  # fmt: skip
        rules = ((OWN, about()), (OWN, about(HEAT, "max")))
        assert gauged(*rules) == [{ALONE: Reading(1.0, 1)}, {ALONE: Reading(60.0, 1)}]
        assert gauged(*rules, sources=("demo",)) == [{ALONE: Reading(1.0, 1)}, {ALONE: Reading(95.0, 1)}]
        assert gauged(*rules, sources=None) == [{ALONE: Reading(3.0, 3)}, {ALONE: Reading(95.0, 2)}]

    def test_changes_are_of_the_windows_they_name(self) -> None:
        week = 7 * 24 * 60
        store([one_call(minute) for minute in (-1, 0, 0, 1, 2, 2, 2)])
        store([one_call(minute - week) for minute in (1, 2, 2, 2)])
        previous, weekly = about(change="previous", window=2), about(change="week", window=2)
        found = gauged((OWN, previous), (OWN, weekly), minutes=(2,))
        assert [one[ALONE].value for one in found] == [pytest.approx(100 / 3), 0.0]

    def test_gauges_of_several_series(self) -> None:
        readings = [
            sample(1, 10, gpu="0", host="a"), sample(1, 20, gpu="0", host="a", seconds=5),
            sample(1, 40, gpu="1", host="a"), sample(2, 70, gpu="0", host="b"),
        ]  # fmt: skip
        store(samples=readings)
        expected = {"avg": 35.0, "min": 10.0, "max": 70.0, "count": 4.0, "last": 130.0}
        found = gauged(*((OWN, about(HEAT, aggregation, window=2)) for aggregation in expected), minutes=(2,))
        assert [one[ALONE] for one in found] == [Reading(value, 4) for value in expected.values()]
        by_host = gauged((OWN, about(HEAT, "max", window=2, by=("host", "none"))), minutes=(2,))
        assert by_host == [{("a", ""): Reading(40.0, 3), ("b", ""): Reading(70.0, 1)}]
        one_gpu = gauged((OWN, about(HEAT, "max", window=2, filters={"gpu": ("0",), "host": ("*",)})), minutes=(2,))
        assert one_gpu == [{ALONE: Reading(70.0, 3)}]

    def test_counters_and_their_shares(self) -> None:
        store(samples=[grown(1, 30, route="a"), grown(2, 30, route="b"), grown(2, 6, ERRORS, route="a")])
        rate, share = about(REQUESTS, "rate", window=2), about(ERRORS, "ratio", per=REQUESTS, window=2)
        found = gauged((OWN, rate), (OWN, share), (OWN, about(REQUESTS, "sum", by=("route",))), minutes=(2,))
        assert found == [{ALONE: Reading(0.5, 2)}, {ALONE: Reading(0.1, 60)}, {("b",): Reading(30.0, 1)}]  # fmt: skip

    def test_histograms(self) -> None:
        buckets = {"0.5": 50.0, "1.0": 90.0, "+Inf": 100.0}
        store(samples=[
            *(grown(1, count, f"{SLOW}_bucket", le=bound, route="a") for bound, count in buckets.items()),
            grown(1, 45, f"{SLOW}_sum", route="a"), grown(1, 100, f"{SLOW}_count", route="a"),
        ])  # fmt: skip
        asked: list[Any] = ["p50", "p90", "p99", "avg"]
        found = gauged(*((OWN, about(SLOW, aggregation, by=("route",))) for aggregation in asked))
        assert found == [{("a",): Reading(value, 100)} for value in (0.5, 1.0, 1.0, 0.45)]


class TestMinutes:
    @pytest.mark.parametrize(
        ("seconds", "late", "minute"),
        [(0, 0, 0), (59, 0, 0), (60, 0, 1), (89, 30, 0), (90, 30, 1), (0, 30, -1), (3600, 3600, 0)],
    )
    def test_are_over_and_what_is_late_was_waited_for(self, seconds: int, late: int, minute: int) -> None:
        assert gauging.minute_of(at(0) + timedelta(seconds=seconds), late) == at(minute)

    def test_hold_what_comes_within(self) -> None:
        assert at(0) < within(1) < at(1)
