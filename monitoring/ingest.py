"""The only way in: inferences checked against their limits and handed to the store, everything or item by item."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from msgspec import Meta

from bedrock import identifiers, money, text
from bedrock.problem import Fault
from monitoring.store import current_store
from monitoring.store.base import Inference, Stored
from organizations.scope import Scope

OLDEST, NEWEST = timedelta(days=7), timedelta(minutes=10)
BACKFILL_SINCE = datetime(2000, 1, 1, tzinfo=UTC)
MONEY_BELOW = Decimal(10) ** 9
MONEY_DECIMALS = 30  # a double written out in full, however small the amount
MAX_TAGS = 32

# What `extra_json_schema` says is only told: text_faults, faults_of and serializers hold it, with words of their own.
_PRINTABLE = {"pattern": r"^[^\u0000-\u001f\u007f]*$"}
_AMOUNT = {
    "type": ["string", "number"],
    "format": "decimal",
    "pattern": r"^[0-9]{1,9}(\.[0-9]{1,30})?$",
    "minimum": 0,
    "exclusiveMaximum": int(MONEY_BELOW),
    "examples": ["0.0042"],
}
_TAG_NUMBER = {"minimum": -(2**53), "maximum": 2**53}

Status = Annotated[
    Literal["success", "error", "timeout", "cancelled", "rate_limited"],
    Meta(description="How it ended; error, timeout and rate_limited count as errors."),
]
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Milliseconds = Annotated[float, Meta(ge=0, le=86_400_000)]
Reference = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Name = Annotated[str, Meta(max_length=100, extra_json_schema=_PRINTABLE)]
Money = Annotated[Decimal, Meta(extra_json_schema={"x-told": _AMOUNT})]
TagName = Annotated[str, Meta(extra_json_schema={"maxLength": 64, **_PRINTABLE})]
TagText = Annotated[str, Meta(extra_json_schema={"maxLength": 256, **_PRINTABLE})]
TagWhole = Annotated[int, Meta(extra_json_schema=_TAG_NUMBER)]
TagNumber = Annotated[float, Meta(extra_json_schema=_TAG_NUMBER)]
Tags = dict[TagName, TagText | TagWhole | TagNumber | bool]


class Item(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, gc=False):
    """One inference as it is sent. Durations in milliseconds, money in the organization's currency."""

    model_name: Annotated[
        str,
        Meta(min_length=1, max_length=200, description="The model, as its provider names it; not blank.",
             examples=["qwen2.5:7b"], extra_json_schema=_PRINTABLE),
    ]  # fmt: skip
    duration_ms: Annotated[Milliseconds, Meta(description="From the request to its last byte.", examples=[412.5])]
    cost: Annotated[
        Money | None, Meta(description="What it cost; absent or null is unknown, which is counted and is not 0.")
    ] = None
    revenue: Annotated[Money | None, Meta(description="What it earned.")] = None
    organization: Annotated[
        str | None, Meta(description="Only to be sure: any but the organization of the request is refused.")
    ] = None
    provider: Annotated[Name | None, Meta(description="Who runs the model.", examples=["ollama"])] = None
    endpoint_id: Annotated[
        Annotated[str, Meta(max_length=200, extra_json_schema=_PRINTABLE)] | None,
        Meta(description="The deployment that answered."),
    ] = None
    input_tokens: Annotated[Tokens | None, Meta(description="Tokens of the prompt.")] = None
    output_tokens: Annotated[Tokens | None, Meta(description="Tokens of the answer.")] = None
    cache_read_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    time_to_first_token_ms: Milliseconds | None = None
    status: Status = "success"
    error_type: Annotated[Name | None, Meta(description="Which error it was, in a word.", examples=["overloaded"])] = (
        None
    )
    attempt: Annotated[int, Meta(ge=1, le=1000, description="1 is the first try; higher ones count as retries.")] = 1
    user_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=_PRINTABLE)] | None,
        Meta(description="For whom it was; kept as a keyed hash alone."),
    ] = None
    trace_id: Reference | None = None
    span_id: Reference | None = None
    occurred_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="When it happened, with a time zone; at most 7 days back (to 2000 with `ingest:backfill`) and "
             "10 minutes ahead. Absent is now."),
    ] = None  # fmt: skip
    estimated: Annotated[bool, Meta(description="The duration was derived, not measured.")] = False
    source: Annotated[
        Literal["live", "replay", "demo"],
        Meta(description="Replayed inferences are kept apart from live ones.",
             extra_json_schema={"x-told": {"enum": ["live", "replay"]}}),
    ] = "live"  # fmt: skip
    idempotency_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=_PRINTABLE)] | None,
        Meta(description="The same key with the same content is stored once; not beside the header Idempotency-Key."),
    ] = None
    tags: Annotated[
        Annotated[Tags, Meta(extra_json_schema={"maxProperties": MAX_TAGS})] | None,
        Meta(description="Names and values of your own.", examples=[{"team": "search"}]),
    ] = None


