"""What moved between two windows, and why: the change in cost taken apart exactly, latency and errors beyond chance.

A model's cost is its requests times what one cost, so it moved for two reasons, and they add up without a rest: its
requests (at the earlier price) and its price (at today's requests). What requests did is `volume` where the model kept
in step with all of them, and `mix` where it did not. Only requests that have a price are taken apart. Whole windows are
compared, as Spend compares them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import sqrt
from typing import Literal

from bedrock import money
from cockpit.dashboard import reasons
from monitoring.histogram import bucket_of
from monitoring.store.base import Summary

Key = tuple[str, ...]  # model, provider
Groups = Mapping[Key, Summary]
Measure = Literal["volume", "price", "mix", "latency", "errors"]
Unit = Literal["currency", "ms", "ratio"]

MOST = 8
_LEAST_SHARE = Fraction(1, 100)  # of the earlier cost: what moved less is left out
_PLACES = 12  # a middle figure such as "today's requests at the earlier price" may have no end
# p95 is read from buckets a quarter wide. Equal durations fill equal buckets, so their width alone moves nothing, but
# how they lie inside one is a guess: less than a fifth says little, and less than 100 ms nobody notices.
_SLOWER, _SLOWER_MS = 0.20, 100.0
_MORE_ERRORS = 0.01
_ENOUGH = 50  # requests in both windows: with fewer, the normal distribution behind `_z` is a poor stand-in
_SURE = 3.0  # standard errors: by chance alone once in 370


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """One thing that moved; `model_name` is None for several models that moved as all requests did.

    Money (volume, mix, price; unit currency) is Decimal: `before` is what it cost, `after` what it costs with this one
    change, so a model's price goes on where its requests ended and all changes add up. Latency is the 95th percentile
    in ms, errors are a rate of 0-1 (ratio).
    """

    model_name: str | None
    provider: str
    measure: Measure
    unit: Unit
    before: Decimal | float
    after: Decimal | float
    because: str

    @property
    def change(self) -> Decimal | float:
        if isinstance(self.after, Decimal) and isinstance(self.before, Decimal):
            return money.EXACT.subtract(self.after, self.before)
        return float(self.after) - float(self.before)


@dataclass(frozen=True, slots=True)
class Effects:
    """Why a model's cost moved, in money; the three add up to the change exactly."""

    volume: Fraction  # as many more requests as there were in all
    mix: Fraction  # its share of them; all of it for a model that is new or gone
    price: Fraction  # what one of its requests cost

    @property
    def in_step(self) -> bool:
        """Whether its requests grew or shrank nearly as all did: by half to one and a half times as much."""
        return 0 < abs(self.volume) >= 2 * abs(self.mix)


def find(now: Groups, before: Groups, *, currency: str, against: str) -> tuple[Mover, ...]:
    """What moved from `before` to `now`, most important first, at most eight: money, then latency, then errors.

    Nothing where the earlier window holds no inference. `against` names that window, as in "than in the previous hour".
    """
    if not any(one.inferences for one in before.values()):
        return ()
    told = reasons.Telling(currency, against)
    found = [*_money(now, before, told)]
    for key in sorted(now.keys() & before.keys()):
        found += _latency(key, now[key], before[key], told) + _errors(key, now[key], before[key], told)
    return top(found, MOST)


def top(movers: Iterable[Mover], most: int) -> tuple[Mover, ...]:
    """The first `most`: money by amount, latency by ratio, errors by points; the first of each is always among them."""
    ranked = sorted(movers, key=_rank)
    kinds = [[one for one in ranked if one.unit == unit] for unit in ("currency", "ms", "ratio")]
    chosen: list[Mover] = []
    for place, kind in enumerate(kinds):
        kept_free = sum(1 for later in kinds[place + 1 :] if later)
        chosen += kind[: max(0, most - kept_free - len(chosen))]
    return tuple(chosen)


def _rank(one: Mover) -> tuple[Fraction, str, str, str]:
    size = abs(Fraction(one.change))
    if one.unit == "ms":
        size /= min(Fraction(one.before), Fraction(one.after))
    return -size, one.model_name or "", one.provider, one.measure


def effects(now: Groups, before: Groups) -> dict[Key, Effects]:
    """Each model's effects on cost, over the requests that have a price."""
    calls, calls_before = _calls(now), _calls(before)
    found = {}
    for key in sorted(now.keys() | before.keys()):
        one, earlier = now.get(key, Summary()), before.get(key, Summary())
        cost, cost_before = Fraction(one.cost or 0), Fraction(earlier.cost or 0)
        if not reasons.priced(earlier):
            found[key] = Effects(Fraction(0), cost, Fraction(0))
        elif calls and not reasons.priced(one):
            found[key] = Effects(Fraction(0), -cost_before, Fraction(0))
        else:
            at_old_price = reasons.priced(one) * cost_before / reasons.priced(earlier)
            volume = (calls - calls_before) * cost_before / calls_before
            found[key] = Effects(volume, at_old_price - cost_before - volume, cost - at_old_price)
    return found


