"""Answers shared for a second: made once for all who ask together, and never older than the news they were told."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from cockpit.dashboard import sharing

NOON = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)


class Counter:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> int:
        self.made += 1
        time.sleep(0.01)
        return self.made


@pytest.fixture
def news(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | None]:
    numbers: dict[str, int | None] = {"a": 1, "b": 1}
    monkeypatch.setattr(sharing.pubsub, "sequence", numbers.__getitem__)
    sharing._places.clear()
    return numbers


def test_those_who_ask_together_get_one_answer(news: dict[str, int | None]) -> None:
    make = Counter()
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(lambda _: sharing.shared("a", "x", NOON, make), range(100)))
    assert answers == [1] * 100


def test_news_end_it_within_the_second(news: dict[str, int | None]) -> None:
    make = Counter()
    assert sharing.shared("a", "x", NOON, make) == 1
    assert sharing.shared("a", "x", NOON + timedelta(microseconds=900_000), make) == 1
    news["a"] = 2
    assert sharing.shared("a", "x", NOON, make) == 2


def test_the_next_second_makes_its_own(news: dict[str, int | None]) -> None:
    make = Counter()
    sharing.shared("a", "x", NOON, make)
    assert sharing.shared("a", "x", NOON + timedelta(seconds=1), make) == 2


def test_organizations_and_questions_are_apart(news: dict[str, int | None]) -> None:
    make = Counter()
    asked = [("a", "x"), ("b", "x"), ("a", "y"), ("a", ("x",))]
    assert [sharing.shared(whose, what, NOON, make) for whose, what in asked] == [1, 2, 3, 4]


def test_without_the_broker_nothing_is_shared(news: dict[str, int | None]) -> None:
    make = Counter()
    news["a"] = None
    assert [sharing.shared("a", "x", NOON, make) for _ in range(3)] == [1, 2, 3]


def test_without_the_broker_those_who_wait_share_what_is_begun_after_they_came(news: dict[str, int | None]) -> None:
    news["a"] = None
    make = Counter()
    with ThreadPoolExecutor(50) as callers:
        answers = list(callers.map(lambda _: sharing.shared("a", "x", NOON, make), range(50)))
    assert len(answers) == 50
    assert make.made <= 10


def test_who_waited_for_a_failure_fails_with_it(news: dict[str, int | None]) -> None:
    tries = []

    def fail() -> int:
        tries.append(1)
        time.sleep(0.2)
        raise ValueError("no")

    def ask(_: int) -> str:
        try:
            return str(sharing.shared("a", "x", NOON, fail))
        except ValueError as error:
            return str(error)

    began = time.monotonic()
    with ThreadPoolExecutor(20) as callers:
        assert list(callers.map(ask, range(20))) == ["no"] * 20
    assert time.monotonic() - began < 2, "they fail together, not one after the other"
    assert len(tries) <= 3


def test_a_failure_is_not_kept(news: dict[str, int | None]) -> None:
    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        sharing.shared("a", "x", NOON, fail)
    assert sharing.shared("a", "x", NOON, Counter()) == 1


def test_few_answers_are_kept(news: dict[str, int | None]) -> None:
    for number in range(1_000):
        sharing.shared("a", number, NOON, lambda: 0)
    assert len(sharing._places) <= sharing._MOST
