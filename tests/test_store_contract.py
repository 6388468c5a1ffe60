"""What every store promises, held against Postgres and against the in-memory twin."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from bedrock import identifiers
from monitoring.store import retention
from monitoring.store.base import Groups, OutOfScope, Query, Store, Summary
from monitoring.store.postgres import PostgresStore
from organizations.models import Organization
from organizations.scope import Scope
from tests.memory_store import Limits, MemoryStore, inference, summed

SWAGGY, SCIENTIA = "swaggystacks", "scientia_capital"
SCOPE = Scope.of(SWAGGY)
EVERYONE = Scope.system("test")
EVERY = frozenset(Summary.__struct_fields__)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)
# A midnight in UTC that has minutes and single rows on both sides.
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 3 * DAY
NOW = MIDNIGHT + 3 * DAY
WINDOW = Query(start=MIDNIGHT - DAY, end=MIDNIGHT + 2 * DAY)


@dataclass
class World:
    """A store, and the administrator's hand on what organizations are allowed."""

    store: Store
    configure: Callable[..., None]
    another_process: Callable[[], Store]

    def append(self, *inferences: Any, scope: Scope = EVERYONE) -> list[str]:
        return [stored.outcome for stored in self.store.append(scope, inferences, now=NOW)]

    def total(self, scope: Scope = SCOPE, **changes: Any) -> Summary:
        return self.groups(scope, **changes).get((), Summary())

    def groups(self, scope: Scope = SCOPE, **changes: Any) -> Groups:
        return self.store.totals(scope, [window(**changes)])[0]

    def counts(self, *by: Any, **changes: Any) -> dict[tuple[str, ...], int]:
        return {group: summary.inferences for group, summary in self.groups(by=by, **changes).items()}

    def models(self) -> list[str]:
        return [call.model_name for call in self.store.latest(SCOPE, SWAGGY, limit=100)]


def window(**changes: Any) -> Query:
    return Query(**{name.name: getattr(WINDOW, name.name) for name in fields(WINDOW)} | changes)


def at(**after_midnight: float) -> datetime:
    return MIDNIGHT + timedelta(**after_midnight)


def one(model: str = "llama", **changes: Any) -> Any:
    return inference(changes.pop("at", at(hours=10)), model=model, **changes)


def keyed(key: str, content: str = "same", **changes: Any) -> Any:
    return one(key=key.ljust(16).encode(), content=content.ljust(16).encode(), **changes)


