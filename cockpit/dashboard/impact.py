"""The panel of alerts for executives: what is affected since when, what is in it in requests and money, whose it is.

All of it is in plain words, without the names that programs give things.
"""

from collections.abc import Sequence
from typing import Literal

from alerts import meanings
from alerts.figures import Spread
from alerts.states import State
from cockpit.dashboard import words
from cockpit.dashboard.alarms import LONGEST, Touched
from cockpit.dashboard.sight import Sight

Context = dict[str, object]
Level = Literal["good", "near", "bad"]

MOST_PROBLEMS = 5
MOST_NEWS = 3
_OTHER = "__other__"


def alerts(sight: Sight) -> Context | None:
    alarms = sight.alarms
    if not alarms.known or not (alarms.summary.total or alarms.episodes or sight.totals.inferences):
        return None
    problems = [state for state in alarms.open if state.severity != "info"]
    news = [state for state in alarms.open if state.severity == "info"]
    level: Level = "bad" if alarms.summary.critical else "near" if alarms.summary.warning else "good"
    return {
        "level": level,
        "verdict": _verdict(alarms.summary.critical, alarms.summary.warning),
        "rows": [_row(sight, state) for state in problems[:MOST_PROBLEMS]],
        "more": alarms.summary.critical + alarms.summary.warning - len(problems[:MOST_PROBLEMS]),
        "news": [_news(sight, state) for state in news[:MOST_NEWS]],
        "times": _times(sight),
        "label": alarms.label,
    }


def _verdict(serious: int, watched: int) -> str:
    told = []
    if serious:
        told.append(f"{words.few(serious)} serious problem{'s' if serious > 1 else ''}")
    if watched:
        told.append(f"{words.few(watched)} thing{'s' if watched > 1 else ''} to watch")
    said = ", ".join(told)
    return said[:1].upper() + said[1:] if said else "Nothing is wrong right now"


def meaning(state: State) -> str:
    """What kind of trouble it is, in words for people."""
    return meanings.meaning(state.alert_type, state.severity, state.metadata)


def _row(sight: Sight, state: State) -> Context:
    touched = sight.alarms.touched.get(state.id)
    return {
        "id": str(state.id),
        "level": "bad" if state.severity == "critical" else "near",
        "status": state.status,
        "topic": meaning(state),
        "sentences": [_since(sight, state), *_extent(sight, touched), _who(sight, state)],
        "source": "" if state.source == "live" else state.source,
    }


def _since(sight: Sight, state: State) -> str:
    began = sight.clock(state.first_seen_at)
    lasting = words.lasting((sight.answer.as_of - state.first_seen_at).total_seconds())
    if state.model_name:
        many = state.model_name == _OTHER
        which = "Some models beyond the limit of names have" if many else f"{state.model_name} has"
        return f"{which} been affected since {began}, for {lasting}."
    if state.endpoint_id:
        return f"One deployment has been affected since {began}, for {lasting}."
    return f"It has lasted {lasting}, since {began}."


def _extent(sight: Sight, touched: Touched | None) -> list[str]:
    """How many requests met it, and what money is in them."""
    if touched is None:
        return []
    long_ago = touched.since == sight.answer.as_of - LONGEST
    when = f"the last {LONGEST.days} days" if long_ago else "that time"
    if not touched.requests:
        return [f"No request went to it in {when}."]
    many = f"{touched.requests:,} request{'s' if touched.requests > 1 else ''} went to it in {when}"
    share = words.percent(touched.requests / touched.of) if touched.of else None
    failed = "none of them failed" if not touched.failed else f"{touched.failed:,} of them failed"
    part = f", {share} of all" if share else ""
    return [f"{many}{part}; {failed}.", _money(sight, touched)]


def _money(sight: Sight, touched: Touched) -> str:
    cost, revenue = sight.money(touched.cost), sight.money(touched.revenue)
    all_of_them, they = ("It", "it") if touched.requests == 1 else ("Together they", "they")
    if cost and revenue:
        said = f"{all_of_them} cost {cost} and brought in {revenue}"
    elif cost:
        said = f"{all_of_them} cost {cost}"
    elif revenue:
        said = f"{all_of_them} brought in {revenue}; what {they} cost is not known"
    else:
        return f"What {they} cost is not known."
    if not cost or not touched.unpriced:
        return f"{said}."
    have = "have" if touched.unpriced > 1 else "has"
    return (
        f"{said}; {touched.unpriced:,} of them {have} no price and {'are' if touched.unpriced > 1 else 'is'} not in it."
    )


def _who(sight: Sight, state: State) -> str:
    owner = sight.alarms.owners.get(state.owner_id or 0, "")
    aside = next((one for one in state.suppressed_by if one.kind in ("shelved", "maintenance")), None)
    if aside and aside.kind == "maintenance":
        return "It is part of planned work."
    if state.status == "acknowledged":
        since = f" since {sight.clock(state.acknowledged_at)}" if state.acknowledged_at else ""
        return f"{owner or state.acknowledged_by or 'Somebody'} looks after it{since}."
    if aside:
        return f"It is put aside{f' until {sight.clock(aside.until)}' if aside.until else ''}."
    return f"It is up to {owner}, who has not taken it up yet." if owner else "Nobody looks after it yet."


def _news(sight: Sight, state: State) -> Context:
    return {
        "sentence": f"{meaning(state)} at {sight.clock(state.first_seen_at)}.",
        "source": "" if state.source == "live" else state.source,
    }


def _times(sight: Sight) -> Sequence[str]:
    """How long people took, in sentences."""
    now, before = sight.alarms.now, sight.alarms.before
    rows = (
        ("somebody looked after a problem", now.acknowledged, before.acknowledged if before else None),
        ("a problem was mended", now.resolved, before.resolved if before else None),
    )
    told = [_time(sight, what, one, earlier) for what, one, earlier in rows if one]
    first, others = told[:1], told[1:]
    return [*(f"In {sight.last} {one}" for one in first), *(one[:1].upper() + one[1:] for one in others)]


def _time(sight: Sight, what: str, one: Spread, earlier: Spread | None) -> str:
    taken = words.lasting(one.median)
    usually = "" if one.number == 1 else ", as a rule"
    then = words.lasting(earlier.median) if earlier else ""
    against = "" if not then else f"; {'as long as' if then == taken else then} in {sight.earlier}"
    return f"{what} within {taken}{usually}{against}."
