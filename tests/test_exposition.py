"""The text of metrics, read back by the reference parsers; and what a scrape computes, held against plain sums."""

import math
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser as plain_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from bedrock import identifiers
from monitoring import business, exposition, openmetrics
from monitoring.exposition import Scrape, expose
from monitoring.families import BY_NAME, FAMILIES, GROUPS, Family
from monitoring.histogram import BOUNDS_US
from monitoring.measures import OTHER
from monitoring.openmetrics import OPENMETRICS, TEXT, Metric, Row, block, negotiate
from monitoring.selection import Selection
from monitoring.store.base import Inference, Summary
from monitoring.store.samples import Increment, Sample
from monitoring.tallies import MOST_MODELS, Tallies, Tally
from organizations.scope import Scope
from tests.memory_store import EPOCH, Limits, MemoryStore, inference

FORMS = (TEXT, OPENMETRICS)
OWN, OTHERS = "swaggystacks", "scientia_capital"
NOW = datetime(2026, 3, 10, 9, 30, 20, tzinfo=UTC)
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str, form: str) -> Series:
    """(sample, labels) -> value, as the reference parser of the form reads them; nothing stands twice."""
    parser: Any = openmetrics_parser if form == OPENMETRICS else plain_parser
    found: Series = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(business, "_tallies", Tallies())
    return MemoryStore()