@pytest.fixture(params=["postgres", "postgres without cockpit_ingest", "memory"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        twin = MemoryStore()

        def allow(organization: str, **limits: int) -> None:
            twin.limits[organization] = Limits(**limits)

        return World(twin, allow, lambda: twin)
    request.getfixturevalue("database")

    def configure(organization: str, **limits: int) -> None:
        Organization.objects.filter(slug=organization).update(**limits)
        retention.forget()

    def process() -> PostgresStore:
        store = PostgresStore()
        if request.param != "postgres":
            store._appender._has_ingest_role = False  # as on a database whose administrator did not grant it
        return store

    return World(process(), configure, process)


class TestAppend:
    def test_it_works(self, world: World) -> None:
        stored = world.store.append(SCOPE, [one("a"), one("b", at=at(hours=11, milliseconds=7))], now=NOW)
        assert [result.outcome for result in stored] == ["stored", "stored"]
        moments = [identifiers.moment_of(identifiers.parse(result.id)) for result in stored]
        assert moments == [at(hours=10), at(hours=11, milliseconds=7)]
        assert world.total().inferences == 2

    def test_it_takes_an_empty_batch(self, world: World) -> None:
        assert world.append() == []
        assert world.groups() == {}

    def test_it_gives_every_inference_an_id_of_its_own(self, world: World) -> None:
        stored = world.store.append(SCOPE, [one()] * 50, now=NOW)
        assert len({result.id for result in stored}) == 50
        assert world.total().inferences == 50

    @pytest.mark.parametrize(
        "name", ["tab\there", "line\nbreak", "back\\slash", "\\N", "\\.", "null", "ü 🦙", "'--", "%s"]
    )
    def test_it_keeps_every_name_as_it_is(self, world: World, name: str) -> None:
        world.append(one(name, provider=name, endpoint=name, error_type=name, status="error"))
        assert world.counts("model", "provider", "endpoint", "error_type") == {(name,) * 4: 1}
        call = world.store.latest(SCOPE, SWAGGY, limit=1)[0]
        assert (call.model_name, call.provider, call.endpoint_id, call.error_type) == (name,) * 4


class TestScope:
    def test_it_refuses_a_batch_with_any_row_outside_and_stores_nothing_of_it(self, world: World) -> None:
        with pytest.raises(OutOfScope):
            world.append(one(), keyed("k"), one(organization=SCIENTIA), scope=SCOPE)
        assert world.groups(EVERYONE) == {}
        assert world.append(keyed("k")) == ["stored"]

    def test_it_shows_another_scope_nothing(self, world: World) -> None:
        world.append(one(), one(organization="shared"))
        stranger = Scope.of(SCIENTIA)
        for _ in ("from deltas", "from rollups"):
            assert world.groups(stranger, by=("organization_id", "model")) == {}
            assert world.store.series(stranger, [WINDOW], step_seconds=3600) == [{}]
            world.store.fold()
        assert world.store.latest(stranger, SCIENTIA, limit=10) == []
        assert world.store.latest(stranger, SWAGGY, limit=10) == []

    def test_it_shows_an_empty_scope_nothing(self, world: World) -> None:
        world.append(one())
        assert world.groups(Scope.of()) == {}
        assert world.store.latest(Scope.of(), SWAGGY, limit=10) == []

    def test_it_shows_a_scope_of_two_both_and_the_system_all(self, world: World) -> None:
        world.append(one(), one(organization=SCIENTIA), one(organization="shared"))
        two = Scope.of(SWAGGY, SCIENTIA)
        assert world.groups(two, by=("organization_id",)).keys() == {(SWAGGY,), (SCIENTIA,)}
        assert world.total(two).inferences == 2
        assert world.total(EVERYONE).inferences == 3

    def test_it_keeps_keys_apart_by_organization(self, world: World) -> None:
        assert world.append(keyed("k"), keyed("k", organization=SCIENTIA, content="other")) == ["stored"] * 2


class TestTotals:
    def test_it_adds_up_every_measure(self, world: World) -> None:
        first = one(
            attempt=2, duration_us=1_500, ttft_us=700, input_tokens=10, output_tokens=20, cache_read_tokens=3,
            cache_write_tokens=4, reasoning_tokens=5, estimated=True, cost=Decimal("0.25"), revenue=Decimal("1.50"),
        )  # fmt: skip
        second = one(status="error", duration_us=2_500_000, input_tokens=1)
        world.append(first, second)
        total = world.total(fields=EVERY)
        assert total == Summary(
            inferences=2, errors=1, estimated=1, retries=1, input_tokens=11, output_tokens=20, cache_read_tokens=3,
            cache_write_tokens=4, reasoning_tokens=5, cost=Decimal("0.25"), unpriced=1, revenue=Decimal("1.50"),
            with_revenue=1, duration_us=2_501_500, ttft_us=700, with_ttft=1, durations=total.durations,
            ttfts=total.ttfts,
        )  # fmt: skip
        # 2 ms is the first bucket's bound; 2.5 s lies in the 33rd, which ends at 2.524 s.
        assert {place: count for place, count in enumerate(total.durations) if count} == {0: 1, 32: 1}
        assert {place: count for place, count in enumerate(total.ttfts) if count} == {0: 1}
        assert total == summed([first, second])

    def test_it_gives_no_group_where_nothing_is(self, world: World) -> None:
        world.append(one(at=at(days=5)))
        assert world.groups() == {}
        assert world.groups(by=("model",)) == {}

    def test_it_gives_an_empty_window_nothing(self, world: World) -> None:
        world.append(one())
        assert world.groups(start=at(hours=10), end=at(hours=10)) == {}
        assert world.groups(start=at(hours=11), end=at(hours=9)) == {}

    @pytest.mark.parametrize(
        ("dimension", "first", "second"),
        [
            ("organization_id", SWAGGY, SCIENTIA), ("model", "a", "b"), ("provider", "", "ollama"),
            ("endpoint", "x", "y"), ("status", "success", "cancelled"), ("error_type", "", "oom"),
            ("source", "live", "replay"),
        ],
    )  # fmt: skip
    def test_it_groups_by(self, world: World, dimension: Any, first: str, second: str) -> None:
        name = "organization" if dimension == "organization_id" else dimension
        world.append(one(**{name: first}), one(**{name: second}), one(**{name: second}, attempt=3))
        found = world.groups(EVERYONE, by=(dimension,))
        assert {group: summary.inferences for group, summary in found.items()} == {(first,): 1, (second,): 2}
        assert found[(second,)].retries == 1

    def test_it_groups_by_several_in_the_order_asked(self, world: World) -> None:
        world.append(one("a", provider="p", status="error"), one("a", provider="q"), one("b", provider="q"))
        assert world.counts("status", "provider", "model") == {
            ("error", "p", "a"): 1,
            ("success", "q", "a"): 1,
            ("success", "q", "b"): 1,
        }

    def test_it_answers_every_query_in_its_place(self, world: World) -> None:
        world.append(one("a"), one("b", at=at(hours=12)), one("b", source="demo"))
        queries = [
            window(by=("model",)),
            window(start=at(hours=11)),
            window(start=at(days=1)),
            window(sources=("demo",), by=("source", "model")),
        ]
        found = world.store.totals(SCOPE, queries)
        assert [{group: summary.inferences for group, summary in groups.items()} for groups in found] == [
            {("a",): 1, ("b",): 2},
            {(): 1},
            {},
            {("demo", "b"): 1},
        ]
        assert world.store.totals(SCOPE, []) == []

    def test_it_keeps_only_the_statuses_asked_for(self, world: World) -> None:
        world.append(*(one(status=status) for status in ("success", "error", "timeout", "timeout")))
        assert world.total(statuses=("timeout",)).inferences == 2
        assert world.total(statuses=("success", "error")).errors == 1
        assert world.groups(statuses=()) == {}

    def test_it_adds_up_only_what_it_is_asked_for(self, world: World) -> None:
        world.append(one(duration_us=900, ttft_us=300, cost=Decimal(1)), one(duration_us=2_500_600))
        asked: list[tuple[str, ...]] = [("duration_us",), ("durations",), ("cost", "inferences"), ("ttfts", "errors")]
        found = world.store.totals(SCOPE, [window(fields=frozenset(names)) for names in asked])
        full = world.total(fields=EVERY)
        assert [each[()] for each in found] == [
            Summary(**{name: getattr(full, name) for name in names}) for names in asked
        ]
        assert full == structs.replace(world.total(), ttfts=full.ttfts)
        assert (sum(full.durations), sum(full.ttfts)) == (2, 1)

    @pytest.mark.parametrize("folded", [False, True])
    def test_it_takes_the_start_in_and_leaves_the_end_out(self, world: World, folded: bool) -> None:
        start, end = at(hours=9, minutes=17), at(hours=14, minutes=43)
        world.append(
            one("before", at=start - MILLISECOND), one("first", at=start), one("last", at=end - MILLISECOND),
            one("after", at=end),
        )  # fmt: skip
        if folded:
            world.store.fold()
        assert world.counts("model", start=start, end=end) == {("first",): 1, ("last",): 1}
        assert world.counts("model", start=start, end=start + MINUTE) == {("first",): 1}
        assert world.counts("model", start=end - MINUTE, end=end) == {("last",): 1}

    @pytest.mark.parametrize("folded", [False, True])
    def test_it_counts_each_row_once_however_the_window_is_cut(self, world: World, folded: bool) -> None:
        edges = [MIDNIGHT + hours * HOUR + extra for hours in (-1, 0, 1, 24, 25) for extra in (-MILLISECOND, 0 * DAY)]
        world.append(*(one(at=moment) for moment in edges))
        if folded:
            world.store.fold()
        assert world.total().inferences == len(edges)
        for cut in (at(), at(minutes=1), at(hours=1), at(hours=1, minutes=-1), at(days=1), at(days=1, minutes=30)):
            left, right = world.total(end=cut).inferences, world.total(start=cut).inferences
            assert (left, right) == (sum(edge < cut for edge in edges), sum(edge >= cut for edge in edges))


class TestMoney:
    def test_it_is_none_where_none_is_known_and_zero_where_zero_is(self, world: World) -> None:
        world.append(one("unknown"), one("free", cost=Decimal(0), revenue=Decimal(0)), one("mixed"))
        world.append(one("mixed", cost=Decimal("0.5")))
        for _ in ("from deltas", "from rollups"):
            found = world.groups(by=("model",))
            assert {group: (summary.cost, summary.unpriced) for group, summary in found.items()} == {
                ("unknown",): (None, 1),
                ("free",): (Decimal(0), 0),
                ("mixed",): (Decimal("0.5"), 1),
            }
            assert {group: (summary.revenue, summary.with_revenue) for group, summary in found.items()} == {
                ("unknown",): (None, 0),
                ("free",): (Decimal(0), 1),
                ("mixed",): (None, 0),
            }
            world.store.fold()

    def test_it_is_exact_to_the_last_of_thirty_decimals(self, world: World) -> None:
        small, large = Decimal("0." + "0" * 29 + "1"), Decimal("999999999." + "9" * 30)
        world.append(one(cost=small, revenue=large), one(cost=large, revenue=large, at=at(hours=11)))
        world.append(one(cost=small, revenue=small, at=at(days=1)))
        for _ in ("from deltas", "from rollups"):
            total = world.total()
            assert total.cost == Decimal("1000000000." + "0" * 29 + "1")
            assert total.revenue == Decimal("1999999999." + "9" * 29 + "9")
            world.store.fold()


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "counted"),
        [("success", 0), ("error", 1), ("timeout", 1), ("rate_limited", 1), ("cancelled", 0)],
    )
    def test_it_counts_what_the_platform_failed_at(self, world: World, status: str, counted: int) -> None:
        world.append(one(status=status), one())
        assert (world.total().errors, world.total().inferences) == (counted, 2)
        step = world.store.series(SCOPE, [WINDOW], step_seconds=3600)[0][()][0]
        assert step[1].errors == counted


