"""The panel "What moved and why", for both audiences: the answer's movers as rows, or as a few sentences."""

from decimal import Decimal

from cockpit.dashboard import words
from cockpit.dashboard.movers import Mover, top
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.words import Change, Tone

Context = dict[str, object]

MOST_SENTENCES = 5
_LABELS = {
    "volume": "requests", "mix": "share of requests", "price": "price", "latency": "p95 latency", "errors": "error rate"
}  # fmt: skip
_OTHER = "Models beyond the limit of names"


def developer(sight: Sight) -> Context:
    return {
        "rows": [
            {
                "name": one.model_name or "several models",
                "provider": one.provider,
                "what": _LABELS[one.measure],
                "before": _figure(sight, one, one.before),
                "after": _figure(sight, one, one.after),
                "change": _change(sight, one),
                "because": one.because,
            }
            for one in sight.movers
        ],
        "nothing": _nothing(sight),
        "against": sight.earlier,
    }


def executive(sight: Sight) -> Context:
    return {
        "rows": [
            {
                "name": _OTHER if one.model_name == "__other__" else one.model_name or "Several models",
                "change": _plain(one, _change(sight, one)),
                "because": one.because,
            }
            for one in top(sight.movers, MOST_SENTENCES)
        ],
        "nothing": _nothing(sight),
        "against": sight.earlier,
    }


def _nothing(sight: Sight) -> str:
    if sight.answer.previous is None:
        return "Nothing is compared: choose a period to compare with."
    if sight.previous is None:
        return f"There is nothing to compare with in {sight.earlier}."
    return f"Nothing moved much against {sight.earlier}."


def _figure(sight: Sight, one: Mover, value: Decimal | float) -> str | None:
    if isinstance(value, Decimal):
        return sight.money(value)
    return words.duration(value) if one.unit == "ms" else words.percent(value)


def _change(sight: Sight, one: Mover) -> Change | None:
    if isinstance(one.change, Decimal):
        amount = sight.money(abs(one.change)) or ""
        up = one.change > 0
        # More requests cost more, which is no fault; a higher price is.
        tone: Tone = "plain" if one.measure != "price" else "bad" if up else "good"
        return Change(amount, f"{amount} {'more' if up else 'less'}", "up" if up else "down", tone)
    told = words.change if one.unit == "ms" else words.points
    return told(float(one.after), float(one.before), better="down")


def _plain(one: Mover, change: Change | None) -> Change | None:
    """What stands before an executive's sentence: money, "slower", "more failures"."""
    if change is None or one.unit == "currency":
        return change
    up = change.direction == "up"
    if one.unit == "ratio":
        return Change(change.text, "more failures" if up else "fewer failures", change.direction, change.tone)
    said = f"{change.text.removesuffix('×')} times as slow" if "×" in change.text else f"{change.text} {_pace(up)}"
    return Change(change.text, said, change.direction, change.tone)


def _pace(up: bool) -> str:
    return "slower" if up else "faster"
