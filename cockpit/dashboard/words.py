"""Numbers, money and change in words; None stays None all the way, so that no data never looks like zero."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from typing import Literal, TypeVar

SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit: the two never part at a line's end
MINUS = "\N{MINUS SIGN}"
TARGET = 0.99  # of requests succeed: what an executive page calls "on target"
NEAR = 0.98

# Wide enough for any numeric that Postgres holds here; the default 28 digits refuse to round a huge one.
_WIDE = Context(prec=80)
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$", "ILS": "₪"}
_PLACES = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "OMR": 3, "JOD": 3, "TND": 3}
_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_LENGTHS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_FEW = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PERIODS = {"m": "minute", "h": "hour", "d": "day"}

Direction = Literal["up", "down", "level"]
Tone = Literal["good", "bad", "plain"]
Number = TypeVar("Number", Decimal, float)


def count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}".replace("-", MINUS)


def few(number: int) -> str:
    """A number as sentences have it: in letters up to nine."""
    return _FEW[number] if number < len(_FEW) else f"{number:,}"


def compact(value: float | None) -> str | None:
    """Three digits and a letter: 18.1M. Small numbers keep their thousands separators."""
    if value is None:
        return None
    # Half a unit below each step already rounds up to it: 999,960 is 1.00M, never 1,000k.
    for size, letter in _STEPS:
        if abs(value) >= size * 0.9995 and abs(value) >= 9999.5:
            return _three(value / size) + letter
    return _three(value)


def size(amount: float | None) -> str | None:
    """Bytes in the unit that reads well: 812 KiB, 39.1 GiB."""
    if amount is None:
        return None
    power = next((power for power in range(5) if abs(amount) < 999.5 * 1024**power), 5)
    return f"{_three(amount / 1024**power if power else round(amount))}{SPACE}{_SIZES[power]}"


def _three(value: float) -> str:
    size = abs(value)
    if size >= 99.95 or value == int(value):
        return f"{value:,.0f}".replace("-", MINUS)
    return f"{value:.{1 if size >= 9.995 else 2}f}".replace("-", MINUS)


def percent(share: float | None) -> str | None:
    """A share of 0-1; something small is never shown as nothing, and nearly all never as all."""
    if share is None:
        return None
    value = share * 100
    if 0 < value < 0.01:
        return f"<0.01{SPACE}%"
    if 99.95 <= value < 100:
        with localcontext(_WIDE):
            floored = min(Decimal(repr(value)), Decimal("99.99")).quantize(Decimal("0.01"), ROUND_FLOOR)
        return f"{floored}{SPACE}%"
    places = 0 if value in (0, 100) else 2 if abs(value) < 1 else 1
    return f"{value:,.{places}f}{SPACE}%".replace("-", MINUS)


def symbol(currency: str) -> str:
    return _SYMBOLS.get(currency, f"{currency}{SPACE}")


def money(amount: Decimal | None, currency: str) -> str | None:
    """A sum of money: cents, none of them from 100,000 on, and enough digits where it is less than a cent."""
    if amount is None:
        return None
    places = _PLACES.get(currency, 2)
    if amount and abs(amount) < Decimal(1).scaleb(-places):
        return _tiny(amount, currency, digits=2)
    return _signed(amount, currency, 0 if abs(amount) >= 100_000 else places)


def unit_money(amount: Decimal | None, currency: str) -> str | None:
    """The price of one thing, which is often a small part of a cent: $0.00042; ¥1.49 where there are no cents."""
    whole = 1 if _PLACES.get(currency, 2) else 1_000
    if amount is None or not amount or abs(amount) >= whole:
        return money(amount, currency)
    return _tiny(amount, currency, digits=3)


def _tiny(amount: Decimal, currency: str, *, digits: int) -> str:
    if abs(amount) < Decimal("1e-9"):
        return f"<{symbol(currency)}0.000000001"
    with localcontext(_WIDE):
        rounded = round(amount, digits - 1 - amount.adjusted()).normalize()
    exponent = rounded.as_tuple().exponent
    return _signed(rounded, currency, max(2, -exponent if isinstance(exponent, int) else 2))


def _signed(amount: Decimal, currency: str, places: int) -> str:
    with localcontext(_WIDE):
        figure = f"{abs(amount):,.{places}f}"
    return f"{MINUS if amount < 0 else ''}{symbol(currency)}{figure}"


def duration(milliseconds: float | None) -> str | None:
    """812 ms, 1.24 s, 2 min 5 s, 1 h 3 min."""
    if milliseconds is None:
        return None
    if milliseconds < 999.5:
        places = 0 if milliseconds >= 9.95 or milliseconds == int(milliseconds) else 1
        return f"{milliseconds:.{places}f}{SPACE}ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 9.995 else 1}f}{SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{SPACE}min" + (f" {whole % 60}{SPACE}s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60}{SPACE}h" + (f" {minutes % 60}{SPACE}min" if minutes % 60 else "")


def age(seconds: float) -> str:
    """A length of time for those who watch: under 1 min, 23 min, 3 h 5 min, 2 d 4 h."""
    minutes = int(max(0.0, seconds) // 60)
    if minutes < 1:
        return f"under 1{SPACE}min"
    if minutes < 1440:
        return f"{minutes}{SPACE}min" if minutes < 60 else _two(minutes, 60, "h", "min")
    return _two(minutes // 60, 24, "d", "h")


def _two(amount: int, size: int, unit: str, rest: str) -> str:
    return f"{amount // size}{SPACE}{unit}" + (f" {amount % size}{SPACE}{rest}" if amount % size else "")


def lasting(seconds: float) -> str:
    """A length of time as people say it: less than a minute, 23 minutes, about 3 hours, 2 days."""
    minutes = max(0.0, seconds) / 60
    if minutes < 1:
        return "less than a minute"
    size, unit = (1, "minute") if minutes < 89.5 else (60, "hour") if minutes < 2850 else (1440, "day")
    number = round(minutes / size)
    return f"{'about ' if size > 1 else ''}{number} {unit}{'s' if number > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Rate:
    """A unit of time in which a rate reads well: multiply what is per second by `seconds`."""

    seconds: int
    unit: str  # as in "12 /min"
    words: str


_RATES = (Rate(1, "/s", "per second"), Rate(60, "/min", "per minute"), Rate(3600, "/h", "per hour"))


def rate(per_second: float) -> Rate:
    return next((each for each in _RATES if per_second * each.seconds >= 1), _RATES[-1])


@dataclass(frozen=True, slots=True)
class Change:
    """One figure against an earlier one: `text` beside an arrow, `words` in a sentence."""

    text: str
    words: str
    direction: Direction
    tone: Tone


def change(now: Number | None, before: Number | None, *, better: Direction = "level") -> Change | None:
    """How `now` stands against `before`; None where either has no data. `better` is the direction to be glad of."""
    if now is None or before is None:
        return None
    if now == before:
        return Change("same", "the same", "level", "plain")
    direction: Direction = "up" if now > before else "down"
    tone: Tone = "plain" if better == "level" else "good" if direction == better else "bad"
    if not before:
        return Change("from 0", "up from nothing", direction, tone)
    ratio = float(now / before)
    if abs(ratio - 1) < 0.005:
        return Change("same", "about the same", "level", "plain")
    more = "higher" if direction == "up" else "lower"
    text = f"{ratio:,.0f}×" if ratio >= 10 else _whole_percent(abs(ratio - 1))
    return Change(text, f"{ratio:,.0f} times as high" if ratio >= 10 else f"{text} {more}", direction, tone)


def more(change: Change | None) -> str | None:
    """The change of a count, as it stands before what it is held against."""
    if change is None:
        return None
    if change.direction == "level":
        return f"{change.words} as in"
    if change.text.endswith("×"):
        return f"{change.text.removesuffix('×')} times as many as in"
    return f"{change.text} {'more' if change.direction == 'up' else 'fewer'} than in"


def points(now: float | None, before: float | None, *, better: Direction) -> Change | None:
    """The change of a share, in percentage points: a share's own percentage would mislead."""
    if now is None or before is None:
        return None
    difference = (now - before) * 100
    if abs(difference) < 0.005:
        return Change("same", "about the same", "level", "plain")
    direction: Direction = "up" if difference > 0 else "down"
    text = f"{abs(difference):.{1 if abs(difference) >= 1 else 2}f}{SPACE}pp"
    words = f"{text.removesuffix(SPACE + 'pp')} percentage points {'higher' if difference > 0 else 'lower'}"
    return Change(text, words, direction, "good" if direction == better else "bad")


