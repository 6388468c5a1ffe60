"""Why something moved, in one sentence that anybody can read: no percentiles, no tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cockpit.dashboard import words
from monitoring.store.base import Summary

_LONGEST_NAMES = 60  # letters of models' names in a sentence; where they are more, models are counted
_NOTICED = 0.10  # answers that grew by less explain no slowness


def priced(one: Summary) -> int:
    """The requests that its cost is of."""
    return one.inferences - one.unpriced


@dataclass(frozen=True, slots=True)
class Telling:
    """The words for one organization and comparison: its currency, and the earlier window as in "than in"."""

    currency: str
    against: str

    def volume(self, now: Summary, before: Summary, models: Sequence[str], of: int) -> str:
        """Models whose requests moved as all did, out of so many in all."""
        calls, earlier = priced(now), priced(before)
        if now.inferences and not calls:
            return f"No request has a price now, after {earlier:,} in {self.against}."
        if not calls:
            return f"No request, after {earlier:,} in {self.against}."
        moved = _by(calls, earlier, "more", "fewer", "many")
        than = "as" if moved.endswith(" as many") else "than"
        noun = _noun(now, before) + (f" to {_names(models, of)}" if 1 < len(models) < of else "")
        return f"{moved} {noun} {than} in {self.against}: {calls:,} after {earlier:,}."

    def requests(self, now: Summary, before: Summary, of: int, of_before: int) -> str:
        """One model whose requests moved otherwise than all of them, which are `of` and were `of_before`."""
        calls, earlier = priced(now), priced(before)
        if not earlier:
            each = self._each(now)
            if before.inferences:
                return f"Its requests had no price in {self.against}; now {calls:,} have one: {each} each."
            return f"New in this period: {calls:,} {_noun(now, before, calls)} at {each} each."
        if not calls:
            if now.inferences:
                return (
                    f"Its requests have no price now; in {self.against} {earlier:,} had one: {self._each(before)} each."
                )
            return f"No longer used, after {earlier:,} {_noun(now, before, earlier)} in {self.against}."
        share, share_before = words.percent(calls / of), words.percent(earlier / of_before)
        noun = _noun(now, before, calls)
        return f"{calls:,} {noun} ({share} of all), after {earlier:,} ({share_before}) in {self.against}."

    def price(self, now: Summary, before: Summary) -> str:
        """What one request cost, and how much of that its length explains."""
        cost, earlier = _cost(now), _cost(before)
        figures = f"{self._each(now)} after {self._each(before)}"
        if not earlier or not cost:
            return f"Each request cost {figures}."
        head = f"Each request cost {_by(cost, earlier, 'more', 'less', 'much')} ({figures})"
        length, length_before = _length(now), _length(before)
        if not length or not length_before:
            return f"{head}."
        return f"{head}{_split(length / length_before, (cost / length) / (earlier / length_before))}."

    def latency(self, now: Summary, before: Summary, after_ms: float, before_ms: float) -> str:
        after, earlier_after = words.duration(after_ms), words.duration(before_ms)
        told = f"One request in twenty took longer than {after}, after {earlier_after} in {self.against}"
        answer, earlier = (Fraction(one.output_tokens, one.inferences) for one in (now, before))
        same_way = (answer > earlier) == (after_ms > before_ms)
        if answer and earlier and same_way and abs(answer / earlier - 1) >= _NOTICED:
            told += f"; answers got {_by(answer, earlier, 'longer', 'shorter', 'long')}"
        return f"{told}."

    def errors(self, rate: float, before: float) -> str:
        return f"{words.percent(rate)} of its requests failed, after {words.percent(before)} in {self.against}."

    def _each(self, one: Summary) -> str:
        cost = (one.cost or Decimal(0)) / priced(one)
        return (words.unit_money(cost, self.currency) if cost else None) or "nothing"


def _names(models: Sequence[str], of: int) -> str:
    named = f"{', '.join(models[:-1])} and {models[-1]}"
    return f"{len(models)} of {of} models" if len(named) > _LONGEST_NAMES or "__other__" in models else named


def _noun(now: Summary, before: Summary, count: int = 2) -> str:
    noun = "request" if count == 1 else "requests"
    return f"{noun} with a price" if now.unpriced or before.unpriced else noun


def _cost(one: Summary) -> Fraction:
    """Of one request that has a price."""
    return Fraction(one.cost or 0) / priced(one)


def _length(one: Summary) -> Fraction:
    """Tokens of one request; 0 where they would be of other requests than the cost is, or were never told."""
    return Fraction(0) if one.unpriced else Fraction(one.input_tokens + one.output_tokens, one.inferences)


def _by(now: Fraction | int, before: Fraction | int, more: str, less: str, times: str) -> str:
    """ "28 % more", "2 % fewer", "12 times as many", "about as many"."""
    change = words.change(float(Fraction(now) / before), 1.0)
    if change is None or change.direction == "level":
        return f"about as {times}"
    if change.text.endswith("×"):
        return f"{change.text.removesuffix('×')} times as {times}"
    return f"{change.text} {more if change.direction == 'up' else less}"


def _split(length: Fraction, price: Fraction) -> str:
    """What part requests' length had, and what the price of the same length; each as a ratio to before."""
    longer, dearer = (words.change(float(ratio), 1.0) for ratio in (length, price))
    if longer is None or longer.direction == "level":
        return " for the same length"
    by_length = f"requests got {_by(length, 1, 'longer', 'shorter', 'long')}"
    if dearer is None or dearer.direction == "level":
        return f": {by_length}"
    by_price = f"the same length cost {_by(price, 1, 'more', 'less', 'much')}"
    return f": {by_price}, {'and' if longer.direction == dearer.direction else 'while'} {by_length}"
