"""What the demo's two organizations look like, as data: models and prices, rhythm, and the story planted in it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

# Tokens of 8,819 calls at these shares of all of them, from the Azure LLM inference trace 2023, code:
# github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace_code.csv (CC-BY). There input and output of a call have
# nothing to do with each other (rank correlation -0.02), so the two are drawn apart.
SHARES = (0.0, 0.01, 0.05, 0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.99, 0.999, 1.0)
INPUT_TOKENS = (3, 17, 75, 147, 385, 770, 1075, 1469, 1909, 2433, 3192, 5186, 7302, 7436, 7437, 7437)
OUTPUT_TOKENS = (6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 249, 824, 1899)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model as an organization uses it; prices are money per million tokens, speeds milliseconds."""

    name: str
    provider: str
    endpoints: tuple[str, ...]
    share: float  # of the organization's sessions
    input_price: Decimal
    output_price: Decimal
    overhead_ms: float
    write_ms: float  # for each token written
    cached: float = 0.0  # share of the input tokens that a prompt cache serves, at a tenth of the price
    reasoning: float = 0.0  # share of the output tokens that reasoning takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One organization: how many sessions of a few calls a working day has, who makes them, when."""

    organization: str
    models: tuple[Model, ...]
    sessions: float  # on a usual working day
    weekend: float  # of a working day
    hours: tuple[float, ...]  # how busy each hour of the local day is, for 24 of them
    users: int
    error_rate: float
    markup: Decimal | None = None  # revenue is this many times what the tokens cost at the first price


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something to find: whole hours from `at_hour` of the organization's day, so that enough happens in them.

    The day is the latest on which they are over, and `days_ago` before that; a `workday` goes on back to one.
    """

    kind: str  # errors, latency or runaway
    organization: str
    days_ago: int
    at_hour: int
    hours: int
    strength: float  # share that fails; factor on durations; sessions more an hour
    error_type: str = ""
    workday: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happens in the thirty days, beside the usual."""

    incidents: tuple[Incident, ...]
    price_model: str
    price_ago: timedelta
    price_factor: Decimal  # before the change, of the prices above
    slow_model: str
    slow_since: timedelta
    slow_factor: float  # of its durations in the end; they grow evenly until then


def _model(name: str, provider: str, endpoints: str, share: float, prices: str, speeds: tuple[float, float],
           cached: float = 0.0, reasoning: float = 0.0) -> Model:  # fmt: skip
    input_price, output_price = map(Decimal, prices.split())
    return Model(
        name=name, provider=provider, endpoints=tuple(endpoints.split()), share=share, input_price=input_price,
        output_price=output_price, overhead_ms=speeds[0], write_ms=speeds[1], cached=cached, reasoning=reasoning,
    )  # fmt: skip


# Developers: late risers, awake until midnight. Prices are the demo's own, near what such models cost.
_SWAGGYSTACKS = Profile(
    organization="swaggystacks",
    models=(
        _model("claude-sonnet-4-5", "anthropic", "code-review agent-runner", 0.30, "3 15", (420, 14), cached=0.6),
        _model("gpt-5-mini", "openai", "chat autocomplete", 0.28, "0.25 2", (260, 9), cached=0.3, reasoning=0.4),
        _model("qwen2.5-coder-32b", "vllm", "autocomplete", 0.27, "0.18 0.18", (60, 18)),
        _model("llama-3.3-70b", "vllm", "chat batch-summaries", 0.15, "0.60 0.60", (110, 24)),
    ),
    sessions=3_200,
    weekend=0.45,
    hours=(4, 2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 15, 18, 20, 20, 19, 16, 13, 12, 12, 11, 9, 6),
    users=60,
    error_rate=0.008,
)
# An investment house: office hours, few at weekends, every call billed to somebody.
_SCIENTIA = Profile(
    organization="scientia_capital",
    models=(
        _model("claude-opus-4-1", "anthropic", "research-assistant", 0.22, "15 75", (650, 26), cached=0.4),
        _model("gpt-5", "openai", "client-reports risk-summaries", 0.38, "2 16", (480, 16), cached=0.2, reasoning=0.5),
        _model("mistral-large", "mistral", "compliance-check", 0.25, "2 6", (300, 15)),
        _model("llama-3.3-70b", "vllm", "document-search", 0.15, "0.60 0.60", (110, 24)),
    ),
    sessions=1_400,
    weekend=0.18,
    hours=(1, 1, 1, 1, 1, 2, 5, 12, 20, 24, 24, 22, 15, 20, 23, 22, 19, 13, 7, 4, 3, 2, 2, 1),
    users=25,
    error_rate=0.005,
    markup=Decimal("2.6"),
)
PROFILES = (_SWAGGYSTACKS, _SCIENTIA)

STORY = Story(
    incidents=(
        Incident(kind="errors", organization="swaggystacks", days_ago=0, at_hour=14, hours=1, strength=0.4,
                 error_type="upstream_unavailable", workday=False),  # always within the last day
        Incident(kind="latency", organization="scientia_capital", days_ago=2, at_hour=10, hours=2, strength=4.0),
        Incident(kind="runaway", organization="swaggystacks", days_ago=5, at_hour=2, hours=3, strength=150),
        Incident(kind="errors", organization="scientia_capital", days_ago=9, at_hour=15, hours=2, strength=0.3,
                 error_type="quota_exceeded"),
    ),
    price_model="gpt-5",
    price_ago=timedelta(days=12),
    price_factor=Decimal("0.625"),
    slow_model="qwen2.5-coder-32b",
    slow_since=timedelta(days=10),
    slow_factor=2.2,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A graphics card; `warmth` is by how many degrees full work heats it, `slowdown` its own threshold."""

    name: str
    memory_gib: int
    memory_used: float
    watts: float
    slowdown: float
    warmth: float
    runs_hot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host: its processors idle and at work, memory with what leaks between two restarts, disks and cards.

    A disk is (mount, GiB, how full when the story is told, by how much it fills a day).
    """

    host: str
    cores: int
    idle: float
    work: float
    memory_gib: int
    memory_used: float
    leak: float
    disks: tuple[tuple[str, int, float, float], ...]
    cards: tuple[Card, ...] = ()


MACHINES = (
    Machine(host="demo-app-1", cores=8, idle=0.06, work=0.55, memory_gib=32, memory_used=0.44, leak=0.38,
            disks=(("/", 80, 0.41, 0.0005), ("/var/lib/postgresql", 400, 0.83, 0.0065))),
    Machine(host="demo-gpu-1", cores=32, idle=0.04, work=0.35, memory_gib=256, memory_used=0.37, leak=0.0,
            disks=(("/", 200, 0.35, 0.0002), ("/models", 1800, 0.62, 0.001)),
            cards=(
                Card(name="NVIDIA A100 80GB PCIe", memory_gib=80, memory_used=0.81, watts=300, slowdown=92, warmth=30),
                Card(name="NVIDIA A100 80GB PCIe", memory_gib=80, memory_used=0.78, watts=300, slowdown=92, warmth=42,
                     runs_hot=True),
            )),
)  # fmt: skip
