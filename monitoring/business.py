"""The families that inferences add up to: since the beginning, in the last hour, their people of today; idle cards."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from monitoring.histogram import BOUNDS_US
from monitoring.measures import OTHER
from monitoring.openmetrics import Pair, Row, bound
from monitoring.store.base import Query, Store, Summary
from monitoring.store.samples import Trace
from monitoring.store.windows import HOUR, MINUTE, floor
from monitoring.tallies import Tallies, Tally
from organizations.scope import Scope

MOST_SERIES = 2_000  # of inferences, for an organization in one answer
SINCE_BEGINNING = (
    "cockpit_inferences_total",
    "cockpit_inferences_unpriced_total",
    "cockpit_inference_retries_total",
    "cockpit_tokens_total",
    "cockpit_inference_cost_total",
    "cockpit_inference_revenue_total",
    "cockpit_inference_duration_seconds",
    "cockpit_inference_time_to_first_token_seconds",
    "cockpit_models_folded",
    "cockpit_series_limit",
)
LAST_HOUR = ("cockpit_prompt_cache_hit_ratio", "cockpit_cost_per_1000_tokens", "cockpit_inference_retry_ratio")
PEOPLE = ("cockpit_active_users",)
IDLE = ("cockpit_gpu_idle_ratio",)
_BUSY = 0.05  # share of a minute in which something ran: below it a card earns nothing
_MOST_PROVIDERS = 10  # of a model; the rest count under `__other__`
_RESERVED = 50  # series that `__other__` may need itself
_KINDS = ("cache_read", "cache_write", "reasoning")
# 15 of the histogram's own borders, each 2.44 times the one before: 4 ms to 17 minutes.
_BORDERS = tuple((bound(BOUNDS_US[place] / 1e6), place) for place in range(3, len(BOUNDS_US), 4))
_LIVE = ("live",)
_tallies = Tallies()

Currencies = Mapping[str, str]  # organization -> what its money is in
Found = Iterator[tuple[str, Row]]  # by the name of the family


def since_beginning(store: Store, scope: Scope, currencies: Currencies, now: datetime) -> Found:
    """Every live inference there ever was: counters that never fall, whoever asks in whichever process."""
    for organization, tally in sorted(_tallies.read(store, scope, now).items()):
        yield from of_tally(organization, currencies[organization], tally)


def of_tally(organization: str, currency: str, tally: Tally) -> Found:
    """One organization's rows: its models as long as there is room for their series, the others under `__other__`."""
    models: dict[str, dict[tuple[str, str], Summary]] = {}
    for (model, provider, status), one in tally.routes.items():
        models.setdefault(model, {})[provider, status] = one
    own = (("organization", organization),)
    told: list[tuple[str, Row]] = []
    for model in tally.models:
        rows = list(_of_model((*own, ("model", model)), currency, models[model]))
        if len(told) + len(rows) > MOST_SERIES - _RESERVED:
            break
        told += rows
        del models[model]
    yield from told
    rest: dict[tuple[str, str], Summary] = {}
    for routes in models.values():
        for (_, status), one in routes.items():
            rest[OTHER, status] = _plus(rest.get((OTHER, status)), one)
    if rest:
        yield from _of_model((*own, ("model", OTHER)), currency, rest)
    folded = tally.known - (len(tally.models) - len(models.keys() - {OTHER}))
    yield "cockpit_models_folded", ("", own, folded)
    yield "cockpit_series_limit", ("", own, MOST_SERIES)


def _plus(one: Summary | None, other: Summary) -> Summary:
    return other if one is None else one + other


def _of_model(labels: tuple[Pair, ...], currency: str, routes: Mapping[tuple[str, str], Summary]) -> Found:
    """Rows of one model, by (provider, status). Providers that keep their name are chosen in an order that stays."""
    named = sorted({provider for provider, _ in routes} - {OTHER})[:_MOST_PROVIDERS]
    counts: dict[tuple[str, str], int] = {}
    total: Summary | None = None
    for (provider, status), one in routes.items():
        route = (provider if provider in named else OTHER, status)
        counts[route] = counts.get(route, 0) + one.inferences
        total = _plus(total, one)
    assert total is not None
    for (provider, status), count in sorted(counts.items()):
        yield "cockpit_inferences_total", ("", (*labels, ("provider", provider), ("status", status)), count)
    yield "cockpit_inferences_unpriced_total", ("", labels, total.unpriced)
    yield "cockpit_inference_retries_total", ("", labels, total.retries)
    yield from _amounts(labels, currency, total)
    yield from _durations(labels, total)