def _money(now: Groups, before: Groups, told: reasons.Telling) -> list[Mover]:
    together: list[Key] = []
    found: list[Mover] = []
    between: dict[Key, Decimal] = {}  # today's requests at the earlier price
    calls = _calls(now), _calls(before)
    for key, effect in effects(now, before).items():
        one, earlier = now.get(key, Summary()), before.get(key, Summary())
        cost, cost_before = one.cost or Decimal(0), earlier.cost or Decimal(0)
        between[key] = _decimal(Fraction(cost_before) + effect.volume + effect.mix) if effect.price else cost
        if effect.in_step:
            together.append(key)
        elif between[key] != cost_before:
            measure: Measure = "volume" if abs(effect.volume) > abs(effect.mix) else "mix"
            because = told.requests(one, earlier, *calls)
            found.append(_cost(key, measure, cost_before, between[key], because))
        if effect.price:
            found.append(_cost(key, "price", between[key], cost, told.price(one, earlier)))
    if together:
        found.append(_volume(together, now, before, between, told))
    least = _LEAST_SHARE * sum((Fraction(one.cost or 0) for one in before.values()), Fraction(0))
    return [one for one in found if one.change and abs(Fraction(one.change)) >= least]


def _calls(groups: Groups) -> int:
    """The requests that have a price."""
    return sum(map(reasons.priced, groups.values()))


def _volume(keys: Sequence[Key], now: Groups, before: Groups, between: Mapping[Key, Decimal],
            told: reasons.Telling) -> Mover:  # fmt: skip
    """The models that moved as all requests did, as one: the story is the same for each of them."""
    one, earlier = ({key: groups[key] for key in keys if key in groups} for groups in (now, before))
    after = Decimal(0)
    for one_of_them in keys:
        after = money.EXACT.add(after, between[one_of_them])
    key: Sequence[str | None] = keys[0] if len(keys) == 1 else (None, "")
    models = sum(1 for key in between if any(key in groups and reasons.priced(groups[key]) for groups in (now, before)))
    because = told.volume(_sum(one), _sum(earlier), [model for model, _ in keys], models)
    return _cost(key, "volume", _sum(earlier).cost or Decimal(0), after, because)


def _cost(key: Sequence[str | None], measure: Measure, before: Decimal, after: Decimal, because: str) -> Mover:
    model, provider = key
    return Mover(
        model_name=model, provider=provider or "", measure=measure, unit="currency", before=before, after=after,
        because=because,
    )  # fmt: skip


def _sum(groups: Groups) -> Summary:
    return sum(groups.values(), Summary())


def _decimal(amount: Fraction) -> Decimal:
    return money.EXACT.scaleb(Decimal(round(amount * 10**_PLACES)), -_PLACES)


def _latency(key: Key, now: Summary, before: Summary, told: reasons.Telling) -> list[Mover]:
    after_ms, before_ms = now.quantile_ms(0.95), before.quantile_ms(0.95)
    if after_ms is None or before_ms is None or min(now.inferences, before.inferences) < _ENOUGH:
        return []
    lower, difference = min(after_ms, before_ms), abs(after_ms - before_ms)
    if difference < _SLOWER_MS or difference < _SLOWER * before_ms:
        return []
    # Of the quicker window one in twenty takes longer than its p95: many more, or by chance as many, in the other?
    bar = bucket_of(round(lower * 1000)) + 1
    if abs(_z(sum(now.durations[bar:]), now.inferences, sum(before.durations[bar:]), before.inferences)) < _SURE:
        return []
    model, provider = key
    because = told.latency(now, before, after_ms, before_ms)
    return [
        Mover(
            model_name=model, provider=provider, measure="latency", unit="ms",
            before=before_ms, after=after_ms, because=because,
        )
    ]  # fmt: skip


def _errors(key: Key, now: Summary, before: Summary, told: reasons.Telling) -> list[Mover]:
    if min(now.inferences, before.inferences) < _ENOUGH:
        return []
    rate, rate_before = now.errors / now.inferences, before.errors / before.inferences
    sure = abs(_z(now.errors, now.inferences, before.errors, before.inferences)) >= _SURE
    if abs(rate - rate_before) < _MORE_ERRORS or not sure:
        return []
    model, provider = key
    return [
        Mover(
            model_name=model, provider=provider, measure="errors", unit="ratio",
            before=rate_before, after=rate, because=told.errors(rate, rate_before),
        )
    ]  # fmt: skip


def _z(part: int, whole: int, part_before: int, whole_before: int) -> float:
    """How many standard errors two shares lie apart, were they of one kind (the two-proportion z-test)."""
    pooled = (part + part_before) / (whole + whole_before)
    error = sqrt(pooled * (1 - pooled) * (1 / whole + 1 / whole_before))
    return (part / whole - part_before / whole_before) / error if error else 0.0
