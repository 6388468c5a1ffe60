"""The in-process verbs: what they record reaches the store and a scrape; whatever they are given, nothing is raised."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError

from cockpit.env import ROOT
from monitoring import counting
from monitoring.counting import DROPPED
from monitoring.services import (
    MonitoringConfig,
    custom,
    get_monitoring_health,
    inferences,
    initialize,
    lifecycle,
    metrics,
    shutdown,
)
from monitoring.services.recordings import state
from monitoring.store import current_store
from monitoring.store.base import Query
from organizations.scope import Scope
from tests.conftest import as_url
from tests.servers import clean_environment

OWN, OTHER = "swaggystacks", "scientia_capital"
NAMES = [
    ("", "empty"), ("1_total", "digit first"), ("Shop_total", "upper case"), ("shop-total_total", "dash"),
    ("shop", "no _total"), ("cockpit_shop_total", "our prefix"), ("s" * 101 + "_total", "long"),
    ("shöp_total", "umlaut"), ("shop_total\n", "line end"),
]  # fmt: skip


class Unprintable:
    """What makes even its own text fail."""

    def __str__(self) -> str:
        raise RuntimeError

    def __repr__(self) -> str:
        return "unprintable"


@pytest.fixture(autouse=True)
def _a_new_process() -> Iterator[None]:
    def begin() -> None:
        counting.table.clear()
        counting.flusher._begin()
        inferences.queue.clear()
        custom.forget()
        state.metrics = state.inferences = True

    begin()
    yield
    begin()


def counted(family: str) -> dict[tuple[str, ...], float]:
    """Organization and values of the labels -> count since the test began."""
    return {
        (organization, *(value for _, value in labels)): amount
        for (organization, name, labels), amount in counting.table._held.counts.items()
        if name == family
    }


def stored(organization: str = OWN) -> Any:
    """The sums of today's inferences in the store."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    query = Query(start=start, end=start.replace(hour=23, minute=59), by=("model",))
    [groups] = current_store().totals(Scope.of(organization), [query])
    return groups


