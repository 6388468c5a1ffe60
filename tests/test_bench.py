"""The pure parts of the benchmarks: percentiles, which admin pages are of one kind, which rules are judged."""

import struct

import pytest

from bench.delivery import alert, medians, number_of, spread
from bench.rig import percentile
from bench.rules import met
from bench.rules_load import CALM, DEPLOYMENTS, KINDS, WINDOWS, Asked, Deployment, expression, rules, wrong
from bench.rules_prometheus import STEP, Counters
from bench.screenshots import kind_of, name_of, size_of


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2.5), (0.95, 3.85), (1.0, 4)])
def test_a_percentile_lies_straight_between_its_neighbours(share: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], share) == pytest.approx(value)


def test_a_single_value_is_every_percentile() -> None:
    assert percentile([7], 0.0) == percentile([7], 0.95) == 7


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/admin/", "/admin/"),
        ("/admin/monitoring/inference/?source=live", "/admin/monitoring/inference/"),
        ("/admin/organizations/user/add/", "/admin/organizations/user/add/"),
        ("/admin/organizations/user/17/change/", "/admin/organizations/user/*/change/"),
        ("/admin/monitoring/inference/019e-ab_2D/history/", "/admin/monitoring/inference/*/history/"),
        ("/admin/organizations/user/17/password/", "/admin/organizations/user/*/password/"),
        ("/admin/alerts/alertrule/019e-ab/why/", "/admin/alerts/alertrule/*/why/"),
        ("/admin/password_change/", "/admin/password_change/"),
        ("/admin/logout/", None),
        ("/admin/jsi18n/", None),
        ("/dashboards/swaggystacks/", None),
    ],
)
def test_admin_pages_that_differ_in_their_object_are_one_kind(path: str, kind: str | None) -> None:
    assert kind_of(path) == kind


def test_a_kind_becomes_a_files_name() -> None:
    assert name_of("/admin/") == "admin"
    assert name_of("/admin/organizations/user/*/change/") == "admin-organizations-user-change"


def test_the_size_of_a_picture_is_read_from_its_head() -> None:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 1440, 900)
    assert size_of(head) == (1440, 900)


def test_a_notice_is_known_by_its_number() -> None:
    assert number_of(alert(42).encode()) == 42
    assert number_of(b'{"type":"channel.test"}') is None


def test_times_are_spread_and_rounds_have_their_middle() -> None:
    assert spread([0.001, 0.002, 0.003]) == {"p50_ms": 2.0, "p95_ms": 2.9, "p99_ms": 3.0, "most_ms": 3.0}
    assert medians([{"calm": {"p50_ms": each}} for each in (3.0, 1.0, 2.0)]) == {"calm": {"p50_ms": 2.0}}


def test_so_many_of_the_first_rules_are_of_all_kinds() -> None:
    every = rules()
    assert len({one[1:] for one in every}) == len(every) == 10_000
    assert {(one.kind, one.window) for one in every[:200]} == {(kind, window) for kind in KINDS for window in WINDOWS}
    assert every == rules()


def test_a_rule_is_asked_of_prometheus_as_people_write_it() -> None:
    one = Asked(7, Deployment("llama", "eu"), KINDS[1], 5)
    assert expression(one) == 'sum(increase(calls_total{model="llama",endpoint="eu"}[5m])) > 15.0'


def test_other_deployments_go_wrong_with_every_minute() -> None:
    one_after_the_other = [wrong(number) for number in range(len(DEPLOYMENTS) // 2)]
    assert {len(each) for each in one_after_the_other} == {2}
    assert set().union(*one_after_the_other) == set(range(len(DEPLOYMENTS)))


def test_what_is_scraped_grows_by_a_calm_minute_in_its_steps() -> None:
    counters = Counters()
    for _ in range(60 // STEP):
        counters.advance({3})
    assert counters.held[0] == pytest.approx([2, 0, 0.2, 2, 0.02, 200])
    assert counters.held[0][0] == CALM.calls
    assert counters.held[3][:2] == [0, 48]


@pytest.mark.parametrize(("slowest", "under", "fine"), [(50.0, True, True), (61.0, True, False), (90.0, False, False)])
def test_ten_times_as_many_rules_take_less_than_ten_times_as_long(slowest: float, under: bool, fine: bool) -> None:
    found = {
        str(size): {"changing": {"median_ms": took}} for size, took in ((100, 5.0), (1_000, 8.0), (10_000, slowest))
    }
    told = met(found)
    assert (told["under_linearly"], told["met"], told["found_ms"]) == (under, fine, slowest)
