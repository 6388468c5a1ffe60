"""What was measured around an alert, for its page in the admin: its model's calls, or the family it names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import structlog
from django.db import DatabaseError

from alerts import desk
from alerts.models import Alert
from cockpit.dashboard import charts, words
from cockpit.dashboard.charts import Chart, Column, Form, Steps, Value
from cockpit.dashboard.windows import step_for
from monitoring.families import FAMILIES
from monitoring.store import current_store
from monitoring.store.base import Dimension, Query, Summary
from monitoring.store.samples import Span, Trace
from organizations.lists import Tone
from organizations.scope import Scope

log = structlog.get_logger(__name__)

_KNOWN = {family.name: family for family in FAMILIES}
_NOTHING = "Nothing of it was recorded in that time."
_AWAY = "The store does not answer at the moment."
_MOST_CHARTS = 3  # beside each other
# Of alert types, what tells that they are about money, or about how long a first token takes.
_MONEY = re.compile("cost|spend|price|budget|billing", re.IGNORECASE)
_FIRST_TOKEN = re.compile("first_?token|ttft", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of the alert: its place in the width, per cent."""

    at: str
    text: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Charts of the same steps and the alert's moments in them; without charts, `why` there are none."""

    of: str
    span: str
    marks: Sequence[Mark]
    open_at: str
    open_for: str
    charts: Sequence[Chart] = field(default_factory=tuple)
    why: str = ""


def look(alert: Alert, now: datetime) -> Around:
    """The caller has entered a scope that holds the alert's organization."""
    start, end = desk.window(alert, now)
    steps = _steps(alert, start, end, now)
    family = alert.metadata.get("family")
    named = family if isinstance(family, str) and family in _KNOWN else ""
    why, drawn = _NOTHING, list[Chart]()
    try:
        drawn = _family(alert, named, steps) if named else _calls(alert, steps)
    except DatabaseError as error:
        log.warning("an alert's page without the store", error=type(error).__name__)
        why = _AWAY
    marks = _marks(alert, steps)
    over = alert.resolved_at or now
    return Around(
        of=named or alert.model_name or alert.endpoint_id or f"all calls of {alert.organization.name}",
        span=_span(start.astimezone(steps.zone), end.astimezone(steps.zone)),
        marks=marks,
        open_at=f"{100 * _place(steps, alert.first_seen_at):.2f}%",
        open_for=f"{100 * (_place(steps, over) - _place(steps, alert.first_seen_at)):.2f}%",
        charts=drawn,
        why="" if drawn else why,
    )


def _span(start: datetime, end: datetime) -> str:
    last = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {last} {end:%Z}"


