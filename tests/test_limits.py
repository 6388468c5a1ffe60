"""Rate limits: counted exactly in one process, added up across processes, and never off when the cache is."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from organizations import limits


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(limits, "_tallies", {})
    monkeypatch.setattr(limits, "_away_until", 0.0)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_010.0)  # ten seconds into no window of a minute's edge
    cache.clear()
    yield
    cache.clear()


def test_the_limit_is_exact_in_one_process() -> None:
    answers = [limits.hit("a", limit=5) for _ in range(7)]
    assert answers[:5] == [0] * 5
    assert all(0 < seconds <= 60 for seconds in answers[5:])


def test_names_do_not_touch_each_other() -> None:
    for _ in range(5):
        limits.hit("a", limit=5)
    assert limits.hit("b", limit=5) == 0


def test_the_next_window_starts_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        wait = limits.hit("a", limit=5)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_010.0 + wait)
    assert limits.hit("a", limit=5) == 0


def test_another_process_is_counted_at_the_next_look() -> None:
    limits.hit("a", limit=5)
    key = limits._key("a", 60, time.time())
    cache.incr(key, 10)  # what the other process has sent
    limits._tallies[key].next_look = 0.0
    assert limits.hit("a", limit=5) > 0
    assert cache.get(key) == 12


def test_a_name_can_be_forgiven() -> None:
    for _ in range(6):
        limits.hit("a", limit=5)
    limits.forget("a")
    assert limits.hit("a", limit=5) == 0


def test_without_the_cache_it_still_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise ConnectionError

    asked: list[int] = []
    monkeypatch.setattr(cache, "incr", away)
    answers = [limits.hit("a", limit=5) for _ in range(7)]
    assert answers[:5] == [0] * 5
    assert all(answers[5:])
    assert len(asked) == 1, "a cache that just failed is left alone for a while"
