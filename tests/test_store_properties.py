"""What must hold for anything hypothesis can think of: sums, windows, histograms, identifiers, money, scope."""

import itertools
import math
import random
import threading
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bedrock import identifiers, money
from monitoring import histogram, measures
from monitoring.ingest import MONEY_BELOW, Item, record_inferences
from monitoring.models import Inference as InferenceRow
from monitoring.store.base import HISTOGRAMS, USUAL, Inference, Query, Stored, Summary
from monitoring.store.postgres import PostgresStore
from monitoring.store.windows import DAY, HOUR, MINUTE, Segment, segments
from organizations.models import Organization
from organizations.scope import Scope
from tests.memory_store import MemoryStore, inference
from tests.memory_store import histogram as counted

ONE_DATABASE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SPAN_MS = 29 * 86_400_000  # every single row inside is kept


def amounts() -> st.SearchStrategy[Decimal]:
    """Money as ingest lets it in: below 10^9, at most 30 decimals."""
    return st.builds(
        lambda digits, places: Decimal((0, tuple(map(int, str(digits))), -places)),
        st.one_of(st.integers(0, 10**9 - 1), st.integers(10**28, 10**30 - 1)),
        st.integers(22, 30),
    ) | st.decimals(0, 999_999_999, places=9, allow_nan=False, allow_infinity=False)


# Minutes, hours and days begin and end here: a millisecond decides.
EDGES_MS = st.builds(
    lambda days, grain, count, off: days * 86_400_000 + grain * count + off,
    st.integers(0, 27), st.sampled_from([60_000, 3_600_000, 86_400_000]), st.integers(0, 1), st.integers(-1, 1),
).map(lambda ms: max(0, ms))  # fmt: skip
WHOLE = st.none() | st.integers(0, 10**9)


@st.composite
def inferences(draw: st.DrawFn) -> Inference:
    since = identifiers.milliseconds(MIDNIGHT) - SPAN_MS
    status = draw(st.sampled_from(measures.STATUSES))
    return inference(
        EPOCH,
        occurred_ms=since + draw(st.one_of(EDGES_MS, st.integers(0, SPAN_MS - 1), st.integers(0, 120_000))),
        organization=draw(st.sampled_from(["first", "second"])),
        model=draw(st.sampled_from(["llama", "qwen", "tab\there"])),
        provider=draw(st.sampled_from(["", "ollama"])),
        endpoint=draw(st.sampled_from(["", "e"])),
        status=status,
        error_type="" if status == "success" else draw(st.sampled_from(["", "oom"])),
        source=draw(st.sampled_from(measures.SOURCES)),
        estimated=draw(st.booleans()),
        attempt=draw(st.integers(1, 3)),
        duration_us=draw(st.one_of(st.integers(0, 86_400_000_000), st.sampled_from(histogram.BOUNDS_US))),
        ttft_us=draw(WHOLE), input_tokens=draw(WHOLE), output_tokens=draw(WHOLE), cache_read_tokens=draw(WHOLE),
        cache_write_tokens=draw(WHOLE), reasoning_tokens=draw(WHOLE),
        cost=draw(st.none() | amounts()), revenue=draw(st.none() | amounts()),
        key=draw(st.none() | st.integers(0, 5).map(lambda number: bytes([number]) * 16)),
        content=bytes([draw(st.integers(0, 1))]) * 16,
    )  # fmt: skip


