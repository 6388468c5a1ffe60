"""Numbers, money and change in words."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.dashboard import words

S = words.SPACE
AMOUNTS = st.decimals(
    min_value=Decimal("-1e15"), max_value=Decimal("1e15"), allow_nan=False, allow_infinity=False, places=12
)


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (Decimal("1284.07"), "USD", "$1,284.07"),
        (Decimal("0"), "USD", "$0.00"),
        (Decimal("0.00042"), "USD", "$0.00042"),
        (Decimal("128407.33"), "USD", "$128,407"),
        (Decimal("-12.5"), "EUR", "−€12.50"),
        (Decimal("1284.5"), "JPY", "¥1,284"),
        (Decimal("12.3456"), "KWD", f"KWD{S}12.346"),
        (Decimal("12"), "XXX", f"XXX{S}12.00"),
        (Decimal("1e-12"), "USD", "<$0.000000001"),
        (
            Decimal("123456789012345678901234567890123456789"),
            "USD",
            "$123,456,789,012,345,678,901,234,567,890,123,456,789",
        ),
        (None, "USD", None),
    ],
)
def test_money(amount: Decimal | None, currency: str, said: str | None) -> None:
    assert words.money(amount, currency) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0.00042", "$0.00042"),
        ("0.000421739", "$0.000422"),
        ("0.0999999", "$0.10"),
        ("0.0608", "$0.0608"),
        ("0.5", "$0.50"),
        ("3.14159", "$3.14"),
        ("0", "$0.00"),
    ],
)
def test_the_price_of_one_thing_has_enough_digits(amount: str, said: str) -> None:
    assert words.unit_money(Decimal(amount), "USD") == said


@given(AMOUNTS)
def test_money_that_is_there_is_never_shown_as_zero(amount: Decimal) -> None:
    for said in (words.money(amount, "USD"), words.unit_money(amount, "USD")):
        assert said is not None
        assert (amount == 0) == (said.strip("−$0.,") == "")


@given(st.decimals(min_value=Decimal("0.01"), max_value=Decimal("99999"), places=6))
def test_money_is_right_to_half_a_cent(amount: Decimal) -> None:
    said = words.money(amount, "USD")
    assert said is not None
    assert abs(Decimal(said.strip("$").replace(",", "")) - amount) <= Decimal("0.005")


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, f"0{S}%"),
        (1.0, f"100{S}%"),
        (0.992, f"99.2{S}%"),
        (0.00004, f"<0.01{S}%"),
        (0.0042, f"0.42{S}%"),
        (0.99996, f"99.99{S}%"),
        (0.9999999, f"99.99{S}%"),
        (-0.25, f"−25.0{S}%"),
        (None, None),
    ],
)
def test_percent(share: float | None, said: str | None) -> None:
    assert words.percent(share) == said


@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_a_share_between_none_and_all_is_never_said_to_be_either(share: float) -> None:
    assert words.percent(share) not in {f"{zero}{S}%" for zero in ("0", "0.0", "0.00", "100", "100.0", "100.00")}


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (37, "37"), (9.434, "9.43"), (12.34, "12.3"), (9999, "9,999"), (12345, "12.3k"), (999_960, "1.00M"),
     (18_059_974, "18.1M"), (2.4e9, "2.40B"), (None, None)],
)  # fmt: skip
def test_compact(value: float | None, said: str | None) -> None:
    assert words.compact(value) == said


@given(st.floats(min_value=0, max_value=9e14))
def test_compact_is_right_to_one_per_cent(value: float) -> None:
    said = words.compact(value)
    assert said is not None
    scale = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(said[-1], 1.0)
    assert float(said.rstrip("kMBT").replace(",", "")) * scale == pytest.approx(value, rel=0.01, abs=0.006)


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0.4, f"0.4{S}ms"), (812.4, f"812{S}ms"), (999.7, f"1.00{S}s"), (1240, f"1.24{S}s"), (12_340, f"12.3{S}s"),
     (59_970, f"1{S}min"), (125_000, f"2{S}min 5{S}s"), (3_780_000, f"1{S}h 3{S}min"), (None, None)],
)  # fmt: skip
def test_duration(milliseconds: float | None, said: str | None) -> None:
    assert words.duration(milliseconds) == said


@given(st.floats(min_value=0, max_value=1e9))
def test_a_duration_never_has_sixty_of_what_the_next_unit_counts(milliseconds: float) -> None:
    said = words.duration(milliseconds) or ""
    parts = {unit: float(number) for number, unit in re.findall(rf"([\d.]+){S}(ms|min|s|h)", said)}
    assert parts
    assert parts.get("ms", 0) < 1000
    assert parts.get("s", 0) < 60
    assert parts.get("min", 0) < 60


def test_a_rate_is_told_in_the_unit_it_reads_well_in() -> None:
    assert words.rate(12).unit == "/s"
    assert words.rate(0.2).unit == "/min"
    assert words.rate(0.001).unit == "/h"
    assert words.rate(0).unit == "/h"


@pytest.mark.parametrize(
    ("now", "before", "text", "said", "direction"),
    [
        (112.0, 100.0, f"12{S}%", f"12{S}% higher", "up"),
        (96.6, 100.0, f"3.4{S}%", f"3.4{S}% lower", "down"),
        (100.2, 100.0, "same", "about the same", "level"),
        (0.0, 0.0, "same", "the same", "level"),
        (5.0, 0.0, "from 0", "up from nothing", "up"),
        (1500.0, 100.0, "15×", "15 times as high", "up"),
        (0.0, 100.0, f"100{S}%", f"100{S}% lower", "down"),
    ],
)
def test_change(now: float, before: float, text: str, said: str, direction: str) -> None:
    change = words.change(now, before)
    assert change is not None
    assert (change.text, change.words, change.direction) == (text, said, direction)


def test_change_is_good_or_bad_only_where_a_direction_is_better() -> None:
    up = words.change(Decimal(2), Decimal(1), better="up")
    down = words.change(Decimal(2), Decimal(1), better="down")
    plain = words.change(Decimal(2), Decimal(1))
    assert up is not None
    assert down is not None
    assert plain is not None
    assert (up.tone, down.tone, plain.tone) == ("good", "bad", "plain")


def test_there_is_no_change_without_both_figures() -> None:
    assert words.change(None, 1.0) is None
    assert words.change(1.0, None) is None
    assert words.points(None, 0.1, better="down") is None
    assert words.more(None) is None


def test_a_share_changes_by_points() -> None:
    change = words.points(0.021, 0.009, better="down")
    assert change is not None
    assert (change.text, change.words, change.tone) == (f"1.2{S}pp", "1.2 percentage points higher", "bad")


def test_windows_in_words() -> None:
    assert words.last("24h") == "the last 24 hours"
    assert words.last("1h") == "the last hour"
    assert words.last("") == "the selected period"
    assert words.earlier("7d", "previous") == "the previous 7 days"
    assert words.earlier("7d", "week") == "the same period a week earlier"
    assert words.earlier("", "previous") == "the period before"


@pytest.mark.parametrize(
    ("error_rate", "state", "sentence"),
    [
        (0.008, "good", f"Service level: 99.2{S}% of requests succeeded - on target"),
        (0.015, "near", f"Service level: 98.5{S}% of requests succeeded - just below target"),
        (0.2, "bad", f"Service level: 80.0{S}% of requests succeeded - below target"),
        (None, "unknown", "Service level: no requests to judge by"),
    ],
)
def test_service(error_rate: float | None, state: str, sentence: str) -> None:
    service = words.service(error_rate)
    assert (service.state, service.sentence) == (state, sentence)


def test_failures_as_people_say_them() -> None:
    assert words.one_in(1 / 240) == "About 1 in 240 requests failed"
    assert words.one_in(0.0) == "No request failed"
    assert words.one_in(0.5) == f"50.0{S}% of requests failed"
    assert words.one_in(None) is None


@pytest.mark.parametrize(
    ("now", "before", "first"),
    [
        (Decimal(112), Decimal(100), f"Spend is 12{S}% higher than in the previous 24 hours"),
        (Decimal(80), Decimal(100), f"Spend is 20{S}% lower than in the previous 24 hours"),
        (Decimal(100), Decimal(100), "Spend is the same as in the previous 24 hours"),
        (Decimal(1200), Decimal(100), "Spend is 12 times as high as in the previous 24 hours"),
        (Decimal(5), Decimal(0), "Spend is $5.00, after nothing in the previous 24 hours"),
        (Decimal(5), None, "Spend is $5.00 over the last 24 hours"),
        (None, Decimal(5), "Nothing in the last 24 hours has a price yet"),
    ],
)
def test_the_headline_is_one_sentence(now: Decimal | None, before: Decimal | None, first: str) -> None:
    said = words.headline(
        spend=words.money(now, "USD"),
        moved=words.change(now, before),
        period=words.last("24h"),
        against=words.earlier("24h", "previous"),
        service=words.service(0.001),
    )
    assert said == f"{first}; service is on target."


def test_the_length_of_a_step() -> None:
    assert [words.every(seconds) for seconds in (60, 1800, 3600, 86_400, 90)] == [
        "minute", "30 minutes", "hour", "day", "90 seconds"
    ]  # fmt: skip