class TestQuantiles:
    def test_it_comes_close_to_the_true_ones(self, world: World) -> None:
        world.append(*(one(duration_us=1000 * ms) for ms in range(10, 1010)))
        world.store.fold()
        for q, truth in ((0.5, 509), (0.95, 959), (0.99, 999)):
            assert world.total().quantile_ms(q) == pytest.approx(truth, rel=0.125)

    def test_it_merges_minutes_and_batches(self, world: World) -> None:
        for minute in range(6):
            world.append(*(one(duration_us=1000 * ms, at=at(minutes=minute)) for ms in range(10 + minute, 1010, 6)))
            if minute == 2:
                world.store.fold()
        assert world.total().quantile_ms(0.95) == pytest.approx(959, rel=0.125)
        assert world.total().durations == summed([one(duration_us=1000 * ms) for ms in range(10, 1010)]).durations

    def test_it_is_none_without_inferences(self, world: World) -> None:
        assert world.total().quantile_ms(0.5) is None


class TestIdempotency:
    def test_it_stores_a_key_once_within_a_batch(self, world: World) -> None:
        first, second, third = world.store.append(SCOPE, [keyed("k"), keyed("k"), keyed("other")], now=NOW)
        assert (first.outcome, second.outcome, third.outcome) == ("stored", "duplicate", "stored")
        assert first.id == second.id != third.id
        assert world.total().inferences == 2

    def test_it_stores_a_key_once_across_batches_and_processes(self, world: World) -> None:
        first = world.store.append(SCOPE, [keyed("k", cost=Decimal(1))], now=NOW)[0]
        world.store.fold()
        again = world.another_process().append(SCOPE, [keyed("new"), keyed("k", cost=Decimal(1))], now=NOW)
        assert [result.outcome for result in again] == ["stored", "duplicate"]
        assert again[1].id == first.id
        assert (world.total().inferences, world.total().cost) == (2, Decimal(1))

    def test_it_calls_other_content_a_conflict_and_stores_nothing_of_it(self, world: World) -> None:
        assert world.append(keyed("k"), keyed("k", "other")) == ["stored", "conflict"]
        assert world.append(keyed("k", "third"), keyed("k"), keyed("k", "other")) == [
            "conflict",
            "duplicate",
            "conflict",
        ]
        assert world.total().inferences == 1
        assert len(world.models()) == 1

    def test_it_holds_a_batch_against_the_stored_content_and_not_against_itself(self, world: World) -> None:
        world.append(keyed("k"))
        assert world.append(keyed("k", "other"), keyed("k", "other")) == ["conflict", "conflict"]

    def test_it_leaves_inferences_without_a_key_alone(self, world: World) -> None:
        assert world.append(one(), one(), keyed("k"), one()) == ["stored"] * 4

    def test_it_tells_keys_apart_by_every_byte(self, world: World) -> None:
        keys = [bytes(15) + bytes([last]) for last in (0, 1, 92, 255)]
        assert world.append(*(one(key=key, content=bytes(16)) for key in keys)) == ["stored"] * 4
        assert world.append(*(one(key=key, content=bytes(16)) for key in keys)) == ["duplicate"] * 4