Faults = list[Fault]
_content = msgspec.json.Encoder(decimal_format="string", order="deterministic")


def _money_fault(field: str, amount: Decimal) -> Fault | None:
    if not amount.is_finite():
        return Fault(field, "not-finite", "must be a finite number")
    if amount < 0:
        return Fault(field, "negative", "must not be negative")
    if amount >= MONEY_BELOW:
        return Fault(field, "too-large", f"must be below {MONEY_BELOW}")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 9:  # 0E+99999999999 is not even a large amount
        return Fault(field, "too-large", f"must be below {MONEY_BELOW}")
    if exponent < -MONEY_DECIMALS:
        return Fault(field, "too-precise", f"must have at most {MONEY_DECIMALS} decimals")
    return None


def _tag_faults(tags: Mapping[str, Any]) -> Faults:
    if len(tags) > MAX_TAGS:
        return [Fault("/tags", "too-many", f"must hold at most {MAX_TAGS} tags")]
    faults = []
    for name, value in tags.items():
        pointer = f"/tags/{text.printable(name[:64])}"
        problem = text.text_problem(name, 64) or (text.text_problem(value, 256) if isinstance(value, str) else None)
        if isinstance(value, int | float) and not -(2**53) <= value <= 2**53:
            problem = "must lie within 2^53 of 0"
        if problem:
            faults.append(Fault(pointer, "invalid", problem))
    return faults


def text_faults(item: Item) -> Faults:
    """Control characters in the item's texts; only JSON escapes can bring them, so most batches need no look."""
    named = (
        ("/modelName", item.model_name), ("/provider", item.provider), ("/endpointId", item.endpoint_id),
        ("/errorType", item.error_type), ("/userId", item.user_id), ("/idempotencyKey", item.idempotency_key),
        ("/organization", item.organization),
    )  # fmt: skip
    return [
        Fault(pointer, "invalid", problem)
        for pointer, value in named
        if value and (problem := text.text_problem(value, 200))
    ]


def faults_of(item: Item, organization: str, now: datetime, *, backfill: bool) -> Faults:
    """What is wrong with an item whose types are right already."""
    faults: Faults = []
    if item.organization is not None and item.organization != organization:
        faults.append(Fault("/organization", "not-found", "no such organization"))
    if item.model_name.isspace():
        faults.append(Fault("/modelName", "blank", "must not be blank"))
    for pointer, amount in (("/cost", item.cost), ("/revenue", item.revenue)):
        if amount is not None and (fault := _money_fault(pointer, amount)):
            faults.append(fault)
    if item.occurred_at is not None:
        if item.occurred_at > now + NEWEST:
            faults.append(Fault("/occurredAt", "too-new", "must be at most 10 minutes ahead"))
        elif backfill and item.occurred_at < BACKFILL_SINCE:
            faults.append(Fault("/occurredAt", "too-old", "must not lie before the year 2000"))
        elif not backfill and item.occurred_at < now - OLDEST:
            faults.append(
                Fault("/occurredAt", "too-old", "must be at most 7 days back (older: a key with ingest:backfill)")
            )
    if item.tags:
        faults += _tag_faults(item.tags)
    return faults