@pytest.fixture
def promtool() -> str:
    """Debian's; `bin/test` installs it where it may, and refuses to go on without it in CI."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no promtool: sudo apt-get install -y --no-install-recommends prometheus")
        pytest.skip("no promtool: sudo apt-get install -y --no-install-recommends prometheus")
    return found


def scrape(store: Any, *organizations: str, form: str = TEXT, now: datetime = NOW,
           include: Sequence[str] = (), exclude: Sequence[str] = ()) -> str:  # fmt: skip
    chosen = organizations or (OWN,)
    asked = Scrape(
        scope=Scope.of(*chosen), currencies=dict.fromkeys(chosen, "USD"), selection=Selection(include, exclude),
        form=form, now=now, build={"version": "1"},
    )  # fmt: skip
    return expose(store, asked)


def read(store: Any, *organizations: str, **more: Any) -> Series:
    return parsed(scrape(store, *organizations, **more), more.get("form", TEXT))


def append(store: MemoryStore, *inferences: Inference, now: datetime = NOW) -> None:
    store.append(Scope.system("test"), inferences, now=now)


def observe(store: MemoryStore, family: str, value: float, /, organization: str = "shared", at: datetime = NOW,
            source: str = "live", **labels: str) -> None:  # fmt: skip
    sample = Sample(
        organization=organization, family=family, labels=tuple(sorted(labels.items())), value=value, source=source,
        at_ms=identifiers.milliseconds(at),
    )  # fmt: skip
    store.observe(Scope.system("test"), [sample], now=NOW)


def count(store: MemoryStore, family: str, amount: float, /, organization: str = OWN, **labels: str) -> None:
    one = Increment(
        organization=organization, family=family, labels=tuple(sorted(labels.items())), amount=amount,
        at_ms=identifiers.milliseconds(NOW),
    )  # fmt: skip
    store.observe(Scope.system("test"), [], [one], now=NOW)


anything = st.text(st.characters(), max_size=30)  # every code point there is, lone surrogates included
GAUGE = Family("cockpit_some_ratio", "gauge", "system", "Some")


class TestText:
    @pytest.mark.parametrize("form", FORMS)
    @given(values=st.lists(anything, min_size=1, max_size=5, unique=True), help_text=anything, number=st.floats())
    def test_any_label_value_and_help_is_read_back(
        self, form: str, values: list[str], help_text: str, number: float
    ) -> None:
        family = Family("cockpit_some_ratio", "gauge", "system", help_text)
        rows: list[Row] = [("", (("organization", OWN), ("what", text)), number) for text in values]
        text = block(Metric(family, rows), form) + openmetrics.end(form)
        found = parsed(text.encode().decode(), form)
        cleaned = {text.encode("utf-8", "backslashreplace").decode() for text in values}
        assert {dict(labels).get("what", "") for _, labels in found} == cleaned
        assert all(math.isnan(one) if math.isnan(number) else one == number for one in found.values())

    @pytest.mark.parametrize("form", FORMS)
    @given(number=st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=0, max_value=10**15))
    def test_money_is_told_to_the_last_digit(self, form: str, number: Decimal) -> None:
        text = block(Metric(GAUGE, [("", (), number)]), form)
        assert Decimal(text.split()[-1]) == number

    def test_both_forms_say_what_they_must(self) -> None:
        family = BY_NAME["cockpit_inference_cost_total"]
        metric = Metric(family, [("", (("organization", OWN),), Decimal("1.50"))])
        assert block(metric, TEXT) == (
            f"# HELP cockpit_inference_cost_total {family.help}\n# TYPE cockpit_inference_cost_total counter\n"
            'cockpit_inference_cost_total{organization="swaggystacks"} 1.50\n'
        )
        assert block(metric, OPENMETRICS) == (
            f"# HELP cockpit_inference_cost {family.help}\n# TYPE cockpit_inference_cost counter\n"
            'cockpit_inference_cost_total{organization="swaggystacks"} 1.50\n'
        )
        info = Metric(BY_NAME["cockpit_build_info"], [("", (("version", "1"),), 1)])
        assert "# TYPE cockpit_build_info gauge\n" in block(info, TEXT)
        assert "# TYPE cockpit_build info\n" in block(info, OPENMETRICS)
        seconds = Metric(Family("cockpit_a_seconds", "gauge", "self", "x"), [])
        assert "# UNIT cockpit_a_seconds seconds\n" in block(seconds, OPENMETRICS)
        assert "UNIT" not in block(seconds, TEXT)

    @pytest.mark.parametrize("name", ["", "a-b", "1a", "a b", "é", 'a"} 1\nb', "a\n"])
    def test_a_name_that_is_none_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="not the name of a label"):
            block(Metric(GAUGE, [("", ((name, "x"),), 1)]), TEXT)
        with pytest.raises(ValueError, match="not the name of a family"):
            block(Metric(Family(name, "gauge", "self", "x"), []), TEXT)

    def test_what_is_remembered_of_labels_stays_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(openmetrics, "_MOST_PAIRS", 10)
        monkeypatch.setattr(openmetrics, "_pairs", openmetrics._Pairs())
        rows: list[Row] = [("", (("what", str(number)),), number) for number in range(100)]
        assert len(parsed(block(Metric(GAUGE, rows), TEXT), TEXT)) == 100
        assert len(openmetrics._pairs) <= 10


PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
    + PROMETHEUS_3
)  # fmt: skip


class TestNegotiation:
    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("", TEXT), ("*/*", TEXT), ("text/plain", TEXT), ("text/html,*/*;q=0.8", TEXT), ("application/json", TEXT),
            (PROMETHEUS_3, OPENMETRICS), (PROTOBUF, OPENMETRICS),
            (PROMETHEUS_3.replace("allow-utf-8", "dots"), OPENMETRICS),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT), ("text/plain;version=1.0.0;escaping=underscores", TEXT),
            ("application/openmetrics-text", OPENMETRICS), ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
            ("APPLICATION/OpenMetrics-Text ; Q=0.9 , text/plain ; q=0.8", OPENMETRICS),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.8", TEXT),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.2,*/*;q=0.9", OPENMETRICS),
            ("application/openmetrics-text;q=0.5,*/*;q=0.9", TEXT),
            ("application/openmetrics-text,text/plain", OPENMETRICS),
            ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", TEXT),
            ('application/openmetrics-text; version="1.0.0"; q=0.5, text/plain; q=0.4', OPENMETRICS),
            ("application/openmetrics-text;q=0", TEXT),
            ("application/openmetrics-text;q=x", TEXT), ("application/openmetrics-text;q=1.5", TEXT),
            ("application/openmetrics-text;q=nan", TEXT), (";;;,,,===", TEXT), ("text/plain;q=0,*/*", TEXT),
        ],
    )  # fmt: skip
    def test_the_form_that_is_liked_best_is_chosen(self, accept: str, form: str) -> None:
        assert negotiate(accept) == form

    @given(st.text(max_size=200))
    def test_any_header_chooses_one(self, accept: str) -> None:
        assert negotiate(accept) in FORMS


class TestSelection:
    @pytest.mark.parametrize(
        ("include", "exclude", "selected"),
        [
            ([], [], {"cockpit_tokens_total", "cockpit_http_requests_total", "cockpit_build_info"}),
            (["business"], [], {"cockpit_tokens_total"}),
            (["api", "self"], [], {"cockpit_http_requests_total", "cockpit_build_info"}),
            (["cockpit_tokens_total"], [], {"cockpit_tokens_total"}),
            (["cockpit_to*", "cockpit_b*"], [], {"cockpit_tokens_total", "cockpit_build_info"}),
            (["*"], ["business"], {"cockpit_http_requests_total", "cockpit_build_info"}),
            ([], ["cockpit_*"], set()),
            (["business"], ["cockpit_tokens_total"], set()),
            (["cockpit_tokens_total"], ["cockpit_tokens_total"], set()),
            (["nobody_of_that_name", ".*", "cockpit_.*", "(a+)+$"], [], set()),
            (["cockpit_tokens"], [], set()),
        ],
    )  # fmt: skip
    def test_names_beginnings_and_groups_select_and_exclusion_wins(
        self, include: list[str], exclude: list[str], selected: set[str]
    ) -> None:
        names = ("cockpit_tokens_total", "cockpit_http_requests_total", "cockpit_build_info")
        assert {name for name in names if BY_NAME[name] in Selection(include, exclude)} == selected


class TestInferences:
    def test_every_family_is_what_the_sums_say(self, store: MemoryStore) -> None:
        plain = {"provider": "ollama", "input_tokens": 100, "output_tokens": 20, "cost": Decimal("0.10")}
        append(
            store,
            inference(NOW, **plain, ttft_us=250_000, cache_read_tokens=50, revenue=Decimal("1")),
            inference(NOW - timedelta(days=400), **plain, attempt=2, duration_us=3_000_000),
            inference(NOW - timedelta(days=1), **{**plain, "cost": None}, status="error"),
            inference(NOW, model="mistral", duration_us=1, user_hash="a"),
            inference(NOW, source="demo", **plain),
            inference(NOW, source="replay", **plain, user_hash="b"),
            inference(NOW, organization=OTHERS, **plain),
        )
        found = read(store)
        llama = {"organization": OWN, "model": "llama"}
        assert value(found, "cockpit_inferences_total", **llama, provider="ollama", status="success") == 2
        assert value(found, "cockpit_inferences_total", **llama, provider="ollama", status="error") == 1
        assert value(found, "cockpit_inferences_unpriced_total", **llama) == 1
        assert value(found, "cockpit_inference_retries_total", **llama) == 1
        assert value(found, "cockpit_tokens_total", **llama, kind="input") == 300
        assert value(found, "cockpit_tokens_total", **llama, kind="output") == 60
        assert value(found, "cockpit_tokens_total", **llama, kind="cache_read") == 50
        assert value(found, "cockpit_tokens_total", **llama, kind="reasoning") is None
        assert value(found, "cockpit_inference_cost_total", **llama, currency="USD") == 0.2
        assert value(found, "cockpit_inference_revenue_total", **llama, currency="USD") == 1
        assert value(found, "cockpit_inference_duration_seconds_count", **llama) == 3
        assert value(found, "cockpit_inference_duration_seconds_sum", **llama) == 3.24
        assert value(found, "cockpit_inference_duration_seconds_bucket", **llama, le="+Inf") == 3
        assert value(found, "cockpit_inference_duration_seconds_bucket", **llama, le="0.138778") == 2
        assert value(found, "cockpit_inference_time_to_first_token_seconds_sum", **llama) == 0.25
        assert value(found, "cockpit_inference_time_to_first_token_seconds_count", **llama) == 1
        assert value(found, "cockpit_inference_cost_total", organization=OWN, model="mistral", currency="USD") is None
        assert value(found, "cockpit_active_users", organization=OWN) == 1
        assert value(found, "cockpit_prompt_cache_hit_ratio", organization=OWN) == 0.5
        assert value(found, "cockpit_cost_per_1000_tokens", organization=OWN, currency="USD") == pytest.approx(
            0.1 / 0.12
        )
        assert value(found, "cockpit_inference_retry_ratio", organization=OWN) == 0
        assert {dict(labels)["organization"] for _, labels in found if "organization" in dict(labels)} == {OWN}

    def test_buckets_rise_on_borders_of_the_histogram(self, store: MemoryStore) -> None:
        for duration in BOUNDS_US:
            append(store, inference(NOW, duration_us=duration), inference(NOW, duration_us=duration + 1))
        found = read(store, include=["cockpit_inference_duration_seconds"])
        buckets = sorted(
            (float(dict(labels)["le"]), count) for (name, labels), count in found.items() if "le" in dict(labels)
        )
        assert len(buckets) == 16
        for upper, counted in buckets[:-1]:
            border = round(upper * 1e6)
            assert border in BOUNDS_US
            assert counted == sum(one <= border for bound in BOUNDS_US for one in (bound, bound + 1))
        assert buckets[-1] == (math.inf, 2 * len(BOUNDS_US))

    def test_nothing_is_told_where_nothing_happened(self, store: MemoryStore) -> None:
        names = {name for name, _ in read(store)}
        assert names == {"cockpit_build_info", "cockpit_scrape_duration_seconds"}

    def test_people_are_those_since_midnight(self, store: MemoryStore) -> None:
        append(store, *(inference(NOW - timedelta(hours=hours), user_hash=str(hours)) for hours in (0, 9, 10, 40)))
        assert value(read(store), "cockpit_active_users", organization=OWN) == 2

    def test_the_last_hour_ends_with_the_running_minute(self, store: MemoryStore) -> None:
        append(store, inference(NOW - timedelta(minutes=61), attempt=2), inference(NOW + timedelta(seconds=30)))
        assert value(read(store), "cockpit_inference_retry_ratio", organization=OWN) == 0

    def test_an_hour_with_a_cost_unknown_leaves_out_that_model_alone(self, store: MemoryStore) -> None:
        append(
            store,
            inference(NOW, model="a", input_tokens=1_000, cost=Decimal("2")),
            inference(NOW, model="b", input_tokens=1_000, cost=Decimal("2")),
            inference(NOW, model="b", input_tokens=1_000),
        )
        assert value(read(store), "cockpit_cost_per_1000_tokens", organization=OWN, currency="USD") == 2

    def test_a_card_is_idle_in_the_minutes_in_which_next_to_nothing_ran(self, store: MemoryStore) -> None:
        busy = "cockpit_gpu_utilization_ratio"
        for ago, values in ((0, (0.0, 0.04)), (1, (0.0, 0.9)), (2, (0.0,)), (59, (0.05,)), (60, (0.0,))):
            for place, share in enumerate(values):
                observe(store, busy, share, at=NOW - timedelta(minutes=ago, seconds=-place), host="a", gpu="0")
        observe(store, busy, 1.0, host="a", gpu="1")
        observe(store, busy, 0.0, host="a", gpu="2", source="demo")
        told = read(store, "shared")
        idle = [value(told, "cockpit_gpu_idle_ratio", organization="shared", host="a", gpu=card) for card in "012"]
        assert idle == [0.5, 0.0, None]
        assert value(read(store), "cockpit_gpu_idle_ratio", organization="shared", host="a", gpu="0") is None


class Watched(MemoryStore):
    """Counts what is read of days that are over."""

    old_reads = 0

    def series(self, scope: Scope, queries: Any, *, step_seconds: int) -> Any:
        self.old_reads += sum(query.start == EPOCH and "model" in query.by for query in queries)
        return super().series(scope, queries, step_seconds=step_seconds)


class TestSinceTheBeginning:
    @staticmethod
    def fallen(before: Series, after: Series) -> list[Any]:
        counters = re.compile(r"_(total|bucket|count|sum)$")
        return [key for key, one in before.items() if counters.search(key[0]) and after.get(key, -1) < one]

    def test_no_counter_falls_while_inferences_of_all_ages_come_in(self, store: MemoryStore) -> None:
        dice = random.Random(4)
        now, before = NOW, dict[Any, float]()
        processes = [Tallies() for _ in range(3)]
        for turn in range(150):
            now += timedelta(minutes=dice.choice([0, 1, 20, 300]))
            age = timedelta(minutes=dice.choice([0, 0, 1, 100, 3_000, 50_000]))
            one = inference(
                now - age, model=f"m{dice.randrange(8)}", duration_us=dice.randrange(10**7),
                attempt=dice.choice([1, 2]), cost=dice.choice([None, Decimal("0.01")]),
                input_tokens=dice.randrange(100), output_tokens=1,
            )  # fmt: skip
            append(store, one, now=now)
            if turn % 40 == 39:
                processes[turn % 3] = Tallies()  # one starts anew
            business._tallies = processes[dice.randrange(3)]
            after = read(store, now=now, exclude=["self"])
            assert self.fallen(before, after) == []
            total = sum(count for (name, _), count in after.items() if name == "cockpit_inferences_total")
            assert total == turn + 1
            before = after

    def test_days_that_are_over_are_read_once_and_again_when_they_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(business, "_tallies", Tallies())
        store = Watched()
        append(store, inference(NOW - timedelta(days=3)), inference(NOW))
        for _ in range(3):
            read(store)
        assert store.old_reads == 1
        append(store, inference(NOW))
        read(store)
        assert store.old_reads == 1
        append(store, inference(NOW - timedelta(days=9)))
        assert value(read(store), "cockpit_inference_retries_total", organization=OWN, model="llama") == 0
        assert store.old_reads == 2
        tomorrow = NOW + timedelta(days=1)
        read(store, now=tomorrow)
        read(store, now=tomorrow)
        assert store.old_reads == 3

    def test_a_day_that_ends_under_a_reading_is_not_counted_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another thread learns yesterday while this one, a moment before, has read it among the days still open."""
        monkeypatch.setattr(business, "_tallies", Tallies())
        before, after = (datetime(2026, 3, 10, 1, tzinfo=UTC) + timedelta(seconds=one) for one in (-1, 1))
        overtaken: list[datetime] = []

        class Overtaken(MemoryStore):
            def series(self, scope: Scope, queries: Any, *, step_seconds: int) -> Any:
                if len(queries) == 1 and not overtaken:  # old days are read again, for the other organization alone
                    overtaken.append(after)
                    read(self, OWN, now=after)
                return super().series(scope, queries, step_seconds=step_seconds)

        store = MemoryStore()
        for organization in (OWN, OTHERS):
            for hours in (5, 120):
                append(store, inference(before - timedelta(hours=hours), organization=organization), now=before)
        read(store, OWN, OTHERS, now=before)
        append(store, inference(before - timedelta(hours=130), organization=OTHERS), now=before)
        store.__class__ = Overtaken
        found = read(store, OWN, OTHERS, now=before)
        counted = "cockpit_inference_duration_seconds_count"
        assert value(found, counted, organization=OWN, model="llama") == 2
        assert value(found, counted, organization=OTHERS, model="llama") == 3
        assert overtaken == [after]

    def test_an_organization_is_read_for_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(business, "_tallies", Tallies())
        store = Watched()
        append(store, *(inference(NOW - timedelta(days=3), organization=name) for name in (OWN, OTHERS)))
        read(store, OWN, OTHERS)
        append(store, inference(NOW - timedelta(days=2), organization=OTHERS))
        both, own = read(store, OWN, OTHERS), read(store)
        for found in (both, own):
            assert value(found, "cockpit_inference_retries_total", organization=OWN, model="llama") == 0
        counts = {
            dict(labels)["organization"]: count
            for (name, labels), count in both.items()
            if name == "cockpit_inferences_total"
        }
        assert counts == {OWN: 1, OTHERS: 2}
        assert "scientia" not in scrape(store)


