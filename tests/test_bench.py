"""The pure parts of the benchmarks: percentiles, and which admin pages are of one kind."""

import struct

import pytest

from bench.delivery import alert, medians, number_of, spread
from bench.rig import percentile
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
