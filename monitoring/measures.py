"""The dictionary of measures: what a rollup adds up for every group of inferences."""

from dataclasses import dataclass

from monitoring.histogram import BUCKETS

STATUSES = ("success", "error", "timeout", "cancelled", "rate_limited")
# A cancelled call is its caller's own doing: neither a success nor an error.
FAILED = ("error", "timeout", "rate_limited")
SOURCES = ("live", "replay", "demo")
OTHER = "__other__"  # stands for every name beyond an organization's cap


@dataclass(frozen=True, slots=True)
class Measure:
    """One additive column of the rollups; `unit` in base words, help for a reader."""

    name: str
    unit: str
    help: str


MEASURES: tuple[Measure, ...] = (
    Measure("inferences", "inferences", "Inferences recorded"),
    Measure("retries", "inferences", "Inferences that were a second or later attempt"),
    Measure("input_tokens", "tokens", "Tokens read, cached ones included"),
    Measure("output_tokens", "tokens", "Tokens written, reasoning included"),
    Measure("cache_read_tokens", "tokens", "Input tokens served from a prompt cache"),
    Measure("cache_write_tokens", "tokens", "Input tokens written to a prompt cache"),
    Measure("reasoning_tokens", "tokens", "Output tokens spent on reasoning"),
    Measure("cost", "money", "Cost in the organization's currency, where it is known"),
    Measure("unpriced", "inferences", "Inferences without a known cost"),
    Measure("revenue", "money", "Revenue in the organization's currency, where it is known"),
    Measure("with_revenue", "inferences", "Inferences with a known revenue"),
    Measure("duration_us", "microseconds", "Summed duration"),
    Measure("ttft_us", "microseconds", "Summed time to first token"),
    Measure("with_ttft", "inferences", "Inferences with a known time to first token"),
)
NAMES: tuple[str, ...] = tuple(measure.name for measure in MEASURES)
DURATION_BUCKETS: tuple[str, ...] = tuple(f"d{bucket:02d}" for bucket in range(BUCKETS))
TTFT_BUCKETS: tuple[str, ...] = tuple(f"t{bucket:02d}" for bucket in range(BUCKETS))
# What a delta, and the rollup of everything, is kept by, beside the organization and the time.
DIMENSIONS: tuple[str, ...] = ("model", "provider", "endpoint", "status", "error_type", "source", "estimated")
GRAINS = ("minute", "hour", "day")
# Each delta is folded into both: what tells models apart, and the few rows that a chart over all of them reads.
ROLLUPS = {"rollup": DIMENSIONS, "sum": ("status", "source", "estimated")}