class TestSeries:
    def test_it_works(self, world: World) -> None:
        world.append(one(at=at(minutes=1)), one(at=at(minutes=4, seconds=59)), one(at=at(minutes=5), cost=Decimal(2)))
        steps = world.store.series(SCOPE, [WINDOW], step_seconds=300)[0][()]
        assert [(start, summary.inferences, summary.cost) for start, summary in steps] == [
            (at(), 2, None),
            (at(minutes=5), 1, Decimal(2)),
        ]

    @pytest.mark.parametrize("folded", [False, True])
    @pytest.mark.parametrize("step", [60, 300, 420, 3600, 5400, 7200, 86_400, 129_600, 604_800])
    def test_it_counts_steps_from_1970_in_utc(self, world: World, step: int, folded: bool) -> None:
        moments = [at(hours=hours, minutes=7) for hours in (-20, -1, 0, 1, 2, 23, 24, 25, 30)]
        world.append(*(one(at=moment) for moment in moments))
        if folded:
            world.store.fold()
        expected: dict[float, int] = {}
        for moment in moments:
            start = moment.timestamp() // step * step
            expected[start] = expected.get(start, 0) + 1
        found = world.store.series(SCOPE, [WINDOW], step_seconds=step)[0][()]
        assert [(start.timestamp(), summary.inferences) for start, summary in found] == sorted(expected.items())

    def test_it_holds_only_the_window_also_in_a_step_that_reaches_beyond(self, world: World) -> None:
        world.append(*(one(at=at(hours=hour, minutes=30)) for hour in range(6)))
        world.store.fold()
        query = window(start=at(hours=1, minutes=31), end=at(hours=4, minutes=30))
        found = world.store.series(SCOPE, [query], step_seconds=4 * 3600)[0][()]
        assert [(start, summary.inferences) for start, summary in found] == [(at(), 2)]

    def test_it_keeps_groups_apart_and_in_order_of_time(self, world: World) -> None:
        world.append(*(one(name, at=at(hours=hour)) for name, hour in (("b", 9), ("a", 7), ("b", 3), ("b", 5))))
        found = world.store.series(SCOPE, [window(by=("model",)), WINDOW], step_seconds=3600)
        assert {group: [start for start, _ in steps] for group, steps in found[0].items()} == {
            ("a",): [at(hours=7)],
            ("b",): [at(hours=3), at(hours=5), at(hours=9)],
        }
        assert [start for start, _ in found[1][()]] == [at(hours=hour) for hour in (3, 5, 7, 9)]

    def test_it_adds_up_to_the_totals(self, world: World) -> None:
        for hour in range(30):
            world.append(one(at=at(hours=hour, minutes=hour), cost=Decimal(hour) / 8, duration_us=10_000 * (hour + 1)))
            if hour == 20:
                world.store.fold()
        for step in (60, 3600, 86_400):
            steps = world.store.series(SCOPE, [WINDOW], step_seconds=step)[0][()]
            added = Summary()
            for _, summary in steps:
                added = added + summary
            assert added == world.total()


