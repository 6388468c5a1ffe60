"""The rules that every organization is given, as data: what is worth a look, from where on, and in whose words.

A row is a suggestion to begin with: what people make of theirs is theirs. What to do about each is told by
docs/reference/rules-pack.md, under the anchor that is the rule's key.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from alerts.definitions import DAY, Definition
from alerts.rules import Condition

Whom = Literal["each", "shared", "all"]  # every organization but `shared`, that one alone, all of them
RUNBOOK = "runbook"  # the label that names the section of the documentation
PAGE = "reference/rules-pack/"


class Packed(Struct, frozen=True, kw_only=True):
    """One rule of the pack; its `key` is the type of its alerts too."""

    key: str
    name: str
    whom: Whom
    definition: Definition


def _rule(key: str, name: str, whom: Whom, condition: Condition, **about: Any) -> Packed:
    definition = Definition(alert_type=key, labels={RUNBOOK: f"{PAGE}#{key}"}, condition=condition, **about)
    return Packed(key=key, name=name, whom=whom, definition=definition)


_SERVER_ERRORS = ("5*",)
# All but what a page says that was left open for longer than its session.
_REFUSED = ("malformed_key", "unknown_key", "wrong_secret", "expired_key", "bad_token", "key_in_page",
            "wrong_password", "throttled")  # fmt: skip
_HELD_BACK = ("hardware slowdown", "thermal slowdown by software", "thermal slowdown by hardware", "power brake")
_OF_CARD = ("host", "gpu")

_INFERENCES = (
    _rule(
        "high_error_rate", "Too many calls fail", "each",
        Condition(warning=0.05, warning_clear=0.03, critical=0.2, critical_clear=0.1, hold=2, keep=5, least=100),
        measure="errors", aggregation="ratio", per="inferences", window=30,
        developer="{value} of {samples} calls failed over {window} (threshold {threshold}).",
        executive="{value} of the requests to our models fail.",
    ),
    _rule(
        "model_errors", "A model fails", "each",
        Condition(warning=0.2, warning_clear=0.1, critical=0.6, critical_clear=0.4, hold=2, keep=10, least=30),
        measure="errors", aggregation="ratio", per="inferences", window=15, by=("model",),
        developer="{value} of {samples} calls of {model} failed over {window} (threshold {threshold}).",
        executive="{value} of the requests to {model} fail.",
    ),
    _rule(
        "model_down", "A model does not answer any more", "each",
        Condition(operator="gte", critical=0.9, critical_clear=0.7, hold=2, keep=15, least=8),
        measure="errors", aggregation="ratio", per="inferences", window=15, by=("model",),
        developer="{value} of {samples} calls of {model} failed over {window}: hardly any is answered.",
        executive="Nearly every request to {model} fails.",
    ),
    _rule(
        "slow_answers", "Answers of a model take very long", "each",
        Condition(warning=60_000, warning_clear=45_000, hold=5, keep=10, least=20),
        measure="duration", aggregation="p95", window=15, by=("model",),
        developer="One call of {model} in twenty took longer than {value} over {window} (threshold {threshold}).",
        executive="People wait longer than a minute for some answers of {model}.",
    ),
    _rule(
        "high_latency", "A model answers slower than a week ago", "each",
        Condition(warning=150, warning_clear=80, critical=400, critical_clear=250, hold=5, keep=10, least=60),
        measure="duration", aggregation="p50", change="week", window=60, by=("model",),
        developer="The median duration of {model} over {window} changed by {value} against a week ago.",
        executive="Answers of {model} take much longer than usual.",
    ),
    _rule(
        "slow_responses", "A model gets slower from week to week", "each",
        Condition(warning=40, warning_clear=30, critical=150, critical_clear=120, hold=60, least=200),
        measure="duration", aggregation="p50", change="week", window=DAY, by=("model",),
        developer="The median duration of {model} over {window} changed by {value} against a week ago.",
        executive="Answers of {model} get slower from week to week.",
    ),
    _rule(
        "cost_spike", "An hour costs far more than a week ago", "each",
        Condition(warning=300, warning_clear=150, critical=1000, critical_clear=500, hold=10, least=200),
        measure="cost", aggregation="sum", change="week", window=60,
        developer="Cost over {window} changed by {value} against the same time a week ago.",
        executive="We spend several times as much as at this time last week.",
    ),
    _rule(
        "spend_pace", "A day costs more than a week ago", "each",
        Condition(warning=60, warning_clear=40, critical=150, critical_clear=100, hold=60, least=1000),
        measure="cost", aggregation="sum", change="week", window=DAY,
        developer="Cost over {window} changed by {value} against the same day a week ago.",
        executive="The last day cost much more than the same day last week: {value}.",
    ),
    _rule(
        "token_price", "A model's tokens cost more than a week ago", "each",
        Condition(warning=30, warning_clear=20, critical=100, critical_clear=80, hold=60, least=200),
        measure="cost", aggregation="ratio", per="total_tokens", change="week", window=DAY, by=("model",),
        developer="What a token of {model} cost over {window} changed by {value} against a week ago.",
        executive="The same work with {model} costs more than last week.",
    ),
    _rule(
        "inferences_absent", "No calls arrive", "each",
        Condition(operator="lte", warning=-100, hold=5, least=60, no_data="keep"),
        measure="inferences", aggregation="count", change="week", window=60,
        developer="No call was recorded for {window}; a week ago there were {samples} in the same time.",
        executive="Nothing was recorded for an hour at a time that is usually busy.",
    ),
    _rule(
        "model_absent", "A model is not called any more", "each",
        Condition(operator="lte", warning=-100, hold=10, least=100, no_data="keep"),
        measure="inferences", aggregation="count", change="week", window=120, by=("model",),
        developer="No call of {model} was recorded for {window}; a week ago there were {samples} in the same time.",
        executive="Nobody got an answer from {model} for two hours at a time that is usually busy.",
    ),
)  # fmt: skip

_REQUESTS = (
    _rule(
        "api_errors", "The cockpit answers with errors", "all",
        Condition(warning=10, warning_clear=3, critical=200, critical_clear=100),
        measure="cockpit_http_requests_total", aggregation="sum", window=15, filters={"status": _SERVER_ERRORS},
        by=("route",),
        developer="{value} requests to {route} were answered with 5xx over {window} (threshold {threshold}).",
        executive="Some requests to the monitoring itself fail.",
    ),
    _rule(
        "auth_failures", "Many credentials are refused", "all",
        Condition(warning=30, warning_clear=10, critical=300, critical_clear=100),
        measure="cockpit_auth_failures_total", aggregation="sum", window=15, filters={"reason": _REFUSED},
        by=("reason",),
        developer="{value} credentials were refused over {window}: {reason} (threshold {threshold}).",
        executive="Somebody tries again and again to get in with keys or passwords that are not valid.",
    ),
    _rule(
        "rate_limit_storm", "Many requests are over the limit", "all",
        Condition(warning=60, warning_clear=10, critical=2000, critical_clear=500, hold=1),
        measure="cockpit_rate_limited_total", aggregation="sum", window=60, by=("route",),
        developer="{value} requests to {route} were over the limit of their key over {window} (threshold {threshold}).",
        executive="One program asks far too often, and is turned away.",
    ),
    _rule(
        "delivery_dead", "Notices are given up", "all",
        Condition(operator="gte", warning=1, critical=20),
        measure="cockpit_deliveries_total", aggregation="sum", window=60, filters={"outcome": ("dead",)},
        by=("channel",),
        developer="{value} notices to the channel {channel} were given up over {window}.",
        executive="Messages about problems do not arrive through {channel}.",
    ),
)  # fmt: skip

_CARDS = (
    _rule(
        "gpu_heat", "A graphics card is too hot", "shared",
        Condition(operator="gte", warning=0.95, warning_clear=0.92, critical=1.0, critical_clear=0.97, hold=5,
                  no_data="keep"),
        measure="cockpit_gpu_temperature_celsius", aggregation="ratio", per="cockpit_gpu_slowdown_celsius", window=5,
        by=_OF_CARD,
        developer="Card {gpu} of {host} is at {value} of the temperature at which it slows itself down.",
        executive="A graphics card is too hot and is about to slow down.",
    ),
    _rule(
        "gpu_held_back", "A graphics card holds itself back", "shared",
        Condition(warning=0.5, warning_clear=0.1, hold=5, no_data="keep"),
        measure="cockpit_gpu_throttled", aggregation="avg", window=5, filters={"reason": _HELD_BACK},
        by=(*_OF_CARD, "reason"),
        developer="Card {gpu} of {host} held its clocks down for most of the last {window}: {reason}.",
        executive="A graphics card works slower than it could, to protect itself.",
    ),
    _rule(
        "gpu_xid", "A graphics card reports a fault", "shared",
        Condition(critical=0),
        measure="cockpit_gpu_xid_errors_total", aggregation="sum", window=60, filters={"severity": ("critical",)},
        by=(*_OF_CARD, "xid"),
        developer="Card {gpu} of {host} reported XID {xid}, {value} times over {window}: it needs a reset.",
        executive="A graphics card reports a fault and has to be restarted.",
    ),
    _rule(
        "gpu_xid_watch", "A graphics card reports something odd", "shared",
        Condition(warning=0),
        measure="cockpit_gpu_xid_errors_total", aggregation="sum", window=60, filters={"severity": ("warning",)},
        by=(*_OF_CARD, "xid"),
        developer="Card {gpu} of {host} reported XID {xid}, {value} times over {window}.",
        executive="A graphics card reports something that should be watched.",
    ),
    _rule(
        "gpu_lost", "A graphics card does not answer", "shared",
        Condition(operator="lt", critical=0.5, hold=2, no_data="keep"),
        measure="cockpit_gpu_up", aggregation="avg", window=5, by=_OF_CARD,
        developer="Card {gpu} of {host} does not answer the driver any more.",
        executive="A graphics card is gone.",
    ),
    _rule(
        "gpu_memory_full", "A graphics card's memory is full", "shared",
        Condition(warning=0.97, warning_clear=0.95, hold=10, no_data="keep"),
        measure="cockpit_gpu_memory_used_bytes", aggregation="ratio", per="cockpit_gpu_memory_total_bytes", window=5,
        by=_OF_CARD,
        developer="{value} of the memory of card {gpu} of {host} is in use.",
        executive="A graphics card has hardly any room left for more work.",
    ),
    _rule(
        "gpu_memory_faults", "A graphics card's memory is faulty", "shared",
        Condition(critical=0),
        measure="cockpit_gpu_ecc_errors_total", aggregation="sum", window=60, filters={"kind": ("uncorrected",)},
        by=_OF_CARD,
        developer="{value} memory errors of card {gpu} of {host} could not be corrected over {window}.",
        executive="The memory of a graphics card makes mistakes.",
    ),
    _rule(
        "gpu_worn_out", "A graphics card has to be replaced", "shared",
        Condition(critical=0, no_data="keep"),
        measure="cockpit_gpu_row_remap_failed", aggregation="max", window=5, by=_OF_CARD,
        developer="Card {gpu} of {host} could not replace a faulty memory row: it has none to spare.",
        executive="A graphics card is worn out and has to be replaced.",
    ),
)  # fmt: skip

_MACHINES = (
    _rule(
        "disk_full", "A disk is filling", "shared",
        Condition(warning=0.8, warning_clear=0.78, critical=0.9, critical_clear=0.88, hold=5, no_data="keep"),
        measure="cockpit_disk_used_bytes", aggregation="ratio", per="cockpit_disk_size_bytes", window=5,
        by=("host", "mount"),
        developer="Disk {mount} of {host} is {value} full (threshold {threshold}).",
        executive="A disk is {value} full.",
    ),
    _rule(
        "memory_full", "A machine's memory is running out", "shared",
        Condition(warning=0.9, warning_clear=0.87, critical=0.97, critical_clear=0.94, hold=10, no_data="keep"),
        measure="cockpit_memory_used_bytes", aggregation="ratio", per="cockpit_memory_total_bytes", window=5,
        by=("host",),
        developer="{value} of the memory of {host} is in use (threshold {threshold}).",
        executive="A machine has hardly any memory left.",
    ),
    _rule(
        "probe_absent", "Something is not measured any more", "shared",
        Condition(operator="lt", warning=0.5, hold=5, no_data="keep"),
        measure="cockpit_probe_up", aggregation="avg", window=5, by=("host", "probe"),
        developer="A probe failed for most of the last {window}: {group}.",
        executive="Part of what we watch cannot be seen at the moment.",
    ),
    # Of the one probe that every machine has, so that those of what machines share are no machine.
    _rule(
        "machine_absent", "A machine is not measured any more", "shared",
        Condition(operator="lt", warning=1, no_data="zero"),
        measure="cockpit_probe_up", aggregation="count", window=10, filters={"probe": ("host",)}, by=("host",),
        developer="Nothing was read on {host} for {window}: its worker is gone, or the machine is.",
        executive="One of our machines cannot be seen any more.",
    ),
)  # fmt: skip

_BACKENDS = (
    _rule(
        "database_delay", "The database answers slowly", "shared",
        Condition(warning=0.1, warning_clear=0.05, critical=1, critical_clear=0.5, hold=3, no_data="keep"),
        measure="cockpit_database_latency_seconds", aggregation="avg", window=5,
        developer="The simplest question to the database took {value} on average over {window}.",
        executive="The store of our data answers slowly.",
    ),
    _rule(
        "database_connections", "Connections to the database run out", "shared",
        Condition(warning=0.8, warning_clear=0.7, critical=0.95, critical_clear=0.9, hold=3, no_data="keep"),
        measure="cockpit_database_connections", aggregation="ratio", per="cockpit_database_connections_limit",
        window=5,
        developer="{value} of all connections to the database are taken (threshold {threshold}).",
        executive="The store of our data can hardly take more work.",
    ),
    _rule(
        "database_transaction", "A transaction stays open", "shared",
        Condition(warning=3600, critical=6 * 3600, hold=0, no_data="keep"),
        measure="cockpit_database_oldest_transaction_seconds", aggregation="last", window=5,
        developer="A transaction has been open for {value}: nothing that was deleted since can be cleaned up.",
        executive="A task in the store of our data does not come to an end.",
    ),
    _rule(
        "replication_behind", "A standby of the database is behind", "shared",
        Condition(warning=60, warning_clear=30, critical=900, critical_clear=300, hold=5, no_data="keep"),
        measure="cockpit_database_replication_lag_seconds", aggregation="avg", window=5,
        developer="The slowest standby is {value} behind (threshold {threshold}).",
        executive="The copy of our data is not up to date.",
    ),
    _rule(
        "cache_full", "The cache is full", "shared",
        Condition(warning=0.9, warning_clear=0.85, critical=0.97, critical_clear=0.94, hold=5, no_data="keep"),
        measure="cockpit_cache_memory_used_bytes", aggregation="ratio", per="cockpit_cache_memory_limit_bytes",
        window=5,
        developer="The cache holds {value} of what it may (threshold {threshold}). Once it is full, it refuses writes.",
        executive="A part through which all work in the background goes has hardly any room left.",
    ),
    _rule(
        "queue_age", "Work waits too long", "shared",
        Condition(warning=60, warning_clear=30, critical=300, critical_clear=120, hold=3, no_data="keep"),
        measure="cockpit_queue_oldest_seconds", aggregation="avg", window=5, by=("queue",),
        developer="The oldest message of the queue {queue} waits for {value} (threshold {threshold}).",
        executive="Work in the background is late.",
    ),
    _rule(
        "role_down", "A part of the cockpit gives no sign of life", "shared",
        Condition(warning=60, warning_clear=45, critical=180, critical_clear=60, hold=1, no_data="keep"),
        measure="cockpit_role_age_seconds", aggregation="last", window=3, by=("role",),
        developer="No {role} has given a sign of life for {value} (threshold {threshold}).",
        executive="A part of the monitoring itself stands still.",
    ),
    _rule(
        "delivery_late", "Notices wait to be sent", "shared",
        Condition(warning=300, warning_clear=60, hold=2, no_data="keep"),
        measure="cockpit_notice_due_seconds", aggregation="last", window=3,
        developer="The oldest notice has been due for {value} (threshold {threshold}): nobody sends it.",
        executive="Messages about problems are late.",
    ),
)  # fmt: skip

PACK: tuple[Packed, ...] = (*_INFERENCES, *_REQUESTS, *_CARDS, *_MACHINES, *_BACKENDS)
BY_KEY: Mapping[str, Packed] = {one.key: one for one in PACK}


def of(organization: str) -> tuple[Packed, ...]:
    """The rules of the pack that an organization is given."""
    kind: Whom = "shared" if organization == "shared" else "each"
    return tuple(one for one in PACK if one.whom in (kind, "all"))