def _whole_percent(share: float) -> str:
    value = share * 100
    return f"{value:,.{0 if value >= 9.95 or round(value, 1) == round(value) else 1}f}{SPACE}%"


def span(window: str) -> str:
    """A window's length in words: "24 hours" for 24h; "selected period" for a window given by its ends."""
    if not window:
        return "selected period"
    number, unit = int(window[:-1]), _PERIODS[window[-1]]
    return unit if number == 1 else f"{number} {unit}s"


def last(window: str) -> str:
    return f"the last {span(window)}" if window else "the selected period"


def earlier(window: str, compare: str) -> str:
    """What a figure is compared with, as it follows "than in" or "against"."""
    if compare == "week":
        return "the same period a week earlier"
    return f"the previous {span(window)}" if window else "the period before"


@dataclass(frozen=True, slots=True)
class Service:
    """The service level in words. `state` picks the colour, never the only sign."""

    state: Literal["good", "near", "bad", "unknown"]
    share: str | None
    verdict: str
    sentence: str


def service(error_rate: float | None) -> Service:
    if error_rate is None:
        return Service("unknown", None, "not known", "Service level: no requests to judge by")
    success = 1 - error_rate
    share = percent(success)
    if success >= TARGET:
        return Service("good", share, "on target", f"Service level: {share} of requests succeeded - on target")
    state: Literal["near", "bad"] = "near" if success >= NEAR else "bad"
    verdict = "just below target" if state == "near" else "below target"
    return Service(state, share, verdict, f"Service level: {share} of requests succeeded - {verdict}")


def one_in(error_rate: float | None) -> str | None:
    """A share of failures as people say it."""
    if error_rate is None:
        return None
    if not error_rate:
        return "No request failed"
    if error_rate > 0.4:
        return f"{percent(error_rate)} of requests failed"
    return f"About 1 in {round(1 / error_rate):,} requests failed"


def every(seconds: int) -> str:
    """The length of a step, as it follows "every"."""
    size, unit = next(each for each in _LENGTHS if seconds % each[0] == 0)
    number = seconds // size
    return unit if number == 1 else f"{number} {unit}s"


def headline(*, spend: str | None, moved: Change | None, period: str, against: str, service: Service) -> str:
    """The one sentence an executive reads: money first, then service."""
    if spend is None:
        first = f"Nothing in {period} has a price yet"
    elif moved is None:
        first = f"Spend is {spend} over {period}"
    elif moved.direction == "level":
        first = f"Spend is {moved.words} as in {against}"
    elif moved.text == "from 0":
        first = f"Spend is {spend}, after nothing in {against}"
    elif "times" in moved.words:
        first = f"Spend is {moved.words} as in {against}"
    else:
        first = f"Spend is {moved.words} than in {against}"
    return f"{first}; service is {service.verdict}."
