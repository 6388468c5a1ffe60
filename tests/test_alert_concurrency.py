"""Alerts stay exact while many raise, end and reopen the same ones at once, each over a connection of its own."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection

from alerts import lifecycle
from alerts.lifecycle import Fired, Outcome
from alerts.states import Report
from organizations.models import AuditEvent
from organizations.scope import Scope
from tests.test_alert_lifecycle import EVERYONE, OTHER, OWN, facts, replayed, stored, timelines

BOTH = Scope.of(OWN, OTHER)


def all_at_once(works: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each gives; all begin together, each in a thread with a connection of its own."""
    ordered = list(works)
    results: list[Any] = [None] * len(ordered)
    failures: list[BaseException] = []
    ready = threading.Barrier(len(ordered))

    def run(place: int) -> None:
        try:
            ready.wait(10)
            results[place] = ordered[place]()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(ordered))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return results


def report(number: int, **changes: Any) -> Report:
    given = {"alert_type": "slow", "severity": "warning", "message": "It is slow.", "labels": {"n": str(number)}}
    return Report(**{**given, **changes})


def fire(reports: Sequence[Report], organization: str = OWN) -> list[Fired]:
    return lifecycle.fire(scope=BOTH, organization=organization, reports=reports, now=datetime.now(UTC), via="api")


def some(chance: random.Random, things: Sequence[Any], most: int) -> list[list[Any]]:
    """All of them, in an order of its own, in pieces of 1 to `most`."""
    left, pieces = chance.sample(things, len(things)), []
    while left:
        size = chance.randint(1, most)
        pieces.append(left[:size])
        left = left[size:]
    return pieces


def check(organizations: Sequence[str] = (OWN, OTHER)) -> None:
    """One open alert a fingerprint, episodes without a gap, timelines that lead to their rows."""
    rows = stored(*organizations)
    episodes: dict[str, list[int]] = {}
    standing: Counter[str] = Counter()
    for state in rows.values():
        episodes.setdefault(state.fingerprint, []).append(state.episode)
        standing[state.fingerprint] += state.status != "resolved"
    assert max(standing.values()) <= 1
    assert [found for found in map(sorted, episodes.values()) if found != list(range(1, len(found) + 1))] == []
    lines: dict[UUID, list[dict[str, Any]]] = {one: [] for one in rows}
    for line in timelines(*organizations):
        lines[line["alert_id"]].append(line)
    assert {one: replayed(own) for one, own in lines.items()} == {one: facts(state) for one, state in rows.items()}
    for one, own in lines.items():
        kinds = Counter(line["kind"] for line in own)
        assert kinds["fired"] == 1
        assert kinds["reopened"] == rows[one].reopened
        assert kinds["resolved"] == kinds["reopened"] + (rows[one].status == "resolved")


class TestRaisedAtOnce:
    def test_2400_reports_of_300_fingerprints_are_300_alerts_whose_counts_add_up(self, database: str) -> None:
        def work(seed: int) -> list[Fired]:
            """All 300, in an order and in batches of its own; every other thread sends them one by one."""
            pieces = some(random.Random(seed), range(300), 1 if seed % 2 else 20)
            return [fired for piece in pieces for fired in fire([report(number) for number in piece])]

        told = [fired for results in all_at_once(partial(work, seed) for seed in range(8)) for fired in results]
        rows = stored(OWN)
        assert (len(told), len(rows)) == (2_400, 300)
        assert {state.count for state in rows.values()} == {8}
        assert {state.episode for state in rows.values()} == {1}
        assert sum(fired.created for fired in told) == 300
        # Whoever was told a count was told one that nobody else was.
        assert Counter((fired.state.id, fired.state.count) for fired in told).most_common(1)[0][1] == 1
        assert Counter(line["kind"] for line in timelines(OWN)) == {"fired": 300}
        check()

    def test_the_same_one_in_one_batch_and_in_many_is_one(self, database: str) -> None:
        batch = [report(number % 3, severity=severity) for number in range(6) for severity in ("warning", "critical")]
        all_at_once([partial(fire, batch[place:] + batch[:place]) for place in range(6)])
        rows = stored(OWN)
        assert sorted(state.count for state in rows.values()) == [24, 24, 24]
        check()

    def test_two_organizations_do_not_share_an_alert(self, database: str) -> None:
        all_at_once(
            partial(fire, [report(number) for number in range(20)], organization) for organization in (OWN, OTHER) * 3
        )
        rows = stored(OWN, OTHER)
        assert Counter(state.organization_id for state in rows.values()) == {OWN: 20, OTHER: 20}
        assert {state.count for state in rows.values()} == {3}
        check()