class TestCap:
    def many(self, store: MemoryStore, models: Iterable[str], at: datetime = NOW, **more: Any) -> None:
        store.limits[OWN] = Limits(max_names=10**6)
        append(store, *(inference(at, model=model, input_tokens=1, **more) for model in models))

    def test_an_organization_has_at_most_two_thousand_series_and_nothing_is_lost(self, store: MemoryStore) -> None:
        self.many(store, [f"m{number:04}" for number in range(1_000)], cost=Decimal("1"))
        found = read(store, exclude=["self"])
        assert 1_800 < len(found) <= business.MOST_SERIES + 4
        assert sum(count for (name, _), count in found.items() if name == "cockpit_inferences_total") == 1_000
        assert value(found, "cockpit_tokens_total", organization=OWN, model=OTHER, kind="input") > 900
        assert value(read(store), "cockpit_models_folded", organization=OWN) > 900
        assert len(scrape(store)) < 300_000
        assert value(found, "cockpit_series_limit", organization=OWN) == business.MOST_SERIES

    def test_who_came_first_keeps_a_name_and_what_was_folded_stays_so(self, store: MemoryStore) -> None:
        self.many(store, [f"z{number:02}" for number in range(10)], NOW - timedelta(days=90))
        before: Series = {}
        for day in range(12):
            now = NOW + timedelta(days=day)
            append(store, *(inference(now, model=f"a{day}-{number}") for number in range(40)), now=now)
            after = read(store, now=now, exclude=["self", "cockpit_*_ratio", "cockpit_prompt*"])
            kept = {dict(labels)["model"] for _, labels in after if "model" in dict(labels)}
            assert {f"z{number:02}" for number in range(10)} <= kept
            for (name, labels), count in before.items():
                if dict(labels).get("model") == OTHER:
                    assert after[name, labels] >= count
            before = after
        assert value(before, "cockpit_inference_duration_seconds_count", organization=OWN, model=OTHER) > 300

    def test_names_refused_at_the_door_and_names_folded_here_are_one(self, store: MemoryStore) -> None:
        self.many(store, [OTHER, "a"], provider="x")
        found = read(store, include=["cockpit_inferences_total", "cockpit_models_folded"])
        assert (
            value(found, "cockpit_inferences_total", organization=OWN, model=OTHER, provider=OTHER, status="success")
            == 1
        )
        assert value(found, "cockpit_models_folded", organization=OWN) == 0

    def test_providers_of_a_model_are_few(self, store: MemoryStore) -> None:
        for number in range(30):
            self.many(store, ["m"], provider=f"p{number:02}")
        found = read(store, include=["cockpit_inferences_total"])
        assert len(found) == 11
        assert (
            value(found, "cockpit_inferences_total", organization=OWN, model="m", provider=OTHER, status="success")
            == 20
        )

    def test_the_memory_holds_few_models_however_many_there_are(self) -> None:
        store, tallies = MemoryStore(), Tallies()
        self.many(store, [f"m{number}" for number in range(500)], NOW - timedelta(days=5))
        tally = tallies.read(store, Scope.of(OWN), NOW)[OWN]
        assert len(tally.routes) == MOST_MODELS + 1
        assert tally.known == 500
        assert sum((one.inferences for one in tally.routes.values()), 0) == 500

    def test_a_tally_of_the_widest_models_still_fits(self) -> None:
        statuses = ("success", "error", "timeout", "cancelled", "rate_limited")
        one = Summary(inferences=1, input_tokens=1, output_tokens=1, cache_read_tokens=1, cache_write_tokens=1,
                      reasoning_tokens=1, cost=Decimal(1), revenue=Decimal(1), with_ttft=1)  # fmt: skip
        routes = {(f"m{m}", f"p{p:02}", status): one for m in range(100) for p in range(20) for status in statuses}
        tally = Tally(dict.fromkeys((f"m{m}" for m in range(100)), EPOCH), routes)
        found = list(business.of_tally(OWN, "USD", tally))
        rows = [(name, row[:2]) for name, row in found if name not in business.SINCE_BEGINNING[-2:]]
        assert len(rows) <= business.MOST_SERIES
        assert len(set(rows)) == len(rows)


