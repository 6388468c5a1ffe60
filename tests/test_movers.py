"""What moved and why: the change in cost taken apart without a rest, noise left out, each reason a plain sentence."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bedrock import money
from cockpit.dashboard import movers, words
from cockpit.dashboard.movers import Groups, Mover
from cockpit.demo.calls import HOUR, Telling, hour_of, hour_of_calls
from cockpit.demo.profiles import PROFILES, STORY
from monitoring import histogram
from monitoring.store import current_store
from monitoring.store.base import Query, Summary
from organizations.scope import Scope
from tests.memory_store import MemoryStore, inference
from tests.test_panels import TOTALS, html, sight, text

S = words.SPACE
AGAINST = "the previous 24 hours"
DAY = timedelta(days=1)


def group(calls: int, cost: str | None = None, *, errors: int = 0, unpriced: int = 0, ms: float = 300,
          tokens: int = 0, output: int = 0) -> Summary:  # fmt: skip
    """Calls that all took about as long."""
    buckets = [0] * histogram.BUCKETS
    buckets[histogram.bucket_of(round(ms * 1000))] = calls
    return Summary(
        inferences=calls, errors=errors, cost=None if cost is None else Decimal(cost),
        unpriced=calls if cost is None else unpriced, input_tokens=tokens - output, output_tokens=output,
        durations=tuple(buckets),
    )  # fmt: skip


def named(**groups: Summary) -> Groups:
    return {(name, "lab"): one for name, one in groups.items()}


def find(now: Groups, before: Groups) -> tuple[Mover, ...]:
    return movers.find(now, before, currency="USD", against=AGAINST)


def plain(because: str) -> str:
    return because.replace(S, " ")


@st.composite
def groups_of_models(draw: st.DrawFn) -> Groups:
    found = {}
    for name in draw(st.lists(st.sampled_from("abc"), unique=True)):
        calls = draw(st.integers(0, 10**6))
        unpriced = draw(st.sampled_from([0, 0, calls, calls // 2]))
        cost = (
            draw(st.decimals(0, 10**12, places=draw(st.integers(0, 30)), allow_nan=False)) if calls > unpriced else None
        )
        found[name, ""] = Summary(
            inferences=calls, unpriced=unpriced, cost=cost, output_tokens=draw(st.integers(0, 10**9))
        )  # fmt: skip
    return found


def cost_of(groups: Groups) -> Fraction:
    return sum((Fraction(one.cost or 0) for one in groups.values()), Fraction(0))


class TestMoney:
    @given(groups_of_models(), groups_of_models())
    def test_the_effects_of_all_models_add_up_to_the_change_in_cost(self, now: Groups, before: Groups) -> None:
        effects = movers.effects(now, before).values()
        added = sum((one.volume + one.mix + one.price for one in effects), Fraction(0))
        assert added == cost_of(now) - cost_of(before)

    @given(groups_of_models(), groups_of_models())
    def test_so_do_the_figures_that_are_told(self, now: Groups, before: Groups) -> None:
        with patch.object(movers, "_LEAST_SHARE", Fraction(0)):
            told = find(now, before)
        added = Decimal(0)
        for one in told:
            assert one.unit == "currency"
            assert isinstance(one.change, Decimal)
            added = money.EXACT.add(added, one.change)
            assert "None" not in one.because
            assert one.because.endswith(".")
        if any(one.inferences for one in before.values()):
            assert Fraction(added) == cost_of(now) - cost_of(before)
        else:
            assert told == ()

    def test_the_effects_are_those_of_the_textbook(self) -> None:
        now = named(a=group(300, "45"), b=group(100, "100"))
        before = named(a=group(100, "10"), b=group(100, "80"))
        effects = movers.effects(now, before)
        for key, one in effects.items():
            share, share_before = Fraction(now[key].inferences, 400), Fraction(before[key].inferences, 200)
            each, each_before = (Fraction(g[key].cost or 0) / g[key].inferences for g in (now, before))
            assert one.volume == (400 - 200) * share_before * each_before
            assert one.mix == 400 * (share - share_before) * each_before
            assert one.price == 400 * share * (each - each_before)

    def test_what_moved_as_all_did_is_told_once(self) -> None:
        now = named(a=group(1200, "12"), b=group(600, "60"), c=group(590, "590"))
        before = named(a=group(1000, "10"), b=group(500, "50"), c=group(500, "500"))
        (only,) = find(now, before)
        assert (only.model_name, only.provider, only.measure) == (None, "", "volume")
        assert (only.before, only.after, only.change) == (Decimal(560), Decimal(662), Decimal(102))
        assert plain(only.because) == "20 % more requests than in the previous 24 hours: 2,390 after 2,000."

    def test_it_names_the_few_models_that_moved_as_all_did_or_counts_them(self) -> None:
        now = named(a=group(1200, "12"), b=group(600, "60"), c=group(50, "1"), d=group(100))
        before = named(a=group(1000, "10"), b=group(500, "50"), c=group(50, "1"), d=group(100))
        (only,) = find(now, before)
        assert plain(only.because) == "20 % more requests to a and b than in the previous 24 hours: 1,800 after 1,500."
        many = [{(f"{n} by a long name", ""): group(calls, str(calls)) for n in range(4)} for calls in (120, 100)]
        still = {("still", ""): group(100, "1")}
        (only,) = find({**many[0], **still}, {**many[1], **still})
        assert plain(only.because).startswith("20 % more requests to 4 of 5 models than")
        limit = [{("__other__", ""): group(calls, "1"), ("b", ""): group(calls, "1")} for calls in (120, 100)]
        told = find({**limit[0], **still}, {**limit[1], **still})
        assert "__other__" not in "".join(one.because for one in told)

    def test_a_model_whose_own_requests_moved_is_told_alone(self) -> None:
        now = named(a=group(200, "200"), b=group(100, "100"))
        before = named(a=group(100, "100"), b=group(100, "100"))
        (only,) = find(now, before)
        assert (only.model_name, only.provider, only.measure, only.change) == ("a", "lab", "mix", Decimal(100))
        assert plain(only.because) == ("200 requests (66.7 % of all), after 100 (50.0 %) in the previous 24 hours.")

    def test_a_new_model_and_one_that_is_gone_are_wholly_mix(self) -> None:
        now = named(old=group(100, "1"), new=group(1234, "12.34"))
        before = named(old=group(100, "1"), gone=group(50, "5"))
        new, gone = find(now, before)
        assert (new.model_name, new.measure, new.before, new.change) == ("new", "mix", Decimal(0), Decimal("12.34"))
        assert new.because == "New in this period: 1,234 requests at $0.01 each."
        assert (gone.model_name, gone.measure, gone.after, gone.change) == ("gone", "mix", Decimal(0), Decimal(-5))
        assert gone.because == "No longer used, after 50 requests in the previous 24 hours."

    @pytest.mark.parametrize(
        ("cost", "tokens", "because"),
        [
            ("12.8", 1000, "Each request cost 28 % more ($0.128 after $0.10) for the same length."),
            ("12.8", 980, "Each request cost 28 % more ($0.128 after $0.10): the same length cost 31 % more, "
                          "while requests got 2 % shorter."),
            ("12.8", 1100, "Each request cost 28 % more ($0.128 after $0.10): the same length cost 16 % more, "
                           "and requests got 10 % longer."),
            ("12.8", 1280, "Each request cost 28 % more ($0.128 after $0.10): requests got 28 % longer."),
            ("12.8", 0, "Each request cost 28 % more ($0.128 after $0.10)."),
            ("200", 1000, "Each request cost 20 times as much ($2.00 after $0.10) for the same length."),
            ("5", 1000, "Each request cost 50 % less ($0.05 after $0.10) for the same length."),
            ("0", 1000, "Each request cost nothing after $0.10."),
        ],
    )  # fmt: skip
    def test_a_price_says_what_length_had_to_do_with_it(self, cost: str, tokens: int, because: str) -> None:
        (only,) = find(named(a=group(100, cost, tokens=tokens)), named(a=group(100, "10", tokens=1000)))
        assert (only.measure, only.before, only.after) == ("price", Decimal(10), Decimal(cost))
        assert plain(only.because) == because

    def test_requests_and_price_of_one_model_follow_each_other(self) -> None:
        price, requests = find(named(a=group(150, "30")), named(a=group(100, "10")))
        assert (requests.measure, requests.before, requests.after) == ("volume", Decimal(10), Decimal(15))
        assert (price.measure, price.before, price.after) == ("price", Decimal(15), Decimal(30))

    def test_only_requests_with_a_price_are_taken_apart_and_it_says_so(self) -> None:
        now = named(a=group(300, "15", unpriced=150, tokens=900), b=group(10, "1"))
        before = named(a=group(200, "10", unpriced=100, tokens=100), b=group(10, "1"))
        (only,) = find(now, before)
        assert only.change == Decimal(5)
        assert plain(only.because) == (
            "45 % more requests with a price than in the previous 24 hours: 160 after 110."
            if only.model_name is None
            else "50 % more requests with a price than in the previous 24 hours: 150 after 100."
        )

    def test_losing_or_getting_a_price_is_not_told_as_coming_or_going(self) -> None:
        one, other = named(a=group(100, "10"), b=group(9, "9")), named(a=group(100), b=group(9, "9"))
        (lost,) = find(other, one)
        assert lost.because == "Its requests have no price now; in the previous 24 hours 100 had one: $0.10 each."
        (got,) = find(one, other)
        assert got.because == "Its requests had no price in the previous 24 hours; now 100 have one: $0.10 each."
        (all_lost,) = find(named(a=group(100)), named(a=group(100, "10")))
        assert all_lost.because == "No request has a price now, after 100 in the previous 24 hours."

    def test_silence_is_one_sentence(self) -> None:
        (only,) = find({}, named(a=group(100, "10"), b=group(5, "5")))
        assert (only.measure, only.after, only.change) == ("volume", Decimal(0), Decimal(-15))
        assert only.because == "No request, after 105 in the previous 24 hours."

    def test_less_than_a_hundredth_of_the_earlier_cost_is_left_out(self) -> None:
        before = named(a=group(1000, "100"))
        assert find(named(a=group(1000, "100.99")), before) == ()
        assert [one.change for one in find(named(a=group(1000, "101")), before)] == [Decimal(1)]

    def test_nothing_earlier_is_nothing_to_compare_with(self) -> None:
        assert find(named(a=group(10, "1")), {}) == ()
        assert find({}, {}) == ()
        assert find(named(a=group(10)), named(a=group(20))) == ()


def drawn(chance: random.Random, calls: int, *, factor: float = 1.0, error_rate: float = 0.02) -> Summary:
    """Log-normal durations around 800 ms and errors by chance."""
    buckets = [0] * histogram.BUCKETS
    for _ in range(calls):
        buckets[histogram.bucket_of(round(chance.lognormvariate(0, 0.8) * 800_000 * factor))] += 1
    errors = sum(chance.random() < error_rate for _ in range(calls))
    return structs.replace(group(calls), errors=errors, durations=tuple(buckets))


class TestNoise:
    @pytest.mark.parametrize("calls", [10, 50, 120, 1000])
    def test_chance_is_hardly_ever_told(self, calls: int) -> None:
        chance = random.Random(calls)
        told = [one for _ in range(400) for one in find(named(a=drawn(chance, calls)), named(a=drawn(chance, calls)))]
        assert len(told) <= 3  # of 800 looks; three standard errors are passed by chance once in 370

    def test_a_real_slowdown_is_told(self) -> None:
        chance = random.Random(1)
        now, before = drawn(chance, 1000, factor=1.6), drawn(chance, 1000)
        (only,) = find(named(a=now), named(a=before))
        assert (only.measure, only.unit) == ("latency", "ms")
        assert (only.before, only.after) == (before.quantile_ms(0.95), now.quantile_ms(0.95))
        assert re.fullmatch(
            r"One request in twenty took longer than [\d.]+ s, after [\d.]+ s in the previous 24 hours\.",
            plain(only.because),
        )
        (faster,) = find(named(a=before), named(a=now))
        assert faster.change == -only.change

    def test_longer_answers_explain_slowness_and_never_its_opposite(self) -> None:
        slow, quick = group(200, ms=900, tokens=90_000, output=80_000), group(200, ms=400, tokens=50_000, output=40_000)
        (only,) = find(named(a=slow), named(a=quick))
        assert plain(only.because).endswith("; answers got 100 % longer.")
        (only,) = find(named(a=structs.replace(slow, output_tokens=10)), named(a=quick))
        assert "answers" not in only.because

    def test_what_nobody_would_notice_is_left_out(self) -> None:
        assert find(named(a=group(500, ms=90)), named(a=group(500, ms=20))) == ()
        assert find(named(a=group(500, ms=1150)), named(a=group(500, ms=1050))) == ()
        assert find(named(a=group(49, ms=9000, errors=49)), named(a=group(500, ms=20))) == ()

    def test_failures_are_told_where_they_are_surely_more_or_fewer(self) -> None:
        (only,) = find(named(a=group(1000, errors=42)), named(a=group(1000, errors=8)))
        assert (only.measure, only.unit, only.before, only.after) == ("errors", "ratio", 0.008, 0.042)
        assert plain(only.because) == "4.2 % of its requests failed, after 0.80 % in the previous 24 hours."
        assert find(named(a=group(1000, errors=17)), named(a=group(1000, errors=8))) == ()  # less than a point
        assert find(named(a=group(100, errors=6)), named(a=group(100, errors=1))) == ()  # perhaps chance
        assert find(named(a=group(60, errors=60)), named(a=group(60, errors=60))) == ()


class TestOrder:
    def test_money_comes_first_and_of_each_kind_the_largest_stays(self) -> None:
        now = {(f"m{n}", ""): group(1000, str(10 + n), ms=1000 * 1.5**n, errors=100 + n) for n in range(10)}
        before = {(f"m{n}", ""): group(1000, "10", ms=300) for n in range(10)}
        told = find(now, before)
        assert [(one.measure, one.model_name) for one in told] == [
            ("price", "m9"), ("price", "m8"), ("price", "m7"), ("price", "m6"), ("price", "m5"), ("price", "m4"),
            ("latency", "m9"), ("errors", "m9"),
        ]  # fmt: skip
        assert [one.measure for one in movers.top(told, 5)] == ["price"] * 3 + ["latency", "errors"]

    def test_equals_stand_in_the_order_of_their_names(self) -> None:
        now = {(name, ""): group(100, "2") for name in "cab"}
        before = {(name, ""): group(100, "1") for name in "bca"}
        assert [one.model_name for one in find(now, before)] == ["a", "b", "c"]


MOVED = (
    Mover(model_name="gpt-5", provider="openai", measure="price", unit="currency", before=Decimal(100),
          after=Decimal(160), because="Each request cost 60 % more."),
    Mover(model_name=None, provider="", measure="volume", unit="currency", before=Decimal(100),
          after=Decimal(80), because="20 % fewer requests."),
    Mover(model_name="qwen", provider="", measure="latency", unit="ms", before=1000.0, after=1500.0, because="Slow."),
    Mover(model_name="qwen", provider="", measure="errors", unit="ratio", before=0.05, after=0.01, because="Fewer."),
)  # fmt: skip


class TestPanels:
    def test_developers_see_each_in_figures(self) -> None:
        page = text("developer", sight(previous=TOTALS, movers=MOVED))
        for said in (
            "What moved and why", "gpt-5 price from $100.00 → to $160.00 $60.00 $60.00 more, against",
            "several models requests", "p95 latency from 1.00 s → to 1.50 s 50 %", "4.0 pp",
        ):  # fmt: skip
            assert said in page

    def test_executives_read_money_first_and_no_jargon(self) -> None:
        page = text("executive", sight(previous=TOTALS, movers=MOVED))
        for said in (
            "$60.00 more gpt-5 : Each request cost 60 % more.", "$20.00 less Several models : 20 % fewer requests.",
            "50 % slower qwen : Slow.", "fewer failures qwen : Fewer.",
        ):  # fmt: skip
            assert said in page
        assert "p95" not in page
        many = html("executive", sight(previous=TOTALS, movers=MOVED[:1] * 4 + MOVED[1:]))
        assert many.count('<b class="move-name">') == 5

    def test_good_and_bad_are_told_as_elsewhere(self) -> None:
        page = html("executive", sight(previous=TOTALS, movers=MOVED))
        section = page[page.index("panel-movers_executive") :].partition("</section>")[0]
        assert re.findall(r"change--(\w+)", section) == ["bad", "plain", "bad", "good"]

    @pytest.mark.parametrize("audience", ["developer", "executive"])
    def test_an_empty_panel_says_why(self, audience: str) -> None:
        assert "Nothing moved much against the previous 24 hours." in text(audience, sight(previous=TOTALS))
        assert "Nothing is compared: choose a period to compare with." in text(audience, sight(compare="none"))
        quiet = sight(previous=replace(TOTALS, inferences=0))
        assert "There is nothing to compare with in the previous 24 hours." in text(audience, quiet)

    def test_names_past_the_limit_are_words_to_executives(self) -> None:
        page = text("executive", sight(previous=TOTALS, movers=(replace(MOVED[0], model_name="__other__"),)))
        assert "Models beyond the limit of names : Each" in page


@pytest.mark.usefixtures("database")
class TestFromTheStore:
    def test_the_api_tells_what_postgres_holds(
        self, client: Client, make_key: Callable[..., str], now: datetime
    ) -> None:
        rows = []
        for n in range(60):
            later = {"duration_us": 900_000, "cost": Decimal("0.3"), "input_tokens": 100, "output_tokens": 10}
            rows.append(inference(now - timedelta(minutes=5), model="a", provider="lab", **later))
            rows.append(inference(now - timedelta(hours=1, minutes=5), model="a", provider="lab", status="success",
                                  **{**later, "duration_us": 300_000, "cost": Decimal("0.2")}))  # fmt: skip
            failed = "error" if n < 30 else "success"
            rows.append(inference(now - timedelta(minutes=6), model="b", status=failed))
            rows.append(inference(now - timedelta(hours=1, minutes=6), model="b"))
        scope = Scope.of("swaggystacks")
        twin = MemoryStore()
        for store in (current_store(), twin):
            store.append(scope, rows, now=now)
        key = make_key()
        data = client.get(
            "/api/monitoring/dashboard?window=1h", headers={"authorization": f"Bearer {key}"}
        ).json()  # fmt: skip
        price, latency, errors = data["movers"]
        assert (price["modelName"], price["provider"], price["measure"], price["unit"]) == (
            "a",
            "lab",
            "price",
            "currency",
        )
        assert (price["before"], price["after"], price["change"]) == ("12.00", "18.00", "6.00")
        assert "50" in price["because"]
        assert (latency["unit"], latency["change"]) == ("ms", pytest.approx(latency["after"] - latency["before"]))
        assert (errors["modelName"], errors["provider"], errors["change"]) == ("b", None, 0.5)
        end = (now + timedelta(minutes=1)).replace(second=0, microsecond=0)
        queries = [Query(start=end - n * HOUR, end=end - (n - 1) * HOUR, by=("model", "provider")) for n in (1, 2)]
        found = [find(*store.totals(scope, queries)) for store in (current_store(), twin)]
        assert found[0] == found[1]
        assert [one.measure for one in found[0]] == ["price", "latency", "errors"]
        assert data["previous"]["cost"] == "12.00"
        quiet = client.get(
            "/api/monitoring/dashboard?window=1h&compare=none", headers={"authorization": f"Bearer {key}"}
        )
        assert quiet.json()["movers"] == []


def demo(organization: str, days_ago: int, days: int, now: datetime) -> Groups:
    """What the demo's store would hold of that many days, by model."""
    profile = next(each for each in PROFILES if each.organization == organization)
    start = hour_of(now) - days_ago * DAY
    found: dict[tuple[str, ...], Summary] = {}
    counts: dict[tuple[str, ...], list[int]] = {}
    for n in range(days * 24):
        for item in hour_of_calls(profile, start + n * HOUR, zone=ZoneInfo("UTC"), telling=Telling(now)):
            key = (item.model_name, item.provider or "")
            one = found.get(key, Summary())
            counts.setdefault(key, [0] * histogram.BUCKETS)[histogram.bucket_of(round(item.duration_ms * 1000))] += 1
            found[key] = structs.replace(
                one,
                inferences=one.inferences + 1,
                errors=one.errors + (item.status in ("error", "timeout", "rate_limited")),
                input_tokens=one.input_tokens + (item.input_tokens or 0),
                output_tokens=one.output_tokens + (item.output_tokens or 0),
                cost=money.add(one.cost, item.cost),
                unpriced=one.unpriced + (item.cost is None),
            )
    return {key: structs.replace(one, durations=tuple(counts[key])) for key, one in found.items()}


def test_the_story_planted_in_the_demo_is_found() -> None:
    now = datetime(2026, 3, 10, 12, 40, tzinfo=UTC)
    mondays = [demo("scientia_capital", days, 1, now) for days in (8, 15)]  # on both sides of the price change
    price = next(one for one in find(*mondays) if one.measure == "price")
    assert (price.model_name, price.change > 0) == (STORY.price_model, True)
    assert re.search("the same length (cost|$)|for the same length", price.because)
    slow = [demo("swaggystacks", days, 1, now) for days in (1, 8)]
    latency = next(one for one in find(*slow) if one.measure == "latency")
    assert (latency.model_name, latency.change > 0) == (STORY.slow_model, True)