class TestFold:
    def test_it_says_how_much_it_moved(self, world: World) -> None:
        assert world.store.fold() == 0
        world.append(one("a"), one("b"))
        assert world.store.fold() == 2
        assert world.store.fold() == 0

    def test_it_changes_no_answer(self, world: World) -> None:
        """Nothing folded, a part of it, all of it, and more on top: the same to the last decimal."""
        rows = [
            one(f"m{number % 3}", at=at(minutes=17 * number), cost=Decimal(number) / 7 if number % 4 else None,
                status="error" if number % 5 == 0 else "success", duration_us=1 + number**4)
            for number in range(60)
        ]  # fmt: skip
        seen: list[Any] = []

        def read(count: int) -> None:
            assert world.total() == summed(rows[:count])
            queries = [window(by=("model", "status")), window(start=at(hours=1, minutes=3), end=at(hours=13))]
            seen.append((world.store.totals(SCOPE, queries), world.store.series(SCOPE, queries, step_seconds=1800)))

        world.append(*rows[:30])
        read(30)
        world.store.fold()
        read(30)
        assert seen[0] == seen[1]
        world.append(*rows[30:])
        read(60)
        world.store.fold()
        read(60)
        assert seen[2] == seen[3] != seen[0]

    def test_all_models_together_are_the_sum_of_each(self, world: World) -> None:
        world.append(one(), one("qwen", status="error", error_type="timeout"), one("qwen", estimated=True))
        world.store.fold()
        world.append(one("gpt", source="replay", cost=Decimal("0.1")), one(organization=SCIENTIA))
        world.store.fold()
        world.append(one("late", cost=Decimal("1e-30")))
        for scope in (SCOPE, EVERYONE):
            for changes in ({}, {"sources": ("replay",)}, {"statuses": ("error",)}, {"end": at(hours=5)}):
                each = world.groups(scope, by=("model", "endpoint", "error_type"), **changes).values()
                assert world.total(scope, **changes) == sum(each, Summary())
        assert world.store.erase(EVERYONE, source="replay") == 1
        assert world.total() == sum(world.groups(by=("model",)).values(), Summary())

    def test_it_takes_late_rows_into_what_is_folded_already(self, world: World) -> None:
        world.append(one(cost=Decimal("0.1")))
        world.store.fold()
        world.append(one(cost=Decimal("0.2")), one(at=at(hours=10, seconds=59), cost=Decimal("0.3")))
        for _ in ("half folded", "folded"):
            assert world.total(start=at(hours=10), end=at(hours=10, minutes=1)).cost == Decimal("0.6")
            assert [start for start, _ in world.store.series(SCOPE, [WINDOW], step_seconds=60)[0][()]] == [at(hours=10)]
            world.store.fold()