def _amounts(labels: tuple[Pair, ...], currency: str, total: Summary) -> Found:
    tokens = {"input": total.input_tokens, "output": total.output_tokens}
    tokens |= {kind: count for kind in _KINDS if (count := getattr(total, f"{kind}_tokens"))}
    for kind, count in tokens.items():
        yield "cockpit_tokens_total", ("", (*labels, ("kind", kind)), count)
    for name, amount in (("cost", total.cost), ("revenue", total.revenue)):
        if amount is not None:
            yield f"cockpit_inference_{name}_total", ("", (*labels, ("currency", currency)), amount)


def _durations(labels: tuple[Pair, ...], total: Summary) -> Found:
    name = "cockpit_inference_duration_seconds"
    passed = list(accumulate(total.durations))
    for text, place in _BORDERS:
        yield name, ("_bucket", (*labels, ("le", text)), passed[place])
    yield name, ("_bucket", (*labels, ("le", "+Inf")), total.inferences)
    yield name, ("_sum", labels, total.duration_us / 1e6)
    yield name, ("_count", labels, total.inferences)
    if total.with_ttft:
        yield "cockpit_inference_time_to_first_token_seconds", ("_sum", labels, total.ttft_us / 1e6)
        yield "cockpit_inference_time_to_first_token_seconds", ("_count", labels, total.with_ttft)


def last_hour(store: Store, scope: Scope, currencies: Currencies, now: datetime) -> Found:
    """What hints at savings, over the sixty minutes up to the running one; nothing where nothing happened."""
    end = floor(now, MINUTE) + MINUTE
    query = Query(start=end - HOUR, end=end, by=("organization_id", "model"), sources=_LIVE)
    (groups,) = store.totals(scope, [query])
    models: dict[str, list[Summary]] = {}
    for (organization, _), one in groups.items():
        models.setdefault(organization, []).append(one)
    for organization, found in sorted(models.items()):
        yield from _hints((("organization", organization),), currencies[organization], found)


def _hints(labels: tuple[Pair, ...], currency: str, models: list[Summary]) -> Found:
    inferences = sum(one.inferences for one in models)
    yield "cockpit_inference_retry_ratio", ("", labels, sum(one.retries for one in models) / inferences)
    if read := sum(one.input_tokens for one in models):
        cached = sum(one.cache_read_tokens for one in models)
        yield "cockpit_prompt_cache_hit_ratio", ("", labels, cached / read)
    priced = [one for one in models if not one.unpriced]
    tokens = sum(one.input_tokens + one.output_tokens for one in priced)
    if tokens:
        cost = sum((one.cost for one in priced if one.cost is not None), Decimal(0))
        per_1000 = float(cost) * 1000 / tokens
        yield "cockpit_cost_per_1000_tokens", ("", (*labels, ("currency", currency)), per_1000)


def people(store: Store, scope: Scope, now: datetime) -> Found:
    """Distinct people since midnight UTC; nothing where no inference told of one, which is not nobody."""
    today = now.date()
    for organization, days in sorted(store.users(scope, today, today + timedelta(days=1), sources=_LIVE).items()):
        for count in days.values():
            yield "cockpit_active_users", ("", (("organization", organization),), count)


def idle_cards(store: Store, scope: Scope, now: datetime) -> Found:
    """How much of the last hour each card did next to nothing; nothing for one that was not read."""
    end = floor(now, MINUTE) + MINUTE
    name = "cockpit_gpu_utilization_ratio"
    trace = Trace(organization="shared", family=name, start=end - HOUR, end=end, sources=_LIVE)
    (cards,) = store.history(scope, [trace], step_seconds=60)
    for labels, minutes in sorted(cards.items()):
        idle = sum(span.mean < _BUSY for _, span in minutes)
        yield "cockpit_gpu_idle_ratio", ("", (("organization", "shared"), *labels), idle / len(minutes))