def _steps(alert: Alert, start: datetime, end: datetime, now: datetime) -> Steps:
    """At most 60 of them, on whole multiples of their length since 1970."""
    seconds = step_for(2 * (end - start))
    first = int(start.timestamp()) // seconds * seconds
    number = -(-(int(end.timestamp()) - first) // seconds)
    times = tuple(datetime.fromtimestamp(first + seconds * index, start.tzinfo) for index in range(number))
    return Steps(times, seconds, ZoneInfo(alert.organization.timezone), times[0], min(now, end))


def _place(steps: Steps, moment: datetime) -> float:
    return min(1.0, max(0.0, (moment - steps.start) / (steps.end - steps.start)))


def _marks(alert: Alert, steps: Steps) -> list[Mark]:
    moments: tuple[tuple[datetime | None, str, Tone], ...] = (
        (alert.first_seen_at, "began", "bad"), (alert.acknowledged_at, "acknowledged", "warn"),
        (alert.resolved_at, "resolved", "good"),
    )  # fmt: skip
    return [
        Mark(f"{100 * _place(steps, moment):.2f}%", f"{text} {moment.astimezone(steps.zone):%H:%M}", tone)
        for moment, text, tone in moments
        if moment is not None and steps.start <= moment <= steps.end
    ]


def _calls(alert: Alert, steps: Steps) -> list[Chart]:
    """What it is about, then requests, failures and latency: of its model, its endpoint, or all of its organization.

    None without a call.
    """
    by: tuple[Dimension, ...] = ("model",) if alert.model_name else ("endpoint",) if alert.endpoint_id else ()
    query = Query(start=steps.start, end=steps.end, by=by, sources=(alert.source,))
    scope = Scope.of(alert.organization_id)
    groups = current_store().series(scope, [query], step_seconds=steps.seconds)[0]
    wanted = tuple(filter(None, (alert.model_name or alert.endpoint_id,))) if by else ()
    found = dict(groups.get(wanted, ()))
    if not found:
        return []
    each = [found.get(moment) for moment in steps.t]
    requests = [one.inferences if one else 0 for one in each]
    failed = [one.errors / one.inferences if one and one.inferences else None for one in each]
    slow = [one.quantile_ms(0.95) if one else None for one in each]
    own = _own_measure(alert, each, steps)
    usual = [
        charts.line_chart("Requests", steps, [Column("requests", "s1", requests, area=True)], _count,
                          description=f"{sum(requests):,} in all, by steps of {_length(steps)}."),
        charts.line_chart("Failed", steps, [Column("failed", "bad", failed, area=True)], _percent,
                          description=f"The share that failed, by steps of {_length(steps)}."),
        charts.line_chart("Latency, 95th percentile", steps, [Column("p95", "s2", slow)], _duration,
                          description=f"What 95 % took at most, by steps of {_length(steps)}."),
    ]  # fmt: skip
    return [*own, *usual][:_MOST_CHARTS]


def _own_measure(alert: Alert, each: Sequence[Summary | None], steps: Steps) -> list[Chart]:
    """The chart of what its type names, if that is money or first tokens, and any is known."""
    if _MONEY.search(alert.alert_type):
        priced = [one if one and one.cost is not None and one.inferences > one.unpriced else None for one in each]
        costs = [one.cost / (one.inferences - one.unpriced) if one and one.cost is not None else None for one in priced]
        column, title, form = Column("cost", "s3", costs, area=True), "Cost of a request", _money_of(alert)
    elif _FIRST_TOKEN.search(alert.alert_type):
        means = [one.ttft_us / one.with_ttft / 1000 if one and one.with_ttft else None for one in each]
        column, title, form = Column("first", "s3", means), "First token, mean", _duration
    else:
        return []
    if not any(value is not None for value in column.values):
        return []
    return [charts.line_chart(title, steps, [column], form, description=f"By steps of {_length(steps)}.")]


def _family(alert: Alert, family: str, steps: Steps) -> list[Chart]:
    """The family's series that carry the alert's labels, or all of its organization's where none does."""
    where = tuple(sorted((str(name), str(value)) for name, value in alert.labels.items()))
    traces = [
        Trace(organization=alert.organization_id, family=family, start=steps.start, end=steps.end, where=labels, by=())
        for labels in dict.fromkeys((where, ()))
    ]
    answers = current_store().history(Scope.of(alert.organization_id), traces, step_seconds=steps.seconds)
    found = next((dict(answer[()]) for answer in answers if answer.get(())), None)
    if not found:
        return []
    grows = _KNOWN[family].kind in ("counter", "histogram")
    values = [_value(found.get(moment), steps.seconds if grows else None) for moment in steps.t]
    title = f"{family} a second" if grows else family
    return [charts.line_chart(title, steps, [Column(family, "s1", values, area=True)],
                              _number if grows else _form_of(family),
                              description=_KNOWN[family].help)]  # fmt: skip


def _value(span: Span | None, seconds: int | None) -> float | None:
    if span is None:
        return None
    return span.total / seconds if seconds else span.mean


def _length(steps: Steps) -> str:
    return str(timedelta(seconds=steps.seconds))


def _money_of(alert: Alert) -> Form:
    currency = alert.organization.currency

    def form(value: Value) -> str:
        return words.unit_money(Decimal(value), currency) or charts.NO_DATA

    return form


def _form_of(family: str) -> Form:
    """By the unit that its name ends with."""
    forms: dict[str, Form] = {"bytes": _size, "ratio": _percent, "seconds": _seconds}
    return forms.get(family.rpartition("_")[2], _number)


def _count(value: Value) -> str:
    return words.count(round(value)) or charts.NO_DATA


def _percent(value: Value) -> str:
    return words.percent(float(value)) or charts.NO_DATA


def _duration(value: Value) -> str:
    return words.duration(float(value)) or charts.NO_DATA


def _seconds(value: Value) -> str:
    return _duration(float(value) * 1000)


def _size(value: Value) -> str:
    return words.size(float(value)) or charts.NO_DATA


def _number(value: Value) -> str:
    return words.compact(float(value)) or charts.NO_DATA