def user_hash(organization: str, user: str) -> str:
    """A person's name as a keyed hash: equal within an organization, meaningless across, not to be turned back."""
    return hashlib.blake2b(user.encode(), digest_size=16, key=_secret_of(organization)).hexdigest()


def _secret_of(organization: str) -> bytes:
    """From the oldest pepper, so that rotating in a new one changes no hash."""
    return _derived(organization, settings.KEY_PEPPER[-1])


@lru_cache(maxsize=1024)
def _derived(organization: str, pepper: str) -> bytes:
    return hashlib.sha256(f"{organization}:{pepper}".encode()).digest()


def _key_hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


def _content_hash(item: Item, organization: str) -> bytes:
    """Equal for equal content, however numbers and times are spelled; keyed, for it covers the user's name too."""
    plain = msgspec.structs.asdict(item) | {"idempotency_key": None, "organization": None}
    for name in ("cost", "revenue"):
        plain[name] = None if plain[name] is None else money.text(plain[name].copy_abs())
    if item.occurred_at is not None:
        plain["occurred_at"] = identifiers.milliseconds(item.occurred_at)
    return hashlib.blake2b(_content.encode(plain), digest_size=16, key=_secret_of(organization)).digest()


def _inference(item: Item, organization: str, now_ms: int, key: str | None) -> Inference:
    occurred_ms = now_ms if item.occurred_at is None else identifiers.milliseconds(item.occurred_at)
    ttft = item.time_to_first_token_ms
    return Inference(
        organization=organization,
        occurred_ms=occurred_ms,
        model=item.model_name,
        provider=item.provider or "",
        endpoint=item.endpoint_id or "",
        status=item.status,
        error_type=item.error_type or "",
        attempt=item.attempt,
        estimated=item.estimated,
        source=item.source,
        duration_us=round(item.duration_ms * 1000),
        ttft_us=None if ttft is None else round(ttft * 1000),
        input_tokens=item.input_tokens,
        output_tokens=item.output_tokens,
        cache_read_tokens=item.cache_read_tokens,
        cache_write_tokens=item.cache_write_tokens,
        reasoning_tokens=item.reasoning_tokens,
        cost=item.cost,
        revenue=item.revenue,
        user_hash=None if item.user_id is None else user_hash(organization, item.user_id),
        trace_id=item.trace_id,
        span_id=item.span_id,
        tags=item.tags,
        key=None if key is None else _key_hash(key),
        content=None if key is None else _content_hash(item, organization),
    )


def record_inferences(
    *,
    scope: Scope,
    organization: str,
    items: Sequence[Item | Faults],
    now: datetime,
    backfill: bool = False,
    batch_key: str | None = None,
) -> list[Stored | Faults]:
    """Store what is right, durably and in one transaction; tell what is wrong with the rest.

    Args:
        items: inferences, or the faults already found in reading them (handed through).
        backfill: older than seven days is allowed.
        batch_key: gives item i the idempotency key `<batch_key>:<i>`.

    Returns:
        For every item, in order: what became of it, or its faults.
    """
    results: list[Stored | Faults] = []
    good: list[Inference] = []
    places: list[int] = []
    now_ms = identifiers.milliseconds(now)
    for position, item in enumerate(items):
        faults = item if isinstance(item, list) else faults_of(item, organization, now, backfill=backfill)
        results.append(faults)
        if not faults and not isinstance(item, list):
            key = item.idempotency_key if batch_key is None else f"{batch_key}:{position}"
            good.append(_inference(item, organization, now_ms, key))
            places.append(position)
    for place, stored in zip(places, current_store().append(scope, good, now=now), strict=True):
        results[place] = stored
    return results