class TestLatest:
    def test_it_tells_a_call_as_it_was_sent(self, world: World) -> None:
        moment = at(hours=5, milliseconds=123)
        stored = world.store.append(
            SCOPE,
            [one("m", at=moment, provider="p", endpoint="e", status="timeout", error_type="slow", duration_us=1_234_567,
                 ttft_us=89_001, input_tokens=7, output_tokens=8, cost=Decimal("0.0000001"), estimated=True,
                 source="replay")],
            now=NOW,
        )  # fmt: skip
        call = world.store.latest(SCOPE, SWAGGY, limit=5)[0]
        assert (call.id, call.organization, call.occurred_at) == (stored[0].id, SWAGGY, moment)
        assert (call.model_name, call.provider, call.endpoint_id) == ("m", "p", "e")
        assert (call.status, call.error_type, call.estimated, call.source) == ("timeout", "slow", True, "replay")
        assert (call.duration_ms, call.ttft_ms) == (1234.567, 89.001)
        assert (call.input_tokens, call.output_tokens, call.cost) == (7, 8, Decimal("0.0000001"))

    def test_it_tells_what_is_unknown_as_none(self, world: World) -> None:
        world.append(one())
        call = world.store.latest(SCOPE, SWAGGY, limit=5)[0]
        assert (call.ttft_ms, call.input_tokens, call.output_tokens, call.cost) == (None,) * 4

    def test_it_begins_with_the_newest_and_stops_at_the_limit(self, world: World) -> None:
        world.append(*(one(name, at=at(hours=hour)) for name, hour in (("b", 2), ("d", 4), ("a", -9), ("c", 3))))
        assert world.models() == ["d", "c", "b", "a"]
        assert [call.model_name for call in world.store.latest(SCOPE, SWAGGY, limit=2)] == ["d", "c"]

    def test_it_pages_by_time(self, world: World) -> None:
        world.append(*(one(str(second), at=at(seconds=second)) for second in range(5)))
        page = world.store.latest(SCOPE, SWAGGY, limit=2, before=at(seconds=4))
        assert [call.model_name for call in page] == ["3", "2"]
        assert [
            call.model_name for call in world.store.latest(SCOPE, SWAGGY, limit=9, before=page[-1].occurred_at)
        ] == [
            "1",
            "0",
        ]

    def test_it_keeps_only_the_sources_asked_for(self, world: World) -> None:
        world.append(
            *(one(name, source=name, at=at(hours=hour)) for hour, name in enumerate(("demo", "live", "replay")))
        )
        found = world.store.latest(SCOPE, SWAGGY, limit=9, sources=("demo", "replay"))
        assert [call.source for call in found] == ["replay", "demo"]
        assert world.store.latest(SCOPE, SWAGGY, limit=9, sources=()) == []

    def test_it_tells_one_organization_also_to_the_system(self, world: World) -> None:
        world.append(one("mine"), one("theirs", organization=SCIENTIA))
        assert [call.model_name for call in world.store.latest(EVERYONE, SCIENTIA, limit=9)] == ["theirs"]