class TestOneVerbOfMany:
    def test_one_resolves_it_and_all_are_told_the_same(self, database: str) -> None:
        (fired,) = fire([report(1)])

        def work() -> Outcome:
            (outcome,) = lifecycle.resolve(scope=BOTH, ids=[fired.state.id], now=datetime.now(UTC), via="api")
            return outcome

        outcomes = all_at_once([work] * 8)
        assert sum(outcome.changed for outcome in outcomes) == 1
        assert len({outcome.state.resolved_at for outcome in outcomes}) == 1
        assert [line["kind"] for line in timelines(OWN)] == ["fired", "resolved"]
        with EVERYONE.enter():
            assert AuditEvent.objects.filter(action="resolved").count() == 1

    def test_one_of_two_episodes_is_opened_again(self, database: str) -> None:
        ids = []
        for _ in range(2):
            (fired,) = fire([report(1)])
            ids.append(fired.state.id)
            lifecycle.resolve(scope=BOTH, ids=ids, now=datetime.now(UTC), via="api")

        def reopen(one: UUID) -> Outcome:
            (outcome,) = lifecycle.reopen(scope=BOTH, ids=[one], now=datetime.now(UTC), via="api")
            return outcome

        outcomes = all_at_once(partial(reopen, one) for one in ids * 3)
        assert sum(outcome.changed for outcome in outcomes) == 1
        assert {bool(outcome.refused) for outcome in outcomes} == {True, False}
        check()

    def test_raised_and_reopened_at_once_one_is_open(self, database: str) -> None:
        for number in range(10):
            (fired,) = fire([report(number)])
            given: dict[str, Any] = {"scope": BOTH, "ids": [fired.state.id], "via": "api"}
            lifecycle.resolve(now=datetime.now(UTC), **given)
            raised, reopened = all_at_once(
                [partial(fire, [report(number)]), partial(lifecycle.reopen, now=datetime.now(UTC), **given)]
            )
            # Whoever came second found the other's: counted once more, or refused for the other episode.
            assert reopened[0].changed != raised[0].created
        check()


class TestOppositeOrders:
    SECONDS = 4.0
    VERBS: tuple[Callable[..., list[Outcome]], ...] = (
        lifecycle.resolve, lifecycle.acknowledge, lifecycle.unacknowledge, lifecycle.reopen,
    )  # fmt: skip

    def test_bulk_verbs_over_the_same_alerts_never_lock_each_other_out(self, database: str) -> None:
        """Every verb on the same 40 alerts of two organizations from eight threads, each time in another order."""
        for organization in (OWN, OTHER):
            fire([report(number) for number in range(20)], organization)
        first = list(stored(OWN, OTHER))
        until = time.monotonic() + self.SECONDS

        def raise_some(chance: random.Random) -> int:
            numbers = chance.sample(range(20), chance.randint(1, 20))
            severity = chance.choice(["warning", "critical"])
            fired = fire([report(number, severity=severity) for number in numbers], chance.choice((OWN, OTHER)))
            return sum(one.created for one in fired)

        def work(seed: int) -> Counter[str]:
            chance, known, done = random.Random(seed), list(first), Counter[str]()
            while time.monotonic() < until:
                if chance.random() < 0.3:
                    done["created"] += raise_some(chance)
                    known = list(stored(OWN, OTHER))
                    continue
                verb = chance.choice(self.VERBS)
                ids = chance.sample(known, min(len(known), chance.randint(1, 40)))
                outcomes = verb(scope=BOTH, ids=ids, now=datetime.now(UTC), via="api")
                assert [outcome.state.id for outcome in outcomes] == ids
                done[verb.__name__] += sum(outcome.changed for outcome in outcomes)
            return done

        done = sum(all_at_once(partial(work, seed) for seed in range(8)), Counter())
        assert min(done[name] for name in ("created", *(verb.__name__ for verb in self.VERBS))) > 0
        check()
        self.check_numbers(done)

    @staticmethod
    def check_numbers(done: Counter[str]) -> None:
        """Each change that somebody was told of is one line, and no line came without one."""
        kinds = Counter(line["kind"] for line in timelines(OWN, OTHER))
        assert kinds["fired"] == 40 + done["created"] == len(stored(OWN, OTHER))
        assert (kinds["resolved"], kinds["reopened"]) == (done["resolve"], done["reopen"])
        assert kinds["acknowledged"] == done["acknowledge"]
        assert kinds["unacknowledged"] >= done["unacknowledge"]  # a worse severity takes it back too

    def test_two_that_take_them_from_both_ends_both_come_through(self, database: str) -> None:
        fire([report(number) for number in range(60)])
        ids = sorted(stored(OWN))

        def work(verb: Callable[..., list[Outcome]], order: list[UUID]) -> None:
            for _ in range(12):
                verb(scope=BOTH, ids=order, now=datetime.now(UTC), via="api")

        verbs = (lifecycle.resolve, lifecycle.reopen, lifecycle.acknowledge, lifecycle.resolve)
        all_at_once(partial(work, verb, ids[:: (-1) ** place]) for place, verb in enumerate(verbs))
        check()