class TestRequests:
    def test_the_documents_example(self) -> None:
        metrics.record_http_request("POST", "/api/models/deploy", 200, 150, OWN)
        assert counted("cockpit_http_requests_total") == {(OWN, "POST", "/api/models/deploy", "200"): 1}
        [found] = counting.table._held.distributions.values()
        assert found.total == pytest.approx(0.15)

    @pytest.mark.parametrize(
        ("status", "types"), [(399, []), (404, ["Not Found"]), (503, ["Service Unavailable"]), (599, ["other"])]
    )
    def test_an_error_is_counted_as_one(self, status: int, types: list[str]) -> None:
        metrics.record_http_request("GET", "home", status, 1, OWN)
        assert list(counted("cockpit_http_errors_total")) == [(OWN, "home", kind) for kind in types]

    def test_without_an_organization_it_is_the_default_one(self, settings: Any) -> None:
        settings.DEFAULT_ORGANIZATION = OTHER
        metrics.record_http_request("get", "home", 200, 1)
        assert list(counted("cockpit_http_requests_total")) == [(OTHER, "GET", "home", "200")]

    @pytest.mark.parametrize(
        "bad",
        [
            {"duration_ms": -1}, {"duration_ms": math.nan}, {"duration_ms": math.inf}, {"duration_ms": "soon"},
            {"duration_ms": None}, {"duration_ms": 10**400}, {"status": 99}, {"status": 600}, {"status": "ok"},
            {"route": "x" * 201}, {"route": "a\x00b"}, {"route": "\ud800"}, {"organization": "No Slug"},
            {"organization": "a" * 60}, {"organization": 7}, {"route": Unprintable()}, {"method": Unprintable()},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_cannot_be_kept_is_counted_and_never_raised(self, bad: dict[str, Any]) -> None:
        given = {"method": "GET", "route": "home", "status": 200, "duration_ms": 1.0, "organization": OWN}
        metrics.record_http_request(**{**given, **bad})
        assert counted("cockpit_http_requests_total") == {}
        assert counted(DROPPED) == {("shared", "invalid", "record_http_request"): 1}

    def test_it_is_cheap(self) -> None:
        began = time.thread_time()
        for _ in range(2_000):
            metrics.record_http_request("GET", "home", 200, 12.5, OWN)
        assert (time.thread_time() - began) / 2_000 < 0.001


class TestInferences:
    def test_the_documents_example_is_stored_like_one_that_was_sent(self, database: str) -> None:
        metrics.record_model_inference("qwen2.5:7b", 120, 0.001, OWN)
        assert stored() == {}, "the caller does not wait for the store"
        inferences.queue.flush(datetime.now(UTC), False)
        summary = stored()[("qwen2.5:7b",)]
        assert (summary.inferences, summary.cost, summary.duration_us) == (1, Decimal("0.001"), 120_000)
        [call] = current_store().latest(Scope.of(OWN), OWN, limit=5)
        assert call.source == "live"

    def test_every_field_of_an_inference_can_be_given(self, database: str) -> None:
        metrics.record_model_inference(
            "llama", 5, None, OWN, input_tokens=7, output_tokens=3, status="error", error_type="overloaded",
            provider="ollama", user_id="ada", revenue="0.5", tags={"team": "search"}, time_to_first_token_ms=1.5,
        )  # fmt: skip
        inferences.queue.flush(datetime.now(UTC), False)
        summary = stored()[("llama",)]
        assert (summary.errors, summary.input_tokens, summary.unpriced, summary.revenue) == (1, 7, 1, Decimal("0.5"))
        assert counted(DROPPED) == {}

    @pytest.mark.parametrize(
        "bad",
        [
            {"model": ""}, {"model": "x" * 201}, {"model": 5}, {"duration_ms": -1}, {"duration_ms": "long"},
            {"duration_ms": math.nan}, {"cost": "much"}, {"cost": True}, {"organization": "No Slug"}, {"colour": "red"},
            {"status": "fine"}, {"input_tokens": -1}, {"model": "a\x00b"}, {"source": "demo"},
            {"tags": {"a": object}}, {"cost": Unprintable()},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_cannot_be_kept_is_counted_and_never_raised(self, bad: dict[str, Any]) -> None:
        given = {"model": "llama", "duration_ms": 1.0, "cost": 0.1, "organization": OWN}
        metrics.record_model_inference(**{**given, **bad})
        assert len(inferences.queue._waiting) == 0
        assert counted(DROPPED) == {("shared", "invalid", "record_model_inference"): 1}

    def test_a_number_too_long_to_be_written_out_is_counted_and_never_raised(self) -> None:
        metrics.record_model_inference("llama", 1, 10**5000, OWN)
        assert counted(DROPPED) == {("shared", "invalid", "record_model_inference"): 1}

    @pytest.mark.parametrize("bad", [{"cost": -1}, {"cost": 10**9}, {"model": " "}, {"cost": math.inf}], ids=str)
    def test_what_the_one_way_in_refuses_is_counted(self, database: str, bad: dict[str, Any]) -> None:
        metrics.record_model_inference(**{"model": "llama", "duration_ms": 1.0, "organization": OWN, **bad})
        metrics.record_model_inference("good", 1, organization=OWN)
        inferences.queue.flush(datetime.now(UTC), False)
        assert list(stored()) == [("good",)]
        assert counted(DROPPED) == {("shared", "invalid", "record_model_inference"): 1}

    def test_an_organization_that_is_not_there_keeps_nobody_from_being_stored(self, database: str) -> None:
        metrics.record_model_inference("lost", 1, organization="nobody_at_all")
        metrics.record_model_inference("good", 1, organization=OWN)
        inferences.queue.flush(datetime.now(UTC), False)
        assert list(stored()) == [("good",)]
        assert counted(DROPPED) == {("shared", "refused", "record_model_inference"): 1}

    def test_one_whose_commit_was_not_confirmed_is_stored_once(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection breaks off while the database commits: nobody knows, and it is sent again."""
        real, broken = inferences.ingest.record_inferences, [OperationalError("server closed the connection")]

        def record(**given: Any) -> Any:
            results = real(**given)
            if broken:
                raise broken.pop()
            return results

        monkeypatch.setattr(inferences.ingest, "record_inferences", record)
        for _ in range(3):
            metrics.record_model_inference("llama", 1, "0.5", OWN)
        with pytest.raises(OperationalError):
            inferences.queue.flush(datetime.now(UTC), False)
        inferences.queue.flush(datetime.now(UTC), False)
        summary = stored()[("llama",)]
        assert (summary.inferences, summary.cost) == (3, Decimal("1.5"))
        assert counted(DROPPED) == {}

    def test_a_key_used_for_other_content_is_counted(self, database: str) -> None:
        for cost in ("1", "2"):
            metrics.record_model_inference("llama", 1, cost, OWN, idempotency_key="the same")
        inferences.queue.flush(datetime.now(UTC), False)
        assert stored()[("llama",)].inferences == 1
        assert counted(DROPPED) == {("shared", "conflict", "record_model_inference"): 1}

    def test_the_queue_is_bounded(self) -> None:
        queue = inferences.Queue(most=10)
        item = inferences.item_of("llama", 1, None, {})
        for _ in range(25):
            queue.put(OWN, item)
        assert len(queue._waiting) == 10
        assert counted(DROPPED) == {("shared", "overflow", "record_model_inference"): 15}

    def test_while_the_store_is_away_they_wait_in_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        away = True
        written: list[str] = []

        def record(*, items: list[Any], **_: Any) -> list[Any]:
            if away:
                raise OperationalError
            written.extend(item.model_name for item in items)
            return []

        monkeypatch.setattr(inferences.ingest, "record_inferences", record)
        monkeypatch.setattr(counting, "_there", {OWN})
        names = [f"model {number}" for number in range(5)]
        for name in names:
            metrics.record_model_inference(name, 1, organization=OWN)
        with pytest.raises(OperationalError):
            inferences.queue.flush(datetime.now(UTC), False)
        away = False
        inferences.queue.flush(datetime.now(UTC), False)
        assert written == names


class TestCustomFamilies:
    def test_all_three_kinds_reach_the_store_and_a_scrape(self, database: str) -> None:
        orders = metrics.register_counter("shop_orders_total", "Orders placed", ["kind"])
        depth = metrics.register_gauge("shop_queue_depth", "Orders that wait")
        sizes = metrics.register_histogram("shop_order_size", "Items of an order", ["kind"], bounds=[1, 5, 10])
        for size in (1, 3, 30):
            orders.add(organization=OWN, kind="book")
            sizes.observe(size, organization=OWN, kind="book")
        depth.set(4, organization=OWN)
        text = metrics.get_metrics(OWN)
        for line in (
            "# HELP shop_orders_total Orders placed",
            "# TYPE shop_orders_total counter",
            'shop_orders_total{organization="swaggystacks",kind="book"} 3',
            "# TYPE shop_queue_depth gauge",
            'shop_queue_depth{organization="swaggystacks"} 4',
            "# TYPE shop_order_size histogram",
            'shop_order_size_bucket{organization="swaggystacks",kind="book",le="5.0"} 2',
            'shop_order_size_bucket{organization="swaggystacks",kind="book",le="+Inf"} 3',
            'shop_order_size_sum{organization="swaggystacks",kind="book"} 34',
        ):
            assert line in text, text
        assert "shop_orders_total" not in metrics.get_metrics(OTHER).replace("# ", "")
        only = metrics.get_metrics(OWN, include=["shop_orders_total"])
        assert {line.split("{")[0] for line in only.splitlines() if not line.startswith("#")} == {"shop_orders_total"}

    @pytest.mark.parametrize("name", [name for name, _ in NAMES], ids=[why for _, why in NAMES])
    def test_a_bad_name_is_told_at_registration(self, name: str) -> None:
        with pytest.raises(metrics.BadFamily, match=r"^name: "):
            metrics.register_counter(name, "Help")

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"labels": ["le"]}, "labels"), ({"labels": ["organization"]}, "labels"),
            ({"labels": ["a", "a"]}, "labels"), ({"labels": ["A"]}, "labels"), ({"labels": ["__a"]}, "labels"),
            ({"labels": list("abcdefghi")}, "labels"),
            ({"help": "x" * 201}, "help"), ({"help": "a\nb"}, "help"), ({"sample_rate": 0}, "sample_rate"),
            ({"sample_rate": 1.1}, "sample_rate"), ({"sample_rate": math.nan}, "sample_rate"),
            ({"bounds": []}, "bounds"), ({"bounds": [2, 1]}, "bounds"), ({"bounds": [1, 1]}, "bounds"),
            ({"bounds": [1, math.inf]}, "bounds"),
            ({"bounds": ["wide"]}, "bounds"), ({"bounds": range(31)}, "bounds"),
            ({"sample_rate": "half"}, "sample_rate"),
            ({"labels": ["amount"]}, "labels"), ({"labels": ["value"]}, "labels"), ({"labels": "kind"}, "name, help"),
            ({"labels": [5]}, "name, help"), ({"name": 5}, "name, help"), ({"help": None}, "name, help"),
            ({"name": "sizes_bucket"}, "name"), ({"name": "sizes_count"}, "name"), ({"name": "sizes_total"}, "name"),
            ({"name": "sizes_created"}, "name"),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_else_is_wrong_is_told_by_its_field(self, given: dict[str, Any], field: str) -> None:
        with pytest.raises(metrics.BadFamily, match=f"^{field}(: | and )"):
            metrics.register_histogram(**{"name": "sizes", "help": "Sizes", **given})

    def test_the_same_again_is_the_same_and_another_is_refused(self) -> None:
        one = metrics.register_counter("shop_orders_total", "Orders", ["kind"])
        assert metrics.register_counter("shop_orders_total", "Orders", ["kind"]) is one
        for other in ({"help": "Else"}, {"labels": []}, {"sample_rate": 0.5}):
            with pytest.raises(metrics.BadFamily, match="registered already"):
                metrics.register_counter(**{"name": "shop_orders_total", "help": "Orders", "labels": ["kind"], **other})
        with pytest.raises(metrics.BadFamily, match="shop_orders_total is registered already"):
            metrics.register_gauge("shop_orders", "To OpenMetrics it has the counter's name")
        metrics.register_gauge("shop", "A gauge")
        with pytest.raises(metrics.BadFamily, match="registered already"):
            metrics.register_histogram("shop", "A gauge")
        with pytest.raises(metrics.BadFamily, match="shop is registered already"):
            metrics.register_counter("shop_total", "A gauge")

    def test_there_are_only_so_many(self) -> None:
        for number in range(custom.MOST_FAMILIES):
            metrics.register_gauge(f"gauge_{number}", "One of many")
        with pytest.raises(metrics.BadFamily, match=f"at most {custom.MOST_FAMILIES}"):
            metrics.register_gauge("one_more", "One too many")

    @pytest.mark.parametrize(
        "labels", [{}, {"kind": "a", "more": 1}, {"colour": "red"}, {"kind": "x" * 201}, {"kind": "a\x00"}], ids=str
    )
    def test_wrong_labels_are_counted_and_never_raised(self, labels: dict[str, Any]) -> None:
        metrics.register_counter("shop_orders_total", "Orders", ["kind"]).add(organization=OWN, **labels)
        assert counted("shop_orders_total") == {}
        assert counted(DROPPED) == {("shared", "invalid", "counter"): 1}

    def test_any_word_may_be_a_label(self) -> None:
        metrics.register_counter("shop_orders_total", "Orders", ["self", "name"]).add(
            organization=OWN, self="a", name="b"
        )
        assert counted("shop_orders_total") == {(OWN, "b", "a"): 1}

    def test_a_label_without_a_text_is_counted_and_never_raised(self) -> None:
        metrics.register_counter("shop_orders_total", "Orders", ["kind"]).add(organization=OWN, kind=Unprintable())
        assert counted(DROPPED) == {("shared", "invalid", "counter"): 1}

    @pytest.mark.parametrize("amount", [-1, math.nan, math.inf, "many", 1e16, None])
    def test_a_counter_only_grows_by_numbers(self, amount: Any) -> None:
        metrics.register_counter("shop_orders_total", "Orders").add(amount, organization=OWN)
        assert counted("shop_orders_total") == {}

    def test_sampling_keeps_totals_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One in twenty is kept and weighs twenty: 100,000 calls are told with an error of few in a hundred."""
        draws = iter((number * 0.618033988749895) % 1 for number in range(1, 400_000))
        monkeypatch.setattr(custom.random, "random", lambda: next(draws))
        hits = metrics.register_counter("shop_hits_total", "Hits", sample_rate=0.05)
        sizes = metrics.register_histogram("shop_sizes", "Sizes", bounds=[10], sample_rate=0.05)
        for number in range(100_000):
            hits.add(2, organization=OWN)
            sizes.observe(number % 20, organization=OWN)
        assert counted("shop_hits_total")[(OWN,)] == pytest.approx(200_000, rel=0.02)
        [found] = counting.table._held.distributions.values()
        assert sum(found.buckets) == pytest.approx(100_000, rel=0.02)
        assert found.total == pytest.approx(950_000, rel=0.05)

    def test_a_sampled_histogram_counts_in_whole_numbers(self) -> None:
        """One in 3.33 weighs three or four: who reads histograms refuses a third of an observation."""
        sizes = metrics.register_histogram("shop_sizes", "Sizes", bounds=[10], sample_rate=0.3)
        for _ in range(20_000):
            sizes.observe(1, organization=OWN)
        [found] = counting.table._held.distributions.values()
        assert found.buckets[0].is_integer()
        assert found.buckets[0] == pytest.approx(20_000, rel=0.1)

    def test_without_sampling_nothing_is_left_to_chance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(custom.random, "random", lambda: pytest.fail("asked"))
        metrics.register_counter("shop_hits_total", "Hits").add(organization=OWN)


class TestLife:
    def test_everything_is_on_without_a_word(self) -> None:
        initialize()
        assert metrics.is_ready()

    def test_what_is_switched_off_records_nothing(self) -> None:
        initialize(MonitoringConfig(enable_prometheus=False, enable_integration=False))
        metrics.record_http_request("GET", "home", 200, 1, OWN)
        metrics.record_model_inference("llama", 1, None, OWN)
        metrics.register_gauge("shop", "A gauge").set(1, organization=OWN)
        assert not metrics.is_ready()
        assert counting.table._held.levels == {}
        assert counted("cockpit_http_requests_total") == {}
        assert not inferences.queue._waiting

    def test_a_log_level_that_is_none_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="log_level: must be one of debug"):
            initialize(MonitoringConfig(log_level="loud"))

    def test_shutdown_writes_everything(self, database: str) -> None:
        metrics.record_model_inference("llama", 1, None, OWN)
        metrics.record_http_request("GET", "home", 200, 1, OWN)
        shutdown()
        assert stored()[("llama",)].inferences == 1
        [total] = current_store().counters(Scope.of(OWN), families=["cockpit_http_requests_total"])
        assert total.value == 1
        assert not metrics.is_ready()
        initialize()
        assert metrics.is_ready()

    def test_health_has_the_documented_shape(self, database: str) -> None:
        assert get_monitoring_health() == {
            "overall": True,
            "services": {"prometheus": True, "logging": True, "tracing": False, "integration": True},
        }

    def test_health_tells_that_the_store_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Frozen:
            def counters(self, *_: Any, **__: Any) -> None:
                time.sleep(3)

        monkeypatch.setattr(lifecycle, "current_store", Frozen)
        monkeypatch.setattr(lifecycle, "_DEADLINE", 0.05)
        began = time.monotonic()
        assert [get_monitoring_health()["services"]["integration"] for _ in range(3)] == [False] * 3
        assert time.monotonic() - began < 2
        assert not get_monitoring_health()["overall"]
        time.sleep(3)  # the question that hangs is over: no later test is refused its own

    def test_it_is_not_ready_while_nothing_can_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Away:
            def observe(self, *_: Any, **__: Any) -> None:
                raise OperationalError

        monkeypatch.setattr(counting, "current_store", Away)
        monkeypatch.setattr(counting, "_there", {OWN})
        metrics.record_http_request("GET", "home", 200, 1, OWN)
        counting.flusher.flush()
        assert not metrics.is_ready()


SCRIPT = """
import django
django.setup()
from monitoring.services import initialize, metrics
initialize()
orders = metrics.register_counter("shop_orders_total", "Orders placed")
for _ in range(500):
    orders.add(organization="swaggystacks")
    metrics.record_model_inference("script", 3, "0.01", "swaggystacks")
print("recorded", metrics.is_ready(), flush=True)
"""


def _environment(database: str) -> dict[str, str]:
    return clean_environment(
        DATABASE_URL=as_url(database, "cockpit_app"),
        REDIS_URL="redis://127.0.0.1:1/0",
        DJANGO_SETTINGS_MODULE="cockpit.settings",
        SECRET_KEY="a key of the tests, which is long enough and secret to nobody",
        KEY_PEPPER="a pepper of the tests, secret to nobody",
        COCKPIT_DATA_DIR=os.environ["COCKPIT_DATA_DIR"],
    )


def test_a_plain_script_leaves_everything_in_the_store(database: str) -> None:
    """No request, no server, and not a word to shutdown(): what was recorded is written when the process ends."""
    environment = _environment(database)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "recorded True\n"), ended.stderr
    assert stored()[("script",)].inferences == 500
    [orders] = current_store().counters(Scope.of(OWN), families=["shop_orders_total"])
    assert orders.value == 500


FORKING = """
import os, sys, time
import django
django.setup()
from monitoring.services import metrics
def record(times):
    for _ in range(times):
        metrics.record_http_request("GET", "forked", 200, 1, "swaggystacks")
        metrics.record_model_inference("forked", 3, "0.01", "swaggystacks")
record(3)
child = os.fork()
if child == 0:
    record(4)
    sys.exit(0)
_, status = os.waitpid(child, 0)
sys.exit(status)
"""


def test_a_fork_and_its_parent_write_what_is_their_own(database: str) -> None:
    environment = _environment(database)
    ended = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert stored()[("forked",)].inferences == 7
    [requests] = current_store().counters(Scope.of(OWN), families=["cockpit_http_requests_total"])
    assert requests.value == 7