class TestKept:
    def test_levels_read_lately_are_told_and_older_ones_are_not(self, store: MemoryStore) -> None:
        observe(store, "cockpit_cpu_utilization_ratio", 0.5, host="a")
        observe(store, "cockpit_cpu_utilization_ratio", 0.7, host="b", at=NOW - timedelta(minutes=6))
        observe(store, "cockpit_cpu_utilization_ratio", 0.9, host="c", source="demo")
        found = read(store, "shared")
        assert value(found, "cockpit_cpu_utilization_ratio", organization="shared", host="a") == 0.5
        assert len([name for name, _ in found if name == "cockpit_cpu_utilization_ratio"]) == 1

    def test_levels_of_the_platform_are_for_who_sees_shared(self, store: MemoryStore) -> None:
        observe(store, "cockpit_cpu_utilization_ratio", 0.5, host="a")
        assert "cockpit_cpu" not in scrape(store, OWN)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_histogram_of_counters_is_whole(self, store: MemoryStore, form: str) -> None:
        name = "cockpit_http_request_duration_seconds"
        for upper, amount in (("10", 7), ("0.005", 0), ("2.5", 6), ("+Inf", 7)):
            count(store, f"{name}_bucket", amount, method="GET", route="home", le=upper)
        count(store, f"{name}_sum", 3.5, method="GET", route="home")
        count(store, f"{name}_count", 7, method="GET", route="home")
        count(store, f"{name}_bucket", 1, method=OTHER, route=OTHER, le=OTHER)
        count(store, f"{name}_sum", 2, method=OTHER, route=OTHER)
        count(store, f"{name}_count", 1, method=OTHER, route=OTHER)
        text = scrape(store, form=form, include=["api"])
        assert re.findall(r'GET.*le="([^"]*)"', text) == ["0.005", "2.5", "10.0", "+Inf"]
        found = parsed(text, form)
        own = {"organization": OWN, "method": "GET", "route": "home"}
        assert value(found, f"{name}_bucket", **own, le="2.5") == 6
        assert value(found, f"{name}_count", **own) == value(found, f"{name}_bucket", **own, le="+Inf") == 7
        assert value(found, f"{name}_bucket", organization=OWN, method=OTHER, route=OTHER, le="+Inf") == 1

    def test_a_part_of_a_histogram_without_its_count_is_not_told(self, store: MemoryStore) -> None:
        count(store, "cockpit_http_request_duration_seconds_bucket", 1, route="home", le="1")
        assert "duration" not in scrape(store, include=["api"])

    def test_families_of_ones_own_are_told_as_they_were_registered(self, store: MemoryStore) -> None:
        for name, kind in (
            ("shop_orders_total", "counter"),
            ("shop_wait_seconds", "histogram"),
            ("shop_open", "gauge"),
        ):
            count(store, exposition.REGISTERED, 1, organization="shared", family=name, help=f"About {name}", kind=kind)
        count(store, "shop_orders_total", 3)
        observe(store, "shop_open", 1, organization=OWN)
        observe(store, "unheard_of", 2, organization=OWN)
        count(store, "unheard_of_seconds_bucket", 1, le="1")
        count(store, "unheard_of_seconds_count", 1)
        for suffix in ("_bucket", "_sum", "_count"):
            count(store, f"shop_wait_seconds{suffix}", 1, **({"le": "1"} if suffix == "_bucket" else {}))
        text = scrape(store, include=["shop_*", "unheard_*"])
        for told in ("HELP shop_orders_total About", "TYPE shop_orders_total counter", "TYPE shop_open gauge",
                     "TYPE shop_wait_seconds histogram", "TYPE unheard_of gauge",
                     "TYPE unheard_of_seconds histogram"):  # fmt: skip
            assert f"# {told}" in text
        parsed(scrape(store, form=OPENMETRICS), OPENMETRICS)