class TestSources:
    def test_it_keeps_live_replay_and_demo_apart(self, world: World) -> None:
        for source, cost in (("live", "1"), ("replay", "20"), ("demo", "300")):
            world.append(one(source=source, cost=Decimal(cost)))
        for _ in ("from deltas", "from rollups"):
            assert world.total(sources=("live",)).cost == Decimal(1)
            assert world.total(sources=("demo", "live")).cost == Decimal(301)
            assert world.total().cost == Decimal(321)
            assert world.groups(sources=()) == {}
            by_source = world.groups(by=("source",), sources=("replay", "demo"))
            assert {group: summary.cost for group, summary in by_source.items()} == {
                ("replay",): Decimal(20),
                ("demo",): Decimal(300),
            }
            world.store.fold()


class TestCaps:
    def test_it_lets_the_first_names_of_a_day_in_and_counts_the_rest_as_other(self, world: World) -> None:
        world.configure(SWAGGY, max_names=2)
        for name in ("zebra", "yak", "ant", "bee", "zebra"):
            world.append(one(name, cost=Decimal(1)))
        assert world.counts("model") == {("zebra",): 2, ("yak",): 1, ("__other__",): 2}
        assert world.total().cost == Decimal(5)
        assert set(world.models()) == {"zebra", "yak", "ant", "bee"}

    def test_it_holds_within_a_batch_and_across_processes(self, world: World) -> None:
        world.configure(SWAGGY, max_names=3)
        world.append(*(one(name) for name in ("a", "b", "c", "d", "e")))
        other = world.another_process()
        other.append(SCOPE, [one("b"), one("f"), one("d")], now=NOW)
        assert world.counts("model") == {("a",): 1, ("b",): 2, ("c",): 1, ("__other__",): 4}

    def test_it_caps_each_kind_of_name_for_itself(self, world: World) -> None:
        world.configure(SWAGGY, max_names=1)
        world.append(one("m", provider="p", endpoint="e", error_type="t", status="error"))
        world.append(one("m", provider="p2", endpoint="e", error_type="t2", status="error"))
        world.append(one("m2", provider="p", endpoint="e2", error_type="t", status="error"))
        assert world.counts("model", "provider", "endpoint", "error_type") == {
            ("m", "p", "e", "t"): 1,
            ("m", "__other__", "e", "__other__"): 1,
            ("__other__", "p", "__other__", "t"): 1,
        }

    def test_it_caps_each_day_and_organization_for_itself(self, world: World) -> None:
        world.configure(SWAGGY, max_names=1)
        world.configure(SCIENTIA, max_names=1)
        world.append(one("a"), one("b", at=at(days=1)), one("c", organization=SCIENTIA))
        assert world.counts("model") == {("a",): 1, ("b",): 1}
        world.append(one("b"), one("a", at=at(days=1)))
        assert world.counts("model") == {("a",): 1, ("b",): 1, ("__other__",): 2}
        assert world.groups(Scope.of(SCIENTIA), by=("model",)).keys() == {("c",)}

    def test_it_never_takes_a_name_that_was_not_given_for_one(self, world: World) -> None:
        world.configure(SWAGGY, max_names=1)
        world.append(one(provider="p"))
        world.append(one(provider=""), one(provider="q"))
        assert world.counts("provider") == {("p",): 1, ("",): 1, ("__other__",): 1}