FIELDS = st.just(USUAL) | st.frozensets(st.sampled_from(Summary.__struct_fields__), min_size=1)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Anything from a minute to all of it, cut at any minute, grouped by anything."""
    whole = SPAN_MS // 60_000 + 60
    minutes = sorted(draw(st.lists(st.integers(-60, whole) | st.integers(0, 29).map(lambda day: 1440 * day),
                                   min_size=2, max_size=2)))  # fmt: skip
    start, end = (MIDNIGHT - timedelta(milliseconds=SPAN_MS) + minute * MINUTE for minute in minutes)
    dimensions = ("organization_id", "model", "provider", "endpoint", "status", "error_type", "source")
    return Query(
        start=start,
        end=end,
        by=tuple(draw(st.lists(st.sampled_from(dimensions), unique=True, max_size=4))),
        sources=draw(st.none() | st.lists(st.sampled_from(measures.SOURCES), unique=True).map(tuple)),
        statuses=draw(st.none() | st.lists(st.sampled_from(measures.STATUSES), unique=True).map(tuple)),
        fields=draw(FIELDS),
    )


@dataclass(frozen=True)
class Story:
    """Rows, and for each writer the batches it sends: places in `rows`, so that the same row comes more than once."""

    rows: list[Inference]
    writers: list[list[list[int]]]
    seed: int


@st.composite
def stories(draw: st.DrawFn) -> Story:
    rows = draw(st.lists(inferences(), min_size=1, max_size=12))
    batch = st.lists(st.integers(0, len(rows) - 1), max_size=20)
    writers = st.lists(st.lists(batch, min_size=1, max_size=4), min_size=2, max_size=4)
    return Story(rows, draw(writers), draw(st.integers(0, 2**32)))


_EXAMPLES = itertools.count()


def tell(story: Story) -> tuple[tuple[str, str], list[tuple[Inference, Stored]]]:
    """Write the story with a thread and a connection for each writer and one for the folder.

    Returns the two organizations, new in every example, that took its rows, and what became of each row.
    """
    number = next(_EXAMPLES)
    slugs = (f"first_{number}", f"second_{number}")
    for slug in slugs:
        Organization.objects.create(slug=slug, name=slug)
    rows = [_of(row, slugs[row.organization == "second"]) for row in story.rows]
    store, scope = PostgresStore(), Scope.of(*slugs)
    said: list[list[tuple[Inference, Stored]]] = [[] for _ in story.writers]
    failures: list[BaseException] = []
    written = threading.Event()
    together = threading.Barrier(len(story.writers) + 1)

    def run(verb: Any, *arguments: Any) -> None:
        try:
            together.wait(10)
            verb(*arguments)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def write(place: int, batches: list[list[int]]) -> None:
        for batch in batches:
            sent = [rows[index] for index in batch]
            said[place] += zip(sent, store.append(scope, sent, now=datetime.now(UTC)), strict=True)

    def fold() -> None:
        moments = random.Random(story.seed)
        while not written.wait(moments.uniform(0, 0.01)):
            store.fold()

    writers = [threading.Thread(target=run, args=(write, *one)) for one in enumerate(story.writers)]
    folder = threading.Thread(target=run, args=(fold,))
    for thread in (*writers, folder):
        thread.start()
    for thread in writers:
        thread.join()
    written.set()
    folder.join()
    assert not failures, failures
    return slugs, [result for results in said for result in results]


def _of(row: Inference, slug: str) -> Inference:
    changed = {name: getattr(row, name) for name in Inference.__struct_fields__} | {"organization": slug}
    return Inference(**changed)


def check_outcomes(results: Sequence[tuple[Inference, Stored]]) -> None:
    """One row of each key is stored; equal content is told its id, other content is refused."""
    winners = {
        (row.organization, row.key): (row.content, stored.id)
        for row, stored in results
        if row.key and stored.outcome == "stored"
    }
    assert len(winners) == len({(row.organization, row.key) for row, _ in results if row.key})
    claimed = [stored.id for _, stored in results if stored.outcome == "stored"]
    assert len(claimed) == len(set(claimed))
    for row, stored in results:
        if not row.key:
            assert stored.outcome == "stored"
            continue
        content, identifier = winners[row.organization, row.key]
        assert stored.id == identifier
        assert stored.outcome in (("stored", "duplicate") if row.content == content else ("conflict",))


SCALARS = [name for name in Summary.__struct_fields__ if name not in HISTOGRAMS]
_RAW_SUMS = """
SELECT ARRAY[{groups}]::text[], count(*), count(*) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')),
       count(*) FILTER (WHERE estimated), count(*) FILTER (WHERE attempt > 1), sum(input_tokens), sum(output_tokens),
       sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
       count(*) FILTER (WHERE cost IS NULL), sum(revenue), count(revenue), sum(duration_us), sum(ttft_us),
       count(ttft_us)
FROM monitoring_inference
WHERE organization_id = ANY(%s) AND occurred_at >= %s AND occurred_at < %s
  AND (%s::text[] IS NULL OR source = ANY(%s)) AND (%s::text[] IS NULL OR status = ANY(%s))