class TestFaults:
    def test_a_poisoned_family_is_left_out_and_the_rest_stands(self, store: MemoryStore) -> None:
        observe(store, "cockpit_cpu_utilization_ratio", 0.5, organization=OWN, **{"no name": "x"})
        append(store, inference(NOW))
        for form in FORMS:
            found = parsed(scrape(store, form=form), form)
            assert value(found, "cockpit_exposition_errors", family="cockpit_cpu_utilization_ratio") == 1
            assert value(found, "cockpit_inference_retries_total", organization=OWN, model="llama") == 0
            assert "cockpit_cpu_utilization_ratio" not in {name for name, _ in found}

    @pytest.mark.parametrize("verb", ["series", "totals", "users", "levels", "counters"])
    def test_a_question_that_fails_costs_its_own_families_alone(
        self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("broken")

        append(store, inference(NOW, user_hash="a"))
        observe(store, "cockpit_cpu_utilization_ratio", 0.5, organization=OWN)
        count(store, "cockpit_http_requests_total", 1)
        whole = {name for name, _ in read(store)}
        monkeypatch.setattr(MemoryStore, verb, broken)
        left = read(store)
        assert {name for name, _ in left} < whole | {"cockpit_exposition_errors"}
        assert len([name for name, _ in left if name == "cockpit_exposition_errors"]) == 1

    def test_words_about_families_of_ones_own_may_be_missing(
        self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("broken")

        observe(store, "shop_open", 3, organization=OWN)
        monkeypatch.setattr(MemoryStore, "counters", broken)
        found = read(store)
        assert value(found, "shop_open", organization=OWN) == 3
        assert value(found, "cockpit_exposition_errors", family="counters") == 1

    def test_buckets_without_a_bound_cost_their_own_family_alone(self, store: MemoryStore) -> None:
        count(store, "cockpit_http_requests_total", 1)
        for bound in ({"le": "no number"}, {"le": "nan"}, {}):
            count(store, "odd_seconds_bucket", 1, **bound)
        for suffix in ("_sum", "_count"):
            count(store, f"odd_seconds{suffix}", 1)
        for form in FORMS:
            found = parsed(scrape(store, form=form), form)
            assert value(found, "cockpit_http_requests_total", organization=OWN) == 1
            assert value(found, "odd_seconds_bucket", organization=OWN, le="+Inf") == 1

    def test_two_families_of_one_name_in_openmetrics_are_told_once(self, store: MemoryStore) -> None:
        observe(store, "shop", 3, organization=OWN)
        count(store, "shop_total", 2)
        assert len([name for name, _ in read(store) if name in ("shop", "shop_total")]) == 2
        found = parsed(scrape(store, form=OPENMETRICS), OPENMETRICS)
        assert value(found, "shop", organization=OWN) == 3
        assert value(found, "cockpit_exposition_errors", family="shop_total") == 1

    def test_a_store_that_answers_nothing_is_told_as_what_it_is(self) -> None:
        with pytest.raises(AttributeError):
            scrape(object())

    def test_what_is_not_asked_for_is_not_read(self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        monkeypatch.setattr(MemoryStore, "series", lambda *_, **__: asked.append("series"))
        monkeypatch.setattr(MemoryStore, "totals", lambda *_, **__: asked.append("totals"))
        scrape(store, include=["system", "gpu"])
        assert asked == []

    @given(names=st.lists(anything, min_size=1, max_size=4))
    def test_any_model_name_leaves_a_scrape_whole(self, names: list[str]) -> None:
        store = MemoryStore()
        business._tallies = Tallies()
        append(store, *(inference(NOW, model=name, provider=name) for name in names))
        for form in FORMS:
            found = parsed(scrape(store, form=form).encode().decode(), form)
            total = sum(count for (name, _), count in found.items() if name == "cockpit_inferences_total")
            assert total == len(names)


class TestFamilies:
    def test_the_dictionary_is_well_formed(self) -> None:
        assert len(BY_NAME) == len(FAMILIES)
        assert [GROUPS.index(family.group) for family in FAMILIES] == sorted(GROUPS.index(f.group) for f in FAMILIES)
        for family in FAMILIES:
            assert re.fullmatch(r"cockpit_[a-z0-9_]+", family.name)
            assert (family.kind == "counter") == family.name.endswith("_total"), family.name
            assert (family.kind == "info") == family.name.endswith("_info"), family.name
            assert family.help

    @pytest.mark.parametrize("form", FORMS)
    def test_no_two_families_take_up_one_name(self, form: str) -> None:
        every = [name for family in FAMILIES for name in openmetrics.names(family, form)]
        assert len(set(every)) == len(every)

    def test_every_source_names_families_that_there_are(self) -> None:
        for source in exposition.SOURCES:
            assert set(source.families) <= set(BY_NAME)

    def test_the_reference_tool_finds_nothing_to_say(self, store: MemoryStore, promtool: str) -> None:
        append(store, inference(NOW, ttft_us=1, cost=Decimal(1), revenue=Decimal(1), input_tokens=9, user_hash="a"))
        for family in FAMILIES:
            if family.kind in ("gauge", "info"):
                observe(store, family.name, 1, organization=OWN, host="a")
            elif family.kind == "counter":
                count(store, family.name, 1, host="a") if family.name not in business.SINCE_BEGINNING else None
            elif family.kind == "histogram" and family.group != "business":
                for suffix in ("_bucket", "_sum", "_count"):
                    count(store, f"{family.name}{suffix}", 1, **({"le": "1"} if suffix == "_bucket" else {}))
        text = scrape(store)
        told = set(re.findall(r"^# TYPE (\S+)", text, re.M))
        assert told >= {family.name for family in FAMILIES} - {"cockpit_exposition_errors"}
        ended = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