class TestRetention:
    def test_it_counts_rows_older_than_raw_retention_in_totals_only(self, world: World) -> None:
        old = NOW - 40 * DAY
        assert world.append(one("old", at=old), one("new")) == ["stored", "stored"]
        for _ in ("from deltas", "from rollups"):
            assert world.counts("model", start=old - DAY) == {("old",): 1, ("new",): 1}
            world.store.fold()
        assert world.models() == ["new"]

    def test_it_takes_rows_from_the_year_2000(self, world: World) -> None:
        moment = datetime(2000, 1, 1, tzinfo=UTC)
        assert world.append(keyed("k", at=moment)) == ["stored"]
        assert world.append(keyed("k", at=moment)) == ["duplicate"]
        world.store.fold()
        assert world.total(start=moment, end=moment + DAY).inferences == 1

    def test_it_follows_the_organizations_own_retention(self, world: World) -> None:
        world.configure(SWAGGY, raw_days=5)
        world.append(one("kept", at=NOW - 4 * DAY), one("old", at=NOW - 6 * DAY))
        world.append(one("theirs", at=NOW - 6 * DAY, organization=SCIENTIA))
        assert world.models() == ["kept"]
        assert [call.model_name for call in world.store.latest(EVERYONE, SCIENTIA, limit=9)] == ["theirs"]

    def test_it_hides_rows_at_once_when_retention_grows_shorter(self, world: World) -> None:
        world.append(one("old", at=NOW - 10 * DAY), one("new", at=NOW - 2 * DAY))
        assert world.models() == ["new", "old"]
        world.configure(SWAGGY, raw_days=7)
        assert world.models() == ["new"]
        assert world.total(start=NOW - 20 * DAY).inferences == 2

    def test_it_does_not_bring_expired_rows_back(self, world: World) -> None:
        world.append(one("old", at=NOW - 10 * DAY), one("new", at=NOW - 2 * DAY))
        world.configure(SWAGGY, raw_days=7)
        world.store.expire(now=datetime.now(UTC))
        world.configure(SWAGGY, raw_days=30)
        assert world.models() == ["new"]
        assert world.total(start=NOW - 20 * DAY).inferences == 2


class TestErase:
    def test_it_removes_one_source_and_leaves_the_others_to_the_last_decimal(self, world: World) -> None:
        kept = [one("a", cost=Decimal("0.000000001")), one("b", source="replay", revenue=Decimal("0.1"))]
        demo = [one("a", source="demo", cost=Decimal("0.2")), one("d", source="demo", at=NOW - 40 * DAY)]
        world.append(*kept, demo[0])
        world.store.fold()
        world.append(demo[1])  # still a delta
        assert world.store.erase(EVERYONE, source="demo") == 2
        for _ in ("at once", "after a fold"):
            assert world.total(start=NOW - 50 * DAY) == summed(kept)
            assert world.counts("source", "model") == {("live", "a"): 1, ("replay", "b"): 1}
            world.store.fold()
        assert sorted(world.models()) == ["a", "b"]
        assert world.store.erase(EVERYONE, source="demo") == 0

    @pytest.mark.parametrize("step", [60, 3600, 86_400])
    def test_it_removes_from_every_grain(self, world: World, step: int) -> None:
        world.append(one(source="demo"), one("live"))
        world.store.fold()
        assert world.store.erase(SCOPE, source="demo") == 1
        query = window(by=("model",))
        assert world.store.series(SCOPE, [query], step_seconds=step)[0].keys() == {("live",)}

    def test_it_stays_inside_its_scope(self, world: World) -> None:
        world.append(one(source="demo"), one(source="demo", organization=SCIENTIA))
        assert world.store.erase(Scope.of(), source="demo") == 0
        assert world.store.erase(Scope.of(SCIENTIA), source="demo") == 1
        assert world.counts("organization_id", start=MIDNIGHT) == {(SWAGGY,): 1}
        assert world.groups(EVERYONE, by=("organization_id",)).keys() == {(SWAGGY,)}

    def test_it_keeps_keys(self, world: World) -> None:
        world.append(keyed("k", source="demo"))
        assert world.store.erase(SCOPE, source="demo") == 1
        assert world.append(keyed("k", source="demo")) == ["duplicate"]
        assert world.groups() == {}