"""


def summed_rows(slugs: Sequence[str], query: Query) -> dict[tuple[str, ...], list[Any]]:
    """The sums over single rows as Postgres itself makes them; money stays None, all else is 0 without a value."""
    groups = ", ".join(query.by)
    sources, statuses = (None if one is None else list(one) for one in (query.sources, query.statuses))
    grouping = f"GROUP BY {groups}" if groups else "HAVING count(*) > 0"
    with Scope.of(*slugs).enter(), connection.cursor() as cursor:
        cursor.execute(
            _RAW_SUMS.format(groups=groups) + grouping,
            [list(slugs), query.start, query.end, sources, sources, statuses, statuses],
        )
        return {
            tuple(row[0]): [
                value if name in ("cost", "revenue") else int(value or 0)
                for name, value in zip(SCALARS, row[1:], strict=True)
                if name in query.fields
            ]
            for row in cursor.fetchall()
        }


def scalars(summary: Summary, query: Query) -> list[Any]:
    return [getattr(summary, name) for name in SCALARS if name in query.fields]


class TestConcurrentWriters:
    @settings(max_examples=80, deadline=None, suppress_health_check=ONE_DATABASE)
    @given(story=stories(), asked=st.lists(queries(), min_size=1, max_size=4),
           longer=st.lists(st.tuples(st.integers(0, 3000), FIELDS), max_size=3),
           step=st.sampled_from([60, 300, 5400, 3600, 21_600, 86_400, 604_800]))  # fmt: skip
    def test_it_equals_the_rows_to_the_last_decimal(
        self, database: str, story: Story, asked: list[Query], longer: list[tuple[int, frozenset[str]]], step: int
    ) -> None:
        slugs, results = tell(story)
        check_outcomes(results)
        scope, twin, store = Scope.of(*slugs), MemoryStore(), PostgresStore()
        twin.append(scope, [row for row, stored in results if stored.outcome == "stored"], now=datetime.now(UTC))
        everything = Query(start=MIDNIGHT - 30 * DAY, end=MIDNIGHT + DAY, by=("organization_id",))
        one = asked[-1]  # of which longer ones share what lies in both
        asked = [everything, *asked, *(replace(one, start=one.start - minutes * MINUTE, fields=fields)
                                       for minutes, fields in longer)]  # fmt: skip
        for _ in ("as the folder left it", "all folded"):
            totals = store.totals(scope, asked)
            assert totals == twin.totals(scope, asked)
            assert store.series(scope, asked, step_seconds=step) == twin.series(scope, asked, step_seconds=step)
            for query, groups in zip(asked, totals, strict=True):
                assert {group: scalars(summary, query) for group, summary in groups.items()} == summed_rows(
                    slugs, query
                )
            while store.fold():
                pass

    @settings(max_examples=10, deadline=None, suppress_health_check=ONE_DATABASE)
    @given(story=stories())
    def test_it_leaves_no_delta_and_equal_rollups_of_every_grain(self, database: str, story: Story) -> None:
        slugs, results = tell(story)
        PostgresStore().fold()
        stored = [row for row, result in results if result.outcome == "stored"]
        with Scope.of(*slugs).enter(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM monitoring_rollup_delta")
            assert cursor.fetchone() == (0,)
            for grain in ("minute", "hour", "day"):
                cursor.execute(f"SELECT sum(inferences), sum(cost), sum(revenue) FROM monitoring_rollup_{grain}")
                cost, revenue = (
                    sum_exactly(getattr(row, name) or Decimal(0) for row in stored) for name in ("cost", "revenue")
                )
                assert cursor.fetchone() == ((len(stored), cost, revenue) if stored else (None, None, None))


def sum_exactly(values: Any) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = money.EXACT.add(total, value)
    return total


GRAINS = {"minute": MINUTE, "hour": HOUR, "day": DAY}
BASE = datetime(2026, 3, 1, tzinfo=UTC)


@st.composite
def plans(draw: st.DrawFn) -> tuple[datetime, datetime, timedelta, datetime, datetime]:
    """A window of whole minutes, a step, and retention that may cut through it anywhere (to the microsecond)."""
    near = st.integers(-400, 400) | st.integers(-200_000, 200_000) | st.integers(-60, 60).map(lambda hour: 60 * hour)
    start = BASE + draw(near) * MINUTE
    end = start + abs(draw(near)) * MINUTE
    minutes = start + draw(near) * MINUTE + timedelta(microseconds=draw(st.integers(0, 59_999_999)))
    hours = minutes - draw(st.integers(0, 400_000)) * MINUTE
    step = draw(st.sampled_from([1, 5, 7, 60, 90, 120, 720, 1440, 2160, 2880, 10_080, 52_560_000])) * MINUTE
    return start, end, step, minutes, hours


class TestSegments:
    @settings(max_examples=1500, deadline=None)
    @given(plan=plans())
    @example(plan=(BASE, BASE, HOUR, BASE, BASE))
    def test_it_tiles_the_window(self, plan: Any) -> None:
        start, end, step, minutes, hours = plan
        found = list(segments(start, end, step=step, minutes_since=minutes, hours_since=hours))
        if start == end:
            assert found == []
            return
        for part in found:
            self.check_part(part, step, minutes, hours)
        for before, after in itertools.pairwise(found):
            assert before.end == after.start
        self.check_edge(start, start - found[0].start, found[0], minutes, hours)
        self.check_edge(end, found[-1].end - end, found[-1], minutes, hours)

    def check_part(self, part: Segment, step: timedelta, minutes: datetime, hours: datetime) -> None:
        grain = GRAINS[part.grain]
        assert part.start < part.end
        assert (part.start - EPOCH) % grain == timedelta(0) == (part.end - EPOCH) % grain
        # What is read is kept in full.
        assert part.start >= {"minute": minutes, "hour": hours, "day": part.start}[part.grain]
        # A grain coarser than the finest one kept there must tell the steps apart.
        finest = "minute" if part.start >= minutes + HOUR else "hour" if part.start >= hours + DAY else "day"
        if grain > GRAINS[finest]:
            assert step % grain == timedelta(0)

    def check_edge(
        self, asked: datetime, widened: timedelta, part: Segment, minutes: datetime, hours: datetime
    ) -> None:
        """An edge is exact where the minutes are kept, and widened by less than the grain kept there before that."""
        assert timedelta(0) <= widened < GRAINS[part.grain]
        if asked >= max(minutes + HOUR, hours + DAY):
            assert widened == timedelta(0)
        elif asked >= hours + DAY:
            assert widened < HOUR

    @settings(max_examples=500, deadline=None)
    @given(plan=plans(), cut=st.floats(0, 1))
    def test_it_reads_the_same_in_two_halves_within_retention(self, plan: Any, cut: float) -> None:
        start, end, step, _, _ = plan
        middle = start + round((end - start) / MINUTE * cut) * MINUTE
        kept = {"step": step, "minutes_since": start - 2 * HOUR, "hours_since": start - 2 * DAY}
        for one, other in ((start, middle), (middle, end)):
            found = list(segments(one, other, **kept))
            assert sum((part.end - part.start for part in found), timedelta(0)) == other - one
            assert not found or (found[0].start, found[-1].end) == (one, other)

    def test_it_reads_few_rows_of_a_long_window(self) -> None:
        start, end = BASE + 17 * MINUTE, BASE + 30 * DAY + 5 * HOUR + 3 * MINUTE
        kept = {"minutes_since": BASE - 60 * DAY, "hours_since": BASE - 600 * DAY}
        assert [part.grain for part in segments(start, end, step=36_500 * DAY, **kept)] == [
            "minute", "hour", "day", "hour", "minute",
        ]  # fmt: skip
        assert [part.grain for part in segments(start, end, step=HOUR, **kept)] == ["minute", "hour", "minute"]
        assert [part.grain for part in segments(start, end, step=5 * MINUTE, **kept)] == ["minute"]


LOWEST, HIGHEST = histogram.BOUNDS_US[0], histogram.BOUNDS_US[-1]
IN_RANGE = st.integers(LOWEST, HIGHEST) | st.floats(math.log(LOWEST), math.log(HIGHEST)).map(lambda x: int(math.exp(x)))


def true_quantile(values: Sequence[int], q: float) -> int:
    """The smallest value that at least q of all values do not pass."""
    return sorted(values)[max(math.ceil(q * len(values)), 1) - 1]


class TestHistogram:
    def test_it_has_bounds_that_grow_by_a_quarter(self) -> None:
        assert (LOWEST, len(histogram.BOUNDS_US)) == (2_000, histogram.BUCKETS - 1)
        assert HIGHEST > 25 * 60 * 1_000_000
        for low, high in itertools.pairwise(histogram.BOUNDS_US):
            assert high / low == pytest.approx(1.25, abs=1e-3)

    @given(value=st.integers(0, 86_400_000_000) | st.sampled_from(histogram.BOUNDS_US))
    @example(value=0)
    @example(value=HIGHEST + 1)
    def test_it_puts_a_value_in_the_bucket_whose_bounds_hold_it(self, value: int) -> None:
        bucket = histogram.bucket_of(value)
        assert bucket == 0 or histogram.BOUNDS_US[bucket - 1] < value
        assert bucket == histogram.BUCKETS - 1 or value <= histogram.BOUNDS_US[bucket]

    @given(one=st.integers(0, 10**11), more=st.integers(0, 10**9))
    def test_it_never_puts_more_below_less(self, one: int, more: int) -> None:
        assert histogram.bucket_of(one) <= histogram.bucket_of(one + more)

    @settings(max_examples=300)
    @given(values=st.lists(IN_RANGE, min_size=1, max_size=60), q=st.floats(0, 1) | st.sampled_from([0.5, 0.95, 0.99]))
    def test_it_finds_the_bucket_of_the_true_quantile(self, values: list[int], q: float) -> None:
        """Whatever the values: at most one bucket away in width, which is 25 %."""
        truth = true_quantile(values, q)
        found = histogram.quantile_ms(counted(values), q)
        assert found is not None
        bucket = histogram.bucket_of(truth)
        low = histogram.BOUNDS_US[bucket - 1] if bucket else 0
        assert low - 1e-6 <= found * 1000 <= histogram.BOUNDS_US[bucket] + 1e-6
        assert abs(found * 1000 - truth) <= max(0.2501 * truth, LOWEST if bucket == 0 else 0)

    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**32), median=st.floats(20_000, 20_000_000), spread=st.floats(0.2, 1.2),
           q=st.sampled_from([0.5, 0.9, 0.95, 0.99]))  # fmt: skip
    def test_it_is_within_an_eighth_for_durations_as_they_are(
        self, seed: int, median: float, spread: float, q: float
    ) -> None:
        """Many calls of one kind spread over a few buckets, as real durations do; interpolation then does its work."""
        rng = random.Random(seed)
        values = [int(rng.lognormvariate(math.log(median), spread)) for _ in range(2000)]
        values = [min(max(value, LOWEST), HIGHEST) for value in values]
        found = histogram.quantile_ms(counted(values), q)
        assert found is not None
        assert found * 1000 == pytest.approx(true_quantile(values, q), rel=0.125)

    @given(values=st.lists(st.integers(0, 10**11), min_size=1, max_size=40))
    def test_it_grows_with_q(self, values: list[int]) -> None:
        found = [histogram.quantile_ms(counted(values), q / 20) for q in range(21)]
        assert found == sorted(found, key=lambda value: value or 0.0)

    @given(one=st.lists(st.integers(0, 10**11), max_size=40), other=st.lists(st.integers(0, 10**11), max_size=40))
    def test_it_merges_as_if_counted_together(self, one: list[int], other: list[int]) -> None:
        merged = Summary(durations=self.counts(one)) + Summary(durations=self.counts(other))
        assert merged.durations == self.counts(one + other) == counted(one + other)
        assert merged.quantile_ms(0.9) == histogram.quantile_ms(counted(one + other), 0.9)

    @staticmethod
    def counts(values: list[int]) -> tuple[int, ...]:
        counts = [0] * histogram.BUCKETS
        for value in values:
            counts[histogram.bucket_of(value)] += 1
        return tuple(counts)


TIMES_MS = st.integers(0, 2**48 - 1) | st.integers(1_700_000_000_000, 1_900_000_000_000)


class TestIdentifiers:
    @given(at_ms=st.integers(0, 250_000_000_000_000))
    def test_it_carries_its_time_to_the_millisecond(self, at_ms: int) -> None:
        moment = identifiers.moment_of(identifiers.uuid7(at_ms))
        assert identifiers.milliseconds(moment) == at_ms
        assert moment == EPOCH + timedelta(milliseconds=at_ms)

    @given(at_ms=TIMES_MS, bits=st.integers(0, 2**80 - 1))
    def test_it_is_a_version_7_uuid_and_keeps_the_other_74_bits(self, at_ms: int, bits: int) -> None:
        made = uuid.UUID(int=identifiers.uuid7_int(at_ms, bits))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == at_ms
        free = 0x0FFF_3FFF_FFFF_FFFF_FFFF
        assert made.int & free == bits & free

    @given(earlier=TIMES_MS, later=TIMES_MS, some=st.integers(0, 2**80 - 1), other=st.integers(0, 2**80 - 1))
    def test_it_sorts_by_time_whatever_the_random_bits(self, earlier: int, later: int, some: int, other: int) -> None:
        if earlier == later:
            return
        earlier, later = sorted((earlier, later))
        first, second = (uuid.UUID(int=identifiers.uuid7_int(*one)) for one in ((earlier, some), (later, other)))
        assert first < second
        assert str(first) < str(second)

    @given(moment=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
    def test_it_rounds_any_moment_down_exactly(self, moment: datetime) -> None:
        at_ms = identifiers.milliseconds(moment)
        assert timedelta(0) <= moment - (EPOCH + timedelta(milliseconds=at_ms)) < timedelta(milliseconds=1)
        told = identifiers.text_of(moment)
        assert identifiers.milliseconds(datetime.fromisoformat(told)) == at_ms

    @given(made=st.uuids())
    def test_it_reads_the_one_spelling(self, made: uuid.UUID) -> None:
        assert identifiers.parse(str(made)) == made
        for other in (made.hex, f"{{{made}}}", f"urn:uuid:{made}", f" {made}"):
            with pytest.raises(ValueError, match=r"."):
                identifiers.parse(other)


class TestMoney:
    @given(amount=amounts() | st.decimals(-(10**12), 10**12, places=30, allow_nan=False, allow_infinity=False))
    @example(amount=Decimal("0E-30"))
    @example(amount=Decimal("1E+9"))
    def test_it_is_written_exactly_and_in_plain_digits(self, amount: Decimal) -> None:
        told = money.text(amount)
        assert told is not None
        assert Decimal(told) == amount
        whole, _, rest = told.removeprefix("-").partition(".")
        assert (whole.isdigit(), rest.isdigit(), len(rest) >= 2) == (True, True, True)
        assert len(rest) == 2 or not rest.endswith("0")

    @given(parts=st.lists(st.none() | amounts(), max_size=30), seed=st.integers(0, 999))
    def test_it_adds_up_exactly_in_any_order(self, parts: list[Decimal | None], seed: int) -> None:
        whole = sum(int(part.scaleb(30, money.EXACT)) for part in parts if part is not None)
        shuffled = parts[:]
        random.Random(seed).shuffle(shuffled)
        total: Decimal | None = None
        for part in shuffled:
            total = money.add(total, part)
        if all(part is None for part in parts):
            assert total is None
        else:
            assert total is not None
            assert total.scaleb(30, money.EXACT) == whole
            assert Decimal(money.text(total) or "") == Decimal(whole).scaleb(-30, money.EXACT)


class TestContent:
    @settings(max_examples=60, deadline=None, suppress_health_check=ONE_DATABASE)
    @given(amount=amounts(), more=st.sampled_from(["1E-30", "1E-9", "1"]))
    @example(amount=Decimal("123456789.123456789012345678901234567890"), more="1E-30")
    def test_it_takes_an_amount_for_the_same_only_to_the_last_decimal(
        self, database: str, amount: Decimal, more: str
    ) -> None:
        """The same key with the same amount in another spelling is a repeat; with any other amount, a conflict."""
        spellings = (amount, amount.normalize(money.EXACT), money.EXACT.add(amount, Decimal(more)))
        key = f"example-{next(_EXAMPLES)}"
        results = record_inferences(
            scope=Scope.of("swaggystacks"),
            organization="swaggystacks",
            items=[Item(model_name="m", duration_ms=1, cost=cost, idempotency_key=key) for cost in spellings],
            now=datetime.now(UTC),
        )
        outcomes = [result.outcome if isinstance(result, Stored) else "refused" for result in results]
        too_large = spellings[2] >= MONEY_BELOW
        assert outcomes == ["stored", "duplicate", "refused" if too_large else "conflict"]


SLUGS = ("scientia_capital", "shared", "swaggystacks")
SCOPES = st.sampled_from([Scope.of(*chosen) for count in range(4) for chosen in itertools.combinations(SLUGS, count)])


class Raised(Exception):
    """What the blocks of the stories below end with."""


@dataclass(frozen=True)
class Look:
    """Compare what is visible with what should be; `how` is the kind of statement that asks."""

    how: str


@dataclass(frozen=True)
class Block:
    """Enter a scope (or only a savepoint), do the steps, and leave normally or by an exception."""

    scope: Scope | None
    steps: tuple[Any, ...]
    leaves: str


LOOKS = st.sampled_from(["execute", "model", "named cursor", "executemany", "failing"]).map(Look)


def blocks(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Block]:
    return st.builds(
        Block,
        st.none() | SCOPES | st.just(Scope.system("test")),
        st.lists(steps, max_size=4).map(tuple),
        st.sampled_from(["normally", "normally", "by exception", "by database error"]),
    )


STEPS = st.recursive(LOOKS, lambda inner: st.one_of(LOOKS, blocks(inner)), max_leaves=12)


def visible_now(how: str) -> set[str]:
    """The organizations whose rows are seen, asked in one kind of statement."""
    if how == "model":
        return set(InferenceRow.objects.values_list("organization_id", flat=True))
    if how == "named cursor":
        return {row.organization_id for row in InferenceRow.objects.only("id", "organization_id").iterator(2)}
    with connection.cursor() as cursor:
        if how == "executemany":
            cursor.executemany("SELECT %s", [[1], [2]])
        if how == "failing":
            with pytest.raises(DataError), transaction.atomic():
                cursor.execute("SELECT 1 / 0")
        cursor.execute("SELECT DISTINCT organization_id FROM monitoring_inference WHERE %s", [True])
        return {slug for (slug,) in cursor.fetchall()}


def setting_now() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.organizations', true)")
        return set(filter(None, (cursor.fetchone()[0] or "").split(",")))


def play(step: Look | Block, innermost: frozenset[str]) -> None:
    if isinstance(step, Look):
        assert visible_now(step.how) == innermost
        assert setting_now() == innermost
        return
    inside = innermost
    if step.scope is not None:
        inside = frozenset(SLUGS if step.scope.organizations is None else step.scope.organizations)
    try:
        with transaction.atomic() if step.scope is None else step.scope.enter():
            for one in step.steps:
                play(one, inside)
            if step.leaves == "by exception":
                raise Raised
            if step.leaves == "by database error":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")
    except (Raised, DataError):
        assert step.leaves != "normally"


@pytest.fixture
def a_row_each(database: str, now: datetime) -> None:
    rows = [inference(now, organization=slug) for slug in SLUGS]
    PostgresStore().append(Scope.system("test"), rows, now=now)


class TestScope:
    @settings(max_examples=250, deadline=None, suppress_health_check=ONE_DATABASE)
    @given(steps=st.lists(STEPS, min_size=1, max_size=5), in_transaction=st.booleans())
    def test_it_shows_exactly_the_innermost(self, a_row_each: None, steps: list[Any], in_transaction: bool) -> None:
        with transaction.atomic() if in_transaction else nullcontext():
            for step in steps:
                play(step, frozenset())
                assert setting_now() == set()
        assert setting_now() == visible_now("execute") == set()

    def test_it_is_each_threads_own(self, a_row_each: None) -> None:
        seen: dict[str, set[str]] = {}
        entered = threading.Barrier(2)

        def look(slug: str) -> None:
            try:
                with Scope.of(slug).enter():
                    entered.wait(10)
                    seen[slug] = visible_now("execute")
                    entered.wait(10)
            finally:
                connection.close()

        threads = [threading.Thread(target=look, args=(slug,)) for slug in SLUGS[:2]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == {slug: {slug} for slug in SLUGS[:2]}
