"""What bench.rules judges: the calls of 400 deployments, and the same rules over them for us, for SQL and Prometheus.

A minute is calm, or two deployments go wrong for just that minute: slow, failing, dear and busy at once, so that every
one of their rules fires, and ends when that minute has left its window.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from alerts.definitions import Aggregation, Definition
from alerts.rules import Condition
from bedrock import identifiers
from monitoring.store.base import Inference

ORGANIZATION = "swaggystacks"
MODELS, ENDPOINTS = 200, 2
WINDOWS = (1, 5, 15, 30, 60)  # minutes
MINUTE = timedelta(minutes=1)
A_MINUTE = 2  # deployments that go wrong, when any do
_STRIDE = 37  # from one deployment that goes wrong to the next, so that all of them have their turn


class Deployment(NamedTuple):
    """A model at an endpoint."""

    model: str
    endpoint: str


DEPLOYMENTS = [Deployment(f"model-{model}:70b", f"endpoint-{endpoint}") for model in range(MODELS)
               for endpoint in range(ENDPOINTS)]  # fmt: skip


class Minute(NamedTuple):
    """The calls of a deployment in a minute, all alike."""

    calls: int
    failed: int
    seconds: float  # that each took
    cost: Decimal  # of each
    tokens: int  # that each wrote


CALM = Minute(2, 0, 0.1, Decimal("0.01"), 100)
WRONG = Minute(12, 12, 4.0, Decimal("0.50"), 2_000)


class Kind(NamedTuple):
    """A measure that rules are about; `per_minute` is how much more of its threshold each minute of a window allows.

    `wanted` is what Prometheus is asked, of series selected by {0} over the window {1}; `columns` what SQL is.
    """

    measure: str
    aggregation: Aggregation
    per: str
    threshold: float
    per_minute: float
    wanted: str
    columns: str


KINDS = (
    Kind("errors", "ratio", "inferences", 0.05, 0.0,
         "sum(increase(calls_total{{{0},status=\"error\"}}[{1}])) / sum(increase(calls_total{{{0}}}[{1}]))",
         "coalesce(sum(inferences) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')), 0)"
         " / nullif(sum(inferences), 0)::float8"),
    Kind("inferences", "count", "", 5.0, 2.0, "sum(increase(calls_total{{{0}}}[{1}]))", "sum(inferences)::float8"),
    Kind("duration", "avg", "", 300.0, 0.0,
         "1000 * increase(call_seconds_sum{{{0}}}[{1}]) / increase(call_seconds_count{{{0}}}[{1}])",
         "sum(duration_us) / nullif(sum(inferences), 0)::float8 / 1000"),
    Kind("cost", "sum", "", 2.0, 0.02, "increase(call_cost_total{{{0}}}[{1}])",
         "(CASE WHEN sum(inferences) > sum(unpriced) THEN sum(cost) END)::float8"),
    Kind("output_tokens", "sum", "", 5_000.0, 200.0, "increase(call_output_tokens_total{{{0}}}[{1}])",
         "sum(output_tokens)::float8"),
)  # fmt: skip


class Asked(NamedTuple):
    """One rule."""

    number: int
    deployment: Deployment
    kind: Kind
    window: int

    @property
    def threshold(self) -> float:
        return self.kind.threshold + self.kind.per_minute * self.window


def rules() -> list[Asked]:
    """10,000 of them in an order by chance, the same at each run: so many of the first are of all kinds."""
    every = [(deployment, kind, window) for deployment in DEPLOYMENTS for kind in KINDS for window in WINDOWS]
    random.Random(7).shuffle(every)
    return [Asked(number, *one) for number, one in enumerate(every)]


def definition(one: Asked) -> Definition:
    filters = {"model": (one.deployment.model,), "endpoint": (one.deployment.endpoint,)}
    return Definition(
        measure=one.kind.measure, aggregation=one.kind.aggregation, per=one.kind.per, window=one.window,
        filters=filters, condition=Condition(warning=one.threshold), alert_type="bench",
    )  # fmt: skip


def expression(one: Asked) -> str:
    """The same in PromQL."""
    selected = f'model="{one.deployment.model}",endpoint="{one.deployment.endpoint}"'
    return f"{one.kind.wanted.format(selected, f'{one.window}m')} > {one.threshold}"


def wrong(number: int) -> set[int]:
    """The places of the deployments that go wrong in that minute."""
    return {(number * A_MINUTE + each) * _STRIDE % len(DEPLOYMENTS) for each in range(A_MINUTE)}


def calls(start: datetime, moving: Sequence[bool]) -> Iterator[Inference]:
    """Of all deployments, minute by minute from `start`; whether any go wrong in each."""
    for number, moves in enumerate(moving):
        bad = wrong(number) if moves else set()
        at_ms = identifiers.milliseconds(start + number * MINUTE) + 20_000
        for place, deployment in enumerate(DEPLOYMENTS):
            yield from _calls(deployment, WRONG if place in bad else CALM, at_ms)


def _calls(deployment: Deployment, each: Minute, at_ms: int) -> Iterator[Inference]:
    for call in range(each.calls):
        yield Inference(
            organization=ORGANIZATION, occurred_ms=at_ms + call, model=deployment.model, provider="vllm",
            endpoint=deployment.endpoint, status="error" if call < each.failed else "success", error_type="",
            attempt=1, estimated=False, source="live", duration_us=round(each.seconds * 1e6), ttft_us=30_000,
            input_tokens=400, output_tokens=each.tokens, cache_read_tokens=None, cache_write_tokens=None,
            reasoning_tokens=None, cost=each.cost, revenue=None, user_hash=None, trace_id=None, span_id=None,
            tags=None,
        )  # fmt: skip
